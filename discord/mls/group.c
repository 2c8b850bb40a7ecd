/* SPDX-License-Identifier: MIT
 *
 * group.c - group states: making, copying, reading.
 */
#include "discord/mls/group.h"

#include <openssl/crypto.h>

#include "discord/mls/alloc.h"
#include "discord/mls/tree_check.h"

/* ---- life --------------------------------------------------------------------------------- */

int mls_group_new(struct mls_group **out, unsigned features, struct mls_bytes id,
		  const struct mls_signature_key *signer)
{
	struct mls_group *group = mls_alloc(sizeof(*group));
	int error;

	if (!group)
		return MLS_ERROR_NOMEM;
	group->features = features;
	group->signer = mls_signature_key_ref(signer);
	error = mls_buffer_copy(&group->id, id);
	if (error != MLS_OK) {
		mls_group_destroy(group);
		return error;
	}
	*out = group;
	return MLS_OK;
}

static void clear_psks(struct mls_group *group)
{
	for (size_t i = 0; i < group->n_psks; i++) {
		mls_buffer_clear(&group->psks[i].id);
		mls_buffer_clear(&group->psks[i].secret);
	}
	mls_free(group->psks, group->n_psks * sizeof(*group->psks));
	group->psks = NULL;
	group->n_psks = 0;
}

void mls_group_destroy(struct mls_group *group)
{
	if (!group)
		return;
	mls_group_forget_proposals(group);
	clear_psks(group);
	mls_buffer_clear(&group->id);
	mls_buffer_clear(&group->extensions);
	mls_buffer_clear(&group->context);
	mls_buffer_clear(&group->confirmed);
	mls_tree_destroy(group->tree);
	mls_signature_key_destroy(group->signer);
	mls_free(group, sizeof(*group)); /* wipes secrets and private keys */
}

static int copy_psks(struct mls_group *to, const struct mls_stored_psk *psks, size_t n)
{
	int error = MLS_OK;

	if (n == 0)
		return MLS_OK;
	to->psks = mls_alloc_array(n, sizeof(*to->psks));
	if (!to->psks)
		return MLS_ERROR_NOMEM;
	to->n_psks = n;
	for (size_t i = 0; i < n && error == MLS_OK; i++) {
		error = mls_buffer_copy(&to->psks[i].id, mls_view(&psks[i].id));
		if (error == MLS_OK)
			error = mls_buffer_copy(&to->psks[i].secret, mls_view(&psks[i].secret));
	}
	return error;
}

int mls_group_successor(struct mls_group **out, const struct mls_group *group)
{
	struct mls_group *next;
	int error;

	if (group->epoch == UINT64_MAX)
		return MLS_ERROR_LIMIT;
	error = mls_group_new(&next, group->features, mls_view(&group->id), group->signer);
	if (error != MLS_OK)
		return error;
	next->epoch = group->epoch + 1;
	next->private = group->private;
	error = mls_buffer_copy(&next->extensions, mls_view(&group->extensions));
	if (error == MLS_OK)
		error = mls_tree_clone(&next->tree, group->tree);
	if (error == MLS_OK)
		error = copy_psks(next, group->psks, group->n_psks);
	if (error != MLS_OK) {
		mls_group_destroy(next);
		return error;
	}
	*out = next;
	return MLS_OK;
}

int mls_group_make_context(struct mls_group *group, struct mls_bytes confirmed)
{
	uint8_t tree_hash[MLS_HASH_BYTES];
	struct mls_writer w = {0};
	struct mls_buffer context;
	int error = mls_tree_hash(group->tree, mls_node_root(group->tree->n_leaves), tree_hash);

	if (error != MLS_OK)
		return error;
	mls_write_group_context(&w, mls_view(&group->id), group->epoch,
				mls_bytes(tree_hash, sizeof(tree_hash)), confirmed,
				mls_view(&group->extensions));
	error = mls_writer_take(&w, &context);
	if (error != MLS_OK)
		return error;
	mls_buffer_clear(&group->context);
	group->context = context;
	return MLS_OK;
}

static int make_extensions(struct mls_group *group, struct mls_bytes external_sender)
{
	struct mls_external_sender sender;
	struct mls_writer w = {0};
	size_t data, senders;
	int error;

	if (external_sender.len == 0)
		return mls_buffer_copy(&group->extensions, external_sender);
	error = mls_external_sender_parse(external_sender, &sender);
	if (error != MLS_OK)
		return error;
	mls_write_u16(&w, MLS_EXTENSION_EXTERNAL_SENDERS);
	data = mls_write_begin(&w);
	senders = mls_write_begin(&w);
	mls_write_bytes(&w, external_sender);
	mls_write_end(&w, senders);
	mls_write_end(&w, data);
	return mls_writer_take(&w, &group->extensions);
}

/* Epoch 0: nobody else ever sees its secrets, so they come from a random init secret. */
static int begin_epoch(struct mls_group *group)
{
	const struct mls_bytes nothing = {NULL, 0};
	uint8_t member[MLS_HASH_BYTES], tag[MLS_HASH_BYTES];
	int error = mls_group_make_context(group, nothing);

	if (error == MLS_OK)
		error = mls_random(member, sizeof(member));
	if (error == MLS_OK)
		error = mls_schedule_epoch(member, mls_view(&group->context), &group->secrets);
	if (error == MLS_OK)
		error = mls_hmac(mls_bytes(group->secrets.confirmation, MLS_HASH_BYTES), &nothing,
				 1, tag);
	if (error == MLS_OK)
		error = mls_transcript_interim(nothing, mls_bytes(tag, sizeof(tag)),
					       group->interim);
	OPENSSL_cleanse(member, sizeof(member));
	return error;
}

