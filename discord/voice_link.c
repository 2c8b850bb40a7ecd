/* SPDX-License-Identifier: MIT
 *
 * voice_link.c - see voice_link.h.
 */
#include "discord/voice_link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "discord/dave/session.h"
#include "discord/rest.h"
#include "discord/socket.h"
#include "discord/verifier.h"
#include "discord/voice_codes.h"

#define DAVE_TICK_NS    NS_PER_SEC
#define DAVE_PAUSE_NS   (60 * NS_PER_SEC) /* between two sessions given up for its sake, doubling to */
#define DAVE_PAUSE_CAP_NS (600 * NS_PER_SEC)
#define TIMER_MIN_MS    50
#define DAVE_QUEUE_BYTES (1u << 20)

struct voice_link {
	struct voice_link_config config;
	struct voice_gateway *gateway;
	struct dave_session *dave;
	struct verifier *verifier;
	uint64_t user_id, channel_id;
	struct socket *socket;
	unsigned socket_generation;
	unsigned path_generation; /* of the UDP socket the audio thread has; 0 none */
	int64_t dave_at_ns;
	int64_t dave_again_ns, dave_pause_ns; /* when a session may be given up again */
	struct loop_timer timer;
};

static void on_timer(void *arg);

/* One timer for all deadlines; set anew after everything that may have moved one. */
static void timer_update(struct voice_link *v)
{
	int64_t at_ns = voice_gateway_deadline_ns(v->gateway);
	if (v->dave && v->dave_at_ns < at_ns)
		at_ns = v->dave_at_ns;
	if (at_ns == INT64_MAX) {
		loop_timer_cancel(&v->timer);
		return;
	}
	int64_t ms = (at_ns - clock_mono_ns()) / NS_PER_MS + 1;
	loop_timer_set(v->config.loop, &v->timer, ms < TIMER_MIN_MS ? TIMER_MIN_MS : ms, on_timer, v);
}

/* A gateway with which no session can be encrypted must not be left and joined without end. */
static void dave_check(struct voice_link *v, int64_t now_ns)
{
	static const char why[] = "no way into the encrypted group";
	if (dave_session_state(v->dave) == DAVE_ENCRYPTED)
		v->dave_again_ns = v->dave_pause_ns = 0;
	if (!dave_session_is_stuck(v->dave) || now_ns < v->dave_again_ns ||
	    voice_gateway_state(v->gateway) != VOICE_READY)
		return;
	v->dave_pause_ns = v->dave_pause_ns ? 2 * v->dave_pause_ns : DAVE_PAUSE_NS;
	if (v->dave_pause_ns > DAVE_PAUSE_CAP_NS)
		v->dave_pause_ns = DAVE_PAUSE_CAP_NS;
	v->dave_again_ns = now_ns + v->dave_pause_ns;
	log_warn("%s, beginning a new voice session line=%d", why, v->config.line);
	voice_gateway_give_up(v->gateway, why); /* destroys v->dave */
}

static void on_timer(void *arg)
{
	struct voice_link *v = arg;
	int64_t now_ns = clock_mono_ns();
	voice_gateway_tick(v->gateway, now_ns);
	if (v->dave && now_ns >= v->dave_at_ns) {
		dave_session_tick(v->dave, now_ns);
		verifier_tick(v->verifier, v->dave);
		v->dave_at_ns = now_ns + DAVE_TICK_NS;
		dave_check(v, now_ns);
	}
	timer_update(v);
}

/* ---- the socket -------------------------------------------------------------------------- */

static void on_open(void *ctx)
{
	struct voice_link *v = ctx;
	voice_gateway_opened(v->gateway, v->socket_generation, clock_mono_ns());
	timer_update(v);
}

static void on_message(void *ctx, const uint8_t *data, size_t len, bool binary)
{
	struct voice_link *v = ctx;
	if (binary)
		voice_gateway_binary(v->gateway, v->socket_generation, data, len, clock_mono_ns());
	else
		voice_gateway_text(v->gateway, v->socket_generation, (const char *)data, len,
				   clock_mono_ns());
	timer_update(v);
}

