/* SPDX-License-Identifier: MIT
 *
 * notify.c - see notify.h.
 */
#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * The socket is made once and kept: a process that has run out of descriptors must still be able
 * to say that it lives, or systemd's watchdog would end the calls that are up. One thread only.
 */
static int notify_fd = -1;

static int notify_socket(struct sockaddr_un *to, socklen_t *to_len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || !*path)
		return 0;
	size_t len = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(to->sun_path))
		return -EINVAL;
	memcpy(to->sun_path, path, len);
	if (path[0] == '@') /* the abstract namespace */
		to->sun_path[0] = 0;
	*to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (notify_fd < 0)
		notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return notify_fd < 0 ? -errno : 1;
}

int notify_send(const char *state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	socklen_t to_len = 0;
	int there = notify_socket(&to, &to_len);
	if (there <= 0)
		return there;
	ssize_t n = sendto(notify_fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			   (struct sockaddr *)&to, to_len);
	return n < 0 ? -errno : 0;
}

int64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	if (!usec || !*usec || (pid && *pid && atoll(pid) != (long long)getpid()))
		return 0;
	long long us = strtoll(usec, &end, 10);
	return *end || us <= 0 ? 0 : us / 1000;
}
