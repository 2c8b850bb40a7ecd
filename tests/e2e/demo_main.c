/* SPDX-License-Identifier: MIT
 *
 * demo - a phone call into a voice channel, from end to end, in the sandbox (`make demo`).
 *
 * usage: demo OUT_DIR    environment: CALLER, CHANNEL (WAV files instead of made speech), LIVE=1
 * Ends with 0 if both directions were there, SNR was 25 dB or better and gaps 0.5 % or less.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/harness.h"
#include "tests/e2e/measure.h"
#include "tests/e2e/speech.h"

#define CHIRPS 16
#define CHIRP_EVERY_MS 500
#define SNR_MIN 25.0
#define GAPS_MAX 0.005

static struct world w;
static int64_t began_ns;
static volatile sig_atomic_t interrupted;

struct direction {
	const char *name;
	bool there;
	struct signal_likeness like;
	struct delays delay;
	double said_dbfs, heard_dbfs, gaps, longest_gap_ms;
};

struct results {
	struct direction out, in; /* phone to Discord, Discord to phone */
	bool tap_there;
	struct signal_likeness tap;
	double tap_dbfs;
};

static void failed(const char *text)
{
	/* once is enough: cleaning up may fail as well */
	harness_on_failure = NULL;
	fprintf(stderr, "\nThe demo failed: %s\n", text);
	world_show_logs(&w);
	if (w.bridge.pid)
		kill(w.bridge.pid, SIGKILL);
	if (w.bot.pid)
		kill(w.bot.pid, SIGKILL);
	fprintf(stderr, "logs and recordings are in %s\n", w.dir);
	_exit(1);
}

static void progress(const char *text)
{
	printf("%6.1f s  %s\n", (double)(harness_now_ns() - began_ns) / 1e9, text);
	fflush(stdout);
}

static void on_interrupt(int sig)
{
	interrupted = 1;
}

/* What a side says: chirps for the measuring, then its speech. */
static void make_voice(struct speech *all, const char *path, const char *given, const char *voice,
		       const char *const *sentences, double pause_s, unsigned rate)
{
	*all = (struct speech){ .rate = rate };
	speech_append_chirps(all, CHIRPS, CHIRP_EVERY_MS);
	speech_append_silence(all, 0.5);
	if (given && *given) {
		struct speech s;

		speech_read(&s, given, rate);
		speech_append(all, &s);
		speech_free(&s);
	} else {
		for (int i = 0; sentences[i]; i++) {
			struct speech s;

			if (!speech_make(&s, w.dir, voice, sentences[i], -6, rate))
				harness_failed("espeak-ng cannot speak (make deps installs it)");
			speech_append(all, &s);
			speech_append_silence(all, pause_s);
			speech_free(&s);
		}
	}
	speech_append_silence(all, 0.3);
	if (wav_write(path, rate, all->samples, all->count))
		harness_failed("cannot write %s", path);
}

static double level(const struct wav *t, double from_s)
{
	size_t from = (size_t)(from_s * t->rate);
	double sum = 0;
	size_t n = 0;

	/* of the 20 ms frames that have speech in them */
	for (size_t i = from; i + t->rate / 50 <= t->frames; i += t->rate / 50) {
		double rms = signal_rms_dbfs(t->samples + i, t->rate / 50);

		if (rms > -45) {
			sum += pow(10, rms / 10);
			n++;
		}
	}
	return n ? 10 * log10(sum / (double)n) : -200;
}

static void judge(struct direction *d, const char *name, const struct track *said,
		  const struct track *heard, unsigned rate, double speech_from)
{
	d->name = name;
	d->there = measure_likeness(&d->like, said, heard, rate, speech_from, 0) &&
		   d->like.snr_db > 3;
	measure_delays(&d->delay, said, heard, CHIRP_EVERY_MS);
	d->said_dbfs = level(&said->wav, speech_from);
	d->heard_dbfs = level(&heard->wav, speech_from);
	d->gaps = measure_gaps(said, heard, speech_from, 0, d->like.delay_s, &d->longest_gap_ms);
	if (!d->delay.count)
		d->there = false;
}

