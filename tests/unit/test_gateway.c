/* SPDX-License-Identifier: MIT
 *
 * test_gateway.c - the main gateway: handshake, heartbeats, every close code, resume and identify,
 * the budget, the limit of sends, and messages that make no sense.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/gateway.h"
#include "discord/gateway_codes.h"

#include <errno.h>
#include <unistd.h>

#define SEC NS_PER_SEC

static char did[8192]; /* what the machine did, one word or two per action */
static char url[640], sent[4200], fatal_text[256];
static double dice = 0.5;
static int64_t wall = 1800000000000;
static struct identify_budget saved;
static int sends;

static void add(const char *what)
{
	strncat(did, what, sizeof(did) - strlen(did) - 1);
	strncat(did, " ", sizeof(did) - strlen(did) - 1);
}
static void op_discover(void *ctx) { add("discover"); }
static void op_connect(void *ctx, const char *u)
{
	snprintf(url, sizeof(url), "%s", u);
	add("connect");
}
static void op_close(void *ctx, int code)
{
	char text[32];
	snprintf(text, sizeof(text), "close:%d", code);
	add(text);
}
static void op_send(void *ctx, const char *text, size_t bytes)
{
	snprintf(sent, sizeof(sent), "%.*s", (int)bytes, text);
	sends++;
	char op[16];
	snprintf(op, sizeof(op), "op%d", atoi(strstr(sent, "\"op\":") + 5));
	add(op);
}
static void op_ready(void *ctx, bool resumed) { add(resumed ? "resumed" : "ready"); }
static void op_dispatch(void *ctx, const char *event, const struct json_at *d) { add(event); }
static void op_no_content(void *ctx) { add("no-content"); }
static void op_note(void *ctx, const char *text) {}
static void op_fatal(void *ctx, const char *sentence)
{
	snprintf(fatal_text, sizeof(fatal_text), "%s", sentence);
	add("fatal");
}
static void op_budget(void *ctx, const struct identify_budget *b) { saved = *b; }
static double op_random(void *ctx) { return dice; }
static int64_t op_wall(void *ctx) { return wall; }

static const struct gateway_ops ops = {
	op_discover, op_connect, op_close, op_send, op_ready, op_dispatch, op_no_content, op_note,
	op_fatal, op_budget, op_random, op_wall,
};

static struct gateway *make(void)
{
	struct gateway_config config = {.token = "t.o.k", .ops = &ops};
	struct gateway *g;
	identify_budget_init(&config.budget);
	gateway_create(&g, &config);
	did[0] = 0;
	sends = 0;
	dice = 0.5;
	return g;
}

static void say(struct gateway *g, const char *text, int64_t now)
{
	gateway_message(g, text, strlen(text), now);
}

#define HELLO "{\"op\":10,\"d\":{\"heartbeat_interval\":41250},\"s\":null,\"t\":null}"
#define READY_TEXT \
	"{\"op\":0,\"s\":1,\"t\":\"READY\",\"d\":{\"v\":10,\"user\":{\"id\":\"42\"}," \
	"\"session_id\":\"sess\",\"resume_gateway_url\":\"wss://resume.example/\"," \
	"\"application\":{\"id\":\"43\",\"flags\":0},\"guilds\":[]}}"

/* Up to READY at time `now`. */
static struct gateway *ready(int64_t now)
{
	struct gateway *g = make();
	gateway_start(g, now);
	gateway_discovered(g, "wss://gateway.example/", 999, 1000, now);
	gateway_opened(g, now);
	say(g, HELLO, now);
	say(g, READY_TEXT, now);
	did[0] = 0;
	return g;
}

static void test_first_session(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://gateway.example", 999, 1000, 0);
	CHECK_STR(url, "wss://gateway.example/?v=10&encoding=json");
	gateway_opened(g, 0);
	say(g, HELLO, 0);
	CHECK_STR(did, "discover connect op2 ");
	CHECK(strstr(sent, "\"token\":\"t.o.k\""));
	CHECK(strstr(sent, "\"intents\":33409"));
	CHECK_INT(gateway_state(g), GATEWAY_IDENTIFYING);
	say(g, READY_TEXT, 0);
	CHECK_INT(gateway_state(g), GATEWAY_READY);
	CHECK_INT(gateway_user_id(g), 42);
	CHECK_INT(gateway_application_id(g), 43);
	CHECK_INT(saved.remaining, 998);
	gateway_destroy(g);
}

