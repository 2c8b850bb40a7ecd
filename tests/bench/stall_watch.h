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
#include <time.h>
#include <unistd.h>

#define STALL_WATCH_CPUS 64
#define STALL_WATCH_MS   4 /* about what is queued in the cable */

struct stall_watch {
	pthread_t thread[STALL_WATCH_CPUS];
	int threads;
	_Atomic bool stop;          /* written by the owner, read by the threads */
	_Atomic int64_t longest_ns; /* written by the threads, read by the owner; so is the next */
	_Atomic unsigned count;     /* of those over STALL_WATCH_MS */
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
			w->count++;
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

	*w = (struct stall_watch){.threads = 0};
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

/* Ends it, with a row in the table. */
static inline void stall_watch_end(struct stall_watch *w, const char *group)
{
	w->stop = true;
	for (int i = 0; i < w->threads; i++)
		pthread_join(w->thread[i], NULL);
	if (w->threads)
		BENCH_NOTE(group, (double)w->longest_ns * 1e-6, "ms",
			   "longest standstill of a processor of this machine (%u over %d ms)", w->count,
			   STALL_WATCH_MS);
}

#endif
