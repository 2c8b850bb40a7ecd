/* SPDX-License-Identifier: MIT
 *
 * messages.c - reading and writing the structures of RFC 9420.
 */
#include "discord/mls/messages.h"

/* ---- leaves and key packages -------------------------------------------------------------- */

uint16_t mls_read_extension(struct mls_reader *r, struct mls_bytes *data)
{
	uint16_t type = mls_read_u16(r);

	*data = mls_read_vector(r);
	return type;
}

/* Walks a vector of extensions; one type may be there only once (RFC 9420 13.4 leaves no other
 * reading, as each is looked up by type). Quadratic on purpose: lists beyond a few are refused. */
void mls_read_extensions(struct mls_reader *r, struct mls_bytes *content)
{
	enum { MOST = 64 };
	struct mls_bytes data;
	struct mls_reader e;
	uint16_t seen[MOST];
	size_t n = 0;

	*content = mls_read_vector(r);
	if (r->error != MLS_OK)
		return;
	e = mls_reader(*content);
	while (mls_reader_more(&e)) {
		uint16_t type = mls_read_extension(&e, &data);

		if (n == MOST)
			mls_reader_fail(&e, MLS_ERROR_LIMIT);
		for (size_t i = 0; i < n; i++)
			if (seen[i] == type)
				mls_reader_fail(&e, MLS_ERROR_PARSE);
		if (e.error == MLS_OK)
			seen[n++] = type;
	}
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
}

bool mls_extension_find(struct mls_bytes extensions, uint16_t type, struct mls_bytes *data)
{
	struct mls_reader r = mls_reader(extensions);

	while (mls_reader_more(&r))
		if (mls_read_extension(&r, data) == type && r.error == MLS_OK)
			return true;
	return false;
}

bool mls_list_has(struct mls_bytes values, uint16_t value)
{
	struct mls_reader r = mls_reader(values);

	while (mls_reader_more(&r))
		if (mls_read_u16(&r) == value)
			return true;
	return false;
}

void mls_read_credential(struct mls_reader *r, struct mls_credential *out)
{
	const uint8_t *from = r->at;

	out->type = mls_read_u16(r);
	if (r->error == MLS_OK && out->type != MLS_CREDENTIAL_BASIC &&
	    out->type != MLS_CREDENTIAL_X509)
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
	out->identity = mls_read_vector(r);
	if (r->error == MLS_OK && out->type == MLS_CREDENTIAL_X509) {
		struct mls_reader certificates = mls_reader(out->identity);

		while (mls_reader_more(&certificates))
			mls_read_vector(&certificates);
		if (certificates.error != MLS_OK)
			mls_reader_fail(r, certificates.error);
	}
	out->raw = mls_reader_since(r, from);
}

static struct mls_bytes read_u16_list(struct mls_reader *r)
{
	struct mls_bytes content = mls_read_vector(r);

	if (content.len % 2)
		mls_reader_fail(r, MLS_ERROR_PARSE);
	return content;
}

void mls_read_leaf(struct mls_reader *r, struct mls_leaf_view *out)
{
	const uint8_t *from = r->at;

	memset(out, 0, sizeof(*out));
	out->encryption_key = mls_read_vector(r);
	out->signature_key = mls_read_vector(r);
	mls_read_credential(r, &out->credential);
	out->capabilities.versions = read_u16_list(r);
	out->capabilities.cipher_suites = read_u16_list(r);
	out->capabilities.extensions = read_u16_list(r);
	out->capabilities.proposals = read_u16_list(r);
	out->capabilities.credentials = read_u16_list(r);
	out->source = mls_read_u8(r);
	switch (out->source) {
	case MLS_LEAF_KEY_PACKAGE:
		out->not_before = mls_read_u64(r);
		out->not_after = mls_read_u64(r);
		break;
	case MLS_LEAF_UPDATE:
		break;
	case MLS_LEAF_COMMIT:
		out->parent_hash = mls_read_vector(r);
		break;
	default:
		mls_reader_fail(r, MLS_ERROR_PARSE);
	}
	mls_read_extensions(r, &out->extensions);
	out->tbs = mls_reader_since(r, from);
	out->signature = mls_read_vector(r);
	out->raw = mls_reader_since(r, from);
}

