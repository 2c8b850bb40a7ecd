/* SPDX-License-Identifier: MIT
 *
 * webhook.c - see webhook.h.
 */
#include "bridge/webhook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bridge/bridge_settings.h"
#include "bridge/form.h"
#include "bridge/signature.h"
#include "bridge/twiml.h"
#include "common/clock.h"
#include "common/log.h"

#define KEY_BYTES 192

/* An answer that was given, in case the question comes again. */
struct answered {
	char key[KEY_BYTES]; /* idempotency token and path; "" if free */
	int64_t at_ns;
	char *body;
};

struct webhook {
	struct call_table *calls;
	struct token_store *tokens;
	struct answered answered[WEBHOOK_IDEMPOTENT_KEPT];
	struct log_rate refused_rate, variant_rate;
};

enum route {
	ROUTE_NONE,
	ROUTE_VOICE,
	ROUTE_AFTER,
};

int webhook_create(struct webhook **out, struct call_table *calls, struct token_store *tokens)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->calls = calls;
	(*out)->tokens = tokens;
	return 0;
}

void webhook_destroy(struct webhook *webhook)
{
	if (!webhook)
		return;
	for (int i = 0; i < WEBHOOK_IDEMPOTENT_KEPT; i++)
		free(webhook->answered[i].body);
	free(webhook);
}

/* A proxy may or may not have cut the prefix of PUBLIC_URL off; what is behind it is ours. */
static const char *without_prefix(const struct settings *settings, const char *target)
{
	const char *prefix = bridge_public_prefix(settings);
	size_t len = strlen(prefix);

	if (len && strncmp(target, prefix, len) == 0 && target[len] == '/')
		return target + len;
	return target;
}

static enum route route_of(const struct settings *settings, const char *target)
{
	const char *path = without_prefix(settings, target);
	size_t len = strcspn(path, "?");

	if (len == strlen("/voice") && memcmp(path, "/voice", len) == 0)
		return ROUTE_VOICE;
	if (len == strlen("/voice/after") && memcmp(path, "/voice/after", len) == 0)
		return ROUTE_AFTER;
	return ROUTE_NONE;
}

bool webhook_owns(const struct settings *settings, const char *target)
{
	return route_of(settings, target) != ROUTE_NONE;
}

static void refuse(struct webhook *w, struct webhook_answer *answer, int status,
		   const struct webhook_request *request, const char *why)
{
	answer->status = status;
	answer->content_type = "text/plain";
	strbuf_reset(&answer->body);
	strbuf_printf(&answer->body, "%s\n", why);
	log_rated(&w->refused_rate, 1000, LOG_LEVEL_WARN,
		  "refusing a webhook request peer=%s target=%s status=%d why=\"%s\"", request->peer,
		  log_quote(request->target), status, why);
}

/* Names of the fields, since a wrong signature is most often a field that got lost on the way. */
static void log_fields(const struct form *form)
{
	char names[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < form->count && used < sizeof(names) - 1; i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? "," : "",
					 form->fields[i].key);
	log_debug("fields of the refused request: %s", log_quote(names));
}

static bool authentic(struct webhook *w, const struct settings *settings,
		      const struct webhook_request *request, const struct form *form,
		      struct webhook_answer *answer)
{
	char public_url[BRIDGE_URL_BYTES];

	if (!bridge_validates(settings))
		return true;
	bridge_public_url(settings, public_url);
	int variant = signature_check(request->signature,
				      settings_str(settings, "TWILIO_AUTH_TOKEN", 0), public_url,
				      without_prefix(settings, request->target), SIGNATURE_WEBHOOK, form);

	if (variant < 0) {
		refuse(w, answer, 500, request, "out of memory");
		return false;
	}
	if (variant == 0) {
		refuse(w, answer, 403, request,
		       request->signature ? "the signature is wrong: is PUBLIC_URL exactly what "
					    "Twilio calls, and TWILIO_AUTH_TOKEN the primary token?"
					  : "the signature is missing");
		log_fields(form);
		return false;
	}
	if (variant > 1)
		log_rated(&w->variant_rate, 3600000, LOG_LEVEL_INFO, "webhooks are signed as %s",
			  signature_variant_text(variant));

	const char *account = form_get(form, "AccountSid");

