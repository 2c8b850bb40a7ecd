/* SPDX-License-Identifier: MIT
 *
 * The primitives against published answers (RFC 4231, RFC 5869, RFC 9180 A.3, FIPS 180) and
 * their edges: keys off the curve, scalars out of range, tags and signatures bent.
 */
#include <openssl/err.h>

#include "discord/mls/crypto.h"
#include "mls_play.h"

static struct mls_bytes unhex(const char *hex)
{
	static uint8_t room[16][256];
	static unsigned next;
	uint8_t *out = room[next++ % 16];
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
	return mls_bytes(out, n);
}

#define IS(out, hex) CHECK(mls_bytes_equal(mls_bytes(out, strlen(hex) / 2), unhex(hex)))

static void test_sha256_and_hmac(void)
{
	struct mls_bytes parts[3] = {mls_text("a"), mls_bytes(NULL, 0), mls_text("bc")};
	struct mls_bytes data = mls_text("what do ya want for nothing?"), key;
	uint8_t out[32], long_key[131];

	MLS(mls_sha256(parts, 3, out));
	IS(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	MLS(mls_hmac(mls_text("Jefe"), &data, 1, out)); /* RFC 4231 case 2 */
	IS(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(long_key, 0xaa, sizeof(long_key)); /* case 6: longer than a block */
	key = mls_bytes(long_key, sizeof(long_key));
	data = mls_text("Test Using Larger Than Block-Size Key - Hash Key First");
	MLS(mls_hmac(key, &data, 1, out));
	IS(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_hkdf(void)
{
	struct mls_bytes info = unhex("f0f1f2f3f4f5f6f7f8f9");
	uint8_t prk[32], okm[42], much[255 * 32 + 1];

	MLS(mls_extract(unhex("000102030405060708090a0b0c"),
			unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), prk));
	IS(prk, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	MLS(mls_expand(mls_bytes(prk, 32), &info, 1, okm, sizeof(okm)));
	IS(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		"34007208d5b887185865");
	MLS(mls_expand(mls_bytes(prk, 32), &info, 1, much, 255 * 32));
	MLS_FAILS(mls_expand(mls_bytes(prk, 32), &info, 1, much, sizeof(much)), MLS_ERROR_INTERNAL);
}

/* RFC 9180 A.3.1: DHKEM(P-256, HKDF-SHA256). */
static void test_derive_key_pair(void)
{
	uint8_t private[32], public_key[65];

	MLS(mls_p256_derive(
		unhex("4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e").data,
		private, public_key));
	IS(private, "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb");
	IS(public_key, "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b6"
		       "1a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4");
}

static void test_diffie_hellman_agrees(void)
{
	uint8_t a[32], b[32], pub_a[65], pub_b[65], ab[32], ba[32];

	for (int i = 0; i < 20; i++) {
		MLS(mls_p256_generate(a, pub_a));
		MLS(mls_p256_generate(b, pub_b));
		MLS(mls_p256_ecdh(a, mls_bytes(pub_b, 65), ab));
		MLS(mls_p256_ecdh(b, mls_bytes(pub_a, 65), ba));
		CHECK_MEM(ab, ba, 32);
	}
}

static void test_bad_points_and_scalars(void)
{
	static const char order[] =
		"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
	uint8_t private[32], public_key[65], out[65], zero[65] = {4};
	struct mls_signature_key *key;

	MLS(mls_p256_generate(private, public_key));
	MLS(mls_p256_check(mls_bytes(public_key, 65)));
	MLS_FAILS(mls_p256_check(mls_bytes(public_key, 64)), MLS_ERROR_KEY);
	MLS_FAILS(mls_p256_check(mls_bytes(NULL, 0)), MLS_ERROR_KEY);
	MLS_FAILS(mls_p256_check(mls_bytes(zero, 65)), MLS_ERROR_KEY);
	MLS_FAILS(mls_p256_check(mls_bytes(zero + 1, 1)), MLS_ERROR_KEY); /* infinity */
	for (size_t i = 0; i < 65; i++) {
		public_key[i] ^= 1;
		MLS_FAILS(mls_p256_check(mls_bytes(public_key, 65)), MLS_ERROR_KEY);
		MLS_FAILS(mls_p256_ecdh(private, mls_bytes(public_key, 65), out), MLS_ERROR_KEY);
		MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "x", mls_text("y"), mls_text("z")),
			  MLS_ERROR_KEY);
		public_key[i] ^= 1;
	}
	memset(out, 0, 32);
	MLS_FAILS(mls_p256_public(out, zero), MLS_ERROR_KEY);
	MLS_FAILS(mls_p256_public(unhex(order).data, out), MLS_ERROR_KEY);
	MLS_FAILS(mls_signature_key_import(&key, unhex(order).data), MLS_ERROR_KEY);
	memset(out, 0xff, 32);
	MLS_FAILS(mls_p256_public(out, zero), MLS_ERROR_KEY);
	/* x = p + 5 names the point of x = 5 a second time, if let */
	MLS_FAILS(mls_p256_check(unhex(
			  "04ffffffff00000001000000000000000000000001000000000000000000000004"
			  "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc")),
		  MLS_ERROR_KEY);
}

static void test_signatures(void)
{
	struct mls_signature_key *key;
	struct mls_buffer signature;
	uint8_t public_key[65];

	MLS(mls_signature_key_create(&key));
	mls_signature_key_public(key, public_key);
	MLS(mls_sign(key, "label", mls_text("content"), &signature));
	MLS(mls_verify(mls_bytes(public_key, 65), "label", mls_text("content"),
		       mls_view(&signature)));
	MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "Label", mls_text("content"),
			     mls_view(&signature)),
		  MLS_ERROR_SIGNATURE);
	MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "label", mls_text("Content"),
			     mls_view(&signature)),
		  MLS_ERROR_SIGNATURE);
	MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "label", mls_text("content"),
			     mls_bytes(NULL, 0)),
		  MLS_ERROR_SIGNATURE);
	for (size_t i = 0; i < signature.len; i++) {
		signature.data[i] ^= 4;
		MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "label", mls_text("content"),
				     mls_view(&signature)),
			  MLS_ERROR_SIGNATURE);
		signature.data[i] ^= 4;
	}
	mls_buffer_clear(&signature);
	mls_signature_key_destroy(key);
	mls_signature_key_destroy(NULL);
}

