/* SPDX-License-Identifier: MIT
 *
 * media_key.c - one sender's key: counter, ratchet and replay window in one object.
 */
#include "discord/dave/media_key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "discord/dave/replay.h"

#define GENERATION_NONE UINT64_MAX

struct dave_media_key {
	int refs; /* control thread */
	/* All below: written by the control thread before the first view that holds the key is
	 * published, by the audio thread alone afterwards. */
	int64_t created_ns;
	EVP_CIPHER_CTX *seal, *open;
	uint64_t seal_generation, open_generation; /* whose key the context holds; NONE: no key */
	struct dave_ratchet ratchet;
	uint64_t counter; /* last nonce sent */
	struct dave_replay replay;
	uint32_t newest;     /* newest generation that decrypted */
	int64_t erase_at_ns; /* when generations below newest go; NEVER: none are there */
};

static EVP_CIPHER_CTX *cipher_create(const uint8_t *key, bool encrypt)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	/* Looking the cipher up allocates and locks; from here on only keys and nonces change. */
	if (c && EVP_CipherInit_ex(c, EVP_aes_128_gcm(), NULL, key, NULL, encrypt) != 1) {
		EVP_CIPHER_CTX_free(c);
		return NULL;
	}
	return c;
}

int dave_media_key_create(struct dave_media_key **out, const uint8_t base_secret[16],
			  int64_t now_ns)
{
	struct dave_media_key *k = calloc(1, sizeof(*k));
	const uint8_t *key;

	if (!k)
		return -ENOMEM;
	k->refs = 1;
	k->created_ns = now_ns;
	k->erase_at_ns = DAVE_NEVER;
	dave_replay_init(&k->replay);
	dave_ratchet_init(&k->ratchet, base_secret);
	dave_ratchet_key(&k->ratchet, 0, &key);
	k->seal = cipher_create(key, true);
	k->open = cipher_create(key, false);
	if (!k->seal || !k->open) {
		dave_media_key_unref(k);
		return -ENOMEM;
	}
	*out = k;
	return 0;
}

struct dave_media_key *dave_media_key_ref(struct dave_media_key *k)
{
	if (k)
		k->refs++;
	return k;
}

void dave_media_key_unref(struct dave_media_key *k)
{
	if (!k || --k->refs)
		return;
	EVP_CIPHER_CTX_free(k->seal);
	EVP_CIPHER_CTX_free(k->open);
	dave_ratchet_wipe(&k->ratchet);
	free(k);
}

int dave_media_key_seal(struct dave_media_key *k, const uint8_t *in, size_t bytes, uint8_t *out,
			size_t out_size, size_t *out_bytes)
{
	uint64_t counter = k->counter + 1, generation = counter >> DAVE_GENERATION_SHIFT;
	const uint8_t *key;

	if (out_size < bytes || out_size - bytes < DAVE_FRAME_OVERHEAD)
		return -ENOSPC;
	if (generation != k->seal_generation) {
		/* Behind us: no one needs to be able to forge or read what was said before. */
		dave_ratchet_erase_below(&k->ratchet, (uint32_t)generation);
		if (dave_ratchet_key(&k->ratchet, (uint32_t)generation, &key) != 0 ||
		    EVP_EncryptInit_ex(k->seal, NULL, NULL, key, NULL) != 1)
			return -EIO;
		k->seal_generation = generation;
	}
	/* Used up even if sealing fails: a nonce is never tried twice. */
	k->counter = counter;
	return dave_frame_seal(k->seal, (uint32_t)counter, in, bytes, out, out_size, out_bytes);
}

int dave_media_key_open(struct dave_media_key *k, int64_t now_ns, const struct dave_frame *f,
			uint8_t *out, size_t out_size, size_t *out_bytes)
{
	uint32_t generation;
	uint64_t nonce;
	const uint8_t *key;
	int rc;

	if (now_ns >= k->erase_at_ns) {
		dave_ratchet_erase_below(&k->ratchet, k->newest);
		k->erase_at_ns = DAVE_NEVER;
	}
	generation = dave_generation_widen(k->ratchet.oldest,
					   (uint8_t)(f->nonce >> DAVE_GENERATION_SHIFT));
	nonce = dave_nonce_widen(generation, f->nonce);
	if (!dave_replay_acceptable(&k->replay, nonce))
		return -EALREADY;
	if (generation > k->newest &&
	    (generation - k->newest > DAVE_GENERATION_GAP ||
	     !dave_generation_plausible(generation, now_ns - k->created_ns)))
		return -EALREADY;
	if (dave_ratchet_key(&k->ratchet, generation, &key) != 0)
		return -EALREADY;
	if (generation != k->open_generation) {
		if (EVP_DecryptInit_ex(k->open, NULL, NULL, key, NULL) != 1) {
			k->open_generation = GENERATION_NONE;
			return -EIO;
		}
		k->open_generation = generation;
	}
	rc = dave_frame_open(k->open, f, out, out_size, out_bytes);
	if (rc)
		return rc;
	dave_replay_report(&k->replay, nonce);
	if (generation > k->newest) {
		/* Two steps within ten seconds do not happen; if so, the older pair goes at once.
		 */
		if (k->erase_at_ns != DAVE_NEVER)
			dave_ratchet_erase_below(&k->ratchet, k->newest);
		k->newest = generation;
		k->erase_at_ns = now_ns + DAVE_KEY_LINGER_NS;
	}
	return 0;
}
