/* SPDX-License-Identifier: MIT
 *
 * vec_group.h - vectors of whole groups: a passive client joins and follows, through the public
 * interface alone except for a look ahead at what an entry needs. Included once by mls-vectors.c.
 */
#ifndef TESTS_VECTORS_VEC_GROUP_H
#define TESTS_VECTORS_VEC_GROUP_H

#include "discord/mls/messages.h"
#include "vec.h"

/* Does the entry need what the library does not have? NULL if not. */
static const char *vec_proposal_needs(const struct mls_proposal_view *proposal)
{
	if (proposal->type == MLS_PROPOSAL_PSK && proposal->psk.type == MLS_PSK_RESUMPTION)
		return "needs resumption PSK";
	if (proposal->type == MLS_PROPOSAL_EXTERNAL_INIT)
		return "needs external commits";
	return NULL;
}

static const char *vec_message_needs(struct mls_bytes bytes)
{
	struct mls_public_message message;
	struct mls_reader r = mls_reader(bytes), items;
	const char *needs = NULL;
	uint16_t format = mls_read_message_header(&r);

	if (format == MLS_WIRE_PRIVATE_MESSAGE)
		return "needs PrivateMessage";
	mls_read_public_message(&r, &message);
	if (r.error != MLS_OK)
		return NULL;
	if (message.content.sender_type == MLS_SENDER_NEW_MEMBER_COMMIT)
		return "needs external commits";
	if (message.content.content_type == MLS_CONTENT_PROPOSAL)
		return vec_proposal_needs(&message.content.proposal);
	items = mls_reader(message.content.commit.proposals);
	while (!needs && mls_reader_more(&items)) {
		struct mls_proposal_or_ref item;

		mls_read_proposal_or_ref(&items, &item);
		if (!item.by_reference)
			needs = vec_proposal_needs(&item.proposal);
	}
	return needs;
}

static const char *vec_entry_needs(const cJSON *entry)
{
	const cJSON *epoch, *proposal;
	const char *needs = NULL;

	cJSON_ArrayForEach(epoch, vec_item(entry, "epochs"))
	{
		cJSON_ArrayForEach(proposal, vec_item(epoch, "proposals")) needs =
			needs ? needs : vec_message_needs(vec_unhex(proposal->valuestring));
		needs = needs ? needs : vec_message_needs(vec_hex(epoch, "commit"));
	}
	return needs;
}

/* Key packages and Welcomes come with or without the MLSMessage header. */
static struct mls_bytes vec_strip(struct mls_bytes bytes, uint16_t format)
{
	struct mls_reader r = mls_reader(bytes);

	if (mls_read_u16(&r) == MLS_VERSION_10 && mls_read_u16(&r) == format && r.error == MLS_OK)
		return mls_bytes(r.at, mls_reader_left(&r));
	return bytes;
}

static enum vec_result vec_join(const cJSON *entry, struct mls_group **out)
{
	const cJSON *tree = vec_item(entry, "ratchet_tree"),
		    *psks = vec_item(entry, "external_psks"), *item;
	struct mls_join_options options = {.features = MLS_FEATURE_ALL};
	struct mls_bytes welcome = vec_strip(vec_hex(entry, "welcome"), MLS_WIRE_WELCOME);
	struct mls_psk store[16];
	struct mls_signature_key *signer;
	struct mls_key_package *self;
	uint8_t authenticator[32];

	VEC_CHECK(cJSON_GetArraySize(psks) <= 16);
	cJSON_ArrayForEach(item, psks) store[options.n_psks++] =
		(struct mls_psk){vec_hex(item, "psk_id"), vec_hex(item, "psk")};
	options.psks = store;
	if (cJSON_IsString(tree))
		options.ratchet_tree = vec_unhex(tree->valuestring);
	VEC_OK(mls_signature_key_import(&signer, vec_hex(entry, "signature_priv").data));
	VEC_OK(mls_key_package_import(
		&self, signer, vec_strip(vec_hex(entry, "key_package"), MLS_WIRE_KEY_PACKAGE),
		vec_hex(entry, "init_priv").data, vec_hex(entry, "encryption_priv").data));
	VEC_OK(mls_group_join(out, self, welcome, &options));
	mls_key_package_destroy(self);
	mls_signature_key_destroy(signer);
	mls_group_epoch_authenticator(*out, authenticator);
	VEC_CHECK(vec_is(entry, "initial_epoch_authenticator", authenticator, 32));
	return VEC_PASSED;
}

static enum vec_result vec_follow(const cJSON *epoch, struct mls_group **group)
{
	struct mls_group *next;
	uint8_t authenticator[32];
	const cJSON *item;

	cJSON_ArrayForEach(item, vec_item(epoch, "proposals"))
		VEC_OK(mls_group_propose(*group, vec_unhex(item->valuestring), NULL, NULL));
	VEC_OK(mls_group_process(*group, vec_hex(epoch, "commit"), &next, NULL));
	mls_group_destroy(*group);
	*group = next;
	mls_group_epoch_authenticator(*group, authenticator);
	VEC_CHECK(vec_is(epoch, "epoch_authenticator", authenticator, 32));
	return VEC_PASSED;
}

static enum vec_result vec_passive(const cJSON *entry)
{
	const char *needs = vec_entry_needs(entry);
	struct mls_group *group = NULL;
	enum vec_result result;
	const cJSON *epoch;

	if (needs)
		return vec_skip(needs);
	result = vec_join(entry, &group);
	cJSON_ArrayForEach(epoch, vec_item(entry, "epochs")) result =
		result == VEC_PASSED ? vec_follow(epoch, &group) : result;
	mls_group_destroy(group);
	return result;
}

#endif
