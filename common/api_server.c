/* SPDX-License-Identifier: MIT
 *
 * api_server.c - HTTP and WebSocket on the Unix socket, by libwebsockets; routes; fan-out of
 * events.
 *
 * We accept ourselves (SO_PEERCRED, bounds) and hand the connection to a vhost. A connection finds
 * its state by its opaque pointer; without one it closes itself.
 */
#include <errno.h>
#include <libwebsockets.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/api.h"
#include "common/api_listen.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"

#define DEFAULT_CLIENTS       32
#define DEFAULT_QUEUE_BYTES   ((size_t)256 << 10)
#define DEFAULT_MESSAGE_BYTES ((size_t)16 << 10)
#define STATE_BYTES           ((size_t)4 << 20)
#define EVENT_BYTES           4096
#define SPARE_CONNECTIONS     16 /* plain HTTP beside the followers */
#define ACCEPTS_A_TURN        16
#define ACCEPT_PAUSE_MS       1000
#define PATH_BYTES            256
#define EVENTS_PATH           "/v1/events"
#define STATE_PATH            "/v1/state"

struct message {
	struct message *next;
	size_t len;
	uint8_t data[]; /* LWS_PRE, then the text */
};

struct connection {
	struct loop_socket socket; /* first: what the vhost's protocol goes by */
	struct connection *prev, *next;
	struct api_server *server;
	struct lws *wsi;
	uint64_t id;
	uid_t uid;
	bool following; /* a WebSocket */
	bool doomed;    /* too slow: it closes at the next turn */
	bool post;
	char path[PATH_BYTES];
	struct strbuf in;
	struct message *first, **last;
	size_t queued_bytes;
};

struct api_reply {
	int status;
	struct strbuf body;
};

struct api_server {
	struct loop *loop;
	struct api_server_config config;
	struct api_socket socket;
	struct lws_vhost *vhost;
	struct loop_watch *watch;
	struct loop_timer pause;
	struct connection *connections;
	int connection_count, follower_count;
	uint64_t next_id;
	uint64_t seq;
	char boot[UUID_LEN + 1];
};

/* ---- connections --------------------------------------------------------------------- */

/* Forgets the connection: frees its state and unhooks it from libwebsockets. */
static void connection_free(struct connection *c)
{
	struct api_server *s = c->server;

	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->connection_count--;
	if (c->following)
		s->follower_count--;
	if (c->wsi)
		lws_set_opaque_user_data(c->wsi, NULL);
	while (c->first) {
		struct message *m = c->first;

		c->first = m->next;
		free(m);
	}
	strbuf_free(&c->in);
	free(c);
}

/* The WebSocket of a follower is over. */
static void follower_gone(struct connection *c)
{
	struct api_server *s = c->server;
	uint64_t id = c->id;

	connection_free(c);
	if (s->config.on_gone)
		s->config.on_gone(s->config.user, id);
}

static lws_callback_function callback;

static void adopt(struct api_server *s, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct lws *wsi;

	if (!c || s->connection_count >= s->config.max_clients + SPARE_CONNECTIONS) {
		static struct log_rate rate;

		log_rated(&rate, 10000, LOG_LEVEL_WARN,
			  "local API has too many connections, one more was refused uid=%d",
			  (int)api_peer_uid(fd));
		free(c);
		close(fd);
		return;
	}
	c->server = s;
	c->id = ++s->next_id;
	c->uid = api_peer_uid(fd);
	c->last = &c->first;
	strbuf_init(&c->in, s->config.max_message_bytes);
	/* Closes fd when it fails. */
	wsi = lws_adopt_socket_vhost(s->vhost, fd);
	if (!wsi) {
		strbuf_free(&c->in);
		free(c);
		return;
	}
	c->wsi = wsi;
	c->socket.callback = callback;
	lws_set_opaque_user_data(wsi, c);
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->connection_count++;
}

static void accept_again(void *arg)
{
	struct api_server *s = arg;

	loop_watch_change(s->watch, EPOLLIN);
}

