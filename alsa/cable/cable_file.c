/* SPDX-License-Identifier: MIT
 *
 * cable_file.c - names, creates, opens and checks the file of a cable.
 */
#include "alsa/cable/cable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(CABLE_TABLE_OFFSET + sizeof(struct cable_record) * CABLE_SLOTS <= CABLE_HEADER_BYTES,
	       "the table must fit before the samples");
_Static_assert((CABLE_RING_FRAMES & (CABLE_RING_FRAMES - 1)) == 0, "a power of two");

off_t cable_file_bytes(unsigned channels)
{
	return CABLE_HEADER_BYTES +
	       (off_t)CABLE_SLOTS * CABLE_RING_FRAMES * channels * (off_t)sizeof(int16_t);
}

int cable_path(char *out, size_t size, const char *dir, const char *name, long line)
{
	size_t len = strlen(name);
	int n;

	if (len == 0 || len > 64 || line < 0 || line > 999 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != len)
		return -EINVAL;
	n = snprintf(out, size, "%s/%s.%ld.v%d", dir, name, line, CABLE_VERSION);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

__attribute__((format(printf, 4, 5))) static int fail(int err, char *why, size_t size,
						      const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, size, format, ap);
	va_end(ap);
	return err;
}

static void directory_of(char out[CABLE_PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len == 0)
		snprintf(out, CABLE_PATH_MAX, "%s", slash ? "/" : ".");
	else
		snprintf(out, CABLE_PATH_MAX, "%.*s", (int)len, path);
}

/* Says which group would have been let in: that of the file or, where we may not even look at it,
 * of the closest directory above that we can see. */
static int fail_access(const char *path, enum cable_mode mode, char *why, size_t size)
{
	char at[CABLE_PATH_MAX], up[CABLE_PATH_MAX], buf[1024];
	const char *verb = mode == CABLE_READ ? "record from" : "play into";
	struct group grp, *found = NULL;
	struct stat st;

	snprintf(at, sizeof(at), "%s", path);
	while (lstat(at, &st) < 0) {
		directory_of(up, at);
		if (strcmp(up, at) == 0 || strcmp(up, ".") == 0)
			return fail(-EACCES, why, size, "no permission to %s %s", verb, path);
		memcpy(at, up, sizeof(at));
	}
	if (getgrgid_r(st.st_gid, &grp, buf, sizeof(buf), &found) != 0 || !found)
		return fail(-EACCES, why, size, "no permission to %s %s (it is for group %u)", verb,
			    path, (unsigned)st.st_gid);
	return fail(-EACCES, why, size, "no permission to %s %s: be a member of group %s", verb, path,
		    grp.gr_name);
}

/* ---- checking ----------------------------------------------------------------------------- */

/* Is what is open a cable? 0 and its channels, or -EINVAL and why not. */
static int file_check(int fd, const char *path, unsigned *channels, char *why, size_t size)
{
	struct cable_header h;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(-errno, why, size, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(-EINVAL, why, size, "%s is not a file", path);
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    memcmp(h.magic, CABLE_MAGIC, sizeof(h.magic)) != 0)
		return fail(-EINVAL, why, size, "%s is not a cable", path);
	if (h.version != CABLE_VERSION)
		return fail(-EINVAL, why, size, "%s is a cable of version %u, we speak %d", path,
			    h.version, CABLE_VERSION);
	if (h.rate != CABLE_RATE || h.slots != CABLE_SLOTS || h.ring_frames != CABLE_RING_FRAMES ||
	    h.channels < 1 || h.channels > CABLE_CHANNELS_MAX ||
	    st.st_size != cable_file_bytes(h.channels))
		return fail(-EINVAL, why, size, "%s is damaged", path);
	*channels = h.channels;
	return 0;
}

/* ---- creating ----------------------------------------------------------------------------- */

/* Opens TARGET.new.PID with its final size, owner and mode; nobody else knows it yet. */
static int temporary_open(char temp[CABLE_PATH_MAX], const char *target,
			  const struct cable_spec *spec, mode_t mode, off_t bytes, char *why,
			  size_t size)
{
	int fd, err;

	if (snprintf(temp, CABLE_PATH_MAX, "%s.new.%d", target, (int)getpid()) >= CABLE_PATH_MAX)
		return fail(-ENAMETOOLONG, why, size, "%s: the name is too long", target);
	unlink(temp); /* left by a process of the same number that was killed here */
	fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(-errno, why, size, "cannot create %s: %s", target, strerror(errno));
	/* Space is taken now: a full file system must not show up as a hole in a call later. */
	err = bytes ? -posix_fallocate(fd, 0, bytes) : 0;
	if (err == -EOPNOTSUPP)
		err = ftruncate(fd, bytes) < 0 ? -errno : 0;
	if (!err && spec->group != (gid_t)-1 && fchown(fd, (uid_t)-1, spec->group) < 0)
		err = -errno;
	if (!err && fchmod(fd, mode) < 0) /* the umask has no say in this */
		err = -errno;
	if (err) {
		close(fd);
		unlink(temp);
		return fail(err, why, size, "cannot create %s: %s", target, strerror(-err));
	}
	return fd;
}

