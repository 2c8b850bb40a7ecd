/* SPDX-License-Identifier: MIT
 *
 * test_pcm_cable.c - the plug-in `type cable` through alsa-lib's API: every way of moving samples
 * is exact, poll() wakes once a period and never in vain, xruns are seen, a cable that goes away is
 * an error and not a hang.
 */
#include "tests/unit/cable_env.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <alsa/asoundlib.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

/* Names without plug, each test with a cable of its own. */
#define CONF \
	"pcm.own {\n" \
	"	@args [ NAME CHANNELS ]\n" \
	"	@args.NAME { type string }\n" \
	"	@args.CHANNELS { type integer default 1 }\n" \
	"	type cable\n" \
	"	dir { @func concat strings [ { @func getenv vars [ LOOPLINE_RUNTIME_DIR ] " \
	"default \"\" } \"/own\" ] }\n" \
	"	name $NAME channels $CHANNELS create yes perm 0600\n" \
	"}\n" \
	"pcm.pair {\n" \
	"	type cable\n" \
	"	dir { @func concat strings [ { @func getenv vars [ LOOPLINE_RUNTIME_DIR ] " \
	"default \"\" } \"/own\" ] }\n" \
	"	names [ left right ] create yes perm 0600\n" \
	"}\n" \
	"pcm.pairbad {\n" \
	"	type cable\n" \
	"	dir { @func concat strings [ { @func getenv vars [ LOOPLINE_RUNTIME_DIR ] " \
	"default \"\" } \"/own\" ] }\n" \
	"	names [ stereo right ]\n" \
	"}\n" \
	"pcm.absent { type cable dir \"/nonexistent/loopline\" name phone }\n" \
	"pcm.noname { type cable dir \"/tmp\" }\n" \
	"pcm.relative { type cable dir \"tmp\" name x }\n" \
	"pcm.badname { type cable dir \"/tmp\" name \"../x\" }\n" \
	"pcm.unknown { type cable dir \"/tmp\" name x volume 11 }\n" \
	"pcm.wrongtype { type cable dir \"/tmp\" name x line many }\n" \
	"pcm.badchannels { type cable dir \"/tmp\" name x channels 3 }\n" \
	"pcm.badgroup { type cable dir \"/tmp\" name x create yes group no-such-group-here }\n"

static char alsa_said[1024];

__attribute__((format(printf, 5, 0))) static void collect(const char *file, int line,
							   const char *function, int err,
							   const char *format, va_list ap)
{
	size_t n = strlen(alsa_said);

	(void)file;
	(void)line;
	(void)function;
	(void)err;
	vsnprintf(alsa_said + n, sizeof(alsa_said) - n, format, ap);
}

struct shape {
	snd_pcm_access_t access;
	int mode;
	unsigned channels;
	snd_pcm_uframes_t period, buffer, start, stop; /* start, stop 0: ALSA's own; stop 1: the boundary */
};

static const struct shape plain = {
	.access = SND_PCM_ACCESS_RW_INTERLEAVED, .channels = 1, .period = 480, .buffer = 7680};

static snd_pcm_t *pcm_make(const char *name, snd_pcm_stream_t stream, struct shape s)
{
	snd_pcm_hw_params_t *hw;
	snd_pcm_sw_params_t *sw;
	snd_pcm_uframes_t boundary;
	snd_pcm_t *pcm = NULL;

	CHECK_INT(snd_pcm_open(&pcm, name, stream, s.mode), 0);
	snd_pcm_hw_params_alloca(&hw);
	snd_pcm_sw_params_alloca(&sw);
	CHECK(snd_pcm_hw_params_any(pcm, hw) >= 0);
	CHECK_INT(snd_pcm_hw_params_set_access(pcm, hw, s.access), 0);
	CHECK_INT(snd_pcm_hw_params_set_format(pcm, hw, SND_PCM_FORMAT_S16_LE), 0);
	CHECK_INT(snd_pcm_hw_params_set_channels(pcm, hw, s.channels), 0);
	CHECK_INT(snd_pcm_hw_params_set_rate(pcm, hw, 48000, 0), 0);
	CHECK_INT(snd_pcm_hw_params_set_period_size(pcm, hw, s.period, 0), 0);
	CHECK_INT(snd_pcm_hw_params_set_buffer_size(pcm, hw, s.buffer), 0);
	CHECK_INT(snd_pcm_hw_params(pcm, hw), 0);
	CHECK_INT(snd_pcm_sw_params_current(pcm, sw), 0);
	CHECK_INT(snd_pcm_sw_params_get_boundary(sw, &boundary), 0);
	CHECK_INT(snd_pcm_sw_params_set_start_threshold(pcm, sw, s.start ? s.start : boundary), 0);
	if (s.stop)
		CHECK_INT(snd_pcm_sw_params_set_stop_threshold(pcm, sw, s.stop == 1 ? boundary : s.stop), 0);
	CHECK_INT(snd_pcm_sw_params_set_avail_min(pcm, sw, s.period), 0);
	CHECK_INT(snd_pcm_sw_params(pcm, sw), 0);
	return pcm;
}

