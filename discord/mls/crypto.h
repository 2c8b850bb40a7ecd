/* SPDX-License-Identifier: MIT
 *
 * crypto.h - the primitives of cipher suite 2 and their labelled forms (RFC 9420 5, RFC 9180).
 *
 * Everything sits on libcrypto and leaves its error queue as it was: the caller's thread may be
 * using it for TLS, which mistakes a stale entry for its own failure. All functions that return
 * int may give MLS_ERROR_INTERNAL. Internal to discord/mls.
 */
#ifndef DISCORD_MLS_CRYPTO_H
#define DISCORD_MLS_CRYPTO_H

#include "discord/mls/codec.h"

#define MLS_AEAD_KEY_BYTES   16
#define MLS_AEAD_NONCE_BYTES 12
#define MLS_AEAD_TAG_BYTES   16

/* In constant time. */
bool mls_secret_equal(const void *a, const void *b, size_t len);

int mls_random(void *out, size_t len);

/* ---- hash.c: SHA-256, HMAC, HKDF, labels -------------------------------------------------- */

/* Over the parts one after the other. */
int mls_sha256(const struct mls_bytes *parts, size_t n, uint8_t out[MLS_HASH_BYTES]);
int mls_hmac(struct mls_bytes key, const struct mls_bytes *parts, size_t n,
	     uint8_t out[MLS_HASH_BYTES]);

/* HKDF (RFC 5869). len at most 255 * 32. */
int mls_extract(struct mls_bytes salt, struct mls_bytes ikm, uint8_t out[MLS_HASH_BYTES]);
int mls_expand(struct mls_bytes prk, const struct mls_bytes *info, size_t n, uint8_t *out,
	       size_t len);

/* RFC 9420 8; label without "MLS 1.0 ". The context of a tree secret is its generation. */
int mls_expand_with_label(struct mls_bytes secret, const char *label, struct mls_bytes context,
			  uint8_t *out, size_t len);
int mls_derive_secret(const uint8_t secret[MLS_HASH_BYTES], const char *label,
		      uint8_t out[MLS_HASH_BYTES]);
int mls_derive_tree_secret(struct mls_bytes secret, const char *label, uint32_t generation,
			   uint8_t *out, size_t len);

/* RefHash (RFC 9420 5.2); label in full. */
int mls_ref_hash(const char *label, struct mls_bytes value, uint8_t out[MLS_HASH_BYTES]);

/* ---- p256.c ------------------------------------------------------------------------------- */

int mls_p256_generate(uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		      uint8_t public_key[MLS_PUBLIC_KEY_BYTES]);

/* The public half. KEY if the scalar is out of range. */
int mls_p256_public(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		    uint8_t public_key[MLS_PUBLIC_KEY_BYTES]);

/* DeriveKeyPair (RFC 9180 7.1.3). */
int mls_p256_derive(const uint8_t ikm[MLS_HASH_BYTES], uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		    uint8_t public_key[MLS_PUBLIC_KEY_BYTES]);

/* KEY unless an uncompressed point of the curve. The cofactor is 1: on the curve is enough. */
int mls_p256_check(struct mls_bytes public_key);

/* The x coordinate. Reading the peer's point checks that it is on the curve (KEY), once. */
int mls_p256_ecdh(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES], struct mls_bytes peer,
		  uint8_t out[32]);

/* Private scalar of a signature key, and a further reference to it. */
struct mls_signature_key *mls_signature_key_ref(const struct mls_signature_key *key);

/* ---- hpke.c ------------------------------------------------------------------------------- */

/* AES-128-GCM without associated data, tag appended. Open: DECRYPT. */
int mls_aead_seal(const uint8_t key[MLS_AEAD_KEY_BYTES], const uint8_t nonce[MLS_AEAD_NONCE_BYTES],
		  struct mls_bytes plaintext, struct mls_buffer *out);
int mls_aead_open(const uint8_t key[MLS_AEAD_KEY_BYTES], const uint8_t nonce[MLS_AEAD_NONCE_BYTES],
		  struct mls_bytes ciphertext, struct mls_buffer *out);

/* EncryptWithLabel (RFC 9420 5.1.3); writes an HPKECiphertext. KEY. */
int mls_hpke_seal(struct mls_bytes public_key, const char *label, struct mls_bytes context,
		  struct mls_bytes plaintext, struct mls_writer *w);

/* DecryptWithLabel. KEY, DECRYPT. */
int mls_hpke_open(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		  const uint8_t public_key[MLS_PUBLIC_KEY_BYTES], const char *label,
		  struct mls_bytes context, struct mls_bytes kem_output,
		  struct mls_bytes ciphertext, struct mls_buffer *out);

/* LabeledExtract and LabeledExpand (RFC 9180 4), shared with DeriveKeyPair. */
int mls_hpke_extract(struct mls_bytes suite, struct mls_bytes salt, const char *label,
		     struct mls_bytes ikm, uint8_t out[MLS_HASH_BYTES]);
int mls_hpke_expand(struct mls_bytes suite, const uint8_t prk[MLS_HASH_BYTES], const char *label,
		    const struct mls_bytes *info, size_t n, uint8_t *out, size_t len);

/* "KEM" and the KEM's number, the suite of everything inside the KEM. */
#define MLS_KEM_SUITE mls_bytes("KEM\x00\x10", 5)

#endif
