/* SPDX-License-Identifier: MIT
 *
 * voices.c - see voices.h.
 */
#include "discord/voices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "discord/dave/media.h"
#include "discord/voice_udp.h"

#define HELD_EXPIRE_NS (5 * NS_PER_SEC)
#define RECYCLE_NS     NS_PER_SEC /* a decoder that was heard within this time is not taken away */
#define LEFT_KEPT_NS   NS_PER_SEC /* so that the sound is out */
#define LONG_AGO       (INT64_MIN / 2)

struct source {
	uint32_t ssrc; /* 0: free */
	uint64_t user_id;
	bool ignored;
	bool ended; /* the user left: kept until the sound is out */
	int64_t seen_ns;
	struct speaker *speaker; /* or NULL */
};

struct known { /* how loud somebody is who may come back */
	uint64_t user_id; /* 0: free */
	uint64_t turn;    /* the least gives way */
	struct leveller_voice voice;
};

struct waiting { /* a packet from an SSRC that has no name yet */
	bool used;
	struct rtp_header header;
	int64_t arrival_ns;
	size_t bytes;
	uint8_t payload[VOICE_PAYLOAD_BYTES_MAX];
};

struct voices {
	struct dave_media *dave;
	struct speaker *decoders[VOICES_DECODERS];
	unsigned decoder_count;
	int64_t heard_ns; /* a packet with sound came */

	struct source sources[VOICES_SSRCS];
	unsigned sources_end; /* one beyond the last in use: blocks need not look through all the rest */
	struct known known[VOICES_SSRCS];
	uint64_t known_turn;
	struct waiting waiting[VOICES_HELD];
	unsigned waiting_next;
	struct voices_stats stats;
};

int voices_create(struct voices **out, struct dave_media *dave)
{
	struct voices *v = calloc(1, sizeof(*v));
	*out = v;
	if (!v)
		return -ENOMEM;
	v->dave = dave;
	v->heard_ns = LONG_AGO;
	return 0;
}

void voices_destroy(struct voices *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->decoder_count; i++)
		speaker_destroy(v->decoders[i]);
	free(v);
}

/* ---- who speaks -------------------------------------------------------------------------- */

static struct source *source_find(struct voices *v, uint32_t ssrc)
{
	for (unsigned i = 0; i < v->sources_end; i++)
		if (v->sources[i].ssrc == ssrc && ssrc != 0)
			return &v->sources[i];
	return NULL;
}

/* His place, or the one that was put in longest ago. */
static struct known *known_place(struct voices *v, uint64_t user_id)
{
	struct known *oldest = &v->known[0];
	for (int i = 0; i < VOICES_SSRCS; i++) {
		if (v->known[i].user_id == user_id)
			return &v->known[i];
		if (v->known[i].turn < oldest->turn)
			oldest = &v->known[i];
	}
	return oldest;
}

/* His decoder becomes another's, or his SSRC: how loud he is stays true. */
static void voice_keep(struct voices *v, const struct source *s)
{
	struct leveller_voice voice;
	if (!s->speaker || !speaker_voice(s->speaker, &voice))
		return;
	*known_place(v, s->user_id) =
		(struct known){.user_id = s->user_id, .turn = ++v->known_turn, .voice = voice};
}

static void speaker_give(struct voices *v, struct source *s, struct speaker *speaker)
{
	const struct known *known = known_place(v, s->user_id);
	s->speaker = speaker;
	speaker_assign(speaker, s->ssrc);
	if (known->user_id == s->user_id)
		speaker_voice_resume(speaker, &known->voice);
}

static void source_free(struct voices *v, struct source *s)
{
	voice_keep(v, s);
	memset(s, 0, sizeof(*s));
	while (v->sources_end && v->sources[v->sources_end - 1].ssrc == 0)
		v->sources_end--;
}

