/* SPDX-License-Identifier: MIT
 *
 * test_cable_tools.c - the cable under the programs people use: the real aplay and arecord.
 *
 * Bit exactness is a promise about the cable, not about the machine: a run in which aplay or
 * arecord itself reports an xrun (the machine held it for over 170 ms) is done again.
 */
#include "alsa/cable/cable.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS       4
#define TEST_GROUP 61234
#define NOBODY     65534

enum { COUNT = 96000, SHORT = 24000, NOISES = 4, KILLED = 2 };
static int16_t noise[NOISES][COUNT];
static const size_t noise_len[NOISES] = {COUNT, COUNT, COUNT, SHORT};

static char cable[CABLE_PATH_MAX];

/* Makes the cable phone.LINE, as loopline-bridge would. */
static void make_cable(int line)
{
	struct cable_spec spec = {
		.path = cable, .channels = 1, .create = true, .perm = 0660, .group = (gid_t)-1};
	char dir[128], why[640];
	struct cable *c;

	snprintf(dir, sizeof(dir), "%s/cable", cable_env_dir());
	CHECK_INT(cable_path(cable, sizeof(cable), dir, "phone", line), 0);
	if (cable_open(&c, &spec, CABLE_READ, why, sizeof(why)))
		UNIT_FAIL("%s", why);
	cable_close(c);
}

static void need_tools(void)
{
	if (access("/usr/bin/aplay", X_OK) != 0 || access("/usr/bin/arecord", X_OK) != 0)
		SKIP("aplay and arecord are not installed (alsa-utils)");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP("aplay cannot load a plug-in that was built with a sanitizer");
#endif
}

/* PREFIXn.wav in the test's directory. */
static const char *numbered(const char *prefix, int n)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%d.wav", prefix, n);
	return cable_env_file(name);
}

static int16_t *wav_read_or_fail(const char *path, size_t *n)
{
	int16_t *samples = env_wav_read(path, n);

	CHECK(samples);
	return samples;
}

/* Noise of 13 bits, not 0 at the start: four of them never saturate. */
static void make_noise(int n, int16_t *samples, size_t count)
{
	uint32_t seed = 1000u + (uint32_t)n;

	for (size_t i = 0; i < count; i++)
		samples[i] = (int16_t)((test_random(&seed) >> 19) - 4096);
	samples[0] = 4095;
	CHECK_INT(env_wav_write(numbered("noise", n), samples, count, 1, 48000), 0);
}

/* `option` may be NULL. Logs to aplayLINE.log etc. */
static pid_t play(int line, int id, const char *file, const char *option)
{
	char device[16], log[32];
	const char *argv[] = {"aplay", "-q", "-D", device, file, option, NULL};

	snprintf(device, sizeof(device), "phone:%d", line);
	snprintf(log, sizeof(log), "aplay%d.log", id);
	return cable_env_spawn(log, NULL, argv);
}

static pid_t record(int line, int id, const char *file, const char *seconds, const char *option)
{
	char device[16], log[32];
	const char *argv[] = {"arecord", "-q",	  "-D", device,	 "-f",	  "S16_LE", "-r",  "48000",
			      "-c",	 "1",	  "-d", seconds, file,	  option,   NULL};

	snprintf(device, sizeof(device), "phone:%d", line);
	snprintf(log, sizeof(log), "arecord%d.log", id);
	unlink(file);
	return cable_env_spawn(log, NULL, argv);
}

/* Until arecord has created its file, it has not opened its PCM (or is about to). */
static void wait_recording(const char *file)
{
	struct stat st;

	for (int i = 0; i < 400 && (stat(file, &st) < 0 || st.st_size < 44); i++)
		test_sleep_ms(5);
	test_sleep_ms(150);
}

static bool log_has_xrun(const char *log)
{
	const char *text = cable_env_text(cable_env_file(log));

	return strstr(text, "underrun") || strstr(text, "overrun");
}

static size_t first_sound(const int16_t *samples, size_t n)
{
	size_t i = 0;

	while (i < n && samples[i] == 0)
		i++;
	return i;
}

static bool all_zero(const int16_t *samples, size_t n)
{
	return first_sound(samples, n) == n;
}

/* Four lines at once: plain, mmap, non-blocking, and mmap writer with non-blocking reader. 96 000
 * random samples each. */
