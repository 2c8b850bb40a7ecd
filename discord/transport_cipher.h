/* SPDX-License-Identifier: MIT
 *
 * transport_cipher.h - the two `rtpsize` transport encryptions of Discord voice.
 *
 * On the wire: clear header | ciphertext | 16-byte tag | 4-byte counter. The counter fills the
 * *first* four bytes of the nonce, zeros the rest; the clear header is authenticated. AES-256-GCM
 * goes through OpenSSL (works without AES instructions), XChaCha20-Poly1305 through libsodium.
 *
 * One object holds one secret key, its sending counter and its cipher contexts. It is made on the
 * control thread and used by one thread at a time; seal and open allocate nothing.
 */
#ifndef DISCORD_TRANSPORT_CIPHER_H
#define DISCORD_TRANSPORT_CIPHER_H

#include <stddef.h>
#include <stdint.h>

enum transport_mode {
	TRANSPORT_NONE,
	TRANSPORT_AES256_GCM,        /* aead_aes256_gcm_rtpsize: preferred where offered */
	TRANSPORT_XCHACHA20_POLY1305 /* aead_xchacha20_poly1305_rtpsize: always offered */
};

#define TRANSPORT_KEY_BYTES      32
#define TRANSPORT_OVERHEAD_BYTES 20 /* tag and counter */

/* The mode of a protocol name, TRANSPORT_NONE for one we do not speak; and the way back. */
enum transport_mode transport_mode_parse(const char *name);
const char *transport_mode_name(enum transport_mode mode);

struct transport_cipher;

/* -ENOMEM, -EINVAL for an unknown mode, -EIO when the library refuses. */
int transport_cipher_create(struct transport_cipher **out, enum transport_mode mode,
			    const uint8_t key[TRANSPORT_KEY_BYTES]);
/* Wipes the key. NULL is allowed. */
void transport_cipher_destroy(struct transport_cipher *cipher);

/* Seals in place: packet holds clear_bytes of header and then plain_bytes of payload; tag and
 * counter are appended. Returns the datagram's length, -ENOBUFS when capacity is short, -EDQUOT
 * when the 32-bit counter is used up (the key must be replaced: a nonce must never repeat). */
int transport_seal(struct transport_cipher *cipher, uint8_t *packet, size_t clear_bytes,
		   size_t plain_bytes, size_t capacity);

/* Opens a datagram whose first clear_bytes are authenticated only. Writes the plaintext to plain
 * (capacity >= bytes - clear_bytes - TRANSPORT_OVERHEAD_BYTES) and returns its length, or
 * -EBADMSG. Nothing from a datagram that does not open may be believed, its SSRC included. */
int transport_open(struct transport_cipher *cipher, const uint8_t *packet, size_t bytes,
		   size_t clear_bytes, uint8_t *plain, size_t capacity);

/* How many packets this key may still seal before it has to be replaced. */
uint32_t transport_seals_left(const struct transport_cipher *cipher);

/* For tests: the next counter to be used (a fresh object starts at 1). */
void transport_counter_set(struct transport_cipher *cipher, uint32_t next);

#endif
