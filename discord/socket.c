/* SPDX-License-Identifier: MIT
 *
 * socket.c - see socket.h.
 */
#include "discord/socket.h"

#include <errno.h>
#include <stdlib.h>

struct socket {
	struct ws_client *ws;
	const struct socket_ops *ops; /* NULL: let go */
	void *ctx;
};

static void on_open(void *user)
{
	struct socket *s = user;
	if (s->ops)
		s->ops->on_open(s->ctx);
}

static void on_message(void *user, const uint8_t *data, size_t len, bool binary)
{
	struct socket *s = user;
	if (s->ops)
		s->ops->on_message(s->ctx, data, len, binary);
}

static void on_close(void *user, const struct ws_close *close)
{
	struct socket *s = user;
	const struct socket_ops *ops = s->ops;
	void *ctx = s->ctx;
	struct ws_close copy = *close;
	ws_client_destroy(s->ws);
	free(s);
	if (ops)
		ops->on_close(ctx, &copy);
}

int socket_open(struct socket **out, const struct ws_client_config *config,
		const struct socket_ops *ops, void *ctx)
{
	struct socket *s = calloc(1, sizeof(*s));
	*out = NULL;
	if (!s)
		return -ENOMEM;
	struct ws_client_config c = *config;
	c.on_open = on_open;
	c.on_message = on_message;
	c.on_close = on_close;
	c.user = s;
	s->ops = ops;
	s->ctx = ctx;
	int err = ws_client_open(&s->ws, &c);
	if (err < 0) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

int socket_send(struct socket *s, const void *data, size_t len, bool binary)
{
	return binary ? ws_client_send_binary(s->ws, data, len) : ws_client_send_text(s->ws, data, len);
}

void socket_let_go(struct socket *s, int code)
{
	if (!s)
		return;
	s->ops = NULL;
	ws_client_close(s->ws, code, NULL); /* on_close frees it, at the latest after 3 s */
}
