/* SPDX-License-Identifier: MIT
 *
 * call.c - see call.h.
 */
#include "tests/e2e/call.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void call_up(struct world *w, int line, const char *name, const char *voice, bool record,
	     const char *more)
{
	simulator_ask(w->phone, "call", "\"call\":\"%s\",\"voice\":%s%s%s%s%s%s", name, voice,
		      record ? ",\"record\":\"" : "", record ? world_file(w, "rec") : "",
		      record ? "\"" : "", *more ? "," : "", more);
	simulator_wait(w->phone, 10000, "stream.open", "call", name, NULL);
	world_wait_channel(w, line, "connected", 15000);
}

void call_settle(struct world *w, const char *name, const char *caller, const char *member_name,
		 const char *member, const char *more)
{
	simulator_ask(w->phone, "voice", "\"call\":\"%s\",\"voice\":{\"chirp\":{\"every_ms\":500}}",
		      name);
	simulator_ask(w->discord, "speak",
		      "\"member\":\"%s\",\"voice\":{\"chirp\":{\"every_ms\":500}}", member_name);
	harness_sleep_ms(4000);
	simulator_ask(w->phone, "voice", "\"call\":\"%s\",\"voice\":%s", name, caller);
	simulator_ask(w->discord, "speak", "\"member\":\"%s\",\"voice\":%s%s%s", member_name,
		      member, *more ? "," : "", more);
}

void call_down(struct world *w, const char *name)
{
	simulator_ask(w->phone, "hangup", "\"call\":\"%s\"", name);
	simulator_wait(w->phone, 5000, "call.ended", "call", name, NULL);
}

void call_both_hear(struct world *w, const char *call, int stream, const char *member_name,
		    const char *stem, double caller_hz, double member_hz)
{
	struct track t;
	double begin;
	char path[600];

	member_record(w, member_name, stem);
	begin = (double)harness_now_ns() + 3e8;
	harness_sleep_ms(6000);
	member_recorded(w, member_name, stem, &t);
	expect_tones_at("the member", &t, begin, TONES(caller_hz), TONES(member_hz));
	track_free(&t);
	simulator_ask(w->phone, "flush", "\"call\":\"%s\"", call);
	snprintf(path, sizeof(path), "%s/rec/%s.%d", w->dir, call, stream);
	track_load(&t, path, "heard");
	expect_tones_at("the caller", &t, begin, TONES(member_hz), TONES(caller_hz));
	track_free(&t);
}

void call_chirps(struct world *w, const char *name, const char *member_name)
{
	char said_stem[64];

	snprintf(said_stem, sizeof(said_stem), "%s.%s", name, member_name);
	simulator_ask(w->phone, "voice", "\"call\":\"%s\",\"voice\":{\"chirp\":{\"every_ms\":500}}",
		      name);
	member_record(w, member_name, name);
	simulator_ask(w->discord, "speak",
		      "\"member\":\"%s\",\"voice\":{\"chirp\":{\"every_ms\":500}},"
		      "\"reference\":\"%s/rec/%s\"",
		      member_name, w->dir, said_stem);
}

void call_chirps_end(struct world *w, const char *name, const char *member_name,
		     struct delays *to_discord, struct delays *to_phone)
{
	struct track said, heard;
	char said_stem[64], path[600];

	snprintf(said_stem, sizeof(said_stem), "%s.%s", name, member_name);
	call_down(w, name);
	simulator_ask(w->discord, "hush", "\"member\":\"%s\"", member_name);
	simulator_wait(w->discord, 5000, "member.quiet", "member", member_name, NULL);
	snprintf(path, sizeof(path), "%s/rec/%s.0", w->dir, name);
	track_load(&said, path, "said");
	member_recorded(w, member_name, name, &heard);
	measure_delays(to_discord, &said, &heard, 500);
	track_free(&said);
	track_free(&heard);
	track_load(&heard, path, "heard");
	snprintf(path, sizeof(path), "%s/rec/%s", w->dir, said_stem);
	track_load(&said, path, "packets");
	measure_delays(to_phone, &said, &heard, 500);
	track_free(&said);
	track_free(&heard);
}

void call_delays(struct world *w, const char *name, const char *member_name, int ms,
		 struct delays *to_discord, struct delays *to_phone)
{
	call_chirps(w, name, member_name);
	harness_sleep_ms(ms);
	call_chirps_end(w, name, member_name, to_discord, to_phone);
}

/* The sum of a budget's stages, which must be what they add up to. */
static double budget_sum(const cJSON *budget, const char *way, const char *whose, bool show)
{
	const cJSON *stage, *stages = cJSON_GetObjectItemCaseSensitive(budget, way);
	double sum = 0, said = NAN;

	cJSON_ArrayForEach(stage, stages)
	{
		if (show && cJSON_IsNumber(stage))
			printf("# %s %s: %s %.2f\n", whose, way, stage->string, stage->valuedouble);
		if (!cJSON_IsNumber(stage))
			harness_failed("%s %s: %s is not known", whose, way, stage->string);
		if (!strcmp(stage->string, "sum_ms"))
			said = stage->valuedouble;
		else
			sum += stage->valuedouble;
	}
	if (!(fabs(said - sum) < 0.06))
		harness_failed("%s %s: sum_ms is %.2f, its stages make %.2f", whose, way, said, sum);
	return sum;
}