void mls_read_key_package(struct mls_reader *r, struct mls_key_package_view *out)
{
	const uint8_t *from = r->at;

	memset(out, 0, sizeof(*out));
	out->version = mls_read_u16(r);
	out->cipher_suite = mls_read_u16(r);
	out->init_key = mls_read_vector(r);
	mls_read_leaf(r, &out->leaf);
	mls_read_extensions(r, &out->extensions);
	out->tbs = mls_reader_since(r, from);
	out->signature = mls_read_vector(r);
	out->raw = mls_reader_since(r, from);
}

/* ---- proposals ---------------------------------------------------------------------------- */

void mls_read_psk(struct mls_reader *r, struct mls_psk_view *out)
{
	const uint8_t *from = r->at;

	memset(out, 0, sizeof(*out));
	out->type = mls_read_u8(r);
	switch (out->type) {
	case MLS_PSK_EXTERNAL:
		out->id = mls_read_vector(r);
		break;
	case MLS_PSK_RESUMPTION:
		out->usage = mls_read_u8(r);
		if (out->usage < 1 || out->usage > 3)
			mls_reader_fail(r, MLS_ERROR_PARSE);
		out->group_id = mls_read_vector(r);
		out->epoch = mls_read_u64(r);
		break;
	default:
		mls_reader_fail(r, MLS_ERROR_PARSE);
	}
	out->nonce = mls_read_vector(r);
	out->raw = mls_reader_since(r, from);
}

void mls_read_proposal_body(struct mls_reader *r, uint16_t type, struct mls_proposal_view *out)
{
	const uint8_t *from = r->at;
	struct mls_bytes ignored;

	memset(out, 0, sizeof(*out));
	out->type = type;
	switch (type) {
	case MLS_PROPOSAL_ADD:
		mls_read_key_package(r, &out->key_package);
		break;
	case MLS_PROPOSAL_UPDATE:
		mls_read_leaf(r, &out->leaf);
		break;
	case MLS_PROPOSAL_REMOVE:
		out->removed = mls_read_u32(r);
		break;
	case MLS_PROPOSAL_PSK:
		mls_read_psk(r, &out->psk);
		break;
	case MLS_PROPOSAL_REINIT: /* no group here can be re-initialised: form only */
		mls_read_vector(r);
		mls_read_u16(r);
		mls_read_u16(r);
		mls_read_extensions(r, &ignored);
		break;
	case MLS_PROPOSAL_EXTERNAL_INIT: /* belongs to external commits: form only */
		mls_read_vector(r);
		break;
	case MLS_PROPOSAL_GROUP_EXTENSIONS:
		mls_read_extensions(r, &out->extensions);
		break;
	default: /* of unknown length */
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
	}
	out->raw = mls_reader_since(r, from);
}

void mls_read_proposal(struct mls_reader *r, struct mls_proposal_view *out)
{
	const uint8_t *from = r->at;
	uint16_t type = mls_read_u16(r);

	mls_read_proposal_body(r, type, out);
	out->raw = mls_reader_since(r, from);
}

void mls_read_proposal_or_ref(struct mls_reader *r, struct mls_proposal_or_ref *out)
{
	uint8_t type = mls_read_u8(r);

	memset(out, 0, sizeof(*out));
	out->by_reference = type == 2;
	if (type == 1)
		mls_read_proposal(r, &out->proposal);
	else if (type == 2)
		out->ref = mls_read_vector(r);
	else
		mls_reader_fail(r, MLS_ERROR_PARSE);
}

/* ---- commits ------------------------------------------------------------------------------ */

void mls_read_hpke(struct mls_reader *r, struct mls_hpke_view *out)
{
	out->kem_output = mls_read_vector(r);
	out->ciphertext = mls_read_vector(r);
}

void mls_read_path_node(struct mls_reader *r, struct mls_path_node_view *out)
{
	struct mls_hpke_view ciphertext;
	struct mls_reader e;

	out->encryption_key = mls_read_vector(r);
	out->ciphertexts = mls_read_vector(r);
	e = mls_reader(out->ciphertexts);
	while (mls_reader_more(&e))
		mls_read_hpke(&e, &ciphertext);
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
}

