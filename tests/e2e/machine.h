/* SPDX-License-Identifier: MIT
 *
 * machine.h - what a machine does to the programs that run on it, each with its way back: descriptors
 * and memory that run out, a full disk, a log that nobody reads, cables that vanish. Used by the
 * tests that do one of them (e2e_machine) and by those that do any (chaos_machine.c).
 */
#ifndef TESTS_E2E_MACHINE_H
#define TESTS_E2E_MACHINE_H

#include <sys/resource.h>

#include "tests/e2e/harness.h"

/* Of a running process no descriptor or no memory is left; false: it has ended, or not here. old gets
 * what to put back. spare_kb: so much may still be added to what it has; its stacks grow freely. */
bool descriptors_exhaust(pid_t pid, struct rlimit *old);
void descriptors_restore(pid_t pid, const struct rlimit *old);
bool memory_exhaust(pid_t pid, long spare_kb, struct rlimit *old);
void memory_restore(pid_t pid, const struct rlimit *old);

/* The file system under the state directory has no room, and the runtime directory no place for the
 * state of the lines. False: no mount namespace here. */
bool disk_fill(struct world *w);
void disk_free(struct world *w);

/* The log of a process that is about to be started is a pipe that has
 * room for a line or two; what it wrote so far is kept
 * at `old`. Returns the reader's end: closed, the pipe is broken; kept unread, it is stuck. Unlink
 * p->log, once it runs, for an ordinary log of its next life. */
int log_to_pipe(const struct process *p, const char *old);
/* Reads what is there into text (may be NULL), as far as there is room; bytes. */
long log_drain(int reader, char *text, size_t len);

/* As after rmmod; how many there were. */
int cables_remove(struct world *w);

#endif
