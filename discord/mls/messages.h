/* SPDX-License-Identifier: MIT
 *
 * messages.h - the structures of RFC 9420 as views: parsing points into the bytes it was given
 * and copies nothing, so a view lives as long as those bytes. What is signed or hashed is kept as
 * its raw range and never written anew. Vectors of structures are kept as their content and read
 * again element by element; parsing has walked them once, so a second walk cannot fail.
 * Parsing checks form only; validity is the business of those who use it. Internal to
 * discord/mls.
 */
#ifndef DISCORD_MLS_MESSAGES_H
#define DISCORD_MLS_MESSAGES_H

#include "discord/mls/codec.h"

#define MLS_VERSION_10 1
#define MLS_SUITE      2

enum {
	MLS_WIRE_PUBLIC_MESSAGE = 1,
	MLS_WIRE_PRIVATE_MESSAGE = 2,
	MLS_WIRE_WELCOME = 3,
	MLS_WIRE_GROUP_INFO = 4,
	MLS_WIRE_KEY_PACKAGE = 5,
};
enum { MLS_CREDENTIAL_BASIC = 1, MLS_CREDENTIAL_X509 = 2 };
enum { MLS_LEAF_KEY_PACKAGE = 1, MLS_LEAF_UPDATE = 2, MLS_LEAF_COMMIT = 3 };
enum { MLS_PSK_EXTERNAL = 1, MLS_PSK_RESUMPTION = 2 };
enum {
	MLS_PROPOSAL_REINIT = 5,
	MLS_PROPOSAL_EXTERNAL_INIT = 6
}; /* beside enum mls_proposal_type */
enum {
	MLS_EXTENSION_APPLICATION_ID = 1,
	MLS_EXTENSION_RATCHET_TREE = 2,
	MLS_EXTENSION_REQUIRED_CAPABILITIES = 3,
	MLS_EXTENSION_EXTERNAL_PUB = 4,
	MLS_EXTENSION_EXTERNAL_SENDERS = 5,
};

struct mls_credential {
	uint16_t type;
	struct mls_bytes identity; /* basic; of X.509 the content of the certificate vector */
	struct mls_bytes raw;
};

/* Each a content of uint16 values. */
struct mls_capabilities {
	struct mls_bytes versions, cipher_suites, extensions, proposals, credentials;
};

struct mls_leaf_view {
	struct mls_bytes encryption_key, signature_key;
	struct mls_credential credential;
	struct mls_capabilities capabilities;
	uint8_t source;
	uint64_t not_before, not_after; /* source key_package */
	struct mls_bytes parent_hash;   /* source commit */
	struct mls_bytes extensions;    /* content */
	struct mls_bytes signature;
	struct mls_bytes raw, tbs; /* whole; without the signature */
};

struct mls_key_package_view {
	uint16_t version, cipher_suite;
	struct mls_bytes init_key;
	struct mls_leaf_view leaf;
	struct mls_bytes extensions;
	struct mls_bytes signature;
	struct mls_bytes raw, tbs;
};

struct mls_psk_view {
	uint8_t type;
	struct mls_bytes id; /* external */
	uint8_t usage;       /* resumption, with the next two */
	struct mls_bytes group_id;
	uint64_t epoch;
	struct mls_bytes nonce;
	struct mls_bytes raw; /* PreSharedKeyID */
};

struct mls_proposal_view {
	uint16_t type;
	struct mls_key_package_view key_package; /* Add */
	struct mls_leaf_view leaf;               /* Update */
	uint32_t removed;                        /* Remove */
	struct mls_psk_view psk;                 /* PreSharedKey */
	struct mls_bytes extensions;             /* GroupContextExtensions: content */
	struct mls_bytes raw;
};

struct mls_proposal_or_ref {
	bool by_reference;
	struct mls_bytes ref;
	struct mls_proposal_view proposal;
};

struct mls_hpke_view {
	struct mls_bytes kem_output, ciphertext;
};

struct mls_path_node_view {
	struct mls_bytes encryption_key;
	struct mls_bytes ciphertexts; /* content: HPKECiphertext */
};

struct mls_path_view {
	struct mls_leaf_view leaf;
	struct mls_bytes nodes; /* content: UpdatePathNode */
};

struct mls_commit_view {
	struct mls_bytes proposals; /* content: ProposalOrRef */
	bool has_path;
	struct mls_path_view path;
};

struct mls_framed_view {
	struct mls_bytes group_id;
	uint64_t epoch;
	uint8_t sender_type;
	uint32_t sender;
	struct mls_bytes authenticated_data;
	uint8_t content_type;
	struct mls_bytes application;
	struct mls_proposal_view proposal;
	struct mls_commit_view commit;
	struct mls_bytes raw; /* FramedContent */
};

