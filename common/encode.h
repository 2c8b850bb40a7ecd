/* SPDX-License-Identifier: MIT
 *
 * encode.h - base64 and hex (RFC 4648). No allocation; any thread.
 */
#ifndef COMMON_ENCODE_H
#define COMMON_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Characters base64_encode() writes for n bytes, without the NUL. */
#define BASE64_LEN(n) (((size_t)(n) + 2) / 3 * 4)
/* Most bytes that base64_decode() can write for n characters. */
#define BASE64_MAX_BYTES(n) ((size_t)(n) / 4 * 3 + 3)

/* Writes BASE64_LEN(len) characters (alphabet of RFC 4648 4, padded) and a NUL. Returns the count.
 */
size_t base64_encode(char *out, const uint8_t *in, size_t len);
/* The same by the URL-safe alphabet (RFC 4648 5) and without padding. */
size_t base64url_encode(char *out, const uint8_t *in, size_t len);

/*
 * Strict: full padding, no line breaks, bits behind the end must be zero.
 * Returns the bytes written, -EINVAL for anything else, -ENOSPC if it does not fit out_size.
 */
ssize_t base64_decode(uint8_t *out, size_t out_size, const char *in, size_t len);

/* Writes 2 * len lower-case digits and a NUL. */
void hex_encode(char *out, const uint8_t *in, size_t len);
/* Exactly len bytes from 2 * len digits of either case at the start of `in`; false for other
 * characters. */
bool hex_decode(uint8_t *out, const char *in, size_t len);

/*
 * Percent-encodes for application/x-www-form-urlencoded values and URL path
 * segments: all but A-Z a-z 0-9 - . _ ~ becomes %XX (a space too, as %20).
 * Returns the length without NUL, or -ENOSPC.
 */
ssize_t url_encode(char *out, size_t out_size, const char *in, size_t len);

/* True if the len bytes are well-formed UTF-8 (no surrogates, no overlong forms, <= U+10FFFF). */
bool utf8_valid(const char *text, size_t len);
/* Bytes of the well-formed sequence at the start of text (1 to 4), 0 if there is none. */
size_t utf8_sequence(const char *text, size_t len);

#endif
