/* SPDX-License-Identifier: MIT
 *
 * app_api.c - the two Unix sockets: discord.sock, which we serve, and bridge.sock, whose events
 * we follow and which we tell whether each line's channel is connected.
 */
#include "discord/app_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* ---- ours -------------------------------------------------------------------------------- */

static struct line *line_of(struct app *app, struct api_request *request)
{
	char *end;
	long n = strtol(request->param, &end, 10);
	struct line *l = *request->param && !*end && n >= 0 && n < SETTINGS_MAX_LINES
				 ? app_line_by_number(app, (int)n)
				 : NULL;
	if (!l)
		api_reply_error(request, 404, "there is no line %s", log_quote(request->param));
	return l;
}

static void handle_connect(void *user, struct api_request *request)
{
	struct line *l = line_of(user, request);
	char who[32];
	if (!l)
		return;
	snprintf(who, sizeof(who), "uid %ld", (long)request->uid);
	line_connect(l, who);
	api_reply_json(request, 202, "{}");
}

static void handle_disconnect(void *user, struct api_request *request)
{
	struct line *l = line_of(user, request);
	char who[32];
	if (!l)
		return;
	snprintf(who, sizeof(who), "uid %ld", (long)request->uid);
	line_disconnect(l, who);
	api_reply_json(request, 202, "{}");
}

static void write_snapshot(void *user, struct json_writer *w)
{
	struct app *app = user;
	struct line *l;
	json_w_arr(w, "lines");
	APP_EACH_LINE (app, l) {
		struct api_line line = {.line = line_number(l)};
		line_api(l, &line.channel);
		api_line_encode(w, NULL, &line, false);
	}
	json_w_end(w);
}

static void write_state(void *user, struct json_writer *w)
{
	struct app *app = user;
	struct gateway_stats stats;
	struct line *l;
	gateway_stats(app->gateway, &stats);
	json_w_obj(w, "gateway");
	json_w_str(w, "state", gateway_state_name(gateway_state(app->gateway)));
	json_w_bool(w, "message_content", gateway_has_content(app->gateway));
	if (gateway_rtt_ns(app->gateway) >= 0)
		json_w_num(w, "rtt_ms", (double)gateway_rtt_ns(app->gateway) / (double)NS_PER_MS);
	json_w_int(w, "identifies", stats.identifies);
	json_w_int(w, "resumes", stats.resumes);
	json_w_end(w);
	json_w_bool(w, "bridge_connected", api_client_connected(app->bridge));
	json_w_bool(w, "realtime", media_is_realtime(app->media));
	json_w_arr(w, "media");
	APP_EACH_LINE (app, l) {
		json_w_obj(w, NULL);
		line_write_state(l, w);
		json_w_end(w);
	}
	json_w_end(w);
}

/* ---- the bridge's ------------------------------------------------------------------------ */

static void tell_bridge(struct app *app, const struct line *l)
{
	struct api_channel channel;
	line_api(l, &channel);
	/* Not connected: it is all said again after the next snapshot. */
	int err = api_client_send_channel(app->bridge, &channel);
	if (err < 0 && err != -ENOTCONN)
		log_warn("cannot tell the bridge about line=%d error=%s", line_number(l),
			 strerror(-err));
}

static void on_snapshot(void *user, const struct api_snapshot *snapshot)
{
	struct app *app = user;
	struct line *l;
	APP_EACH_LINE (app, l) {
		struct api_line none = {.line = line_number(l)};
		const struct api_line *found = &none;
		for (size_t i = 0; i < snapshot->line_count; i++)
			if (snapshot->lines[i].line == line_number(l))
				found = &snapshot->lines[i];
		line_snapshot(l, found);
		tell_bridge(app, l);
	}
}

static void on_event(void *user, const struct api_event *event)
{
	struct app *app = user;
	struct line *l = app_line_by_number(app, event->line);
	if (l)
		line_event(l, event);
}

static void on_lost(void *user, const char *why)
{
	struct app *app = user;
	struct line *l;
	log_info("the bridge is not connected why=%s", log_quote(why));
	APP_EACH_LINE (app, l)
		line_bridge_lost(l);
}

void app_line_changed(struct app *app, struct line *l)
{
	struct api_event event = {.type = API_EVENT_LINE_CHANNEL, .line = line_number(l)};
	if (!app->api || !app->bridge)
		return;
	line_api(l, &event.channel);
	api_server_publish(app->api, &event);
	tell_bridge(app, l);
}

static void write_budget(const void *ctx, struct json_writer *w)
{
	line_write_budget(ctx, w);
}

void app_budgets_tell(struct app *app)
{
	struct line *l;
	/* one that cannot be sent now is as good in five seconds */
	APP_EACH_LINE (app, l)
		if (line_calls(l) > 0)
			api_client_send_budget(app->bridge, line_number(l), write_budget, l);
}

int app_api_create(struct app *app)
{
	static const struct api_route routes[] = {
		{"POST", "/v1/lines/{}/connect", handle_connect},
		{"POST", "/v1/lines/{}/disconnect", handle_disconnect},
	};
	const char *dir = settings_str(app->settings, "LOOPLINE_RUNTIME_DIR", 0);
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/bridge.sock", dir);
	struct api_client_config client = {.path = path,
					   .on_snapshot = on_snapshot,
					   .on_event = on_event,
					   .on_lost = on_lost,
					   .user = app};
	int err = api_client_create(&app->bridge, app->loop, &client);
	if (err < 0)
		return err;
	snprintf(path, sizeof(path), "%s/discord.sock", dir);
	struct api_server_config server = {.path = path,
					   .routes = routes,
					   .route_count = sizeof(routes) / sizeof(routes[0]),
					   .snapshot = write_snapshot,
					   .state = write_state,
					   .user = app};
	err = api_server_create(&app->api, app->loop, &server);
	if (err == -EADDRINUSE)
		log_error("another loopline-discord is running already socket=%s", path);
	else if (err < 0)
		log_error("cannot listen socket=%s error=%s", path, strerror(-err));
	return err;
}

void app_api_destroy(struct app *app)
{
	api_client_destroy(app->bridge);
	api_server_destroy(app->api);
	app->bridge = NULL;
	app->api = NULL;
}
