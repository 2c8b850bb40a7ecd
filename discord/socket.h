/* SPDX-License-Identifier: MIT
 *
 * socket.h - a gateway's WebSocket that can be let go of politely: the close frame still leaves,
 * but its owner hears nothing more. Control thread.
 */
#ifndef DISCORD_SOCKET_H
#define DISCORD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ws_client.h"

struct socket;

struct socket_ops {
	void (*on_open)(void *ctx);
	void (*on_message)(void *ctx, const uint8_t *data, size_t len, bool binary);
	/* The socket has been freed already. */
	void (*on_close)(void *ctx, const struct ws_close *close);
};

/* config: loop, resolver, url, ca_file, user_agent and limits; its callbacks are set here. */
int socket_open(struct socket **out, const struct ws_client_config *config,
		const struct socket_ops *ops, void *ctx);
int socket_send(struct socket *s, const void *data, size_t len, bool binary);
/* Closes with this code; the owner's pointer is void from now on. NULL is fine. */
void socket_let_go(struct socket *s, int code);

#endif
