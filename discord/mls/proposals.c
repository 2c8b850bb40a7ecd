/* SPDX-License-Identifier: MIT
 *
 * proposals.c - proposals one by one: verifying, caching, forgetting (RFC 9420 12.1).
 */
#include "discord/mls/alloc.h"
#include "discord/mls/group.h"

void mls_cached_destroy(struct mls_cached *proposal)
{
	if (!proposal)
		return;
	mls_buffer_clear(&proposal->raw);
	mls_leaf_unref(proposal->leaf);
	mls_free(proposal, sizeof(*proposal));
}

struct mls_cached *mls_group_find_proposal(const struct mls_group *group, struct mls_bytes ref)
{
	for (size_t i = 0; i < group->n_proposals; i++)
		if (mls_bytes_equal(ref, mls_bytes(group->proposals[i]->ref, MLS_HASH_BYTES)))
			return group->proposals[i];
	return NULL;
}

/* ---- one by itself ------------------------------------------------------------------------ */

static int check_update(const struct mls_group *group, const struct mls_leaf_view *leaf,
			uint8_t sender_type, uint32_t sender)
{
	const struct mls_leaf_view *old;
	int error;

	if (!(group->features & MLS_FEATURE_UPDATE) || sender_type != MLS_SENDER_MEMBER ||
	    sender == group->private.leaf) /* we never propose one, so we hold no key for it */
		return MLS_ERROR_UNSUPPORTED;
	old = &group->tree->leaves[sender]->view;
	if (leaf->source != MLS_LEAF_UPDATE ||
	    mls_bytes_equal(leaf->encryption_key, old->encryption_key))
		return MLS_ERROR_KEY_PACKAGE;
	if (!(group->features & MLS_FEATURE_NEW_CREDENTIAL) &&
	    (!mls_bytes_equal(leaf->credential.raw, old->credential.raw) ||
	     !mls_bytes_equal(leaf->signature_key, old->signature_key)))
		return MLS_ERROR_KEY_PACKAGE;
	error = mls_leaf_check(leaf, mls_view(&group->id), sender);
	if (error == MLS_OK)
		error = mls_leaf_check_support(leaf, mls_view(&group->extensions));
	return error;
}

static int check(const struct mls_group *group, const struct mls_proposal_view *view,
		 uint8_t sender_type, uint32_t sender)
{
	int error;

	switch (view->type) {
	case MLS_PROPOSAL_ADD:
		error = mls_key_package_check_view(&view->key_package);
		if (error == MLS_OK)
			error = mls_leaf_check_support(&view->key_package.leaf,
						       mls_view(&group->extensions));
		return error;
	case MLS_PROPOSAL_UPDATE:
		return check_update(group, &view->leaf, sender_type, sender);
	case MLS_PROPOSAL_REMOVE:
		if (view->removed >= group->tree->n_leaves || !group->tree->leaves[view->removed])
			return MLS_ERROR_TREE;
		return MLS_OK;
	case MLS_PROPOSAL_PSK:
		if (!(group->features & MLS_FEATURE_PSK) || view->psk.type != MLS_PSK_EXTERNAL)
			return MLS_ERROR_UNSUPPORTED;
		return view->psk.nonce.len == MLS_HASH_BYTES ? MLS_OK : MLS_ERROR_PARSE;
	case MLS_PROPOSAL_GROUP_EXTENSIONS:
		if (!(group->features & MLS_FEATURE_GROUP_EXTENSIONS))
			return MLS_ERROR_UNSUPPORTED;
		return mls_group_extensions_check(view->extensions);
	default: /* ReInit, ExternalInit */
		return MLS_ERROR_UNSUPPORTED;
	}
}

