/* SPDX-License-Identifier: MIT
 *
 * g711.c - mu-law by table one way and by counting leading zeros the other.
 *
 * The encoder has no 64 KiB table on purpose: it would only push other data out of the cache.
 */
#include "bridge/g711.h"

#include <math.h>
#include <string.h>

/* The standard's bias of 33 in its 14 bit scale; it turns segment starts into powers of two. */
#define ULAW_BIAS 132
#define ULAW_CLIP (32767 - ULAW_BIAS)

/* Codes are transmitted inverted; after inversion: sign, three bits of segment, four of step. */
#define ULAW_MAGNITUDE(c) \
	((((((~(c)) & 0x0F) << 3) + ULAW_BIAS) << (((~(c)) >> 4) & 0x07)) - ULAW_BIAS)
#define ULAW_VALUE(c) (int16_t)(((c)&0x80) ? ULAW_MAGNITUDE(c) : -ULAW_MAGNITUDE(c))
#define ROW4(c)       ULAW_VALUE(c), ULAW_VALUE((c) + 1), ULAW_VALUE((c) + 2), ULAW_VALUE((c) + 3)
#define ROW16(c)      ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)
#define ROW64(c)      ROW16(c), ROW16((c) + 16), ROW16((c) + 32), ROW16((c) + 48)

static const int16_t ulaw_linear[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

int16_t g711_ulaw_decode(uint8_t code)
{
	return ulaw_linear[code];
}

uint8_t g711_ulaw_encode(int32_t sample)
{
	unsigned sign = 0x80;

	if (sample < 0) {
		sign = 0;
		sample = sample < -ULAW_CLIP ? ULAW_CLIP : -sample;
	}
	if (sample > ULAW_CLIP)
		sample = ULAW_CLIP;
	unsigned biased = (unsigned)sample + ULAW_BIAS;
	unsigned segment = 24 - (unsigned)__builtin_clz(biased); /* biased is in [2^7, 2^15) */
	unsigned step = (biased >> (segment + 3)) & 0x0F;

	return (uint8_t)(sign | (~(segment << 4 | step) & 0x7F));
}

void g711_ulaw_decode_float(float *out, const uint8_t *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (float)ulaw_linear[in[i]] * (1.0f / 32768.0f);
}

/*
 * What the integer encoder says of lrintf(x * 32768), without a branch to be guessed: a biased
 * magnitude that is a float is segment and step already, being its exponent and the first four bits
 * of its fraction.
 */
static inline uint8_t encode_float(float x)
{
	const float whole = 8388608.0f; /* 2^23: beyond it there are no fractions, so adding it rounds */
	const int first = (127 + 7) << 4; /* exponent of 2^7, where segment 0 begins */
	float magnitude = fabsf(x) * 32768.0f;
	int32_t bits;

	/* a NaN fails both comparisons */
	magnitude = magnitude < ULAW_CLIP ? magnitude : magnitude >= ULAW_CLIP ? ULAW_CLIP : 0;
	magnitude = (magnitude + whole) - whole;
	float biased = magnitude + ULAW_BIAS;
	memcpy(&bits, &biased, sizeof(bits));
	int negative = (x < 0) & (magnitude > 0); /* there is no negative zero */

	return (uint8_t)~(negative << 7 | ((bits >> 19) - first));
}

void g711_ulaw_encode_float(uint8_t *out, const float *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = encode_float(in[i]);
}
