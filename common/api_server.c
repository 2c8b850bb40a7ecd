/* SPDX-License-Identifier: MIT
 *
 * api_server.c - HTTP (api_http.c) and WebSocket on the Unix socket, by libwebsockets; fan-out of
 * events.
 *
 * We accept ourselves (SO_PEERCRED, bounds) and hand the connection to a vhost. A connection finds
 * its state by its opaque pointer; without one it closes itself.
 */
#include "common/api_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

#define DEFAULT_CLIENTS       32
#define DEFAULT_QUEUE_BYTES   ((size_t)256 << 10)
#define DEFAULT_MESSAGE_BYTES ((size_t)16 << 10)
#define SPARE_CONNECTIONS     16 /* plain HTTP beside the followers */
#define ACCEPTS_A_TURN        16
#define ACCEPT_PAUSE_MS       1000

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
	struct strbuf text = STRBUF_INIT(API_STATE_BYTES);
	int err = api_write_snapshot(s, &text, false);

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
	char path[API_PATH_BYTES];

	if (lws_hdr_copy(c->wsi, path, sizeof(path), WSI_TOKEN_GET_URI) < 0 ||
	    strcmp(path, API_EVENTS_PATH) != 0)
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
		return api_http_begin(c);
	case LWS_CALLBACK_HTTP_BODY:
		return api_http_body(c, in, len);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return api_http_complete(c);
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
	struct strbuf text = STRBUF_INIT(API_EVENT_BYTES);
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
