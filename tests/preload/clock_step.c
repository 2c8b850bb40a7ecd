/* SPDX-License-Identifier: MIT
 *
 * clock_step - a wall clock that a test sets, for one program that is started with this in LD_PRELOAD.
 *
 * $CLOCK_STEP_FILE holds one int64_t, nanoseconds that are added to CLOCK_REALTIME; it is mapped, so
 * what a test writes there counts at once, as settimeofday() would. The kernel's stamps of packets are
 * of the same clock and get the same. CLOCK_MONOTONIC is left alone.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL

static _Atomic int64_t *step;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);
static int (*real_recvmmsg)(int, struct mmsghdr *, unsigned, int, struct timespec *);

/* A symbol as a function: ISO C knows no cast between the two. */
static void find(void *function, const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	memcpy(function, &symbol, sizeof(symbol));
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_STEP_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*step), PROT_READ, MAP_SHARED, fd, 0);

	find(&real_clock_gettime, "clock_gettime");
	find(&real_recvmsg, "recvmsg");
	find(&real_recvmmsg, "recvmmsg");
	if (at != MAP_FAILED)
		step = at;
	if (fd >= 0)
		close(fd);
}

static void add(struct timespec *ts)
{
	int64_t ns = ts->tv_sec * NS + ts->tv_nsec + (step ? atomic_load(step) : 0);

	ts->tv_sec = ns / NS;
	ts->tv_nsec = ns % NS;
}

/* Plug-ins are built with hidden symbols; these are here to be found. */
#pragma GCC visibility push(default)

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int err;

	if (!real_clock_gettime) /* somebody's constructor came before ours */
		begin();
	err = real_clock_gettime(id, ts);
	if (!err && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		add(ts);
	return err;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

#pragma GCC visibility pop

static void stamps(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct timespec ts;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		add(&ts);
		memcpy(CMSG_DATA(c), &ts, sizeof(ts));
	}
}

#pragma GCC visibility push(default)

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n = real_recvmsg(fd, message, flags);

	if (n >= 0)
		stamps(message);
	return n;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
	int n = real_recvmmsg(fd, messages, count, flags, timeout);

	for (int i = 0; i < n; i++)
		stamps(&messages[i].msg_hdr);
	return n;
}

#pragma GCC visibility pop
