/* SPDX-License-Identifier: MIT
 *
 * rtp.h - the clear part of a voice datagram (RFC 3550 section 5.1, RFC 8285 one-byte form).
 *
 * Discord's voice server sends RTP, RTCP, keepalive answers and IP discovery over one UDP socket.
 * These functions say which is which, read and write headers, and take header extension and
 * padding off an opened payload. All are pure: any thread, no allocation, no state. Every length
 * is in bytes and every input is taken as hostile.
 */
#ifndef DISCORD_RTP_H
#define DISCORD_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER_BYTES   12
#define RTP_PAYLOAD_OPUS   120
#define RTP_FRAME_SAMPLES  960 /* one 20 ms frame at 48 kHz, per channel */
#define RTP_CLOCK_HZ       48000
#define RTP_DATAGRAM_BYTES 2048 /* larger than any datagram the server sends (others' video: ~1300) */

/* What a datagram is, in the order in which the questions must be asked. */
enum rtp_kind {
	RTP_KIND_SHORT,     /* below 12 bytes: keepalive echo or noise */
	RTP_KIND_KEEPALIVE, /* 1337F00D: the answer to our keepalive */
	RTP_KIND_DISCOVERY, /* 74 bytes, type 2: an IP discovery answer, possibly a late duplicate */
	RTP_KIND_ALIEN,     /* not RTP version 2 */
	RTP_KIND_RTCP,      /* packet type 200..206 */
	RTP_KIND_OPUS,      /* payload type 120, marker bit ignored */
	RTP_KIND_OTHER,     /* video, retransmissions */
};

enum rtp_kind rtp_classify(const uint8_t *datagram, size_t bytes);

struct rtp_header {
	uint16_t seq;
	uint32_t timestamp; /* 48 kHz */
	uint32_t ssrc;
	uint8_t payload_type; /* without the marker bit */
	bool marker;
	bool padded;            /* P bit: the last byte of the *opened* payload counts the padding */
	size_t clear_bytes;     /* leading bytes that are clear and authenticated (rtpsize modes) */
	size_t extension_bytes; /* extension elements at the front of the opened payload */
};

/* Reads the header. 0, or -EBADMSG when the bytes cannot hold what they announce. */
int rtp_header_parse(struct rtp_header *out, const uint8_t *datagram, size_t bytes);

/* Writes a plain Opus header: 0x80 0x78 seq timestamp ssrc. The marker bit stays clear even on
 * the first packet of a spurt: Discord prescribes 0x78, and some receivers compare the byte. */
void rtp_header_write(uint8_t out[RTP_HEADER_BYTES], uint16_t seq, uint32_t timestamp,
		      uint32_t ssrc);

/* What the two extension elements seen on Discord audio say. */
struct rtp_extension {
	bool has_level; /* id 1 */
	bool voice;     /* id 1: the sender's own voice activity flag */
	uint8_t level;  /* id 1: 0 loudest .. 127 silence, in -dBov */
	bool has_flags; /* id 9 */
	uint8_t flags;  /* id 9: 1 priority, 2 voice, 4 soundshare (not the bits of op 5) */
};

/* Takes extension elements from the front and padding from the tail of an opened payload.
 * Order matters: the padding must be gone before DAVE looks for its marker at the end.
 * On 0 *payload points into plain; *payload_bytes may be 0 (a probe: count it, decode nothing).
 * ext may be NULL. -EBADMSG when padding or extension exceed what is there. */
int rtp_payload_strip(const struct rtp_header *header, const uint8_t *plain, size_t bytes,
		      const uint8_t **payload, size_t *payload_bytes, struct rtp_extension *ext);

/* a - b on the circle of 16-bit sequence numbers; seq wraps every 22 minutes of speech. */
static inline int rtp_seq_diff(uint16_t a, uint16_t b)
{
	return (int16_t)(uint16_t)(a - b);
}

/* a - b on the circle of 32-bit timestamps. */
static inline int32_t rtp_time_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* Widens a wrapping counter: the 64-bit value nearest to `last` whose low bits are `now`. */
static inline int64_t rtp_time_extend(int64_t last, uint32_t now)
{
	return last + rtp_time_diff(now, (uint32_t)last);
}

/* The Opus silence frame of Discord: sent verbatim, five times, at the end of a talk spurt. */
#define RTP_SILENCE_BYTES 3
extern const uint8_t rtp_silence_frame[RTP_SILENCE_BYTES];
static inline bool rtp_is_silence(const uint8_t *payload, size_t bytes)
{
	return bytes == RTP_SILENCE_BYTES && payload[0] == 0xF8 && payload[1] == 0xFF &&
	       payload[2] == 0xFE;
}

#endif
