/* SPDX-License-Identifier: MIT
 *
 * gateway.c - the main gateway's state machine; see gateway.h.
 */
#include "discord/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "discord/gateway_codes.h"
#include "discord/gateway_messages.h"

#define NEVER            INT64_MAX
#define QUERY            "v=10&encoding=json"
#define QUEUE_MAX        16
#define HELLO_TIMEOUT_NS (20 * NS_PER_SEC)
#define READY_TIMEOUT_NS (60 * NS_PER_SEC)
#define BACKOFF_CAP_MS   60000
#define RESUME_TRIES     3 /* failed connects in a row before another gateway is looked for */
#define CLOSE_ZOMBIE     4000 /* any code but 1000 and 1001 keeps the session resumable */

struct gateway {
	struct gateway_config config;
	enum gateway_state state;
	int intents;
	uint64_t user_id, application_id;

	char base_url[GATEWAY_URL_BYTES];   /* from /gateway/bot; "" = ask again */
	char resume_url[GATEWAY_URL_BYTES]; /* with session_id, what a resume needs; "" = none */
	char session_id[GATEWAY_SESSION_BYTES];
	int64_t seq; /* last s; -1 none */

	int64_t heartbeat_ns;    /* interval; 0 before Hello */
	int64_t heartbeat_at_ns; /* when the next is due */
	int64_t heartbeat_sent_ns;
	bool heartbeat_acked;
	int64_t rtt_ns;

	int64_t step_at_ns; /* deadline of the present state, NEVER if it has none */
	unsigned failures;  /* losses in a row, for the back-off */
	unsigned unreached; /* connects to resume_url that failed, in a row */
	bool resuming;      /* the socket that is being opened is for Resume */

	/* Sends of the last minute, and what waits for room. */
	int64_t sent_ns[GATEWAY_SENDS_PER_MINUTE];
	unsigned sent_at;
	struct queued {
		uint64_t guild_id, channel_id;
	} queue[QUEUE_MAX];
	unsigned queued;

	struct gateway_stats stats;
};

const char *gateway_state_name(enum gateway_state state)
{
	static const char *const names[] = {
		[GATEWAY_IDLE] = "idle",
		[GATEWAY_DISCOVERING] = "discovering",
		[GATEWAY_SPACING] = "spacing",
		[GATEWAY_CONNECTING] = "connecting",
		[GATEWAY_WAIT_HELLO] = "waiting for hello",
		[GATEWAY_IDENTIFYING] = "identifying",
		[GATEWAY_RESUMING] = "resuming",
		[GATEWAY_READY] = "ready",
		[GATEWAY_BACKOFF] = "backing off",
		[GATEWAY_STOPPED] = "stopped",
	};
	return names[state];
}

int gateway_create(struct gateway **out, const struct gateway_config *config)
{
	struct gateway *g = calloc(1, sizeof(*g));
	*out = g;
	if (!g)
		return -ENOMEM;
	g->config = *config;
	g->intents = GATEWAY_INTENT_GUILDS | GATEWAY_INTENT_VOICE_STATES |
		     GATEWAY_INTENT_GUILD_MESSAGES | GATEWAY_INTENT_MESSAGE_CONTENT;
	g->seq = -1;
	g->rtt_ns = -1;
	g->step_at_ns = NEVER;
	g->heartbeat_at_ns = NEVER;
	return 0;
}

void gateway_destroy(struct gateway *g)
{
	free(g);
}

#define OPS(g) ((g)->config.ops)
#define CTX(g) ((g)->config.ctx)

static void __attribute__((format(printf, 2, 3))) note(struct gateway *g, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	OPS(g)->on_note(CTX(g), text);
}

static void state_set(struct gateway *g, enum gateway_state state, int64_t deadline_ns)
{
	g->state = state;
	g->step_at_ns = deadline_ns;
}

static void session_forget(struct gateway *g)
{
	g->session_id[0] = 0;
	g->resume_url[0] = 0;
	g->seq = -1;
}

static bool session_resumable(const struct gateway *g)
{
	return g->session_id[0] && g->resume_url[0] && g->seq >= 0;
}

static void fatal(struct gateway *g, const char *sentence)
{
	state_set(g, GATEWAY_STOPPED, NEVER);
	g->heartbeat_at_ns = NEVER;
	OPS(g)->on_fatal(CTX(g), sentence);
}

