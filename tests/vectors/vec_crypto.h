/* SPDX-License-Identifier: MIT
 *
 * vec_crypto.h - vectors of primitives, key schedule and tree arithmetic. Included once by
 * mls-vectors.c.
 */
#ifndef TESTS_VECTORS_VEC_CRYPTO_H
#define TESTS_VECTORS_VEC_CRYPTO_H

#include "discord/mls/key_schedule.h"
#include "discord/mls/messages.h"
#include "discord/mls/tree_math.h"
#include "vec.h"

static enum vec_result vec_tree_math(const cJSON *entry)
{
	uint32_t n_leaves = (uint32_t)vec_number(entry, "n_leaves"), n = 2 * n_leaves - 1;
	const struct {
		const char *name;
		uint32_t (*relation)(uint32_t node);
		bool of_root, of_leaf;
	} all[] = {
		{"left", mls_node_left, true, false},
		{"right", mls_node_right, true, false},
		{"parent", mls_node_parent, false, true},
		{"sibling", mls_node_sibling, false, true},
	};

	VEC_CHECK(vec_number(entry, "n_nodes") == n);
	VEC_CHECK(vec_number(entry, "root") == mls_node_root(n_leaves));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const cJSON *list = vec_item(entry, all[i].name), *item;
		uint32_t node = 0;

		VEC_CHECK(cJSON_GetArraySize(list) == (int)n);
		cJSON_ArrayForEach(item, list)
		{
			bool has = (all[i].of_root || node != mls_node_root(n_leaves)) &&
				   (all[i].of_leaf || !mls_node_is_leaf(node));

			VEC_CHECK(cJSON_IsNull(item) == !has);
			if (has)
				VEC_CHECK((uint32_t)item->valuedouble == all[i].relation(node));
			node++;
		}
	}
	return VEC_PASSED;
}

static enum vec_result vec_deserialization(const cJSON *entry)
{
	struct mls_bytes header = vec_hex(entry, "vlbytes_header");
	struct mls_reader r = mls_reader(header);
	uint8_t again[4];
	uint32_t len = mls_read_length(&r);

	VEC_OK(mls_reader_finish(&r));
	VEC_CHECK(len == vec_number(entry, "length"));
	VEC_CHECK(mls_bytes_equal(header, mls_bytes(again, mls_vector_header(again, len))));
	return VEC_PASSED;
}

static enum vec_result vec_crypto_basics(const cJSON *entry)
{
	const cJSON *o = vec_item(entry, "ref_hash");
	struct mls_signature_key *key;
	struct mls_buffer opened, signature;
	struct mls_writer w = {0};
	struct mls_reader r;
	struct mls_bytes kem, ciphertext;
	uint8_t out[256];
	size_t len;

	VEC_OK(mls_ref_hash(vec_string(o, "label"), vec_hex(o, "value"), out));
	VEC_CHECK(vec_is(o, "out", out, 32));

	o = vec_item(entry, "expand_with_label");
	len = vec_number(o, "length");
	VEC_CHECK(len <= sizeof(out));
	VEC_OK(mls_expand_with_label(vec_hex(o, "secret"), vec_string(o, "label"),
				     vec_hex(o, "context"), out, len));
	VEC_CHECK(vec_is(o, "out", out, len));

	o = vec_item(entry, "derive_secret");
	VEC_OK(mls_derive_secret(vec_hex(o, "secret").data, vec_string(o, "label"), out));
	VEC_CHECK(vec_is(o, "out", out, 32));

	o = vec_item(entry, "derive_tree_secret");
	len = vec_number(o, "length");
	VEC_CHECK(len <= sizeof(out));
	VEC_OK(mls_derive_tree_secret(vec_hex(o, "secret"), vec_string(o, "label"),
				      (uint32_t)vec_number(o, "generation"), out, len));
	VEC_CHECK(vec_is(o, "out", out, len));

	o = vec_item(entry, "sign_with_label");
	VEC_OK(mls_verify(vec_hex(o, "pub"), vec_string(o, "label"), vec_hex(o, "content"),
			  vec_hex(o, "signature")));
	VEC_OK(mls_signature_key_import(&key, vec_hex(o, "priv").data));
	mls_signature_key_public(key, out);
	VEC_CHECK(vec_is(o, "pub", out, MLS_PUBLIC_KEY_BYTES));
	VEC_OK(mls_sign(key, vec_string(o, "label"), vec_hex(o, "content"), &signature));
	VEC_OK(mls_verify(vec_hex(o, "pub"), vec_string(o, "label"), vec_hex(o, "content"),
			  mls_view(&signature)));
	mls_buffer_clear(&signature);
	mls_signature_key_destroy(key);

