/* SPDX-License-Identifier: MIT
 *
 * key_ratchet.h - one sender's keys of one epoch: generation by generation, forward only.
 *
 * secret[0] = MLS exporter output of 16 bytes; key[g] and secret[g+1] by the MLS label scheme
 * ("key", 16 bytes; "secret", 32 bytes). DAVE protocol, "Sender Key Derivation"; RFC 9420, 9.1.
 *
 * Nothing here allocates, locks or logs (HMAC is libsodium's, whose state lies on the stack), so
 * the audio thread may step a ratchet; a step is two HMACs. A struct is used by one thread at a
 * time. Keys that were passed stay readable until erased, later than the newest are derived on
 * demand, and nothing erased ever comes back.
 */
#ifndef DISCORD_DAVE_KEY_RATCHET_H
#define DISCORD_DAVE_KEY_RATCHET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAVE_BASE_SECRET_BYTES 16
#define DAVE_KEY_BYTES         16
#define DAVE_GENERATION_SHIFT  24  /* a new key every 2^24 frames */
#define DAVE_GENERATION_GAP    250 /* how far ahead of the newest a frame may ask */
#define DAVE_FRAME_RATE_MAX    170 /* frames a second nobody exceeds: 50 audio, 2 x 60 video */
#define DAVE_LIVE_GENERATIONS  256

struct dave_ratchet {
	uint32_t oldest;     /* oldest generation whose key is still held */
	uint32_t next;       /* first generation not yet derived; secret belongs to it */
	size_t secret_bytes; /* 16 for generation 0, then 32 */
	uint8_t secret[32];
	uint8_t keys[DAVE_LIVE_GENERATIONS][DAVE_KEY_BYTES]; /* [g % 256] for oldest <= g < next */
};

/* Starts at generation 0 and derives its key. */
void dave_ratchet_init(struct dave_ratchet *r, const uint8_t base_secret[DAVE_BASE_SECRET_BYTES]);

/* The key of a generation, deriving forward as needed. -ESTALE: erased. -ERANGE: further than
 * DAVE_LIVE_GENERATIONS - 1 beyond the oldest held. The caller bounds the rest (age, gap). */
int dave_ratchet_key(struct dave_ratchet *r, uint32_t generation, const uint8_t **key);

/* Forgets every generation below this one (deriving forward without keeping, if need be). */
void dave_ratchet_erase_below(struct dave_ratchet *r, uint32_t generation);

void dave_ratchet_wipe(struct dave_ratchet *r);

/* The generation that a frame's nonce names: its top byte, widened by the oldest live one, since
 * the byte wraps after 2^32 frames. */
uint32_t dave_generation_widen(uint32_t oldest, uint8_t byte);

/* The nonce as the replay window counts: generation << 24 | low 24 bits. */
uint64_t dave_nonce_widen(uint32_t generation, uint32_t nonce);

/* Whether a sender could honestly have reached this generation `age_ns` after its key was made. */
bool dave_generation_plausible(uint32_t generation, int64_t age_ns);

#endif
