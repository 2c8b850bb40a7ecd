/* SPDX-License-Identifier: MIT
 *
 * test_dave_selfplay.c - sessions among themselves around an independent gateway, in random order.
 */
#include "tests/unit/dave_world.h"

/* No frame was lost, and nobody did what the gateway has to complain about. */
static void check_clean(const struct world *w)
{
	CHECK_INT(w->lost, 0);
	if (w->complaints)
		UNIT_FAIL("%d complaints, the last: %s", w->complaints, w->complaint);
}

static void check_no_complaint(const struct world *w)
{
	if (w->complaints)
		UNIT_FAIL("%d complaints, the last: %s", w->complaints, w->complaint);
}

static void test_one_to_twenty_members(void)
{
	struct world w;

	world_create(&w, 1);
	for (uint64_t i = 1; i <= 20; i++) {
		world_join(&w, 100 + i);
		world_run(&w);
		world_agree(&w);
		CHECK_INT(dave_room_epoch(w.room), i == 1 ? 0 : i - 1);
	}
	check_clean(&w);
	CHECK(w.frames > 1000);
	world_free(&w);
}

/* All at once: everybody has a group of its own, and one of them wins. */
static void test_all_arrive_together(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world w;

		world_create(&w, seed);
		for (uint64_t i = 1; i <= 6; i++)
			world_join(&w, 100 + i);
		world_run(&w);
		world_agree(&w);
		check_clean(&w);
		world_free(&w);
	}
}

/* Joins and leaves in random order, several at a time, while everything else is under way. */
static void random_life(uint64_t seed, int changes, size_t most, bool overlap, bool nonzero)
{
	struct world w;
	uint64_t next_user = 100;

	world_create(&w, seed);
	dave_room_config(w.room)->overlap = overlap;
	dave_room_config(w.room)->first_transition_nonzero = nonzero;
	for (int i = 0; i < changes; i++) {
		size_t present = 0;
		struct world_peer *victim = NULL;

		for (int j = 0; j < PEERS_MAX; j++) {
			if (!w.peers[j].present)
				continue;
			present++;
			if (world_random(&w) % present == 0)
				victim = &w.peers[j];
		}
		if (present < 2 || (present < most && world_random(&w) % 2)) {
			world_join(&w, ++next_user);
		} else if (world_random(&w) % 4 == 0) {
			uint64_t user = victim->user;

			/* gone and back before anybody has noticed */
			world_leave(victim);
			world_join(&w, user);
		} else {
			world_leave(victim);
		}
		/* now and then everything comes to rest, otherwise it goes on in the middle */
		if (world_random(&w) % 3 == 0) {
			world_run(&w);
			world_agree(&w);
		} else {
			for (uint64_t j = world_random(&w) % 30; j > 0 && world_step(&w); j--)
				;
			if (world_random(&w) % 2)
				world_tick(&w, 300 * (SECOND / 1000));
		}
	}
	world_run(&w);
	world_agree(&w);
	check_clean(&w);
	world_free(&w);
}

static void test_random_life(void)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		random_life(seed, 40, 8, false, seed % 2);
}

static void test_random_life_with_overlapping_transitions(void)
{
	for (uint64_t seed = 101; seed <= 104; seed++)
		random_life(seed, 40, 8, true, seed % 2);
}

/* Down from twenty to one: blanks inside, the tree shrinks, the last one starts anew. */
static void test_shrinking_and_growing_again(void)
{
	struct world w;

	world_create(&w, 5);
	for (uint64_t i = 1; i <= 17; i++)
		world_join(&w, 100 + i);
	world_run(&w);
	world_agree(&w);
	for (size_t left = 17; left > 1; left--) {
		uint64_t at = world_random(&w) % left;

		for (int j = 0; j < PEERS_MAX; j++) {
			if (w.peers[j].present && at-- == 0) {
				world_leave(&w.peers[j]);
				break;
			}
		}
		world_run(&w);
		world_agree(&w);
	}
	CHECK_INT(dave_room_epoch(w.room), 0);
	CHECK(w.resets >= 1);
	for (uint64_t i = 1; i <= 9; i++) {
		world_join(&w, 200 + i);
		world_run(&w);
		world_agree(&w);
	}
	check_clean(&w);
	world_free(&w);
}

