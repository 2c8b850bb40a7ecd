/* SPDX-License-Identifier: MIT
 *
 * mls_play.h - a delivery service and its clients for tests of discord/mls: it signs Add and
 * Remove proposals, lets any member commit, hands the commit to the members and the Welcome, cut
 * down to one entry each, to the newcomers, and checks after every epoch that all agree.
 */
#ifndef TESTS_UNIT_MLS_PLAY_H
#define TESTS_UNIT_MLS_PLAY_H

#include "discord/mls/alloc.h"
#include "discord/mls/group.h"
#include "discord/mls/tree_check.h"
#include "unit.h"

#ifndef PLAYERS
#define PLAYERS 24
#endif

#define MLS(call)                                                           \
	do {                                                                \
		int play_e = (call);                                        \
		if (play_e != MLS_OK)                                       \
			UNIT_FAIL("%s: %s", #call, mls_error_text(play_e)); \
	} while (0)

#define MLS_FAILS(call, want)                                                            \
	do {                                                                             \
		int play_e = (call);                                                     \
		if (play_e != (want))                                                    \
			UNIT_FAIL("%s: %s, expected: %s", #call, mls_error_text(play_e), \
				  mls_error_text(want));                                 \
	} while (0)

struct player {
	uint8_t identity[8];
	struct mls_signature_key *key;
	struct mls_key_package *key_package;
	struct mls_group *group; /* NULL while not a member */
};

struct play {
	struct mls_signature_key *gateway;
	struct mls_buffer external_sender;
	uint8_t group_id[8];
	unsigned features;
	struct player players[PLAYERS];
};

static inline struct mls_bytes play_identity(struct play *p, int who)
{
	return mls_bytes(p->players[who].identity, 8);
}

static inline void play_begin(struct play *p, unsigned features)
{
	uint8_t public_key[MLS_PUBLIC_KEY_BYTES];
	struct mls_writer w = {0};

	memset(p, 0, sizeof(*p));
	p->features = features;
	memcpy(p->group_id, "\x0c\xde\x77\xea\xdc\x82\x30\x33", 8);
	MLS(mls_signature_key_create(&p->gateway));
	mls_signature_key_public(p->gateway, public_key);
	mls_write_vector(&w, mls_bytes(public_key, sizeof(public_key)));
	mls_write_u16(&w, MLS_CREDENTIAL_BASIC);
	mls_write_vector(&w, mls_text("gateway"));
	MLS(mls_writer_take(&w, &p->external_sender));
	for (int i = 0; i < PLAYERS; i++) {
		p->players[i].identity[0] = 7;
		p->players[i].identity[7] = (uint8_t)i;
		MLS(mls_signature_key_create(&p->players[i].key));
	}
}

static inline void play_end(struct play *p)
{
	for (int i = 0; i < PLAYERS; i++) {
		mls_group_destroy(p->players[i].group);
		mls_key_package_destroy(p->players[i].key_package);
		mls_signature_key_destroy(p->players[i].key);
	}
	mls_signature_key_destroy(p->gateway);
	mls_buffer_clear(&p->external_sender);
	CHECK_INT(mls_alloc_live(), 0);
}

static inline void play_new_key_package(struct play *p, int who)
{
	mls_key_package_destroy(p->players[who].key_package);
	p->players[who].key_package = NULL;
	MLS(mls_key_package_create(&p->players[who].key_package, p->players[who].key,
				   play_identity(p, who)));
}

/* Its own one-member group at epoch 0. */
static inline void play_create(struct play *p, int who)
{
	play_new_key_package(p, who);
	MLS(mls_group_create(&p->players[who].group, p->players[who].key_package,
			     mls_bytes(p->group_id, 8), mls_view(&p->external_sender),
			     p->features));
}

/* ---- proposals ----------------------------------------------------------------------------- */

/* Wraps a Proposal in a PublicMessage of the external sender and appends it to w. */
static inline void play_sign(struct play *p, uint64_t epoch, uint32_t sender_index,
			     struct mls_bytes proposal, struct mls_writer *w)
{
	struct mls_buffer signature = {NULL, 0};
	struct mls_writer framed = {0};

	mls_write_vector(&framed, mls_bytes(p->group_id, 8));
	mls_write_u64(&framed, epoch);
	mls_write_u8(&framed, MLS_SENDER_EXTERNAL);
	mls_write_u32(&framed, sender_index);
	mls_write_vector(&framed, mls_bytes(NULL, 0));
	mls_write_u8(&framed, MLS_CONTENT_PROPOSAL);
	mls_write_bytes(&framed, proposal);
	MLS(mls_framed_sign(mls_written(&framed), mls_bytes(NULL, 0), p->gateway, &signature));
	mls_write_u16(w, MLS_VERSION_10);
	mls_write_u16(w, MLS_WIRE_PUBLIC_MESSAGE);
	mls_write_bytes(w, mls_written(&framed));
	mls_write_vector(w, mls_view(&signature));
	mls_buffer_clear(&signature);
	mls_writer_clear(&framed);
}

static inline void play_add_bytes(struct play *p, uint64_t epoch, struct mls_bytes key_package,
				  struct mls_writer *w)
{
	struct mls_writer proposal = {0};

	mls_write_u16(&proposal, MLS_PROPOSAL_ADD);
	mls_write_bytes(&proposal, key_package);
	play_sign(p, epoch, 0, mls_written(&proposal), w);
	mls_writer_clear(&proposal);
}

static inline void play_add(struct play *p, uint64_t epoch, int who, struct mls_writer *w)
{
	play_add_bytes(p, epoch, mls_key_package_bytes(p->players[who].key_package), w);
}

static inline void play_remove(struct play *p, uint64_t epoch, uint32_t leaf, struct mls_writer *w)
{
	struct mls_writer proposal = {0};

	mls_write_u16(&proposal, MLS_PROPOSAL_REMOVE);
	mls_write_u32(&proposal, leaf);
	play_sign(p, epoch, 0, mls_written(&proposal), w);
	mls_writer_clear(&proposal);
}

/* ---- epochs -------------------------------------------------------------------------------- */

static inline int play_first(const struct play *p)
{
	for (int i = 0; i < PLAYERS; i++)
		if (p->players[i].group)
			return i;
	return -1;
}

/* All members agree on the secrets, the roster and the validity of their trees. */
static inline void play_agree(struct play *p)
{
	uint8_t want[32], got[32], key_want[16], key_got[16];
	struct mls_bytes context = mls_bytes("context", 7);
	int first = play_first(p);
	size_t members = 0;

	mls_group_epoch_authenticator(p->players[first].group, want);
	MLS(mls_group_export(p->players[first].group, "label", context, key_want, 16));
	for (int i = 0; i < PLAYERS; i++) {
		struct mls_group *group = p->players[i].group;
		struct mls_member member;

		if (!group)
			continue;
		members++;
		mls_group_epoch_authenticator(group, got);
		CHECK_MEM(got, want, 32);
		MLS(mls_group_export(group, "label", context, key_got, 16));
		CHECK_MEM(key_got, key_want, 16);
		CHECK(mls_group_find(group, play_identity(p, i), &member));
		CHECK_INT(member.leaf, mls_group_own_leaf(group));
		CHECK_INT(mls_group_proposal_count(group), 0);
	}
	CHECK_INT(mls_group_member_count(p->players[first].group), members);
	MLS(mls_tree_check(p->players[first].group->tree, mls_bytes(p->group_id, 8), p->features));
}

/* A Welcome with the i-th entry only, as the gateway sends it. */
static inline void play_cut_welcome(struct mls_bytes welcome, size_t keep, struct mls_buffer *out)
{
	struct mls_reader r = mls_reader(welcome), entries;
	struct mls_welcome_entry entry;
	struct mls_welcome_view view;
	struct mls_writer w = {0};
	size_t begin;

	mls_read_welcome(&r, &view);
	MLS(mls_reader_finish(&r));
	mls_write_u16(&w, view.cipher_suite);
	begin = mls_write_begin(&w);
	entries = mls_reader(view.secrets);
	for (size_t i = 0; mls_reader_more(&entries); i++) {
		const uint8_t *from = entries.at;

		mls_read_welcome_entry(&entries, &entry);
		if (i == keep)
			mls_write_bytes(&w, mls_reader_since(&entries, from));
	}
	mls_write_end(&w, begin);
	mls_write_vector(&w, view.encrypted_group_info);
	MLS(mls_writer_take(&w, out));
}

/* Proposes to all members: removals (by player), then additions (fresh key packages). */
static inline void play_propose(struct play *p, const int *remove, size_t n_remove, const int *add,
				size_t n_add)
{
	struct mls_group *group = p->players[play_first(p)].group;
	uint64_t epoch = mls_group_epoch(group);
	struct mls_writer w = {0};

	for (size_t i = 0; i < n_remove; i++) {
		struct mls_member member;

		CHECK(mls_group_find(group, play_identity(p, remove[i]), &member));
		play_remove(p, epoch, member.leaf, &w);
	}
	for (size_t i = 0; i < n_add; i++) {
		play_new_key_package(p, add[i]);
		play_add(p, epoch, add[i], &w);
	}
	for (int i = 0; i < PLAYERS; i++)
		if (p->players[i].group && w.len)
			MLS(mls_group_propose(p->players[i].group, mls_written(&w), NULL, NULL));
	mls_writer_clear(&w);
}

static inline bool play_among(int who, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == who)
			return true;
	return false;
}

