/* SPDX-License-Identifier: MIT
 *
 * dave_service.c - one room of the delivery service.
 *
 * A room is in one of these phases:
 *	IDLE        nothing to do, or nobody to do it
 *	PROPOSED    op 27 is out; the first valid op 28 for the epoch wins
 *	TRANSITION  a commit was announced; op 22 follows when all are ready, or after a while
 * Who is to be added (a key package, no leaf) or removed (a leaf without its client, or one that
 * sent op 31) is not a list but read off the clients and leaves whenever a room falls idle.
 */
#include "tests/sim/dave_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/dave_wire.h"

#define LEAVES_MAX    1024
#define PROPOSALS_MAX 200
#define LAPSED_MAX    256

enum phase { PHASE_IDLE, PHASE_PROPOSED, PHASE_TRANSITION };

struct dave_client {
	struct dave_room *room;
	struct dave_client *next;
	uint64_t user;
	void *context;
	int max_version;
	bool described;  /* op 4 was sent */
	bool introduced; /* has the external sender: again in a group it kills real clients */
	bool member;     /* has a leaf and follows */
	bool failed;     /* sent op 31: its leaf must go before it comes again */
	bool awaited;    /* its op 23 is missing */
	struct wire_buffer key_package; /* newest, not used yet */
	enum dave_fault fault;
};

struct leaf {
	uint64_t user; /* 0: blank */
	bool dead;     /* to be removed */
};

struct proposal {
	struct dave_client *add; /* NULL: Remove, or its client is gone */
	uint64_t user;
	uint32_t leaf;
	bool revoked;
	struct wire_buffer message, key_package;
	uint8_t ref[WIRE_HASH_BYTES], kp_ref[WIRE_HASH_BYTES];
};

struct dave_room {
	struct dave_room_config config;
	struct wire_key sender;
	struct wire_buffer op25;
	int version;
	struct dave_client *clients;
	enum phase phase;
	int64_t deadline_ns;
	/* group */
	uint64_t epoch; /* 0: none */
	struct leaf leaves[LEAVES_MAX];
	uint32_t leaf_count; /* width, a power of two */
	struct proposal proposals[PROPOSALS_MAX];
	size_t proposal_count;
	/* references of proposals that have lapsed: a commit to them is late, not wrong */
	uint8_t lapsed[LAPSED_MAX][WIRE_HASH_BYTES];
	size_t lapsed_count;
	/* transition */
	uint16_t last_transition, transition;
	int transition_version;
	uint64_t coming_user; /* a fault for somebody who is not here yet */
	enum dave_fault coming_fault;
	bool stranger_out;
	uint8_t stranger_ref[WIRE_HASH_BYTES];
	uint64_t stranger_to;
};

static void room_work(struct dave_room *r, int64_t now_ns);

static void complain(struct dave_client *c, const char *what)
{
	c->room->config.ops->complain(c->room->config.context, c->user, what);
}

static void event(struct dave_room *r, const char *what, uint64_t user, int64_t transition)
{
	r->config.ops->event(r->config.context, what, user, r->epoch, transition);
}

static void send_json(struct dave_client *c, int op, int64_t version, int64_t transition,
		      int64_t epoch)
{
	c->room->config.ops->send_json(c->context, op, version, transition, epoch);
}

static void send_binary(struct dave_client *c, int op, const void *payload, size_t len)
{
	c->room->config.ops->send_binary(c->context, op, payload, len);
}

/* Op 25, once; after an op 24 where both are due. */
static void introduce(struct dave_client *c)
{
	struct wire_buffer payload = {0};

	if (c->introduced || !c->described)
		return;
	c->introduced = true;
	wire_put(&payload, c->room->op25.data, c->room->op25.len);
	if (c->fault == DAVE_FAULT_FORGED_SENDER) {
		payload.data[payload.len - 1] ^= 1; /* of its identity */
		c->fault = DAVE_FAULT_NONE;
	}
	send_binary(c, 25, payload.data, payload.len);
	wire_clear(&payload);
}

