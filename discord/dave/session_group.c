/* SPDX-License-Identifier: MIT
 *
 * session_group.c - the MLS group of a DAVE session: ops 25 to 31.
 *
 * In version 1 everybody commits: each member answers each op 27 with a commit over all proposals
 * of the epoch, and the gateway announces the one it chose. Losing that race is normal. What
 * cannot be followed is reported by op 31 together with a fresh key package, after which the
 * gateway removes and adds us again.
 */
#include "discord/dave/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

#define EXPORT_LABEL "Discord Secure Frames v0"

int session_error(int mls_error)
{
	switch (mls_error) {
	case MLS_OK:
		return 0;
	case MLS_ERROR_NOMEM:
		return -ENOMEM;
	case MLS_ERROR_INTERNAL:
		return -EIO;
	default:
		return -EPROTO;
	}
}

static struct mls_bytes bytes_of(const struct mls_buffer *b)
{
	return (struct mls_bytes){b->data, b->len};
}

static bool bytes_equal(struct mls_bytes a, struct mls_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* A user id is eight bytes big-endian, anything else is nobody of ours. */
static bool identity_user(struct mls_bytes identity, uint64_t *user_id)
{
	if (identity.len != IDENTITY_BYTES)
		return false;
	*user_id = get_be64(identity.data);
	return true;
}

static struct mls_bytes blob_bytes(const struct blob *b)
{
	return (struct mls_bytes){b->data, b->len};
}

void blob_clear(struct blob *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

static int blob_copy(struct blob *out, struct mls_bytes in)
{
	out->data = malloc(in.len ? in.len : 1);
	if (!out->data)
		return -ENOMEM;
	if (in.len)
		memcpy(out->data, in.data, in.len);
	out->len = in.len;
	return 0;
}

/* ---- beginning --------------------------------------------------------------------------- */

static void own_commits_clear(struct dave_session *s)
{
	for (size_t i = 0; i < s->own_count; i++) {
		mls_buffer_clear(&s->own[i].commit);
		mls_group_destroy(s->own[i].next);
	}
	s->own_count = 0;
}

static void held_clear(struct held_message *h)
{
	blob_clear(&h->messages);
	free(h->refs);
	memset(h, 0, sizeof(*h));
}

static void held_drop(struct dave_session *s, size_t at)
{
	held_clear(&s->held[at]);
	s->held_count--;
	memmove(&s->held[at], &s->held[at + 1], (s->held_count - at) * sizeof(s->held[0]));
	memset(&s->held[s->held_count], 0, sizeof(s->held[0]));
}

/* What belongs to the epoch that ends. */
static void epoch_clear(struct dave_session *s)
{
	own_commits_clear(s);
	while (s->held_count)
		held_drop(s, s->held_count - 1);
}

void session_group_clear(struct dave_session *s)
{
	epoch_clear(s);
	mls_group_destroy(s->pending);
	mls_group_destroy(s->current);
	mls_key_package_destroy(s->key_package);
	s->pending = s->current = NULL;
	s->key_package = NULL;
	dave_media_key_unref(s->epoch_send);
	s->epoch_send = NULL;
	s->privacy_code[0] = '\0';
}

/* Our own group of one, from the key package that is out. */
static int pending_create(struct dave_session *s)
{
	struct mls_group *group;
	int rc = mls_group_create(&group, s->key_package,
				  (struct mls_bytes){s->group_id, sizeof(s->group_id)},
				  blob_bytes(&s->external_sender), 0);

	if (rc) {
		session_log(s, DAVE_LOG_WARN, "cannot begin a group: %s", mls_error_text(rc));
		return session_error(rc);
	}
	epoch_clear(s);
	mls_group_destroy(s->pending);
	s->pending = group;
	return 0;
}

static int key_package_send(struct dave_session *s)
{
	struct mls_bytes package = mls_key_package_bytes(s->key_package);
	uint8_t *message = malloc(1 + package.len);

	if (!message)
		return -ENOMEM;
	/* Bare, without the MLSMessage head that the protocol's text speaks of: what Discord's own
	 * library sends. */
	message[0] = DAVE_OP_KEY_PACKAGE;
	memcpy(message + 1, package.data, package.len);
	s->ops->send_binary(s->context, message, 1 + package.len);
	free(message);
	return 0;
}

void session_waiting_begins(struct dave_session *s, int64_t now_ns)
{
	struct dave_media_stats media;

	dave_media_stats(s->media, &media);
	s->waiting_since_ns = now_ns;
	s->waiting_no_key = media.no_key;
}

int session_group_init(struct dave_session *s, int64_t now_ns)
{
	int rc;

	session_group_clear(s);
	s->init_wanted = false;
	session_waiting_begins(s, now_ns);
	rc = mls_key_package_create(&s->key_package, s->key,
				    (struct mls_bytes){s->identity, sizeof(s->identity)});
	rc = rc ? session_error(rc) : key_package_send(s);
	if (rc == 0 && s->external_sender.len)
		rc = pending_create(s);
	if (rc) {
		/* Without a key package out nothing would ever happen: try again from the tick. */
		session_log(s, DAVE_LOG_WARN, "cannot begin a group now");
		s->init_wanted = true;
	}
	return rc;
}

void dave_session_use_key_package(struct dave_session *s, struct mls_key_package *package)
{
	mls_key_package_destroy(s->key_package);
	s->key_package = package;
}

int session_recover(struct dave_session *s, uint16_t transition_id, int64_t now_ns)
{
	if (now_ns < s->recovery_after_ns) {
		/* One at a time: whoever makes us fail again and again gets an answer in a while.
		 */
		s->recovery_wanted = true;
		s->recovery_id = transition_id;
		return 0;
	}
	if (s->recoveries && s->recovery_delay_ns < RECOVERY_DELAY_MAX_NS)
		s->recovery_delay_ns *= 2;
	if (s->recovery_delay_ns > RECOVERY_DELAY_MAX_NS)
		s->recovery_delay_ns = RECOVERY_DELAY_MAX_NS;
	s->recovery_after_ns = now_ns + s->recovery_delay_ns;
	s->recoveries++;
	s->recovery_wanted = false;
	s->recovery_id = transition_id;
	s->stats.recoveries++;
	session_log(s, DAVE_LOG_INFO, "asking to be added to the group again (transition %u)",
		    transition_id);
	/* The sender's key goes on until the next transition, and so do the keys of the others, who
	 * know nothing of our trouble: what can be understood is understood meanwhile. */
	s->ops->send_json(s->context, DAVE_OP_INVALID_COMMIT_WELCOME, transition_id);
	session_changed(s);
	return session_group_init(s, now_ns);
}

/* ---- op 25 ------------------------------------------------------------------------------- */

int session_external_sender(struct dave_session *s, struct mls_bytes payload)
{
	struct mls_external_sender parsed;
	struct blob copy;
	int rc = mls_external_sender_parse(payload, &parsed);

	if (rc) {
		session_log(s, DAVE_LOG_WARN, "op 25: %s", mls_error_text(rc));
		return session_error(rc);
	}
	if (bytes_equal(payload, blob_bytes(&s->external_sender)) && (s->pending || s->current))
		return 0; /* sent again on a resume */
	rc = blob_copy(&copy, payload);
	if (rc)
		return rc;
	blob_clear(&s->external_sender);
	s->external_sender = copy;
	/* An established group keeps the sender it was made with; the new one counts from the next
	 * op 24 on. A group of our own begins with it. */
	if (s->current || !s->key_package)
		return 0;
	return pending_create(s);
}

/* ---- op 27 ------------------------------------------------------------------------------- */

static struct mls_group *base_group(struct dave_session *s)
{
	return s->pending ? s->pending : s->current;
}

/* Commits to everything cached, unless something is missing from the cache or removes us. */
static int proposals_commit(struct dave_session *s)
{
	struct mls_group *base = base_group(s);
	struct own_commit *own;
	struct mls_commit made = {0};
	uint8_t *message;
	int rc;

	if (mls_group_proposal_count(base) == 0 || s->held_count)
		return 0;
	rc = mls_group_commit(base, &made);
	if (rc == MLS_ERROR_PROPOSAL_LIST || rc == MLS_ERROR_DUPLICATE || rc == MLS_ERROR_LIMIT) {
		/* Our own removal is among them, or a user twice until the gateway revokes one. */
		session_log(s, DAVE_LOG_DEBUG, "no commit of ours: %s", mls_error_text(rc));
		return 0;
	}
	if (rc) {
		session_log(s, DAVE_LOG_WARN, "cannot commit: %s", mls_error_text(rc));
		return session_error(rc);
	}
	message = malloc(1 + made.commit.len + made.welcome.len);
	if (!message) {
		mls_commit_clear(&made);
		return -ENOMEM;
	}
	message[0] = DAVE_OP_COMMIT_WELCOME;
	memcpy(message + 1, made.commit.data, made.commit.len);
	if (made.welcome.len)
		memcpy(message + 1 + made.commit.len, made.welcome.data, made.welcome.len);
	/* Earlier commits of this epoch stay: the gateway may have chosen one of them already. */
	if (s->own_count == OWN_COMMITS_MAX) {
		s->own_count--;
		mls_buffer_clear(&s->own[s->own_count].commit);
		mls_group_destroy(s->own[s->own_count].next);
	}
	memmove(&s->own[1], &s->own[0], s->own_count * sizeof(s->own[0]));
	own = &s->own[0];
	own->commit = made.commit;
	own->next = made.next;
	s->own_count++;
	made.commit = (struct mls_buffer){0};
	made.next = NULL;
	s->stats.commits_sent++;
	s->ops->send_binary(s->context, message, 1 + own->commit.len + made.welcome.len);
	free(message);
	mls_commit_clear(&made);
	return 0;
}

/* Takes references out of the group's cache again. */
static int proposals_forget(struct mls_group *base, uint8_t (*refs)[MLS_HASH_BYTES], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t coded[1 + MLS_HASH_BYTES];
		int rc;

		coded[0] = MLS_HASH_BYTES;
		memcpy(coded + 1, refs[i], MLS_HASH_BYTES);
		rc = mls_group_revoke(base, (struct mls_bytes){coded, sizeof(coded)});
		if (rc)
			return session_error(rc);
	}
	return 0;
}

static bool proposal_acceptable(void *arg, const struct mls_proposal_info *info)
{
	uint64_t user_id;

	(void)arg;
	if (info->type == MLS_PROPOSAL_REMOVE)
		return true;
	return info->type == MLS_PROPOSAL_ADD && identity_user(info->identity, &user_id);
}

/* Caches what the message proposes. If it adds somebody who was not announced, nothing of it stays
 * cached and *unknown is that user; refs tell what it would have been. `only`: of a held message,
 * what was not revoked since. */
static int proposals_take(struct dave_session *s, struct mls_bytes messages,
			  const struct held_message *only, struct held_message *refused,
			  uint64_t *unknown)
{
	struct mls_group *base = base_group(s);
	size_t before = mls_group_proposal_count(base), after, n;
	uint8_t(*refs)[MLS_HASH_BYTES];
	bool refuse = false;
	int rc = mls_group_propose(base, messages, proposal_acceptable, NULL);

	if (rc) {
		/* For an epoch that is over (sent again on a resume), or not yet ours. */
		if (rc == MLS_ERROR_WRONG_EPOCH) {
			session_log(s, DAVE_LOG_DEBUG, "op 27: %s", mls_error_text(rc));
			return 0;
		}
		session_log(s, DAVE_LOG_WARN, "op 27: %s", mls_error_text(rc));
		return session_error(rc);
	}
	after = mls_group_proposal_count(base);
	refs = calloc(after - before + 1, sizeof(*refs));
	if (!refs) {
		/* Rather than a cache with unknown users in it: none at all. */
		mls_group_forget_proposals(base);
		return -ENOMEM;
	}
	n = 0;
	for (size_t i = before; i < after;) {
		struct mls_proposal_info info;
		uint64_t user_id;
		bool wanted = !only;

		mls_group_proposal(base, i, &info);
		for (size_t j = 0; only && j < only->ref_count && !wanted; j++)
			wanted = memcmp(only->refs[j], info.ref, MLS_HASH_BYTES) == 0;
		if (!wanted) {
			uint8_t revoked[1][MLS_HASH_BYTES];

			memcpy(revoked[0], info.ref, MLS_HASH_BYTES);
			rc = proposals_forget(base, revoked, 1);
			if (rc)
				break;
			after--;
			continue;
		}
		memcpy(refs[n++], info.ref, MLS_HASH_BYTES);
		if (info.type == MLS_PROPOSAL_ADD && identity_user(info.identity, &user_id) &&
		    !user_set_has(&s->recognised, user_id)) {
			refuse = true;
			*unknown = user_id;
		}
		i++;
	}
	if (rc == 0 && refuse) {
		rc = proposals_forget(base, refs, n);
		if (rc == 0) {
			refused->refs = refs;
			refused->ref_count = n;
			return -EAGAIN;
		}
	}
	if (rc)
		mls_group_forget_proposals(base);
	free(refs);
	return rc;
}

static int proposals_append(struct dave_session *s, struct mls_bytes messages)
{
	struct held_message refused = {0};
	uint64_t unknown = 0;
	int rc = proposals_take(s, messages, NULL, &refused, &unknown);

	if (rc != -EAGAIN)
		return rc ? rc : proposals_commit(s);
	/* Usually op 11 is only late, so the message is kept: without it the commit that follows
	 * could not be resolved. Nobody is added on the gateway's word alone, though. */
	session_log(s, DAVE_LOG_WARN, "op 27 adds user %llu, who was not announced: held back",
		    (unsigned long long)unknown);
	if (s->held_count == HELD_MESSAGES_MAX)
		held_drop(s, 0);
	rc = blob_copy(&refused.messages, messages);
	if (rc) {
		held_clear(&refused);
		return rc;
	}
	s->held[s->held_count++] = refused;
	return -EPROTO;
}

/* Takes one reference out of whatever held message has it. */
static bool held_revoke(struct dave_session *s, const uint8_t ref[MLS_HASH_BYTES])
{
	for (size_t i = 0; i < s->held_count; i++) {
		struct held_message *h = &s->held[i];

		for (size_t j = 0; j < h->ref_count; j++) {
			if (memcmp(h->refs[j], ref, MLS_HASH_BYTES) != 0)
				continue;
			h->ref_count--;
			memmove(h->refs[j], h->refs[j + 1],
				(h->ref_count - j) * sizeof(h->refs[0]));
			if (h->ref_count == 0)
				held_drop(s, i);
			return true;
		}
	}
	return false;
}

static bool proposal_cached(const struct mls_group *g, const uint8_t ref[MLS_HASH_BYTES])
{
	for (size_t i = 0; i < mls_group_proposal_count(g); i++) {
		struct mls_proposal_info info;

		mls_group_proposal(g, i, &info);
		if (memcmp(info.ref, ref, MLS_HASH_BYTES) == 0)
			return true;
	}
	return false;
}

static bool held_has(const struct dave_session *s, const uint8_t ref[MLS_HASH_BYTES])
{
	for (size_t i = 0; i < s->held_count; i++) {
		for (size_t j = 0; j < s->held[i].ref_count; j++) {
			if (memcmp(s->held[i].refs[j], ref, MLS_HASH_BYTES) == 0)
				return true;
		}
	}
	return false;
}

/* All of the references are known and go, or none. */
static int proposals_revoke(struct dave_session *s, struct mls_bytes refs)
{
	struct mls_group *base = base_group(s);
	struct mls_bytes rest = refs, ref;
	int rc;

	while (rest.len) {
		rc = mls_vector_take(&rest, &ref);
		if (rc || ref.len != MLS_HASH_BYTES) {
			session_log(s, DAVE_LOG_WARN, "op 27: malformed proposal reference");
			return -EPROTO;
		}
		if (!proposal_cached(base, ref.data) && !held_has(s, ref.data)) {
			session_log(s, DAVE_LOG_WARN,
				    "op 27 revokes a proposal never made: ignored");
			return -EPROTO;
		}
	}
	for (rest = refs; rest.len && mls_vector_take(&rest, &ref) == 0;) {
		uint8_t one[1][MLS_HASH_BYTES];

		/* not cached any more: it was named twice */
		if (held_revoke(s, ref.data) || !proposal_cached(base, ref.data))
			continue;
		memcpy(one[0], ref.data, MLS_HASH_BYTES);
		rc = proposals_forget(base, one, 1);
		if (rc)
			return rc;
	}
	rc = session_retry_held(s);
	/* When nothing is left there is nothing to commit. Commits made before stay known: the
	 * gateway may have accepted one before it revoked. */
	return rc ? rc : proposals_commit(s);
}

int session_proposals(struct dave_session *s, struct mls_bytes payload)
{
	struct mls_bytes rest, content;

	if (!base_group(s))
		return 0;
	rest = payload.len ? (struct mls_bytes){payload.data + 1, payload.len - 1} : payload;
	if (payload.len == 0 || payload.data[0] > 1 || mls_vector_take(&rest, &content) ||
	    rest.len || content.len == 0) {
		session_log(s, DAVE_LOG_WARN, "op 27: malformed");
		return -EPROTO;
	}
	return payload.data[0] == 0 ? proposals_append(s, content) : proposals_revoke(s, content);
}

int session_retry_held(struct dave_session *s)
{
	bool took = false;

	for (size_t i = 0; i < s->held_count;) {
		struct held_message refused = {0};
		uint64_t unknown;
		int rc = proposals_take(s, blob_bytes(&s->held[i].messages), &s->held[i], &refused,
					&unknown);

		if (rc == -ENOMEM)
			return rc;
		held_clear(&refused);
		if (rc == -EAGAIN) {
			i++;
			continue;
		}
		held_drop(s, i);
		took |= rc == 0;
	}
	return took ? proposals_commit(s) : 0;
}

/* ---- a new epoch ------------------------------------------------------------------------- */

/* The 16 bytes from which a member's media keys of this epoch come. */
static int media_key_export(struct dave_media_key **out, const struct mls_group *g,
			    uint64_t user_id, int64_t now_ns)
{
	uint8_t context[8], secret[DAVE_BASE_SECRET_BYTES];
	int rc;

	/* Little-endian here, big-endian in the credential. */
	put_le32(context, (uint32_t)user_id);
	put_le32(context + 4, (uint32_t)(user_id >> 32));
	rc = mls_group_export(g, EXPORT_LABEL, (struct mls_bytes){context, sizeof(context)}, secret,
			      sizeof(secret));
	rc = rc ? session_error(rc) : dave_media_key_create(out, secret, now_ns);
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

/* What a group must be for us to speak in it. */
static bool group_fits(struct dave_session *s, const struct mls_group *g, const char *op)
{
	for (uint32_t leaf = 0; leaf < mls_group_leaf_count(g); leaf++) {
		struct mls_member m;
		uint64_t user_id;

		if (!mls_group_member(g, leaf, &m))
			continue;
		if (!identity_user(m.identity, &user_id)) {
			session_log(s, DAVE_LOG_WARN, "%s: leaf %u is no user", op, leaf);
			return false;
		}
		if (leaf == mls_group_own_leaf(g) && user_id != s->user_id) {
			session_log(s, DAVE_LOG_WARN, "%s: our leaf names another user", op);
			return false;
		}
		/* Not enforced, as nowhere: a user may have left since it was proposed. */
		if (!user_set_has(&s->recognised, user_id))
			session_log(s, DAVE_LOG_INFO, "member %llu was not announced",
				    (unsigned long long)user_id);
	}
	return true;
}

/* Takes the group over: keys for everybody first, so that a failure changes nothing. */
static int epoch_install(struct dave_session *s, struct mls_group *g, uint16_t transition_id,
			 int64_t now_ns)
{
	struct dave_media_view *view = NULL;
	struct dave_media_key *own = NULL;
	char spaced[48];
	uint8_t authenticator[MLS_HASH_BYTES];
	int rc = dave_media_view_clone(&view, s->view, mls_group_member_count(g));

	if (rc)
		return rc;
	dave_media_view_expire(view, now_ns + DAVE_KEY_LINGER_NS);
	for (uint32_t leaf = 0; leaf < mls_group_leaf_count(g) && rc == 0; leaf++) {
		struct dave_media_key *key = NULL;
		struct mls_member m;
		uint64_t user_id;

		if (!mls_group_member(g, leaf, &m) || !identity_user(m.identity, &user_id))
			continue;
		rc = media_key_export(&key, g, user_id, now_ns);
		if (rc == 0 && user_id == s->user_id) {
			own = key;
			continue;
		}
		if (rc == 0)
			rc = dave_media_view_add(view, user_id, key);
		dave_media_key_unref(key);
	}
	if (rc) {
		dave_media_view_destroy(view);
		dave_media_key_unref(own);
		return rc;
	}
	rc = session_publish(s, view);
	if (rc) {
		dave_media_key_unref(own);
		return rc;
	}
	session_group_clear(s);
	s->current = g;
	s->epoch_send = own;
	session_recovered(s);
	s->recovery_delay_ns = RECOVERY_DELAY_NS;
	s->stats.epochs++;
	mls_group_epoch_authenticator(g, authenticator);
	dave_privacy_code(authenticator, s->privacy_code);
	dave_code_spaced(s->privacy_code, DAVE_CODE_GROUP, spaced, sizeof(spaced));
	session_log(s, DAVE_LOG_INFO,
		    "end-to-end encrypted: epoch %llu, %zu members, privacy code %s",
		    (unsigned long long)mls_group_epoch(g), mls_group_member_count(g), spaced);
	session_codes_sweep(s);
	session_transition(s, transition_id, s->version, own, true, now_ns);
	session_changed(s);
	return 0;
}

/* Others have a group that we cannot follow them into. */
static void group_missed(struct dave_session *s, uint16_t id, int64_t now_ns)
{
	s->stuck |= s->recoveries >= DAVE_RECOVERIES_MAX;
	session_recover(s, id, now_ns);
}

/* ---- op 29 ------------------------------------------------------------------------------- */

/* Removed by others: the group goes on without us, its keys are not ours any more. */
static int commit_removes_us(struct dave_session *s, int64_t now_ns)
{
	struct dave_media_view *view;
	int rc = dave_media_view_clone(&view, s->view, 0);

	if (rc)
		return rc;
	dave_media_view_expire(view, now_ns + DAVE_KEY_LINGER_NS);
	dave_media_view_send(view, NULL);
	rc = session_publish(s, view);
	if (rc)
		return rc;
	session_log(s, DAVE_LOG_INFO, "removed from the group");
	session_group_clear(s);
	session_waiting_begins(s, now_ns);
	/* A pending group again, but nothing is sent: the gateway knows what it did. */
	rc = mls_key_package_create(&s->key_package, s->key,
				    (struct mls_bytes){s->identity, sizeof(s->identity)});
	rc = rc ? session_error(rc) : pending_create(s);
	session_changed(s);
	return rc;
}

static int commit_next(struct dave_session *s, struct mls_bytes message, struct mls_group **next)
{
	struct mls_message_info info;
	int rc;

	for (size_t i = 0; i < s->own_count; i++) {
		if (!bytes_equal(message, bytes_of(&s->own[i].commit)))
			continue;
		*next = s->own[i].next;
		s->own[i].next = NULL;
		s->stats.commits_won++;
		return MLS_OK;
	}
	if (!s->current)
		return MLS_ERROR_NOT_FOR_US;
	rc = mls_message_peek(message, &info);
	if (rc)
		return rc;
	if (info.len != message.len || info.content_type != MLS_CONTENT_COMMIT ||
	    info.sender_type != MLS_SENDER_MEMBER)
		return MLS_ERROR_PARSE;
	/* Of an epoch that is over: sent again on a resume. */
	if (bytes_equal(info.group_id, mls_group_id(s->current)) &&
	    info.epoch < mls_group_epoch(s->current))
		return MLS_ERROR_NOT_FOR_US;
	rc = mls_group_process(s->current, message, next, NULL);
	if (rc == MLS_OK && s->own_count)
		s->stats.commits_lost++;
	return rc;
}

int session_commit(struct dave_session *s, struct mls_bytes payload, int64_t now_ns)
{
	struct mls_bytes message;
	struct mls_group *next = NULL;
	uint16_t id;
	int rc;

	if (payload.len < 2) {
		session_log(s, DAVE_LOG_WARN, "op 29: malformed");
		return -EPROTO;
	}
	if (!base_group(s))
		return 0;
	id = get_be16(payload.data);
	message = (struct mls_bytes){payload.data + 2, payload.len - 2};
	rc = commit_next(s, message, &next);
	if (rc == MLS_ERROR_NOT_FOR_US) {
		/* Also a commit while we are not a member: our Welcome follows. An op 31 here would
		 * make the gateway remove and add us again. */
		session_log(s, DAVE_LOG_DEBUG,
			    "op 29 of a group or epoch that is not ours: ignored");
		return 0;
	}
	if (rc == MLS_ERROR_REMOVED)
		return commit_removes_us(s, now_ns);
	if (rc) {
		session_log(s, DAVE_LOG_WARN, "op 29, transition %u: %s", id, mls_error_text(rc));
		rc = session_error(rc);
	} else {
		rc = group_fits(s, next, "op 29") ? epoch_install(s, next, id, now_ns) : -EPROTO;
		if (rc)
			mls_group_destroy(next);
	}
	if (rc)
		group_missed(s, id, now_ns);
	return rc;
}

/* ---- op 30 ------------------------------------------------------------------------------- */

/* The group's extensions: exactly the external sender that op 25 gave us. */
static bool extensions_fit(const struct dave_session *s, const struct mls_group *g)
{
	struct mls_bytes rest = mls_group_extensions(g), data, senders;

	if (s->external_sender.len == 0 || rest.len < 2 || get_be16(rest.data) != 5)
		return false;
	rest.data += 2;
	rest.len -= 2;
	if (mls_vector_take(&rest, &data) || rest.len || mls_vector_take(&data, &senders) ||
	    data.len)
		return false;
	return bytes_equal(senders, blob_bytes(&s->external_sender));
}

int session_welcome(struct dave_session *s, struct mls_bytes payload, int64_t now_ns)
{
	struct mls_group *g = NULL;
	uint16_t id;
	int rc;

	if (payload.len < 2) {
		session_log(s, DAVE_LOG_WARN, "op 30: malformed");
		return -EPROTO;
	}
	/* A member has no key package out; a Welcome can then only be one seen before. */
	if (!s->key_package || s->current || s->version == 0) {
		session_log(s, DAVE_LOG_DEBUG, "op 30 without a key package of ours out: ignored");
		return 0;
	}
	id = get_be16(payload.data);
	rc = mls_group_join(&g, s->key_package,
			    (struct mls_bytes){payload.data + 2, payload.len - 2}, NULL);
	if (rc) {
		session_log(s, DAVE_LOG_WARN, "op 30, transition %u: %s", id, mls_error_text(rc));
		rc = session_error(rc);
	} else if (!bytes_equal(mls_group_id(g), (struct mls_bytes){s->group_id, IDENTITY_BYTES}) ||
		   !extensions_fit(s, g)) {
		session_log(s, DAVE_LOG_WARN,
			    "op 30, transition %u: a group of another channel or gateway", id);
		rc = -EPROTO;
	} else {
		rc = group_fits(s, g, "op 30") ? epoch_install(s, g, id, now_ns) : -EPROTO;
	}
	if (rc) {
		mls_group_destroy(g);
		group_missed(s, id, now_ns);
		return rc;
	}
	s->stats.welcomes++;
	return 0;
}

/* ---- what can be asked ------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

size_t dave_session_members(const struct dave_session *s, uint64_t *user_ids, size_t max)
{
	size_t n = 0;

	for (uint32_t leaf = 0; s->current && leaf < mls_group_leaf_count(s->current); leaf++) {
		struct mls_member m;
		uint64_t user_id;

		if (!mls_group_member(s->current, leaf, &m) || !identity_user(m.identity, &user_id))
			continue;
		if (n < max)
			user_ids[n] = user_id;
		n++;
	}
	if (max)
		qsort(user_ids, n < max ? n : max, sizeof(*user_ids), compare_ids);
	return n;
}
