/* SPDX-License-Identifier: MIT
 *
 * test_port.c - PCM ports on the cable: what is found is taken or refused in words, the queue keeps
 * its lead, being late costs silence and never grows the delay, and a device that goes away comes
 * back by itself.
 */
#include "alsa/port.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/unit.h"

#include <alsa/asoundlib.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define MS     1000000LL
#define SECOND (1000 * MS)
#define BLOCK 240

#define CONF \
	"pcm.rate44 { type plug  slave { pcm null  rate 44100 } }\n" \
	"pcm.four { type plug  slave { pcm null  channels 4 } }\n" \
	"pcm.float { type plug  slave { pcm null  format FLOAT_LE } }\n" \
	"pcm.stereo {\n" \
	"	type cable  name stereo  channels 2  create yes\n" \
	"	dir { @func concat strings [ { @func getenv vars [ LOOPLINE_RUNTIME_DIR ] " \
	"default \"\" } \"/own\" ] }\n" \
	"}\n"

static struct port *make(const char *name, enum port_direction direction, struct port_params params)
{
	struct port *p = NULL;

	params.name = name;
	params.direction = direction;
	CHECK_INT(port_create(&p, &params), 0);
	port_allow_create(p, true);
	return p;
}

static struct port *make_open(const char *name, enum port_direction direction,
			      struct port_params params)
{
	struct port *p = make(name, direction, params);
	int err = port_open(p, test_now_ns());

	if (err)
		UNIT_FAIL("port_open: %d: %s", err, port_error(p));
	return p;
}

static struct port_stats stats_of(const struct port *p)
{
	struct port_stats s;

	port_stats(p, &s);
	return s;
}

static void test_params(void)
{
	struct port_params good = {.name = "x", .direction = PORT_CAPTURE}, bad;
	struct port *p;

	bad = good;
	bad.name = NULL;
	CHECK_INT(port_create(&p, &bad), -EINVAL);
	bad.name = "";
	CHECK_INT(port_create(&p, &bad), -EINVAL);
	bad = good;
	bad.lead_frames = 4801;
	CHECK_INT(port_create(&p, &bad), -EINVAL);
	bad = good;
	bad.direction = (enum port_direction)7;
	CHECK_INT(port_create(&p, &bad), -EINVAL);
	CHECK_INT(port_create(&p, &good), 0);
	CHECK_STR(port_name(p), "x");
	CHECK_INT(port_channels(p), 0);
	CHECK(!port_is_open(p));
	port_destroy(p);
	port_destroy(NULL);
}

/* The owner's clock drives the attempts: 100 ms, doubled up to 5 s. */
static void test_backoff(void)
{
	struct port_params params = {.name = "phone:50", .direction = PORT_PLAYBACK};
	int64_t now = 1000 * MS, wait = 100 * MS;
	struct port *p;

	CHECK_INT(port_create(&p, &params), 0);
	CHECK_INT(port_open(p, now), -ENOENT);
	CHECK(strstr(port_error(p), "PCM phone:50 (playback): "));
	CHECK(strstr(port_error(p), "phone.50.v1: is loopline-bridge running?"));
	for (int i = 1; i < 9; i++) {
		CHECK_INT(port_open(p, now + wait - 1), -EAGAIN);
		now += wait;
		CHECK_INT(port_open(p, now), -ENOENT);
		CHECK_INT(stats_of(p).open_failures, i + 1);
		wait = wait * 2 > 5000 * MS ? 5000 * MS : wait * 2;
	}
	/* nobody may create it but those who are told to */
	port_allow_create(p, true);
	CHECK_INT(port_open(p, now + wait), 0);
	CHECK_STR(port_error(p), "");
	CHECK(port_is_open(p));
	CHECK_INT(port_channels(p), 1);
	CHECK_INT(port_period_frames(p), 240);
	CHECK_INT(stats_of(p).reopens, 0);
	port_destroy(p);
}

