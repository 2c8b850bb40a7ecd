/* SPDX-License-Identifier: MIT
 *
 * signal.c - see signal.h: levels, tones, gaps, statistics, reference conversions. Likeness and
 * delays, which need correlation, are in correlate.c.
 */
#include "signal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- WAV ---------------------------------------------------------------------------------- */

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint8_t *read_whole(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	uint8_t *data = NULL;
	size_t room = 0, n = 0;
	for (;;) {
		if (n == room) {
			room = room ? room * 2 : 1 << 16;
			uint8_t *more = realloc(data, room);
			if (!more) {
				free(data);
				fclose(f);
				errno = ENOMEM;
				return NULL;
			}
			data = more;
		}
		size_t got = fread(data + n, 1, room - n, f);
		if (got == 0)
			break;
		n += got;
	}
	fclose(f);
	*size = n;
	return data;
}

int wav_read(struct wav *out, const char *path)
{
	return wav_read_channel(out, path, -1);
}

int wav_read_channel(struct wav *out, const char *path, int channel)
{
	size_t size;
	int err = -EBADMSG;
	unsigned format = 0, bits = 0;

	memset(out, 0, sizeof *out);
	uint8_t *file = read_whole(path, &size);
	if (!file)
		return -errno;
	if (size < 12 || memcmp(file, "RIFF", 4) != 0 || memcmp(file + 8, "WAVE", 4) != 0)
		goto out;
	for (size_t at = 12; at + 8 <= size;) {
		const uint8_t *chunk = file + at;
		size_t length = le32(chunk + 4), have = size - at - 8;
		if (memcmp(chunk, "fmt ", 4) == 0 && length >= 16 && have >= 16) {
			format = le16(chunk + 8);
			out->channels = le16(chunk + 10);
			out->rate = le32(chunk + 12);
			bits = le16(chunk + 22);
			if (format == 0xFFFE && have >= 26) /* extensible: the real one is in its GUID */
				format = le16(chunk + 32);
		} else if (memcmp(chunk, "data", 4) == 0) {
			bool ulaw = format == 7 && bits == 8;
			if ((!ulaw && !(format == 1 && bits == 16)) || out->channels == 0 || out->rate == 0)
				goto out;
			if (length > have)
				length = have;
			if (channel >= (int)out->channels)
				goto out;
			size_t each = bits / 8, frames = length / each / out->channels;
			out->samples = malloc((frames ? frames : 1) * sizeof *out->samples);
			if (!out->samples) {
				err = -ENOMEM;
				goto out;
			}
			const uint8_t *p = chunk + 8;
			for (size_t i = 0; i < frames; i++) {
				float sum = 0, one = 0;
				for (unsigned c = 0; c < out->channels; c++, p += each) {
					float v = ulaw ? signal_ulaw_decode(*p) : (float)(int16_t)le16(p) / 32768.0f;
					sum += v;
					if ((int)c == channel)
						one = v;
				}
				out->samples[i] = channel < 0 ? sum / (float)out->channels : one;
			}
			out->frames = frames;
			err = 0;
			goto out;
		}
		if (length > have)
			break;
		at += 8 + length + (length & 1);
	}
out:
	free(file);
	if (err)
		wav_free(out);
	return err;
}

void wav_free(struct wav *w)
{
	free(w->samples);
	memset(w, 0, sizeof *w);
}

