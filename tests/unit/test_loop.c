/* SPDX-License-Identifier: MIT
 *
 * test_loop.c - timers, watches, ticks, posts and signals of the event loop.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"

#define LONG_MS 8000 /* a deadline that only a defect reaches */

static struct loop *loop;

static void set_up(void)
{
	CHECK_INT(loop_create(&loop), 0);
}

static bool is_set(void *arg)
{
	return *(int *)arg != 0;
}

static void count(void *arg)
{
	++*(int *)arg;
}

static void test_timer_fires_once_and_not_early(void)
{
	struct loop_timer a = {0}, b = {0};
	int fired = 0, cancelled = 0;
	int64_t start;

	set_up();
	start = clock_mono_ns();
	loop_timer_set(loop, &b, 60, count, &cancelled);
	loop_timer_set(loop, &a, 100, count, &fired);
	CHECK(loop_timer_pending(&a) && loop_timer_pending(&b));
	loop_timer_cancel(&b);
	CHECK(!loop_timer_pending(&b));
	CHECK(loop_run_until(loop, is_set, &fired, LONG_MS));
	CHECK(clock_mono_ns() - start >= 99 * NS_PER_MS);
	CHECK(!loop_timer_pending(&a));
	CHECK(!loop_run_until(loop, is_set, &cancelled, 150));
	CHECK_INT(fired, 1);
	loop_timer_cancel(&a);
	loop_destroy(loop);
}

static void test_timer_can_be_moved(void)
{
	struct loop_timer a = {0};
	int first = 0, second = 0;

	set_up();
	loop_timer_set(loop, &a, LONG_MS * 10, count, &first);
	loop_timer_set(loop, &a, 0, count, &second);
	CHECK(loop_run_until(loop, is_set, &second, LONG_MS));
	CHECK_INT(first, 0);
	loop_destroy(loop);
}

/* libwebsockets' poll() comes here: it counts. */
static int polls;

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * NS_PER_MS};

	polls++;
	return ppoll(fds, n, timeout_ms < 0 ? NULL : &t, NULL);
}

/* libwebsockets' own timers poll without a pause through their last millisecond. */
static void test_timers_are_not_waited_for_by_polling(void)
{
	enum { TIMERS = 40 };
	struct loop_timer timer[TIMERS] = {0};
	int fired = 0;

	set_up();
	/* libwebsockets 4.3.5 has one of its own, once, 50 ms after it was made */
	loop_run_until(loop, is_set, &(int){0}, 200);
	for (int i = 0; i < TIMERS; i++) {
		loop_timer_set(loop, &timer[i], 20 + 7 * i, count, &fired);
		usleep(300); /* no two due within the same part of a millisecond */
	}
	polls = 0;
	for (int i = 0; i < 100 && fired < TIMERS; i++)
		loop_run_until(loop, is_set, &(int){0}, 50);
	CHECK_INT(fired, TIMERS);
	/* one for each timer, one for each 10 ms and each turn of loop_run_until(); two each would do */
	CHECK(polls > 0);
	CHECK(polls < 2 * (TIMERS + 100));
	loop_destroy(loop);
}

static char order[8];

static void note_a(void *arg)
{
	strcat(order, "a");
}

static void note_b(void *arg)
{
	strcat(order, "b");
	loop_timer_set(loop, arg, 0, note_a, NULL); /* in the next turn */
}

/* Due at one moment, late: in order of setting. One may cancel another and set itself. */
static void test_timers_keep_their_order(void)
{
	struct loop_timer t[4] = {0};

	set_up();
	order[0] = '\0';
	loop_timer_set(loop, &t[0], 30, note_a, NULL);
	loop_timer_set(loop, &t[1], 30, note_b, &t[3]);
	loop_timer_set(loop, &t[2], 30, note_b, &t[3]);
	usleep(60000);
	loop_run_until(loop, is_set, &(int){0}, 100);
	CHECK(strcmp(order, "abba") == 0);
	CHECK(!loop_timer_pending(&t[3]));
	loop_timer_set(loop, &t[0], 5, note_a, NULL);
	loop_timer_set(loop, &t[1], 50, note_a, NULL);
	loop_destroy(loop); /* forgets them */
	CHECK(!loop_timer_pending(&t[0]) && !loop_timer_pending(&t[1]));
}

struct pipe_watch {
	struct loop_watch *watch;
	int fd;
	int bytes;
	int hup;
};

static void on_pipe(void *arg, uint32_t events)
{
	struct pipe_watch *p = arg;
	char buf[16];
	ssize_t n;

	if (events & EPOLLIN) {
		n = read(p->fd, buf, sizeof(buf));
		if (n > 0)
			p->bytes += (int)n;
	}
	if (events & EPOLLHUP) {
		p->hup++;
		loop_watch_remove(p->watch);
		p->watch = NULL;
	}
}

