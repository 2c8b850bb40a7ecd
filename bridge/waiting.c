/* SPDX-License-Identifier: MIT
 *
 * waiting.c - see waiting.h.
 */
#include "bridge/waiting.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bridge/wav.h"

#define RATE 48000
/*
 * -19 dBm0 a tone at the network's interface (ITU-T Q.35 allows -15 .. -25); 0 dBm0 is 3.17 dB
 * below full scale in mu-law.
 */
#define TONE_LEVEL    0.0779f
#define EDGE_FRAMES   240 /* 5 ms raised-cosine edges: no click */

struct waiting {
	_Atomic int references; /* writers and readers: whoever holds one */
	enum waiting_kind kind;
	char *text;     /* as it was asked for */
	float *samples; /* of a file, 48 kHz */
	size_t count;
	struct stat file; /* as it was when it was read */
};

int waiting_create(struct waiting **out, const char *text, char why[WAITING_WHY_BYTES])
{
	struct waiting *w = calloc(1, sizeof(*w));
	int err = 0;

	why[0] = '\0';
	*out = NULL;
	if (!w)
		return -ENOMEM;
	atomic_init(&w->references, 1);
	w->text = strdup(text);
	if (!w->text)
		err = -ENOMEM;
	else if (strcmp(text, "silence") == 0)
		w->kind = WAITING_SILENCE;
	else if (strcmp(text, "ring") == 0)
		w->kind = WAITING_RING;
	else if (strcmp(text, "echo") == 0)
		w->kind = WAITING_ECHO;
	else {
		w->kind = WAITING_FILE;
		if (stat(text, &w->file) < 0)
			memset(&w->file, 0, sizeof(w->file)); /* reading it will say why */
		err = wav_load(text, RATE, &w->samples, &w->count, why);
	}
	if (err) {
		waiting_unref(w);
		return err;
	}
	*out = w;
	return 0;
}

struct waiting *waiting_ref(struct waiting *w)
{
	atomic_fetch_add(&w->references, 1);
	return w;
}

void waiting_unref(struct waiting *w)
{
	if (!w || atomic_fetch_sub(&w->references, 1) != 1)
		return;
	free(w->samples);
	free(w->text);
	free(w);
}

bool waiting_is_current(const struct waiting *w, const char *text)
{
	struct stat now;

	if (strcmp(w->text, text) != 0)
		return false;
	if (w->kind != WAITING_FILE)
		return true;
	return stat(text, &now) == 0 && now.st_dev == w->file.st_dev && now.st_ino == w->file.st_ino &&
	       now.st_size == w->file.st_size && now.st_mtim.tv_sec == w->file.st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == w->file.st_mtim.tv_nsec;
}

enum waiting_kind waiting_kind(const struct waiting *w)
{
	return w->kind;
}

/* Two tones with a cadence of on_frames in period_frames. */
static bool tone_fill(uint64_t *position, float *out, unsigned n, double low_hz, double high_hz,
		      unsigned on_frames, unsigned period_frames)
{
	bool sound = false;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (unsigned)((*position + i) % period_frames);
		float gain = TONE_LEVEL;

		if (at >= on_frames) {
			out[i] = 0;
			continue;
		}
		if (at < EDGE_FRAMES)
			gain *= 0.5f - 0.5f * cosf((float)M_PI * (float)at / EDGE_FRAMES);
		else if (at >= on_frames - EDGE_FRAMES)
			gain *= 0.5f - 0.5f * cosf((float)M_PI * (float)(on_frames - at) / EDGE_FRAMES);
		/* from the start of the burst, so that the argument stays small */
		double t = (double)at / RATE * 2 * M_PI;

		out[i] = gain * (float)(sin(low_hz * t) + sin(high_hz * t));
		sound = true;
	}
	*position += n;
	return sound;
}

static bool file_fill(const struct waiting *w, uint64_t *position, float *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = w->samples[(*position + i) % w->count];
	*position += n;
	return true;
}

bool waiting_fill(const struct waiting *w, uint64_t *position, float *out, unsigned n)
{
	switch (w->kind) {
	case WAITING_RING:
		return tone_fill(position, out, n, 440, 480, 2 * RATE, 6 * RATE);
	case WAITING_FILE:
		return file_fill(w, position, out, n);
	case WAITING_SILENCE:
	case WAITING_ECHO:
		break;
	}
	memset(out, 0, n * sizeof(*out));
	*position += n;
	return false;
}

bool notice_fill(uint64_t *position, float *out, unsigned n)
{
	return tone_fill(position, out, n, 480, 620, RATE / 4, RATE / 2);
}
