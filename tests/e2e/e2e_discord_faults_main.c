/* SPDX-License-Identifier: MIT
 *
 * e2e_discord_faults - one call through everything that Discord can do to it: voice close codes,
 * moves, a dead media path, end-to-end encryption that goes wrong, and what stops the bot for good.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/heal.h"

static const struct world_options options = {.settings = "CONNECT=call\nWAITING=silence\n"};
static const struct heal pair = {&W, "f", "ann", 1013, 617};

static void healed(const char *what, int64_t since_ns, int ms)
{
	heal_report(&pair, what, since_ns, ms);
}

static void ann_speaks(void)
{
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
}

/* The call of all tests, made again if one lost it; everybody hears everybody. */
static void call_is_up(void)
{
	E2E_NEEDS_WORLD();
	simulator_forget(W.phone);
	simulator_forget(W.discord);
	if (heal_is_whole(&pair))
		return;
	/* what a failed test left */
	process_end(&W.bot, SIGTERM, 8000);
	world_start_bot(&W);
	ann_speaks();
	healed("after a new start", harness_now_ns(), 15000);
}

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	ann_speaks();
	call_up(&W, 0, "f", "{\"tone\":1013}", true, "");
	healed("at first", harness_now_ns(), 10000);
}

/* ---- the voice gateway --------------------------------------------------------------------- */

/* Codes after which everything is made anew: op 4 null, op 4, another token. */
static void test_voice_codes_that_rejoin(void)
{
	static const int codes[] = {4009, 4011};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		int64_t begin;

		call_is_up();
		begin = harness_now_ns();
		simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":%d", codes[i]);
		simulator_wait(W.discord, 15000, "gateway.op4", "channel", "null", NULL);
		simulator_wait(W.discord, 30000, "voice.ready", NULL);
		CHECK(!simulator_seen(W.discord, "voice.resume", NULL));
		healed(codes[i] == 4009 ? "4009" : "4011", begin, 20000);
		world_check(&W, NULL);
	}
}

/* Resumed, and the resume is refused with 4006: the long way. */
static void test_voice_resume_refused(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	simulator_ask(W.discord, "voice_next", "\"close\":4006,\"count\":1,\"when\":\"resume\"");
	simulator_ask(W.discord, "voice", "\"do\":\"drop\"");
	simulator_wait(W.discord, 30000, "voice.ready", NULL);
	healed("a refused resume", begin, 30000);
	world_check(&W, NULL);
}

/* 4014 with a move behind it: the bot follows, and the call goes on in the other channel. */
static void test_moved_by_a_moderator(void)
{
	static const char *const channels[] = {ATTIC, LOUNGE};

	for (int i = 0; i < 2; i++) {
		int64_t begin;

		call_is_up();
		begin = harness_now_ns();
		simulator_ask(W.discord, "join", "\"member\":\"ann\",\"channel\":\"%s\"",
			      channels[i]);
		ann_speaks(); /* a member who moves says no more */
		simulator_ask(W.discord, "move", "\"user\":\"" BOT "\",\"channel\":\"%s\"",
			      channels[i]);
		simulator_wait(W.discord, 20000, "voice.ready", NULL);
		healed("a move", begin, 20000);
		world_check(&W, NULL);
	}
}

/* 4022 because everybody was put on another server; and a server that only gets a new token. */
static void test_4022_and_another_server(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	simulator_ask(W.discord, "server_move", "\"guild\":\"" GUILD "\"");
	simulator_wait(W.discord, 20000, "voice.ready", NULL);
	healed("4022", begin, 20000);
	world_check(&W, NULL);
}