/* ---- leaves ------------------------------------------------------------------------------ */

static void leaves_clear(struct dave_room *r)
{
	memset(r->leaves, 0, sizeof(r->leaves));
	r->leaf_count = 0;
	r->epoch = 0;
	for (struct dave_client *c = r->clients; c; c = c->next) {
		c->member = false;
		c->failed = false;
	}
}

/* RFC 9420, 7.7: the leftmost blank leaf, or a tree twice as wide. */
static uint32_t leaf_add(struct dave_room *r, uint64_t user)
{
	uint32_t i = 0;

	while (i < r->leaf_count && r->leaves[i].user)
		i++;
	if (i == r->leaf_count)
		r->leaf_count = r->leaf_count ? 2 * r->leaf_count : 1;
	r->leaves[i] = (struct leaf){.user = user};
	return i;
}

static void leaves_truncate(struct dave_room *r)
{
	while (r->leaf_count > 1) {
		for (uint32_t i = r->leaf_count / 2; i < r->leaf_count; i++) {
			if (r->leaves[i].user)
				return;
		}
		r->leaf_count /= 2;
	}
}

static struct dave_client *client_find(const struct dave_room *r, uint64_t user)
{
	struct dave_client *c = r->clients;

	while (c && c->user != user)
		c = c->next;
	return c;
}

static size_t followers(const struct dave_room *r)
{
	size_t n = 0;

	for (const struct dave_client *c = r->clients; c; c = c->next)
		n += c->member;
	return n;
}

/* ---- proposals --------------------------------------------------------------------------- */

static void proposals_clear(struct dave_room *r)
{
	for (size_t i = 0; i < r->proposal_count; i++) {
		memcpy(r->lapsed[r->lapsed_count++ % LAPSED_MAX], r->proposals[i].ref,
		       WIRE_HASH_BYTES);
		wire_clear(&r->proposals[i].message);
		wire_clear(&r->proposals[i].key_package);
	}
	r->proposal_count = 0;
}

static struct proposal *proposal_new(struct dave_room *r)
{
	struct proposal *p = &r->proposals[r->proposal_count++];

	memset(p, 0, sizeof(*p));
	return p;
}

static void propose_add(struct dave_room *r, struct dave_client *c)
{
	struct proposal *p = proposal_new(r);
	struct wire_bytes kp;

	p->add = c;
	p->user = c->user;
	p->key_package = c->key_package;
	memset(&c->key_package, 0, sizeof(c->key_package));
	kp = (struct wire_bytes){p->key_package.data, p->key_package.len};
	wire_key_package_ref(kp, p->kp_ref);
	wire_proposal(&r->sender, r->config.channel_id, r->epoch, &kp, 0, &p->message, p->ref);
}

static void propose_remove(struct dave_room *r, uint32_t leaf)
{
	struct proposal *p = proposal_new(r);

	p->user = r->leaves[leaf].user;
	p->leaf = leaf;
	wire_proposal(&r->sender, r->config.channel_id, r->epoch, NULL, leaf, &p->message, p->ref);
}

/* Whether a commit of c has to contain p: everybody's Add but one's own. */
static bool proposal_concerns(const struct proposal *p, const struct dave_client *c)
{
	return !p->revoked && p->user && !(p->key_package.len && p->user == c->user);
}

/* Who commits: the members, or all who wait as long as there is no group. */
static bool client_commits(const struct dave_room *r, const struct dave_client *c)
{
	if (r->epoch)
		return c->member;
	for (size_t i = 0; i < r->proposal_count; i++) {
		if (r->proposals[i].add == c)
			return true;
	}
	return false;
}

static void proposals_send(struct dave_room *r, size_t from)
{
	for (struct dave_client *c = r->clients; c; c = c->next) {
		struct wire_buffer list = {0}, payload = {0};

		if (!client_commits(r, c))
			continue;
		for (size_t i = from; i < r->proposal_count; i++) {
			struct proposal *p = &r->proposals[i];

			if (proposal_concerns(p, c))
				wire_put(&list, p->message.data, p->message.len);
		}
		if (list.len) {
			wire_put_u8(&payload, 0);
			wire_put_vec(&payload, list.data, list.len);
			send_binary(c, 27, payload.data, payload.len);
		}
		wire_clear(&list);
		wire_clear(&payload);
	}
}

