/* SPDX-License-Identifier: MIT
 *
 * http_client.c - requests and their retries, on the loop's thread.
 *
 * Three things: a call is what the owner asked for and lives on the loop's thread; a transfer is
 * one try of it and belongs to the worker (http_worker.c) until it comes back by loop_post();
 * policy is decided between two tries, on the loop's thread. A call is counted, because the worker
 * reads its strings, perhaps after the owner cancelled it.
 */
#include "common/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/http_internal.h"
#include "common/http_resolver.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/url.h"

#define DEFAULT_PARALLEL           8
#define DEFAULT_WAITING            256
#define DEFAULT_CONNECT_TIMEOUT_MS 5000
#define DEFAULT_TOTAL_TIMEOUT_MS   15000
#define DEFAULT_BODY_BYTES         ((size_t)1 << 20)
#define DEFAULT_BASE_MS            100
#define DEFAULT_CAP_MS             3000
#define DEFAULT_MAX_WAIT_MS        30000
#define LOOKUP_ID_BIT              (UINT64_C(1) << 63)

struct http_client {
	struct loop *loop;
	struct http_worker *worker;
	struct resolver *resolver;
	struct http_call *calls;
	int call_count;
	int max_calls;
	uint64_t next_id;
};

static void on_retry_timer(void *arg);

/* ---- answers ------------------------------------------------------------------------- */

const char *http_response_header(const struct http_response *response, const char *name)
{
	const struct http_headers *h = response->headers;

	for (size_t i = 0; h && i < h->count; i++)
		if (!strcasecmp(h->text.data + h->name_at[i], name))
			return h->text.data + h->value_at[i];
	return NULL;
}

/* "1", "0.25"; rounded up; -1 for anything else. */
static int64_t seconds_to_ms(const char *text)
{
	double seconds = 0, place = 1;
	const char *p = text;

	if (!*p || strlen(p) > 24)
		return -1;
	for (; *p >= '0' && *p <= '9'; p++)
		seconds = seconds * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			seconds += (*p - '0') * (place /= 10);
	if (*p || (p == text + 1 && *text == '.') || seconds > 1e12)
		return -1;
	/* 0.3 is a little more than 300 ms in binary; do not round that up to 301. */
	return (int64_t)ceil(seconds * 1000 - 1e-6);
}

int64_t http_response_seconds_ms(const struct http_response *response, const char *name)
{
	const char *value = http_response_header(response, name);

	return value ? seconds_to_ms(value) : -1;
}

/* RFC 9110 10.2.3: seconds or a date. */
static int64_t retry_after_ms(const struct http_response *response)
{
	const char *value = http_response_header(response, "Retry-After");
	int64_t ms;
	time_t when;

	if (!value)
		return -1;
	ms = seconds_to_ms(value);
	if (ms >= 0)
		return ms;
	when = curl_getdate(value, NULL);
	if (when < 0)
		return -1;
	when -= time(NULL);
	return when > 0 ? (int64_t)when * 1000 : 0;
}

/* ---- calls --------------------------------------------------------------------------- */

