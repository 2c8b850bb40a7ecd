/* SPDX-License-Identifier: MIT
 *
 * vec_messages.h - vectors of messages: codec round trips, transcript, protection, Welcome.
 * Included once by mls-vectors.c.
 */
#ifndef TESTS_VECTORS_VEC_MESSAGES_H
#define TESTS_VECTORS_VEC_MESSAGES_H

#include "discord/mls/key_schedule.h"
#include "discord/mls/leaf.h"
#include "vec.h"

/* ---- writing anew what was parsed: the library itself writes only what it makes ------------ */

static void put_leaf(struct mls_writer *w, const struct mls_leaf_view *v)
{
	mls_write_leaf_tbs(w, v);
	mls_write_vector(w, v->signature);
}

static void put_key_package(struct mls_writer *w, const struct mls_key_package_view *v)
{
	mls_write_u16(w, v->version);
	mls_write_u16(w, v->cipher_suite);
	mls_write_vector(w, v->init_key);
	put_leaf(w, &v->leaf);
	mls_write_vector(w, v->extensions);
	mls_write_vector(w, v->signature);
}

/* ReInit and ExternalInit are parsed for form alone: their bytes are passed through. */
static void put_proposal_body(struct mls_writer *w, const struct mls_proposal_view *v,
			      struct mls_bytes raw_body)
{
	switch (v->type) {
	case MLS_PROPOSAL_ADD:
		put_key_package(w, &v->key_package);
		break;
	case MLS_PROPOSAL_UPDATE:
		put_leaf(w, &v->leaf);
		break;
	case MLS_PROPOSAL_REMOVE:
		mls_write_u32(w, v->removed);
		break;
	case MLS_PROPOSAL_PSK:
		mls_write_psk(w, &v->psk);
		break;
	case MLS_PROPOSAL_GROUP_EXTENSIONS:
		mls_write_vector(w, v->extensions);
		break;
	default:
		mls_write_bytes(w, raw_body);
	}
}

static void put_proposal(struct mls_writer *w, const struct mls_proposal_view *v)
{
	mls_write_u16(w, v->type);
	put_proposal_body(w, v, mls_bytes(v->raw.data + 2, v->raw.len - 2));
}

static void put_hpke(struct mls_writer *w, const struct mls_hpke_view *v)
{
	mls_write_vector(w, v->kem_output);
	mls_write_vector(w, v->ciphertext);
}

static void put_path(struct mls_writer *w, const struct mls_path_view *v)
{
	struct mls_reader nodes = mls_reader(v->nodes);
	size_t begin, inner;

	put_leaf(w, &v->leaf);
	begin = mls_write_begin(w);
	while (mls_reader_more(&nodes)) {
		struct mls_path_node_view node;
		struct mls_reader each;

		mls_read_path_node(&nodes, &node);
		mls_write_vector(w, node.encryption_key);
		inner = mls_write_begin(w);
		each = mls_reader(node.ciphertexts);
		while (mls_reader_more(&each)) {
			struct mls_hpke_view ciphertext;

			mls_read_hpke(&each, &ciphertext);
			put_hpke(w, &ciphertext);
		}
		mls_write_end(w, inner);
	}
	mls_write_end(w, begin);
}

static void put_commit(struct mls_writer *w, const struct mls_commit_view *v)
{
	struct mls_reader proposals = mls_reader(v->proposals);
	size_t begin = mls_write_begin(w);

	while (mls_reader_more(&proposals)) {
		struct mls_proposal_or_ref item;

		mls_read_proposal_or_ref(&proposals, &item);
		mls_write_u8(w, item.by_reference ? 2 : 1);
		if (item.by_reference)
			mls_write_vector(w, item.ref);
		else
			put_proposal(w, &item.proposal);
	}
	mls_write_end(w, begin);
	mls_write_u8(w, v->has_path);
	if (v->has_path)
		put_path(w, &v->path);
}

static void put_framed(struct mls_writer *w, const struct mls_framed_view *v)
{
	mls_write_vector(w, v->group_id);
	mls_write_u64(w, v->epoch);
	mls_write_u8(w, v->sender_type);
	if (v->sender_type == MLS_SENDER_MEMBER || v->sender_type == MLS_SENDER_EXTERNAL)
		mls_write_u32(w, v->sender);
	mls_write_vector(w, v->authenticated_data);
	mls_write_u8(w, v->content_type);
	if (v->content_type == MLS_CONTENT_APPLICATION)
		mls_write_vector(w, v->application);
	else if (v->content_type == MLS_CONTENT_PROPOSAL)
		put_proposal(w, &v->proposal);
	else
		put_commit(w, &v->commit);
}

