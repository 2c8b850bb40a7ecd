/* SPDX-License-Identifier: MIT
 *
 * ws.h - WebSocket (RFC 6455) framing for the simulators, both roles.
 *
 * Pings are answered; fragments are put together (up to 16 MiB). A frame that breaks the protocol
 * (mask missing or present on the wrong side, reserved bits, bad length) ends the socket with
 * 1002 and is reported as such: a simulator must be stricter than the real service.
 */
#ifndef TESTS_SIM_WS_H
#define TESTS_SIM_WS_H

#include "tests/sim/net.h"

struct sim_ws;

struct sim_ws_ops {
	void (*open)(void *ctx); /* client: the upgrade was accepted */
	/* client: the upgrade was refused with this status (0: no connection, `why`). Last call. */
	void (*refused)(void *ctx, int status, const char *why);
	void (*message)(void *ctx, bool binary, const uint8_t *data, size_t len);
	/* Last call. code: the peer's close code, 1005 none given, 1006 dropped without one. */
	void (*closed)(void *ctx, int code, const char *why);
};

/* Takes over a stream on which the upgrade is done. client: we mask. */
struct sim_ws *sim_ws_create(struct sim_conn *c, bool client, const struct sim_ws_ops *ops,
			     void *ctx);
/* Bytes that came with the upgrade's answer. */
void sim_ws_feed(struct sim_ws *ws, const uint8_t *data, size_t len);
void sim_ws_set_ops(struct sim_ws *ws, const struct sim_ws_ops *ops, void *ctx);

void sim_ws_send(struct sim_ws *ws, bool binary, const void *data, size_t len);
void sim_ws_send_text(struct sim_ws *ws, const char *text);
/* A text message in several frames or TCP writes of at most piece bytes each. */
void sim_ws_send_pieces(struct sim_ws *ws, const char *text, size_t piece);
/* A whole frame by hand: first byte (FIN, RSV, opcode) as given, otherwise correct. */
void sim_ws_send_frame(struct sim_ws *ws, uint8_t first, const void *data, size_t len);
/* Bytes on the wire as they are: for malformed frames. */
void sim_ws_send_raw(struct sim_ws *ws, const void *data, size_t len);

size_t sim_ws_backlog(const struct sim_ws *ws);
void sim_ws_pause(struct sim_ws *ws, bool paused);

/* Each of these ends the socket for the caller: no further callback. code 0: no close frame. */
void sim_ws_close(struct sim_ws *ws, int code, const char *reason);
void sim_ws_abort(struct sim_ws *ws);

/* base64(SHA-1(key + GUID)) of RFC 6455 §4.2.2; out needs 29 bytes. */
void sim_ws_accept_key(const char *key, char out[29]);

#endif
