/* SPDX-License-Identifier: MIT
 *
 * commit.c - making commits and following those of others (RFC 9420 12.4).
 */
#include <openssl/crypto.h>

#include "discord/mls/alloc.h"
#include "discord/mls/group.h"
#include "discord/mls/tree_check.h"

int mls_group_provisional(const struct mls_group *group, struct mls_group *next)
{
	return mls_group_make_context(next, mls_view(&group->confirmed));
}

int mls_group_advance(const struct mls_group *group, struct mls_group *next,
		      const struct mls_applied *applied, struct mls_bytes framed,
		      struct mls_bytes signature, const uint8_t commit_secret[MLS_HASH_BYTES],
		      uint8_t joiner[MLS_HASH_BYTES], uint8_t member_secret[MLS_HASH_BYTES],
		      uint8_t confirmation_tag[MLS_HASH_BYTES])
{
	uint8_t confirmed[MLS_HASH_BYTES], psk_secret[MLS_HASH_BYTES];
	struct mls_bytes hash = mls_bytes(confirmed, sizeof(confirmed));
	int error;

	error = mls_transcript_confirmed(group->interim, framed, signature, confirmed);
	if (error == MLS_OK)
		error = mls_buffer_copy(&next->confirmed, hash);
	if (error == MLS_OK)
		error = mls_group_make_context(next, hash);
	if (error == MLS_OK)
		error = mls_group_psk_secret(next, applied->psks, applied->n_psks, psk_secret);
	if (error == MLS_OK)
		error = mls_schedule_joiner(group->secrets.init, commit_secret,
					    mls_view(&next->context), joiner);
	if (error == MLS_OK)
		error = mls_schedule_member(joiner, psk_secret, member_secret);
	if (error == MLS_OK)
		error = mls_schedule_epoch(member_secret, mls_view(&next->context), &next->secrets);
	if (error == MLS_OK)
		error = mls_hmac(mls_bytes(next->secrets.confirmation, MLS_HASH_BYTES), &hash, 1,
				 confirmation_tag);
	if (error == MLS_OK)
		error = mls_transcript_interim(hash, mls_bytes(confirmation_tag, MLS_HASH_BYTES),
					       next->interim);
	OPENSSL_cleanse(psk_secret, sizeof(psk_secret));
	return error;
}

/* ---- making ------------------------------------------------------------------------------- */

void mls_commit_clear(struct mls_commit *commit)
{
	mls_buffer_clear(&commit->commit);
	mls_buffer_clear(&commit->welcome);
	mls_group_destroy(commit->next);
	commit->next = NULL;
}

/* Working state of one commit, too large for the stack of a small thread. */
struct making {
	struct mls_list list;
	struct mls_applied applied;
	struct mls_path_secrets path;
	uint8_t commit_secret[MLS_HASH_BYTES], joiner[MLS_HASH_BYTES], member[MLS_HASH_BYTES],
		tag[MLS_HASH_BYTES];
	struct mls_writer framed;
	struct mls_buffer signature;
};

static void write_references(const struct mls_group *group, struct mls_writer *w)
{
	size_t proposals = mls_write_begin(w);

	for (size_t i = 0; i < group->n_proposals; i++) {
		mls_write_u8(w, 2);
		mls_write_vector(w, mls_bytes(group->proposals[i]->ref, MLS_HASH_BYTES));
	}
	mls_write_end(w, proposals);
}

/* FramedContent of the commit, path included. */
static int write_framed(const struct mls_group *group, struct mls_group *next, struct making *m)
{
	struct mls_writer *w = &m->framed;
	int error = MLS_OK;

	mls_write_vector(w, mls_view(&group->id));
	mls_write_u64(w, group->epoch);
	mls_write_u8(w, MLS_SENDER_MEMBER);
	mls_write_u32(w, group->private.leaf);
	mls_write_vector(w, mls_bytes(NULL, 0));
	mls_write_u8(w, MLS_CONTENT_COMMIT);
	write_references(group, w);
	mls_write_u8(w, m->applied.path_required);
	if (m->applied.path_required) {
		error = mls_path_make(next->tree, &next->private, mls_view(&next->id), next->signer,
				      &m->path);
		if (error == MLS_OK)
			error = mls_group_provisional(group, next);
		if (error == MLS_OK)
			error = mls_path_write(next->tree, &m->path, next->private.leaf,
					       mls_view(&next->context), m->applied.is_new, w);
		memcpy(m->commit_secret, m->path.commit_secret, MLS_HASH_BYTES);
	}
	return error != MLS_OK ? error : w->error;
}

