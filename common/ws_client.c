/* SPDX-License-Identifier: MIT
 *
 * ws_client.c - one WebSocket connection as a client, over libwebsockets 4.1.6.
 *
 * The connection (wsi) and the client live and die apart: the wsi finds its client by its opaque
 * pointer, which is cleared when they part, and a wsi without a client closes itself. A failure to
 * connect may be told by CLIENT_CONNECTION_ERROR (in 4.3 by CLOSED_CLIENT_HTTP as well) from inside
 * lws_client_connect_via_info(), later, or only by its NULL; after any of them the wsi pointer is
 * dead.
 */
#include "common/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/encode.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/loop_internal.h"
#include "common/strbuf.h"
#include "common/unix_probe.h"
#include "common/url.h"

#define DEFAULT_MESSAGE_BYTES      ((size_t)1 << 20)
#define DEFAULT_QUEUE_BYTES        ((size_t)256 << 10)
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_PING_S             20
#define HANGUP_AFTER_PING_S        10
#define CLOSE_TIMEOUT_MS           3000
#define REASON_MAX                 123

enum state {
	LOOKING_UP,
	CONNECTING,
	OPEN,
	CLOSING, /* we want to close; the queue is written first */
	ENDED,
};

struct message {
	struct message *next;
	size_t len;
	bool binary;
	uint8_t data[]; /* LWS_PRE bytes, then the message */
};

struct ws_client {
	struct loop *loop;
	struct http_client *resolver;
	struct url url;
	char *unix_path;
	char *ca_file;
	char *user_agent;
	void (*on_open)(void *user);
	void (*on_message)(void *user, const uint8_t *data, size_t len, bool binary);
	void (*on_close)(void *user, const struct ws_close *close);
	void *user;
	size_t max_queue_bytes;
	int connect_timeout_ms;
	const lws_retry_bo_t *policy;

	enum state state;
	struct lws *wsi;
	bool inside_connect; /* lws_client_connect_via_info() is on the stack */
	bool connect_failed; /* told inside it */
	uint64_t lookup;     /* id, 0: none */
	struct unix_probe *probe;
	struct http_addresses addresses;
	int next_address;
	struct loop_timer timer; /* start, then connect time-out, then close time-out */

	struct message *first, **last;
	size_t queued_bytes;
	struct strbuf in; /* the message being received */
	bool in_binary;
	int close_code; /* ours */
	char close_reason[REASON_MAX + 1];
	struct ws_close result;
};

static void connect_next(struct ws_client *c);

static void set_error(struct ws_client *c, const char *what, const char *detail)
{
	if (!c->result.error[0])
		snprintf(c->result.error, sizeof(c->result.error), "%s%s%s", what,
			 detail && *detail ? ": " : "", detail ? detail : "");
}

/* Parts from the connection, which then closes by itself. */
static void drop_wsi(struct ws_client *c)
{
	if (!c->wsi)
		return;
	lws_set_opaque_user_data(c->wsi, NULL);
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
	c->wsi = NULL;
}

static void free_queue(struct ws_client *c)
{
	while (c->first) {
		struct message *m = c->first;

		c->first = m->next;
		free(m);
	}
	c->last = &c->first;
	c->queued_bytes = 0;
}

static void look_up_cancel(struct ws_client *c)
{
	if (c->lookup)
		http_cancel(c->resolver, c->lookup);
	c->lookup = 0;
	unix_probe_cancel(c->probe);
	c->probe = NULL;
}

/* The end; c may be gone afterwards. */
static void finish(struct ws_client *c)
{
	if (c->state == ENDED)
		return;
	c->state = ENDED;
	loop_timer_cancel(&c->timer);
	look_up_cancel(c);
	drop_wsi(c);
	free_queue(c);
	c->on_close(c->user, &c->result);
}

static void on_connect_timeout(void *arg)
{
	struct ws_client *c = arg;

	set_error(c, "no connection in time", NULL);
	finish(c);
}

static void on_close_timeout(void *arg)
{
	struct ws_client *c = arg;

	set_error(c, "the peer did not answer our close", NULL);
	finish(c);
}

/* ---- connecting ---------------------------------------------------------------------- */

/* From lws_client_connect_via_info() or later: this attempt failed, try the next address. */
static void attempt_failed(struct ws_client *c, const char *why)
{
	c->wsi = NULL;
	snprintf(c->result.error, sizeof(c->result.error), "connect: %s", why);
	if (c->inside_connect) {
		c->connect_failed = true;
		return;
	}
	if (c->result.http_status) {
		/* It was the right place and it refused: other addresses are no better. */
		finish(c);
		return;
	}
	connect_next(c);
}

