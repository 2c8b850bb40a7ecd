/* SPDX-License-Identifier: MIT
 *
 * p256.c - keys on P-256: making, deriving, Diffie-Hellman, and ECDSA with the labels of
 * RFC 9420 5.1.2.
 *
 * Points are multiplied through EC_POINT, in constant time for secret scalars: going through
 * EVP_PKEY builds a curve object per key and checks each point twice, which more than doubles the
 * cost of Diffie-Hellman. ECDSA goes through EVP_PKEY, whose blinding and nonces we want.
 */
#include "discord/mls/crypto.h"

#include <stdatomic.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

#include "discord/mls/alloc.h"

/* One curve for the process, read-only once made. Written by whichever thread comes first, read
 * by all; never freed. */
static const EC_GROUP *curve(void)
{
	static _Atomic(EC_GROUP *) made;
	EC_GROUP *group = atomic_load(&made), *other = NULL;

	if (group)
		return group;
	group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (group && !atomic_compare_exchange_strong(&made, &other, group)) {
		EC_GROUP_free(group);
		group = other;
	}
	return group;
}

/* ---- points ------------------------------------------------------------------------------- */

/* scalar * point, or scalar * generator if point is NULL; as 04 || X || Y. */
static int multiply(const uint8_t scalar[32], const EC_POINT *point, uint8_t out[65])
{
	const EC_GROUP *group = curve();
	EC_POINT *product = group ? EC_POINT_new(group) : NULL;
	BIGNUM *k = BN_secure_new();
	int error = MLS_ERROR_INTERNAL;

	if (!product || !k || !BN_bin2bn(scalar, 32, k))
		goto out;
	BN_set_flags(k, BN_FLG_CONSTTIME);
	if (BN_is_zero(k) || BN_cmp(k, EC_GROUP_get0_order(group)) >= 0) {
		error = MLS_ERROR_KEY;
		goto out;
	}
	if (!EC_POINT_mul(group, product, point ? NULL : k, point, point ? k : NULL, NULL))
		goto out;
	if (EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, out, 65, NULL) == 65)
		error = MLS_OK;
out:
	BN_clear_free(k);
	EC_POINT_clear_free(product);
	return error;
}

/* A new point, or NULL with *error set. */
static EC_POINT *point_read(struct mls_bytes bytes, int *error)
{
	const EC_GROUP *group = curve();
	EC_POINT *point;

	*error = MLS_ERROR_KEY;
	if (bytes.len != MLS_PUBLIC_KEY_BYTES || bytes.data[0] != 0x04)
		return NULL;
	point = group ? EC_POINT_new(group) : NULL;
	if (!point) {
		*error = MLS_ERROR_INTERNAL;
		return NULL;
	}
	if (!EC_POINT_oct2point(group, point, bytes.data, bytes.len, NULL)) {
		EC_POINT_free(point);
		return NULL;
	}
	*error = MLS_OK;
	return point;
}

int mls_p256_public(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		    uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	int error;

	ERR_set_mark();
	error = multiply(private_key, NULL, public_key);
	ERR_pop_to_mark();
	return error;
}

int mls_p256_generate(uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		      uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	int error;

	/* A scalar at random is out of range with probability 2^-32: draw again. */
	do {
		error = mls_random(private_key, MLS_PRIVATE_KEY_BYTES);
		if (error == MLS_OK)
			error = mls_p256_public(private_key, public_key);
	} while (error == MLS_ERROR_KEY);
	if (error != MLS_OK)
		OPENSSL_cleanse(private_key, MLS_PRIVATE_KEY_BYTES);
	return error;
}

int mls_p256_derive(const uint8_t ikm[MLS_HASH_BYTES], uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		    uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	uint8_t prk[MLS_HASH_BYTES];
	int error;

	error = mls_hpke_extract(MLS_KEM_SUITE, mls_bytes(NULL, 0), "dkp_prk",
				 mls_bytes(ikm, MLS_HASH_BYTES), prk);
	for (unsigned counter = 0; error == MLS_OK; counter++) {
		uint8_t byte = (uint8_t)counter;
		struct mls_bytes info = mls_bytes(&byte, 1);

		error = mls_hpke_expand(MLS_KEM_SUITE, prk, "candidate", &info, 1, private_key,
					MLS_PRIVATE_KEY_BYTES);
		if (error != MLS_OK)
			break;
		error = mls_p256_public(private_key, public_key);
		if (error != MLS_ERROR_KEY || counter == 255)
			break;
		error = MLS_OK;
	}
	OPENSSL_cleanse(prk, sizeof(prk));
	if (error != MLS_OK)
		OPENSSL_cleanse(private_key, MLS_PRIVATE_KEY_BYTES);
	return error;
}

