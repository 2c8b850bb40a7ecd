/* SPDX-License-Identifier: MIT
 *
 * test_cable.c - the shared file of the embedded loopback, without ALSA: what readers get, who may
 * do what, and that nothing in the file or around it can hurt anybody.
 */
#include "alsa/cable/cable.h"
#include "alsa/cable/cable_file.h"
#include "tests/unit/cable_forge.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static char path[CABLE_PATH_MAX];
static char why[CABLE_PATH_MAX + 128];

/* A new cable name for each test. */
static struct cable_spec fresh_spec(const char *name, unsigned channels)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/cable", cable_env_dir());
	CHECK_INT(cable_path(path, sizeof(path), dir, name, 0), 0);
	return (struct cable_spec){
		.path = path,
		.channels = channels,
		.create = true,
		.perm = 0660,
		.group = (gid_t)-1,
	};
}

static struct cable *open_ok(const struct cable_spec *spec, enum cable_mode mode)
{
	struct cable *c = NULL;
	int err = cable_open(&c, spec, mode, why, sizeof(why));

	if (err)
		UNIT_FAIL("cable_open: %d: %s", err, why);
	return c;
}

static int open_err(const struct cable_spec *spec, enum cable_mode mode)
{
	struct cable *c = NULL;
	int err = cable_open(&c, spec, mode, why, sizeof(why));

	if (!err)
		cable_close(c);
	return err;
}

static void fill_random(int16_t *out, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (int16_t)test_random(&seed);
}

static void test_path(void)
{
	char out[64];

	CHECK_INT(cable_path(out, sizeof(out), "/run/x/cable", "phone", 3), 0);
	CHECK_STR(out, "/run/x/cable/phone.3.v1");
	CHECK_INT(cable_path(out, sizeof(out), "/r", "", 0), -EINVAL);
	CHECK_INT(cable_path(out, sizeof(out), "/r", "../etc/passwd", 0), -EINVAL);
	CHECK_INT(cable_path(out, sizeof(out), "/r", "a b", 0), -EINVAL);
	CHECK_INT(cable_path(out, sizeof(out), "/r", "phone", -1), -EINVAL);
	CHECK_INT(cable_path(out, sizeof(out), "/r", "phone", 1000), -EINVAL);
	CHECK_INT(cable_path(out, 10, "/run/x", "phone", 0), -ENAMETOOLONG);
}

static void test_clock(void)
{
	uint32_t seed = 7;

	CHECK_INT(cable_frame_at(0), 0);
	CHECK_INT(cable_frame_at(1000000000LL * 86400 * 365), 48000LL * 86400 * 365);
	for (int i = 0; i < 100000; i++) {
		int64_t frame = ((int64_t)test_random(&seed) << 8) + i;
		int64_t ns = cable_time_ns(frame);

		CHECK_INT(cable_frame_at(ns), frame);
		CHECK_INT(cable_frame_at(ns - 1), frame - 1);
	}
}

static void test_create_and_modes(void)
{
	struct cable_spec spec = fresh_spec("modes", 2);
	mode_t before = umask(0077);
	struct cable *w = open_ok(&spec, CABLE_WRITE);
	char lock[CABLE_PATH_MAX + 8], dir[CABLE_PATH_MAX];
	struct stat st;

	umask(before);
	CHECK_INT(cable_channels(w), 2);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0660);
	CHECK_INT(st.st_size, 4096 + 16 * 16384 * 2 * 2);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	CHECK_INT(stat(lock, &st), 0);
	/* never to be opened for reading: a read lock would starve writers */
	CHECK_INT(st.st_mode & 07777, 0220);
	snprintf(dir, sizeof(dir), "%s/cable", cable_env_dir());
	CHECK_INT(stat(dir, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0750);
	cable_close(w);

	/* an opener that does not say takes the channels that are there */
	spec.create = false;
	spec.channels = 0;
	w = open_ok(&spec, CABLE_READ);
	CHECK_INT(cable_channels(w), 2);
	cable_close(w);
	spec.channels = 1;
	CHECK_INT(open_err(&spec, CABLE_READ), -EINVAL);
	CHECK(strstr(why, "has 2 channels, not 1"));
}

static void test_absent(void)
{
	struct cable_spec spec = fresh_spec("absent", 1);
	char want[CABLE_PATH_MAX + 64];

	spec.create = false;
	CHECK_INT(open_err(&spec, CABLE_READ), -ENOENT);
	snprintf(want, sizeof(want), "no cable at %s: is loopline-bridge running?", path);
	CHECK_STR(why, want);
	CHECK_INT(open_err(&spec, CABLE_WRITE), -ENOENT);
	CHECK_STR(why, want);
}

