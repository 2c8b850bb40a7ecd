/* SPDX-License-Identifier: MIT
 *
 * session_codes.c - verification codes of the members of a session's group: which are wanted, and
 * those that are known.
 */
#include "discord/dave/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

_Static_assert(DAVE_SIGNATURE_KEY_BYTES == MLS_PUBLIC_KEY_BYTES, "signature keys");

static bool member_find(const struct dave_session *s, uint64_t user_id, struct mls_member *out)
{
	uint8_t identity[IDENTITY_BYTES];

	put_be64(identity, user_id);
	return s->current && user_id != s->user_id &&
	       mls_group_find(s->current, (struct mls_bytes){identity, sizeof(identity)}, out);
}

static void job_fill(const struct dave_session *s, const struct mls_member *m, uint64_t user_id,
		     struct dave_code_job *out)
{
	memset(out, 0, sizeof(*out));
	out->own_id = s->user_id;
	out->user_id = user_id;
	mls_signature_key_public(s->key, out->own_key);
	memcpy(out->key, m->signature_key.data, sizeof(out->key)); /* 65 bytes: mls.h */
}

int dave_code_job_run(struct dave_code_job *job)
{
	uint8_t print[DAVE_FINGERPRINT_BYTES];
	int rc = dave_fingerprint_pair(0, job->own_key, sizeof(job->own_key), job->own_id, job->key,
				       sizeof(job->key), job->user_id, print);

	if (rc)
		return rc;
	return dave_code_display(print, sizeof(print), DAVE_VERIFICATION_CODE_DIGITS,
				 DAVE_CODE_GROUP, job->code, sizeof(job->code));
}

int dave_session_verification_code(const struct dave_session *s, uint64_t user_id,
				   char out[DAVE_VERIFICATION_CODE_DIGITS + 1])
{
	struct dave_code_job job;
	struct mls_member m;
	int rc;

	if (!member_find(s, user_id, &m))
		return -ENOENT;
	job_fill(s, &m, user_id, &job);
	rc = dave_code_job_run(&job);
	if (rc == 0)
		memcpy(out, job.code, sizeof(job.code));
	return rc;
}

/* ---- kept -------------------------------------------------------------------------------- */

static bool code_stands(const struct dave_session *s, uint64_t user_id, const uint8_t *key)
{
	struct mls_member m;

	return member_find(s, user_id, &m) &&
	       memcmp(m.signature_key.data, key, DAVE_SIGNATURE_KEY_BYTES) == 0;
}

void session_codes_sweep(struct dave_session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->code_count; i++) {
		if (code_stands(s, s->codes[i].user_id, s->codes[i].key))
			s->codes[kept++] = s->codes[i];
	}
	s->code_count = kept;
	if (kept == 0) {
		free(s->codes);
		s->codes = NULL;
	}
	s->codes_complete = false;
}

static bool code_known(const struct dave_session *s, uint64_t user_id)
{
	for (size_t i = 0; i < s->code_count; i++) {
		if (s->codes[i].user_id == user_id)
			return true;
	}
	return false;
}

bool dave_session_code_wanted(struct dave_session *s, struct dave_code_job *out)
{
	if (s->codes_complete || !s->current)
		return false;
	for (uint32_t leaf = 0; leaf < mls_group_leaf_count(s->current); leaf++) {
		struct mls_member m;
		uint64_t user_id;

		if (!mls_group_member(s->current, leaf, &m))
			continue;
		user_id = get_be64(m.identity.data); /* a group is joined only if all are users */
		if (user_id == s->user_id || code_known(s, user_id))
			continue;
		job_fill(s, &m, user_id, out);
		return true;
	}
	s->codes_complete = true;
	return false;
}

int dave_session_code_put(struct dave_session *s, const struct dave_code_job *job)
{
	uint8_t own[MLS_PUBLIC_KEY_BYTES];
	char spaced[DAVE_VERIFICATION_CODE_DIGITS * 2];
	struct member_code *all, *c;

	mls_signature_key_public(s->key, own);
	if (job->own_id != s->user_id || memcmp(job->own_key, own, sizeof(own)) != 0 ||
	    !code_stands(s, job->user_id, job->key) || code_known(s, job->user_id))
		return 0;
	all = realloc(s->codes, (s->code_count + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->codes = all;
	c = &all[s->code_count++];
	c->user_id = job->user_id;
	memcpy(c->key, job->key, sizeof(c->key));
	memcpy(c->code, job->code, sizeof(c->code));
	dave_code_spaced(c->code, DAVE_CODE_GROUP, spaced, sizeof(spaced));
	session_log(s, DAVE_LOG_INFO, "verification code with user %llu: %s",
		    (unsigned long long)c->user_id, spaced);
	session_changed(s);
	return 0;
}

const char *dave_session_code(const struct dave_session *s, size_t i, uint64_t *user_id)
{
	if (!s->current || i >= s->code_count)
		return NULL;
	*user_id = s->codes[i].user_id;
	return s->codes[i].code;
}
