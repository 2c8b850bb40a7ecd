/* SPDX-License-Identifier: MIT
 *
 * measure.h - what the simulators' recordings say: when each sample was said or heard, delay by
 * chirps, likeness and gaps of speech.
 */
#ifndef TESTS_E2E_MEASURE_H
#define TESTS_E2E_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/e2e/signal.h"

/* A recording with the time of each of its pieces (a message, a packet). A piece is spoken during
 * the time that it lasts *before* it is sent, so both ends count alike and a path that passes
 * pieces on at once has no delay. */
struct track {
	struct wav wav;
	size_t count;
	struct piece {
		int64_t t_ns;
		int64_t first, samples;
		bool silent;
	} * pieces;
};

/* STEM.json with its list `said` or `heard` (sim_twilio; STEM.said.wav, STEM.heard.wav) or
 * `packets` (sim_discord; STEM.wav). Fails by harness_failed(). */
void track_load(struct track *t, const char *stem, const char *list);
void track_free(struct track *t);
/* When a sample was said or heard. */
double track_time_ns(const struct track *t, double sample);
/* The sample at a time; negative or beyond the end if it was none. */
double track_sample(const struct track *t, double t_ns);
/* Sound (pieces that are not silent and have samples other than zero) after a time: how many. */
int track_sound_after(const struct track *t, int64_t t_ns);

/* A list of delays in milliseconds. */
struct delays {
	double ms[1024], at_s[1024];
	size_t count;
	double p50, p99, max, slope_ms_per_min;
};

/* Every chirp of `said` (the simulators' standard: 300-3400 Hz, 200 ms, every every_ms) that is
 * found in `heard` before the next one of its kind. */
void measure_delays(struct delays *d, const struct track *said, const struct track *heard,
		    int every_ms);

/* Likeness of heard to said from second `from` on for `seconds` (0: all), both at `rate`. Rates are
 * converted. What is compared starts at the same moment in both tracks. */
bool measure_likeness(struct signal_likeness *l, const struct track *said,
		      const struct track *heard, unsigned rate, double from, double seconds);
/* The same at 8 kHz for the way to the phone, within the telephone's band (up to 3400 Hz): what
 * lies above it is the slope of the receiver's and our filter, not what is judged. */
bool measure_likeness_in_band(struct signal_likeness *l, const struct track *said,
			      const struct track *heard, double from, double seconds);

/* Share (0..1) of the 20 ms frames of speech in `said` (over -45 dBFS, from second `from` on) that
 * are missing in heard: nowhere near the place where they should be is anything like them
 * (normalised correlation below 0.5). delay_s: how much later than said it is heard, as
 * measure_likeness() finds it. *longest_ms gets the longest run. */
double measure_gaps(const struct track *said, const struct track *heard, double from,
		    double delay_s, double *longest_ms);

/* Part of a track as 48 kHz or 8 kHz samples, starting at a time. Allocated; returns the count. */
size_t track_cut(float **out, const struct track *t, double t_ns, double seconds, unsigned rate);

#endif
