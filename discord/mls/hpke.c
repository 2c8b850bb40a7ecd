/* SPDX-License-Identifier: MIT
 *
 * hpke.c - AES-128-GCM and hybrid public key encryption: RFC 9180 in base mode with
 * DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, one message per context, under the
 * labels of RFC 9420 5.1.3.
 */
#include "discord/mls/crypto.h"

#include <stdatomic.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "discord/mls/alloc.h"

#define HPKE_SUITE mls_bytes("HPKE\x00\x10\x00\x01\x00\x01", 10)

/* As sha256() in hash.c. */
static const EVP_CIPHER *aes_128_gcm(void)
{
	static _Atomic(EVP_CIPHER *) fetched;
	EVP_CIPHER *cipher = atomic_load(&fetched), *other = NULL;

	if (cipher)
		return cipher;
	cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	if (cipher && !atomic_compare_exchange_strong(&fetched, &other, cipher)) {
		EVP_CIPHER_free(cipher);
		cipher = other;
	}
	return cipher;
}

static bool gcm(int seal, const uint8_t *key, const uint8_t *nonce, struct mls_bytes in,
		uint8_t *out, uint8_t *tag)
{
	const EVP_CIPHER *cipher = aes_128_gcm();
	EVP_CIPHER_CTX *ctx = cipher ? EVP_CIPHER_CTX_new() : NULL;
	int n = 0;
	bool done;

	done = ctx && EVP_CipherInit_ex2(ctx, cipher, key, nonce, seal, NULL) &&
	       (in.len == 0 || EVP_CipherUpdate(ctx, out, &n, in.data, (int)in.len)) &&
	       (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, MLS_AEAD_TAG_BYTES, tag)) &&
	       EVP_CipherFinal_ex(ctx, out + n, &n) > 0 &&
	       (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MLS_AEAD_TAG_BYTES, tag));
	EVP_CIPHER_CTX_free(ctx);
	return done;
}

int mls_aead_seal(const uint8_t key[MLS_AEAD_KEY_BYTES], const uint8_t nonce[MLS_AEAD_NONCE_BYTES],
		  struct mls_bytes plaintext, struct mls_buffer *out)
{
	struct mls_buffer sealed = {NULL, plaintext.len + MLS_AEAD_TAG_BYTES};
	bool done;

	if (plaintext.len > MLS_VECTOR_MAX - MLS_AEAD_TAG_BYTES)
		return MLS_ERROR_LIMIT;
	sealed.data = mls_alloc(sealed.len);
	if (!sealed.data)
		return MLS_ERROR_NOMEM;
	ERR_set_mark();
	done = gcm(1, key, nonce, plaintext, sealed.data, sealed.data + plaintext.len);
	ERR_pop_to_mark();
	if (!done) {
		mls_buffer_clear(&sealed);
		return MLS_ERROR_INTERNAL;
	}
	*out = sealed;
	return MLS_OK;
}

int mls_aead_open(const uint8_t key[MLS_AEAD_KEY_BYTES], const uint8_t nonce[MLS_AEAD_NONCE_BYTES],
		  struct mls_bytes ciphertext, struct mls_buffer *out)
{
	struct mls_buffer opened;
	uint8_t tag[MLS_AEAD_TAG_BYTES];
	bool done;

	if (ciphertext.len < MLS_AEAD_TAG_BYTES || ciphertext.len > MLS_VECTOR_MAX)
		return MLS_ERROR_DECRYPT;
	opened = (struct mls_buffer){NULL, ciphertext.len - MLS_AEAD_TAG_BYTES};
	memcpy(tag, ciphertext.data + opened.len, sizeof(tag));
	opened.data = mls_alloc(opened.len);
	if (!opened.data)
		return MLS_ERROR_NOMEM;
	ERR_set_mark();
	done = gcm(0, key, nonce, mls_bytes(ciphertext.data, opened.len), opened.data, tag);
	ERR_pop_to_mark();
	if (!done) {
		mls_buffer_clear(&opened);
		return MLS_ERROR_DECRYPT;
	}
	*out = opened;
	return MLS_OK;
}

int mls_hpke_extract(struct mls_bytes suite, struct mls_bytes salt, const char *label,
		     struct mls_bytes ikm, uint8_t out[MLS_HASH_BYTES])
{
	struct mls_bytes parts[4] = {mls_bytes("HPKE-v1", 7), suite, mls_text(label), ikm};

	return mls_hmac(salt, parts, 4, out);
}

