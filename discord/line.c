/* SPDX-License-Identifier: MIT
 *
 * line.c - see line.h.
 */
#include "discord/line_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/port.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/settings.h"
#include "discord/dave/session.h"
#include "discord/keys.h"
#include "discord/rest.h"
#include "discord/voice_users.h"

#define USERS_MAX        256
#define TIMER_MIN_MS     50
#define LOST_GRACE_MS    12000 /* a restarted bridge gets its calls back within 10 s */

static void timer_update(struct line *l);

/* ---- what is wanted ---------------------------------------------------------------------- */

static enum api_channel_state api_state(const struct line *l)
{
	switch (channel_state(l->channel)) {
	case CHANNEL_CONNECTED:
		return API_CHANNEL_CONNECTED;
	case CHANNEL_JOINING:
	case CHANNEL_CONNECTING:
	case CHANNEL_WAITING:
	case CHANNEL_PAUSING:
		return API_CHANNEL_CONNECTING;
	case CHANNEL_LEAVING:
		return l->attend.wanted ? API_CHANNEL_CONNECTING : API_CHANNEL_DISCONNECTED;
	case CHANNEL_FAILED:
		return API_CHANNEL_FAILED;
	case CHANNEL_IDLE:
		break;
	}
	return l->attend.wanted && !l->ready ? API_CHANNEL_CONNECTING : API_CHANNEL_DISCONNECTED;
}

void line_api(const struct line *l, struct api_channel *out)
{
	memset(out, 0, sizeof(*out));
	out->line = l->number;
	out->state = l->channel ? api_state(l) : API_CHANNEL_DISCONNECTED;
	if (out->state != API_CHANNEL_DISCONNECTED)
		out->channel_id = channel_id(l->channel);
	if (l->channel)
		snprintf(out->why, sizeof(out->why), "%s", channel_why(l->channel));
}

/* Tells the world when what it can see has changed. */
static void changed(struct line *l)
{
	struct api_channel now;
	line_api(l, &now);
	if (!memcmp(&now, &l->told, sizeof(now)))
		return;
	/* A join that is tried again and again changes no state, but why it fails must be read. */
	bool news = now.state != l->told.state ||
		    (now.why[0] && strcmp(now.why, l->told.why) != 0);
	l->told = now;
	if (news)
		log_info("channel is %s line=%d channel=%" PRIu64 " why=%s",
			 api_channel_state_name(now.state), l->number, channel_id(l->channel),
			 log_quote(now.why));
	calls_connected(l->calls, now.state == API_CHANNEL_CONNECTED);
	l->host.on_change(l->host.ctx, l);
}

/* Carries the rule's wish to the channel. Everything that can change either ends here. */
void line_settle(struct line *l)
{
	int64_t now_ns = clock_mono_ns();
	if (l->leaving)
		return;
	attend_tick(&l->attend, now_ns);
	if (l->channel && l->ready)
		channel_want(l->channel, l->attend.wanted, now_ns);
	if (l->channel)
		changed(l);
	timer_update(l);
}

static void on_timer(void *arg)
{
	struct line *l = arg;
	if (l->channel)
		channel_tick(l->channel, clock_mono_ns());
	line_settle(l);
}

static void timer_update(struct line *l)
{
	int64_t at_ns = attend_deadline_ns(&l->attend);
	if (l->channel && channel_deadline_ns(l->channel) < at_ns)
		at_ns = channel_deadline_ns(l->channel);
	if (at_ns == INT64_MAX) {
		loop_timer_cancel(&l->timer);
		return;
	}
	int64_t ms = (at_ns - clock_mono_ns()) / NS_PER_MS + 1;
	loop_timer_set(l->host.loop, &l->timer, ms < TIMER_MIN_MS ? TIMER_MIN_MS : ms, on_timer, l);
}

static void calls_changed(struct line *l, bool fresh)
{
	unsigned n = calls_active(l->calls);
	attend_calls(&l->attend, n, fresh, clock_mono_ns());
	media_calls(l->host.media, l->number, n);
	line_settle(l);
}

/* ---- channel and voice ------------------------------------------------------------------- */

static int op_send_voice_state(void *ctx, uint64_t id)
{
	struct line *l = ctx;
	return l->host.send_voice_state(l->host.ctx, l->guild_id, id);
}

