/* SPDX-License-Identifier: MIT
 *
 * fuzz_gateway.c - any messages at any point of a main gateway session, one a line; commands and
 * interactions are parsed as the program does.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discord/commands.h"
#include "discord/gateway.h"
#include "discord/gateway_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t wall_ms = 1800000000000;

static void discover(void *ctx) {}
static void connect_to(void *ctx, const char *url) {}
static void close_with(void *ctx, int code) {}
static void send_text(void *ctx, const char *text, size_t bytes)
{
	if (bytes > GATEWAY_PAYLOAD_BYTES_MAX)
		abort();
}
static void on_ready(void *ctx, bool resumed) {}
static void on_dispatch(void *ctx, const char *event, const struct json_at *d)
{
	struct command_source source;
	command_from_message(d, 42, 7, &source);
	command_from_interaction(d, 7, &source);
}
static void on_no_content(void *ctx) {}
static void on_text(void *ctx, const char *text) {}
static void on_budget(void *ctx, const struct identify_budget *budget) {}
static double chance(void *ctx)
{
	return 0.5;
}
static int64_t wall(void *ctx)
{
	return wall_ms;
}

static const struct gateway_ops ops = {
	discover,    connect_to,    close_with, send_text, on_ready,  on_dispatch,
	on_no_content, on_text, on_text,    on_budget, chance, wall,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gateway_config config = {.token = "token", .ops = &ops};
	struct gateway *g;
	int64_t now_ns = 0;

	identify_budget_init(&config.budget);
	if (gateway_create(&g, &config) < 0)
		abort();
	gateway_start(g, 0);
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size;
		gateway_discovered(g, "wss://gateway.example/", 999, 1000, now_ns);
		gateway_opened(g, now_ns);
		gateway_message(g, (const char *)data, n, now_ns);
		now_ns += 1000000000;
		wall_ms += 6000;
		gateway_tick(g, now_ns);
		gateway_send_voice_state(g, 1, 2, now_ns);
		n += end != NULL;
		data += n, size -= n;
	}
	gateway_destroy(g);
	return 0;
}
