/* SPDX-License-Identifier: MIT
 *
 * vec_tree.h - vectors of the ratchet tree and of update paths. Included once by mls-vectors.c.
 */
#ifndef TESTS_VECTORS_VEC_TREE_H
#define TESTS_VECTORS_VEC_TREE_H

#include "discord/mls/path.h"
#include "discord/mls/tree_check.h"
#include "vec.h"

static int vec_root_hash(struct mls_tree *tree, uint8_t out[32])
{
	return mls_tree_hash(tree, mls_node_root(tree->n_leaves), out);
}

/* Keys of another suite, opaque here: only edits and hashes are tried. */
static enum vec_result vec_tree_operations(const cJSON *entry)
{
	struct mls_reader r = mls_reader(vec_hex(entry, "proposal"));
	struct mls_proposal_view proposal;
	struct mls_writer w = {0};
	struct mls_bytes after;
	struct mls_tree *tree;
	struct mls_leaf *leaf;
	uint32_t index = (uint32_t)vec_number(entry, "proposal_sender");
	uint8_t hash[32];

	VEC_OK(mls_tree_read(&tree, vec_hex(entry, "tree_before")));
	VEC_OK(vec_root_hash(tree, hash));
	VEC_CHECK(vec_is(entry, "tree_hash_before", hash, 32));
	mls_read_proposal(&r, &proposal);
	VEC_OK(mls_reader_finish(&r));
	switch (proposal.type) {
	case MLS_PROPOSAL_ADD:
		VEC_OK(mls_leaf_create(&leaf, proposal.key_package.leaf.raw));
		VEC_OK(mls_tree_add(tree, leaf, &index));
		mls_leaf_unref(leaf);
		break;
	case MLS_PROPOSAL_UPDATE:
		VEC_OK(mls_leaf_create(&leaf, proposal.leaf.raw));
		mls_tree_set_leaf(tree, index, leaf);
		mls_tree_blank_path(tree, index);
		mls_leaf_unref(leaf);
		break;
	case MLS_PROPOSAL_REMOVE:
		mls_tree_remove(tree, proposal.removed);
		VEC_OK(mls_tree_truncate(tree));
		break;
	default:
		return vec_fail("proposal of type %u", proposal.type);
	}
	mls_tree_write(tree, &w);
	after = mls_written(&w);
	VEC_CHECK(vec_is(entry, "tree_after", after.data, after.len));
	VEC_OK(vec_root_hash(tree, hash));
	VEC_CHECK(vec_is(entry, "tree_hash_after", hash, 32));
	mls_tree_destroy(tree);
	mls_writer_clear(&w);
	return VEC_PASSED;
}

static enum vec_result vec_tree_validation(const cJSON *entry)
{
	const cJSON *item, *node_item;
	struct mls_writer w = {0};
	struct mls_tree *tree;
	struct mls_bytes again;
	uint32_t node = 0, *resolution;
	uint8_t hash[32];

	VEC_OK(mls_tree_read(&tree, vec_hex(entry, "tree")));
	resolution = (uint32_t *)(void *)vec_alloc(2 * tree->n_leaves * sizeof(*resolution));
	VEC_CHECK(cJSON_GetArraySize(vec_item(entry, "resolutions")) ==
		  (int)(2 * tree->n_leaves - 1));
	cJSON_ArrayForEach(item, vec_item(entry, "resolutions"))
	{
		size_t n = mls_tree_resolution(tree, node++, resolution), i = 0;

		VEC_CHECK(n == (size_t)cJSON_GetArraySize(item));
		cJSON_ArrayForEach(node_item, item)
			VEC_CHECK(resolution[i++] == (uint32_t)node_item->valuedouble);
	}
	node = 0;
	cJSON_ArrayForEach(item, vec_item(entry, "tree_hashes"))
	{
		VEC_OK(mls_tree_hash(tree, node++, hash));
		VEC_CHECK(mls_bytes_equal(vec_unhex(item->valuestring), mls_bytes(hash, 32)));
	}
	VEC_CHECK(node == 2 * tree->n_leaves - 1);
	VEC_OK(mls_tree_check_parent_hashes(tree));
	VEC_OK(mls_tree_check(tree, vec_hex(entry, "group_id"), MLS_FEATURE_ALL));
	mls_tree_write(tree, &w);
	again = mls_written(&w);
	VEC_CHECK(vec_is(entry, "tree", again.data, again.len));
	mls_writer_clear(&w);
	mls_tree_destroy(tree);
	return VEC_PASSED;
}

