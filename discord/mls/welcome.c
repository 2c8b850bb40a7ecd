/* SPDX-License-Identifier: MIT
 *
 * welcome.c - making a Welcome and joining by one (RFC 9420 12.4.3.1).
 */
#include <openssl/crypto.h>

#include "discord/mls/alloc.h"
#include "discord/mls/group.h"
#include "discord/mls/tree_check.h"

#define GROUP_INFO_LABEL "GroupInfoTBS"

/* ---- making ------------------------------------------------------------------------------- */

static int make_group_info(struct mls_group *group, const uint8_t confirmation_tag[MLS_HASH_BYTES],
			   struct mls_buffer *out)
{
	struct mls_buffer signature = {NULL, 0};
	struct mls_writer w = {0};
	size_t extensions, data;
	int error;

	mls_write_bytes(&w, mls_view(&group->context));
	extensions = mls_write_begin(&w);
	mls_write_u16(&w, MLS_EXTENSION_RATCHET_TREE);
	data = mls_write_begin(&w);
	mls_tree_write(group->tree, &w);
	mls_write_end(&w, data);
	mls_write_end(&w, extensions);
	mls_write_vector(&w, mls_bytes(confirmation_tag, MLS_HASH_BYTES));
	mls_write_u32(&w, group->private.leaf);
	error = w.error;
	if (error == MLS_OK)
		error = mls_sign(group->signer, GROUP_INFO_LABEL, mls_written(&w), &signature);
	if (error == MLS_OK) {
		mls_write_vector(&w, mls_view(&signature));
		error = mls_writer_take(&w, out);
	}
	mls_writer_clear(&w);
	mls_buffer_clear(&signature);
	return error;
}

/* The path secret a newcomer gets: that of its common ancestor with us, which is on our filtered
 * path because the newcomer itself is below the other child. */
static struct mls_bytes path_secret_for(const struct mls_path_secrets *path, uint32_t leaf)
{
	for (size_t k = 0; path && k < path->path.n; k++)
		if (mls_node_covers(path->path.copath[k], 2 * leaf))
			return mls_bytes(path->secret[k], MLS_HASH_BYTES);
	return mls_bytes(NULL, 0);
}

static int write_entry(struct mls_writer *w, const struct mls_cached *added,
		       struct mls_bytes joiner, struct mls_bytes path_secret,
		       const struct mls_applied *applied, struct mls_bytes encrypted_group_info)
{
	const struct mls_key_package_view *key_package = &added->view.key_package;
	struct mls_writer secrets = {0};
	uint8_t ref[MLS_HASH_BYTES];
	size_t psks;
	int error = mls_key_package_ref(key_package->raw, ref);

	mls_write_vector(&secrets, joiner);
	mls_write_u8(&secrets, path_secret.len != 0);
	if (path_secret.len)
		mls_write_vector(&secrets, path_secret);
	psks = mls_write_begin(&secrets);
	for (size_t i = 0; i < applied->n_psks; i++)
		mls_write_bytes(&secrets, applied->psks[i].raw);
	mls_write_end(&secrets, psks);
	if (error == MLS_OK)
		error = secrets.error;
	mls_write_vector(w, mls_bytes(ref, sizeof(ref)));
	if (error == MLS_OK)
		error = mls_hpke_seal(key_package->init_key, "Welcome", encrypted_group_info,
				      mls_written(&secrets), w);
	mls_writer_clear(&secrets);
	return error;
}

int mls_welcome_make(struct mls_group *next, const struct mls_applied *applied,
		     const struct mls_path_secrets *path, const uint8_t joiner[MLS_HASH_BYTES],
		     const uint8_t member_secret[MLS_HASH_BYTES],
		     const uint8_t confirmation_tag[MLS_HASH_BYTES], struct mls_buffer *out)
{
	uint8_t key[MLS_AEAD_KEY_BYTES], nonce[MLS_AEAD_NONCE_BYTES];
	struct mls_buffer info = {NULL, 0}, sealed = {NULL, 0};
	struct mls_writer w = {0};
	size_t entries;
	int error;

	error = mls_schedule_welcome(member_secret, key, nonce);
	if (error == MLS_OK)
		error = make_group_info(next, confirmation_tag, &info);
	if (error == MLS_OK)
		error = mls_aead_seal(key, nonce, mls_view(&info), &sealed);
	mls_write_u16(&w, MLS_SUITE);
	entries = mls_write_begin(&w);
	for (size_t i = 0; i < applied->n_added && error == MLS_OK; i++)
		error = write_entry(&w, applied->added[i], mls_bytes(joiner, MLS_HASH_BYTES),
				    path_secret_for(path, applied->added_at[i]), applied,
				    mls_view(&sealed));
	mls_write_end(&w, entries);
	mls_write_vector(&w, mls_view(&sealed));
	if (error == MLS_OK)
		error = mls_writer_take(&w, out);
	mls_writer_clear(&w);
	mls_buffer_clear(&info);
	mls_buffer_clear(&sealed);
	OPENSSL_cleanse(key, sizeof(key));
	return error;
}

