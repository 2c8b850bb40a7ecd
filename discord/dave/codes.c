/* SPDX-License-Identifier: MIT
 *
 * codes.c - displayable codes and the fingerprint behind a verification code.
 */
#include "discord/dave/codes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define SCRYPT_N          16384
#define SCRYPT_R          8
#define SCRYPT_P          2
#define SCRYPT_MEMORY_MAX (32 * 1024 * 1024)

static const uint8_t fingerprint_salt[16] = {
	0x24, 0xca, 0xb1, 0x7a, 0x7a, 0xf8, 0xec, 0x2b,
	0x82, 0xb4, 0x12, 0xb9, 0x2d, 0xab, 0x19, 0x2e,
};

int dave_code_display(const uint8_t *data, size_t data_bytes, size_t digits, size_t group,
		      char *out, size_t out_size)
{
	uint64_t modulus = 1;

	if (group == 0 || group > 8 || digits % group != 0 || data_bytes < digits)
		return -EINVAL;
	if (out_size <= digits)
		return -ENOSPC;
	for (size_t i = 0; i < group; i++)
		modulus *= 10;
	for (size_t at = 0; at < digits; at += group) {
		uint64_t v = 0;

		for (size_t i = 0; i < group; i++)
			v = v << 8 | data[at + i];
		v %= modulus;
		for (size_t i = group; i-- > 0; v /= 10)
			out[at + i] = (char)('0' + v % 10);
	}
	out[digits] = '\0';
	return 0;
}

int dave_privacy_code(const uint8_t epoch_authenticator[32], char out[DAVE_PRIVACY_CODE_DIGITS + 1])
{
	return dave_code_display(epoch_authenticator, 32, DAVE_PRIVACY_CODE_DIGITS, DAVE_CODE_GROUP,
				 out, DAVE_PRIVACY_CODE_DIGITS + 1);
}

int dave_code_spaced(const char *digits, size_t group, char *out, size_t out_size)
{
	size_t n = strlen(digits), at = 0;

	if (group == 0)
		return -EINVAL;
	if (out_size < n + (n ? (n - 1) / group : 0) + 1)
		return -ENOSPC;
	for (size_t i = 0; i < n; i++) {
		if (i && i % group == 0)
			out[at++] = ' ';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return 0;
}

int dave_fingerprint_entry(uint16_t version, const uint8_t *key, size_t key_bytes, uint64_t user_id,
			   uint8_t *out, size_t out_size, size_t *out_bytes)
{
	if (out_size < 10 || out_size - 10 < key_bytes)
		return -ENOSPC;
	out[0] = (uint8_t)(version >> 8);
	out[1] = (uint8_t)version;
	memcpy(out + 2, key, key_bytes);
	for (int i = 0; i < 8; i++)
		out[2 + key_bytes + i] = (uint8_t)(user_id >> (56 - 8 * i));
	*out_bytes = key_bytes + 10;
	return 0;
}

int dave_fingerprint_pair(uint16_t version, const uint8_t *key_a, size_t key_a_bytes,
			  uint64_t user_a, const uint8_t *key_b, size_t key_b_bytes,
			  uint64_t user_b, uint8_t out[DAVE_FINGERPRINT_BYTES])
{
	size_t size = key_a_bytes + key_b_bytes + 20, a_bytes = 0, b_bytes = 0, common;
	uint8_t *entries = malloc(2 * size), *input;
	bool a_first;
	int order, rc = 0;

	if (!entries)
		return -ENOMEM;
	input = entries + size;
	dave_fingerprint_entry(version, key_a, key_a_bytes, user_a, entries, size, &a_bytes);
	dave_fingerprint_entry(version, key_b, key_b_bytes, user_b, entries + a_bytes,
			       size - a_bytes, &b_bytes);
	common = a_bytes < b_bytes ? a_bytes : b_bytes;
	order = memcmp(entries, entries + a_bytes, common);
	a_first = order < 0 || (order == 0 && a_bytes <= b_bytes);
	if (a_first) {
		memcpy(input, entries, size);
	} else {
		memcpy(input, entries + a_bytes, b_bytes);
		memcpy(input + b_bytes, entries, a_bytes);
	}
	if (EVP_PBE_scrypt((const char *)input, size, fingerprint_salt, sizeof(fingerprint_salt),
			   SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_MEMORY_MAX, out,
			   DAVE_FINGERPRINT_BYTES) != 1)
		rc = -ENOMEM;
	free(entries);
	return rc;
}
