/* SPDX-License-Identifier: MIT
 *
 * fuzz_mls_parse.c - every parser of discord/mls that takes bytes without a group. The first byte
 * chooses. A tree that is read must be written as it was.
 */
#include "mls_fuzz.h"

#include "discord/mls/tree_check.h"

static void tree_try(struct mls_bytes bytes)
{
	struct mls_writer w = {0};
	struct mls_tree *tree;

	if (mls_tree_read(&tree, bytes) != MLS_OK)
		return;
	mls_tree_write(tree, &w);
	if (!mls_bytes_equal(mls_written(&w), bytes))
		abort();
	mls_writer_clear(&w);
	(void)mls_tree_check(tree, mls_text("group"), 0);
	mls_tree_destroy(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mls_external_sender sender;
	struct mls_key_package_info package;
	struct mls_message_info message;
	struct mls_bytes bytes, content;
	struct mls_group *group;
	long live;

	(void)fuzz_key_package();
	if (size == 0)
		return 0;
	live = mls_alloc_live();
	bytes = mls_bytes(data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		if (mls_message_peek(bytes, &message) == MLS_OK && message.len > bytes.len)
			abort();
		break;
	case 1:
		(void)mls_key_package_check(bytes, &package);
		break;
	case 2:
		(void)mls_external_sender_parse(bytes, &sender);
		break;
	case 3:
		if (mls_group_join(&group, fuzz_key_package(), bytes, NULL) == MLS_OK)
			mls_group_destroy(group);
		break;
	case 4:
		tree_try(bytes);
		break;
	default:
		while (mls_vector_take(&bytes, &content) == MLS_OK)
			if (content.data < data || content.data + content.len > data + size)
				abort();
	}
	if (mls_alloc_live() != live)
		abort();
	return 0;
}