static void expect_refused(const char *name, int want, const char *words)
{
	struct port *p = make(name, PORT_PLAYBACK, (struct port_params){0});

	CHECK_INT(port_open(p, 0), want);
	if (!strstr(port_error(p), words))
		UNIT_FAIL("%s: says \"%s\", not \"%s\"", name, port_error(p), words);
	CHECK(!port_is_open(p));
	port_destroy(p);
}

static void test_what_is_found_is_taken_or_refused(void)
{
	expect_refused("rate44", -EINVAL, "has rate 44100, not 48000");
	expect_refused("four", -EINVAL, "has 4 to 4 channels, a line has 1 or 2");
	expect_refused("float", -EINVAL, "does not have format S16_LE");
	expect_refused("nonsense", -ENOENT, "Unknown PCM nonsense");
	expect_refused("hw:31", -ENOENT, "PCM hw:31 (playback)");
}

/* ---- moving sound ------------------------------------------------------------------------- */

/* A sample that says its own number, never 0. */
static int16_t numbered(uint64_t i)
{
	return (int16_t)(1 + i % 32000);
}

struct pair {
	struct port *out, *in;
	uint64_t sent;
	int16_t got[96000];
	size_t n_got;
	size_t worst_queue, worst_age;
};

/* Ticks of 5 ms for ms; every block that is due carries the next numbers. */
static void run_pair(struct pair *t, int ms)
{
	int64_t start = test_now_ns();

	for (int i = 0; i < ms / 5; i++) {
		int64_t now = test_now_ns(), at = start + i * 5 * MS;
		int16_t block[8 * BLOCK];
		size_t due, n;

		if (at > now)
			usleep((useconds_t)((at - now) / 1000));
		now = test_now_ns();
		due = port_due(t->out, BLOCK, now);
		CHECK(due % BLOCK == 0 && due <= 8 * BLOCK);
		for (size_t k = 0; k < due; k++)
			block[k] = numbered(t->sent++);
		if (due)
			port_write(t->out, block, due, now);
		n = port_delay_frames(t->out, now);
		if (n > t->worst_queue)
			t->worst_queue = n;
		n = port_read(t->in, t->got + t->n_got, 96000 - t->n_got, now);
		t->n_got += n;
		n = port_delay_frames(t->in, now);
		if (n > t->worst_age)
			t->worst_age = n;
	}
}

static struct pair pair;

static void pair_open(const char *name)
{
	memset(&pair, 0, sizeof(pair));
	pair.out = make_open(name, PORT_PLAYBACK, (struct port_params){0});
	pair.in = make_open(name, PORT_CAPTURE, (struct port_params){0});
	port_start(pair.in, test_now_ns());
	port_start(pair.out, test_now_ns());
}

static void pair_close(void)
{
	port_destroy(pair.out);
	port_destroy(pair.in);
}

static void test_ticks_keep_the_lead(void)
{
	for (int run = 0; run < 4; run++) {
		struct port_stats out;
		size_t at = 0, n;
		bool clean;

		pair_open("phone:51");
		run_pair(&pair, 1000);
		out = stats_of(pair.out);
		/* a quiet machine: one block a tick, nothing lost, nothing doubled */
		clean = out.xruns == 0 && stats_of(pair.in).dropped_frames == 0 &&
			stats_of(pair.in).xruns == 0;
		/* on any machine: bounded */
		CHECK(pair.worst_queue <= 960 + 2 * BLOCK);
		CHECK(pair.worst_age <= 2400);
		CHECK(pair.sent >= 48000 / 2 && pair.sent <= 48000 + 960);
		while (at < pair.n_got && pair.got[at] == 0)
			at++;
		for (n = 0; clean && at + n < pair.n_got; n++)
			CHECK_INT(pair.got[at + n], numbered(n));
		CHECK(n > 40000 || !clean);
		CHECK_INT(out.dropped_frames, 0);
		pair_close();
		if (clean)
			return;
	}
	SKIP("the machine was too busy for ticks of 5 ms");
}

