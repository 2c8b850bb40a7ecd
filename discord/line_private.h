/* SPDX-License-Identifier: MIT
 *
 * line_private.h - what line.c (what happens on a line), line_lookup.c (which channel is its) and
 * line_state.c (what can be seen of it) share.
 */
#ifndef DISCORD_LINE_PRIVATE_H
#define DISCORD_LINE_PRIVATE_H

#include "common/loop.h"
#include "discord/attend.h"
#include "discord/calls.h"
#include "discord/line.h"
#include "discord/voice_link.h"

#define LINE_LOOK_UP_MIN_MS 2000

struct port;

struct line {
	int number;
	struct line_host host;
	struct port *capture, *playback;
	bool capture_told, playback_told; /* a failure to open was logged */
	struct dave_media *dave_media;
	uint64_t guild_id, channel_id;
	bool stage;
	char channel_name[128];
	int look_up_ms;

	struct attend attend;
	struct channel *channel;
	struct voice_link *voice;
	struct calls *calls;
	uint64_t user_id; /* our own; 0 until the main gateway is ready */
	bool ready;       /* and it is */
	bool leaving;     /* the program is ending */
	bool was_wanted;  /* before the last restart: calls found in the first snapshot get it back */
	int64_t born_ms;  /* wall clock */
	struct api_channel told;
	struct loop_timer timer, look_up_timer, lost_timer;
};

/* line.c: guild_id and stage are known. False: out of memory. */
bool line_channel_create(struct line *l);
/* line.c: what was found out may change what is wanted. */
void line_settle(struct line *l);

#endif
