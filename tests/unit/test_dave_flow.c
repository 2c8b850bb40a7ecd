/* SPDX-License-Identifier: MIT
 *
 * test_dave_flow.c - the project's own recorded flow of five commits, every member of it replayed:
 * newcomers by their Welcomes, members by the commits of others, and the committer of each, which
 * no commit can tell its own path secrets, from what the recording says it knows.
 */
#include "tests/unit/dave_recorded.h"

static int64_t leaf_of(const cJSON *epoch, const char *name)
{
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(member(epoch, "members"), name);

	return m ? number(m, "leaf_index") : -1;
}

static void copy_secret(uint8_t out[MLS_HASH_BYTES], const cJSON *o, const char *name)
{
	struct hex h = hex_member(o, name);

	CHECK_INT(h.len, MLS_HASH_BYTES);
	memcpy(out, h.data, h.len);
	free(h.data);
}

static struct mls_tree *tree_of(const cJSON *o)
{
	struct mls_tree *tree;
	struct mls_leaf *leaf;
	struct hex h;

	if (cJSON_HasObjectItem(o, "ratchet_tree")) {
		h = hex_member(o, "ratchet_tree");
		CHECK_INT(mls_tree_read(&tree, mls(h)), 0);
	} else {
		h = hex_member(o, "leaf_node");
		CHECK_INT(mls_tree_create(&tree, 1), 0);
		CHECK_INT(mls_leaf_create(&leaf, mls(h)), 0);
		mls_tree_set_leaf(tree, 0, leaf);
		mls_leaf_unref(leaf);
	}
	free(h.data);
	return tree;
}

/* The state of the member at a leaf, from a recorded epoch. Nothing that follows from something
 * else is taken over: the GroupContext is made anew from the tree and must be the recorded one. */
static struct mls_group *group_import(const cJSON *o, const struct mls_signature_key *signer,
				      uint32_t leaf, struct hex leaf_private)
{
	struct hex raw = hex_member(o, "group_context");
	struct mls_reader r = mls_reader(mls(raw));
	struct mls_group_context_view context;
	uint8_t public[MLS_PUBLIC_KEY_BYTES];
	struct mls_group *g;

	mls_read_group_context(&r, &context);
	CHECK_INT(mls_reader_finish(&r), 0);
	CHECK_INT(mls_group_new(&g, 0, context.group_id, signer), 0);
	g->epoch = context.epoch;
	g->tree = tree_of(o);
	CHECK_INT(mls_buffer_copy(&g->extensions, context.extensions), 0);
	CHECK_INT(mls_buffer_copy(&g->confirmed, context.confirmed_transcript_hash), 0);
	CHECK_INT(mls_group_make_context(g, mls_view(&g->confirmed)), 0);
	check_field(o, "group_context", mls_view(&g->context));
	copy_secret(g->interim, o, "interim_transcript_hash");
	copy_secret(g->secrets.init, o, "init_secret");
	copy_secret(g->secrets.membership, o, "membership_key");
	if (cJSON_HasObjectItem(o, "exporter_secret")) {
		copy_secret(g->secrets.exporter, o, "exporter_secret");
		copy_secret(g->secrets.confirmation, o, "confirmation_key");
		copy_secret(g->secrets.authenticator, o, "epoch_authenticator");
	}
	g->private.leaf = leaf;
	if (leaf_private.data) {
		CHECK_INT(leaf_private.len, MLS_PRIVATE_KEY_BYTES);
		memcpy(g->private.key[0], leaf_private.data, MLS_PRIVATE_KEY_BYTES);
		g->private.have[0] = true;
		CHECK_INT(mls_p256_public(leaf_private.data, public), 0);
		CHECK(mls_bytes_equal(mls_tree_key(g->tree, 2 * leaf),
				      mls_bytes(public, sizeof(public))));
	}
	free(raw.data);
	return g;
}

/* ---- the epochs ---------------------------------------------------------------------------- */

