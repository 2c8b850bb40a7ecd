/* SPDX-License-Identifier: MIT
 *
 * bench_conceal.c - a speaker of the voice channel under loss and disorder, against Opus' own decoder
 * that is handed the same packets in order and conceals what is lost the moment it is lost: nobody
 * can do better with this decoder. And a caller under loss, whose waveform is continued by us.
 */
#include "alsa/playout.h"
#include "discord/speaker.h"
#include "report.h"
#include "tests/e2e/signal.h"

#include <math.h>
#include <opus/opus.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 70
#define PACKETS (SECONDS * 50)
#define FRAME   960
#define WARM    20 /* s, until the delay has settled */

static float said[PACKETS * FRAME], clean[PACKETS * FRAME], opus_own[PACKETS * FRAME];
static float ours[PACKETS * FRAME + 48000];
static struct {
	unsigned char data[600];
	int bytes;
	bool lost;
	double arrival;
} packets[PACKETS];

static uint64_t seed;

static double uniform(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static void encode(void)
{
	int err;
	OpusEncoder *e = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, &err);
	opus_encoder_ctl(e, OPUS_SET_BITRATE(64000));
	float *voice = malloc(PACKETS * 160 * sizeof *voice), *wide;
	if (!voice)
		exit(1);
	signal_voice(voice, PACKETS * 160, 8000, 3);
	if (signal_resample(&wide, voice, PACKETS * 160, 8000, 48000) != PACKETS * FRAME)
		exit(1);
	memcpy(said, wide, sizeof said);
	free(wide);
	free(voice);
	for (int i = 0; i < PACKETS; i++) {
		packets[i].bytes =
			opus_encode_float(e, said + i * FRAME, FRAME, packets[i].data, sizeof packets[i].data);
		if (packets[i].bytes <= 0)
			exit(1);
	}
	opus_encoder_destroy(e);
}

static void decode(float *out, bool with_losses)
{
	int err;
	OpusDecoder *d = opus_decoder_create(48000, 1, &err);
	for (int i = 0; i < PACKETS; i++) {
		bool lost = with_losses && packets[i].lost;
		if (opus_decode_float(d, lost ? NULL : packets[i].data, lost ? 0 : packets[i].bytes,
				      out + i * FRAME, FRAME, 0) != FRAME)
			exit(1);
	}
	opus_decoder_destroy(d);
}

struct weather {
	const char *name;
	double loss;
	int burst; /* packets lost in a row */
	double reorder, duplicate;
	double late; /* packets that come 13 ms after their turn */
};

/* Everything that arrives, in order of arrival, through the speaker. */
static void through_speaker(const struct weather *w, struct speaker_stats *stats, double *longest_ms)
{
	struct speaker *s;
	int64_t t0 = INT64_C(1000000000000);
	if (speaker_create(&s, &(struct speaker_config){.channels = 1}) != 0)
		exit(1);
	speaker_assign(s, 4711);
	*longest_ms = 0;
	int first = 0;
	for (int k = 0; k < (SECONDS + 1) * 200 - 8; k++) {
		double now = k * 0.005;
		/* packets within half a second of now, by arrival; duplicates follow 3 ms later */
		for (double from = now - 0.005;;) {
			int next = -1;
			double when = now;
			bool again = false;
			while (first < PACKETS && first * 0.02 < now - 1)
				first++;
			for (int i = first; i < PACKETS && i * 0.02 < now + 0.1; i++) {
				if (packets[i].lost)
					continue;
				if (packets[i].arrival > from && packets[i].arrival <= when) {
					when = packets[i].arrival;
					next = i;
					again = false;
				}
				double twice = packets[i].arrival + 0.003;
				if (i % 20 < 20 * w->duplicate && twice > from && twice <= when) {
					when = twice;
					next = i;
					again = true;
				}
			}
			if (next < 0)
				break;
			(void)again;
			speaker_packet(s, (uint16_t)(next + 60000), (uint32_t)(next * FRAME + 77), packets[next].data,
				       (size_t)packets[next].bytes, t0 + (int64_t)(when * 1e9));
			from = when;
		}
		speaker_pull(s, t0 + (int64_t)(now * 1e9), ours + k * 240, 240);
		speaker_stats(s, stats);
		if (now > WARM)
			*longest_ms = fmax(*longest_ms, (double)stats->playout.delay_ns * 1e-6);
	}
	speaker_destroy(s);
}

/* share of audible 20 ms blocks whose level is off by more than 3 dB */
static double off_level(const float *r, const float *x, int n)
{
	int all = 0, off = 0;
	for (int i = 0; i + FRAME <= n; i += FRAME) {
		double a = signal_rms_dbfs(r + i, FRAME), b = signal_rms_dbfs(x + i, FRAME);
		if (a < -40)
			continue;
		all++;
		off += fabs(a - b) > 3;
	}
	return 100.0 * off / (all ? all : 1);
}

