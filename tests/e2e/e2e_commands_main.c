/* SPDX-License-Identifier: MIT
 *
 * e2e_commands - the proof of concept's way of use: its `.env`, the notice in the text channel,
 * `$connect`, what a caller hears while he waits, `$hangup`, `$disconnect`; slash commands.
 */
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

/* The keys of the proof of concept are there in any case; PROXY_SERVER_URL is accepted. */
static const struct world_options options = {
	.settings = "PROXY_SERVER_URL=wss://example.com/phone\nWAITING=echo\n",
};

static const char *text(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
}

/* A call is announced, told how to be answered; the number is not told in full. */
static void test_notice(void)
{
	const cJSON *o;

	E2E_NEEDS_WORLD();
	simulator_ask(W.phone, "call",
		      "\"call\":\"c\",\"from\":\"+14155550123\",\"voice\":{\"tone\":1013},"
		      "\"record\":\"%s\"",
		      world_file(&W, "rec"));
	simulator_wait(W.phone, 10000, "stream.open", "call", "c", NULL);
	o = simulator_wait(W.discord, 10000, "message", "what", "created", "channel", TEXT, NULL);
	CHECK(strstr(text(o, "content"), "$connect"));
	CHECK(strstr(text(o, "content"), "0123"));
	CHECK(!strstr(text(o, "content"), "4155550123"));
	world_check(&W, NULL);
}

/* WAITING=echo: the caller hears himself until somebody connects. */
static void test_echo_while_waiting(void)
{
	struct track t;
	double begin;

	E2E_NEEDS_WORLD();
	begin = (double)harness_now_ns();
	harness_sleep_ms(6000);
	CHECK(!simulator_seen(W.discord, "gateway.op4", NULL));
	simulator_ask(W.phone, "flush", "\"call\":\"c\"");
	track_load(&t, world_file(&W, "rec/c.0"), "heard");
	expect_tones_at("the waiting caller", &t, begin, TONES(1013), TONES(617));
	track_free(&t);
}

static void test_connect(void)
{
	struct track t;
	double begin;

	E2E_NEEDS_WORLD();
	simulator_ask(W.discord, "say",
		      "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"$connect\"");
	simulator_wait(W.discord, 10000, "gateway.op4", "channel", LOUNGE, NULL);
	world_wait_channel(&W, 0, "connected", 15000);
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	member_record(&W, "ann", "ann");
	harness_sleep_ms(1000);
	begin = (double)harness_now_ns();
	harness_sleep_ms(6000);
	member_recorded(&W, "ann", "ann", &t);
	expect_tones_at("the member", &t, begin, TONES(1013), TONES(617));
	track_free(&t);
	simulator_ask(W.phone, "flush", "\"call\":\"c\"");
	track_load(&t, world_file(&W, "rec/c.0"), "heard");
	expect_tones_at("the caller", &t, begin, TONES(617), TONES(1013));
	track_free(&t);
	world_check(&W, NULL);
}

/* `$disconnect` sends the caller back to waiting, the slash command brings the bot back. */
static void test_disconnect_and_slash_connect(void)
{
	E2E_NEEDS_WORLD();
	simulator_forget(W.discord);
	simulator_ask(W.discord, "say",
		      "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"$disconnect\"");
	simulator_wait(W.discord, 10000, "gateway.op4", "channel", "null", NULL);
	world_wait_channel(&W, 0, "disconnected", 10000);
	world_wait_calls(&W, 0, 1, 1000);
	simulator_ask(W.discord, "interact",
		      "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"command\":\"connect\"");
	simulator_wait(W.discord, 3000, "interaction.reply", NULL);
	world_wait_channel(&W, 0, "connected", 15000);
	world_check(&W, NULL);
}

/* `$hangup` ends the call by REST; the notice tells that it is over. */
static void test_hangup(void)
{
	const cJSON *o;

	E2E_NEEDS_WORLD();
	simulator_forget(W.discord);
	simulator_ask(W.discord, "say",
		      "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"$hangup\"");
	simulator_wait(W.phone, 10000, "call.ended", "call", "c", NULL);
	world_wait_calls(&W, 0, 0, 5000);
	o = simulator_wait(W.discord, 10000, "message", "what", "edited", NULL);
	printf("# the notice says: %s\n", text(o, "content"));
	world_check(&W, NULL);
}

/* A bot's or a stranger's message is no command. */
static void test_bots_are_not_obeyed(void)
{
	E2E_NEEDS_WORLD();
	simulator_forget(W.discord);
	simulator_ask(W.discord, "member", "\"member\":\"robot\",\"bot\":true");
	simulator_ask(W.discord, "say",
		      "\"member\":\"robot\",\"channel\":\"" TEXT "\",\"content\":\"$disconnect\"");
	harness_sleep_ms(1000);
	CHECK(!simulator_seen(W.discord, "gateway.op4", NULL));
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_notice);
	UNIT(test_echo_while_waiting);
	UNIT(test_connect);
	UNIT(test_disconnect_and_slash_connect);
	UNIT(test_hangup);
	UNIT(test_bots_are_not_obeyed);
	return e2e_done();
}
