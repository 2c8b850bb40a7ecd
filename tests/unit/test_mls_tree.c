/* SPDX-License-Identifier: MIT
 *
 * Ratchet trees: growth and truncation, resolution, hash cache, and every rule of validation
 * broken on its own in a tree that real members made.
 */
#include "mls_play.h"

static struct play play;

/* A clone of the tree of a group of nine with blanks, unmerged leaves and three paths. */
static struct mls_tree *grown(void)
{
	struct mls_tree *tree;

	play_group(&play, 8, MLS_FEATURE_EMPTY_COMMIT);
	for (int i = 0; i < 8; i += 3)
		play_epoch(&play, i, NULL, 0, NULL, 0);
	play_epoch(&play, 1, &(int){5}, 1, NULL, 0);
	play_epoch(&play, 2, NULL, 0, (int[]){10, 11}, 2);
	MLS(mls_tree_clone(&tree, play.players[0].group->tree));
	return tree;
}

static int check(struct mls_tree *tree)
{
	return mls_tree_check(tree, mls_bytes(play.group_id, 8), 0);
}

static struct mls_parent *parent_of(struct mls_tree *tree, uint32_t node)
{
	CHECK(tree->parents[node / 2]);
	return tree->parents[node / 2];
}

/* A non-blank parent with unmerged leaves. */
static uint32_t find_unmerged(const struct mls_tree *tree)
{
	for (uint32_t node = 1; node < 2 * tree->n_leaves - 1; node += 2)
		if (tree->parents[node / 2] && tree->parents[node / 2]->n_unmerged)
			return node;
	UNIT_FAIL("no parent has unmerged leaves");
}

static uint32_t find_parent(const struct mls_tree *tree)
{
	for (uint32_t node = 1; node < 2 * tree->n_leaves - 1; node += 2)
		if (tree->parents[node / 2])
			return node;
	UNIT_FAIL("no parent");
}

static void replace(struct mls_tree *tree, uint32_t node, struct mls_bytes key,
		    struct mls_bytes hash, const uint32_t *unmerged, size_t n)
{
	struct mls_parent *parent;

	MLS(mls_parent_create(&parent, key, hash, unmerged, n));
	mls_tree_set_parent(tree, node, parent);
}

static void done(struct mls_tree *tree)
{
	mls_tree_destroy(tree);
	play_end(&play);
}

static void test_serialised_and_read_again(void)
{
	uint8_t a[32], b[32];
	struct mls_tree *tree = grown(), *again;
	struct mls_writer w = {0};

	MLS(check(tree));
	mls_tree_write(tree, &w);
	MLS(mls_tree_read(&again, mls_written(&w)));
	CHECK_INT(again->n_leaves, tree->n_leaves);
	MLS(check(again));
	MLS(mls_tree_hash(tree, mls_node_root(tree->n_leaves), a));
	MLS(mls_tree_hash(again, mls_node_root(again->n_leaves), b));
	CHECK_MEM(a, b, 32);
	mls_tree_destroy(again);
	for (size_t i = 0; i < w.len; i++)
		CHECK(mls_tree_read(&again, mls_bytes(w.data, i)) != MLS_OK);
	mls_writer_clear(&w);
	done(tree);
}

/* The cached hashes are those of a tree hashed afresh. */
static void test_hash_cache(void)
{
	struct mls_tree *tree = grown();
	uint8_t a[32], b[32];

	MLS(mls_tree_hash(tree, mls_node_root(tree->n_leaves), a));
	memset(tree->hashed, 0, 2 * tree->n_leaves - 1);
	MLS(mls_tree_hash(tree, mls_node_root(tree->n_leaves), b));
	CHECK_MEM(a, b, 32);
	mls_tree_remove(tree, 1);
	MLS(mls_tree_hash(tree, mls_node_root(tree->n_leaves), a));
	CHECK(memcmp(a, b, 32) != 0);
	memset(tree->hashed, 0, 2 * tree->n_leaves - 1);
	MLS(mls_tree_hash(tree, mls_node_root(tree->n_leaves), b));
	CHECK_MEM(a, b, 32);
	done(tree);
}

