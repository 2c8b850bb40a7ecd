/* SPDX-License-Identifier: MIT
 *
 * discord_dave.c - the delivery service between the voice gateway's clients and the members that
 * the simulator plays itself, whose keys a program of their own keeps (dave_member.h).
 */
#include "tests/sim/discord_dave.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/dave_member.h"
#include "tests/sim/dave_service.h"

#define MEMBERS_MAX   1024
#define TICK_NS       (200 * SIM_MS)
#define TRANSITION_NS (2500 * SIM_MS)
#define COMMIT_NS     (3 * SIM_S)

/* One end of the service: a bot's connection, or a member of ours. */
struct end {
	struct end *next;
	struct room *room;
	struct dave_client *client;
	uint64_t user;
	struct voice_session *voice; /* NULL: ours */
	struct party *party;
	uint32_t number; /* in the member program */
	char code[DAVE_MEMBER_CODE];
	uint64_t misunderstood; /* encrypted, and we could not read it */
	uint64_t plain_refused; /* sent in the clear where it must not: real clients do so at
				   joining */
};

/* What a member of ours has to say to the service, not yet said: the service may be in the middle
 * of sending when it comes up. */
struct saying {
	struct saying *next;
	uint64_t user;
	int op;
	int64_t transition;
	bool binary;
	size_t len;
	uint8_t data[];
};

struct room {
	uint64_t channel_id;
	struct dave_room *service;
	struct end *ends;
	struct saying *sayings, **sayings_end;
	struct sim_timer due, said, tick;
};

static struct {
	const char *program;
	int fd;
	pid_t pid;
	bool used[MEMBERS_MAX];
	bool told;
} engine = {.fd = -1};

static void room_arm(struct room *r);

/* ---- the member program ------------------------------------------------------------------ */

static bool engine_start(void)
{
	int fds[2], size = 1 << 20;

	if (engine.fd >= 0)
		return true;
	if (!engine.program || access(engine.program, X_OK) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		if (!engine.told)
			sim_event("dave.members_plain",
				  sim_obj("s", "why", "no program keeps their keys"));
		engine.told = true;
		return false;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	engine.pid = fork();
	if (engine.pid == 0) {
		dup2(fds[1], 0);
		execl(engine.program, engine.program, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	engine.fd = fds[0];
	return engine.pid > 0;
}

static void room_say(struct end *e, const uint8_t *data, size_t len, bool binary)
{
	struct saying *s = calloc(1, sizeof(*s) + len);
	int64_t fields[2];

	if (!s)
		abort();
	s->user = e->user;
	s->binary = binary;
	if (binary) {
		s->op = data[0];
		s->len = len - 1;
		memcpy(s->data, data + 1, len - 1);
	} else {
		memcpy(fields, data, sizeof(fields));
		s->op = (int)fields[0];
		s->transition = fields[1];
	}
	if (!e->room->sayings)
		e->room->sayings_end = &e->room->sayings;
	*e->room->sayings_end = s;
	e->room->sayings_end = &s->next;
	room_arm(e->room);
}

static void end_code(struct end *e, const struct dave_member_end *x)
{
	if (!strcmp(e->code, x->code))
		return;
	memcpy(e->code, x->code, sizeof(e->code));
	sim_event("dave.code",
		  sim_obj("oois", "user", id_json(e->user), "channel", id_json(e->room->channel_id),
			  "epoch", (int64_t)x->epoch, "code", e->code));
}

/* Asks and waits; what the member wants to send is put aside. Returns the status; the answer, if
 * any, goes to out. */
static int engine_ask(struct end *e, int kind, const void *a, size_t a_len, const void *b,
		      size_t b_len, uint8_t *out, size_t *out_len)
{
	static uint8_t packet[DAVE_MEMBER_PACKET_MAX];
	struct dave_member_head head = {.kind = (uint8_t)kind,
					.member = e->number,
					.now_ns = sim_now_ns()};
	size_t len = sizeof(head) + a_len + b_len;

	if (len > sizeof(packet))
		return -EMSGSIZE;
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), a, a_len);
	if (b_len)
		memcpy(packet + sizeof(head) + a_len, b, b_len);
	if (engine.fd < 0 || send(engine.fd, packet, len, MSG_NOSIGNAL) < 0)
		return -EPIPE;
	for (;;) {
		ssize_t n = recv(engine.fd, packet, sizeof(packet), 0);
		struct dave_member_end x;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain("the program that keeps the members' keys has ended");
			close(engine.fd);
			engine.fd = -1;
			return -EPIPE;
		}
		if (packet[0] == DAVE_NOTE_JSON || packet[0] == DAVE_NOTE_BINARY) {
			room_say(e, packet + 1, (size_t)n - 1, packet[0] == DAVE_NOTE_BINARY);
		} else if (packet[0] == DAVE_NOTE_LOG) {
			char line[300];

			snprintf(line, sizeof(line), "%.*s", (int)n - 1, (const char *)packet + 1);
			sim_event("dave.log",
				  sim_obj("os", "user", id_json(e->user), "line", line));
		} else if (packet[0] == DAVE_NOTE_END && (size_t)n >= 1 + sizeof(x)) {
			memcpy(&x, packet + 1, sizeof(x));
			if (kind != DAVE_MEMBER_GONE)
				end_code(e, &x);
			if (out && x.status == 0) {
				*out_len = (size_t)n - 1 - sizeof(x);
				memcpy(out, packet + 1 + sizeof(x), *out_len);
			}
			return x.status;
		}
	}
}

