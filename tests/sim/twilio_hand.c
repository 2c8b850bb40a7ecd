/* SPDX-License-Identifier: MIT
 *
 * twilio_hand.c - requests and sockets by hand: knocking at the bridge's door in wrong ways.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/malformed.h"
#include "tests/sim/twilio.h"

struct socket_by_hand {
	struct socket_by_hand *next;
	struct twilio *t;
	char name[64];
	struct sim_ws *ws;
	bool open;
	cJSON *answer; /* of `open`, until it is known */
};

const char *hand_send(struct sim_ws *ws, const cJSON *o)
{
	const char *text = sim_str(o, "text", NULL), *hex = sim_str(o, "hex", NULL);
	static uint8_t buf[1 << 20];
	long n;

	if (text) {
		sim_ws_send(ws, sim_flag(o, "binary", false), text, strlen(text));
		return NULL;
	}
	n = hex ? sim_unhex(hex, buf, sizeof(buf)) : -1;
	if (n < 0)
		return "neither text nor hex";
	if (sim_flag(o, "raw", false))
		sim_ws_send_raw(ws, buf, (size_t)n);
	else
		sim_ws_send(ws, sim_flag(o, "binary", true), buf, (size_t)n);
	return NULL;
}

/* url, or path behind the host of public_url with the given scheme. */
static void full_url(const struct twilio *t, const cJSON *o, const char *scheme, char *out, size_t len)
{
	const char *url = sim_str(o, "url", NULL), *path = sim_str(o, "path", t->voice_path);

	if (url)
		snprintf(out, len, "%s", url);
	else
		snprintf(out, len, "%s%s%s", scheme, strstr(t->public_url, "://"), path);
}

/* ---- webhook requests ---- */

static void posted(void *ctx, const struct sim_http_message *m, const char *why)
{
	cJSON *answer = ctx;

	if (m) {
		cJSON_AddNumberToObject(answer, "status", m->status);
		cJSON_AddStringToObject(answer, "body", (char *)m->body);
		cJSON_AddStringToObject(answer, "headers", m->headers);
	}
	sim_answer_later(answer, m ? NULL : why);
}

const char *hand_post(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(o, "form");
	const char *method = sim_str(o, "method", "POST"), *body = sim_str(o, "body", NULL);
	const char *headers = sim_str(o, "headers", "");
	char url[1024], target[1024], sig[256];
	cJSON *form;
	int err;

	full_url(t, o, "https", url, sizeof(url));
	form = given ? cJSON_Duplicate(given, 1) : cJSON_CreateObject();
	if (sim_flag(o, "fill", false)) {
		struct call c = { .t = t, .status = "ringing", .from = "+14155550100",
				  .to = "+14155550199", .options = cJSON_CreateObject() };
		cJSON *full;

		cJSON_AddItemToObject(c.options, "params", form);
		twilio_make_sid(c.sid, "CA");
		full = call_form(&c);
		cJSON_Delete(c.options);
		form = full;
	}
	if (!body && !strcmp(method, "POST")) {
		err = twilio_post(t, url, form, sim_str(o, "signature", "ok"), headers, posted, answer);
	} else {
		struct sim_http_target peer = twilio_peer(t);
		char *head;

		if (!twilio_target(t, url, target, sizeof(target)))
			snprintf(target, sizeof(target), "%s", url);
		twilio_signature_header(t, sim_str(o, "signature", "ok"), url, NULL, sig, sizeof(sig));
		if (asprintf(&head, "Content-Type: %s\r\n%s%s",
			     sim_str(o, "type", "application/x-www-form-urlencoded"), sig, headers) < 0)
			abort();
		err = sim_http_fetch(t->loop, &peer, method, target, head, body ? body : "",
				     body ? strlen(body) : 0, posted, answer);
		free(head);
	}
	cJSON_Delete(form);
	return err ? "the URL is not below public_url, or cannot be dialled" : SIM_LATER;
}

/* ---- sockets ---- */

