/* SPDX-License-Identifier: MIT
 *
 * token.c - see token.h.
 */
#include "bridge/token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "common/encode.h"
#include "common/random.h"

struct token {
	char text[TOKEN_CHARS + 1]; /* "" marks a free entry */
	char call_sid[TOKEN_SID_BYTES];
	int64_t issued_ns;
};

struct token_store {
	struct token entry[TOKEN_OUTSTANDING];
};

int token_store_create(struct token_store **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void token_store_destroy(struct token_store *store)
{
	if (store)
		OPENSSL_cleanse(store, sizeof(*store));
	free(store);
}

int token_issue(struct token_store *store, char out[TOKEN_CHARS + 1], const char *call_sid,
		int64_t now_ns)
{
	unsigned char random[TOKEN_CHARS / 2];
	struct token *token = NULL;

	if (strlen(call_sid) >= TOKEN_SID_BYTES)
		return -EINVAL;
	random_bytes(random, sizeof(random));

	for (int i = 0; i < TOKEN_OUTSTANDING; i++) {
		struct token *t = &store->entry[i];

		if (t->text[0] == '\0' || now_ns - t->issued_ns > TOKEN_LIFE_NS) {
			token = t;
			break;
		}
		if (!token || t->issued_ns < token->issued_ns)
			token = t;
	}
	hex_encode(out, random, sizeof(random));
	memcpy(token->text, out, TOKEN_CHARS + 1);
	strcpy(token->call_sid, call_sid);
	token->issued_ns = now_ns;
	return 0;
}

int token_redeem(struct token_store *store, char call_sid[TOKEN_SID_BYTES], const char *text,
		 size_t len, int64_t now_ns)
{
	struct token *found = NULL;

	if (len != TOKEN_CHARS)
		return -ENOENT;
	/* no early exit: how long this takes must tell nothing about where a guess came close */
	for (int i = 0; i < TOKEN_OUTSTANDING; i++)
		if (CRYPTO_memcmp(store->entry[i].text, text, TOKEN_CHARS) == 0)
			found = &store->entry[i];
	/* NUL bytes would equal a free entry */
	if (!found || found->text[0] == '\0')
		return -ENOENT;

	bool late = now_ns - found->issued_ns > TOKEN_LIFE_NS;

	if (!late)
		strcpy(call_sid, found->call_sid);
	OPENSSL_cleanse(found, sizeof(*found));
	return late ? -ETIME : 0;
}

bool token_equal(const char token[TOKEN_CHARS + 1], const char *text)
{
	return text && strlen(text) == TOKEN_CHARS && CRYPTO_memcmp(token, text, TOKEN_CHARS) == 0;
}
