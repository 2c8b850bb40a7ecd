/* SPDX-License-Identifier: MIT
 *
 * relay_link.c - see relay_link.h.
 */
#include "tests/sim/relay_link.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/control.h"
#include "tests/sim/malformed.h"

#define FRONTS_MAX 256

enum front_kind { FRONT_TCP, FRONT_TLS, FRONT_UNIX, FRONT_UDP };

struct pair;

struct front {
	struct front *next;
	struct relay *relay;
	struct relay_link *link;
	enum front_kind kind;
	int port, to;
	char to_path[108], ca[256];
	bool follow;
	struct ssl_ctx_st *client_tls;
	struct sim_listener *listener;
	struct pair *pairs;
	int fd, up_fd; /* datagrams */
	struct sockaddr_in peer;
};

/* Two streams that are one connection. [0] is who dialled us. */
struct end {
	struct pair *pair;
	struct sim_conn *conn;
};

struct pair {
	struct front *front;
	struct pair *next, **prev;
	struct end end[2];
};

struct relay_link *relay_link(struct relay *r, const char *name)
{
	struct relay_link *l;

	for (l = r->links; l; l = l->next)
		if (!strcmp(l->name, name))
			return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->relay = r;
	l->next = r->links;
	r->links = l;
	return l;
}

/* ---- changing bytes ------------------------------------------------------------------------- */

/* One change at a random place; *data has room for twice its length + 16. */
static void change_once(uint8_t *data, size_t *len, uint64_t *seed)
{
	size_t at, n;

	if (!*len)
		return;
	at = sim_random(seed) % *len;
	n = 1 + sim_random(seed) % 16;
	if (n > *len - at)
		n = *len - at;
	switch (sim_random(seed) % 6) {
	case 0:
	case 1:
		data[at] ^= (uint8_t)(1 << sim_random(seed) % 8);
		break;
	case 2:
		data[at] = (uint8_t)sim_random(seed);
		break;
	case 3: /* some are missing */
		memmove(data + at, data + at + n, *len - at - n);
		*len -= n;
		break;
	case 4: /* some come twice */
		memmove(data + at + n, data + at, *len - at);
		*len += n;
		break;
	default: /* from here on nothing of it */
		*len = at;
		break;
	}
}

static size_t change(struct relay_link *l, bool up, const uint8_t *in, size_t len, uint8_t **out)
{
	struct relay_change *c = &l->change;
	size_t room = 2 * len + 4096;

	*out = malloc(room);
	if (!*out)
		abort();
	memcpy(*out, in, len);
	if (!c->every || (up ? !c->up : !c->down))
		return len;
	for (size_t i = 0; i < len && len + 32 < room; i++)
		if (sim_random(&c->seed) % (unsigned)c->every == 0) {
			change_once(*out, &len, &c->seed);
			l->changes++;
		}
	return len;
}

/* ---- following ------------------------------------------------------------------------------ */

static int front_udp(struct relay *r, const char *link, int to, int *port);

static struct front *front_find(struct relay *r, const char *link, int to)
{
	for (struct front *f = r->fronts; f; f = f->next)
		if (f->to == to && !strcmp(f->link->name, link) &&
		    (f->kind != FRONT_UDP || f->fd >= 0))
			return f;
	return NULL;
}

/* Every "MARK<port>" in the text gets the port of a front for it. Ports the kernel chose all have
 * five digits, so no length changes. */
static void follow(struct front *f, uint8_t *data, size_t len, const char *mark, const char *link,
		   bool datagrams)
{
	size_t n = strlen(mark);
	uint8_t *at = data;

	while ((at = memmem(at, len - (size_t)(at - data), mark, n))) {
		char digits[16] = "";
		struct front *to;
		int port = 0, real, err = 0;

		at += n;
		if ((size_t)(at - data) + 5 > len)
			return;
		memcpy(digits, at, 5);
		real = atoi(digits);
		if (real < 10000 || !isdigit((unsigned char)digits[4]))
			continue;
		to = front_find(f->relay, link, real);
		if (to)
			port = to->port;
		else
			err = datagrams ? front_udp(f->relay, link, real, &port) :
					  relay_front_tls(f->relay, link, real, f->ca, true, &port);
		if (err || port < 10000) {
			complain("no front for port %d: %s", real, strerror(-err));
			continue;
		}
		snprintf(digits, sizeof(digits), "%d", port);
		memcpy(at, digits, 5);
	}
}

/* ---- streams -------------------------------------------------------------------------------- */

static void pair_free(struct pair *p)
{
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	sim_loop_defer(p->front->relay->loop, free, p);
}

