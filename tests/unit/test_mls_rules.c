/* SPDX-License-Identifier: MIT
 *
 * What a group must refuse, rule by rule, with the error that says why; and that nothing has
 * changed afterwards.
 */
#include "mls_play.h"

static struct play play;

static struct mls_group *group_of(int who)
{
	return play.players[who].group;
}

/* ---- proposals by themselves --------------------------------------------------------------- */

static bool refuse(void *arg, const struct mls_proposal_info *info)
{
	int *calls = arg;

	CHECK_INT(info->type, MLS_PROPOSAL_ADD);
	CHECK(info->key_package.identity.len == 8);
	CHECK_INT(info->key_package.not_before, 0);
	CHECK(info->key_package.not_after == UINT64_MAX);
	return ++*calls < 2;
}

static void test_all_proposals_of_a_message_or_none(void)
{
	struct mls_writer w = {0};
	int calls = 0;

	play_group(&play, 2, 0);
	for (int i = 5; i < 8; i++) {
		play_new_key_package(&play, i);
		play_add(&play, 1, i, &w);
	}
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), refuse, &calls),
		  MLS_ERROR_REFUSED);
	CHECK_INT(calls, 2);
	CHECK_INT(mls_group_proposal_count(group_of(0)), 0);
	/* held and tried again, as for a user announced late; a second time changes nothing */
	MLS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL));
	MLS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL));
	CHECK_INT(mls_group_proposal_count(group_of(0)), 3);
	mls_group_forget_proposals(group_of(0));
	CHECK_INT(mls_group_proposal_count(group_of(0)), 0);
	MLS_FAILS(mls_group_propose(group_of(0), mls_bytes(NULL, 0), NULL, NULL), MLS_ERROR_PARSE);
	mls_writer_clear(&w);
	play_end(&play);
}

static void test_proposals_for_another_epoch_group_or_sender(void)
{
	struct mls_writer w = {0}, remove = {0};
	struct mls_signature_key *gateway;

	play_group(&play, 2, 0);
	play_new_key_package(&play, 5);
	play_add(&play, 0, 5, &w);
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL),
		  MLS_ERROR_WRONG_EPOCH);
	mls_writer_clear(&w);
	play.group_id[0] ^= 1;
	play_add(&play, 1, 5, &w);
	play.group_id[0] ^= 1;
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL),
		  MLS_ERROR_WRONG_GROUP);
	mls_writer_clear(&w);
	/* an external sender beyond the list */
	mls_write_u16(&remove, MLS_PROPOSAL_REMOVE);
	mls_write_u32(&remove, 1);
	play_sign(&play, 1, 1, mls_written(&remove), &w);
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL),
		  MLS_ERROR_WRONG_SENDER);
	mls_writer_clear(&w);
	/* the right one, with another's key */
	gateway = play.gateway;
	play.gateway = play.players[1].key;
	play_add(&play, 1, 5, &w);
	play.gateway = gateway;
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL), MLS_ERROR_SIGNATURE);
	mls_writer_clear(&w);
	mls_writer_clear(&remove);
	play_end(&play);
}

static void propose_raw(uint16_t type, struct mls_bytes body, int want)
{
	struct mls_writer proposal = {0}, w = {0};

	mls_write_u16(&proposal, type);
	mls_write_bytes(&proposal, body);
	play_sign(&play, mls_group_epoch(group_of(0)), 0, mls_written(&proposal), &w);
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL), want);
	mls_writer_clear(&w);
	mls_writer_clear(&proposal);
}

