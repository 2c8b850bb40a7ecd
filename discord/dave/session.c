/* SPDX-License-Identifier: MIT
 *
 * session.c - versions, transitions and media keys of a DAVE session; the group itself is in
 * session_group.c.
 *
 * When keys change: receivers get a new epoch's keys as soon as its commit or Welcome is accepted
 * and keep the old ones for ten seconds; the sender changes when the gateway executes the
 * transition (op 22), or at once for transition 0. By then every member can receive the new key,
 * so that no frame is lost.
 */
#include "discord/dave/session_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"

#define MISSED_WELCOME_NS     ((int64_t)5 * 1000000000)
#define MISSED_WELCOME_FRAMES DAVE_FAILURES_MAX
#define NO_WELCOME_NS         ((int64_t)15 * 1000000000) /* whoever else is there may be silent */

int dave_identity_create(struct dave_identity **out)
{
	struct dave_identity *id = calloc(1, sizeof(*id));
	int rc;

	if (!id)
		return -ENOMEM;
	rc = mls_signature_key_create(&id->key);
	if (rc) {
		free(id);
		return session_error(rc);
	}
	*out = id;
	return 0;
}

void dave_identity_destroy(struct dave_identity *id)
{
	if (!id)
		return;
	mls_signature_key_destroy(id->key);
	free(id);
}

const char *dave_state_name(enum dave_state state)
{
	switch (state) {
	case DAVE_IDLE:
		return "idle";
	case DAVE_PLAIN:
		return "plain";
	case DAVE_WAITING:
		return "waiting";
	case DAVE_ENCRYPTED:
		return "encrypted";
	}
	return "unknown";
}

void session_log(struct dave_session *s, enum dave_log_level level, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	s->ops->log(s->context, level, line);
}

void session_recovered(struct dave_session *s)
{
	s->recoveries = 0;
	s->recovery_wanted = s->stuck = s->init_wanted = false;
}

void session_changed(struct dave_session *s)
{
	s->ops->changed(s->context);
}

/* ---- media keys -------------------------------------------------------------------------- */

int session_publish(struct dave_session *s, struct dave_media_view *view)
{
	struct dave_media_view *clone;
	int rc = dave_media_view_clone(&clone, view, 0);

	if (rc) {
		dave_media_view_destroy(view);
		return rc;
	}
	dave_media_publish(s->media, clone);
	if (view != s->view) {
		dave_media_view_destroy(s->view);
		s->view = view;
	}
	return 0;
}

int session_expire_keys(struct dave_session *s, int64_t now_ns)
{
	struct dave_media_view *view;
	int rc = dave_media_view_clone(&view, s->view, 0);

	if (rc)
		return rc;
	dave_media_view_expire(view, now_ns + DAVE_KEY_LINGER_NS);
	return session_publish(s, view);
}

/* ---- transitions ------------------------------------------------------------------------- */

static void transition_drop(struct dave_session *s, size_t at)
{
	dave_media_key_unref(s->transitions[at].send);
	s->transition_count--;
	memmove(&s->transitions[at], &s->transitions[at + 1],
		(s->transition_count - at) * sizeof(s->transitions[0]));
}

static void transitions_clear(struct dave_session *s)
{
	while (s->transition_count)
		transition_drop(s, s->transition_count - 1);
}

/* Switches the sender. What it needs is allocated first, so that it happens whole or not at all. */
static int transition_execute(struct dave_session *s, const struct transition *t, int64_t now_ns)
{
	struct dave_media_view *view;
	int rc = dave_media_view_clone(&view, s->view, 0);

	if (rc)
		return rc;
	if (t->version == 0) {
		view->send_plain = true;
		view->plain_until_ns = DAVE_NEVER;
		dave_media_view_send(view, NULL);
		dave_media_view_expire(view, now_ns + DAVE_KEY_LINGER_NS);
	} else {
		/* Packets that were on their way in the clear when the call was upgraded. In a call
		 * that began encrypted this window never opens. */
		if (view->plain_until_ns == DAVE_NEVER)
			view->plain_until_ns = now_ns + DAVE_PASSTHROUGH_LINGER_NS;
		view->send_plain = false;
		dave_media_view_send(view, t->send ? t->send : s->epoch_send);
	}
	rc = session_publish(s, view);
	if (rc)
		return rc;
	s->executed_serial = t->serial;
	s->any_executed = true;
	s->executed_id = t->id;
	s->version = t->version;
	if (t->version == 0) {
		session_group_clear(s);
		session_recovered(s);
	}
	session_log(s, t->version ? DAVE_LOG_DEBUG : DAVE_LOG_INFO,
		    "transition %u to version %u executed", t->id, t->version);
	session_changed(s);
	return 0;
}

