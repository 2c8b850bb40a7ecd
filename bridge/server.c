/* SPDX-License-Identifier: MIT
 *
 * server.c - see server.h. Quirks of libwebsockets 4.1.6 are named where they are dealt with.
 */
#include "bridge/server.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "bridge/form.h"
#include "bridge/listener.h"
#include "bridge/rate_limit.h"
#include "common/arrival.h"
#include "common/clock.h"
#include "common/log.h"

#define TARGET_BYTES    2048
#define HEADER_BYTES    256
#define CHECK_MS        200
#define CLOSE_SECONDS   2
#define RECEIVE_START   1024 /* a media message is about 400 bytes */
#define ANSWER_MAX      8192
#define DATED_A_TURN    128
/*
 * Bytes that may wait unsent in the kernel before a frame is held back here, where it can still be
 * dropped: about two frames. Sent but not acknowledged bytes do not count, they are on their way.
 */
#define UNSENT_MAX 800

/* One TCP connection: requests, one after the other, or one upgrade to a session. */
struct connection {
	struct loop_socket socket; /* first: what the vhost's protocol goes by */
	struct server *server;
	struct sockaddr_storage peer;
	struct exchange *exchange;
	struct session *session;
};

struct exchange {
	char method[8];
	char target[TARGET_BYTES];
	char content_type[HEADER_BYTES];
	char signature[HEADER_BYTES];
	char idempotency[HEADER_BYTES];
	char *body;
	size_t body_len, body_size;
	struct webhook_answer answer;
};

struct session {
	struct server *server;
	struct session *next, **prev; /* of the server's list, from the 101 on */
	struct lws *wsi;
	struct media_stream *stream;
	struct session_admission admission;
	char peer[ADDRESS_TEXT_BYTES];
	void *bound;
	int close_code; /* 0: stay open */
	int64_t arrived_ns; /* what lay in the socket at look number looked; 0: nothing */
	unsigned looked;
	char *text;     /* a message that comes in pieces */
	size_t text_len, text_size;
	bool skipping;  /* the rest of a message that was too long */
};

struct server {
	struct loop *loop;
	struct lws_vhost *vhost;
	struct listener *listener;
	struct server_hooks hooks;
	char *tls_cert, *tls_key;
	struct session *sessions;
	int session_count;
	struct loop_timer check;
	bool gathering;
	struct arrival_clock arrivals;
	unsigned looks;
	int sockets; /* epoll, of the sessions: which of them have something to date */
	struct log_rate refused_rate;
	bool stopped; /* no hooks any more */
};

/* ---- helpers -------------------------------------------------------------------------------- */

static void want_writable(struct server *server, struct lws *wsi)
{
	lws_callback_on_writable(wsi);
	loop_hurry(server->loop);
}

/* Quirk: custom headers are found by their lower-case name with the colon, and only so. */
static bool custom_header(struct lws *wsi, const char *name, char *out, int size)
{
	int len = lws_hdr_custom_length(wsi, name, (int)strlen(name));

	out[0] = '\0';
	if (len <= 0 || len >= size)
		return false;
	return lws_hdr_custom_copy(wsi, out, size, name, (int)strlen(name)) > 0;
}

static bool header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
	int len = lws_hdr_total_length(wsi, token);

	out[0] = '\0';
	return len > 0 && len < size && lws_hdr_copy(wsi, out, size, token) > 0;
}

static bool request_target(struct lws *wsi, enum lws_token_indexes uri, char out[TARGET_BYTES])
{
	char args[TARGET_BYTES];
	size_t len;

	if (!header(wsi, uri, out, TARGET_BYTES))
		return false;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) == 0)
		return true;
	if (!header(wsi, WSI_TOKEN_HTTP_URI_ARGS, args, sizeof(args)))
		return false;
	len = strlen(out);
	return snprintf(out + len, TARGET_BYTES - len, "?%s", args) < (int)(TARGET_BYTES - len);
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

static void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	strbuf_free(&x->answer.body);
	free(x->body);
	free(x);
}

