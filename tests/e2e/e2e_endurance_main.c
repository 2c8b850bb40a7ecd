/* SPDX-License-Identifier: MIT
 *
 * e2e_endurance - faults at random, from the whole table of README.md, with calls coming and going.
 *
 *   e2e_endurance [SECONDS [SEED [KIND,...]]]    default 20 1, all kinds
 *
 * Every round makes a few faults, then stops making them and asks: does everybody hear everybody
 * again, is every call either up or properly over, are memory and descriptors what they were? Each
 * step is printed with its time and arguments; the same seed makes the same faults in the same
 * order. In a long run the two processes take turns at being ended, so that each lives for many
 * rounds: a leak of a few kilobytes a round would show. At the end all their lives are printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/chaos.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/footprint.h"
#include "tests/e2e/heal.h"
#include "tests/sim/malformed.h"

/* After a fault that Discord asks to be patient about (4008, op 9) the way back takes a minute. */
#define HEAL_MS     90000
#define CALL_MS     75000
#define TURN_ROUNDS 40 /* of a long run: then the other process may be ended */
#define LONG_RUN_S  300

#define SETTINGS "CONNECT=call\nWAITING=silence\nMAX_CALLS=8\n"

static const struct world_options options = {.settings = SETTINGS, .relay = true, .names = true, .clock = true};

static uint64_t seed = 1, rng;
static const char *kind; /* NULL: all */
static int seconds = 20, rounds;
static char witness[16]; /* the call whose sound is looked at; the others are silent */
static struct heal pair = {&W, witness, "ann", 1013, 617};
static struct chaos chaos;
static double worst_heal_s, worst_call_s; /* until both heard again, until no other call was there */

/* ---- the processes' lives ------------------------------------------------------------------- */

#define LIVES_TEXT 65536

static struct watched {
	const char *name;
	struct process *process;
	struct footprint_life life;
	int lives;
} watched[] = {{.name = "bridge", .process = &W.bridge}, {.name = "discord", .process = &W.bot}};

static char lives[LIVES_TEXT]; /* what there is to say about those that are over */
static int lives_not_flat;

/* Where the memory is, for whoever looks at a failed run's directory (KEEP=1). */
static void keep_smaps(const struct watched *w)
{
	char path[64], *text = NULL;
	size_t room = 0;
	FILE *in, *out;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)w->process->pid);
	in = fopen(path, "r");
	out = fopen(world_file(&W, "smaps"), "w");
	if (in && out && getdelim(&text, &room, 0, in) > 0)
		fputs(text, out);
	free(text);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

static void life_over(struct watched *w)
{
	size_t at = strlen(lives);
	char text[512];
	bool flat;

	if (!w->life.count)
		return;
	flat = footprint_flat(&w->life, text, sizeof(text));
	lives_not_flat += !flat;
	snprintf(lives + at, sizeof(lives) - at, "# %s, life %d: %s%s\n", w->name, ++w->lives, text,
		 flat ? "" : " NOT FLAT");
	w->life.count = 0;
}

static void look_at(struct watched *w)
{
	const struct footprint *now;

	if (w->life.pid != w->process->pid)
		life_over(w);
	footprint_look(&w->life, w->process->pid);
	for (int k = 0; k < 20 && !footprint_peak_ok(&w->life); k++) {
		harness_sleep_ms(250);
		w->life.looks[w->life.count - 1] = footprint_of(w->process->pid);
	}
	now = &w->life.looks[w->life.count - 1];
	chaos_step(&chaos, "%s: PSS %ld kB, %ld kB of its own, %d descriptors", w->name, now->pss_kb,
		   now->anon_kb, now->fds);
	if (!footprint_peak_ok(&w->life)) {
		keep_smaps(w);
		UNIT_FAIL("seed %llu: %s grows: %ld kB, %d descriptors; after warming up %ld kB, %d",
			  (unsigned long long)seed, w->name, now->anon_kb, now->fds,
			  w->life.looks[FOOTPRINT_WARM - 1].anon_kb,
			  w->life.looks[FOOTPRINT_WARM - 1].fds);
	}
}

/* ---- and then everything must be right again -------------------------------------------------- */

static bool is_up(const char *name)
{
	const cJSON *c, *list = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(W.phone, "calls", "\"of\":\"all\""), "calls");

	cJSON_ArrayForEach(c, list)
		if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "call")), name))
			return !strcmp(cJSON_GetStringValue(
					       cJSON_GetObjectItemCaseSensitive(c, "state")),
				       "up");
	return false;
}

