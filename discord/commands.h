/* SPDX-License-Identifier: MIT
 *
 * commands.h - what people may tell the bot: `$connect`, `@bot connect`, `/connect`, and the same
 * with disconnect and hangup. Recognising, and deciding who may. Pure. Control thread.
 */
#ifndef DISCORD_COMMANDS_H
#define DISCORD_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"

enum command_word {
	COMMAND_NONE,
	COMMAND_CONNECT,
	COMMAND_DISCONNECT,
	COMMAND_HANGUP,
};
const char *command_name(enum command_word word);

/* A message's text: "$connect", or a mention of the bot (<@id> or <@!id>) followed by the word; any
 * case, blanks around, nothing behind it. */
enum command_word command_parse(const char *content, uint64_t bot_id);
/* The name of a slash command. */
enum command_word command_by_name(const char *name);

/* Where a command came from; ids 0 when absent. */
struct command_source {
	uint64_t guild_id, channel_id, message_id, author_id;
	bool bot;          /* the author is a bot, or a webhook */
	uint64_t interaction_id;
	char token[256]; /* of the interaction; "" for messages */
	enum command_word word;
	bool has_role;   /* the author has the role that was asked for (true when none was) */
};

/* MESSAGE_CREATE: true if it is a command of ours. role 0: everybody may. */
bool command_from_message(const struct json_at *d, uint64_t bot_id, uint64_t role,
			  struct command_source *out);
/* INTERACTION_CREATE of type 2. */
bool command_from_interaction(const struct json_at *d, uint64_t role, struct command_source *out);

enum command_verdict {
	COMMAND_ALLOWED,
	COMMAND_IGNORED,  /* by a bot, or from outside a guild: no answer, loops are made that way */
	COMMAND_FORBIDDEN /* the role is missing */
};
enum command_verdict command_judge(const struct command_source *source);

/* The body of PUT …/commands: all slash commands. */
void command_registration(struct json_writer *w);

#endif
