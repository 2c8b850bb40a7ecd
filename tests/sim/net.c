/* SPDX-License-Identifier: MIT
 *
 * net.c - TCP and TLS byte streams over the simulators' loop (see net.h).
 */
#include "tests/sim/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct sim_conn {
	struct sim_loop *loop;
	int fd;
	SSL *ssl;
	const struct sim_conn_ops *ops;
	void *ctx;
	bool connecting, handshaking, open_told, closing, dead, paused;
	bool tls_wants_write;
	uint8_t *out;
	size_t out_len, out_room;
};

struct sim_listener {
	struct sim_loop *loop;
	int fd;
	SSL_CTX *tls;
	void (*accepted)(void *ctx, struct sim_conn *conn);
	void *ctx;
	char path[108]; /* of a Unix socket */
};

static void conn_ready(void *ctx, uint32_t events);

static void conn_free(void *object)
{
	struct sim_conn *c = object;

	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	free(c->out);
	free(c);
}

static void conn_kill(struct sim_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	sim_loop_unwatch(c->loop, c->fd);
	sim_loop_defer(c->loop, conn_free, c);
}

static void conn_lost(struct sim_conn *c, const char *why)
{
	if (c->dead)
		return;
	conn_kill(c);
	if (!c->closing && c->ops && c->ops->closed)
		c->ops->closed(c->ctx, why);
}

static void conn_rewatch(struct sim_conn *c)
{
	uint32_t ev = 0;

	if (c->dead)
		return;
	if (!c->paused && !c->connecting)
		ev |= EPOLLIN;
	if (c->connecting || c->tls_wants_write || (c->out_len && !c->handshaking))
		ev |= EPOLLOUT;
	sim_loop_watch(c->loop, c->fd, ev, conn_ready, c);
}

static struct sim_conn *conn_new(struct sim_loop *loop, int fd, SSL_CTX *tls)
{
	struct sim_conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c)
		abort();
	c->loop = loop;
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (tls) {
		c->ssl = SSL_new(tls);
		SSL_set_fd(c->ssl, fd);
		SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		c->handshaking = true;
	}
	return c;
}

/* SSL result: 1 = try later, 0 = gone */
static int tls_again(struct sim_conn *c, int ret)
{
	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return 1;
	case SSL_ERROR_WANT_WRITE:
		c->tls_wants_write = true;
		return 1;
	default:
		ERR_clear_error();
		return 0;
	}
}

static void conn_flush(struct sim_conn *c)
{
	size_t done = 0;

	if (c->dead || c->connecting || c->handshaking)
		return;
	c->tls_wants_write = false;
	while (done < c->out_len) {
		ssize_t n;

		if (c->ssl) {
			int r = SSL_write(c->ssl, c->out + done, (int)(c->out_len - done));

			if (r <= 0) {
				if (tls_again(c, r))
					break;
				conn_lost(c, "TLS write failed");
				return;
			}
			n = r;
		} else {
			n = send(c->fd, c->out + done, c->out_len - done, MSG_NOSIGNAL);
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				break;
			if (n < 0) {
				conn_lost(c, strerror(errno));
				return;
			}
		}
		done += (size_t)n;
	}
	if (done > 0)
		memmove(c->out, c->out + done, c->out_len - done);
	c->out_len -= done;
	if (c->closing && !c->out_len) {
		if (c->ssl)
			SSL_shutdown(c->ssl);
		shutdown(c->fd, SHUT_WR);
		conn_kill(c);
		return;
	}
	conn_rewatch(c);
}

static void conn_read(struct sim_conn *c)
{
	uint8_t buf[16384];

	for (int turns = 0; turns < 16 && !c->dead && !c->paused; turns++) {
		ssize_t n;

		if (c->ssl) {
			int r = SSL_read(c->ssl, buf, sizeof(buf));

			if (r <= 0) {
				if (!tls_again(c, r))
					conn_lost(c, "closed");
				return;
			}
			n = r;
		} else {
			n = recv(c->fd, buf, sizeof(buf), 0);
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				return;
			if (n <= 0) {
				conn_lost(c, n ? strerror(errno) : "closed");
				return;
			}
		}
		if (!c->closing && c->ops && c->ops->data)
			c->ops->data(c->ctx, buf, (size_t)n);
	}
	/* bytes that OpenSSL holds already raise no event of the descriptor */
	if (!c->dead && !c->paused && c->ssl && SSL_pending(c->ssl))
		conn_read(c);
}

static void conn_opened(struct sim_conn *c)
{
	c->open_told = true;
	if (c->ops && c->ops->open)
		c->ops->open(c->ctx);
	conn_flush(c);
}

static void conn_ready(void *ctx, uint32_t events)
{
	struct sim_conn *c = ctx;

	if (c->connecting) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			conn_lost(c, strerror(err));
			return;
		}
		if (!(events & EPOLLOUT))
			return;
		c->connecting = false;
		if (!c->ssl) {
			conn_opened(c);
			return;
		}
	}
	if (c->handshaking) {
		int r;

		c->tls_wants_write = false;
		r = SSL_do_handshake(c->ssl);
		if (r == 1) {
			c->handshaking = false;
			conn_opened(c);
			if (!c->dead)
				conn_read(c);
			return;
		}
		if (!tls_again(c, r)) {
			conn_lost(c, "TLS handshake failed");
			return;
		}
		conn_rewatch(c);
		return;
	}
	if (events & EPOLLOUT)
		conn_flush(c);
	if (!c->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		conn_read(c);
}

