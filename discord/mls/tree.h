/* SPDX-License-Identifier: MIT
 *
 * tree.h - the ratchet tree: nodes, changes, hashes (RFC 9420 4 and 7). Leaf and parent nodes
 * never change once made and are shared between trees; a tree is an array of references and a
 * cache of hashes. A function that fails may leave its tree half changed: changes are made to
 * clones. Internal to discord/mls.
 */
#ifndef DISCORD_MLS_TREE_H
#define DISCORD_MLS_TREE_H

#include <stdatomic.h>

#include "discord/mls/messages.h"
#include "discord/mls/tree_math.h"

#define MLS_MAX_LEVELS 11 /* nodes from a leaf of the widest tree to its root, both counted */

struct mls_leaf {
	_Atomic unsigned refs; /* changed by every holder */
	struct mls_buffer raw;
	struct mls_leaf_view view; /* into raw */
};

struct mls_parent {
	_Atomic unsigned refs; /* changed by every holder */
	size_t size;           /* bytes of this allocation: what follows points to its end */
	struct mls_bytes encryption_key, parent_hash;
	const uint32_t *unmerged; /* leaf indices */
	size_t n_unmerged;
};

struct mls_tree {
	uint32_t n_leaves; /* a power of two */
	struct mls_leaf **leaves;
	struct mls_parent **parents;       /* node 2i + 1 is parents[i] */
	uint8_t (*hashes)[MLS_HASH_BYTES]; /* by node */
	uint8_t *hashed;                   /* by node: the hash is valid */
};

/* Copies and parses one LeafNode. */
int mls_leaf_create(struct mls_leaf **out, struct mls_bytes raw);
struct mls_leaf *mls_leaf_ref(struct mls_leaf *leaf);
void mls_leaf_unref(struct mls_leaf *leaf);

int mls_parent_create(struct mls_parent **out, struct mls_bytes encryption_key,
		      struct mls_bytes parent_hash, const uint32_t *unmerged, size_t n_unmerged);
void mls_parent_unref(struct mls_parent *parent);

/* Blank. LIMIT, NOMEM. */
int mls_tree_create(struct mls_tree **out, uint32_t n_leaves);
int mls_tree_clone(struct mls_tree **out, const struct mls_tree *tree);
void mls_tree_destroy(struct mls_tree *tree);

/* `optional<Node> nodes<V>`, the content of the ratchet_tree extension. Reading checks form, not
 * validity, except that unmerged leaves ascend and lie below their node. */
int mls_tree_read(struct mls_tree **out, struct mls_bytes bytes);
void mls_tree_write(const struct mls_tree *tree, struct mls_writer *w);

bool mls_tree_occupied(const struct mls_tree *tree, uint32_t node);

/* The public key of an occupied node. */
struct mls_bytes mls_tree_key(const struct mls_tree *tree, uint32_t node);

/* Is there no occupied node in the subtree, so that its resolution is empty? */
bool mls_tree_subtree_empty(const struct mls_tree *tree, uint32_t node);

/* Resolution (RFC 9420 4.1.1) into out, which must have room for 2 * n_leaves; returns the
 * count. */
size_t mls_tree_resolution(const struct mls_tree *tree, uint32_t node, uint32_t *out);

/* Places a leaf (a reference is taken) and forgets the hashes above; parents stay. */
void mls_tree_set_leaf(struct mls_tree *tree, uint32_t index, struct mls_leaf *leaf);
/* Places a parent (the reference is taken over), NULL blanks. */
void mls_tree_set_parent(struct mls_tree *tree, uint32_t node, struct mls_parent *parent);
void mls_tree_blank_path(struct mls_tree *tree, uint32_t index);

/* RFC 9420 7.7: leftmost blank leaf, growing the tree if there is none. LIMIT. */
int mls_tree_add(struct mls_tree *tree, struct mls_leaf *leaf, uint32_t *index);
/* 7.8, without truncation; and truncation. */
void mls_tree_remove(struct mls_tree *tree, uint32_t index);
int mls_tree_truncate(struct mls_tree *tree);

/* Tree hash of a subtree (7.8), cached. */
int mls_tree_hash(struct mls_tree *tree, uint32_t node, uint8_t out[MLS_HASH_BYTES]);

/* Tree hash with the given leaves (by index, one byte each) treated as blank: the original tree
 * hash of 7.9. */
int mls_tree_hash_without(struct mls_tree *tree, uint32_t node, const uint8_t *without,
			  uint8_t out[MLS_HASH_BYTES]);

/* ParentHash (7.9) of a parent, given the (original) tree hash of its copath child. */
int mls_parent_hash(const struct mls_parent *parent, const uint8_t sibling[MLS_HASH_BYTES],
		    uint8_t out[MLS_HASH_BYTES]);

#endif
