/* SPDX-License-Identifier: MIT
 *
 * rtp.c - headers of voice datagrams; see rtp.h.
 */
#include "common/bytes.h"
#include "discord/rtp.h"

#include <errno.h>
#include <string.h>

#define KEEPALIVE_ANSWER 0x1337F00Du
#define DISCOVERY_BYTES  74
#define EXTENSION_BEDE   0xBEDE /* RFC 8285 section 4.2, one-byte elements */
#define ELEMENT_LEVEL    1
#define ELEMENT_FLAGS    9

const uint8_t rtp_silence_frame[RTP_SILENCE_BYTES] = {0xF8, 0xFF, 0xFE};

enum rtp_kind rtp_classify(const uint8_t *d, size_t bytes)
{
	if (bytes >= 4 && get_be32(d) == KEEPALIVE_ANSWER)
		return RTP_KIND_KEEPALIVE;
	if (bytes < RTP_HEADER_BYTES)
		return RTP_KIND_SHORT;
	if (bytes == DISCOVERY_BYTES && d[0] == 0 && d[1] == 2)
		return RTP_KIND_DISCOVERY;
	if (d[0] >> 6 != 2)
		return RTP_KIND_ALIEN;
	if (d[1] >= 200 && d[1] <= 206)
		return RTP_KIND_RTCP;
	if ((d[1] & 0x7F) == RTP_PAYLOAD_OPUS)
		return RTP_KIND_OPUS;
	return RTP_KIND_OTHER;
}

int rtp_header_parse(struct rtp_header *out, const uint8_t *d, size_t bytes)
{
	if (bytes < RTP_HEADER_BYTES || d[0] >> 6 != 2)
		return -EBADMSG;
	size_t csrc_end = RTP_HEADER_BYTES + 4u * (d[0] & 0x0F);
	size_t clear = csrc_end, extension = 0;
	if (d[0] & 0x10) {
		clear += 4;
		if (bytes < clear)
			return -EBADMSG;
		extension = 4u * get_be16(d + csrc_end + 2);
	}
	if (bytes < clear)
		return -EBADMSG;
	*out = (struct rtp_header){
		.seq = get_be16(d + 2),
		.timestamp = get_be32(d + 4),
		.ssrc = get_be32(d + 8),
		.payload_type = d[1] & 0x7F,
		.marker = d[1] & 0x80,
		.padded = d[0] & 0x20,
		.clear_bytes = clear,
		.extension_bytes = extension,
	};
	return 0;
}

void rtp_header_write(uint8_t out[RTP_HEADER_BYTES], uint16_t seq, uint32_t timestamp,
		      uint32_t ssrc)
{
	out[0] = 0x80;
	out[1] = RTP_PAYLOAD_OPUS;
	put_be16(out + 2, seq);
	put_be32(out + 4, timestamp);
	put_be32(out + 8, ssrc);
}

/* Walks the one-byte elements; unknown ids are skipped, a cut-off element ends the walk. */
static void elements_read(struct rtp_extension *ext, const uint8_t *p, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		uint8_t id = p[at] >> 4;
		size_t len = (p[at] & 0x0F) + 1u;
		if (id == 0) { /* a pad byte stands alone */
			at++;
			continue;
		}
		if (id == 15 || at + 1 + len > bytes)
			return;
		if (id == ELEMENT_LEVEL) {
			ext->has_level = true;
			ext->voice = p[at + 1] & 0x80;
			ext->level = p[at + 1] & 0x7F;
		} else if (id == ELEMENT_FLAGS) {
			ext->has_flags = true;
			ext->flags = p[at + 1];
		}
		at += 1 + len;
	}
}

int rtp_payload_strip(const struct rtp_header *header, const uint8_t *plain, size_t bytes,
		      const uint8_t **payload, size_t *payload_bytes, struct rtp_extension *ext)
{
	if (header->padded) {
		if (bytes == 0)
			return -EBADMSG;
		size_t pad = plain[bytes - 1];
		if (pad == 0 || pad > bytes)
			return -EBADMSG;
		bytes -= pad;
	}
	if (header->extension_bytes > bytes)
		return -EBADMSG;
	if (ext) {
		memset(ext, 0, sizeof(*ext));
		elements_read(ext, plain, header->extension_bytes);
	}
	*payload = plain + header->extension_bytes;
	*payload_bytes = bytes - header->extension_bytes;
	return 0;
}
