/* SPDX-License-Identifier: MIT
 *
 * wav.h - a whole WAV file as mono float at one rate, for announcements. Not for the live path.
 */
#ifndef BRIDGE_WAV_H
#define BRIDGE_WAV_H

#include <stddef.h>

#define WAV_WHY_BYTES   128
#define WAV_MAX_SECONDS 600
#define WAV_MAX_BYTES   (256u << 20)

/*
 * Reads RIFF/WAVE (Microsoft "Multiple Channel Audio Data and WAVE Files", 2001): format tags 1
 * (PCM of 8, 16, 24, 32 bits), 3 (float of 32), 7 (mu-law) and 0xFFFE (those, extensible).
 * Channels are averaged; another rate is converted by windowed sinc. Returns 0 and malloc'ed
 * samples (at least one), -errno, or -EINVAL with a sentence in `why`.
 */
int wav_load(const char *path, unsigned rate, float **samples, size_t *count,
	     char why[WAV_WHY_BYTES]);
/* The same from memory. */
int wav_decode(const unsigned char *data, size_t len, unsigned rate, float **samples, size_t *count,
	       char why[WAV_WHY_BYTES]);

#endif