static void engine_tell_user(struct end *e, int kind, uint64_t user)
{
	engine_ask(e, kind, &user, sizeof(user), NULL, 0, NULL, NULL);
}

/* ---- service to clients ------------------------------------------------------------------ */

static void to_json(void *client, int op, int64_t version, int64_t transition, int64_t epoch)
{
	struct end *e = client;
	cJSON *d;

	if (!e->voice) {
		int64_t fields[4] = {op, version, transition, epoch};

		engine_ask(e, DAVE_MEMBER_JSON, fields, sizeof(fields), NULL, 0, NULL, NULL);
		return;
	}
	d = cJSON_CreateObject();
	if (version >= 0)
		cJSON_AddNumberToObject(d, "protocol_version", (double)version);
	if (transition >= 0)
		cJSON_AddNumberToObject(d, "transition_id", (double)transition);
	if (epoch >= 0)
		cJSON_AddNumberToObject(d, "epoch", (double)epoch);
	sim_dave_send_json(e->voice, op, d);
}

static void to_binary(void *client, int op, const uint8_t *payload, size_t len)
{
	struct end *e = client;
	uint8_t code = (uint8_t)op;

	if (e->voice)
		sim_dave_send_binary(e->voice, op, payload, len);
	else
		engine_ask(e, DAVE_MEMBER_BINARY, &code, 1, payload, len, NULL, NULL);
}

static void room_complain(void *context, uint64_t user, const char *what)
{
	(void)context;
	complain("DAVE, user %llu: %s", (unsigned long long)user, what);
}

static void room_event(void *context, const char *what, uint64_t user, uint64_t epoch,
		       int64_t transition)
{
	struct room *r = context;
	char name[32];

	snprintf(name, sizeof(name), "dave.%s", what);
	sim_event(name, sim_obj("ooii", "channel", id_json(r->channel_id), "user", id_json(user),
				"epoch", (int64_t)epoch, "transition", transition));
}

static const struct dave_room_ops room_ops = {to_json, to_binary, room_complain, room_event};

/* ---- time -------------------------------------------------------------------------------- */

static void room_due(void *ctx, int64_t now_ns)
{
	struct room *r = ctx;

	dave_room_tick(r->service, now_ns);
	room_arm(r);
}

