/* SPDX-License-Identifier: MIT
 *
 * Resampler against closed-form bounds (a tone fitted at the position the ratio integrates to) and
 * against speexdsp at its best quality.
 */
#include "alsa/resampler.h"

#include <speex/speex_resampler.h>
#include <stdbool.h>
#include <stdint.h>

#include "tone_fit.h"
#include "test_random.h"
#include "unit.h"

#define TAU 6.283185307179586

static const struct {
	unsigned in, out;
} kinds[] = {{8000, 48000}, {48000, 8000}, {48000, 48000}};
#define KINDS 3

/* One second of a tone of amplitude 0.5 through a fresh resampler, 5 ms blocks pulled; the ratio is
 * ppm, and swings by +-swing around it from block to block. Returns frames, their input positions. */
static int tone_through(unsigned in, unsigned out, double hz, double ppm, double swing, float *y,
			double *pos)
{
	static float x[2048];
	struct resampler *r;
	unsigned block = out / 200;
	int got = 0;
	int64_t fed = 0;
	double nominal = (double)in / out, at = 0, step = nominal;

	CHECK_INT(resampler_create(&r, in, out, block), 0);
	for (int b = 0; b < 200; b++) {
		double wanted = nominal * (1 + (ppm + (b & 1 ? swing : -swing)) * 1e-6);
		resampler_set_ppm(r, ppm + (b & 1 ? swing : -swing));
		unsigned n = resampler_needs(r, block);
		for (unsigned i = 0; i < n; i++, fed++)
			x[i] = (float)(0.5 * sin(TAU * hz * (double)fed / in));
		resampler_pull(r, x, y + got, block);
		for (unsigned i = 0; i < block; i++) {
			pos[got + i] = at;
			at += step + (wanted - step) * i / block;
		}
		step = wanted;
		got += (int)block;
	}
	resampler_destroy(r);
	return got;
}

static float y[48000];
static double pos[48000];

static void test_refuses_what_it_cannot_do(void)
{
	struct resampler *r;
	CHECK_INT(resampler_create(&r, 44100, 48000, 240), -22);
	CHECK(r == NULL);
	CHECK_INT(resampler_create(&r, 8000, 8000, 240), -22);
	CHECK_INT(resampler_create(&r, 8000, 48000, 0), -22);
	CHECK_INT(resampler_create(&r, 8000, 48000, RESAMPLER_MAX_FRAMES + 1), -22);
	resampler_destroy(NULL);
}

static void test_telephone_band_is_flat_and_its_images_are_gone(void)
{
	for (int k = 0; k < KINDS; k++) {
		for (double hz = 300; hz <= 3400; hz += 77.5) {
			double amplitude;
			int n = tone_through(kinds[k].in, kinds[k].out, hz, 0, 0, y, pos);
			double rest = tone_fit(y, pos, n / 5, n, TAU * hz / kinds[k].in, &amplitude, NULL);
			CHECK_NEAR(20 * log10(amplitude / 0.5), 0, 0.1);
			/* images of an up-conversion are all that can be left over */
			CHECK(10 * log10(rest) < -80);
		}
	}
}

static void test_nothing_above_the_telephone_band_folds_into_it(void)
{
	double worst = -200;
	for (double hz = 4600; hz < 23950; hz += 96.7) {
		int n = tone_through(48000, 8000, hz, 0, 0, y, pos);
		double power = 0;
		for (int i = n / 5; i < n; i++)
			power += y[i] * y[i];
		double db = 10 * log10(power / (n - n / 5) / 0.125 + 1e-30);
		if (db > worst)
			worst = db;
	}
	CHECK(worst < -80);
}

static void test_wide_sound_passes_48_to_48(void)
{
	double amplitude;
	int n = tone_through(48000, 48000, 16000, 0, 0, y, pos);
	tone_fit(y, pos, n / 5, n, TAU * 16000 / 48000, &amplitude, NULL);
	CHECK_NEAR(20 * log10(amplitude / 0.5), 0, 0.2);
	n = tone_through(48000, 48000, 20000, 0, 0, y, pos);
	tone_fit(y, pos, n / 5, n, TAU * 20000 / 48000, &amplitude, NULL);
	CHECK_NEAR(20 * log10(amplitude / 0.5), 0, 3);
}

