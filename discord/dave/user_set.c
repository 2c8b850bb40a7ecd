/* SPDX-License-Identifier: MIT
 *
 * user_set.c - a sorted array of user ids.
 */
#include "discord/dave/user_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t user_set_place(const struct user_set *set, uint64_t id)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->ids[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void user_set_clear(struct user_set *set)
{
	free(set->ids);
	memset(set, 0, sizeof(*set));
}

bool user_set_has(const struct user_set *set, uint64_t id)
{
	size_t at = user_set_place(set, id);

	return at < set->count && set->ids[at] == id;
}

int user_set_add(struct user_set *set, uint64_t id)
{
	size_t at = user_set_place(set, id);

	if (at < set->count && set->ids[at] == id)
		return 0;
	if (set->count == USER_SET_MAX)
		return -ENOSPC;
	if (set->count == set->room) {
		size_t room = set->room ? set->room * 2 : 16;
		uint64_t *ids = realloc(set->ids, room * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		set->ids = ids;
		set->room = room;
	}
	memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof(*set->ids));
	set->ids[at] = id;
	set->count++;
	return 0;
}

void user_set_remove(struct user_set *set, uint64_t id)
{
	size_t at = user_set_place(set, id);

	if (at == set->count || set->ids[at] != id)
		return;
	set->count--;
	memmove(set->ids + at, set->ids + at + 1, (set->count - at) * sizeof(*set->ids));
}
