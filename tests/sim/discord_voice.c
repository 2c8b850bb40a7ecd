/* SPDX-License-Identifier: MIT
 *
 * discord_voice.c - the voice gateway, version 8: identify, ready, select protocol, session
 * description, speaking, heartbeats, numbered messages and their replay, close codes.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"
#include "tests/sim/malformed.h"

/* A socket before it has identified, and its session afterwards. */
struct voice_link {
	struct voice_server *server;
	struct sim_ws *ws;
	struct voice_session *session;
	struct sim_timer timer;
};

static const struct sim_dave_service *dave;

void sim_dave_set_service(const struct sim_dave_service *service)
{
	dave = service;
}

uint64_t sim_dave_user(const struct voice_session *c)
{
	return c->user->id;
}

struct voice_session *voice_find(const struct user *u, const struct guild *g)
{
	for (struct voice_session *v = D.voices; v; v = v->next)
		if (v->user == u && (!g || v->guild == g))
			return v;
	return NULL;
}

/* ---- sending; numbered messages are kept until they are acknowledged ---- */

static void transmit(struct voice_session *v, bool binary, const uint8_t *data, size_t len)
{
	if (v->ws && v->hold_until_ns <= sim_now_ns())
		sim_ws_send(v->ws, binary, data, len);
}

static void keep(struct voice_session *v, bool binary, const void *data, size_t len)
{
	struct numbered *n = calloc(1, sizeof(*n));

	if (!n || !(n->data = malloc(len)))
		abort();
	memcpy(n->data, data, len);
	n->len = len;
	n->binary = binary;
	n->seq = v->seq;
	*v->buffer_tail = n;
	v->buffer_tail = &n->next;
}

static void acknowledged(struct voice_session *v, int64_t seq)
{
	while (v->buffer && v->buffer->seq <= seq) {
		struct numbered *n = v->buffer;

		v->buffer = n->next;
		if (!v->buffer)
			v->buffer_tail = &v->buffer;
		free(n->data);
		free(n);
	}
}

static void send_json(struct sim_ws *ws, int op, cJSON *d)
{
	cJSON *o = sim_obj("io", "op", (int64_t)op, "d", d);
	char *text = cJSON_PrintUnformatted(o);

	sim_ws_send_text(ws, text);
	cJSON_free(text);
	cJSON_Delete(o);
}

void voice_send(struct voice_session *v, int op, cJSON *d, bool numbered)
{
	cJSON *o = sim_obj("io", "op", (int64_t)op, "d", d);
	char *text;

	if (numbered)
		cJSON_AddNumberToObject(o, "seq", (double)++v->seq);
	text = cJSON_PrintUnformatted(o);
	if (numbered)
		keep(v, false, text, strlen(text));
	transmit(v, false, (uint8_t *)text, strlen(text));
	cJSON_free(text);
	cJSON_Delete(o);
}

void sim_dave_send_json(struct voice_session *c, int op, cJSON *d)
{
	voice_send(c, op, d, true);
}

void sim_dave_send_binary(struct voice_session *c, int op, const uint8_t *payload, size_t len)
{
	uint8_t *m = malloc(len + 3);

	if (!m)
		abort();
	c->seq++;
	m[0] = (uint8_t)(c->seq >> 8);
	m[1] = (uint8_t)c->seq;
	m[2] = (uint8_t)op;
	memcpy(m + 3, payload, len);
	keep(c, true, m, len + 3);
	transmit(c, true, m, len + 3);
	free(m);
}

void voice_room_send(struct channel *c, const struct party *except, int op, cJSON *d)
{
	for (struct party *p = c->parties; p; p = p->next) {
		/* op 5 also before the session description: nobody would tell it afterwards */
		if (p != except && p->voice &&
		    (op == 5 ? p->voice->identified : p->voice->described))
			voice_send(p->voice, op, cJSON_Duplicate(d, 1), true);
	}
	cJSON_Delete(d);
}

/* ---- a session's life ---- */

