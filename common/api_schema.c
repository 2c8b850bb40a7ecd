/* SPDX-License-Identifier: MIT
 *
 * api_schema.c - the messages of the local API, to and from JSON (schema in api.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/api.h"

#define MAX_LINES          64
#define MAX_CALLS_PER_LINE 1024
#define MAX_DURATION_MS    (INT64_C(1) << 52)

static const char *const channel_states[] = {"disconnected", "connecting", "connected", "failed"};
static const char *const call_states[] = {"new", "live", "reattaching", "ended"};
static const char *const event_types[] = {"call.new",         "call.live",  "call.dtmf",
					  "call.reattaching", "call.ended", "line.channel"};

const char *api_channel_state_name(enum api_channel_state state)
{
	return channel_states[state];
}

const char *api_event_type_name(enum api_event_type type)
{
	return type < API_EVENT_UNKNOWN ? event_types[type] : "unknown";
}

/* ---- encoding ------------------------------------------------------------------------ */

static void write_channel_members(struct json_writer *w, const struct api_channel *channel)
{
	json_w_str(w, "state", channel_states[channel->state]);
	if (channel->channel_id)
		json_w_id(w, "channel_id", channel->channel_id);
	else
		json_w_null(w, "channel_id");
	json_w_str(w, "why", channel->why);
}

static void write_call(struct json_writer *w, const char *name, const struct api_call *call)
{
	json_w_obj(w, name);
	json_w_str(w, "id", call->id);
	json_w_str(w, "from", call->from);
	json_w_str(w, "to", call->to);
	json_w_str(w, "state", call_states[call->state]);
	json_w_int(w, "since_ms", call->since_ms);
	json_w_end(w);
}

void api_line_encode(struct json_writer *w, const char *name, const struct api_line *line,
		     bool with_calls)
{
	json_w_obj(w, name);
	json_w_int(w, "line", line->line);
	json_w_obj(w, "channel");
	write_channel_members(w, &line->channel);
	json_w_end(w);
	if (with_calls) {
		json_w_arr(w, "calls");
		for (size_t i = 0; i < line->call_count; i++)
			write_call(w, NULL, &line->calls[i]);
		json_w_end(w);
	}
	json_w_end(w);
}

void api_channel_encode(struct json_writer *w, const struct api_channel *channel)
{
	json_w_obj(w, NULL);
	json_w_str(w, "type", "line.channel");
	json_w_int(w, "line", channel->line);
	write_channel_members(w, channel);
	json_w_end(w);
}

void api_event_encode(struct json_writer *w, const struct api_event *event)
{
	char digit[2] = {event->digit, '\0'};

	json_w_obj(w, NULL);
	json_w_str(w, "type", api_event_type_name(event->type));
	json_w_int(w, "seq", (int64_t)event->seq);
	json_w_int(w, "line", event->line);
	switch (event->type) {
	case API_EVENT_CALL_NEW:
	case API_EVENT_CALL_LIVE:
	case API_EVENT_CALL_REATTACHING:
		json_w_str(w, "id", event->call.id);
		write_call(w, "call", &event->call);
		break;
	case API_EVENT_CALL_DTMF:
		json_w_str(w, "id", event->call.id);
		json_w_str(w, "digit", digit);
		break;
	case API_EVENT_CALL_ENDED:
		json_w_str(w, "id", event->call.id);
		json_w_str(w, "reason", event->reason);
		json_w_int(w, "duration_ms", event->duration_ms);
		break;
	case API_EVENT_LINE_CHANNEL:
		write_channel_members(w, &event->channel);
		break;
	case API_EVENT_UNKNOWN:
		break;
	}
	json_w_end(w);
}

/* ---- decoding ------------------------------------------------------------------------ */

static bool read_text(const struct json_at *at, const char *name, char *out, size_t size)
{
	const char *text = NULL;

	if (!json_str(at, name, &text))
		return false;
	if (strlen(text) >= size) {
		json_fail(at, name, "expected at most %zu bytes, got %zu", size - 1, strlen(text));
		return false;
	}
	snprintf(out, size, "%s", text);
	return true;
}

/* The index of the member's text in names. */
static bool read_choice(const struct json_at *at, const char *name, const char *const *names,
			int count, int *out)
{
	const char *text = NULL;

	if (!json_str(at, name, &text))
		return false;
	for (*out = 0; *out < count; ++*out)
		if (!strcmp(text, names[*out]))
			return true;
	json_fail(at, name, "expected a known state, got \"%.40s\"", text);
	return false;
}

static bool read_line_number(const struct json_at *at, int *out)
{
	int64_t line = 0;
	bool good = json_int(at, "line", 0, MAX_LINES - 1, &line);

	*out = (int)line;
	return good;
}

static bool read_channel_members(const struct json_at *at, struct api_channel *out)
{
	int state = 0;

	if (!read_choice(at, "state", channel_states, 4, &state))
		return false;
	out->state = (enum api_channel_state)state;
	out->channel_id = 0;
	out->why[0] = '\0';
	if (json_has(at, "channel_id") && !json_id(at, "channel_id", &out->channel_id))
		return false;
	return !json_has(at, "why") || read_text(at, "why", out->why, sizeof(out->why));
}

static bool read_call(const struct json_at *at, struct api_call *out)
{
	int state = 0;

	memset(out, 0, sizeof(*out));
	if (!read_text(at, "id", out->id, sizeof(out->id)) ||
	    !read_text(at, "from", out->from, sizeof(out->from)) ||
	    !read_text(at, "to", out->to, sizeof(out->to)) ||
	    !read_choice(at, "state", call_states, 4, &state) ||
	    !json_int(at, "since_ms", 0, MAX_DURATION_MS, &out->since_ms))
		return false;
	out->state = (enum api_call_state)state;
	return true;
}

