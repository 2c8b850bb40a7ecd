/* SPDX-License-Identifier: MIT
 *
 * twilio.h - the parts of sim_twilio among themselves.
 *
 * twilio_call.c: a call and its TwiML. twilio_stream.c: its media stream. twilio_play.c: the far
 * side's play-out queue and the recordings. twilio_web.c: signed requests. twilio_rest.c: the REST
 * resources. twilio_hand.c: sockets and requests by hand. sim_twilio_main.c: the commands.
 */
#ifndef TESTS_SIM_TWILIO_H
#define TESTS_SIM_TWILIO_H

#include "tests/sim/audio.h"
#include "tests/sim/control.h"
#include "tests/sim/http.h"
#include "tests/sim/xml.h"

struct call;
struct stream;

struct twilio {
	struct sim_loop *loop;
	char account_sid[48], auth_token[80];
	char public_url[512]; /* https://host[:port][/prefix], no slash at its end */
	char voice_path[256];
	char host[256]; /* of public_url, with its port if it has one */
	char address[64];
	int port;
	bool tls;
	struct ssl_ctx_st *client_tls; /* NULL: plain */
	int rest_port;
	int rest_fail_status, rest_fail_count, rest_delay_ms;
	struct call *calls;
	struct socket_by_hand *sockets;
	int calls_made;
	struct load *load;
};

/* What a load's calls share: the voice, encoded beforehand. */
struct encoded_voice {
	int count, refs;
	char (*payload)[220]; /* base64 of 160 bytes */
};

/* ---- twilio_web.c ---- */

/* X-Twilio-Signature of url and a form (NULL: none); out needs 32 bytes. */
void twilio_sign(const struct twilio *t, const char *url, const cJSON *form, char out[32]);
/* The header line for a signature option ("ok", "wrong", "missing", literal) or "". */
void twilio_signature_header(const struct twilio *t, const char *option, const char *url,
			     const cJSON *form, char *out, size_t len);
/* Is url below public_url (its scheme being https or wss)? Then its request target. */
bool twilio_target(const struct twilio *t, const char *url, char *target, size_t len);
/* url made absolute against base. */
void twilio_absolute(const char *base, const char *url, char *out, size_t len);
struct sim_http_target twilio_peer(const struct twilio *t);
/* POST a form. done as in sim_http_fetch(). */
int twilio_post(struct twilio *t, const char *url, const cJSON *form, const char *signature,
		const char *headers,
		void (*done)(void *ctx, const struct sim_http_message *answer, const char *why),
		void *ctx);
void twilio_make_sid(char out[35], const char *prefix);

/* ---- twilio_call.c ---- */

struct call {
	struct call *next;
	struct twilio *t;
	char name[64], sid[35], from[64], to[64];
	const char *status; /* ringing, in-progress, completed, busy, no-answer */
	cJSON *options;     /* the command it was made by */
	char url[1024];     /* of the document that is being followed */
	struct sim_xml *document;
	const struct sim_xml *verb; /* to be followed next */
	bool first_verb, fetching, ended;
	int64_t begin_ns, answer_ns;
	struct sim_timer timer;
	struct stream *stream;
	int streams;
	int fetch_round; /* answers of older rounds are stale */
	struct encoded_voice *encoded; /* of a load: no events but complaints */
	cJSON *sums; /* stats of streams that ended */
};

int call_create(struct call **out, struct twilio *t, const cJSON *options);
void call_destroy(struct call *c);
struct call *call_find(struct twilio *t, const char *name);
struct call *call_by_sid(struct twilio *t, const char *sid);
/* Over, whoever ended it. */
void call_end(struct call *c, const char *reason, const char *status);
/* The stream is over: go on behind </Connect>. */
void call_stream_over(struct call *c);
/* New TwiML by REST: the current stream is torn down. Document or URL. */
const char *call_update(struct call *c, const char *twiml, const char *url);
cJSON *call_form(const struct call *c);

/* ---- twilio_stream.c ---- */

/* Open the stream of a <Stream> element. */
void stream_open(struct call *c, const struct sim_xml *element);
/* End it. how: "stop", "drop", "eof", "vanish". Calls call_stream_over() unless the call ends. */
void stream_end(struct stream *s, const char *how);
void stream_destroy(struct stream *s);
const char *stream_command(struct stream *s, const char *cmd, const cJSON *command, cJSON *answer);
/* Adds this stream's figures to sums (maxima are maximised). */
void stream_stats(struct stream *s, cJSON *sums);
struct encoded_voice *encoded_voice_create(struct sim_voice *v, int frames);
void encoded_voice_release(struct encoded_voice *e);
void stats_add(cJSON *sums, const cJSON *part);

/* ---- twilio_play.c ---- */

/* The far side's queue: played in order, in real time, never faster. */
struct play;

struct play *play_create(int64_t origin_ns, double ppm, int buffer_ms, bool record);
void play_destroy(struct play *p);
/* Audio that arrived. */
void play_put(struct play *p, int64_t now_ns, const uint8_t *ulaw, size_t n);
/* Drop what is queued. */
void play_clear(struct play *p, int64_t now_ns);
/* When everything queued so far will have been played. */
int64_t play_end_ns(const struct play *p, int64_t now_ns);
/* A frame that was said (for the recordings). */
void play_said(struct play *p, int64_t now_ns, const uint8_t *ulaw, size_t n);
void play_stats(const struct play *p, int64_t now_ns, cJSON *out);
/* Writes STEM.said.wav, .heard.wav, .played.wav, .json. */
int play_write(const struct play *p, const char *stem);

/* ---- twilio_rest.c ---- */
int rest_start(struct twilio *t, struct ssl_ctx_st *tls);

/* ---- twilio_hand.c ---- */
const char *hand_post(void *ctx, const cJSON *command, cJSON *answer);
const char *hand_open(void *ctx, const cJSON *command, cJSON *answer);
const char *hand_raw(void *ctx, const cJSON *command, cJSON *answer);
const char *hand_flood(void *ctx, const cJSON *command, cJSON *answer);
/* send, malformed, close on a socket opened by hand */
const char *hand_socket(struct twilio *t, const char *cmd, const cJSON *command, cJSON *answer);
/* Send the message a command describes ("text"/"hex", "binary"). */
const char *hand_send(struct sim_ws *ws, const cJSON *command);

/* ---- sim_twilio's load, in twilio_load.c ---- */
const char *load_start(void *ctx, const cJSON *command, cJSON *answer);
/* A call of the load ended. */
void load_call_ended(struct twilio *t, struct call *c, const char *reason);

#endif