struct voice_session *voice_promise(struct user *u, struct guild *g, struct channel *c,
				    const char *session_id)
{
	struct voice_session *v = voice_find(u, g);

	if (v)
		voice_session_end(v, 4014);
	v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->user = u;
	v->guild = g;
	v->channel = c;
	v->server = g->server;
	v->seq = -1;
	v->udp_fd = -1;
	v->buffer_tail = &v->buffer;
	snprintf(v->session_id, sizeof(v->session_id), "%s", session_id);
	random_hex(v->token, 16);
	v->next = D.voices;
	D.voices = v;
	return v;
}

static void session_free(void *object)
{
	struct voice_session *v = object;

	acknowledged(v, INT64_MAX);
	free(v);
}

void voice_session_end(struct voice_session *v, int code)
{
	struct voice_session **p = &D.voices;

	while (*p != v)
		p = &(*p)->next;
	*p = v->next;
	if (v->party) {
		struct channel *c = v->channel;
		bool described = v->described;

		voice_room_send(c, v->party, 13, sim_obj("o", "user_id", id_json(v->user->id)));
		if (described && c->dave_room)
			dave->leave(c->dave_room, v);
		party_remove(v->party);
	}
	sfu_close(v);
	sim_timer_cancel(D.loop, &v->linger);
	sim_timer_cancel(D.loop, &v->heartbeat);
	if (v->ws) {
		sim_event("voice.closed", sim_obj("osi", "user", id_json(v->user->id), "by", "us", "code",
						  (int64_t)code));
		if (code)
			sim_ws_close(v->ws, code, NULL);
		else
			sim_ws_abort(v->ws);
		sim_loop_defer(D.loop, free, v->link);
	}
	sim_loop_defer(D.loop, session_free, v);
}

static void lingered(void *ctx, int64_t now_ns)
{
	voice_session_end(ctx, 0);
}

static void detach(struct voice_session *v)
{
	v->ws = NULL;
	sim_loop_defer(D.loop, free, v->link);
	v->link = NULL;
	sim_timer_cancel(D.loop, &v->heartbeat);
	/* a session without a socket can be resumed for a while */
	sim_timer_set(D.loop, &v->linger, sim_now_ns() + 60 * SIM_S, lingered, v);
}

static void heartbeat_missed(void *ctx, int64_t now_ns)
{
	struct voice_session *v = ctx;

	complain("no voice heartbeat within one and a half intervals");
	voice_session_end(v, 4009);
}

static void heartbeat_expect(struct voice_session *v)
{
	sim_timer_set(D.loop, &v->heartbeat, sim_now_ns() + D.voice_heartbeat_ms * SIM_MS * 3 / 2,
		      heartbeat_missed, v);
}

/* ---- what clients send ---- */

static void link_close(struct voice_link *l, int code)
{
	struct sim_ws *ws = l->ws;

	sim_event("voice.closed", sim_obj("osi", "user",
					  l->session ? id_json(l->session->user->id) : NULL, "by", "us",
					  "code", (int64_t)code));
	sim_timer_cancel(D.loop, &l->timer);
	if (l->session) {
		struct voice_session *v = l->session;

		/* 4015 and the like leave the session to be resumed, others end it */
		detach(v);
		if (code >= 4000 && code != 4015 && code != 4013)
			voice_session_end(v, 0);
	} else {
		sim_loop_defer(D.loop, free, l);
	}
	sim_ws_close(ws, code, NULL);
}

static cJSON *modes_of(const struct channel *c)
{
	cJSON *modes = cJSON_CreateArray();

	if (!c->no_xchacha && c->xchacha_first)
		cJSON_AddItemToArray(modes, cJSON_CreateString("aead_xchacha20_poly1305_rtpsize"));
	if (!c->no_gcm)
		cJSON_AddItemToArray(modes, cJSON_CreateString("aead_aes256_gcm_rtpsize"));
	if (!c->no_xchacha && !c->xchacha_first)
		cJSON_AddItemToArray(modes, cJSON_CreateString("aead_xchacha20_poly1305_rtpsize"));
	return modes;
}

