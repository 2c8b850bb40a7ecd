/* SPDX-License-Identifier: MIT
 *
 * cable.c - the shared file: slots, records, samples. See cable.h for the design; creation
 * is in cable_file.c.
 */
#include "alsa/cable/cable.h"
#include "alsa/cable/cable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_FRAMES   512
#define GAP_FRAMES     720
#define READY_FRAMES   240 /* so long it is taken for true that nobody plays */
#define TORN_RETRIES   4
#define POSITION_LIMIT ((int64_t)1 << 60) /* 760 000 years: sums of two never overflow */
#define NOT_STARTED    INT64_MIN
#define NO_END         (POSITION_LIMIT)

struct cable {
	int fd;
	int lock_fd; /* -1: a reader */
	unsigned channels;
	off_t size_bytes;
	int slot;                  /* -1: none */
	struct cable_record mine;  /* writer: what the record of `slot` says */
	int64_t ready;             /* reader: all that play have written so far, at least */
	struct cable_record table[CABLE_SLOTS];  /* reader: as last read */
	struct cable_record again[CABLE_SLOTS];
	int32_t sum[CHUNK_FRAMES * CABLE_CHANNELS_MAX];
	int16_t piece[CHUNK_FRAMES * CABLE_CHANNELS_MAX];
};

/* ---- clock -------------------------------------------------------------------------------- */

/* 48000 / 1e9 = 3 / 62500. Good for 97 years of uptime. */
int64_t cable_frame_at(int64_t now_ns)
{
	return now_ns * 3 / 62500;
}

int64_t cable_frame_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return cable_frame_at(t.tv_sec * 1000000000LL + t.tv_nsec);
}

int64_t cable_time_ns(int64_t frame)
{
	return (frame * 62500 + 2) / 3;
}

/* ---- records ------------------------------------------------------------------------------ */

/* Not against malice (who may write may write a good one): against reading half of a pwrite().
 * Never 0. */
static uint64_t record_check(const struct cable_record *r)
{
	uint64_t words[4] = {r->generation, (uint64_t)r->start, (uint64_t)r->written,
			     (uint64_t)r->end};
	uint64_t h = 0x6c6f6f706c696e65;

	for (size_t i = 0; i < 4; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return h | 1;
}

static bool record_is_sane(const struct cable_record *r)
{
	return (r->start == NOT_STARTED || (r->start >= 0 && r->start <= POSITION_LIMIT)) &&
	       r->written >= 0 && r->written <= POSITION_LIMIT && r->end >= 0 &&
	       r->end <= POSITION_LIMIT;
}

/* All of len bytes, or -ENODEV: a file that is too short has been truncated under us. */
static int read_all(int fd, void *buf, size_t len, off_t at)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ENODEV;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t len, off_t at)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ENODEV;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static off_t ring_offset(const struct cable *c, int slot, uint64_t frame)
{
	size_t frame_bytes = c->channels * sizeof(int16_t);

	return (off_t)(CABLE_HEADER_BYTES +
		       ((size_t)slot * CABLE_RING_FRAMES + frame % CABLE_RING_FRAMES) *
			       frame_bytes);
}

/* Reads the records of all slots. One that is torn is read again; one that stays inconsistent, or
 * says nonsense, counts as a slot that was never started. */
static int table_read(struct cable *c, struct cable_record table[CABLE_SLOTS])
{
	size_t len = sizeof(struct cable_record) * CABLE_SLOTS;
	int err = read_all(c->fd, table, len, CABLE_TABLE_OFFSET);

	if (err)
		return err;
	for (int i = 0; i < CABLE_SLOTS; i++) {
		int tries = TORN_RETRIES;

		if (table[i].check == 0) { /* never used: a new file is zeros */
			table[i].start = NOT_STARTED;
			continue;
		}
		while (table[i].check != record_check(&table[i]) && tries-- > 0) {
			err = read_all(c->fd, &table[i], sizeof(table[i]),
				       CABLE_TABLE_OFFSET + i * (off_t)sizeof(table[i]));
			if (err)
				return err;
		}
		if (table[i].check != record_check(&table[i]) || !record_is_sane(&table[i]))
			table[i].start = NOT_STARTED;
	}
	/* The kernel copied the records on this CPU; samples read from here on must not be older. */
	atomic_thread_fence(memory_order_acquire);
	return 0;
}

static int record_publish(struct cable *c)
{
	c->mine.check = record_check(&c->mine);
	atomic_thread_fence(memory_order_release);
	return write_all(c->fd, &c->mine, sizeof(c->mine),
			 CABLE_TABLE_OFFSET + c->slot * (off_t)sizeof(c->mine));
}

/* ---- opening ------------------------------------------------------------------------------ */

