/* SPDX-License-Identifier: MIT
 *
 * app_internal.h - shared by app.c (life), app_gateway.c (main gateway), app_commands.c (people)
 * and app_api.c (the bridge and the local API). Nobody else's.
 */
#ifndef DISCORD_APP_INTERNAL_H
#define DISCORD_APP_INTERNAL_H

#include <limits.h>

#include "common/api.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/settings.h"
#include "discord/app.h"
#include "discord/commands.h"
#include "discord/gateway.h"
#include "discord/keys.h"
#include "discord/line.h"
#include "discord/media.h"
#include "discord/rest.h"
#include "discord/socket.h"
#include "discord/voice_users.h"

struct http_client;
struct dave_identity;

struct app {
	struct loop *loop;
	struct settings *settings; /* in force now */
	struct settings *first;    /* as at the start: strings of it are in use to the end */
	struct http_client *http;
	struct rest *rest;
	struct media *media;
	struct dave_identity *identity;
	struct voice_users *users;
	struct line *lines[SETTINGS_MAX_LINES];
	int line_count;

	/* Main gateway. */
	struct gateway *gateway;
	struct socket *socket;
	struct loop_timer gateway_timer;
	bool registered[SETTINGS_MAX_LINES]; /* slash commands, per line's guild */

	/* Bridge and local API. */
	struct api_client *bridge;
	struct api_server *api;

	char budget_path[PATH_MAX], state_path[PATH_MAX];
	struct loop_timer state_timer; /* writes are coalesced */
	struct loop_tick *tend;        /* opening ports */
	int64_t tend_ns;
	int64_t budgets_at_ns; /* told next */
	struct loop_tick *watchdog;
	unsigned unanswered_pings;
	bool stopping, ready_told;
	struct loop_timer stop_timer;
	int exit_status;
};

/* app_gateway.c */
int app_gateway_create(struct app *app);
void app_gateway_start(struct app *app);
void app_gateway_stop(struct app *app);
int app_send_voice_state(struct app *app, uint64_t guild_id, uint64_t channel_id);
void app_gateway_timer_update(struct app *app);
/* The program cannot work: says so, and ends it with status 78. */
void app_fatal(struct app *app, const char *sentence);

/* app_commands.c */
void app_on_message(struct app *app, const struct json_at *d);
void app_on_interaction(struct app *app, const struct json_at *d);
/* Slash commands of the guilds known by now. */
void app_commands_register(struct app *app);

/* app_api.c */
int app_api_create(struct app *app);
void app_api_destroy(struct app *app);
void app_line_changed(struct app *app, struct line *line);
/* The delay budgets of lines that have calls, for the bridge to show with those. */
void app_budgets_tell(struct app *app);

struct line *app_line_by_guild(struct app *app, uint64_t guild_id);
struct line *app_line_by_number(struct app *app, int number);
#define APP_EACH_LINE(app, l) \
	for (int i_ = 0; i_ < (app)->line_count && ((l) = (app)->lines[i_], 1); i_++)

#endif