static void connect_to(struct ws_client *c, const char *address, int port)
{
	struct lws_client_connect_info info = {0};
	char host[300], path[sizeof(c->url.path) + sizeof(c->url.query) + 2];
	bool tls = c->url.tls && !c->unix_path;
	struct lws *wsi = NULL;

	info.context = loop_lws(c->loop);
	info.vhost = tls ? loop_client_vhost(c->loop, c->ca_file) : loop_clear_vhost(c->loop);
	if (!info.vhost) {
		snprintf(c->result.error, sizeof(c->result.error), "no TLS client (see CA_FILE)");
		c->connect_failed = true;
		return;
	}
	/*
	 * For the Host header, SNI and the name that the certificate must bear. libwebsockets 4.1
	 * cuts it at the first colon for the latter two, so an IPv6 literal cannot be verified.
	 */
	if (c->unix_path)
		snprintf(host, sizeof(host), "localhost");
	else if (c->url.ipv6)
		snprintf(host, sizeof(host), "[%s]:%d", c->url.host, c->url.port);
	else if (c->url.port == (c->url.tls ? 443 : 80))
		snprintf(host, sizeof(host), "%s", c->url.host);
	else
		snprintf(host, sizeof(host), "%s:%d", c->url.host, c->url.port);
	snprintf(path, sizeof(path), "%s%s%s", c->url.path[0] ? c->url.path : "/",
		 c->url.query[0] ? "?" : "", c->url.query);
	info.address = address;
	info.port = port;
	info.host = host;
	info.path = path;
	info.alpn = LOOP_ALPN;
	info.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
	if (tls)
		info.ssl_connection |= LCCSCF_USE_SSL;
	info.local_protocol_name = WS_CLIENT_LWS_PROTOCOL;
	info.ietf_version_or_minus_one = -1;
	info.opaque_user_data = c;
	info.retry_and_idle_policy = c->policy;
	info.pwsi = &wsi;

	c->connect_failed = false;
	c->inside_connect = true;
	/* Its own pointer: by the time the call returns, callbacks may have cleared c->wsi. */
	if (!lws_client_connect_via_info(&info) || c->connect_failed) {
		if (!c->result.error[0] && !c->connect_failed)
			snprintf(c->result.error, sizeof(c->result.error), "connect: failed");
		c->connect_failed = true;
	} else {
		c->wsi = wsi;
	}
	c->inside_connect = false;
}

static void connect_next(struct ws_client *c)
{
	char address[300];

	for (;;) {
		if (c->unix_path) {
			if (c->next_address++)
				break;
			snprintf(address, sizeof(address), "+%s", c->unix_path);
			connect_to(c, address, 0);
		} else {
			if (c->next_address >= c->addresses.count)
				break;
			connect_to(c, c->addresses.address[c->next_address++].text, c->url.port);
		}
		if (!c->connect_failed)
			return;
	}
	if (!c->result.error[0])
		set_error(c, "connect: no address", NULL);
	finish(c);
}

static void on_addresses(void *arg, const struct http_addresses *addresses)
{
	struct ws_client *c = arg;

	c->lookup = 0;
	if (addresses->error) {
		set_error(c, "look-up", addresses->error_text);
		finish(c);
		return;
	}
	c->addresses = *addresses;
	c->state = CONNECTING;
	connect_next(c);
}

static void on_probed(void *arg, int err)
{
	struct ws_client *c = arg;

	c->probe = NULL;
	if (err) {
		set_error(c, "connect", strerror(-err));
		finish(c);
		return;
	}
	c->state = CONNECTING;
	connect_next(c);
}

/* First turn of the loop after ws_client_open(), so that no callback runs inside that. */
static void start(void *arg)
{
	struct ws_client *c = arg;
	struct in6_addr any;
	int err;

	loop_timer_set(c->loop, &c->timer, c->connect_timeout_ms, on_connect_timeout, c);
	if (c->unix_path) {
		err = unix_probe_start(&c->probe, c->loop, c->unix_path, on_probed, c);
		if (err)
			on_probed(c, err);
		return;
	}
	if (inet_pton(AF_INET, c->url.host, &any) == 1 || c->url.ipv6) {
		c->addresses.count = 1;
		snprintf(c->addresses.address[0].text, sizeof(c->addresses.address[0].text),
			 "%.47s", c->url.host);
		c->state = CONNECTING;
		connect_next(c);
		return;
	}
	err = c->resolver ? http_resolve(c->resolver, c->url.host, c->url.port, on_addresses, c,
					 &c->lookup)
			  : -EINVAL;
	if (err) {
		set_error(c, "look-up", c->resolver ? strerror(-err) : "no resolver was given");
		finish(c);
	}
}

