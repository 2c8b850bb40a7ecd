/* SPDX-License-Identifier: MIT
 *
 * media_stream.h - one media stream of Twilio, from its first message to its end: the protocol,
 * without the socket.
 *
 *	ACCEPTED ──connected──▶ HELLO ──start──▶ (ASKING) ──▶ LIVE ──stop, close──▶ DONE
 *
 * The owner hands in messages as they come and sends the ones that media_stream_next() gives; it
 * closes the socket with the code that a function returned. What the stream leads to is decided by
 * hooks. Audio goes both ways without allocation. One thread; time is an argument.
 */
#ifndef BRIDGE_MEDIA_STREAM_H
#define BRIDGE_MEDIA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/g711.h"
#include "bridge/media_message.h"
#include "bridge/probe.h"

#define STREAM_CONNECTED_NS (5 * INT64_C(1000000000))  /* `connected` must come */
#define STREAM_START_NS     (10 * INT64_C(1000000000)) /* `start` must come, and be admitted */
#define STREAM_SILENT_NS    (5 * INT64_C(1000000000))  /* longest time without a media message */
#define STREAM_QUEUE_FRAMES 3 /* frames held for a socket that takes none: one due, two to catch up */

/* Close codes of RFC 6455 7.4 that the functions below return; 0 is "go on". */
#define STREAM_GO_ON        0
#define STREAM_CLOSE_NORMAL 1000
#define STREAM_CLOSE_AWAY   1001
#define STREAM_CLOSE_POLICY 1008
#define STREAM_CLOSE_BIG    1009

struct media_stream;

struct media_stream_hooks {
	/* `start` came. 0: admitted, the stream is live. -EINPROGRESS: media_stream_admit() will
	 * say. Anything else: refused. */
	int (*start)(void *user, struct media_stream *stream, const struct media_message *start);
	/* Sound of the caller: `n` mu-law samples whose first has media time `media` (8 kHz frames
	 * since the start of the stream). At most MEDIA_PAYLOAD_MAX. */
	void (*audio)(void *user, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns);
	void (*dtmf)(void *user, char digit);
	/* A live stream, or one that was being asked about, is over; `stopped` if `stop` came, i.e. the call is over as well. */
	void (*done)(void *user, bool stopped);
};

/* `name` is for the log until a call is known (the peer's address). */
int media_stream_create(struct media_stream **out, const struct media_stream_hooks *hooks,
			void *user, const char *name, int64_t now_ns);
/* Does not call done(): the owner knows. */
void media_stream_destroy(struct media_stream *stream);

/* A message came; binary ones are not in the protocol. */
int media_stream_receive(struct media_stream *stream, const char *text, size_t len, bool binary,
			 int64_t now_ns);
/* The answer to a start that was put off. */
int media_stream_admit(struct media_stream *stream, bool admitted, int64_t now_ns);
/* The socket is gone. Calls done() if it had not been called. */
void media_stream_closed(struct media_stream *stream);
/* Checks the time limits; call it about every 100 ms. */
int media_stream_check(struct media_stream *stream, int64_t now_ns);

/*
 * Queues one frame of sound for the caller (dropped unless live), and a mark or a clear when due.
 * When the socket has not taken anything for a while the oldest is dropped: the far end has heard
 * silence meanwhile, and sound sent late would stay late.
 */
void media_stream_send(struct media_stream *stream, const uint8_t frame[G711_FRAME_BYTES],
		       int64_t now_ns);
/* The next message to write, and its length; 0: none. `out` has MEDIA_BUILD_BYTES. */
size_t media_stream_next(struct media_stream *stream, char *out);
bool media_stream_pending(const struct media_stream *stream);

bool media_stream_started(const struct media_stream *stream); /* live, or being asked about */
const char *media_stream_sid(const struct media_stream *stream); /* "" before start */
/* ppm by which to slow the sound down, see probe_trim_ppm(). */
double media_stream_trim_ppm(const struct media_stream *stream);

struct media_stream_stats {
	uint64_t messages, media, gaps, duplicates; /* gaps: chunks that are missing */
	uint64_t frames_sent, frames_dropped;       /* dropped: the socket took none */
	uint64_t clears;
	int64_t min_rtt_ns, queue_ns;               /* of marks */
	int64_t unsent_ns;                          /* sound that the socket has not taken yet */
};
void media_stream_stats(const struct media_stream *stream, struct media_stream_stats *out);

#endif
