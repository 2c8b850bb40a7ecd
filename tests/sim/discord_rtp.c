/* SPDX-License-Identifier: MIT
 *
 * discord_rtp.c - RTP packets in the two rtpsize encryptions. AES-GCM by OpenSSL; XChaCha20 as
 * HChaCha20 plus OpenSSL's ChaCha20-Poly1305, so that it judges libsodium's.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "tests/sim/discord.h"

#define GCM "aead_aes256_gcm_rtpsize"
#define XCHACHA "aead_xchacha20_poly1305_rtpsize"

bool rtp_mode_known(const char *mode)
{
	return !strcmp(mode, GCM) || !strcmp(mode, XCHACHA);
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t rol(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

static void quarter(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b], x[d] = rol(x[d] ^ x[a], 16);
	x[c] += x[d], x[b] = rol(x[b] ^ x[c], 12);
	x[a] += x[b], x[d] = rol(x[d] ^ x[a], 8);
	x[c] += x[d], x[b] = rol(x[b] ^ x[c], 7);
}

/* draft-irtf-cfrg-xchacha-03 §2.2: the subkey from the key and the nonce's first 16 bytes. */
static void hchacha20(const uint8_t key[32], const uint8_t nonce[16], uint8_t out[32])
{
	uint32_t x[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	for (int i = 0; i < 8; i++)
		x[4 + i] = le32(key + 4 * i);
	for (int i = 0; i < 4; i++)
		x[12 + i] = le32(nonce + 4 * i);
	for (int i = 0; i < 10; i++) {
		quarter(x, 0, 4, 8, 12), quarter(x, 1, 5, 9, 13);
		quarter(x, 2, 6, 10, 14), quarter(x, 3, 7, 11, 15);
		quarter(x, 0, 5, 10, 15), quarter(x, 1, 6, 11, 12);
		quarter(x, 2, 7, 8, 13), quarter(x, 3, 4, 9, 14);
	}
	for (int i = 0; i < 8; i++) {
		uint32_t v = x[i < 4 ? i : 8 + i];

		for (int b = 0; b < 4; b++)
			out[4 * i + b] = (uint8_t)(v >> (8 * b));
	}
}

/* The 4 bytes of the packet's end fill the front of the nonce; the rest is zero. */
static const EVP_CIPHER *prepare(const char *mode, const uint8_t key[32], const uint8_t nonce4[4],
				 uint8_t key_out[32], uint8_t iv[12])
{
	uint8_t front[16] = { 0 };

	memset(iv, 0, 12);
	if (!strcmp(mode, GCM)) {
		memcpy(iv, nonce4, 4);
		memcpy(key_out, key, 32);
		return EVP_aes_256_gcm();
	}
	memcpy(front, nonce4, 4);
	hchacha20(key, front, key_out); /* iv: 0000 and the nonce's last 8 bytes, all zero */
	return EVP_chacha20_poly1305();
}

static void seal(const char *mode, const uint8_t key[32], const uint8_t nonce4[4],
		 const uint8_t *aad, size_t aad_len, uint8_t *text, size_t len, uint8_t tag[16])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t k[32], iv[12];
	const EVP_CIPHER *cipher = prepare(mode, key, nonce4, k, iv);
	int n;

	EVP_EncryptInit_ex(c, cipher, NULL, k, iv);
	EVP_EncryptUpdate(c, NULL, &n, aad, (int)aad_len);
	EVP_EncryptUpdate(c, text, &n, text, (int)len);
	EVP_EncryptFinal_ex(c, text + n, &n);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag);
	EVP_CIPHER_CTX_free(c);
}

static bool open_sealed(const char *mode, const uint8_t key[32], const uint8_t nonce4[4],
			const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
			uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t k[32], iv[12], tag[16];
	const EVP_CIPHER *cipher = prepare(mode, key, nonce4, k, iv);
	int n;
	bool good;

	memcpy(tag, in + len, 16);
	EVP_DecryptInit_ex(c, cipher, NULL, k, iv);
	EVP_DecryptUpdate(c, NULL, &n, aad, (int)aad_len);
	EVP_DecryptUpdate(c, out, &n, in, (int)len);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag);
	good = EVP_DecryptFinal_ex(c, out + len, &n) > 0;
	EVP_CIPHER_CTX_free(c);
	return good;
}

static void be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void be32(uint8_t *p, uint32_t v)
{
	be16(p, v >> 16);
	be16(p + 2, v);
}

size_t rtp_seal(const char *mode, const uint8_t key[32], uint32_t nonce, const struct rtp_build *b,
		uint8_t *out)
{
	size_t aad = 12, n = 0;

	out[0] = b->first;
	out[1] = b->second;
	be16(out + 2, b->seq);
	be32(out + 4, b->timestamp);
	be32(out + 8, b->ssrc);
	if (b->extension) {
		out[0] |= 0x10;
		be16(out + 12, 0xbede);
		be16(out + 14, (uint32_t)(b->extension_len / 4));
		aad = 16;
		memcpy(out + aad, b->extension, b->extension_len);
		n = b->extension_len;
	}
	memcpy(out + aad + n, b->payload, b->len);
	n += b->len;
	if (b->padding) {
		out[0] |= 0x20;
		memset(out + aad + n, 0, (size_t)b->padding);
		n += (size_t)b->padding;
		out[aad + n - 1] = (uint8_t)b->padding;
	}
	be32(out + aad + n + 16, nonce);
	seal(mode, key, out + aad + n + 16, out, aad, out + aad, n, out + aad + n);
	return aad + n + 20;
}

int rtp_open(const char *mode, const uint8_t key[32], const uint8_t *p, size_t len,
	     struct rtp_packet *out, uint32_t *nonce, uint8_t *buf)
{
	size_t aad = 12 + 4 * (p[0] & 15u), skip = 0, n;

	if (len < 32 || p[0] >> 6 != 2)
		return -EPROTO;
	if (p[0] & 0x10) {
		if (len < aad + 4)
			return -EPROTO;
		skip = 4 * (size_t)(p[aad + 2] << 8 | p[aad + 3]);
		aad += 4;
	}
	if (len < aad + 20)
		return -EPROTO;
	n = len - aad - 20;
	out->seq = (uint16_t)(p[2] << 8 | p[3]);
	out->timestamp = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
	out->ssrc = (uint32_t)p[8] << 24 | (uint32_t)p[9] << 16 | (uint32_t)p[10] << 8 | p[11];
	*nonce = le32(p + len - 4);
	if (!open_sealed(mode, key, p + len - 4, p, aad, p + aad, n, buf))
		return -EBADMSG;
	if (p[0] & 0x20) {
		if (!n || !buf[n - 1] || buf[n - 1] > n)
			return -EPROTO;
		n -= buf[n - 1];
	}
	if (skip > n)
		return -EPROTO;
	out->payload = buf + skip;
	out->len = n - skip;
	return 0;
}

size_t rtcp_report(const char *mode, const uint8_t key[32], uint32_t nonce, uint32_t ssrc,
		   uint16_t seq, uint8_t *out)
{
	/* RFC 3550 §6.4.2: header and sender's SSRC in the clear, one report block sealed */
	memset(out, 0, 32);
	out[0] = 0x81;
	out[1] = 201;
	be16(out + 2, 7);
	be32(out + 4, 1);
	be32(out + 8, ssrc);
	be32(out + 16, seq);
	be32(out + 32 + 16, nonce);
	seal(mode, key, out + 32 + 16, out, 8, out + 8, 24, out + 32);
	return 32 + 20;
}
