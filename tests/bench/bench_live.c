/* SPDX-License-Identifier: MIT
 *
 * bench_live.c - the real processes between the simulators, over the cable.
 *
 * usage: bench_live PART...
 *	delay	chirps each way without network jitter, and with 30 ms of it
 *	slope	chirps each way without jitter, for long
 *	stalls	the stream of a caller stands still for 250 ms every 20 s
 *	quality	speech and tones each way: SNR, gain, THD+N
 *	clocks	a caller 300 ppm fast, a speaker 300 ppm slow
 *	usage	CPU and memory: idle, in a channel, with many calls on one line
 *	soak	everything at once, for long: chirps, tones, jitter, drift, a tap, an injection
 *
 * BENCH_LIVE_S (default 105): seconds of chirps (two a second each way) after 30 s of settling.
 * BENCH_STALLS_S (120). BENCH_DRIFT_S (120): seconds of the clocks call after 90 s. BENCH_CALLS (50).
 * BENCH_SOAK_S (1200), BENCH_SLOPE_S (1200).
 */
#include "report.h"
#include "stall_watch.h"
#include "tests/e2e/call.h"
#include "tests/e2e/talk.h"
#include "usage.h"

#include <math.h>
#include <signal.h>
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

static double of_call(const char *name)
{
	return call_figure(&W, name);
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

static double ports_count(const char *socket, const char *array, const char *a, const char *b, const char *what)
{
	int status;
	cJSON *state = world_api(&W, socket, "GET", "/v1/state", &status);
	const cJSON *line = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(state, array), 0);
	double n = field(cJSON_GetObjectItemCaseSensitive(line, a), what) +
		   field(cJSON_GetObjectItemCaseSensitive(line, b), what);
	cJSON_Delete(state);
	return n;
}

static double all_ports_count(const char *what)
{
	return ports_count("bridge", "sound", "phone", "discord", what) +
	       ports_count("discord", "media", "capture", "playback", what);
}

/* How often a process was kept from its PCMs for so long that they ran dry: on a quiet machine never. And what
 * was due before it was written, without that. */
static double xruns(void)
{
	return all_ports_count("xruns");
}

static double late_ms(void)
{
	return all_ports_count("late_frames") / 48;
}

/* What either process counts of sound that was not what was said, in one line: */
static void oddities(char *out, size_t size)
{
	static const char *const of_line[] = {"late_ticks", "unheard_frames", "silence_frames", "skipped_frames"};
	static const char *const of_call_[] = {"late", "concealed_frames", "dropped_frames", "splices"};
	static const char *const of_media[] = {"lost", "late", "concealed_frames"};
	static const char *const of_port[] = {"xruns", "silence_frames", "late_frames", "lead_frames"};
	static const char *const ports[][2] = {{"phone", "discord"}, {"capture", "playback"}};
	size_t at = 0;
	for (int i = 0; i < 2; i++) {
		int status;
		cJSON *state = world_api(&W, i ? "discord" : "bridge", "GET", "/v1/state", &status);
		const cJSON *line = cJSON_GetArrayItem(
			cJSON_GetObjectItemCaseSensitive(state, i ? "media" : "sound"), 0);
		const cJSON *call = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(line, "calls"), 0);
#define SHOW(from, names) \
	for (size_t name_i = 0; name_i < sizeof(names) / sizeof *(names) && at < size; name_i++) \
		at += (size_t)snprintf(out + at, size - at, " %s %.0f", (names)[name_i], field(from, (names)[name_i]))
		for (int k = 0; k < 2 && at < size; k++) {
			const cJSON *port = cJSON_GetObjectItemCaseSensitive(line, ports[i][k]);
			at += (size_t)snprintf(out + at, size - at, "%s %s:", k || i ? ";" : "", ports[i][k]);
			SHOW(port, of_port);
		}
		if (i)
			SHOW(line, of_media);
		else {
			SHOW(line, of_line);
			SHOW(call, of_call_);
		}
#undef SHOW
		cJSON_Delete(state);
	}
}

