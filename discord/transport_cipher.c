/* SPDX-License-Identifier: MIT
 *
 * transport_cipher.c - rtpsize transport encryption; see transport_cipher.h.
 */
#include "discord/transport_cipher.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#define TAG_BYTES     16
#define COUNTER_BYTES 4
#define GCM_IV_BYTES  12

struct transport_cipher {
	enum transport_mode mode;
	uint8_t key[TRANSPORT_KEY_BYTES];
	EVP_CIPHER_CTX *sealer, *opener; /* AES only: key scheduled once */
	uint32_t next;                   /* counter of the next packet; 0 = used up */
};

static const char *const mode_names[] = {
	[TRANSPORT_NONE] = "none",
	[TRANSPORT_AES256_GCM] = "aead_aes256_gcm_rtpsize",
	[TRANSPORT_XCHACHA20_POLY1305] = "aead_xchacha20_poly1305_rtpsize",
};

enum transport_mode transport_mode_parse(const char *name)
{
	if (!strcmp(name, mode_names[TRANSPORT_AES256_GCM]))
		return TRANSPORT_AES256_GCM;
	if (!strcmp(name, mode_names[TRANSPORT_XCHACHA20_POLY1305]))
		return TRANSPORT_XCHACHA20_POLY1305;
	return TRANSPORT_NONE;
}

const char *transport_mode_name(enum transport_mode mode)
{
	return mode_names[mode];
}

static int gcm_create(struct transport_cipher *c)
{
	c->sealer = EVP_CIPHER_CTX_new();
	c->opener = EVP_CIPHER_CTX_new();
	if (!c->sealer || !c->opener)
		return -ENOMEM;
	if (EVP_EncryptInit_ex(c->sealer, EVP_aes_256_gcm(), NULL, c->key, NULL) != 1 ||
	    EVP_DecryptInit_ex(c->opener, EVP_aes_256_gcm(), NULL, c->key, NULL) != 1)
		return -EIO;
	return 0;
}

int transport_cipher_create(struct transport_cipher **out, enum transport_mode mode,
			    const uint8_t key[TRANSPORT_KEY_BYTES])
{
	*out = NULL;
	if (mode != TRANSPORT_AES256_GCM && mode != TRANSPORT_XCHACHA20_POLY1305)
		return -EINVAL;
	if (sodium_init() < 0)
		return -EIO;
	struct transport_cipher *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->mode = mode;
	c->next = 1;
	memcpy(c->key, key, sizeof(c->key));
	int err = mode == TRANSPORT_AES256_GCM ? gcm_create(c) : 0;
	if (err < 0) {
		transport_cipher_destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void transport_cipher_destroy(struct transport_cipher *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->sealer);
	EVP_CIPHER_CTX_free(c->opener);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

static int gcm_seal(struct transport_cipher *c, const uint8_t *iv, uint8_t *packet, size_t clear,
		    size_t plain)
{
	int n;
	uint8_t *body = packet + clear;
	if (EVP_EncryptInit_ex(c->sealer, NULL, NULL, NULL, iv) != 1 ||
	    EVP_EncryptUpdate(c->sealer, NULL, &n, packet, (int)clear) != 1 ||
	    EVP_EncryptUpdate(c->sealer, body, &n, body, (int)plain) != 1 ||
	    EVP_EncryptFinal_ex(c->sealer, body + plain, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c->sealer, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, body + plain) != 1)
		return -EIO;
	return 0;
}

static int gcm_open(struct transport_cipher *c, const uint8_t *iv, const uint8_t *packet,
		    size_t clear, const uint8_t *body, size_t bytes, uint8_t *plain)
{
	int n;
	uint8_t tag[TAG_BYTES];
	memcpy(tag, body + bytes, TAG_BYTES);
	if (EVP_DecryptInit_ex(c->opener, NULL, NULL, NULL, iv) != 1 ||
	    EVP_DecryptUpdate(c->opener, NULL, &n, packet, (int)clear) != 1 ||
	    EVP_DecryptUpdate(c->opener, plain, &n, body, (int)bytes) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c->opener, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) != 1 ||
	    EVP_DecryptFinal_ex(c->opener, plain + bytes, &n) != 1)
		return -EBADMSG;
	return 0;
}

int transport_seal(struct transport_cipher *c, uint8_t *packet, size_t clear, size_t plain,
		   size_t capacity)
{
	if (clear + plain + TRANSPORT_OVERHEAD_BYTES > capacity || clear + plain < clear)
		return -ENOBUFS;
	if (c->next == 0)
		return -EDQUOT;
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {
		(uint8_t)(c->next >> 24), (uint8_t)(c->next >> 16), (uint8_t)(c->next >> 8),
		(uint8_t)c->next};
	if (c->mode == TRANSPORT_AES256_GCM) {
		int err = gcm_seal(c, nonce, packet, clear, plain);
		if (err < 0)
			return err;
	} else {
		uint8_t *body = packet + clear;
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			body, body + plain, NULL, body, plain, packet, clear, NULL, nonce, c->key);
	}
	memcpy(packet + clear + plain + TAG_BYTES, nonce, COUNTER_BYTES);
	c->next++; /* wraps to 0, which refuses all further packets */
	return (int)(clear + plain + TRANSPORT_OVERHEAD_BYTES);
}

int transport_open(struct transport_cipher *c, const uint8_t *packet, size_t bytes, size_t clear,
		   uint8_t *plain, size_t capacity)
{
	if (bytes < TRANSPORT_OVERHEAD_BYTES || clear > bytes - TRANSPORT_OVERHEAD_BYTES)
		return -EBADMSG;
	size_t len = bytes - clear - TRANSPORT_OVERHEAD_BYTES;
	if (len > capacity)
		return -EBADMSG;
	/* The counter's byte order is the sender's affair: its four bytes are copied as they come. */
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {0};
	memcpy(nonce, packet + bytes - COUNTER_BYTES, COUNTER_BYTES);
	const uint8_t *body = packet + clear;
	int err = 0;
	if (c->mode == TRANSPORT_AES256_GCM)
		err = gcm_open(c, nonce, packet, clear, body, len, plain);
	else if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
			 plain, NULL, body, len, body + len, packet, clear, nonce, c->key) != 0)
		err = -EBADMSG;
	return err < 0 ? err : (int)len;
}

uint32_t transport_seals_left(const struct transport_cipher *c)
{
	return c->next == 0 ? 0 : UINT32_MAX - c->next + 1;
}

void transport_counter_set(struct transport_cipher *c, uint32_t next)
{
	c->next = next;
}
