/* SPDX-License-Identifier: MIT
 *
 * fuzz_mls_process.c - a vector of proposals and then a commit to a member, in both profiles.
 */
#include "mls_fuzz.h"

static void try(struct mls_group *group, struct mls_bytes proposals, struct mls_bytes commit)
{
	struct mls_commit_info info;
	struct mls_group *next;
	long live = mls_alloc_live();

	(void)mls_group_propose(group, proposals, NULL, NULL);
	if (mls_group_process(group, commit, &next, &info) == MLS_OK) {
		if (mls_group_epoch(next) != mls_group_epoch(group) + 1)
			abort();
		fuzz_use(next);
		mls_group_destroy(next);
	}
	mls_group_forget_proposals(group);
	if (mls_alloc_live() != live)
		abort();
	fuzz_use(group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mls_bytes rest = mls_bytes(data, size), proposals;

	if (mls_vector_take(&rest, &proposals) != MLS_OK)
		return 0;
	try(fuzz_member(false), proposals, rest);
	try(fuzz_member(true), proposals, rest);
	return 0;
}
