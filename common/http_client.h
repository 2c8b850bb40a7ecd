/* SPDX-License-Identifier: MIT
 *
 * http_client.h - HTTP requests and name look-ups that never block the loop.
 *
 * A worker thread runs libcurl; look-ups run on threads of their own, so a dead name
 * server holds up nothing else. All functions are for the loop's thread, and all
 * callbacks run there, never from inside http_request_start() or http_resolve().
 *
 * Redirects are never followed. https only, but http to loopback hosts and Unix
 * sockets. Bodies are bounded. TLS >= 1.2, verified against the system store or ca_file.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct http_client;

struct http_client_config {
	const char *user_agent; /* required */
	const char *ca_file;    /* NULL: system store */
	int max_parallel;       /* transfers at once, the rest waits in order; 0: 8 */
	int max_waiting;        /* beyond it http_request_start() refuses; 0: 256 */
};

/* Strings are copied. -ENOMEM, -EAGAIN (no thread), -ENOENT (ca_file cannot be read). */
int http_client_create(struct http_client **out, struct loop *loop,
		       const struct http_client_config *config);
/*
 * Cancels everything (no callback runs any more) and joins the worker; returns at once
 * even with transfers and look-ups in flight.
 */
void http_client_destroy(struct http_client *client);

/*
 * When to try again. A try is repeated only where that is safe:
 *  - no connection was made (look-up, connect, TLS failed): always, the request was not sent
 *  - status 429: yes (it was not acted upon) after Retry-After, if retry_429
 *  - status 500, 502, 503, 504, or the answer was lost: only if idempotent
 * Delay: full jitter in [0, base_ms * 2^n], at most cap_ms; for 429 and 503 at least Retry-After.
 * When that is longer than max_wait_ms the answer is delivered instead.
 */
struct http_retry {
	int max_tries;   /* 0 and 1: once */
	int base_ms;     /* 0: 100 */
	int cap_ms;      /* 0: 3000 */
	int max_wait_ms; /* 0: 30000 */
	bool idempotent;
	bool retry_429;
};

struct http_response {
	/* 0, or -errno when there is no answer: -ETIMEDOUT, -EHOSTUNREACH (name), -ECONNREFUSED
	 * (connect), -EPROTO (TLS or HTTP), -EMSGSIZE (body or headers over the bound), -EIO,
	 * -EINVAL. */
	int error;
	char error_text[160]; /* for the log */
	bool sent;            /* the request may have reached the server */
	int status;           /* 200, 404 ...; 0 with error */
	const char *body;     /* NUL behind it; "" if empty; gone after the callback */
	size_t body_len;
	int64_t retry_after_ms; /* Retry-After (seconds with decimals, or a date); -1 if none */
	int tries;
	const struct http_headers *headers;
};

/* First header of that name (any case), without blanks around; NULL if there is none. */
const char *http_response_header(const struct http_response *response, const char *name);
/* A header of decimal seconds ("0.25") as milliseconds, rounded up; -1 if absent or malformed. */
int64_t http_response_seconds_ms(const struct http_response *response, const char *name);

struct http_request {
	const char *method; /* "GET", "POST", "PATCH", "PUT", "DELETE" */
	const char *url;
	const char *unix_path;       /* connect here instead; url is http://localhost/... */
	const char *const *headers;  /* "Name: value" strings, NULL-terminated; NULL: none */
	const char *user, *password; /* HTTP Basic; NULL: none */
	const void *body;
	size_t body_len;
	int connect_timeout_ms; /* 0: 5 s */
	int total_timeout_ms;   /* of one try; 0: 15 s */
	size_t max_body_bytes;  /* of the answer; 0: 1 MiB */
	struct http_retry retry;

	/*
	 * Optional: sees every answer before the policy does (rate-limit book-keeping) and may
	 * change its decision: return -1 for the policy's own, 0 to deliver this answer now,
	 * n > 0 to try again in n ms (counts as a try).
	 */
	int (*on_try)(void *arg, const struct http_response *response);
	/* Required. The last callback of the request. */
	void (*on_done)(void *arg, const struct http_response *response);
	void *arg;
};

/*
 * Starts a request; all of it is copied. *id (may be NULL) for http_cancel(). Never fails for
 * reasons of the network: those come by on_done. -EINVAL (method, URL not allowed, header with a
 * line break), -ENOBUFS (too many waiting), -ENOMEM.
 */
int http_request_start(struct http_client *client, const struct http_request *request,
		       uint64_t *id);

/* Drops a request or look-up: its callbacks do not run any more. Unknown or finished ids are
 * ignored. */
void http_cancel(struct http_client *client, uint64_t id);

#define HTTP_MAX_ADDRESSES 16

struct http_addresses {
	int error; /* 0, -ENOENT (no such name), -EAGAIN (name servers do not answer), -ETIMEDOUT,
		      -EIO */
	char error_text[96];
	int count;
	struct {
		struct sockaddr_storage addr; /* port filled in */
		socklen_t addr_len;
		char text[48]; /* numeric */
	} address[HTTP_MAX_ADDRESSES];
};

/* Looks host up (getaddrinfo, both families, in its order of preference). Fails after 10 s.
 * -ENOBUFS, -ENOMEM. */
int http_resolve(struct http_client *client, const char *host, uint16_t port,
		 void (*on_done)(void *arg, const struct http_addresses *addresses), void *arg,
		 uint64_t *id);

#endif
