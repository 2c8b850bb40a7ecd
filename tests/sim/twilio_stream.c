/* SPDX-License-Identifier: MIT
 *
 * twilio_stream.c - one bidirectional media stream: the client side of Twilio Media Streams.
 *
 * Media messages are due on an absolute schedule counted in samples from the `start` message, on a
 * clock that may drift; a message is due when the last of its samples has been spoken.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/malformed.h"
#include "tests/sim/twilio.h"

#define MARKS_MAX 256

struct mark {
	char name[128];
	int64_t due_ns;
};

struct stream {
	struct call *call;
	struct sim_loop *loop;
	struct sim_ws *ws;
	char sid[35], url[1024];
	cJSON *parameters;
	char *status_callback;
	int index; /* in the call */
	bool open, started, ended, mute, first_told, sound_told;
	int64_t sequence, chunk;
	int64_t start_ns;
	double ns_per_sample, jitter_ns;
	uint64_t seed;
	int64_t pos;	    /* samples spoken */
	int64_t last_sent_ns; /* jitter keeps the order */
	int sizes[32], size_count, size_next;
	size_t piece;
	struct sim_timer tick, mark_timer;
	int64_t stall_until_ns;
	bool stall_loses;
	int64_t skip;
	struct sim_voice *voice;
	struct play *play;
	struct mark marks[MARKS_MAX];
	int mark_count;
	int64_t frames_out, late_out, late_max_ns, marks_in, clears_in;
	int malformed_left, malformed_n;
	uint64_t malformed_seed;
};

static void schedule(struct stream *s);

static void stream_free(void *object)
{
	struct stream *s = object;

	sim_voice_destroy(s->voice);
	play_destroy(s->play);
	cJSON_Delete(s->parameters);
	free(s->status_callback);
	free(s);
}

static void send_json(struct stream *s, cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);

	if (s->piece)
		sim_ws_send_pieces(s->ws, text, s->piece);
	else
		sim_ws_send_text(s->ws, text);
	cJSON_free(text);
	cJSON_Delete(o);
}

static cJSON *message(struct stream *s, const char *event)
{
	char n[24];

	snprintf(n, sizeof(n), "%lld", (long long)++s->sequence);
	return sim_obj("sss", "event", event, "sequenceNumber", n, "streamSid", s->sid);
}

static void ignore_answer(void *ctx, const struct sim_http_message *answer, const char *why)
{
}

static void status_callback(struct stream *s, const char *event, const char *error)
{
	cJSON *f;

	if (!s->status_callback)
		return;
	f = sim_obj("ssssss", "AccountSid", s->call->t->account_sid, "CallSid", s->call->sid,
		    "StreamSid", s->sid, "StreamName", s->sid, "StreamEvent", event, "Timestamp",
		    "2026-01-01T00:00:00.000Z");
	if (error)
		cJSON_AddStringToObject(f, "StreamError", error);
	if (twilio_post(s->call->t, s->status_callback, f, "ok", NULL, ignore_answer, NULL))
		complain("statusCallback \"%s\" is not below public_url", s->status_callback);
	cJSON_Delete(f);
}

/* ---- out: the caller's voice ---- */

static void send_media(struct stream *s, const uint8_t *ulaw, size_t n, int64_t now)
{
	char *b64 = malloc(4 * (n / 3 + 2)), text[512], *big = NULL;
	int len;
	long long ts = (long long)((s->pos - (int64_t)n) / 8);

	if (!b64)
		abort();
	EVP_EncodeBlock((unsigned char *)b64, ulaw, (int)n);
	s->sequence++;
	len = snprintf(text, sizeof(text),
		       "{\"event\":\"media\",\"sequenceNumber\":\"%lld\",\"media\":{\"track\":\"inbound\","
		       "\"chunk\":\"%lld\",\"timestamp\":\"%lld\",\"payload\":\"",
		       (long long)s->sequence, (long long)s->chunk, ts);
	if (asprintf(&big, "%.*s%s\"},\"streamSid\":\"%s\"}", len, text, b64, s->sid) < 0)
		abort();
	if (s->piece)
		sim_ws_send_pieces(s->ws, big, s->piece);
	else
		sim_ws_send_text(s->ws, big);
	play_said(s->play, now, ulaw, n);
	s->frames_out++;
	free(big);
	free(b64);
}