int mls_cached_create(struct mls_cached **out, const struct mls_group *group,
		      const struct mls_proposal_view *view, uint8_t sender_type, uint32_t sender)
{
	struct mls_cached *cached;
	struct mls_reader r;
	int error = check(group, view, sender_type, sender);

	if (error != MLS_OK)
		return error;
	cached = mls_alloc(sizeof(*cached));
	if (!cached)
		return MLS_ERROR_NOMEM;
	cached->sender_type = sender_type;
	cached->sender = sender;
	error = mls_buffer_copy(&cached->raw, view->raw);
	if (error == MLS_OK) {
		r = mls_reader(mls_view(&cached->raw));
		mls_read_proposal(&r, &cached->view);
		error = mls_reader_finish(&r);
	}
	if (error == MLS_OK && view->type == MLS_PROPOSAL_ADD)
		error = mls_leaf_create(&cached->leaf, cached->view.key_package.leaf.raw);
	if (error == MLS_OK && view->type == MLS_PROPOSAL_UPDATE)
		error = mls_leaf_create(&cached->leaf, cached->view.leaf.raw);
	if (error != MLS_OK) {
		mls_cached_destroy(cached);
		return error;
	}
	*out = cached;
	return MLS_OK;
}

/* ---- from messages ------------------------------------------------------------------------ */

/* The n-th entry of the group's external_senders. */
static int find_external_sender(const struct mls_group *group, uint32_t index,
				struct mls_bytes *signature_key)
{
	struct mls_credential credential;
	struct mls_reader r, senders;
	struct mls_bytes data;

	if (!mls_extension_find(mls_view(&group->extensions), MLS_EXTENSION_EXTERNAL_SENDERS,
				&data))
		return MLS_ERROR_WRONG_SENDER;
	r = mls_reader(data);
	senders = mls_read_elements(&r);
	for (uint32_t i = 0; mls_reader_more(&senders); i++) {
		*signature_key = mls_read_vector(&senders);
		mls_read_credential(&senders, &credential);
		if (i == index && senders.error == MLS_OK)
			return MLS_OK;
	}
	return MLS_ERROR_WRONG_SENDER;
}

static int verify_member(const struct mls_group *group, const struct mls_public_message *message)
{
	const struct mls_framed_view *content = &message->content;
	uint8_t tag[MLS_HASH_BYTES];
	int error;

	if (!(group->features & MLS_FEATURE_MEMBER_PROPOSALS) ||
	    content->sender >= group->tree->n_leaves || !group->tree->leaves[content->sender])
		return MLS_ERROR_WRONG_SENDER;
	error = mls_membership_tag(group->secrets.membership, content->raw,
				   mls_view(&group->context), message->signature, NULL, tag);
	if (error == MLS_OK && !mls_tag_equal(message->membership_tag, tag))
		error = MLS_ERROR_MEMBERSHIP_TAG;
	if (error == MLS_OK)
		error = mls_framed_verify(content->raw, mls_view(&group->context),
					  group->tree->leaves[content->sender]->view.signature_key,
					  message->signature);
	return error;
}

static int verify_external(const struct mls_group *group, const struct mls_public_message *message)
{
	const struct mls_framed_view *content = &message->content;
	struct mls_bytes key;
	int error;

	/* others than the first are for the wider profile, as are other proposals than these two */
	if (!(group->features & MLS_FEATURE_MEMBER_PROPOSALS) && content->sender != 0)
		return MLS_ERROR_WRONG_SENDER;
	if (content->proposal.type == MLS_PROPOSAL_UPDATE)
		return MLS_ERROR_WRONG_SENDER;
	error = find_external_sender(group, content->sender, &key);
	if (error == MLS_OK)
		error = mls_framed_verify(content->raw, mls_bytes(NULL, 0), key,
					  message->signature);
	return error;
}

