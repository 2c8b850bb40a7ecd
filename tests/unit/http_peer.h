/* SPDX-License-Identifier: MIT
 *
 * http_peer.h - for tests: a server on a loopback port that answers by script, on a thread, with
 * plain sockets, so that clients are tested against something that shares no code with them.
 */
#ifndef TESTS_UNIT_HTTP_PEER_H
#define TESTS_UNIT_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct http_peer;

/*
 * For each request (head and body, NUL behind it; number counts from 0), on the server's thread:
 * write what shall be answered to fd. Return false to close the connection.
 */
typedef bool (*http_peer_answer)(void *arg, int fd, const char *request, int number);

/* Aborts if there is no port. */
struct http_peer *http_peer_start(http_peer_answer answer, void *arg);
/* The same on a Unix socket. */
struct http_peer *http_peer_start_unix(const char *path, http_peer_answer answer, void *arg);
int http_peer_port(const struct http_peer *peer);
int http_peer_requests(struct http_peer *peer);
/* Closes what is open and joins. */
void http_peer_stop(struct http_peer *peer);

#endif
