/* SPDX-License-Identifier: MIT
 *
 * dave_seam.h - where the delivery service of Discord's end-to-end encryption plugs into the
 * voice gateway (dave_service.c). The gateway carries ops 21-31 and binary frames between its
 * clients and the service and knows nothing of their meaning.
 *
 * One service room per voice channel whose option `dave` is on. Clients are connections of real
 * bots; members played by the simulator itself take no part and speak in the clear.
 */
#ifndef TESTS_SIM_DAVE_SEAM_H
#define TESTS_SIM_DAVE_SEAM_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/loop.h"

struct voice_session; /* one client of the voice gateway; valid from join() to leave() */

struct sim_dave_service {
	/* A room for a channel; its id is the MLS group's. */
	void *(*room_open)(struct sim_loop *loop, uint64_t channel_id);
	void (*room_close)(void *room);
	/* The session description of c is about to be sent. max_version is what it identified with.
	 * Returns dave_protocol_version for it; nothing may be sent to c yet. */
	int (*join)(void *room, struct voice_session *c, int max_version);
	/* It was sent: op 25 and so on may follow. The other clients know c by op 11. */
	void (*joined)(void *room, struct voice_session *c);
	/* c has left; the others were told by op 13. */
	void (*leave)(void *room, struct voice_session *c);
	/* A binary message (payload behind the opcode byte) or JSON of ops 21-31 came from c. */
	void (*binary)(void *room, struct voice_session *c, int op, const uint8_t *payload, size_t len);
	void (*json)(void *room, struct voice_session *c, int op, const cJSON *d);
	/* {"cmd":"dave","channel":…,"do":…} of a test. Returns NULL or what is wrong. */
	const char *(*command)(void *room, const cJSON *command, cJSON *answer);
};

/* Called once, before the loop runs. */
void sim_dave_set_service(const struct sim_dave_service *service);

/* What the service may use. Both numbers (seq) and the replay after a resume are the gateway's. */
uint64_t sim_dave_user(const struct voice_session *c);
void sim_dave_send_json(struct voice_session *c, int op, cJSON *d);
void sim_dave_send_binary(struct voice_session *c, int op, const uint8_t *payload, size_t len);

#endif