struct flow {
	cJSON *v;
	struct hex op25;
	struct world w;
	struct flow_peer {
		const char *name;
		const cJSON *m;
		struct world_peer peer;
		struct hex leaf; /* private key of its leaf at this time */
		bool in;
	} peers[5];
	size_t n;
	int joined, followed, committed, removed;
};

static struct flow_peer *flow_add(struct flow *f, const char *name)
{
	struct flow_peer *p = &f->peers[f->n++];
	const cJSON *other;
	struct hex signature, init, kp;

	CHECK(f->n <= 5);
	p->name = name;
	p->m = flow_member(f->v, name);
	p->leaf = hex_member(p->m, "encryption_priv");
	signature = hex_member(p->m, "signature_priv");
	init = hex_member(p->m, "init_priv");
	kp = hex_member(p->m, "op26_key_package");
	peer_make(&f->w, &p->peer, user_of(member(p->m, "user_id")), signature, kp, init, p->leaf,
		  f->op25);
	cJSON_ArrayForEach(other, member(f->v, "initial_members"))
	{
		uint64_t id = user_of(member(other, "user_id"));

		CHECK_INT(dave_session_users_connect(p->peer.session, &id, 1, f->w.now_ns), 0);
	}
	free(signature.data);
	free(init.data);
	free(kp.data);
	return p;
}

/* The whole recorded epoch, at a member. */
static void flow_check(const struct flow *f, struct flow_peer *p, const cJSON *after, bool media)
{
	struct mls_group *g = p->peer.session->current;
	const cJSON *s, *m;
	struct mls_writer tree = {0};
	size_t members = 0;

	CHECK(g != NULL);
	CHECK_INT(mls_group_epoch(g), number(after, "epoch"));
	CHECK_INT(mls_group_own_leaf(g), leaf_of(after, p->name));
	cJSON_ArrayForEach(m, member(after, "members"))
	{
		uint8_t identity[8];
		struct mls_member found;

		put_be64(identity, user_of(member(flow_member(f->v, m->string), "user_id")));
		CHECK(mls_group_find(g, mls_bytes(identity, 8), &found));
		CHECK_INT(found.leaf, number(m, "leaf_index"));
		members++;
	}
	CHECK_INT(mls_group_member_count(g), members);
	check_epoch(g, after);
	check_field(after, "group_context", mls_view(&g->context));
	mls_tree_write(g->tree, &tree);
	CHECK_INT(tree.error, 0);
	check_field(after, "ratchet_tree", mls_written(&tree));
	mls_writer_clear(&tree);
	check_secret(after, "interim_transcript_hash", g->interim);
	check_secret(after, "confirmation_key", g->secrets.confirmation);
	check_secret(after, "init_secret", g->secrets.init);
	cJSON_ArrayForEach(s, member(after, "senders"))
		check_sender(g, strtoull(s->string, NULL, 10), s, "key_gen0", "key_gen1");
	CHECK_INT(cJSON_GetArraySize(member(after, "senders")), members);
	if (!media)
		return;
	check_authenticator(&p->peer, after, "voice_privacy_code");
	cJSON_ArrayForEach(s, member(after, "senders"))
	{
		uint64_t user = strtoull(s->string, NULL, 10);
		struct hex base = hex_member(s, "base_secret");

		if (user == p->peer.user)
			check_send_secret(&p->peer, base);
		else
			check_receive_secret(&p->peer, user, base);
		free(base.data);
	}
}

/* ---- one step, by each part in it ---------------------------------------------------------- */

