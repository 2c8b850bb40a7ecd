/* SPDX-License-Identifier: MIT
 *
 * e2e_faults - deaths and broken connections in the middle of a call: the sound comes back.
 */
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

#define CALLER 1013
#define MEMBER 617

static const struct world_options options = {.settings = "CONNECT=call\nWAITING=silence\n"};

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
}

static void start_call(const char *name)
{
	calls_down(&W); /* what a failed test left */
	call_up(&W, 0, name, "{\"tone\":1013}", true, "");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", name, NULL);
	simulator_forget(W.discord);
	simulator_forget(W.phone);
}

static void end_call(const char *name)
{
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	call_down(&W, name);
	world_wait_calls(&W, 0, 0, 5000);
	simulator_forget(W.discord);
	simulator_forget(W.phone);
}

/* kill -9 of the bridge, and a new one: the call attaches again by its redirect. */
static void test_bridge_killed(void)
{
	int64_t killed, back;
	const cJSON *o;

	E2E_NEEDS_WORLD();
	start_call("kb");
	killed = harness_now_ns();
	kill(W.bridge.pid, SIGKILL);
	process_end(&W.bridge, 0, 2000);
	world_start_bridge(&W);
	o = simulator_wait(W.phone, 15000, "stream.first_sound", "call", "kb", NULL);
	back = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "t_ns"));
	printf("# the caller heard the channel again after %.1f s\n",
	       (double)(back - killed) / 1e9);
	world_wait_channel(&W, 0, "connected", 15000);
	call_both_hear(&W, "kb", 1, "ann", "kb", CALLER, MEMBER);
	end_call("kb");
	world_check(&W, NULL);
}

/* kill -9 of the Discord process, and a new one. The call stays up meanwhile. */
static void test_bot_killed(void)
{
	int64_t killed;

	E2E_NEEDS_WORLD();
	start_call("kd");
	killed = harness_now_ns();
	kill(W.bot.pid, SIGKILL);
	process_end(&W.bot, 0, 2000);
	world_start_bot(&W);
	simulator_wait(W.discord, 15000, "voice.ready", NULL);
	simulator_wait(W.discord, 15000, "voice.spurt", NULL);
	world_wait_channel(&W, 0, "connected", 15000);
	printf("# sound in Discord again after %.1f s\n",
	       (double)(harness_now_ns() - killed) / 1e9);
	call_both_hear(&W, "kd", 0, "ann", "kd", CALLER, MEMBER);
	end_call("kd");
	world_check(&W, NULL);
}

/* The stream's connection breaks: silence, the redirect, a new stream. */
static void test_stream_dropped(void)
{
	E2E_NEEDS_WORLD();
	start_call("sd");
	simulator_ask(W.phone, "hangup", "\"call\":\"sd\",\"how\":\"drop\"");
	simulator_wait(W.phone, 10000, "stream.first_sound", "call", "sd", NULL);
	call_both_hear(&W, "sd", 1, "ann", "sd", CALLER, MEMBER);
	end_call("sd");
	world_check(&W, NULL);
}

/* The main gateway drops and is resumed: voice is not touched. */
static void test_gateway_resumed(void)
{
	E2E_NEEDS_WORLD();
	start_call("gr");
	simulator_ask(W.discord, "gateway", "\"do\":\"drop\"");
	simulator_wait(W.discord, 15000, "gateway.resume", "known", "true", NULL);
	call_both_hear(&W, "gr", 0, "ann", "gr", CALLER, MEMBER);
	CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
	CHECK(!simulator_seen(W.discord, "gateway.identify", NULL));
	simulator_ask(W.discord, "gateway", "\"do\":\"op7\"");
	simulator_wait(W.discord, 15000, "gateway.resume", "known", "true", NULL);
	CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
	end_call("gr");
	world_check(&W, NULL);
}

/* The gateway's session is gone: identify anew, join anew. */
static void test_gateway_session_lost(void)
{
	E2E_NEEDS_WORLD();
	start_call("gl");
	simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
	simulator_wait(W.discord, 20000, "gateway.identify", "token_ok", "true", NULL);
	simulator_wait(W.discord, 20000, "voice.ready", NULL);
	simulator_wait(W.discord, 15000, "voice.spurt", NULL);
	call_both_hear(&W, "gl", 0, "ann", "gl", CALLER, MEMBER);
	end_call("gl");
	world_check(&W, NULL);
}

