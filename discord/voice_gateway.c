/* SPDX-License-Identifier: MIT
 *
 * voice_gateway.c - the voice session's state machine; see voice_gateway.h.
 */
#include "discord/voice_gateway.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/json.h"
#include "discord/voice_codes.h"
#include "discord/voice_messages.h"

#define NEVER              INT64_MAX
#define READY_TIMEOUT_NS   (5 * NS_PER_SEC)
#define SESSION_TIMEOUT_NS (5 * NS_PER_SEC)
#define RESUME_TIMEOUT_NS  (8 * NS_PER_SEC)
#define CONNECT_TRIES      5
#define CONNECT_PAUSE_NS   (500 * NS_PER_MS) /* doubling to */
#define CONNECT_CAP_NS     (2 * NS_PER_SEC)
#define CONNECT_LEAST_NS   (100 * NS_PER_MS)
#define RESUME_TRIES       3 /* sockets that broke before the session was resumed */
#define RESUME_FOR_NS      (60 * NS_PER_SEC)
#define REFUSED_FOR_NS     (3 * NS_PER_SEC) /* of a resume, before a refusing port ends it */
#define REPAIR_FORGET_NS   (60 * NS_PER_SEC)
#define UNANSWERED_MAX     2
/* More often than the server asks for, which is allowed: a dead connection has to be noticed, and another
 * one made, before the server ends the session for want of heartbeats. */
#define HEARTBEAT_MAX_NS   (5 * NS_PER_SEC)
#define CLOSE_DEAD         4000 /* not 1000: the session stays resumable */

struct voice_gateway {
	const struct voice_ops *ops;
	void *ctx;
	unsigned dave_version;
	enum voice_state state;
	unsigned generation;
	struct voice_session session;
	bool identified; /* op 0 went out for this session: its token is used up */
	bool open;       /* the socket is open */

	uint32_t ssrc;
	enum transport_mode mode, refused_mode;
	int32_t seq_ack; /* last numbered message, not the highest; -1 none */

	int64_t heartbeat_ns, heartbeat_at_ns, heartbeat_sent_ns, rtt_ns;
	unsigned unanswered;
	int64_t step_at_ns;  /* deadline of the present state */
	int64_t tried_ns;    /* when the socket began to connect */
	int64_t retry_at_ns; /* when a failed connect is tried again */
	unsigned connect_tries;
	unsigned resume_tries;
	int64_t resume_until_ns;
	unsigned repairs; /* resumes for the sake of dead media, in a row */
	int64_t repaired_ns;

	struct voice_stats stats;
};

const char *voice_state_name(enum voice_state state)
{
	static const char *const names[] = {
		[VOICE_IDLE] = "idle",
		[VOICE_CONNECTING] = "connecting",
		[VOICE_WAIT_READY] = "identifying",
		[VOICE_DISCOVERY] = "discovering",
		[VOICE_WAIT_SESSION] = "selecting",
		[VOICE_READY] = "ready",
		[VOICE_RESUMING] = "resuming",
	};
	return names[state];
}

int voice_gateway_create(struct voice_gateway **out, const struct voice_ops *ops, void *ctx,
			 unsigned dave_version)
{
	struct voice_gateway *v = calloc(1, sizeof(*v));
	*out = v;
	if (!v)
		return -ENOMEM;
	v->ops = ops;
	v->ctx = ctx;
	v->dave_version = dave_version;
	v->seq_ack = -1;
	v->rtt_ns = -1;
	v->heartbeat_at_ns = v->step_at_ns = v->retry_at_ns = NEVER;
	return 0;
}

void voice_gateway_destroy(struct voice_gateway *v)
{
	if (!v)
		return;
	sodium_memzero(v, sizeof(*v));
	free(v);
}

static void __attribute__((format(printf, 2, 3)))
note(struct voice_gateway *v, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	v->ops->on_note(v->ctx, text);
}

static void socket_drop(struct voice_gateway *v, int code)
{
	v->open = false;
	v->heartbeat_at_ns = NEVER; /* the timer belongs to the socket: two of them end in 4009 */
	v->retry_at_ns = NEVER;
	v->generation++;
	v->ops->close(v->ctx, code);
}

static void end(struct voice_gateway *v, enum voice_outcome outcome, const char *why)
{
	if (v->state == VOICE_IDLE)
		return;
	socket_drop(v, outcome == VOICE_OUTCOME_WAIT ? 1000 : CLOSE_DEAD);
	v->state = VOICE_IDLE;
	v->step_at_ns = NEVER;
	v->ops->media_stop(v->ctx);
	v->ops->on_end(v->ctx, outcome, why);
}