static int transition_note(struct dave_session *s, uint16_t id, unsigned version,
			   struct dave_media_key *send, int64_t now_ns)
{
	struct transition t = {.id = id, .version = version, .serial = ++s->serial, .send = send};

	if (id == 0 && transition_execute(s, &t, now_ns) == 0)
		return 0;
	/* Transition 0 comes to lie here only for want of memory; the next tick tries again. */
	t.due = id == 0;
	for (size_t i = 0; i < s->transition_count; i++) {
		if (s->transitions[i].id == id) {
			transition_drop(s, i);
			break;
		}
	}
	if (s->transition_count == TRANSITIONS_MAX)
		transition_drop(s, 0);
	dave_media_key_ref(t.send);
	s->transitions[s->transition_count++] = t;
	return t.due ? -ENOMEM : 0;
}

void session_transition(struct dave_session *s, uint16_t id, unsigned version,
			struct dave_media_key *send, bool answer, int64_t now_ns)
{
	int rc = transition_note(s, id, version, send, now_ns);

	if (rc)
		session_log(s, DAVE_LOG_WARN, "transition %u could not be executed: %s", id,
			    strerror(-rc));
	if (id && answer)
		s->ops->send_json(s->context, DAVE_OP_READY_FOR_TRANSITION, id);
}

int dave_session_prepare_transition(struct dave_session *s, unsigned version,
				    uint16_t transition_id, int64_t now_ns)
{
	int rc;

	if (version > DAVE_VERSION_MAX) {
		s->stats.refused++;
		session_log(s, DAVE_LOG_WARN, "op 21 asks for unknown version %u: ignored",
			    version);
		return -EPROTO;
	}
	if (version == 0 && transition_id && s->view->plain_until_ns != DAVE_NEVER) {
		/* The first members to execute it will be heard in the clear before our own op 22.
		 */
		struct dave_media_view *view;

		rc = dave_media_view_clone(&view, s->view, 0);
		if (rc)
			return rc;
		view->plain_until_ns = DAVE_NEVER;
		rc = session_publish(s, view);
		if (rc)
			return rc;
	}
	rc = transition_note(s, transition_id, version, NULL, now_ns);
	if (rc)
		return rc;
	if (transition_id)
		s->ops->send_json(s->context, DAVE_OP_READY_FOR_TRANSITION, transition_id);
	return 0;
}

/* Executes the transition at this place and forgets it; what fails for want of memory stays due. */
static int transition_run(struct dave_session *s, size_t at, int64_t now_ns)
{
	/* Out of order: a later transition was executed, going back would end in silence. */
	if (s->transitions[at].serial > s->executed_serial) {
		int rc = transition_execute(s, &s->transitions[at], now_ns);

		s->transitions[at].due = true;
		if (rc)
			return rc;
	}
	transition_drop(s, at);
	return 0;
}

int dave_session_execute_transition(struct dave_session *s, uint16_t transition_id, int64_t now_ns)
{
	for (size_t i = 0; i < s->transition_count; i++) {
		if (s->transitions[i].id == transition_id)
			return transition_run(s, i, now_ns);
	}
	session_log(s, DAVE_LOG_DEBUG, "op 22 for unknown transition %u: ignored", transition_id);
	return 0;
}

/* ---- ops that begin a group, and those who may be in it ----------------------------------- */

int dave_session_select(struct dave_session *s, unsigned version, int64_t now_ns)
{
	struct dave_media_view *view;
	int rc;

	if (version > DAVE_VERSION_MAX) {
		s->stats.refused++;
		session_log(s, DAVE_LOG_WARN, "op 4 selects unknown version %u", version);
		return -EPROTO;
	}
	if (s->selected && s->version == version)
		return 0;
	rc = dave_media_view_clone(&view, s->view, 0);
	if (rc)
		return rc;
	dave_media_view_expire(view, now_ns + DAVE_KEY_LINGER_NS);
	dave_media_view_send(view, NULL);
	view->send_plain = version == 0;
	view->plain_until_ns = version == 0 ? DAVE_NEVER : 0;
	rc = session_publish(s, view);
	if (rc)
		return rc;
	s->selected = true;
	s->version = version;
	transitions_clear(s);
	session_group_clear(s);
	rc = version ? session_group_init(s, now_ns) : 0;
	session_changed(s);
	return rc;
}

