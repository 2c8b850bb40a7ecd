/* SPDX-License-Identifier: MIT
 *
 * rest_limits.h - when may the next REST request of a kind be sent? Discord's rules, kept as it
 * tells them: buckets named by an opaque hash, learnt per route; a global pause; 50 a second over
 * all; and nothing at all after a 401. Pure. Control thread.
 *
 * A route is "METHOD /path/template" with its major parameter (channel, guild or webhook id)
 * written out, as in "POST /channels/123/messages". Until Discord has named its bucket a route is
 * a bucket of its own.
 */
#ifndef DISCORD_REST_LIMITS_H
#define DISCORD_REST_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define REST_ROUTE_BYTES  128
#define REST_ROUTES_MAX   64 /* the least recently used is forgotten */
#define REST_GLOBAL_EACH_SECOND 50
#define REST_MARGIN_NS    INT64_C(5000000) /* waited longer than told: times come in ms, rounded either way */

struct rest_route {
	char route[REST_ROUTE_BYTES];
	char bucket[64];    /* hash, "" while unknown */
	uint64_t major;     /* same hash, other channel: another bucket */
	int64_t limit;      /* of the bucket when full; 0 unknown */
	int64_t remaining;  /* -1 unknown: one at a time until an answer tells */
	int64_t reset_ns;   /* when it is full again */
	unsigned in_flight; /* sent on this route and not answered yet */
	int64_t used_ns;
};

struct rest_limits {
	struct rest_route routes[REST_ROUTES_MAX];
	int64_t global_until_ns;
	int64_t second_ns; /* start of the present second */
	unsigned in_second;
	bool unauthorized;
};

void rest_limits_init(struct rest_limits *l);
#define REST_AFTER_ANSWER (INT64_MAX - 1)

/* When a request on this route may be sent: <= now_ns means now, INT64_MAX never (401),
 * REST_AFTER_ANSWER: ask again when one that is under way was answered. */
int64_t rest_limits_when_ns(struct rest_limits *l, const char *route, uint64_t major, bool global,
			    int64_t now_ns);
/* It is being sent. global: counts towards the 50 a second (interaction callbacks do not). */
void rest_limits_sent(struct rest_limits *l, const char *route, uint64_t major, bool global,
		      int64_t now_ns);

struct rest_answer {
	int status;             /* 0: there was no answer */
	const char *bucket;     /* X-RateLimit-Bucket or NULL */
	int64_t limit;          /* X-RateLimit-Limit or -1 */
	int64_t remaining;      /* X-RateLimit-Remaining or -1 */
	int64_t reset_after_ms; /* X-RateLimit-Reset-After or -1 */
	int64_t retry_after_ms; /* on 429; -1 unknown */
	bool global;            /* X-RateLimit-Global, or "global" in the body */
};
void rest_limits_answered(struct rest_limits *l, const char *route, uint64_t major,
			  const struct rest_answer *answer, int64_t now_ns);

#endif
