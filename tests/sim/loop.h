/* SPDX-License-Identifier: MIT
 *
 * loop.h - the simulators' own event loop: epoll and one timerfd.
 *
 * The simulators deliberately use neither the event loop nor the network stack of the programs
 * under test (libwebsockets): what shares code shares errors, and a peer that has to send broken
 * frames needs its hands on the bytes.
 *
 * Single-threaded. Times are CLOCK_MONOTONIC nanoseconds. Callbacks may create and cancel
 * anything, themselves included.
 */
#ifndef TESTS_SIM_LOOP_H
#define TESTS_SIM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_MS 1000000LL
#define SIM_S  1000000000LL

struct sim_loop;

/* A timer lives in its owner's memory; zero it before first use. It fires once. */
struct sim_timer {
	int64_t due_ns;
	void (*fire)(void *ctx, int64_t now_ns);
	void *ctx;
	int slot; /* place in the heap + 1; 0 = not armed */
};

int sim_loop_create(struct sim_loop **out);
void sim_loop_destroy(struct sim_loop *loop);

/* Runs until sim_loop_stop(). */
void sim_loop_run(struct sim_loop *loop);
void sim_loop_stop(struct sim_loop *loop);

/* Now, read from the clock at each call. */
int64_t sim_now_ns(void);

/* Watch fd (not owned). events: EPOLLIN, EPOLLOUT, … ; watching again changes them.
 * Returns 0 or a negative errno. After sim_loop_unwatch() the callback is not called any more. */
int sim_loop_watch(struct sim_loop *loop, int fd, uint32_t events,
		   void (*ready)(void *ctx, uint32_t events), void *ctx);
void sim_loop_unwatch(struct sim_loop *loop, int fd);

/* Arm (or re-arm) a timer for an absolute time; due times of the past fire in the next turn. */
void sim_timer_set(struct sim_loop *loop, struct sim_timer *t, int64_t due_ns,
		   void (*fire)(void *ctx, int64_t now_ns), void *ctx);
void sim_timer_cancel(struct sim_loop *loop, struct sim_timer *t);

/* Call free_it(object) when no callback of this turn can hold the object any more. */
void sim_loop_defer(struct sim_loop *loop, void (*free_it)(void *object), void *object);

#endif
