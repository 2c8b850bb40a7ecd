/* SPDX-License-Identifier: MIT
 *
 * chaos_discord.c - what Discord, its moderators and members do; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <string.h>

void chaos_gateway(struct chaos *c)
{
	static const char *const how[] = {
		"\"do\":\"drop\"",
		"\"do\":\"op7\"",
		"\"do\":\"op9\",\"resumable\":true",
		"\"do\":\"op9\",\"resumable\":false",
		"\"do\":\"op1\"",
		"\"do\":\"close\",\"code\":1001",
		"\"do\":\"close\",\"code\":4000",
		"\"do\":\"close\",\"code\":4001",
		"\"do\":\"close\",\"code\":4002",
		"\"do\":\"close\",\"code\":4003",
		"\"do\":\"close\",\"code\":4005",
		"\"do\":\"close\",\"code\":4007",
		"\"do\":\"close\",\"code\":4009",
		"\"do\":\"hold\",\"ms\":2500",
		"\"do\":\"mute_acks\",\"on\":true",
	};
	const char *h = PICK(c, how);

	chaos_step(c, "gateway: %s", h);
	DISCORD(c, "gateway", "%s", h);
}

/* What a connection to come is told; some of it ends the bot, with a sentence. */
void chaos_gateway_to_come(struct chaos *c)
{
	static const char *const next[] = {
		"\"close\":4000,\"when\":\"resume\"",	"\"close\":4007,\"when\":\"resume\"",
		"\"close\":4000,\"when\":\"connect\"",	"\"close\":4000,\"when\":\"identify\"",
		"\"close\":4009,\"when\":\"identify\"", "\"close\":4004,\"when\":\"identify\"",
		"\"close\":4013,\"when\":\"identify\"", "refused intent",
	};
	const char *n = PICK(c, next);

	if ((strstr(n, "4004") || strstr(n, "4013")) && !c->ends_bot)
		n = next[0];
	chaos_step(c, "gateway, the next: %s", n);
	if (*n == 'r') {
		DISCORD(c, "grant", "\"message_content\":false");
		c->intent_refused = true;
	} else {
		DISCORD(c, "gateway_next", "%s,\"count\":1", n);
	}
	if (strstr(n, "resume") || strstr(n, "connect"))
		DISCORD(c, "gateway", "\"do\":\"drop\"");
	else
		DISCORD(c, "gateway", "\"do\":\"op9\",\"resumable\":false");
}

/* No identify is left for some seconds, and the bot needs one. */
void chaos_budget(struct chaos *c)
{
	int ms = 1000 + chaos_chance(c, 9000);

	chaos_step(c, "no identify is left for %d ms", ms);
	DISCORD(c, "gateway_next", "\"count\":0,\"remaining\":0,\"reset_after_ms\":%d", ms);
	DISCORD(c, "gateway", "\"do\":\"op9\",\"resumable\":false");
}

void chaos_voice(struct chaos *c)
{
	static const int codes[] = {1000, 1001, 4001, 4002, 4003, 4004, 4005, 4006, 4009, 4011,
				    4012, 4013, 4014, 4015, 4016, 4020, 4021, 4022};
	static const char *const how[] = {
		"\"do\":\"drop\"", "\"do\":\"op3\"", "\"do\":\"hold\",\"ms\":2500",
		"\"do\":\"mute_acks\",\"on\":true",
	};
	static const char *const next[] = {
		"\"close\":4006,\"when\":\"resume\"",	"\"close\":4015,\"when\":\"resume\"",
		"\"close\":4006,\"when\":\"identify\"", "\"close\":4017,\"when\":\"identify\"",
		"\"close\":4021,\"when\":\"identify\"",
	};
	int what = chaos_chance(c, 8), code = PICK(c, codes);
	const char *h = PICK(c, how), *n = PICK(c, next);

	if (what < 2) {
		chaos_step(c, "voice, the next: %s", n);
		DISCORD(c, "voice_next", "%s,\"count\":1", n);
		code = strstr(n, "resume") ? 4015 : 4006;
	}
	if (what < 5) {
		chaos_step(c, "voice: close %d", code);
		DISCORD(c, "voice", "\"do\":\"close\",\"code\":%d", code);
	} else {
		chaos_step(c, "voice: %s", h);
		DISCORD(c, "voice", "%s", h);
	}
}

/* A channel that was deleted is made again under its id: the settings name it. */
void chaos_channel_again(struct chaos *c)
{
	DISCORD(c, "channel", "\"guild\":\"" GUILD "\",\"channel\":\"" LOUNGE "\",\"type\":2");
	DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"dave\":true,\"require_dave\":true,"
			   "\"listen_needs_voice\":true");
	DISCORD(c, "join", "\"member\":\"ann\",\"channel\":\"" LOUNGE "\"");
	DISCORD(c, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
}

