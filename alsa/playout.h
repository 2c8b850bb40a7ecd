/* SPDX-License-Identifier: MIT
 *
 * playout.h - one incoming stream, from packets as they arrive to 48 kHz on our own clock.
 *
 *	network --> playout_put(media time, frames, arrival)          at any time, in any order
 *	            [ buffer by media time | clock recovery | resampler ]
 *	            playout_pull(now) --> 48 kHz float, one call per mix period
 *
 * Playout is by time: the frame of media time m is played a delay after its least-delayed arrival,
 * whether or not it has come; what has not come is concealed, and what comes after its place was
 * played is discarded and counted. The delay follows the network: it starts at 40 ms and aims at
 * the 99th percentile of the last ten seconds' jitter + 3 to 5 ms, within 3 .. 120 ms. It grows at
 * once; it shrinks in pauses, by dropping quiet frames (at most one per 500 ms), and by playing up
 * to 1 ms/s faster. Every splice is cross-faded. Drift between the sender's clock and ours is
 * found from arrival times (clock.h) and taken out by the resampler, never by splices.
 *
 * Media time is a running count of frames at the stream's own rate, with any origin. It may pause,
 * jump, or begin anew: a jump in a pause is followed at once, one amid sound when three packets
 * agree on it; the rate found is kept.
 *
 * Memory is fixed at create (8 kHz: about 20 KiB, 48 kHz: about 90 KiB a channel). An object belongs to one
 * thread. No clock is read, nothing is allocated, nothing locks or blocks. No input can make a call
 * fail: bad calls return a verdict and are counted.
 */
#ifndef ALSA_PLAYOUT_H
#define ALSA_PLAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct playout;

#define PLAYOUT_OUT_RATE   48000
#define PLAYOUT_MAX_PULL   1920 /* frames (40 ms) one pull may ask for; 240 is usual */
#define PLAYOUT_MAX_PACKET_MS 120

/*
 * Asks the decoder to make up frames samples that follow the last ones put (Opus: opus_decode_float
 * with data NULL). Called inside playout_pull when sound is missing, for 20 ms at a time (960 frames
 * at 48 kHz: decoders fade by calls, not by time). media is the media time of the first of them. Where little is
 * lost not before 10 ms have been missing: what is only late the decoder decodes better if it was not asked.
 * Must not allocate
 * or block. Returns false if it cannot (decoder never had a packet): then the waveform is continued
 * by pitch repetition, as it always is when no callback was given.
 */
typedef bool (*playout_conceal_fn)(void *ctx, int64_t media, float *out, unsigned frames);

/* More than one channel: wherever samples are handed over, channel c begins at samples + c * frames. */
#define PLAYOUT_CHANNELS_MAX 2

struct playout_config {
	unsigned rate;              /* of the stream: 8000 or 48000 */
	unsigned channels;          /* 0: 1 */
	unsigned start_ms;          /* 0: 40 */
	unsigned floor_ms;          /* 0: 3 */
	unsigned ceiling_ms;        /* 0: 120; at most 150 */
	playout_conceal_fn conceal; /* NULL: waveform concealment */
	void *conceal_ctx;
};

/* -EINVAL: rate or limits out of range. -ENOMEM. */
int playout_create(struct playout **out, const struct playout_config *config);
void playout_destroy(struct playout *p);

/* Returns to the state after create, for another use of the object (pool); the rate is forgotten. */
void playout_reset(struct playout *p);

/*
 * The next packet begins a new stream (new SSRC, re-attached call, decoder restarted): whatever its
 * media time, it is followed at once. Buffered sound is played out with a fade; jitter history and
 * rate are kept (the sender is the same).
 */
void playout_restart(struct playout *p);

/*
 * The sender has said that it pauses after what has been put (Discord's five silence frames, hold):
 * nothing is concealed after the last frame present. Undone by the next put. Without this hint a
 * pause is found by concealment fading out (60 ms).
 */
void playout_pause(struct playout *p);

