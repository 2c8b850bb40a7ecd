/* SPDX-License-Identifier: MIT
 *
 * voice_codes.h - what a close code of the voice gateway asks for. Pure.
 *
 * The same number means other things on the main gateway (4014 above all): see gateway_codes.h.
 */
#ifndef DISCORD_VOICE_CODES_H
#define DISCORD_VOICE_CODES_H

enum voice_close_action {
	VOICE_CLOSE_RESUME, /* new socket, op 7: everything else goes on */
	VOICE_CLOSE_REJOIN, /* new token and session by op 4: leave, wait, join */
	VOICE_CLOSE_WAIT,   /* kicked or moved: the main gateway's events decide */
	VOICE_CLOSE_PAUSE,  /* rate limited: minutes of nothing, then rejoin */
	VOICE_CLOSE_FATAL,  /* trying again cannot help */
};

enum {
	VOICE_CLOSE_DISCONNECTED = 4014,
	VOICE_CLOSE_UNKNOWN_MODE = 4016,
	VOICE_CLOSE_DAVE_REQUIRED = 4017,
	VOICE_CLOSE_BAD_REQUEST = 4020,
	VOICE_CLOSE_RATE_LIMITED = 4021,
	VOICE_CLOSE_TERMINATED = 4022,
};

enum voice_close_action voice_close_action(int code);
/* A few words for log and status, never NULL. */
const char *voice_close_text(int code);

#endif
