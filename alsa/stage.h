/* SPDX-License-Identifier: MIT
 *
 * stage.h - shares of the delay budget (common/budget.h) that both processes have: playout buffers and
 * the loopback.
 */
#ifndef ALSA_STAGE_H
#define ALSA_STAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/budget.h"

struct port;

/* What a playout buffer keeps sound for, in two shares: what the network's jitter asks for (its
 * 99th percentile), and the rest. */
struct budget_share stage_share_jitter(int64_t delay_ns, int64_t jitter_ns);
struct budget_share stage_share_playout(int64_t delay_ns, int64_t jitter_ns);

/* How long frames at 48 kHz last. */
int64_t stage_frames_ns(size_t frames);

/*
 * The loopback's share. What is queued in it is a question to the device, so it is asked for at every
 * few uses only: of those who write 5 ms blocks every 55 ms, no multiple of a frame, or only one of the
 * places within it would ever be seen; of those who read frames at every third.
 */
#define STAGE_EVERY_BLOCK 11
#define STAGE_EVERY_FRAME 3

/* Zeroed: the first use is asked for. */
struct stage_turn {
	unsigned left;
};

/* Call it at each use of the port, after reading or before writing. */
void stage_stamp_port(struct budget_stage *stage, struct stage_turn *turn, unsigned every,
		      struct port *port, int64_t now_ns);

#endif
