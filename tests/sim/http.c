/* SPDX-License-Identifier: MIT
 *
 * http.c - HTTP/1.1 messages, a server and a one-request client (see http.h).
 */
#include "tests/sim/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 65536
#define BODY_MAX (32u << 20)

/* ---- messages ---- */

bool sim_http_header(const struct sim_http_message *m, const char *name, char *buf, size_t len)
{
	size_t n = strlen(name);

	for (const char *p = m->headers; p && *p;) {
		const char *end = strstr(p, "\r\n");

		if (!end)
			break;
		if (!strncasecmp(p, name, n) && p[n] == ':') {
			p += n + 1;
			while (*p == ' ' || *p == '\t')
				p++;
			while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
				end--;
			snprintf(buf, len, "%.*s", (int)(end - p), p);
			return true;
		}
		p = end + 2;
	}
	return false;
}

void sim_http_message_clear(struct sim_http_message *m)
{
	free(m->headers);
	free(m->body);
	m->headers = NULL;
	m->body = NULL;
}

static uint8_t *copied(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len + 1);

	if (!p)
		abort();
	memcpy(p, data, len);
	p[len] = 0;
	return p;
}

/* Chunked body: bytes taken, 0 = more, -1 = bad. The joined body goes to m. */
static long parse_chunks(struct sim_http_message *m, const uint8_t *d, size_t len)
{
	size_t pos = 0;
	uint8_t *out = copied(d, len);
	size_t n = 0;

	for (;;) {
		const uint8_t *nl = memchr(d + pos, '\n', len - pos);
		unsigned long size;
		char *end;

		if (!nl)
			break;
		size = strtoul((const char *)d + pos, &end, 16);
		if ((const uint8_t *)end == d + pos || size > BODY_MAX) {
			free(out);
			return -1;
		}
		pos = (size_t)(nl - d) + 1;
		if (len - pos < size + 2)
			break;
		memcpy(out + n, d + pos, size);
		n += size;
		pos += size + 2;
		if (!size) {
			out[n] = 0;
			m->body = out;
			m->body_len = n;
			return (long)pos;
		}
	}
	free(out);
	return 0;
}

long sim_http_parse(struct sim_http_message *m, const uint8_t *data, size_t len, bool at_end)
{
	const char *head = (const char *)data, *stop, *line_end;
	char value[64];
	size_t head_len, need;

	memset(m, 0, sizeof(*m));
	stop = memmem(data, len, "\r\n\r\n", 4);
	if (!stop)
		return len > HEAD_MAX ? -1 : 0;
	head_len = (size_t)(stop - head) + 4;
	line_end = memmem(data, head_len, "\r\n", 2);
	if (!strncmp(head, "HTTP/1.", 7)) {
		if (sscanf(head + 8, " %d", &m->status) != 1)
			return -1;
	} else {
		char line[4200];

		snprintf(line, sizeof(line), "%.*s", (int)(line_end - head), head);
		if (sscanf(line, "%15s %4095s HTTP/1.", m->method, m->target) != 2)
			return -1;
	}
	m->headers = (char *)copied((const uint8_t *)line_end + 2,
				    head_len - (size_t)(line_end + 2 - head) - 2);
	if (m->status == 101 || m->status == 204 || m->status == 304 || m->status == 100) {
		m->body = copied((const uint8_t *)"", 0);
		return (long)head_len;
	}
	if (sim_http_header(m, "transfer-encoding", value, sizeof(value)) &&
	    !strcasecmp(value, "chunked")) {
		long n = parse_chunks(m, data + head_len, len - head_len);

		if (n <= 0) {
			sim_http_message_clear(m);
			return n;
		}
		return (long)head_len + n;
	}
	if (sim_http_header(m, "content-length", value, sizeof(value))) {
		need = strtoul(value, NULL, 10);
	} else if (m->status) {
		need = len - head_len; /* an answer without length lasts to the end */
		if (!at_end) {
			sim_http_message_clear(m);
			return 0;
		}
	} else {
		need = 0;
	}
	if (need > BODY_MAX || len - head_len < need) {
		sim_http_message_clear(m);
		return need > BODY_MAX ? -1 : 0;
	}
	m->body = copied(data + head_len, need);
	m->body_len = need;
	return (long)(head_len + need);
}

