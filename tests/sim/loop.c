/* SPDX-License-Identifier: MIT
 *
 * loop.c - epoll for descriptors, a binary heap and one timerfd for times (see loop.h).
 */
#include "tests/sim/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct watch {
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
	bool used;
};

struct deferred {
	void (*free_it)(void *object);
	void *object;
};

struct sim_loop {
	int epoll_fd, timer_fd;
	bool stop;
	struct watch *watches; /* by descriptor */
	int watch_count;
	struct sim_timer **heap;
	int heap_count, heap_room;
	int64_t armed_ns; /* what the timerfd is set to; 0 = nothing */
	struct deferred *deferred;
	int deferred_count, deferred_room;
};

int64_t sim_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SIM_S + ts.tv_nsec;
}

int sim_loop_create(struct sim_loop **out)
{
	struct sim_loop *l = calloc(1, sizeof(*l));
	struct epoll_event ev = { .events = EPOLLIN };

	if (!l)
		return -ENOMEM;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	ev.data.fd = l->timer_fd;
	if (l->epoll_fd < 0 || l->timer_fd < 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->timer_fd, &ev)) {
		int err = -errno;

		sim_loop_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

static void run_deferred(struct sim_loop *l)
{
	for (int i = 0; i < l->deferred_count; i++) /* the list may grow while it is walked */
		l->deferred[i].free_it(l->deferred[i].object);
	l->deferred_count = 0;
}

void sim_loop_destroy(struct sim_loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	free(l->watches);
	free(l->heap);
	free(l->deferred);
	free(l);
}

int sim_loop_watch(struct sim_loop *l, int fd, uint32_t events,
		   void (*ready)(void *ctx, uint32_t events), void *ctx)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };
	bool again;

	if (fd >= l->watch_count) {
		int n = fd + 64;
		struct watch *w = realloc(l->watches, (size_t)n * sizeof(*w));

		if (!w)
			return -ENOMEM;
		memset(w + l->watch_count, 0, (size_t)(n - l->watch_count) * sizeof(*w));
		l->watches = w;
		l->watch_count = n;
	}
	again = l->watches[fd].used;
	if (epoll_ctl(l->epoll_fd, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	l->watches[fd] = (struct watch){ ready, ctx, true };
	return 0;
}

void sim_loop_unwatch(struct sim_loop *l, int fd)
{
	if (fd < 0 || fd >= l->watch_count || !l->watches[fd].used)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	l->watches[fd].used = false;
}

/* ---- timers: a binary heap ordered by due time ---- */

static void heap_put(struct sim_loop *l, int i, struct sim_timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct sim_loop *l, int i)
{
	struct sim_timer *t = l->heap[i];

	while (i > 0 && l->heap[(i - 1) / 2]->due_ns > t->due_ns) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void heap_down(struct sim_loop *l, int i)
{
	struct sim_timer *t = l->heap[i];

	for (;;) {
		int c = 2 * i + 1;

		if (c >= l->heap_count)
			break;
		if (c + 1 < l->heap_count && l->heap[c + 1]->due_ns < l->heap[c]->due_ns)
			c++;
		if (l->heap[c]->due_ns >= t->due_ns)
			break;
		heap_put(l, i, l->heap[c]);
		i = c;
	}
	heap_put(l, i, t);
}

void sim_timer_cancel(struct sim_loop *l, struct sim_timer *t)
{
	int i = t->slot - 1;
	struct sim_timer *last;

	if (i < 0)
		return;
	t->slot = 0;
	last = l->heap[--l->heap_count];
	if (last == t)
		return;
	heap_put(l, i, last);
	heap_up(l, i);
	heap_down(l, last->slot - 1);
}

void sim_timer_set(struct sim_loop *l, struct sim_timer *t, int64_t due_ns,
		   void (*fire)(void *ctx, int64_t now_ns), void *ctx)
{
	sim_timer_cancel(l, t);
	if (l->heap_count == l->heap_room) {
		int n = l->heap_room ? 2 * l->heap_room : 64;
		struct sim_timer **h = realloc(l->heap, (size_t)n * sizeof(*h));

		if (!h)
			abort();
		l->heap = h;
		l->heap_room = n;
	}
	t->due_ns = due_ns;
	t->fire = fire;
	t->ctx = ctx;
	l->heap[l->heap_count] = t;
	heap_up(l, l->heap_count++);
}

void sim_loop_defer(struct sim_loop *l, void (*free_it)(void *object), void *object)
{
	if (l->deferred_count == l->deferred_room) {
		int n = l->deferred_room ? 2 * l->deferred_room : 16;
		struct deferred *d = realloc(l->deferred, (size_t)n * sizeof(*d));

		if (!d)
			abort();
		l->deferred = d;
		l->deferred_room = n;
	}
	l->deferred[l->deferred_count++] = (struct deferred){ free_it, object };
}

static void arm(struct sim_loop *l)
{
	int64_t due = l->heap_count ? l->heap[0]->due_ns : 0;
	struct itimerspec its = { 0 };

	if (due == l->armed_ns)
		return;
	l->armed_ns = due;
	if (l->heap_count) {
		if (due < 1)
			due = 1; /* zero would disarm */
		its.it_value.tv_sec = due / SIM_S;
		its.it_value.tv_nsec = due % SIM_S;
	}
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

void sim_loop_stop(struct sim_loop *l)
{
	l->stop = true;
}

void sim_loop_run(struct sim_loop *l)
{
	struct epoll_event ev[64];

	while (!l->stop) {
		int n;

		arm(l);
		n = epoll_wait(l->epoll_fd, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;

			if (fd == l->timer_fd) {
				uint64_t expirations;

				if (read(fd, &expirations, sizeof(expirations)) > 0)
					l->armed_ns = 0;
				continue;
			}
			if (fd < l->watch_count && l->watches[fd].used)
				l->watches[fd].ready(l->watches[fd].ctx, ev[i].events);
		}
		/* bounded, so that a timer which re-arms itself in the past cannot starve the rest */
		for (int i = 0; i < 4096 && l->heap_count; i++) {
			struct sim_timer *t = l->heap[0];
			int64_t now = sim_now_ns();

			if (t->due_ns > now)
				break;
			sim_timer_cancel(l, t);
			t->fire(t->ctx, now);
		}
		run_deferred(l);
	}
}
