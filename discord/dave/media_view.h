/* SPDX-License-Identifier: MIT
 *
 * media_view.h - all media keys of one moment: what the control thread hands to the audio thread.
 *
 * The control thread keeps one view as its working copy and publishes clones of it; a published
 * view never changes. Keys and users are shared between views by reference. Everything here is
 * the control thread's, but reading a published view is the audio thread's.
 */
#ifndef DISCORD_DAVE_MEDIA_VIEW_H
#define DISCORD_DAVE_MEDIA_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discord/dave/media_key.h"

#define DAVE_USER_KEYS_MAX 8 /* epochs held for one user; the oldest makes room */

/* One remote user's luck in being understood, shared by all views. */
struct dave_media_user {
	int refs; /* control thread */
	/* Protocol frames that failed one after the other. Writers: audio thread (counts, clears at
	 * success) and control thread (clears); reader: control thread. */
	_Atomic unsigned failures;
};

struct dave_view_key {
	struct dave_media_key *key;
	int64_t expires_ns; /* DAVE_NEVER: no newer one yet */
};

struct dave_view_user {
	uint64_t user_id;
	struct dave_media_user *state;
	size_t key_count;
	struct dave_view_key keys[DAVE_USER_KEYS_MAX]; /* newest first */
};

struct dave_media_view {
	bool send_plain;             /* version 0: outgoing packets pass unchanged */
	struct dave_media_key *send; /* or NULL: nothing to send with yet */
	int64_t plain_until_ns;      /* plain frames are accepted before this; DAVE_NEVER: always */
	size_t user_count, user_room;
	struct dave_view_user users[]; /* ascending by user_id */
};

/* Empty: no key, nothing plain. room: how many users can be added. -ENOMEM. */
int dave_media_view_create(struct dave_media_view **out, size_t room);
/* A copy with room for more users. -ENOMEM. */
int dave_media_view_clone(struct dave_media_view **out, const struct dave_media_view *v,
			  size_t more);
void dave_media_view_destroy(struct dave_media_view *v); /* takes NULL */

/* Replaces the sending key (a reference is taken; NULL: none). */
void dave_media_view_send(struct dave_media_view *v, struct dave_media_key *key);
/* Puts a new epoch's key of a user in front. -ENOMEM; -ENOSPC: a new user, and no room. */
int dave_media_view_add(struct dave_media_view *v, uint64_t user_id, struct dave_media_key *key);
/* All receiving keys end at this time at the latest. */
void dave_media_view_expire(struct dave_media_view *v, int64_t at_ns);
/* Drops expired keys, and users without any. Returns how many keys went. */
size_t dave_media_view_prune(struct dave_media_view *v, int64_t now_ns);

const struct dave_view_user *dave_media_view_find(const struct dave_media_view *v,
						  uint64_t user_id);

#endif