/* The URL with our query: whatever query it came with is replaced, an empty path becomes "/". */
static void connect_to(struct gateway *g, const char *base, int64_t now_ns)
{
	char url[GATEWAY_URL_BYTES + 32];
	size_t len = strcspn(base, "?#");
	const char *host = strstr(base, "://");
	bool has_path = host && memchr(host + 3, '/', len - (size_t)(host + 3 - base));
	snprintf(url, sizeof(url), "%.*s%s?" QUERY, (int)len, base, has_path ? "" : "/");
	g->heartbeat_ns = 0;
	g->heartbeat_at_ns = NEVER;
	state_set(g, GATEWAY_CONNECTING, NEVER); /* the socket has its own time-out */
	OPS(g)->connect(CTX(g), url);
}

static void discover(struct gateway *g)
{
	g->resuming = false;
	state_set(g, GATEWAY_DISCOVERING, NEVER);
	OPS(g)->discover(CTX(g));
}

/* A fresh session, as soon as the budget allows. */
static void connect_fresh(struct gateway *g, int64_t now_ns)
{
	int64_t wait_ms = identify_budget_wait_ms(&g->config.budget, OPS(g)->wall_ms(CTX(g)));
	g->resuming = false;
	if (wait_ms > 0) {
		if (wait_ms > 60000)
			note(g, "waiting before the next identify wait_s=%lld remaining=%lld",
			     (long long)(wait_ms / 1000), (long long)g->config.budget.remaining);
		state_set(g, GATEWAY_SPACING, now_ns + wait_ms * NS_PER_MS);
		return;
	}
	connect_to(g, g->base_url, now_ns);
}

/* A resume address that cannot be reached is given up for a fresh session as soon as another gateway
 * answers. If none does it is the network that is away, and the session (with it the voice
 * connection) lives on for minutes: the two are tried in turns. */
static void connect_again(struct gateway *g, int64_t now_ns)
{
	if (session_resumable(g) && g->unreached < RESUME_TRIES) {
		g->resuming = true;
		connect_to(g, g->resume_url, now_ns);
	} else {
		discover(g); /* also learns what is left of the budget */
	}
}

/* Neither the resume address nor another gateway: next the resume address again. */
static void resume_next(struct gateway *g)
{
	if (g->unreached >= RESUME_TRIES)
		g->unreached = RESUME_TRIES - 1;
}

/* First retry at once after a clean loss, then 1 s doubling to 60 s, half of it jitter. */
static void back_off(struct gateway *g, int64_t floor_ms, int64_t now_ns)
{
	int64_t ms = 0;
	if (g->failures > 0) {
		unsigned shift = g->failures - 1 < 6 ? g->failures - 1 : 6;
		ms = 1000LL << shift;
		if (ms > BACKOFF_CAP_MS)
			ms = BACKOFF_CAP_MS;
		ms = ms / 2 + (int64_t)((double)ms / 2 * OPS(g)->random(CTX(g)));
	}
	g->failures++;
	if (ms < floor_ms)
		ms = floor_ms;
	g->heartbeat_at_ns = NEVER;
	state_set(g, GATEWAY_BACKOFF, now_ns + ms * NS_PER_MS);
}

void gateway_start(struct gateway *g, int64_t now_ns)
{
	if (g->state != GATEWAY_IDLE)
		return;
	(void)now_ns;
	discover(g);
}

void gateway_stop(struct gateway *g)
{
	if (g->state == GATEWAY_STOPPED)
		return;
	state_set(g, GATEWAY_STOPPED, NEVER);
	g->heartbeat_at_ns = NEVER;
	OPS(g)->close(CTX(g), 1000);
}

void gateway_discovered(struct gateway *g, const char *url, int64_t remaining,
			int64_t reset_after_ms, int64_t now_ns)
{
	if (g->state != GATEWAY_DISCOVERING)
		return;
	if (strlen(url) >= GATEWAY_URL_BYTES) {
		back_off(g, 5000, now_ns);
		return;
	}
	strcpy(g->base_url, url);
	if (remaining >= 0) {
		identify_budget_learn(&g->config.budget, OPS(g)->wall_ms(CTX(g)), remaining,
				      reset_after_ms);
		OPS(g)->on_budget(CTX(g), &g->config.budget);
	}
	connect_fresh(g, now_ns);
}

