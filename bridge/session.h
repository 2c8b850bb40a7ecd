/* SPDX-License-Identifier: MIT
 *
 * session.h - the WebSockets of media streams: let in or refused, read, dated, written, closed.
 *
 * A session is one WebSocket with its media stream. What it is allowed to be and do is the owner's, by
 * hooks. Loop's thread.
 */
#ifndef BRIDGE_SESSION_H
#define BRIDGE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <libwebsockets.h>

#include "bridge/media_stream.h"
#include "bridge/token.h"

#define SESSIONS_MAX_UNSTARTED 32 /* sockets that have not sent a good `start` yet */

struct loop;
struct sessions; /* all of them */
struct session;

struct session_hooks {
	/*
	 * May this upgrade become a media stream? 101: yes, `admission` (TOKEN_SID_BYTES and
	 * TOKEN_CHARS) then goes with the session; else the HTTP status to refuse it with.
	 */
	int (*upgrade)(void *user, const char *target, const char *signature,
		       const struct sockaddr *peer, struct session *session);
	/* A session's socket is gone, whether or not it came to a live stream. */
	void (*closed)(void *user, struct session *session);
	struct media_stream_hooks stream; /* their `user` is the session */
	void *user;
};

/* -ENOMEM, -errno. */
int sessions_create(struct sessions **out, struct loop *loop, const struct session_hooks *hooks);
int sessions_count(const struct sessions *all);
/* While the owner's tick runs: messages wait for it (loop_gather()), and have the date of their coming. */
void sessions_gather(struct sessions *all, bool gather);
/* Closes every one with `code`; done() of live ones is called as each socket goes. */
void sessions_close(struct sessions *all, int code);
/* No hook is called any more; for use before loop_destroy(), in which the sockets die. */
void sessions_stop(struct sessions *all);
/* After loop_destroy(). NULL is fine. */
void sessions_destroy(struct sessions *all);

/* ---- one of them ---------------------------------------------------------------------------- */

/* What the upgrade proved: the call that the token was made for and the token, or "" (static). */
struct session_admission {
	char call_sid[TOKEN_SID_BYTES];
	char token[TOKEN_CHARS + 1];
};

struct session_admission *session_admission(struct session *session);
struct media_stream *session_stream(struct session *session);
const char *session_peer(const struct session *session);
void *session_user(const struct session *session); /* the hooks' user */
void session_bind(struct session *session, void *bound);
void *session_bound(const struct session *session);

/* Sends a frame, or queues it where the socket takes none now. */
void session_send(struct session *session, const uint8_t frame[G711_FRAME_BYTES], int64_t now_ns);
/* Closes by a close frame, and by force where that does not go through. Not from inside the
 * session's own hooks, which have return values for that. */
void session_close(struct session *session, int code);

/* ---- libwebsockets' side: what the callbacks of its connection are to do, in their order ---- */

/* Functions that return int say what the callback is to: 0, or -1 to end the connection. An upgrade that is
 * refused has been answered. */
int session_upgrade(struct session **out, struct sessions *all, struct lws *wsi,
		    const struct sockaddr *peer);
void session_established(struct session *session);
int session_receive(struct session *session, const char *in, size_t len);
int session_write(struct session *session);
/* Its peer has sent a close frame, which libwebsockets answers. */
void session_peer_closes(struct session *session);
/* The socket goes: the session is no more. NULL is fine. */
void session_closed(struct session *session);

#endif
