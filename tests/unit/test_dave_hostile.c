/* SPDX-License-Identifier: MIT
 *
 * test_dave_hostile.c - one session and a gateway that has every key a gateway has, and signs what
 * it should not: the answers to messages that are well-formed, authentic and wrong.
 */
#include "common/bytes.h"
#include "discord/mls/codec.h"
#include "tests/sim/dave_wire.h"
#include "tests/unit/dave_world.h"

#define US UINT64_C(101)

struct gateway {
	struct world w;
	struct world_peer p;
	struct wire_key key;
	struct wire_buffer op25;
};

/* A session in its own group of one, epoch 0. */
static void gateway_begin(struct gateway *g)
{
	memset(g, 0, sizeof(*g));
	g->w.now_ns = 1000 * SECOND;
	wire_key_create(&g->key);
	wire_external_sender(&g->key, "gw", 2, &g->op25);
	world_peer_make(&g->w, &g->p, US, NULL);
	CHECK_INT(dave_session_select(g->p.session, 1, g->w.now_ns), 0);
	CHECK_INT(dave_session_binary(g->p.session, 25, g->op25.data, g->op25.len, g->w.now_ns), 0);
	CHECK(g->p.session->pending != NULL);
}

static void gateway_end(struct gateway *g)
{
	world_peer_free(&g->p);
	wire_clear(&g->op25);
	wire_key_clear(&g->key);
}

static int say(struct gateway *g, unsigned op, const void *head, size_t head_bytes,
	       struct mls_bytes body)
{
	struct wire_buffer b = {0};
	int rc;

	wire_put(&b, head, head_bytes);
	wire_put(&b, body.data, body.len);
	rc = dave_session_binary(g->p.session, op, b.data, b.len, g->w.now_ns);
	wire_clear(&b);
	return rc;
}

/* Op 27 of a list of MLSMessages or references. */
static int propose(struct gateway *g, uint8_t operation, const struct wire_buffer *list)
{
	struct wire_buffer v = {0};
	int rc;

	wire_put_vec(&v, list->data, list->len);
	rc = say(g, 27, &operation, 1, mls_bytes(v.data, v.len));
	wire_clear(&v);
	return rc;
}

static void put_add(struct gateway *g, uint64_t user, struct wire_buffer *list,
		    uint8_t ref[WIRE_HASH_BYTES])
{
	struct wire_buffer kp = {0};

	wire_key_package_make(user, &kp);
	wire_proposal(&g->key, CHANNEL, 0, &(struct wire_bytes){kp.data, kp.len}, 0, list, ref);
	wire_clear(&kp);
}

/* The references of the newest op 28 that the session has sent; the rest of its words are dropped.
 */
static size_t committed(struct gateway *g, struct wire_commit *c, struct world_message **keep)
{
	struct world_message *m;

	*keep = NULL;
	while ((m = world_take(&g->p.out))) {
		if (m->op == 28) {
			free(*keep);
			*keep = m;
		} else {
			free(m);
		}
	}
	if (!*keep)
		return 0;
	CHECK(wire_commit_parse((struct wire_bytes){(*keep)->data, (*keep)->len}, c) == NULL);
	return c->ref_count;
}

/* Two are added in one message and neither was announced; one Add is revoked, the other's user
 * named: only that one is committed to. */
static void test_part_of_a_held_message_is_revoked(void)
{
	static struct wire_commit c;
	struct gateway g;
	struct wire_buffer list = {0}, revoked = {0};
	struct world_message *m;
	uint8_t ref[2][WIRE_HASH_BYTES];
	uint64_t second = 202;

	gateway_begin(&g);
	put_add(&g, 201, &list, ref[0]);
	put_add(&g, second, &list, ref[1]);
	CHECK_INT(propose(&g, 0, &list), -EPROTO);
	CHECK_INT(g.p.session->held_count, 1);
	CHECK_INT(mls_group_proposal_count(g.p.session->pending), 0);
	wire_put_vec(&revoked, ref[0], WIRE_HASH_BYTES);
	CHECK_INT(propose(&g, 1, &revoked), 0);
	CHECK_INT(g.p.session->held_count, 1);
	CHECK_INT(g.p.sent[28], 0);
	CHECK_INT(dave_session_users_connect(g.p.session, &second, 1, g.w.now_ns), 0);
	CHECK_INT(g.p.session->held_count, 0);
	CHECK_INT(committed(&g, &c, &m), 1);
	CHECK_MEM(c.refs[0], ref[1], WIRE_HASH_BYTES);
	free(m);
	wire_clear(&list);
	wire_clear(&revoked);
	gateway_end(&g);
}

