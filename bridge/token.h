/* SPDX-License-Identifier: MIT
 *
 * token.h - one-time tokens that let exactly one media stream of one call in.
 *
 * The webhook issues a token for a CallSid; it is the last segment of the stream's address and a
 * parameter of the stream. The upgrade request redeems it (a token is used up by that, whatever
 * becomes of the socket), and the `start` message must then name the same call and repeat the
 * token. Belongs to the loop's thread.
 */
#ifndef BRIDGE_TOKEN_H
#define BRIDGE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_CHARS       32 /* 128 random bits in hex: no character of it needs escaping anywhere */
#define TOKEN_LIFE_NS     (60 * INT64_C(1000000000))
#define TOKEN_SID_BYTES   64
#define TOKEN_OUTSTANDING 256

struct token_store;

int token_store_create(struct token_store **out);
void token_store_destroy(struct token_store *store);

/*
 * Issues a token for `call_sid` at `now_ns`, terminated, into `out`. With TOKEN_OUTSTANDING of them
 * alive the oldest gives way. Returns 0, or -EINVAL for a CallSid that is too long.
 */
int token_issue(struct token_store *store, char out[TOKEN_CHARS + 1], const char *call_sid,
		int64_t now_ns);

/*
 * Uses `text` (`len` bytes, not necessarily terminated) up. Returns 0 and the CallSid that it was
 * issued for, -ENOENT if it is unknown (or used before), -ETIME if it is too old. Every entry is
 * compared in constant time, found or not.
 */
int token_redeem(struct token_store *store, char call_sid[TOKEN_SID_BYTES], const char *text,
		 size_t len, int64_t now_ns);

/* Constant-time equality of a token and something that a peer sent (NULL: not sent). */
bool token_equal(const char token[TOKEN_CHARS + 1], const char *text);

#endif
