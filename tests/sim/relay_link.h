/* SPDX-License-Identifier: MIT
 *
 * relay_link.h - the links of sim_relay: byte streams and datagrams that are passed on, held back,
 * cut, or changed on their way.
 */
#ifndef TESTS_SIM_RELAY_LINK_H
#define TESTS_SIM_RELAY_LINK_H

#include <cjson/cJSON.h>

#include "tests/sim/net.h"

/* What is done to the bytes of a link. `up` is from who dialled to who listens. */
struct relay_change {
	bool up, down;
	int every; /* bytes between two changes, on average; datagrams: changed ones in a thousand */
	uint64_t seed;
};

struct relay_link {
	struct relay *relay;
	struct relay_link *next;
	char name[16];
	struct relay_change change;
	bool held;
	struct sim_timer back;
	int64_t connections, bytes, changes, dropped;
};

struct relay {
	struct sim_loop *loop;
	struct ssl_ctx_st *server_tls;
	struct relay_link *links;
	struct front *fronts;
};

struct relay_link *relay_link(struct relay *r, const char *name);

/* A way in: a port (or a path) at which the peer of a link is found from now on. follow: addresses
 * of other servers told on the way are replaced by fronts for them. Negative errno. */
int relay_front_tcp(struct relay *r, const char *link, int to, int *port);
int relay_front_tls(struct relay *r, const char *link, int to, const char *ca, bool follow,
		    int *port);
int relay_front_unix(struct relay *r, const char *link, const char *path, const char *to);

void relay_hold(struct relay *r, struct relay_link *l, int64_t ms);
void relay_cut(struct relay *r, struct relay_link *l);
void relay_free(struct relay *r);

#endif
