/* SPDX-License-Identifier: MIT
 *
 * calls.c - see calls.h.
 */
#include "discord/calls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "discord/rest.h"

#define KEPT_MAX 64 /* notices read from disk that no call has claimed yet */

struct call {
	struct call *next;
	struct calls *calls;
	struct api_call api;
	bool ended;
	int64_t duration_ms;
	char reason[API_REASON_MAX];
	/* The notice. */
	uint64_t message_id; /* 0: not posted (yet) */
	bool in_flight, dirty, given_up;
	int64_t edited_ns;
	char shown[NOTICE_TEXT_BYTES];
};

struct kept {
	char id[API_ID_MAX];
	uint64_t message_id;
};

struct calls {
	struct calls_config config;
	struct call *first;
	unsigned count;
	bool connected;
	const char *hint;
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
	struct loop_timer timer;
};

int calls_create(struct calls **out, const struct calls_config *config)
{
	struct calls *c = calloc(1, sizeof(*c));
	*out = c;
	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->hint = "`$connect`";
	return 0;
}

void calls_destroy(struct calls *c)
{
	if (!c)
		return;
	loop_timer_cancel(&c->timer);
	while (c->first) {
		struct call *call = c->first;
		c->first = call->next;
		free(call); /* requests under way were dropped with rest_destroy() before */
	}
	free(c);
}

/* ---- notices ----------------------------------------------------------------------------- */

static void notices_update(void *arg);

static void call_remove(struct call *call)
{
	struct calls *c = call->calls;
	for (struct call **p = &c->first; *p; p = &(*p)->next) {
		if (*p == call) {
			*p = call->next;
			c->count--;
			break;
		}
	}
	free(call);
}

static void message_id_read(struct call *call, const struct rest_result *result)
{
	struct json_doc doc;
	if (json_parse(&doc, result->body, result->body_bytes, NULL) == 0) {
		struct json_at root = json_root(&doc);
		if (json_is_obj(&root))
			json_id(&root, "id", &call->message_id);
	}
	if (doc.error[0])
		log_warn("Discord's answer to a notice makes no sense: %s", doc.error);
	json_free(&doc);
}

static void on_notice_done(void *ctx, const struct rest_result *result)
{
	struct call *call = ctx;
	struct calls *c = call->calls;
	static struct log_rate rate;
	call->in_flight = false;
	if (result->ok && !call->message_id) {
		message_id_read(call, result);
		c->config.on_change(c->config.ctx);
	}
	if (!result->ok) {
		const char *what =
			result->status == 403
				? " (the bot needs View Channel and Send Messages in TEXT_CHANNEL_ID)"
			: result->status == 404 ? " (is TEXT_CHANNEL_ID right?)"
						: "";
		log_rated(&rate, 10000, LOG_LEVEL_WARN, "cannot write the notice%s line=%d why=%s",
			  what, c->config.line, log_quote(result->why));
		/* 403 and 404 will not get better; anything else may by the next change. */
		call->given_up = result->status >= 400 && result->status < 500;
	}
	notices_update(c);
}

/* Posts or edits one call's message if it is out of date and may be touched now. Returns when to
 * look again. */
static int64_t notice_update(struct call *call, int64_t now_ns)
{
	struct calls *c = call->calls;
	struct notice_call view = {
		.ended = call->ended,
		.connected = c->connected && call->api.state == API_CALL_LIVE,
		.reattaching = call->api.state == API_CALL_REATTACHING,
		.since_ms = call->api.since_ms,
		.duration_ms = call->duration_ms,
	};
	char text[NOTICE_TEXT_BYTES], path[96], nonce[26];
	strcpy(view.from, call->api.from);
	strcpy(view.reason, call->reason);
	notice_text(text, &view, c->config.show, c->hint);
	call->dirty = strcmp(text, call->shown) != 0;
	if (!call->dirty || call->in_flight || call->given_up)
		return INT64_MAX;
	if (call->message_id && now_ns - call->edited_ns < NOTICE_EDIT_MS * NS_PER_MS)
		return call->edited_ns + NOTICE_EDIT_MS * NS_PER_MS;

	size_t id_len = strlen(call->api.id);
	snprintf(nonce, sizeof(nonce), "%s", call->api.id + (id_len > 25 ? id_len - 25 : 0));
	struct strbuf body = STRBUF_INIT(4096);
	struct json_writer w;
	json_begin(&w, &body);
	notice_body(&w, text, call->message_id ? NULL : nonce);
	if (call->message_id)
		snprintf(path, sizeof(path), "/channels/%" PRIu64 "/messages/%" PRIu64,
			 c->config.text_channel_id, call->message_id);
	else
		snprintf(path, sizeof(path), "/channels/%" PRIu64 "/messages",
			 c->config.text_channel_id);
	int err = json_finish(&w);
	if (err == 0) /* the nonce makes posting repeatable */
		err = rest_call(c->config.rest, call->message_id ? "PATCH" : "POST", path,
				c->config.text_channel_id, body.data, REST_IDEMPOTENT,
				on_notice_done, call);
	strbuf_free(&body);
	if (err < 0) {
		call->given_up = true;
		return INT64_MAX;
	}
	call->in_flight = true;
	call->edited_ns = now_ns;
	strcpy(call->shown, text);
	return INT64_MAX;
}

