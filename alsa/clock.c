/* SPDX-License-Identifier: MIT
 *
 * clock.c - see clock.h.
 *
 * Media time is turned into local time with the rate found so far before arrivals are compared: a
 * window of raw offsets would tilt by rate * 10 s (5 ms at 500 ppm), and its minimum would then sit
 * at the old or at the new end depending on the sign of the drift.
 */
#include "alsa/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW      500
#define WINDOW_NS   INT64_C(10000000000)
#define THIN_NS     INT64_C(20000000)
#define BURST_NS    INT64_C(2000000)
#define SLIP_NS     10000000.0 /* beyond: not a rate error */
#define CLAMP_S     0.004
#define MAX_RATE    2e-3

/*
 * Bandwidth of the loop over the age of the stream: quick to lock, then ever calmer. What jitters
 * is the minimum itself, when a rarely quick packet enters or leaves the window.
 */
static const struct {
	double until_s, hz;
} bandwidths[] = {{20, 0.05}, {120, 0.02}, {INFINITY, 0.01}};

struct clock_loop {
	/* line through the latest packet: local = last_local + (media - last_media) / (1 + drift) */
	int64_t last_media_ns, last_local_ns;
	int64_t last_arrival_ns;
	bool started;

	unsigned fresh; /* packets since the last pause, up to CLOCK_SETTLE */
	bool settled, stepped; /* stepped: by these packets' first CLOCK_PLACE */
	unsigned steps;

	int64_t thin_bucket;
	int64_t window_ns; /* sound covered */
	unsigned count, oldest;
	struct {
		int64_t offset_ns;
		int64_t duration_ns;
	} ring[WINDOW];
	int64_t sorted[WINDOW]; /* offsets, ascending: minimum and quantiles are look-ups */

	double age_s;
	double z1, z2, z3; /* filter; z3 is the rate held */
};

int clock_loop_create(struct clock_loop **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : -ENOMEM;
}

void clock_loop_destroy(struct clock_loop *c)
{
	free(c);
}

void clock_loop_resync(struct clock_loop *c)
{
	c->started = false;
	c->count = c->oldest = 0;
	c->window_ns = 0;
	c->z1 = c->z2 = 0;
	clock_loop_pause(c);
}

bool clock_loop_placing(const struct clock_loop *c)
{
	return c->fresh < CLOCK_PLACE;
}

bool clock_loop_settled(const struct clock_loop *c)
{
	return c->settled;
}

unsigned clock_loop_steps(const struct clock_loop *c)
{
	return c->steps;
}

void clock_loop_clear(struct clock_loop *c)
{
	memset(c, 0, sizeof *c);
}

/* ---- offsets ------------------------------------------------------------------------------ */