/* 4017: never tried again by itself; it is said, and a connect that is asked for is tried. */
static void test_4017_is_told(void)
{
	int status;
	int64_t begin;

	call_is_up();
	simulator_ask(W.discord, "voice_next", "\"close\":4017,\"count\":1,\"when\":\"identify\"");
	simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":4006");
	world_wait_channel(&W, 0, "failed", 30000);
	CHECK(world_logged(&W.bot, "DAVE", 2000));
	simulator_forget(W.discord);
	harness_sleep_ms(1500);
	CHECK(!simulator_seen(W.discord, "voice.identify", NULL));
	begin = harness_now_ns();
	cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", &status));
	CHECK(status / 100 == 2);
	world_wait_channel(&W, 0, "connected", 15000);
	healed("asked again", begin, 20000);
	world_check(&W, NULL);
}

/* Put out with 4022, as it is done to a bot that is alone: as a kick. */
static void test_kicked_with_4022(void)
{
	int status;
	int64_t begin;

	call_is_up();
	simulator_ask(W.discord, "kick", "\"user\":\"" BOT "\",\"code\":4022");
	world_wait_channel(&W, 0, "disconnected", 15000);
	simulator_forget(W.discord);
	world_wait_calls(&W, 0, 1, 1000);
	harness_sleep_ms(1500);
	CHECK(!simulator_seen(W.discord, "gateway.op4", NULL));
	begin = harness_now_ns();
	cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", &status));
	CHECK(status / 100 == 2);
	healed("asked back", begin, 20000);
	world_check(&W, NULL);
}

/* ---- the media path ------------------------------------------------------------------------ */

/* The server's port is closed: ICMP says so. */
static void test_udp_refused(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	simulator_ask(W.discord, "udp", "\"refuse\":true");
	CHECK(world_logged(&W.bot, "voice media is dead", 20000));
	healed("a refused port", begin, 45000);
	world_check(&W, NULL);
}

/* Nothing passes any more, and nobody says so: keepalives that were answered are not. */
static void test_udp_mute(void)
{
	int64_t begin;

	call_is_up();
	harness_sleep_ms(4000); /* three answered keepalives at least */
	begin = harness_now_ns();
	simulator_ask(W.discord, "udp", "\"mute\":true");
	healed("a path that went dead", begin, 60000);
	world_check(&W, NULL);
}

/* The server never answers keepalives: that alone means nothing (it was seen in the wild). */
static void test_keepalives_are_not_waited_for(void)
{
	call_is_up();
	simulator_ask(W.discord, "udp", "\"keepalive\":\"mute\"");
	simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":4006"); /* a session of its own */
	simulator_wait(W.discord, 30000, "voice.ready", NULL);
	simulator_ask(W.discord, "udp", "\"keepalive\":\"mute\"");
	healed("a new session", harness_now_ns(), 20000);
	simulator_forget(W.discord);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	harness_sleep_ms(17000);
	CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
	CHECK(!simulator_seen(W.discord, "voice.identify", NULL));
	ann_speaks();
	healed("after silence", harness_now_ns(), 5000);
	world_check(&W, NULL);
}

/* ---- end-to-end encryption ----------------------------------------------------------------- */

static void dave(const char *what)
{
	simulator_ask(W.discord, "dave", "\"channel\":\"" LOUNGE "\",%s", what);
}

/* A commit that was changed on the way, and a Welcome that never comes: op 31, a new key package. */
static void test_dave_invalid_commit(void)
{
	int64_t begin;

	call_is_up();
	dave("\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_commit\"");
	/* so that the commit that is changed is a member's */
	dave("\"do\":\"config\",\"prefer\":\"" BOT "\"");
	begin = harness_now_ns();
	member_in(&W, "bob", LOUNGE);
	simulator_wait(W.discord, 10000, "dave.recover", NULL);
	healed("a forged commit", begin, 30000);
	dave("\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"none\"");
	dave("\"do\":\"config\"");
	world_check(&W, NULL);
}

