/* SPDX-License-Identifier: MIT
 *
 * leg.c - one caller's place on a line, see line.h: what he says, block by block, and what he hears.
 */
#include "bridge/line_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/stage.h"
#include "common/clock.h"

#define FADE_FRAMES  LINE_BLOCK_FRAMES
#define HEAD_SAMPLES (G711_RATE_HZ / 1000 * 2) /* of a stream's first frame: silence, see leg_resume() */

/* ---- what he says --------------------------------------------------------------------------- */

static void fade_out(float *block)
{
	for (int i = 0; i < FADE_FRAMES; i++)
		block[i] *= 1.0f - (float)(i + 1) / FADE_FRAMES;
}

bool leg_speak(struct leg *leg, int64_t due_ns)
{
	leg->sounding = (leg->active || leg->leaving) &&
			playout_pull(leg->playout, due_ns, leg->voice, LINE_BLOCK_FRAMES);
	if (leg->sounding && leg->levelled)
		leveller_run(&leg->leveller, leg->voice, NULL, LINE_BLOCK_FRAMES);
	if (leg->leaving) {
		fade_out(leg->voice);
		leg->leaving = false;
		playout_reset(leg->playout);
	}
	return leg->sounding;
}

static bool echoes(const struct leg *leg)
{
	return !line_connected(leg->line) && !leg->notice && waiting_kind(leg->waiting) == WAITING_ECHO;
}

void leg_keep_others(struct leg *leg, const struct mixer *mixer, uint64_t written)
{
	float block[LINE_BLOCK_FRAMES];
	size_t at = written & (LEG_RING - 1), first = LEG_RING - at;

	if (leg->sounding && !echoes(leg))
		mixer_sum_without(mixer, leg->voice, block);
	else
		mixer_sum(mixer, block);
	if (first > LINE_BLOCK_FRAMES)
		first = LINE_BLOCK_FRAMES;
	memcpy(leg->others + at, block, first * sizeof(float));
	memcpy(leg->others, block + first, (LINE_BLOCK_FRAMES - first) * sizeof(float));
}

/* ---- what he hears -------------------------------------------------------------------------- */

static void leg_emit(struct leg *leg, int64_t now_ns)
{
	bool silent = true;

	for (int i = 0; i < G711_FRAME_BYTES && silent; i++)
		silent = leg->out[i] == G711_ULAW_SILENCE;
	leg->frames_out++;
	leg->silent_out += silent;
	leg->out_fill = 0;
	leg->frame(leg->user, leg->out, now_ns);
}

/* Adds what plays while the caller waits, with a ramp where it comes and goes. */
static void add_waiting(struct leg *leg, float *block, unsigned n)
{
	float tone[LINE_PIECE];
	bool wanted = leg->notice || !line_connected(leg->line);

	if (!wanted && leg->waiting_gain == 0)
		return;
	bool sound = leg->notice ? notice_fill(&leg->notice_at, tone, n)
				 : waiting_fill(leg->waiting, &leg->waiting_at, tone, n);
	float step = (wanted ? 1.0f : -1.0f) / FADE_FRAMES, gain = leg->waiting_gain;

	for (unsigned i = 0; i < n; i++) {
		gain += step;
		gain = gain > 1 ? 1 : gain < 0 ? 0 : gain;
		if (sound)
			block[i] += gain * tone[i];
	}
	leg->waiting_gain = gain;
	if (gain == 0) {
		leg->waiting_at = 0; /* the next wait begins with a ring */
		leg->notice_at = 0;
	}
}

static void steer(struct leg *leg)
{
	/* The far end plays by the clock that its own sound comes by; a trim drains its queue. */
	double ppm = leg->trim_ppm - playout_ppm(leg->playout);

	if (ppm != leg->out_ppm)
		resampler_set_ppm(leg->resampler, ppm);
	leg->out_ppm = ppm;
}

void leg_hear(struct leg *leg, const float *in, unsigned n, uint64_t ring_at,
	      unsigned ring_frames, unsigned later, int64_t now_ns)
{
	float block[LINE_PIECE], narrow[LINE_PIECE];
	uint8_t ulaw[LINE_PIECE];
	unsigned made;

	steer(leg);
	for (unsigned i = 0; i < n; i++)
		block[i] = in[i] + (i < ring_frames ? leg->others[(ring_at + i) & (LEG_RING - 1)] : 0);
	add_waiting(leg, block, n);
	limiter_run(&leg->limiter, block, n);
	made = resampler_push(leg->resampler, block, n, narrow);
	g711_ulaw_encode_float(ulaw, narrow, made);
	for (unsigned i = 0; i < made; i++) {
		leg->out[leg->out_fill++] = ulaw[i];
		if (leg->out_fill == G711_FRAME_BYTES) {
			budget_stamp(&leg->framing_out,
				     stage_frames_ns((made - 1 - i) * (LINE_RATE / G711_RATE_HZ) + later));
			leg_emit(leg, now_ns);
		}
	}
}

