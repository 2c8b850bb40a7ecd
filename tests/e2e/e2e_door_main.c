/* SPDX-License-Identifier: MIT
 *
 * e2e_door - who is let in: signatures, tokens, and what malformed input does to a call that is up
 * (nothing).
 */
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

#define CALLER 1013
#define MEMBER 617

/* Calls by hand open no stream and count for a while: many are allowed. */
static const struct world_options options = {
	.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=200\n",
};

static int number(const cJSON *o, const char *key)
{
	const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(i) ? i->valueint : -1;
}

static const char *text(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static int calls_now(void)
{
	cJSON *root = world_api(&W, "bridge", "GET", "/v1/state", NULL);
	const cJSON *lines = cJSON_GetObjectItemCaseSensitive(root, "lines");
	int n = cJSON_GetArraySize(
		cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(lines, 0), "calls"));

	cJSON_Delete(root);
	return n;
}

/* A webhook request that must be refused and leave no call behind. */
static void refused(const char *members)
{
	int before = calls_now();

	CHECK_INT(number(simulator_ask(W.phone, "post", "\"fill\":true,%s", members), "status"), 403);
	CHECK_INT(calls_now(), before);
}

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
}

/* ---- the webhook ---- */

static void test_webhook_signature_wrong(void)
{
	E2E_NEEDS_WORLD();
	refused("\"signature\":\"wrong\"");
}

static void test_webhook_signature_missing(void)
{
	E2E_NEEDS_WORLD();
	refused("\"signature\":\"missing\"");
}

static void test_webhook_of_another_account(void)
{
	E2E_NEEDS_WORLD();
	refused("\"form\":{\"AccountSid\":\"ACffffffffffffffffffffffffffffffff\"}");
}

/* All fields are signed, those that nobody knows included. */
static void test_webhook_unknown_fields(void)
{
	const cJSON *o;

	E2E_NEEDS_WORLD();
	o = simulator_ask(W.phone, "post",
			  "\"fill\":true,\"form\":{\"Zzz\":\" a+b & ü=%% \",\"Empty\":\"\"}");
	CHECK_INT(number(o, "status"), 200);
	CHECK(strstr(text(o, "body"), "<Connect>"));
}

/* ---- the stream ---- */

/* The TwiML of a new call by hand; the stream's path and the token in it. */
static void new_call(char *path, size_t len, char *sid, size_t sid_len)
{
	static int n;
	const cJSON *o;
	const char *url;

	snprintf(sid, sid_len, "CA%032x", ++n + 0xabc000);
	o = simulator_ask(W.phone, "post", "\"fill\":true,\"form\":{\"CallSid\":\"%s\"}", sid);
	CHECK_INT(number(o, "status"), 200);
	url = strstr(text(o, "body"), "wss://loopline.test/");
	CHECK(url);
	url += strlen("wss://loopline.test");
	snprintf(path, len, "%.*s", (int)strcspn(url, "\""), url);
	CHECK(strlen(path) > 7 + 20);
}

static void test_stream_signature_wrong(void)
{
	char path[256], sid[40];

	E2E_NEEDS_WORLD();
	new_call(path, sizeof(path), sid, sizeof(sid));
	CHECK_INT(number(simulator_ask(W.phone, "open",
				       "\"socket\":\"w\",\"path\":\"%s\",\"signature\":\"wrong\"",
				       path),
			 "status"),
		  403);
	new_call(path, sizeof(path), sid, sizeof(sid));
	CHECK_INT(number(simulator_ask(W.phone, "open",
				       "\"socket\":\"w\",\"path\":\"%s\",\"signature\":\"missing\"",
				       path),
			 "status"),
		  403);
}

static void test_stream_token_wrong(void)
{
	char path[256], sid[40];

	E2E_NEEDS_WORLD();
	new_call(path, sizeof(path), sid, sizeof(sid));
	path[strlen(path) - 1] = path[strlen(path) - 1] == '0' ? '1' : '0';
	CHECK_INT(number(simulator_ask(W.phone, "open", "\"socket\":\"w\",\"path\":\"%s\"", path),
			 "status"),
		  403);
	CHECK_INT(number(simulator_ask(W.phone, "open",
				       "\"socket\":\"w\",\"path\":\"/phone/"
				       "00000000000000000000000000000000\""),
			 "status"),
		  403);
}

static void test_stream_token_used_twice(void)
{
	char path[256], sid[40];

	E2E_NEEDS_WORLD();
	new_call(path, sizeof(path), sid, sizeof(sid));
	CHECK_INT(number(simulator_ask(W.phone, "open", "\"socket\":\"one\",\"path\":\"%s\"", path),
			 "status"),
		  101);
	CHECK_INT(number(simulator_ask(W.phone, "open", "\"socket\":\"two\",\"path\":\"%s\"", path),
			 "status"),
		  403);
	simulator_ask(W.phone, "close", "\"socket\":\"one\"");
}

/* A static twiml.xml is not served unless STATIC_TWIML says so. */
static void test_plain_phone_is_shut(void)
{
	const cJSON *o;

	E2E_NEEDS_WORLD();
	o = simulator_ask(W.phone, "open", "\"socket\":\"p\",\"path\":\"/phone\"");
	CHECK(number(o, "status") == 403 || number(o, "status") == 404);
}

