/* SPDX-License-Identifier: MIT
 *
 * session.c - see session.h. Quirks of libwebsockets 4.1.6 are named where they are dealt with.
 */
#include "bridge/session.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bridge/http_head.h"
#include "bridge/rate_limit.h"
#include "common/arrival.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"

#define CHECK_MS      200
#define CLOSE_SECONDS 2
#define RECEIVE_START 1024 /* a media message is about 400 bytes */
#define DATED_A_TURN  128
/*
 * Bytes that may wait unsent in the kernel before a frame is held back here, where it can still be
 * dropped: about two frames. Sent but not acknowledged bytes do not count, they are on their way.
 */
#define UNSENT_MAX 800

struct session {
	struct sessions *all;
	struct session *next, **prev; /* of the list, from the 101 on */
	struct lws *wsi;
	struct media_stream *stream;
	struct session_admission admission;
	char peer[ADDRESS_TEXT_BYTES];
	void *bound;
	int close_code; /* 0: stays open; else nothing is sent any more but that */
	int64_t arrived_ns; /* what lay in the socket at look number looked; 0: nothing */
	unsigned looked;
	char *text;     /* a message that comes in pieces */
	size_t text_len, text_size;
};

struct sessions {
	struct loop *loop;
	struct session_hooks hooks;
	struct session *first;
	int count;
	struct loop_timer check;
	bool gathering;
	struct arrival_clock arrivals;
	unsigned looks;
	int sockets; /* epoll: which of them have something to date */
	struct log_rate refused_rate;
	bool stopped; /* no hooks any more */
};

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
	return session->all->hooks.user;
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
	epoll_ctl(s->all->sockets, EPOLL_CTL_DEL, lws_get_socket_fd(s->wsi), NULL);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->prev = NULL;
	s->all->count--;
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
	loop_want_writable(session->wsi);
	/* a peer that reads nothing never makes the socket writable */
	lws_set_timeout(session->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_SECONDS);
}

static void on_check(void *arg)
{
	struct sessions *all = arg;
	int64_t now_ns = clock_mono_ns();
	struct session *next;

	for (struct session *s = all->first; s; s = next) {
		next = s->next;
		int code = media_stream_check(s->stream, now_ns);

		if (code)
			session_close(s, code);
	}
	if (all->first)
		loop_timer_set(all->loop, &all->check, CHECK_MS, on_check, all);
}

