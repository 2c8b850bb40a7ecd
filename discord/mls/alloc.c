/* SPDX-License-Identifier: MIT
 *
 * alloc.c - allocation with failure injection and a count of what is alive.
 */
#include "discord/mls/alloc.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/crypto.h>

/* Written by every thread that uses the library; relaxed, they only count. */
static _Atomic long live;
/* Written by tests before the threads they watch begin: allocations until one fails, 0 = never;
 * once it has struck, all_fail says whether it goes on. */
static _Atomic long countdown;
static _Atomic int all_fail;

static int strikes(void)
{
	long left = atomic_load_explicit(&countdown, memory_order_relaxed);

	if (left == 0)
		return 0;
	if (left > 1) {
		atomic_store_explicit(&countdown, left - 1, memory_order_relaxed);
		return 0;
	}
	if (!atomic_load_explicit(&all_fail, memory_order_relaxed))
		atomic_store_explicit(&countdown, 0, memory_order_relaxed);
	return 1;
}

void *mls_alloc(size_t n)
{
	void *p;

	if (strikes())
		return NULL;
	p = calloc(1, n ? n : 1);
	if (p)
		atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
	return p;
}

void *mls_alloc_array(size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return NULL;
	return mls_alloc(count * size);
}

void mls_free(void *p, size_t n)
{
	if (!p)
		return;
	OPENSSL_cleanse(p, n);
	free(p);
	atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

void mls_alloc_fail_at(long n, int all)
{
	atomic_store(&all_fail, all);
	atomic_store(&countdown, n);
}

long mls_alloc_live(void)
{
	return atomic_load(&live);
}