/* The base URL's path is kept, its query is ours. */
static void test_url_forms(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://127.0.0.1:99/gw?x=1", 9, 1, 0);
	CHECK_STR(url, "wss://127.0.0.1:99/gw?v=10&encoding=json");
	gateway_destroy(g);
}

static void test_heartbeat_jitter_interval_and_ack(void)
{
	struct gateway *g = ready(0);
	CHECK_INT(gateway_deadline_ns(g), 41250 * NS_PER_MS / 2); /* dice 0.5 */
	gateway_tick(g, 41250 * NS_PER_MS / 2);
	CHECK_STR(did, "op1 ");
	CHECK(strstr(sent, "\"d\":1")); /* the last s */
	CHECK_INT(gateway_deadline_ns(g), 41250 * NS_PER_MS * 3 / 2);
	say(g, "{\"op\":11}", 41250 * NS_PER_MS / 2 + 30 * NS_PER_MS);
	CHECK_INT(gateway_rtt_ns(g), 30 * NS_PER_MS);
	gateway_tick(g, gateway_deadline_ns(g));
	CHECK_STR(did, "op1 op1 ");
	gateway_destroy(g);
}

static void test_asked_for_heartbeat(void)
{
	struct gateway *g = ready(0);
	say(g, "{\"op\":1,\"d\":null}", SEC);
	CHECK_STR(did, "op1 ");
	gateway_destroy(g);
}

/* A heartbeat that was not answered: close with neither 1000 nor 1001, then resume. */
static void test_zombie_is_resumed(void)
{
	struct gateway *g = ready(0);
	gateway_tick(g, gateway_deadline_ns(g));
	int64_t at = gateway_deadline_ns(g);
	gateway_tick(g, at);
	CHECK_STR(did, "op1 close:4000 connect ");
	CHECK_STR(url, "wss://resume.example/?v=10&encoding=json");
	gateway_opened(g, at);
	say(g, HELLO, at);
	CHECK_STR(did, "op1 close:4000 connect op6 ");
	CHECK(strstr(sent, "\"session_id\":\"sess\"") && strstr(sent, "\"seq\":1"));
	say(g, "{\"op\":0,\"s\":2,\"t\":\"RESUMED\",\"d\":{}}", at);
	CHECK_INT(gateway_state(g), GATEWAY_READY);
	CHECK(strstr(did, "resumed"));
	gateway_destroy(g);
}

static const struct {
	int code;
	enum gateway_close_action action;
} table[] = {
	{1006, GATEWAY_CLOSE_RESUME},   {1000, GATEWAY_CLOSE_RESUME}, {1001, GATEWAY_CLOSE_RESUME},
	{4000, GATEWAY_CLOSE_RESUME},   {4001, GATEWAY_CLOSE_RESUME}, {4002, GATEWAY_CLOSE_RESUME},
	{4003, GATEWAY_CLOSE_IDENTIFY}, {4004, GATEWAY_CLOSE_FATAL},  {4005, GATEWAY_CLOSE_RESUME},
	{4007, GATEWAY_CLOSE_IDENTIFY}, {4008, GATEWAY_CLOSE_RESUME}, {4009, GATEWAY_CLOSE_IDENTIFY},
	{4010, GATEWAY_CLOSE_FATAL},    {4011, GATEWAY_CLOSE_FATAL},  {4012, GATEWAY_CLOSE_FATAL},
	{4013, GATEWAY_CLOSE_FATAL},
};

