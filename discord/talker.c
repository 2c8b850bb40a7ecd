/* SPDX-License-Identifier: MIT
 *
 * talker.c - see talker.h.
 */
#include "discord/talker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <opus/opus.h>

#include "alsa/level.h"
#include "common/clock.h"
#include "discord/rtp.h"

#define FRAME        RTP_FRAME_SAMPLES
#define LOOKAHEAD    120 /* of RESTRICTED_LOWDELAY: sound still inside the encoder */
#define BITRATE      64000
#define FEC_BITRATE  32000
#define FEC_LOSS_PCT 10
#define STALL_FRAMES 4800 /* 100 ms that capture lags behind the clock: it stood still */

struct talker {
	OpusEncoder *encoder;
	bool fec;
	struct level_band band;
	bool wide;
	bool fresh; /* the next frame is the first of a spurt */

	float frame[FRAME];
	size_t fill;
	bool talking;         /* inside a spurt */
	bool tail;            /* the last frame ended in sound: one more flushes the encoder */
	unsigned silence_due; /* silence frames still to send */
	size_t silence_wait;  /* samples until the next of them */

	uint64_t position; /* samples taken in, stalls included: the RTP clock */
	uint32_t origin;   /* RTP time of position 0 */
	int64_t start_ns;
	uint64_t start_position;
	bool started;

	struct talker_stats stats;
};

static int bandwidth_set(struct talker *t)
{
	int narrow = t->fec ? OPUS_BANDWIDTH_WIDEBAND : OPUS_BANDWIDTH_NARROWBAND;
	return opus_encoder_ctl(t->encoder, OPUS_SET_MAX_BANDWIDTH(
						    t->wide ? OPUS_BANDWIDTH_FULLBAND : narrow));
}

static int encoder_setup(struct talker *t)
{
	OpusEncoder *e = t->encoder;
	opus_int32 lookahead = 0;
	if (opus_encoder_ctl(e, OPUS_SET_BITRATE(t->fec ? FEC_BITRATE : BITRATE)) != OPUS_OK ||
	    opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(5)) != OPUS_OK ||
	    opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(t->fec ? 1 : 0)) != OPUS_OK ||
	    opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(t->fec ? FEC_LOSS_PCT : 0)) != OPUS_OK ||
	    bandwidth_set(t) != OPUS_OK ||
	    opus_encoder_ctl(e, OPUS_GET_LOOKAHEAD(&lookahead)) != OPUS_OK)
		return -EIO;
	t->stats.lookahead_frames = (unsigned)lookahead;
	return 0;
}

int talker_create(struct talker **out, bool fec)
{
	int err = OPUS_OK;
	struct talker *t = calloc(1, sizeof(*t));
	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->fec = fec;
	t->encoder = opus_encoder_create(
		RTP_CLOCK_HZ, 1, fec ? OPUS_APPLICATION_VOIP : OPUS_APPLICATION_RESTRICTED_LOWDELAY,
		&err);
	if (!t->encoder || err != OPUS_OK || encoder_setup(t) < 0) {
		talker_destroy(t);
		return err == OPUS_ALLOC_FAIL ? -ENOMEM : -EIO;
	}
	level_band_init(&t->band);
	*out = t;
	return 0;
}

void talker_destroy(struct talker *t)
{
	if (!t)
		return;
	if (t->encoder)
		opus_encoder_destroy(t->encoder);
	free(t);
}

void talker_restart(struct talker *t, int64_t now_ns)
{
	t->fill = 0;
	t->talking = false;
	t->tail = false;
	t->silence_due = TALKER_SILENCE_FRAMES;
	t->silence_wait = FRAME;
	t->started = false;
}

/* Capture that stood still has left out samples: RTP time is moved to where it would be. */
static void stall_skip(struct talker *t, size_t frames, int64_t now_ns)
{
	if (!t->started) {
		t->started = true;
		t->start_ns = now_ns;
		t->start_position = t->position + frames;
		return;
	}
	int64_t elapsed = (now_ns - t->start_ns) * RTP_CLOCK_HZ / NS_PER_SEC;
	int64_t lag = elapsed - (int64_t)(t->position + frames - t->start_position);
	if (lag > STALL_FRAMES || lag < -STALL_FRAMES) {
		if (lag > 0)
			t->position += (uint64_t)lag / FRAME * FRAME;
		t->start_ns = now_ns;
		t->start_position = t->position + frames;
		t->fill = 0; /* a frame is never made of sound from both sides of a gap */
	} else if (elapsed > 60 * RTP_CLOCK_HZ) {
		/* The capture's clock need not be ours to the ppm: start counting anew. */
		t->start_ns = now_ns;
		t->start_position = t->position + frames;
	}
}

