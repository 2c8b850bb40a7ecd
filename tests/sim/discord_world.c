/* SPDX-License-Identifier: MIT
 *
 * discord_world.c - guilds, channels, users and who is in which voice channel.
 */
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"

struct discord D = { .gateway_heartbeat_ms = 41250,
		     .voice_heartbeat_ms = 13750,
		     .message_content = true,
		     .random = 1 };

uint64_t new_id(void)
{
	if (!D.last_id)
		D.last_id = 1300000000000000000u;
	return D.last_id += 4097;
}

void id_text(uint64_t id, char out[24])
{
	snprintf(out, 24, "%" PRIu64, id);
}

cJSON *id_json(uint64_t id)
{
	char text[24];

	id_text(id, text);
	return cJSON_CreateString(text);
}

uint64_t id_of(const cJSON *o, const char *key)
{
	const char *s = sim_str(o, key, NULL);

	return s ? strtoull(s, NULL, 10) : 0;
}

void random_hex(char *out, size_t digits)
{
	uint8_t r;

	for (size_t i = 0; i < digits; i++) {
		RAND_bytes(&r, 1);
		out[i] = "0123456789abcdef"[r & 15];
	}
	out[digits] = 0;
}

struct guild *guild_add(uint64_t id, const char *name)
{
	struct guild *g = calloc(1, sizeof(*g)), **tail = &D.guilds;

	if (!g)
		abort();
	g->id = id;
	g->server = D.servers;
	snprintf(g->name, sizeof(g->name), "%s", name);
	while (*tail)
		tail = &(*tail)->next;
	*tail = g;
	return g;
}

struct channel *channel_add(struct guild *g, uint64_t id, int type, const char *name)
{
	struct channel *c = calloc(1, sizeof(*c)), **tail = &D.channels;

	if (!c)
		abort();
	c->id = id;
	c->guild = g;
	c->type = type;
	c->padding = 0.08;
	/* as on the real service since March 2026; stage channels are the exception (`room`) */
	c->dave = c->require_dave = type == 2;
	c->messages = cJSON_CreateArray();
	snprintf(c->name, sizeof(c->name), "%s", name);
	while (*tail)
		tail = &(*tail)->next;
	*tail = c;
	return c;
}

struct user *user_add(uint64_t id, const char *name, bool bot)
{
	struct user *u = calloc(1, sizeof(*u)), **tail = &D.users;

	if (!u)
		abort();
	u->id = id;
	u->bot = bot;
	u->roles = cJSON_CreateArray();
	u->commands = cJSON_CreateObject();
	u->identifies_left = IDENTIFIES_A_DAY;
	snprintf(u->name, sizeof(u->name), "%s", name);
	while (*tail)
		tail = &(*tail)->next;
	*tail = u;
	return u;
}

struct guild *guild_find(uint64_t id)
{
	for (struct guild *g = D.guilds; g; g = g->next)
		if (g->id == id)
			return g;
	return NULL;
}

struct channel *channel_find(uint64_t id)
{
	for (struct channel *c = D.channels; c; c = c->next)
		if (c->id == id && !c->deleted)
			return c;
	return NULL;
}

struct user *user_find(uint64_t id)
{
	for (struct user *u = D.users; u; u = u->next)
		if (u->id == id)
			return u;
	return NULL;
}

int user_identifies_left(struct user *u, int64_t *reset_ms)
{
	int64_t now = sim_now_ns();

	if (u->identifies_reset_ns && now >= u->identifies_reset_ns) {
		u->identifies_left = IDENTIFIES_A_DAY;
		u->identifies_reset_ns = 0;
		u->told_empty = false;
	}
	if (reset_ms)
		*reset_ms = u->identifies_reset_ns ? (u->identifies_reset_ns - now) / SIM_MS + 1 :
						     14400000;
	return u->identifies_left;
}

struct user *user_by_token(const char *token)
{
	for (struct user *u = D.users; u; u = u->next)
		if (*u->token && !strcmp(u->token, token))
			return u;
	return NULL;
}

struct voice_state *voice_state_of(struct user *u, struct guild *g, bool create)
{
	struct voice_state *v;

	for (v = u->states; v; v = v->next)
		if (v->guild == g)
			return v;
	if (!create)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->guild = g;
	v->next = u->states;
	u->states = v;
	return v;
}

/* ---- the objects of the API ---- */

cJSON *user_json(const struct user *u)
{
	return sim_obj("osssssb", "id", id_json(u->id), "username", u->name, "global_name",
		       u->bot ? NULL : u->name, "discriminator", u->bot ? "0001" : "0", "avatar", NULL,
		       "banner", NULL, "bot", (int)u->bot);
}

