/* SPDX-License-Identifier: MIT
 *
 * json_writer.c - JSON written straight into a string, in the order of the calls.
 */
#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/encode.h"

#define MAX_DEPTH 32

static void set_error(struct json_writer *w, int err)
{
	if (!w->error)
		w->error = err;
}

static void text(struct json_writer *w, const char *value, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

	strbuf_char(w->out, '"');
	while (len) {
		size_t n = utf8_sequence(value, len);
		unsigned char c = (unsigned char)*value;

		if (!n) {
			strbuf_str(w->out, replacement);
			n = 1;
		} else if (c == '"' || c == '\\') {
			strbuf_char(w->out, '\\');
			strbuf_char(w->out, (char)c);
		} else if (c == '\n') {
			strbuf_str(w->out, "\\n");
		} else if (c < 0x20 || c == 0x7f) {
			strbuf_printf(w->out, "\\u%04x", c);
		} else {
			strbuf_add(w->out, value, n);
		}
		value += n;
		len -= n;
	}
	strbuf_char(w->out, '"');
}

/* Comma and name in front of a value. False if nothing may be written here. */
static bool lead(struct json_writer *w, const char *name)
{
	uint32_t bit = w->depth ? UINT32_C(1) << (w->depth - 1) : 0;

	if (w->error)
		return false;
	/* Objects need names, arrays and the top must have none, the top takes one value. */
	if ((w->depth && !(w->is_array & bit)) != (name != NULL) ||
	    (!w->depth && w->out->len > w->start)) {
		set_error(w, -EINVAL);
		return false;
	}
	if (w->depth) {
		if (w->has_item & bit)
			strbuf_char(w->out, ',');
		w->has_item |= bit;
	}
	if (name) {
		text(w, name, strlen(name));
		strbuf_char(w->out, ':');
	}
	return true;
}

void json_begin(struct json_writer *w, struct strbuf *out)
{
	memset(w, 0, sizeof(*w));
	w->out = out;
	w->start = out->len;
}

static void open_level(struct json_writer *w, const char *name, bool array)
{
	uint32_t bit;

	if (!lead(w, name))
		return;
	if (w->depth == MAX_DEPTH) {
		set_error(w, -EINVAL);
		return;
	}
	bit = UINT32_C(1) << w->depth++;
	w->is_array = array ? w->is_array | bit : w->is_array & ~bit;
	w->has_item &= ~bit;
	strbuf_char(w->out, array ? '[' : '{');
}

void json_w_obj(struct json_writer *w, const char *name)
{
	open_level(w, name, false);
}

void json_w_arr(struct json_writer *w, const char *name)
{
	open_level(w, name, true);
}

void json_w_end(struct json_writer *w)
{
	if (w->error)
		return;
	if (!w->depth) {
		set_error(w, -EINVAL);
		return;
	}
	w->depth--;
	strbuf_char(w->out, w->is_array & UINT32_C(1) << w->depth ? ']' : '}');
}

void json_w_str(struct json_writer *w, const char *name, const char *value)
{
	if (!value)
		json_w_null(w, name);
	else
		json_w_strn(w, name, value, strlen(value));
}

void json_w_strn(struct json_writer *w, const char *name, const char *value, size_t len)
{
	if (lead(w, name))
		text(w, value, len);
}

void json_w_int(struct json_writer *w, const char *name, int64_t value)
{
	if (lead(w, name))
		strbuf_printf(w->out, "%" PRId64, value);
}

void json_w_num(struct json_writer *w, const char *name, double value)
{
	char number[40];

	if (!isfinite(value)) {
		json_w_null(w, name);
		return;
	}
	if (!lead(w, name))
		return;
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(number, sizeof(number), "%.*g", digits, value);
		if (strtod(number, NULL) == value)
			break;
	}
	strbuf_str(w->out, number);
}

void json_w_bool(struct json_writer *w, const char *name, bool value)
{
	if (lead(w, name))
		strbuf_str(w->out, value ? "true" : "false");
}

void json_w_null(struct json_writer *w, const char *name)
{
	if (lead(w, name))
		strbuf_str(w->out, "null");
}

void json_w_id(struct json_writer *w, const char *name, uint64_t value)
{
	if (lead(w, name))
		strbuf_printf(w->out, "\"%" PRIu64 "\"", value);
}

void json_w_raw(struct json_writer *w, const char *name, const char *json)
{
	if (lead(w, name))
		strbuf_str(w->out, json);
}

int json_finish(struct json_writer *w)
{
	if (w->depth || w->out->len == w->start)
		set_error(w, -EINVAL);
	if (w->out->error)
		return w->out->error;
	return w->error;
}
