/* SPDX-License-Identifier: MIT
 *
 * exchange.h - one HTTP request, collected whole, and its answer, over libwebsockets' callbacks.
 *
 * Functions that return int say what the callback is to: 0, or -1 to end the connection. Loop's thread.
 */
#ifndef BRIDGE_EXCHANGE_H
#define BRIDGE_EXCHANGE_H

#include <stddef.h>
#include <sys/socket.h>

#include <libwebsockets.h>

#include "bridge/webhook.h"

struct exchange;

/* Where whole requests go; status, content_type and body of the answer are to be filled in. */
struct exchange_desk {
	void (*request)(void *user, const struct webhook_request *request,
			struct webhook_answer *answer);
	void *user;
};

/* A request's head is there. *x: of the request before on this connection, or NULL; replaced. The desk must
 * live as long as the exchange. */
int exchange_begin(struct exchange **x, struct lws *wsi, const struct exchange_desk *desk,
		   const struct sockaddr *peer);
int exchange_body(struct exchange *x, const void *in, size_t len);
int exchange_complete(struct exchange *x, struct lws *wsi);
int exchange_write(struct exchange *x, struct lws *wsi);
void exchange_free(struct exchange *x); /* NULL is fine */

#endif