int ws_client_open(struct ws_client **out, const struct ws_client_config *config)
{
	struct ws_client *c;
	const char *why = "";
	int ping_s = config->ping_s ? config->ping_s : DEFAULT_PING_S;

	*out = NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (url_parse(&c->url, config->url, &why) < 0) {
		log_error("WebSocket address is wrong url=%s expected=%s", log_quote(config->url),
			  log_quote(why));
		free(c);
		return -EINVAL;
	}
	if (strncmp(c->url.scheme, "ws", 2) != 0 ||
	    (!config->unix_path && !c->url.tls && !c->url.loopback)) {
		log_error("WebSocket address must be wss://, or ws:// to a loopback host url=%s",
			  log_quote(config->url));
		free(c);
		return -EINVAL;
	}
	c->loop = config->loop;
	c->resolver = config->resolver;
	c->on_open = config->on_open;
	c->on_message = config->on_message;
	c->on_close = config->on_close;
	c->user = config->user;
	c->max_queue_bytes =
		config->max_queue_bytes ? config->max_queue_bytes : DEFAULT_QUEUE_BYTES;
	c->connect_timeout_ms = config->connect_timeout_ms ? config->connect_timeout_ms
							   : DEFAULT_CONNECT_TIMEOUT_MS;
	/* Zeros are a policy too: never. */
	c->policy = loop_idle_policy(c->loop, ping_s > 0 ? ping_s : 0,
				     ping_s > 0 ? ping_s + (ping_s < HANGUP_AFTER_PING_S
								    ? ping_s
								    : HANGUP_AFTER_PING_S)
						: 0);
	c->last = &c->first;
	strbuf_init(&c->in,
		    config->max_message_bytes ? config->max_message_bytes : DEFAULT_MESSAGE_BYTES);
	c->result.code = 1006;
	if (!c->policy || (config->unix_path && !(c->unix_path = strdup(config->unix_path))) ||
	    (config->ca_file && !(c->ca_file = strdup(config->ca_file))) ||
	    (config->user_agent && !(c->user_agent = strdup(config->user_agent)))) {
		ws_client_destroy(c);
		return -ENOMEM;
	}
	loop_timer_set(c->loop, &c->timer, 0, start, c);
	*out = c;
	return 0;
}

void ws_client_destroy(struct ws_client *c)
{
	if (!c)
		return;
	loop_timer_cancel(&c->timer);
	look_up_cancel(c);
	drop_wsi(c);
	free_queue(c);
	strbuf_free(&c->in);
	free(c->unix_path);
	free(c->ca_file);
	free(c->user_agent);
	free(c);
}

/* ---- sending ------------------------------------------------------------------------- */

static int queue(struct ws_client *c, const void *data, size_t len, bool binary)
{
	struct message *m;

	if (c->state != OPEN)
		return -ENOTCONN;
	if (len > c->max_queue_bytes || c->queued_bytes > c->max_queue_bytes - len)
		return -ENOBUFS;
	m = malloc(sizeof(*m) + LWS_PRE + len);
	if (!m)
		return -ENOMEM;
	m->next = NULL;
	m->len = len;
	m->binary = binary;
	if (len)
		memcpy(m->data + LWS_PRE, data, len);
	*c->last = m;
	c->last = &m->next;
	c->queued_bytes += len;
	lws_callback_on_writable(c->wsi);
	return 0;
}

int ws_client_send_text(struct ws_client *c, const char *text, size_t len)
{
	return queue(c, text, len, false);
}

int ws_client_send_binary(struct ws_client *c, const uint8_t *data, size_t len)
{
	return queue(c, data, len, true);
}

size_t ws_client_queued_bytes(const struct ws_client *c)
{
	return c->queued_bytes;
}

static void close_when_possible(void *arg)
{
	finish(arg);
}

void ws_client_close(struct ws_client *c, int code, const char *reason)
{
	if (c->state == CLOSING || c->state == ENDED)
		return;
	if (c->state != OPEN) {
		set_error(c, "given up by us", NULL);
		look_up_cancel(c);
		drop_wsi(c);
		c->state = CLOSING;
		loop_timer_set(c->loop, &c->timer, 0, close_when_possible, c);
		return;
	}
	c->state = CLOSING;
	c->close_code = code;
	snprintf(c->close_reason, sizeof(c->close_reason), "%s", reason ? reason : "");
	/* A cut must not split a character: the peer would fail the connection by RFC 6455 8.1. */
	while (c->close_reason[0] && !utf8_valid(c->close_reason, strlen(c->close_reason)))
		c->close_reason[strlen(c->close_reason) - 1] = '\0';
	loop_timer_set(c->loop, &c->timer, CLOSE_TIMEOUT_MS, on_close_timeout, c);
	lws_callback_on_writable(c->wsi);
}

