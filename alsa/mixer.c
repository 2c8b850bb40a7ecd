/* SPDX-License-Identifier: MIT
 *
 * mixer.c - see mixer.h.
 */
#include "alsa/mixer.h"
#include "alsa/vector.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FRAMES 5760
#define ONE         4194304.0f /* 2^22: 120 parties of +-4.0 stay below 2^31; grain -132 dBFS, cut off */
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
	/* the tail is a whole vector */
	struct mixer *m = calloc(1, sizeof *m + (frames + 4) * sizeof(int32_t));
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
	memset(m->sum, 0, (m->frames + 4) * sizeof *m->sum);
	m->parties = 0;
}

/* ---- four samples at a time ---------------------------------------------------------------- */

/* Adding and taking away must cut alike, so both come here. NaN fails all comparisons. */
static inline i4 to_fixed(v4 x)
{
	const v4 most = {BOUND, BOUND, BOUND, BOUND};
	i4 high = x >= most, fits = (x > -most) & (x < most);
	return __builtin_convertvector(pick(fits, x, pick(high, most, -most)) * ONE, i4);
}

void mixer_add(struct mixer *m, const float *in)
{
	unsigned whole = m->frames & ~3u, rest = m->frames & 3u;

	if (m->parties == MIXER_MAX_PARTIES)
		return;
	for (unsigned i = 0; i < whole; i += 4)
		*(i4u *)(m->sum + i) += to_fixed(*(const v4u *)(in + i));
	*(i4u *)(m->sum + whole) += to_fixed(tail(in + whole, rest));
	m->parties++;
}

unsigned mixer_parties(const struct mixer *m)
{
	return m->parties;
}

static inline v4 to_float(i4 x)
{
	return __builtin_convertvector(x, v4) * (1 / ONE);
}

void mixer_sum(const struct mixer *m, float *out)
{
	unsigned whole = m->frames & ~3u;

	for (unsigned i = 0; i < whole; i += 4)
		*(v4u *)(out + i) = to_float(*(const i4u *)(m->sum + i));
	v4 last = to_float(*(const i4u *)(m->sum + whole));
	for (unsigned i = whole; i < m->frames; i++)
		out[i] = last[i - whole];
}

void mixer_sum_without(const struct mixer *m, const float *own, float *out)
{
	unsigned whole = m->frames & ~3u, rest = m->frames & 3u;

	for (unsigned i = 0; i < whole; i += 4)
		*(v4u *)(out + i) =
			to_float(*(const i4u *)(m->sum + i) - to_fixed(*(const v4u *)(own + i)));
	v4 last = to_float(*(const i4u *)(m->sum + whole) - to_fixed(tail(own + whole, rest)));
	for (unsigned i = whole; i < m->frames; i++)
		out[i] = last[i - whole];
}

/* ---- limiter ------------------------------------------------------------------------------ */

void limiter_init(struct limiter *l, unsigned rate)
{
	l->gain = 1;
	l->hold_frames = 0;
	l->rate = rate;
}

/* The larger of most and the magnitude of x; NaN is never larger. */
static inline v4 larger(v4 most, v4 x)
{
	const i4 magnitude = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
	v4 a = (v4)((i4)x & magnitude);
	return pick(a > most, a, most);
}

static float peak_of(const float *block, unsigned frames)
{
	v4 even = {0}, odd = {0}; /* two, so that one comparison need not wait for the one before */
	unsigned i = 0;

	for (; i + 8 <= frames; i += 8) {
		even = larger(even, *(const v4u *)(block + i));
		odd = larger(odd, *(const v4u *)(block + i + 4));
	}
	for (; i + 4 <= frames; i += 4)
		even = larger(even, *(const v4u *)(block + i));
	v4 most = larger(larger(even, odd), tail(block + i, frames - i));
	return fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3]));
}

/* The first sample that is too loud at that gain; `most` if none before is. */
static unsigned first_loud(const float *block, unsigned most, float gain)
{
	unsigned first = 0;

	while (first < most && fabsf(block[first]) * gain <= LIMITER_CEILING)
		first++;
	return first;
}

static void amplify(float *block, unsigned frames, unsigned ramp, float from, float to)
{
	for (unsigned i = 0; i < frames; i++) {
		float g = i < ramp ? from + (to - from) * (float)i / (float)ramp : to;
		float v = block[i] * g;
		/* rounding of the product may exceed by an ulp */
		block[i] = v > LIMITER_CEILING ? LIMITER_CEILING : v < -LIMITER_CEILING ? -LIMITER_CEILING : v;
	}
}

void limiter_run_linked(struct limiter *l, float *left, float *right, unsigned frames)
{
	unsigned first = frames;
	float peak = peak_of(left, frames);

	if (right)
		peak = fmaxf(peak, peak_of(right, frames));
	if (l->gain == 1 && peak <= LIMITER_CEILING)
		return;
	if (peak * l->gain > LIMITER_CEILING) {
		first = first_loud(left, first, l->gain);
		if (right)
			first = first_loud(right, first, l->gain);
	}
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
	amplify(left, frames, ramp, from, to);
	if (right)
		amplify(right, frames, ramp, from, to);
	l->gain = to;
}

void limiter_run(struct limiter *l, float *block, unsigned frames)
{
	limiter_run_linked(l, block, NULL, frames);
}