int mls_group_create(struct mls_group **out, const struct mls_key_package *self,
		     struct mls_bytes group_id, struct mls_bytes external_sender, unsigned features)
{
	struct mls_group *group;
	struct mls_leaf *leaf;
	int error;

	if (group_id.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	error = mls_group_new(&group, features, group_id, self->signer);
	if (error != MLS_OK)
		return error;
	error = make_extensions(group, external_sender);
	if (error == MLS_OK)
		error = mls_tree_create(&group->tree, 1);
	if (error == MLS_OK)
		error = mls_leaf_create(&leaf, self->view.leaf.raw);
	if (error == MLS_OK) {
		mls_tree_set_leaf(group->tree, 0, leaf);
		mls_leaf_unref(leaf);
		memcpy(group->private.key[0], self->leaf_private, MLS_PRIVATE_KEY_BYTES);
		group->private.have[0] = true;
		error = begin_epoch(group);
	}
	if (error != MLS_OK) {
		mls_group_destroy(group);
		return error;
	}
	*out = group;
	return MLS_OK;
}

/* ---- pre-shared keys ---------------------------------------------------------------------- */

int mls_group_find_psk(const struct mls_group *group, struct mls_bytes id, struct mls_bytes *out)
{
	for (size_t i = 0; i < group->n_psks; i++) {
		if (!mls_bytes_equal(mls_view(&group->psks[i].id), id))
			continue;
		*out = mls_view(&group->psks[i].secret);
		return MLS_OK;
	}
	return MLS_ERROR_PSK;
}

int mls_group_set_psks(struct mls_group *group, const struct mls_psk *psks, size_t n_psks)
{
	struct mls_group fresh = {0};
	struct mls_stored_psk *all;
	size_t n = group->n_psks;
	int error;

	if (n_psks > MLS_MAX_PROPOSALS || n > MLS_MAX_PROPOSALS)
		return MLS_ERROR_LIMIT;
	if (n_psks == 0)
		return MLS_OK;
	/* the new ones first: the first with an id is the one found */
	all = mls_alloc_array(n + n_psks, sizeof(*all));
	if (!all)
		return MLS_ERROR_NOMEM;
	for (size_t i = 0; i < n_psks; i++) {
		all[i].id = (struct mls_buffer){(uint8_t *)psks[i].id.data, psks[i].id.len};
		all[i].secret =
			(struct mls_buffer){(uint8_t *)psks[i].secret.data, psks[i].secret.len};
	}
	for (size_t i = 0; i < n; i++)
		all[n_psks + i] = group->psks[i];
	error = copy_psks(&fresh, all, n + n_psks);
	mls_free(all, (n + n_psks) * sizeof(*all));
	if (error != MLS_OK) {
		clear_psks(&fresh);
		return error;
	}
	clear_psks(group);
	group->psks = fresh.psks;
	group->n_psks = fresh.n_psks;
	return MLS_OK;
}

int mls_group_psk_secret(const struct mls_group *group, const struct mls_psk_view *ids, size_t n,
			 uint8_t out[MLS_HASH_BYTES])
{
	struct mls_bytes psk;
	int error = MLS_OK;

	memset(out, 0, MLS_HASH_BYTES);
	for (size_t i = 0; i < n && error == MLS_OK; i++) {
		if (ids[i].type != MLS_PSK_EXTERNAL)
			return MLS_ERROR_UNSUPPORTED;
		error = mls_group_find_psk(group, ids[i].id, &psk);
		if (error == MLS_OK)
			error = mls_psk_fold(out, ids[i].raw, psk, (uint16_t)i, (uint16_t)n);
	}
	return error;
}

/* ---- reading ------------------------------------------------------------------------------ */

struct mls_bytes mls_group_id(const struct mls_group *group)
{
	return mls_view(&group->id);
}

uint64_t mls_group_epoch(const struct mls_group *group)
{
	return group->epoch;
}

struct mls_bytes mls_group_extensions(const struct mls_group *group)
{
	return mls_view(&group->extensions);
}

uint32_t mls_group_own_leaf(const struct mls_group *group)
{
	return group->private.leaf;
}

size_t mls_group_member_count(const struct mls_group *group)
{
	size_t n = 0;

	for (uint32_t i = 0; i < group->tree->n_leaves; i++)
		n += group->tree->leaves[i] != NULL;
	return n;
}

uint32_t mls_group_leaf_count(const struct mls_group *group)
{
	return group->tree->n_leaves;
}

bool mls_group_member(const struct mls_group *group, uint32_t leaf, struct mls_member *out)
{
	const struct mls_leaf_view *view;

	if (leaf >= group->tree->n_leaves || !group->tree->leaves[leaf])
		return false;
	view = &group->tree->leaves[leaf]->view;
	*out = (struct mls_member){leaf, view->credential.identity, view->signature_key};
	return true;
}

bool mls_group_find(const struct mls_group *group, struct mls_bytes identity,
		    struct mls_member *out)
{
	struct mls_member member;

	for (uint32_t i = 0; i < group->tree->n_leaves; i++) {
		if (mls_group_member(group, i, &member) &&
		    mls_bytes_equal(member.identity, identity)) {
			*out = member;
			return true;
		}
	}
	return false;
}

int mls_group_export(const struct mls_group *group, const char *label, struct mls_bytes context,
		     uint8_t *out, size_t len)
{
	return mls_schedule_export(group->secrets.exporter, label, context, out, len);
}

void mls_group_epoch_authenticator(const struct mls_group *group, uint8_t out[MLS_HASH_BYTES])
{
	memcpy(out, group->secrets.authenticator, MLS_HASH_BYTES);
}
