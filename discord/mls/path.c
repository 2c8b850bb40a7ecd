/* SPDX-License-Identifier: MIT
 *
 * path.c - making, merging and opening update paths.
 */
#include "discord/mls/path.h"

#include <openssl/crypto.h>

#include "discord/mls/alloc.h"

void mls_path_filter(const struct mls_tree *tree, uint32_t leaf, struct mls_filtered *out)
{
	uint32_t node = 2 * leaf;

	out->n = 0;
	while (node != mls_node_root(tree->n_leaves)) {
		uint32_t sibling = mls_node_sibling(node);

		node = mls_node_parent(node);
		if (mls_tree_subtree_empty(tree, sibling))
			continue;
		out->node[out->n] = node;
		out->copath[out->n++] = sibling;
	}
}

void mls_private_prune(struct mls_private *private, const struct mls_tree *tree)
{
	uint32_t node = 2 * private->leaf;

	for (unsigned level = 1; level < MLS_MAX_LEVELS; level++) {
		bool beyond = 1u << level > tree->n_leaves;

		if (!beyond)
			node = mls_node_parent(node);
		if (beyond || !mls_tree_occupied(tree, node)) {
			private->have[level] = false;
			OPENSSL_cleanse(private->key[level], MLS_PRIVATE_KEY_BYTES);
		}
	}
}

/* The key pair of a node from its path secret. */
static int node_pair(const uint8_t path_secret[MLS_HASH_BYTES],
		     uint8_t private_key[MLS_PRIVATE_KEY_BYTES],
		     uint8_t public_key[MLS_PUBLIC_KEY_BYTES])
{
	uint8_t node_secret[MLS_HASH_BYTES];
	int error = mls_derive_secret(path_secret, "node", node_secret);

	if (error == MLS_OK)
		error = mls_p256_derive(node_secret, private_key, public_key);
	OPENSSL_cleanse(node_secret, sizeof(node_secret));
	return error;
}

/* Blanks the direct path of a leaf, sets the given keys on its filtered path with parent hashes
 * from the top down, and gives the parent hash that the leaf must carry (of 0 or 32 bytes). */
static int set_parents(struct mls_tree *tree, uint32_t leaf, const struct mls_filtered *path,
		       const struct mls_bytes *keys, uint8_t hash[MLS_HASH_BYTES], size_t *hash_len)
{
	int error = MLS_OK;

	mls_tree_blank_path(tree, leaf);
	*hash_len = 0;
	for (size_t k = path->n; k-- > 0 && error == MLS_OK;) {
		uint8_t sibling[MLS_HASH_BYTES];
		struct mls_parent *parent;

		error = mls_parent_create(&parent, keys[k], mls_bytes(hash, *hash_len), NULL, 0);
		if (error != MLS_OK)
			break;
		mls_tree_set_parent(tree, path->node[k], parent);
		error = mls_tree_hash(tree, path->copath[k], sibling);
		if (error == MLS_OK)
			error = mls_parent_hash(parent, sibling, hash);
		*hash_len = MLS_HASH_BYTES;
	}
	return error;
}

/* ---- our own ------------------------------------------------------------------------------ */

static int replace_own_leaf(struct mls_tree *tree, uint32_t index, struct mls_bytes key,
			    struct mls_bytes parent_hash, struct mls_bytes group_id,
			    const struct mls_signature_key *signer)
{
	struct mls_leaf_view fields = tree->leaves[index]->view;
	struct mls_buffer raw = {NULL, 0};
	struct mls_leaf *leaf;
	int error;

	fields.encryption_key = key;
	fields.source = MLS_LEAF_COMMIT;
	fields.parent_hash = parent_hash;
	error = mls_leaf_sign(&fields, group_id, index, signer, &raw);
	if (error == MLS_OK)
		error = mls_leaf_create(&leaf, mls_view(&raw));
	if (error == MLS_OK) {
		mls_tree_set_leaf(tree, index, leaf);
		mls_leaf_unref(leaf);
	}
	mls_buffer_clear(&raw);
	return error;
}

