/* SPDX-License-Identifier: MIT
 *
 * level.h - how loud, whether silent at all, and whether wider than a telephone.
 *
 * Plain value types, no allocation, one thread per object.
 */
#ifndef ALSA_LEVEL_H
#define ALSA_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#define LEVEL_SILENCE_DBFS (-120.0f) /* what digital silence reads as */

/*
 * Peak and RMS over what was added since the last read. dBFS: 0 is a sine that reaches full scale
 * for the peak; RMS is that of the samples (a full-scale sine reads -3.01).
 */
struct level {
	double sum_squares;
	float peak;
	uint64_t frames;
};

void level_add(struct level *l, const float *block, unsigned frames);
float level_peak_dbfs(const struct level *l);
float level_rms_dbfs(const struct level *l);
void level_clear(struct level *l);

/* Sum of squares. */
float level_energy(const float *block, unsigned frames);

/* True if every sample is exactly zero: nothing is being said, nobody has to be sent anything. */
bool level_is_silent(const float *block, unsigned frames);
bool level_is_silent_s16(const int16_t *block, unsigned frames);

/*
 * Does the sound (48 kHz mono) hold anything a telephone cannot carry, or anything above some other
 * bound? Compares what lies above about 5 kHz, or that bound, with the whole. Turns true after 20 ms
 * of wide sound that is both audible (above -60 dBFS) and no mere image of phone-band sound (less than
 * 45 dB below the whole); turns false after 3 s without any. Feed every block; silence counts as time passing.
 */
#define LEVEL_BAND_TAPS 97

/* A property that is there at once and gone after long: on after a few windows of 5 ms in a row, off
 * after 3 s of others. */
struct level_hold {
	unsigned yes_windows, no_windows; /* in a row */
	bool on;
};

struct level_band {
	float tap[LEVEL_BAND_TAPS]; /* high-pass */
	float past[LEVEL_BAND_TAPS - 1];
	unsigned next; /* sample of the next block to be looked at */
	float low_sum, high_sum; /* of the window under way */
	unsigned looked;
	float low, high;         /* mean powers of the last window: all of it, and above the bound */
	struct level_hold wide;
};

void level_band_init(struct level_band *b);
/* What is above hz is wide; the filter's slope reaches 0.8 kHz to either side. */
void level_band_init_above(struct level_band *b, double hz);
bool level_band_run(struct level_band *b, const float *block, unsigned frames);

/*
 * Do left and right differ so that one channel would not do? By the same measure: their difference
 * is audible and no less than 45 dB below their mean, for 20 ms; no more after 3 s without. Zeroed
 * is alike. Feed every block; frames' length does not matter.
 */
struct level_side {
	float mid_sum, side_sum; /* of the window under way */
	unsigned frames;
	struct level_hold differ;
};

bool level_side_run(struct level_side *s, const float *left, const float *right, unsigned frames);

#endif