void gateway_discovery_failed(struct gateway *g, bool unauthorized, int64_t retry_after_ms,
			      int64_t now_ns)
{
	if (g->state != GATEWAY_DISCOVERING)
		return;
	resume_next(g);
	if (unauthorized)
		fatal(g, gateway_close_fatal(GATEWAY_CLOSE_BAD_TOKEN));
	else
		back_off(g, retry_after_ms > 1000 ? retry_after_ms : 1000, now_ns);
}

void gateway_opened(struct gateway *g, int64_t now_ns)
{
	if (g->state != GATEWAY_CONNECTING)
		return;
	g->unreached = 0;
	if (!g->resuming)
		session_forget(g);
	state_set(g, GATEWAY_WAIT_HELLO, now_ns + HELLO_TIMEOUT_NS);
}

/* ---- sending ----------------------------------------------------------------------------- */

static void message_send(struct gateway *g, int err, struct strbuf *text)
{
	if (err == 0 && text->len <= GATEWAY_PAYLOAD_BYTES_MAX)
		OPS(g)->send(CTX(g), text->data, text->len);
	else
		note(g, "a message to the gateway did not fit and was not sent");
	strbuf_free(text);
}

static void send_heartbeat(struct gateway *g, int64_t now_ns)
{
	struct strbuf text = GATEWAY_PAYLOAD_INIT;
	g->heartbeat_sent_ns = now_ns;
	message_send(g, gateway_write_heartbeat(&text, g->seq), &text);
}

static void send_identify(struct gateway *g)
{
	struct strbuf text = GATEWAY_PAYLOAD_INIT;
	g->stats.identifies++;
	identify_budget_spend(&g->config.budget, OPS(g)->wall_ms(CTX(g)));
	OPS(g)->on_budget(CTX(g), &g->config.budget); /* before it is sent: a crash may follow */
	message_send(g, gateway_write_identify(&text, g->config.token, g->intents), &text);
}

static void send_resume(struct gateway *g)
{
	struct strbuf text = GATEWAY_PAYLOAD_INIT;
	g->stats.resumes++;
	message_send(g, gateway_write_resume(&text, g->config.token, g->session_id, g->seq), &text);
}

/* Takes one of the sends of this minute; false when there is none left. */
static bool send_allowed(struct gateway *g, int64_t now_ns)
{
	int64_t *oldest = &g->sent_ns[g->sent_at];
	if (*oldest && now_ns - *oldest < 60 * NS_PER_SEC)
		return false;
	*oldest = now_ns;
	g->sent_at = (g->sent_at + 1) % GATEWAY_SENDS_PER_MINUTE;
	return true;
}

static void queue_flush(struct gateway *g, int64_t now_ns)
{
	while (g->queued > 0 && g->state == GATEWAY_READY && send_allowed(g, now_ns)) {
		struct queued q = g->queue[0];
		memmove(g->queue, g->queue + 1, --g->queued * sizeof(q));
		struct strbuf text = GATEWAY_PAYLOAD_INIT;
		message_send(g, gateway_write_voice_state(&text, q.guild_id, q.channel_id), &text);
	}
}

int gateway_send_voice_state(struct gateway *g, uint64_t guild_id, uint64_t channel_id,
			     int64_t now_ns)
{
	if (g->state != GATEWAY_READY)
		return -EAGAIN;
	if (g->queued == QUEUE_MAX)
		return -ENOBUFS;
	g->queue[g->queued++] = (struct queued){guild_id, channel_id};
	queue_flush(g, now_ns);
	return 0;
}

/* ---- receiving --------------------------------------------------------------------------- */

static void on_hello(struct gateway *g, const struct json_at *root, int64_t now_ns)
{
	if (g->state != GATEWAY_WAIT_HELLO || !gateway_read_hello(root, &g->heartbeat_ns))
		return;
	g->heartbeat_acked = true;
	g->heartbeat_at_ns = now_ns + (int64_t)((double)g->heartbeat_ns * OPS(g)->random(CTX(g)));
	memset(g->sent_ns, 0, sizeof(g->sent_ns)); /* the limit is per connection */
	send_allowed(g, now_ns);
	if (g->resuming) {
		state_set(g, GATEWAY_RESUMING, now_ns + READY_TIMEOUT_NS);
		send_resume(g);
	} else {
		state_set(g, GATEWAY_IDENTIFYING, now_ns + READY_TIMEOUT_NS);
		send_identify(g);
	}
}

