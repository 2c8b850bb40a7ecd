/* SPDX-License-Identifier: MIT
 *
 * loop_timer.c - one-shot timers of a loop: a sorted list and one timerfd for its head.
 *
 * Not lws_sul: libwebsockets 4.1.6 hands poll() whole milliseconds, rounded down, and so polls without
 * a pause through the last millisecond before a timer. With 50 voice connections that was a third of
 * the CPU time of the thread that holds them.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop_internal.h"

struct loop_timers {
	int fd;
	struct loop_watch *watch;
	struct loop_timer *first; /* the next to fire; of those at one moment the one set first */
	int64_t armed_ns;         /* what the descriptor waits for; INT64_MAX: nothing */
};

static void arm(struct loop_timers *timers, int64_t at_ns)
{
	struct itimerspec spec = {.it_value = {.tv_sec = at_ns / NS_PER_SEC, .tv_nsec = at_ns % NS_PER_SEC}};

	timers->armed_ns = at_ns;
	timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void unlink_timer(struct loop_timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->link = NULL;
}

static void on_due(void *arg, uint32_t events)
{
	struct loop_timers *timers = arg;
	uint64_t times;
	int64_t now_ns = clock_mono_ns();

	/* EAGAIN where it was set anew in between */
	if (read(timers->fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		return;
	timers->armed_ns = INT64_MAX;
	/* What a timer sets to run at once is due later than now_ns: it waits for the next turn. */
	while (timers->first && timers->first->due_ns <= now_ns) {
		struct loop_timer *timer = timers->first;

		unlink_timer(timer);
		timer->fn(timer->arg);
	}
	if (timers->first && timers->first->due_ns < timers->armed_ns)
		arm(timers, timers->first->due_ns);
}

int loop_timers_create(struct loop *loop, struct loop_timers **out)
{
	struct loop_timers *timers = calloc(1, sizeof(*timers));
	int err;

	*out = NULL;
	if (!timers)
		return -ENOMEM;
	timers->armed_ns = INT64_MAX;
	timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	err = timers->fd < 0 ? -errno : loop_watch_add(loop, &timers->watch, timers->fd, EPOLLIN, on_due, timers);
	if (err < 0) {
		loop_timers_destroy(timers);
		return err;
	}
	*out = timers;
	return 0;
}

void loop_timers_destroy(struct loop_timers *timers)
{
	if (!timers)
		return;
	while (timers->first)
		unlink_timer(timers->first);
	loop_watch_remove(timers->watch);
	if (timers->fd >= 0)
		close(timers->fd);
	free(timers);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms, void (*fn)(void *arg),
		    void *arg)
{
	struct loop_timers *timers = loop_timers(loop);
	struct loop_timer **at = &timers->first;

	loop_timer_cancel(timer);
	timer->due_ns = clock_mono_ns() + (delay_ms > 0 ? delay_ms * NS_PER_MS : 1);
	timer->fn = fn;
	timer->arg = arg;
	while (*at && (*at)->due_ns <= timer->due_ns)
		at = &(*at)->next;
	timer->next = *at;
	timer->link = at;
	if (*at)
		(*at)->link = &timer->next;
	*at = timer;
	if (timer->due_ns < timers->armed_ns)
		arm(timers, timer->due_ns);
}

/* The descriptor keeps its moment, be it in vain: that wakes once, setting it anew is a system call. */
void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->link)
		unlink_timer(timer);
}

bool loop_timer_pending(const struct loop_timer *timer)
{
	return timer->link;
}
