/* SPDX-License-Identifier: MIT
 *
 * unix_probe.c - see unix_probe.h.
 */
#include "common/unix_probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/loop.h"

struct unix_probe {
	int fd;
	struct loop_watch *watch;
	void (*done)(void *arg, int err);
	void *arg;
};

static const char question[] = "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static void on_answer(void *arg, uint32_t events)
{
	struct unix_probe *p = arg;
	void (*done)(void *arg, int err) = p->done;
	void *done_arg = p->arg;
	char byte;
	ssize_t n = recv(p->fd, &byte, 1, MSG_DONTWAIT);
	int err = n > 0 ? 0 : n == 0 ? -ECONNRESET : -errno;

	if (err == -EAGAIN || err == -EINTR)
		return;
	unix_probe_cancel(p);
	done(done_arg, err);
}

int unix_probe_start(struct unix_probe **out, struct loop *loop, const char *path,
		     void (*done)(void *arg, int err), void *arg)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct unix_probe *p;
	int err;

	*out = NULL;
	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->done = done;
	p->arg = arg;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		goto fail;
	/* Dropped already: the watch tells. The socket's buffer takes so much at any time. */
	if (send(p->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		goto fail;
	err = loop_watch_add(loop, &p->watch, p->fd, EPOLLIN, on_answer, p);
	if (err) {
		errno = -err;
		goto fail;
	}
	*out = p;
	return 0;

fail:
	err = -errno;
	unix_probe_cancel(p);
	return err;
}

void unix_probe_cancel(struct unix_probe *p)
{
	if (!p)
		return;
	loop_watch_remove(p->watch);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}
