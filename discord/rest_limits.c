/* SPDX-License-Identifier: MIT
 *
 * rest_limits.c - see rest_limits.h.
 */
#include "discord/rest_limits.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define WAIT_MAX_MS (24 * 3600 * 1000LL)

void rest_limits_init(struct rest_limits *l)
{
	memset(l, 0, sizeof(*l));
}

static struct rest_route *route_get(struct rest_limits *l, const char *route, uint64_t major,
				    int64_t now_ns)
{
	struct rest_route *oldest = &l->routes[0];
	for (int i = 0; i < REST_ROUTES_MAX; i++) {
		struct rest_route *r = &l->routes[i];
		if (r->route[0] && r->major == major && !strcmp(r->route, route)) {
			r->used_ns = now_ns;
			return r;
		}
		if (oldest->route[0] && (!r->route[0] || r->used_ns < oldest->used_ns))
			oldest = r;
	}
	memset(oldest, 0, sizeof(*oldest));
	snprintf(oldest->route, sizeof(oldest->route), "%s", route);
	oldest->major = major;
	oldest->remaining = -1;
	oldest->used_ns = now_ns;
	return oldest;
}

static bool same_bucket(const struct rest_route *a, const struct rest_route *b)
{
	return a == b || (a->bucket[0] && a->major == b->major && !strcmp(a->bucket, b->bucket));
}

#define EACH_OF_BUCKET(l, r, other) \
	for (struct rest_route *other = (l)->routes; other < (l)->routes + REST_ROUTES_MAX; other++) \
		if (other->route[0] && same_bucket(r, other))

/* The bucket is full again: by how much is known from its last answer. */
static void refill(struct rest_route *r, int64_t now_ns)
{
	if (r->remaining >= 0 && r->reset_ns <= now_ns)
		r->remaining = r->limit > (int64_t)r->in_flight ? r->limit - r->in_flight : -1;
}

int64_t rest_limits_when_ns(struct rest_limits *l, const char *route, uint64_t major, bool global,
			    int64_t now_ns)
{
	if (l->unauthorized)
		return INT64_MAX;
	struct rest_route *r = route_get(l, route, major, now_ns);
	int64_t when_ns = l->global_until_ns;
	refill(r, now_ns);
	if (r->remaining < 0 && r->in_flight > 0)
		return REST_AFTER_ANSWER;
	if (r->remaining == 0 && r->reset_ns > when_ns)
		when_ns = r->reset_ns;
	if (global && l->in_second >= REST_GLOBAL_EACH_SECOND &&
	    l->second_ns + NS_PER_SEC > now_ns && l->second_ns + NS_PER_SEC > when_ns)
		when_ns = l->second_ns + NS_PER_SEC;
	return when_ns;
}

void rest_limits_sent(struct rest_limits *l, const char *route, uint64_t major, bool global,
		      int64_t now_ns)
{
	struct rest_route *r = route_get(l, route, major, now_ns);
	EACH_OF_BUCKET (l, r, other) {
		refill(other, now_ns);
		if (other->remaining > 0)
			other->remaining--;
		other->in_flight++;
	}
	if (!global)
		return;
	if (now_ns - l->second_ns >= NS_PER_SEC) {
		l->second_ns = now_ns;
		l->in_second = 0;
	}
	l->in_second++;
}

/* No limit of Discord's lasts longer; what says so would silence us, or overflow. */
static int64_t bounded(int64_t ms)
{
	return ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS;
}

void rest_limits_answered(struct rest_limits *l, const char *route, uint64_t major,
			  const struct rest_answer *a, int64_t now_ns)
{
	struct rest_route *r = route_get(l, route, major, now_ns);
	EACH_OF_BUCKET (l, r, other)
		if (other->in_flight > 0)
			other->in_flight--;
	if (a->status == 401)
		l->unauthorized = true;
	if (a->bucket)
		snprintf(r->bucket, sizeof(r->bucket), "%s", a->bucket);
	int64_t remaining = a->remaining;
	int64_t reset_ms = bounded(a->reset_after_ms);
	if (a->status == 429) {
		int64_t wait_ms = a->retry_after_ms >= 0 ? bounded(a->retry_after_ms) : 1000;
		if (a->global) {
			l->global_until_ns = now_ns + wait_ms * NS_PER_MS + REST_MARGIN_NS;
			return;
		}
		remaining = 0;
		reset_ms = wait_ms > reset_ms ? wait_ms : reset_ms;
	}
	if (remaining < 0 || reset_ms < 0)
		return;
	unsigned in_flight = r->in_flight;
	int64_t reset_ns = now_ns + reset_ms * NS_PER_MS + REST_MARGIN_NS;
	/* Those still under way may have come too late to be counted in this answer. */
	remaining = remaining > (int64_t)in_flight ? remaining - in_flight : 0;
	/* Answers overtake each other: until the reset there are never more left than were known. */
	bool old = r->remaining >= 0 && remaining > r->remaining && now_ns < r->reset_ns;
	if (old) {
		remaining = r->remaining;
		reset_ns = r->reset_ns;
	}
	EACH_OF_BUCKET (l, r, other) {
		other->remaining = remaining;
		other->reset_ns = reset_ns;
		other->in_flight = in_flight;
		if (a->limit > 0)
			other->limit = a->limit;
	}
}