/* From a load's shared store: the payload is ready. */
static void send_encoded(struct stream *s)
{
	const struct encoded_voice *e = s->call->encoded;
	char text[600];
	int n;

	s->sequence++;
	n = snprintf(text, sizeof(text),
		     "{\"event\":\"media\",\"sequenceNumber\":\"%lld\",\"media\":{\"track\":\"inbound\","
		     "\"chunk\":\"%lld\",\"timestamp\":\"%lld\",\"payload\":\"%s\"},\"streamSid\":\"%s\"}",
		     (long long)s->sequence, (long long)s->chunk, (long long)(s->pos / 8 - 20),
		     e->payload[(s->chunk - 1) % e->count], s->sid);
	sim_ws_send(s->ws, false, text, (size_t)n);
	s->frames_out++;
}

static void send_malformed(struct stream *s)
{
	const char *samples[] = {
		"{\"event\":\"media\",\"sequenceNumber\":\"4\",\"streamSid\":\"MZ1\",\"media\":{\"track\":"
		"\"inbound\",\"chunk\":\"2\",\"timestamp\":\"20\",\"payload\":\"no+JhoaJjpzS\"}}",
		"{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"MZ1\",\"start\":{\"accountSid\":"
		"\"AC1\",\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"tracks\":[\"inbound\"],\"mediaFormat\":"
		"{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},\"customParameters\":{}}}",
		"{\"event\":\"dtmf\",\"sequenceNumber\":\"5\",\"streamSid\":\"MZ1\",\"dtmf\":{\"track\":"
		"\"inbound_track\",\"digit\":\"1\"}}",
		"{\"event\":\"mark\",\"sequenceNumber\":\"6\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"p\"}}",
		"{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}", NULL
	};
	size_t len;
	bool binary;
	uint8_t *m = sim_malformed(samples, s->malformed_seed, s->malformed_n++, &len, &binary);

	sim_ws_send(s->ws, binary, m, len);
	free(m);
	if (!--s->malformed_left)
		sim_event("malformed.done", sim_obj("s", "call", s->call->name));
}

static void tick(void *ctx, int64_t now_ns)
{
	struct stream *s = ctx;
	uint8_t ulaw[4000];
	int16_t pcm[4000];
	size_t n = (size_t)s->sizes[s->size_next];
	int64_t due = s->tick.due_ns;

	s->size_next = (s->size_next + 1) % s->size_count;
	s->pos += (int64_t)n;
	s->chunk++;
	if (!s->call->encoded) {
		if (s->voice)
			sim_voice_read(s->voice, pcm, n);
		else
			memset(pcm, 0, sizeof(pcm));
		for (size_t i = 0; i < n; i++)
			ulaw[i] = sim_ulaw_encode(pcm[i]);
	}
	if (s->mute || (s->stall_loses && now_ns < s->stall_until_ns)) {
		/* not sent at all, the far side's counters go on */
	} else if (s->skip > 0) {
		s->skip--;
	} else {
		if (now_ns - due > 5 * SIM_MS)
			s->late_out++;
		if (now_ns - due > s->late_max_ns)
			s->late_max_ns = now_ns - due;
		if (s->call->encoded)
			send_encoded(s);
		else
			send_media(s, ulaw, n, now_ns);
		for (int i = 0; i < 8 && s->malformed_left && !s->ended; i++)
			send_malformed(s);
	}
	if (!s->ended)
		schedule(s);
}

static double uniform(struct stream *s)
{
	return (double)(sim_random(&s->seed) >> 11) / 9007199254740992.0;
}

static void schedule(struct stream *s)
{
	int64_t end = s->pos + s->sizes[s->size_next];
	int64_t due = s->start_ns + (int64_t)((double)end * s->ns_per_sample);

	if (s->jitter_ns > 0)
		due += (int64_t)(uniform(s) * s->jitter_ns);
	if (due < s->last_sent_ns)
		due = s->last_sent_ns;
	if (!s->stall_loses && due < s->stall_until_ns)
		due = s->stall_until_ns;
	s->last_sent_ns = due;
	sim_timer_set(s->loop, &s->tick, due, tick, s);
}