static void identify(struct voice_link *l, const cJSON *d)
{
	uint64_t guild = id_of(d, "server_id"), user = id_of(d, "user_id");
	const char *session_id = sim_str(d, "session_id", ""), *token = sim_str(d, "token", "");
	struct voice_session *v = voice_find(user_find(user), guild_find(guild));
	int max_dave = (int)sim_num(d, "max_dave_protocol_version", 0);

	sim_event("voice.identify", sim_obj("oib", "user", id_json(user), "max_dave", (int64_t)max_dave,
					    "known", v != NULL));
	if (D.voice_next.count > 0 && !strcmp(D.voice_next.when, "identify")) {
		D.voice_next.count--;
		link_close(l, D.voice_next.code);
		return;
	}
	if (l->session) {
		link_close(l, 4005);
		return;
	}
	/* stale session, wrong server (port stripped or old), or identified already: 4006 */
	if (!v || strcmp(v->session_id, session_id) || v->server != l->server || v->identified) {
		link_close(l, 4006);
		return;
	}
	if (strcmp(v->token, token)) {
		link_close(l, 4004);
		return;
	}
	if (v->channel->require_dave && max_dave < 1) {
		link_close(l, 4017);
		return;
	}
	v->identified = true;
	v->max_dave = max_dave;
	v->ws = l->ws;
	v->link = l;
	l->session = v;
	sim_timer_cancel(D.loop, &l->timer);
	heartbeat_expect(v);
	v->party = party_add(v->channel, v->user, v);
	if (sfu_open(v)) {
		complain("cannot open a UDP socket");
		return;
	}
	voice_send(v, 2,
		   sim_obj("isiooo", "ssrc", (int64_t)v->party->ssrc, "ip", "127.0.0.1", "port",
			   (int64_t)v->udp_port, "modes", modes_of(v->channel), "experiments",
			   cJSON_CreateArray(), "streams", cJSON_CreateArray()),
		   true);
	/* who has talked before is announced at once, before the session description */
	for (struct party *p = v->channel->parties; p; p = p->next)
		if (p != v->party && p->announced)
			voice_send(v, 5,
				   sim_obj("oii", "user_id", id_json(p->user->id), "ssrc",
					   (int64_t)p->ssrc, "speaking", (int64_t)1),
				   true);
}

static void resume(struct voice_link *l, const cJSON *d)
{
	struct voice_session *v;
	int64_t ack = (int64_t)sim_num(d, "seq_ack", -1);
	bool fine;

	/* op 7 has no user id: the session id finds it */
	for (v = D.voices; v; v = v->next)
		if (!strcmp(v->session_id, sim_str(d, "session_id", "")) &&
		    v->guild->id == id_of(d, "server_id"))
			break;
	fine = v && !strcmp(v->token, sim_str(d, "token", "")) && v->server == l->server &&
	       v->identified;
	sim_event("voice.resume", sim_obj("bi", "accepted", (int)fine, "seq_ack", ack));
	if (D.voice_next.count > 0 && !strcmp(D.voice_next.when, "resume")) {
		D.voice_next.count--;
		link_close(l, D.voice_next.code);
		return;
	}
	if (!fine || l->session) {
		link_close(l, fine ? 4005 : 4006);
		return;
	}
	if (ack > v->seq || (v->buffer && ack < v->buffer->seq - 1))
		complain("voice resume with seq_ack %lld, sent were up to %lld", (long long)ack,
			 (long long)v->seq);
	if (v->ws) { /* the old socket has not been noticed to be dead */
		struct sim_ws *old = v->ws;

		detach(v);
		sim_ws_abort(old);
	}
	sim_timer_cancel(D.loop, &v->linger);
	sim_timer_cancel(D.loop, &l->timer);
	v->ws = l->ws;
	v->link = l;
	l->session = v;
	v->spoke_op5 = false;
	heartbeat_expect(v);
	acknowledged(v, ack);
	for (struct numbered *n = v->buffer; n; n = n->next)
		transmit(v, n->binary, n->data, n->len);
	voice_send(v, 9, cJSON_CreateNull(), false);
}

