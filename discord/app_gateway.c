/* SPDX-License-Identifier: MIT
 *
 * app_gateway.c - the main gateway's state machine in the world: its socket, its REST call, its
 * timer, and what its events mean to the lines.
 */
#include "discord/app_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/random.h"

#define TIMER_MIN_MS 50
#define PING_S       -1 /* the gateway's heartbeats say it sooner */

/* ---- time -------------------------------------------------------------------------------- */

static void on_timer(void *arg)
{
	struct app *app = arg;
	gateway_tick(app->gateway, clock_mono_ns());
	app_gateway_timer_update(app);
}

void app_gateway_timer_update(struct app *app)
{
	int64_t at_ns = gateway_deadline_ns(app->gateway);
	if (at_ns == INT64_MAX) {
		loop_timer_cancel(&app->gateway_timer);
		return;
	}
	int64_t ms = (at_ns - clock_mono_ns()) / NS_PER_MS + 1;
	loop_timer_set(app->loop, &app->gateway_timer, ms < TIMER_MIN_MS ? TIMER_MIN_MS : ms,
		       on_timer, app);
}

/* ---- GET /gateway/bot -------------------------------------------------------------------- */

static bool bot_answer_read(const struct rest_result *result, char *url, size_t size,
			    int64_t *remaining, int64_t *reset_ms)
{
	struct json_doc doc;
	struct json_at limit = {.doc = &doc};
	const char *text = NULL;
	bool good = false;
	if (json_parse(&doc, result->body, result->body_bytes, NULL) == 0) {
		struct json_at root = json_root(&doc);
		if (json_is_obj(&root) && json_str(&root, "url", &text) && strlen(text) < size) {
			strcpy(url, text);
			if (json_opt_obj(&root, "session_start_limit", &limit) && limit.node) {
				json_opt_int(&limit, "remaining", 0, INT32_MAX, remaining);
				json_opt_int(&limit, "reset_after", 0, INT64_C(1) << 40, reset_ms);
			}
			good = json_good(&doc);
		}
	}
	if (!good)
		log_warn("GET /gateway/bot was answered with nonsense: %s",
			 doc.error[0] ? doc.error : "no usable url");
	json_free(&doc);
	return good;
}

static void on_discovered(void *ctx, const struct rest_result *result)
{
	struct app *app = ctx;
	char url[256];
	int64_t remaining = -1, reset_ms = 0;
	if (result->ok && bot_answer_read(result, url, sizeof(url), &remaining, &reset_ms)) {
		gateway_discovered(app->gateway, url, remaining, reset_ms, clock_mono_ns());
	} else {
		if (!result->ok && result->status != 401)
			log_warn("cannot ask Discord for its gateway why=%s", log_quote(result->why));
		gateway_discovery_failed(app->gateway, result->status == 401, result->retry_after_ms,
					 clock_mono_ns());
	}
	app_gateway_timer_update(app);
}

static void op_discover(void *ctx)
{
	struct app *app = ctx;
	int err = rest_call(app->rest, "GET", "/gateway/bot", 0, NULL, 0, on_discovered, app);
	if (err < 0)
		gateway_discovery_failed(app->gateway, err == -EACCES, -1, clock_mono_ns());
}

/* ---- the socket -------------------------------------------------------------------------- */

static void on_open(void *ctx)
{
	struct app *app = ctx;
	gateway_opened(app->gateway, clock_mono_ns());
	app_gateway_timer_update(app);
}

static void on_message(void *ctx, const uint8_t *data, size_t len, bool binary)
{
	struct app *app = ctx;
	if (!binary) /* we never ask for compression */
		gateway_message(app->gateway, (const char *)data, len, clock_mono_ns());
	app_gateway_timer_update(app);
}

static void on_close(void *ctx, const struct ws_close *close)
{
	struct app *app = ctx;
	app->socket = NULL;
	log_info("gateway closed code=%d reason=%s error=%s", close->code,
		 log_quote(close->reason), log_quote(close->error));
	gateway_closed(app->gateway, close->opened, close->code, clock_mono_ns());
	app_gateway_timer_update(app);
}

static const struct socket_ops socket_ops = {
	.on_open = on_open, .on_message = on_message, .on_close = on_close};

