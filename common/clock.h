/* SPDX-License-Identifier: MIT
 *
 * clock.h - the two clocks. Durations and media use the monotonic one only;
 * wall time is for people and for fields of protocols that ask for it.
 * Media code never calls these: it is given now_ns.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US  INT64_C(1000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t clock_mono_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* CLOCK_REALTIME in nanoseconds since 1970. */
static inline int64_t clock_wall_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* CLOCK_REALTIME in milliseconds since 1970. */
static inline int64_t clock_wall_ms(void)
{
	return clock_wall_ns() / NS_PER_MS;
}

#endif
