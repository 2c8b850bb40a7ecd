/* SPDX-License-Identifier: MIT
 *
 * speaker.c - see speaker.h.
 */
#include "discord/speaker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <opus/opus.h>

#include "common/clock.h"
#include "discord/rtp.h"

#define PCM_MAX        5760 /* 120 ms, the longest Opus packet */
#define CONCEAL_MAX    (SPEAKER_CONCEAL_MAX_MS * 48)
#define SEQ_JUMP       200 /* further apart than this is another stream, not loss */
#define DECODE_LEAD_NS (2 * NS_PER_MS)
#define IDLE_WAIT_NS   (40 * NS_PER_MS)

struct held {
	bool used;
	uint16_t seq;
	uint32_t timestamp;
	size_t bytes; /* 0: a probe */
	int64_t arrival_ns;
	uint8_t opus[SPEAKER_PACKET_BYTES_MAX];
};

struct speaker {
	uint32_t ssrc;
	unsigned channels;
	int speech_level_dbov; /* 0: not levelled */
	struct leveller leveller;
	OpusDecoder *decoder;
	struct playout *playout;
	bool begun;        /* next_seq and media are known */
	uint16_t next_seq; /* the packet to be decoded next */
	int64_t next_media; /* media time where the last one ended */
	int64_t media;      /* of the last packet, for unwrapping */
	unsigned frame;     /* samples of the last packet */
	bool quiet;         /* the last packet was a silence frame */
	bool decoded;       /* the decoder has had a packet */
	int64_t heard_ns;
	unsigned held_count;
	struct held held[SPEAKER_REORDER_MAX];
	float *pcm;   /* what was decoded last, one channel after the other */
	float *pairs; /* stereo: the same as the decoder gives it */
	struct speaker_stats stats;
};

/* Decodes into s->pcm: a packet, its redundancy (fec), or without data what the decoder makes up.
 * Returns frames, or what libopus says. */
static int decode(struct speaker *s, const uint8_t *opus, size_t bytes, unsigned frames, bool fec)
{
	float *out = s->channels == 2 ? s->pairs : s->pcm;
	int n = opus_decode_float(s->decoder, opus, (opus_int32)bytes, out, (int)frames, fec);
	for (int i = 0; s->channels == 2 && i < n; i++) {
		s->pcm[i] = out[2 * i];
		s->pcm[n + i] = out[2 * i + 1];
	}
	return n;
}

/* The playout buffer has run dry: the decoder continues what it played last. */
static bool conceal(void *ctx, int64_t media, float *out, unsigned frames)
{
	struct speaker *s = ctx;
	if (!s->decoded)
		return false;
	if (decode(s, NULL, 0, frames, false) != (int)frames)
		return false;
	memcpy(out, s->pcm, s->channels * frames * sizeof(*out));
	s->stats.plc++;
	/* The decoder's state has moved on by this much: it must not be concealed again when the next
	 * packet shows that this one was lost. */
	if (media == s->next_media)
		s->next_media += frames;
	return true;
}

int speaker_create(struct speaker **out, const struct speaker_config *config)
{
	const unsigned channels = config->channels;
	int err = OPUS_OK;
	struct speaker *s = calloc(1, sizeof(*s));
	*out = NULL;
	if (!s)
		return -ENOMEM;
	/* On a mono line one channel whatever was sent: the decoder mixes down for free and saves a
	 * quarter. */
	s->channels = channels;
	s->speech_level_dbov = config->speech_level_dbov;
	s->decoder = opus_decoder_create(RTP_CLOCK_HZ, (int)channels, &err);
	s->pcm = calloc((size_t)PCM_MAX * channels, sizeof(*s->pcm));
	s->pairs = channels == 2 ? calloc(2 * (size_t)PCM_MAX, sizeof(*s->pairs)) : NULL;
	struct playout_config playout = {.rate = RTP_CLOCK_HZ,
					 .channels = channels,
					 .conceal = conceal,
					 .conceal_ctx = s};
	if (!s->decoder || !s->pcm || (channels == 2 && !s->pairs) ||
	    playout_create(&s->playout, &playout) < 0) {
		speaker_destroy(s);
		return -ENOMEM;
	}
	s->heard_ns = INT64_MIN;
	*out = s;
	return 0;
}

void speaker_destroy(struct speaker *s)
{
	if (!s)
		return;
	if (s->decoder)
		opus_decoder_destroy(s->decoder);
	playout_destroy(s->playout);
	free(s->pairs);
	free(s->pcm);
	free(s);
}

unsigned speaker_channels(const struct speaker *s)
{
	return s->channels;
}

static void held_clear(struct speaker *s)
{
	for (unsigned i = 0; i < SPEAKER_REORDER_MAX; i++)
		s->held[i].used = false;
	s->held_count = 0;
}

