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
	pace->last_ns = now_ns;
	pace->debt = 0;
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
	if (captured > 0) /* 100 ppm then show as 1 ms of steady debt */
		pace->debt -= pace->debt * (elapsed_ns < 1e9 ? elapsed_ns : 1e9) /
			      (FORGET_SECONDS * (double)NS_PER_SEC);
	return plan;
}