static void refs_revoke(struct dave_client *c, const uint8_t ref[WIRE_HASH_BYTES])
{
	struct wire_buffer list = {0}, payload = {0};

	wire_put_vec(&list, ref, WIRE_HASH_BYTES);
	wire_put_u8(&payload, 1);
	wire_put_vec(&payload, list.data, list.len);
	send_binary(c, 27, payload.data, payload.len);
	wire_clear(&list);
	wire_clear(&payload);
}

static void proposal_revoke(struct dave_room *r, struct proposal *p)
{
	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (client_commits(r, c) && proposal_concerns(p, c))
			refs_revoke(c, p->ref);
	}
	p->revoked = true;
	p->add = NULL;
}

static void stranger_revoke(struct dave_room *r)
{
	struct dave_client *c = client_find(r, r->stranger_to);

	if (r->stranger_out && c)
		refs_revoke(c, r->stranger_ref);
	r->stranger_out = false;
}

/* ---- beginning anew ---------------------------------------------------------------------- */

static void group_forget(struct dave_room *r)
{
	proposals_clear(r);
	leaves_clear(r);
	r->stranger_out = false;
	r->phase = PHASE_IDLE;
	r->deadline_ns = INT64_MAX;
}

/* Op 24 to everybody: new key packages, a new group. */
static void group_reset(struct dave_room *r, const char *why)
{
	group_forget(r);
	event(r, why, 0, DAVE_ROOM_FIELD_NONE);
	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (!c->described)
			continue;
		wire_clear(&c->key_package);
		send_json(c, 24, r->version, DAVE_ROOM_FIELD_NONE, 1);
	}
}

/* One left: the group is over, and transition 0 says that there is nobody to wait for. */
static void sole_member_reset(struct dave_room *r)
{
	group_reset(r, "reset");
	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (c->described)
			send_json(c, 21, r->version, 0, DAVE_ROOM_FIELD_NONE);
	}
	r->last_transition = 0;
}

/* ---- transitions ------------------------------------------------------------------------- */

static uint16_t transition_next(struct dave_room *r)
{
	if (++r->last_transition == 0)
		r->last_transition = 1;
	return r->last_transition;
}

static void transition_execute(struct dave_room *r, int64_t now_ns)
{
	int version = r->transition_version;

	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (c->described && c->max_version && (version == 0 || c->member))
			send_json(c, 22, DAVE_ROOM_FIELD_NONE, r->transition, DAVE_ROOM_FIELD_NONE);
		c->awaited = false;
	}
	event(r, "execute", 0, r->transition);
	r->phase = PHASE_IDLE;
	r->deadline_ns = INT64_MAX;
	room_work(r, now_ns);
}

static void transition_check(struct dave_room *r, int64_t now_ns)
{
	if (r->phase != PHASE_TRANSITION)
		return;
	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (c->awaited)
			return;
	}
	transition_execute(r, now_ns);
}

static void transition_begin(struct dave_room *r, uint16_t id, int version, int64_t now_ns)
{
	r->transition = id;
	r->transition_version = version;
	r->phase = PHASE_TRANSITION;
	r->deadline_ns = now_ns + r->config.transition_ns;
}

/* ---- what is to be done ------------------------------------------------------------------ */

static bool leaf_is_alive(const struct dave_room *r, uint32_t i)
{
	const struct dave_client *c = client_find(r, r->leaves[i].user);

	return c && c->member && !c->failed && !r->leaves[i].dead;
}

static bool client_waits(const struct dave_client *c)
{
	return c->described && !c->member && c->key_package.len;
}