/* rest_call() may answer from within, and answers may remove calls: one at a time. */
static void notices_update(void *arg)
{
	struct calls *c = arg;
	int64_t now_ns = clock_mono_ns(), next_ns = INT64_MAX;
	for (struct call *call = c->first; call;) {
		struct call *next = call->next;
		if (c->config.text_channel_id) {
			int64_t at_ns = notice_update(call, now_ns);
			if (at_ns < next_ns)
				next_ns = at_ns;
		}
		bool settled = !c->config.text_channel_id || call->given_up ||
			       (!call->dirty && !call->in_flight);
		if (call->ended && settled && !call->in_flight) {
			call_remove(call);
			c->config.on_change(c->config.ctx);
		}
		call = next;
	}
	if (next_ns != INT64_MAX)
		loop_timer_set(c->config.loop, &c->timer, (next_ns - now_ns) / NS_PER_MS + 50,
			       notices_update, c);
}

void calls_show(struct calls *c, enum notice_numbers show)
{
	c->config.show = show;
	notices_update(c);
}

void calls_hint(struct calls *c, const char *hint)
{
	c->hint = hint;
	notices_update(c);
}

void calls_connected(struct calls *c, bool connected)
{
	if (c->connected == connected)
		return;
	c->connected = connected;
	notices_update(c);
}

/* ---- what the bridge says ---------------------------------------------------------------- */

static struct call *call_find(struct calls *c, const char *id)
{
	for (struct call *call = c->first; call; call = call->next)
		if (!call->ended && !strcmp(call->api.id, id))
			return call;
	return NULL;
}

static struct call *call_add(struct calls *c, const struct api_call *api)
{
	if (c->count == CALLS_MAX)
		return NULL;
	struct call *call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	call->calls = c;
	call->api = *api;
	for (unsigned i = 0; i < c->kept_count; i++) {
		if (!strcmp(c->kept[i].id, api->id)) { /* announced before we were restarted */
			call->message_id = c->kept[i].message_id;
			c->kept[i] = c->kept[--c->kept_count];
			break;
		}
	}
	struct call **end = &c->first;
	while (*end)
		end = &(*end)->next;
	*end = call;
	c->count++;
	return call;
}

static void call_end(struct call *call, const char *reason, int64_t duration_ms)
{
	call->ended = true;
	call->api.state = API_CALL_ENDED;
	call->duration_ms = duration_ms;
	snprintf(call->reason, sizeof(call->reason), "%s", reason);
}

bool calls_snapshot(struct calls *c, const struct api_line *line, int64_t since_ms)
{
	bool fresh = false;
	for (struct call *call = c->first; call; call = call->next) {
		bool there = false;
		for (size_t i = 0; i < line->call_count && !there; i++)
			there = !strcmp(line->calls[i].id, call->api.id);
		if (!there && !call->ended)
			call_end(call, "", clock_wall_ms() - call->api.since_ms);
	}
	for (size_t i = 0; i < line->call_count; i++) {
		const struct api_call *api = &line->calls[i];
		struct call *call = call_find(c, api->id);
		if (call) {
			call->api = *api;
			continue;
		}
		call_add(c, api);
		fresh = fresh || api->since_ms >= since_ms;
	}
	c->kept_count = 0; /* what no call claimed belongs to calls long gone */
	notices_update(c);
	return fresh;
}

bool calls_event(struct calls *c, const struct api_event *e)
{
	struct call *call = call_find(c, e->call.id);
	bool fresh = false;
	switch (e->type) {
	case API_EVENT_CALL_NEW:
	case API_EVENT_CALL_LIVE:
	case API_EVENT_CALL_REATTACHING:
		if (call)
			call->api = e->call;
		else
			fresh = call_add(c, &e->call) != NULL;
		break;
	case API_EVENT_CALL_ENDED:
		if (call)
			call_end(call, e->reason, e->duration_ms);
		break;
	default:
		break;
	}
	notices_update(c);
	return fresh;
}

unsigned calls_active(const struct calls *c)
{
	unsigned n = 0;
	for (const struct call *call = c->first; call; call = call->next)
		n += !call->ended;
	return n;
}

int64_t calls_oldest_ms(const struct calls *c)
{
	int64_t oldest = INT64_MAX;
	for (const struct call *call = c->first; call; call = call->next)
		if (!call->ended && call->api.since_ms < oldest)
			oldest = call->api.since_ms;
	return oldest;
}

const char *calls_id(const struct calls *c, unsigned i)
{
	for (const struct call *call = c->first; call; call = call->next)
		if (!call->ended && i-- == 0)
			return call->api.id;
	return NULL;
}

void calls_write_json(const struct calls *c, struct json_writer *w, const char *name)
{
	json_w_arr(w, name);
	for (const struct call *call = c->first; call; call = call->next) {
		if (!call->message_id)
			continue;
		json_w_obj(w, NULL);
		json_w_str(w, "call", call->api.id);
		json_w_id(w, "message", call->message_id);
		json_w_end(w);
	}
	json_w_end(w);
}

void calls_read_json(struct calls *c, const struct json_at *array)
{
	struct json_at e;
	for (bool more = json_first(array, &e); more && c->kept_count < KEPT_MAX;
	     more = json_next(&e)) {
		const char *id;
		uint64_t message;
		if (!json_str(&e, "call", &id) || !json_id(&e, "message", &message))
			return;
		if (strlen(id) >= API_ID_MAX)
			continue;
		struct kept *k = &c->kept[c->kept_count++];
		strcpy(k->id, id);
		k->message_id = message;
	}
}
