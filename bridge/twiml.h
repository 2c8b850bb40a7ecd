/* SPDX-License-Identifier: MIT
 *
 * twiml.h - the answers that the webhook gives to Twilio, as XML. Pure, any thread.
 *
 * Every value is escaped, so nothing that came from a caller or an operator can become markup.
 */
#ifndef BRIDGE_TWIML_H
#define BRIDGE_TWIML_H

#include "common/strbuf.h"

#define TWIML_CONTENT_TYPE "text/xml"
#define TWIML_MAX_BYTES    4000 /* Twilio's limit for documents given by REST; ours are ~500 */

/* Appends `text` with & < > " ' escaped; control characters that XML 1.0 forbids become '?'. */
void twiml_escape(struct strbuf *out, const char *text);

/*
 * Connects the call to `stream_url` (wss://…, no query: Twilio drops it) with `token` as the
 * parameter "token", and asks `after_url` what to do when the stream has ended. Nothing may follow
 * from the end of a stream by itself: without the redirect Twilio would hang up, and every restart
 * of ours would cut calls. The pause gives a restarting process a second to come back.
 */
void twiml_connect(struct strbuf *out, const char *stream_url, const char *token,
		   const char *after_url);

enum twiml_reject {
	TWIML_REJECT_REJECTED, /* "not in service" */
	TWIML_REJECT_BUSY,
};

/* Refuses a call that has not been answered yet; the only answer that costs nobody anything. */
void twiml_reject(struct strbuf *out, enum twiml_reject reason);

/* Ends a call that was answered. */
void twiml_hangup(struct strbuf *out);

#endif
