/* SPDX-License-Identifier: MIT
 *
 * test_line.c - a line in simulated time: its PCMs are not there (nothing opens them), so what is
 * shown is what callers hear of each other, and what they get while they wait. But for what happens
 * when they run dry: that is on a cable, in real time.
 */
#include "bridge/line.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <time.h>

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)

enum { KEEP = 8000 * 40 }; /* samples kept of what each caller heard */

struct caller {
	struct leg *leg;
	double hz, level; /* 0 Hz: silent */
	double ppm;       /* of his clock */
	int64_t said;     /* samples */
	int64_t next_ns;
	uint8_t heard[KEEP];
	int64_t heard_count; /* all of them, beyond KEEP too */
	int64_t last_ns;
};

static struct line *line;
static struct waiting *waiting;
static struct caller caller[4];
static int callers;
static int speech_level_dbov; /* of those who join */
static int64_t now;

static void on_frame(void *user, const uint8_t frame[G711_FRAME_BYTES], int64_t at_ns)
{
	struct caller *c = user;

	CHECK_INT(at_ns, now);
	for (int i = 0; i < G711_FRAME_BYTES; i++, c->heard_count++)
		if (c->heard_count < KEEP)
			c->heard[c->heard_count] = frame[i];
	c->last_ns = at_ns;
}

static void setup(const char *wait_for)
{
	char why[WAITING_WHY_BYTES];

	if (line) {
		for (int i = 0; i < callers; i++)
			leg_destroy(caller[i].leg);
		line_destroy(line);
		waiting_unref(waiting);
	}
	callers = 0;
	memset(caller, 0, sizeof(caller));
	now = 5000 * SECOND;
	CHECK_INT(line_create(&line, 0, "phone:0", "discord:0"), 0);
	CHECK_INT(waiting_create(&waiting, wait_for, why), 0);
	line_set_connected(line, true);
}

static struct caller *join(double hz, double level)
{
	struct caller *c = &caller[callers++];
	struct leg_config config = {.waiting = waiting,
				    .speech_level_dbov = speech_level_dbov,
				    .frame = on_frame,
				    .user = c};

	c->hz = hz;
	c->level = level;
	c->next_ns = now + 20 * MS;
	CHECK_INT(leg_create(&c->leg, line, &config), 0);
	leg_resume(c->leg, now);
	return c;
}

static void speak(struct caller *c)
{
	uint8_t frame[G711_FRAME_BYTES];

	for (int i = 0; i < G711_FRAME_BYTES; i++) {
		double t = (double)(c->said + i) / 8000;

		frame[i] = c->hz ? g711_ulaw_encode((int32_t)lrint(32768 * c->level *
								   sin(2 * M_PI * c->hz * t)))
				 : G711_ULAW_SILENCE;
	}
	leg_put(c->leg, c->said, frame, G711_FRAME_BYTES, c->next_ns);
	c->said += G711_FRAME_BYTES;
	c->next_ns += (int64_t)(20e6 / (1 + c->ppm * 1e-6));
}

static void run_ms(int64_t ms)
{
	for (int64_t end = now + ms * MS; now < end; now += LINE_TICK_NS) {
		for (int i = 0; i < callers; i++)
			while (caller[i].next_ns <= now)
				speak(&caller[i]);
		line_tick(line, now);
	}
}

/* Amplitude of one tone in what a caller heard during the last `samples`. */
static double tone_heard(const struct caller *c, double hz, int samples)
{
	int64_t from = c->heard_count - samples;
	double s = 0, k = 0;

	CHECK(from >= 0 && c->heard_count <= KEEP);
	for (int64_t i = from; i < c->heard_count; i++) {
		double x = g711_ulaw_decode(c->heard[i]) / 32768.0;
		double w = 0.5 - 0.5 * cos(2 * M_PI * (double)(i - from) / samples);

		s += x * w * sin(2 * M_PI * hz * (double)i / 8000);
		k += x * w * cos(2 * M_PI * hz * (double)i / 8000);
	}
	return 4 * hypot(s, k) / samples;
}

