/* SPDX-License-Identifier: MIT
 *
 * bench_resampler.c - quality of the resamplers: response, images, aliases, residual while the ratio
 * moves, delay; the mu-law limit of a tone; the chain up and down.
 */
#include "alsa/resampler.h"
#include "report.h"
#include "tests/e2e/signal.h"
#include "tests/unit/tone_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float y[48000];
static double pos[48000];

static double fit(int from, int to, double w, double *amplitude)
{
	return 10 * log10(tone_fit(y, pos, from, to, w, amplitude, NULL));
}

/* one second of tone; the ratio swings by +-swing around ppm from block to block */
static int tone_through(unsigned in, unsigned out, double hz, double ppm, double swing)
{
	static float x[2048];
	struct resampler *r;
	unsigned block = out / 200;
	int got = 0;
	long fed = 0;
	double nominal = (double)in / out, at = 0, step = nominal;

	if (resampler_create(&r, in, out, block) != 0)
		exit(1);
	for (int b = 0; b < 200; b++) {
		double p = ppm + (b & 1 ? swing : -swing), wanted = nominal * (1 + p * 1e-6);
		resampler_set_ppm(r, p);
		unsigned n = resampler_needs(r, block);
		for (unsigned i = 0; i < n; i++, fed++)
			x[i] = (float)(0.5 * sin(2 * M_PI * hz * (double)fed / in));
		resampler_pull(r, x, y + got, block);
		for (unsigned i = 0; i < block; i++) {
			pos[got + (int)i] = at;
			at += step + (wanted - step) * i / block;
		}
		step = wanted;
		got += (int)block;
	}
	resampler_destroy(r);
	return got;
}

static void kind(unsigned in, unsigned out)
{
	char group[48];
	double flat = 0, still = -200, moving = -200, alias = -200, a;
	struct resampler *r;

	snprintf(group, sizeof group, "resampler %u -> %u kHz", in / 1000, out / 1000);
	for (double hz = 300; hz <= 3400; hz += 31) {
		int n = tone_through(in, out, hz, 0, 0);
		still = fmax(still, fit(n / 5, n, 2 * M_PI * hz / in, &a));
		flat = fmax(flat, fabs(signal_db(a / 0.5)));
		n = tone_through(in, out, hz, 200, 10);
		moving = fmax(moving, fit(n / 5, n, 2 * M_PI * hz / in, &a));
	}
	BENCH_ROW(group, flat, "dB", "<= 0.5", flat <= 0.5, "response 300-3400 Hz, worst deviation");
	if (out == 8000) {
		for (double hz = 4600; hz < 23950; hz += 48.3) {
			int n = tone_through(in, out, hz, 0, 0);
			alias = fmax(alias, signal_rms_dbfs(y + n / 5, (size_t)(n - n / 5)) - signal_db(0.5 / sqrt(2)));
		}
		BENCH_ROW(group, alias, "dB", "<= -80", alias <= -80, "worst alias of tones from 4.6 to 24 kHz");
	} else {
		BENCH_ROW(group, still, "dB", "<= -80", still <= -80, "worst image, 300-3400 Hz");
	}
	BENCH_ROW(group, moving, "dB", "<= -85", moving <= -85,
		  "worst residual, 300-3400 Hz, ratio 200 +- 10 ppm changing every 5 ms");
	if (resampler_create(&r, in, out, 240) != 0)
		exit(1);
	double ms = resampler_delay_ns(r) * 1e-6;
	BENCH_ROW(group, ms, "ms", in == out ? "<= 0.67" : "<= 2", ms <= (in == out ? 0.67 : 2), "delay");
	resampler_destroy(r);
}

/* 1 kHz and noise-free speech-like sound through mu-law, up, 16 bit, down: nothing but mu-law left */
static void chain(void)
{
	enum { N = 8000 * 20 };
	static float x[N], coded[N], up[N * 6 + 64], down[N + 64];
	struct resampler *u, *d;
	struct signal_likeness l;
	struct signal_gaps g;
	const char *group = "mu-law, up, 16 bit, down";

	if (resampler_create(&u, 8000, 48000, 240) != 0 || resampler_create(&d, 48000, 8000, 240) != 0)
		exit(1);
	for (int speech = 0; speech < 2; speech++) {
		if (speech)
			signal_voice(x, N, 8000, 1);
		else
			signal_tone(x, N, 8000, 1013, -12, 0);
		for (int i = 0; i < N; i++) {
			coded[i] = signal_ulaw_decode(signal_ulaw_encode(x[i]));
		}
		unsigned n = 0, m = 0;
		resampler_reset(u);
		resampler_reset(d);
		for (int i = 0; i < N; i += 40)
			n += resampler_push(u, coded + i, 40, up + n);
		for (unsigned i = 0; i < n; i++)
			up[i] = (float)(lrintf(up[i] * 32768) / 32768.0);
		for (unsigned i = 0; i + 240 <= n; i += 240)
			m += resampler_push(d, up + i, 240, down + m);
		if (speech) {
			if (!signal_compare(&l, coded, N, down, m, 8000, 0.05))
				exit(1);
			BENCH_ROW(group, l.snr_db, "dB", ">= 36", l.snr_db >= 36, "SNR against the mu-law signal");
			BENCH_ROW(group, l.gain, "", "1.00 +- 0.02", fabs(l.gain - 1) <= 0.02, "gain");
			BENCH_NOTE(group, l.delay_s * 1e3, "ms", "delay");
			signal_compare(&l, x, N, coded, N, 8000, 0.05);
			double bare = l.snr_db;
			signal_compare(&l, x, N, down, m, 8000, 0.05);
			BENCH_NOTE(group, l.snr_db, "dB", "SNR against the original (mu-law alone: %.1f)", bare);
		} else {
			signal_find_gaps(&g, down + 2000, m - 4000, 8000, 1013);
			BENCH_ROW(group, g.residual_db, "dB", "<= -35 (mu-law: -37)", g.residual_db <= -35,
				  "THD+N of 1 kHz at -12 dBFS");
			BENCH_ROW(group, (double)g.count, "", "0", g.count == 0, "gaps");
		}
	}
	resampler_destroy(u);
	resampler_destroy(d);
}

int main(void)
{
	kind(8000, 48000);
	kind(48000, 8000);
	kind(48000, 48000);
	chain();
	return 0;
}
