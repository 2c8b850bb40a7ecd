/* SPDX-License-Identifier: MIT
 *
 * playout_put.c - what comes in: is its media time plausible, has its place been played, what does
 * its arrival say about the network. See playout_state.h.
 */
#include "alsa/playout_state.h"

#include <stdlib.h>

/*
 * Which quantile of the jitter is waited for. Simulated with exponential jitter (mean 4 ms) the 95th
 * percentile + 5 ms left 1.4 % of the packets partly late, one glitch in 1.5 s; the 99th leaves 0.3 %
 * for 6 ms more, and costs nothing where jitter is bounded or absent. Stalls do not count (clock.c).
 */
#define JITTER_PERMILLE 990
/*
 * On top of it: 3 ms, 2 more as jitter grows. With 5 ms always a call without jitter took 40.1 ms from
 * phone to Discord, of which the goal is 40; in the simulator 3 ms lose nothing there.
 */
#define MARGIN_NS      (3 * MS)
#define MARGIN_MORE_NS (2 * MS)

#define JUMP_LATE_NS   (1000 * MS)
#define JUMP_EARLY_NS  (150 * MS)
#define AGREE_NS       (15 * MS)
#define AGREE          3
#define MEDIA_MAX      (INT64_C(1) << 45) /* in ns it still fits into 64 bits */

void playout_go_idle(struct playout *p)
{
	p->state = IDLE;
	p->fence = p->cursor;
	p->first = INT64_MAX;
	p->stay = 0;
	p->trim_ppm = 0;
	p->slip_since_ns = p->calm_since_ns = p->fine_since_ns = INT64_MIN;
	clock_loop_pause(p->clock);
}

/* A new axis: nothing on it has been played. What was sounding fades. */
static void anchor(struct playout *p, int64_t media)
{
	if (p->state == FLOW || p->state == GAP) {
		if (p->state == FLOW)
			playout_extend_begin(p);
		p->fade_len = ms_frames(p, FADE_MS);
		p->fade_at = 0;
		playout_extend_next(p, p->fade_from, MAX_FADE, p->fade_len);
	}
	if (p->state != EMPTY)
		p->stats.resyncs++;
	clock_loop_resync(p->clock);
	media_ring_reset(p->ring, media - to_frames(p, (p->config.ceiling_ms + 40) * MS));
	p->cursor = media_ring_begin(p->ring);
	playout_go_idle(p);
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
	int64_t target = jitter + MARGIN_NS + (jitter / 2 < MARGIN_MORE_NS ? jitter / 2 : MARGIN_MORE_NS);
	int64_t floor = p->config.floor_ms * MS, ceiling = p->config.ceiling_ms * MS;

	p->stats.jitter_ns = jitter;
	if (clock_loop_placing(p->clock) ||
	    (clock_loop_count(p->clock) < CLOCK_SETTLE && target < p->target_ns))
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
