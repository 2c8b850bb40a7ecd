/* SPDX-License-Identifier: MIT
 *
 * apply.c - a list of proposals as a whole: which go together, and what they do to a group
 * (RFC 9420 12.2 and 12.3).
 */
#include "discord/mls/group.h"

void mls_list_clear(struct mls_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->owned[i])
			mls_cached_destroy(list->at[i]);
	list->n = 0;
}

/* Which leaf does an Update or Remove touch? */
static bool touches(const struct mls_cached *proposal, uint32_t *leaf)
{
	switch (proposal->view.type) {
	case MLS_PROPOSAL_UPDATE:
		*leaf = proposal->sender;
		return true;
	case MLS_PROPOSAL_REMOVE:
		*leaf = proposal->view.removed;
		return true;
	default:
		return false;
	}
}

static bool same_psk(const struct mls_cached *a, const struct mls_cached *b)
{
	return a->view.type == MLS_PROPOSAL_PSK && b->view.type == MLS_PROPOSAL_PSK &&
	       mls_bytes_equal(a->view.psk.raw, b->view.psk.raw);
}

static bool same_newcomer(const struct mls_cached *a, const struct mls_cached *b)
{
	return a->view.type == MLS_PROPOSAL_ADD && b->view.type == MLS_PROPOSAL_ADD &&
	       mls_bytes_equal(a->leaf->view.signature_key, b->leaf->view.signature_key);
}

/* The rules about pairs; the rest falls out of uniqueness in the resulting tree. */
static int check_together(const struct mls_list *list, uint32_t committer)
{
	uint8_t touched[MLS_MAX_LEAVES] = {0};
	bool extensions = false;

	for (size_t i = 0; i < list->n; i++) {
		const struct mls_cached *proposal = list->at[i];
		uint32_t leaf;

		if (touches(proposal, &leaf)) {
			if (leaf == committer || touched[leaf])
				return MLS_ERROR_PROPOSAL_LIST;
			touched[leaf] = 1;
		}
		if (proposal->view.type == MLS_PROPOSAL_GROUP_EXTENSIONS) {
			if (extensions)
				return MLS_ERROR_PROPOSAL_LIST;
			extensions = true;
		}
		for (size_t j = 0; j < i; j++) {
			if (same_psk(proposal, list->at[j]))
				return MLS_ERROR_PROPOSAL_LIST;
			if (same_newcomer(proposal, list->at[j]))
				return MLS_ERROR_DUPLICATE;
		}
	}
	return MLS_OK;
}

static int set_extensions(struct mls_group *next, struct mls_bytes extensions)
{
	struct mls_buffer copy;
	int error = mls_buffer_copy(&copy, extensions);

	if (error != MLS_OK)
		return error;
	mls_buffer_clear(&next->extensions);
	next->extensions = copy;
	return MLS_OK;
}

/* New extensions bind everybody who stays or comes. */
static int check_support_of_all(const struct mls_group *next)
{
	int error = MLS_OK;

	for (uint32_t i = 0; i < next->tree->n_leaves && error == MLS_OK; i++)
		if (next->tree->leaves[i])
			error = mls_leaf_check_support(&next->tree->leaves[i]->view,
						       mls_view(&next->extensions));
	return error;
}

int mls_list_apply(const struct mls_list *list, uint32_t committer, struct mls_group *next,
		   struct mls_applied *out)
{
	bool extensions = false;
	int error;

	memset(out, 0, sizeof(*out));
	out->path_required = list->n == 0;
	if (list->n == 0 && !(next->features & MLS_FEATURE_EMPTY_COMMIT))
		return MLS_ERROR_PROPOSAL_LIST;
	error = check_together(list, committer);
	for (size_t i = 0; i < list->n && error == MLS_OK; i++) {
		const struct mls_proposal_view *view = &list->at[i]->view;

		if (view->type != MLS_PROPOSAL_ADD && view->type != MLS_PROPOSAL_PSK)
			out->path_required = true;
		if (view->type == MLS_PROPOSAL_REMOVE && view->removed == next->private.leaf)
			out->removes_us = true;
		if (view->type == MLS_PROPOSAL_PSK)
			out->psks[out->n_psks++] = view->psk;
		if (view->type == MLS_PROPOSAL_GROUP_EXTENSIONS) {
			error = set_extensions(next, view->extensions);
			extensions = true;
		}
	}
	if (error != MLS_OK || out->removes_us)
		return error;
	for (size_t i = 0; i < list->n; i++) {
		const struct mls_cached *proposal = list->at[i];

		if (proposal->view.type != MLS_PROPOSAL_UPDATE)
			continue;
		mls_tree_set_leaf(next->tree, proposal->sender, proposal->leaf);
		mls_tree_blank_path(next->tree, proposal->sender);
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct mls_cached *proposal = list->at[i];

		if (proposal->view.type != MLS_PROPOSAL_REMOVE)
			continue;
		mls_tree_remove(next->tree, proposal->view.removed);
		out->n_removed++;
	}
	if (out->n_removed)
		error = mls_tree_truncate(next->tree);
	for (size_t i = 0; i < list->n && error == MLS_OK; i++) {
		const struct mls_cached *proposal = list->at[i];
		uint32_t *at = &out->added_at[out->n_added];

		if (proposal->view.type != MLS_PROPOSAL_ADD)
			continue;
		error = mls_tree_add(next->tree, proposal->leaf, at);
		if (error == MLS_OK) {
			out->added[out->n_added++] = proposal;
			out->is_new[*at] = 1;
		}
	}
	mls_private_prune(&next->private, next->tree);
	if (error == MLS_OK && extensions)
		error = check_support_of_all(next);
	return error;
}