enum playout_verdict {
	PLAYOUT_TAKEN,     /* at least part of it will be heard */
	PLAYOUT_LATE,      /* its place was played (concealed) already */
	PLAYOUT_DUPLICATE, /* all of it is there already */
	PLAYOUT_JUMP,      /* media time far off; dropped until three agree (then all is re-anchored) */
	PLAYOUT_REFUSED,   /* empty, longer than PLAYOUT_MAX_PACKET_MS, absurd media time */
};

/*
 * frames samples starting at media time media (frames at the stream's rate) arrived at arrival_ns
 * (CLOCK_MONOTONIC of the packet's arrival, not of this call: a packet held back for decoding in
 * order keeps its own arrival). samples NULL: only the arrival counts (late, not worth decoding).
 * Samples made up by the decoder for a lost packet (FEC, PLC decoded ahead of time) are put with
 * playout_put_made, which says nothing about arrival; real samples replace them if they still come
 * in time.
 */
enum playout_verdict playout_put(struct playout *p, int64_t media, const float *samples,
				 unsigned frames, int64_t arrival_ns);
enum playout_verdict playout_put_made(struct playout *p, int64_t media, const float *samples,
				      unsigned frames);

/*
 * The next frames (<= PLAYOUT_MAX_PULL) at 48 kHz. now_ns: the time this block is due. Pass the
 * period's nominal time rather than the wake-up's where there is one; after a late wake-up pull
 * several blocks, each with its own time. Returns false if out is digital silence (zeroed), so that
 * the caller may skip mixing it.
 */
bool playout_pull(struct playout *p, int64_t now_ns, float *out, unsigned frames);

/*
 * From the next pull on now_ns is by so much later (earlier, if negative) than the pulls before would
 * have had it: the reader has set its nominal time by its wake-ups. That is no drift of the sender. Set
 * back, the sound is stretched and the delay stays what it was; set forward, the delay is longer by it,
 * and shrinks again as it does.
 */
void playout_shift(struct playout *p, int64_t by_ns);

/*
 * Latest local time at which the frame of media time media may still be put and be heard; a
 * decoder that lacks a packet waits for it until then, and conceals it (FEC, PLC) after.
 * INT64_MIN: its place has been played. INT64_MAX: nothing has been put yet. While nothing plays it
 * is the time at which it would begin to be late by the present target.
 */
int64_t playout_due_ns(const struct playout *p, int64_t media);

/* Sender's clock against ours in ppm (positive: fast), filtered; 0 until known. */
double playout_ppm(const struct playout *p);

struct playout_stats {
	double ppm;            /* playout_ppm(): the drift held */
	double rate_ppm;       /* what the loop bends the ratio by now (trimming apart) */
	int64_t target_ns;     /* delay aimed at */
	int64_t delay_ns;      /* delay now: age of what enters the resampler over least-delayed arrival */
	int64_t hold_ns;       /* delay the clock loop holds: on its way to the target */
	int64_t resampler_ns;  /* filter delay on top of it */
	int64_t jitter_ns;     /* 99th percentile over the last 10 s of sound */
	uint64_t packets;      /* put with arrival */
	uint64_t late;         /* packets discarded because their place had been played */
	uint64_t duplicates;   /* packets that were all there already */
	uint64_t refused;      /* packets refused or dropped as far off */
	uint64_t concealed;    /* frames (stream rate) made up because they had not come in time */
	uint64_t dropped;      /* frames (stream rate) left out to shrink the delay */
	uint64_t stretched;    /* frames (stream rate) repeated to grow the delay */
	uint64_t splices;      /* cross-faded jumps of the reading position, both ways */
	uint64_t resyncs;      /* re-anchored on a media time jump */
	bool playing;          /* false: idle or pausing */
};

void playout_stats(const struct playout *p, struct playout_stats *out);

/*
 * 64-bit media time of a 32-bit RTP timestamp (RFC 3550 section 5.1): the value congruent to ts
 * that is nearest to reference, the media time of the stream's latest packet.
 */
static inline int64_t playout_unwrap(int64_t reference, uint32_t ts)
{
	return reference + (int32_t)(ts - (uint32_t)reference);
}

#endif
