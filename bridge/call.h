/* SPDX-License-Identifier: MIT
 *
 * call.h - the calls that there are, and what becomes of each.
 *
 *	        admit          attach           detach, no stop      10 s
 *	(none) ───────▶ NEW ──────────▶ LIVE ──────────────▶ REATTACHING ───▶ ENDED
 *	                 │ no stream      │ stop, hang-up,        │ attach
 *	                 ▼                ▼ a limit               ▼
 *	               ENDED            ENDED                    LIVE
 *
 * A call is what the telephone network thinks it is (a CallSid); streams come and go under it. An
 * ended call is forgotten but for its CallSid, which stays refused for a while. No I/O here: what
 * has to happen is said by hooks, time is an argument, so all of it runs in simulated time. Belongs
 * to the loop's thread.
 */
#ifndef BRIDGE_CALL_H
#define BRIDGE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_SID_BYTES    64
#define CALL_NUMBER_BYTES 64
#define CALL_MAX          256 /* ceiling of MAX_CALLS */
#define CALL_ENDED_KEPT   512 /* CallSids of ended calls that are remembered */

#define CALL_NEW_NS         (70 * INT64_C(1000000000)) /* a token's life and 10 s to start */
#define CALL_REATTACH_NS    (10 * INT64_C(1000000000))
#define CALL_RECONNECTS     3 /* new streams of one call … */
#define CALL_RECONNECTS_NS  (60 * INT64_C(1000000000)) /* … within this time */
#define CALL_NOTICE_NS      (INT64_C(2500000000)) /* notice tone before we hang up */

enum call_state {
	CALL_NEW,
	CALL_LIVE,
	CALL_REATTACHING,
	CALL_ENDED,
};

enum call_end {
	CALL_END_CALLER,  /* `stop` came: the caller hung up */
	CALL_END_LOST,    /* the stream broke and no other came */
	CALL_END_NEVER,   /* admitted, but no stream ever came */
	CALL_END_HANGUP,  /* somebody asked for it */
	CALL_END_WAITING, /* WAITING_MAX */
	CALL_END_LIMIT,   /* MAX_CALL_MINUTES */
};

/* For people and the local API: "caller hung up". */
const char *call_end_text(enum call_end reason);

struct call;
struct call_table;
struct settings;

struct call_hooks {
	/* The state is another: admitted, live (again), reattaching. */
	void (*changed)(void *user, struct call *call);
	/* The last word about a call; it is freed when this returns. If we ended it (see
	 * call_end_is_ours()) the network must be told. */
	void (*ended)(void *user, struct call *call, enum call_end reason);
	/* `stream` is not this call's any more (a newer one took its place, or the call ended):
	 * close it. call_detach() must not be called for it again. */
	void (*drop_stream)(void *user, struct call *call, void *stream);
	/* The notice tone has to be played now; the call ends CALL_NOTICE_NS later. */
	void (*notice)(void *user, struct call *call);
	void *user;
};

/* Everything about one call that others may read; written by call.c only. */
struct call {
	char sid[CALL_SID_BYTES];
	char from[CALL_NUMBER_BYTES];
	char to[CALL_NUMBER_BYTES];
	int line;
	enum call_state state;
	int64_t since_ns;      /* admitted, monotonic */
	int64_t since_wall_ms; /* the same for people */
	void *stream;          /* the owner's; NULL unless live */
	void *leg;             /* for the owner: the call's place on its line */
	struct settings *settings; /* as they were when the call came; may be NULL in tests */

	/* private */
	int64_t deadline_ns;      /* of NEW and REATTACHING; 0: none */
	int64_t waiting_since_ns; /* 0: not waiting */
	int64_t waiting_max_ns;   /* 0: no limit */
	int64_t max_ns;           /* 0: no limit */
	int64_t notice_end_ns;    /* 0: no notice is being played */
	enum call_end notice_reason;
	int64_t reconnect_ns[CALL_RECONNECTS]; /* when new streams were granted, a ring */
	unsigned reconnects;
};

int call_table_create(struct call_table **out, const struct call_hooks *hooks);
/* Ends nothing: the calls go on in the network and come back to the next process. */
void call_table_destroy(struct call_table *table);

struct call_params {
	const char *sid, *from, *to; /* numbers are cut to their field */
	int line;
	int max_calls;          /* refuse with more than this */
	int64_t waiting_max_ns; /* 0: no limit */
	int64_t max_ns;         /* 0: no limit */
	struct settings *settings; /* one reference is taken */
	int64_t now_ns, now_wall_ms;
};

/*
 * Admits a call (NEW). Returns 0 and the call; -EEXIST and the call if it is there already;
 * -ESTALE for a call that ended; -EBUSY with max_calls there; -EINVAL for a CallSid that is too
 * long or empty; -ENOMEM.
 */
int call_admit(struct call_table *table, struct call **out, const struct call_params *params);

struct call *call_find(struct call_table *table, const char *sid);
size_t call_count(const struct call_table *table);
/* for (struct call *c = call_next(t, NULL); c; c = call_next(t, c)) … */
struct call *call_next(struct call_table *table, const struct call *after);

/* What we know of a CallSid that call_find() does not know. */
enum call_memory {
	CALL_UNKNOWN,       /* never seen, or forgotten, or before a restart */
	CALL_OVER,          /* it ended by itself */
	CALL_ENDED_BY_US,
};
enum call_memory call_remember(const struct call_table *table, const char *sid);
/* The network says that it is there after all (its stream stopped, the call went on). */
void call_forget_ended(struct call_table *table, const char *sid);

/*
 * A stream of the call is over and the network asks what to do. True: hand out a new one. False:
 * there have been too many lately; end it.
 */
bool call_reconnect(struct call *call, int64_t now_ns);

/* `stream` carries the call from now on; an older one is dropped. */
void call_attach(struct call_table *table, struct call *call, void *stream, int64_t now_ns);
/* `stream` is gone; `stopped` if it was told so by a `stop`. Ignored unless it is the call's. May
 * end the call. */
void call_detach(struct call_table *table, struct call *call, const void *stream, bool stopped,
		 int64_t now_ns);
/* A socket that was to become the call's stream is gone before it was. If the call goes on the network
 * asks what to do within seconds; a caller who hung up meanwhile is not told of in any other way. */
void call_stream_failed(struct call *call, int64_t now_ns);
/* The line's channel is connected or not. */
void call_set_waiting(struct call *call, bool waiting, int64_t now_ns);
/* Ends a call now. */
void call_finish(struct call_table *table, struct call *call, enum call_end reason, int64_t now_ns);

/* True if it was us who ended it, so that the network does not know yet. */
bool call_end_is_ours(enum call_end reason);

/* Does what is due; the next time that something will be, INT64_MAX for never. */
void call_table_run(struct call_table *table, int64_t now_ns);
int64_t call_table_deadline(const struct call_table *table);

#endif
