/* SPDX-License-Identifier: MIT
 *
 * ulaw.c - G.711 µ-law by search in the table of its reconstruction values, slow and plain:
 * nothing of the bit tricks of a production codec, so it can judge one.
 */
#include "tests/sim/audio.h"

#include <stdlib.h>

/* G.711 table 2a on its 14-bit scale: step j of segment g begins at ((32 + 2j) << g) - 33 and is
 * reconstructed as its middle, ((33 + 2j) << g) - 33. Samples here are four times that. */
static int step_begin(unsigned magnitude)
{
	return 4 * (int)(((32 + 2 * (magnitude & 15)) << (magnitude >> 4)) - 33);
}

static int step_middle(unsigned magnitude)
{
	return 4 * (int)(((33 + 2 * (magnitude & 15)) << (magnitude >> 4)) - 33);
}

int16_t sim_ulaw_decode(uint8_t code)
{
	unsigned inverted = (uint8_t)~code;
	int value = step_middle(inverted & 0x7f);

	return (int16_t)(inverted & 0x80 ? -value : value);
}

uint8_t sim_ulaw_encode(int16_t sample)
{
	int size = abs((int)sample);
	unsigned m = 127;

	while (m && step_begin(m) > size)
		m--;
	return (uint8_t)~(m | (sample < 0 ? 0x80 : 0));
}
