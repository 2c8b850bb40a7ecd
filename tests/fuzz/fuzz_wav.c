/* SPDX-License-Identifier: MIT
 *
 * fuzz_wav.c - any bytes as a WAV file.
 */
#include <math.h>
#include <stdlib.h>

#include "bridge/wav.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[WAV_WHY_BYTES];
	float *samples;
	size_t count;

	if (wav_decode(data, size, 48000, &samples, &count, why)) {
		if (samples || !why[0])
			abort();
		return 0;
	}
	if (count == 0)
		abort();
	for (size_t i = 0; i < count; i++)
		if (!(fabsf(samples[i]) < 4))
			abort();
	free(samples);
	return 0;
}
