/* SPDX-License-Identifier: MIT
 *
 * heal.c - see heal.h.
 */
#include "tests/e2e/heal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/e2e/measure.h"

#define LOOK_MS   500
#define WINDOW_S  0.3
#define STALE_NS  200000000LL
#define LEVEL_DB  1.5
#define ECHO_DBFS -45.0

/* The last part of a track: recent, the wanted tone at its level, the other not there. */
static bool sounds_right(const struct track *t, int64_t now_ns, double wanted, double other)
{
	size_t n = (size_t)(WINDOW_S * t->wav.rate);
	const float *x;

	if (!t->count || t->pieces[t->count - 1].t_ns < now_ns - STALE_NS || t->wav.frames < n)
		return false;
	x = t->wav.samples + t->wav.frames - n;
	return fabs(signal_tone_dbfs(x, n, t->wav.rate, wanted) + 15) < LEVEL_DB &&
	       signal_tone_dbfs(x, n, t->wav.rate, other) < ECHO_DBFS;
}

static bool has_pieces(const char *stem, const char *what)
{
	char path[640], *text = NULL;
	size_t room = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s.json", stem);
	f = fopen(path, "r");
	if (f && getdelim(&text, &room, 0, f) > 0)
		found = strstr(text, what) != NULL;
	if (f)
		fclose(f);
	free(text);
	return found;
}

int heal_streams(struct world *w, const char *call)
{
	const cJSON *c, *list = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(w->phone, "calls", "\"of\":\"all\""), "calls");

	cJSON_ArrayForEach(c, list)
		if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "call")), call))
			return (int)cJSON_GetNumberValue(
				cJSON_GetObjectItemCaseSensitive(c, "streams"));
	return 0;
}

static bool caller_hears(const struct heal *h)
{
	int streams = heal_streams(h->world, h->call);
	int64_t now_ns = harness_now_ns();
	struct track t;
	char stem[600];
	bool good;

	if (streams < 1 ||
	    !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
		    simulator_try(h->world->phone, "flush", "\"call\":\"%s\"", h->call), "ok")))
		return false;
	snprintf(stem, sizeof(stem), "%s/rec/%s.%d", h->world->dir, h->call, streams - 1);
	if (!has_pieces(stem, "\"heard\":[["))
		return false; /* a stream that has only just begun */
	track_load(&t, stem, "heard");
	good = sounds_right(&t, now_ns, h->member_hz, h->caller_hz);
	track_free(&t);
	return good;
}

static bool member_hears(const struct heal *h, int64_t now_ns)
{
	const cJSON *files = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(h->world->discord, "stop_record", "\"member\":\"%s\"", h->member),
		"files");
	struct track t;
	char stem[600];
	bool good;

	if (cJSON_GetArraySize(files) < 1)
		return false;
	snprintf(stem, sizeof(stem), "%s/rec/heal-%s." BOT, h->world->dir, h->member);
	if (!has_pieces(stem, "\"packets\":[["))
		return false;
	track_load(&t, stem, "packets");
	good = sounds_right(&t, now_ns, h->caller_hz, h->member_hz);
	track_free(&t);
	return good;
}

struct heal_ears heal_look(const struct heal *h)
{
	struct heal_ears ears;

	simulator_ask(h->world->discord, "record", "\"member\":\"%s\",\"path\":\"%s/rec/heal-%s\"",
		      h->member, h->world->dir, h->member);
	harness_sleep_ms(LOOK_MS);
	ears.member = member_hears(h, harness_now_ns());
	ears.caller = caller_hears(h);
	return ears;
}

double heal_wait(const struct heal *h, int64_t since_ns, int ms)
{
	int64_t end = since_ns + (int64_t)ms * harness_patience() * 1000000;

	for (;;) {
		struct heal_ears ears = heal_look(h);

		if (ears.caller && ears.member)
			return (double)(harness_now_ns() - since_ns) / 1e9;
		if (harness_now_ns() > end)
			harness_failed("after %d ms the caller hears %s, the member hears %s", ms,
				       ears.caller ? "the channel" : "nothing right",
				       ears.member ? "the caller" : "nothing right");
	}
}

void heal_report(const struct heal *h, const char *what, int64_t since_ns, int ms)
{
	printf("# %s: both hear each other after %.1f s\n", what, heal_wait(h, since_ns, ms));
}

bool heal_is_whole(const struct heal *h)
{
	for (int i = 0; i < 8; i++) {
		struct heal_ears ears = heal_look(h);

		if (ears.caller && ears.member)
			return true;
	}
	return false;
}

bool heal_keep_alive(struct world *w)
{
	if (process_ended(&w->bridge))
		harness_failed("loopline-bridge ended with status %x", (unsigned)w->bridge.status);
	if (!process_ended(&w->bot))
		return false;
	if (!WIFEXITED(w->bot.status) || WEXITSTATUS(w->bot.status) != 78)
		harness_failed("loopline-discord ended with status %x", (unsigned)w->bot.status);
	world_run_bot(w);
	return true;
}
