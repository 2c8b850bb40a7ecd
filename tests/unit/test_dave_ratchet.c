/* SPDX-License-Identifier: MIT
 *
 * test_dave_ratchet.c - sender keys by generation, and their life inside a media key.
 */
#include "discord/dave/key_ratchet.h"

#include <errno.h>

#include <openssl/evp.h>

#include "discord/dave/media_key.h"
#include "discord/mls/crypto.h"
#include "tests/unit/dave_vectors.h"

#define SECOND ((int64_t)1000000000)

static const char known_secret[] = "cedd61b1b8a1ca69046554282cf70b7b";

static void test_known_generations(void)
{
	cJSON *v = vectors_load("dave-key-ratchet.json");
	struct hex base = hex_member(v, "base_secret");
	static struct dave_ratchet r;
	const cJSON *g;
	int n = 0;

	dave_ratchet_init(&r, base.data);
	cJSON_ArrayForEach(g, member(v, "generations"))
	{
		struct hex want = hex_member(g, "key"), secret_in = hex_member(g, "secret_in");
		struct hex unused = hex_member(g, "nonce_unused");
		uint8_t nonce[MLS_AEAD_NONCE_BYTES];
		uint32_t generation = (uint32_t)number(g, "generation");
		const uint8_t *key;

		if (generation) {
			/* not derived yet: the chain's secret is the one of this generation */
			CHECK_INT(r.next, generation);
			CHECK_INT(r.secret_bytes, secret_in.len);
			CHECK_MEM(r.secret, secret_in.data, secret_in.len);
		} else {
			CHECK_INT(secret_in.len, DAVE_BASE_SECRET_BYTES);
			CHECK_MEM(secret_in.data, base.data, DAVE_BASE_SECRET_BYTES);
		}
		CHECK_INT(dave_ratchet_key(&r, generation, &key), 0);
		CHECK_INT(want.len, DAVE_KEY_BYTES);
		CHECK_MEM(key, want.data, DAVE_KEY_BYTES);
		/* of the same chain, though DAVE makes its nonces another way */
		CHECK_INT(mls_derive_tree_secret(mls_bytes(secret_in.data, secret_in.len), "nonce",
						 generation, nonce, sizeof(nonce)),
			  0);
		CHECK_INT(unused.len, sizeof(nonce));
		CHECK_MEM(nonce, unused.data, sizeof(nonce));
		free(unused.data);
		free(want.data);
		free(secret_in.data);
		n++;
	}
	CHECK_INT(n, 6);
	free(base.data);
	cJSON_Delete(v);
}

static void test_order_of_asking_does_not_matter(void)
{
	struct hex base = hex_text(known_secret);
	static struct dave_ratchet a, b;
	const uint8_t *ka, *kb;

	dave_ratchet_init(&a, base.data);
	dave_ratchet_init(&b, base.data);
	CHECK_INT(dave_ratchet_key(&a, 9, &ka), 0);
	for (uint32_t g = 0; g <= 9; g++) {
		CHECK_INT(dave_ratchet_key(&a, g, &ka), 0);
		CHECK_INT(dave_ratchet_key(&b, g, &kb), 0);
		CHECK_MEM(ka, kb, DAVE_KEY_BYTES);
	}
	free(base.data);
}

static void test_erased_never_returns(void)
{
	struct hex base = hex_text(known_secret);
	static struct dave_ratchet r;
	static const uint8_t zero[DAVE_KEY_BYTES];
	uint8_t kept[DAVE_KEY_BYTES];
	const uint8_t *key;

	dave_ratchet_init(&r, base.data);
	CHECK_INT(dave_ratchet_key(&r, 7, &key), 0);
	memcpy(kept, key, sizeof(kept));
	dave_ratchet_erase_below(&r, 5);
	for (uint32_t g = 0; g < 5; g++) {
		CHECK_INT(dave_ratchet_key(&r, g, &key), -ESTALE);
		CHECK_MEM(r.keys[g], zero, sizeof(zero)); /* wiped, not only marked */
	}
	CHECK_INT(dave_ratchet_key(&r, 5, &key), 0);
	CHECK_INT(dave_ratchet_key(&r, 7, &key), 0);
	CHECK_MEM(key, kept, sizeof(kept));
	/* beyond what was derived: keys in between are never kept */
	dave_ratchet_erase_below(&r, 300);
	CHECK_INT(dave_ratchet_key(&r, 299, &key), -ESTALE);
	CHECK_INT(dave_ratchet_key(&r, 300, &key), 0);
	free(base.data);
}