static void test_proposal_types_outside_the_profile(void)
{
	struct mls_bytes leaf;

	play_group(&play, 2, 0);
	leaf = group_of(0)->tree->leaves[1]->view.raw;
	propose_raw(MLS_PROPOSAL_UPDATE, leaf, MLS_ERROR_WRONG_SENDER);
	propose_raw(MLS_PROPOSAL_PSK, mls_bytes("\x01\x01x\x00", 4), MLS_ERROR_UNSUPPORTED);
	propose_raw(MLS_PROPOSAL_REINIT, mls_bytes("\x00\x00\x01\x00\x02\x00", 6),
		    MLS_ERROR_UNSUPPORTED);
	propose_raw(MLS_PROPOSAL_EXTERNAL_INIT, mls_bytes("\x01x", 2), MLS_ERROR_UNSUPPORTED);
	propose_raw(MLS_PROPOSAL_GROUP_EXTENSIONS, mls_bytes("\x00", 1), MLS_ERROR_UNSUPPORTED);
	propose_raw(0x0a0a, mls_bytes("\x00", 1), MLS_ERROR_UNSUPPORTED);
	propose_raw(MLS_PROPOSAL_REMOVE, mls_bytes("\x00\x00\x00\x02", 4), MLS_ERROR_TREE);
	propose_raw(MLS_PROPOSAL_REMOVE, mls_bytes("\xff\xff\xff\xff", 4), MLS_ERROR_TREE);
	CHECK_INT(mls_group_proposal_count(group_of(0)), 0);
	play_end(&play);
	/* an extension list that repeats itself, and a PSK with a short nonce, in the wide profile
	 */
	play_group(&play, 2, MLS_FEATURE_ALL);
	propose_raw(MLS_PROPOSAL_GROUP_EXTENSIONS,
		    mls_bytes("\x08\x00\x03\x00\x00\x03\x00\x00\x00", 7), MLS_ERROR_PARSE);
	propose_raw(MLS_PROPOSAL_PSK, mls_bytes("\x01\x01x\x00", 4), MLS_ERROR_PARSE);
	propose_raw(MLS_PROPOSAL_PSK,
		    mls_bytes("\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12),
		    MLS_ERROR_UNSUPPORTED);
	/* key packages and GroupInfo alone may carry these */
	propose_raw(MLS_PROPOSAL_GROUP_EXTENSIONS, mls_bytes("\x03\x00\x02\x00", 4),
		    MLS_ERROR_PARSE);
	play_end(&play);
}

/* ---- key packages -------------------------------------------------------------------------- */

enum fault {
	FAULT_NONE,
	FAULT_VERSION,
	FAULT_SUITE,
	FAULT_INIT_KEY_IS_LEAF_KEY,
	FAULT_INIT_KEY_OFF_CURVE,
	FAULT_LEAF_KEY_OFF_CURVE,
	FAULT_LEAF_KEY_COMPRESSED,
	FAULT_SOURCE_UPDATE,
	FAULT_SOURCE_COMMIT,
	FAULT_X509,
	FAULT_NO_VERSION,
	FAULT_NO_SUITE,
	FAULT_NO_BASIC,
	FAULT_EXTENSION_NOT_LISTED,
	FAULT_LEAF_SIGNATURE,
	FAULT_SIGNATURE,
	FAULT_TRAILING,
};

/* A key package with one fault, signed as it should be. */
static void make_faulty(enum fault fault, struct mls_buffer *out)
{
	static const uint8_t one[2] = {0, 1}, two[2] = {0, 2};
	uint8_t private[32], init[65], leaf_key[65], signature_key[65];
	struct mls_buffer leaf = {NULL, 0}, signature = {NULL, 0};
	struct mls_writer w = {0};
	struct mls_leaf_view fields = {
		.encryption_key = mls_bytes(leaf_key, 65),
		.signature_key = mls_bytes(signature_key, 65),
		.credential = {.type = fault == FAULT_X509 ? 2 : 1,
			       .identity = mls_bytes("\x01u", 2)},
		.capabilities = {.versions = mls_bytes(one, fault == FAULT_NO_VERSION ? 0 : 2),
				 .cipher_suites = mls_bytes(two, fault == FAULT_NO_SUITE ? 0 : 2),
				 .credentials = mls_bytes(one, fault == FAULT_NO_BASIC ? 0 : 2)},
		.source = MLS_LEAF_KEY_PACKAGE,
		.not_after = UINT64_MAX,
	};

	if (fault == FAULT_SOURCE_UPDATE)
		fields.source = MLS_LEAF_UPDATE;
	if (fault == FAULT_SOURCE_COMMIT)
		fields.source = MLS_LEAF_COMMIT;
	if (fault == FAULT_EXTENSION_NOT_LISTED)
		fields.extensions = mls_bytes("\xf0\x00\x00", 3);
	MLS(mls_p256_generate(private, init));
	MLS(mls_p256_generate(private, leaf_key));
	if (fault == FAULT_INIT_KEY_IS_LEAF_KEY)
		memcpy(init, leaf_key, 65);
	if (fault == FAULT_INIT_KEY_OFF_CURVE)
		init[64] ^= 1;
	if (fault == FAULT_LEAF_KEY_OFF_CURVE)
		leaf_key[64] ^= 1;
	if (fault == FAULT_LEAF_KEY_COMPRESSED) {
		leaf_key[0] = 2 + (leaf_key[64] & 1);
		fields.encryption_key.len = 33;
	}
	mls_signature_key_public(play.players[5].key, signature_key);
	MLS(mls_leaf_sign(&fields, mls_bytes(NULL, 0), 0, play.players[5].key, &leaf));
	if (fault == FAULT_LEAF_SIGNATURE)
		leaf.data[leaf.len - 1] ^= 1;
	mls_write_u16(&w, fault == FAULT_VERSION ? 2 : 1);
	mls_write_u16(&w, fault == FAULT_SUITE ? 1 : 2);
	mls_write_vector(&w, mls_bytes(init, 65));
	mls_write_bytes(&w, mls_view(&leaf));
	mls_write_vector(&w, mls_bytes(NULL, 0));
	MLS(mls_sign(play.players[5].key, "KeyPackageTBS", mls_written(&w), &signature));
	if (fault == FAULT_SIGNATURE)
		signature.data[signature.len - 1] ^= 1;
	mls_write_vector(&w, mls_view(&signature));
	if (fault == FAULT_TRAILING)
		mls_write_u8(&w, 0);
	MLS(mls_writer_take(&w, out));
	mls_buffer_clear(&leaf);
	mls_buffer_clear(&signature);
}

static void test_key_package_rules(void)
{
	static const struct {
		enum fault fault;
		int want;
	} rules[] = {
		{FAULT_NONE, MLS_OK},
		{FAULT_VERSION, MLS_ERROR_UNSUPPORTED},
		{FAULT_SUITE, MLS_ERROR_UNSUPPORTED},
		{FAULT_INIT_KEY_IS_LEAF_KEY, MLS_ERROR_KEY_PACKAGE},
		{FAULT_INIT_KEY_OFF_CURVE, MLS_ERROR_KEY},
		{FAULT_LEAF_KEY_OFF_CURVE, MLS_ERROR_KEY},
		{FAULT_LEAF_KEY_COMPRESSED, MLS_ERROR_KEY},
		{FAULT_SOURCE_UPDATE, MLS_ERROR_KEY_PACKAGE},
		{FAULT_SOURCE_COMMIT, MLS_ERROR_KEY_PACKAGE},
		{FAULT_X509, MLS_ERROR_UNSUPPORTED},
		{FAULT_NO_VERSION, MLS_ERROR_KEY_PACKAGE},
		{FAULT_NO_SUITE, MLS_ERROR_KEY_PACKAGE},
		{FAULT_NO_BASIC, MLS_ERROR_KEY_PACKAGE},
		{FAULT_EXTENSION_NOT_LISTED, MLS_ERROR_KEY_PACKAGE},
		{FAULT_LEAF_SIGNATURE, MLS_ERROR_SIGNATURE},
		{FAULT_SIGNATURE, MLS_ERROR_SIGNATURE},
		{FAULT_TRAILING, MLS_ERROR_PARSE},
	};
	struct mls_key_package_info info;
	struct mls_buffer key_package;
	struct mls_writer w = {0};

	play_group(&play, 2, 0);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		make_faulty(rules[i].fault, &key_package);
		MLS_FAILS(mls_key_package_check(mls_view(&key_package), &info), rules[i].want);
		if (rules[i].fault != FAULT_TRAILING) { /* what trails is the signature there */
			play_add_bytes(&play, 1, mls_view(&key_package), &w);
			MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL),
				  rules[i].want);
			mls_writer_clear(&w);
		}
		mls_buffer_clear(&key_package);
	}
	CHECK_INT(mls_group_proposal_count(group_of(0)), 1);
	play_end(&play);
}