static void test_watch_reads_and_survives_hang_up(void)
{
	struct pipe_watch p = {0};
	int fds[2];

	set_up();
	CHECK_INT(pipe2(fds, O_NONBLOCK), 0);
	p.fd = fds[0];
	CHECK_INT(loop_watch_add(loop, &p.watch, fds[0], EPOLLIN, on_pipe, &p), 0);
	CHECK_INT(write(fds[1], "abc", 3), 3);
	CHECK(loop_run_until(loop, is_set, &p.bytes, LONG_MS));
	CHECK_INT(p.bytes, 3);
	close(fds[1]);
	CHECK(loop_run_until(loop, is_set, &p.hup, LONG_MS));
	/* removed from inside; the descriptor is still ours */
	CHECK_INT(fcntl(fds[0], F_GETFD) >= 0, 1);
	CHECK(!loop_run_until(loop, is_set, &(int){0}, 60));
	CHECK_INT(p.hup, 1);
	close(fds[0]);
	loop_destroy(loop);
}

static void on_error(void *arg, uint32_t events)
{
	if (events & EPOLLERR)
		++*(int *)arg;
}

/* libwebsockets 4.1.6 would have closed this descriptor: POLLERR without POLLIN. */
static void test_watch_of_a_pipe_that_has_only_an_error(void)
{
	struct loop_watch *watch;
	int fds[2], errors = 0;

	set_up();
	CHECK_INT(pipe2(fds, O_NONBLOCK), 0);
	CHECK_INT(loop_watch_add(loop, &watch, fds[1], 0, on_error, &errors), 0);
	close(fds[0]);
	CHECK(loop_run_until(loop, is_set, &errors, LONG_MS));
	CHECK(fcntl(fds[1], F_GETFD) >= 0);
	loop_watch_remove(watch);
	close(fds[1]);
	loop_destroy(loop);
}

struct two {
	struct loop_watch *watch[2];
	int calls;
};

static void remove_both(void *arg, uint32_t events)
{
	struct two *t = arg;

	t->calls++;
	loop_watch_remove(t->watch[0]);
	loop_watch_remove(t->watch[1]);
}

/* Both are ready in one turn; the first removes both; the second must not be called. */
static void test_watch_removed_by_another_of_the_same_turn(void)
{
	struct two t = {0};
	int fds[4];

	set_up();
	for (int i = 0; i < 2; i++) {
		CHECK_INT(pipe(fds + 2 * i), 0);
		CHECK_INT(write(fds[2 * i + 1], "x", 1), 1);
		CHECK_INT(loop_watch_add(loop, &t.watch[i], fds[2 * i], EPOLLIN, remove_both, &t),
			  0);
	}
	CHECK(loop_run_until(loop, is_set, &t.calls, LONG_MS));
	CHECK(!loop_run_until(loop, is_set, &(int){0}, 60));
	CHECK_INT(t.calls, 1);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	loop_destroy(loop);
}

static void on_writable(void *arg, uint32_t events)
{
	if (events & EPOLLOUT)
		++*(int *)arg;
}

static void test_watch_change_to_writable(void)
{
	struct loop_watch *watch;
	int fds[2], writable = 0;

	set_up();
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	CHECK_INT(loop_watch_add(loop, &watch, fds[0], EPOLLIN, on_writable, &writable), 0);
	CHECK(!loop_run_until(loop, is_set, &writable, 60));
	CHECK_INT(loop_watch_change(watch, EPOLLIN | EPOLLOUT), 0);
	CHECK(loop_run_until(loop, is_set, &writable, LONG_MS));
	loop_watch_remove(watch);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(loop);
}

struct ticking {
	struct loop_tick *tick;
	uint64_t periods;
	int64_t first_ns, last_ns;
	int done;
};

static void on_tick(void *arg, uint64_t periods, int64_t now_ns)
{
	struct ticking *t = arg;

	if (!t->first_ns)
		t->first_ns = now_ns;
	t->periods += periods;
	t->last_ns = now_ns;
	if (t->periods >= 100) {
		t->done = 1;
		loop_tick_stop(t->tick);
		t->tick = NULL;
	}
}

static void test_tick_keeps_time(void)
{
	struct ticking t = {0};
	int64_t start = clock_mono_ns();

	set_up();
	CHECK_INT(loop_tick_start(loop, &t.tick, 5 * NS_PER_MS, on_tick, &t), 0);
	CHECK(loop_run_until(loop, is_set, &t.done, LONG_MS));
	/* However late the loop was, the periods add up: n periods never take less than their time.
	 */
	CHECK(t.last_ns - start >= (int64_t)t.periods * 5 * NS_PER_MS);
	CHECK(t.periods >= 100);
	loop_destroy(loop);
}

