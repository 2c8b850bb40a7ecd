/* SPDX-License-Identifier: MIT
 *
 * discord_ear.c - what a member hears: packets decoded by libopus, placed by their RTP times, and
 * written with the time of each.
 */
#include <errno.h>
#include <opus/opus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"

struct entry {
	int64_t t_ns, first;
	uint32_t timestamp;
	uint16_t seq;
	int bytes, samples, silent;
};

struct ear_stream {
	struct ear_stream *next;
	uint64_t user;
	uint32_t ssrc;
	char stem[1024];
	int channels;
	OpusDecoder *decoder;
	struct entry *entries;
	size_t count, room;
	int16_t *pcm; /* frames of `channels` */
	size_t pcm_count, pcm_room; /* frames */
	bool any;
	uint16_t seq;
	int64_t place; /* RTP time of the last packet, unwrapped, counted from the first */
	uint32_t timestamp;
	int last_samples;
	int64_t lost, encrypted, undecodable;
};

struct ear {
	char stem[1024];
	int channels;
	struct ear_stream *streams;
};

struct ear_stream *ear_stream_create(const char *stem, int channels)
{
	struct ear_stream *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		abort();
	snprintf(s->stem, sizeof(s->stem), "%s", stem);
	s->channels = channels;
	s->decoder = opus_decoder_create(48000, channels, &err);
	if (!s->decoder)
		abort();
	return s;
}

/* Zeros are written as they come into use: those of all that a long recording has grown by would take
 * tens of milliseconds at once, in which nobody in the channel is heard. */
static int16_t *space(struct ear_stream *s, int64_t at, int samples)
{
	size_t end = (size_t)(at + samples), each = (size_t)s->channels * sizeof(*s->pcm);

	if (end > s->pcm_room) {
		size_t room = 2 * end + 48000;

		s->pcm = realloc(s->pcm, room * each);
		if (!s->pcm)
			abort();
		s->pcm_room = room;
	}
	if (end > s->pcm_count) {
		memset(s->pcm + s->pcm_count * (size_t)s->channels, 0, (end - s->pcm_count) * each);
		s->pcm_count = end;
	}
	return s->pcm + at * s->channels;
}

/* Lost packets are concealed as a client does it, at most 100 ms of them. */
static void conceal(struct ear_stream *s, int lost)
{
	for (int i = 0; i < lost && i < 5; i++) {
		int16_t *out = space(s, s->place + s->last_samples * (i + 1), s->last_samples);

		if (opus_decode(s->decoder, NULL, 0, out, s->last_samples, 0) < 0)
			s->undecodable++;
	}
}

void ear_stream_put(struct ear_stream *s, const struct rtp_packet *p)
{
	struct entry e = { .t_ns = p->t_ns, .timestamp = p->timestamp, .seq = p->seq,
			   .bytes = (int)p->len };

	if (s->any) {
		int lost = (int16_t)(p->seq - s->seq) - 1;

		if (lost < 0)
			return; /* late or twice */
		if (lost > 0) {
			s->lost += lost;
			conceal(s, lost);
		}
		s->place += (int32_t)(p->timestamp - s->timestamp);
		if (s->place < 0 || s->place > 48000LL * 3600 * 2) {
			s->undecodable++;
			s->place = (int64_t)s->pcm_count;
		}
	}
	s->any = true;
	s->ssrc = p->ssrc;
	s->seq = p->seq;
	s->timestamp = p->timestamp;
	e.silent = p->len == 3 && !memcmp(p->payload, "\xf8\xff\xfe", 3);
	if (p->len > 2 && p->payload[p->len - 1] == 0xfa && p->payload[p->len - 2] == 0xfa) {
		s->encrypted++; /* a DAVE frame; members of ours have no keys */
		e.samples = 960;
	} else {
		e.samples = opus_decode(s->decoder, p->payload, (opus_int32)p->len,
					space(s, s->place, 5760), 5760, 0);
		if (e.samples < 0) {
			s->undecodable++;
			e.samples = 960;
		}
	}
	s->pcm_count = (size_t)(s->place + e.samples);
	s->last_samples = e.samples;
	e.first = s->place;
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->entries = realloc(s->entries, s->room * sizeof(*s->entries));
		if (!s->entries)
			abort();
	}
	s->entries[s->count++] = e;
}

int ear_stream_finish(struct ear_stream *s)
{
	char path[1100];
	struct sim_wav_writer *w;
	FILE *f;
	int err;

	snprintf(path, sizeof(path), "%s.wav", s->stem);
	err = sim_wav_create(&w, path, 48000, s->channels);
	if (!err) {
		sim_wav_append(w, s->pcm, s->pcm_count);
		err = sim_wav_finish(w);
	}
	snprintf(path, sizeof(path), "%s.json", s->stem);
	f = err ? NULL : fopen(path, "w");
	if (!f)
		err = err ? err : -errno;
	if (f) {
		fprintf(f, "{\"rate\":48000,\"ssrc\":%u,\"lost\":%lld,\"encrypted\":%lld,"
			   "\"undecodable\":%lld,\"packets\":[",
			s->ssrc, (long long)s->lost, (long long)s->encrypted, (long long)s->undecodable);
		for (size_t i = 0; i < s->count; i++) {
			const struct entry *e = &s->entries[i];

			fprintf(f, "%s[%lld,%u,%u,%d,%lld,%d,%d]", i ? ",\n" : "", (long long)e->t_ns,
				e->seq, e->timestamp, e->bytes, (long long)e->first, e->samples, e->silent);
		}
		fprintf(f, "]}\n");
		if (fclose(f))
			err = -errno;
	}
	opus_decoder_destroy(s->decoder);
	free(s->entries);
	free(s->pcm);
	free(s);
	return err;
}

struct ear *ear_create(const char *stem, int channels)
{
	struct ear *e = calloc(1, sizeof(*e));

	if (!e)
		abort();
	snprintf(e->stem, sizeof(e->stem), "%s", stem);
	e->channels = channels;
	return e;
}

void ear_hear(struct ear *e, const struct party *from, const struct rtp_packet *p)
{
	struct ear_stream *s;
	int again = 0;

	/* a new SSRC (joined anew) is a new stream: STEM.U.1, … */
	for (s = e->streams; s; s = s->next) {
		if (s->user == from->user->id && s->ssrc == p->ssrc)
			break;
		again += s->user == from->user->id;
	}
	if (!s) {
		char stem[1100];
		int n = snprintf(stem, sizeof(stem), "%s.%llu", e->stem,
				 (unsigned long long)from->user->id);

		if (again)
			snprintf(stem + n, sizeof(stem) - (size_t)n, ".%d", again);
		s = ear_stream_create(stem, e->channels);
		s->user = from->user->id;
		s->ssrc = p->ssrc;
		s->next = e->streams;
		e->streams = s;
	}
	ear_stream_put(s, p);
}

int ear_finish(struct ear *e, cJSON *answer)
{
	cJSON *files = answer ? cJSON_AddArrayToObject(answer, "files") : NULL;
	int err = 0;

	while (e->streams) {
		struct ear_stream *s = e->streams;
		int r;

		e->streams = s->next;
		if (files)
			cJSON_AddItemToArray(files, sim_obj("sod", "stem", s->stem, "user",
							    id_json(s->user), "seconds",
							    (double)s->pcm_count / 48000));
		r = ear_stream_finish(s);
		err = err ? err : r;
	}
	free(e);
	return err;
}
