/* SPDX-License-Identifier: MIT
 *
 * test_webhook.c - what Twilio is told about calls.
 */
#include "bridge/webhook.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <unistd.h>

#include "bridge/bridge_settings.h"
#include "bridge/signature.h"

#define SECOND  INT64_C(1000000000)
#define ACCOUNT "AC0123456789abcdef0123456789abcdef"
#define AUTH    "0123456789"

static struct settings *settings;
static struct call_table *calls;
static struct token_store *tokens;
static struct webhook *webhook;
static struct webhook_answer answer;
static int64_t now;
static char ended[64];

static void on_changed(void *user, struct call *call)
{
}

static void on_ended(void *user, struct call *call, enum call_end reason)
{
	snprintf(ended, sizeof(ended), "%s", call_end_text(reason));
}

static void on_drop(void *user, struct call *call, void *stream)
{
}

static void report(void *arg, enum log_level level, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static void load(const char *const *environment)
{
	struct settings_sources sources = {
		.conf_file = "/dev/null",
		.env_file = "/dev/null",
		.credentials_dir = "",
		.environment = environment,
		.report = report,
	};

	settings_unref(settings);
	settings = NULL;
	CHECK_INT(settings_load(&settings, &bridge_settings_program, &sources), 0);
}

static void setup(void)
{
	static const struct call_hooks hooks = {
		.changed = on_changed, .ended = on_ended, .drop_stream = on_drop, .notice = on_changed};
	static const char *const environment[] = {
		"TWILIO_ACCOUNT_SID=" ACCOUNT, "TWILIO_AUTH_TOKEN=" AUTH,
		"PUBLIC_URL=https://bridge.example/pre", "MAX_CALLS=2", NULL};

	log_level_set(LOG_LEVEL_ERROR);
	load(environment);
	webhook_destroy(webhook);
	call_table_destroy(calls);
	token_store_destroy(tokens);
	CHECK_INT(call_table_create(&calls, &hooks), 0);
	CHECK_INT(token_store_create(&tokens), 0);
	CHECK_INT(webhook_create(&webhook, calls, tokens), 0);
	now = 100 * SECOND;
	ended[0] = '\0';
}

static const char *ask_as(const struct webhook_request *request)
{
	strbuf_free(&answer.body);
	strbuf_init(&answer.body, 8192);
	answer.status = 0;
	webhook_handle(webhook, settings, request, now, 0, &answer);
	return strbuf_text(&answer.body);
}

/* A request as Twilio makes it: signed over the public address. */
static const char *ask(const char *path, const char *body, const char *idempotency)
{
	char signature[SIGNATURE_CHARS + 1], url[256];
	struct webhook_request request = {
		.method = "POST", .target = path, .body = body, .body_len = strlen(body),
		.content_type = "application/x-www-form-urlencoded; charset=UTF-8",
		.signature = signature, .idempotency = idempotency, .peer = "test",
	};
	struct form *form;

	snprintf(url, sizeof(url), "https://bridge.example/pre%s", path);
	CHECK_INT(form_parse(&form, body, strlen(body)), 0);
	CHECK_INT(signature_compute(signature, AUTH, url, form), 0);
	form_destroy(form);
	return ask_as(&request);
}

#define CALL(sid) \
	"AccountSid=" ACCOUNT "&CallSid=" sid "&CallStatus=ringing&From=%2B1555&To=%2B1666&New=field"
#define HEAD   "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>"
#define HANGUP HEAD "<Hangup/></Response>"

/* The token in a document, checked against its other place in it. */
static const char *token_of(const char *twiml)
{
	static char token[TOKEN_CHARS + 1];
	static const char in_url[] = "url=\"wss://bridge.example/pre/phone/";
	static const char in_parameter[] = "name=\"token\" value=\"";
	const char *url = strstr(twiml, in_url), *parameter = strstr(twiml, in_parameter);

	CHECK(url && parameter);
	memcpy(token, url + strlen(in_url), TOKEN_CHARS);
	CHECK_MEM(parameter + strlen(in_parameter), token, TOKEN_CHARS);
	return token;
}

static void test_new_call(void)
{
	char sid[TOKEN_SID_BYTES];

	setup();
	const char *twiml = ask("/voice", CALL("CA1"), NULL);

	CHECK_INT(answer.status, 200);
	CHECK_STR(answer.content_type, "text/xml");
	CHECK(strstr(twiml, "<Redirect method=\"POST\">https://bridge.example/pre/voice/after</Redirect>"));
	CHECK_INT(token_redeem(tokens, sid, token_of(twiml), TOKEN_CHARS, now), 0);
	CHECK_STR(sid, "CA1");
	struct call *call = call_find(calls, "CA1");

	CHECK(call != NULL);
	CHECK_STR(call->from, "+1555");
	CHECK_STR(call->to, "+1666");
	CHECK_INT(call->state, CALL_NEW);
	CHECK_INT(call->waiting_max_ns, 120 * SECOND);
}

/* A proxy that passes the prefix on, and one that cuts it off. */
static void test_prefix(void)
{
	char signature[SIGNATURE_CHARS + 1];
	struct form *form;

	setup();
	CHECK(webhook_owns(settings, "/voice"));
	CHECK(webhook_owns(settings, "/pre/voice/after?x=1"));
	CHECK(!webhook_owns(settings, "/other"));
	CHECK(!webhook_owns(settings, "/voice/"));
	CHECK(!webhook_owns(settings, "/prefix/voice"));
	CHECK_INT(form_parse(&form, CALL("CA1"), strlen(CALL("CA1"))), 0);
	CHECK_INT(signature_compute(signature, AUTH, "https://bridge.example/pre/voice", form), 0);
	form_destroy(form);
	struct webhook_request request = {
		.method = "POST", .target = "/pre/voice", .body = CALL("CA1"),
		.body_len = strlen(CALL("CA1")), .content_type = "application/x-www-form-urlencoded",
		.signature = signature, .peer = "test"};

	ask_as(&request);
	CHECK_INT(answer.status, 200);
}

static void test_refusals(void)
{
	setup();
	struct webhook_request request = {
		.method = "POST", .target = "/voice", .body = CALL("CA1"),
		.body_len = strlen(CALL("CA1")), .content_type = "application/x-www-form-urlencoded",
		.peer = "test"};

	ask_as(&request);
	CHECK_INT(answer.status, 403); /* not signed */
	request.signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	ask_as(&request);
	CHECK_INT(answer.status, 403);
	request.content_type = "application/json";
	ask_as(&request);
	CHECK_INT(answer.status, 415);
	request.content_type = NULL;
	ask_as(&request);
	CHECK_INT(answer.status, 415);
	request.method = "GET";
	ask_as(&request);
	CHECK_INT(answer.status, 405);
	request.target = "/";
	ask_as(&request);
	CHECK_INT(answer.status, 404);
	/* rightly signed, but for somebody else, or for nothing */
	ask("/voice", "AccountSid=AC00000000000000000000000000000000&CallSid=CA1", NULL);
	CHECK_INT(answer.status, 403);
	ask("/voice", "CallSid=CA1", NULL);
	CHECK_INT(answer.status, 403);
	ask("/voice", "AccountSid=" ACCOUNT, NULL);
	CHECK_INT(answer.status, 400);
	ask("/voice", "AccountSid=" ACCOUNT "&CallSid=a%20b", NULL);
	CHECK_INT(answer.status, 400);
	CHECK_INT(call_count(calls), 0);
}

static void test_max_calls(void)
{
	setup();
	ask("/voice", CALL("CA1"), NULL);
	ask("/voice", CALL("CA2"), NULL);
	CHECK_STR(ask("/voice", CALL("CA3"), NULL), HEAD "<Reject reason=\"busy\"/></Response>");
	CHECK_INT(answer.status, 200);
	CHECK_INT(call_count(calls), 2);
}

static void test_idempotency(void)
{
	char first[4096];

	setup();
	snprintf(first, sizeof(first), "%s", ask("/voice", CALL("CA1"), "tok-1"));
	CHECK_STR(ask("/voice", CALL("CA1"), "tok-1"), first);
	/* another request about the same call, or another call: another answer */
	CHECK(strcmp(ask("/voice", CALL("CA1"), "tok-2"), first) != 0);
	CHECK(strcmp(ask("/voice", CALL("CA2"), "tok-1"), first) != 0);
	CHECK(strcmp(ask("/voice/after", CALL("CA1"), "tok-1"), first) != 0);
	now += WEBHOOK_IDEMPOTENT_NS;
	CHECK(strcmp(ask("/voice", CALL("CA1"), "tok-1"), first) != 0);
	/* bounded: many tokens push the oldest out and nothing else happens */
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		ask("/voice", CALL("CA1"), name);
		CHECK_INT(answer.status, 200);
	}
}