static void on_close(void *ctx, const struct ws_close *close)
{
	struct voice_link *v = ctx;
	v->socket = NULL;
	log_info("voice gateway closed line=%d code=%d reason=%s error=%s", v->config.line,
		 close->code, log_quote(close->reason), log_quote(close->error));
	voice_gateway_closed(v->gateway, v->socket_generation, close->opened, close->code,
			     clock_mono_ns());
	timer_update(v);
}

static const struct socket_ops socket_ops = {
	.on_open = on_open, .on_message = on_message, .on_close = on_close};

static void op_connect(void *ctx, unsigned generation, const char *url)
{
	struct voice_link *v = ctx;
	struct ws_client_config config = {
		.loop = v->config.loop,
		.resolver = v->config.resolver,
		.url = url,
		.ca_file = v->config.ca_file,
		.user_agent = REST_USER_AGENT,
		.max_message_bytes = VOICE_MESSAGE_BYTES_MAX,
		.max_queue_bytes = DAVE_QUEUE_BYTES,
		.ping_s = -1, /* the gateway's own heartbeats say it sooner */
	};
	socket_let_go(v->socket, 4000);
	v->socket_generation = generation;
	int err = socket_open(&v->socket, &config, &socket_ops, v);
	if (err < 0) {
		/* Out of memory, or a URL that is not allowed: the channel's 30 s take it from here. */
		log_warn("cannot open the voice gateway line=%d error=%s", v->config.line,
			 strerror(-err));
	}
}

static void op_close(void *ctx, int code)
{
	struct voice_link *v = ctx;
	socket_let_go(v->socket, code);
	v->socket = NULL;
}

static void op_send_text(void *ctx, const char *text, size_t bytes)
{
	struct voice_link *v = ctx;
	if (v->socket)
		socket_send(v->socket, text, bytes, false);
}

static void op_send_binary(void *ctx, const uint8_t *data, size_t bytes)
{
	struct voice_link *v = ctx;
	if (v->socket)
		socket_send(v->socket, data, bytes, true);
}

/* ---- media ------------------------------------------------------------------------------- */

static void op_udp_start(void *ctx, unsigned generation, const char *ip, uint16_t port,
			 uint32_t ssrc)
{
	struct voice_link *v = ctx;
	struct voice_udp *path;
	int err = voice_udp_create(&path, ip, port, ssrc, generation);
	if (err == 0)
		err = media_path(v->config.media, v->config.line, path);
	if (err < 0) {
		log_warn("cannot open UDP to the voice server line=%d address=%s:%u error=%s",
			 v->config.line, log_quote(ip), port, strerror(-err));
		return; /* the channel's time-out takes it from here */
	}
	v->path_generation = generation;
}

static int op_media_start(void *ctx, enum transport_mode mode,
			  const uint8_t key[TRANSPORT_KEY_BYTES], uint32_t ssrc)
{
	struct voice_link *v = ctx;
	struct transport_cipher *cipher;
	(void)ssrc;
	int err = transport_cipher_create(&cipher, mode, key);
	if (err < 0)
		return err;
	media_key(v->config.media, v->config.line, v->path_generation, cipher);
	log_info("voice media is up line=%d mode=%s", v->config.line, transport_mode_name(mode));
	return 0;
}

static void op_media_stop(void *ctx)
{
	struct voice_link *v = ctx;
	if (v->path_generation)
		media_path(v->config.media, v->config.line, NULL);
	v->path_generation = 0;
	dave_session_destroy(v->dave);
	v->dave = NULL;
}

static void op_speaker(void *ctx, uint64_t user_id, uint32_t ssrc)
{
	struct voice_link *v = ctx;
	log_debug("speaker line=%d user=%" PRIu64 " ssrc=%" PRIu32, v->config.line, user_id, ssrc);
	if (user_id != v->user_id)
		media_speaker(v->config.media, v->config.line, user_id, ssrc,
			      v->config.ops->is_ignored(v->config.ctx, user_id));
}

