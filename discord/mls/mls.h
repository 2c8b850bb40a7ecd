/* SPDX-License-Identifier: MIT
 *
 * mls.h - Messaging Layer Security (RFC 9420) for one cipher suite, the whole public interface.
 *
 * MLS gives a changing group of members a shared secret for each "epoch"; every change of the
 * membership is a signed commit that ends one epoch and begins the next. This library speaks
 *
 *	MLS 1.0, cipher suite 2: DHKEM(P-256, HKDF-SHA256), AES-128-GCM, SHA-256, ECDSA P-256
 *
 * over libcrypto of OpenSSL 3 and nothing else. It opens no socket, reads no clock, starts no
 * thread and logs nothing: bytes come in, bytes and a new group state go out. Handshake messages
 * are PublicMessages; application messages are not part of it (use mls_group_export() for keys).
 *
 * The life of a member
 *
 *	mls_signature_key_create()	who we are, for as long as the application likes
 *	mls_key_package_create()	our one-time invitation to be added somewhere
 *	mls_group_create()		begin a group with ourselves alone (epoch 0), or
 *	mls_group_join()		become a member by a Welcome made for our key package
 *	mls_group_propose()		cache proposals signed by an external sender or member
 *	mls_group_commit()		make a commit over all cached proposals
 *	mls_group_process()		follow the commit of another member
 *
 * States are values. mls_group_commit() and mls_group_process() never change the group they are
 * given: they return its successor as a group of its own, and on any failure no successor exists
 * and the old state is as good as before. Our own commit takes effect only when the delivery
 * service has accepted it; the caller then replaces its group by the successor it was given. A
 * group costs about 1 KiB plus 64 bytes a leaf to copy; leaf and parent nodes are shared.
 *
 * Errors: functions that return int give 0 (MLS_OK) or one of enum mls_error, all negative;
 * outputs are then left untouched unless stated. mls_error_text() names them.
 *
 * Hostile input: every argument of type struct mls_bytes may come from the network. It is checked
 * in full before use, and bounded by MLS_MAX_MESSAGE_BYTES, MLS_MAX_LEAVES, MLS_MAX_PROPOSALS.
 *
 * Ownership: struct mls_bytes borrows, struct mls_buffer owns (mls_buffer_clear()). Objects have
 * _create and _destroy; destroy takes NULL. Secrets are wiped when destroyed.
 *
 * Threads: objects may be handed between threads, but one object is used by one thread at a time.
 * Different objects, related by succession or not, may be used at the same time.
 *
 * Profile: with features 0 a group accepts what a group run by a delivery service needs and
 * nothing more: Add and Remove, by reference, signed by external sender 0; no commit without
 * proposals; identities unique; credentials fixed. enum mls_feature opens the rest of RFC 9420 on
 * the receiving side. Not supported at all: PrivateMessage, external commits, ReInit, resumption
 * PSKs, X.509 credentials, other suites.
 */
#ifndef DISCORD_MLS_MLS_H
#define DISCORD_MLS_MLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLS_HASH_BYTES        32 /* SHA-256; also every secret of the key schedule */
#define MLS_PUBLIC_KEY_BYTES  65 /* P-256 point, uncompressed: 04 || X || Y */
#define MLS_PRIVATE_KEY_BYTES 32 /* P-256 scalar, big-endian */

#define MLS_MAX_MESSAGE_BYTES 65536 /* any one input */
#define MLS_MAX_LEAVES        1024  /* width of the ratchet tree, blanks included */
#define MLS_MAX_PROPOSALS     255   /* cached in one epoch, and listed in one commit */

/* ---- bytes ------------------------------------------------------------------------------ */

/* Borrowed bytes: valid as long as whatever they point into. {NULL, 0} is empty. */
struct mls_bytes {
	const uint8_t *data;
	size_t len;
};

/* Owned bytes. {NULL, 0} is empty and needs no clearing. */
struct mls_buffer {
	uint8_t *data;
	size_t len;
};

/* Wipes and frees the content, leaves {NULL, 0}. */
void mls_buffer_clear(struct mls_buffer *buffer);

