/* SPDX-License-Identifier: MIT
 *
 * voice_users.c - see voice_users.h.
 */
#include "discord/voice_users.h"

#include <errno.h>
#include <stdlib.h>

struct entry {
	uint64_t guild, user, channel;
	bool bot;
};

struct voice_users {
	struct entry *entries;
	size_t count, room;
};

int voice_users_create(struct voice_users **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void voice_users_destroy(struct voice_users *u)
{
	if (!u)
		return;
	free(u->entries);
	free(u);
}

static struct entry *find(const struct voice_users *u, uint64_t guild, uint64_t user)
{
	for (size_t i = 0; i < u->count; i++)
		if (u->entries[i].user == user && u->entries[i].guild == guild)
			return &u->entries[i];
	return NULL;
}

void voice_users_set(struct voice_users *u, uint64_t guild, uint64_t user, uint64_t channel,
		     int bot)
{
	struct entry *e = find(u, guild, user);
	if (channel == 0) {
		if (e)
			*e = u->entries[--u->count];
		return;
	}
	if (!e) {
		if (u->count == VOICE_USERS_KEPT)
			return;
		if (u->count == u->room) {
			size_t room = u->room ? u->room * 2 : 64;
			struct entry *more = reallocarray(u->entries, room, sizeof(*more));
			if (!more)
				return; /* that user is unknown: a detail, never a failure */
			u->entries = more;
			u->room = room;
		}
		e = &u->entries[u->count++];
		*e = (struct entry){.guild = guild, .user = user};
	}
	e->channel = channel;
	if (bot >= 0)
		e->bot = bot;
}

void voice_users_forget_guild(struct voice_users *u, uint64_t guild)
{
	for (size_t i = 0; i < u->count;) {
		if (u->entries[i].guild == guild)
			u->entries[i] = u->entries[--u->count];
		else
			i++;
	}
}

uint64_t voice_users_channel(const struct voice_users *u, uint64_t guild, uint64_t user)
{
	const struct entry *e = find(u, guild, user);
	return e ? e->channel : 0;
}

bool voice_users_is_bot(const struct voice_users *u, uint64_t guild, uint64_t user)
{
	const struct entry *e = find(u, guild, user);
	return e && e->bot;
}

size_t voice_users_in(const struct voice_users *u, uint64_t guild, uint64_t channel, uint64_t *ids,
		      size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < u->count && n < max; i++)
		if (u->entries[i].guild == guild && u->entries[i].channel == channel)
			ids[n++] = u->entries[i].user;
	return n;
}
