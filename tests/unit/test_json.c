/* SPDX-License-Identifier: MIT
 *
 * test_json.c - strict JSON: what is refused, and that errors name the place.
 */
#include "tests/unit/unit.h"

#include <errno.h>

#include "common/json.h"

static struct json_doc doc;

static struct json_at parsed(const char *text)
{
	if (json_parse(&doc, text, strlen(text), NULL) < 0)
		UNIT_FAIL("%s: %s", text, doc.error);
	return json_root(&doc);
}

static void test_reads_every_type(void)
{
	struct json_at r =
		parsed("{\"s\":\"\\u00e9\\n\",\"i\":-5,\"n\":2.5,\"t\":true,\"z\":null,"
		       "\"id\":\"18446744073709551615\",\"o\":{\"k\":[1,\"2\",{\"x\":3}]}}");
	struct json_at o, k, e;
	const char *s = NULL;
	int64_t i = 0;
	double n = 0;
	bool t = false;
	uint64_t id = 0;

	CHECK(json_str(&r, "s", &s));
	CHECK_STR(s, "\xc3\xa9\n");
	CHECK(json_int(&r, "i", -5, 0, &i) && i == -5);
	CHECK(json_num(&r, "n", &n) && n == 2.5);
	CHECK(json_bool(&r, "t", &t) && t);
	CHECK(json_id(&r, "id", &id) && id == UINT64_MAX);
	CHECK(!json_has(&r, "z") && json_has(&r, "s") && !json_has(&r, "none"));
	CHECK(json_obj(&r, "o", &o) && json_arr(&o, "k", &k));
	CHECK_INT(json_count(&k), 3);
	CHECK(json_first(&k, &e) && json_value_int(&e, 0, 9, &i) && i == 1);
	CHECK(json_next(&e) && json_value_str(&e, &s));
	CHECK(json_next(&e) && json_is_obj(&e) && json_int(&e, "x", 0, 9, &i) && i == 3);
	CHECK(!json_next(&e));
	CHECK(json_good(&doc));
	json_free(&doc);
}

/* One failing access and the sentence it must give. */
static void expect_error(bool ok, const char *want)
{
	CHECK(!ok);
	CHECK_STR(doc.error, want);
	json_free(&doc);
}

static void test_errors_name_the_path(void)
{
	struct json_at r, d, a, e;
	const char *s;
	int64_t i;
	uint64_t id;
	double n;
	bool b;

	r = parsed("{\"d\":{\"heartbeat_interval\":\"41250\"}}");
	json_obj(&r, "d", &d);
	expect_error(json_int(&d, "heartbeat_interval", 1, 600000, &i),
		     "d.heartbeat_interval: expected number, got string");
	r = parsed("{}");
	expect_error(json_str(&r, "t", &s), "t: expected string, got nothing");
	r = parsed("{\"t\":null}");
	expect_error(json_str(&r, "t", &s), "t: expected string, got null");
	r = parsed("[1]");
	expect_error(json_str(&r, "t", &s), "(top): expected object, got array");
	r = parsed("{\"a\":[{},{\"ssrc\":-1}]}");
	json_arr(&r, "a", &a);
	json_first(&a, &e);
	json_next(&e);
	expect_error(json_int(&e, "ssrc", 0, 4294967295, &i),
		     "a[1].ssrc: expected 0 to 4294967295, got -1");
	r = parsed("{\"x\":1.5}");
	expect_error(json_int(&r, "x", 0, 9, &i), "x: expected an integer, got 1.5");
	r = parsed("{\"x\":1e300}");
	expect_error(json_int(&r, "x", 0, INT64_MAX, &i),
		     "x: expected an integer, got 1.0000000000000001e+300");
	r = parsed("{\"x\":1e999}");
	expect_error(json_num(&r, "x", &n), "x: expected a number, got one too large");
	r = parsed("{\"x\":9007199254740994}");
	expect_error(json_int(&r, "x", 0, INT64_MAX, &i),
		     "x: expected an integer, got 9007199254740994");
	r = parsed("{\"x\":12}");
	expect_error(json_id(&r, "x", &id), "x: expected an id in a string, got number");
	r = parsed("{\"x\":\"18446744073709551616\"}");
	expect_error(json_id(&r, "x", &id),
		     "x: expected an id of decimal digits, got \"18446744073709551616\"");
	r = parsed("{\"x\":\"-1\"}");
	expect_error(json_id(&r, "x", &id), "x: expected an id of decimal digits, got \"-1\"");
	r = parsed("{\"x\":1}");
	expect_error(json_bool(&r, "x", &b), "x: expected boolean, got number");
	r = parsed("{\"x\":\"y\"}");
	expect_error(json_opt_bool(&r, "x", &b), "x: expected boolean, got string");
}