/* 100 ms late, for which no lead would have been enough: an underrun, silence of a lead, and on it goes, with
 * no more in the queue than before. */
static void test_late_owner(void)
{
	struct port_stats s;

	pair_open("phone:52");
	run_pair(&pair, 100);
	test_sleep_ms(100);
	run_pair(&pair, 100);
	s = stats_of(pair.out);
	CHECK(s.xruns >= 1);
	CHECK(s.silence_frames > 0 && s.silence_frames <= 192 * s.xruns);
	CHECK_INT(s.lead_frames, 192);
	CHECK(port_is_open(pair.out));
	CHECK(port_delay_frames(pair.out, test_now_ns()) <= 960 + 2 * BLOCK);
	CHECK(pair.got[pair.n_got - 1] != 0 || s.xruns > 1);
	pair_close();
}

/*
 * Both sides stand still for 25 ms, as on a virtual machine that was not run: the writer, who wakes first,
 * owes more than the lead. It is no xrun, every frame is heard once, and neither lead nor queue have grown.
 */
static void test_both_stand_still(void)
{
	for (int run = 0; run < 4; run++) {
		struct port_stats out;
		size_t at = 0, n;
		bool clean;

		pair_open("phone:57");
		run_pair(&pair, 200);
		clean = stats_of(pair.out).late_frames == 0;
		test_sleep_ms(25);
		run_pair(&pair, 200);
		out = stats_of(pair.out);
		clean = clean && out.late_frames < 1440 - BLOCK && stats_of(pair.in).xruns == 0;
		while (at < pair.n_got && pair.got[at] == 0)
			at++;
		for (n = 0; clean && at + n < pair.n_got; n++)
			CHECK_INT(pair.got[at + n], numbered(n));
		if (clean) {
			CHECK(n > 400 * 48 - 960);
			CHECK_INT(out.xruns, 0);
			CHECK_INT(out.silence_frames, 0);
			/* queued were at most the lead and a block */
			CHECK(out.late_frames >= 25 * 48 - 192 - BLOCK);
			CHECK_INT(out.lead_frames, 192);
			CHECK(port_delay_frames(pair.out, test_now_ns()) <= 192 + BLOCK);
		}
		pair_close();
		if (clean)
			return;
	}
	SKIP("the machine was too busy for ticks of 5 ms");
}

/* Sleeps until a time in real time; returns how late it became. */
static int64_t sleep_until(int64_t at_ns)
{
	struct timespec at = {at_ns / SECOND, at_ns % SECOND};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	return test_now_ns() - at_ns;
}

/*
 * Ticks that come late are given the blocks of those that were missed, and no others, though the queue is
 * 2 ms above the lead (the first tick was late): 12 ms late are two missed, 3.5 ms late is none.
 */
static void test_as_many_blocks_as_ticks(void)
{
	static const struct {
		int64_t late_ns;
		size_t ticks; /* those missed, and this one */
	} late[] = {{12 * MS, 3}, {7 * MS / 2, 1}, {6 * MS, 2}, {9 * MS / 2, 1}, {17 * MS, 4}};

	for (int run = 0; run < 4; run++) {
		struct port *p = make_open("phone:60", PORT_PLAYBACK, (struct port_params){0});
		int16_t block[8 * BLOCK] = {0};
		int64_t grid = test_now_ns() + 5 * MS, worst = 0;
		size_t got[5] = {0}, more = 0;

		port_start(p, grid);
		for (int k = 0, tick = 0; k < 5; tick++) {
			int64_t late_ns = tick == 0 ? 2 * MS : tick % 4 == 3 ? late[k].late_ns : 0;
			int64_t slept = sleep_until(grid + late_ns), now = test_now_ns();
			size_t due = port_due(p, BLOCK, now) / BLOCK;

			worst = slept > worst ? slept : worst;
			port_write(p, block, due * BLOCK, now);
			if (tick > 0 && tick % 4 == 3)
				got[k++] = due;
			else
				more += due != 1;
			grid += (int64_t)(tick > 0 && tick % 4 == 3 ? late[k - 1].ticks : 1) * 5 * MS;
		}
		port_destroy(p);
		if (worst > MS / 3)
			continue;
		for (int k = 0; k < 5; k++)
			CHECK_INT(got[k], late[k].ticks);
		CHECK_INT(more, 0);
		return;
	}
	SKIP("the machine was too busy for ticks of 5 ms");
}