/* All processes stand still at once, as those of a virtual machine do, and go on in any order. */
static void stand_still(int ms)
{
	pid_t all[] = {W.bridge.pid, W.bot.pid, simulator_pid(W.phone), simulator_pid(W.discord)};
	for (int i = 0; i < 4; i++)
		kill(all[i], SIGSTOP);
	fprintf(stderr, "%.3f s: still for %d ms\n", (double)harness_now_ns() * 1e-9, ms);
	harness_sleep_ms(ms);
	for (int i = 3; i >= 0; i--) {
		int other = rand() % (i + 1);
		kill(all[other], SIGCONT);
		all[other] = all[i];
	}
}

/* The sums of both processes' budgets, every so often. */
#define TREND_EVERY_S 10
#define TREND_MOST    1024

struct trend {
	double at_s[TREND_MOST], out_ms[TREND_MOST], in_ms[TREND_MOST];
	size_t count;
};

static void trend_add(struct trend *t)
{
	if (t->count == TREND_MOST)
		return;
	t->at_s[t->count] = (double)harness_now_ns() * 1e-9;
	call_budget(&W, false, &t->out_ms[t->count], &t->in_ms[t->count]);
	fprintf(stderr, "%.3f s: by the budget %.2f and %.2f ms\n", t->at_s[t->count], t->out_ms[t->count],
		t->in_ms[t->count]);
	t->count++;
}

static void report_trend(const char *group, const char *way, const struct trend *t, const double *ms)
{
	double slope = signal_slope(t->at_s, ms, t->count) * 60;
	BENCH_ROW(group, slope, "ms/min", "+-0.1", fabs(slope) <= 0.1,
		  "%s: growth of the delay, by the budget of each %d s", way, TREND_EVERY_S);
}

/* Each second for so long: to stderr, when something has changed. */
static void oddities_watch(int seconds, struct trend *trend)
{
	char now[1024], before[1024] = "";
	int64_t start = harness_now_ns();
	int still_ms = setting("BENCH_STILL_MS", 0);
	for (int i = 1; i <= seconds; i++) {
		int64_t left = start + i * INT64_C(1000000000) - harness_now_ns();
		harness_sleep_ms(left > 0 ? (int)(left / 1000000) : 0);
		oddities(now, sizeof now);
		if (strcmp(now, before))
			fprintf(stderr, "%.3f s:%s\n", (double)harness_now_ns() * 1e-9, now);
		strcpy(before, now);
		if (i % TREND_EVERY_S == 0)
			trend_add(trend);
		if (still_ms && i % 11 == 0)
			stand_still(5 + rand() % (still_ms - 4));
	}
}

/* ---- delay --------------------------------------------------------------------------------- */

/* Of the medians of each ten seconds: a chirp that was damaged by a standstill of the machine says nothing of
 * whether the delay grows. */
static double slope_ms_per_min(const struct delays *d)
{
	double at_s[1024], ms[1024], bin[1024];
	size_t bins = 0, n = 0;
	for (size_t i = 0; i < d->count; i++) {
		bin[n++] = d->ms[i];
		if (i + 1 < d->count && floor(d->at_s[i] / 10) == floor(d->at_s[i + 1] / 10))
			continue;
		at_s[bins] = d->at_s[i];
		ms[bins++] = signal_percentile(bin, n, 50);
		n = 0;
	}
	return signal_slope(at_s, ms, bins) * 60;
}

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
	d->slope_ms_per_min = slope_ms_per_min(d);
}