static void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static int wav_write_channels(const char *path, unsigned rate, const float *const *sides,
			      unsigned channels, size_t frames)
{
	uint8_t header[44] = "RIFF....WAVEfmt ";
	FILE *f = fopen(path, "wb");
	if (!f)
		return -errno;
	put_le32(header + 4, (uint32_t)(36 + frames * channels * 2));
	put_le32(header + 16, 16);
	put_le32(header + 20, 1 | channels << 16); /* PCM */
	put_le32(header + 24, rate);
	put_le32(header + 28, rate * channels * 2);
	put_le32(header + 32, channels * 2 | 16 << 16);
	memcpy(header + 36, "data", 4);
	put_le32(header + 40, (uint32_t)(frames * channels * 2));
	bool ok = fwrite(header, sizeof header, 1, f) == 1;
	for (size_t i = 0; i < frames * channels && ok; i++) {
		float v = sides[i % channels][i / channels] * 32768.0f;
		v = v > 32767 ? 32767 : v < -32768 ? -32768 : v;
		int16_t s = (int16_t)lrintf(v);
		uint8_t b[2] = {(uint8_t)s, (uint8_t)((uint16_t)s >> 8)};
		ok = fwrite(b, 2, 1, f) == 1;
	}
	ok = fclose(f) == 0 && ok;
	return ok ? 0 : -EIO;
}

int wav_write(const char *path, unsigned rate, const float *samples, size_t frames)
{
	return wav_write_channels(path, rate, &samples, 1, frames);
}

int wav_write_stereo(const char *path, unsigned rate, const float *left, const float *right,
		     size_t frames)
{
	return wav_write_channels(path, rate, (const float *const[]){left, right}, 2, frames);
}

/* ---- making signals ------------------------------------------------------------------------ */

double signal_db(double ratio)
{
	return ratio > 1e-10 ? 20 * log10(ratio) : -200;
}

double signal_rms_dbfs(const float *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return signal_db(n ? sqrt(sum / (double)n) : 0);
}

double signal_peak_dbfs(const float *x, size_t n)
{
	double peak = 0;
	for (size_t i = 0; i < n; i++)
		peak = fabsf(x[i]) > peak ? fabsf(x[i]) : peak;
	return signal_db(peak);
}

void signal_tone(float *x, size_t n, unsigned rate, double hz, double dbfs, double phase)
{
	double a = pow(10, dbfs / 20), w = 2 * M_PI * hz / rate;
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(a * sin(w * (double)i + phase));
}

void signal_chirp(float *x, size_t n, unsigned rate, double from_hz, double to_hz, double dbfs)
{
	double a = pow(10, dbfs / 20), edge = rate * 0.01;
	for (size_t i = 0; i < n; i++) {
		double t = (double)i / rate, length = (double)n / rate;
		double phase = 2 * M_PI * (from_hz * t + (to_hz - from_hz) * t * t / (2 * length));
		double away = (double)(i < n - 1 - i ? i : n - 1 - i);
		double shape = away < edge ? 0.5 - 0.5 * cos(M_PI * (away + 0.5) / edge) : 1;
		x[i] = (float)(a * shape * sin(phase));
	}
}

void signal_voice(float *x, size_t n, unsigned rate, unsigned seed)
{
	double phase = 0, base = 95 + seed % 7 * 17;
	for (size_t i = 0; i < n; i++) {
		double t = (double)i / rate, v = 0;
		double hz = base * (1 + 0.2 * sin(1.9 * t + seed) + 0.05 * sin(7.1 * t));
		double syllable = sin(2 * M_PI * 2.3 * t + 0.7 * sin(1.3 * t + seed));
		phase += 2 * M_PI * hz / rate;
		if (syllable > 0) {
			double f1 = 550 + 250 * sin(3.1 * t + seed), f2 = 1600 + 500 * sin(2.3 * t);
			for (int h = 1; h * hz < 3400; h++) {
				double f = h * hz;
				double a = exp(-pow((f - f1) / 250, 2)) + 0.5 * exp(-pow((f - f2) / 300, 2)) +
					   0.2 * exp(-pow((f - 2900) / 300, 2));
				if (a > 1e-3)
					v += a * sin(h * phase + 0.9 * h * h); /* or all would peak at once */
			}
		}
		x[i] = (float)(0.11 * v * (syllable > 0 ? syllable : 0));
	}
}

/* ---- tones --------------------------------------------------------------------------------- */