/* Takes one `opaque x<V>` (RFC 9420 2.1.2) off the front of *in; *content borrows from *in.
 * MLS_ERROR_PARSE if the header is not minimal or the content is not all there; *in is then
 * unchanged. For protocols that wrap MLS messages in such vectors. */
int mls_vector_take(struct mls_bytes *in, struct mls_bytes *content);

/* ---- errors ----------------------------------------------------------------------------- */

enum mls_error {
	MLS_OK = 0,
	MLS_ERROR_PARSE = -1,            /* not well-formed, or bytes left over */
	MLS_ERROR_UNSUPPORTED = -2,      /* version, suite, wire format, extension or proposal type
					    that this library or the group's profile lacks */
	MLS_ERROR_LIMIT = -3,            /* more bytes, leaves or proposals than allowed */
	MLS_ERROR_NOMEM = -4,            /* out of memory */
	MLS_ERROR_INTERNAL = -5,         /* libcrypto failed, or a misuse of this interface */
	MLS_ERROR_SIGNATURE = -6,        /* a signature does not verify */
	MLS_ERROR_MEMBERSHIP_TAG = -7,   /* not sent by somebody who is in this epoch */
	MLS_ERROR_CONFIRMATION_TAG = -8, /* the sender's new epoch is not the one we computed */
	MLS_ERROR_WRONG_EPOCH = -9,   /* for an epoch that is not ours: late, early or replayed */
	MLS_ERROR_WRONG_GROUP = -10,  /* group id differs */
	MLS_ERROR_WRONG_SENDER = -11, /* blank leaf, unknown external sender, or a sender that may
					 not send this */
	MLS_ERROR_UNKNOWN_PROPOSAL = -12, /* a proposal reference that is not cached */
	MLS_ERROR_PROPOSAL_LIST = -13,    /* the proposals do not go together (RFC 9420 12.2), or a
					     path is missing that they require */
	MLS_ERROR_KEY_PACKAGE = -14, /* key package or leaf node breaks a rule of 7.3 or 10.1 */
	MLS_ERROR_KEY = -15,         /* a public key is no point of the curve, or a private key
					does not belong to it */
	MLS_ERROR_DUPLICATE = -16,   /* identity, signature key or encryption key used twice */
	MLS_ERROR_TREE = -17,        /* ratchet tree invalid: structure, tree hash, parent hash,
					unmerged leaves, or a path that does not fit it */
	MLS_ERROR_DECRYPT = -18,     /* an HPKE or AEAD ciphertext does not open */
	MLS_ERROR_NOT_FOR_US = -19,  /* a Welcome without an entry for our key package */
	MLS_ERROR_PSK = -20,         /* needs a pre-shared key that was not given */
	MLS_ERROR_OWN_COMMIT = -21,  /* our own commit: take the successor made with it */
	MLS_ERROR_REMOVED = -22,     /* a valid commit that removes us: the group is over */
	MLS_ERROR_REFUSED = -23,     /* the caller's accept function said no */
};

/* A short sentence without full stop, for logs; never NULL. */
const char *mls_error_text(int error);

/* ---- profile ---------------------------------------------------------------------------- */

enum mls_feature {
	MLS_FEATURE_MEMBER_PROPOSALS = 1 << 0, /* proposals sent by members */
	MLS_FEATURE_INLINE_PROPOSALS = 1 << 1, /* proposals by value inside a commit */
	MLS_FEATURE_UPDATE = 1 << 2,           /* Update proposals of others */
	MLS_FEATURE_PSK = 1 << 3,              /* external pre-shared keys */
	MLS_FEATURE_GROUP_EXTENSIONS = 1 << 4, /* GroupContextExtensions proposals */
	MLS_FEATURE_EMPTY_COMMIT = 1 << 5,     /* commits without proposals (make and process) */
	MLS_FEATURE_NEW_CREDENTIAL = 1 << 6,   /* a path or Update may change credential and key */
	MLS_FEATURE_SAME_IDENTITY = 1 << 7,    /* several leaves may carry one identity */
	MLS_FEATURE_ALL = (1 << 8) - 1,
};

/* An external pre-shared key (RFC 9420 8.4). */
struct mls_psk {
	struct mls_bytes id;
	struct mls_bytes secret;
};

/* ---- signature keys --------------------------------------------------------------------- */

