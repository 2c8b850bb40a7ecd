/* SPDX-License-Identifier: MIT
 *
 * s16.h - what devices take and give: 16 bits, full scale at +-1.0.
 */
#ifndef ALSA_S16_H
#define ALSA_S16_H

#include <stddef.h>
#include <stdint.h>

/* Rounds to nearest, clips what is beyond full scale, makes 0 of NaN. */
void s16_from_float(int16_t *out, const float *in, size_t n);

#endif