int cable_open(struct cable **out, const struct cable_spec *spec, enum cable_mode mode, char *why,
	       size_t why_size)
{
	struct cable *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->lock_fd = -1;
	c->slot = -1;
	err = cable_file_open(spec, mode, &c->fd, &c->lock_fd, &c->channels, why, why_size);
	if (err) {
		free(c);
		return err;
	}
	c->size_bytes = cable_file_bytes(c->channels);
	*out = c;
	return 0;
}

int cable_check(const struct cable *c)
{
	struct stat st;

	if (fstat(c->fd, &st) < 0 || st.st_nlink == 0 || st.st_size != c->size_bytes)
		return -ENODEV;
	return 0;
}

/* Nobody is to wait for more of it. Not in a file that was cut: that would grow again. */
static void stream_end(struct cable *c)
{
	if (c->slot >= 0 && c->mine.end == NO_END && cable_check(c) == 0)
		cable_stop(c, c->mine.start == NOT_STARTED ? 0 : c->mine.written);
}

void cable_close(struct cable *c)
{
	if (!c)
		return;
	stream_end(c);
	/* closing the descriptor lets go of the slot; what was published stays audible */
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	close(c->fd);
	free(c);
}

unsigned cable_channels(const struct cable *c)
{
	return c->channels;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int slot_lock(const struct cable *c, int slot, short type)
{
	struct flock l = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = slot,
		.l_len = 1,
	};

	return fcntl(c->lock_fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

/* The cable frame after the last one that a reader may still want from this slot. */
static int64_t record_end_frame(const struct cable_record *r)
{
	if (r->start == NOT_STARTED)
		return INT64_MIN;
	return r->start + (r->end < r->written ? r->end : r->written);
}

int cable_claim(struct cable *c, int64_t now_frame)
{
	int best = -1, old = c->slot;
	int64_t best_end = INT64_MAX;
	int err;

	if (c->lock_fd < 0)
		return -EBADF;
	stream_end(c);
	err = table_read(c, c->table);
	if (err)
		return err;
	for (int i = 0; i < CABLE_SLOTS; i++) {
		int64_t end = record_end_frame(&c->table[i]);

		if (i == old || end >= best_end || slot_lock(c, i, F_WRLCK))
			continue;
		if (best >= 0)
			slot_lock(c, best, F_UNLCK);
		best = i;
		best_end = end;
		if (end < now_frame - CABLE_BUFFER_MAX)
			break; /* nobody can want it any more */
	}
	if (best < 0 && old < 0)
		return -EBUSY;
	if (best < 0)
		best = old; /* the tail of our own last stream goes: better than no stream */
	else if (old >= 0)
		slot_lock(c, old, F_UNLCK);
	c->slot = best;
	c->mine = (struct cable_record){
		.generation = c->table[best].generation + 1,
		.start = NOT_STARTED,
		.end = NO_END,
	};
	return record_publish(c);
}

int cable_start(struct cable *c, int64_t frame)
{
	if (c->slot < 0)
		return -EBADF;
	c->mine.start = frame;
	return record_publish(c);
}

static int ring_write(struct cable *c, int64_t pos, const int16_t *frames, size_t n)
{
	size_t first = CABLE_RING_FRAMES - (size_t)(pos % CABLE_RING_FRAMES);
	size_t frame_bytes = c->channels * sizeof(int16_t);
	int err;

	if (first > n)
		first = n;
	err = write_all(c->fd, frames, first * frame_bytes, ring_offset(c, c->slot, (uint64_t)pos));
	if (err || first == n)
		return err;
	return write_all(c->fd, frames + first * c->channels, (n - first) * frame_bytes,
			 ring_offset(c, c->slot, 0));
}

/* snd_pcm_forward() leaves a gap, in which the ring still holds the sound of its last round: that must
 * not be heard again. */
static int gap_write(struct cable *c, int64_t from, int64_t to)
{
	static const int16_t silence[GAP_FRAMES * CABLE_CHANNELS_MAX];
	int err = 0;

	if (to - from > CABLE_RING_FRAMES)
		from = to - CABLE_RING_FRAMES;
	while (from < to && !err) {
		size_t k = to - from < GAP_FRAMES ? (size_t)(to - from) : GAP_FRAMES;

		err = ring_write(c, from, silence, k);
		from += (int64_t)k;
	}
	return err;
}

int cable_write(struct cable *c, int64_t pos, const int16_t *frames, size_t n)
{
	int err = 0;

	if (c->slot < 0)
		return -EBADF;
	if (pos < 0 || pos > POSITION_LIMIT / 2 || n > CABLE_RING_FRAMES)
		return -EINVAL;
	if (pos > c->mine.written)
		err = gap_write(c, c->mine.written, pos);
	if (!err)
		err = ring_write(c, pos, frames, n);
	if (err)
		return err;
	c->mine.written = pos + (int64_t)n;
	return record_publish(c);
}

int cable_stop(struct cable *c, int64_t end)
{
	if (c->slot < 0)
		return -EBADF;
	c->mine.end = end < 0 ? 0 : end < c->mine.written ? end : c->mine.written;
	return record_publish(c);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* Up to where those have written who play, as far as they are not late by too much. With nobody there it is
 * asked again after a while. */
static int64_t table_ready(const struct cable_record table[CABLE_SLOTS], int64_t now_frame)
{
	int64_t ready = now_frame + READY_FRAMES;

	for (int i = 0; i < CABLE_SLOTS; i++) {
		const struct cable_record *r = &table[i];
		int64_t at = record_end_frame(r);

		if (r->end == NO_END && at >= now_frame - CABLE_LATE_FRAMES && at < ready)
			ready = at;
	}
	return ready;
}

int64_t cable_ready(struct cable *c, int64_t now_frame)
{
	int err;

	if (now_frame > c->ready) {
		err = table_read(c, c->table);
		if (err)
			return err;
		c->ready = table_ready(c->table, now_frame);
	}
	return c->ready < now_frame ? c->ready : now_frame;
}

/* Part of [frame, frame + n) that record r covers, as stream frames [from, to). */
static bool record_overlap(const struct cable_record *r, int64_t frame, size_t n, int64_t *from,
			   int64_t *to)
{
	int64_t end, base;

	if (r->start == NOT_STARTED)
		return false;
	end = r->end < r->written ? r->end : r->written;
	base = frame - r->start;
	*from = base < 0 ? 0 : base;
	*to = base + (int64_t)n < end ? base + (int64_t)n : end;
	/* older than the ring: it has been overwritten, as far as it was ever there */
	return *from < *to && r->written - *from <= CABLE_RING_FRAMES;
}

static int slot_add(struct cable *c, int slot, int64_t from, int64_t to, int32_t *sum)
{
	while (from < to) {
		size_t first = CABLE_RING_FRAMES - (size_t)(from % CABLE_RING_FRAMES);
		size_t n = (size_t)(to - from) < first ? (size_t)(to - from) : first;
		int err = read_all(c->fd, c->piece, n * c->channels * sizeof(int16_t),
				   ring_offset(c, slot, (uint64_t)from));

		if (err)
			return err;
		for (size_t i = 0; i < n * c->channels; i++)
			*sum++ += c->piece[i];
		from += (int64_t)n;
	}
	return 0;
}

/* Sums up to CHUNK_FRAMES. Slots of which the owner changed, or came round the ring, while they were
 * being read have given rubbish: the sum is made again without them. Each round drops at least
 * one slot, so nobody can keep a reader here. */
static int chunk_read(struct cable *c, int64_t frame, int16_t *out, size_t n)
{
	size_t samples = n * c->channels;
	bool skip[CABLE_SLOTS] = {false};
	bool again = false;

	do {
		bool used[CABLE_SLOTS] = {false};
		bool any = false;
		int64_t from, to;
		int err = table_read(c, c->table);

		if (err)
			return err;
		again = false;
		memset(c->sum, 0, samples * sizeof(c->sum[0]));
		for (int i = 0; i < CABLE_SLOTS; i++) {
			const struct cable_record *r = &c->table[i];

			if (skip[i] || !record_overlap(r, frame, n, &from, &to))
				continue;
			err = slot_add(c, i, from, to,
				       c->sum + (from + r->start - frame) * (int64_t)c->channels);
			if (err)
				return err;
			used[i] = any = true;
		}
		if (!any)
			break;
		err = table_read(c, c->again);
		if (err)
			return err;
		for (int i = 0; i < CABLE_SLOTS; i++) {
			if (!used[i])
				continue;
			if (c->again[i].generation == c->table[i].generation &&
			    c->again[i].start == c->table[i].start &&
			    record_overlap(&c->again[i], frame, n, &from, &to))
				continue;
			skip[i] = again = true;
		}
	} while (again);

	for (size_t i = 0; i < samples; i++) {
		int32_t v = c->sum[i];

		out[i] = (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
	}
	return 0;
}

int cable_read(struct cable *c, int64_t frame, int16_t *out, size_t n)
{
	if (frame < 0 || frame > POSITION_LIMIT / 2)
		return -EINVAL;
	while (n > 0) {
		size_t k = n < CHUNK_FRAMES ? n : CHUNK_FRAMES;
		int err = chunk_read(c, frame, out, k);

		if (err)
			return err;
		out += k * c->channels;
		frame += (int64_t)k;
		n -= k;
	}
	return 0;
}
