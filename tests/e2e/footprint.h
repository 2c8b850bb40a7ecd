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
/* And from the first half of a life of at least 24 looks to its second, each taken at its least: what
 * comes and goes does not count, what stays does. */
#define FOOTPRINT_GROWTH_ANON_KB 384
#define FOOTPRINT_GROWTH_PSS_KB  2560 /* other programs that map the same libraries come and go */
#define FOOTPRINT_GROWTH_FDS     1
#define FOOTPRINT_LONG           24

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