static void test_generations_are_bounded(void)
{
	struct hex base = hex_text(known_secret);
	static struct dave_ratchet r;
	const uint8_t *key;

	dave_ratchet_init(&r, base.data);
	CHECK_INT(dave_ratchet_key(&r, 255, &key), 0);
	CHECK_INT(dave_ratchet_key(&r, 256, &key), -ERANGE);
	CHECK_INT(dave_ratchet_key(&r, UINT32_MAX, &key), -ERANGE);
	dave_ratchet_erase_below(&r, 1);
	CHECK_INT(dave_ratchet_key(&r, 256, &key), 0);
	free(base.data);
}

static void test_wrapped_generations(void)
{
	cJSON *v = vectors_load("dave-replay-window.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "wrapped_generation"))
	{
		CHECK_INT(dave_generation_widen((uint32_t)number(c, "oldest"),
						(uint8_t)number(c, "in")),
			  number(c, "out"));
		n++;
	}
	cJSON_ArrayForEach(c, member(v, "big_nonce"))
	{
		CHECK_INT(dave_nonce_widen((uint32_t)number(c, "generation"),
					   (uint32_t)number(c, "nonce")),
			  number(c, "out"));
		n++;
	}
	CHECK_INT(n, 12);
	c = member(v, "constants");
	CHECK_INT(DAVE_GENERATION_SHIFT, number(c, "generation_shift_bits"));
	CHECK_INT(DAVE_GENERATION_GAP, number(c, "max_generation_gap"));
	CHECK_INT(DAVE_FRAME_RATE_MAX, number(c, "max_frames_per_second"));
	CHECK_INT(DAVE_KEY_LINGER_NS, number(c, "cryptor_expiry_seconds") * SECOND);
	CHECK_INT(DAVE_LIVE_GENERATIONS, number(c, "generation_wrap"));
	cJSON_Delete(v);
}

static void test_generation_bound_by_age(void)
{
	/* 2^24 frames at 170 a second: 98689.5 s */
	CHECK(dave_generation_plausible(0, 0));
	CHECK(dave_generation_plausible(0, -5 * SECOND));
	CHECK(!dave_generation_plausible(1, 0));
	CHECK(!dave_generation_plausible(1, 98689 * SECOND));
	CHECK(dave_generation_plausible(1, 98690 * SECOND));
	CHECK(!dave_generation_plausible(2, 98690 * SECOND));
	CHECK(dave_generation_plausible(250, INT64_MAX));
}

/* ---- a key's life ------------------------------------------------------------------------- */

/* A frame as a sender in that generation makes it. */
static size_t frame_of(uint32_t nonce, const uint8_t base[16], const void *opus, size_t opus_bytes,
		       uint8_t out[64])
{
	static struct dave_ratchet r;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	const uint8_t *key;
	size_t bytes;

	dave_ratchet_init(&r, base);
	CHECK_INT(dave_ratchet_key(&r, nonce >> DAVE_GENERATION_SHIFT, &key), 0);
	CHECK_INT(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, NULL), 1);
	CHECK_INT(dave_frame_seal(c, nonce, opus, opus_bytes, out, 64, &bytes), 0);
	EVP_CIPHER_CTX_free(c);
	return bytes;
}

static int opens(struct dave_media_key *k, int64_t now_ns, uint32_t nonce, const uint8_t base[16])
{
	uint8_t frame[64], out[64];
	struct dave_frame f;
	size_t bytes = frame_of(nonce, base, "opus", 4, frame), n;
	int rc;

	CHECK(dave_frame_parse(&f, frame, bytes));
	rc = dave_media_key_open(k, now_ns, &f, out, sizeof(out), &n);
	if (rc == 0) {
		CHECK_INT(n, 4);
		CHECK_MEM(out, "opus", 4);
	}
	return rc;
}

#define FAR    (INT64_C(10) * 365 * 86400 * SECOND)
#define GEN(g) ((uint32_t)(g) << DAVE_GENERATION_SHIFT)

/* The three stories of libdave's cryptor manager tests. */
static void test_gap_counts_from_the_newest(void)
{
	struct hex base = hex_text(known_secret);
	struct dave_media_key *k;

	CHECK_INT(dave_media_key_create(&k, base.data, 0), 0);
	CHECK_INT(opens(k, FAR, GEN(0) + 1, base.data), 0);
	CHECK_INT(opens(k, FAR, GEN(251), base.data), -EALREADY);
	CHECK_INT(opens(k, FAR, GEN(250), base.data), 0);
	CHECK_INT(opens(k, FAR, GEN(251), base.data), 0);
	dave_media_key_unref(k);
	free(base.data);
}

