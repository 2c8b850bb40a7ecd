/* SPDX-License-Identifier: MIT
 *
 * media_key.h - the key of one sender in one epoch, with everything that must live as long as it.
 *
 * Sending counter and replay window belong to the key, not to whoever uses it: as long as a key
 * exists its counter goes on, and when the key changes all of it changes. DAVE protocol, "Key
 * Rotation".
 *
 * The control thread creates, references and frees; references are counted on the control thread
 * alone. The content is the audio thread's from the moment a view with this key is published.
 * Sealing and opening allocate nothing and take no lock: the cipher was looked up at creation.
 */
#ifndef DISCORD_DAVE_MEDIA_KEY_H
#define DISCORD_DAVE_MEDIA_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "discord/dave/frame.h"
#include "discord/dave/key_ratchet.h"

#define DAVE_KEY_LINGER_NS ((int64_t)10 * 1000 * 1000 * 1000) /* old keys after a newer one came \
							       */
#define DAVE_NEVER INT64_MAX

struct dave_media_key;

/* ---- control thread ---------------------------------------------------------------------- */

/* now_ns starts the age that bounds the generations a frame may claim. -ENOMEM. */
int dave_media_key_create(struct dave_media_key **out,
			  const uint8_t base_secret[DAVE_BASE_SECRET_BYTES], int64_t now_ns);
struct dave_media_key *dave_media_key_ref(struct dave_media_key *k); /* takes NULL */
void dave_media_key_unref(struct dave_media_key *k);                 /* takes NULL; wipes */

/* ---- audio thread ------------------------------------------------------------------------ */

/* Encrypts under the next nonce: 1, 2, 3, ... -ENOSPC: out_size < bytes + DAVE_FRAME_OVERHEAD;
 * -EIO: libcrypto failed, the nonce is used up. */
int dave_media_key_seal(struct dave_media_key *k, const uint8_t *in, size_t bytes, uint8_t *out,
			size_t out_size, size_t *out_bytes);

/* Decrypts. -EALREADY: this key can not have sent such a nonce at this time; -EBADMSG: it did not
 * seal this frame; -ENOSPC, -EIO. A failure changes nothing. */
int dave_media_key_open(struct dave_media_key *k, int64_t now_ns, const struct dave_frame *f,
			uint8_t *out, size_t out_size, size_t *out_bytes);

#endif