static void op_connect(void *ctx, const char *url)
{
	struct app *app = ctx;
	struct ws_client_config config = {
		.loop = app->loop,
		.resolver = app->http,
		.url = url,
		.ca_file = settings_str(app->settings, "CA_FILE", 0),
		.user_agent = REST_USER_AGENT,
		.max_message_bytes = GATEWAY_MESSAGE_BYTES_MAX,
		.ping_s = PING_S,
	};
	socket_let_go(app->socket, 4000);
	app->socket = NULL;
	int err = socket_open(&app->socket, &config, &socket_ops, app);
	if (err < 0) {
		log_warn("cannot open the gateway error=%s", strerror(-err));
		gateway_closed(app->gateway, false, 1006, clock_mono_ns());
	}
}

static void op_close(void *ctx, int code)
{
	struct app *app = ctx;
	socket_let_go(app->socket, code);
	app->socket = NULL;
}

static void op_send(void *ctx, const char *text, size_t bytes)
{
	struct app *app = ctx;
	if (app->socket)
		socket_send(app->socket, text, bytes, false);
}

/* ---- events ------------------------------------------------------------------------------ */

static void op_ready(void *ctx, bool resumed)
{
	struct app *app = ctx;
	struct line *l;
	log_info("gateway is ready session=%s bot=%" PRIu64, resumed ? "resumed" : "new",
		 gateway_user_id(app->gateway));
	APP_EACH_LINE (app, l) {
		line_hint(l, gateway_has_content(app->gateway) ? "`$connect`" : "`/connect`");
		line_gateway_ready(l, gateway_user_id(app->gateway), resumed);
	}
	app_commands_register(app);
}

static int member_is_bot(const struct json_at *from)
{
	struct json_at member = {.doc = from->doc}, user = {.doc = from->doc};
	bool bot = false;
	if (!json_opt_obj(from, "member", &member) || !member.node ||
	    !json_opt_obj(&member, "user", &user) || !user.node)
		return -1;
	json_opt_bool(&user, "bot", &bot);
	return bot;
}

/* One voice state of a guild of ours, our own or another's. */
static void voice_state(struct app *app, struct line *l, const struct json_at *d)
{
	uint64_t user = 0, channel = 0;
	const char *session = "";
	struct channel_flags flags = {0};
	if (!json_id(d, "user_id", &user))
		return;
	json_opt_id(d, "channel_id", &channel);
	json_opt_str(d, "session_id", &session);
	json_opt_bool(d, "deaf", &flags.deaf);
	json_opt_bool(d, "mute", &flags.mute);
	json_opt_bool(d, "suppress", &flags.suppress);
	if (!json_good(d->doc))
		return;
	if (user == gateway_user_id(app->gateway)) {
		line_own_state(l, channel, session, &flags);
		return;
	}
	voice_users_set(app->users, line_guild_id(l), user, channel, member_is_bot(d));
	line_other_state(l, user, channel);
}

static void on_guild_create(struct app *app, const struct json_at *d)
{
	uint64_t guild = 0;
	struct json_at states = {.doc = d->doc}, members = {.doc = d->doc}, e;
	if (!json_id(d, "id", &guild) || !app_line_by_guild(app, guild))
		return;
	voice_users_forget_guild(app->users, guild);
	/* Voice states here carry no guild_id, and no member either. */
	if (json_opt_arr(d, "voice_states", &states) && states.node)
		for (bool more = json_first(&states, &e); more; more = json_next(&e))
			if (json_is_obj(&e)) {
				uint64_t user = 0, channel = 0;
				json_opt_id(&e, "user_id", &user);
				json_opt_id(&e, "channel_id", &channel);
				if (user && user != gateway_user_id(app->gateway))
					voice_users_set(app->users, guild, user, channel,
							member_is_bot(&e));
			}
	if (!json_opt_arr(d, "members", &members) || !members.node)
		return;
	for (bool more = json_first(&members, &e); more; more = json_next(&e)) {
		struct json_at user = {.doc = d->doc};
		uint64_t id = 0;
		bool bot = false;
		if (!json_opt_obj(&e, "user", &user) || !user.node)
			continue;
		json_opt_id(&user, "id", &id);
		json_opt_bool(&user, "bot", &bot);
		uint64_t channel = voice_users_channel(app->users, guild, id);
		if (channel)
			voice_users_set(app->users, guild, id, channel, bot);
	}
}

