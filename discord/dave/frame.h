/* SPDX-License-Identifier: MIT
 *
 * frame.h - the protocol frame: encrypted media with its supplemental data.
 *
 *	media | tag 8 | nonce ULEB128 | unencrypted ranges ULEB128 ... | size 1 | FA FA
 *
 * DAVE protocol, "Frame Encryption". Pure functions on the caller's buffers: no allocation, lock,
 * clock or log. What decides *which* key is media.h; this file knows only one key at a time.
 */
#ifndef DISCORD_DAVE_FRAME_H
#define DISCORD_DAVE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define DAVE_TAG_BYTES       8
#define DAVE_FRAME_BYTES_MIN 11
#define DAVE_SUPPLEMENT_MIN  11
/* Tag, five bytes of nonce, size, marker: the most that encrypting an Opus packet adds. */
#define DAVE_FRAME_OVERHEAD (DAVE_TAG_BYTES + 5 + 1 + 2)
/* The size byte limits the ranges to (255 - 8 - 1 - 3) / 2 pairs. */
#define DAVE_RANGES_MAX 121

struct dave_range {
	uint32_t offset, size; /* bytes of the media part */
};

struct dave_frame {
	const uint8_t *media; /* into the frame given; encrypted and clear parts in their order */
	size_t media_bytes;
	const uint8_t *tag;
	uint32_t nonce;
	size_t clear_bytes; /* sum of the ranges */
	size_t range_count;
	struct dave_range ranges[DAVE_RANGES_MAX]; /* ascending, apart, within the media */
};

/* Writes v; returns its length (1 to 5), or 0 when it does not fit into out_size. */
size_t dave_leb128_write(uint32_t v, uint8_t *out, size_t out_size);
/* Reads from p; returns its length, or 0: not ended within size or 10 bytes, or above 2^32 - 1. */
size_t dave_leb128_read(const uint8_t *p, size_t size, uint32_t *v);

/* Whether this is a protocol frame, every rule of the format checked; f is valid only if true.
 * False means: a plain frame (which the receiver may or may not be willing to take). */
bool dave_frame_parse(struct dave_frame *f, const uint8_t *frame, size_t bytes);

/* The three-byte Opus silence packet, which travels in the clear at any time. */
bool dave_frame_is_silence(const uint8_t *frame, size_t bytes);

/* Encrypts an Opus packet (no clear ranges, no additional data). `cipher` is an AES-128-GCM
 * context that holds the key. out may equal in. -ENOSPC: out_size < bytes + overhead needed. */
int dave_frame_seal(EVP_CIPHER_CTX *cipher, uint32_t nonce, const uint8_t *in, size_t bytes,
		    uint8_t *out, size_t out_size, size_t *out_bytes);

/* Decrypts a parsed frame; `cipher` holds the key for decryption. out gets media_bytes bytes and
 * may not overlap the frame. -EBADMSG: the tag does not match (out is wiped); -ENOSPC. */
int dave_frame_open(EVP_CIPHER_CTX *cipher, const struct dave_frame *f, uint8_t *out,
		    size_t out_size, size_t *out_bytes);

#endif