static void report_delay(const char *group, const char *way, struct delays *d, double from_s, double p50,
			 double p99, bool slope)
{
	char goal[32];
	fprintf(stderr, "%s, %s, chirp by chirp:", group, way);
	for (size_t i = 0; i < d->count; i++)
		fprintf(stderr, " %.2f", d->ms[i]);
	fputc('\n', stderr);
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
	double out_p50;
	char more[64], stem[64], chirps[64];
	/* uniform jitter: its 99th percentile */
	double extra = jitter_ms * 0.99;
	int every_ms = seconds > 300 ? 2000 : 500;

	snprintf(more, sizeof more, "\"jitter_ms\":%g,\"seed\":5", jitter_ms);
	snprintf(stem, sizeof stem, "rec/%s-said", name);
	snprintf(chirps, sizeof chirps, "{\"chirp\":{\"every_ms\":%d}}", every_ms);
	member_record(&W, "ann", name);
	call_up(&W, 0, name, chirps, true, more);
	if (jitter_ms > 0)
		simulator_ask(W.discord, "impair", "\"direction\":\"out\",\"jitter_ms\":%g,\"seed\":9", jitter_ms);
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":%s,\"reference\":\"%s\"", chirps,
		      world_file(&W, stem));
	double from_s = (double)harness_now_ns() * 1e-9 + SETTLE_S;
	for (int s = 0; s < SETTLE_S + seconds; s += 15) {
		harness_sleep_ms(15000);
		log_state();
	}
	double queue = of_call("twilio_queue_ms"), say_out, say_in;
	call_budget(&W, false, &say_out, &say_in);
	call_down(&W, name);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	simulator_wait(W.discord, 5000, "member.quiet", "member", "ann", NULL);
	if (jitter_ms > 0)
		simulator_ask(W.discord, "impair", "\"direction\":\"out\"");

	snprintf(stem, sizeof stem, "rec/%s.0", name);
	track_load(&said, world_file(&W, stem), "said");
	member_recorded(&W, "ann", name, &heard);
	measure_delays(&d, &said, &heard, every_ms);
	report_delay(group, "phone to Discord", &d, from_s, 40 + extra, 60 + extra, jitter_ms == 0);
	out_p50 = d.p50;
	track_free(&said);
	track_free(&heard);
	snprintf(stem, sizeof stem, "rec/%s-said", name);
	track_load(&said, world_file(&W, stem), "packets");
	snprintf(stem, sizeof stem, "rec/%s.0", name);
	track_load(&heard, world_file(&W, stem), "heard");
	measure_delays(&d, &said, &heard, every_ms);
	report_delay(group, "Discord to phone", &d, from_s, 45 + extra, 70 + extra, jitter_ms == 0);
	track_free(&said);
	track_free(&heard);
	/* jitter is part of what a message's own time says, so its share cannot be compared */
	if (jitter_ms == 0) {
		BENCH_ROW(group, say_out - out_p50, "ms", "+-2", fabs(say_out - out_p50) <= 2,
			  "phone to Discord: what the processes' own budget (%.1f) is off by", say_out);
		BENCH_ROW(group, say_in - d.p50, "ms", "+-2", fabs(say_in - d.p50) <= 2,
			  "Discord to phone: what the processes' own budget (%.1f) is off by", say_in);
	}
	BENCH_NOTE(group, queue, "ms", "Twilio's queue by its marks");
}

/* ---- stalls ---------------------------------------------------------------------------------- */

/* How long what is said s seconds after a stall takes, from s = from to s = to, over all stalls. */
static double delay_since(const struct delays *d, const double *stall_s, int stalls, double from, double to)
{
	double ms[1024];
	size_t n = 0;
	for (size_t i = 0; i < d->count; i++)
		for (int k = 0; k < stalls; k++)
			if (d->at_s[i] >= stall_s[k] + from && d->at_s[i] < stall_s[k] + to)
				ms[n++] = d->ms[i];
	return n ? signal_percentile(ms, n, 50) : NAN;
}

