/* SPDX-License-Identifier: MIT
 *
 * fuzz_mls_propose.c - proposals to a member, which then commits to them and revokes the first.
 * An odd last byte chooses the widest profile.
 */
#include "mls_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mls_group *group = fuzz_member(size && (data[size - 1] & 1));
	struct mls_proposal_info info;
	struct mls_commit commit;
	uint8_t ref[33] = {32};
	long live = mls_alloc_live();

	if (mls_group_propose(group, mls_bytes(data, size), NULL, NULL) == MLS_OK) {
		if (mls_group_proposal_count(group) == 0)
			abort();
		if (mls_group_commit(group, &commit) == MLS_OK) {
			fuzz_use(commit.next);
			mls_commit_clear(&commit);
		}
		mls_group_proposal(group, 0, &info);
		memcpy(ref + 1, info.ref, 32);
		MUST(mls_group_revoke(group, mls_bytes(ref, sizeof(ref))));
		(void)mls_group_revoke(group, mls_bytes(data, size));
	}
	mls_group_forget_proposals(group);
	if (mls_alloc_live() != live)
		abort();
	fuzz_use(group);
	return 0;
}
