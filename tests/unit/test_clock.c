/* SPDX-License-Identifier: MIT
 *
 * The clock loop alone: offsets, quantiles, and the filter against a sender that is off by a known
 * rate (playout's own tests and the bench run the whole).
 */
#include "alsa/clock.h"

#include <stdint.h>

#include "test_random.h"
#include "unit.h"

#define MS INT64_C(1000000)

static struct clock_loop *fresh(void)
{
	struct clock_loop *c;
	CHECK_INT(clock_loop_create(&c), 0);
	return c;
}

static void test_minimum_and_quantiles(void)
{
	struct clock_loop *c = fresh();
	CHECK_INT(clock_loop_count(c), 0);
	CHECK_INT(clock_loop_jitter_ns(c, 990), 0);
	/* delays of 100 ms plus 0, 1, 2 ... 99 ms, in an order that mixes them */
	for (int64_t i = 0; i < 100; i++)
		clock_loop_arrival(c, i * 20 * MS, 20 * MS, i * 20 * MS + (100 + i * 37 % 100) * MS);
	CHECK_INT(clock_loop_count(c), 100);
	CHECK_INT(clock_loop_local_ns(c, 0), 100 * MS);
	CHECK_INT(clock_loop_local_ns(c, 5000 * MS), 5100 * MS);
	CHECK_INT(clock_loop_media_ns(c, 5100 * MS), 5000 * MS);
	CHECK_INT(clock_loop_jitter_ns(c, 0), 0);
	CHECK_INT(clock_loop_jitter_ns(c, 500), 50 * MS);
	CHECK_INT(clock_loop_jitter_ns(c, 950), 95 * MS);
	CHECK_INT(clock_loop_jitter_ns(c, 1000), 99 * MS);
	clock_loop_destroy(c);
}

static void test_window_is_ten_seconds_of_sound(void)
{
	struct clock_loop *c = fresh();
	static const int lengths_ms[] = {20, 40, 60, 120, 10, 5};
	for (int k = 0; k < 6; k++) {
		int64_t length = lengths_ms[k] * MS;
		clock_loop_resync(c);
		int64_t t = 0;
		/* one quick packet, then slower ones: it counts for ten seconds */
		clock_loop_arrival(c, t, length, t + 10 * MS);
		for (t = length; t < 9800 * MS; t += length)
			clock_loop_arrival(c, t, length, t + 30 * MS);
		CHECK_INT(clock_loop_local_ns(c, 0), 10 * MS);
		for (; t < 10400 * MS; t += length)
			clock_loop_arrival(c, t, length, t + 30 * MS);
		CHECK_INT(clock_loop_local_ns(c, 0), 30 * MS);
	}
	clock_loop_destroy(c);
}

static void test_a_stall_is_one_event(void)
{
	struct clock_loop *c = fresh();
	int64_t t = 0;
	for (int i = 0; i < 400; i++, t += 20 * MS) {
		int64_t arrival = t + 30 * MS;
		if (i >= 200 && i < 213) /* thirteen packets pour in at once */
			arrival = 213 * 20 * MS + 30 * MS + i * 1000;
		clock_loop_arrival(c, t, 20 * MS, arrival);
	}
	CHECK_INT(clock_loop_jitter_ns(c, 990), 0);
	CHECK(clock_loop_jitter_ns(c, 1000) > 250 * MS);
	clock_loop_destroy(c);
}

/*
 * Short spurts, jitter of 0 to 30 ms: where none of a spurt's first packets was quick, it looks as if it lay
 * later. Those that follow show that it does not; jitter is 30 ms all the time. (It was taken for 42 for
 * most of the ten seconds after each such spurt, a tenth of all time; 4 ms are left to the quickest of what
 * is compared being a few ms late itself.)
 */
static void test_short_spurts_do_not_add_up_to_jitter(void)
{
	struct clock_loop *c = fresh();
	uint32_t seed = 3;
	int64_t t = 0;
	int above = 0, spurts = 2000;
	for (int k = 0; k < spurts; k++) {
		for (unsigned n = 15 + test_random_below(&seed, 30); n > 0; n--, t += 20 * MS)
			clock_loop_arrival(c, t, 20 * MS, t + test_random_below(&seed, 30000) * INT64_C(1000));
		clock_loop_pause(c);
		t += 300 * MS;
		above += clock_loop_jitter_ns(c, 1000) > 34 * MS;
	}
	/* the bound is hurt by a spurt of which all packets were slow: 0.6^15 of the shortest */
	CHECK_INT(above, 0);
	clock_loop_destroy(c);
}

/* Playout that follows the loop's rate: the true rate must come out, with nothing left over. */
static void test_finds_the_rate_of_a_sender(void)
{
	static const double ppms[] = {-500, -200, -50, 0, 50, 200, 480};
	for (size_t k = 0; k < sizeof ppms / sizeof *ppms; k++) {
		struct clock_loop *c = fresh();
		double read_ns = 0, rate = 0;
		int64_t sent = 0;
		const int64_t hold = 30 * MS;
		for (int64_t tick = 1; tick < 60000; tick++) { /* 5 minutes */
			int64_t now = tick * 5 * MS;
			for (;;) {
				int64_t arrival = (int64_t)((double)(sent * 20 * MS) / (1 + ppms[k] * 1e-6));
				if (arrival > now)
					break;
				clock_loop_arrival(c, sent * 20 * MS, 20 * MS, arrival);
				sent++;
			}
			if (tick < 20) {
				read_ns = (double)(clock_loop_media_ns(c, now) - hold);
				continue;
			}
			read_ns += 5e6 * (1 + rate * 1e-6);
			int64_t error = now - clock_loop_local_ns(c, (int64_t)read_ns) - hold;
			rate = clock_loop_tick(c, error, 5 * MS);
			if (tick > 4000)
				CHECK(llabs(error) < 1 * MS + (tick < 12000 ? 1 * MS : 0));
		}
		CHECK_NEAR(rate, ppms[k], 0.5);
		CHECK_NEAR(clock_loop_drift_ppm(c), ppms[k], 0.5);
		clock_loop_destroy(c);
	}
}

static void test_a_slip_is_no_rate_error(void)
{
	struct clock_loop *c = fresh();
	clock_loop_arrival(c, 0, 20 * MS, 0);
	for (int i = 0; i < 1000; i++) {
		CHECK(clock_loop_tick(c, 11 * MS, 5 * MS) == 0);
		CHECK(clock_loop_tick(c, -11 * MS, 5 * MS) == 0);
	}
	/* both signs within range do act, and are bounded */
	for (int i = 0; i < 100000; i++)
		CHECK(fabs(clock_loop_tick(c, 9 * MS, 5 * MS)) <= 2000);
	CHECK_NEAR(clock_loop_drift_ppm(c), CLOCK_MAX_PPM, 0.01);
	clock_loop_resync(c);
	CHECK_NEAR(clock_loop_drift_ppm(c), CLOCK_MAX_PPM, 0.01); /* the rate is kept */
	CHECK_INT(clock_loop_count(c), 0);
	clock_loop_clear(c);
	CHECK(clock_loop_drift_ppm(c) == 0);
	clock_loop_destroy(c);
}

int main(void)
{
	UNIT(test_minimum_and_quantiles);
	UNIT(test_window_is_ten_seconds_of_sound);
	UNIT(test_a_stall_is_one_event);
	UNIT(test_short_spurts_do_not_add_up_to_jitter);
	UNIT(test_finds_the_rate_of_a_sender);
	UNIT(test_a_slip_is_no_rate_error);
	return unit_done();
}