/* A P-256 signature key pair. Key packages and groups keep a reference of their own, so it may
 * be destroyed while they live. */
struct mls_signature_key;

/* A fresh random pair. NOMEM, INTERNAL. */
int mls_signature_key_create(struct mls_signature_key **out);

/* From a private scalar. MLS_ERROR_KEY if it is 0 or not below the group order. */
int mls_signature_key_import(struct mls_signature_key **out,
			     const uint8_t private_key[MLS_PRIVATE_KEY_BYTES]);

void mls_signature_key_destroy(struct mls_signature_key *key);

void mls_signature_key_public(const struct mls_signature_key *key,
			      uint8_t public_key[MLS_PUBLIC_KEY_BYTES]);

/* SignWithLabel and VerifyWithLabel (RFC 9420 5.1.2); label without the "MLS 1.0 " prefix.
 * The signature is DER. Verify: MLS_ERROR_KEY, MLS_ERROR_SIGNATURE. */
int mls_sign(const struct mls_signature_key *key, const char *label, struct mls_bytes content,
	     struct mls_buffer *signature);
int mls_verify(struct mls_bytes public_key, const char *label, struct mls_bytes content,
	       struct mls_bytes signature);

/* ---- key packages ----------------------------------------------------------------------- */

/* Our own key package with its private init and leaf keys. Good for one join; make a new one for
 * the next. */
struct mls_key_package;

/* New init and leaf keys; basic credential with the given identity; capabilities: MLS 1.0, suite
 * 2, basic credentials, nothing optional; lifetime 0 to 2^64-1 (RFC 9420 10). */
int mls_key_package_create(struct mls_key_package **out, const struct mls_signature_key *key,
			   struct mls_bytes identity);

/* From a serialised KeyPackage and its private keys. MLS_ERROR_KEY if any of the three pairs do
 * not belong together; else as mls_key_package_check(). */
int mls_key_package_import(struct mls_key_package **out, const struct mls_signature_key *key,
			   struct mls_bytes key_package,
			   const uint8_t init_private[MLS_PRIVATE_KEY_BYTES],
			   const uint8_t leaf_private[MLS_PRIVATE_KEY_BYTES]);

void mls_key_package_destroy(struct mls_key_package *self);

/* The serialised KeyPackage, bare: no MLSMessage header before it. Borrowed from self. */
struct mls_bytes mls_key_package_bytes(const struct mls_key_package *self);

/* What a KeyPackage says. Pointers borrow from the bytes it was read from. */
struct mls_key_package_info {
	struct mls_bytes identity;       /* of the basic credential */
	struct mls_bytes signature_key;  /* 65 bytes */
	struct mls_bytes init_key;       /* 65 bytes */
	struct mls_bytes encryption_key; /* 65 bytes, of the leaf */
	uint64_t not_before,
		not_after;           /* seconds since 1970; NOT checked here: there is no clock */
	uint8_t ref[MLS_HASH_BYTES]; /* KeyPackageRef (RFC 9420 5.2) */
};

/* Reads and validates a bare KeyPackage on its own (RFC 9420 10.1 and 7.3): version, suite, both
 * signatures, source, credential, capabilities, extensions, keys on the curve and not the same.
 * info may be NULL. PARSE, UNSUPPORTED, LIMIT, KEY, KEY_PACKAGE, SIGNATURE. */
int mls_key_package_check(struct mls_bytes key_package, struct mls_key_package_info *info);

/* ---- external senders ------------------------------------------------------------------- */

struct mls_external_sender {
	struct mls_bytes signature_key; /* 65 bytes, on the curve */
	struct mls_bytes identity;      /* of the basic credential */
};

/* Reads one serialised ExternalSender (RFC 9420 12.1.8.1), all of the bytes. Borrows. */
int mls_external_sender_parse(struct mls_bytes bytes, struct mls_external_sender *out);

/* ---- groups: beginning ------------------------------------------------------------------ */

/* One member's view of one epoch of a group, and the proposals cached for it. */
struct mls_group;

/* A group at epoch 0 with ourselves at leaf 0 and nobody else; its leaf is that of self (RFC 9420
 * 11). external_sender: a serialised ExternalSender that becomes the one entry of the group's
 * external_senders extension, or empty for a group without extensions. features: enum
 * mls_feature, kept by all successors. */