/* An xrun that is found 3 ms after a tick was due: when the next one is, the lead is queued and no more, now and
 * for ever after. */
static void test_restart_between_ticks(void)
{
	for (int run = 0; run < 4; run++) {
		struct port *p = make_open("phone:61", PORT_PLAYBACK, (struct port_params){0});
		int16_t block[8 * BLOCK] = {0};
		int64_t grid = test_now_ns() + 5 * MS, worst = 0;
		size_t queued[2] = {0};

		port_start(p, grid);
		for (int tick = 0; tick < 20; tick++) {
			int64_t late_ns = tick == 10 ? 63 * MS : 0;
			int64_t slept = sleep_until(grid + late_ns), now = test_now_ns();

			worst = slept > worst ? slept : worst;
			if (tick == 9 || tick == 19)
				queued[tick / 10] = port_delay_frames(p, now);
			port_write(p, block, port_due(p, BLOCK, now), now);
			grid += (tick == 10 ? 13 : 1) * 5 * MS;
		}
		CHECK(stats_of(p).xruns == 1 || worst > MS / 3);
		port_destroy(p);
		if (worst > MS / 3)
			continue;
		CHECK_NEAR((double)queued[0], 192, 24);
		CHECK_NEAR((double)queued[1], (double)queued[0], 24);
		return;
	}
	SKIP("the machine was too busy for ticks of 5 ms");
}

/* Late by more than is queued, again and again, but not by 30 ms: what was missed is written, and is nothing to pay
 * for with delay. In real time that is 20 ms each; a second between them is only told. */
static void test_late_for_free(void)
{
	struct port *p = make_open("phone:58", PORT_PLAYBACK, (struct port_params){0});
	int16_t block[8 * BLOCK] = {0};
	int64_t now = 1000 * SECOND;

	port_start(p, now);
	CHECK_INT(port_due(p, BLOCK, now), BLOCK);
	CHECK_INT(port_write(p, block, BLOCK, now), 0);
	for (int i = 0; i < 10; i++) {
		uint64_t before = stats_of(p).late_frames;

		test_sleep_ms(20);
		now += SECOND;
		CHECK_INT(port_write(p, block, port_due(p, BLOCK, now), now), 0);
		if (stats_of(p).xruns) {
			port_destroy(p);
			SKIP("the machine was too busy");
		}
		CHECK(stats_of(p).late_frames > before);
		CHECK_INT(stats_of(p).lead_frames, 192);
		CHECK(port_delay_frames(p, now) <= 192 + BLOCK);
	}
	port_destroy(p);
}

/*
 * An xrun, so long after the queue was empty: the lead grows by that. It stays for a minute and shrinks by
 * 1 ms each 30 s; after another one within 10 minutes it stays for two, and so on up to 8. Only the xruns
 * take real time.
 */