void mls_read_path(struct mls_reader *r, struct mls_path_view *out)
{
	struct mls_path_node_view node;
	struct mls_reader e;

	memset(out, 0, sizeof(*out));
	mls_read_leaf(r, &out->leaf);
	out->nodes = mls_read_vector(r);
	e = mls_reader(out->nodes);
	while (mls_reader_more(&e))
		mls_read_path_node(&e, &node);
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
}

void mls_read_commit(struct mls_reader *r, struct mls_commit_view *out)
{
	struct mls_proposal_or_ref item;
	struct mls_reader e;
	size_t n = 0;

	memset(out, 0, sizeof(*out));
	out->proposals = mls_read_vector(r);
	e = mls_reader(out->proposals);
	while (mls_reader_more(&e)) {
		mls_read_proposal_or_ref(&e, &item);
		if (++n > MLS_MAX_PROPOSALS)
			mls_reader_fail(&e, MLS_ERROR_LIMIT);
	}
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
	out->has_path = mls_read_optional(r);
	if (out->has_path)
		mls_read_path(r, &out->path);
}

/* ---- framing ------------------------------------------------------------------------------ */

void mls_read_framed(struct mls_reader *r, struct mls_framed_view *out)
{
	const uint8_t *from = r->at;

	memset(out, 0, sizeof(*out));
	out->group_id = mls_read_vector(r);
	out->epoch = mls_read_u64(r);
	out->sender_type = mls_read_u8(r);
	switch (out->sender_type) {
	case MLS_SENDER_MEMBER:
	case MLS_SENDER_EXTERNAL:
		out->sender = mls_read_u32(r);
		break;
	case MLS_SENDER_NEW_MEMBER_PROPOSAL:
	case MLS_SENDER_NEW_MEMBER_COMMIT:
		break;
	default:
		mls_reader_fail(r, MLS_ERROR_PARSE);
	}
	out->authenticated_data = mls_read_vector(r);
	out->content_type = mls_read_u8(r);
	switch (out->content_type) {
	case MLS_CONTENT_APPLICATION:
		out->application = mls_read_vector(r);
		break;
	case MLS_CONTENT_PROPOSAL:
		mls_read_proposal(r, &out->proposal);
		break;
	case MLS_CONTENT_COMMIT:
		mls_read_commit(r, &out->commit);
		break;
	default:
		mls_reader_fail(r, MLS_ERROR_PARSE);
	}
	out->raw = mls_reader_since(r, from);
}

void mls_read_auth(struct mls_reader *r, struct mls_public_message *message)
{
	message->signature = mls_read_vector(r);
	if (message->content.content_type == MLS_CONTENT_COMMIT)
		message->confirmation_tag = mls_read_vector(r);
}

void mls_read_public_message(struct mls_reader *r, struct mls_public_message *out)
{
	memset(out, 0, sizeof(*out));
	mls_read_framed(r, &out->content);
	mls_read_auth(r, out);
	if (out->content.sender_type == MLS_SENDER_MEMBER)
		out->membership_tag = mls_read_vector(r);
}

uint16_t mls_read_message_header(struct mls_reader *r)
{
	if (mls_read_u16(r) != MLS_VERSION_10)
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
	return mls_read_u16(r);
}

void mls_read_mls_public_message(struct mls_reader *r, struct mls_public_message *out)
{
	uint16_t format = mls_read_message_header(r);

	if (r->error == MLS_OK && format != MLS_WIRE_PUBLIC_MESSAGE)
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
	mls_read_public_message(r, out);
}

int mls_message_peek(struct mls_bytes bytes, struct mls_message_info *out)
{
	struct mls_public_message message;
	struct mls_reader r = mls_reader(bytes);

	mls_read_mls_public_message(&r, &message);
	if (r.error != MLS_OK)
		return r.error;
	*out = (struct mls_message_info){
		.group_id = message.content.group_id,
		.epoch = message.content.epoch,
		.content_type = (enum mls_content_type)message.content.content_type,
		.sender_type = (enum mls_sender_type)message.content.sender_type,
		.sender = message.content.sender,
		.len = bytes.len - mls_reader_left(&r),
	};
	return MLS_OK;
}

/* ---- group info and Welcome --------------------------------------------------------------- */