static void test_ended_calls(void)
{
	setup();
	ask("/voice", CALL("CA1"), NULL);
	call_finish(calls, call_find(calls, "CA1"), CALL_END_HANGUP, now);
	CHECK_STR(ask("/voice", CALL("CA1"), NULL), HANGUP);
	CHECK_STR(ask("/voice/after", CALL("CA1"), NULL), HANGUP);
	/* its stream stopped, the call goes on: connected again */
	ask("/voice", CALL("CA2"), NULL);
	call_finish(calls, call_find(calls, "CA2"), CALL_END_CALLER, now);
	token_of(ask("/voice/after", CALL("CA2"), NULL));
	CHECK(call_find(calls, "CA2") != NULL);
	/* unless Twilio says that it is over */
	CHECK_STR(ask("/voice", "AccountSid=" ACCOUNT "&CallSid=CA9&CallStatus=completed", NULL), HANGUP);
	CHECK(call_find(calls, "CA9") == NULL);
}

static void test_after_a_restart(void)
{
	setup();
	token_of(ask("/voice/after", CALL("CA7"), NULL)); /* never heard of it */
	CHECK(call_find(calls, "CA7") != NULL);
}

static void test_reconnects_are_limited(void)
{
	setup();
	ask("/voice", CALL("CA1"), NULL);
	for (int i = 0; i < CALL_RECONNECTS; i++)
		token_of(ask("/voice/after", CALL("CA1"), NULL));
	CHECK_STR(ask("/voice/after", CALL("CA1"), NULL), HANGUP);
	CHECK(call_find(calls, "CA1") == NULL);
	CHECK_STR(ended, "stream lost");
}