cJSON *member_json(const struct user *u)
{
	return sim_obj("ossobbis", "user", user_json(u), "nick", NULL, "avatar", NULL, "roles",
		       cJSON_Duplicate(u->roles, 1), "deaf", 0, "mute", 0, "flags", (int64_t)0,
		       "joined_at", "2026-01-01T00:00:00.000000+00:00");
}

cJSON *channel_json(const struct channel *c)
{
	cJSON *o = sim_obj("oisiosbo", "id", id_json(c->id), "type", (int64_t)c->type, "name", c->name,
			   "position", (int64_t)0, "guild_id", id_json(c->guild->id), "parent_id", NULL,
			   "nsfw", 0, "permission_overwrites", cJSON_CreateArray());

	if (c->type == 2) {
		cJSON_AddNumberToObject(o, "bitrate", 64000);
		cJSON_AddNumberToObject(o, "user_limit", c->user_limit);
		cJSON_AddNullToObject(o, "rtc_region");
	}
	cJSON_AddNullToObject(o, "last_message_id");
	return o;
}

cJSON *voice_state_json(const struct user *u, const struct voice_state *v, bool in_guild)
{
	cJSON *o = cJSON_CreateObject();

	if (!in_guild) {
		cJSON_AddItemToObject(o, "guild_id", id_json(v->guild->id));
		cJSON_AddItemToObject(o, "member", member_json(u));
	}
	cJSON_AddItemToObject(o, "user_id", id_json(u->id));
	if (v->channel)
		cJSON_AddItemToObject(o, "channel_id", id_json(v->channel->id));
	else
		cJSON_AddNullToObject(o, "channel_id");
	cJSON_AddStringToObject(o, "session_id", v->session_id);
	cJSON_AddBoolToObject(o, "deaf", v->deaf);
	cJSON_AddBoolToObject(o, "mute", v->mute);
	cJSON_AddBoolToObject(o, "self_deaf", v->self_deaf);
	cJSON_AddBoolToObject(o, "self_mute", v->self_mute);
	cJSON_AddBoolToObject(o, "self_video", 0);
	cJSON_AddBoolToObject(o, "suppress", 0);
	cJSON_AddNullToObject(o, "request_to_speak_timestamp");
	return o;
}

cJSON *guild_json(const struct guild *g, bool create)
{
	static const char *const empty[] = { "emojis", "stickers", "features", "threads", "presences",
					     "stage_instances", "guild_scheduled_events",
					     "soundboard_sounds" };
	cJSON *o = sim_obj("osssi", "id", id_json(g->id), "name", g->name, "icon", NULL,
			   "owner_id", "700000000000000001", "verification_level", (int64_t)0);
	cJSON *roles = cJSON_AddArrayToObject(o, "roles"), *channels, *members, *states;

	/* @everyone has the guild's id; these permissions let a bot view, send, connect, speak */
	cJSON_AddItemToArray(roles, sim_obj("ossiibbbi", "id", id_json(g->id), "name", "@everyone",
					    "permissions", "559623605571137", "position", (int64_t)0,
					    "color", (int64_t)0, "hoist", 0, "managed", 0, "mentionable",
					    0, "flags", (int64_t)0));
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		if (create || i < 3)
			cJSON_AddItemToObject(o, empty[i], cJSON_CreateArray());
	if (!create)
		return o;
	channels = cJSON_AddArrayToObject(o, "channels");
	members = cJSON_AddArrayToObject(o, "members");
	states = cJSON_AddArrayToObject(o, "voice_states");
	for (const struct channel *c = D.channels; c; c = c->next)
		if (c->guild == g && !c->deleted)
			cJSON_AddItemToArray(channels, channel_json(c));
	for (struct user *u = D.users; u; u = u->next) {
		const struct voice_state *v = voice_state_of(u, (struct guild *)g, false);

		if (u->bot || (v && v->channel))
			cJSON_AddItemToArray(members, member_json(u));
		if (v && v->channel)
			cJSON_AddItemToArray(states, voice_state_json(u, v, true));
	}
	cJSON_AddBoolToObject(o, "unavailable", 0);
	cJSON_AddBoolToObject(o, "large", 0);
	cJSON_AddNumberToObject(o, "member_count", cJSON_GetArraySize(members));
	cJSON_AddStringToObject(o, "joined_at", "2026-01-01T00:00:00.000000+00:00");
	return o;
}

void voice_state_tell(struct user *u, struct voice_state *v)
{
	dispatch(v->guild, INTENT_VOICE_STATES, "VOICE_STATE_UPDATE", voice_state_json(u, v, false));
}

void voice_state_change(struct user *u, struct guild *g, struct channel *c)
{
	struct voice_state *v = voice_state_of(u, g, true);

	if (c && !v->channel)
		random_hex(v->session_id, 32);
	v->channel = c;
	voice_state_tell(u, v);
	if (!c)
		v->by = NULL;
}
