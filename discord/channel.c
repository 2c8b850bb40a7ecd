/* SPDX-License-Identifier: MIT
 *
 * channel.c - see channel.h.
 */
#include "discord/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define NEVER             INT64_MAX
#define JOIN_TIMEOUT_NS   (10 * NS_PER_SEC)
#define VOICE_TIMEOUT_NS  (30 * NS_PER_SEC)
#define WAIT_TIMEOUT_NS   (5 * NS_PER_SEC)
#define SERVER_TIMEOUT_NS (60 * NS_PER_SEC)
#define LEAVE_TIMEOUT_NS  (5 * NS_PER_SEC)
#define PAUSE_LIMITED_NS  (180 * NS_PER_SEC)
#define PAUSE_CAP_S       60
#define TRIES_QUIET       5 /* after so many the state is called failed, though we go on */
#define WHY_BYTES         160

struct channel {
	struct channel_config config;
	enum channel_state state;
	bool wanted;
	bool rejoin;    /* after LEAVING: join again */
	bool unsent;    /* op 4 is due as soon as there is a main session */
	uint64_t user_id;
	uint64_t current; /* our voice state's channel; 0 none */
	uint64_t target;  /* where this stay is: the configured one, or where we were moved to */
	char session_id[VOICE_TOKEN_BYTES];
	char token[VOICE_TOKEN_BYTES];
	char endpoint[VOICE_ENDPOINT_BYTES]; /* "" = not known */
	struct channel_flags flags;
	unsigned tries;
	int64_t pause_ns; /* to keep before the next join */
	int64_t deadline_ns;
	char why[WHY_BYTES];
};

const char *channel_state_name(enum channel_state state)
{
	static const char *const names[] = {
		[CHANNEL_IDLE] = "idle",
		[CHANNEL_JOINING] = "joining",
		[CHANNEL_CONNECTING] = "connecting",
		[CHANNEL_CONNECTED] = "connected",
		[CHANNEL_WAITING] = "waiting",
		[CHANNEL_LEAVING] = "leaving",
		[CHANNEL_PAUSING] = "pausing",
		[CHANNEL_FAILED] = "failed",
	};
	return names[state];
}

int channel_create(struct channel **out, const struct channel_config *config)
{
	struct channel *c = calloc(1, sizeof(*c));
	*out = c;
	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->target = config->channel_id;
	c->deadline_ns = NEVER;
	return 0;
}

void channel_destroy(struct channel *c)
{
	free(c);
}

static void state_set(struct channel *c, enum channel_state state, int64_t deadline_ns)
{
	bool changed = c->state != state;
	c->state = state;
	c->deadline_ns = deadline_ns;
	if (changed)
		c->config.ops->on_change(c->config.ctx);
}

static void why_set(struct channel *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
}

static void server_forget(struct channel *c)
{
	c->token[0] = 0;
	c->endpoint[0] = 0;
}

/* Op 4, or a note to send it when a session is there. */
static void voice_state_send(struct channel *c, uint64_t channel_id)
{
	c->unsent = c->config.ops->send_voice_state(c->config.ctx, channel_id) < 0;
}

static void join(struct channel *c, int64_t now_ns)
{
	c->session_id[0] = 0;
	server_forget(c);
	state_set(c, CHANNEL_JOINING, now_ns + JOIN_TIMEOUT_NS);
	voice_state_send(c, c->target);
}

static int64_t pause_next_ns(const struct channel *c)
{
	unsigned shift = c->tries < 8 ? c->tries - 1 : 7;
	int64_t s = (1 << shift) / 2; /* 0, 1, 2, 4 ... after the first, second ... failure */
	return (s < PAUSE_CAP_S ? s : PAUSE_CAP_S) * NS_PER_SEC;
}

static void pause_then_join(struct channel *c, int64_t now_ns)
{
	c->rejoin = false;
	if (!c->wanted) {
		state_set(c, CHANNEL_IDLE, NEVER);
		return;
	}
	if (c->pause_ns == 0)
		join(c, now_ns);
	else
		state_set(c, CHANNEL_PAUSING, now_ns + c->pause_ns);
}

/* Ends the stay; with rejoin a new one follows once Discord has confirmed. */
static void leave(struct channel *c, bool rejoin, int64_t now_ns)
{
	c->config.ops->voice_stop(c->config.ctx);
	c->rejoin = rejoin;
	server_forget(c);
	if (c->current == 0 && c->state != CHANNEL_JOINING) {
		pause_then_join(c, now_ns);
		return;
	}
	state_set(c, CHANNEL_LEAVING, now_ns + LEAVE_TIMEOUT_NS);
	voice_state_send(c, 0);
}

static void rejoin(struct channel *c, const char *why, int64_t now_ns)
{
	why_set(c, why);
	c->tries++;
	c->pause_ns = pause_next_ns(c);
	c->target = c->config.channel_id;
	leave(c, true, now_ns);
	c->config.ops->on_change(c->config.ctx);
}