static void on_voice_server_update(struct app *app, const struct json_at *d)
{
	uint64_t guild = 0;
	const char *token = "", *endpoint = NULL;
	struct line *l;
	if (!json_id(d, "guild_id", &guild) || !(l = app_line_by_guild(app, guild)))
		return;
	if (json_opt_str(d, "endpoint", &endpoint) && !json_str(d, "token", &token))
		return;
	if (json_good(d->doc))
		line_server_update(l, token, endpoint);
}

static void op_dispatch(void *ctx, const char *event, const struct json_at *d)
{
	struct app *app = ctx;
	uint64_t id = 0;
	struct line *l;
	if (!strcmp(event, "VOICE_STATE_UPDATE")) {
		if (json_opt_id(d, "guild_id", &id) && (l = app_line_by_guild(app, id)))
			voice_state(app, l, d);
	} else if (!strcmp(event, "VOICE_SERVER_UPDATE")) {
		on_voice_server_update(app, d);
	} else if (!strcmp(event, "GUILD_CREATE")) {
		on_guild_create(app, d);
	} else if (!strcmp(event, "CHANNEL_DELETE")) {
		if (json_id(d, "id", &id))
			APP_EACH_LINE (app, l)
				line_channel_deleted(l, id);
	} else if (!strcmp(event, "MESSAGE_CREATE")) {
		app_on_message(app, d);
	} else if (!strcmp(event, "INTERACTION_CREATE")) {
		app_on_interaction(app, d);
	}
}

static void op_no_content(void *ctx)
{
	struct app *app = ctx;
	struct line *l;
	log_warn("Discord does not let this bot read messages (close code 4014): `$connect` will "
		 "not work, @mentions and slash commands will. To change that, switch on Message "
		 "Content Intent on the page Bot of the developer portal and restart.");
	APP_EACH_LINE (app, l)
		line_hint(l, "`/connect`");
}

static void op_note(void *ctx, const char *text)
{
	static struct log_rate rate;
	(void)ctx;
	log_rated(&rate, 200, LOG_LEVEL_INFO, "%s", text);
}

static void op_fatal(void *ctx, const char *sentence)
{
	app_fatal(ctx, sentence);
}

static void op_budget(void *ctx, const struct identify_budget *budget)
{
	struct app *app = ctx;
	static struct log_rate rate;
	int err = identify_budget_save(budget, app->budget_path);
	if (err < 0)
		log_rated(&rate, 60000, LOG_LEVEL_WARN, "cannot keep the identify budget file=%s error=%s",
			  app->budget_path, strerror(-err));
}

static double op_random(void *ctx)
{
	(void)ctx;
	return (double)(random_u64() >> 11) * 0x1p-53;
}

static int64_t op_wall_ms(void *ctx)
{
	(void)ctx;
	return clock_wall_ms();
}

static const struct gateway_ops gateway_ops = {
	.discover = op_discover,
	.connect = op_connect,
	.close = op_close,
	.send = op_send,
	.on_ready = op_ready,
	.on_dispatch = op_dispatch,
	.on_no_content = op_no_content,
	.on_note = op_note,
	.on_fatal = op_fatal,
	.on_budget = op_budget,
	.random = op_random,
	.wall_ms = op_wall_ms,
};

int app_gateway_create(struct app *app)
{
	struct gateway_config config = {.token = settings_str(app->settings, KEY_BOT_TOKEN, 0),
					.ops = &gateway_ops,
					.ctx = app};
	int err = identify_budget_load(&config.budget, app->budget_path);
	if (err < 0 && err != -ENOENT)
		log_warn("the identify budget cannot be read and begins anew file=%s error=%s",
			 app->budget_path, strerror(-err));
	return gateway_create(&app->gateway, &config);
}

void app_gateway_start(struct app *app)
{
	gateway_start(app->gateway, clock_mono_ns());
	app_gateway_timer_update(app);
}

void app_gateway_stop(struct app *app)
{
	gateway_stop(app->gateway);
	app_gateway_timer_update(app);
}

int app_send_voice_state(struct app *app, uint64_t guild_id, uint64_t channel_id)
{
	int err = gateway_send_voice_state(app->gateway, guild_id, channel_id, clock_mono_ns());
	app_gateway_timer_update(app);
	return err;
}
