/* SPDX-License-Identifier: MIT
 *
 * unit.h - the smallest test harness that does the job.
 *
 * A test is a `static void test_something(void)`; main() lists them:
 *
 *	int main(void) { UNIT(test_a); UNIT(test_b); return unit_done(); }
 *
 * One line a test on stdout: "ok NAME", "not ok NAME: file:line: what", or
 * "skip NAME: reason"; tests/run.sh counts these lines over all programs.
 * A failed CHECK leaves its test at once (longjmp), so state that a test
 * allocates may leak on failure, never on success.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf unit_jump;
static int unit_failures;

#define UNIT_LEAVE_FAILED  1
#define UNIT_LEAVE_SKIPPED 2

#define UNIT_FAIL(...) \
	do { \
		printf("not ok %s: %s:%d: ", unit_name, __FILE__, __LINE__); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		longjmp(unit_jump, UNIT_LEAVE_FAILED); \
	} while (0)

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			UNIT_FAIL("%s", #cond); \
	} while (0)

#define CHECK_INT(got, want) \
	do { \
		long long unit_g = (long long)(got), unit_w = (long long)(want); \
		if (unit_g != unit_w) \
			UNIT_FAIL("%s is %lld, expected %lld", #got, unit_g, unit_w); \
	} while (0)

#define CHECK_STR(got, want) \
	do { \
		const char *unit_g = (got), *unit_w = (want); \
		if (!unit_g || strcmp(unit_g, unit_w) != 0) \
			UNIT_FAIL("%s is \"%s\", expected \"%s\"", #got, unit_g ? unit_g : "(null)", unit_w); \
	} while (0)

#define CHECK_MEM(got, want, len) \
	do { \
		if (memcmp((got), (want), (len)) != 0) \
			UNIT_FAIL("%s differs from %s", #got, #want); \
	} while (0)

/* got must lie within tol of want */
#define CHECK_NEAR(got, want, tol) \
	do { \
		double unit_g = (double)(got), unit_w = (double)(want); \
		if (!(fabs(unit_g - unit_w) <= (double)(tol))) \
			UNIT_FAIL("%s is %.9g, expected %.9g +- %g", #got, unit_g, unit_w, (double)(tol)); \
	} while (0)

#define SKIP(...) \
	do { \
		printf("skip %s: ", unit_name); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		longjmp(unit_jump, UNIT_LEAVE_SKIPPED); \
	} while (0)

static const char *unit_name = "";

static void unit_run(const char *name, void (*test)(void))
{
	unit_name = name;
	switch (setjmp(unit_jump)) {
	case 0:
		test();
		printf("ok %s\n", name);
		break;
	case UNIT_LEAVE_FAILED:
		unit_failures++;
		break;
	default:
		break;
	}
	fflush(stdout);
}

#define UNIT(test) unit_run(#test, test)

static int unit_done(void)
{
	return unit_failures ? 1 : 0;
}

#endif
