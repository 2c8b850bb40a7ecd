/* SPDX-License-Identifier: MIT
 *
 * random.c - random numbers of the kernel.
 */
#include "common/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/encode.h"

void random_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		p += n;
		len -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

uint64_t random_below(uint64_t bound)
{
	uint64_t v, limit;

	if (!bound)
		return 0;
	/* Reject the last, incomplete run of [0, bound). */
	limit = UINT64_MAX - UINT64_MAX % bound;
	do {
		v = random_u64();
	} while (v >= limit);
	return v % bound;
}

void uuid_v4(char out[UUID_LEN + 1])
{
	uint8_t b[16];
	char hex[33];
	char *p = out;

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(hex, b, sizeof(b));
	for (int i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*p++ = '-';
		*p++ = hex[i];
	}
	*p = '\0';
}

int backoff_full_jitter_ms(int base_ms, int cap_ms, unsigned attempt)
{
	int64_t top = base_ms;

	for (unsigned i = 0; i < attempt && top < cap_ms; i++)
		top *= 2;
	if (top > cap_ms)
		top = cap_ms;
	if (top <= 0)
		return 0;
	return (int)random_below((uint64_t)top + 1);
}
