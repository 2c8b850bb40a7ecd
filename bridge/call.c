/* SPDX-License-Identifier: MIT
 *
 * call.c - see call.h.
 */
#include "bridge/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings.h"

struct ended {
	char sid[CALL_SID_BYTES]; /* "" if free */
	bool by_us;
};

struct call_table {
	struct call_hooks hooks;
	struct call *call[CALL_MAX]; /* packed */
	size_t count;
	struct ended ended[CALL_ENDED_KEPT]; /* a ring */
	size_t ended_next;
};

const char *call_end_text(enum call_end reason)
{
	switch (reason) {
	case CALL_END_CALLER:
		return "caller hung up";
	case CALL_END_LOST:
		return "stream lost";
	case CALL_END_NEVER:
		return "no stream came";
	case CALL_END_HANGUP:
		return "hung up";
	case CALL_END_WAITING:
		return "waited too long";
	case CALL_END_LIMIT:
		return "call too long";
	}
	return "unknown";
}

bool call_end_is_ours(enum call_end reason)
{
	return reason == CALL_END_HANGUP || reason == CALL_END_WAITING || reason == CALL_END_LIMIT;
}

int call_table_create(struct call_table **out, const struct call_hooks *hooks)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->hooks = *hooks;
	return 0;
}

static void call_free(struct call *call)
{
	settings_unref(call->settings);
	free(call);
}

void call_table_destroy(struct call_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		call_free(table->call[i]);
	free(table);
}

static struct ended *ended_find(const struct call_table *table, const char *sid)
{
	for (size_t i = 0; i < CALL_ENDED_KEPT; i++)
		if (strcmp(table->ended[i].sid, sid) == 0)
			return (struct ended *)&table->ended[i];
	return NULL;
}

int call_admit(struct call_table *table, struct call **out, const struct call_params *params)
{
	struct call *call;

	*out = NULL;
	if (params->sid[0] == '\0' || strlen(params->sid) >= CALL_SID_BYTES)
		return -EINVAL;
	*out = call_find(table, params->sid);
	if (*out)
		return -EEXIST;
	if (ended_find(table, params->sid))
		return -ESTALE;
	if (table->count >= CALL_MAX || table->count >= (size_t)params->max_calls)
		return -EBUSY;

	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	strcpy(call->sid, params->sid);
	snprintf(call->from, sizeof(call->from), "%s", params->from);
	snprintf(call->to, sizeof(call->to), "%s", params->to);
	call->line = params->line;
	call->state = CALL_NEW;
	call->since_ns = params->now_ns;
	call->since_wall_ms = params->now_wall_ms;
	call->deadline_ns = params->now_ns + CALL_NEW_NS;
	call->waiting_max_ns = params->waiting_max_ns;
	call->max_ns = params->max_ns;
	if (params->settings)
		call->settings = settings_ref(params->settings);
	table->call[table->count++] = call;
	*out = call;
	table->hooks.changed(table->hooks.user, call);
	return 0;
}

struct call *call_find(struct call_table *table, const char *sid)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->call[i]->sid, sid) == 0)
			return table->call[i];
	return NULL;
}

size_t call_count(const struct call_table *table)
{
	return table->count;
}

struct call *call_next(struct call_table *table, const struct call *after)
{
	size_t i = 0;

	if (after) {
		while (i < table->count && table->call[i] != after)
			i++;
		i++;
	}
	return i < table->count ? table->call[i] : NULL;
}

enum call_memory call_remember(const struct call_table *table, const char *sid)
{
	const struct ended *ended = sid[0] ? ended_find(table, sid) : NULL;

	if (!ended)
		return CALL_UNKNOWN;
	return ended->by_us ? CALL_ENDED_BY_US : CALL_OVER;
}

void call_forget_ended(struct call_table *table, const char *sid)
{
	struct ended *ended = sid[0] ? ended_find(table, sid) : NULL;

	if (ended)
		ended->sid[0] = '\0';
}

bool call_reconnect(struct call *call, int64_t now_ns)
{
	/* the slot to be overwritten holds the time of the grant CALL_RECONNECTS grants ago */
	int64_t *slot = &call->reconnect_ns[call->reconnects % CALL_RECONNECTS];

	if (call->reconnects >= CALL_RECONNECTS && now_ns - *slot < CALL_RECONNECTS_NS)
		return false;
	*slot = now_ns;
	call->reconnects++;
	if (call->state == CALL_REATTACHING)
		call->deadline_ns = now_ns + CALL_REATTACH_NS;
	else if (call->state == CALL_NEW)
		call->deadline_ns = now_ns + CALL_NEW_NS;
	return true;
}