/* One writer: exactly what it wrote, at exactly its place, zeros around. */
static void exact_one(unsigned channels)
{
	struct cable_spec spec = fresh_spec(channels == 1 ? "exact1" : "exact2", channels);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	static int16_t in[3000 * 2], out[4000 * 2], zero[500 * 2];
	int64_t start = 1000000;

	fill_random(in, 3000 * channels, 42);
	CHECK_INT(cable_write(w, 0, in, 1), -EBADF);
	CHECK_INT(cable_claim(w, start), 0);
	CHECK_INT(cable_write(w, 0, in, 1000), 0);
	CHECK_INT(cable_read(r, start, out, 1000), 0);
	CHECK_MEM(out, zero, 500 * channels * 2); /* not started: not there */
	CHECK_INT(cable_start(w, start), 0);
	CHECK_INT(cable_write(w, 1000, in + 1000 * channels, 2000), 0);
	CHECK_INT(cable_read(r, start - 500, out, 4000), 0);
	CHECK_MEM(out, zero, 500 * channels * 2);
	CHECK_MEM(out + 500 * channels, in, 3000 * channels * 2);
	CHECK_MEM(out + 3500 * channels, zero, 500 * channels * 2);
	/* a second reader, and the same one again, hear the same: readers leave no trace */
	CHECK_INT(cable_read(r, start + 700, out, 999), 0);
	CHECK_MEM(out, in + 700 * channels, 999 * channels * 2);
	CHECK_INT(cable_stop(w, 2000), 0);
	CHECK_INT(cable_read(r, start + 1900, out, 200), 0);
	CHECK_MEM(out, in + 1900 * channels, 100 * channels * 2);
	CHECK_MEM(out + 100 * channels, zero, 100 * channels * 2);
	cable_close(w);
	cable_close(r);
}

static void test_one_writer_exact(void)
{
	exact_one(1);
	exact_one(2);
}

