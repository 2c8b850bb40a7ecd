/* SPDX-License-Identifier: MIT
 *
 * key_schedule.h - from one epoch's secrets to the next's, transcript hashes, pre-shared keys
 * (RFC 9420 8). Internal to discord/mls.
 */
#ifndef DISCORD_MLS_KEY_SCHEDULE_H
#define DISCORD_MLS_KEY_SCHEDULE_H

#include "discord/mls/crypto.h"

/* What an epoch gives. Wiped by its holder. */
struct mls_epoch_secrets {
	uint8_t sender_data[MLS_HASH_BYTES], encryption[MLS_HASH_BYTES], exporter[MLS_HASH_BYTES],
		authenticator[MLS_HASH_BYTES], external[MLS_HASH_BYTES],
		confirmation[MLS_HASH_BYTES], membership[MLS_HASH_BYTES],
		resumption[MLS_HASH_BYTES], init[MLS_HASH_BYTES];
};

/* Joiner secret of the next epoch, whose GroupContext is given. */
int mls_schedule_joiner(const uint8_t init[MLS_HASH_BYTES],
			const uint8_t commit_secret[MLS_HASH_BYTES], struct mls_bytes context,
			uint8_t out[MLS_HASH_BYTES]);

/* The secret between joiner and epoch secret, which a Welcome needs before it knows the
 * context; and the key and nonce of its GroupInfo. */
int mls_schedule_member(const uint8_t joiner[MLS_HASH_BYTES],
			const uint8_t psk_secret[MLS_HASH_BYTES], uint8_t out[MLS_HASH_BYTES]);
int mls_schedule_welcome(const uint8_t member[MLS_HASH_BYTES], uint8_t key[MLS_AEAD_KEY_BYTES],
			 uint8_t nonce[MLS_AEAD_NONCE_BYTES]);

int mls_schedule_epoch(const uint8_t member[MLS_HASH_BYTES], struct mls_bytes context,
		       struct mls_epoch_secrets *out);

/* MLS-Exporter. */
int mls_schedule_export(const uint8_t exporter[MLS_HASH_BYTES], const char *label,
			struct mls_bytes context, uint8_t *out, size_t len);

/* Folds one more pre-shared key into the PSK secret (8.4), which begins as zeros: the index-th
 * of count, its PreSharedKeyID serialised. */
int mls_psk_fold(uint8_t psk_secret[MLS_HASH_BYTES], struct mls_bytes id, struct mls_bytes psk,
		 uint16_t index, uint16_t count);

/* Transcript hashes (8.2): framed is the FramedContent of the commit. */
int mls_transcript_confirmed(const uint8_t interim[MLS_HASH_BYTES], struct mls_bytes framed,
			     struct mls_bytes signature, uint8_t out[MLS_HASH_BYTES]);
int mls_transcript_interim(struct mls_bytes confirmed, struct mls_bytes confirmation_tag,
			   uint8_t out[MLS_HASH_BYTES]);

/* ---- framing.c: signatures and tags of PublicMessages (6.1, 6.2) -------------------------- */

/* FramedContentTBS; context is empty for senders outside the group. */
int mls_framed_sign(struct mls_bytes framed, struct mls_bytes context,
		    const struct mls_signature_key *key, struct mls_buffer *signature);
int mls_framed_verify(struct mls_bytes framed, struct mls_bytes context,
		      struct mls_bytes public_key, struct mls_bytes signature);

/* confirmation_tag: NULL unless a commit. */
int mls_membership_tag(const uint8_t key[MLS_HASH_BYTES], struct mls_bytes framed,
		       struct mls_bytes context, struct mls_bytes signature,
		       const struct mls_bytes *confirmation_tag, uint8_t out[MLS_HASH_BYTES]);

/* Is a tag that came in a message the one computed? In constant time. */
bool mls_tag_equal(struct mls_bytes got, const uint8_t want[MLS_HASH_BYTES]);

/* ProposalRef of a proposal in a PublicMessage. */
int mls_proposal_ref(struct mls_bytes framed, struct mls_bytes signature,
		     uint8_t out[MLS_HASH_BYTES]);

#endif
