/* SPDX-License-Identifier: MIT
 *
 * control.c - see control.h.
 */
#include "bridge/control.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/bridge_internal.h"
#include "bridge/call_sound.h"
#include "common/api.h"
#include "common/clock.h"

#define BUDGET_BYTES    16384
#define BUDGET_FRESH_NS (15 * NS_PER_SEC)

/* What is known of a line's channel, and who said it. */
struct channel {
	struct control *control;
	struct api_channel state;
	uint64_t client;        /* 0: nobody, or gone */
	struct loop_timer lease; /* runs when the client has gone */
	/* What the Discord process says of the delay on its side: */
	struct strbuf budget; /* JSON; empty: nothing */
	int64_t budget_ns;    /* when it came */
	double to_discord_ms, to_phone_ms; /* its sums; NAN: not known */
};

struct control {
	struct bridge *bridge;
	struct api_server *api;
	struct channel channel[SETTINGS_MAX_LINES];
};

/* ---- encoding ------------------------------------------------------------------------------- */

static void fill_call(struct api_call *out, const struct call *call)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->id, sizeof(out->id), "%s", call->sid);
	snprintf(out->from, sizeof(out->from), "%s", call->from);
	snprintf(out->to, sizeof(out->to), "%s", call->to);
	out->state = call->state == CALL_NEW	? API_CALL_NEW
		     : call->state == CALL_LIVE ? API_CALL_LIVE
						: API_CALL_REATTACHING;
	out->since_ms = call->since_wall_ms;
}

static void write_snapshot(void *user, struct json_writer *w)
{
	struct control *c = user;
	struct bridge *b = c->bridge;
	struct api_call calls[CALL_MAX];

	json_w_arr(w, "lines");
	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		struct api_line line = {.line = n, .channel = c->channel[n].state, .calls = calls};

		if (!b->line[n])
			continue;
		for (struct call *call = call_next(b->calls, NULL); call;
		     call = call_next(b->calls, call))
			if (call->line == n)
				fill_call(&calls[line.call_count++], call);
		api_line_encode(w, NULL, &line, true);
	}
	json_w_end(w);
}

/* The delay budget and the counters of one call. */
static void write_call_sound(struct json_writer *w, const struct channel *channel,
			     const struct line *line, const struct call *call)
{
	bool fresh = channel->budget.len && clock_mono_ns() - channel->budget_ns < BUDGET_FRESH_NS;
	struct call_sound sound = {.line = line_budget(line),
				   .discord = fresh ? strbuf_text(&channel->budget) : NULL,
				   .to_discord_ms = channel->to_discord_ms,
				   .to_phone_ms = channel->to_phone_ms};
	struct media_stream_stats stream;
	struct leg_stats leg;

	if (call->stream) {
		media_stream_stats(session_stream(call->stream), &stream);
		sound.stream = &stream;
	}
	if (call->leg) {
		leg_stats(call->leg, &leg);
		sound.leg = &leg;
	}
	json_w_obj(w, NULL);
	json_w_str(w, "id", call->sid);
	call_sound_write(w, &sound);
	json_w_end(w);
}

/* GET /v1/state has more than the snapshot: how it sounds. */
static void write_state(void *user, struct json_writer *w)
{
	struct control *c = user;
	struct bridge *b = c->bridge;

	json_w_arr(w, "sound");
	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		struct line_stats stats;

		if (!b->line[n])
			continue;
		line_stats(b->line[n], &stats);
		json_w_obj(w, NULL);
		json_w_int(w, "line", n);
		port_write_state(w, "phone", line_phone(b->line[n]));
		port_write_state(w, "discord", line_discord(b->line[n]));
		json_w_int(w, "ticks", (int64_t)stats.ticks);
		json_w_int(w, "late_ticks", (int64_t)stats.late_ticks);
		json_w_int(w, "unheard_frames", (int64_t)stats.unheard_frames);
		json_w_int(w, "silence_frames", (int64_t)stats.silence_frames);
		json_w_int(w, "skipped_frames", (int64_t)stats.skipped_frames);
		json_w_arr(w, "calls");
		for (struct call *call = call_next(b->calls, NULL); call;
		     call = call_next(b->calls, call))
			if (call->line == n)
				write_call_sound(w, &c->channel[n], b->line[n], call);
		json_w_end(w);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_int(w, "sockets", sessions_count(b->sessions));
	json_w_int(w, "hangups_under_way", (int64_t)twilio_api_hangups(b->api));
}

/* ---- requests ------------------------------------------------------------------------------- */

static void handle_hangup(void *user, struct api_request *request)
{
	struct control *c = user;
	struct call *call = call_find(c->bridge->calls, request->param);

	if (!call) {
		api_reply_error(request, 404, "no such call");
		return;
	}
	call_finish(c->bridge->calls, call, CALL_END_HANGUP, clock_mono_ns());
	api_reply_json(request, 202, "{}");
}

/* ---- channels ------------------------------------------------------------------------------- */

static void channel_set(struct channel *channel, const struct api_channel *state)
{
	struct control *c = channel->control;
	int line = (int)(channel - c->channel);
	bool connected = state->state == API_CHANNEL_CONNECTED;

	if (channel->state.state != state->state)
		log_info("channel is %s line=%d why=%s", api_channel_state_name(state->state), line,
			 log_quote(state->why[0] ? state->why : NULL));
	channel->state = *state;
	channel->state.line = line;
	if (connected != line_connected(c->bridge->line[line]))
		bridge_set_connected(c->bridge, line, connected);
}

