/* SPDX-License-Identifier: MIT
 *
 * hash.c - SHA-256, HMAC, HKDF and the labelled derivations of MLS (RFC 9420 5.2 and 8).
 */
#include "discord/mls/crypto.h"

#include <stdatomic.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define HMAC_BLOCK_BYTES 64
#define HKDF_MAX_PARTS   8

bool mls_secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

int mls_random(void *out, size_t len)
{
	int done;

	ERR_set_mark();
	done = RAND_priv_bytes(out, (int)len);
	ERR_pop_to_mark();
	return done == 1 ? MLS_OK : MLS_ERROR_INTERNAL;
}

/* Fetched once for the process: a fetch by name costs as much as several hashes. Written by
 * whichever thread comes first, read by all; never freed. */
static const EVP_MD *sha256(void)
{
	static _Atomic(EVP_MD *) fetched;
	EVP_MD *md = atomic_load(&fetched), *other = NULL;

	if (md)
		return md;
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (md && !atomic_compare_exchange_strong(&fetched, &other, md)) {
		EVP_MD_free(md);
		md = other;
	}
	return md;
}

static bool digest(EVP_MD_CTX *ctx, const struct mls_bytes *first, const struct mls_bytes *parts,
		   size_t n, uint8_t out[MLS_HASH_BYTES])
{
	const EVP_MD *md = sha256();

	if (!md || !EVP_DigestInit_ex2(ctx, md, NULL))
		return false;
	if (first && !EVP_DigestUpdate(ctx, first->data, first->len))
		return false;
	for (size_t i = 0; i < n; i++)
		if (parts[i].len && !EVP_DigestUpdate(ctx, parts[i].data, parts[i].len))
			return false;
	return EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

int mls_sha256(const struct mls_bytes *parts, size_t n, uint8_t out[MLS_HASH_BYTES])
{
	EVP_MD_CTX *ctx;
	bool done;

	ERR_set_mark();
	ctx = EVP_MD_CTX_new();
	done = ctx && digest(ctx, NULL, parts, n, out);
	EVP_MD_CTX_free(ctx);
	ERR_pop_to_mark();
	return done ? MLS_OK : MLS_ERROR_INTERNAL;
}

/* Written out on the hash because the MAC interface of libcrypto looks its algorithm up by name
 * every time, which costs more than the MAC. */
int mls_hmac(struct mls_bytes key, const struct mls_bytes *parts, size_t n,
	     uint8_t out[MLS_HASH_BYTES])
{
	uint8_t pad[HMAC_BLOCK_BYTES] = {0}, inner[MLS_HASH_BYTES];
	struct mls_bytes padded = mls_bytes(pad, sizeof(pad)), hashed = mls_bytes(inner, 32);
	EVP_MD_CTX *ctx;
	bool done;

	ERR_set_mark();
	ctx = EVP_MD_CTX_new();
	done = ctx != NULL;
	if (key.len > sizeof(pad))
		done = done && digest(ctx, NULL, &key, 1, pad);
	else if (key.len)
		memcpy(pad, key.data, key.len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	done = done && digest(ctx, &padded, parts, n, inner);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	done = done && digest(ctx, &padded, &hashed, 1, out);
	EVP_MD_CTX_free(ctx);
	ERR_pop_to_mark();
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(inner, sizeof(inner));
	return done ? MLS_OK : MLS_ERROR_INTERNAL;
}

int mls_extract(struct mls_bytes salt, struct mls_bytes ikm, uint8_t out[MLS_HASH_BYTES])
{
	return mls_hmac(salt, &ikm, 1, out);
}

int mls_expand(struct mls_bytes prk, const struct mls_bytes *info, size_t n, uint8_t *out,
	       size_t len)
{
	struct mls_bytes parts[HKDF_MAX_PARTS + 2];
	uint8_t t[MLS_HASH_BYTES], counter = 0;
	int error = MLS_OK;

	if (n > HKDF_MAX_PARTS || len > 255 * MLS_HASH_BYTES)
		return MLS_ERROR_INTERNAL;
	parts[0] = mls_bytes(t, 0);
	for (size_t i = 0; i < n; i++)
		parts[1 + i] = info[i];
	parts[1 + n] = mls_bytes(&counter, 1);
	while (len && error == MLS_OK) {
		size_t take = len < sizeof(t) ? len : sizeof(t);

		counter++;
		error = mls_hmac(prk, parts, n + 2, t);
		if (error != MLS_OK)
			break;
		memcpy(out, t, take);
		out += take;
		len -= take;
		parts[0].len = sizeof(t);
	}
	OPENSSL_cleanse(t, sizeof(t));
	return error;
}

int mls_expand_with_label(struct mls_bytes secret, const char *label, struct mls_bytes context,
			  uint8_t *out, size_t len)
{
	static const char prefix[] = "MLS 1.0 ";
	uint8_t length[2] = {(uint8_t)(len >> 8), (uint8_t)len}, label_header[4], context_header[4];
	size_t label_len = strlen(label);
	struct mls_bytes info[6] = {
		mls_bytes(length, 2),
		mls_bytes(label_header,
			  mls_vector_header(label_header, sizeof(prefix) - 1 + label_len)),
		mls_bytes(prefix, sizeof(prefix) - 1),
		mls_bytes(label, label_len),
		mls_bytes(context_header, mls_vector_header(context_header, context.len)),
		context,
	};

	if (label_len > MLS_VECTOR_MAX - sizeof(prefix) || context.len > MLS_VECTOR_MAX)
		return MLS_ERROR_LIMIT;
	return mls_expand(secret, info, 6, out, len);
}

int mls_derive_secret(const uint8_t secret[MLS_HASH_BYTES], const char *label,
		      uint8_t out[MLS_HASH_BYTES])
{
	return mls_expand_with_label(mls_bytes(secret, MLS_HASH_BYTES), label, mls_bytes(NULL, 0),
				     out, MLS_HASH_BYTES);
}

int mls_derive_tree_secret(struct mls_bytes secret, const char *label, uint32_t generation,
			   uint8_t *out, size_t len)
{
	uint8_t context[4] = {(uint8_t)(generation >> 24), (uint8_t)(generation >> 16),
			      (uint8_t)(generation >> 8), (uint8_t)generation};

	return mls_expand_with_label(secret, label, mls_bytes(context, 4), out, len);
}

int mls_ref_hash(const char *label, struct mls_bytes value, uint8_t out[MLS_HASH_BYTES])
{
	uint8_t label_header[4], value_header[4];
	struct mls_bytes parts[4] = {
		mls_bytes(label_header, mls_vector_header(label_header, strlen(label))),
		mls_text(label),
		mls_bytes(value_header, mls_vector_header(value_header, value.len)),
		value,
	};

	return mls_sha256(parts, 4, out);
}