static void test_import_wants_the_right_private_keys(void)
{
	struct mls_key_package *self = NULL, *copy;
	const uint8_t *init, *leaf;
	uint8_t zero[32] = {0};

	play_begin(&play, 0);
	play_new_key_package(&play, 0);
	self = play.players[0].key_package;
	init = self->init_private;
	leaf = self->leaf_private;
	MLS(mls_key_package_import(&copy, play.players[0].key, mls_key_package_bytes(self), init,
				   leaf));
	CHECK_MEM(copy->ref, self->ref, 32);
	mls_key_package_destroy(copy);
	MLS_FAILS(mls_key_package_import(&copy, play.players[0].key, mls_key_package_bytes(self),
					 leaf, leaf),
		  MLS_ERROR_KEY);
	MLS_FAILS(mls_key_package_import(&copy, play.players[0].key, mls_key_package_bytes(self),
					 init, init),
		  MLS_ERROR_KEY);
	MLS_FAILS(mls_key_package_import(&copy, play.players[0].key, mls_key_package_bytes(self),
					 zero, leaf),
		  MLS_ERROR_KEY);
	MLS_FAILS(mls_key_package_import(&copy, play.players[1].key, mls_key_package_bytes(self),
					 init, leaf),
		  MLS_ERROR_KEY);
	MLS_FAILS(mls_key_package_import(&copy, play.players[0].key, mls_text("nonsense"), init,
					 leaf),
		  MLS_ERROR_PARSE);
	play_end(&play);
}

