/* SPDX-License-Identifier: MIT
 *
 * dave_recorded.h - sessions that play a member of a recorded group, and what the recording says
 * that such a member knows.
 */
#ifndef TESTS_UNIT_DAVE_RECORDED_H
#define TESTS_UNIT_DAVE_RECORDED_H

#include "common/bytes.h"
#include "discord/mls/group.h"
#include "tests/sim/dave_wire.h"
#include "tests/unit/dave_vectors.h"
#include "tests/unit/dave_world.h"

__attribute__((unused)) static struct mls_bytes mls(struct hex h)
{
	return (struct mls_bytes){h.data, h.len};
}

__attribute__((unused)) static struct wire_bytes wire(struct hex h)
{
	return (struct wire_bytes){h.data, h.len};
}

__attribute__((unused)) static uint64_t user_of(const cJSON *j)
{
	return strtoull(j->valuestring, NULL, 10);
}

/* Binary op with something in front: operation of op 27, transition id of ops 29 and 30. */
__attribute__((unused)) static int hear(struct world_peer *p, unsigned op, const void *head,
					size_t head_bytes, struct hex body)
{
	uint8_t *payload = malloc(head_bytes + body.len + 1);
	int rc;

	memcpy(payload, head, head_bytes);
	memcpy(payload + head_bytes, body.data, body.len);
	rc = dave_session_binary(p->session, op, payload, head_bytes + body.len, p->world->now_ns);
	free(payload);
	return rc;
}

/* A peer that was given the private keys of a recorded member, before its Welcome. */
__attribute__((unused)) static void peer_make(struct world *w, struct world_peer *p, uint64_t user,
					      struct hex signature, struct hex key_package,
					      struct hex init, struct hex leaf, struct hex op25)
{
	struct mls_signature_key *key;
	struct mls_key_package *package;

	CHECK_INT(mls_signature_key_import(&key, signature.data), 0);
	CHECK_INT(mls_key_package_import(&package, key, mls(key_package), init.data, leaf.data), 0);
	world_peer_make(w, p, user, key);
	CHECK_INT(dave_session_select(p->session, 1, w->now_ns), 0);
	CHECK_INT(hear(p, 25, "", 0, op25), 0);
	dave_session_use_key_package(p->session, package);
}

/* The base secret by which p sends must be this one: its next frame opens with the key derived. */
__attribute__((unused)) static void check_send_secret(struct world_peer *p, struct hex base)
{
	static const uint8_t opus[] = {0x78, 1, 2, 3};
	struct dave_media_key *k;
	struct dave_frame f;
	uint8_t frame[64], out[64];
	size_t n, bytes;

	CHECK_INT(dave_media_encrypt(p->media, p->world->now_ns, opus, sizeof(opus), frame,
				     sizeof(frame), &n),
		  0);
	CHECK(dave_frame_parse(&f, frame, n));
	CHECK_INT(dave_media_key_create(&k, base.data, p->world->now_ns), 0);
	CHECK_INT(dave_media_key_open(k, p->world->now_ns, &f, out, sizeof(out), &bytes), 0);
	dave_media_key_unref(k);
}

/* Whoever has this base secret is heard by p as that user. */
__attribute__((unused)) static void check_receive_secret(struct world_peer *p, uint64_t user,
							 struct hex base)
{
	static const uint8_t opus[] = {0x78, 1, 2, 3};
	struct dave_media_key *k;
	uint8_t frame[64], out[64];
	size_t n, bytes;

	CHECK_INT(dave_media_key_create(&k, base.data, p->world->now_ns), 0);
	CHECK_INT(dave_media_key_seal(k, opus, sizeof(opus), frame, sizeof(frame), &n), 0);
	CHECK_INT(dave_media_decrypt(p->media, p->world->now_ns, user, frame, n, out, sizeof(out),
				     &bytes),
		  0);
	CHECK_MEM(out, opus, sizeof(opus));
	dave_media_key_unref(k);
}

__attribute__((unused)) static void check_authenticator(struct world_peer *p, const cJSON *o,
							const char *code)
{
	struct hex want = hex_member(o, "epoch_authenticator");
	uint8_t got[MLS_HASH_BYTES];

	CHECK(p->session->current != NULL);
	mls_group_epoch_authenticator(p->session->current, got);
	CHECK_INT(want.len, sizeof(got));
	CHECK_MEM(got, want.data, sizeof(got));
	CHECK_STR(dave_session_privacy_code(p->session), member(o, code)->valuestring);
	free(want.data);
}

