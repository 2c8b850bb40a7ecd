/* SPDX-License-Identifier: MIT
 *
 * key_package.c - key packages: ours and those of others (RFC 9420 10).
 */
#include "discord/mls/alloc.h"
#include "discord/mls/leaf.h"

#define LABEL "KeyPackageTBS"

int mls_key_package_ref(struct mls_bytes raw, uint8_t out[MLS_HASH_BYTES])
{
	return mls_ref_hash("MLS 1.0 KeyPackage Reference", raw, out);
}

int mls_key_package_check_view(const struct mls_key_package_view *view)
{
	int error;

	if (view->version != MLS_VERSION_10 || view->cipher_suite != MLS_SUITE)
		return MLS_ERROR_UNSUPPORTED;
	if (view->leaf.source != MLS_LEAF_KEY_PACKAGE ||
	    mls_bytes_equal(view->init_key, view->leaf.encryption_key))
		return MLS_ERROR_KEY_PACKAGE;
	error = mls_p256_check(view->init_key);
	if (error == MLS_OK)
		error = mls_leaf_check(&view->leaf, mls_bytes(NULL, 0), 0);
	if (error == MLS_OK)
		error = mls_verify(view->leaf.signature_key, LABEL, view->tbs, view->signature);
	return error;
}

void mls_key_package_describe(const struct mls_key_package_view *view,
			      const uint8_t ref[MLS_HASH_BYTES], struct mls_key_package_info *out)
{
	*out = (struct mls_key_package_info){
		.identity = view->leaf.credential.identity,
		.signature_key = view->leaf.signature_key,
		.init_key = view->init_key,
		.encryption_key = view->leaf.encryption_key,
		.not_before = view->leaf.not_before,
		.not_after = view->leaf.not_after,
	};
	memcpy(out->ref, ref, MLS_HASH_BYTES);
}

static int parse(struct mls_bytes raw, struct mls_key_package_view *out)
{
	struct mls_reader r = mls_reader(raw);

	if (raw.len > MLS_MAX_MESSAGE_BYTES)
		return MLS_ERROR_LIMIT;
	mls_read_key_package(&r, out);
	return mls_reader_finish(&r);
}

int mls_key_package_check(struct mls_bytes key_package, struct mls_key_package_info *info)
{
	struct mls_key_package_view view;
	uint8_t ref[MLS_HASH_BYTES];
	int error = parse(key_package, &view);

	if (error == MLS_OK)
		error = mls_key_package_check_view(&view);
	if (error == MLS_OK)
		error = mls_key_package_ref(key_package, ref);
	if (error == MLS_OK && info)
		mls_key_package_describe(&view, ref, info);
	return error;
}

/* Writes and signs leaf and key package into self->raw. */
static int make(struct mls_key_package *self, const struct mls_signature_key *key,
		struct mls_bytes identity)
{
	static const uint8_t one[2] = {0, 1}, suite[2] = {0, MLS_SUITE};
	uint8_t init_public[MLS_PUBLIC_KEY_BYTES], leaf_public[MLS_PUBLIC_KEY_BYTES],
		signature_public[MLS_PUBLIC_KEY_BYTES];
	struct mls_buffer leaf = {NULL, 0}, signature = {NULL, 0};
	struct mls_leaf_view fields = {
		.encryption_key = mls_bytes(leaf_public, sizeof(leaf_public)),
		.signature_key = mls_bytes(signature_public, sizeof(signature_public)),
		.credential = {.type = MLS_CREDENTIAL_BASIC, .identity = identity},
		.capabilities = {.versions = mls_bytes(one, 2),
				 .cipher_suites = mls_bytes(suite, 2),
				 .credentials = mls_bytes(one, 2)},
		.source = MLS_LEAF_KEY_PACKAGE,
		.not_after = UINT64_MAX,
	};
	struct mls_writer w = {0};
	int error;