static void end_data(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;
	struct front *f = e->pair->front;
	bool up = e == &e->pair->end[0];
	struct sim_conn *other = e->pair->end[up ? 1 : 0].conn;
	uint8_t *out;
	size_t n;

	f->link->bytes += (int64_t)len;
	n = change(f->link, up, data, len, &out);
	if (f->follow && !up) {
		follow(f, out, n, "wss://127.0.0.1:", "gateway", false);
		follow(f, out, n, "\"endpoint\":\"127.0.0.1:", "voice", false);
		follow(f, out, n, "\"ip\":\"127.0.0.1\",\"port\":", "udp", true);
	}
	if (n)
		sim_conn_write(other, out, n);
	free(out);
}

static void end_closed(void *ctx, const char *why)
{
	struct end *e = ctx;
	struct pair *p = e->pair;
	struct sim_conn *other = p->end[e == &p->end[0] ? 1 : 0].conn;

	if (!strcmp(why, "closed"))
		sim_conn_close(other);
	else
		sim_conn_abort(other);
	pair_free(p);
}

static const struct sim_conn_ops end_ops = {.data = end_data, .closed = end_closed};

static void accepted(void *ctx, struct sim_conn *c)
{
	struct front *f = ctx;
	struct pair *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		abort();
	p->front = f;
	p->end[0] = (struct end){p, c};
	p->end[1].pair = p;
	if (f->kind == FRONT_UNIX)
		err = sim_conn_dial_unix(&p->end[1].conn, f->relay->loop, f->to_path, &end_ops,
					 &p->end[1]);
	else
		err = sim_conn_dial(&p->end[1].conn, f->relay->loop, "127.0.0.1", f->to,
				    f->client_tls, "127.0.0.1", &end_ops, &p->end[1]);
	if (err) {
		free(p);
		sim_conn_abort(c);
		return;
	}
	sim_conn_set_ops(c, &end_ops, &p->end[0]);
	p->next = f->pairs;
	p->prev = &f->pairs;
	if (p->next)
		p->next->prev = &p->next;
	f->pairs = p;
	f->link->connections++;
	if (f->link->held)
		for (int i = 0; i < 2; i++)
			sim_conn_pause(p->end[i].conn, true);
}

static struct front *front_new(struct relay *r, const char *link, enum front_kind kind, int to)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->relay = r;
	f->link = relay_link(r, link);
	f->kind = kind;
	f->to = to;
	f->fd = f->up_fd = -1;
	f->next = r->fronts;
	r->fronts = f;
	return f;
}

static void front_free(struct front *f)
{
	struct front **at = &f->relay->fronts;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	while (f->pairs) {
		struct pair *p = f->pairs;

		for (int i = 0; i < 2; i++)
			sim_conn_abort(p->end[i].conn);
		pair_free(p);
	}
	sim_listener_destroy(f->listener);
	for (int i = 0; i < 2; i++) {
		int fd = i ? f->fd : f->up_fd;

		if (fd >= 0) {
			sim_loop_unwatch(f->relay->loop, fd);
			close(fd);
		}
	}
	sim_tls_destroy(f->client_tls);
	sim_loop_defer(f->relay->loop, free, f);
}

int relay_front_tcp(struct relay *r, const char *link, int to, int *port)
{
	struct front *f = front_new(r, link, FRONT_TCP, to);
	int err = sim_listen(&f->listener, r->loop, &f->port, NULL, accepted, f);

	if (err)
		front_free(f);
	else
		*port = f->port;
	return err;
}

int relay_front_tls(struct relay *r, const char *link, int to, const char *ca, bool follow_it,
		    int *port)
{
	struct front *f = front_new(r, link, FRONT_TLS, to);
	int err = sim_tls_client_create(&f->client_tls, ca);

	f->follow = follow_it;
	snprintf(f->ca, sizeof(f->ca), "%s", ca);
	if (!err)
		err = sim_listen(&f->listener, r->loop, &f->port, r->server_tls, accepted, f);
	if (err)
		front_free(f);
	else
		*port = f->port;
	return err;
}

int relay_front_unix(struct relay *r, const char *link, const char *path, const char *to)
{
	struct front *f = front_new(r, link, FRONT_UNIX, 0);
	int err;

	snprintf(f->to_path, sizeof(f->to_path), "%s", to);
	err = sim_listen_unix(&f->listener, r->loop, path, accepted, f);
	if (err)
		front_free(f);
	return err;
}

/* ---- datagrams ------------------------------------------------------------------------------ */