/* Proposes whatever is missing. `from`: what was proposed for this epoch before stays. */
static void room_propose(struct dave_room *r, int64_t now_ns)
{
	size_t from = r->proposal_count;

	if (r->epoch) {
		for (uint32_t i = 0; i < r->leaf_count; i++) {
			bool proposed = false;

			if (!r->leaves[i].user || leaf_is_alive(r, i))
				continue;
			for (size_t j = 0; j < r->proposal_count; j++)
				proposed |= !r->proposals[j].key_package.len &&
					    r->proposals[j].leaf == i;
			if (!proposed && r->proposal_count < PROPOSALS_MAX)
				propose_remove(r, i);
		}
	}
	for (struct dave_client *c = r->clients; c; c = c->next) {
		if (client_waits(c) && r->proposal_count < PROPOSALS_MAX)
			propose_add(r, c);
	}
	if (r->proposal_count == from)
		return;
	stranger_revoke(r);
	event(r, "proposals", 0, DAVE_ROOM_FIELD_NONE);
	r->phase = PHASE_PROPOSED;
	r->deadline_ns = now_ns + r->config.commit_ns;
	if (r->epoch == 0 && from) {
		/* Whoever joins while there is no group yet has seen nothing so far. */
		for (size_t i = from; i < r->proposal_count; i++) {
			struct dave_client *c = r->proposals[i].add;
			struct wire_buffer list = {0}, payload = {0};

			for (size_t j = 0; c && j < from; j++) {
				if (proposal_concerns(&r->proposals[j], c))
					wire_put(&list, r->proposals[j].message.data,
						 r->proposals[j].message.len);
			}
			if (list.len) {
				wire_put_u8(&payload, 0);
				wire_put_vec(&payload, list.data, list.len);
				send_binary(c, 27, payload.data, payload.len);
			}
			wire_clear(&list);
			wire_clear(&payload);
		}
	}
	proposals_send(r, from);
}

static void room_work(struct dave_room *r, int64_t now_ns)
{
	size_t waiting = 0, described = 0, following = followers(r);

	if (r->version == 0)
		return;
	for (const struct dave_client *c = r->clients; c; c = c->next) {
		waiting += client_waits(c);
		described += c->described;
	}
	/* The group has nobody left who could commit, or nobody to talk to. */
	if (r->epoch && (following == 0 || (following == 1 && described == 1))) {
		if (described == 1)
			sole_member_reset(r);
		else
			group_reset(r, "reset");
		return;
	}
	if (r->phase == PHASE_TRANSITION && !r->config.overlap)
		return;
	if (r->epoch == 0 && r->proposal_count == 0 && waiting < 2)
		return;
	room_propose(r, now_ns);
}

/* ---- op 28 ------------------------------------------------------------------------------- */

static struct proposal *proposal_by_ref(struct dave_room *r, const uint8_t *ref)
{
	for (size_t i = 0; i < r->proposal_count; i++) {
		if (memcmp(r->proposals[i].ref, ref, WIRE_HASH_BYTES) == 0)
			return &r->proposals[i];
	}
	return NULL;
}

static bool lapsed(const struct dave_room *r, const uint8_t *ref)
{
	size_t n = r->lapsed_count < LAPSED_MAX ? r->lapsed_count : LAPSED_MAX;

	for (size_t i = 0; i < n; i++) {
		if (memcmp(r->lapsed[i], ref, WIRE_HASH_BYTES) == 0)
			return true;
	}
	return memcmp(r->stranger_ref, ref, WIRE_HASH_BYTES) == 0;
}

