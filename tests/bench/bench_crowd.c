/* SPDX-License-Identifier: MIT
 *
 * bench_crowd.c - ten people speak in the channel at once, and ten callers are on one line: does it
 * clip, are there gaps, does everybody hear all the others, and what does it cost.
 *
 * Loud: ten voices of -6 dBFS each, so that their sum is far above full scale. Even: ten tones of
 * -32 dBFS, which can be taken apart again: all of them are fitted at once over 20 ms, and what is left
 * over shows every gap in any of them.
 */
#include "report.h"
#include "tests/e2e/call.h"
#include "usage.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROWD     10
#define LOUD_S    12
#define EVEN_S    15
#define COST_S    8
#define SETTLE_MS 6000
#define TONE_DBFS (-32.0)
#define GAP_DB    (-20.0)
#define CEILING   0.985 /* of the limiter; a sample above it has been clipped, or missed by it */

static struct world W;

/* 126 Hz apart at the least, no multiples of 50 Hz; the last is the other side's. */
static const double hz[CROWD + 1] = {353, 487, 617, 751, 887, 1013, 1151, 1307, 1511, 1733, 2131};

/* ---- what is heard ------------------------------------------------------------------------- */

#define MOST (2 * (CROWD + 1))

/* Fits sines of these frequencies to x: amplitudes, and what is left over against all of it in dB. */
static double fit(const float *x, int n, unsigned rate, const double *tones, int count, double *amplitude)
{
	static double basis[MOST][960];
	double a[MOST][MOST + 1], all = 0, rest = 0;
	int m = 2 * count;

	for (int k = 0; k < count; k++)
		for (int i = 0; i < n; i++) {
			basis[2 * k][i] = sin(2 * M_PI * tones[k] * i / rate);
			basis[2 * k + 1][i] = cos(2 * M_PI * tones[k] * i / rate);
		}
	for (int r = 0; r < m; r++) {
		for (int c = 0; c < m; c++) {
			a[r][c] = 0;
			for (int i = 0; i < n; i++)
				a[r][c] += basis[r][i] * basis[c][i];
		}
		a[r][m] = 0;
		for (int i = 0; i < n; i++)
			a[r][m] += basis[r][i] * x[i];
	}
	for (int r = 0; r < m; r++) /* the matrix is positive definite: no pivots needed */
		for (int s = 0; s < m; s++) {
			double f = a[s][r] / a[r][r];
			for (int c = r; s != r && c <= m; c++)
				a[s][c] -= f * a[r][c];
		}
	for (int i = 0; i < n; i++) {
		double v = x[i];
		all += v * v;
		for (int r = 0; r < m; r++)
			v -= a[r][m] / a[r][r] * basis[r][i];
		rest += v * v;
	}
	for (int k = 0; k < count; k++)
		amplitude[k] = hypot(a[2 * k][m] / a[2 * k][2 * k], a[2 * k + 1][m] / a[2 * k + 1][2 * k + 1]);
	return 10 * log10((rest + 1e-20) / (all + 1e-20));
}

struct verdict {
	int windows, gaps;       /* of 20 ms; more left over than GAP_DB */
	double lowest, highest;  /* mean level of a tone, dBFS */
};

static void judge(struct verdict *v, const float *x, size_t n, unsigned rate, const double *tones, int count)
{
	double amplitude[CROWD + 1], sum[CROWD + 1] = {0};
	int step = (int)rate / 50;

	*v = (struct verdict){.lowest = 99, .highest = -99};
	for (size_t at = 0; at + (size_t)step <= n; at += (size_t)step) {
		v->gaps += fit(x + at, step, rate, tones, count, amplitude) > GAP_DB;
		v->windows++;
		for (int k = 0; k < count; k++)
			sum[k] += amplitude[k] * amplitude[k];
	}
	for (int k = 0; k < count && v->windows; k++) {
		double level = 10 * log10(sum[k] / v->windows + 1e-20);
		v->lowest = fmin(v->lowest, level);
		v->highest = fmax(v->highest, level);
	}
}

static void report_even(const char *group, const char *who, const struct verdict *v)
{
	BENCH_ROW(group, v->gaps, "", "0", v->windows > 100 && v->gaps == 0, "%s: gaps in %.0f s", who,
		  v->windows / 50.0);
	double off = fmax(fabs(v->lowest - TONE_DBFS), fabs(v->highest - TONE_DBFS));
	BENCH_ROW(group, off, "dB", "<= 0.2", off <= 0.2, "%s: worst level of all the tones that must be there, off by",
		  who);
}

static double peak(const float *x, size_t n)
{
	double most = 0;
	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(x[i]));
	return most;
}

static void report_loud(const char *group, const char *who, const float *x, size_t n, double most)
{
	char goal[32];
	double p = peak(x, n);
	snprintf(goal, sizeof goal, "%.2f .. %.3f", most * 0.85, most);
	BENCH_ROW(group, p, "", goal, p <= most + 1.0 / 32768 && p > most * 0.85,
		  "%s: highest sample (full scale 1) of loud voices", who);
}

