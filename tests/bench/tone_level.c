/* SPDX-License-Identifier: MIT
 *
 * tone_level.c - is a tone in a recording, and how loud?
 *
 * usage: tone_level FILE.wav HZ [CHANNEL]
 *
 * Prints the largest amplitude (of 32768) that the tone has in any quarter of a second. Other than a
 * mean over the file this does not depend on when the tone began, nor on gaps elsewhere. For
 * recordings of arecord: PCM of 16 bit, 44-byte header.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	uint8_t h[44];
	unsigned channels, rate, channel;
	size_t n = 0, window, room = 0;
	int16_t *x = NULL, frame[8];
	double hz, best = 0;
	FILE *f;

	if (argc < 3 || !(f = fopen(argv[1], "r")) || fread(h, sizeof(h), 1, f) != 1 ||
	    memcmp(h, "RIFF", 4) != 0) {
		fprintf(stderr, "usage: tone_level FILE.wav HZ [CHANNEL]\n");
		return 2;
	}
	hz = atof(argv[2]);
	channel = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	channels = h[22];
	rate = h[24] | (unsigned)h[25] << 8 | (unsigned)h[26] << 16;
	if (channels < 1 || channels > 8 || channel >= channels || rate < 8000)
		return 2;
	while (fread(frame, 2, channels, f) == channels) {
		if (n == room) {
			int16_t *more = realloc(x, (room += 65536) * sizeof(*x));

			if (!more)
				return 2;
			x = more;
		}
		x[n++] = frame[channel];
	}
	fclose(f);
	window = rate / 4;
	for (size_t at = 0; at + window <= n; at += window / 4) {
		double re = 0, im = 0;

		for (size_t i = 0; i < window; i++) {
			double w = 1 - cos(2 * M_PI * (double)i / (double)window);

			re += w * x[at + i] * cos(2 * M_PI * hz * (double)i / rate);
			im += w * x[at + i] * sin(2 * M_PI * hz * (double)i / rate);
		}
		if (hypot(re, im) * 2 / (double)window > best)
			best = hypot(re, im) * 2 / (double)window;
	}
	printf("%.0f\n", best);
	free(x);
	return 0;
}
