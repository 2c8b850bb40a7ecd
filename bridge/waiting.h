/* SPDX-License-Identifier: MIT
 *
 * waiting.h - what a caller hears while Discord is not connected: ring-back, silence, a WAV file,
 * or himself; and the notice tone before we hang up.
 *
 * The source is immutable and counted (each call keeps the one it came in with); the position in
 * it is the listener's. Filling neither allocates nor blocks.
 */
#ifndef BRIDGE_WAITING_H
#define BRIDGE_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct waiting;

enum waiting_kind {
	WAITING_SILENCE,
	WAITING_RING, /* 440 + 480 Hz, 2 s on, 4 s off (ITU-T E.180 supplement 2, North America) */
	WAITING_ECHO, /* the caller's own voice: made by the line, not here */
	WAITING_FILE, /* a WAV file, over and over */
};

/*
 * `text` is the value of WAITING: "echo", "ring", "silence", or the path of a WAV file: PCM of 8,
 * 16, 24 or 32 bits, float, or mu-law, any rate from 4 to 192 kHz, at most 16 channels (averaged)
 * and 10 minutes. Reads the file now (blocks). Returns 0, -errno, or -EINVAL with a sentence in
 * `why` (WAITING_WHY_BYTES) that says what is wrong with it.
 */
#define WAITING_WHY_BYTES 128
int waiting_create(struct waiting **out, const char *text, char why[WAITING_WHY_BYTES]);
struct waiting *waiting_ref(struct waiting *waiting);
void waiting_unref(struct waiting *waiting); /* NULL is fine */

enum waiting_kind waiting_kind(const struct waiting *waiting);

/* True if waiting_create(text) would make the same again: no need to read a long file anew. */
bool waiting_is_current(const struct waiting *waiting, const char *text);

/* Writes n frames at 48 kHz from *position on, and moves it. False: they are digital silence. */
bool waiting_fill(const struct waiting *waiting, uint64_t *position, float *out, unsigned n);

/* The notice: 480 + 620 Hz, 0.25 s on, 0.25 s off ("fast busy"). Same contract. */
bool notice_fill(uint64_t *position, float *out, unsigned n);

#endif