static void put_public_message(struct mls_writer *w, const struct mls_public_message *v)
{
	put_framed(w, &v->content);
	mls_write_vector(w, v->signature);
	if (v->content.content_type == MLS_CONTENT_COMMIT)
		mls_write_vector(w, v->confirmation_tag);
	if (v->content.sender_type == MLS_SENDER_MEMBER)
		mls_write_vector(w, v->membership_tag);
}

static void put_group_info(struct mls_writer *w, const struct mls_group_info_view *v)
{
	mls_write_u16(w, v->context.version);
	mls_write_u16(w, v->context.cipher_suite);
	mls_write_vector(w, v->context.group_id);
	mls_write_u64(w, v->context.epoch);
	mls_write_vector(w, v->context.tree_hash);
	mls_write_vector(w, v->context.confirmed_transcript_hash);
	mls_write_vector(w, v->context.extensions);
	mls_write_vector(w, v->extensions);
	mls_write_vector(w, v->confirmation_tag);
	mls_write_u32(w, v->signer);
	mls_write_vector(w, v->signature);
}

static void put_group_secrets(struct mls_writer *w, const struct mls_group_secrets_view *v)
{
	struct mls_reader psks = mls_reader(v->psks);
	size_t begin;

	mls_write_vector(w, v->joiner_secret);
	mls_write_u8(w, v->has_path_secret);
	if (v->has_path_secret)
		mls_write_vector(w, v->path_secret);
	begin = mls_write_begin(w);
	while (mls_reader_more(&psks)) {
		struct mls_psk_view psk;

		mls_read_psk(&psks, &psk);
		mls_write_psk(w, &psk);
	}
	mls_write_end(w, begin);
}

static void put_welcome(struct mls_writer *w, const struct mls_welcome_view *v)
{
	struct mls_reader entries = mls_reader(v->secrets);
	size_t begin;

	mls_write_u16(w, v->cipher_suite);
	begin = mls_write_begin(w);
	while (mls_reader_more(&entries)) {
		struct mls_welcome_entry entry;

		mls_read_welcome_entry(&entries, &entry);
		mls_write_vector(w, entry.new_member);
		put_hpke(w, &entry.secrets);
	}
	mls_write_end(w, begin);
	mls_write_vector(w, v->encrypted_group_info);
}

/* The library refuses it; here its outside alone shows that the cursor keeps step. */
static void again_private_message(struct mls_reader *r, struct mls_writer *w)
{
	mls_write_vector(w, mls_read_vector(r)); /* group id */
	mls_write_u64(w, mls_read_u64(r));       /* epoch */
	mls_write_u8(w, mls_read_u8(r));         /* content type */
	mls_write_vector(w, mls_read_vector(r)); /* authenticated data */
	mls_write_vector(w, mls_read_vector(r)); /* encrypted sender data */
	mls_write_vector(w, mls_read_vector(r)); /* ciphertext */
}

/* ---- messages ------------------------------------------------------------------------------ */

enum shape {
	SHAPE_MESSAGE, /* MLSMessage */
	SHAPE_TREE,
	SHAPE_SECRETS,
	SHAPE_COMMIT,
	SHAPE_BODY, /* + proposal type */
};

static void again_message(struct mls_reader *r, struct mls_writer *w)
{
	uint16_t format = mls_read_message_header(r);
	struct mls_public_message public;
	struct mls_welcome_view welcome;
	struct mls_group_info_view info;
	struct mls_key_package_view key_package;

	mls_write_u16(w, MLS_VERSION_10);
	mls_write_u16(w, format);
	switch (format) {
	case MLS_WIRE_PUBLIC_MESSAGE:
		mls_read_public_message(r, &public);
		put_public_message(w, &public);
		break;
	case MLS_WIRE_PRIVATE_MESSAGE:
		again_private_message(r, w);
		break;
	case MLS_WIRE_WELCOME:
		mls_read_welcome(r, &welcome);
		put_welcome(w, &welcome);
		break;
	case MLS_WIRE_GROUP_INFO:
		mls_read_group_info(r, &info);
		put_group_info(w, &info);
		break;
	case MLS_WIRE_KEY_PACKAGE:
		mls_read_key_package(r, &key_package);
		put_key_package(w, &key_package);
		break;
	default:
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
	}
}

static enum vec_result vec_again(const cJSON *entry, const char *name, int shape)
{
	struct mls_bytes given = vec_hex(entry, name);
	struct mls_reader r = mls_reader(given);
	struct mls_writer w = {0};
	struct mls_group_secrets_view secrets;
	struct mls_commit_view commit;
	struct mls_proposal_view proposal;
	struct mls_tree *tree;
	int error;