static void stalls(int seconds)
{
	const char *group = "live: stream stalls of 250 ms every 20 s";
	struct track said, heard;
	struct delays d;
	double stall_s[64], most = 0;
	int n = 0;

	member_record(&W, "ann", "stalls");
	call_up(&W, 0, "stalls", "{\"chirp\":{\"every_ms\":500}}", true, "");
	harness_sleep_ms(SETTLE_S * 1000);
	for (; n * 20 < seconds && n < 64; n++) {
		stall_s[n] = (double)harness_now_ns() * 1e-9 + 0.25;
		simulator_ask(W.phone, "stall", "\"call\":\"stalls\",\"ms\":250");
		harness_sleep_ms(20000);
	}
	call_down(&W, "stalls");
	track_load(&said, world_file(&W, "rec/stalls.0"), "said");
	member_recorded(&W, "ann", "stalls", &heard);
	measure_delays(&d, &said, &heard, 500);
	for (size_t i = 0; i < d.count; i++)
		most = fmax(most, d.at_s[i] >= stall_s[0] ? d.ms[i] : 0);
	double after = delay_since(&d, stall_s, n, 0.5, 3), before = delay_since(&d, stall_s, n, 15, 19.5);
	/* ceiling of playout, and what is added without jitter */
	BENCH_ROW(group, most, "ms", "<= 160", most <= 160, "phone to Discord, longest of %zu chirps, %d stalls",
		  d.count, n);
	BENCH_NOTE(group, after, "ms", "median from 0.5 to 3 s after a stall");
	BENCH_ROW(group, before, "ms", "<= 60", before <= 60, "median from 15 s on: it has shrunk");
	track_free(&said);
	track_free(&heard);
}

/* ---- quality --------------------------------------------------------------------------------- */

static void report_like(const char *way, const struct signal_likeness *l, double least_db)
{
	const char *group = "live: quality";
	char goal[32];
	snprintf(goal, sizeof goal, ">= %.0f", least_db);
	BENCH_ROW(group, l->snr_db, "dB", goal, l->snr_db >= least_db, "%s: SNR of speech", way);
	BENCH_ROW(group, l->gain, "", "1.00 +- 0.02", fabs(l->gain - 1) <= 0.02, "%s: gain", way);
	BENCH_NOTE(group, l->delay_sd_s * 1000, "ms", "%s: delay track, standard deviation", way);
}

static void report_tone(const char *way, const struct track *t, double from_ns, double hz, double most_db)
{
	const char *group = "live: quality";
	struct signal_gaps g;
	size_t from = (size_t)track_sample(t, from_ns), n = 15 * t->wav.rate;
	char goal[32];
	if (from + n > t->wav.frames)
		n = t->wav.frames > from ? t->wav.frames - from : 0;
	signal_find_gaps(&g, t->wav.samples + from, n, t->wav.rate, hz);
	snprintf(goal, sizeof goal, "<= %.0f", most_db);
	BENCH_ROW(group, g.residual_db, "dB", goal, g.residual_db <= most_db, "%s: THD+N of a tone", way);
	BENCH_ROW(group, pow(10, (g.level_dbfs + 15) / 20), "", "1.00 +- 0.02",
		  fabs(pow(10, (g.level_dbfs + 15) / 20) - 1) <= 0.02, "%s: gain of a tone", way);
	BENCH_ROW(group, (double)g.count, "", "0", g.count == 0, "%s: gaps in 15 s", way);
}

static void quality(void)
{
	static const char *const caller_says[] = {"The quick brown fox jumps over the lazy dog, "
						  "and asks whether anybody has seen it.", NULL};
	static const char *const member_says[] = {
		"Good evening. This is the channel speaking, and we can hear you very well.", NULL};
	struct talk talk;
	struct talk_result r;
	struct track t;

	call_up(&W, 0, "q", "null", true, "");
	if (talk_make(&talk, &W, 40, NULL, caller_says, NULL, member_says)) {
		talk_run(&W, &talk, "q", "ann", &r);
		report_like("phone to Discord, Opus included", &r.out.like, 30);
		report_like("arecord -D phone", &r.tap, 36);
		report_like("Discord to phone", &r.in.like, 34);
		BENCH_ROW("live: quality", r.out.gaps * 100, "%", "0", r.out.gaps == 0,
			  "phone to Discord: frames of speech missing");
		BENCH_ROW("live: quality", r.in.gaps * 100, "%", "0", r.in.gaps == 0,
			  "Discord to phone: frames of speech missing");
	} else {
		fprintf(stderr, "espeak-ng is not there: no SNR of speech\n");
	}
	/* mu-law itself makes -37 dB of a tone at this level */
	member_record(&W, "ann", "tones");
	call_settle(&W, "q", "{\"tone\":1013}", "ann", "{\"tone\":617}", "");
	double from_ns = (double)harness_now_ns() + 4e9;
	harness_sleep_ms(20000);
	call_down(&W, "q");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	member_recorded(&W, "ann", "tones", &t);
	report_tone("phone to Discord", &t, from_ns, CALLER, -33);
	track_free(&t);
	track_load(&t, world_file(&W, "rec/q.0"), "heard");
	report_tone("Discord to phone", &t, from_ns, MEMBER, -35);
	track_free(&t);
}

