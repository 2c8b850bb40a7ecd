/* SPDX-License-Identifier: MIT
 *
 * dave_world.h - a room of DAVE sessions around an independent gateway (tests/sim/dave_service.h).
 *
 * Messages lie in one queue for each peer and direction; world_step() delivers one of them, chosen
 * at random, so that everything that can cross does. Time stands still until nothing is under way.
 * After each step somebody speaks, and everybody who must understand is checked to understand: a
 * receiver that was in the epoch of the sender's key, as long as it may keep that key.
 */
#ifndef TESTS_UNIT_DAVE_WORLD_H
#define TESTS_UNIT_DAVE_WORLD_H

#include <errno.h>

#include "discord/dave/session_internal.h"
#include "tests/sim/dave_service.h"
#include "tests/unit/unit.h"

#define SECOND           ((int64_t)1000000000)
#define PEERS_MAX        24
#define CHANNEL          UINT64_C(927310423890473011)
#define OP_USERS_CONNECT 11

struct world_message {
	struct world_message *next;
	int op;
	bool binary;
	int64_t version, transition, epoch;
	uint64_t user; /* op 11, 13 */
	size_t len;
	uint8_t data[];
};

struct world_queue {
	struct world_message *first, **end;
	size_t count;
};

struct world_peer {
	struct world *world;
	uint64_t user;
	bool present;
	struct dave_identity *identity;
	struct dave_media *media;
	struct dave_session *session;
	struct dave_client *client; /* at the gateway; NULL: gone there */
	struct world_queue in, out;
	/* epochs by their privacy codes: which this peer has receiving keys of, and until when */
	struct {
		char code[DAVE_PRIVACY_CODE_DIGITS + 1];
		int64_t until_ns;
	} known[64];
	size_t known_count;
	char send_code[DAVE_PRIVACY_CODE_DIGITS + 1];
	/* what was sent, by op */
	int sent[32];
	int errors, logs;
	char last_log[256];
	bool hold_op11; /* op 11 to this peer is put behind the next op 27 */
	struct world_message *held;
};

struct world {
	int64_t now_ns;
	uint64_t seed;
	struct dave_room *room;
	struct world_peer peers[PEERS_MAX];
	int complaints, executed, resets, recovers;
	char complaint[128];
	uint64_t frames, lost;
	bool corrupt_nothing;
};

static uint64_t world_random(struct world *w)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return w->seed >> 33;
}

static void world_put(struct world_queue *q, struct world_message *m)
{
	m->next = NULL;
	if (!q->first)
		q->end = &q->first;
	*q->end = m;
	q->end = &m->next;
	q->count++;
}

static struct world_message *world_take(struct world_queue *q)
{
	struct world_message *m = q->first;

	if (m) {
		q->first = m->next;
		q->count--;
	}
	return m;
}

static void world_empty(struct world_queue *q)
{
	struct world_message *m;

	while ((m = world_take(q)))
		free(m);
}

static struct world_message *world_message(int op, const void *data, size_t len)
{
	struct world_message *m;

	/* where a test lets an allocation fail, it means one of the session's */
	do {
		m = calloc(1, sizeof(*m) + len + 1);
	} while (!m);

	m->op = op;
	m->len = len;
	if (len)
		memcpy(m->data, data, len);
	m->version = m->transition = m->epoch = DAVE_ROOM_FIELD_NONE;
	return m;
}

/* ---- the gateway's words ----------------------------------------------------------------- */

static void world_room_json(void *client, int op, int64_t version, int64_t transition,
			    int64_t epoch)
{
	struct world_peer *p = client;
	struct world_message *m = world_message(op, NULL, 0);

	m->version = version;
	m->transition = transition;
	m->epoch = epoch;
	world_put(&p->in, m);
}

static void world_room_binary(void *client, int op, const uint8_t *payload, size_t len)
{
	struct world_peer *p = client;
	struct world_message *m = world_message(op, payload, len);

	m->binary = true;
	world_put(&p->in, m);
	if (op == 27 && p->held) {
		world_put(&p->in, p->held);
		p->held = NULL;
	}
}

static void world_room_complain(void *room, uint64_t user, const char *what)
{
	struct world *w = room;

	w->complaints++;
	snprintf(w->complaint, sizeof(w->complaint), "user %llu: %s", (unsigned long long)user,
		 what);
}

