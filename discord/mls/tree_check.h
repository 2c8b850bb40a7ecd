/* SPDX-License-Identifier: MIT
 *
 * tree_check.h - is a ratchet tree valid (RFC 9420 12.4.3.1)? Internal to discord/mls.
 */
#ifndef DISCORD_MLS_TREE_CHECK_H
#define DISCORD_MLS_TREE_CHECK_H

#include "discord/mls/leaf.h"

/* Everything about a tree that comes with a Welcome: each leaf with its signature, each parent's
 * key and unmerged leaves, all parent hashes, uniqueness. */
int mls_tree_check(struct mls_tree *tree, struct mls_bytes group_id, unsigned features);

/* Every non-blank parent is parent-hash valid (7.9.2). */
int mls_tree_check_parent_hashes(struct mls_tree *tree);

/* No encryption key twice (leaves and parents together), no signature key twice, and no identity
 * twice unless MLS_FEATURE_SAME_IDENTITY. DUPLICATE. */
int mls_tree_check_unique(const struct mls_tree *tree, unsigned features);

#endif
