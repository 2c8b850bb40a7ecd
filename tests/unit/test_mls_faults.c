/* SPDX-License-Identifier: MIT
 *
 * Faults from outside: every byte of every message flipped, every message cut short, every
 * allocation failing, ours and libcrypto's. All must fail cleanly, leak nothing of ours, and leave
 * a state that works as if nothing had happened.
 */
#include <openssl/crypto.h>

#include "mls_play.h"

static struct play play;

/* ---- libcrypto's allocations ---------------------------------------------------------------- */

static long crypto_countdown; /* 0: none fails; 1: the next and all after it */

static int crypto_strikes(void)
{
	if (crypto_countdown == 0)
		return 0;
	if (crypto_countdown > 1) {
		crypto_countdown--;
		return 0;
	}
	return 1;
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
	return crypto_strikes() ? NULL : malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
	return crypto_strikes() ? NULL : realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
	free(p);
}

/* ---- one operation with a message ----------------------------------------------------------- */

enum op { OP_PROPOSE, OP_PROCESS, OP_JOIN, OP_KEY_PACKAGE, OP_COMMIT, OP_CREATE, OP_MAKE };

/* Does it to player `who` without keeping any result. */
static int attempt(enum op op, int who, struct mls_bytes message)
{
	struct player *player = &play.players[who];
	struct mls_key_package *key_package;
	struct mls_group *group;
	struct mls_commit commit;
	size_t before;
	int error;

	switch (op) {
	case OP_PROPOSE:
		before = mls_group_proposal_count(player->group);
		error = mls_group_propose(player->group, message, NULL, NULL);
		if (error != MLS_OK)
			CHECK_INT(mls_group_proposal_count(player->group), before);
		else
			mls_group_forget_proposals(player->group);
		return error;
	case OP_PROCESS:
		error = mls_group_process(player->group, message, &group, NULL);
		if (error == MLS_OK)
			mls_group_destroy(group);
		return error;
	case OP_JOIN:
		error = mls_group_join(&group, player->key_package, message, NULL);
		if (error == MLS_OK)
			mls_group_destroy(group);
		return error;
	case OP_KEY_PACKAGE:
		return mls_key_package_check(message, NULL);
	case OP_COMMIT:
		error = mls_group_commit(player->group, &commit);
		if (error == MLS_OK)
			mls_commit_clear(&commit);
		return error;
	case OP_CREATE:
		error = mls_group_create(&group, player->key_package, mls_bytes(play.group_id, 8),
					 mls_view(&play.external_sender), 0);
		if (error == MLS_OK)
			mls_group_destroy(group);
		return error;
	default:
		error = mls_key_package_create(&key_package, player->key,
					       play_identity(&play, who));
		if (error == MLS_OK)
			mls_key_package_destroy(key_package);
		return error;
	}
}

/* ---- flipping and cutting ------------------------------------------------------------------- */

static void corrupt(enum op op, int who, struct mls_bytes message)
{
	struct mls_buffer copy;
	long live;

	MLS(mls_buffer_copy(&copy, message));
	live = mls_alloc_live();
	for (size_t i = 0; i < copy.len; i++) {
		uint8_t bit = (uint8_t)(1u << (i % 8));

		copy.data[i] ^= bit;
		if (attempt(op, who, mls_view(&copy)) == MLS_OK)
			UNIT_FAIL("byte %zu of %zu flipped and nobody noticed", i, copy.len);
		copy.data[i] ^= bit;
		if (attempt(op, who, mls_bytes(copy.data, i)) == MLS_OK)
			UNIT_FAIL("cut to %zu of %zu bytes and nobody noticed", i, copy.len);
		CHECK_INT(mls_alloc_live(), live);
	}
	MLS(attempt(op, who, mls_view(&copy)));
	mls_buffer_clear(&copy);
}

static void test_every_byte_of_a_key_package(void)
{
	play_begin(&play, 0);
	play_new_key_package(&play, 0);
	corrupt(OP_KEY_PACKAGE, 0, mls_key_package_bytes(play.players[0].key_package));
	play_end(&play);
}

static void test_every_byte_of_proposals(void)
{
	struct mls_writer w = {0};

	play_group(&play, 3, 0);
	play_remove(&play, 1, 1, &w);
	corrupt(OP_PROPOSE, 0, mls_written(&w));
	mls_writer_clear(&w);
	play_new_key_package(&play, 5);
	play_add(&play, 1, 5, &w);
	corrupt(OP_PROPOSE, 0, mls_written(&w));
	mls_writer_clear(&w);
	play_epoch(&play, 0, NULL, 0, &(int){5}, 1);
	play_end(&play);
}