static void fill_random(int16_t *out, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (int16_t)test_random(&seed);
		if (out[i] == 0)
			out[i] = 1; /* so that the first sample can be found */
	}
}

static void expect_open_error(const char *name, int want, const char *words)
{
	snd_local_error_handler_t before = snd_lib_error_set_local(collect);
	snd_pcm_t *pcm;
	int err;

	alsa_said[0] = 0;
	err = snd_pcm_open(&pcm, name, SND_PCM_STREAM_CAPTURE, 0);
	snd_lib_error_set_local(before);
	CHECK_INT(err, want);
	if (!strstr(alsa_said, words))
		UNIT_FAIL("%s: said \"%s\", not \"%s\"", name, alsa_said, words);
}

static void test_definition_errors(void)
{
	expect_open_error("absent", -ENOENT,
			  "no cable at /nonexistent/loopline/phone.0.v1: is loopline-bridge running?");
	expect_open_error("noname", -EINVAL, "needs dir (an absolute path) and name");
	expect_open_error("relative", -EINVAL, "absolute path");
	expect_open_error("badname", -EINVAL, "make no file name");
	expect_open_error("unknown", -EINVAL, "unknown field volume");
	expect_open_error("wrongtype", -EINVAL, "field line has a wrong value");
	expect_open_error("badchannels", -EINVAL, "channels is 3");
	expect_open_error("badgroup", -EINVAL, "no group no-such-group-here");
	expect_open_error("phone:7", -ENOENT, "/cable/phone.7.v1: is loopline-bridge running?");
	expect_open_error("discord", -ENOENT, "/cable/discord.0.v1: is loopline-bridge running?");
}

/* ---- moving samples ----------------------------------------------------------------------- */

/* Writes and reads in one thread, non-blocking, as a poll loop does; `mmap` and `plug` variants go
 * the ways that aplay -M and conversions go. The capture is started first. */
static void exchange(const char *name, struct shape s, bool through_mmap)
{
	enum { TOTAL = 24000 };
	static int16_t in[TOTAL * 2], out[(TOTAL + 8192) * 2];
	size_t wrote = 0, got = 0, at = 0, ch = s.channels;
	int64_t deadline = test_now_ns() + 8000000000LL;
	snd_pcm_t *w, *r;

	s.mode = SND_PCM_NONBLOCK;
	s.access = through_mmap ? SND_PCM_ACCESS_MMAP_INTERLEAVED : SND_PCM_ACCESS_RW_INTERLEAVED;
	s.start = s.buffer / 2;
	fill_random(in, TOTAL * ch, 17);
	w = pcm_make(name, SND_PCM_STREAM_PLAYBACK, s);
	r = pcm_make(name, SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_start(r), 0);
	while (got < TOTAL + 6000 && test_now_ns() < deadline) {
		snd_pcm_sframes_t n;

		if (wrote < TOTAL) {
			size_t want = TOTAL - wrote < 700 ? TOTAL - wrote : 700;

			n = through_mmap ? snd_pcm_mmap_writei(w, in + wrote * ch, want)
					 : snd_pcm_writei(w, in + wrote * ch, want);
			if (n > 0)
				wrote += (size_t)n;
			else
				CHECK_INT(n, -EAGAIN);
		}
		n = through_mmap ? snd_pcm_mmap_readi(r, out + got * ch, 650)
				 : snd_pcm_readi(r, out + got * ch, 650);
		if (n > 0)
			got += (size_t)n;
		else
			CHECK_INT(n, -EAGAIN);
		test_sleep_ms(2);
	}
	while (at < got && out[at * ch] == 0)
		at++;
	CHECK(at + TOTAL <= got);
	CHECK_MEM(out + at * ch, in, TOTAL * ch * 2);
	for (size_t i = (at + TOTAL) * ch; i < got * ch; i++)
		CHECK_INT(out[i], 0);
	snd_pcm_close(w);
	snd_pcm_close(r);
}