static void op_left(void *ctx, uint64_t user_id)
{
	struct voice_link *v = ctx;
	media_left(v->config.media, v->config.line, user_id);
}

/* ---- DAVE -------------------------------------------------------------------------------- */

static void dave_send_json(void *ctx, enum dave_op op, uint16_t transition_id)
{
	struct voice_link *v = ctx;
	voice_gateway_dave_json(v->gateway, op, transition_id);
}

static void dave_send_binary(void *ctx, const uint8_t *data, size_t bytes)
{
	struct voice_link *v = ctx;
	voice_gateway_dave_binary(v->gateway, data, bytes);
}

static void dave_log(void *ctx, enum dave_log_level level, const char *line)
{
	struct voice_link *v = ctx;
	static const enum log_level levels[] = {
		[DAVE_LOG_DEBUG] = LOG_LEVEL_DEBUG,
		[DAVE_LOG_INFO] = LOG_LEVEL_INFO,
		[DAVE_LOG_WARN] = LOG_LEVEL_WARN,
	};
	if (log_enabled(levels[level]))
		log_write(levels[level], "DAVE: %s line=%d", line, v->config.line);
}

static void dave_changed(void *ctx)
{
	struct voice_link *v = ctx;
	v->config.ops->on_change(v->config.ctx);
}

static const struct dave_session_ops dave_ops = {
	.send_json = dave_send_json,
	.send_binary = dave_send_binary,
	.log = dave_log,
	.changed = dave_changed,
};

static int dave_begin(struct voice_link *v)
{
	struct dave_session_config config = {
		.user_id = v->user_id,
		.channel_id = v->channel_id,
		.identity = v->config.identity,
		.media = v->config.dave_media,
		.ops = &dave_ops,
		.context = v,
	};
	dave_session_destroy(v->dave);
	v->dave = NULL;
	v->dave_at_ns = clock_mono_ns() + DAVE_TICK_NS;
	return dave_session_create(&v->dave, &config);
}

static void op_dave(void *ctx, const struct voice_dave *e)
{
	struct voice_link *v = ctx;
	int64_t now_ns = clock_mono_ns();
	if (!v->dave)
		return;
	switch (e->op) {
	case VOICE_OP_SESSION:
		dave_session_select(v->dave, e->version, now_ns);
		break;
	case VOICE_OP_CONNECTED:
		dave_session_users_connect(v->dave, e->users, e->user_count, now_ns);
		break;
	case VOICE_OP_DISCONNECTED:
		dave_session_user_disconnect(v->dave, e->users[0], now_ns);
		break;
	case DAVE_OP_PREPARE_TRANSITION:
		dave_session_prepare_transition(v->dave, e->version, e->transition_id, now_ns);
		break;
	case DAVE_OP_EXECUTE_TRANSITION:
		dave_session_execute_transition(v->dave, e->transition_id, now_ns);
		break;
	case DAVE_OP_PREPARE_EPOCH:
		dave_session_prepare_epoch(v->dave, e->version, e->epoch, now_ns);
		break;
	default:
		dave_session_binary(v->dave, e->op, e->payload, e->bytes, now_ns);
		break;
	}
}

/* ---- outcomes ---------------------------------------------------------------------------- */

static void op_ready(void *ctx)
{
	struct voice_link *v = ctx;
	v->config.ops->on_ready(v->config.ctx);
}

static void op_end(void *ctx, enum voice_outcome outcome, const char *why)
{
	struct voice_link *v = ctx;
	log_info("voice session ended line=%d why=%s", v->config.line, log_quote(why));
	v->config.ops->on_end(v->config.ctx, outcome, why);
}

static void op_note(void *ctx, const char *text)
{
	struct voice_link *v = ctx;
	static struct log_rate rate;
	log_rated(&rate, 1000, LOG_LEVEL_INFO, "%s line=%d", text, v->config.line);
}

static const struct voice_ops voice_ops = {
	.connect = op_connect,
	.close = op_close,
	.send_text = op_send_text,
	.send_binary = op_send_binary,
	.udp_start = op_udp_start,
	.media_start = op_media_start,
	.media_stop = op_media_stop,
	.on_speaker = op_speaker,
	.on_left = op_left,
	.on_dave = op_dave,
	.on_ready = op_ready,
	.on_end = op_end,
	.on_note = op_note,
};

