/* SPDX-License-Identifier: MIT
 *
 * wave_extend.c - see wave_extend.h.
 */
#include "alsa/wave_extend.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Pitch is looked for at 8 kHz: periods of 2.5 to 15 ms (66-400 Hz), compared over 20 ms. */
#define SHORTEST 20
#define LONGEST  120
#define COMPARED 160
#define LOOKED   (LONGEST + COMPARED)

#define FULL_MS 10 /* at full strength, then linearly down to nothing: */
#define FADE_MS 60

struct wave_extend {
	unsigned rate, factor; /* factor: rate / 8000 */
	unsigned mask, written; /* recording ring; written counts on and wraps */
	unsigned period, at;    /* length of pattern, reading position in it */
	unsigned made;          /* frames since begin */
	float correction;       /* step at the seam, faded away over the first ms */
	float *pattern;         /* one pitch period */
	float ring[];
};

int wave_extend_create(struct wave_extend **out, unsigned rate)
{
	*out = NULL;
	if (rate != 8000 && rate != 48000)
		return -EINVAL;
	unsigned factor = rate / 8000, size = 512;
	while (size < (LOOKED + 1) * factor)
		size *= 2;
	unsigned pattern = (LONGEST + 1) * factor;
	struct wave_extend *w = calloc(1, sizeof *w + (size + pattern) * sizeof(float));
	if (!w)
		return -ENOMEM;
	w->rate = rate;
	w->factor = factor;
	w->mask = size - 1;
	w->pattern = w->ring + size;
	wave_extend_reset(w);
	*out = w;
	return 0;
}

void wave_extend_destroy(struct wave_extend *w)
{
	free(w);
}

void wave_extend_reset(struct wave_extend *w)
{
	memset(w->ring, 0, (w->mask + 1) * sizeof(float));
	w->period = w->factor * LONGEST;
	memset(w->pattern, 0, w->period * sizeof(float));
	w->at = 0;
	w->correction = 0;
	w->made = w->rate * FADE_MS / 1000;
}

void wave_extend_record(struct wave_extend *w, const float *x, unsigned frames)
{
	unsigned size = w->mask + 1;
	if (frames > size) {
		x += frames - size;
		frames = size;
	}
	unsigned at = w->written & w->mask;
	unsigned first = frames < size - at ? frames : size - at;
	memcpy(w->ring + at, x, first * sizeof(float));
	memcpy(w->ring, x + first, (frames - first) * sizeof(float));
	w->written += frames;
}

/* i-th sample from the end; 1 is the last one recorded */
static float back(const struct wave_extend *w, unsigned i)
{
	return w->ring[(w->written - i) & w->mask];
}

/* likeness of the last n frames to those lag earlier, -1 .. 1; x ends at x[-1] */
static float likeness(const float *x, unsigned lag, unsigned n)
{
	float product = 0, energy = 1e-12f, own = 1e-12f;
	for (unsigned i = 1; i <= n; i++) {
		float a = *(x - i), b = *(x - i - lag);
		product += a * b;
		energy += b * b;
		own += a * a;
	}
	return product / sqrtf(energy * own);
}

static unsigned find_period(const struct wave_extend *w)
{
	float x[LOOKED + 1];
	float best = 0;
	unsigned period = LONGEST * w->factor;

	for (unsigned i = 0; i <= LOOKED; i++) { /* newest last; a plain mean is filter enough here */
		float sum = 0;
		for (unsigned j = 1; j <= w->factor; j++)
			sum += back(w, i * w->factor + j);
		x[LOOKED - i] = sum / (float)w->factor;
	}
	for (unsigned lag = SHORTEST; lag <= LONGEST; lag++) {
		float like = likeness(x + LOOKED + 1, lag, COMPARED);
		/* A little in favour of the shorter: multiples of the period are as alike. Unless they fit
		 * much better, as with a tone of which some periods are nearly a whole number of frames. */
		if (like > best + 0.01f || (1 - like < 0.5f * (1 - best) && like > 0.9f)) {
			best = like;
			period = lag * w->factor;
		}
	}
	/* Noise has no period; a long one buzzes least. */
	if (best < 0.3f || w->factor == 1)
		return best < 0.3f ? LONGEST * w->factor : period;
	/* at the full rate, one frame at a time, over 5 ms */
	float near[(LONGEST + 1) * 6 + 240 + 1];
	unsigned n = w->rate / 200, length = period + w->factor + n;
	for (unsigned i = 1; i <= length; i++)
		near[length - i] = back(w, i);
	unsigned fine = period;
	best = -1;
	for (unsigned lag = period - w->factor; lag <= period + w->factor && lag <= LONGEST * w->factor;
	     lag++) {
		float like = likeness(near + length, lag, n);
		if (like > best) {
			best = like;
			fine = lag;
		}
	}
	return fine;
}

void wave_extend_begin(struct wave_extend *w)
{
	unsigned p = w->period = find_period(w);
	unsigned seam = p / 4;

	for (unsigned i = 0; i < p; i++)
		w->pattern[i] = back(w, p - i);
	/* its end is blended into what came before its beginning, so that it joins itself */
	for (unsigned i = 0; i < seam; i++) {
		float share = (float)(i + 1) / (float)(seam + 1);
		float *s = &w->pattern[p - seam + i];
		*s = *s * (1 - share) + back(w, p + seam - i) * share;
	}
	w->at = 0;
	w->made = 0;
	w->correction = back(w, 1) - back(w, p + 1);
}

void wave_extend_next(struct wave_extend *w, float *out, unsigned frames)
{
	unsigned full = w->rate * FULL_MS / 1000, end = w->rate * FADE_MS / 1000, soft = w->rate / 1000;

	for (unsigned i = 0; i < frames; i++) {
		if (w->made >= end) {
			out[i] = 0;
			continue;
		}
		float v = w->pattern[w->at];
		if (w->made < soft)
			v += w->correction * (float)(soft - w->made) / (float)(soft + 1);
		if (w->made > full)
			v *= (float)(end - w->made) / (float)(end - full);
		out[i] = v;
		w->made++;
		if (++w->at == w->period)
			w->at = 0;
	}
}

bool wave_extend_faded(const struct wave_extend *w)
{
	return w->made >= w->rate * FADE_MS / 1000;
}
