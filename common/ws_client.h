/* SPDX-License-Identifier: MIT
 *
 * ws_client.h - one WebSocket connection as a client (RFC 6455), over TLS, over
 * clear text to loopback hosts, or over a Unix socket. It connects once: reconnecting,
 * with what back-off and what state, is the owner's business.
 *
 * Everything runs on the loop's thread. Callbacks never run inside ws_client_open().
 * Every client ends in exactly one on_close(), unless it is destroyed before.
 */
#ifndef COMMON_WS_CLIENT_H
#define COMMON_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http_client;
struct ws_client;

/* Why a connection ended. Text from the peer is in `reason` only. */
struct ws_close {
	bool opened; /* false: it never came to a WebSocket */
	int code;    /* the peer's close code; 1005 a close frame without code; 1006 none came */
	char reason[124]; /* the peer's reason, UTF-8, "" if none */
	int http_status;  /* status that refused the upgrade, 0 if unknown */
	char error[160];  /* for the log: what failed on our side ("connect: refused", "message over
			     65536 bytes") */
};

struct ws_client_config {
	struct loop *loop;
	struct http_client
		*resolver; /* looks names up; not needed for addresses and Unix sockets */

	const char *url; /* wss://host[:port][/path][?query]; ws:// to loopback hosts only */
	const char
		*unix_path;  /* instead of host and port of url, whose path and query stay in use */
	const char *ca_file; /* NULL: system store; a file replaces it */
	const char *user_agent; /* NULL: none sent */

	size_t max_message_bytes; /* a longer message closes with 1009; 0: 1 MiB */
	size_t max_queue_bytes;   /* of messages not yet written; 0: 256 KiB */
	int connect_timeout_ms;   /* look-up, connect, TLS and upgrade together; 0: 10 s */
	int ping_s; /* idle seconds before a ping; 0: 20. The line is given up ping_s, at most 10 s,
		     * after. -1: never
		     */

	void (*on_open)(void *user);
	/* A whole message; data has a NUL behind it and is gone after the call. */
	void (*on_message)(void *user, const uint8_t *data, size_t len, bool binary);
	/* The last callback. The owner still has to call ws_client_destroy(), and may do so in
	 * here. */
	void (*on_close)(void *user, const struct ws_close *close);
	void *user;
};

/*
 * Starts connecting; strings of config are copied. -EINVAL with a log line for a URL that is not
 * allowed, -ENOMEM. Failures to connect come by on_close().
 */
int ws_client_open(struct ws_client **out, const struct ws_client_config *config);

/* Queues a message. -ENOTCONN before on_open and after close, -ENOBUFS when the queue is full,
 * -ENOMEM. */
int ws_client_send_text(struct ws_client *client, const char *text, size_t len);
int ws_client_send_binary(struct ws_client *client, const uint8_t *data, size_t len);
size_t ws_client_queued_bytes(const struct ws_client *client);

/*
 * Starts the closing handshake once what is queued has been written; on_close follows, at the
 * latest after 3 s. code 1000..4999 as RFC 6455 7.4. reason may be NULL, is cut to 123 bytes.
 * Before on_open it drops the attempt.
 */
void ws_client_close(struct ws_client *client, int code, const char *reason);

/* Frees at once without further callbacks; an open connection is dropped (no close frame). NULL is
 * fine. From inside callbacks too. */
void ws_client_destroy(struct ws_client *client);

#endif