static void on_ready(struct gateway *g, const struct json_at *d, int64_t now_ns)
{
	struct gateway_ready ready;
	if (!gateway_read_ready(d, &ready))
		return; /* the document says what is wrong; the time-out repairs */
	g->user_id = ready.user_id;
	g->application_id = ready.application_id;
	strcpy(g->session_id, ready.session_id);
	strcpy(g->resume_url, ready.resume_url ? ready.resume_url : g->base_url);
	g->failures = 0;
	state_set(g, GATEWAY_READY, NEVER);
	g->queued = 0;
	OPS(g)->on_ready(CTX(g), false);
}

static void on_dispatch(struct gateway *g, const struct json_at *root, int64_t now_ns)
{
	const char *event = NULL;
	struct json_at d;
	if (!json_str(root, "t", &event))
		return;
	if (!strcmp(event, "RESUMED")) {
		g->failures = 0;
		state_set(g, GATEWAY_READY, NEVER);
		OPS(g)->on_ready(CTX(g), true);
		queue_flush(g, now_ns);
		return;
	}
	if (!json_has(root, "d") || !json_obj(root, "d", &d)) {
		/* Events whose payload is an array or null are none of ours. */
		return;
	}
	if (!strcmp(event, "READY"))
		on_ready(g, &d, now_ns);
	else
		OPS(g)->on_dispatch(CTX(g), event, &d);
}

/* Closes our side and tries again, resuming if the session is still known. */
static void reconnect(struct gateway *g, int64_t floor_ms, int64_t now_ns)
{
	g->stats.losses++;
	OPS(g)->close(CTX(g), CLOSE_ZOMBIE);
	back_off(g, floor_ms, now_ns);
}

static void on_invalid_session(struct gateway *g, const struct json_at *root, int64_t now_ns)
{
	bool resumable = false;
	json_opt_bool(root, "d", &resumable);
	if (!resumable)
		session_forget(g);
	note(g, "the gateway called the session invalid resumable=%s", resumable ? "yes" : "no");
	/* "wait a random 1 to 5 s" */
	reconnect(g, 1000 + (int64_t)(4000 * OPS(g)->random(CTX(g))), now_ns);
}

static void on_payload(struct gateway *g, const struct json_at *root, int64_t now_ns)
{
	int64_t op = -1, s = -1;
	if (!json_int(root, "op", 0, 1000, &op))
		return;
	if (op == GATEWAY_OP_DISPATCH && json_opt_int(root, "s", 0, INT64_C(1) << 53, &s) && s >= 0)
		g->seq = s;
	if (!json_good(root->doc))
		return;
	switch (op) {
	case GATEWAY_OP_DISPATCH:
		if (g->state >= GATEWAY_IDENTIFYING && g->state <= GATEWAY_READY)
			on_dispatch(g, root, now_ns);
		break;
	case GATEWAY_OP_HEARTBEAT:
		send_heartbeat(g, now_ns);
		break;
	case GATEWAY_OP_RECONNECT:
		note(g, "the gateway asks us to reconnect");
		g->failures = 0;
		reconnect(g, 0, now_ns);
		break;
	case GATEWAY_OP_INVALID_SESSION:
		on_invalid_session(g, root, now_ns);
		break;
	case GATEWAY_OP_HELLO:
		on_hello(g, root, now_ns);
		break;
	case GATEWAY_OP_HEARTBEAT_ACK:
		if (!g->heartbeat_acked && g->heartbeat_sent_ns)
			g->rtt_ns = now_ns - g->heartbeat_sent_ns;
		g->heartbeat_acked = true;
		break;
	default:
		break; /* newer opcodes come and go */
	}
}

void gateway_message(struct gateway *g, const char *text, size_t bytes, int64_t now_ns)
{
	if (g->state < GATEWAY_WAIT_HELLO || g->state > GATEWAY_READY)
		return;
	static const struct json_limits limits = {.max_bytes = GATEWAY_MESSAGE_BYTES_MAX,
						  .max_depth = 64};
	struct json_doc doc;
	if (json_parse(&doc, text, bytes, &limits) == 0) {
		struct json_at root = json_root(&doc);
		if (json_is_obj(&root))
			on_payload(g, &root, now_ns);
	}
	if (doc.error[0])
		note(g, "gateway message refused: %s", doc.error);
	json_free(&doc);
}

