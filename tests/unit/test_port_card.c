/* SPDX-License-Identifier: MIT
 *
 * test_port_card.c - PCM ports on the real card: dmix and dsnoop on snd-aloop, as
 * asound.conf.example defines them. Runs where LOOPLINE_CARD is set (tests/vm sets it, as root) and
 * skips elsewhere. Time is emulated there and slow: bounds hold on any machine, exactness is
 * test_port's.
 */
#include "alsa/port.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#define MS    1000000LL
#define BLOCK 240

static struct port *open_port(const char *name, enum port_direction direction)
{
	struct port_params params = {.name = name, .direction = direction};
	struct port *p;
	int err;

	if (!getenv("LOOPLINE_CARD"))
		SKIP("needs the loopback card of tests/vm");
	CHECK_INT(port_create(&p, &params), 0);
	err = port_open(p, test_now_ns());
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

struct run {
	size_t heard, sequential; /* frames that are not silence; that follow their predecessor */
	size_t worst_queue, worst_age;
	int16_t last;
	uint64_t sent;
};

/* 5 ms ticks; what is sent counts 1, 2, 3 … */
static void run_ticks(struct run *r, struct port *out, struct port *in, int ms)
{
	int64_t start = test_now_ns();

	for (int i = 0; i < ms / 5; i++) {
		int64_t now = test_now_ns(), at = start + i * 5 * MS;
		int16_t block[4 * BLOCK], got[PORT_BLOCK_MAX];
		size_t due, n, queue;

		if (at > now)
			usleep((useconds_t)((at - now) / 1000));
		now = test_now_ns();
		due = port_due(out, BLOCK, now);
		for (size_t k = 0; k < due; k++)
			block[k] = (int16_t)(1 + r->sent++ % 30000);
		if (due)
			port_write(out, block, due, now);
		queue = port_delay_frames(out, now);
		if (queue > r->worst_queue)
			r->worst_queue = queue;
		n = port_read(in, got, PORT_BLOCK_MAX, now);
		for (size_t k = 0; k < n; k++) {
			r->heard += got[k] != 0;
			r->sequential += got[k] != 0 && got[k] == r->last + 1;
			r->last = got[k];
		}
		queue = port_delay_frames(in, now);
		if (queue > r->worst_age)
			r->worst_age = queue;
	}
}

static void test_card_what_is_found(void)
{
	struct port *out = open_port("phone:3", PORT_PLAYBACK);
	struct port *in = open_port("phone:3", PORT_CAPTURE);

	CHECK_INT(port_channels(out), 1);
	CHECK_INT(port_channels(in), 1);
	CHECK_INT(port_period_frames(out), 384); /* the slave's, not the 240 that we want */
	CHECK_INT(port_period_frames(in), 384);
	port_destroy(in);
	port_destroy(out);
}

/* Sound passes in order, with at most 30 ms queued. */
static void test_card_write_lead(void)
{
	struct port *out = open_port("phone:3", PORT_PLAYBACK);
	struct port *in = open_port("phone:3", PORT_CAPTURE);
	struct run r = {0};

	port_start(in, test_now_ns());
	port_start(out, test_now_ns());
	CHECK(stats_of(out).lead_frames == 384);
	run_ticks(&r, out, in, 3000);
	fprintf(stderr, "heard %zu, sequential %zu, queue <= %zu, age <= %zu, xruns %llu + %llu\n",
		r.heard, r.sequential, r.worst_queue, r.worst_age,
		(unsigned long long)stats_of(out).xruns, (unsigned long long)stats_of(in).xruns);
	CHECK(r.worst_queue <= 1440);
	CHECK(r.worst_age <= 2400);
	CHECK(r.heard > 48000);
	CHECK(r.sequential > r.heard * 9 / 10);
	port_destroy(in);
	port_destroy(out);
}

static void test_card_late_owner_recovers(void)
{
	struct port *out = open_port("discord:3", PORT_PLAYBACK);
	struct port *in = open_port("discord:3", PORT_CAPTURE);
	struct run r = {0};

	port_start(in, test_now_ns());
	port_start(out, test_now_ns());
	run_ticks(&r, out, in, 500);
	test_sleep_ms(400); /* well over all buffers */
	r = (struct run){0};
	run_ticks(&r, out, in, 1500);
	CHECK(stats_of(out).xruns >= 1);
	CHECK(stats_of(out).silence_frames >= 384);
	CHECK(r.heard > 9600);
	CHECK(r.worst_queue <= 1440);
	CHECK(port_is_open(out) && port_is_open(in));
	port_destroy(in);
	port_destroy(out);
}

static void test_card_reader_that_falls_behind(void)
{
	struct port *in = open_port("phone:4", PORT_CAPTURE);
	int16_t buf[PORT_BLOCK_MAX];

	port_start(in, test_now_ns());
	test_sleep_ms(90); /* over the backlog limit, within the buffer of 128 ms */
	port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
	CHECK(stats_of(in).dropped_frames > 0 || stats_of(in).xruns > 0);
	test_sleep_ms(500);
	port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
	port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
	CHECK(stats_of(in).dropped_frames > 0 || stats_of(in).xruns > 0);
	CHECK(port_delay_frames(in, test_now_ns()) <= 2400);
	port_destroy(in);
}

/* dsnoop's descriptor is a timer that says POLLIN in any case: ready must mean frames. */
static void test_card_poll_means_frames(void)
{
	struct port *in = open_port("phone:4", PORT_CAPTURE);
	int16_t buf[PORT_BLOCK_MAX];
	struct pollfd fds[4];
	int ready = 0, vain = 0;
	size_t got = 0;

	port_start(in, test_now_ns());
	for (int i = 0; i < 400 && got < 48000; i++) {
		unsigned n = port_poll_fill(in, fds, 4);
		size_t k;

		CHECK(n >= 1);
		CHECK(poll(fds, n, 2000) > 0);
		if (!port_poll_ready(in, fds, n))
			continue;
		ready++;
		k = port_read(in, buf, PORT_BLOCK_MAX, test_now_ns());
		vain += k == 0;
		got += k;
	}
	CHECK(got > 9600);
	CHECK(vain <= 2 + (int)stats_of(in).xruns);
	CHECK(ready <= 400);
	port_destroy(in);
}

/* dmix's is one too: ready must mean that a period fits. */
static void test_card_poll_means_room(void)
{
	struct port *out = open_port("phone:4", PORT_PLAYBACK);
	static const int16_t block[384];
	int64_t start = test_now_ns();
	struct pollfd fds[4];
	size_t sent = 0;

	port_start(out, start);
	CHECK_INT(port_write(out, block, 384, start), 0);
	for (int i = 0; i < 600 && sent < 48000; i++) {
		unsigned n = port_poll_fill(out, fds, 4);

		CHECK(n >= 1);
		CHECK(poll(fds, n, 2000) > 0);
		if (!port_poll_ready(out, fds, n))
			continue;
		CHECK_INT(port_write(out, block, 384, test_now_ns()), 0);
		sent += 384;
	}
	CHECK(sent >= 48000);
	CHECK_INT(stats_of(out).dropped_frames, 0);
	/* a second's worth, less what the buffer took at once */
	CHECK(test_now_ns() - start > 850 * MS);
	port_destroy(out);
}

/* Whoever holds one end decides for the other: a stranger's bare handle cannot change our format. */
static void test_card_format_is_pinned(void)
{
	static const char record[] = "arecord -q -D hw:20,1,3 -r 48000 -d 1 -f %s -c %d /dev/null";
	struct port *out = open_port("phone:3", PORT_PLAYBACK);
	char cmd[128];

	snprintf(cmd, sizeof(cmd), record, "S32_LE", 1);
	CHECK(system(cmd) != 0);
	snprintf(cmd, sizeof(cmd), record, "S16_LE", 2);
	CHECK(system(cmd) != 0);
	snprintf(cmd, sizeof(cmd), record, "S16_LE", 1);
	CHECK_INT(system(cmd), 0);
	CHECK(port_is_open(out));
	port_destroy(out);
	/* it was the pin, not the card */
	snprintf(cmd, sizeof(cmd), record, "S32_LE", 2);
	CHECK_INT(system(cmd), 0);
}

/* Open but not started: the process sleeps. */
static void test_card_idle_costs_nothing(void)
{
	struct port *out = open_port("phone:5", PORT_PLAYBACK);
	struct port *in = open_port("discord:5", PORT_CAPTURE);
	struct rusage before, after;
	struct pollfd fds[4];

	CHECK_INT(port_poll_fill(in, fds, 4), 0);
	getrusage(RUSAGE_SELF, &before);
	test_sleep_ms(1000);
	getrusage(RUSAGE_SELF, &after);
	CHECK(after.ru_nvcsw - before.ru_nvcsw <= 3);
	port_destroy(in);
	port_destroy(out);
}

/* The card is taken from its driver and given back. */
static void test_card_disappears_and_comes_back(void)
{
	struct port *out = open_port("phone:6", PORT_PLAYBACK);
	struct port *in = open_port("phone:6", PORT_CAPTURE);
	struct port *idle[] = {open_port("phone:5", PORT_PLAYBACK), open_port("phone:5", PORT_CAPTURE)};
	struct run r = {0};
	int64_t until;
	uint64_t sent;

	if (getuid() != 0 || access("/sys/bus/platform/drivers/snd_aloop/unbind", W_OK) != 0)
		SKIP("cannot take the card from its driver");
	port_start(in, test_now_ns());
	port_start(out, test_now_ns());
	run_ticks(&r, out, in, 500);
	/* in the background: it returns when the last handle is closed */
	CHECK_INT(system("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind &"), 0);
	until = test_now_ns() + 10000 * MS;
	while ((port_is_open(out) || port_is_open(in)) && test_now_ns() < until)
		run_ticks(&r, out, in, 50);
	CHECK(!port_is_open(out) && !port_is_open(in));
	CHECK_INT(stats_of(out).losses, 1);
	/* the card waits for all handles, also those of lines that nobody uses */
	for (int i = 0; i < 2; i++) {
		CHECK(port_is_open(idle[i]));
		port_check(idle[i], test_now_ns());
		CHECK(!port_is_open(idle[i]));
		CHECK(port_open(idle[i], test_now_ns()) < 0);
		port_destroy(idle[i]);
	}
	sent = r.sent;
	run_ticks(&r, out, in, 300);
	CHECK(r.sent > sent); /* media time goes on */
	/* the opener's next round lets go of the dead handles; there is no card to open yet */
	CHECK(port_open(out, test_now_ns()) < 0);
	CHECK(port_open(in, test_now_ns()) < 0);
	test_sleep_ms(1000);
	CHECK_INT(system("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind"), 0);
	CHECK_INT(system("udevadm settle"), 0);
	until = test_now_ns() + 20000 * MS;
	while ((port_open(out, test_now_ns()) || port_open(in, test_now_ns())) &&
	       test_now_ns() < until)
		test_sleep_ms(100);
	if (!port_is_open(out))
		UNIT_FAIL("%s", port_error(out));
	CHECK(port_is_open(in));
	r = (struct run){0};
	run_ticks(&r, out, in, 1500);
	CHECK(r.heard > 9600);
	CHECK_INT(stats_of(out).reopens, 1);
	port_destroy(in);
	port_destroy(out);
}

int main(void)
{
	UNIT(test_card_what_is_found);
	UNIT(test_card_write_lead);
	UNIT(test_card_late_owner_recovers);
	UNIT(test_card_reader_that_falls_behind);
	UNIT(test_card_poll_means_frames);
	UNIT(test_card_poll_means_room);
	UNIT(test_card_format_is_pinned);
	UNIT(test_card_idle_costs_nothing);
	UNIT(test_card_disappears_and_comes_back);
	return unit_done();
}