/* ---- drift --------------------------------------------------------------------------------- */

/* A gap is heard some time after what made it: sound on its way is in queues for less than this. */
#define GAP_AFTER_NS 150e6

/* Each gap to stderr, with the time; and how many came with a standstill of the machine. */
static void gaps_place(const char *group, const char *way, const struct signal_gaps *g, const double *at_ns,
		       const struct stall_watch *watch)
{
	unsigned with = 0;
	for (size_t i = 0; i < g->count && i < sizeof g->first / sizeof *g->first; i++) {
		double stood = (double)stall_watch_at(watch, (int64_t)at_ns[i], (int64_t)GAP_AFTER_NS);
		with += stood > 0;
		fprintf(stderr, "%.3f s: %s: gap of %.0f ms, %.0f dB; stood still for %.1f ms\n", at_ns[i] * 1e-9, way,
			g->first[i].length_s * 1e3, g->first[i].residual_db, stood * 1e-6);
	}
	BENCH_NOTE(group, with, "", "%s: of them within %.0f ms of a standstill of the machine", way,
		   GAP_AFTER_NS * 1e-6);
}

static void gaps_of(const char *group, const char *way, struct track *t, double from_ns, double seconds,
		    double hz, const struct stall_watch *watch)
{
	struct signal_gaps g;
	double at_ns[sizeof g.first / sizeof *g.first];
	size_t from = (size_t)track_sample(t, from_ns), n = (size_t)(seconds * t->wav.rate);
	if (from + n > t->wav.frames)
		n = t->wav.frames > from ? t->wav.frames - from : 0;
	signal_find_gaps(&g, t->wav.samples + from, n, t->wav.rate, hz);
	BENCH_ROW(group, (double)g.count, "", "0", g.count == 0, "%s: gaps in %.0f s", way,
		  (double)n / t->wav.rate);
	for (size_t i = 0; i < g.count && i < sizeof at_ns / sizeof *at_ns; i++)
		at_ns[i] = track_time_ns(t, (double)from + g.first[i].at_s * t->wav.rate);
	gaps_place(group, way, &g, at_ns, watch);
	BENCH_NOTE(group, (g.hz / hz - 1) * 1e6, "ppm", "%s: pitch (the far clock's own)", way);
	BENCH_NOTE(group, g.residual_db, "dB", "%s: all that is not the tone", way);
}