static void test_tone_stays_clean_while_the_ratio_moves(void)
{
	static const double ppms[] = {-300, -5, 0, 200, 300, 2000};
	static const double tones[] = {313, 1000, 2450, 3400};
	for (int k = 0; k < KINDS; k++) {
		for (size_t p = 0; p < sizeof ppms / sizeof *ppms; p++) {
			for (size_t t = 0; t < sizeof tones / sizeof *tones; t++) {
				double a;
				int n = tone_through(kinds[k].in, kinds[k].out, tones[t], ppms[p], 10,
						     y, pos);
				double rest = tone_fit(y, pos, n / 5, n, TAU * tones[t] / kinds[k].in, &a,
						  NULL);
				CHECK(10 * log10(rest) < -85);
			}
		}
	}
}

static void test_delay_is_what_is_claimed(void)
{
	for (int k = 0; k < KINDS; k++) {
		struct resampler *r;
		double a, phase, hz = 400; /* delay below one period: no ambiguity */
		CHECK_INT(resampler_create(&r, kinds[k].in, kinds[k].out, 240), 0);
		double claimed = resampler_delay_ns(r) * 1e-9;
		resampler_destroy(r);
		CHECK(claimed <= 0.0021);
		int n = tone_through(kinds[k].in, kinds[k].out, hz, 0, 0, y, pos);
		tone_fit(y, pos, n / 5, n, TAU * hz / kinds[k].in, &a, &phase);
		/* the window of output 0 ends with input frame 0, so pos 0 is `delay` behind that frame */
		double delay = -phase / (TAU * hz);
		if (delay < 0)
			delay += 1 / hz;
		CHECK_NEAR(delay, claimed, 1e-6);
	}
}

static void test_nominal_blocks_stay_blocks(void)
{
	static float x[960], out[6000];
	struct resampler *r;
	for (int k = 0; k < KINDS; k++) {
		unsigned in = kinds[k].in / 200, made = kinds[k].out / 200;
		CHECK_INT(resampler_create(&r, kinds[k].in, kinds[k].out, 240), 0);
		for (int b = 0; b < 1000; b++) {
			/* a block of 40 is complete 5 of its last 6 input frames early */
			CHECK_INT(resampler_needs(r, made), in > made ? in - 5 : in);
			CHECK_INT(resampler_push(r, x, in, out), made);
		}
		CHECK_INT(resampler_needs(r, 0), 0);
		resampler_destroy(r);
	}
}

/* What one hour takes at a bent ratio is exact to a frame: positions never accumulate rounding. */
static void test_consumption_is_the_ratio_asked_for(void)
{
	static float x[4096], out[240];
	static const double ppms[] = {-300, 123, 500};
	for (int k = 0; k < KINDS; k++) {
		for (int p = 0; p < 3; p++) {
			struct resampler *r;
			unsigned block = kinds[k].out / 200;
			int64_t fed = 0, blocks = 20000; /* 100 s */
			CHECK_INT(resampler_create(&r, kinds[k].in, kinds[k].out, 240), 0);
			resampler_set_ppm(r, ppms[p]);
			resampler_pull(r, x, out, block); /* the ramp */
			for (int64_t b = 0; b < blocks; b++) {
				fed += resampler_needs(r, block);
				resampler_pull(r, x, out, block);
			}
			double want = (double)blocks * kinds[k].in / 200 * (1 + ppms[p] * 1e-6);
			CHECK_NEAR(fed, want, 1.0);
			resampler_destroy(r);
		}
	}
}

