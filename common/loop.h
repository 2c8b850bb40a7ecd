/* SPDX-License-Identifier: MIT
 *
 * loop.h - the event loop: one libwebsockets context and its poll() loop.
 *
 * Everything here runs on the loop's thread except loop_post() and loop_stop().
 * Descriptors of ours (watches, ticks, signals, posts) live in one epoll
 * set, and only that set's descriptor is adopted by libwebsockets. Two quirks of
 * 4.1.6 go away with that: it closes an adopted descriptor when it lets go of it, and
 * it drops one that raises POLLERR or POLLHUP without POLLIN.
 *
 * SIGPIPE is ignored process-wide from the creation of the context (by libwebsockets).
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libwebsockets.h>

/*
 * What every vhost of this program wants in its lws_context_creation_info:
 * custom headers (X-Twilio-Signature) do not exist on HTTP/2 in libwebsockets 4.1.6,
 * and its default header space of 4096 bytes is small.
 */
#define LOOP_ALPN         "http/1.1"
#define LOOP_HEADER_BYTES 8192
#define LOOP_MAX_FDS      1024

struct loop;

/*
 * Creates the context (no vhosts but internal ones; explicit vhosts, fd_limit_per_thread
 * LOOP_MAX_FDS, lines of libwebsockets sent to the log). -ENOMEM, -errno.
 * One loop a thread; several loops in one process are possible (tests).
 */
int loop_create(struct loop **out);
/*
 * Runs what is still posted, closes all connections (their close callbacks run), destroys
 * every vhost. Owners of timers, watches and ticks must have cancelled them before;
 * producers of loop_post() must have ended.
 */
void loop_destroy(struct loop *loop);

/* For lws_create_vhost() by servers. Fill info with loop_vhost_info() first. */
struct lws_context *loop_lws(struct loop *loop);
/* Zeroes info and sets ALPN, header bytes, no permessage-deflate, TLS >= 1.2, no default keep-alive
 * surprises. */
void loop_vhost_info(struct lws_context_creation_info *info);

/* Runs until loop_stop(). 0. */
int loop_run(struct loop *loop);
/* Services until `done` returns true or timeout_ms passed; true in the first case. For tests and
 * shutdown. */
bool loop_run_until(struct loop *loop, bool (*done)(void *arg), void *arg, int timeout_ms);
/* Makes loop_run() return. Any thread, and signal-safe. */
void loop_stop(struct loop *loop);

/*
 * Runs fn(arg) once on the loop's thread, in order of posting, at the latest inside
 * loop_destroy(). Any thread. Wakes the loop. -ENOMEM (fn will not run).
 */
int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/*
 * One-shot timers for time-outs, heartbeats, back-off; a few hundred of them (they are a sorted list). Never
 * early; of those due at one moment the one that was set first. Setting one again moves it;
 * cancelling an idle one is fine; fn may set or cancel any. For periods of media see loop_tick.
 * The struct is the owner's, zeroed before first use; cancel it before its memory goes.
 */
struct loop_timer {
	struct loop_timer *next, **link; /* link NULL: not pending */
	int64_t due_ns;
	void (*fn)(void *arg);
	void *arg;
};

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
		    void (*fn)(void *arg), void *arg);
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_pending(const struct loop_timer *timer);

/*
 * Watches a descriptor, level-triggered. events and what fn gets: EPOLLIN, EPOLLOUT; EPOLLERR and
 * EPOLLHUP always come too, and come again until the descriptor is removed. The descriptor stays
 * the caller's and must stay open until loop_watch_remove(), which may be called
 * from inside any callback, fn included. -EPERM for regular files, -errno.
 */
struct loop_watch;

int loop_watch_add(struct loop *loop, struct loop_watch **out, int fd, uint32_t events,
		   void (*fn)(void *arg, uint32_t events), void *arg);
int loop_watch_change(struct loop_watch *watch, uint32_t events);
void loop_watch_remove(struct loop_watch *watch); /* NULL is fine */

/*
 * A period for media, by a timerfd of its own: fn gets the number of periods that passed since the last
 * call (>= 1; more when the loop was late) and CLOCK_MONOTONIC now. Starts one period from now. Costs
 * nothing when stopped.
 */
struct loop_tick;

int loop_tick_start(struct loop *loop, struct loop_tick **out, int64_t period_ns,
		    void (*fn)(void *arg, uint64_t periods, int64_t now_ns), void *arg);
/* Another period, or 0: none until there is one again. Needs neither memory nor a descriptor, so that
 * whoever must not miss the moment keeps the tick; from inside fn too. */
void loop_tick_period(struct loop_tick *tick, int64_t period_ns);
void loop_tick_stop(struct loop_tick *tick); /* NULL is fine; from inside fn too */

/*
 * For sockets whose messages are not needed before the next tick: they wake the loop no more. What came on
 * any socket is done together when something else wakes it (a tick, a timer, a post, a watch), and right
 * before that: a tick finds done what came until its moment. There must be a tick meanwhile.
 * look(), called before the sockets are read, can ask the kernel since when what is there has lain. NULL:
 * each socket wakes the loop again. The loop's thread.
 */
void loop_gather(struct loop *loop, void (*look)(void *arg), void *arg);
/* Somebody waits for what a socket is to do next (a writable callback, the rest of what came): the next turn
 * looks at the sockets at once. */
void loop_hurry(struct loop *loop);
/* lws_callback_on_writable(), and hurries. */
void loop_want_writable(struct lws *wsi);

/*
 * Takes SIGHUP, SIGTERM and SIGINT by signalfd and calls fn(arg, signo) on the loop. Blocks
 * them in the calling thread: call it before any thread is made, so that all inherit the mask.
 * Once a loop.
 */
int loop_signals(struct loop *loop, void (*fn)(void *arg, int signo), void *arg);

/*
 * The client vhost of a trust set, made at first use and shared after that (each costs ~40 ms of
 * CPU to load the certificates): ca_file NULL is the system store; a file replaces it. NULL if the
 * file cannot be used (logged). Used by ws_client.
 */
struct lws_vhost *loop_client_vhost(struct loop *loop, const char *ca_file);
/*
 * Connections that their owner accepts and gives to lws_adopt_socket_vhost().
 *
 * Quirk of libwebsockets 4.1.6: all vhosts that do not listen by themselves have the same "port",
 * and a request moves to the first vhost of its port (virtual hosting), whichever its connection
 * was adopted by. So all of them have one protocol, which goes by the connection: its opaque user
 * data (lws_set_opaque_user_data(), right after the adoption) begins with this.
 */
struct loop_socket {
	lws_callback_function *callback; /* `user` is the opaque user data */
};
extern const struct lws_protocols loop_server_protocols[];

/* The vhost for such connections in clear text, made at first use. For TLS make one with
 * loop_server_protocols. */
struct lws_vhost *loop_server_vhost(struct loop *loop);

#endif
