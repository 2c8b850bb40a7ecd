/* SPDX-License-Identifier: MIT
 *
 * pace.h - how many frames go out to the callers now, so that they get real time: what the capture
 * gave, silence where it gives none, and never more than real time.
 *
 * Twilio plays what it gets in order and never faster, so a frame too many is delay for the rest of
 * the call, and a frame too few is a click. The capture's own clock is followed (it may differ from
 * ours by some ppm); only its failing to deliver, and its making up for that later, is corrected.
 * After a standstill of ours at most PACE_CATCH_UP is made up; the rest was heard as silence and is
 * forgotten. Pure, takes time as an argument.
 */
#ifndef BRIDGE_PACE_H
#define BRIDGE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_CATCH_UP 1920 /* frames at 48 kHz: two Twilio frames */
#define PACE_PATIENCE 1680 /* 35 ms: a capture that steps in periods, or waits for a writer, is not failing */
#define PACE_AHEAD    480  /* 10 ms too many, and they are dropped */

struct pace {
	int64_t last_ns;     /* 0: not started */
	int64_t captured_ns; /* when the capture last gave something */
	double debt;         /* frames that real time is ahead of what went out */
};

struct pace_plan {
	unsigned silence; /* first this much silence … */
	unsigned skip;    /* … then the captured frames without this many of the oldest */
};

/* Starts at now_ns with nothing owed. */
void pace_start(struct pace *pace, int64_t now_ns);

/*
 * Whether the capture, in which `available` frames wait, is to be read before this pace_run(). It need
 * not before the `completes` frames are there that the next caller's frame takes: four reads of 5 ms would
 * only move the waiting from there to here. But one that gives nothing may have failed, and before
 * silence is sent in its stead it gives what it has.
 */
bool pace_reads(const struct pace *pace, size_t available, size_t completes, int64_t now_ns);

/* To be called each tick. `captured` frames were read; `away`: the device is not there at all. */
struct pace_plan pace_run(struct pace *pace, unsigned captured, bool away, int64_t now_ns);

#endif
