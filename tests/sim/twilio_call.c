/* SPDX-License-Identifier: MIT
 *
 * twilio_call.c - one phone call: the webhook, and following the TwiML that it answers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

static void call_next(struct call *c);

struct call *call_find(struct twilio *t, const char *name)
{
	for (struct call *c = t->calls; c; c = c->next)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

struct call *call_by_sid(struct twilio *t, const char *sid)
{
	for (struct call *c = t->calls; c; c = c->next)
		if (!strcmp(c->sid, sid))
			return c;
	return NULL;
}

/* The form of a voice webhook, with the option "params" laid over it. */
cJSON *call_form(const struct call *c)
{
	cJSON *f = sim_obj("sssssssss", "AccountSid", c->t->account_sid, "ApiVersion", "2010-04-01",
			   "CallSid", c->sid, "CallStatus", c->status, "Called", c->to, "Caller",
			   c->from, "Direction", "inbound", "From", c->from, "To", c->to);
	const cJSON *over = cJSON_GetObjectItemCaseSensitive(c->options, "params"), *p;
	static const char *const places[] = { "CallerCity",  "CallerCountry", "CallerState",
					      "CallerZip",   "CalledCity",    "CalledCountry",
					      "CalledState", "CalledZip",     "FromCity",
					      "FromCountry", "FromState",     "FromZip",
					      "ToCity",	     "ToCountry",     "ToState",
					      "ToZip" };
	char token[1100];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		cJSON_AddStringToObject(f, places[i], strstr(places[i], "Country") ? "US" :
						      strstr(places[i], "City")	   ? "SÃO PAULO & CO" :
										     "");
	cJSON_AddStringToObject(f, "StirVerstat", "TN-Validation-Passed-A");
	memset(token, 'x', sizeof(token)); /* real ones are longer than a kilobyte */
	token[sizeof(token) - 1] = 0;
	memcpy(token, "%7B%22parentCallInfoToken%22%3A%22eyJ", 37);
	cJSON_AddStringToObject(f, "CallToken", token);
	cJSON_ArrayForEach(p, over)
	{
		cJSON_DeleteItemFromObjectCaseSensitive(f, p->string);
		if (cJSON_IsString(p))
			cJSON_AddStringToObject(f, p->string, p->valuestring);
	}
	return f;
}

void call_end(struct call *c, const char *reason, const char *status)
{
	struct stream *s = c->stream;

	if (c->ended)
		return;
	c->ended = true;
	c->status = status;
	sim_timer_cancel(c->t->loop, &c->timer);
	if (s)
		stream_end(s, "stop");
	if (!c->encoded)
		sim_event("call.ended",
			  sim_obj("ssssi", "call", c->name, "call_sid", c->sid, "reason", reason,
				  "status", status, "duration_ms",
				  c->answer_ns ? (sim_now_ns() - c->answer_ns) / SIM_MS : (int64_t)0));
	load_call_ended(c->t, c, reason);
}

static void twiml_error(struct call *c, const char *code, const char *what)
{
	sim_event("twiml.error", sim_obj("ssss", "call", c->name, "code", code, "what", what,
					 "url", c->url));
	call_end(c, "twiml error", "completed");
}

static void follow(struct call *c, struct sim_xml *document)
{
	sim_xml_destroy(c->document);
	c->document = document;
	c->verb = document->children;
	call_next(c);
}

static struct sim_xml *read_twiml(struct call *c, const char *text, size_t len)
{
	const char *error;
	struct sim_xml *x = sim_xml_parse(text, len, &error);

	if (!x) {
		twiml_error(c, "12100", error);
		return NULL;
	}
	if (strcmp(x->name, "Response")) {
		sim_xml_destroy(x);
		twiml_error(c, "12102", "the root is not <Response>");
		return NULL;
	}
	return x;
}

struct fetch {
	struct twilio *t;
	char sid[35];
	int round;
	int64_t begin_ns;
};

static void fetched(void *ctx, const struct sim_http_message *answer, const char *why)
{
	struct fetch *f = ctx;
	struct call *c = call_by_sid(f->t, f->sid);
	int64_t ms = (sim_now_ns() - f->begin_ns) / SIM_MS;
	bool current = c && !c->ended && c->fetch_round == f->round;
	struct sim_xml *x;
	char type[64] = "";

	free(f);
	if (!current)
		return;
	c->fetching = false;
	sim_timer_cancel(c->t->loop, &c->timer);
	if (!c->encoded)
		sim_event("webhook",
			  sim_obj("sssiis", "call", c->name, "call_sid", c->sid, "url", c->url, "status",
				  (int64_t)(answer ? answer->status : 0), "ms", ms, "body",
				  answer ? (char *)answer->body : why));
	if (!answer || answer->status != 200) {
		call_end(c, "webhook failed", "completed");
		return;
	}
	if (!sim_http_header(answer, "content-type", type, sizeof(type)) ||
	    (strncmp(type, "text/xml", 8) && strncmp(type, "application/xml", 15)))
		complain("TwiML with content type \"%s\"", type);
	x = read_twiml(c, (char *)answer->body, answer->body_len);
	if (x)
		follow(c, x);
}

static void fetch_timeout(void *ctx, int64_t now_ns)
{
	struct call *c = ctx;

	c->fetch_round++;
	sim_event("webhook", sim_obj("sssiis", "call", c->name, "call_sid", c->sid, "url", c->url,
				     "status", (int64_t)0, "ms", (int64_t)15000, "body",
				     "no answer in 15 s"));
	call_end(c, "webhook failed", "completed");
}