static void test_exact_rw(void)
{
	exchange("own:rw", plain, false);
}

static void test_exact_mmap(void)
{
	exchange("own:mmap", plain, true);
}

static void test_exact_stereo(void)
{
	struct shape s = plain;

	s.channels = 2;
	exchange("own:stereo,2", s, false);
}

static void test_exact_small_odd_periods(void)
{
	struct shape s = plain;

	s.period = 331; /* a prime that no millisecond divides */
	s.buffer = 331 * 24;
	exchange("own:odd", s, false);
}

/* Two cables as one PCM of two channels: exact and in step, and each is the cable of that name. */
static void test_joined_cables(void)
{
	struct shape s = plain;
	static int16_t in[4800], out[9600 * 2];
	size_t at, got = 0;
	snd_pcm_t *left, *both;

	s.channels = 2;
	exchange("pair", s, false);
	exchange("pair", s, true);

	fill_random(in, 4800, 8);
	both = pcm_make("pair", SND_PCM_STREAM_CAPTURE, s);
	left = pcm_make("own:left", SND_PCM_STREAM_PLAYBACK, plain);
	CHECK_INT(snd_pcm_start(both), 0);
	CHECK_INT(snd_pcm_writei(left, in, 4800), 4800);
	CHECK_INT(snd_pcm_start(left), 0);
	while (got < 7680) {
		CHECK_INT(snd_pcm_readi(both, out + 2 * got, 480), 480);
		got += 480;
	}
	for (at = 0; at < got && out[2 * at] == 0;)
		at++;
	CHECK(at + 4800 <= got);
	for (size_t i = 0; i < 4800; i++) {
		CHECK_INT(out[2 * (at + i)], in[i]);
		CHECK_INT(out[2 * (at + i) + 1], 0);
	}
	snd_pcm_close(left);
	snd_pcm_close(both);
	expect_open_error("pairbad", -EINVAL, "only cables of one channel can be joined");
}

/* Blocking write through plug with conversion off is the cable itself: plug steps aside. */
static void test_plug_steps_aside(void)
{
	snd_pcm_hw_params_t *hw;
	unsigned min, max, rmin, rmax;
	snd_pcm_t *pcm;
	int mode = SND_PCM_NO_AUTO_RESAMPLE | SND_PCM_NO_AUTO_CHANNELS | SND_PCM_NO_AUTO_FORMAT;
	char *dump;
	snd_output_t *o;

	setenv("ALSA_CONFIG_PATH", cable_env_create_conf(), 1);
	snd_config_update_free_global();
	CHECK_INT(snd_pcm_open(&pcm, "phone:3", SND_PCM_STREAM_PLAYBACK, mode), 0);
	setenv("ALSA_CONFIG_PATH", cable_env_file("asound.conf"), 1);
	snd_config_update_free_global();
	snd_pcm_hw_params_alloca(&hw);
	CHECK(snd_pcm_hw_params_any(pcm, hw) >= 0);
	CHECK_INT(snd_pcm_hw_params_get_channels_min(hw, &min), 0);
	CHECK_INT(snd_pcm_hw_params_get_channels_max(hw, &max), 0);
	CHECK_INT(snd_pcm_hw_params_get_rate_min(hw, &rmin, NULL), 0);
	CHECK_INT(snd_pcm_hw_params_get_rate_max(hw, &rmax, NULL), 0);
	CHECK_INT(min, 1);
	CHECK_INT(max, 1);
	CHECK_INT(rmin, 48000);
	CHECK_INT(rmax, 48000);
	CHECK(snd_pcm_hw_params_test_format(pcm, hw, SND_PCM_FORMAT_S16_LE) == 0);
	CHECK(snd_pcm_hw_params_test_format(pcm, hw, SND_PCM_FORMAT_S32_LE) < 0);
	CHECK_INT(snd_pcm_set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 1,
				     48000, 0, 20000), 0);
	CHECK_INT(snd_output_buffer_open(&o), 0);
	snd_pcm_dump(pcm, o);
	snd_output_putc(o, 0);
	snd_output_buffer_string(o, &dump);
	/* nothing between plug and cable: no rate, linear, copy or mmap emulation */
	CHECK(strstr(dump, "Plug PCM: Cable PCM"));
	snd_output_close(o);
	snd_pcm_close(pcm);
}