/* A `start` with the token of another call, or without: the socket is closed, no call goes live. */
static void test_start_without_token(void)
{
	E2E_NEEDS_WORLD();
	simulator_ask(W.phone, "call", "\"call\":\"nt\",\"voice\":null,\"param_token\":\"wrong\"");
	simulator_wait(W.phone, 10000, "stream.closed", "call", "nt", "by", "peer", NULL);
	simulator_ask(W.phone, "hangup", "\"call\":\"nt\"");
	simulator_ask(W.phone, "call",
		      "\"call\":\"nm\",\"voice\":null,\"param_token\":\"missing\"");
	simulator_wait(W.phone, 10000, "stream.closed", "call", "nm", "by", "peer", NULL);
	simulator_ask(W.phone, "hangup", "\"call\":\"nm\"");
	world_check(&W, NULL);
}

/* Too late: the token lives for 60 s. The rest of the tests goes on meanwhile. */
static char late_path[256];
static int64_t late_since_ns;

static void test_stream_token_late_begin(void)
{
	char sid[40];

	E2E_NEEDS_WORLD();
	new_call(late_path, sizeof(late_path), sid, sizeof(sid));
	late_since_ns = harness_now_ns();
}

static void test_stream_token_too_late(void)
{
	int left;

	E2E_NEEDS_WORLD();
	CHECK(*late_path);
	left = (int)(61500 - (harness_now_ns() - late_since_ns) / 1000000);
	if (left > 0)
		harness_sleep_ms(left);
	CHECK_INT(number(simulator_ask(W.phone, "open", "\"socket\":\"l\",\"path\":\"%s\"",
				       late_path),
			 "status"),
		  403);
}

/* ---- a call goes on while the sockets are flooded with what no peer should send ---- */

static void begin_call(const char *name)
{
	calls_down(&W); /* what a failed test left */
	call_up(&W, 0, name, "null", true, "");
	call_settle(&W, name, "{\"tone\":1013}", "ann", "{\"tone\":617}", "");
	member_record(&W, "ann", name);
	harness_sleep_ms(500);
}

static void still_heard(const char *name, double begin, double seconds, double member_seconds)
{
	struct track t;
	struct signal_gaps g;
	char path[600];
	size_t from;

	member_recorded(&W, "ann", name, &t);
	expect_tones_at("the member", &t, begin, TONES(CALLER), TONES(MEMBER));
	from = (size_t)track_sample(&t, begin);
	signal_find_gaps(&g, t.wav.samples + from, (size_t)(member_seconds * 48000), 48000, CALLER);
	printf("# phone to Discord: %zu gaps, %.1f ms\n", g.count, g.total_s * 1000);
	CHECK(g.share < 0.02);
	track_free(&t);
	simulator_ask(W.phone, "flush", "\"call\":\"%s\"", name);
	snprintf(path, sizeof(path), "%s/rec/%s.0", W.dir, name);
	track_load(&t, path, "heard");
	expect_tones_at("the caller", &t, begin, TONES(MEMBER), TONES(CALLER));
	from = (size_t)track_sample(&t, begin);
	signal_find_gaps(&g, t.wav.samples + from, (size_t)(seconds * 8000), 8000, MEMBER);
	printf("# Discord to phone: %zu gaps, %.1f ms\n", g.count, g.total_s * 1000);
	CHECK(g.share < 0.02);
	track_free(&t);
}

static void finish_call(const char *name)
{
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	call_down(&W, name);
	simulator_forget(W.phone);
	simulator_forget(W.discord);
}

/* Another call's stream, opened rightly, and then nonsense: it costs only that stream. */
static void test_malformed_on_streams(void)
{
	double begin;
	int sent = 0, sockets = 0;

	E2E_NEEDS_WORLD();
	begin_call("ms");
	begin = (double)harness_now_ns();
	while (sent < 1000 && sockets < 1000) {
		char path[256], sid[40];
		const cJSON *o;

		new_call(path, sizeof(path), sid, sizeof(sid));
		sockets++;
		o = simulator_ask(W.phone, "open", "\"socket\":\"m%d\",\"path\":\"%s\"", sockets,
				  path);
		CHECK_INT(number(o, "status"), 101);
		/* each with a start of the right shape on every other one, so that the rest is
		 * reached */
		if (sockets % 2)
			simulator_try(
				W.phone, "send",
				"\"socket\":\"m%d\",\"text\":\"{\\\"event\\\":\\\"connected\\\","
				"\\\"protocol\\\":\\\"Call\\\",\\\"version\\\":\\\"1.0.0\\\"}\"",
				sockets);
		simulator_try(W.phone, "malformed", "\"socket\":\"m%d\",\"from\":%d,\"count\":25",
			      sockets, sent);
		sent += 25;
		simulator_try(W.phone, "close", "\"socket\":\"m%d\"", sockets);
	}
	printf("# %d malformed messages on %d sockets\n", sent, sockets);
	if (harness_now_ns() < begin + 6e9)
		harness_sleep_ms((int)((begin + 6e9 - (double)harness_now_ns()) / 1e6));
	still_heard("ms", begin, 5, 5);
	finish_call("ms");
	world_check(&W, NULL);
}