/* ---- joining ------------------------------------------------------------------------------ */

/* Finds our entry and opens it. */
static int open_secrets(const struct mls_key_package *self, const struct mls_welcome_view *welcome,
			struct mls_buffer *out)
{
	struct mls_reader r = mls_reader(welcome->secrets);
	struct mls_welcome_entry entry;

	while (mls_reader_more(&r)) {
		mls_read_welcome_entry(&r, &entry);
		if (!mls_bytes_equal(entry.new_member, mls_bytes(self->ref, MLS_HASH_BYTES)))
			continue;
		return mls_hpke_open(self->init_private, self->view.init_key.data, "Welcome",
				     welcome->encrypted_group_info, entry.secrets.kem_output,
				     entry.secrets.ciphertext, out);
	}
	return MLS_ERROR_NOT_FOR_US;
}

static int collect_psks(struct mls_bytes content, const struct mls_join_options *options,
			struct mls_psk_view *ids, size_t *n)
{
	struct mls_reader r = mls_reader(content);

	for (*n = 0; mls_reader_more(&r); (*n)++) {
		if (!(options->features & MLS_FEATURE_PSK))
			return MLS_ERROR_UNSUPPORTED;
		if (*n == MLS_MAX_PROPOSALS)
			return MLS_ERROR_LIMIT;
		mls_read_psk(&r, &ids[*n]);
		for (size_t i = 0; i < *n; i++)
			if (mls_bytes_equal(ids[i].raw, ids[*n].raw))
				return MLS_ERROR_PROPOSAL_LIST;
	}
	return MLS_OK;
}

/* What is in the GroupInfo, by itself; its tree into the group. */
static int take_group_info(struct mls_group *group, const struct mls_group_info_view *info,
			   struct mls_bytes outside_tree)
{
	struct mls_bytes tree = outside_tree;
	uint8_t hash[MLS_HASH_BYTES];
	int error;

	if (info->context.version != MLS_VERSION_10 || info->context.cipher_suite != MLS_SUITE)
		return MLS_ERROR_UNSUPPORTED;
	if (tree.len == 0 &&
	    !mls_extension_find(info->extensions, MLS_EXTENSION_RATCHET_TREE, &tree))
		return MLS_ERROR_TREE;
	/* only a group nobody was ever added to has an empty transcript */
	if (info->context.confirmed_transcript_hash.len != MLS_HASH_BYTES)
		return MLS_ERROR_PARSE;
	error = mls_group_extensions_check(info->context.extensions);
	if (error == MLS_OK)
		error = mls_tree_read(&group->tree, tree);
	if (error == MLS_OK)
		error = mls_tree_hash(group->tree, mls_node_root(group->tree->n_leaves), hash);
	if (error == MLS_OK && !mls_bytes_equal(info->context.tree_hash, mls_bytes(hash, 32)))
		error = MLS_ERROR_TREE;
	if (error == MLS_OK &&
	    (info->signer >= group->tree->n_leaves || !group->tree->leaves[info->signer]))
		error = MLS_ERROR_WRONG_SENDER;
	if (error == MLS_OK)
		error = mls_verify(group->tree->leaves[info->signer]->view.signature_key,
				   GROUP_INFO_LABEL, info->tbs, info->signature);
	if (error == MLS_OK)
		error = mls_tree_check(group->tree, info->context.group_id, group->features);
	for (uint32_t i = 0; error == MLS_OK && i < group->tree->n_leaves; i++)
		if (group->tree->leaves[i])
			error = mls_leaf_check_support(&group->tree->leaves[i]->view,
						       info->context.extensions);
	return error;
}

static int find_ourselves(struct mls_group *group, const struct mls_key_package *self)
{
	for (uint32_t i = 0; i < group->tree->n_leaves; i++) {
		const struct mls_leaf *leaf = group->tree->leaves[i];

		if (!leaf || !mls_bytes_equal(leaf->view.raw, self->view.leaf.raw))
			continue;
		group->private.leaf = i;
		group->private.have[0] = true;
		memcpy(group->private.key[0], self->leaf_private, MLS_PRIVATE_KEY_BYTES);
		return MLS_OK;
	}
	return MLS_ERROR_TREE;
}