int mls_p256_check(struct mls_bytes public_key)
{
	EC_POINT *point;
	int error;

	ERR_set_mark();
	point = point_read(public_key, &error);
	EC_POINT_free(point);
	ERR_pop_to_mark();
	return error;
}

int mls_p256_ecdh(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES], struct mls_bytes peer,
		  uint8_t out[32])
{
	uint8_t product[MLS_PUBLIC_KEY_BYTES];
	EC_POINT *point;
	int error;

	ERR_set_mark();
	point = point_read(peer, &error);
	if (point)
		error = multiply(private_key, point, product);
	EC_POINT_free(point);
	ERR_pop_to_mark();
	if (error == MLS_OK)
		memcpy(out, product + 1, 32);
	OPENSSL_cleanse(product, sizeof(product));
	return error;
}

/* ---- signatures --------------------------------------------------------------------------- */

struct mls_signature_key {
	_Atomic unsigned refs; /* changed by every holder */
	uint8_t public_key[MLS_PUBLIC_KEY_BYTES];
	EVP_PKEY *pkey; /* with the private half; read-only */
};

/* A key without a point, to be copied: building one from the curve's name costs four times as much
 * as copying. As curve(). */
static const EVP_PKEY *pkey_template(void)
{
	static _Atomic(EVP_PKEY *) made;
	EVP_PKEY *pkey = atomic_load(&made), *other = NULL;
	EVP_PKEY_CTX *ctx;

	if (pkey)
		return pkey;
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (!ctx || EVP_PKEY_paramgen_init(ctx) <= 0 ||
	    EVP_PKEY_CTX_set_group_name(ctx, "prime256v1") <= 0 ||
	    EVP_PKEY_paramgen(ctx, &pkey) <= 0)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	if (pkey && !atomic_compare_exchange_strong(&made, &other, pkey)) {
		EVP_PKEY_free(pkey);
		pkey = other;
	}
	return pkey;
}

/* A key that verifies. KEY if the point is not on the curve, which setting it checks. */
static int pkey_public(EVP_PKEY **out, struct mls_bytes public_key)
{
	const EVP_PKEY *template = pkey_template();
	EVP_PKEY *pkey;

	if (public_key.len != MLS_PUBLIC_KEY_BYTES || public_key.data[0] != 0x04)
		return MLS_ERROR_KEY;
	/* dup only reads its argument, but is not declared so */
	pkey = template ? EVP_PKEY_dup((EVP_PKEY *)template) : NULL;
	if (!pkey)
		return MLS_ERROR_INTERNAL;
	if (EVP_PKEY_set1_encoded_public_key(pkey, public_key.data, public_key.len) <= 0) {
		EVP_PKEY_free(pkey);
		return MLS_ERROR_KEY;
	}
	*out = pkey;
	return MLS_OK;
}

/* A key that signs. */
static EVP_PKEY *pkey_pair(const uint8_t public_key[MLS_PUBLIC_KEY_BYTES],
			   const uint8_t private_key[MLS_PRIVATE_KEY_BYTES])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM *k = BN_secure_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (ctx && builder && k && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    BN_bin2bn(private_key, MLS_PRIVATE_KEY_BYTES, k) &&
	    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, public_key,
					     MLS_PUBLIC_KEY_BYTES) &&
	    OSSL_PARAM_BLD_push_BN_pad(builder, OSSL_PKEY_PARAM_PRIV_KEY, k, MLS_PRIVATE_KEY_BYTES))
		params = OSSL_PARAM_BLD_to_param(builder);
	if (!params || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0)
		pkey = NULL;
	OSSL_PARAM_free(params);
	BN_clear_free(k);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static int signature_key_make(struct mls_signature_key **out,
			      const uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
			      const uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	struct mls_signature_key *key = mls_alloc(sizeof(*key));

	if (!key)
		return MLS_ERROR_NOMEM;
	atomic_init(&key->refs, 1);
	memcpy(key->public_key, public_key, sizeof(key->public_key));
	ERR_set_mark();
	key->pkey = pkey_pair(public_key, private_key);
	ERR_pop_to_mark();
	if (!key->pkey) {
		mls_free(key, sizeof(*key));
		return MLS_ERROR_INTERNAL;
	}
	*out = key;
	return MLS_OK;
}

