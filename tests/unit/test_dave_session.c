/* SPDX-License-Identifier: MIT
 *
 * test_dave_session.c - the session's answers, message by message; each known failure of other
 * implementations under its row of the list.
 */
#include "tests/unit/dave_world.h"

#include "tests/sim/dave_wire.h"

static const uint8_t opus[] = {0x78, 1, 2, 3};

static struct world_peer *peer_of(struct world *w, uint64_t user)
{
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present && w->peers[i].user == user)
			return &w->peers[i];
	}
	UNIT_FAIL("no peer %llu", (unsigned long long)user);
}

static void pair(struct world *w, uint64_t seed)
{
	world_create(w, seed);
	world_join(w, 101);
	world_join(w, 102);
	world_run(w);
	world_agree(w);
}

static int speak(struct world_peer *p)
{
	uint8_t out[64];
	size_t n;

	return dave_media_encrypt(p->media, p->world->now_ns, opus, sizeof(opus), out, sizeof(out),
				  &n);
}

/* Puts what the gateway has for everybody into everybody, until one peer's queue begins with op. */
static void until_next_is(struct world_peer *p, int op)
{
	for (int i = 0; i < 100000; i++) {
		if (p->in.count && p->in.first->op == op)
			return;
		if (!world_step(p->world))
			world_tick(p->world, 100 * (SECOND / 1000));
	}
	UNIT_FAIL("op %d never came", op);
}

/* Section 6, row 17: the gateway starts nothing until it has a key package. */
static void test_row_17_key_package_right_after_op_4(void)
{
	struct world w = {.now_ns = SECOND};
	struct world_peer p;
	struct world_message *m;

	world_peer_make(&w, &p, 101, NULL);
	CHECK_INT(dave_session_state(p.session), DAVE_IDLE);
	CHECK_INT(dave_session_select(p.session, 1, w.now_ns), 0);
	CHECK_INT(p.sent[26], 1);
	CHECK_INT(dave_session_state(p.session), DAVE_WAITING);
	m = world_take(&p.out);
	CHECK(wire_key_package_check((struct wire_bytes){m->data, m->len}, 101) == NULL);
	free(m);
	/* op 4 again after a new Select Protocol: nothing changes */
	CHECK_INT(dave_session_select(p.session, 1, w.now_ns), 0);
	CHECK_INT(p.sent[26], 1);
	world_peer_free(&p);
}

static void test_external_sender_before_or_after_op_4(void)
{
	for (int before = 0; before < 2; before++) {
		struct world w = {.now_ns = SECOND};
		struct world_peer p;
		struct wire_buffer op25 = {0};
		struct wire_key key = {0};

		wire_key_create(&key);
		wire_external_sender(&key, "", 1, &op25);
		world_peer_make(&w, &p, 101, NULL);
		if (before)
			CHECK_INT(dave_session_binary(p.session, 25, op25.data, op25.len, 0), 0);
		CHECK(p.session->pending == NULL);
		CHECK_INT(dave_session_select(p.session, 1, w.now_ns), 0);
		if (!before) {
			CHECK(p.session->pending == NULL);
			CHECK_INT(dave_session_binary(p.session, 25, op25.data, op25.len, 0), 0);
		}
		CHECK(p.session->pending != NULL);
		CHECK_INT(mls_group_epoch(p.session->pending), 0);
		/* again, as after a resume: the same group */
		{
			const struct mls_group *same = p.session->pending;

			CHECK_INT(dave_session_binary(p.session, 25, op25.data, op25.len, 0), 0);
			CHECK(p.session->pending == same);
		}
		CHECK_INT(p.sent[26], 1);
		world_peer_free(&p);
		wire_clear(&op25);
		wire_key_clear(&key);
	}
}

/* Section 6, rows 22 and 31: alone in a channel: no op 22 comes, there is no key, nothing is wrong.
 */
static void test_row_22_31_sole_member_has_no_key_and_no_error(void)
{
	struct world w;
	struct world_peer *p;

	world_create(&w, 1);
	p = world_join(&w, 101);
	world_run(&w);
	CHECK_INT(dave_session_state(p->session), DAVE_WAITING);
	CHECK_INT(dave_session_epoch(p->session), 0);
	CHECK_STR(dave_session_privacy_code(p->session), "");
	CHECK_INT(dave_session_members(p->session, NULL, 0), 0);
	CHECK_INT(speak(p), -ENOKEY);
	for (int i = 0; i < 1000; i++)
		world_tick(&w, SECOND);
	CHECK_INT(p->sent[31], 0);
	CHECK_INT(p->errors, 0);
	world_free(&w);
}