static bool heard_only_silence(const struct caller *c, int samples)
{
	for (int64_t i = c->heard_count - samples; i < c->heard_count; i++)
		if (c->heard[i] != G711_ULAW_SILENCE)
			return false;
	return true;
}

static void test_alone_hears_exact_silence(void)
{
	setup("silence");
	struct caller *a = join(1013, 0.5);

	run_ms(5000);
	CHECK(heard_only_silence(a, (int)a->heard_count));
	line_set_connected(line, false);
	run_ms(2000); /* waiting for nothing is silent too */
	CHECK(heard_only_silence(a, (int)a->heard_count));
}

static void test_n_minus_one(void)
{
	setup("silence");
	struct caller *a = join(617, 0.2), *b = join(1013, 0.2), *c = join(0, 0);

	run_ms(3000);
	enum { N = 8000 };
	CHECK_NEAR(tone_heard(a, 1013, N), 0.2, 0.02);
	CHECK_NEAR(tone_heard(b, 617, N), 0.2, 0.02);
	CHECK_NEAR(tone_heard(c, 617, N), 0.2, 0.02);
	CHECK_NEAR(tone_heard(c, 1013, N), 0.2, 0.02);
	/* not himself: 50 dB below, and what is left is the other tone's quantisation */
	CHECK(tone_heard(a, 617, N) < 0.2 * 0.003);
	CHECK(tone_heard(b, 1013, N) < 0.2 * 0.003);
}

/* 50 frames a second, never more than real time, from the first moment on. */
static void test_real_time(void)
{
	setup("silence");
	struct caller *a = join(1013, 0.2);
	int64_t begin = now;

	for (int i = 0; i < 2000; i++) {
		run_ms(5);
		CHECK(a->heard_count * 125000 <= now - begin);
		CHECK(a->heard_count * 125000 >= now - begin - 40 * MS);
	}
}

/* Wake-ups that jitter by 1.5 ms do not move a frame to the next tick, whenever the caller came. */
static void test_frames_keep_their_ticks(void)
{
	setup("silence");
	int64_t begin = now, frames[4] = {0}, at_tick[4] = {0};

	for (int64_t tick = 0; tick < 4000; tick++) {
		now = begin + tick * LINE_TICK_NS + (tick ? tick * 7919 % 16 * MS / 10 : 15 * MS / 10);
		if (tick % 41 == 0 && callers < 4)
			join(0, 0);
		line_tick(line, now);
		for (int i = 0; i < callers; i++) {
			if (caller[i].heard_count == frames[i] * G711_FRAME_BYTES)
				continue;
			CHECK_INT(caller[i].heard_count, (frames[i] + 1) * G711_FRAME_BYTES);
			if (frames[i]++ > 0)
				CHECK_INT(tick - at_tick[i], 4);
			at_tick[i] = tick;
		}
	}
	CHECK(frames[0] >= 998);
}

/* A standstill of half a second is not made up for: two frames at most. */
static void test_standstill(void)
{
	setup("silence");
	struct caller *a = join(1013, 0.2);

	run_ms(1000);
	int64_t before = a->heard_count;

	now += 500 * MS;
	run_ms(10);
	CHECK(a->heard_count - before <= 3 * G711_FRAME_BYTES);
	before = a->heard_count;
	run_ms(1000);
	CHECK_NEAR((double)(a->heard_count - before), 8000, 200);
}

static void test_ring_while_waiting(void)
{
	setup("ring");
	line_set_connected(line, false);
	struct caller *a = join(0, 0);

	run_ms(1900);
	CHECK_NEAR(tone_heard(a, 440, 8000), 0.078, 0.006);
	CHECK_NEAR(tone_heard(a, 480, 8000), 0.078, 0.006);
	run_ms(3500); /* the pause of the cadence, from 2 s to 6 s */
	CHECK(heard_only_silence(a, 8000));
	run_ms(1500);
	CHECK_NEAR(tone_heard(a, 440, 4000), 0.078, 0.02);
	line_set_connected(line, true);
	run_ms(1200);
	CHECK(heard_only_silence(a, 8000));
}

