/* SPDX-License-Identifier: MIT
 *
 * mls_fuzz.h - the member whose messages are fuzzed. In these builds
 * FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION makes signatures and tags verify whatever they are, so
 * that the fuzzer reaches what lies behind them.
 */
#ifndef TESTS_FUZZ_MLS_FUZZ_H
#define TESTS_FUZZ_MLS_FUZZ_H

#include <stdlib.h>

#include "discord/mls/alloc.h"
#include "discord/mls/group.h"
#include "mls_member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(call)                    \
	do {                          \
		if ((call) != MLS_OK) \
			abort();      \
	} while (0)

static inline struct mls_key_package *fuzz_key_package(void)
{
	static struct mls_key_package *self;
	struct mls_signature_key *key;

	if (self)
		return self;
	MUST(mls_signature_key_import(&key, member_signature));
	MUST(mls_key_package_import(&self, key,
				    mls_bytes(member_key_package, sizeof(member_key_package)),
				    member_init, member_leaf));
	mls_signature_key_destroy(key);
	return self;
}

/* The group of the Welcome, in the strict profile or the widest. */
static inline struct mls_group *fuzz_group(unsigned features)
{
	struct mls_join_options options = {.features = features};
	struct mls_group *group;

	MUST(mls_group_join(&group, fuzz_key_package(),
			    mls_bytes(member_welcome, sizeof(member_welcome)), &options));
	return group;
}

/* Once for each profile: proposals are forgotten after each input, nothing else ever changes. */
static inline struct mls_group *fuzz_member(bool wide)
{
	static struct mls_group *groups[2];

	if (!groups[wide])
		groups[wide] = fuzz_group(wide ? MLS_FEATURE_ALL : 0);
	return groups[wide];
}

/* A state must be sound whatever led to it: it can be read and makes keys. */
static inline void fuzz_use(const struct mls_group *group)
{
	struct mls_member member;
	uint8_t key[16];
	size_t n = 0;

	for (uint32_t i = 0; i < mls_group_leaf_count(group); i++)
		n += mls_group_member(group, i, &member);
	if (n != mls_group_member_count(group) || n == 0 ||
	    !mls_group_member(group, mls_group_own_leaf(group), &member))
		abort();
	MUST(mls_group_export(group, "fuzz", member.identity, key, sizeof(key)));
}

#endif
