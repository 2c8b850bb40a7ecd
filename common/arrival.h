/* SPDX-License-Identifier: MIT
 *
 * arrival.h - when did the kernel take from the wire what a socket has received?
 *
 * Who is told need not be woken by each packet: what lies in a socket until there is other work has the
 * date of its coming all the same. The kernel's stamps are of the wall clock, which may be set meanwhile;
 * ours are CLOCK_MONOTONIC. Never later than the truth by more than the looking takes.
 */
#ifndef COMMON_ARRIVAL_H
#define COMMON_ARRIVAL_H

#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

/* Room that the stamp needs in a message's control data; aligned as a struct cmsghdr. */
#define ARRIVAL_CONTROL_BYTES CMSG_SPACE(sizeof(struct timespec))

/* Asks for stamps; no matter if there are none, everything then came when it was read. */
void arrival_enable(int fd);

/* Watches whether the wall clock is set; zeroed at first. One for each thread that reads sockets. */
struct arrival_clock {
	int64_t ahead_ns, looked_ns;
};

/* The wall clock at now_ns; 0 if it was set since the last look (slewing is 500 ppm at most). */
int64_t arrival_wall_ns(struct arrival_clock *clock, int64_t now_ns);

/* When a message came that recvmsg() filled in; now_ns if it has no stamp that can be, or wall_ns is 0. It
 * may be after now_ns: it came while we worked. */
int64_t arrival_ns(struct msghdr *message, int64_t now_ns, int64_t wall_ns);

/* When the oldest came of what lies in a stream socket, which is left there; 0 if there is nothing. */
int64_t arrival_peek(int fd, int64_t now_ns, int64_t wall_ns);

#endif
