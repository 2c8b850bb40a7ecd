/* SPDX-License-Identifier: MIT
 *
 * clock.h - how fast does a far sender's sample clock run against ours?
 *
 * Never looks at a buffer's fill (a 20 ms packet grid beating against a 5 ms tick is slower than
 * any useful filter and would go straight into the pitch). It looks at the least delayed packets:
 * d = arrival - media time, the minimum over ten seconds, immune to jitter and to stalls. A loop
 * filter of second order turns the distance between where playout is and where it should be into
 * a rate. The same window gives the jitter's percentiles.
 *
 * Media time is counted in ns of the sender's clock. Positive ppm: the sender is fast.
 * One thread per object; no clock reads, no allocation after create.
 */
#ifndef ALSA_CLOCK_H
#define ALSA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock_loop;

#define CLOCK_MAX_PPM 500 /* what the integrator holds: beyond lies a broken sender, not drift */

int clock_loop_create(struct clock_loop **out);
void clock_loop_destroy(struct clock_loop *c);

/* Forgets the offsets (new stream, timestamp jump, very long pause); the rate found is kept. */
void clock_loop_resync(struct clock_loop *c);

/* Forgets everything, the rate too. */
void clock_loop_clear(struct clock_loop *c);

/*
 * The sender pauses. What it says next may sit elsewhere on the axis of media time by up to a packet
 * or so: many senders count RTP time by packets, and a spurt begins when somebody speaks. The first
 * packets after the pause show where; the offsets known so far are then moved along, so that the step
 * is no drift and no jitter.
 */
void clock_loop_pause(struct clock_loop *c);

/*
 * A packet whose first frame has media time media_ns and which carries duration_ns of sound has
 * arrived. Duplicates and retransmissions must be left out by the caller. Packets shorter than
 * 20 ms are thinned so that the window spans ten seconds of sound, and of packets that pour in together
 * only the first counts (and any that is the quickest of all).
 */
void clock_loop_arrival(struct clock_loop *c, int64_t media_ns, int64_t duration_ns,
			int64_t arrival_ns);

/* Packets in the window (0: offset and jitter mean nothing yet). */
unsigned clock_loop_count(const struct clock_loop *c);

/*
 * Where a spurt sits is judged by its first CLOCK_PLACE packets, and once more after CLOCK_SETTLE.
 * placing: not judged yet, its offsets and those before may not be comparable. settled: the minimum
 * is one to steer by (a young minimum falls with every quicker packet, which is no drift). steps:
 * how often the offsets were moved since create; each time the caller's errors begin anew.
 */
#define CLOCK_PLACE  10
#define CLOCK_SETTLE 50
bool clock_loop_placing(const struct clock_loop *c);
bool clock_loop_settled(const struct clock_loop *c);
unsigned clock_loop_steps(const struct clock_loop *c);

/*
 * Local time at which the frame of media time media_ns would have arrived with least delay, the
 * rate found so far taken into account. And its inverse. Undefined while the window is empty.
 */
int64_t clock_loop_local_ns(const struct clock_loop *c, int64_t media_ns);
int64_t clock_loop_media_ns(const struct clock_loop *c, int64_t local_ns);

/* permille/1000 quantile of (arrival - least delayed arrival) over the window, in ns. */
int64_t clock_loop_jitter_ns(const struct clock_loop *c, unsigned permille);

/*
 * One tick of the loop. error_ns: how far playout lags behind where it should be (positive: too
 * much is buffered), tick_ns: time since the last tick. Errors beyond +-10 ms are no rate error
 * and count as 0; the caller slips instead. Returns the rate in ppm. Not called while the stream
 * pauses: that freezes the loop.
 */
double clock_loop_tick(struct clock_loop *c, int64_t error_ns, int64_t tick_ns);

/* The rate of the last tick (proportional part included), and the integrator alone. */
double clock_loop_ppm(const struct clock_loop *c);
double clock_loop_drift_ppm(const struct clock_loop *c);

#endif
