/* SPDX-License-Identifier: MIT
 *
 * fuzz_rest.c - Discord's answers about its rate limits in any order and with any values: every
 * request is sent at a time that is bounded, or never (401).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "discord/rest_limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUTES 80 /* more than are remembered */

static int64_t number(const uint8_t *p)
{
	int64_t v;

	memcpy(&v, p, sizeof(v));
	return p[0] % 4 == 0 ? v : p[0] % 4 == 1 ? -1 : v % 100000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {0, 200, 204, 429, 500, 404, 403, 200};
	struct rest_limits *l = malloc(sizeof(*l));
	int64_t now_ns = NS_PER_SEC;

	if (!l)
		abort();
	rest_limits_init(l);
	for (; size >= 28; data += 28, size -= 28) {
		char route[32], bucket[4] = {(char)('a' + data[1] % 8), 0};
		uint64_t major = data[2] % 3;
		bool global = data[3] & 1;
		struct rest_answer answer = {
			.status = data[0] == 255 ? 401 : statuses[data[0] % 8],
			.bucket = data[3] & 2 ? bucket : NULL,
			.limit = data[3] & 4 ? data[1] : -1,
			.remaining = data[3] & 8 ? number(data + 4) : -1,
			.reset_after_ms = data[3] & 16 ? number(data + 12) : -1,
			.retry_after_ms = data[3] & 32 ? number(data + 20) : -1,
			.global = data[3] & 64,
		};
		int64_t when;

		snprintf(route, sizeof(route), "GET /%d", data[1] % ROUTES);
		when = rest_limits_when_ns(l, route, major, global, now_ns);
		if (when == INT64_MAX) {
			if (!l->unauthorized)
				abort();
			break;
		}
		if (when != REST_AFTER_ANSWER && when > now_ns)
			now_ns = when < now_ns + 3600 * NS_PER_SEC ? when : now_ns + NS_PER_SEC;
		rest_limits_sent(l, route, major, global, now_ns);
		if (data[3] & 128) /* else it is still under way */
			rest_limits_answered(l, route, major, &answer, now_ns);
		now_ns += (int64_t)data[2] * NS_PER_MS;
	}
	free(l);
	return 0;
}