/* ---- waking ------------------------------------------------------------------------------- */

/* A reader with its descriptors fetched once is woken once a period, and there is a period then. */
static void test_poll_capture(void)
{
	struct shape s = plain;
	struct pollfd fds[4];
	unsigned short revents;
	int n, wakes = 0, empty = 0;
	int16_t buf[480];
	snd_pcm_t *r;
	long got = 0;

	s.mode = SND_PCM_NONBLOCK;
	r = pcm_make("own:pollc", SND_PCM_STREAM_CAPTURE, s);
	n = snd_pcm_poll_descriptors(r, fds, 4);
	CHECK_INT(n, 1);
	CHECK_INT(snd_pcm_poll_descriptors_count(r), 1);
	CHECK_INT(poll(fds, 1, 20), 0); /* not started: no wake-up, no cost */
	CHECK_INT(snd_pcm_start(r), 0);
	while (got < 24000) {
		snd_pcm_sframes_t k;

		CHECK(poll(fds, (nfds_t)n, 2000) > 0);
		wakes++;
		CHECK_INT(snd_pcm_poll_descriptors_revents(r, fds, (unsigned)n, &revents), 0);
		if (!(revents & POLLIN)) {
			empty++;
			continue;
		}
		while ((k = snd_pcm_readi(r, buf, 480)) > 0)
			got += k;
		CHECK_INT(k, -EAGAIN);
	}
	CHECK(wakes <= 51); /* 50 periods, fewer when the machine is late */
	CHECK(empty <= 2);
	snd_pcm_close(r);
}

static void test_poll_playback(void)
{
	struct shape s = plain;
	struct pollfd fds[4];
	unsigned short revents;
	int n, empty = 0, wakes = 0;
	int16_t buf[480] = {0};
	snd_pcm_t *w;
	long put = 0;

	s.mode = SND_PCM_NONBLOCK;
	s.start = 4800;
	s.buffer = 4800;
	w = pcm_make("own:pollp", SND_PCM_STREAM_PLAYBACK, s);
	n = snd_pcm_poll_descriptors(w, fds, 4);
	CHECK_INT(n, 1);
	while (put < 28800) {
		snd_pcm_sframes_t k;

		CHECK(poll(fds, (nfds_t)n, 2000) > 0);
		wakes++;
		CHECK_INT(snd_pcm_poll_descriptors_revents(w, fds, (unsigned)n, &revents), 0);
		CHECK(!(revents & POLLIN)); /* that would hang aplay */
		if (!(revents & POLLOUT)) {
			empty++;
			continue;
		}
		k = snd_pcm_writei(w, buf, 480);
		CHECK_INT(k, 480);
		put += k;
	}
	CHECK(wakes <= 62);
	CHECK(empty <= 2);
	snd_pcm_close(w);
}

/* A blocking reader that takes blocks smaller than its period gets each as soon as it is due:
 * lateness of one read is not added to all that follow. */
static void test_read_latency_does_not_pile_up(void)
{
	struct shape s = plain;
	int16_t buf[960];
	snd_pcm_sframes_t delay;
	int late = 0;
	snd_pcm_t *r;

	s.period = 960;
	s.buffer = 7680;
	r = pcm_make("own:pile", SND_PCM_STREAM_CAPTURE, s);
	for (int i = 0; i < 30; i++) {
		CHECK_INT(snd_pcm_readi(r, buf, 960), 960);
		CHECK_INT(snd_pcm_delay(r, &delay), 0);
		if (delay > 240)
			late++; /* the machine, now and then */
		if (i == 10)
			test_sleep_ms(13); /* read it late once */
	}
	/* with pile-up every read after the tenth would be 13 ms = 624 frames behind */
	CHECK(late < 12);
	snd_pcm_close(r);
}

