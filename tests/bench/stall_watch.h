/* SPDX-License-Identifier: MIT
 *
 * stall_watch.h - does this machine keep time at all? On each processor a thread of the highest real-time
 * priority sleeps for 2 ms again and again; what it oversleeps nobody could have used for sound.
 */
#ifndef TESTS_BENCH_STALL_WATCH_H
#define TESTS_BENCH_STALL_WATCH_H

#include "report.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STALL_WATCH_CPUS 64
#define STALL_WATCH_MS   4 /* about what is queued in the cable */
#define STALL_WATCH_KEPT 4096

struct stall_watch {
	pthread_t thread[STALL_WATCH_CPUS];
	int threads;
	_Atomic bool stop;          /* written by the owner, read by the threads */
	_Atomic int64_t longest_ns; /* written by the threads, read by the owner; so is the next */
	_Atomic unsigned count;     /* of those over STALL_WATCH_MS */
	struct {
		int64_t from_ns, to_ns; /* what was overslept */
	} kept[STALL_WATCH_KEPT]; /* each written by one thread, read after the end */
};

static inline void *stall_watch_run(void *arg)
{
	struct stall_watch *w = arg;
	struct timespec t, now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	while (!w->stop) {
		t.tv_nsec += 2000000;
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		int64_t late = (now.tv_sec - t.tv_sec) * INT64_C(1000000000) + now.tv_nsec - t.tv_nsec;
		for (int64_t most = w->longest_ns; late > most;)
			if (atomic_compare_exchange_weak(&w->longest_ns, &most, late))
				break;
		if (late > STALL_WATCH_MS * INT64_C(1000000)) {
			unsigned i = w->count++;
			if (i < STALL_WATCH_KEPT) {
				w->kept[i].from_ns = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
				w->kept[i].to_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
			}
			t = now; /* one standstill, not all the sleeps that it took */
		}
	}
	return NULL;
}

/* Where this user may not have real-time priority there are no threads: they would measure themselves. */
static inline void stall_watch_start(struct stall_watch *w)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sched_param rank = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};

	memset(w, 0, sizeof *w);
	for (long i = 0; i < cpus && i < STALL_WATCH_CPUS; i++) {
		pthread_attr_t attr;
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)i, &set);
		pthread_attr_init(&attr);
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &rank);
		pthread_attr_setaffinity_np(&attr, sizeof set, &set);
		if (pthread_create(&w->thread[w->threads], &attr, stall_watch_run, w) == 0)
			w->threads++;
		pthread_attr_destroy(&attr);
	}
}

/* Was there a standstill in the `before_ns` before t_ns? Its length, 0 if there was none. */
static inline int64_t stall_watch_at(const struct stall_watch *w, int64_t t_ns, int64_t before_ns)
{
	int64_t longest = 0;
	for (unsigned i = 0; i < w->count && i < STALL_WATCH_KEPT; i++) {
		int64_t length = w->kept[i].to_ns - w->kept[i].from_ns;
		if (w->kept[i].from_ns <= t_ns && w->kept[i].to_ns >= t_ns - before_ns && length > longest)
			longest = length;
	}
	return longest;
}

/* Ends it, with a row in the table. */
static inline void stall_watch_end(struct stall_watch *w, const char *group)
{
	w->stop = true;
	for (int i = 0; i < w->threads; i++)
		pthread_join(w->thread[i], NULL);
	for (unsigned i = 0; i < w->count && i < STALL_WATCH_KEPT; i++)
		fprintf(stderr, "%.4f s: a processor stood still for %.1f ms\n", (double)w->kept[i].from_ns * 1e-9,
			(double)(w->kept[i].to_ns - w->kept[i].from_ns) * 1e-6);
	if (w->threads)
		BENCH_NOTE(group, (double)w->longest_ns * 1e-6, "ms",
			   "longest standstill of a processor of this machine (%u over %d ms)", w->count,
			   STALL_WATCH_MS);
}

#endif
