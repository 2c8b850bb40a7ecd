/* SPDX-License-Identifier: MIT
 *
 * api.h - the local API: what the two processes tell each other and the operator,
 * and its schema. HTTP and JSON over Unix sockets in LOOPLINE_RUNTIME_DIR:
 *
 *	curl --unix-socket /run/loopline/bridge.sock http://localhost/v1/state
 *
 * bridge.sock
 *	GET  /v1/state                      the snapshot (below), at this moment
 *	POST /v1/calls/{CallSid}/hangup     202 {}, 404 no such call
 *	WS   /v1/events                     the snapshot, then events
 * discord.sock
 *	GET  /v1/state
 *	POST /v1/lines/{n}/connect          202 {}, 404 no such line
 *	POST /v1/lines/{n}/disconnect       202 {}, 404 no such line
 *	WS   /v1/events                     the snapshot, then line.channel events
 *
 * Snapshot of both: {"type":"snapshot","boot":uuid,"seq":n,"lines":[...]}. `boot` is new with every
 * start of the process; `seq` is the number of the last event before the snapshot, so the first
 * event after it has seq + 1 and a gap means loss (the server closes a client that is too
 * slow rather than leave a gap). Events are objects with "type" and "seq".
 *
 * Lines of bridge.sock:
 *	{"line":0,"channel":{"state":"connected","channel_id":"123","why":""},
 *	 "calls":[{"id":"CA...","from":"+1...","to":"+1...","state":"live","since_ms":1700000000000}]}
 * Events of bridge.sock, all with "line" and "id":
 *	call.new          {"call":{...}}  came in, no sound yet
 *	call.live         {"call":{...}}  its stream is up (again)
 *	call.dtmf         {"digit":"5"}
 *	call.reattaching  {"call":{...}}  the stream broke, we wait for the next
 *	call.ended        {"reason":"hangup","duration_ms":61000}
 * From the Discord process, on the same WebSocket (the socket is the lease of what it says: closed
 * for more than 3 s means disconnected):
 *	{"type":"line.channel","line":0,"state":"connected","channel_id":"123","why":""}
 * Lines of discord.sock: {"line":0,"channel":{...}}; its events are line.channel with "seq".
 *
 * GET /v1/state has more than the snapshot: counters, and the delay budget, live. Each process shows
 * what it keeps the sound for, stage by stage in milliseconds; what is not known yet is null.
 * bridge.sock, "sound":[{"line":0,…,"calls":[{"id":"CA...",…,"gain_db":0,"budget":{
 *	"to_discord":{"framing_ms","network_jitter_ms","playout_ms","resampling_ms","mixing_ms",
 *		      "loopback_ms","sum_ms"},
 *	"to_phone":{"loopback_ms","resampling_ms","framing_ms","socket_ms","sum_ms"},
 *	"twilio_queue_ms":0.2,
 *	"discord":{…},"total":{"to_discord_ms":41.58,"to_phone_ms":45.14}}}]}]
 * discord.sock, "media":[{"line":0,…,"budget":{
 *	"to_discord":{"loopback_ms","framing_ms","encode_ms","sending_ms","sum_ms"},
 *	"to_phone":{"mixing_ms","loopback_ms","sum_ms"},
 *	"speakers":[{"user_id":"123","gain_db":0,"to_phone":{"framing_ms","network_jitter_ms","playout_ms",
 *						 "resampling_ms","sum_ms"}}]}}]
 * What we add from a caller to Discord is the sum of both `to_discord`; from a speaker to a caller that
 * of his `to_phone` and of both processes'. While there are calls, and the bridge is connected, the
 * Discord process says its budget every 5 s, which the bridge shows as `discord`, with the `total` (to
 * the phone: of the speaker who is delayed most); both are null when nothing has been heard for 15 s:
 *	{"type":"line.budget","line":0,"budget":{…}}
 * Time counts from when a piece of sound was spoken,
 * during the time that it lasts before it is sent, to when the end of the piece that it leaves in is
 * sent. framing: a piece that came is played out in real time (its own length), or the end of one that
 * leaves waits for the wake in which it is found. network_jitter: what playout waits because
 * arrivals vary (their 99th percentile over the least delayed one); playout: the rest of its delay.
 * mixing: the mix period, and how late its wake is. loopback: what is queued in front of what is
 * written; the age of what is read. encode: the encoder's look-ahead. sending: from the wake to
 * when the packet has left. socket: what the stream's socket has not taken. twilio_queue: by marks,
 * apart from the sum because the network's jitter is in it; not known before one has come back. While a
 * call re-attaches, it has neither.
 *
 * Ids are strings. Unknown fields are ignored, unknown types of event too. since_ms is wall time in
 * milliseconds since 1970 when the call came in. Errors of HTTP: {"error":"a sentence"}.
 */
