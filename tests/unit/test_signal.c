/* SPDX-License-Identifier: MIT
 *
 * The signal analysis that judges recordings, tested on signals whose figures are known.
 */
#include "tests/e2e/signal.h"

#include <stdint.h>
#include <unistd.h>

#include "test_random.h"
#include "unit.h"

static uint32_t seed = 3;

static float noise(void)
{
	double sum = 0;
	for (int i = 0; i < 6; i++)
		sum += (double)test_noise(&seed);
	return (float)(sum / sqrt(2.0)); /* unit variance: six uniform of 1/3 */
}

static void test_wav_files(void)
{
	char path[] = "/tmp/signal-XXXXXX";
	float x[1000];
	struct wav w;
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	close(fd);
	signal_tone(x, 1000, 8000, 440, -6, 0.3);
	CHECK_INT(wav_write(path, 8000, x, 1000), 0);
	CHECK_INT(wav_read(&w, path), 0);
	CHECK_INT(w.rate, 8000);
	CHECK_INT(w.channels, 1);
	CHECK_INT(w.frames, 1000);
	for (int i = 0; i < 1000; i++)
		CHECK_NEAR(w.samples[i], x[i], 1.0 / 65536 + 1e-7);
	wav_free(&w);
	/* a recorder that was killed: the chunk claims more than there is */
	CHECK_INT(truncate(path, 44 + 500), 0);
	CHECK_INT(wav_read(&w, path), 0);
	CHECK_INT(w.frames, 250);
	wav_free(&w);
	CHECK_INT(truncate(path, 30), 0);
	CHECK_INT(wav_read(&w, path), -74);
	CHECK_INT(truncate(path, 0), 0);
	CHECK_INT(wav_read(&w, path), -74);
	unlink(path);
	CHECK_INT(wav_read(&w, path), -2);
}

static void test_levels(void)
{
	static float x[240000];
	signal_tone(x, 240000, 48000, 1013, -15, 0);
	CHECK_NEAR(signal_peak_dbfs(x, 240000), -15, 0.01);
	CHECK_NEAR(signal_rms_dbfs(x, 240000), -18.01, 0.01);
	CHECK_NEAR(signal_tone_dbfs(x, 240000, 48000, 1013), -15, 0.01);
	CHECK(signal_tone_dbfs(x, 240000, 48000, 1613) < -120);
	CHECK_NEAR(signal_rms_dbfs(x, 0), -200, 0);
}

static void test_absent_is_50_db_below(void)
{
	static float x[240000], y[240000];
	signal_tone(x, 240000, 48000, 1013, -12, 0);
	for (int over = 0; over < 2; over++) {
		signal_tone(y, 240000, 48000, 1613, over ? -61.5 : -62.5, 1);
		for (int i = 0; i < 240000; i++)
			y[i] += x[i] + 1e-3f * noise();
		CHECK(signal_absent(y, 240000, 48000, 1613, 1013) == !over);
	}
}

static void test_clean_tones_have_no_gap(void)
{
	static float x[480000];
	struct signal_gaps g;
	/* 300 ppm off, noise 30 dB down, level moving slowly: all of it is not a gap */
	signal_tone(x, 480000, 48000, 1013 * 1.0003, -15, 0.4);
	for (int i = 0; i < 480000; i++)
		x[i] = x[i] * (float)(1 + 0.1 * sin(i * 1e-5)) + 0.0040f * noise();
	signal_find_gaps(&g, x, 480000, 48000, 1013);
	CHECK_INT(g.count, 0);
	CHECK_NEAR(g.hz, 1013.304, 0.02);
	CHECK_NEAR(g.level_dbfs, -15, 1);
	CHECK_NEAR(g.residual_db, -30, 1);
	CHECK(g.share == 0);
}

/* A playout that trims its delay plays 0.1 % faster for a while. */
static void test_a_bent_pitch_is_no_gap(void)
{
	static float x[480000];
	struct signal_gaps g;
	double phase = 0;
	for (int i = 0; i < 480000; i++) {
		double share = i < 200000 ? 0 : i < 200240 ? (i - 200000) / 240.0 : i < 400000 ? 1 : 0;
		x[i] = (float)(0.18 * sin(phase)) + 0.004f * noise();
		phase += 2 * M_PI * 1013 * (1 + 1e-3 * share) / 48000;
	}
	signal_find_gaps(&g, x, 480000, 48000, 1013);
	CHECK_INT(g.count, 0);
	/* and a gap within is one still */
	memset(x + 300000, 0, 480 * sizeof *x);
	signal_find_gaps(&g, x, 480000, 48000, 1013);
	CHECK_INT(g.count, 1);
	CHECK_NEAR(g.first[0].at_s, 6.25, 0.0015);
	CHECK_NEAR(g.first[0].length_s, 0.010, 0.0025);
}

