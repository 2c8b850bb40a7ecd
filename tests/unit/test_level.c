/* SPDX-License-Identifier: MIT */
#include "alsa/level.h"
#include "alsa/resampler.h"

#include "test_random.h"
#include "unit.h"

#define FRAMES 240

static void tone(float *x, long at, double hz, double amplitude)
{
	for (int i = 0; i < FRAMES; i++)
		x[i] = (float)(amplitude * sin(2 * M_PI * hz * (double)(at + i) / 48000));
}

static void test_levels_of_known_signals(void)
{
	struct level l = {0};
	float x[FRAMES];
	CHECK_NEAR(level_peak_dbfs(&l), LEVEL_SILENCE_DBFS, 0);
	CHECK_NEAR(level_rms_dbfs(&l), LEVEL_SILENCE_DBFS, 0);
	for (int b = 0; b < 200; b++) {
		tone(x, b * FRAMES, 1000, 0.1);
		level_add(&l, x, FRAMES);
	}
	CHECK_NEAR(level_peak_dbfs(&l), -20, 0.01);
	CHECK_NEAR(level_rms_dbfs(&l), -23.01, 0.01);
	level_clear(&l);
	for (int i = 0; i < FRAMES; i++)
		x[i] = i & 1 ? 1 : -1;
	level_add(&l, x, FRAMES);
	CHECK_NEAR(level_peak_dbfs(&l), 0, 1e-6);
	CHECK_NEAR(level_rms_dbfs(&l), 0, 1e-6);
}

static void test_energy_of_every_length(void)
{
	float x[FRAMES];
	double sum = 0;

	for (int i = 0; i < FRAMES; i++)
		x[i] = (float)(i * 37 % 101 - 50) / 64; /* squares whose sums are exact */
	for (unsigned n = 0; n < FRAMES; n++) {
		CHECK_NEAR(level_energy(x, n), sum, 0);
		sum += (double)x[n] * x[n];
	}
	x[FRAMES - 1] = NAN;
	CHECK(isnan(level_energy(x, FRAMES)));
	memset(x, 0, sizeof x);
	CHECK(level_energy(x, FRAMES) == 0);
	x[FRAMES - 3] = 1e-9f;
	CHECK(level_energy(x, FRAMES) > 0);
}

static void test_silence_is_exact_zero(void)
{
	float x[FRAMES] = {0};
	int16_t s[FRAMES] = {0};
	CHECK(level_is_silent(x, FRAMES));
	CHECK(level_is_silent_s16(s, FRAMES));
	CHECK(level_is_silent(x, 0));
	x[FRAMES - 1] = -1e-9f;
	s[FRAMES - 1] = -1;
	CHECK(!level_is_silent(x, FRAMES));
	CHECK(!level_is_silent_s16(s, FRAMES));
	x[FRAMES - 1] = -0.0f;
	CHECK(level_is_silent(x, FRAMES));
}

/* first block after which wide is as wanted, or -1 */
static int blocks_until(struct level_band *b, bool wanted, double hz, double amplitude, int most)
{
	float x[FRAMES];
	for (int i = 0; i < most; i++) {
		tone(x, (long)i * FRAMES, hz, amplitude);
		if (level_band_run(b, x, FRAMES) == wanted)
			return i;
	}
	return -1;
}

static void test_telephone_sound_is_not_wide(void)
{
	struct level_band b;
	level_band_init(&b);
	static const double inside[] = {300, 1000, 2500, 3400, 3900};
	for (int i = 0; i < 5; i++)
		CHECK_INT(blocks_until(&b, true, inside[i], 0.9, 400), -1);
}

/* White noise at 8 kHz fills the band to its very edge; its images after conversion are the worst
 * that a telephone can do. */
static void test_noise_from_a_telephone_is_not_wide(void)
{
	struct level_band b;
	struct resampler *r;
	uint32_t seed = 1;
	level_band_init(&b);
	CHECK_INT(resampler_create(&r, 8000, 48000, 240), 0);
	for (int k = 0; k < 2000; k++) {
		float in[40], out[300];
		for (int i = 0; i < 40; i++)
			in[i] = 0.5f * test_noise(&seed);
		CHECK_INT(resampler_push(r, in, 40, out), 240);
		CHECK(!level_band_run(&b, out, FRAMES));
	}
	resampler_destroy(r);
}

