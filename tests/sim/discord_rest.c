/* SPDX-License-Identifier: MIT
 *
 * discord_rest.c - the REST routes that a voice bot uses, version 10, with their rate limits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"

struct asked {
	struct sim_http *h;
	const struct sim_http_message *r;
	char path[2048]; /* behind /api/v10, without query */
	struct user *bot;
	cJSON *body;
	char limits[512];
};

/* An interaction that waits for its answer. */
static struct interaction {
	struct interaction *next;
	uint64_t id;
	char token[64];
	struct channel *channel;
	struct user *bot;
	int64_t t_ns;
	bool answered, deferred;
	uint64_t message;
} *interactions;

static void tell(const struct asked *a, int status)
{
	sim_event("rest", sim_obj("ssi", "method", a->r->method, "path", a->r->target, "status",
				  (int64_t)status));
}

/* Takes o. NULL: no body. */
static void reply(const struct asked *a, int status, cJSON *o)
{
	char *text = o ? cJSON_PrintUnformatted(o) : NULL;

	tell(a, status);
	sim_http_reply(a->h, status, a->limits, o ? "application/json" : NULL, text,
		       text ? strlen(text) : 0);
	cJSON_free(text);
	cJSON_Delete(o);
}

static void fail(const struct asked *a, int status, int code, const char *message)
{
	reply(a, status, sim_obj("si", "message", message, "code", (int64_t)code));
}

/* A bucket for each method on each channel's messages: 5 in 5 s, as is commonly seen. */
static bool limited(struct asked *a, uint64_t major)
{
	static struct bucket {
		uint64_t major;
		char method[8];
		int64_t reset_ns;
		int used;
	} buckets[32];
	struct bucket *b = NULL;
	int64_t now = sim_now_ns();
	double after;

	for (int i = 0; i < 32 && !b; i++)
		if ((buckets[i].major == major && !strcmp(buckets[i].method, a->r->method)) ||
		    !buckets[i].major)
			b = &buckets[i];
	if (!b)
		b = &buckets[0];
	b->major = major;
	snprintf(b->method, sizeof(b->method), "%.7s", a->r->method);
	if (now >= b->reset_ns) {
		b->reset_ns = now + 5 * SIM_S;
		b->used = 0;
	}
	after = (double)(b->reset_ns - now) / 1e9;
	b->used++;
	snprintf(a->limits, sizeof(a->limits),
		 "X-RateLimit-Limit: 5\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: 1790000000.123\r\n"
		 "X-RateLimit-Reset-After: %.3f\r\nX-RateLimit-Bucket: %s-messages\r\n",
		 b->used <= 5 ? 5 - b->used : 0, after, b->method);
	if (b->used <= 5)
		return false;
	complain("a request in spite of X-RateLimit-Remaining: 0");
	snprintf(a->limits + strlen(a->limits), sizeof(a->limits) - strlen(a->limits),
		 "Retry-After: %d\r\nX-RateLimit-Scope: user\r\n", (int)after + 1);
	reply(a, 429,
	      sim_obj("sdb", "message", "You are being rate limited.", "retry_after", after, "global", 0));
	return true;
}

/* ---- messages ---- */

cJSON *message_add(struct channel *c, const struct user *author, const char *content)
{
	uint64_t id = new_id();
	cJSON *m = sim_obj("oosossooooisb", "id", id_json(id), "channel_id", id_json(c->id), "content",
			   content, "author", user_json(author), "timestamp",
			   "2026-11-24T12:00:00.000000+00:00", "edited_timestamp", NULL, "mentions",
			   cJSON_CreateArray(), "mention_roles", cJSON_CreateArray(), "attachments",
			   cJSON_CreateArray(), "embeds", cJSON_CreateArray(), "type", (int64_t)0,
			   "nonce", NULL, "tts", 0);

	cJSON_AddItemToArray(c->messages, m);
	return m;
}

static cJSON *message_find(struct channel *c, uint64_t id)
{
	cJSON *m;

	cJSON_ArrayForEach(m, c->messages) if (id_of(m, "id") == id) return m;
	return NULL;
}

