/* SPDX-License-Identifier: MIT
 *
 * playout_control.c - how far behind the network we read. See playout_state.h.
 */
#include "alsa/level.h"
#include "alsa/playout_state.h"

#include <math.h>
#include <stdlib.h>

#define SLIP_NS        (10 * MS) /* an error beyond this for SLIP_FOR_NS is no rate error */
#define SLIP_FOR_NS    (40 * MS) /* a late tick makes up for itself sooner */
#define GROW_NS        (10 * MS) /* growth from here on at once, below by trimming */
#define TRIM_PPM       1000.0
#define TRIM_UP_NS     (1 * MS)
#define TRIM_DOWN_NS   (3 * MS)    /* dead band, or the percentile's own noise would make it hunt */
#define TRIM_CALM_NS   (2000 * MS) /* so long must the target have been lower */
#define TRIM_FINE_NS   (1 * MS)    /* so little too, if it has been lower for longer than it remembers */
#define TRIM_LONG_NS   (15000 * MS)
#define DROP_NS        (5 * MS)    /* less is left to trimming */
#define DROP_MOST_NS   (20 * MS)
#define DROP_EVERY_NS  (500 * MS)
#define BETTER_MATCH   0.002f    /* in correlation; of two periods of a tone neither is better by as much */
#define OVER_NS        (20 * MS) /* above the ceiling even sound that is not quiet is dropped */

/* ---- jumps ---------------------------------------------------------------------------------- */

/* From here on the sound is faded over from what would have come. */
void playout_fade_from_here(struct playout *p)
{
	unsigned n = ms_frames(p, FADE_MS);

	if (p->state == FLOW && media_ring_has(p->ring, p->cursor, n)) {
		playout_get(p, p->cursor, p->fade_from, MAX_FADE, n);
	} else {
		if (p->state == FLOW)
			playout_extend_begin(p);
		playout_extend_next(p, p->fade_from, MAX_FADE, n);
	}
	p->fade_len = n;
	p->fade_at = 0;
}

/* Of the places within `range` frames before `from`, the one whose sound is most like what is being
 * faded from; of those that are as good as each other, the nearest. */