static void room_said(void *ctx, int64_t now_ns)
{
	struct room *r = ctx;
	struct saying *s;

	while ((s = r->sayings)) {
		r->sayings = s->next;
		for (struct end *e = r->ends; e; e = e->next) {
			if (e->user != s->user || e->voice)
				continue;
			if (s->binary)
				dave_room_binary(e->client, s->op, s->data, s->len, now_ns);
			else
				dave_room_json(e->client, s->op, s->transition, now_ns);
			break;
		}
		free(s);
	}
	room_arm(r);
}

static void room_tick(void *ctx, int64_t now_ns)
{
	struct room *r = ctx;
	bool ours = false;

	for (struct end *e = r->ends; e; e = e->next) {
		if (e->voice)
			continue;
		ours = true;
		engine_ask(e, DAVE_MEMBER_TICK, "", 0, NULL, 0, NULL, NULL);
	}
	if (ours)
		sim_timer_set(D.loop, &r->tick, now_ns + TICK_NS, room_tick, r);
}

static void room_arm(struct room *r)
{
	int64_t due = dave_room_due(r->service);

	if (due == INT64_MAX)
		sim_timer_cancel(D.loop, &r->due);
	else
		sim_timer_set(D.loop, &r->due, due, room_due, r);
	if (r->sayings)
		sim_timer_set(D.loop, &r->said, sim_now_ns(), room_said, r);
}

/* ---- rooms ------------------------------------------------------------------------------- */

static void *service_open(struct sim_loop *loop, uint64_t channel_id)
{
	struct room *r = calloc(1, sizeof(*r));
	struct dave_room_config config = {
		.channel_id = channel_id,
		.ops = &room_ops,
		.context = r,
		.transition_ns = TRANSITION_NS,
		.commit_ns = COMMIT_NS,
	};

	(void)loop;
	if (!r)
		abort();
	r->channel_id = channel_id;
	r->service = dave_room_create(&config);
	return r;
}

static void service_close(void *room)
{
	struct room *r = room;

	sim_timer_cancel(D.loop, &r->due);
	sim_timer_cancel(D.loop, &r->said);
	sim_timer_cancel(D.loop, &r->tick);
	while (r->sayings) {
		struct saying *s = r->sayings;

		r->sayings = s->next;
		free(s);
	}
	while (r->ends) {
		struct end *e = r->ends;

		r->ends = e->next;
		free(e);
	}
	dave_room_destroy(r->service);
	free(r);
}

static struct end *end_add(struct room *r, uint64_t user)
{
	struct end *e = calloc(1, sizeof(*e)), **tail = &r->ends;

	if (!e)
		abort();
	e->room = r;
	e->user = user;
	while (*tail)
		tail = &(*tail)->next;
	*tail = e;
	return e;
}

static void end_remove(struct end *e)
{
	struct end **p = &e->room->ends;

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	free(e);
}

static struct end *end_of_voice(struct room *r, const struct voice_session *v)
{
	struct end *e = r->ends;

	while (e && e->voice != v)
		e = e->next;
	return e;
}

static struct end *end_of_party(const struct party *p)
{
	struct room *r = p->channel->dave_room;
	struct end *e = r ? r->ends : NULL;

	while (e && e->party != p)
		e = e->next;
	return e;
}

static void members_tell(struct room *r, const struct end *except, int kind, uint64_t user)
{
	for (struct end *e = r->ends; e; e = e->next) {
		if (e != except && !e->voice)
			engine_tell_user(e, kind, user);
	}
}

static int service_join(void *room, struct voice_session *v, int max_version)
{
	struct room *r = room;
	struct end *e = end_add(r, v->user->id);
	int version;

	e->voice = v;
	members_tell(r, e, DAVE_MEMBER_CONNECT, e->user);
	e->client = dave_room_join(r->service, e->user, max_version, e, sim_now_ns());
	version = dave_room_version(r->service);
	room_arm(r);
	return version;
}

static void service_joined(void *room, struct voice_session *v)
{
	struct end *e = end_of_voice(room, v);

	if (e)
		dave_room_joined(e->client, sim_now_ns());
	room_arm(room);
}

