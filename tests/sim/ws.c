/* SPDX-License-Identifier: MIT
 *
 * ws.c - RFC 6455 framing (see ws.h).
 */
#include "tests/sim/ws.h"

#include "tests/sim/http.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX (16u << 20)

struct sim_ws {
	struct sim_conn *conn;
	bool client, dead;
	const struct sim_ws_ops *ops;
	void *ctx;
	uint8_t *in; /* bytes not yet parsed */
	size_t in_len, in_room;
	uint8_t *msg; /* message being put together */
	size_t msg_len, msg_room;
	bool in_message, msg_binary;
	char *request; /* client, until the upgrade is done */
	char accept[29];
};

static void *grown(void *p, size_t *room, size_t need)
{
	if (need <= *room)
		return p;
	*room = 2 * need + 1024;
	p = realloc(p, *room);
	if (!p)
		abort();
	return p;
}

static void ws_free(void *object)
{
	struct sim_ws *ws = object;

	free(ws->in);
	free(ws->msg);
	free(ws->request);
	free(ws);
}

static void ws_retire(struct sim_ws *ws)
{
	if (ws->dead)
		return;
	ws->dead = true;
	sim_loop_defer(sim_conn_loop(ws->conn), ws_free, ws);
}

void sim_ws_accept_key(const char *key, char out[29])
{
	char text[128];
	uint8_t sha[SHA_DIGEST_LENGTH];
	int n = snprintf(text, sizeof(text), "%.60s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

	SHA1((const unsigned char *)text, (size_t)n, sha);
	EVP_EncodeBlock((unsigned char *)out, sha, sizeof(sha));
}

void sim_ws_send_raw(struct sim_ws *ws, const void *data, size_t len)
{
	if (!ws->dead)
		sim_conn_write(ws->conn, data, len);
}

void sim_ws_send_frame(struct sim_ws *ws, uint8_t first, const void *data, size_t len)
{
	uint8_t stack[2048], *buf = stack, mask[4] = { 0 };
	const uint8_t *src = data;
	size_t n = 0;

	if (ws->dead)
		return;
	if (len + 14 > sizeof(stack)) {
		buf = malloc(len + 14);
		if (!buf)
			abort();
	}
	buf[n++] = first;
	if (len < 126) {
		buf[n++] = (uint8_t)len;
	} else if (len < 65536) {
		buf[n++] = 126;
		buf[n++] = (uint8_t)(len >> 8);
		buf[n++] = (uint8_t)len;
	} else {
		buf[n++] = 127;
		for (int i = 7; i >= 0; i--)
			buf[n++] = (uint8_t)((uint64_t)len >> (8 * i));
	}
	if (ws->client) {
		buf[1] |= 0x80;
		RAND_bytes(mask, 4);
		memcpy(buf + n, mask, 4);
		n += 4;
	}
	for (size_t i = 0; i < len; i++)
		buf[n + i] = src[i] ^ mask[i & 3];
	sim_conn_write(ws->conn, buf, n + len);
	if (buf != stack)
		free(buf);
}

void sim_ws_send(struct sim_ws *ws, bool binary, const void *data, size_t len)
{
	sim_ws_send_frame(ws, binary ? 0x82 : 0x81, data, len);
}

void sim_ws_send_text(struct sim_ws *ws, const char *text)
{
	sim_ws_send(ws, false, text, strlen(text));
}

void sim_ws_send_pieces(struct sim_ws *ws, const char *text, size_t piece)
{
	size_t len = strlen(text), done = 0;

	do {
		size_t n = len - done < piece ? len - done : piece;
		uint8_t first = (uint8_t)((done ? 0 : 1) | (done + n == len ? 0x80 : 0));

		sim_ws_send_frame(ws, first, text + done, n);
		done += n;
	} while (done < len);
}

size_t sim_ws_backlog(const struct sim_ws *ws)
{
	return sim_conn_backlog(ws->conn);
}

void sim_ws_pause(struct sim_ws *ws, bool paused)
{
	if (!ws->dead)
		sim_conn_pause(ws->conn, paused);
}

void sim_ws_close(struct sim_ws *ws, int code, const char *reason)
{
	static const struct sim_ws_ops quiet;
	uint8_t body[125];
	size_t n = 0;

	if (ws->dead)
		return;
	/* writing may find the connection lost: the caller has ended it and must not hear of that */
	ws->ops = &quiet;
	if (code && !ws->request) {
		body[n++] = (uint8_t)(code >> 8);
		body[n++] = (uint8_t)code;
		if (reason) {
			size_t r = strlen(reason);

			r = r > 123 ? 123 : r;
			memcpy(body + n, reason, r);
			n += r;
		}
		sim_ws_send_frame(ws, 0x88, body, n);
		if (ws->dead)
			return;
	}
	ws_retire(ws);
	sim_conn_close(ws->conn);
}

void sim_ws_abort(struct sim_ws *ws)
{
	if (ws->dead)
		return;
	ws_retire(ws);
	sim_conn_abort(ws->conn);
}

static void ws_lost(struct sim_ws *ws, int code, const char *why)
{
	if (ws->dead) /* answering a close frame may already have found the peer gone */
		return;
	ws_retire(ws);
	if (ws->ops->closed)
		ws->ops->closed(ws->ctx, code, why);
}

static void ws_violation(struct sim_ws *ws, const char *what)
{
	struct sim_conn *c = ws->conn;
	uint8_t code[2] = { 1002 >> 8, 1002 & 0xff };

	sim_ws_send_frame(ws, 0x88, code, 2);
	ws_lost(ws, 1002, what);
	sim_conn_close(c);
}

static void ws_control(struct sim_ws *ws, int opcode, const uint8_t *data, size_t len)
{
	if (opcode == 9) {
		sim_ws_send_frame(ws, 0x8a, data, len);
	} else if (opcode == 8) {
		struct sim_conn *c = ws->conn;
		int code = len >= 2 ? data[0] << 8 | data[1] : 1005;
		char why[124] = "";

		if (len > 2)
			snprintf(why, sizeof(why), "%.*s", (int)(len - 2), (const char *)data + 2);
		sim_ws_send_frame(ws, 0x88, data, len >= 2 ? 2 : 0);
		ws_lost(ws, code, why);
		sim_conn_close(c);
	}
}

/* One frame from the front of the buffer; false = not complete or the socket has ended. */
static bool ws_frame(struct sim_ws *ws, size_t *pos)
{
	uint8_t *p = ws->in + *pos;
	size_t have = ws->in_len - *pos, head = 2;
	uint64_t len;
	int opcode;
	bool fin, masked;

	if (have < 2)
		return false;
	fin = p[0] & 0x80;
	opcode = p[0] & 15;
	masked = p[1] & 0x80;
	len = p[1] & 0x7f;
	head += len == 126 ? 2 : len == 127 ? 8 : 0;
	head += masked ? 4 : 0;
	if (have < head)
		return false;
	if (len == 126) {
		len = (uint64_t)p[2] << 8 | p[3];
	} else if (len == 127) {
		len = 0;
		for (int i = 0; i < 8; i++)
			len = len << 8 | p[2 + i];
	}
	if (p[0] & 0x70 || (opcode > 2 && opcode < 8) || opcode > 10) {
		ws_violation(ws, "reserved bits or opcode in a frame");
		return false;
	}
	if (masked == ws->client) {
		ws_violation(ws, masked ? "masked frame from a server" :
					  "unmasked frame from a client");
		return false;
	}
	if ((opcode >= 8 && (len > 125 || !fin)) || len > MESSAGE_MAX ||
	    ws->msg_len + len > MESSAGE_MAX) {
		ws_violation(ws, "frame too long or fragmented control frame");
		return false;
	}
	if (have < head + len)
		return false;
	if (masked)
		for (size_t i = 0; i < len; i++)
			p[head + i] ^= p[head - 4 + (i & 3)];
	*pos += head + (size_t)len;
	if (opcode >= 8) {
		ws_control(ws, opcode, p + head, (size_t)len);
		return !ws->dead;
	}
	if ((opcode == 0) != ws->in_message) {
		ws_violation(ws, "continuation without a start, or a start within a message");
		return false;
	}
	if (opcode) {
		ws->in_message = true;
		ws->msg_binary = opcode == 2;
		ws->msg_len = 0;
	}
	ws->msg = grown(ws->msg, &ws->msg_room, ws->msg_len + (size_t)len + 1);
	memcpy(ws->msg + ws->msg_len, p + head, (size_t)len);
	ws->msg_len += (size_t)len;
	if (fin) {
		size_t n = ws->msg_len;

		ws->in_message = false;
		ws->msg_len = 0;
		ws->msg[n] = 0;
		if (ws->ops->message)
			ws->ops->message(ws->ctx, ws->msg_binary, ws->msg, n);
	}
	return !ws->dead;
}

static void frames(struct sim_ws *ws)
{
	size_t pos = 0;

	while (!ws->dead && ws_frame(ws, &pos))
		;
	memmove(ws->in, ws->in + pos, ws->in_len - pos);
	ws->in_len -= pos;
}

static void upgrade_answer(struct sim_ws *ws);

void sim_ws_feed(struct sim_ws *ws, const uint8_t *data, size_t len)
{
	if (ws->dead || !len)
		return;
	ws->in = grown(ws->in, &ws->in_room, ws->in_len + len);
	memcpy(ws->in + ws->in_len, data, len);
	ws->in_len += len;
	if (ws->request)
		upgrade_answer(ws);
	else
		frames(ws);
}

/* The answer to our upgrade; what follows it are frames already. */
static void upgrade_answer(struct sim_ws *ws)
{
	struct sim_http_message m;
	long n = sim_http_parse(&m, ws->in, ws->in_len, false);
	char accept[64] = "";
	int status;
	bool fine;

	if (n == 0)
		return;
	status = n > 0 ? m.status : 0;
	fine = status == 101 && sim_http_header(&m, "sec-websocket-accept", accept, sizeof(accept)) &&
	       !strcmp(accept, ws->accept);
	if (n > 0)
		sim_http_message_clear(&m);
	if (!fine) {
		struct sim_conn *c = ws->conn;

		ws_retire(ws);
		if (ws->ops->refused)
			ws->ops->refused(ws->ctx, status, status == 101 ? "wrong accept key" : "");
		sim_conn_close(c);
		return;
	}
	free(ws->request);
	ws->request = NULL;
	memmove(ws->in, ws->in + n, ws->in_len - (size_t)n);
	ws->in_len -= (size_t)n;
	if (ws->ops->open)
		ws->ops->open(ws->ctx);
	frames(ws);
}

static void on_open(void *ctx)
{
	struct sim_ws *ws = ctx;

	if (ws->request)
		sim_conn_write(ws->conn, ws->request, strlen(ws->request));
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	sim_ws_feed(ctx, data, len);
}

static void on_closed(void *ctx, const char *why)
{
	struct sim_ws *ws = ctx;

	if (ws->dead)
		return;
	if (!ws->request) {
		ws_lost(ws, 1006, why);
		return;
	}
	ws_retire(ws);
	if (ws->ops->refused)
		ws->ops->refused(ws->ctx, 0, why);
}

static const struct sim_conn_ops conn_ops = { on_open, on_data, on_closed };

struct sim_ws *sim_ws_create(struct sim_conn *c, bool client, const struct sim_ws_ops *ops,
			     void *ctx)
{
	struct sim_ws *ws = calloc(1, sizeof(*ws));

	if (!ws)
		abort();
	ws->conn = c;
	ws->client = client;
	ws->ops = ops;
	ws->ctx = ctx;
	sim_conn_set_ops(c, &conn_ops, ws);
	return ws;
}

int sim_ws_dial(struct sim_ws **out, struct sim_loop *loop, const struct sim_http_target *to,
		const char *target, const char *headers, const struct sim_ws_ops *ops, void *ctx)
{
	struct sim_conn *c;
	struct sim_ws *ws;
	uint8_t nonce[16];
	char key[32], host[300];
	int err = sim_conn_dial(&c, loop, to->address, to->port, to->tls, to->host, NULL, NULL);

	if (err)
		return err;
	ws = sim_ws_create(c, true, ops, ctx);
	RAND_bytes(nonce, sizeof(nonce));
	EVP_EncodeBlock((unsigned char *)key, nonce, sizeof(nonce));
	sim_ws_accept_key(key, ws->accept);
	sim_http_host(host, sizeof(host), to);
	if (asprintf(&ws->request,
		     "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
		     "Sec-WebSocket-Version: 13\r\n%s\r\n",
		     target, host, key, headers ? headers : "") < 0)
		abort();
	*out = ws;
	return 0;
}

void sim_ws_set_ops(struct sim_ws *ws, const struct sim_ws_ops *ops, void *ctx)
{
	ws->ops = ops;
	ws->ctx = ctx;
}