/* index of the first of n sorted offsets that is not below value */
static unsigned lower_bound(const struct clock_loop *c, int64_t value, unsigned n)
{
	unsigned from = 0, to = n;
	while (from < to) {
		unsigned mid = (from + to) / 2;
		if (c->sorted[mid] < value)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* n: how many are sorted now */
static void sorted_insert(struct clock_loop *c, int64_t value, unsigned n)
{
	unsigned at = lower_bound(c, value, n);
	memmove(c->sorted + at + 1, c->sorted + at, (n - at) * sizeof *c->sorted);
	c->sorted[at] = value;
}

static void sorted_remove(struct clock_loop *c, int64_t value, unsigned n)
{
	unsigned at = lower_bound(c, value, n);
	memmove(c->sorted + at, c->sorted + at + 1, (n - 1 - at) * sizeof *c->sorted);
}

static void forget_oldest(struct clock_loop *c)
{
	sorted_remove(c, c->ring[c->oldest].offset_ns, c->count);
	c->window_ns -= c->ring[c->oldest].duration_ns;
	c->oldest = (c->oldest + 1) % WINDOW;
	c->count--;
}

/*
 * Where does the spurt of the last `fresh` packets sit? Its least delayed packet is compared with
 * what was known before: chance alone leaves all of 10 packets above the quantile of 40 %, or all of
 * 50 above that of 10 %, once in 200 spurts.
 */
#define STEP_NS INT64_C(500000)

static void place(struct clock_loop *c)
{
	unsigned fresh = c->fresh, old = c->count - fresh;
	unsigned quantile = (unsigned)((uint64_t)old * (fresh < CLOCK_SETTLE ? 40 : 10) / 100);
	int64_t least = INT64_MAX, step;

	if (c->count <= fresh) {
		c->settled = fresh == CLOCK_SETTLE;
		return;
	}
	for (unsigned i = old; i < c->count; i++) {
		int64_t v = c->ring[(c->oldest + i) % WINDOW].offset_ns;
		least = v < least ? v : least;
		sorted_remove(c, v, c->count - (i - old));
	}
	step = least - c->sorted[0];
	if (step < -STEP_NS || least > c->sorted[quantile] + STEP_NS) {
		for (unsigned i = 0; i < old; i++) {
			c->sorted[i] += step;
			c->ring[(c->oldest + i) % WINDOW].offset_ns += step;
		}
		c->steps++;
		c->stepped = fresh == CLOCK_PLACE;
	} else {
		c->settled = true;
	}
	for (unsigned i = old; i < c->count; i++)
		sorted_insert(c, c->ring[(c->oldest + i) % WINDOW].offset_ns, i);
	if (fresh == CLOCK_SETTLE)
		c->settled = true;
}

/* A spurt that seemed to lie elsewhere, and ends before it is judged for the second time, is judged now. */
void clock_loop_pause(struct clock_loop *c)
{
	if (c->stepped && c->fresh > CLOCK_PLACE && c->fresh < CLOCK_SETTLE)
		place(c);
	c->fresh = 0;
	c->settled = c->stepped = false;
}

/* media time to the local axis, without the offset */
static int64_t to_axis(const struct clock_loop *c, int64_t media_ns)
{
	double d = (double)(media_ns - c->last_media_ns);
	return c->last_local_ns + (media_ns - c->last_media_ns) - llrint(d * c->z3 / (1 + c->z3));
}

void clock_loop_arrival(struct clock_loop *c, int64_t media_ns, int64_t duration_ns,
			int64_t arrival_ns)
{
	if (!c->started) {
		c->started = true;
		c->last_media_ns = media_ns;
		c->last_local_ns = media_ns;
		c->last_arrival_ns = INT64_MIN / 2;
		c->thin_bucket = INT64_MIN;
	}
	int64_t axis = to_axis(c, media_ns);
	if (media_ns > c->last_media_ns) {
		c->last_media_ns = media_ns;
		c->last_local_ns = axis;
	}
	/*
	 * Packets on the heels of another one tell of the same delay once more: a stall of 250 ms is
	 * one event, not the dozen packets that pour in after it. Unless they are the quickest yet.
	 */
	int64_t offset = arrival_ns - axis;
	bool heels = llabs(arrival_ns - c->last_arrival_ns) < BURST_NS;
	c->last_arrival_ns = arrival_ns;
	if (heels && c->count && offset > c->sorted[0])
		return;
	if (duration_ns < THIN_NS) {
		int64_t bucket = media_ns / THIN_NS;
		if (bucket == c->thin_bucket)
			return;
		c->thin_bucket = bucket;
		duration_ns = THIN_NS;
	}
	while (c->count == WINDOW || (c->count && c->window_ns + duration_ns > WINDOW_NS))
		forget_oldest(c);
	sorted_insert(c, offset, c->count);
	unsigned slot = (c->oldest + c->count) % WINDOW;
	c->ring[slot].offset_ns = offset;
	c->ring[slot].duration_ns = duration_ns;
	c->window_ns += duration_ns;
	c->count++;
	if (c->fresh < CLOCK_SETTLE) {
		c->fresh++;
		if (c->fresh == CLOCK_PLACE || c->fresh == CLOCK_SETTLE)
			place(c);
	}
}

unsigned clock_loop_count(const struct clock_loop *c)
{
	return c->count;
}

int64_t clock_loop_local_ns(const struct clock_loop *c, int64_t media_ns)
{
	return to_axis(c, media_ns) + c->sorted[0];
}

int64_t clock_loop_media_ns(const struct clock_loop *c, int64_t local_ns)
{
	int64_t d = local_ns - c->sorted[0] - c->last_local_ns;
	return c->last_media_ns + d + llrint((double)d * c->z3);
}

int64_t clock_loop_jitter_ns(const struct clock_loop *c, unsigned permille)
{
	if (c->count == 0)
		return 0;
	unsigned at = (unsigned)((uint64_t)c->count * permille / 1000);
	if (at >= c->count)
		at = c->count - 1;
	return c->sorted[at] - c->sorted[0];
}

/* ---- loop --------------------------------------------------------------------------------- */

static double clamp(double x, double most)
{
	return x > most ? most : x < -most ? -most : x;
}

double clock_loop_tick(struct clock_loop *c, int64_t error_ns, int64_t tick_ns)
{
	double t = (double)tick_ns * 1e-9, e = 0;
	unsigned stage = 0;

	/* A rate error shows as an error that grows slowly; one that is big at once is a slip, and
	 * fed to the filter it would bend the pitch for a minute. */
	if (fabs((double)error_ns) <= SLIP_NS)
		e = clamp((double)error_ns * 1e-9, CLAMP_S);
	c->age_s += t;
	while (c->age_s > bandwidths[stage].until_s)
		stage++;
	double w = 2 * M_PI * bandwidths[stage].hz;
	double smooth = 1 - exp(-20 * w * t);
	c->z1 += smooth * (1.5 * w * e - c->z1);
	c->z2 += smooth * (c->z1 - c->z2);
	c->z3 = clamp(c->z3 + w * t / 1.5 * c->z2, CLOCK_MAX_PPM * 1e-6);
	return clock_loop_ppm(c);
}

double clock_loop_ppm(const struct clock_loop *c)
{
	return clamp(c->z2 + c->z3, MAX_RATE) * 1e6;
}

double clock_loop_drift_ppm(const struct clock_loop *c)
{
	return c->z3 * 1e6;
}
