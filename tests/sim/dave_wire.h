/* SPDX-License-Identifier: MIT
 *
 * dave_wire.h - the few MLS structures that a delivery service must read and write.
 *
 * Written apart from discord/mls, on OpenSSL alone: the service finds where a commit ends and its
 * Welcome begins, checks what a commit refers to, cuts a Welcome to one entry and signs Add and
 * Remove proposals as an external sender (RFC 9420, 6, 10, 12). It can decrypt nothing.
 */
#ifndef TESTS_SIM_DAVE_WIRE_H
#define TESTS_SIM_DAVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define WIRE_POINT_BYTES 65
#define WIRE_HASH_BYTES  32
#define WIRE_REFS_MAX    256

struct wire_bytes {
	const uint8_t *data;
	size_t len;
};

struct wire_buffer {
	uint8_t *data;
	size_t len, room;
};

/* Out of memory ends the simulator. */
void wire_put(struct wire_buffer *b, const void *data, size_t len);
void wire_put_u8(struct wire_buffer *b, unsigned v);
void wire_put_u16(struct wire_buffer *b, unsigned v);
void wire_put_u32(struct wire_buffer *b, uint32_t v);
void wire_put_u64(struct wire_buffer *b, uint64_t v);
/* opaque x<V> */
void wire_put_vec(struct wire_buffer *b, const void *data, size_t len);
void wire_clear(struct wire_buffer *b);

struct wire_key {
	EVP_PKEY *pkey;
	uint8_t point[WIRE_POINT_BYTES];
};

void wire_key_create(struct wire_key *k);
void wire_key_clear(struct wire_key *k);

/* Op 25: vec(point) || basic credential. */
void wire_external_sender(const struct wire_key *k, const void *identity, size_t len,
			  struct wire_buffer *out);

/* What is demanded of a bare KeyPackage, op 26. Returns NULL, or what is wrong with it. */
const char *wire_key_package_check(struct wire_bytes kp, uint64_t user_id);
void wire_key_package_ref(struct wire_bytes kp, uint8_t ref[WIRE_HASH_BYTES]);
/* A key package of somebody who does not exist. */
void wire_key_package_make(uint64_t user_id, struct wire_buffer *out);

/* A signed proposal as MLSMessage, and its reference. kp: Add; otherwise Remove of leaf. */
void wire_proposal(const struct wire_key *sender, uint64_t group_id, uint64_t epoch,
		   const struct wire_bytes *kp, uint32_t leaf, struct wire_buffer *out,
		   uint8_t ref[WIRE_HASH_BYTES]);

struct wire_commit {
	uint64_t group_id, epoch;
	uint32_t sender;
	size_t ref_count;
	const uint8_t *refs[WIRE_REFS_MAX]; /* 32 bytes each */
	bool has_path;
	struct wire_bytes commit;  /* the MLSMessage */
	struct wire_bytes welcome; /* what follows: empty or a bare Welcome */
	size_t entry_count;
	struct {
		const uint8_t *ref; /* of the key package, 32 bytes */
		struct wire_bytes whole;
	} entries[WIRE_REFS_MAX];
	struct wire_bytes group_info;
};

/* Op 28. Returns NULL, or what is wrong with it. */
const char *wire_commit_parse(struct wire_bytes message, struct wire_commit *out);

/* The Welcome with nothing but that entry. */
void wire_welcome_cut(const struct wire_commit *c, size_t entry, struct wire_buffer *out);

#endif