/* ---- TreeKEM -------------------------------------------------------------------------------- */

/* The private state of one leaf before the paths; false if it is not listed. */
static bool vec_private(const cJSON *entry, uint32_t leaf, struct mls_private *out)
{
	const cJSON *item, *secret;

	memset(out, 0, sizeof(*out));
	out->leaf = leaf;
	cJSON_ArrayForEach(item, vec_item(entry, "leaves_private"))
	{
		if (vec_number(item, "index") != leaf)
			continue;
		memcpy(out->key[0], vec_hex(item, "encryption_priv").data, 32);
		out->have[0] = true;
		cJSON_ArrayForEach(secret, vec_item(item, "path_secrets"))
		{
			unsigned level = mls_node_level((uint32_t)vec_number(secret, "node"));
			uint8_t node_secret[32], public_key[65];

			if (mls_derive_secret(vec_hex(secret, "path_secret").data, "node",
					      node_secret) != MLS_OK ||
			    mls_p256_derive(node_secret, out->key[level], public_key) != MLS_OK)
				return false;
			out->have[level] = true;
		}
		return true;
	}
	return false;
}

static struct mls_bytes vec_path_context(const cJSON *entry, struct mls_tree *tree,
					 struct mls_writer *w)
{
	uint8_t hash[32] = {0};

	vec_root_hash(tree, hash);
	mls_write_group_context(w, vec_hex(entry, "group_id"), vec_number(entry, "epoch"),
				mls_bytes(hash, 32), vec_hex(entry, "confirmed_transcript_hash"),
				mls_bytes(NULL, 0));
	return mls_written(w);
}

/* Every other leaf opens the path (merged into tree) and gets the commit secret. */
static enum vec_result vec_receivers(const cJSON *entry, struct mls_tree *before,
				     struct mls_tree *tree, uint32_t sender,
				     const struct mls_path_view *path, struct mls_bytes context,
				     const uint8_t commit_secret[32], size_t *n)
{
	for (uint32_t leaf = 0; leaf < tree->n_leaves; leaf++) {
		struct mls_private private;
		uint8_t got[32];

		if (leaf == sender || !before->leaves[leaf])
			continue;
		VEC_CHECK(vec_private(entry, leaf, &private));
		VEC_OK(mls_path_open(tree, sender, path, context, NULL, &private, got));
		VEC_CHECK(memcmp(got, commit_secret, 32) == 0);
		(*n)++;
	}
	return VEC_PASSED;
}

