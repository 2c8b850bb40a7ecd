/* SPDX-License-Identifier: MIT
 *
 * media_stream.c - see media_stream.h.
 */
#include "bridge/media_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum state {
	ACCEPTED,
	HELLO,
	ASKING,
	LIVE,
	DONE,
};

enum entry_kind {
	ENTRY_FRAME,
	ENTRY_MARK,
	ENTRY_CLEAR,
};

struct entry {
	enum entry_kind kind;
	union {
		uint8_t frame[G711_FRAME_BYTES];
		char mark[PROBE_NAME_BYTES];
	} u;
};

#define QUEUE_ENTRIES 8 /* frames, and at most one mark and one clear each */

struct media_stream {
	const struct media_stream_hooks *hooks;
	void *user;
	char name[MEDIA_SID_BYTES]; /* for the log: the peer, then the CallSid */
	char sid[MEDIA_SID_BYTES];
	enum state state;
	int64_t accepted_ns;
	bool late;        /* the owner has been told to close */
	int64_t heard_ns; /* last media message, or when the stream went live */

	int64_t next_media; /* 8 kHz frames; -1 before the first */
	int64_t last_chunk;

	struct entry queue[QUEUE_ENTRIES];
	unsigned queue_first, queue_count, queue_frames;
	struct probe probe;
	bool stalled; /* nothing is sent, and it is to be cleared afterwards */

	struct media_stream_stats stats;
	struct log_rate bad_rate, unknown_rate;
	uint8_t payload[MEDIA_PAYLOAD_MAX];
};

int media_stream_create(struct media_stream **out, const struct media_stream_hooks *hooks,
			void *user, const char *name, int64_t now_ns)
{
	struct media_stream *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return -ENOMEM;
	s->hooks = hooks;
	s->user = user;
	strncpy(s->name, name, sizeof(s->name) - 1);
	s->accepted_ns = now_ns;
	s->next_media = -1;
	return 0;
}

void media_stream_destroy(struct media_stream *stream)
{
	free(stream);
}

static void live(struct media_stream *s, int64_t now_ns)
{
	s->state = LIVE;
	s->heard_ns = now_ns;
	probe_start(&s->probe, now_ns);
}

static int handle_start(struct media_stream *s, const struct media_message *m, int64_t now_ns)
{
	if (media_stream_started(s)) {
		/* A repeated start changes nothing, and one of another stream on the same socket is
		 * not in the protocol: no reason to end a call that is up. */
		log_rated(&s->bad_rate, 10000, LOG_LEVEL_WARN, "ignoring a second start stream=%s theirs=%s",
			  s->name, m->stream_sid);
		return STREAM_GO_ON;
	}
	/* Clones leave `connected` out: ACCEPTED is as good as HELLO here. */
	memcpy(s->sid, m->stream_sid, sizeof(s->sid));
	memcpy(s->name, m->u.start.call_sid, sizeof(s->name));
	live(s, now_ns); /* first: the hook may send at once */
	int err = s->hooks->start(s->user, s, m);

	if (err == 0)
		return STREAM_GO_ON;
	s->state = err == -EINPROGRESS ? ASKING : DONE;
	s->queue_count = s->queue_frames = 0;
	return err == -EINPROGRESS ? STREAM_GO_ON : STREAM_CLOSE_POLICY;
}

/* The media time of a message's first sample, or -1 for one that was there before. */
static int64_t place_media(struct media_stream *s, const struct media_message *m)
{
	int64_t stamped = m->u.media.timestamp_ms * (G711_RATE_HZ / 1000);

	if (m->u.media.chunk > 0) {
		if (s->last_chunk && m->u.media.chunk <= s->last_chunk) {
			s->stats.duplicates++;
			return -1;
		}
		if (s->last_chunk && m->u.media.chunk > s->last_chunk + 1)
			s->stats.gaps += (uint64_t)(m->u.media.chunk - s->last_chunk - 1);
		s->last_chunk = m->u.media.chunk;
	}
	if (s->next_media < 0)
		return m->u.media.timestamp_ms == MEDIA_NO_TIMESTAMP ? 0 : stamped;
	/*
	 * Timestamps are whole milliseconds and sizes are anything, so the running count is finer.
	 * Only a distance of half a usual frame means that sound is missing.
	 */
	if (m->u.media.timestamp_ms == MEDIA_NO_TIMESTAMP ||
	    llabs(stamped - s->next_media) < G711_FRAME_BYTES / 2)
		return s->next_media;
	return stamped;
}