static void on_lease_over(void *arg)
{
	struct channel *channel = arg;
	struct api_channel gone = {.state = API_CHANNEL_DISCONNECTED,
				   .why = "loopline-discord is gone"};

	strbuf_reset(&channel->budget);
	channel_set(channel, &gone);
}

static double sum_of(const struct json_at *budget, const char *way)
{
	struct json_at stages;
	double ms = NAN;

	if (!json_opt_obj(budget, way, &stages) || !json_opt_num(&stages, "sum_ms", &ms))
		return NAN;
	return ms;
}

static void on_budget(struct control *c, const struct json_at *root)
{
	struct json_at budget, speakers, speaker;
	double most = NAN;
	int line;

	if (!api_budget_decode(root, &line, &budget) || line >= SETTINGS_MAX_LINES || !c->bridge->line[line])
		return;
	struct channel *channel = &c->channel[line];

	strbuf_reset(&channel->budget);
	if (json_text(&budget, &channel->budget) < 0)
		strbuf_reset(&channel->budget);
	channel->budget_ns = clock_mono_ns();
	channel->to_discord_ms = sum_of(&budget, "to_discord");
	if (json_opt_arr(&budget, "speakers", &speakers))
		for (bool more = json_first(&speakers, &speaker); more; more = json_next(&speaker))
			most = fmax(most, sum_of(&speaker, "to_phone")); /* a NAN gives way */
	channel->to_phone_ms = sum_of(&budget, "to_phone") + most;
}

static void on_message(void *user, uint64_t client, uid_t uid, const struct json_at *root)
{
	struct control *c = user;
	struct api_channel state;
	const char *type = "";

	(void)uid; /* logged by the server */
	if (json_opt_str(root, "type", &type) && strcmp(type, "line.budget") == 0) {
		on_budget(c, root);
		return;
	}
	if (!api_channel_decode(root, &state)) {
		static struct log_rate rate;

		log_rated(&rate, 10000, LOG_LEVEL_WARN, "ignoring a message on bridge.sock why=%s",
			  log_quote(root->doc->error));
		return;
	}
	if (state.line < 0 || state.line >= SETTINGS_MAX_LINES || !c->bridge->line[state.line]) {
		log_warn("ignoring the channel of a line that does not exist here line=%d", state.line);
		return;
	}
	struct channel *channel = &c->channel[state.line];

	channel->client = client;
	loop_timer_cancel(&channel->lease);
	channel_set(channel, &state);
}

static void on_gone(void *user, uint64_t client)
{
	struct control *c = user;

	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		struct channel *channel = &c->channel[n];

		if (channel->client != client || client == 0)
			continue;
		channel->client = 0;
		loop_timer_set(c->bridge->loop, &channel->lease, CONTROL_LEASE_MS, on_lease_over,
			       channel);
	}
}

/* ---- events --------------------------------------------------------------------------------- */

void control_call_changed(struct control *c, const struct call *call)
{
	struct api_event event = {.line = call->line};

	event.type = call->state == CALL_NEW	? API_EVENT_CALL_NEW
		     : call->state == CALL_LIVE ? API_EVENT_CALL_LIVE
						: API_EVENT_CALL_REATTACHING;
	fill_call(&event.call, call);
	api_server_publish(c->api, &event);
}

void control_call_ended(struct control *c, const struct call *call, enum call_end reason,
			int64_t now_ns)
{
	struct api_event event = {.type = API_EVENT_CALL_ENDED, .line = call->line};

	fill_call(&event.call, call);
	snprintf(event.reason, sizeof(event.reason), "%s", call_end_text(reason));
	event.duration_ms = (now_ns - call->since_ns) / NS_PER_MS;
	api_server_publish(c->api, &event);
}

void control_call_dtmf(struct control *c, const struct call *call, char digit)
{
	struct api_event event = {.type = API_EVENT_CALL_DTMF, .line = call->line, .digit = digit};

	fill_call(&event.call, call);
	api_server_publish(c->api, &event);
}

/* ---- life ----------------------------------------------------------------------------------- */

int control_create(struct control **out, struct bridge *bridge)
{
	static const struct api_route routes[] = {
		{"POST", "/v1/calls/{}/hangup", handle_hangup},
	};
	struct control *c = calloc(1, sizeof(*c));
	char path[256];
	int err;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->bridge = bridge;
	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		c->channel[n].control = c;
		c->channel[n].state.line = n;
		strbuf_init(&c->channel[n].budget, BUDGET_BYTES);
	}
	snprintf(path, sizeof(path), "%s/bridge.sock",
		 settings_str(bridge->settings, "LOOPLINE_RUNTIME_DIR", 0));
	struct api_server_config config = {
		.path = path,
		.routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]),
		.snapshot = write_snapshot,
		.state = write_state,
		.on_message = on_message,
		.on_gone = on_gone,
		.user = c,
	};

	err = api_server_create(&c->api, bridge->loop, &config);
	if (err) {
		log_error("cannot serve %s: %s", path,
			  err == -EADDRINUSE ? "another loopline-bridge is running" : strerror(-err));
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		loop_timer_cancel(&c->channel[n].lease);
		strbuf_free(&c->channel[n].budget);
	}
	api_server_destroy(c->api);
	free(c);
}
