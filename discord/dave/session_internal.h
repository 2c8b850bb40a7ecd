/* SPDX-License-Identifier: MIT
 *
 * session_internal.h - what the two halves of the session share: session.c (transport versions,
 * transitions, keys) and session_group.c (proposals, commits, Welcomes, recovery).
 */
#ifndef DISCORD_DAVE_SESSION_INTERNAL_H
#define DISCORD_DAVE_SESSION_INTERNAL_H

#include "discord/dave/media_view.h"
#include "discord/dave/session.h"
#include "discord/dave/user_set.h"
#include "discord/mls/mls.h"

#define IDENTITY_BYTES             8
#define TRANSITIONS_MAX            16
#define OWN_COMMITS_MAX            3
#define HELD_MESSAGES_MAX          8
#define DAVE_PASSTHROUGH_LINGER_NS DAVE_KEY_LINGER_NS /* plain frames after an upgrade */
#define PAYLOAD_BYTES_MAX          65536
#define RECOVERY_DELAY_NS          ((int64_t)5 * 1000000000) /* between two op 31, doubled each time */
#define RECOVERY_DELAY_MAX_NS      ((int64_t)60 * 1000000000)

struct dave_identity {
	struct mls_signature_key *key;
};

/* Bytes of our own. */
struct blob {
	uint8_t *data;
	size_t len;
};

/* A transition announced and not yet executed. */
struct transition {
	uint16_t id;
	unsigned version;
	bool due;                    /* should have been executed, memory was short */
	uint64_t serial;             /* order of announcement; a later one executed makes it void */
	struct dave_media_key *send; /* of the epoch it belongs to; NULL: none came with it */
};

/* A commit of ours that the gateway may still choose. */
struct own_commit {
	struct mls_buffer commit;
	struct mls_group *next;
};

/* An op 27 append that adds somebody no op 11 has named yet. */
struct held_message {
	struct blob messages; /* content of the vector */
	size_t ref_count;
	uint8_t (*refs)[MLS_HASH_BYTES]; /* of what it proposes and was not revoked since */
};

/* A member's verification code; stands as long as the member has that key. */
struct member_code {
	uint64_t user_id;
	uint8_t key[MLS_PUBLIC_KEY_BYTES];
	char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
};

struct dave_session {
	/* who and where */
	uint64_t user_id, channel_id;
	uint8_t identity[IDENTITY_BYTES], group_id[IDENTITY_BYTES];
	const struct mls_signature_key *key;
	struct dave_media *media;
	const struct dave_session_ops *ops;
	void *context;

	/* versions and transitions */
	bool selected;    /* op 4 was seen */
	unsigned version; /* negotiated, or that of the group being formed */
	struct transition transitions[TRANSITIONS_MAX];
	size_t transition_count;
	uint64_t serial, executed_serial;
	bool any_executed; /* executed_id is valid: 0 is an id like any other */
	uint16_t executed_id;

	/* media keys */
	struct dave_media_view *view;      /* working copy of what was published last */
	struct dave_media_key *epoch_send; /* our key of the current epoch */

	/* the group */
	struct user_set recognised;
	struct blob external_sender;            /* raw op 25 */
	struct mls_key_package *key_package;    /* newest sent and not used */
	struct mls_group *pending;              /* ours alone, epoch 0 */
	struct mls_group *current;              /* established */
	struct own_commit own[OWN_COMMITS_MAX]; /* newest first */
	size_t own_count;
	struct held_message held[HELD_MESSAGES_MAX]; /* in order of arrival */
	size_t held_count;

	/* recovery: at most one op 31 per delay */
	bool init_wanted;     /* no memory to begin a group when it was due */
	unsigned recoveries;  /* op 31 sent, no group since */
	bool recovery_wanted; /* failed again meanwhile, or could not for want of memory */
	bool stuck;           /* the last of DAVE_RECOVERIES_MAX has failed as well */
	uint16_t recovery_id;
	int64_t recovery_after_ns, recovery_delay_ns;
	int64_t waiting_since_ns; /* version 1 and no group, though others are here */
	uint64_t waiting_no_key;  /* media's count of frames without a key at that time */

	char privacy_code[DAVE_PRIVACY_CODE_DIGITS + 1];
	bool codes_complete; /* for the current group */
	struct member_code *codes;
	size_t code_count;
	struct dave_session_stats stats;
};

/* ---- session.c --------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) void session_log(struct dave_session *s,
						       enum dave_log_level level,
						       const char *format, ...);
/* Publishes a clone of view and makes view the working copy; on -ENOMEM view is destroyed. */
int session_publish(struct dave_session *s, struct dave_media_view *view);
/* Receiving keys of old epochs end in ten seconds at the latest. */
int session_expire_keys(struct dave_session *s, int64_t now_ns);
/* A commit or Welcome was accepted under this id: remembers the transition or executes it (id 0).
 */
void session_transition(struct dave_session *s, uint16_t id, unsigned version,
			struct dave_media_key *send, bool answer, int64_t now_ns);
void session_changed(struct dave_session *s);
/* There is a group, or one begins anew: whatever was wrong is past. */
void session_recovered(struct dave_session *s);

/* ---- session_group.c --------------------------------------------------------------------- */

/* Forgets group, proposals, commits and key package. */
void session_group_clear(struct dave_session *s);
/* Begins anew: key package, op 26, and the pending group if the external sender is known. */
int session_group_init(struct dave_session *s, int64_t now_ns);
/* Sends op 31, begins anew; or notes that it must be done later. */
/* From here on a group is due: it begins anew, or somebody else has come. */
void session_waiting_begins(struct dave_session *s, int64_t now_ns);
int session_recover(struct dave_session *s, uint16_t transition_id, int64_t now_ns);
/* Tries again what op 11 has made acceptable. */
int session_retry_held(struct dave_session *s);
int session_external_sender(struct dave_session *s, struct mls_bytes payload);
int session_proposals(struct dave_session *s, struct mls_bytes payload);
int session_commit(struct dave_session *s, struct mls_bytes payload, int64_t now_ns);
int session_welcome(struct dave_session *s, struct mls_bytes payload, int64_t now_ns);
int session_error(int mls_error);

/* ---- session_codes.c --------------------------------------------------------------------- */

/* Forgets the codes of those who are not in the current group, or with another key. */
void session_codes_sweep(struct dave_session *s);
void blob_clear(struct blob *b);
/* Replaces the outstanding key package by one whose private keys are known; for known answers. */
void dave_session_use_key_package(struct dave_session *s, struct mls_key_package *package);

#endif
