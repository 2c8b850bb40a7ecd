/* SPDX-License-Identifier: MIT
 *
 * attend.c - see attend.h.
 */
#include "discord/attend.h"

#include "common/clock.h"

#define NEVER INT64_MAX

void attend_init(struct attend *a, bool on_call)
{
	*a = (struct attend){.on_call = on_call, .leave_at_ns = NEVER};
}

void attend_calls(struct attend *a, unsigned calls, bool fresh, int64_t now_ns)
{
	if (calls == 0 && a->calls > 0)
		a->leave_at_ns = now_ns + ATTEND_AFTER_CALL_S * NS_PER_SEC;
	if (calls > 0)
		a->leave_at_ns = NEVER;
	a->calls = calls;
	if (fresh && a->on_call)
		a->wanted = true;
}

void attend_connect(struct attend *a, int64_t now_ns)
{
	a->wanted = true;
	a->leave_at_ns = a->calls > 0 ? NEVER : now_ns + ATTEND_WITHOUT_CALL_S * NS_PER_SEC;
}

void attend_disconnect(struct attend *a)
{
	a->wanted = false;
}

int64_t attend_deadline_ns(const struct attend *a)
{
	return a->wanted ? a->leave_at_ns : NEVER;
}

void attend_tick(struct attend *a, int64_t now_ns)
{
	if (a->wanted && now_ns >= a->leave_at_ns)
		a->wanted = false;
}