static int64_t best_match(const struct playout *p, int64_t from, unsigned range)
{
	float x[PLAYOUT_CHANNELS_MAX * MAX_FADE];
	unsigned n = p->fade_len, thin = p->config.rate / 8000;
	int64_t best_at = from;
	float best = -2;

	for (unsigned i = 0; i <= range; i += thin) {
		if (!media_ring_has(p->ring, from - i, n))
			break;
		playout_get(p, from - i, x, MAX_FADE, n);
		float product = 0, a = 1e-9f, b = 1e-9f;
		EACH_CHANNEL (p, c)
			for (unsigned j = c * MAX_FADE; j < c * MAX_FADE + n; j += thin) {
				product += x[j] * p->fade_from[j];
				a += x[j] * x[j];
				b += p->fade_from[j] * p->fade_from[j];
			}
		float like = product / sqrtf(a * b);
		if (like > best + BETTER_MATCH) {
			best = like;
			best_at = from - i;
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
	playout_fade_from_here(p);
	if (p->state == FLOW && media_ring_has(p->ring, to - slack, slack + (unsigned)by)) {
		int64_t at = best_match(p, to, slack);
		p->hold_ns += to_ns(p, p->cursor - at);
		p->cursor = at;
		return;
	}
	/* nothing to go back to: stay here and continue the wave meanwhile */
	p->stay += (unsigned)by;
	p->hold_ns += by_ns;
}

void playout_shift(struct playout *p, int64_t by_ns)
{
	if (p->state != FLOW && p->state != GAP)
		return;
	p->hold_ns += by_ns;
	if (by_ns < 0)
		grow(p, -by_ns);
}

static void skip(struct playout *p, int64_t by_ns)
{
	int64_t by = to_frames(p, by_ns);

	p->stats.splices++;
	p->stats.dropped += (uint64_t)by;
	playout_fade_from_here(p);
	p->cursor += by;
	p->hold_ns -= to_ns(p, by);
}

static bool quiet_ahead(const struct playout *p, int64_t by_ns)
{
	enum { MOST = 1920 };
	float x[PLAYOUT_CHANNELS_MAX * MOST];
	unsigned n = (unsigned)to_frames(p, by_ns) + ms_frames(p, FADE_MS);
	float sum = 0;

	if (n > MOST || !media_ring_has(p->ring, p->cursor, n))
		return false;
	playout_get(p, p->cursor, x, MOST, n);
	EACH_CHANNEL (p, c)
		sum += level_energy(x + c * MOST, n);
	float rms = sqrtf(sum / (float)(n * p->config.channels));
	return rms < 0.001f || rms < 0.1f * p->loudness; /* -60 dBFS, or 20 dB below what was heard */
}

/* ---- control -------------------------------------------------------------------------------- */

/* How far behind the least-delayed arrival the reading position was at the end of the last block. */
int64_t playout_delay_ns(const struct playout *p)
{
	double ahead = resampler_ahead(p->resampler[0]);
	int64_t read = to_ns(p, p->cursor) - llrint(ahead * 1e9 / p->config.rate);
	return p->last_pull_ns - clock_loop_local_ns(p->clock, read);
}

/* Has it been so for so long? */
static bool lasts(int64_t *since_ns, bool is_so, int64_t now_ns, int64_t long_ns)
{
	if (!is_so)
		*since_ns = INT64_MIN;
	else if (*since_ns == INT64_MIN)
		*since_ns = now_ns;
	return is_so && now_ns - *since_ns >= long_ns;
}

void playout_control(struct playout *p, int64_t now_ns, int64_t block_ns)
{
	/* as of the end of the block before this one */
	int64_t then = now_ns - block_ns;
	p->last_pull_ns = then;
	int64_t actual = playout_delay_ns(p);
	int64_t error = actual - p->hold_ns + to_ns(p, p->stay);
	int64_t ceiling = p->config.ceiling_ms * MS;

	if (!clock_loop_settled(p->clock) || p->steps != clock_loop_steps(p->clock)) {
		p->steps = clock_loop_steps(p->clock);
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
	bool calm = lasts(&p->calm_since_ns, excess > TRIM_DOWN_NS, now_ns, TRIM_CALM_NS);
	bool fine = lasts(&p->fine_since_ns, excess > TRIM_FINE_NS, now_ns, TRIM_LONG_NS);
	if (p->trim_ppm > 0 ? excess <= 0 : p->trim_ppm < 0 && excess >= 0)
		p->trim_ppm = 0;
	if (p->trim_ppm == 0 && (calm || fine))
		p->trim_ppm = TRIM_PPM;
	if (p->trim_ppm == 0 && excess <= -TRIM_UP_NS)
		p->trim_ppm = -TRIM_PPM;

	double ppm = clock_loop_tick(p->clock, error, block_ns);
	playout_bend(p, ppm + p->trim_ppm);
	p->hold_ns -= (int64_t)(p->trim_ppm * 1e-6 * (double)block_ns);
}

/* Starts to play if what was put is due within this block; keeps the position at the clock if not. */
void playout_wake(struct playout *p, int64_t now_ns, int64_t block_ns)
{
	int64_t then = now_ns - block_ns;

	/* the end of a stream that was cut off fades first */
	if (p->first == INT64_MAX || p->fade_at < p->fade_len)
		return;
	p->hold_ns = p->target_ns;
	double ahead = resampler_ahead(p->resampler[0]);
	int64_t at = to_frames(p, clock_loop_media_ns(p->clock, then - p->hold_ns)) + llrint(ahead);
	if (at + to_frames(p, block_ns) < p->first)
		return;
	if (at > p->first) {
		/* It came later than the target allows for, but nothing sounds: play it all the same,
		 * with a little room for the next one, and shrink later. Not beyond the ceiling. */
		int64_t most = to_frames(p, (p->config.ceiling_ms * MS - p->hold_ns));
		int64_t by = at - p->first + ms_frames(p, p->config.floor_ms);
		at -= by < most ? by : most;
	}
	p->cursor = at;
	/* the loop starts without an error, that of rounding to a frame included */
	p->last_pull_ns = then;
	p->hold_ns = playout_delay_ns(p);
	p->state = GAP;
	p->was_made = true;
	p->made_run = 0;
	p->last_drop_ns = INT64_MIN;
	playout_extend_reset(p);
	playout_bend(p, clock_loop_ppm(p->clock));
	media_ring_slide(p->ring, p->cursor - ms_frames(p, 60));
}
