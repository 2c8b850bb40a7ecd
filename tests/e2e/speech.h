/* SPDX-License-Identifier: MIT
 *
 * speech.h - spoken sentences as WAV files, made by espeak-ng when they are needed.
 */
#ifndef TESTS_E2E_SPEECH_H
#define TESTS_E2E_SPEECH_H

#include <stdbool.h>
#include <stddef.h>

struct speech {
	float *samples; /* mono, at `rate` */
	size_t count;
	unsigned rate;
};

/* voice: espeak-ng's, e.g. "en-us", "en-gb+f3". peak_dbfs: made that loud. False if espeak-ng is
 * not there or fails. dir: where its file may lie for a moment. */
bool speech_make(struct speech *s, const char *dir, const char *voice, const char *text,
		 double peak_dbfs, unsigned rate);
/* From a file; its level is kept. Fails by harness_failed(). */
void speech_read(struct speech *s, const char *path, unsigned rate);
/* Silence, and a sequence put together. */
void speech_append(struct speech *s, const struct speech *more);
void speech_append_silence(struct speech *s, double seconds);
/* count chirps (300-3400 Hz, 200 ms, one in every_ms, up and down in turns) for measuring delay */
void speech_append_chirps(struct speech *s, int count, int every_ms);
/* High pass as a telephone has one (ITU-T G.712): espeak-ng's voice wanders below 50 Hz, where no
 * telephone carries anything and Opus's own high pass (3 Hz) turns the phase. */
void speech_limit_low(struct speech *s, double cutoff_hz);
void speech_free(struct speech *s);

#endif
