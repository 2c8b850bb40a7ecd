/* SPDX-License-Identifier: MIT
 *
 * mls-vectors.c - runs official MLS test vectors (mlswg/mls-implementations) over discord/mls.
 *
 *	mls-vectors KIND FILE...
 *
 * One line a file: entries passed, failed, skipped with the reasons; a line for each failure.
 * Entries of other cipher suites are skipped, except where a check needs no suite. Exits with 1
 * if anything failed, 2 if a file cannot be read.
 */
#include "vec_crypto.h"
#include "vec_group.h"
#include "vec_messages.h"
#include "vec_tree.h"

struct vec_kind {
	const char *name;
	enum vec_result (*check)(const cJSON *entry);
	bool any_suite;
};

static const struct vec_kind vec_kinds[] = {
	{"tree-math", vec_tree_math, true},
	{"deserialization", vec_deserialization, true},
	{"crypto-basics", vec_crypto_basics, false},
	{"key-schedule", vec_key_schedule, false},
	{"psk_secret", vec_psk_secret, false},
	{"secret-tree", vec_secret_tree, false},
	{"transcript-hashes", vec_transcript, false},
	{"message-protection", vec_protection, false},
	{"messages", vec_messages, true},
	{"welcome", vec_welcome, false},
	{"tree-operations", vec_tree_operations, true},
	{"tree-validation", vec_tree_validation, false},
	{"treekem", vec_treekem, false},
	{"passive-client", vec_passive, false},
};

/* Also by the name of a file: more words behind the kind's, and interop-passive-*. */
static const struct vec_kind *vec_find_kind(const char *name)
{
	if (strncmp(name, "interop-passive-", 16) == 0)
		name = "passive-client";
	for (size_t i = 0; i < sizeof(vec_kinds) / sizeof(vec_kinds[0]); i++) {
		size_t n = strlen(vec_kinds[i].name);

		if (strncmp(vec_kinds[i].name, name, n) == 0 && (!name[n] || name[n] == '-'))
			return &vec_kinds[i];
	}
	return NULL;
}

static cJSON *vec_read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	cJSON *json = NULL;
	char *text = NULL;
	long size;

	if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		goto out;
	}
	rewind(f);
	text = malloc((size_t)size + 1);
	if (text && fread(text, 1, (size_t)size, f) == (size_t)size)
		json = cJSON_ParseWithLength(text, (size_t)size);
	if (!json)
		fprintf(stderr, "%s: not JSON\n", path);
out:
	free(text);
	if (f)
		fclose(f);
	return json;
}

struct vec_counts {
	unsigned passed, failed, skipped;
};

/* Reasons for skipping, each once with its count. */
struct vec_reasons {
	char text[8][64];
	unsigned count[8];
};

static void vec_note_reason(struct vec_reasons *reasons, const char *why)
{
	for (size_t i = 0; i < 8; i++) {
		if (reasons->count[i] && strcmp(reasons->text[i], why) != 0)
			continue;
		snprintf(reasons->text[i], sizeof(reasons->text[i]), "%.63s", why);
		reasons->count[i]++;
		return;
	}
}

/* False if the file cannot be read or holds nothing. */
static bool vec_run_file(const struct vec_kind *kind, const char *path, struct vec_counts *total)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct vec_counts counts = {0, 0, 0};
	struct vec_reasons reasons = {{{0}}, {0}};
	cJSON *json = vec_read_file(path);
	const cJSON *entry;
	unsigned index = 0;

	if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) == 0) {
		cJSON_Delete(json);
		return false;
	}
	cJSON_ArrayForEach(entry, json)
	{
		const cJSON *suite = vec_item(entry, "cipher_suite");
		enum vec_result result;

		vec_why[0] = '\0';
		if (!kind->any_suite && cJSON_IsNumber(suite) && suite->valueint != 2)
			result = vec_skip("another cipher suite");
		else
			result = kind->check(entry);
		vec_free_all();
		if (result == VEC_PASSED) {
			counts.passed++;
		} else if (result == VEC_SKIPPED) {
			counts.skipped++;
			vec_note_reason(&reasons, vec_why);
		} else {
			counts.failed++;
			printf("%s: entry %u failed: %s\n", name, index, vec_why);
		}
		index++;
	}
	printf("%s: %u passed, %u failed, %u skipped", name, counts.passed, counts.failed,
	       counts.skipped);
	for (size_t i = 0; i < 8 && reasons.count[i]; i++)
		printf("%s%u %s", i ? ", " : " (", reasons.count[i], reasons.text[i]);
	printf("%s\n", reasons.count[0] ? ")" : "");
	cJSON_Delete(json);
	total->passed += counts.passed;
	total->failed += counts.failed;
	total->skipped += counts.skipped;
	return true;
}

#ifndef MLS_VECTORS_NO_MAIN
int main(int argc, char **argv)
{
	const struct vec_kind *kind = argc > 2 ? vec_find_kind(argv[1]) : NULL;
	struct vec_counts total = {0, 0, 0};
	bool readable = true;

	if (!kind) {
		fprintf(stderr, "usage: mls-vectors KIND FILE...\nkinds:");
		for (size_t i = 0; i < sizeof(vec_kinds) / sizeof(vec_kinds[0]); i++)
			fprintf(stderr, " %s", vec_kinds[i].name);
		fprintf(stderr, "\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		readable = vec_run_file(kind, argv[i], &total) && readable;
	if (!readable)
		return 2;
	return total.failed ? 1 : 0;
}
#endif
