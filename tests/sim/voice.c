/* SPDX-License-Identifier: MIT
 *
 * voice.c - what callers and members say: files, tones, chirps, noise (see audio.h).
 *
 * A WAV of another rate is resampled once, at creation, by a long windowed sinc in double
 * precision: slow and far better than anything it will be used to judge.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/audio.h"
#include "tests/sim/control.h"

#define TONES_MAX 8

enum kind { SILENCE, WAV, TONES, CHIRPS, NOISE };

struct sim_voice {
	enum kind kind;
	int rate;
	bool loop;
	uint64_t pos, end; /* in samples; end 0 = never */
	int16_t *samples;
	size_t count;
	int tones;
	double hz[TONES_MAX], amp[TONES_MAX];
	double chirp_from, chirp_to, chirp_s, chirp_every_s, chirp_amp;
	uint64_t seed;
	double noise_amp;
};

static double sinc_window(double x, double half)
{
	double t = x / half;

	if (fabs(t) >= 1)
		return 0;
	return (x == 0 ? 1 : sin(M_PI * x) / (M_PI * x)) *
	       (0.42 + 0.5 * cos(M_PI * t) + 0.08 * cos(2 * M_PI * t));
}

static int16_t clip16(double v)
{
	v = rint(v);
	return (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
}

static int resampled(struct sim_voice *v, const struct sim_wav *w)
{
	double ratio = (double)w->rate / v->rate;
	double cut = ratio > 1 ? 0.97 / ratio : 0.97; /* of the input's Nyquist */
	double half = 96 / cut;
	double *mono = malloc((w->frames + 1) * sizeof(*mono));

	v->count = (size_t)((double)w->frames / ratio);
	v->samples = calloc(v->count + 1, sizeof(*v->samples));
	if (!mono || !v->samples) {
		free(mono);
		return -ENOMEM;
	}
	for (size_t i = 0; i < w->frames; i++) {
		mono[i] = 0;
		for (int c = 0; c < w->channels; c++)
			mono[i] += w->samples[i * (size_t)w->channels + (size_t)c];
		mono[i] /= w->channels;
	}
	for (size_t i = 0; i < v->count; i++) {
		double at = (double)i * ratio, sum = 0;
		long first = (long)ceil(at - half), last = (long)floor(at + half);

		if (w->rate == v->rate) {
			v->samples[i] = clip16(mono[i]);
			continue;
		}
		for (long k = first < 0 ? 0 : first; k <= last && k < (long)w->frames; k++)
			sum += mono[k] * cut * sinc_window(((double)k - at) * cut, half * cut);
		v->samples[i] = clip16(sum);
	}
	free(mono);
	return 0;
}

static double amplitude(double dbfs)
{
	return 32768 * pow(10, dbfs / 20);
}

int sim_voice_create(struct sim_voice **out, const cJSON *spec, int rate, const char **error)
{
	struct sim_voice *v = calloc(1, sizeof(*v));
	const cJSON *item;
	double limit;

	*error = "no memory for the voice";
	if (!v)
		return -ENOMEM;
	v->rate = rate;
	v->loop = sim_flag(spec, "loop", false);
	limit = sim_num(spec, "seconds", 0);
	v->end = limit > 0 ? (uint64_t)llrint(limit * rate) : 0;
	if (!spec || cJSON_IsNull(spec) || sim_flag(spec, "silence", false)) {
		v->kind = SILENCE;
	} else if (sim_str(spec, "wav", NULL)) {
		struct sim_wav w;

		v->kind = WAV;
		*error = "cannot read the voice's WAV file (16-bit PCM)";
		if (sim_wav_read(&w, sim_str(spec, "wav", "")))
			goto fail;
		if (resampled(v, &w)) {
			sim_wav_clear(&w);
			goto fail;
		}
		sim_wav_clear(&w);
		if (!v->loop && !v->end)
			v->end = v->count;
	} else if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(spec, "tone"))) {
		v->kind = TONES;
		v->tones = 1;
		v->hz[0] = sim_num(spec, "tone", 0);
		v->amp[0] = amplitude(sim_num(spec, "dbfs", -15));
	} else if ((item = cJSON_GetObjectItemCaseSensitive(spec, "tones"))) {
		const cJSON *t;

		v->kind = TONES;
		cJSON_ArrayForEach(t, item)
		{
			*error = "too many tones in the voice";
			if (v->tones == TONES_MAX)
				goto fail;
			v->hz[v->tones] = sim_num(t, "hz", 1000);
			v->amp[v->tones++] = amplitude(sim_num(t, "dbfs", -15));
		}
	} else if ((item = cJSON_GetObjectItemCaseSensitive(spec, "chirp"))) {
		v->kind = CHIRPS;
		v->chirp_from = sim_num(item, "from", 300);
		v->chirp_to = sim_num(item, "to", 3400);
		v->chirp_s = sim_num(item, "ms", 200) / 1000;
		v->chirp_every_s = sim_num(item, "every_ms", 1500) / 1000;
		v->chirp_amp = amplitude(sim_num(item, "dbfs", -9));
		*error = "a chirp must be shorter than its interval";
		if (v->chirp_s <= 0 || v->chirp_s > v->chirp_every_s)
			goto fail;
	} else if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(spec, "noise"))) {
		v->kind = NOISE;
		v->noise_amp = amplitude(sim_num(spec, "noise", -20)) * sqrt(3); /* RMS level */
		v->seed = (uint64_t)sim_num(spec, "seed", 1);
	} else {
		*error = "unknown kind of voice";
		goto fail;
	}
	*out = v;
	return 0;