static void test_every_close_code(void)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct gateway *g = ready(0);
		gateway_closed(g, true, table[i].code, SEC);
		if (table[i].action == GATEWAY_CLOSE_FATAL) {
			CHECK_INT(gateway_state(g), GATEWAY_STOPPED);
			CHECK(strlen(fatal_text) > 40);
			CHECK_INT(gateway_deadline_ns(g), INT64_MAX);
		} else {
			CHECK_INT(gateway_state(g), GATEWAY_BACKOFF);
			if (table[i].code == 4008) /* rate limited: a pause first */
				CHECK(gateway_deadline_ns(g) >= 61 * SEC);
			gateway_tick(g, gateway_deadline_ns(g));
			CHECK_STR(did, table[i].action == GATEWAY_CLOSE_RESUME ? "connect "
										: "discover ");
		}
		gateway_destroy(g);
	}
}

/* 4014 here means a privileged intent: once more without message content, then the truth. */
static void test_disallowed_intent_falls_back_once(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://g/", 999, 1000, 0);
	gateway_opened(g, 0);
	say(g, HELLO, 0);
	gateway_closed(g, true, 4014, 0);
	CHECK(strstr(did, "no-content"));
	CHECK(!gateway_has_content(g));
	wall += 6000;
	gateway_tick(g, gateway_deadline_ns(g));
	gateway_opened(g, 6 * SEC);
	say(g, HELLO, 6 * SEC);
	CHECK(strstr(sent, "\"intents\":641"));
	gateway_closed(g, true, 4014, 6 * SEC);
	CHECK_INT(gateway_state(g), GATEWAY_STOPPED);
	gateway_destroy(g);
}

static void test_op7_reconnects_at_once(void)
{
	struct gateway *g = ready(0);
	say(g, "{\"op\":7,\"d\":null}", SEC);
	CHECK_STR(did, "close:4000 ");
	CHECK_INT(gateway_deadline_ns(g), SEC);
	gateway_tick(g, SEC);
	CHECK_STR(did, "close:4000 connect ");
	gateway_destroy(g);
}

static void test_op7_before_hello(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://g/", 999, 1000, 0);
	gateway_opened(g, 0);
	say(g, "{\"op\":7,\"d\":null}", 0);
	CHECK_INT(gateway_state(g), GATEWAY_BACKOFF);
	gateway_destroy(g);
}

static void test_op9(void)
{
	struct gateway *g = ready(0);
	say(g, "{\"op\":9,\"d\":true}", 0);
	CHECK(gateway_deadline_ns(g) >= SEC && gateway_deadline_ns(g) <= 5 * SEC);
	gateway_tick(g, gateway_deadline_ns(g));
	CHECK_STR(did, "close:4000 connect ");
	gateway_destroy(g);
	g = ready(0);
	say(g, "{\"op\":9,\"d\":false}", 0);
	gateway_tick(g, gateway_deadline_ns(g));
	CHECK_STR(did, "close:4000 discover ");
	gateway_destroy(g);
}

static void test_backoff_grows_to_a_minute(void)
{
	struct gateway *g = ready(0);
	int64_t now = 0, before = 0;
	dice = 1.0;
	gateway_closed(g, true, 1006, now);
	for (int i = 0; i < 12; i++) {
		int64_t at = gateway_deadline_ns(g);
		CHECK(at - now >= before || before >= 60 * SEC);
		CHECK(at - now <= 60 * SEC);
		before = at - now;
		now = at;
		gateway_tick(g, now);
		if (gateway_state(g) == GATEWAY_DISCOVERING)
			gateway_discovery_failed(g, false, -1, now);
		else
			gateway_closed(g, false, 1006, now);
	}
	CHECK_INT(before, 60 * SEC);
	gateway_destroy(g);
}

/* Lets the resume address be unreachable until something else is tried. */
static int64_t resume_unreached(struct gateway *g, int64_t now)
{
	for (int i = 0; i < 10; i++) {
		now = gateway_deadline_ns(g);
		gateway_tick(g, now);
		if (gateway_state(g) != GATEWAY_CONNECTING)
			break;
		CHECK_STR(url, "wss://resume.example/?v=10&encoding=json");
		gateway_closed(g, false, 1006, now);
	}
	CHECK_INT(gateway_state(g), GATEWAY_DISCOVERING);
	return now;
}

