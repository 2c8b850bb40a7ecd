/* SPDX-License-Identifier: MIT
 *
 * chaos.h - one fault at random from the table of README.md. What is done is decided by its seed, and by
 * what calls there are at that moment; each step is printed with its time and arguments.
 */
#ifndef TESTS_E2E_CHAOS_H
#define TESTS_E2E_CHAOS_H

#include "tests/e2e/harness.h"

#define CHAOS_STRANGERS 24
#define CHAOS_KINDS     27

struct chaos {
	struct world *world;
	const char *settings; /* the right ones */
	int64_t begin_ns;     /* of the times that are printed */
	/* May that process be ended? Its memory is only worth a look if it lives. */
	bool ends_bridge, ends_bot;

	const char *only; /* kinds by their names, with commas, for who looks into them; NULL: all */

	uint64_t rng; /* of the fault at hand */
	int calls;    /* made so far */
	int stops;    /* of the bot, with status 78 */
	int counts[CHAOS_KINDS];
	/* what lasts until chaos_end() */
	int strangers[CHAOS_STRANGERS], stranger_count;
	bool no_names, disk_full, deleted, intent_refused, clock_set, settings_changed;
	int log_reader; /* of a log that is stuck; -1: none is */
	/* who reads one that was, into the file that should have been the log */
	char log_path[512];
	struct process log_keeper;
};

/* only: kinds' names with commas between, or NULL. Must stay as it is. */
void chaos_begin(struct chaos *c, struct world *w, const char *settings, const char *only);
void chaos_fault(struct chaos *c, uint64_t seed);
/* Nothing that was done lasts any longer. */
void chaos_end(struct chaos *c);
/* How often each kind was done. */
void chaos_report(const struct chaos *c);

__attribute__((format(printf, 2, 3))) void chaos_step(const struct chaos *c, const char *format, ...);

/* A new call; `more`: further members of the command, or "". Its name. */
const char *chaos_call(struct chaos *c, const char *voice, const char *more);

#endif
