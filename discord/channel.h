/* SPDX-License-Identifier: MIT
 *
 * channel.h - one line's stay in its voice channel: the decision table between the main gateway's
 * voice events and the voice session. A state machine without socket or clock. Control thread.
 *
 *   IDLE -> JOINING (op 4 sent, both events awaited) -> CONNECTING -> CONNECTED
 *   CONNECTED -> WAITING (kicked or moved? the next events decide) -> CONNECTING
 *   any -> LEAVING (op 4 null sent, its confirmation awaited) -> IDLE, or PAUSING -> JOINING
 *
 * A join is never sent before the leave was confirmed: the late null event would hit the new one.
 * Token and endpoint are never used for a second join.
 */
#ifndef DISCORD_CHANNEL_H
#define DISCORD_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "discord/voice_gateway.h"

enum channel_state {
	CHANNEL_IDLE,
	CHANNEL_JOINING,
	CHANNEL_CONNECTING,
	CHANNEL_CONNECTED,
	CHANNEL_WAITING,
	CHANNEL_LEAVING,
	CHANNEL_PAUSING, /* before the next try */
	CHANNEL_FAILED,  /* until somebody asks again */
};
const char *channel_state_name(enum channel_state state);

struct channel_ops {
	/* Op 4; channel 0 leaves. -EAGAIN: no main session, said again at channel_gateway_ready(). */
	int (*send_voice_state)(void *ctx, uint64_t channel_id);
	/* -errno: the endpoint is unusable. */
	int (*voice_start)(void *ctx, const struct voice_session *session, uint64_t channel_id);
	void (*voice_stop)(void *ctx);
	/* State, channel or reason changed. */
	void (*on_change)(void *ctx);
	/* Somebody put us out: do not come back by yourself. */
	void (*on_kicked)(void *ctx);
};

struct channel_config {
	uint64_t guild_id, channel_id; /* where to go */
	const struct channel_ops *ops;
	void *ctx;
};

struct channel;
int channel_create(struct channel **out, const struct channel_config *config);
void channel_destroy(struct channel *c);

/* Be there, or not. */
void channel_want(struct channel *c, bool wanted, int64_t now_ns);
/* Somebody asks for it again: a failed or pausing channel tries at once. */
void channel_retry(struct channel *c, int64_t now_ns);

/* The main gateway has a session; resumed: the old one lives on, and so does our voice state. */
void channel_gateway_ready(struct channel *c, uint64_t user_id, bool resumed, int64_t now_ns);

struct channel_flags {
	bool deaf, mute, suppress; /* as the server has set them */
};
/* VOICE_STATE_UPDATE of ourselves in this guild; channel 0: in none. */
void channel_own_state(struct channel *c, uint64_t channel_id, const char *session_id,
		       const struct channel_flags *flags, int64_t now_ns);
/* VOICE_SERVER_UPDATE; endpoint NULL: the server went away, another will be named. */
void channel_server_update(struct channel *c, const char *token, const char *endpoint,
			   int64_t now_ns);
/* CHANNEL_DELETE of any channel. */
void channel_deleted(struct channel *c, uint64_t channel_id, int64_t now_ns);

void channel_voice_ready(struct channel *c, int64_t now_ns);
void channel_voice_end(struct channel *c, enum voice_outcome outcome, const char *why,
		       int64_t now_ns);

int64_t channel_deadline_ns(const struct channel *c);
void channel_tick(struct channel *c, int64_t now_ns);

enum channel_state channel_state(const struct channel *c);
uint64_t channel_id(const struct channel *c);  /* where we are; else where we want to be */
const char *channel_why(const struct channel *c); /* reason of the last trouble, or "" */
const struct channel_flags *channel_flags(const struct channel *c);

#endif