static void judge_tap(struct results *r, const struct track *said, const char *path)
{
	struct wav tap;
	float *x;
	size_t n = signal_resample(&x, said->wav.samples, said->wav.frames, said->wav.rate, 48000);
	size_t lead = 0;

	if (wav_read(&tap, path))
		harness_failed("arecord left no recording");
	while (lead < n && fabsf(x[lead]) < 0.003f)
		lead++;
	lead = lead > 4800 ? lead - 4800 : 0;
	r->tap_there = signal_compare(&r->tap, x + lead, n - lead, tap.samples, tap.frames, 48000, 3.0);
	r->tap_dbfs = level(&tap, 0);
	free(x);
	wav_free(&tap);
}

static void copy(const char *from, const char *dir, const char *name)
{
	char cmd[3 * PATH_MAX];

	snprintf(cmd, sizeof(cmd), "cp -f '%s' '%s/%s'", from, dir, name);
	if (system(cmd))
		harness_failed("cannot write %s/%s", dir, name);
}

static void print_direction(const struct direction *d, const char *compared)
{
	if (!d->there) {
		printf("  %s: NOTHING CAME THROUGH\n", d->name);
		return;
	}
	printf("  %s\n", d->name);
	printf("    delay   %5.1f ms half of the time, %.1f ms in 99 of 100 cases (%zu measured)\n",
	       d->delay.p50, d->delay.p99, d->delay.count);
	printf("    level   said at %.1f dBFS, heard at %.1f (gain %.3f)\n", d->said_dbfs,
	       d->heard_dbfs, d->like.gain);
	printf("    quality %5.1f dB signal to noise, %s\n", d->like.snr_db, compared);
	printf("    gaps    %5.2f %% of the speech, longest %.0f ms\n", d->gaps * 100,
	       d->longest_gap_ms);
}

static void report_direction(FILE *f, const char *key, const struct direction *d, const char *what)
{
	fprintf(f,
		"  \"%s\": {\"present\": %s, \"delay_ms\": {\"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f, "
		"\"count\": %zu},\n    \"level_dbfs\": {\"said\": %.2f, \"heard\": %.2f}, \"gain\": %.4f, "
		"\"snr_db\": %.2f, \"snr_compares\": \"%s\",\n    \"gap_share\": %.5f, "
		"\"longest_gap_ms\": %.0f},\n",
		key, d->there ? "true" : "false", d->delay.p50, d->delay.p99, d->delay.max,
		d->delay.count, d->said_dbfs, d->heard_dbfs, d->like.gain, d->like.snr_db, what, d->gaps,
		d->longest_gap_ms);
}

static void write_report(const char *dir, const struct results *r, bool good)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/report.json", dir);
	f = fopen(path, "w");
	if (!f)
		harness_failed("cannot write %s: %s", path, strerror(errno));
	fprintf(f, "{\n");
	report_direction(f, "phone_to_discord", &r->out,
			 "what a member decodes with what the caller said, Opus included");
	report_direction(f, "discord_to_phone", &r->in,
			 "what the caller hears with what the member's Opus packets decode to");
	fprintf(f,
		"  \"phone_tap\": {\"present\": %s, \"snr_db\": %.2f, \"gain\": %.4f, \"level_dbfs\": %.2f, "
		"\"snr_compares\": \"arecord -D phone with what the caller said, before Opus\"},\n"
		"  \"limits\": {\"snr_db\": %.0f, \"gap_share\": %.3f},\n  \"passed\": %s\n}\n",
		r->tap_there ? "true" : "false", r->tap.snr_db, r->tap.gain, r->tap_dbfs, SNR_MIN,
		GAPS_MAX, good ? "true" : "false");
	if (fclose(f))
		harness_failed("cannot write %s: %s", path, strerror(errno));
}

