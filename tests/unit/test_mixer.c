/* SPDX-License-Identifier: MIT */
#include "alsa/mixer.h"

#include <stdint.h>

#include "test_random.h"
#include "unit.h"

#define FRAMES 240

static uint32_t seed = 7;

static float noise(float amplitude)
{
	return amplitude * test_noise(&seed);
}

static void test_refuses_bad_sizes(void)
{
	struct mixer *m;
	CHECK_INT(mixer_create(&m, 0), -22);
	CHECK_INT(mixer_create(&m, 100000), -22);
	CHECK(m == NULL);
	mixer_destroy(NULL);
}

static void test_nobody_hears_himself(void)
{
	struct mixer *m;
	static float party[10][FRAMES], with[FRAMES], without[FRAMES];
	CHECK_INT(mixer_create(&m, FRAMES), 0);
	for (int p = 0; p < 10; p++) {
		for (int i = 0; i < FRAMES; i++)
			party[p][i] = noise(p == 3 ? 1.0f : 0.001f);
	}
	/* the mix that one party gets is, bit for bit, the mix of a line on which he is not */
	for (int own = 0; own < 10; own++) {
		mixer_begin(m);
		for (int p = 0; p < 10; p++)
			mixer_add(m, party[p]);
		CHECK_INT(mixer_parties(m), 10);
		mixer_sum_without(m, party[own], without);
		mixer_begin(m);
		for (int p = 0; p < 10; p++) {
			if (p != own)
				mixer_add(m, party[p]);
		}
		mixer_sum(m, with);
		CHECK_MEM(with, without, sizeof with);
	}
	/* alone on the line: digital silence */
	mixer_begin(m);
	mixer_add(m, party[3]);
	mixer_sum_without(m, party[3], without);
	for (int i = 0; i < FRAMES; i++)
		CHECK(without[i] == 0);
	mixer_destroy(m);
}

static void test_sum_is_exact_for_16_bit_sound(void)
{
	struct mixer *m;
	static float a[FRAMES], b[FRAMES], out[FRAMES];
	CHECK_INT(mixer_create(&m, FRAMES), 0);
	for (int i = 0; i < FRAMES; i++) {
		a[i] = (float)(i * 97 - 12000) / 32768;
		b[i] = (float)(20000 - i * 131) / 32768;
	}
	mixer_begin(m);
	mixer_sum(m, out);
	for (int i = 0; i < FRAMES; i++)
		CHECK(out[i] == 0);
	mixer_add(m, a);
	mixer_sum(m, out);
	CHECK_MEM(out, a, sizeof a);
	mixer_add(m, b);
	mixer_sum(m, out);
	for (int i = 0; i < FRAMES; i++)
		CHECK(out[i] == a[i] + b[i]);
	mixer_destroy(m);
}

static void test_wild_samples_and_too_many_parties_are_bounded(void)
{
	struct mixer *m;
	static float wild[FRAMES], out[FRAMES], mine[FRAMES];
	CHECK_INT(mixer_create(&m, FRAMES), 0);
	for (int i = 0; i < FRAMES; i++)
		wild[i] = i % 4 == 0 ? NAN : i % 4 == 1 ? INFINITY : i % 4 == 2 ? -INFINITY : 1e30f;
	mixer_begin(m);
	for (int p = 0; p < 200; p++)
		mixer_add(m, wild);
	CHECK_INT(mixer_parties(m), MIXER_MAX_PARTIES);
	mixer_sum(m, out);
	for (int i = 0; i < FRAMES; i++)
		CHECK(fabsf(out[i]) <= 4.0f * MIXER_MAX_PARTIES);
	mixer_begin(m);
	mixer_add(m, wild);
	mixer_sum_without(m, wild, mine);
	for (int i = 0; i < FRAMES; i++)
		CHECK(mine[i] == 0);
	mixer_destroy(m);
}

/* Blocks need be no multiple of anything: 8 kHz makes 37 frames of 4.6 ms, say. */
static void test_odd_lengths(void)
{
	struct mixer *m;
	float a[37], b[37], out[38], mine[38];
	for (unsigned frames = 1; frames <= 37; frames++) {
		CHECK_INT(mixer_create(&m, frames), 0);
		for (unsigned i = 0; i < frames; i++) {
			a[i] = (float)((int)i * 97 - 1200) / 32768;
			b[i] = (float)(2000 - (int)i * 131) / 32768;
		}
		out[frames] = mine[frames] = 42;
		mixer_begin(m);
		mixer_add(m, a);
		mixer_add(m, b);
		mixer_sum(m, out);
		mixer_sum_without(m, a, mine);
		for (unsigned i = 0; i < frames; i++) {
			CHECK(out[i] == a[i] + b[i]);
			CHECK(mine[i] == b[i]);
		}
		CHECK(out[frames] == 42 && mine[frames] == 42);
		mixer_destroy(m);
		/* the limiter sees every sample, the last ones too */
		for (unsigned i = 0; i < frames; i++) {
			struct limiter l;
			limiter_init(&l, 8000);
			memset(out, 0, sizeof out);
			out[i] = -3;
			limiter_run(&l, out, frames);
			CHECK_NEAR(out[i], -LIMITER_CEILING, 1e-6);
		}
	}
}

