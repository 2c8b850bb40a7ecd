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

enum { OP_IDENTIFY = 0, OP_SELECT_PROTOCOL = 1, OP_READY = 2, OP_HEARTBEAT = 3, OP_SESSION = 4,
       OP_SPEAKING = 5, OP_HEARTBEAT_ACK = 6, OP_RESUME = 7, OP_HELLO = 8, OP_RESUMED = 9,
       OP_CONNECTED = 11, OP_VIDEO = 12, OP_DISCONNECTED = 13, OP_DAVE_PREPARE = 21,
       OP_DAVE_EXECUTE = 22, OP_DAVE_EPOCH = 24, OP_DAVE_SENDER = 25, OP_DAVE_PROPOSALS = 27,
       OP_DAVE_COMMIT = 29, OP_DAVE_WELCOME = 30 };

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

#define MESSAGE(text, w, opcode) \
	struct strbuf text = STRBUF_INIT(4096); \
	struct json_writer w; \
	json_begin(&w, &text); \
	json_w_obj(&w, NULL); \
	json_w_int(&w, "op", opcode); \
	json_w_obj(&w, "d")

static void message_send(struct voice_gateway *v, struct strbuf *text, struct json_writer *w)
{
	json_w_end(w);
	json_w_end(w);
	if (json_finish(w) == 0 && v->open)
		v->ops->send_text(v->ctx, text->data, text->len);
	strbuf_free(text);
}

static void send_identify(struct voice_gateway *v)
{
	MESSAGE(text, w, OP_IDENTIFY);
	json_w_id(&w, "server_id", v->session.guild_id);
	json_w_id(&w, "user_id", v->session.user_id);
	json_w_str(&w, "session_id", v->session.session_id);
	json_w_str(&w, "token", v->session.token);
	json_w_int(&w, "max_dave_protocol_version", v->dave_version);
	message_send(v, &text, &w);
	v->identified = true;
}

static void send_resume(struct voice_gateway *v)
{
	MESSAGE(text, w, OP_RESUME);
	json_w_id(&w, "server_id", v->session.guild_id);
	json_w_str(&w, "session_id", v->session.session_id);
	json_w_str(&w, "token", v->session.token);
	json_w_int(&w, "seq_ack", v->seq_ack);
	message_send(v, &text, &w);
}

static void send_heartbeat(struct voice_gateway *v, int64_t now_ns)
{
	MESSAGE(text, w, OP_HEARTBEAT);
	json_w_int(&w, "t", now_ns / NS_PER_MS);
	json_w_int(&w, "seq_ack", v->seq_ack);
	message_send(v, &text, &w);
	v->heartbeat_sent_ns = now_ns;
}

static void send_select(struct voice_gateway *v, const char *address, uint16_t port)
{
	MESSAGE(text, w, OP_SELECT_PROTOCOL);
	json_w_str(&w, "protocol", "udp");
	json_w_obj(&w, "data");
	json_w_str(&w, "address", address);
	json_w_int(&w, "port", port);
	json_w_str(&w, "mode", transport_mode_name(v->mode));
	json_w_end(&w);
	message_send(v, &text, &w);
}

/* Required before the first RTP packet, and again after a resume. It is no voice activity: sent
 * once and left at 1. */
static void send_speaking(struct voice_gateway *v)
{
	MESSAGE(text, w, OP_SPEAKING);
	json_w_int(&w, "speaking", 1);
	json_w_int(&w, "delay", 0);
	json_w_int(&w, "ssrc", v->ssrc);
	message_send(v, &text, &w);
}

void voice_gateway_dave_json(struct voice_gateway *v, unsigned op, uint16_t transition_id)
{
	MESSAGE(text, w, op);
	json_w_int(&w, "transition_id", transition_id);
	message_send(v, &text, &w);
}

void voice_gateway_dave_binary(struct voice_gateway *v, const uint8_t *data, size_t bytes)
{
	if (v->open)
		v->ops->send_binary(v->ctx, data, bytes);
}

/* ---- receiving --------------------------------------------------------------------------- */