/* A reference that is named twice is revoked once, and the one behind it as well. */
static void test_revoked_twice_in_one_message(void)
{
	static struct wire_commit c;
	struct gateway g;
	struct wire_buffer list = {0}, revoked = {0};
	struct world_message *m;
	uint8_t ref[3][WIRE_HASH_BYTES];
	uint64_t users[] = {201, 202, 203};

	gateway_begin(&g);
	CHECK_INT(dave_session_users_connect(g.p.session, users, 3, g.w.now_ns), 0);
	for (int i = 0; i < 3; i++)
		put_add(&g, users[i], &list, ref[i]);
	CHECK_INT(propose(&g, 0, &list), 0);
	CHECK_INT(committed(&g, &c, &m), 3);
	free(m);
	wire_put_vec(&revoked, ref[0], WIRE_HASH_BYTES);
	wire_put_vec(&revoked, ref[0], WIRE_HASH_BYTES);
	wire_put_vec(&revoked, ref[2], WIRE_HASH_BYTES);
	CHECK_INT(propose(&g, 1, &revoked), 0);
	CHECK_INT(committed(&g, &c, &m), 1);
	CHECK_MEM(c.refs[0], ref[1], WIRE_HASH_BYTES);
	free(m);
	wire_clear(&list);
	wire_clear(&revoked);
	gateway_end(&g);
}

/* One bad reference in a list, and nothing of it is done. */
static void test_malformed_revocations_change_nothing(void)
{
	static struct wire_commit c;
	struct gateway g;
	struct wire_buffer list = {0}, revoked = {0};
	struct world_message *m;
	uint8_t ref[WIRE_HASH_BYTES], unknown[WIRE_HASH_BYTES] = {1};
	uint64_t user = 201;

	gateway_begin(&g);
	CHECK_INT(dave_session_users_connect(g.p.session, &user, 1, g.w.now_ns), 0);
	put_add(&g, user, &list, ref);
	CHECK_INT(propose(&g, 0, &list), 0);
	CHECK_INT(committed(&g, &c, &m), 1);
	free(m);
	for (int i = 0; i < 3; i++) {
		wire_put_vec(&revoked, ref, WIRE_HASH_BYTES);
		if (i == 0)
			wire_put_vec(&revoked, ref, WIRE_HASH_BYTES - 1);
		else if (i == 1)
			wire_put_u8(&revoked, 63); /* of 63 bytes, none of which is there */
		else
			wire_put_vec(&revoked, unknown, WIRE_HASH_BYTES);
		CHECK_INT(propose(&g, 1, &revoked), -EPROTO);
		CHECK_INT(mls_group_proposal_count(g.p.session->pending), 1);
		wire_clear(&revoked);
	}
	CHECK_INT(committed(&g, &c, &m), 0);
	wire_clear(&list);
	gateway_end(&g);
}

/* ---- groups that others have made --------------------------------------------------------- */

