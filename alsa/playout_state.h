/* SPDX-License-Identifier: MIT
 *
 * playout_state.h - what the three files of playout share; nobody else includes it.
 *
 *	playout.c          the object, and what goes out
 *	playout_put.c      what comes in, and where on the axis of media time we are
 *	playout_control.c  how far behind we read: the clock loop, growing, shrinking, waking
 *
 * There is a reading position on the axis of media time (`cursor`) and a delay it is meant to keep
 * (`hold_ns`) behind the least-delayed arrival. The two meet in an error which only the clock loop
 * acts upon. Everything else moves both at once by the same amount and so never disturbs the loop:
 *	growing       cursor jumps back (or stays while the wave is continued), hold_ns grows;
 *	shrinking     cursor jumps forward over quiet sound, hold_ns shrinks;
 *	trimming      the resampler runs 1000 ppm off, hold_ns moves by 1 ms/s;
 *	re-anchoring  in a pause, where nobody hears it, the cursor is put where hold_ns says.
 */
#ifndef ALSA_PLAYOUT_STATE_H
#define ALSA_PLAYOUT_STATE_H

#include "alsa/clock.h"
#include "alsa/media_ring.h"
#include "alsa/playout.h"
#include "alsa/resampler.h"
#include "alsa/wave_extend.h"

#define MS       INT64_C(1000000)
#define FADE_MS  5  /* cross-fade */
#define MAX_FADE (48000 * FADE_MS / 1000)

enum state {
	EMPTY, /* nothing was ever put, or restarted */
	IDLE,  /* anchored, but nothing to play: costs nothing, position follows the clock */
	FLOW,  /* playing what was put, or what the decoder made up in its place */
	GAP,   /* continuing the wave over missing sound, or silence once that has faded */
};

struct playout {
	struct playout_config config;
	struct clock_loop *clock;
	struct media_ring *ring;
	struct resampler *resampler[PLAYOUT_CHANNELS_MAX]; /* always at the same place */
	struct wave_extend *extend[PLAYOUT_CHANNELS_MAX];

	enum state state;
	int64_t cursor;     /* media time of the next frame to be read */
	int64_t fence;      /* IDLE: nothing before this may be played (again) */
	int64_t first, end; /* first frame put while idle; end of all that was put */
	int64_t hold_ns, target_ns;
	int64_t last_pull_ns, last_block_ns;
	bool pulled;
	bool paused;         /* by playout_pause() */
	bool restart;        /* the next packet begins a new stream */
	unsigned waited;     /* frames missing in a row for which the wave was continued */
	uint64_t real_run;   /* real frames since the decoder had to make some; counts on */
	unsigned made_run;   /* frames of decoder's concealment in a row */
	bool was_made;       /* the last frame read was not a real one */
	unsigned stay;       /* frames to make up before the cursor moves on (growth) */
	unsigned silent_fed; /* frames of silence behind us, up to what the resampler remembers */

	unsigned steps;      /* of the clock, as far as hold_ns knows of them */
	int64_t slip_since_ns, calm_since_ns, fine_since_ns, last_drop_ns;
	double trim_ppm;
	float loudness; /* recent RMS of the stream, slowly forgetting */

	unsigned agree; /* packets in a row far off by the same amount */
	int64_t agree_off_ns, agree_media;

	float fade_from[PLAYOUT_CHANNELS_MAX * MAX_FADE]; /* what is faded away from, MAX_FADE a channel */
	unsigned fade_at, fade_len;

	struct playout_stats stats;
};

static inline int64_t to_ns(const struct playout *p, int64_t frames)
{
	return p->config.rate == 8000 ? frames * 125000 : frames * 62500 / 3;
}

static inline int64_t to_frames(const struct playout *p, int64_t ns)
{
	return p->config.rate == 8000 ? ns / 125000 : ns * 3 / 62500;
}

#define EACH_CHANNEL(p, c) for (unsigned c = 0; c < (p)->config.channels; c++)

static inline unsigned ms_frames(const struct playout *p, unsigned ms)
{
	return p->config.rate / 1000 * ms;
}

/* playout.c: the continuation of all channels. next: channel c goes to x + c * stride */
void playout_extend_begin(struct playout *p);
void playout_extend_reset(struct playout *p);
void playout_extend_next(struct playout *p, float *x, unsigned stride, unsigned n);
/* Frames of all channels at a media time, likewise. */
void playout_get(const struct playout *p, int64_t media, float *x, unsigned stride, unsigned n);
void playout_bend(struct playout *p, double ppm);

/* playout_put.c */
void playout_go_idle(struct playout *p);

/* playout_control.c */
int64_t playout_delay_ns(const struct playout *p);
void playout_fade_from_here(struct playout *p);
void playout_control(struct playout *p, int64_t now_ns, int64_t block_ns);
void playout_wake(struct playout *p, int64_t now_ns, int64_t block_ns);

#endif
