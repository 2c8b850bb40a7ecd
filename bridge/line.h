/* SPDX-License-Identifier: MIT
 *
 * line.h - the sound of one line: its callers (leg.c), and the two PCMs they share (line.c).
 *
 *	each caller ─▶ playout ─┬─▶ sum ─▶ limiter ─▶ PCM "phone"
 *	                        └─▶ the others' sum ─┐
 *	PCM "discord" ───────────────────────────────┼─▶ limiter ─▶ 48→8 ─▶ mu-law ─▶ each caller
 *	ring-back, file, notice (while waiting) ─────┘
 *
 * A leg is one caller's place on a line. Everything here is for the loop's thread and takes time as
 * an argument; but for creating and destroying, nothing allocates, locks, logs or blocks. The PCMs
 * are opened elsewhere (opener.h); while one is away the line goes on without it.
 */
#ifndef BRIDGE_LINE_H
#define BRIDGE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alsa/playout.h"
#include "alsa/port.h"
#include "bridge/g711.h"
#include "bridge/waiting.h"
#include "common/budget.h"

#define LINE_TICK_NS       INT64_C(5000000)
#define LINE_BLOCK_FRAMES  240 /* one tick at 48 kHz */
#define LINE_MAX_LEGS      100
#define LINE_LINGER_TICKS  40 /* the PCMs run on for 200 ms after the last leg, so that fades end */

struct line;
struct leg;

/* -EINVAL for bad PCM names, -ENOMEM. */
int line_create(struct line **out, int number, const char *phone_pcm, const char *discord_pcm);
/* All legs must be gone. NULL is fine. */
void line_destroy(struct line *line);

int line_number(const struct line *line);
struct port *line_phone(const struct line *line);
struct port *line_discord(const struct line *line);
size_t line_leg_count(const struct line *line);

/* The channel is connected or not: legs hear their waiting source while it is not. */
void line_set_connected(struct line *line, bool connected);
bool line_connected(const struct line *line);

/*
 * One tick: moves sound both ways for the time that passed. Call it every LINE_TICK_NS while it
 * returns true; false: nothing is running, the PCMs are stopped.
 */
bool line_tick(struct line *line, int64_t now_ns);
/* Now and then while there are no ticks: whether the PCMs are still there. */
void line_check(struct line *line, int64_t now_ns);

/* What the line's own stages keep sound for; one call's budget is its leg's and these. */
struct line_budget {
	struct budget_stage mixing, to_loopback; /* callers to "phone" */
	struct budget_stage from_loopback;       /* "discord" to the callers */
};
const struct line_budget *line_budget(const struct line *line);

struct line_stats {
	uint64_t ticks, late_ticks; /* late: more than 5 ms behind */
	uint64_t blocks;            /* written to "phone" */
	uint64_t unheard_frames;    /* of the callers' sound, while we were too late to write */
	uint64_t silence_frames;    /* to the callers, because "discord" gave none */
	uint64_t skipped_frames;    /* of "discord", because it made up for that */
};
void line_stats(const struct line *line, struct line_stats *out);

/* ---- legs ----------------------------------------------------------------------------------- */

struct leg_config {
	struct waiting *waiting; /* one reference is taken */
	unsigned cushion_frames; /* Twilio frames sent ahead at the start of each stream; usually 0 */
	int speech_level_dbov;   /* the caller's voice is brought to it (alsa/leveller.h); 0: left as it is */
	/* A frame for the caller is ready. Called inside line_tick() and leg_resume(). */
	void (*frame)(void *user, const uint8_t frame[G711_FRAME_BYTES], int64_t now_ns);
	void *user;
};

/* The leg begins suspended. -EBUSY with LINE_MAX_LEGS there, -ENOMEM. */
int leg_create(struct leg **out, struct line *line, const struct leg_config *config);
/* Its sound ends with a fade within one tick. NULL is fine. */
void leg_destroy(struct leg *leg);

/* A stream begins: frames go out from now on. A rate that was found before is kept. */
void leg_resume(struct leg *leg, int64_t now_ns);
/* The stream is gone: no frames go out, what is buffered of the caller is faded within one tick. */
void leg_suspend(struct leg *leg);

/* Sound of the caller: n mu-law samples, the first of media time `media` (8 kHz frames). */
void leg_put(struct leg *leg, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns);
/* Slow what goes out by that much, to drain the far end's queue. */
void leg_set_trim_ppm(struct leg *leg, double ppm);
/* Play the notice tone instead of waiting or not. */
void leg_set_notice(struct leg *leg, bool notice);

struct leg_stats {
	struct playout_stats playout;
	double out_ppm;          /* by which the outgoing resampler is bent */
	uint64_t frames_out;
	uint64_t silent_out;     /* of those, all 0xFF */
	int64_t framing_in_ns;     /* sound in one message of the caller; BUDGET_UNKNOWN before the first */
	int64_t framing_out_ns;    /* how long the end of a frame to the caller had been there, likewise */
	int64_t resampling_out_ns; /* 48 to 8 kHz */
	double gain_db;            /* by which the caller's voice is levelled */
};
void leg_stats(const struct leg *leg, struct leg_stats *out);

#endif
