/* SPDX-License-Identifier: MIT
 *
 * leveller.c - see leveller.h.
 */
#include "alsa/leveller.h"
#include "alsa/level.h"

#include <math.h>
#include <string.h>

#define RATE 48000

/* What lies under speech is the least of its envelope over 1.6 s: syllables have gaps, noise has none. */
#define FLOOR_LEAST    1e-8f /* -80 dBov */
#define LOW_S          0.2f
#define ENVELOPE_S     0.02f /* the gap of a plosive shows */
#define SPEECH_OVER    8.0f    /* 9 dB above the floor ... */
#define SPEECH_LEAST   1.6e-6f /* ... and -58 dBov: speech */
#define HANG_S         0.2f    /* the gap within a word belongs to it, as P.56 has it */
#define HOLD_S         0.5f    /* longer than that, and it is a pause, if it is quiet as well: */
#define QUIET_BELOW    0.06f   /* 12 dB under the speech. A vowel held for long is not; */
#define NOISE_S        3.0f    /* what goes on unvaried for longer than any vowel is noise all the same */
#define MEMORY_S       8.0f    /* of active speech */
#define LEARN_S        1.0f    /* a first word says little */
#define UP_DB_S        4.0f
#define DOWN_DB_S      8.0f
#define CLOSE_DB_S     30.0f
#define OPEN_DB_S      2000.0f /* 12 dB in 6 ms: before the vowel */

void leveller_init(struct leveller *l, float target_dbov)
{
	memset(l, 0, sizeof *l);
	l->target_dbov = target_dbov;
	for (int i = 0; i < LEVELLER_LOWS; i++)
		l->low[i] = INFINITY;
	l->quiet_s = NOISE_S;
	limiter_init(&l->peak, RATE);
}

static float power(const float *left, const float *right, unsigned frames)
{
	float sum = level_energy(left, frames) + (right ? level_energy(right, frames) : 0);

	return sum / (float)(right ? 2 * frames : frames);
}

/* `value` on its way to `to`, no faster than that. */
static float approach(float value, float to, float up, float down)
{
	return to > value + up ? value + up : to < value - down ? value - down : to;
}

/* Is this speech? Follows its envelope and what lies under it. */
static bool is_speech(struct leveller *l, float p, float dt)
{
	float slow = l->envelope * expf(-dt / ENVELOPE_S), floor = INFINITY;

	l->envelope = p > slow ? p : slow;
	l->newest_s += dt;
	if (l->newest_s > LOW_S) {
		l->newest_s = 0;
		l->newest = (l->newest + 1) % LEVELLER_LOWS;
		l->low[l->newest] = INFINITY;
	}
	if (l->envelope < l->low[l->newest])
		l->low[l->newest] = l->envelope;
	for (int i = 0; i < LEVELLER_LOWS; i++)
		floor = l->low[i] < floor ? l->low[i] : floor;
	if (floor < FLOOR_LEAST)
		floor = FLOOR_LEAST;
	return l->envelope > SPEECH_OVER * floor && l->envelope > SPEECH_LEAST;
}

static void learn(struct leveller *l, float p, float dt)
{
	float wanted_db;

	if (l->heard_s < MEMORY_S)
		l->heard_s += dt;
	l->level += (p - l->level) * dt / l->heard_s;
	if (l->heard_s < LEARN_S || l->level <= 0)
		return;
	wanted_db = l->target_dbov - 10 * log10f(l->level);
	if (wanted_db > LEVELLER_MOST_DB)
		wanted_db = LEVELLER_MOST_DB;
	else if (wanted_db < -LEVELLER_MOST_DB)
		wanted_db = -LEVELLER_MOST_DB;
	l->gain_db = approach(l->gain_db, wanted_db, UP_DB_S * dt, DOWN_DB_S * dt);
}

static void amplify(float *x, unsigned frames, float from, float to)
{
	for (unsigned i = 0; i < frames; i++)
		x[i] *= from + (to - from) * (float)(i + 1) / (float)frames;
}

void leveller_run(struct leveller *l, float *left, float *right, unsigned frames)
{
	float p = power(left, right, frames), dt = (float)frames / RATE;
	float before_db = l->applied, to_db = l->gain_db;

	if (!isfinite(p)) /* of garbage nothing is learnt: a mean would never be rid of it */
		return;
	l->quiet_s = is_speech(l, p, dt) ? 0 : l->quiet_s + dt;
	if (l->quiet_s < HANG_S)
		learn(l, p, dt);
	if (to_db > 0 && (l->quiet_s >= NOISE_S ||
			  (l->quiet_s >= HOLD_S && l->envelope < QUIET_BELOW * l->level)))
		to_db = 0;
	l->applied = approach(before_db, to_db, OPEN_DB_S * dt, CLOSE_DB_S * dt);
	if (before_db == 0 && l->applied == 0 && l->peak.gain == 1)
		return;
	float from = powf(10, before_db / 20), to = powf(10, l->applied / 20);

	amplify(left, frames, from, to);
	if (right)
		amplify(right, frames, from, to);
	limiter_run_linked(&l->peak, left, right, frames);
}

float leveller_gain_db(const struct leveller *l)
{
	return l->gain_db;
}

bool leveller_voice(const struct leveller *l, struct leveller_voice *out)
{
	*out = (struct leveller_voice){l->level, l->heard_s, l->gain_db};
	return l->heard_s >= LEARN_S;
}

void leveller_resume(struct leveller *l, const struct leveller_voice *voice)
{
	l->level = voice->level;
	l->heard_s = voice->heard_s;
	l->gain_db = voice->gain_db;
	l->applied = voice->gain_db < 0 ? voice->gain_db : 0; /* as after a pause */
}
