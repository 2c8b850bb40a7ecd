/* SPDX-License-Identifier: MIT
 *
 * fuzz_mls_join.c - what a Welcome holds: a vector of GroupSecrets, then the GroupInfo, both in
 * the clear. They are sealed as a member would and joined by.
 */
#include "mls_fuzz.h"

static bool seal(struct mls_bytes secrets, struct mls_bytes info, struct mls_writer *w)
{
	const struct mls_key_package *self = fuzz_key_package();
	struct mls_reader r = mls_reader(secrets);
	uint8_t zeros[32] = {0}, member[32], key[16], nonce[12];
	struct mls_group_secrets_view view;
	struct mls_buffer sealed;
	size_t entries;

	mls_read_group_secrets(&r, &view);
	if (view.joiner_secret.len != MLS_HASH_BYTES)
		return false;
	MUST(mls_schedule_member(view.joiner_secret.data, zeros, member));
	MUST(mls_schedule_welcome(member, key, nonce));
	MUST(mls_aead_seal(key, nonce, info, &sealed));
	mls_write_u16(w, MLS_SUITE);
	entries = mls_write_begin(w);
	mls_write_vector(w, mls_bytes(self->ref, 32));
	MUST(mls_hpke_seal(self->view.init_key, "Welcome", mls_view(&sealed), secrets, w));
	mls_write_end(w, entries);
	mls_write_vector(w, mls_view(&sealed));
	mls_buffer_clear(&sealed);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mls_bytes info = mls_bytes(data, size), secrets;
	struct mls_join_options options = {0};
	struct mls_writer w = {0};
	struct mls_group *group;
	long live;

	(void)fuzz_key_package();
	live = mls_alloc_live();
	if (mls_vector_take(&info, &secrets) != MLS_OK)
		return 0;
	if (seal(secrets, info, &w)) {
		for (int wide = 0; wide < 2; wide++) {
			options.features = wide ? MLS_FEATURE_ALL : 0;
			if (mls_group_join(&group, fuzz_key_package(), mls_written(&w), &options) !=
			    MLS_OK)
				continue;
			fuzz_use(group);
			mls_group_destroy(group);
		}
	}
	mls_writer_clear(&w);
	if (mls_alloc_live() != live)
		abort();
	return 0;
}
