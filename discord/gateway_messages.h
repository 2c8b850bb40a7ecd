/* SPDX-License-Identifier: MIT
 *
 * gateway_messages.h - what is said on the main gateway (version 10), to and fro. No state; any thread.
 *
 * The writers make a whole message; 0, or -ENOMEM. The readers' false: the document's error says what is wrong
 * with it.
 */
#ifndef DISCORD_GATEWAY_MESSAGES_H
#define DISCORD_GATEWAY_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

#define GATEWAY_PAYLOAD_BYTES_MAX 4096 /* what we may send at once (else close 4002) */
#define GATEWAY_PAYLOAD_INIT      STRBUF_INIT(GATEWAY_PAYLOAD_BYTES_MAX)
#define GATEWAY_SESSION_BYTES     128
#define GATEWAY_URL_BYTES         512

/* Intents we ask for; the last one is privileged and may be refused (close code 4014). */
#define GATEWAY_INTENT_GUILDS          (1 << 0)
#define GATEWAY_INTENT_VOICE_STATES    (1 << 7)
#define GATEWAY_INTENT_GUILD_MESSAGES  (1 << 9)
#define GATEWAY_INTENT_MESSAGE_CONTENT (1 << 15)

enum gateway_op {
	GATEWAY_OP_DISPATCH = 0,
	GATEWAY_OP_HEARTBEAT = 1,
	GATEWAY_OP_IDENTIFY = 2,
	GATEWAY_OP_VOICE_STATE = 4,
	GATEWAY_OP_RESUME = 6,
	GATEWAY_OP_RECONNECT = 7,
	GATEWAY_OP_INVALID_SESSION = 9,
	GATEWAY_OP_HELLO = 10,
	GATEWAY_OP_HEARTBEAT_ACK = 11,
};

/* ---- to the gateway ---- */

/* seq: the last one received, -1 if there is none. */
int gateway_write_heartbeat(struct strbuf *out, int64_t seq);
int gateway_write_identify(struct strbuf *out, const char *token, int intents);
int gateway_write_resume(struct strbuf *out, const char *token, const char *session_id, int64_t seq);
/* channel_id 0: leave. */
int gateway_write_voice_state(struct strbuf *out, uint64_t guild_id, uint64_t channel_id);

/* ---- from the gateway ---- */

/* A whole message of op 10: the interval of heartbeats. */
bool gateway_read_hello(const struct json_at *root, int64_t *heartbeat_ns);

/* The member "d" of READY. Strings are the document's. */
struct gateway_ready {
	uint64_t user_id, application_id;
	const char *session_id; /* fits GATEWAY_SESSION_BYTES */
	const char *resume_url; /* fits GATEWAY_URL_BYTES; NULL: none given */
};
bool gateway_read_ready(const struct json_at *d, struct gateway_ready *out);

#endif
