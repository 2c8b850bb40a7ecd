/* SPDX-License-Identifier: MIT
 *
 * tree_hash.c - tree hashes and parent hashes (RFC 9420 7.8 and 7.9).
 */
#include "discord/mls/crypto.h"
#include "discord/mls/tree.h"

static int hash_leaf(const struct mls_leaf *leaf, uint32_t index, uint8_t out[MLS_HASH_BYTES])
{
	uint8_t head[6] = {1,
			   (uint8_t)(index >> 24),
			   (uint8_t)(index >> 16),
			   (uint8_t)(index >> 8),
			   (uint8_t)index,
			   leaf != NULL};
	struct mls_bytes parts[2] = {mls_bytes(head, sizeof(head))};

	if (leaf)
		parts[1] = leaf->view.raw;
	return mls_sha256(parts, 2, out);
}

/* without may be NULL: the parent as it is. */
static int hash_parent(const struct mls_parent *parent, const uint8_t *without,
		       const uint8_t left[MLS_HASH_BYTES], const uint8_t right[MLS_HASH_BYTES],
		       uint8_t out[MLS_HASH_BYTES])
{
	struct mls_writer w = {0};
	struct mls_bytes whole;
	size_t list;
	int error;

	mls_write_u8(&w, 2);
	mls_write_u8(&w, parent != NULL);
	if (parent) {
		mls_write_vector(&w, parent->encryption_key);
		mls_write_vector(&w, parent->parent_hash);
		list = mls_write_begin(&w);
		for (size_t i = 0; i < parent->n_unmerged; i++)
			if (!without || !without[parent->unmerged[i]])
				mls_write_u32(&w, parent->unmerged[i]);
		mls_write_end(&w, list);
	}
	mls_write_vector(&w, mls_bytes(left, MLS_HASH_BYTES));
	mls_write_vector(&w, mls_bytes(right, MLS_HASH_BYTES));
	whole = mls_written(&w);
	error = w.error != MLS_OK ? w.error : mls_sha256(&whole, 1, out);
	mls_writer_clear(&w);
	return error;
}

int mls_tree_hash(struct mls_tree *tree, uint32_t node, uint8_t out[MLS_HASH_BYTES])
{
	uint8_t left[MLS_HASH_BYTES], right[MLS_HASH_BYTES];
	int error;

	if (!tree->hashed[node]) {
		if (mls_node_is_leaf(node)) {
			error = hash_leaf(tree->leaves[node / 2], node / 2, tree->hashes[node]);
		} else {
			error = mls_tree_hash(tree, mls_node_left(node), left);
			if (error == MLS_OK)
				error = mls_tree_hash(tree, mls_node_right(node), right);
			if (error == MLS_OK)
				error = hash_parent(tree->parents[node / 2], NULL, left, right,
						    tree->hashes[node]);
		}
		if (error != MLS_OK)
			return error;
		tree->hashed[node] = 1;
	}
	memcpy(out, tree->hashes[node], MLS_HASH_BYTES);
	return MLS_OK;
}

int mls_tree_hash_without(struct mls_tree *tree, uint32_t node, const uint8_t *without,
			  uint8_t out[MLS_HASH_BYTES])
{
	uint32_t first = mls_node_first(node) / 2, last = mls_node_last(node) / 2;
	uint8_t left[MLS_HASH_BYTES], right[MLS_HASH_BYTES];
	bool touched = false;
	int error;

	for (uint32_t i = first; i <= last && !touched; i++)
		touched = without[i];
	if (!touched)
		return mls_tree_hash(tree, node, out);
	if (mls_node_is_leaf(node))
		return hash_leaf(NULL, node / 2, out);
	error = mls_tree_hash_without(tree, mls_node_left(node), without, left);
	if (error == MLS_OK)
		error = mls_tree_hash_without(tree, mls_node_right(node), without, right);
	if (error == MLS_OK)
		error = hash_parent(tree->parents[node / 2], without, left, right, out);
	return error;
}

int mls_parent_hash(const struct mls_parent *parent, const uint8_t sibling[MLS_HASH_BYTES],
		    uint8_t out[MLS_HASH_BYTES])
{
	struct mls_writer w = {0};
	struct mls_bytes whole;
	int error;

	mls_write_vector(&w, parent->encryption_key);
	mls_write_vector(&w, parent->parent_hash);
	mls_write_vector(&w, mls_bytes(sibling, MLS_HASH_BYTES));
	whole = mls_written(&w);
	error = w.error != MLS_OK ? w.error : mls_sha256(&whole, 1, out);
	mls_writer_clear(&w);
	return error;
}