static void witness_calls(void)
{
	char more[600];

	snprintf(more, sizeof(more), "\"record\":\"%s\"", world_file(&W, "rec"));
	snprintf(witness, sizeof(witness), "%s", chaos_call(&chaos, "{\"tone\":1013}", more));
}

/* All but the witness; that one may have been ended, properly, by what was done to it. */
static void others_hang_up(void)
{
	const cJSON *c, *list = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(W.phone, "calls", "\"of\":\"all\""), "calls");

	cJSON_ArrayForEach(c, list) {
		const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "call"));

		if (strcmp(name, witness) != 0 &&
		    !strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "state")), "up"))
			simulator_try(W.phone, "hangup", "\"call\":\"%s\"", name);
	}
}

static double seconds_since(int64_t since_ns)
{
	return (double)(harness_now_ns() - since_ns) / 1e9;
}

static void all_well(void)
{
	int64_t since = harness_now_ns();
	double heard_s, took_s;

	chaos_end(&chaos);
	harness_sleep_ms(500); /* a call that has only just come in brings its stream */
	others_hang_up();
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	for (;;) {
		struct heal_ears ears = {0};

		chaos_end(&chaos); /* what needed a connection to be taken back */
		if (!*witness || !is_up(witness))
			witness_calls();
		/* a kick is for good until somebody asks */
		cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", NULL));
		for (int i = 0; i < 6 && !(ears.caller && ears.member); i++)
			ears = heal_look(&pair);
		if (ears.caller && ears.member)
			break;
		if (harness_now_ns() - since > HEAL_MS * 1000000LL * harness_patience())
			UNIT_FAIL("seed %llu, round %d: %d ms after the last fault the caller hears "
				  "%s, the member hears %s",
				  (unsigned long long)seed, rounds, HEAL_MS,
				  ears.caller ? "the channel" : "nothing right",
				  ears.member ? "the caller" : "nothing right");
	}
	if (simulator_seen(W.discord, "complaint", "what", SIMULATOR_OVERDRAWN, NULL))
		UNIT_FAIL("seed %llu, round %d: " SIMULATOR_OVERDRAWN, (unsigned long long)seed, rounds);
	heard_s = seconds_since(since);
	worst_heal_s = heard_s > worst_heal_s ? heard_s : worst_heal_s;
	/* no call is stuck; one that was given a token and brought no stream is waited for for 70 s */
	world_wait_calls(&W, 0, 1, CALL_MS);
	took_s = seconds_since(since);
	worst_call_s = took_s > worst_call_s ? took_s : worst_call_s;
	chaos_step(&chaos, "round %d: all well after %.1f s, no other call after %.1f s", rounds, heard_s,
		   took_s);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		look_at(&watched[i]);
	simulator_forget(W.phone);
	simulator_forget(W.discord);
	simulator_forget(W.relay);
}

static void one_round(void)
{
	int n = 2 + (int)(sim_random(&rng) % 5);
	bool odd = rounds / TURN_ROUNDS % 2;

	rounds++;
	if (seconds >= LONG_RUN_S) {
		chaos.ends_bridge = odd;
		chaos.ends_bot = !odd;
	}
	for (int i = 0; i < n; i++) {
		uint64_t one = sim_random(&rng), pause = sim_random(&rng);

		chaos_fault(&chaos, one);
		harness_sleep_ms((int)(pause % 1500));
	}
	all_well();
}

static void test_random_faults(void)
{
	int64_t begin;
	int made = 0;

	world_start(&W, &options);
	chaos_begin(&chaos, &W, SETTINGS, kind);
	member_in(&W, "ann", LOUNGE);
	all_well();
	begin = harness_now_ns();
	while (harness_now_ns() < begin + seconds * 1000000000LL)
		one_round();
	calls_down(&W);
	world_wait_calls(&W, 0, 0, 30000);
	for (size_t i = 0; i < CHAOS_KINDS; i++)
		made += chaos.counts[i];
	chaos_report(&chaos);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		life_over(&watched[i]);
	fputs(lives, stdout);
	printf("# %d rounds, %d faults, %d calls, %d stops with a reason, worst way back %.1f s, "
	       "last call over after %.1f s at most, in %.0f s; seed %llu\n",
	       rounds, made, chaos.calls, chaos.stops, worst_heal_s, worst_call_s, seconds_since(begin),
	       (unsigned long long)seed);
	if (lives_not_flat)
		UNIT_FAIL("seed %llu: %d of the lives above are not flat", (unsigned long long)seed,
			  lives_not_flat);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		kind = argv[3];
	rng = seed;
	e2e_begin();
	printf("# e2e_endurance %d %llu\n", seconds, (unsigned long long)seed);
	UNIT(test_random_faults);
	return e2e_done();
}
