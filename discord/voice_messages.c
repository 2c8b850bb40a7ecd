/* SPDX-License-Identifier: MIT
 *
 * voice_messages.c - see voice_messages.h.
 */
#include "discord/voice_messages.h"

#include <sodium.h>

#include "common/clock.h"
#include "discord/dave/session.h"

bool voice_op_is_known(unsigned op)
{
	return op == VOICE_OP_READY || op == VOICE_OP_SESSION || op == VOICE_OP_SPEAKING ||
	       op == VOICE_OP_HELLO || (op >= VOICE_OP_CONNECTED && op <= VOICE_OP_DISCONNECTED) ||
	       op == DAVE_OP_PREPARE_TRANSITION || op == DAVE_OP_EXECUTE_TRANSITION ||
	       op == DAVE_OP_PREPARE_EPOCH;
}

bool voice_op_is_binary(unsigned op)
{
	return op == DAVE_OP_EXTERNAL_SENDER || op == DAVE_OP_PROPOSALS ||
	       op == DAVE_OP_ANNOUNCE_COMMIT || op == DAVE_OP_WELCOME;
}

/* ---- to the gateway ---------------------------------------------------------------------- */

static void message_begin(struct json_writer *w, struct strbuf *out, unsigned op)
{
	json_begin(w, out);
	json_w_obj(w, NULL);
	json_w_int(w, "op", op);
	json_w_obj(w, "d");
}

static int message_end(struct json_writer *w)
{
	json_w_end(w);
	json_w_end(w);
	return json_finish(w);
}

int voice_write_identify(struct strbuf *out, const struct voice_session *session, unsigned dave_version)
{
	struct json_writer w;
	message_begin(&w, out, VOICE_OP_IDENTIFY);
	json_w_id(&w, "server_id", session->guild_id);
	json_w_id(&w, "user_id", session->user_id);
	json_w_str(&w, "session_id", session->session_id);
	json_w_str(&w, "token", session->token);
	json_w_int(&w, "max_dave_protocol_version", dave_version);
	return message_end(&w);
}

int voice_write_resume(struct strbuf *out, const struct voice_session *session, int32_t seq_ack)
{
	struct json_writer w;
	message_begin(&w, out, VOICE_OP_RESUME);
	json_w_id(&w, "server_id", session->guild_id);
	json_w_str(&w, "session_id", session->session_id);
	json_w_str(&w, "token", session->token);
	json_w_int(&w, "seq_ack", seq_ack);
	return message_end(&w);
}

int voice_write_heartbeat(struct strbuf *out, int64_t t_ms, int32_t seq_ack)
{
	struct json_writer w;
	message_begin(&w, out, VOICE_OP_HEARTBEAT);
	json_w_int(&w, "t", t_ms);
	json_w_int(&w, "seq_ack", seq_ack);
	return message_end(&w);
}

int voice_write_select(struct strbuf *out, const char *address, uint16_t port, enum transport_mode mode)
{
	struct json_writer w;
	message_begin(&w, out, VOICE_OP_SELECT_PROTOCOL);
	json_w_str(&w, "protocol", "udp");
	json_w_obj(&w, "data");
	json_w_str(&w, "address", address);
	json_w_int(&w, "port", port);
	json_w_str(&w, "mode", transport_mode_name(mode));
	json_w_end(&w);
	return message_end(&w);
}

int voice_write_speaking(struct strbuf *out, uint32_t ssrc)
{
	struct json_writer w;
	message_begin(&w, out, VOICE_OP_SPEAKING);
	json_w_int(&w, "speaking", 1);
	json_w_int(&w, "delay", 0);
	json_w_int(&w, "ssrc", ssrc);
	return message_end(&w);
}

int voice_write_transition(struct strbuf *out, unsigned op, uint16_t transition_id)
{
	struct json_writer w;
	message_begin(&w, out, op);
	json_w_int(&w, "transition_id", transition_id);
	return message_end(&w);
}

/* ---- from the gateway -------------------------------------------------------------------- */