static void test_dropouts_are_found_where_they_are(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		static float x[480000];
		struct signal_gaps g;
		size_t n = rate * 10;
		signal_tone(x, n, rate, 1013, -15, 0);
		/* 20 ms of silence at 2 s; 5 ms at 4 s; 1 ms at 6 s is too short to count by itself */
		memset(x + 2 * rate, 0, rate / 50 * sizeof *x);
		memset(x + 4 * rate, 0, rate / 200 * sizeof *x);
		signal_find_gaps(&g, x, n, rate, 1013);
		CHECK_INT(g.count, 2);
		CHECK_NEAR(g.first[0].at_s, 2, 0.0015);
		CHECK_NEAR(g.first[0].length_s, 0.020, 0.0025);
		CHECK_NEAR(g.first[1].at_s, 4, 0.0015);
		CHECK_NEAR(g.first[1].length_s, 0.005, 0.0025);
		CHECK_NEAR(g.share, 0.0025, 0.0005);
	}
}

static void test_splices_are_found(void)
{
	static float x[480000];
	struct signal_gaps g;
	/* one frame of 20 ms cut out at 3 s: tone follows tone, but not its own */
	for (int i = 0; i < 480000; i++)
		x[i] = (float)(0.2 * sin(2 * M_PI * 1013 * (i < 144000 ? i : i + 960) / 48000));
	signal_find_gaps(&g, x, 480000, 48000, 1013);
	CHECK_INT(g.count, 1);
	CHECK_NEAR(g.first[0].at_s, 3, 0.0015);
	/* the same out of 1 kHz leaves no trace: that is why such tones are not used */
	for (int i = 0; i < 480000; i++)
		x[i] = (float)(0.2 * sin(2 * M_PI * 1000 * (i < 144000 ? i : i + 960) / 48000));
	signal_find_gaps(&g, x, 480000, 48000, 1000);
	CHECK_INT(g.count, 0);
}

/* speech-like: noise with an envelope, limited to the telephone band by a simple resonance */
static void babble(float *x, size_t n, unsigned rate)
{
	double a = 0, b = 0, w = 2 * M_PI * 700 / rate;
	for (size_t i = 0; i < n; i++) {
		double y = noise() + 1.9 * cos(w) * a - 0.9025 * b;
		b = a;
		a = y;
		double envelope = 0.5 + 0.5 * sin(2 * M_PI * 3 * (double)i / rate);
		x[i] = (float)(0.01 * y * envelope);
	}
}

static void test_likeness_of_a_delayed_noisy_copy(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		static float r[48000 * 12], h[48000 * 13];
		struct signal_likeness l;
		size_t n = rate * 12;
		float *wide;
		babble(r, n, rate);
		/* limit to where interpolation is exact */
		if (rate == 48000) {
			size_t k = signal_resample(&wide, r, n, 48000, 8000);
			float *back;
			size_t m = signal_resample(&back, wide, k, 8000, 48000);
			memcpy(r, back, (m < n ? m : n) * sizeof *r);
			free(wide);
			free(back);
		}
		double power = 0;
		for (size_t i = 0; i < n; i++)
			power += (double)r[i] * r[i] / (double)n;
		memset(h, 0, sizeof h);
		size_t delay = rate * 347 / 10000; /* 34.7 ms */
		for (size_t i = 0; i < n; i++)
			h[i + delay] = r[i] * 0.8f + (float)(0.8 * sqrt(power) * 0.01) * noise();
		CHECK(signal_compare(&l, r, n, h, n + rate / 2, rate, 0.3));
		CHECK_NEAR(l.snr_db, 40, 0.7);
		CHECK_NEAR(l.gain, 0.8, 0.002);
		CHECK_NEAR(l.delay_s, (double)delay / rate, 2e-6);
		CHECK(l.delay_sd_s < 2e-5);
		CHECK_NEAR(l.slope_ms_per_min, 0, 0.05);
		CHECK(l.segments > 50);
	}
}

static void test_drift_and_jumps_show_in_the_delay_track(void)
{
	static float r[8000 * 20];
	static float h[8000 * 21];
	struct signal_likeness l;
	float *wide;
	babble(r, 160000, 8000);
	/* 100 ppm slow: read off a 48 kHz version */
	size_t k = signal_resample(&wide, r, 160000, 8000, 48000);
	memset(h, 0, sizeof h);
	for (size_t i = 0; i < 159000; i++) {
		double at = (double)i * 6 * (1 - 100e-6);
		size_t w = (size_t)at;
		if (w + 1 < k)
			h[i + 400] = (float)(wide[w] + (at - (double)w) * (wide[w + 1] - wide[w]));
	}
	free(wide);
	CHECK(signal_compare(&l, r, 160000, h, 161000, 8000, 0.3));
	CHECK_NEAR(l.slope_ms_per_min, 6, 0.3);
	CHECK(l.snr_db > 25);
	/* a jump of 20 ms in the middle */
	memset(h, 0, sizeof h);
	for (size_t i = 0; i < 160000; i++)
		h[i + (i < 80000 ? 400 : 560)] = r[i];
	CHECK(signal_compare(&l, r, 160000, h, 161000, 8000, 0.3));
	CHECK_NEAR(l.delay_max_s - l.delay_min_s, 0.02, 0.0002);
	/* nothing to compare */
	memset(r, 0, sizeof r);
	CHECK(!signal_compare(&l, r, 160000, h, 161000, 8000, 0.3));
}

