/* SPDX-License-Identifier: MIT
 *
 * session.h - DAVE version 1 as a state machine: ops 21 to 31 of one voice connection.
 *
 * No socket, clock, thread or log inside. The voice gateway's parsed messages go in, what is to be
 * sent comes out through callbacks, and keys go to the audio thread through a struct dave_media.
 * Everything here belongs to the control thread. Any input may be hostile: it is bounded and
 * checked, costs only the message it came with, and leaves the state as it was when refused.
 * DAVE protocol ("Voice Gateway Opcodes", "Transitions"); MLS by discord/mls.
 *
 * Use, by the owner of the voice connection:
 *
 *	process start   dave_identity_create(): one signature key for all connections
 *	before op 0     dave_media_create(), dave_session_create()
 *	op 0 Identify   "max_dave_protocol_version": DAVE_VERSION_MAX
 *	op 4            dave_session_select() with dave_protocol_version
 *	op 11, 13       dave_session_users_connect(), dave_session_user_disconnect()
 *	op 21, 22, 24   dave_session_prepare_transition(), dave_session_execute_transition(),
 *	                dave_session_prepare_epoch()
 *	op 25 27 29 30  dave_session_binary() with what follows the opcode byte
 *	op 7, op 9      nothing: the state continues, the gateway sends again what was missed
 *	100 ms - 1 s    dave_session_tick(): expiry of keys, recovery by failure counts; then
 *	                dave_session_is_stuck()
 *	new session     dave_session_move() with the channel's id, then op 4 as before
 *	end             dave_session_destroy(), stop the audio thread, dave_media_destroy()
 *
 * Readiness of the connection does not depend on DAVE: a sole member never gets an op 22. Outgoing
 * audio is held back by dave_media_encrypt() (-ENOKEY) as long as there is no key.
 */
#ifndef DISCORD_DAVE_SESSION_H
#define DISCORD_DAVE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discord/dave/codes.h"
#include "discord/dave/media.h"

#define DAVE_VERSION_MAX 1

/* Opcodes of the voice gateway that belong to DAVE. */
enum dave_op {
	DAVE_OP_PREPARE_TRANSITION = 21,    /* from the gateway, JSON */
	DAVE_OP_EXECUTE_TRANSITION = 22,    /* from the gateway, JSON */
	DAVE_OP_READY_FOR_TRANSITION = 23,  /* to the gateway, JSON */
	DAVE_OP_PREPARE_EPOCH = 24,         /* from the gateway, JSON */
	DAVE_OP_EXTERNAL_SENDER = 25,       /* from the gateway, binary */
	DAVE_OP_KEY_PACKAGE = 26,           /* to the gateway, binary */
	DAVE_OP_PROPOSALS = 27,             /* from the gateway, binary */
	DAVE_OP_COMMIT_WELCOME = 28,        /* to the gateway, binary */
	DAVE_OP_ANNOUNCE_COMMIT = 29,       /* from the gateway, binary */
	DAVE_OP_WELCOME = 30,               /* from the gateway, binary */
	DAVE_OP_INVALID_COMMIT_WELCOME = 31 /* to the gateway, JSON */
};

/* The signature key under which this account speaks. Ephemeral: made at process start, the same
 * for all simultaneous connections, as other clients expect. Outlives every session using it. */
struct dave_identity;
int dave_identity_create(struct dave_identity **out);
void dave_identity_destroy(struct dave_identity *id);

enum dave_state {
	DAVE_IDLE,      /* before op 4 */
	DAVE_PLAIN,     /* version 0: transport encryption only */
	DAVE_WAITING,   /* version 1, no group: alone, joining, or recovering */
	DAVE_ENCRYPTED, /* version 1, member of a group */
};
const char *dave_state_name(enum dave_state state);

enum dave_log_level { DAVE_LOG_DEBUG, DAVE_LOG_INFO, DAVE_LOG_WARN };

/* Called from within the functions below, on the same thread; must not call back into the session.
 * All are required. */
struct dave_session_ops {
	/* Send {"op":op,"d":{"transition_id":id}} as text. op is 23 or 31. */
	void (*send_json)(void *context, enum dave_op op, uint16_t transition_id);
	/* Send one binary message, opcode included (26 or 28). data is the session's. */
	void (*send_binary)(void *context, const uint8_t *data, size_t bytes);
	/* One line for the log, without line end; never a secret. Each new epoch is told at info
	 * with its privacy code, each verification code that is put as well. */
	void (*log)(void *context, enum dave_log_level level, const char *line);
	/* State, epoch, members or privacy code changed: refresh what the local API shows. */
	void (*changed)(void *context);
};

#define DAVE_SIGNATURE_KEY_BYTES 65 /* P-256 point, uncompressed */

struct dave_session_config {
	uint64_t user_id;    /* our own */
	uint64_t channel_id; /* the voice channel of our own voice state: it is the group id */
	const struct dave_identity *identity;
	struct dave_media *media; /* outlives the session */
	const struct dave_session_ops *ops;
	void *context; /* passed to ops */
};