static void service_leave(void *room, struct voice_session *v)
{
	struct room *r = room;
	struct end *e = end_of_voice(r, v);
	struct dave_client *c;

	if (!e)
		return;
	c = e->client;
	members_tell(r, e, DAVE_MEMBER_DISCONNECT, e->user);
	end_remove(e);
	dave_room_leave(c, sim_now_ns());
	room_arm(r);
}

static void service_binary(void *room, struct voice_session *v, int op, const uint8_t *payload,
			   size_t len)
{
	struct end *e = end_of_voice(room, v);

	if (e)
		dave_room_binary(e->client, op, payload, len, sim_now_ns());
	else
		complain("DAVE binary op %d before the session description", op);
	room_arm(room);
}

static void service_json(void *room, struct voice_session *v, int op, const cJSON *d)
{
	struct end *e = end_of_voice(room, v);
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(d, "transition_id");

	if (!e || !cJSON_IsNumber(id))
		complain("DAVE op %d before the session description, or without transition_id", op);
	else
		dave_room_json(e->client, op, (int64_t)id->valuedouble, sim_now_ns());
	room_arm(room);
}

static const char *service_command(void *room, const cJSON *o, cJSON *answer)
{
	static const char *const faults[] = {"none", "forge_commit", "forge_welcome", "lose_welcome",
					     "forge_sender"};
	const int count = (int)(sizeof(faults) / sizeof(faults[0]));
	struct room *r = room;
	const char *what = sim_str(o, "do", "");
	uint64_t user = id_of(o, "user");
	int64_t now = sim_now_ns();
	int rc = 0;

	if (!strcmp(what, "downgrade") || !strcmp(what, "upgrade")) {
		rc = dave_room_set_version(r->service, what[0] == 'u', now);
	} else if (!strcmp(what, "rekey")) {
		dave_room_rekey(r->service, now);
	} else if (!strcmp(what, "fault")) {
		int fault = 0;

		while (fault < count && strcmp(faults[fault], sim_str(o, "fault", "")))
			fault++;
		if (fault == count)
			return "fault is none, forge_commit, forge_welcome, lose_welcome or forge_sender";
		rc = dave_room_fault(r->service, user, (enum dave_fault)fault);
	} else if (!strcmp(what, "stranger")) {
		rc = dave_room_propose_stranger(r->service, user, id_of(o, "stranger"));
	} else if (!strcmp(what, "verify")) {
		uint8_t code[4096];
		uint64_t other = id_of(o, "other");
		size_t len = 0;

		rc = -ENOENT;
		for (struct end *e = r->ends; e; e = e->next) {
			if (e->user == user && !e->voice)
				rc = engine_ask(e, DAVE_MEMBER_VERIFY, &other, sizeof(other), NULL,
						0, code, &len);
		}
		code[rc ? 0 : len] = '\0';
		cJSON_AddStringToObject(answer, "code", (const char *)code);
	} else if (!strcmp(what, "config")) {
		struct dave_room_config *c = dave_room_config(r->service);

		c->overlap = sim_flag(o, "overlap", c->overlap);
		c->first_transition_nonzero =
			sim_flag(o, "first_transition_nonzero", c->first_transition_nonzero);
		if (cJSON_HasObjectItem(o, "prefer"))
			c->prefer = id_of(o, "prefer");
	} else if (strcmp(what, "state")) {
		return "do is state, verify, config, downgrade, upgrade, rekey, fault or stranger";
	}
	room_arm(r);
	cJSON_AddNumberToObject(answer, "version", dave_room_version(r->service));
	cJSON_AddNumberToObject(answer, "epoch", (double)dave_room_epoch(r->service));
	cJSON_AddNumberToObject(answer, "group_members", (double)dave_room_members(r->service));
	cJSON_AddBoolToObject(answer, "settled", dave_room_settled(r->service));
	{
		cJSON *codes = cJSON_AddObjectToObject(answer, "codes");
		cJSON *misunderstood = cJSON_AddObjectToObject(answer, "misunderstood");

		for (const struct end *e = r->ends; e; e = e->next) {
			char id[24];

			if (e->voice)
				continue;
			id_text(e->user, id);
			cJSON_AddStringToObject(codes, id, e->code);
			cJSON_AddNumberToObject(misunderstood, id, (double)e->misunderstood);
		}
	}
	return rc ? "that cannot be done now" : NULL;
}