/* Somebody's group with us in it: the Welcome for our key package. */
static void welcome_by(struct gateway *g, struct mls_bytes identity, uint64_t group,
		       const struct wire_key *sender, struct mls_commit *out)
{
	struct wire_buffer op25 = {0}, add = {0};
	struct mls_bytes kp = mls_key_package_bytes(g->p.session->key_package);
	struct mls_signature_key *key;
	struct mls_key_package *package;
	struct mls_group *theirs;
	uint8_t id[8], ref[WIRE_HASH_BYTES];

	put_be64(id, group);
	wire_external_sender(sender, "gw", 2, &op25);
	wire_proposal(sender, group, 0, &(struct wire_bytes){kp.data, kp.len}, 0, &add, ref);
	CHECK_INT(mls_signature_key_create(&key), 0);
	CHECK_INT(mls_key_package_create(&package, key, identity), 0);
	CHECK_INT(mls_group_create(&theirs, package, mls_bytes(id, 8),
				   mls_bytes(op25.data, op25.len), 0),
		  0);
	CHECK_INT(mls_group_propose(theirs, mls_bytes(add.data, add.len), NULL, NULL), 0);
	CHECK_INT(mls_group_commit(theirs, out), 0);
	mls_group_destroy(theirs);
	mls_key_package_destroy(package);
	mls_signature_key_destroy(key);
	wire_clear(&op25);
	wire_clear(&add);
}

static void test_welcomes_to_groups_that_are_not_for_us(void)
{
	static const struct {
		const char *what;
		size_t identity_bytes;
		uint64_t group;
		bool other_sender;
		int rc;
	} cases[] = {
		{"a creator who is no user", 7, CHANNEL, false, -EPROTO},
		{"a longer name", 9, CHANNEL, false, -EPROTO},
		{"another channel", 8, CHANNEL + 1, false, -EPROTO},
		{"another gateway", 8, CHANNEL, true, -EPROTO},
		{"the right one, of an unannounced user", 8, CHANNEL, false, 0},
	};
	static const uint8_t identity[9] = {0, 0, 0, 0, 0, 0, 0, 201};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mls_commit commit = {0};
		struct wire_key other;
		struct gateway g;
		int rc;

		gateway_begin(&g);
		wire_key_create(&other);
		welcome_by(&g, mls_bytes(identity, cases[i].identity_bytes), cases[i].group,
			   cases[i].other_sender ? &other : &g.key, &commit);
		rc = say(&g, 30, "\0\5", 2, mls_view(&commit.welcome));
		if (rc != cases[i].rc)
			UNIT_FAIL("%s: %d", cases[i].what, rc);
		CHECK_INT(dave_session_state(g.p.session), rc ? DAVE_WAITING : DAVE_ENCRYPTED);
		CHECK_INT(g.p.sent[31], rc != 0);
		CHECK_INT(g.p.sent[26], 1 + (rc != 0));
		CHECK_INT(g.p.sent[23], rc == 0);
		/* a second one is for a key package that is used up, or was replaced */
		CHECK_INT(say(&g, 30, "\0\6", 2, mls_view(&commit.welcome)), rc ? -EPROTO : 0);
		CHECK_INT(dave_session_epoch(g.p.session), rc ? 0 : 1);
		mls_commit_clear(&commit);
		wire_key_clear(&other);
		gateway_end(&g);
	}
}

/* Without an op 25 nobody can say which gateway a group is of. */
static void test_welcome_before_the_external_sender(void)
{
	struct mls_commit commit = {0};
	struct gateway g = {.w.now_ns = 1000 * SECOND};
	static const uint8_t identity[8] = {0, 0, 0, 0, 0, 0, 0, 201};

	wire_key_create(&g.key);
	world_peer_make(&g.w, &g.p, US, NULL);
	CHECK_INT(dave_session_select(g.p.session, 1, g.w.now_ns), 0);
	welcome_by(&g, mls_bytes(identity, 8), CHANNEL, &g.key, &commit);
	CHECK_INT(say(&g, 30, "\0\5", 2, mls_view(&commit.welcome)), -EPROTO);
	CHECK_INT(dave_session_state(g.p.session), DAVE_WAITING);
	CHECK_INT(g.p.sent[31], 1);
	mls_commit_clear(&commit);
	gateway_end(&g);
}

/* ---- ops where they do not belong --------------------------------------------------------- */

