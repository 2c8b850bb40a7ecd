/* SPDX-License-Identifier: MIT
 *
 * voice_codes.c - see voice_codes.h.
 */
#include "discord/voice_codes.h"

#include <stddef.h>

static const struct {
	int code;
	enum voice_close_action action;
	const char *text;
} codes[] = {
	{4001, VOICE_CLOSE_REJOIN, "we sent an unknown opcode"},
	{4002, VOICE_CLOSE_REJOIN, "our payload could not be decoded"},
	{4003, VOICE_CLOSE_REJOIN, "something was sent before identify"},
	{4004, VOICE_CLOSE_REJOIN, "the voice token is stale"},
	{4005, VOICE_CLOSE_REJOIN, "identified twice"},
	/* Identifying or resuming with the same data again only brings 4006 again. */
	{4006, VOICE_CLOSE_REJOIN, "the voice session is no longer valid"},
	{4009, VOICE_CLOSE_REJOIN, "the voice session timed out"},
	{4011, VOICE_CLOSE_REJOIN, "the voice server was not found"},
	{4012, VOICE_CLOSE_REJOIN, "unknown protocol"},
	{4013, VOICE_CLOSE_RESUME, "the media server crashed"}, /* not documented by Discord */
	{4014, VOICE_CLOSE_WAIT, "disconnected or moved"},
	{4015, VOICE_CLOSE_RESUME, "the voice server crashed"},
	{4016, VOICE_CLOSE_REJOIN, "the encryption mode is not known there"},
	{4017, VOICE_CLOSE_FATAL, "end-to-end encryption (DAVE) is required"},
	{4020, VOICE_CLOSE_FATAL, "bad request"},
	{4021, VOICE_CLOSE_PAUSE, "rate limited"},
	/* Also sent instead of 4014 when kicked while alone, and on moves. */
	{4022, VOICE_CLOSE_WAIT, "the call was terminated"},
};

enum voice_close_action voice_close_action(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].action;
	return code < 4000 ? VOICE_CLOSE_RESUME : VOICE_CLOSE_REJOIN;
}

const char *voice_close_text(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].text;
	return code < 4000 ? "the connection was lost" : "unknown reason";
}