static void test_lead_remembers(void)
{
	struct port *p = make_open("phone:59", PORT_PLAYBACK, (struct port_params){0});
	int16_t block[BLOCK] = {0};
	int64_t now = 1000 * SECOND;
	const int64_t empty_ns = 9 * MS; /* a lead of 4 ms, a block of 5 */

	port_start(p, now);
	for (int i = 0; i < 5; i++) {
		static const int holds_s[] = {60, 120, 240, 480, 480};
		unsigned queued = stats_of(p).lead_frames + BLOCK;

		CHECK_INT(port_due(p, BLOCK, now), BLOCK);
		CHECK_INT(port_write(p, block, BLOCK, now), 0);
		CHECK_INT(queued, 432);
		test_sleep_ms(60);
		now += empty_ns + 3 * MS; /* 144 frames too late */
		CHECK_INT(port_due(p, BLOCK, now), BLOCK);
		CHECK_INT(stats_of(p).xruns, i + 1);
		CHECK_INT(stats_of(p).lead_frames, 336);
		port_due(p, BLOCK, now + holds_s[i] * SECOND - MS);
		CHECK_INT(stats_of(p).lead_frames, 336);
		now += holds_s[i] * SECOND;
		for (unsigned lead = 288; lead >= 192; lead -= 48) {
			if (i % 2) { /* nobody spoke meanwhile: it is remembered all the same, and forgotten */
				port_stop(p);
				port_start(p, now - MS);
				CHECK_INT(stats_of(p).lead_frames, lead + 48);
				port_stop(p);
				port_start(p, now);
			} else {
				port_due(p, BLOCK, now);
			}
			CHECK_INT(stats_of(p).lead_frames, lead);
			port_due(p, BLOCK, now + 30 * SECOND - MS);
			CHECK_INT(stats_of(p).lead_frames, lead);
			now += 30 * SECOND;
		}
	}
	/* a little at least, and nothing where so long a lead as is allowed would not have helped */
	for (int i = 0; i < 6; i++) {
		static const int missing_ms[] = {17, 10, 7, 1, 5, 4};
		static const unsigned leads[] = {192, 672, 672, 768, 768, 960};

		CHECK_INT(port_due(p, BLOCK, now), BLOCK);
		CHECK_INT(port_write(p, block, BLOCK, now), 0);
		now += (stats_of(p).lead_frames + BLOCK) * MS / 48 + missing_ms[i] * MS;
		test_sleep_ms(80);
		port_due(p, BLOCK, now);
		CHECK_INT(stats_of(p).lead_frames, leads[i]);
	}
	port_destroy(p);
}

/* The reader sleeps: over the backlog limit (50 ms) all but a period is dropped; over the
 * buffer (100 ms) it is an overrun, after which capture runs again. */
static void test_backlog(void)
{
	struct port *in = make_open("phone:53", PORT_CAPTURE, (struct port_params){0});
	int16_t buf[PORT_BLOCK_MAX];
	size_t got = 0;

	port_start(in, test_now_ns());
	test_sleep_ms(70);
	CHECK(port_read(in, buf, PORT_BLOCK_MAX, test_now_ns()) <= 240);
	CHECK(stats_of(in).dropped_frames + 4800 * stats_of(in).xruns >= 48 * 70 - 240 - 48);
	CHECK(port_delay_frames(in, test_now_ns()) < 2400);
	test_sleep_ms(250);
	CHECK_INT(port_read(in, buf, PORT_BLOCK_MAX, test_now_ns()), 0);
	CHECK(stats_of(in).xruns >= 1);
	for (int i = 0; i < 400 && got == 0; i++) {
		test_sleep_ms(5);
		got = port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
	}
	CHECK(got > 0);
	port_destroy(in);
}

/* The cable is removed in mid-sound. The media side notices, goes on in its pace, and hears again
 * after the opener's next round. */