static int write_head(struct lws *wsi, const struct webhook_answer *answer)
{
	unsigned char buf[LWS_PRE + 512], *start = buf + LWS_PRE, *p = start,
					  *end = buf + sizeof(buf) - 1;

	if (lws_add_http_common_headers(wsi, (unsigned int)answer->status, answer->content_type,
					answer->body.len, &p, end) ||
	    lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;
	return 0;
}

static int answer_text(struct lws *wsi, struct connection *c, int status, const char *text)
{
	struct exchange *x = c->exchange;

	x->answer.status = status;
	x->answer.content_type = "text/plain";
	strbuf_reset(&x->answer.body);
	strbuf_str(&x->answer.body, text);
	if (write_head(wsi, &x->answer))
		return -1;
	want_writable(c->server, wsi);
	return 0;
}

static int exchange_finish(struct lws *wsi, struct connection *c)
{
	struct server *server = c->server;
	struct exchange *x = c->exchange;
	char peer_text[ADDRESS_TEXT_BYTES];

	address_text((struct sockaddr *)&c->peer, peer_text);
	struct webhook_request request = {
		.method = x->method,
		.target = x->target,
		.content_type = x->content_type[0] ? x->content_type : NULL,
		.signature = x->signature[0] ? x->signature : NULL,
		.idempotency = x->idempotency[0] ? x->idempotency : NULL,
		.body = x->body ? x->body : "",
		.body_len = x->body_len,
		.peer = peer_text,
	};

	x->answer.status = 500;
	x->answer.content_type = "text/plain";
	server->hooks.request(server->hooks.user, &request, &x->answer);
	if (write_head(wsi, &x->answer))
		return -1;
	want_writable(server, wsi);
	return 0;
}

static int exchange_begin(struct lws *wsi, struct connection *c)
{
	static const struct {
		enum lws_token_indexes token;
		const char *name;
	} method[] = {
		{WSI_TOKEN_POST_URI, "POST"},     {WSI_TOKEN_GET_URI, "GET"},
		{WSI_TOKEN_HEAD_URI, "HEAD"},     {WSI_TOKEN_PUT_URI, "PUT"},
		{WSI_TOKEN_DELETE_URI, "DELETE"}, {WSI_TOKEN_PATCH_URI, "PATCH"},
		{WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
	};
	struct exchange *x = calloc(1, sizeof(*x));
	char number[24];
	size_t i;

	if (!x)
		return -1;
	strbuf_init(&x->answer.body, ANSWER_MAX);
	exchange_free(c->exchange); /* of the request before on this connection */
	c->exchange = x;

	for (i = 0; i < sizeof(method) / sizeof(method[0]); i++)
		if (lws_hdr_total_length(wsi, method[i].token))
			break;
	if (i == sizeof(method) / sizeof(method[0]))
		return answer_text(wsi, c, 405, "method not allowed\n");
	strcpy(x->method, method[i].name);
	if (!request_target(wsi, method[i].token, x->target))
		return answer_text(wsi, c, 414, "the address is too long\n");
	header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, x->content_type, sizeof(x->content_type));
	custom_header(wsi, "x-twilio-signature:", x->signature, sizeof(x->signature));
	custom_header(wsi, "i-twilio-idempotency-token:", x->idempotency, sizeof(x->idempotency));

	if (strcmp(x->method, "POST") != 0 && strcmp(x->method, "PUT") != 0 &&
	    strcmp(x->method, "PATCH") != 0)
		return exchange_finish(wsi, c);
	/* Quirk: a body without a length, or one that waits for "100 Continue", would get no answer
	 * from libwebsockets until its time-out. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_EXPECT))
		return answer_text(wsi, c, 417, "Expect is not supported\n");
	if (!header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, number, sizeof(number)) ||
	    number[strspn(number, "0123456789")] != '\0')
		return answer_text(wsi, c, 411, "Content-Length is needed\n");
	if (strlen(number) > 8 || strtoul(number, NULL, 10) > FORM_MAX_BYTES)
		return answer_text(wsi, c, 413, "the body is too big\n");
	x->body_size = strtoul(number, NULL, 10);
	if (x->body_size == 0)
		return 0; /* HTTP_BODY_COMPLETION comes all the same */
	x->body = malloc(x->body_size);
	return x->body ? 0 : answer_text(wsi, c, 500, "out of memory\n");
}

static int exchange_body(struct exchange *x, const void *in, size_t len)
{
	if (x->answer.status) /* refused already; what still comes is not looked at */
		return 0;
	if (!x->body || len > x->body_size - x->body_len)
		return -1;
	memcpy(x->body + x->body_len, in, len);
	x->body_len += len;
	return 0;
}

static int exchange_write(struct lws *wsi, struct exchange *x)
{
	size_t len = x->answer.body.len;
	unsigned char *buf;
	int written;

	if (x->answer.status == 0)
		return 0;
	buf = malloc(LWS_PRE + len + 1);
	if (!buf)
		return -1;
	memcpy(buf + LWS_PRE, strbuf_text(&x->answer.body), len + 1);
	written = lws_write(wsi, buf + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
	free(buf);
	/* An error leaves the rest of a body unread: the connection is of no further use. */
	if (written < 0 || x->body_len < x->body_size)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* ---- sessions ------------------------------------------------------------------------------- */

struct session_admission *session_admission(struct session *session)
{
	return &session->admission;
}

struct media_stream *session_stream(struct session *session)
{
	return session->stream;
}

const char *session_peer(const struct session *session)
{
	return session->peer;
}

void *session_user(const struct session *session)
{
	return session->server->hooks.user;
}

void session_bind(struct session *session, void *bound)
{
	session->bound = bound;
}

void *session_bound(const struct session *session)
{
	return session->bound;
}

static void session_unlink(struct session *s)
{
	if (!s->prev)
		return;
	epoll_ctl(s->server->sockets, EPOLL_CTL_DEL, lws_get_socket_fd(s->wsi), NULL);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->prev = NULL;
	s->server->session_count--;
}

static void session_free(struct session *s)
{
	session_unlink(s);
	media_stream_destroy(s->stream);
	free(s->text);
	free(s);
}

void session_close(struct session *session, int code)
{
	if (session->close_code)
		return;
	session->close_code = code;
	want_writable(session->server, session->wsi);
	/* a peer that reads nothing never makes the socket writable */
	lws_set_timeout(session->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_SECONDS);
}

static void on_check(void *arg)
{
	struct server *server = arg;
	int64_t now_ns = clock_mono_ns();
	struct session *next;

	for (struct session *s = server->sessions; s; s = next) {
		next = s->next;
		int code = media_stream_check(s->stream, now_ns);

		if (code)
			session_close(s, code);
	}
	if (server->sessions)
		loop_timer_set(server->loop, &server->check, CHECK_MS, on_check, server);
}

static int unstarted(const struct server *server)
{
	int count = 0;

	for (const struct session *s = server->sessions; s; s = s->next)
		count += !media_stream_started(s->stream);
	return count;
}

static int refuse_upgrade(struct lws *wsi, int status)
{
	static const char *const phrase[] = {"Forbidden", "Not Found", "Too Many Requests",
					     "Service Unavailable"};
	unsigned char buf[LWS_PRE + 128];
	const char *text = status == 404   ? phrase[1]
			   : status == 429 ? phrase[2]
			   : status == 503 ? phrase[3]
					   : phrase[0];
	int len = snprintf((char *)buf + LWS_PRE, sizeof(buf) - LWS_PRE,
			   "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
			   text);

	/* Quirk: returning non-zero alone would close without any answer. */
	lws_write(wsi, buf + LWS_PRE, (size_t)len, LWS_WRITE_HTTP_HEADERS);
	return -1;
}

static int session_filter(struct lws *wsi, struct connection *c)
{
	struct server *server = c->server;
	struct session *s;
	char target[TARGET_BYTES], signature[HEADER_BYTES];
	int status = 503;

	if (server->stopped || c->session)
		return refuse_upgrade(wsi, 403);
	if (!request_target(wsi, WSI_TOKEN_GET_URI, target))
		return refuse_upgrade(wsi, 404);
	s = calloc(1, sizeof(*s));
	if (!s)
		return refuse_upgrade(wsi, 503);
	s->server = server;
	s->wsi = wsi;
	address_text((struct sockaddr *)&c->peer, s->peer);

	bool is_signed = custom_header(wsi, "x-twilio-signature:", signature, sizeof(signature));

	if (unstarted(server) < SERVER_MAX_UNSTARTED)
		status = server->hooks.upgrade(server->hooks.user, target,
					       is_signed ? signature : NULL,
					       (struct sockaddr *)&c->peer, s);
	else
		log_rated(&server->refused_rate, 10000, LOG_LEVEL_WARN,
			  "refusing a stream: %d sockets have not started yet", SERVER_MAX_UNSTARTED);
	if (status == 101 && media_stream_create(&s->stream, &server->hooks.stream, s, s->peer,
						 clock_mono_ns()) < 0)
		status = 503;
	if (status != 101) {
		session_free(s);
		return refuse_upgrade(wsi, status);
	}
	c->session = s;
	return 0;
}

static void session_established(struct session *s)
{
	struct server *server = s->server;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

	/* one that is not in the set is dated when it is read */
	epoll_ctl(server->sockets, EPOLL_CTL_ADD, lws_get_socket_fd(s->wsi), &event);
	s->next = server->sessions;
	s->prev = &server->sessions;
	if (s->next)
		s->next->prev = &s->next;
	server->sessions = s;
	server->session_count++;
	if (!loop_timer_pending(&server->check))
		loop_timer_set(server->loop, &server->check, CHECK_MS, on_check, server);
}

/* Ends the connection from inside its own callback. */
static int close_now(struct session *s, int code)
{
	lws_close_reason(s->wsi, (enum lws_close_status)code, NULL, 0);
	return -1;
}

static bool is_dated(const struct session *s)
{
	return s->arrived_ns && s->looked == s->server->looks;
}

static int session_message(struct session *s, const char *text, size_t len)
{
	int64_t arrived_ns = is_dated(s) ? s->arrived_ns : clock_mono_ns();
	int code = media_stream_receive(s->stream, text, len, lws_frame_is_binary(s->wsi), arrived_ns);

	/* The look was at the first of all that is read now; those behind it came later. */
	s->arrived_ns = 0;
	return code ? close_now(s, code) : 0;
}

/* Quirk: one callback is one piece, not one message. */
static int session_receive(struct session *s, const char *in, size_t len)
{
	bool first = lws_is_first_fragment(s->wsi), last = lws_is_final_fragment(s->wsi);
	int unread = 0;

	/* Quirk: libwebsockets reads 4 KiB, or one TLS record, a turn. A single message is all there was. */
	if (s->server->gathering && !(last && is_dated(s) && !s->server->tls_cert) &&
	    ioctl(lws_get_socket_fd(s->wsi), FIONREAD, &unread) == 0 && unread > 0)
		loop_hurry(s->server->loop);
	if (s->close_code)
		return 0;
	if (first)
		s->text_len = 0;
	if (first && last)
		return session_message(s, in, len);
	if (len > MEDIA_MESSAGE_MAX - s->text_len) {
		log_warn("closing a stream peer=%s why=\"a message of more than %d bytes\"", s->peer,
			 MEDIA_MESSAGE_MAX);
		return close_now(s, STREAM_CLOSE_BIG);
	}
	if (s->text_len + len > s->text_size) {
		size_t size = s->text_size ? s->text_size : RECEIVE_START;

		while (size < s->text_len + len)
			size *= 2;
		char *text = realloc(s->text, size);

		if (!text)
			return close_now(s, STREAM_CLOSE_BIG);
		s->text = text;
		s->text_size = size;
	}
	memcpy(s->text + s->text_len, in, len);
	s->text_len += len;
	return last ? session_message(s, s->text, s->text_len) : 0;
}

/* Sends the next message that waits, if the socket takes it. 1: sent, 0: not now, -1: the socket is bad. */
static int send_next(struct session *s)
{
	unsigned char buf[LWS_PRE + MEDIA_BUILD_BYTES];
	int unsent = 0;
	size_t len;

	/* Quirk: libwebsockets takes any amount and keeps what the socket does not; it must not get
	 * more than goes out. The next frame tries again. */
	if (lws_partial_buffered(s->wsi))
		return 0;
	if (ioctl(lws_get_socket_fd(s->wsi), SIOCOUTQNSD, &unsent) == 0 && unsent > UNSENT_MAX)
		return 0;
	len = media_stream_next(s->stream, (char *)buf + LWS_PRE);
	/* Quirk: a short count is no error, only a negative one is. */
	return lws_write(s->wsi, buf + LWS_PRE, len, LWS_WRITE_TEXT) < 0 ? -1 : 1;
}

/* Sends what waits, until there is no more or the socket takes none. */
static int flush(struct session *s)
{
	int sent = 1;

	while (sent > 0 && media_stream_pending(s->stream))
		sent = send_next(s);
	return sent < 0 ? -1 : 0;
}

static int session_write(struct session *s)
{
	if (lws_partial_buffered(s->wsi))
		return 0;
	return s->close_code ? close_now(s, s->close_code) : flush(s);
}

void session_send(struct session *s, const uint8_t frame[G711_FRAME_BYTES], int64_t now_ns)
{
	media_stream_send(s->stream, frame, now_ns);
	/* Here and not when the socket says that it is writable, which it nearly always is: that would be
	 * another turn of the loop for each frame. */
	if (!s->close_code && flush(s) < 0)
		session_close(s, STREAM_CLOSE_AWAY);
}

static void session_closed(struct connection *c)
{
	struct session *s = c->session;

	if (!s)
		return;
	c->session = NULL;
	session_unlink(s);
	if (!s->server->stopped) {
		media_stream_closed(s->stream);
		s->server->hooks.closed(s->server->hooks.user, s);
	}
	session_free(s);
}

/* ---- libwebsockets -------------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	session_closed(c);
	exchange_free(c->exchange);
	listener_released(c->server->listener);
	free(c);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct connection *c = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return c->session || c->server->stopped ? -1 : exchange_begin(wsi, c);
	case LWS_CALLBACK_HTTP_BODY:
		return c->exchange ? exchange_body(c->exchange, in, len) : -1;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (!c->exchange)
			return -1;
		return c->exchange->answer.status ? 0 : exchange_finish(wsi, c);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return c->exchange ? exchange_write(wsi, c->exchange) : 0;
	/* Quirk: HTTP_CONFIRM_UPGRADE is not used, its code path uses freed headers. */
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return session_filter(wsi, c);
	case LWS_CALLBACK_ESTABLISHED:
		if (!c->session)
			return -1;
		session_established(c->session);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return c->session ? session_receive(c->session, in, len) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return c->session ? session_write(c->session) : 0;
	case LWS_CALLBACK_CLOSED:
		session_closed(c);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		lws_set_opaque_user_data(wsi, NULL);
		connection_free(c);
		return 0;
	default:
		return 0;
	}
}

/* A connection was accepted; true if it is ours now. */
static bool on_accepted(void *user, int fd, const struct sockaddr_storage *peer)
{
	struct server *server = user;
	struct connection *c = calloc(1, sizeof(*c));
	struct lws *wsi;

	if (!c) {
		close(fd);
		return false;
	}
	arrival_enable(fd);
	wsi = lws_adopt_socket_vhost(server->vhost, fd); /* closes fd when it fails */
	if (!wsi) {
		free(c);
		return false;
	}
	c->socket.callback = on_lws;
	c->server = server;
	c->peer = *peer;
	lws_set_opaque_user_data(wsi, c);
	return true;
}

/* libwebsockets only logs that a certificate is bad, and then fails every handshake. */
static bool tls_usable(const char *cert_path, const char *key_path)
{
	BIO *cert_file = BIO_new_file(cert_path, "r"), *key_file = BIO_new_file(key_path, "r");
	X509 *cert = cert_file ? PEM_read_bio_X509(cert_file, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = key_file ? PEM_read_bio_PrivateKey(key_file, NULL, NULL, NULL) : NULL;
	bool good = cert && key && X509_check_private_key(cert, key) == 1;

	if (!good)
		log_error("cannot use TLS_CERT and TLS_KEY cert=%s key=%s why=\"%s\"",
			  log_quote(cert_path), log_quote(key_path),
			  !cert  ? "the certificate cannot be read as PEM"
			  : !key ? "the key cannot be read as PEM"
				 : "the key does not belong to the certificate");
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(cert);
	BIO_free(key_file);
	BIO_free(cert_file);
	return good;
}

static int create_vhost(struct server *server, const struct server_config *config)
{
	struct lws_context_creation_info info;

	if (!config->tls_cert) {
		server->vhost = loop_server_vhost(server->loop);
		return server->vhost ? 0 : -ENOMEM;
	}
	if (!tls_usable(config->tls_cert, config->tls_key))
		return -EINVAL;
	server->tls_cert = strdup(config->tls_cert);
	server->tls_key = strdup(config->tls_key);
	if (!server->tls_cert || !server->tls_key)
		return -ENOMEM;
	loop_vhost_info(&info);
	info.vhost_name = "door";
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.protocols = loop_server_protocols;
	info.timeout_secs = 5;
	info.keepalive_timeout = 5;
	info.ssl_cert_filepath = server->tls_cert;
	info.ssl_private_key_filepath = server->tls_key;
	info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	server->vhost = lws_create_vhost(loop_lws(server->loop), &info);
	if (!server->vhost)
		log_error("cannot make a TLS server of TLS_CERT and TLS_KEY");
	return server->vhost ? 0 : -EIO;
}

int server_create(struct server **out, struct loop *loop, const struct server_config *config)
{
	struct server *server = calloc(1, sizeof(*server));
	int err = -ENOMEM;

	*out = NULL;
	if (!server)
		return err;
	server->loop = loop;
	server->hooks = *config->hooks;
	server->sockets = epoll_create1(EPOLL_CLOEXEC);
	if (server->sockets < 0) {
		err = -errno;
		goto out;
	}
	err = create_vhost(server, config);
	if (err)
		goto out;
	err = listener_create(&server->listener, loop, config->listen, on_accepted, server);
	if (err)
		goto out;
	*out = server;
	return 0;
out:
	server_destroy(server);
	return err;
}

void server_stop_accepting(struct server *server)
{
	listener_destroy(server->listener);
	server->listener = NULL;
}

void server_close_sessions(struct server *server, int code)
{
	for (struct session *s = server->sessions; s; s = s->next)
		session_close(s, code);
}

int server_session_count(const struct server *server)
{
	return server->session_count;
}

/* Libwebsockets reads the sockets, so the date is to be had before it does. */
static void date_arrivals(void *arg)
{
	struct server *server = arg;
	struct epoll_event events[DATED_A_TURN];
	int64_t now_ns = clock_mono_ns(), wall_ns = arrival_wall_ns(&server->arrivals, now_ns);
	int n = epoll_wait(server->sockets, events, DATED_A_TURN, 0);

	server->looks++;
	for (int i = 0; i < n; i++) {
		struct session *s = events[i].data.ptr;

		s->arrived_ns = arrival_peek(lws_get_socket_fd(s->wsi), now_ns, wall_ns);
		s->looked = server->looks;
	}
}

void server_gather(struct server *server, bool gather)
{
	if (gather == server->gathering)
		return;
	server->gathering = gather;
	loop_gather(server->loop, gather ? date_arrivals : NULL, server);
	server->looks++; /* what was dated is not to be taken for later */
}

bool server_reload_tls(struct server *server)
{
	if (!server->tls_cert)
		return true;
	if (!tls_usable(server->tls_cert, server->tls_key))
		return false;
	return lws_tls_cert_updated(loop_lws(server->loop), server->tls_cert, server->tls_key, NULL, 0,
				    NULL, 0) == 0;
}

void server_stop(struct server *server)
{
	server_stop_accepting(server);
	loop_timer_cancel(&server->check);
	server_gather(server, false);
	server->stopped = true;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	if (server->sockets >= 0)
		close(server->sockets);
	free(server->tls_cert);
	free(server->tls_key);
	free(server);
}