double signal_tone_dbfs(const float *x, size_t n, unsigned rate, double hz)
{
	double re = 0, im = 0, sum = 0, w = 2 * M_PI * hz / rate;
	for (size_t i = 0; i < n; i++) {
		double hann = 0.5 - 0.5 * cos(2 * M_PI * ((double)i + 0.5) / (double)n);
		re += hann * x[i] * cos(w * (double)i);
		im += hann * x[i] * sin(w * (double)i);
		sum += hann;
	}
	return signal_db(n ? 2 * sqrt(re * re + im * im) / sum : 0);
}

bool signal_absent(const float *x, size_t n, unsigned rate, double hz, double wanted_hz)
{
	return signal_tone_dbfs(x, n, rate, hz) + SIGNAL_ABSENT_DB <= signal_tone_dbfs(x, n, rate, wanted_hz);
}

/* ---- gaps ---------------------------------------------------------------------------------- */

/* Short enough that a pitch bent by 0.1 % (a playout that trims its delay) fits: -29 dB. */
#define FIT_MS 10

/*
 * A sine of known frequency through the `window` samples before t (or after t + step): fitted by
 * least squares, then foretold for the step samples that follow (or come before).
 */
struct teller {
	unsigned window, step;
	double *c, *s;     /* cosine and sine from -window to +step */
	double i11, i12, i22; /* inverse of the normal matrix */
};

static bool teller_make(struct teller *t, unsigned rate, double hz)
{
	t->window = rate * FIT_MS / 1000;
	t->step = rate / 1000;
	unsigned n = t->window + t->step;
	t->c = malloc(2 * n * sizeof *t->c);
	if (!t->c)
		return false;
	t->s = t->c + n;
	double cc = 0, cs = 0, ss = 0, w = 2 * M_PI * hz / rate;
	for (unsigned i = 0; i < n; i++) {
		t->c[i] = cos(w * i);
		t->s[i] = sin(w * i);
		if (i < t->window) {
			cc += t->c[i] * t->c[i];
			cs += t->c[i] * t->s[i];
			ss += t->s[i] * t->s[i];
		}
	}
	double det = cc * ss - cs * cs;
	t->i11 = ss / det;
	t->i12 = -cs / det;
	t->i22 = cc / det;
	return true;
}

/* dir +1: window starts at x, its prophecy follows it; -1: all mirrored, going down from x. */
static void teller_fit(const struct teller *t, const float *x, int dir, double *a, double *b)
{
	double xc = 0, xs = 0;
	for (unsigned i = 0; i < t->window; i++) {
		double v = x[dir * (int)i];
		xc += v * t->c[i];
		xs += v * t->s[i];
	}
	*a = t->i11 * xc + t->i12 * xs;
	*b = t->i12 * xc + t->i22 * xs;
}

/* residual energy of the step after the window; silence foretold from silence is no tone */
static double teller_miss(const struct teller *t, const float *x, int dir, double a, double b,
			  double least)
{
	double miss = 0;
	if (a * a + b * b < least * least)
		return 1e30;
	for (unsigned i = t->window; i < t->window + t->step; i++) {
		double d = x[dir * (int)i] - a * t->c[i] - b * t->s[i];
		miss += d * d;
	}
	return miss;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return n ? v[n / 2] : 0;
}

/* The frequency near hz and the amplitude: medians over the steps between successive windows. */
static bool find_tone(const float *x, size_t n, unsigned rate, double hz, double *found, double *amplitude)
{
	struct teller t;
	if (!teller_make(&t, rate, hz))
		return false;
	size_t windows = n / t.window;
	double *steps = malloc(2 * (windows + 1) * sizeof *steps), *sizes = steps + windows + 1;
	if (!steps) {
		free(t.c);
		return false;
	}
	double before = 0;
	size_t count = 0;
	for (size_t k = 0; k < windows; k++) {
		double a, b;
		teller_fit(&t, x + k * t.window, 1, &a, &b);
		double phase = atan2(-b, a); /* a cos - (-b) sin = r cos(wt + phase) */
		if (k) {
			double d = phase - before - 2 * M_PI * hz / rate * t.window;
			steps[count] = remainder(d, 2 * M_PI);
			sizes[count++] = sqrt(a * a + b * b);
		}
		before = phase;
	}
	*found = hz + median(steps, count) / (2 * M_PI) * rate / t.window;
	*amplitude = median(sizes, count);
	free(steps);
	free(t.c);
	return count > 0;
}

