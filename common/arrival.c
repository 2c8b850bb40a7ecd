/* SPDX-License-Identifier: MIT
 *
 * arrival.c - see arrival.h.
 */
#include "common/arrival.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define AGE_MAX_NS NS_PER_SEC /* more, and the clock was set */
#define SET_NS     NS_PER_MS

void arrival_enable(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
}

int64_t arrival_wall_ns(struct arrival_clock *clock, int64_t now_ns)
{
	int64_t ahead_ns = clock_wall_ns() - now_ns, moved_ns = ahead_ns - clock->ahead_ns;
	bool set = llabs(moved_ns) > SET_NS + (now_ns - clock->looked_ns) / 1000;

	clock->ahead_ns = ahead_ns;
	clock->looked_ns = now_ns;
	return set ? 0 : now_ns + ahead_ns;
}

int64_t arrival_ns(struct msghdr *message, int64_t now_ns, int64_t wall_ns)
{
	struct timespec stamp;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
		int64_t age_ns = wall_ns - (stamp.tv_sec * NS_PER_SEC + stamp.tv_nsec);

		return age_ns < AGE_MAX_NS && age_ns > -AGE_MAX_NS ? now_ns - age_ns : now_ns;
	}
	return now_ns;
}

int64_t arrival_peek(int fd, int64_t now_ns, int64_t wall_ns)
{
	union {
		char bytes[ARRIVAL_CONTROL_BYTES];
		struct cmsghdr align;
	} control;
	char first;
	struct iovec span = {&first, 1};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};

	if (recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return 0;
	return arrival_ns(&message, now_ns, wall_ns);
}