/* NULL: take it; "": it came too late, which is nobody's fault; else what is wrong. */
static const char *commit_refuse(struct dave_client *c, const struct wire_commit *m)
{
	struct dave_room *r = c->room;
	size_t adds = 0, removes = 0, wanted = 0;

	if (m->group_id != r->config.channel_id)
		return "commit for another group";
	if (m->epoch != r->epoch || r->phase != PHASE_PROPOSED || !client_commits(r, c))
		return "";
	if (r->config.prefer && r->config.prefer != c->user) {
		const struct dave_client *first = client_find(r, r->config.prefer);

		if (first && client_commits(r, first))
			return "";
	}
	if (r->epoch ? m->sender >= r->leaf_count || r->leaves[m->sender].user != c->user
		     : m->sender != 0)
		return "commit from a leaf that is not the sender's";
	for (size_t i = 0; i < m->ref_count; i++) {
		struct proposal *p = proposal_by_ref(r, m->refs[i]);

		for (size_t j = 0; j < i; j++) {
			if (memcmp(m->refs[i], m->refs[j], WIRE_HASH_BYTES) == 0)
				return "commit refers to a proposal twice";
		}
		/* Crossed with a revocation or an addition: a new one is on its way. */
		if (!p || !proposal_concerns(p, c))
			return p || lapsed(r, m->refs[i])
				       ? ""
				       : "commit refers to a proposal never made";
		adds += p->key_package.len != 0;
		removes += p->key_package.len == 0;
	}
	for (size_t i = 0; i < r->proposal_count; i++)
		wanted += proposal_concerns(&r->proposals[i], c);
	if (m->ref_count != wanted)
		return ""; /* made before the newest proposals were seen */
	if (removes && !m->has_path)
		return "commit with a Remove and without path";
	if (m->entry_count != adds)
		return "Welcome does not have an entry for each newcomer";
	for (size_t i = 0; i < m->ref_count; i++) {
		const struct proposal *p = proposal_by_ref(r, m->refs[i]);
		bool found = p->key_package.len == 0;

		for (size_t j = 0; j < m->entry_count; j++)
			found |= memcmp(m->entries[j].ref, p->kp_ref, WIRE_HASH_BYTES) == 0;
		if (!found)
			return "Welcome without a newcomer's entry";
	}
	return NULL;
}

static void commit_send(struct dave_client *c, uint16_t id, struct wire_bytes commit)
{
	struct wire_buffer payload = {0};

	wire_put_u16(&payload, id);
	wire_put(&payload, commit.data, commit.len);
	if (c->fault == DAVE_FAULT_FORGED_COMMIT) {
		payload.data[payload.len - 50] ^= 1;
		c->fault = DAVE_FAULT_NONE;
	}
	send_binary(c, 29, payload.data, payload.len);
	wire_clear(&payload);
}

static void welcome_send(struct dave_client *c, uint16_t id, const struct wire_commit *m,
			 size_t entry)
{
	struct wire_buffer payload = {0};

	wire_put_u16(&payload, id);
	wire_welcome_cut(m, entry, &payload);
	if (c->fault == DAVE_FAULT_FORGED_WELCOME)
		payload.data[payload.len - 50] ^= 1;
	if (c->fault != DAVE_FAULT_LOST_WELCOME)
		send_binary(c, 30, payload.data, payload.len);
	if (c->fault != DAVE_FAULT_FORGED_COMMIT)
		c->fault = DAVE_FAULT_NONE;
	wire_clear(&payload);
}

static void commit_take(struct dave_client *c, const struct wire_commit *m, int64_t now_ns)
{
	struct dave_room *r = c->room;
	bool first = r->epoch == 0;
	uint16_t id;

	stranger_revoke(r);
	id = first && !r->config.first_transition_nonzero ? 0 : transition_next(r);
	if (first) {
		/* The group of the one who won; it was alone in it. */
		leaves_clear(r);
		leaf_add(r, c->user);
		c->member = true;
	}
	/* Removes before Adds: the leaves that got free are taken first. */
	for (size_t i = 0; i < m->ref_count; i++) {
		struct proposal *p = proposal_by_ref(r, m->refs[i]);

		if (p->key_package.len)
			continue;
		r->leaves[p->leaf] = (struct leaf){0};
		p->user = 0;
	}
	leaves_truncate(r);
	for (struct dave_client *o = r->clients; o; o = o->next)
		o->awaited = false;
	r->epoch++;
	for (struct dave_client *o = r->clients; o; o = o->next) {
		if (!o->member || o->failed)
			continue;
		commit_send(o, id, m->commit);
		o->awaited = id != 0;
	}
	for (size_t i = 0; i < m->ref_count; i++) {
		struct proposal *p = proposal_by_ref(r, m->refs[i]);

		if (!p->key_package.len)
			continue;
		leaf_add(r, p->user);
		if (!p->add) /* left meanwhile: the leaf is removed next */
			continue;
		p->add->member = true;
		p->add->failed = false;
		p->add->awaited = id != 0;
		for (size_t j = 0; j < m->entry_count; j++) {
			if (memcmp(m->entries[j].ref, p->kp_ref, WIRE_HASH_BYTES) == 0)
				welcome_send(p->add, id, m, j);
		}
	}
	proposals_clear(r);
	event(r, "commit", c->user, id);
	r->phase = PHASE_IDLE;
	r->deadline_ns = INT64_MAX;
	if (id) {
		transition_begin(r, id, 1, now_ns);
		if (r->config.overlap)
			room_work(r, now_ns);
	} else {
		room_work(r, now_ns);
	}
}