/* Whoever hears the proposals commits, and to the same as the one who won. */
static void flow_propose(struct flow_peer *p, const cJSON *step, bool removes_it)
{
	struct dave_session *s = p->peer.session;
	struct hex op27 = hex_member(step, "op27_payload_after_opcode"),
		   op28 = hex_member(step, "op28_payload_after_opcode");
	const cJSON *refs = member(step, "proposal_refs");
	size_t welcomes = (size_t)cJSON_GetArraySize(member(step, "op30_welcomes"));
	static struct wire_commit recorded;
	struct world_message *m;
	int commits = 0;

	CHECK(wire_commit_parse(wire(op28), &recorded) == NULL);
	check_commit(wire(op28), refs, recorded.has_path, welcomes);
	world_empty(&p->peer.out);
	CHECK_INT(dave_session_binary(s, 27, op27.data, op27.len, p->peer.world->now_ns), 0);
	check_proposals(s->pending ? s->pending : s->current, refs);
	while ((m = world_take(&p->peer.out))) {
		if (m->op == 28) {
			check_commit((struct wire_bytes){m->data, m->len}, refs, recorded.has_path,
				     welcomes);
			commits++;
		}
		free(m);
	}
	CHECK_INT(commits, !removes_it);
	if (!removes_it && !recorded.has_path) {
		/* without a path nothing in the new tree is random */
		uint8_t hash[MLS_HASH_BYTES];
		struct mls_tree *tree = s->own[0].next->tree;

		CHECK_INT(mls_tree_hash(tree, mls_node_root(tree->n_leaves), hash), 0);
		check_secret(member(step, "after"), "tree_hash", hash);
	}
	free(op27.data);
	free(op28.data);
}

/* The committer knows its commit for its own. Its next state: without a path the commit says all of
 * it, to anybody who was in the epoch; with one it is rebuilt. */
static void flow_committed(struct flow *f, struct flow_peer *p, const cJSON *before,
			   const cJSON *step)
{
	struct dave_session *s = p->peer.session;
	struct mls_group *base = s->pending ? s->pending : s->current, *next;
	const cJSON *after = member(step, "after");
	struct hex commit = hex_member(step, "op29_commit");
	struct hex nothing = {NULL, 0};
	struct mls_message_info info;
	char name[64];

	CHECK_INT(mls_message_peek(mls(commit), &info), 0);
	CHECK_INT(info.sender, mls_group_own_leaf(base));
	/* membership tag and signature are verified before it is seen whose it is */
	CHECK_INT(mls_group_process(base, mls(commit), &next, NULL), MLS_ERROR_OWN_COMMIT);
	snprintf(name, sizeof(name), "%s_new_leaf_encryption_priv", p->name);
	if (cJSON_HasObjectItem(step, name)) {
		free(p->leaf.data);
		p->leaf = hex_member(step, name);
	} else {
		/* an eye in the group that holds no leaf: its own is the one to be filled */
		struct mls_group *eye = group_import(before, s->key, base->tree->n_leaves, nothing);
		struct hex op27 = hex_member(step, "op27_payload_after_opcode");
		struct mls_bytes rest = mls_bytes(op27.data + 1, op27.len - 1), messages;

		CHECK_INT(mls_vector_take(&rest, &messages), 0);
		CHECK_INT(mls_group_propose(eye, messages, NULL, NULL), 0);
		CHECK_INT(mls_group_process(eye, mls(commit), &next, NULL), 0);
		check_epoch(next, after);
		check_field(after, "group_context", mls_view(&next->context));
		check_secret(after, "interim_transcript_hash", next->interim);
		check_secret(after, "confirmation_key", next->secrets.confirmation);
		check_secret(after, "init_secret", next->secrets.init);
		mls_group_destroy(next);
		mls_group_destroy(eye);
		free(op27.data);
	}
	next = group_import(after, s->key, (uint32_t)leaf_of(after, p->name), p->leaf);
	session_group_clear(s);
	s->current = next;
	flow_check(f, p, after, false);
	f->committed++;
	free(commit.data);
}

static void flow_follow(struct flow *f, struct flow_peer *p, const cJSON *step)
{
	struct hex commit = hex_member(step, "op29_commit");
	const cJSON *after = member(step, "after");

	CHECK_INT(hear(&p->peer, 29, "\0\0", 2, commit), 0);
	CHECK_INT(p->peer.sent[31], 0);
	if (leaf_of(after, p->name) >= 0) {
		flow_check(f, p, after, true);
		f->followed++;
	} else {
		CHECK(p->peer.session->current == NULL);
		CHECK_INT(dave_session_state(p->peer.session), DAVE_WAITING);
		CHECK(p->peer.session->view->send == NULL);
		p->in = false;
		f->removed++;
	}
	free(commit.data);
}

