/* SPDX-License-Identifier: MIT
 *
 * bridge_settings.h - the settings that loopline-bridge knows, and what follows from them.
 */
#ifndef BRIDGE_BRIDGE_SETTINGS_H
#define BRIDGE_BRIDGE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/settings.h"

/* The table for settings_main(). */
extern const struct settings_program bridge_settings_program;

enum bridge_connect {
	BRIDGE_CONNECT_COMMAND,
	BRIDGE_CONNECT_CALL,
};

/* Where Twilio reaches us, without a slash at the end: PUBLIC_URL, or LISTEN where that is not set
 * (TWILIO_VALIDATE=off). Written into `out`; the same with ws(s) instead of http(s). */
#define BRIDGE_URL_BYTES 1024
void bridge_public_url(const struct settings *settings, char out[BRIDGE_URL_BYTES]);
void bridge_stream_url(const struct settings *settings, char out[BRIDGE_URL_BYTES]);
/* The path part of PUBLIC_URL, "" or "/prefix". */
const char *bridge_public_prefix(const struct settings *settings);

/* The line whose NUMBER list has `to`; 0 takes the rest. */
int bridge_line_for(const struct settings *settings, const char *to);

/* Do signatures have to be right? */
bool bridge_validates(const struct settings *settings);
/* Can we ask Twilio's REST API anything? */
bool bridge_has_account(const struct settings *settings);

#endif