	mls_signature_key_public(key, signature_public);
	error = mls_p256_generate(self->init_private, init_public);
	if (error == MLS_OK)
		error = mls_p256_generate(self->leaf_private, leaf_public);
	if (error == MLS_OK)
		error = mls_leaf_sign(&fields, mls_bytes(NULL, 0), 0, key, &leaf);
	if (error == MLS_OK) {
		mls_write_u16(&w, MLS_VERSION_10);
		mls_write_u16(&w, MLS_SUITE);
		mls_write_vector(&w, mls_bytes(init_public, sizeof(init_public)));
		mls_write_bytes(&w, mls_view(&leaf));
		mls_write_vector(&w, mls_bytes(NULL, 0));
		error = w.error;
	}
	if (error == MLS_OK)
		error = mls_sign(key, LABEL, mls_written(&w), &signature);
	if (error == MLS_OK) {
		mls_write_vector(&w, mls_view(&signature));
		error = mls_writer_take(&w, &self->raw);
	}
	mls_writer_clear(&w);
	mls_buffer_clear(&leaf);
	mls_buffer_clear(&signature);
	return error;
}

/* The last step of both ways: parse what is in raw. */
static int finish(struct mls_key_package **out, struct mls_key_package *self, int error)
{
	if (error == MLS_OK)
		error = parse(mls_view(&self->raw), &self->view);
	if (error == MLS_OK)
		error = mls_key_package_ref(mls_view(&self->raw), self->ref);
	if (error != MLS_OK) {
		mls_key_package_destroy(self);
		return error;
	}
	*out = self;
	return MLS_OK;
}

int mls_key_package_create(struct mls_key_package **out, const struct mls_signature_key *key,
			   struct mls_bytes identity)
{
	struct mls_key_package *self;

	if (identity.len > MLS_MAX_MESSAGE_BYTES / 2)
		return MLS_ERROR_LIMIT;
	self = mls_alloc(sizeof(*self));
	if (!self)
		return MLS_ERROR_NOMEM;
	self->signer = mls_signature_key_ref(key);
	return finish(out, self, make(self, key, identity));
}

static int pair_check(const uint8_t private_key[MLS_PRIVATE_KEY_BYTES], struct mls_bytes public_key)
{
	uint8_t computed[MLS_PUBLIC_KEY_BYTES];
	int error = mls_p256_public(private_key, computed);

	if (error == MLS_OK && !mls_bytes_equal(mls_bytes(computed, sizeof(computed)), public_key))
		error = MLS_ERROR_KEY;
	return error;
}

int mls_key_package_import(struct mls_key_package **out, const struct mls_signature_key *key,
			   struct mls_bytes key_package,
			   const uint8_t init_private[MLS_PRIVATE_KEY_BYTES],
			   const uint8_t leaf_private[MLS_PRIVATE_KEY_BYTES])
{
	uint8_t signature_public[MLS_PUBLIC_KEY_BYTES];
	struct mls_key_package_view view;
	struct mls_key_package *self;
	int error = parse(key_package, &view);

	if (error == MLS_OK)
		error = mls_key_package_check_view(&view);
	if (error != MLS_OK)
		return error;
	self = mls_alloc(sizeof(*self));
	if (!self)
		return MLS_ERROR_NOMEM;
	self->signer = mls_signature_key_ref(key);
	memcpy(self->init_private, init_private, MLS_PRIVATE_KEY_BYTES);
	memcpy(self->leaf_private, leaf_private, MLS_PRIVATE_KEY_BYTES);
	mls_signature_key_public(key, signature_public);
	error = pair_check(init_private, view.init_key);
	if (error == MLS_OK)
		error = pair_check(leaf_private, view.leaf.encryption_key);
	if (error == MLS_OK && !mls_bytes_equal(mls_bytes(signature_public, MLS_PUBLIC_KEY_BYTES),
						view.leaf.signature_key))
		error = MLS_ERROR_KEY;
	if (error == MLS_OK)
		error = mls_buffer_copy(&self->raw, key_package);
	return finish(out, self, error);
}

void mls_key_package_destroy(struct mls_key_package *self)
{
	if (!self)
		return;
	mls_signature_key_destroy(self->signer);
	mls_buffer_clear(&self->raw);
	mls_free(self, sizeof(*self));
}

struct mls_bytes mls_key_package_bytes(const struct mls_key_package *self)
{
	return mls_view(&self->raw);
}