static void on_accept(void *arg, uint32_t events)
{
	struct api_server *s = arg;

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(s->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			adopt(s, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* Out of descriptors: the watch is level-triggered and would spin. */
		log_error("local API cannot accept a connection error=%s",
			  log_quote(strerror(errno)));
		loop_watch_change(s->watch, 0);
		loop_timer_set(s->loop, &s->pause, ACCEPT_PAUSE_MS, accept_again, s);
		return;
	}
}

/* ---- HTTP ---------------------------------------------------------------------------- */

static const char *after_prefix(const char *path, const char *pattern, size_t len)
{
	return strncmp(path, pattern, len) ? NULL : path + len;
}

/* "/v1/calls/{}/hangup" against a path; param gets what stands for {}. */
static bool route_matches(const char *pattern, const char *path, char *param, size_t size)
{
	const char *hole = strstr(pattern, "{}"), *rest;
	size_t len;

	param[0] = '\0';
	if (!hole)
		return !strcmp(pattern, path);
	rest = after_prefix(path, pattern, (size_t)(hole - pattern));
	if (!rest)
		return false;
	len = strcspn(rest, "/");
	if (!len || len >= size || strcmp(rest + len, hole + 2) != 0)
		return false;
	memcpy(param, rest, len);
	param[len] = '\0';
	return true;
}

void api_reply_json(struct api_request *request, int status, const char *json)
{
	request->reply->status = status;
	strbuf_reset(&request->reply->body);
	strbuf_str(&request->reply->body, json);
}

void api_reply_error(struct api_request *request, int status, const char *format, ...)
{
	struct json_writer w;
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	request->reply->status = status;
	strbuf_reset(&request->reply->body);
	json_begin(&w, &request->reply->body);
	json_w_obj(&w, NULL);
	json_w_str(&w, "error", text);
	json_w_end(&w);
}

/* The snapshot, for followers and for GET /v1/state (which has more members). */
static int write_snapshot(struct api_server *s, struct strbuf *out, bool state)
{
	struct json_writer w;

	json_begin(&w, out);
	json_w_obj(&w, NULL);
	json_w_str(&w, "type", "snapshot");
	json_w_str(&w, "boot", s->boot);
	json_w_int(&w, "seq", (int64_t)s->seq);
	s->config.snapshot(s->config.user, &w);
	if (state && s->config.state)
		s->config.state(s->config.user, &w);
	json_w_end(&w);
	return json_finish(&w);
}

static void handle_route(struct connection *c, struct api_request *request)
{
	struct api_server *s = c->server;
	bool known = !strcmp(request->path, STATE_PATH) || !strcmp(request->path, EVENTS_PATH);
	char param[PATH_BYTES];

	if (!strcmp(request->path, STATE_PATH) && !c->post) {
		if (write_snapshot(s, &request->reply->body, true) < 0)
			api_reply_error(request, 500, "the state cannot be written");
		else
			request->reply->status = 200;
		return;
	}
	if (!strcmp(request->path, EVENTS_PATH) && !c->post) {
		api_reply_error(request, 426, "%s is a WebSocket", EVENTS_PATH);
		return;
	}
	for (size_t i = 0; i < s->config.route_count; i++) {
		const struct api_route *route = &s->config.routes[i];

		if (!route_matches(route->pattern, request->path, param, sizeof(param)))
			continue;
		known = true;
		if (strcmp(route->method, request->method) != 0)
			continue;
		request->param = param;
		if (c->post)
			log_info("local API request path=%s uid=%d", log_quote(request->path),
				 (int)request->uid);
		route->handle(s->config.user, request);
		if (!request->reply->status)
			api_reply_error(request, 500, "no answer");
		return;
	}
	api_reply_error(request, known ? 405 : 404, "%s", known ? "wrong method" : "no such path");
}

/* Writes the answer. Always -1: one request a connection, closed when it is out. */
static int send_reply(struct connection *c, struct api_reply *reply)
{
	unsigned char head[LWS_PRE + 512], *p = head + LWS_PRE, *end = head + sizeof(head) - 1;
	struct lws *wsi = c->wsi;
	unsigned char *body;
	size_t len;

	strbuf_char(&reply->body, '\n'); /* for people with curl */
	len = reply->body.len;
	body = malloc(LWS_PRE + len);
	if (!body || reply->body.error)
		goto out;
	memcpy(body + LWS_PRE, reply->body.data, len);
	if (lws_add_http_header_status(wsi, (unsigned)reply->status, &p, end) ||
	    lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
					 (const unsigned char *)"application/json", 16, &p, end) ||
	    lws_add_http_header_by_token(wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)"close",
					 5, &p, end) ||
	    lws_add_http_header_content_length(wsi, len, &p, end) ||
	    lws_finalize_http_header(wsi, &p, end))
		goto out;
	if (lws_write(wsi, head + LWS_PRE, (size_t)(p - head) - LWS_PRE, LWS_WRITE_HTTP_HEADERS) >=
	    0)
		/* What the socket does not take at once libwebsockets keeps and flushes before it
		 * closes. */
		lws_write(wsi, body + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
out:
	free(body);
	return -1;
}