/* ---- lists of proposals -------------------------------------------------------------------- */

/* Proposes what is in w to player 0 and expects its commit to fail, the cache kept. */
static void commit_refused(struct mls_writer *w, size_t n, int want)
{
	struct mls_commit commit;

	MLS(mls_group_propose(group_of(0), mls_written(w), NULL, NULL));
	CHECK_INT(mls_group_proposal_count(group_of(0)), n);
	MLS_FAILS(mls_group_commit(group_of(0), &commit), want);
	CHECK_INT(mls_group_proposal_count(group_of(0)), n);
	mls_group_forget_proposals(group_of(0));
	mls_writer_clear(w);
}

static void test_lists_that_do_not_go_together(void)
{
	struct mls_key_package *other;
	struct mls_writer w = {0};

	play_group(&play, 4, 0);
	/* the committer itself: davey calls it CannotRemoveSelf */
	play_remove(&play, 1, 0, &w);
	commit_refused(&w, 1, MLS_ERROR_PROPOSAL_LIST);
	/* one leaf twice (ECDSA is randomised, so the two references differ) */
	play_remove(&play, 1, 2, &w);
	play_remove(&play, 1, 2, &w);
	commit_refused(&w, 2, MLS_ERROR_PROPOSAL_LIST);
	/* a member that is not removed, added again */
	play_new_key_package(&play, 2);
	play_add(&play, 1, 2, &w);
	commit_refused(&w, 1, MLS_ERROR_DUPLICATE);
	/* one newcomer twice, with two key packages */
	play_new_key_package(&play, 5);
	play_add(&play, 1, 5, &w);
	play_new_key_package(&play, 5);
	play_add(&play, 1, 5, &w);
	commit_refused(&w, 2, MLS_ERROR_DUPLICATE);
	/* two newcomers of one identity, with different signature keys */
	MLS(mls_key_package_create(&other, play.players[6].key, play_identity(&play, 5)));
	play_add(&play, 1, 5, &w);
	play_add_bytes(&play, 1, mls_key_package_bytes(other), &w);
	commit_refused(&w, 2, MLS_ERROR_DUPLICATE);
	mls_key_package_destroy(other);
	/* a member's signature key under another identity */
	MLS(mls_key_package_create(&other, play.players[1].key, play_identity(&play, 9)));
	play_add_bytes(&play, 1, mls_key_package_bytes(other), &w);
	commit_refused(&w, 1, MLS_ERROR_DUPLICATE);
	mls_key_package_destroy(other);
	play_epoch(&play, 0, NULL, 0, &(int){5}, 1);
	play_end(&play);
}