static void socket_connect(struct voice_gateway *v, int64_t now_ns)
{
	char url[VOICE_ENDPOINT_BYTES + 16];
	snprintf(url, sizeof(url), "wss://%s/?v=8", v->session.endpoint);
	v->generation++;
	v->open = false;
	v->heartbeat_at_ns = v->retry_at_ns = NEVER;
	v->tried_ns = now_ns;
	v->ops->connect(v->ctx, v->generation, url);
}

static bool endpoint_valid(const char *e)
{
	return *e && !e[strspn(e, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  ".-_:[]")];
}

int voice_gateway_start(struct voice_gateway *v, const struct voice_session *session,
			int64_t now_ns)
{
	voice_gateway_stop(v);
	if (!endpoint_valid(session->endpoint))
		return -EINVAL;
	v->session = *session;
	v->identified = false;
	v->seq_ack = -1;
	v->unanswered = 0;
	v->connect_tries = 0;
	v->repairs = 0;
	v->ssrc = 0;
	v->mode = TRANSPORT_NONE;
	v->state = VOICE_CONNECTING;
	v->step_at_ns = NEVER; /* the socket has its own time-out, the channel one over all */
	v->stats.sessions++;
	socket_connect(v, now_ns);
	return 0;
}

void voice_gateway_stop(struct voice_gateway *v)
{
	if (v->state == VOICE_IDLE)
		return;
	socket_drop(v, 1000);
	v->state = VOICE_IDLE;
	v->step_at_ns = NEVER;
	v->ops->media_stop(v->ctx);
}

/* ---- sending ----------------------------------------------------------------------------- */

static void message_send(struct voice_gateway *v, int err, struct strbuf *text)
{
	if (err == 0 && v->open)
		v->ops->send_text(v->ctx, text->data, text->len);
	strbuf_free(text);
}

static void send_heartbeat(struct voice_gateway *v, int64_t now_ns)
{
	struct strbuf text = VOICE_MESSAGE_INIT;
	message_send(v, voice_write_heartbeat(&text, now_ns / NS_PER_MS, v->seq_ack), &text);
	v->heartbeat_sent_ns = now_ns;
}

/* Required before the first RTP packet, and again after a resume. It is no voice activity: sent
 * once and left at 1. */
static void send_speaking(struct voice_gateway *v)
{
	struct strbuf text = VOICE_MESSAGE_INIT;
	message_send(v, voice_write_speaking(&text, v->ssrc), &text);
}

void voice_gateway_dave_json(struct voice_gateway *v, unsigned op, uint16_t transition_id)
{
	struct strbuf text = VOICE_MESSAGE_INIT;
	message_send(v, voice_write_transition(&text, op, transition_id), &text);
}

void voice_gateway_dave_binary(struct voice_gateway *v, const uint8_t *data, size_t bytes)
{
	if (v->open)
		v->ops->send_binary(v->ctx, data, bytes);
}

/* ---- receiving --------------------------------------------------------------------------- */

static void on_hello(struct voice_gateway *v, const struct json_at *d, int64_t now_ns)
{
	int64_t heartbeat_ns;
	if (!voice_read_hello(d, &heartbeat_ns))
		return;
	v->heartbeat_ns = heartbeat_ns < HEARTBEAT_MAX_NS ? heartbeat_ns : HEARTBEAT_MAX_NS;
	v->unanswered = 0;
	v->heartbeat_at_ns = now_ns + v->heartbeat_ns;
}

static void on_ready(struct voice_gateway *v, const struct json_at *d)
{
	struct voice_server server;
	if (v->state != VOICE_WAIT_READY)
		return;
	if (!voice_read_ready(d, v->refused_mode, &server))
		return; /* the time-out repairs */
	v->mode = server.mode;
	if (v->mode == TRANSPORT_NONE) {
		end(v, VOICE_OUTCOME_FATAL,
		    "the voice server offers no encryption that we speak: a newer loopline is needed");
		return;
	}
	v->ssrc = server.ssrc;
	v->connect_tries = 0;
	v->state = VOICE_DISCOVERY;
	v->step_at_ns = NEVER; /* the UDP side answers in any case */
	v->ops->udp_start(v->ctx, v->generation, server.ip, server.port, v->ssrc);
}

