/* SPDX-License-Identifier: MIT
 *
 * mixer.c - see mixer.h.
 */
#include "alsa/mixer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FRAMES 5760
#define ONE         4194304.0f /* 2^22: 120 parties of +-4.0 stay below 2^31; grain -132 dBFS */
#define BOUND       4.0f

#define HOLD_MS       50
#define NEAR          0.9f
#define RELEASE_DB_S  12.0 /* 6 dB in half a second */

struct mixer {
	unsigned frames;
	unsigned parties;
	int32_t sum[];
};

int mixer_create(struct mixer **out, unsigned frames)
{
	*out = NULL;
	if (frames == 0 || frames > MOST_FRAMES)
		return -EINVAL;
	struct mixer *m = calloc(1, sizeof *m + frames * sizeof(int32_t));
	if (!m)
		return -ENOMEM;
	m->frames = frames;
	*out = m;
	return 0;
}

void mixer_destroy(struct mixer *m)
{
	free(m);
}

void mixer_begin(struct mixer *m)
{
	memset(m->sum, 0, m->frames * sizeof *m->sum);
	m->parties = 0;
}

/* Adding and taking away must round alike, so both come here. NaN fails both comparisons. */
static inline int32_t to_fixed(float x)
{
	x = x > -BOUND ? x : -BOUND;
	x = x < BOUND ? x : BOUND;
	float scaled = x * ONE;
	return (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
}

void mixer_add(struct mixer *m, const float *in)
{
	if (m->parties == MIXER_MAX_PARTIES)
		return;
	for (unsigned i = 0; i < m->frames; i++)
		m->sum[i] += to_fixed(in[i]);
	m->parties++;
}

unsigned mixer_parties(const struct mixer *m)
{
	return m->parties;
}

void mixer_sum(const struct mixer *m, float *out)
{
	for (unsigned i = 0; i < m->frames; i++)
		out[i] = (float)m->sum[i] * (1 / ONE);
}

void mixer_sum_without(const struct mixer *m, const float *own, float *out)
{
	for (unsigned i = 0; i < m->frames; i++)
		out[i] = (float)(m->sum[i] - to_fixed(own[i])) * (1 / ONE);
}

/* ---- limiter ------------------------------------------------------------------------------ */

void limiter_init(struct limiter *l, unsigned rate)
{
	l->gain = 1;
	l->hold_frames = 0;
	l->rate = rate;
}

void limiter_run(struct limiter *l, float *block, unsigned frames)
{
	float peak = 0;
	unsigned first = frames; /* first sample that is too loud at the present gain */

	for (unsigned i = 0; i < frames; i++) {
		float a = fabsf(block[i]);
		peak = a > peak ? a : peak;
		if (first == frames && a * l->gain > LIMITER_CEILING)
			first = i;
	}
	if (l->gain == 1 && first == frames)
		return;
	float from = l->gain, to;
	unsigned ramp = frames;
	if (first < frames) {
		/* down ahead of the first loud sample, and all of the rest fits below */
		to = LIMITER_CEILING / peak;
		ramp = first;
		l->hold_frames = l->rate / 1000 * HOLD_MS;
	} else if (peak * from > NEAR * LIMITER_CEILING) {
		to = from; /* letting go now would only mean to come back at once */
		l->hold_frames = l->rate / 1000 * HOLD_MS;
	} else if (l->hold_frames) {
		to = from;
		l->hold_frames -= l->hold_frames < frames ? l->hold_frames : frames;
	} else {
		to = from * powf(10, (float)(RELEASE_DB_S / 20 * frames / l->rate));
		if (to * peak > LIMITER_CEILING)
			to = LIMITER_CEILING / peak;
		if (to > 1)
			to = 1;
	}
	for (unsigned i = 0; i < frames; i++) {
		float g = i < ramp ? from + (to - from) * (float)i / (float)ramp : to;
		float v = block[i] * g;
		/* rounding of the product may exceed by an ulp */
		block[i] = v > LIMITER_CEILING ? LIMITER_CEILING : v < -LIMITER_CEILING ? -LIMITER_CEILING : v;
	}
	l->gain = to;
}
