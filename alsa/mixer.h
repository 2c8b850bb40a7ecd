/* SPDX-License-Identifier: MIT
 *
 * mixer.h - sum of many, sum without one ("N-1"), and a limiter that neither clips nor pumps.
 *
 *	mixer_begin(m);
 *	for each party: mixer_add(m, party->block);
 *	mixer_sum(m, out); limiter_run(&bus->limiter, out, frames);
 *	for each party: mixer_sum_without(m, party->block, mine); limiter_run(&party->limiter, ...);
 *
 * The sum is held in 32-bit fixed point (full scale 2^22), where subtraction undoes addition
 * exactly: a party that is alone hears digital silence, and nobody ever hears a residue of himself.
 * Blocks are mono float in [-1, 1), any rate. One thread per object, no allocation after create.
 */
#ifndef ALSA_MIXER_H
#define ALSA_MIXER_H

#include <stdint.h>

struct mixer;

#define MIXER_MAX_PARTIES 120 /* more would overflow the sum at worst; adding them is ignored */

/* frames: length of each block (1 .. 5760). -EINVAL, -ENOMEM. */
int mixer_create(struct mixer **out, unsigned frames);
void mixer_destroy(struct mixer *m);

/* Starts a block: the sum is silence. */
void mixer_begin(struct mixer *m);

/* Adds a block. Samples beyond +-4.0 and NaN are bounded to that. */
void mixer_add(struct mixer *m, const float *in);

/* Number of blocks added since mixer_begin (0: the sum is digital silence). */
unsigned mixer_parties(const struct mixer *m);

/* The sum, unlimited (run a limiter over it). */
void mixer_sum(const struct mixer *m, float *out);

/* The sum without own, which must be a block added since mixer_begin, unchanged. */
void mixer_sum_without(const struct mixer *m, const float *own, float *out);

/*
 * Block-gain limiter, one per output. Gain is exactly 1.0 while nothing exceeds LIMITER_CEILING.
 * Where something does, the gain ramps down ahead of the first sample concerned, within the block;
 * no sample ever leaves above the ceiling. It comes back slowly (hold 50 ms, then 6 dB in half a
 * second), so that speech does not pump. No look-ahead, no delay. Meant for blocks of 5-20 ms.
 */
#define LIMITER_CEILING 0.985f

struct limiter {
	float gain;           /* now, (0, 1] */
	unsigned hold_frames; /* left before it may rise */
	unsigned rate;
};

void limiter_init(struct limiter *l, unsigned rate);
void limiter_run(struct limiter *l, float *block, unsigned frames);
/* Left and right under one gain, so that the image does not move. right NULL: as limiter_run(). */
void limiter_run_linked(struct limiter *l, float *left, float *right, unsigned frames);

#endif
