/* SPDX-License-Identifier: MIT
 *
 * line.c - see line.h.
 */
#include "bridge/line_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/stage.h"
#include "bridge/pace.h"
#include "common/clock.h"

/* What may wait in the capture: a frame that is not complete, and what is made up after a standstill. */
#define CAPTURE_MAX (PACE_CATCH_UP + G711_FRAME_BYTES * LINE_RATE / G711_RATE_HZ)
#define OUT_MAX     (PACE_CATCH_UP + CAPTURE_MAX) /* most frames a tick can send to the callers */
#define RING_SPARE  1440 /* more than this unread besides what is due, and the oldest are left out */
#define BLOCKS_MAX  8    /* of one tick; port_due() asks for no more */
#define STANDSTILL_NS (200 * NS_PER_MS)
#define GAP_NS        (5 * NS_PER_MS / 2) /* less is a matter of leads, and of the clocks */
#define BEHIND_TICKS  3
#define AHEAD_NS      (NS_PER_MS / 2)
#define AHEAD_TICKS   8

struct line {
	int number;
	struct port *phone, *discord;
	struct leg *legs;
	size_t leg_count;
	bool connected;
	bool running;
	unsigned linger;

	struct mixer *mixer;
	struct limiter limiter;
	int64_t pull_ns; /* nominal time of the last block */
	uint64_t seen_xruns; /* of "phone" */
	int64_t behind_ns;   /* least that wake-ups were behind nominal times, over behind_ticks */
	unsigned behind_ticks;
	int64_t ahead_ns; /* the same, most: negative if nominal times are ahead of all */
	unsigned ahead_ticks;
	uint64_t written, read; /* of the legs' rings */

	struct pace pace;
	float in[OUT_MAX];
	int64_t last_tick_ns;
	struct line_stats stats;
	struct line_budget budget;
	struct stage_turn stamp_phone, stamp_discord;
};

int line_create(struct line **out, int number, const char *phone_pcm, const char *discord_pcm)
{
	struct port_params phone = {.name = phone_pcm, .direction = PORT_PLAYBACK,
				    .period_frames = LINE_BLOCK_FRAMES};
	struct port_params discord = {.name = discord_pcm, .direction = PORT_CAPTURE,
				      .period_frames = LINE_BLOCK_FRAMES,
				      .backlog_frames = CAPTURE_MAX};
	struct line *line = calloc(1, sizeof(*line));
	int err;

	*out = NULL;
	if (!line)
		return -ENOMEM;
	line->number = number;
	err = port_create(&line->phone, &phone);
	if (err)
		goto out;
	err = port_create(&line->discord, &discord);
	if (err)
		goto out;
	port_allow_create(line->phone, true);
	port_allow_create(line->discord, true);
	err = mixer_create(&line->mixer, LINE_BLOCK_FRAMES);
	if (err)
		goto out;
	limiter_init(&line->limiter, LINE_RATE);
	*out = line;
	line = NULL;
out:
	line_destroy(line);
	return err;
}

void line_destroy(struct line *line)
{
	if (!line)
		return;
	while (line->legs) {
		struct leg *leg = line->legs;

		line->legs = leg->next;
		leg_free(leg);
	}
	mixer_destroy(line->mixer);
	port_destroy(line->discord);
	port_destroy(line->phone);
	free(line);
}

int line_number(const struct line *line)
{
	return line->number;
}

struct port *line_phone(const struct line *line)
{
	return line->phone;
}

struct port *line_discord(const struct line *line)
{
	return line->discord;
}

size_t line_leg_count(const struct line *line)
{
	return line->leg_count;
}

bool line_is_running(const struct line *line)
{
	return line->running;
}

int line_join(struct line *line, struct leg *leg)
{
	if (line->leg_count >= LINE_MAX_LEGS)
		return -EBUSY;
	leg->next = line->legs;
	line->legs = leg;
	line->leg_count++;
	return 0;
}

void line_part(struct line *line)
{
	line->leg_count--;
}

void line_set_connected(struct line *line, bool connected)
{
	line->connected = connected;
}

bool line_connected(const struct line *line)
{
	return line->connected;
}

void line_stats(const struct line *line, struct line_stats *out)
{
	*out = line->stats;
}

const struct line_budget *line_budget(const struct line *line)
{
	return &line->budget;
}

/* ---- callers to "phone" --------------------------------------------------------------------- */