int mls_signature_key_create(struct mls_signature_key **out)
{
	uint8_t private_key[MLS_PRIVATE_KEY_BYTES], public_key[MLS_PUBLIC_KEY_BYTES];
	int error = mls_p256_generate(private_key, public_key);

	if (error == MLS_OK)
		error = signature_key_make(out, private_key, public_key);
	OPENSSL_cleanse(private_key, sizeof(private_key));
	return error;
}

int mls_signature_key_import(struct mls_signature_key **out,
			     const uint8_t private_key[MLS_PRIVATE_KEY_BYTES])
{
	uint8_t public_key[MLS_PUBLIC_KEY_BYTES];
	int error = mls_p256_public(private_key, public_key);

	if (error == MLS_OK)
		error = signature_key_make(out, private_key, public_key);
	return error;
}

struct mls_signature_key *mls_signature_key_ref(const struct mls_signature_key *key)
{
	/* the count is the only thing about a key that ever changes */
	struct mls_signature_key *shared = (struct mls_signature_key *)key;

	atomic_fetch_add(&shared->refs, 1);
	return shared;
}

void mls_signature_key_destroy(struct mls_signature_key *key)
{
	if (!key || atomic_fetch_sub(&key->refs, 1) != 1)
		return;
	EVP_PKEY_free(key->pkey);
	mls_free(key, sizeof(*key));
}

void mls_signature_key_public(const struct mls_signature_key *key,
			      uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	memcpy(public_key, key->public_key, MLS_PUBLIC_KEY_BYTES);
}

/* Hash of SignContent: vec("MLS 1.0 " + label) || vec(content). */
static int sign_content(const char *label, struct mls_bytes content, uint8_t out[MLS_HASH_BYTES])
{
	uint8_t label_header[4], content_header[4];
	struct mls_bytes parts[5] = {
		mls_bytes(label_header, mls_vector_header(label_header, 8 + strlen(label))),
		mls_text("MLS 1.0 "),
		mls_text(label),
		mls_bytes(content_header, mls_vector_header(content_header, content.len)),
		content,
	};

	if (content.len > MLS_VECTOR_MAX)
		return MLS_ERROR_LIMIT;
	return mls_sha256(parts, 5, out);
}

int mls_sign(const struct mls_signature_key *key, const char *label, struct mls_bytes content,
	     struct mls_buffer *signature)
{
	uint8_t hash[MLS_HASH_BYTES], der[80];
	size_t len = sizeof(der);
	EVP_PKEY_CTX *ctx;
	bool done;
	int error = sign_content(label, content, hash);

	if (error != MLS_OK)
		return error;
	ERR_set_mark();
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	done = ctx && EVP_PKEY_sign_init(ctx) > 0 &&
	       EVP_PKEY_sign(ctx, der, &len, hash, sizeof(hash)) > 0;
	EVP_PKEY_CTX_free(ctx);
	ERR_pop_to_mark();
	/* OpenSSL 3.0 out of memory reports success with the length -1 of an encoder that failed */
	if (!done || len == 0 || len > sizeof(der))
		return MLS_ERROR_INTERNAL;
	return mls_buffer_copy(signature, mls_bytes(der, len));
}

int mls_verify(struct mls_bytes public_key, const char *label, struct mls_bytes content,
	       struct mls_bytes signature)
{
	uint8_t hash[MLS_HASH_BYTES];
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *pkey = NULL;
	int error = sign_content(label, content, hash);

	if (error != MLS_OK)
		return error;
	ERR_set_mark();
	error = pkey_public(&pkey, public_key);
	if (error == MLS_OK)
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (error == MLS_OK && (!ctx || EVP_PKEY_verify_init(ctx) <= 0))
		error = MLS_ERROR_INTERNAL;
	if (error == MLS_OK &&
	    EVP_PKEY_verify(ctx, signature.data, signature.len, hash, sizeof(hash)) != 1)
		error = MLS_ERROR_SIGNATURE;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	ERR_pop_to_mark();
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	/* a fuzzer cannot sign: let it reach what lies behind */
	if (error == MLS_ERROR_SIGNATURE)
		error = MLS_OK;
#endif
	return error;
}