void http_call_unref(struct http_call *call)
{
	if (atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	curl_slist_free_all(call->headers);
	free(call->method);
	free(call->url);
	free(call->unix_path);
	free(call->userpwd);
	free(call->body);
	free(call);
}

/* Out of the client's list; the list's reference passes to the caller. */
static void unlink_call(struct http_call *call)
{
	struct http_client *client = call->client;

	if (call->prev)
		call->prev->next = call->next;
	else
		client->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call->client = NULL;
	client->call_count--;
	loop_timer_cancel(&call->timer);
}

static void drop_call(struct http_call *call)
{
	struct http_worker *worker = call->client->worker;

	unlink_call(call);
	if (atomic_exchange(&call->cancelled, true) == false)
		http_worker_wake(worker);
	http_call_unref(call);
}

/* Milliseconds until the next try, or -1 to deliver this answer. */
static int64_t policy_delay_ms(struct http_call *call, const struct http_response *r, bool unsent,
			       bool hopeless)
{
	const struct http_retry *retry = &call->retry;
	int64_t delay;
	bool again = false;

	if (call->tries >= retry->max_tries || hopeless)
		return -1;
	if (r->error)
		again = unsent || retry->idempotent;
	else if (r->status == 429)
		again = retry->retry_429;
	else if (r->status == 500 || (r->status >= 502 && r->status <= 504))
		again = retry->idempotent;
	if (!again)
		return -1;
	delay = backoff_full_jitter_ms(retry->base_ms, retry->cap_ms, (unsigned)call->tries - 1);
	if ((r->status == 429 || r->status == 503) && r->retry_after_ms > delay)
		delay = r->retry_after_ms;
	return delay > retry->max_wait_ms ? -1 : delay;
}

void http_transfer_done(void *arg)
{
	struct http_transfer *t = arg;
	struct http_call *call = t->call;
	struct http_response *r = &t->response;
	int64_t delay = -1;
	int hook = -1;

	if (!call->client) /* cancelled, or the client is gone */
		goto out;
	r->tries = call->tries;
	r->headers = &t->headers;
	r->body = strbuf_text(&t->body);
	r->body_len = t->body.len;
	r->retry_after_ms = retry_after_ms(r);
	if (call->on_try) {
		hook = call->on_try(call->arg, r);
		if (!call->client)
			goto out;
	}
	if (hook < 0)
		delay = policy_delay_ms(call, r, r->error && !r->sent, t->hopeless);
	else if (hook > 0)
		delay = hook;
	if (delay >= 0) {
		log_debug("request will be tried again url=%s status=%d error=%s in_ms=%lld",
			  log_quote(call->url), r->status, log_quote(r->error_text),
			  (long long)delay);
		loop_timer_set(call->client->loop, &call->timer, delay, on_retry_timer, call);
		goto out;
	}
	unlink_call(call);
	call->on_done(call->arg, r); /* may destroy the client */
	http_call_unref(call);
out:
	http_transfer_free(t);
}

/* Hands one try to the worker. -ENOMEM: nothing has happened. */
static int start_try(struct http_call *call)
{
	struct http_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	call->tries++;
	t->call = call;
	atomic_fetch_add(&call->refs, 1);
	strbuf_init(&t->body, call->max_body_bytes);
	strbuf_init(&t->headers.text, HTTP_HEADER_BYTES);
	http_worker_submit(call->client->worker, t);
	return 0;
}

static void on_retry_timer(void *arg)
{
	struct http_call *call = arg;
	/* No memory for a try: say it by the one answer that the call always has. */
	struct http_response r = {
		.error = -ENOMEM, .body = "", .retry_after_ms = -1, .tries = call->tries};

	if (start_try(call) == 0)
		return;
	snprintf(r.error_text, sizeof(r.error_text), "out of memory");
	unlink_call(call);
	call->on_done(call->arg, &r);
	http_call_unref(call);
}

static bool header_good(const char *header)
{
	return strchr(header, ':') && header[0] != ':' && !strpbrk(header, "\r\n");
}

static int check_request(const struct http_request *request)
{
	const char *why = "";
	struct url url;

	if (!request->method || !request->url || !request->on_done)
		return -EINVAL;
	for (const char *p = request->method; *p; p++)
		if (*p < 'A' || *p > 'Z')
			return -EINVAL;
	if (url_parse(&url, request->url, &why) < 0 || strncmp(url.scheme, "http", 4) != 0) {
		log_error("address of a request is wrong url=%s expected=%s",
			  log_quote(request->url), log_quote(*why ? why : "http or https"));
		return -EINVAL;
	}
	if (!url.tls && !url.loopback && !request->unix_path) {
		log_error("http:// is allowed to loopback hosts only url=%s",
			  log_quote(request->url));
		return -EINVAL;
	}
	for (const char *const *h = request->headers; h && *h; h++)
		if (!header_good(*h))
			return -EINVAL;
	return 0;
}

static int append_header(struct http_call *call, const char *header)
{
	struct curl_slist *list = curl_slist_append(call->headers, header);

	if (!list)
		return -ENOMEM;
	call->headers = list;
	return 0;
}

static int copy_request(struct http_call *call, const struct http_request *q)
{
	bool typed = false;
	int err = 0;

	call->method = strdup(q->method);
	call->url = strdup(q->url);
	if (!call->method || !call->url)
		return -ENOMEM;
	if (q->unix_path && !(call->unix_path = strdup(q->unix_path)))
		return -ENOMEM;
	if (q->user &&
	    asprintf(&call->userpwd, "%s:%s", q->user, q->password ? q->password : "") < 0) {
		call->userpwd = NULL;
		return -ENOMEM;
	}
	if (q->body_len) {
		call->body = malloc(q->body_len);
		if (!call->body)
			return -ENOMEM;
		memcpy(call->body, q->body, q->body_len);
		call->body_len = q->body_len;
	}
	for (const char *const *h = q->headers; h && *h && !err; h++) {
		typed |= !strncasecmp(*h, "Content-Type:", 13);
		err = append_header(call, *h);
	}
	/* libcurl would wait for a 100, and would call an empty body a form. */
	if (!err)
		err = append_header(call, "Expect:");
	if (!err && !typed)
		err = append_header(call, "Content-Type:");
	call->connect_timeout_ms =
		q->connect_timeout_ms ? q->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
	call->total_timeout_ms =
		q->total_timeout_ms ? q->total_timeout_ms : DEFAULT_TOTAL_TIMEOUT_MS;
	call->max_body_bytes = q->max_body_bytes ? q->max_body_bytes : DEFAULT_BODY_BYTES;
	call->retry = q->retry;
	if (!call->retry.base_ms)
		call->retry.base_ms = DEFAULT_BASE_MS;
	if (!call->retry.cap_ms)
		call->retry.cap_ms = DEFAULT_CAP_MS;
	if (!call->retry.max_wait_ms)
		call->retry.max_wait_ms = DEFAULT_MAX_WAIT_MS;
	call->on_try = q->on_try;
	call->on_done = q->on_done;
	call->arg = q->arg;
	return err;
}

int http_request_start(struct http_client *client, const struct http_request *request, uint64_t *id)
{
	struct http_call *call;
	int err = check_request(request);

	if (id)
		*id = 0;
	if (err)
		return err;
	if (client->call_count >= client->max_calls)
		return -ENOBUFS;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	atomic_store(&call->refs, 1);
	err = copy_request(call, request);
	if (err) {
		http_call_unref(call);
		return err;
	}
	call->client = client;
	call->id = ++client->next_id;
	call->next = client->calls;
	if (call->next)
		call->next->prev = call;
	client->calls = call;
	client->call_count++;
	/* Not by a timer: of timers due at the same time the last one set may come first. */
	err = start_try(call);
	if (err) {
		unlink_call(call);
		http_call_unref(call);
		return err;
	}
	if (id)
		*id = call->id;
	return 0;
}

void http_cancel(struct http_client *client, uint64_t id)
{
	if (id & LOOKUP_ID_BIT) {
		resolver_cancel(client->resolver, id);
		return;
	}
	for (struct http_call *call = client->calls; call; call = call->next) {
		if (call->id == id) {
			drop_call(call);
			return;
		}
	}
}

int http_resolve(struct http_client *client, const char *host, uint16_t port,
		 void (*on_done)(void *arg, const struct http_addresses *addresses), void *arg,
		 uint64_t *id)
{
	uint64_t own = ++client->next_id | LOOKUP_ID_BIT;
	int err = resolver_start(client->resolver, own, host, port, on_done, arg);

	if (id)
		*id = err ? 0 : own;
	return err;
}

/* ---- the client ---------------------------------------------------------------------- */

int http_client_create(struct http_client **out, struct loop *loop,
		       const struct http_client_config *config)
{
	int parallel = config->max_parallel ? config->max_parallel : DEFAULT_PARALLEL;
	struct http_client *client;
	int err;

	*out = NULL;
	if (config->ca_file && access(config->ca_file, R_OK) < 0)
		return -ENOENT;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->max_calls =
		parallel + (config->max_waiting ? config->max_waiting : DEFAULT_WAITING);
	err = resolver_create(&client->resolver, loop);
	if (!err)
		err = http_worker_create(&client->worker, loop, config->user_agent, config->ca_file,
					 parallel);
	if (err) {
		resolver_destroy(client->resolver);
		free(client);
		return err;
	}
	*out = client;
	return 0;
}

void http_client_destroy(struct http_client *client)
{
	struct http_call *next;

	if (!client)
		return;
	for (struct http_call *call = client->calls; call; call = next) {
		next = call->next;
		drop_call(call);
	}
	resolver_destroy(client->resolver);
	http_worker_destroy(client->worker);
	free(client);
}
