/* SPDX-License-Identifier: MIT
 *
 * test_transport_cipher.c - both rtpsize modes against known answers, and what must be refused.
 * The answers were computed with two implementations that are not ours.
 */
#include "unit.h"

#include "common/bytes.h"
#include "discord/rtp.h"
#include "discord/transport_cipher.h"

#include <errno.h>
#include <sodium.h>

static uint8_t key[TRANSPORT_KEY_BYTES];

static size_t hex(uint8_t *out, const char *text)
{
	size_t n = 0;
	for (; text[0] && text[1]; text += 2) {
		unsigned v;
		sscanf(text, "%2x", &v);
		out[n++] = (uint8_t)v;
	}
	return n;
}

static const struct {
	enum transport_mode mode;
	const char *send, *receive;
} known[] = {
	{TRANSPORT_AES256_GCM,
	 "80780001000003c00000002abcc93301b2b31f703712d9eef67671717d105400000001",
	 "b07812340001770000003296bede000296ca646d95e8c732c7008702ae3965a237286442c16ace22a99bb3d10"
	 "176fb0000002a"},
	{TRANSPORT_XCHACHA20_POLY1305,
	 "80780001000003c00000002af158af2618db247ce207fb334177b356a29f9f00000001",
	 "b07812340001770000003296bede000277def426f9ba7fd4cd05ed16012bbce8c67f5b52463068ec054670504"
	 "6e0840000002a"},
};

static void test_seal_known_answer(void)
{
	for (size_t i = 0; i < 2; i++) {
		struct transport_cipher *c;
		CHECK_INT(transport_cipher_create(&c, known[i].mode, key), 0);
		uint8_t packet[64], want[64];
		rtp_header_write(packet, 1, 960, 42);
		memcpy(packet + 12, rtp_silence_frame, 3);
		size_t n = hex(want, known[i].send);
		CHECK_INT(transport_seal(c, packet, 12, 3, sizeof(packet)), n);
		CHECK_MEM(packet, want, n);
		transport_cipher_destroy(c);
	}
}

static void test_open_known_answer(void)
{
	for (size_t i = 0; i < 2; i++) {
		struct transport_cipher *c;
		CHECK_INT(transport_cipher_create(&c, known[i].mode, key), 0);
		uint8_t packet[64], plain[64];
		size_t n = hex(packet, known[i].receive);
		struct rtp_header h;
		CHECK_INT(rtp_header_parse(&h, packet, n), 0);
		CHECK_INT(h.clear_bytes, 16);
		int len = transport_open(c, packet, n, h.clear_bytes, plain, sizeof(plain));
		CHECK_INT(len, 15);
		const uint8_t *payload;
		size_t bytes;
		struct rtp_extension ext;
		CHECK_INT(rtp_payload_strip(&h, plain, (size_t)len, &payload, &bytes, &ext), 0);
		CHECK(rtp_is_silence(payload, bytes));
		CHECK_INT(ext.level, 69);
		CHECK(ext.voice);
		CHECK_INT(ext.flags, 2);
		transport_cipher_destroy(c);
	}
}

/* Any single bit flipped anywhere, and any truncation, is refused. */
static void test_open_refuses_tampering(void)
{
	for (size_t i = 0; i < 2; i++) {
		struct transport_cipher *c;
		CHECK_INT(transport_cipher_create(&c, known[i].mode, key), 0);
		uint8_t packet[64], plain[64];
		size_t n = hex(packet, known[i].receive);
		for (size_t bit = 0; bit < n * 8; bit++) {
			packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
			CHECK_INT(transport_open(c, packet, n, 16, plain, sizeof(plain)), -EBADMSG);
			packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t len = 0; len < n; len++)
			CHECK_INT(transport_open(c, packet, len, 16, plain, sizeof(plain)), -EBADMSG);
		CHECK_INT(transport_open(c, packet, n, 12, plain, sizeof(plain)), -EBADMSG);
		CHECK_INT(transport_open(c, packet, n, 16, plain, 14), -EBADMSG);
		/* and after all those failures the right one still opens */
		CHECK_INT(transport_open(c, packet, n, 16, plain, sizeof(plain)), 15);
		transport_cipher_destroy(c);
	}
}

static void test_counter_is_never_reused(void)
{
	struct transport_cipher *c;
	CHECK_INT(transport_cipher_create(&c, TRANSPORT_XCHACHA20_POLY1305, key), 0);
	uint8_t packet[64] = {0x80, 0x78};
	CHECK_INT(transport_seals_left(c), 0xFFFFFFFFLL);
	for (uint32_t i = 1; i <= 3; i++) {
		CHECK_INT(transport_seal(c, packet, 12, 3, sizeof(packet)), 35);
		CHECK_INT(get_be32(packet + 31), i);
	}
	transport_counter_set(c, UINT32_MAX);
	CHECK_INT(transport_seal(c, packet, 12, 3, sizeof(packet)), 35);
	CHECK_INT(transport_seal(c, packet, 12, 3, sizeof(packet)), -EDQUOT);
	CHECK_INT(transport_seals_left(c), 0);
	transport_cipher_destroy(c);
}

static void test_seal_needs_room(void)
{
	struct transport_cipher *c;
	CHECK_INT(transport_cipher_create(&c, TRANSPORT_AES256_GCM, key), 0);
	uint8_t packet[64] = {0x80};
	CHECK_INT(transport_seal(c, packet, 12, 3, 34), -ENOBUFS);
	CHECK_INT(transport_seal(c, packet, 12, 3, 35), 35);
	transport_cipher_destroy(c);
}

static void test_mode_names(void)
{
	CHECK_INT(transport_mode_parse("aead_aes256_gcm_rtpsize"), TRANSPORT_AES256_GCM);
	CHECK_INT(transport_mode_parse("aead_xchacha20_poly1305_rtpsize"),
		  TRANSPORT_XCHACHA20_POLY1305);
	/* retired in November 2024 */
	CHECK_INT(transport_mode_parse("aead_aes256_gcm"), TRANSPORT_NONE);
	CHECK_INT(transport_mode_parse("xsalsa20_poly1305_lite_rtpsize"), TRANSPORT_NONE);
	struct transport_cipher *c;
	CHECK_INT(transport_cipher_create(&c, TRANSPORT_NONE, key), -EINVAL);
}

/* The derivation below XChaCha20, so that a library's plain ChaCha20 cannot pass for it. */
static void test_hchacha20_known_answer(void)
{
	uint8_t nonce[16], out[32], want[32];
	hex(nonce, "000000090000004a0000000031415927");
	hex(want, "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
	crypto_core_hchacha20(out, nonce, key, NULL);
	CHECK_MEM(out, want, 32);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	UNIT(test_seal_known_answer);
	UNIT(test_open_known_answer);
	UNIT(test_open_refuses_tampering);
	UNIT(test_counter_is_never_reused);
	UNIT(test_seal_needs_room);
	UNIT(test_mode_names);
	UNIT(test_hchacha20_known_answer);
	return unit_done();
}
