/* SPDX-License-Identifier: MIT
 *
 * discord_dave.h - end-to-end encryption of sim_discord's rooms: the delivery service on the voice
 * gateway, and the members that the simulator plays as clients of it.
 */
#ifndef TESTS_SIM_DISCORD_DAVE_H
#define TESTS_SIM_DISCORD_DAVE_H

#include "tests/sim/discord.h"

/* Plugs the service into the voice gateway. member_program: path of dave_member; NULL or not there:
 * members of ours speak in the clear and understand nothing that is encrypted. */
void discord_dave_start(const char *member_program);
void discord_dave_stop(void);

/* A member of ours came into a channel (the others had op 11), or leaves it (they had op 13). */
void discord_dave_member_join(struct party *p);
void discord_dave_member_leave(struct party *p);

/* What p says, as it goes out: k->payload is replaced by buf (2048 bytes) where it is encrypted.
 * False: there is no key yet, nothing is sent. */
bool discord_dave_seal(struct party *p, struct rtp_packet *k, uint8_t *buf);
/* What p hears. False: it does not understand. */
bool discord_dave_open(struct party *p, const struct party *from, struct rtp_packet *k,
		       uint8_t *buf);

#endif