static void start(void *ctx, int64_t now_ns)
{
	struct stream *s = ctx;
	const struct call *c = s->call;
	cJSON *o = message(s, "start"), *inner;
	static const char *tracks[] = { "inbound" };

	inner = sim_obj("sssoo", "accountSid", c->t->account_sid, "streamSid", s->sid, "callSid",
			c->sid, "tracks", cJSON_CreateStringArray(tracks, 1), "mediaFormat",
			sim_obj("sii", "encoding", "audio/x-mulaw", "sampleRate", (int64_t)8000,
				"channels", (int64_t)1));
	cJSON_AddItemToObject(inner, "customParameters", cJSON_Duplicate(s->parameters, 1));
	cJSON_AddItemToObject(o, "start", inner);
	s->start_ns = now_ns;
	s->play = play_create(now_ns, sim_num(c->options, "ppm", 0),
			      (int)sim_num(c->options, "play_buffer_ms", 40),
			      sim_str(c->options, "record", NULL) != NULL);
	s->started = true;
	send_json(s, o);
	status_callback(s, "stream-started", NULL);
	schedule(s);
}

/* ---- in: what the bridge sends ---- */

static void echo_mark(struct stream *s, const char *name)
{
	cJSON *o = message(s, "mark");

	cJSON_AddItemToObject(o, "mark", sim_obj("s", "name", name));
	if (!s->mute)
		send_json(s, o);
	else
		cJSON_Delete(o);
}

static void marks_due(void *ctx, int64_t now_ns)
{
	struct stream *s = ctx;

	while (s->mark_count && s->marks[0].due_ns <= now_ns && !s->ended) {
		struct mark m = s->marks[0];

		memmove(s->marks, s->marks + 1, (size_t)--s->mark_count * sizeof(m));
		echo_mark(s, m.name);
	}
	if (s->mark_count && !s->ended)
		sim_timer_set(s->loop, &s->mark_timer, s->marks[0].due_ns, marks_due, s);
}