void voice_gateway_discovered(struct voice_gateway *v, unsigned generation, const char *address,
			      uint16_t port, int64_t now_ns)
{
	if (generation != v->generation || v->state != VOICE_DISCOVERY)
		return;
	if (!address) {
		end(v, VOICE_OUTCOME_REJOIN, "no answer by UDP: is outgoing UDP allowed?");
		return;
	}
	v->state = VOICE_WAIT_SESSION;
	v->step_at_ns = now_ns + SESSION_TIMEOUT_NS;
	struct strbuf text = VOICE_MESSAGE_INIT;
	message_send(v, voice_write_select(&text, address, port, v->mode), &text);
}

static void dave(struct voice_gateway *v, const struct voice_dave *event)
{
	v->ops->on_dave(v->ctx, event);
}

/* May come again later in a session, with another key. */
static void on_session(struct voice_gateway *v, const struct json_at *d)
{
	struct voice_description session;
	if (v->state != VOICE_WAIT_SESSION && v->state != VOICE_READY && v->state != VOICE_RESUMING)
		return;
	if (!voice_read_session(d, &session))
		return;
	int err = -EINVAL;
	bool fits = session.mode == v->mode;
	if (fits)
		err = v->ops->media_start(v->ctx, v->mode, session.key, v->ssrc);
	sodium_memzero(session.key, sizeof(session.key));
	if (err < 0) {
		end(v, VOICE_OUTCOME_REJOIN,
		    fits ? "the media keys could not be set up" :
			   "the voice server chose another encryption mode");
		return;
	}
	dave(v, &(struct voice_dave){.op = VOICE_OP_SESSION, .version = session.dave_version});
	send_speaking(v);
	if (v->state == VOICE_WAIT_SESSION) {
		v->state = VOICE_READY;
		v->step_at_ns = NEVER;
		v->ops->on_ready(v->ctx);
	}
}

static void on_resumed(struct voice_gateway *v)
{
	if (v->state != VOICE_RESUMING)
		return;
	v->state = VOICE_READY;
	v->step_at_ns = NEVER;
	v->connect_tries = 0;
	send_speaking(v);
	note(v, "voice session resumed");
}

static void on_speaking(struct voice_gateway *v, const struct json_at *d, const char *ssrc_name)
{
	uint64_t user;
	uint32_t ssrc;
	if (voice_read_speaking(d, ssrc_name, &user, &ssrc))
		v->ops->on_speaker(v->ctx, user, ssrc);
}

static void on_connected(struct voice_gateway *v, const struct json_at *d)
{
	uint64_t users[VOICE_USERS_MAX];
	size_t n = voice_read_users(d, users);
	if (n > 0)
		dave(v, &(struct voice_dave){
				.op = VOICE_OP_CONNECTED, .users = users, .user_count = n});
}

static void on_disconnected(struct voice_gateway *v, const struct json_at *d)
{
	uint64_t user;
	if (!voice_read_user(d, &user))
		return;
	v->ops->on_left(v->ctx, user);
	dave(v, &(struct voice_dave){.op = VOICE_OP_DISCONNECTED, .users = &user, .user_count = 1});
}

static void on_payload(struct voice_gateway *v, const struct json_at *root, int64_t now_ns)
{
	int64_t op, seq;
	struct json_at d = {.doc = root->doc};
	struct voice_dave event;
	if (!json_int(root, "op", 0, 1000, &op))
		return;
	if (json_has(root, "seq") && json_int(root, "seq", 0, 65535, &seq))
		v->seq_ack = (int32_t)seq; /* 0 is a number like any other */
	if (op == VOICE_OP_RESUMED) {
		on_resumed(v);
		return;
	}
	if (op == VOICE_OP_HEARTBEAT) {
		send_heartbeat(v, now_ns);
		return;
	}
	if (op == VOICE_OP_HEARTBEAT_ACK) {
		v->unanswered = 0;
		if (v->heartbeat_sent_ns)
			v->rtt_ns = now_ns - v->heartbeat_sent_ns;
		return;
	}
	if (!voice_op_is_known((unsigned)op) || !json_obj(root, "d", &d))
		return;
	switch (op) {
	case VOICE_OP_HELLO:
		on_hello(v, &d, now_ns);
		break;
	case VOICE_OP_READY:
		on_ready(v, &d);
		break;
	case VOICE_OP_SESSION:
		on_session(v, &d);
		break;
	case VOICE_OP_SPEAKING:
		on_speaking(v, &d, "ssrc");
		break;
	case VOICE_OP_VIDEO:
		on_speaking(v, &d, "audio_ssrc");
		break;
	case VOICE_OP_CONNECTED:
		on_connected(v, &d);
		break;
	case VOICE_OP_DISCONNECTED:
		on_disconnected(v, &d);
		break;
	default:
		if (voice_read_dave((unsigned)op, &d, &event))
			dave(v, &event);
		break;
	}
}