	switch (shape) {
	case SHAPE_MESSAGE:
		again_message(&r, &w);
		break;
	case SHAPE_TREE:
		error = mls_tree_read(&tree, given);
		if (error != MLS_OK)
			return vec_fail("%s: %s", name, mls_error_text(error));
		mls_tree_write(tree, &w);
		mls_tree_destroy(tree);
		r.at = r.end;
		break;
	case SHAPE_SECRETS:
		mls_read_group_secrets(&r, &secrets);
		put_group_secrets(&w, &secrets);
		break;
	case SHAPE_COMMIT:
		mls_read_commit(&r, &commit);
		put_commit(&w, &commit);
		break;
	default:
		mls_read_proposal_body(&r, (uint16_t)(shape - SHAPE_BODY), &proposal);
		put_proposal_body(&w, &proposal, proposal.raw);
	}
	error = mls_reader_finish(&r);
	if (error != MLS_OK)
		return vec_fail("%s: %s", name, mls_error_text(error));
	if (!mls_bytes_equal(given, mls_written(&w)))
		return vec_fail("%s: written again it differs", name);
	mls_writer_clear(&w);
	return VEC_PASSED;
}

static enum vec_result vec_messages(const cJSON *entry)
{
	static const struct {
		const char *name;
		int shape;
	} fields[] = {
		{"mls_welcome", SHAPE_MESSAGE},
		{"mls_group_info", SHAPE_MESSAGE},
		{"mls_key_package", SHAPE_MESSAGE},
		{"ratchet_tree", SHAPE_TREE},
		{"group_secrets", SHAPE_SECRETS},
		{"add_proposal", SHAPE_BODY + MLS_PROPOSAL_ADD},
		{"update_proposal", SHAPE_BODY + MLS_PROPOSAL_UPDATE},
		{"remove_proposal", SHAPE_BODY + MLS_PROPOSAL_REMOVE},
		{"pre_shared_key_proposal", SHAPE_BODY + MLS_PROPOSAL_PSK},
		{"re_init_proposal", SHAPE_BODY + MLS_PROPOSAL_REINIT},
		{"external_init_proposal", SHAPE_BODY + MLS_PROPOSAL_EXTERNAL_INIT},
		{"group_context_extensions_proposal", SHAPE_BODY + MLS_PROPOSAL_GROUP_EXTENSIONS},
		{"commit", SHAPE_COMMIT},
		{"public_message_application", SHAPE_MESSAGE},
		{"public_message_proposal", SHAPE_MESSAGE},
		{"public_message_commit", SHAPE_MESSAGE},
		{"private_message", SHAPE_MESSAGE},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		enum vec_result result = vec_again(entry, fields[i].name, fields[i].shape);

		if (result != VEC_PASSED)
			return result;
	}
	return VEC_PASSED;
}

/* ---- transcript ---------------------------------------------------------------------------- */

static enum vec_result vec_transcript(const cJSON *entry)
{
	struct mls_reader r = mls_reader(vec_hex(entry, "authenticated_content"));
	struct mls_public_message m;
	uint8_t confirmed[32], interim[32], tag[32];
	struct mls_bytes hash = mls_bytes(confirmed, 32);

	memset(&m, 0, sizeof(m));
	VEC_CHECK(mls_read_u16(&r) == MLS_WIRE_PUBLIC_MESSAGE);
	mls_read_framed(&r, &m.content);
	mls_read_auth(&r, &m);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_transcript_confirmed(vec_hex(entry, "interim_transcript_hash_before").data,
					m.content.raw, m.signature, confirmed));
	VEC_CHECK(vec_is(entry, "confirmed_transcript_hash_after", confirmed, 32));
	VEC_OK(mls_hmac(vec_hex(entry, "confirmation_key"), &hash, 1, tag));
	VEC_CHECK(mls_tag_equal(m.confirmation_tag, tag));
	VEC_OK(mls_transcript_interim(hash, m.confirmation_tag, interim));
	VEC_CHECK(vec_is(entry, "interim_transcript_hash_after", interim, 32));
	return VEC_PASSED;
}

/* ---- message protection -------------------------------------------------------------------- */

static enum vec_result vec_protected(const cJSON *entry, const char *bare, const char *message,
				     struct mls_bytes context)
{
	struct mls_bytes content = vec_hex(entry, bare), got;
	struct mls_reader r = mls_reader(vec_hex(entry, message));
	struct mls_signature_key *key;
	struct mls_public_message m;
	struct mls_buffer signature;
	uint8_t tag[32];
	bool commit;

