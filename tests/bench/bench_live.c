/* SPDX-License-Identifier: MIT
 *
 * bench_live.c - the real processes between the simulators, over the cable: delay each way, with and
 * without network jitter; drift; what they cost idle, in a channel, in a call, with 50 calls.
 *
 * BENCH_LIVE_S (default 105): seconds of chirps (two a second each way) after 30 s of settling.
 * BENCH_DRIFT_S (default 120): seconds of the drift call. BENCH_CALLS (default 50). 0 leaves a part out.
 */
#include "report.h"
#include "tests/e2e/call.h"
#include "usage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_S 30
#define DRIFT_SETTLE_S 90
#define CALLER   1013.0
#define MEMBER   617.0

static struct world W;

static int setting(const char *name, int otherwise)
{
	const char *e = getenv(name);
	return e ? atoi(e) : otherwise;
}

static struct usage use_for(double seconds)
{
	return usage_during(W.bridge.pid, W.bot.pid, seconds);
}

static double field(const cJSON *call, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(call, name);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

/* A figure of the bridge's first call on line 0. */
static double of_call(const char *name)
{
	int status;
	cJSON *state = world_api(&W, "bridge", "GET", "/v1/state", &status);
	const cJSON *sound = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(state, "sound"), 0);
	const cJSON *call = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(sound, "calls"), 0);
	double v = field(call, name);
	cJSON_Delete(state);
	return v;
}

/* Both processes' own figures, to stderr: where a delay comes from. */
static void log_state(void)
{
	static const char *const sockets[] = {"bridge", "discord"};
	for (int i = 0; i < 2; i++) {
		int status;
		cJSON *state = world_api(&W, sockets[i], "GET", "/v1/state", &status);
		char *text = cJSON_PrintUnformatted(state);
		fprintf(stderr, "%s: %s\n", sockets[i], text ? text : "?");
		free(text);
		cJSON_Delete(state);
	}
}

/* ---- delay --------------------------------------------------------------------------------- */

static void delays_after(struct delays *d, double from_s)
{
	double sorted[1024];
	size_t n = 0;
	for (size_t i = 0; i < d->count; i++) {
		if (d->at_s[i] < from_s)
			continue;
		d->at_s[n] = d->at_s[i];
		d->ms[n++] = d->ms[i];
	}
	d->count = n;
	memcpy(sorted, d->ms, n * sizeof *sorted);
	d->p50 = signal_percentile(sorted, n, 50);
	d->p99 = signal_percentile(sorted, n, 99);
	d->slope_ms_per_min = signal_slope(d->at_s, d->ms, n) * 60;
}

static void report_delay(const char *group, const char *way, struct delays *d, double from_s, double p50,
			 double p99, bool slope)
{
	char goal[32];
	delays_after(d, from_s);
	snprintf(goal, sizeof goal, "<= %.0f", p50);
	BENCH_ROW(group, d->p50, "ms", goal, d->p50 <= p50, "%s, p50 of %zu chirps", way, d->count);
	snprintf(goal, sizeof goal, "<= %.0f", p99);
	BENCH_ROW(group, d->p99, "ms", goal, d->p99 <= p99, "%s, p99", way);
	if (slope)
		BENCH_ROW(group, d->slope_ms_per_min, "ms/min", "+-0.1", fabs(d->slope_ms_per_min) <= 0.1,
			  "%s, slope", way);
}

