/* SPDX-License-Identifier: MIT
 *
 * gateway_codes.c - see gateway_codes.h.
 */
#include "discord/gateway_codes.h"

#include <stddef.h>

static const struct {
	int code;
	enum gateway_close_action action;
	const char *sentence;
} codes[] = {
	{4003, GATEWAY_CLOSE_IDENTIFY, NULL}, /* not authenticated */
	{4007, GATEWAY_CLOSE_IDENTIFY, NULL}, /* invalid seq */
	{4009, GATEWAY_CLOSE_IDENTIFY, NULL}, /* session timed out */
	{4004, GATEWAY_CLOSE_FATAL,
	 "Discord refuses BOT_TOKEN (4004): copy the token again from the developer portal, page "
	 "Bot, or reset it there"},
	{4010, GATEWAY_CLOSE_FATAL,
	 "Discord calls our shard invalid (4010): this program uses no sharding, so this bot needs "
	 "another one; please report it"},
	{4011, GATEWAY_CLOSE_FATAL,
	 "Discord demands sharding (4011): the bot is in more than 2500 guilds; use a bot of its own "
	 "for the phone"},
	{4012, GATEWAY_CLOSE_FATAL,
	 "Discord no longer speaks gateway version 10 (4012): install a newer version of loopline"},
	{4013, GATEWAY_CLOSE_FATAL,
	 "Discord calls our intents invalid (4013): install a newer version of loopline"},
	{4014, GATEWAY_CLOSE_FATAL,
	 "Discord refuses the intents of this bot (4014) even without message content: check the "
	 "page Bot in the developer portal"},
};

enum gateway_close_action gateway_close_action(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].action;
	return GATEWAY_CLOSE_RESUME;
}

const char *gateway_close_fatal(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].sentence;
	return NULL;
}
