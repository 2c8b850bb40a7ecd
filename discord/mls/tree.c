/* SPDX-License-Identifier: MIT
 *
 * tree.c - nodes of the ratchet tree and changes to it.
 */
#include "discord/mls/tree.h"

#include "discord/mls/alloc.h"

/* ---- nodes -------------------------------------------------------------------------------- */

int mls_leaf_create(struct mls_leaf **out, struct mls_bytes raw)
{
	struct mls_leaf *leaf = mls_alloc(sizeof(*leaf));
	struct mls_reader r;
	int error;

	if (!leaf)
		return MLS_ERROR_NOMEM;
	atomic_init(&leaf->refs, 1);
	error = mls_buffer_copy(&leaf->raw, raw);
	if (error == MLS_OK) {
		r = mls_reader(mls_view(&leaf->raw));
		mls_read_leaf(&r, &leaf->view);
		error = mls_reader_finish(&r);
	}
	if (error != MLS_OK) {
		mls_leaf_unref(leaf);
		return error;
	}
	*out = leaf;
	return MLS_OK;
}

struct mls_leaf *mls_leaf_ref(struct mls_leaf *leaf)
{
	if (leaf)
		atomic_fetch_add(&leaf->refs, 1);
	return leaf;
}

void mls_leaf_unref(struct mls_leaf *leaf)
{
	if (!leaf || atomic_fetch_sub(&leaf->refs, 1) != 1)
		return;
	mls_buffer_clear(&leaf->raw);
	mls_free(leaf, sizeof(*leaf));
}

int mls_parent_create(struct mls_parent **out, struct mls_bytes encryption_key,
		      struct mls_bytes parent_hash, const uint32_t *unmerged, size_t n_unmerged)
{
	size_t list = n_unmerged * sizeof(*unmerged);
	size_t size = sizeof(struct mls_parent) + list + encryption_key.len + parent_hash.len;
	struct mls_parent *parent = mls_alloc(size);
	uint8_t *at;

	if (!parent)
		return MLS_ERROR_NOMEM;
	atomic_init(&parent->refs, 1);
	parent->size = size;
	at = (uint8_t *)(parent + 1);
	if (list)
		memcpy(at, unmerged, list);
	parent->unmerged = (const uint32_t *)(parent + 1);
	parent->n_unmerged = n_unmerged;
	at += list;
	if (encryption_key.len)
		memcpy(at, encryption_key.data, encryption_key.len);
	parent->encryption_key = mls_bytes(at, encryption_key.len);
	at += encryption_key.len;
	if (parent_hash.len)
		memcpy(at, parent_hash.data, parent_hash.len);
	parent->parent_hash = mls_bytes(at, parent_hash.len);
	*out = parent;
	return MLS_OK;
}

void mls_parent_unref(struct mls_parent *parent)
{
	if (parent && atomic_fetch_sub(&parent->refs, 1) == 1)
		mls_free(parent, parent->size);
}

/* ---- trees -------------------------------------------------------------------------------- */

static void tree_free_arrays(struct mls_tree *tree)
{
	size_t n = tree->n_leaves, nodes = 2 * n;

	mls_free(tree->leaves, n * sizeof(struct mls_leaf *));
	mls_free(tree->parents, n * sizeof(struct mls_parent *));
	mls_free(tree->hashes, nodes * sizeof(*tree->hashes));
	mls_free(tree->hashed, nodes);
}

static int tree_make_arrays(struct mls_tree *tree, uint32_t n_leaves)
{
	struct mls_tree made = {.n_leaves = n_leaves};
	size_t n = n_leaves, nodes = 2 * n;

	if (n_leaves > MLS_MAX_LEAVES)
		return MLS_ERROR_LIMIT;
	made.leaves = mls_alloc_array(n, sizeof(struct mls_leaf *));
	made.parents = mls_alloc_array(n, sizeof(struct mls_parent *));
	made.hashes = mls_alloc_array(nodes, sizeof(*made.hashes));
	made.hashed = mls_alloc(nodes);
	if (!made.leaves || !made.parents || !made.hashes || !made.hashed) {
		tree_free_arrays(&made);
		return MLS_ERROR_NOMEM;
	}
	*tree = made;
	return MLS_OK;
}