static void test_drain(void)
{
	struct shape s = plain;
	static int16_t buf[8192];
	struct pollfd fds[1];
	unsigned short revents;
	int64_t t0, took;
	snd_pcm_t *w;
	int err, rounds = 0;

	w = pcm_make("own:drain", SND_PCM_STREAM_PLAYBACK, s);
	CHECK_INT(snd_pcm_writei(w, buf, 4800), 4800);
	t0 = test_now_ns();
	CHECK_INT(snd_pcm_drain(w), 0); /* starts it and plays all 100 ms */
	took = test_now_ns() - t0;
	CHECK(took >= 99000000);
	CHECK_INT(snd_pcm_state(w), SND_PCM_STATE_SETUP);
	/* the same without blocking */
	CHECK_INT(snd_pcm_prepare(w), 0);
	CHECK_INT(snd_pcm_nonblock(w, 1), 0);
	CHECK_INT(snd_pcm_writei(w, buf, 4800), 4800);
	t0 = test_now_ns();
	CHECK_INT(snd_pcm_poll_descriptors(w, fds, 1), 1);
	while ((err = snd_pcm_drain(w)) == -EAGAIN && rounds++ < 100) {
		CHECK(poll(fds, 1, 2000) > 0);
		CHECK_INT(snd_pcm_poll_descriptors_revents(w, fds, 1, &revents), 0);
	}
	took = test_now_ns() - t0;
	CHECK_INT(err, 0);
	CHECK(took >= 99000000);
	CHECK(rounds <= 5);
	CHECK_INT(snd_pcm_state(w), SND_PCM_STATE_SETUP);
	snd_pcm_close(w);
}

/* ---- errors ------------------------------------------------------------------------------- */

static void test_xruns_are_seen(void)
{
	struct shape s = plain;
	int16_t buf[480] = {0};
	snd_pcm_t *w, *r;

	s.buffer = 1920; /* 40 ms */
	w = pcm_make("own:xrun", SND_PCM_STREAM_PLAYBACK, s);
	r = pcm_make("own:xrun", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_writei(w, buf, 480), 480);
	CHECK_INT(snd_pcm_start(w), 0);
	CHECK_INT(snd_pcm_start(r), 0);
	/* 300 ms: several times round the buffer, so a pointer modulo buffer would look fine */
	test_sleep_ms(300);
	CHECK_INT(snd_pcm_avail(w), -EPIPE);
	CHECK_INT(snd_pcm_avail(r), -EPIPE);
	CHECK_INT(snd_pcm_state(w), SND_PCM_STATE_XRUN);
	CHECK_INT(snd_pcm_writei(w, buf, 480), -EPIPE);
	CHECK_INT(snd_pcm_prepare(w), 0);
	CHECK_INT(snd_pcm_writei(w, buf, 480), 480);
	CHECK_INT(snd_pcm_prepare(r), 0);
	CHECK_INT(snd_pcm_start(r), 0);
	CHECK_INT(snd_pcm_readi(r, buf, 480), 480);
	snd_pcm_close(w);
	snd_pcm_close(r);
}

/* stop_threshold = boundary: never an xrun, the stream goes on where it should be by now. */
static void test_free_running(void)
{
	struct shape s = plain;
	snd_pcm_sframes_t avail;
	int16_t buf[480];
	snd_pcm_t *r;

	s.buffer = 1920;
	s.stop = 1;
	s.mode = SND_PCM_NONBLOCK;
	r = pcm_make("own:free", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_start(r), 0);
	test_sleep_ms(120);
	avail = snd_pcm_avail(r);
	CHECK(avail >= 5760 - 48);
	CHECK_INT(snd_pcm_readi(r, buf, 480), 480);
	CHECK_INT(snd_pcm_state(r), SND_PCM_STATE_RUNNING);
	snd_pcm_close(r);
}

/* stop_threshold above the buffer's size: so late a writer may be. He writes what was due meanwhile, and a
 * reader who was as late hears every frame of it; later still, and it is an xrun. */