int dave_session_prepare_epoch(struct dave_session *s, unsigned version, uint64_t epoch,
			       int64_t now_ns)
{
	int rc;

	if (version > DAVE_VERSION_MAX) {
		s->stats.refused++;
		session_log(s, DAVE_LOG_WARN, "op 24 asks for unknown version %u: ignored",
			    version);
		return -EPROTO;
	}
	/* A later epoch: the group stays, and only one version exists that has groups. */
	if (epoch != 1)
		return 0;
	rc = session_expire_keys(s, now_ns);
	if (rc)
		return rc;
	s->selected = true;
	s->version = version;
	session_recovered(s);
	session_group_clear(s);
	rc = version ? session_group_init(s, now_ns) : 0;
	session_changed(s);
	return rc;
}

int dave_session_users_connect(struct dave_session *s, const uint64_t *user_ids, size_t count,
			       int64_t now_ns)
{
	bool alone = s->recognised.count < 2;

	for (size_t i = 0; i < count; i++) {
		int rc = user_set_add(&s->recognised, user_ids[i]);

		if (rc == -ENOSPC)
			session_log(s, DAVE_LOG_WARN, "more than %d users announced: ignored",
				    USER_SET_MAX);
		if (rc)
			return rc == -ENOSPC ? -EPROTO : rc;
	}
	if (alone && s->recognised.count > 1)
		session_waiting_begins(s, now_ns);
	return session_retry_held(s);
}

int dave_session_user_disconnect(struct dave_session *s, uint64_t user_id, int64_t now_ns)
{
	(void)now_ns;
	/* Keys stay until the commit that removes the member: frames may still be in flight. */
	if (user_id != s->user_id)
		user_set_remove(&s->recognised, user_id);
	return 0;
}

int dave_session_binary(struct dave_session *s, unsigned op, const uint8_t *payload, size_t bytes,
			int64_t now_ns)
{
	struct mls_bytes p = {payload, bytes};
	int rc = -EPROTO;

	if (bytes > PAYLOAD_BYTES_MAX)
		session_log(s, DAVE_LOG_WARN, "op %u of %zu bytes: refused", op, bytes);
	else if (op == DAVE_OP_EXTERNAL_SENDER)
		rc = session_external_sender(s, p);
	else if (op == DAVE_OP_PROPOSALS)
		rc = session_proposals(s, p);
	else if (op == DAVE_OP_ANNOUNCE_COMMIT)
		rc = session_commit(s, p, now_ns);
	else if (op == DAVE_OP_WELCOME)
		rc = session_welcome(s, p, now_ns);
	else
		session_log(s, DAVE_LOG_WARN, "binary op %u is not for a client: ignored", op);
	if (rc == -EPROTO)
		s->stats.refused++;
	return rc;
}

/* ---- life -------------------------------------------------------------------------------- */

