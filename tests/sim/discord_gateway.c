/* SPDX-License-Identifier: MIT
 *
 * discord_gateway.c - the main gateway, version 10: sessions that outlive their sockets, intents,
 * rate limits, and what a bot may say (op 1, 2, 3, 4, 6, 8).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"
#include "tests/sim/malformed.h"

#define KEEP 512 /* dispatches kept for a resume */

struct link; /* one socket */

struct gateway_session {
	struct gateway_session *next;
	struct user *bot;
	char id[40];
	int64_t intents, seq;
	char *kept[KEEP]; /* by seq % KEEP */
	struct link *link;
	struct sim_timer linger;
};

struct link {
	struct link *next;
	struct sim_ws *ws;
	struct gateway_session *session;
	bool resume_port, mute_acks, gone;
	struct sim_timer heartbeat;
	int64_t hold_until_ns;
	struct sim_timer hold_timer;
	char **held;
	int held_count;
	int64_t recent[120]; /* times of the last payloads, for the limit */
	int recent_next;
};

static struct link *links;

struct user *session_user(const struct gateway_session *s)
{
	return s->bot;
}

struct gateway_session *session_of(const struct user *u)
{
	struct gateway_session *s;

	for (s = D.sessions; s; s = s->next)
		if (s->bot == u)
			return s;
	return NULL;
}

/* ---- sending ---- */

static void release_held(void *ctx, int64_t now_ns)
{
	struct link *l = ctx;

	for (int i = 0; i < l->held_count; i++) {
		sim_ws_send_text(l->ws, l->held[i]);
		cJSON_free(l->held[i]);
	}
	l->held_count = 0;
}

static void link_text(struct link *l, char *text)
{
	if (l->hold_until_ns > sim_now_ns()) {
		l->held = realloc(l->held, (size_t)(l->held_count + 1) * sizeof(*l->held));
		if (!l->held)
			abort();
		l->held[l->held_count++] = text;
		return;
	}
	sim_ws_send_text(l->ws, text);
	cJSON_free(text);
}

/* Takes d. */
static char *envelope(int op, cJSON *d, int64_t s, const char *t)
{
	cJSON *o = sim_obj("sio", "t", t, "op", (int64_t)op, "d", d);
	char *text;

	if (s >= 0)
		cJSON_AddNumberToObject(o, "s", (double)s);
	else
		cJSON_AddNullToObject(o, "s");
	text = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	return text;
}

static void link_send(struct link *l, int op, cJSON *d)
{
	link_text(l, envelope(op, d, -1, NULL));
}

void dispatch_to(struct gateway_session *s, const char *type, cJSON *d)
{
	char *text = envelope(0, d, ++s->seq, type);

	cJSON_free(s->kept[s->seq % KEEP]);
	s->kept[s->seq % KEEP] = text;
	if (s->link) {
		char *copy = cJSON_malloc(strlen(text) + 1);

		link_text(s->link, strcpy(copy, text));
	}
}

void dispatch(const struct guild *g, int intents, const char *type, cJSON *d)
{
	for (struct gateway_session *s = D.sessions; s; s = s->next)
		if (!intents || s->intents & intents)
			dispatch_to(s, type, cJSON_Duplicate(d, 1));
	cJSON_Delete(d);
}

void message_dispatch(struct channel *c, const cJSON *message, const struct user *author)
{
	for (struct gateway_session *s = D.sessions; s; s = s->next) {
		cJSON *d, *mentions;
		char mention[40];
		const char *content = sim_str(message, "content", "");
		bool mentioned;

		if (!(s->intents & INTENT_MESSAGES))
			continue;
		d = cJSON_Duplicate(message, 1);
		cJSON_AddItemToObject(d, "guild_id", id_json(c->guild->id));
		cJSON_AddItemToObject(d, "member", member_json(author));
		id_text(s->bot->id, mention);
		mentioned = strstr(content, mention) && strstr(content, "<@");
		mentions = cJSON_GetObjectItemCaseSensitive(d, "mentions");
		if (mentioned)
			cJSON_AddItemToArray(mentions, user_json(s->bot));
		/* without the privileged intent only own messages and mentions have their content */
		if (!(s->intents & INTENT_MESSAGE_CONTENT) && author != s->bot && !mentioned)
			cJSON_ReplaceItemInObjectCaseSensitive(d, "content", cJSON_CreateString(""));
		dispatch_to(s, "MESSAGE_CREATE", d);
	}
}