/* The request is complete (a POST with its body). */
static int handle_request(struct connection *c)
{
	struct api_reply reply = {.body = STRBUF_INIT(STATE_BYTES + 1)};
	struct api_request request = {
		.method = c->post ? "POST" : "GET",
		.path = c->path,
		.param = "",
		.uid = c->uid,
		.reply = &reply,
	};
	struct json_limits limits = {.max_bytes = c->in.max, .max_depth = 8};
	struct json_doc doc;
	struct json_at root;
	int result;

	if (c->in.error) {
		api_reply_error(&request, 413, "a body of more than %zu bytes", c->in.max);
	} else if (c->in.len) {
		if (json_parse(&doc, strbuf_text(&c->in), c->in.len, &limits) < 0) {
			api_reply_error(&request, 400, "the body is %s", doc.error);
		} else {
			root = json_root(&doc);
			request.body = &root;
			handle_route(c, &request);
			if (doc.error[0] && reply.status < 400)
				api_reply_error(&request, 400, "%s", doc.error);
		}
		json_free(&doc);
	} else {
		handle_route(c, &request);
	}
	result = send_reply(c, &reply);
	strbuf_free(&reply.body);
	return result;
}

static int refuse(struct connection *c, int status, const char *why)
{
	struct api_reply reply = {.body = STRBUF_INIT(EVENT_BYTES)};
	struct api_request request = {.reply = &reply};

	api_reply_error(&request, status, "%s", why);
	send_reply(c, &reply);
	strbuf_free(&reply.body);
	return -1;
}

/* The head of a request is there. */
static int on_http(struct connection *c)
{
	struct lws *wsi = c->wsi;
	bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;

	c->post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
	if (!get && !c->post)
		return refuse(c, 405, "only GET and POST");
	if (lws_hdr_copy(wsi, c->path, sizeof(c->path),
			 c->post ? WSI_TOKEN_POST_URI : WSI_TOKEN_GET_URI) < 0)
		return refuse(c, 414, "the path is too long");
	strbuf_reset(&c->in);
	/* libwebsockets 4.1.6 reads no chunked bodies, and waits for a body that has no length. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
		return refuse(c, 411, "a body needs a Content-Length");
	if (c->post && lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0)
		return 0; /* the body follows, also if it is empty */
	return handle_request(c);
}

/* ---- followers ----------------------------------------------------------------------- */

