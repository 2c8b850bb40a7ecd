/* SPDX-License-Identifier: MIT
 *
 * line_lookup.c - which guild VOICE_CHANNEL_ID belongs to, asked until there is an answer.
 */
#include "discord/line_private.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "discord/rest.h"

#define LOOK_UP_MAX_MS 60000
#define CHANNEL_VOICE  2
#define CHANNEL_STAGE  13

static void look_up_again(void *arg)
{
	line_look_up(arg);
}

static void guild_found(struct line *l, const struct json_at *root)
{
	uint64_t guild = 0;
	int64_t type = 0;
	const char *name = "";
	if (!json_id(root, "guild_id", &guild) || !json_int(root, "type", 0, 1000, &type))
		return;
	json_opt_str(root, "name", &name);
	if (type != CHANNEL_VOICE && type != CHANNEL_STAGE) {
		json_fail(root, "type", "VOICE_CHANNEL_ID is no voice channel");
		return;
	}
	l->guild_id = guild;
	l->stage = type == CHANNEL_STAGE;
	snprintf(l->channel_name, sizeof(l->channel_name), "%s", name);
	if (!line_channel_create(l))
		return;
	log_info("voice channel found line=%d channel=%" PRIu64 " name=%s guild=%" PRIu64,
		 l->number, l->channel_id, log_quote(l->channel_name), guild);
	if (l->ready)
		channel_gateway_ready(l->channel, l->user_id, false, clock_mono_ns());
	l->host.on_guild(l->host.ctx, l);
	line_settle(l);
}

static void on_looked_up(void *ctx, const struct rest_result *result)
{
	struct line *l = ctx;
	char why[256] = "";
	if (result->ok) {
		struct json_doc doc;
		if (json_parse(&doc, result->body, result->body_bytes, NULL) == 0) {
			struct json_at root = json_root(&doc);
			if (json_is_obj(&root))
				guild_found(l, &root);
		}
		snprintf(why, sizeof(why), "%s", doc.error);
		json_free(&doc);
		if (l->channel)
			return;
	} else {
		snprintf(why, sizeof(why), "%s%s", result->why,
			 result->status == 404   ? " (VOICE_CHANNEL_ID names no channel)"
			 : result->status == 403 ? " (is the bot a member of that server, and may it "
						   "see the channel?)"
						 : "");
	}
	if (result->status == 401)
		return; /* said once, by everybody's owner */
	log_error("cannot look up VOICE_CHANNEL_ID=%" PRIu64 " line=%d retry_s=%d: %s",
		  l->channel_id, l->number, l->look_up_ms / 1000, log_quote(why));
	loop_timer_set(l->host.loop, &l->look_up_timer, l->look_up_ms, look_up_again, l);
	l->look_up_ms = l->look_up_ms * 2 < LOOK_UP_MAX_MS ? l->look_up_ms * 2 : LOOK_UP_MAX_MS;
}

void line_look_up(struct line *l)
{
	char path[64];
	snprintf(path, sizeof(path), "/channels/%" PRIu64, l->channel_id);
	rest_call(l->host.rest, "GET", path, l->channel_id, NULL, REST_IDEMPOTENT, on_looked_up, l);
}
