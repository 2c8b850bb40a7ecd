/* SPDX-License-Identifier: MIT
 *
 * test_dave_vectors.c - whole sessions against recorded ones: bytes of the real gateway, a group of
 * davey and ts-mls, and the project's own flow; and the sandbox's delivery service against them.
 */
#include <openssl/evp.h>

#include "tests/sim/dave_wire.h"
#include "tests/unit/dave_vectors.h"
#include "tests/unit/dave_world.h"

static struct mls_bytes mls(struct hex h)
{
	return (struct mls_bytes){h.data, h.len};
}

static struct wire_bytes wire(struct hex h)
{
	return (struct wire_bytes){h.data, h.len};
}

static uint64_t user_of(const cJSON *j)
{
	return strtoull(j->valuestring, NULL, 10);
}

/* Binary op with something in front: operation of op 27, transition id of ops 29 and 30. */
static int hear(struct world_peer *p, unsigned op, const void *head, size_t head_bytes,
		struct hex body)
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
static void peer_make(struct world *w, struct world_peer *p, uint64_t user, struct hex signature,
		      struct hex key_package, struct hex init, struct hex leaf, struct hex op25)
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
static void check_send_secret(struct world_peer *p, struct hex base)
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
static void check_receive_secret(struct world_peer *p, uint64_t user, struct hex base)
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

static void check_authenticator(struct world_peer *p, const cJSON *o, const char *code)
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

/* ---- davey and ts-mls -------------------------------------------------------------------- */

/* ts-mls's member C, played by a session: seven epochs made by four davey members. */
static void test_davey_passive_seven_epochs(void)
{
	cJSON *v = data_load("davey-passive.json");
	const cJSON *c = member(v, "C"), *step, *u;
	struct hex signature = hex_member(c, "signature_private"),
		   init = hex_member(c, "init_private");
	struct hex leaf = hex_member(c, "leaf_hpke_private"), kp = hex_member(c, "key_package");
	struct hex op25 = hex_member(member(v, "external_sender"), "op25_body");
	uint64_t alice = user_of(member(member(v, "user_ids"), "A"));
	struct world w = {.now_ns = 1000 * SECOND};
	struct world_peer p;
	int frames = 0, epochs = 0;

	peer_make(&w, &p, user_of(member(c, "user_id")), signature, kp, init, leaf, op25);
	cJSON_ArrayForEach(u, member(v, "user_ids"))
	{
		uint64_t id = user_of(u);

		CHECK_INT(dave_session_users_connect(p.session, &id, 1, w.now_ns), 0);
	}
	cJSON_ArrayForEach(step, member(v, "steps"))
	{
		int64_t epoch = number(step, "epoch_after");
		uint8_t id[2] = {0, (uint8_t)(10 + epoch)};
		char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
		const cJSON *f;
		struct hex base;

		if (epoch == 1)
			continue; /* before C's time */
		if (epoch == 2) {
			struct hex welcome = hex_member(step, "welcome");

			CHECK_INT(hear(&p, 30, id, 2, welcome), 0);
			free(welcome.data);
		} else {
			struct hex op27 = hex_member(step, "op27_body_after_optype");
			struct hex commit = hex_member(step, "commit");
			const cJSON *ref;
			size_t i = 0;

			CHECK_INT(hear(&p, 27, "", 1, op27), 0);
			cJSON_ArrayForEach(ref, member(step, "proposal_refs"))
			{
				struct mls_proposal_info info;
				struct hex want = hex_text(ref->valuestring);

				CHECK(i < mls_group_proposal_count(p.session->current));
				mls_group_proposal(p.session->current, i++, &info);
				CHECK_MEM(info.ref, want.data, MLS_HASH_BYTES);
				free(want.data);
			}
			CHECK_INT(mls_group_proposal_count(p.session->current), i);
			CHECK_INT(p.sent[28], epoch - 2); /* we committed as well, and lost */
			CHECK_INT(hear(&p, 29, id, 2, commit), 0);
			free(op27.data);
			free(commit.data);
		}
		CHECK_INT(p.sent[23], epoch - 1);
		CHECK_INT(p.sent[31], 0);
		CHECK_INT(dave_session_epoch(p.session), epoch);
		CHECK_INT(mls_group_own_leaf(p.session->current), number(step, "C_leaf"));
		check_authenticator(&p, step, "privacy_code");
		CHECK_INT(dave_session_execute_transition(p.session, (uint16_t)(10 + epoch),
							  w.now_ns),
			  0);
		base = hex_member(step, "C_sender_base");
		check_send_secret(&p, base);
		free(base.data);
		CHECK_INT(dave_session_verification_code(p.session, alice, code), 0);
		CHECK_STR(code, member(step, "verification_code_A_C")->valuestring);
		cJSON_ArrayForEach(f, member(step, "frames"))
		{
			struct hex frame = hex_member(f, "frame"), opus = hex_member(f, "opus");
			uint8_t out[128];
			size_t n;

			CHECK_INT(dave_media_decrypt(p.media, w.now_ns,
						     user_of(member(f, "sender")), frame.data,
						     frame.len, out, sizeof(out), &n),
				  0);
			CHECK_INT(n, opus.len);
			CHECK_MEM(out, opus.data, n);
			free(frame.data);
			free(opus.data);
			frames++;
		}
		w.now_ns += SECOND;
		epochs++;
	}
	CHECK_INT(epochs, 6);
	CHECK_INT(frames, 17);
	world_peer_free(&p);
	free(signature.data);
	free(init.data);
	free(leaf.data);
	free(kp.data);
	free(op25.data);
	cJSON_Delete(v);
}