static void test_device_lost_and_found(void)
{
	char path[256];
	uint64_t sent;
	size_t n;
	int64_t until;

	pair_open("phone:54");
	run_pair(&pair, 100);
	snprintf(path, sizeof(path), "%s/cable/phone.54.v1", cable_env_dir());
	CHECK_INT(unlink(path), 0);
	until = test_now_ns() + 8000 * MS;
	while ((port_is_open(pair.out) || port_is_open(pair.in)) && test_now_ns() < until) {
		pair.n_got = 0;
		run_pair(&pair, 50);
	}
	CHECK(!port_is_open(pair.out) && !port_is_open(pair.in));
	CHECK_INT(stats_of(pair.out).losses, 1);
	sent = pair.sent;
	run_pair(&pair, 300);
	CHECK(pair.sent - sent >= 48 * 100 && pair.sent - sent <= 48 * 320); /* real time */
	n = port_read(pair.in, pair.got, 100, test_now_ns());
	CHECK_INT(n, 0);
	until = test_now_ns() + 8000 * MS;
	while ((port_open(pair.out, test_now_ns()) || port_open(pair.in, test_now_ns())) &&
	       test_now_ns() < until)
		test_sleep_ms(20);
	CHECK(port_is_open(pair.out) && port_is_open(pair.in));
	CHECK_INT(stats_of(pair.out).reopens, 1);
	pair.n_got = 0;
	run_pair(&pair, 300);
	for (n = 0; n < pair.n_got && pair.got[n] == 0;)
		n++;
	CHECK(n < pair.n_got); /* sound */
	pair_close();
}

/* Without any device, against a clock of our own: media time goes on exactly. */
static void test_pace_without_device(void)
{
	struct port *p = make("phone:55", PORT_PLAYBACK, (struct port_params){0});
	int16_t block[4 * BLOCK] = {0};
	int64_t now = 5000 * MS;
	size_t due, total = 0;

	CHECK_INT(port_due(p, BLOCK, now), 0); /* not started */
	port_start(p, now);
	for (int i = 0; i < 2000; i++) {
		due = port_due(p, BLOCK, now);
		CHECK_INT(due, BLOCK);
		CHECK_INT(port_write(p, block, due, now), -ENODEV);
		total += due;
		now += 5 * MS;
	}
	CHECK_INT(total, 2000 * BLOCK);
	CHECK_INT(port_due(p, BLOCK, now - 5 * MS), 0); /* twice in one tick: nothing more */
	now += 10 * MS; /* two ticks missed */
	total = port_due(p, BLOCK, now);
	CHECK_INT(port_write(p, block, total, now), -ENODEV);
	now += 5 * MS;
	due = port_due(p, BLOCK, now);
	CHECK_INT(port_write(p, block, due, now), -ENODEV);
	CHECK(total + due >= 3 * BLOCK && total + due <= 4 * BLOCK); /* made up for */
	now += 500 * MS; /* asleep: past is past */
	CHECK_INT(port_due(p, BLOCK, now), BLOCK);
	port_stop(p);
	CHECK_INT(port_due(p, BLOCK, now), 0);
	port_destroy(p);
}

static void test_float_and_stereo(void)
{
	struct port *out = make_open("stereo", PORT_PLAYBACK, (struct port_params){0});
	struct port *in = make_open("stereo", PORT_CAPTURE, (struct port_params){0});
	static const float values[8] = {0.25f, -0.5f, 1.5f, -1.5f, 0.0f, 1e9f, -1e9f, NAN};
	static const int16_t want[8] = {8192, -16384, 32767, -32768, 0, 32767, -32768, 0};
	float block[BLOCK], back[PORT_BLOCK_MAX];
	int16_t raw[PORT_BLOCK_MAX];
	size_t n, at;

	CHECK_INT(port_channels(out), 2);
	CHECK_INT(port_channels(in), 2);
	for (int i = 0; i < BLOCK; i++)
		block[i] = values[i % 8];
	for (int pass = 0; pass < 2; pass++) {
		bool found = false;

		port_start(in, test_now_ns());
		port_start(out, test_now_ns());
		CHECK_INT(port_write_mono(out, block, BLOCK, test_now_ns()), 0);
		test_sleep_ms(15); /* lead 4 ms and block 5 ms */
		if (pass == 0) {
			n = port_read(in, raw, PORT_BLOCK_MAX / 2, test_now_ns());
			for (at = 0; at < n && raw[2 * at] == 0;)
				at++;
			for (size_t i = 0; at + i < n && i < BLOCK; i++) {
				CHECK_INT(raw[2 * (at + i)], want[i % 8]);
				CHECK_INT(raw[2 * (at + i) + 1], want[i % 8]);
				found = true;
			}
		} else {
			n = port_read_mono(in, back, PORT_BLOCK_MAX, test_now_ns());
			for (at = 0; at < n && back[at] == 0;)
				at++;
			for (size_t i = 0; at + i < n && i < BLOCK; i++) {
				CHECK_NEAR(back[at + i], want[i % 8] / 32768.0, 0);
				found = true;
			}
		}
		if (!found && stats_of(in).dropped_frames == 0)
			UNIT_FAIL("pass %d: nothing arrived", pass);
		port_stop(out);
		port_stop(in);
	}
	port_destroy(out);
	port_destroy(in);
}