int mls_path_make(struct mls_tree *tree, struct mls_private *private, struct mls_bytes group_id,
		  const struct mls_signature_key *signer, struct mls_path_secrets *out)
{
	uint8_t publics[MLS_MAX_LEVELS][MLS_PUBLIC_KEY_BYTES], own[MLS_PUBLIC_KEY_BYTES];
	uint8_t secret[MLS_HASH_BYTES], hash[MLS_HASH_BYTES];
	struct mls_bytes keys[MLS_MAX_LEVELS];
	size_t hash_len;
	int error;

	mls_path_filter(tree, private->leaf, &out->path);
	error = mls_random(secret, sizeof(secret));
	if (error == MLS_OK)
		error = node_pair(secret, private->key[0], own);
	for (unsigned level = 1; level < MLS_MAX_LEVELS; level++)
	private->have[level] = false;
	for (size_t k = 0; k < out->path.n && error == MLS_OK; k++) {
		unsigned level = mls_node_level(out->path.node[k]);

		error = mls_derive_secret(secret, "path", out->secret[k]);
		if (error == MLS_OK)
			error = node_pair(out->secret[k], private->key[level], publics[k]);
		private->have[level] = true;
		keys[k] = mls_bytes(publics[k], MLS_PUBLIC_KEY_BYTES);
		memcpy(secret, out->secret[k], sizeof(secret));
	}
	if (error == MLS_OK)
		error = mls_derive_secret(secret, "path", out->commit_secret);
	if (error == MLS_OK)
		error = set_parents(tree, private->leaf, &out->path, keys, hash, &hash_len);
	if (error == MLS_OK)
		error = replace_own_leaf(tree, private->leaf, mls_bytes(own, sizeof(own)),
					 mls_bytes(hash, hash_len), group_id, signer);
	mls_private_prune(private, tree);
	OPENSSL_cleanse(secret, sizeof(secret));
	return error;
}

/* Resolution without the leaves that this commit adds. */
static size_t old_resolution(const struct mls_tree *tree, uint32_t node, const uint8_t *is_new,
			     uint32_t *out)
{
	size_t n = mls_tree_resolution(tree, node, out), kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!is_new || !mls_node_is_leaf(out[i]) || !is_new[out[i] / 2])
			out[kept++] = out[i];
	return kept;
}

int mls_path_write(const struct mls_tree *tree, const struct mls_path_secrets *secrets,
		   uint32_t leaf, struct mls_bytes context, const uint8_t *is_new,
		   struct mls_writer *w)
{
	size_t room = 2 * (size_t)tree->n_leaves, nodes, ciphertexts, n;
	uint32_t *resolution = mls_alloc_array(room, sizeof(*resolution));
	int error = resolution ? MLS_OK : MLS_ERROR_NOMEM;

	mls_write_bytes(w, tree->leaves[leaf]->view.raw);
	nodes = mls_write_begin(w);
	for (size_t k = 0; k < secrets->path.n && error == MLS_OK; k++) {
		mls_write_vector(w, mls_tree_key(tree, secrets->path.node[k]));
		ciphertexts = mls_write_begin(w);
		n = old_resolution(tree, secrets->path.copath[k], is_new, resolution);
		for (size_t i = 0; i < n && error == MLS_OK; i++)
			error = mls_hpke_seal(mls_tree_key(tree, resolution[i]), "UpdatePathNode",
					      context,
					      mls_bytes(secrets->secret[k], MLS_HASH_BYTES), w);
		mls_write_end(w, ciphertexts);
	}
	mls_write_end(w, nodes);
	mls_free(resolution, room * sizeof(*resolution));
	return error != MLS_OK ? error : w->error;
}

/* ---- those of others ---------------------------------------------------------------------- */

static bool key_in_tree(const struct mls_tree *tree, struct mls_bytes key)
{
	for (uint32_t node = 0; node < 2 * tree->n_leaves - 1; node++)
		if (mls_tree_occupied(tree, node) && mls_bytes_equal(mls_tree_key(tree, node), key))
			return true;
	return false;
}

