/* SPDX-License-Identifier: MIT
 *
 * test_rest.c - Discord's rate limits as it tells them.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/rest_limits.h"

#define SEC NS_PER_SEC
#define POST "POST /channels/1/messages"
#define EDIT "PATCH /channels/1/messages/{}"

static struct rest_limits l;

static void answered(const char *route, uint64_t major, int status, const char *bucket,
		     int remaining, int reset_ms, int64_t now)
{
	struct rest_answer a = {.status = status,
				.bucket = bucket,
				.limit = 5,
				.remaining = remaining,
				.reset_after_ms = reset_ms,
				.retry_after_ms = -1};
	rest_limits_answered(&l, route, major, &a, now);
}

static bool may(const char *route, uint64_t major, int64_t now)
{
	return rest_limits_when_ns(&l, route, major, true, now) <= now;
}

static void test_empty_bucket_waits_until_reset(void)
{
	rest_limits_init(&l);
	CHECK(may(POST, 1, SEC));
	rest_limits_sent(&l, POST, 1, true, SEC);
	answered(POST, 1, 200, "b1", 0, 2500, SEC);
	CHECK_INT(rest_limits_when_ns(&l, POST, 1, true, SEC), 3500 * NS_PER_MS + REST_MARGIN_NS);
	CHECK(!may(POST, 1, 3500 * NS_PER_MS + NS_PER_MS / 2)); /* told 2.5, which was 2.5005 */
	CHECK(may("POST /channels/2/messages", 2, SEC)); /* another channel */
	CHECK(may(POST, 1, 3500 * NS_PER_MS + REST_MARGIN_NS));
}

/* Two routes that Discord puts into one bucket share what is left. */
static void test_shared_bucket(void)
{
	rest_limits_init(&l);
	answered(POST, 1, 200, "b1", 5, 5000, SEC);
	answered(EDIT, 1, 200, "b1", 1, 5000, SEC);
	rest_limits_sent(&l, POST, 1, true, SEC);
	CHECK(!may(EDIT, 1, 2 * SEC));
	CHECK(may(EDIT, 1, 6 * SEC + REST_MARGIN_NS));
}

static void test_in_flight_requests_count(void)
{
	rest_limits_init(&l);
	answered(POST, 1, 200, "b1", 2, 5000, SEC);
	rest_limits_sent(&l, POST, 1, true, SEC);
	CHECK(may(POST, 1, SEC));
	rest_limits_sent(&l, POST, 1, true, SEC);
	CHECK(!may(POST, 1, SEC));
}

/* Nothing is known of a route before its first answer: one request at a time. */
static void test_unknown_bucket_is_tried_singly(void)
{
	rest_limits_init(&l);
	rest_limits_sent(&l, POST, 1, true, SEC);
	CHECK_INT(rest_limits_when_ns(&l, POST, 1, true, SEC), REST_AFTER_ANSWER);
	rest_limits_answered(&l, POST, 1,
			     &(struct rest_answer){.remaining = -1, .reset_after_ms = -1}, SEC);
	CHECK(may(POST, 1, SEC)); /* there was no answer: it was lost */
}

/* When the bucket is full again those who waited do not all go at once. */
static void test_reset_releases_as_many_as_fit(void)
{
	int sent = 0;
	rest_limits_init(&l);
	rest_limits_sent(&l, POST, 1, true, SEC);
	answered(POST, 1, 200, "b1", 0, 1000, SEC);
	while (sent < 50 && may(POST, 1, 3 * SEC)) {
		rest_limits_sent(&l, POST, 1, true, 3 * SEC);
		sent++;
	}
	CHECK_INT(sent, 5);
}

/* An answer does not count what reached Discord after it. */
static void test_answers_that_overtake(void)
{
	rest_limits_init(&l);
	answered(POST, 1, 200, "b1", 5, 5000, SEC);
	for (int i = 0; i < 3; i++)
		rest_limits_sent(&l, POST, 1, true, SEC);
	answered(POST, 1, 200, "b1", 4, 5000, SEC); /* two are still under way */
	CHECK_INT(l.routes[0].remaining, 2);
}

