/* SPDX-License-Identifier: MIT
 *
 * test_s16.c - 16 bit samples against lrint() in double precision.
 */
#include "alsa/s16.h"

#include "unit.h"

static int16_t wanted(float x)
{
	double v = (double)x * 32768;
	return isnan(v) ? 0 : v > 32767 ? 32767 : v < -32768 ? -32768 : (int16_t)lrint(v);
}

static void test_floats_of_all_kinds(void)
{
	float in[1000];
	int16_t out[1000];

	/* by their bits: tiny, huge, infinite, NaN of both signs */
	for (uint32_t bits = 0; bits < UINT32_MAX - 2000000;) {
		for (int i = 0; i < 1000; i++, bits += 991)
			memcpy(&in[i], &bits, sizeof *in);
		s16_from_float(out, in, 1000);
		for (int i = 0; i < 1000; i++)
			CHECK_INT(out[i], wanted(in[i]));
	}
	/* every value, and what lies just between two */
	for (int twice = -70000; twice < 70000; twice += 1000) {
		for (int i = 0; i < 1000; i++)
			in[i] = (float)(twice + i) / 65536;
		s16_from_float(out, in, 1000);
		for (int i = 0; i < 1000; i++)
			CHECK_INT(out[i], wanted(in[i]));
	}
}

static void test_every_length_and_place(void)
{
	float in[40];
	int16_t out[40];

	for (int i = 0; i < 40; i++)
		in[i] = (float)(i * 1234 - 20000) / 32768;
	for (size_t from = 0; from < 8; from++) {
		for (size_t n = 0; from + n < 40; n++) {
			memset(out, 0x55, sizeof out);
			s16_from_float(out + from, in + from, n);
			for (size_t i = 0; i < 40; i++)
				CHECK_INT(out[i], i >= from && i < from + n ? (int)i * 1234 - 20000 : 0x5555);
		}
	}
}

static void test_special(void)
{
	static const float in[8] = {NAN, -NAN, INFINITY, -INFINITY, 1, -1, -0.0f, 1e-40f};
	static const int16_t want[8] = {0, 0, 32767, -32768, 32767, -32768, 0, 0};
	int16_t out[8];

	s16_from_float(out, in, 8);
	CHECK_MEM(out, want, sizeof want);
	for (int i = 0; i < 8; i++) {
		s16_from_float(out, in + i, 1);
		CHECK_INT(out[0], want[i]);
	}
}

int main(void)
{
	UNIT(test_floats_of_all_kinds);
	UNIT(test_every_length_and_place);
	UNIT(test_special);
	return unit_done();
}
