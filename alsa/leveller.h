/* SPDX-License-Identifier: MIT
 *
 * leveller.h - brings quiet and loud voices towards one active speech level.
 *
 * Measures what ITU-T P.56 calls the active speech level (mean power while somebody speaks, pauses
 * left out; in dBov, 0 being full scale) and applies the gain that is missing to the wanted one: at
 * most LEVELLER_MOST_DB either way, moved by a few dB a second and only while there is speech. What
 * is not speech teaches it nothing; a gain above 1 is taken back in pauses, so that nobody's noise
 * is lifted, and is there again with the first syllable. Peaks are limited, never clipped.
 *
 * Plain value type, no allocation, one thread per object.
 */
#ifndef ALSA_LEVELLER_H
#define ALSA_LEVELLER_H

#include <stdbool.h>

#include "alsa/mixer.h"

#define LEVELLER_MOST_DB 12
#define LEVELLER_LOWS    8

#define LEVELLER_TARGET_MIN (-36) /* dBov */
#define LEVELLER_TARGET_MAX (-16)

struct leveller {
	float target_dbov;
	float envelope; /* power, quick to rise */
	float low[LEVELLER_LOWS]; /* its least, over a fifth of a second each; the newest at `newest` */
	unsigned newest;
	float newest_s;
	float level;    /* mean power of active speech */
	float heard_s;  /* of active speech, up to what the mean remembers */
	float quiet_s;  /* since it was loud enough to be speech */
	float gain_db;  /* for this voice */
	float applied;  /* now; differs from gain_db in pauses */
	struct limiter peak;
};

/* target_dbov: within the bounds above; telephone networks are planned for -26. */
void leveller_init(struct leveller *l, float target_dbov);

/* A block at 48 kHz, usually 5 ms; right is NULL for mono. Two channels get one gain. A block that
 * holds NaN or infinities is left as it is. */
void leveller_run(struct leveller *l, float *left, float *right, unsigned frames);

/* The gain found for this voice. */
float leveller_gain_db(const struct leveller *l);

/* What has been learnt of a voice, for when it comes back. */
struct leveller_voice {
	float level, heard_s, gain_db;
};

/* False: nothing yet. */
bool leveller_voice(const struct leveller *l, struct leveller_voice *out);
/* After leveller_init(), with the same target. */
void leveller_resume(struct leveller *l, const struct leveller_voice *voice);

#endif
