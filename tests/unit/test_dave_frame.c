/* SPDX-License-Identifier: MIT
 *
 * test_dave_frame.c - protocol frames against known answers, and every rule of the format.
 */
#include "discord/dave/frame.h"

#include <errno.h>

#include <openssl/evp.h>

#include "discord/dave/media_key.h"
#include "tests/unit/dave_vectors.h"

static EVP_CIPHER_CTX *cipher(const uint8_t *key, int encrypt)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	CHECK_INT(EVP_CipherInit_ex(c, EVP_aes_128_gcm(), NULL, key, NULL, encrypt), 1);
	return c;
}

static void frame_check(const cJSON *v)
{
	struct hex key = hex_member(v, "key"), plain = hex_member(v, "plaintext");
	struct hex frame = hex_member(v, "frame");
	EVP_CIPHER_CTX *seal = cipher(key.data, 1), *open = cipher(key.data, 0);
	uint32_t nonce = (uint32_t)number(v, "nonce");
	uint8_t out[256];
	struct dave_frame f;
	size_t n;

	CHECK_INT(dave_frame_seal(seal, nonce, plain.data, plain.len, out, sizeof(out), &n), 0);
	CHECK_INT(n, frame.len);
	CHECK_MEM(out, frame.data, n);
	CHECK(dave_frame_parse(&f, frame.data, frame.len));
	CHECK_INT(f.nonce, nonce);
	CHECK_INT(f.range_count, 0);
	CHECK_INT(f.media_bytes, plain.len);
	CHECK_INT(dave_frame_open(open, &f, out, sizeof(out), &n), 0);
	CHECK_INT(n, plain.len);
	CHECK_MEM(out, plain.data, n);
	/* every bit of it counts */
	for (size_t i = 0; i < 8 * frame.len; i++) {
		uint8_t before = frame.data[i / 8];

		frame.data[i / 8] ^= (uint8_t)(1 << i % 8);
		if (dave_frame_parse(&f, frame.data, frame.len))
			CHECK_INT(dave_frame_open(open, &f, out, sizeof(out), &n), -EBADMSG);
		frame.data[i / 8] = before;
	}
	EVP_CIPHER_CTX_free(seal);
	EVP_CIPHER_CTX_free(open);
	free(key.data);
	free(plain.data);
	free(frame.data);
}