unsigned leg_needs(const struct leg *leg)
{
	return resampler_needs(leg->resampler, G711_FRAME_BYTES - leg->out_fill);
}

/* ---- coming and going ----------------------------------------------------------------------- */

void leg_free(struct leg *leg)
{
	waiting_unref(leg->waiting);
	playout_destroy(leg->playout);
	resampler_destroy(leg->resampler);
	free(leg);
}

int leg_create(struct leg **out, struct line *line, const struct leg_config *config)
{
	struct playout_config playout = {.rate = G711_RATE_HZ};
	struct leg *leg;
	int err;

	*out = NULL;
	leg = calloc(1, sizeof(*leg));
	if (!leg)
		return -ENOMEM;
	err = playout_create(&leg->playout, &playout);
	if (err)
		goto out;
	err = resampler_create(&leg->resampler, LINE_RATE, G711_RATE_HZ, LINE_PIECE);
	if (err)
		goto out;
	err = line_join(line, leg);
	if (err)
		goto out;
	leg->line = line;
	leg->waiting = waiting_ref(config->waiting);
	leg->cushion_frames = config->cushion_frames;
	leg->levelled = config->speech_level_dbov != 0;
	leveller_init(&leg->leveller, (float)config->speech_level_dbov);
	leg->frame = config->frame;
	leg->user = config->user;
	*out = leg;
	return 0;
out:
	leg_free(leg);
	return err;
}

void leg_destroy(struct leg *leg)
{
	if (!leg)
		return;
	leg_suspend(leg);
	leg->doomed = true;
	line_part(leg->line);
}

void leg_resume(struct leg *leg, int64_t now_ns)
{
	if (leg->leaving)
		leg->leaving = false;
	playout_restart(leg->playout);
	resampler_reset(leg->resampler);
	limiter_init(&leg->limiter, LINE_RATE);
	memset(leg->others, 0, sizeof(leg->others));
	leg->out_fill = 0;
	leg->trim_ppm = 0;
	leg->active = true;
	memset(leg->out, G711_ULAW_SILENCE, sizeof(leg->out));
	for (unsigned i = 0; i < leg->cushion_frames; i++)
		leg_emit(leg, now_ns);
	/* The capture is taken at ticks, from the first one on: without this each frame would be complete
	 * at the very moment of a tick, and go out then or 5 ms later, as wake-ups jitter. */
	leg->out_fill = HEAD_SAMPLES;
}

void leg_suspend(struct leg *leg)
{
	if (!leg->active)
		return;
	leg->active = false;
	leg->leaving = line_is_running(leg->line);
}

void leg_put(struct leg *leg, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns)
{
	enum { PIECE = G711_RATE_HZ / 1000 * PLAYOUT_MAX_PACKET_MS };
	float samples[PIECE];

	if (!leg->active)
		return;
	budget_stamp(&leg->framing_in, (int64_t)n * NS_PER_SEC / G711_RATE_HZ);
	while (n) {
		size_t piece = n < PIECE ? n : PIECE;

		g711_ulaw_decode_float(samples, ulaw, piece);
		playout_put(leg->playout, media, samples, (unsigned)piece, now_ns);
		media += (int64_t)piece;
		ulaw += piece;
		n -= piece;
	}
}

void leg_set_trim_ppm(struct leg *leg, double ppm)
{
	leg->trim_ppm = ppm;
}

void leg_set_notice(struct leg *leg, bool notice)
{
	leg->notice = notice;
}

void leg_stats(const struct leg *leg, struct leg_stats *out)
{
	playout_stats(leg->playout, &out->playout);
	out->out_ppm = leg->out_ppm;
	out->frames_out = leg->frames_out;
	out->silent_out = leg->silent_out;
	out->gain_db = leveller_gain_db(&leg->leveller);
	out->framing_in_ns = budget_ns(&leg->framing_in);
	out->framing_out_ns = budget_ns(&leg->framing_out);
	out->resampling_out_ns = resampler_delay_ns(leg->resampler);
}
