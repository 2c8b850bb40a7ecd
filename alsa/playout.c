/* SPDX-License-Identifier: MIT
 *
 * playout.c - see playout.h.
 *
 * There is a reading position on the axis of media time (`cursor`) and a delay it is meant to keep
 * (`hold_ns`) behind the least-delayed arrival. The two meet in an error which only the clock loop
 * acts upon. Everything else moves both at once by the same amount and so never disturbs the loop:
 *	growing       cursor jumps back (or stays while the wave is continued), hold_ns grows;
 *	shrinking     cursor jumps forward over quiet sound, hold_ns shrinks;
 *	trimming      the resampler runs 1000 ppm off, hold_ns moves by 1 ms/s;
 *	re-anchoring  in a pause, where nobody hears it, the cursor is put where hold_ns says.
 */
#include "alsa/playout.h"

#include "alsa/clock.h"
#include "alsa/media_ring.h"
#include "alsa/resampler.h"
#include "alsa/wave_extend.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

#define SLIP_NS        (10 * MS) /* an error beyond this for SLIP_FOR_NS is no rate error */
#define SLIP_FOR_NS    (40 * MS) /* a late tick makes up for itself sooner */
#define GROW_NS        (10 * MS) /* growth from here on at once, below by trimming */
#define TRIM_PPM       1000.0
#define TRIM_UP_NS     (1 * MS)
#define TRIM_DOWN_NS   (3 * MS)    /* dead band, or the percentile's own noise would make it hunt */
#define TRIM_CALM_NS   (2000 * MS) /* so long must the target have been lower */
#define DROP_NS        (5 * MS)    /* less is left to trimming */
#define DROP_MOST_NS   (20 * MS)
#define DROP_EVERY_NS  (500 * MS)
/*
 * Which quantile of the jitter is waited for. Simulated with exponential jitter (mean 4 ms) the 95th
 * percentile + 5 ms left 1.4 % of the packets partly late, one glitch in 1.5 s; the 99th leaves 0.3 %
 * for 6 ms more, and costs nothing where jitter is bounded or absent. Stalls do not count (clock.c).
 */
#define JITTER_PERMILLE 990
#define MARGIN_NS      (5 * MS)  /* on top of the percentile: one tick */
#define OVER_NS        (20 * MS) /* above the ceiling even sound that is not quiet is dropped */
#define JUMP_LATE_NS   (1000 * MS)
#define JUMP_EARLY_NS  (150 * MS)
#define AGREE_NS       (15 * MS)
#define AGREE          3
#define SETTLED        50 /* packets (1 s) before the percentile is believed */
#define MADE_FULL_MS   60 /* decoder's concealment: full, then down to nothing */
#define MADE_FADE_MS   120
#define FADE_MS        5 /* cross-fade */
#define MEDIA_MAX      (INT64_C(1) << 45) /* in ns it still fits into 64 bits */
#define MAX_FADE       (48000 * FADE_MS / 1000)
#define MAX_NEED       (PLAYOUT_MAX_PULL + 64) /* input frames of one pull, 48 -> 48 at +5000 ppm */

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
	struct resampler *resampler;
	struct wave_extend *extend;

	enum state state;
	int64_t cursor;     /* media time of the next frame to be read */
	int64_t fence;      /* IDLE: nothing before this may be played (again) */
	int64_t first, end; /* first frame put while idle; end of all that was put */
	int64_t hold_ns, target_ns;
	int64_t last_pull_ns, last_block_ns;
	bool pulled;
	bool paused;         /* by playout_pause() */
	bool restart;        /* the next packet begins a new stream */
	unsigned made_run;   /* frames of decoder's concealment in a row */
	bool was_made;       /* the last frame read was not a real one */
	unsigned stay;       /* frames to make up before the cursor moves on (growth) */
	unsigned silent_fed; /* frames of silence behind us, up to what the resampler remembers */

	int64_t slip_since_ns, calm_since_ns, last_drop_ns;
	double trim_ppm;
	float loudness; /* recent RMS of the stream, slowly forgetting */

	unsigned agree; /* packets in a row far off by the same amount */
	int64_t agree_off_ns, agree_media;

	float fade_from[MAX_FADE]; /* what is faded away from */
	unsigned fade_at, fade_len;

	struct playout_stats stats;
};

static int64_t to_ns(const struct playout *p, int64_t frames)
{
	return p->config.rate == 8000 ? frames * 125000 : frames * 62500 / 3;
}