static void on_hello(struct voice_gateway *v, const struct json_at *d, int64_t now_ns)
{
	double interval_ms; /* fractional on older servers */
	if (!json_num(d, "heartbeat_interval", &interval_ms))
		return;
	if (!(interval_ms >= 100 && interval_ms <= 3600000)) {
		json_fail(d, "heartbeat_interval", "expected 100 to 3600000 ms");
		return;
	}
	v->heartbeat_ns = (int64_t)(interval_ms * (double)NS_PER_MS);
	if (v->heartbeat_ns > HEARTBEAT_MAX_NS)
		v->heartbeat_ns = HEARTBEAT_MAX_NS;
	v->unanswered = 0;
	v->heartbeat_at_ns = now_ns + v->heartbeat_ns;
}

static enum transport_mode mode_choose(const struct voice_gateway *v, const struct json_at *modes)
{
	enum transport_mode best = TRANSPORT_NONE;
	struct json_at e;
	for (bool more = json_first(modes, &e); more; more = json_next(&e)) {
		const char *name;
		if (!json_value_str(&e, &name))
			break;
		enum transport_mode mode = transport_mode_parse(name);
		if (mode == TRANSPORT_NONE || mode == v->refused_mode)
			continue;
		if (best == TRANSPORT_NONE || mode == TRANSPORT_AES256_GCM)
			best = mode;
	}
	return best;
}

static void on_ready(struct voice_gateway *v, const struct json_at *d, int64_t now_ns)
{
	int64_t ssrc, port;
	const char *ip;
	struct json_at modes;
	if (v->state != VOICE_WAIT_READY)
		return;
	if (!json_int(d, "ssrc", 0, UINT32_MAX, &ssrc) || !json_str(d, "ip", &ip) ||
	    !json_int(d, "port", 1, 65535, &port) || !json_arr(d, "modes", &modes))
		return; /* the time-out repairs */
	v->mode = mode_choose(v, &modes);
	if (v->mode == TRANSPORT_NONE) {
		end(v, VOICE_OUTCOME_FATAL,
		    "the voice server offers no encryption that we speak: a newer loopline is needed");
		return;
	}
	v->ssrc = (uint32_t)ssrc;
	v->connect_tries = 0;
	v->state = VOICE_DISCOVERY;
	v->step_at_ns = NEVER; /* the UDP side answers in any case */
	v->ops->udp_start(v->ctx, v->generation, ip, (uint16_t)port, v->ssrc);
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
	send_select(v, address, port);
}

static bool key_read(const struct json_at *d, uint8_t key[TRANSPORT_KEY_BYTES])
{
	struct json_at array, e;
	size_t n = 0;
	if (!json_arr(d, "secret_key", &array))
		return false;
	if (json_count(&array) != TRANSPORT_KEY_BYTES) {
		json_fail(d, "secret_key", "expected 32 numbers");
		return false;
	}
	for (bool more = json_first(&array, &e); more; more = json_next(&e)) {
		int64_t byte;
		if (!json_value_int(&e, 0, 255, &byte))
			return false;
		key[n++] = (uint8_t)byte;
	}
	return true;
}

static void dave(struct voice_gateway *v, const struct voice_dave *event)
{
	v->ops->on_dave(v->ctx, event);
}

/* May come again later in a session, with another key. */
static void on_session(struct voice_gateway *v, const struct json_at *d)
{
	uint8_t key[TRANSPORT_KEY_BYTES];
	const char *mode;
	int64_t version = 0;
	if (v->state != VOICE_WAIT_SESSION && v->state != VOICE_READY && v->state != VOICE_RESUMING)
		return;
	if (!json_str(d, "mode", &mode) ||
	    (json_has(d, "dave_protocol_version") &&
	     !json_int_lax(d, "dave_protocol_version", 0, 65535, &version)) ||
	    !key_read(d, key))
		return;
	if (transport_mode_parse(mode) != v->mode) {
		sodium_memzero(key, sizeof(key));
		end(v, VOICE_OUTCOME_REJOIN, "the voice server chose another encryption mode");
		return;
	}
	int err = v->ops->media_start(v->ctx, v->mode, key, v->ssrc);
	sodium_memzero(key, sizeof(key));
	if (err < 0) {
		end(v, VOICE_OUTCOME_REJOIN, "the media keys could not be set up");
		return;
	}
	dave(v, &(struct voice_dave){.op = OP_SESSION, .version = (unsigned)version});
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
	int64_t ssrc;
	if (!json_has(d, "user_id") || !json_has(d, ssrc_name))
		return; /* op 12 without audio; op 5 that names nobody */
	if (json_id_lax(d, "user_id", &user) && json_int(d, ssrc_name, 0, UINT32_MAX, &ssrc) && user &&
	    ssrc)
		v->ops->on_speaker(v->ctx, user, (uint32_t)ssrc);
}