/* ---- each byte changed ------------------------------------------------------------------- */

/* What is needed to put a session where davey's C is before step 3. */
struct passive {
	cJSON *v;
	struct hex signature, init, leaf, kp, op25, welcome, op27, commit, frame;
	uint64_t user, alice;
};

static void passive_load(struct passive *d)
{
	const cJSON *c, *steps;

	d->v = data_load("davey-passive.json");
	c = member(d->v, "C");
	steps = member(d->v, "steps");
	d->signature = hex_member(c, "signature_private");
	d->init = hex_member(c, "init_private");
	d->leaf = hex_member(c, "leaf_hpke_private");
	d->kp = hex_member(c, "key_package");
	d->op25 = hex_member(member(d->v, "external_sender"), "op25_body");
	d->welcome = hex_member(cJSON_GetArrayItem(steps, 1), "welcome");
	d->op27 = hex_member(cJSON_GetArrayItem(steps, 2), "op27_body_after_optype");
	d->commit = hex_member(cJSON_GetArrayItem(steps, 2), "commit");
	d->frame = hex_member(cJSON_GetArrayItem(member(cJSON_GetArrayItem(steps, 1), "frames"), 0),
			      "frame");
	d->user = user_of(member(c, "user_id"));
	d->alice = user_of(member(member(d->v, "user_ids"), "A"));
}

static void passive_free(struct passive *d)
{
	struct hex *all[] = {&d->signature, &d->init, &d->leaf,   &d->kp,   &d->op25,
			     &d->welcome,   &d->op27, &d->commit, &d->frame};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]->data);
	cJSON_Delete(d->v);
}

static void passive_announce(struct passive *d, struct world_peer *p)
{
	const cJSON *u;

	cJSON_ArrayForEach(u, member(d->v, "user_ids"))
	{
		uint64_t id = user_of(u);

		CHECK_INT(dave_session_users_connect(p->session, &id, 1, p->world->now_ns), 0);
	}
}

static void passive_package(struct passive *d, struct world_peer *p)
{
	struct mls_key_package *package;

	CHECK_INT(mls_key_package_import(&package, p->identity->key, mls(d->kp), d->init.data,
					 d->leaf.data),
		  0);
	dave_session_use_key_package(p->session, package);
}

static void passive_make(struct passive *d, struct world *w, struct world_peer *p)
{
	peer_make(w, p, d->user, d->signature, d->kp, d->init, d->leaf, d->op25);
	passive_announce(d, p);
}

static int heard_from_alice(struct passive *d, struct world_peer *p)
{
	uint8_t out[128];
	size_t n;

	return dave_media_decrypt(p->media, p->world->now_ns, d->alice, d->frame.data, d->frame.len,
				  out, sizeof(out), &n);
}

