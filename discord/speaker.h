/* SPDX-License-Identifier: MIT
 *
 * speaker.h - one person in the voice channel: Opus packets in, 48 kHz sound out.
 *
 * Packets are decoded as they arrive, in the order of their sequence numbers. One that is missing
 * is waited for only as long as its place has not come to be played; then it is made up from the
 * redundancy in its successor (FEC) or by the decoder (PLC), at most 100 ms of it. Discord's silence
 * frames end a spurt and are never taken for sound. Playout, jitter and drift are alsa/playout.h's.
 *
 * Opaque and reusable (the pool of a line): speaker_assign() makes it another person's. Audio
 * thread; create and destroy on the control thread. Nothing allocates after create.
 */
#ifndef DISCORD_SPEAKER_H
#define DISCORD_SPEAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alsa/leveller.h"
#include "alsa/playout.h"

#define SPEAKER_PACKET_BYTES_MAX 1275
#define SPEAKER_REORDER_MAX      16 /* packets held while one is missing */
#define SPEAKER_CONCEAL_MAX_MS   100

struct speaker;

struct speaker_config {
	unsigned channels;     /* 1 (what is stereo is mixed down) or 2 (what is mono is on both) */
	int speech_level_dbov; /* voices are brought to it (alsa/leveller.h); 0: left as they are */
};

int speaker_create(struct speaker **out, const struct speaker_config *config); /* -ENOMEM, -EIO */
unsigned speaker_channels(const struct speaker *s);
void speaker_destroy(struct speaker *s);

/* From now on it speaks for this SSRC: decoder, order and buffer begin anew. */
void speaker_assign(struct speaker *s, uint32_t ssrc);

/* What has been learnt of how loud he is (false: nothing), and, after speaker_assign(), of one who was
 * heard before. */
bool speaker_voice(const struct speaker *s, struct leveller_voice *out);
void speaker_voice_resume(struct speaker *s, const struct leveller_voice *voice);

/* One packet after transport, padding, extension and DAVE. opus may be the silence frame. A packet
 * that cannot be decoded costs itself alone. */
void speaker_packet(struct speaker *s, uint16_t seq, uint32_t timestamp, const uint8_t *opus,
		    size_t bytes, int64_t arrival_ns);

/* A packet that came but holds nothing to decode (padding only): its number counts as received. */
void speaker_probe(struct speaker *s, uint16_t seq, uint32_t timestamp, int64_t arrival_ns);

/* The next frames at 48 kHz, the second channel behind the first; false: silence (out is zeroed).
 * now_ns as playout_pull(). */
bool speaker_pull(struct speaker *s, int64_t now_ns, float *out, unsigned frames);

/* now_ns is set by that much, as playout_shift(). */
void speaker_shift(struct speaker *s, int64_t by_ns);

/* The person left: what is buffered may be played out, nothing is concealed after it. */
void speaker_end(struct speaker *s);

/* When the last packet that held sound arrived; INT64_MIN: never since assign. */
int64_t speaker_heard_ns(const struct speaker *s);

struct speaker_stats {
	uint64_t packets, late, lost, fec, plc, bad, silence;
	unsigned frame; /* samples in a packet of his */
	double gain_db; /* by which the voice is levelled */
	struct playout_stats playout;
};
void speaker_stats(const struct speaker *s, struct speaker_stats *out);

#endif
