/* SPDX-License-Identifier: MIT
 *
 * rate_limit.h - how often an address may try. A token bucket an address, in fixed memory: when
 * there are more addresses than places, those that try least give way. Pure; one thread.
 */
#ifndef BRIDGE_RATE_LIMIT_H
#define BRIDGE_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct rate_limit;

/* `burst` tries at once, then `per_second`. -ENOMEM. */
int rate_limit_create(struct rate_limit **out, double burst, double per_second);
void rate_limit_destroy(struct rate_limit *limit);

/* Counts one try; true if it is allowed. An IPv6 address counts by its /64. */
bool rate_limit_allow(struct rate_limit *limit, const struct sockaddr *address, int64_t now_ns);

/* 127.0.0.0/8, ::1 (also mapped), a Unix socket: a proxy on this machine, or a test. */
bool address_is_local(const struct sockaddr *address);

#define ADDRESS_TEXT_BYTES 64
/* "203.0.113.5:4711" */
void address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_BYTES]);

#endif
