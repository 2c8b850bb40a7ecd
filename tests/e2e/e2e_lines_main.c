/* SPDX-License-Identifier: MIT
 *
 * e2e_lines - two lines at once: two numbers, two guilds, no crosstalk; commands; XChaCha20.
 */
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

#define CALLER  1013
#define MEMBER  617
#define CALLER2 1511
#define MEMBER2 887

#define FIRST  "+14155550190"
#define SECOND "+14155550191"

static const struct world_options options = {
	.settings = "CONNECT=call\nWAITING=silence\n",
	.conf = "[line 1]\nVOICE_CHANNEL_ID = " LOUNGE2 "\nTEXT_CHANNEL_ID = " TEXT2
		"\nNUMBER = " SECOND "\n",
	.xchacha = true,
};

static void test_two_lines(void)
{
	struct track t;
	double begin;

	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	member_in(&W, "bob", LOUNGE2);
	call_up(&W, 0, "one", "{\"tone\":1013}", true, "\"to\":\"" FIRST "\"");
	call_up(&W, 1, "two", "{\"tone\":1511}", true, "\"to\":\"" SECOND "\"");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	simulator_ask(W.discord, "speak", "\"member\":\"bob\",\"voice\":{\"tone\":887}");
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "one", NULL);
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "two", NULL);
	member_record(&W, "ann", "ann");
	member_record(&W, "bob", "bob");
	begin = (double)harness_now_ns() + 5e8;
	harness_sleep_ms(6500);
	member_recorded(&W, "ann", "ann", &t);
	expect_tones_at("ann", &t, begin, TONES(CALLER), TONES(CALLER2, MEMBER, MEMBER2));
	track_free(&t);
	member_recorded(&W, "bob", "bob", &t);
	expect_tones_at("bob", &t, begin, TONES(CALLER2), TONES(CALLER, MEMBER, MEMBER2));
	track_free(&t);
	call_down(&W, "one");
	call_down(&W, "two");
	track_load(&t, world_file(&W, "rec/one.0"), "heard");
	expect_tones_at("the first caller", &t, begin, TONES(MEMBER),
			TONES(MEMBER2, CALLER, CALLER2));
	track_free(&t);
	track_load(&t, world_file(&W, "rec/two.0"), "heard");
	expect_tones_at("the second caller", &t, begin, TONES(MEMBER2),
			TONES(MEMBER, CALLER, CALLER2));
	track_free(&t);
	world_check(&W, NULL);
}

/* The bot leaves ten seconds after the last call, on each line by itself. */
static void test_bot_leaves(void)
{
	E2E_NEEDS_WORLD();
	simulator_forget(W.discord);
	world_wait_channel(&W, 0, "disconnected", 20000);
	world_wait_channel(&W, 1, "disconnected", 20000);
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_two_lines);
	UNIT(test_bot_leaves);
	return e2e_done();
}
