/* SPDX-License-Identifier: MIT
 *
 * tree_check.c - validation of ratchet trees.
 */
#include "discord/mls/tree_check.h"

#include <stdlib.h>

#include "discord/mls/alloc.h"

/* ---- uniqueness --------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct mls_bytes *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len ? memcmp(x->data, y->data, x->len) : 0;
}

static bool all_different(struct mls_bytes *list, size_t n)
{
	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 1; i < n; i++)
		if (compare(&list[i - 1], &list[i]) == 0)
			return false;
	return true;
}

int mls_tree_check_unique(const struct mls_tree *tree, unsigned features)
{
	size_t room = 2 * (size_t)tree->n_leaves, n = 0;
	struct mls_bytes *list = mls_alloc_array(room, sizeof(*list));
	bool unique;

	if (!list)
		return MLS_ERROR_NOMEM;
	for (uint32_t node = 0; node <= 2 * (tree->n_leaves - 1); node++)
		if (mls_tree_occupied(tree, node))
			list[n++] = mls_tree_key(tree, node);
	unique = all_different(list, n);
	n = 0;
	for (uint32_t i = 0; i < tree->n_leaves; i++)
		if (tree->leaves[i])
			list[n++] = tree->leaves[i]->view.signature_key;
	unique = unique && all_different(list, n);
	n = 0;
	for (uint32_t i = 0; i < tree->n_leaves; i++)
		if (tree->leaves[i])
			list[n++] = tree->leaves[i]->view.credential.identity;
	if (!(features & MLS_FEATURE_SAME_IDENTITY))
		unique = unique && all_different(list, n);
	mls_free(list, room * sizeof(*list));
	return unique ? MLS_OK : MLS_ERROR_DUPLICATE;
}

/* ---- parent hashes ------------------------------------------------------------------------ */

struct scratch {
	uint32_t *nodes;  /* a resolution */
	uint8_t *without; /* by leaf */
	uint32_t n_leaves;
};

static struct mls_bytes node_parent_hash(const struct mls_tree *tree, uint32_t node)
{
	const struct mls_leaf_view *leaf;

	if (!mls_node_is_leaf(node))
		return tree->parents[node / 2]->parent_hash;
	leaf = &tree->leaves[node / 2]->view;
	return leaf->source == MLS_LEAF_COMMIT ? leaf->parent_hash : mls_bytes(NULL, 0);
}

/* Is there a D in the resolution of child whose parent hash is that of the parent with the other
 * child as sibling, and are all others there unmerged at the parent, and the unmerged under child
 * all there? *found is left alone if not. */
static int link_child(struct mls_tree *tree, uint32_t node, uint32_t child, uint32_t sibling,
		      struct scratch *s, bool *found)
{
	const struct mls_parent *parent = tree->parents[node / 2];
	uint32_t first = mls_node_first(child) / 2, last = mls_node_last(child) / 2;
	uint8_t original[MLS_HASH_BYTES], want[MLS_HASH_BYTES];
	size_t n = mls_tree_resolution(tree, child, s->nodes), unmerged = 0, matching = 0;
	bool linked = false;
	int error;

	memset(s->without, 0, s->n_leaves);
	for (size_t i = 0; i < parent->n_unmerged; i++) {
		s->without[parent->unmerged[i]] = 1;
		if (parent->unmerged[i] >= first && parent->unmerged[i] <= last)
			unmerged++;
	}
	error = mls_tree_hash_without(tree, sibling, s->without, original);
	if (error == MLS_OK)
		error = mls_parent_hash(parent, original, want);
	if (error != MLS_OK)
		return error;
	for (size_t i = 0; i < n; i++) {
		uint32_t d = s->nodes[i];

		if (mls_node_is_leaf(d) && s->without[d / 2])
			matching++;
		else if (mls_bytes_equal(node_parent_hash(tree, d), mls_bytes(want, sizeof(want))))
			linked = true;
	}
	/* the resolution is D and the unmerged leaves, no more and no fewer */
	if (linked && matching == unmerged && n == unmerged + 1)
		*found = true;
	return MLS_OK;
}

static int scratch_make(struct scratch *s, uint32_t n_leaves)
{
	s->n_leaves = n_leaves;
	s->nodes = mls_alloc_array(2 * (size_t)n_leaves, sizeof(*s->nodes));
	s->without = mls_alloc(n_leaves);
	return s->nodes && s->without ? MLS_OK : MLS_ERROR_NOMEM;
}

static void scratch_free(struct scratch *s)
{
	mls_free(s->nodes, 2 * (size_t)s->n_leaves * sizeof(*s->nodes));
	mls_free(s->without, s->n_leaves);
}

int mls_tree_check_parent_hashes(struct mls_tree *tree)
{
	struct scratch s = {0};
	int error = scratch_make(&s, tree->n_leaves);

	for (uint32_t node = 1; error == MLS_OK && node < 2 * tree->n_leaves - 1; node += 2) {
		uint32_t left = mls_node_left(node), right = mls_node_right(node);
		bool found = false;

		if (!mls_tree_occupied(tree, node))
			continue;
		error = link_child(tree, node, left, right, &s, &found);
		if (error == MLS_OK && !found)
			error = link_child(tree, node, right, left, &s, &found);
		if (error == MLS_OK && !found)
			error = MLS_ERROR_TREE;
	}
	scratch_free(&s);
	return error;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static bool parent_lists(const struct mls_parent *parent, uint32_t leaf)
{
	for (size_t i = 0; i < parent->n_unmerged; i++)
		if (parent->unmerged[i] == leaf)
			return true;
	return false;
}

/* Each unmerged leaf of a node is there, and unmerged in every node between as well: who does not
 * know the key above cannot know one below either, or would have merged. */
static int check_unmerged(const struct mls_tree *tree, uint32_t node)
{
	const struct mls_parent *parent = tree->parents[node / 2];

	for (size_t i = 0; i < parent->n_unmerged; i++) {
		uint32_t leaf = parent->unmerged[i], x = 2 * leaf;

		if (!tree->leaves[leaf])
			return MLS_ERROR_TREE;
		for (x = mls_node_parent(x); x != node; x = mls_node_parent(x))
			if (tree->parents[x / 2] && !parent_lists(tree->parents[x / 2], leaf))
				return MLS_ERROR_TREE;
	}
	return MLS_OK;
}

int mls_tree_check(struct mls_tree *tree, struct mls_bytes group_id, unsigned features)
{
	int error = MLS_OK;

	/* cheapest first: a forged tree should cost its sender more than us */
	for (uint32_t node = 1; error == MLS_OK && node < 2 * tree->n_leaves - 1; node += 2) {
		if (!tree->parents[node / 2])
			continue;
		error = check_unmerged(tree, node);
		if (error == MLS_OK)
			error = mls_p256_check(tree->parents[node / 2]->encryption_key);
	}
	if (error == MLS_OK)
		error = mls_tree_check_unique(tree, features);
	if (error == MLS_OK)
		error = mls_tree_check_parent_hashes(tree);
	for (uint32_t i = 0; error == MLS_OK && i < tree->n_leaves; i++)
		if (tree->leaves[i])
			error = mls_leaf_check(&tree->leaves[i]->view, group_id, i);
	return error;
}
