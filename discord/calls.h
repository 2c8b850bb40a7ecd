/* SPDX-License-Identifier: MIT
 *
 * calls.h - the calls of one line as the bridge tells of them, and their notices in the text
 * channel: one message a call, posted, edited and ended in step with it. Control thread.
 */
#ifndef DISCORD_CALLS_H
#define DISCORD_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/api.h"
#include "discord/notice.h"

struct loop;
struct rest;
struct calls;

#define CALLS_MAX 256 /* of one line; further ones are not announced */

struct calls_config {
	struct loop *loop;
	struct rest *rest;
	int line;
	uint64_t text_channel_id; /* 0: no notices */
	enum notice_numbers show;
	/* Message ids changed: keep them on disk (calls_write_json). */
	void (*on_change)(void *ctx);
	void *ctx;
};

int calls_create(struct calls **out, const struct calls_config *config);
void calls_destroy(struct calls *c);

void calls_show(struct calls *c, enum notice_numbers show);
/* How people are told to connect: "`$connect`" or "`/connect`". Kept by pointer. */
void calls_hint(struct calls *c, const char *hint);

/* A snapshot of the line: what it does not name has ended meanwhile. Returns true if a call is in
 * it that we had not known and that came in after since_ms. */
bool calls_snapshot(struct calls *c, const struct api_line *line, int64_t since_ms);
/* An event; true if a call has just come in. */
bool calls_event(struct calls *c, const struct api_event *event);
/* The channel hears the line, or no longer. */
void calls_connected(struct calls *c, bool connected);

unsigned calls_active(const struct calls *c);
/* Wall-clock start of the oldest call; INT64_MAX without calls. */
int64_t calls_oldest_ms(const struct calls *c);
/* Ids of all calls in progress, in order. NULL when i is past the last. */
const char *calls_id(const struct calls *c, unsigned i);

/* Notices that survive a restart of the process: an array of {"call","message"}. */
void calls_write_json(const struct calls *c, struct json_writer *w, const char *name);
void calls_read_json(struct calls *c, const struct json_at *array);

#endif
