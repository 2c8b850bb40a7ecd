/* SPDX-License-Identifier: MIT
 *
 * g711.h - ITU-T G.711 mu-law, both ways.
 *
 * Linear samples are int16_t (the standard's 14 bit scale times four) or float
 * in [-1, 1) where 1.0 is 32768. Pure functions, any thread, no state.
 */
#ifndef BRIDGE_G711_H
#define BRIDGE_G711_H

#include <stddef.h>
#include <stdint.h>

#define G711_RATE_HZ      8000
#define G711_FRAME_BYTES  160  /* 20 ms, what Twilio sends in practice and what we send */
#define G711_ULAW_SILENCE 0xFF /* positive zero: what a silent line must carry */

/* Decodes one code (G.711 table 2b, times four): -32124 … 32124. */
int16_t g711_ulaw_decode(uint8_t code);

/*
 * Encodes one sample by the decision values of the standard (G.711 table 2a, times four); anything
 * beyond the outermost becomes the outermost code. 0 becomes 0xFF.
 */
uint8_t g711_ulaw_encode(int32_t sample);

/* The same for `n` samples of float; out and in must not overlap. NaN encodes as silence. */
void g711_ulaw_decode_float(float *out, const uint8_t *in, size_t n);
void g711_ulaw_encode_float(uint8_t *out, const float *in, size_t n);

#endif
