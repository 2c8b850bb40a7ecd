/* SPDX-License-Identifier: MIT
 *
 * resampler.c - see resampler.h.
 *
 * The filter is stored as `rows` sets of coefficients, row p being the windowed sinc seen from p/rows
 * of an input frame further on. The reading position is (index of an input frame, rows in 32.32);
 * all of it is integer arithmetic, so resampler_needs() can tell in closed form what
 * resampler_pull() will take, ramp included, and no rounding ever accumulates over hours.
 */
#include "alsa/resampler.h"
#include "alsa/vector.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ONE_ROW (INT64_C(1) << 32)

/*
 * One row of fraction 0 is exact, in between coefficients are interpolated linearly. The error of
 * that falls with rows squared relative to the filter's band: 6*43 rows for 8 -> 48 (a multiple of
 * 6, so that the nominal ratio falls onto rows), 256 for 48 -> 48, and only 64 for 48 -> 8, whose
 * band is a sixth of its rate. The cut-off of the telephone filters lies in the middle of their
 * transition band, 3.4 to 4.6 kHz (an image of 3.4 kHz), a little low: measured over both, 3910 Hz
 * gives images of -85 dB for -0.09 dB at 3.4 kHz; 4000 Hz gave -77 dB for 0.00.
 */
struct kind {
	unsigned in_rate, out_rate;
	unsigned taps; /* at the input's rate; a multiple of 16 */
	unsigned rows;
	unsigned whole; /* input frames per output frame, nominal, rounded to nearest */
	double cutoff;  /* of the input's rate */
	double beta;    /* Kaiser */
	float *table;   /* (rows + 1) * taps, made once */
};

static struct kind kinds[] = {
	{8000, 48000, 32, 258, 0, 3910.0 / 8000, 8.7, NULL},
	{48000, 8000, 192, 64, 6, 3910.0 / 48000, 8.5, NULL},
	{48000, 48000, 32, 256, 1, 0.46, 10.0, NULL},
};

struct resampler {
	const struct kind *kind;
	const float *table;
	unsigned max_frames;
	int64_t nominal; /* rows (32.32) per output frame */
	int64_t step;    /* now */
	int64_t wanted;  /* from the next block's end on */
	int64_t wrap;    /* rows of one input frame */
	double per_row;  /* input frames of one row */
	int64_t row;     /* position within input frame `index`, [0, wrap) */
	unsigned index;  /* first frame of the next output's window, in buf; may lie beyond have */
	unsigned have;   /* frames in buf */
	unsigned capacity;
	float buf[];
};

/* ---- coefficients ------------------------------------------------------------------------- */

static double bessel_i0(double x)
{
	double sum = 1, term = 1;
	for (int k = 1; k < 60 && term > 1e-12 * sum; k++) {
		term *= (x / 2 / k) * (x / 2 / k);
		sum += term;
	}
	return sum;
}

static void make_table(struct kind *k)
{
	float *table;
	double half = k->taps / 2.0, top = bessel_i0(k->beta);

	if (posix_memalign((void **)&table, 64, sizeof(float) * (k->rows + 1) * k->taps) != 0)
		return;
	for (unsigned p = 0; p <= k->rows; p++) {
		float *row = table + (size_t)p * k->taps;
		double tap[256], sum = 0;
		for (unsigned i = 0; i < k->taps; i++) {
			double x = (double)i - half + 1 - (double)p / k->rows;
			double u = x / half;
			double s = fabs(x) < 1e-9 ? 2 * k->cutoff : sin(2 * M_PI * k->cutoff * x) / (M_PI * x);
			double w = fabs(u) < 1 ? bessel_i0(k->beta * sqrt(1 - u * u)) / top : 0;
			tap[i] = s * w;
			sum += tap[i];
		}
		/* unity at 0 Hz in every row, so that silence offset by DC carries no image */
		for (unsigned i = 0; i < k->taps; i++)
			row[i] = (float)(tap[i] / sum);
	}
	k->table = table;
}

/* ---- object ------------------------------------------------------------------------------- */

