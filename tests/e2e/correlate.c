/* SPDX-License-Identifier: MIT
 *
 * correlate.c - the part of signal.h that looks for one signal in another: delays and likeness.
 */
#include "signal.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- correlation by FFT --------------------------------------------------------------------- */

static void fft(double complex *x, size_t n, bool back)
{
	for (size_t i = 1, j = 0; i < n; i++) {
		size_t bit = n >> 1;
		for (; j & bit; bit >>= 1)
			j ^= bit;
		j ^= bit;
		if (i < j) {
			double complex t = x[i];
			x[i] = x[j];
			x[j] = t;
		}
	}
	for (size_t length = 2; length <= n; length *= 2) {
		double angle = (back ? 2 : -2) * M_PI / (double)length;
		for (size_t k = 0; k < length / 2; k++) {
			double complex w = cexp(I * angle * (double)k);
			for (size_t i = k; i < n; i += length) {
				double complex a = x[i], b = x[i + length / 2] * w;
				x[i] = a + b;
				x[i + length / 2] = a - b;
			}
		}
	}
}

/* c[k] = sum_i pattern[i] * x[i + k], k = 0 .. lags - 1; x is read up to lags - 1 + pattern_n. */
static bool correlate(double *c, size_t lags, const float *x, size_t x_n, const float *pattern,
		      size_t pattern_n)
{
	size_t n = 1;
	while (n < lags + 2 * pattern_n)
		n *= 2;
	double complex *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
	bool ok = a && b;
	if (ok) {
		for (size_t i = 0; i < x_n && i < lags + pattern_n; i++)
			a[i] = x[i];
		for (size_t i = 0; i < pattern_n; i++)
			b[i] = pattern[i];
		fft(a, n, false);
		fft(b, n, false);
		for (size_t i = 0; i < n; i++)
			a[i] *= conj(b[i]);
		fft(a, n, true);
		for (size_t k = 0; k < lags; k++)
			c[k] = creal(a[k]) / (double)n;
	}
	free(a);
	free(b);
	return ok;
}

static double energy(const float *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum;
}

/* The correlation is as band-limited as the signals are: between its samples it is found by a sinc.
 * (Half way between two, the larger of them is 27 % below the peak for a chirp up to 3.4 kHz at 8 kHz.) */
static double between(const double *c, size_t n, double at)
{
	long whole = (long)floor(at);
	double part = at - (double)whole, sum = 0;
	for (long i = whole - 15; i <= whole + 16; i++) {
		double d = (double)(i - whole) - part, u = d / 16;
		if (i < 0 || i >= (long)n || fabs(u) >= 1)
			continue;
		double w = 0.5 + 0.5 * cos(M_PI * u);
		sum += c[i] * w * (fabs(d) < 1e-12 ? 1 : sin(M_PI * d) / (M_PI * d));
	}
	return sum;
}

double signal_find_chirp(const float *heard, size_t n, size_t from, size_t to, const float *chirp,
			 size_t chirp_n, double *peak)
{
	if (peak)
		*peak = 0;
	if (to > n)
		to = n;
	if (to <= from || chirp_n == 0 || n < chirp_n)
		return -1;
	if (to + chirp_n > n)
		to = n - chirp_n;
	if (to <= from)
		return -1;
	size_t lags = to - from;
	double *c = malloc(lags * sizeof *c), at = -1;
	if (!c || !correlate(c, lags, heard + from, n - from, chirp, chirp_n)) {
		free(c);
		return -1;
	}
	double own = energy(chirp, chirp_n), around = energy(heard + from, chirp_n), best = 0;
	/* what is far below the chirp itself cannot be it, however alike */
	double floor = own * 1e-4;
	size_t where = 0;
	for (size_t k = 0; k < lags; k++) {
		c[k] /= sqrt(own * (around > floor ? around : floor));
		if (c[k] > best) {
			best = c[k];
			where = k;
		}
		double gone = heard[from + k], come = from + k + chirp_n < n ? heard[from + k + chirp_n] : 0;
		around += come * come - gone * gone;
	}
	double fine = (double)where;
	for (double step = 0.5; step > 0.005; step /= 2) {
		double centre = fine;
		for (int side = -1; side <= 1; side += 2) {
			double v = between(c, lags, centre + side * step);
			if (v > best) {
				best = v;
				fine = centre + side * step;
			}
		}
	}
	if (peak)
		*peak = best;
	if (best >= SIGNAL_CHIRP_MIN)
		at = (double)from + fine;
	free(c);
	return at;
}

