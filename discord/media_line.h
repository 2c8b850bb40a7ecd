/* SPDX-License-Identifier: MIT
 *
 * media_line.h - all sound of one line: `phone` captured, encoded and sent; everybody in the voice
 * channel received, decoded, mixed and played into `discord`.
 *
 * One object a line, made on the control thread at start-up and then the audio thread's, until
 * that thread has ended. It sleeps on nothing and reads no clock: media_line_step() is called when
 * its deadline has come, media_line_receive() when its path's socket has something.
 *
 * What runs when: nothing while not in a channel. In a channel `phone` is captured; `discord` is
 * played while calls are on the line or somebody in the channel can be heard.
 */
#ifndef DISCORD_MEDIA_LINE_H
#define DISCORD_MEDIA_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/budget.h"
#include "common/metrics.h"
#include "discord/speaker.h"
#include "discord/talker.h"
#include "discord/voice_udp.h"
#include "discord/voices.h"

struct port;
struct dave_media;
struct media_line;

#define MEDIA_BLOCK_FRAMES 240 /* 5 ms: the mix period */
#define MEDIA_SPEAKERS     VOICES_DECODERS /* who can be heard at the same time */

struct media_line_config {
	struct port *capture;  /* `phone` */
	struct port *playback; /* `discord` */
	struct dave_media *dave;
	bool fec;
	/* Control thread's ears; called on the audio thread, must not block. */
	const struct voice_udp_ops *ops; /* on_packet is not used */
	void (*on_sent)(void *ctx);      /* a packet has left; may be NULL */
	void *ctx;
};

int media_line_create(struct media_line **out, const struct media_line_config *config);
void media_line_destroy(struct media_line *l); /* ports and dave are the owner's */

/* ---- audio thread ------------------------------------------------------------------------ */

/* Takes one more decoder, up to MEDIA_SPEAKERS, or, while there are some with another number of
 * channels, in place of one of those. Returns what is to be freed on the control thread: the one that
 * was replaced, this one if there are that many, or NULL. Each is about 290 KiB, 340 with two channels:
 * they are made as people turn up. */
struct speaker *media_line_decoder(struct media_line *l, struct speaker *decoder);
/* A new voice session (NULL: none). All SSRCs are forgotten. Returns the old one, to be freed on
 * the control thread. */
struct voice_udp *media_line_path(struct media_line *l, struct voice_udp *path, int64_t now_ns);
/* The key of the present session. Returns what is to be freed on the control thread: the old key,
 * or this one if it belongs to a session that is gone. */
struct transport_cipher *media_line_key(struct media_line *l, unsigned generation,
					struct transport_cipher *cipher, int64_t now_ns);
/* SSRC -> user. ignored: hear nothing of it (IGNORE_BOTS). */
void media_line_speaker(struct media_line *l, uint64_t user_id, uint32_t ssrc, bool ignored,
			int64_t now_ns);
void media_line_left(struct media_line *l, uint64_t user_id, int64_t now_ns);
/* How many calls are on the line. */
void media_line_calls(struct media_line *l, unsigned calls, int64_t now_ns);

/* wall_ns as voice_udp_receive() wants it. */
void media_line_receive(struct media_line *l, int64_t now_ns, int64_t wall_ns);
/* Now and then, also while nothing is due: whether the PCMs are still there. */
void media_line_check(struct media_line *l, int64_t now_ns);
/* Does what is due; returns when it wants to be called next (INT64_MAX: not by time). */
int64_t media_line_step(struct media_line *l, int64_t now_ns);

/* ---- any thread: figures, each possibly a moment old --------------------------------------- */

/* What one speaker's sound is kept for; each written by the audio thread once a second. */
struct media_voice {
	_Atomic uint64_t user_id; /* 0: nobody is heard */
	_Atomic int64_t framing_ns, jitter_ns, delay_ns, resampling_ns;
	_Atomic int gain_db_tenths;
};

struct media_line_stats {
	_Atomic bool in_channel, capturing, playing;
	_Atomic uint64_t packets_sent, packets_not_sent, packets_received, packets_opened;
	_Atomic uint64_t packets_tampered, dave_failed, unknown_dropped, lost, concealed, late;
	_Atomic uint32_t speakers, decoders, stereo_decoders;
	_Atomic int64_t udp_rtt_ns;
	struct metrics_histogram lateness; /* step called after its deadline */
	struct metrics_histogram playout; /* delay of playout, each second and speaker */
	/* Shares of the delay (common/budget.h), written by the audio thread: */
	struct budget_stage from_loopback, framing; /* "phone" to Discord */
	struct budget_stage mixing, to_loopback;    /* Discord to "discord" */
	_Atomic uint32_t lookahead_frames;          /* of the encoder */
	struct media_voice voices[MEDIA_SPEAKERS];
};
const struct media_line_stats *media_line_stats(const struct media_line *l);

#endif
