/* SPDX-License-Identifier: MIT
 *
 * voice_link.h - one line's voice session in the world: voice_gateway's state machine with its
 * WebSocket, DAVE's with its keys, and the audio thread's UDP. Control thread.
 */
#ifndef DISCORD_VOICE_LINK_H
#define DISCORD_VOICE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "discord/media.h"
#include "discord/voice_gateway.h"

struct loop;
struct http_client;
struct dave_identity;
struct dave_media;
struct voice_link;

struct voice_link_ops {
	void (*on_ready)(void *ctx);
	void (*on_end)(void *ctx, enum voice_outcome outcome, const char *why);
	/* Hear nothing of this user (IGNORE_BOTS). */
	bool (*is_ignored)(void *ctx, uint64_t user_id);
	/* State or encryption changed: the local API should show it. */
	void (*on_change)(void *ctx);
};

struct voice_link_config {
	struct loop *loop;
	struct http_client *resolver;
	const char *ca_file; /* or NULL; kept by pointer */
	struct media *media;
	int line;
	const struct dave_identity *identity;
	struct dave_media *dave_media;
	const struct voice_link_ops *ops;
	void *ctx;
};

int voice_link_create(struct voice_link **out, const struct voice_link_config *config);
void voice_link_destroy(struct voice_link *v);

/* users: who is in the channel by the main gateway's voice states. -EINVAL: unusable endpoint. */
int voice_link_start(struct voice_link *v, const struct voice_session *session,
		     uint64_t channel_id, const uint64_t *users, size_t user_count);
void voice_link_stop(struct voice_link *v);
/* The main gateway says that a user is in our channel now, or no longer. */
void voice_link_user(struct voice_link *v, uint64_t user_id, bool present);

/* From the audio thread, by media_events. */
void voice_link_discovered(struct voice_link *v, unsigned generation, const char *address,
			   uint16_t port);
void voice_link_dead(struct voice_link *v, unsigned generation, enum voice_dead why);

/* Members of an object that is open: gateway, encryption, privacy code. */
void voice_link_write_json(const struct voice_link *v, struct json_writer *w);

#endif
