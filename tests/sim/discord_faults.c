/* SPDX-License-Identifier: MIT
 *
 * discord_faults.c - the commands that make life hard for a bot: networks, moderators, servers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"

struct later {
	struct sim_timer timer;
	uint64_t guild;
};

static struct voice_session *voice_of(const cJSON *o)
{
	uint64_t id = id_of(o, "user");

	for (struct voice_session *v = D.voices; v; v = v->next)
		if (!id || v->user->id == id)
			return v;
	return NULL;
}

static const char *do_impair(const cJSON *o)
{
	bool out = !strcmp(sim_str(o, "direction", "out"), "out"), any = false;
	uint64_t id = id_of(o, "user");

	for (struct voice_session *v = D.voices; v; v = v->next) {
		struct impair *i = out ? &v->out : &v->in;

		if (id && v->user->id != id)
			continue;
		any = true;
		i->loss = sim_num(o, "loss", 0);
		i->burst = sim_num(o, "burst", 1);
		i->burst = i->burst < 1 ? 1 : i->burst;
		i->reorder = sim_num(o, "reorder", 0);
		i->duplicate = sim_num(o, "duplicate", 0);
		i->jitter_ns = (int64_t)(sim_num(o, "jitter_ms", 0) * 1e6);
		i->delay_ns = (int64_t)(sim_num(o, "delay_ms", 0) * 1e6);
		i->seed = (uint64_t)sim_num(o, "seed", 1);
		i->losing = false;
		i->on = i->loss > 0 || i->reorder > 0 || i->duplicate > 0 || i->jitter_ns || i->delay_ns;
	}
	return any ? NULL : "no bot has a voice connection";
}

static const char *do_udp(const cJSON *o)
{
	struct voice_session *v = voice_of(o);
	const char *keep = sim_str(o, "keepalive", NULL);
	const cJSON *refuse = cJSON_GetObjectItemCaseSensitive(o, "refuse");

	if (!v)
		return "no bot has a voice connection";
	v->udp_mute = sim_flag(o, "mute", v->udp_mute);
	if (keep)
		v->keepalive_mute = !strcmp(keep, "mute");
	v->discovery_lose = (int)sim_num(o, "discovery_lose", v->discovery_lose);
	if (cJSON_IsTrue(refuse))
		sfu_close(v);
	else if (cJSON_IsFalse(refuse) && v->udp_fd < 0 && sfu_open(v))
		return "cannot open the port again";
	return NULL;
}

/* Put a bot into another channel, as a moderator does. */
static const char *do_move(const cJSON *o)
{
	struct channel *c = channel_find(id_of(o, "channel"));
	struct user *u = user_find(id_of(o, "user"));
	struct voice_state *s = c && u ? voice_state_of(u, c->guild, false) : NULL;
	struct voice_session *v = s ? voice_find(u, c->guild) : NULL;
	struct gateway_session *by = s ? s->by : NULL;

	if (!by || c->type != 2)
		return "the bot is not in a voice channel of that guild";
	if (v)
		voice_session_end(v, 4014);
	voice_state_change(u, c->guild, c);
	s->by = by;
	v = voice_promise(u, c->guild, c, s->session_id);
	voice_server_tell(by, c->guild, v->token, v->server);
	return NULL;
}

static void put_out(struct user *u, struct guild *g, int code)
{
	struct voice_session *v = voice_find(u, g);

	if (v)
		voice_session_end(v, code);
	voice_state_change(u, g, NULL);
}

static const char *do_kick(const cJSON *o)
{
	struct user *u = user_find(id_of(o, "user"));
	struct voice_state *s = u ? u->states : NULL;

	while (s && !s->channel)
		s = s->next;
	if (!s)
		return "the user is in no voice channel";
	if (u->member)
		member_stop(u->member);
	else
		put_out(u, s->guild, (int)sim_num(o, "code", 4014));
	return NULL;
}

static const char *do_delete_channel(const cJSON *o)
{
	struct channel *c = channel_find(id_of(o, "channel"));

	if (!c)
		return "no such channel";
	while (c->parties) {
		struct user *u = c->parties->user;

		if (u->member)
			member_stop(u->member);
		else
			put_out(u, c->guild, 4022);
	}
	c->deleted = true;
	dispatch(c->guild, INTENT_GUILDS, "CHANNEL_DELETE", channel_json(c));
	return NULL;
}

/* The guild's voice connections get a promise for its present server. */
static void server_tell(struct guild *g)
{
	for (struct user *u = D.users; u; u = u->next) {
		struct voice_state *s = voice_state_of(u, g, false);
		struct voice_session *v;

		if (!s || !s->channel || !s->by)
			continue;
		v = voice_promise(u, g, s->channel, s->session_id);
		voice_server_tell(s->by, g, v->token, v->server);
	}
}

static void server_tell_later(void *ctx, int64_t now_ns)
{
	struct later *l = ctx;
	struct guild *g = guild_find(l->guild);

	if (g)
		server_tell(g);
	free(l);
}