struct dave_session;
int dave_session_create(struct dave_session **out, const struct dave_session_config *config);
/* Publishes an empty view (nothing can be sent or heard any more) and wipes the group state. */
void dave_session_destroy(struct dave_session *s);

/* All below: 0 = handled (also when there was nothing to do); -EPROTO = refused, the state is as
 * before or recovery was started, a line was logged; -ENOMEM, -EIO = could not, state as before.
 * The caller never needs to act on an error. */

/* Op 4. Starts a group (version 1: op 26 is sent at once) or passthrough (version 0). -EPROTO for a
 * version above DAVE_VERSION_MAX. A repeated op 4 of the same version, as after a new Select
 * Protocol, changes nothing. */
int dave_session_select(struct dave_session *s, unsigned version, int64_t now_ns);

/* Op 11 and 13. Users named here may be added to the group. Users that the main gateway's voice
 * states show in the channel count as well: pass them to users_connect(), early is better. */
int dave_session_users_connect(struct dave_session *s, const uint64_t *user_ids, size_t count,
			       int64_t now_ns);
int dave_session_user_disconnect(struct dave_session *s, uint64_t user_id, int64_t now_ns);

/* Op 21, 22, 24. Accept numbers and numeric strings for these fields on the wire; op 24 carries no
 * transition_id. */
int dave_session_prepare_transition(struct dave_session *s, unsigned version,
				    uint16_t transition_id, int64_t now_ns);
int dave_session_execute_transition(struct dave_session *s, uint16_t transition_id, int64_t now_ns);
int dave_session_prepare_epoch(struct dave_session *s, unsigned version, uint64_t epoch,
			       int64_t now_ns);

/* Op 25, 27, 29, 30; payload is what follows the opcode byte, up to 64 KiB. -EPROTO for other ops.
 */
int dave_session_binary(struct dave_session *s, unsigned op, const uint8_t *payload, size_t bytes,
			int64_t now_ns);

/* A new voice session (fresh Identify) or our own move to another channel: everything of the old
 * one is forgotten, keys included; op 4 follows. */
int dave_session_move(struct dave_session *s, uint64_t channel_id, int64_t now_ns);

/* Time passes: expires old keys, frees retired ones, starts recovery (op 31 with the last
 * transition id, then a fresh key package) after DAVE_FAILURES_MAX frames of one sender failed in a
 * row. */
#define DAVE_FAILURES_MAX 36
int dave_session_tick(struct dave_session *s, int64_t now_ns);
/* So many op 31 in a row led to no group, though there is one: what is wrong is nothing that op 31
 * repairs, such as an op 25 that came garbled, which is sent once a voice session. Only a new one helps. */
#define DAVE_RECOVERIES_MAX 2
bool dave_session_is_stuck(const struct dave_session *s);

/* ---- what can be asked ------------------------------------------------------------------- */
enum dave_state dave_session_state(const struct dave_session *s);
unsigned dave_session_version(const struct dave_session *s);
uint64_t dave_session_epoch(const struct dave_session *s); /* 0 without a group */
/* 30 digits, or "" without a group. */
const char *dave_session_privacy_code(const struct dave_session *s);
/* Group members, ourselves included, ascending; returns how many there are, fills at most max. */
size_t dave_session_members(const struct dave_session *s, uint64_t *user_ids, size_t max);
/* 45 digits for us and one other member. Tens of milliseconds (scrypt), so not for a thread that
 * commits may be waiting for. -ENOENT: not a member. */
int dave_session_verification_code(const struct dave_session *s, uint64_t user_id,
				   char out[DAVE_VERIFICATION_CODE_DIGITS + 1]);

/* The same for all members, worked out elsewhere: take what is wanted, run it on any thread, put it
 * back. A code stands for as long as the member keeps its signature key. */
struct dave_code_job {
	uint64_t own_id, user_id;
	uint8_t own_key[DAVE_SIGNATURE_KEY_BYTES], key[DAVE_SIGNATURE_KEY_BYTES];
	char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
};
/* False: no member lacks its code. */
bool dave_session_code_wanted(struct dave_session *s, struct dave_code_job *out);
int dave_code_job_run(struct dave_code_job *job); /* -ENOMEM */
/* Of a member that has gone meanwhile, or has another key, it is dropped. -ENOMEM. */
int dave_session_code_put(struct dave_session *s, const struct dave_code_job *job);
/* Those that were put, of present members: the i-th, NULL when there are no more. */
const char *dave_session_code(const struct dave_session *s, size_t i, uint64_t *user_id);

struct dave_session_stats {
	uint64_t epochs, commits_sent, commits_won, commits_lost, welcomes, recoveries, refused;
};
void dave_session_stats(const struct dave_session *s, struct dave_session_stats *out);

#endif
