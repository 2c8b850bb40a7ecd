/* SPDX-License-Identifier: MIT
 *
 * Groups playing with themselves: growth, shrinkage, commits from every leaf, races. Every epoch
 * ends with all members agreeing on the secrets and on a tree that validates (mls_play.h).
 */
#include "mls_play.h"
#include "test_random.h"

static struct play play;

static void test_one_by_one_to_twenty(void)
{
	play_begin(&play, 0);
	play_create(&play, 0);
	for (int i = 1; i < 20; i++)
		play_epoch(&play, (i * 7) % i, NULL, 0, &i, 1);
	CHECK_INT(mls_group_leaf_count(play.players[3].group), 32);
	CHECK_INT(mls_group_epoch(play.players[19].group), 19);
	for (int i = 19; i > 0; i--)
		play_epoch(&play, (i * 5) % i, &i, 1, NULL, 0);
	CHECK_INT(mls_group_leaf_count(play.players[0].group), 1);
	play_end(&play);
}

/* Each leaf of a group with blanks inside commits a removal with path, then an addition. */
static void test_commit_from_every_leaf(void)
{
	const int gone[3] = {2, 5, 6};

	play_group(&play, 10, 0);
	play_epoch(&play, 9, gone, 3, NULL, 0);
	for (int i = 0; i < 10; i++) {
		int other = 15, none = 14;

		if (play_among(i, gone, 3))
			continue;
		play_epoch(&play, i, NULL, 0, &other, 1);
		play_epoch(&play, i, &other, 1, &none, 1);
		play_epoch(&play, i == 9 ? 0 : 9, &none, 1, NULL, 0);
	}
	play_end(&play);
}

static void test_powers_of_two(void)
{
	static const int widths[] = {2, 4, 8, 16};

	for (size_t i = 0; i < 4; i++) {
		int n = widths[i], last = n - 1;

		play_group(&play, n, 0);
		CHECK_INT(mls_group_leaf_count(play.players[0].group), n);
		play_epoch(&play, n / 2, NULL, 0, &n, 1);
		CHECK_INT(mls_group_leaf_count(play.players[0].group), 2 * n);
		play_epoch(&play, 0, &n, 1, NULL, 0);
		CHECK_INT(mls_group_leaf_count(play.players[0].group), n);
		play_epoch(&play, 0, &last, 1, NULL, 0);
		/* the removal of all of the right half halves the tree at once */
		if (n > 2) {
			int right[8];

			for (int j = 0; j < n / 2 - 1; j++)
				right[j] = n / 2 + j;
			play_epoch(&play, 1, right, (size_t)n / 2 - 1, NULL, 0);
		}
		CHECK_INT(mls_group_leaf_count(play.players[0].group), n / 2);
		play_end(&play);
	}
}

/* The same user, the same signature key, a new key package: how a gateway repairs a member. */
static void test_remove_and_add_again_in_one_commit(void)
{
	int who = 3, two[2] = {1, 4};

	play_group(&play, 6, 0);
	play_epoch(&play, 5, &who, 1, &who, 1);
	play_epoch(&play, 3, two, 2, two, 2);
	play_epoch(&play, 1, NULL, 0, &(int){9}, 1);
	play_end(&play);
}

static void test_several_added_with_path(void)
{
	int gone[2] = {0, 4}, come[5] = {8, 9, 10, 11, 0};

	play_group(&play, 7, 0);
	play_epoch(&play, 6, gone, 2, come, 5);
	play_epoch(&play, 11, &(int){6}, 1, NULL, 0);
	play_end(&play);
}

/* Both members of a new call have a group of their own; the gateway takes one commit. */
static void test_two_pending_groups(void)
{
	struct mls_commit commits[2];
	struct mls_writer w = {0};

	for (int winner = 0; winner < 2; winner++) {
		struct mls_group *next;
		int loser = 1 - winner;

		play_begin(&play, 0);
		play_create(&play, 0);
		play_create(&play, 1);
		for (int i = 0; i < 2; i++) {
			play_new_key_package(&play, 1 - i);
			play_add(&play, 0, 1 - i, &w);
			MLS(mls_group_propose(play.players[i].group, mls_written(&w), NULL, NULL));
			mls_writer_clear(&w);
			MLS(mls_group_commit(play.players[i].group, &commits[i]));
		}
		/* group id and epoch are those of the loser's own group, but not the secrets */
		MLS_FAILS(mls_group_process(play.players[loser].group,
					    mls_view(&commits[winner].commit), &next, NULL),
			  MLS_ERROR_MEMBERSHIP_TAG);
		mls_group_destroy(play.players[loser].group);
		play.players[loser].group = NULL;
		mls_commit_clear(&commits[loser]);
		play_deliver(&play, winner, &commits[winner], NULL, 0, &loser, 1);
		play_epoch(&play, loser, NULL, 0, &(int){2}, 1);
		play_end(&play);
	}
}

