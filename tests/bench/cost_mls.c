/* SPDX-License-Identifier: MIT
 *
 * cost_mls.c - does one group operation N times and nothing else but its preparation: run.sh runs
 * it under callgrind with two different N and takes the difference.
 *
 * usage: cost_mls list | cost_mls NAME N
 * `list` prints NAME, what it is, and the goal in thousands of instructions.
 */
#define PLAYERS 64
#include "tests/unit/mls_play.h"

#define MEMBERS 50

static struct play play;
static struct mls_buffer welcome; /* of the last member */

/* A group of 50: player 0 made it, players 1 and 49 have joined. */
static void make_group(void)
{
	struct mls_writer w = {0};
	struct mls_commit commit;
	struct mls_buffer other;

	play_begin(&play, 0);
	play_create(&play, 0);
	for (int i = 1; i < MEMBERS; i++) {
		play_new_key_package(&play, i);
		play_add(&play, 0, i, &w);
	}
	MLS(mls_group_propose(play.players[0].group, mls_written(&w), NULL, NULL));
	MLS(mls_group_commit(play.players[0].group, &commit));
	mls_group_destroy(play.players[0].group);
	play.players[0].group = commit.next;
	commit.next = NULL;
	play_cut_welcome(mls_view(&commit.welcome), MEMBERS - 2, &welcome);
	play_cut_welcome(mls_view(&commit.welcome), 0, &other);
	MLS(mls_group_join(&play.players[1].group, play.players[1].key_package, mls_view(&other),
			   NULL));
	mls_buffer_clear(&other);
	mls_commit_clear(&commit);
	mls_writer_clear(&w);
}

static void join(int n)
{
	for (int i = 0; i < n; i++) {
		struct mls_group *group;

		MLS(mls_group_join(&group, play.players[MEMBERS - 1].key_package,
				   mls_view(&welcome), NULL));
		mls_group_destroy(group);
	}
}

/* Player 1 takes the proposal and follows the commit of player 0. */
static void follow(int n, bool remove)
{
	struct mls_group *next;
	struct mls_writer w = {0};
	struct mls_commit commit;

	play_new_key_package(&play, MEMBERS);
	if (remove)
		play_remove(&play, 1, 20, &w);
	else
		play_add(&play, 1, MEMBERS, &w);
	MLS(mls_group_propose(play.players[0].group, mls_written(&w), NULL, NULL));
	MLS(mls_group_commit(play.players[0].group, &commit));
	for (int i = 0; i < n; i++) {
		MLS(mls_group_propose(play.players[1].group, mls_written(&w), NULL, NULL));
		MLS(mls_group_process(play.players[1].group, mls_view(&commit.commit), &next,
				      NULL));
		mls_group_destroy(next);
		mls_group_forget_proposals(play.players[1].group);
	}
	mls_commit_clear(&commit);
	mls_writer_clear(&w);
}

/* From 49 proposals to commit and Welcome. */
static void commit_all(int n)
{
	struct mls_writer w = {0};

	mls_group_destroy(play.players[0].group);
	play_create(&play, 0);
	for (int i = 1; i < MEMBERS; i++)
		play_add(&play, 0, i, &w);
	for (int i = 0; i < n; i++) {
		struct mls_commit commit;

		MLS(mls_group_propose(play.players[0].group, mls_written(&w), NULL, NULL));
		MLS(mls_group_commit(play.players[0].group, &commit));
		mls_commit_clear(&commit);
		mls_group_forget_proposals(play.players[0].group);
	}
	mls_writer_clear(&w);
}

/* The commit of one Remove with its path, to 49 others none of whom shares a key with us yet. */
static void commit_remove(int n)
{
	struct mls_writer w = {0};

	play_remove(&play, 1, 20, &w);
	MLS(mls_group_propose(play.players[0].group, mls_written(&w), NULL, NULL));
	for (int i = 0; i < n; i++) {
		struct mls_commit commit;

		MLS(mls_group_commit(play.players[0].group, &commit));
		mls_commit_clear(&commit);
	}
	mls_writer_clear(&w);
}

static void run(const char *what, int n)
{
	make_group();
	if (strcmp(what, "join") == 0)
		join(n);
	else if (strcmp(what, "follow-add") == 0)
		follow(n, false);
	else if (strcmp(what, "follow-remove") == 0)
		follow(n, true);
	else if (strcmp(what, "commit-adds") == 0)
		commit_all(n);
	else if (strcmp(what, "commit-remove") == 0)
		commit_remove(n);
	else
		UNIT_FAIL("no piece of this name: %s", what);
	mls_buffer_clear(&welcome);
	play_end(&play);
}

static const struct {
	const char *name, *what;
	double goal_k; /* 0: none, for orientation */
} pieces[] = {
	{"join", "join a group of 50 by Welcome", 75000},
	{"follow-add", "verify one Add and follow its commit at 50", 15000},
	{"follow-remove", "verify one Remove and follow its commit with path at 50", 0},
	{"commit-adds", "verify 49 Adds, commit them, make the Welcome", 229000},
	{"commit-remove", "commit one Remove with path at 50, nobody sharing keys", 0},
};

static const char *wanted;
static int times;

static void piece(void)
{
	run(wanted, times);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
			printf("%s\t%s\t%.0f\n", pieces[i].name, pieces[i].what, pieces[i].goal_k);
		return 0;
	}
	if (argc != 3)
		return 2;
	wanted = argv[1];
	times = atoi(argv[2]);
	UNIT(piece);
	return unit_done();
}