static void media_in(struct stream *s, const char *payload, int64_t now_ns)
{
	size_t n = strlen(payload), pad = 0;
	uint8_t stack[4096], *out = stack;
	int len;

	if (n % 4 || strspn(payload, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != n) {
		complain("media payload is not base64 with padding");
		return;
	}
	if (n > 4096)
		out = malloc(n);
	while (pad < 2 && n > pad && payload[n - 1 - pad] == '=')
		pad++;
	len = EVP_DecodeBlock(out, (const unsigned char *)payload, (int)n);
	if (len < 0) {
		complain("media payload is not base64");
	} else {
		size_t bytes = (size_t)len - pad;
		bool sound = false;

		for (size_t i = 0; i < bytes; i++)
			sound |= (out[i] & 0x7f) != 0x7f;
		play_put(s->play, now_ns, out, bytes);
		if (!s->call->encoded && !s->first_told)
			sim_event("stream.first_media", sim_obj("s", "call", s->call->name));
		if (!s->call->encoded && sound && !s->sound_told)
			sim_event("stream.first_sound", sim_obj("s", "call", s->call->name));
		s->first_told = true;
		s->sound_told |= sound;
	}
	if (out != stack)
		free(out);
}

static void mark_in(struct stream *s, const char *name, int64_t now_ns)
{
	struct mark *m = &s->marks[s->mark_count];

	s->marks_in++;
	if (s->mark_count == MARKS_MAX) {
		complain("more than %d marks outstanding", MARKS_MAX);
		return;
	}
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->due_ns = play_end_ns(s->play, now_ns);
	s->mark_count++;
	marks_due(s, now_ns);
}

static void ws_message(void *ctx, bool binary, const uint8_t *data, size_t len)
{
	struct stream *s = ctx;
	int64_t now = sim_now_ns();
	cJSON *o;
	const char *event, *sid;

	if (binary) {
		complain("binary message on the media stream (31950)");
		return;
	}
	if (!s->started) {
		complain("a message before `start`: %.100s", (const char *)data);
		return;
	}
	o = cJSON_ParseWithLength((const char *)data, len);
	event = sim_str(o, "event", "");
	sid = sim_str(o, "streamSid", "");
	if (!o || strcmp(sid, s->sid)) {
		complain("message without the right streamSid (31951): %.100s", (const char *)data);
	} else if (!strcmp(event, "media")) {
		const char *p = sim_str(cJSON_GetObjectItemCaseSensitive(o, "media"), "payload", NULL);

		if (p)
			media_in(s, p, now);
		else
			complain("media without payload (31951)");
	} else if (!strcmp(event, "mark")) {
		const char *n = sim_str(cJSON_GetObjectItemCaseSensitive(o, "mark"), "name", NULL);

		if (n)
			mark_in(s, n, now);
		else
			complain("mark without name (31951)");
	} else if (!strcmp(event, "clear")) {
		s->clears_in++;
		play_clear(s->play, now);
		/* every outstanding mark comes back */
		for (int i = 0; i < s->mark_count; i++)
			s->marks[i].due_ns = now;
		marks_due(s, now);
	} else {
		complain("unknown event \"%s\" (31951)", event);
	}
	cJSON_Delete(o);
}

/* ---- the socket's life ---- */

static void finish(struct stream *s, const char *by, int code)
{
	struct call *c = s->call;
	const char *dir = sim_str(c->options, "record", NULL);

	s->ended = true;
	sim_timer_cancel(s->loop, &s->tick);
	sim_timer_cancel(s->loop, &s->mark_timer);
	stream_stats(s, c->sums);
	if (s->play && dir) {
		char stem[2048];

		snprintf(stem, sizeof(stem), "%s/%s.%d", dir, c->name, s->index);
		if (play_write(s->play, stem))
			complain("cannot write the recording %s", stem);
	}
	if (!c->encoded)
		sim_event("stream.closed",
			  sim_obj("ssiii", "call", c->name, "by", by, "code", (int64_t)code,
				  "frames_out", s->frames_out, "frames_in",
				  (int64_t)sim_num(c->sums, "frames_in", 0)));
	if (s->started)
		status_callback(s, "stream-stopped", NULL);
	sim_loop_defer(s->loop, stream_free, s);
}

static void ws_open(void *ctx)
{
	struct stream *s = ctx;

	s->open = true;
	if (!s->call->encoded)
		sim_event("stream.open", sim_obj("ssi", "call", s->call->name, "stream_sid", s->sid,
						 "index", (int64_t)s->index));
	sim_ws_send_text(s->ws, "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}");
	sim_timer_set(s->loop, &s->tick,
		      sim_now_ns() + (int64_t)(sim_num(s->call->options, "hold_start_ms", 0) * 1e6),
		      start, s);
}

static void ws_refused(void *ctx, int status, const char *why)
{
	struct stream *s = ctx;
	struct call *c = s->call;

	sim_event("stream.refused",
		  sim_obj("siss", "call", c->name, "status", (int64_t)status, "why", why, "code",
			  status ? "31920" : "31901"));
	status_callback(s, "stream-error", "handshake failed");
	s->ended = true;
	sim_loop_defer(s->loop, stream_free, s);
	call_stream_over(c);
}

static void ws_closed(void *ctx, int code, const char *why)
{
	struct stream *s = ctx;
	struct call *c = s->call;

	if (s->ended) /* we were closing it ourselves */
		return;
	finish(s, "peer", code);
	call_stream_over(c);
}

static const struct sim_ws_ops ws_ops = { ws_open, ws_refused, ws_message, ws_closed };

void stream_end(struct stream *s, const char *how)
{
	struct call *c = s->call;

	if (!strcmp(how, "vanish")) {
		s->mute = true;
		return;
	}
	if (!s->open) {
		sim_timer_cancel(s->loop, &s->tick);
		if (s->ws)
			sim_ws_abort(s->ws);
	} else if (!strcmp(how, "drop")) {
		sim_ws_abort(s->ws);
	} else if (!strcmp(how, "eof")) {
		sim_ws_close(s->ws, 0, NULL);
	} else {
		if (s->started) {
			cJSON *o = message(s, "stop");

			cJSON_AddItemToObject(o, "stop", sim_obj("ss", "accountSid", c->t->account_sid,
								 "callSid", c->sid));
			send_json(s, o);
			if (s->ended) /* the connection was gone already, and said so */
				return;
		}
		s->ended = true; /* the close itself may find that the connection is gone */
		sim_ws_close(s->ws, 1000, NULL);
	}
	finish(s, "us", 1000);
	call_stream_over(c);
}

void stream_destroy(struct stream *s)
{
	sim_timer_cancel(s->loop, &s->tick);
	sim_timer_cancel(s->loop, &s->mark_timer);
	if (s->ws)
		sim_ws_abort(s->ws);
	sim_loop_defer(s->loop, stream_free, s);
}

static void dial(void *ctx, int64_t now_ns)
{
	struct stream *s = ctx;
	struct call *c = s->call;
	const char *option = sim_str(c->options, "stream_signature", "ok");
	char target[1024], header[256], url[1024];
	struct sim_http_target peer = twilio_peer(c->t);

	snprintf(url, sizeof(url), "%s", s->url);
	if (!strcmp(option, "slash")) { /* signed with a slash at the end, as some back ends do */
		strncat(url, "/", sizeof(url) - strlen(url) - 1);
		option = "ok";
	}
	twilio_signature_header(c->t, option, url, NULL, header, sizeof(header));
	twilio_target(c->t, s->url, target, sizeof(target));
	if (sim_ws_dial(&s->ws, s->loop, &peer, target, header, &ws_ops, s))
		ws_refused(s, 0, "cannot dial");
}

static void read_sizes(struct stream *s)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(s->call->options, "chunk"), *i;
	int sum = 0;

	cJSON_ArrayForEach(i, o) if (s->size_count < 32 && i->valueint >= 0 && i->valueint <= 4000)
	{
		s->sizes[s->size_count++] = i->valueint;
		sum += i->valueint;
	}
	if (cJSON_IsNumber(o) && o->valueint > 0 && o->valueint <= 4000) {
		s->sizes[0] = sum = o->valueint;
		s->size_count = 1;
	}
	if (!sum) {
		s->sizes[0] = 160;
		s->size_count = 1;
	}
}

