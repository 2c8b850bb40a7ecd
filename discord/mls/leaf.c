/* SPDX-License-Identifier: MIT
 *
 * leaf.c - making and checking leaf nodes, and what groups ask of them.
 */
#include "discord/mls/leaf.h"

static void write_leaf_tail(struct mls_writer *w, const struct mls_leaf_view *leaf,
			    struct mls_bytes group_id, uint32_t index)
{
	if (leaf->source == MLS_LEAF_KEY_PACKAGE)
		return;
	mls_write_vector(w, group_id);
	mls_write_u32(w, index);
}

int mls_leaf_sign(const struct mls_leaf_view *fields, struct mls_bytes group_id, uint32_t index,
		  const struct mls_signature_key *signer, struct mls_buffer *out)
{
	struct mls_buffer signature = {NULL, 0};
	struct mls_writer tbs = {0}, whole = {0};
	int error;

	mls_write_leaf_tbs(&tbs, fields);
	write_leaf_tail(&tbs, fields, group_id, index);
	error = tbs.error;
	if (error == MLS_OK)
		error = mls_sign(signer, "LeafNodeTBS", mls_written(&tbs), &signature);
	if (error == MLS_OK) {
		mls_write_leaf_tbs(&whole, fields);
		mls_write_vector(&whole, mls_view(&signature));
		error = mls_writer_take(&whole, out);
	}
	mls_buffer_clear(&signature);
	mls_writer_clear(&tbs);
	return error;
}

/* Every type that RFC 9420 defines itself is supported without being listed (7.2). */
static bool extension_is_default(uint16_t type)
{
	return type >= MLS_EXTENSION_APPLICATION_ID && type <= MLS_EXTENSION_EXTERNAL_SENDERS;
}

static bool proposal_is_default(uint16_t type)
{
	return type >= MLS_PROPOSAL_ADD && type <= MLS_PROPOSAL_GROUP_EXTENSIONS;
}

int mls_leaf_check(const struct mls_leaf_view *leaf, struct mls_bytes group_id, uint32_t index)
{
	const struct mls_capabilities *can = &leaf->capabilities;
	struct mls_reader extensions = mls_reader(leaf->extensions);
	struct mls_writer tbs = {0};
	struct mls_bytes data;
	int error;

	if (leaf->credential.type != MLS_CREDENTIAL_BASIC)
		return MLS_ERROR_UNSUPPORTED;
	if (!mls_list_has(can->versions, MLS_VERSION_10) ||
	    !mls_list_has(can->cipher_suites, MLS_SUITE) ||
	    !mls_list_has(can->credentials, leaf->credential.type))
		return MLS_ERROR_KEY_PACKAGE;
	while (mls_reader_more(&extensions)) {
		uint16_t type = mls_read_extension(&extensions, &data);

		if (!extension_is_default(type) && !mls_list_has(can->extensions, type))
			return MLS_ERROR_KEY_PACKAGE;
	}
	error = mls_p256_check(leaf->encryption_key);
	if (error != MLS_OK)
		return error;
	/* The signature key's point is checked by verifying with it. */
	mls_write_bytes(&tbs, leaf->tbs);
	write_leaf_tail(&tbs, leaf, group_id, index);
	error = tbs.error;
	if (error == MLS_OK)
		error = mls_verify(leaf->signature_key, "LeafNodeTBS", mls_written(&tbs),
				   leaf->signature);
	mls_writer_clear(&tbs);
	return error;
}

/* Is each uint16 of the first list in the second or known to everybody? */
static bool list_covered(struct mls_bytes wanted, struct mls_bytes have,
			 bool (*is_default)(uint16_t type))
{
	struct mls_reader r = mls_reader(wanted);

	while (mls_reader_more(&r)) {
		uint16_t type = mls_read_u16(&r);

		if ((!is_default || !is_default(type)) && !mls_list_has(have, type))
			return false;
	}
	return true;
}

static void read_required(struct mls_bytes data, struct mls_capabilities *out, int *error)
{
	struct mls_reader r = mls_reader(data);

	memset(out, 0, sizeof(*out));
	out->extensions = mls_read_vector(&r);
	out->proposals = mls_read_vector(&r);
	out->credentials = mls_read_vector(&r);
	*error = mls_reader_finish(&r);
	if (*error == MLS_OK &&
	    (out->extensions.len % 2 || out->proposals.len % 2 || out->credentials.len % 2))
		*error = MLS_ERROR_PARSE;
}

int mls_leaf_check_support(const struct mls_leaf_view *leaf, struct mls_bytes group_extensions)
{
	const struct mls_capabilities *can = &leaf->capabilities;
	struct mls_reader r = mls_reader(group_extensions);
	struct mls_capabilities required;
	struct mls_bytes data;
	int error;

	while (mls_reader_more(&r)) {
		uint16_t type = mls_read_extension(&r, &data);

		if (!extension_is_default(type) && !mls_list_has(can->extensions, type))
			return MLS_ERROR_KEY_PACKAGE;
		if (type != MLS_EXTENSION_REQUIRED_CAPABILITIES)
			continue;
		read_required(data, &required, &error);
		if (error != MLS_OK)
			return error;
		if (!list_covered(required.extensions, can->extensions, extension_is_default) ||
		    !list_covered(required.proposals, can->proposals, proposal_is_default) ||
		    !list_covered(required.credentials, can->credentials, NULL))
			return MLS_ERROR_KEY_PACKAGE;
	}
	return MLS_OK;
}

static void read_external_sender(struct mls_reader *r, struct mls_external_sender *out)
{
	struct mls_credential credential = {0};

	out->signature_key = mls_read_vector(r);
	mls_read_credential(r, &credential);
	out->identity = credential.identity;
	if (r->error == MLS_OK && credential.type != MLS_CREDENTIAL_BASIC)
		mls_reader_fail(r, MLS_ERROR_UNSUPPORTED);
}

int mls_external_sender_parse(struct mls_bytes bytes, struct mls_external_sender *out)
{
	struct mls_reader r = mls_reader(bytes);
	struct mls_external_sender sender;
	int error;

	if (bytes.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	read_external_sender(&r, &sender);
	error = mls_reader_finish(&r);
	if (error == MLS_OK)
		error = mls_p256_check(sender.signature_key);
	if (error == MLS_OK)
		*out = sender;
	return error;
}

int mls_group_extensions_check(struct mls_bytes extensions)
{
	struct mls_capabilities required;
	struct mls_external_sender sender;
	struct mls_bytes data;
	struct mls_reader r, senders;
	int error = MLS_OK;

	/* They belong to key packages and GroupInfo (RFC 9420 17.3). */
	if (mls_extension_find(extensions, MLS_EXTENSION_RATCHET_TREE, &data) ||
	    mls_extension_find(extensions, MLS_EXTENSION_EXTERNAL_PUB, &data))
		return MLS_ERROR_PARSE;
	if (mls_extension_find(extensions, MLS_EXTENSION_REQUIRED_CAPABILITIES, &data))
		read_required(data, &required, &error);
	if (error == MLS_OK &&
	    mls_extension_find(extensions, MLS_EXTENSION_EXTERNAL_SENDERS, &data)) {
		r = mls_reader(data);
		senders = mls_read_elements(&r);
		error = mls_reader_finish(&r);
		while (error == MLS_OK && mls_reader_more(&senders))
			read_external_sender(&senders, &sender);
		if (error == MLS_OK)
			error = senders.error;
	}
	return error;
}
