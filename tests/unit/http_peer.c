/* SPDX-License-Identifier: MIT
 *
 * http_peer.c - a scripted HTTP server for tests. One thread, poll(), a few connections.
 */
#include "tests/unit/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CONNECTIONS 32
#define REQUEST_MAX     65536

struct connection {
	int fd;
	size_t len;
	char text[REQUEST_MAX + 1];
};

struct http_peer {
	pthread_t thread;
	int listener, port;
	int stop[2];
	http_peer_answer answer;
	void *arg;
	_Atomic int requests; /* written by the thread, read by the test */
	struct connection *connections[MAX_CONNECTIONS];
};

/* Length of the complete request at the start of the text, 0 if it is not there yet. */
static size_t request_length(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *length;
	size_t head, body = 0;

	if (!end)
		return 0;
	head = (size_t)(end + 4 - text);
	length = strcasestr(text, "\r\nContent-Length:");
	if (length && length < end)
		body = (size_t)atoi(length + 17);
	return strlen(text) >= head + body ? head + body : 0;
}

static bool serve(struct http_peer *p, struct connection *c)
{
	ssize_t n = recv(c->fd, c->text + c->len, REQUEST_MAX - c->len, 0);
	size_t len;

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->text[c->len] = '\0';
	while ((len = request_length(c->text))) {
		char after = c->text[len];

		c->text[len] = '\0';
		if (!p->answer(p->arg, c->fd, c->text, atomic_fetch_add(&p->requests, 1)))
			return false;
		c->text[len] = after;
		memmove(c->text, c->text + len, c->len - len + 1);
		c->len -= len;
	}
	return true;
}

static void *run(void *arg)
{
	struct http_peer *p = arg;

	for (;;) {
		struct pollfd fds[MAX_CONNECTIONS + 2];
		int count = 2;

		fds[0] = (struct pollfd){.fd = p->stop[0], .events = POLLIN};
		fds[1] = (struct pollfd){.fd = p->listener, .events = POLLIN};
		for (int i = 0; i < MAX_CONNECTIONS; i++)
			fds[count++] =
				(struct pollfd){.fd = p->connections[i] ? p->connections[i]->fd
									: -1,
						.events = POLLIN};
		if (poll(fds, (nfds_t)count, -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (int i = 0; i < MAX_CONNECTIONS; i++) {
			if (!p->connections[i] || !fds[i + 2].revents ||
			    serve(p, p->connections[i]))
				continue;
			close(p->connections[i]->fd);
			free(p->connections[i]);
			p->connections[i] = NULL;
		}
		if (fds[1].revents) {
			int fd = accept(p->listener, NULL, NULL), i = 0;

			while (i < MAX_CONNECTIONS && p->connections[i])
				i++;
			if (fd >= 0 && i < MAX_CONNECTIONS) {
				p->connections[i] = calloc(1, sizeof(struct connection));
				p->connections[i]->fd = fd;
			} else if (fd >= 0) {
				close(fd);
			}
		}
	}
}

static struct http_peer *start(int listener, http_peer_answer answer, void *arg)
{
	struct http_peer *p = calloc(1, sizeof(*p));

	p->listener = listener;
	p->answer = answer;
	p->arg = arg;
	if (listen(listener, 16) || pipe(p->stop) || pthread_create(&p->thread, NULL, run, p))
		abort();
	return p;
}

struct http_peer *http_peer_start(http_peer_answer answer, void *arg)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct http_peer *p;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		abort();
	p = start(fd, answer, arg);
	p->port = ntohs(a.sin_port);
	return p;
}

struct http_peer *http_peer_start_unix(const char *path, http_peer_answer answer, void *arg)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		abort();
	strcpy(a.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		abort();
	return start(fd, answer, arg);
}

int http_peer_port(const struct http_peer *p)
{
	return p->port;
}

int http_peer_requests(struct http_peer *p)
{
	return atomic_load(&p->requests);
}

void http_peer_stop(struct http_peer *p)
{
	if (write(p->stop[1], "x", 1) != 1)
		abort();
	pthread_join(p->thread, NULL);
	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		if (!p->connections[i])
			continue;
		close(p->connections[i]->fd);
		free(p->connections[i]);
	}
	close(p->listener);
	close(p->stop[0]);
	close(p->stop[1]);
	free(p);
}
