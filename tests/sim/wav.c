/* SPDX-License-Identifier: MIT
 *
 * wav.c - reading and writing 16-bit WAV files (see audio.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/audio.h"

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int sim_wav_read(struct sim_wav *w, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t head[12], chunk[8], fmt[16] = { 0 };
	int err = -EINVAL;

	memset(w, 0, sizeof(*w));
	if (!f)
		return -errno;
	if (fread(head, 1, 12, f) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
		goto out;
	while (fread(chunk, 1, 8, f) == 8) {
		uint32_t size = le32(chunk + 4);

		if (!memcmp(chunk, "fmt ", 4) && size >= 16) {
			if (fread(fmt, 1, 16, f) != 16 || fseek(f, (long)size - 16 + (size & 1), SEEK_CUR))
				goto out;
			w->channels = fmt[2];
			w->rate = (int)le32(fmt + 4);
			if (fmt[14] != 16 || w->channels < 1)
				goto out;
		} else if (!memcmp(chunk, "data", 4) && w->channels) {
			long here = ftell(f), end;

			/* Recorders that were cut off leave a size that is too large or zero. */
			fseek(f, 0, SEEK_END);
			end = ftell(f);
			fseek(f, here, SEEK_SET);
			if (size > (uint32_t)(end - here) || size == 0)
				size = (uint32_t)(end - here);
			w->frames = size / (2u * (unsigned)w->channels);
			w->samples = calloc(w->frames * (size_t)w->channels + 1, 2);
			if (!w->samples) {
				err = -ENOMEM;
				goto out;
			}
			if (fread(w->samples, 2 * (size_t)w->channels, w->frames, f) != w->frames)
				goto out;
			err = 0;
			goto out;
		} else if (fseek(f, (long)size + (size & 1), SEEK_CUR)) {
			goto out;
		}
	}
out:
	fclose(f);
	if (err)
		sim_wav_clear(w);
	return err;
}

void sim_wav_clear(struct sim_wav *w)
{
	free(w->samples);
	memset(w, 0, sizeof(*w));
}

struct sim_wav_writer {
	FILE *f;
	int rate, channels;
	uint32_t frames;
};

static void put_header(struct sim_wav_writer *w)
{
	uint32_t bytes = w->frames * 2 * (uint32_t)w->channels;
	uint8_t h[44] = "RIFF....WAVEfmt \x10\0\0\0\x01\0";
	uint32_t put[][2] = { { 4, bytes + 36 },
			      { 22, (uint32_t)w->channels },
			      { 24, (uint32_t)w->rate },
			      { 28, (uint32_t)(w->rate * 2 * w->channels) },
			      { 32, (uint32_t)(2 * w->channels) | 16u << 16 },
			      { 40, bytes } };

	for (size_t i = 0; i < sizeof(put) / sizeof(put[0]); i++)
		for (int b = 0; b < (put[i][0] == 22 ? 2 : 4); b++)
			h[put[i][0] + (uint32_t)b] = (uint8_t)(put[i][1] >> (8 * b));
	memcpy(h + 36, "data", 4);
	fwrite(h, 1, 44, w->f);
}

int sim_wav_create(struct sim_wav_writer **out, const char *path, int rate, int channels)
{
	struct sim_wav_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->f = fopen(path, "wb");
	if (!w->f) {
		int err = -errno;

		free(w);
		return err;
	}
	w->rate = rate;
	w->channels = channels;
	put_header(w);
	*out = w;
	return 0;
}

void sim_wav_append(struct sim_wav_writer *w, const int16_t *samples, size_t frames)
{
	if (frames == 0) /* of a stream that never was: there are no samples at all */
		return;
	w->frames += (uint32_t)fwrite(samples, 2 * (size_t)w->channels, frames, w->f);
}

int sim_wav_finish(struct sim_wav_writer *w)
{
	int err;

	if (!w)
		return 0;
	rewind(w->f);
	put_header(w);
	err = ferror(w->f) ? -EIO : 0;
	if (fclose(w->f) && !err)
		err = -errno;
	free(w);
	return err;
}
