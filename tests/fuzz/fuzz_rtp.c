/* SPDX-License-Identifier: MIT
 *
 * fuzz_rtp.c - any datagram: demultiplexing, header, opening, stripping, discovery, and what a
 * speaker makes of a payload. The first byte chooses; nothing may be believed or overrun.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discord/ip_discovery.h"
#include "discord/rtp.h"
#include "discord/speaker.h"
#include "discord/transport_cipher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void datagram(const uint8_t *data, size_t size)
{
	static struct transport_cipher *cipher;
	static const uint8_t key[TRANSPORT_KEY_BYTES];
	struct rtp_header header;
	struct rtp_extension extension;
	const uint8_t *payload;
	size_t bytes;
	char address[IP_DISCOVERY_ADDRESS_BYTES];
	uint16_t port;
	uint8_t plain[RTP_DATAGRAM_BYTES];

	if (!cipher && transport_cipher_create(&cipher, TRANSPORT_XCHACHA20_POLY1305, key) < 0)
		abort();
	rtp_classify(data, size);
	if (ip_discovery_parse(data, size, 7, address, &port) == 0 && (!port || !address[0]))
		abort();
	if (rtp_header_parse(&header, data, size) < 0)
		return;
	if (header.clear_bytes > size)
		abort();
	transport_open(cipher, data, size, header.clear_bytes, plain, sizeof(plain));
	/* and as if it had opened */
	size_t left = size - header.clear_bytes;
	if (rtp_payload_strip(&header, data + header.clear_bytes, left, &payload, &bytes,
			      &extension) == 0 &&
	    (payload < data || payload + bytes > data + size))
		abort();
}

/* A sequence of packets for one speaker: 4 bytes of seq and time, 1 of length, payload. Of one or two
 * channels, levelled or not. */
static void speech(unsigned kind, const uint8_t *data, size_t size)
{
	static struct speaker *speakers[4];
	static int64_t now_ns = 1000000000;
	struct speaker_config config = {.channels = 1 + (kind & 1), .speech_level_dbov = kind & 2 ? -26 : 0};
	float out[2 * 960];

	if (!speakers[kind] && speaker_create(&speakers[kind], &config) < 0)
		abort();
	struct speaker *speaker = speakers[kind];
	speaker_assign(speaker, 1);
	while (size >= 5) {
		uint16_t seq = (uint16_t)(data[0] << 8 | data[1]);
		uint32_t timestamp = (uint32_t)(data[2] << 8 | data[3]) * 120;
		size_t n = data[4];
		data += 5, size -= 5;
		if (n > size)
			n = size;
		speaker_packet(speaker, seq, timestamp, data, n, now_ns);
		data += n, size -= n;
		speaker_pull(speaker, now_ns, out, 960);
		now_ns += 20000000;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > RTP_DATAGRAM_BYTES)
		return 0;
	if (data[0] & 0x80)
		datagram(data, size);
	else if (data[0] == 0x7f) /* whatever its first byte: discovery begins with 0 */
		datagram(data + 1, size - 1);
	else
		speech(data[0] & 3, data + 1, size - 1);
	return 0;
}