/* A free entry, or that of the one not heard for longest. */
static struct source *source_new(struct voices *v)
{
	unsigned oldest = 0, at = 0;
	while (at < v->sources_end && v->sources[at].ssrc) {
		if (v->sources[at].seen_ns < v->sources[oldest].seen_ns)
			oldest = at;
		at++;
	}
	if (at == VOICES_SSRCS) {
		at = oldest;
		source_free(v, &v->sources[at]);
	}
	if (v->sources_end <= at)
		v->sources_end = at + 1;
	return &v->sources[at];
}

static struct source *speaker_owner(struct voices *v, const struct speaker *speaker)
{
	for (unsigned i = 0; i < v->sources_end; i++)
		if (v->sources[i].ssrc && v->sources[i].speaker == speaker)
			return &v->sources[i];
	return NULL;
}

/* A decoder for a source: a free one, else that of whoever has left or been silent for longest. There
 * are no more of them than people announced. */
static struct speaker *speaker_for(struct voices *v, struct source *s, int64_t now_ns)
{
	if (s->speaker)
		return s->speaker;
	struct source *quietest = NULL;
	for (unsigned i = 0; i < v->decoder_count; i++) {
		struct source *owner = speaker_owner(v, v->decoders[i]);
		if (!owner) {
			speaker_give(v, s, v->decoders[i]);
			return s->speaker;
		}
		if ((owner->ended || now_ns - owner->seen_ns > RECYCLE_NS) &&
		    (!quietest || owner->seen_ns < quietest->seen_ns))
			quietest = owner;
	}
	if (!quietest)
		return NULL;
	voice_keep(v, quietest);
	speaker_give(v, s, quietest->speaker);
	quietest->speaker = NULL;
	return s->speaker;
}

/* ---- incoming ---------------------------------------------------------------------------- */

static void packet_hear(struct voices *v, struct source *s, const struct rtp_header *header,
			const uint8_t *payload, size_t bytes, int64_t arrival_ns, int64_t now_ns)
{
	uint8_t opus[VOICE_PAYLOAD_BYTES_MAX];
	size_t opus_bytes;
	s->seen_ns = now_ns;
	if (s->ignored)
		return;
	struct speaker *speaker = speaker_for(v, s, now_ns);
	if (!speaker)
		return;
	if (bytes == 0) {
		speaker_probe(speaker, header->seq, header->timestamp, arrival_ns);
		return;
	}
	if (dave_media_decrypt(v->dave, now_ns, s->user_id, payload, bytes, opus,
			       sizeof(opus), &opus_bytes) != 0) {
		v->stats.undecrypted++;
		return; /* as if lost: concealed by its successor */
	}
	if (!rtp_is_silence(opus, opus_bytes))
		v->heard_ns = now_ns;
	speaker_packet(speaker, header->seq, header->timestamp, opus, opus_bytes, arrival_ns);
}

/* Named too late or never: kept for a while, bounded, oldest overwritten. */
static void packet_hold(struct voices *v, const struct rtp_header *header,
			const uint8_t *payload, size_t bytes, int64_t now_ns)
{
	struct waiting *w = &v->waiting[v->waiting_next];
	if (bytes == 0 || bytes > sizeof(w->payload))
		return;
	v->waiting_next = (v->waiting_next + 1) % VOICES_HELD;
	if (w->used)
		v->stats.never_named++;
	w->used = true;
	w->header = *header;
	w->arrival_ns = now_ns;
	w->bytes = bytes;
	memcpy(w->payload, payload, bytes);
}

void voices_packet(struct voices *v, const struct rtp_header *header, const uint8_t *payload,
		   size_t bytes, int64_t arrival_ns)
{
	if (bytes > VOICE_PAYLOAD_BYTES_MAX || header->ssrc == 0)
		return;
	struct source *s = source_find(v, header->ssrc);
	if (s)
		packet_hear(v, s, header, payload, bytes, arrival_ns, arrival_ns);
	else
		packet_hold(v, header, payload, bytes, arrival_ns);
}