static void world_room_event(void *room, const char *what, uint64_t user, uint64_t epoch,
			     int64_t transition)
{
	struct world *w = room;

	(void)user;
	(void)epoch;
	(void)transition;
	w->executed += !strcmp(what, "execute");
	w->resets += !strcmp(what, "reset");
	w->recovers += !strcmp(what, "recover");
}

static const struct dave_room_ops world_room_ops = {
	world_room_json,
	world_room_binary,
	world_room_complain,
	world_room_event,
};

/* ---- the sessions' words ----------------------------------------------------------------- */

static void world_send_json(void *context, enum dave_op op, uint16_t transition)
{
	struct world_peer *p = context;
	struct world_message *m = world_message((int)op, NULL, 0);

	m->transition = transition;
	world_put(&p->out, m);
	p->sent[op]++;
}

static void world_send_binary(void *context, const uint8_t *data, size_t bytes)
{
	struct world_peer *p = context;
	struct world_message *m = world_message(data[0], data + 1, bytes - 1);

	m->binary = true;
	world_put(&p->out, m);
	p->sent[data[0]]++;
}

static void world_log(void *context, enum dave_log_level level, const char *line)
{
	struct world_peer *p = context;

	p->logs++;
	snprintf(p->last_log, sizeof(p->last_log), "%s", line);
	if (getenv("DAVE_WORLD_LOG"))
		fprintf(stderr, "%llu %d %s\n", (unsigned long long)p->user, level, line);
}

static void world_changed(void *context)
{
	(void)context;
}

static const struct dave_session_ops world_session_ops = {
	world_send_json,
	world_send_binary,
	world_log,
	world_changed,
};

/* ---- peers ------------------------------------------------------------------------------- */

__attribute__((unused)) static void world_create(struct world *w, uint64_t seed)
{
	struct dave_room_config config = {
		.channel_id = CHANNEL,
		.ops = &world_room_ops,
		.context = w,
		.transition_ns = 2500 * (SECOND / 1000),
		.commit_ns = 3 * SECOND,
	};

	memset(w, 0, sizeof(*w));
	w->seed = seed * 7919 + 1;
	w->now_ns = 1000 * SECOND;
	w->room = dave_room_create(&config);
}

/* A session that is in no room yet. key, if given, becomes its identity's. */
static void world_peer_make(struct world *w, struct world_peer *p, uint64_t user,
			    struct mls_signature_key *key)
{
	struct dave_session_config config = {
		.user_id = user,
		.channel_id = CHANNEL,
		.ops = &world_session_ops,
		.context = p,
	};

	memset(p, 0, sizeof(*p));
	p->world = w;
	p->user = user;
	CHECK_INT(dave_identity_create(&p->identity), 0);
	if (key) {
		mls_signature_key_destroy(p->identity->key);
		p->identity->key = key;
	}
	CHECK_INT(dave_media_create(&p->media), 0);
	config.identity = p->identity;
	config.media = p->media;
	CHECK_INT(dave_session_create(&p->session, &config), 0);
}

static void world_peer_free(struct world_peer *p)
{
	dave_session_destroy(p->session);
	dave_media_destroy(p->media);
	dave_identity_destroy(p->identity);
	world_empty(&p->in);
	world_empty(&p->out);
	free(p->held);
	memset(p, 0, sizeof(*p));
}

static void world_tell(struct world_peer *p, int op, uint64_t user)
{
	struct world_message *m = world_message(op, NULL, 0);

	m->user = user;
	if (op == OP_USERS_CONNECT && p->hold_op11) {
		free(p->held);
		p->held = m;
		return;
	}
	world_put(&p->in, m);
}

/* Joins the room: op 11 both ways, op 4, op 25. */
static struct world_peer *world_join_as(struct world *w, struct world_peer *p, uint64_t user,
					int version)
{
	struct world_message *op4 = world_message(4, NULL, 0);

	world_peer_make(w, p, user, NULL);
	p->present = true;
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present && &w->peers[i] != p)
			world_tell(p, OP_USERS_CONNECT, w->peers[i].user);
	}
	p->client = dave_room_join(w->room, user, version, p, w->now_ns);
	op4->version = dave_room_version(w->room);
	world_put(&p->in, op4);
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present && &w->peers[i] != p)
			world_tell(&w->peers[i], OP_USERS_CONNECT, user);
	}
	dave_room_joined(p->client, w->now_ns);
	return p;
}

