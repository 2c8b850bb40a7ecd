/* SPDX-License-Identifier: MIT
 *
 * bridge_streams.c - which media streams are let in, and what their sound and signs lead to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/speech_level.h"
#include "bridge/bridge_internal.h"
#include "bridge/bridge_settings.h"
#include "bridge/signature.h"
#include "common/clock.h"

/* A socket that brought a call's token is gone or refused, and the token used up: a call that has no stream
 * yet gets another one soon or never. */
static void token_wasted(struct bridge *b, const char *call_sid)
{
	struct call *call = call_sid[0] ? call_find(b->calls, call_sid) : NULL;

	if (!call)
		return;
	call_stream_failed(call, clock_mono_ns());
	bridge_rearm(b);
}

/* ---- the upgrade ---------------------------------------------------------------------------- */

static const char *after_prefix(const struct settings *settings, const char *target)
{
	const char *prefix = bridge_public_prefix(settings);
	size_t len = strlen(prefix);

	return len && strncmp(target, prefix, len) == 0 && target[len] == '/' ? target + len : target;
}

static int refuse(struct bridge *b, const struct session *session, int status, const char *why)
{
	log_rated(&b->refused_rate, 1000, LOG_LEVEL_WARN, "refusing a stream peer=%s status=%d why=\"%s\"",
		  session_peer(session), status, why);
	return status;
}

/* The signature of an upgrade is the same for every call, so it is no secret and no replacement for
 * the token; a missing one shows a stranger all the same. */
static bool upgrade_signed(struct bridge *b, const char *target, const char *signature)
{
	char public_url[BRIDGE_URL_BYTES], path[TOKEN_CHARS + 16];
	size_t len = strlen(target);

	if (!bridge_validates(b->settings))
		return true;
	if (len >= sizeof(path))
		return false;
	/* what the TwiML said had no slash at the end; signature_check() tries with one */
	memcpy(path, target, len + 1);
	if (len > 1 && path[len - 1] == '/')
		path[len - 1] = '\0';
	bridge_public_url(b->settings, public_url);
	int variant = signature_check(signature, settings_str(b->settings, "TWILIO_AUTH_TOKEN", 0),
				      public_url, path, SIGNATURE_WEBSOCKET, NULL);

	if (variant > 1)
		log_rated(&b->variant_rate, 3600000, LOG_LEVEL_INFO, "streams are signed as %s",
			  signature_variant_text(variant));
	return variant > 0;
}

int bridge_upgrade(void *user, const char *target, const char *signature,
		   const struct sockaddr *peer, struct session *session)
{
	struct bridge *b = user;
	struct session_admission *admission = session_admission(session);
	const char *path = after_prefix(b->settings, target), *token;
	int64_t now_ns = clock_mono_ns();
	bool plain;

	if (strncmp(path, "/phone", 6) != 0 || (path[6] != '/' && path[6] != '\0'))
		return 404;
	token = path + 6 + (path[6] == '/');
	size_t len = strcspn(token, "/");

	plain = token[0] == '\0';
	if (token[len] == '/' && token[len + 1] != '\0')
		return 404;
	if (!plain) {
		int err = token_redeem(b->tokens, admission->call_sid, token, len, now_ns);

		/* Only those who bring no token count against the rate, so that a flood behind the
		 * same proxy keeps nobody out. */
		if (err && !rate_limit_allow(b->strangers, peer, now_ns))
			return 429;
		if (err)
			return refuse(b, session, 403,
				      err == -ETIME ? "its token is too old" : "its token is unknown");
		memcpy(admission->token, token, TOKEN_CHARS);
	} else if (!settings_bool(b->settings, "STATIC_TWIML", 0)) {
		if (!rate_limit_allow(b->strangers, peer, now_ns))
			return 429;
		return refuse(b, session, 403, "it has no token, and STATIC_TWIML is off");
	}
	if (upgrade_signed(b, path, signature))
		return 101;
	token_wasted(b, admission->call_sid);
	admission->call_sid[0] = '\0';
	if (!rate_limit_allow(b->strangers, peer, now_ns))
		return 429;
	return refuse(b, session, 403, signature ? "its signature is wrong" : "its signature is missing");
}