static int op_voice_start(void *ctx, const struct voice_session *session, uint64_t id)
{
	struct line *l = ctx;
	uint64_t users[USERS_MAX];
	if (l->leaving)
		return 0;
	size_t n = voice_users_in(l->host.users, l->guild_id, id, users, USERS_MAX);
	return voice_link_start(l->voice, session, id, users, n);
}

static void op_voice_stop(void *ctx)
{
	struct line *l = ctx;
	voice_link_stop(l->voice);
}

static void op_channel_change(void *ctx)
{
	struct line *l = ctx;
	if (l->channel)
		changed(l);
}

static void op_kicked(void *ctx)
{
	struct line *l = ctx;
	log_info("removed from the voice channel line=%d", l->number);
	attend_disconnect(&l->attend);
	l->host.on_persist(l->host.ctx);
}

static const struct channel_ops channel_ops = {
	.send_voice_state = op_send_voice_state,
	.voice_start = op_voice_start,
	.voice_stop = op_voice_stop,
	.on_change = op_channel_change,
	.on_kicked = op_kicked,
};

bool line_channel_create(struct line *l)
{
	struct channel_config config = {
		.guild_id = l->guild_id, .channel_id = l->channel_id, .ops = &channel_ops, .ctx = l};
	return channel_create(&l->channel, &config) == 0;
}

static void on_voice_ready(void *ctx)
{
	struct line *l = ctx;
	channel_voice_ready(l->channel, clock_mono_ns());
	line_settle(l);
}

static void on_voice_end(void *ctx, enum voice_outcome outcome, const char *why)
{
	struct line *l = ctx;
	channel_voice_end(l->channel, outcome, why, clock_mono_ns());
	line_settle(l);
}

static bool is_ignored(void *ctx, uint64_t user_id)
{
	struct line *l = ctx;
	return settings_bool(l->host.settings, KEY_IGNORE_BOTS, 0) &&
	       voice_users_is_bot(l->host.users, l->guild_id, user_id);
}

static void on_voice_change(void *ctx)
{
	struct line *l = ctx;
	(void)l; /* GET /v1/state reads it live; line.channel does not carry it */
}

static const struct voice_link_ops voice_ops = {
	.on_ready = on_voice_ready,
	.on_end = on_voice_end,
	.is_ignored = is_ignored,
	.on_change = on_voice_change,
};

static void on_calls_change(void *ctx)
{
	struct line *l = ctx;
	l->host.on_persist(l->host.ctx);
}

/* ---- life -------------------------------------------------------------------------------- */

static int ports_create(struct line *l)
{
	const struct settings *s = l->host.settings;
	struct port_params capture = {.name = settings_str(s, KEY_PHONE_PCM, l->number),
				      .direction = PORT_CAPTURE};
	struct port_params playback = {.name = settings_str(s, KEY_DISCORD_PCM, l->number),
				       .direction = PORT_PLAYBACK};
	int err = port_create(&l->capture, &capture);
	if (err == 0)
		err = port_create(&l->playback, &playback);
	if (err < 0)
		return err;
	port_allow_create(l->capture, true);
	port_allow_create(l->playback, true);
	return 0;
}

int line_create(struct line **out, int number, const struct line_host *host)
{
	const struct settings *s = host->settings;
	struct line *l = calloc(1, sizeof(*l));
	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->number = number;
	l->host = *host;
	l->channel_id = settings_snowflake(s, KEY_VOICE_CHANNEL_ID, number);
	l->look_up_ms = LINE_LOOK_UP_MIN_MS;
	l->born_ms = clock_wall_ms();
	attend_init(&l->attend, settings_enum(s, KEY_CONNECT, 0) == CONNECT_ON_CALL);
	struct calls_config calls = {
		.loop = host->loop,
		.rest = host->rest,
		.line = number,
		.text_channel_id = settings_snowflake(s, KEY_TEXT_CHANNEL_ID, number),
		.show = (enum notice_numbers)settings_enum(s, KEY_SHOW_NUMBERS, 0),
		.on_change = on_calls_change,
		.ctx = l,
	};
	int err = ports_create(l);
	if (err == 0)
		err = dave_media_create(&l->dave_media);
	if (err == 0)
		err = media_line_add(host->media, number, l->capture, l->playback, l->dave_media,
				     settings_bool(s, KEY_OPUS_FEC, 0),
				     (int)settings_int(s, KEY_SPEECH_LEVEL, number));
	if (err == 0)
		err = calls_create(&l->calls, &calls);
	struct voice_link_config voice = {
		.loop = host->loop,
		.resolver = host->http,
		.ca_file = settings_str(s, "CA_FILE", 0),
		.media = host->media,
		.line = number,
		.identity = host->identity,
		.dave_media = l->dave_media,
		.ops = &voice_ops,
		.ctx = l,
	};
	if (err == 0)
		err = voice_link_create(&l->voice, &voice);
	/* With an error the caller ends the program: the audio thread was not started. */
	*out = l;
	return err;
}

