/* SPDX-License-Identifier: MIT
 *
 * notice.h - the message in the text channel that tells of a call: posted when it comes in, kept
 * current while it lasts, and ended with how long it took. Texts and pacing; pure. Control thread.
 */
#ifndef DISCORD_NOTICE_H
#define DISCORD_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/api.h"

enum notice_numbers { NOTICE_LAST4, NOTICE_FULL, NOTICE_NONE }; /* SHOW_NUMBERS */

#define NOTICE_TEXT_BYTES 512
#define NOTICE_EDIT_MS    1500 /* between edits of one message: about 5 in 5 s are allowed */

/* "…4567", the whole number, or "a caller". What is not a number (SIP, "anonymous") is named "an
 * unknown caller" unless numbers are shown in full. Never contains a mention or markup. */
void notice_number(char *out, size_t size, const char *from, enum notice_numbers show);

struct notice_call {
	char from[API_NUMBER_MAX];
	bool ended;
	bool connected; /* the channel hears the caller */
	bool reattaching;
	int64_t since_ms;    /* wall clock */
	int64_t duration_ms; /* when ended */
	char reason[API_REASON_MAX];
};

/* The message's text. hint: how to connect ("`$connect`" or "`/connect`"). */
void notice_text(char out[NOTICE_TEXT_BYTES], const struct notice_call *call,
		 enum notice_numbers show, const char *hint);
/* The body of POST (nonce non-NULL: Discord then drops a repeated post) or PATCH. */
void notice_body(struct json_writer *w, const char *text, const char *nonce);

#endif