static bool content_fine(const struct asked *a)
{
	const char *content = sim_str(a->body, "content", NULL);
	const cJSON *mentions = cJSON_GetObjectItemCaseSensitive(a->body, "allowed_mentions");

	if (!content || !*content || strlen(content) > 2000) {
		fail(a, 400, 50006, "Cannot send an empty message");
		return false;
	}
	if (!cJSON_IsObject(mentions) ||
	    cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(mentions, "parse")))
		complain("a message without empty allowed_mentions");
	return true;
}

static void tell_message(const char *what, struct channel *c, const cJSON *m)
{
	sim_event("message", sim_obj("sosso", "what", what, "channel", id_json(c->id), "content",
				     sim_str(m, "content", ""), "id", sim_str(m, "id", ""), "author",
				     cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(m, "author"), 1)));
}

static void edit(cJSON *m, struct channel *c, const cJSON *body)
{
	const char *content = sim_str(body, "content", NULL);
	cJSON *edits = cJSON_GetObjectItemCaseSensitive(m, "sim_edits");

	if (!content)
		return;
	if (!edits)
		edits = cJSON_AddArrayToObject(m, "sim_edits");
	cJSON_AddItemToArray(edits, cJSON_CreateString(sim_str(m, "content", "")));
	cJSON_ReplaceItemInObjectCaseSensitive(m, "content", cJSON_CreateString(content));
	cJSON_ReplaceItemInObjectCaseSensitive(
		m, "edited_timestamp", cJSON_CreateString("2026-11-24T12:00:01.000000+00:00"));
	tell_message("edited", c, m);
}

/* A message as the API shows it. */
static cJSON *shown(const cJSON *m)
{
	cJSON *o = cJSON_Duplicate(m, 1);

	cJSON_DeleteItemFromObjectCaseSensitive(o, "sim_edits");
	return o;
}

static void channel_routes(struct asked *a, uint64_t channel, const char *rest)
{
	struct channel *c = channel_find(channel);
	const char *method = a->r->method;
	cJSON *m;

	if (!c) {
		fail(a, 404, 10003, "Unknown Channel");
		return;
	}
	if (!*rest) {
		reply(a, 200, channel_json(c));
		return;
	}
	if (!strcmp(rest, "/typing")) {
		reply(a, 204, NULL);
		return;
	}
	if (strncmp(rest, "/messages", 9)) {
		fail(a, 404, 0, "404: Not Found");
		return;
	}
	if (limited(a, c->id))
		return;
	if (!rest[9] && !strcmp(method, "POST")) {
		if (!content_fine(a))
			return;
		m = message_add(c, a->bot, sim_str(a->body, "content", ""));
		tell_message("created", c, m);
		message_dispatch(c, m, a->bot);
		reply(a, 200, shown(m));
		return;
	}
	if (!rest[9]) {
		cJSON *list = cJSON_CreateArray();

		cJSON_ArrayForEach(m, c->messages) cJSON_AddItemToArray(list, shown(m));
		reply(a, 200, list);
		return;
	}
	m = message_find(c, strtoull(rest + 10, NULL, 10));
	if (!m) {
		fail(a, 404, 10008, "Unknown Message");
	} else if (id_of(cJSON_GetObjectItemCaseSensitive(m, "author"), "id") != a->bot->id &&
		   strcmp(method, "GET")) {
		fail(a, 403, 50005, "Cannot edit a message authored by another user");
	} else if (!strcmp(method, "PATCH")) {
		if (content_fine(a)) {
			edit(m, c, a->body);
			reply(a, 200, shown(m));
		}
	} else if (!strcmp(method, "DELETE")) {
		cJSON_Delete(cJSON_DetachItemViaPointer(c->messages, m));
		reply(a, 204, NULL);
	} else {
		reply(a, 200, shown(m));
	}
}

/* ---- guilds, commands ---- */

