/* SPDX-License-Identifier: MIT
 *
 * test_dave_vectors.c - whole sessions against recorded ones: bytes of the real gateway, a group of
 * davey and ts-mls; and the sandbox's delivery service against them. The project's own flow is in
 * test_dave_flow.c.
 */
#include "tests/unit/dave_recorded.h"

/* ---- davey and ts-mls -------------------------------------------------------------------- */

/* What the step says its commit is, is what the bytes are. */
static void passive_commit_check(const cJSON *step)
{
	struct hex commit = hex_member(step, "commit"), welcome = {NULL, 0};
	int adds = cJSON_GetArraySize(member(step, "adds"));
	struct wire_buffer op28 = {0};

	wire_put(&op28, commit.data, commit.len);
	if (adds) {
		welcome = hex_member(step, "welcome");
		wire_put(&op28, welcome.data, welcome.len);
	}
	check_commit((struct wire_bytes){op28.data, op28.len}, member(step, "proposal_refs"),
		     number(step, "commit_has_path"), (size_t)adds);
	wire_clear(&op28);
	free(commit.data);
	free(welcome.data);
}

/* Who sits where, blank leaves included. */
static void passive_leaves_check(const struct mls_group *g, const cJSON *leaves)
{
	uint32_t n = (uint32_t)cJSON_GetArraySize(leaves);
	struct mls_member m;

	for (uint32_t i = 0; i < n; i++) {
		const cJSON *user = cJSON_GetArrayItem(leaves, (int)i);

		CHECK_INT(mls_group_member(g, i, &m), !cJSON_IsNull(user));
		if (!cJSON_IsNull(user))
			CHECK_INT(get_be64(m.identity.data), user_of(user));
	}
	for (uint32_t i = n; i < mls_group_leaf_count(g); i++)
		CHECK(!mls_group_member(g, i, &m));
}

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

		passive_commit_check(step);
		if (epoch == 1) {
			/* before C's time; but C's own group takes the same proposals, as their
			 * signature does not say whose group of epoch 0 they are for */
			struct hex op27 = hex_member(step, "op27_body_after_optype");

			CHECK_INT(hear(&p, 27, "", 1, op27), 0);
			check_proposals(p.session->pending, member(step, "proposal_refs"));
			CHECK_INT(p.sent[28], 1);
			free(op27.data);
			epochs++;
			continue;
		}
		if (epoch == 2) {
			struct hex welcome = hex_member(step, "welcome");

			CHECK_INT(hear(&p, 30, id, 2, welcome), 0);
			free(welcome.data);
		} else {
			struct hex op27 = hex_member(step, "op27_body_after_optype");
			struct hex commit = hex_member(step, "commit");

			CHECK_INT(hear(&p, 27, "", 1, op27), 0);
			check_proposals(p.session->current, member(step, "proposal_refs"));
			CHECK_INT(p.sent[28], epoch - 1); /* we committed as well, and lost */
			CHECK_INT(hear(&p, 29, id, 2, commit), 0);
			free(op27.data);
			free(commit.data);
		}
		CHECK_INT(p.sent[23], epoch - 1);
		CHECK_INT(p.sent[31], 0);
		CHECK_INT(dave_session_epoch(p.session), epoch);
		CHECK_INT(mls_group_own_leaf(p.session->current), number(step, "C_leaf"));
		check_authenticator(&p, step, "privacy_code");
		check_epoch(p.session->current, step);
		passive_leaves_check(p.session->current, member(step, "leaves"));
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

			check_sender(p.session->current, user_of(member(f, "sender")), f,
				     "key_generation0", NULL);
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
	CHECK_INT(epochs, 7);
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

static void check_values(const cJSON *o, const char *name, struct mls_bytes values)
{
	struct mls_reader r = mls_reader(values);
	const cJSON *value;

	cJSON_ArrayForEach(value, member(o, name)) CHECK_INT(mls_read_u16(&r), value->valueint);
	CHECK_INT(mls_reader_finish(&r), 0);
}

/* Everything that was found in the captured proposal when it was first read, signatures included.
 */
static void captured_proposal_check(struct hex append, struct mls_bytes signer,
				    const cJSON *expected)
{
	struct mls_bytes rest = mls(append), messages, nothing = {NULL, 0};
	const cJSON *capabilities = member(expected, "capabilities");
	const cJSON *lifetime = member(expected, "lifetime");
	struct mls_key_package_info package;
	struct mls_public_message m;
	struct mls_reader r;
	uint8_t ref[MLS_HASH_BYTES];
	const struct mls_leaf_view *leaf = &m.content.proposal.key_package.leaf;

	CHECK_INT(mls_vector_take(&rest, &messages), 0);
	CHECK_INT(rest.len, 0);
	r = mls_reader(messages);
	mls_read_mls_public_message(&r, &m);
	CHECK_INT(mls_reader_finish(&r), 0);
	CHECK_INT(get_be64(m.content.group_id.data), CHANNEL);
	CHECK_INT(m.content.epoch, number(expected, "epoch"));
	CHECK_STR(member(expected, "sender_type")->valuestring, "external(2)");
	CHECK_INT(m.content.sender_type, MLS_SENDER_EXTERNAL);
	CHECK_INT(m.content.sender, number(expected, "sender_index"));
	CHECK_STR(member(expected, "proposal_type")->valuestring, "add(1)");
	CHECK_INT(m.content.proposal.type, MLS_PROPOSAL_ADD);
	CHECK(cJSON_IsTrue(member(expected, "external_sender_signature_valid")));
	CHECK_INT(mls_framed_verify(m.content.raw, nothing, signer, m.signature), 0);
	/* the signatures of key package and leaf are verified herein */
	CHECK(cJSON_IsTrue(member(expected, "key_package_signature_valid")) &&
	      cJSON_IsTrue(member(expected, "leaf_signature_valid")));
	CHECK_INT(mls_key_package_check(m.content.proposal.key_package.raw, &package), 0);
	CHECK_INT(package.identity.len, 8);
	CHECK_INT(get_be64(package.identity.data), number(expected, "added_user_id"));
	CHECK(package.not_before == (uint64_t)number(lifetime, "not_before"));
	CHECK(package.not_after == (uint64_t)number(lifetime, "not_after"));
	check_values(capabilities, "versions", leaf->capabilities.versions);
	check_values(capabilities, "cipher_suites", leaf->capabilities.cipher_suites);
	check_values(capabilities, "extensions", leaf->capabilities.extensions);
	check_values(capabilities, "proposals", leaf->capabilities.proposals);
	check_values(capabilities, "credentials", leaf->capabilities.credentials);
	CHECK_INT(mls_proposal_ref(m.content.raw, m.signature, ref), 0);
	check_secret(expected, "proposal_ref", ref);
}

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
	check_field(member(v, "external_sender_parsed"), "identity", sender.identity);
	captured_proposal_check(append, mls(key), expected);
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
	UNIT(test_service_finds_where_the_welcome_begins);
	UNIT(test_service_accepts_key_packages_of_others);
	UNIT(test_service_proposals_look_like_the_recorded_ones);
	return unit_done();
}