/* Takes one message off the front and appends its proposal to the cache, unless it is there. */
static int take_message(struct mls_group *group, struct mls_reader *r, mls_accept_fn *accept,
			void *arg)
{
	struct mls_public_message message;
	const struct mls_framed_view *content = &message.content;
	struct mls_proposal_info info;
	struct mls_cached *cached;
	uint8_t ref[MLS_HASH_BYTES];
	int error;

	mls_read_mls_public_message(r, &message);
	if (r->error != MLS_OK)
		return r->error;
	if (content->content_type != MLS_CONTENT_PROPOSAL)
		return MLS_ERROR_UNSUPPORTED;
	if (!mls_bytes_equal(content->group_id, mls_view(&group->id)))
		return MLS_ERROR_WRONG_GROUP;
	if (content->epoch != group->epoch)
		return MLS_ERROR_WRONG_EPOCH;
	if (content->sender_type == MLS_SENDER_MEMBER)
		error = verify_member(group, &message);
	else if (content->sender_type == MLS_SENDER_EXTERNAL)
		error = verify_external(group, &message);
	else
		error = MLS_ERROR_WRONG_SENDER;
	if (error == MLS_OK)
		error = mls_proposal_ref(content->raw, message.signature, ref);
	if (error != MLS_OK || mls_group_find_proposal(group, mls_bytes(ref, sizeof(ref))))
		return error;
	if (group->n_proposals == MLS_MAX_PROPOSALS)
		return MLS_ERROR_LIMIT;
	error = mls_cached_create(&cached, group, &content->proposal, content->sender_type,
				  content->sender);
	if (error != MLS_OK)
		return error;
	memcpy(cached->ref, ref, sizeof(ref));
	group->proposals[group->n_proposals++] = cached;
	mls_group_proposal(group, group->n_proposals - 1, &info);
	return !accept || accept(arg, &info) ? MLS_OK : MLS_ERROR_REFUSED;
}

int mls_group_propose(struct mls_group *group, struct mls_bytes messages, mls_accept_fn *accept,
		      void *arg)
{
	struct mls_reader r = mls_reader(messages);
	size_t before = group->n_proposals;
	int error = messages.len > MLS_MAX_MESSAGE_BYTES ? MLS_ERROR_LIMIT : MLS_OK;

	if (error == MLS_OK && messages.len == 0)
		error = MLS_ERROR_PARSE;
	while (error == MLS_OK && mls_reader_more(&r))
		error = take_message(group, &r, accept, arg);
	if (error != MLS_OK)
		while (group->n_proposals > before)
			mls_cached_destroy(group->proposals[--group->n_proposals]);
	return error;
}

/* ---- forgetting --------------------------------------------------------------------------- */

int mls_group_revoke(struct mls_group *group, struct mls_bytes refs)
{
	struct mls_reader r = mls_reader(refs);
	size_t kept = 0;

	if (refs.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	while (mls_reader_more(&r)) {
		struct mls_bytes ref = mls_read_vector(&r);

		if (r.error == MLS_OK && !mls_group_find_proposal(group, ref))
			return MLS_ERROR_UNKNOWN_PROPOSAL;
	}
	if (r.error != MLS_OK)
		return r.error;
	for (size_t i = 0; i < group->n_proposals; i++) {
		struct mls_cached *cached = group->proposals[i];
		bool revoked = false;

		r = mls_reader(refs);
		while (mls_reader_more(&r) && !revoked)
			revoked = mls_bytes_equal(mls_read_vector(&r),
						  mls_bytes(cached->ref, MLS_HASH_BYTES));
		if (revoked)
			mls_cached_destroy(cached);
		else
			group->proposals[kept++] = cached;
	}
	group->n_proposals = kept;
	return MLS_OK;
}

void mls_group_forget_proposals(struct mls_group *group)
{
	while (group->n_proposals)
		mls_cached_destroy(group->proposals[--group->n_proposals]);
}

size_t mls_group_proposal_count(const struct mls_group *group)
{
	return group->n_proposals;
}

void mls_group_proposal(const struct mls_group *group, size_t i, struct mls_proposal_info *info)
{
	const struct mls_cached *cached = group->proposals[i];
	const struct mls_proposal_view *view = &cached->view;
	uint8_t ref[MLS_HASH_BYTES] = {0};

	*info = (struct mls_proposal_info){.type = (enum mls_proposal_type)view->type};
	memcpy(info->ref, cached->ref, MLS_HASH_BYTES);
	switch (view->type) {
	case MLS_PROPOSAL_ADD:
		/* a hash of bytes at hand: fails only as libcrypto does, and then reads as zeros */
		(void)mls_key_package_ref(view->key_package.raw, ref);
		mls_key_package_describe(&view->key_package, ref, &info->key_package);
		info->identity = info->key_package.identity;
		break;
	case MLS_PROPOSAL_REMOVE:
		info->leaf = view->removed;
		info->identity = group->tree->leaves[view->removed]->view.credential.identity;
		break;
	case MLS_PROPOSAL_UPDATE:
		info->leaf = cached->sender;
		break;
	default:
		break;
	}
}