/* The path in the vector. */
static enum vec_result vec_given_path(const cJSON *entry, struct mls_tree *before,
				      const cJSON *update)
{
	uint32_t sender = (uint32_t)vec_number(update, "sender");
	struct mls_reader r = mls_reader(vec_hex(update, "update_path"));
	const cJSON *secrets = vec_item(update, "path_secrets");
	struct mls_path_view path;
	struct mls_writer w = {0};
	struct mls_tree *tree;
	struct mls_bytes context;
	enum vec_result result;
	uint8_t hash[32];
	size_t n = 0, want = 0;

	mls_read_path(&r, &path);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_tree_clone(&tree, before));
	VEC_OK(mls_path_merge(tree, sender, &path, vec_hex(entry, "group_id"), MLS_FEATURE_ALL));
	VEC_OK(vec_root_hash(tree, hash));
	VEC_CHECK(vec_is(update, "tree_hash_after", hash, 32));
	context = vec_path_context(entry, tree, &w);
	result = vec_receivers(entry, before, tree, sender, &path, context,
			       vec_hex(update, "commit_secret").data, &n);
	if (result != VEC_PASSED)
		return result;
	for (int i = 0; i < cJSON_GetArraySize(secrets); i++)
		want += cJSON_IsString(cJSON_GetArrayItem(secrets, i));
	VEC_CHECK(n == want);
	/* the secret each leaf is said to find is that of the node where it enters the path */
	for (int i = 0; i < cJSON_GetArraySize(secrets); i++) {
		const cJSON *item = cJSON_GetArrayItem(secrets, i);
		struct mls_private adopted = {.leaf = (uint32_t)i};

		if (cJSON_IsString(item))
			VEC_OK(mls_path_adopt(tree, sender, vec_unhex(item->valuestring),
					      &adopted));
	}
	mls_writer_clear(&w);
	mls_tree_destroy(tree);
	return VEC_PASSED;
}

/* A path of our own for the same sender. */
static enum vec_result vec_own_path(const cJSON *entry, struct mls_tree *before, uint32_t sender)
{
	struct mls_path_secrets secrets;
	struct mls_signature_key *signer = NULL;
	struct mls_private private;
	struct mls_writer w = {0}, context_writer = {0};
	struct mls_path_view path;
	struct mls_tree *ours, *tree;
	struct mls_bytes context;
	struct mls_reader r;
	uint8_t hash[32], made[32];
	enum vec_result result;
	const cJSON *item;
	size_t n = 0;

	cJSON_ArrayForEach(item, vec_item(entry, "leaves_private")) if (vec_number(item, "index") ==
									sender)
		VEC_OK(mls_signature_key_import(&signer, vec_hex(item, "signature_priv").data));
	VEC_CHECK(signer && vec_private(entry, sender, &private));
	VEC_OK(mls_tree_clone(&ours, before));
	VEC_OK(mls_path_make(ours, &private, vec_hex(entry, "group_id"), signer, &secrets));
	context = vec_path_context(entry, ours, &context_writer);
	VEC_OK(mls_path_write(ours, &secrets, sender, context, NULL, &w));
	r = mls_reader(mls_written(&w));
	mls_read_path(&r, &path);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_tree_clone(&tree, before));
	VEC_OK(mls_path_merge(tree, sender, &path, vec_hex(entry, "group_id"), 0));
	VEC_OK(vec_root_hash(ours, made));
	VEC_OK(vec_root_hash(tree, hash));
	VEC_CHECK(memcmp(made, hash, 32) == 0);
	VEC_OK(mls_tree_check_parent_hashes(tree));
	result = vec_receivers(entry, before, tree, sender, &path, context, secrets.commit_secret,
			       &n);
	mls_writer_clear(&w);
	mls_writer_clear(&context_writer);
	mls_tree_destroy(ours);
	mls_tree_destroy(tree);
	mls_signature_key_destroy(signer);
	return result;
}

static enum vec_result vec_treekem(const cJSON *entry)
{
	enum vec_result result = VEC_PASSED;
	struct mls_tree *before;
	const cJSON *item;

	VEC_OK(mls_tree_read(&before, vec_hex(entry, "ratchet_tree")));
	VEC_OK(mls_tree_check(before, vec_hex(entry, "group_id"), MLS_FEATURE_ALL));
	cJSON_ArrayForEach(item, vec_item(entry, "update_paths"))
	{
		result = vec_given_path(entry, before, item);
		if (result == VEC_PASSED)
			result = vec_own_path(entry, before, (uint32_t)vec_number(item, "sender"));
		if (result != VEC_PASSED)
			break;
	}
	mls_tree_destroy(before);
	return result;
}

#endif