/* A little of everything that can be tried from another terminal. */
static void live(const char *caller, const char *member)
{
	char env[3 * PATH_MAX];

	snprintf(env, sizeof(env), "ALSA_CONFIG_PATH=%s ALSA_PLUGIN_DIR=%s LOOPLINE_RUNTIME_DIR=%s",
		 w.conf, w.tool_plugin_dir, w.dir);
	simulator_ask(w.phone, "voice", "\"call\":\"caller\",\"voice\":{\"wav\":\"%s\",\"loop\":true}",
		      caller);
	simulator_ask(w.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"wav\":\"%s\",\"loop\":true}", member);
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	printf("\nThe call stays up until Ctrl-C. From another terminal:\n\n"
	       "hear the caller:\n  %s arecord -D phone -f S16_LE -r 48000 -d 10 callers.wav\n"
	       "hear the channel:\n  %s arecord -D discord -f S16_LE -r 48000 -d 10 channel.wav\n"
	       "speak to the channel:\n  %s aplay -D phone file.wav\n"
	       "speak to the caller:\n  %s aplay -D discord file.wav\n"
	       "what goes on:\n  curl --unix-socket %s/bridge.sock http://localhost/v1/state\n",
	       env, env, env, env, w.dir);
	fflush(stdout);
	while (!interrupted && !process_ended(&w.bridge) && !process_ended(&w.bot)) {
		simulator_seen(w.phone, "none", NULL); /* keeps the pipes empty */
		simulator_seen(w.discord, "none", NULL);
		harness_sleep_ms(100);
	}
	printf("\n");
}

static void hold_the_call(const char *dir, struct results *r)
{
	static const char *const caller_says[] = {
		"Hello, this is a telephone. I am calling from far away. Can you hear me?",
		"That is wonderful. Your voices come through clearly, without any echo.",
		"Then I wish you a very good evening. Goodbye.", NULL
	};
	static const char *const channel_says[] = {
		"Good evening, telephone. Yes, everybody in this channel can hear you.",
		"It does, and you can hear all of us at once, as if you were here.", NULL
	};
	struct speech caller, member;
	struct process tap;
	char caller_wav[512], member_wav[512], tap_wav[512];
	struct track said, heard;
	double speech_from = CHIRPS * CHIRP_EVERY_MS / 1000.0 + 0.3;

	snprintf(caller_wav, sizeof(caller_wav), "%s", world_file(&w, "caller.wav"));
	snprintf(member_wav, sizeof(member_wav), "%s", world_file(&w, "member.wav"));
	snprintf(tap_wav, sizeof(tap_wav), "%s", world_file(&w, "tap.wav"));
	make_voice(&caller, caller_wav, getenv("CALLER"), "en-us", caller_says, 1.2, 8000);
	make_voice(&member, member_wav, getenv("CHANNEL"), "en-gb+f3", channel_says, 1.0, 48000);

	progress("a member joins the voice channel");
	simulator_ask(w.discord, "member", "\"member\":\"ann\"");
	simulator_ask(w.discord, "join", "\"member\":\"ann\",\"channel\":\"" LOUNGE "\"");
	simulator_ask(w.discord, "record", "\"member\":\"ann\",\"path\":\"%s\"",
		      world_file(&w, "rec/ann"));
	progress("somebody dials the number");
	simulator_ask(w.phone, "call", "\"call\":\"caller\",\"voice\":null,\"record\":\"%s\"",
		      world_file(&w, "rec"));
	simulator_wait(w.phone, 10000, "stream.open", "call", "caller", NULL);
	progress("the bridge answers, the media stream is open");
	world_wait_channel(&w, 0, "connected", 20000);
	progress("the bot is in the voice channel, encryption is set up");
	tool_start(&w, &tap, (const char *[]){ "arecord", "-q", "-D", "phone", "-f", "S16_LE", "-r",
					       "48000", tap_wav, NULL });
	wait_file_size(tap_wav, 40000, 10000);
	progress("arecord -D phone taps the call");
	simulator_ask(w.phone, "voice", "\"call\":\"caller\",\"voice\":{\"wav\":\"%s\"}", caller_wav);
	simulator_ask(w.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"wav\":\"%s\"},\"reference\":\"%s\"", member_wav,
		      world_file(&w, "rec/member"));
	progress("both send chirps, to measure the delay");
	harness_sleep_ms(CHIRPS * CHIRP_EVERY_MS);
	progress("both talk");
	{
		double a = (double)caller.count / caller.rate, b = (double)member.count / member.rate;

		harness_sleep_ms((int)(1000 * ((a > b ? a : b) - CHIRPS * CHIRP_EVERY_MS / 1000.0)) + 500);
	}
	simulator_wait(w.discord, 60000, "member.quiet", "member", "ann", NULL);
	process_end(&tap, SIGINT, 3000);
	simulator_ask(w.phone, "flush", "\"call\":\"caller\"");
	simulator_ask(w.discord, "stop_record", "\"member\":\"ann\"");
	if (getenv("LIVE") && *getenv("LIVE"))
		live(caller_wav, member_wav);
	simulator_ask(w.phone, "hangup", "\"call\":\"caller\"");
	simulator_wait(w.phone, 5000, "call.ended", "call", "caller", NULL);
	progress("the caller hangs up");

	track_load(&said, world_file(&w, "rec/caller.0"), "said");
	track_load(&heard, world_file(&w, "rec/ann." BOT), "packets");
	/* times in `said` begin with the stream, the voice began later: find its first sound */
	{
		size_t lead = 0;

		while (lead < said.wav.frames && fabsf(said.wav.samples[lead]) < 0.003f)
			lead++;
		judge(&r->out, "Phone to Discord", &said, &heard, 48000,
		      (double)lead / 8000 + speech_from);
	}
	track_free(&heard);
	judge_tap(r, &said, tap_wav);
	track_free(&said);
	track_load(&said, world_file(&w, "rec/member"), "packets");
	track_load(&heard, world_file(&w, "rec/caller.0"), "heard");
	judge(&r->in, "Discord to phone", &said, &heard, 8000, speech_from);
	track_free(&said);
	track_free(&heard);
	copy(world_file(&w, "rec/caller.0.played.wav"), dir, "caller-heard.wav");
	copy(world_file(&w, "rec/ann." BOT ".wav"), dir, "channel-heard.wav");
	copy(tap_wav, dir, "phone-tap.wav");
	speech_free(&caller);
	speech_free(&member);
}

