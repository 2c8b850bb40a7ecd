/* SPDX-License-Identifier: MIT
 *
 * http.h - HTTP/1.1 for the simulators: serving, fetching, and the way into a WebSocket.
 */
#ifndef TESTS_SIM_HTTP_H
#define TESTS_SIM_HTTP_H

#include "tests/sim/net.h"
#include "tests/sim/ws.h"

/* One request or answer. Valid during the callback that gets it. */
struct sim_http_message {
	int status; /* answers; 0 in requests */
	char method[16];
	char target[4096]; /* as sent, with its query */
	char *headers;     /* "name: value\r\n" lines as received, NUL-terminated */
	uint8_t *body;     /* NUL-terminated beyond body_len */
	size_t body_len;
};

/* Copies the value of the first header of that name (any case) into buf; false if absent. */
bool sim_http_header(const struct sim_http_message *m, const char *name, char *buf, size_t len);

/* ---- serving ---- */

struct sim_http; /* one served connection */

/* Serve requests on an accepted stream. Each must be answered by exactly one call of
 * sim_http_reply() or sim_http_accept_ws(), at once or later; `gone` tells that the peer left. */
struct sim_http_ops {
	void (*request)(void *ctx, struct sim_http *h, const struct sim_http_message *request);
	void (*gone)(void *ctx, struct sim_http *h);
};
void sim_http_serve(struct sim_conn *c, const struct sim_http_ops *ops, void *ctx);

/* headers: further "Name: value\r\n" lines or NULL. body may be NULL with length 0. */
void sim_http_reply(struct sim_http *h, int status, const char *headers, const char *type,
		    const void *body, size_t len);
/* Answer the upgrade request just received (call it inside `request`). The stream is the
 * socket's from then on. NULL if it is no valid upgrade; a reply 400 was sent then. */
struct sim_ws *sim_http_accept_ws(struct sim_http *h, const struct sim_http_message *request,
				  const struct sim_ws_ops *ops, void *ctx);
/* Drop the connection instead of answering. */
void sim_http_abort(struct sim_http *h);

/* ---- fetching ---- */

struct sim_http_target {
	const char *address; /* numeric IPv4 to dial */
	int port;
	struct ssl_ctx_st *tls; /* NULL: plain */
	const char *host;       /* Host header; the port is added unless it has one or is usual */
};
/* The Host header's value for a target. */
void sim_http_host(char *buf, size_t len, const struct sim_http_target *to);

/* One request on a connection of its own. done() is called once: answer NULL = failed (`why`). */
int sim_http_fetch(struct sim_loop *loop, const struct sim_http_target *to, const char *method,
		   const char *target, const char *headers, const void *body, size_t len,
		   void (*done)(void *ctx, const struct sim_http_message *answer, const char *why),
		   void *ctx);

/* Open a WebSocket as a client. headers: further lines or NULL. See ws.h for the callbacks. */
int sim_ws_dial(struct sim_ws **out, struct sim_loop *loop, const struct sim_http_target *to,
		const char *target, const char *headers, const struct sim_ws_ops *ops, void *ctx);

/* ---- parsing, used by both sides ---- */

/* Parse one message from data. Returns the bytes it took, 0 = more needed, -1 = not HTTP.
 * at_end: the stream has ended (an answer without length ends there).
 * On success m->headers and m->body are allocated: sim_http_message_clear(). */
long sim_http_parse(struct sim_http_message *m, const uint8_t *data, size_t len, bool at_end);
void sim_http_message_clear(struct sim_http_message *m);

#endif