/* ---- likeness ------------------------------------------------------------------------------ */

#define SEGMENT_MS  200
#define QUIET_DBFS  -50.0
#define SINC        64
#define COARSE_S    10

/* n samples of x from the fractional position at: windowed sinc of SINC taps */
static bool sample_at(float *out, size_t n, const float *x, size_t x_n, double at)
{
	double whole = floor(at), part = at - whole;
	long from = (long)whole - SINC / 2 + 1;
	double tap[SINC];
	if (from < 0 || (size_t)from + n + SINC > x_n)
		return false;
	for (int i = 0; i < SINC; i++) {
		double d = i - SINC / 2 + 1 - part, u = d / (SINC / 2.0);
		double w = fabs(u) < 1 ? 0.42 + 0.5 * cos(M_PI * u) + 0.08 * cos(2 * M_PI * u) : 0;
		tap[i] = fabs(d) < 1e-12 ? 1 : sin(M_PI * d) / (M_PI * d) * w;
	}
	if (part == 0) {
		memcpy(out, x + (long)whole, n * sizeof *out);
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		double sum = 0;
		for (int k = 0; k < SINC; k++)
			sum += x[(size_t)from + i + (size_t)k] * tap[k];
		out[i] = (float)sum;
	}
	return true;
}

struct fit {
	double delay, gain, signal, error, like;
};

/* reference segment r against heard from `at`: gain by least squares, what is left over */
static bool fit_at(struct fit *f, const float *r, size_t n, const float *heard, size_t heard_n, double at,
		   float *scratch)
{
	double rr = 0, rh = 0, hh = 0;
	if (!sample_at(scratch, n, heard, heard_n, at))
		return false;
	for (size_t i = 0; i < n; i++) {
		rr += (double)r[i] * r[i];
		rh += (double)r[i] * scratch[i];
		hh += (double)scratch[i] * scratch[i];
	}
	f->delay = at;
	f->gain = rh / rr;
	f->signal = f->gain * f->gain * rr;
	f->error = hh - f->gain * rh;
	if (f->error < 0)
		f->error = 0;
	f->like = hh > 0 ? rh / sqrt(rr * hh) : 0;
	return true;
}

/* the lag of the best normalised correlation within from .. to (positions in heard) */
static double best_lag(const float *r, size_t n, const float *heard, size_t heard_n, long from, long to,
		       double *like)
{
	*like = -2;
	if (from < 0)
		from = 0;
	if (to + (long)n > (long)heard_n)
		to = (long)heard_n - (long)n;
	if (to <= from)
		return -1;
	size_t lags = (size_t)(to - from);
	double *c = malloc(lags * sizeof *c), at = -1;
	if (c && correlate(c, lags, heard + from, heard_n - (size_t)from, r, n)) {
		double own = energy(r, n), around = energy(heard + from, n);
		for (size_t k = 0; k < lags; k++) {
			double v = c[k] / sqrt(own * (around > own * 1e-6 ? around : own * 1e-6));
			if (v > *like) {
				*like = v;
				at = (double)from + (double)k;
			}
			double gone = heard[(size_t)from + k];
			double come = (size_t)from + k + n < heard_n ? heard[(size_t)from + k + n] : 0;
			around += come * come - gone * gone;
		}
	}
	free(c);
	return at;
}

/*
 * Delay of the loudest part, up to COARSE_S seconds, of the reference. What was heard may end sooner
 * than the reference: only parts are taken for which every delay up to max_s can be tried, or a
 * neighbouring period of the voice would be taken for the best of those that can.
 */