void line_destroy(struct line *l)
{
	if (!l)
		return;
	loop_timer_cancel(&l->timer);
	loop_timer_cancel(&l->look_up_timer);
	loop_timer_cancel(&l->lost_timer);
	channel_destroy(l->channel);
	calls_destroy(l->calls);
	port_destroy(l->capture);
	port_destroy(l->playback);
	dave_media_destroy(l->dave_media);
	free(l);
}

void line_settings(struct line *l, const struct settings *settings)
{
	l->host.settings = settings;
	l->attend.on_call = settings_enum(settings, KEY_CONNECT, 0) == CONNECT_ON_CALL;
	calls_show(l->calls, (enum notice_numbers)settings_enum(settings, KEY_SHOW_NUMBERS, 0));
}

void line_leave(struct line *l)
{
	l->leaving = true;
	loop_timer_cancel(&l->timer);
	voice_link_stop(l->voice);
}

void line_stop(struct line *l)
{
	voice_link_destroy(l->voice);
	l->voice = NULL;
}

static void port_tend(struct line *l, struct port *port, bool *told, int64_t now_ns)
{
	if (port_is_open(port)) {
		if (*told)
			log_info("sound device is back pcm=%s line=%d", port_name(port), l->number);
		*told = false;
		return;
	}
	int err = port_open(port, now_ns);
	if (err == -EAGAIN)
		return;
	if (err < 0 && !*told)
		log_warn("cannot open pcm=%s line=%d: %s", port_name(port), l->number,
			 port_error(port));
	*told = err < 0;
}

bool line_ports_tend(struct line *l, int64_t now_ns)
{
	const struct media_line_stats *stats = media_stats(l->host.media, l->number);
	port_tend(l, l->capture, &l->capture_told, now_ns);
	port_tend(l, l->playback, &l->playback_told, now_ns);
	media_port_tended(l->host.media, l->number);
	return stats->capturing || !port_is_open(l->capture) || !port_is_open(l->playback);
}

int line_number(const struct line *l)
{
	return l->number;
}

uint64_t line_guild_id(const struct line *l)
{
	return l->guild_id;
}

uint64_t line_channel_id(const struct line *l)
{
	return l->channel_id;
}

/* ---- commands ---------------------------------------------------------------------------- */

void line_connect(struct line *l, const char *who)
{
	log_info("connect asked for line=%d by=%s", l->number, log_quote(who));
	attend_connect(&l->attend, clock_mono_ns());
	if (l->channel && l->ready)
		channel_retry(l->channel, clock_mono_ns());
	line_settle(l);
	l->host.on_persist(l->host.ctx);
}

void line_disconnect(struct line *l, const char *who)
{
	log_info("disconnect asked for line=%d by=%s", l->number, log_quote(who));
	attend_disconnect(&l->attend);
	line_settle(l);
	l->host.on_persist(l->host.ctx);
}

static void on_hung_up(void *arg, const struct http_response *response)
{
	struct line *l = arg;
	if (response->error || (response->status != 202 && response->status != 404))
		log_warn("the bridge did not take the hang-up line=%d status=%d error=%s", l->number,
			 response->status, log_quote(response->error_text));
}

unsigned line_hangup(struct line *l, const char *who)
{
	char url[192], socket[192];
	unsigned n = 0;
	snprintf(socket, sizeof(socket), "%s/bridge.sock",
		 settings_str(l->host.settings, "LOOPLINE_RUNTIME_DIR", 0));
	for (const char *id; (id = calls_id(l->calls, n)); n++) {
		log_info("hang-up asked for line=%d call=%s by=%s", l->number, id, log_quote(who));
		snprintf(url, sizeof(url), "http://localhost/v1/calls/%s/hangup", id);
		struct http_request request = {.method = "POST",
					       .url = url,
					       .unix_path = socket,
					       .total_timeout_ms = 5000,
					       .on_done = on_hung_up,
					       .arg = l};
		int err = http_request_start(l->host.http, &request, NULL);
		if (err < 0)
			log_warn("cannot ask the bridge to hang up error=%s", strerror(-err));
	}
	return n;
}