__attribute__((unused)) static struct world_peer *world_join(struct world *w, uint64_t user)
{
	for (int i = 0; i < PEERS_MAX; i++) {
		if (!w->peers[i].present)
			return world_join_as(w, &w->peers[i], user, 1);
	}
	return NULL;
}

__attribute__((unused)) static void world_leave(struct world_peer *p)
{
	struct world *w = p->world;
	struct dave_client *c = p->client;
	uint64_t user = p->user;

	world_peer_free(p);
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present)
			world_tell(&w->peers[i], 13, user);
	}
	dave_room_leave(c, w->now_ns);
}

static int world_hear(struct world_peer *p, struct world_message *m)
{
	struct dave_session *s = p->session;
	int64_t now = p->world->now_ns;

	switch (m->op) {
	case 4:
		return dave_session_select(s, (unsigned)m->version, now);
	case OP_USERS_CONNECT:
		return dave_session_users_connect(s, &m->user, 1, now);
	case 13:
		return dave_session_user_disconnect(s, m->user, now);
	case 21:
		return dave_session_prepare_transition(s, (unsigned)m->version,
						       (uint16_t)m->transition, now);
	case 22:
		return dave_session_execute_transition(s, (uint16_t)m->transition, now);
	case 24:
		return dave_session_prepare_epoch(s, (unsigned)m->version, (uint64_t)m->epoch, now);
	default:
		return dave_session_binary(s, (unsigned)m->op, m->data, m->len, now);
	}
}

/* Notes which epochs the peer can hear now, and in which it speaks. */
static void world_note(struct world_peer *p)
{
	const char *code = dave_session_privacy_code(p->session);
	int64_t now = p->world->now_ns;

	if (p->session->view->send && p->session->view->send == p->session->epoch_send)
		strcpy(p->send_code, code);
	if (!p->session->view->send)
		p->send_code[0] = '\0';
	if (!code[0] || (p->known_count && !strcmp(p->known[p->known_count - 1].code, code)))
		return;
	if (p->known_count == 64) {
		memmove(p->known, p->known + 1, 63 * sizeof(p->known[0]));
		p->known_count--;
	}
	for (size_t i = 0; i < p->known_count; i++) {
		if (p->known[i].until_ns > now + DAVE_KEY_LINGER_NS)
			p->known[i].until_ns = now + DAVE_KEY_LINGER_NS;
	}
	strcpy(p->known[p->known_count].code, code);
	p->known[p->known_count++].until_ns = INT64_MAX;
}

static bool world_must_hear(const struct world_peer *p, const struct world_peer *from)
{
	if (!from->send_code[0])
		return false;
	for (size_t i = 0; i < p->known_count; i++) {
		/* eight epochs are kept for a user at most */
		if (!strcmp(p->known[i].code, from->send_code) &&
		    p->known[i].until_ns > p->world->now_ns &&
		    p->known_count - i <= DAVE_USER_KEYS_MAX)
			return true;
	}
	return false;
}

/* One peer says something; returns how many understood. */
static int world_speak(struct world_peer *from)
{
	static const uint8_t opus[] = {0x78, 'h', 'e', 'l', 'l', 'o'};
	struct world *w = from->world;
	uint8_t frame[64], out[64];
	size_t n, bytes;
	int heard = 0;

	if (dave_media_encrypt(from->media, w->now_ns, opus, sizeof(opus), frame, sizeof(frame),
			       &n) != 0)
		return 0;
	w->frames++;
	for (int i = 0; i < PEERS_MAX; i++) {
		struct world_peer *p = &w->peers[i];
		int rc;

		if (!p->present || p == from)
			continue;
		rc = dave_media_decrypt(p->media, w->now_ns, from->user, frame, n, out, sizeof(out),
					&bytes);
		if (rc == 0) {
			CHECK_INT(bytes, sizeof(opus));
			CHECK_MEM(out, opus, bytes);
			heard++;
		} else if (world_must_hear(p, from)) {
			w->lost++;
		}
	}
	return heard;
}

