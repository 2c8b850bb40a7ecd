/* SPDX-License-Identifier: MIT
 *
 * pace.c - see pace.h.
 */
#include "bridge/pace.h"

#include "common/clock.h"

#define FRAMES_PER_NS  (48e-6)
#define FORGET_SECONDS 10.0 /* in which a steady difference of clocks is forgiven */

void pace_start(struct pace *pace, int64_t now_ns)
{
	pace->last_ns = pace->captured_ns = now_ns;
	pace->debt = 0;
}

bool pace_reads(const struct pace *pace, size_t available, size_t completes, int64_t now_ns)
{
	double debt = pace->debt + (double)(now_ns - pace->last_ns) * FRAMES_PER_NS;

	return available == 0 || available >= completes || debt > PACE_PATIENCE;
}

struct pace_plan pace_run(struct pace *pace, unsigned captured, bool away, int64_t now_ns)
{
	struct pace_plan plan = {0, 0};
	double elapsed_ns = (double)(now_ns - pace->last_ns), expected = elapsed_ns * FRAMES_PER_NS;

	pace->last_ns = now_ns;
	if (expected > PACE_CATCH_UP)
		expected = PACE_CATCH_UP;
	pace->debt += expected - captured;
	if (pace->debt > PACE_CATCH_UP)
		pace->debt = PACE_CATCH_UP;

	if (pace->debt >= 1 && (away || pace->debt > PACE_PATIENCE)) {
		plan.silence = (unsigned)pace->debt;
		pace->debt -= plan.silence;
	} else if (pace->debt < -PACE_AHEAD) {
		plan.skip = (unsigned)-pace->debt;
		if (plan.skip > captured)
			plan.skip = captured;
		pace->debt += plan.skip;
	}
	if (captured > 0) { /* 100 ppm then show as 1 ms of steady debt */
		double since_ns = (double)(now_ns - pace->captured_ns);

		pace->debt -= pace->debt * (since_ns < 1e9 ? since_ns : 1e9) /
			      (FORGET_SECONDS * (double)NS_PER_SEC);
		pace->captured_ns = now_ns;
	}
	return plan;
}
