/* SPDX-License-Identifier: MIT
 *
 * fuzz_cable.c - a cable's file as somebody with the right to write it may leave it: header and
 * records of any content, any length. Who reads or writes gets sound or an error, and comes back.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alsa/cable/cable.h"
#include "alsa/cable/cable_file.h"
#include "tests/unit/cable_forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[CABLE_PATH_MAX], dir[] = "/dev/shm/fuzz-cable-XXXXXX";

static void clean_up(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		perror("rm");
}

static void use(enum cable_mode mode, int64_t frame)
{
	static int16_t frames[2 * CABLE_RING_FRAMES];
	struct cable_spec spec = {.path = path};
	struct cable *c;
	char why[256];

	if (cable_open(&c, &spec, mode, why, sizeof(why)) < 0)
		return;
	if (cable_channels(c) < 1 || cable_channels(c) > CABLE_CHANNELS_MAX)
		abort();
	if (mode == CABLE_WRITE) {
		if (cable_claim(c, frame) == 0 && cable_start(c, frame) == 0) {
			cable_write(c, 0, frames, 480);
			cable_write(c, 9000, frames, 480);
			cable_write(c, 100, frames, 480);
			cable_stop(c, 9100);
		}
	} else {
		cable_read(c, frame, frames, 960);
		cable_read(c, frame - CABLE_BUFFER_MAX, frames, CABLE_RING_FRAMES);
		cable_check(c);
	}
	cable_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static uint8_t head[CABLE_HEADER_BYTES];
	int64_t frame = 100000;

	if (fd < 0) {
		struct cable_spec spec = {.channels = 1, .create = true, .perm = 0600, .group = (gid_t)-1};
		struct cable *c;
		char why[256];

		if (!mkdtemp(dir) || cable_path(path, sizeof(path), dir, "fuzz", 0) < 0)
			abort();
		atexit(clean_up);
		spec.path = path;
		if (cable_open(&c, &spec, CABLE_WRITE, why, sizeof(why)) < 0)
			abort();
		cable_close(c);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || pread(fd, head, sizeof(head), 0) != sizeof(head))
			abort();
	}
	if (size < 2)
		return 0;
	uint8_t now[CABLE_HEADER_BYTES];
	uint8_t what = data[0];
	off_t length = cable_file_bytes(1) - (what & 4 ? data[1] * 200 : 0);

	data += 2, size -= 2;
	if (size > sizeof(now))
		size = sizeof(now);
	memcpy(now, head, sizeof(now));
	if (what & 1) {
		memcpy(now, data, size);
	} else {
		size_t n = size / (sizeof(struct cable_record) - 8);

		for (size_t i = 0; i < n && i < CABLE_SLOTS; i++) {
			struct cable_record r = {0};

			memcpy(&r, data + i * (sizeof(r) - 8), sizeof(r) - 8);
			if (what & 2) /* near enough to be heard */
				r.start = frame - r.start % CABLE_RING_FRAMES;
			r.check = forged_check(&r);
			memcpy(now + CABLE_TABLE_OFFSET + i * sizeof(r), &r, sizeof(r));
		}
	}
	if (ftruncate(fd, length) || pwrite(fd, now, sizeof(now), 0) != sizeof(now))
		abort();
	use(CABLE_READ, frame);
	use(CABLE_WRITE, frame);
	use(CABLE_READ, frame);
	return 0;
}