int voice_link_create(struct voice_link **out, const struct voice_link_config *config)
{
	struct voice_link *v = calloc(1, sizeof(*v));
	*out = NULL;
	if (!v)
		return -ENOMEM;
	v->config = *config;
	int err = verifier_create(&v->verifier);
	if (err == 0)
		err = voice_gateway_create(&v->gateway, &voice_ops, v, DAVE_VERSION_MAX);
	if (err < 0) {
		verifier_destroy(v->verifier);
		free(v);
		return err;
	}
	*out = v;
	return 0;
}

void voice_link_destroy(struct voice_link *v)
{
	if (!v)
		return;
	loop_timer_cancel(&v->timer);
	voice_gateway_stop(v->gateway);
	socket_let_go(v->socket, 1000);
	verifier_destroy(v->verifier);
	dave_session_destroy(v->dave);
	voice_gateway_destroy(v->gateway);
	free(v);
}

int voice_link_start(struct voice_link *v, const struct voice_session *session,
		     uint64_t channel_id, const uint64_t *users, size_t user_count)
{
	int64_t now_ns = clock_mono_ns();
	voice_gateway_stop(v->gateway); /* frees DAVE's old session */
	v->user_id = session->user_id;
	v->channel_id = channel_id;
	int err = dave_begin(v);
	if (err == 0 && user_count > 0)
		dave_session_users_connect(v->dave, users, user_count, now_ns);
	if (err == 0)
		err = voice_gateway_start(v->gateway, session, now_ns);
	log_info("connecting to the voice server line=%d endpoint=%s", v->config.line,
		 log_quote(session->endpoint));
	timer_update(v);
	return err;
}

void voice_link_stop(struct voice_link *v)
{
	voice_gateway_stop(v->gateway);
	timer_update(v);
}

void voice_link_user(struct voice_link *v, uint64_t user_id, bool present)
{
	/* Leaving is DAVE's to hear from the voice gateway, which is in step with its proposals. */
	if (v->dave && present)
		dave_session_users_connect(v->dave, &user_id, 1, clock_mono_ns());
	if (!present)
		media_left(v->config.media, v->config.line, user_id);
}

void voice_link_discovered(struct voice_link *v, unsigned generation, const char *address,
			   uint16_t port)
{
	voice_gateway_discovered(v->gateway, generation, address, port, clock_mono_ns());
	timer_update(v);
}

void voice_link_dead(struct voice_link *v, unsigned generation, enum voice_dead why)
{
	if (generation != v->path_generation)
		return;
	log_warn("voice media is dead line=%d why=\"%s\"", v->config.line, voice_dead_text(why));
	voice_gateway_media_dead(v->gateway, voice_dead_text(why), why == VOICE_DEAD_REFUSED,
				 clock_mono_ns());
	timer_update(v);
}

void voice_link_write_json(const struct voice_link *v, struct json_writer *w)
{
	int64_t rtt_ns = voice_gateway_rtt_ns(v->gateway);
	const char *code;
	uint64_t user_id;
	json_w_str(w, "voice", voice_state_name(voice_gateway_state(v->gateway)));
	if (rtt_ns >= 0)
		json_w_num(w, "voice_rtt_ms", (double)rtt_ns / (double)NS_PER_MS);
	if (!v->dave)
		return;
	json_w_str(w, "encryption", dave_state_name(dave_session_state(v->dave)));
	json_w_int(w, "epoch", (int64_t)dave_session_epoch(v->dave));
	json_w_str(w, "privacy_code", dave_session_privacy_code(v->dave));
	json_w_arr(w, "verification_codes");
	for (size_t i = 0; (code = dave_session_code(v->dave, i, &user_id)); i++) {
		json_w_obj(w, NULL);
		json_w_id(w, "user_id", user_id);
		json_w_str(w, "code", code);
		json_w_end(w);
	}
	json_w_end(w);
}
