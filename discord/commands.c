/* SPDX-License-Identifier: MIT
 *
 * commands.c - see commands.h.
 */
#include "discord/commands.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	enum command_word word;
	const char *name, *description;
} words[] = {
	{COMMAND_CONNECT, "connect", "Bring the phone line into its voice channel"},
	{COMMAND_DISCONNECT, "disconnect", "Take the phone line out of the voice channel"},
	{COMMAND_HANGUP, "hangup", "End the calls on the phone line"},
};
#define WORDS (sizeof(words) / sizeof(words[0]))

const char *command_name(enum command_word word)
{
	for (size_t i = 0; i < WORDS; i++)
		if (words[i].word == word)
			return words[i].name;
	return "none";
}

enum command_word command_by_name(const char *name)
{
	for (size_t i = 0; i < WORDS; i++)
		if (!strcasecmp(words[i].name, name))
			return words[i].word;
	return COMMAND_NONE;
}

/* The word at p up to the end, blanks around it allowed. */
static enum command_word word_alone(const char *p)
{
	char word[16];
	while (isspace((unsigned char)*p))
		p++;
	size_t n = strlen(p);
	while (n > 0 && isspace((unsigned char)p[n - 1]))
		n--;
	if (n == 0 || n >= sizeof(word))
		return COMMAND_NONE;
	memcpy(word, p, n);
	word[n] = 0;
	return command_by_name(word);
}

enum command_word command_parse(const char *content, uint64_t bot_id)
{
	char mention[32];
	while (isspace((unsigned char)*content))
		content++;
	if (*content == '$')
		return isspace((unsigned char)content[1]) ? COMMAND_NONE : word_alone(content + 1);
	for (int nick = 0; nick < 2; nick++) {
		int n = snprintf(mention, sizeof(mention), "<@%s%" PRIu64 ">", nick ? "!" : "", bot_id);
		if (!strncmp(content, mention, (size_t)n)) {
			content += n;
			while (isspace((unsigned char)*content))
				content++;
			return word_alone(*content == '$' ? content + 1 : content);
		}
	}
	return COMMAND_NONE;
}

static bool role_held(const struct json_at *member, uint64_t role)
{
	struct json_at roles, e;
	if (role == 0)
		return true;
	if (!member->node || !json_opt_arr(member, "roles", &roles) || !roles.node)
		return false;
	for (bool more = json_first(&roles, &e); more; more = json_next(&e)) {
		uint64_t id;
		if (json_value_id(&e, &id) && id == role)
			return true;
	}
	return false;
}

bool command_from_message(const struct json_at *d, uint64_t bot_id, uint64_t role,
			  struct command_source *out)
{
	const char *content = "";
	struct json_at author = {.doc = d->doc}, member = {.doc = d->doc};
	uint64_t webhook = 0;
	memset(out, 0, sizeof(*out));
	if (!json_opt_str(d, "content", &content))
		return false;
	out->word = command_parse(content, bot_id);
	if (out->word == COMMAND_NONE || !json_obj(d, "author", &author))
		return false;
	json_id(&author, "id", &out->author_id);
	json_opt_bool(&author, "bot", &out->bot);
	json_opt_id(d, "webhook_id", &webhook);
	out->bot = out->bot || webhook != 0;
	json_opt_id(d, "guild_id", &out->guild_id);
	json_id(d, "channel_id", &out->channel_id);
	json_id(d, "id", &out->message_id);
	json_opt_obj(d, "member", &member);
	out->has_role = role_held(&member, role);
	return json_good(d->doc);
}

bool command_from_interaction(const struct json_at *d, uint64_t role, struct command_source *out)
{
	int64_t type = 0;
	const char *name = "", *token = "";
	struct json_at data = {.doc = d->doc}, member = {.doc = d->doc}, user = {.doc = d->doc};
	memset(out, 0, sizeof(*out));
	if (!json_int(d, "type", 0, 1000, &type) || type != 2)
		return false;
	if (!json_id(d, "id", &out->interaction_id) || !json_str(d, "token", &token) ||
	    !json_obj(d, "data", &data) || !json_str(&data, "name", &name))
		return false;
	if (strlen(token) >= sizeof(out->token)) {
		json_fail(d, "token", "expected at most %zu characters", sizeof(out->token) - 1);
		return false;
	}
	strcpy(out->token, token);
	out->word = command_by_name(name);
	json_opt_id(d, "guild_id", &out->guild_id);
	json_opt_id(d, "channel_id", &out->channel_id);
	if (json_opt_obj(d, "member", &member) && member.node &&
	    json_opt_obj(&member, "user", &user) && user.node) {
		json_opt_id(&user, "id", &out->author_id);
		json_opt_bool(&user, "bot", &out->bot);
	}
	out->has_role = role_held(&member, role);
	return json_good(d->doc) && out->word != COMMAND_NONE;
}

enum command_verdict command_judge(const struct command_source *s)
{
	if (s->bot || s->guild_id == 0)
		return COMMAND_IGNORED;
	return s->has_role ? COMMAND_ALLOWED : COMMAND_FORBIDDEN;
}

void command_registration(struct json_writer *w)
{
	json_w_arr(w, NULL);
	for (size_t i = 0; i < WORDS; i++) {
		json_w_obj(w, NULL);
		json_w_str(w, "name", words[i].name);
		json_w_int(w, "type", 1);
		json_w_str(w, "description", words[i].description);
		json_w_end(w);
	}
	json_w_end(w);
}