static void test_more_proposals_than_allowed(void)
{
	struct mls_writer w = {0};

	play_group(&play, 2, 0);
	for (int i = 0; i < MLS_MAX_PROPOSALS; i++)
		play_remove(&play, 1, 1, &w);
	MLS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL));
	CHECK_INT(mls_group_proposal_count(group_of(0)), MLS_MAX_PROPOSALS);
	mls_writer_clear(&w);
	play_remove(&play, 1, 1, &w);
	MLS_FAILS(mls_group_propose(group_of(0), mls_written(&w), NULL, NULL), MLS_ERROR_LIMIT);
	CHECK_INT(mls_group_proposal_count(group_of(0)), MLS_MAX_PROPOSALS);
	mls_writer_clear(&w);
	play_end(&play);
}

static void test_messages_larger_than_allowed(void)
{
	static const uint8_t large[MLS_MAX_MESSAGE_BYTES + 1];
	struct mls_bytes bytes = mls_bytes(large, sizeof(large));
	struct mls_join_options options = {.ratchet_tree = bytes};
	struct mls_external_sender sender;
	struct mls_group *next;

	play_group(&play, 2, 0);
	MLS_FAILS(mls_group_propose(group_of(0), bytes, NULL, NULL), MLS_ERROR_LIMIT);
	MLS_FAILS(mls_group_revoke(group_of(0), bytes), MLS_ERROR_LIMIT);
	MLS_FAILS(mls_group_process(group_of(0), bytes, &next, NULL), MLS_ERROR_LIMIT);
	MLS_FAILS(mls_group_join(&next, play.players[0].key_package, bytes, NULL), MLS_ERROR_LIMIT);
	MLS_FAILS(mls_group_join(&next, play.players[0].key_package, mls_text("x"), &options),
		  MLS_ERROR_LIMIT);
	MLS_FAILS(mls_group_create(&next, play.players[0].key_package, bytes, mls_bytes(NULL, 0),
				   0),
		  MLS_ERROR_LIMIT);
	MLS_FAILS(mls_key_package_check(bytes, NULL), MLS_ERROR_LIMIT);
	MLS_FAILS(mls_external_sender_parse(bytes, &sender), MLS_ERROR_LIMIT);
	play_end(&play);
}

/* A commit of the epoch before the last possible one would wrap. */
static void test_last_epoch(void)
{
	struct mls_commit commit;

	play_group(&play, 1, MLS_FEATURE_EMPTY_COMMIT);
	group_of(0)->epoch = UINT64_MAX;
	MLS_FAILS(mls_group_commit(group_of(0), &commit), MLS_ERROR_LIMIT);
	play_end(&play);
}

/* ---- commits ------------------------------------------------------------------------------- */

static void process(int who, struct mls_bytes message, int want)
{
	struct mls_group *next;

	MLS_FAILS(mls_group_process(group_of(who), message, &next, NULL), want);
}

static void test_commits_that_do_not_fit(void)
{
	struct mls_commit first, second, foreign;
	struct play other;
	struct mls_group *next;

	play_group(&play, 4, 0);
	play_propose(&play, NULL, 0, &(int){5}, 1);
	MLS(mls_group_commit(group_of(0), &first));
	/* our own, from outside */
	process(0, mls_view(&first.commit), MLS_ERROR_OWN_COMMIT);
	/* proposals that were forgotten */
	mls_group_forget_proposals(group_of(1));
	process(1, mls_view(&first.commit), MLS_ERROR_UNKNOWN_PROPOSAL);
	/* a commit too late, once another was taken */
	MLS(mls_group_commit(group_of(2), &second));
	MLS(mls_group_process(group_of(3), mls_view(&second.commit), &next, NULL));
	MLS_FAILS(mls_group_process(next, mls_view(&first.commit), &next, NULL),
		  MLS_ERROR_WRONG_EPOCH);
	mls_group_destroy(next);
	/* more bytes than the message; no commit at all */
	{
		struct mls_writer w = {0};

		mls_write_bytes(&w, mls_view(&first.commit));
		mls_write_u8(&w, 0);
		process(3, mls_written(&w), MLS_ERROR_PARSE);
		mls_writer_clear(&w);
		play_remove(&play, 1, 1, &w);
		process(3, mls_written(&w), MLS_ERROR_UNSUPPORTED);
		mls_writer_clear(&w);
	}
	/* of a group of the same name and epoch that is not ours */
	play_group(&other, 2, 0);
	play_propose(&other, NULL, 0, &(int){5}, 1);
	MLS(mls_group_commit(other.players[0].group, &foreign));
	process(3, mls_view(&foreign.commit), MLS_ERROR_MEMBERSHIP_TAG);
	mls_commit_clear(&foreign);
	for (int i = 0; i < PLAYERS; i++) {
		mls_group_destroy(other.players[i].group);
		mls_key_package_destroy(other.players[i].key_package);
		mls_signature_key_destroy(other.players[i].key);
	}
	mls_signature_key_destroy(other.gateway);
	mls_buffer_clear(&other.external_sender);
	mls_commit_clear(&first);
	mls_commit_clear(&second);
	play_end(&play);
}