int mls_group_create(struct mls_group **out, const struct mls_key_package *self,
		     struct mls_bytes group_id, struct mls_bytes external_sender,
		     unsigned features);

/* What mls_group_join() may need beyond the Welcome. All zero: tree inside the Welcome, no PSKs,
 * strict profile. */
struct mls_join_options {
	unsigned features;             /* enum mls_feature */
	struct mls_bytes ratchet_tree; /* content of the extension if it came another way */
	const struct mls_psk *psks;
	size_t n_psks;
};

/* Joins by a bare Welcome (RFC 9420 12.4.3.1): opens our entry (other entries may have been cut
 * off), verifies the GroupInfo, the whole tree (every leaf's signature, tree hash, parent hashes,
 * unmerged leaves, key uniqueness) and the confirmation tag. options may be NULL. The caller
 * checks group id, extensions and identities by the accessors below: whom to trust is not ours to
 * know. */
int mls_group_join(struct mls_group **out, const struct mls_key_package *self,
		   struct mls_bytes welcome, const struct mls_join_options *options);

/* Wipes. Takes NULL. */
void mls_group_destroy(struct mls_group *group);

/* ---- groups: proposals ------------------------------------------------------------------ */

enum mls_proposal_type {
	MLS_PROPOSAL_ADD = 1,
	MLS_PROPOSAL_UPDATE = 2,
	MLS_PROPOSAL_REMOVE = 3,
	MLS_PROPOSAL_PSK = 4,
	MLS_PROPOSAL_GROUP_EXTENSIONS = 7,
};

struct mls_proposal_info {
	enum mls_proposal_type type;
	uint8_t ref[MLS_HASH_BYTES]; /* ProposalRef (RFC 9420 5.2) */
	struct mls_bytes identity;   /* Add: of the newcomer; Remove: of the leaf; else empty */
	uint32_t leaf;               /* Remove: the leaf that goes; Update: the leaf that changes */
	struct mls_key_package_info key_package; /* Add only */
};

/* The application's word on a proposal that has passed every check of the protocol. The info and
 * what it points to are valid during the call. */
typedef bool mls_accept_fn(void *arg, const struct mls_proposal_info *info);

/* Verifies and caches proposals: one or more MLSMessages (PublicMessage, Proposal) one after the
 * other, all of the bytes. All are cached or none. Each must name our group and epoch, be signed
 * by external sender 0 (or by another sender the profile allows) and be valid on its own: an
 * Add's key package as by mls_key_package_check(), a Remove's leaf occupied. A proposal that is
 * cached already is passed over. accept may be NULL; if it returns false: MLS_ERROR_REFUSED.
 * The order of arrival is kept. */
int mls_group_propose(struct mls_group *group, struct mls_bytes messages, mls_accept_fn *accept,
		      void *arg);

/* Forgets cached proposals. refs: one or more `opaque ref<V>` one after the other; either all of
 * them are cached and forgotten, or MLS_ERROR_UNKNOWN_PROPOSAL and none is. */
int mls_group_revoke(struct mls_group *group, struct mls_bytes refs);

/* Forgets all. */
void mls_group_forget_proposals(struct mls_group *group);

size_t mls_group_proposal_count(const struct mls_group *group);

/* The i-th in order of arrival, i < count. Borrows from the group until proposals change. */
void mls_group_proposal(const struct mls_group *group, size_t i, struct mls_proposal_info *info);

/* Adds or renews the PSKs that later commits may ask for (profile with MLS_FEATURE_PSK). */
int mls_group_set_psks(struct mls_group *group, const struct mls_psk *psks, size_t n_psks);

/* ---- groups: commits -------------------------------------------------------------------- */

/* What mls_group_commit() makes. */
struct mls_commit {
	struct mls_buffer commit;  /* MLSMessage(PublicMessage(Commit)) for the members */
	struct mls_buffer welcome; /* bare Welcome for those added; empty if nobody was */
	struct mls_group *next;    /* our state once the delivery service has accepted it */
};

/* Clears both buffers and destroys next; set next to NULL first to keep it. */
void mls_commit_clear(struct mls_commit *commit);