static void test_sealing(void)
{
	uint8_t key[16] = {1}, nonce[12] = {2}, private[40] = {0}, public_key[65];
	struct mls_buffer sealed, opened;
	struct mls_hpke_view view;
	struct mls_writer w = {0};
	struct mls_reader r;

	for (size_t n = 0; n < 40; n += 13) {
		MLS(mls_aead_seal(key, nonce, mls_bytes(private, n), &sealed));
		CHECK_INT(sealed.len, n + 16);
		MLS(mls_aead_open(key, nonce, mls_view(&sealed), &opened));
		CHECK_INT(opened.len, n);
		mls_buffer_clear(&opened);
		sealed.data[n] ^= 1;
		MLS_FAILS(mls_aead_open(key, nonce, mls_view(&sealed), &opened), MLS_ERROR_DECRYPT);
		MLS_FAILS(mls_aead_open(key, nonce, mls_bytes(sealed.data, 15), &opened),
			  MLS_ERROR_DECRYPT);
		mls_buffer_clear(&sealed);
	}
	MLS(mls_p256_generate(private, public_key));
	MLS(mls_hpke_seal(mls_bytes(public_key, 65), "a", mls_text("b"), mls_text("c"), &w));
	r = mls_reader(mls_written(&w));
	mls_read_hpke(&r, &view);
	MLS(mls_reader_finish(&r));
	MLS(mls_hpke_open(private, public_key, "a", mls_text("b"), view.kem_output, view.ciphertext,
			  &opened));
	CHECK(mls_bytes_equal(mls_view(&opened), mls_text("c")));
	mls_buffer_clear(&opened);
	MLS_FAILS(mls_hpke_open(private, public_key, "A", mls_text("b"), view.kem_output,
				view.ciphertext, &opened),
		  MLS_ERROR_DECRYPT);
	MLS_FAILS(mls_hpke_open(private, public_key, "a", mls_text("B"), view.kem_output,
				view.ciphertext, &opened),
		  MLS_ERROR_DECRYPT);
	MLS_FAILS(mls_hpke_seal(mls_text("no key"), "a", mls_text("b"), mls_text("c"), &w),
		  MLS_ERROR_KEY);
	mls_writer_clear(&w);
}

/* The thread may be using libcrypto's error queue for TLS. */
static void test_error_queue_is_left_alone(void)
{
	uint8_t public_key[65] = {4};

	ERR_clear_error();
	ERR_raise(ERR_LIB_USER, 42);
	MLS_FAILS(mls_p256_check(mls_bytes(public_key, 65)), MLS_ERROR_KEY);
	MLS_FAILS(mls_verify(mls_bytes(public_key, 65), "x", mls_text("y"), mls_text("z")),
		  MLS_ERROR_KEY);
	CHECK_INT(ERR_GET_REASON(ERR_get_error()), 42);
	CHECK_INT(ERR_get_error(), 0);
}

static void test_exporter_lengths(void)
{
	static struct play play;
	uint8_t out[255 * 32 + 1];

	play_group(&play, 1, 0);
	MLS(mls_group_export(play.players[0].group, "x", mls_bytes(NULL, 0), out, 255 * 32));
	MLS_FAILS(mls_group_export(play.players[0].group, "x", mls_bytes(NULL, 0), out,
				   sizeof(out)),
		  MLS_ERROR_INTERNAL);
	play_end(&play);
}

int main(void)
{
	UNIT(test_sha256_and_hmac);
	UNIT(test_hkdf);
	UNIT(test_derive_key_pair);
	UNIT(test_diffie_hellman_agrees);
	UNIT(test_bad_points_and_scalars);
	UNIT(test_signatures);
	UNIT(test_sealing);
	UNIT(test_error_queue_is_left_alone);
	UNIT(test_exporter_lengths);
	return unit_done();
}