static void test_late_writer(void)
{
	struct shape s = plain;
	static int16_t in[9600], out[9600];
	size_t at = 0;
	snd_pcm_t *w, *r;

	fill_random(in, 9600, 11);
	s.stop = s.buffer + 4800;
	s.mode = SND_PCM_NONBLOCK;
	w = pcm_make("own:late", SND_PCM_STREAM_PLAYBACK, s);
	s.stop = 0;
	r = pcm_make("own:late", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_start(r), 0);
	CHECK_INT(snd_pcm_writei(w, in, 480), 480);
	CHECK_INT(snd_pcm_start(w), 0);
	test_sleep_ms(40); /* 30 ms after it ran dry */
	CHECK(snd_pcm_avail(w) >= (snd_pcm_sframes_t)s.buffer + 1440);
	CHECK_INT(snd_pcm_writei(w, in + 480, 4800), 4800);
	test_sleep_ms(40);
	CHECK(snd_pcm_readi(r, out, 3840) == 3840);
	while (at < 3840 && out[at] == 0)
		at++;
	CHECK(at < 480);
	CHECK(memcmp(out + at, in, (3840 - at) * sizeof(*in)) == 0);
	test_sleep_ms(300);
	CHECK_INT(snd_pcm_avail(w), -EPIPE);
	snd_pcm_close(w);
	snd_pcm_close(r);
}

/* Takes what is there and is woken for it, until a time; wakes for nothing are counted. */
static size_t read_until(snd_pcm_t *r, int64_t at_ns, int16_t *out, size_t got, size_t most, int *vain)
{
	struct pollfd fds[1];
	unsigned short revents;

	while (test_now_ns() < at_ns) {
		snd_pcm_sframes_t k;

		CHECK_INT(snd_pcm_poll_descriptors(r, fds, 1), 1);
		if (poll(fds, 1, 1 + (int)((at_ns - test_now_ns()) / 1000000)) <= 0)
			continue;
		CHECK_INT(snd_pcm_poll_descriptors_revents(r, fds, 1, &revents), 0);
		*vain += !(revents & POLLIN);
		while (got < most && (k = snd_pcm_readi(r, out + got, most - got)) > 0)
			got += (size_t)k;
	}
	return got;
}

/* A writer is 9 ms late, a reader is not: he waits, without turning in circles, and hears every frame. Then
 * the writer is late by more than is waited for (30 ms): silence has been read. */
static void test_reader_waits_for_a_late_writer(void)
{
	struct shape s = plain;
	static int16_t in[3840], out[9600];

	fill_random(in, 3840, 12);
	s.period = 240;
	s.mode = SND_PCM_NONBLOCK;
	for (int run = 0; run < 5; run++) {
		size_t got, at = 0;
		int vain = 0, more = 0;
		int64_t start, late_ns;

		s.stop = s.buffer + 1440;
		snd_pcm_t *w = pcm_make("own:waits", SND_PCM_STREAM_PLAYBACK, s);
		s.stop = 0;
		snd_pcm_t *r = pcm_make("own:waits", SND_PCM_STREAM_CAPTURE, s);

		memset(out, 0, sizeof(out));
		CHECK_INT(snd_pcm_start(r), 0);
		CHECK_INT(snd_pcm_writei(w, in, 480), 480);
		CHECK_INT(snd_pcm_start(w), 0);
		start = test_now_ns();
		got = read_until(r, start + 19000000, out, 0, 9600, &vain);
		CHECK(got <= 480 + 96); /* and what r had before w began */
		late_ns = test_now_ns() - start - 10000000;
		CHECK_INT(snd_pcm_writei(w, in + 480, 1440), 1440); /* up to 40 ms */
		got = read_until(r, start + 35000000, out, got, 9600, &more);
		while (at < got && out[at] == 0)
			at++;
		bool in_time = late_ns < 15000000 && test_now_ns() < start + 39000000;
		if (in_time) {
			CHECK(got - at >= 1440);
			CHECK(memcmp(out + at, in, (got - at) * sizeof(*in)) == 0);
			CHECK(vain <= 12); /* one each millisecond */
		}
		/* dry from 40 ms on, and 80 are over: all up to now has been read */
		got = read_until(r, start + 80000000, out, got, 9600, &more);
		CHECK(got - at >= 3840 - 480);
		in_time = in_time && test_now_ns() < start + 90000000;
		for (size_t i = at + 1920; in_time && i < got; i++)
			CHECK_INT(out[i], 0);
		snd_pcm_close(w);
		snd_pcm_close(r);
		if (in_time)
			return;
	}
	SKIP("the machine was too busy");
}