static void test_each_byte_of_proposals_changed(void)
{
	struct world w = {.now_ns = 1000 * SECOND};
	struct world_peer p;
	struct passive d;

	passive_load(&d);
	passive_make(&d, &w, &p);
	CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), 0);
	for (size_t i = 0; i < d.op27.len; i++) {
		uint8_t was = d.op27.data[i];

		d.op27.data[i] ^= (uint8_t)(1 + i % 255);
		hear(&p, 27, "", 1, d.op27);
		CHECK_INT(mls_group_proposal_count(p.session->current), 0);
		CHECK_INT(p.session->held_count, 0);
		CHECK_INT(p.sent[28] + p.sent[31], 0);
		d.op27.data[i] = was;
	}
	/* every length but the right one */
	for (size_t i = 0; i < d.op27.len; i++)
		CHECK_INT(hear(&p, 27, "", 1, (struct hex){d.op27.data, i}), -EPROTO);
	CHECK_INT(hear(&p, 27, "", 1, d.op27), 0);
	CHECK_INT(p.sent[28], 1);
	CHECK_INT(hear(&p, 29, "\0\2", 2, d.commit), 0);
	CHECK_INT(dave_session_epoch(p.session), 3);
	world_peer_free(&p);
	passive_free(&d);
}

/* A changed commit is never followed: it is ignored (an older epoch, another group's, which may be
 * late) or answered by op 31 and a key package; what was heard before is heard still. */
static void test_each_byte_of_a_commit_changed(void)
{
	struct passive d;

	passive_load(&d);
	for (size_t i = 0; i < d.commit.len; i++) {
		struct world w = {.now_ns = 1000 * SECOND};
		struct world_peer p;
		uint8_t was = d.commit.data[i];
		int rc;

		passive_make(&d, &w, &p);
		CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), 0);
		CHECK_INT(hear(&p, 27, "", 1, d.op27), 0);
		d.commit.data[i] ^= (uint8_t)(1 + i % 255);
		rc = hear(&p, 29, "\0\2", 2, d.commit);
		d.commit.data[i] = was;
		if (rc == 0) {
			CHECK_INT(dave_session_epoch(p.session), 2);
			CHECK_INT(p.sent[31], 0);
			CHECK_INT(hear(&p, 29, "\0\2", 2, d.commit), 0);
			CHECK_INT(dave_session_epoch(p.session), 3);
		} else {
			CHECK_INT(rc, -EPROTO);
			CHECK_INT(p.sent[31], 1);
			CHECK_INT(p.sent[26], 2);
			CHECK_INT(p.sent[23], 1); /* of the Welcome */
			CHECK_INT(dave_session_state(p.session), DAVE_WAITING);
		}
		CHECK_INT(heard_from_alice(&d, &p), 0);
		world_peer_free(&p);
	}
	passive_free(&d);
}

static void test_each_byte_of_a_welcome_changed(void)
{
	struct world w = {.now_ns = 1000 * SECOND};
	struct world_peer p;
	struct passive d;

	passive_load(&d);
	passive_make(&d, &w, &p);
	for (size_t i = 0; i < d.welcome.len; i++) {
		int asked = p.sent[31];

		d.welcome.data[i] ^= (uint8_t)(1 + i % 255);
		CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), -EPROTO);
		d.welcome.data[i] ^= (uint8_t)(1 + i % 255);
		CHECK_INT(dave_session_state(p.session), DAVE_WAITING);
		CHECK_INT(p.sent[31], asked + 1);
		CHECK_INT(p.sent[23], 0);
		w.now_ns += 100 * SECOND; /* so that the next op 31 is due */
		passive_package(&d, &p);
	}
	CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), 0);
	CHECK_INT(heard_from_alice(&d, &p), 0);
	world_peer_free(&p);
	passive_free(&d);
}

static void test_each_byte_of_an_external_sender_changed(void)
{
	struct world w = {.now_ns = 1000 * SECOND};
	struct world_peer p;
	struct passive d;

	passive_load(&d);
	passive_make(&d, &w, &p);
	for (size_t i = 0; i < d.op25.len; i++) {
		d.op25.data[i] ^= (uint8_t)(1 + i % 255);
		hear(&p, 25, "", 0, d.op25);
		d.op25.data[i] ^= (uint8_t)(1 + i % 255);
		CHECK(p.session->pending != NULL);
		CHECK_INT(hear(&p, 25, "", 0, (struct hex){d.op25.data, i}), -EPROTO);
	}
	/* a Welcome to a group under another sender is refused */
	CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), -EPROTO);
	CHECK_INT(p.sent[31], 1);
	CHECK_INT(hear(&p, 25, "", 0, d.op25), 0);
	passive_package(&d, &p);
	CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), 0);
	world_peer_free(&p);
	passive_free(&d);
}

