/* SPDX-License-Identifier: MIT
 *
 * alloc.h - every allocation of the library goes through here, so that a test can let the n-th
 * one fail and see that nothing leaks. Internal to discord/mls.
 */
#ifndef DISCORD_MLS_ALLOC_H
#define DISCORD_MLS_ALLOC_H

#include <stddef.h>

/* n zeroed bytes (one if n is 0), or NULL. */
void *mls_alloc(size_t n);

/* As above for count elements, NULL on overflow. */
void *mls_alloc_array(size_t count, size_t size);

/* Wipes n bytes and frees. The size is given because most of what we hold is or was a secret. */
void mls_free(void *p, size_t n);

/* For tests: let the n-th allocation from now fail (1 = the next), and all after it if `all`;
 * 0 = none. Applies to the whole process. */
void mls_alloc_fail_at(long n, int all);

/* For tests: allocations not yet freed. */
long mls_alloc_live(void);

#endif
