/* SPDX-License-Identifier: MIT
 *
 * bench_lines.c - many lines, each with callers and a speaker of its own, on one processor: what both
 * processes cost for each, and whether they keep time. The simulators run on the other processors.
 *
 * BENCH_LINES (default "10 25 50 50x2"): how many, one run each, at most 64; x2: two callers on each.
 * BENCH_LINES_S (20): seconds.
 */
#include "report.h"
#include "stall_watch.h"
#include "tests/e2e/call.h"
#include "usage.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 64
#define GUILD_OF  833333333333000000
#define SETTLE_MS 8000

static struct world W;

/* Every thread of a process, and those it starts later, onto one processor (or all but one). */
static void pin(pid_t pid, bool first)
{
	cpu_set_t set;
	char path[64];

	CPU_ZERO(&set);
	for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		if ((i == 0) == first)
			CPU_SET((unsigned)i, &set);
	if (CPU_COUNT(&set) == 0)
		return;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			sched_setaffinity(atoi(e->d_name), sizeof set, &set);
	if (d)
		closedir(d);
}

/* A counter of all calls so far. */
static double phone_counter(const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(simulator_ask(W.phone, "stats", "%s", ""), name);
	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static char *line_settings(int lines)
{
	char *conf = NULL;
	size_t len;
	FILE *f = open_memstream(&conf, &len);

	if (!f)
		abort();
	for (int i = 1; i < lines; i++)
		fprintf(f, "[line %d]\nVOICE_CHANNEL_ID = %lld\nTEXT_CHANNEL_ID = %lld\nNUMBER = +1415556%04d\n", i,
			(long long)GUILD_OF + i * 10 + 1, (long long)GUILD_OF + i * 10 + 2, i);
	fclose(f);
	return conf;
}

static void run(int lines, int callers, int seconds)
{
	int calls = lines * callers;
	char *conf = line_settings(lines), numbers[LINES_MAX * 20] = "\"+14155560000\"", group[80];
	struct world_options options = {
		.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=256\nNUMBER=+14155560000\n",
		.conf = conf,
		.no_discord = true};

	memset(&W, 0, sizeof W);
	world_start(&W, &options);
	for (int i = 1; i < lines; i++) {
		long long guild = GUILD_OF + i * 10;
		simulator_ask(W.discord, "guild", "\"guild\":\"%lld\",\"name\":\"Guild %d\"", guild, i);
		simulator_ask(W.discord, "channel", "\"guild\":\"%lld\",\"channel\":\"%lld\",\"type\":2", guild,
			      guild + 1);
		simulator_ask(W.discord, "channel", "\"guild\":\"%lld\",\"channel\":\"%lld\",\"type\":0", guild,
			      guild + 2);
		snprintf(numbers + strlen(numbers), sizeof numbers - strlen(numbers), ",\"+1415556%04d\"", i);
	}
	world_start_bot(&W);
	harness_sleep_ms(2000);
	double before = usage_pss_mib(W.bridge.pid) + usage_pss_mib(W.bot.pid);
	for (int i = 0; i < lines; i++) {
		char name[16], channel[32];
		snprintf(name, sizeof name, "m%d", i);
		snprintf(channel, sizeof channel, "%lld", i ? (long long)GUILD_OF + i * 10 + 1 : atoll(LOUNGE));
		member_in(&W, name, channel);
	}
	simulator_ask(W.phone, "load",
		      "\"calls\":%d,\"seconds\":%d,\"voice\":{\"noise\":-25,\"seed\":1},\"stagger_ms\":200,"
		      "\"numbers\":[%s]",
		      calls, SETTLE_MS / 1000 + seconds + 5, numbers);
	for (int i = 0; i < lines; i++) {
		world_wait_channel(&W, i, "connected", 60000);
		simulator_ask(W.discord, "speak",
			      "\"member\":\"m%d\",\"voice\":{\"noise\":-20,\"seed\":%d},\"preencode\":2", i, i + 1);
	}
	pin(W.bridge.pid, true);
	pin(W.bot.pid, true);
	pin(simulator_pid(W.phone), false);
	pin(simulator_pid(W.discord), false);
	harness_sleep_ms(SETTLE_MS);
	double late = phone_counter("late_in"), frames = phone_counter("frames_in");
	double own_late = phone_counter("late_out"), own_frames = phone_counter("frames_out");
	struct stall_watch watch;
	stall_watch_start(&watch);
	struct usage u = usage_during(W.bridge.pid, W.bot.pid, seconds);
	late = phone_counter("late_in") - late;
	frames = phone_counter("frames_in") - frames;
	own_late = phone_counter("late_out") - own_late;
	own_frames = phone_counter("frames_out") - own_frames;
	double pss = usage_pss_mib(W.bridge.pid) + usage_pss_mib(W.bot.pid);
	simulator_wait(W.phone, 60000, "load.done", NULL);
	double each = (u.bridge_ms + u.discord_ms) / calls;

	snprintf(group, sizeof group, "lines: %d calls on %d lines, a speaker each, encrypted", calls, lines);
	BENCH_ROW(group, each, "ms", "<= 8", each <= 8, "CPU per call-second (bridge %.2f, discord %.2f)",
		  u.bridge_ms / calls, u.discord_ms / calls);
	BENCH_NOTE(group, (u.bridge_ms + u.discord_ms) / 10, "%", "of one processor");
	BENCH_ROW(group, (pss - before) / calls, "MiB", "<= 0.75", (pss - before) / calls <= 0.75,
		  "PSS per call, of both");
	BENCH_ROW(group, frames ? 100 * late / frames : 100, "%", "< 0.1", frames && late / frames < 0.001,
		  "messages to Twilio more than 5 ms late (25 after the last), of %.0f", frames);
	BENCH_NOTE(group, own_frames ? 100 * own_late / own_frames : 100, "%",
		   "messages that the simulator itself sent more than 5 ms late");
	BENCH_NOTE(group, u.stolen * 100, "%", "stolen from this machine meanwhile");
	stall_watch_end(&watch, group);
	world_stop(&W, false);
	free(conf);
}

int main(void)
{
	const char *list = getenv("BENCH_LINES"), *s = getenv("BENCH_LINES_S");
	char *copy = strdup(list ? list : "10 25 50 50x2");

	for (char *p = strtok(copy, " ,"); p; p = strtok(NULL, " ,")) {
		const char *x = strchr(p, 'x');
		int lines = atoi(p), callers = x ? atoi(x + 1) : 1;
		if (lines >= 1 && lines <= LINES_MAX && callers >= 1 && callers <= 4)
			run(lines, callers, s ? atoi(s) : 20);
	}
	free(copy);
	return 0;
}
