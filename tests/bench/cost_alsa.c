/* SPDX-License-Identifier: MIT
 *
 * cost_alsa.c - does one piece of sound processing N times (20 ms of sound each) and nothing else:
 * run.sh runs it under callgrind with two different N and takes the difference.
 *
 * usage: cost_alsa list | cost_alsa NAME N
 * `list` prints NAME, what it is, and the goal in thousands of instructions per 20 ms.
 */
#include "alsa/level.h"
#include "alsa/leveller.h"
#include "alsa/mixer.h"
#include "alsa/playout.h"
#include "alsa/resampler.h"

#include <math.h>
#include <opus/opus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float x[6000], out[6000];

static void convert(unsigned in, unsigned to, double ppm, int n)
{
	struct resampler *r;
	if (resampler_create(&r, in, to, to / 200) != 0)
		exit(1);
	for (int i = 0; i < 4 * n; i++) {
		resampler_set_ppm(r, ppm ? ppm + (i & 1) : 0);
		(void)resampler_needs(r, to / 200);
		resampler_pull(r, x, out, to / 200);
	}
	resampler_destroy(r);
}

static void play(unsigned rate, int n)
{
	struct playout *p;
	struct playout_config c = {.rate = rate};
	int64_t t = INT64_C(1000000000);
	if (playout_create(&p, &c) != 0)
		exit(1);
	for (int k = 0; k < n; k++) {
		playout_put(p, (int64_t)k * (rate / 50), x, rate / 50, t);
		for (int j = 0; j < 4; j++) {
			t += 5000000;
			playout_pull(p, t, out, 240);
		}
	}
	playout_destroy(p);
}

static void mix(int n)
{
	struct mixer *m;
	struct limiter l[11];
	if (mixer_create(&m, 240) != 0)
		exit(1);
	for (int i = 0; i < 11; i++)
		limiter_init(&l[i], 48000);
	for (int k = 0; k < 4 * n; k++) {
		mixer_begin(m);
		for (int i = 0; i < 10; i++)
			mixer_add(m, x + 300 * i);
		mixer_sum(m, out);
		limiter_run(&l[10], out, 240);
		for (int i = 0; i < 10; i++) {
			mixer_sum_without(m, x + 300 * i, out);
			limiter_run(&l[i], out, 240);
		}
	}
	mixer_destroy(m);
}

static void band(int n)
{
	struct level_band b;
	level_band_init(&b);
	for (int k = 0; k < 4 * n; k++)
		level_band_run(&b, x, 240);
}

static void level_voice(int n)
{
	struct leveller l;
	leveller_init(&l, -26);
	for (int k = 0; k < 4 * n; k++) {
		memcpy(out, x, 240 * sizeof *x);
		if (k % 40 > 30) /* a gap between syllables: otherwise it is no speech */
			memset(out, 0, 240 * sizeof *x);
		leveller_run(&l, out, NULL, 240);
	}
}

static void encode(int n)
{
	int err;
	unsigned char packet[1500];
	OpusEncoder *e = opus_encoder_create(48000, 1, OPUS_APPLICATION_RESTRICTED_LOWDELAY, &err);
	opus_encoder_ctl(e, OPUS_SET_BITRATE(64000));
	opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(5));
	opus_encoder_ctl(e, OPUS_SET_MAX_BANDWIDTH(OPUS_BANDWIDTH_NARROWBAND));
	for (int k = 0; k < n; k++) {
		if (opus_encode_float(e, x + k % 50 * 97, 960, packet, sizeof packet) <= 0)
			exit(1);
	}
	opus_encoder_destroy(e);
}

static const struct {
	const char *name, *what;
	double goal_k; /* floor of the reference measurement x 1.3; 0: none, for orientation */
} pieces[] = {
	{"up", "resampler 8 -> 48 kHz, 32 taps, nominal ratio", 80 * 1.3},
	{"up-bent", "resampler 8 -> 48 kHz, 32 taps, ratio moving", 80 * 1.3},
	{"down", "resampler 48 -> 8 kHz, 32 taps, nominal ratio", 65 * 1.3},
	{"down-bent", "resampler 48 -> 8 kHz, 32 taps, ratio moving", 65 * 1.3},
	{"same-bent", "resampler 48 -> 48 kHz, 32 taps, ratio moving", 0},
	{"play-8", "playout of a caller, all of it (buffer, clock, 8 -> 48)", 0},
	{"play-48", "playout of a speaker, all of it (buffer, clock, 48 -> 48)", 0},
	{"mix", "10 parties, sum and ten N-1, eleven limiters", 0},
	{"band", "is it wider than a telephone", 0},
	{"speech", "levelling of one voice (SPEECH_LEVEL)", 0},
	{"opus", "Opus encoder as we set it (the yardstick)", 463 * 1.3},
};
#define PIECES (sizeof pieces / sizeof *pieces)

int main(int argc, char **argv)
{
	for (int i = 0; i < 6000; i++)
		x[i] = (float)(0.2 * sin(i * 0.09) + 0.05 * sin(i * 0.31));
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (size_t i = 0; i < PIECES; i++)
			printf("%s\t%s\t%.0f\n", pieces[i].name, pieces[i].what, pieces[i].goal_k);
		return 0;
	}
	if (argc != 3)
		return 2;
	const char *what = argv[1];
	int n = atoi(argv[2]);
	if (strcmp(what, "up") == 0)
		convert(8000, 48000, 0, n);
	else if (strcmp(what, "up-bent") == 0)
		convert(8000, 48000, 200, n);
	else if (strcmp(what, "down") == 0)
		convert(48000, 8000, 0, n);
	else if (strcmp(what, "down-bent") == 0)
		convert(48000, 8000, 200, n);
	else if (strcmp(what, "same-bent") == 0)
		convert(48000, 48000, 200, n);
	else if (strcmp(what, "play-8") == 0)
		play(8000, n);
	else if (strcmp(what, "play-48") == 0)
		play(48000, n);
	else if (strcmp(what, "mix") == 0)
		mix(n);
	else if (strcmp(what, "band") == 0)
		band(n);
	else if (strcmp(what, "speech") == 0)
		level_voice(n);
	else if (strcmp(what, "opus") == 0)
		encode(n);
	else
		return 2;
	return 0;
}
