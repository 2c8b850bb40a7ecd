/* SPDX-License-Identifier: MIT
 *
 * test_leveller.c - voices of different loudness, judged by ITU-T P.56 (method B) as the
 * recommendation has it, not by what the leveller thinks of them.
 */
#include "alsa/leveller.h"
#include "tests/e2e/signal.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#define RATE    48000
#define BLOCK   240
#define SECONDS 30
#define N       (SECONDS * RATE)
#define TARGET  (-26.0f)

static float x[N], y[N], right[N];

/* Active speech level in dBov: the activity at each of a row of thresholds, the envelope smoothed
 * twice by 30 ms, hangover 200 ms; the level is that which lies 15.9 dB over its own threshold. */
static double active_level(const float *s, int n)
{
	enum { STEPS = 60, STEP = RATE / 1000 };
	double g = exp(-1.0 / (RATE * 0.03)), p = 0, q = 0, sum = 0, before_a = 0, before_d = 0;
	long active[STEPS] = {0}, hang[STEPS];
	double threshold[STEPS];

	for (int j = 0; j < STEPS; j++) {
		threshold[j] = pow(10, -(double)j * 1.5 / 20); /* 0 .. -88.5 dB */
		hang[j] = RATE / 5;
	}
	for (int i = 0; i < n; i++) {
		sum += (double)s[i] * s[i];
		p = g * p + (1 - g) * fabs((double)s[i]);
		q = g * q + (1 - g) * p;
		if (i % STEP) /* 1 ms is fine enough for a hangover of 200 */
			continue;
		for (int j = STEPS - 1; j >= 0; j--) {
			hang[j] = q >= threshold[j] ? 0 : hang[j] + STEP;
			active[j] += hang[j] < RATE / 5 ? STEP : 0;
		}
	}
	for (int j = 0; j < STEPS; j++) {
		double a = active[j] ? 10 * log10(sum / (double)active[j]) : 200;
		double d = a - 20 * log10(threshold[j]) - 15.9;

		if (active[j] && d >= 0 && j > 0) { /* crossed: in between linearly */
			double w = before_d < 0 ? before_d / (before_d - d) : 0;
			return before_a + w * (a - before_a);
		}
		before_a = a;
		before_d = d;
	}
	return -100;
}

static uint32_t seed = 1;

static float noise(void)
{
	return test_noise(&seed);
}

/* Syllables, and every six seconds a pause of two. Made once: the conversion takes its time. */
static const float *voice_of(unsigned who)
{
	static float voices[3][N];
	static float narrow[N / 6];
	static bool made[3];
	float *wide;

	if (made[who])
		return voices[who];
	signal_voice(narrow, N / 6, 8000, 3 + who);
	CHECK_INT(signal_resample(&wide, narrow, N / 6, 8000, RATE), N);
	for (int i = 0; i < N; i++)
		voices[who][i] = i % (6 * RATE) < 4 * RATE ? wide[i] : 0;
	free(wide);
	made[who] = true;
	return voices[who];
}

/* That voice at that active level, over noise of that RMS. */
static void make_voice(unsigned who, double dbov, double noise_dbfs)
{
	const float *voice = voice_of(who);
	float gain = (float)pow(10, (dbov - active_level(voice, N)) / 20);

	for (int i = 0; i < N; i++)
		x[i] = voice[i] * gain + noise() * (float)(sqrt(3) * pow(10, noise_dbfs / 20));
}

static void level_it(struct leveller *l)
{
	memcpy(y, x, sizeof y);
	for (int i = 0; i < N; i += BLOCK)
		leveller_run(l, y + i, NULL, BLOCK);
}

/* One whose voice is 20 dB above another's: both come out within 2 dB of the target after the first
 * twelve seconds (of which eight are speech), and so of each other. */