static void test_96000_samples_exact(void)
{
	static const char *const options[4][2] = {
		{NULL, NULL}, {"-M", "-M"}, {"-N", "-N"}, {"-M", "-N"}};
	bool done[4] = {false};

	need_tools();
	for (int k = 0; k < 4; k++) {
		uint32_t seed = 77u + (uint32_t)k;

		make_cable(k);
		for (int i = 0; i < COUNT; i++)
			noise[k][i] = (int16_t)test_random(&seed); /* all 16 bits */
		noise[k][0] = noise[k][COUNT - 1] = 1;
		CHECK_INT(env_wav_write(numbered("noise", k), noise[k], COUNT, 1, 48000), 0);
	}
	for (int run = 0; run < RUNS; run++) {
		pid_t player[4], recorder[4];
		int missing = 0;

		for (int k = 0; k < 4; k++)
			if (!done[k])
				recorder[k] = record(k, k, numbered("rec", k), "3",
						     options[k][1]);
		for (int k = 0; k < 4; k++)
			if (!done[k])
				wait_recording(numbered("rec", k));
		for (int k = 0; k < 4; k++)
			if (!done[k])
				player[k] = play(k, k, numbered("noise", k), options[k][0]);
		for (int k = 0; k < 4; k++) {
			char alog[32], rlog[32];
			size_t n, at;
			int16_t *rec;

			if (done[k])
				continue;
			CHECK_INT(cable_env_wait(player[k], 15000), 0);
			CHECK_INT(cable_env_wait(recorder[k], 15000), 0);
			snprintf(alog, sizeof(alog), "aplay%d.log", k);
			snprintf(rlog, sizeof(rlog), "arecord%d.log", k);
			if (log_has_xrun(alog) || log_has_xrun(rlog)) {
				missing++;
				continue;
			}
			rec = env_wav_read(numbered("rec", k), &n);
			CHECK(rec);
			CHECK_INT(n, 3 * 48000);
			at = first_sound(rec, n);
			CHECK(at + COUNT <= n);
			CHECK_MEM(rec + at, noise[k], COUNT * 2);
			CHECK(all_zero(rec + at + COUNT, n - at - COUNT));
			free(rec);
			done[k] = true;
		}
		if (!missing)
			return;
	}
	SKIP("the machine was too busy: aplay or arecord had xruns in each of %d runs", RUNS);
}

/* Where each noise is in a recording. */
struct score {
	size_t start[NOISES], end[NOISES];
	bool on[NOISES];
};

static int expected(const struct score *s, size_t i)
{
	int sum = 0;

	for (int k = 0; k < NOISES; k++)
		if (s->on[k] && i >= s->start[k] && i < s->end[k])
			sum += noise[k][i - s->start[k]];
	return sum;
}

static bool event_find(struct score *s, const int16_t *rec, size_t n, size_t i);

/* The next samples are what is expected, at least until the next event. */
static bool explains(const struct score *s, const int16_t *rec, size_t n, size_t i)
{
	for (size_t k = i; k < n && k < i + 4; k++) {
		struct score t = *s;

		if (rec[k] != expected(s, k))
			return event_find(&t, rec, n, k);
	}
	return true;
}

/* What happens at sample i so that it is not as expected? A noise not heard yet begins, or the killed one
 * ends. Two may begin at the very same sample, or one or two apart. */
static bool event_find(struct score *s, const int16_t *rec, size_t n, size_t i)
{
	for (int k = 0; k <= NOISES; k++) {
		struct score t = *s;

		if (k < NOISES) {
			if (s->on[k])
				continue;
			t.on[k] = true;
			t.start[k] = i;
			t.end[k] = i + noise_len[k];
		} else {
			if (!s->on[KILLED] || s->end[KILLED] <= i)
				continue;
			t.end[KILLED] = i;
		}
		if (explains(&t, rec, n, i)) {
			*s = t;
			return true;
		}
	}
	return false;
}

/* Every sample must be the exact sum of the noises that are on. A new one may begin anywhere, and the
 * killed one may end anywhere; nothing else explains a difference. */
static void check_exact_sum(const int16_t *rec, size_t n)
{
	struct score s = {0};

	for (size_t i = 0; i < n; i++)
		while (rec[i] != expected(&s, i))
			if (!event_find(&s, rec, n, i))
				UNIT_FAIL("sample %zu of %zu is %d, not %d, and no noise explains it", i, n,
					  rec[i], expected(&s, i));
	for (int k = 0; k < NOISES; k++)
		CHECK(s.on[k] && s.end[k] <= n);
	CHECK(s.end[KILLED] - s.start[KILLED] > 4800); /* it had been heard */
	CHECK(s.end[KILLED] - s.start[KILLED] < COUNT);
}

