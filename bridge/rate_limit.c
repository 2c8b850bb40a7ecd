/* SPDX-License-Identifier: MIT
 *
 * rate_limit.c - see rate_limit.h.
 */
#include "bridge/rate_limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

#define PLACES 1024 /* a power of two */
#define WAYS   4    /* places an address may be in */

struct bucket {
	uint64_t key; /* 0: free */
	double level; /* tries left at `at_ns` */
	int64_t at_ns;
};

struct rate_limit {
	double burst, per_second;
	uint64_t salt; /* so that nobody can choose addresses that share a place */
	struct bucket bucket[PLACES];
};

int rate_limit_create(struct rate_limit **out, double burst, double per_second)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->burst = burst;
	(*out)->per_second = per_second;
	(*out)->salt = random_u64();
	return 0;
}

void rate_limit_destroy(struct rate_limit *limit)
{
	free(limit);
}

static uint64_t address_key(const struct sockaddr *address)
{
	uint64_t key = 0;

	if (address->sa_family == AF_INET) {
		key = ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
	} else if (address->sa_family == AF_INET6) {
		const struct in6_addr *a =
			&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(a)) {
			uint32_t v4;

			memcpy(&v4, &a->s6_addr[12], sizeof(v4));
			key = v4;
		} else {
			memcpy(&key, a->s6_addr, sizeof(key));
		}
	}
	return key + 1; /* 0 is free */
}

/* The finaliser of MurmurHash3 (public domain constants): every bit of the key moves every other. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static double level_now(const struct rate_limit *limit, const struct bucket *b, int64_t now_ns)
{
	double level = b->level + limit->per_second * (double)(now_ns - b->at_ns) / 1e9;

	return level > limit->burst ? limit->burst : level;
}

bool rate_limit_allow(struct rate_limit *limit, const struct sockaddr *address, int64_t now_ns)
{
	uint64_t key = address_key(address), at = mix(key ^ limit->salt);
	struct bucket *place = NULL;
	double fullest = -1;

	for (uint64_t way = 0; way < WAYS; way++) {
		struct bucket *b = &limit->bucket[(at + way) & (PLACES - 1)];

		if (b->key == key) {
			place = b;
			break;
		}
		/* a full bucket has nothing to remember */
		double level = b->key ? level_now(limit, b, now_ns) : limit->burst + 1;

		if (level > fullest) {
			fullest = level;
			place = b;
		}
	}
	if (place->key != key) {
		place->key = key;
		place->level = limit->burst;
	} else {
		place->level = level_now(limit, place, now_ns);
	}
	place->at_ns = now_ns;
	if (place->level < 1)
		return false;
	place->level -= 1;
	return true;
}

bool address_is_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >>
			       24 ==
		       127;
	if (address->sa_family != AF_INET6)
		return true;
	const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

void address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_BYTES])
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", text, ntohs(in->sin_port));
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;

		inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
		snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", text, ntohs(in->sin6_port));
	} else {
		snprintf(out, ADDRESS_TEXT_BYTES, "local");
	}
}