static void test_voices_20_db_apart(void)
{
	static const double from[] = {-36, -26, -16};

	for (int k = 0; k < 3; k++) {
		struct leveller l;

		make_voice((unsigned)k, from[k], -80);
		CHECK_NEAR(active_level(x, N), from[k], 0.3);
		leveller_init(&l, TARGET);
		level_it(&l);
		printf("# %.0f dBov in: %.1f dBov out, gain %.1f dB\n", from[k],
		       active_level(y + 12 * RATE, N - 12 * RATE), leveller_gain_db(&l));
		CHECK_NEAR(active_level(y + 12 * RATE, N - 12 * RATE), TARGET, 2);
	}
}

/* No more than 12 dB either way, whatever comes. */
static void test_bounds(void)
{
	struct leveller l;

	make_voice(0, -48, -90);
	leveller_init(&l, TARGET);
	level_it(&l);
	CHECK_NEAR(leveller_gain_db(&l), LEVELLER_MOST_DB, 0.01);
	CHECK_NEAR(active_level(y + 12 * RATE, N - 12 * RATE), -36, 1.5);
	make_voice(0, -12, -90);
	leveller_init(&l, TARGET);
	level_it(&l);
	CHECK_NEAR(leveller_gain_db(&l), -LEVELLER_MOST_DB, 0.01);
}

/* In the second second of a pause a quiet speaker's noise is what it was, to 1 dB. Noise that begins
 * suddenly may be a word for all one knows, and is lifted by no more than 3 dB for 5 s; then no more. */
static void test_noise_in_pauses_is_not_lifted(void)
{
	struct leveller l;

	make_voice(2, -38, -62);
	leveller_init(&l, TARGET);
	level_it(&l);
	CHECK(leveller_gain_db(&l) > 8);
	for (int pause = 2; pause < SECONDS / 6; pause++) {
		int at = (pause * 6 + 5) * RATE;

		CHECK_NEAR(signal_rms_dbfs(y + at, RATE), signal_rms_dbfs(x + at, RATE), 1);
	}
	for (int loud = 0; loud < 2; loud++) {
		for (int i = 0; i < N; i++)
			x[i] = i < RATE ? 0 : noise() * (loud ? 0.02f : 0.001f); /* after silence */
		leveller_init(&l, TARGET);
		level_it(&l);
		for (int s = 1; s < SECONDS; s++)
			CHECK_NEAR(signal_rms_dbfs(y + s * RATE, RATE),
				   signal_rms_dbfs(x + s * RATE, RATE), s < 6 ? 3 : 0.1);
	}
}

/* The first syllable after a pause is as loud as it will be: within 2 dB of the steady gain. */
static void test_onset_is_not_swallowed(void)
{
	struct leveller l;

	make_voice(2, -38, -80);
	leveller_init(&l, TARGET);
	level_it(&l);
	for (int pause = 3; pause < SECONDS / 6; pause++) {
		int at = pause * 6 * RATE;
		double in = signal_rms_dbfs(x + at, RATE / 4), out = signal_rms_dbfs(y + at, RATE / 4);

		CHECK_NEAR(out - in, leveller_gain_db(&l), 2);
	}
}

/* No pumping: while somebody speaks the gain moves by no more than 8 dB a second, and once it is found
 * by less than 1.5 dB over a whole sentence. */
static void test_gain_is_slow(void)
{
	struct leveller l;
	float before, low = 99, high = -99;

	make_voice(1, -36, -80);
	leveller_init(&l, TARGET);
	before = 0;
	for (int i = 0; i < N; i += BLOCK) {
		memcpy(y, x + i, BLOCK * sizeof *y);
		leveller_run(&l, y, NULL, BLOCK);
		CHECK(fabsf(leveller_gain_db(&l) - before) <= 8.01f * BLOCK / RATE);
		before = leveller_gain_db(&l);
		if (i >= 18 * RATE && i < 22 * RATE) {
			low = fminf(low, before);
			high = fmaxf(high, before);
		}
	}
	CHECK(high - low < 1.5f);
}

