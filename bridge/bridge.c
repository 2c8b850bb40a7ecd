/* SPDX-License-Identifier: MIT
 *
 * bridge.c - puts the rooms of loopline-bridge together.
 */
#include "bridge/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/resampler.h"
#include "bridge/bridge_internal.h"
#include "bridge/bridge_settings.h"
#include "common/clock.h"

#define WATCH_MS         1000 /* how often PCMs are looked at while nothing moves */
#define WATCH_TICKS      20   /* ... and while sound moves: 100 ms */
#define STOP_POLL_MS     100
#define STRANGER_BURST   20
#define STRANGER_RATE    2 /* a second */
#define USER_AGENT       "loopline-bridge/" LOOPLINE_VERSION

/* ---- calls ---------------------------------------------------------------------------------- */

static void on_deadline(void *arg)
{
	struct bridge *b = arg;

	call_table_run(b->calls, clock_mono_ns());
	bridge_rearm(b);
}

void bridge_rearm(struct bridge *b)
{
	int64_t deadline_ns = call_table_deadline(b->calls);

	if (deadline_ns == INT64_MAX) {
		loop_timer_cancel(&b->deadline);
		return;
	}
	int64_t wait_ms = (deadline_ns - clock_mono_ns()) / NS_PER_MS + 1;

	loop_timer_set(b->loop, &b->deadline, wait_ms > 50 ? wait_ms : 50, on_deadline, b);
}

static void on_call_changed(void *user, struct call *call)
{
	struct bridge *b = user;

	if (call->state == CALL_REATTACHING) {
		log_info("call has lost its stream, waiting for the next call=%s", call->sid);
		leg_suspend(call->leg);
	}
	control_call_changed(b->control, call);
	bridge_rearm(b);
}

static void on_call_ended(void *user, struct call *call, enum call_end reason)
{
	struct bridge *b = user;
	int64_t now_ns = clock_mono_ns();

	log_info("call ended call=%s line=%d why=\"%s\" duration_s=%d", call->sid, call->line,
		 call_end_text(reason), (int)((now_ns - call->since_ns) / NS_PER_SEC));
	leg_destroy(call->leg);
	call->leg = NULL;
	if (call_end_is_ours(reason) && call->settings)
		twilio_api_hangup(b->api, call->settings, call->sid);
	control_call_ended(b->control, call, reason, now_ns);
	bridge_rearm(b);
}

static void on_drop_stream(void *user, struct call *call, void *stream)
{
	struct session *session = stream;

	(void)user;
	(void)call;
	session_bind(session, NULL);
	session_close(session, STREAM_CLOSE_NORMAL);
}

static void on_notice(void *user, struct call *call)
{
	(void)user;
	log_info("call is about to be ended, playing the notice call=%s", call->sid);
	leg_set_notice(call->leg, true);
}

void bridge_set_connected(struct bridge *b, int line, bool connected)
{
	int64_t now_ns = clock_mono_ns();

	line_set_connected(b->line[line], connected);
	for (struct call *call = call_next(b->calls, NULL); call; call = call_next(b->calls, call)) {
		if (call->line != line)
			continue;
		if (call->state == CALL_LIVE)
			call_set_waiting(call, !connected, now_ns);
		if (call->leg && call->notice_end_ns == 0)
			leg_set_notice(call->leg, false);
	}
	bridge_rearm(b);
}

/* ---- sound ---------------------------------------------------------------------------------- */

static void on_tick(void *arg, uint64_t periods, int64_t now_ns)
{
	struct bridge *b = arg;
	bool running = false;

	(void)periods; /* the ports and the pace know what time it is */
	for (int n = 0; n < SETTINGS_MAX_LINES; n++)
		if (b->line[n] && line_tick(b->line[n], now_ns))
			running = true;
	if (++b->ticks % WATCH_TICKS == 0)
		opener_check(b->opener);
	if (!running) {
		loop_tick_period(b->tick, 0);
		b->ticking = false;
	}
	/* each stream brings 50 messages a second, none of which is heard before the next tick */
	sessions_gather(b->sessions, running);
}

void bridge_start_tick(struct bridge *b)
{
	if (b->ticking)
		return;
	loop_tick_period(b->tick, LINE_TICK_NS);
	b->ticking = true;
}

static void on_watch(void *arg)
{
	struct bridge *b = arg;

	for (int n = 0; n < SETTINGS_MAX_LINES; n++)
		if (b->line[n])
			line_check(b->line[n], clock_mono_ns());
	opener_check(b->opener);
	loop_timer_set(b->loop, &b->watch, WATCH_MS, on_watch, b);
}