static void guild_routes(struct asked *a, uint64_t guild, const char *rest)
{
	struct guild *g = guild_find(guild);

	if (!g) {
		fail(a, 404, 10004, "Unknown Guild");
	} else if (!*rest) {
		reply(a, 200, guild_json(g, false));
	} else if (!strcmp(rest, "/channels")) {
		cJSON *list = cJSON_CreateArray();

		for (const struct channel *c = D.channels; c; c = c->next)
			if (c->guild == g && !c->deleted)
				cJSON_AddItemToArray(list, channel_json(c));
		reply(a, 200, list);
	} else if (!strncmp(rest, "/voice-states/", 14)) {
		struct user *u = !strcmp(rest + 14, "@me") ? a->bot :
							     user_find(strtoull(rest + 14, NULL, 10));
		const struct voice_state *v = u ? voice_state_of(u, g, false) : NULL;

		if (v && v->channel)
			reply(a, 200, voice_state_json(u, v, false));
		else
			fail(a, 404, 10065, "Unknown Voice State");
	} else if (!strncmp(rest, "/members/", 9)) {
		struct user *u = user_find(strtoull(rest + 9, NULL, 10));

		if (u)
			reply(a, 200, member_json(u));
		else
			fail(a, 404, 10007, "Unknown Member");
	} else {
		fail(a, 404, 0, "404: Not Found");
	}
}

static void command_routes(struct asked *a, const char *scope)
{
	const char *method = a->r->method;
	cJSON *stored, *c;

	if (!strcmp(method, "PUT") || !strcmp(method, "POST")) {
		cJSON *list = cJSON_IsArray(a->body) ? cJSON_Duplicate(a->body, 1) :
						       cJSON_CreateArray();

		if (cJSON_IsObject(a->body))
			cJSON_AddItemToArray(list, cJSON_Duplicate(a->body, 1));
		cJSON_ArrayForEach(c, list)
		{
			const char *name = sim_str(c, "name", "");

			if (!*name || strlen(name) > 32 || strpbrk(name, " ABCDEFGHIJKLMNOPQRSTUVWXYZ$") ||
			    !*sim_str(c, "description", "") ||
			    strlen(sim_str(c, "description", "")) > 100) {
				cJSON_Delete(list);
				fail(a, 400, 50035, "Invalid Form Body");
				return;
			}
			cJSON_AddItemToObject(c, "id", id_json(new_id()));
			cJSON_AddItemToObject(c, "application_id", id_json(a->bot->id));
			cJSON_AddItemToObject(c, "version", id_json(new_id()));
		}
		cJSON_DeleteItemFromObjectCaseSensitive(a->bot->commands, scope);
		cJSON_AddItemToObject(a->bot->commands, scope, list);
		sim_event("commands", sim_obj("osi", "user", id_json(a->bot->id), "guild", scope, "count",
					      (int64_t)cJSON_GetArraySize(list)));
	}
	stored = cJSON_GetObjectItemCaseSensitive(a->bot->commands, scope);
	reply(a, 200, stored ? cJSON_Duplicate(stored, 1) : cJSON_CreateArray());
}

/* ---- interactions ---- */

static struct interaction *interaction_find(const char *token)
{
	for (struct interaction *i = interactions; i; i = i->next)
		if (!strcmp(i->token, token))
			return i;
	return NULL;
}

static void tell_answer(const struct interaction *i, int type, const cJSON *data)
{
	sim_event("interaction.reply",
		  sim_obj("oisii", "interaction", id_json(i->id), "type", (int64_t)type, "content",
			  sim_str(data, "content", ""), "flags", (int64_t)sim_num(data, "flags", 0), "ms",
			  (sim_now_ns() - i->t_ns) / SIM_MS));
}

static void interaction_callback(struct asked *a, uint64_t id, const char *token)
{
	struct interaction *i = interaction_find(token);
	int type = (int)sim_num(a->body, "type", 0);
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(a->body, "data");

	if (!i || i->id != id || sim_now_ns() - i->t_ns > 3 * SIM_S) {
		fail(a, 404, 10062, "Unknown interaction");
		return;
	}
	if (i->answered) {
		fail(a, 400, 40060, "Interaction has already been acknowledged.");
		return;
	}
	if (type != 4 && type != 5) {
		fail(a, 400, 50035, "Invalid Form Body");
		return;
	}
	i->answered = true;
	i->deferred = type == 5;
	tell_answer(i, type, data);
	reply(a, 204, NULL);
}