struct buffer {
	uint8_t *p;
	size_t len, room;
};

static void buffer_add(struct buffer *b, const uint8_t *data, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len) + 1024;
		b->p = realloc(b->p, b->room);
		if (!b->p)
			abort();
	}
	memcpy(b->p + b->len, data, len);
	b->len += len;
}

static void buffer_eat(struct buffer *b, size_t n)
{
	memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}

/* ---- serving ---- */

struct sim_http {
	struct sim_conn *conn;
	const struct sim_http_ops *ops;
	void *ctx;
	struct buffer in;
	bool busy; /* a request waits for its answer */
	bool continued, close_after, dead;
};

static void http_free(void *object)
{
	struct sim_http *h = object;

	free(h->in.p);
	free(h);
}

static void http_retire(struct sim_http *h)
{
	h->dead = true;
	sim_loop_defer(sim_conn_loop(h->conn), http_free, h);
}

static void serve_next(struct sim_http *h)
{
	while (!h->busy && !h->dead && h->in.len) {
		struct sim_http_message m;
		char value[64];
		long n = sim_http_parse(&m, h->in.p, h->in.len, false);

		if (n == 0) {
			const uint8_t *head = memmem(h->in.p, h->in.len, "\r\n\r\n", 4);

			if (head && !h->continued &&
			    memmem(h->in.p, (size_t)(head - h->in.p), "100-continue", 12)) {
				h->continued = true;
				sim_conn_write(h->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
			}
			return;
		}
		if (n < 0) {
			sim_http_abort(h);
			return;
		}
		buffer_eat(&h->in, (size_t)n);
		h->continued = false;
		h->busy = true;
		h->close_after = sim_http_header(&m, "connection", value, sizeof(value)) &&
				 !strcasecmp(value, "close");
		h->ops->request(h->ctx, h, &m);
		sim_http_message_clear(&m);
	}
}

static void serve_data(void *ctx, const uint8_t *data, size_t len)
{
	struct sim_http *h = ctx;

	buffer_add(&h->in, data, len);
	serve_next(h);
}

static void serve_closed(void *ctx, const char *why)
{
	struct sim_http *h = ctx;

	if (h->dead)
		return;
	http_retire(h);
	if (h->ops->gone)
		h->ops->gone(h->ctx, h);
}

static const struct sim_conn_ops serve_ops = { .data = serve_data, .closed = serve_closed };

void sim_http_serve(struct sim_conn *c, const struct sim_http_ops *ops, void *ctx)
{
	struct sim_http *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	h->conn = c;
	h->ops = ops;
	h->ctx = ctx;
	sim_conn_set_ops(c, &serve_ops, h);
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 204: return "No Content";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 429: return "Too Many Requests";
	case 500: return "Internal Server Error";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	default: return "Whatever";
	}
}

void sim_http_reply(struct sim_http *h, int status, const char *headers, const char *type,
		    const void *body, size_t len)
{
	char head[4096];
	int n;

	if (h->dead)
		return;
	n = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\n%s%s%s%sContent-Length: %zu\r\n\r\n",
		     status, reason(status), headers ? headers : "", type ? "Content-Type: " : "",
		     type ? type : "", type ? "\r\n" : "", len);
	sim_conn_write(h->conn, head, (size_t)n);
	if (len)
		sim_conn_write(h->conn, body, len);
	h->busy = false;
	if (h->close_after) {
		http_retire(h);
		sim_conn_close(h->conn);
		return;
	}
	serve_next(h);
}

void sim_http_abort(struct sim_http *h)
{
	if (h->dead)
		return;
	http_retire(h);
	sim_conn_abort(h->conn);
}