static int check_path_leaf(const struct mls_tree *tree, uint32_t sender,
			   const struct mls_leaf_view *leaf, struct mls_bytes group_id,
			   unsigned features)
{
	const struct mls_leaf_view *old = &tree->leaves[sender]->view;

	if (leaf->source != MLS_LEAF_COMMIT)
		return MLS_ERROR_KEY_PACKAGE;
	if (!(features & MLS_FEATURE_NEW_CREDENTIAL) &&
	    (!mls_bytes_equal(leaf->credential.raw, old->credential.raw) ||
	     !mls_bytes_equal(leaf->signature_key, old->signature_key)))
		return MLS_ERROR_KEY_PACKAGE;
	if (key_in_tree(tree, leaf->encryption_key))
		return MLS_ERROR_DUPLICATE;
	return mls_leaf_check(leaf, group_id, sender);
}

int mls_path_merge(struct mls_tree *tree, uint32_t sender, const struct mls_path_view *path,
		   struct mls_bytes group_id, unsigned features)
{
	struct mls_reader nodes = mls_reader(path->nodes);
	struct mls_bytes keys[MLS_MAX_LEVELS];
	struct mls_path_node_view node;
	struct mls_filtered filtered;
	uint8_t hash[MLS_HASH_BYTES];
	struct mls_leaf *leaf;
	size_t n = 0, hash_len;
	int error = check_path_leaf(tree, sender, &path->leaf, group_id, features);

	mls_path_filter(tree, sender, &filtered);
	while (error == MLS_OK && mls_reader_more(&nodes)) {
		mls_read_path_node(&nodes, &node);
		if (n == filtered.n)
			error = MLS_ERROR_TREE;
		else
			error = mls_p256_check(node.encryption_key);
		if (error == MLS_OK && key_in_tree(tree, node.encryption_key))
			error = MLS_ERROR_DUPLICATE;
		if (error == MLS_OK)
			keys[n++] = node.encryption_key;
	}
	if (error == MLS_OK && n != filtered.n)
		error = MLS_ERROR_TREE;
	if (error == MLS_OK)
		error = set_parents(tree, sender, &filtered, keys, hash, &hash_len);
	if (error == MLS_OK && !mls_bytes_equal(path->leaf.parent_hash, mls_bytes(hash, hash_len)))
		error = MLS_ERROR_TREE;
	if (error == MLS_OK)
		error = mls_leaf_create(&leaf, path->leaf.raw);
	if (error != MLS_OK)
		return error;
	mls_tree_set_leaf(tree, sender, leaf);
	mls_leaf_unref(leaf);
	return MLS_OK;
}

/* Which node of a resolution do we hold the private key of? NULL if none. */
static const uint8_t *held_key(const struct mls_private *private, const uint32_t *nodes, size_t n,
			       size_t *at)
{
	for (size_t i = 0; i < n; i++) {
		unsigned level = mls_node_level(nodes[i]);

		if (mls_node_covers(nodes[i], 2 * private->leaf) && private->have[level]) {
			*at = i;
			return private->key[level];
		}
	}
	return NULL;
}

/* Derives the keys of the nodes given, bottom up, from the path secret of the first; all must be
 * the tree's. secret ends as that which would follow. */
static int climb(const struct mls_tree *tree, const uint32_t *nodes, size_t n,
		 uint8_t secret[MLS_HASH_BYTES], struct mls_private *private)
{
	uint8_t public_key[MLS_PUBLIC_KEY_BYTES];
	int error = MLS_OK;

	for (size_t k = 0; k < n && error == MLS_OK; k++) {
		unsigned level = mls_node_level(nodes[k]);

		error = node_pair(secret, private->key[level], public_key);
		if (error == MLS_OK && !mls_bytes_equal(mls_tree_key(tree, nodes[k]),
							mls_bytes(public_key, sizeof(public_key))))
			error = MLS_ERROR_TREE;
		private->have[level] = error == MLS_OK;
		if (error == MLS_OK)
			error = mls_derive_secret(secret, "path", secret);
	}
	return error;
}

