/* SPDX-License-Identifier: MIT
 *
 * line.h - one line: its PCM pair, its calls, its voice channel, and the rule that joins them.
 * Control thread.
 */
#ifndef DISCORD_LINE_H
#define DISCORD_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/api.h"
#include "discord/channel.h"
#include "discord/media.h"
#include "discord/notice.h"

struct loop;
struct http_client;
struct rest;
struct settings;
struct dave_identity;
struct voice_users;
struct line;

/* What a line needs from the program around it. */
struct line_host {
	struct loop *loop;
	struct http_client *http;
	struct rest *rest;
	struct media *media;
	const struct settings *settings;
	const struct dave_identity *identity;
	const struct voice_users *users;
	int (*send_voice_state)(void *ctx, uint64_t guild_id, uint64_t channel_id);
	void (*on_change)(void *ctx, struct line *line); /* state for the API and the bridge */
	void (*on_persist)(void *ctx);                   /* what line_write_persistent() writes */
	/* The voice channel's guild is known (also when it is another line's: an error). */
	void (*on_guild)(void *ctx, struct line *line);
	void *ctx;
};

int line_create(struct line **out, int number, const struct line_host *host);
/* New settings (CONNECT, SHOW_NUMBERS, IGNORE_BOTS); they outlive the line or are replaced. */
void line_settings(struct line *l, const struct settings *settings);
/* The program is ending: ends the voice session, begins nothing any more. */
void line_leave(struct line *l);
/* Frees the voice session; before the audio thread is ended. */
void line_stop(struct line *l);
/* Once the audio thread has ended. */
void line_destroy(struct line *l);
/* Opens ports that are closed when they are due; cheap otherwise. True while one is not open or
 * media runs: then call it every 100 ms. */
bool line_ports_tend(struct line *l, int64_t now_ns);

int line_number(const struct line *l);
uint64_t line_guild_id(const struct line *l); /* 0 until looked up */
uint64_t line_channel_id(const struct line *l);
void line_look_up(struct line *l); /* GET /channels/{VOICE_CHANNEL_ID} until it answers */

void line_connect(struct line *l, const char *who);
void line_disconnect(struct line *l, const char *who);
/* Asks the bridge to end all calls; returns how many there are. */
unsigned line_hangup(struct line *l, const char *who);
void line_hint(struct line *l, const char *hint);

/* From the bridge. */
void line_snapshot(struct line *l, const struct api_line *snapshot);
void line_event(struct line *l, const struct api_event *event);
void line_bridge_lost(struct line *l);

/* From the main gateway. */
void line_gateway_ready(struct line *l, uint64_t user_id, bool resumed);
void line_own_state(struct line *l, uint64_t channel_id, const char *session_id,
		    const struct channel_flags *flags);
void line_other_state(struct line *l, uint64_t user_id, uint64_t channel_id);
void line_server_update(struct line *l, const char *token, const char *endpoint);
void line_channel_deleted(struct line *l, uint64_t channel_id);

/* From the audio thread. */
void line_discovered(struct line *l, unsigned generation, const char *address, uint16_t port);
void line_dead(struct line *l, unsigned generation, enum voice_dead why);

void line_api(const struct line *l, struct api_channel *out);
unsigned line_calls(const struct line *l);
/* The member "budget" (common/api.h) of an object that is open. */
void line_write_budget(const struct line *l, struct json_writer *w);
/* The members of an object that is open. */
void line_write_state(const struct line *l, struct json_writer *w);
void line_write_persistent(const struct line *l, struct json_writer *w);
void line_read_persistent(struct line *l, const struct json_at *object);

#endif