/* Each leaf position commits once: the others are slow. */
static void test_commit_from_every_leaf(void)
{
	struct world w;

	world_create(&w, 9);
	for (uint64_t i = 1; i <= 7; i++)
		world_join(&w, 100 + i);
	world_run(&w);
	for (int who = 0; who < 7; who++) {
		uint64_t before = dave_room_epoch(w.room);
		struct dave_session_stats stats;
		struct world_message *m;

		world_join(&w, 300 + (uint64_t)who);
		/* let the gateway propose, hand the proposals to one member only, and its commit
		 * back */
		for (int i = 0; i < PEERS_MAX; i++) {
			if (w.peers[i].present && w.peers[i].user == 300 + (uint64_t)who)
				world_deliver(&w.peers[i]);
		}
		for (int i = 0; i < PEERS_MAX; i++) {
			struct world_peer *p = &w.peers[i];

			if (p->present && p->user == 300 + (uint64_t)who) {
				while ((m = world_take(&p->out))) {
					dave_room_binary(p->client, m->op, m->data, m->len,
							 w.now_ns);
					free(m);
				}
			}
		}
		world_deliver(&w.peers[who]);
		while ((m = world_take(&w.peers[who].out))) {
			dave_room_binary(w.peers[who].client, m->op, m->data, m->len, w.now_ns);
			free(m);
		}
		CHECK_INT(dave_room_epoch(w.room), before + 1);
		world_run(&w);
		world_agree(&w);
		dave_session_stats(w.peers[who].session, &stats);
		CHECK(stats.commits_won >= 1);
	}
	check_clean(&w);
	world_free(&w);
}

/* Section 6, row 26: op 11 comes behind the proposals that name the user. */
static void test_row_26_late_op_11(void)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world w;

		world_create(&w, seed);
		world_join(&w, 101);
		world_join(&w, 102);
		world_join(&w, 103);
		world_run(&w);
		for (int i = 0; i < 3; i++)
			w.peers[i].hold_op11 = i != 1 || seed % 2;
		world_join(&w, 104);
		world_run(&w);
		for (int i = 0; i < 3; i++)
			w.peers[i].hold_op11 = false;
		world_agree(&w);
		CHECK_INT(w.recovers, 0);
		check_clean(&w);
		world_free(&w);
	}
}

static struct world_peer *peer_of(struct world *w, uint64_t user)
{
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present && w->peers[i].user == user)
			return &w->peers[i];
	}
	return NULL;
}

static void three(struct world *w, uint64_t seed)
{
	world_create(w, seed);
	world_join(w, 101);
	world_join(w, 102);
	world_join(w, 103);
	world_run(w);
	world_agree(w);
}

/* Section 6, row 29: a commit that cannot be followed. */
static void test_row_29_forged_commit_is_recovered_from(void)
{
	struct world w;

	three(&w, 21);
	for (int round = 0; round < 3; round++) {
		int before = w.recovers;

		/* somebody who is not the committer gets a changed commit */
		for (int i = 0; i < 3; i++)
			dave_room_fault(w.room, 101 + (uint64_t)i, DAVE_FAULT_FORGED_COMMIT);
		world_join(&w, 200 + (uint64_t)round);
		for (int i = 0; i < 120; i++) {
			world_run(&w);
			world_tick(&w, SECOND);
		}
		CHECK(w.recovers > before);
		world_agree(&w);
	}
	check_no_complaint(&w);
	world_free(&w);
}

static void test_forged_welcome_is_recovered_from(void)
{
	struct world w;

	three(&w, 22);
	world_join(&w, 104);
	dave_room_fault(w.room, 104, DAVE_FAULT_FORGED_WELCOME);
	world_run(&w);
	CHECK_INT(peer_of(&w, 104)->sent[31], 1);
	CHECK_INT(peer_of(&w, 104)->sent[26], 2);
	world_agree(&w);
	check_clean(&w);
	world_free(&w);
}

/* The gateway believes that we are a member; the others talk and we do not understand. */
static void test_lost_welcome_is_recovered_from(void)
{
	struct world w;

	three(&w, 23);
	world_join(&w, 104);
	dave_room_fault(w.room, 104, DAVE_FAULT_LOST_WELCOME);
	world_run(&w);
	CHECK_INT(dave_session_state(peer_of(&w, 104)->session), DAVE_WAITING);
	for (int i = 0; i < 100; i++) {
		world_speak(peer_of(&w, 101));
		world_tick(&w, 100 * (SECOND / 1000));
	}
	world_run(&w);
	CHECK_INT(peer_of(&w, 104)->sent[31], 1);
	world_agree(&w);
	check_no_complaint(&w);
	world_free(&w);
}

/* The same while nobody says a word: a caller may be talking to silent listeners. Whoever is alone waits
 * for as long as it takes, and whoever was alone for long has his time as well. */