/* Commits to all cached proposals by reference, in order of arrival (RFC 9420 12.4.1). The commit
 * has an update path if the list requires one (any Remove) and none for Adds alone. The group is
 * not changed and the same proposals can be committed again; each commit has its own successor.
 * MLS_ERROR_PROPOSAL_LIST, MLS_ERROR_DUPLICATE, MLS_ERROR_LIMIT: these proposals cannot be
 * committed together by us (for instance one removes ourselves); the cache is kept. */
int mls_group_commit(const struct mls_group *group, struct mls_commit *out);

struct mls_commit_info {
	uint32_t committer; /* leaf index */
	bool has_path;
	size_t n_added, n_removed;
};

/* Follows another member's commit, an MLSMessage, all of the bytes (RFC 9420 12.4.2): verifies
 * membership tag, signature, proposals, path and confirmation tag. *next is the new epoch with no
 * proposals cached. info may be NULL. MLS_ERROR_OWN_COMMIT for a commit of our own leaf,
 * MLS_ERROR_REMOVED (after tag and signature verified) for one that ends our membership. */
int mls_group_process(const struct mls_group *group, struct mls_bytes message,
		      struct mls_group **next, struct mls_commit_info *info);

/* ---- groups: what they know ------------------------------------------------------------- */

/* Borrowed from the group. */
struct mls_bytes mls_group_id(const struct mls_group *group);
uint64_t mls_group_epoch(const struct mls_group *group);

/* The content of GroupContext.extensions: Extension{uint16 type; opaque data<V>} one after the
 * other. A group with nothing but one external sender has exactly
 * `0005 || vec(vec(ExternalSender))`. */
struct mls_bytes mls_group_extensions(const struct mls_group *group);

/* Our own leaf index. */
uint32_t mls_group_own_leaf(const struct mls_group *group);

struct mls_member {
	uint32_t leaf;
	struct mls_bytes identity;      /* of the basic credential; borrowed from the group */
	struct mls_bytes signature_key; /* 65 bytes; borrowed from the group */
};

/* Number of members, and width of the tree (a power of two, members and blanks). */
size_t mls_group_member_count(const struct mls_group *group);
uint32_t mls_group_leaf_count(const struct mls_group *group);

/* The roster: false for a blank leaf or one beyond the tree. Iterate leaf from 0 to below
 * mls_group_leaf_count(). */
bool mls_group_member(const struct mls_group *group, uint32_t leaf, struct mls_member *out);

/* The first member with this identity; false if there is none. */
bool mls_group_find(const struct mls_group *group, struct mls_bytes identity,
		    struct mls_member *out);

/* MLS-Exporter (RFC 9420 8.5): len bytes of secret, at most 255 * 32, for the application. label
 * without prefix. */
int mls_group_export(const struct mls_group *group, const char *label, struct mls_bytes context,
		     uint8_t *out, size_t len);

/* Equal for two members exactly if they are in the same epoch of the same group (8.7). */
void mls_group_epoch_authenticator(const struct mls_group *group, uint8_t out[MLS_HASH_BYTES]);

/* ---- messages from outside -------------------------------------------------------------- */

enum mls_content_type {
	MLS_CONTENT_APPLICATION = 1,
	MLS_CONTENT_PROPOSAL = 2,
	MLS_CONTENT_COMMIT = 3
};
enum mls_sender_type {
	MLS_SENDER_MEMBER = 1,
	MLS_SENDER_EXTERNAL = 2,
	MLS_SENDER_NEW_MEMBER_PROPOSAL = 3,
	MLS_SENDER_NEW_MEMBER_COMMIT = 4,
};

/* What the outside of a PublicMessage says. Nothing of it is verified. */
struct mls_message_info {
	struct mls_bytes group_id; /* borrowed */
	uint64_t epoch;
	enum mls_content_type content_type;
	enum mls_sender_type sender_type;
	uint32_t sender; /* leaf index, or index of the external sender */
	size_t len;      /* bytes of this message; more may follow */
};

/* Reads one MLSMessage holding a PublicMessage from the front of the bytes. Also tells where it
 * ends, which nothing else does when a Welcome follows it. */
int mls_message_peek(struct mls_bytes bytes, struct mls_message_info *out);

#endif