/* Voice gateway: 4015 and a dropped connection are resumed, keys and UDP stay. */
static void test_voice_resumed(void)
{
	E2E_NEEDS_WORLD();
	start_call("vr");
	simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":4015");
	simulator_wait(W.discord, 15000, "voice.resume", "accepted", "true", NULL);
	simulator_ask(W.discord, "voice", "\"do\":\"drop\"");
	simulator_wait(W.discord, 15000, "voice.resume", "accepted", "true", NULL);
	call_both_hear(&W, "vr", 0, "ann", "vr", CALLER, MEMBER);
	CHECK(!simulator_seen(W.discord, "voice.identify", NULL));
	end_call("vr");
	world_check(&W, NULL);
}

/* 4006: the session is no longer valid; op 4 null, op 4, a new token. */
static void test_voice_session_invalid(void)
{
	E2E_NEEDS_WORLD();
	start_call("vi");
	simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":4006");
	simulator_wait(W.discord, 30000, "voice.ready", NULL);
	simulator_wait(W.discord, 15000, "voice.spurt", NULL);
	call_both_hear(&W, "vi", 0, "ann", "vi", CALLER, MEMBER);
	end_call("vi");
	world_check(&W, NULL);
}

/* The voice server moves, with the endpoint null for a while. */
static void test_server_moves(void)
{
	E2E_NEEDS_WORLD();
	start_call("sm");
	simulator_ask(W.discord, "server_move", "\"guild\":\"" GUILD "\",\"null_first_ms\":700");
	simulator_wait(W.discord, 20000, "voice.ready", NULL);
	simulator_wait(W.discord, 15000, "voice.spurt", NULL);
	call_both_hear(&W, "sm", 0, "ann", "sm", CALLER, MEMBER);
	end_call("sm");
	world_check(&W, NULL);
}

/* Kicked by a moderator: the bot does not come back by itself, callers go back to waiting. */
static void test_kicked(void)
{
	E2E_NEEDS_WORLD();
	start_call("ki");
	simulator_ask(W.discord, "kick", "\"user\":\"" BOT "\"");
	world_wait_channel(&W, 0, "disconnected", 15000);
	CHECK(!simulator_seen(W.discord, "voice.identify", NULL));
	world_wait_calls(&W, 0, 1, 1000);
	end_call("ki");
	world_check(&W, NULL);
}

/* 20 % loss, jitter, reordering, duplicates on the way from Discord: heard all the same, and no
 * more delay than the ceiling of the playout buffer allows. */
static void test_bad_network(void)
{
	struct track t;
	double begin, power = 0, least = 0;
	const float *x;
	const cJSON *stats;

	E2E_NEEDS_WORLD();
	start_call("bn");
	simulator_ask(W.discord, "impair",
		      "\"direction\":\"out\",\"loss\":0.2,\"jitter_ms\":100,\"reorder\":0.05,"
		      "\"duplicate\":0.02");
	harness_sleep_ms(3000);
	begin = (double)harness_now_ns();
	harness_sleep_ms(6000);
	simulator_ask(W.phone, "flush", "\"call\":\"bn\"");
	track_load(&t, world_file(&W, "rec/bn.0"), "heard");
	/* in pieces: the delay follows the network, and with it the phase */
	x = t.wav.samples + (size_t)track_sample(&t, begin);
	for (int i = 0; i < 50; i++)
		power += pow(10, signal_tone_dbfs(x + i * 800, 800, 8000, MEMBER) / 10) / 50;
	for (int i = 0; i < 250; i++)
		least = fmin(least, signal_rms_dbfs(x + i * 160, 160));
	printf("# a tone of -15 dBFS is %.1f dBFS; its quietest 20 ms are %.1f dBFS RMS\n",
	       10 * log10(power), least);
	CHECK(10 * log10(power) > -18);
	CHECK(least > -45); /* Opus' own concealment falls to -35 */
	track_free(&t);
	simulator_ask(W.discord, "impair", "\"direction\":\"out\"");
	stats = simulator_ask(W.phone, "stats", "\"call\":\"bn\"");
	CHECK(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(stats, "fifo_ms")) < 150);
	end_call("bn");
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_stream_dropped);
	UNIT(test_bridge_killed);
	UNIT(test_bot_killed);
	UNIT(test_gateway_resumed);
	UNIT(test_gateway_session_lost);
	UNIT(test_voice_resumed);
	UNIT(test_voice_session_invalid);
	UNIT(test_server_moves);
	UNIT(test_kicked);
	UNIT(test_bad_network);
	return e2e_done();
}
