/* SPDX-License-Identifier: MIT
 *
 * metrics.c - histograms by octave and sixteenth, as floating-point numbers are laid out:
 * bucket = 16 * exponent + four bits of mantissa of the value in microseconds.
 */
#include "common/metrics.h"

#include <stdatomic.h>
#include <stddef.h>

#include "common/json.h"

/* Values below 16 us have a bucket each; from there 16 buckets an octave. */
static unsigned bucket_of(int64_t value_ns)
{
	uint64_t us = value_ns > 0 ? (uint64_t)value_ns / 1000 : 0;
	unsigned exponent, index;

	if (us < 16)
		return (unsigned)us;
	exponent = 63u - (unsigned)__builtin_clzll(us); /* >= 4 */
	index = 16 * (exponent - 3) + (unsigned)(us >> (exponent - 4) & 15);
	return index < METRICS_BUCKETS ? index : METRICS_BUCKETS - 1;
}

static int64_t bucket_middle_ns(unsigned index)
{
	unsigned exponent = index / 16 + 3;
	uint64_t low_us, width_us;

	if (index < 16)
		return (int64_t)index * 1000 + 500;
	width_us = UINT64_C(1) << (exponent - 4);
	low_us = (16 + index % 16) * width_us;
	return (int64_t)(low_us * 1000 + width_us * 500);
}

void metrics_record(struct metrics_histogram *h, int64_t value_ns)
{
	_Atomic uint32_t *bucket = &h->bucket[bucket_of(value_ns)];

	/* One writer: plain load and store are enough and cheaper than locked adds. */
	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (value_ns > atomic_load_explicit(&h->max_ns, memory_order_relaxed))
		atomic_store_explicit(&h->max_ns, value_ns, memory_order_relaxed);
	atomic_store_explicit(&h->count, atomic_load_explicit(&h->count, memory_order_relaxed) + 1,
			      memory_order_release);
}

void metrics_snapshot_take(const struct metrics_histogram *h, struct metrics_snapshot *out)
{
	for (size_t i = 0; i < METRICS_BUCKETS; i++)
		out->bucket[i] = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
}

/* The bucket in which the value of that rank (1-based) lies. */
static int64_t quantile_ns(const struct metrics_snapshot *s, uint64_t count, unsigned percent)
{
	uint64_t rank = (count * percent + 99) / 100, seen = 0;

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		seen += s->bucket[i];
		if (seen >= rank && s->bucket[i])
			return bucket_middle_ns(i);
	}
	return 0;
}

void metrics_summarize(const struct metrics_histogram *h, const struct metrics_snapshot *since,
		       struct metrics_summary *out)
{
	struct metrics_snapshot now;

	metrics_snapshot_take(h, &now);
	out->count = 0;
	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		if (since)
			now.bucket[i] -= since->bucket[i]; /* right across a wrap */
		out->count += now.bucket[i];
	}
	out->max_ns = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
	out->p50_ns = quantile_ns(&now, out->count, 50);
	out->p90_ns = quantile_ns(&now, out->count, 90);
	out->p99_ns = quantile_ns(&now, out->count, 99);
}

/* To the microsecond: more digits than the buckets have would pretend. */
static double to_ms(int64_t ns)
{
	int64_t us = ns / 1000;

	return (double)us / 1000;
}

void metrics_write_json(const struct metrics_histogram *h, struct json_writer *w, const char *name)
{
	struct metrics_summary s;

	metrics_summarize(h, NULL, &s);
	json_w_obj(w, name);
	json_w_int(w, "count", (int64_t)s.count);
	json_w_num(w, "p50_ms", to_ms(s.p50_ns));
	json_w_num(w, "p90_ms", to_ms(s.p90_ns));
	json_w_num(w, "p99_ms", to_ms(s.p99_ns));
	json_w_num(w, "max_ms", to_ms(s.max_ns));
	json_w_end(w);
}