static struct socket_by_hand *socket_find(struct twilio *t, const char *name)
{
	for (struct socket_by_hand *s = t->sockets; s; s = s->next)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

static void socket_free(struct socket_by_hand *s)
{
	struct socket_by_hand **p = &s->t->sockets;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	sim_loop_defer(s->t->loop, free, s);
}

static void socket_open(void *ctx)
{
	struct socket_by_hand *s = ctx;

	s->open = true;
	cJSON_AddNumberToObject(s->answer, "status", 101);
	sim_answer_later(s->answer, NULL);
	s->answer = NULL;
}

static void socket_refused(void *ctx, int status, const char *why)
{
	struct socket_by_hand *s = ctx;

	cJSON_AddNumberToObject(s->answer, "status", status);
	cJSON_AddStringToObject(s->answer, "why", why);
	sim_answer_later(s->answer, NULL);
	socket_free(s);
}

static void socket_message(void *ctx, bool binary, const uint8_t *data, size_t len)
{
	struct socket_by_hand *s = ctx;

	sim_event("socket.message", sim_obj("ssb", "socket", s->name, "text",
					    binary ? "" : (const char *)data, "binary", (int)binary));
}

static void socket_closed(void *ctx, int code, const char *why)
{
	struct socket_by_hand *s = ctx;

	sim_event("socket.closed",
		  sim_obj("sis", "socket", s->name, "code", (int64_t)code, "why", why));
	socket_free(s);
}

static const struct sim_ws_ops socket_ops = { socket_open, socket_refused, socket_message,
					      socket_closed };

const char *hand_open(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	struct socket_by_hand *s;
	struct sim_http_target peer = twilio_peer(t);
	char url[1024], target[1024], sig[256], head[2048];

	if (socket_find(t, sim_str(o, "socket", "s")))
		return "there is a socket of that name";
	full_url(t, o, "wss", url, sizeof(url));
	if (!twilio_target(t, url, target, sizeof(target)))
		snprintf(target, sizeof(target), "%s", url);
	twilio_signature_header(t, sim_str(o, "signature", "ok"), url, NULL, sig, sizeof(sig));
	snprintf(head, sizeof(head), "%s%s", sig, sim_str(o, "headers", ""));
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->t = t;
	snprintf(s->name, sizeof(s->name), "%s", sim_str(o, "socket", "s"));
	s->answer = answer;
	s->next = t->sockets;
	t->sockets = s;
	if (sim_ws_dial(&s->ws, t->loop, &peer, target, head, &socket_ops, s)) {
		socket_free(s);
		return "cannot dial";
	}
	return SIM_LATER;
}

const char *hand_socket(struct twilio *t, const char *cmd, const cJSON *o, cJSON *answer)
{
	struct socket_by_hand *s = socket_find(t, sim_str(o, "socket", ""));
	static const char *const samples[] = {
		"{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}",
		"{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"MZ1\",\"start\":{\"accountSid\":"
		"\"AC1\",\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"tracks\":[\"inbound\"],\"mediaFormat\":"
		"{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},\"customParameters\":"
		"{\"token\":\"x\"}}}",
		"{\"event\":\"media\",\"sequenceNumber\":\"4\",\"streamSid\":\"MZ1\",\"media\":{\"track\":"
		"\"inbound\",\"chunk\":\"2\",\"timestamp\":\"20\",\"payload\":\"no+JhoaJjpzS\"}}",
		NULL
	};

	if (!s || !s->open)
		return "no such open socket";
	if (!strcmp(cmd, "send"))
		return hand_send(s->ws, o);
	if (!strcmp(cmd, "close")) {
		int code = (int)sim_num(o, "code", 1000);

		if (sim_flag(o, "abort", false))
			sim_ws_abort(s->ws);
		else
			sim_ws_close(s->ws, code, NULL);
		socket_free(s);
		return NULL;
	}
	if (!strcmp(cmd, "malformed")) {
		int from = (int)sim_num(o, "from", 0), count = (int)sim_num(o, "count", 100);

		for (int i = from; i < from + count; i++) {
			size_t len;
			bool binary;
			uint8_t *m = sim_malformed(samples, (uint64_t)sim_num(o, "seed", 1), i, &len,
						   &binary);

			sim_ws_send(s->ws, binary, m, len);
			free(m);
		}
		return NULL;
	}
	return "no such command for a socket";
}

/* ---- bytes on a connection of their own ---- */

struct raw {
	struct twilio *t;
	struct sim_conn *conn;
	struct sim_timer timer;
	uint8_t *out;
	size_t out_len;
	char in[8192];
	size_t in_len;
	void (*done)(struct raw *r, bool closed);
	void *ctx;
};

static void raw_free(void *object)
{
	struct raw *r = object;

	free(r->out);
	free(r);
}

static void raw_over(struct raw *r, bool closed)
{
	sim_timer_cancel(r->t->loop, &r->timer);
	r->done(r, closed);
	sim_loop_defer(r->t->loop, raw_free, r);
}

static void raw_open(void *ctx)
{
	struct raw *r = ctx;

	sim_conn_write(r->conn, r->out, r->out_len);
}

static void raw_data(void *ctx, const uint8_t *data, size_t len)
{
	struct raw *r = ctx;
	size_t n = sizeof(r->in) - 1 - r->in_len;

	n = len < n ? len : n;
	memcpy(r->in + r->in_len, data, n);
	r->in_len += n;
}

static void raw_closed(void *ctx, const char *why)
{
	raw_over(ctx, true);
}

static void raw_timeout(void *ctx, int64_t now_ns)
{
	struct raw *r = ctx;

	sim_conn_abort(r->conn);
	raw_over(r, false);
}

static const struct sim_conn_ops raw_ops = { raw_open, raw_data, raw_closed };

static struct raw *raw_start(struct twilio *t, uint8_t *out, size_t len, int64_t wait_ms,
			     void (*done)(struct raw *r, bool closed), void *ctx)
{
	struct raw *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->t = t;
	r->out = out;
	r->out_len = len;
	r->done = done;
	r->ctx = ctx;
	if (sim_conn_dial(&r->conn, t->loop, t->address, t->port, t->client_tls, t->host, &raw_ops,
			  r)) {
		raw_free(r);
		return NULL;
	}
	sim_timer_set(t->loop, &r->timer, sim_now_ns() + wait_ms * SIM_MS, raw_timeout, r);
	return r;
}

static void raw_answer(struct raw *r, bool closed)
{
	cJSON *answer = r->ctx;

	cJSON_AddStringToObject(answer, "received", r->in);
	cJSON_AddBoolToObject(answer, "closed", closed);
	sim_answer_later(answer, NULL);
}

const char *hand_raw(void *ctx, const cJSON *o, cJSON *answer)
{
	const char *text = sim_str(o, "text", NULL), *hex = sim_str(o, "hex", "");
	size_t room = text ? strlen(text) + 1 : strlen(hex) / 2 + 1;
	uint8_t *out = malloc(room);
	long n;

	if (!out)
		abort();
	n = text ? (long)strlen(text) : sim_unhex(hex, out, room);
	if (text)
		memcpy(out, text, room);
	if (n < 0) {
		free(out);
		return "bad hex";
	}
	return raw_start(ctx, out, (size_t)n, (int64_t)sim_num(o, "wait_ms", 1000), raw_answer,
			 answer) ?
		       SIM_LATER :
		       "cannot dial";
}

/* ---- a flood of malformed requests, some at a time ---- */

struct flood {
	struct twilio *t;
	cJSON *answer, *answered;
	int left, running, n, dropped;
	uint64_t seed;
};

static void flood_more(struct flood *f);

static void flood_done(struct raw *r, bool closed)
{
	struct flood *f = r->ctx;
	int status = 0;
	char key[16];
	cJSON *have;

	if (r->in_len > 12 && !strncmp(r->in, "HTTP/1.", 7))
		status = atoi(r->in + 9);
	f->running--;
	if (!status) {
		f->dropped++;
	} else {
		snprintf(key, sizeof(key), "%d", status);
		have = cJSON_GetObjectItemCaseSensitive(f->answered, key);
		if (have)
			cJSON_SetNumberValue(have, have->valuedouble + 1);
		else
			cJSON_AddNumberToObject(f->answered, key, 1);
	}
	flood_more(f);
}

static uint8_t *bad_request(struct flood *f, size_t *len)
{
	uint64_t r = f->seed + (uint64_t)f->n * 977;
	char *text = NULL;
	int n;

	switch (f->n % 10) {
	case 0:
		n = asprintf(&text, "POST /voice HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
				    "Content-Type: application/x-www-form-urlencoded\r\n\r\n%%%%%%=%%");
		break;
	case 1:
		n = asprintf(&text, "GET /phone HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n");
		break;
	case 2:
		n = asprintf(&text, "POST /voice HTTP/1.1\r\nHost: x\r\nContent-Length: -7\r\n\r\n");
		break;
	case 3:
		n = asprintf(&text, "POST /voice HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "zz\r\n");
		break;
	case 4:
		n = asprintf(&text, "\r\n\r\n\r\n\r\n");
		break;
	case 5:
		n = asprintf(&text, "GET /phone/%020llx%012llx HTTP/1.1\r\nHost: x\r\nConnection: upgrade"
				    "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
				    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			     (unsigned long long)sim_random(&r), (unsigned long long)sim_random(&r) >> 16);
		break;
	case 6:
		n = asprintf(&text, "POST /voice HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: %0*d\r\n\r\n",
			     9000, 7);
		break;
	case 7:
		n = asprintf(&text, "GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n");
		break;
	case 8:
		n = asprintf(&text, "POST /voice HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
				    "CallSid=CA");
		break;
	default:
		n = 400;
		text = malloc(400);
		for (int i = 0; text && i < n; i++)
			text[i] = (char)sim_random(&r);
		break;
	}
	if (!text)
		abort();
	*len = (size_t)n;
	return (uint8_t *)text;
}

static void flood_more(struct flood *f)
{
	while (f->left && f->running < 8) {
		size_t len;
		uint8_t *out = bad_request(f, &len);

		f->left--;
		f->n++;
		if (raw_start(f->t, out, len, 200, flood_done, f))
			f->running++;
		else
			f->dropped++;
	}
	if (!f->left && !f->running) {
		cJSON_AddNumberToObject(f->answer, "dropped", f->dropped);
		sim_answer_later(f->answer, NULL);
		free(f);
	}
}

const char *hand_flood(void *ctx, const cJSON *o, cJSON *answer)
{
	struct flood *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->t = ctx;
	f->answer = answer;
	f->answered = cJSON_AddObjectToObject(answer, "answered");
	f->left = (int)sim_num(o, "count", 100);
	f->seed = (uint64_t)sim_num(o, "seed", 1);
	flood_more(f);
	return SIM_LATER;
}
