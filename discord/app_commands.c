/* SPDX-License-Identifier: MIT
 *
 * app_commands.c - carrying out what people in Discord ask for, and answering them.
 */
#include "discord/app_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "discord/notice.h"

#define CALLBACK_MESSAGE 4  /* answer at once: an interaction's token dies after 3 s */
#define FLAG_EPHEMERAL   64 /* only who asked sees it */

static void on_answered(void *ctx, const struct rest_result *result)
{
	static struct log_rate rate;
	(void)ctx;
	if (!result->ok)
		log_rated(&rate, 10000, LOG_LEVEL_WARN, "cannot answer a command%s why=%s",
			  result->status == 403 ? " (the bot may not write in that channel)" : "",
			  log_quote(result->why));
}

static void answer_message(struct app *app, const struct command_source *source, const char *text)
{
	char path[64];
	struct strbuf body = STRBUF_INIT(4096);
	struct json_writer w;
	json_begin(&w, &body);
	notice_body(&w, text, NULL);
	snprintf(path, sizeof(path), "/channels/%" PRIu64 "/messages", source->channel_id);
	if (json_finish(&w) == 0)
		rest_call(app->rest, "POST", path, source->channel_id, body.data, 0, on_answered, app);
	strbuf_free(&body);
}

static void answer_interaction(struct app *app, const struct command_source *source,
			       const char *text)
{
	char path[400];
	struct strbuf body = STRBUF_INIT(4096);
	struct json_writer w;
	json_begin(&w, &body);
	json_w_obj(&w, NULL);
	json_w_int(&w, "type", CALLBACK_MESSAGE);
	json_w_obj(&w, "data");
	json_w_str(&w, "content", text);
	json_w_int(&w, "flags", FLAG_EPHEMERAL);
	json_w_obj(&w, "allowed_mentions");
	json_w_arr(&w, "parse");
	json_w_end(&w);
	json_w_end(&w);
	json_w_end(&w);
	json_w_end(&w);
	snprintf(path, sizeof(path), "/interactions/%" PRIu64 "/%s/callback", source->interaction_id,
		 source->token);
	if (json_finish(&w) == 0)
		rest_call(app->rest, "POST", path, source->interaction_id, body.data, REST_NO_AUTH,
			  on_answered, app);
	strbuf_free(&body);
}

/* Does it and writes what to say about it. */
static void carry_out(struct line *l, enum command_word word, const char *who, char *text,
		      size_t size)
{
	struct api_channel before;
	unsigned calls;
	line_api(l, &before);
	switch (word) {
	case COMMAND_CONNECT:
		line_connect(l, who);
		if (before.state == API_CHANNEL_CONNECTED)
			snprintf(text, size, "The phone line is in <#%" PRIu64 "> already.",
				 before.channel_id);
		else
			snprintf(text, size, "Connecting the phone line to <#%" PRIu64 ">.",
				 line_channel_id(l));
		break;
	case COMMAND_DISCONNECT:
		line_disconnect(l, who);
		snprintf(text, size, "%s",
			 before.state == API_CHANNEL_DISCONNECTED
				 ? "The phone line is in no voice channel."
				 : "The phone line leaves; callers wait on the line.");
		break;
	case COMMAND_HANGUP:
		calls = line_hangup(l, who);
		if (calls == 0)
			snprintf(text, size, "There is no call to end.");
		else
			snprintf(text, size, "Ending %u call%s.", calls, calls == 1 ? "" : "s");
		break;
	case COMMAND_NONE:
		*text = 0;
		break;
	}
}

static void run(struct app *app, const struct command_source *source)
{
	char text[256], who[64];
	struct line *l = app_line_by_guild(app, source->guild_id);
	enum command_verdict verdict = command_judge(source);
	if (verdict == COMMAND_IGNORED || !l)
		return; /* other guilds have nothing to say here */
	snprintf(who, sizeof(who), "user %" PRIu64, source->author_id);
	if (verdict == COMMAND_FORBIDDEN) {
		log_info("command refused, the role is missing command=%s by=%s",
			 command_name(source->word), log_quote(who));
		snprintf(text, sizeof(text), "You need a certain role to do that.");
	} else {
		carry_out(l, source->word, who, text, sizeof(text));
	}
	if (source->interaction_id)
		answer_interaction(app, source, text);
	else
		answer_message(app, source, text);
}

/* The role asked for is the line's; which line, the guild says. */
static uint64_t role_of(struct app *app, const struct json_at *d)
{
	uint64_t guild = 0;
	struct line *l;
	if (!json_opt_id(d, "guild_id", &guild) || !(l = app_line_by_guild(app, guild)))
		return 0;
	return settings_snowflake(app->settings, KEY_CONNECT_ROLE, line_number(l));
}

void app_on_message(struct app *app, const struct json_at *d)
{
	struct command_source source;
	if (command_from_message(d, gateway_user_id(app->gateway), role_of(app, d), &source))
		run(app, &source);
}

void app_on_interaction(struct app *app, const struct json_at *d)
{
	struct command_source source;
	if (command_from_interaction(d, role_of(app, d), &source))
		run(app, &source);
}

static void on_registered(void *ctx, const struct rest_result *result)
{
	(void)ctx;
	if (!result->ok)
		log_warn("cannot register slash commands%s why=%s",
			 result->status == 403
				 ? " (invite the bot with the scope applications.commands)"
				 : "",
			 log_quote(result->why));
}

void app_commands_register(struct app *app)
{
	uint64_t application = gateway_application_id(app->gateway);
	for (int i = 0; application && i < app->line_count; i++) {
		uint64_t guild = line_guild_id(app->lines[i]);
		char path[96];
		struct strbuf body = STRBUF_INIT(4096);
		struct json_writer w;
		if (!guild || app->registered[i])
			continue;
		json_begin(&w, &body);
		command_registration(&w);
		snprintf(path, sizeof(path), "/applications/%" PRIu64 "/guilds/%" PRIu64 "/commands",
			 application, guild);
		if (json_finish(&w) == 0)
			app->registered[i] = rest_call(app->rest, "PUT", path, guild, body.data,
						       REST_IDEMPOTENT, on_registered, app) == 0;
		strbuf_free(&body);
	}
}