static void delay(const char *name, const char *group, double jitter_ms, int seconds)
{
	struct track said, heard;
	struct delays d;
	char more[64], stem[64];
	/* uniform jitter: its 99th percentile */
	double extra = jitter_ms * 0.99;

	snprintf(more, sizeof more, "\"jitter_ms\":%g,\"seed\":5", jitter_ms);
	snprintf(stem, sizeof stem, "rec/%s-said", name);
	member_record(&W, "ann", name);
	call_up(&W, 0, name, "{\"chirp\":{\"every_ms\":500}}", true, more);
	if (jitter_ms > 0)
		simulator_ask(W.discord, "impair", "\"direction\":\"out\",\"jitter_ms\":%g,\"seed\":9", jitter_ms);
	simulator_ask(W.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"chirp\":{\"every_ms\":500}},\"reference\":\"%s\"",
		      world_file(&W, stem));
	double from_s = (double)harness_now_ns() * 1e-9 + SETTLE_S;
	harness_sleep_ms((SETTLE_S + seconds) * 1000);
	log_state();
	double playout = of_call("playout_ms"), queue = of_call("twilio_queue_ms");
	call_down(&W, name);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	simulator_wait(W.discord, 5000, "member.quiet", "member", "ann", NULL);
	if (jitter_ms > 0)
		simulator_ask(W.discord, "impair", "\"direction\":\"out\"");

	snprintf(stem, sizeof stem, "rec/%s.0", name);
	track_load(&said, world_file(&W, stem), "said");
	member_recorded(&W, "ann", name, &heard);
	measure_delays(&d, &said, &heard, 500);
	report_delay(group, "phone to Discord", &d, from_s, 40 + extra, 60 + extra, jitter_ms == 0);
	track_free(&said);
	track_free(&heard);
	snprintf(stem, sizeof stem, "rec/%s-said", name);
	track_load(&said, world_file(&W, stem), "packets");
	snprintf(stem, sizeof stem, "rec/%s.0", name);
	track_load(&heard, world_file(&W, stem), "heard");
	measure_delays(&d, &said, &heard, 500);
	report_delay(group, "Discord to phone", &d, from_s, 45 + extra, 70 + extra, jitter_ms == 0);
	track_free(&said);
	track_free(&heard);
	BENCH_NOTE(group, playout, "ms", "playout of the caller, of that");
	BENCH_NOTE(group, queue, "ms", "Twilio's queue by its marks");
}

/* ---- drift --------------------------------------------------------------------------------- */

static void gaps_of(const char *group, const char *way, struct track *t, double from_ns, double seconds,
		    double hz)
{
	struct signal_gaps g;
	size_t from = (size_t)track_sample(t, from_ns), n = (size_t)(seconds * t->wav.rate);
	if (from + n > t->wav.frames)
		n = t->wav.frames > from ? t->wav.frames - from : 0;
	signal_find_gaps(&g, t->wav.samples + from, n, t->wav.rate, hz);
	BENCH_ROW(group, (double)g.count, "", "0", g.count == 0, "%s: gaps in %.0f s", way,
		  (double)n / t->wav.rate);
	BENCH_NOTE(group, (g.hz / hz - 1) * 1e6, "ppm", "%s: pitch (the far clock's own)", way);
	BENCH_NOTE(group, g.residual_db, "dB", "%s: all that is not the tone", way);
}

static void drift(int seconds)
{
	struct track t;
	char group[64];
	snprintf(group, sizeof group, "live: caller +300 ppm, speaker -300 ppm");
	member_record(&W, "ann", "drift");
	call_up(&W, 0, "drift", "{\"tone\":1013}", true, "\"ppm\":300");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617},\"ppm\":-300");
	/* the loop is quick for 20 s, then calm; a rate is judged once that is over */
	double from_ns = (double)harness_now_ns() + DRIFT_SETTLE_S * 1e9;
	harness_sleep_ms(DRIFT_SETTLE_S * 1000);
	double low = 1e9, high = -1e9, sum = 0, sum2 = 0;
	int n = 0;
	for (; n < seconds; n++) {
		double queue = of_call("twilio_queue_ms"), ppm = of_call("ppm");
		low = fmin(low, queue);
		high = fmax(high, queue);
		sum += ppm;
		sum2 += ppm * ppm;
		harness_sleep_ms(1000);
	}
	call_down(&W, "drift");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	double mean = sum / n, sd = sqrt(fmax(0, sum2 / n - mean * mean));
	BENCH_ROW(group, mean, "ppm", "300 +- 2", fabs(mean - 300) <= 2, "rate found for the caller, mean");
	BENCH_ROW(group, sd, "ppm", "<= 15", sd <= 15, "rate found for the caller, standard deviation");
	BENCH_ROW(group, high - low, "ms", "<= 5", high - low <= 5, "Twilio's queue by marks, range");
	member_recorded(&W, "ann", "drift", &t);
	gaps_of(group, "phone to Discord", &t, from_ns, seconds, CALLER);
	track_free(&t);
	track_load(&t, world_file(&W, "rec/drift.0"), "heard");
	gaps_of(group, "Discord to phone", &t, from_ns, seconds, MEMBER);
	track_free(&t);
}