/* The bot has to begin a new voice session and is met with that fault: op 31 is sent. */
static int64_t rejoin_with(const char *fault, int recover_ms)
{
	char what[100];
	int64_t begin;

	call_is_up();
	snprintf(what, sizeof(what), "\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"%s\"", fault);
	dave(what);
	begin = harness_now_ns();
	simulator_ask(W.discord, "voice", "\"do\":\"close\",\"code\":4006");
	simulator_wait(W.discord, recover_ms, "dave.recover", NULL);
	return begin;
}

static void test_dave_lost_welcome(void)
{
	healed("a lost Welcome", rejoin_with("lose_welcome", 60000), 60000);
	world_check(&W, NULL);
}

/* Who signs the gateway's proposals came garbled, which is said once a voice session: op 31 does not
 * help, a new session does. */
static void test_dave_garbled_sender(void)
{
	healed("a garbled external sender", rejoin_with("forge_sender", 30000), 30000);
	CHECK(world_logged(&W.bot, "no way into the encrypted group", 1000));
	world_check(&W, NULL);
}

/* Members come and go while both talk, the group changes, encryption goes away and comes back:
 * nobody is asked to hear a gap for it. */
static void test_dave_changes_mid_speech(void)
{
	static const char *const steps[] = {"\"do\":\"downgrade\"", "\"do\":\"upgrade\"",
					    "\"do\":\"rekey\""};
	static const char *const names[] = {"downgrade", "upgrade", "another group"};
	struct track t;
	struct signal_gaps gaps;
	double begin;

	call_is_up();
	member_record(&W, "ann", "dave");
	harness_sleep_ms(500);
	begin = (double)harness_now_ns();
	for (int i = 0; i < 2; i++) {
		member_in(&W, i ? "dan" : "cid", LOUNGE);
		harness_sleep_ms(1500);
	}
	simulator_ask(W.discord, "leave", "\"member\":\"cid\"");
	harness_sleep_ms(1500);
	simulator_ask(W.discord, "leave", "\"member\":\"dan\"");
	harness_sleep_ms(1500);
	member_recorded(&W, "ann", "dave", &t);
	signal_find_gaps(&gaps, t.wav.samples + (size_t)track_sample(&t, begin), 6 * 48000, 48000,
			 1013);
	printf("# two members come and go: %zu gaps, %.0f ms in 6 s at the member\n", gaps.count,
	       gaps.total_s * 1000);
	CHECK(gaps.total_s < 0.2);
	track_free(&t);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int64_t since = harness_now_ns();

		dave(steps[i]);
		harness_sleep_ms(500);
		healed(names[i], since, 20000);
	}
	world_check(&W, NULL);
}

/* ---- the channel, and the end --------------------------------------------------------------- */

static void test_channel_full(void)
{
	int status;

	call_is_up();
	simulator_ask(W.discord, "kick", "\"user\":\"" BOT "\"");
	world_wait_channel(&W, 0, "disconnected", 15000);
	simulator_ask(W.discord, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":1");
	cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", &status));
	/* nothing comes back: that is how Discord says it */
	CHECK(world_logged(&W.bot, "full", 30000));
	world_wait_calls(&W, 0, 1, 1000);
	simulator_ask(W.discord, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":0");
	world_wait_channel(&W, 0, "connected", 60000);
	healed("room again", harness_now_ns(), 20000);
	world_check(&W, NULL);
}

static void test_channel_deleted(void)
{
	call_is_up();
	simulator_ask(W.discord, "delete_channel", "\"channel\":\"" LOUNGE "\"");
	/* put out first, as in a kick */
	world_wait_channel(&W, 0, "disconnected", 15000);
	CHECK(world_logged(&W.bot, "set VOICE_CHANNEL_ID to another", 2000));
	world_wait_calls(&W, 0, 1, 1000);
	call_down(&W, "f");
	world_check(&W, NULL);
}

