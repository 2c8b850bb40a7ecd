/* SPDX-License-Identifier: MIT
 *
 * chaos_phone.c - what callers and their streams do; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/malformed.h"

const char *chaos_call(struct chaos *c, const char *voice, const char *more)
{
	static char name[16];

	snprintf(name, sizeof(name), "e%d", ++c->calls);
	chaos_step(c, "call %s %s", name, more);
	/* the bridge may not listen at the moment */
	simulator_try(c->world->phone, "call", "\"call\":\"%s\",\"voice\":%s%s%s", name, voice,
		      *more ? "," : "", more);
	return name;
}

/* A call that is up, any; "" if there is none. Takes one number, however many there are. */
static const char *any_call(struct chaos *c)
{
	static char name[16];
	const cJSON *e, *list = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(c->world->phone, "calls", "\"of\":\"all\""), "calls");
	unsigned up = 0, which = (unsigned)sim_random(&c->rng);

	name[0] = 0;
	for (int pass = 0; pass < 2; pass++) {
		unsigned n = 0;

		cJSON_ArrayForEach(e, list) {
			const char *state = cJSON_GetStringValue(
				cJSON_GetObjectItemCaseSensitive(e, "state"));

			if (state && !strcmp(state, "up") && n++ == which && pass)
				snprintf(name, sizeof(name), "%s",
					 cJSON_GetStringValue(
						 cJSON_GetObjectItemCaseSensitive(e, "call")));
		}
		up = n;
		which = up ? which % up : 0;
	}
	return name;
}

void chaos_calls(struct chaos *c)
{
	const char *name = any_call(c);

	switch (chaos_chance(c, 4)) {
	case 0:
	case 1:
		chaos_call(c, "null", "");
		break;
	case 2:
		if (*name) {
			chaos_step(c, "%s hangs up", name);
			simulator_try(c->world->phone, "hangup", "\"call\":\"%s\"", name);
		}
		break;
	default:
		if (*name) {
			chaos_step(c, "%s presses a key", name);
			simulator_try(c->world->phone, "dtmf", "\"call\":\"%s\",\"digit\":\"5\"",
				      name);
		}
		break;
	}
}

/* Calls that are not as they should be, or not what they say they are. */
void chaos_odd_call(struct chaos *c)
{
	static const char *const odd[] = {
		"\"signature\":\"wrong\"",	  "\"stream_signature\":\"wrong\"",
		"\"url_token\":\"wrong\"",	  "\"param_token\":\"wrong\"",
		"\"param_token\":\"missing\"",	  "\"hold_upgrade_ms\":800",
		"\"hold_start_ms\":3000",	  "\"chunk\":[1,80,159,161,800,0]",
		"\"piece\":50",			  "\"jitter_ms\":150",
		"\"ppm\":300",			  "\"params\":{\"CallStatus\":\"completed\"}",
		"\"params\":{\"AccountSid\":\"AC00000000000000000000000000000000\"}",
	};

	chaos_call(c, "null", PICK(c, odd));
}

void chaos_stream(struct chaos *c)
{
	static const char *const how[] = {"drop", "eof", "vanish"};
	const char *name = any_call(c), *h = PICK(c, how);
	int what = chaos_chance(c, 5), ms = 100 + chaos_chance(c, 4000), s = chaos_chance(c, 1000000);

	if (!*name)
		return;
	switch (what) {
	case 0:
		chaos_step(c, "stream of %s: %s", name, h);
		simulator_try(c->world->phone, "hangup", "\"call\":\"%s\",\"how\":\"%s\"", name, h);
		break;
	case 1:
		chaos_step(c, "stream of %s stalls for %d ms%s", name, ms, s % 2 ? ", lost" : "");
		simulator_try(c->world->phone, "stall", "\"call\":\"%s\",\"ms\":%d,\"lose\":%s", name,
			      ms, s % 2 ? "true" : "false");
		break;
	case 2:
		chaos_step(c, "malformed messages on the stream of %s, seed %d", name, s);
		simulator_try(c->world->phone, "malformed", "\"call\":\"%s\",\"count\":20,\"seed\":%d",
			      name, s);
		break;
	case 3:
		chaos_step(c, "%s is not read for a second", name);
		simulator_try(c->world->phone, "pause_reading", "\"call\":\"%s\",\"paused\":true", name);
		harness_sleep_ms(1000);
		simulator_try(c->world->phone, "pause_reading", "\"call\":\"%s\",\"paused\":false",
			      name);
		break;
	default:
		chaos_step(c, "%d frames of %s are left out", 1 + s % 50, name);
		simulator_try(c->world->phone, "skip", "\"call\":\"%s\",\"frames\":%d", name, 1 + s % 50);
		break;
	}
}
