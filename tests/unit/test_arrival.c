/* SPDX-License-Identifier: MIT
 *
 * test_arrival.c - dates of what lies in a socket, against clocks read by ourselves around the sending.
 * Datagrams are test_voice_udp's.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include "common/arrival.h"
#include "common/clock.h"

static int near_end, far_end;
static struct arrival_clock clock_of_test;

static void connect_pair(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_INT(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_INT(listen(listening, 1), 0);
	CHECK_INT(getsockname(listening, (struct sockaddr *)&address, &len), 0);
	far_end = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_INT(connect(far_end, (struct sockaddr *)&address, sizeof(address)), 0);
	near_end = accept(listening, NULL, NULL);
	CHECK(near_end >= 0);
	close(listening);
	arrival_enable(near_end);
	/* the kernel begins to stamp a little after it was asked to */
	usleep(20000);
}

static void disconnect(void)
{
	close(near_end);
	close(far_end);
}

/* Both clocks at one moment. */
static int64_t now_and_wall(int64_t *wall_ns)
{
	int64_t before_ns, now_ns;

	do {
		before_ns = clock_mono_ns();
		*wall_ns = clock_wall_ns();
		now_ns = clock_mono_ns();
	} while (now_ns - before_ns > NS_PER_MS / 20);
	return now_ns;
}

static void test_peek_dates_the_oldest(void)
{
	int64_t before_ns, after_ns, now_ns, wall_ns;
	char got[16];

	connect_pair();
	now_ns = now_and_wall(&wall_ns);
	CHECK_INT(arrival_peek(near_end, now_ns, wall_ns), 0);
	before_ns = clock_mono_ns();
	CHECK_INT(write(far_end, "first", 5), 5);
	after_ns = clock_mono_ns();
	usleep(30000);
	for (int i = 0; i < 2; i++) { /* it stays there */
		now_ns = now_and_wall(&wall_ns);
		int64_t came_ns = arrival_peek(near_end, now_ns, wall_ns);

		CHECK(came_ns > before_ns - NS_PER_MS / 10);
		CHECK(came_ns < after_ns + 5 * NS_PER_MS); /* of 30 that it lay there */
	}
	CHECK_INT(read(near_end, got, sizeof(got)), 5);
	CHECK_INT(arrival_peek(near_end, now_ns, wall_ns), 0);
	close(far_end);
	usleep(1000);
	CHECK_INT(arrival_peek(near_end, now_ns, wall_ns), 0); /* the end is nothing to date */
	close(near_end);
}

/* A wall clock that was set says nothing about what came before. */
static void test_a_set_clock_is_not_believed(void)
{
	int64_t now_ns, wall_ns;

	connect_pair();
	CHECK_INT(write(far_end, "x", 1), 1);
	usleep(5000);
	now_ns = now_and_wall(&wall_ns);
	CHECK_INT(arrival_peek(near_end, now_ns, 0), now_ns);
	CHECK_INT(arrival_peek(near_end, now_ns, wall_ns + 3600 * NS_PER_SEC), now_ns);
	CHECK_INT(arrival_peek(near_end, now_ns, wall_ns - 3600 * NS_PER_SEC), now_ns);
	disconnect();
}

static void test_a_step_of_the_wall_clock_is_seen(void)
{
	int64_t now_ns = clock_mono_ns(), wall_ns;

	CHECK_INT(arrival_wall_ns(&clock_of_test, now_ns), 0); /* nothing to compare with */
	now_ns = clock_mono_ns();
	wall_ns = arrival_wall_ns(&clock_of_test, now_ns);
	CHECK(llabs(wall_ns - clock_wall_ns()) < NS_PER_SEC);
	clock_of_test.ahead_ns += 20 * NS_PER_MS; /* as if it had been set back since */
	CHECK_INT(arrival_wall_ns(&clock_of_test, clock_mono_ns()), 0);
	CHECK(arrival_wall_ns(&clock_of_test, clock_mono_ns()) != 0);
}

int main(void)
{
	UNIT(test_peek_dates_the_oldest);
	UNIT(test_a_set_clock_is_not_believed);
	UNIT(test_a_step_of_the_wall_clock_is_seen);
	return unit_done();
}