/* A resume address that cannot be reached is given up as soon as another gateway answers. */
static void test_unreachable_resume_address(void)
{
	struct gateway *g = ready(0);
	gateway_closed(g, true, 1006, 0);
	int64_t now = resume_unreached(g, 0);
	wall += 60000;
	gateway_discovered(g, "wss://other/", 500, 1000, now);
	CHECK_STR(url, "wss://other/?v=10&encoding=json");
	gateway_opened(g, now);
	did[0] = 0;
	say(g, HELLO, now);
	CHECK(strstr(sent, "\"op\":2"));
	gateway_destroy(g);
}

/* Nothing can be reached: our own network is away, and the session, which lives on for minutes, is not
 * thrown away for it. */
static void test_network_away_keeps_the_session(void)
{
	struct gateway *g = ready(0);
	say(g, "{\"op\":0,\"s\":41,\"t\":\"X\",\"d\":{}}", 0);
	gateway_closed(g, true, 1006, 0);
	int64_t now = resume_unreached(g, 0);
	gateway_discovery_failed(g, false, -1, now);
	now = resume_unreached(g, now);
	wall += 60000;
	/* REST answers, but not the gateway that it names */
	gateway_discovered(g, "wss://other/", 500, 1000, now);
	CHECK_STR(url, "wss://other/?v=10&encoding=json");
	gateway_closed(g, false, 1006, now);
	now = gateway_deadline_ns(g);
	gateway_tick(g, now);
	CHECK_STR(url, "wss://resume.example/?v=10&encoding=json");
	gateway_opened(g, now);
	say(g, HELLO, now);
	CHECK(strstr(sent, "\"op\":6") && strstr(sent, "\"session_id\":\"sess\",\"seq\":41"));
	gateway_destroy(g);
}

static void test_no_hello_no_ready(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://g/", 999, 1000, 0);
	gateway_opened(g, 0);
	gateway_tick(g, gateway_deadline_ns(g));
	CHECK(strstr(did, "close:4000"));
	CHECK_INT(gateway_state(g), GATEWAY_BACKOFF);
	gateway_destroy(g);
}

static void test_wrong_token_by_rest_is_fatal(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovery_failed(g, true, -1, 0);
	CHECK_INT(gateway_state(g), GATEWAY_STOPPED);
	CHECK(strstr(fatal_text, "BOT_TOKEN"));
	gateway_destroy(g);
}

static void test_empty_budget_waits(void)
{
	struct gateway *g = make();
	gateway_start(g, 0);
	gateway_discovered(g, "wss://g/", 0, 3600000, 0);
	CHECK_INT(gateway_state(g), GATEWAY_SPACING);
	CHECK_INT(gateway_deadline_ns(g), 3600 * SEC);
	CHECK(!strstr(did, "connect"));
	wall += 3600000;
	gateway_tick(g, 3600 * SEC);
	CHECK(!strstr(did, "connect"));
	gateway_discovered(g, "wss://g/", 1000, 86400000, 3600 * SEC);
	CHECK(strstr(did, "connect"));
	gateway_destroy(g);
}

/* The clock is set back by an hour, or ahead, while the budget is empty: that makes the wait neither
 * longer nor shorter. */
static void test_empty_budget_and_a_clock_that_is_set(void)
{
	for (int i = 0; i < 2; i++) {
		struct gateway *g = make();
		gateway_start(g, 0);
		gateway_discovered(g, "wss://g/", 0, 60000, 0);
		CHECK_INT(gateway_deadline_ns(g), 60 * SEC);
		wall += i ? 3600000 : -3600000;
		gateway_tick(g, 59 * SEC);
		CHECK(!strstr(did, "connect"));
		wall += 60000;
		gateway_tick(g, 60 * SEC);
		CHECK_INT(gateway_state(g), GATEWAY_DISCOVERING);
		gateway_discovered(g, "wss://g/", 1000, 86400000, 60 * SEC);
		CHECK(strstr(did, "connect"));
		gateway_destroy(g);
	}
}