static int64_t to_frames(const struct playout *p, int64_t ns)
{
	return p->config.rate == 8000 ? ns / 125000 : ns * 3 / 62500;
}

static unsigned ms_frames(const struct playout *p, unsigned ms)
{
	return p->config.rate / 1000 * ms;
}

/* ---- object ------------------------------------------------------------------------------- */

int playout_create(struct playout **out, const struct playout_config *config)
{
	struct playout_config c = *config;
	int err;

	*out = NULL;
	c.start_ms = c.start_ms ? c.start_ms : 40;
	c.floor_ms = c.floor_ms ? c.floor_ms : 5;
	c.ceiling_ms = c.ceiling_ms ? c.ceiling_ms : 120;
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
	err = media_ring_create(&p->ring, c.rate == 8000 ? 4096 : 16384);
	if (err)
		goto out;
	err = resampler_create(&p->resampler, c.rate, PLAYOUT_OUT_RATE, PLAYOUT_MAX_PULL);
	if (err)
		goto out;
	err = wave_extend_create(&p->extend, c.rate);
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
	resampler_destroy(p->resampler);
	wave_extend_destroy(p->extend);
	free(p);
}

void playout_reset(struct playout *p)
{
	clock_loop_clear(p->clock);
	resampler_set_ppm(p->resampler, 0);
	resampler_reset(p->resampler);
	wave_extend_reset(p->extend);
	media_ring_reset(p->ring, 0);
	p->state = EMPTY;
	p->hold_ns = p->target_ns = p->config.start_ms * MS;
	p->pulled = p->paused = p->restart = p->was_made = false;
	p->made_run = p->stay = p->silent_fed = 0;
	p->slip_since_ns = p->calm_since_ns = p->last_drop_ns = INT64_MIN;
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

/* ---- what comes in ------------------------------------------------------------------------- */

static void go_idle(struct playout *p)
{
	p->state = IDLE;
	p->fence = p->cursor;
	p->first = INT64_MAX;
	p->stay = 0;
	p->trim_ppm = 0;
	p->slip_since_ns = p->calm_since_ns = INT64_MIN;
}

/* A new axis: nothing on it has been played. What was sounding fades. */
static void anchor(struct playout *p, int64_t media)
{
	if (p->state == FLOW || p->state == GAP) {
		if (p->state == FLOW)
			wave_extend_begin(p->extend);
		p->fade_len = ms_frames(p, FADE_MS);
		p->fade_at = 0;
		wave_extend_next(p->extend, p->fade_from, p->fade_len);
	}
	if (p->state != EMPTY)
		p->stats.resyncs++;
	clock_loop_resync(p->clock);
	media_ring_reset(p->ring, media - to_frames(p, (p->config.ceiling_ms + 40) * MS));
	p->cursor = media_ring_begin(p->ring);
	go_idle(p);
	p->fence = INT64_MIN;
	p->end = media;
	p->agree = 0;
	p->restart = false;
	/* until the jitter of the new path is known, the old one's is the best guess */
	p->hold_ns = p->target_ns;
}

static void aim(struct playout *p)
{
	int64_t jitter = clock_loop_jitter_ns(p->clock, JITTER_PERMILLE);
	int64_t target = jitter + MARGIN_NS;
	int64_t floor = p->config.floor_ms * MS, ceiling = p->config.ceiling_ms * MS;

	p->stats.jitter_ns = jitter;
	if (clock_loop_count(p->clock) < SETTLED && target < p->target_ns)
		target = p->target_ns;
	p->target_ns = target < floor ? floor : target > ceiling ? ceiling : target;
}

/* True if the packet may go on: its media time is plausible, or the axis was moved to it. */
static bool plausible(struct playout *p, int64_t media, int64_t arrival_ns,
		      enum playout_verdict *verdict)
{
	if (p->state == EMPTY || p->restart) {
		anchor(p, media);
		return true;
	}
	int64_t off = arrival_ns - clock_loop_local_ns(p->clock, to_ns(p, media));
	bool jump = off > JUMP_LATE_NS || off < -JUMP_EARLY_NS;
	if (!jump && off <= p->config.ceiling_ms * MS) {
		p->agree = 0;
		return true;
	}
	if (jump && p->state == IDLE) {
		anchor(p, media);
		return true;
	}
	/*
	 * Late beyond hope, or far off. A burst after a stall comes nearer by its own length with
	 * each packet; a stream that has really moved (new path, RTP time that stood still through a
	 * pause) stays off by the same amount.
	 */
	if (p->agree && llabs(off - p->agree_off_ns) <= AGREE_NS && media > p->agree_media)
		p->agree++;
	else
		p->agree = 1;
	p->agree_off_ns = off;
	p->agree_media = media;
	if (p->agree >= AGREE) {
		anchor(p, media);
		return true;
	}
	*verdict = jump ? PLAYOUT_JUMP : PLAYOUT_LATE;
	return false;
}

static bool acceptable(int64_t media, unsigned frames, unsigned most)
{
	return frames > 0 && frames <= most && media > -MEDIA_MAX && media < MEDIA_MAX;
}

/* Where storing begins: what lies before has been played. */
static int64_t storable_from(const struct playout *p)
{
	return p->state == IDLE ? p->fence : p->cursor;
}

static unsigned store(struct playout *p, int64_t media, const float *samples, unsigned frames,
		      uint8_t kind)
{
	/* nobody reads: the newest is what matters, also when nobody has read for long */
	if (p->state == IDLE && media + frames > media_ring_end(p->ring)) {
		int64_t room = media + frames - media_ring_end(p->ring);
		media_ring_slide(p->ring, media_ring_begin(p->ring) + room);
		if (p->first != INT64_MAX && p->first < media_ring_begin(p->ring))
			p->first = media_ring_begin(p->ring);
	}
	int64_t from = storable_from(p);
	unsigned stored = media_ring_put(p->ring, media, samples, frames, from, kind);

	if (stored) {
		if (media + frames > p->end)
			p->end = media + frames;
		if (p->state == IDLE) {
			int64_t first = media > from ? media : from;
			if (first < p->first)
				p->first = first;
		}
		p->paused = false;
	}
	return stored;
}

enum playout_verdict playout_put(struct playout *p, int64_t media, const float *samples,
				 unsigned frames, int64_t arrival_ns)
{
	enum playout_verdict verdict;

	p->stats.packets++;
	if (!acceptable(media, frames, ms_frames(p, PLAYOUT_MAX_PACKET_MS))) {
		p->stats.refused++;
		return PLAYOUT_REFUSED;
	}
	if (p->state != EMPTY && !p->restart && media_ring_has_real(p->ring, media, frames)) {
		p->stats.duplicates++;
		return PLAYOUT_DUPLICATE;
	}
	bool fits = plausible(p, media, arrival_ns, &verdict);
	if (fits || verdict == PLAYOUT_LATE) {
		clock_loop_arrival(p->clock, to_ns(p, media), to_ns(p, frames), arrival_ns);
		aim(p);
	}
	if (!fits) {
		if (verdict == PLAYOUT_LATE)
			p->stats.late++;
		else
			p->stats.refused++;
		return verdict;
	}
	if (samples && store(p, media, samples, frames, MEDIA_REAL))
		return PLAYOUT_TAKEN;
	p->stats.late++;
	return PLAYOUT_LATE;
}

enum playout_verdict playout_put_made(struct playout *p, int64_t media, const float *samples,
				      unsigned frames)
{
	if (p->state == EMPTY || p->restart ||
	    !acceptable(media, frames, ms_frames(p, PLAYOUT_MAX_PACKET_MS)))
		return PLAYOUT_REFUSED;
	if (media_ring_has(p->ring, media, frames))
		return PLAYOUT_DUPLICATE;
	unsigned stored = store(p, media, samples, frames, MEDIA_MADE);
	p->stats.concealed += stored;
	return stored ? PLAYOUT_TAKEN : PLAYOUT_LATE;
}

/* ---- jumps ---------------------------------------------------------------------------------- */

/* From here on the sound is faded over from what would have come. */
static void fade_from_here(struct playout *p)
{
	unsigned n = ms_frames(p, FADE_MS);

	if (p->state == FLOW && media_ring_has(p->ring, p->cursor, n)) {
		media_ring_get(p->ring, p->cursor, p->fade_from, n);
	} else {
		if (p->state == FLOW)
			wave_extend_begin(p->extend);
		wave_extend_next(p->extend, p->fade_from, n);
	}
	p->fade_len = n;
	p->fade_at = 0;
}

/* Of the places within `range` frames after `from`, the one whose sound is most like what is being
 * faded from. */
static int64_t best_match(const struct playout *p, int64_t from, unsigned range)
{
	float x[MAX_FADE];
	unsigned n = p->fade_len, thin = p->config.rate / 8000;
	int64_t best_at = from;
	float best = -2;

	for (unsigned i = 0; i <= range; i += thin) {
		if (!media_ring_has(p->ring, from + i, n))
			break;
		media_ring_get(p->ring, from + i, x, n);
		float product = 0, a = 1e-9f, b = 1e-9f;
		for (unsigned j = 0; j < n; j += thin) {
			product += x[j] * p->fade_from[j];
			a += x[j] * x[j];
			b += p->fade_from[j] * p->fade_from[j];
		}
		float like = product / sqrtf(a * b);
		if (like > best) {
			best = like;
			best_at = from + i;
		}
	}
	return best_at;
}

static void grow(struct playout *p, int64_t by_ns)
{
	int64_t by = to_frames(p, by_ns);
	unsigned slack = ms_frames(p, 10);
	int64_t to = p->cursor - by;

	p->stats.splices++;
	p->stats.stretched += (uint64_t)by;
	fade_from_here(p);
	if (p->state == FLOW && media_ring_has(p->ring, to - slack, slack + (unsigned)by)) {
		int64_t at = best_match(p, to - slack, slack);
		p->hold_ns += to_ns(p, p->cursor - at);
		p->cursor = at;
		return;
	}
	/* nothing to go back to: stay here and continue the wave meanwhile */
	p->stay += (unsigned)by;
	p->hold_ns += by_ns;
}

static void skip(struct playout *p, int64_t by_ns)
{
	int64_t by = to_frames(p, by_ns);

	p->stats.splices++;
	p->stats.dropped += (uint64_t)by;
	fade_from_here(p);
	p->cursor += by;
	p->hold_ns -= to_ns(p, by);
}

static bool quiet_ahead(const struct playout *p, int64_t by_ns)
{
	float x[1920];
	unsigned n = (unsigned)to_frames(p, by_ns) + ms_frames(p, FADE_MS);
	float sum = 0;

	if (n > sizeof x / sizeof *x || !media_ring_has(p->ring, p->cursor, n))
		return false;
	media_ring_get(p->ring, p->cursor, x, n);
	for (unsigned i = 0; i < n; i++)
		sum += x[i] * x[i];
	float rms = sqrtf(sum / (float)n);
	return rms < 0.001f || rms < 0.1f * p->loudness; /* -60 dBFS, or 20 dB below what was heard */
}

/* ---- control -------------------------------------------------------------------------------- */

/* How far behind the least-delayed arrival the reading position was at the end of the last block. */
static int64_t delay_ns(const struct playout *p)
{
	double ahead = resampler_ahead(p->resampler);
	int64_t read = to_ns(p, p->cursor) - llrint(ahead * 1e9 / p->config.rate);
	return p->last_pull_ns - clock_loop_local_ns(p->clock, read);
}

static void control(struct playout *p, int64_t now_ns, int64_t block_ns)
{
	/* as of the end of the block before this one */
	int64_t then = now_ns - block_ns;
	p->last_pull_ns = then;
	int64_t actual = delay_ns(p);
	int64_t error = actual - p->hold_ns + to_ns(p, p->stay);
	int64_t ceiling = p->config.ceiling_ms * MS;

	if (clock_loop_count(p->clock) < SETTLED) {
		/* A young window's minimum still falls with every quicker packet, which is no drift. */
		p->hold_ns += error;
		error = 0;
	}
	/* Reality differs from plan for long: the plan gives way, and what is too much shrinks. */
	if (llabs(error) <= SLIP_NS) {
		p->slip_since_ns = INT64_MIN;
	} else if (p->slip_since_ns == INT64_MIN) {
		p->slip_since_ns = then;
	} else if (then - p->slip_since_ns >= SLIP_FOR_NS) {
		p->hold_ns += error;
		p->slip_since_ns = INT64_MIN;
		error = 0;
	}

	int64_t excess = p->hold_ns - p->target_ns;
	if (excess <= -GROW_NS) {
		grow(p, -excess);
	} else if (p->hold_ns > ceiling + OVER_NS) {
		skip(p, excess);
	} else if (excess >= DROP_NS && p->state == FLOW &&
		   (p->last_drop_ns == INT64_MIN || now_ns - p->last_drop_ns >= DROP_EVERY_NS)) {
		int64_t by = excess < DROP_MOST_NS ? excess : DROP_MOST_NS;
		if (quiet_ahead(p, by)) {
			skip(p, by);
			p->last_drop_ns = now_ns;
		}
	}

	excess = p->hold_ns - p->target_ns;
	if (excess <= TRIM_DOWN_NS)
		p->calm_since_ns = INT64_MIN;
	else if (p->calm_since_ns == INT64_MIN)
		p->calm_since_ns = now_ns;
	if (p->trim_ppm > 0 ? excess <= 0 : p->trim_ppm < 0 && excess >= 0)
		p->trim_ppm = 0;
	if (p->trim_ppm == 0 && p->calm_since_ns != INT64_MIN && now_ns - p->calm_since_ns >= TRIM_CALM_NS)
		p->trim_ppm = TRIM_PPM;
	if (p->trim_ppm == 0 && excess <= -TRIM_UP_NS)
		p->trim_ppm = -TRIM_PPM;

	double ppm = clock_loop_tick(p->clock, error, block_ns);
	resampler_set_ppm(p->resampler, ppm + p->trim_ppm);
	p->hold_ns -= (int64_t)(p->trim_ppm * 1e-6 * (double)block_ns);
}

/* Starts to play if what was put is due within this block; keeps the position at the clock if not. */
static bool wake(struct playout *p, int64_t now_ns, int64_t block_ns)
{
	int64_t then = now_ns - block_ns;

	/* the end of a stream that was cut off fades first */
	if (p->first == INT64_MAX || p->fade_at < p->fade_len)
		return false;
	p->hold_ns = p->target_ns;
	double ahead = resampler_ahead(p->resampler);
	int64_t at = to_frames(p, clock_loop_media_ns(p->clock, then - p->hold_ns)) + llrint(ahead);
	if (at + to_frames(p, block_ns) < p->first)
		return false;
	if (at > p->first) {
		/* It came later than the target allows for, but nothing sounds: play it all the same
		 * and shrink later. Not beyond the ceiling. */
		int64_t most = to_frames(p, (p->config.ceiling_ms * MS - p->hold_ns));
		at -= at - p->first < most ? at - p->first : most;
	}
	p->cursor = at;
	/* the loop starts without an error, that of rounding to a frame included */
	p->last_pull_ns = then;
	p->hold_ns = delay_ns(p);
	p->state = GAP;
	p->was_made = true;
	p->made_run = 0;
	p->last_drop_ns = INT64_MIN;
	wave_extend_reset(p->extend);
	resampler_set_ppm(p->resampler, clock_loop_ppm(p->clock));
	media_ring_slide(p->ring, p->cursor - ms_frames(p, 60));
	return true;
}

/* ---- what goes out --------------------------------------------------------------------------- */

static void apply_fade(struct playout *p, float *x, unsigned n)
{
	for (unsigned i = 0; i < n && p->fade_at < p->fade_len; i++, p->fade_at++) {
		float w = (float)(p->fade_at + 1) / (float)(p->fade_len + 1);
		x[i] = p->fade_from[p->fade_at] * (1 - w) + x[i] * w;
	}
}

/* Asks the decoder for what is missing at the cursor. False: the wave has to be continued. */
static bool decoder_makes(struct playout *p, unsigned frames)
{
	float made[960];
	unsigned unit = ms_frames(p, 5) / 2, full = ms_frames(p, MADE_FULL_MS);
	unsigned fade = ms_frames(p, MADE_FADE_MS);

	/* Its state is at the end of what it decoded last; a hole before that is none of its business. */
	if (!p->config.conceal || p->paused || p->cursor < p->end || p->made_run >= fade ||
	    p->state != FLOW)
		return false;
	frames = (frames + unit - 1) / unit * unit;
	if (frames > ms_frames(p, 20))
		frames = ms_frames(p, 20);
	if (!p->config.conceal(p->config.conceal_ctx, p->cursor, made, frames))
		return false;
	for (unsigned i = 0; i < frames; i++) {
		unsigned run = p->made_run + i;
		if (run >= fade)
			made[i] = 0;
		else if (run > full)
			made[i] *= (float)(fade - run) / (float)(fade - full);
	}
	p->made_run += frames;
	unsigned stored = media_ring_put(p->ring, p->cursor, made, frames, p->cursor, MEDIA_MADE);
	p->stats.concealed += stored;
	p->end = p->cursor + frames;
	return stored > 0;
}

/* The next n frames on the way to the resampler. False when all has faded and nothing is to come. */
static bool fill(struct playout *p, float *x, unsigned n)
{
	while (n) {
		uint8_t kind;
		unsigned run = n;
		bool made_up = false;

		if (p->stay) {
			if (p->state == FLOW) { /* fade_from_here() has begun the continuation already */
				p->state = GAP;
				p->was_made = true;
			}
			run = p->stay < n ? p->stay : n;
			wave_extend_next(p->extend, x, run);
			p->stay -= run;
			made_up = true;
		} else {
			run = media_ring_run(p->ring, p->cursor, n, &kind);
			if (kind == MEDIA_MISSING && decoder_makes(p, run))
				continue;
			if (kind == MEDIA_MISSING) {
				if (p->state == FLOW) {
					wave_extend_begin(p->extend);
					p->state = GAP;
					if (p->made_run) /* the decoder has faded out already */
						wave_extend_reset(p->extend);
					if (p->paused) { /* he said so: a short fade instead of a made-up word */
						p->fade_len = ms_frames(p, FADE_MS);
						p->fade_at = 0;
						wave_extend_next(p->extend, p->fade_from, p->fade_len);
						wave_extend_reset(p->extend);
					}
				}
				if (!wave_extend_faded(p->extend))
					p->stats.concealed += run;
				wave_extend_next(p->extend, x, run);
				made_up = true;
			} else {
				if (p->state == GAP) {
					fade_from_here(p);
					p->state = FLOW;
				} else if (p->was_made && kind == MEDIA_REAL) {
					/* from the decoder's concealment to what was really said */
					unsigned fade = ms_frames(p, FADE_MS);
					wave_extend_begin(p->extend);
					wave_extend_next(p->extend, p->fade_from, fade);
					p->fade_len = fade;
					p->fade_at = 0;
				}
				media_ring_get(p->ring, p->cursor, x, run);
				p->was_made = kind == MEDIA_MADE;
				if (kind == MEDIA_REAL)
					p->made_run = 0;
			}
			p->cursor += run;
		}
		apply_fade(p, x, run);
		if (made_up)
			p->was_made = true;
		wave_extend_record(p->extend, x, run);
		x += run;
		n -= run;
	}
	return p->state == FLOW || p->stay || !wave_extend_faded(p->extend) || p->cursor < p->end ||
	       p->fade_at < p->fade_len;
}

static void listen(struct playout *p, const float *x, unsigned n)
{
	float sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += x[i] * x[i];
	float rms = n ? sqrtf(sum / (float)n) : 0;
	p->loudness = rms > p->loudness ? rms : p->loudness * 0.999f; /* -1.7 dB a second at 5 ms */
	p->silent_fed = sum > 0 ? 0 : p->silent_fed + n;
}

bool playout_pull(struct playout *p, int64_t now_ns, float *out, unsigned frames)
{
	float x[MAX_NEED];
	int64_t block_ns = (int64_t)frames * 62500 / 3;

	if (frames > PLAYOUT_MAX_PULL)
		frames = PLAYOUT_MAX_PULL;
	if (p->state == FLOW || p->state == GAP)
		control(p, now_ns, block_ns);
	else if (p->state == IDLE)
		wake(p, now_ns, block_ns);
	p->last_pull_ns = now_ns;
	p->last_block_ns = block_ns;
	p->pulled = true;

	bool playing = p->state == FLOW || p->state == GAP;
	bool fading = p->fade_at < p->fade_len;
	/* what the filter remembers must have been flushed by silence before we may stop */
	if (!playing && !fading && p->silent_fed >= 64) {
		memset(out, 0, frames * sizeof *out);
		return false;
	}
	unsigned need = resampler_needs(p->resampler, frames);
	if (playing) {
		if (!fill(p, x, need))
			go_idle(p);
		media_ring_slide(p->ring, p->cursor - ms_frames(p, p->config.rate == 8000 ? 150 : 60));
	} else {
		memset(x, 0, need * sizeof *x);
		apply_fade(p, x, need);
	}
	listen(p, x, need);
	resampler_pull(p->resampler, x, out, frames);
	return true;
}

/* ---- questions ------------------------------------------------------------------------------- */

int64_t playout_due_ns(const struct playout *p, int64_t media)
{
	if (p->state == EMPTY || p->restart || p->state == IDLE || !p->pulled)
		return p->state == IDLE && p->fence != INT64_MIN && media < p->fence ? INT64_MIN : INT64_MAX;
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
	out->delay_ns = out->playing ? delay_ns(p) : p->hold_ns;
	out->resampler_ns = resampler_delay_ns(p->resampler);
}
