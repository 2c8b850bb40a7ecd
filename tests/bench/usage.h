/* SPDX-License-Identifier: MIT
 *
 * usage.h - what the two processes use: CPU by the scheduler's count of all threads, memory by PSS.
 */
#ifndef TESTS_BENCH_USAGE_H
#define TESTS_BENCH_USAGE_H

#include "tests/e2e/harness.h"

#include <dirent.h>
#include <stdio.h>

struct usage {
	double bridge_ms, discord_ms; /* CPU per second */
	double stolen;                /* share of the machine that others had, 0..1 */
};

struct usage_mark {
	pid_t bridge, discord;
	double bridge_ns, discord_ns, steal, total;
	int64_t start_ns;
};

static inline double usage_cpu_ns(pid_t pid)
{
	char path[300];
	double sum = 0;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		double ns;
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, e->d_name);
		FILE *f = fopen(path, "r");
		if (f && fscanf(f, "%lf", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static inline double usage_pss_mib(pid_t pid)
{
	char path[64], line[200];
	double kib = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		(void)sscanf(line, "Pss: %lf", &kib);
	if (f)
		fclose(f);
	return kib / 1024;
}

/* time stolen from this machine by others, and all time, in ticks */
static inline double usage_stolen(double *total)
{
	double v[8] = {0};
	FILE *f = fopen("/proc/stat", "r");
	if (f) {
		if (fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4, v + 5,
			   v + 6, v + 7) != 8)
			v[7] = 0;
		fclose(f);
	}
	*total = 0;
	for (int i = 0; i < 8; i++)
		*total += v[i];
	return v[7];
}

/* Between these two, of which the second returns what was used a second. */
static inline void usage_start(struct usage_mark *m, pid_t bridge, pid_t discord)
{
	*m = (struct usage_mark){bridge, discord, usage_cpu_ns(bridge), usage_cpu_ns(discord), 0, 0,
				 harness_now_ns()};
	m->steal = usage_stolen(&m->total);
}

static inline struct usage usage_since(const struct usage_mark *m)
{
	double t = (double)(harness_now_ns() - m->start_ns) * 1e-9, total, steal = usage_stolen(&total);
	return (struct usage){(usage_cpu_ns(m->bridge) - m->bridge_ns) * 1e-6 / t,
			      (usage_cpu_ns(m->discord) - m->discord_ns) * 1e-6 / t,
			      (steal - m->steal) / (total - m->total + 1e-9)};
}

static inline struct usage usage_during(pid_t bridge, pid_t discord, double seconds)
{
	struct usage_mark m;
	usage_start(&m, bridge, discord);
	harness_sleep_ms((int)(seconds * 1000));
	return usage_since(&m);
}

#endif
