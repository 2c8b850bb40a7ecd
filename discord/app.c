/* SPDX-License-Identifier: MIT
 *
 * app.c - how the program begins, is kept going, and ends; see app.h.
 */
#include "discord/app_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/notify.h"
#include "discord/dave/session.h"

#define EXIT_CONFIG        78
#define TEND_NS            (100 * NS_PER_MS)
#define TEND_IDLE_NS       NS_PER_SEC
#define BUDGETS_EVERY_NS   (5 * NS_PER_SEC)
#define STOP_MS            1500 /* for the close frames to leave; systemd is told 5 s */
#define STATE_DELAY_MS     200
#define STATE_BYTES_MAX    (64u * 1024)
#define UNANSWERED_PINGS   2

struct line *app_line_by_guild(struct app *app, uint64_t guild_id)
{
	struct line *l;
	APP_EACH_LINE (app, l)
		if (guild_id && line_guild_id(l) == guild_id)
			return l;
	return NULL;
}

struct line *app_line_by_number(struct app *app, int number)
{
	struct line *l;
	APP_EACH_LINE (app, l)
		if (line_number(l) == number)
			return l;
	return NULL;
}

void app_fatal(struct app *app, const char *sentence)
{
	log_error("%s", sentence);
	app->exit_status = EXIT_CONFIG;
	app_stop(app);
}

/* ---- what is kept on disk ---------------------------------------------------------------- */