void line_hint(struct line *l, const char *hint)
{
	calls_hint(l->calls, hint);
}

/* ---- the bridge -------------------------------------------------------------------------- */

void line_snapshot(struct line *l, const struct api_line *snapshot)
{
	loop_timer_cancel(&l->lost_timer);
	bool fresh = calls_snapshot(l->calls, snapshot, l->born_ms);
	/* Calls that were in progress when we were restarted: go back to where we were. */
	if (l->was_wanted && calls_oldest_ms(l->calls) <= l->born_ms) {
		log_info("going back to the voice channel line=%d calls=%u", l->number,
			 calls_active(l->calls));
		l->attend.wanted = true;
	}
	l->was_wanted = false;
	calls_changed(l, fresh);
}

void line_event(struct line *l, const struct api_event *event)
{
	calls_changed(l, calls_event(l->calls, event));
}

static void on_lost_for_long(void *arg)
{
	struct line *l = arg;
	struct api_line none = {.line = l->number};
	log_warn("the bridge is gone, so its calls are line=%d calls=%u", l->number,
		 calls_active(l->calls));
	calls_snapshot(l->calls, &none, INT64_MAX);
	calls_changed(l, false);
}

void line_bridge_lost(struct line *l)
{
	if (calls_active(l->calls) > 0)
		loop_timer_set(l->host.loop, &l->lost_timer, LOST_GRACE_MS, on_lost_for_long, l);
}

/* ---- the main gateway -------------------------------------------------------------------- */

void line_gateway_ready(struct line *l, uint64_t user_id, bool resumed)
{
	l->user_id = user_id;
	l->ready = true;
	if (l->channel)
		channel_gateway_ready(l->channel, user_id, resumed, clock_mono_ns());
	line_settle(l);
}

void line_own_state(struct line *l, uint64_t id, const char *session_id,
		    const struct channel_flags *flags)
{
	if (!l->channel)
		return;
	bool suppressed = channel_flags(l->channel)->suppress;
	channel_own_state(l->channel, id, session_id, flags, clock_mono_ns());
	if (id && flags->suppress && l->stage && !suppressed) {
		/* On a stage we begin as audience. Needs Mute Members. */
		char path[96], body[96];
		snprintf(path, sizeof(path), "/guilds/%" PRIu64 "/voice-states/@me", l->guild_id);
		snprintf(body, sizeof(body), "{\"channel_id\":\"%" PRIu64 "\",\"suppress\":false}", id);
		rest_call(l->host.rest, "PATCH", path, l->guild_id, body, REST_IDEMPOTENT, NULL, NULL);
	}
	if (id && (flags->deaf || flags->mute))
		log_warn("the server has %s us line=%d", flags->deaf ? "deafened" : "muted", l->number);
	line_settle(l);
}

void line_other_state(struct line *l, uint64_t user_id, uint64_t id)
{
	if (!l->channel)
		return;
	voice_link_user(l->voice, user_id, id == channel_id(l->channel));
}

void line_server_update(struct line *l, const char *token, const char *endpoint)
{
	if (l->channel)
		channel_server_update(l->channel, token, endpoint, clock_mono_ns());
	line_settle(l);
}

void line_channel_deleted(struct line *l, uint64_t id)
{
	/* Discord puts us out first, which looks like a kick: only this says what must be done. */
	if (id == l->channel_id)
		log_error("the voice channel was deleted line=%d channel=%" PRIu64
			  ": set VOICE_CHANNEL_ID to another and restart",
			  l->number, id);
	if (l->channel)
		channel_deleted(l->channel, id, clock_mono_ns());
	line_settle(l);
}

void line_discovered(struct line *l, unsigned generation, const char *address, uint16_t port)
{
	voice_link_discovered(l->voice, generation, address, port);
}

void line_dead(struct line *l, unsigned generation, enum voice_dead why)
{
	voice_link_dead(l->voice, generation, why);
}

unsigned line_calls(const struct line *l)
{
	return calls_active(l->calls);
}