static bool read_line(const struct json_at *at, struct api_line *out)
{
	struct json_at channel, calls, call;
	int count;

	if (!json_is_obj(at) || !read_line_number(at, &out->line) ||
	    !json_obj(at, "channel", &channel) || !read_channel_members(&channel, &out->channel))
		return false;
	out->channel.line = out->line;
	if (!json_opt_arr(at, "calls", &calls))
		return at->doc->error[0] == '\0';
	count = json_count(&calls);
	if (count > MAX_CALLS_PER_LINE) {
		json_fail(at, "calls", "expected at most %d, got %d", MAX_CALLS_PER_LINE, count);
		return false;
	}
	out->calls = calloc((size_t)count + 1, sizeof(*out->calls));
	if (!out->calls) {
		json_fail(at, "calls", "out of memory");
		return false;
	}
	for (bool more = json_first(&calls, &call); more; more = json_next(&call))
		if (!read_call(&call, &out->calls[out->call_count++]))
			return false;
	return true;
}

bool api_snapshot_decode(const struct json_at *root, struct api_snapshot *out)
{
	struct json_at lines, line;
	const char *type = NULL;
	int64_t seq = 0;
	int count;

	memset(out, 0, sizeof(*out));
	if (!json_str(root, "type", &type) ||
	    !read_text(root, "boot", out->boot, sizeof(out->boot)) ||
	    !json_int(root, "seq", 0, INT64_MAX, &seq) || !json_arr(root, "lines", &lines))
		return false;
	if (strcmp(type, "snapshot") != 0) {
		json_fail(root, "type", "expected snapshot, got \"%.40s\"", type);
		return false;
	}
	out->seq = (uint64_t)seq;
	count = json_count(&lines);
	if (count > MAX_LINES) {
		json_fail(root, "lines", "expected at most %d, got %d", MAX_LINES, count);
		return false;
	}
	out->lines = calloc((size_t)count + 1, sizeof(*out->lines));
	if (!out->lines) {
		json_fail(root, "lines", "out of memory");
		return false;
	}
	for (bool more = json_first(&lines, &line); more; more = json_next(&line)) {
		if (!read_line(&line, &out->lines[out->line_count++])) {
			api_snapshot_free(out);
			return false;
		}
	}
	return true;
}

void api_snapshot_free(struct api_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->line_count; i++)
		free(snapshot->lines[i].calls);
	free(snapshot->lines);
	memset(snapshot, 0, sizeof(*snapshot));
}

bool api_channel_decode(const struct json_at *root, struct api_channel *out)
{
	const char *type = NULL;

	memset(out, 0, sizeof(*out));
	if (!json_str(root, "type", &type))
		return false;
	if (strcmp(type, "line.channel") != 0) {
		json_fail(root, "type", "expected line.channel, got \"%.40s\"", type);
		return false;
	}
	return read_line_number(root, &out->line) && read_channel_members(root, out);
}

bool api_budget_decode(const struct json_at *root, int *line, struct json_at *budget)
{
	const char *type = NULL;

	if (!json_str(root, "type", &type))
		return false;
	if (strcmp(type, "line.budget") != 0) {
		json_fail(root, "type", "expected line.budget, got \"%.40s\"", type);
		return false;
	}
	return read_line_number(root, line) && json_obj(root, "budget", budget);
}

static bool digit_good(const char *digit)
{
	return digit[0] && !digit[1] && strchr("0123456789*#ABCD", digit[0]);
}

static bool read_event_body(const struct json_at *root, struct api_event *out)
{
	struct json_at call;
	const char *digit = "";

	switch (out->type) {
	case API_EVENT_CALL_NEW:
	case API_EVENT_CALL_LIVE:
	case API_EVENT_CALL_REATTACHING:
		return json_obj(root, "call", &call) && read_call(&call, &out->call);
	case API_EVENT_CALL_DTMF:
		if (!read_text(root, "id", out->call.id, sizeof(out->call.id)) ||
		    !json_str(root, "digit", &digit))
			return false;
		if (!digit_good(digit)) {
			json_fail(root, "digit", "expected a key of a phone, got \"%.10s\"", digit);
			return false;
		}
		out->digit = digit[0];
		return true;
	case API_EVENT_CALL_ENDED:
		return read_text(root, "id", out->call.id, sizeof(out->call.id)) &&
		       read_text(root, "reason", out->reason, sizeof(out->reason)) &&
		       json_int(root, "duration_ms", 0, MAX_DURATION_MS, &out->duration_ms);
	case API_EVENT_LINE_CHANNEL:
		out->channel.line = out->line;
		return read_channel_members(root, &out->channel);
	case API_EVENT_UNKNOWN:
		break;
	}
	return true;
}

bool api_event_decode(const struct json_at *root, struct api_event *out)
{
	const char *type = NULL;
	int64_t seq = 0;
	int i;

	memset(out, 0, sizeof(*out));
	if (!json_str(root, "type", &type) || !json_int(root, "seq", 0, INT64_MAX, &seq))
		return false;
	out->seq = (uint64_t)seq;
	for (i = 0; i < API_EVENT_UNKNOWN && strcmp(type, event_types[i]) != 0; i++)
		;
	out->type = (enum api_event_type)i;
	if (out->type == API_EVENT_UNKNOWN)
		return true;
	return read_line_number(root, &out->line) && read_event_body(root, out);
}
