/* SPDX-License-Identifier: MIT
 *
 * wav.c - see wav.h.
 */
#include "bridge/wav.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/g711.h"
#include "common/bytes.h"

#define TAG_PCM        1
#define TAG_FLOAT      3
#define TAG_MULAW      7
#define TAG_EXTENSIBLE 0xFFFE
#define MAX_CHANNELS   16
#define MIN_RATE       4000
#define MAX_RATE       192000
#define HALF_TAPS      32 /* of the conversion filter, at the lower rate */
#define KERNEL_POINTS  16384

struct format {
	unsigned tag, channels, rate, bits;
};

static int complain(char why[WAV_WHY_BYTES], const char *text)
{
	snprintf(why, WAV_WHY_BYTES, "%s", text);
	return -EINVAL;
}

static int read_format(struct format *f, const unsigned char *chunk, size_t len,
		       char why[WAV_WHY_BYTES])
{
	if (len < 16)
		return complain(why, "its fmt chunk is too short");
	f->tag = get_le16(chunk);
	f->channels = get_le16(chunk + 2);
	f->rate = get_le32(chunk + 4);
	f->bits = get_le16(chunk + 14);
	if (f->tag == TAG_EXTENSIBLE) {
		if (len < 26)
			return complain(why, "its extensible format is too short");
		f->tag = get_le16(chunk + 24); /* the first bytes of the sub-format's GUID */
	}
	if (f->channels < 1 || f->channels > MAX_CHANNELS)
		return complain(why, "it has no channels, or too many");
	if (f->rate < MIN_RATE || f->rate > MAX_RATE)
		return complain(why, "its rate is not 4000 to 192000 Hz");
	if (!(f->tag == TAG_PCM &&
	      (f->bits == 8 || f->bits == 16 || f->bits == 24 || f->bits == 32)) &&
	    !(f->tag == TAG_FLOAT && f->bits == 32) && !(f->tag == TAG_MULAW && f->bits == 8))
		return complain(why, "its coding is not PCM, 32 bit float or mu-law");
	return 0;
}

static float read_sample(const struct format *f, const unsigned char *p)
{
	float value;
	uint32_t bits;

	if (f->tag == TAG_MULAW)
		return (float)g711_ulaw_decode(*p) / 32768.0f;
	if (f->tag == TAG_FLOAT) {
		bits = get_le32(p);
		memcpy(&value, &bits, sizeof(value));
		return isfinite(value) ? fminf(fmaxf(value, -1), 1) : 0;
	}
	switch (f->bits) {
	case 8: /* the one that is unsigned */
		return (float)(*p - 128) / 128.0f;
	case 16:
		return (float)(int16_t)get_le16(p) / 32768.0f;
	case 24:
		return (float)(int32_t)((uint32_t)get_le16(p) << 8 | (uint32_t)p[2] << 24) /
		       2147483648.0f;
	default:
		return (float)(int32_t)get_le32(p) / 2147483648.0f;
	}
}

static float *mix_down(const struct format *f, const unsigned char *data, size_t frames)
{
	size_t step = f->bits / 8;
	float *out = malloc(frames * sizeof(*out));

	if (!out)
		return NULL;
	for (size_t i = 0; i < frames; i++) {
		float sum = 0;

		for (unsigned c = 0; c < f->channels; c++, data += step)
			sum += read_sample(f, data);
		out[i] = sum / (float)f->channels;
	}
	return out;
}

/* One side of a windowed sinc (Blackman), finely sampled; x in [0, 1) of its half width. */
static float *make_kernel(double cut)
{
	float *kernel = malloc((KERNEL_POINTS + 2) * sizeof(*kernel));

	for (int i = 0; kernel && i < KERNEL_POINTS + 2; i++) {
		double w = (double)i / KERNEL_POINTS, x = w * HALF_TAPS; /* in input samples * cut */
		double window = w < 1 ? 0.42 + 0.5 * cos(M_PI * w) + 0.08 * cos(2 * M_PI * w) : 0;

		kernel[i] = (float)(cut * window * (x == 0 ? 1 : sin(M_PI * x) / (M_PI * x)));
	}
	return kernel;
}

