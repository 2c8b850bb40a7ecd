/* SPDX-License-Identifier: MIT
 *
 * footprint.h - memory and descriptors of a process over its life, looked at again and again: are they
 * flat?
 */
#ifndef TESTS_E2E_FOOTPRINT_H
#define TESTS_E2E_FOOTPRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct footprint {
	long pss_kb;  /* shared pages by share: other programs that come and go change it a little */
	long anon_kb; /* its own: what a leak makes grow */
	int fds;
};
struct footprint footprint_of(pid_t pid);

/* Looks at which nothing is judged yet: caches fill, buffers find their size. */
#define FOOTPRINT_WARM 8

/* What may be added to the least after warming up, at any look. A verification code takes 16 MiB for
 * a moment: whoever finds more waits and looks again. */
#define FOOTPRINT_PEAK_ANON_KB 2048
#define FOOTPRINT_PEAK_FDS     6
/* And in the second half of a life of at least 32 looks. A leak makes more of a process at nearly every
 * look; what is done for the first time (certificates of the first request, buffers of the most calls so
 * far) does so once, and stays. So: own memory reaches a new maximum at less than every second look, and
 * the least of the second half is not more than this over the least of the first, which bounds all first
 * times together (1 MiB: a process has 2.4 to 3.9 MiB of its own). */
#define FOOTPRINT_LONG           32
#define FOOTPRINT_GROWTH_ANON_KB 1024
#define FOOTPRINT_GROWTH_PSS_KB  2560 /* other programs that map the same libraries come and go */
#define FOOTPRINT_GROWTH_FDS     3    /* connections to the REST services are kept for a while */

struct footprint_life {
	pid_t pid;
	struct footprint *looks;
	size_t count, room;
};

/* Takes one more look; another pid begins another life (the caller judges the old one before). */
void footprint_look(struct footprint_life *life, pid_t pid);
/* The last look is not more than a peak over the least so far. */
bool footprint_peak_ok(const struct footprint_life *life);
/* Over the whole life; too short a one is flat. Says it in a line: start, after warm-up, end. */
bool footprint_flat(const struct footprint_life *life, char *text, size_t len);
void footprint_free(struct footprint_life *life);

#endif