static void op_commit(struct dave_client *c, struct wire_bytes payload, int64_t now_ns)
{
	static struct wire_commit m;
	const char *wrong = wire_commit_parse(payload, &m);

	if (!wrong)
		wrong = commit_refuse(c, &m);
	if (!wrong)
		commit_take(c, &m, now_ns);
	else if (wrong[0])
		complain(c, wrong);
}

/* ---- from clients ------------------------------------------------------------------------ */

void dave_room_binary(struct dave_client *c, int op, const uint8_t *payload, size_t len,
		      int64_t now_ns)
{
	struct dave_room *r = c->room;
	struct wire_bytes p = {payload, len};

	if (r->version == 0) {
		/* crossed with a downgrade, or a client that was told 0 */
		if (c->max_version == 0)
			complain(c, "DAVE message from a client without DAVE");
	} else if (op == 26) {
		const char *wrong = wire_key_package_check(p, c->user);

		if (wrong) {
			complain(c, wrong);
			return;
		}
		/* A newer one makes the older useless, and an Add with it. */
		for (size_t i = 0; i < r->proposal_count; i++) {
			if (r->proposals[i].add == c)
				proposal_revoke(r, &r->proposals[i]);
		}
		wire_clear(&c->key_package);
		wire_put(&c->key_package, payload, len);
		room_work(r, now_ns);
	} else if (op == 28) {
		op_commit(c, p, now_ns);
	} else {
		complain(c, "binary message with an opcode that is not a client's");
	}
}

/* The client cannot follow: out with its leaf, and in again with the key package that comes. */
static void op_invalid(struct dave_client *c, int64_t now_ns)
{
	struct dave_room *r = c->room;

	event(r, "recover", c->user, DAVE_ROOM_FIELD_NONE);
	if (!c->member)
		return;
	c->member = false;
	c->failed = true;
	wire_clear(&c->key_package);
	for (uint32_t i = 0; i < r->leaf_count; i++) {
		if (r->leaves[i].user == c->user)
			r->leaves[i].dead = true;
	}
	c->awaited = false;
	/* What is proposed goes out with the op 26 that follows, in one commit with the Remove. */
	transition_check(r, now_ns);
}

void dave_room_json(struct dave_client *c, int op, int64_t transition_id, int64_t now_ns)
{
	struct dave_room *r = c->room;

	if (op == 23) {
		if (transition_id == 0)
			complain(c, "op 23 for transition 0");
		/* an older one may cross with the next */
		if (r->phase == PHASE_TRANSITION && transition_id == r->transition) {
			c->awaited = false;
			transition_check(r, now_ns);
		}
	} else if (op == 31) {
		op_invalid(c, now_ns);
	} else {
		complain(c, "JSON op that is not a client's");
	}
}

/* ---- coming and going -------------------------------------------------------------------- */

static int version_for(const struct dave_room *r, int newcomer)
{
	int version = newcomer;

	for (const struct dave_client *c = r->clients; c; c = c->next) {
		if (c->max_version < version)
			version = c->max_version;
	}
	return version > 1 ? 1 : version;
}