int mls_hpke_expand(struct mls_bytes suite, const uint8_t prk[MLS_HASH_BYTES], const char *label,
		    const struct mls_bytes *info, size_t n, uint8_t *out, size_t len)
{
	uint8_t length[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	struct mls_bytes parts[8] = {mls_bytes(length, 2), mls_bytes("HPKE-v1", 7), suite,
				     mls_text(label)};

	if (n > 4)
		return MLS_ERROR_INTERNAL;
	for (size_t i = 0; i < n; i++)
		parts[4 + i] = info[i];
	return mls_expand(mls_bytes(prk, MLS_HASH_BYTES), parts, 4 + n, out, len);
}

/* From the Diffie-Hellman value to key and nonce: the KEM's own derivation (RFC 9180 4.1), then
 * the key schedule in base mode (5.1). */
static int schedule(const uint8_t dh[32], struct mls_bytes enc, struct mls_bytes recipient,
		    const char *label, struct mls_bytes context, uint8_t key[MLS_AEAD_KEY_BYTES],
		    uint8_t nonce[MLS_AEAD_NONCE_BYTES])
{
	const struct mls_bytes nothing = {NULL, 0};
	uint8_t prk[MLS_HASH_BYTES], shared[MLS_HASH_BYTES], psk_id_hash[MLS_HASH_BYTES],
		info_hash[MLS_HASH_BYTES], mode = 0, label_header[4], context_header[4];
	struct mls_bytes kem_context[2] = {enc, recipient};
	struct mls_bytes key_context[3] = {mls_bytes(&mode, 1), mls_bytes(psk_id_hash, 32),
					   mls_bytes(info_hash, 32)};
	/* LabeledExtract of the info, which is vec("MLS 1.0 " + label) || vec(context) */
	struct mls_bytes info[8] = {
		mls_bytes("HPKE-v1", 7),
		HPKE_SUITE,
		mls_text("info_hash"),
		mls_bytes(label_header, mls_vector_header(label_header, 8 + strlen(label))),
		mls_text("MLS 1.0 "),
		mls_text(label),
		mls_bytes(context_header, mls_vector_header(context_header, context.len)),
		context,
	};
	int error;

	error = mls_hpke_extract(MLS_KEM_SUITE, nothing, "eae_prk", mls_bytes(dh, 32), prk);
	if (error == MLS_OK)
		error = mls_hpke_expand(MLS_KEM_SUITE, prk, "shared_secret", kem_context, 2, shared,
					sizeof(shared));
	if (error == MLS_OK)
		error = mls_hpke_extract(HPKE_SUITE, nothing, "psk_id_hash", nothing, psk_id_hash);
	if (error == MLS_OK)
		error = mls_hmac(nothing, info, 8, info_hash);
	if (error == MLS_OK)
		error = mls_hpke_extract(HPKE_SUITE, mls_bytes(shared, sizeof(shared)), "secret",
					 nothing, prk);
	if (error == MLS_OK)
		error = mls_hpke_expand(HPKE_SUITE, prk, "key", key_context, 3, key,
					MLS_AEAD_KEY_BYTES);
	if (error == MLS_OK)
		error = mls_hpke_expand(HPKE_SUITE, prk, "base_nonce", key_context, 3, nonce,
					MLS_AEAD_NONCE_BYTES);
	OPENSSL_cleanse(prk, sizeof(prk));
	OPENSSL_cleanse(shared, sizeof(shared));
	return error;
}

int mls_hpke_seal(struct mls_bytes public_key, const char *label, struct mls_bytes context,
		  struct mls_bytes plaintext, struct mls_writer *w)
{
	uint8_t ephemeral[MLS_PRIVATE_KEY_BYTES], enc[MLS_PUBLIC_KEY_BYTES], dh[32];
	uint8_t key[MLS_AEAD_KEY_BYTES], nonce[MLS_AEAD_NONCE_BYTES];
	struct mls_buffer ciphertext = {NULL, 0};
	int error;

	error = mls_p256_generate(ephemeral, enc);
	if (error == MLS_OK)
		error = mls_p256_ecdh(ephemeral, public_key, dh);
	if (error == MLS_OK)
		error = schedule(dh, mls_bytes(enc, sizeof(enc)), public_key, label, context, key,
				 nonce);
	if (error == MLS_OK)
		error = mls_aead_seal(key, nonce, plaintext, &ciphertext);
	if (error == MLS_OK) {
		mls_write_vector(w, mls_bytes(enc, sizeof(enc)));
		mls_write_vector(w, mls_view(&ciphertext));
		error = w->error;
	}
	mls_buffer_clear(&ciphertext);
	OPENSSL_cleanse(ephemeral, sizeof(ephemeral));
	OPENSSL_cleanse(dh, sizeof(dh));
	OPENSSL_cleanse(key, sizeof(key));
	return error;
}

int mls_hpke_open(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		  const uint8_t public_key[MLS_PUBLIC_KEY_BYTES], const char *label,
		  struct mls_bytes context, struct mls_bytes kem_output,
		  struct mls_bytes ciphertext, struct mls_buffer *out)
{
	uint8_t dh[32], key[MLS_AEAD_KEY_BYTES], nonce[MLS_AEAD_NONCE_BYTES];
	int error;

	error = mls_p256_ecdh(private_key, kem_output, dh);
	if (error == MLS_OK)
		error = schedule(dh, kem_output, mls_bytes(public_key, MLS_PUBLIC_KEY_BYTES), label,
				 context, key, nonce);
	if (error == MLS_OK)
		error = mls_aead_open(key, nonce, ciphertext, out);
	OPENSSL_cleanse(dh, sizeof(dh));
	OPENSSL_cleanse(key, sizeof(key));
	return error;
}