static void described(struct voice_session *v, const char *mode)
{
	int key[32], dave_version = 0;
	cJSON *others = cJSON_CreateArray();
	char media_session[33];
	struct channel *c = v->channel;
	bool first = !v->described;

	sfu_key(v, mode);
	for (int i = 0; i < 32; i++)
		key[i] = v->key[i];
	if (first) {
		for (struct party *p = c->parties; p; p = p->next)
			if (p != v->party && (!p->voice || p->voice->described))
				cJSON_AddItemToArray(others, id_json(p->user->id));
		if (cJSON_GetArraySize(others))
			voice_send(v, 11, sim_obj("o", "user_ids", cJSON_Duplicate(others, 1)), true);
		for (const cJSON *o = others->child; o; o = o->next) {
			voice_send(v, 18, sim_obj("si", "user_id", o->valuestring, "flags", (int64_t)1),
				   true);
			voice_send(v, 20, sim_obj("ss", "user_id", o->valuestring, "platform", NULL), true);
		}
		if (c->dave && dave && !c->dave_room)
			c->dave_room = dave->room_open(D.loop, c->id);
		if (c->dave_room)
			dave_version = dave->join(c->dave_room, v, v->max_dave);
	}
	cJSON_Delete(others);
	random_hex(media_session, 32);
	v->described = true;
	voice_send(v, 4,
		   sim_obj("soisss", "mode", v->mode, "secret_key", cJSON_CreateIntArray(key, 32),
			   "dave_protocol_version", (int64_t)dave_version, "audio_codec", "opus",
			   "video_codec", NULL, "media_session_id", media_session),
		   true);
	sim_event("voice.ready", sim_obj("oosi", "user", id_json(v->user->id), "channel",
					 id_json(c->id), "mode", v->mode, "ssrc", (int64_t)v->party->ssrc));
	if (!first)
		return;
	{
		cJSON *newcomer = cJSON_CreateArray();

		cJSON_AddItemToArray(newcomer, id_json(v->user->id));
		voice_room_send(c, v->party, 11, sim_obj("o", "user_ids", newcomer));
	}
	if (c->dave_room)
		dave->joined(c->dave_room, v);
}

static void select_protocol(struct voice_link *l, const cJSON *d)
{
	struct voice_session *v = l->session;
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(d, "data");
	const char *mode = sim_str(data, "mode", "");
	struct channel *c = v->channel;

	if (strcmp(sim_str(d, "protocol", ""), "udp")) {
		link_close(l, 4012);
		return;
	}
	if (!rtp_mode_known(mode) || (c->no_gcm && strstr(mode, "gcm")) ||
	    (c->no_xchacha && strstr(mode, "xchacha"))) {
		link_close(l, 4016);
		return;
	}
	if (!v->peer.known)
		complain("select protocol without IP discovery");
	else if (strcmp(sim_str(data, "address", ""), "127.0.0.1") ||
		 (int)sim_num(data, "port", 0) != v->peer.port)
		complain("select protocol with an address that was not discovered");
	described(v, mode);
}

static void speaking(struct voice_session *v, const cJSON *d)
{
	int flags = (int)sim_num(d, "speaking", -1);

	if ((int64_t)sim_num(d, "ssrc", -1) != (int64_t)v->party->ssrc)
		complain("op 5 with another SSRC than one's own");
	if (flags < 0)
		complain("op 5 without flags");
	sim_event("voice.speaking",
		  sim_obj("oi", "user", id_json(v->user->id), "speaking", (int64_t)flags));
	v->spoke_op5 = true;
	if (flags > 0)
		party_announce(v->party, flags);
}

static void json_message(struct voice_link *l, int op, cJSON *d)
{
	struct voice_session *v = l->session;

	if (op == 0) {
		identify(l, d);
	} else if (op == 7) {
		resume(l, d);
	} else if (!v) {
		complain("voice op %d before identify", op);
		link_close(l, 4003);
	} else if (op == 3) {
		const cJSON *ack = cJSON_GetObjectItemCaseSensitive(d, "seq_ack");

		if (!cJSON_IsObject(d) || !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(d, "t"))) {
			complain("voice heartbeat that is not {t, seq_ack}");
			return;
		}
		if (cJSON_IsNumber(ack)) {
			if ((int64_t)ack->valuedouble > v->seq)
				complain("voice heartbeat acknowledges a number never sent");
			acknowledged(v, (int64_t)ack->valuedouble);
		} else if (v->seq >= 0) {
			complain("voice heartbeat without seq_ack");
		}
		heartbeat_expect(v);
		if (!v->mute_acks)
			voice_send(v, 6, sim_obj("d", "t", sim_num(d, "t", 0)), false);
	} else if (op == 1) {
		select_protocol(l, d);
	} else if (op == 5) {
		speaking(v, d);
	} else if (op >= 21 && op <= 31) {
		if (v->channel->dave_room)
			dave->json(v->channel->dave_room, v, op, d);
		else
			complain("voice op %d in a room without DAVE", op);
	} else if (op == 16) {
		voice_send(v, 16, sim_obj("ss", "voice", "0.0.0", "rtc_worker", "0.0.0"), false);
	} else if (op != 12 && op != 14 && op != 15 && op != 32) {
		complain("unknown voice op %d", op);
		link_close(l, 4001);
	}
}