static void test_callers_hear_each_other_while_waiting(void)
{
	setup("ring");
	line_set_connected(line, false);
	struct caller *a = join(0, 0);

	join(1013, 0.2);
	run_ms(1900);
	CHECK_NEAR(tone_heard(a, 1013, 8000), 0.2, 0.02);
}

static void test_echo_while_waiting(void)
{
	setup("echo");
	line_set_connected(line, false);
	struct caller *a = join(1013, 0.2);

	run_ms(3000);
	CHECK_NEAR(tone_heard(a, 1013, 8000), 0.2, 0.02);
	line_set_connected(line, true);
	run_ms(1500);
	CHECK(heard_only_silence(a, 8000));
}

static void test_notice(void)
{
	setup("silence");
	line_set_connected(line, false);
	struct caller *a = join(0, 0);

	run_ms(500);
	leg_set_notice(a->leg, true);
	run_ms(2500);
	CHECK(tone_heard(a, 620, 8000) > 0.03);
	CHECK(tone_heard(a, 480, 8000) > 0.03);
}

/* The end of a stream silences its sound within 100 ms for the others, and nothing more is sent. */
static void test_end_of_a_stream(void)
{
	setup("silence");
	struct caller *a = join(0, 0), *b = join(1013, 0.5);

	run_ms(2000);
	CHECK(tone_heard(a, 1013, 4000) > 0.4);
	leg_suspend(b->leg);
	b->next_ns = INT64_MAX;
	int64_t frames = b->heard_count;

	run_ms(100);
	int64_t from = a->heard_count;

	run_ms(500);
	CHECK(heard_only_silence(a, (int)(a->heard_count - from)));
	CHECK_INT(b->heard_count, frames);
	/* and back again */
	leg_resume(b->leg, now);
	b->said = 0;
	b->next_ns = now;
	run_ms(2000);
	CHECK(tone_heard(a, 1013, 4000) > 0.4);
	CHECK(b->heard_count > frames + 8000);
}

static void test_stops_when_empty(void)
{
	setup("silence");
	struct caller *a = join(1013, 0.5);

	CHECK(line_tick(line, now));
	run_ms(100);
	leg_destroy(a->leg);
	callers = 0;
	CHECK_INT(line_leg_count(line), 0);
	CHECK(line_tick(line, now)); /* fades end first */
	run_ms(1000);
	CHECK(!line_tick(line, now));
}

/* The sender's clock is found, and what goes back to him follows it. */
static void test_outgoing_follows_his_clock(void)
{
	static const double ppm[] = {0, 150, -150};

	for (int k = 0; k < 3; k++) {
		struct leg_stats stats;

		setup("silence");
		struct caller *a = join(1013, 0.2);

		a->ppm = ppm[k];
		run_ms(60000);
		int64_t before = a->heard_count;

		run_ms(60000);
		leg_stats(a->leg, &stats);
		CHECK_NEAR(stats.playout.ppm, ppm[k], 15);
		/* 60 s: 480000 samples of our clock, more of a faster one; a frame may be under way */
		CHECK_NEAR((double)(a->heard_count - before), 480000 * (1 + ppm[k] * 1e-6), 162);
		CHECK_INT(stats.playout.concealed, 0);
	}
}

/* A caller who says syllables: a tone in bursts, as a leveller must see to take it for speech. */
static void speak_in_bursts(struct caller *c, int64_t ms)
{
	for (int64_t end = now + ms * MS; now < end; now += LINE_TICK_NS) {
		for (int i = 0; i < callers; i++)
			while (caller[i].next_ns <= now) {
				double level = caller[i].level;

				if (&caller[i] == c && c->said % 2400 >= 1600) /* 200 ms of 300 */
					c->level = 0;
				speak(&caller[i]);
				caller[i].level = level;
			}
		line_tick(line, now);
	}
}