void gateway_closed(struct gateway *g, bool opened, int code, int64_t now_ns)
{
	if (g->state < GATEWAY_CONNECTING || g->state > GATEWAY_READY)
		return;
	bool was_ready = g->state == GATEWAY_READY;
	g->stats.losses++;
	g->queued = 0;
	if (!opened) {
		if (g->resuming)
			g->unreached++;
		else
			resume_next(g);
		back_off(g, 1000, now_ns);
		return;
	}
	enum gateway_close_action action = gateway_close_action(code);
	if (action == GATEWAY_CLOSE_FATAL && code == GATEWAY_CLOSE_INTENTS &&
	    gateway_has_content(g)) {
		g->intents &= ~GATEWAY_INTENT_MESSAGE_CONTENT;
		OPS(g)->on_no_content(CTX(g));
		session_forget(g);
		connect_fresh(g, now_ns);
		return;
	}
	if (action == GATEWAY_CLOSE_FATAL) {
		fatal(g, gateway_close_fatal(code));
		return;
	}
	if (action == GATEWAY_CLOSE_IDENTIFY)
		session_forget(g);
	note(g, "the gateway connection ended code=%d next=%s", code,
	     session_resumable(g) ? "resume" : "identify");
	if (was_ready)
		g->failures = 0;
	back_off(g, code == GATEWAY_CLOSE_RATE_LIMITED ? 60000 : 0, now_ns);
}

/* ---- time -------------------------------------------------------------------------------- */

int64_t gateway_deadline_ns(const struct gateway *g)
{
	int64_t at = g->step_at_ns;
	if (g->heartbeat_at_ns < at)
		at = g->heartbeat_at_ns;
	if (g->queued > 0 && g->state == GATEWAY_READY) {
		int64_t room = g->sent_ns[g->sent_at] + 60 * NS_PER_SEC;
		if (room < at)
			at = room;
	}
	return at;
}

static void heartbeat_due(struct gateway *g, int64_t now_ns)
{
	if (!g->heartbeat_acked) {
		note(g, "the gateway stopped answering heartbeats");
		g->failures = 0;
		reconnect(g, 0, now_ns);
		return;
	}
	g->heartbeat_acked = false;
	g->heartbeat_at_ns += g->heartbeat_ns;
	if (g->heartbeat_at_ns <= now_ns) /* after a suspend: no burst of missed ones */
		g->heartbeat_at_ns = now_ns + g->heartbeat_ns;
	send_heartbeat(g, now_ns);
}

static void step_due(struct gateway *g, int64_t now_ns)
{
	switch (g->state) {
	case GATEWAY_SPACING:
		/* It has been waited, by a clock that nobody sets: asked again, a wall clock that was
		 * set back would say the same for as long as it was set back. When a used up budget
		 * is full again Discord knows. */
		if (g->config.budget.remaining == 0)
			discover(g);
		else
			connect_to(g, g->base_url, now_ns);
		break;
	case GATEWAY_BACKOFF:
		connect_again(g, now_ns);
		break;
	case GATEWAY_WAIT_HELLO:
	case GATEWAY_IDENTIFYING:
	case GATEWAY_RESUMING:
		note(g, "the gateway did not answer state=\"%s\"", gateway_state_name(g->state));
		if (g->state == GATEWAY_RESUMING)
			session_forget(g);
		reconnect(g, 1000, now_ns);
		break;
	default:
		g->step_at_ns = NEVER;
		break;
	}
}

void gateway_tick(struct gateway *g, int64_t now_ns)
{
	if (now_ns >= g->heartbeat_at_ns)
		heartbeat_due(g, now_ns);
	if (now_ns >= g->step_at_ns)
		step_due(g, now_ns);
	queue_flush(g, now_ns);
}

/* ---- asking ------------------------------------------------------------------------------ */

enum gateway_state gateway_state(const struct gateway *g)
{
	return g->state;
}

uint64_t gateway_user_id(const struct gateway *g)
{
	return g->user_id;
}

uint64_t gateway_application_id(const struct gateway *g)
{
	return g->application_id;
}

bool gateway_has_content(const struct gateway *g)
{
	return g->intents & GATEWAY_INTENT_MESSAGE_CONTENT;
}

int64_t gateway_rtt_ns(const struct gateway *g)
{
	return g->rtt_ns;
}

void gateway_stats(const struct gateway *g, struct gateway_stats *out)
{
	*out = g->stats;
}
