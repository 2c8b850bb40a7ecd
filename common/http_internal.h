/* SPDX-License-Identifier: MIT
 *
 * http_internal.h - between http_client.c (loop thread) and http_worker.c (its thread).
 */
#ifndef COMMON_HTTP_INTERNAL_H
#define COMMON_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "common/http_client.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define HTTP_HEADER_BYTES 16384
#define HTTP_MAX_HEADERS  100

struct http_headers {
	struct strbuf text; /* name NUL value NUL ... */
	size_t name_at[HTTP_MAX_HEADERS];
	size_t value_at[HTTP_MAX_HEADERS];
	size_t count;
};

/* What the owner asked for. Strings are constant after creation and read by both threads. */
struct http_call {
	_Atomic int refs;       /* the client's list and each transfer */
	_Atomic bool cancelled; /* written by the loop, read by the worker */
	char *method, *url, *unix_path, *userpwd;
	struct curl_slist *headers;
	void *body;
	size_t body_len;
	int connect_timeout_ms, total_timeout_ms;
	size_t max_body_bytes;
	/* Loop thread only. */
	struct http_client *client; /* NULL: nobody waits for it any more */
	struct http_call *prev, *next;
	uint64_t id;
	int tries;
	struct http_retry retry;
	struct loop_timer timer;
	int (*on_try)(void *arg, const struct http_response *response);
	void (*on_done)(void *arg, const struct http_response *response);
	void *arg;
};

/* One try. The worker's from http_worker_submit() until it posts http_transfer_done(). */
struct http_transfer {
	struct http_transfer *next;
	struct http_call *call; /* a reference */
	CURL *easy;
	char curl_error[CURL_ERROR_SIZE];
	struct strbuf body;
	struct http_headers headers;
	bool hopeless; /* the same request can only fail again (certificate) */
	struct http_response response;
};

struct http_worker;

int http_worker_create(struct http_worker **out, struct loop *loop, const char *user_agent,
		       const char *ca_file, int max_parallel);
/* Joins. Transfers in flight are freed. */
void http_worker_destroy(struct http_worker *worker);
void http_worker_submit(struct http_worker *worker, struct http_transfer *transfer);
/* It looks at the `cancelled` flags. */
void http_worker_wake(struct http_worker *worker);

void http_call_unref(struct http_call *call);
void http_transfer_free(struct http_transfer *transfer);
/* Runs on the loop's thread. */
void http_transfer_done(void *transfer);

#endif