static void udp_shut(struct front *f)
{
	int *const fds[] = {&f->fd, &f->up_fd};

	for (int i = 0; i < 2; i++) {
		sim_loop_unwatch(f->relay->loop, *fds[i]);
		close(*fds[i]);
		*fds[i] = -1;
	}
}

static void datagram(struct front *f, bool up)
{
	struct relay_link *l = f->link;
	struct relay_change *c = &l->change;
	uint8_t buf[4096];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t got;

	if (f->fd < 0)
		return;
	while ((got = recvfrom(up ? f->fd : f->up_fd, buf, 2000, MSG_DONTWAIT,
			       (struct sockaddr *)&from, &len)) >= 0) {
		size_t n = (size_t)got;
		int times = 1;

		if (up)
			f->peer = from;
		l->bytes += got;
		if (l->held) { /* a network keeps nothing */
			l->dropped++;
			continue;
		}
		if (c->every && (up ? c->up : c->down) &&
		    sim_random(&c->seed) % 1000 < (unsigned)c->every) {
			l->changes++;
			if (sim_random(&c->seed) % 4 == 0)
				times = (int)(sim_random(&c->seed) % 3);
			else
				change_once(buf, &n, &c->seed);
		}
		while (times-- > 0) {
			if (up && send(f->up_fd, buf, n, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) {
				/* a port that refuses is passed on as one */
				udp_shut(f);
				return;
			}
			if (!up && f->peer.sin_port)
				(void)!sendto(f->fd, buf, n, MSG_DONTWAIT,
					      (struct sockaddr *)&f->peer, sizeof(f->peer));
		}
	}
	if (!up && errno == ECONNREFUSED)
		udp_shut(f);
}

static void front_ready(void *ctx, uint32_t events)
{
	datagram(ctx, true);
}

static void up_ready(void *ctx, uint32_t events)
{
	datagram(ctx, false);
}

static int front_udp(struct relay *r, const char *link, int to, int *port)
{
	struct front *f = front_new(r, link, FRONT_UDP, to), *old, *oldest = NULL;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in there = sa;
	socklen_t len = sizeof(sa);
	int err = 0, count = 0;

	there.sin_port = htons((uint16_t)to);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->up_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || f->up_fd < 0 || bind(f->fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    getsockname(f->fd, (struct sockaddr *)&sa, &len) ||
	    connect(f->up_fd, (struct sockaddr *)&there, sizeof(there)))
		err = -errno;
	if (!err)
		err = sim_loop_watch(r->loop, f->fd, EPOLLIN, front_ready, f);
	if (!err)
		err = sim_loop_watch(r->loop, f->up_fd, EPOLLIN, up_ready, f);
	if (err) {
		front_free(f);
		return err;
	}
	*port = f->port = ntohs(sa.sin_port);
	/* each voice session has a port of its own: those of long ago are over */
	for (old = r->fronts; old; old = old->next)
		if (old->kind == FRONT_UDP && ++count && old != f)
			oldest = old;
	if (count > FRONTS_MAX)
		front_free(oldest);
	return 0;
}

/* ---- faults --------------------------------------------------------------------------------- */

static void set_held(struct relay *r, struct relay_link *l, bool held)
{
	l->held = held;
	for (struct front *f = r->fronts; f; f = f->next)
		for (struct pair *p = f->link == l ? f->pairs : NULL, *next; p; p = next) {
			struct sim_conn *second = p->end[1].conn;

			/* reading may end the pair, and with it the memory of both */
			next = p->next;
			sim_conn_pause(p->end[0].conn, held);
			sim_conn_pause(second, held);
		}
}

static void on_back(void *ctx, int64_t now_ns)
{
	struct relay_link *l = ctx;

	set_held(l->relay, l, false);
	sim_event("link.back", sim_obj("s", "link", l->name));
}

void relay_hold(struct relay *r, struct relay_link *l, int64_t ms)
{
	set_held(r, l, ms != 0);
	if (ms > 0)
		sim_timer_set(r->loop, &l->back, sim_now_ns() + ms * SIM_MS, on_back, l);
	else
		sim_timer_cancel(r->loop, &l->back);
}

void relay_cut(struct relay *r, struct relay_link *l)
{
	for (struct front *f = r->fronts; f; f = f->next)
		while (f->link == l && f->pairs) {
			struct pair *p = f->pairs;

			for (int i = 0; i < 2; i++)
				sim_conn_abort(p->end[i].conn);
			pair_free(p);
		}
}

void relay_free(struct relay *r)
{
	while (r->fronts)
		front_free(r->fronts);
	while (r->links) {
		struct relay_link *l = r->links;

		r->links = l->next;
		sim_timer_cancel(r->loop, &l->back);
		free(l);
	}
}
