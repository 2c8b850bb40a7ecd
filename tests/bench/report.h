/* SPDX-License-Identifier: MIT
 *
 * report.h - one figure of the bench: a line on stdout that tests/bench/run.sh makes the table and
 * the JSON from. Fields are separated by tabs: group, what, value, unit, goal, verdict.
 */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include <stdio.h>

/* A figure with a goal. goal is for people ("<= 15"); met says whether it is reached. */
#define BENCH_ROW(group, value, unit, goal, met, ...) \
	do { \
		printf("row\t%s\t", (group)); \
		printf(__VA_ARGS__); \
		printf("\t%.6g\t%s\t%s\t%s\n", (double)(value), (unit), (goal), (met) ? "ok" : "MISSED"); \
		fflush(stdout); \
	} while (0)

/* A figure without a goal, for orientation. */
#define BENCH_NOTE(group, value, unit, ...) \
	do { \
		printf("row\t%s\t", (group)); \
		printf(__VA_ARGS__); \
		printf("\t%.6g\t%s\t\t\n", (double)(value), (unit)); \
		fflush(stdout); \
	} while (0)

#endif