/* Where the line's wish and its notices go on after a restart of this process. */
static void state_write(void *arg)
{
	struct app *app = arg;
	struct strbuf text = STRBUF_INIT(STATE_BYTES_MAX);
	struct json_writer w;
	struct line *l;
	char tmp[PATH_MAX + 8];
	json_begin(&w, &text);
	json_w_obj(&w, NULL);
	json_w_arr(&w, "lines");
	APP_EACH_LINE (app, l) {
		json_w_obj(&w, NULL);
		line_write_persistent(l, &w);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
	snprintf(tmp, sizeof(tmp), "%s.new", app->state_path);
	FILE *f = json_finish(&w) == 0 ? fopen(tmp, "we") : NULL;
	bool good = f && fwrite(text.data, 1, text.len, f) == text.len;
	good = f && fclose(f) == 0 && good;
	if (!good || rename(tmp, app->state_path) < 0) {
		static struct log_rate rate;
		log_rated(&rate, 60000, LOG_LEVEL_WARN, "cannot keep the state file=%s error=%s",
			  app->state_path, strerror(errno));
	}
	strbuf_free(&text);
}

static void state_read(struct app *app)
{
	FILE *f = fopen(app->state_path, "re");
	char *text = malloc(STATE_BYTES_MAX);
	size_t n = f && text ? fread(text, 1, STATE_BYTES_MAX, f) : 0;
	struct json_doc doc;
	if (f)
		fclose(f);
	if (n > 0) {
		if (json_parse(&doc, text, n, NULL) == 0) {
			struct json_at root = json_root(&doc), lines, e;
			if (json_is_obj(&root) && json_arr(&root, "lines", &lines))
				for (bool more = json_first(&lines, &e); more; more = json_next(&e)) {
					int64_t number;
					struct line *l;
					if (json_int(&e, "line", 0, SETTINGS_MAX_LINES, &number) &&
					    (l = app_line_by_number(app, (int)number)))
						line_read_persistent(l, &e);
				}
		}
		if (doc.error[0])
			log_warn("the kept state is unusable file=%s: %s", app->state_path, doc.error);
		json_free(&doc);
	}
	free(text);
}

static void paths_set(struct app *app)
{
	const char *dir = getenv("STATE_DIRECTORY");
	const char *run = settings_str(app->settings, "LOOPLINE_RUNTIME_DIR", 0);
	if (!dir || dir[0] != '/' || strchr(dir, ':'))
		dir = run;
	mkdir(dir, 0750); /* it may be there; what cannot be written is said when it is */
	snprintf(app->budget_path, sizeof(app->budget_path), "%s/discord-identify", dir);
	/* The wish dies with the machine: a call does not survive a boot. */
	snprintf(app->state_path, sizeof(app->state_path), "%s/discord-state.json", run);
}

/* ---- lines ------------------------------------------------------------------------------- */

static int host_send_voice_state(void *ctx, uint64_t guild_id, uint64_t channel_id)
{
	return app_send_voice_state(ctx, guild_id, channel_id);
}

static void host_on_change(void *ctx, struct line *line)
{
	app_line_changed(ctx, line);
}

static void host_on_persist(void *ctx)
{
	struct app *app = ctx;
	if (!app->stopping && !loop_timer_pending(&app->state_timer))
		loop_timer_set(app->loop, &app->state_timer, STATE_DELAY_MS, state_write, app);
}

static void host_on_guild(void *ctx, struct line *line)
{
	struct app *app = ctx;
	struct line *l;
	char text[200];
	APP_EACH_LINE (app, l) {
		if (l == line || line_guild_id(l) != line_guild_id(line))
			continue;
		snprintf(text, sizeof(text),
			 "VOICE_CHANNEL_ID of lines %d and %d are in one Discord server: a bot can be in one "
			 "voice channel of a server only",
			 line_number(l), line_number(line));
		app_fatal(app, text);
		return;
	}
	app_commands_register(app);
}

static void on_tend(void *arg, uint64_t periods, int64_t now_ns)
{
	struct app *app = arg;
	bool busy = false;
	struct line *l;
	(void)periods;
	APP_EACH_LINE (app, l)
		busy = line_ports_tend(l, now_ns) || busy;
	if (app->bridge && now_ns >= app->budgets_at_ns) {
		app_budgets_tell(app);
		app->budgets_at_ns = now_ns + BUDGETS_EVERY_NS;
	}
	int64_t period_ns = busy ? TEND_NS : TEND_IDLE_NS;
	if (period_ns == app->tend_ns)
		return;
	app->tend_ns = period_ns;
	loop_tick_period(app->tend, period_ns);
}

static void on_udp_discovered(void *ctx, int line, unsigned generation, const char *address,
			      uint16_t port)
{
	line_discovered(app_line_by_number(ctx, line), generation, address, port);
}

static void on_udp_dead(void *ctx, int line, unsigned generation, enum voice_dead why)
{
	line_dead(app_line_by_number(ctx, line), generation, why);
}

static int lines_create(struct app *app)
{
	struct media_events events = {
		.on_discovered = on_udp_discovered, .on_dead = on_udp_dead, .ctx = app};
	int err = media_create(&app->media, app->loop, &events);
	struct line_host host = {
		.loop = app->loop,
		.http = app->http,
		.rest = app->rest,
		.media = app->media,
		.settings = app->settings,
		.identity = app->identity,
		.users = app->users,
		.send_voice_state = host_send_voice_state,
		.on_change = host_on_change,
		.on_persist = host_on_persist,
		.on_guild = host_on_guild,
		.ctx = app,
	};
	for (int n = 0; err == 0 && n >= 0; n = settings_next_line(app->settings, n)) {
		err = line_create(&app->lines[app->line_count], n, &host);
		if (app->lines[app->line_count])
			app->line_count++;
	}
	return err;
}

static void on_unauthorized(void *ctx)
{
	app_fatal(ctx, "Discord refuses BOT_TOKEN (401): copy the token again from the developer portal, "
		       "page Bot, or reset it there");
}

/* ---- life -------------------------------------------------------------------------------- */

static int clients_create(struct app *app)
{
	struct http_client_config http = {.user_agent = REST_USER_AGENT,
					  .ca_file = settings_str(app->settings, "CA_FILE", 0)};
	struct rest_config rest = {
		.loop = app->loop,
		.base_url = settings_str(app->settings, KEY_DISCORD_API_URL, 0),
		.token = settings_str(app->settings, KEY_BOT_TOKEN, 0),
		.on_unauthorized = on_unauthorized,
		.ctx = app,
	};
	int err = http_client_create(&app->http, app->loop, &http);
	if (err < 0)
		return err;
	rest.http = app->http;
	return rest_create(&app->rest, &rest);
}

int app_create(struct app **out, struct loop *loop, struct settings *settings)
{
	struct app *app = calloc(1, sizeof(*app));
	*out = NULL;
	if (!app)
		return -ENOMEM;
	app->loop = loop;
	app->settings = settings_ref(settings);
	app->first = settings_ref(settings);
	paths_set(app);
	if (settings_is_set(settings, KEY_PROXY_SERVER_URL, 0))
		log_info("PROXY_SERVER_URL is not needed any more: the bridge and this process meet in %s",
			 settings_str(settings, "LOOPLINE_RUNTIME_DIR", 0));
	int err = clients_create(app);
	if (err == 0)
		err = dave_identity_create(&app->identity);
	if (err == 0)
		err = voice_users_create(&app->users);
	if (err == 0)
		err = app_gateway_create(app);
	if (err == 0)
		err = lines_create(app);
	if (err == 0)
		err = media_start(app->media);
	if (err < 0)
		log_error("cannot start error=%s", strerror(-err));
	else
		err = app_api_create(app);
	if (err < 0) {
		app_destroy(app);
		return err;
	}
	*out = app;
	return 0;
}

void app_destroy(struct app *app)
{
	if (!app)
		return;
	loop_timer_cancel(&app->gateway_timer);
	loop_timer_cancel(&app->state_timer);
	loop_timer_cancel(&app->stop_timer);
	loop_tick_stop(app->tend);
	loop_tick_stop(app->watchdog);
	app_api_destroy(app);
	for (int i = 0; i < app->line_count; i++)
		line_stop(app->lines[i]);
	media_destroy(app->media);
	rest_destroy(app->rest);
	for (int i = 0; i < app->line_count; i++)
		line_destroy(app->lines[i]);
	socket_let_go(app->socket, 1000);
	gateway_destroy(app->gateway);
	voice_users_destroy(app->users);
	dave_identity_destroy(app->identity);
	http_client_destroy(app->http);
	settings_unref(app->settings);
	settings_unref(app->first);
	free(app);
}

/* The watchdog is fed only while both threads answer. */
static void on_watchdog(void *arg, uint64_t periods, int64_t now_ns)
{
	struct app *app = arg;
	(void)periods;
	(void)now_ns;
	app->unanswered_pings = media_ping(app->media) ? 0 : app->unanswered_pings + 1;
	if (app->unanswered_pings < UNANSWERED_PINGS)
		notify_send("WATCHDOG=1");
	else
		log_error("the audio thread does not answer");
}

void app_start(struct app *app)
{
	struct line *l;
	int64_t watchdog_ms = notify_watchdog_ms();
	state_read(app);
	APP_EACH_LINE (app, l)
		line_look_up(l);
	app_gateway_start(app);
	app->tend_ns = TEND_NS;
	if (loop_tick_start(app->loop, &app->tend, TEND_NS, on_tend, app) < 0 ||
	    (watchdog_ms > 0 && loop_tick_start(app->loop, &app->watchdog, watchdog_ms * NS_PER_MS / 3,
						on_watchdog, app) < 0))
		log_warn("cannot make a timer: sound devices or the watchdog are not tended");
	log_info("running version=%s lines=%d realtime=%s", LOOPLINE_VERSION, app->line_count,
		 media_is_realtime(app->media) ? "yes" : "no");
	notify_send("READY=1");
}

static void stop_now(void *arg)
{
	struct app *app = arg;
	loop_stop(app->loop);
}

void app_stop(struct app *app)
{
	struct line *l;
	if (app->stopping)
		return;
	notify_send("STOPPING=1");
	loop_timer_cancel(&app->state_timer);
	state_write(app); /* the wish as it was: a restart goes back to it */
	app->stopping = true;
	log_info("stopping");
	APP_EACH_LINE (app, l) {
		if (line_guild_id(l) && gateway_state(app->gateway) == GATEWAY_READY)
			app_send_voice_state(app, line_guild_id(l), 0);
		line_leave(l);
	}
	app_gateway_stop(app);
	loop_timer_set(app->loop, &app->stop_timer, STOP_MS, stop_now, app);
}

/* Keys that are bound to connections and devices that exist: they need a restart. */
static bool restart_needed(const struct app *app, const struct settings *settings, int line)
{
	static const char *const bound[] = {KEY_VOICE_CHANNEL_ID, KEY_PHONE_PCM, KEY_DISCORD_PCM,
					    KEY_TEXT_CHANNEL_ID, KEY_SPEECH_LEVEL};
	static const char *const bound_once[] = {KEY_BOT_TOKEN, KEY_DISCORD_API_URL, KEY_OPUS_FEC};
	bool differs = false;
	for (size_t i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
		const char *a = settings_str(app->first, bound[i], line);
		const char *b = settings_str(settings, bound[i], line);
		differs = differs || strcmp(a ? a : "", b ? b : "") != 0;
	}
	for (size_t i = 0; line == 0 && i < sizeof(bound_once) / sizeof(bound_once[0]); i++) {
		const char *a = settings_str(app->first, bound_once[i], 0);
		const char *b = settings_str(settings, bound_once[i], 0);
		differs = differs || strcmp(a ? a : "", b ? b : "") != 0;
	}
	return differs;
}

void app_reload(struct app *app, struct settings *settings)
{
	struct line *l;
	bool restart = settings_line_count(settings) != app->line_count;
	APP_EACH_LINE (app, l) {
		if (!settings_has_line(settings, line_number(l))) {
			log_warn("a line is gone from the settings: nothing is changed before a restart");
			return;
		}
		restart = restart || restart_needed(app, settings, line_number(l));
	}
	APP_EACH_LINE (app, l)
		line_settings(l, settings);
	settings_unref(app->settings);
	app->settings = settings_ref(settings);
	log_info("settings were read again%s",
		 restart ? "; token, channels, PCM names, lines, OPUS_FEC and SPEECH_LEVEL change with a restart" : "");
}

int app_exit_status(const struct app *app)
{
	return app->exit_status;
}