/* Connections are several: the answer to the last of five may come before that to the first. */
static void test_answers_in_any_order(void)
{
	rest_limits_init(&l);
	answered(POST, 1, 200, "b1", 5, 5000, SEC);
	for (int i = 0; i < 5; i++)
		rest_limits_sent(&l, POST, 1, true, SEC);
	for (int left = 0; left < 5; left++) { /* the more left, the later it arrives */
		answered(POST, 1, 200, "b1", left, 5000, SEC + left * SEC / 4);
		CHECK(!may(POST, 1, SEC + left * SEC / 4));
	}
	/* all is new after the reset */
	CHECK(may(POST, 1, 7 * SEC));
	rest_limits_sent(&l, POST, 1, true, 7 * SEC);
	answered(POST, 1, 200, "b1", 4, 5000, 7 * SEC);
	CHECK_INT(l.routes[0].remaining, 4);
}

static void test_429_of_a_route(void)
{
	rest_limits_init(&l);
	struct rest_answer a = {.status = 429, .remaining = -1, .reset_after_ms = -1,
				.retry_after_ms = 1337};
	rest_limits_answered(&l, POST, 1, &a, SEC);
	CHECK_INT(rest_limits_when_ns(&l, POST, 1, true, SEC), 2337 * NS_PER_MS + REST_MARGIN_NS);
	CHECK(may("GET /gateway/bot", 0, SEC));
}

static void test_429_of_all(void)
{
	rest_limits_init(&l);
	struct rest_answer a = {.status = 429, .remaining = -1, .reset_after_ms = -1,
				.retry_after_ms = 2000, .global = true};
	rest_limits_answered(&l, POST, 1, &a, SEC);
	CHECK(!may("GET /gateway/bot", 0, SEC));
	CHECK(may("GET /gateway/bot", 0, 3 * SEC + REST_MARGIN_NS));
}

/* A wait of thousands of years would be a bot that never says anything again, or an overflow. */
static void test_waits_are_bounded(void)
{
	for (int i = 0; i < 3; i++) {
		rest_limits_init(&l);
		struct rest_answer a = {.status = i ? 429 : 200,
					.remaining = 0,
					.reset_after_ms = INT64_MAX / 4,
					.retry_after_ms = i ? INT64_MAX / 4 : -1,
					.global = i == 2};
		rest_limits_answered(&l, POST, 1, &a, SEC);
		CHECK(!may(POST, 1, 2 * SEC));
		CHECK(may(POST, 1, 2 * SEC + 86400 * SEC));
	}
}

static void test_fifty_a_second(void)
{
	rest_limits_init(&l);
	for (int i = 0; i < 50; i++) {
		CHECK(may(POST, 1, SEC + i));
		rest_limits_sent(&l, POST, 1, true, SEC + i);
		answered(POST, 1, 200, NULL, -1, -1, SEC + i);
	}
	CHECK(!may(POST, 1, SEC + 60));
	CHECK(rest_limits_when_ns(&l, "POST /interactions/{}/{}/callback", 9, false, SEC + 60) <=
	      SEC + 60); /* exempt */
	CHECK(may(POST, 1, 2 * SEC + 1));
}

/* 10 000 refused requests ban the address: after a 401 nothing is sent any more. */
static void test_401_ends_everything(void)
{
	rest_limits_init(&l);
	answered(POST, 1, 401, NULL, -1, -1, SEC);
	CHECK_INT(rest_limits_when_ns(&l, POST, 1, true, 100 * SEC), INT64_MAX);
	CHECK_INT(rest_limits_when_ns(&l, "GET /x", 0, true, 100 * SEC), INT64_MAX);
}

static void test_many_routes_stay_bounded(void)
{
	char route[64];
	rest_limits_init(&l);
	answered(POST, 1, 200, "b", 0, 60000, 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(route, sizeof(route), "GET /%d", i);
		rest_limits_sent(&l, route, 0, true, (2 + i) * SEC);
	}
	CHECK(may(POST, 1, 1000 * SEC));
}

int main(void)
{
	UNIT(test_empty_bucket_waits_until_reset);
	UNIT(test_shared_bucket);
	UNIT(test_in_flight_requests_count);
	UNIT(test_unknown_bucket_is_tried_singly);
	UNIT(test_reset_releases_as_many_as_fit);
	UNIT(test_answers_that_overtake);
	UNIT(test_answers_in_any_order);
	UNIT(test_429_of_a_route);
	UNIT(test_429_of_all);
	UNIT(test_waits_are_bounded);
	UNIT(test_fifty_a_second);
	UNIT(test_401_ends_everything);
	UNIT(test_many_routes_stay_bounded);
	return unit_done();
}