/* One message a callback; -1 closes the connection. */
static int write_next(struct ws_client *c)
{
	struct message *m = c->first;
	int n;

	/* libwebsockets 4.1 would take a second write into unbounded memory. */
	if (lws_partial_buffered(c->wsi)) {
		lws_callback_on_writable(c->wsi);
		return 0;
	}
	if (m) {
		n = lws_write(c->wsi, m->data + LWS_PRE, m->len,
			      m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
		if (n < 0) {
			set_error(c, "write failed", NULL);
			return -1;
		}
		c->first = m->next;
		if (!c->first)
			c->last = &c->first;
		c->queued_bytes -= m->len;
		free(m);
	}
	if (c->first || c->state == CLOSING) {
		if (!c->first) {
			lws_close_reason(c->wsi, (enum lws_close_status)c->close_code,
					 (unsigned char *)c->close_reason, strlen(c->close_reason));
			c->result.code = c->close_code;
			set_error(c, "closed by us", NULL);
			return -1;
		}
		lws_callback_on_writable(c->wsi);
	}
	return 0;
}

/* ---- receiving ----------------------------------------------------------------------- */

static int receive(struct ws_client *c, struct lws *wsi, const void *data, size_t len)
{
	if (c->state == CLOSING) /* the owner is not interested any more */
		return 0;
	/* Messages come in pieces of any size; a piece may be the end of one without bytes. */
	if (lws_is_first_fragment(wsi)) {
		strbuf_reset(&c->in);
		c->in_binary = lws_frame_is_binary(wsi);
	}
	strbuf_add(&c->in, data, len);
	if (c->in.error) {
		char detail[64];

		snprintf(detail, sizeof(detail), "over %zu bytes", c->in.max);
		set_error(c, c->in.error == -ENOSPC ? "message" : "out of memory for a message",
			  c->in.error == -ENOSPC ? detail : NULL);
		lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
		c->result.code = LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE;
		return -1;
	}
	if (!lws_is_final_fragment(wsi))
		return 0;
	c->on_message(c->user, (const uint8_t *)strbuf_text(&c->in), c->in.len, c->in_binary);
	/* The owner may have destroyed the client in there. */
	if (!lws_get_opaque_user_data(wsi))
		return -1;
	strbuf_reset(&c->in);
	return 0;
}

static void peer_closes(struct ws_client *c, const uint8_t *data, size_t len)
{
	c->result.code = 1005;
	if (len < 2)
		return;
	c->result.code = get_be16(data);
	len -= 2;
	if (len > REASON_MAX)
		len = REASON_MAX;
	memcpy(c->result.reason, data + 2, len);
	c->result.reason[len] = '\0';
}

static int add_headers(struct ws_client *c, struct lws *wsi, unsigned char **at, size_t len)
{
	if (!c->user_agent)
		return 0;
	return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_USER_AGENT,
					    (const unsigned char *)c->user_agent,
					    (int)strlen(c->user_agent), at, *at + len);
}

int ws_client_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			   size_t len)
{
	struct ws_client *c;

	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		break;
	default:
		return 0; /* vhost-wide callbacks come with a wsi that is none */
	}
	c = lws_get_opaque_user_data(wsi);
	if (!c)
		return -1; /* parted: close */
	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return add_headers(c, wsi, in, len);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		c->wsi = wsi;
		c->state = OPEN;
		c->result.opened = true;
		c->result.error[0] = '\0';
		loop_timer_cancel(&c->timer);
		c->on_open(c->user);
		return lws_get_opaque_user_data(wsi) ? 0 : -1;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		c->result.http_status = (int)lws_http_client_http_response(wsi);
		lws_set_opaque_user_data(wsi, NULL);
		attempt_failed(c, in ? (const char *)in : "failed");
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return receive(c, wsi, in, len);
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return write_next(c);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		peer_closes(c, in, len);
		return 0; /* libwebsockets echoes the close */
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		lws_set_opaque_user_data(wsi, NULL);
		c->wsi = NULL;
		/* 4.3 tells so what 4.1 calls a connection error, also from inside the connect, when
		 * the peer has hung up before our request was written. */
		if (c->state == CONNECTING) {
			attempt_failed(c, "the peer hung up");
			return 0;
		}
		if (c->result.code == 1006)
			set_error(c, "connection lost", NULL);
		finish(c);
		return 0;
	default:
		return 0;
	}
}
