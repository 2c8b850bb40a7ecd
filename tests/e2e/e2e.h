/* SPDX-License-Identifier: MIT
 *
 * e2e.h - end-to-end tests: unit.h's lines over the harness. Included once by each program.
 *
 * A failure inside the harness fails the test at hand. KEEP=1 leaves the directory of a failed
 * program for a look, KEEP=all that of a good one too.
 */
#ifndef TESTS_E2E_E2E_H
#define TESTS_E2E_E2E_H

#include "tests/e2e/harness.h"
#include "tests/e2e/measure.h"
#include "tests/unit/unit.h"

static struct world W;

static void e2e_failed(const char *text)
{
	UNIT_FAIL("%s", text);
}

/* The world of all tests of a program; a test that finds none fails. */
#define E2E_NEEDS_WORLD() CHECK(W.bridge.pid != 0)

static int e2e_done(void)
{
	const char *keep = getenv("KEEP");

	if (unit_failures)
		world_show_logs(&W);
	harness_on_failure = e2e_failed;
	if (setjmp(unit_jump) == 0)
		world_stop(&W, keep && (unit_failures || !strcmp(keep, "all")));
	return unit_done();
}

static void e2e_begin(void)
{
	harness_on_failure = e2e_failed;
	setvbuf(stdout, NULL, _IOLBF, 0);
}

#endif