/* The last identify lies in the future, by a clock that was set back since: one spacing, no more. */
static void test_spacing_and_a_clock_that_is_set_back(void)
{
	struct gateway *g = ready(0);
	wall -= 3600000;
	say(g, "{\"op\":9,\"d\":false}", SEC);
	for (int64_t s = 2; s < 20 && gateway_state(g) != GATEWAY_SPACING; s++) {
		gateway_tick(g, s * SEC);
		if (gateway_state(g) == GATEWAY_DISCOVERING)
			gateway_discovered(g, "wss://g/", 1000, 86400000, s * SEC);
	}
	CHECK_INT(gateway_state(g), GATEWAY_SPACING);
	wall += 5000;
	gateway_tick(g, gateway_deadline_ns(g));
	CHECK_INT(gateway_state(g), GATEWAY_CONNECTING);
	gateway_destroy(g);
}

static void test_sends_are_limited(void)
{
	struct gateway *g = ready(0);
	int accepted = 0;
	for (int i = 0; i < 200; i++)
		accepted += gateway_send_voice_state(g, 1, 2, SEC) == 0;
	CHECK(strstr(sent, "\"self_deaf\":false"));
	CHECK(accepted < 200); /* the queue is bounded */
	sends = 0;
	gateway_tick(g, 2 * SEC);
	CHECK_INT(sends, 0);
	gateway_tick(g, 62 * SEC); /* a heartbeat and what waited */
	CHECK(sends > 10 && sends < 20);
	gateway_destroy(g);
}

static void test_leave_is_null(void)
{
	struct gateway *g = make();
	CHECK_INT(gateway_send_voice_state(g, 1, 2, 0), -EAGAIN);
	gateway_destroy(g);
	g = ready(0);
	CHECK_INT(gateway_send_voice_state(g, 811, 0, 0), 0);
	CHECK_STR(sent, "{\"op\":4,\"d\":{\"guild_id\":\"811\",\"channel_id\":null,\"self_mute\":false,"
			"\"self_deaf\":false}}");
	gateway_destroy(g);
}

static void test_events_are_handed_on(void)
{
	struct gateway *g = ready(0);
	say(g, "{\"op\":0,\"s\":9,\"t\":\"VOICE_STATE_UPDATE\",\"d\":{\"user_id\":\"1\"}}", 0);
	CHECK_STR(did, "VOICE_STATE_UPDATE ");
	say(g, "{\"op\":0,\"s\":10,\"t\":\"SOMETHING_NEW\",\"d\":[1]}", 0);
	say(g, "{\"op\":77,\"d\":{}}", 0);
	say(g, "{\"op\":1}", 0);
	CHECK(strstr(sent, "\"d\":10"));
	gateway_destroy(g);
}