/* Test options that spoil the secrets of the TwiML. */
static void spoil(struct stream *s)
{
	const cJSON *o = s->call->options;
	const char *url = sim_str(o, "url_token", NULL), *param = sim_str(o, "param_token", NULL);
	char *last = strrchr(s->url, '/');
	cJSON *p;

	if (url && last && !strcmp(url, "wrong") && last[1])
		last[1] = last[1] == '0' ? '1' : '0';
	else if (url && last)
		snprintf(last + 1, sizeof(s->url) - (size_t)(last + 1 - s->url), "%s", url);
	if (!param)
		return;
	if (!strcmp(param, "missing")) {
		cJSON_Delete(s->parameters);
		s->parameters = cJSON_CreateObject();
		return;
	}
	cJSON_ArrayForEach(p, s->parameters) if (p->valuestring[0])
		p->valuestring[0] = p->valuestring[0] == '0' ? '1' : '0';
}

void stream_open(struct call *c, const struct sim_xml *e)
{
	struct stream *s = calloc(1, sizeof(*s));
	const char *error, *url = sim_xml_attr(e, "url", "");
	const cJSON *voice = cJSON_GetObjectItemCaseSensitive(c->options, "voice");
	char target[1024];

	if (!s)
		abort();
	s->call = c;
	s->loop = c->t->loop;
	s->index = c->streams++;
	s->parameters = cJSON_CreateObject();
	twilio_make_sid(s->sid, "MZ");
	snprintf(s->url, sizeof(s->url), "%s", url);
	for (const struct sim_xml *p = e->children; p; p = p->next) {
		const char *name = sim_xml_attr(p, "name", ""), *value = sim_xml_attr(p, "value", "");

		if (strcmp(p->name, "Parameter"))
			complain("<%s> inside <Stream>", p->name);
		else if (strlen(name) + strlen(value) >= 500)
			complain("<Parameter> of 500 characters or more");
		else
			cJSON_AddStringToObject(s->parameters, name, value);
	}
	if (sim_xml_attr(e, "statusCallback", NULL)) {
		char absolute[1024];

		twilio_absolute(c->url, sim_xml_attr(e, "statusCallback", ""), absolute,
				sizeof(absolute));
		s->status_callback = strdup(absolute);
	}
	s->ns_per_sample = 125000 / (1 + sim_num(c->options, "ppm", 0) * 1e-6);
	s->jitter_ns = sim_num(c->options, "jitter_ms", 0) * 1e6;
	s->seed = (uint64_t)sim_num(c->options, "seed", 1);
	s->piece = (size_t)sim_num(c->options, "piece", 0);
	read_sizes(s);
	/* a caller does not begin anew when the stream is opened again, but a file voice may */
	if (!c->encoded && sim_voice_create(&s->voice, voice, 8000, &error)) {
		complain("%s", error);
		s->voice = NULL;
	}
	spoil(s);
	c->stream = s;
	if (!c->encoded)
		sim_event("stream.opening", sim_obj("ss", "call", c->name, "url", s->url));
	if (strncmp(s->url, "wss://", 6) || strchr(s->url, '?') ||
	    !twilio_target(c->t, s->url, target, sizeof(target))) {
		complain("stream URL \"%s\" is not wss below public_url, or has a query", s->url);
		ws_refused(s, 0, "invalid stream URL");
		return;
	}
	sim_timer_set(s->loop, &s->tick,
		      sim_now_ns() + (int64_t)(sim_num(c->options, "hold_upgrade_ms", 0) * 1e6), dial,
		      s);
}

/* ---- commands and figures ---- */