static void listener_ready(void *ctx, uint32_t events)
{
	struct sim_listener *l = ctx;

	for (int i = 0; i < 64; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct sim_conn *c;

		if (fd < 0)
			return;
		c = conn_new(l->loop, fd, l->tls);
		if (c->ssl)
			SSL_set_accept_state(c->ssl);
		l->accepted(l->ctx, c);
		conn_rewatch(c);
		if (!c->ssl && !c->dead)
			conn_opened(c);
	}
}

int sim_listen(struct sim_listener **out, struct sim_loop *loop, int *port, SSL_CTX *tls,
	       void (*accepted)(void *ctx, struct sim_conn *conn), void *ctx)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int one = 1, err;
	struct sim_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->tls = tls;
	l->accepted = accepted;
	l->ctx = ctx;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto fail;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l->fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(l->fd, 256) ||
	    getsockname(l->fd, (struct sockaddr *)&sa, &len))
		goto fail;
	*port = ntohs(sa.sin_port);
	err = sim_loop_watch(loop, l->fd, EPOLLIN, listener_ready, l);
	if (err) {
		errno = -err;
		goto fail;
	}
	*out = l;
	return 0;
fail:
	err = -errno;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	return err;
}

static int unix_address(struct sockaddr_un *sa, const char *path)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	strcpy(sa->sun_path, path);
	return 0;
}

int sim_listen_unix(struct sim_listener **out, struct sim_loop *loop, const char *path,
		    void (*accepted)(void *ctx, struct sim_conn *conn), void *ctx)
{
	struct sim_listener *l = calloc(1, sizeof(*l));
	struct sockaddr_un sa;
	int err = unix_address(&sa, path);

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->accepted = accepted;
	l->ctx = ctx;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!err && (l->fd < 0 || bind(l->fd, (struct sockaddr *)&sa, sizeof(sa)) ||
		     listen(l->fd, 64)))
		err = -errno;
	if (!err)
		err = sim_loop_watch(loop, l->fd, EPOLLIN, listener_ready, l);
	if (err) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return err;
	}
	strcpy(l->path, sa.sun_path);
	*out = l;
	return 0;
}

void sim_listener_destroy(struct sim_listener *l)
{
	if (!l)
		return;
	if (l->path[0])
		unlink(l->path);
	sim_loop_unwatch(l->loop, l->fd);
	close(l->fd);
	sim_loop_defer(l->loop, free, l);
}

int sim_conn_dial(struct sim_conn **out, struct sim_loop *loop, const char *address, int port,
		  SSL_CTX *tls, const char *host, const struct sim_conn_ops *ops, void *ctx)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sim_conn *c;
	int fd;

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	c = conn_new(loop, fd, tls);
	if (tls) {
		X509_VERIFY_PARAM *p = SSL_get0_param(c->ssl);
		struct in_addr ip;

		SSL_set_connect_state(c->ssl);
		if (inet_pton(AF_INET, host, &ip) == 1) {
			X509_VERIFY_PARAM_set1_ip_asc(p, host);
		} else {
			SSL_set_tlsext_host_name(c->ssl, host);
			SSL_set1_host(c->ssl, host);
		}
	}
	c->ops = ops;
	c->ctx = ctx;
	c->connecting = true;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) && errno != EINPROGRESS) {
		int err = -errno;

		conn_free(c);
		return err;
	}
	conn_rewatch(c);
	*out = c;
	return 0;
}

int sim_conn_dial_unix(struct sim_conn **out, struct sim_loop *loop, const char *path,
		       const struct sim_conn_ops *ops, void *ctx)
{
	struct sockaddr_un sa;
	struct sim_conn *c;
	int err = unix_address(&sa, path), fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		err = -errno;
		close(fd);
		return err;
	}
	c = conn_new(loop, fd, NULL);
	c->ops = ops;
	c->ctx = ctx;
	c->connecting = true; /* told at the first turn, as with TCP */
	conn_rewatch(c);
	*out = c;
	return 0;
}

void sim_conn_set_ops(struct sim_conn *c, const struct sim_conn_ops *ops, void *ctx)
{
	c->ops = ops;
	c->ctx = ctx;
}

void sim_conn_write(struct sim_conn *c, const void *data, size_t len)
{
	bool idle = !c->out_len;

	if (c->dead || c->closing)
		return;
	if (c->out_len + len > c->out_room) {
		size_t room = 2 * (c->out_len + len) + 4096;
		uint8_t *p = realloc(c->out, room);

		if (!p)
			abort();
		c->out = p;
		c->out_room = room;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	if (idle)
		conn_flush(c);
}

size_t sim_conn_backlog(const struct sim_conn *c)
{
	return c->out_len;
}

void sim_conn_close(struct sim_conn *c)
{
	if (c->dead || c->closing)
		return;
	c->closing = true;
	if (c->connecting || c->handshaking)
		conn_kill(c);
	else
		conn_flush(c);
}

void sim_conn_abort(struct sim_conn *c)
{
	struct linger hard = { 1, 0 };

	if (c->dead)
		return;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	c->closing = true;
	conn_kill(c);
}

void sim_conn_pause(struct sim_conn *c, bool paused)
{
	c->paused = paused;
	conn_rewatch(c);
	if (!paused && !c->dead && c->ssl && !c->handshaking)
		conn_read(c);
}

struct sim_loop *sim_conn_loop(struct sim_conn *c)
{
	return c->loop;
}
