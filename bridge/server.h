/* SPDX-License-Identifier: MIT
 *
 * server.h - the door: one libwebsockets vhost for the webhook and the media streams.
 *
 * A connection brings requests, one after the other (exchange.h), or becomes a stream's session
 * (session.h). Loop's thread.
 */
#ifndef BRIDGE_SERVER_H
#define BRIDGE_SERVER_H

#include <stdbool.h>

#include "bridge/exchange.h"
#include "bridge/session.h"
#include "common/loop.h"
#include "common/url.h"

struct server;

struct server_config {
	const struct host_port *listen;
	const char *tls_cert, *tls_key; /* NULL: clear text */
	struct exchange_desk desk;      /* of requests */
	struct sessions *sessions;      /* of upgrades; theirs is a longer life */
};

/* -errno with a log line. */
int server_create(struct server **out, struct loop *loop, const struct server_config *config);
/* Accepts no more; connections go on. Idempotent. */
void server_stop_accepting(struct server *server);
/* Reads certificate and key again (same paths). False if they cannot be used: the old stay. */
bool server_reload_tls(struct server *server);
/* Requests are not taken any more; for use before loop_destroy(), in which the connections die. */
void server_stop(struct server *server);
/* After loop_destroy(): the last callbacks of its connections need it until then. NULL is fine. */
void server_destroy(struct server *server);

#endif