void voice_server_tell(struct gateway_session *s, struct guild *g, const char *token,
		       const struct voice_server *v)
{
	char endpoint[40];

	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%d", v ? v->port : 0);
	dispatch_to(s, "VOICE_SERVER_UPDATE",
		    sim_obj("sos", "token", token, "guild_id", id_json(g->id), "endpoint",
			    v ? endpoint : NULL));
}

/* ---- the ends of sockets and sessions ---- */

static void session_end(struct gateway_session *s)
{
	struct gateway_session **p = &D.sessions;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next; /* it hears nothing of what follows */
	sim_timer_cancel(D.loop, &s->linger);
	for (struct voice_state *v = s->bot->states; v; v = v->next)
		if (v->by == s && v->channel) {
			struct voice_session *voice = voice_find(s->bot, v->guild);

			if (voice)
				voice_session_end(voice, 4006);
			voice_state_change(s->bot, v->guild, NULL);
		}
	for (int i = 0; i < KEEP; i++)
		cJSON_free(s->kept[i]);
	free(s);
}

static void session_expired(void *ctx, int64_t now_ns)
{
	session_end(ctx);
}

static void link_free(void *object)
{
	struct link *l = object;

	for (int i = 0; i < l->held_count; i++)
		cJSON_free(l->held[i]);
	free(l->held);
	free(l);
}

/* The socket is over. A session that was not ended by the bot stays resumable for a while. */
static void link_over(struct link *l, int code, const char *by)
{
	struct gateway_session *s = l->session;
	struct link **p = &links;

	if (l->gone)
		return;
	l->gone = true;
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	sim_timer_cancel(D.loop, &l->heartbeat);
	sim_timer_cancel(D.loop, &l->hold_timer);
	sim_event("gateway.closed", sim_obj("sio", "by", by, "code", (int64_t)code, "user",
					    s ? id_json(s->bot->id) : cJSON_CreateNull()));
	if (s) {
		s->link = NULL;
		if (!strcmp(by, "peer") && (code == 1000 || code == 1001))
			session_end(s);
		else
			sim_timer_set(D.loop, &s->linger, sim_now_ns() + 120 * SIM_S, session_expired, s);
	}
	sim_loop_defer(D.loop, link_free, l);
}

static void link_close(struct link *l, int code)
{
	struct sim_ws *ws = l->ws;
	/* these codes end the session as well */
	bool ends = code == 4003 || code == 4004 || code == 4007 || code == 4009 || code >= 4010;
	struct gateway_session *s = l->session;

	link_over(l, code, "us");
	sim_ws_close(ws, code, NULL);
	if (s && ends)
		session_end(s);
}

static void heartbeat_missed(void *ctx, int64_t now_ns)
{
	struct link *l = ctx;

	complain("no gateway heartbeat within one and a half intervals");
	link_close(l, 4009);
}

static void heartbeat_expect(struct link *l)
{
	sim_timer_set(D.loop, &l->heartbeat, sim_now_ns() + D.gateway_heartbeat_ms * SIM_MS * 3 / 2,
		      heartbeat_missed, l);
}

/* ---- what bots send ---- */

static bool fault(const char *when, struct link *l)
{
	if (D.gateway_next.count <= 0 || strcmp(D.gateway_next.when, when))
		return false;
	D.gateway_next.count--;
	link_close(l, D.gateway_next.code);
	return true;
}