void signal_find_gaps(struct signal_gaps *out, const float *x, size_t n, unsigned rate, double hz)
{
	struct teller t;
	double amplitude = 0;

	memset(out, 0, sizeof *out);
	out->hz = hz;
	out->level_dbfs = -200;
	out->residual_db = 0;
	if (n < rate / 10 || !find_tone(x, n, rate, hz, &out->hz, &amplitude) ||
	    !teller_make(&t, rate, out->hz))
		return;
	out->level_dbfs = signal_db(amplitude);
	double limit = amplitude * amplitude / 2 * t.step * pow(10, SIGNAL_GAP_DB / 10);
	double rest = 0, tone = 0;
	unsigned worst_steps = (unsigned)SIGNAL_GAP_MS;
	size_t run = 0, run_at = 0;
	double run_true = 0, run_worst = 0;
	double held_a = 0, held_b = 0; /* the last sine before the gap, and where its window began */
	size_t held_at = 0;

	for (size_t at = t.window; at + t.step <= n; at += t.step) {
		double a, b, miss, miss_back = 1e30;
		teller_fit(&t, x + at - t.window, 1, &a, &b);
		miss = teller_miss(&t, x + at - t.window, 1, a, b, amplitude / 2);
		if (run) { /* the window has the gap in it: does the sine from before it fit again? */
			double turn = 2 * M_PI * out->hz / rate * (double)(at - t.window - held_at);
			double va = held_a * cos(turn) + held_b * sin(turn);
			double vb = held_b * cos(turn) - held_a * sin(turn);
			double held = teller_miss(&t, x + at - t.window, 1, va, vb, amplitude / 2);
			miss = held < miss ? held : miss;
		} else if (miss <= limit) {
			held_a = a;
			held_b = b;
			held_at = at - t.window;
		}
		bool bad = miss > limit;
		if (bad) {
			if (run++ == 0) {
				run_at = at;
				run_true = run_worst = 0;
			}
			/* What is explained by what follows is tone again: it only does not fit on to what
			 * was before. It does not count towards the length, but the gap is one. */
			if (at + t.step + t.window <= n) {
				teller_fit(&t, x + at + t.step + t.window - 1, -1, &a, &b);
				miss_back = teller_miss(&t, x + at + t.step + t.window - 1, -1, a, b, amplitude / 2);
			}
			if (miss_back > limit)
				run_true += 1e-3;
			double db = miss < 1e29 ? 10 * log10(miss / limit + 1e-30) + SIGNAL_GAP_DB : 0;
			run_worst = db > run_worst || run == 1 ? db : run_worst;
		}
		bool last = at + 2 * t.step > n;
		if ((!bad || last) && run) {
			if (run > worst_steps) {
				double length = run_true > 1e-3 ? run_true : 1e-3;
				if (out->count < sizeof out->first / sizeof *out->first)
					out->first[out->count] =
						(struct signal_gap){(double)run_at / rate, length, run_worst};
				out->count++;
				out->total_s += length;
			}
			run = 0;
		}
		if (!bad) {
			rest += miss;
			tone += amplitude * amplitude / 2 * t.step;
		}
	}
	out->share = out->total_s * rate / (double)n;
	out->residual_db = tone > 0 ? 10 * log10(rest / tone + 1e-30) : 0;
	free(t.c);
}

/* ---- statistics ----------------------------------------------------------------------------- */