static void test_chirps_are_found_to_a_fraction_of_a_sample(void)
{
	static float chirp[1600], falling[1600], h[16000];
	double peak;
	signal_chirp(chirp, 1600, 8000, 300, 3400, -9);
	signal_chirp(falling, 1600, 8000, 3400, 300, -9);
	CHECK_NEAR(signal_peak_dbfs(chirp, 1600), -9, 0.1);
	for (int i = 0; i < 16000; i++)
		h[i] = 0.005f * noise();
	/* half a sample late, made from six times the rate */
	float *wide;
	size_t n = signal_resample(&wide, chirp, 1600, 8000, 48000);
	for (size_t i = 0; 6 * i + 3 < n; i++)
		h[5000 + i + 1] += 0.5f * wide[6 * i + 3];
	free(wide);
	double at = signal_find_chirp(h, 16000, 4000, 7000, chirp, 1600, &peak);
	CHECK_NEAR(at, 5000.5, 0.05);
	CHECK(peak > 0.97);
	CHECK(signal_find_chirp(h, 16000, 4000, 7000, falling, 1600, &peak) < 0);
	CHECK(peak < 0.3);
	CHECK(signal_find_chirp(h, 16000, 8000, 12000, chirp, 1600, &peak) < 0);
	CHECK(signal_find_chirp(h, 100, 0, 100, chirp, 1600, NULL) < 0);
}

static void test_reference_resampling(void)
{
	float *up, *down;
	static float x[16000];
	signal_tone(x, 16000, 8000, 1013, -6, 0.2);
	size_t n = signal_resample(&up, x, 16000, 8000, 48000);
	CHECK_INT(n, 96000);
	double worst = 0;
	for (size_t i = 12000; i < 84000; i++) {
		double e = fabs(up[i] - 0.501187 * sin(2 * M_PI * 1013 * (double)i / 48000 + 0.2));
		worst = e > worst ? e : worst;
	}
	CHECK(worst < 2e-6);
	n = signal_resample(&down, up, n, 48000, 8000);
	CHECK_INT(n, 16000);
	for (size_t i = 2000; i < 14000; i++)
		CHECK_NEAR(down[i], x[i], 2e-6);
	free(up);
	free(down);
}

static void test_ulaw_is_g711(void)
{
	/* the recommendation's own corners: silence, full scale, the first steps */
	CHECK_INT(signal_ulaw_encode(0), 0xFF);
	CHECK_INT(signal_ulaw_encode(1), 0x80);
	CHECK_INT(signal_ulaw_encode(-1), 0x00);
	CHECK_NEAR(signal_ulaw_decode(0x80) * 32768, 32124, 0);
	CHECK_NEAR(signal_ulaw_decode(0x00) * 32768, -32124, 0);
	CHECK_NEAR(signal_ulaw_decode(0xFF), 0, 0);
	CHECK_NEAR(signal_ulaw_decode(0xFE) * 32768, 8, 0);
	for (int code = 0; code < 256; code++)
		CHECK_INT(signal_ulaw_encode(signal_ulaw_decode((uint8_t)code)), code == 0x7F ? 0xFF : code);
	/* a sine through it: 36-39 dB, as theory has it */
	double s = 0, e = 0;
	for (int i = 0; i < 80000; i++) {
		double v = 0.3 * sin(2 * M_PI * 1013.7 * i / 8000), d = signal_ulaw_decode(signal_ulaw_encode((float)v)) - v;
		s += v * v;
		e += d * d;
	}
	CHECK_NEAR(10 * log10(s / e), 37.5, 1.5);
}

static void test_statistics(void)
{
	double v[] = {5, 1, 4, 2, 3}, t[] = {0, 1, 2, 3}, y[] = {1, 3, 5, 7};
	CHECK_NEAR(signal_percentile(v, 5, 50), 3, 0);
	CHECK_NEAR(signal_percentile(v, 5, 100), 5, 0);
	CHECK_NEAR(signal_percentile(v, 5, 0), 1, 0);
	CHECK_NEAR(signal_percentile(v, 5, 90), 4.6, 1e-9);
	CHECK(isnan(signal_percentile(v, 0, 50)));
	CHECK_NEAR(signal_slope(t, y, 4), 2, 1e-12);
	CHECK_NEAR(signal_slope(t, y, 0), 0, 0);
}

int main(void)
{
	UNIT(test_wav_files);
	UNIT(test_levels);
	UNIT(test_absent_is_50_db_below);
	UNIT(test_clean_tones_have_no_gap);
	UNIT(test_a_bent_pitch_is_no_gap);
	UNIT(test_dropouts_are_found_where_they_are);
	UNIT(test_splices_are_found);
	UNIT(test_likeness_of_a_delayed_noisy_copy);
	UNIT(test_drift_and_jumps_show_in_the_delay_track);
	UNIT(test_chirps_are_found_to_a_fraction_of_a_sample);
	UNIT(test_reference_resampling);
	UNIT(test_ulaw_is_g711);
	UNIT(test_statistics);
	return unit_done();
}