int main(int argc, char **argv)
{
	static const struct world_options options = {
		.settings = "CONNECT=call\nWAITING=ring\nLOG=info\n",
	};
	const char *dir = argc > 1 ? argv[1] : "build/demo";
	struct results r = { 0 };
	bool good;

	harness_on_failure = failed;
	began_ns = harness_now_ns();
	if (mkdir(dir, 0777) && errno != EEXIST) {
		fprintf(stderr, "cannot make %s: %s\n", dir, strerror(errno));
		return 1;
	}
	progress("starting a phone network, a Discord, and both processes between them");
	world_start(&w, &options);
	hold_the_call(dir, &r);
	world_check(&w, NULL);
	world_stop(&w, getenv("KEEP") != NULL);
	good = r.out.there && r.in.there && r.tap_there && r.tap.snr_db >= SNR_MIN &&
	       r.in.like.snr_db >= SNR_MIN && r.out.gaps <= GAPS_MAX && r.in.gaps <= GAPS_MAX;

	printf("\nWhat happened\n");
	print_direction(&r.out, "Opus included");
	if (r.tap_there)
		printf("    before Opus, as arecord tapped it: %.1f dB signal to noise, gain %.3f\n",
		       r.tap.snr_db, r.tap.gain);
	else
		printf("    arecord tapped nothing\n");
	print_direction(&r.in, "against what the member's packets decode to");
	write_report(dir, &r, good);
	printf("\nIn %s: caller-heard.wav, channel-heard.wav, phone-tap.wav, report.json\n", dir);
	printf("%s\n", good ? "The call went well both ways." : "THE CALL WAS NOT GOOD ENOUGH.");
	return good ? 0 : 1;
}