static void test_without_validation(void)
{
	static const char *const environment[] = {"TWILIO_VALIDATE=off", "LISTEN=127.0.0.1:9999", NULL};

	setup();
	load(environment);
	struct webhook_request request = {
		.method = "POST", .target = "/voice", .body = "CallSid=CA1", .body_len = 11,
		.content_type = "application/x-www-form-urlencoded", .peer = "test"};

	CHECK(strstr(ask_as(&request), "url=\"ws://127.0.0.1:9999/phone/") != NULL);
	CHECK_INT(answer.status, 200);
}

static void test_settings_of_lines(void)
{
	char path[] = "/tmp/loopline-test-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "TWILIO_VALIDATE = off\nNUMBER = +1000\n"
				   "[line 1]\nNUMBER = +1666, +1777\nWAITING = echo\n";
	struct settings_sources sources = {.conf_file = path, .env_file = "/dev/null",
					   .credentials_dir = "", .report = report,
					   .environment = (const char *const[]){NULL}};

	setup();
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	settings_unref(settings);
	settings = NULL;
	int err = settings_load(&settings, &bridge_settings_program, &sources);

	unlink(path);
	CHECK_INT(err, 0);
	CHECK_INT(bridge_line_for(settings, "+1666"), 1);
	CHECK_INT(bridge_line_for(settings, "+1777"), 1);
	CHECK_INT(bridge_line_for(settings, "+1000"), 0);
	CHECK_INT(bridge_line_for(settings, "+1999"), 0);
	CHECK_STR(settings_str(settings, "PHONE_PCM", 1), "phone:1");
	CHECK_STR(settings_str(settings, "WAITING", 1), "echo");
	CHECK_STR(settings_str(settings, "WAITING", 0), "ring");
}

static void test_mutations(void)
{
	uint32_t seed = 5;

	setup();
	static const char *const environment[] = {"TWILIO_VALIDATE=off", "MAX_CALLS=256", NULL};

	load(environment);
	for (int round = 0; round < 1000; round++) {
		char body[] = CALL("CA1");
		size_t len = sizeof(body) - 1;

		for (int i = 0; i < 3; i++)
			body[test_random_below(&seed, (uint32_t)len)] = (char)test_random(&seed);
		struct webhook_request request = {
			.method = "POST", .target = round % 2 ? "/voice" : "/voice/after", .body = body,
			.body_len = len, .content_type = "application/x-www-form-urlencoded",
			.idempotency = round % 3 ? NULL : "x", .peer = "test"};

		ask_as(&request);
		CHECK(answer.status == 200 || answer.status == 400);
		CHECK(answer.body.len > 0);
	}
}

int main(void)
{
	UNIT(test_new_call);
	UNIT(test_prefix);
	UNIT(test_refusals);
	UNIT(test_max_calls);
	UNIT(test_idempotency);
	UNIT(test_ended_calls);
	UNIT(test_after_a_restart);
	UNIT(test_reconnects_are_limited);
	UNIT(test_without_validation);
	UNIT(test_settings_of_lines);
	UNIT(test_mutations);
	strbuf_free(&answer.body);
	webhook_destroy(webhook);
	call_table_destroy(calls);
	token_store_destroy(tokens);
	settings_unref(settings);
	return unit_done();
}