int dave_room_set_version(struct dave_room *r, int version, int64_t now_ns)
{
	if (version == r->version || version > version_for(r, 1))
		return -EINVAL;
	r->version = version;
	if (version == 0) {
		uint16_t id = transition_next(r);

		group_forget(r);
		event(r, "downgrade", 0, id);
		for (struct dave_client *c = r->clients; c; c = c->next) {
			wire_clear(&c->key_package);
			if (!c->described || c->max_version == 0)
				continue;
			send_json(c, 21, 0, id, DAVE_ROOM_FIELD_NONE);
			c->awaited = true;
		}
		transition_begin(r, id, 0, now_ns);
		transition_check(r, now_ns);
		return 0;
	}
	for (struct dave_client *c = r->clients; c; c = c->next) {
		c->awaited = false;
	}
	group_reset(r, "upgrade");
	for (struct dave_client *c = r->clients; c; c = c->next)
		introduce(c);
	return 0;
}

struct dave_client *dave_room_join(struct dave_room *r, uint64_t user, int max_version,
				   void *context, int64_t now_ns)
{
	struct dave_client *c = calloc(1, sizeof(*c)), **end = &r->clients;

	if (!c)
		abort();
	c->room = r;
	c->user = user;
	c->context = context;
	c->max_version = max_version < 0 ? 0 : max_version > 1 ? 1 : max_version;
	if (user == r->coming_user) {
		c->fault = r->coming_fault;
		r->coming_user = 0;
	}
	if (!r->clients)
		r->version = c->max_version;
	else if (c->max_version == 0 && r->version)
		dave_room_set_version(r, 0, now_ns);
	while (*end)
		end = &(*end)->next;
	*end = c;
	return c;
}

void dave_room_joined(struct dave_client *c, int64_t now_ns)
{
	struct dave_room *r = c->room;

	(void)now_ns;
	c->described = true;
	if (r->version)
		introduce(c);
}

