/* SPDX-License-Identifier: MIT
 *
 * talker.h - the line's sound on its way to Discord: samples in, Opus packets out.
 *
 * Takes what was captured from `phone` in pieces of any size, cuts it into 20 ms frames counted
 * from the first sample that is not silent, and hands each packet out the moment its frame is
 * full; there is no send timer. RTP time is the count of samples, so it advances through pauses
 * (a frozen clock makes listeners' jitter buffers grow without end). A spurt ends with five
 * silence frames; while the line is digitally silent nothing leaves.
 *
 * Encoder: RESTRICTED_LOWDELAY, 64 kb/s, complexity 5, narrowband as long as nothing wider than a
 * telephone is on the line, wideband as long as nothing is above 8 kHz, else full band; one channel,
 * two (and half as many bits more) while the channels of a stereo line differ (alsa/level.h finds
 * out); with fec VOIP and in-band FEC.
 *
 * Audio thread (create and destroy: any, before and after). Nothing allocates after create.
 */
#ifndef DISCORD_TALKER_H
#define DISCORD_TALKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALKER_PACKET_BYTES_MAX 1275 /* RFC 6716 section 3.2.1 */
#define TALKER_SILENCE_FRAMES   5

struct talker;

/* One packet. It must leave now; timestamp counts 48 kHz samples, sequence numbers are the
 * sender's affair (they may not skip when a packet cannot be sent). silence: the three-byte frame. */
typedef void (*talker_emit_fn)(void *ctx, uint32_t timestamp, const uint8_t *opus, size_t bytes,
			       bool silence);

/* -ENOMEM, -EIO (libopus refuses). */
int talker_create(struct talker **out, bool fec);
void talker_destroy(struct talker *t);

/* A new RTP stream begins: what was held is forgotten, five silence frames will be sent (a voice
 * server forwards nothing to those who never sent anything). */
void talker_restart(struct talker *t, int64_t now_ns);

/* Samples captured up to now_ns, contiguous with those before; right is NULL on a mono line. When the
 * capture stood still (device away) the missing time is noticed and RTP time jumps ahead. */
void talker_push(struct talker *t, const float *left, const float *right, size_t frames,
		 int64_t now_ns, talker_emit_fn emit, void *ctx);

/* Samples still missing until the next packet; 0 while silent (nothing is awaited). */
size_t talker_wants(const struct talker *t);
/* Samples that came after the last packet's end; 0 while silent. */
size_t talker_holds(const struct talker *t);

struct talker_stats {
	uint64_t frames, silence_frames, spurts, encode_errors;
	bool wide; /* something wider than a telephone is being sent */
	bool stereo; /* two channels are being sent */
	unsigned lookahead_frames; /* by which the encoder is behind what it was given */
};
void talker_stats(const struct talker *t, struct talker_stats *out);

#endif
