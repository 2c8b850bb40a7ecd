/* SPDX-License-Identifier: MIT
 *
 * test_commands.c - what is a command and who may give it; the texts of notices.
 */
#include "unit.h"

#include "common/strbuf.h"
#include "discord/commands.h"
#include "discord/notice.h"

#define BOT 900

static void test_words(void)
{
	CHECK_INT(command_parse("$connect", BOT), COMMAND_CONNECT);
	CHECK_INT(command_parse("  $Connect \n", BOT), COMMAND_CONNECT);
	CHECK_INT(command_parse("$disconnect", BOT), COMMAND_DISCONNECT);
	CHECK_INT(command_parse("$hangup", BOT), COMMAND_HANGUP);
	CHECK_INT(command_parse("<@900> connect", BOT), COMMAND_CONNECT);
	CHECK_INT(command_parse("<@!900>   hangup", BOT), COMMAND_HANGUP);
	CHECK_INT(command_parse("<@900> $connect", BOT), COMMAND_CONNECT);
	static const char *const no[] = {"", "$", "connect", "$connect me", "$ connect", "$connected",
					 "<@901> connect", "<@900>", "say $connect", "$$connect",
					 "$connectconnectconnectconnect"};
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		CHECK_INT(command_parse(no[i], BOT), COMMAND_NONE);
}

static bool message(const char *text, uint64_t role, struct command_source *out)
{
	struct json_doc doc;
	bool is = false;
	if (json_parse(&doc, text, strlen(text), NULL) == 0) {
		struct json_at root = json_root(&doc);
		is = command_from_message(&root, BOT, role, out);
	}
	json_free(&doc);
	return is;
}

#define MESSAGE(author, rest) \
	"{\"id\":\"1\",\"channel_id\":\"2\",\"content\":\"$connect\",\"author\":{\"id\":\"5\"" author "}" rest "}"

static void test_who_may(void)
{
	struct command_source s;
	CHECK(message(MESSAGE("", ",\"guild_id\":\"811\""), 0, &s));
	CHECK_INT(command_judge(&s), COMMAND_ALLOWED);
	CHECK_INT(s.author_id, 5);
	CHECK(message(MESSAGE(",\"bot\":true", ",\"guild_id\":\"811\""), 0, &s));
	CHECK_INT(command_judge(&s), COMMAND_IGNORED);
	CHECK(message(MESSAGE("", ",\"guild_id\":\"811\",\"webhook_id\":\"9\""), 0, &s));
	CHECK_INT(command_judge(&s), COMMAND_IGNORED);
	CHECK(message(MESSAGE("", ""), 0, &s)); /* a direct message */
	CHECK_INT(command_judge(&s), COMMAND_IGNORED);
	CHECK(message(MESSAGE("", ",\"guild_id\":\"811\",\"member\":{\"roles\":[\"7\",\"8\"]}"), 8, &s));
	CHECK_INT(command_judge(&s), COMMAND_ALLOWED);
	CHECK(message(MESSAGE("", ",\"guild_id\":\"811\",\"member\":{\"roles\":[\"7\"]}"), 8, &s));
	CHECK_INT(command_judge(&s), COMMAND_FORBIDDEN);
	CHECK(message(MESSAGE("", ",\"guild_id\":\"811\""), 8, &s)); /* no member: no role */
	CHECK_INT(command_judge(&s), COMMAND_FORBIDDEN);
}

static void test_messages_that_make_no_sense(void)
{
	struct command_source s;
	CHECK(!message("{}", 0, &s));
	CHECK(!message("{\"content\":7}", 0, &s));
	CHECK(!message("{\"content\":\"$connect\"}", 0, &s));
	CHECK(!message("{\"content\":\"$connect\",\"author\":{\"id\":\"x\"},\"id\":\"1\",\"channel_id\":\"2\"}",
		       0, &s));
	CHECK(!message(MESSAGE("", ",\"guild_id\":\"811\",\"member\":{\"roles\":[7]}"), 8, &s));
}