/* SPEECH_LEVEL: a loud and a quiet caller, 20 dB apart, are heard by a third one alike; without it as
 * far apart as they are. */
static void test_speech_level(void)
{
	for (int on = 0; on < 2; on++) {
		double heard[2];

		speech_level_dbov = on ? -26 : 0;
		for (int k = 0; k < 2; k++) {
			struct leg_stats stats;

			setup("silence");
			struct caller *a = join(1013, k ? 0.02 : 0.2), *c = join(0, 0);

			speak_in_bursts(a, 15000);
			heard[k] = tone_heard(c, 1013, 16000); /* six bursts and a bit */
			leg_stats(a->leg, &stats);
			CHECK((fabs(stats.gain_db) > 1) == on);
		}
		CHECK_NEAR(20 * log10(heard[0] / heard[1]), on ? 0 : 20, 2);
	}
	speech_level_dbov = 0;
}

/*
 * The first tick of a line comes late (a call begins with work of other kinds): the blocks' nominal times
 * must not stay ahead of the wake-ups for it, or the beginning of every packet that comes in between would
 * be made up, for the whole call.
 */
static void test_a_late_first_tick_is_forgotten(void)
{
	for (int phase = 0; phase < 10; phase++) {
		struct leg_stats before, after;

		setup("silence");
		struct caller *a = join(1013, 0.2);

		a->next_ns = now + 20 * MS + phase * MS / 2;
		now += 4900000;
		line_tick(line, now);
		now += 100000;
		run_ms(45000); /* the delay has come down from 40 ms by 1 ms a second */
		leg_stats(a->leg, &before);
		CHECK(before.playout.delay_ns < 6 * MS);
		run_ms(5000);
		leg_stats(a->leg, &after);
		CHECK_INT(after.playout.concealed - before.playout.concealed, 0);
		CHECK_NEAR(budget_ns(&line_budget(line)->mixing), LINE_TICK_NS, 0.2 * MS);
	}
}

/*
 * The loop stood still and went on between two ticks: that nominal times then settle on the ticks again is
 * no drift of the caller's clock, of which nothing has changed.
 */
static void test_a_standstill_is_no_drift(void)
{
	for (int late = 1; late < 5; late++) {
		struct leg_stats before, after;
		double worst = 0;

		setup("silence");
		struct caller *a = join(313, 0.2);

		a->ppm = 150;
		run_ms(90000);
		leg_stats(a->leg, &before);
		CHECK_NEAR(before.playout.ppm, 150, 8);
		now += 300 * MS + late * MS;
		while (a->next_ns <= now)
			speak(a);
		line_tick(line, now);
		now += LINE_TICK_NS - late * MS;
		for (int s = 0; s < 20; s++) {
			run_ms(1000);
			leg_stats(a->leg, &after);
			worst = fmax(worst, fabs(after.playout.ppm - before.playout.ppm));
		}
		CHECK(worst < 15);
		CHECK_NEAR(budget_ns(&line_budget(line)->mixing), LINE_TICK_NS, 0.6 * MS);
	}
}

/* Ticks in real time, every 5 ms from *grid_ns on. Returns by how much the latest was late. */
static int64_t run_real_ms(int64_t *grid_ns, int ms)
{
	int64_t worst_ns = 0, end_ns = *grid_ns + ms * MS;

	for (; *grid_ns < end_ns; *grid_ns += LINE_TICK_NS) {
		struct timespec at = {*grid_ns / SECOND, *grid_ns % SECOND};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		now = test_now_ns();
		worst_ns = now - *grid_ns > worst_ns ? now - *grid_ns : worst_ns;
		for (int i = 0; i < callers; i++)
			while (caller[i].next_ns <= now)
				speak(&caller[i]);
		line_tick(line, now);
	}
	return worst_ns;
}

/*
 * One tick comes 42.5 ms late, and "phone" has run dry. What the callers said in the 40 ms whose ticks are
 * missing is left out. The 2.5 ms are not: the next tick comes when it should, and what was left out too
 * much would have to be made up then.
 */
