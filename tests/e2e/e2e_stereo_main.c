/* SPDX-License-Identifier: MIT
 *
 * e2e_stereo - a line of two channels: what is played into it, and what somebody in the channel says,
 * keeps its sides; the caller, who has one, is heard on both and hears both.
 */
#include <signal.h>
#include <string.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

#define CALLER       1013
#define MEMBER_LEFT  617
#define MEMBER_RIGHT 887
#define INTO_LEFT    1511 /* aplay -D phone */
#define INTO_RIGHT   2131
#define SECONDS      12
#define LEVEL        -15.0
#define APART_DB     40 /* Opus keeps sides apart by that much */

static const struct world_options options = {.settings = "CONNECT=call\nWAITING=silence\n",
					     .stereo = true};

/* Level of a tone over five seconds of a channel (-1: of the mean), by 200 ms. */
static double level_in(const char *path, int channel, double from_s, double hz)
{
	struct wav w;
	double power = 0;
	size_t from, n;

	if (wav_read_channel(&w, path, channel))
		harness_failed("cannot read channel %d of %s", channel, path);
	from = (size_t)(from_s * w.rate);
	n = w.rate / 5;
	if (w.frames < from + 25 * n)
		harness_failed("%s: only %.1f s", path, (double)w.frames / w.rate);
	for (int i = 0; i < 25; i++, from += n)
		power += pow(10, signal_tone_dbfs(w.samples + from, n, w.rate, hz) / 10) / 25;
	wav_free(&w);
	return 10 * log10(power + 1e-20);
}

static void expect_sides(const char *path, double from_s, double left_hz, double right_hz)
{
	double hz[2] = {left_hz, right_hz};

	for (int side = 0; side < 2; side++) {
		double own = level_in(path, side, from_s, hz[side]);
		double other = level_in(path, side, from_s, hz[!side]);

		printf("# %s: %g Hz %.1f dBFS, %g Hz %.1f dBFS\n", side ? "right" : "left", hz[side],
		       own, hz[!side], other);
		CHECK_NEAR(own, LEVEL, 0.7);
		CHECK(other < LEVEL - APART_DB);
	}
}

static void test_both_ways(void)
{
	static float left[SECONDS * 48000], right[SECONDS * 48000];
	struct process into, tap;
	char heard[600], tapped[512];
	double from;

	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	signal_tone(left, SECONDS * 48000, 48000, INTO_LEFT, LEVEL, 0);
	signal_tone(right, SECONDS * 48000, 48000, INTO_RIGHT, LEVEL, 0);
	CHECK(wav_write_stereo(world_file(&W, "into.wav"), 48000, left, right, SECONDS * 48000) == 0);
	snprintf(tapped, sizeof(tapped), "%s", world_file(&W, "tap.wav"));
	call_up(&W, 0, "a", "null", true, "");
	call_settle(&W, "a", "{\"tone\":1013}", "ann", "{\"tone\":617}",
		    "\"right\":{\"tone\":887},\"bitrate\":96000");
	tool_start(&W, &tap,
		   (const char *[]){"arecord", "-q", "-D", "discord", "-f", "S16_LE", "-r", "48000", "-c",
				    "2", tapped, NULL});
	tool_start(&W, &into,
		   (const char *[]){"aplay", "-q", "-D", "phone", world_file(&W, "into.wav"), NULL});
	wait_file_size(tapped, 2 * 96000, 10000);
	simulator_ask(W.discord, "record", "\"member\":\"ann\",\"path\":\"%s/rec/ann\",\"channels\":2",
		      W.dir);
	harness_sleep_ms(7000);
	simulator_ask(W.discord, "stop_record", "\"member\":\"ann\"");
	call_down(&W, "a");
	process_end(&tap, SIGINT, 3000);
	process_end(&into, SIGTERM, 3000);

	snprintf(heard, sizeof(heard), "%s/rec/ann." BOT ".wav", W.dir);
	printf("# the member hears of aplay -D phone\n");
	expect_sides(heard, 1, INTO_LEFT, INTO_RIGHT);
	for (int side = 0; side < 2; side++) /* the caller is on both sides, as loud as he is */
		CHECK_NEAR(level_in(heard, side, 1, CALLER), LEVEL, 0.7);
	printf("# arecord -D discord -c 2\n");
	expect_sides(tapped, 1.5, MEMBER_LEFT, MEMBER_RIGHT);
	/* the caller hears the mean of the sides, and nothing of what went to Discord */
	snprintf(heard, sizeof(heard), "%s/rec/a.0.heard.wav", W.dir);
	from = 4 + 2;
	CHECK_NEAR(level_in(heard, 0, from, MEMBER_LEFT), LEVEL - 6.02, 0.7);
	CHECK_NEAR(level_in(heard, 0, from, MEMBER_RIGHT), LEVEL - 6.02, 0.7);
	CHECK(level_in(heard, 0, from, INTO_LEFT) < LEVEL - 50);
	CHECK(level_in(heard, 0, from, CALLER) < LEVEL - 50);
	world_check(&W, NULL);
}

/* With the caller alone one channel is sent, and the narrowest band: what a stereo line costs nothing
 * for. */
static void test_a_caller_alone_is_sent_as_one_channel(void)
{
	cJSON *before, *after;
	double bytes, packets;

	E2E_NEEDS_WORLD();
	call_up(&W, 0, "b", "{\"tone\":1013}", false, "");
	harness_sleep_ms(4500); /* what was stereo before has been forgotten */
	before = cJSON_Duplicate(simulator_ask(W.discord, "counters", "\"user\":\"" BOT "\""), 1);
	harness_sleep_ms(2000);
	after = cJSON_Duplicate(simulator_ask(W.discord, "counters", "\"user\":\"" BOT "\""), 1);
	bytes = cJSON_GetNumberValue(cJSON_GetObjectItem(after, "bytes")) -
		cJSON_GetNumberValue(cJSON_GetObjectItem(before, "bytes"));
	packets = cJSON_GetNumberValue(cJSON_GetObjectItem(after, "packets")) -
		  cJSON_GetNumberValue(cJSON_GetObjectItem(before, "packets"));
	cJSON_Delete(before);
	cJSON_Delete(after);
	printf("# %.0f packets of %.0f bytes\n", packets, bytes / packets);
	CHECK(packets > 90);
	CHECK(bytes / packets < 64000 / 8 / 50 + 60); /* headers and both layers of encryption */
	call_down(&W, "b");
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_both_ways);
	UNIT(test_a_caller_alone_is_sent_as_one_channel);
	return e2e_done();
}