static void webhook_routes(struct asked *a, const char *token, const char *rest)
{
	struct interaction *i = interaction_find(token);

	if (!i || !i->answered) {
		fail(a, 404, 10015, "Unknown Webhook");
		return;
	}
	if (!strcmp(a->r->method, "PATCH") || !strcmp(a->r->method, "POST")) {
		tell_answer(i, 0, a->body);
		reply(a, 200, sim_obj("oos", "id", id_json(new_id()), "channel_id",
				      id_json(i->channel->id), "content", sim_str(a->body, "content", "")));
		return;
	}
	reply(a, 204, NULL);
}

const char *rest_interact(void *ctx, const cJSON *o, cJSON *answer)
{
	struct channel *c = channel_find(id_of(o, "channel"));
	const char *name = sim_str(o, "command", "");
	struct user *u = NULL, *bot = NULL;
	struct interaction *i;
	struct gateway_session *s;
	cJSON *list, *command = NULL, *member;
	char scope[24];

	for (struct user *k = D.users; k; k = k->next)
		if (!strcmp(k->name, sim_str(o, "member", "")))
			u = k;
	if (!u || !c)
		return "no such member or channel";
	id_text(c->guild->id, scope);
	for (bot = D.users; bot; bot = bot->next) {
		list = cJSON_GetObjectItemCaseSensitive(bot->commands, scope);
		cJSON_ArrayForEach(command, list) if (!strcmp(sim_str(command, "name", ""), name)) break;
		if (command)
			break;
		list = cJSON_GetObjectItemCaseSensitive(bot->commands, "0");
		cJSON_ArrayForEach(command, list) if (!strcmp(sim_str(command, "name", ""), name)) break;
		if (command)
			break;
	}
	s = bot ? session_of(bot) : NULL;
	if (!s)
		return "no connected bot has registered that command";
	i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	i->id = new_id();
	i->channel = c;
	i->bot = bot;
	i->t_ns = sim_now_ns();
	random_hex(i->token, 40);
	i->next = interactions;
	interactions = i;
	member = member_json(u);
	cJSON_AddStringToObject(member, "permissions", "559623605571137");
	dispatch_to(s, "INTERACTION_CREATE",
		    sim_obj("ooiooooosiss", "id", id_json(i->id), "application_id", id_json(bot->id),
			    "type", (int64_t)2, "data",
			    sim_obj("ssio", "id", sim_str(command, "id", ""), "name", name, "type",
				    (int64_t)1, "options",
				    cJSON_GetObjectItemCaseSensitive(o, "options") ?
					    cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(o, "options"),
							    1) :
					    cJSON_CreateArray()),
			    "guild_id", id_json(c->guild->id), "channel_id", id_json(c->id), "channel",
			    channel_json(c), "member", member, "token", i->token, "version", (int64_t)1,
			    "locale", "en-US", "app_permissions", "559623605571137"));
	cJSON_AddItemToObject(answer, "interaction", id_json(i->id));
	return NULL;
}

/* ---- the front ---- */

static bool forced_failure(struct asked *a)
{
	if (D.rest_next.count <= 0 || !strstr(a->r->target, D.rest_next.match))
		return false;
	D.rest_next.count--;
	if (D.rest_next.status != 429) {
		fail(a, D.rest_next.status, 0, "on request of the test");
		return true;
	}
	snprintf(a->limits, sizeof(a->limits), "Retry-After: %d\r\nX-RateLimit-Scope: %s\r\n%s",
		 (int)(D.rest_next.retry_after + 0.999), D.rest_next.global ? "global" : "user",
		 D.rest_next.global ? "X-RateLimit-Global: true\r\n" : "");
	reply(a, 429, sim_obj("sdb", "message", "You are being rate limited.", "retry_after",
			      D.rest_next.retry_after, "global", (int)D.rest_next.global));
	return true;
}

static void gateway_bot(struct asked *a)
{
	char url[64];
	int64_t reset_ms;
	int left = user_identifies_left(a->bot, &reset_ms);

	a->bot->told_empty = left <= 0;
	snprintf(url, sizeof(url), "wss://127.0.0.1:%d", D.rest_port);
	reply(a, 200,
	      sim_obj("sio", "url", url, "shards", (int64_t)1, "session_start_limit",
		      sim_obj("iiii", "total", (int64_t)IDENTIFIES_A_DAY, "remaining",
			      (int64_t)(left > 0 ? left : 0), "reset_after", reset_ms,
			      "max_concurrency", (int64_t)1)));
}

