/* SPDX-License-Identifier: MIT
 *
 * notice.c - see notice.h.
 */
#include "discord/notice.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_number(const char *from)
{
	const char *digits = from + (*from == '+');
	size_t n = strspn(digits, "0123456789");
	return n >= 3 && digits[n] == 0;
}

/* Markup and mentions need these; a caller's name must not be able to make them. */
static void plain_copy(char *out, size_t size, const char *from)
{
	size_t n = 0;
	for (; *from && n + 1 < size; from++) {
		unsigned char ch = (unsigned char)*from;
		out[n++] = isalnum(ch) || strchr("+-.: ", ch) ? (char)ch : '?';
	}
	out[n] = 0;
}

void notice_number(char *out, size_t size, const char *from, enum notice_numbers show)
{
	if (show == NOTICE_NONE)
		snprintf(out, size, "a caller");
	else if (show == NOTICE_FULL && *from)
		plain_copy(out, size, from);
	else if (is_number(from) && strlen(from) > 4)
		snprintf(out, size, "\xE2\x80\xA6%s", from + strlen(from) - 4);
	else
		snprintf(out, size, "an unknown caller");
}

static void duration_write(char *out, size_t size, int64_t ms)
{
	long long s = ms < 0 ? 0 : (ms + 500) / 1000;
	if (s >= 3600)
		snprintf(out, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, size, "%lld:%02lld", s / 60, s % 60);
}

void notice_text(char out[NOTICE_TEXT_BYTES], const struct notice_call *call,
		 enum notice_numbers show, const char *hint)
{
	char number[API_NUMBER_MAX], duration[32], reason[API_REASON_MAX];
	notice_number(number, sizeof(number), call->from, show);
	plain_copy(reason, sizeof(reason), call->reason);
	duration_write(duration, sizeof(duration), call->duration_ms);
	if (call->ended)
		snprintf(out, NOTICE_TEXT_BYTES, "Call from %s ended after %s%s%s%s.", number, duration,
			 *reason ? " (" : "", reason, *reason ? ")" : "");
	else if (call->reattaching)
		snprintf(out, NOTICE_TEXT_BYTES,
			 "Call from %s since <t:%lld:t>: the line broke, waiting for it to come back.",
			 number, (long long)call->since_ms / 1000);
	else if (call->connected)
		snprintf(out, NOTICE_TEXT_BYTES, "Call from %s since <t:%lld:t>: connected.", number,
			 (long long)call->since_ms / 1000);
	else
		snprintf(out, NOTICE_TEXT_BYTES,
			 "Incoming call from %s since <t:%lld:t>. Use %s to talk to the caller.",
			 number, (long long)call->since_ms / 1000, hint);
}

void notice_body(struct json_writer *w, const char *text, const char *nonce)
{
	json_w_obj(w, NULL);
	json_w_str(w, "content", text);
	json_w_obj(w, "allowed_mentions");
	json_w_arr(w, "parse");
	json_w_end(w);
	json_w_end(w);
	if (nonce) {
		json_w_str(w, "nonce", nonce);
		json_w_bool(w, "enforce_nonce", true);
	}
	json_w_end(w);
}
