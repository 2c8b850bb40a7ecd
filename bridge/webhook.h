/* SPDX-License-Identifier: MIT
 *
 * webhook.h - what Twilio is told when it asks about a call: POST /voice for a new one, POST
 * /voice/after when the stream of one has ended. Decides only; the HTTP is the server's.
 *
 *	/voice        signature, AccountSid  -> 403
 *	              an idempotency token seen before -> the same answer again
 *	              a call that has ended  -> <Hangup/>
 *	              MAX_CALLS              -> <Reject reason="busy"/>
 *	              else admits the call   -> <Connect> to a stream with a one-time token
 *	/voice/after  the same checks; <Hangup/> if the call was ended by us or reconnects too often,
 *	              else a new <Connect>, also for a call that we know nothing of: it was connected
 *	              before we were restarted
 *
 * Loop's thread; time is an argument.
 */
#ifndef BRIDGE_WEBHOOK_H
#define BRIDGE_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "bridge/call.h"
#include "bridge/token.h"
#include "common/strbuf.h"

#define WEBHOOK_IDEMPOTENT_KEPT 64
#define WEBHOOK_IDEMPOTENT_NS   (120 * INT64_C(1000000000))

struct webhook;

int webhook_create(struct webhook **out, struct call_table *calls, struct token_store *tokens);
void webhook_destroy(struct webhook *webhook);

struct webhook_request {
	const char *method;
	const char *target;       /* raw, undecoded, with its query */
	const char *content_type; /* NULL: none */
	const char *signature;    /* X-Twilio-Signature; NULL: none */
	const char *idempotency;  /* I-Twilio-Idempotency-Token; NULL: none */
	const char *body;
	size_t body_len;
	const char *peer; /* address, for the log */
};

struct webhook_answer {
	int status;
	const char *content_type;
	struct strbuf body; /* the caller's: initialised before, freed after */
};

/* True if `target` is one of the two paths (with or without the prefix of PUBLIC_URL). */
bool webhook_owns(const struct settings *settings, const char *target);

void webhook_handle(struct webhook *webhook, struct settings *settings,
		    const struct webhook_request *request, int64_t now_ns, int64_t now_wall_ms,
		    struct webhook_answer *answer);

#endif
