/* SPDX-License-Identifier: MIT
 *
 * key_ratchet.c - sender keys by generation.
 */
#include "discord/dave/key_ratchet.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

/* Expand(secret, uint16 L || vec("MLS 1.0 " label) || vec(uint32 generation), L): RFC 9420, 8
 * and 9.1; L is at most one hash output, so HKDF-Expand is a single HMAC over info || 01. A secret
 * of 16 bytes (generation 0) is what Discord gives; strict MLS libraries refuse it, plain HMAC does
 * not. */
static void ratchet_derive(const uint8_t *secret, size_t secret_bytes, const char *label,
			   uint32_t generation, uint8_t *out, size_t out_bytes)
{
	static const char prefix[] = "MLS 1.0 ";
	crypto_auth_hmacsha256_state hmac;
	uint8_t head[3] = {0, (uint8_t)out_bytes, (uint8_t)(sizeof(prefix) - 1 + strlen(label))};
	uint8_t tail[6] = {4,
			   (uint8_t)(generation >> 24),
			   (uint8_t)(generation >> 16),
			   (uint8_t)(generation >> 8),
			   (uint8_t)generation,
			   1};
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_init(&hmac, secret, secret_bytes);
	crypto_auth_hmacsha256_update(&hmac, head, sizeof(head));
	crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)prefix, sizeof(prefix) - 1);
	crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)label, strlen(label));
	crypto_auth_hmacsha256_update(&hmac, tail, sizeof(tail));
	crypto_auth_hmacsha256_final(&hmac, mac);
	memcpy(out, mac, out_bytes);
	sodium_memzero(mac, sizeof(mac));
	sodium_memzero(&hmac, sizeof(hmac));
}

static void ratchet_step(struct dave_ratchet *r)
{
	uint8_t secret[32];

	ratchet_derive(r->secret, r->secret_bytes, "key", r->next,
		       r->keys[r->next % DAVE_LIVE_GENERATIONS], DAVE_KEY_BYTES);
	ratchet_derive(r->secret, r->secret_bytes, "secret", r->next, secret, sizeof(secret));
	memcpy(r->secret, secret, sizeof(secret));
	sodium_memzero(secret, sizeof(secret));
	r->secret_bytes = sizeof(secret);
	r->next++;
}

void dave_ratchet_init(struct dave_ratchet *r, const uint8_t base_secret[DAVE_BASE_SECRET_BYTES])
{
	memset(r, 0, sizeof(*r));
	memcpy(r->secret, base_secret, DAVE_BASE_SECRET_BYTES);
	r->secret_bytes = DAVE_BASE_SECRET_BYTES;
	ratchet_step(r);
}

int dave_ratchet_key(struct dave_ratchet *r, uint32_t generation, const uint8_t **key)
{
	if (generation < r->oldest)
		return -ESTALE;
	if (generation - r->oldest >= DAVE_LIVE_GENERATIONS || generation == UINT32_MAX)
		return -ERANGE;
	while (r->next <= generation)
		ratchet_step(r);
	*key = r->keys[generation % DAVE_LIVE_GENERATIONS];
	return 0;
}

void dave_ratchet_erase_below(struct dave_ratchet *r, uint32_t generation)
{
	while (r->oldest < generation) {
		if (r->next <= r->oldest)
			ratchet_step(r);
		sodium_memzero(r->keys[r->oldest % DAVE_LIVE_GENERATIONS], DAVE_KEY_BYTES);
		r->oldest++;
	}
}

void dave_ratchet_wipe(struct dave_ratchet *r)
{
	sodium_memzero(r, sizeof(*r));
}

uint32_t dave_generation_widen(uint32_t oldest, uint8_t byte)
{
	return (oldest / 256 + (byte < oldest % 256 ? 1 : 0)) * 256 + byte;
}

uint64_t dave_nonce_widen(uint32_t generation, uint32_t nonce)
{
	return (uint64_t)generation << DAVE_GENERATION_SHIFT |
	       (nonce & (((uint32_t)1 << DAVE_GENERATION_SHIFT) - 1));
}

bool dave_generation_plausible(uint32_t generation, int64_t age_ns)
{
	/* In whole seconds, so that no product overflows within centuries. */
	int64_t age_s = age_ns > 0 ? age_ns / 1000000000 : 0;

	return generation <= (uint64_t)age_s * DAVE_FRAME_RATE_MAX >> DAVE_GENERATION_SHIFT;
}
