/* SPDX-License-Identifier: MIT
 *
 * Every official vector of cipher suite 2 under $VECTORS/mls, with the numbers of entries that
 * must pass: a file that silently shrinks or an entry that is skipped without need is a failure.
 */
#define MLS_VECTORS_NO_MAIN
#include "tests/vectors/mls-vectors.c"

#include "unit.h"

static void run(const char *kind_name, const char *file, unsigned passed, unsigned skipped)
{
	const char *vectors = getenv("VECTORS");
	const struct vec_kind *kind = vec_find_kind(kind_name);
	struct vec_counts counts = {0, 0, 0};
	char path[1024];

	if (!vectors)
		SKIP("VECTORS is not set");
	CHECK(kind && vec_find_kind(file) == kind);
	CHECK(!vec_find_kind("tree-mathematics") && !vec_find_kind("tree"));
	snprintf(path, sizeof(path), "%s/mls/%s.json", vectors, file);
	CHECK(vec_run_file(kind, path, &counts));
	CHECK_INT(counts.failed, 0);
	CHECK_INT(counts.skipped, skipped);
	CHECK_INT(counts.passed, passed);
}

static void test_tree_math(void)
{
	run("tree-math", "tree-math", 10, 0);
}

static void test_deserialization(void)
{
	run("deserialization", "deserialization", 14, 0);
}

static void test_crypto_basics(void)
{
	run("crypto-basics", "crypto-basics", 1, 0);
}

static void test_key_schedule(void)
{
	run("key-schedule", "key-schedule", 1, 0);
}

static void test_psk_secret(void)
{
	run("psk_secret", "psk_secret", 11, 0);
}

static void test_secret_tree(void)
{
	run("secret-tree", "secret-tree", 3, 0);
}

static void test_transcript_hashes(void)
{
	run("transcript-hashes", "transcript-hashes", 1, 0);
}

static void test_message_protection(void)
{
	run("message-protection", "message-protection", 1, 0);
}

static void test_messages(void)
{
	run("messages", "messages", 60, 0);
}

static void test_welcome(void)
{
	run("welcome", "welcome", 1, 0);
}

static void test_tree_operations(void)
{
	run("tree-operations", "tree-operations-cs1", 5, 0);
}

static void test_tree_validation(void)
{
	run("tree-validation", "tree-validation", 14, 0);
}

static void test_treekem(void)
{
	run("treekem", "treekem", 11, 0);
}

static void test_passive_client_welcome(void)
{
	run("passive-client", "passive-client-welcome", 8, 0);
}

static void test_passive_client_handling_commit(void)
{
	run("passive-client", "passive-client-handling-commit", 9, 4);
}

static void test_interop_passive_welcome_join(void)
{
	run("passive-client", "interop-passive-welcome-join", 8, 0);
}

static void test_interop_passive_application(void)
{
	run("passive-client", "interop-passive-application", 6, 0);
}

static void test_interop_passive_external_join(void)
{
	run("passive-client", "interop-passive-external-join", 2, 4);
}

int main(void)
{
	UNIT(test_tree_math);
	UNIT(test_deserialization);
	UNIT(test_crypto_basics);
	UNIT(test_key_schedule);
	UNIT(test_psk_secret);
	UNIT(test_secret_tree);
	UNIT(test_transcript_hashes);
	UNIT(test_message_protection);
	UNIT(test_messages);
	UNIT(test_welcome);
	UNIT(test_tree_operations);
	UNIT(test_tree_validation);
	UNIT(test_treekem);
	UNIT(test_passive_client_welcome);
	UNIT(test_passive_client_handling_commit);
	UNIT(test_interop_passive_welcome_join);
	UNIT(test_interop_passive_application);
	UNIT(test_interop_passive_external_join);
	return unit_done();
}