static void test_truncation_and_growth(void)
{
	struct mls_tree *tree = grown();
	struct mls_leaf *leaf = mls_leaf_ref(tree->leaves[0]);
	uint32_t index;

	for (uint32_t i = tree->n_leaves; i-- > 2;)
		mls_tree_remove(tree, i);
	MLS(mls_tree_truncate(tree));
	CHECK_INT(tree->n_leaves, 2);
	MLS(mls_tree_truncate(tree));
	CHECK_INT(tree->n_leaves, 2);
	mls_tree_remove(tree, 0); /* a blank on the left does not shrink it */
	MLS(mls_tree_truncate(tree));
	CHECK_INT(tree->n_leaves, 2);
	MLS(mls_tree_add(tree, leaf, &index));
	CHECK_INT(index, 0); /* leftmost blank first */
	MLS(mls_tree_add(tree, leaf, &index));
	CHECK_INT(index, 2);
	CHECK_INT(tree->n_leaves, 4);
	while (tree->n_leaves < MLS_MAX_LEAVES || index < MLS_MAX_LEAVES - 1)
		MLS(mls_tree_add(tree, leaf, &index));
	MLS_FAILS(mls_tree_add(tree, leaf, &index), MLS_ERROR_LIMIT);
	mls_leaf_unref(leaf);
	done(tree);
}

static void test_tree_hash_of_another_tree(void)
{
	struct mls_bytes nothing = {NULL, 0};
	struct mls_tree *tree;

	MLS_FAILS(mls_tree_read(&tree, nothing), MLS_ERROR_PARSE);
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x00", 1)), MLS_ERROR_TREE);     /* no node */
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x01\x00", 2)), MLS_ERROR_TREE); /* blank end */
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x02\x01\x02", 3)), MLS_ERROR_PARSE);
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x02\x01\x03", 3)), MLS_ERROR_PARSE);
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x03\x00\x01\x01", 4)), MLS_ERROR_PARSE);
	/* a parent at node 1 with unmerged leaf 2, which is not below it; then twice leaf 0 */
	MLS_FAILS(mls_tree_read(&tree,
				mls_bytes("\x0a\x00\x01\x02\x00\x00\x04\x00\x00\x00\x02", 11)),
		  MLS_ERROR_TREE);
	MLS_FAILS(mls_tree_read(&tree, mls_bytes("\x0e\x00\x01\x02\x00\x00\x08\x00\x00\x00\x00"
						 "\x00\x00\x00\x00",
						 15)),
		  MLS_ERROR_TREE);
	CHECK_INT(mls_alloc_live(), 0);
}

/* Blank nodes cost a byte each: a wide tree must be refused before it costs us memory. */
static void test_tree_wider_than_allowed(void)
{
	static uint8_t blanks[2 * MLS_MAX_LEAVES + 64];
	struct mls_writer w = {0};
	struct mls_tree *tree;

	blanks[sizeof(blanks) - 1] = 1;
	mls_write_vector(&w, mls_bytes(blanks, sizeof(blanks)));
	MLS_FAILS(mls_tree_read(&tree, mls_written(&w)), MLS_ERROR_LIMIT);
	mls_writer_clear(&w);
}

static void test_parent_hash_broken(void)
{
	struct mls_tree *tree = grown();
	uint32_t node = find_parent(tree);
	struct mls_parent *old = parent_of(tree, node);
	uint8_t private[32], key[65];

	MLS(mls_p256_generate(private, key));
	replace(tree, node, mls_bytes(key, 65), old->parent_hash, old->unmerged, old->n_unmerged);
	MLS_FAILS(check(tree), MLS_ERROR_TREE);
	MLS_FAILS(mls_tree_check_parent_hashes(tree), MLS_ERROR_TREE);
	done(tree);
}

static void test_parent_key_not_on_the_curve(void)
{
	struct mls_tree *tree = grown();
	uint32_t node = find_parent(tree);
	struct mls_parent *old = parent_of(tree, node);
	uint8_t key[65];

	memcpy(key, old->encryption_key.data, 65);
	key[64] ^= 1;
	replace(tree, node, mls_bytes(key, 65), old->parent_hash, old->unmerged, old->n_unmerged);
	MLS_FAILS(check(tree), MLS_ERROR_KEY);
	done(tree);
}

