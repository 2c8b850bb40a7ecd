/* SPDX-License-Identifier: MIT
 *
 * user_set.h - a bounded, sorted set of user ids.
 */
#ifndef DISCORD_DAVE_USER_SET_H
#define DISCORD_DAVE_USER_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USER_SET_MAX 16384

struct user_set {
	uint64_t *ids; /* ascending */
	size_t count, room;
};

void user_set_clear(struct user_set *set);
/* 0 also when it is in already; -ENOMEM; -ENOSPC above USER_SET_MAX. */
int user_set_add(struct user_set *set, uint64_t id);
void user_set_remove(struct user_set *set, uint64_t id);
bool user_set_has(const struct user_set *set, uint64_t id);

#endif
