/* SPDX-License-Identifier: MIT
 *
 * rest.h - Discord's REST API: requests wait for their rate limit, are retried where that is safe,
 * and end in exactly one callback. Control thread.
 *
 * A 401 stops everything for good (10 000 invalid answers ban the address). The token is sent to
 * the API's own host only; interaction callbacks carry none.
 */
#ifndef DISCORD_REST_H
#define DISCORD_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http_client;
struct rest;

#define REST_USER_AGENT "DiscordBot (https://loopline.invalid, " LOOPLINE_VERSION ")"

struct rest_config {
	struct loop *loop;
	struct http_client *http;
	const char *base_url; /* DISCORD_API_URL, without trailing slash; copied */
	const char *token;    /* copied */
	/* The token was refused: said once. */
	void (*on_unauthorized)(void *ctx);
	void *ctx;
};

int rest_create(struct rest **out, const struct rest_config *config);
/* Drops what waits, without callbacks. */
void rest_destroy(struct rest *r);

struct rest_result {
	bool ok;     /* status 2xx */
	int status;  /* 0: no answer */
	const char *body;
	size_t body_bytes;
	int64_t retry_after_ms; /* -1 unknown */
	const char *why;        /* for the log when not ok */
};
typedef void (*rest_done_fn)(void *ctx, const struct rest_result *result);

enum { REST_IDEMPOTENT = 1, REST_NO_AUTH = 2 /* interaction callbacks: no token, no global limit */ };

/* path starts with '/'; major is the id that Discord keys the limit by; body NULL or JSON. done may
 * be NULL. -ENOBUFS when too much waits, -EACCES after a 401, -ENOMEM. */
int rest_call(struct rest *r, const char *method, const char *path, uint64_t major,
	      const char *body, unsigned flags, rest_done_fn done, void *ctx);

#endif
