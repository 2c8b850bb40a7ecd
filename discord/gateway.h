/* SPDX-License-Identifier: MIT
 *
 * gateway.h - the main gateway (v10) as a state machine: what goes in is what the socket, the
 * REST call and the clock say; what comes out goes through callbacks. No socket, clock or log
 * inside, so that every row of Discord's close-code table can be tested. Control thread.
 *
 *   IDLE -> DISCOVERING -> (SPACING) -> CONNECTING -> WAIT_HELLO -> IDENTIFYING -> READY
 *                ^                                         \-> RESUMING -> READY
 *                +---- BACKOFF <---- any loss of the socket
 *   a fatal close code ends in STOPPED, with a sentence that says what to do.
 *
 * A lost socket is resumed where Discord allows it: voice connections do not notice. A new
 * session (READY) takes the old voice sessions with it, which the owner learns by on_ready().
 */
#ifndef DISCORD_GATEWAY_H
#define DISCORD_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "discord/identify_budget.h"

#define GATEWAY_MESSAGE_BYTES_MAX (16u << 20) /* READY and GUILD_CREATE of big guilds are megabytes */
#define GATEWAY_SENDS_PER_MINUTE  110         /* of 120; the rest is left to heartbeats */

enum gateway_state {
	GATEWAY_IDLE,
	GATEWAY_DISCOVERING, /* GET /gateway/bot under way */
	GATEWAY_SPACING,     /* waiting until Identify is allowed */
	GATEWAY_CONNECTING,
	GATEWAY_WAIT_HELLO,
	GATEWAY_IDENTIFYING,
	GATEWAY_RESUMING,
	GATEWAY_READY,
	GATEWAY_BACKOFF,
	GATEWAY_STOPPED,
};
const char *gateway_state_name(enum gateway_state state);

/* All required. Called from within the functions below; may call gateway_send_*() but nothing else
 * of this file. */
struct gateway_ops {
	/* GET /gateway/bot; answered once by gateway_discovered() or gateway_discovery_failed(). */
	void (*discover)(void *ctx);
	/* Drops a socket that is still there, connects anew. Answered by gateway_opened(), _closed(). */
	void (*connect)(void *ctx, const char *url);
	/* Closes the socket; nothing more is heard of it. */
	void (*close)(void *ctx, int code);
	void (*send)(void *ctx, const char *text, size_t bytes);
	/* A new session: every voice connection of an older one is void. resumed: an old session lives
	 * on and nothing was missed. */
	void (*on_ready)(void *ctx, bool resumed);
	/* An event (op 0), READY and RESUMED not included. d is the payload's "d". */
	void (*on_dispatch)(void *ctx, const char *event, const struct json_at *d);
	/* Message content was refused: the bot goes on with mentions and slash commands. */
	void (*on_no_content)(void *ctx);
	/* For the log: one sentence per connection lost or repaired. */
	void (*on_note)(void *ctx, const char *text);
	/* Nothing more will be tried. The sentence says why and what to do. */
	void (*on_fatal)(void *ctx, const char *sentence);
	/* The identify budget changed: keep it on disk. */
	void (*on_budget)(void *ctx, const struct identify_budget *budget);
	double (*random)(void *ctx);   /* [0, 1) */
	int64_t (*wall_ms)(void *ctx); /* for the budget alone */
};

struct gateway_config {
	const char *token; /* kept by pointer; never logged */
	const struct gateway_ops *ops;
	void *ctx;
	struct identify_budget budget; /* as loaded */
};

struct gateway;
int gateway_create(struct gateway **out, const struct gateway_config *config);
void gateway_destroy(struct gateway *g);

void gateway_start(struct gateway *g, int64_t now_ns);
/* Leaves for good: closes with 1000, which ends the session and shows the bot offline. */
void gateway_stop(struct gateway *g);

/* GET /gateway/bot was answered: limits as in session_start_limit. */
void gateway_discovered(struct gateway *g, const char *url, int64_t remaining,
			int64_t reset_after_ms, int64_t now_ns);
/* It was not. unauthorized: status 401, which is fatal (a wrong token must not be tried again). */
void gateway_discovery_failed(struct gateway *g, bool unauthorized, int64_t retry_after_ms,
			      int64_t now_ns);
void gateway_opened(struct gateway *g, int64_t now_ns);
/* opened: the WebSocket had been established. code as RFC 6455, 1006 when none came. */
void gateway_closed(struct gateway *g, bool opened, int code, int64_t now_ns);
void gateway_message(struct gateway *g, const char *text, size_t bytes, int64_t now_ns);

/* The next moment at which gateway_tick() has something to do; INT64_MAX: none. */
int64_t gateway_deadline_ns(const struct gateway *g);
void gateway_tick(struct gateway *g, int64_t now_ns);

/* Op 4: join or move to a voice channel, or leave with channel 0. Sent at once, or kept in a small
 * queue while the limit of sends is used up. -EAGAIN when there is no session (try again at
 * on_ready()), -ENOBUFS. */
int gateway_send_voice_state(struct gateway *g, uint64_t guild_id, uint64_t channel_id,
			     int64_t now_ns);

/* ---- what can be asked ------------------------------------------------------------------- */
enum gateway_state gateway_state(const struct gateway *g);
uint64_t gateway_user_id(const struct gateway *g);        /* 0 before the first READY */
uint64_t gateway_application_id(const struct gateway *g); /* the same */
bool gateway_has_content(const struct gateway *g);        /* message content is granted */
int64_t gateway_rtt_ns(const struct gateway *g);          /* last heartbeat; -1 unknown */
struct gateway_stats {
	unsigned identifies, resumes, losses;
};
void gateway_stats(const struct gateway *g, struct gateway_stats *out);

#endif
