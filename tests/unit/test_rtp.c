/* SPDX-License-Identifier: MIT
 *
 * test_rtp.c - headers, demultiplexing order, extension and padding, IP discovery.
 */
#include "unit.h"

#include "discord/ip_discovery.h"
#include "discord/rtp.h"

#include <errno.h>

static void test_classify_in_order(void)
{
	uint8_t d[100] = {0};
	CHECK_INT(rtp_classify(d, 0), RTP_KIND_SHORT);
	CHECK_INT(rtp_classify(d, 11), RTP_KIND_SHORT);
	uint8_t pong[8] = {0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 1};
	CHECK_INT(rtp_classify(pong, sizeof(pong)), RTP_KIND_KEEPALIVE);
	d[1] = 2; /* 00 02, 74 bytes */
	CHECK_INT(rtp_classify(d, 74), RTP_KIND_DISCOVERY);
	CHECK_INT(rtp_classify(d, 75), RTP_KIND_ALIEN);
	for (int b0 = 0; b0 < 256; b0++) {
		d[0] = (uint8_t)b0;
		d[1] = 0x78;
		CHECK_INT(rtp_classify(d, 60), b0 >> 6 == 2 ? RTP_KIND_OPUS : RTP_KIND_ALIEN);
	}
	d[0] = 0x90;
	for (int b1 = 0; b1 < 256; b1++) {
		d[1] = (uint8_t)b1;
		enum rtp_kind want = b1 >= 200 && b1 <= 206  ? RTP_KIND_RTCP
				     : (b1 & 0x7F) == 0x78 ? RTP_KIND_OPUS
							    : RTP_KIND_OTHER;
		CHECK_INT(rtp_classify(d, 60), want);
	}
}

static void test_header_round_trip(void)
{
	uint8_t h[RTP_HEADER_BYTES];
	rtp_header_write(h, 1, 960, 42);
	static const uint8_t want[] = {0x80, 0x78, 0, 1, 0, 0, 3, 0xC0, 0, 0, 0, 42};
	CHECK_MEM(h, want, sizeof(want));
	struct rtp_header p;
	CHECK_INT(rtp_header_parse(&p, h, sizeof(h)), 0);
	CHECK_INT(p.seq, 1);
	CHECK_INT(p.timestamp, 960);
	CHECK_INT(p.ssrc, 42);
	CHECK(!p.padded && !p.marker);
	CHECK_INT(p.clear_bytes, 12);
	CHECK_INT(p.extension_bytes, 0);
}

/* Contributing sources and the extension's preamble are clear; its elements are not. */
static void test_header_with_csrc_and_extension(void)
{
	uint8_t d[64] = {0xB2, 0xF8};
	d[20] = 0xBE, d[21] = 0xDE, d[23] = 2;
	struct rtp_header p;
	CHECK_INT(rtp_header_parse(&p, d, sizeof(d)), 0);
	CHECK_INT(p.clear_bytes, 12 + 2 * 4 + 4);
	CHECK_INT(p.extension_bytes, 8);
	CHECK(p.marker && p.padded);
	CHECK_INT(p.payload_type, 120);
	for (size_t n = 0; n < 24; n++)
		CHECK_INT(rtp_header_parse(&p, d, n), -EBADMSG);
}

static void test_strip_extension_then_padding(void)
{
	static const uint8_t plain[] = {0x10, 0xC5, 0x90, 0x02, 0, 0, 0, 0,
					0xF8, 0xFF, 0xFE, 0,    0, 0, 4};
	struct rtp_header h = {.padded = true, .extension_bytes = 8};
	const uint8_t *payload;
	size_t bytes;
	struct rtp_extension ext;
	CHECK_INT(rtp_payload_strip(&h, plain, sizeof(plain), &payload, &bytes, &ext), 0);
	CHECK(rtp_is_silence(payload, bytes));
	CHECK(ext.has_level && ext.voice);
	CHECK_INT(ext.level, 0x45); /* c5: voice, -69 dBov */
	CHECK(ext.has_flags);
	CHECK_INT(ext.flags, 2);
}

static void test_strip_refuses_what_is_not_there(void)
{
	const uint8_t *payload;
	size_t bytes;
	struct rtp_header padded = {.padded = true};
	static const uint8_t zero[] = {1, 2, 3, 0}, many[] = {1, 2, 3, 5}, all[] = {0, 0, 0, 4};
	CHECK_INT(rtp_payload_strip(&padded, zero, 4, &payload, &bytes, NULL), -EBADMSG);
	CHECK_INT(rtp_payload_strip(&padded, many, 4, &payload, &bytes, NULL), -EBADMSG);
	CHECK_INT(rtp_payload_strip(&padded, zero, 0, &payload, &bytes, NULL), -EBADMSG);
	/* padding only: a probe, legal and empty */
	CHECK_INT(rtp_payload_strip(&padded, all, 4, &payload, &bytes, NULL), 0);
	CHECK_INT(bytes, 0);
	struct rtp_header extended = {.extension_bytes = 8};
	CHECK_INT(rtp_payload_strip(&extended, many, 4, &payload, &bytes, NULL), -EBADMSG);
	/* the extension may not reach into the padding */
	struct rtp_header both = {.padded = true, .extension_bytes = 4};
	static const uint8_t overlap[] = {1, 2, 3, 4, 0, 3};
	CHECK_INT(rtp_payload_strip(&both, overlap, 6, &payload, &bytes, NULL), -EBADMSG);
}