int mls_tree_create(struct mls_tree **out, uint32_t n_leaves)
{
	struct mls_tree *tree = mls_alloc(sizeof(*tree));
	int error;

	if (!tree)
		return MLS_ERROR_NOMEM;
	error = tree_make_arrays(tree, n_leaves);
	if (error != MLS_OK) {
		mls_free(tree, sizeof(*tree));
		return error;
	}
	*out = tree;
	return MLS_OK;
}

int mls_tree_clone(struct mls_tree **out, const struct mls_tree *tree)
{
	struct mls_tree *copy;
	int error = mls_tree_create(&copy, tree->n_leaves);

	if (error != MLS_OK)
		return error;
	for (uint32_t i = 0; i < tree->n_leaves; i++) {
		copy->leaves[i] = mls_leaf_ref(tree->leaves[i]);
		copy->parents[i] = tree->parents[i];
		if (copy->parents[i])
			atomic_fetch_add(&copy->parents[i]->refs, 1);
	}
	memcpy(copy->hashes, tree->hashes, 2 * (size_t)tree->n_leaves * sizeof(*tree->hashes));
	memcpy(copy->hashed, tree->hashed, 2 * (size_t)tree->n_leaves);
	*out = copy;
	return MLS_OK;
}

void mls_tree_destroy(struct mls_tree *tree)
{
	if (!tree)
		return;
	for (uint32_t i = 0; i < tree->n_leaves; i++) {
		mls_leaf_unref(tree->leaves[i]);
		mls_parent_unref(tree->parents[i]);
	}
	tree_free_arrays(tree);
	mls_free(tree, sizeof(*tree));
}

/* Moves the nodes to arrays of another width; leaves beyond it must be blank. */
static int tree_resize(struct mls_tree *tree, uint32_t n_leaves)
{
	uint32_t kept = tree->n_leaves < n_leaves ? tree->n_leaves : n_leaves;
	struct mls_tree wider;
	int error = tree_make_arrays(&wider, n_leaves);

	if (error != MLS_OK)
		return error;
	memcpy(wider.leaves, tree->leaves, kept * sizeof(struct mls_leaf *));
	memcpy(wider.parents, tree->parents, (kept - 1) * sizeof(struct mls_parent *));
	memcpy(wider.hashes, tree->hashes, (2 * (size_t)kept - 1) * sizeof(*tree->hashes));
	memcpy(wider.hashed, tree->hashed, 2 * (size_t)kept - 1);
	tree_free_arrays(tree);
	*tree = wider;
	return MLS_OK;
}

bool mls_tree_occupied(const struct mls_tree *tree, uint32_t node)
{
	return mls_node_is_leaf(node) ? tree->leaves[node / 2] != NULL
				      : tree->parents[node / 2] != NULL;
}

struct mls_bytes mls_tree_key(const struct mls_tree *tree, uint32_t node)
{
	return mls_node_is_leaf(node) ? tree->leaves[node / 2]->view.encryption_key
				      : tree->parents[node / 2]->encryption_key;
}

bool mls_tree_subtree_empty(const struct mls_tree *tree, uint32_t node)
{
	for (uint32_t x = mls_node_first(node); x <= mls_node_last(node); x++)
		if (mls_tree_occupied(tree, x))
			return false;
	return true;
}

size_t mls_tree_resolution(const struct mls_tree *tree, uint32_t node, uint32_t *out)
{
	const struct mls_parent *parent;
	size_t n = 0;

	if (mls_tree_occupied(tree, node)) {
		out[n++] = node;
		if (mls_node_is_leaf(node))
			return n;
		parent = tree->parents[node / 2];
		for (size_t i = 0; i < parent->n_unmerged; i++)
			out[n++] = 2 * parent->unmerged[i];
		return n;
	}
	if (mls_node_is_leaf(node))
		return 0;
	n = mls_tree_resolution(tree, mls_node_left(node), out);
	return n + mls_tree_resolution(tree, mls_node_right(node), out + n);
}