/* One block of all callers, to "phone" and to each other. */
static void mix_block(struct line *line, int64_t due_ns, int64_t now_ns)
{
	float sum[LINE_BLOCK_FRAMES];

	mixer_begin(line->mixer);
	for (struct leg *leg = line->legs; leg; leg = leg->next)
		if (leg_speak(leg, due_ns))
			mixer_add(line->mixer, leg->voice);
	mixer_sum(line->mixer, sum);
	limiter_run(&line->limiter, sum, LINE_BLOCK_FRAMES);
	port_write_mono(line->phone, sum, LINE_BLOCK_FRAMES, now_ns);

	for (struct leg *leg = line->legs; leg; leg = leg->next)
		if (leg->active)
			leg_keep_others(leg, line->mixer, line->written);
	line->written += LINE_BLOCK_FRAMES;
	line->stats.blocks++;
}

/* Lets that much of the callers' sound pass unheard. */
static void skip_unheard(struct line *line, int64_t gap_ns)
{
	float unheard[LINE_PIECE];
	unsigned frames = (unsigned)(gap_ns * LINE_RATE / NS_PER_SEC);

	while (frames) {
		unsigned n = frames < LINE_PIECE ? frames : LINE_PIECE;

		line->pull_ns += n * NS_PER_SEC / LINE_RATE;
		for (struct leg *leg = line->legs; leg; leg = leg->next)
			if (leg->active)
				playout_pull(leg->playout, line->pull_ns, unheard, n);
		line->stats.unheard_frames += n;
		frames -= n;
	}
}

/* Sets nominal times on, or back; nothing is left out for it, and nothing comes twice. */
static void times_shift(struct line *line, int64_t by_ns)
{
	line->pull_ns += by_ns;
	for (struct leg *leg = line->legs; leg; leg = leg->next)
		if (leg->active)
			playout_shift(leg->playout, by_ns);
}

/*
 * Blocks have nominal times, one after the other, drawn slowly towards the wake-ups, whose own
 * times jitter. A late wake-up is followed by as many blocks as were missed - unless the port ran
 * dry meanwhile: then silence was heard instead, and what the callers said in that time must not
 * be played late. It would stay late, and look like drift to the playout's clock.
 */
static void follow_the_clock(struct line *line, int64_t wake_ns)
{
	int64_t error = wake_ns - (line->pull_ns + LINE_TICK_NS);
	struct port_stats port;
	bool ran_dry;

	port_stats(line->phone, &port);
	ran_dry = port.xruns != line->seen_xruns;
	line->seen_xruns = port.xruns;
	if (line->pull_ns == 0 || error > STANDSTILL_NS || error < -STANDSTILL_NS) {
		line->pull_ns = wake_ns - LINE_TICK_NS; /* the playout finds its place anew */
		line->behind_ns = INT64_MAX;
		line->behind_ticks = 0;
		line->ahead_ns = INT64_MIN;
		line->ahead_ticks = 0;
		return;
	}
	if (error < line->behind_ns)
		line->behind_ns = error;
	if (ran_dry || ++line->behind_ticks >= BEHIND_TICKS) {
		/* The ticks that were missed, not how late this one is: the next comes when it should. */
		int64_t gap_ns = ran_dry ? error / LINE_TICK_NS * LINE_TICK_NS : line->behind_ns;

		if (gap_ns >= GAP_NS) {
			/* a block or two less than there were ticks, as when a lead has shrunk, are no
			 * reason to leave sound out: playout makes up for them unheard */
			if (!ran_dry && gap_ns <= 2 * LINE_TICK_NS)
				times_shift(line, gap_ns);
			else
				skip_unheard(line, gap_ns);
			error -= gap_ns;
		}
		line->behind_ns = INT64_MAX;
		line->behind_ticks = 0;
	}
	/* Ahead of all wake-ups, as after one that came late and was taken for the rule: sound that has
	 * not come yet would be asked for in every block. */
	if (++line->ahead_ticks >= AHEAD_TICKS) {
		if (line->ahead_ns <= -AHEAD_NS) {
			times_shift(line, line->ahead_ns);
			error -= line->ahead_ns;
		}
		line->ahead_ns = INT64_MIN;
		line->ahead_ticks = 0;
	} else if (error > line->ahead_ns) {
		line->ahead_ns = error;
	}
	if (error < GAP_NS && error > -GAP_NS)
		line->pull_ns += error / 64;
}

static void write_phone(struct line *line, int64_t now_ns)
{
	size_t due = port_due(line->phone, LINE_BLOCK_FRAMES, now_ns) / LINE_BLOCK_FRAMES;

	if (due == 0)
		return;
	if (due > BLOCKS_MAX)
		due = BLOCKS_MAX;
	follow_the_clock(line, now_ns - (int64_t)(due - 1) * LINE_TICK_NS);
	stage_stamp_port(&line->budget.to_loopback, &line->stamp_phone, STAGE_EVERY_BLOCK, line->phone,
			 now_ns);
	for (size_t i = 0; i < due; i++) {
		line->pull_ns += LINE_TICK_NS;
		/* the block's first sample was due a tick before its last */
		budget_stamp(&line->budget.mixing, now_ns - line->pull_ns + LINE_TICK_NS);
		mix_block(line, line->pull_ns, now_ns);
	}
}