static void test_first_error_sticks_and_nothing_crashes(void)
{
	struct json_at r = parsed("{\"d\":5}"), d, e, f;
	const char *s = "untouched";
	int64_t i = 42;

	CHECK(!json_obj(&r, "d", &d));
	CHECK(!json_str(&d, "token", &s) && !json_arr(&d, "list", &e) && !json_first(&e, &f));
	CHECK(!json_int(&e, "x", 0, 1, &i) && !json_next(&f) && !json_value_str(&f, &s));
	CHECK(!json_is_obj(&d) && !json_has(&d, "x"));
	CHECK_STR(s, "untouched");
	CHECK_INT(i, 42);
	CHECK_STR(doc.error, "d: expected object, got number");
	json_free(&doc);
}

static void test_optional(void)
{
	struct json_at r = parsed("{\"a\":null,\"s\":\"v\",\"i\":7}"), o;
	const char *s = "default";
	int64_t i = 3;

	CHECK(!json_opt_str(&r, "a", &s) && !json_opt_str(&r, "b", &s));
	CHECK_STR(s, "default");
	CHECK(!json_opt_obj(&r, "o", &o) && !json_opt_str(&o, "x", &s));
	CHECK(json_opt_str(&r, "s", &s) && json_opt_int(&r, "i", 0, 9, &i));
	CHECK_STR(s, "v");
	CHECK_INT(i, 7);
	CHECK(json_good(&doc));
	json_free(&doc);
}

static void test_tolerance_by_name_only(void)
{
	struct json_at r = parsed("{\"a\":\"20\",\"b\":20,\"c\":\"2x\",\"e\":\" 2\",\"id\":123}");
	int64_t i = 0;
	uint64_t id = 0;

	CHECK(json_int_lax(&r, "a", 0, 99, &i) && i == 20);
	CHECK(json_int_lax(&r, "b", 0, 99, &i) && i == 20);
	CHECK(json_opt_int_lax(&r, "a", 0, 99, &i));
	CHECK(!json_opt_int_lax(&r, "none", 0, 99, &i));
	CHECK(json_id_lax(&r, "id", &id) && id == 123);
	CHECK(json_id_lax(&r, "a", &id) && id == 20);
	CHECK(json_good(&doc));
	CHECK(!json_int_lax(&r, "e", 0, 99, &i));
	CHECK_STR(doc.error, "e: expected an integer, got \" 2\"");
	json_free(&doc);
}

static void test_refused_texts(void)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"", "not JSON at byte 0"},
		{"{", "not JSON at byte"},
		{"{\"a\":1,}", "not JSON at byte 7"},
		{"{\"a\":1}x", "something behind the JSON value at byte 7"},
		{"{\"a\":1}{}", "something behind the JSON value at byte 7"},
		{"{\"a\":\"\\u0000\"}", "\\u0000 in a string at byte 6"},
		{"{\"a\":\"b\nc\"}", "control character in a string at byte 7"},
		{"{\"a\":\"\xff\"}", "not UTF-8 at byte 6"},
		{"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8 at byte 6"},
		{"{\"a\":\x01 1}", "not JSON at byte 5"},
		{"\xef\xbb\xbf{}", "not JSON at byte 0"},
		{"\"abc", "not JSON at byte"},
		{"\"abc\\", "not JSON at byte"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_INT(json_parse(&doc, bad[i].text, strlen(bad[i].text), NULL), -EINVAL);
		/* Which byte it is where the text just ends is cJSON's business. */
		doc.error[strlen(bad[i].error)] = '\0';
		CHECK_STR(doc.error, bad[i].error);
		CHECK(!json_good(&doc));
		json_free(&doc);
	}
	/* A NUL inside the length is not the end. */
	CHECK_INT(json_parse(&doc, "{}\0{}", 5, NULL), -EINVAL);
	json_free(&doc);
}

