/* SPDX-License-Identifier: MIT
 *
 * media_ring.c - see media_ring.h.
 */
#include "alsa/media_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct media_ring {
	int64_t begin;
	unsigned size; /* power of two */
	uint8_t *kind;
	float sample[];
};

int media_ring_create(struct media_ring **out, unsigned frames)
{
	struct media_ring *m = calloc(1, sizeof *m + frames * (sizeof(float) + 1));
	*out = m;
	if (!m)
		return -ENOMEM;
	m->size = frames;
	m->kind = (uint8_t *)(m->sample + frames);
	return 0;
}

void media_ring_destroy(struct media_ring *m)
{
	free(m);
}

static unsigned slot(const struct media_ring *m, int64_t media)
{
	return (unsigned)((uint64_t)media & (m->size - 1));
}

void media_ring_reset(struct media_ring *m, int64_t media)
{
	memset(m->kind, MEDIA_MISSING, m->size);
	m->begin = media;
}

void media_ring_slide(struct media_ring *m, int64_t media)
{
	if (media <= m->begin)
		return;
	if (media - m->begin >= m->size) {
		media_ring_reset(m, media);
		return;
	}
	unsigned from = slot(m, m->begin), n = (unsigned)(media - m->begin);
	unsigned first = n < m->size - from ? n : m->size - from;
	memset(m->kind + from, MEDIA_MISSING, first);
	memset(m->kind, MEDIA_MISSING, n - first);
	m->begin = media;
}

int64_t media_ring_begin(const struct media_ring *m)
{
	return m->begin;
}

int64_t media_ring_end(const struct media_ring *m)
{
	return m->begin + m->size;
}

unsigned media_ring_put(struct media_ring *m, int64_t media, const float *x, unsigned frames,
			int64_t from, uint8_t kind)
{
	unsigned stored = 0;
	if (from < m->begin)
		from = m->begin;
	for (unsigned i = 0; i < frames; i++) {
		int64_t at = media + i;
		if (at < from || at >= m->begin + m->size)
			continue;
		unsigned s = slot(m, at);
		if (m->kind[s] == MEDIA_MISSING || (kind == MEDIA_REAL && m->kind[s] == MEDIA_MADE)) {
			m->kind[s] = kind;
			m->sample[s] = x[i];
			stored++;
		}
	}
	return stored;
}

static uint8_t kind_at(const struct media_ring *m, int64_t media)
{
	if (media < m->begin || media >= m->begin + m->size)
		return MEDIA_MISSING;
	return m->kind[slot(m, media)];
}

unsigned media_ring_run(const struct media_ring *m, int64_t media, unsigned most, uint8_t *kind)
{
	unsigned n = 0;
	*kind = kind_at(m, media);
	while (n < most && kind_at(m, media + n) == *kind)
		n++;
	return n;
}

bool media_ring_has(const struct media_ring *m, int64_t media, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		if (kind_at(m, media + i) == MEDIA_MISSING)
			return false;
	}
	return true;
}

bool media_ring_has_real(const struct media_ring *m, int64_t media, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		if (kind_at(m, media + i) != MEDIA_REAL)
			return false;
	}
	return true;
}

void media_ring_get(const struct media_ring *m, int64_t media, float *x, unsigned frames)
{
	unsigned from = slot(m, media);
	unsigned first = frames < m->size - from ? frames : m->size - from;
	memcpy(x, m->sample + from, first * sizeof *x);
	memcpy(x + first, m->sample, (frames - first) * sizeof *x);
}