void voice_gateway_text(struct voice_gateway *v, unsigned generation, const char *text,
			size_t bytes, int64_t now_ns)
{
	static const struct json_limits limits = {.max_bytes = VOICE_MESSAGE_BYTES_MAX};
	if (generation != v->generation || v->state == VOICE_IDLE)
		return;
	struct json_doc doc;
	if (json_parse(&doc, text, bytes, &limits) == 0) {
		struct json_at root = json_root(&doc);
		if (json_is_obj(&root))
			on_payload(v, &root, now_ns);
	}
	if (doc.error[0]) {
		v->stats.refused_messages++;
		note(v, "voice message refused: %s", doc.error);
	}
	json_free(&doc);
}

void voice_gateway_binary(struct voice_gateway *v, unsigned generation, const uint8_t *data,
			  size_t bytes, int64_t now_ns)
{
	(void)now_ns;
	if (generation != v->generation || v->state == VOICE_IDLE)
		return;
	if (bytes < 3) {
		v->stats.refused_messages++;
		note(v, "voice message refused: binary message of %zu bytes", bytes);
		return;
	}
	v->seq_ack = get_be16(data); /* also when the content is not for us */
	unsigned op = data[2];
	if (voice_op_is_binary(op))
		dave(v, &(struct voice_dave){.op = op, .payload = data + 3, .bytes = bytes - 3});
}

/* ---- the socket comes and goes ----------------------------------------------------------- */

void voice_gateway_opened(struct voice_gateway *v, unsigned generation, int64_t now_ns)
{
	if (generation != v->generation)
		return;
	v->open = true;
	if (v->state == VOICE_CONNECTING) {
		v->state = VOICE_WAIT_READY;
		v->step_at_ns = now_ns + READY_TIMEOUT_NS;
		struct strbuf text = VOICE_MESSAGE_INIT;
		message_send(v, voice_write_identify(&text, &v->session, v->dave_version), &text);
		v->identified = true;
	} else if (v->state == VOICE_RESUMING) {
		v->step_at_ns = now_ns + RESUME_TIMEOUT_NS;
		struct strbuf text = VOICE_MESSAGE_INIT;
		message_send(v, voice_write_resume(&text, &v->session, v->seq_ack), &text);
	}
}

static void resume(struct voice_gateway *v, int64_t now_ns)
{
	if (v->state != VOICE_RESUMING) {
		v->resume_tries = 0;
		v->resume_until_ns = now_ns + RESUME_FOR_NS;
	}
	v->state = VOICE_RESUMING;
	v->step_at_ns = NEVER;
	v->connect_tries = 0;
	v->resume_tries++;
	v->stats.resumes++;
	socket_connect(v, now_ns);
}

/* A connection that was never made used up nothing: the same thing again, a few times. A resume goes
 * on longer: its media flows meanwhile, and joining anew would cost it. */
static void connect_failed(struct voice_gateway *v, int64_t now_ns)
{
	bool enough = v->state == VOICE_RESUMING ? now_ns >= v->resume_until_ns :
						   v->connect_tries + 1 >= CONNECT_TRIES;
	int64_t pause_ns = CONNECT_PAUSE_NS << (v->connect_tries < 4 ? v->connect_tries : 4);
	if (enough) {
		end(v, VOICE_OUTCOME_REJOIN, "the voice server cannot be reached");
		return;
	}
	/* counted from the beginning of the try: one that took its time-out has waited enough */
	v->connect_tries++;
	v->retry_at_ns = v->tried_ns + (pause_ns < CONNECT_CAP_NS ? pause_ns : CONNECT_CAP_NS);
	if (v->retry_at_ns < now_ns + CONNECT_LEAST_NS)
		v->retry_at_ns = now_ns + CONNECT_LEAST_NS;
}

/* The network broke it off before the server answered: the session is as good as it was. After a close
 * by the server one failed resume is enough: it would only be closed again. */
static bool resume_again(const struct voice_gateway *v, int code, int64_t now_ns)
{
	return v->state == VOICE_RESUMING && code == 1006 && v->resume_tries < RESUME_TRIES &&
	       now_ns < v->resume_until_ns;
}