/* Transition 0 of the first group: both switch at once and send no op 23. */
static void test_first_group_with_transition_0(void)
{
	struct world w;

	pair(&w, 2);
	CHECK_INT(w.peers[0].sent[23] + w.peers[1].sent[23], 0);
	CHECK_INT(w.executed, 0);
	CHECK_INT(speak(&w.peers[0]), 0);
	world_free(&w);
}

/* Section 6, row 24: receivers first, then op 23, the sender at op 22; the id is that of ops 29/30.
 */
static void test_row_24_sender_waits_for_op_22(void)
{
	struct world w;
	struct world_peer *a, *c;

	pair(&w, 3);
	a = peer_of(&w, 101);
	c = world_join(&w, 103);
	until_next_is(a, 22);
	CHECK_INT(a->sent[23], 1);
	CHECK_INT(dave_session_epoch(a->session), 2);
	CHECK(a->session->view->send != a->session->epoch_send);    /* still the old one */
	CHECK(dave_media_view_find(a->session->view, 103) != NULL); /* but ready to hear it */
	CHECK_INT(dave_media_view_find(a->session->view, 102)->key_count, 2);
	world_run(&w);
	CHECK(a->session->view->send == a->session->epoch_send);
	CHECK_INT(c->sent[23], 1);
	CHECK_INT(w.lost, 0);
	world_free(&w);
}

/* Section 6, row 25: several transitions are pending; op 22 is matched by id. */
static void test_row_25_transitions_are_a_table(void)
{
	struct world w;
	struct world_peer *a;
	struct dave_media_key *first;

	pair(&w, 4);
	a = &w.peers[0];
	first = a->session->view->send;
	CHECK_INT(dave_session_prepare_transition(a->session, 1, 71, w.now_ns), 0);
	CHECK_INT(dave_session_prepare_transition(a->session, 0, 72, w.now_ns), 0);
	CHECK_INT(dave_session_prepare_transition(a->session, 1, 73, w.now_ns), 0);
	CHECK_INT(a->sent[23], 3);
	CHECK_INT(dave_session_execute_transition(a->session, 99, w.now_ns),
		  0); /* unknown: ignored */
	CHECK_INT(dave_session_execute_transition(a->session, 71, w.now_ns), 0);
	CHECK(a->session->view->send == first);
	CHECK_INT(a->session->transition_count, 2);
	CHECK_INT(dave_session_execute_transition(a->session, 71, w.now_ns),
		  0); /* twice: ignored */
	CHECK_INT(a->session->transition_count, 2);
	/* a later one first; the older must not be executed after it */
	CHECK_INT(dave_session_execute_transition(a->session, 73, w.now_ns), 0);
	CHECK_INT(dave_session_execute_transition(a->session, 72, w.now_ns), 0);
	CHECK_INT(dave_session_state(a->session), DAVE_ENCRYPTED);
	CHECK_INT(a->session->transition_count, 0);
	/* not more than so many are kept */
	for (uint16_t id = 100; id < 200; id++)
		CHECK_INT(dave_session_prepare_transition(a->session, 1, id, w.now_ns), 0);
	CHECK_INT(a->session->transition_count, TRANSITIONS_MAX);
	world_free(&w);
}

/* Section 6, rows 19 to 21 and 20: everybody leaves and comes back: a new group, a new key package;
 * op 24 has no transition id. */
static void test_row_20_channel_empties_and_refills(void)
{
	struct world w;
	struct world_peer *a;

	pair(&w, 5);
	a = peer_of(&w, 101);
	for (int round = 1; round <= 3; round++) {
		world_leave(peer_of(&w, 102));
		world_run(&w);
		CHECK_INT(dave_session_state(a->session), DAVE_WAITING);
		CHECK_INT(a->sent[26], 1 + round);
		CHECK_INT(speak(a), -ENOKEY);
		world_join(&w, 102);
		world_run(&w);
		world_agree(&w);
		CHECK_INT(dave_session_epoch(a->session), 1);
	}
	CHECK_INT(a->sent[31], 0);
	CHECK_INT(w.lost, 0);
	world_free(&w);
}