#ifndef COMMON_API_H
#define COMMON_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/json.h"

/* ---- schema ------------------------------------------------------------------------- */

#define API_ID_MAX 64 /* a call's id (CallSid: 34) */
#define API_NUMBER_MAX \
	64 /* a caller's number; SIP addresses are longer and are cut by the bridge */
#define API_WHY_MAX    160 /* a sentence */
#define API_REASON_MAX 64

enum api_channel_state {
	API_CHANNEL_DISCONNECTED,
	API_CHANNEL_CONNECTING,
	API_CHANNEL_CONNECTED,
	API_CHANNEL_FAILED,
};

struct api_channel {
	int line; /* in line.channel; inside a line of a snapshot it is that line's number */
	enum api_channel_state state;
	uint64_t channel_id; /* 0: none (encoded as null) */
	char why[API_WHY_MAX];
};

enum api_call_state {
	API_CALL_NEW,
	API_CALL_LIVE,
	API_CALL_REATTACHING,
	API_CALL_ENDED, /* never in a snapshot */
};

struct api_call {
	char id[API_ID_MAX];
	char from[API_NUMBER_MAX];
	char to[API_NUMBER_MAX];
	enum api_call_state state;
	int64_t since_ms; /* wall clock */
};

struct api_line {
	int line;
	struct api_channel channel;
	struct api_call *calls; /* owned by the snapshot when decoded */
	size_t call_count;
};

struct api_snapshot {
	char boot[37];
	uint64_t seq;
	struct api_line *lines;
	size_t line_count;
};

enum api_event_type {
	API_EVENT_CALL_NEW,
	API_EVENT_CALL_LIVE,
	API_EVENT_CALL_DTMF,
	API_EVENT_CALL_REATTACHING,
	API_EVENT_CALL_ENDED,
	API_EVENT_LINE_CHANNEL,
	API_EVENT_UNKNOWN, /* decoded only: ignore it */
};

struct api_event {
	enum api_event_type type;
	uint64_t seq; /* filled in by api_server_publish() */
	int line;
	struct api_call call;        /* new, live, reattaching: all of it; dtmf, ended: id only */
	char digit;                  /* dtmf: 0-9 * # A-D */
	char reason[API_REASON_MAX]; /* ended */
	int64_t duration_ms;         /* ended */
	struct api_channel channel;  /* line.channel */
};

const char *api_channel_state_name(enum api_channel_state state);
const char *api_event_type_name(enum api_event_type type);

/* Encoders write complete values; name as in json.h. `with_calls` false: a line of discord.sock. */
void api_line_encode(struct json_writer *w, const char *name, const struct api_line *line,
		     bool with_calls);
void api_event_encode(struct json_writer *w, const struct api_event *event);
/* The message from the Discord process to bridge.sock: line.channel without seq. */
void api_channel_encode(struct json_writer *w, const struct api_channel *channel);

/*
 * Decoders. False when a field is missing or wrong (at->doc->error says which). Text longer than
 * its field is an error. An unknown event type is API_EVENT_UNKNOWN and true.
 */
bool api_snapshot_decode(const struct json_at *root, struct api_snapshot *out);
void api_snapshot_free(struct api_snapshot *snapshot);
bool api_event_decode(const struct json_at *root, struct api_event *out);
/* A line.budget message; *budget is the object in it, whatever that has. */
bool api_budget_decode(const struct json_at *root, int *line, struct json_at *budget);
/* A line.channel message, with or without seq. */
bool api_channel_decode(const struct json_at *root, struct api_channel *out);