static void weather(const struct weather *w)
{
	struct speaker_stats stats;
	struct signal_likeness own, mine;
	double longest;
	char group[64];

	seed = 20240607;
	for (int i = 0; i < PACKETS; i++)
		packets[i].lost = false;
	for (int i = 0; i < PACKETS; i++) {
		if (i > 10 && uniform() < w->loss / w->burst) {
			for (int b = 0; b < w->burst && i + b < PACKETS; b++)
				packets[i + b].lost = true;
		}
		packets[i].arrival = i * 0.02 + 0.0001 + 0.002 * uniform();
		if (uniform() < w->reorder)
			packets[i].arrival += 0.025;
		if (w->late > 0 && uniform() < w->late)
			packets[i].arrival += 0.013;
	}
	decode(opus_own, true);
	through_speaker(w, &stats, &longest);
	snprintf(group, sizeof group, "RTP: %s", w->name);
	int from = WARM * 48000, n = (SECONDS - WARM - 1) * 48000;
	if (!signal_compare(&own, clean + from, (size_t)n, opus_own + from, (size_t)n + 4800, 48000, 0.1) ||
	    !signal_compare(&mine, clean + from, (size_t)n, ours + from, (size_t)n + 24000, 48000, 0.2))
		exit(1);
	int delay = (int)lrint(mine.delay_s * 48000);
	double off_own = off_level(clean + from, opus_own + from, n);
	double off_mine = off_level(clean + from, ours + from + delay, n);
	if (w->loss > 0) {
		BENCH_ROW(group, mine.snr_db, "dB", "Opus' own - 1", mine.snr_db >= own.snr_db - 1,
			  "SNR against lossless decoding (Opus' own concealment: %.1f)", own.snr_db);
		BENCH_ROW(group, off_mine, "%", "Opus' own + 0.5", off_mine <= off_own + 0.5,
			  "20 ms blocks off in level by > 3 dB (Opus' own: %.2f)", off_own);
	} else {
		BENCH_ROW(group, mine.snr_db, "dB", ">= 40", mine.snr_db >= 40, "SNR against lossless decoding");
		BENCH_ROW(group, off_mine, "%", "0", off_mine == 0, "20 ms blocks off in level by > 3 dB");
	}
	BENCH_ROW(group, longest, "ms", "<= 121", longest <= 121, "longest playout delay");
	BENCH_NOTE(group, mine.delay_sd_s * 1e3, "ms", "delay track, standard deviation");
	BENCH_NOTE(group, (double)stats.playout.concealed / 48, "ms", "made up in %d s", SECONDS);
}

/* ---- a caller: mu-law, waveform concealment ------------------------------------------------------ */

/* One call; *snr_db and *off (in per cent) of it. */
static void caller_run(double loss, unsigned which, double *snr_db, double *off)
{
	enum { N = 8000 * SECONDS };
	static float x[N], heard[N * 6];
	struct playout *p;
	struct playout_config c = {.rate = 8000};
	int64_t t0 = INT64_C(1000000000000);
	float *reference;

	seed = 31337 + which;
	signal_voice(x, N, 8000, 5 + which);
	if (playout_create(&p, &c) != 0)
		exit(1);
	for (int k = 0; k < SECONDS * 200; k++) {
		int64_t now = t0 + (int64_t)k * 5000000;
		if (k % 4 == 0 && (k < 2000 || uniform() >= loss))
			playout_put(p, k / 4 * 160, x + k / 4 * 160, 160, now);
		playout_pull(p, now, heard + k * 240, 240);
	}
	size_t rn = signal_resample(&reference, x, N, 8000, 48000);
	struct signal_likeness l;
	int from = WARM * 48000, n = (int)rn - from - 48000;
	if (!signal_compare(&l, reference + from, (size_t)n, heard + from, (size_t)n + 24000, 48000, 0.2))
		exit(1);
	int delay = (int)lrint(l.delay_s * 48000);
	*off = off_level(reference + from, heard + from + delay, n);
	*snr_db = l.snr_db;
	free(reference);
	playout_destroy(p);
}

/* Several calls: at 1 % one has but a score of losses. */
static void caller(double loss)
{
	enum { CALLS = 4 };
	double snr_db = 0, off = 0, one_db, one;
	char group[64];

	for (unsigned i = 0; i < CALLS; i++) {
		caller_run(loss, i, &one_db, &one);
		snr_db += one_db / CALLS;
		off += one / CALLS;
	}
	snprintf(group, sizeof group, "Twilio: %.0f %% of the frames missing", loss * 100);
	BENCH_NOTE(group, snr_db, "dB", "SNR against what was said");
	/* zero stuffing would put every lost frame off in level: loss * 100 % */
	BENCH_ROW(group, off, "%", "< half the loss", off < loss * 50, "20 ms blocks off in level by > 3 dB");
}

int main(void)
{
	static const struct weather weathers[] = {
		{"clean", .burst = 1},
		{"5 % reordered, 5 % twice", .burst = 1, .reorder = 0.05, .duplicate = 0.05},
		{"0.5 % late by 13 ms", .burst = 1, .late = 0.005},
		{"1 % lost", .loss = 0.01, .burst = 1},
		{"5 % lost", .loss = 0.05, .burst = 1},
		{"20 % lost", .loss = 0.20, .burst = 1},
		{"bursts of 60 ms, 3 %", .loss = 0.03, .burst = 3},
		{"5 % lost, 5 % reordered, 5 % twice", .loss = 0.05, .burst = 1, .reorder = 0.05, .duplicate = 0.05},
	};
	encode();
	decode(clean, false);
	for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
		weather(&weathers[i]);
	caller(0.01);
	caller(0.05);
	return 0;
}
