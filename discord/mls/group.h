/* SPDX-License-Identifier: MIT
 *
 * group.h - the inside of a group state, shared by the files that make, change and read it.
 * Internal to discord/mls.
 */
#ifndef DISCORD_MLS_GROUP_H
#define DISCORD_MLS_GROUP_H

#include "discord/mls/key_schedule.h"
#include "discord/mls/path.h"

/* A proposal with memory of its own; also one that came by value in a commit. */
struct mls_cached {
	uint8_t ref[MLS_HASH_BYTES];
	uint8_t sender_type;
	uint32_t sender; /* leaf index if a member */
	struct mls_buffer raw;
	struct mls_proposal_view view; /* into raw */
	struct mls_leaf *leaf;         /* Add, Update: made and verified */
};

struct mls_stored_psk {
	struct mls_buffer id, secret;
};

struct mls_group {
	unsigned features;
	struct mls_buffer id, extensions, context; /* context: serialised GroupContext */
	uint64_t epoch;
	struct mls_tree *tree;
	uint8_t interim[MLS_HASH_BYTES]; /* interim transcript hash */
	struct mls_buffer confirmed;     /* confirmed transcript hash: 32 bytes, or 0 at epoch 0 */
	struct mls_epoch_secrets secrets;
	struct mls_private private;
	struct mls_signature_key *signer;
	struct mls_cached *proposals[MLS_MAX_PROPOSALS]; /* in order of arrival */
	size_t n_proposals;
	struct mls_stored_psk *psks;
	size_t n_psks;
};

/* ---- group.c ------------------------------------------------------------------------------ */

/* Empty but for features, id and a reference to the signer; for those who fill it. */
int mls_group_new(struct mls_group **out, unsigned features, struct mls_bytes id,
		  const struct mls_signature_key *signer);

/* A successor: the same with a cloned tree, the next epoch, and neither context, secrets,
 * transcript nor proposals. */
int mls_group_successor(struct mls_group **out, const struct mls_group *group);

/* Serialises the GroupContext of the state as it is, into group->context. */
int mls_group_make_context(struct mls_group *group, struct mls_bytes confirmed);

int mls_group_find_psk(const struct mls_group *group, struct mls_bytes id, struct mls_bytes *out);

/* Folds the PSKs of PreSharedKeyIDs into a PSK secret, in order. UNSUPPORTED, PSK. */
int mls_group_psk_secret(const struct mls_group *group, const struct mls_psk_view *ids, size_t n,
			 uint8_t out[MLS_HASH_BYTES]);

/* ---- proposals.c -------------------------------------------------------------------------- */

void mls_cached_destroy(struct mls_cached *proposal);

/* Copies and checks one proposal by itself, as sent by the given sender into this epoch. */
int mls_cached_create(struct mls_cached **out, const struct mls_group *group,
		      const struct mls_proposal_view *view, uint8_t sender_type, uint32_t sender);

struct mls_cached *mls_group_find_proposal(const struct mls_group *group, struct mls_bytes ref);

/* ---- apply.c: a list of proposals as a whole ---------------------------------------------- */

struct mls_list {
	size_t n;
	struct mls_cached *at[MLS_MAX_PROPOSALS];
	bool owned[MLS_MAX_PROPOSALS]; /* made for this list, not of the cache */
};

void mls_list_clear(struct mls_list *list);

/* What applying did. */
struct mls_applied {
	bool path_required;
	size_t n_added, n_removed;
	const struct mls_cached *added[MLS_MAX_PROPOSALS];
	uint32_t added_at[MLS_MAX_PROPOSALS]; /* leaf index */
	uint8_t is_new[MLS_MAX_LEAVES];       /* by leaf index */
	struct mls_psk_view psks[MLS_MAX_PROPOSALS];
	size_t n_psks;
	bool removes_us;
};

/* Checks the list by the rules of RFC 9420 12.2 and applies it to the successor: extensions,
 * updates, removes, adds. With removes_us nothing is applied. Key uniqueness is checked by the
 * caller when the path is in as well. */
int mls_list_apply(const struct mls_list *list, uint32_t committer, struct mls_group *next,
		   struct mls_applied *out);

/* ---- commit.c ----------------------------------------------------------------------------- */

/* Provisional context of a successor: its tree so far, the old confirmed transcript hash. */
int mls_group_provisional(const struct mls_group *group, struct mls_group *next);

/* Everything after the commit secret: transcript, context, key schedule. The caller compares or
 * takes the confirmation tag. member_secret and joiner are for a Welcome. */
int mls_group_advance(const struct mls_group *group, struct mls_group *next,
		      const struct mls_applied *applied, struct mls_bytes framed,
		      struct mls_bytes signature, const uint8_t commit_secret[MLS_HASH_BYTES],
		      uint8_t joiner[MLS_HASH_BYTES], uint8_t member_secret[MLS_HASH_BYTES],
		      uint8_t confirmation_tag[MLS_HASH_BYTES]);

/* ---- welcome.c ---------------------------------------------------------------------------- */

/* path may be NULL. */
int mls_welcome_make(struct mls_group *next, const struct mls_applied *applied,
		     const struct mls_path_secrets *path, const uint8_t joiner[MLS_HASH_BYTES],
		     const uint8_t member_secret[MLS_HASH_BYTES],
		     const uint8_t confirmation_tag[MLS_HASH_BYTES], struct mls_buffer *out);

#endif
