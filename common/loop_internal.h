/* SPDX-License-Identifier: MIT
 *
 * loop_internal.h - between loop.c, loop_timer.c and loop_vhosts.c only.
 */
#ifndef COMMON_LOOP_INTERNAL_H
#define COMMON_LOOP_INTERNAL_H

#include "common/loop.h"

struct loop_vhosts;
struct loop_timers;

/* The timers of a loop; -ENOMEM, -errno. Destroying them forgets those that are pending. */
int loop_timers_create(struct loop *loop, struct loop_timers **out);
void loop_timers_destroy(struct loop_timers *timers); /* NULL is fine */
struct loop_timers *loop_timers(struct loop *loop);

/* The loop's list of client vhosts, kept by loop_vhosts.c. */
struct loop_vhosts **loop_client_vhosts(struct loop *loop);
/* Frees the list; the vhosts went with the context. */
void loop_vhosts_free(struct loop_vhosts *list);

/*
 * When an idle connection is pinged and given up, as libwebsockets wants it: by a pointer that must
 * outlive the connection, which in turn may outlive its owner. So it lives with the loop. NULL: no
 * memory.
 */
const lws_retry_bo_t *loop_idle_policy(struct loop *loop, int ping_s, int hangup_s);

/* The client vhost for clear text (loopback, Unix sockets): without certificates, which take time
 * to load. */
struct lws_vhost *loop_clear_vhost(struct loop *loop);

/* The protocol handler of WebSocket clients (ws_client.c). */
int ws_client_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			   size_t len);
#define WS_CLIENT_LWS_PROTOCOL "loopline-client"

#endif
