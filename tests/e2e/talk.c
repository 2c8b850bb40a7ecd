/* SPDX-License-Identifier: MIT
 *
 * talk.c - see talk.h.
 */
#include "tests/e2e/talk.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_S           1.0
#define TELEPHONE_LOW_HZ  200
#define MICROPHONE_LOW_HZ 60

static bool make_side(struct world *w, int chirps, const char *path, const char *given,
		      const char *voice, const char *const *sentences, unsigned rate,
		      double low_hz, double *seconds)
{
	struct speech all = {.rate = rate}, s;

	speech_append_chirps(&all, chirps, TALK_CHIRP_MS);
	speech_append_silence(&all, 0.5);
	if (given && *given) {
		speech_read(&s, given, rate);
		speech_append(&all, &s);
		speech_free(&s);
	} else {
		for (; *sentences; sentences++) {
			if (!speech_make(&s, w->dir, voice, *sentences, -6, rate)) {
				speech_free(&all);
				return false;
			}
			speech_limit_low(&s, low_hz);
			speech_append(&all, &s);
			speech_append_silence(&all, PAUSE_S);
			speech_free(&s);
		}
	}
	if (wav_write(path, rate, all.samples, all.count))
		harness_failed("cannot write %s", path);
	*seconds = (double)all.count / rate;
	speech_free(&all);
	return true;
}

bool talk_make(struct talk *t, struct world *w, int chirps, const char *caller_given,
	       const char *const *caller_says, const char *member_given,
	       const char *const *member_says)
{
	double a, b;

	snprintf(t->caller_wav, sizeof(t->caller_wav), "%s/caller.wav", w->dir);
	snprintf(t->member_wav, sizeof(t->member_wav), "%s/member.wav", w->dir);
	snprintf(t->tap_wav, sizeof(t->tap_wav), "%s/tap.wav", w->dir);
	t->chirps = chirps;
	if (!make_side(w, chirps, t->caller_wav, caller_given, "en-us", caller_says, 8000,
		       TELEPHONE_LOW_HZ, &a) ||
	    !make_side(w, chirps, t->member_wav, member_given, "en-gb+f3", member_says, 48000,
		       MICROPHONE_LOW_HZ, &b))
		return false;
	t->seconds = a > b ? a : b;
	return true;
}

/* Mean level of the 20 ms frames that have speech in them. */
static double speech_level(const struct wav *t, double from_s)
{
	double sum = 0;
	size_t n = 0, step = t->rate / 50;

	for (size_t i = (size_t)(from_s * t->rate); i + step <= t->frames; i += step) {
		double rms = signal_rms_dbfs(t->samples + i, step);

		if (rms > -45) {
			sum += pow(10, rms / 10);
			n++;
		}
	}
	return n ? 10 * log10(sum / (double)n) : -200;
}

static void judge(struct talk_side *s, const struct track *said, const struct track *heard,
		  unsigned rate, double speech_from)
{
	memset(s, 0, sizeof(*s));
	s->there = (rate == 8000 ? measure_likeness_in_band(&s->like, said, heard, speech_from, 0)
				 : measure_likeness(&s->like, said, heard, rate, speech_from, 0)) &&
		   s->like.snr_db > 3;
	measure_delays(&s->delay, said, heard, TALK_CHIRP_MS);
	s->said_dbfs = speech_level(&said->wav, speech_from);
	s->heard_dbfs =
		speech_level(&heard->wav,
			     track_sample(heard,
					  track_time_ns(said, speech_from * said->wav.rate)) /
				     heard->wav.rate);
	s->gaps = measure_gaps(said, heard, speech_from, s->like.delay_s, &s->longest_gap_ms);
	if (!s->delay.count)
		s->there = false;
}

/* arecord's file has no times: it is placed by what it recorded. */
static void judge_tap(struct talk_result *r, const struct talk *t, const struct track *said,
		      double voice_from)
{
	struct wav tap;
	double skip = t->chirps * TALK_CHIRP_MS / 1000.0 + 0.4;
	size_t from = (size_t)((voice_from + skip) * said->wav.rate), n,
	       cut = (size_t)(skip * 48000);
	float *x;

	if (wav_read(&tap, t->tap_wav))
		harness_failed("arecord left no recording");
	if (from >= said->wav.frames || tap.frames <= cut)
		harness_failed("arecord stopped early");
	n = signal_resample(&x, said->wav.samples + from, said->wav.frames - from, said->wav.rate,
			    48000);
	r->tap_there =
		signal_compare(&r->tap, x, n, tap.samples + cut, tap.frames - cut, 48000, 3.0) &&
		r->tap.snr_db > 3;
	r->tap_dbfs = speech_level(&tap, skip + 0.3);
	free(x);
	wav_free(&tap);
}

void talk_run(struct world *w, const struct talk *t, const char *call, const char *member,
	      struct talk_result *r)
{
	struct process tap;
	struct track said, heard;
	int64_t begin;
	double speech_from = t->chirps * TALK_CHIRP_MS / 1000.0 + 0.3, voice_from;
	char stem[512];

	memset(r, 0, sizeof(*r));
	snprintf(stem, sizeof(stem), "%s/rec/%s.0", w->dir, call);
	unlink(t->tap_wav);
	simulator_forget(w->discord);
	simulator_ask(w->discord, "record", "\"member\":\"%s\",\"path\":\"%s/rec/%s\"", member,
		      w->dir, member);
	tool_start(w, &tap,
		   (const char *[]){"arecord", "-q", "-D", "phone", "-f", "S16_LE", "-r", "48000",
				    t->tap_wav, NULL});
	wait_file_size(t->tap_wav, 40000, 10000);
	begin = harness_now_ns();
	simulator_ask(w->phone, "voice", "\"call\":\"%s\",\"voice\":{\"wav\":\"%s\"}", call,
		      t->caller_wav);
	simulator_ask(
		w->discord, "speak",
		"\"member\":\"%s\",\"voice\":{\"wav\":\"%s\"},\"reference\":\"%s/rec/%s-said\"",
		member, t->member_wav, w->dir, member);
	harness_sleep_ms((int)(t->seconds * 1000) + 300);
	simulator_wait(w->discord, 20000, "member.quiet", "member", member, NULL);
	process_end(&tap, SIGINT, 3000);
	simulator_ask(w->phone, "flush", "\"call\":\"%s\"", call);
	simulator_ask(w->discord, "stop_record", "\"member\":\"%s\"", member);

	track_load(&said, stem, "said");
	voice_from = track_sample(&said, (double)begin) / said.wav.rate;
	if (voice_from < 0)
		voice_from = 0;
	{
		char path[600];

		snprintf(path, sizeof(path), "%s/rec/%s." BOT, w->dir, member);
		track_load(&heard, path, "packets");
		/* chirps of an earlier talk in the same call are not in this recording */
		judge(&r->out, &said, &heard, 48000, voice_from + speech_from);
		track_free(&heard);
		judge_tap(r, t, &said, voice_from);
		track_free(&said);
		snprintf(path, sizeof(path), "%s/rec/%s-said", w->dir, member);
		track_load(&said, path, "packets");
	}
	track_load(&heard, stem, "heard");
	judge(&r->in, &said, &heard, 8000, speech_from);
	track_free(&said);
	track_free(&heard);
}
