/* SPDX-License-Identifier: MIT
 *
 * line_private.h - what line.c (the PCMs, their times, the sum of all) and leg.c (one caller) have together.
 */
#ifndef BRIDGE_LINE_PRIVATE_H
#define BRIDGE_LINE_PRIVATE_H

#include "alsa/leveller.h"
#include "alsa/mixer.h"
#include "alsa/resampler.h"
#include "bridge/line.h"

#define LINE_RATE  48000
#define LINE_PIECE 960  /* most frames that go to a leg at once */
#define LEG_RING   8192 /* frames of the others' voices; a power of two */

struct leg {
	struct line *line;
	struct leg *next;
	struct waiting *waiting;
	void (*frame)(void *user, const uint8_t frame[G711_FRAME_BYTES], int64_t now_ns);
	void *user;
	unsigned cushion_frames;

	bool active;   /* a stream is there */
	bool leaving;  /* fade once, then suspend */
	bool doomed;   /* ... and free */
	bool notice;
	double trim_ppm, out_ppm;

	/* in */
	struct playout *playout;
	float voice[LINE_BLOCK_FRAMES];
	bool sounding; /* voice is not digital silence, and is in the mixer's sum */
	bool levelled;
	struct leveller leveller;

	/* out */
	float others[LEG_RING]; /* by the line's count of frames written and read */
	uint64_t waiting_at, notice_at;
	float waiting_gain; /* 0..1, ramped */
	struct limiter limiter;
	struct resampler *resampler;
	uint8_t out[G711_FRAME_BYTES];
	unsigned out_fill;
	uint64_t frames_out, silent_out;
	struct budget_stage framing_in, framing_out;
};

/* ---- leg.c, for the line -------------------------------------------------------------------- */

/* The block of its voice that is due; false: digital silence. One that leaves fades, and is silent then. */
bool leg_speak(struct leg *leg, int64_t due_ns);
/* Keeps what it hears of the line's voices in this block: all but its own. written: frames before it. */
void leg_keep_others(struct leg *leg, const struct mixer *mixer, uint64_t written);
/*
 * n frames of "discord" and, for the first ring_frames of them, what was kept from ring_at on, become its
 * sound. later: frames that are there too and come after these.
 */
void leg_hear(struct leg *leg, const float *in, unsigned n, uint64_t ring_at, unsigned ring_frames,
	      unsigned later, int64_t now_ns);
/* Frames that complete its next frame. */
unsigned leg_needs(const struct leg *leg);
void leg_free(struct leg *leg);

/* ---- line.c, for its legs ------------------------------------------------------------------- */

bool line_is_running(const struct line *line);
/* -EBUSY: it has LINE_MAX_LEGS. */
int line_join(struct line *line, struct leg *leg);
/* Counts no more; freed when it is doomed and has left. */
void line_part(struct line *line);

#endif