static int write_message(const struct mls_group *group, const struct making *m,
			 struct mls_buffer *out)
{
	struct mls_bytes tag = mls_bytes(m->tag, MLS_HASH_BYTES);
	uint8_t membership[MLS_HASH_BYTES];
	struct mls_writer w = {0};
	int error = mls_membership_tag(group->secrets.membership, mls_written(&m->framed),
				       mls_view(&group->context), mls_view(&m->signature), &tag,
				       membership);

	if (error != MLS_OK)
		return error;
	mls_write_u16(&w, MLS_VERSION_10);
	mls_write_u16(&w, MLS_WIRE_PUBLIC_MESSAGE);
	mls_write_bytes(&w, mls_written(&m->framed));
	mls_write_vector(&w, mls_view(&m->signature));
	mls_write_vector(&w, tag);
	mls_write_vector(&w, mls_bytes(membership, sizeof(membership)));
	return mls_writer_take(&w, out);
}

static int make(const struct mls_group *group, struct making *m, struct mls_commit *commit)
{
	int error;

	m->list.n = group->n_proposals;
	memcpy(m->list.at, group->proposals, sizeof(m->list.at));
	error = mls_group_successor(&commit->next, group);
	if (error == MLS_OK)
		error = mls_list_apply(&m->list, group->private.leaf, commit->next, &m->applied);
	if (error == MLS_OK)
		error = mls_tree_check_unique(commit->next->tree, group->features);
	if (error == MLS_OK)
		error = write_framed(group, commit->next, m);
	if (error == MLS_OK)
		error = mls_framed_sign(mls_written(&m->framed), mls_view(&group->context),
					group->signer, &m->signature);
	if (error == MLS_OK)
		error = mls_group_advance(group, commit->next, &m->applied, mls_written(&m->framed),
					  mls_view(&m->signature), m->commit_secret, m->joiner,
					  m->member, m->tag);
	if (error == MLS_OK)
		error = write_message(group, m, &commit->commit);
	if (error == MLS_OK && m->applied.n_added)
		error = mls_welcome_make(commit->next, &m->applied,
					 m->applied.path_required ? &m->path : NULL, m->joiner,
					 m->member, m->tag, &commit->welcome);
	return error;
}

int mls_group_commit(const struct mls_group *group, struct mls_commit *out)
{
	struct mls_commit commit = {{NULL, 0}, {NULL, 0}, NULL};
	struct making *m = mls_alloc(sizeof(*m));
	int error;

	if (!m)
		return MLS_ERROR_NOMEM;
	error = make(group, m, &commit);
	mls_writer_clear(&m->framed);
	mls_buffer_clear(&m->signature);
	mls_free(m, sizeof(*m));
	if (error != MLS_OK) {
		mls_commit_clear(&commit);
		return error;
	}
	*out = commit;
	return MLS_OK;
}

/* ---- following ---------------------------------------------------------------------------- */

struct following {
	struct mls_list list;
	struct mls_applied applied;
	struct mls_public_message message;
	uint8_t commit_secret[MLS_HASH_BYTES], joiner[MLS_HASH_BYTES], member[MLS_HASH_BYTES],
		tag[MLS_HASH_BYTES];
};

/* The outside: for us, of this epoch, by a member, authentic. */
static int verify(const struct mls_group *group, const struct mls_public_message *message)
{
	const struct mls_framed_view *content = &message->content;
	uint8_t tag[MLS_HASH_BYTES];
	int error;

	if (content->content_type != MLS_CONTENT_COMMIT)
		return MLS_ERROR_UNSUPPORTED;
	if (!mls_bytes_equal(content->group_id, mls_view(&group->id)))
		return MLS_ERROR_WRONG_GROUP;
	if (content->epoch != group->epoch)
		return MLS_ERROR_WRONG_EPOCH;
	if (content->sender_type != MLS_SENDER_MEMBER || content->sender >= group->tree->n_leaves ||
	    !group->tree->leaves[content->sender])
		return MLS_ERROR_WRONG_SENDER;
	error = mls_membership_tag(group->secrets.membership, content->raw,
				   mls_view(&group->context), message->signature,
				   &message->confirmation_tag, tag);
	if (error == MLS_OK && !mls_tag_equal(message->membership_tag, tag))
		error = MLS_ERROR_MEMBERSHIP_TAG;
	if (error == MLS_OK)
		error = mls_framed_verify(content->raw, mls_view(&group->context),
					  group->tree->leaves[content->sender]->view.signature_key,
					  message->signature);
	if (error == MLS_OK && content->sender == group->private.leaf)
		error = MLS_ERROR_OWN_COMMIT;
	return error;
}