static void drift(int seconds)
{
	static struct stall_watch watch;
	struct track t;
	char group[64];
	snprintf(group, sizeof group, "live: caller +300 ppm, speaker -300 ppm");
	member_record(&W, "ann", "drift");
	call_up(&W, 0, "drift", "{\"tone\":1013}", true, "\"ppm\":300");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617},\"ppm\":-300");
	/* the loop is quick for 20 s, then calm; a rate is judged once that is over */
	double from_ns = (double)harness_now_ns() + DRIFT_SETTLE_S * 1e9;
	/* each second to stderr, from the start: how the rate is found */
	for (int i = 0; i < DRIFT_SETTLE_S; i++) {
		fprintf(stderr, "%d s: %.1f ppm, playout %.2f ms of %.2f, dry %.0f\n", i - DRIFT_SETTLE_S,
			of_call("ppm"), of_call("playout_ms"), of_call("playout_target_ms"), xruns());
		harness_sleep_ms(1000);
	}
	stall_watch_start(&watch);
	double low = 1e9, high = -1e9, sum = 0, sum2 = 0, dry = xruns(), late = late_ms();
	int n = 0;
	for (; n < seconds; n++) {
		double queue = of_call("twilio_queue_ms"), ppm = of_call("ppm");
		fprintf(stderr, "%d s: %.1f ppm, playout %.2f ms of %.2f, dry %.0f\n", n, ppm,
			of_call("playout_ms"), of_call("playout_target_ms"), xruns());
		low = fmin(low, queue);
		high = fmax(high, queue);
		sum += ppm;
		sum2 += ppm * ppm;
		harness_sleep_ms(1000);
	}
	dry = xruns() - dry;
	late = late_ms() - late;
	call_down(&W, "drift");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	double mean = sum / n, sd = sqrt(fmax(0, sum2 / n - mean * mean));
	BENCH_ROW(group, mean, "ppm", "300 +- 2", fabs(mean - 300) <= 2, "rate found for the caller, mean");
	BENCH_ROW(group, sd, "ppm", "<= 15", sd <= 15, "rate found for the caller, standard deviation");
	BENCH_ROW(group, high - low, "ms", "<= 5", high - low <= 5, "Twilio's queue by marks, range");
	BENCH_NOTE(group, dry, "", "PCMs that ran dry meanwhile");
	BENCH_NOTE(group, late, "ms", "written later than due, to readers that were late too");
	stall_watch_end(&watch, group);
	member_recorded(&W, "ann", "drift", &t);
	gaps_of(group, "phone to Discord", &t, from_ns, seconds, CALLER, &watch);
	track_free(&t);
	track_load(&t, world_file(&W, "rec/drift.0"), "heard");
	gaps_of(group, "Discord to phone", &t, from_ns, seconds, MEMBER, &watch);
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
	/* all of them on one line: calls with lines of their own are the part `lines` */
	double each = (u.bridge_ms + u.discord_ms) / calls;
	BENCH_NOTE(group, u.bridge_ms, "ms/s", "CPU of the bridge at %d calls on one line", calls);
	BENCH_NOTE(group, u.discord_ms, "ms/s", "CPU of the bot: one line, one speaker, encrypted transport");
	BENCH_ROW(group, each, "ms", "<= 8", each <= 8,
		  "CPU per call-second, of both, %d calls on one line", calls);
	BENCH_ROW(group, (pss - before) / calls, "MiB", "<= 0.75", (pss - before) / calls <= 0.75,
		  "PSS per call, of both");
	note_stolen(group, &u);
	simulator_wait(W.phone, 60000, "load.done", NULL);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
}

/* ---- soak ------------------------------------------------------------------------------------ */

/* Everything on: jitter both ways, clocks that differ, a tap, an injection; a tone each way, in which
 * every gap shows. */
