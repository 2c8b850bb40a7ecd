/* SPDX-License-Identifier: MIT
 *
 * chaos.c - faults at random; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/e2e/machine.h"
#include "tests/sim/malformed.h"

const char *const chaos_links[CHAOS_LINKS] = {"phone", "twilio", "rest", "gateway",
					      "voice", "udp",	 "local"};

int chaos_chance(struct chaos *c, int n)
{
	return (int)(sim_random(&c->rng) % (unsigned)n);
}

void chaos_step(const struct chaos *c, const char *format, ...)
{
	va_list ap;

	printf("# %7.1f ", (double)(harness_now_ns() - c->begin_ns) / 1e9);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

/* Commands, strangers, the local API. */
static void people(struct chaos *c)
{
	switch (chaos_chance(c, 3)) {
	case 0:
		chaos_commands(c);
		break;
	case 1:
		chaos_strangers(c);
		break;
	default:
		chaos_local_api(c);
		break;
	}
}

static const struct kind {
	const char *name;
	void (*make)(struct chaos *c);
	int weight;
} kinds[] = {
	{"process", chaos_process, 3},
	{"standstill", chaos_standstill, 2},
	{"settings", chaos_settings, 2},
	{"descriptors", chaos_descriptors, 2},
	{"memory", chaos_memory, 2},
	{"clock", chaos_clock, 2},
	{"log", chaos_log_pipe, 2},
	{"disk", chaos_full_disk, 1},
	{"names", chaos_names, 1},
	{"cable", chaos_cable, 2},
	{"tools", chaos_tools, 1},
	{"stream", chaos_stream, 4},
	{"calls", chaos_calls, 6},
	{"odd calls", chaos_odd_call, 3},
	{"gateway", chaos_gateway, 4},
	{"gateway to come", chaos_gateway_to_come, 2},
	{"budget", chaos_budget, 1},
	{"voice", chaos_voice, 6},
	{"moderator", chaos_moderator, 3},
	{"udp", chaos_udp, 4},
	{"dave", chaos_dave, 4},
	{"members", chaos_members, 4},
	{"links", chaos_link, 6},
	{"network", chaos_network, 2},
	{"rest", chaos_rest, 3},
	{"nonsense", chaos_nonsense, 3},
	{"people", people, 4},
};
_Static_assert(COUNT(kinds) == CHAOS_KINDS, "one count each");

/* Is the i-th in the list that was asked for, which has commas between its names? */
static bool is_wanted(const struct chaos *c, size_t i)
{
	size_t len = strlen(kinds[i].name);

	for (const char *at = c->only; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == len && !strncmp(at, kinds[i].name, len))
			return true;
	return !c->only;
}

void chaos_fault(struct chaos *c, uint64_t seed)
{
	int total = 0, at;
	size_t i = 0;

	c->rng = seed;
	for (size_t k = 0; k < COUNT(kinds); k++)
		total += is_wanted(c, k) ? kinds[k].weight : 0;
	at = chaos_chance(c, total);
	for (; !is_wanted(c, i) || at >= kinds[i].weight; i++)
		at -= is_wanted(c, i) ? kinds[i].weight : 0;
	c->counts[i]++;
	kinds[i].make(c);
	chaos_keep_alive(c);
}

void chaos_begin(struct chaos *c, struct world *w, const char *text, const char *only)
{
	int wanted = 0, asked = 1;

	*c = (struct chaos){.world = w,
			    .settings = text,
			    .only = only,
			    .begin_ns = harness_now_ns(),
			    .ends_bridge = true,
			    .ends_bot = true,
			    .log_reader = -1};
	for (size_t i = 0; i < COUNT(kinds); i++)
		wanted += is_wanted(c, i);
	for (const char *at = only; at && *at; at++)
		asked += *at == ',';
	if (only && wanted != asked)
		harness_failed("not each of these is a kind of fault: %s", only);
}

void chaos_end(struct chaos *c)
{
	struct world *w = c->world;

	for (size_t i = 0; i < CHAOS_LINKS; i++)
		simulator_ask(w->relay, "link", "\"link\":\"%s\",\"do\":\"pass\"", chaos_links[i]);
	chaos_strangers_go(c);
	if (c->no_names)
		world_names(w, true);
	if (c->disk_full)
		disk_free(w);
	if (c->clock_set)
		world_clock(w, 0);
	if (c->settings_changed)
		chaos_settings_again(c);
	chaos_log_moves(c);
	if (c->intent_refused)
		DISCORD(c, "grant", "\"message_content\":true");
	if (c->deleted)
		chaos_channel_again(c);
	c->no_names = c->disk_full = c->intent_refused = c->deleted = false;
	c->clock_set = c->settings_changed = false;
	DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":0");
	for (int i = 0; i < 2; i++)
		DISCORD(c, "impair", "\"direction\":\"%s\"", i ? "in" : "out");
	DISCORD(c, "udp", "\"mute\":false,\"keepalive\":\"answer\",\"discovery_lose\":0");
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE
			   "\",\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"none\"");
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE "\",\"do\":\"config\"");
	DISCORD(c, "gateway", "\"do\":\"mute_acks\",\"on\":false");
	DISCORD(c, "voice", "\"do\":\"mute_acks\",\"on\":false");
	/* a server's mute outlives a stay, as it does on the real one */
	DISCORD(c, "deafen", "\"user\":\"" BOT "\",\"on\":false");
	DISCORD(c, "mute_user", "\"user\":\"" BOT "\",\"on\":false");
	DISCORD(c, "gateway_next", "\"count\":0,\"remaining\":1000");
	DISCORD(c, "voice_next", "\"count\":0");
	DISCORD(c, "rest_next", "\"count\":0");
	for (int i = 0; i < 3; i++)
		DISCORD(c, "hush", "\"member\":\"m%d\"", i);
	simulator_try(w->phone, "rest", "\"count\":0");
	chaos_keep_alive(c);
}

void chaos_report(const struct chaos *c)
{
	printf("# faults:");
	for (size_t i = 0; i < COUNT(kinds); i++)
		printf(" %s %d%s", kinds[i].name, c->counts[i], i + 1 < COUNT(kinds) ? "," : "\n");
}
