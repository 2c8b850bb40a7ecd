/* SPDX-License-Identifier: MIT
 *
 * path.h - update paths: TreeKEM (RFC 9420 7.4 to 7.6). Internal to discord/mls.
 */
#ifndef DISCORD_MLS_PATH_H
#define DISCORD_MLS_PATH_H

#include "discord/mls/leaf.h"

/* The private keys a member holds: of its leaf and of some ancestors, by level. */
struct mls_private {
	uint32_t leaf; /* index */
	bool have[MLS_MAX_LEVELS];
	uint8_t key[MLS_MAX_LEVELS][MLS_PRIVATE_KEY_BYTES];
};

/* Filtered direct path of a leaf, bottom up, with the child that is not on it. */
struct mls_filtered {
	size_t n;
	uint32_t node[MLS_MAX_LEVELS], copath[MLS_MAX_LEVELS];
};

/* A path of our own making. Wiped by its holder. */
struct mls_path_secrets {
	struct mls_filtered path;
	uint8_t secret[MLS_MAX_LEVELS][MLS_HASH_BYTES]; /* path secret of path.node[k] */
	uint8_t commit_secret[MLS_HASH_BYTES];
};

void mls_path_filter(const struct mls_tree *tree, uint32_t leaf, struct mls_filtered *out);

/* Makes new keys for our leaf and its filtered path and puts them into tree and private; the new
 * leaf keeps credential, signature key, capabilities and extensions. */
int mls_path_make(struct mls_tree *tree, struct mls_private *private, struct mls_bytes group_id,
		  const struct mls_signature_key *signer, struct mls_path_secrets *out);

/* Writes the UpdatePath of a path just made. is_new: by leaf index, 1 for leaves added by this
 * commit (they get their secret by the Welcome), or NULL. context: provisional GroupContext. */
int mls_path_write(const struct mls_tree *tree, const struct mls_path_secrets *secrets,
		   uint32_t leaf, struct mls_bytes context, const uint8_t *is_new,
		   struct mls_writer *w);

/* Checks another member's path by itself and against the tree, and puts it there. TREE,
 * KEY_PACKAGE, KEY, SIGNATURE, DUPLICATE. features: MLS_FEATURE_NEW_CREDENTIAL. */
int mls_path_merge(struct mls_tree *tree, uint32_t sender, const struct mls_path_view *path,
		   struct mls_bytes group_id, unsigned features);

/* Opens our ciphertext of a merged path; takes over the keys above, gives the commit secret. */
int mls_path_open(struct mls_tree *tree, uint32_t sender, const struct mls_path_view *path,
		  struct mls_bytes context, const uint8_t *is_new, struct mls_private *private,
		  uint8_t commit_secret[MLS_HASH_BYTES]);

/* Takes over the path secret that came in a Welcome from the member at leaf sender. */
int mls_path_adopt(const struct mls_tree *tree, uint32_t sender, struct mls_bytes path_secret,
		   struct mls_private *private);

/* Forgets the keys of nodes that have become blank or lie beyond the tree. */
void mls_private_prune(struct mls_private *private, const struct mls_tree *tree);

#endif