/* A member that cheats: makes a commit and lets the test rewrite its content before it is signed
 * and tagged as it should be. */
static void cheat(int who, struct mls_bytes proposals, bool path, struct mls_buffer *out)
{
	struct mls_group *group = group_of(who);
	struct mls_buffer signature;
	struct mls_writer framed = {0}, w = {0};
	uint8_t tag[32];
	struct mls_bytes confirmation = mls_bytes(tag, 32);

	memset(tag, 0x55, sizeof(tag));
	mls_write_vector(&framed, mls_view(&group->id));
	mls_write_u64(&framed, group->epoch);
	mls_write_u8(&framed, MLS_SENDER_MEMBER);
	mls_write_u32(&framed, group->private.leaf);
	mls_write_vector(&framed, mls_bytes(NULL, 0));
	mls_write_u8(&framed, MLS_CONTENT_COMMIT);
	mls_write_vector(&framed, proposals);
	mls_write_u8(&framed, path);
	if (path) {
		mls_write_bytes(&framed, group->tree->leaves[group->private.leaf]->view.raw);
		mls_write_vector(&framed, mls_bytes(NULL, 0));
	}
	MLS(mls_framed_sign(mls_written(&framed), mls_view(&group->context), group->signer,
			    &signature));
	MLS(mls_membership_tag(group->secrets.membership, mls_written(&framed),
			       mls_view(&group->context), mls_view(&signature), &confirmation,
			       tag));
	mls_write_u16(&w, MLS_VERSION_10);
	mls_write_u16(&w, MLS_WIRE_PUBLIC_MESSAGE);
	mls_write_bytes(&w, mls_written(&framed));
	mls_write_vector(&w, mls_view(&signature));
	{
		uint8_t fives[32];

		memset(fives, 0x55, sizeof(fives));
		mls_write_vector(&w, mls_bytes(fives, 32));
	}
	mls_write_vector(&w, mls_bytes(tag, 32));
	mls_buffer_clear(&signature);
	mls_writer_clear(&framed);
	MLS(mls_writer_take(&w, out));
}

static void cheated(int who, struct mls_bytes proposals, bool path, int want)
{
	struct mls_buffer message;

	cheat(who, proposals, path, &message);
	process(0, mls_view(&message), want);
	mls_buffer_clear(&message);
}

static void write_ref(struct mls_writer *w, const struct mls_group *group, size_t i)
{
	struct mls_proposal_info info;

	mls_group_proposal(group, i, &info);
	mls_write_u8(w, 2);
	mls_write_vector(w, mls_bytes(info.ref, 32));
}

static void test_members_that_cheat(void)
{
	struct mls_writer w = {0};

	play_group(&play, 4, 0);
	play_propose(&play, &(int){3}, 1, &(int){5}, 1);
	/* a commit to nothing */
	cheated(1, mls_bytes(NULL, 0), false, MLS_ERROR_PROPOSAL_LIST);
	/* a removal without a path */
	write_ref(&w, group_of(1), 0);
	cheated(1, mls_written(&w), false, MLS_ERROR_PROPOSAL_LIST);
	/* with a path whose leaf is not of a commit */
	cheated(1, mls_written(&w), true, MLS_ERROR_KEY_PACKAGE);
	/* one proposal twice */
	write_ref(&w, group_of(1), 0);
	cheated(1, mls_written(&w), true, MLS_ERROR_PROPOSAL_LIST);
	mls_writer_clear(&w);
	/* a proposal by value */
	mls_write_u8(&w, 1);
	mls_write_u16(&w, MLS_PROPOSAL_REMOVE);
	mls_write_u32(&w, 2);
	cheated(1, mls_written(&w), true, MLS_ERROR_UNSUPPORTED);
	mls_writer_clear(&w);
	/* an Add that leads to another epoch than the tag says */
	write_ref(&w, group_of(1), 1);
	cheated(1, mls_written(&w), false, MLS_ERROR_CONFIRMATION_TAG);
	/* by the member that the list removes */
	write_ref(&w, group_of(1), 0);
	cheated(3, mls_written(&w), true, MLS_ERROR_PROPOSAL_LIST);
	mls_writer_clear(&w);
	mls_group_forget_proposals(group_of(2));
	for (int i = 0; i < 4; i++)
		mls_group_forget_proposals(group_of(i));
	play_epoch(&play, 1, &(int){3}, 1, &(int){5}, 1);
	play_end(&play);
}