/* The secrets of the epoch, once the GroupInfo has been accepted. */
static int enter_epoch(struct mls_group *group, const struct mls_group_info_view *info,
		       const uint8_t member[MLS_HASH_BYTES])
{
	struct mls_bytes confirmed = info->context.confirmed_transcript_hash;
	uint8_t tag[MLS_HASH_BYTES];
	int error;

	group->epoch = info->context.epoch;
	error = mls_buffer_copy(&group->id, info->context.group_id);
	if (error == MLS_OK)
		error = mls_buffer_copy(&group->extensions, info->context.extensions);
	if (error == MLS_OK)
		error = mls_buffer_copy(&group->context, info->context.raw);
	if (error == MLS_OK)
		error = mls_buffer_copy(&group->confirmed, confirmed);
	if (error == MLS_OK)
		error = mls_schedule_epoch(member, info->context.raw, &group->secrets);
	if (error == MLS_OK)
		error = mls_hmac(mls_bytes(group->secrets.confirmation, MLS_HASH_BYTES), &confirmed,
				 1, tag);
	if (error == MLS_OK && !mls_tag_equal(info->confirmation_tag, tag))
		error = MLS_ERROR_CONFIRMATION_TAG;
	if (error == MLS_OK)
		error = mls_transcript_interim(confirmed, info->confirmation_tag, group->interim);
	return error;
}

struct joining {
	struct mls_welcome_view welcome;
	struct mls_group_secrets_view secrets;
	struct mls_group_info_view info;
	struct mls_buffer secrets_raw, info_raw;
	struct mls_psk_view psks[MLS_MAX_PROPOSALS];
	uint8_t psk_secret[MLS_HASH_BYTES], member[MLS_HASH_BYTES], key[MLS_AEAD_KEY_BYTES],
		nonce[MLS_AEAD_NONCE_BYTES];
};

static int open_welcome(struct joining *j, const struct mls_group *group,
			const struct mls_key_package *self, const struct mls_join_options *options)
{
	struct mls_reader r;
	size_t n_psks;
	int error = open_secrets(self, &j->welcome, &j->secrets_raw);

	if (error == MLS_OK) {
		r = mls_reader(mls_view(&j->secrets_raw));
		mls_read_group_secrets(&r, &j->secrets);
		error = mls_reader_finish(&r);
	}
	if (error == MLS_OK && j->secrets.joiner_secret.len != MLS_HASH_BYTES)
		error = MLS_ERROR_PARSE;
	if (error == MLS_OK)
		error = collect_psks(j->secrets.psks, options, j->psks, &n_psks);
	if (error == MLS_OK)
		error = mls_group_psk_secret(group, j->psks, n_psks, j->psk_secret);
	if (error == MLS_OK)
		error = mls_schedule_member(j->secrets.joiner_secret.data, j->psk_secret,
					    j->member);
	if (error == MLS_OK)
		error = mls_schedule_welcome(j->member, j->key, j->nonce);
	if (error == MLS_OK)
		error = mls_aead_open(j->key, j->nonce, j->welcome.encrypted_group_info,
				      &j->info_raw);
	if (error == MLS_OK) {
		r = mls_reader(mls_view(&j->info_raw));
		mls_read_group_info(&r, &j->info);
		error = mls_reader_finish(&r);
	}
	return error;
}

int mls_group_join(struct mls_group **out, const struct mls_key_package *self,
		   struct mls_bytes welcome, const struct mls_join_options *options)
{
	static const struct mls_join_options strict;
	struct mls_reader r = mls_reader(welcome);
	struct mls_group *group = NULL;
	struct joining *j;
	int error;

	if (!options)
		options = &strict;
	if (welcome.len > MLS_MAX_MESSAGE_BYTES ||
	    options->ratchet_tree.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	j = mls_alloc(sizeof(*j));
	if (!j)
		return MLS_ERROR_NOMEM;
	mls_read_welcome(&r, &j->welcome);
	error = mls_reader_finish(&r);
	if (error == MLS_OK && j->welcome.cipher_suite != MLS_SUITE)
		error = MLS_ERROR_UNSUPPORTED;
	if (error == MLS_OK)
		error = mls_group_new(&group, options->features, mls_bytes(NULL, 0), self->signer);
	if (error == MLS_OK) {
		mls_buffer_clear(&group->id); /* known only at the end */
		error = mls_group_set_psks(group, options->psks, options->n_psks);
	}
	if (error == MLS_OK)
		error = open_welcome(j, group, self, options);
	if (error == MLS_OK)
		error = take_group_info(group, &j->info, options->ratchet_tree);
	if (error == MLS_OK)
		error = find_ourselves(group, self);
	if (error == MLS_OK && j->secrets.has_path_secret)
		error = mls_path_adopt(group->tree, j->info.signer, j->secrets.path_secret,
				       &group->private);
	if (error == MLS_OK)
		error = enter_epoch(group, &j->info, j->member);
	mls_buffer_clear(&j->secrets_raw);
	mls_buffer_clear(&j->info_raw);
	mls_free(j, sizeof(*j));
	if (error != MLS_OK) {
		mls_group_destroy(group);
		return error;
	}
	*out = group;
	return MLS_OK;
}