static int handle_media(struct media_stream *s, const struct media_message *m, int64_t now_ns)
{
	/* Before the stream is admitted nothing of it is heard; our own sound never. */
	if (s->state != LIVE || m->u.media.outbound)
		return STREAM_GO_ON;
	s->heard_ns = now_ns;
	s->stats.media++;

	int64_t media = place_media(s, m);

	if (media < 0)
		return STREAM_GO_ON;
	s->next_media = media + (int64_t)m->u.media.payload_bytes;
	if (m->u.media.payload_bytes)
		s->hooks->audio(s->user, media, s->payload, m->u.media.payload_bytes, now_ns);
	return STREAM_GO_ON;
}

static void finish(struct media_stream *s, bool stopped)
{
	enum state before = s->state;

	s->state = DONE;
	s->queue_count = s->queue_frames = 0;
	if (before == LIVE || before == ASKING)
		s->hooks->done(s->user, stopped);
}

int media_stream_receive(struct media_stream *s, const char *text, size_t len, bool binary,
			 int64_t now_ns)
{
	struct media_message m;
	char error[MEDIA_ERROR_BYTES];

	if (s->state == DONE)
		return STREAM_GO_ON;
	s->stats.messages++;
	if (binary) {
		log_rated(&s->bad_rate, 10000, LOG_LEVEL_WARN, "ignoring a binary message stream=%s",
			  s->name);
		return STREAM_GO_ON;
	}
	if (len > MEDIA_MESSAGE_MAX)
		return STREAM_CLOSE_BIG;
	if (media_message_parse(&m, s->payload, text, len, error) < 0) {
		/* A live call survives a bad message; a stranger does not get a second one. */
		log_rated(&s->bad_rate, 10000, LOG_LEVEL_WARN, "bad message stream=%s why=%s", s->name,
			  log_quote(error));
		return s->state == LIVE ? STREAM_GO_ON : STREAM_CLOSE_POLICY;
	}
	if (m.event != MEDIA_EVENT_START && m.stream_sid[0] && s->sid[0] &&
	    strcmp(m.stream_sid, s->sid) != 0) {
		log_rated(&s->bad_rate, 10000, LOG_LEVEL_WARN,
			  "ignoring a message of another stream stream=%s theirs=%s", s->name,
			  m.stream_sid);
		return STREAM_GO_ON;
	}

	switch (m.event) {
	case MEDIA_EVENT_CONNECTED:
		if (s->state == ACCEPTED)
			s->state = HELLO;
		return STREAM_GO_ON;
	case MEDIA_EVENT_START:
		return handle_start(s, &m, now_ns);
	case MEDIA_EVENT_MEDIA:
		return handle_media(s, &m, now_ns);
	case MEDIA_EVENT_DTMF:
		if (s->state == LIVE)
			s->hooks->dtmf(s->user, m.u.digit);
		return STREAM_GO_ON;
	case MEDIA_EVENT_MARK:
		if (s->state == LIVE)
			probe_echo(&s->probe, m.u.mark, now_ns);
		return STREAM_GO_ON;
	case MEDIA_EVENT_STOP:
		finish(s, true);
		return STREAM_CLOSE_NORMAL;
	case MEDIA_EVENT_UNKNOWN:
		log_rated(&s->unknown_rate, 60000, LOG_LEVEL_INFO,
			  "ignoring an unknown event stream=%s event=%s", s->name,
			  log_quote(m.u.unknown));
		return STREAM_GO_ON;
	}
	return STREAM_GO_ON;
}

int media_stream_admit(struct media_stream *s, bool admitted, int64_t now_ns)
{
	if (s->state != ASKING)
		return STREAM_GO_ON;
	if (!admitted) {
		s->state = DONE;
		return STREAM_CLOSE_POLICY;
	}
	live(s, now_ns);
	return STREAM_GO_ON;
}

void media_stream_closed(struct media_stream *s)
{
	finish(s, false);
}