static const struct sim_dave_service service = {
	service_open,  service_close,  service_join, service_joined,
	service_leave, service_binary, service_json, service_command,
};

/* ---- members of ours --------------------------------------------------------------------- */

void discord_dave_member_join(struct party *p)
{
	struct channel *c = p->channel;
	struct room *r;
	struct end *e;
	uint64_t ids[2] = {p->user->id, c->id};
	int64_t version;
	uint32_t number = 0;

	if (!c->dave || !engine_start())
		return;
	while (number < MEMBERS_MAX && engine.used[number])
		number++;
	if (number == MEMBERS_MAX)
		return;
	if (!c->dave_room)
		c->dave_room = service_open(D.loop, c->id);
	r = c->dave_room;
	engine.used[number] = true;
	e = end_add(r, p->user->id);
	e->party = p;
	e->number = number;
	engine_ask(e, DAVE_MEMBER_NEW, ids, sizeof(ids), NULL, 0, NULL, NULL);
	for (struct end *o = r->ends; o; o = o->next) {
		if (o != e)
			engine_tell_user(e, DAVE_MEMBER_CONNECT, o->user);
	}
	members_tell(r, e, DAVE_MEMBER_CONNECT, e->user);
	e->client = dave_room_join(r->service, e->user, 1, e, sim_now_ns());
	version = dave_room_version(r->service);
	engine_ask(e, DAVE_MEMBER_SELECT, &version, sizeof(version), NULL, 0, NULL, NULL);
	dave_room_joined(e->client, sim_now_ns());
	sim_timer_set(D.loop, &r->tick, sim_now_ns() + TICK_NS, room_tick, r);
	room_arm(r);
}

void discord_dave_member_leave(struct party *p)
{
	struct end *e = end_of_party(p);
	struct room *r;
	struct dave_client *c;

	if (!e)
		return;
	r = e->room;
	c = e->client;
	members_tell(r, e, DAVE_MEMBER_DISCONNECT, e->user);
	engine_ask(e, DAVE_MEMBER_GONE, "", 0, NULL, 0, NULL, NULL);
	engine.used[e->number] = false;
	end_remove(e);
	dave_room_leave(c, sim_now_ns());
	room_arm(r);
}

bool discord_dave_seal(struct party *p, struct rtp_packet *k, uint8_t *buf)
{
	struct end *e = end_of_party(p);
	size_t len;

	if (!e)
		return true;
	if (engine_ask(e, DAVE_MEMBER_SEAL, k->payload, k->len, NULL, 0, buf, &len))
		return false;
	k->payload = buf;
	k->len = len;
	return true;
}

bool discord_dave_open(struct party *p, const struct party *from, struct rtp_packet *k,
		       uint8_t *buf)
{
	struct end *e = end_of_party(p);
	size_t len;
	int rc;

	if (!e)
		return true;
	rc = engine_ask(e, DAVE_MEMBER_OPEN, &from->user->id, sizeof(from->user->id), k->payload,
			k->len, buf, &len);
	if (rc) {
		if (rc == -EACCES)
			e->plain_refused++;
		else
			e->misunderstood++;
		return false;
	}
	k->payload = buf;
	k->len = len;
	return true;
}

/* ---- life -------------------------------------------------------------------------------- */

void discord_dave_start(const char *member_program)
{
	engine.program = member_program;
	sim_dave_set_service(&service);
}

void discord_dave_stop(void)
{
	for (struct channel *c = D.channels; c; c = c->next) {
		if (c->dave_room)
			service_close(c->dave_room);
		c->dave_room = NULL;
	}
	if (engine.fd >= 0)
		close(engine.fd);
	engine.fd = -1;
	if (engine.pid > 0)
		waitpid(engine.pid, NULL, 0);
}
