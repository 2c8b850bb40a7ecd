/* SPDX-License-Identifier: MIT
 *
 * server.h - the door: one libwebsockets vhost for the webhook and the media streams.
 *
 * HTTP requests are collected whole and answered by one handler; upgrades are checked before the
 * 101; a session is one WebSocket with its media stream. What a session is allowed to be and do is
 * the owner's, by hooks. Loop's thread.
 */
#ifndef BRIDGE_SERVER_H
#define BRIDGE_SERVER_H

#include <stdbool.h>

#include "bridge/media_stream.h"
#include "bridge/webhook.h"
#include "common/loop.h"
#include "common/url.h"

#define SERVER_MAX_UNSTARTED 32 /* sockets that have not sent a good `start` yet */

struct server;
struct session;

struct server_hooks {
	/* A whole request; status, content_type and body of the answer are to be filled in. */
	void (*request)(void *user, const struct webhook_request *request,
			struct webhook_answer *answer);
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

struct server_config {
	const struct host_port *listen;
	const char *tls_cert, *tls_key; /* NULL: clear text */
	const struct server_hooks *hooks;
};

/* -errno with a log line. */
int server_create(struct server **out, struct loop *loop, const struct server_config *config);
/* Accepts no more; sessions go on. Idempotent. */
void server_stop_accepting(struct server *server);
/* Closes every session with `code`; done() of live ones is called as each socket goes. */
void server_close_sessions(struct server *server, int code);
int server_session_count(const struct server *server);
/* While the owner's tick runs: messages wait for it (loop_gather()), and have the date of their coming. */
void server_gather(struct server *server, bool gather);
/* Reads certificate and key again (same paths). False if they cannot be used: the old stay. */
bool server_reload_tls(struct server *server);
/* No hook is called any more; for use before loop_destroy(), in which the connections die. */
void server_stop(struct server *server);
/* After loop_destroy(): the last callbacks of its connections need it until then. NULL is fine. */
void server_destroy(struct server *server);

/* ---- sessions ------------------------------------------------------------------------------- */

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

#endif
