/* SPDX-License-Identifier: MIT
 *
 * frame.c - protocol frames: find the parts, seal, open.
 */
#include "discord/dave/frame.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MARKER_BYTE  0xfa
#define IV_BYTES     12
#define LEB128_BYTES 10

static const uint8_t opus_silence[3] = {0xf8, 0xff, 0xfe};

size_t dave_leb128_write(uint32_t v, uint8_t *out, size_t out_size)
{
	size_t n = 0;

	do {
		if (n == out_size)
			return 0;
		out[n] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
		n++;
		v >>= 7;
	} while (v);
	return n;
}

size_t dave_leb128_read(const uint8_t *p, size_t size, uint32_t *v)
{
	uint64_t value = 0;

	for (size_t n = 0; n < size && n < LEB128_BYTES; n++) {
		uint64_t bits = p[n] & 0x7f;

		/* Overlong forms are no error (libdave takes them), values that do not fit are. */
		if (bits && (n >= 5 || bits << 7 * n > UINT32_MAX))
			return 0;
		if (n < 5)
			value |= bits << 7 * n;
		if (!(p[n] & 0x80)) {
			*v = (uint32_t)value;
			return n + 1;
		}
	}
	return 0;
}

bool dave_frame_parse(struct dave_frame *f, const uint8_t *frame, size_t bytes)
{
	const uint8_t *p, *end;
	uint64_t covered = 0;
	size_t supplement, n;

	if (bytes < DAVE_FRAME_BYTES_MIN || frame[bytes - 1] != MARKER_BYTE ||
	    frame[bytes - 2] != MARKER_BYTE)
		return false;
	supplement = frame[bytes - 3];
	if (supplement < DAVE_SUPPLEMENT_MIN || supplement > bytes)
		return false;
	f->media = frame;
	f->media_bytes = bytes - supplement;
	f->tag = frame + f->media_bytes;
	p = f->tag + DAVE_TAG_BYTES;
	end = frame + bytes - 3;
	n = dave_leb128_read(p, (size_t)(end - p), &f->nonce);
	if (n == 0)
		return false;
	p += n;
	f->range_count = 0;
	f->clear_bytes = 0;
	while (p < end) {
		struct dave_range *r = &f->ranges[f->range_count];

		if (f->range_count == DAVE_RANGES_MAX)
			return false;
		n = dave_leb128_read(p, (size_t)(end - p), &r->offset);
		if (n == 0)
			return false;
		p += n;
		n = dave_leb128_read(p, (size_t)(end - p), &r->size);
		if (n == 0)
			return false;
		p += n;
		if (r->offset < covered)
			return false;
		covered = (uint64_t)r->offset + r->size;
		/* libdave compares with the whole frame here; clear bytes beyond the media make no
		 * sense. */
		if (covered > f->media_bytes)
			return false;
		f->clear_bytes += r->size;
		f->range_count++;
	}
	return true;
}

bool dave_frame_is_silence(const uint8_t *frame, size_t bytes)
{
	return bytes == sizeof(opus_silence) &&
	       memcmp(frame, opus_silence, sizeof(opus_silence)) == 0;
}

/* Eight zero bytes, then the counter little-endian (the protocol copies it as a host integer, and
 * every known client is little-endian). */
static void frame_iv(uint8_t iv[IV_BYTES], uint32_t nonce)
{
	memset(iv, 0, 8);
	for (int i = 0; i < 4; i++)
		iv[8 + i] = (uint8_t)(nonce >> 8 * i);
}

int dave_frame_seal(EVP_CIPHER_CTX *cipher, uint32_t nonce, const uint8_t *in, size_t bytes,
		    uint8_t *out, size_t out_size, size_t *out_bytes)
{
	uint8_t iv[IV_BYTES], coded[5];
	size_t nonce_bytes = dave_leb128_write(nonce, coded, sizeof(coded));
	size_t supplement = DAVE_TAG_BYTES + nonce_bytes + 3;
	uint8_t *p;
	int n = 0;

	if (out_size < supplement || out_size - supplement < bytes || bytes > INT32_MAX)
		return -ENOSPC;
	frame_iv(iv, nonce);
	p = out + bytes;
	if (EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, iv) != 1 ||
	    (bytes && EVP_EncryptUpdate(cipher, out, &n, in, (int)bytes) != 1) ||
	    EVP_EncryptFinal_ex(cipher, p, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, DAVE_TAG_BYTES, p) != 1)
		return -EIO;
	p += DAVE_TAG_BYTES;
	memcpy(p, coded, nonce_bytes);
	p += nonce_bytes;
	*p++ = (uint8_t)supplement;
	*p++ = MARKER_BYTE;
	*p = MARKER_BYTE;
	*out_bytes = bytes + supplement;
	return 0;
}

int dave_frame_open(EVP_CIPHER_CTX *cipher, const struct dave_frame *f, uint8_t *out,
		    size_t out_size, size_t *out_bytes)
{
	uint8_t iv[IV_BYTES], tag[DAVE_TAG_BYTES], nothing[16];
	size_t at = 0;
	int n = 0;

	if (out_size < f->media_bytes || f->media_bytes > INT32_MAX)
		return -ENOSPC;
	frame_iv(iv, f->nonce);
	memcpy(tag, f->tag, sizeof(tag));
	if (EVP_DecryptInit_ex(cipher, NULL, NULL, NULL, iv) != 1)
		return -EIO;
	for (size_t i = 0; i < f->range_count; i++) {
		const struct dave_range *r = &f->ranges[i];

		memcpy(out + r->offset, f->media + r->offset, r->size);
		if (r->size &&
		    EVP_DecryptUpdate(cipher, NULL, &n, f->media + r->offset, (int)r->size) != 1)
			return -EIO;
	}
	for (size_t i = 0; i <= f->range_count; i++) {
		size_t end = i < f->range_count ? f->ranges[i].offset : f->media_bytes;

		if (end > at &&
		    EVP_DecryptUpdate(cipher, out + at, &n, f->media + at, (int)(end - at)) != 1)
			return -EIO;
		if (i < f->range_count)
			at = (size_t)f->ranges[i].offset + f->ranges[i].size;
	}
	if (EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, DAVE_TAG_BYTES, tag) != 1)
		return -EIO;
	if (EVP_DecryptFinal_ex(cipher, nothing, &n) != 1) {
		OPENSSL_cleanse(out, f->media_bytes);
		return -EBADMSG;
	}
	*out_bytes = f->media_bytes;
	return 0;
}