/* ---- bytes of the real gateway ----------------------------------------------------------- */

static void test_wire_captures_of_the_real_gateway(void)
{
	cJSON *v = vectors_load("dave-wire-captures.json");
	const cJSON *expected = member(v, "expected");
	struct hex op25 = hex_member(v, "external_sender_op25");
	struct hex append = hex_member(v, "proposals_append_after_optype_byte");
	struct hex revoke = hex_member(v, "proposals_revoke_after_optype_byte");
	struct hex ref = hex_member(expected, "proposal_ref");
	uint64_t added =
		(uint64_t)strtoull(member(expected, "added_user_id")->valuestring, NULL, 10);
	struct world w = {.now_ns = SECOND};
	struct world_peer p;
	struct mls_proposal_info info;
	struct mls_external_sender sender;
	struct hex key = hex_member(member(v, "external_sender_parsed"), "signature_key");
	struct world_message *m;
	static struct wire_commit commit;

	CHECK_INT(strtoull(member(expected, "group_id_channel")->valuestring, NULL, 10), CHANNEL);
	CHECK_INT(mls_external_sender_parse(mls(op25), &sender), 0);
	CHECK_INT(sender.signature_key.len, key.len);
	CHECK_MEM(sender.signature_key.data, key.data, key.len);
	world_peer_make(&w, &p,
			(uint64_t)strtoull(member(expected, "local_user_id")->valuestring, NULL,
					   10),
			NULL);
	CHECK_INT(hear(&p, 25, "", 0, op25), 0);
	CHECK_INT(dave_session_select(p.session, 1, w.now_ns), 0);
	CHECK(p.session->pending != NULL);
	/* not announced: held; announced: committed to */
	CHECK_INT(hear(&p, 27, "\0", 1, append), -EPROTO);
	CHECK_INT(p.sent[28], 0);
	CHECK_INT(dave_session_users_connect(p.session, &added, 1, w.now_ns), 0);
	CHECK_INT(mls_group_proposal_count(p.session->pending), 1);
	mls_group_proposal(p.session->pending, 0, &info);
	CHECK_INT(info.type, MLS_PROPOSAL_ADD);
	CHECK_MEM(info.ref, ref.data, MLS_HASH_BYTES);
	CHECK_INT(p.sent[28], 1);
	/* our commit, read by the sandbox's own parser, names that reference */
	while ((m = world_take(&p.out))) {
		if (m->op == 28) {
			CHECK(wire_commit_parse((struct wire_bytes){m->data, m->len}, &commit) ==
			      NULL);
			CHECK_INT(commit.ref_count, 1);
			CHECK_MEM(commit.refs[0], ref.data, WIRE_HASH_BYTES);
			CHECK_INT(commit.entry_count, 1);
			CHECK(!commit.has_path);
		}
		free(m);
	}
	CHECK_INT(hear(&p, 27, "\1", 1, revoke), 0);
	CHECK_INT(mls_group_proposal_count(p.session->pending), 0);
	CHECK_INT(p.sent[28], 1);
	/* a second time: there is nothing like it any more */
	CHECK_INT(hear(&p, 27, "\1", 1, revoke), -EPROTO);
	world_peer_free(&p);
	free(op25.data);
	free(append.data);
	free(revoke.data);
	free(ref.data);
	free(key.data);
	cJSON_Delete(v);
}

/* ---- the project's own flow -------------------------------------------------------------- */

static const cJSON *flow_member(const cJSON *v, const char *name)
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

static void flow_check(struct world_peer *p, const cJSON *after)
{
	const cJSON *s;

	CHECK_INT(dave_session_epoch(p->session), number(after, "epoch"));
	check_authenticator(p, after, "voice_privacy_code");
	cJSON_ArrayForEach(s, member(after, "senders"))
	{
		uint64_t user = strtoull(s->string, NULL, 10);
		struct hex base = hex_member(s, "base_secret");

		if (user == p->user)
			check_send_secret(p, base);
		else
			check_receive_secret(p, user, base);
		free(base.data);
	}
}