static const cJSON *first_of(const cJSON *o, const char *array)
{
	return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, array), 0);
}

double call_figure(struct world *w, const char *name)
{
	cJSON *state = world_api(w, "bridge", "GET", "/v1/state", NULL);
	const cJSON *call = first_of(first_of(state, "sound"), "calls");
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(call, name);

	if (!v)
		v = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(call, "budget"), name);
	double figure = cJSON_IsNumber(v) ? v->valuedouble : NAN;

	cJSON_Delete(state);
	return figure;
}

static void budget_total(const cJSON *call, const char *way, double sum)
{
	const cJSON *total = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(call, "total"), way);

	if (!cJSON_IsNumber(total))
		harness_failed("the bridge does not know the total %s", way);
	if (fabs(total->valuedouble - sum) > 10)
		harness_failed("the bridge's total %s is %.2f, the stages make %.2f", way,
			       total->valuedouble, sum);
}

void call_budget(struct world *w, bool show, double *to_discord, double *to_phone)
{
	cJSON *bridge = world_api(w, "bridge", "GET", "/v1/state", NULL);
	cJSON *bot = world_api(w, "discord", "GET", "/v1/state", NULL);
	const cJSON *call = cJSON_GetObjectItemCaseSensitive(first_of(first_of(bridge, "sound"), "calls"),
							     "budget");
	const cJSON *line = cJSON_GetObjectItemCaseSensitive(first_of(bot, "media"), "budget");

	*to_discord = budget_sum(call, "to_discord", "bridge", show) +
		      budget_sum(line, "to_discord", "bot", show);
	*to_phone = budget_sum(first_of(line, "speakers"), "to_phone", "speaker", show) +
		    budget_sum(line, "to_phone", "bot", show) +
		    budget_sum(call, "to_phone", "bridge", show);
	/* the bridge shows the other's half as well, a few seconds old, and the whole */
	if (show) {
		budget_total(call, "to_discord_ms", *to_discord);
		budget_total(call, "to_phone_ms", *to_phone);
	}
	budget_sum(cJSON_GetObjectItemCaseSensitive(call, "discord"), "to_discord", "bot by bridge", false);
	cJSON_Delete(bridge);
	cJSON_Delete(bot);
}

void calls_down(struct world *w)
{
	const cJSON *c, *list = cJSON_GetObjectItemCaseSensitive(simulator_ask(w->phone, "calls", "\"of\":\"all\""),
								 "calls");

	cJSON_ArrayForEach(c, list)
	{
		const char *state =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "state"));

		if (state && !strcmp(state, "up"))
			simulator_try(w->phone, "hangup", "\"call\":\"%s\"",
				      cJSON_GetStringValue(
					      cJSON_GetObjectItemCaseSensitive(c, "call")));
	}
}

void member_in(struct world *w, const char *name, const char *channel)
{
	simulator_ask(w->discord, "member", "\"member\":\"%s\"", name);
	simulator_ask(w->discord, "join", "\"member\":\"%s\",\"channel\":\"%s\"", name, channel);
}

void member_record(struct world *w, const char *name, const char *stem)
{
	simulator_ask(w->discord, "record", "\"member\":\"%s\",\"path\":\"%s/rec/%s\"", name,
		      w->dir, stem);
}

void member_recorded(struct world *w, const char *name, const char *stem, struct track *out)
{
	char path[600];

	simulator_ask(w->discord, "stop_record", "\"member\":\"%s\"", name);
	snprintf(path, sizeof(path), "%s/rec/%s." BOT, w->dir, stem);
	track_load(out, path, "packets");
}

static double mean_level(const float *x, unsigned rate, double hz)
{
	double sum = 0;

	for (unsigned i = 0; i < 25; i++)
		sum += pow(10, signal_tone_dbfs(x + i * (rate / 5), rate / 5, rate, hz) / 10);
	return 10 * log10(sum / 25 + 1e-20);
}

void expect_tones(const char *where, const float *x, size_t n, unsigned rate, double from,
		  const double *present, const double *absent)
{
	size_t at = from > 0 ? (size_t)(from * rate) : 0, len = 5 * rate;

	if (n < at + len)
		harness_failed("%s: only %.1f s recorded", where, (double)n / rate);
	for (; *present; present++) {
		double level = mean_level(x + at, rate, *present);

		if (fabs(level + 15) > 0.5)
			harness_failed("%s: %g Hz is %.2f dBFS, expected -15 +- 0.5", where,
				       *present, level);
	}
	for (; *absent; absent++) {
		double level = mean_level(x + at, rate, *absent);

		if (level > -15 - SIGNAL_ABSENT_DB)
			harness_failed("%s: %g Hz is %.2f dBFS, expected none", where, *absent,
				       level);
	}
}

void expect_tones_at(const char *where, const struct track *t, double t_ns, const double *present,
		     const double *absent)
{
	expect_tones(where, t->wav.samples, t->wav.frames, t->wav.rate,
		     track_sample(t, t_ns) / t->wav.rate, present, absent);
}

void expect_tones_in_file(const char *path, double from, const double *present, const double *absent)
{
	struct wav w;

	if (wav_read(&w, path))
		harness_failed("cannot read %s", path);
	expect_tones(path, w.samples, w.frames, w.rate, from, present, absent);
	wav_free(&w);
}