int resampler_create(struct resampler **out, unsigned in_rate, unsigned out_rate,
		     unsigned max_frames)
{
	const struct kind *kind = NULL;

	*out = NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (kinds[i].in_rate == in_rate && kinds[i].out_rate == out_rate)
			kind = &kinds[i];
	}
	if (!kind || max_frames == 0 || max_frames > RESAMPLER_MAX_FRAMES)
		return -EINVAL;
	resampler_prepare();
	if (!kind->table)
		return -ENOMEM;
	/* what one call can be handed: max_frames, or what max_frames output frames take */
	unsigned most_in = max_frames * (kind->whole ? kind->whole : 1);
	most_in += most_in / 100 + 8;
	unsigned capacity = kind->taps + most_in + 8;
	struct resampler *r = calloc(1, sizeof *r + capacity * sizeof(float));
	if (!r)
		return -ENOMEM;
	r->kind = kind;
	r->table = kind->table;
	r->max_frames = max_frames;
	r->capacity = capacity;
	r->wrap = kind->rows * ONE_ROW;
	r->per_row = 1 / (double)r->wrap;
	r->nominal = r->wrap * in_rate / out_rate; /* no remainder in any kind */
	r->step = r->wanted = r->nominal;
	resampler_reset(r);
	*out = r;
	return 0;
}

void resampler_destroy(struct resampler *r)
{
	free(r);
}

void resampler_reset(struct resampler *r)
{
	memset(r->buf, 0, r->capacity * sizeof(float));
	/* All but one frame of the first window is silence: the first block of n frames makes its
	 * full share of output, so block boundaries stay block boundaries at the nominal ratio. */
	r->have = r->kind->taps - 1;
	r->index = 0;
	r->row = 0;
}

void resampler_set_ppm(struct resampler *r, double ppm)
{
	if (!(ppm > -RESAMPLER_MAX_PPM))
		ppm = -RESAMPLER_MAX_PPM;
	if (ppm > RESAMPLER_MAX_PPM)
		ppm = RESAMPLER_MAX_PPM;
	r->wanted = r->nominal + (int64_t)llrint((double)r->nominal * ppm * 1e-6);
}

unsigned resampler_delay_ns(const struct resampler *r)
{
	return (unsigned)((uint64_t)(r->kind->taps / 2) * 1000000000u / r->kind->in_rate);
}

double resampler_ahead(const struct resampler *r)
{
	return (double)r->have - (r->kind->taps - 1) - r->index - (double)r->row * r->per_row;
}

/* ---- the filter ---------------------------------------------------------------------------- */

/*
 * Four at a time (alsa/vector.h; by callgrind -O3 gains nothing over -O2, -ffast-math 4 %), and eight
 * where the machine can (AVX2, FMA), which the program finds out when it runs: 40 % less time.
 */
typedef float v8 __attribute__((vector_size(32)));
typedef float v8u __attribute__((vector_size(32), aligned(4), may_alias));

/* x with what lies between row c and the next one, a of the way; four at a time. */
INLINE float dot4(const float *x, const float *c, unsigned taps, float a)
{
	const float *d = c + taps;
	v4 s0 = {0}, s1 = {0}, t0 = {0}, t1 = {0};
#pragma GCC unroll 4
	for (unsigned i = 0; i < taps; i += 8) {
		v4 x0 = *(const v4u *)(x + i), x1 = *(const v4u *)(x + i + 4);
		s0 += x0 * *(const v4u *)(c + i);
		t0 += x0 * *(const v4u *)(d + i);
		s1 += x1 * *(const v4u *)(c + i + 4);
		t1 += x1 * *(const v4u *)(d + i + 4);
	}
	v4 s = s0 + s1, t = t0 + t1;
	return sum4(s + (t - s) * a);
}

/* The same eight at a time; a text of its own: GCC without such vectors keeps their sums in memory. */
INLINE float dot8(const float *x, const float *c, unsigned taps, float a)
{
	const float *d = c + taps;
	v8 s0 = {0}, s1 = {0}, t0 = {0}, t1 = {0};
#pragma GCC unroll 4
	for (unsigned i = 0; i < taps; i += 16) {
		v8 x0 = *(const v8u *)(x + i), x1 = *(const v8u *)(x + i + 8);
		s0 += x0 * *(const v8u *)(c + i);
		t0 += x0 * *(const v8u *)(d + i);
		s1 += x1 * *(const v8u *)(c + i + 8);
		t1 += x1 * *(const v8u *)(d + i + 8);
	}
	v8 s = s0 + s1, t = t0 + t1;
	s += (t - s) * a;
	return sum4(__builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7));
}