/* ---- changes ------------------------------------------------------------------------------ */

static void forget_hashes(struct mls_tree *tree, uint32_t node)
{
	tree->hashed[node] = 0;
	while (node != mls_node_root(tree->n_leaves)) {
		node = mls_node_parent(node);
		tree->hashed[node] = 0;
	}
}

void mls_tree_set_leaf(struct mls_tree *tree, uint32_t index, struct mls_leaf *leaf)
{
	struct mls_leaf *old = tree->leaves[index];

	tree->leaves[index] = mls_leaf_ref(leaf);
	mls_leaf_unref(old);
	forget_hashes(tree, 2 * index);
}

void mls_tree_set_parent(struct mls_tree *tree, uint32_t node, struct mls_parent *parent)
{
	mls_parent_unref(tree->parents[node / 2]);
	tree->parents[node / 2] = parent;
	forget_hashes(tree, node);
}

void mls_tree_blank_path(struct mls_tree *tree, uint32_t index)
{
	uint32_t node = 2 * index;

	forget_hashes(tree, node);
	while (node != mls_node_root(tree->n_leaves)) {
		node = mls_node_parent(node);
		mls_parent_unref(tree->parents[node / 2]);
		tree->parents[node / 2] = NULL;
	}
}

/* Puts a leaf among the unmerged of a parent, in order. */
static int parent_add_unmerged(struct mls_tree *tree, uint32_t node, uint32_t index)
{
	const struct mls_parent *old = tree->parents[node / 2];
	struct mls_parent *parent;
	uint32_t *list;
	size_t n = 0;
	int error;

	list = mls_alloc_array(old->n_unmerged + 1, sizeof(*list));
	if (!list)
		return MLS_ERROR_NOMEM;
	while (n < old->n_unmerged && old->unmerged[n] < index) {
		list[n] = old->unmerged[n];
		n++;
	}
	list[n] = index;
	for (; n < old->n_unmerged; n++)
		list[n + 1] = old->unmerged[n];
	error = mls_parent_create(&parent, old->encryption_key, old->parent_hash, list, n + 1);
	mls_free(list, (n + 1) * sizeof(*list));
	if (error == MLS_OK)
		mls_tree_set_parent(tree, node, parent);
	return error;
}

int mls_tree_add(struct mls_tree *tree, struct mls_leaf *leaf, uint32_t *index)
{
	uint32_t i = 0, node;
	int error = MLS_OK;

	while (i < tree->n_leaves && tree->leaves[i])
		i++;
	if (i == tree->n_leaves)
		error = tree_resize(tree, 2 * tree->n_leaves);
	if (error != MLS_OK)
		return error;
	mls_tree_set_leaf(tree, i, leaf);
	for (node = 2 * i; error == MLS_OK && node != mls_node_root(tree->n_leaves);) {
		node = mls_node_parent(node);
		if (tree->parents[node / 2])
			error = parent_add_unmerged(tree, node, i);
	}
	*index = i;
	return error;
}

void mls_tree_remove(struct mls_tree *tree, uint32_t index)
{
	mls_tree_set_leaf(tree, index, NULL);
	mls_tree_blank_path(tree, index);
}

int mls_tree_truncate(struct mls_tree *tree)
{
	uint32_t used = tree->n_leaves, n = tree->n_leaves;

	while (used > 0 && !tree->leaves[used - 1])
		used--;
	while (n > 1 && n / 2 >= used)
		n /= 2;
	if (n == tree->n_leaves)
		return MLS_OK;
	for (uint32_t i = n - 1; i < tree->n_leaves; i++) {
		mls_parent_unref(tree->parents[i]);
		tree->parents[i] = NULL;
	}
	return tree_resize(tree, n);
}

/* ---- serialised --------------------------------------------------------------------------- */