static void on_connected(struct voice_gateway *v, const struct json_at *d)
{
	uint64_t users[VOICE_USERS_MAX];
	size_t n = 0;
	struct json_at array, e;
	if (!json_arr(d, "user_ids", &array))
		return;
	for (bool more = json_first(&array, &e); more && n < VOICE_USERS_MAX; more = json_next(&e)) {
		if (!json_value_id(&e, &users[n]))
			return;
		n += users[n] != 0; /* no user has the id 0 */
	}
	if (n > 0)
		dave(v, &(struct voice_dave){.op = OP_CONNECTED, .users = users, .user_count = n});
}

static void on_disconnected(struct voice_gateway *v, const struct json_at *d)
{
	uint64_t user;
	if (!json_id_lax(d, "user_id", &user) || user == 0)
		return;
	v->ops->on_left(v->ctx, user);
	dave(v, &(struct voice_dave){.op = OP_DISCONNECTED, .users = &user, .user_count = 1});
}

static void on_dave_json(struct voice_gateway *v, unsigned op, const struct json_at *d)
{
	int64_t version = 0, id = 0, epoch = 0;
	if (op != OP_DAVE_EXECUTE && !json_int_lax(d, "protocol_version", 0, 65535, &version))
		return;
	/* op 24 carries none */
	if (op != OP_DAVE_EPOCH && !json_int_lax(d, "transition_id", 0, 65535, &id))
		return;
	if (op == OP_DAVE_EPOCH && !json_int_lax(d, "epoch", 0, INT64_C(1) << 53, &epoch))
		return;
	dave(v, &(struct voice_dave){.op = op,
				     .version = (unsigned)version,
				     .transition_id = (uint16_t)id,
				     .epoch = (uint64_t)epoch});
}

static void on_payload(struct voice_gateway *v, const struct json_at *root, int64_t now_ns)
{
	int64_t op, seq;
	struct json_at d = {.doc = root->doc};
	if (!json_int(root, "op", 0, 1000, &op))
		return;
	if (json_has(root, "seq") && json_int(root, "seq", 0, 65535, &seq))
		v->seq_ack = (int32_t)seq; /* 0 is a number like any other */
	if (op == OP_RESUMED) {
		on_resumed(v);
		return;
	}
	if (op == OP_HEARTBEAT) {
		send_heartbeat(v, now_ns);
		return;
	}
	if (op == OP_HEARTBEAT_ACK) {
		v->unanswered = 0;
		if (v->heartbeat_sent_ns)
			v->rtt_ns = now_ns - v->heartbeat_sent_ns;
		return;
	}
	bool ours = op == OP_READY || op == OP_SESSION || op == OP_SPEAKING || op == OP_HELLO ||
		    (op >= OP_CONNECTED && op <= OP_DISCONNECTED) || op == OP_DAVE_PREPARE ||
		    op == OP_DAVE_EXECUTE || op == OP_DAVE_EPOCH;
	if (!ours || !json_obj(root, "d", &d))
		return;
	switch (op) {
	case OP_HELLO:
		on_hello(v, &d, now_ns);
		break;
	case OP_READY:
		on_ready(v, &d, now_ns);
		break;
	case OP_SESSION:
		on_session(v, &d);
		break;
	case OP_SPEAKING:
		on_speaking(v, &d, "ssrc");
		break;
	case OP_VIDEO:
		on_speaking(v, &d, "audio_ssrc");
		break;
	case OP_CONNECTED:
		on_connected(v, &d);
		break;
	case OP_DISCONNECTED:
		on_disconnected(v, &d);
		break;
	default:
		on_dave_json(v, (unsigned)op, &d);
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
	if (op == OP_DAVE_SENDER || op == OP_DAVE_PROPOSALS || op == OP_DAVE_COMMIT ||
	    op == OP_DAVE_WELCOME)
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
		send_identify(v);
	} else if (v->state == VOICE_RESUMING) {
		v->step_at_ns = now_ns + RESUME_TIMEOUT_NS;
		send_resume(v);
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
