/* SPDX-License-Identifier: MIT
 *
 * twilio_rest.c - the REST resources of 2010-04-01 that a voice bridge calls: the account, its
 * calls (fetch, list, hang up, new TwiML) and its numbers.
 */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

struct late {
	struct sim_timer timer;
	struct sim_http *http;
	int status;
	char *body;
	struct late *next;
	struct twilio *t;
};

static struct late *pending; /* delayed answers, so that a peer that leaves takes its own along */

static void answer_now(struct sim_http *h, int status, const char *body)
{
	sim_http_reply(h, status,
		       "Twilio-Request-Id: RQ00000000000000000000000000000000\r\n"
		       "Twilio-Concurrent-Requests: 1\r\n",
		       "application/json; charset=utf-8", body, strlen(body));
}

static void unlink_late(struct late *l)
{
	struct late **p = &pending;

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
}

static void late_due(void *ctx, int64_t now_ns)
{
	struct late *l = ctx;

	unlink_late(l);
	answer_now(l->http, l->status, l->body);
	cJSON_free(l->body);
	free(l);
}

static void gone(void *ctx, struct sim_http *h)
{
	struct twilio *t = ctx;

	for (struct late *l = pending, *next; l; l = next) {
		next = l->next;
		if (l->http != h)
			continue;
		unlink_late(l);
		sim_timer_cancel(t->loop, &l->timer);
		cJSON_free(l->body);
		free(l);
	}
}

static void answer(struct twilio *t, struct sim_http *h, const struct sim_http_message *r,
		   int status, cJSON *o)
{
	char *body = cJSON_PrintUnformatted(o);

	cJSON_Delete(o);
	sim_event("rest", sim_obj("sssi", "method", r->method, "path", r->target, "body",
				  (char *)r->body, "status", (int64_t)status));
	if (t->rest_delay_ms) {
		struct late *l = calloc(1, sizeof(*l));

		if (!l)
			abort();
		l->http = h;
		l->status = status;
		l->body = body;
		l->next = pending;
		pending = l;
		sim_timer_set(t->loop, &l->timer, sim_now_ns() + t->rest_delay_ms * SIM_MS, late_due, l);
		return;
	}
	answer_now(h, status, body);
	cJSON_free(body);
}

static cJSON *error_body(int status, int code, const char *message)
{
	char more[80];

	snprintf(more, sizeof(more), "https://www.twilio.com/docs/errors/%d", code);
	return sim_obj("issi", "code", (int64_t)code, "message", message, "more_info", more, "status",
		       (int64_t)status);
}

static bool authorized(struct twilio *t, const struct sim_http_message *r)
{
	char header[512], plain[256], expected[400];
	int n = snprintf(plain, sizeof(plain), "%s:%s", t->account_sid, t->auth_token);

	memcpy(expected, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *)expected + 6, (unsigned char *)plain, n);
	return sim_http_header(r, "authorization", header, sizeof(header)) &&
	       !strcmp(header, expected);
}

/* Value of a form field, decoded; false if absent. */
static bool form_field(const char *form, const char *name, char *out, size_t len)
{
	size_t n = strlen(name), k = 0;

	for (const char *p = form; p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL) {
		if (strncmp(p, name, n) || p[n] != '=')
			continue;
		for (p += n + 1; *p && *p != '&' && k + 1 < len; p++) {
			unsigned v;

			if (*p == '%' && isxdigit((unsigned char)p[1]) && sscanf(p + 1, "%2x", &v) == 1) {
				out[k++] = (char)v;
				p += 2;
			} else {
				out[k++] = *p == '+' ? ' ' : *p;
			}
		}
		out[k] = 0;
		return true;
	}
	return false;
}

static cJSON *call_json(const struct call *c)
{
	char uri[160], duration[24];
	bool over = c->ended;

	snprintf(uri, sizeof(uri), "/2010-04-01/Accounts/%s/Calls/%s.json", c->t->account_sid, c->sid);
	snprintf(duration, sizeof(duration), "%lld",
		 c->answer_ns ? (long long)((sim_now_ns() - c->answer_ns) / SIM_S) : 0);
	return sim_obj("ssssssssssssss", "sid", c->sid, "account_sid", c->t->account_sid, "status",
		       c->status, "direction", "inbound", "from", c->from, "to", c->to, "start_time",
		       "Tue, 24 Nov 2026 12:00:00 +0000", "end_time",
		       over ? "Tue, 24 Nov 2026 12:01:00 +0000" : NULL, "duration",
		       over ? duration : NULL, "price", NULL, "price_unit", "USD", "answered_by", NULL,
		       "api_version", "2010-04-01", "uri", uri);
}