int media_stream_check(struct media_stream *s, int64_t now_ns)
{
	const char *late = NULL;

	if (s->late)
		return STREAM_CLOSE_POLICY;
	if (s->state == ACCEPTED && now_ns - s->accepted_ns > STREAM_CONNECTED_NS)
		late = "nothing came in 5 s";
	else if (s->state < LIVE && now_ns - s->accepted_ns > STREAM_START_NS)
		late = "no start in 10 s";
	if (late) {
		log_warn("closing a stream stream=%s why=\"%s\"", s->name, late);
		s->late = true;
		return STREAM_CLOSE_POLICY;
	}
	if (s->state == LIVE && now_ns - s->heard_ns > STREAM_SILENT_NS) {
		/* Media comes 50 times a second, speech or not: the path is dead. */
		log_warn("closing a stream stream=%s why=\"no media for 5 s\"", s->name);
		finish(s, false);
		return STREAM_CLOSE_AWAY;
	}
	return STREAM_GO_ON;
}

/* ---- outgoing ----------------------------------------------------------------------------- */

static void queue_pop(struct media_stream *s)
{
	if (s->queue[s->queue_first].kind == ENTRY_FRAME)
		s->queue_frames--;
	s->queue_first = (s->queue_first + 1) % QUEUE_ENTRIES;
	s->queue_count--;
}

static struct entry *queue_push(struct media_stream *s, enum entry_kind kind)
{
	/* also drops a mark in front of the frame that has to go */
	while (s->queue_count == QUEUE_ENTRIES ||
	       (kind == ENTRY_FRAME && s->queue_frames == STREAM_QUEUE_FRAMES)) {
		if (s->queue[s->queue_first].kind == ENTRY_FRAME)
			s->stats.frames_dropped++;
		queue_pop(s);
	}
	struct entry *entry = &s->queue[(s->queue_first + s->queue_count++) % QUEUE_ENTRIES];

	entry->kind = kind;
	if (kind == ENTRY_FRAME)
		s->queue_frames++;
	return entry;
}

void media_stream_send(struct media_stream *s, const uint8_t frame[G711_FRAME_BYTES],
		       int64_t now_ns)
{
	char name[PROBE_NAME_BYTES];

	if (s->state != LIVE)
		return;
	if (probe_stalled(&s->probe, now_ns)) {
		s->stalled = true;
		s->stats.frames_dropped++;
		return;
	}
	if (s->stalled || probe_overrun(&s->probe, now_ns)) {
		log_warn("the far end %s, clearing what is queued there stream=%s queue_ms=%d",
			 s->stalled ? "stood still" : "has too much sound queued", s->name,
			 (int)(s->probe.queue_ns / 1000000));
		s->stalled = false;
		queue_push(s, ENTRY_CLEAR);
		probe_cleared(&s->probe);
		s->stats.clears++;
	}
	memcpy(queue_push(s, ENTRY_FRAME)->u.frame, frame, G711_FRAME_BYTES);
	if (probe_due(&s->probe, now_ns, name))
		memcpy(queue_push(s, ENTRY_MARK)->u.mark, name, sizeof(name));
}

size_t media_stream_next(struct media_stream *s, char *out)
{
	const struct entry *entry = &s->queue[s->queue_first];
	size_t len = 0;

	if (s->queue_count == 0)
		return 0;
	switch (entry->kind) {
	case ENTRY_FRAME:
		len = media_build_media(out, s->sid, entry->u.frame, G711_FRAME_BYTES);
		s->stats.frames_sent++;
		break;
	case ENTRY_MARK:
		len = media_build_mark(out, s->sid, entry->u.mark);
		break;
	case ENTRY_CLEAR:
		len = media_build_clear(out, s->sid);
		break;
	}
	queue_pop(s);
	return len;
}

bool media_stream_pending(const struct media_stream *s)
{
	return s->queue_count > 0;
}

bool media_stream_started(const struct media_stream *s)
{
	return s->state == ASKING || s->state == LIVE;
}

const char *media_stream_sid(const struct media_stream *s)
{
	return s->sid;
}

double media_stream_trim_ppm(const struct media_stream *s)
{
	return s->state == LIVE ? probe_trim_ppm(&s->probe) : 0;
}

void media_stream_stats(const struct media_stream *s, struct media_stream_stats *out)
{
	*out = s->stats;
	out->min_rtt_ns = s->probe.min_rtt_ns;
	out->queue_ns = s->probe.queue_ns;
	out->unsent_ns = (int64_t)s->queue_frames * G711_FRAME_BYTES * 1000000000 / G711_RATE_HZ;
}
