/* SPDX-License-Identifier: MIT
 *
 * vector.h - four samples at a time: GCC's vectors, which are SSE on x86-64, NEON on arm64 and plain
 * code elsewhere. No intrinsics, and no flags beyond -O2.
 */
#ifndef ALSA_VECTOR_H
#define ALSA_VECTOR_H

#include <stdint.h>

typedef float v4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
/* the same anywhere in an array */
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4u __attribute__((vector_size(16), aligned(4), may_alias));

/* Always: what is compiled for a newer machine (resampler.c) takes this along. */
#define INLINE static inline __attribute__((always_inline))

/* which: the outcome of a comparison */
INLINE v4 pick(i4 which, v4 yes, v4 no)
{
	return (v4)((which & (i4)yes) | (~which & (i4)no));
}

/* The last one to three samples of a block, as four. */
INLINE v4 tail(const float *x, unsigned n)
{
	v4 v = {0};
	for (unsigned i = 0; i < n; i++)
		v[i] = x[i];
	return v;
}

INLINE float sum4(v4 v)
{
	v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
	return v[0] + v[1];
}

#endif