static void test_old_generation_lives_ten_seconds_more(void)
{
	struct hex base = hex_text(known_secret);
	struct dave_media_key *k;

	CHECK_INT(dave_media_key_create(&k, base.data, 0), 0);
	CHECK_INT(opens(k, 0, 1, base.data), 0);
	CHECK_INT(opens(k, FAR, GEN(1) - 3, base.data), 0); /* a long wait takes nothing away */
	CHECK_INT(opens(k, FAR, GEN(1), base.data), 0);
	CHECK_INT(opens(k, FAR + 10 * SECOND - 1000, GEN(1) - 2, base.data), 0);
	CHECK_INT(opens(k, FAR + 10 * SECOND + 1000, GEN(1) - 1, base.data), -EALREADY);
	CHECK_INT(opens(k, FAR + 10 * SECOND + 1000, GEN(1) + 1, base.data), 0);
	dave_media_key_unref(k);
	free(base.data);
}

static void test_skipped_generations_go_too(void)
{
	struct hex base = hex_text(known_secret);
	struct dave_media_key *k;

	CHECK_INT(dave_media_key_create(&k, base.data, 0), 0);
	CHECK_INT(opens(k, FAR, 1, base.data), 0);
	CHECK_INT(opens(k, FAR, GEN(5), base.data), 0);
	CHECK_INT(opens(k, FAR + 10 * SECOND + 1000, GEN(5) + 1, base.data), 0);
	for (unsigned g = 0; g < 5; g++)
		CHECK_INT(opens(k, FAR + 10 * SECOND + 1000, GEN(g) + 9, base.data), -EALREADY);
	dave_media_key_unref(k);
	free(base.data);
}

/* A forged high generation must not make us step, nor be believed when it fits. */
static void test_young_key_refuses_later_generations(void)
{
	struct hex base = hex_text(known_secret);
	struct dave_media_key *k;

	CHECK_INT(dave_media_key_create(&k, base.data, 77 * SECOND), 0);
	CHECK_INT(opens(k, 78 * SECOND, GEN(1) + 5, base.data), -EALREADY);
	CHECK_INT(opens(k, 77 * SECOND + 98689 * SECOND, GEN(1) + 5, base.data), -EALREADY);
	CHECK_INT(opens(k, 77 * SECOND + 98690 * SECOND, GEN(1) + 5, base.data), 0);
	dave_media_key_unref(k);
	free(base.data);
}

/* davey was made to send 2^24 + 2 frames: both of its generations open. */
static void test_davey_generation_1(void)
{
	cJSON *v = data_load("davey-gen1.json");
	struct hex base = hex_member(v, "base_secret"), opus = hex_member(v, "opus");
	struct dave_media_key *k;
	const cJSON *c;
	int n = 0;

	CHECK_INT(dave_media_key_create(&k, base.data, 0), 0);
	cJSON_ArrayForEach(c, member(v, "list"))
	{
		struct hex frame = hex_member(c, "frame"), key = hex_member(c, "key");
		struct dave_ratchet r;
		struct dave_frame f;
		uint8_t out[64];
		const uint8_t *derived;
		size_t bytes;

		dave_ratchet_init(&r, base.data);
		CHECK_INT(dave_ratchet_key(&r, (uint32_t)number(c, "generation"), &derived), 0);
		CHECK_MEM(derived, key.data, DAVE_KEY_BYTES);
		CHECK(dave_frame_parse(&f, frame.data, frame.len));
		CHECK_INT(f.nonce, number(c, "nonce"));
		CHECK_INT(dave_media_key_open(k, 100000 * SECOND, &f, out, sizeof(out), &bytes), 0);
		CHECK_INT(bytes, opus.len);
		CHECK_MEM(out, opus.data, bytes);
		/* and we would have sent the same bytes */
		CHECK_INT(frame_of(f.nonce, base.data, opus.data, opus.len, out), frame.len);
		CHECK_MEM(out, frame.data, frame.len);
		free(frame.data);
		free(key.data);
		n++;
	}
	CHECK_INT(n, 6);
	dave_media_key_unref(k);
	free(base.data);
	free(opus.data);
	cJSON_Delete(v);
}

int main(void)
{
	UNIT(test_known_generations);
	UNIT(test_order_of_asking_does_not_matter);
	UNIT(test_erased_never_returns);
	UNIT(test_generations_are_bounded);
	UNIT(test_wrapped_generations);
	UNIT(test_generation_bound_by_age);
	UNIT(test_gap_counts_from_the_newest);
	UNIT(test_old_generation_lives_ten_seconds_more);
	UNIT(test_skipped_generations_go_too);
	UNIT(test_young_key_refuses_later_generations);
	UNIT(test_davey_generation_1);
	return unit_done();
}