static void test_an_xrun_leaves_out_whole_ticks(void)
{
	for (int run = 0; run < 4; run++) {
		struct leg_stats before, after;
		struct line_stats stats;
		struct port_stats phone;
		int64_t worst_ns;

		setup("silence");
		CHECK_INT(port_open(line_phone(line), test_now_ns()), 0);
		CHECK_INT(port_open(line_discord(line), test_now_ns()), 0);
		int64_t grid_ns = now = test_now_ns();
		struct caller *a = join(313, 0.2);

		worst_ns = run_real_ms(&grid_ns, 500);
		leg_stats(a->leg, &before);
		grid_ns += 42500000;
		worst_ns += run_real_ms(&grid_ns, 5);
		grid_ns -= 2500000;
		worst_ns += run_real_ms(&grid_ns, 200);
		if (worst_ns > 2 * MS)
			continue;
		leg_stats(a->leg, &after);
		line_stats(line, &stats);
		port_stats(line_phone(line), &phone);
		CHECK_INT(phone.xruns, 1);
		CHECK_INT(stats.unheard_frames, 1920);
		CHECK_INT(after.playout.splices - before.playout.splices, 0);
		CHECK_INT(after.playout.concealed - before.playout.concealed, 0);
		return;
	}
	SKIP("the machine was too busy for ticks of 5 ms");
}

/* The shares of the delay that a line stamps, each where it can be told from outside what it must be. */
static void test_budget(void)
{
	struct leg_stats stats;

	setup("silence");
	struct caller *a = join(1013, 0.2);

	leg_stats(a->leg, &stats);
	CHECK_INT(stats.framing_in_ns, BUDGET_UNKNOWN);
	CHECK_INT(stats.framing_out_ns, BUDGET_UNKNOWN);
	run_ms(20000);
	leg_stats(a->leg, &stats);
	CHECK_INT(stats.framing_in_ns, 20 * MS);
	/* the ticks come when they are due, so a block waits for its own length */
	CHECK_INT(budget_ns(&line_budget(line)->mixing), LINE_TICK_NS);
	/* a frame's end is found within the tick that follows it */
	CHECK(stats.framing_out_ns >= 0 && stats.framing_out_ns < LINE_TICK_NS);
	CHECK_INT(stats.resampling_out_ns, (int64_t)(192 / 2) * SECOND / 48000);
}

static void test_many_legs(void)
{
	struct leg *leg[LINE_MAX_LEGS + 1];
	struct leg_config config;
	static struct caller nobody;

	setup("silence");
	config = (struct leg_config){.waiting = waiting, .frame = on_frame, .user = &nobody};
	for (int i = 0; i < LINE_MAX_LEGS; i++)
		CHECK_INT(leg_create(&leg[i], line, &config), 0);
	CHECK_INT(leg_create(&leg[LINE_MAX_LEGS], line, &config), -EBUSY);
	for (int i = 0; i < LINE_MAX_LEGS; i++)
		leg_destroy(leg[i]);
}

int main(void)
{
	cable_env_setup(NULL);
	UNIT(test_alone_hears_exact_silence);
	UNIT(test_n_minus_one);
	UNIT(test_real_time);
	UNIT(test_frames_keep_their_ticks);
	UNIT(test_standstill);
	UNIT(test_ring_while_waiting);
	UNIT(test_callers_hear_each_other_while_waiting);
	UNIT(test_echo_while_waiting);
	UNIT(test_notice);
	UNIT(test_end_of_a_stream);
	UNIT(test_stops_when_empty);
	UNIT(test_outgoing_follows_his_clock);
	UNIT(test_speech_level);
	UNIT(test_a_late_first_tick_is_forgotten);
	UNIT(test_a_standstill_is_no_drift);
	UNIT(test_an_xrun_leaves_out_whole_ticks);
	UNIT(test_budget);
	UNIT(test_many_legs);
	setup("silence");
	line_destroy(line);
	waiting_unref(waiting);
	return unit_done();
}