/* Left and right as two, through a stereo line; through a mono line their mean. */
static void test_left_and_right(void)
{
	static const char *const names[] = {"phone:58", "stereo"};

	for (int two = 0; two < 2; two++) {
		struct port *out = make_open(names[two], PORT_PLAYBACK, (struct port_params){0});
		struct port *in = make_open(names[two], PORT_CAPTURE, (struct port_params){0});
		float left[BLOCK], right[BLOCK], back[2][PORT_BLOCK_MAX];
		bool stereo = !two;
		size_t n, at = 0;

		for (int i = 0; i < BLOCK; i++) {
			left[i] = 0.5f;
			right[i] = -0.125f;
		}
		memset(back, 0, sizeof(back));
		port_start(in, test_now_ns());
		port_start(out, test_now_ns());
		CHECK_INT(port_write_stereo(out, left, right, BLOCK, test_now_ns()), 0);
		test_sleep_ms(15);
		n = port_read_stereo(in, back[0], back[1], PORT_BLOCK_MAX, &stereo, test_now_ns());
		CHECK(stereo == two);
		while (at < n && back[0][at] == 0)
			at++;
		if (at < n) {
			CHECK_NEAR(back[0][at], two ? 0.5 : 0.1875, 0);
			CHECK_NEAR(back[1][at], two ? -0.125 : 0, 0);
		} else if (stats_of(in).dropped_frames == 0) {
			UNIT_FAIL("nothing arrived");
		}
		port_destroy(out);
		port_destroy(in);
	}
}

/* Left and right differ: the phone hears their mean. */
static void test_stereo_is_averaged(void)
{
	struct port *out = make_open("stereo", PORT_PLAYBACK, (struct port_params){0});
	struct port *in = make_open("stereo", PORT_CAPTURE, (struct port_params){0});
	int16_t block[BLOCK * 2];
	float back[PORT_BLOCK_MAX];
	size_t n, at = 0;

	for (int i = 0; i < BLOCK; i++) {
		block[2 * i] = 20000;
		block[2 * i + 1] = -4000;
	}
	port_start(in, test_now_ns());
	port_start(out, test_now_ns());
	CHECK_INT(port_write(out, block, BLOCK, test_now_ns()), 0);
	test_sleep_ms(15);
	n = port_read_mono(in, back, PORT_BLOCK_MAX, test_now_ns());
	while (at < n && back[at] == 0)
		at++;
	if (at < n)
		CHECK_NEAR(back[at], 8000 / 32768.0, 0);
	else if (stats_of(in).dropped_frames == 0)
		UNIT_FAIL("nothing arrived");
	port_destroy(out);
	port_destroy(in);
}

