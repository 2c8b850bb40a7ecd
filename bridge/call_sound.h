/* SPDX-License-Identifier: MIT
 *
 * call_sound.h - how a call sounds, as GET /v1/state shows it: its delay budget (common/api.h) and
 * counters.
 */
#ifndef BRIDGE_CALL_SOUND_H
#define BRIDGE_CALL_SOUND_H

#include "bridge/line.h"
#include "bridge/media_stream.h"

struct json_writer;

struct call_sound {
	const struct line_budget *line;
	const struct leg_stats *leg;              /* NULL: it is not on the line yet */
	const struct media_stream_stats *stream;  /* NULL: it has none, or none at the moment */
	const char *discord;                      /* the Discord process's budget, JSON; NULL: not known */
	double to_discord_ms, to_phone_ms;        /* its sums; NAN: not known */
};

/* The members of the call's object. What is not known is null. */
void call_sound_write(struct json_writer *w, const struct call_sound *sound);

#endif
