/* SPDX-License-Identifier: MIT
 *
 * playout.c - the object, and what goes out. See playout_state.h for how the parts work together.
 */
#include "alsa/level.h"
#include "alsa/playout_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS        10 /* for what may only be late the wave is continued, and the decoder not touched */
#define WAIT_AFTER_MS  200 /* so long nothing had to be made by the decoder; where more is, most of it is lost */
#define MADE_FULL_MS   60 /* decoder's concealment: full, then down to nothing */
#define MADE_FADE_MS   120
#define MAX_NEED       (PLAYOUT_MAX_PULL + 64) /* input frames of one pull, 48 -> 48 at +5000 ppm */

/* ---- object ------------------------------------------------------------------------------- */

int playout_create(struct playout **out, const struct playout_config *config)
{
	struct playout_config c = *config;
	int err;

	*out = NULL;
	c.start_ms = c.start_ms ? c.start_ms : 40;
	c.floor_ms = c.floor_ms ? c.floor_ms : 3;
	c.ceiling_ms = c.ceiling_ms ? c.ceiling_ms : 120;
	c.channels = c.channels ? c.channels : 1;
	if (c.channels > PLAYOUT_CHANNELS_MAX)
		return -EINVAL;
	if ((c.rate != 8000 && c.rate != 48000) || c.ceiling_ms > 150 || c.floor_ms > c.ceiling_ms ||
	    c.start_ms > c.ceiling_ms)
		return -EINVAL;
	struct playout *p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->config = c;
	err = clock_loop_create(&p->clock);
	if (err)
		goto out;
	/* 512 or 341 ms: the ceiling, a packet of 120 ms, and something to jump back to */
	err = media_ring_create(&p->ring, c.rate == 8000 ? 4096 : 16384, c.channels);
	EACH_CHANNEL (p, i) {
		if (!err)
			err = resampler_create(&p->resampler[i], c.rate, PLAYOUT_OUT_RATE,
					       PLAYOUT_MAX_PULL);
		if (!err)
			err = wave_extend_create(&p->extend[i], c.rate);
	}
	if (err)
		goto out;
	playout_reset(p);
	*out = p;
out:
	if (err)
		playout_destroy(p);
	return err;
}

void playout_destroy(struct playout *p)
{
	if (!p)
		return;
	clock_loop_destroy(p->clock);
	media_ring_destroy(p->ring);
	EACH_CHANNEL (p, c) {
		resampler_destroy(p->resampler[c]);
		wave_extend_destroy(p->extend[c]);
	}
	free(p);
}

/* ---- all channels at once ------------------------------------------------------------------ */

void playout_extend_begin(struct playout *p)
{
	EACH_CHANNEL (p, c)
		wave_extend_begin(p->extend[c]);
}

void playout_extend_reset(struct playout *p)
{
	EACH_CHANNEL (p, c)
		wave_extend_reset(p->extend[c]);
}

void playout_extend_next(struct playout *p, float *x, unsigned stride, unsigned n)
{
	EACH_CHANNEL (p, c)
		wave_extend_next(p->extend[c], x + c * stride, n);
}

static void extend_record(struct playout *p, const float *x, unsigned stride, unsigned n)
{
	EACH_CHANNEL (p, c)
		wave_extend_record(p->extend[c], x + c * stride, n);
}

void playout_get(const struct playout *p, int64_t media, float *x, unsigned stride, unsigned n)
{
	EACH_CHANNEL (p, c)
		media_ring_get(p->ring, c, media, x + c * stride, n);
}

void playout_bend(struct playout *p, double ppm)
{
	EACH_CHANNEL (p, c)
		resampler_set_ppm(p->resampler[c], ppm);
}

/* ---- life ----------------------------------------------------------------------------------- */

void playout_reset(struct playout *p)
{
	clock_loop_clear(p->clock);
	playout_bend(p, 0);
	EACH_CHANNEL (p, c)
		resampler_reset(p->resampler[c]);
	playout_extend_reset(p);
	media_ring_reset(p->ring, 0);
	p->state = EMPTY;
	p->hold_ns = p->target_ns = p->config.start_ms * MS;
	p->pulled = p->paused = p->restart = p->was_made = false;
	p->made_run = p->waited = p->real_run = p->stay = p->silent_fed = 0;
	p->slip_since_ns = p->calm_since_ns = p->fine_since_ns = p->last_drop_ns = INT64_MIN;
	p->steps = 0;
	p->trim_ppm = 0;
	p->loudness = 0;
	p->agree = 0;
	p->fade_at = p->fade_len = 0;
	memset(&p->stats, 0, sizeof p->stats);
}