/* Writes at most most frames; the step is ramped to the wanted one over the first ramp of them. */
INLINE unsigned run_taps(struct resampler *r, float *out, unsigned most, unsigned ramp,
			 unsigned taps, bool eight)
{
	const int64_t whole = (int64_t)r->kind->whole * r->wrap;
	const int64_t change = (r->wanted - r->step) / (int64_t)ramp;
	int64_t over = r->step - whole; /* step beyond whole frames; may be negative */
	int64_t row = r->row;
	unsigned index = r->index, n = 0;

	while (n < most && index + taps <= r->have) {
		const float *x = r->buf + index, *c = r->table + (size_t)(row >> 32) * taps;
		float a = (float)(uint32_t)row * (1.0f / 4294967296.0f);
		out[n] = eight ? dot8(x, c, taps, a) : dot4(x, c, taps, a);
		index += r->kind->whole;
		row += over;
		if (row >= r->wrap) {
			row -= r->wrap;
			index++;
		} else if (row < 0) {
			row += r->wrap;
			index--;
		}
		if (++n < ramp)
			over += change;
		else
			over = r->wanted - whole;
	}
	r->step = r->wanted;
	r->row = row;
	unsigned used = index < r->have ? index : r->have;
	r->have -= used;
	memmove(r->buf, r->buf + used, r->have * sizeof(float));
	r->index = index - used;
	return n;
}

/* With the taps known where it is compiled. */
INLINE unsigned run_with(struct resampler *r, float *out, unsigned most, unsigned ramp, bool eight)
{
	return r->kind->taps == 32 ? run_taps(r, out, most, ramp, 32, eight)
				   : run_taps(r, out, most, ramp, 192, eight);
}

static unsigned run_anywhere(struct resampler *r, float *out, unsigned most, unsigned ramp)
{
	return run_with(r, out, most, ramp, false);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static unsigned
run_avx2(struct resampler *r, float *out, unsigned most, unsigned ramp)
{
	return run_with(r, out, most, ramp, true);
}
#endif

static unsigned (*run)(struct resampler *r, float *out, unsigned most, unsigned ramp) = run_anywhere;

static void prepare(void)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		make_table(&kinds[i]);
#ifdef __x86_64__
	/* by a pointer of our own: what the linker offers for it (ifunc) runs before sanitizers do */
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		run = run_avx2;
#endif
}

void resampler_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare);
}

static unsigned expected(const struct resampler *r, unsigned in_frames)
{
	return (unsigned)((uint64_t)in_frames * r->kind->out_rate / r->kind->in_rate);
}

unsigned resampler_output_bound(const struct resampler *r, unsigned in_frames)
{
	unsigned n = expected(r, in_frames);
	return n + n / 100 + 8;
}

unsigned resampler_push(struct resampler *r, const float *in, unsigned in_frames, float *out)
{
	if (in_frames > r->max_frames)
		in_frames = r->max_frames;
	memcpy(r->buf + r->have, in, in_frames * sizeof(float));
	r->have += in_frames;
	unsigned n = expected(r, in_frames);
	return run(r, out, resampler_output_bound(r, in_frames), n ? n : 1);
}

unsigned resampler_needs(const struct resampler *r, unsigned out_frames)
{
	if (out_frames == 0)
		return 0;
	/* where the last output's window begins: the sum of out_frames - 1 ramped steps */
	int64_t n = out_frames - 1;
	int64_t change = (r->wanted - r->step) / (int64_t)out_frames;
	int64_t rows = r->row + n * r->step + change * (n * (n - 1) / 2);
	int64_t end = (int64_t)r->index + rows / r->wrap + r->kind->taps;
	return end > (int64_t)r->have ? (unsigned)(end - (int64_t)r->have) : 0;
}

void resampler_pull(struct resampler *r, const float *in, float *out, unsigned out_frames)
{
	if (out_frames > r->max_frames)
		out_frames = r->max_frames;
	unsigned in_frames = resampler_needs(r, out_frames);
	memcpy(r->buf + r->have, in, in_frames * sizeof(float));
	r->have += in_frames;
	if (out_frames)
		run(r, out, out_frames, out_frames);
}