/* What waited for this SSRC's name, in order of arrival. */
static void held_replay(struct voices *v, struct source *s, int64_t now_ns)
{
	for (unsigned k = 0; k < VOICES_HELD; k++) {
		struct waiting *w = &v->waiting[(v->waiting_next + k) % VOICES_HELD];
		if (!w->used || w->header.ssrc != s->ssrc)
			continue;
		w->used = false;
		if (now_ns - w->arrival_ns < HELD_EXPIRE_NS)
			packet_hear(v, s, &w->header, w->payload, w->bytes, w->arrival_ns, now_ns);
	}
}

void voices_name(struct voices *v, uint64_t user_id, uint32_t ssrc, bool ignored, int64_t now_ns)
{
	struct source *s = source_find(v, ssrc);
	if (s && s->user_id != user_id) {
		source_free(v, s); /* re-announced for somebody else: nothing of the old one holds */
		s = NULL;
	}
	for (unsigned i = 0; i < v->sources_end; i++) { /* one user, one SSRC: a new one ends the old */
		struct source *other = &v->sources[i];
		if (other->ssrc && other->ssrc != ssrc && other->user_id == user_id) {
			other->ended = true;
			voice_keep(v, other);
			if (other->speaker)
				speaker_end(other->speaker);
		}
	}
	if (!s) {
		s = source_new(v);
		*s = (struct source){.ssrc = ssrc, .user_id = user_id, .seen_ns = now_ns};
	}
	s->ended = false;
	s->ignored = ignored;
	held_replay(v, s, now_ns);
}

void voices_left(struct voices *v, uint64_t user_id, int64_t now_ns)
{
	for (unsigned i = 0; i < v->sources_end; i++) {
		struct source *s = &v->sources[i];
		if (!s->ssrc || s->user_id != user_id)
			continue;
		s->ended = true;
		s->seen_ns = now_ns;
		if (s->speaker)
			speaker_end(s->speaker);
	}
}

uint32_t voices_expire(struct voices *v, int64_t now_ns)
{
	uint32_t known = 0;
	for (unsigned i = 0; i < v->sources_end; i++) {
		struct source *s = &v->sources[i];
		if (s->ssrc && s->ended && now_ns - s->seen_ns > LEFT_KEPT_NS)
			source_free(v, s);
		known += s->ssrc != 0;
	}
	return known;
}

/* ---- decoders ---------------------------------------------------------------------------- */

struct speaker *voices_decoder(struct voices *v, struct speaker *decoder)
{
	struct speaker *old = NULL;
	unsigned at = 0;
	while (at < v->decoder_count && speaker_channels(v->decoders[at]) == speaker_channels(decoder))
		at++;
	if (at == VOICES_DECODERS)
		return decoder;
	if (at == v->decoder_count) {
		v->decoder_count++;
	} else {
		old = v->decoders[at];
		struct source *owner = speaker_owner(v, old);
		if (owner) {
			voice_keep(v, owner);
			speaker_give(v, owner, decoder);
		}
	}
	v->decoders[at] = decoder;
	return old;
}

unsigned voices_decoders(const struct voices *v, unsigned *stereo)
{
	*stereo = 0;
	for (unsigned i = 0; i < v->decoder_count; i++)
		*stereo += speaker_channels(v->decoders[i]) == 2;
	return v->decoder_count;
}

struct speaker *voices_next(const struct voices *v, unsigned *at, uint64_t *user_id)
{
	while (*at < v->sources_end) {
		const struct source *s = &v->sources[(*at)++];
		if (s->ssrc && s->speaker) {
			*user_id = s->user_id;
			return s->speaker;
		}
	}
	return NULL;
}

void voices_forget(struct voices *v)
{
	for (unsigned i = 0; i < v->sources_end; i++)
		source_free(v, &v->sources[i]);
	for (unsigned i = 0; i < VOICES_HELD; i++)
		v->waiting[i].used = false;
	v->heard_ns = LONG_AGO;
}

int64_t voices_heard_ns(const struct voices *v)
{
	return v->heard_ns;
}

void voices_stats(const struct voices *v, struct voices_stats *out)
{
	*out = v->stats;
}
