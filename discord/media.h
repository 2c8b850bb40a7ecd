/* SPDX-License-Identifier: MIT
 *
 * media.h - the audio thread: one ppoll() over a wake-up and the set of the lines' UDP sockets (not
 * while blocks are played, which begin with reading them), until what is due next.
 *
 * Commands go to it and events come from it through single-producer single-consumer rings; what
 * it no longer needs comes back as an event and is freed here, on the control thread. It runs
 * SCHED_FIFO where that is allowed. Between its start and its end the lines are its alone.
 *
 * All functions: control thread.
 */
#ifndef DISCORD_MEDIA_H
#define DISCORD_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "discord/media_line.h"

struct loop;
struct media;

#define MEDIA_LINES_MAX 64

/* Called on the control thread. */
struct media_events {
	void (*on_discovered)(void *ctx, int line, unsigned generation, const char *address,
			      uint16_t port); /* address NULL: nobody answered */
	void (*on_dead)(void *ctx, int line, unsigned generation, enum voice_dead why);
	void *ctx;
};

int media_create(struct media **out, struct loop *loop, const struct media_events *events);
/* Before media_start(): a line's ports and DAVE keys, which outlive the media; speech_level_dbov: 0, or
 * what speakers are levelled to. -EEXIST, -ENOMEM. */
int media_line_add(struct media *m, int line, struct port *capture, struct port *playback,
		   struct dave_media *dave, bool fec, int speech_level_dbov);
int media_start(struct media *m);
/* Ends the thread, frees everything. */
void media_destroy(struct media *m);

/* A new session for the line (takes ownership of path; NULL: none). -EBUSY: the audio thread does not
 * take commands; path is destroyed. */
int media_path(struct media *m, int line, struct voice_udp *path);
/* The key of a session; takes ownership. */
void media_key(struct media *m, int line, unsigned generation, struct transport_cipher *cipher);
/* A user's SSRC. Makes a decoder where there are fewer than people announced. */
void media_speaker(struct media *m, int line, uint64_t user_id, uint32_t ssrc, bool ignored);
/* The line's playback port may have been opened, or anew: decoders for as many channels as it has. */
void media_port_tended(struct media *m, int line);
void media_left(struct media *m, int line, uint64_t user_id);
void media_calls(struct media *m, int line, unsigned calls);

/* When the audio thread last answered a ping, for the watchdog: true if it answered the ping
 * before this call, and sends the next. */
bool media_ping(struct media *m);
/* NULL: no such line. */
const struct media_line_stats *media_stats(const struct media *m, int line);
bool media_is_realtime(const struct media *m);
/* From a wake of the audio thread to when a packet that it encodes has left. BUDGET_UNKNOWN: none has
 * yet. */
int64_t media_work_ns(const struct media *m);

#endif