static void route(struct asked *a)
{
	const char *p = a->path;
	unsigned long long one, two;
	char token[128];
	int n = 0, m = 0;

	if (sscanf(p, "/interactions/%llu/%127[^/]/callback%n", &one, token, &n) == 2 && n && !p[n])
		interaction_callback(a, one, token);
	else if (sscanf(p, "/webhooks/%llu/%127[^/]%n", &one, token, &n) == 2)
		webhook_routes(a, token, p + n);
	else if (!a->bot)
		fail(a, 401, 0, "401: Unauthorized");
	else if (!strcmp(p, "/gateway/bot"))
		gateway_bot(a);
	else if (!strcmp(p, "/users/@me"))
		reply(a, 200, user_json(a->bot));
	else if (!strcmp(p, "/applications/@me") || !strcmp(p, "/oauth2/applications/@me"))
		reply(a, 200, sim_obj("osi", "id", id_json(a->bot->id), "name", a->bot->name, "flags",
				      (int64_t)(D.message_content ? 1 << 19 : 0)));
	else if (sscanf(p, "/applications/%llu/guilds/%llu/commands%n", &one, &two, &m) == 2 && m) {
		snprintf(token, sizeof(token), "%llu", two);
		if (one == a->bot->id)
			command_routes(a, token);
		else
			fail(a, 403, 20012, "You are not authorized to perform this action");
	} else if (sscanf(p, "/applications/%llu/commands%n", &one, &n) == 1 && n)
		command_routes(a, "0");
	else if (sscanf(p, "/channels/%llu%n", &one, &n) == 1)
		channel_routes(a, one, p + n);
	else if (sscanf(p, "/guilds/%llu%n", &one, &n) == 1)
		guild_routes(a, one, p + n);
	else
		fail(a, 404, 0, "404: Not Found");
}

void rest_request(struct sim_http *h, const struct sim_http_message *r)
{
	struct asked a = { .h = h, .r = r };
	char header[256];
	const char *path = strstr(r->target, "/api/v10");

	if (sim_http_header(r, "upgrade", header, sizeof(header))) {
		gateway_accept(h, r);
		return;
	}
	snprintf(a.limits, sizeof(a.limits),
		 "X-RateLimit-Limit: 50\r\nX-RateLimit-Remaining: 49\r\nX-RateLimit-Reset-After: 1.000\r\n"
		 "X-RateLimit-Reset: 1790000000.123\r\nX-RateLimit-Bucket: any\r\n");
	if (path != r->target) {
		fail(&a, 404, 0, "404: Not Found");
		return;
	}
	snprintf(a.path, sizeof(a.path), "%.*s", (int)strcspn(path + 8, "?"), path + 8);
	if (!sim_http_header(r, "user-agent", header, sizeof(header)) ||
	    strncmp(header, "DiscordBot (", 12))
		complain("User-Agent is not \"DiscordBot (url, version)\"");
	if (sim_http_header(r, "authorization", header, sizeof(header)) && !strncmp(header, "Bot ", 4))
		a.bot = user_by_token(header + 4);
	if (forced_failure(&a))
		return;
	if (!strcmp(a.path, "/gateway")) {
		char url[64];

		snprintf(url, sizeof(url), "wss://127.0.0.1:%d", D.rest_port);
		reply(&a, 200, sim_obj("s", "url", url));
		return;
	}
	if (r->body_len) {
		if (!sim_http_header(r, "content-type", header, sizeof(header)) ||
		    strncmp(header, "application/json", 16)) {
			fail(&a, 400, 50035, "Invalid Form Body");
			return;
		}
		a.body = cJSON_ParseWithLength((char *)r->body, r->body_len);
		if (!a.body) {
			fail(&a, 400, 50109, "The request body contains invalid JSON.");
			return;
		}
	}
	route(&a);
	cJSON_Delete(a.body);
}
