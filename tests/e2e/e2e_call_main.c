/* SPDX-License-Identifier: MIT
 *
 * e2e_call - one line, both directions: who hears whom, how well and how late.
 */
#include <signal.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/talk.h"

/* Tones that are no multiples of 50 Hz and not harmonically related. */
#define CALLER       1013
#define MEMBER       617
#define INTO_DISCORD 1511 /* aplay -D discord */
#define INTO_PHONE   2131 /* aplay -D phone */
#define OTHER_CALLER 1307

static const struct world_options options = {.settings = "CONNECT=call\nWAITING=silence\n"};

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
}

static void make_tone(const char *name, double hz, double seconds)
{
	size_t n = (size_t)(seconds * 48000);
	float *x = calloc(n, sizeof(*x));

	signal_tone(x, n, 48000, hz, -15, 0);
	CHECK(wav_write(world_file(&W, name), 48000, x, n) == 0);
	free(x);
}

/* The frequency oracle: everybody hears exactly those who are meant for him. */
static void test_who_hears_whom(void)
{
	struct process into_phone, into_discord, tap_phone, tap_discord;
	char phone_wav[512], discord_wav[512];
	struct track t;
	double begin;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	snprintf(phone_wav, sizeof(phone_wav), "%s", world_file(&W, "tap-phone.wav"));
	snprintf(discord_wav, sizeof(discord_wav), "%s", world_file(&W, "tap-discord.wav"));
	make_tone("into-phone.wav", INTO_PHONE, 12);
	make_tone("into-discord.wav", INTO_DISCORD, 12);
	call_up(&W, 0, "a", "null", true, "");
	member_record(&W, "ann", "oracle");
	call_settle(&W, "a", "{\"tone\":1013}", "ann", "{\"tone\":617}", "");
	tool_start(&W, &tap_phone,
		   (const char *[]){"arecord", "-q", "-D", "phone", "-f", "S16_LE", "-r", "48000",
				    phone_wav, NULL});
	tool_start(&W, &tap_discord,
		   (const char *[]){"arecord", "-q", "-D", "discord", "-f", "S16_LE", "-r", "48000",
				    discord_wav, NULL});
	tool_start(&W, &into_phone,
		   (const char *[]){"aplay", "-q", "-D", "phone", world_file(&W, "into-phone.wav"),
				    NULL});
	tool_start(&W, &into_discord,
		   (const char *[]){"aplay", "-q", "-D", "discord",
				    world_file(&W, "into-discord.wav"), NULL});
	/* what was recorded then was long under way when the last of them came */
	wait_file_size(phone_wav, 96000, 10000);
	wait_file_size(discord_wav, 96000, 10000);
	begin = (double)harness_now_ns();
	harness_sleep_ms(7000);
	call_down(&W, "a");
	process_end(&tap_phone, SIGINT, 3000);
	process_end(&tap_discord, SIGINT, 3000);
	process_end(&into_phone, SIGTERM, 3000);
	process_end(&into_discord, SIGTERM, 3000);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");

	member_recorded(&W, "ann", "oracle", &t);
	expect_tones_at("the member", &t, begin + 1e9, TONES(CALLER, INTO_PHONE),
			TONES(MEMBER, INTO_DISCORD));
	track_free(&t);
	track_load(&t, world_file(&W, "rec/a.0"), "heard");
	expect_tones_at("the caller", &t, begin + 1e9, TONES(MEMBER, INTO_DISCORD),
			TONES(CALLER, INTO_PHONE));
	track_free(&t);
	expect_tones_in_file(phone_wav, 2, TONES(CALLER, INTO_PHONE), TONES(MEMBER, INTO_DISCORD));
	expect_tones_in_file(discord_wav, 2, TONES(MEMBER, INTO_DISCORD), TONES(CALLER, INTO_PHONE));
	world_check(&W, NULL);
}