static void test_wide_sound_is_noticed_soon_and_forgotten_late(void)
{
	struct level_band b;
	static const double wide[] = {6000, 8000, 12000, 18000};
	for (int i = 0; i < 4; i++) {
		level_band_init(&b);
		int n = blocks_until(&b, true, wide[i], 0.01, 400);
		CHECK(n >= 3 && n <= 8);
		n = blocks_until(&b, false, 500, 0, 4000); /* silence */
		CHECK_NEAR(n * 5, 3000, 200);
	}
	/* too faint to be heard */
	level_band_init(&b);
	CHECK_INT(blocks_until(&b, true, 8000, 0.0005, 400), -1);
	/* a click is wide, but no reason to change anything */
	float x[FRAMES] = {[100] = 0.9f};
	level_band_init(&b);
	CHECK(!level_band_run(&b, x, FRAMES));
	x[100] = 0;
	for (int i = 0; i < 10; i++)
		CHECK(!level_band_run(&b, x, FRAMES));
}

static void test_another_bound(void)
{
	static const struct {
		double hz;
		bool wide;
	} tones[] = {{1000, false}, {5900, false}, {7700, false}, {8800, true}, {9500, true}, {18000, true}};
	for (int i = 0; i < 6; i++) {
		struct level_band b;
		level_band_init_above(&b, 8600);
		int n = blocks_until(&b, true, tones[i].hz, 0.2, 400);
		CHECK((n >= 0) == tones[i].wide);
	}
}

static void test_wide_sound_under_loud_speech(void)
{
	struct level_band b;
	float x[FRAMES], y[FRAMES];
	bool wide = false;
	level_band_init(&b);
	for (int k = 0; k < 20; k++) {
		tone(x, k * FRAMES, 700, 0.8);
		tone(y, k * FRAMES, 9000, 0.02);
		for (int i = 0; i < FRAMES; i++)
			x[i] += y[i];
		wide = level_band_run(&b, x, FRAMES);
	}
	CHECK(wide);
}

static void test_block_length_does_not_matter(void)
{
	static float x[4800];
	struct level_band a, b;
	level_band_init(&a);
	level_band_init(&b);
	for (int i = 0; i < 4800; i++)
		x[i] = (float)(0.1 * sin(2 * M_PI * 7000 * i / 48000.0));
	CHECK(level_band_run(&a, x, 4800));
	for (int i = 0; i < 4800; i += 37)
		level_band_run(&b, x + i, i + 37 < 4800 ? 37 : (unsigned)(4800 - i));
	CHECK(b.wide.on);
	CHECK_NEAR(10 * log10(a.high / b.high), 0, 0.2);
}

static int windows_until(struct level_side *s, bool differ, double left, double right, int most)
{
	float l[FRAMES], r[FRAMES];
	for (int k = 0; k < most; k++) {
		tone(l, k * FRAMES, 700, left);
		tone(r, k * FRAMES, 700, right);
		if (level_side_run(s, l, r, FRAMES) == differ)
			return k;
	}
	return -1;
}

static void test_sides_that_differ(void)
{
	struct level_side s = {0};
	CHECK_INT(windows_until(&s, true, 0.5, 0.5, 400), -1);
	/* a difference of 60 dB below the sound, or one that nobody hears, is none */
	CHECK_INT(windows_until(&s, true, 0.5, 0.501, 400), -1);
	CHECK_INT(windows_until(&s, true, 0.0005, 0, 400), -1);
	int n = windows_until(&s, true, 0.5, 0.4, 400);
	CHECK(n >= 3 && n <= 8);
	n = windows_until(&s, false, 0.5, 0.5, 4000);
	CHECK_NEAR(n * 5, 3000, 200);
	/* one side alone */
	n = windows_until(&s, true, 0, 0.02, 400);
	CHECK(n >= 3 && n <= 8);
	/* a click on one side is no reason to change anything */
	float x[FRAMES] = {[100] = 0.9f}, zero[FRAMES] = {0};
	s = (struct level_side){0};
	CHECK(!level_side_run(&s, x, zero, FRAMES));
	for (int i = 0; i < 10; i++)
		CHECK(!level_side_run(&s, zero, zero, FRAMES));
}

int main(void)
{
	UNIT(test_levels_of_known_signals);
	UNIT(test_energy_of_every_length);
	UNIT(test_silence_is_exact_zero);
	UNIT(test_telephone_sound_is_not_wide);
	UNIT(test_noise_from_a_telephone_is_not_wide);
	UNIT(test_wide_sound_is_noticed_soon_and_forgotten_late);
	UNIT(test_another_bound);
	UNIT(test_wide_sound_under_loud_speech);
	UNIT(test_block_length_does_not_matter);
	UNIT(test_sides_that_differ);
	return unit_done();
}
