/* SPDX-License-Identifier: MIT
 *
 * dave_service.h - the delivery service of Discord's end-to-end encryption, one room of it.
 *
 * What the voice gateway does for DAVE, without a socket: holds the key packages, proposes who
 * comes and goes, chooses one commit an epoch, sends it to the members and a Welcome to each
 * newcomer, and runs the transitions. Taken from the protocol's whitepaper and from what real
 * clients were seen to send and receive; shares nothing with the library that it tests.
 *
 * The service keeps no secret of the group and can read no media. Not thread-safe; the owner calls
 * dave_room_tick() when the time of dave_room_due() has come.
 */
#ifndef TESTS_SIM_DAVE_SERVICE_H
#define TESTS_SIM_DAVE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dave_room;
struct dave_client;

#define DAVE_ROOM_FIELD_NONE (-1)

struct dave_room_ops {
	/* JSON op to one client: 21, 22, 24. Fields that are NONE are left out. */
	void (*send_json)(void *client, int op, int64_t protocol_version, int64_t transition_id,
			  int64_t epoch);
	/* Binary op to one client: 25, 27, 29, 30; the payload without sequence number and opcode. */
	void (*send_binary)(void *client, int op, const uint8_t *payload, size_t len);
	/* A client did what a client must not do. */
	void (*complain)(void *room, uint64_t user, const char *what);
	/* Something happened: "proposals", "commit", "execute", "reset", "recover", "downgrade",
	 * "upgrade". */
	void (*event)(void *room, const char *what, uint64_t user, uint64_t epoch,
		      int64_t transition_id);
};

struct dave_room_config {
	uint64_t channel_id;
	const struct dave_room_ops *ops;
	void *context;                 /* for complain and event */
	bool first_transition_nonzero; /* the first group's id has been seen as 0, not always */
	uint64_t prefer;               /* commits of others lose while this user can commit; 0: nobody */
	bool overlap;                  /* propose without waiting for the last transition's end */
	int64_t transition_ns;         /* op 22 comes after this even if an op 23 is missing */
	int64_t commit_ns;             /* without a commit for so long the group is begun anew */
};

struct dave_room *dave_room_create(const struct dave_room_config *config);
void dave_room_destroy(struct dave_room *r);
/* What is changed in config takes effect at once. */
struct dave_room_config *dave_room_config(struct dave_room *r);

/* Before the client's op 4: max_version is what it identified with. Returns the
 * dave_protocol_version to tell it; others may be told of a downgrade. */
struct dave_client *dave_room_join(struct dave_room *r, uint64_t user, int max_version, void *context,
				   int64_t now_ns);
int dave_room_version(const struct dave_room *r);
/* After its op 4, and after the others had its op 11. */
void dave_room_joined(struct dave_client *c, int64_t now_ns);
/* After the others had its op 13. Frees the client. */
void dave_room_leave(struct dave_client *c, int64_t now_ns);

void dave_room_json(struct dave_client *c, int op, int64_t transition_id, int64_t now_ns);
void dave_room_binary(struct dave_client *c, int op, const uint8_t *payload, size_t len,
		      int64_t now_ns);

int64_t dave_room_due(const struct dave_room *r); /* INT64_MAX: nothing to wait for */
void dave_room_tick(struct dave_room *r, int64_t now_ns);

/* ---- what a test may order -------------------------------------------------------------- */

/* The next commit, Welcome or external sender (op 25) sent to the user, now or when it has joined (anew),
 * has a byte changed, or is not sent at all. */
enum dave_fault {
	DAVE_FAULT_NONE,
	DAVE_FAULT_FORGED_COMMIT,
	DAVE_FAULT_FORGED_WELCOME,
	DAVE_FAULT_LOST_WELCOME,
	DAVE_FAULT_FORGED_SENDER,
};
int dave_room_fault(struct dave_room *r, uint64_t user, enum dave_fault fault);
/* Op 27 with an Add of somebody whom no op 11 announced, to this user alone, revoked with the next
 * proposals. */
int dave_room_propose_stranger(struct dave_room *r, uint64_t user, uint64_t stranger);
/* To version 0 or 1 for everybody, by op 21 or op 24. */
int dave_room_set_version(struct dave_room *r, int version, int64_t now_ns);
/* A new external sender, then a new group. */
void dave_room_rekey(struct dave_room *r, int64_t now_ns);

/* ---- what a test may ask ----------------------------------------------------------------- */
uint64_t dave_room_epoch(const struct dave_room *r); /* 0: no group */
size_t dave_room_members(const struct dave_room *r); /* of the group */
bool dave_room_settled(const struct dave_room *r);   /* nobody to add or remove, nothing pending */
uint64_t dave_client_user(const struct dave_client *c);
bool dave_client_is_member(const struct dave_client *c);

#endif