static void test_two_callers(void)
{
	struct track t;
	double begin;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	call_up(&W, 0, "b", "{\"chirp\":{\"every_ms\":500}}", true, "");
	call_up(&W, 0, "cc", "null", true, "");
	member_record(&W, "ann", "two");
	call_settle(&W, "cc", "{\"tone\":1307}", "ann", "{\"tone\":617}", "");
	simulator_ask(W.phone, "voice", "\"call\":\"b\",\"voice\":{\"tone\":1013}");
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "b", NULL);
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "cc", NULL);
	begin = (double)harness_now_ns();
	harness_sleep_ms(6500);
	call_down(&W, "b");
	call_down(&W, "cc");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	track_load(&t, world_file(&W, "rec/b.0"), "heard");
	expect_tones_at("the first caller", &t, begin + 1e9, TONES(MEMBER, OTHER_CALLER),
			TONES(CALLER));
	track_free(&t);
	track_load(&t, world_file(&W, "rec/cc.0"), "heard");
	expect_tones_at("the second caller", &t, begin + 1e9, TONES(MEMBER, CALLER),
			TONES(OTHER_CALLER));
	track_free(&t);
	member_recorded(&W, "ann", "two", &t);
	expect_tones_at("the member", &t, begin + 1e9, TONES(CALLER, OTHER_CALLER), TONES(MEMBER));
	track_free(&t);
	world_check(&W, NULL);
}

/* A tone each way for a while: no gap. */
static void test_no_gaps(void)
{
	struct signal_gaps g;
	struct track t;
	double begin;
	size_t from;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	call_up(&W, 0, "g", "null", true, "");
	member_record(&W, "ann", "gaps");
	call_settle(&W, "g", "{\"tone\":1013}", "ann", "{\"tone\":617}", "");
	begin = (double)harness_now_ns() + 1e9;
	harness_sleep_ms(9000);
	call_down(&W, "g");
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	member_recorded(&W, "ann", "gaps", &t);
	from = (size_t)track_sample(&t, begin);
	CHECK(t.wav.frames > from + 48000 * 7);
	signal_find_gaps(&g, t.wav.samples + from, 48000 * 7, 48000, CALLER);
	printf("# phone to Discord: %zu gaps, %.1f ms, level %.2f dBFS, rest %.1f dB\n", g.count,
	       g.total_s * 1000, g.level_dbfs, g.residual_db);
	CHECK(g.share < 0.005);
	CHECK_NEAR(g.level_dbfs, -15, 0.3);
	track_free(&t);
	track_load(&t, world_file(&W, "rec/g.0"), "heard");
	from = (size_t)track_sample(&t, begin);
	CHECK(t.wav.frames > from + 8000 * 7);
	signal_find_gaps(&g, t.wav.samples + from, 8000 * 7, 8000, MEMBER);
	printf("# Discord to phone: %zu gaps, %.1f ms, level %.2f dBFS, rest %.1f dB\n", g.count,
	       g.total_s * 1000, g.level_dbfs, g.residual_db);
	CHECK(g.share < 0.005);
	CHECK_NEAR(g.level_dbfs, -15, 0.3);
	track_free(&t);
	world_check(&W, NULL);
}

/* Speech each way, compared with what was said (design, section 4). What a busy machine spoils is
 * tried again: nothing but good sound gives good figures. */
static void test_quality(void)
{
	static const char *const caller_says[] = {"The quick brown fox jumps over the lazy dog, "
						  "and asks whether anybody has seen it.",
						  NULL};
	static const char *const member_says[] = {
		"Good evening. This is the channel speaking, and we can hear you very well.", NULL};
	struct talk talk;
	struct talk_result r;
	bool good = false;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	if (!talk_make(&talk, &W, 10, NULL, caller_says, NULL, member_says))
		SKIP("espeak-ng is not there");
	call_up(&W, 0, "q", "null", true, "");
	for (int i = 0; i < 4 && !good; i++) {
		talk_run(&W, &talk, "q", "ann", &r);
		printf("# phone to Discord: SNR %.1f dB (worst segment %.1f), gain %.3f, gaps %.2f "
		       "%%\n",
		       r.out.like.snr_db, r.out.like.worst_snr_db, r.out.like.gain,
		       r.out.gaps * 100);
		printf("# arecord -D phone: SNR %.1f dB (worst segment %.1f), gain %.3f\n",
		       r.tap.snr_db, r.tap.worst_snr_db, r.tap.gain);
		printf("# Discord to phone: SNR %.1f dB (worst segment %.1f), gain %.3f, gaps %.2f "
		       "%%\n",
		       r.in.like.snr_db, r.in.like.worst_snr_db, r.in.like.gain, r.in.gaps * 100);
		/* rates that are bent show as noise: by 500 ppm 18 dB are left, which nobody hears */
		printf("# the caller's rate %.1f ppm, what goes to him bent by %.1f ppm, his queue %.1f ms, "
		       "made up %.0f frames\n",
		       call_figure(&W, "ppm"), call_figure(&W, "out_ppm"),
		       call_figure(&W, "twilio_queue_ms"), call_figure(&W, "concealed_frames"));
		good = r.out.like.snr_db >= 30 && r.tap.snr_db >= 36 && r.in.like.snr_db >= 34 &&
		       r.out.gaps <= 0.005 && r.in.gaps <= 0.005;
	}
	call_down(&W, "q");
	CHECK(r.out.like.snr_db >= 30);
	CHECK(r.tap.snr_db >= 36);
	CHECK(r.in.like.snr_db >= 34);
	CHECK_NEAR(r.out.like.gain, 1, 0.02);
	CHECK_NEAR(r.in.like.gain, 1, 0.02);
	CHECK(r.out.gaps <= 0.005);
	CHECK(r.in.gaps <= 0.005);
	world_check(&W, NULL);
}