/* Delivers one message chosen at random; false if there is none. */
static bool world_step(struct world *w)
{
	struct world_queue *choices[2 * PEERS_MAX];
	struct world_peer *peers[2 * PEERS_MAX], *p;
	struct world_message *m;
	size_t n = 0, at;

	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present && w->peers[i].in.count) {
			peers[n] = &w->peers[i];
			choices[n++] = &w->peers[i].in;
		}
		if (w->peers[i].present && w->peers[i].out.count) {
			peers[n] = &w->peers[i];
			choices[n++] = &w->peers[i].out;
		}
	}
	if (n == 0)
		return false;
	at = world_random(w) % n;
	p = peers[at];
	m = world_take(choices[at]);
	if (choices[at] == &p->in) {
		p->errors += world_hear(p, m) != 0;
		world_note(p);
	} else if (m->binary) {
		dave_room_binary(p->client, m->op, m->data, m->len, w->now_ns);
	} else {
		dave_room_json(p->client, m->op, m->transition, w->now_ns);
	}
	free(m);
	for (int i = 0; i < 3; i++) {
		struct world_peer *speaker = &w->peers[world_random(w) % PEERS_MAX];

		if (speaker->present)
			world_speak(speaker);
	}
	return true;
}

static void world_tick(struct world *w, int64_t ns)
{
	w->now_ns += ns;
	dave_room_tick(w->room, w->now_ns);
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present) {
			dave_session_tick(w->peers[i].session, w->now_ns);
			world_note(&w->peers[i]);
		}
	}
}

/* Until nothing is under way and the gateway waits for nothing. */
__attribute__((unused)) static void world_run(struct world *w)
{
	for (int i = 0; i < 100000; i++) {
		if (world_step(w))
			continue;
		if (dave_room_due(w->room) == INT64_MAX)
			return;
		world_tick(w, 100 * (SECOND / 1000));
	}
	UNIT_FAIL("the room does not come to rest");
}

/* Everybody in one group, of one mind, heard by all. */
__attribute__((unused)) static void world_agree(struct world *w)
{
	struct world_peer *first = NULL;
	uint64_t members[PEERS_MAX], others[PEERS_MAX];
	size_t present = 0;

	for (int i = 0; i < PEERS_MAX; i++) {
		struct world_peer *p = &w->peers[i];

		if (!p->present)
			continue;
		present++;
		if (!first) {
			first = p;
			continue;
		}
		if (dave_session_state(p->session) != DAVE_ENCRYPTED)
			UNIT_FAIL("user %llu is %s (%s)", (unsigned long long)p->user,
				  dave_state_name(dave_session_state(p->session)), p->last_log);
		CHECK_INT(dave_session_epoch(p->session), dave_session_epoch(first->session));
		CHECK_STR(dave_session_privacy_code(p->session),
			  dave_session_privacy_code(first->session));
	}
	if (present < 2)
		return;
	CHECK_INT(dave_session_members(first->session, members, PEERS_MAX), present);
	CHECK_INT(dave_room_members(w->room), present);
	CHECK_INT(dave_room_epoch(w->room), dave_session_epoch(first->session));
	for (int i = 0; i < PEERS_MAX; i++) {
		struct world_peer *p = &w->peers[i];

		if (!p->present)
			continue;
		CHECK_INT(dave_session_members(p->session, others, PEERS_MAX), present);
		CHECK_MEM(others, members, present * sizeof(members[0]));
		CHECK_INT(world_speak(p), present - 1);
	}
}

__attribute__((unused)) static void world_free(struct world *w)
{
	for (int i = 0; i < PEERS_MAX; i++) {
		if (w->peers[i].present)
			world_peer_free(&w->peers[i]);
	}
	dave_room_destroy(w->room);
}

/* Delivers what lies in one peer's queue, in order, without giving the gateway anything. */
__attribute__((unused)) static int world_deliver(struct world_peer *p)
{
	struct world_message *m;
	int last = 0;

	while ((m = world_take(&p->in))) {
		last = world_hear(p, m);
		world_note(p);
		free(m);
	}
	return last;
}

#endif