static void test_limiter_leaves_normal_sound_alone(void)
{
	struct limiter l;
	static float x[FRAMES], y[FRAMES];
	limiter_init(&l, 48000);
	for (int b = 0; b < 100; b++) {
		for (int i = 0; i < FRAMES; i++)
			x[i] = y[i] = noise(LIMITER_CEILING);
		limiter_run(&l, y, FRAMES);
		CHECK_MEM(x, y, sizeof x);
	}
	CHECK(l.gain == 1);
}

static void test_limiter_never_clips(void)
{
	struct limiter l;
	static float x[FRAMES];
	limiter_init(&l, 48000);
	for (int b = 0; b < 2000; b++) {
		float amplitude = b % 7 == 0 ? 12.0f : b % 3 == 0 ? 3.0f : 0.4f;
		for (int i = 0; i < FRAMES; i++)
			x[i] = noise(amplitude);
		limiter_run(&l, x, FRAMES);
		for (int i = 0; i < FRAMES; i++)
			CHECK(fabsf(x[i]) <= LIMITER_CEILING);
		CHECK(l.gain > 0 && l.gain <= 1);
	}
}

/* Ten loud speakers for ten seconds: a steady sum must come out as a steady, undistorted sine. */
static void test_limiter_does_not_distort_or_pump(void)
{
	struct limiter l;
	static float x[FRAMES];
	double ss = 0, cc = 0, ys = 0, yc = 0, all = 0, low = 9, high = 0;
	limiter_init(&l, 48000);
	for (int b = 0; b < 2000; b++) {
		for (int i = 0; i < FRAMES; i++)
			x[i] = (float)(3.7 * sin(2 * M_PI * 317 * (b * FRAMES + i) / 48000.0));
		limiter_run(&l, x, FRAMES);
		if (b < 100)
			continue;
		low = l.gain < low ? l.gain : low;
		high = l.gain > high ? l.gain : high;
		for (int i = 0; i < FRAMES; i++) {
			double t = 2 * M_PI * 317 * (b * FRAMES + i) / 48000.0;
			ss += sin(t) * sin(t);
			cc += cos(t) * cos(t);
			ys += x[i] * sin(t);
			yc += x[i] * cos(t);
			all += x[i] * x[i];
		}
	}
	double tone = ys * ys / ss + yc * yc / cc;
	CHECK(all - tone < 1e-5 * tone); /* -50 dB */
	CHECK(20 * log10(high / low) < 0.1);
}

static void test_limiter_comes_back_slowly_and_wholly(void)
{
	struct limiter l;
	static float x[FRAMES];
	limiter_init(&l, 48000);
	for (int i = 0; i < FRAMES; i++)
		x[i] = 1.97f;
	limiter_run(&l, x, FRAMES);
	CHECK_NEAR(l.gain, 0.5, 0.001);
	int blocks = 0;
	float previous = l.gain;
	while (l.gain < 1) {
		for (int i = 0; i < FRAMES; i++)
			x[i] = 0.1f;
		limiter_run(&l, x, FRAMES);
		CHECK(l.gain >= previous);
		CHECK(20 * log10(l.gain / previous) < 0.1);
		previous = l.gain;
		CHECK(++blocks < 1000);
	}
	CHECK(l.gain == 1.0f);
	CHECK_NEAR(blocks * 5, 550, 30); /* hold 50 ms, then 6 dB in 500 ms */
}

/* One gain for both sides, that of the louder; neither above the ceiling, and the image does not move. */
static void test_limiter_linked(void)
{
	struct limiter l, alone;
	static float left[FRAMES], right[FRAMES], mono[FRAMES];
	limiter_init(&l, 48000);
	limiter_init(&alone, 48000);
	for (int b = 0; b < 400; b++) {
		int loud = b % 50 < 10, swapped = b % 100 >= 50;
		for (int i = 0; i < FRAMES; i++) {
			float v = noise(loud ? 2.5f : 0.5f);
			left[i] = swapped ? v / 8 : v;
			right[i] = swapped ? v : v / 8;
			mono[i] = v;
		}
		limiter_run_linked(&l, left, right, FRAMES);
		limiter_run(&alone, mono, FRAMES);
		for (int i = 0; i < FRAMES; i++) {
			CHECK(fabsf(left[i]) <= LIMITER_CEILING && fabsf(right[i]) <= LIMITER_CEILING);
			CHECK_NEAR(swapped ? right[i] / 8 : left[i] / 8, swapped ? left[i] : right[i], 1e-6);
			CHECK_NEAR(swapped ? right[i] : left[i], mono[i], 1e-6);
		}
	}
}

int main(void)
{
	UNIT(test_refuses_bad_sizes);
	UNIT(test_nobody_hears_himself);
	UNIT(test_sum_is_exact_for_16_bit_sound);
	UNIT(test_wild_samples_and_too_many_parties_are_bounded);
	UNIT(test_odd_lengths);
	UNIT(test_limiter_leaves_normal_sound_alone);
	UNIT(test_limiter_never_clips);
	UNIT(test_limiter_does_not_distort_or_pump);
	UNIT(test_limiter_linked);
	UNIT(test_limiter_comes_back_slowly_and_wholly);
	return unit_done();
}
