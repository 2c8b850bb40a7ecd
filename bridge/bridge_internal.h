/* SPDX-License-Identifier: MIT
 *
 * bridge_internal.h - what bridge.c, bridge_streams.c and control.c share.
 */
#ifndef BRIDGE_BRIDGE_INTERNAL_H
#define BRIDGE_BRIDGE_INTERNAL_H

#include "bridge/bridge.h"
#include "bridge/call.h"
#include "bridge/control.h"
#include "bridge/line.h"
#include "bridge/opener.h"
#include "bridge/rate_limit.h"
#include "bridge/server.h"
#include "bridge/token.h"
#include "bridge/twilio_api.h"
#include "bridge/waiting.h"
#include "bridge/webhook.h"
#include "common/log.h"

struct bridge {
	struct loop *loop;
	struct settings *settings; /* for calls to come */
	struct http_client *http;
	struct twilio_api *api;
	struct call_table *calls;
	struct token_store *tokens;
	struct webhook *webhook;
	struct server *server;
	struct sessions *sessions;
	struct control *control;
	struct opener *opener;
	struct rate_limit *strangers; /* upgrades without a valid token, an address */
	struct line *line[SETTINGS_MAX_LINES]; /* NULL: there is no such line */
	struct waiting *waiting[SETTINGS_MAX_LINES];
	struct pending *pending; /* streams that wait for REST's word */
	struct loop_tick *tick;
	bool ticking; /* while sound moves */
	unsigned ticks;
	struct loop_timer deadline; /* of calls */
	struct loop_timer watch;    /* over the PCMs, when there is no tick */
	struct loop_timer stopping;
	int64_t stop_by_ns;
	struct log_rate refused_rate, variant_rate;
};

/* Sets the timer for what call_table_run() has to do next. */
void bridge_rearm(struct bridge *b);
/* Sound is to move: starts the tick. */
void bridge_start_tick(struct bridge *b);
/* A line's channel is connected or not: every call of it waits, or does not. */
void bridge_set_connected(struct bridge *b, int line, bool connected);

/* The streams' side (bridge_streams.c). */
void bridge_closed(void *user, struct session *session);
int bridge_upgrade(void *user, const char *target, const char *signature,
		   const struct sockaddr *peer, struct session *session);
extern const struct media_stream_hooks bridge_stream_hooks;
/* Frees what waits for answers that will not come any more. */
void bridge_forget_pending(struct bridge *b);

#endif