static const char *do_server_move(const cJSON *o)
{
	struct guild *g = guild_find(id_of(o, "guild"));
	double null_ms = sim_num(o, "null_first_ms", 0);

	if (!g)
		g = D.guilds;
	g->server = voice_server_add();
	if (!g->server)
		return "cannot listen";
	for (struct voice_session *v = D.voices, *next; v; v = next) {
		next = v->next;
		if (v->guild == g)
			voice_session_end(v, (int)sim_num(o, "code", 4022));
	}
	if (null_ms > 0) {
		struct later *l = calloc(1, sizeof(*l));

		if (!l)
			abort();
		l->guild = g->id;
		for (struct user *u = D.users; u; u = u->next) {
			struct voice_state *s = voice_state_of(u, g, false);

			if (s && s->channel && s->by)
				voice_server_tell(s->by, g, "none", NULL);
		}
		sim_timer_set(D.loop, &l->timer, sim_now_ns() + (int64_t)(null_ms * 1e6),
			      server_tell_later, l);
		return NULL;
	}
	server_tell(g);
	return NULL;
}

static const char *do_server_flag(const cJSON *o, bool deaf)
{
	struct user *u = user_find(id_of(o, "user"));
	struct voice_state *s = u ? u->states : NULL;

	while (s && !s->channel)
		s = s->next;
	if (!s)
		return "the user is in no voice channel";
	if (deaf)
		s->deaf = sim_flag(o, "on", true);
	else
		s->mute = sim_flag(o, "on", true);
	voice_state_tell(u, s);
	return NULL;
}

static const char *do_room(const cJSON *o)
{
	struct channel *c = channel_find(id_of(o, "channel"));
	const cJSON *modes = cJSON_GetObjectItemCaseSensitive(o, "modes"), *m;

	if (!c)
		return "no such channel";
	c->dave = sim_flag(o, "dave", c->dave);
	c->require_dave = sim_flag(o, "require_dave", c->require_dave);
	c->listen_needs_voice = sim_flag(o, "listen_needs_voice", c->listen_needs_voice);
	c->user_limit = (int)sim_num(o, "user_limit", c->user_limit);
	c->padding = sim_num(o, "padding", c->padding);
	if (modes) {
		c->no_gcm = c->no_xchacha = true;
		c->xchacha_first = false;
		cJSON_ArrayForEach(m, modes)
		{
			if (strstr(m->valuestring, "gcm")) {
				c->no_gcm = false;
			} else {
				c->xchacha_first = c->no_gcm;
				c->no_xchacha = false;
			}
		}
	}
	return NULL;
}

static const char *do_counters(const cJSON *o, cJSON *answer)
{
	const struct voice_session *v = voice_of(o);

	if (!v)
		return "no bot has a voice connection";
	cJSON_AddNumberToObject(answer, "packets", (double)v->packets);
	cJSON_AddNumberToObject(answer, "sound_packets", (double)v->sound_packets);
	cJSON_AddNumberToObject(answer, "bytes", (double)v->bytes);
	cJSON_AddNumberToObject(answer, "undecryptable", (double)v->undecryptable);
	cJSON_AddNumberToObject(answer, "bad_header", (double)v->bad_header);
	cJSON_AddNumberToObject(answer, "seq_gaps", (double)v->seq_gaps);
	cJSON_AddNumberToObject(answer, "ts_odd", (double)v->ts_odd);
	cJSON_AddNumberToObject(answer, "keepalives", (double)v->keepalives);
	cJSON_AddNumberToObject(answer, "before_speaking", (double)v->before_speaking);
	cJSON_AddNumberToObject(answer, "nonce_reuse", (double)v->nonce_reuse);
	cJSON_AddNumberToObject(answer, "sent", (double)v->sent);
	return NULL;
}

const char *fault_command(void *ctx, const cJSON *o, cJSON *answer)
{
	const char *cmd = sim_str(o, "cmd", "");
	struct voice_session *v;

	if (!strcmp(cmd, "impair"))
		return do_impair(o);
	if (!strcmp(cmd, "udp"))
		return do_udp(o);
	if (!strcmp(cmd, "udp_garbage")) {
		v = voice_of(o);
		if (!v || !v->described)
			return "no bot has a voice connection";
		sfu_garbage(v, (int)sim_num(o, "count", 100), (uint64_t)sim_num(o, "seed", 1));
		return NULL;
	}
	if (!strcmp(cmd, "move"))
		return do_move(o);
	if (!strcmp(cmd, "kick"))
		return do_kick(o);
	if (!strcmp(cmd, "delete_channel"))
		return do_delete_channel(o);
	if (!strcmp(cmd, "server_move"))
		return do_server_move(o);
	if (!strcmp(cmd, "deafen") || !strcmp(cmd, "mute_user"))
		return do_server_flag(o, !strcmp(cmd, "deafen"));
	if (!strcmp(cmd, "room"))
		return do_room(o);
	if (!strcmp(cmd, "counters"))
		return do_counters(o, answer);
	if (!strcmp(cmd, "rest_next")) {
		D.rest_next.status = (int)sim_num(o, "status", 500);
		D.rest_next.count = (int)sim_num(o, "count", 1);
		D.rest_next.retry_after = sim_num(o, "retry_after", 1);
		D.rest_next.global = sim_flag(o, "global", false);
		snprintf(D.rest_next.match, sizeof(D.rest_next.match), "%s", sim_str(o, "match", ""));
		return NULL;
	}
	return "no such command";
}