/* ---- cost ---------------------------------------------------------------------------------- */

static void note_stolen(const char *group, const struct usage *u)
{
	BENCH_NOTE(group, u->stolen * 100, "%", "stolen from this machine meanwhile");
}

static void cost_idle(void)
{
	const char *group = "live: cost";
	struct usage u = use_for(20);
	BENCH_ROW(group, u.bridge_ms + u.discord_ms, "ms/s", "<= 2", u.bridge_ms + u.discord_ms <= 2,
		  "CPU of the idle pair (bridge %.2f, discord %.2f)", u.bridge_ms, u.discord_ms);
	double pss = usage_pss_mib(W.bridge.pid) + usage_pss_mib(W.bot.pid);
	BENCH_ROW(group, pss, "MiB", "<= 24", pss <= 24, "PSS of the idle pair (bridge %.1f, discord %.1f)",
		  usage_pss_mib(W.bridge.pid), usage_pss_mib(W.bot.pid));
}

/* In the channel without calls: the ten seconds for which the bot stays. */
static void cost_channel(void)
{
	call_up(&W, 0, "short", "{\"tone\":1013}", false, "");
	harness_sleep_ms(1000);
	call_down(&W, "short");
	harness_sleep_ms(1000);
	struct usage u = use_for(7);
	BENCH_ROW("live: cost", u.bridge_ms + u.discord_ms, "ms/s", "<= 5", u.bridge_ms + u.discord_ms <= 5,
		  "CPU in a channel without calls (bridge %.2f, discord %.2f)", u.bridge_ms, u.discord_ms);
}

static void cost_calls(int calls)
{
	const char *group = "live: cost";
	double before = usage_pss_mib(W.bridge.pid) + usage_pss_mib(W.bot.pid);
	simulator_ask(W.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"noise\":-20,\"seed\":3},\"preencode\":5");
	simulator_ask(W.phone, "load",
		      "\"calls\":%d,\"seconds\":40,\"voice\":{\"noise\":-25,\"seed\":1},\"stagger_ms\":100", calls);
	world_wait_channel(&W, 0, "connected", 15000);
	world_wait_calls(&W, 0, calls, 30000);
	harness_sleep_ms(5000);
	struct usage u = use_for(15);
	double pss = usage_pss_mib(W.bridge.pid) + usage_pss_mib(W.bot.pid);
	/* one line: the bridge works for each call, the bot once for the line */
	double each = u.bridge_ms / calls + u.discord_ms;
	BENCH_NOTE(group, u.bridge_ms, "ms/s", "CPU of the bridge at %d calls on one line", calls);
	BENCH_NOTE(group, u.discord_ms, "ms/s", "CPU of the bot: one line, one speaker, encrypted transport");
	BENCH_ROW(group, each, "ms", "<= 8", each <= 8,
		  "CPU per call-second, of both, if each call had a line of its own");
	BENCH_ROW(group, (pss - before) / calls, "MiB", "<= 0.75", (pss - before) / calls <= 0.75,
		  "PSS per call, of both");
	note_stolen(group, &u);
	simulator_wait(W.phone, 60000, "load.done", NULL);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
}

/* ---- */

int main(void)
{
	static const struct world_options options = {
		.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=128\n"};
	int seconds = setting("BENCH_LIVE_S", 105), calls = setting("BENCH_CALLS", 50);
	int drift_s = setting("BENCH_DRIFT_S", 120);

	world_start(&W, &options);
	harness_sleep_ms(2000);
	cost_idle();
	member_in(&W, "ann", LOUNGE);
	if (seconds) {
		delay("still", "live: delay, no jitter", 0, seconds);
		delay("jitter", "live: delay, 30 ms of jitter", 30, seconds);
	}
	if (drift_s)
		drift(drift_s);
	cost_channel();
	if (calls)
		cost_calls(calls);
	world_stop(&W, false);
	return 0;
}
