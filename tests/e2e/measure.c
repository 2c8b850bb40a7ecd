/* SPDX-License-Identifier: MIT
 *
 * measure.c - see measure.h.
 */
#include "tests/e2e/measure.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/harness.h"

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "r");
	long n;
	char *text;

	if (!f)
		harness_failed("cannot read %s", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	text = malloc((size_t)n + 1);
	if (!text || fread(text, 1, (size_t)n, f) != (size_t)n)
		harness_failed("cannot read %s", path);
	text[n] = 0;
	fclose(f);
	return text;
}

void track_load(struct track *t, const char *stem, const char *list)
{
	char path[1024], *text;
	cJSON *root;
	const cJSON *l, *p;
	bool packets = !strcmp(list, "packets");

	memset(t, 0, sizeof(*t));
	snprintf(path, sizeof(path), packets ? "%s.wav" : "%s.%s.wav", stem, list);
	if (wav_read(&t->wav, path))
		harness_failed("cannot read %s", path);
	snprintf(path, sizeof(path), "%s.json", stem);
	text = read_text(path);
	root = cJSON_Parse(text);
	free(text);
	l = cJSON_GetObjectItemCaseSensitive(root, list);
	t->pieces = calloc((size_t)cJSON_GetArraySize(l) + 1, sizeof(*t->pieces));
	if (!t->pieces)
		abort();
	cJSON_ArrayForEach(p, l)
	{
		double v[7] = {0};
		int i = 0;
		const cJSON *n;

		cJSON_ArrayForEach(n, p) if (i < 7) v[i++] = n->valuedouble;
		if (packets)
			t->pieces[t->count++] = (struct piece){(int64_t)v[0], (int64_t)v[4],
							       (int64_t)v[5], v[6] != 0};
		else
			t->pieces[t->count++] =
				(struct piece){(int64_t)v[0], (int64_t)v[1], (int64_t)v[2], false};
	}
	cJSON_Delete(root);
	if (!t->count)
		harness_failed("%s has no %s", path, list);
}

void track_free(struct track *t)
{
	wav_free(&t->wav);
	free(t->pieces);
	memset(t, 0, sizeof(*t));
}

static double piece_begin(const struct track *t, const struct piece *p)
{
	return (double)p->t_ns - (double)p->samples * 1e9 / t->wav.rate;
}

double track_time_ns(const struct track *t, double sample)
{
	size_t lo = 0, hi = t->count;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if ((double)t->pieces[mid].first <= sample)
			lo = mid;
		else
			hi = mid;
	}
	return piece_begin(t, &t->pieces[lo]) +
	       (sample - (double)t->pieces[lo].first) * 1e9 / t->wav.rate;
}

double track_sample(const struct track *t, double t_ns)
{
	size_t lo = 0, hi = t->count;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (piece_begin(t, &t->pieces[mid]) <= t_ns)
			lo = mid;
		else
			hi = mid;
	}
	return (double)t->pieces[lo].first +
	       (t_ns - piece_begin(t, &t->pieces[lo])) * t->wav.rate / 1e9;
}

int track_sound_after(const struct track *t, int64_t t_ns)
{
	int n = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct piece *p = &t->pieces[i];
		bool sound = false;

		for (int64_t k = p->first; k < p->first + p->samples && (size_t)k < t->wav.frames;
		     k++)
			sound |= fabsf(t->wav.samples[k]) > 1.5f / 32768;
		n += p->t_ns > t_ns && !p->silent && sound;
	}
	return n;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What the simulators' voice says as a chirp, at 8 kHz. */
static void make_chirp(float *x, size_t n, bool down)
{
	signal_chirp(x, n, 8000, down ? 3400 : 300, down ? 300 : 3400, -9);
}

void measure_delays(struct delays *d, const struct track *said, const struct track *heard,
		    int every_ms)
{
	float chirp[2][1600], *a, *b;
	size_t an = signal_resample(&a, said->wav.samples, said->wav.frames, said->wav.rate, 8000);
	size_t bn =
		signal_resample(&b, heard->wav.samples, heard->wav.frames, heard->wav.rate, 8000);
	size_t step = (size_t)every_ms * 8;
	double sorted[1024];

	memset(d, 0, sizeof(*d));
	make_chirp(chirp[0], 1600, false);
	make_chirp(chirp[1], 1600, true);
	for (size_t from = 0; from + 1600 < an && d->count < 1024;) {
		size_t to = from + step < an ? from + step : an;
		double at[2], peak[2], t0, s, e, best = -1, best_peak = 0;
		int which;

		for (int k = 0; k < 2; k++)
			at[k] = signal_find_chirp(a, an, from, to, chirp[k], 1600, &peak[k]);
		if (at[0] < 0 && at[1] < 0) {
			from += step;
			continue;
		}
		which = at[1] >= 0 && (at[0] < 0 || peak[1] > peak[0]);
		from = (size_t)at[which] + 1600;
		t0 = track_time_ns(said, at[which] * said->wav.rate / 8000);
		s = track_sample(heard, t0 - 5e6) * 8000 / heard->wav.rate;
		/* the next of this kind begins two intervals later */
		e = track_sample(heard, t0 + 2e6 * every_ms) * 8000 / heard->wav.rate;
		if (s < 0)
			s = 0;
		if (e > (double)bn)
			e = (double)bn;
		if (e > s + 1600)
			best = signal_find_chirp(b, bn, (size_t)s, (size_t)e, chirp[which], 1600,
						 &best_peak);
		if (best < 0)
			continue;
		d->at_s[d->count] = t0 / 1e9;
		d->ms[d->count++] =
			(track_time_ns(heard, best * heard->wav.rate / 8000) - t0) / 1e6;
	}
	free(a);
	free(b);
	if (!d->count)
		return;
	memcpy(sorted, d->ms, d->count * sizeof(*sorted));
	qsort(sorted, d->count, sizeof(*sorted), by_value);
	d->p50 = signal_percentile(sorted, d->count, 50);
	d->p99 = signal_percentile(sorted, d->count, 99);
	d->max = sorted[d->count - 1];
	d->slope_ms_per_min = signal_slope(d->at_s, d->ms, d->count) * 60;
}

