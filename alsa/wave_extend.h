/* SPDX-License-Identifier: MIT
 *
 * wave_extend.h - goes on with a sound that has stopped coming: repeats its last pitch period,
 * fading out within 60 ms. What playout conceals losses of mu-law with, and what it cross-fades from at
 * every place where there is no real sound to fade from.
 *
 * Used by playout.c alone. One thread, no allocation after create.
 */
#ifndef ALSA_WAVE_EXTEND_H
#define ALSA_WAVE_EXTEND_H

#include <stdbool.h>

struct wave_extend;

/* rate: 8000 or 48000. -EINVAL, -ENOMEM. */
int wave_extend_create(struct wave_extend **out, unsigned rate);
void wave_extend_destroy(struct wave_extend *w);
void wave_extend_reset(struct wave_extend *w);

/* What was played: every sample, made up or not. */
void wave_extend_record(struct wave_extend *w, const float *x, unsigned frames);

/* Starts to continue what was recorded. */
void wave_extend_begin(struct wave_extend *w);

/* The next frames of the continuation. Zeros once it has faded out. Not recorded by itself. */
void wave_extend_next(struct wave_extend *w, float *out, unsigned frames);
bool wave_extend_faded(const struct wave_extend *w);

#endif