/* The delivery service takes this commit of that member. */
static inline void play_deliver(struct play *p, int committer, struct mls_commit *commit,
				const int *remove, size_t n_remove, const int *add, size_t n_add)
{
	for (int i = 0; i < PLAYERS; i++) {
		struct player *player = &p->players[i];
		struct mls_group *next = NULL;
		struct mls_commit_info info;

		if (!player->group)
			continue;
		if (i == committer) {
			next = commit->next;
			commit->next = NULL;
		} else if (play_among(i, remove, n_remove)) {
			MLS_FAILS(mls_group_process(player->group, mls_view(&commit->commit), &next,
						    &info),
				  MLS_ERROR_REMOVED);
		} else {
			MLS(mls_group_process(player->group, mls_view(&commit->commit), &next,
					      &info));
			CHECK_INT(info.committer, mls_group_own_leaf(p->players[committer].group));
			CHECK_INT(info.n_added, n_add);
			CHECK_INT(info.n_removed, n_remove);
			CHECK_INT(info.has_path, n_remove > 0 || n_add == 0);
		}
		mls_group_destroy(player->group);
		player->group = next;
	}
	for (size_t i = 0; i < n_add; i++) {
		struct mls_join_options options = {.features = p->features};
		struct mls_buffer welcome;

		play_cut_welcome(mls_view(&commit->welcome), i, &welcome);
		MLS(mls_group_join(&p->players[add[i]].group, p->players[add[i]].key_package,
				   mls_view(&welcome), &options));
		mls_buffer_clear(&welcome);
	}
	mls_commit_clear(commit);
	play_agree(p);
}

/* One epoch from proposals to agreement. */
static inline void play_epoch(struct play *p, int committer, const int *remove, size_t n_remove,
			      const int *add, size_t n_add)
{
	struct mls_commit commit;

	play_propose(p, remove, n_remove, add, n_add);
	MLS(mls_group_commit(p->players[committer].group, &commit));
	play_deliver(p, committer, &commit, remove, n_remove, add, n_add);
}

/* Players 0 to n-1 in one group. */
static inline void play_group(struct play *p, int n, unsigned features)
{
	int add[PLAYERS];

	play_begin(p, features);
	play_create(p, 0);
	for (int i = 1; i < n; i++)
		add[i - 1] = i;
	if (n > 1)
		play_epoch(p, 0, NULL, 0, add, (size_t)n - 1);
}

#endif