/* ---- server ------------------------------------------------------------------------- */

struct loop;
struct api_server;

/* One HTTP request; valid inside the handler, which must answer before it returns. */
struct api_request {
	const char *method;
	const char *path;
	const char *param;          /* what stood for {} in the route; "" if the route has none */
	const struct json_at *body; /* NULL without body; the root value otherwise */
	uid_t uid;                  /* of the peer, (uid_t)-1 if unknown */
	struct api_reply *reply;    /* for the functions below */
};

/* Exactly one of them. json is a complete value. */
void api_reply_json(struct api_request *request, int status, const char *json);
void api_reply_error(struct api_request *request, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct api_route {
	const char *method;  /* "GET", "POST" */
	const char *pattern; /* "/v1/calls/{}/hangup": {} is one segment, percent-decoded */
	void (*handle)(void *user, struct api_request *request);
};

struct api_server_config {
	const char *path; /* of the socket; at most 107 bytes */
	const struct api_route
		*routes; /* besides GET /v1/state and WS /v1/events, which are built in */
	size_t route_count;
	/* Writes the members of the snapshot behind type, boot and seq: at least "lines". */
	void (*snapshot)(void *user, struct json_writer *w);
	/* Further members of GET /v1/state (metrics); may be NULL. */
	void (*state)(void *user, struct json_writer *w);
	/* A message on /v1/events; client names the connection. NULL: messages are refused. */
	void (*on_message)(void *user, uint64_t client, uid_t uid, const struct json_at *root);
	/* A connection of /v1/events is gone. May be NULL. */
	void (*on_gone)(void *user, uint64_t client);
	void *user;
	int max_clients;          /* of /v1/events; 0: 32 */
	size_t max_queue_bytes;   /* per client, then it is dropped; 0: 256 KiB */
	size_t max_message_bytes; /* of bodies and messages; 0: 16 KiB */
};

/*
 * Listens. The folder is made if missing (mode 2750). An existing socket is removed only when
 * connecting to it is refused, else -EADDRINUSE. The socket gets mode 0660 and group
 * loopline where that group exists and we may. Each POST and each line.channel is logged with
 * the peer's uid. Strings are copied, routes are not. -EADDRINUSE, -ENAMETOOLONG, -errno.
 */
int api_server_create(struct api_server **out, struct loop *loop,
		      const struct api_server_config *config);
/* Closes the socket and all clients (without on_gone), removes the socket file. */
void api_server_destroy(struct api_server *server);
const char *api_server_boot(const struct api_server *server);

/* Numbers the event (event->seq is set) and queues it for every client. Loop thread. */
void api_server_publish(struct api_server *server, struct api_event *event);

/* ---- client ------------------------------------------------------------------------- */

struct api_client;

struct api_client_config {
	const char *path; /* of the other process's socket */
	/* Connected (again): everything said before is void. */
	void (*on_snapshot)(void *user, const struct api_snapshot *snapshot);
	void (*on_event)(void *user, const struct api_event *event);
	/* The connection is gone; told once, until the next snapshot. why is for the log. */
	void (*on_lost)(void *user, const char *why);
	void *user;
};

/*
 * Follows /v1/events of a server that may come and go: retries at 100 ms .. 2 s with jitter for
 * ever. A gap in seq or a message that does not decode closes and resynchronises by a new snapshot.
 */
int api_client_create(struct api_client **out, struct loop *loop,
		      const struct api_client_config *config);
void api_client_destroy(struct api_client *client);
bool api_client_connected(const struct api_client *client); /* a snapshot came and the line is up */
/* Sends a line.channel. -ENOTCONN (say it again after the next snapshot), -ENOBUFS. */
int api_client_send_channel(struct api_client *client, const struct api_channel *channel);
/* Sends a line.budget: `write` adds the member "budget". Likewise. */
int api_client_send_budget(struct api_client *client, int line,
			   void (*write)(const void *ctx, struct json_writer *w), const void *ctx);

#endif