size_t track_cut(float **out, const struct track *t, double t_ns, double seconds, unsigned rate)
{
	double first = track_sample(t, t_ns), whole = floor(first);
	size_t from = whole < 0 ? 0 : (size_t)whole, n = t->wav.frames, got;
	size_t lead = whole < 0 ? (size_t)-whole : 0;
	float *x;

	if (seconds > 0 && from + (size_t)(seconds * t->wav.rate) < n)
		n = from + (size_t)(seconds * t->wav.rate);
	if (from >= n) {
		*out = calloc(1, sizeof(**out));
		return 0;
	}
	x = calloc(lead + n - from, sizeof(*x));
	if (!x)
		abort();
	memcpy(x + lead, t->wav.samples + from, (n - from) * sizeof(*x));
	got = signal_resample(out, x, lead + n - from, t->wav.rate, rate);
	free(x);
	return got;
}

#define BAND_TAPS 127

/* Low pass at 3400 Hz for 8 kHz, linear phase, without delay. */
static void limit_band(float *x, size_t n)
{
	float h[2 * BAND_TAPS + 1], *y = calloc(n, sizeof(*y));

	if (!y)
		abort();
	for (int k = -BAND_TAPS; k <= BAND_TAPS; k++) {
		double w = 0.5 + 0.5 * cos(M_PI * k / (BAND_TAPS + 1)), c = 2 * 3400.0 / 8000;

		h[k + BAND_TAPS] = (float)(w * (k ? sin(M_PI * c * k) / (M_PI * k) : c));
	}
	for (size_t i = 0; i < n; i++) {
		double sum = 0;

		for (int k = -BAND_TAPS; k <= BAND_TAPS; k++) {
			long at = (long)i + k;

			if (at >= 0 && at < (long)n)
				sum += (double)x[at] * h[k + BAND_TAPS];
		}
		y[i] = (float)sum;
	}
	memcpy(x, y, n * sizeof(*x));
	free(y);
}

static bool likeness(struct signal_likeness *l, const struct track *said, const struct track *heard,
		     unsigned rate, double from, double seconds, bool band)
{
	double begin = track_time_ns(said, from * said->wav.rate);
	float *a, *b;
	size_t an = track_cut(&a, said, begin, seconds, rate);
	/* heard may come later than said; it is searched to the same end and a little further */
	size_t bn = track_cut(&b, heard, begin, seconds > 0 ? seconds + 1 : 0, rate);
	bool fine;

	if (band) {
		limit_band(a, an);
		limit_band(b, bn);
	}
	fine = signal_compare(l, a, an, b, bn, rate, 1.0);
	free(a);
	free(b);
	return fine;
}

bool measure_likeness(struct signal_likeness *l, const struct track *said,
		      const struct track *heard, unsigned rate, double from, double seconds)
{
	return likeness(l, said, heard, rate, from, seconds, false);
}

bool measure_likeness_in_band(struct signal_likeness *l, const struct track *said,
			      const struct track *heard, double from, double seconds)
{
	return likeness(l, said, heard, 8000, from, seconds, true);
}

#define GAP_FRAME 160 /* 20 ms at 8 kHz */
#define GAP_REACH 200 /* the delay may move that far between frames that are there */

double measure_gaps(const struct track *said, const struct track *heard, double from,
		    double delay_s, double *longest_ms)
{
	double begin = track_time_ns(said, from * said->wav.rate);
	float *a, *b;
	size_t an = track_cut(&a, said, begin, 0, 8000), bn = track_cut(&b, heard, begin, 0, 8000);
	size_t frames = 0, bad = 0, run = 0, longest = 0;
	long lag = lrint(delay_s * 8000);

	/* a hiss that lies above what a telephone carries is not missing there */
	limit_band(a, an);
	limit_band(b, bn);
	for (size_t i = GAP_FRAME; i + 2 * GAP_FRAME <= an; i += GAP_FRAME) {
		/* the frame and half of its neighbours, so that there is something to correlate */
		const float *x = a + i - GAP_FRAME / 2;
		const size_t n = 2 * GAP_FRAME;
		double power = 0, inner = 0, best = 0;
		long best_lag = lag;

		for (size_t k = 0; k < n; k++)
			power += (double)x[k] * x[k];
		for (size_t k = i; k < i + GAP_FRAME; k++)
			inner += (double)a[k] * a[k];
		if (inner / GAP_FRAME < 3.2e-5) /* -45 dBFS RMS */
			continue;
		for (long l = lag - GAP_REACH; l <= lag + GAP_REACH; l++) {
			long at = (long)(i - GAP_FRAME / 2) + l;
			double dot = 0, other = 1e-9, c;

			if (at < 0 || (size_t)at + n > bn)
				continue;
			for (size_t k = 0; k < n; k++) {
				dot += (double)x[k] * b[(size_t)at + k];
				other += (double)b[(size_t)at + k] * b[(size_t)at + k];
			}
			c = dot / sqrt(power * other);
			if (c > best) {
				best = c;
				best_lag = l;
			}
		}
		frames++;
		if (best < 0.5) {
			bad++;
			run++;
		} else {
			run = 0;
			lag = best_lag;
		}
		if (run > longest)
			longest = run;
	}
	free(a);
	free(b);
	*longest_ms = 20.0 * (double)longest;
	return frames ? (double)bad / (double)frames : 1;
}