	if (!account || strcmp(account, settings_str(settings, "TWILIO_ACCOUNT_SID", 0)) != 0) {
		refuse(w, answer, 403, request, "AccountSid is not ours");
		return false;
	}
	return true;
}

/* ---- answers that were given ---------------------------------------------------------------- */

static bool answered_key(char out[KEY_BYTES], const struct webhook_request *request,
			 const char *sid)
{
	if (!request->idempotency || !request->idempotency[0])
		return false;
	int n = snprintf(out, KEY_BYTES, "%s %s %.*s", request->idempotency, sid,
			 (int)strcspn(request->target, "?"), request->target);

	return n > 0 && n < KEY_BYTES;
}

static struct answered *answered_find(struct webhook *w, const char *key, int64_t now_ns)
{
	for (int i = 0; i < WEBHOOK_IDEMPOTENT_KEPT; i++)
		if (strcmp(w->answered[i].key, key) == 0 &&
		    now_ns - w->answered[i].at_ns < WEBHOOK_IDEMPOTENT_NS)
			return &w->answered[i];
	return NULL;
}

static void answered_keep(struct webhook *w, const char *key, const char *body, int64_t now_ns)
{
	struct answered *place = &w->answered[0];
	char *copy = strdup(body);

	if (!copy)
		return; /* the retry gets a fresh answer; no harm */
	for (int i = 0; i < WEBHOOK_IDEMPOTENT_KEPT; i++)
		if (w->answered[i].at_ns < place->at_ns || !w->answered[i].body) {
			place = &w->answered[i];
			if (!place->body)
				break;
		}
	free(place->body);
	place->body = copy;
	place->at_ns = now_ns;
	strcpy(place->key, key);
}

/* ---- the decisions -------------------------------------------------------------------------- */

static int connect_to_stream(struct webhook *w, const struct settings *settings,
			     const struct call *call, int64_t now_ns, struct strbuf *body)
{
	char token[TOKEN_CHARS + 1], url[BRIDGE_URL_BYTES + 64], after[BRIDGE_URL_BYTES + 16];
	int err = token_issue(w->tokens, token, call->sid, now_ns);

	if (err)
		return err;
	bridge_stream_url(settings, url);
	snprintf(url + strlen(url), sizeof(url) - strlen(url), "/phone/%s", token);
	bridge_public_url(settings, after);
	strcat(after, "/voice/after");
	twiml_connect(body, url, token, after);
	return 0;
}

static int admit(struct webhook *w, struct settings *settings, const struct form *form,
		 const char *sid, int64_t now_ns, int64_t now_wall_ms, struct call **call)
{
	const char *from = form_get(form, "From"), *to = form_get(form, "To");
	int line = bridge_line_for(settings, to ? to : "");
	struct call_params params = {
		.sid = sid,
		.from = from ? from : "",
		.to = to ? to : "",
		.line = line,
		.max_calls = (int)settings_int(settings, "MAX_CALLS", 0),
		.waiting_max_ns = settings_int(settings, "WAITING_MAX", line) * NS_PER_SEC,
		.max_ns = settings_int(settings, "MAX_CALL_MINUTES", 0) * 60 * NS_PER_SEC,
		.settings = settings,
		.now_ns = now_ns,
		.now_wall_ms = now_wall_ms,
	};

	return call_admit(w->calls, call, &params);
}

/* An answer of Twilio's that a call is over: nothing that we say can connect it. */
static bool status_is_final(const struct form *form)
{
	static const char *const final[] = {"completed", "busy", "failed", "no-answer", "canceled"};
	const char *status = form_get(form, "CallStatus");

	for (size_t i = 0; status && i < sizeof(final) / sizeof(final[0]); i++)
		if (strcmp(status, final[i]) == 0)
			return true;
	return false;
}

static void answer_voice(struct webhook *w, struct settings *settings, const struct form *form,
			 const char *sid, int64_t now_ns, int64_t now_wall_ms, struct strbuf *body)
{
	struct call *call;
	int err = admit(w, settings, form, sid, now_ns, now_wall_ms, &call);

	if (err == 0)
		log_info("call comes in call=%s line=%d", sid, call->line);
	else if (err == -EEXIST)
		log_info("call asks again call=%s", sid); /* a retry without its token */
	else
		log_warn("call is turned away call=%s why=\"%s\"", sid,
			 err == -EBUSY    ? "MAX_CALLS are there"
			 : err == -ESTALE ? "it has ended"
					  : strerror(-err));
	if (call && connect_to_stream(w, settings, call, now_ns, body) == 0)
		return;
	if (err == -ESTALE)
		twiml_hangup(body); /* it was answered once, so it cannot be rejected any more */
	else
		twiml_reject(body, err == -EBUSY ? TWIML_REJECT_BUSY : TWIML_REJECT_REJECTED);
}

