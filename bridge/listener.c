/* SPDX-License-Identifier: MIT
 *
 * listener.c - see listener.h.
 */
#include "bridge/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge/rate_limit.h"
#include "common/clock.h"
#include "common/log.h"

#define FIRST_PASSED_FD 3   /* SD_LISTEN_FDS_START */
#define ACCEPT_AT_ONCE  16  /* then other descriptors get their turn */
#define PAUSE_MS        100 /* when there is no room */
#define CONNECT_BURST   60  /* new connections of one address at once … */
#define CONNECT_RATE    10  /* … and a second after that */

struct listener {
	struct loop *loop;
	bool (*accepted)(void *user, int fd, const struct sockaddr_storage *peer);
	void *user;
	int fd;
	struct loop_watch *watch;
	struct loop_timer resume;
	struct rate_limit *limit;
	int connections;
	struct log_rate full_rate, flood_rate;
};

static int passed_fd(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

	if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid() || strtol(count, NULL, 10) < 1)
		return -1;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	fcntl(FIRST_PASSED_FD, F_SETFD, FD_CLOEXEC);
	fcntl(FIRST_PASSED_FD, F_SETFL, fcntl(FIRST_PASSED_FD, F_GETFL) | O_NONBLOCK);
	return FIRST_PASSED_FD;
}

static int open_fd(const struct host_port *where)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t len;
	int one = 1, fd, err;

	memset(&address, 0, sizeof(address));
	if (where->ipv6) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(where->port);
		if (inet_pton(AF_INET6, where->host, &address.v6.sin6_addr) != 1)
			return -EINVAL;
		len = sizeof(address.v6);
	} else {
		const char *host = strcmp(where->host, "localhost") == 0 ? "127.0.0.1" : where->host;

		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(where->port);
		if (host[0] && inet_pton(AF_INET, host, &address.v4.sin_addr) != 1)
			return -EINVAL; /* names need a look-up, and may have several addresses */
		len = sizeof(address.v4);
	}
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &address.any, len) < 0 || listen(fd, 256) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void on_resume(void *arg)
{
	struct listener *l = arg;

	loop_watch_change(l->watch, EPOLLIN);
}

static void pause_accepting(struct listener *l, const char *why)
{
	log_rated(&l->full_rate, 10000, LOG_LEVEL_WARN, "not accepting connections for a moment why=\"%s\"",
		  why);
	loop_watch_change(l->watch, 0);
	loop_timer_set(l->loop, &l->resume, PAUSE_MS, on_resume, l);
}

static void on_connection(void *arg, uint32_t events)
{
	struct listener *l = arg;

	(void)events;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t len = sizeof(peer);
		const struct sockaddr *address = (const struct sockaddr *)&peer;
		int one = 1, idle_s = 15, fd;

		if (l->connections >= LISTENER_MAX_CONNECTIONS) {
			pause_accepting(l, "too many connections");
			return;
		}
		fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(l, strerror(errno));
			return; /* nobody there, or gone again */
		}
		/* Behind a proxy everybody has the proxy's address, so that is not limited here. */
		if (!address_is_local(address) && !rate_limit_allow(l->limit, address, clock_mono_ns())) {
			char text[ADDRESS_TEXT_BYTES];

			address_text(address, text);
			log_rated(&l->flood_rate, 10000, LOG_LEVEL_WARN,
				  "turning a connection away: too many from there peer=%s", text);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
		if (l->accepted(l->user, fd, &peer))
			l->connections++;
		else
			log_rated(&l->full_rate, 10000, LOG_LEVEL_WARN, "cannot take a connection on");
	}
}

int listener_create(struct listener **out, struct loop *loop, const struct host_port *where,
		    bool (*accepted)(void *user, int fd, const struct sockaddr_storage *peer),
		    void *user)
{
	struct listener *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	*out = NULL;
	if (!l)
		return err;
	l->loop = loop;
	l->accepted = accepted;
	l->user = user;
	l->fd = passed_fd();
	if (l->fd >= 0) {
		log_info("listening on the socket that systemd passed");
	} else {
		l->fd = open_fd(where);
		if (l->fd < 0) {
			err = l->fd;
			log_error("cannot listen on %s:%u: %s", where->host, where->port,
				  err == -EINVAL ? "expected an address, not a name" : strerror(-err));
			goto out;
		}
		log_info("listening address=%s port=%u", where->host, where->port);
	}
	err = rate_limit_create(&l->limit, CONNECT_BURST, CONNECT_RATE);
	if (err)
		goto out;
	err = loop_watch_add(loop, &l->watch, l->fd, EPOLLIN, on_connection, l);
	if (err)
		goto out;
	*out = l;
	l = NULL;
out:
	listener_destroy(l);
	return err;
}

void listener_destroy(struct listener *l)
{
	if (!l)
		return;
	loop_timer_cancel(&l->resume);
	loop_watch_remove(l->watch);
	rate_limit_destroy(l->limit);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

void listener_released(struct listener *l)
{
	if (l && l->connections > 0)
		l->connections--;
}