/* ---- gathered sockets ---------------------------------------------------------------------- */

#define GATHER_NS (20 * NS_PER_MS)

/* A connection of libwebsockets, and how what is written to its other end is read in turns of the loop. */
static struct gathering {
	int fds[2]; /* the first is libwebsockets' */
	int sent, bytes, looks, ticks, timers;
	bool hurry;
	struct loop_timer timer;
} G;

static int on_raw(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)wsi;
	(void)user;
	(void)in;
	if (reason == LWS_CALLBACK_RAW_RX)
		G.bytes += (int)len;
	return 0;
}

static void adopt(void)
{
	static const struct lws_protocols protocols[] = {{.name = "gathered", .callback = on_raw}, {0}};
	struct lws_context_creation_info info;
	lws_sock_file_fd_type adopted;
	struct lws_vhost *vhost;

	memset(&G, 0, sizeof(G));
	set_up();
	loop_vhost_info(&info);
	info.protocols = protocols;
	info.vhost_name = "gathered";
	vhost = lws_create_vhost(loop_lws(loop), &info);
	CHECK(vhost != NULL);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, G.fds), 0);
	adopted.sockfd = G.fds[0];
	CHECK(lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_SOCKET, adopted, "gathered", NULL) != NULL);
}

static void say(void)
{
	CHECK_INT(write(G.fds[1], "x", 1), 1);
	G.sent++;
}

static void on_look(void *arg)
{
	CHECK(arg == &G);
	G.looks++;
}

static void on_said(void *arg)
{
	(void)arg;
	G.timers++;
	say();
}

static void on_gathered_tick(void *arg, uint64_t periods, int64_t now_ns)
{
	(void)arg;
	(void)periods;
	(void)now_ns;
	/* what came before the tick has been read before it */
	CHECK_INT(G.bytes, G.sent);
	G.ticks++;
	if (G.hurry) {
		say();
		loop_hurry(loop);
	} else {
		loop_timer_set(loop, &G.timer, 5, on_said, NULL);
	}
	if (G.ticks == 20)
		loop_stop(loop);
}

static void gather(bool hurry)
{
	struct loop_tick *tick;

	adopt();
	G.hurry = hurry;
	CHECK_INT(loop_tick_start(loop, &tick, GATHER_NS, on_gathered_tick, &G), 0);
	loop_gather(loop, on_look, &G);
	CHECK_INT(loop_run(loop), 0);
	loop_gather(loop, NULL, NULL);
	loop_timer_cancel(&G.timer);
	loop_tick_stop(tick);
}

static void end_gathering(void)
{
	close(G.fds[1]);
	loop_destroy(loop);
}

/* What comes on a socket does not wake the loop: it is read when the tick does, right before that. */
static void test_gathered_sockets_wait_for_the_tick(void)
{
	gather(false);
	CHECK(G.timers >= 15); /* a late tick may find its timer not due yet */
	/* turns are those of the ticks and the timers; each byte would make one more */
	CHECK(G.looks >= G.ticks);
	CHECK(G.looks <= G.ticks + G.timers + 2);
	/* and not for ever: without gathering it comes by itself */
	G.sent = G.bytes = 0;
	say();
	CHECK(loop_run_until(loop, is_set, &G.bytes, LONG_MS));
	end_gathering();
}

static void test_hurry_looks_at_once(void)
{
	gather(true);
	/* each is read in a turn of its own, before the next tick; a late loop may find both */
	CHECK(G.looks >= G.ticks + 10);
	end_gathering();
}

static void count_tick(void *arg, uint64_t periods, int64_t now_ns)
{
	(void)periods;
	(void)now_ns;
	++*(int *)arg;
}

/* Off, on, faster: also when no descriptor is left, which once ended a watch for good. */
static void test_tick_changes_its_period_without_descriptors(void)
{
	struct loop_tick *tick;
	struct rlimit old;
	int count = 0, before;

	set_up();
	CHECK_INT(loop_tick_start(loop, &tick, NS_PER_MS, count_tick, &count), 0);
	CHECK(loop_run_until(loop, is_set, &count, LONG_MS));
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
	loop_tick_period(tick, 0);
	before = count;
	int never = 0;
	loop_run_until(loop, is_set, &never, 50);
	CHECK(count <= before + 1); /* one that was due already */
	count = 0;
	/* loop_run_until() has a tick of its own */
	int fds[2], spare = 0;
	CHECK_INT(pipe(fds), 0);
	close(fds[0]);
	close(fds[1]);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)fds[0], old.rlim_max}), 0);
	spare = dup(0);
	loop_tick_period(tick, NS_PER_MS);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK(spare < 0);
	CHECK(loop_run_until(loop, is_set, &count, LONG_MS));
	loop_tick_stop(tick);
	loop_destroy(loop);
}

