/* SPDX-License-Identifier: MIT
 *
 * loop.c - the libwebsockets context, its poll() loop, and the one epoll set beside it.
 */
#include "common/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop_internal.h"
#include "common/mutex.h"

#define EVENTS_A_TURN     32
#define GATHER_MOST_MS    20 /* should there be no tick after all */
#define RUN_UNTIL_LOOK_MS 10

struct loop_watch {
	struct loop_watch *next;
	struct loop *loop;
	int fd;
	bool removed;
	void (*fn)(void *arg, uint32_t events);
	void *arg;
};

struct posted {
	struct posted *next;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct lws_context *lws;
	struct lws_vhost *vhost; /* of the adopted epoll descriptor */
	struct loop_vhosts *client_vhosts;
	int epoll_fd;
	int wake_fd; /* eventfd: posts and stop */
	int signal_fd;
	struct loop_watch *wake_watch;
	struct loop_watch *signal_watch;
	struct loop_watch *watches;
	struct loop_timers *timers;
	void (*look)(void *arg); /* NULL: sockets are not gathered */
	void *look_arg;
	bool hurry;
	bool ready; /* something of ours is due, so says libwebsockets */
	bool dispatching;
	bool sweep;            /* removed watches wait in the list */
	_Atomic bool stopping; /* written by any thread and signal handlers, read by the loop */
	void (*signal_fn)(void *arg, int signo);
	void *signal_arg;
	pthread_mutex_t mutex; /* guards the two below */
	struct posted *posted_first;
	struct posted **posted_last;
};

/* ---- watches ------------------------------------------------------------------------- */

int loop_watch_add(struct loop *loop, struct loop_watch **out, int fd, uint32_t events,
		   void (*fn)(void *arg, uint32_t events), void *arg)
{
	struct epoll_event event = {.events = events};
	struct loop_watch *watch;

	*out = NULL;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->loop = loop;
	watch->fd = fd;
	watch->fn = fn;
	watch->arg = arg;
	event.data.ptr = watch;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int err = -errno;

		free(watch);
		return err;
	}
	watch->next = loop->watches;
	loop->watches = watch;
	*out = watch;
	return 0;
}

int loop_watch_change(struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

static void sweep(struct loop *loop)
{
	struct loop_watch **at = &loop->watches;

	while (*at) {
		struct loop_watch *watch = *at;

		if (watch->removed) {
			*at = watch->next;
			free(watch);
		} else {
			at = &watch->next;
		}
	}
	loop->sweep = false;
}

void loop_watch_remove(struct loop_watch *watch)
{
	struct loop *loop;

	if (!watch || watch->removed)
		return;
	loop = watch->loop;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	/* Events of this turn may still name it. */
	watch->removed = true;
	loop->sweep = true;
	if (!loop->dispatching)
		sweep(loop);
}

/* From taking events to the end of the turn watches are only marked as removed. */
static int take_events(struct loop *loop, struct epoll_event events[EVENTS_A_TURN], int timeout_ms)
{
	loop->dispatching = true;
	return epoll_wait(loop->epoll_fd, events, EVENTS_A_TURN, timeout_ms);
}

static void dispatch(struct loop *loop, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct loop_watch *watch = events[i].data.ptr;

		if (!watch->removed)
			watch->fn(watch->arg, events[i].events);
	}
	loop->dispatching = false;
	if (loop->sweep)
		sweep(loop);
}

/* ---- posts --------------------------------------------------------------------------- */

