/* SPDX-License-Identifier: MIT
 *
 * random.h - random numbers of the kernel (getrandom), good for tokens and keys. Any thread.
 */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills out; aborts the process if the kernel has no randomness (it always has after boot). */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
/* Even over [0, bound), without modulo bias; 0 for bound 0. */
uint64_t random_below(uint64_t bound);

#define UUID_LEN 36
/* A version 4 UUID (RFC 9562 5.4), lower case, with its NUL. */
void uuid_v4(char out[UUID_LEN + 1]);

/*
 * "Full jitter" back-off: a random delay in [0, min(cap_ms, base_ms * 2^attempt)], attempt
 * counted from 0. For loops that must not run at once, add a floor of your own.
 */
int backoff_full_jitter_ms(int base_ms, int cap_ms, unsigned attempt);

#endif
