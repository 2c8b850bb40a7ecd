/* SPDX-License-Identifier: MIT
 *
 * twilio_api.c - see twilio_api.h.
 */
#include "bridge/twilio_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/random.h"

#define GIVE_UP_NS  (600 * NS_PER_SEC)
#define RETRY_BASE  1000 /* ms */
#define RETRY_CAP   30000
#define URL_BYTES   1024
#define HEADER_FORM "Content-Type: application/x-www-form-urlencoded"

struct hangup {
	struct twilio_api *api;
	struct hangup *next;
	struct settings *settings; /* of the call: account and token as they were */
	char sid[CALL_SID_BYTES];
	int64_t began_ns;
	unsigned attempt;
	uint64_t request; /* 0: none under way */
	struct loop_timer retry;
};

struct fetch {
	struct twilio_api *api;
	struct fetch *next;
	struct settings *settings;
	void (*done)(void *arg, const struct twilio_call *call);
	void *arg;
	uint64_t request;
};

struct twilio_api {
	struct loop *loop;
	struct http_client *http;
	struct hangup *hangups;
	size_t hangup_count;
	struct fetch *fetches;
};

const char *twilio_error_hint(int code)
{
	static const struct {
		int code;
		const char *hint;
	} table[] = {
		{20003, "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN do not belong together"},
		{20404, "Twilio does not know this call"},
		{20429, "too many requests at once for this account"},
		{20005, "the account is not active"},
		{21220, "the call is in no state that allows this"},
		{31901, "Twilio got no answer from PUBLIC_URL: firewall, DNS, or a dead tunnel"},
		{31902, "the connection to PUBLIC_URL was refused: wrong port, or nothing listens"},
		{31910, "TLS with PUBLIC_URL failed: self-signed, or an intermediate certificate is missing"},
		{31920, "the stream was not accepted: wrong path, or a proxy without WebSocket upgrade"},
		{31921, "we closed the stream"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].code == code)
			return table[i].hint;
	return NULL;
}

int twilio_api_create(struct twilio_api **out, struct loop *loop, struct http_client *http)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->loop = loop;
	(*out)->http = http;
	return 0;
}

size_t twilio_api_hangups(const struct twilio_api *api)
{
	return api->hangup_count;
}

static void hangup_free(struct hangup *h)
{
	struct twilio_api *api = h->api;

	for (struct hangup **at = &api->hangups; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	api->hangup_count--;
	loop_timer_cancel(&h->retry);
	if (h->request)
		http_cancel(api->http, h->request);
	settings_unref(h->settings);
	free(h);
}

static void fetch_free(struct fetch *f)
{
	for (struct fetch **at = &f->api->fetches; *at; at = &(*at)->next)
		if (*at == f) {
			*at = f->next;
			break;
		}
	if (f->request)
		http_cancel(f->api->http, f->request);
	settings_unref(f->settings);
	free(f);
}

void twilio_api_destroy(struct twilio_api *api)
{
	if (!api)
		return;
	while (api->hangups)
		hangup_free(api->hangups);
	while (api->fetches)
		fetch_free(api->fetches);
	free(api);
}

static void call_url(const struct settings *settings, const char *sid, char out[URL_BYTES])
{
	snprintf(out, URL_BYTES, "%s/Accounts/%s/Calls/%s.json",
		 settings_str(settings, "TWILIO_API_URL", 0),
		 settings_str(settings, "TWILIO_ACCOUNT_SID", 0), sid);
}

/* Says what went wrong in a way that helps; the body of an error is {"code":…,"message":…}. */
static void log_failure(const char *what, const char *sid, const struct http_response *response)
{
	struct json_doc doc;
	int64_t code = 0;
	const char *message = NULL, *hint;

	if (response->error) {
		log_warn("%s call=%s why=%s", what, sid, log_quote(response->error_text));
		return;
	}
	if (json_parse(&doc, response->body, response->body_len, NULL) == 0) {
		struct json_at root = json_root(&doc);

		json_opt_int(&root, "code", 0, INT32_MAX, &code);
		json_opt_str(&root, "message", &message);
	}
	hint = twilio_error_hint((int)code);
	log_warn("%s call=%s status=%d code=%d message=%s hint=%s", what, sid, response->status,
		 (int)code, log_quote(message), log_quote(hint));
	json_free(&doc);
}

static void hangup_try(void *arg);

static void hangup_again(struct hangup *h)
{
	if (clock_mono_ns() - h->began_ns > GIVE_UP_NS) {
		log_error("giving up on ending a call; Twilio may keep it open call=%s", h->sid);
		hangup_free(h);
		return;
	}
	int wait_ms = RETRY_BASE / 2 + backoff_full_jitter_ms(RETRY_BASE, RETRY_CAP, h->attempt++);

	loop_timer_set(h->api->loop, &h->retry, wait_ms, hangup_try, h);
}

static void hangup_done(void *arg, const struct http_response *response)
{
	struct hangup *h = arg;

	h->request = 0;
	if (!response->error && response->status >= 200 && response->status < 300) {
		log_info("call is ended at Twilio call=%s", h->sid);
		hangup_free(h);
	} else if (!response->error && response->status == 404) {
		log_info("call was over at Twilio already call=%s", h->sid);
		hangup_free(h);
	} else if (!response->error && response->status >= 400 && response->status < 500 &&
		   response->status != 408 && response->status != 429) {
		/* asking again would get the same answer */
		log_failure("Twilio does not end the call", h->sid, response);
		hangup_free(h);
	} else {
		log_failure("cannot end the call yet, trying again", h->sid, response);
		hangup_again(h);
	}
}

static void hangup_try(void *arg)
{
	static const char body[] = "Status=completed";
	static const char *const headers[] = {HEADER_FORM, NULL};
	struct hangup *h = arg;
	char url[URL_BYTES];
	struct http_request request = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.user = settings_str(h->settings, "TWILIO_ACCOUNT_SID", 0),
		.password = settings_str(h->settings, "TWILIO_AUTH_TOKEN", 0),
		.body = body,
		.body_len = sizeof(body) - 1,
		.max_body_bytes = 65536,
		/* asking twice for the end of a call is harmless */
		.retry = {.max_tries = 3, .idempotent = true, .retry_429 = true},
		.on_done = hangup_done,
		.arg = h,
	};

	call_url(h->settings, h->sid, url);
	if (http_request_start(h->api->http, &request, &h->request) < 0) {
		h->request = 0;
		hangup_again(h);
	}
}