static void fail(struct channel *c, const char *why, int64_t now_ns)
{
	why_set(c, why);
	c->config.ops->voice_stop(c->config.ctx);
	server_forget(c);
	c->rejoin = false;
	if (c->current)
		voice_state_send(c, 0);
	state_set(c, CHANNEL_FAILED, NEVER);
}

void channel_want(struct channel *c, bool wanted, int64_t now_ns)
{
	if (wanted == c->wanted)
		return;
	c->wanted = wanted;
	if (wanted) {
		c->why[0] = 0;
		c->tries = 0;
		c->pause_ns = 0;
		c->target = c->config.channel_id;
		if (c->state == CHANNEL_IDLE || c->state == CHANNEL_FAILED)
			join(c, now_ns);
		else if (c->state == CHANNEL_LEAVING)
			c->rejoin = true;
		return;
	}
	c->why[0] = 0;
	c->rejoin = false;
	if (c->state == CHANNEL_PAUSING || c->state == CHANNEL_FAILED)
		state_set(c, CHANNEL_IDLE, NEVER);
	else if (c->state != CHANNEL_IDLE && c->state != CHANNEL_LEAVING)
		leave(c, false, now_ns);
}

void channel_retry(struct channel *c, int64_t now_ns)
{
	if (!c->wanted || (c->state != CHANNEL_FAILED && c->state != CHANNEL_PAUSING))
		return;
	c->tries = 0;
	c->pause_ns = 0;
	c->why[0] = 0;
	join(c, now_ns);
}

void channel_gateway_ready(struct channel *c, uint64_t user_id, bool resumed, int64_t now_ns)
{
	c->user_id = user_id;
	if (resumed) {
		if (c->unsent && c->state == CHANNEL_JOINING)
			voice_state_send(c, c->target);
		else if (c->unsent)
			voice_state_send(c, 0);
		return;
	}
	/* A new main session: the old one's voice state went with it. */
	if (c->state != CHANNEL_IDLE && c->state != CHANNEL_FAILED)
		c->config.ops->voice_stop(c->config.ctx);
	c->current = 0;
	c->unsent = false;
	if (c->state == CHANNEL_FAILED)
		return;
	if (c->wanted)
		join(c, now_ns);
	else
		state_set(c, CHANNEL_IDLE, NEVER);
}

/* Both halves are there: session id from our voice state, token and endpoint from the server. */
static void voice_begin(struct channel *c, int64_t now_ns)
{
	struct voice_session session = {.guild_id = c->config.guild_id, .user_id = c->user_id};
	if (!c->session_id[0] || !c->endpoint[0])
		return;
	strcpy(session.session_id, c->session_id);
	strcpy(session.token, c->token);
	strcpy(session.endpoint, c->endpoint);
	state_set(c, CHANNEL_CONNECTING, now_ns + VOICE_TIMEOUT_NS);
	if (c->config.ops->voice_start(c->config.ctx, &session, c->current) < 0)
		rejoin(c, "Discord named a voice server that makes no sense", now_ns);
}

static bool flags_equal(const struct channel_flags *a, const struct channel_flags *b)
{
	return a->deaf == b->deaf && a->mute == b->mute && a->suppress == b->suppress;
}

static void own_gone(struct channel *c, int64_t now_ns)
{
	c->current = 0;
	c->session_id[0] = 0;
	switch (c->state) {
	case CHANNEL_LEAVING:
		if (c->rejoin)
			pause_then_join(c, now_ns);
		else
			state_set(c, CHANNEL_IDLE, NEVER);
		break;
	case CHANNEL_CONNECTING:
	case CHANNEL_CONNECTED:
	case CHANNEL_WAITING:
		c->config.ops->voice_stop(c->config.ctx);
		server_forget(c);
		c->wanted = false;
		why_set(c, "removed from the voice channel");
		state_set(c, CHANNEL_IDLE, NEVER);
		c->config.ops->on_kicked(c->config.ctx);
		break;
	default: /* the late echo of an earlier leave */
		break;
	}
}

void channel_own_state(struct channel *c, uint64_t id, const char *session_id,
		       const struct channel_flags *flags, int64_t now_ns)
{
	if (id == 0) {
		own_gone(c, now_ns);
		return;
	}
	uint64_t before = c->current;
	bool flags_changed = !flags_equal(&c->flags, flags);
	c->current = id;
	c->flags = *flags;
	if (strlen(session_id) < sizeof(c->session_id))
		strcpy(c->session_id, session_id);
	switch (c->state) {
	case CHANNEL_JOINING:
		c->target = id;
		voice_begin(c, now_ns);
		break;
	case CHANNEL_CONNECTING:
	case CHANNEL_CONNECTED:
	case CHANNEL_WAITING:
		if (id != before && before != 0) {
			/* Moved. The encryption group is the channel's, so nothing of the old session
			 * is of use; a server update follows, and may have come already. */
			c->target = id;
			server_forget(c);
			c->config.ops->voice_stop(c->config.ctx);
			state_set(c, CHANNEL_WAITING, now_ns + JOIN_TIMEOUT_NS);
			c->config.ops->on_change(c->config.ctx);
		} else if (c->state == CHANNEL_WAITING) {
			voice_begin(c, now_ns);
		} else if (flags_changed) {
			c->config.ops->on_change(c->config.ctx);
		}
		break;
	case CHANNEL_IDLE:
	case CHANNEL_FAILED:
		/* Left over from an earlier life of this bot: not ours to keep. */
		if (!c->wanted)
			voice_state_send(c, 0);
		break;
	default:
		break;
	}
}