static void wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t n;

	/* Fails only when the counter is full, and then the loop wakes anyway. */
	do {
		n = write(loop->wake_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct posted *item = malloc(sizeof(*item));

	if (!item)
		return -ENOMEM;
	*item = (struct posted){.fn = fn, .arg = arg};
	pthread_mutex_lock(&loop->mutex);
	*loop->posted_last = item;
	loop->posted_last = &item->next;
	/* Inside the lock: after it the loop may run the item and be destroyed. */
	wake(loop);
	pthread_mutex_unlock(&loop->mutex);
	return 0;
}

static struct posted *take_posted(struct loop *loop)
{
	struct posted *first;

	pthread_mutex_lock(&loop->mutex);
	first = loop->posted_first;
	loop->posted_first = NULL;
	loop->posted_last = &loop->posted_first;
	pthread_mutex_unlock(&loop->mutex);
	return first;
}

static bool run_posted(struct loop *loop)
{
	struct posted *item = take_posted(loop);
	bool any = item;

	while (item) {
		struct posted *next = item->next;

		item->fn(item->arg);
		free(item);
		item = next;
	}
	return any;
}

static void on_wake(void *arg, uint32_t events)
{
	struct loop *loop = arg;
	uint64_t count;

	if (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		log_error("event loop: eventfd: %s", strerror(errno));
	run_posted(loop);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	wake(loop);
}

/* ---- signals ------------------------------------------------------------------------- */

static void on_signal(void *arg, uint32_t events)
{
	struct loop *loop = arg;
	struct signalfd_siginfo info;

	while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->signal_fn(loop->signal_arg, (int)info.ssi_signo);
}

int loop_signals(struct loop *loop, void (*fn)(void *arg, int signo), void *arg)
{
	sigset_t set;
	int err;

	if (loop->signal_watch)
		return -EBUSY;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	err = -pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (err)
		return err;
	loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signal_fd < 0)
		return -errno;
	loop->signal_fn = fn;
	loop->signal_arg = arg;
	err = loop_watch_add(loop, &loop->signal_watch, loop->signal_fd, EPOLLIN, on_signal, loop);
	if (err) {
		close(loop->signal_fd);
		loop->signal_fd = -1;
	}
	return err;
}

/* ---- the libwebsockets side ---------------------------------------------------------- */

static int raw_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			size_t len)
{
	if (reason == LWS_CALLBACK_RAW_RX_FILE) {
		struct loop *loop = lws_context_user(lws_get_context(wsi));

		loop->ready = true;
	}
	return 0;
}

static const struct lws_protocols raw_protocols[] = {
	{.name = "loop-epoll", .callback = raw_callback},
	{0},
};

void loop_vhost_info(struct lws_context_creation_info *info)
{
	memset(info, 0, sizeof(*info));
	info->port = CONTEXT_PORT_NO_LISTEN;
	info->alpn = LOOP_ALPN;
	info->max_http_header_data = LOOP_HEADER_BYTES;
	info->ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	info->ssl_client_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	/* Without this libwebsockets sends every client connection through $http_proxy. */
	info->http_proxy_address = "none:0";
}

/* What libwebsockets calls errors are mostly faults of peers, and its lines end in a newline. */
static void log_of_lws(int level, const char *line)
{
	static struct log_rate rate;
	int len = (int)strcspn(line, "\n");

	if (level & LLL_ERR)
		log_rated(&rate, 1000, LOG_LEVEL_WARN, "libwebsockets: %.*s", len, line);
	else
		log_debug("libwebsockets: %.*s", len, line);
}

static int open_descriptors(struct loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0)
		return -errno;
	int err = loop_watch_add(loop, &loop->wake_watch, loop->wake_fd, EPOLLIN, on_wake, loop);
	return err < 0 ? err : loop_timers_create(loop, &loop->timers);
}

