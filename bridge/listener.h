/* SPDX-License-Identifier: MIT
 *
 * listener.h - the listening socket of the door, made here or handed over by systemd.
 *
 * Accepting is ours and not libwebsockets': a socket unit's descriptor can be used, a stranger is
 * turned away before a TLS handshake costs anything, and a full descriptor table makes us pause
 * instead of spin. Loop's thread.
 */
#ifndef BRIDGE_LISTENER_H
#define BRIDGE_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/loop.h"
#include "common/url.h"

#define LISTENER_MAX_CONNECTIONS 512 /* of LOOP_MAX_FDS; the rest stays for everything else */

struct listener;

/*
 * Listens on `where` - or on the descriptor that systemd passed (LISTEN_PID, LISTEN_FDS), which is
 * taken once a process. Each connection goes to `accepted`, which owns the descriptor and
 * returns true if there is a connection now, for which listener_released() is called later.
 * -EADDRINUSE, -EACCES, … with a log line.
 */
int listener_create(struct listener **out, struct loop *loop, const struct host_port *where,
		    bool (*accepted)(void *user, int fd, const struct sockaddr_storage *peer),
		    void *user);
/* Stops accepting; connections that there are go on. A socket that systemd holds stays open there,
 * so that callers queue up for the next process. */
void listener_destroy(struct listener *listener);

/* A connection is gone. */
void listener_released(struct listener *listener);

#endif
