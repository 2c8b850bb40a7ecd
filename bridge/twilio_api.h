/* SPDX-License-Identifier: MIT
 *
 * twilio_api.h - the two questions that we have for Twilio's REST API (2010-04-01): end this call,
 * and what is this call. Loop's thread; answers come by callback on it.
 */
#ifndef BRIDGE_TWILIO_API_H
#define BRIDGE_TWILIO_API_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/call.h"
#include "common/http_client.h"
#include "common/loop.h"
#include "common/settings.h"

#define TWILIO_HANGUPS_MAX 256 /* calls being ended at once; more than there can be calls */

struct twilio_api;

int twilio_api_create(struct twilio_api **out, struct loop *loop, struct http_client *http);
/* Drops what is under way. */
void twilio_api_destroy(struct twilio_api *api);

/*
 * Ends a call (Status=completed) and tries again until Twilio says that it is over - one that it
 * does not know is - or that we may not; gives up after 10 minutes. Does nothing without an
 * account in the settings. A second request for the same call changes nothing.
 */
void twilio_api_hangup(struct twilio_api *api, struct settings *settings, const char *call_sid);
size_t twilio_api_hangups(const struct twilio_api *api); /* under way */

struct twilio_call {
	int error;        /* 0, or -errno: -ENOENT no such call, -EACCES, -EIO ... */
	bool in_progress; /* and of our account */
	char from[CALL_NUMBER_BYTES];
	char to[CALL_NUMBER_BYTES];
};

/* One fetch; done() runs once, unless the api is destroyed before. -errno: it does not run. */
int twilio_api_fetch(struct twilio_api *api, struct settings *settings, const char *call_sid,
		     void (*done)(void *arg, const struct twilio_call *call), void *arg);

/* What an error code of Twilio means for an operator, or NULL. */
const char *twilio_error_hint(int code);

#endif
