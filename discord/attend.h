/* SPDX-License-Identifier: MIT
 *
 * attend.h - the rule by which the bot wants to be in a line's voice channel.
 *
 *   CONNECT=command   from $connect (or the local API) on
 *   CONNECT=call      the same, and whenever a call comes in
 *   both              leaves 10 s after the last call has ended; $connect without any call stays
 *                     10 minutes; $disconnect or a kick ends it until somebody asks again
 *
 * Pure value type. Control thread.
 */
#ifndef DISCORD_ATTEND_H
#define DISCORD_ATTEND_H

#include <stdbool.h>
#include <stdint.h>

#define ATTEND_AFTER_CALL_S   10
#define ATTEND_WITHOUT_CALL_S 600

struct attend {
	bool on_call; /* CONNECT=call */
	bool wanted;
	unsigned calls;
	int64_t leave_at_ns; /* INT64_MAX: not by time */
};

void attend_init(struct attend *a, bool on_call);
/* The number of calls on the line is now this; fresh: one of them has just come in. */
void attend_calls(struct attend *a, unsigned calls, bool fresh, int64_t now_ns);
void attend_connect(struct attend *a, int64_t now_ns);
void attend_disconnect(struct attend *a);
int64_t attend_deadline_ns(const struct attend *a);
void attend_tick(struct attend *a, int64_t now_ns);

#endif