/* ---- the door ------------------------------------------------------------------------------- */

static void on_request(void *user, const struct webhook_request *request,
		       struct webhook_answer *answer)
{
	struct bridge *b = user;

	webhook_handle(b->webhook, b->settings, request, clock_mono_ns(), clock_wall_ms(), answer);
	bridge_rearm(b);
}

/* ---- settings ------------------------------------------------------------------------------- */

/* One source for each line; lines that say the same share it, and what is unchanged is kept. */
static int load_waiting(struct waiting *out[SETTINGS_MAX_LINES], const struct settings *settings,
			struct waiting *const kept[SETTINGS_MAX_LINES])
{
	for (int n = 0; n >= 0; n = settings_next_line(settings, n)) {
		const char *text = settings_str(settings, "WAITING", n);
		char why[WAITING_WHY_BYTES];
		int err;

		for (int k = 0; k < n && !out[n]; k++)
			if (out[k] && strcmp(settings_str(settings, "WAITING", k), text) == 0)
				out[n] = waiting_ref(out[k]);
		if (!out[n] && kept[n] && waiting_is_current(kept[n], text))
			out[n] = waiting_ref(kept[n]);
		if (out[n])
			continue;
		err = waiting_create(&out[n], text, why);
		if (err) {
			log_error("%s: WAITING: cannot use %s: %s", settings_origin(settings, "WAITING", n),
				  log_quote(text), why[0] ? why : strerror(-err));
			return err;
		}
	}
	return 0;
}

static void free_waiting(struct waiting *waiting[SETTINGS_MAX_LINES])
{
	for (int n = 0; n < SETTINGS_MAX_LINES; n++)
		waiting_unref(waiting[n]);
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* What calls cannot be given while the process runs. */
static bool needs_restart(const struct settings *before, const struct settings *after)
{
	static const char *const fixed[] = {"LISTEN", "TLS_CERT", "TLS_KEY", "LOOPLINE_RUNTIME_DIR"};
	static const char *const pcm[] = {"PHONE_PCM", "DISCORD_PCM"};
	bool needed = false;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!same(settings_str(before, fixed[i], 0), settings_str(after, fixed[i], 0))) {
			log_warn("%s has changed; that takes effect at the next start", fixed[i]);
			needed = true;
		}
	for (int n = 0; n < SETTINGS_MAX_LINES; n++) {
		if (settings_has_line(before, n) != settings_has_line(after, n)) {
			log_warn("line %d has come or gone; that takes effect at the next start", n);
			return true;
		}
		for (int i = 0; settings_has_line(before, n) && i < 2; i++)
			if (!same(settings_str(before, pcm[i], n), settings_str(after, pcm[i], n))) {
				log_warn("%s of line %d has changed; that takes effect at the next start",
					 pcm[i], n);
				needed = true;
			}
	}
	return needed;
}

void bridge_reload(struct bridge *b, struct settings *settings)
{
	struct waiting *waiting[SETTINGS_MAX_LINES] = {NULL};

	server_reload_tls(b->server);
	needs_restart(b->settings, settings);
	for (int n = 0; n < SETTINGS_MAX_LINES; n++)
		if (b->line[n] && !settings_has_line(settings, n)) {
			log_error("the new settings lack line %d, keeping the old ones", n);
			return;
		}
	if (load_waiting(waiting, settings, b->waiting) < 0) {
		log_error("keeping the old settings");
		free_waiting(waiting);
		return;
	}
	free_waiting(b->waiting);
	memcpy(b->waiting, waiting, sizeof(waiting));
	settings_unref(b->settings);
	b->settings = settings_ref(settings);
	log_info("settings are read again; they hold for new calls");
}

/* ---- life ----------------------------------------------------------------------------------- */

static int create_lines(struct bridge *b)
{
	struct port *ports[2 * SETTINGS_MAX_LINES];
	size_t count = 0;

	for (int n = 0; n >= 0; n = settings_next_line(b->settings, n)) {
		int err = line_create(&b->line[n], n, settings_str(b->settings, "PHONE_PCM", n),
				      settings_str(b->settings, "DISCORD_PCM", n));

		if (err) {
			log_error("cannot make line %d: %s", n, strerror(-err));
			return err;
		}
		ports[count++] = line_phone(b->line[n]);
		ports[count++] = line_discord(b->line[n]);
	}
	return opener_create(&b->opener, ports, count);
}