static void ws_message(void *ctx, bool binary, const uint8_t *data, size_t len)
{
	struct voice_link *l = ctx;
	cJSON *o;
	int op;

	if (binary) {
		struct voice_session *v = l->session;

		if (!v || !len) {
			complain("binary voice message before identify, or empty");
			link_close(l, v ? 4002 : 4003);
		} else if (v->channel->dave_room) {
			dave->binary(v->channel->dave_room, v, data[0], data + 1, len - 1);
		} else {
			complain("binary voice message in a room without DAVE");
		}
		return;
	}
	o = cJSON_ParseWithLength((const char *)data, len);
	op = (int)sim_num(o, "op", -1);
	if (op < 0) {
		complain("voice message is not JSON with an op: %.60s", (const char *)data);
		link_close(l, 4002);
	} else {
		json_message(l, op, cJSON_GetObjectItemCaseSensitive(o, "d"));
	}
	cJSON_Delete(o);
}

static void ws_closed(void *ctx, int code, const char *why)
{
	struct voice_link *l = ctx;
	struct voice_session *v = l->session;

	sim_timer_cancel(D.loop, &l->timer);
	if (!v) {
		sim_loop_defer(D.loop, free, l);
		return;
	}
	sim_event("voice.closed", sim_obj("osi", "user", id_json(v->user->id), "by", "peer", "code",
					  (int64_t)code));
	detach(v);
	if (code == 1000 || code == 1001)
		voice_session_end(v, 0);
}

static const struct sim_ws_ops ws_ops = { .message = ws_message, .closed = ws_closed };

static void never_identified(void *ctx, int64_t now_ns)
{
	link_close(ctx, 4009);
}

static void request(void *ctx, struct sim_http *h, const struct sim_http_message *r)
{
	struct voice_link *l = calloc(1, sizeof(*l));
	const char *query = strchr(r->target, '?');

	if (!l)
		abort();
	l->server = ctx;
	l->ws = sim_http_accept_ws(h, r, &ws_ops, l);
	if (!l->ws) {
		free(l);
		return;
	}
	if (!query || strncmp(query, "?v=8", 4)) {
		complain("voice gateway URL without v=8: %.80s", r->target);
		link_close(l, 4012);
		return;
	}
	sim_timer_set(D.loop, &l->timer, sim_now_ns() + 15 * SIM_S, never_identified, l);
	send_json(l->ws, 8,
		  sim_obj("ii", "v", (int64_t)8, "heartbeat_interval", (int64_t)D.voice_heartbeat_ms));
}

static const struct sim_http_ops http_ops = { .request = request };

static void accepted(void *ctx, struct sim_conn *c)
{
	sim_http_serve(c, &http_ops, ctx);
}

struct voice_server *voice_server_add(void)
{
	struct voice_server *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	if (sim_listen(&s->listener, D.loop, &s->port, D.tls, accepted, s)) {
		free(s);
		return NULL;
	}
	s->next = D.servers;
	D.servers = s;
	return s;
}

int voice_start(void)
{
	return voice_server_add() ? 0 : -1;
}

/* ---- commands ---- */

