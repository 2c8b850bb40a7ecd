/* SPDX-License-Identifier: MIT
 *
 * net.h - byte streams for the simulators: TCP or TLS (OpenSSL), dialled or accepted.
 *
 * A stream belongs to whoever created or accepted it until its `closed` callback or
 * sim_conn_close()/sim_conn_abort(); its memory is released at the end of the loop's turn.
 * After one of those calls no callback comes any more.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/loop.h"

struct sim_conn;
struct sim_listener;
struct ssl_ctx_st;

struct sim_conn_ops {
	void (*open)(void *ctx);                                  /* connected, TLS done */
	void (*data)(void *ctx, const uint8_t *data, size_t len); /* some bytes */
	void (*closed)(void *ctx, const char *why);               /* by the peer or by an error */
};

/* A throw-away CA and a server certificate for 127.0.0.1, ::1, localhost and discord.test signed by it, made
 * now (ECDSA P-256, valid for some days). Writes the CA certificate as PEM to ca_path. The keys
 * never leave the process. *out is a server context. Returns 0 or a negative errno. */
int sim_tls_server_create(struct ssl_ctx_st **out, const char *ca_path);
/* A client context that trusts ca_path only (NULL: the system's store). */
int sim_tls_client_create(struct ssl_ctx_st **out, const char *ca_path);
void sim_tls_destroy(struct ssl_ctx_st *tls);

/* Listen on 127.0.0.1; *port 0 means any, and is filled in. tls NULL: plain TCP.
 * accepted() gets each new stream (before its TLS handshake) and must give it ops. */
int sim_listen(struct sim_listener **out, struct sim_loop *loop, int *port,
	       struct ssl_ctx_st *tls, void (*accepted)(void *ctx, struct sim_conn *conn), void *ctx);
/* The same at a Unix socket's path, which must not exist; it is unlinked by the destroyer. */
int sim_listen_unix(struct sim_listener **out, struct sim_loop *loop, const char *path,
		    void (*accepted)(void *ctx, struct sim_conn *conn), void *ctx);
void sim_listener_destroy(struct sim_listener *l);

/* Dial a numeric IPv4 address. host: the name for SNI and verification with TLS. */
int sim_conn_dial(struct sim_conn **out, struct sim_loop *loop, const char *address, int port,
		  struct ssl_ctx_st *tls, const char *host, const struct sim_conn_ops *ops,
		  void *ctx);
int sim_conn_dial_unix(struct sim_conn **out, struct sim_loop *loop, const char *path,
		       const struct sim_conn_ops *ops, void *ctx);
void sim_conn_set_ops(struct sim_conn *c, const struct sim_conn_ops *ops, void *ctx);

/* Queue bytes. Written at once as far as the socket takes them. */
void sim_conn_write(struct sim_conn *c, const void *data, size_t len);
/* Bytes queued and not yet taken by the kernel. */
size_t sim_conn_backlog(const struct sim_conn *c);
void sim_conn_close(struct sim_conn *c); /* after what is queued was written */
void sim_conn_abort(struct sim_conn *c); /* now, with a TCP reset */
/* Stop or go on reading (a peer that does not read). */
void sim_conn_pause(struct sim_conn *c, bool paused);
struct sim_loop *sim_conn_loop(struct sim_conn *c);

#endif