/* A close code that can only come again: the program ends, with what to do about it. */
static void test_fatal_codes_stop(void)
{
	static const struct {
		int code;
		const char *word;
	} fatal[] = {{4004, "BOT_TOKEN"}, {4013, "intents"}};

	E2E_NEEDS_WORLD();
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		simulator_ask(W.discord, "gateway_next",
			      "\"close\":%d,\"count\":1,\"when\":\"identify\"", fatal[i].code);
		if (i == 0)
			simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
		else
			world_run_bot(&W);
		CHECK(process_end(&W.bot, 0, 25000));
		CHECK(WIFEXITED(W.bot.status));
		CHECK_INT(WEXITSTATUS(W.bot.status), 78);
		CHECK(world_logged(&W.bot, fatal[i].word, 0));
	}
}

/* The privileged intent is not granted: said once, and the bot serves what it can. */
static void test_missing_intent(void)
{
	E2E_NEEDS_WORLD();
	CHECK(process_ended(&W.bot));
	simulator_ask(W.discord, "grant", "\"message_content\":false");
	simulator_forget(W.discord);
	world_run_bot(&W);
	simulator_wait(W.discord, 25000, "gateway.identify", "token_ok", "true", NULL);
	simulator_wait(W.discord, 25000, "commands", NULL);
	CHECK(world_logged(&W.bot, "Message Content", 10000));
	CHECK(!process_ended(&W.bot));
	simulator_ask(W.discord, "grant", "\"message_content\":true");
}

/* A service manager restarts a program that dies: identifies stay five seconds apart. */
static void test_crash_loop_spares_the_token(void)
{
	int64_t last = 0;

	E2E_NEEDS_WORLD();
	simulator_forget(W.discord);
	for (int i = 0; i < 3; i++) {
		const cJSON *o;
		int64_t at;

		kill(W.bot.pid, SIGKILL);
		process_end(&W.bot, 0, 2000);
		world_run_bot(&W);
		o = simulator_wait(W.discord, 25000, "gateway.identify", "token_ok", "true", NULL);
		at = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "t_ns"));
		if (last && at - last < 4900000000LL)
			UNIT_FAIL("identified again after %.1f s", (double)(at - last) / 1e9);
		last = at;
	}
	world_check(&W, NULL);
}

/* No identify is left for some seconds: none is made until there are some, whoever is started anew. */
static void test_empty_budget(void)
{
	int64_t begin, at;
	const cJSON *o;

	call_is_up();
	begin = harness_now_ns();
	simulator_ask(W.discord, "gateway_next",
		      "\"count\":0,\"remaining\":0,\"reset_after_ms\":12000");
	simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
	harness_sleep_ms(7000); /* it would have identified by now */
	kill(W.bot.pid, SIGKILL);
	process_end(&W.bot, 0, 2000);
	world_run_bot(&W);
	o = simulator_wait(W.discord, 30000, "gateway.identify", "token_ok", "true", NULL);
	at = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "t_ns"));
	printf("# identified %.1f s after the budget was empty\n", (double)(at - begin) / 1e9);
	CHECK(at - begin >= 12000000000LL);
	CHECK(at - begin < 16000000000LL);
	healed("an empty budget", begin, 40000);
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_voice_codes_that_rejoin);
	UNIT(test_voice_resume_refused);
	UNIT(test_moved_by_a_moderator);
	UNIT(test_4022_and_another_server);
	UNIT(test_kicked_with_4022);
	UNIT(test_udp_refused);
	UNIT(test_udp_mute);
	UNIT(test_keepalives_are_not_waited_for);
	UNIT(test_dave_invalid_commit);
	UNIT(test_dave_lost_welcome);
	UNIT(test_dave_garbled_sender);
	UNIT(test_dave_changes_mid_speech);
	UNIT(test_4017_is_told);
	UNIT(test_channel_full);
	UNIT(test_empty_budget);
	UNIT(test_fatal_codes_stop);
	UNIT(test_missing_intent);
	UNIT(test_crash_loop_spares_the_token);
	UNIT(test_channel_deleted);
	return e2e_done();
}