static int create_server(struct bridge *b)
{
	const struct session_hooks hooks = {
		.upgrade = bridge_upgrade,
		.closed = bridge_closed,
		.stream = bridge_stream_hooks,
		.user = b,
	};
	struct server_config config = {
		.listen = settings_host_port(b->settings, "LISTEN", 0),
		.tls_cert = settings_str(b->settings, "TLS_CERT", 0),
		.tls_key = settings_str(b->settings, "TLS_KEY", 0),
		.desk = {.request = on_request, .user = b},
	};
	int err = sessions_create(&b->sessions, b->loop, &hooks);

	if (err)
		return err;
	config.sessions = b->sessions;
	return server_create(&b->server, b->loop, &config);
}

int bridge_create(struct bridge **out, struct loop *loop, struct settings *settings)
{
	const struct call_hooks hooks = {
		.changed = on_call_changed,
		.ended = on_call_ended,
		.drop_stream = on_drop_stream,
		.notice = on_notice,
	};
	struct http_client_config http = {.user_agent = USER_AGENT,
					  .ca_file = settings_str(settings, "CA_FILE", 0)};
	struct bridge *b = calloc(1, sizeof(*b));
	struct call_hooks own = hooks;
	struct waiting *none[SETTINGS_MAX_LINES] = {NULL};
	int err = -ENOMEM;

	/* *out is set even on failure: what was begun must outlive the loop */
	*out = b;
	if (!b)
		return err;
	b->loop = loop;
	b->settings = settings_ref(settings);
	own.user = b;
	resampler_prepare(); /* and not when the first call comes, on the loop */
	if ((err = load_waiting(b->waiting, settings, none)) ||
	    (err = http_client_create(&b->http, loop, &http)) ||
	    (err = twilio_api_create(&b->api, loop, b->http)) ||
	    (err = call_table_create(&b->calls, &own)) || (err = token_store_create(&b->tokens)) ||
	    (err = webhook_create(&b->webhook, b->calls, b->tokens)) ||
	    (err = rate_limit_create(&b->strangers, STRANGER_BURST, STRANGER_RATE)) ||
	    (err = control_create(&b->control, b)) || (err = create_lines(b)) ||
	    (err = create_server(b)) ||
	    /* kept for good: a call that comes when there is no descriptor left must have it */
	    (err = loop_tick_start(loop, &b->tick, LINE_TICK_NS, on_tick, b)))
		return err;
	loop_tick_period(b->tick, 0);
	if (!bridge_validates(settings))
		log_warn("TWILIO_VALIDATE is off: whoever reaches LISTEN can place calls");
	loop_timer_set(loop, &b->watch, WATCH_MS, on_watch, b);
	return 0;
}

static void on_stopping(void *arg)
{
	struct bridge *b = arg;

	if ((sessions_count(b->sessions) == 0 && twilio_api_hangups(b->api) == 0) ||
	    clock_mono_ns() >= b->stop_by_ns) {
		loop_stop(b->loop);
		return;
	}
	loop_timer_set(b->loop, &b->stopping, STOP_POLL_MS, on_stopping, b);
}

void bridge_stop(struct bridge *b)
{
	b->stop_by_ns = clock_mono_ns() + BRIDGE_STOP_MS * NS_PER_MS;
	server_stop_accepting(b->server);
	sessions_close(b->sessions, STREAM_CLOSE_AWAY);
	on_stopping(b);
}

void bridge_close(struct bridge *b)
{
	if (!b)
		return;
	loop_timer_cancel(&b->deadline);
	loop_timer_cancel(&b->watch);
	loop_timer_cancel(&b->stopping);
	loop_tick_stop(b->tick);
	b->tick = NULL;
	if (b->sessions)
		sessions_stop(b->sessions);
	if (b->server)
		server_stop(b->server);
	control_destroy(b->control);
	b->control = NULL;
	twilio_api_destroy(b->api);
	b->api = NULL;
	http_client_destroy(b->http);
	b->http = NULL;
	bridge_forget_pending(b);
}

void bridge_destroy(struct bridge *b)
{
	if (!b)
		return;
	server_destroy(b->server);
	sessions_destroy(b->sessions);
	opener_destroy(b->opener);
	webhook_destroy(b->webhook);
	call_table_destroy(b->calls);
	token_store_destroy(b->tokens);
	rate_limit_destroy(b->strangers);
	for (int n = 0; n < SETTINGS_MAX_LINES; n++)
		line_destroy(b->line[n]);
	free_waiting(b->waiting);
	settings_unref(b->settings);
	free(b);
}