void bridge_closed(void *user, struct session *session)
{
	token_wasted(user, session_admission(session)->call_sid);
}

/* ---- start ---------------------------------------------------------------------------------- */

static void leg_frame(void *user, const uint8_t frame[G711_FRAME_BYTES], int64_t now_ns)
{
	struct call *call = user;

	if (call->stream)
		session_send(call->stream, frame, now_ns);
}

static int attach(struct bridge *b, struct session *session, struct call *call)
{
	int64_t now_ns = clock_mono_ns();
	struct line *line = b->line[call->line];

	if (!call->leg) {
		struct leg_config config = {
			.waiting = b->waiting[call->line],
			.cushion_frames =
				(unsigned)settings_int(call->settings, "TWILIO_CUSHION_MS", 0) / 20,
			.speech_level_dbov =
				(int)settings_int(call->settings, KEY_SPEECH_LEVEL, call->line),
			.frame = leg_frame,
			.user = call,
		};
		struct leg *leg;
		int err = leg_create(&leg, line, &config);

		if (err) {
			log_error("no place on the line for a call call=%s line=%d error=%s", call->sid,
				  call->line, strerror(-err));
			return err;
		}
		call->leg = leg;
	} else {
		leg_suspend(call->leg); /* a newer stream takes over from one that is still there */
	}
	session_bind(session, call);
	log_info("call is live call=%s line=%d stream=%s", call->sid, call->line,
		 media_stream_sid(session_stream(session)));
	call_attach(b->calls, call, session, now_ns);
	call_set_waiting(call, !line_connected(line), now_ns);
	leg_resume(call->leg, now_ns);
	bridge_start_tick(b);
	bridge_rearm(b);
	return 0;
}

/* A stream that waits for Twilio's word about its call. */
struct pending {
	struct pending *next;
	struct bridge *bridge;
	struct session *session; /* NULL: the socket has gone meanwhile */
	char call_sid[CALL_SID_BYTES];
};

static int admit_static(struct bridge *b, struct session *session, const char *call_sid,
			const char *from, const char *to)
{
	int line = bridge_line_for(b->settings, to);
	struct call_params params = {
		.sid = call_sid,
		.from = from,
		.to = to,
		.line = line,
		.max_calls = (int)settings_int(b->settings, "MAX_CALLS", 0),
		.waiting_max_ns = settings_int(b->settings, "WAITING_MAX", line) * NS_PER_SEC,
		.max_ns = settings_int(b->settings, "MAX_CALL_MINUTES", 0) * 60 * NS_PER_SEC,
		.settings = b->settings,
		.now_ns = clock_mono_ns(),
		.now_wall_ms = clock_wall_ms(),
	};
	struct call *call;
	int err = call_admit(b->calls, &call, &params);

	/* -ESTALE: its last stream said stop, but Twilio says that it goes on */
	if (err == -ESTALE && call_remember(b->calls, call_sid) == CALL_OVER) {
		call_forget_ended(b->calls, call_sid);
		err = call_admit(b->calls, &call, &params);
	}
	if (err && err != -EEXIST) {
		log_warn("a static stream's call is not admitted call=%s error=%s", call_sid,
			 strerror(-err));
		return err;
	}
	if (call->stream) /* whoever knows a CallSid must not take the call over */
		return -EEXIST;
	return attach(b, session, call);
}