static void test_bounds(void)
{
	struct json_limits limits = {.max_bytes = 10, .max_depth = 3};
	char deep[200001];

	CHECK_INT(json_parse(&doc, "[[[1]]]", 7, &limits), 0);
	json_free(&doc);
	CHECK_INT(json_parse(&doc, "[[[[1]]]]", 9, &limits), -EMSGSIZE);
	CHECK_STR(doc.error, "nested too deep at byte 3");
	CHECK_INT(json_parse(&doc, "[1,2,3,4,5]", 11, &limits), -EMSGSIZE);
	memset(deep, '[', sizeof(deep) - 1);
	CHECK_INT(json_parse(&doc, deep, sizeof(deep) - 1, NULL), -EMSGSIZE);
	/* Brackets in strings are no nesting. */
	CHECK_INT(json_parse(&doc, "[\"[[[[\"]", 8, &limits), 0);
	json_free(&doc);
}

static void test_hostile_names_in_errors(void)
{
	struct json_at r = parsed("{\"a\":1}");
	char name[600];
	const char *s;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK(!json_str(&r, name, &s));
	CHECK(strlen(doc.error) < sizeof(doc.error));
	CHECK(strstr(doc.error, "expected string"));
	json_free(&doc);
	r = parsed("{\"a\":\"x\\ny\\u001b\"}");
	CHECK(!json_int_lax(&r, "a", 0, 1, &(int64_t){0}));
	CHECK_STR(doc.error, "a: expected an integer, got \"x\\x0ay\\x1b\"");
	json_free(&doc);
}

static void test_writer(void)
{
	struct strbuf b = STRBUF_INIT(1000);
	struct json_writer w;

	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	json_w_str(&w, "s", "q\"\\\n\x01\x7f\xc3\xa9\xff");
	json_w_str(&w, "null", NULL);
	json_w_int(&w, "i", INT64_MIN);
	json_w_id(&w, "id", UINT64_MAX);
	json_w_arr(&w, "a");
	json_w_num(&w, NULL, 0.1);
	json_w_num(&w, NULL, NAN);
	json_w_bool(&w, NULL, false);
	json_w_obj(&w, NULL);
	json_w_end(&w);
	json_w_end(&w);
	json_w_raw(&w, "raw", "[1]");
	json_w_end(&w);
	CHECK_INT(json_finish(&w), 0);
	CHECK_STR(strbuf_text(&b),
		  "{\"s\":\"q\\\"\\\\\\n\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\",\"null\":null,"
		  "\"i\":-9223372036854775808,\"id\":\"18446744073709551615\","
		  "\"a\":[0.1,null,false,{}],\"raw\":[1]}");
	/* and it is JSON for a reader we did not write */
	CHECK_INT(json_parse(&doc, b.data, b.len, NULL), 0);
	json_free(&doc);
	strbuf_free(&b);
}

static void test_writer_misuse(void)
{
	struct strbuf b = STRBUF_INIT(1000);
	struct json_writer w;

	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	CHECK_INT(json_finish(&w), -EINVAL); /* open */
	strbuf_reset(&b);
	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	json_w_int(&w, NULL, 1); /* a member without a name */
	json_w_end(&w);
	CHECK_INT(json_finish(&w), -EINVAL);
	strbuf_reset(&b);
	json_begin(&w, &b);
	json_w_int(&w, NULL, 1);
	json_w_int(&w, NULL, 2); /* two values */
	CHECK_INT(json_finish(&w), -EINVAL);
	strbuf_reset(&b);
	json_begin(&w, &b);
	json_w_end(&w);
	CHECK_INT(json_finish(&w), -EINVAL);
	strbuf_reset(&b);
	json_begin(&w, &b);
	for (int i = 0; i < 33; i++)
		json_w_arr(&w, NULL);
	for (int i = 0; i < 33; i++)
		json_w_end(&w);
	CHECK_INT(json_finish(&w), -EINVAL);
	strbuf_free(&b);
	strbuf_init(&b, 5);
	json_begin(&w, &b);
	json_w_str(&w, NULL, "too long");
	CHECK_INT(json_finish(&w), -ENOSPC);
	strbuf_free(&b);
}

int main(void)
{
	UNIT(test_reads_every_type);
	UNIT(test_errors_name_the_path);
	UNIT(test_first_error_sticks_and_nothing_crashes);
	UNIT(test_optional);
	UNIT(test_tolerance_by_name_only);
	UNIT(test_refused_texts);
	UNIT(test_bounds);
	UNIT(test_hostile_names_in_errors);
	UNIT(test_writer);
	UNIT(test_writer_misuse);
	return unit_done();
}
