/* SPDX-License-Identifier: MIT
 *
 * rest.c - see rest.h.
 */
#include "discord/rest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/json.h"
#include "common/loop.h"
#include "discord/rest_limits.h"

#define WAITING_MAX  128
#define TRIES_429    4
#define BODY_MAX     (1u << 20)

struct call {
	struct call *next;
	struct rest *rest;
	char *method, *path, *body;
	char route[REST_ROUTE_BYTES];
	uint64_t major, id;
	unsigned flags;
	unsigned refused; /* 429s so far */
	bool in_flight, failed;
	rest_done_fn done;
	void *ctx;
};

struct rest {
	struct rest_config config;
	char *base_url, *authorization;
	struct rest_limits limits;
	struct call *calls; /* in order */
	unsigned count;
	struct loop_timer timer;
};

int rest_create(struct rest **out, const struct rest_config *config)
{
	struct rest *r = calloc(1, sizeof(*r));
	*out = NULL;
	if (!r)
		return -ENOMEM;
	r->config = *config;
	rest_limits_init(&r->limits);
	r->base_url = strdup(config->base_url);
	if (!r->base_url || asprintf(&r->authorization, "Authorization: Bot %s", config->token) < 0) {
		r->authorization = NULL;
		rest_destroy(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

static void call_free(struct call *c)
{
	free(c->method);
	free(c->path);
	free(c->body);
	free(c);
}

void rest_destroy(struct rest *r)
{
	if (!r)
		return;
	loop_timer_cancel(&r->timer);
	while (r->calls) {
		struct call *c = r->calls;
		r->calls = c->next;
		if (c->in_flight)
			http_cancel(r->config.http, c->id);
		call_free(c);
	}
	if (r->authorization)
		sodium_memzero(r->authorization, strlen(r->authorization));
	free(r->authorization);
	free(r->base_url);
	free(r);
}

/* The route of a path: ids other than the major one become {}, tokens behind them too. */
static void route_write(char out[REST_ROUTE_BYTES], const char *method, const char *path,
			uint64_t major)
{
	char major_text[24];
	size_t n = (size_t)snprintf(out, REST_ROUTE_BYTES, "%s ", method);
	snprintf(major_text, sizeof(major_text), "%llu", (unsigned long long)major);
	while (*path && n < REST_ROUTE_BYTES - 4) {
		size_t len = strcspn(path + 1, "/?") + 1; /* with its slash */
		bool digits = len > 1 && strspn(path + 1, "0123456789") == len - 1;
		bool is_major = strlen(major_text) == len - 1 && !memcmp(path + 1, major_text, len - 1);
		if ((digits && !is_major) || len > 40)
			n += (size_t)snprintf(out + n, REST_ROUTE_BYTES - n, "/{}");
		else
			n += (size_t)snprintf(out + n, REST_ROUTE_BYTES - n, "%.*s", (int)len, path);
		path += len;
		if (*path == '?')
			break;
	}
}

static void flush(void *arg);

static void call_unlink(struct rest *r, struct call *c)
{
	for (struct call **p = &r->calls; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			r->count--;
			return;
		}
	}
}

/* Of a call that is in no list any more. */
static void call_finish(struct call *c, const struct rest_result *result)
{
	if (c->done)
		c->done(c->ctx, result);
	call_free(c);
}

static void call_end(struct call *c, const struct rest_result *result)
{
	call_unlink(c->rest, c);
	call_finish(c, result);
}

/* "retry_after" and "global" of a 429's body are finer than its headers. */
static void limited_body_read(const struct http_response *response, struct rest_answer *a)
{
	struct json_doc doc;
	if (json_parse(&doc, response->body, response->body_len, NULL) == 0) {
		struct json_at root = json_root(&doc);
		double seconds = -1;
		bool global = false;
		if (json_is_obj(&root)) {
			json_opt_num(&root, "retry_after", &seconds);
			json_opt_bool(&root, "global", &global);
		}
		if (seconds >= 0 && seconds < 86400)
			a->retry_after_ms = (int64_t)(seconds * 1000) + 1;
		a->global = a->global || global;
	}
	json_free(&doc);
}

static void on_done(void *arg, const struct http_response *response)
{
	struct call *c = arg;
	struct rest *r = c->rest;
	int64_t now_ns = clock_mono_ns();
	char why[224];
	c->in_flight = false;
	if (response->error) {
		rest_limits_answered(&r->limits, c->route, c->major,
				     &(struct rest_answer){.remaining = -1, .reset_after_ms = -1}, now_ns);
	} else {
		const char *limit = http_response_header(response, "X-RateLimit-Limit");
		const char *remaining = http_response_header(response, "X-RateLimit-Remaining");
		struct rest_answer a = {
			.status = response->status,
			.bucket = http_response_header(response, "X-RateLimit-Bucket"),
			.limit = limit && isdigit((unsigned char)*limit) ? atoll(limit) : -1,
			.remaining = remaining && isdigit((unsigned char)*remaining) ? atoll(remaining) : -1,
			.reset_after_ms = http_response_seconds_ms(response, "X-RateLimit-Reset-After"),
			.retry_after_ms = response->retry_after_ms,
			.global = http_response_header(response, "X-RateLimit-Global"),
		};
		if (a.status == 429)
			limited_body_read(response, &a);
		bool was = r->limits.unauthorized;
		/* A callback without our token says nothing about it. */
		if (a.status == 401 && (c->flags & REST_NO_AUTH))
			a.status = 403;
		rest_limits_answered(&r->limits, c->route, c->major, &a, now_ns);
		if (r->limits.unauthorized && !was)
			r->config.on_unauthorized(r->config.ctx);
		if (response->status == 429 && ++c->refused < TRIES_429) {
			flush(r);
			return;
		}
	}
	if (response->error)
		snprintf(why, sizeof(why), "%s", response->error_text);
	else
		snprintf(why, sizeof(why), "status %d: %.180s", response->status, response->body);
	call_end(c, &(struct rest_result){
			    .ok = response->status >= 200 && response->status < 300,
			    .status = response->status,
			    .body = response->body,
			    .body_bytes = response->body_len,
			    .retry_after_ms = response->retry_after_ms,
			    .why = why,
		    });
	flush(r);
}

static int call_send(struct call *c)
{
	struct rest *r = c->rest;
	char url[1024];
	const char *headers[3];
	int n = 0;
	if ((size_t)snprintf(url, sizeof(url), "%s%s", r->base_url, c->path) >= sizeof(url))
		return -EINVAL;
	if (!(c->flags & REST_NO_AUTH))
		headers[n++] = r->authorization;
	if (c->body)
		headers[n++] = "Content-Type: application/json";
	headers[n] = NULL;
	struct http_request request = {
		.method = c->method,
		.url = url,
		.headers = headers,
		.body = c->body,
		.body_len = c->body ? strlen(c->body) : 0,
		.max_body_bytes = BODY_MAX,
		.retry = {.max_tries = 3, .base_ms = 500, .idempotent = c->flags & REST_IDEMPOTENT},
		.on_done = on_done,
		.arg = c,
	};
	return http_request_start(r->config.http, &request, &c->id);
}

static struct call *failed_take(struct rest *r)
{
	struct call *c = r->calls;
	while (c && !c->failed)
		c = c->next;
	if (c)
		call_unlink(r, c);
	return c;
}

/* Ends calls that cannot be sent. Never from inside rest_call(): a callback that runs before its
 * request's start has returned surprises everybody. */
static void failed_end(struct rest *r)
{
	struct call *c;
	while ((c = failed_take(r)))
		call_finish(c, &(struct rest_result){
				       .status = r->limits.unauthorized ? 401 : 0,
				       .body = "",
				       .retry_after_ms = -1,
				       .why = r->limits.unauthorized
						      ? "the bot token was refused"
						      : "the request could not be started"});
}

/* Sends what may be sent, in order within each route, and sleeps until the next may. */
static void send_allowed(struct rest *r)
{
	int64_t now_ns = clock_mono_ns(), next_ns = INT64_MAX;
	for (struct call *c = r->calls; c; c = c->next) {
		bool global = !(c->flags & REST_NO_AUTH);
		if (c->in_flight || c->failed)
			continue;
		int64_t when_ns = rest_limits_when_ns(&r->limits, c->route, c->major, global, now_ns);
		if (when_ns <= now_ns) {
			rest_limits_sent(&r->limits, c->route, c->major, global, now_ns);
			c->failed = call_send(c) < 0;
			c->in_flight = !c->failed;
		} else if (when_ns == INT64_MAX) {
			c->failed = true;
		}
		if (c->failed)
			next_ns = now_ns;
		else if (!c->in_flight && when_ns < next_ns)
			next_ns = when_ns;
	}
	if (next_ns < REST_AFTER_ANSWER) { /* after an answer we come here anyway */
		int64_t ms = (next_ns - now_ns) / NS_PER_MS + 1;
		loop_timer_set(r->config.loop, &r->timer, ms < 50 ? 50 : ms, flush, r);
	}
}

static void flush(void *arg)
{
	failed_end(arg);
	send_allowed(arg);
}

int rest_call(struct rest *r, const char *method, const char *path, uint64_t major,
	      const char *body, unsigned flags, rest_done_fn done, void *ctx)
{
	if (r->limits.unauthorized && !(flags & REST_NO_AUTH))
		return -EACCES;
	if (r->count >= WAITING_MAX)
		return -ENOBUFS;
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->rest = r;
	c->method = strdup(method);
	c->path = strdup(path);
	c->body = body ? strdup(body) : NULL;
	c->major = major;
	c->flags = flags;
	c->done = done;
	c->ctx = ctx;
	if (!c->method || !c->path || (body && !c->body)) {
		call_free(c);
		return -ENOMEM;
	}
	route_write(c->route, method, path, major);
	struct call **end = &r->calls;
	while (*end)
		end = &(*end)->next;
	*end = c;
	r->count++;
	send_allowed(r);
	return 0;
}
