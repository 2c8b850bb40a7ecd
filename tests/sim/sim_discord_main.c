/* SPDX-License-Identifier: MIT
 *
 * sim_discord - a Discord with guilds, voice channels and members who speak (README.md).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"
#include "tests/sim/discord_dave.h"

#define BOT 900000000000000001u

static const char *do_bot(void *ctx, const cJSON *o, cJSON *answer)
{
	uint64_t id = id_of(o, "user");
	struct user *u = user_add(id ? id : new_id(), sim_str(o, "name", "bot"), true);

	snprintf(u->token, sizeof(u->token), "%s", sim_str(o, "token", "token"));
	cJSON_AddItemToObject(answer, "user", id_json(u->id));
	return NULL;
}

static const char *do_guild(void *ctx, const cJSON *o, cJSON *answer)
{
	uint64_t id = id_of(o, "guild");

	if (!id || guild_find(id))
		return "guild needs an id of its own";
	dispatch(NULL, INTENT_GUILDS, "GUILD_CREATE",
		 guild_json(guild_add(id, sim_str(o, "name", "guild")), true));
	return NULL;
}

static const char *do_channel(void *ctx, const cJSON *o, cJSON *answer)
{
	struct guild *g = guild_find(id_of(o, "guild"));
	uint64_t id = id_of(o, "channel");

	if (!g || !id || channel_find(id))
		return "channel needs a guild and an id of its own";
	dispatch(g, INTENT_GUILDS, "CHANNEL_CREATE",
		 channel_json(channel_add(g, id, (int)sim_num(o, "type", 2),
					  sim_str(o, "name", "channel"))));
	return NULL;
}

static const char *do_grant(void *ctx, const cJSON *o, cJSON *answer)
{
	D.message_content = sim_flag(o, "message_content", D.message_content);
	return NULL;
}

static const char *do_timing(void *ctx, const cJSON *o, cJSON *answer)
{
	D.gateway_heartbeat_ms = (int)sim_num(o, "gateway_ms", D.gateway_heartbeat_ms);
	D.voice_heartbeat_ms = (int)sim_num(o, "voice_ms", D.voice_heartbeat_ms);
	return NULL;
}

static const char *do_messages(void *ctx, const cJSON *o, cJSON *answer)
{
	struct channel *c = channel_find(id_of(o, "channel"));
	cJSON *list = cJSON_AddArrayToObject(answer, "messages"), *m;

	if (!c)
		return "no such channel";
	cJSON_ArrayForEach(m, c->messages)
	{
		const cJSON *edits = cJSON_GetObjectItemCaseSensitive(m, "sim_edits");

		cJSON_AddItemToArray(
			list,
			sim_obj("ssso", "id", sim_str(m, "id", ""), "author",
				sim_str(cJSON_GetObjectItemCaseSensitive(m, "author"), "username", ""),
				"content", sim_str(m, "content", ""), "edits",
				edits ? cJSON_Duplicate(edits, 1) : cJSON_CreateArray()));
	}
	return NULL;
}

static const char *do_commands(void *ctx, const cJSON *o, cJSON *answer)
{
	cJSON *list = cJSON_AddObjectToObject(answer, "commands");

	for (struct user *u = D.users; u; u = u->next)
		if (*u->token)
			cJSON_AddItemToObject(list, u->name, cJSON_Duplicate(u->commands, 1));
	return NULL;
}

static const char *do_state(void *ctx, const cJSON *o, cJSON *answer)
{
	cJSON *guilds = cJSON_AddArrayToObject(answer, "guilds");
	cJSON *voices = cJSON_AddArrayToObject(answer, "voices");

	for (const struct guild *g = D.guilds; g; g = g->next)
		cJSON_AddItemToArray(guilds, guild_json(g, true));
	for (const struct voice_session *v = D.voices; v; v = v->next)
		cJSON_AddItemToArray(voices, voice_session_json(v));
	cJSON_AddItemToObject(answer, "gateways", gateway_state());
	return NULL;
}

static const char *do_malformed(void *ctx, const cJSON *o, cJSON *answer)
{
	return strcmp(sim_str(o, "to", "gateway"), "voice") ? gateway_command(ctx, o, answer) :
							      voice_command(ctx, o, answer);
}

static const struct sim_command commands[] = {
	{ "bot", do_bot },
	{ "guild", do_guild },
	{ "channel", do_channel },
	{ "grant", do_grant },
	{ "timing", do_timing },
	{ "messages", do_messages },
	{ "commands", do_commands },
	{ "state", do_state },
	{ "malformed", do_malformed },
	{ "member", member_command },
	{ "join", member_command },
	{ "leave", member_command },
	{ "say", member_command },
	{ "speak", member_command },
	{ "hush", member_command },
	{ "record", member_command },
	{ "stop_record", member_command },
	{ "interact", rest_interact },
	{ "gateway", gateway_command },
	{ "gateway_next", gateway_command },
	{ "send_gateway", gateway_command },
	{ "voice", voice_command },
	{ "voice_next", voice_command },
	{ "send_voice", voice_command },
	{ "dave", voice_command },
	{ "impair", fault_command },
	{ "udp", fault_command },
	{ "udp_garbage", fault_command },
	{ "move", fault_command },
	{ "kick", fault_command },
	{ "delete_channel", fault_command },
	{ "server_move", fault_command },
	{ "deafen", fault_command },
	{ "mute_user", fault_command },
	{ "room", fault_command },
	{ "counters", fault_command },
	{ "rest_next", fault_command },
	{ NULL, NULL },
};

static void request(void *ctx, struct sim_http *h, const struct sim_http_message *r)
{
	rest_request(h, r);
}

static void accepted(void *ctx, struct sim_conn *c)
{
	static const struct sim_http_ops ops = { .request = request };

	sim_http_serve(c, &ops, NULL);
}

static void make_world(const char *token)
{
	static const uint64_t ids[] = { 811111111111111111u, 822222222222222222u };
	struct user *bot = user_add(BOT, "loopline", true);

	snprintf(bot->token, sizeof(bot->token), "%s", token);
	for (int i = 0; i < 2; i++) {
		struct guild *g = guild_add(ids[i], i ? "Second" : "First");
		uint64_t base = ids[i] / 1000 * 1000;

		channel_add(g, base + 1, 0, "general");
		channel_add(g, base + 101, 2, "Lounge");
		channel_add(g, base + 102, 2, "Attic");
	}
}

static cJSON *guilds_json(void)
{
	cJSON *list = cJSON_CreateArray();

	for (const struct guild *g = D.guilds; g; g = g->next) {
		cJSON *o = sim_obj("os", "id", id_json(g->id), "name", g->name);
		cJSON *voice = cJSON_AddArrayToObject(o, "voice");

		for (const struct channel *c = D.channels; c; c = c->next) {
			if (c->guild != g)
				continue;
			if (c->type == 2)
				cJSON_AddItemToArray(voice, id_json(c->id));
			else
				cJSON_AddItemToObject(o, "text", id_json(c->id));
		}
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "dir", 1, NULL, 'd' },
						 { "token", 1, NULL, 't' },
						 { "dave-member", 1, NULL, 'm' },
						 { NULL, 0, NULL, 0 } };
	const char *dir = ".", *token = "MTIzNDU2Nzg5MDEyMzQ1Njc4.sand.box-token";
	struct sim_listener *rest;
	char ca[4096], api[64], program[4096] = "";
	const char *slash = strrchr(argv[0], '/');
	int opt, err;

	/* the program that keeps the keys of members lies beside this one */
	snprintf(program, sizeof(program), "%.*sdave_member", slash ? (int)(slash - argv[0] + 1) : 0,
		 argv[0]);

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'd')
			dir = optarg;
		else if (opt == 't')
			token = optarg;
		else if (opt == 'm')
			snprintf(program, sizeof(program), "%s", optarg);
		else
			return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(ca, sizeof(ca), "%s/discord-ca.pem", dir);
	err = sim_loop_create(&D.loop);
	if (!err)
		err = sim_tls_server_create(&D.tls, ca);
	if (!err)
		err = sim_listen(&rest, D.loop, &D.rest_port, D.tls, accepted, NULL);
	if (!err)
		err = gateway_start();
	if (!err)
		err = voice_start();
	if (!err)
		err = sim_control_start(D.loop, commands, NULL);
	if (err) {
		fprintf(stderr, "sim_discord: cannot start: %s\n", strerror(-err));
		return 1;
	}
	discord_dave_start(program);
	make_world(token);
	snprintf(api, sizeof(api), "https://127.0.0.1:%d/api/v10", D.rest_port);
	sim_event("ready",
		  sim_obj("osssooo", "ports",
			  sim_obj("ii", "rest", (int64_t)D.rest_port, "voice", (int64_t)D.servers->port),
			  "api_url", api, "ca", ca, "token", token, "bot_id", id_json(BOT),
			  "application_id", id_json(BOT), "guilds", guilds_json()));
	sim_loop_run(D.loop);
	discord_dave_stop();
	members_free();
	sim_loop_destroy(D.loop);
	sim_tls_destroy(D.tls);
	return 0;
}