static int unstarted(const struct sessions *all)
{
	int count = 0;

	for (const struct session *s = all->first; s; s = s->next)
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

int session_upgrade(struct session **out, struct sessions *all, struct lws *wsi,
		    const struct sockaddr *peer)
{
	struct session *s;
	char target[HTTP_TARGET_BYTES], signature[HTTP_HEADER_BYTES];
	int status = 503;

	if (all->stopped || *out)
		return refuse_upgrade(wsi, 403);
	if (!http_target(wsi, WSI_TOKEN_GET_URI, target))
		return refuse_upgrade(wsi, 404);
	s = calloc(1, sizeof(*s));
	if (!s)
		return refuse_upgrade(wsi, 503);
	s->all = all;
	s->wsi = wsi;
	address_text(peer, s->peer);

	bool is_signed = http_custom_header(wsi, "x-twilio-signature:", signature, sizeof(signature));

	if (unstarted(all) < SESSIONS_MAX_UNSTARTED)
		status = all->hooks.upgrade(all->hooks.user, target, is_signed ? signature : NULL, peer, s);
	else
		log_rated(&all->refused_rate, 10000, LOG_LEVEL_WARN,
			  "refusing a stream: %d sockets have not started yet", SESSIONS_MAX_UNSTARTED);
	if (status == 101 && media_stream_create(&s->stream, &all->hooks.stream, s, s->peer,
						 clock_mono_ns()) < 0)
		status = 503;
	if (status != 101) {
		session_free(s);
		return refuse_upgrade(wsi, status);
	}
	*out = s;
	return 0;
}

void session_established(struct session *s)
{
	struct sessions *all = s->all;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

	arrival_enable(lws_get_socket_fd(s->wsi));
	/* one that is not in the set is dated when it is read */
	epoll_ctl(all->sockets, EPOLL_CTL_ADD, lws_get_socket_fd(s->wsi), &event);
	s->next = all->first;
	s->prev = &all->first;
	if (s->next)
		s->next->prev = &s->next;
	all->first = s;
	all->count++;
	if (!loop_timer_pending(&all->check))
		loop_timer_set(all->loop, &all->check, CHECK_MS, on_check, all);
}

/* Ends the connection from inside its own callback. */
static int close_now(struct session *s, int code)
{
	s->close_code = code;
	lws_close_reason(s->wsi, (enum lws_close_status)code, NULL, 0);
	return -1;
}

void session_peer_closes(struct session *s)
{
	if (!s->close_code)
		s->close_code = STREAM_CLOSE_NORMAL;
}

static bool is_dated(const struct session *s)
{
	return s->arrived_ns && s->looked == s->all->looks;
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
int session_receive(struct session *s, const char *in, size_t len)
{
	bool first = lws_is_first_fragment(s->wsi), last = lws_is_final_fragment(s->wsi);
	int unread = 0;

	/* Quirk: libwebsockets reads 4 KiB, or one TLS record, a turn. A single message is all there was. */
	if (s->all->gathering && !(last && is_dated(s) && !lws_is_ssl(s->wsi)) &&
	    ioctl(lws_get_socket_fd(s->wsi), FIONREAD, &unread) == 0 && unread > 0)
		loop_hurry(s->all->loop);
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

int session_write(struct session *s)
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

void session_closed(struct session *s)
{
	if (!s)
		return;
	session_unlink(s);
	if (!s->all->stopped) {
		media_stream_closed(s->stream);
		s->all->hooks.closed(s->all->hooks.user, s);
	}
	session_free(s);
}

/* Libwebsockets reads the sockets, so the date is to be had before it does. */
static void date_arrivals(void *arg)
{
	struct sessions *all = arg;
	struct epoll_event events[DATED_A_TURN];
	int64_t now_ns = clock_mono_ns(), wall_ns = arrival_wall_ns(&all->arrivals, now_ns);
	int n = epoll_wait(all->sockets, events, DATED_A_TURN, 0);

	all->looks++;
	for (int i = 0; i < n; i++) {
		struct session *s = events[i].data.ptr;

		s->arrived_ns = arrival_peek(lws_get_socket_fd(s->wsi), now_ns, wall_ns);
		s->looked = all->looks;
	}
}

void sessions_gather(struct sessions *all, bool gather)
{
	if (gather == all->gathering)
		return;
	all->gathering = gather;
	loop_gather(all->loop, gather ? date_arrivals : NULL, all);
	all->looks++; /* what was dated is not to be taken for later */
}

int sessions_count(const struct sessions *all)
{
	return all->count;
}

void sessions_close(struct sessions *all, int code)
{
	for (struct session *s = all->first; s; s = s->next)
		session_close(s, code);
}

int sessions_create(struct sessions **out, struct loop *loop, const struct session_hooks *hooks)
{
	struct sessions *all = calloc(1, sizeof(*all));

	*out = NULL;
	if (!all)
		return -ENOMEM;
	all->loop = loop;
	all->hooks = *hooks;
	all->sockets = epoll_create1(EPOLL_CLOEXEC);
	if (all->sockets < 0) {
		int err = -errno;

		free(all);
		return err;
	}
	*out = all;
	return 0;
}

void sessions_stop(struct sessions *all)
{
	loop_timer_cancel(&all->check);
	sessions_gather(all, false);
	all->stopped = true;
}

void sessions_destroy(struct sessions *all)
{
	if (!all)
		return;
	close(all->sockets);
	free(all);
}
