/* SPDX-License-Identifier: MIT
 *
 * test_footprint.c - what e2e_endurance calls flat: growth that stops is, growth that goes on is not.
 */
#include "tests/e2e/footprint.h"

#include <unistd.h>

#include "unit.h"

#define LOOKS 45

static struct footprint looks[LOOKS];
static struct footprint_life life;

/* A life like those that were seen: settles within a few looks, with steps where something is done for the
 * first time (at looks a and b). */
static void settle(size_t a, size_t b)
{
	life = (struct footprint_life){.pid = 1, .looks = looks, .count = LOOKS};
	for (size_t i = 0; i < LOOKS; i++) {
		looks[i].anon_kb = 2360 + (i > 2 ? 120 : 0) + (i > a ? 400 : 0) + (i > b ? 200 : 0);
		looks[i].pss_kb = looks[i].anon_kb + 1000 + (long)(i % 5) * 40;
		looks[i].fds = 27 + (i > a);
	}
}

static bool flat(void)
{
	char text[512];

	return footprint_flat(&life, text, sizeof(text));
}

static void test_first_times_are_no_leak(void)
{
	settle(4, 9);
	CHECK(flat());
	settle(20, 30);
	CHECK(flat());
	CHECK(footprint_peak_ok(&life));
	/* a code is being made: 16 MiB, at one look in five */
	for (size_t i = 3; i < LOOKS; i += 5)
		looks[i].anon_kb += 16384;
	CHECK(flat());
}

static void test_leaks_are_found(void)
{
	settle(4, 9);
	for (size_t i = 0; i < LOOKS; i++) /* a page at each look */
		looks[i].anon_kb += 4 * (long)i;
	CHECK(!flat());
	settle(4, 9);
	for (size_t i = 0; i < LOOKS; i++) /* much, seldom */
		looks[i].anon_kb += 600 * (long)(i / 8);
	CHECK(!flat());
	settle(4, 9);
	for (size_t i = 0; i < LOOKS; i++)
		looks[i].fds += (int)i / 5;
	CHECK(!flat());
	settle(4, 9);
	for (size_t i = 0; i < LOOKS; i++)
		looks[i].pss_kb += 150 * (long)i;
	CHECK(!flat());
}

static void test_peaks(void)
{
	settle(4, 9);
	looks[LOOKS - 1].anon_kb += FOOTPRINT_PEAK_ANON_KB + 800;
	CHECK(!footprint_peak_ok(&life));
	settle(4, 9);
	looks[LOOKS - 1].fds += FOOTPRINT_PEAK_FDS + 2;
	CHECK(!footprint_peak_ok(&life));
}

static void test_looks_at_a_process(void)
{
	struct footprint_life own = {0};
	struct footprint before = footprint_of(getpid()), after;
	size_t len = 4 << 20;
	char *p = malloc(len);
	int fd = dup(0);

	CHECK(p && fd >= 0);
	memset(p, 1, len);
	after = footprint_of(getpid());
	CHECK(before.anon_kb > 0 && before.pss_kb >= before.anon_kb && before.fds >= 3);
	CHECK(after.anon_kb >= before.anon_kb + 4000 && after.fds == before.fds + 1);
	close(fd);
	free(p);
	footprint_look(&own, getpid());
	footprint_look(&own, getpid());
	CHECK_INT(own.count, 2);
	footprint_look(&own, getppid());
	CHECK_INT(own.count, 1);
	footprint_free(&own);
}

int main(void)
{
	UNIT(test_first_times_are_no_leak);
	UNIT(test_leaks_are_found);
	UNIT(test_peaks);
	UNIT(test_looks_at_a_process);
	return unit_done();
}