void dave_room_leave(struct dave_client *c, int64_t now_ns)
{
	struct dave_room *r = c->room;
	bool revoked = false;

	for (struct dave_client **p = &r->clients; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	for (size_t i = 0; i < r->proposal_count; i++) {
		struct proposal *p = &r->proposals[i];

		if (p->add != c)
			continue;
		revoked |= !p->revoked;
		proposal_revoke(r, p);
	}
	for (uint32_t i = 0; i < r->leaf_count; i++) {
		if (r->leaves[i].user == c->user)
			r->leaves[i].dead = true;
	}
	if (c->fault)
		dave_room_fault(r, c->user, c->fault); /* for when it is back */
	wire_clear(&c->key_package);
	free(c);
	if (!r->clients) {
		group_forget(r);
		r->version = 1;
		r->last_transition = 0;
		return;
	}
	if (revoked) {
		size_t left = 0;

		for (size_t i = 0; i < r->proposal_count; i++)
			left += !r->proposals[i].revoked;
		if (r->epoch == 0 && left < 2) {
			/* One waits alone again; its own proposal was never sent to it. */
			for (size_t i = 0; i < r->proposal_count; i++) {
				struct dave_client *o = r->proposals[i].add;

				if (o && !o->key_package.len) {
					o->key_package = r->proposals[i].key_package;
					memset(&r->proposals[i].key_package, 0,
					       sizeof(r->proposals[i].key_package));
				}
			}
			left = 0;
		}
		if (left == 0) {
			proposals_clear(r);
			r->phase = PHASE_IDLE;
			r->deadline_ns = INT64_MAX;
		}
	}
	if (r->version == 0 && version_for(r, 1) == 1) {
		r->phase = PHASE_IDLE;
		r->deadline_ns = INT64_MAX;
		dave_room_set_version(r, 1, now_ns);
		return;
	}
	transition_check(r, now_ns);
	room_work(r, now_ns);
}

/* ---- life and time ----------------------------------------------------------------------- */

static void sender_new(struct dave_room *r)
{
	static const uint8_t identity[1] = {0}; /* as the real gateway's */

	wire_key_clear(&r->sender);
	wire_clear(&r->op25);
	wire_key_create(&r->sender);
	wire_external_sender(&r->sender, identity, sizeof(identity), &r->op25);
}

struct dave_room *dave_room_create(const struct dave_room_config *config)
{
	struct dave_room *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->config = *config;
	r->version = 1;
	r->deadline_ns = INT64_MAX;
	sender_new(r);
	return r;
}

void dave_room_destroy(struct dave_room *r)
{
	if (!r)
		return;
	while (r->clients) {
		struct dave_client *c = r->clients;

		r->clients = c->next;
		wire_clear(&c->key_package);
		free(c);
	}
	proposals_clear(r);
	wire_key_clear(&r->sender);
	wire_clear(&r->op25);
	free(r);
}

struct dave_room_config *dave_room_config(struct dave_room *r)
{
	return &r->config;
}

int64_t dave_room_due(const struct dave_room *r)
{
	return r->deadline_ns;
}

void dave_room_tick(struct dave_room *r, int64_t now_ns)
{
	if (now_ns < r->deadline_ns)
		return;
	r->deadline_ns = INT64_MAX;
	if (r->phase == PHASE_TRANSITION) {
		transition_execute(r, now_ns);
	} else if (r->phase == PHASE_PROPOSED) {
		/* nobody could commit */
		group_reset(r, "reset");
	}
}

/* ---- tests ------------------------------------------------------------------------------- */

int dave_room_fault(struct dave_room *r, uint64_t user, enum dave_fault fault)
{
	struct dave_client *c = client_find(r, user);

	if (c) {
		c->fault = fault;
	} else {
		r->coming_user = user;
		r->coming_fault = fault;
	}
	return 0;
}

int dave_room_propose_stranger(struct dave_room *r, uint64_t user, uint64_t stranger)
{
	struct dave_client *c = client_find(r, user);
	struct wire_buffer kp = {0}, message = {0}, payload = {0};
	struct wire_bytes bytes;

	if (!c || (r->epoch && !c->member))
		return -ENOENT;
	wire_key_package_make(stranger, &kp);
	bytes = (struct wire_bytes){kp.data, kp.len};
	wire_proposal(&r->sender, r->config.channel_id, r->epoch, &bytes, 0, &message,
		      r->stranger_ref);
	wire_put_u8(&payload, 0);
	wire_put_vec(&payload, message.data, message.len);
	r->stranger_out = true;
	r->stranger_to = user;
	send_binary(c, 27, payload.data, payload.len);
	wire_clear(&kp);
	wire_clear(&message);
	wire_clear(&payload);
	return 0;
}

void dave_room_rekey(struct dave_room *r, int64_t now_ns)
{
	(void)now_ns;
	sender_new(r);
	for (struct dave_client *c = r->clients; c; c = c->next)
		c->awaited = c->introduced = false;
	if (r->version == 0)
		return;
	group_reset(r, "reset");
	for (struct dave_client *c = r->clients; c; c = c->next)
		introduce(c);
}

uint64_t dave_room_epoch(const struct dave_room *r)
{
	return r->epoch;
}

int dave_room_version(const struct dave_room *r)
{
	return r->version;
}

size_t dave_room_members(const struct dave_room *r)
{
	size_t n = 0;

	for (uint32_t i = 0; i < r->leaf_count; i++)
		n += r->leaves[i].user != 0;
	return n;
}

bool dave_room_settled(const struct dave_room *r)
{
	size_t waiting = 0;

	if (r->phase != PHASE_IDLE)
		return false;
	for (uint32_t i = 0; i < r->leaf_count; i++) {
		if (r->leaves[i].user && !leaf_is_alive(r, i))
			return false;
	}
	for (const struct dave_client *c = r->clients; c; c = c->next)
		waiting += client_waits(c);
	return r->version == 0 || waiting < (r->epoch ? 1 : 2);
}

uint64_t dave_client_user(const struct dave_client *c)
{
	return c->user;
}

bool dave_client_is_member(const struct dave_client *c)
{
	return c->member;
}