static uint32_t rtp_time(const struct talker *t, size_t back)
{
	return t->origin + (uint32_t)(t->position - back);
}

/* The first frame of a spurt stands alone. Between spurts the listeners' decoders were fed silence
 * frames which our encoder never saw (or lost some of them): levels predicted from the encoder's last
 * frame would come out several dB wrong there for a quarter of a second. */
static void frame_send(struct talker *t, talker_emit_fn emit, void *ctx)
{
	uint8_t packet[TALKER_PACKET_BYTES_MAX];
	if (t->fresh) {
		opus_encoder_ctl(t->encoder, OPUS_RESET_STATE);
		opus_encoder_ctl(t->encoder, OPUS_SET_PREDICTION_DISABLED(1));
	}
	int n = opus_encode_float(t->encoder, t->frame, FRAME, packet, sizeof(packet));
	if (n > 0) {
		t->stats.frames++;
		emit(ctx, rtp_time(t, FRAME), packet, (size_t)n, false);
	} else {
		t->stats.encode_errors++;
	}
	if (t->fresh) {
		opus_encoder_ctl(t->encoder, OPUS_SET_PREDICTION_DISABLED(0));
		t->fresh = false;
	}
}

/* A full frame, position standing right behind it. The first silent frame after sound is encoded
 * all the same where the encoder still holds the end of that sound. */
static void frame_full(struct talker *t, talker_emit_fn emit, void *ctx)
{
	bool silent = level_is_silent(t->frame, FRAME);
	bool flush = silent && t->tail;
	t->fill = 0;
	t->tail = !silent && !level_is_silent(t->frame + FRAME - LOOKAHEAD, LOOKAHEAD);
	if (!silent || flush)
		frame_send(t, emit, ctx);
	if (!silent)
		return;
	t->talking = false;
	t->silence_due = TALKER_SILENCE_FRAMES;
	t->silence_wait = FRAME;
	if (!flush) { /* this frame's place is that of the first silence frame */
		t->silence_due--;
		t->stats.silence_frames++;
		emit(ctx, rtp_time(t, FRAME), rtp_silence_frame, RTP_SILENCE_BYTES, true);
	}
}

static void silence_advance(struct talker *t, size_t frames, talker_emit_fn emit, void *ctx)
{
	while (t->silence_due > 0 && frames > 0) {
		size_t step = frames < t->silence_wait ? frames : t->silence_wait;
		frames -= step;
		t->silence_wait -= step;
		t->position += step;
		if (t->silence_wait > 0)
			return;
		t->silence_due--;
		t->silence_wait = FRAME;
		t->stats.silence_frames++;
		emit(ctx, rtp_time(t, FRAME), rtp_silence_frame, RTP_SILENCE_BYTES, true);
	}
	t->position += frames;
}

static size_t zeros_ahead(const float *samples, size_t frames)
{
	size_t n = 0;
	while (n < frames && samples[n] == 0.0f)
		n++;
	return n;
}

void talker_push(struct talker *t, const float *samples, size_t frames, int64_t now_ns,
		 talker_emit_fn emit, void *ctx)
{
	if (frames == 0)
		return;
	stall_skip(t, frames, now_ns);
	bool wide = level_band_run(&t->band, samples, (unsigned)frames);
	if (wide != t->wide) {
		t->wide = wide;
		t->stats.wide = wide;
		bandwidth_set(t);
	}
	while (frames > 0) {
		if (!t->talking) {
			size_t skip = zeros_ahead(samples, frames);
			silence_advance(t, skip, emit, ctx);
			samples += skip;
			frames -= skip;
			if (frames == 0)
				break;
			t->talking = true;
			t->fresh = true;
			t->silence_due = 0;
			t->fill = 0;
			t->stats.spurts++;
		}
		size_t take = FRAME - t->fill;
		if (take > frames)
			take = frames;
		memcpy(t->frame + t->fill, samples, take * sizeof(*samples));
		t->fill += take;
		t->position += take;
		samples += take;
		frames -= take;
		if (t->fill == FRAME)
			frame_full(t, emit, ctx);
	}
}

size_t talker_wants(const struct talker *t)
{
	if (t->talking)
		return FRAME - t->fill;
	return t->silence_due > 0 ? t->silence_wait : 0;
}

size_t talker_holds(const struct talker *t)
{
	return t->talking ? t->fill : 0;
}

void talker_stats(const struct talker *t, struct talker_stats *out)
{
	*out = t->stats;
}