void channel_server_update(struct channel *c, const char *token, const char *endpoint,
			   int64_t now_ns)
{
	if (c->state != CHANNEL_JOINING && c->state != CHANNEL_CONNECTING &&
	    c->state != CHANNEL_CONNECTED && c->state != CHANNEL_WAITING)
		return;
	if (!endpoint) {
		/* The server went away and another is being found: never the old one again. */
		server_forget(c);
		c->config.ops->voice_stop(c->config.ctx);
		why_set(c, "Discord is looking for another voice server");
		state_set(c, c->state == CHANNEL_JOINING ? CHANNEL_JOINING : CHANNEL_WAITING,
			  now_ns + SERVER_TIMEOUT_NS);
		return;
	}
	if (strlen(token) >= sizeof(c->token) || strlen(endpoint) >= sizeof(c->endpoint)) {
		rejoin(c, "Discord named a voice server that makes no sense", now_ns);
		return;
	}
	if (c->state == CHANNEL_CONNECTING && !strcmp(token, c->token) &&
	    !strcmp(endpoint, c->endpoint))
		return; /* a duplicate of the one we are following */
	strcpy(c->token, token);
	strcpy(c->endpoint, endpoint);
	voice_begin(c, now_ns);
}

void channel_deleted(struct channel *c, uint64_t id, int64_t now_ns)
{
	if (id == c->config.channel_id && c->state != CHANNEL_IDLE) {
		c->current = 0; /* Discord has put us out already */
		fail(c, "the voice channel was deleted", now_ns);
	}
}

void channel_voice_ready(struct channel *c, int64_t now_ns)
{
	(void)now_ns;
	c->why[0] = 0;
	c->tries = 0;
	c->pause_ns = 0;
	state_set(c, CHANNEL_CONNECTED, NEVER);
}

void channel_voice_end(struct channel *c, enum voice_outcome outcome, const char *why,
		       int64_t now_ns)
{
	if (c->state != CHANNEL_CONNECTING && c->state != CHANNEL_CONNECTED)
		return;
	switch (outcome) {
	case VOICE_OUTCOME_REJOIN:
		rejoin(c, why, now_ns);
		break;
	case VOICE_OUTCOME_WAIT:
		/* Kicked (a null channel follows) or moved (a server update follows), or both came
		 * before the close. */
		why_set(c, why);
		server_forget(c);
		state_set(c, CHANNEL_WAITING, now_ns + WAIT_TIMEOUT_NS);
		break;
	case VOICE_OUTCOME_PAUSE:
		rejoin(c, why, now_ns);
		c->pause_ns = PAUSE_LIMITED_NS;
		break;
	case VOICE_OUTCOME_FATAL:
		fail(c, why, now_ns);
		break;
	}
}

int64_t channel_deadline_ns(const struct channel *c)
{
	return c->deadline_ns;
}

void channel_tick(struct channel *c, int64_t now_ns)
{
	if (now_ns < c->deadline_ns)
		return;
	c->deadline_ns = NEVER;
	switch (c->state) {
	case CHANNEL_JOINING:
		if (c->unsent) { /* no main session yet: nothing was asked, nothing is late */
			c->deadline_ns = now_ns + JOIN_TIMEOUT_NS;
			break;
		}
		rejoin(c,
		       "Discord did not answer the join: is the channel full, or does the bot lack "
		       "View Channel or Connect there?",
		       now_ns);
		break;
	case CHANNEL_CONNECTING:
		rejoin(c, "the voice connection was not made in 30 s", now_ns);
		break;
	case CHANNEL_WAITING:
		rejoin(c, "Discord ended the voice connection and named no other server", now_ns);
		break;
	case CHANNEL_LEAVING: /* never confirmed; go on as if it had been */
		c->current = 0;
		if (c->rejoin)
			pause_then_join(c, now_ns);
		else
			state_set(c, CHANNEL_IDLE, NEVER);
		break;
	case CHANNEL_PAUSING:
		join(c, now_ns);
		break;
	default:
		break;
	}
}

enum channel_state channel_state(const struct channel *c)
{
	return c->state;
}

uint64_t channel_id(const struct channel *c)
{
	return c->current ? c->current : c->target;
}

const char *channel_why(const struct channel *c)
{
	return c->why;
}

const struct channel_flags *channel_flags(const struct channel *c)
{
	return &c->flags;
}