static void test_cut_off_elements_are_harmless(void)
{
	uint8_t plain[8] = {0x10, 0xC5, 0x9F, 2, 0, 0, 0, 0};
	struct rtp_header h = {.extension_bytes = 4};
	const uint8_t *payload;
	size_t bytes;
	struct rtp_extension ext;
	CHECK_INT(rtp_payload_strip(&h, plain, 8, &payload, &bytes, &ext), 0);
	CHECK(ext.has_level && !ext.has_flags);
	CHECK_INT(bytes, 4);
}

static void test_sequence_arithmetic_wraps(void)
{
	CHECK_INT(rtp_seq_diff(0, 65535), 1);
	CHECK_INT(rtp_seq_diff(65535, 0), -1);
	CHECK_INT(rtp_seq_diff(100, 40), 60);
	CHECK_INT(rtp_time_diff(959, 0xFFFFFFFF), 960);
	int64_t t = 0xFFFFFF00;
	t = rtp_time_extend(t, 0x2C0);
	CHECK_INT(t, 0xFFFFFF00LL + 960);
	t = rtp_time_extend(t, 0xFFFFFF00); /* a late packet from before the wrap */
	CHECK_INT(t, 0xFFFFFF00LL);
}

static void test_random_bytes_never_overrun(void)
{
	unsigned seed = 7;
	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)(rand_r(&seed) % 96);
		uint8_t *d = malloc(n ? n : 1); /* exact size: the sanitizer sees any overrun */
		for (size_t k = 0; k < n; k++)
			d[k] = (uint8_t)rand_r(&seed);
		if (n)
			d[0] = (uint8_t)(0x80 | (d[0] & 0x3F));
		rtp_classify(d, n);
		struct rtp_header h;
		if (rtp_header_parse(&h, d, n) == 0) {
			const uint8_t *payload;
			size_t bytes;
			struct rtp_extension ext;
			CHECK(h.clear_bytes <= n);
			size_t left = n - h.clear_bytes;
			if (rtp_payload_strip(&h, d + h.clear_bytes, left, &payload, &bytes, &ext) == 0)
				CHECK(bytes <= left && payload + bytes <= d + n);
		}
		free(d);
	}
}

static void test_discovery_request_bytes(void)
{
	uint8_t d[IP_DISCOVERY_BYTES], want[IP_DISCOVERY_BYTES] = {0, 1, 0, 70, 0, 0, 0x32, 0x96};
	ip_discovery_request(d, 0x3296);
	CHECK_MEM(d, want, sizeof(want));
}

static void test_discovery_answer(void)
{
	uint8_t d[IP_DISCOVERY_BYTES] = {0, 2, 0, 70, 0, 0, 0x32, 0x96};
	char address[IP_DISCOVERY_ADDRESS_BYTES];
	uint16_t port = 0;
	strcpy((char *)d + 8, "203.0.113.9");
	d[72] = 0xC6, d[73] = 0x15;
	CHECK_INT(ip_discovery_parse(d, sizeof(d), 0x3296, address, &port), 0);
	CHECK_STR(address, "203.0.113.9");
	CHECK_INT(port, 0xC615);
	CHECK_INT(ip_discovery_parse(d, sizeof(d), 0x3297, address, &port), -EBADMSG);
	CHECK_INT(ip_discovery_parse(d, 70, 0x3296, address, &port), -EBADMSG);
	d[1] = 1; /* our own request reflected */
	CHECK_INT(ip_discovery_parse(d, sizeof(d), 0x3296, address, &port), -EBADMSG);
	d[1] = 2;
	strcpy((char *)d + 8, "not.an.address");
	CHECK_INT(ip_discovery_parse(d, sizeof(d), 0x3296, address, &port), -EBADMSG);
	memset(d + 8, '1', 64); /* no terminator */
	CHECK_INT(ip_discovery_parse(d, sizeof(d), 0x3296, address, &port), -EBADMSG);
}

int main(void)
{
	UNIT(test_classify_in_order);
	UNIT(test_header_round_trip);
	UNIT(test_header_with_csrc_and_extension);
	UNIT(test_strip_extension_then_padding);
	UNIT(test_strip_refuses_what_is_not_there);
	UNIT(test_cut_off_elements_are_harmless);
	UNIT(test_sequence_arithmetic_wraps);
	UNIT(test_random_bytes_never_overrun);
	UNIT(test_discovery_request_bytes);
	UNIT(test_discovery_answer);
	return unit_done();
}