/* A parent with a leaf's key: whoever holds one must not hold the other. */
static void test_key_of_a_leaf_in_a_parent(void)
{
	struct mls_tree *tree = grown();
	uint32_t node = find_parent(tree);
	struct mls_parent *old = parent_of(tree, node);

	replace(tree, node, tree->leaves[3]->view.encryption_key, old->parent_hash, old->unmerged,
		old->n_unmerged);
	MLS_FAILS(check(tree), MLS_ERROR_DUPLICATE);
	done(tree);
}

static void test_one_leaf_twice(void)
{
	struct mls_tree *tree = grown();
	uint32_t index;

	MLS(mls_tree_add(tree, tree->leaves[2], &index));
	MLS_FAILS(check(tree), MLS_ERROR_DUPLICATE);
	done(tree);
}

static void test_unmerged_leaf_missing_or_extra(void)
{
	struct mls_tree *tree = grown();
	uint32_t node = find_unmerged(tree), first, all[MLS_MAX_LEAVES];
	struct mls_parent *old = parent_of(tree, node);
	size_t n = old->n_unmerged;

	/* left out: the parent hash does not fit any more */
	replace(tree, node, old->encryption_key, old->parent_hash, NULL, 0);
	CHECK_INT(check(tree), MLS_ERROR_TREE);
	mls_tree_destroy(tree);
	play_end(&play);

	/* one that is blank */
	tree = grown();
	node = find_unmerged(tree);
	old = parent_of(tree, node);
	n = old->n_unmerged;
	memcpy(all, old->unmerged, n * sizeof(all[0]));
	mls_tree_set_leaf(tree, all[0], NULL);
	MLS_FAILS(check(tree), MLS_ERROR_TREE);
	mls_tree_destroy(tree);
	play_end(&play);

	/* one that the nodes in between do not list */
	tree = grown();
	first = mls_node_root(tree->n_leaves);
	while (!tree->parents[first / 2])
		first = mls_node_left(first);
	old = parent_of(tree, first);
	all[0] = mls_node_first(first) / 2;
	replace(tree, first, old->encryption_key, old->parent_hash, all, 1);
	CHECK_INT(check(tree), MLS_ERROR_TREE);
	done(tree);
}

/* Leaves of a path and of updates are bound to group and place. */
static void test_leaf_in_another_place_or_group(void)
{
	struct mls_tree *tree = grown();
	struct mls_leaf *moved = NULL;
	uint32_t to = 0;

	for (uint32_t i = 0; i < tree->n_leaves && !moved; i++)
		if (tree->leaves[i] && tree->leaves[i]->view.source == MLS_LEAF_COMMIT)
			moved = tree->leaves[i];
	CHECK(moved);
	MLS_FAILS(mls_tree_check(tree, mls_text("another group"), 0), MLS_ERROR_SIGNATURE);
	while (tree->leaves[to] == moved)
		to++;
	MLS_FAILS(mls_leaf_check(&moved->view, mls_bytes(play.group_id, 8), to),
		  MLS_ERROR_SIGNATURE);
	done(tree);
}

/* The path secret of a Welcome must lead to the keys in the tree. */
static void test_path_secret_that_does_not_fit(void)
{
	struct mls_private private = {.leaf = 1};
	struct mls_tree *tree = grown();
	uint8_t secret[32] = {1};

	MLS_FAILS(mls_path_adopt(tree, 1, mls_bytes(secret, 32), &private), MLS_ERROR_TREE);
	MLS_FAILS(mls_path_adopt(tree, 0, mls_bytes(secret, 31), &private), MLS_ERROR_TREE);
	MLS_FAILS(mls_path_adopt(tree, 0, mls_bytes(secret, 32), &private), MLS_ERROR_TREE);
	for (unsigned i = 0; i < MLS_MAX_LEVELS; i++)
		CHECK(!private.have[i]);
	done(tree);
}

int main(void)
{
	UNIT(test_serialised_and_read_again);
	UNIT(test_hash_cache);
	UNIT(test_truncation_and_growth);
	UNIT(test_tree_hash_of_another_tree);
	UNIT(test_tree_wider_than_allowed);
	UNIT(test_parent_hash_broken);
	UNIT(test_parent_key_not_on_the_curve);
	UNIT(test_key_of_a_leaf_in_a_parent);
	UNIT(test_one_leaf_twice);
	UNIT(test_unmerged_leaf_missing_or_extra);
	UNIT(test_leaf_in_another_place_or_group);
	UNIT(test_path_secret_that_does_not_fit);
	return unit_done();
}