static void test_opus_frames(void)
{
	cJSON *v = vectors_load("dave-frames.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "opus_frames"))
	{
		frame_check(c);
		n++;
	}
	CHECK_INT(n, 11);
	cJSON_Delete(v);
}

static void test_ratcheted_opus_frames(void)
{
	cJSON *v = vectors_load("dave-frames.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "ratcheted_opus_frames"))
	{
		struct hex base = hex_member(c, "base_secret"), key = hex_member(c, "key");
		static struct dave_ratchet r;
		const uint8_t *derived;

		dave_ratchet_init(&r, base.data);
		CHECK_INT(number(c, "nonce") >> DAVE_GENERATION_SHIFT, number(c, "generation"));
		CHECK_INT(dave_ratchet_key(&r, (uint32_t)number(c, "generation"), &derived), 0);
		CHECK_MEM(derived, key.data, DAVE_KEY_BYTES);
		frame_check(c);
		free(base.data);
		free(key.data);
		n++;
	}
	CHECK_INT(n, 4);
	cJSON_Delete(v);
}

static void test_silence_packet(void)
{
	cJSON *v = vectors_load("dave-frames.json");
	struct hex s = hex_member(v, "silence_passthrough");

	CHECK(dave_frame_is_silence(s.data, s.len));
	CHECK(!dave_frame_is_silence(s.data, 2));
	s.data[2] ^= 1;
	CHECK(!dave_frame_is_silence(s.data, s.len));
	free(s.data);
	cJSON_Delete(v);
}

static void test_unencrypted_ranges_are_found(void)
{
	cJSON *v = vectors_load("dave-frames.json");
	const cJSON *c = member(v, "split_reconstruct"), *range;
	struct hex frame = hex_member(c, "frame"), tag = hex_member(c, "tag");
	struct dave_frame f;
	size_t i = 0;

	CHECK(dave_frame_parse(&f, frame.data, frame.len));
	CHECK_INT(f.nonce, number(c, "nonce"));
	CHECK_INT(f.media_bytes, number(c, "media_length"));
	CHECK_INT(frame.len - f.media_bytes, number(c, "supplemental_size"));
	CHECK_MEM(f.tag, tag.data, DAVE_TAG_BYTES);
	cJSON_ArrayForEach(range, member(c, "unencrypted_ranges"))
	{
		CHECK(i < f.range_count);
		CHECK_INT(f.ranges[i].offset, cJSON_GetArrayItem(range, 0)->valueint);
		CHECK_INT(f.ranges[i].size, cJSON_GetArrayItem(range, 1)->valueint);
		i++;
	}
	CHECK_INT(f.range_count, i);
	CHECK_INT(f.clear_bytes, 40);
	free(frame.data);
	free(tag.data);
	cJSON_Delete(v);
}

static void test_malformed_frames_are_plain(void)
{
	cJSON *v = vectors_load("dave-frames.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "must_not_parse_as_protocol_frame"))
	{
		struct hex frame = hex_member(c, "frame");
		struct dave_frame f;

		if (dave_frame_parse(&f, frame.data, frame.len))
			UNIT_FAIL("parsed: %s", member(c, "why")->valuestring);
		free(frame.data);
		n++;
	}
	CHECK_INT(n, 7);
	cJSON_Delete(v);
}

/* Clear bytes are authenticated as additional data, what lies between is one plaintext. The frame
 * is made here with one-shot calls over concatenated parts, as the protocol describes it. */
static void test_unencrypted_ranges_are_opened(void)
{
	static const uint8_t key[16] = "ranges test key";
	static const struct dave_range ranges[] = {{0, 4}, {10, 0}, {10, 3}, {28, 2}};
	uint8_t media[30], clear[30], secret[30], sealed[30], tag[16], frame[80], out[30],
		iv[12] = {0};
	size_t n_clear = 0, n_secret = 0, at = 0, n;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new(), *open = cipher(key, 0);
	struct dave_frame f;
	int len;

	for (size_t i = 0; i < sizeof(media); i++) {
		bool is_clear = i < 4 || (i >= 10 && i < 13) || i >= 28;

		media[i] = (uint8_t)(i * 7 + 1);
		if (is_clear)
			clear[n_clear++] = media[i];
		else
			secret[n_secret++] = media[i];
	}
	iv[8] = 0x34;
	iv[9] = 0x12;
	CHECK_INT(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv), 1);
	CHECK_INT(EVP_EncryptUpdate(c, NULL, &len, clear, (int)n_clear), 1);
	CHECK_INT(EVP_EncryptUpdate(c, sealed, &len, secret, (int)n_secret), 1);
	CHECK_INT(EVP_EncryptFinal_ex(c, sealed + len, &len), 1);
	CHECK_INT(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
	n_secret = 0;
	for (size_t i = 0; i < sizeof(media); i++) {
		bool is_clear = i < 4 || (i >= 10 && i < 13) || i >= 28;

		frame[at++] = is_clear ? media[i] : sealed[n_secret++];
	}
	memcpy(frame + at, tag, 8);
	at += 8;
	at += dave_leb128_write(0x1234, frame + at, 5);
	for (size_t i = 0; i < 4; i++) {
		at += dave_leb128_write(ranges[i].offset, frame + at, 5);
		at += dave_leb128_write(ranges[i].size, frame + at, 5);
	}
	frame[at] = (uint8_t)(at - 30 + 3);
	frame[at + 1] = frame[at + 2] = 0xfa;
	at += 3;
	CHECK(dave_frame_parse(&f, frame, at));
	CHECK_INT(f.range_count, 4);
	CHECK_INT(dave_frame_open(open, &f, out, sizeof(out), &n), 0);
	CHECK_INT(n, sizeof(media));
	CHECK_MEM(out, media, sizeof(media));
	CHECK_INT(dave_frame_open(open, &f, out, sizeof(out) - 1, &n), -ENOSPC);
	/* a clear byte changed is found out as well, and nothing of it is left in out */
	frame[11] ^= 1;
	CHECK(dave_frame_parse(&f, frame, at));
	CHECK_INT(dave_frame_open(open, &f, out, sizeof(out), &n), -EBADMSG);
	for (size_t i = 0; i < sizeof(out); i++)
		CHECK_INT(out[i], 0);
	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_CTX_free(open);
}

/* Builds media || 8 || supplement || size || FA FA with the size given or right. */
static size_t make(uint8_t *out, size_t media, const uint8_t *supplement, size_t n, int size)
{
	memset(out, 0x11, media + 8);
	memcpy(out + media + 8, supplement, n);
	out[media + 8 + n] = (uint8_t)(size < 0 ? (int)(8 + n + 3) : size);
	out[media + 8 + n + 1] = out[media + 8 + n + 2] = 0xfa;
	return media + 8 + n + 3;
}

static bool parses(size_t media, const uint8_t *supplement, size_t n)
{
	uint8_t frame[1024];
	struct dave_frame f;

	return dave_frame_parse(&f, frame, make(frame, media, supplement, n, -1));
}

static void test_each_rule_of_the_format(void)
{
	uint8_t frame[1024], big[300];
	struct dave_frame f;
	size_t n;

	/* the nonce */
	CHECK(parses(20, (const uint8_t[]){0x01}, 1));
	CHECK(parses(20, (const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0x0f}, 5));
	CHECK(!parses(20, (const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0x1f}, 5)); /* 2^33 - 1 */
	CHECK(!parses(20, (const uint8_t[]){0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 6));
	CHECK(parses(20, (const uint8_t[]){0x81, 0x80, 0x00}, 3)); /* overlong 1: allowed */
	CHECK(!parses(20,
		      (const uint8_t[]){0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					0},
		      11));
	CHECK(!parses(20, (const uint8_t[]){0x80}, 1));
	/* no nonce at all */
	n = make(frame, 20, big, 0, -1);
	CHECK(!dave_frame_parse(&f, frame, n));
	/* ranges end exactly at the size byte */
	CHECK(parses(20, (const uint8_t[]){1, 0, 20}, 3));
	CHECK(!parses(20, (const uint8_t[]){1, 0}, 2));
	CHECK(!parses(20, (const uint8_t[]){1, 0, 0x80}, 3));
	/* within the media, not merely within the frame */
	CHECK(parses(20, (const uint8_t[]){1, 19, 1}, 3));
	CHECK(!parses(20, (const uint8_t[]){1, 19, 2}, 3));
	CHECK(!parses(20, (const uint8_t[]){1, 21, 0}, 3));
	/* ascending and apart */
	CHECK(parses(20, (const uint8_t[]){1, 0, 5, 5, 5}, 5));
	CHECK(!parses(20, (const uint8_t[]){1, 0, 5, 4, 5}, 5));
	CHECK(!parses(20, (const uint8_t[]){1, 5, 5, 0, 5}, 5));
	/* no overflow: offset + size beyond 32 bits */
	CHECK(!parses(20,
		      (const uint8_t[]){1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff,
					0x0f},
		      11));
	/* size byte */
	n = make(frame, 20, (const uint8_t[]){1}, 1, 11);
	CHECK(!dave_frame_parse(&f, frame, n)); /* leaves no room for a nonce */
	n = make(frame, 20, (const uint8_t[]){1}, 1, 10);
	CHECK(!dave_frame_parse(&f, frame, n));
	n = make(frame, 0, (const uint8_t[]){1}, 1, 13);
	CHECK(!dave_frame_parse(&f, frame, n));
	/* no media: allowed (an empty packet encrypts to twelve bytes) */
	CHECK(parses(0, (const uint8_t[]){1}, 1));
	/* marker */
	n = make(frame, 20, (const uint8_t[]){1}, 1, -1);
	CHECK(dave_frame_parse(&f, frame, n));
	frame[n - 1] = 0xfb;
	CHECK(!dave_frame_parse(&f, frame, n));
	frame[n - 1] = 0xfa;
	frame[n - 2] = 0xfb;
	CHECK(!dave_frame_parse(&f, frame, n));
	/* the most ranges that a size byte can count: 121 */
	big[0] = 1;
	for (size_t i = 0; i < 121; i++) {
		big[1 + 2 * i] = (uint8_t)i;
		big[2 + 2 * i] = 1;
	}
	n = make(frame, 200, big, 243, -1);
	CHECK(dave_frame_parse(&f, frame, n));
	CHECK_INT(f.range_count, 121);
	/* too short for anything */
	for (size_t i = 0; i < 11; i++) {
		memset(frame, 0xfa, sizeof(frame));
		CHECK(!dave_frame_parse(&f, frame, i));
	}
}

/* Section 6, rows 1 to 3: RTP padding left in place hides the marker, and the frame must then not
 * be taken for Opus. */
static void test_row_1_3_padding_left_in_place_is_no_protocol_frame(void)
{
	uint8_t frame[64];
	struct dave_frame f;
	size_t n = make(frame, 20, (const uint8_t[]){0x0d}, 1, -1);

	CHECK(dave_frame_parse(&f, frame, n));
	frame[n] = 1; /* ... 0d fa fa 01 */
	CHECK(!dave_frame_parse(&f, frame, n + 1));
	memset(frame + n, 5, 5); /* ... 05 05 05 05 05 */
	CHECK(!dave_frame_parse(&f, frame, n + 5));
}

static void test_leb128_both_ways(void)
{
	static const uint32_t values[] = {0,       1,       127,       128,       16383,     16384,
					  2097151, 2097152, 268435455, 268435456, UINT32_MAX};
	static const size_t lengths[] = {1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint8_t b[8];
		uint32_t back = 0;

		CHECK_INT(dave_leb128_write(values[i], b, sizeof(b)), lengths[i]);
		CHECK_INT(dave_leb128_read(b, sizeof(b), &back), lengths[i]);
		CHECK_INT(back, values[i]);
		CHECK_INT(dave_leb128_read(b, lengths[i] - 1, &back), 0);
		CHECK_INT(dave_leb128_write(values[i], b, lengths[i] - 1), 0);
	}
}

static void test_seal_needs_room(void)
{
	static const uint8_t key[16] = {1};
	EVP_CIPHER_CTX *c = cipher(key, 1);
	uint8_t in[20] = {0}, out[36];
	size_t n;

	CHECK_INT(dave_frame_seal(c, 127, in, 20, out, 31, &n), -ENOSPC);
	CHECK_INT(dave_frame_seal(c, 127, in, 20, out, 32, &n), 0);
	CHECK_INT(n, 32);
	CHECK_INT(dave_frame_seal(c, UINT32_MAX, in, 20, out, 35, &n), -ENOSPC);
	CHECK_INT(dave_frame_seal(c, UINT32_MAX, in, 20, out, 36, &n), 0);
	CHECK_INT(n, 20 + DAVE_FRAME_OVERHEAD);
	EVP_CIPHER_CTX_free(c);
}

/* In place, as the talker does it. */
static void test_seal_in_place(void)
{
	static const uint8_t key[16] = {1};
	EVP_CIPHER_CTX *c = cipher(key, 1);
	uint8_t a[64] = "hello, this is the packet", b[64];
	size_t n, m;

	CHECK_INT(dave_frame_seal(c, 9, a, 25, b, sizeof(b), &n), 0);
	CHECK_INT(dave_frame_seal(c, 9, a, 25, a, sizeof(a), &m), 0);
	CHECK_INT(n, m);
	CHECK_MEM(a, b, n);
	EVP_CIPHER_CTX_free(c);
}

int main(void)
{
	UNIT(test_opus_frames);
	UNIT(test_ratcheted_opus_frames);
	UNIT(test_silence_packet);
	UNIT(test_unencrypted_ranges_are_found);
	UNIT(test_malformed_frames_are_plain);
	UNIT(test_unencrypted_ranges_are_opened);
	UNIT(test_each_rule_of_the_format);
	UNIT(test_row_1_3_padding_left_in_place_is_no_protocol_frame);
	UNIT(test_leb128_both_ways);
	UNIT(test_seal_needs_room);
	UNIT(test_seal_in_place);
	return unit_done();
}