static int directory_create(const struct cable_spec *spec, char *why, size_t size)
{
	mode_t read_bits = spec->perm & 0444;
	mode_t mode = 0700 | read_bits | read_bits >> 2;
	char dir[CABLE_PATH_MAX];

	directory_of(dir, spec->path);
	if (mkdir(dir, 0700) < 0) {
		if (errno == EEXIST)
			return 0;
		return fail(-errno, why, size, "cannot make %s: %s", dir, strerror(errno));
	}
	/* The group is inherited by what is created inside. Without the right to give it away the
	 * mode alone still is right for the creator's own group. */
	if (spec->group != (gid_t)-1 && chown(dir, (uid_t)-1, spec->group) < 0)
		return fail(-errno, why, size, "cannot give %s to its group: %s", dir, strerror(errno));
	if (chmod(dir, mode | S_ISGID) < 0)
		return fail(-errno, why, size, "cannot make %s: %s", dir, strerror(errno));
	return 0;
}

/* The lock file: empty, and never to be opened for reading (cable.h says why). */
static int lock_create(const struct cable_spec *spec, const char *lock_path, char *why, size_t size)
{
	char temp[CABLE_PATH_MAX];
	int fd;

	if (access(lock_path, F_OK) == 0)
		return 0;
	fd = temporary_open(temp, lock_path, spec, spec->perm & 0222, 0, why, size);
	if (fd < 0)
		return fd;
	close(fd);
	if (link(temp, lock_path) < 0 && errno != EEXIST) {
		int err = -errno;

		unlink(temp);
		return fail(err, why, size, "cannot create %s: %s", lock_path, strerror(-err));
	}
	unlink(temp);
	return 0;
}

/* Puts a new, silent cable at the path. replace: over whatever is there, else only if there is
 * nothing (somebody else's being faster is success). */
static int file_create(const struct cable_spec *spec, bool replace, char *why, size_t size)
{
	struct cable_header h = {
		.magic = CABLE_MAGIC,
		.version = CABLE_VERSION,
		.rate = CABLE_RATE,
		.channels = spec->channels ? spec->channels : 1,
		.slots = CABLE_SLOTS,
		.ring_frames = CABLE_RING_FRAMES,
	};
	char temp[CABLE_PATH_MAX];
	int fd, err = 0;

	fd = temporary_open(temp, spec->path, spec, spec->perm, cable_file_bytes(h.channels), why,
			    size);
	if (fd < 0)
		return fd;
	/* Zeros are empty records. */
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		err = -EIO;
	else if (replace ? rename(temp, spec->path) < 0 : link(temp, spec->path) < 0)
		err = errno == EEXIST ? 0 : -errno;
	close(fd);
	unlink(temp);
	if (err)
		return fail(err, why, size, "cannot create %s: %s", spec->path, strerror(-err));
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int try_open(const struct cable_spec *spec, enum cable_mode mode, int *fd,
		    unsigned *channels, char *why, size_t size)
{
	/* O_NONBLOCK: a fifo in this place must not hold us */
	int flags = (mode == CABLE_READ ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
		    O_NOCTTY;
	int err;

	*fd = open(spec->path, flags);
	if (*fd < 0) {
		switch (errno) {
		case ENOENT:
			return fail(-ENOENT, why, size, "no cable at %s: is loopline-bridge running?",
				    spec->path);
		case EACCES:
			return fail_access(spec->path, mode, why, size);
		case ELOOP:
		case ENXIO:
		case EISDIR:
			return fail(-EINVAL, why, size, "%s is not a cable", spec->path);
		default:
			return fail(-errno, why, size, "cannot open %s: %s", spec->path,
				    strerror(errno));
		}
	}
	err = file_check(*fd, spec->path, channels, why, size);
	if (!err && spec->channels && *channels != spec->channels)
		err = fail(-EINVAL, why, size, "the cable at %s has %u channel%s, not %u", spec->path,
			   *channels, *channels == 1 ? "" : "s", spec->channels);
	if (err)
		close(*fd);
	return err;
}

int cable_file_open(const struct cable_spec *spec, enum cable_mode mode, int *fd, int *lock_fd,
		    unsigned *channels, char *why, size_t why_size)
{
	char lock_path[CABLE_PATH_MAX];
	int err;

	*fd = *lock_fd = -1;
	if (spec->channels > CABLE_CHANNELS_MAX)
		return fail(-EINVAL, why, why_size, "a cable has 1 or 2 channels, not %u",
			    spec->channels);
	if (snprintf(lock_path, sizeof(lock_path), "%s.lock", spec->path) >= (int)sizeof(lock_path))
		return fail(-ENAMETOOLONG, why, why_size, "%s: the name is too long", spec->path);

	err = try_open(spec, mode, fd, channels, why, why_size);
	if (spec->create && (err == -ENOENT || err == -EINVAL)) {
		bool replace = err == -EINVAL;

		err = directory_create(spec, why, why_size);
		if (!err)
			err = lock_create(spec, lock_path, why, why_size);
		if (!err)
			err = file_create(spec, replace, why, why_size);
		if (!err)
			err = try_open(spec, mode, fd, channels, why, why_size);
	}
	if (err || mode == CABLE_READ)
		return err;

	*lock_fd = open(lock_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*lock_fd < 0 && errno == ENOENT && spec->create &&
	    !lock_create(spec, lock_path, why, why_size))
		*lock_fd = open(lock_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*lock_fd >= 0)
		return 0;
	err = -errno;
	if (err == -EACCES)
		fail_access(lock_path, mode, why, why_size);
	else
		fail(err, why, why_size, "cannot open %s: %s", lock_path, strerror(-err));
	close(*fd);
	*fd = -1;
	return err;
}