/* The i-th ciphertext; each node must have exactly one for each of its recipients. */
static int pick_ciphertext(const struct mls_path_node_view *node, size_t want_count, size_t i,
			   struct mls_hpke_view *out)
{
	struct mls_reader r = mls_reader(node->ciphertexts);
	struct mls_hpke_view each;
	size_t n = 0;

	for (; mls_reader_more(&r); n++) {
		mls_read_hpke(&r, &each);
		if (n == i)
			*out = each;
	}
	return n == want_count ? MLS_OK : MLS_ERROR_TREE;
}

int mls_path_open(struct mls_tree *tree, uint32_t sender, const struct mls_path_view *path,
		  struct mls_bytes context, const uint8_t *is_new, struct mls_private *private,
		  uint8_t commit_secret[MLS_HASH_BYTES])
{
	size_t room = 2 * (size_t)tree->n_leaves, n, at = SIZE_MAX, from = SIZE_MAX;
	uint32_t *resolution = mls_alloc_array(room, sizeof(*resolution));
	struct mls_reader nodes = mls_reader(path->nodes);
	struct mls_buffer secret = {NULL, 0};
	struct mls_path_node_view node;
	struct mls_hpke_view ours = {{NULL, 0}, {NULL, 0}};
	struct mls_bytes public_key = {NULL, 0};
	struct mls_filtered filtered;
	const uint8_t *private_key = NULL;
	int error = MLS_OK;

	if (!resolution)
		return MLS_ERROR_NOMEM;
	mls_path_filter(tree, sender, &filtered);
	for (size_t k = 0; k < filtered.n && error == MLS_OK; k++) {
		mls_read_path_node(&nodes, &node);
		n = old_resolution(tree, filtered.copath[k], is_new, resolution);
		at = SIZE_MAX;
		if (mls_node_covers(filtered.copath[k], 2 * private->leaf)) {
			from = k;
			private_key = held_key(private, resolution, n, &at);
			if (private_key)
				public_key = mls_tree_key(tree, resolution[at]);
		}
		error = pick_ciphertext(&node, n, at, &ours);
	}
	if (error == MLS_OK && (!private_key || public_key.len != MLS_PUBLIC_KEY_BYTES))
		error = MLS_ERROR_TREE;
	if (error == MLS_OK)
		error = mls_hpke_open(private_key, public_key.data, "UpdatePathNode", context,
				      ours.kem_output, ours.ciphertext, &secret);
	if (error == MLS_OK && secret.len != MLS_HASH_BYTES)
		error = MLS_ERROR_DECRYPT;
	mls_private_prune(private, tree);
	if (error == MLS_OK)
		error = climb(tree, filtered.node + from, filtered.n - from, secret.data, private);
	if (error == MLS_OK)
		memcpy(commit_secret, secret.data, MLS_HASH_BYTES);
	mls_buffer_clear(&secret);
	mls_free(resolution, room * sizeof(*resolution));
	return error;
}

int mls_path_adopt(const struct mls_tree *tree, uint32_t sender, struct mls_bytes path_secret,
		   struct mls_private *private)
{
	uint32_t nodes[MLS_MAX_LEVELS], node = 2 * private->leaf;
	uint8_t secret[MLS_HASH_BYTES];
	size_t n = 0;
	int error;

	if (path_secret.len != sizeof(secret) || sender == private->leaf)
		return MLS_ERROR_TREE;
	/* From the common ancestor up, what is not blank is the sender's filtered path: it has
	 * just been set, and all else on its direct path blanked. */
	while (node != mls_node_root(tree->n_leaves)) {
		node = mls_node_parent(node);
		if (!mls_node_covers(node, 2 * sender))
			continue;
		if (n == 0 && !mls_tree_occupied(tree, node))
			return MLS_ERROR_TREE;
		if (mls_tree_occupied(tree, node))
			nodes[n++] = node;
	}
	memcpy(secret, path_secret.data, sizeof(secret));
	error = climb(tree, nodes, n, secret, private);
	OPENSSL_cleanse(secret, sizeof(secret));
	return error;
}
