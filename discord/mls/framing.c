/* SPDX-License-Identifier: MIT
 *
 * framing.c - signatures, membership tags and references of PublicMessages (RFC 9420 6).
 */
#include "discord/mls/key_schedule.h"

#define LABEL "FramedContentTBS"

static void write_tbs(struct mls_writer *w, struct mls_bytes framed, struct mls_bytes context)
{
	mls_write_u16(w, 1); /* MLS 1.0 */
	mls_write_u16(w, 1); /* public message */
	mls_write_bytes(w, framed);
	mls_write_bytes(w, context);
}

int mls_framed_sign(struct mls_bytes framed, struct mls_bytes context,
		    const struct mls_signature_key *key, struct mls_buffer *signature)
{
	struct mls_writer w = {0};
	int error;

	write_tbs(&w, framed, context);
	error = w.error != MLS_OK ? w.error : mls_sign(key, LABEL, mls_written(&w), signature);
	mls_writer_clear(&w);
	return error;
}

int mls_framed_verify(struct mls_bytes framed, struct mls_bytes context,
		      struct mls_bytes public_key, struct mls_bytes signature)
{
	struct mls_writer w = {0};
	int error;

	write_tbs(&w, framed, context);
	error = w.error != MLS_OK ? w.error
				  : mls_verify(public_key, LABEL, mls_written(&w), signature);
	mls_writer_clear(&w);
	return error;
}

int mls_membership_tag(const uint8_t key[MLS_HASH_BYTES], struct mls_bytes framed,
		       struct mls_bytes context, struct mls_bytes signature,
		       const struct mls_bytes *confirmation_tag, uint8_t out[MLS_HASH_BYTES])
{
	struct mls_writer w = {0};
	struct mls_bytes whole;
	int error;

	write_tbs(&w, framed, context);
	mls_write_vector(&w, signature);
	if (confirmation_tag)
		mls_write_vector(&w, *confirmation_tag);
	whole = mls_written(&w);
	error = w.error != MLS_OK ? w.error
				  : mls_hmac(mls_bytes(key, MLS_HASH_BYTES), &whole, 1, out);
	mls_writer_clear(&w);
	return error;
}

bool mls_tag_equal(struct mls_bytes got, const uint8_t want[MLS_HASH_BYTES])
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	return true; /* a fuzzer cannot make tags: let it reach what lies behind */
#else
	return got.len == MLS_HASH_BYTES && mls_secret_equal(got.data, want, MLS_HASH_BYTES);
#endif
}

int mls_proposal_ref(struct mls_bytes framed, struct mls_bytes signature,
		     uint8_t out[MLS_HASH_BYTES])
{
	struct mls_writer w = {0};
	int error;

	mls_write_u16(&w, 1);
	mls_write_bytes(&w, framed);
	mls_write_vector(&w, signature);
	error = w.error != MLS_OK
			? w.error
			: mls_ref_hash("MLS 1.0 Proposal Reference", mls_written(&w), out);
	mls_writer_clear(&w);
	return error;
}