/* A member of the recorded flow. */
__attribute__((unused)) static const cJSON *flow_member(const cJSON *v, const char *name)
{
	const cJSON *m, *step;

	cJSON_ArrayForEach(m, member(v, "initial_members"))
	{
		if (!strcmp(member(m, "name")->valuestring, name))
			return m;
	}
	cJSON_ArrayForEach(step, member(v, "steps"))
	{
		cJSON_ArrayForEach(m, cJSON_GetObjectItem(step, "new_members"))
		{
			if (!strcmp(member(m, "name")->valuestring, name))
				return m;
		}
	}
	UNIT_FAIL("no member %s", name);
}

/* ---- what a member knows, field by field --------------------------------------------------- */

static void check_field(const cJSON *o, const char *name, struct mls_bytes got)
{
	struct hex want = hex_member(o, name);

	if (got.len != want.len || memcmp(got.data, want.data, want.len) != 0)
		UNIT_FAIL("%s is not the recorded one", name);
	free(want.data);
}

static void check_secret(const cJSON *o, const char *name, const uint8_t got[MLS_HASH_BYTES])
{
	check_field(o, name, mls_bytes(got, MLS_HASH_BYTES));
}

/* Fields that every recording of an epoch has. */
__attribute__((unused)) static void check_epoch(struct mls_group *g, const cJSON *o)
{
	uint8_t tree_hash[MLS_HASH_BYTES];

	CHECK_INT(mls_tree_hash(g->tree, mls_node_root(g->tree->n_leaves), tree_hash), 0);
	check_secret(o, "tree_hash", tree_hash);
	check_field(o, "confirmed_transcript_hash", mls_view(&g->confirmed));
	check_secret(o, "exporter_secret", g->secrets.exporter);
	check_secret(o, "membership_key", g->secrets.membership);
	check_secret(o, "epoch_authenticator", g->secrets.authenticator);
}

/* A sender's base secret as the group exports it, and the keys that come of it; NULL: of later
 * generations the recording says nothing. */
__attribute__((unused)) static void check_sender(const struct mls_group *g, uint64_t user,
						 const cJSON *o, const char *generation_0,
						 const char *generation_1)
{
	uint8_t context[8], base[DAVE_BASE_SECRET_BYTES];
	struct dave_ratchet r;
	const uint8_t *key;

	put_le32(context, (uint32_t)user);
	put_le32(context + 4, (uint32_t)(user >> 32));
	CHECK_INT(mls_group_export(g, "Discord Secure Frames v0", mls_bytes(context, 8), base,
				   sizeof(base)),
		  0);
	check_field(o, "base_secret", mls_bytes(base, sizeof(base)));
	dave_ratchet_init(&r, base);
	CHECK_INT(dave_ratchet_key(&r, 0, &key), 0);
	check_field(o, generation_0, mls_bytes(key, DAVE_KEY_BYTES));
	if (generation_1) {
		CHECK_INT(dave_ratchet_key(&r, 1, &key), 0);
		check_field(o, generation_1, mls_bytes(key, DAVE_KEY_BYTES));
	}
}

/* What is cached for the next commit is what the recorded commit refers to, in that order. */
__attribute__((unused)) static void check_proposals(const struct mls_group *g, const cJSON *refs)
{
	struct mls_proposal_info info;

	CHECK_INT(mls_group_proposal_count(g), cJSON_GetArraySize(refs));
	for (size_t i = 0; i < mls_group_proposal_count(g); i++) {
		struct hex want = hex_text(cJSON_GetArrayItem(refs, (int)i)->valuestring);

		mls_group_proposal(g, i, &info);
		CHECK_MEM(info.ref, want.data, MLS_HASH_BYTES);
		free(want.data);
	}
}

/* Commit and Welcome as the sandbox's own parser reads them. References in any order: davey puts
 * its Removes first. */
__attribute__((unused)) static void check_commit(struct wire_bytes op28, const cJSON *refs,
						 bool has_path, size_t welcomes)
{
	static struct wire_commit c;
	const cJSON *ref;

	CHECK(wire_commit_parse(op28, &c) == NULL);
	CHECK_INT(c.ref_count, cJSON_GetArraySize(refs));
	cJSON_ArrayForEach(ref, refs)
	{
		struct hex want = hex_text(ref->valuestring);
		int found = 0;

		for (size_t i = 0; i < c.ref_count; i++)
			found += memcmp(c.refs[i], want.data, WIRE_HASH_BYTES) == 0;
		CHECK_INT(found, 1);
		free(want.data);
	}
	CHECK_INT(c.has_path, has_path);
	CHECK_INT(c.entry_count, welcomes);
}

#endif
