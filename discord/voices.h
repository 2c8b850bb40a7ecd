/* SPDX-License-Identifier: MIT
 *
 * voices.h - who speaks in a line's voice channel: SSRCs by name, the decoders that they share, and how
 * loud each of them was when last heard.
 *
 * Packets are decrypted and go to their speaker's decoder. Those of an SSRC that nobody has named yet are
 * kept for a while. There are fewer decoders than people: who has left or been silent for longest gives
 * way. Audio thread; create and destroy on the control thread. Nothing allocates after create.
 */
#ifndef DISCORD_VOICES_H
#define DISCORD_VOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discord/rtp.h"
#include "discord/speaker.h"

struct dave_media;
struct voices;

#define VOICES_DECODERS 24  /* who can be heard at the same time; the longest silent gives way */
#define VOICES_SSRCS    128 /* SSRCs known by name; voice channels hold up to 99 people */
#define VOICES_HELD     64  /* packets kept from SSRCs that nobody has named yet */

int voices_create(struct voices **out, struct dave_media *dave); /* -ENOMEM */
void voices_destroy(struct voices *v); /* the decoders too; NULL is fine */

/* One more decoder, or one in place of another: see media_line_decoder(). */
struct speaker *voices_decoder(struct voices *v, struct speaker *decoder);
unsigned voices_decoders(const struct voices *v, unsigned *stereo);

/* A new session: all SSRCs are forgotten. */
void voices_forget(struct voices *v);
/* SSRC -> user. ignored: hear nothing of it. */
void voices_name(struct voices *v, uint64_t user_id, uint32_t ssrc, bool ignored, int64_t now_ns);
void voices_left(struct voices *v, uint64_t user_id, int64_t now_ns);
/* Forgets who left a while ago; how many are known then. */
uint32_t voices_expire(struct voices *v, int64_t now_ns);

void voices_packet(struct voices *v, const struct rtp_header *header, const uint8_t *payload,
		   size_t bytes, int64_t arrival_ns);
/* When a packet with sound came last; long ago if none did. */
int64_t voices_heard_ns(const struct voices *v);

/* Those who have a decoder, one after the other, from *at = 0 on; NULL: no more. */
struct speaker *voices_next(const struct voices *v, unsigned *at, uint64_t *user_id);

struct voices_stats {
	uint64_t undecrypted;   /* packets */
	uint64_t never_named;   /* packets dropped because their SSRC was not */
};
void voices_stats(const struct voices *v, struct voices_stats *out);

#endif
