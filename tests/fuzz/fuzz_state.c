/* SPDX-License-Identifier: MIT
 *
 * fuzz_state.c - what the Discord process finds on its disk: the identify budget, and the notices
 * of calls that were in progress. Whoever can write there may be anybody: nothing but a wait that
 * is bounded may follow.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "discord/calls.h"
#include "discord/identify_budget.h"

#define DAY_MS (24 * 3600 * 1000LL)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_change(void *ctx) {}

static void budget(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct identify_budget b;
	int64_t now_ms = 1800000000000;

	if (fd < 0) {
		fd = memfd_create("budget", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	identify_budget_load(&b, path);
	for (int i = 0; i < 20; i++) {
		int64_t wait_ms = identify_budget_wait_ms(&b, now_ms);

		/* never at once in a loop, never for more than the day it is for */
		if (wait_ms < 0 || wait_ms > DAY_MS || (i > 0 && wait_ms == 0))
			abort();
		now_ms += wait_ms;
		if (identify_budget_wait_ms(&b, now_ms) > 0 && b.last_ms < now_ms)
			now_ms += DAY_MS;
		identify_budget_spend(&b, now_ms);
	}
}

static void notices(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct calls_config config = {.on_change = on_change};
	struct calls *c;
	struct json_doc doc;

	if (!loop) {
		log_level_set(LOG_LEVEL_ERROR);
		if (loop_create(&loop) < 0)
			abort();
	}
	config.loop = loop;
	if (calls_create(&c, &config) < 0)
		abort();
	if (json_parse(&doc, (const char *)data, size, NULL) == 0) {
		struct json_at root = json_root(&doc), list;

		if (json_is_obj(&root) && json_arr(&root, "notices", &list))
			calls_read_json(c, &list);
	}
	json_free(&doc);
	calls_destroy(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	budget(data, size);
	notices(data, size);
	return 0;
}