void call_attach(struct call_table *table, struct call *call, void *stream, int64_t now_ns)
{
	void *older = call->stream;

	(void)now_ns;
	call->stream = stream;
	call->state = CALL_LIVE;
	call->deadline_ns = 0;
	if (older)
		table->hooks.drop_stream(table->hooks.user, call, older);
	table->hooks.changed(table->hooks.user, call);
}

void call_detach(struct call_table *table, struct call *call, const void *stream, bool stopped,
		 int64_t now_ns)
{
	if (!stream || call->stream != stream)
		return;
	call->stream = NULL;
	if (stopped) {
		call_finish(table, call, CALL_END_CALLER, now_ns);
		return;
	}
	if (call->notice_end_ns) { /* it would have ended in a moment anyway */
		call_finish(table, call, call->notice_reason, now_ns);
		return;
	}
	call->state = CALL_REATTACHING;
	call->deadline_ns = now_ns + CALL_REATTACH_NS;
	table->hooks.changed(table->hooks.user, call);
}

void call_stream_failed(struct call *call, int64_t now_ns)
{
	if (call->state == CALL_NEW && call->deadline_ns > now_ns + CALL_REATTACH_NS)
		call->deadline_ns = now_ns + CALL_REATTACH_NS;
}

void call_set_waiting(struct call *call, bool waiting, int64_t now_ns)
{
	if (!waiting) {
		call->waiting_since_ns = 0;
		/* connected in the middle of the tone: not too late after all */
		if (call->notice_end_ns && call->notice_reason == CALL_END_WAITING)
			call->notice_end_ns = 0;
	} else if (call->waiting_since_ns == 0) {
		call->waiting_since_ns = now_ns;
	}
}

void call_finish(struct call_table *table, struct call *call, enum call_end reason, int64_t now_ns)
{
	struct ended *ended = &table->ended[table->ended_next];
	void *stream = call->stream;

	(void)now_ns;
	for (size_t i = 0; i < table->count; i++)
		if (table->call[i] == call)
			table->call[i] = table->call[--table->count];
	strcpy(ended->sid, call->sid);
	ended->by_us = call_end_is_ours(reason);
	table->ended_next = (table->ended_next + 1) % CALL_ENDED_KEPT;

	call->state = CALL_ENDED;
	call->stream = NULL;
	if (stream)
		table->hooks.drop_stream(table->hooks.user, call, stream);
	table->hooks.ended(table->hooks.user, call, reason);
	call_free(call);
}

/* When `call` next needs attention, INT64_MAX for never. */
static int64_t call_deadline(const struct call *call)
{
	int64_t next = INT64_MAX;

	if (call->deadline_ns)
		next = call->deadline_ns;
	if (call->state != CALL_LIVE)
		return next;
	if (call->notice_end_ns)
		return call->notice_end_ns;
	if (call->waiting_since_ns && call->waiting_max_ns &&
	    call->waiting_since_ns + call->waiting_max_ns < next)
		next = call->waiting_since_ns + call->waiting_max_ns;
	/* the notice is part of the allowance */
	if (call->max_ns && call->since_ns + call->max_ns - CALL_NOTICE_NS < next)
		next = call->since_ns + call->max_ns - CALL_NOTICE_NS;
	return next;
}

static void call_run(struct call_table *table, struct call *call, int64_t now_ns)
{
	if (call->state == CALL_NEW) {
		call_finish(table, call, CALL_END_NEVER, now_ns);
	} else if (call->state == CALL_REATTACHING) {
		call_finish(table, call, CALL_END_LOST, now_ns);
	} else if (call->notice_end_ns) {
		call_finish(table, call, call->notice_reason, now_ns);
	} else {
		call->notice_reason = call->max_ns && now_ns >= call->since_ns + call->max_ns -
								  CALL_NOTICE_NS
					      ? CALL_END_LIMIT
					      : CALL_END_WAITING;
		call->notice_end_ns = now_ns + CALL_NOTICE_NS;
		table->hooks.notice(table->hooks.user, call);
	}
}

void call_table_run(struct call_table *table, int64_t now_ns)
{
	/* backwards: a call that ends is replaced by the last one, which has been looked at */
	for (size_t i = table->count; i-- > 0;)
		if (i < table->count && call_deadline(table->call[i]) <= now_ns)
			call_run(table, table->call[i], now_ns);
}

int64_t call_table_deadline(const struct call_table *table)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < table->count; i++) {
		int64_t deadline = call_deadline(table->call[i]);

		next = deadline < next ? deadline : next;
	}
	return next;
}
