/* SPDX-License-Identifier: MIT
 *
 * heal.h - after a fault: when do caller and member hear each other again?
 */
#ifndef TESTS_E2E_HEAL_H
#define TESTS_E2E_HEAL_H

#include "tests/e2e/harness.h"

/* A call with a tone each way, as it has to be again after a fault. */
struct heal {
	struct world *world;
	const char *call, *member; /* names at the simulators */
	double caller_hz, member_hz;
};

/* Who hears the other now (and not himself), looked at for half a second. */
struct heal_ears {
	bool caller, member;
};
struct heal_ears heal_look(const struct heal *h);
/* Do both hear each other, at some time within eight looks? */
bool heal_is_whole(const struct heal *h);

/* How many streams the call has had, refused ones included: the index of the next recording. */
int heal_streams(struct world *w, const char *call);

/* Waits until both hear each other, within 1.5 dB of -15 dBFS and no echo of themselves; returns
 * the seconds since since_ns (resolution: about 0.7 s). Fails after ms. */
double heal_wait(const struct heal *h, int64_t since_ns, int ms);
/* The same, said as a line of the test's output. */
void heal_report(const struct heal *h, const char *what, int64_t since_ns, int ms);

/* The bot is started again if it has ended itself with status 78, which is what a changed message may
 * rightly bring it to (401, 4004); true then. All else that ends a process is a crash, and fails. */
bool heal_keep_alive(struct world *w);

#endif