/* Somebody who whispers, and then shouts: nothing clips meanwhile. */
static void test_nothing_clips(void)
{
	struct leveller l;

	make_voice(0, -38, -80);
	for (int i = 13 * RATE; i < N; i++)
		x[i] *= 20; /* +26 dB */
	leveller_init(&l, TARGET);
	level_it(&l);
	for (int i = 0; i < N; i++)
		CHECK(fabsf(y[i]) <= LIMITER_CEILING);
	/* and it comes back down */
	CHECK_NEAR(active_level(y + 24 * RATE, 6 * RATE), TARGET, 3);
}

static void test_silence_stays_silence(void)
{
	struct leveller l;

	memset(x, 0, sizeof x);
	leveller_init(&l, TARGET);
	level_it(&l);
	CHECK_MEM(x, y, sizeof x);
	CHECK(leveller_gain_db(&l) == 0);
}

/* Both sides of a stereo speaker get the same gain. */
static void test_two_channels(void)
{
	struct leveller l;

	make_voice(0, -36, -90);
	memcpy(y, x, sizeof y);
	for (int i = 0; i < N; i++)
		right[i] = x[i] / 2;
	leveller_init(&l, TARGET);
	for (int i = 0; i < N; i += BLOCK)
		leveller_run(&l, y + i, right + i, BLOCK);
	CHECK(leveller_gain_db(&l) > 8);
	for (int i = 0; i < N; i++)
		CHECK_NEAR(y[i] / 2, right[i], 1e-6);
}

/* One block of NaN or infinities, on either side, and all goes on as if it had not been. */
static void test_garbage_is_forgotten(void)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f};

	make_voice(0, -36, -90);
	for (int k = 0; k < 8; k++) {
		struct leveller l, clean;

		leveller_init(&l, TARGET);
		leveller_init(&clean, TARGET);
		for (int i = 0; i < N; i += BLOCK) {
			float left[2][BLOCK], other[2][BLOCK] = {{0}};

			for (int c = 0; c < 2; c++)
				memcpy(left[c], x + i, sizeof left[c]);
			leveller_run(&clean, left[0], other[0], BLOCK);
			leveller_run(&l, left[1], other[1], BLOCK);
			CHECK_MEM(left[0], left[1], sizeof left[0]);
			if (i % RATE)
				continue;
			memset(left, 0, sizeof left);
			left[k % 2][77] = bad[k / 2];
			leveller_run(&l, left[0], left[1], BLOCK);
		}
		CHECK(leveller_gain_db(&clean) > 8);
		CHECK_NEAR(leveller_gain_db(&l), leveller_gain_db(&clean), 0);
	}
}

/* A crash beyond full scale (a decoder may give that) after words that were lifted by 12 dB, and then a
 * pause: the limiter, still down when the lift has been taken back, lets go slowly as ever. */
static void test_limiter_lets_go_slowly(void)
{
	struct leveller l;
	double before = 0;

	make_voice(0, -48, -90);
	for (int i = 0; i < N; i++)
		if (i >= 15 * RATE)
			x[i] = (i < 15 * RATE + RATE / 50 ? 3.0f : 2e-4f) *
			       sinf(2 * (float)M_PI * 400 * (float)i / RATE);
	leveller_init(&l, TARGET);
	level_it(&l);
	for (int i = 15 * RATE + RATE / 10; i < 19 * RATE; i += BLOCK) {
		double gain = signal_rms_dbfs(y + i, BLOCK) - signal_rms_dbfs(x + i, BLOCK);

		if (i > 15 * RATE + RATE / 10)
			CHECK_NEAR(gain, before, 0.4);
		before = gain;
	}
	CHECK_NEAR(before, 0, 0.01);
}

int main(void)
{
	UNIT(test_voices_20_db_apart);
	UNIT(test_bounds);
	UNIT(test_noise_in_pauses_is_not_lifted);
	UNIT(test_onset_is_not_swallowed);
	UNIT(test_gain_is_slow);
	UNIT(test_nothing_clips);
	UNIT(test_silence_stays_silence);
	UNIT(test_two_channels);
	UNIT(test_garbage_is_forgotten);
	UNIT(test_limiter_lets_go_slowly);
	return unit_done();
}