static void test_malformed_changes_nothing(void)
{
	static const char *const bad[] = {
		"", "{", "[]", "null", "7", "{\"op\":\"x\"}", "{\"op\":-1}", "{\"op\":1e99}", "{}",
		"{\"op\":0}", "{\"op\":0,\"t\":7,\"d\":{}}", "{\"op\":0,\"s\":-4,\"t\":\"X\",\"d\":{}}",
		"{\"op\":10}", "{\"op\":10,\"d\":{\"heartbeat_interval\":0}}",
		"{\"op\":0,\"s\":1,\"t\":\"READY\",\"d\":{\"user\":{\"id\":\"x\"}}}", "\xFF\xFE",
	};
	struct gateway *g = ready(0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		say(g, bad[i], 0);
	CHECK_STR(did, "");
	CHECK_INT(gateway_state(g), GATEWAY_READY);
	gateway_destroy(g);
}

static void test_mutations_never_crash(void)
{
	static const char *const seeds[] = {HELLO, READY_TEXT, "{\"op\":9,\"d\":true}",
					    "{\"op\":0,\"s\":2,\"t\":\"RESUMED\",\"d\":{}}"};
	unsigned seed = 3;
	struct gateway *g = make();
	gateway_start(g, 0);
	for (int i = 0; i < 20000; i++) {
		char text[512];
		const char *from = seeds[rand_r(&seed) % 4];
		size_t n = strlen(from);
		memcpy(text, from, n);
		for (int k = rand_r(&seed) % 3; k >= 0; k--)
			text[(size_t)rand_r(&seed) % n] = (char)rand_r(&seed);
		gateway_discovered(g, "wss://g/", 999, 1000, i);
		gateway_opened(g, i);
		wall += 10000;
		gateway_message(g, text, n, i);
		if (gateway_state(g) == GATEWAY_BACKOFF || gateway_state(g) == GATEWAY_SPACING)
			gateway_tick(g, INT64_MAX - 1000000 * SEC);
	}
	gateway_destroy(g);
}

static void test_budget_spacing(void)
{
	struct identify_budget b;
	identify_budget_init(&b);
	CHECK_INT(identify_budget_wait_ms(&b, 1000000), 0);
	identify_budget_spend(&b, 1000000);
	CHECK_INT(identify_budget_wait_ms(&b, 1001000), 4000);
	CHECK_INT(identify_budget_wait_ms(&b, 1005000), 0);
	/* the clock was set back: never longer than one spacing */
	CHECK_INT(identify_budget_wait_ms(&b, 5000), IDENTIFY_SPACING_MS);
	/* set back by years while few are left: they are spread over a day, not over the years */
	b = (struct identify_budget){.last_ms = 1, .reset_ms = 1800000000000, .remaining = 10};
	CHECK(identify_budget_wait_ms(&b, 1000) <= 24 * 3600 * 1000LL / 10);
}

/* A crash loop that identifies whenever it may uses at most the budget of a day in a day. */
static void test_budget_outlives_a_crash_loop(void)
{
	struct identify_budget b;
	int64_t now = 1800000000000, end = now + 24 * 3600 * 1000LL;
	int n = 0;
	identify_budget_init(&b);
	identify_budget_learn(&b, now, 1000, 24 * 3600 * 1000LL);
	while (now < end) {
		now += identify_budget_wait_ms(&b, now);
		if (now >= end)
			break;
		identify_budget_spend(&b, now);
		n++;
		now += 10;
	}
	CHECK(n <= 1000);
	CHECK(n > 900);
}

static void test_budget_on_disk(void)
{
	char path[] = "/tmp/budget-XXXXXX";
	struct identify_budget a, b;
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	close(fd);
	CHECK_INT(identify_budget_load(&b, path), -EBADMSG);
	identify_budget_init(&a);
	identify_budget_learn(&a, 1000, 77, 5000);
	identify_budget_spend(&a, 2000);
	CHECK_INT(identify_budget_save(&a, path), 0);
	CHECK_INT(identify_budget_load(&b, path), 0);
	CHECK_INT(b.last_ms, 2000);
	CHECK_INT(b.reset_ms, 6000);
	CHECK_INT(b.remaining, 76);
	unlink(path);
	CHECK_INT(identify_budget_load(&b, path), -ENOENT);
	CHECK_INT(b.remaining, -1);
}

int main(void)
{
	UNIT(test_first_session);
	UNIT(test_url_forms);
	UNIT(test_heartbeat_jitter_interval_and_ack);
	UNIT(test_asked_for_heartbeat);
	UNIT(test_zombie_is_resumed);
	UNIT(test_every_close_code);
	UNIT(test_disallowed_intent_falls_back_once);
	UNIT(test_op7_reconnects_at_once);
	UNIT(test_op7_before_hello);
	UNIT(test_op9);
	UNIT(test_backoff_grows_to_a_minute);
	UNIT(test_unreachable_resume_address);
	UNIT(test_network_away_keeps_the_session);
	UNIT(test_no_hello_no_ready);
	UNIT(test_wrong_token_by_rest_is_fatal);
	UNIT(test_empty_budget_waits);
	UNIT(test_empty_budget_and_a_clock_that_is_set);
	UNIT(test_spacing_and_a_clock_that_is_set_back);
	UNIT(test_sends_are_limited);
	UNIT(test_leave_is_null);
	UNIT(test_events_are_handed_on);
	UNIT(test_malformed_changes_nothing);
	UNIT(test_mutations_never_crash);
	UNIT(test_budget_spacing);
	UNIT(test_budget_outlives_a_crash_loop);
	UNIT(test_budget_on_disk);
	return unit_done();
}