/* A buffer of 40 ms has run over after 44, also while a writer is waited for who is 24 ms late. */
static void test_overrun_while_waiting(void)
{
	struct shape s = plain;
	int16_t in[960] = {0};

	for (int run = 0; run < 5; run++) {
		int64_t start, took;
		snd_pcm_sframes_t avail;

		s.stop = s.buffer + 1440;
		snd_pcm_t *w = pcm_make("own:over", SND_PCM_STREAM_PLAYBACK, s);
		struct shape small = plain;
		small.buffer = 1920;
		snd_pcm_t *r = pcm_make("own:over", SND_PCM_STREAM_CAPTURE, small);

		CHECK_INT(snd_pcm_writei(w, in, 960), 960);
		CHECK_INT(snd_pcm_start(w), 0);
		start = test_now_ns();
		CHECK_INT(snd_pcm_start(r), 0);
		test_sleep_ms(44);
		avail = snd_pcm_avail(r);
		took = test_now_ns() - start;
		snd_pcm_close(w);
		snd_pcm_close(r);
		if (took > 49000000)
			continue;
		CHECK_INT(avail, -EPIPE);
		return;
	}
	SKIP("the machine was too busy");
}

static void test_forward_and_rewind(void)
{
	struct shape s = plain;
	static int16_t in[4000], out[12000];
	size_t at = 0, got = 0;
	snd_pcm_t *w, *r;

	fill_random(in, 4000, 5);
	w = pcm_make("own:seek", SND_PCM_STREAM_PLAYBACK, s);
	r = pcm_make("own:seek", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_writei(w, in, 2000), 2000);
	CHECK_INT(snd_pcm_rewind(w, 500), 500);
	CHECK_INT(snd_pcm_writei(w, in + 3000, 500), 500);
	CHECK_INT(snd_pcm_forward(w, 1000), 1000);
	CHECK_INT(snd_pcm_writei(w, in + 3500, 500), 500);
	CHECK_INT(snd_pcm_start(r), 0);
	CHECK_INT(snd_pcm_start(w), 0);
	while (got < 9600) {
		snd_pcm_sframes_t n = snd_pcm_readi(r, out + got, 480);

		CHECK_INT(n, 480);
		got += (size_t)n;
	}
	while (at < got && out[at] == 0)
		at++;
	CHECK(at + 3500 <= got);
	CHECK_MEM(out + at, in, 1500 * 2);
	CHECK_MEM(out + at + 1500, in + 3000, 500 * 2);
	for (int i = 2000; i < 3000; i++)
		CHECK_INT(out[at + (size_t)i], 0);
	CHECK_MEM(out + at + 3000, in + 3500, 500 * 2);
	snd_pcm_close(w);
	snd_pcm_close(r);
}

/* Truncated: the next transfer says -ENODEV. Removed: within about a second everybody notices. */
static void test_truncated_is_nodev(void)
{
	char path[256];
	int16_t buf[960];
	snd_pcm_t *w, *r;
	snd_pcm_sframes_t n = 0;

	w = pcm_make("own:cut", SND_PCM_STREAM_PLAYBACK, plain);
	r = pcm_make("own:cut", SND_PCM_STREAM_CAPTURE, plain);
	CHECK_INT(snd_pcm_readi(r, buf, 480), 480);
	CHECK_INT(snd_pcm_writei(w, buf, 480), 480);
	snprintf(path, sizeof(path), "%s/own/cut.0.v1", cable_env_dir());
	CHECK_INT(truncate(path, 0), 0);
	for (int i = 0; i < 10 && n >= 0; i++)
		n = snd_pcm_readi(r, buf, 480);
	CHECK_INT(n, -ENODEV);
	CHECK_INT(snd_pcm_state(r), SND_PCM_STATE_DISCONNECTED);
	CHECK_INT(snd_pcm_readi(r, buf, 480), -ENODEV);
	CHECK_INT(snd_pcm_prepare(r), -ENODEV);
	CHECK_INT(snd_pcm_drop(w), 0);
	CHECK_INT(snd_pcm_prepare(w), -ENODEV);
	snd_pcm_close(w);
	snd_pcm_close(r);
}

static void test_removed_is_nodev(void)
{
	struct shape s = plain;
	char path[256];
	int16_t buf[960];
	snd_pcm_sframes_t n = 0;
	int64_t until;
	snd_pcm_t *r;

	s.buffer = 1920;
	r = pcm_make("own:gone", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_readi(r, buf, 480), 480);
	snprintf(path, sizeof(path), "%s/own/gone.0.v1", cable_env_dir());
	CHECK_INT(unlink(path), 0);
	until = test_now_ns() + 5000000000LL;
	/* blocking: must not hang either */
	while (test_now_ns() < until && (n >= 0 || n == -EPIPE)) {
		n = snd_pcm_readi(r, buf, 480);
		if (n == -EPIPE)
			snd_pcm_prepare(r);
	}
	CHECK_INT(n, -ENODEV);
	snd_pcm_close(r);
}