static void test_later_epoch_announced_changes_nothing(void)
{
	struct world w;
	char before[DAVE_PRIVACY_CODE_DIGITS + 1];

	pair(&w, 6);
	strcpy(before, dave_session_privacy_code(w.peers[0].session));
	CHECK_INT(dave_session_prepare_epoch(w.peers[0].session, 1, 2, w.now_ns), 0);
	CHECK_STR(dave_session_privacy_code(w.peers[0].session), before);
	CHECK_INT(w.peers[0].sent[26], 1);
	world_free(&w);
}

static void test_unknown_versions_are_refused(void)
{
	struct world w;
	struct world_peer *a;

	pair(&w, 7);
	a = &w.peers[0];
	CHECK_INT(dave_session_select(a->session, 2, w.now_ns), -EPROTO);
	CHECK_INT(dave_session_prepare_transition(a->session, 2, 9, w.now_ns), -EPROTO);
	CHECK_INT(dave_session_prepare_epoch(a->session, 2, 1, w.now_ns), -EPROTO);
	CHECK_INT(a->session->transition_count, 0);
	world_agree(&w);
	world_free(&w);
}

/* Section 6, row 23: transition 0 was the last one executed, and it is a valid answer. */
static void test_row_23_recovery_with_transition_id_0(void)
{
	struct world w;
	struct world_peer *a, *b;
	struct world_message *m;
	uint8_t frame[64], out[64];
	size_t n, bytes;
	bool asked = false;

	pair(&w, 8);
	a = peer_of(&w, 101);
	b = peer_of(&w, 102);
	CHECK(a->session->any_executed);
	CHECK_INT(a->session->executed_id, 0);
	/* b's key as a knows it is spoilt: 36 protocol frames in a row that do not open */
	for (int i = 0; i < DAVE_FAILURES_MAX; i++) {
		CHECK_INT(a->sent[31], 0);
		CHECK_INT(dave_media_encrypt(b->media, w.now_ns, opus, sizeof(opus), frame,
					     sizeof(frame), &n),
			  0);
		frame[0] ^= 1;
		CHECK_INT(dave_media_decrypt(a->media, w.now_ns, 102, frame, n, out, sizeof(out),
					     &bytes),
			  -EBADMSG);
		world_tick(&w, 20 * (SECOND / 1000));
	}
	while ((m = world_take(&a->out))) {
		asked |= m->op == 31 && m->transition == 0;
		world_put(&w.peers[9].out, m);
	}
	CHECK(asked);
	CHECK_INT(a->sent[31], 1);
	CHECK_INT(a->sent[26], 2);
	/* its own key is used until it is in again, so that it is still heard */
	CHECK_INT(world_speak(a), 1);
	while ((m = world_take(&w.peers[9].out))) {
		world_put(&a->out, m);
	}
	world_run(&w);
	world_agree(&w);
	world_free(&w);
}

/* 35 failures and one success, again and again: nothing is wrong. */
static void test_recovery_needs_failures_in_a_row(void)
{
	struct world w;
	struct world_peer *a, *b;
	uint8_t frame[64], out[64];
	size_t n, bytes;

	pair(&w, 9);
	a = peer_of(&w, 101);
	b = peer_of(&w, 102);
	for (int i = 0; i < 36 * 4; i++) {
		CHECK_INT(dave_media_encrypt(b->media, w.now_ns, opus, sizeof(opus), frame,
					     sizeof(frame), &n),
			  0);
		if (i % 36 != 35)
			frame[0] ^= 1;
		dave_media_decrypt(a->media, w.now_ns, 102, frame, n, out, sizeof(out), &bytes);
		/* plain frames count for nothing */
		dave_media_decrypt(a->media, w.now_ns, 102, opus, sizeof(opus), out, sizeof(out),
				   &bytes);
		world_tick(&w, 20 * (SECOND / 1000));
	}
	CHECK_INT(a->sent[31], 0);
	world_free(&w);
}

/* Section 6, row 33: a recovery that leads nowhere is not repeated without end. */
static void test_row_33_recovery_is_bounded(void)
{
	struct world w;
	struct world_peer *a;
	struct wire_buffer garbage = {0};

	pair(&w, 10);
	a = peer_of(&w, 101);
	wire_put_u16(&garbage, 7);
	wire_put(&garbage, "garbage", 7);
	/* a storm of commits that cannot be followed: 100 s, 20 a second, and nobody answers */
	for (int i = 0; i < 2000; i++) {
		dave_session_binary(a->session, 29, garbage.data, garbage.len, w.now_ns);
		dave_session_binary(a->session, 30, garbage.data, garbage.len, w.now_ns);
		w.now_ns += 50 * (SECOND / 1000);
		dave_session_tick(a->session, w.now_ns);
	}
	CHECK(a->sent[31] >= 2);
	CHECK(a->sent[31] <= 7); /* 5, 10, 20, 40, 60 s apart */
	CHECK_INT(a->sent[26], 1 + a->sent[31]);
	world_run(&w);
	for (int i = 0; i < 130; i++) {
		world_tick(&w, SECOND);
		world_run(&w);
	}
	world_agree(&w);
	wire_clear(&garbage);
	world_free(&w);
}

