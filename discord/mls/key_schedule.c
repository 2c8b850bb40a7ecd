/* SPDX-License-Identifier: MIT
 *
 * key_schedule.c - the key schedule, the exporter, PSKs and transcript hashes (RFC 9420 8).
 */
#include "discord/mls/key_schedule.h"

#include <openssl/crypto.h>

int mls_schedule_joiner(const uint8_t init[MLS_HASH_BYTES],
			const uint8_t commit_secret[MLS_HASH_BYTES], struct mls_bytes context,
			uint8_t out[MLS_HASH_BYTES])
{
	uint8_t pre[MLS_HASH_BYTES];
	int error = mls_extract(mls_bytes(init, MLS_HASH_BYTES),
				mls_bytes(commit_secret, MLS_HASH_BYTES), pre);

	if (error == MLS_OK)
		error = mls_expand_with_label(mls_bytes(pre, sizeof(pre)), "joiner", context, out,
					      MLS_HASH_BYTES);
	OPENSSL_cleanse(pre, sizeof(pre));
	return error;
}

int mls_schedule_member(const uint8_t joiner[MLS_HASH_BYTES],
			const uint8_t psk_secret[MLS_HASH_BYTES], uint8_t out[MLS_HASH_BYTES])
{
	return mls_extract(mls_bytes(joiner, MLS_HASH_BYTES), mls_bytes(psk_secret, MLS_HASH_BYTES),
			   out);
}

int mls_schedule_welcome(const uint8_t member[MLS_HASH_BYTES], uint8_t key[MLS_AEAD_KEY_BYTES],
			 uint8_t nonce[MLS_AEAD_NONCE_BYTES])
{
	const struct mls_bytes nothing = {NULL, 0};
	uint8_t welcome[MLS_HASH_BYTES];
	int error = mls_derive_secret(member, "welcome", welcome);

	if (error == MLS_OK)
		error = mls_expand_with_label(mls_bytes(welcome, sizeof(welcome)), "key", nothing,
					      key, MLS_AEAD_KEY_BYTES);
	if (error == MLS_OK)
		error = mls_expand_with_label(mls_bytes(welcome, sizeof(welcome)), "nonce", nothing,
					      nonce, MLS_AEAD_NONCE_BYTES);
	OPENSSL_cleanse(welcome, sizeof(welcome));
	return error;
}

int mls_schedule_epoch(const uint8_t member[MLS_HASH_BYTES], struct mls_bytes context,
		       struct mls_epoch_secrets *out)
{
	const struct {
		const char *label;
		uint8_t *secret;
	} all[] = {
		{"sender data", out->sender_data},
		{"encryption", out->encryption},
		{"exporter", out->exporter},
		{"external", out->external},
		{"authentication", out->authenticator},
		{"confirm", out->confirmation},
		{"membership", out->membership},
		{"resumption", out->resumption},
		{"init", out->init},
	};
	uint8_t epoch[MLS_HASH_BYTES];
	int error = mls_expand_with_label(mls_bytes(member, MLS_HASH_BYTES), "epoch", context,
					  epoch, sizeof(epoch));

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && error == MLS_OK; i++)
		error = mls_derive_secret(epoch, all[i].label, all[i].secret);
	OPENSSL_cleanse(epoch, sizeof(epoch));
	return error;
}

int mls_schedule_export(const uint8_t exporter[MLS_HASH_BYTES], const char *label,
			struct mls_bytes context, uint8_t *out, size_t len)
{
	uint8_t secret[MLS_HASH_BYTES], hash[MLS_HASH_BYTES];
	int error = mls_derive_secret(exporter, label, secret);

	if (error == MLS_OK)
		error = mls_sha256(&context, 1, hash);
	if (error == MLS_OK)
		error = mls_expand_with_label(mls_bytes(secret, sizeof(secret)), "exported",
					      mls_bytes(hash, sizeof(hash)), out, len);
	OPENSSL_cleanse(secret, sizeof(secret));
	return error;
}

int mls_psk_fold(uint8_t psk_secret[MLS_HASH_BYTES], struct mls_bytes id, struct mls_bytes psk,
		 uint16_t index, uint16_t count)
{
	static const uint8_t zeros[MLS_HASH_BYTES];
	uint8_t extracted[MLS_HASH_BYTES], input[MLS_HASH_BYTES];
	struct mls_writer label = {0};
	int error;

	mls_write_bytes(&label, id); /* PSKLabel */
	mls_write_u16(&label, index);
	mls_write_u16(&label, count);
	error = label.error;
	if (error == MLS_OK)
		error = mls_extract(mls_bytes(zeros, sizeof(zeros)), psk, extracted);
	if (error == MLS_OK)
		error = mls_expand_with_label(mls_bytes(extracted, sizeof(extracted)),
					      "derived psk", mls_written(&label), input,
					      sizeof(input));
	if (error == MLS_OK)
		error = mls_extract(mls_bytes(input, sizeof(input)),
				    mls_bytes(psk_secret, MLS_HASH_BYTES), psk_secret);
	mls_writer_clear(&label);
	OPENSSL_cleanse(extracted, sizeof(extracted));
	OPENSSL_cleanse(input, sizeof(input));
	return error;
}

int mls_transcript_confirmed(const uint8_t interim[MLS_HASH_BYTES], struct mls_bytes framed,
			     struct mls_bytes signature, uint8_t out[MLS_HASH_BYTES])
{
	static const uint8_t wire_format[2] = {0, 1};
	uint8_t header[4];
	struct mls_bytes parts[5] = {
		mls_bytes(interim, MLS_HASH_BYTES),
		mls_bytes(wire_format, sizeof(wire_format)),
		framed,
		mls_bytes(header, mls_vector_header(header, signature.len)),
		signature,
	};

	return mls_sha256(parts, 5, out);
}

int mls_transcript_interim(struct mls_bytes confirmed, struct mls_bytes confirmation_tag,
			   uint8_t out[MLS_HASH_BYTES])
{
	uint8_t header[4];
	struct mls_bytes parts[3] = {
		confirmed,
		mls_bytes(header, mls_vector_header(header, confirmation_tag.len)),
		confirmation_tag,
	};

	return mls_sha256(parts, 3, out);
}