static void test_lost_welcome_in_silence(void)
{
	struct world w;
	struct world_peer *late;

	world_create(&w, 29);
	late = world_join(&w, 101);
	world_run(&w);
	for (int i = 0; i < 60; i++)
		world_tick(&w, SECOND);
	CHECK_INT(late->sent[31], 0);
	dave_room_fault(w.room, 101, DAVE_FAULT_LOST_WELCOME);
	dave_room_config(w.room)->prefer = 102; /* whose commit is taken */
	world_join(&w, 102);
	world_run(&w);
	CHECK_INT(dave_session_state(late->session), DAVE_WAITING);
	for (int i = 0; i < 10; i++)
		world_tick(&w, SECOND);
	CHECK_INT(late->sent[31], 0);
	for (int i = 0; i < 10; i++)
		world_tick(&w, SECOND);
	CHECK_INT(late->sent[31], 1);
	world_run(&w);
	world_agree(&w);
	CHECK(!dave_session_is_stuck(late->session));
	check_no_complaint(&w);
	world_free(&w);
}

/* A proposal for somebody nobody announced: refused, held, revoked, and life goes on. */
static void test_stranger_is_not_added(void)
{
	struct world w;

	three(&w, 24);
	CHECK_INT(dave_room_propose_stranger(w.room, 102, 666), 0);
	world_run(&w);
	CHECK_INT(peer_of(&w, 102)->errors, 1);
	CHECK_INT(peer_of(&w, 102)->session->held_count, 1);
	CHECK_INT(mls_group_proposal_count(peer_of(&w, 102)->session->current), 0);
	world_join(&w, 104);
	world_run(&w);
	world_agree(&w);
	CHECK_INT(peer_of(&w, 102)->session->held_count, 0);
	CHECK_INT(w.recovers, 0);
	check_clean(&w);
	world_free(&w);
}

static void test_downgrade_and_upgrade(void)
{
	struct world w;

	three(&w, 25);
	for (int round = 0; round < 3; round++) {
		CHECK_INT(dave_room_set_version(w.room, 0, w.now_ns), 0);
		world_run(&w);
		for (int i = 0; i < 3; i++) {
			CHECK_INT(dave_session_state(w.peers[i].session), DAVE_PLAIN);
			CHECK_STR(dave_session_privacy_code(w.peers[i].session), "");
			CHECK_INT(world_speak(&w.peers[i]), 2);
		}
		CHECK_INT(dave_room_set_version(w.room, 1, w.now_ns), 0);
		world_run(&w);
		world_agree(&w);
		world_tick(&w, 11 * SECOND);
		CHECK(w.peers[0].session->view->plain_until_ns <= w.now_ns);
	}
	check_clean(&w);
	world_free(&w);
}

static void test_external_sender_changes(void)
{
	struct world w;

	three(&w, 26);
	dave_room_rekey(w.room, w.now_ns);
	world_run(&w);
	world_agree(&w);
	world_join(&w, 104);
	world_run(&w);
	world_agree(&w);
	check_clean(&w);
	world_free(&w);
}

/* A member without DAVE where it is allowed: everybody goes down, and up again when it leaves. */
static void test_member_without_dave(void)
{
	struct world w;
	struct world_peer *old = &w.peers[10];

	three(&w, 27);
	world_join_as(&w, old, 999, 0);
	world_run(&w);
	for (int i = 0; i < 3; i++)
		CHECK_INT(dave_session_state(w.peers[i].session), DAVE_PLAIN);
	CHECK_INT(world_speak(&w.peers[0]), 3);
	CHECK_INT(world_speak(old), 3);
	world_leave(old);
	world_run(&w);
	world_agree(&w);
	check_clean(&w);
	world_free(&w);
}

int main(void)
{
	UNIT(test_one_to_twenty_members);
	UNIT(test_all_arrive_together);
	UNIT(test_random_life);
	UNIT(test_random_life_with_overlapping_transitions);
	UNIT(test_shrinking_and_growing_again);
	UNIT(test_commit_from_every_leaf);
	UNIT(test_row_26_late_op_11);
	UNIT(test_row_29_forged_commit_is_recovered_from);
	UNIT(test_forged_welcome_is_recovered_from);
	UNIT(test_lost_welcome_is_recovered_from);
	UNIT(test_lost_welcome_in_silence);
	UNIT(test_stranger_is_not_added);
	UNIT(test_downgrade_and_upgrade);
	UNIT(test_external_sender_changes);
	UNIT(test_member_without_dave);
	return unit_done();
}
