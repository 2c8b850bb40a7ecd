/* SPDX-License-Identifier: MIT
 *
 * twilio_play.c - the far side's ear: a queue that is played in order and in real time, never
 * faster, so that whatever is sent ahead stays as delay; and the recordings of a stream.
 *
 * The play-out is not ticked: where the queue ends is one number, and audio that arrives after it
 * starts a little later than now (the far side's jitter buffer).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

struct span {
	int64_t t_ns;
	int64_t first, count, played_at;
};

struct spans {
	struct span *at;
	size_t count, room;
};

struct samples {
	int16_t *at;
	size_t count, room;
};

struct play {
	int64_t origin_ns;
	double samples_per_ns;
	int64_t buffer; /* samples */
	bool record;
	int64_t end; /* of the queue, in samples since origin */
	int64_t first_ns, last_ns;
	int64_t frames, sound_frames, bytes, underruns, late, fifo_max, ahead_max_ns, gap_max_ns;
	struct spans said_spans, heard_spans;
	struct samples said, heard, played;
	int64_t size_of[8], size_count[8];
};

struct play *play_create(int64_t origin_ns, double ppm, int buffer_ms, bool record)
{
	struct play *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->origin_ns = origin_ns;
	p->samples_per_ns = 8e-6 * (1 + ppm * 1e-6);
	p->buffer = 8 * buffer_ms;
	p->record = record;
	p->ahead_max_ns = INT64_MIN;
	return p;
}

void play_destroy(struct play *p)
{
	if (!p)
		return;
	free(p->said_spans.at);
	free(p->heard_spans.at);
	free(p->said.at);
	free(p->heard.at);
	free(p->played.at);
	free(p);
}

static int64_t position(const struct play *p, int64_t now_ns)
{
	return (int64_t)floor((double)(now_ns - p->origin_ns) * p->samples_per_ns);
}

static void add_span(struct spans *s, struct span v)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			abort();
	}
	s->at[s->count++] = v;
}

/* Decoded samples at a place; what lies between is silence, written as it comes into use: all that a long
 * recording has grown by would take too long at once. */
static void put_samples(struct samples *s, size_t from, const uint8_t *ulaw, size_t n)
{
	if (from + n > s->room) {
		size_t room = 2 * (from + n) + 8000;

		s->at = realloc(s->at, room * sizeof(*s->at));
		if (!s->at)
			abort();
		s->room = room;
	}
	if (from > s->count)
		memset(s->at + s->count, 0, (from - s->count) * sizeof(*s->at));
	for (size_t i = 0; i < n; i++)
		s->at[from + i] = sim_ulaw_decode(ulaw[i]);
	if (from + n > s->count)
		s->count = from + n;
}

static void count_size(struct play *p, int64_t n)
{
	for (int i = 0; i < 8; i++)
		if (p->size_of[i] == n || !p->size_count[i]) {
			p->size_of[i] = n;
			p->size_count[i]++;
			return;
		}
}

void play_put(struct play *p, int64_t now_ns, const uint8_t *ulaw, size_t n)
{
	int64_t at = position(p, now_ns), ahead;
	bool sound = false;

	for (size_t i = 0; i < n && !sound; i++)
		sound = (ulaw[i] & 0x7f) != 0x7f;
	if (!p->frames)
		p->first_ns = now_ns;
	else if (now_ns - p->last_ns > p->gap_max_ns)
		p->gap_max_ns = now_ns - p->last_ns;
	p->late += p->frames && now_ns - p->last_ns > 25 * SIM_MS;
	p->last_ns = now_ns;
	p->frames++;
	p->sound_frames += sound;
	p->bytes += (int64_t)n;
	count_size(p, (int64_t)n);
	/* the first message may be one frame long; every later one is due when it is spoken */
	ahead = (int64_t)((double)p->bytes / 8e-6) - 20 * SIM_MS - (now_ns - p->first_ns);
	if (ahead > p->ahead_max_ns)
		p->ahead_max_ns = ahead;
	if (p->end < at) {
		p->underruns += p->frames > 1;
		p->end = at + p->buffer;
	}
	if (p->record) {
		add_span(&p->heard_spans, (struct span){ now_ns, (int64_t)p->heard.count, (int64_t)n,
							 p->end });
		put_samples(&p->heard, p->heard.count, ulaw, n);
		put_samples(&p->played, (size_t)p->end, ulaw, n);
	}
	p->end += (int64_t)n;
	if (p->end - at > p->fifo_max)
		p->fifo_max = p->end - at;
}