void speaker_assign(struct speaker *s, uint32_t ssrc)
{
	s->ssrc = ssrc;
	opus_decoder_ctl(s->decoder, OPUS_RESET_STATE);
	playout_reset(s->playout);
	leveller_init(&s->leveller, (float)s->speech_level_dbov);
	held_clear(s);
	s->begun = false;
	s->decoded = false;
	s->quiet = false;
	s->frame = RTP_FRAME_SAMPLES;
	s->heard_ns = INT64_MIN;
	memset(&s->stats, 0, sizeof(s->stats));
}

bool speaker_voice(const struct speaker *s, struct leveller_voice *out)
{
	return leveller_voice(&s->leveller, out);
}

void speaker_voice_resume(struct speaker *s, const struct leveller_voice *voice)
{
	leveller_resume(&s->leveller, voice);
}

/* ---- decoding, in order ------------------------------------------------------------------ */

/* Puts what stands for a lost frame at `media`: from the redundancy of the packet after it, or (next NULL)
 * made up by the decoder. False: neither can be had. What has been played over by then is refused by the
 * buffer; the decoder's state has moved on as it must. */
static bool make_up(struct speaker *s, int64_t media, const uint8_t *next, size_t next_bytes)
{
	int n = decode(s, next, next_bytes, s->frame, next != NULL);
	if (n <= 0)
		return false;
	if (next)
		s->stats.fec++;
	else
		s->stats.plc++;
	playout_put_made(s->playout, media, s->pcm, (unsigned)n);
	return true;
}

/* Puts the packet that is next in order. */
static void packet_decode(struct speaker *s, const uint8_t *opus, size_t bytes, int64_t media,
			  int64_t arrival_ns)
{
	if (rtp_is_silence(opus, bytes)) {
		s->stats.silence++;
		if (!s->quiet && s->decoded) { /* the first one lets the last frame's overlap out */
			int n = decode(s, opus, bytes, PCM_MAX, false);
			if (n > 0)
				playout_put(s->playout, media, s->pcm, (unsigned)n, arrival_ns);
		}
		s->quiet = true;
		playout_pause(s->playout);
		s->next_media = media + RTP_FRAME_SAMPLES;
		return;
	}
	int n = decode(s, opus, bytes, PCM_MAX, false);
	if (n <= 0) {
		s->stats.bad++;
		if (s->decoded)
			make_up(s, media, NULL, 0);
		s->next_media = media + s->frame;
		return;
	}
	s->decoded = true;
	s->quiet = false;
	s->frame = (unsigned)n;
	s->heard_ns = arrival_ns;
	s->next_media = media + n;
	if (playout_put(s->playout, media, s->pcm, (unsigned)n, arrival_ns) == PLAYOUT_LATE)
		s->stats.late++;
}

/* Fills `count` lost packets ahead of the one at `media`, whose data may carry their redundancy.
 * Only as much time as timestamps show to be missing: the rest of a jump is a pause. */
static void gap_conceal(struct speaker *s, unsigned count, int64_t media, const uint8_t *next,
			size_t next_bytes)
{
	int64_t missing = media - s->next_media;
	s->stats.lost += count;
	if (missing <= 0 || !s->decoded || s->quiet || s->frame == 0)
		return;
	if (missing > (int64_t)count * s->frame)
		missing = (int64_t)count * s->frame;
	int64_t from = s->next_media;
	if (missing > CONCEAL_MAX)
		missing = CONCEAL_MAX;
	while (missing >= (int64_t)s->frame) {
		bool last = missing < 2 * (int64_t)s->frame && from + s->frame == media;
		bool fec = last && next_bytes > 0 && !rtp_is_silence(next, next_bytes);
		if (!make_up(s, from, fec ? next : NULL, fec ? next_bytes : 0))
			return;
		from += s->frame;
		missing -= s->frame;
	}
}

static void take(struct speaker *s, const struct held *h)
{
	s->media = playout_unwrap(s->media, h->timestamp);
	int lost = rtp_seq_diff(h->seq, s->next_seq);
	if (lost > 0)
		gap_conceal(s, (unsigned)lost, s->media, h->opus, h->bytes);
	s->next_seq = (uint16_t)(h->seq + 1);
	if (h->bytes > 0)
		packet_decode(s, h->opus, h->bytes, s->media, h->arrival_ns);
	else
		s->next_media = s->media;
}

/* The next packet is given up for lost, the one that waits being further on: what lies between may
 * still come in time, so only this one is made up. False: nothing to go by, take what waits. */
static bool give_up_one(struct speaker *s, const struct held *waiting)
{
	int lost = rtp_seq_diff(waiting->seq, s->next_seq);
	int64_t missing = playout_unwrap(s->media, waiting->timestamp) - s->next_media;
	if (lost <= 1 || missing <= 0 || !s->decoded || s->quiet || s->frame == 0)
		return false;
	if (missing > (lost - 1) * (int64_t)s->frame) { /* not made up by the buffer already */
		if (!make_up(s, s->next_media, NULL, 0))
			return false;
		s->next_media += s->frame;
	}
	s->stats.lost++;
	s->next_seq++;
	return true;
}