void twilio_api_hangup(struct twilio_api *api, struct settings *settings, const char *call_sid)
{
	struct hangup *h;

	if (!settings_is_set(settings, "TWILIO_ACCOUNT_SID", 0) ||
	    !settings_is_set(settings, "TWILIO_AUTH_TOKEN", 0))
		return;
	for (h = api->hangups; h; h = h->next)
		if (strcmp(h->sid, call_sid) == 0)
			return;
	h = api->hangup_count < TWILIO_HANGUPS_MAX ? calloc(1, sizeof(*h)) : NULL;
	if (!h) {
		log_error("no room to end a call; its stream is closed all the same call=%s", call_sid);
		return;
	}
	h->api = api;
	h->settings = settings_ref(settings);
	snprintf(h->sid, sizeof(h->sid), "%s", call_sid);
	h->began_ns = clock_mono_ns();
	h->next = api->hangups;
	api->hangups = h;
	api->hangup_count++;
	hangup_try(h);
}

static void read_number(const struct json_at *root, const char *name, char out[CALL_NUMBER_BYTES])
{
	const char *text = NULL;

	json_opt_str(root, name, &text);
	snprintf(out, CALL_NUMBER_BYTES, "%s", text ? text : "");
}

static void fetch_done(void *arg, const struct http_response *response)
{
	struct fetch *f = arg;
	struct twilio_call call = {0};
	struct json_doc doc;
	const char *status = NULL, *account = NULL;

	if (response->error || response->status != 200) {
		call.error = response->error          ? response->error
			     : response->status == 404 ? -ENOENT
			     : response->status == 401 || response->status == 403 ? -EACCES
										  : -EIO;
		log_failure("cannot look the call up", "", response);
	} else if (json_parse(&doc, response->body, response->body_len, NULL) < 0) {
		call.error = -EPROTO;
		log_warn("Twilio's answer about a call is not JSON why=%s", log_quote(doc.error));
		json_free(&doc);
	} else {
		struct json_at root = json_root(&doc);

		json_str(&root, "status", &status);
		json_opt_str(&root, "account_sid", &account);
		read_number(&root, "from", call.from);
		read_number(&root, "to", call.to);
		call.in_progress =
			status && strcmp(status, "in-progress") == 0 &&
			(!account ||
			 strcmp(account, settings_str(f->settings, "TWILIO_ACCOUNT_SID", 0)) == 0);
		if (!json_good(&doc)) {
			call.error = -EPROTO;
			log_warn("Twilio's answer about a call is odd why=%s", log_quote(doc.error));
		}
		json_free(&doc);
	}
	f->request = 0;
	f->done(f->arg, &call);
	fetch_free(f);
}

int twilio_api_fetch(struct twilio_api *api, struct settings *settings, const char *call_sid,
		     void (*done)(void *arg, const struct twilio_call *call), void *arg)
{
	struct fetch *f = calloc(1, sizeof(*f));
	char url[URL_BYTES];
	int err;

	if (!f)
		return -ENOMEM;
	f->api = api;
	f->next = api->fetches;
	api->fetches = f;
	f->settings = settings_ref(settings);
	f->done = done;
	f->arg = arg;
	call_url(settings, call_sid, url);
	struct http_request request = {
		.method = "GET",
		.url = url,
		.user = settings_str(settings, "TWILIO_ACCOUNT_SID", 0),
		.password = settings_str(settings, "TWILIO_AUTH_TOKEN", 0),
		.max_body_bytes = 65536,
		.total_timeout_ms = 5000, /* the stream has ten seconds to become live */
		.retry = {.max_tries = 3, .idempotent = true, .retry_429 = true, .max_wait_ms = 3000},
		.on_done = fetch_done,
		.arg = f,
	};

	err = http_request_start(api->http, &request, &f->request);
	if (err) {
		f->request = 0;
		fetch_free(f);
	}
	return err;
}