void voice_gateway_closed(struct voice_gateway *v, unsigned generation, bool opened, int code,
			  int64_t now_ns)
{
	if (generation != v->generation || v->state == VOICE_IDLE)
		return;
	v->open = false;
	v->heartbeat_at_ns = NEVER;
	if (!opened) {
		connect_failed(v, now_ns);
		return;
	}
	const char *why = voice_close_text(code);
	if (code == VOICE_CLOSE_UNKNOWN_MODE)
		v->refused_mode = v->mode; /* choose another next time */
	switch (voice_close_action(code)) {
	case VOICE_CLOSE_RESUME:
		if (v->state != VOICE_READY && !resume_again(v, code, now_ns)) {
			/* During the handshake there is nothing to resume: the token is used up. */
			end(v, VOICE_OUTCOME_REJOIN, why);
			break;
		}
		note(v, "voice connection lost, resuming code=%d", code);
		resume(v, now_ns);
		break;
	case VOICE_CLOSE_REJOIN:
		end(v, VOICE_OUTCOME_REJOIN, why);
		break;
	case VOICE_CLOSE_WAIT:
		end(v, VOICE_OUTCOME_WAIT, why);
		break;
	case VOICE_CLOSE_PAUSE:
		end(v, VOICE_OUTCOME_PAUSE, why);
		break;
	case VOICE_CLOSE_FATAL:
		end(v, VOICE_OUTCOME_FATAL, why);
		break;
	}
}

void voice_gateway_media_dead(struct voice_gateway *v, const char *why, bool refused,
			      int64_t now_ns)
{
	/* While the socket is away as well it may be the network, which comes back; a server that
	 * refuses is there, and has ended the session. */
	if (v->state == VOICE_RESUMING && refused && !v->open &&
	    now_ns > v->resume_until_ns - RESUME_FOR_NS + REFUSED_FOR_NS)
		end(v, VOICE_OUTCOME_REJOIN, why);
	if (v->state != VOICE_READY)
		return;
	if (now_ns - v->repaired_ns > REPAIR_FORGET_NS)
		v->repairs = 0;
	v->repaired_ns = now_ns;
	if (v->repairs++ == 0) {
		note(v, "media is dead, resuming why=\"%s\"", why);
		socket_drop(v, CLOSE_DEAD);
		resume(v, now_ns);
	} else {
		end(v, VOICE_OUTCOME_REJOIN, why);
	}
}

void voice_gateway_give_up(struct voice_gateway *v, const char *why)
{
	end(v, VOICE_OUTCOME_REJOIN, why);
}

int64_t voice_gateway_deadline_ns(const struct voice_gateway *v)
{
	int64_t at = v->step_at_ns;
	if (v->heartbeat_at_ns < at)
		at = v->heartbeat_at_ns;
	if (v->retry_at_ns < at)
		at = v->retry_at_ns;
	return at;
}

static void heartbeat_due(struct voice_gateway *v, int64_t now_ns)
{
	if (v->unanswered >= UNANSWERED_MAX) {
		socket_drop(v, CLOSE_DEAD);
		if (v->state == VOICE_READY) {
			note(v, "voice gateway stopped answering heartbeats, resuming");
			resume(v, now_ns);
		} else {
			end(v, VOICE_OUTCOME_REJOIN, "the voice gateway stopped answering");
		}
		return;
	}
	v->unanswered++;
	v->heartbeat_at_ns = now_ns + v->heartbeat_ns;
	send_heartbeat(v, now_ns);
}

void voice_gateway_tick(struct voice_gateway *v, int64_t now_ns)
{
	if (now_ns >= v->heartbeat_at_ns)
		heartbeat_due(v, now_ns);
	if (now_ns >= v->retry_at_ns)
		socket_connect(v, now_ns);
	if (now_ns >= v->step_at_ns) {
		v->step_at_ns = NEVER;
		if (v->state == VOICE_WAIT_READY)
			end(v, VOICE_OUTCOME_REJOIN, "the voice gateway did not answer identify");
		else if (v->state == VOICE_WAIT_SESSION)
			end(v, VOICE_OUTCOME_REJOIN, "the voice gateway sent no session description");
		else if (v->state == VOICE_RESUMING)
			end(v, VOICE_OUTCOME_REJOIN, "the voice session could not be resumed");
	}
}

enum voice_state voice_gateway_state(const struct voice_gateway *v)
{
	return v->state;
}

int64_t voice_gateway_rtt_ns(const struct voice_gateway *v)
{
	return v->rtt_ns;
}

void voice_gateway_stats(const struct voice_gateway *v, struct voice_stats *out)
{
	*out = v->stats;
}