/* ---- voices -------------------------------------------------------------------------------- */

static void make_voices(void)
{
	for (unsigned k = 0; k < CROWD; k++) {
		static float x[8000 * 10];
		char name[32];
		snprintf(name, sizeof name, "voice%u.wav", k);
		signal_voice(x, 8000 * 10, 8000, k + 1);
		if (wav_write(world_file(&W, name), 8000, x, 8000 * 10))
			abort();
	}
}

static void all_say(bool callers, const char *what)
{
	for (int k = 0; k < CROWD; k++) {
		char voice[600];
		if (!strcmp(what, "loud"))
			snprintf(voice, sizeof voice, "{\"wav\":\"%s/voice%d.wav\",\"loop\":true}", W.dir, k);
		else if (!strcmp(what, "even"))
			snprintf(voice, sizeof voice, "{\"tone\":%g,\"dbfs\":%g}", hz[k], TONE_DBFS);
		else /* short sounds with pauses, in which the delay finds its size */
			snprintf(voice, sizeof voice, "{\"chirp\":{\"every_ms\":500,\"dbfs\":-30}}");
		if (callers)
			simulator_ask(W.phone, "voice", "\"call\":\"c%d\",\"voice\":%s", k, voice);
		else
			simulator_ask(W.discord, "speak", "\"member\":\"m%d\",\"voice\":%s", k, voice);
	}
}

static void tap_start(struct process *tap, const char *pcm, const char *file)
{
	tool_start(&W, tap, (const char *[]){"arecord", "-q", "-D", pcm, "-f", "S16_LE", "-r", "48000",
					     world_file(&W, file), NULL});
	wait_file_size(world_file(&W, file), 9600, 10000);
}

static void tap_end(struct process *tap, const char *file, struct wav *w)
{
	process_end(tap, SIGINT, 3000);
	if (wav_read(w, world_file(&W, file)))
		harness_failed("arecord left no recording");
}

/* What each further one of the crowd costs: a machine that is nearly idle counts wakes dear, which one
 * makes as well as ten. */
static void report_cost(const char *group, const struct usage *one, const struct usage *ten, double floor_ms)
{
	char goal[32];
	double a = one->bridge_ms + one->discord_ms, b = ten->bridge_ms + ten->discord_ms;
	double each = (b - a) / (CROWD - 1), most = floor_ms * 8 / 6; /* as a call's floor is to its goal */
	snprintf(goal, sizeof goal, "<= %.1f", most);
	BENCH_ROW(group, each, "ms/s", goal, each <= most, "CPU of both for each further one (floor %.1f)", floor_ms);
	BENCH_NOTE(group, a, "ms/s", "CPU of both with one (bridge %.1f, discord %.1f)", one->bridge_ms,
		   one->discord_ms);
	BENCH_NOTE(group, b, "ms/s", "CPU of both with ten (bridge %.1f, discord %.1f)", ten->bridge_ms,
		   ten->discord_ms);
	BENCH_NOTE(group, ten->stolen * 100, "%", "stolen from this machine meanwhile");
}

static void one_says(void)
{
	simulator_ask(W.discord, "speak", "\"member\":\"m0\",\"voice\":{\"tone\":%g,\"dbfs\":%g}", hz[CROWD],
		      TONE_DBFS);
}

/* ---- the two crowds ------------------------------------------------------------------------ */

static void speakers(void)
{
	const char *group = "crowd: ten speakers at once, one caller";
	struct process tap;
	struct verdict v;
	struct track t;
	struct wav w;

	for (int k = 0; k < CROWD; k++) {
		char name[16];
		snprintf(name, sizeof name, "m%d", k);
		member_in(&W, name, LOUNGE);
	}
	call_up(&W, 0, "listener", "null", true, "");
	one_says();
	harness_sleep_ms(3000);
	struct usage one = usage_during(W.bridge.pid, W.bot.pid, COST_S);
	all_say(false, "loud");
	harness_sleep_ms(3000);
	tap_start(&tap, "discord", "loud.wav");
	harness_sleep_ms(LOUD_S * 1000);
	tap_end(&tap, "loud.wav", &w);
	report_loud(group, "arecord -D discord", w.samples, w.frames, CEILING);
	wav_free(&w);
	all_say(false, "chirps");
	harness_sleep_ms(SETTLE_MS);
	all_say(false, "even");
	harness_sleep_ms(3000);
	tap_start(&tap, "discord", "even.wav");
	double from_ns = (double)harness_now_ns();
	struct usage u = usage_during(W.bridge.pid, W.bot.pid, EVEN_S);
	tap_end(&tap, "even.wav", &w);
	judge(&v, w.samples + 9600, w.frames - 9600, 48000, hz, CROWD);
	report_even(group, "arecord -D discord", &v);
	wav_free(&w);
	call_down(&W, "listener");
	track_load(&t, world_file(&W, "rec/listener.0"), "heard");
	size_t from = (size_t)track_sample(&t, from_ns + 5e8), n = (EVEN_S - 1) * 8000;
	size_t loud = (size_t)track_sample(&t, from_ns - (SETTLE_MS + 3000 + LOUD_S * 1000) * 1e6);
	if (from + n > t.wav.frames || loud + LOUD_S * 8000 >= from)
		harness_failed("the caller's recording is too short: %zu frames", (size_t)t.wav.frames);
	judge(&v, t.wav.samples + from, n, 8000, hz, CROWD);
	report_even(group, "the caller", &v);
	/* mu-law has no step for 0.985: the next is 0.980 */
	report_loud(group, "the caller", t.wav.samples + loud, (LOUD_S - 1) * 8000, 0.98035);
	track_free(&t);
	/* receive, open, decode, mix: 35 us each 20 ms */
	report_cost(group, &one, &u, 1.75);
	for (int k = 1; k < CROWD; k++)
		simulator_ask(W.discord, "leave", "\"member\":\"m%d\"", k);
	simulator_ask(W.discord, "hush", "\"member\":\"m0\"");
}