/* From each Welcome on, as long as the member does not commit itself and is not removed. */
static void test_session_flow_of_every_newcomer(void)
{
	cJSON *v = data_load("dave-session-flow.json");
	struct hex op25 = hex_member(v, "op25_external_sender");
	const cJSON *steps = member(v, "steps"), *welcome;
	int joined = 0, followed = 0;

	for (int i = 0; i < cJSON_GetArraySize(steps); i++) {
		cJSON_ArrayForEach(welcome, member(cJSON_GetArrayItem(steps, i), "op30_welcomes"))
		{
			const cJSON *m = flow_member(v, welcome->string);
			struct hex signature = hex_member(m, "signature_priv"),
				   init = hex_member(m, "init_priv");
			struct hex leaf = hex_member(m, "encryption_priv");
			struct hex kp = hex_member(m, "op26_key_package"),
				   body = hex_text(welcome->valuestring);
			struct world w = {.now_ns = 1000 * SECOND};
			struct world_peer p;

			peer_make(&w, &p, user_of(member(m, "user_id")), signature, kp, init, leaf,
				  op25);
			CHECK_INT(hear(&p, 30, "\0\0", 2, body), 0);
			flow_check(&p, member(cJSON_GetArrayItem(steps, i), "after"));
			joined++;
			for (int j = i + 1; j < cJSON_GetArraySize(steps); j++) {
				const cJSON *step = cJSON_GetArrayItem(steps, j);
				const cJSON *before =
					member(cJSON_GetArrayItem(steps, j - 1), "after");
				struct hex op27 = hex_member(step, "op27_payload_after_opcode");
				struct hex commit = hex_member(step, "op29_commit");
				struct mls_message_info info;
				uint64_t id;

				CHECK_INT(mls_message_peek(mls(commit), &info), 0);
				if (info.sender ==
					    (uint32_t)number(member(member(before, "members"),
								    welcome->string),
							     "leaf_index") ||
				    !cJSON_HasObjectItem(member(member(step, "after"), "members"),
							 welcome->string)) {
					free(op27.data);
					free(commit.data);
					break;
				}
				cJSON_ArrayForEach(m, member(v, "initial_members"))
				{
					id = user_of(member(m, "user_id"));
					CHECK_INT(dave_session_users_connect(p.session, &id, 1,
									     w.now_ns),
						  0);
				}
				CHECK_INT(dave_session_binary(p.session, 27, op27.data, op27.len,
							      w.now_ns),
					  0);
				CHECK_INT(hear(&p, 29, "\0\0", 2, commit), 0);
				flow_check(&p, member(step, "after"));
				followed++;
				free(op27.data);
				free(commit.data);
			}
			world_peer_free(&p);
			free(signature.data);
			free(init.data);
			free(leaf.data);
			free(kp.data);
			free(body.data);
		}
	}
	CHECK_INT(joined, 4);
	CHECK_INT(followed, 1);
	free(op25.data);
	cJSON_Delete(v);
}

/* ---- the sandbox's delivery service ------------------------------------------------------- */

static void commit_check(struct hex op28, struct hex commit, size_t refs, size_t welcomes)
{
	static struct wire_commit c;

	CHECK(wire_commit_parse(wire(op28), &c) == NULL);
	CHECK_INT(c.group_id, CHANNEL);
	CHECK_INT(c.commit.len, commit.len);
	CHECK_INT(c.ref_count, refs);
	CHECK_INT(c.entry_count, welcomes);
	/* cut short anywhere it is refused, or seen to have no complete Welcome */
	for (size_t i = 0; i < op28.len; i++) {
		struct hex cut = {op28.data, i};

		if (i != commit.len)
			CHECK(wire_commit_parse(wire(cut), &c) != NULL);
	}
}