void play_clear(struct play *p, int64_t now_ns)
{
	int64_t at = position(p, now_ns);

	if (p->end <= at)
		return;
	p->end = at;
	if (p->record && (size_t)at < p->played.count) {
		memset(p->played.at + at, 0, (p->played.count - (size_t)at) * sizeof(int16_t));
		p->played.count = (size_t)at;
	}
}

int64_t play_end_ns(const struct play *p, int64_t now_ns)
{
	int64_t t = p->origin_ns + (int64_t)((double)p->end / p->samples_per_ns);

	return t > now_ns ? t : now_ns;
}

void play_said(struct play *p, int64_t now_ns, const uint8_t *ulaw, size_t n)
{
	if (!p->record)
		return;
	add_span(&p->said_spans, (struct span){ now_ns, (int64_t)p->said.count, (int64_t)n, 0 });
	put_samples(&p->said, p->said.count, ulaw, n);
}

void play_stats(const struct play *p, int64_t now_ns, cJSON *out)
{
	int64_t at = position(p, now_ns), queued = p->end > at ? p->end - at : 0;
	cJSON *sizes = cJSON_AddObjectToObject(out, "sizes");

	cJSON_AddNumberToObject(out, "frames_in", (double)p->frames);
	cJSON_AddNumberToObject(out, "sound_frames_in", (double)p->sound_frames);
	cJSON_AddNumberToObject(out, "bytes_in", (double)p->bytes);
	cJSON_AddNumberToObject(out, "late_in", (double)p->late);
	cJSON_AddNumberToObject(out, "underruns", (double)p->underruns);
	cJSON_AddNumberToObject(out, "fifo_ms", (double)queued / 8);
	cJSON_AddNumberToObject(out, "fifo_max_ms", (double)p->fifo_max / 8);
	cJSON_AddNumberToObject(out, "played_ms", (double)(p->bytes - queued) / 8);
	cJSON_AddNumberToObject(out, "ahead_max_ms",
				p->frames ? (double)p->ahead_max_ns / SIM_MS : 0);
	cJSON_AddNumberToObject(out, "gap_max_ms", (double)p->gap_max_ns / SIM_MS);
	for (int i = 0; i < 8 && p->size_count[i]; i++) {
		char key[24];

		snprintf(key, sizeof(key), "%lld", (long long)p->size_of[i]);
		cJSON_AddNumberToObject(sizes, key, (double)p->size_count[i]);
	}
}

static int write_wav(const char *stem, const char *what, const struct samples *s)
{
	char path[4096];
	struct sim_wav_writer *w;
	int err;

	snprintf(path, sizeof(path), "%s.%s.wav", stem, what);
	err = sim_wav_create(&w, path, 8000, 1);
	if (err)
		return err;
	sim_wav_append(w, s->at, s->count);
	return sim_wav_finish(w);
}

static void write_spans(FILE *f, const char *key, const struct spans *s, bool played)
{
	fprintf(f, "\"%s\":[", key);
	for (size_t i = 0; i < s->count; i++) {
		const struct span *v = &s->at[i];

		fprintf(f, "%s[%lld,%lld,%lld", i ? ",\n" : "", (long long)v->t_ns,
			(long long)v->first, (long long)v->count);
		if (played)
			fprintf(f, ",%lld", (long long)v->played_at);
		fprintf(f, "]");
	}
	fprintf(f, "]");
}

int play_write(const struct play *p, const char *stem)
{
	char path[4096];
	FILE *f;
	int err;

	if (!p->record)
		return 0;
	err = write_wav(stem, "said", &p->said);
	if (!err)
		err = write_wav(stem, "heard", &p->heard);
	if (!err)
		err = write_wav(stem, "played", &p->played);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.json", stem);
	f = fopen(path, "w");
	if (!f)
		return -1;
	fprintf(f, "{\"rate\":8000,\"origin_ns\":%lld,", (long long)p->origin_ns);
	write_spans(f, "said", &p->said_spans, false);
	fprintf(f, ",\n");
	write_spans(f, "heard", &p->heard_spans, true);
	fprintf(f, "}\n");
	return fclose(f);
}