static void soak(int seconds)
{
	struct process tap, into;
	static struct stall_watch watch;
	static struct trend trend;
	struct track t;
	struct signal_gaps g;
	struct wav w;
	const char *group = "soak: jitter 10 ms, clocks off by 80 ppm, a tap, an injection";
	size_t tone_n = (size_t)(seconds + 60) * 48000;
	float *tone = malloc(tone_n * sizeof *tone);

	if (!tone)
		abort();
	signal_tone(tone, tone_n, 48000, 2131, -50, 0); /* too faint to count as a gap */
	if (wav_write(world_file(&W, "into.wav"), 48000, tone, tone_n))
		abort();
	free(tone);
	member_record(&W, "ann", "soak");
	call_up(&W, 0, "soak", "null", true, "\"ppm\":80,\"jitter_ms\":10,\"seed\":5");
	simulator_ask(W.discord, "impair", "\"direction\":\"out\",\"jitter_ms\":10,\"seed\":9");
	call_settle(&W, "soak", "{\"tone\":1013}", "ann", "{\"tone\":617}", "\"ppm\":-80");
	double tap_ns = (double)harness_now_ns();
	tool_start(&W, &tap, (const char *[]){"arecord", "-q", "-D", "phone", "-f", "S16_LE", "-r", "48000",
					      world_file(&W, "tap.wav"), NULL});
	tool_start(&W, &into, (const char *[]){"aplay", "-q", "-D", "discord", world_file(&W, "into.wav"),
					       NULL});
	harness_sleep_ms(SETTLE_S * 1000);
	double from_ns = (double)harness_now_ns(), dry = xruns(), late = late_ms();
	stall_watch_start(&watch);
	struct usage_mark mark;
	usage_start(&mark, W.bridge.pid, W.bot.pid);
	oddities_watch(seconds, &trend);
	struct usage u = usage_since(&mark);
	dry = xruns() - dry;
	late = late_ms() - late;
	log_state();
	call_down(&W, "soak");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	simulator_ask(W.discord, "impair", "\"direction\":\"out\"");
	process_end(&tap, SIGINT, 3000);
	process_end(&into, SIGTERM, 3000);
	member_recorded(&W, "ann", "soak", &t);
	gaps_of(group, "phone to Discord", &t, from_ns, seconds, CALLER, &watch);
	track_free(&t);
	if (wav_read(&w, world_file(&W, "tap.wav")) == 0 && w.frames > SETTLE_S * 48000u) {
		size_t n = w.frames - SETTLE_S * 48000u; /* and some of it after the call */
		if (n > (size_t)seconds * 48000)
			n = (size_t)seconds * 48000;
		signal_find_gaps(&g, w.samples + SETTLE_S * 48000, n, 48000, CALLER);
		BENCH_ROW(group, (double)g.count, "", "0", g.count == 0, "arecord -D phone: gaps in %.0f s",
			  (double)n / 48000);
		/* it ran from tap_ns on; what it takes to start is below what is looked for */
		double at_ns[sizeof g.first / sizeof *g.first];
		for (size_t i = 0; i < g.count && i < sizeof at_ns / sizeof *at_ns; i++)
			at_ns[i] = tap_ns + (SETTLE_S + g.first[i].at_s) * 1e9;
		gaps_place(group, "arecord -D phone", &g, at_ns, &watch);
		wav_free(&w);
	}
	/* the caller hears the member and what was injected: both together are looked at */
	track_load(&t, world_file(&W, "rec/soak.0"), "heard");
	gaps_of(group, "Discord to phone", &t, from_ns, seconds, MEMBER, &watch);
	track_free(&t);
	report_trend(group, "phone to Discord", &trend, trend.out_ms);
	report_trend(group, "Discord to phone", &trend, trend.in_ms);
	BENCH_NOTE(group, dry, "", "PCMs that ran dry meanwhile");
	BENCH_NOTE(group, late, "ms", "written later than due, to readers that were late too");
	stall_watch_end(&watch, group);
	BENCH_NOTE(group, u.bridge_ms + u.discord_ms, "ms/s", "CPU of both");
	BENCH_NOTE(group, u.stolen * 100, "%", "stolen from this machine meanwhile");
}

/* ---- */

static void part(const char *name)
{
	if (!strcmp(name, "delay")) {
		delay("still", "live: delay, no jitter", 0, setting("BENCH_LIVE_S", 105));
		delay("jitter", "live: delay, 30 ms of jitter", 30, setting("BENCH_LIVE_S", 105));
	} else if (!strcmp(name, "slope")) {
		delay("slope", "live: delay for long, no jitter", 0, setting("BENCH_SLOPE_S", 1200));
	} else if (!strcmp(name, "stalls")) {
		stalls(setting("BENCH_STALLS_S", 120));
	} else if (!strcmp(name, "quality")) {
		quality();
	} else if (!strcmp(name, "clocks")) {
		drift(setting("BENCH_DRIFT_S", 120));
	} else if (!strcmp(name, "usage")) {
		cost_channel();
		cost_calls(setting("BENCH_CALLS", 50));
	} else if (!strcmp(name, "soak")) {
		soak(setting("BENCH_SOAK_S", 1200));
	} else {
		fprintf(stderr, "bench_live: there is no part %s\n", name);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct world_options options = {
		.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=128\n"};

	world_start(&W, &options);
	harness_sleep_ms(2000);
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "usage"))
			cost_idle(); /* before anybody has called */
	member_in(&W, "ann", LOUNGE);
	for (int i = 1; i < argc; i++)
		part(argv[i]);
	world_stop(&W, false);
	return 0;
}