static void post_call(struct twilio *t, struct sim_http *h, const struct sim_http_message *r,
		      struct call *c)
{
	char status[32], twiml[8192], url[2048];
	bool has_status = form_field((char *)r->body, "Status", status, sizeof(status));
	bool has_twiml = form_field((char *)r->body, "Twiml", twiml, sizeof(twiml));
	bool has_url = form_field((char *)r->body, "Url", url, sizeof(url));

	if (c->ended) {
		answer(t, h, r, 400, error_body(400, 21220, "Call is not in-progress. Cannot redirect."));
		return;
	}
	if (has_status + has_twiml + has_url != 1) {
		answer(t, h, r, 400, error_body(400, 21218, "one of Status, Twiml, Url"));
		return;
	}
	if (has_status && strcmp(status, "completed")) {
		answer(t, h, r, 400, error_body(400, 20001, "invalid Status"));
		return;
	}
	if (has_status)
		call_end(c, "rest", "completed");
	else if (has_twiml && strlen(twiml) > 4000)
		complain("Twiml parameter longer than 4000 characters");
	else
		call_update(c, has_twiml ? twiml : NULL, url);
	answer(t, h, r, 200, call_json(c));
}

static void request(void *ctx, struct sim_http *h, const struct sim_http_message *r)
{
	struct twilio *t = ctx;
	char prefix[128], path[4096], *query;
	const char *rest;
	size_t n;

	if (t->rest_fail_count > 0) {
		t->rest_fail_count--;
		answer(t, h, r, t->rest_fail_status,
		       error_body(t->rest_fail_status, t->rest_fail_status == 429 ? 20429 : 20500,
				  "on request of the test"));
		return;
	}
	if (!authorized(t, r)) {
		answer(t, h, r, 401, error_body(401, 20003, "Authenticate"));
		return;
	}
	snprintf(path, sizeof(path), "%s", r->target);
	query = strchr(path, '?');
	if (query)
		*query++ = 0;
	n = (size_t)snprintf(prefix, sizeof(prefix), "/2010-04-01/Accounts/%s", t->account_sid);
	if (strncmp(path, prefix, n)) {
		answer(t, h, r, 404, error_body(404, 20404, "The requested resource was not found"));
		return;
	}
	rest = path + n;
	if (!strcmp(rest, ".json")) {
		answer(t, h, r, 200, sim_obj("ssss", "sid", t->account_sid, "type", "Full", "status",
					     "active", "friendly_name", "loopline sandbox"));
	} else if (!strcmp(rest, "/Calls.json") && !strcmp(r->method, "GET")) {
		cJSON *list = cJSON_CreateArray();
		char status[32] = "";

		if (query)
			form_field(query, "Status", status, sizeof(status));
		for (const struct call *c = t->calls; c; c = c->next)
			if (!*status || !strcmp(status, c->status))
				cJSON_AddItemToArray(list, call_json(c));
		answer(t, h, r, 200, sim_obj("oss", "calls", list, "next_page_uri", NULL, "uri", path));
	} else if (!strncmp(rest, "/Calls/CA", 9) && strlen(rest) == 7 + 34 + 5 &&
		   !strcmp(rest + 41, ".json")) {
		char sid[35];
		struct call *c;

		snprintf(sid, sizeof(sid), "%s", rest + 7);
		c = call_by_sid(t, sid);
		if (!c)
			answer(t, h, r, 404,
			       error_body(404, 20404, "The requested resource was not found"));
		else if (!strcmp(r->method, "POST"))
			post_call(t, h, r, c);
		else
			answer(t, h, r, 200, call_json(c));
	} else {
		answer(t, h, r, 404, error_body(404, 20404, "The requested resource was not found"));
	}
}

static const struct sim_http_ops ops = { request, gone };

static void accepted(void *ctx, struct sim_conn *c)
{
	sim_http_serve(c, &ops, ctx);
}

int rest_start(struct twilio *t, struct ssl_ctx_st *tls)
{
	struct sim_listener *l;

	return sim_listen(&l, t->loop, &t->rest_port, tls, accepted, t);
}
