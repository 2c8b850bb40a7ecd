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
	unsigned channels;
	uint8_t *kind;
	float sample[]; /* one channel after the other */
};

int media_ring_create(struct media_ring **out, unsigned frames, unsigned channels)
{
	struct media_ring *m = calloc(1, sizeof *m + frames * (channels * sizeof(float) + 1));
	*out = m;
	if (!m)
		return -ENOMEM;
	m->size = frames;
	m->channels = channels;
	m->kind = (uint8_t *)(m->sample + (size_t)frames * channels);
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

/* How many of frames from media on lie in one piece of memory, and where it begins. */
static unsigned piece(const struct media_ring *m, int64_t media, unsigned frames, unsigned *at)
{
	*at = slot(m, media);
	return frames < m->size - *at ? frames : m->size - *at;
}

/* How many of n kinds (n > 0), the first counted, are as the first. Nearly always all: libc compares
 * them with themselves one further on, many at a time. */
static unsigned alike(const uint8_t *kind, unsigned n)
{
	unsigned i = 1;

	if (memcmp(kind, kind + 1, n - 1) == 0)
		return n;
	while (kind[i] == kind[0])
		i++;
	return i;
}

static bool within(const struct media_ring *m, int64_t media, unsigned frames)
{
	return media >= m->begin && media + frames <= m->begin + m->size;
}

unsigned media_ring_put(struct media_ring *m, int64_t media, const float *x, unsigned frames,
			int64_t from, uint8_t kind)
{
	unsigned stored = 0;
	const unsigned stride = frames; /* from channel to channel in x */

	if (from < m->begin)
		from = m->begin;
	if (media >= m->begin + m->size || media + frames <= from)
		return 0;
	if (media < from) {
		x += from - media;
		frames -= (unsigned)(from - media);
		media = from;
	}
	if (media + frames > m->begin + m->size)
		frames = (unsigned)(m->begin + m->size - media);
	while (frames) {
		unsigned at, n = piece(m, media, frames, &at);
		uint8_t there = m->kind[at];
		n = alike(m->kind + at, n);
		if (there == MEDIA_MISSING || (kind == MEDIA_REAL && there == MEDIA_MADE)) {
			memset(m->kind + at, kind, n);
			for (unsigned c = 0; c < m->channels; c++)
				memcpy(m->sample + c * m->size + at, x + c * stride, n * sizeof *x);
			stored += n;
		}
		media += n;
		x += n;
		frames -= n;
	}
	return stored;
}

unsigned media_ring_run(const struct media_ring *m, int64_t media, unsigned most, uint8_t *kind)
{
	unsigned n = 0;

	*kind = MEDIA_MISSING;
	if (!within(m, media, 1)) {
		/* up to where the window begins, if it still does */
		if (media < m->begin && m->begin - media < most)
			return (unsigned)(m->begin - media);
		return most;
	}
	unsigned left = (unsigned)(m->begin + m->size - media);
	if (most > left)
		most = left;
	*kind = m->kind[slot(m, media)];
	while (n < most) {
		unsigned at, here = piece(m, media + n, most - n, &at);
		if (m->kind[at] != *kind)
			break;
		unsigned run = alike(m->kind + at, here);
		n += run;
		if (run < here)
			break;
	}
	return n;
}

bool media_ring_has(const struct media_ring *m, int64_t media, unsigned frames)
{
	if (!within(m, media, frames))
		return frames == 0;
	while (frames) {
		unsigned at, n = piece(m, media, frames, &at);
		if (memchr(m->kind + at, MEDIA_MISSING, n))
			return false;
		media += n;
		frames -= n;
	}
	return true;
}

bool media_ring_has_real(const struct media_ring *m, int64_t media, unsigned frames)
{
	uint8_t kind;
	return frames == 0 ||
	       (within(m, media, frames) && m->kind[slot(m, media)] == MEDIA_REAL &&
		media_ring_run(m, media, frames, &kind) == frames);
}

void media_ring_get(const struct media_ring *m, unsigned channel, int64_t media, float *x,
		    unsigned frames)
{
	const float *sample = m->sample + (size_t)channel * m->size;
	unsigned from = slot(m, media);
	unsigned first = frames < m->size - from ? frames : m->size - from;
	memcpy(x, sample + from, first * sizeof *x);
	memcpy(x + first, sample, (frames - first) * sizeof *x);
}
