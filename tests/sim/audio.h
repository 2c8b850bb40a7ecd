/* SPDX-License-Identifier: MIT
 *
 * audio.h - what the simulators need of sound: G.711 µ-law, WAV files, and voices (a file, tones,
 * chirps or noise). Written apart from the project's own audio code.
 */
#ifndef TESTS_SIM_AUDIO_H
#define TESTS_SIM_AUDIO_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- G.711 µ-law, from the decision values of ITU-T G.711 table 2a (14-bit scale × 4) ---- */
int16_t sim_ulaw_decode(uint8_t code);
uint8_t sim_ulaw_encode(int16_t sample);

/* ---- WAV, S16 little-endian ---- */

struct sim_wav {
	int rate, channels;
	size_t frames;
	int16_t *samples; /* interleaved */
};

/* Reads PCM16 RIFF/WAVE. Returns 0 or a negative errno. Free with sim_wav_clear(). */
int sim_wav_read(struct sim_wav *w, const char *path);
void sim_wav_clear(struct sim_wav *w);

struct sim_wav_writer;
int sim_wav_create(struct sim_wav_writer **out, const char *path, int rate, int channels);
void sim_wav_append(struct sim_wav_writer *w, const int16_t *samples, size_t frames);
/* Completes the header. */
int sim_wav_finish(struct sim_wav_writer *w);

/* ---- voices ---- */

/* A source of mono samples at one rate, made from a JSON spec (README.md "Voices"). */
struct sim_voice;

/* Returns 0 or a negative errno; *error says what is wrong with the spec (static text). */
int sim_voice_create(struct sim_voice **out, const cJSON *spec, int rate, const char **error);
void sim_voice_destroy(struct sim_voice *v);

/* The next n samples. Returns false once a voice that ends has ended (the rest is zero). */
bool sim_voice_read(struct sim_voice *v, int16_t *out, size_t n);

#endif
