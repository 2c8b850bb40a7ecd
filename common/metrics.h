/* SPDX-License-Identifier: MIT
 *
 * metrics.h - counters and delay histograms written by an audio thread and read by
 * a control thread, without locks and in bounded memory.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stdint.h>

struct json_writer;

/*
 * Values of 0..~67 s in nanoseconds, buckets of 1/16 octave from 1 us up: a quantile is
 * right within 4.5 %. Zeroed is empty. One writer thread; any reader.
 */
#define METRICS_BUCKETS 432

struct metrics_histogram {
	_Atomic uint32_t bucket[METRICS_BUCKETS]; /* writer: the measuring thread; readers: any */
	_Atomic uint64_t count;                   /* the same */
	_Atomic int64_t max_ns;                   /* the same */
};

/* Writer only; wait-free. Negative counts as 0. */
void metrics_record(struct metrics_histogram *histogram, int64_t value_ns);

/* What was recorded since `since` was taken (NULL: from the start). Quantiles are bucket middles.
 */
struct metrics_summary {
	uint64_t count;
	int64_t p50_ns, p90_ns, p99_ns, max_ns; /* max is of all time */
};

struct metrics_snapshot {
	uint32_t bucket[METRICS_BUCKETS];
};

/* Readers. A reading during writes is off by the writes in flight, never torn. */
void metrics_summarize(const struct metrics_histogram *histogram,
		       const struct metrics_snapshot *since, struct metrics_summary *out);
void metrics_snapshot_take(const struct metrics_histogram *histogram, struct metrics_snapshot *out);
/* "name":{"count":..,"p50_ms":..,"p90_ms":..,"p99_ms":..,"max_ms":..} */
void metrics_write_json(const struct metrics_histogram *histogram, struct json_writer *w,
			const char *name);

#endif
