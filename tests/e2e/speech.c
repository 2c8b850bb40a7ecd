/* SPDX-License-Identifier: MIT
 *
 * speech.c - see speech.h.
 */
#include "tests/e2e/speech.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e/harness.h"
#include "tests/e2e/signal.h"

static float *room_for(struct speech *s, size_t n)
{
	float *p = realloc(s->samples, (s->count + n + 1) * sizeof(*p));

	if (!p)
		abort();
	s->samples = p;
	p += s->count;
	memset(p, 0, n * sizeof(*p));
	s->count += n;
	return p;
}

void speech_append(struct speech *s, const struct speech *more)
{
	float *p = room_for(s, more->count);

	memcpy(p, more->samples, more->count * sizeof(*p));
}

/* Fourth-order Butterworth: two second-order sections, bilinear transform. */
void speech_limit_low(struct speech *s, double cutoff_hz)
{
	static const double q[2] = {0.54119610, 1.30656296};

	for (int k = 0; k < 2; k++) {
		double w = 2 * M_PI * cutoff_hz / s->rate, alpha = sin(w) / (2 * q[k]);
		double a0 = 1 + alpha, b0 = (1 + cos(w)) / 2 / a0, b1 = -2 * b0;
		double a1 = -2 * cos(w) / a0, a2 = (1 - alpha) / a0;
		double x1 = 0, x2 = 0, y1 = 0, y2 = 0;

		for (size_t i = 0; i < s->count; i++) {
			double x = s->samples[i];
			double y = b0 * (x + x2) + b1 * x1 - a1 * y1 - a2 * y2;

			x2 = x1;
			x1 = x;
			y2 = y1;
			y1 = y;
			s->samples[i] = (float)y;
		}
	}
}

void speech_append_silence(struct speech *s, double seconds)
{
	room_for(s, (size_t)lrint(seconds * s->rate));
}

void speech_append_chirps(struct speech *s, int count, int every_ms)
{
	size_t step = (size_t)every_ms * s->rate / 1000, n = s->rate / 5;
	float *p = room_for(s, step * (size_t)count);

	for (int i = 0; i < count; i++)
		signal_chirp(p + step * (size_t)i, n, s->rate, i & 1 ? 3400 : 300,
			     i & 1 ? 300 : 3400, -9);
}

void speech_read(struct speech *s, const char *path, unsigned rate)
{
	struct wav w;

	memset(s, 0, sizeof(*s));
	if (wav_read(&w, path))
		harness_failed("cannot read %s (a 16-bit PCM WAV file is wanted)", path);
	s->rate = rate;
	if (w.rate == rate) {
		memcpy(room_for(s, w.frames), w.samples, w.frames * sizeof(float));
	} else if (w.rate == 8000 && rate == 48000) {
		s->count = signal_resample(&s->samples, w.samples, w.frames, w.rate, rate);
	} else {
		/* any rate: windowed sinc of 64 taps at the lower rate, in double */
		double ratio = (double)w.rate / rate, cut = ratio > 1 ? 0.95 / ratio : 0.95;
		long half = (long)(32 / cut);
		size_t n = (size_t)((double)w.frames / ratio);
		float *p = room_for(s, n);

		for (size_t i = 0; i < n; i++) {
			double at = (double)i * ratio, sum = 0;
			long c = (long)at;

			for (long k = c - half; k <= c + half; k++) {
				double x = ((double)k - at) * cut,
				       t = ((double)k - at) / (double)half;

				if (k < 0 || k >= (long)w.frames || fabs(t) >= 1)
					continue;
				sum += w.samples[k] * cut *
				       (x == 0 ? 1 : sin(M_PI * x) / (M_PI * x)) *
				       (0.5 + 0.5 * cos(M_PI * t));
			}
			p[i] = (float)sum;
		}
	}
	wav_free(&w);
}

bool speech_make(struct speech *s, const char *dir, const char *voice, const char *text,
		 double peak_dbfs, unsigned rate)
{
	char path[512], log[512];
	const char *argv[] = {"espeak-ng", "-v", voice, "-s", "150", "-w", path, text, NULL};
	struct process p;
	float peak = 0;

	memset(s, 0, sizeof(*s));
	snprintf(path, sizeof(path), "%s/speech.wav", dir);
	snprintf(log, sizeof(log), "%s/espeak.log", dir);
	unlink(path);
	process_start(&p, "espeak-ng", argv, NULL, NULL, log, -1, -1, 0);
	process_end(&p, 0, 20000);
	if (p.status || access(path, R_OK))
		return false;
	speech_read(s, path, rate);
	unlink(path);
	for (size_t i = 0; i < s->count; i++)
		peak = fmaxf(peak, fabsf(s->samples[i]));
	for (size_t i = 0; i < s->count && peak > 0; i++)
		s->samples[i] *= (float)pow(10, peak_dbfs / 20) / peak;
	return s->count > rate / 2;
}

void speech_free(struct speech *s)
{
	free(s->samples);
	memset(s, 0, sizeof(*s));
}