/* Any pair of rates; about 70 multiplications a sample, once a file. */
static float *convert(const float *in, size_t in_count, unsigned in_rate, unsigned out_rate,
		      size_t *out_count)
{
	double ratio = (double)in_rate / out_rate;
	double cut = ratio > 1 ? 1 / ratio : 1; /* of the input's own bandwidth */
	double half = HALF_TAPS / cut;
	size_t count = (size_t)((double)in_count / ratio);
	float *kernel = make_kernel(cut), *out;

	count = count ? count : 1;
	out = kernel ? malloc(count * sizeof(*out)) : NULL;
	for (size_t i = 0; out && i < count; i++) {
		double center = (double)i * ratio;
		long from = (long)ceil(center - half), to = (long)floor(center + half);
		float sum = 0;

		from = from < 0 ? 0 : from;
		to = to < (long)in_count ? to : (long)in_count - 1;
		for (long k = from; k <= to; k++) {
			float x = (float)(fabs(center - (double)k) / half * KERNEL_POINTS);
			unsigned point = (unsigned)x;

			if (point <= KERNEL_POINTS)
				sum += in[k] * (kernel[point] + (x - (float)point) *
								 (kernel[point + 1] - kernel[point]));
		}
		out[i] = sum;
	}
	free(kernel);
	*out_count = count;
	return out;
}

int wav_decode(const unsigned char *data, size_t len, unsigned rate, float **samples, size_t *count,
	       char why[WAV_WHY_BYTES])
{
	struct format format = {0};
	const unsigned char *sound = NULL;
	size_t sound_len = 0, at = 12;

	*samples = NULL;
	*count = 0;
	why[0] = '\0';
	if (len < 12 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WAVE", 4) != 0)
		return complain(why, "it is no WAV file");
	while (len - at >= 8 && !sound) {
		size_t size = get_le32(data + at + 4), rest = len - at - 8;

		/* a file that was cut off, or streamed, promises more than there is */
		if (size > rest)
			size = rest;
		if (memcmp(data + at, "fmt ", 4) == 0) {
			int err = read_format(&format, data + at + 8, size, why);

			if (err)
				return err;
		} else if (memcmp(data + at, "data", 4) == 0) {
			sound = data + at + 8;
			sound_len = size;
		}
		size += size & 1; /* chunks are padded to an even length */
		at += 8 + (size > rest ? rest : size);
	}
	if (!sound || format.channels == 0)
		return complain(why, "it has no sound, or none after its format");

	size_t frames = sound_len / (format.bits / 8 * format.channels);

	if (frames == 0)
		return complain(why, "it has no sound");
	if (frames > (size_t)format.rate * WAV_MAX_SECONDS)
		return complain(why, "it is longer than 10 minutes");
	*samples = mix_down(&format, sound, frames);
	*count = frames;
	if (*samples && format.rate != rate) {
		float *converted = convert(*samples, frames, format.rate, rate, count);

		free(*samples);
		*samples = converted;
	}
	return *samples ? 0 : -ENOMEM;
}

int wav_load(const char *path, unsigned rate, float **samples, size_t *count,
	     char why[WAV_WHY_BYTES])
{
	FILE *file = fopen(path, "re");
	unsigned char *data = NULL;
	long len;
	int err = 0;

	*samples = NULL;
	*count = 0;
	why[0] = '\0';
	if (!file || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0) {
		err = -errno;
		snprintf(why, WAV_WHY_BYTES, "%s", strerror(errno));
		goto out;
	}
	if ((unsigned long)len > WAV_MAX_BYTES) {
		err = complain(why, "it is too big");
		goto out;
	}
	rewind(file);
	data = malloc((size_t)len + 1);
	if (!data) {
		err = -ENOMEM;
		goto out;
	}
	err = wav_decode(data, fread(data, 1, (size_t)len, file), rate, samples, count, why);
out:
	if (file)
		fclose(file);
	free(data);
	return err;
}