static void test_interaction(void)
{
	static const char text[] =
		"{\"id\":\"10\",\"application_id\":\"900\",\"type\":2,\"token\":\"tok\",\"version\":1,"
		"\"guild_id\":\"811\",\"channel_id\":\"2\",\"data\":{\"name\":\"hangup\"},"
		"\"member\":{\"roles\":[\"8\"],\"user\":{\"id\":\"5\"}}}";
	struct json_doc doc;
	struct command_source s;
	CHECK_INT(json_parse(&doc, text, strlen(text), NULL), 0);
	struct json_at root = json_root(&doc);
	CHECK(command_from_interaction(&root, 8, &s));
	CHECK_INT(s.word, COMMAND_HANGUP);
	CHECK_INT(s.interaction_id, 10);
	CHECK_STR(s.token, "tok");
	CHECK_INT(command_judge(&s), COMMAND_ALLOWED);
	json_free(&doc);
	static const char button[] = "{\"id\":\"10\",\"type\":3,\"token\":\"t\",\"data\":{}}";
	CHECK_INT(json_parse(&doc, button, strlen(button), NULL), 0);
	root = json_root(&doc);
	CHECK(!command_from_interaction(&root, 0, &s));
	json_free(&doc);
}

static void test_registration(void)
{
	struct strbuf b = STRBUF_INIT(4096);
	struct json_writer w;
	json_begin(&w, &b);
	command_registration(&w);
	CHECK_INT(json_finish(&w), 0);
	CHECK(strstr(b.data, "\"connect\"") && strstr(b.data, "\"disconnect\"") &&
	      strstr(b.data, "\"hangup\""));
	strbuf_free(&b);
}

static void test_numbers_are_masked(void)
{
	char out[64];
	notice_number(out, sizeof(out), "+14155550100", NOTICE_LAST4);
	CHECK_STR(out, "\xE2\x80\xA6" "0100");
	notice_number(out, sizeof(out), "+14155550100", NOTICE_FULL);
	CHECK_STR(out, "+14155550100");
	notice_number(out, sizeof(out), "+14155550100", NOTICE_NONE);
	CHECK_STR(out, "a caller");
	notice_number(out, sizeof(out), "anonymous", NOTICE_LAST4);
	CHECK_STR(out, "an unknown caller");
	notice_number(out, sizeof(out), "911", NOTICE_LAST4); /* too short to mask */
	CHECK_STR(out, "an unknown caller");
}

/* What a caller calls himself must not ping, link or format. */
static void test_no_markup_from_callers(void)
{
	char out[64];
	notice_number(out, sizeof(out), "@everyone <@5> **x** `y`", NOTICE_FULL);
	CHECK(!strpbrk(out, "@<>*`"));
}

static void test_notice_through_a_call(void)
{
	char text[NOTICE_TEXT_BYTES];
	struct notice_call c = {.from = "+14155550100", .since_ms = 1800000000000};
	notice_text(text, &c, NOTICE_LAST4, "`$connect`");
	CHECK(strstr(text, "Incoming call from \xE2\x80\xA6" "0100") && strstr(text, "`$connect`"));
	CHECK(strstr(text, "<t:1800000000:t>"));
	c.connected = true;
	notice_text(text, &c, NOTICE_LAST4, "`$connect`");
	CHECK(strstr(text, "connected") && !strstr(text, "$connect"));
	c.ended = true;
	c.duration_ms = 3723400;
	strcpy(c.reason, "hangup");
	notice_text(text, &c, NOTICE_LAST4, "`$connect`");
	CHECK_STR(text, "Call from \xE2\x80\xA6" "0100 ended after 1:02:03 (hangup).");
	c.duration_ms = 61000;
	notice_text(text, &c, NOTICE_LAST4, "");
	CHECK(strstr(text, "after 1:01 "));
}

static void test_nobody_is_mentioned(void)
{
	struct strbuf b = STRBUF_INIT(4096);
	struct json_writer w;
	json_begin(&w, &b);
	notice_body(&w, "x", "n1");
	CHECK_INT(json_finish(&w), 0);
	CHECK_STR(b.data, "{\"content\":\"x\",\"allowed_mentions\":{\"parse\":[]},\"nonce\":\"n1\","
			  "\"enforce_nonce\":true}");
	strbuf_free(&b);
}

int main(void)
{
	UNIT(test_words);
	UNIT(test_who_may);
	UNIT(test_messages_that_make_no_sense);
	UNIT(test_interaction);
	UNIT(test_registration);
	UNIT(test_numbers_are_masked);
	UNIT(test_no_markup_from_callers);
	UNIT(test_notice_through_a_call);
	UNIT(test_nobody_is_mentioned);
	return unit_done();
}