/* Resolves references and takes over what came by value. */
static int collect(const struct mls_group *group, const struct mls_framed_view *content,
		   struct mls_list *list)
{
	struct mls_reader r = mls_reader(content->commit.proposals);
	int error = MLS_OK;

	while (error == MLS_OK && mls_reader_more(&r)) {
		struct mls_cached **slot = &list->at[list->n];
		struct mls_proposal_or_ref item;

		mls_read_proposal_or_ref(&r, &item);
		if (item.by_reference) {
			*slot = mls_group_find_proposal(group, item.ref);
			if (!*slot)
				return MLS_ERROR_UNKNOWN_PROPOSAL;
			for (size_t i = 0; i < list->n; i++)
				if (list->at[i] == *slot)
					return MLS_ERROR_PROPOSAL_LIST;
		} else if (group->features & MLS_FEATURE_INLINE_PROPOSALS) {
			error = mls_cached_create(slot, group, &item.proposal, MLS_SENDER_MEMBER,
						  content->sender);
			if (error == MLS_OK)
				list->owned[list->n] = true;
		} else {
			error = MLS_ERROR_UNSUPPORTED;
		}
		if (error == MLS_OK)
			list->n++;
	}
	return error;
}

static int follow(const struct mls_group *group, struct following *f, struct mls_group *next)
{
	const struct mls_framed_view *content = &f->message.content;
	const struct mls_commit_view *commit = &content->commit;
	int error;

	error = mls_list_apply(&f->list, content->sender, next, &f->applied);
	if (error == MLS_OK && f->applied.path_required && !commit->has_path)
		error = MLS_ERROR_PROPOSAL_LIST;
	if (error == MLS_OK && f->applied.removes_us)
		return MLS_ERROR_REMOVED;
	if (error == MLS_OK && commit->has_path) {
		error = mls_path_merge(next->tree, content->sender, &commit->path,
				       mls_view(&next->id), next->features);
		if (error == MLS_OK)
			error = mls_leaf_check_support(&commit->path.leaf,
						       mls_view(&next->extensions));
	}
	if (error == MLS_OK)
		error = mls_tree_check_unique(next->tree, next->features);
	if (error == MLS_OK && commit->has_path) {
		error = mls_group_provisional(group, next);
		if (error == MLS_OK)
			error = mls_path_open(next->tree, content->sender, &commit->path,
					      mls_view(&next->context), f->applied.is_new,
					      &next->private, f->commit_secret);
	}
	if (error == MLS_OK)
		error = mls_group_advance(group, next, &f->applied, content->raw,
					  f->message.signature, f->commit_secret, f->joiner,
					  f->member, f->tag);
	if (error == MLS_OK && !mls_tag_equal(f->message.confirmation_tag, f->tag))
		error = MLS_ERROR_CONFIRMATION_TAG;
	return error;
}

int mls_group_process(const struct mls_group *group, struct mls_bytes message,
		      struct mls_group **next, struct mls_commit_info *info)
{
	struct mls_reader r = mls_reader(message);
	struct mls_group *successor = NULL;
	struct following *f;
	int error;

	if (message.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	f = mls_alloc(sizeof(*f));
	if (!f)
		return MLS_ERROR_NOMEM;
	mls_read_mls_public_message(&r, &f->message);
	error = mls_reader_finish(&r);
	if (error == MLS_OK)
		error = verify(group, &f->message);
	if (error == MLS_OK)
		error = collect(group, &f->message.content, &f->list);
	if (error == MLS_OK)
		error = mls_group_successor(&successor, group);
	if (error == MLS_OK)
		error = follow(group, f, successor);
	if (error == MLS_OK && info)
		*info = (struct mls_commit_info){f->message.content.sender,
						 f->message.content.commit.has_path,
						 f->applied.n_added, f->applied.n_removed};
	mls_list_clear(&f->list);
	mls_free(f, sizeof(*f));
	if (error != MLS_OK) {
		mls_group_destroy(successor);
		return error;
	}
	*next = successor;
	return MLS_OK;
}