/* Two proposals messages in one epoch: each member commits after each; the gateway has already
 * taken the earlier commit. */
static void test_own_older_commit_wins(void)
{
	struct mls_commit older, newer;
	int first = 7, second = 8;

	play_group(&play, 4, 0);
	play_propose(&play, NULL, 0, &first, 1);
	MLS(mls_group_commit(play.players[2].group, &older));
	play_propose(&play, NULL, 0, &second, 1);
	CHECK_INT(mls_group_proposal_count(play.players[2].group), 2);
	MLS(mls_group_commit(play.players[2].group, &newer));
	mls_commit_clear(&newer);
	play_deliver(&play, 2, &older, NULL, 0, &first, 1);
	play_epoch(&play, 7, NULL, 0, &second, 1);

	/* and the newer one, with both */
	first = 9;
	second = 10;
	play_propose(&play, NULL, 0, &first, 1);
	MLS(mls_group_commit(play.players[0].group, &older));
	play_propose(&play, NULL, 0, &second, 1);
	MLS(mls_group_commit(play.players[0].group, &newer));
	mls_commit_clear(&older);
	play_deliver(&play, 0, &newer, NULL, 0, (int[]){9, 10}, 2);
	play_end(&play);
}

static void test_revoked_proposals(void)
{
	struct mls_proposal_info info;
	struct mls_writer refs = {0};
	struct mls_commit commit;
	int stays = 6, revoked = 5;

	play_group(&play, 3, 0);
	play_propose(&play, NULL, 0, &revoked, 1);
	play_propose(&play, NULL, 0, &stays, 1);
	mls_group_proposal(play.players[0].group, 0, &info);
	CHECK_INT(info.type, MLS_PROPOSAL_ADD);
	CHECK(mls_bytes_equal(info.identity, play_identity(&play, revoked)));
	mls_write_vector(&refs, mls_bytes(info.ref, 32));
	/* an unknown reference beside a known one: neither is forgotten */
	{
		struct mls_writer both = {0};

		mls_write_bytes(&both, mls_written(&refs));
		mls_write_vector(&both, mls_bytes("nobody knows it", 15));
		MLS_FAILS(mls_group_revoke(play.players[0].group, mls_written(&both)),
			  MLS_ERROR_UNKNOWN_PROPOSAL);
		mls_writer_clear(&both);
	}
	MLS_FAILS(mls_group_revoke(play.players[0].group, mls_bytes("\x20\x01", 2)),
		  MLS_ERROR_PARSE);
	CHECK_INT(mls_group_proposal_count(play.players[0].group), 2);
	MLS(mls_group_revoke(play.players[0].group, mls_written(&refs)));
	CHECK_INT(mls_group_proposal_count(play.players[0].group), 1);
	MLS(mls_group_commit(play.players[0].group, &commit));
	play_deliver(&play, 0, &commit, NULL, 0, &stays, 1);
	mls_writer_clear(&refs);
	play_end(&play);
}

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
	return test_random_below(&seed, below);
}

/* Random joins, leaves and repairs among 1 to 20. */
static void test_random_walk(void)
{
	play_begin(&play, 0);
	play_create(&play, 0);
	for (int step = 0; step < 60; step++) {
		int members[PLAYERS], others[PLAYERS], remove[PLAYERS], add[PLAYERS];
		size_t n = 0, out = 0, n_remove = 0, n_add = 0;
		int committer;

		for (int i = 0; i < 20; i++) {
			if (play.players[i].group)
				members[n++] = i;
			else
				others[out++] = i;
		}
		committer = members[draw((uint32_t)n)];
		for (size_t i = 0; i < n; i++)
			if (members[i] != committer && draw(step % 10 == 9 ? 2 : 8) == 0)
				remove[n_remove++] = members[i];
		for (size_t i = 0; i < out; i++)
			if (draw(6) == 0)
				add[n_add++] = others[i];
		if (n_remove && draw(2)) /* one of those who go comes back at once */
			add[n_add++] = remove[draw((uint32_t)n_remove)];
		if (n_remove + n_add == 0)
			continue;
		play_epoch(&play, committer, remove, n_remove, add, n_add);
	}
	play_end(&play);
}

