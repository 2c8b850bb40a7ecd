/* SPDX-License-Identifier: MIT
 *
 * test_waiting.c - what waits on the line: the ring-back's cadence and tones, WAV files of every
 * form that is allowed, and the ones that are not.
 */
#include "bridge/waiting.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <unistd.h>

#include "bridge/wav.h"
#include "common/bytes.h"

static unsigned char file[1 << 20];

/* A WAV file of a sine, in the form asked for; its length. */
static size_t make(unsigned tag, unsigned channels, unsigned rate, unsigned bits, unsigned frames,
		   double hz)
{
	unsigned char *p = file + 44;

	for (unsigned i = 0; i < frames; i++)
		for (unsigned c = 0; c < channels; c++) {
			double x = 0.5 * sin(2 * M_PI * hz * i / rate);
			float f = (float)x;
			uint32_t raw;

			if (tag == 3) {
				memcpy(&raw, &f, 4);
				put_le32(p, raw);
				p += 4;
			} else if (bits == 8) {
				*p++ = (unsigned char)lrint(128 + 128 * x);
			} else if (bits == 16) {
				put_le16(p, (uint16_t)lrint(32767 * x));
				p += 2;
			} else if (bits == 24) {
				raw = (uint32_t)lrint(8388607 * x);
				put_le16(p, (uint16_t)raw);
				p[2] = (unsigned char)(raw >> 16);
				p += 3;
			} else {
				put_le32(p, (uint32_t)lrint(2147483000 * x));
				p += 4;
			}
		}
	size_t len = (size_t)(p - file);

	memcpy(file, "RIFF", 4);
	put_le32(file + 4, (uint32_t)len - 8);
	memcpy(file + 8, "WAVEfmt ", 8);
	put_le32(file + 16, 16);
	put_le16(file + 20, (uint16_t)tag);
	put_le16(file + 22, (uint16_t)channels);
	put_le32(file + 24, rate);
	put_le32(file + 28, rate * channels * bits / 8);
	put_le16(file + 32, (uint16_t)(channels * bits / 8));
	put_le16(file + 34, (uint16_t)bits);
	memcpy(file + 36, "data", 4);
	put_le32(file + 40, (uint32_t)len - 44);
	return len;
}

static void test_forms(void)
{
	static const struct {
		unsigned tag, channels, rate, bits;
		double noise_db;
	} form[] = {
		{1, 1, 48000, 16, -80}, {1, 2, 48000, 16, -80}, {1, 1, 44100, 16, -75},
		{1, 1, 8000, 16, -75},  {1, 1, 22050, 24, -75}, {1, 1, 96000, 32, -75},
		{3, 2, 32000, 32, -75}, {1, 1, 11025, 8, -40},
	};
	char why[WAV_WHY_BYTES];

	for (size_t k = 0; k < sizeof(form) / sizeof(form[0]); k++) {
		unsigned frames = form[k].rate / 2;
		size_t len = make(form[k].tag, form[k].channels, form[k].rate, form[k].bits, frames, 1000);
		size_t count;
		float *samples;
		double error = 0, n = 0;

		CHECK_INT(wav_decode(file, len, 48000, &samples, &count, why), 0);
		CHECK_NEAR((double)count, 24000, 5); /* half a frame of 11025 Hz is lost */
		for (size_t i = 4800; i + 4800 < count; i++, n++) {
			double want = 0.5 * sin(2 * M_PI * 1000 * (double)i / 48000);

			error += (samples[i] - want) * (samples[i] - want);
		}
		free(samples);
		double db = 10 * log10(error / n / 0.125);

		if (db > form[k].noise_db)
			UNIT_FAIL("form %zu: error is %.1f dB", k, db);
	}
}

static void test_refused(void)
{
	char why[WAV_WHY_BYTES];
	size_t count, len = make(1, 1, 8000, 16, 100, 1000);
	float *samples;

	for (size_t cut = 0; cut < 46; cut++) {
		CHECK_INT(wav_decode(file, cut, 48000, &samples, &count, why), -EINVAL);
		CHECK(why[0] && !samples);
	}
	CHECK_INT(wav_decode(file, len - 20, 48000, &samples, &count, why), 0); /* cut off: what is there */
	free(samples);
	put_le16(file + 20, 2); /* ADPCM */
	CHECK_INT(wav_decode(file, len, 48000, &samples, &count, why), -EINVAL);
	CHECK(strstr(why, "coding"));
	len = make(1, 1, 8000, 16, 100, 1000);
	put_le32(file + 24, 100);
	CHECK_INT(wav_decode(file, len, 48000, &samples, &count, why), -EINVAL);
	put_le32(file + 24, 8000);
	put_le16(file + 22, 0);
	CHECK_INT(wav_decode(file, len, 48000, &samples, &count, why), -EINVAL);
	CHECK(wav_load("/nonexistent.wav", 48000, &samples, &count, why) == -ENOENT);
	CHECK(strstr(why, "No such file"));
}

