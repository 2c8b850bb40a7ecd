/* SPDX-License-Identifier: MIT
 *
 * voice_messages.h - what is said on the voice gateway (version 8), to and fro. No state; any thread.
 *
 * The writers make a whole message; 0, or -ENOMEM. The readers take the member "d" of one that came;
 * false: the document's error says what is wrong with it, or there is nothing for us in it.
 */
#ifndef DISCORD_VOICE_MESSAGES_H
#define DISCORD_VOICE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "discord/transport_cipher.h"

#define VOICE_MESSAGE_BYTES_MAX (1u << 20)
#define VOICE_MESSAGE_INIT      STRBUF_INIT(4096) /* of those we send */
#define VOICE_TOKEN_BYTES       256
#define VOICE_ENDPOINT_BYTES    256
#define VOICE_USERS_MAX         256 /* ids taken from one op 11 */

enum voice_op {
	VOICE_OP_IDENTIFY = 0,
	VOICE_OP_SELECT_PROTOCOL = 1,
	VOICE_OP_READY = 2,
	VOICE_OP_HEARTBEAT = 3,
	VOICE_OP_SESSION = 4,
	VOICE_OP_SPEAKING = 5,
	VOICE_OP_HEARTBEAT_ACK = 6,
	VOICE_OP_RESUME = 7,
	VOICE_OP_HELLO = 8,
	VOICE_OP_RESUMED = 9,
	VOICE_OP_CONNECTED = 11,
	VOICE_OP_VIDEO = 12,
	VOICE_OP_DISCONNECTED = 13,
	/* 21 to 31 are DAVE's: discord/dave/session.h */
};
/* One whose member "d" has something for us. */
bool voice_op_is_known(unsigned op);
/* One that comes as a binary message. */
bool voice_op_is_binary(unsigned op);

struct voice_session {
	uint64_t guild_id, user_id;
	char session_id[VOICE_TOKEN_BYTES];
	char token[VOICE_TOKEN_BYTES];
	char endpoint[VOICE_ENDPOINT_BYTES]; /* host[:port] as announced, port kept */
};

/* What DAVE has to hear, in the order received. */
struct voice_dave {
	unsigned op;            /* 4, 11, 13, 21, 22, 24 from JSON; 25, 27, 29, 30 binary */
	unsigned version;       /* 4, 21, 24: dave_protocol_version or protocol_version */
	uint16_t transition_id; /* 21, 22 */
	uint64_t epoch;         /* 24 */
	const uint64_t *users;  /* 11, 13 */
	size_t user_count;
	const uint8_t *payload; /* binary: what follows the opcode */
	size_t bytes;
};

/* ---- to the gateway ---- */

int voice_write_identify(struct strbuf *out, const struct voice_session *session, unsigned dave_version);
int voice_write_resume(struct strbuf *out, const struct voice_session *session, int32_t seq_ack);
int voice_write_heartbeat(struct strbuf *out, int64_t t_ms, int32_t seq_ack);
int voice_write_select(struct strbuf *out, const char *address, uint16_t port, enum transport_mode mode);
int voice_write_speaking(struct strbuf *out, uint32_t ssrc);
/* Ops 23 and 31. */
int voice_write_transition(struct strbuf *out, unsigned op, uint16_t transition_id);

/* ---- from the gateway ---- */

/* Op 8: the interval of heartbeats. */
bool voice_read_hello(const struct json_at *d, int64_t *heartbeat_ns);

/* Op 2. */
struct voice_server {
	uint32_t ssrc;
	const char *ip; /* the document's */
	uint16_t port;
	enum transport_mode mode; /* the best that both speak, but not `refused`; TRANSPORT_NONE: none */
};
bool voice_read_ready(const struct json_at *d, enum transport_mode refused, struct voice_server *out);

/* Op 4. The caller wipes the key. */
struct voice_description {
	enum transport_mode mode;
	unsigned dave_version;
	uint8_t key[TRANSPORT_KEY_BYTES];
};
bool voice_read_session(const struct json_at *d, struct voice_description *out);

/* Op 5, or op 12 with another name for its SSRC. */
bool voice_read_speaking(const struct json_at *d, const char *ssrc_name, uint64_t *user, uint32_t *ssrc);
/* Op 11: how many. */
size_t voice_read_users(const struct json_at *d, uint64_t users[VOICE_USERS_MAX]);
/* Op 13. */
bool voice_read_user(const struct json_at *d, uint64_t *user);
/* Ops 21, 22 and 24. */
bool voice_read_dave(unsigned op, const struct json_at *d, struct voice_dave *out);

#endif