/* However a stream is cut into calls, and whether pushed or pulled, the samples are the same. */
static void test_cutting_changes_nothing(void)
{
	static float x[9600], a[60000], b[60000];
	uint32_t seed = 1;
	for (int k = 0; k < KINDS; k++) {
		struct resampler *r;
		unsigned na = 0, nb = 0, at = 0, total = 9600;
		for (unsigned i = 0; i < total; i++)
			x[i] = 0.5f * test_noise(&seed);
		CHECK_INT(resampler_create(&r, kinds[k].in, kinds[k].out, 960), 0);
		for (at = 0; at < total; at += 960)
			na += resampler_push(r, x + at, 960, a + na);
		resampler_reset(r);
		for (at = 0; at < total;) {
			unsigned n = 1 + test_random_below(&seed, 97);
			if (n > total - at)
				n = total - at;
			nb += resampler_push(r, x + at, n, b + nb);
			at += n;
		}
		CHECK_INT(nb, na);
		CHECK_MEM(a, b, na * sizeof *a);
		resampler_reset(r);
		for (at = 0, nb = 0; nb < na - 960;) {
			unsigned want = 1 + test_random_below(&seed, 240);
			unsigned n = resampler_needs(r, want);
			CHECK(at + n <= total);
			resampler_pull(r, x + at, b + nb, want);
			at += n;
			nb += want;
		}
		CHECK_MEM(a, b, nb * sizeof *a);
		resampler_destroy(r);
	}
}

/* Telephone-band noise through ours and through speexdsp's best; both delays are whole frames. */
static void test_agrees_with_speexdsp(void)
{
	for (int k = 0; k < 2; k++) {
		unsigned in = kinds[k].in, out = kinds[k].out, n = in;
		static float x[48000], ours[50000], theirs[50000];
		struct resampler *r;
		int err;
		for (unsigned i = 0; i < n; i++) {
			double s = 0;
			for (int h = 0; h < 40; h++)
				s += sin(TAU * (310 + 77.3 * h) * i / in + h * h);
			x[i] = (float)(s / 60);
		}
		CHECK_INT(resampler_create(&r, in, out, 960), 0);
		unsigned got = 0;
		for (unsigned at = 0; at < n; at += in / 50)
			got += resampler_push(r, x + at, in / 50, ours + got);
		SpeexResamplerState *s = speex_resampler_init(1, in, out, 10, &err);
		CHECK(s != NULL);
		spx_uint32_t in_n = n, out_n = 50000;
		CHECK_INT(speex_resampler_process_float(s, 0, x, &in_n, theirs, &out_n), 0);
		int their_delay = speex_resampler_get_output_latency(s);
		int our_delay = (int)(resampler_delay_ns(r) * 1e-9 * out + 0.5);
		double noise_power = 0, power = 0;
		for (unsigned i = out / 10; i < out - out / 10; i++) {
			double t = theirs[i + their_delay], o = ours[i + our_delay];
			noise_power += (t - o) * (t - o);
			power += t * t;
		}
		/* what is left is the 0.09 dB at the band's edge: 1 % of the top component */
		CHECK(10 * log10(power / noise_power) > 50);
		speex_resampler_destroy(s);
		resampler_destroy(r);
	}
}

static void test_a_wild_ratio_is_bounded(void)
{
	static float x[2048], out[240];
	struct resampler *r;
	CHECK_INT(resampler_create(&r, 48000, 48000, 240), 0);
	static const double wild[] = {1e9, -1e9, INFINITY, -INFINITY, NAN};
	for (int i = 0; i < 5; i++) {
		resampler_set_ppm(r, wild[i]);
		unsigned n = resampler_needs(r, 240);
		CHECK(n >= 237 && n <= 243);
		resampler_pull(r, x, out, 240);
	}
	resampler_destroy(r);
}

int main(void)
{
	UNIT(test_refuses_what_it_cannot_do);
	UNIT(test_telephone_band_is_flat_and_its_images_are_gone);
	UNIT(test_nothing_above_the_telephone_band_folds_into_it);
	UNIT(test_wide_sound_passes_48_to_48);
	UNIT(test_tone_stays_clean_while_the_ratio_moves);
	UNIT(test_delay_is_what_is_claimed);
	UNIT(test_nominal_blocks_stay_blocks);
	UNIT(test_consumption_is_the_ratio_asked_for);
	UNIT(test_cutting_changes_nothing);
	UNIT(test_agrees_with_speexdsp);
	UNIT(test_a_wild_ratio_is_bounded);
	return unit_done();
}