static double coarse_delay(const float *r, size_t rn, const float *heard, size_t hn, unsigned rate,
			   double max_s)
{
	size_t n = (size_t)rate * COARSE_S, at = 0, lags = (size_t)(max_s * rate) + 1;
	double best = -1, like, where;

	if (n > rn)
		n = rn;
	if (hn > lags && n > hn - lags)
		n = hn - lags;
	else if (hn <= lags)
		n /= 2;
	for (size_t i = 0; i + n <= rn && (i == 0 || i + n + lags <= hn); i += rate / 2) {
		double e = energy(r + i, n);
		if (e > best) {
			best = e;
			at = i;
		}
	}
	where = best_lag(r + at, n, heard, hn, (long)at - (long)rate / 100, (long)(at + lags), &like);
	return where < 0 ? where : where - (double)at;
}

bool signal_compare(struct signal_likeness *out, const float *reference, size_t reference_n,
		    const float *heard, size_t heard_n, unsigned rate, double max_delay_s)
{
	size_t n = (size_t)rate * SEGMENT_MS / 1000, most = reference_n / (n ? n : 1) + 1;
	/* 1/64 sample at 48 kHz: at 8 kHz a whole 1/64 would limit the figure at the band's edge */
	double grid = (double)rate / 48000 / 64;
	double *times = malloc(2 * most * sizeof *times), *delays = times + most;
	float *scratch = malloc(n * sizeof *scratch);
	double weight = 0, error = 0, gain = 0, delay = 0, last = 0;
	bool ok = false;

	memset(out, 0, sizeof *out);
	out->worst_snr_db = 1e9;
	if (!times || !scratch || reference_n < n || heard_n < n)
		goto out;
	last = coarse_delay(reference, reference_n, heard, heard_n, rate, max_delay_s);
	if (last < -(double)rate / 100 - 1)
		goto out;
	for (size_t at = 0; at + n <= reference_n; at += n) {
		const float *r = reference + at;
		struct fit best, f;
		double like, where;
		if (signal_rms_dbfs(r, n) < QUIET_DBFS)
			continue;
		long near = (long)((double)at + last), reach = (long)rate * 3 / 1000;
		where = best_lag(r, n, heard, heard_n, near - reach, near + reach + 1, &like);
		if (like < 0.7) { /* it may have jumped */
			double like_far, far;
			reach = (long)rate / 10;
			far = best_lag(r, n, heard, heard_n, near - reach, near + reach + 1, &like_far);
			if (like_far > like + 0.1)
				where = far;
		}
		if (where < 0 || !fit_at(&best, r, n, heard, heard_n, where, scratch))
			continue;
		for (double s = 0.5; s >= grid * 0.99; s /= 2) {
			double centre = best.delay;
			for (int side = -1; side <= 1; side += 2) {
				if (fit_at(&f, r, n, heard, heard_n, centre + side * s, scratch) &&
				    f.error * best.signal < best.error * f.signal && f.gain > 0)
					best = f;
			}
		}
		double energy_here = best.signal + 1e-30, d = (best.delay - (double)at) / rate;
		double snr = 10 * log10(best.signal / (best.error + 1e-30) + 1e-30);
		times[out->segments] = (double)at / rate / 60;
		delays[out->segments] = d;
		if (out->segments == 0 || d < out->delay_min_s)
			out->delay_min_s = d;
		if (out->segments == 0 || d > out->delay_max_s)
			out->delay_max_s = d;
		out->segments++;
		if (snr < out->worst_snr_db)
			out->worst_snr_db = snr;
		weight += energy_here;
		error += best.error;
		gain += best.gain * energy_here;
		delay += d * energy_here;
		if (best.like > 0.5)
			last = best.delay - (double)at;
	}
	if (out->segments == 0)
		goto out;
	out->snr_db = 10 * log10(weight / (error + 1e-30));
	out->gain = gain / weight;
	out->delay_s = delay / weight;
	double mean = 0, square = 0;
	for (size_t i = 0; i < out->segments; i++)
		mean += delays[i] / (double)out->segments;
	for (size_t i = 0; i < out->segments; i++)
		square += (delays[i] - mean) * (delays[i] - mean) / (double)out->segments;
	out->delay_sd_s = sqrt(square);
	out->slope_ms_per_min = 1e3 * signal_slope(times, delays, out->segments);
	ok = true;
out:
	free(times);
	free(scratch);
	return ok;
}
