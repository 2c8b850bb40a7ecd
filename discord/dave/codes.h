/* SPDX-License-Identifier: MIT
 *
 * codes.h - what people compare by eye: privacy code and verification codes.
 *
 * The privacy code belongs to an epoch (all members see the same 30 digits); a verification code
 * belongs to a pair of members and survives epochs as long as both keep their signature keys.
 * DAVE protocol, "Displayable Codes". Pure functions; any thread, but see dave_fingerprint_pair().
 */
#ifndef DISCORD_DAVE_CODES_H
#define DISCORD_DAVE_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAVE_PRIVACY_CODE_DIGITS      30
#define DAVE_VERIFICATION_CODE_DIGITS 45
#define DAVE_CODE_GROUP               5
#define DAVE_FINGERPRINT_BYTES        64

/* Digits of data: each run of `group` bytes, big-endian, modulo 10^group, zero-padded. Writes
 * `digits` characters and a NUL to out. -EINVAL: data shorter than digits, digits no multiple of
 * group, group 0 or above 8; -ENOSPC: out_size < digits + 1. out is untouched on error. */
int dave_code_display(const uint8_t *data, size_t data_bytes, size_t digits, size_t group,
		      char *out, size_t out_size);

/* The 30 digits of an epoch authenticator (32 bytes). */
int dave_privacy_code(const uint8_t epoch_authenticator[32],
		      char out[DAVE_PRIVACY_CODE_DIGITS + 1]);

/* Copies digits with a space after each `group`: what is logged and shown ("12345 67890 ...").
 * -ENOSPC when out is too small: strlen + (strlen - 1) / group + 1 bytes are needed. */
int dave_code_spaced(const char *digits, size_t group, char *out, size_t out_size);

/* What one member puts into a fingerprint: uint16 version || key || uint64 user id. The result's
 * length is key_bytes + 10. -ENOSPC if out is smaller. */
int dave_fingerprint_entry(uint16_t version, const uint8_t *key, size_t key_bytes, uint64_t user_id,
			   uint8_t *out, size_t out_size, size_t *out_bytes);

/* scrypt over both entries in byte order: 64 bytes. Takes tens of milliseconds and 32 MiB, so it
 * belongs to a worker or a quiet moment of the control thread, never to the audio thread. */
int dave_fingerprint_pair(uint16_t version, const uint8_t *key_a, size_t key_a_bytes,
			  uint64_t user_a, const uint8_t *key_b, size_t key_b_bytes,
			  uint64_t user_b, uint8_t out[DAVE_FINGERPRINT_BYTES]);

#endif