/* Op 25 came garbled, once and for all: each Welcome is of a group with another sender, and no op 31
 * changes that. The owner is told after two of them, within 20 s; a new session is as good as any. */
static void test_garbled_external_sender(void)
{
	struct world w;
	struct world_peer *a;
	int seconds = 0;

	pair(&w, 31);
	CHECK_INT(dave_room_fault(w.room, 103, DAVE_FAULT_FORGED_SENDER), 0);
	a = world_join(&w, 103);
	world_run(&w);
	CHECK_INT(a->sent[31], 1);
	CHECK(!dave_session_is_stuck(a->session));
	for (; seconds < 20 && !dave_session_is_stuck(a->session); seconds++) {
		world_tick(&w, SECOND);
		world_run(&w);
	}
	CHECK(dave_session_is_stuck(a->session));
	CHECK_INT(a->sent[31], DAVE_RECOVERIES_MAX);
	CHECK_INT(dave_session_state(a->session), DAVE_WAITING);
	world_leave(a);
	world_run(&w);
	a = world_join(&w, 103);
	world_run(&w);
	CHECK(!dave_session_is_stuck(a->session));
	world_agree(&w);
	world_free(&w);
}

/* Section 6, row 30: a proposals message that failed leads to no op 28. */
static void test_row_30_no_commit_after_failed_proposals(void)
{
	struct world w;
	struct world_peer *a;
	uint8_t junk[] = {0, 3, 1, 2, 3};
	uint8_t empty[] = {0, 0};

	pair(&w, 11);
	a = peer_of(&w, 101);
	a->sent[28] = 0;
	CHECK_INT(dave_session_binary(a->session, 27, junk, sizeof(junk), w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(a->session, 27, empty, sizeof(empty), w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(a->session, 27, junk, 0, w.now_ns), -EPROTO);
	junk[0] = 2;
	CHECK_INT(dave_session_binary(a->session, 27, junk, sizeof(junk), w.now_ns), -EPROTO);
	CHECK_INT(a->sent[28], 0);
	world_agree(&w);
	world_free(&w);
}

/* Section 6, row 27: every member's keys are new in each epoch, and so is the code. */
static void test_row_27_all_keys_change_in_each_epoch(void)
{
	struct world w;
	struct world_peer *a;
	char code[DAVE_PRIVACY_CODE_DIGITS + 1];
	const struct dave_view_user *b;
	struct dave_media_key *own, *others;

	pair(&w, 12);
	a = peer_of(&w, 101);
	strcpy(code, dave_session_privacy_code(a->session));
	own = a->session->view->send;
	others = dave_media_view_find(a->session->view, 102)->keys[0].key;
	world_join(&w, 103);
	world_run(&w);
	CHECK(strcmp(code, dave_session_privacy_code(a->session)) != 0);
	CHECK(a->session->view->send != own);
	b = dave_media_view_find(a->session->view, 102);
	CHECK_INT(b->key_count, 2);
	CHECK(b->keys[0].key != others && b->keys[1].key == others);
	CHECK(b->keys[1].expires_ns <= w.now_ns + DAVE_KEY_LINGER_NS);
	world_tick(&w, 11 * SECOND);
	CHECK_INT(dave_media_view_find(a->session->view, 102)->key_count, 1);
	/* who leaves is forgotten when the keys end */
	world_leave(peer_of(&w, 103));
	world_run(&w);
	CHECK(dave_media_view_find(a->session->view, 103) != NULL);
	world_tick(&w, 11 * SECOND);
	CHECK(dave_media_view_find(a->session->view, 103) == NULL);
	world_free(&w);
}

/* Section 6, row 28: moved to another channel: nothing of the old group lives on. */
static void test_row_28_move_to_another_channel(void)
{
	struct world w;
	struct world_peer *a, *b;
	uint8_t frame[64], out[64];
	size_t n, bytes;
	int packages;

	pair(&w, 13);
	a = peer_of(&w, 101);
	b = peer_of(&w, 102);
	packages = a->sent[26];
	CHECK_INT(dave_session_move(a->session, 4711, w.now_ns), 0);
	CHECK_INT(dave_session_state(a->session), DAVE_IDLE);
	CHECK_STR(dave_session_privacy_code(a->session), "");
	CHECK_INT(speak(a), -ENOKEY);
	CHECK_INT(dave_media_encrypt(b->media, w.now_ns, opus, sizeof(opus), frame, sizeof(frame),
				     &n),
		  0);
	CHECK_INT(dave_media_decrypt(a->media, w.now_ns, 102, frame, n, out, sizeof(out), &bytes),
		  -ENOKEY);
	/* transitions of the old connection mean nothing now */
	CHECK_INT(dave_session_execute_transition(a->session, 1, w.now_ns), 0);
	CHECK_INT(dave_session_select(a->session, 1, w.now_ns), 0);
	CHECK_INT(a->sent[26], packages + 1);
	CHECK(a->session->pending == NULL); /* the new gateway's op 25 has to come first */
	world_free(&w);
}

/* A commit reaches one who is waiting: not for it, and no op 31, or it would be thrown out. */
static void test_foreign_commit_while_pending_is_ignored(void)
{
	struct world w;
	struct world_peer *c;
	struct world_message *m;

	pair(&w, 14);
	world_join(&w, 103);
	until_next_is(peer_of(&w, 101), 29);
	m = peer_of(&w, 101)->in.first;
	c = peer_of(&w, 103);
	CHECK(c->session->pending != NULL);
	CHECK_INT(dave_session_binary(c->session, 29, m->data, m->len, w.now_ns), 0);
	CHECK_INT(c->sent[31], 0);
	CHECK(c->session->pending != NULL);
	world_run(&w);
	world_agree(&w);
	world_free(&w);
}

/* After a resume the gateway sends again what it has no acknowledgement for. */
static void test_resume_replays_are_harmless(void)
{
	struct world w;
	struct world_peer *a;
	struct world_message *kept[64];
	size_t n = 0;
	int sent23, sent31;

	pair(&w, 15);
	a = peer_of(&w, 101);
	world_join(&w, 103);
	for (int i = 0; i < 100000; i++) {
		/* copies of all that a gets from here on */
		if (a->in.count && n < 64) {
			struct world_message *m = a->in.first;
			struct world_message *copy = world_message(m->op, m->data, m->len);

			copy->binary = m->binary;
			copy->version = m->version;
			copy->transition = m->transition;
			copy->epoch = m->epoch;
			copy->user = m->user;
			kept[n++] = copy;
			m = world_take(&a->in);
			world_hear(a, m);
			world_note(a);
			free(m);
			continue;
		}
		if (!world_step(&w)) {
			if (dave_room_due(w.room) == INT64_MAX)
				break;
			world_tick(&w, 100 * (SECOND / 1000));
		}
	}
	world_agree(&w);
	CHECK(n >= 4); /* 11, 27, 29, 22 */
	sent23 = a->sent[23];
	sent31 = a->sent[31];
	for (size_t i = 0; i < n; i++) {
		CHECK_INT(world_hear(a, kept[i]), 0);
		free(kept[i]);
	}
	CHECK_INT(a->sent[23], sent23);
	CHECK_INT(a->sent[31], sent31);
	world_run(&w);
	world_agree(&w);
	CHECK_INT(w.lost, 0);
	world_free(&w);
}

/* Two proposals messages in one epoch; the gateway had taken our first commit already. */
static void test_own_older_commit_wins(void)
{
	struct world w;
	struct world_peer *a;
	struct dave_room *r;
	struct world_message *m, *first = NULL;
	struct wire_buffer payload = {0};
	struct dave_session_stats stats;
	uint64_t strangers[2] = {201, 202};

	pair(&w, 16);
	a = peer_of(&w, 101);
	r = w.room;
	CHECK_INT(dave_session_users_connect(a->session, strangers, 2, w.now_ns), 0);
	CHECK_INT(dave_room_propose_stranger(r, 101, 201), 0);
	world_deliver(a);
	while ((m = world_take(&a->out))) {
		if (m->op == 28 && !first)
			first = m;
		else
			free(m);
	}
	CHECK(first != NULL);
	CHECK_INT(dave_room_propose_stranger(r, 101, 202), 0);
	world_deliver(a);
	CHECK_INT(a->session->own_count, 2);
	world_empty(&a->out);
	{
		static struct wire_commit c;

		CHECK(wire_commit_parse((struct wire_bytes){first->data, first->len}, &c) == NULL);
		wire_put_u16(&payload, 0);
		wire_put(&payload, c.commit.data, c.commit.len);
	}
	CHECK_INT(dave_session_binary(a->session, 29, payload.data, payload.len, w.now_ns), 0);
	CHECK_INT(dave_session_epoch(a->session), 2);
	CHECK_INT(dave_session_members(a->session, NULL, 0), 3);
	dave_session_stats(a->session, &stats);
	CHECK(stats.commits_won >= 1);
	free(first);
	wire_clear(&payload);
	world_free(&w);
}

/* Our own Remove among the proposals: we cannot commit to that; another member does. */
static void test_own_removal_is_not_committed(void)
{
	struct world w;
	struct world_peer *b;
	struct mls_proposal_info info;
	struct world_message *m;
	int before;

	pair(&w, 17);
	b = peer_of(&w, 102);
	before = b->sent[28];
	/* The gateway takes b for failed, and says so in a Remove that reaches b as well. */
	dave_room_json(b->client, 31, 0, w.now_ns);
	world_join(&w, 103);
	until_next_is(peer_of(&w, 101), 27);
	m = peer_of(&w, 101)->in.first;
	CHECK_INT(dave_session_users_connect(b->session, (uint64_t[]){103}, 1, w.now_ns), 0);
	CHECK_INT(dave_session_binary(b->session, 27, m->data, m->len, w.now_ns), 0);
	CHECK_INT(mls_group_proposal_count(b->session->current), 2);
	mls_group_proposal(b->session->current, 0, &info);
	CHECK_INT(info.type, MLS_PROPOSAL_REMOVE);
	CHECK_INT(b->sent[28], before);
	world_free(&w);
}

/* The commit that removes us: the group is over, nothing is sent, others are heard 10 s more. */
static void test_removed_by_others(void)
{
	struct world w;
	struct world_peer *a, *b;
	struct world_message *m;
	int sent[32];

	pair(&w, 23);
	world_join(&w, 103);
	world_run(&w);
	a = peer_of(&w, 101);
	b = peer_of(&w, 102);
	dave_room_json(b->client, 31, 0, w.now_ns);
	world_join(&w, 104);
	until_next_is(a, 27);
	m = a->in.first;
	CHECK_INT(dave_session_users_connect(b->session, (uint64_t[]){104}, 1, w.now_ns), 0);
	CHECK_INT(dave_session_binary(b->session, 27, m->data, m->len, w.now_ns), 0);
	until_next_is(a, 29);
	m = a->in.first;
	memcpy(sent, b->sent, sizeof(sent));
	CHECK_INT(dave_session_binary(b->session, 29, m->data, m->len, w.now_ns), 0);
	CHECK_MEM(sent, b->sent, sizeof(sent));
	CHECK_INT(dave_session_state(b->session), DAVE_WAITING);
	CHECK(b->session->pending != NULL);
	CHECK_INT(speak(b), -ENOKEY);
	CHECK(dave_media_view_find(b->session->view, 101) != NULL);
	world_free(&w);
}

static void test_verification_codes_agree(void)
{
	struct world w;
	char ab[DAVE_VERIFICATION_CODE_DIGITS + 1], ba[DAVE_VERIFICATION_CODE_DIGITS + 1];
	char ac[DAVE_VERIFICATION_CODE_DIGITS + 1];

	pair(&w, 18);
	world_join(&w, 103);
	world_run(&w);
	CHECK_INT(dave_session_verification_code(w.peers[0].session, 102, ab), 0);
	CHECK_INT(dave_session_verification_code(w.peers[1].session, 101, ba), 0);
	CHECK_INT(dave_session_verification_code(w.peers[0].session, 103, ac), 0);
	CHECK_STR(ab, ba);
	CHECK(strcmp(ab, ac) != 0);
	CHECK_INT(strlen(ab), 45);
	CHECK_INT(dave_session_verification_code(w.peers[0].session, 999, ab), -ENOENT);
	CHECK_INT(dave_session_verification_code(w.peers[0].session, 101, ab), -ENOENT);
	world_free(&w);
}

/* The log names the code once for each epoch, and no message of the log has a secret in it. */
/* Works out all that is wanted; returns how many that were. */
static int codes_work_out(struct world_peer *p)
{
	struct dave_code_job job;
	int n = 0;

	while (dave_session_code_wanted(p->session, &job)) {
		CHECK_INT(dave_code_job_run(&job), 0);
		CHECK_INT(dave_session_code_put(p->session, &job), 0);
		n++;
	}
	return n;
}

/* Codes stand for as long as a member is there with its key; who goes, or comes again with another
 * key, is noticed. */
static void test_verification_codes_are_kept(void)
{
	struct world w;
	struct world_peer *a;
	char code[DAVE_VERIFICATION_CODE_DIGITS + 1], spaced[64], before[64];
	uint64_t user = 0;

	world_create(&w, 31);
	a = world_join(&w, 101);
	CHECK_INT(codes_work_out(a), 0); /* alone */
	world_join(&w, 102);
	world_join(&w, 103);
	world_run(&w);
	world_agree(&w);
	CHECK(dave_session_code(a->session, 0, &user) == NULL);
	CHECK_INT(codes_work_out(a), 2);
	CHECK(dave_session_code(a->session, 2, &user) == NULL);
	for (size_t i = 0; i < 2; i++) {
		CHECK(dave_session_code(a->session, i, &user) != NULL);
		CHECK_INT(dave_session_verification_code(peer_of(&w, user)->session, 101, code), 0);
		CHECK_STR(dave_session_code(a->session, i, &user), code);
		if (user == 103)
			strcpy(before, code);
	}
	CHECK_INT(dave_code_spaced(code, 5, spaced, sizeof(spaced)), 0);
	CHECK(strstr(a->last_log, spaced) != NULL);
	/* the other's code stands through the change and is not worked out again */
	world_leave(peer_of(&w, 102));
	world_run(&w);
	CHECK_INT(codes_work_out(a), 0);
	CHECK_STR(dave_session_code(a->session, 0, &user), before);
	CHECK_INT(user, 103);
	CHECK(dave_session_code(a->session, 1, &user) == NULL);
	/* a new key: another code */
	world_leave(peer_of(&w, 103));
	world_run(&w);
	CHECK(dave_session_code(a->session, 0, &user) == NULL); /* alone */
	world_join(&w, 103);
	world_run(&w);
	world_agree(&w);
	CHECK(dave_session_code(a->session, 0, &user) == NULL);
	CHECK_INT(codes_work_out(a), 1);
	CHECK_INT(dave_session_verification_code(peer_of(&w, 103)->session, 101, code), 0);
	CHECK_STR(dave_session_code(a->session, 0, &user), code);
	CHECK(strcmp(code, before) != 0);
	world_free(&w);
}

/* What is put too late, twice, or for somebody else is dropped. */
static void test_verification_codes_that_come_late(void)
{
	struct world w;
	struct world_peer *a, *b;
	struct dave_code_job job, old;
	uint64_t user;

	pair(&w, 32);
	a = peer_of(&w, 101);
	b = peer_of(&w, 102);
	CHECK(dave_session_code_wanted(a->session, &job));
	CHECK_INT(dave_code_job_run(&job), 0);
	old = job;
	CHECK_INT(dave_session_code_put(b->session, &job), 0); /* not b's */
	CHECK(dave_session_code(b->session, 0, &user) == NULL);
	job.own_key[5] ^= 1;
	CHECK_INT(dave_session_code_put(a->session, &job), 0);
	CHECK(dave_session_code(a->session, 0, &user) == NULL);
	CHECK_INT(dave_session_code_put(a->session, &old), 0);
	CHECK_INT(dave_session_code_put(a->session, &old), 0);
	CHECK(dave_session_code(a->session, 0, &user) != NULL);
	CHECK(dave_session_code(a->session, 1, &user) == NULL);
	world_leave(b);
	world_run(&w);
	world_join(&w, 102);
	world_run(&w);
	world_agree(&w);
	CHECK_INT(dave_session_code_put(a->session, &old), 0); /* of a key that is gone */
	CHECK(dave_session_code(a->session, 0, &user) == NULL);
	world_free(&w);
}

static void test_privacy_code_is_logged(void)
{
	struct world w;
	char spaced[48];

	pair(&w, 19);
	dave_code_spaced(dave_session_privacy_code(w.peers[0].session), 5, spaced, sizeof(spaced));
	CHECK(strstr(w.peers[0].last_log, spaced) != NULL || w.peers[0].logs > 1);
	CHECK_INT(strlen(dave_session_privacy_code(w.peers[0].session)), 30);
	world_free(&w);
}

static void test_held_messages_are_bounded(void)
{
	struct world w;
	struct world_peer *a;

	pair(&w, 20);
	a = peer_of(&w, 101);
	for (uint64_t i = 0; i < 30; i++) {
		CHECK_INT(dave_room_propose_stranger(w.room, 101, 5000 + i), 0);
		world_deliver(a);
	}
	CHECK_INT(a->session->held_count, HELD_MESSAGES_MAX);
	world_free(&w);
}

static void test_messages_that_are_no_client_s_or_too_long(void)
{
	struct world w;
	static uint8_t big[PAYLOAD_BYTES_MAX + 1];

	pair(&w, 21);
	CHECK_INT(dave_session_binary(w.peers[0].session, 26, big, 10, w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(w.peers[0].session, 99, big, 10, w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(w.peers[0].session, 27, big, sizeof(big), w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(w.peers[0].session, 29, big, 1, w.now_ns), -EPROTO);
	CHECK_INT(dave_session_binary(w.peers[0].session, 30, big, 1, w.now_ns), -EPROTO);
	CHECK_INT(w.peers[0].sent[31], 0);
	world_agree(&w);
	world_free(&w);
}

/* Version 0 from the start, as in a stage channel: everything passes, nothing is sent. */
static void test_version_0_from_the_start(void)
{
	struct world w = {.now_ns = SECOND};
	struct world_peer p;
	uint8_t out[64];
	size_t n;

	world_peer_make(&w, &p, 101, NULL);
	CHECK_INT(dave_session_select(p.session, 0, w.now_ns), 0);
	CHECK_INT(dave_session_state(p.session), DAVE_PLAIN);
	CHECK_INT(p.sent[26], 0);
	CHECK_INT(speak(&p), 0);
	CHECK_INT(dave_media_decrypt(p.media, w.now_ns, 5, opus, sizeof(opus), out, sizeof(out),
				     &n),
		  0);
	/* and up */
	CHECK_INT(dave_session_prepare_epoch(p.session, 1, 1, w.now_ns), 0);
	CHECK_INT(p.sent[26], 1);
	CHECK_INT(speak(&p), 0); /* in the clear until the transition is executed */
	CHECK_INT(dave_session_state(p.session), DAVE_PLAIN);
	world_peer_free(&p);
}

/* Strict from the beginning: in a call that began encrypted no plain frame is heard. */
static void test_no_plain_window_in_an_encrypted_call(void)
{
	struct world w;
	uint8_t out[64];
	size_t n;

	pair(&w, 22);
	CHECK_INT(dave_media_decrypt(w.peers[0].media, w.now_ns, 102, opus, sizeof(opus), out,
				     sizeof(out), &n),
		  -EACCES);
	world_free(&w);
}

int main(void)
{
	UNIT(test_row_17_key_package_right_after_op_4);
	UNIT(test_external_sender_before_or_after_op_4);
	UNIT(test_row_22_31_sole_member_has_no_key_and_no_error);
	UNIT(test_first_group_with_transition_0);
	UNIT(test_row_24_sender_waits_for_op_22);
	UNIT(test_row_25_transitions_are_a_table);
	UNIT(test_row_20_channel_empties_and_refills);
	UNIT(test_later_epoch_announced_changes_nothing);
	UNIT(test_unknown_versions_are_refused);
	UNIT(test_row_23_recovery_with_transition_id_0);
	UNIT(test_recovery_needs_failures_in_a_row);
	UNIT(test_row_33_recovery_is_bounded);
	UNIT(test_garbled_external_sender);
	UNIT(test_row_30_no_commit_after_failed_proposals);
	UNIT(test_row_27_all_keys_change_in_each_epoch);
	UNIT(test_row_28_move_to_another_channel);
	UNIT(test_foreign_commit_while_pending_is_ignored);
	UNIT(test_resume_replays_are_harmless);
	UNIT(test_own_older_commit_wins);
	UNIT(test_own_removal_is_not_committed);
	UNIT(test_removed_by_others);
	UNIT(test_verification_codes_agree);
	UNIT(test_verification_codes_are_kept);
	UNIT(test_verification_codes_that_come_late);
	UNIT(test_privacy_code_is_logged);
	UNIT(test_held_messages_are_bounded);
	UNIT(test_messages_that_are_no_client_s_or_too_long);
	UNIT(test_version_0_from_the_start);
	UNIT(test_no_plain_window_in_an_encrypted_call);
	return unit_done();
}
