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

#include "tests/e2e/call.h"
#include "tests/e2e/talk.h"

#define CHIRPS    16
#define SNR_MIN   25.0
#define GAPS_MAX  0.005
#define TALKS_MAX 3

static struct world w;
static int64_t began_ns;
static volatile sig_atomic_t interrupted;

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

static void copy(const char *from, const char *dir, const char *name)
{
	char cmd[3 * PATH_MAX];

	snprintf(cmd, sizeof(cmd), "cp -f '%s' '%s/%s'", from, dir, name);
	if (system(cmd))
		harness_failed("cannot write %s/%s", dir, name);
}

static void print_direction(const char *name, const struct talk_side *d, const char *compared)
{
	if (!d->there) {
		printf("  %s: NOTHING CAME THROUGH\n", name);
		return;
	}
	printf("  %s\n", name);
	printf("    delay   %5.1f ms half of the time, %.1f ms in 99 of 100 cases (%zu measured)\n",
	       d->delay.p50, d->delay.p99, d->delay.count);
	printf("    level   said at %.1f dBFS, heard at %.1f (gain %.3f)\n", d->said_dbfs,
	       d->heard_dbfs, d->like.gain);
	printf("    quality %5.1f dB signal to noise, %s\n", d->like.snr_db, compared);
	printf("    gaps    %5.2f %% of the speech, longest %.0f ms\n", d->gaps * 100,
	       d->longest_gap_ms);
}

static void report_direction(FILE *f, const char *key, const struct talk_side *d, const char *what)
{
	fprintf(f,
		"  \"%s\": {\"present\": %s, \"delay_ms\": {\"p50\": %.2f, \"p99\": %.2f, \"max\": "
		"%.2f, "
		"\"count\": %zu},\n    \"level_dbfs\": {\"said\": %.2f, \"heard\": %.2f}, "
		"\"gain\": %.4f, "
		"\"snr_db\": %.2f, \"snr_compares\": \"%s\",\n    \"gap_share\": %.5f, "
		"\"longest_gap_ms\": %.0f},\n",
		key, d->there ? "true" : "false", d->delay.p50, d->delay.p99, d->delay.max,
		d->delay.count, d->said_dbfs, d->heard_dbfs, d->like.gain, d->like.snr_db, what,
		d->gaps, d->longest_gap_ms);
}

static void write_report(const char *dir, const struct talk_result *r, bool good, int talks)
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
		"  \"phone_tap\": {\"present\": %s, \"snr_db\": %.2f, \"gain\": %.4f, "
		"\"level_dbfs\": %.2f, "
		"\"snr_compares\": \"arecord -D phone with what the caller said, before Opus\"},\n"
		"  \"talks\": %d,\n  \"limits\": {\"snr_db\": %.0f, \"gap_share\": %.3f},\n  "
		"\"passed\": %s\n}\n",
		r->tap_there ? "true" : "false", r->tap.snr_db, r->tap.gain, r->tap_dbfs, talks,
		SNR_MIN, GAPS_MAX, good ? "true" : "false");
	if (fclose(f))
		harness_failed("cannot write %s: %s", path, strerror(errno));
}

/* A little of everything that can be tried from another terminal. */
static void live(const char *caller, const char *member)
{
	char env[3 * PATH_MAX];

	snprintf(env, sizeof(env), "ALSA_CONFIG_PATH=%s LOOPLINE_RUNTIME_DIR=%s", w.conf, w.dir);
	simulator_ask(w.phone, "voice",
		      "\"call\":\"caller\",\"voice\":{\"wav\":\"%s\",\"loop\":true}", caller);
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

static bool good_enough(const struct talk_result *r)
{
	return r->out.there && r->in.there && r->tap_there && r->tap.snr_db >= SNR_MIN &&
	       r->in.like.snr_db >= SNR_MIN && r->out.gaps <= GAPS_MAX && r->in.gaps <= GAPS_MAX;
}

/* Returns how often it talked: once, unless the machine was too busy to judge by. */
static int hold_the_call(const char *dir, struct talk_result *r)
{
	static const char *const caller_says[] = {
		"Hello, this is a telephone. I am calling from far away. Can you hear me?",
		"That is wonderful. Then I wish you a very good evening. Goodbye.", NULL};
	static const char *const channel_says[] = {
		"Good evening, telephone. Yes, everybody in this channel can hear you,",
		"and you can hear all of us at once, as if you were here.", NULL};
	struct talk talk;
	int talks = 0;

	if (!talk_make(&talk, &w, CHIRPS, getenv("CALLER"), caller_says, getenv("CHANNEL"),
		       channel_says))
		harness_failed("espeak-ng cannot speak (make deps installs it)");
	progress("a member joins the voice channel");
	member_in(&w, "ann", LOUNGE);
	progress("somebody dials the number");
	simulator_ask(w.phone, "call", "\"call\":\"caller\",\"voice\":null,\"record\":\"%s\"",
		      world_file(&w, "rec"));
	simulator_wait(w.phone, 10000, "stream.open", "call", "caller", NULL);
	progress("the bridge answers, the media stream is open");
	world_wait_channel(&w, 0, "connected", 20000);
	progress("the bot is in the voice channel, end-to-end encrypted");
	do {
		progress(talks ? "that was not good: this machine may be busy; once more"
			       : "arecord -D phone taps the call; chirps measure the delay, then "
				 "both talk");
		talk_run(&w, &talk, "caller", "ann", r);
	} while (++talks < TALKS_MAX && !good_enough(r));
	if (getenv("LIVE") && *getenv("LIVE"))
		live(talk.caller_wav, talk.member_wav);
	call_down(&w, "caller");
	progress("the caller hangs up");
	copy(world_file(&w, "rec/caller.0.played.wav"), dir, "caller-heard.wav");
	copy(world_file(&w, "rec/ann." BOT ".wav"), dir, "channel-heard.wav");
	copy(talk.tap_wav, dir, "phone-tap.wav");
	return talks;
}

int main(int argc, char **argv)
{
	static const struct world_options options = {
		.settings = "CONNECT=call\nWAITING=ring\nLOG=info\n",
	};
	const char *dir = argc > 1 ? argv[1] : "build/demo";
	struct talk_result r = {0};
	bool good;
	int talks;

	harness_on_failure = failed;
	began_ns = harness_now_ns();
	if (mkdir(dir, 0777) && errno != EEXIST) {
		fprintf(stderr, "cannot make %s: %s\n", dir, strerror(errno));
		return 1;
	}
	progress("starting a phone network, a Discord, and both processes between them");
	world_start(&w, &options);
	talks = hold_the_call(dir, &r);
	world_check(&w, NULL);
	world_stop(&w, getenv("KEEP") != NULL);
	good = good_enough(&r);

	printf("\nWhat happened\n");
	print_direction("Phone to Discord", &r.out, "Opus included");
	if (r.tap_there)
		printf("    before Opus, as arecord tapped it: %.1f dB signal to noise, gain "
		       "%.3f\n",
		       r.tap.snr_db, r.tap.gain);
	else
		printf("    arecord tapped nothing\n");
	print_direction("Discord to phone", &r.in, "against what the member's packets decode to");
	write_report(dir, &r, good, talks);
	printf("\nIn %s: caller-heard.wav, channel-heard.wav, phone-tap.wav, report.json\n", dir);
	printf("%s\n", good ? "The call went well both ways." : "THE CALL WAS NOT GOOD ENOUGH.");
	return good ? 0 : 1;
}