static void answer_after(struct webhook *w, struct settings *settings, const struct form *form,
			 const char *sid, int64_t now_ns, int64_t now_wall_ms, struct strbuf *body)
{
	struct call *call = call_find(w->calls, sid);

	if (!call && call_remember(w->calls, sid) == CALL_ENDED_BY_US) {
		twiml_hangup(body);
		return;
	}
	if (!call) {
		/* Either it began before we did, or its stream said `stop` and the call went on. */
		call_forget_ended(w->calls, sid);
		int err = admit(w, settings, form, sid, now_ns, now_wall_ms, &call);

		if (err) {
			log_warn("call cannot come back call=%s why=\"%s\"", sid, strerror(-err));
			twiml_hangup(body);
			return;
		}
		log_info("call comes back call=%s line=%d", sid, call->line);
	}
	if (!call_reconnect(call, now_ns)) {
		log_warn("call has lost its stream too often, ending it call=%s", sid);
		call_finish(w->calls, call, CALL_END_LOST, now_ns);
		twiml_hangup(body);
		return;
	}
	if (connect_to_stream(w, settings, call, now_ns, body) != 0)
		twiml_hangup(body);
}

static bool sid_good(const char *sid)
{
	return sid && sid[0] && strlen(sid) < CALL_SID_BYTES &&
	       strspn(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") ==
		       strlen(sid);
}

static void handle_form(struct webhook *w, struct settings *settings,
			const struct webhook_request *request, const struct form *form,
			int64_t now_ns, int64_t now_wall_ms, struct webhook_answer *answer)
{
	const char *sid = form_get(form, "CallSid");
	char key[KEY_BYTES];

	if (!authentic(w, settings, request, form, answer))
		return;
	if (!sid_good(sid)) {
		refuse(w, answer, 400, request, "CallSid is missing or malformed");
		return;
	}

	bool keep = answered_key(key, request, sid);
	struct answered *before = keep ? answered_find(w, key, now_ns) : NULL;

	if (before) {
		log_info("call asks again, with the same answer call=%s", sid);
		strbuf_str(&answer->body, before->body);
	} else {
		if (status_is_final(form))
			twiml_hangup(&answer->body);
		else if (route_of(settings, request->target) == ROUTE_VOICE)
			answer_voice(w, settings, form, sid, now_ns, now_wall_ms, &answer->body);
		else
			answer_after(w, settings, form, sid, now_ns, now_wall_ms, &answer->body);
		if (keep && answer->body.error == 0)
			answered_keep(w, key, strbuf_text(&answer->body), now_ns);
	}
	if (answer->body.error) {
		refuse(w, answer, 500, request, "out of memory");
		return;
	}
	answer->status = 200;
	answer->content_type = TWIML_CONTENT_TYPE;
}

void webhook_handle(struct webhook *w, struct settings *settings,
		    const struct webhook_request *request, int64_t now_ns, int64_t now_wall_ms,
		    struct webhook_answer *answer)
{
	static const char form_type[] = "application/x-www-form-urlencoded";
	struct form *form = NULL;

	if (route_of(settings, request->target) == ROUTE_NONE) {
		refuse(w, answer, 404, request, "there is nothing here");
		return;
	}
	if (strcmp(request->method, "POST") != 0) {
		refuse(w, answer, 405, request, "only POST: set the number's webhook to HTTP POST");
		return;
	}
	if (!request->content_type ||
	    strncasecmp(request->content_type, form_type, sizeof(form_type) - 1) != 0) {
		refuse(w, answer, 415, request, "expected a form");
		return;
	}

	int err = form_parse(&form, request->body, request->body_len);

	if (err == -E2BIG)
		refuse(w, answer, 413, request, "the form is too big");
	else if (err == -EINVAL)
		refuse(w, answer, 400, request, "the form has a NUL byte");
	else if (err)
		refuse(w, answer, 500, request, "out of memory");
	else
		handle_form(w, settings, request, form, now_ns, now_wall_ms, answer);
	form_destroy(form);
}