/* On the call's own stream: it may cost the stream at worst, never the call. */
static void test_malformed_on_own_stream(void)
{
	struct track t;
	double begin;

	E2E_NEEDS_WORLD();
	begin_call("mo");
	simulator_ask(W.phone, "malformed", "\"call\":\"mo\",\"count\":200");
	harness_sleep_ms(2500);
	/* a stream that was closed for it has been opened again by the redirect */
	begin = (double)harness_now_ns();
	harness_sleep_ms(6000);
	member_recorded(&W, "ann", "mo", &t);
	expect_tones_at("the member", &t, begin, TONES(CALLER), TONES(MEMBER));
	track_free(&t);
	finish_call("mo");
	world_check(&W, NULL);
}

static void test_malformed_requests(void)
{
	const cJSON *o;
	double begin;

	E2E_NEEDS_WORLD();
	begin_call("mr");
	begin = (double)harness_now_ns();
	o = simulator_ask(W.phone, "flood", "\"count\":1000");
	CHECK(!cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "answered"),
						"200"));
	if (harness_now_ns() < begin + 6e9)
		harness_sleep_ms((int)((begin + 6e9 - (double)harness_now_ns()) / 1e6));
	still_heard("mr", begin, 5, 5);
	finish_call("mr");
	world_check(&W, NULL);
}

/* 1 000 malformed messages each from the main gateway and the voice gateway, 1 000 datagrams. A
 * gateway may be left and joined again for it; the call must not notice for long. */
static void test_malformed_from_discord(void)
{
	double begin;

	E2E_NEEDS_WORLD();
	begin_call("md");
	begin = (double)harness_now_ns();
	simulator_ask(W.discord, "udp_garbage", "\"count\":1000");
	harness_sleep_ms(6000);
	still_heard("md", begin, 5, 5);
	member_record(&W, "ann", "md");
	for (int i = 0; i < 40; i++) {
		simulator_try(W.discord, "malformed", "\"to\":\"voice\",\"count\":25,\"seed\":%d",
			      i);
		simulator_try(W.discord, "malformed", "\"to\":\"gateway\",\"count\":25,\"seed\":%d",
			      i);
		harness_sleep_ms(50);
	}
	harness_sleep_ms(3000);
	world_wait_channel(&W, 0, "connected", 30000);
	begin = (double)harness_now_ns();
	harness_sleep_ms(6000);
	{
		struct track t;

		member_recorded(&W, "ann", "md", &t);
		expect_tones_at("the member", &t, begin, TONES(CALLER), TONES(MEMBER));
		track_free(&t);
	}
	finish_call("md");
	world_check(&W, "never sent"); /* numbers that were part of the nonsense */
}

/* The local sockets: malformed HTTP and nonsense cost nobody anything. */
static void test_malformed_on_local_sockets(void)
{
	double begin;
	char cmd[1024];

	E2E_NEEDS_WORLD();
	begin_call("ml");
	begin = (double)harness_now_ns();
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 2; k++) {
			int status;

			cJSON_Delete(world_api(&W, k ? "discord" : "bridge", "POST",
					       "/v1/calls/%2e%2e/hangup", &status));
			CHECK(status == 0 || status >= 400);
			cJSON_Delete(world_api(&W, k ? "discord" : "bridge", "POST",
					       "/v1/lines/-1/connect", &status));
			CHECK(status == 0 || status >= 400);
		}
	}
	for (int k = 0; k < 2; k++) {
		snprintf(cmd, sizeof(cmd),
			 "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 3000 /dev/urandom | timeout 1 "
			 "curl -s -m 1 "
			 "--unix-socket '%s/%s.sock' -H 'Expect:' --data-binary @- "
			 "http://localhost/v1/state >/dev/null; done",
			 W.dir, k ? "discord" : "bridge");
		if (system(cmd))
			continue; /* refused or dropped: both are fine */
	}
	if (harness_now_ns() < begin + 6e9)
		harness_sleep_ms((int)((begin + 6e9 - (double)harness_now_ns()) / 1e6));
	still_heard("ml", begin, 5, 5);
	finish_call("ml");
	world_check(&W, "never sent"); /* numbers that were part of the nonsense */
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_stream_token_late_begin);
	UNIT(test_webhook_signature_wrong);
	UNIT(test_webhook_signature_missing);
	UNIT(test_webhook_of_another_account);
	UNIT(test_webhook_unknown_fields);
	UNIT(test_stream_signature_wrong);
	UNIT(test_stream_token_wrong);
	UNIT(test_stream_token_used_twice);
	UNIT(test_plain_phone_is_shut);
	UNIT(test_start_without_token);
	UNIT(test_malformed_on_streams);
	UNIT(test_malformed_on_own_stream);
	UNIT(test_malformed_requests);
	UNIT(test_malformed_from_discord);
	UNIT(test_malformed_on_local_sockets);
	UNIT(test_stream_token_too_late);
	return e2e_done();
}