	mls_read_mls_public_message(&r, &m);
	VEC_OK(mls_reader_finish(&r));
	commit = m.content.content_type == MLS_CONTENT_COMMIT;
	VEC_CHECK(m.content.sender_type == MLS_SENDER_MEMBER && m.content.sender == 1);
	VEC_OK(mls_framed_verify(m.content.raw, context, vec_hex(entry, "signature_pub"),
				 m.signature));
	VEC_OK(mls_membership_tag(vec_hex(entry, "membership_key").data, m.content.raw, context,
				  m.signature, commit ? &m.confirmation_tag : NULL, tag));
	VEC_CHECK(mls_tag_equal(m.membership_tag, tag));
	/* the content is the tail of FramedContent */
	VEC_CHECK(m.content.raw.len > content.len);
	got = mls_bytes(m.content.raw.data + m.content.raw.len - content.len, content.len);
	VEC_CHECK(mls_bytes_equal(got, content));
	/* our own protection of the same content verifies as well */
	VEC_OK(mls_signature_key_import(&key, vec_hex(entry, "signature_priv").data));
	VEC_OK(mls_framed_sign(m.content.raw, context, key, &signature));
	VEC_OK(mls_framed_verify(m.content.raw, context, vec_hex(entry, "signature_pub"),
				 mls_view(&signature)));
	mls_buffer_clear(&signature);
	mls_signature_key_destroy(key);
	return VEC_PASSED;
}

static enum vec_result vec_protection(const cJSON *entry)
{
	struct mls_writer w = {0};
	enum vec_result result;

	mls_write_group_context(&w, vec_hex(entry, "group_id"), vec_number(entry, "epoch"),
				vec_hex(entry, "tree_hash"),
				vec_hex(entry, "confirmed_transcript_hash"), mls_bytes(NULL, 0));
	result = vec_protected(entry, "proposal", "proposal_pub", mls_written(&w));
	if (result == VEC_PASSED)
		result = vec_protected(entry, "commit", "commit_pub", mls_written(&w));
	mls_writer_clear(&w);
	return result;
}

/* ---- Welcome -------------------------------------------------------------------------------- */

static enum vec_result vec_welcome(const cJSON *entry)
{
	struct mls_reader r = mls_reader(vec_hex(entry, "key_package")), entries;
	struct mls_key_package_view key_package;
	struct mls_buffer secrets_raw = {NULL, 0}, info_raw = {NULL, 0};
	struct mls_group_secrets_view secrets;
	struct mls_group_info_view info;
	struct mls_welcome_view welcome;
	struct mls_epoch_secrets epoch;
	struct mls_welcome_entry each;
	uint8_t ref[32], member[32], key[16], nonce[12], tag[32], psk[32] = {0};

	VEC_CHECK(mls_read_message_header(&r) == MLS_WIRE_KEY_PACKAGE);
	mls_read_key_package(&r, &key_package);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_key_package_ref(key_package.raw, ref));
	r = mls_reader(vec_hex(entry, "welcome"));
	VEC_CHECK(mls_read_message_header(&r) == MLS_WIRE_WELCOME);
	mls_read_welcome(&r, &welcome);
	VEC_OK(mls_reader_finish(&r));
	entries = mls_reader(welcome.secrets);
	while (mls_reader_more(&entries) && !secrets_raw.data) {
		mls_read_welcome_entry(&entries, &each);
		if (mls_bytes_equal(each.new_member, mls_bytes(ref, 32)))
			VEC_OK(mls_hpke_open(vec_hex(entry, "init_priv").data,
					     key_package.init_key.data, "Welcome",
					     welcome.encrypted_group_info, each.secrets.kem_output,
					     each.secrets.ciphertext, &secrets_raw));
	}
	VEC_CHECK(secrets_raw.data);
	r = mls_reader(mls_view(&secrets_raw));
	mls_read_group_secrets(&r, &secrets);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_schedule_member(secrets.joiner_secret.data, psk, member));
	VEC_OK(mls_schedule_welcome(member, key, nonce));
	VEC_OK(mls_aead_open(key, nonce, welcome.encrypted_group_info, &info_raw));
	r = mls_reader(mls_view(&info_raw));
	mls_read_group_info(&r, &info);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_verify(vec_hex(entry, "signer_pub"), "GroupInfoTBS", info.tbs, info.signature));
	VEC_OK(mls_schedule_epoch(member, info.context.raw, &epoch));
	VEC_OK(mls_hmac(mls_bytes(epoch.confirmation, 32), &info.context.confirmed_transcript_hash,
			1, tag));
	VEC_CHECK(mls_tag_equal(info.confirmation_tag, tag));
	mls_buffer_clear(&secrets_raw);
	mls_buffer_clear(&info_raw);
	return VEC_PASSED;
}

#endif
