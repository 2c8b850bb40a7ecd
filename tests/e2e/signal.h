/* SPDX-License-Identifier: MIT
 *
 * signal.h - what a recording sounds like, in figures. Shares no code with the rooms it judges.
 *
 * Signals are float mono in [-1, 1), 1.0 = 32768. Everything here is offline: it may allocate and
 * take its time. The thresholds are those of the design (section "The sandbox").
 */
#ifndef TESTS_E2E_SIGNAL_H
#define TESTS_E2E_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- WAV ---------------------------------------------------------------------------------- */

struct wav {
	unsigned rate;     /* Hz */
	unsigned channels; /* as in the file */
	size_t frames;
	float *samples;    /* mono: channels averaged; free by wav_free */
};

/* Reads RIFF/WAVE: PCM of 16 bit, or mu-law. A data chunk that is longer than the
 * file (a recorder that was killed) is cut at the file's end. Negative errno; -EBADMSG: not one. */
int wav_read(struct wav *out, const char *path);
/* One of its channels, from 0; -1: their mean. */
int wav_read_channel(struct wav *out, const char *path, int channel);
void wav_free(struct wav *w);

/* Writes mono PCM 16 bit. Negative errno. */
int wav_write(const char *path, unsigned rate, const float *samples, size_t frames);
int wav_write_stereo(const char *path, unsigned rate, const float *left, const float *right,
		     size_t frames);

/* ---- making signals ------------------------------------------------------------------------ */

double signal_db(double amplitude_ratio); /* 20 log10, -200 at 0 */
double signal_rms_dbfs(const float *x, size_t n);
double signal_peak_dbfs(const float *x, size_t n);

/* A sine of peak dbfs. phase in radians at x[0]. */
void signal_tone(float *x, size_t n, unsigned rate, double hz, double dbfs, double phase);

/* The chirp of delay measurements: from_hz to to_hz linearly, n samples, raised-cosine edges of
 * 10 ms, peak dbfs. Falling chirps (from > to) and rising ones do not correlate: alternate. */
void signal_chirp(float *x, size_t n, unsigned rate, double from_hz, double to_hz, double dbfs);

/* Something like a voice: harmonics of a gliding pitch under formants, in syllables with pauses
 * between, nothing above 3.4 kHz, peak about -6 dBFS. seed: another voice saying something else. */
void signal_voice(float *x, size_t n, unsigned rate, unsigned seed);

/* ---- tones: present, absent --------------------------------------------------------------- */

/* Peak level (dBFS) of the component at hz over x (Goertzel, Hann window; 5 s are usual). */
double signal_tone_dbfs(const float *x, size_t n, unsigned rate, double hz);

/* Absent: at least 50 dB below the wanted tone. */
#define SIGNAL_ABSENT_DB 50.0
bool signal_absent(const float *x, size_t n, unsigned rate, double hz, double wanted_hz);

/* ---- gaps in a tone ------------------------------------------------------------------------ */

/*
 * A sine (its frequency, near hz, is found first) is fitted over 10 ms and foretells the next 1 ms;
 * where the residual against what was foretold stays above -25 dB of the tone for more than 2 ms,
 * there is a gap. A splice is one as well, though tone follows tone; its length is then 1 ms. hz must be no multiple of 50 Hz (a 20 ms frame spliced out of
 * 1 kHz leaves no trace): 1013 Hz is usual. A pitch bent by 0.1 % is not a gap.
 */
#define SIGNAL_GAP_DB -25.0
#define SIGNAL_GAP_MS 2.0

struct signal_gap {
	double at_s, length_s;
	double residual_db; /* worst within */
};

struct signal_gaps {
	size_t count;
	double total_s;             /* all gaps together: time without the tone */
	double share;               /* of the signal's length, 0..1 */
	double hz;                  /* frequency found */
	double level_dbfs;          /* peak level of the tone */
	double residual_db;         /* of the whole outside gaps: -THD+N */
	struct signal_gap first[256]; /* the first gaps */
};

void signal_find_gaps(struct signal_gaps *out, const float *x, size_t n, unsigned rate, double hz);

/* ---- likeness ------------------------------------------------------------------------------ */

/*
 * Compares heard with reference (same rate). A coarse delay is found by cross-correlation over
 * 0 .. max_delay_s (heard later than reference); then, per 200 ms segment, delay and
 * gain are fitted (the grid is 1/64 sample at 48 kHz), and signal and error are summed over all segments, so that loud segments count
 * most. Segments of the reference below -50 dBFS are left out. The delay of each segment is the
 * delay track; its slope shows drift and its standard deviation wobble.
 */
struct signal_likeness {
	double snr_db;
	double gain;            /* energy-weighted mean */
	double delay_s;         /* energy-weighted mean of the track */
	double delay_sd_s;      /* of the track */
	double delay_min_s, delay_max_s;
	double slope_ms_per_min;
	size_t segments;        /* compared */
	double worst_snr_db;    /* of a single segment */
};

/* false if nothing could be compared (all silent, too short). */
bool signal_compare(struct signal_likeness *out, const float *reference, size_t reference_n,
		    const float *heard, size_t heard_n, unsigned rate, double max_delay_s);

/* ---- delay by chirps ------------------------------------------------------------------------ */

/* A hit counts if the normalised correlation peak is at least this. */
#define SIGNAL_CHIRP_MIN 0.8

/*
 * Where in heard, searched from sample `from` to `to`, the chirp begins: samples, fractional
 * (the correlation is interpolated). peak gets the normalised correlation (may be NULL). Negative if the
 * peak is below SIGNAL_CHIRP_MIN.
 */
double signal_find_chirp(const float *heard, size_t n, size_t from, size_t to, const float *chirp,
			 size_t chirp_n, double *peak);

/* Statistics over a list of figures: percentile (0..100) by linear interpolation; slope per unit
 * of t by least squares. percentile sorts v. */
double signal_percentile(double *v, size_t n, double percent);
double signal_slope(const double *t, const double *v, size_t n);

/* ---- reference conversions ------------------------------------------------------------------- */

/*
 * Offline windowed-sinc conversion between 8000 and 48000 (or equal rates) far better than what is
 * judged: 512 taps at the lower rate, Kaiser, > 120 dB, no delay (output sample k is input time
 * k / out_rate). *out is allocated; returns its length, 0 when out of memory.
 */
size_t signal_resample(float **out, const float *x, size_t n, unsigned in_rate, unsigned out_rate);

/* G.711 mu-law by the book (bias, segments), for making reference material. */
uint8_t signal_ulaw_encode(float x);
float signal_ulaw_decode(uint8_t code);

#endif
