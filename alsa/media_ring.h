/* SPDX-License-Identifier: MIT
 *
 * media_ring.h - samples by media time: a window that slides over an endless axis, and for each
 * sample whether it is missing, real, or made up. Used by playout.c alone. Fixed memory.
 */
#ifndef ALSA_MEDIA_RING_H
#define ALSA_MEDIA_RING_H

#include <stdbool.h>
#include <stdint.h>

struct media_ring;

enum { MEDIA_MISSING = 0, MEDIA_REAL = 1, MEDIA_MADE = 2 };

/* frames: window, a power of two; channels: what a frame has. -ENOMEM. */
int media_ring_create(struct media_ring **out, unsigned frames, unsigned channels);
void media_ring_destroy(struct media_ring *m);

/* Empties it; the window begins at media. */
void media_ring_reset(struct media_ring *m, int64_t media);

/* Slides the window forward so that it begins at media; never back. */
void media_ring_slide(struct media_ring *m, int64_t media);

/* First media time of the window, and the first beyond it. */
int64_t media_ring_begin(const struct media_ring *m);
int64_t media_ring_end(const struct media_ring *m);

/*
 * Stores what lies within the window at `from` or later. Real replaces missing and made; made
 * replaces only missing. Returns how many frames were stored. Channel c begins at x + c * frames.
 */
unsigned media_ring_put(struct media_ring *m, int64_t media, const float *x, unsigned frames,
			int64_t from, uint8_t kind);

/* Kind of the frame at media (MISSING outside the window) and how many, at most `most` and counting
 * that one, are of the same kind. */
unsigned media_ring_run(const struct media_ring *m, int64_t media, unsigned most, uint8_t *kind);

/* True if all frames are there (real or made). */
bool media_ring_has(const struct media_ring *m, int64_t media, unsigned frames);
/* True if all frames are there and real. */
bool media_ring_has_real(const struct media_ring *m, int64_t media, unsigned frames);

/* Copies frames of one channel; missing ones read as whatever is there: ask first. */
void media_ring_get(const struct media_ring *m, unsigned channel, int64_t media, float *x,
		    unsigned frames);

#endif