static void test_file_plays_over_and_over(void)
{
	char path[] = "/tmp/loopline-test-XXXXXX", why[WAITING_WHY_BYTES];
	size_t len = make(1, 1, 48000, 16, 1000, 480);
	struct waiting *w;
	uint64_t position = 0;
	float out[3000];
	int fd = mkstemp(path);

	CHECK(fd >= 0 && write(fd, file, len) == (ssize_t)len);
	close(fd);
	int err = waiting_create(&w, path, why);

	CHECK_INT(err, 0);
	CHECK(waiting_is_current(w, path));
	CHECK(!waiting_is_current(w, "ring"));
	CHECK_INT(truncate(path, 500), 0);
	CHECK(!waiting_is_current(w, path));
	unlink(path);
	CHECK(!waiting_is_current(w, path));
	CHECK_INT(waiting_kind(w), WAITING_FILE);
	for (int i = 0; i < 3000; i += 240)
		CHECK(waiting_fill(w, &position, out + i, i + 240 > 3000 ? (unsigned)(3000 - i) : 240));
	CHECK_INT(position, 3000);
	CHECK_MEM(out, out + 1000, 1000 * sizeof(float));
	CHECK_MEM(out, out + 2000, 1000 * sizeof(float));
	CHECK_NEAR(out[25], 0.5, 0.001);
	waiting_unref(w);
	CHECK(waiting_create(&w, "/nonexistent.wav", why) == -ENOENT);
}

static void test_ring(void)
{
	static float out[48000 * 12];
	char why[WAITING_WHY_BYTES];
	uint64_t position = 0;
	struct waiting *w;

	CHECK_INT(waiting_create(&w, "ring", why), 0);
	for (unsigned i = 0; i < sizeof(out) / sizeof(out[0]); i += 240) {
		bool sound = waiting_fill(w, &position, out + i, 240);

		CHECK(sound == (i % (48000 * 6) < 48000 * 2));
	}
	/* 440 + 480 Hz and nothing else, at the level that was promised; both bursts alike */
	for (int burst = 0; burst < 2; burst++) {
		const float *x = out + (size_t)burst * 48000 * 6 + 24000;
		double power = 0, tones = 0;
		static const double hz[] = {440, 480};

		for (int i = 0; i < 48000; i++)
			power += x[i] * x[i] / 48000.0;
		for (int k = 0; k < 2; k++) {
			double s = 0, c = 0;

			for (int i = 0; i < 48000; i++) {
				s += x[i] * sin(2 * M_PI * hz[k] * i / 48000);
				c += x[i] * cos(2 * M_PI * hz[k] * i / 48000);
			}
			double amplitude = 2 * hypot(s, c) / 48000;

			CHECK_NEAR(20 * log10(amplitude), -19 - 3.17, 0.1);
			tones += amplitude * amplitude / 2;
		}
		CHECK_NEAR(tones / power, 1, 1e-3);
	}
	/* edges: no step larger than the tones' own slope */
	for (size_t i = 1; i < sizeof(out) / sizeof(out[0]); i++)
		CHECK(fabsf(out[i] - out[i - 1]) < 0.011f);
	waiting_unref(w);
}

static void test_silence_and_echo(void)
{
	char why[WAITING_WHY_BYTES];
	struct waiting *w;
	uint64_t position = 0;
	float out[240];

	CHECK_INT(waiting_create(&w, "silence", why), 0);
	CHECK(!waiting_fill(w, &position, out, 240));
	for (int i = 0; i < 240; i++)
		CHECK(out[i] == 0);
	waiting_unref(w);
	CHECK_INT(waiting_create(&w, "echo", why), 0);
	CHECK_INT(waiting_kind(w), WAITING_ECHO);
	CHECK(!waiting_fill(w, &position, out, 240));
	waiting_unref(w);
}

int main(void)
{
	UNIT(test_forms);
	UNIT(test_refused);
	UNIT(test_file_plays_over_and_over);
	UNIT(test_ring);
	UNIT(test_silence_and_echo);
	return unit_done();
}