void chaos_moderator(struct chaos *c)
{
	int ms = chaos_chance(c, 1500), code = chaos_chance(c, 2) ? 4014 : 4022;

	switch (chaos_chance(c, 7)) {
	case 0:
		chaos_step(c, "the voice server moves, null for %d ms", ms);
		DISCORD(c, "server_move", "\"guild\":\"" GUILD "\",\"null_first_ms\":%d", ms);
		break;
	case 1:
		chaos_step(c, "moved away, and back after %d ms", ms);
		DISCORD(c, "move", "\"user\":\"" BOT "\",\"channel\":\"" ATTIC "\"");
		harness_sleep_ms(ms);
		DISCORD(c, "move", "\"user\":\"" BOT "\",\"channel\":\"" LOUNGE "\"");
		break;
	case 2:
		chaos_step(c, "kicked, %d", code);
		DISCORD(c, "kick", "\"user\":\"" BOT "\",\"code\":%d", code);
		break;
	case 3:
		chaos_step(c, "kicked, and the channel is full");
		DISCORD(c, "kick", "\"user\":\"" BOT "\",\"code\":%d", code);
		DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":1");
		cJSON_Delete(world_api(c->world, "discord", "POST", "/v1/lines/0/connect", NULL));
		break;
	case 4:
		chaos_step(c, "the channel is deleted");
		DISCORD(c, "delete_channel", "\"channel\":\"" LOUNGE "\"");
		c->deleted = true;
		break;
	case 5:
		chaos_step(c, "deafened");
		DISCORD(c, "deafen", "\"user\":\"" BOT "\",\"on\":true");
		break;
	default:
		chaos_step(c, "muted");
		DISCORD(c, "mute_user", "\"user\":\"" BOT "\",\"on\":true");
		break;
	}
}

void chaos_udp(struct chaos *c)
{
	int what = chaos_chance(c, 8), s = chaos_chance(c, 1000000);
	const char *direction = chaos_chance(c, 2) ? "in" : "out";

	switch (what) {
	case 0:
		chaos_step(c, "UDP port refuses");
		DISCORD(c, "udp", "\"refuse\":true");
		break;
	case 1:
		chaos_step(c, "200 malformed datagrams, seed %d", s);
		DISCORD(c, "udp_garbage", "\"count\":200,\"seed\":%d", s);
		break;
	case 2:
		chaos_step(c, "UDP is mute");
		DISCORD(c, "udp", "\"mute\":true");
		break;
	case 3:
		chaos_step(c, "keepalives are not answered");
		DISCORD(c, "udp", "\"keepalive\":\"mute\"");
		break;
	case 4:
		chaos_step(c, "a new session, of which three discoveries are lost");
		DISCORD(c, "voice", "\"do\":\"close\",\"code\":4006");
		for (int i = 0; i < 100; i++) {
			harness_sleep_ms(20);
			if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
				    DISCORD(c, "udp", "\"discovery_lose\":3"), "ok")))
				break;
		}
		break;
	default:
		chaos_step(c, "loss, jitter, reordering, duplicates, %s, seed %d", direction, s);
		DISCORD(c, "impair",
			"\"direction\":\"%s\",\"loss\":%g,\"burst\":%d,\"jitter_ms\":%d,"
			"\"reorder\":0.05,\"duplicate\":0.02,\"seed\":%d",
			direction, 0.05 * (1 + s % 6), 1 + s % 4, 20 * (1 + s % 5), s);
		break;
	}
}

void chaos_dave(struct chaos *c)
{
	static const char *const how[] = {
		"\"do\":\"downgrade\"",
		"\"do\":\"upgrade\"",
		"\"do\":\"rekey\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_commit\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_welcome\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"lose_welcome\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_sender\"",
		"\"do\":\"stranger\",\"user\":\"" BOT "\",\"stranger\":\"933333333333333333\"",
		"\"do\":\"config\",\"overlap\":true",
		"\"do\":\"config\",\"prefer\":\"" BOT "\"",
	};
	const char *h = PICK(c, how);

	chaos_step(c, "dave: %s", h);
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE "\",%s", h);
}

void chaos_members(struct chaos *c)
{
	int m = chaos_chance(c, 3);

	switch (chaos_chance(c, 4)) {
	case 0:
	case 1:
		chaos_step(c, "member m%d comes", m);
		DISCORD(c, "member", "\"member\":\"m%d\"", m);
		DISCORD(c, "join", "\"member\":\"m%d\",\"channel\":\"" LOUNGE "\"", m);
		break;
	case 2:
		chaos_step(c, "member m%d goes", m);
		DISCORD(c, "leave", "\"member\":\"m%d\"", m);
		break;
	default:
		chaos_step(c, "member m%d speaks", m);
		DISCORD(c, "speak", "\"member\":\"m%d\",\"voice\":{\"tone\":%d,\"dbfs\":-25}", m,
			313 + 100 * m);
		break;
	}
}

void chaos_commands(struct chaos *c)
{
	static const char *const said[] = {"$hangup", "$connect", "$disconnect", "$nonsense"};
	static const char *const used[] = {"connect", "disconnect", "hangup"};
	const char *s = PICK(c, said), *u = PICK(c, used);

	if (chaos_chance(c, 2)) {
		chaos_step(c, "ann says %s", s);
		DISCORD(c, "say", "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"%s\"", s);
	} else {
		chaos_step(c, "ann uses /%s", u);
		DISCORD(c, "interact", "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"command\":\"%s\"",
			u);
	}
}