/* ---- Welcome ------------------------------------------------------------------------------- */

static void test_welcomes_that_do_not_fit(void)
{
	struct mls_buffer welcome;
	struct mls_commit commit;
	struct mls_group *next;

	play_group(&play, 2, 0);
	play_propose(&play, NULL, 0, (int[]){5, 6}, 2);
	MLS(mls_group_commit(group_of(1), &commit));
	play_cut_welcome(mls_view(&commit.welcome), 1, &welcome);
	MLS_FAILS(mls_group_join(&next, play.players[5].key_package, mls_view(&welcome), NULL),
		  MLS_ERROR_NOT_FOR_US);
	MLS(mls_group_join(&next, play.players[6].key_package, mls_view(&welcome), NULL));
	CHECK_INT(mls_group_own_leaf(next), 3);
	mls_group_destroy(next);
	/* the whole, with both entries */
	MLS(mls_group_join(&next, play.players[5].key_package, mls_view(&commit.welcome), NULL));
	mls_group_destroy(next);
	MLS_FAILS(mls_group_join(&next, play.players[5].key_package, mls_bytes(NULL, 0), NULL),
		  MLS_ERROR_PARSE);
	welcome.data[1] = 1; /* another suite */
	MLS_FAILS(mls_group_join(&next, play.players[6].key_package, mls_view(&welcome), NULL),
		  MLS_ERROR_UNSUPPORTED);
	mls_buffer_clear(&welcome);
	mls_commit_clear(&commit);
	play_end(&play);
}

/* ---- the wide profile ---------------------------------------------------------------------- */

/* PSK by reference: the gateway proposes, all fold the same secret, newcomers included. */
static void test_external_psk(void)
{
	struct mls_psk psk = {mls_text("an id"), mls_text("a secret")};
	struct mls_join_options options = {.features = MLS_FEATURE_ALL, .psks = &psk, .n_psks = 1};
	struct mls_writer body = {0}, w = {0};
	struct mls_commit commit;
	struct mls_group *next, *joined;
	uint8_t nonce[32] = {1}, a[32], b[32];

	play_group(&play, 2, MLS_FEATURE_ALL);
	mls_write_u16(&body, MLS_PROPOSAL_PSK);
	mls_write_u8(&body, MLS_PSK_EXTERNAL);
	mls_write_vector(&body, psk.id);
	mls_write_vector(&body, mls_bytes(nonce, 32));
	play_sign(&play, 1, 0, mls_written(&body), &w);
	play_new_key_package(&play, 5);
	play_add(&play, 1, 5, &w);
	for (int i = 0; i < 2; i++)
		MLS(mls_group_propose(group_of(i), mls_written(&w), NULL, NULL));
	MLS_FAILS(mls_group_commit(group_of(0), &commit), MLS_ERROR_PSK);
	MLS(mls_group_set_psks(group_of(0), &psk, 1));
	MLS(mls_group_set_psks(group_of(0), &psk, 0));
	MLS(mls_group_commit(group_of(0), &commit));
	process(1, mls_view(&commit.commit), MLS_ERROR_PSK);
	MLS(mls_group_set_psks(group_of(1), &psk, 1));
	MLS(mls_group_set_psks(group_of(1), &psk, 1));
	MLS(mls_group_process(group_of(1), mls_view(&commit.commit), &next, NULL));
	MLS(mls_group_join(&joined, play.players[5].key_package, mls_view(&commit.welcome),
			   &options));
	mls_group_epoch_authenticator(next, a);
	mls_group_epoch_authenticator(commit.next, b);
	CHECK_MEM(a, b, 32);
	mls_group_epoch_authenticator(joined, a);
	CHECK_MEM(a, b, 32);
	mls_group_destroy(joined);
	mls_group_destroy(next);
	options.n_psks = 0;
	MLS_FAILS(mls_group_join(&joined, play.players[5].key_package, mls_view(&commit.welcome),
				 &options),
		  MLS_ERROR_PSK);
	MLS_FAILS(mls_group_join(&joined, play.players[5].key_package, mls_view(&commit.welcome),
				 NULL),
		  MLS_ERROR_UNSUPPORTED);
	mls_commit_clear(&commit);
	mls_writer_clear(&body);
	mls_writer_clear(&w);
	play_end(&play);
}