	o = vec_item(entry, "encrypt_with_label");
	VEC_OK(mls_hpke_open(vec_hex(o, "priv").data, vec_hex(o, "pub").data,
			     vec_string(o, "label"), vec_hex(o, "context"),
			     vec_hex(o, "kem_output"), vec_hex(o, "ciphertext"), &opened));
	VEC_CHECK(vec_is(o, "plaintext", opened.data, opened.len));
	mls_buffer_clear(&opened);
	VEC_OK(mls_hpke_seal(vec_hex(o, "pub"), vec_string(o, "label"), vec_hex(o, "context"),
			     vec_hex(o, "plaintext"), &w));
	r = mls_reader(mls_written(&w));
	kem = mls_read_vector(&r);
	ciphertext = mls_read_vector(&r);
	VEC_OK(mls_reader_finish(&r));
	VEC_OK(mls_hpke_open(vec_hex(o, "priv").data, vec_hex(o, "pub").data,
			     vec_string(o, "label"), vec_hex(o, "context"), kem, ciphertext,
			     &opened));
	VEC_CHECK(vec_is(o, "plaintext", opened.data, opened.len));
	mls_buffer_clear(&opened);
	mls_writer_clear(&w);
	return VEC_PASSED;
}

static enum vec_result vec_key_schedule_epoch(const cJSON *o, struct mls_bytes group_id,
					      uint64_t epoch, uint8_t init[MLS_HASH_BYTES])
{
	uint8_t joiner[32], member[32], welcome[32], exported[256], priv[32], pub[65];
	const cJSON *exporter = vec_item(o, "exporter");
	struct mls_epoch_secrets s;
	struct mls_writer w = {0};
	struct mls_bytes context;
	size_t len = vec_number(exporter, "length");

	mls_write_group_context(&w, group_id, epoch, vec_hex(o, "tree_hash"),
				vec_hex(o, "confirmed_transcript_hash"), mls_bytes(NULL, 0));
	context = mls_written(&w);
	VEC_CHECK(vec_is(o, "group_context", context.data, context.len));
	VEC_OK(mls_schedule_joiner(init, vec_hex(o, "commit_secret").data, context, joiner));
	VEC_CHECK(vec_is(o, "joiner_secret", joiner, 32));
	VEC_OK(mls_schedule_member(joiner, vec_hex(o, "psk_secret").data, member));
	VEC_OK(mls_derive_secret(member, "welcome", welcome));
	VEC_CHECK(vec_is(o, "welcome_secret", welcome, 32));
	VEC_OK(mls_schedule_epoch(member, context, &s));
	VEC_CHECK(vec_is(o, "init_secret", s.init, 32));
	VEC_CHECK(vec_is(o, "sender_data_secret", s.sender_data, 32));
	VEC_CHECK(vec_is(o, "encryption_secret", s.encryption, 32));
	VEC_CHECK(vec_is(o, "exporter_secret", s.exporter, 32));
	VEC_CHECK(vec_is(o, "epoch_authenticator", s.authenticator, 32));
	VEC_CHECK(vec_is(o, "external_secret", s.external, 32));
	VEC_CHECK(vec_is(o, "confirmation_key", s.confirmation, 32));
	VEC_CHECK(vec_is(o, "membership_key", s.membership, 32));
	VEC_CHECK(vec_is(o, "resumption_psk", s.resumption, 32));
	VEC_OK(mls_p256_derive(s.external, priv, pub));
	VEC_CHECK(vec_is(o, "external_pub", pub, 65));
	VEC_CHECK(len <= sizeof(exported));
	VEC_OK(mls_schedule_export(s.exporter, vec_string(exporter, "label"),
				   vec_hex(exporter, "context"), exported, len));
	VEC_CHECK(vec_is(exporter, "secret", exported, len));
	memcpy(init, s.init, 32);
	mls_writer_clear(&w);
	return VEC_PASSED;
}

static enum vec_result vec_key_schedule(const cJSON *entry)
{
	struct mls_bytes group_id = vec_hex(entry, "group_id");
	const cJSON *item;
	uint8_t init[32];
	uint64_t epoch = 0;

	memcpy(init, vec_hex(entry, "initial_init_secret").data, 32);
	cJSON_ArrayForEach(item, vec_item(entry, "epochs"))
	{
		enum vec_result result = vec_key_schedule_epoch(item, group_id, epoch++, init);

		if (result != VEC_PASSED)
			return result;
	}
	return VEC_PASSED;
}