/* Many turns of the ring, in odd pieces. */
static void test_ring_wraps(void)
{
	struct cable_spec spec = fresh_spec("wrap", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	static int16_t in[5000], out[5000];
	int64_t pos = 0, start = 77;
	uint32_t seed = 3;

	CHECK_INT(cable_claim(w, start), 0);
	CHECK_INT(cable_start(w, start), 0);
	while (pos < 20 * CABLE_RING_FRAMES) {
		size_t n = 1 + test_random(&seed) % 5000;

		fill_random(in, n, (uint32_t)pos + 1);
		CHECK_INT(cable_write(w, pos, in, n), 0);
		CHECK_INT(cable_read(r, start + pos, out, n), 0);
		CHECK_MEM(in, out, n * 2);
		pos += (int64_t)n;
	}
	/* older than the ring is silence, not something else */
	CHECK_INT(cable_read(r, start + pos - 2 * CABLE_RING_FRAMES, out, 1000), 0);
	for (int i = 0; i < 1000; i++)
		CHECK_INT(out[i], 0);
	cable_close(w);
	cable_close(r);
}

/* The sum is saturated once, at its end: 30000 + 30000 - 30000 is 30000 in any order. */
static void test_sum_saturates_once(void)
{
	static const int16_t value[3] = {30000, 30000, -30000};
	struct cable_spec spec = fresh_spec("sum", 1);
	struct cable *w[3], *r = open_ok(&spec, CABLE_READ);
	int16_t in[300], out[300];

	for (int k = 0; k < 3; k++) {
		w[k] = open_ok(&spec, CABLE_WRITE);
		CHECK_INT(cable_claim(w[k], 0), 0);
		for (int i = 0; i < 300; i++)
			in[i] = value[k];
		/* staggered by 100: alone, two, three, two, one */
		CHECK_INT(cable_write(w[k], 0, in, 300), 0);
		CHECK_INT(cable_start(w[k], 1000 + 100 * k), 0);
	}
	CHECK_INT(cable_read(r, 1000, out, 300), 0);
	CHECK_INT(out[0], 30000);
	CHECK_INT(out[150], 32767);
	CHECK_INT(out[250], 30000);
	CHECK_INT(cable_read(r, 1300, out, 200), 0);
	CHECK_INT(out[50], 0);
	CHECK_INT(out[150], -30000);
	for (int k = 0; k < 3; k++)
		cable_close(w[k]);
	cable_close(r);
}

/* snd_pcm_forward() leaves a gap in which the ring holds sound of its last round. */
static void test_gap_is_silence_and_rewind_replaces(void)
{
	struct cable_spec spec = fresh_spec("gap", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	static int16_t in[CABLE_RING_FRAMES], out[CABLE_RING_FRAMES];
	int64_t start = 5000, pos = CABLE_RING_FRAMES;

	fill_random(in, CABLE_RING_FRAMES, 9);
	CHECK_INT(cable_claim(w, start), 0);
	CHECK_INT(cable_start(w, start), 0);
	CHECK_INT(cable_write(w, 0, in, CABLE_RING_FRAMES), 0);
	CHECK_INT(cable_write(w, pos + 3000, in, 100), 0);
	CHECK_INT(cable_read(r, start + pos, out, 3100), 0);
	for (int i = 0; i < 3000; i++)
		CHECK_INT(out[i], 0);
	CHECK_MEM(out + 3000, in, 200);
	/* back by 50: the new sound counts, and what followed is gone */
	CHECK_INT(cable_write(w, pos + 3050, in + 500, 20), 0);
	CHECK_INT(cable_read(r, start + pos + 3000, out, 200), 0);
	CHECK_MEM(out, in, 100);
	CHECK_MEM(out + 50, in + 500, 40);
	for (int i = 70; i < 200; i++)
		CHECK_INT(out[i], 0);
	cable_close(w);
	cable_close(r);
}

/* A new stream of the same writer leaves the end of the last one to readers that lag. */
/* Small blocks, goings back and gaps in a stream that plays, at every distance from now, against an array
 * of what must be heard. */
static void test_blocks_against_a_model(void)
{
	enum { FRAMES = 40000, SEEN = 3000 };
	static int16_t model[FRAMES], got[SEEN], block[800];
	struct cable_spec spec = fresh_spec("model", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	uint32_t seed = 11;
	int64_t start, end = 0;

	CHECK_INT(cable_claim(w, cable_frame_now()), 0);
	/* published before it plays: nothing but what was written */
	fill_random(block, 240, 1);
	CHECK_INT(cable_write(w, 0, block, 240), 0);
	memcpy(model, block, 240 * sizeof(*block));
	end = 240;
	start = cable_frame_now();
	CHECK_INT(cable_start(w, start), 0);
	while (end < FRAMES - 2000) {
		unsigned kind = test_random(&seed) % 12;
		size_t n = kind < 9 ? 240 : 1 + test_random(&seed) % 800;
		int64_t at = end;

		if (kind == 10) /* back: what lay behind is gone */
			at -= test_random(&seed) % 1000;
		if (kind == 11)
			at += test_random(&seed) % 1000;
		if (at < 0)
			at = 0;
		fill_random(block, n, seed);
		CHECK_INT(cable_write(w, at, block, n), 0);
		memcpy(model + at, block, n * sizeof(*block));
		memset(model + at + n, 0, (size_t)(FRAMES - at - (int64_t)n) * sizeof(*model));
		end = at + (int64_t)n;
		at = end < SEEN / 2 ? 0 : end - SEEN / 2;
		CHECK_INT(cable_read(r, start + at, got, SEEN), 0);
		CHECK_MEM(got, model + at, (size_t)(at + SEEN < FRAMES ? SEEN : FRAMES - at) * sizeof(*got));
	}
	CHECK_INT(cable_stop(w, FRAMES), 0);
	CHECK_INT(cable_write(w, end, block, 0), 0);
	CHECK_INT(cable_read(r, start + end - 100, got, 1000), 0);
	CHECK_MEM(got, model + end - 100, 1000 * sizeof(*got));
	cable_close(w);
	cable_close(r);
}

/* The ring's oldest frames are a reader's that is as late as may be, however far ahead the writer is. */
static void test_a_writer_far_ahead_leaves_a_late_reader_his(void)
{
	enum { BLOCK = 256 }; /* the last block ends with the ring */
	static int16_t sound[CABLE_RING_FRAMES + BLOCK], got[CABLE_BUFFER_MAX];
	struct cable_spec spec = fresh_spec("room", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	int64_t start = cable_frame_now() - CABLE_BUFFER_MAX, end = 0;

	fill_random(sound, CABLE_RING_FRAMES + BLOCK, 5);
	CHECK_INT(cable_claim(w, start), 0);
	CHECK_INT(cable_start(w, start), 0);
	while (end + BLOCK <= CABLE_RING_FRAMES) {
		CHECK_INT(cable_write(w, end, sound + end, BLOCK), 0);
		end += BLOCK;
	}
	/* now has gone on by what all this took */
	int64_t late = cable_frame_now() - start - CABLE_BUFFER_MAX;
	CHECK(late < CABLE_BUFFER_MAX);
	CHECK_INT(cable_read(r, start + late, got, CABLE_BUFFER_MAX), 0);
	CHECK_MEM(got, sound + late, CABLE_BUFFER_MAX * sizeof(*got));
	cable_close(w);
	cable_close(r);
}

/* What a reader may take is what all who play have written, from 30 ms ago on; times are only told. */
static void test_ready(void)
{
	const int64_t now = 1000000;
	struct cable_spec spec = fresh_spec("ready", 1);
	struct cable *a = open_ok(&spec, CABLE_WRITE), *b = open_ok(&spec, CABLE_WRITE);
	struct cable *r = open_ok(&spec, CABLE_READ), *idle = open_ok(&spec, CABLE_WRITE);
	int16_t sound[CABLE_RING_FRAMES];

	fill_random(sound, CABLE_RING_FRAMES, 3);
	CHECK_INT(cable_ready(r, now), now); /* nobody plays */
	CHECK_INT(cable_claim(idle, now), 0); /* prepared, not started */
	CHECK_INT(cable_claim(a, now), 0);
	CHECK_INT(cable_write(a, 0, sound, 400), 0);
	CHECK_INT(cable_start(a, now + 1000), 0);
	/* from here on a has written up to now + 1400 */
	CHECK_INT(cable_ready(r, now + 1399), now + 1399);
	CHECK_INT(cable_ready(r, now + 1401), now + 1400);
	CHECK_INT(cable_ready(r, now + 1400 + CABLE_LATE_FRAMES), now + 1400);
	CHECK_INT(cable_ready(r, now + 1401 + CABLE_LATE_FRAMES), now + 1401 + CABLE_LATE_FRAMES);
	/* he comes back, still late, and then is not */
	CHECK_INT(cable_write(a, 400, sound, 1100), 0);
	CHECK_INT(cable_ready(r, now + 3100), now + 2500);
	CHECK_INT(cable_write(a, 1500, sound, 700), 0);
	CHECK_INT(cable_ready(r, now + 3100), now + 3100);
	/* of two the later one counts; a has written up to now + 3200 */
	CHECK_INT(cable_claim(b, now), 0);
	CHECK_INT(cable_write(b, 0, sound, 50), 0);
	CHECK_INT(cable_start(b, now + 2950), 0);
	CHECK_INT(cable_ready(r, now + 3201), now + 3000);
	CHECK_INT(cable_write(b, 50, sound, 500), 0);
	CHECK_INT(cable_ready(r, now + 3300), now + 3200);
	/* who has stopped, begins anew or has closed is not waited for */
	CHECK_INT(cable_stop(a, 10000), 0);
	CHECK_INT(cable_ready(r, now + 3300), now + 3300);
	CHECK_INT(cable_ready(r, now + 3600), now + 3500);
	CHECK_INT(cable_claim(b, now + 3600), 0);
	CHECK_INT(cable_ready(r, now + 3600), now + 3600);
	CHECK_INT(cable_start(b, now + 3500), 0);
	CHECK_INT(cable_ready(r, now + 4400), now + 3500);
	cable_close(b);
	CHECK_INT(cable_ready(r, now + 4400), now + 4400);
	CHECK_INT(truncate(spec.path, 1200), 0);
	CHECK_INT(cable_ready(r, now + 6000000), -ENODEV);
	cable_close(a);
	cable_close(r);
	cable_close(idle);
}

static void test_prepare_keeps_the_tail(void)
{
	struct cable_spec spec = fresh_spec("tail", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	int16_t a[500], b[500], out[1000];

	fill_random(a, 500, 1);
	fill_random(b, 500, 2);
	CHECK_INT(cable_claim(w, 10000), 0);
	CHECK_INT(cable_start(w, 10000), 0);
	CHECK_INT(cable_write(w, 0, a, 500), 0);
	CHECK_INT(cable_claim(w, 10500), 0);
	CHECK_INT(cable_start(w, 10500), 0);
	CHECK_INT(cable_write(w, 0, b, 500), 0);
	CHECK_INT(cable_read(r, 10000, out, 1000), 0);
	CHECK_MEM(out, a, 1000);
	CHECK_MEM(out + 500, b, 1000);
	cable_close(w);
	CHECK_INT(cable_read(r, 10500, out, 500), 0);
	CHECK_MEM(out, b, 1000); /* and closing does not take back what was published */
	cable_close(r);
}

static void test_seventeenth_writer(void)
{
	struct cable_spec spec = fresh_spec("many", 1);
	struct cable *w[CABLE_SLOTS + 1];

	for (int i = 0; i <= CABLE_SLOTS; i++)
		w[i] = open_ok(&spec, CABLE_WRITE);
	for (int i = 0; i < CABLE_SLOTS; i++)
		CHECK_INT(cable_claim(w[i], 1000), 0);
	CHECK_INT(cable_claim(w[CABLE_SLOTS], 1000), -EBUSY);
	/* one of the sixteen may go on, by the slot that it has */
	CHECK_INT(cable_claim(w[3], 1000), 0);
	cable_close(w[7]);
	CHECK_INT(cable_claim(w[CABLE_SLOTS], 1000), 0);
	for (int i = 0; i <= CABLE_SLOTS; i++)
		if (i != 7)
			cable_close(w[i]);
}

/* kill -9: what was published is heard, then silence, and the slot is free again. */
static void test_killed_writer(void)
{
	struct cable_spec spec = fresh_spec("killed", 1);
	struct cable *r = open_ok(&spec, CABLE_READ), *w[CABLE_SLOTS];
	int16_t out[600];
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK_INT(pipe(ready), 0);
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct cable *c = NULL;
		int16_t in[500];

		for (int i = 0; i < 500; i++)
			in[i] = (int16_t)(i + 1);
		if (cable_open(&c, &spec, CABLE_WRITE, why, sizeof(why)) ||
		    cable_claim(c, 2000) || cable_start(c, 2000) || cable_write(c, 0, in, 500))
			_exit(1);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	for (int i = 0; i < CABLE_SLOTS; i++)
		w[i] = open_ok(&spec, CABLE_WRITE);
	for (int i = 0; i < CABLE_SLOTS - 1; i++)
		CHECK_INT(cable_claim(w[i], 2000), 0);
	CHECK_INT(cable_claim(w[CABLE_SLOTS - 1], 2000), -EBUSY);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_INT(cable_read(r, 2000, out, 600), 0);
	for (int i = 0; i < 600; i++)
		CHECK_INT(out[i], i < 500 ? i + 1 : 0);
	CHECK_INT(cable_claim(w[CABLE_SLOTS - 1], 2000), 0);
	for (int i = 0; i < CABLE_SLOTS; i++)
		cable_close(w[i]);
	cable_close(r);
}

/* Truncation is the attack that would be a SIGBUS with mapped memory. */
static void test_truncated(void)
{
	struct cable_spec spec = fresh_spec("truncated", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	int16_t buf[1000] = {1};

	CHECK_INT(cable_claim(w, 0), 0);
	CHECK_INT(cable_start(w, 0), 0);
	CHECK_INT(cable_write(w, 0, buf, 1000), 0);
	CHECK_INT(truncate(path, 4096 + 100), 0);
	CHECK_INT(cable_read(r, 0, buf, 1000), -ENODEV);
	CHECK_INT(cable_check(r), -ENODEV);
	CHECK_INT(truncate(path, 10), 0);
	CHECK_INT(cable_read(r, 0, buf, 1000), -ENODEV);
	CHECK_INT(cable_claim(w, 0), -ENODEV);
	spec.create = false;
	CHECK_INT(open_err(&spec, CABLE_READ), -EINVAL);
	CHECK(strstr(why, "not a cable"));
	/* the service puts it right */
	spec.create = true;
	CHECK_INT(open_err(&spec, CABLE_READ), 0);
	cable_close(w);
	cable_close(r);
}

static void test_removed_or_replaced_is_noticed(void)
{
	struct cable_spec spec = fresh_spec("replaced", 1);
	struct cable *r = open_ok(&spec, CABLE_READ), *w;

	CHECK_INT(cable_check(r), 0);
	spec.channels = 2; /* the operator has changed the mode of the line */
	w = open_ok(&spec, CABLE_WRITE);
	CHECK_INT(cable_channels(w), 2);
	CHECK_INT(cable_check(r), -ENODEV);
	CHECK_INT(cable_check(w), 0);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(cable_check(w), -ENODEV);
	cable_close(w);
	cable_close(r);
}

static void expect_refused(struct cable_spec spec)
{
	spec.create = false;
	CHECK_INT(open_err(&spec, CABLE_READ), -EINVAL);
	CHECK(strstr(why, path));
	CHECK_INT(open_err(&spec, CABLE_WRITE), -EINVAL);
	CHECK(strstr(why, path));
}

static void test_other_things_in_its_place(void)
{
	struct cable_spec spec = fresh_spec("other", 1);
	int fd;

	cable_close(open_ok(&spec, CABLE_READ)); /* makes the directory and the lock */
	CHECK_INT(unlink(path), 0);
	CHECK_INT(mkfifo(path, 0666), 0);
	expect_refused(spec); /* and did not wait for somebody to open its other end */
	CHECK_INT(unlink(path), 0);
	CHECK_INT(symlink("/etc/passwd", path), 0);
	expect_refused(spec);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(mkdir(path, 0700), 0);
	expect_refused(spec);
	CHECK_INT(rmdir(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	expect_refused(spec); /* empty */
	CHECK_INT(write(fd, "loopcbl", 8), 8);
	CHECK_INT(ftruncate(fd, cable_file_bytes(1)), 0);
	expect_refused(spec); /* right size and magic, rest zero */
	close(fd);
}

/* Every field of the header that is not right is refused, never used. */
static void test_header_fuzzed(void)
{
	struct cable_spec spec = fresh_spec("header", 1);
	struct cable_header good, bad;
	uint32_t seed = 11;
	int fd;

	cable_close(open_ok(&spec, CABLE_READ));
	fd = open(path, O_RDWR);
	CHECK_INT(pread(fd, &good, sizeof(good), 0), sizeof(good));
	spec.create = false;
	spec.channels = 0;
	for (int i = 0; i < 2000; i++) {
		bad = good;
		((uint8_t *)&bad)[test_random(&seed) % sizeof(bad)] ^=
			(uint8_t)(1u << test_random(&seed) % 8);
		CHECK_INT(pwrite(fd, &bad, sizeof(bad), 0), sizeof(bad));
		CHECK_INT(open_err(&spec, CABLE_READ), -EINVAL);
	}
	CHECK_INT(pwrite(fd, &good, sizeof(good), 0), sizeof(good));
	CHECK_INT(open_err(&spec, CABLE_READ), 0);
	close(fd);
}

static int64_t nasty(uint32_t *seed)
{
	static const int64_t values[] = {0,	     1,		     -1,	      INT64_MIN,
					 INT64_MAX,  INT64_MIN + 1,  INT64_MAX - 1,   1LL << 60,
					 1LL << 61,  -(1LL << 60),   CABLE_RING_FRAMES, 100000,
					 100000 - 1, 100000 + 16384, 100000 - 16384,  INT32_MAX};
	uint32_t k = test_random(seed);

	if (k % 4 == 0)
		return (int64_t)(((uint64_t)test_random(seed) << 32) | test_random(seed));
	if (k % 4 == 1)
		return (int64_t)(test_random(seed) % 200000);
	return values[k / 4 % (sizeof(values) / sizeof(values[0]))];
}

/* A file of the right size with anything in it: the reader gives some sound and stays alive (run
 * under ASan and UBSan as well). */
static void test_hostile_records(void)
{
	struct cable_spec spec = fresh_spec("hostile", 2);
	struct cable *r = open_ok(&spec, CABLE_READ), *w = open_ok(&spec, CABLE_WRITE);
	static int16_t out[2000 * 2];
	uint32_t seed = 5;
	int fd = open(path, O_RDWR);

	CHECK(fd >= 0);
	for (int round = 0; round < 3000; round++) {
		struct cable_record table[CABLE_SLOTS];

		for (int i = 0; i < CABLE_SLOTS; i++) {
			table[i].generation = (uint64_t)nasty(&seed);
			table[i].start = nasty(&seed);
			table[i].written = nasty(&seed);
			table[i].end = nasty(&seed);
			table[i].check = test_random(&seed) % 8 ? forged_check(&table[i])
								: test_random(&seed);
		}
		CHECK_INT(pwrite(fd, table, sizeof(table), CABLE_TABLE_OFFSET), sizeof(table));
		CHECK_INT(cable_read(r, 100000, out, 1 + (size_t)round % 2000), 0);
		/* nobody can make a reader wait for longer, or hurry */
		CHECK(cable_ready(r, 100000 + 300 * round) >= 100000 + 300 * round - CABLE_LATE_FRAMES);
		CHECK(cable_ready(r, 100000 + 300 * round) <= 100000 + 300 * round);
		CHECK_INT(cable_claim(w, 100000), 0);
		CHECK_INT(cable_start(w, 100000), 0);
		CHECK_INT(cable_write(w, 0, out, 100), 0);
	}
	/* the forgery was not in vain: a good record by the same function is heard */
	{
		struct cable_record one = {.generation = 1, .start = 50, .written = 10, .end = 10};
		struct cable_record table[CABLE_SLOTS] = {0};
		int16_t sample[2] = {123, -456};

		one.check = forged_check(&one);
		table[4] = one;
		CHECK_INT(pwrite(fd, table, sizeof(table), CABLE_TABLE_OFFSET), sizeof(table));
		CHECK_INT(pwrite(fd, sample, 4,
				 CABLE_HEADER_BYTES + (4 * CABLE_RING_FRAMES + 3) * 4), 4);
		CHECK_INT(cable_read(r, 53, out, 1), 0);
		CHECK_INT(out[0], 123);
		CHECK_INT(out[1], -456);
	}
	close(fd);
	cable_close(w);
	cable_close(r);
}

/* A writer that changes its record without end while it is read cannot hold the reader. */
static _Atomic int stop_scribbling;

static void *scribble(void *arg)
{
	int fd = *(int *)arg;
	uint32_t seed = 99;

	while (!atomic_load(&stop_scribbling)) {
		struct cable_record r = {
			.generation = test_random(&seed),
			.start = 100000,
			.written = 5000,
			.end = 5000,
		};
		int slot = (int)(test_random(&seed) % CABLE_SLOTS);

		r.check = forged_check(&r);
		if (pwrite(fd, &r, sizeof(r), CABLE_TABLE_OFFSET + slot * (off_t)sizeof(r)) !=
		    (ssize_t)sizeof(r))
			break;
	}
	return NULL;
}

static void test_scribbler_cannot_hold_a_reader(void)
{
	struct cable_spec spec = fresh_spec("scribble", 1);
	struct cable *r = open_ok(&spec, CABLE_READ);
	int fd = open(path, O_RDWR);
	int16_t out[480];
	pthread_t t;

	atomic_store(&stop_scribbling, 0);
	CHECK_INT(pthread_create(&t, NULL, scribble, &fd), 0);
	for (int i = 0; i < 2000; i++)
		CHECK_INT(cable_read(r, 100000 + i, out, 480), 0);
	atomic_store(&stop_scribbling, 1);
	pthread_join(t, NULL);
	close(fd);
	cable_close(r);
}

/* Writers and readers at full speed, as threads (TSan) with handles of their own: every frame is the
 * exact sum. The writers keep within the ring of the slowest reader, as the clock makes them. */
#define PAIR_FRAMES (40 * CABLE_RING_FRAMES)
static _Atomic int64_t wrote[2], readpos[2];
static _Atomic int pair_errors;

static int16_t pair_value(int who, int64_t frame)
{
	uint32_t x = (uint32_t)frame * 2654435761u + (uint32_t)who * 40503u;

	return (int16_t)(x >> 18) - 8192; /* 14 bits: the sum never saturates */
}

static int64_t lesser(_Atomic int64_t v[2])
{
	int64_t a = atomic_load(&v[0]), b = atomic_load(&v[1]);

	return a < b ? a : b;
}

static void *pair_writer(void *arg)
{
	int who = (int)(intptr_t)arg;
	struct cable_spec spec = {.path = path};
	uint32_t seed = (uint32_t)who + 1;
	struct cable *c = NULL;
	char reason[256];
	int16_t buf[700];

	if (cable_open(&c, &spec, CABLE_WRITE, reason, sizeof(reason)) || cable_claim(c, 0) ||
	    cable_start(c, 0)) {
		atomic_fetch_add(&pair_errors, 1);
		atomic_store(&wrote[who], PAIR_FRAMES);
		return c;
	}
	for (int64_t at = 0; at < PAIR_FRAMES;) {
		int64_t n = 1 + test_random(&seed) % 700;

		if (n > PAIR_FRAMES - at)
			n = PAIR_FRAMES - at;
		while (at + n - lesser(readpos) > CABLE_BUFFER_MAX)
			sched_yield();
		for (int64_t i = 0; i < n; i++)
			buf[i] = pair_value(who, at + i);
		if (cable_write(c, at, buf, (size_t)n))
			atomic_fetch_add(&pair_errors, 1);
		at += n;
		atomic_store(&wrote[who], at);
	}
	return c; /* stays open: its slot must not be taken by the other */
}

static void *pair_reader(void *arg)
{
	int who = (int)(intptr_t)arg;
	struct cable_spec spec = {.path = path};
	uint32_t seed = (uint32_t)who + 77;
	struct cable *c = NULL;
	char reason[256];
	int16_t buf[900];

	if (cable_open(&c, &spec, CABLE_READ, reason, sizeof(reason))) {
		atomic_fetch_add(&pair_errors, 1);
		atomic_store(&readpos[who], INT64_MAX / 2);
		return NULL;
	}
	for (int64_t at = 0; at < PAIR_FRAMES;) {
		int64_t n = 1 + test_random(&seed) % 900, most;

		while ((most = lesser(wrote) - at) <= 0)
			sched_yield();
		if (n > most)
			n = most;
		if (cable_read(c, at, buf, (size_t)n))
			atomic_fetch_add(&pair_errors, 1);
		for (int64_t i = 0; i < n; i++)
			if (buf[i] != pair_value(0, at + i) + pair_value(1, at + i))
				atomic_fetch_add(&pair_errors, 1);
		at += n;
		atomic_store(&readpos[who], at);
	}
	cable_close(c);
	return NULL;
}

static void test_threads_two_writers_two_readers(void)
{
	struct cable_spec spec = fresh_spec("threads", 1);
	pthread_t w[2], r[2];
	void *handle;

	cable_close(open_ok(&spec, CABLE_READ));
	atomic_store(&pair_errors, 0);
	for (intptr_t i = 0; i < 2; i++) {
		atomic_store(&wrote[i], 0);
		atomic_store(&readpos[i], 0);
	}
	for (intptr_t i = 0; i < 2; i++) {
		CHECK_INT(pthread_create(&w[i], NULL, pair_writer, (void *)i), 0);
		CHECK_INT(pthread_create(&r[i], NULL, pair_reader, (void *)i), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(r[i], NULL);
	for (int i = 0; i < 2; i++) {
		pthread_join(w[i], &handle);
		cable_close(handle);
	}
	CHECK_INT(atomic_load(&pair_errors), 0);
}

/* Several services may start at once: all must end up on one and the same file. */
static void test_creators_race(void)
{
	for (int round = 0; round < 20; round++) {
		char name[16];
		struct cable_spec spec;
		pid_t pid[6];
		int status;

		snprintf(name, sizeof(name), "race%d", round);
		spec = fresh_spec(name, 1);
		fflush(NULL);
		for (int i = 0; i < 6; i++) {
			pid[i] = fork();
			CHECK(pid[i] >= 0);
			if (pid[i] == 0) {
				struct cable *c = NULL;
				int err = cable_open(&c, &spec, CABLE_WRITE, why, sizeof(why));

				if (!err)
					err = cable_claim(c, 0);
				if (!err) /* everybody has created, nobody has replaced */
					err = cable_check(c);
				_exit(err ? 1 : 0);
			}
		}
		for (int i = 0; i < 6; i++) {
			CHECK_INT(waitpid(pid[i], &status, 0), pid[i]);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
	}
}

/* ---- users -------------------------------------------------------------------------------- */

#define TEST_GROUP 61234

/* Runs test as user nobody with one supplementary group; returns its exit status. */
static int as_nobody(gid_t group, int (*test)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (setgroups(group != (gid_t)-1, &group) < 0 || setgid(NOBODY) < 0 ||
		    setuid(NOBODY) < 0)
			_exit(99);
		_exit(test());
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int play_and_record(void)
{
	struct cable_spec spec = {.path = path};
	struct cable *w = NULL, *r = NULL;
	int16_t x = 7, y = 0;

	if (cable_open(&w, &spec, CABLE_WRITE, why, sizeof(why)) ||
	    cable_open(&r, &spec, CABLE_READ, why, sizeof(why)) || cable_claim(w, 0) ||
	    cable_start(w, 0) || cable_write(w, 0, &x, 1) || cable_read(r, 0, &y, 1))
		return 1;
	return y == 7 ? 0 : 2;
}

static int refused_and_told_why(void)
{
	struct cable_spec spec = {.path = path};
	char number[32];

	snprintf(number, sizeof(number), "%u", TEST_GROUP);
	if (open_err(&spec, CABLE_READ) != -EACCES || !strstr(why, path) || !strstr(why, number))
		return 1;
	return open_err(&spec, CABLE_WRITE) != -EACCES || !strstr(why, number);
}

/* May read but not write: hears, cannot play, and cannot lock anybody out. */
static int read_only(void)
{
	struct cable_spec spec = {.path = path};
	char lock[CABLE_PATH_MAX + 8];
	struct cable *r = NULL;
	int16_t y = 0;

	if (cable_open(&r, &spec, CABLE_READ, why, sizeof(why)) || cable_read(r, 0, &y, 1))
		return 1;
	if (open_err(&spec, CABLE_WRITE) != -EACCES)
		return 2;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	return open(lock, O_RDONLY) >= 0 ? 3 : 0;
}

static void test_user_in_the_group_and_outside(void)
{
	struct cable_spec spec;

	if (getuid() != 0)
		SKIP("needs root to become other users");
	{
		char dir[256];
		snprintf(dir, sizeof(dir), "%s/users", cable_env_dir());
		CHECK_INT(cable_path(path, sizeof(path), dir, "users", 0), 0);
	}
	spec = (struct cable_spec){
		.path = path, .channels = 1, .create = true, .perm = 0660, .group = TEST_GROUP};
	cable_close(open_ok(&spec, CABLE_WRITE));
	CHECK_INT(as_nobody(TEST_GROUP, play_and_record), 0);
	CHECK_INT(as_nobody((gid_t)-1, refused_and_told_why), 0);
}

static void test_reader_without_write_permission(void)
{
	struct cable_spec spec;
	char dir[256];

	if (getuid() != 0)
		SKIP("needs root to become other users");
	snprintf(dir, sizeof(dir), "%s/readers", cable_env_dir());
	CHECK_INT(cable_path(path, sizeof(path), dir, "readers", 0), 0);
	spec = (struct cable_spec){
		.path = path, .channels = 1, .create = true, .perm = 0664, .group = TEST_GROUP};
	cable_close(open_ok(&spec, CABLE_WRITE));
	CHECK_INT(as_nobody((gid_t)-1, read_only), 0);
}

/* Who may write can take all the locks: new writers get an error, readers notice nothing. */
static void test_peer_that_locks_everything(void)
{
	struct cable_spec spec = fresh_spec("locked", 1);
	struct cable *w = open_ok(&spec, CABLE_WRITE), *r = open_ok(&spec, CABLE_READ);
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char lock[CABLE_PATH_MAX + 8];
	int16_t x = 5, y = 0;
	int fd, audio;

	snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = open(lock, O_WRONLY);
	audio = open(path, O_RDWR);
	CHECK(fd >= 0 && audio >= 0);
	CHECK_INT(fcntl(fd, F_OFD_SETLK, &all), 0);
	CHECK_INT(fcntl(audio, F_OFD_SETLK, &all), 0);
	CHECK_INT(cable_claim(w, 0), -EBUSY);
	CHECK_INT(cable_read(r, 0, &y, 1), 0);
	CHECK_INT(open_err(&spec, CABLE_READ), 0);
	close(fd);
	/* locks on the audio file alone mean nothing */
	CHECK_INT(cable_claim(w, 0), 0);
	CHECK_INT(cable_start(w, 0), 0);
	CHECK_INT(cable_write(w, 0, &x, 1), 0);
	CHECK_INT(cable_read(r, 0, &y, 1), 0);
	CHECK_INT(y, 5);
	close(audio);
	cable_close(w);
	cable_close(r);
}

int main(void)
{
	cable_env_setup(NULL);
	UNIT(test_path);
	UNIT(test_clock);
	UNIT(test_create_and_modes);
	UNIT(test_absent);
	UNIT(test_one_writer_exact);
	UNIT(test_ring_wraps);
	UNIT(test_sum_saturates_once);
	UNIT(test_gap_is_silence_and_rewind_replaces);
	UNIT(test_blocks_against_a_model);
	UNIT(test_a_writer_far_ahead_leaves_a_late_reader_his);
	UNIT(test_ready);
	UNIT(test_prepare_keeps_the_tail);
	UNIT(test_seventeenth_writer);
	UNIT(test_killed_writer);
	UNIT(test_truncated);
	UNIT(test_removed_or_replaced_is_noticed);
	UNIT(test_other_things_in_its_place);
	UNIT(test_header_fuzzed);
	UNIT(test_hostile_records);
	UNIT(test_scribbler_cannot_hold_a_reader);
	UNIT(test_threads_two_writers_two_readers);
	UNIT(test_creators_race);
	UNIT(test_user_in_the_group_and_outside);
	UNIT(test_reader_without_write_permission);
	UNIT(test_peer_that_locks_everything);
	return unit_done();
}
