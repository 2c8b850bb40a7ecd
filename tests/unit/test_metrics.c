/* SPDX-License-Identifier: MIT
 *
 * test_metrics.c - quantiles against the sorted values they stand for.
 */
#include "tests/unit/unit.h"

#include <pthread.h>

#include "common/budget.h"
#include "common/json.h"
#include "common/metrics.h"
#include "common/random.h"

#define COUNT 20000

static struct metrics_histogram h;

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_quantiles_within_bound(void)
{
	static int64_t values[COUNT];
	struct metrics_summary s;

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < COUNT; i++) {
		/* log-uniform over 16 us .. 1 s */
		values[i] = (int64_t)(16e3 * pow(62500.0, (double)random_below(1000000) / 1e6));
		metrics_record(&h, values[i]);
	}
	qsort(values, COUNT, sizeof(values[0]), compare);
	metrics_summarize(&h, NULL, &s);
	CHECK_INT(s.count, COUNT);
	CHECK_INT(s.max_ns, values[COUNT - 1]);
	CHECK_NEAR((double)s.p50_ns / (double)values[COUNT / 2 - 1], 1.0, 0.045);
	CHECK_NEAR((double)s.p90_ns / (double)values[COUNT / 10 * 9 - 1], 1.0, 0.045);
	CHECK_NEAR((double)s.p99_ns / (double)values[COUNT / 100 * 99 - 1], 1.0, 0.045);
}

static void test_extremes(void)
{
	struct metrics_summary s;

	memset(&h, 0, sizeof(h));
	metrics_summarize(&h, NULL, &s);
	CHECK_INT(s.count, 0);
	CHECK_INT(s.p99_ns, 0);
	metrics_record(&h, -5);
	metrics_record(&h, 0);
	metrics_record(&h, INT64_MAX);
	metrics_summarize(&h, NULL, &s);
	CHECK_INT(s.count, 3);
	CHECK(s.p50_ns < 1000);
	CHECK(s.p99_ns > 60 * INT64_C(1000000000));
}

static void test_since_snapshot(void)
{
	struct metrics_snapshot since;
	struct metrics_summary s;

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 100; i++)
		metrics_record(&h, 1000000);
	metrics_snapshot_take(&h, &since);
	for (int i = 0; i < 10; i++)
		metrics_record(&h, 50000000);
	metrics_summarize(&h, &since, &s);
	CHECK_INT(s.count, 10);
	CHECK_NEAR(s.p50_ns, 50000000, 50000000 * 0.045);
}

static void *writer(void *arg)
{
	for (int i = 0; i < 100000; i++)
		metrics_record(arg, i * 1000);
	return NULL;
}

static void test_reader_during_writes(void)
{
	struct metrics_summary s;
	pthread_t thread;
	uint64_t last = 0;

	memset(&h, 0, sizeof(h));
	CHECK_INT(pthread_create(&thread, NULL, writer, &h), 0);
	for (int i = 0; i < 50; i++) {
		metrics_summarize(&h, NULL, &s);
		CHECK(s.count >= last);
		last = s.count;
	}
	pthread_join(thread, NULL);
	metrics_summarize(&h, NULL, &s);
	CHECK_INT(s.count, 100000);
}

static void test_json(void)
{
	struct strbuf b = STRBUF_INIT(1000);
	struct json_writer w;

	memset(&h, 0, sizeof(h));
	metrics_record(&h, 7300);
	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	metrics_write_json(&h, &w, "delay");
	json_w_end(&w);
	CHECK_INT(json_finish(&w), 0);
	CHECK_STR(strbuf_text(&b), "{\"delay\":{\"count\":1,\"p50_ms\":0.007,\"p90_ms\":0.007,"
				   "\"p99_ms\":0.007,\"max_ms\":0.007}}");
	strbuf_free(&b);
}

static struct budget_stage stages[3];

static void test_budget_stage_follows_what_is_stamped(void)
{
	memset(stages, 0, sizeof(stages));
	CHECK_INT(budget_ns(&stages[0]), BUDGET_UNKNOWN);
	budget_stamp(&stages[0], 0);
	CHECK_INT(budget_ns(&stages[0]), 0); /* known to be nothing */
	for (int i = 0; i < 200; i++)
		budget_stamp(&stages[0], 5000000);
	CHECK_NEAR(budget_ns(&stages[0]), 5000000, 1000);
	for (int i = 0; i < 2000; i++) /* a mean: one in four takes 8 ms */
		budget_stamp(&stages[1], i % 4 ? 0 : 8000000);
	CHECK_NEAR(budget_ns(&stages[1]), 2000000, 600000);
	budget_stamp(&stages[2], -7);
	CHECK_INT(budget_ns(&stages[2]), 0);
}

static const char *budget_text(struct strbuf *b, const struct budget_share *shares, size_t n)
{
	struct json_writer w;

	strbuf_reset(b);
	json_begin(&w, b);
	budget_write(&w, NULL, shares, n);
	CHECK_INT(json_finish(&w), 0);
	return strbuf_text(b);
}

static void test_budget_json(void)
{
	struct strbuf b = STRBUF_INIT(1000);
	struct budget_share shares[] = {{"framing_ms", 20000000},
					{"network_jitter_ms", 28500000},
					{"playout_ms", 2500000},
					{"loopback_ms", BUDGET_UNKNOWN}};

	CHECK_STR(budget_text(&b, shares, 3), "{\"framing_ms\":20,\"network_jitter_ms\":28.5,"
					      "\"playout_ms\":2.5,\"sum_ms\":51}");
	CHECK_STR(budget_text(&b, shares, 4),
		  "{\"framing_ms\":20,\"network_jitter_ms\":28.5,\"playout_ms\":2.5,"
		  "\"loopback_ms\":null,\"sum_ms\":null}");
	strbuf_free(&b);
}

int main(void)
{
	UNIT(test_quantiles_within_bound);
	UNIT(test_extremes);
	UNIT(test_since_snapshot);
	UNIT(test_reader_during_writes);
	UNIT(test_json);
	UNIT(test_budget_stage_follows_what_is_stamped);
	UNIT(test_budget_json);
	return unit_done();
}