static int open_lws(struct loop *loop)
{
	struct lws_context_creation_info info;
	lws_sock_file_fd_type adopted;

	lws_set_log_level(LLL_ERR | LLL_WARN, log_of_lws);
	loop_vhost_info(&info);
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.fd_limit_per_thread = LOOP_MAX_FDS;
	info.user = loop;
	loop->lws = lws_create_context(&info);
	if (!loop->lws)
		return -ENOMEM;
	loop_vhost_info(&info);
	info.protocols = raw_protocols;
	info.vhost_name = "loop";
	loop->vhost = lws_create_vhost(loop->lws, &info);
	if (!loop->vhost)
		return -ENOMEM;
	/* libwebsockets closes what it adopted. */
	adopted.filefd = dup(loop->epoll_fd);
	if ((int)adopted.filefd < 0)
		return -errno;
	if (!lws_adopt_descriptor_vhost(loop->vhost, LWS_ADOPT_RAW_FILE_DESC, adopted,
					raw_protocols[0].name, NULL)) {
		close((int)adopted.filefd);
		return -ENOMEM;
	}
	return 0;
}

int loop_create(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	*out = NULL;
	if (!loop)
		return -ENOMEM;
	mutex_init(&loop->mutex);
	loop->posted_last = &loop->posted_first;
	loop->epoll_fd = loop->wake_fd = loop->signal_fd = -1;
	err = open_descriptors(loop);
	if (!err)
		err = open_lws(loop);
	if (err) {
		loop_destroy(loop);
		return err;
	}
	*out = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	while (run_posted(loop))
		;
	if (loop->lws)
		lws_context_destroy(loop->lws);
	loop_vhosts_free(loop->client_vhosts);
	/* Closing callbacks may have posted. */
	while (run_posted(loop))
		;
	loop_timers_destroy(loop->timers);
	loop_watch_remove(loop->signal_watch);
	loop_watch_remove(loop->wake_watch);
	if (loop->watches)
		log_debug("event loop: a watch was left behind fd=%d", loop->watches->fd);
	while (loop->watches)
		loop_watch_remove(loop->watches);
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->mutex);
	free(loop);
}

struct lws_context *loop_lws(struct loop *loop)
{
	return loop->lws;
}

struct loop_timers *loop_timers(struct loop *loop)
{
	return loop->timers;
}

struct loop_vhosts **loop_client_vhosts(struct loop *loop)
{
	return &loop->client_vhosts;
}

void loop_gather(struct loop *loop, void (*look)(void *arg), void *arg)
{
	loop->look = look;
	loop->look_arg = arg;
}

void loop_hurry(struct loop *loop)
{
	loop->hurry = true;
}

void loop_want_writable(struct lws *wsi)
{
	struct loop *loop = lws_context_user(lws_get_context(wsi));

	lws_callback_on_writable(wsi);
	loop_hurry(loop);
}

/* Sockets first: what came before a tick is there for it. */
static int turn(struct loop *loop)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = 0, err;

	if (loop->look) {
		n = take_events(loop, events, loop->hurry ? 0 : GATHER_MOST_MS);
		loop->hurry = false;
		loop->look(loop->look_arg);
		err = lws_service(loop->lws, -1); /* without waiting */
	} else {
		loop->ready = false;
		err = lws_service(loop->lws, 0);
		if (loop->ready)
			n = take_events(loop, events, 0);
	}
	dispatch(loop, events, n);
	return err < 0 ? -EIO : 0;
}

int loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->stopping)) {
		int err = turn(loop);

		if (err)
			return err;
	}
	atomic_store(&loop->stopping, false);
	return 0;
}

static void look_again(void *arg, uint64_t periods, int64_t now_ns)
{
}

bool loop_run_until(struct loop *loop, bool (*done)(void *arg), void *arg, int timeout_ms)
{
	int64_t end_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	struct loop_tick *tick;
	bool result;

	/* lws_service() sleeps until something comes: here that is a tick, however quiet it is. */
	if (loop_tick_start(loop, &tick, RUN_UNTIL_LOOK_MS * NS_PER_MS, look_again, NULL) < 0)
		return false;
	while (!(result = done(arg)) && clock_mono_ns() < end_ns && !atomic_load(&loop->stopping))
		if (turn(loop) < 0)
			break;
	loop_tick_stop(tick);
	return result;
}