fail:
	sim_voice_destroy(v);
	return -EINVAL;
}

void sim_voice_destroy(struct sim_voice *v)
{
	if (!v)
		return;
	free(v->samples);
	free(v);
}

/* Linear sweep with raised-cosine edges of 5 ms; every other one runs downwards, so that the
 * correlation with one cannot be taken for its neighbour. */
static double chirp_at(const struct sim_voice *v, double t)
{
	double n = floor(t / v->chirp_every_s), edge = 0.005, gain = 1;
	bool down = (uint64_t)n & 1;
	double f0 = down ? v->chirp_to : v->chirp_from, f1 = down ? v->chirp_from : v->chirp_to;

	t -= n * v->chirp_every_s;
	if (t >= v->chirp_s)
		return 0;
	if (t < edge)
		gain = 0.5 - 0.5 * cos(M_PI * t / edge);
	else if (v->chirp_s - t < edge)
		gain = 0.5 - 0.5 * cos(M_PI * (v->chirp_s - t) / edge);
	return gain * v->chirp_amp *
	       sin(2 * M_PI * (f0 * t + (f1 - f0) * t * t / (2 * v->chirp_s)));
}

static double uniform(struct sim_voice *v)
{
	v->seed = v->seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(v->seed >> 11) / 4503599627370496.0 - 1;
}

static double sample_at(struct sim_voice *v, uint64_t pos)
{
	double t = (double)pos / v->rate, sum = 0;

	switch (v->kind) {
	case WAV:
		if (!v->count)
			return 0;
		if (v->loop)
			pos %= v->count;
		return pos < v->count ? v->samples[pos] : 0;
	case TONES:
		for (int i = 0; i < v->tones; i++)
			sum += v->amp[i] * sin(2 * M_PI * fmod(v->hz[i] * t, 1));
		return sum;
	case CHIRPS:
		return chirp_at(v, t);
	case NOISE:
		return v->noise_amp * uniform(v);
	default:
		return 0;
	}
}

bool sim_voice_read(struct sim_voice *v, int16_t *out, size_t n)
{
	size_t i = 0;

	for (; i < n && (!v->end || v->pos < v->end); i++, v->pos++)
		out[i] = clip16(sample_at(v, v->pos));
	memset(out + i, 0, (n - i) * sizeof(*out));
	return i == n;
}