static double median_since(const struct delays *d, double from_s)
{
	double ms[1024];
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++)
		if (d->at_s[i] >= from_s)
			ms[n++] = d->ms[i];
	return n ? signal_percentile(ms, n, 50) : NAN;
}

/* Delay each way by chirps: reported, bounded only by what would be a fault. And what the processes
 * themselves say of it, stage by stage, is true to 2 ms (the grain of the chirps' own times, and of
 * stamps that are means; a PCM that ran dry meanwhile makes both change, so a busy machine is given
 * three tries). */
static void test_delay(void)
{
	struct delays out, in;
	double off_out = 99, off_in = 99;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	for (int i = 0; i < 3 && (fabs(off_out) > 2 || fabs(off_in) > 2); i++) {
		double say_out, say_in, from_s;
		char call[8];

		snprintf(call, sizeof(call), "d%d", i);
		call_up(&W, 0, call, "{\"chirp\":{\"every_ms\":500}}", true, "");
		call_chirps(&W, call, "ann");
		harness_sleep_ms(7000);
		from_s = (double)harness_now_ns() * 1e-9;
		harness_sleep_ms(4000);
		call_budget(&W, true, &say_out, &say_in);
		call_chirps_end(&W, call, "ann", &out, &in);
		printf("# phone to Discord: %zu chirps, p50 %.1f ms, p99 %.1f, max %.1f\n", out.count,
		       out.p50, out.p99, out.max);
		printf("# Discord to phone: %zu chirps, p50 %.1f ms, p99 %.1f, max %.1f\n", in.count,
		       in.p50, in.p99, in.max);
		CHECK(out.count >= 12);
		CHECK(out.p50 > 0 && out.p50 < 200);
		CHECK(in.count >= 12);
		CHECK(in.p50 > 0 && in.p50 < 200);
		printf("# budget: phone to Discord %.1f ms of %.1f measured, Discord to phone %.1f of %.1f\n",
		       say_out, median_since(&out, from_s), say_in, median_since(&in, from_s));
		off_out = say_out - median_since(&out, from_s);
		off_in = say_in - median_since(&in, from_s);
	}
	CHECK_NEAR(off_out, 0, 2);
	CHECK_NEAR(off_in, 0, 2);
	world_check(&W, NULL);
}

/* The caller hangs up: at most five further frames that are not silent reach a member. */
static void test_hang_up(void)
{
	struct track t;
	const cJSON *ended;
	int n;

	E2E_NEEDS_WORLD();
	calls_down(&W);
	member_record(&W, "ann", "hangup");
	call_up(&W, 0, "h", "{\"tone\":1013}", false, "");
	simulator_forget(W.discord);
	simulator_wait(W.discord, 5000, "voice.spurt", NULL);
	harness_sleep_ms(1500);
	simulator_ask(W.phone, "hangup", "\"call\":\"h\"");
	ended = simulator_wait(W.phone, 5000, "call.ended", "call", "h", NULL);
	simulator_wait(W.discord, 5000, "voice.spurt_end", "how", "silence", NULL);
	harness_sleep_ms(500);
	member_recorded(&W, "ann", "hangup", &t);
	n = track_sound_after(&t, (int64_t)cJSON_GetNumberValue(
					  cJSON_GetObjectItemCaseSensitive(ended, "t_ns")));
	printf("# %d frames with sound after the hang-up\n", n);
	CHECK(n <= 5);
	track_free(&t);
	world_wait_calls(&W, 0, 0, 5000);
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_who_hears_whom);
	UNIT(test_two_callers);
	UNIT(test_no_gaps);
	UNIT(test_quality);
	UNIT(test_delay);
	UNIT(test_hang_up);
	return e2e_done();
}