/* Rotation of our keys without a change of members, where the profile allows it. */
static void test_empty_commits(void)
{
	struct mls_commit commit;

	play_group(&play, 5, MLS_FEATURE_EMPTY_COMMIT);
	for (int i = 0; i < 5; i++)
		play_epoch(&play, i, NULL, 0, NULL, 0);
	play_end(&play);
	play_group(&play, 3, 0);
	MLS_FAILS(mls_group_commit(play.players[1].group, &commit), MLS_ERROR_PROPOSAL_LIST);
	play_end(&play);
}

/* A group that nobody may add to has no extensions; one member, no external sender. */
static void test_group_without_external_sender(void)
{
	struct mls_commit commit;
	struct mls_group *group;
	struct mls_writer w = {0};

	play_begin(&play, 0);
	play_new_key_package(&play, 0);
	play_new_key_package(&play, 1);
	MLS(mls_group_create(&group, play.players[0].key_package, mls_bytes(play.group_id, 8),
			     mls_bytes(NULL, 0), MLS_FEATURE_EMPTY_COMMIT));
	CHECK_INT(mls_group_extensions(group).len, 0);
	play_add(&play, 0, 1, &w);
	MLS_FAILS(mls_group_propose(group, mls_written(&w), NULL, NULL), MLS_ERROR_WRONG_SENDER);
	mls_writer_clear(&w);
	MLS(mls_group_commit(group, &commit));
	CHECK_INT(commit.welcome.len, 0);
	CHECK_INT(mls_group_epoch(commit.next), 1);
	mls_commit_clear(&commit);
	mls_group_destroy(group);
	MLS_FAILS(mls_group_create(&group, play.players[0].key_package, mls_bytes(play.group_id, 8),
				   mls_text("no sender"), 0),
		  MLS_ERROR_PARSE);
	play_end(&play);
}

static void test_what_a_group_tells(void)
{
	struct mls_bytes extensions, data;
	struct mls_message_info message;
	struct mls_member member;
	struct mls_commit commit;
	uint8_t public_key[65];

	play_group(&play, 3, 0);
	CHECK(mls_bytes_equal(mls_group_id(play.players[1].group), mls_bytes(play.group_id, 8)));
	CHECK_INT(mls_group_own_leaf(play.players[2].group), 2);
	CHECK(!mls_group_member(play.players[0].group, 3, &member));
	CHECK(!mls_group_member(play.players[0].group, 4000000000u, &member));
	CHECK(mls_group_member(play.players[0].group, 2, &member));
	mls_signature_key_public(play.players[2].key, public_key);
	CHECK(mls_bytes_equal(member.signature_key, mls_bytes(public_key, 65)));
	CHECK(!mls_group_find(play.players[0].group, play_identity(&play, 9), &member));
	/* exactly external_senders with exactly one sender */
	extensions = mls_group_extensions(play.players[2].group);
	CHECK(mls_extension_find(extensions, MLS_EXTENSION_EXTERNAL_SENDERS, &data));
	CHECK_INT(extensions.len, 2 + 2 + data.len);
	MLS(mls_vector_take(&data, &data));
	CHECK(mls_bytes_equal(data, mls_view(&play.external_sender)));

	play_propose(&play, &(int){2}, 1, NULL, 0);
	MLS(mls_group_commit(play.players[1].group, &commit));
	MLS(mls_message_peek(mls_view(&commit.commit), &message));
	CHECK_INT(message.content_type, MLS_CONTENT_COMMIT);
	CHECK_INT(message.sender_type, MLS_SENDER_MEMBER);
	CHECK_INT(message.sender, 1);
	CHECK_INT(message.epoch, 1);
	CHECK_INT(message.len, commit.commit.len);
	play_deliver(&play, 1, &commit, &(int){2}, 1, NULL, 0);
	play_end(&play);
}

int main(void)
{
	UNIT(test_one_by_one_to_twenty);
	UNIT(test_commit_from_every_leaf);
	UNIT(test_powers_of_two);
	UNIT(test_remove_and_add_again_in_one_commit);
	UNIT(test_several_added_with_path);
	UNIT(test_two_pending_groups);
	UNIT(test_own_older_commit_wins);
	UNIT(test_revoked_proposals);
	UNIT(test_random_walk);
	UNIT(test_empty_commits);
	UNIT(test_group_without_external_sender);
	UNIT(test_what_a_group_tells);
	return unit_done();
}
