/* SPDX-License-Identifier: MIT
 *
 * level.c - see level.h.
 */
#include "alsa/level.h"
#include "alsa/vector.h"

#include <math.h>
#include <string.h>

#define RATE 48000

static float dbfs(double ratio)
{
	return ratio > 1e-6 ? (float)(20 * log10(ratio)) : LEVEL_SILENCE_DBFS;
}

float level_energy(const float *block, unsigned frames)
{
	v4 even = {0}, odd = {0}; /* two, so that one sum need not wait for the one before */
	unsigned i = 0;

	for (; i + 8 <= frames; i += 8) {
		v4 a = *(const v4u *)(block + i), b = *(const v4u *)(block + i + 4);
		even += a * a;
		odd += b * b;
	}
	for (; i + 4 <= frames; i += 4) {
		v4 a = *(const v4u *)(block + i);
		even += a * a;
	}
	v4 last = tail(block + i, frames - i);
	return sum4(even + odd + last * last);
}

void level_add(struct level *l, const float *block, unsigned frames)
{
	float sum = 0, peak = l->peak;
	for (unsigned i = 0; i < frames; i++) {
		float a = fabsf(block[i]);
		sum += a * a;
		peak = a > peak ? a : peak;
	}
	l->sum_squares += sum;
	l->peak = peak;
	l->frames += frames;
}

float level_peak_dbfs(const struct level *l)
{
	return dbfs(l->peak);
}

float level_rms_dbfs(const struct level *l)
{
	return l->frames ? dbfs(sqrt(l->sum_squares / (double)l->frames)) : LEVEL_SILENCE_DBFS;
}

void level_clear(struct level *l)
{
	memset(l, 0, sizeof *l);
}

bool level_is_silent(const float *block, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		if (block[i] != 0)
			return false;
	}
	return true;
}

bool level_is_silent_s16(const int16_t *block, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		if (block[i])
			return false;
	}
	return true;
}

/* ---- wide sound ---------------------------------------------------------------------------- */

/*
 * A linear-phase high-pass, 4.2 kHz down by 55 dB and 6 kHz untouched. Only its energy is wanted, so
 * it is evaluated at every 8th sample or so: what folds in doing so is energy all the same, and the
 * uneven steps see to it that no tone is met at its zero crossings for ever.
 */
#define TAPS      LEVEL_BAND_TAPS
#define LOOKS     30 /* a window */
#define CUTOFF_HZ 5100.0
#define BETA      5.2

#define AUDIBLE   1e-6f   /* -60 dBFS as power */
#define SHARE     3.2e-5f /* -45 dB */
#define WINDOW    240 /* 5 ms */
#define YES_FOR   4 /* windows; an onset in a telephone's sound is wide for one or two */
#define NO_FOR    600

static double bessel_i0(double x)
{
	double sum = 1, term = 1;
	for (int k = 1; k < 40; k++) {
		term *= (x / 2 / k) * (x / 2 / k);
		sum += term;
	}
	return sum;
}

void level_band_init(struct level_band *b)
{
	level_band_init_above(b, CUTOFF_HZ);
}

void level_band_init_above(struct level_band *b, double hz)
{
	memset(b, 0, sizeof *b);
	double middle = (TAPS - 1) / 2.0, sum = 0;
	for (int i = 0; i < TAPS; i++) {
		double x = i - middle, u = x / (middle + 1);
		double low = x == 0 ? 2 * hz / RATE : sin(2 * M_PI * hz / RATE * x) / (M_PI * x);
		double w = bessel_i0(BETA * sqrt(1 - u * u)) / bessel_i0(BETA);
		b->tap[i] = (float)(low * w);
		sum += low * w;
	}
	/* everything less the low-pass, which is made to be exactly one at 0 Hz */
	for (int i = 0; i < TAPS; i++)
		b->tap[i] = (i == TAPS / 2 ? 1 : 0) - (float)(b->tap[i] / sum);
}

static float high_sample(const float *x, const float *tap)
{
	v4 even = {0}, odd = {0};
	for (int i = 0; i < TAPS - 1; i += 8) {
		even += *(const v4u *)(x + i) * *(const v4u *)(tap + i);
		odd += *(const v4u *)(x + i + 4) * *(const v4u *)(tap + i + 4);
	}
	return sum4(even + odd) + x[TAPS - 1] * tap[TAPS - 1];
}

static void hold(struct level_hold *h, bool yes)
{
	if (yes) {
		h->no_windows = 0;
		if (++h->yes_windows >= YES_FOR)
			h->on = true;
	} else {
		h->yes_windows = 0;
		if (h->no_windows < NO_FOR && ++h->no_windows == NO_FOR)
			h->on = false;
	}
}

/* A window of 5 ms is complete. */
static void judge(struct level_band *b)
{
	b->high = b->high_sum / (float)b->looked;
	b->low = b->low_sum / (float)b->looked;
	b->high_sum = b->low_sum = 0;
	b->looked = 0;
	hold(&b->wide, b->high > AUDIBLE && b->high > SHARE * b->low);
}

bool level_band_run(struct level_band *b, const float *block, unsigned frames)
{
	static const uint8_t steps[5] = {7, 9, 6, 10, 8}; /* 40 samples */
	float x[TAPS - 1 + WINDOW];

	for (unsigned done = 0; done < frames;) {
		unsigned n = frames - done < WINDOW ? frames - done : WINDOW;
		memcpy(x, b->past, sizeof b->past);
		memcpy(x + TAPS - 1, block + done, n * sizeof *x);
		for (; b->next < n; b->next += steps[b->looked % 5]) {
			float y = high_sample(x + b->next, b->tap), z = block[done + b->next];
			b->high_sum += y * y;
			b->low_sum += z * z;
			if (++b->looked == LOOKS)
				judge(b);
		}
		b->next -= n;
		memcpy(b->past, x + n, sizeof b->past);
		done += n;
	}
	return b->wide.on;
}

bool level_side_run(struct level_side *s, const float *left, const float *right, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		float mid = (left[i] + right[i]) / 2, side = (left[i] - right[i]) / 2;

		s->mid_sum += mid * mid;
		s->side_sum += side * side;
		if (++s->frames < WINDOW)
			continue;
		hold(&s->differ, s->side_sum > AUDIBLE * WINDOW && s->side_sum > SHARE * s->mid_sum);
		s->mid_sum = s->side_sum = 0;
		s->frames = 0;
	}
	return s->differ.on;
}
