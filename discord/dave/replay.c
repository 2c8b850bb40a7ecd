/* SPDX-License-Identifier: MIT
 *
 * replay.c - the replay window: a bitmap that slides with the newest nonce.
 */
#include "discord/dave/replay.h"

#include <string.h>

static uint64_t replay_bit(uint64_t nonce)
{
	return (uint64_t)1 << nonce % 64;
}

static uint64_t *replay_word(struct dave_replay *w, uint64_t nonce)
{
	return &w->used[nonce / 64 % (DAVE_REPLAY_BITS / 64)];
}

void dave_replay_init(struct dave_replay *w)
{
	memset(w, 0, sizeof(*w));
}

bool dave_replay_acceptable(const struct dave_replay *w, uint64_t nonce)
{
	if (!w->any || nonce > w->newest)
		return true;
	if (w->newest - nonce > DAVE_REPLAY_NONCES)
		return false;
	return !(w->used[nonce / 64 % (DAVE_REPLAY_BITS / 64)] & replay_bit(nonce));
}

void dave_replay_report(struct dave_replay *w, uint64_t nonce)
{
	if (!w->any) {
		w->any = true;
		w->newest = nonce;
	} else if (nonce > w->newest) {
		/* Bits between belong to nonces that went missing; what they held is 1024 older. */
		if (nonce - w->newest >= DAVE_REPLAY_BITS) {
			memset(w->used, 0, sizeof(w->used));
		} else {
			for (uint64_t n = w->newest + 1; n < nonce; n++)
				*replay_word(w, n) &= ~replay_bit(n);
		}
		w->newest = nonce;
	} else if (w->newest - nonce > DAVE_REPLAY_NONCES) {
		return;
	}
	*replay_word(w, nonce) |= replay_bit(nonce);
}