static void callers(void)
{
	const char *group = "crowd: ten callers on one line, one speaker";
	struct process tap;
	struct verdict v, worst = {.lowest = 99, .highest = -99};
	struct usage one = {0};
	double tones[CROWD];
	struct track t;
	struct wav w;

	world_wait_calls(&W, 0, 0, 10000);
	for (int k = 0; k < CROWD; k++) {
		char name[16];
		snprintf(name, sizeof name, "c%d", k);
		call_up(&W, 0, name, k ? "null" : "{\"tone\":353,\"dbfs\":-32}", true, "");
		if (k > 0)
			continue;
		one_says();
		harness_sleep_ms(3000);
		one = usage_during(W.bridge.pid, W.bot.pid, COST_S);
	}
	all_say(true, "loud");
	harness_sleep_ms(3000);
	member_record(&W, "m0", "loud");
	tap_start(&tap, "phone", "loud.wav");
	harness_sleep_ms(LOUD_S * 1000);
	tap_end(&tap, "loud.wav", &w);
	report_loud(group, "arecord -D phone", w.samples, w.frames, CEILING);
	wav_free(&w);
	member_recorded(&W, "m0", "loud", &t);
	/* what Opus makes of a limited sound may exceed it a little; it is the decoder that must not clip */
	BENCH_NOTE(group, peak(t.wav.samples, t.wav.frames), "", "the member: highest sample of loud voices, Opus included");
	track_free(&t);
	all_say(true, "chirps");
	simulator_ask(W.discord, "speak", "\"member\":\"m0\",\"voice\":{\"chirp\":{\"every_ms\":500,\"dbfs\":-30}}");
	harness_sleep_ms(SETTLE_MS);
	all_say(true, "even");
	one_says();
	harness_sleep_ms(3000);
	tap_start(&tap, "phone", "even.wav");
	double from_ns = (double)harness_now_ns();
	struct usage u = usage_during(W.bridge.pid, W.bot.pid, EVEN_S);
	tap_end(&tap, "even.wav", &w);
	judge(&v, w.samples + 9600, w.frames - 9600, 48000, hz, CROWD);
	report_even(group, "arecord -D phone", &v);
	wav_free(&w);
	for (int k = 0; k < CROWD; k++) {
		char name[16], path[32];
		double own = 0;
		snprintf(name, sizeof name, "c%d", k);
		call_down(&W, name);
		snprintf(path, sizeof path, "rec/c%d.0", k);
		track_load(&t, world_file(&W, path), "heard");
		for (int i = 0, j = 0; i <= CROWD; i++)
			if (i != k)
				tones[j++] = hz[i];
		size_t from = (size_t)track_sample(&t, from_ns + 5e8), n = (EVEN_S - 1) * 8000;
		if (from + n > t.wav.frames)
			harness_failed("caller %d has no recording", k);
		judge(&v, t.wav.samples + from, n, 8000, tones, CROWD);
		worst.windows += v.windows;
		worst.gaps += v.gaps;
		worst.lowest = fmin(worst.lowest, v.lowest);
		worst.highest = fmax(worst.highest, v.highest);
		own = signal_tone_dbfs(t.wav.samples + from, 5 * 8000, 8000, hz[k]);
		if (own > TONE_DBFS - 40)
			BENCH_ROW(group, own, "dBFS", "<= -72", false, "caller %d hears himself", k);
		track_free(&t);
	}
	report_even(group, "the ten callers, each all but himself", &worst);
	/* a message in, another out, up, down and two mixes: 29 us each 20 ms */
	report_cost(group, &one, &u, 1.45);
}

int main(void)
{
	static const struct world_options options = {
		.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=32\n"};

	world_start(&W, &options);
	make_voices();
	speakers();
	callers();
	world_stop(&W, false);
	return 0;
}