void playout_restart(struct playout *p)
{
	p->restart = true;
}

void playout_pause(struct playout *p)
{
	p->paused = true;
}

/* ---- what goes out --------------------------------------------------------------------------- */

/* x: channel c at x + c * stride, as in all that follows */
static void apply_fade(struct playout *p, float *x, unsigned stride, unsigned n)
{
	unsigned left = p->fade_len - p->fade_at, m = n < left ? n : left;

	EACH_CHANNEL (p, c) {
		const float *from = p->fade_from + c * MAX_FADE + p->fade_at;
		for (unsigned i = 0; i < m; i++) {
			float w = (float)(p->fade_at + i + 1) / (float)(p->fade_len + 1);
			x[c * stride + i] = from[i] * (1 - w) + x[c * stride + i] * w;
		}
	}
	p->fade_at += m;
}

/*
 * Asks the decoder for what is missing at the cursor. False: the wave has to be continued. So it is at first
 * where little is lost: a decoder that has made up a packet decodes that one worse if it was only late, and most
 * that are missing for some milliseconds are. The wave of 10 ms is as good.
 */
static bool decoder_makes(struct playout *p)
{
	float made[PLAYOUT_CHANNELS_MAX * 960];
	unsigned frames = ms_frames(p, 20), full = ms_frames(p, MADE_FULL_MS);
	unsigned fade = ms_frames(p, MADE_FADE_MS);

	/* Its state is at the end of what it decoded last; a hole before that is none of its business. */
	if (!p->config.conceal || p->paused || p->cursor < p->end || p->cursor >= p->end + frames ||
	    p->made_run >= fade || (p->state != FLOW && !p->waited))
		return false;
	if (p->state == FLOW && p->made_run == 0 && p->real_run >= ms_frames(p, WAIT_AFTER_MS))
		return false;
	if (p->waited && p->waited < ms_frames(p, WAIT_MS))
		return false;
	/* A whole frame at once, whatever is needed of it: decoders fade by calls, not by time. Real
	 * sound still replaces what has not been read of it. */
	if (!p->config.conceal(p->config.conceal_ctx, p->end, made, frames))
		return false;
	for (unsigned i = 0; i < frames; i++) {
		unsigned run = p->made_run + i;
		float gain = run >= fade  ? 0
			     : run > full ? (float)(fade - run) / (float)(fade - full)
					  : 1;
		EACH_CHANNEL (p, c)
			made[c * frames + i] *= gain;
	}
	p->made_run += frames;
	p->real_run = 0;
	unsigned stored = media_ring_put(p->ring, p->end, made, frames, p->cursor, MEDIA_MADE);
	p->stats.concealed += stored;
	p->end += frames;
	return stored > 0;
}

/* The next n frames on the way to the resampler. False when all has faded and nothing is to come. */
static bool fill(struct playout *p, float *x, unsigned stride, unsigned n)
{
	while (n) {
		uint8_t kind;
		unsigned run = n;
		bool made_up = false;

		if (p->stay) {
			if (p->state == FLOW) { /* playout_fade_from_here() has begun the continuation already */
				p->state = GAP;
				p->was_made = true;
			}
			run = p->stay < n ? p->stay : n;
			playout_extend_next(p, x, stride, run);
			p->stay -= run;
			made_up = true;
		} else {
			run = media_ring_run(p->ring, p->cursor, n, &kind);
			if (kind == MEDIA_MISSING && decoder_makes(p))
				continue;
			if (kind == MEDIA_MISSING) {
				if (p->state == FLOW) {
					playout_extend_begin(p);
					p->state = GAP;
					if (p->made_run) /* the decoder has faded out already */
						playout_extend_reset(p);
					if (p->paused) { /* he said so: a short fade instead of a made-up word */
						p->fade_len = ms_frames(p, FADE_MS);
						p->fade_at = 0;
						playout_extend_next(p, p->fade_from, MAX_FADE, p->fade_len);
						playout_extend_reset(p);
					}
				}
				if (p->waited < ms_frames(p, WAIT_MS) && run > ms_frames(p, WAIT_MS) - p->waited)
					run = ms_frames(p, WAIT_MS) - p->waited;
				p->waited += run;
				if (!wave_extend_faded(p->extend[0]))
					p->stats.concealed += run;
				playout_extend_next(p, x, stride, run);
				made_up = true;
			} else {
				if (p->state == GAP) {
					playout_fade_from_here(p);
					p->state = FLOW;
				} else if (p->was_made && kind == MEDIA_REAL) {
					/* from the decoder's concealment to what was really said */
					unsigned fade = ms_frames(p, FADE_MS);
					playout_extend_begin(p);
					playout_extend_next(p, p->fade_from, MAX_FADE, fade);
					p->fade_len = fade;
					p->fade_at = 0;
				}
				playout_get(p, p->cursor, x, stride, run);
				p->was_made = kind == MEDIA_MADE;
				if (kind == MEDIA_REAL) {
					p->made_run = p->waited = 0;
					p->real_run += run;
				}
			}
			p->cursor += run;
		}
		apply_fade(p, x, stride, run);
		if (made_up)
			p->was_made = true;
		extend_record(p, x, stride, run);
		x += run;
		n -= run;
	}
	return p->state == FLOW || p->stay || !wave_extend_faded(p->extend[0]) || p->cursor < p->end ||
	       p->fade_at < p->fade_len;
}

