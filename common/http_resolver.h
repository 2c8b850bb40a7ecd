/* SPDX-License-Identifier: MIT
 *
 * http_resolver.h - name look-ups on threads of their own; part of http_client. Loop thread only.
 */
#ifndef COMMON_HTTP_RESOLVER_H
#define COMMON_HTTP_RESOLVER_H

#include "common/http_client.h"

struct resolver;

int resolver_create(struct resolver **out, struct loop *loop);
/* Callbacks do not run any more. Threads inside getaddrinfo() end by themselves later. */
void resolver_destroy(struct resolver *resolver);
int resolver_start(struct resolver *resolver, uint64_t id, const char *host, uint16_t port,
		   void (*on_done)(void *arg, const struct http_addresses *addresses), void *arg);
void resolver_cancel(struct resolver *resolver, uint64_t id);

#endif
