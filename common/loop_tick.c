/* SPDX-License-Identifier: MIT
 *
 * loop_tick.c - a period by timerfd.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"

struct loop_tick {
	int fd;
	struct loop_watch *watch;
	void (*fn)(void *arg, uint64_t periods, int64_t now_ns);
	void *arg;
};

static void on_tick(void *arg, uint32_t events)
{
	struct loop_tick *tick = arg;
	uint64_t periods;

	/* EAGAIN where the period was set anew in between. */
	if (read(tick->fd, &periods, sizeof(periods)) == (ssize_t)sizeof(periods))
		tick->fn(tick->arg, periods, clock_mono_ns());
}

int loop_tick_start(struct loop *loop, struct loop_tick **out, int64_t period_ns,
		    void (*fn)(void *arg, uint64_t periods, int64_t now_ns), void *arg)
{
	struct loop_tick *tick;
	int err;

	*out = NULL;
	if (period_ns < 1)
		return -EINVAL;
	tick = calloc(1, sizeof(*tick));
	if (!tick)
		return -ENOMEM;
	tick->fn = fn;
	tick->arg = arg;
	tick->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (tick->fd < 0) {
		err = -errno;
		goto out_free;
	}
	err = loop_watch_add(loop, &tick->watch, tick->fd, EPOLLIN, on_tick, tick);
	if (err)
		goto out_close;
	loop_tick_period(tick, period_ns);
	*out = tick;
	return 0;

out_close:
	close(tick->fd);
out_free:
	free(tick);
	return err;
}

void loop_tick_period(struct loop_tick *tick, int64_t period_ns)
{
	struct itimerspec spec = {.it_interval = {.tv_sec = period_ns / NS_PER_SEC,
						  .tv_nsec = period_ns % NS_PER_SEC}};

	spec.it_value = spec.it_interval;
	timerfd_settime(tick->fd, 0, &spec, NULL);
}

void loop_tick_stop(struct loop_tick *tick)
{
	if (!tick)
		return;
	loop_watch_remove(tick->watch);
	close(tick->fd);
	free(tick);
}
