/* SPDX-License-Identifier: MIT
 *
 * test_g711.c - mu-law against the closed form of G.711 and the bounds of its quantiser.
 */
#include "bridge/g711.h"
#include "tests/unit/unit.h"

/* The definition, written apart from the code: segment s, step q -> (33 + 2q) 2^s - 33, times 4. */
static int definition_decode(int code)
{
	int plain = code ^ 0xFF;
	int segment = plain >> 4 & 7, step = plain & 15;
	int magnitude = 4 * ((33 + 2 * step) * (1 << segment) - 33);

	return plain & 0x80 ? -magnitude : magnitude;
}

static void test_decode_all_codes(void)
{
	for (int code = 0; code < 256; code++)
		CHECK_INT(g711_ulaw_decode((uint8_t)code), definition_decode(code));
	/* anchors printed in the standard (14 bit scale) */
	CHECK_INT(g711_ulaw_decode(0x80), 8031 * 4);
	CHECK_INT(g711_ulaw_decode(0x00), -8031 * 4);
	CHECK_INT(g711_ulaw_decode(0xFE), 2 * 4);
}

static void test_round_trip(void)
{
	for (int code = 0; code < 256; code++) {
		int back = g711_ulaw_encode(g711_ulaw_decode((uint8_t)code));

		CHECK_INT(back, code == 0x7F ? 0xFF : code); /* -0 is +0 once it is linear */
	}
}

/*
 * The encoder's decision values by definition (table 2a): step q of segment s begins at
 * (32 + 2q) 2^s - 33, times four; the very first step at 0.
 */
static void test_encode_by_decision_values(void)
{
	for (int sample = -32768; sample <= 32767; sample++) {
		int magnitude = abs(sample), index = 0;

		for (int n = 1; n < 128; n++)
			if (magnitude >= 4 * ((32 + 2 * (n & 15)) * (1 << (n >> 4)) - 33))
				index = n;
		CHECK_INT(g711_ulaw_encode(sample), (sample < 0 ? 0x7F : 0xFF) - index);
	}
}

static void test_encode_extremes(void)
{
	CHECK_INT(g711_ulaw_encode(0), G711_ULAW_SILENCE);
	CHECK_INT(g711_ulaw_encode(INT32_MAX), 0x80);
	CHECK_INT(g711_ulaw_encode(INT32_MIN), 0x00);

	const float in[] = {0.0f, -0.0f, 1e-9f, -1e-9f, 4.0f, -4.0f, NAN, INFINITY, -INFINITY};
	const uint8_t want[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0x00, 0xFF, 0x80, 0x00};
	uint8_t got[9];

	g711_ulaw_encode_float(got, in, 9);
	CHECK_MEM(got, want, 9);
}

/* A sine through both ways has the SNR that the companding law promises (about 37-39 dB). */
static void test_sine_snr(void)
{
	static const double level_db[] = {-4, -10, -20, -30};
	enum { N = 8000 };
	static float in[N], out[N];
	static uint8_t code[N];

	for (int l = 0; l < 4; l++) {
		double signal = 0, noise = 0, amplitude = pow(10, level_db[l] / 20);

		for (int i = 0; i < N; i++)
			in[i] = (float)(amplitude * sin(2 * M_PI * 437.0 * i / 8000));
		g711_ulaw_encode_float(code, in, N);
		g711_ulaw_decode_float(out, code, N);
		for (int i = 0; i < N; i++) {
			signal += (double)in[i] * in[i];
			noise += ((double)out[i] - in[i]) * ((double)out[i] - in[i]);
		}
		double snr_db = 10 * log10(signal / noise);

		if (snr_db < 34 || snr_db > 42)
			UNIT_FAIL("SNR at %g dBFS is %g dB", level_db[l], snr_db);
	}
}

static void test_float_equals_integer(void)
{
	for (int sample = -32768; sample <= 32767; sample += 7) {
		float in = (float)sample / 32768.0f;
		uint8_t got;

		g711_ulaw_encode_float(&got, &in, 1);
		CHECK_INT(got, g711_ulaw_encode(sample));
	}
}

/* All kinds of floats, by their bits: what the integer encoder says of the nearest whole number. */
static void test_float_is_rounded_to_nearest(void)
{
	for (uint32_t bits = 0; bits < UINT32_MAX - 1000; bits += 997) {
		float in;
		uint8_t got;

		memcpy(&in, &bits, sizeof(in));
		double scaled = (double)in * 32768;
		long nearest = isnan(in)         ? 0
			       : scaled > 40000  ? 40000
			       : scaled < -40000 ? -40000
						 : lrint(scaled);
		g711_ulaw_encode_float(&got, &in, 1);
		CHECK_INT(got, g711_ulaw_encode((int32_t)nearest));
	}
	for (int twice = -70000; twice < 70000; twice++) { /* and what lies just between two */
		float in = (float)twice / 65536;
		uint8_t got;

		g711_ulaw_encode_float(&got, &in, 1);
		CHECK_INT(got, g711_ulaw_encode((int32_t)lrint(twice / 2.0)));
	}
}

int main(void)
{
	UNIT(test_decode_all_codes);
	UNIT(test_round_trip);
	UNIT(test_encode_by_decision_values);
	UNIT(test_encode_extremes);
	UNIT(test_sine_snr);
	UNIT(test_float_equals_integer);
	UNIT(test_float_is_rounded_to_nearest);
	return unit_done();
}