/* Sleeping on the device: ready means that there is something; idle ports have no descriptors. */
static void test_poll(void)
{
	struct port *in = make_open("phone:56", PORT_CAPTURE, (struct port_params){0});
	int16_t buf[PORT_BLOCK_MAX];
	struct pollfd fds[4];
	size_t got = 0;
	int ready = 0, empty = 0;

	CHECK_INT(port_poll_fill(in, fds, 4), 0);
	port_start(in, test_now_ns());
	while (got < 12000 && ready < 1000) {
		unsigned n = port_poll_fill(in, fds, 4);
		size_t k;

		CHECK_INT(n, 1);
		CHECK(poll(fds, n, 2000) > 0);
		if (!port_poll_ready(in, fds, n)) {
			empty++;
			continue;
		}
		ready++;
		k = port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
		CHECK(k > 0 || stats_of(in).xruns > 0);
		got += k;
	}
	CHECK(ready <= 51); /* 50 periods of 5 ms */
	CHECK(empty <= 3);
	port_stop(in);
	CHECK_INT(port_poll_fill(in, fds, 4), 0);
	CHECK_INT(port_read(in, buf, PORT_BLOCK_MAX, test_now_ns()), 0);
	port_destroy(in);
}

/* Opener and media side as two threads, while somebody keeps removing the cable (TSan). */
static _Atomic bool stop_threads;

static void *opener(void *arg)
{
	struct port **ports = arg;

	while (!atomic_load(&stop_threads)) {
		struct port_stats s;

		for (int i = 0; i < 2; i++) {
			port_open(ports[i], test_now_ns());
			port_stats(ports[i], &s);
		}
		test_sleep_ms(10);
	}
	return NULL;
}

static void test_threads(void)
{
	struct port *ports[2] = {make("phone:57", PORT_PLAYBACK, (struct port_params){0}),
				 make("phone:57", PORT_CAPTURE, (struct port_params){0})};
	float block[4 * BLOCK] = {0}, back[PORT_BLOCK_MAX];
	int64_t until = test_now_ns() + 2500 * MS, remove_at = test_now_ns() + 200 * MS;
	char path[256];
	pthread_t t;

	snprintf(path, sizeof(path), "%s/cable/phone.57.v1", cable_env_dir());
	atomic_store(&stop_threads, false);
	CHECK_INT(pthread_create(&t, NULL, opener, ports), 0);
	port_start(ports[0], test_now_ns());
	port_start(ports[1], test_now_ns());
	while (test_now_ns() < until) {
		int64_t now = test_now_ns();
		size_t due = port_due(ports[0], BLOCK, now);

		if (due)
			port_write_mono(ports[0], block, due, now);
		port_read_mono(ports[1], back, PORT_BLOCK_MAX, now);
		if (now > remove_at) {
			unlink(path);
			remove_at = now + 1200 * MS;
		}
		test_sleep_ms(5);
	}
	atomic_store(&stop_threads, true);
	pthread_join(t, NULL);
	CHECK(stats_of(ports[0]).losses >= 1);
	CHECK(stats_of(ports[1]).losses >= 1);
	CHECK(stats_of(ports[0]).reopens >= 1);
	port_destroy(ports[0]);
	port_destroy(ports[1]);
}

int main(void)
{
	cable_env_setup(CONF);
	UNIT(test_params);
	UNIT(test_backoff);
	UNIT(test_what_is_found_is_taken_or_refused);
	UNIT(test_ticks_keep_the_lead);
	UNIT(test_late_owner);
	UNIT(test_both_stand_still);
	UNIT(test_as_many_blocks_as_ticks);
	UNIT(test_restart_between_ticks);
	UNIT(test_late_for_free);
	UNIT(test_lead_remembers);
	UNIT(test_backlog);
	UNIT(test_device_lost_and_found);
	UNIT(test_pace_without_device);
	UNIT(test_float_and_stereo);
	UNIT(test_stereo_is_averaged);
	UNIT(test_left_and_right);
	UNIT(test_poll);
	UNIT(test_threads);
	return unit_done();
}
