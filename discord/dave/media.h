/* SPDX-License-Identifier: MIT
 *
 * media.h - frame encryption as the audio thread uses it, and how keys reach it.
 *
 * One struct dave_media per voice connection, shared by exactly two threads:
 *
 *   control thread   session.h publishes an immutable view of all keys whenever something changes
 *                    (dave_media_publish() is called by the session, not by you).
 *   audio thread     dave_media_encrypt() for each Opus packet going out, dave_media_decrypt() for
 *                    each payload coming in. Both pick up the newest view by one atomic exchange.
 *
 * Neither thread waits for the other. A view that the audio thread has left returns through a
 * small ring and is freed by the control thread (dave_media_collect(), called by publish and by
 * dave_session_tick()). Counters and replay windows live in the key itself and travel with it from
 * view to view, so a counter can not be reset while its key stays. New generations (a key lasts
 * 2^24 frames) are derived on the audio thread by plain HMAC from the secret that came with the
 * key; no MLS or public-key function is reachable from here. DAVE protocol, "Key Rotation",
 * "Decryption", "Passthrough".
 *
 * What goes in, coming from the network: the payload after transport decryption, *after* the
 * header extension's body was cut off in front and RTP padding at the end (padding left in place
 * is the commonest cause of "undecryptable" frames); payload type 120 only; empty payloads are
 * dropped before. What goes out: the Opus packet's replacement, before transport encryption.
 */
#ifndef DISCORD_DAVE_MEDIA_H
#define DISCORD_DAVE_MEDIA_H

#include <stddef.h>
#include <stdint.h>

#include "discord/dave/frame.h"

struct dave_media;

/* Control thread. Starts as "no key, nothing plain accepted but silence". -ENOMEM. */
int dave_media_create(struct dave_media **out);
/* Control thread, when the audio thread no longer uses it. Wipes all keys. */
void dave_media_destroy(struct dave_media *m);

/* ---- audio thread ------------------------------------------------------------------------ */

/* Encrypts (or, in version 0, copies) one Opus packet. out_size >= bytes + DAVE_FRAME_OVERHEAD is
 * always enough; out may equal opus.
 *   0         *out_bytes is set
 *   -ENOKEY   version 1 and no key yet (alone in the channel, or joining): drop the packet and
 *             let RTP time run on; no error to report. Silence packets are let through plain.
 *   -ENOSPC   out_size too small
 *   -EIO      libcrypto failed; drop the packet */
int dave_media_encrypt(struct dave_media *m, int64_t now_ns, const uint8_t *opus, size_t bytes,
		       uint8_t *out, size_t out_size, size_t *out_bytes);

/* Decrypts one payload of a user (the user of an SSRC is known by op 5). out_size >= bytes is
 * enough; out must not overlap frame.
 *   0           an Opus packet is in out (the three-byte silence packet always passes)
 *   -ENOKEY     no key for this user (not a member yet; usual for some frames at joining)
 *   -EACCES     a plain frame, and plain frames are refused now
 *   -EALREADY   nonce used before, too old, or an impossible generation
 *   -EBADMSG    encrypted with no key that we hold for this user
 *   -ENOSPC     out_size too small
 * On any error drop the frame: never hand it to Opus. Conceal as for a lost packet. */
int dave_media_decrypt(struct dave_media *m, int64_t now_ns, uint64_t user_id, const uint8_t *frame,
		       size_t bytes, uint8_t *out, size_t out_size, size_t *out_bytes);

/* ---- any thread -------------------------------------------------------------------------- */

/* Counted since creation; each written by the audio thread alone. */
struct dave_media_stats {
	uint64_t encrypted, sent_plain, sent_without_key;            /* outgoing */
	uint64_t decrypted, received_plain, received_silence;        /* incoming, accepted */
	uint64_t plain_refused, no_key, nonce_refused, tag_mismatch; /* incoming, dropped */
};
void dave_media_stats(const struct dave_media *m, struct dave_media_stats *out);

/* ---- control thread, used by session.c --------------------------------------------------- */

struct dave_media_view; /* media_view.h: all keys of a moment, immutable once published */

/* Hands a view to the audio thread (takes ownership, can not fail). */
void dave_media_publish(struct dave_media *m, struct dave_media_view *v);
/* Frees what the audio thread has left. */
void dave_media_collect(struct dave_media *m);

#endif
