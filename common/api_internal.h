/* SPDX-License-Identifier: MIT
 *
 * api_internal.h - what api_server.c (connections, followers) and api_http.c (requests) share.
 */
#ifndef COMMON_API_INTERNAL_H
#define COMMON_API_INTERNAL_H

#include <libwebsockets.h>

#include "common/api.h"
#include "common/api_listen.h"
#include "common/loop.h"
#include "common/random.h"

#define API_STATE_BYTES ((size_t)4 << 20)
#define API_EVENT_BYTES 4096
#define API_PATH_BYTES  256
#define API_EVENTS_PATH "/v1/events"

/* Waits to be sent to a follower. */
struct message {
	struct message *next;
	size_t len;
	uint8_t data[]; /* LWS_PRE, then the text */
};

struct connection {
	struct loop_socket socket; /* first: what the vhost's protocol goes by */
	struct connection *prev, *next;
	struct api_server *server;
	struct lws *wsi;
	uint64_t id;
	uid_t uid;
	bool following; /* a WebSocket */
	bool doomed;    /* too slow: it closes at the next turn */
	bool post;
	char path[API_PATH_BYTES];
	struct strbuf in;
	struct message *first, **last;
	size_t queued_bytes;
};

struct api_server {
	struct loop *loop;
	struct api_server_config config;
	struct api_socket socket;
	struct lws_vhost *vhost;
	struct loop_watch *watch;
	struct loop_timer pause;
	struct connection *connections;
	int connection_count, follower_count;
	uint64_t next_id;
	uint64_t seq;
	char boot[UUID_LEN + 1];
};

/* The snapshot, for followers and for GET /v1/state (which has more members). */
int api_write_snapshot(struct api_server *s, struct strbuf *out, bool state);

/* Requests: what the callbacks of libwebsockets are to return. One request a connection. */
int api_http_begin(struct connection *c); /* its head is there */
int api_http_body(struct connection *c, const void *in, size_t len);
int api_http_complete(struct connection *c);

#endif