/* required_capabilities that nobody can meet, then ones that all do. */
static void test_group_extensions_bind_all_members(void)
{
	static const uint8_t unmet[] = {0x0a, 0, 3, 7, 2, 0xf0, 0x01, 0, 2, 0, 1},
			     met[] = {0x08, 0, 3, 5, 0, 0, 2, 0, 1};
	struct mls_writer body = {0}, w = {0};
	struct mls_commit commit;

	play_group(&play, 3, MLS_FEATURE_ALL);
	mls_write_u16(&body, MLS_PROPOSAL_GROUP_EXTENSIONS);
	mls_write_bytes(&body, mls_bytes(unmet, sizeof(unmet)));
	play_sign(&play, 1, 0, mls_written(&body), &w);
	commit_refused(&w, 1, MLS_ERROR_KEY_PACKAGE);
	mls_writer_clear(&body);
	mls_write_u16(&body, MLS_PROPOSAL_GROUP_EXTENSIONS);
	mls_write_bytes(&body, mls_bytes(met, sizeof(met)));
	play_sign(&play, 1, 0, mls_written(&body), &w);
	play_sign(&play, 1, 0, mls_written(&body), &w);
	commit_refused(&w, 2, MLS_ERROR_PROPOSAL_LIST);
	play_sign(&play, 1, 0, mls_written(&body), &w);
	for (int i = 0; i < 3; i++)
		MLS(mls_group_propose(group_of(i), mls_written(&w), NULL, NULL));
	MLS(mls_group_commit(group_of(1), &commit));
	for (int i = 0; i < 3; i++) {
		struct mls_group *next = commit.next;

		if (i == 1)
			commit.next = NULL;
		else
			MLS(mls_group_process(group_of(i), mls_view(&commit.commit), &next, NULL));
		mls_group_destroy(group_of(i));
		play.players[i].group = next;
		CHECK(mls_bytes_equal(mls_group_extensions(next), mls_bytes(met + 1, 8)));
	}
	mls_commit_clear(&commit);
	play_agree(&play);
	mls_writer_clear(&body);
	mls_writer_clear(&w);
	play_end(&play);
}

static void test_every_error_has_a_text(void)
{
	for (int e = MLS_OK; e >= MLS_ERROR_REFUSED; e--)
		CHECK(strcmp(mls_error_text(e), "unknown error") != 0);
	CHECK_STR(mls_error_text(1), "unknown error");
	CHECK_STR(mls_error_text(MLS_ERROR_REFUSED - 1), "unknown error");
}

int main(void)
{
	UNIT(test_all_proposals_of_a_message_or_none);
	UNIT(test_proposals_for_another_epoch_group_or_sender);
	UNIT(test_proposal_types_outside_the_profile);
	UNIT(test_key_package_rules);
	UNIT(test_import_wants_the_right_private_keys);
	UNIT(test_lists_that_do_not_go_together);
	UNIT(test_more_proposals_than_allowed);
	UNIT(test_messages_larger_than_allowed);
	UNIT(test_last_epoch);
	UNIT(test_commits_that_do_not_fit);
	UNIT(test_members_that_cheat);
	UNIT(test_welcomes_that_do_not_fit);
	UNIT(test_external_psk);
	UNIT(test_group_extensions_bind_all_members);
	UNIT(test_every_error_has_a_text);
	return unit_done();
}