static void test_commits_that_are_none(void)
{
	static const uint8_t identity[8] = {0, 0, 0, 0, 0, 0, 0, 201};
	struct gateway g = {.w.now_ns = 1000 * SECOND};
	struct mls_commit commit = {0};
	struct wire_buffer list = {0};
	uint8_t ref[WIRE_HASH_BYTES];

	/* before there is a group of any kind: nothing to follow, nothing to recover */
	world_peer_make(&g.w, &g.p, US, NULL);
	CHECK_INT(say(&g, 29, "\0\1", 2, mls_bytes("x", 1)), 0);
	CHECK_INT(say(&g, 27, "", 1, mls_bytes("x", 1)), 0);
	CHECK_INT(say(&g, 30, "\0\1", 2, mls_bytes("x", 1)), 0);
	CHECK_INT(g.p.sent[31], 0);
	world_peer_free(&g.p);

	/* a proposal announced as a commit */
	gateway_begin(&g);
	welcome_by(&g, mls_bytes(identity, 8), CHANNEL, &g.key, &commit);
	CHECK_INT(say(&g, 30, "\0\0", 2, mls_view(&commit.welcome)), 0);
	wire_proposal(&g.key, CHANNEL, 1, NULL, 0, &list, ref);
	CHECK_INT(say(&g, 29, "\0\2", 2, mls_bytes(list.data, list.len)), -EPROTO);
	CHECK_INT(g.p.sent[31], 1);
	mls_commit_clear(&commit);
	wire_clear(&list);
	gateway_end(&g);
}

/* Removing a leaf that is blank, Adds of a member, and one user twice: never committed to. */
static void test_proposals_that_cannot_be_committed(void)
{
	static struct wire_commit c;
	struct gateway g;
	struct wire_buffer list = {0};
	struct world_message *m;
	uint8_t ref[2][WIRE_HASH_BYTES];
	uint64_t user = 201;

	gateway_begin(&g);
	CHECK_INT(dave_session_users_connect(g.p.session, &user, 1, g.w.now_ns), 0);
	wire_proposal(&g.key, CHANNEL, 0, NULL, 7, &list, ref[0]);
	CHECK_INT(propose(&g, 0, &list), -EPROTO);
	wire_clear(&list);
	put_add(&g, user, &list, ref[0]);
	put_add(&g, user, &list, ref[1]);
	CHECK_INT(propose(&g, 0, &list), 0);
	CHECK_INT(committed(&g, &c, &m), 0);
	/* until one of the two is taken back */
	wire_clear(&list);
	wire_put_vec(&list, ref[0], WIRE_HASH_BYTES);
	CHECK_INT(propose(&g, 1, &list), 0);
	CHECK_INT(committed(&g, &c, &m), 1);
	CHECK_MEM(c.refs[0], ref[1], WIRE_HASH_BYTES);
	free(m);
	wire_clear(&list);
	put_add(&g, US, &list, ref[0]); /* ourselves, who are in it already */
	CHECK_INT(propose(&g, 0, &list), 0);
	CHECK_INT(committed(&g, &c, &m), 0);
	wire_clear(&list);
	gateway_end(&g);
}

static void test_states_have_names(void)
{
	CHECK_STR(dave_state_name(DAVE_IDLE), "idle");
	CHECK_STR(dave_state_name(DAVE_PLAIN), "plain");
	CHECK_STR(dave_state_name(DAVE_WAITING), "waiting");
	CHECK_STR(dave_state_name(DAVE_ENCRYPTED), "encrypted");
	CHECK_STR(dave_state_name((enum dave_state)99), "unknown");
}

int main(void)
{
	UNIT(test_part_of_a_held_message_is_revoked);
	UNIT(test_revoked_twice_in_one_message);
	UNIT(test_malformed_revocations_change_nothing);
	UNIT(test_welcomes_to_groups_that_are_not_for_us);
	UNIT(test_welcome_before_the_external_sender);
	UNIT(test_commits_that_are_none);
	UNIT(test_proposals_that_cannot_be_committed);
	UNIT(test_states_have_names);
	return unit_done();
}