const char *stream_command(struct stream *s, const char *cmd, const cJSON *o, cJSON *answer)
{
	const char *error = NULL;

	if (!strcmp(cmd, "dtmf")) {
		cJSON *m = message(s, "dtmf");

		cJSON_AddItemToObject(m, "dtmf", sim_obj("ss", "track", "inbound_track", "digit",
							 sim_str(o, "digit", "1")));
		send_json(s, m);
	} else if (!strcmp(cmd, "voice")) {
		struct sim_voice *v;

		if (sim_voice_create(&v, cJSON_GetObjectItemCaseSensitive(o, "voice"), 8000, &error))
			return error;
		sim_voice_destroy(s->voice);
		s->voice = v;
		error = NULL;
	} else if (!strcmp(cmd, "stall")) {
		s->stall_until_ns = sim_now_ns() + (int64_t)(sim_num(o, "ms", 1000) * 1e6);
		s->stall_loses = sim_flag(o, "lose", false);
		if (!s->stall_loses && s->started)
			sim_timer_set(s->loop, &s->tick, s->stall_until_ns, tick, s);
	} else if (!strcmp(cmd, "skip")) {
		s->skip += (int64_t)sim_num(o, "frames", 1);
	} else if (!strcmp(cmd, "send")) {
		error = hand_send(s->ws, o);
	} else if (!strcmp(cmd, "pause_reading")) {
		sim_ws_pause(s->ws, sim_flag(o, "paused", true));
	} else if (!strcmp(cmd, "malformed")) {
		s->malformed_left = (int)sim_num(o, "count", 100);
		s->malformed_seed = (uint64_t)sim_num(o, "seed", 1);
	} else if (!strcmp(cmd, "flush")) {
		const char *dir = sim_str(s->call->options, "record", NULL);
		char stem[2048];

		snprintf(stem, sizeof(stem), "%s/%s.%d", dir ? dir : ".", s->call->name, s->index);
		if (!dir || !s->play || play_write(s->play, stem))
			return "nothing recorded";
		cJSON_AddStringToObject(answer, "stem", stem);
	} else {
		error = "no such command for a stream";
	}
	return error;
}

void stats_add(cJSON *sums, const cJSON *part)
{
	const cJSON *p;

	cJSON_ArrayForEach(p, part)
	{
		cJSON *have = cJSON_GetObjectItemCaseSensitive(sums, p->string);

		if (cJSON_IsObject(p)) {
			if (!have)
				have = cJSON_AddObjectToObject(sums, p->string);
			stats_add(have, p);
		} else if (!have) {
			cJSON_AddNumberToObject(sums, p->string, p->valuedouble);
		} else if (strstr(p->string, "max")) {
			if (p->valuedouble > have->valuedouble)
				cJSON_SetNumberValue(have, p->valuedouble);
		} else {
			cJSON_SetNumberValue(have, have->valuedouble + p->valuedouble);
		}
	}
}

void stream_stats(struct stream *s, cJSON *sums)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "frames_out", (double)s->frames_out);
	cJSON_AddNumberToObject(o, "late_out", (double)s->late_out);
	cJSON_AddNumberToObject(o, "max_late_ms", (double)s->late_max_ns / SIM_MS);
	cJSON_AddNumberToObject(o, "marks", (double)s->marks_in);
	cJSON_AddNumberToObject(o, "clears", (double)s->clears_in);
	cJSON_AddNumberToObject(o, "streams", 1);
	if (s->play)
		play_stats(s->play, sim_now_ns(), o);
	stats_add(sums, o);
	cJSON_Delete(o);
}

struct encoded_voice *encoded_voice_create(struct sim_voice *v, int frames)
{
	struct encoded_voice *e = calloc(1, sizeof(*e));

	if (!e)
		abort();
	e->count = frames;
	e->refs = 1;
	e->payload = calloc((size_t)frames, sizeof(*e->payload));
	if (!e->payload)
		abort();
	for (int i = 0; i < frames; i++) {
		int16_t pcm[160];
		uint8_t ulaw[160];

		sim_voice_read(v, pcm, 160);
		for (int k = 0; k < 160; k++)
			ulaw[k] = sim_ulaw_encode(pcm[k]);
		EVP_EncodeBlock((unsigned char *)e->payload[i], ulaw, 160);
	}
	return e;
}

void encoded_voice_release(struct encoded_voice *e)
{
	if (!e || --e->refs)
		return;
	free(e->payload);
	free(e);
}