static void on_fetched(void *arg, const struct twilio_call *fetched)
{
	struct pending *p = arg;
	struct session *session = p->session;
	bool admitted = false;

	for (struct pending **at = &p->bridge->pending; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	if (session) {
		if (fetched->error == 0 && fetched->in_progress) {
			/* live first: what the line sends from now on must find the stream so */
			admitted = media_stream_admit(session_stream(session), true,
						      clock_mono_ns()) == STREAM_GO_ON &&
				   admit_static(p->bridge, session, p->call_sid, fetched->from,
						fetched->to) == 0;
		} else {
			log_warn("refusing a static stream: its call is not in progress call=%s",
				 p->call_sid);
		}
		if (!admitted)
			session_close(session, STREAM_CLOSE_POLICY);
	}
	free(p);
}

static int start_static(struct bridge *b, struct session *session, const struct media_message *start)
{
	const char *sid = start->u.start.call_sid;
	struct call *call = call_find(b->calls, sid);
	struct pending *p;

	if ((call && call->stream) || call_remember(b->calls, sid) == CALL_ENDED_BY_US) {
		log_warn("refusing a static stream: its call is live already, or ended call=%s", sid);
		return -EACCES;
	}
	if (!bridge_has_account(b->settings)) /* only with TWILIO_VALIDATE=off */
		return admit_static(b, session, sid, "", "");
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->bridge = b;
	p->session = session;
	strcpy(p->call_sid, sid);
	if (twilio_api_fetch(b->api, b->settings, sid, on_fetched, p) < 0) {
		free(p);
		return -EIO;
	}
	p->next = b->pending;
	b->pending = p;
	return -EINPROGRESS;
}

static int on_start(void *user, struct media_stream *stream, const struct media_message *start)
{
	struct session *session = user;
	struct bridge *b = session_user(session);
	const struct session_admission *admission = session_admission(session);
	const char *account = settings_str(b->settings, "TWILIO_ACCOUNT_SID", 0);
	struct call *call;

	(void)stream;
	if (bridge_validates(b->settings) && start->u.start.account_sid[0] && account &&
	    strcmp(start->u.start.account_sid, account) != 0) {
		log_warn("refusing a stream of another account peer=%s", session_peer(session));
		return -EACCES;
	}
	if (admission->call_sid[0] == '\0')
		return start_static(b, session, start);
	if (strcmp(admission->call_sid, start->u.start.call_sid) != 0 ||
	    !token_equal(admission->token, start->u.start.token)) {
		log_warn("refusing a stream: its start names another call, or not its token peer=%s",
			 session_peer(session));
		return -EACCES;
	}
	call = call_find(b->calls, admission->call_sid);
	if (!call) {
		log_info("a stream comes too late, its call has ended call=%s", admission->call_sid);
		return -ESTALE;
	}
	return attach(b, session, call);
}

/* ---- sound and signs ------------------------------------------------------------------------ */

static void on_audio(void *user, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns)
{
	struct session *session = user;
	struct call *call = session_bound(session);

	if (!call)
		return;
	leg_put(call->leg, media, ulaw, n, now_ns);
	leg_set_trim_ppm(call->leg, media_stream_trim_ppm(session_stream(session)));
}

static void on_dtmf(void *user, char digit)
{
	struct session *session = user;
	struct bridge *b = session_user(session);
	struct call *call = session_bound(session);

	if (call)
		control_call_dtmf(b->control, call, digit);
}

static void on_done(void *user, bool stopped)
{
	struct session *session = user;
	struct bridge *b = session_user(session);
	struct call *call = session_bound(session);

	for (struct pending *p = b->pending; p; p = p->next)
		if (p->session == session)
			p->session = NULL;
	session_bind(session, NULL);
	if (call)
		call_detach(b->calls, call, session, stopped, clock_mono_ns());
}

void bridge_forget_pending(struct bridge *b)
{
	while (b->pending) {
		struct pending *p = b->pending;

		b->pending = p->next;
		free(p);
	}
}

const struct media_stream_hooks bridge_stream_hooks = {
	.start = on_start,
	.audio = on_audio,
	.dtmf = on_dtmf,
	.done = on_done,
};
