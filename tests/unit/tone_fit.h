/* SPDX-License-Identifier: MIT
 *
 * tone_fit.h - how far from a pure tone what came out of a resampler is; for its tests and bench.
 */
#ifndef TESTS_UNIT_TONE_FIT_H
#define TESTS_UNIT_TONE_FIT_H

#include <math.h>

/* Least-squares fit of a sine at phase w * pos[i]: amplitude, and residual power over tone power. */
static inline double tone_fit(const float *y, const double *pos, int from, int to, double w, double *amplitude,
		  double *phase)
{
	double ss = 0, sc = 0, cc = 0, ys = 0, yc = 0, rest = 0, power = 0;
	for (int i = from; i < to; i++) {
		double s = sin(w * pos[i]), c = cos(w * pos[i]);
		ss += s * s;
		cc += c * c;
		sc += s * c;
		ys += y[i] * s;
		yc += y[i] * c;
	}
	double det = ss * cc - sc * sc, a = (ys * cc - yc * sc) / det, b = (yc * ss - ys * sc) / det;
	for (int i = from; i < to; i++) {
		double m = a * sin(w * pos[i]) + b * cos(w * pos[i]);
		rest += (y[i] - m) * (y[i] - m);
		power += m * m;
	}
	*amplitude = sqrt(a * a + b * b);
	if (phase)
		*phase = atan2(b, a);
	return rest / power;
}

#endif