void mls_read_group_context(struct mls_reader *r, struct mls_group_context_view *out)
{
	const uint8_t *from = r->at;

	out->version = mls_read_u16(r);
	out->cipher_suite = mls_read_u16(r);
	out->group_id = mls_read_vector(r);
	out->epoch = mls_read_u64(r);
	out->tree_hash = mls_read_vector(r);
	out->confirmed_transcript_hash = mls_read_vector(r);
	mls_read_extensions(r, &out->extensions);
	out->raw = mls_reader_since(r, from);
}

void mls_read_group_info(struct mls_reader *r, struct mls_group_info_view *out)
{
	const uint8_t *from = r->at;

	mls_read_group_context(r, &out->context);
	mls_read_extensions(r, &out->extensions);
	out->confirmation_tag = mls_read_vector(r);
	out->signer = mls_read_u32(r);
	out->tbs = mls_reader_since(r, from);
	out->signature = mls_read_vector(r);
}

void mls_read_group_secrets(struct mls_reader *r, struct mls_group_secrets_view *out)
{
	struct mls_psk_view psk;
	struct mls_reader e;

	memset(out, 0, sizeof(*out));
	out->joiner_secret = mls_read_vector(r);
	out->has_path_secret = mls_read_optional(r);
	if (out->has_path_secret)
		out->path_secret = mls_read_vector(r);
	out->psks = mls_read_vector(r);
	e = mls_reader(out->psks);
	while (mls_reader_more(&e))
		mls_read_psk(&e, &psk);
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
}

void mls_read_welcome_entry(struct mls_reader *r, struct mls_welcome_entry *out)
{
	out->new_member = mls_read_vector(r);
	mls_read_hpke(r, &out->secrets);
}

void mls_read_welcome(struct mls_reader *r, struct mls_welcome_view *out)
{
	struct mls_welcome_entry entry;
	struct mls_reader e;

	out->cipher_suite = mls_read_u16(r);
	out->secrets = mls_read_vector(r);
	e = mls_reader(out->secrets);
	while (mls_reader_more(&e))
		mls_read_welcome_entry(&e, &entry);
	if (e.error != MLS_OK)
		mls_reader_fail(r, e.error);
	out->encrypted_group_info = mls_read_vector(r);
}

/* ---- writing ------------------------------------------------------------------------------ */

void mls_write_capabilities(struct mls_writer *w, const struct mls_capabilities *c)
{
	mls_write_vector(w, c->versions);
	mls_write_vector(w, c->cipher_suites);
	mls_write_vector(w, c->extensions);
	mls_write_vector(w, c->proposals);
	mls_write_vector(w, c->credentials);
}

void mls_write_leaf_tbs(struct mls_writer *w, const struct mls_leaf_view *leaf)
{
	mls_write_vector(w, leaf->encryption_key);
	mls_write_vector(w, leaf->signature_key);
	mls_write_u16(w, leaf->credential.type);
	mls_write_vector(w, leaf->credential.identity);
	mls_write_capabilities(w, &leaf->capabilities);
	mls_write_u8(w, leaf->source);
	if (leaf->source == MLS_LEAF_KEY_PACKAGE) {
		mls_write_u64(w, leaf->not_before);
		mls_write_u64(w, leaf->not_after);
	} else if (leaf->source == MLS_LEAF_COMMIT) {
		mls_write_vector(w, leaf->parent_hash);
	}
	mls_write_vector(w, leaf->extensions);
}

void mls_write_psk(struct mls_writer *w, const struct mls_psk_view *psk)
{
	mls_write_u8(w, psk->type);
	if (psk->type == MLS_PSK_EXTERNAL) {
		mls_write_vector(w, psk->id);
	} else {
		mls_write_u8(w, psk->usage);
		mls_write_vector(w, psk->group_id);
		mls_write_u64(w, psk->epoch);
	}
	mls_write_vector(w, psk->nonce);
}

void mls_write_group_context(struct mls_writer *w, struct mls_bytes group_id, uint64_t epoch,
			     struct mls_bytes tree_hash, struct mls_bytes confirmed,
			     struct mls_bytes extensions)
{
	mls_write_u16(w, MLS_VERSION_10);
	mls_write_u16(w, MLS_SUITE);
	mls_write_vector(w, group_id);
	mls_write_u64(w, epoch);
	mls_write_vector(w, tree_hash);
	mls_write_vector(w, confirmed);
	mls_write_vector(w, extensions);
}
