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
#define TOP_HZ       8600.0 /* of Opus' wideband, 8 kHz, and the filter's slope */
#define WATCHED      240 /* samples looked at at a time */
#define STALL_FRAMES 4800 /* 100 ms that capture lags behind the clock: it stood still */

struct talker {
	OpusEncoder *encoder; /* memory for two channels */
	bool fec;
	unsigned channels;         /* of the encoder: those of the line */
	struct level_band band[2]; /* of the mean; on a stereo line also of the difference */
	struct level_band top[2];  /* the same above what 16 kHz carry; looked at while wide */
	struct level_band fresh_top;
	struct level_side side;
	bool wide, full, stereo;
	bool fresh; /* the next frame is the first of a spurt */

	float frame[2][FRAME]; /* left or all, right */
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
	return opus_encoder_ctl(t->encoder,
				OPUS_SET_MAX_BANDWIDTH(t->full   ? OPUS_BANDWIDTH_FULLBAND
						       : t->wide ? OPUS_BANDWIDTH_WIDEBAND
								 : narrow));
}

/* On a stereo line whose channels are alike one is sent: mixed down by the encoder, half the cost. */
static int channels_set(struct talker *t)
{
	int rate = t->fec ? FEC_BITRATE : BITRATE;
	if (opus_encoder_ctl(t->encoder, OPUS_SET_FORCE_CHANNELS(t->stereo ? 2 : 1)) != OPUS_OK)
		return OPUS_BAD_ARG;
	return opus_encoder_ctl(t->encoder, OPUS_SET_BITRATE(t->stereo ? rate + rate / 2 : rate));
}

/* Also while it runs, when the line has come back with another number of channels: allocates
 * nothing. */
static int encoder_make(struct talker *t, unsigned channels)
{
	OpusEncoder *e = t->encoder;
	opus_int32 lookahead = 0;
	t->channels = channels;
	t->stereo = false;
	memset(&t->side, 0, sizeof(t->side));
	t->stats.stereo = false;
	if (opus_encoder_init(e, RTP_CLOCK_HZ, (int)channels,
			      t->fec ? OPUS_APPLICATION_VOIP
				     : OPUS_APPLICATION_RESTRICTED_LOWDELAY) != OPUS_OK ||
	    channels_set(t) != OPUS_OK ||
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
	struct talker *t = calloc(1, sizeof(*t));
	int err;
	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->fec = fec;
	t->encoder = calloc(1, (size_t)opus_encoder_get_size(2));
	err = t->encoder ? encoder_make(t, 1) : -ENOMEM;
	if (err < 0) {
		talker_destroy(t);
		return err;
	}
	level_band_init(&t->band[0]);
	level_band_init(&t->band[1]);
	level_band_init_above(&t->fresh_top, TOP_HZ);
	*out = t;
	return 0;
}

void talker_destroy(struct talker *t)
{
	if (!t)
		return;
	free(t->encoder);
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
	float pairs[2 * FRAME];
	for (int i = 0; t->channels == 2 && i < FRAME; i++) {
		pairs[2 * i] = t->frame[0][i];
		pairs[2 * i + 1] = t->frame[1][i];
	}
	int n = opus_encode_float(t->encoder, t->channels == 2 ? pairs : t->frame[0], FRAME, packet,
				  sizeof(packet));
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

static bool frame_is_silent(const struct talker *t, unsigned from)
{
	return level_is_silent(t->frame[0] + from, FRAME - from) &&
	       (t->channels == 1 || level_is_silent(t->frame[1] + from, FRAME - from));
}

/* A full frame, position standing right behind it. The first silent frame after sound is encoded
 * all the same where the encoder still holds the end of that sound. */
static void frame_full(struct talker *t, talker_emit_fn emit, void *ctx)
{
	bool silent = frame_is_silent(t, 0);
	bool flush = silent && t->tail;
	t->fill = 0;
	t->tail = !silent && !frame_is_silent(t, FRAME - LOOKAHEAD);
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

static size_t zeros_ahead(const float *left, const float *right, size_t frames)
{
	size_t n = 0;
	while (n < frames && left[n] == 0.0f && (!right || right[n] == 0.0f))
		n++;
	return n;
}

/* What is wider in the mean of the channels or in their difference is wide. */
static bool listen_both(struct level_band band[2], const float *left, const float *right, size_t frames)
{
	float mid[WATCHED], side[WATCHED];
	bool wide = false;
	for (size_t done = 0, n; done < frames; done += n) {
		n = frames - done < WATCHED ? frames - done : WATCHED;
		for (size_t i = 0; i < n; i++) {
			mid[i] = (left[done + i] + right[done + i]) / 2;
			side[i] = (left[done + i] - right[done + i]) / 2;
		}
		wide = level_band_run(&band[0], mid, (unsigned)n);
		wide |= level_band_run(&band[1], side, (unsigned)n);
	}
	return wide;
}

static bool listen(struct level_band band[2], const float *left, const float *right, size_t frames)
{
	return right ? listen_both(band, left, right, frames)
		     : level_band_run(&band[0], left, (unsigned)frames);
}

/* How the sound has to be sent: follows what is in it. */
static void follow(struct talker *t, const float *left, const float *right, size_t frames)
{
	bool wide = listen(t->band, left, right, frames);
	bool stereo = right && level_side_run(&t->side, left, right, (unsigned)frames);
	bool full = wide && t->wide && listen(t->top, left, right, frames);
	if (wide && !t->wide)
		t->top[0] = t->top[1] = t->fresh_top;
	if (wide != t->wide || full != t->full) {
		t->wide = t->stats.wide = wide;
		t->full = full;
		bandwidth_set(t);
	}
	if (stereo != t->stereo) {
		t->stereo = t->stats.stereo = stereo;
		channels_set(t);
	}
}

void talker_push(struct talker *t, const float *left, const float *right, size_t frames,
		 int64_t now_ns, talker_emit_fn emit, void *ctx)
{
	if (frames == 0)
		return;
	stall_skip(t, frames, now_ns);
	if ((right ? 2u : 1u) != t->channels) {
		encoder_make(t, right ? 2 : 1);
		t->fill = 0;
		t->fresh = true;
	}
	follow(t, left, right, frames);
	while (frames > 0) {
		if (!t->talking) {
			size_t skip = zeros_ahead(left, right, frames);
			silence_advance(t, skip, emit, ctx);
			left += skip;
			right = right ? right + skip : NULL;
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
		memcpy(t->frame[0] + t->fill, left, take * sizeof(*left));
		if (right)
			memcpy(t->frame[1] + t->fill, right, take * sizeof(*right));
		t->fill += take;
		t->position += take;
		left += take;
		right = right ? right + take : NULL;
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
