/* SPDX-License-Identifier: MIT
 *
 * leaf.h - making and checking leaf nodes and key packages (RFC 9420 7.2, 7.3, 10). Internal to
 * discord/mls.
 */
#ifndef DISCORD_MLS_LEAF_H
#define DISCORD_MLS_LEAF_H

#include "discord/mls/crypto.h"
#include "discord/mls/tree.h"

struct mls_key_package {
	struct mls_buffer raw;
	struct mls_key_package_view view; /* into raw */
	uint8_t ref[MLS_HASH_BYTES];
	uint8_t init_private[MLS_PRIVATE_KEY_BYTES], leaf_private[MLS_PRIVATE_KEY_BYTES];
	struct mls_signature_key *signer;
};

/* Signs a leaf made of the fields of the view (except signature) and serialises it. group_id and
 * index enter the signature for the sources update and commit. */
int mls_leaf_sign(const struct mls_leaf_view *fields, struct mls_bytes group_id, uint32_t index,
		  const struct mls_signature_key *signer, struct mls_buffer *out);

/* All that a leaf shows by itself: keys, credential, capabilities, extensions, signature. */
int mls_leaf_check(const struct mls_leaf_view *leaf, struct mls_bytes group_id, uint32_t index);

/* Does the leaf support what a group with these extensions asks of its members? */
int mls_leaf_check_support(const struct mls_leaf_view *leaf, struct mls_bytes group_extensions);

/* The extensions of a group context by themselves. */
int mls_group_extensions_check(struct mls_bytes extensions);

/* A key package by itself; the public form is mls_key_package_check(). */
int mls_key_package_check_view(const struct mls_key_package_view *view);

void mls_key_package_describe(const struct mls_key_package_view *view,
			      const uint8_t ref[MLS_HASH_BYTES], struct mls_key_package_info *out);

int mls_key_package_ref(struct mls_bytes raw, uint8_t out[MLS_HASH_BYTES]);

#endif