static void wait_for_sound(void)
{
	struct cable_spec spec = {.path = cable};
	struct cable *c;
	int16_t buf[480] = {0};
	char why[640];

	CHECK_INT(cable_open(&c, &spec, CABLE_READ, why, sizeof(why)), 0);
	for (int i = 0; i < 2000 && buf[479] == 0; i++) {
		test_sleep_ms(5);
		CHECK_INT(cable_read(c, cable_frame_at(test_now_ns()) - 480, buf, 480), 0);
	}
	cable_close(c);
	CHECK(buf[479] != 0);
}

/* Two writers and two readers; a third of each is killed with -9 in the middle, and another writer
 * comes after. false: the machine was too slow for this run to count. */
static bool survivors_exact(void)
{
	pid_t reader[3], writer[NOISES];
	char files[3][256], log[32];
	bool clean = true;

	for (int k = 0; k < NOISES; k++)
		make_noise(k, noise[k], noise_len[k]);
	for (int k = 0; k < 3; k++) {
		snprintf(files[k], sizeof(files[k]), "%s", numbered("three", k));
		reader[k] = record(5, k, files[k], "4", NULL);
	}
	for (int k = 0; k < 3; k++)
		wait_recording(files[k]);
	writer[KILLED] = play(5, KILLED, numbered("noise", KILLED), NULL);
	wait_for_sound();
	writer[0] = play(5, 0, numbered("noise", 0), NULL);
	writer[1] = play(5, 1, numbered("noise", 1), NULL);
	test_sleep_ms(500);
	kill(writer[KILLED], SIGKILL);
	kill(reader[2], SIGKILL);
	CHECK_INT(cable_env_wait(writer[KILLED], 5000), 128 + SIGKILL);
	CHECK_INT(cable_env_wait(reader[2], 5000), 128 + SIGKILL);
	writer[3] = play(5, 3, numbered("noise", 3), NULL);
	for (int k = 0; k < NOISES; k++)
		if (k != KILLED)
			CHECK_INT(cable_env_wait(writer[k], 15000), 0);
	for (int k = 0; k < 2; k++)
		CHECK_INT(cable_env_wait(reader[k], 15000), 0);
	for (int k = 0; k < NOISES; k++) {
		snprintf(log, sizeof(log), "aplay%d.log", k);
		clean = clean && !log_has_xrun(log);
		snprintf(log, sizeof(log), "arecord%d.log", k);
		clean = clean && (k >= 2 || !log_has_xrun(log));
	}
	for (int k = 0; clean && k < 2; k++) {
		size_t n;
		int16_t *rec = wav_read_or_fail(files[k], &n);

		/* all of it in the recording? starting four programs may take long */
		if (all_zero(rec, n - 2 * 48000) || !all_zero(rec + n - 480, 480))
			clean = false;
		else
			check_exact_sum(rec, n);
		free(rec);
	}
	return clean;
}

static void test_kill_one_of_each_leaves_the_rest_exact(void)
{
	need_tools();
	make_cable(5);
	for (int run = 0; run < RUNS; run++)
		if (survivors_exact())
			return;
	SKIP("the machine was too busy: aplay or arecord had xruns in each of %d runs", RUNS);
}

/* 8 kHz stereo, 44.1 kHz and U8 go through plug; what is recorded has the length and the level. */
static void test_other_formats_through_plug(void)
{
	static int16_t tone[44100];
	size_t n, sounding = 0;
	int16_t *rec, peak = 0;
	pid_t r, p;

	need_tools();
	make_cable(6);
	for (int i = 0; i < 44100; i++)
		tone[i] = (int16_t)(10000 * sin(2 * M_PI * 500 * i / 44100.0));
	CHECK_INT(env_wav_write(cable_env_file("t44.wav"), tone, 44100, 1, 44100), 0);
	r = record(6, 60, cable_env_file("plug.wav"), "2", NULL);
	wait_recording(cable_env_file("plug.wav"));
	p = play(6, 60, cable_env_file("t44.wav"), NULL);
	CHECK_INT(cable_env_wait(p, 15000), 0);
	CHECK_INT(cable_env_wait(r, 15000), 0);
	rec = env_wav_read(cable_env_file("plug.wav"), &n);
	CHECK(rec);
	for (size_t i = 0; i < n; i++) {
		if (rec[i] > peak)
			peak = rec[i];
		sounding += rec[i] != 0;
	}
	free(rec);
	/* level kept within 0.5 dB by any decent rate converter; length within 100 ms */
	CHECK_NEAR(peak, 10000, 600);
	CHECK_NEAR(sounding, 48000, 4800);
}

/* Somebody with write permission cuts, removes or scribbles over the file while aplay and
 * arecord run: they end with an error of their own, or go on; no signal, no hang. */