struct sim_ws *sim_http_accept_ws(struct sim_http *h, const struct sim_http_message *request,
				  const struct sim_ws_ops *ops, void *ctx)
{
	char key[64], upgrade[32], version[8], accept[29], head[256];
	struct sim_ws *ws;
	int n;

	if (!sim_http_header(request, "upgrade", upgrade, sizeof(upgrade)) ||
	    strcasecmp(upgrade, "websocket") || strcmp(request->method, "GET") ||
	    !sim_http_header(request, "sec-websocket-version", version, sizeof(version)) ||
	    strcmp(version, "13") ||
	    !sim_http_header(request, "sec-websocket-key", key, sizeof(key)) ||
	    strlen(key) != 24) {
		sim_http_reply(h, 400, NULL, "text/plain", "not a WebSocket upgrade\n", 24);
		return NULL;
	}
	sim_ws_accept_key(key, accept);
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
	sim_conn_write(h->conn, head, (size_t)n);
	ws = sim_ws_create(h->conn, false, ops, ctx);
	sim_ws_feed(ws, h->in.p, h->in.len);
	http_retire(h);
	return ws;
}

/* ---- fetching ---- */

struct fetch {
	struct sim_conn *conn;
	struct buffer out, in;
	void (*done)(void *ctx, const struct sim_http_message *answer, const char *why);
	void *ctx;
};

static void fetch_free(void *object)
{
	struct fetch *f = object;

	free(f->out.p);
	free(f->in.p);
	free(f);
}

static void fetch_try(struct fetch *f, bool at_end, const char *why)
{
	struct sim_http_message m;
	struct sim_loop *loop = sim_conn_loop(f->conn);
	long n = f->in.len ? sim_http_parse(&m, f->in.p, f->in.len, at_end) : 0;

	if (n > 0 && m.status == 100) {
		buffer_eat(&f->in, (size_t)n);
		sim_http_message_clear(&m);
		fetch_try(f, at_end, why);
		return;
	}
	if (n == 0 && !at_end)
		return;
	if (!at_end)
		sim_conn_close(f->conn);
	sim_loop_defer(loop, fetch_free, f);
	if (n > 0) {
		f->done(f->ctx, &m, NULL);
		sim_http_message_clear(&m);
	} else {
		f->done(f->ctx, NULL, n < 0 ? "the answer is not HTTP" : why);
	}
}

static void fetch_open(void *ctx)
{
	struct fetch *f = ctx;

	sim_conn_write(f->conn, f->out.p, f->out.len);
}

static void fetch_data(void *ctx, const uint8_t *data, size_t len)
{
	struct fetch *f = ctx;

	buffer_add(&f->in, data, len);
	fetch_try(f, false, NULL);
}

static void fetch_closed(void *ctx, const char *why)
{
	fetch_try(ctx, true, why);
}

static const struct sim_conn_ops fetch_ops = { fetch_open, fetch_data, fetch_closed };

void sim_http_host(char *buf, size_t len, const struct sim_http_target *to)
{
	if (strchr(to->host, ':') || to->port == (to->tls ? 443 : 80))
		snprintf(buf, len, "%s", to->host);
	else
		snprintf(buf, len, "%s:%d", to->host, to->port);
}

int sim_http_fetch(struct sim_loop *loop, const struct sim_http_target *to, const char *method,
		   const char *target, const char *headers, const void *body, size_t len,
		   void (*done)(void *ctx, const struct sim_http_message *answer, const char *why),
		   void *ctx)
{
	struct fetch *f = calloc(1, sizeof(*f));
	char host[300], *head;
	int n, err;

	if (!f)
		abort();
	f->done = done;
	f->ctx = ctx;
	sim_http_host(host, sizeof(host), to);
	n = asprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n", method,
		     target, host, headers ? headers : "", len);
	if (n < 0)
		abort();
	buffer_add(&f->out, (uint8_t *)head, (size_t)n);
	free(head);
	if (len)
		buffer_add(&f->out, body, len);
	err = sim_conn_dial(&f->conn, loop, to->address, to->port, to->tls, to->host, &fetch_ops, f);
	if (err)
		fetch_free(f);
	return err;
}