static void listen(struct playout *p, const float *x, unsigned stride, unsigned n)
{
	float sum = 0;
	EACH_CHANNEL (p, c)
		sum += level_energy(x + c * stride, n);
	float rms = n ? sqrtf(sum / (float)(n * p->config.channels)) : 0;
	p->loudness = rms > p->loudness ? rms : p->loudness * 0.999f; /* -1.7 dB a second at 5 ms */
	p->silent_fed = sum > 0 ? 0 : p->silent_fed + n;
}

bool playout_pull(struct playout *p, int64_t now_ns, float *out, unsigned frames)
{
	float x[PLAYOUT_CHANNELS_MAX * MAX_NEED];
	int64_t block_ns = (int64_t)frames * 62500 / 3;

	if (frames > PLAYOUT_MAX_PULL)
		frames = PLAYOUT_MAX_PULL;
	if (p->state == FLOW || p->state == GAP)
		playout_control(p, now_ns, block_ns);
	else if (p->state == IDLE)
		playout_wake(p, now_ns, block_ns);
	p->last_pull_ns = now_ns;
	p->last_block_ns = block_ns;
	p->pulled = true;

	bool playing = p->state == FLOW || p->state == GAP;
	bool fading = p->fade_at < p->fade_len;
	/* what the filter remembers must have been flushed by silence before we may stop */
	if (!playing && !fading && p->silent_fed >= 64) {
		memset(out, 0, p->config.channels * frames * sizeof *out);
		return false;
	}
	unsigned need = resampler_needs(p->resampler[0], frames);
	if (playing) {
		if (!fill(p, x, MAX_NEED, need))
			playout_go_idle(p);
		media_ring_slide(p->ring, p->cursor - ms_frames(p, p->config.rate == 8000 ? 150 : 60));
	} else {
		EACH_CHANNEL (p, c)
			memset(x + c * MAX_NEED, 0, need * sizeof *x);
		apply_fade(p, x, MAX_NEED, need);
	}
	listen(p, x, MAX_NEED, need);
	EACH_CHANNEL (p, c)
		resampler_pull(p->resampler[c], x + c * MAX_NEED, out + c * frames, frames);
	return true;
}

/* ---- questions ------------------------------------------------------------------------------- */

int64_t playout_due_ns(const struct playout *p, int64_t media)
{
	if (p->state == EMPTY || p->restart || !p->pulled)
		return INT64_MAX;
	if (p->state == IDLE) {
		if (media < p->fence)
			return INT64_MIN;
		return clock_loop_local_ns(p->clock, to_ns(p, media)) + p->target_ns;
	}
	if (media < p->cursor)
		return INT64_MIN;
	int64_t ahead = to_ns(p, media - p->cursor + p->stay);
	return p->last_pull_ns + ahead;
}

double playout_ppm(const struct playout *p)
{
	return clock_loop_drift_ppm(p->clock);
}

void playout_stats(const struct playout *p, struct playout_stats *out)
{
	*out = p->stats;
	out->ppm = playout_ppm(p);
	out->rate_ppm = clock_loop_ppm(p->clock);
	out->target_ns = p->target_ns;
	out->hold_ns = p->hold_ns - to_ns(p, p->stay);
	out->playing = p->state == FLOW || p->state == GAP;
	out->delay_ns = out->playing ? playout_delay_ns(p) : p->hold_ns;
	out->resampler_ns = resampler_delay_ns(p->resampler[0]);
}