static void doom(struct connection *c, const char *why)
{
	if (c->doomed)
		return;
	c->doomed = true;
	log_warn("local API drops a client why=%s uid=%d", log_quote(why), (int)c->uid);
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

static void enqueue(struct connection *c, const char *text, size_t len)
{
	struct message *m = malloc(sizeof(*m) + LWS_PRE + len);

	if (!m) {
		doom(c, "out of memory");
		return;
	}
	m->next = NULL;
	m->len = len;
	memcpy(m->data + LWS_PRE, text, len);
	*c->last = m;
	c->last = &m->next;
	c->queued_bytes += len;
	lws_callback_on_writable(c->wsi);
}

static int on_established(struct connection *c)
{
	struct api_server *s = c->server;
	struct strbuf text = STRBUF_INIT(STATE_BYTES);
	int err = write_snapshot(s, &text, false);

	c->following = true;
	s->follower_count++;
	if (!err)
		enqueue(c, strbuf_text(&text), text.len);
	else
		log_error("local API cannot write its snapshot error=%s",
			  log_quote(strerror(-err)));
	strbuf_free(&text);
	/* The snapshot is not counted: how long it is is not the client's fault. */
	c->queued_bytes = 0;
	return err ? -1 : 0;
}

static int on_writable(struct connection *c)
{
	struct message *m = c->first;

	if (c->doomed)
		return -1;
	if (!m)
		return 0;
	/* libwebsockets 4.1 would take a second write into unbounded memory. */
	if (lws_partial_buffered(c->wsi)) {
		lws_callback_on_writable(c->wsi);
		return 0;
	}
	if (lws_write(c->wsi, m->data + LWS_PRE, m->len, LWS_WRITE_TEXT) < 0)
		return -1;
	c->first = m->next;
	if (!c->first)
		c->last = &c->first;
	c->queued_bytes -= m->len < c->queued_bytes ? m->len : c->queued_bytes;
	free(m);
	if (c->first)
		lws_callback_on_writable(c->wsi);
	return 0;
}

static int close_with(struct connection *c, enum lws_close_status code, const char *why)
{
	char reason[124];

	log_warn("local API closes a client why=%s uid=%d", log_quote(why), (int)c->uid);
	snprintf(reason, sizeof(reason), "%s", why);
	lws_close_reason(c->wsi, code, (unsigned char *)reason, strlen(reason));
	return -1;
}

static int on_message(struct connection *c)
{
	struct json_limits limits = {.max_bytes = c->in.max, .max_depth = 8};
	struct api_server *s = c->server;
	struct json_doc doc;
	struct json_at root;
	const char *type = "";
	int result = 0;

	if (!s->config.on_message)
		return close_with(c, LWS_CLOSE_STATUS_POLICY_VIOLATION,
				  "messages are not expected");
	if (json_parse(&doc, strbuf_text(&c->in), c->in.len, &limits) < 0) {
		result = close_with(c, LWS_CLOSE_STATUS_INVALID_PAYLOAD, doc.error);
		json_free(&doc);
		return result;
	}
	root = json_root(&doc);
	json_opt_str(&root, "type", &type);
	/* what changes something is told; a figure that comes every few seconds is not */
	log_write(strcmp(type, "line.budget") ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
		  "local API message type=%s uid=%d", log_quote(type), (int)c->uid);
	if (!doc.error[0])
		s->config.on_message(s->config.user, c->id, c->uid, &root);
	if (doc.error[0])
		result = close_with(c, LWS_CLOSE_STATUS_POLICY_VIOLATION, doc.error);
	json_free(&doc);
	return result;
}

static int on_receive(struct connection *c, const void *data, size_t len)
{
	struct lws *wsi = c->wsi;
	int result;

	if (lws_is_first_fragment(wsi))
		strbuf_reset(&c->in);
	strbuf_add(&c->in, data, len);
	if (c->in.error)
		return close_with(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too long");
	if (!lws_is_final_fragment(wsi))
		return 0;
	if (lws_frame_is_binary(wsi))
		return close_with(c, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "expected text");
	result = on_message(c);
	/* The process may have destroyed the server in there. */
	if (!lws_get_opaque_user_data(wsi))
		return -1;
	strbuf_reset(&c->in);
	return result;
}

static int on_upgrade(struct connection *c)
{
	struct api_server *s = c->server;
	char path[PATH_BYTES];

	if (lws_hdr_copy(c->wsi, path, sizeof(path), WSI_TOKEN_GET_URI) < 0 ||
	    strcmp(path, EVENTS_PATH) != 0)
		return -1;
	if (s->follower_count >= s->config.max_clients) {
		log_warn("local API has too many clients, one more was refused uid=%d",
			 (int)c->uid);
		return -1;
	}
	return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct connection *c = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_http(c);
	case LWS_CALLBACK_HTTP_BODY:
		strbuf_add(&c->in, in, len);
		return c->in.error ? handle_request(c) : 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return handle_request(c);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return on_upgrade(c);
	case LWS_CALLBACK_ESTABLISHED:
		return on_established(c);
	case LWS_CALLBACK_RECEIVE:
		return on_receive(c, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return on_writable(c);
	case LWS_CALLBACK_CLOSED:
		if (c->following)
			follower_gone(c);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		connection_free(c);
		return 0;
	default:
		return 0;
	}
}

/* ---- the server ---------------------------------------------------------------------- */

void api_server_publish(struct api_server *s, struct api_event *event)
{
	struct strbuf text = STRBUF_INIT(EVENT_BYTES);
	struct json_writer w;
	int err;

	event->seq = ++s->seq;
	json_begin(&w, &text);
	api_event_encode(&w, event);
	err = json_finish(&w);
	for (struct connection *c = s->connections; c; c = c->next) {
		if (!c->following || c->doomed)
			continue;
		if (err)
			doom(c, "an event could not be written");
		else if (c->queued_bytes + text.len > s->config.max_queue_bytes)
			doom(c, "it does not read its events");
		else
			enqueue(c, strbuf_text(&text), text.len);
	}
	strbuf_free(&text);
}

const char *api_server_boot(const struct api_server *s)
{
	return s->boot;
}

int api_server_create(struct api_server **out, struct loop *loop,
		      const struct api_server_config *config)
{
	struct api_server *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->config = *config;
	if (!s->config.max_clients)
		s->config.max_clients = DEFAULT_CLIENTS;
	if (!s->config.max_queue_bytes)
		s->config.max_queue_bytes = DEFAULT_QUEUE_BYTES;
	if (!s->config.max_message_bytes)
		s->config.max_message_bytes = DEFAULT_MESSAGE_BYTES;
	uuid_v4(s->boot);
	err = api_listen(&s->socket, config->path);
	s->config.path = s->socket.path;
	if (!err) {
		s->vhost = loop_server_vhost(loop);
		if (!s->vhost)
			err = -ENOMEM;
	}
	if (!err)
		err = loop_watch_add(loop, &s->watch, s->socket.fd, EPOLLIN, on_accept, s);
	if (err) {
		api_server_destroy(s);
		return err;
	}
	*out = s;
	return 0;
}

void api_server_destroy(struct api_server *s)
{
	struct connection *next;

	if (!s)
		return;
	loop_timer_cancel(&s->pause);
	loop_watch_remove(s->watch);
	api_unlisten(&s->socket);
	for (struct connection *c = s->connections; c; c = next) {
		next = c->next;
		lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
		connection_free(c);
	}
	free(s);
}