static void identify(struct link *l, const cJSON *d)
{
	struct user *u = user_by_token(sim_str(d, "token", ""));
	const cJSON *props = cJSON_GetObjectItemCaseSensitive(d, "properties");
	int64_t intents = (int64_t)sim_num(d, "intents", -1);
	struct gateway_session *s, *next;
	cJSON *guilds = cJSON_CreateArray();
	char url[64];

	if (l->session) {
		link_close(l, 4005);
		return;
	}
	if (fault("identify", l))
		return;
	sim_event("gateway.identify",
		  sim_obj("ib", "intents", intents, "token_ok", u != NULL));
	if (!u) {
		link_close(l, 4004);
		return;
	}
	if (intents < 0 || intents >= 1 << 27 || !sim_str(props, "os", NULL) ||
	    !sim_str(props, "browser", NULL) || !sim_str(props, "device", NULL)) {
		complain("identify without intents or properties");
		link_close(l, intents < 0 || intents >= 1 << 27 ? 4013 : 4002);
		return;
	}
	if (intents & INTENT_MESSAGE_CONTENT && !D.message_content) {
		link_close(l, 4014);
		return;
	}
	/* what counts is that it knew: who asked a moment before could not */
	if (user_identifies_left(u, NULL) <= 0 && u->told_empty)
		complain("identify although it was told that none is left");
	u->identifies_left--;
	/* a new session replaces the bot's old one, and takes its voice away */
	for (s = D.sessions; s; s = next) {
		next = s->next;
		if (s->bot != u)
			continue;
		if (s->link) {
			struct link *old = s->link;

			old->session = NULL;
			s->link = NULL;
			link_close(old, 4000);
		}
		session_end(s);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->bot = u;
	s->intents = intents;
	s->link = l;
	s->next = D.sessions;
	D.sessions = s;
	l->session = s;
	random_hex(s->id, 32);
	for (struct guild *g = D.guilds; g; g = g->next)
		cJSON_AddItemToArray(guilds, sim_obj("ob", "id", id_json(g->id), "unavailable", 1));
	snprintf(url, sizeof(url), "wss://127.0.0.1:%d", D.resume_port);
	dispatch_to(s, "READY",
		    sim_obj("ioosossoo", "v", (int64_t)10, "user", user_json(u), "guilds", guilds,
			    "session_id", s->id, "private_channels", cJSON_CreateArray(),
			    "resume_gateway_url", url, "session_type", "normal", "application",
			    sim_obj("oi", "id", id_json(u->id), "flags", (int64_t)0), "shard",
			    cJSON_CreateIntArray((int[]){ 0, 1 }, 2)));
	for (struct guild *g = D.guilds; g; g = g->next)
		if (intents & INTENT_GUILDS)
			dispatch_to(s, "GUILD_CREATE", guild_json(g, true));
}

static void resume(struct link *l, const cJSON *d)
{
	struct user *u = user_by_token(sim_str(d, "token", ""));
	const char *id = sim_str(d, "session_id", "");
	int64_t seq = (int64_t)sim_num(d, "seq", -1);
	struct gateway_session *s;

	if (fault("resume", l))
		return;
	for (s = D.sessions; s; s = s->next)
		if (!strcmp(s->id, id) && s->bot == u)
			break;
	sim_event("gateway.resume", sim_obj("biib", "known", s != NULL, "seq", seq, "last",
					    s ? s->seq : (int64_t)-1, "resume_url", l->resume_port));
	if (!s || seq < 0 || seq > s->seq || s->seq - seq > KEEP) {
		link_send(l, 9, cJSON_CreateFalse());
		return;
	}
	if (!l->resume_port)
		complain("resume on the base URL instead of resume_gateway_url");
	if (s->link) {
		struct link *old = s->link;

		old->session = NULL;
		link_close(old, 4000);
	}
	sim_timer_cancel(D.loop, &s->linger);
	s->link = l;
	l->session = s;
	for (int64_t n = seq + 1; n <= s->seq; n++) {
		char *copy = cJSON_malloc(strlen(s->kept[n % KEEP]) + 1);

		link_text(l, strcpy(copy, s->kept[n % KEEP]));
	}
	dispatch_to(s, "RESUMED", cJSON_CreateObject());
}

static void voice_state_request(struct gateway_session *s, const cJSON *d)
{
	struct user *u = s->bot;
	struct guild *g = guild_find(id_of(d, "guild_id"));
	const cJSON *where = cJSON_GetObjectItemCaseSensitive(d, "channel_id");
	struct channel *c = cJSON_IsString(where) ? channel_find(id_of(d, "channel_id")) : NULL;
	struct voice_state *v;
	bool self_mute = sim_flag(d, "self_mute", false), self_deaf = sim_flag(d, "self_deaf", false);
	bool moved;
	int present = 0;

	sim_event("gateway.op4",
		  sim_obj("ooobb", "user", id_json(u->id), "guild", g ? id_json(g->id) : NULL, "channel",
			  c ? id_json(c->id) : cJSON_CreateNull(), "self_mute", self_mute, "self_deaf",
			  self_deaf));
	if (!where)
		complain("op 4 without channel_id");
	if (!g || (cJSON_IsString(where) && (!c || c->type != 2 || c->guild != g)))
		return; /* there is no error event: nothing comes back */
	v = voice_state_of(u, g, true);
	for (struct party *p = c ? c->parties : NULL; p; p = p->next)
		present += p->user != u;
	if (c && c->user_limit && present >= c->user_limit)
		return;
	if (!c) {
		struct voice_session *voice = voice_find(u, g);

		if (!v->channel)
			return;
		voice_state_change(u, g, NULL);
		if (voice)
			voice_session_end(voice, 4014);
		return;
	}
	moved = v->channel != c;
	if (!moved && v->self_mute == self_mute && v->self_deaf == self_deaf)
		return;
	v->self_mute = self_mute;
	v->self_deaf = self_deaf;
	v->by = s;
	if (!moved) {
		voice_state_tell(u, v);
		return;
	}
	voice_state_change(u, g, c);
	v->by = s;
	{
		struct voice_session *promised = voice_promise(u, g, c, v->session_id);

		voice_server_tell(s, g, promised->token, promised->server);
	}
}

static bool over_limit(struct link *l)
{
	int64_t now = sim_now_ns(), oldest = l->recent[l->recent_next];

	l->recent[l->recent_next] = now;
	l->recent_next = (l->recent_next + 1) % 120;
	return oldest && now - oldest < 60 * SIM_S;
}

static void ws_message(void *ctx, bool binary, const uint8_t *data, size_t len)
{
	struct link *l = ctx;
	cJSON *o, *d;
	int op;

	if (len > 4096) {
		complain("gateway payload of %zu bytes", len);
		link_close(l, 4002);
		return;
	}
	if (over_limit(l)) {
		complain("more than 120 gateway payloads in 60 s");
		link_close(l, 4008);
		return;
	}
	o = binary ? NULL : cJSON_ParseWithLength((const char *)data, len);
	op = (int)sim_num(o, "op", -1);
	d = cJSON_GetObjectItemCaseSensitive(o, "d");
	if (op < 0) {
		complain("gateway payload is not JSON with an op: %.60s", (const char *)data);
		link_close(l, 4002);
	} else if (op == 1) {
		int64_t seen = cJSON_IsNumber(d) ? (int64_t)d->valuedouble : -1;

		if (l->session && seen > l->session->seq)
			complain("gateway heartbeat with a sequence number never sent");
		heartbeat_expect(l);
		if (!l->mute_acks)
			link_send(l, 11, cJSON_CreateNull());
	} else if (op == 2) {
		identify(l, d);
	} else if (op == 6) {
		resume(l, d);
	} else if (!l->session) {
		complain("gateway op %d before identify", op);
		link_close(l, 4003);
	} else if (op == 4) {
		voice_state_request(l->session, d);
	} else if (op != 3 && op != 8) {
		complain("unknown gateway op %d", op);
		link_close(l, 4001);
	}
	cJSON_Delete(o);
}

static void ws_closed(void *ctx, int code, const char *why)
{
	link_over(ctx, code, "peer");
}

static const struct sim_ws_ops ws_ops = { .message = ws_message, .closed = ws_closed };

static void link_accept(struct sim_http *h, const struct sim_http_message *r, bool resume_port)
{
	struct link *l = calloc(1, sizeof(*l));
	const char *query = strchr(r->target, '?');

	if (!l)
		abort();
	l->resume_port = resume_port;
	l->ws = sim_http_accept_ws(h, r, &ws_ops, l);
	if (!l->ws) {
		free(l);
		return;
	}
	l->next = links;
	links = l;
	if (!query || !strstr(query, "v=10") || !strstr(query, "encoding=json")) {
		complain("gateway URL without v=10 and encoding=json: %.80s", r->target);
		link_close(l, 4012);
		return;
	}
	if (fault("connect", l))
		return;
	link_send(l, 10, sim_obj("io", "heartbeat_interval", (int64_t)D.gateway_heartbeat_ms, "_trace",
				 cJSON_CreateArray()));
	heartbeat_expect(l);
}

void gateway_accept(struct sim_http *h, const struct sim_http_message *r)
{
	link_accept(h, r, false);
}

static void resume_request(void *ctx, struct sim_http *h, const struct sim_http_message *r)
{
	link_accept(h, r, true);
}

static void resume_conn(void *ctx, struct sim_conn *c)
{
	static const struct sim_http_ops ops = { .request = resume_request };

	sim_http_serve(c, &ops, NULL);
}

int gateway_start(void)
{
	struct sim_listener *l;

	return sim_listen(&l, D.loop, &D.resume_port, D.tls, resume_conn, NULL);
}

/* ---- commands ---- */

static void send_malformed(struct sim_ws *ws, int count, uint64_t seed)
{
	static const char *const samples[] = {
		"{\"t\":\"VOICE_STATE_UPDATE\",\"s\":5,\"op\":0,\"d\":{\"guild_id\":\"811111111111111111\","
		"\"channel_id\":\"811111111111111101\",\"user_id\":\"5\",\"session_id\":\"a\","
		"\"deaf\":false,\"member\":{\"user\":{\"id\":\"5\",\"username\":\"x\"},\"roles\":[]}}}",
		"{\"t\":\"MESSAGE_CREATE\",\"s\":6,\"op\":0,\"d\":{\"id\":\"1\",\"channel_id\":"
		"\"811111111111111001\",\"guild_id\":\"811111111111111111\",\"content\":\"hello\","
		"\"author\":{\"id\":\"5\",\"username\":\"x\"},\"member\":{\"roles\":[]}}}",
		"{\"t\":\"INTERACTION_CREATE\",\"s\":7,\"op\":0,\"d\":{\"id\":\"1\",\"type\":2,\"token\":"
		"\"t\",\"data\":{\"name\":\"nothing\",\"options\":[]},\"member\":{\"user\":{\"id\":\"5\"}}}}",
		"{\"t\":\"GUILD_CREATE\",\"s\":7,\"op\":0,\"d\":{\"id\":\"833333333333333333\",\"channels\":"
		"[{\"id\":\"1\",\"type\":2}],\"voice_states\":[{\"user_id\":\"5\",\"channel_id\":\"1\"}]}}",
		"{\"t\":\"VOICE_SERVER_UPDATE\",\"s\":9,\"op\":0,\"d\":{\"token\":\"x\",\"guild_id\":"
		"\"833333333333333333\",\"endpoint\":\"127.0.0.1:1\"}}",
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

static struct gateway_session *session_for(const cJSON *o)
{
	uint64_t id = id_of(o, "user");

	for (struct gateway_session *s = D.sessions; s; s = s->next)
		if (!id || s->bot->id == id)
			return s;
	return NULL;
}

const char *gateway_command(void *ctx, const cJSON *o, cJSON *answer)
{
	struct gateway_session *s = session_for(o);
	struct link *l = s ? s->link : NULL;
	const char *cmd = sim_str(o, "cmd", ""), *what = sim_str(o, "do", "");

	if (!strcmp(cmd, "gateway_next")) {
		D.gateway_next.code = (int)sim_num(o, "close", 4000);
		D.gateway_next.count = (int)sim_num(o, "count", sim_num(o, "close", 0) ? 1 : 0);
		snprintf(D.gateway_next.when, sizeof(D.gateway_next.when), "%s",
			 sim_str(o, "when", "identify"));
		if (!cJSON_GetObjectItemCaseSensitive(o, "remaining"))
			return NULL;
		for (struct user *u = D.users; u; u = u->next) {
			double ms = sim_num(o, "reset_after_ms", 0);

			u->identifies_left = (int)sim_num(o, "remaining", 1000);
			u->identifies_reset_ns = ms > 0 ? sim_now_ns() + (int64_t)(ms * 1e6) : 0;
			u->told_empty = false;
		}
		return NULL;
	}
	if (!l)
		return "no bot is connected";
	if (!strcmp(cmd, "send_gateway")) {
		const char *text = sim_str(o, "text", NULL);

		if (!text)
			return "no text";
		sim_ws_send(l->ws, sim_flag(o, "binary", false), text, strlen(text));
	} else if (!strcmp(cmd, "malformed")) {
		send_malformed(l->ws, (int)sim_num(o, "count", 100), (uint64_t)sim_num(o, "seed", 1));
	} else if (!strcmp(what, "close")) {
		link_close(l, (int)sim_num(o, "code", 4000));
	} else if (!strcmp(what, "drop")) {
		struct sim_ws *ws = l->ws;

		link_over(l, 1006, "us");
		sim_ws_abort(ws);
	} else if (!strcmp(what, "op7")) {
		link_send(l, 7, cJSON_CreateNull());
	} else if (!strcmp(what, "op9")) {
		bool resumable = sim_flag(o, "resumable", false);

		link_send(l, 9, cJSON_CreateBool(resumable));
		if (!resumable) {
			s->link = NULL;
			l->session = NULL;
			session_end(s);
		}
	} else if (!strcmp(what, "op1")) {
		link_send(l, 1, cJSON_CreateNull());
	} else if (!strcmp(what, "mute_acks")) {
		l->mute_acks = sim_flag(o, "on", true);
	} else if (!strcmp(what, "hold")) {
		l->hold_until_ns = sim_now_ns() + (int64_t)(sim_num(o, "ms", 1000) * 1e6);
		sim_timer_set(D.loop, &l->hold_timer, l->hold_until_ns, release_held, l);
	} else {
		return "no such thing to do";
	}
	return NULL;
}

cJSON *gateway_state(void)
{
	cJSON *list = cJSON_CreateArray();

	for (struct gateway_session *s = D.sessions; s; s = s->next)
		cJSON_AddItemToArray(list, sim_obj("osiib", "user", id_json(s->bot->id), "session_id",
						   s->id, "seq", s->seq, "intents", s->intents,
						   "connected", s->link != NULL));
	return list;
}