struct mls_public_message {
	struct mls_framed_view content;
	struct mls_bytes signature, confirmation_tag, membership_tag;
};

struct mls_group_context_view {
	uint16_t version, cipher_suite;
	struct mls_bytes group_id;
	uint64_t epoch;
	struct mls_bytes tree_hash, confirmed_transcript_hash;
	struct mls_bytes extensions;
	struct mls_bytes raw;
};

struct mls_group_info_view {
	struct mls_group_context_view context;
	struct mls_bytes extensions;
	struct mls_bytes confirmation_tag;
	uint32_t signer;
	struct mls_bytes signature;
	struct mls_bytes tbs;
};

struct mls_group_secrets_view {
	struct mls_bytes joiner_secret;
	bool has_path_secret;
	struct mls_bytes path_secret;
	struct mls_bytes psks; /* content: PreSharedKeyID */
};

struct mls_welcome_view {
	uint16_t cipher_suite;
	struct mls_bytes secrets; /* content: EncryptedGroupSecrets */
	struct mls_bytes encrypted_group_info;
};

struct mls_welcome_entry {
	struct mls_bytes new_member;
	struct mls_hpke_view secrets;
};

/* ---- reading: from a cursor; errors stay in the cursor ----------------------------------- */

void mls_read_extensions(struct mls_reader *r, struct mls_bytes *content);
void mls_read_credential(struct mls_reader *r, struct mls_credential *out);
void mls_read_leaf(struct mls_reader *r, struct mls_leaf_view *out);
void mls_read_key_package(struct mls_reader *r, struct mls_key_package_view *out);
void mls_read_psk(struct mls_reader *r, struct mls_psk_view *out);
void mls_read_proposal(struct mls_reader *r, struct mls_proposal_view *out);
/* The body alone, without the type. */
void mls_read_proposal_body(struct mls_reader *r, uint16_t type, struct mls_proposal_view *out);
void mls_read_proposal_or_ref(struct mls_reader *r, struct mls_proposal_or_ref *out);
void mls_read_hpke(struct mls_reader *r, struct mls_hpke_view *out);
void mls_read_path_node(struct mls_reader *r, struct mls_path_node_view *out);
void mls_read_path(struct mls_reader *r, struct mls_path_view *out);
void mls_read_commit(struct mls_reader *r, struct mls_commit_view *out);
void mls_read_framed(struct mls_reader *r, struct mls_framed_view *out);
/* FramedContentAuthData, into the message whose content is known. */
void mls_read_auth(struct mls_reader *r, struct mls_public_message *message);
/* PublicMessage, and the same behind its MLSMessage header. */
void mls_read_public_message(struct mls_reader *r, struct mls_public_message *out);
void mls_read_mls_public_message(struct mls_reader *r, struct mls_public_message *out);
/* MLSMessage header; UNSUPPORTED unless MLS 1.0. Returns the wire format. */
uint16_t mls_read_message_header(struct mls_reader *r);
void mls_read_group_context(struct mls_reader *r, struct mls_group_context_view *out);
void mls_read_group_info(struct mls_reader *r, struct mls_group_info_view *out);
void mls_read_group_secrets(struct mls_reader *r, struct mls_group_secrets_view *out);
void mls_read_welcome(struct mls_reader *r, struct mls_welcome_view *out);
void mls_read_welcome_entry(struct mls_reader *r, struct mls_welcome_entry *out);

/* ---- looking into them ------------------------------------------------------------------- */

/* Does a content of uint16 values have this one? */
bool mls_list_has(struct mls_bytes values, uint16_t value);

/* Finds an extension in a content; false if it is not there. */
bool mls_extension_find(struct mls_bytes extensions, uint16_t type, struct mls_bytes *data);

/* Reads the next extension: for loops over a content. */
uint16_t mls_read_extension(struct mls_reader *r, struct mls_bytes *data);

/* ---- writing ------------------------------------------------------------------------------ */

void mls_write_capabilities(struct mls_writer *w, const struct mls_capabilities *c);
/* LeafNode without the signature: LeafNodeTBS without its tail. The rest of the view gives the
 * fields; raw and tbs are not looked at. */
void mls_write_leaf_tbs(struct mls_writer *w, const struct mls_leaf_view *leaf);
void mls_write_psk(struct mls_writer *w, const struct mls_psk_view *psk);
void mls_write_group_context(struct mls_writer *w, struct mls_bytes group_id, uint64_t epoch,
			     struct mls_bytes tree_hash, struct mls_bytes confirmed,
			     struct mls_bytes extensions);

#endif
