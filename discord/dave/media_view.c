/* SPDX-License-Identifier: MIT
 *
 * media_view.c - views of media keys: build, copy, expire.
 */
#include "discord/dave/media_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void user_unref(struct dave_media_user *u)
{
	if (--u->refs == 0)
		free(u);
}

static void view_user_clear(struct dave_view_user *u)
{
	user_unref(u->state);
	for (size_t i = 0; i < u->key_count; i++)
		dave_media_key_unref(u->keys[i].key);
}

int dave_media_view_create(struct dave_media_view **out, size_t room)
{
	struct dave_media_view *v = calloc(1, sizeof(*v) + room * sizeof(v->users[0]));

	if (!v)
		return -ENOMEM;
	v->user_room = room;
	*out = v;
	return 0;
}

int dave_media_view_clone(struct dave_media_view **out, const struct dave_media_view *v,
			  size_t more)
{
	struct dave_media_view *copy;
	int rc = dave_media_view_create(&copy, v->user_count + more);

	if (rc)
		return rc;
	copy->send_plain = v->send_plain;
	copy->send = dave_media_key_ref(v->send);
	copy->plain_until_ns = v->plain_until_ns;
	copy->user_count = v->user_count;
	memcpy(copy->users, v->users, v->user_count * sizeof(v->users[0]));
	for (size_t i = 0; i < copy->user_count; i++) {
		copy->users[i].state->refs++;
		for (size_t j = 0; j < copy->users[i].key_count; j++)
			dave_media_key_ref(copy->users[i].keys[j].key);
	}
	*out = copy;
	return 0;
}

void dave_media_view_destroy(struct dave_media_view *v)
{
	if (!v)
		return;
	dave_media_key_unref(v->send);
	for (size_t i = 0; i < v->user_count; i++)
		view_user_clear(&v->users[i]);
	free(v);
}

void dave_media_view_send(struct dave_media_view *v, struct dave_media_key *key)
{
	dave_media_key_ref(key);
	dave_media_key_unref(v->send);
	v->send = key;
}

/* Index of the user, or of the first one beyond. */
static size_t view_place(const struct dave_media_view *v, uint64_t user_id)
{
	size_t low = 0, high = v->user_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->users[mid].user_id < user_id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct dave_view_user *dave_media_view_find(const struct dave_media_view *v, uint64_t user_id)
{
	size_t at = view_place(v, user_id);

	return at < v->user_count && v->users[at].user_id == user_id ? &v->users[at] : NULL;
}

int dave_media_view_add(struct dave_media_view *v, uint64_t user_id, struct dave_media_key *key)
{
	size_t at = view_place(v, user_id);
	struct dave_view_user *u = &v->users[at];

	if (at == v->user_count || u->user_id != user_id) {
		struct dave_media_user *state;

		if (v->user_count == v->user_room)
			return -ENOSPC;
		state = calloc(1, sizeof(*state));
		if (!state)
			return -ENOMEM;
		state->refs = 1;
		memmove(u + 1, u, (v->user_count - at) * sizeof(*u));
		memset(u, 0, sizeof(*u));
		u->user_id = user_id;
		u->state = state;
		v->user_count++;
	}
	if (u->key_count == DAVE_USER_KEYS_MAX)
		dave_media_key_unref(u->keys[--u->key_count].key);
	memmove(u->keys + 1, u->keys, u->key_count * sizeof(u->keys[0]));
	u->keys[0].key = dave_media_key_ref(key);
	u->keys[0].expires_ns = DAVE_NEVER;
	u->key_count++;
	return 0;
}

void dave_media_view_expire(struct dave_media_view *v, int64_t at_ns)
{
	for (size_t i = 0; i < v->user_count; i++) {
		for (size_t j = 0; j < v->users[i].key_count; j++) {
			if (v->users[i].keys[j].expires_ns > at_ns)
				v->users[i].keys[j].expires_ns = at_ns;
		}
	}
}

size_t dave_media_view_prune(struct dave_media_view *v, int64_t now_ns)
{
	size_t kept_users = 0, gone = 0;

	for (size_t i = 0; i < v->user_count; i++) {
		struct dave_view_user *u = &v->users[i];
		size_t kept = 0;

		for (size_t j = 0; j < u->key_count; j++) {
			if (u->keys[j].expires_ns > now_ns) {
				u->keys[kept++] = u->keys[j];
			} else {
				dave_media_key_unref(u->keys[j].key);
				gone++;
			}
		}
		u->key_count = kept;
		if (kept == 0)
			view_user_clear(u);
		else
			v->users[kept_users++] = *u;
	}
	v->user_count = kept_users;
	return gone;
}