static void call_fetch(struct call *c, const char *url)
{
	struct fetch *f = calloc(1, sizeof(*f));
	cJSON *form = call_form(c);
	int err;

	if (!f)
		abort();
	snprintf(c->url, sizeof(c->url), "%s", url);
	f->t = c->t;
	snprintf(f->sid, sizeof(f->sid), "%s", c->sid);
	f->round = ++c->fetch_round;
	f->begin_ns = sim_now_ns();
	c->fetching = true;
	err = twilio_post(c->t, url, form, sim_str(c->options, "signature", "ok"), NULL, fetched, f);
	cJSON_Delete(form);
	if (err) {
		free(f);
		twiml_error(c, "11100", "the URL is not below public_url");
		return;
	}
	sim_timer_set(c->t->loop, &c->timer, sim_now_ns() + 15 * SIM_S, fetch_timeout, c);
}

static void timer_next(void *ctx, int64_t now_ns)
{
	call_next(ctx);
}

static void wait_then_next(struct call *c, double seconds)
{
	sim_timer_set(c->t->loop, &c->timer, sim_now_ns() + (int64_t)(seconds * 1e9), timer_next, c);
}

static void call_connect(struct call *c, const struct sim_xml *v)
{
	const struct sim_xml *s = v->children;

	if (!s || strcmp(s->name, "Stream") || s->next) {
		twiml_error(c, "12200", "<Connect> without exactly one <Stream>");
		return;
	}
	if (!v->next && !sim_xml_attr(v, "action", NULL))
		complain("nothing follows </Connect>: the call would end with the stream");
	stream_open(c, s);
}

static void call_next(struct call *c)
{
	const struct sim_xml *v = c->verb;
	bool first = c->first_verb;

	if (c->ended)
		return;
	if (!v) {
		call_end(c, "end of document", "completed");
		return;
	}
	c->verb = v->next;
	c->first_verb = false;
	if (!strcmp(v->name, "Reject")) {
		if (!first) {
			twiml_error(c, "12200", "<Reject> must be the first verb");
			return;
		}
		call_end(c, "rejected",
			 strcmp(sim_xml_attr(v, "reason", "rejected"), "busy") ? "no-answer" : "busy");
		return;
	}
	if (!c->answer_ns) {
		c->answer_ns = sim_now_ns();
		c->status = "in-progress";
	}
	if (!strcmp(v->name, "Connect")) {
		call_connect(c, v);
	} else if (!strcmp(v->name, "Pause")) {
		wait_then_next(c, atof(sim_xml_attr(v, "length", "1")));
	} else if (!strcmp(v->name, "Redirect")) {
		char url[1024];

		if (strcmp(sim_xml_attr(v, "method", "POST"), "POST"))
			complain("<Redirect> with a method other than POST");
		twilio_absolute(c->url, v->text, url, sizeof(url));
		call_fetch(c, url);
	} else if (!strcmp(v->name, "Hangup")) {
		call_end(c, "hangup", "completed");
	} else if (!strcmp(v->name, "Say") || !strcmp(v->name, "Play")) {
		sim_event("say", sim_obj("ss", "call", c->name, "text", v->text));
		wait_then_next(c, 1);
	} else {
		twiml_error(c, "12200", "unknown verb");
	}
}

void call_stream_over(struct call *c)
{
	const struct sim_xml *v;
	const char *action = NULL;

	c->stream = NULL;
	if (c->ended || c->fetching)
		return;
	for (v = c->document ? c->document->children : NULL; v; v = v->next)
		if (v->next == c->verb && !strcmp(v->name, "Connect"))
			action = sim_xml_attr(v, "action", NULL);
	if (action) {
		char url[1024];

		twilio_absolute(c->url, action, url, sizeof(url));
		call_fetch(c, url);
		return;
	}
	call_next(c);
}

const char *call_update(struct call *c, const char *twiml, const char *url)
{
	struct sim_xml *x = NULL;

	if (twiml) {
		x = read_twiml(c, twiml, strlen(twiml));
		if (!x)
			return "bad TwiML";
	}
	sim_timer_cancel(c->t->loop, &c->timer);
	c->fetch_round++;
	c->fetching = true; /* so that the stream's end does not go on in the old document */
	if (c->stream)
		stream_end(c->stream, "stop");
	c->fetching = false;
	if (x)
		follow(c, x);
	else
		call_fetch(c, url);
	return NULL;
}

int call_create(struct call **out, struct twilio *t, const cJSON *options)
{
	struct call *c = calloc(1, sizeof(*c));
	char url[1024];

	if (!c)
		return -ENOMEM;
	c->t = t;
	c->options = cJSON_Duplicate(options, 1);
	c->sums = cJSON_CreateObject();
	snprintf(c->name, sizeof(c->name), "%s", sim_str(options, "call", "call"));
	snprintf(c->from, sizeof(c->from), "%s", sim_str(options, "from", "+14155550100"));
	snprintf(c->to, sizeof(c->to), "%s", sim_str(options, "to", "+14155550199"));
	twilio_make_sid(c->sid, "CA");
	c->status = "ringing";
	c->first_verb = true;
	c->begin_ns = sim_now_ns();
	c->next = t->calls;
	t->calls = c;
	t->calls_made++;
	*out = c;
	snprintf(url, sizeof(url), "%s%s", t->public_url, t->voice_path);
	call_fetch(c, url);
	return 0;
}

void call_destroy(struct call *c)
{
	struct call **p = &c->t->calls;

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	sim_timer_cancel(c->t->loop, &c->timer);
	if (c->stream)
		stream_destroy(c->stream);
	encoded_voice_release(c->encoded);
	sim_xml_destroy(c->document);
	cJSON_Delete(c->options);
	cJSON_Delete(c->sums);
	free(c);
}