struct posting {
	int seen[4];
	int next[4];
	int out_of_order;
	int total;
};

struct post_item {
	struct posting *p;
	int thread, number;
};

#define POSTS 2000

static void on_post(void *arg)
{
	struct post_item *item = arg;

	item->p->out_of_order += item->p->next[item->thread]++ != item->number;
	item->p->total++;
	free(item);
}

static struct posting posting;

static void *poster(void *arg)
{
	int thread = *(int *)arg;

	for (int i = 0; i < POSTS; i++) {
		struct post_item *item = malloc(sizeof(*item));

		*item = (struct post_item){&posting, thread, i};
		if (loop_post(loop, on_post, item))
			abort();
	}
	return NULL;
}

static bool all_posted(void *arg)
{
	return posting.total == 4 * POSTS;
}

static void test_posts_of_many_threads_keep_their_order(void)
{
	pthread_t threads[4];
	int numbers[4] = {0, 1, 2, 3};

	set_up();
	memset(&posting, 0, sizeof(posting));
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, poster, &numbers[i]), 0);
	CHECK(loop_run_until(loop, all_posted, NULL, LONG_MS));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(posting.out_of_order, 0);
	loop_destroy(loop);
}

static void test_post_runs_at_destroy_at_the_latest(void)
{
	int ran = 0;

	set_up();
	CHECK_INT(loop_post(loop, count, &ran), 0);
	loop_destroy(loop);
	CHECK_INT(ran, 1);
}

static void *stopper(void *arg)
{
	usleep(30000);
	loop_stop(loop);
	return NULL;
}

static void test_stop_from_another_thread(void)
{
	pthread_t thread;

	set_up();
	alarm(20);
	CHECK_INT(pthread_create(&thread, NULL, stopper, NULL), 0);
	CHECK_INT(loop_run(loop), 0);
	alarm(0);
	pthread_join(thread, NULL);
	loop_destroy(loop);
}

static void on_signal(void *arg, int signo)
{
	*(int *)arg = signo;
}

static void test_signals_come_on_the_loop(void)
{
	sigset_t old;
	int got = 0;

	pthread_sigmask(SIG_BLOCK, NULL, &old);
	set_up();
	CHECK_INT(loop_signals(loop, on_signal, &got), 0);
	CHECK_INT(loop_signals(loop, on_signal, &got), -EBUSY);
	kill(getpid(), SIGHUP);
	CHECK(loop_run_until(loop, is_set, &got, LONG_MS));
	CHECK_INT(got, SIGHUP);
	got = 0;
	kill(getpid(), SIGTERM);
	CHECK(loop_run_until(loop, is_set, &got, LONG_MS));
	CHECK_INT(got, SIGTERM);
	loop_destroy(loop);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop(void *arg)
{
	loop_stop(loop);
}

/* An idle loop must sleep: CPU time in one second of nothing, with a wide margin for the machine.
 */
static void test_idle_costs_nothing(void)
{
	struct rusage a, b;
	int64_t us;

	struct loop_timer timer = {0};

	set_up();
	loop_run_until(loop, is_set, &(int){0}, 100);
	getrusage(RUSAGE_SELF, &a);
	loop_timer_set(loop, &timer, 1000, stop, NULL);
	CHECK_INT(loop_run(loop), 0);
	getrusage(RUSAGE_SELF, &b);
	us = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) *
		     INT64_C(1000000) +
	     b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
	CHECK(us < 100000);
	CHECK(b.ru_nvcsw - a.ru_nvcsw < 50);
	loop_destroy(loop);
}

int main(void)
{
	log_init("test", LOG_LEVEL_ERROR);
	UNIT(test_timer_fires_once_and_not_early);
	UNIT(test_timer_can_be_moved);
	UNIT(test_timers_are_not_waited_for_by_polling);
	UNIT(test_timers_keep_their_order);
	UNIT(test_watch_reads_and_survives_hang_up);
	UNIT(test_watch_of_a_pipe_that_has_only_an_error);
	UNIT(test_watch_removed_by_another_of_the_same_turn);
	UNIT(test_watch_change_to_writable);
	UNIT(test_tick_keeps_time);
	UNIT(test_gathered_sockets_wait_for_the_tick);
	UNIT(test_hurry_looks_at_once);
	UNIT(test_tick_changes_its_period_without_descriptors);
	UNIT(test_posts_of_many_threads_keep_their_order);
	UNIT(test_post_runs_at_destroy_at_the_latest);
	UNIT(test_stop_from_another_thread);
	UNIT(test_signals_come_on_the_loop);
	UNIT(test_idle_costs_nothing);
	return unit_done();
}