/* ---- "discord" to the callers --------------------------------------------------------------- */

/* How much of the capture the frame takes that is complete next, of all callers. */
static unsigned frame_needs(const struct line *line)
{
	unsigned least = 0;

	for (const struct leg *leg = line->legs; leg; leg = leg->next) {
		unsigned needs = leg->active ? leg_needs(leg) : 0;

		if (needs && (least == 0 || needs < least))
			least = needs;
	}
	return least;
}

static unsigned capture(struct line *line, float *in, int64_t now_ns)
{
	unsigned n = 0, got;

	if (port_is_open(line->discord) &&
	    !pace_reads(&line->pace, port_delay_frames(line->discord, now_ns), frame_needs(line), now_ns))
		return 0;
	do { /* one read may be too small for a backlog */
		got = (unsigned)port_read_mono(line->discord, in + n, CAPTURE_MAX - n, now_ns);
		n += got;
	} while (got == PORT_BLOCK_MAX && n < CAPTURE_MAX);
	return n;
}

static void read_discord(struct line *line, int64_t now_ns)
{
	unsigned captured = capture(line, line->in + PACE_CATCH_UP, now_ns);
	struct pace_plan plan =
		pace_run(&line->pace, captured, !port_is_open(line->discord), now_ns);
	unsigned total = plan.silence + captured - plan.skip;
	/* the captured frames lie behind room for the most silence there can be */
	float *in = line->in + PACE_CATCH_UP + plan.skip - plan.silence;
	uint64_t unread = line->written - line->read;

	if (total == 0)
		return;
	memset(in, 0, plan.silence * sizeof(float));
	line->stats.silence_frames += plan.silence;
	line->stats.skipped_frames += plan.skip;
	if (captured > 0)
		stage_stamp_port(&line->budget.from_loopback, &line->stamp_discord, STAGE_EVERY_FRAME,
				 line->discord, now_ns);
	if (unread > total + RING_SPARE)
		line->read = line->written - total - RING_SPARE / 3;

	for (unsigned at = 0; at < total; at += LINE_PIECE) {
		unsigned n = total - at < LINE_PIECE ? total - at : LINE_PIECE;
		uint64_t left = line->written - line->read;
		unsigned ring_frames = left < n ? (unsigned)left : n;

		for (struct leg *leg = line->legs; leg; leg = leg->next) {
			if (leg->active)
				leg_hear(leg, in + at, n, line->read, ring_frames, total - at - n, now_ns);
		}
		line->read += ring_frames;
	}
}

/* ---- the tick ------------------------------------------------------------------------------- */

static bool wants_to_run(const struct line *line)
{
	for (const struct leg *leg = line->legs; leg; leg = leg->next)
		if (leg->active || leg->leaving)
			return true;
	return false;
}

static void sweep(struct line *line)
{
	for (struct leg **at = &line->legs; *at;) {
		struct leg *leg = *at;

		if (leg->doomed && !leg->leaving) {
			*at = leg->next;
			leg_free(leg);
		} else {
			at = &leg->next;
		}
	}
}

void line_check(struct line *line, int64_t now_ns)
{
	port_check(line->phone, now_ns);
	port_check(line->discord, now_ns);
}

bool line_tick(struct line *line, int64_t now_ns)
{
	struct port_stats port;

	if (wants_to_run(line)) {
		line->linger = LINE_LINGER_TICKS;
		if (!line->running) {
			port_start(line->phone, now_ns);
			port_start(line->discord, now_ns);
			pace_start(&line->pace, now_ns);
			line->pull_ns = 0;
			port_stats(line->phone, &port);
			line->seen_xruns = port.xruns;
			line->behind_ns = INT64_MAX;
			line->behind_ticks = 0;
			line->last_tick_ns = now_ns;
			line->read = line->written;
			line->running = true;
		}
	} else if (line->running && line->linger-- == 0) {
		port_stop(line->phone);
		port_stop(line->discord);
		line->running = false;
	}
	if (!line->running) {
		sweep(line);
		return false;
	}
	line->stats.ticks++;
	if (now_ns - line->last_tick_ns > 2 * LINE_TICK_NS)
		line->stats.late_ticks++;
	line->last_tick_ns = now_ns;
	write_phone(line, now_ns);
	read_discord(line, now_ns);
	sweep(line);
	return true;
}
