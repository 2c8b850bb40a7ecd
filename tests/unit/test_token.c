/* SPDX-License-Identifier: MIT
 *
 * test_token.c - a token works once, for a minute, for its call.
 */
#include "bridge/token.h"
#include "tests/unit/unit.h"

#include <errno.h>

#define SECOND INT64_C(1000000000)

static struct token_store *store;

static void setup(void)
{
	token_store_destroy(store);
	CHECK_INT(token_store_create(&store), 0);
}

static void test_single_use(void)
{
	char token[TOKEN_CHARS + 1], sid[TOKEN_SID_BYTES] = "";

	setup();
	CHECK_INT(token_issue(store, token, "CA1", 0), 0);
	CHECK_INT(strlen(token), TOKEN_CHARS);
	CHECK_INT(strspn(token, "0123456789abcdef"), TOKEN_CHARS);
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 1), 0);
	CHECK_STR(sid, "CA1");
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 2), -ENOENT);
}

static void test_lifetime(void)
{
	char token[TOKEN_CHARS + 1], sid[TOKEN_SID_BYTES];

	setup();
	CHECK_INT(token_issue(store, token, "CA1", 5 * SECOND), 0);
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 65 * SECOND), 0);
	CHECK_INT(token_issue(store, token, "CA1", 5 * SECOND), 0);
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 65 * SECOND + 1), -ETIME);
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 6 * SECOND), -ENOENT);
}

static void test_strangers(void)
{
	char token[TOKEN_CHARS + 1], sid[TOKEN_SID_BYTES] = "untouched", zero[TOKEN_CHARS] = {0};
	char longer[TOKEN_CHARS + 2];

	setup();
	CHECK_INT(token_issue(store, token, "CA1", 0), 0);
	CHECK_INT(token_redeem(store, sid, "", 0, 0), -ENOENT);
	CHECK_INT(token_redeem(store, sid, zero, TOKEN_CHARS, 0), -ENOENT);
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS - 1, 0), -ENOENT);
	memcpy(longer, token, TOKEN_CHARS);
	longer[TOKEN_CHARS] = '0';
	CHECK_INT(token_redeem(store, sid, longer, TOKEN_CHARS + 1, 0), -ENOENT);
	for (int i = 0; i < TOKEN_CHARS; i++) {
		char wrong[TOKEN_CHARS + 1];

		memcpy(wrong, token, sizeof(wrong));
		wrong[i] = wrong[i] == '0' ? '1' : '0';
		CHECK_INT(token_redeem(store, sid, wrong, TOKEN_CHARS, 0), -ENOENT);
		CHECK(!token_equal(token, wrong));
	}
	CHECK_STR(sid, "untouched");
	CHECK(token_equal(token, token));
	CHECK(!token_equal(token, NULL));
	CHECK(!token_equal(token, ""));
	CHECK_INT(token_redeem(store, sid, token, TOKEN_CHARS, 0), 0);
}

/* A thousand webhooks without a stream grow nothing; the newest tokens are the ones that live. */
static void test_bounded(void)
{
	char token[1000][TOKEN_CHARS + 1], sid[TOKEN_SID_BYTES], name[16];

	setup();
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "CA%d", i);
		CHECK_INT(token_issue(store, token[i], name, i), 0);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "CA%d", i);
		if (i < 1000 - TOKEN_OUTSTANDING) {
			CHECK_INT(token_redeem(store, sid, token[i], TOKEN_CHARS, 1000), -ENOENT);
		} else {
			CHECK_INT(token_redeem(store, sid, token[i], TOKEN_CHARS, 1000), 0);
			CHECK_STR(sid, name);
		}
	}
}

static void test_sid_too_long(void)
{
	char token[TOKEN_CHARS + 1], sid[TOKEN_SID_BYTES + 1];

	setup();
	memset(sid, 'A', TOKEN_SID_BYTES);
	sid[TOKEN_SID_BYTES] = '\0';
	CHECK_INT(token_issue(store, token, sid, 0), -EINVAL);
}

int main(void)
{
	UNIT(test_single_use);
	UNIT(test_lifetime);
	UNIT(test_strangers);
	UNIT(test_bounded);
	UNIT(test_sid_too_long);
	token_store_destroy(store);
	return unit_done();
}
