/* SPDX-License-Identifier: MIT
 *
 * gateway_messages.c - see gateway_messages.h.
 */
#include "discord/gateway_messages.h"

#include <string.h>

#include "common/clock.h"

/* ---- to the gateway ---------------------------------------------------------------------- */

static void message_begin(struct json_writer *w, struct strbuf *out, enum gateway_op op)
{
	json_begin(w, out);
	json_w_obj(w, NULL);
	json_w_int(w, "op", op);
}

static int message_end(struct json_writer *w)
{
	json_w_end(w);
	return json_finish(w);
}

int gateway_write_heartbeat(struct strbuf *out, int64_t seq)
{
	struct json_writer w;
	message_begin(&w, out, GATEWAY_OP_HEARTBEAT);
	if (seq >= 0)
		json_w_int(&w, "d", seq);
	else
		json_w_null(&w, "d");
	return message_end(&w);
}

int gateway_write_identify(struct strbuf *out, const char *token, int intents)
{
	struct json_writer w;
	message_begin(&w, out, GATEWAY_OP_IDENTIFY);
	json_w_obj(&w, "d");
	json_w_str(&w, "token", token);
	json_w_int(&w, "intents", intents);
	json_w_obj(&w, "properties");
	json_w_str(&w, "os", "linux");
	json_w_str(&w, "browser", "loopline");
	json_w_str(&w, "device", "loopline");
	json_w_end(&w);
	json_w_int(&w, "large_threshold", 50);
	json_w_bool(&w, "compress", false);
	json_w_end(&w);
	return message_end(&w);
}

int gateway_write_resume(struct strbuf *out, const char *token, const char *session_id, int64_t seq)
{
	struct json_writer w;
	message_begin(&w, out, GATEWAY_OP_RESUME);
	json_w_obj(&w, "d");
	json_w_str(&w, "token", token);
	json_w_str(&w, "session_id", session_id);
	json_w_int(&w, "seq", seq);
	json_w_end(&w);
	return message_end(&w);
}

int gateway_write_voice_state(struct strbuf *out, uint64_t guild_id, uint64_t channel_id)
{
	struct json_writer w;
	message_begin(&w, out, GATEWAY_OP_VOICE_STATE);
	json_w_obj(&w, "d");
	json_w_id(&w, "guild_id", guild_id);
	if (channel_id)
		json_w_id(&w, "channel_id", channel_id);
	else
		json_w_null(&w, "channel_id");
	json_w_bool(&w, "self_mute", false);
	json_w_bool(&w, "self_deaf", false); /* we listen, and say so */
	json_w_end(&w);
	return message_end(&w);
}

/* ---- from the gateway -------------------------------------------------------------------- */

bool gateway_read_hello(const struct json_at *root, int64_t *heartbeat_ns)
{
	struct json_at d;
	double interval_ms;
	if (!json_obj(root, "d", &d) || !json_num(&d, "heartbeat_interval", &interval_ms))
		return false;
	if (!(interval_ms >= 100 && interval_ms <= 3600000)) {
		json_fail(&d, "heartbeat_interval", "expected 100 to 3600000 ms");
		return false;
	}
	*heartbeat_ns = (int64_t)(interval_ms * (double)NS_PER_MS);
	return true;
}

bool gateway_read_ready(const struct json_at *d, struct gateway_ready *out)
{
	struct json_at user, application = {0};
	*out = (struct gateway_ready){0};
	if (json_obj(d, "user", &user))
		json_id(&user, "id", &out->user_id);
	json_str(d, "session_id", &out->session_id);
	json_opt_str(d, "resume_gateway_url", &out->resume_url);
	if (json_opt_obj(d, "application", &application))
		json_opt_id(&application, "id", &out->application_id);
	if (!out->application_id)
		out->application_id = out->user_id;
	if (out->resume_url && strlen(out->resume_url) >= GATEWAY_URL_BYTES)
		out->resume_url = NULL;
	return out->user_id && out->session_id && strlen(out->session_id) < GATEWAY_SESSION_BYTES;
}
