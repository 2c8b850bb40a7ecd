/* SPDX-License-Identifier: MIT
 *
 * stage.c - see stage.h.
 */
#include "alsa/stage.h"

#include "alsa/port.h"
#include "common/clock.h"

struct budget_share stage_share_jitter(int64_t delay_ns, int64_t jitter_ns)
{
	return (struct budget_share){"network_jitter_ms",
				     jitter_ns < delay_ns ? jitter_ns : delay_ns};
}

struct budget_share stage_share_playout(int64_t delay_ns, int64_t jitter_ns)
{
	return (struct budget_share){"playout_ms", jitter_ns < delay_ns ? delay_ns - jitter_ns : 0};
}

int64_t stage_frames_ns(size_t frames)
{
	return (int64_t)frames * NS_PER_SEC / PORT_RATE;
}

void stage_stamp_port(struct budget_stage *stage, struct stage_turn *turn, unsigned every,
		      struct port *port, int64_t now_ns)
{
	if (turn->left > 0) {
		turn->left--;
		return;
	}
	turn->left = every - 1;
	budget_stamp(stage, stage_frames_ns(port_delay_frames(port, now_ns)));
}
