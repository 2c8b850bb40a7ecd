/* SPDX-License-Identifier: MIT
 *
 * s16.c - see s16.h.
 */
#include "alsa/s16.h"
#include "alsa/vector.h"

typedef int16_t h8 __attribute__((vector_size(16)));
typedef int16_t h8u __attribute__((vector_size(16), aligned(2), may_alias));

/* As whole numbers, in the lower half of each of the four (and something else in the upper). */
static inline h8 round4(v4 x)
{
	/* 1.5 * 2^23: what is added to it is rounded to whole numbers and stands in its lowest bits */
	const float whole = 12582912.0f;
	const v4 most = {INT16_MAX, INT16_MAX, INT16_MAX, INT16_MAX};
	const v4 least = {INT16_MIN, INT16_MIN, INT16_MIN, INT16_MIN};

	x *= 32768.0f;
	x = (v4)((i4)x & (x == x)); /* only a NaN is not itself */
	x = pick(x < most, x, most);
	x = pick(x > least, x, least);
	return (h8)(x + whole);
}

static inline h8 lower_halves(h8 a, h8 b)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#else
	return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#endif
}

void s16_from_float(int16_t *out, const float *in, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		*(h8u *)(out + i) = lower_halves(round4(*(const v4u *)(in + i)),
						 round4(*(const v4u *)(in + i + 4)));
	for (; i < n; i++)
		out[i] = lower_halves(round4(tail(in + i, 1)), (h8){0})[0];
}