bool voice_read_hello(const struct json_at *d, int64_t *heartbeat_ns)
{
	double interval_ms; /* fractional on older servers */
	if (!json_num(d, "heartbeat_interval", &interval_ms))
		return false;
	if (!(interval_ms >= 100 && interval_ms <= 3600000)) {
		json_fail(d, "heartbeat_interval", "expected 100 to 3600000 ms");
		return false;
	}
	*heartbeat_ns = (int64_t)(interval_ms * (double)NS_PER_MS);
	return true;
}

static enum transport_mode mode_choose(const struct json_at *modes, enum transport_mode refused)
{
	enum transport_mode best = TRANSPORT_NONE;
	struct json_at e;
	for (bool more = json_first(modes, &e); more; more = json_next(&e)) {
		const char *name;
		if (!json_value_str(&e, &name))
			break;
		enum transport_mode mode = transport_mode_parse(name);
		if (mode == TRANSPORT_NONE || mode == refused)
			continue;
		if (best == TRANSPORT_NONE || mode == TRANSPORT_AES256_GCM)
			best = mode;
	}
	return best;
}

bool voice_read_ready(const struct json_at *d, enum transport_mode refused, struct voice_server *out)
{
	int64_t ssrc, port;
	struct json_at modes;
	if (!json_int(d, "ssrc", 0, UINT32_MAX, &ssrc) || !json_str(d, "ip", &out->ip) ||
	    !json_int(d, "port", 1, 65535, &port) || !json_arr(d, "modes", &modes))
		return false;
	out->ssrc = (uint32_t)ssrc;
	out->port = (uint16_t)port;
	out->mode = mode_choose(&modes, refused);
	return true;
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

bool voice_read_session(const struct json_at *d, struct voice_description *out)
{
	const char *mode;
	int64_t version = 0;
	if (!json_str(d, "mode", &mode) ||
	    (json_has(d, "dave_protocol_version") &&
	     !json_int_lax(d, "dave_protocol_version", 0, 65535, &version)))
		return false;
	out->mode = transport_mode_parse(mode);
	out->dave_version = (unsigned)version;
	if (key_read(d, out->key))
		return true;
	sodium_memzero(out->key, sizeof(out->key));
	return false;
}

bool voice_read_speaking(const struct json_at *d, const char *ssrc_name, uint64_t *user, uint32_t *ssrc)
{
	int64_t number;
	if (!json_has(d, "user_id") || !json_has(d, ssrc_name))
		return false; /* op 12 without audio; op 5 that names nobody */
	if (!json_id_lax(d, "user_id", user) || !json_int(d, ssrc_name, 0, UINT32_MAX, &number))
		return false;
	*ssrc = (uint32_t)number;
	return *user && *ssrc;
}

size_t voice_read_users(const struct json_at *d, uint64_t users[VOICE_USERS_MAX])
{
	size_t n = 0;
	struct json_at array, e;
	if (!json_arr(d, "user_ids", &array))
		return 0;
	for (bool more = json_first(&array, &e); more && n < VOICE_USERS_MAX; more = json_next(&e)) {
		if (!json_value_id(&e, &users[n]))
			return 0;
		n += users[n] != 0; /* no user has the id 0 */
	}
	return n;
}

bool voice_read_user(const struct json_at *d, uint64_t *user)
{
	return json_id_lax(d, "user_id", user) && *user != 0;
}

bool voice_read_dave(unsigned op, const struct json_at *d, struct voice_dave *out)
{
	int64_t version = 0, id = 0, epoch = 0;
	if (op != DAVE_OP_EXECUTE_TRANSITION && !json_int_lax(d, "protocol_version", 0, 65535, &version))
		return false;
	/* op 24 carries none */
	if (op != DAVE_OP_PREPARE_EPOCH && !json_int_lax(d, "transition_id", 0, 65535, &id))
		return false;
	if (op == DAVE_OP_PREPARE_EPOCH && !json_int_lax(d, "epoch", 0, INT64_C(1) << 53, &epoch))
		return false;
	*out = (struct voice_dave){.op = op,
				   .version = (unsigned)version,
				   .transition_id = (uint16_t)id,
				   .epoch = (uint64_t)epoch};
	return true;
}
