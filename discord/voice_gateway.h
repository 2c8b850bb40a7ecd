/* SPDX-License-Identifier: MIT
 *
 * voice_gateway.h - one voice session (voice gateway v8) as a state machine, without socket,
 * clock or log. Control thread.
 *
 *   IDLE -> CONNECTING -> WAIT_READY -> DISCOVERY -> WAIT_SESSION -> READY
 *   READY -> RESUMING (new socket, op 7) -> READY
 *   any -> IDLE with an outcome that the channel acts upon
 *
 * One dispatcher takes every opcode in every state: the order of ops 4, 5, 11 and the DAVE
 * messages is not fixed. Each voice_gateway_start() and each socket gets a new generation number;
 * what arrives from an older one is dropped, so a late close event of an old socket cannot kill
 * the new connection. Media (UDP, keys, SSRCs) goes on while the socket is resumed.
 */
#ifndef DISCORD_VOICE_GATEWAY_H
#define DISCORD_VOICE_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discord/transport_cipher.h"
#include "discord/voice_messages.h"

enum voice_state {
	VOICE_IDLE,
	VOICE_CONNECTING,
	VOICE_WAIT_READY,
	VOICE_DISCOVERY,
	VOICE_WAIT_SESSION,
	VOICE_READY,
	VOICE_RESUMING,
};
const char *voice_state_name(enum voice_state state);

/* How a session ends when we did not end it. */
enum voice_outcome {
	VOICE_OUTCOME_REJOIN, /* get a new token by op 4 */
	VOICE_OUTCOME_WAIT,   /* let the main gateway's events decide */
	VOICE_OUTCOME_PAUSE,  /* the same as REJOIN, minutes later */
	VOICE_OUTCOME_FATAL,  /* stay away until somebody asks again */
};

/* All required. None may call back into the session but voice_gateway_dave_*(). */
struct voice_ops {
	void (*connect)(void *ctx, unsigned generation, const char *url);
	void (*close)(void *ctx, int code); /* drops the socket; nothing more is heard of it */
	void (*send_text)(void *ctx, const char *text, size_t bytes);
	void (*send_binary)(void *ctx, const uint8_t *data, size_t bytes);
	/* Open UDP to the server and ask for our outside address: voice_gateway_discovered(). */
	void (*udp_start)(void *ctx, unsigned generation, const char *ip, uint16_t port,
			  uint32_t ssrc);
	/* The key of the media, from now on; may come again with another. -errno: cannot. */
	int (*media_start)(void *ctx, enum transport_mode mode,
			   const uint8_t key[TRANSPORT_KEY_BYTES], uint32_t ssrc);
	/* UDP and keys are void. */
	void (*media_stop)(void *ctx);
	void (*on_speaker)(void *ctx, uint64_t user_id, uint32_t ssrc);
	void (*on_left)(void *ctx, uint64_t user_id);
	void (*on_dave)(void *ctx, const struct voice_dave *event);
	/* Media may flow. Not called again for a resume. */
	void (*on_ready)(void *ctx);
	/* The state is IDLE and media is stopped. why: a few words. */
	void (*on_end)(void *ctx, enum voice_outcome outcome, const char *why);
	void (*on_note)(void *ctx, const char *text);
};

struct voice_gateway;
/* dave_version: what op 0 announces (max_dave_protocol_version). */
int voice_gateway_create(struct voice_gateway **out, const struct voice_ops *ops, void *ctx,
			 unsigned dave_version);
void voice_gateway_destroy(struct voice_gateway *v);

/* Begins a new session, whatever went on before (its socket and media are dropped). -EINVAL for an
 * endpoint that is no host[:port]. */
int voice_gateway_start(struct voice_gateway *v, const struct voice_session *session,
			int64_t now_ns);
/* Ends it ourselves, code 1000; no on_end() follows. */
void voice_gateway_stop(struct voice_gateway *v);

void voice_gateway_opened(struct voice_gateway *v, unsigned generation, int64_t now_ns);
void voice_gateway_closed(struct voice_gateway *v, unsigned generation, bool opened, int code,
			  int64_t now_ns);
void voice_gateway_text(struct voice_gateway *v, unsigned generation, const char *text,
			size_t bytes, int64_t now_ns);
void voice_gateway_binary(struct voice_gateway *v, unsigned generation, const uint8_t *data,
			  size_t bytes, int64_t now_ns);
/* address NULL: nobody answered. */
void voice_gateway_discovered(struct voice_gateway *v, unsigned generation, const char *address,
			      uint16_t port, int64_t now_ns);

/* Media is dead although signalling is well: step 1 of the repair ladder is a resume, which costs
 * nothing; step 2 a new session, also when the port refuses (refused) while a resume cannot connect. */
void voice_gateway_media_dead(struct voice_gateway *v, const char *why, bool refused,
			      int64_t now_ns);

/* Only a new session helps: ends this one as VOICE_OUTCOME_REJOIN. Nothing without one. */
void voice_gateway_give_up(struct voice_gateway *v, const char *why);

int64_t voice_gateway_deadline_ns(const struct voice_gateway *v);
void voice_gateway_tick(struct voice_gateway *v, int64_t now_ns);

/* What DAVE wants sent: ops 23 and 31, and binary 26 and 28 (opcode included). */
void voice_gateway_dave_json(struct voice_gateway *v, unsigned op, uint16_t transition_id);
void voice_gateway_dave_binary(struct voice_gateway *v, const uint8_t *data, size_t bytes);

enum voice_state voice_gateway_state(const struct voice_gateway *v);
int64_t voice_gateway_rtt_ns(const struct voice_gateway *v); /* -1 unknown */
struct voice_stats {
	unsigned sessions, resumes, refused_messages;
};
void voice_gateway_stats(const struct voice_gateway *v, struct voice_stats *out);

#endif
