/* SPDX-License-Identifier: MIT
 *
 * replay.h - one sender's nonces that were already used with one key.
 *
 * Accepts what is newer than anything seen and, once each, the 1000 nonces below the newest; older
 * ones are refused. A frame that overtook all others at the start of a key does not cost those that
 * it overtook. DAVE protocol, "Replay Protection". One thread at a time; nothing allocates.
 */
#ifndef DISCORD_DAVE_REPLAY_H
#define DISCORD_DAVE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define DAVE_REPLAY_NONCES 1000
#define DAVE_REPLAY_BITS   1024

struct dave_replay {
	bool any; /* newest is valid */
	uint64_t newest;
	uint64_t used[DAVE_REPLAY_BITS / 64]; /* bit n % 1024, for newest - 1000 <= n <= newest */
};

void dave_replay_init(struct dave_replay *w);
/* Nonces are widened ones, see dave_nonce_widen(). */
bool dave_replay_acceptable(const struct dave_replay *w, uint64_t nonce);
/* Only for a frame that decrypted: a forged nonce must not move the window. */
void dave_replay_report(struct dave_replay *w, uint64_t nonce);

#endif