static struct held *held_oldest(struct speaker *s)
{
	struct held *oldest = NULL;
	for (unsigned i = 0; i < SPEAKER_REORDER_MAX; i++) {
		struct held *h = &s->held[i];
		if (h->used && (!oldest || rtp_seq_diff(h->seq, oldest->seq) < 0))
			oldest = h;
	}
	return oldest;
}

/* Takes what is in order; with force also what lies behind a gap, once. */
static void held_drain(struct speaker *s, bool force)
{
	while (s->held_count > 0) {
		struct held *h = held_oldest(s);
		if (h->seq != s->next_seq && !force)
			return;
		force = false;
		take(s, h);
		h->used = false;
		s->held_count--;
	}
}

static void begin(struct speaker *s, uint16_t seq, uint32_t timestamp)
{
	held_clear(s);
	s->media = s->begun ? playout_unwrap(s->media, timestamp) : (int64_t)timestamp;
	s->next_media = s->media;
	s->next_seq = seq;
	s->begun = true;
}

static void packet(struct speaker *s, uint16_t seq, uint32_t timestamp, const uint8_t *opus,
		   size_t bytes, int64_t arrival_ns)
{
	if (!s->begun)
		begin(s, seq, timestamp);
	int ahead = rtp_seq_diff(seq, s->next_seq);
	if (ahead > SEQ_JUMP || ahead < -SEQ_JUMP) {
		begin(s, seq, timestamp);
		playout_restart(s->playout);
		ahead = 0;
	}
	if (ahead < 0) { /* too late, or a duplicate: only its arrival says something */
		s->stats.late++;
		playout_put(s->playout, playout_unwrap(s->media, timestamp), NULL, s->frame,
			    arrival_ns);
		return;
	}
	struct held *slot = NULL;
	for (unsigned i = 0; i < SPEAKER_REORDER_MAX; i++) {
		if (s->held[i].used && s->held[i].seq == seq)
			return; /* a duplicate of one that waits */
		if (!s->held[i].used && !slot)
			slot = &s->held[i];
	}
	*slot = (struct held){.used = true,
			      .seq = seq,
			      .timestamp = timestamp,
			      .bytes = bytes,
			      .arrival_ns = arrival_ns};
	if (bytes)
		memcpy(slot->opus, opus, bytes);
	s->held_count++;
	held_drain(s, false);
	if (s->held_count == SPEAKER_REORDER_MAX)
		held_drain(s, true);
}

void speaker_packet(struct speaker *s, uint16_t seq, uint32_t timestamp, const uint8_t *opus,
		    size_t bytes, int64_t arrival_ns)
{
	if (bytes == 0 || bytes > SPEAKER_PACKET_BYTES_MAX) {
		s->stats.bad++;
		return;
	}
	s->stats.packets++;
	packet(s, seq, timestamp, opus, bytes, arrival_ns);
}

void speaker_probe(struct speaker *s, uint16_t seq, uint32_t timestamp, int64_t arrival_ns)
{
	if (s->begun)
		packet(s, seq, timestamp, NULL, 0, arrival_ns);
}

bool speaker_pull(struct speaker *s, int64_t now_ns, float *out, unsigned frames)
{
	/* A gap is waited for until its place is about to be played; where nothing plays, two
	 * frames' time. */
	while (s->held_count > 0) {
		const struct held *oldest = held_oldest(s);
		int64_t due_ns = playout_due_ns(s->playout, s->next_media);
		if (due_ns == INT64_MAX)
			due_ns = oldest->arrival_ns + IDLE_WAIT_NS;
		if (due_ns > now_ns + DECODE_LEAD_NS)
			break;
		if (!give_up_one(s, oldest))
			held_drain(s, true);
	}
	if (!playout_pull(s->playout, now_ns, out, frames))
		return false;
	if (s->speech_level_dbov)
		leveller_run(&s->leveller, out, s->channels == 2 ? out + frames : NULL, frames);
	return true;
}

void speaker_shift(struct speaker *s, int64_t by_ns)
{
	playout_shift(s->playout, by_ns);
}

void speaker_end(struct speaker *s)
{
	held_drain(s, true);
	playout_pause(s->playout);
}

int64_t speaker_heard_ns(const struct speaker *s)
{
	return s->heard_ns;
}

void speaker_stats(const struct speaker *s, struct speaker_stats *out)
{
	*out = s->stats;
	out->frame = s->frame;
	out->gain_db = leveller_gain_db(&s->leveller);
	playout_stats(s->playout, &out->playout);
}