static int read_parent(struct mls_reader *r, struct mls_parent **out, uint32_t node)
{
	struct mls_bytes key = mls_read_vector(r), hash = mls_read_vector(r);
	struct mls_reader list = mls_read_elements(r);
	uint32_t *unmerged, first = mls_node_first(node) / 2, last = mls_node_last(node) / 2;
	size_t n = 0, size;
	int error;

	if (r->error != MLS_OK)
		return r->error;
	size = mls_reader_left(&list);
	if (size > MLS_MAX_LEAVES * sizeof(*unmerged))
		return MLS_ERROR_LIMIT;
	unmerged = mls_alloc(size);
	if (!unmerged)
		return MLS_ERROR_NOMEM;
	while (mls_reader_more(&list)) {
		uint32_t leaf = mls_read_u32(&list);

		if (list.error == MLS_OK &&
		    (leaf < first || leaf > last || (n && leaf <= unmerged[n - 1])))
			mls_reader_fail(&list, MLS_ERROR_TREE);
		if (list.error == MLS_OK)
			unmerged[n++] = leaf;
	}
	error = list.error;
	if (error == MLS_OK)
		error = mls_parent_create(out, key, hash, unmerged, n);
	mls_free(unmerged, size);
	return error;
}

static int read_node(struct mls_reader *r, struct mls_tree *tree, uint32_t node)
{
	uint8_t type = mls_read_u8(r);

	if (r->error == MLS_OK && type != (mls_node_is_leaf(node) ? 1 : 2))
		return MLS_ERROR_PARSE;
	if (mls_node_is_leaf(node)) {
		struct mls_leaf_view view;

		mls_read_leaf(r, &view);
		return r->error != MLS_OK ? r->error
					  : mls_leaf_create(&tree->leaves[node / 2], view.raw);
	}
	return read_parent(r, &tree->parents[node / 2], node);
}

int mls_tree_read(struct mls_tree **out, struct mls_bytes bytes)
{
	struct mls_reader r = mls_reader(bytes), nodes = mls_read_elements(&r);
	uint32_t n = 0, n_leaves = 1;
	struct mls_tree *tree = NULL;
	bool occupied = false;
	int error = mls_reader_finish(&r);

	if (error == MLS_OK)
		error = mls_tree_create(&tree, n_leaves);
	while (error == MLS_OK && mls_reader_more(&nodes)) {
		if (n == 2 * n_leaves - 1) {
			n_leaves *= 2;
			error = tree_resize(tree, n_leaves);
			if (error != MLS_OK)
				break;
		}
		occupied = mls_read_optional(&nodes);
		if (occupied) {
			/* a node on the way up may be wider than the tree read so far */
			while (mls_node_last(n) > 2 * n_leaves - 2 && error == MLS_OK) {
				n_leaves *= 2;
				error = tree_resize(tree, n_leaves);
			}
			if (error == MLS_OK)
				error = read_node(&nodes, tree, n);
		}
		n++;
	}
	if (error == MLS_OK)
		error = nodes.error;
	if (error == MLS_OK && !occupied)
		error = MLS_ERROR_TREE; /* empty, or a blank at the end */
	if (error != MLS_OK) {
		mls_tree_destroy(tree);
		return error;
	}
	*out = tree;
	return MLS_OK;
}

static void write_parent(const struct mls_parent *parent, struct mls_writer *w)
{
	size_t list;

	mls_write_vector(w, parent->encryption_key);
	mls_write_vector(w, parent->parent_hash);
	list = mls_write_begin(w);
	for (size_t i = 0; i < parent->n_unmerged; i++)
		mls_write_u32(w, parent->unmerged[i]);
	mls_write_end(w, list);
}

void mls_tree_write(const struct mls_tree *tree, struct mls_writer *w)
{
	uint32_t n = 2 * tree->n_leaves - 1;
	size_t nodes = mls_write_begin(w);

	while (n > 0 && !mls_tree_occupied(tree, n - 1))
		n--;
	for (uint32_t node = 0; node < n; node++) {
		bool occupied = mls_tree_occupied(tree, node);

		mls_write_u8(w, occupied);
		if (occupied && mls_node_is_leaf(node)) {
			mls_write_u8(w, 1);
			mls_write_bytes(w, tree->leaves[node / 2]->view.raw);
		} else if (occupied) {
			mls_write_u8(w, 2);
			write_parent(tree->parents[node / 2], w);
		}
	}
	mls_write_end(w, nodes);
}