static void test_service_finds_where_the_welcome_begins(void)
{
	cJSON *v = data_load("dave-session-flow.json");
	const cJSON *step, *w;
	int cuts = 0;

	cJSON_ArrayForEach(step, member(v, "steps"))
	{
		struct hex op28 = hex_member(step, "op28_payload_after_opcode");
		struct hex commit = hex_member(step, "op29_commit");
		const cJSON *welcomes = member(step, "op30_welcomes");
		static struct wire_commit c;

		commit_check(op28, commit,
			     (size_t)cJSON_GetArraySize(member(step, "proposal_refs")),
			     (size_t)cJSON_GetArraySize(welcomes));
		CHECK(wire_commit_parse(wire(op28), &c) == NULL);
		cJSON_ArrayForEach(w, welcomes)
		{
			struct hex kp = hex_member(flow_member(v, w->string), "op26_key_package");
			struct hex want = hex_text(w->valuestring);
			uint8_t ref[WIRE_HASH_BYTES];

			wire_key_package_ref(wire(kp), ref);
			for (size_t i = 0; i < c.entry_count; i++) {
				struct wire_buffer cut = {0};

				if (memcmp(c.entries[i].ref, ref, sizeof(ref)) != 0)
					continue;
				wire_welcome_cut(&c, i, &cut);
				CHECK_INT(cut.len, want.len);
				CHECK_MEM(cut.data, want.data, want.len);
				wire_clear(&cut);
				cuts++;
			}
			free(kp.data);
			free(want.data);
		}
		free(op28.data);
		free(commit.data);
	}
	CHECK_INT(cuts, 4);
	cJSON_Delete(v);
}

static void test_service_accepts_key_packages_of_others(void)
{
	cJSON *v = data_load("davey-passive.json"), *flow = data_load("dave-session-flow.json");
	struct hex kp = hex_member(member(v, "C"), "key_package");
	const cJSON *m;

	CHECK(wire_key_package_check(wire(kp), user_of(member(member(v, "C"), "user_id"))) == NULL);
	CHECK(wire_key_package_check(wire(kp), 1) != NULL);
	for (size_t i = 0; i < kp.len; i++) {
		kp.data[i] ^= 1;
		CHECK(wire_key_package_check(wire(kp),
					     user_of(member(member(v, "C"), "user_id"))) != NULL);
		kp.data[i] ^= 1;
	}
	cJSON_ArrayForEach(m, member(flow, "initial_members"))
	{
		struct hex other = hex_member(m, "op26_key_package");

		CHECK(wire_key_package_check(wire(other), user_of(member(m, "user_id"))) == NULL);
		free(other.data);
	}
	free(kp.data);
	cJSON_Delete(v);
	cJSON_Delete(flow);
}

/* What the service signs is what davey saw signed: same bytes but for the signature. */
static void test_service_proposals_look_like_the_recorded_ones(void)
{
	cJSON *v = data_load("dave-session-flow.json");
	const cJSON *step = cJSON_GetArrayItem(member(v, "steps"), 0);
	struct hex op27 = hex_member(step, "op27_payload_after_opcode");
	struct hex kp = hex_member(flow_member(v, "B"), "op26_key_package");
	struct wire_bytes kp_bytes = wire(kp);
	struct wire_buffer message = {0};
	struct wire_key key;
	uint8_t ref[WIRE_HASH_BYTES];
	size_t content = 4 + 9 + 8 + 5 + 1 + 1 + 2 + kp.len;

	wire_key_create(&key);
	wire_proposal(&key, CHANNEL, 0, &kp_bytes, 0, &message, ref);
	/* op 27: operation, two bytes of length, the message */
	CHECK(message.len > content && op27.len > 3 + content);
	CHECK_MEM(message.data, op27.data + 3, content);
	wire_clear(&message);
	wire_key_clear(&key);
	free(op27.data);
	free(kp.data);
	cJSON_Delete(v);
}

int main(void)
{
	UNIT(test_davey_passive_seven_epochs);
	UNIT(test_each_byte_of_proposals_changed);
	UNIT(test_each_byte_of_a_commit_changed);
	UNIT(test_each_byte_of_a_welcome_changed);
	UNIT(test_each_byte_of_an_external_sender_changed);
	UNIT(test_wire_captures_of_the_real_gateway);
	UNIT(test_session_flow_of_every_newcomer);
	UNIT(test_service_finds_where_the_welcome_begins);
	UNIT(test_service_accepts_key_packages_of_others);
	UNIT(test_service_proposals_look_like_the_recorded_ones);
	return unit_done();
}
