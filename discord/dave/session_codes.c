/* SPDX-License-Identifier: MIT
 *
 * session_codes.c - verification codes of the members of a session's group.
 *
 * A code takes tens of milliseconds (scrypt), so they are worked out one at each tick and kept for
 * as long as the member keeps its signature key, which is usually the whole call.
 */
#include "discord/dave/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

static bool member_find(const struct dave_session *s, uint64_t user_id, struct mls_member *out)
{
	uint8_t identity[IDENTITY_BYTES];

	put_be64(identity, user_id);
	return s->current &&
	       mls_group_find(s->current, (struct mls_bytes){identity, sizeof(identity)}, out);
}

int dave_session_verification_code(const struct dave_session *s, uint64_t user_id,
				   char out[DAVE_VERIFICATION_CODE_DIGITS + 1])
{
	uint8_t own[MLS_PUBLIC_KEY_BYTES], print[DAVE_FINGERPRINT_BYTES];
	struct mls_member m;
	int rc;

	if (user_id == s->user_id || !member_find(s, user_id, &m))
		return -ENOENT;
	mls_signature_key_public(s->key, own);
	rc = dave_fingerprint_pair(0, own, sizeof(own), s->user_id, m.signature_key.data,
				   m.signature_key.len, user_id, print);
	if (rc)
		return rc;
	return dave_code_display(print, sizeof(print), DAVE_VERIFICATION_CODE_DIGITS,
				 DAVE_CODE_GROUP, out, DAVE_VERIFICATION_CODE_DIGITS + 1);
}

/* ---- kept -------------------------------------------------------------------------------- */

static bool code_stands(const struct dave_session *s, const struct member_code *c)
{
	struct mls_member m;

	return member_find(s, c->user_id, &m) && m.signature_key.len == sizeof(c->key) &&
	       memcmp(m.signature_key.data, c->key, sizeof(c->key)) == 0;
}

void session_codes_sweep(struct dave_session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->code_count; i++) {
		if (code_stands(s, &s->codes[i]))
			s->codes[kept++] = s->codes[i];
	}
	s->code_count = kept;
	if (kept == 0) {
		free(s->codes);
		s->codes = NULL;
	}
	s->codes_due = s->work_out_codes && s->current;
}

static int code_add(struct dave_session *s, const struct mls_member *m, uint64_t user_id)
{
	struct member_code *all, *c;
	char spaced[DAVE_VERIFICATION_CODE_DIGITS * 2];
	int rc;

	all = realloc(s->codes, (s->code_count + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->codes = all;
	c = &all[s->code_count];
	c->user_id = user_id;
	memcpy(c->key, m->signature_key.data, sizeof(c->key));
	rc = dave_session_verification_code(s, user_id, c->code);
	if (rc)
		return rc;
	s->code_count++;
	dave_code_spaced(c->code, DAVE_CODE_GROUP, spaced, sizeof(spaced));
	session_log(s, DAVE_LOG_INFO, "verification code with user %llu: %s",
		    (unsigned long long)user_id, spaced);
	session_changed(s);
	return 0;
}

int session_codes_tick(struct dave_session *s)
{
	if (!s->codes_due || !s->current)
		return 0;
	for (uint32_t leaf = 0; leaf < mls_group_leaf_count(s->current); leaf++) {
		struct mls_member m;
		uint64_t user_id;
		bool known = false;

		if (!mls_group_member(s->current, leaf, &m))
			continue;
		user_id = get_be64(m.identity.data); /* a group is joined only if all are users */
		for (size_t i = 0; i < s->code_count && !known; i++)
			known = s->codes[i].user_id == user_id;
		if (user_id != s->user_id && !known)
			return code_add(s, &m, user_id);
	}
	s->codes_due = false;
	return 0;
}

const char *dave_session_code(const struct dave_session *s, size_t i, uint64_t *user_id)
{
	if (!s->current || i >= s->code_count)
		return NULL;
	*user_id = s->codes[i].user_id;
	return s->codes[i].code;
}