static void send_malformed(struct sim_ws *ws, int count, uint64_t seed)
{
	static const char *const samples[] = {
		"{\"op\":5,\"seq\":3,\"d\":{\"user_id\":\"5\",\"ssrc\":7,\"speaking\":1}}",
		"{\"op\":11,\"seq\":4,\"d\":{\"user_ids\":[\"5\",\"6\"]}}",
		"{\"op\":13,\"seq\":5,\"d\":{\"user_id\":\"6\"}}",
		"{\"op\":12,\"seq\":5,\"d\":{\"user_id\":\"6\",\"audio_ssrc\":9,\"video_ssrc\":0}}",
		"{\"op\":6,\"d\":{\"t\":1}}",
		"{\"op\":18,\"seq\":5,\"d\":{\"user_id\":\"6\",\"flags\":1}}",
		NULL
	};

	for (int i = 0; i < count; i++) {
		size_t len;
		bool binary;
		uint8_t *m = sim_malformed(samples, seed, i, &len, &binary);

		sim_ws_send(ws, binary, m, len);
		free(m);
	}
}

const char *voice_command(void *ctx, const cJSON *o, cJSON *answer)
{
	const char *cmd = sim_str(o, "cmd", ""), *what = sim_str(o, "do", "");
	uint64_t id = id_of(o, "user");
	struct voice_session *v;

	if (!strcmp(cmd, "voice_next")) {
		D.voice_next.code = (int)sim_num(o, "close", 4006);
		D.voice_next.count = (int)sim_num(o, "count", 1);
		snprintf(D.voice_next.when, sizeof(D.voice_next.when), "%s",
			 sim_str(o, "when", "identify"));
		return NULL;
	}
	if (!strcmp(cmd, "dave")) {
		struct channel *c = channel_find(id_of(o, "channel"));

		return c && c->dave_room ? dave->command(c->dave_room, o, answer) :
					   "no such channel, or nobody in it speaks DAVE";
	}
	for (v = D.voices; v; v = v->next)
		if (!id || v->user->id == id)
			break;
	if (!v || !v->ws)
		return "no bot has a voice connection";
	if (!strcmp(cmd, "send_voice")) {
		const char *text = sim_str(o, "text", NULL), *hex = sim_str(o, "hex", NULL);
		uint8_t buf[65536];
		long n = hex ? sim_unhex(hex, buf, sizeof(buf)) : -1;

		if (text)
			sim_ws_send(v->ws, sim_flag(o, "binary", false), text, strlen(text));
		else if (n >= 0)
			sim_ws_send(v->ws, sim_flag(o, "binary", true), buf, (size_t)n);
		else
			return "neither text nor hex";
	} else if (!strcmp(cmd, "malformed")) {
		send_malformed(v->ws, (int)sim_num(o, "count", 100), (uint64_t)sim_num(o, "seed", 1));
	} else if (!strcmp(what, "close")) {
		int code = (int)sim_num(o, "code", 4015);
		struct sim_ws *ws = v->ws;

		sim_event("voice.closed", sim_obj("osi", "user", id_json(v->user->id), "by", "us", "code",
						  (int64_t)code));
		detach(v);
		if (code >= 4000 && code != 4015 && code != 4013)
			voice_session_end(v, 0);
		sim_ws_close(ws, code, NULL);
	} else if (!strcmp(what, "drop")) {
		struct sim_ws *ws = v->ws;

		detach(v);
		sim_ws_abort(ws);
	} else if (!strcmp(what, "op3")) {
		send_json(v->ws, 3, cJSON_CreateNull());
	} else if (!strcmp(what, "mute_acks")) {
		v->mute_acks = sim_flag(o, "on", true);
	} else if (!strcmp(what, "hold")) {
		/* numbered messages are not lost: they come with the next resume */
		v->hold_until_ns = sim_now_ns() + (int64_t)(sim_num(o, "ms", 1000) * 1e6);
	} else {
		return "no such thing to do";
	}
	return NULL;
}

cJSON *voice_session_json(const struct voice_session *v)
{
	return sim_obj("ooobbsi", "user", id_json(v->user->id), "guild", id_json(v->guild->id),
		       "channel", id_json(v->channel->id), "connected", v->ws != NULL, "described",
		       (int)v->described, "mode", v->mode, "ssrc",
		       (int64_t)(v->party ? v->party->ssrc : 0));
}
