/* SPDX-License-Identifier: MIT
 *
 * test_random.h - random numbers that are the same in each run: xorshift, of a seed that the test keeps.
 */
#ifndef TESTS_UNIT_TEST_RANDOM_H
#define TESTS_UNIT_TEST_RANDOM_H

#include <stdint.h>

static inline uint32_t test_random(uint32_t *state)
{
	uint32_t x = *state ? *state : 1;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

/* 0 to n - 1 */
static inline uint32_t test_random_below(uint32_t *state, uint32_t n)
{
	return (uint32_t)((uint64_t)test_random(state) * n >> 32);
}

/* White, even between -1 and 1. */
static inline float test_noise(uint32_t *state)
{
	return (float)((double)(int32_t)test_random(state) / 2147483648.0);
}

#endif
