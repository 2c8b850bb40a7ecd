/* SPDX-License-Identifier: MIT
 *
 * test_form.c - form bodies: every field, in order, whatever is in them.
 */
#include "bridge/form.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <errno.h>

static struct form *form;

static int parse(const char *body)
{
	form_destroy(form);
	return form_parse(&form, body, strlen(body));
}

static void test_order_and_all_fields(void)
{
	CHECK_INT(parse("b=1&a=2&b=1&=x&empty=&bare&&z=%3d%26"), 0);
	static const char *const want[][2] = {{"b", "1"}, {"a", "2"},     {"b", "1"}, {"", "x"},
					      {"empty", ""}, {"bare", ""}, {"z", "=&"}};
	CHECK_INT(form->count, 7);
	for (int i = 0; i < 7; i++) {
		CHECK_STR(form->fields[i].key, want[i][0]);
		CHECK_STR(form->fields[i].value, want[i][1]);
	}
	CHECK_STR(form_get(form, "b"), "1");
	CHECK_STR(form_get(form, "empty"), "");
	CHECK(form_get(form, "missing") == NULL);
}

static void test_decoding(void)
{
	CHECK_INT(parse("From=%2B14158675309&Body=h%C3%A9llo+w%c3%b6rld+%26+more&T=+x+"), 0);
	CHECK_STR(form_get(form, "From"), "+14158675309");
	CHECK_STR(form_get(form, "Body"), "h\303\251llo w\303\266rld & more");
	CHECK_STR(form_get(form, "T"), " x "); /* untrimmed */
}

static void test_broken_escapes_stand_for_themselves(void)
{
	CHECK_INT(parse("a=%&b=%4&c=%zz&d=%4%41"), 0);
	CHECK_STR(form_get(form, "a"), "%");
	CHECK_STR(form_get(form, "b"), "%4");
	CHECK_STR(form_get(form, "c"), "%zz");
	CHECK_STR(form_get(form, "d"), "%4A");
}

static void test_refused(void)
{
	static char big[FORM_MAX_BYTES + 1];
	char many[3 * FORM_MAX_FIELDS + 8] = "";

	CHECK_INT(parse("a=x%00y"), -EINVAL);
	CHECK(form == NULL);
	CHECK_INT(form_parse(&form, "a\0b=1", 5), -EINVAL);
	memset(big, 'a', sizeof(big));
	CHECK_INT(form_parse(&form, big, FORM_MAX_BYTES + 1), -E2BIG);
	CHECK_INT(form_parse(&form, big, FORM_MAX_BYTES), 0);
	for (int i = 0; i < FORM_MAX_FIELDS; i++)
		strcat(many, i ? "&a" : "a");
	CHECK_INT(parse(many), 0);
	CHECK_INT(form->count, FORM_MAX_FIELDS);
	strcat(many, "&a");
	CHECK_INT(parse(many), -E2BIG);
}

static void test_empty(void)
{
	CHECK_INT(parse(""), 0);
	CHECK_INT(form->count, 0);
	CHECK_INT(parse("&&&"), 0);
	CHECK_INT(form->count, 0);
}

/* Random bytes: no crash (the sanitizers watch), and no field longer than the body. */
static void test_mutations(void)
{
	static const char base[] = "CallSid=CA1&From=%2B1415&Body=a+b%20c&Empty=&x";
	uint32_t seed = 1;

	for (int round = 0; round < 2000; round++) {
		char body[sizeof(base)];
		size_t len = sizeof(base) - 1;

		memcpy(body, base, sizeof(base));
		for (int i = 0; i < 4; i++)
			body[test_random_below(&seed, (uint32_t)len)] = (char)test_random(&seed);
		len = 1 + test_random_below(&seed, (uint32_t)len);
		form_destroy(form);
		int err = form_parse(&form, body, len);

		CHECK(err == 0 || err == -EINVAL);
		if (err)
			continue;
		for (size_t i = 0; i < form->count; i++)
			CHECK(strlen(form->fields[i].key) + strlen(form->fields[i].value) <= len);
	}
}

int main(void)
{
	UNIT(test_order_and_all_fields);
	UNIT(test_decoding);
	UNIT(test_broken_escapes_stand_for_themselves);
	UNIT(test_refused);
	UNIT(test_empty);
	UNIT(test_mutations);
	form_destroy(form);
	return unit_done();
}
