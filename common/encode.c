/* SPDX-License-Identifier: MIT
 *
 * encode.c - base64 and hex (RFC 4648), percent encoding (RFC 3986 2.1), UTF-8 (RFC 3629).
 */
#include "common/encode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char alphabet_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode64(char *out, const uint8_t *in, size_t len, const char *alphabet, bool pad)
{
	char *p = out;

	while (len >= 3) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		*p++ = alphabet[v >> 18];
		*p++ = alphabet[v >> 12 & 63];
		*p++ = alphabet[v >> 6 & 63];
		*p++ = alphabet[v & 63];
		in += 3;
		len -= 3;
	}
	if (len) {
		uint32_t v = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
		*p++ = alphabet[v >> 18];
		*p++ = alphabet[v >> 12 & 63];
		if (len == 2)
			*p++ = alphabet[v >> 6 & 63];
		else if (pad)
			*p++ = '=';
		if (pad)
			*p++ = '=';
	}
	*p = '\0';
	return (size_t)(p - out);
}

size_t base64_encode(char *out, const uint8_t *in, size_t len)
{
	return encode64(out, in, len, alphabet_std, true);
}

size_t base64url_encode(char *out, const uint8_t *in, size_t len)
{
	return encode64(out, in, len, alphabet_url, false);
}

/* 64 and its value for a character of the standard alphabet, 0 for any other. */
static const uint8_t value64[256] = {
	['A'] = 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76,
	['N'] = 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89,
	['a'] = 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102,
	['n'] = 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115,
	['0'] = 116, 117, 118, 119, 120, 121, 122, 123, 124, 125,
	['+'] = 126,
	['/'] = 127,
};

/* Four characters, of which the first `have` count, as 24 bits. False: not all of these are base64. */
static inline bool group64(const char *in, size_t have, uint32_t *v)
{
	unsigned good = 64;

	*v = 0;
	for (size_t k = 0; k < 4; k++) {
		unsigned d = k < have ? value64[(unsigned char)in[k]] : 64;

		good &= d;
		*v = *v << 6 | (d & 63);
	}
	return good;
}

ssize_t base64_decode(uint8_t *out, size_t out_size, const char *in, size_t len)
{
	size_t pad = 0;
	uint8_t *p = out;
	uint32_t v;

	if (len % 4)
		return -EINVAL;
	if (len && in[len - 1] == '=')
		pad = in[len - 2] == '=' ? 2 : 1;
	if (len / 4 * 3 - pad > out_size)
		return -ENOSPC;
	for (const char *end = in + (pad ? len - 4 : len); in < end; in += 4) {
		if (!group64(in, 4, &v))
			return -EINVAL;
		*p++ = (uint8_t)(v >> 16);
		*p++ = (uint8_t)(v >> 8);
		*p++ = (uint8_t)v;
	}
	if (pad) {
		/* Two spellings of the same bytes would make comparing texts unsafe. */
		if (!group64(in, 4 - pad, &v) || (v & (pad == 2 ? 0xffff : 0xff)))
			return -EINVAL;
		*p++ = (uint8_t)(v >> 16);
		if (pad == 1)
			*p++ = (uint8_t)(v >> 8);
	}
	return p - out;
}

void hex_encode(char *out, const uint8_t *in, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(uint8_t *out, const char *in, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int hi = hex_value(in[2 * i]);
		int lo = hi < 0 ? -1 : hex_value(in[2 * i + 1]);

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

ssize_t url_encode(char *out, size_t out_size, const char *in, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)in[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';

		if (n + (plain ? 1 : 3) >= out_size)
			return -ENOSPC;
		if (plain) {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		}
	}
	if (n >= out_size)
		return -ENOSPC;
	out[n] = '\0';
	return (ssize_t)n;
}

size_t utf8_sequence(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n;

	if (!len)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool utf8_valid(const char *text, size_t len)
{
	while (len) {
		size_t n = utf8_sequence(text, len);

		if (!n)
			return false;
		text += n;
		len -= n;
	}
	return true;
}