static void test_sabotage_never_crashes_or_hangs(void)
{
	static int16_t long_noise[48000 * 4];
	pid_t p[3], r[3];
	uint32_t seed = 4;

	need_tools();
	for (size_t i = 0; i < sizeof(long_noise) / 2; i++)
		long_noise[i] = (int16_t)test_random(&seed);
	CHECK_INT(env_wav_write(cable_env_file("long.wav"), long_noise, 48000 * 4, 1, 48000), 0);
	for (int k = 0; k < 3; k++) {
		make_cable(7 + k);
		r[k] = record(7 + k, 70 + k, numbered("sab", k), "4", NULL);
		p[k] = play(7 + k, 70 + k, cable_env_file("long.wav"), NULL);
	}
	test_sleep_ms(800);
	{
		char path[CABLE_PATH_MAX];
		int fd;

		make_cable(7); /* sets `cable` */
		CHECK_INT(truncate(cable, 5000), 0);
		make_cable(8);
		CHECK_INT(unlink(cable), 0);
		memcpy(path, cable, sizeof(path));
		path[strlen(path) - 4] = '9'; /* phone.8.v1 -> phone.9.v1 */
		fd = open(path, O_RDWR);
		CHECK(fd >= 0);
		/* header, table and samples, everything */
		CHECK(pwrite(fd, long_noise, sizeof(long_noise), 0) == (ssize_t)sizeof(long_noise));
		close(fd);
	}
	for (int k = 0; k < 3; k++) {
		int ps = cable_env_wait(p[k], 20000), rs = cable_env_wait(r[k], 20000);

		/* cut: both notice at once; removed: within a second or so */
		if (k < 2) {
			CHECK(ps == 0 || ps == 1);
			CHECK_INT(rs, 1);
		} else { /* noise for all, but they go on */
			CHECK_INT(ps, 0);
			CHECK_INT(rs, 0);
		}
	}
}

/* aplay as another user: in the group it plays, outside it is told what it lacks. */
static int as_user(gid_t group, const char *log)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int fd = open(cable_env_file(log), O_WRONLY | O_CREAT | O_TRUNC, 0644);

		dup2(fd, 2);
		if (setgroups(group != (gid_t)-1, &group) < 0 || setgid(NOBODY) < 0 ||
		    setuid(NOBODY) < 0)
			_exit(99);
		execlp("aplay", "aplay", "-q", "-D", "phone:11", cable_env_file("short.wav"),
		       (char *)NULL);
		_exit(98);
	}
	return cable_env_wait(pid, 15000);
}

static void test_users(void)
{
	static int16_t tone[4800];
	char why[640], dir[128];
	struct cable_spec spec = {
		.path = cable, .channels = 1, .create = true, .perm = 0660, .group = TEST_GROUP};
	struct cable *c;

	need_tools();
	if (getuid() != 0)
		SKIP("needs root to become other users");
	snprintf(dir, sizeof(dir), "%s/cable", cable_env_dir());
	CHECK_INT(chmod(dir, 0755), 0); /* made for us alone by the other tests */
	CHECK_INT(cable_path(cable, sizeof(cable), dir, "phone", 11), 0);
	CHECK_INT(cable_open(&c, &spec, CABLE_READ, why, sizeof(why)), 0);
	cable_close(c);
	CHECK_INT(env_wav_write(cable_env_file("short.wav"), tone, 4800, 1, 48000), 0);
	CHECK_INT(as_user(TEST_GROUP, "in.log"), 0);
	CHECK_INT(as_user((gid_t)-1, "out.log"), 1);
	CHECK(strstr(cable_env_text(cable_env_file("out.log")), "no permission to play into"));
	CHECK(strstr(cable_env_text(cable_env_file("out.log")), "group 61234"));
}

static void test_no_cable_is_said_clearly(void)
{
	pid_t p;

	need_tools();
	p = play(99, 99, "/dev/null", NULL);
	CHECK_INT(cable_env_wait(p, 10000), 1);
	CHECK(strstr(cable_env_text(cable_env_file("aplay99.log")),
		     "phone.99.v1: is loopline-bridge running?"));
}

int main(void)
{
	cable_env_setup(NULL);
	UNIT(test_96000_samples_exact);
	UNIT(test_kill_one_of_each_leaves_the_rest_exact);
	UNIT(test_other_formats_through_plug);
	UNIT(test_sabotage_never_crashes_or_hangs);
	UNIT(test_users);
	UNIT(test_no_cable_is_said_clearly);
	return unit_done();
}
