/* SPDX-License-Identifier: MIT
 *
 * cable.h - the shared file behind the embedded loopback. No ALSA here.
 *
 * A cable is one small file (on tmpfs) through which any number of programs pass sound: what
 * writers put in, every reader gets, summed. It works like a card whose clock is
 * CLOCK_MONOTONIC: frame number f of every cable is due at f / 48000 s on that clock, so
 * all who have it open agree on the position without a word between them. There is no daemon, no
 * lock in the audio path, and nothing to clean up after anybody's death:
 *
 *   - A writer owns a slot: a ring of 16384 frames and a record that says which cable frames are
 *     in it. Ownership is a lock on one byte of a second file (PATH.lock), which the kernel takes
 *     back when the writer dies. Frames beyond what was published do not exist, so a killed writer
 *     turns into silence after what it had queued.
 *   - A reader adds up, saturating, what all slots hold for the frames it wants. It writes nothing
 *     and takes no lock: read permission on the file is enough, and no reader can disturb anybody.
 *     It need not run ahead of a writer who is late: cable_ready().
 *
 * Samples and positions go by pread() and pwrite(). Mapped memory would be faster by a little, but
 * whoever may write the file may also truncate it, and the next access of everyone who has it
 * mapped would be a SIGBUS: a stranger's aplay must not be able to kill a phone call. A short read
 * is an error that can be handled: -ENODEV. For the same reason nothing in the file is trusted.
 * Each record carries a checksum, because a read may see half of a write; positions are range
 * checked; the header counts only at open. Whoever may write the file can garble the sound, and
 * can do no more than that.
 *
 * The lock file is apart from the samples because a read-only descriptor could take read locks and
 * starve writers: it can only be opened for writing. OFD locks, not classic POSIX ones, which go
 * away when *any* descriptor of the process is closed.
 *
 * The file is made complete under a temporary name and link()ed into place, so nobody ever sees
 * half of one. One that was removed or replaced while open shows by its link count: -ENODEV, and
 * opening again finds the new one.
 *
 * A time namespace with an offset has another CLOCK_MONOTONIC: share a cable only inside one.
 * While the machine is suspended the clock stands still, and so do streams: no xrun.
 *
 * A handle belongs to one thread at a time. Nothing here blocks longer than a file access on tmpfs,
 * and only cable_open() and cable_close() allocate.
 */
#ifndef ALSA_CABLE_CABLE_H
#define ALSA_CABLE_CABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CABLE_RATE         48000
#define CABLE_CHANNELS_MAX 2
#define CABLE_SLOTS        16    /* writers at a time */
#define CABLE_RING_FRAMES  16384 /* per slot; a power of two */
/* A writer may be this far ahead of now and a reader this far behind, so that together they
 * never exceed the ring. */
#define CABLE_BUFFER_MAX (CABLE_RING_FRAMES / 2)
#define CABLE_PATH_MAX   512
#define CABLE_LATE_FRAMES 1440 /* 30 ms: so long a late writer is waited for */

enum cable_mode {
	CABLE_READ,
	CABLE_WRITE,
};

struct cable_spec {
	const char *path;  /* from cable_path() */
	unsigned channels; /* 1 or 2; 0 takes what is there (and 1 if it has to be created) */
	bool create;       /* make the cable where there is none, or none that can be used */
	mode_t perm;       /* of a created one, e.g. 0660; its directory gets what follows from that */
	gid_t group;       /* of a created one; (gid_t)-1 leaves what the file system gives */
};

struct cable;

/* ---- clock -------------------------------------------------------------------------------- */

/* The cable frame that is due at now_ns (CLOCK_MONOTONIC), the one that is due now, and the first
 * nanosecond at which cable_frame_at() gives `frame`. */
int64_t cable_frame_at(int64_t now_ns);
int64_t cable_frame_now(void);
int64_t cable_time_ns(int64_t frame);

/* ---- opening ------------------------------------------------------------------------------ */

/* DIR/NAME.LINE.v1 into out. -EINVAL if name is empty, has anything but [A-Za-z0-9_-] in it or is
 * over 64 long, or line is not 0..999; -ENAMETOOLONG. */
int cable_path(char *out, size_t size, const char *dir, const char *name, long line);

/* Opens for reading or for writing. Errors, each with a sentence in `why` that names the path:
 *   -ENOENT  there is none, and spec does not allow to create it
 *   -EACCES  no permission; the sentence names the group that has it
 *   -EINVAL  what is there is no cable of this version, or has another channel count than wanted
 * and whatever open(), link(), … give. With create, a file that is no cable, or has another
 * channel count, is replaced; those who have the old one open get -ENODEV and come back. */
int cable_open(struct cable **out, const struct cable_spec *spec, enum cable_mode mode, char *why,
	       size_t why_size);

/* A writer that is still going ends at what it has written. NULL is fine. */
void cable_close(struct cable *cable);

unsigned cable_channels(const struct cable *cable);

/* -ENODEV when the file has been removed, replaced or cut short since it was opened, else 0. */
int cable_check(const struct cable *cable);

/* ---- writing ------------------------------------------------------------------------------ */
/* A stream has its own count of frames, from 0. It is put on the cable's clock by cable_start(). */

/* Takes a fresh slot for a new stream and lets go of the one before: what that one still holds
 * stays readable for readers that lag, until the slot is needed. -EBUSY when all slots are
 * taken by others. */
int cable_claim(struct cable *cable, int64_t now_frame);

/* Stream frame 0 is cable frame `frame`. */
int cable_start(struct cable *cable, int64_t frame);

/* Puts n frames at stream position pos and publishes everything before pos + n. pos may lie before
 * what is published (the sound there is replaced, and what followed is gone) or after it (the gap
 * is silence). n is at most CABLE_RING_FRAMES. 0, -ENODEV, -EBADF without a slot. */
int cable_write(struct cable *cable, int64_t pos, const int16_t *frames, size_t n);

/* The stream ends at position end, or at what was written if that is less. The slot is kept. */
int cable_stop(struct cable *cable, int64_t end);

/* ---- reading ------------------------------------------------------------------------------ */

/*
 * The frame before which everything is there for a reader at now_frame: that itself, or where a writer who
 * plays has come to so far, if he is late by up to CABLE_LATE_FRAMES. So when a machine has stood still for
 * a moment, or one of its processors has, sound comes late and is not lost, whoever wakes up first. Who is
 * late by more is not waited for: he may be dead. May be less than it was before. -ENODEV.
 */
int64_t cable_ready(struct cable *cable, int64_t now_frame);

/* Writes the saturated sum of all writers over cable frames [frame, frame + n) to out (n frames of
 * the cable's channels); silence where there is nothing. 0, or -ENODEV. */
int cable_read(struct cable *cable, int64_t frame, int16_t *out, size_t n);

#endif
