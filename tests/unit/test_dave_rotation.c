/* SPDX-License-Identifier: MIT
 *
 * test_dave_rotation.c - the sender's side of a new generation: every 2^24 frames another key.
 *
 * Nobody can wait 93 hours for it, nor should a test seal 16 million frames: the counter is set
 * from inside, so this program has media_key.c for its own. What must come out is what davey sent
 * when it was made to go through the same change.
 */
#include "discord/dave/media_key.c"

#include "tests/unit/dave_vectors.h"

#define SECOND ((int64_t)1000000000)

static void test_frames_are_those_of_davey_across_the_change(void)
{
	cJSON *v = data_load("davey-gen1.json");
	struct hex base = hex_member(v, "base_secret"), opus = hex_member(v, "opus");
	struct dave_media_key *k;
	uint64_t expected_generation = 0;
	const cJSON *c;
	int changes = 0;

	CHECK_INT(dave_media_key_create(&k, base.data, 0), 0);
	cJSON_ArrayForEach(c, member(v, "list"))
	{
		struct hex want = hex_member(c, "frame");
		uint64_t nonce = (uint64_t)number(c, "nonce");
		uint8_t out[64];
		size_t bytes;

		if (nonce != k->counter + 1)
			k->counter = nonce - 1; /* the frames in between were sent */
		CHECK_INT(dave_media_key_seal(k, opus.data, opus.len, out, sizeof(out), &bytes), 0);
		CHECK_INT(bytes, want.len);
		CHECK_MEM(out, want.data, bytes);
		if ((uint64_t)number(c, "generation") != expected_generation) {
			expected_generation = (uint64_t)number(c, "generation");
			changes++;
		}
		free(want.data);
	}
	CHECK_INT(changes, 1);
	/* what was sent before can not be made again, not even by us */
	CHECK_INT(k->ratchet.oldest, 1);
	for (size_t i = 0; i < DAVE_KEY_BYTES; i++)
		CHECK_INT(k->ratchet.keys[0][i], 0);
	dave_media_key_unref(k);
	free(base.data);
	free(opus.data);
	cJSON_Delete(v);
}

/* The nonce on the wire has 32 bits: after 2^32 frames it begins anew, the generation does not, so
 * that no key and nonce are used together twice; and a receiver follows. */
static void test_the_nonce_wraps_and_the_generation_does_not(void)
{
	static const uint8_t base[DAVE_BASE_SECRET_BYTES] = "wrapping around", opus[4] = "opus";
	const int64_t long_ago = -INT64_C(6) * 365 * 86400 * SECOND;
	struct dave_media_key *sender, *receiver;
	uint8_t before[64], after[64], out[64];
	struct dave_frame f;
	size_t n, bytes;

	CHECK_INT(dave_media_key_create(&sender, base, long_ago), 0);
	CHECK_INT(dave_media_key_create(&receiver, base, long_ago), 0);
	/* a receiver that has followed up to there: one frame of each hundredth generation */
	for (uint64_t g = 0; g < 256; g += 100) {
		sender->counter = (g << DAVE_GENERATION_SHIFT) + 6;
		CHECK_INT(dave_media_key_seal(sender, opus, 4, before, sizeof(before), &bytes), 0);
		CHECK(dave_frame_parse(&f, before, bytes));
		CHECK_INT(dave_media_key_open(receiver, (int64_t)g * 20 * SECOND, &f, out,
					      sizeof(out), &n),
			  0);
	}
	sender->counter = UINT32_MAX - 1;
	CHECK_INT(dave_media_key_seal(sender, opus, 4, before, sizeof(before), &bytes), 0);
	CHECK(dave_frame_parse(&f, before, bytes));
	CHECK(f.nonce == UINT32_MAX);
	CHECK_INT(dave_media_key_open(receiver, 6000 * SECOND, &f, out, sizeof(out), &n), 0);
	/* 2^32 + 6: nonce 6, generation 256 */
	sender->counter = (UINT64_C(1) << 32) + 5;
	CHECK_INT(dave_media_key_seal(sender, opus, 4, after, sizeof(after), &bytes), 0);
	CHECK(dave_frame_parse(&f, after, bytes));
	CHECK_INT(f.nonce, 6);
	CHECK_INT(sender->seal_generation, 256);
	CHECK_INT(dave_media_key_open(receiver, 6020 * SECOND, &f, out, sizeof(out), &n), 0);
	CHECK_INT(n, 4);
	CHECK_MEM(out, opus, 4);
	/* under generation 0's key it would have been another frame */
	CHECK_INT(dave_media_key_open(receiver, 6020 * SECOND, &f, out, sizeof(out), &n),
		  -EALREADY);
	dave_media_key_unref(sender);
	dave_media_key_unref(receiver);
}

int main(void)
{
	UNIT(test_frames_are_those_of_davey_across_the_change);
	UNIT(test_the_nonce_wraps_and_the_generation_does_not);
	return unit_done();
}