double signal_percentile(double *v, size_t n, double percent)
{
	if (n == 0)
		return NAN;
	qsort(v, n, sizeof *v, by_value);
	double at = percent / 100 * (double)(n - 1);
	size_t i = (size_t)at;
	if (i + 1 >= n)
		return v[n - 1];
	return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

double signal_slope(const double *t, const double *v, size_t n)
{
	double mt = 0, mv = 0, tt = 0, tv = 0;
	for (size_t i = 0; i < n; i++) {
		mt += t[i];
		mv += v[i];
	}
	mt /= (double)(n ? n : 1);
	mv /= (double)(n ? n : 1);
	for (size_t i = 0; i < n; i++) {
		tt += (t[i] - mt) * (t[i] - mt);
		tv += (t[i] - mt) * (v[i] - mv);
	}
	return tt > 0 ? tv / tt : 0;
}

/* ---- reference conversions ------------------------------------------------------------------- */

static double bessel_i0(double x)
{
	double sum = 1, term = 1;
	for (int k = 1; k < 80; k++) {
		term *= (x / 2 / k) * (x / 2 / k);
		sum += term;
	}
	return sum;
}

size_t signal_resample(float **out, const float *x, size_t n, unsigned in_rate, unsigned out_rate)
{
	/* out sample k stands at input time k * in / out; the kernel spans 512 samples of the lower rate */
	unsigned low = in_rate < out_rate ? in_rate : out_rate;
	unsigned phases = out_rate > in_rate ? out_rate / in_rate : 1;
	unsigned stride = out_rate > in_rate ? 1 : in_rate / out_rate;
	int half = (int)(256 * (in_rate / low));
	double beta = 12.3, cutoff = (low / 2.0 - low * 0.0078) / in_rate; /* 120 dB below half the rate */
	size_t made = n * phases / stride;

	*out = malloc((made ? made : 1) * sizeof **out);
	if (!*out)
		return 0;
	if (in_rate == out_rate) {
		memcpy(*out, x, n * sizeof *x);
		return n;
	}
	double *kernel = malloc((size_t)phases * 2 * (size_t)half * sizeof *kernel);
	if (!kernel) {
		free(*out);
		*out = NULL;
		return 0;
	}
	for (unsigned p = 0; p < phases; p++) {
		for (int i = 0; i < 2 * half; i++) {
			double d = i - half + 1 - (double)p / phases, u = d / half;
			double s = fabs(d) < 1e-12 ? 2 * cutoff : sin(2 * M_PI * cutoff * d) / (M_PI * d);
			kernel[p * 2 * (unsigned)half + (unsigned)i] =
				fabs(u) < 1 ? s * bessel_i0(beta * sqrt(1 - u * u)) / bessel_i0(beta) : 0;
		}
	}
	for (size_t k = 0; k < made; k++) {
		long at = (long)(k / phases * stride) - half + 1;
		const double *row = kernel + (k % phases) * 2 * (unsigned)half;
		double sum = 0;
		int from = at < 0 ? (int)-at : 0;
		int to = at + 2 * half > (long)n ? (int)((long)n - at) : 2 * half;
		for (int i = from; i < to; i++)
			sum += x[at + i] * row[i];
		(*out)[k] = (float)sum;
	}
	free(kernel);
	return made;
}

/* ---- G.711 ----------------------------------------------------------------------------------- */

float signal_ulaw_decode(uint8_t code)
{
	code = (uint8_t)~code;
	int magnitude = (((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7);
	magnitude -= 0x84;
	return (float)(code & 0x80 ? -magnitude : magnitude) / 32768.0f;
}

uint8_t signal_ulaw_encode(float x)
{
	/* in the 14-bit domain of the recommendation, times 4: the nearest decision by segment */
	int v = (int)lrintf(x * 32768.0f), sign = 0;
	if (v < 0) {
		sign = 0x80;
		v = -v;
	}
	v = (v > 32635 ? 32635 : v) + 0x84;
	int segment = 7;
	while (segment > 0 && !(v & 0x4000 >> (7 - segment)))
		segment--;
	return (uint8_t)~(sign | segment << 4 | (v >> (segment + 3) & 0x0F));
}