int dave_session_create(struct dave_session **out, const struct dave_session_config *config)
{
	struct dave_session *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->user_id = config->user_id;
	s->channel_id = config->channel_id;
	put_be64(s->identity, s->user_id);
	put_be64(s->group_id, s->channel_id);
	s->key = config->identity->key;
	s->media = config->media;
	s->ops = config->ops;
	s->context = config->context;
	s->recovery_delay_ns = RECOVERY_DELAY_NS;
	rc = user_set_add(&s->recognised, s->user_id);
	if (rc == 0)
		rc = dave_media_view_create(&s->view, 0);
	if (rc) {
		user_set_clear(&s->recognised);
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

/* Everything of one voice session goes; what the audio thread may still use is retired by media. */
static void session_clear(struct dave_session *s)
{
	transitions_clear(s);
	session_group_clear(s);
	session_codes_sweep(s);
	blob_clear(&s->external_sender);
	user_set_clear(&s->recognised);
	s->selected = false;
	s->version = 0;
	s->any_executed = false;
	session_recovered(s);
	s->recovery_after_ns = 0;
	s->recovery_delay_ns = RECOVERY_DELAY_NS;
}

void dave_session_destroy(struct dave_session *s)
{
	struct dave_media_view *empty;

	if (!s)
		return;
	session_clear(s);
	/* Without memory for an empty view the keys live on in media until it is destroyed. */
	if (dave_media_view_create(&empty, 0) == 0)
		dave_media_publish(s->media, empty);
	dave_media_view_destroy(s->view);
	free(s);
}

int dave_session_move(struct dave_session *s, uint64_t channel_id, int64_t now_ns)
{
	struct dave_media_view *view;
	int rc = dave_media_view_create(&view, 0);

	(void)now_ns;
	if (rc == 0)
		rc = session_publish(s, view);
	if (rc)
		return rc;
	session_clear(s);
	s->channel_id = channel_id;
	put_be64(s->group_id, channel_id);
	rc = user_set_add(&s->recognised, s->user_id);
	session_changed(s);
	return rc;
}

/* ---- time -------------------------------------------------------------------------------- */

static int tick_keys(struct dave_session *s, int64_t now_ns)
{
	struct dave_media_view *view;
	bool due = false;
	int rc;

	for (size_t i = 0; i < s->view->user_count && !due; i++) {
		for (size_t j = 0; j < s->view->users[i].key_count; j++)
			due |= s->view->users[i].keys[j].expires_ns <= now_ns;
	}
	if (!due)
		return 0;
	rc = dave_media_view_clone(&view, s->view, 0);
	if (rc)
		return rc;
	dave_media_view_prune(view, now_ns);
	return session_publish(s, view);
}

/* Do the others talk in a group that we were never welcomed to? */
static bool others_talk(const struct dave_session *s)
{
	struct dave_media_stats media;

	dave_media_stats(s->media, &media);
	return media.no_key - s->waiting_no_key >= MISSED_WELCOME_FRAMES;
}

/* Somebody cannot be understood for long although the group looks fine; or we look like waiting
 * for a group that the others have, and nobody hears us. */
static bool tick_is_deaf(struct dave_session *s, int64_t now_ns)
{
	if (s->version == 0 || s->recoveries)
		return false;
	if (s->current && s->any_executed) {
		for (size_t i = 0; i < s->view->user_count; i++) {
			unsigned n = atomic_load_explicit(&s->view->users[i].state->failures,
							  memory_order_relaxed);

			if (n >= DAVE_FAILURES_MAX) {
				session_log(s, DAVE_LOG_WARN,
					    "%u frames in a row of user %llu do not decrypt", n,
					    (unsigned long long)s->view->users[i].user_id);
				return true;
			}
		}
		return false;
	}
	if (s->current || !s->key_package || s->recognised.count < 2)
		return false;
	if (now_ns - s->waiting_since_ns >= MISSED_WELCOME_NS && others_talk(s))
		session_log(s, DAVE_LOG_WARN, "others talk encrypted and no Welcome came");
	else if (now_ns - s->waiting_since_ns >= NO_WELCOME_NS)
		session_log(s, DAVE_LOG_WARN, "others are here and no group came");
	else
		return false;
	return true;
}

int dave_session_tick(struct dave_session *s, int64_t now_ns)
{
	int rc;

	dave_media_collect(s->media);
	rc = tick_keys(s, now_ns);
	for (size_t i = 0; rc == 0 && i < s->transition_count;) {
		if (s->transitions[i].due)
			rc = transition_run(s, i, now_ns);
		else
			i++;
	}
	if (rc)
		return rc;
	if (s->init_wanted)
		return session_group_init(s, now_ns);
	if (s->recovery_wanted && now_ns >= s->recovery_after_ns)
		return session_recover(s, s->recovery_id, now_ns);
	/* Asked and not answered: ask again, as long as somebody is there to answer. */
	if (s->recoveries && !s->current && s->recognised.count > 1 &&
	    now_ns >= s->recovery_after_ns + 2 * RECOVERY_DELAY_NS) {
		s->stuck |= s->recoveries >= DAVE_RECOVERIES_MAX && others_talk(s);
		return session_recover(s, s->recovery_id, now_ns);
	}
	if (tick_is_deaf(s, now_ns)) {
		for (size_t i = 0; i < s->view->user_count; i++)
			atomic_store_explicit(&s->view->users[i].state->failures, 0,
					      memory_order_relaxed);
		return session_recover(s, s->executed_id, now_ns);
	}
	return 0;
}

bool dave_session_is_stuck(const struct dave_session *s)
{
	return s->stuck;
}

/* ---- what can be asked ------------------------------------------------------------------- */

enum dave_state dave_session_state(const struct dave_session *s)
{
	if (!s->selected)
		return DAVE_IDLE;
	if (s->view->send_plain || s->version == 0)
		return DAVE_PLAIN;
	return s->current ? DAVE_ENCRYPTED : DAVE_WAITING;
}

unsigned dave_session_version(const struct dave_session *s)
{
	return s->version;
}

uint64_t dave_session_epoch(const struct dave_session *s)
{
	return s->current ? mls_group_epoch(s->current) : 0;
}

const char *dave_session_privacy_code(const struct dave_session *s)
{
	return s->privacy_code;
}

void dave_session_stats(const struct dave_session *s, struct dave_session_stats *out)
{
	*out = s->stats;
}
