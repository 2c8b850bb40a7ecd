/* SPDX-License-Identifier: MIT
 *
 * test_stage.c - shares of the delay budget: a playout buffer's two make the whole of its delay, and the
 * loopback is asked for at every few uses.
 */
#include "alsa/port.h"
#include "alsa/stage.h"
#include "tests/unit/unit.h"

#define MS INT64_C(1000000)

static void check_shares(int64_t delay_ns, int64_t jitter_ns, int64_t share_ns)
{
	struct budget_share jitter = stage_share_jitter(delay_ns, jitter_ns);
	struct budget_share playout = stage_share_playout(delay_ns, jitter_ns);

	CHECK_STR(jitter.name, "network_jitter_ms");
	CHECK_STR(playout.name, "playout_ms");
	CHECK_INT(jitter.ns, share_ns);
	CHECK_INT(jitter.ns + playout.ns, delay_ns);
}

static void test_shares_make_the_whole(void)
{
	check_shares(31 * MS, 28 * MS, 28 * MS);
	check_shares(31 * MS, 0, 0);
	check_shares(10 * MS, 28 * MS, 10 * MS); /* jitter beyond what is waited for */
	check_shares(0, 28 * MS, 0);
}

static void test_frames(void)
{
	CHECK_INT(stage_frames_ns(0), 0);
	CHECK_INT(stage_frames_ns(240), 5 * MS);
	CHECK_INT(stage_frames_ns((size_t)48000 * 3600), 3600 * 1000 * MS);
}

/* Every n-th use whatever else happens between them, beginning with the first. */
static void test_every_few_uses(void)
{
	static const unsigned every[] = {1, STAGE_EVERY_FRAME, STAGE_EVERY_BLOCK};
	struct port_params params = {.name = "nothing", .direction = PORT_CAPTURE};
	struct port *port;

	CHECK_INT(port_create(&port, &params), 0);
	for (int k = 0; k < 3; k++) {
		struct stage_turn turn = {0};

		for (unsigned use = 0; use < 100; use++) {
			struct budget_stage stage = {0};

			stage_stamp_port(&stage, &turn, every[k], port, MS);
			CHECK_INT(budget_ns(&stage) != BUDGET_UNKNOWN, use % every[k] == 0);
		}
	}
	port_destroy(port);
}

int main(void)
{
	UNIT(test_shares_make_the_whole);
	UNIT(test_frames);
	UNIT(test_every_few_uses);
	return unit_done();
}