static void flow_step(struct flow *f, const cJSON *before, const cJSON *step)
{
	const cJSON *after = member(step, "after"), *welcome;
	struct hex commit = hex_member(step, "op29_commit");
	struct mls_message_info info;

	CHECK_INT(mls_message_peek(mls(commit), &info), 0);
	free(commit.data);
	for (size_t i = 0; i < f->n; i++) {
		struct flow_peer *p = &f->peers[i];
		bool commits = p->in && leaf_of(before, p->name) == (int64_t)info.sender;

		if (!p->in)
			continue;
		flow_propose(p, step, leaf_of(after, p->name) < 0);
		if (commits)
			flow_committed(f, p, before, step);
		else
			flow_follow(f, p, step);
	}
	cJSON_ArrayForEach(welcome, member(step, "op30_welcomes"))
	{
		struct flow_peer *p = flow_add(f, welcome->string);
		struct hex body = hex_text(welcome->valuestring);

		CHECK_INT(hear(&p->peer, 30, "\0\0", 2, body), 0);
		flow_check(f, p, after, true);
		p->in = true;
		f->joined++;
		free(body.data);
	}
	f->w.now_ns += SECOND;
}

static void test_session_flow_of_every_member(void)
{
	struct flow f = {.w.now_ns = 1000 * SECOND};
	const cJSON *steps, *before = NULL, *step;
	cJSON *members;
	struct flow_peer *alice;

	f.v = data_load("dave-session-flow.json");
	f.op25 = hex_member(f.v, "op25_external_sender");
	steps = member(f.v, "steps");
	/* A's own group, as it is before the first step */
	before = member(cJSON_GetArrayItem(steps, 0), "A_pending_group_epoch0");
	members = cJSON_AddObjectToObject((cJSON *)before, "members");
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(members, "A"), "leaf_index", 0);
	alice = flow_add(&f, "A");
	alice->in = true;
	mls_group_destroy(alice->peer.session->pending);
	alice->peer.session->pending =
		group_import(before, alice->peer.session->key, 0, alice->leaf);
	cJSON_ArrayForEach(step, steps)
	{
		flow_step(&f, before, step);
		before = member(step, "after");
	}
	CHECK_INT(cJSON_GetArraySize(steps), 5);
	CHECK_INT(f.committed, 5);
	CHECK_INT(f.joined, 4);
	CHECK_INT(f.followed, 3);
	CHECK_INT(f.removed, 3);
	for (size_t i = 0; i < f.n; i++) {
		world_peer_free(&f.peers[i].peer);
		free(f.peers[i].leaf.data);
	}
	free(f.op25.data);
	cJSON_Delete(f.v);
}

/* A's privacy with B, from the keys of the flow. */
static void test_session_flow_verification_code(void)
{
	cJSON *v = data_load("dave-session-flow.json");
	const cJSON *pair = member(v, "pairwise_fingerprint_A_B");
	struct flow f = {.w.now_ns = 1000 * SECOND};
	char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
	const cJSON *step;
	struct flow_peer *b;
	struct hex body;

	f.v = v;
	f.op25 = hex_member(v, "op25_external_sender");
	step = cJSON_GetArrayItem(member(v, "steps"), 0);
	b = flow_add(&f, "B");
	body = hex_member(member(step, "op30_welcomes"), "B");
	CHECK_INT(hear(&b->peer, 30, "\0\0", 2, body), 0);
	CHECK_INT(dave_session_verification_code(b->peer.session, user_of(member(pair, "user_a")),
						 code),
		  0);
	CHECK_STR(code, member(pair, "code_45_5")->valuestring);
	world_peer_free(&b->peer);
	free(b->leaf.data);
	free(body.data);
	free(f.op25.data);
	cJSON_Delete(v);
}

int main(void)
{
	UNIT(test_session_flow_of_every_member);
	UNIT(test_session_flow_verification_code);
	return unit_done();
}