static enum vec_result vec_psk_secret(const cJSON *entry)
{
	const cJSON *psks = vec_item(entry, "psks"), *item;
	uint16_t count = (uint16_t)cJSON_GetArraySize(psks), index = 0;
	uint8_t secret[32] = {0};

	cJSON_ArrayForEach(item, psks)
	{
		struct mls_psk_view id = {.type = MLS_PSK_EXTERNAL,
					  .id = vec_hex(item, "psk_id"),
					  .nonce = vec_hex(item, "psk_nonce")};
		struct mls_writer w = {0};

		mls_write_psk(&w, &id);
		VEC_OK(mls_psk_fold(secret, mls_written(&w), vec_hex(item, "psk"), index++, count));
		mls_writer_clear(&w);
	}
	VEC_CHECK(vec_is(entry, "psk_secret", secret, 32));
	return VEC_PASSED;
}

/* The secret tree (RFC 9420 9) serves application messages, which the library does not have; its
 * ratchet is what keys exported to the application are made with. */
static enum vec_result vec_ratchet(const cJSON *generations, const uint8_t secret[32],
				   const char *label, const char *key_field,
				   const char *nonce_field)
{
	uint8_t ratchet[32], key[16], nonce[12];
	uint32_t at = 0;
	const cJSON *item;

	VEC_OK(mls_expand_with_label(mls_bytes(secret, 32), label, mls_bytes(NULL, 0), ratchet,
				     32));
	cJSON_ArrayForEach(item, generations)
	{
		uint32_t generation = (uint32_t)vec_number(item, "generation");

		for (; at < generation; at++)
			VEC_OK(mls_derive_tree_secret(mls_bytes(ratchet, 32), "secret", at, ratchet,
						      32));
		VEC_OK(mls_derive_tree_secret(mls_bytes(ratchet, 32), "key", at, key, 16));
		VEC_OK(mls_derive_tree_secret(mls_bytes(ratchet, 32), "nonce", at, nonce, 12));
		VEC_CHECK(vec_is(item, key_field, key, 16));
		VEC_CHECK(vec_is(item, nonce_field, nonce, 12));
	}
	return VEC_PASSED;
}

static enum vec_result vec_secret_tree(const cJSON *entry)
{
	const cJSON *leaves = vec_item(entry, "leaves"), *data = vec_item(entry, "sender_data");
	uint32_t n_leaves = (uint32_t)cJSON_GetArraySize(leaves), width = 1;
	struct mls_bytes sample = vec_hex(data, "ciphertext");
	uint8_t(*secrets)[32], key[16], nonce[12];

	sample.len = sample.len < 32 ? sample.len : 32;
	VEC_OK(mls_expand_with_label(vec_hex(data, "sender_data_secret"), "key", sample, key, 16));
	VEC_OK(mls_expand_with_label(vec_hex(data, "sender_data_secret"), "nonce", sample, nonce,
				     12));
	VEC_CHECK(vec_is(data, "key", key, 16));
	VEC_CHECK(vec_is(data, "nonce", nonce, 12));
	while (width < n_leaves)
		width *= 2;
	secrets = (uint8_t(*)[32])vec_alloc(2 * width * 32);
	memcpy(secrets[mls_node_root(width)], vec_hex(entry, "encryption_secret").data, 32);
	for (unsigned level = mls_node_level(mls_node_root(width)); level > 0; level--) {
		for (uint32_t node = (1u << level) - 1; node < 2 * width - 1; node += 2u << level) {
			struct mls_bytes parent = mls_bytes(secrets[node], 32);

			VEC_OK(mls_expand_with_label(parent, "tree", mls_text("left"),
						     secrets[mls_node_left(node)], 32));
			VEC_OK(mls_expand_with_label(parent, "tree", mls_text("right"),
						     secrets[mls_node_right(node)], 32));
		}
	}
	for (uint32_t i = 0; i < n_leaves; i++) {
		const cJSON *generations = cJSON_GetArrayItem(leaves, (int)i);
		enum vec_result result = vec_ratchet(generations, secrets[2 * i], "handshake",
						     "handshake_key", "handshake_nonce");

		if (result == VEC_PASSED)
			result = vec_ratchet(generations, secrets[2 * i], "application",
					     "application_key", "application_nonce");
		if (result != VEC_PASSED)
			return result;
	}
	return VEC_PASSED;
}

#endif