static void test_poll_wakes_on_loss(void)
{
	struct shape s = plain;
	struct pollfd fds[1];
	unsigned short revents = 0;
	char path[256];
	int64_t until;
	snd_pcm_t *r;

	s.mode = SND_PCM_NONBLOCK;
	r = pcm_make("own:pollgone", SND_PCM_STREAM_CAPTURE, s);
	CHECK_INT(snd_pcm_poll_descriptors(r, fds, 1), 1);
	CHECK_INT(snd_pcm_start(r), 0);
	snprintf(path, sizeof(path), "%s/own/pollgone.0.v1", cable_env_dir());
	CHECK_INT(unlink(path), 0);
	until = test_now_ns() + 5000000000LL;
	while (test_now_ns() < until && !(revents & POLLERR)) {
		int16_t buf[480];

		CHECK(poll(fds, 1, 2000) > 0);
		CHECK_INT(snd_pcm_poll_descriptors_revents(r, fds, 1, &revents), 0);
		if (revents & POLLIN && snd_pcm_readi(r, buf, 480) == -EPIPE)
			break;
	}
	CHECK(revents & POLLERR);
	CHECK_INT(snd_pcm_avail_update(r) < 0 || snd_pcm_state(r) == SND_PCM_STATE_DISCONNECTED, 1);
	snd_pcm_close(r);
}

static void test_format_limits(void)
{
	snd_pcm_hw_params_t *hw;
	snd_pcm_t *pcm;
	snd_pcm_uframes_t max, min;

	CHECK_INT(snd_pcm_open(&pcm, "own:limits", SND_PCM_STREAM_PLAYBACK, 0), 0);
	snd_pcm_hw_params_alloca(&hw);
	CHECK(snd_pcm_hw_params_any(pcm, hw) >= 0);
	CHECK(snd_pcm_hw_params_test_rate(pcm, hw, 44100, 0) < 0);
	CHECK(snd_pcm_hw_params_test_channels(pcm, hw, 2) < 0);
	CHECK(snd_pcm_hw_params_test_format(pcm, hw, SND_PCM_FORMAT_U8) < 0);
	CHECK(snd_pcm_hw_params_test_access(pcm, hw, SND_PCM_ACCESS_RW_NONINTERLEAVED) < 0);
	CHECK_INT(snd_pcm_hw_params_get_buffer_size_max(hw, &max), 0);
	CHECK_INT(max, 8192);
	CHECK_INT(snd_pcm_hw_params_get_period_size_min(hw, &min, NULL), 0);
	CHECK_INT(min, 32);
	CHECK_INT(snd_pcm_hw_params_can_pause(hw), 0);
	CHECK_INT(snd_pcm_hw_params_can_resume(hw), 0);
	snd_pcm_close(pcm);
	/* without set-up, and opened twice */
	CHECK_INT(snd_pcm_open(&pcm, "own:limits", SND_PCM_STREAM_CAPTURE, 0), 0);
	snd_pcm_close(pcm);
}

int main(void)
{
	cable_env_setup(CONF);
	UNIT(test_definition_errors);
	UNIT(test_exact_rw);
	UNIT(test_exact_mmap);
	UNIT(test_exact_stereo);
	UNIT(test_exact_small_odd_periods);
	UNIT(test_joined_cables);
	UNIT(test_plug_steps_aside);
	UNIT(test_poll_capture);
	UNIT(test_poll_playback);
	UNIT(test_read_latency_does_not_pile_up);
	UNIT(test_drain);
	UNIT(test_xruns_are_seen);
	UNIT(test_free_running);
	UNIT(test_late_writer);
	UNIT(test_reader_waits_for_a_late_writer);
	UNIT(test_overrun_while_waiting);
	UNIT(test_forward_and_rewind);
	UNIT(test_truncated_is_nodev);
	UNIT(test_removed_is_nodev);
	UNIT(test_poll_wakes_on_loss);
	UNIT(test_format_limits);
	return unit_done();
}