/* Commit with path and Welcome with path secret; the good ones work afterwards. */
static void test_every_byte_of_commit_and_welcome(void)
{
	struct mls_buffer welcome;
	struct mls_commit commit;

	play_group(&play, 5, 0);
	play_propose(&play, &(int){1}, 1, &(int){7}, 1);
	MLS(mls_group_commit(play.players[4].group, &commit));
	corrupt(OP_PROCESS, 0, mls_view(&commit.commit));
	play_cut_welcome(mls_view(&commit.welcome), 0, &welcome);
	corrupt(OP_JOIN, 7, mls_view(&welcome));
	mls_buffer_clear(&welcome);
	play_deliver(&play, 4, &commit, &(int){1}, 1, &(int){7}, 1);
	play_end(&play);
}

/* ---- allocation failure --------------------------------------------------------------------- */

/* Fails the n-th allocation for each n until the operation gets through. */
static void starve(enum op op, int who, struct mls_bytes message)
{
	long live = mls_alloc_live();
	int error = MLS_ERROR_NOMEM;

	for (int all = 0; all < 2; all++) {
		error = MLS_ERROR_NOMEM;
		for (long n = 1; error != MLS_OK; n++) {
			mls_alloc_fail_at(n, all);
			error = attempt(op, who, message);
			mls_alloc_fail_at(0, 0);
			CHECK(error == MLS_OK || error == MLS_ERROR_NOMEM);
			CHECK_INT(mls_alloc_live(), live);
			CHECK(n < 5000);
		}
	}
	/* libcrypto has hundreds of allocations in each operation: sample them. Some it survives
	 * without (caches), so success does not end the search. */
	for (long n = 1; n < 4000; n += 1 + n / 16) {
		crypto_countdown = n;
		error = attempt(op, who, message);
		crypto_countdown = 0;
		CHECK_INT(mls_alloc_live(), live);
	}
	MLS(error);
	MLS(attempt(op, who, message));
}

static void test_no_memory(void)
{
	struct mls_writer w = {0};
	struct mls_buffer welcome;
	struct mls_commit commit;

	play_group(&play, 4, 0);
	starve(OP_MAKE, 1, mls_bytes(NULL, 0));
	starve(OP_CREATE, 1, mls_bytes(NULL, 0));
	starve(OP_KEY_PACKAGE, 1, mls_key_package_bytes(play.players[1].key_package));
	play_new_key_package(&play, 5);
	play_remove(&play, 1, 1, &w);
	play_add(&play, 1, 5, &w);
	starve(OP_PROPOSE, 0, mls_written(&w));
	mls_writer_clear(&w);
	/* growth of the tree, a path, a Welcome with path secret */
	play_propose(&play, &(int){1}, 1, (int[]){5, 6, 7}, 3);
	starve(OP_COMMIT, 3, mls_bytes(NULL, 0));
	MLS(mls_group_commit(play.players[3].group, &commit));
	starve(OP_PROCESS, 0, mls_view(&commit.commit));
	play_cut_welcome(mls_view(&commit.welcome), 2, &welcome);
	starve(OP_JOIN, 7, mls_view(&welcome));
	mls_buffer_clear(&welcome);
	play_deliver(&play, 3, &commit, &(int){1}, 1, (int[]){5, 6, 7}, 3);
	/* shrinkage */
	play_propose(&play, (int[]){5, 6, 7}, 3, NULL, 0);
	starve(OP_COMMIT, 3, mls_bytes(NULL, 0));
	MLS(mls_group_commit(play.players[3].group, &commit));
	starve(OP_PROCESS, 0, mls_view(&commit.commit));
	play_deliver(&play, 3, &commit, (int[]){5, 6, 7}, 3, NULL, 0);
	play_end(&play);
}

static void test_no_memory_for_psks(void)
{
	struct mls_psk psk = {mls_text("id"), mls_text("secret")};
	int error = MLS_ERROR_NOMEM;

	play_group(&play, 1, MLS_FEATURE_ALL);
	for (long n = 1; error != MLS_OK; n++) {
		long live = mls_alloc_live();

		mls_alloc_fail_at(n, 0);
		error = mls_group_set_psks(play.players[0].group, &psk, 1);
		mls_alloc_fail_at(0, 0);
		CHECK(error == MLS_OK || mls_alloc_live() == live);
	}
	play_end(&play);
}

int main(void)
{
	/* before libcrypto's first allocation, or it refuses */
	if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free)) {
		printf("not ok main: libcrypto keeps its own allocator\n");
		return 1;
	}
	UNIT(test_every_byte_of_a_key_package);
	UNIT(test_every_byte_of_proposals);
	UNIT(test_every_byte_of_commit_and_welcome);
	UNIT(test_no_memory);
	UNIT(test_no_memory_for_psks);
	return unit_done();
}
