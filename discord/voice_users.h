/* SPDX-License-Identifier: MIT
 *
 * voice_users.h - who is in which voice channel, by the main gateway's voice states, and who of
 * them is a bot. Only guilds that a line is in are kept. Bounded. Control thread.
 */
#ifndef DISCORD_VOICE_USERS_H
#define DISCORD_VOICE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOICE_USERS_KEPT 4096

struct voice_users;
int voice_users_create(struct voice_users **out);
void voice_users_destroy(struct voice_users *u);

/* channel 0: in none. bot -1: not said (what is known stays). */
void voice_users_set(struct voice_users *u, uint64_t guild, uint64_t user, uint64_t channel,
		     int bot);
/* GUILD_CREATE tells all voice states anew. */
void voice_users_forget_guild(struct voice_users *u, uint64_t guild);
uint64_t voice_users_channel(const struct voice_users *u, uint64_t guild, uint64_t user);
bool voice_users_is_bot(const struct voice_users *u, uint64_t guild, uint64_t user);
/* Fills ids of those in the channel; returns how many were filled. */
size_t voice_users_in(const struct voice_users *u, uint64_t guild, uint64_t channel, uint64_t *ids,
		      size_t max);

#endif
