/* SPDX-License-Identifier: MIT
 *
 * gateway_codes.h - what a close code of the main gateway asks for. Pure.
 */
#ifndef DISCORD_GATEWAY_CODES_H
#define DISCORD_GATEWAY_CODES_H

enum {
	GATEWAY_CLOSE_BAD_TOKEN = 4004,
	GATEWAY_CLOSE_RATE_LIMITED = 4008,
	GATEWAY_CLOSE_INTENTS = 4014, /* not to be taken for the voice gateway's 4014 */
};

enum gateway_close_action {
	GATEWAY_CLOSE_RESUME,
	GATEWAY_CLOSE_IDENTIFY,
	GATEWAY_CLOSE_FATAL,
};

enum gateway_close_action gateway_close_action(int code);

/* For fatal codes: what is wrong and what the operator has to do. NULL for others. */
const char *gateway_close_fatal(int code);

#endif
