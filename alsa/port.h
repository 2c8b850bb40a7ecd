/* SPDX-License-Identifier: MIT
 *
 * port.h - one direction of one ALSA PCM, kept alive.
 *
 * A port opens any PCM by its name - a cable, dmix or dsnoop on snd-aloop, a
 * sound card - and turns it into something that a media loop can use without
 * knowing which it is: it never blocks there, it says how much to write so that
 * the queue neither runs dry nor grows, and it survives xruns, suspend and the
 * device going away. Samples are S16_LE at 48 kHz, 1 or 2 channels. Automatic
 * rate, channel and format conversion is off: what the definition behind the name
 * has is what is found, its channel count is the mode of the line, and anything
 * but 48000 Hz S16_LE is an error.
 *
 * Two sides, two threads (they may be one):
 *   - the OPENER calls port_create(), port_open(), port_destroy(). These may block;
 *   - the MEDIA side calls everything else. Nothing there blocks, allocates or logs.
 * They hand the PCM to each other through one atomic state: while a port is not open
 * the handle belongs to the opener, while it is open to the media side. When the
 * device goes away the media side gives the port up (port_is_open() turns false; reads
 * give nothing, writes are swallowed at the pace of real time), and the opener's next
 * port_open() that is due brings it back. So the opener only has to call port_open()
 * about every 100 ms for each port (cheap when there is nothing to do), and the media
 * side only has to go on.
 *
 * All times are CLOCK_MONOTONIC nanoseconds passed in by the owner.
 */
#ifndef ALSA_PORT_H
#define ALSA_PORT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_RATE         48000 /* frames per second, the only rate there is */
#define PORT_CHANNELS_MAX 2
#define PORT_BLOCK_MAX    1920 /* largest n_frames of one read or write call: 40 ms */

struct port;
struct json_writer;

enum port_direction {
	PORT_PLAYBACK,
	PORT_CAPTURE,
};

struct port_params {
	const char *name; /* ALSA PCM name, e.g. "phone:0"; copied */
	enum port_direction direction;
	/* Wanted; the device may have another (dmix and dsnoop impose their slave's).
	 * 0 means 240 (5 ms). */
	unsigned period_frames;
	/* Playback: what should still be queued when the owner's tick comes, that is, how
	 * late a tick may be without harm. 0 means 192 (4 ms). Where the device's period is
	 * longer than wanted the lead is at least that period, because its position only moves
	 * in steps. */
	unsigned lead_frames;
	/* Playback: after an xrun the lead grows by what was missing, 2 ms at least; not at all if it
	 * would be longer than this, since so much will be missing again. It stays so for a minute, or twice
	 * as long as after the xrun before if that is not 10 minutes ago (8 minutes at most), and then shrinks by
	 * 1 ms each 30 s. 0 means 960 (20 ms); equal to lead_frames: never. */
	unsigned lead_max_frames;
	/* Capture: more than this unread is dropped down to one period, newest kept, so that
	 * delay never grows. 0 means 2400 (50 ms). */
	unsigned backlog_frames;
};

/* What has happened since port_create(). Written by the media side (reopens and
 * open_failures by the opener); port_stats() may be called from any thread. */
struct port_stats {
	uint64_t frames;         /* written to, or read from, the device */
	uint64_t xruns;          /* underruns or overruns recovered from */
	uint64_t suspends;       /* resumes after -ESTRPIPE */
	uint64_t losses;         /* times the device went away */
	uint64_t reopens;        /* successful opens after the first */
	uint64_t open_failures;  /* failed attempts to open */
	uint64_t silence_frames; /* playback: filled in anew after an xrun */
	uint64_t late_frames;    /* playback: due before they were written, without an xrun: port_due() */
	uint64_t dropped_frames; /* capture: backlog thrown away; playback: did not fit */
	unsigned lead_frames;    /* playback: the lead in force now */
};

/* ---- opener ------------------------------------------------------------------------------ */

/* Makes a port that is not open yet. Opens nothing. -EINVAL for nonsense in params
 * (no name, a lead above 100 ms), -ENOMEM. */
int port_create(struct port **out, const struct port_params *params);

/* Opens the device if the port is not open and an attempt is due. May block.
 * 0: it is open (now or already). -EAGAIN: not due yet (attempts back off from 100 ms by
 * doubling to 5 s; the first is always due; ten good seconds reset it). Otherwise the error
 * of this attempt, and port_error() says in words what it was: -ENOENT no such PCM or cable,
 * -EACCES, -EBUSY, -ENODEV, -EINVAL (the definition is not 48000 Hz S16_LE with 1 or 2
 * channels).
 *
 * Opening never creates a cable unless allowed to by port_allow_create(). */
int port_open(struct port *port, int64_t now_ns);

/* The last error of port_open() as a sentence that names the PCM; "" after success.
 * Opener's thread; valid until the next port_open(). What alsa-lib would have printed to
 * stderr during the attempt is part of it. */
const char *port_error(const struct port *port);

/* From the next port_open() on this port may create the cable behind its name where there is
 * none (the configuration key defaults.pcm.cable.create, see alsa/cable/cable.conf). For the
 * two services; does nothing on other kinds of PCM. */
void port_allow_create(struct port *port, bool allow);

/* Closes and frees. The media side must have let go of the port. NULL is fine. */
void port_destroy(struct port *port);

/* ---- any thread --------------------------------------------------------------------------- */

const char *port_name(const struct port *port);
bool port_is_open(const struct port *port);
void port_stats(const struct port *port, struct port_stats *out);

/* What the open device has: 1 or 2; period as found. 0 before the first successful open. */
unsigned port_channels(const struct port *port);
unsigned port_period_frames(const struct port *port);

/* Name, channels and counters as an object `name` of a state document (common/json.h). */
void port_write_state(struct json_writer *w, const char *name, const struct port *port);

/* ---- media side --------------------------------------------------------------------------- */

/* Wants it running: capture starts at once; playback with the first write, which is preceded
 * by the lead as silence. Stays wanted across losses and reopens. Idempotent. */
void port_start(struct port *port, int64_t now_ns);

/* Stops and forgets what is queued (what dmix has mixed already cannot be recalled). The device
 * stays open and costs nothing: no timer, no wake-up. Idempotent. */
void port_stop(struct port *port);

/* For a port that is stopped: notices that its device has gone, as the others do when they are used.
 * Otherwise a card that was taken away would wait for an idle line to let go of it, and could not
 * come back. Cheap; once in some seconds. */
void port_check(struct port *port, int64_t now_ns);

/* Playback. How many frames to write now, a multiple of block_frames: normally one block for
 * each tick of that length, 0 when enough is queued, more when ticks were missed, up to 8. Where no card
 * is behind the name, being late by up to 30 ms is no xrun: the frames missed are written all the same,
 * and who has not read yet, as after a standstill of the whole machine, misses nothing. Readers of a
 * cable wait for them (cable/cable.h). It works the same while the device is away (against
 * now_ns), so the owner's media time never stops.
 * 0 while not started. */
size_t port_due(struct port *port, size_t block_frames, int64_t now_ns);

/* Playback. Writes n_frames of the device's channel count, interleaved. What the device has
 * no room for is dropped and counted. Returns 0, or -ENODEV while the device is away (the frames
 * then count as written in real time), -EINVAL on a capture port or more than PORT_BLOCK_MAX. */
int port_write(struct port *port, const int16_t *frames, size_t n_frames, int64_t now_ns);

/* The same from mono float, [-1, 1) full scale, rounded and saturated; duplicated to both
 * channels of a stereo line. */
int port_write_mono(struct port *port, const float *frames, size_t n_frames, int64_t now_ns);

/* The same from a left and a right; a mono line gets their mean. */
int port_write_stereo(struct port *port, const float *left, const float *right, size_t n_frames,
		      int64_t now_ns);

/* Capture. Reads what is there, at most max_frames (and PORT_BLOCK_MAX): returns the number of
 * frames, 0 if there are none or the device is away. Never an error: recovery is the port's. */
size_t port_read(struct port *port, int16_t *frames, size_t max_frames, int64_t now_ns);

/* The same to mono float; a stereo line is averaged. */
size_t port_read_mono(struct port *port, float *frames, size_t max_frames, int64_t now_ns);

/* The same apart: *stereo tells whether the line has two channels; if not, right is left alone. */
size_t port_read_stereo(struct port *port, float *left, float *right, size_t max_frames,
			bool *stereo, int64_t now_ns);

/* Playback: frames between now and the moment the next frame written will be heard.
 * Capture: age of the next frame to be read. 0 while not running. */
size_t port_delay_frames(struct port *port, int64_t now_ns);

/* Poll descriptors, for owners that sleep on the device rather than on a tick. Fill before each
 * poll(), since a reopened port has others; returns how many were filled: 0 while the device is
 * away or stopped. ALSA's descriptors mean nothing by themselves (dmix's and dsnoop's are timers
 * that always say POLLIN), so hand them back to port_poll_ready(), which says whether there really
 * is something to read or room to write. */
unsigned port_poll_fill(struct port *port, struct pollfd *fds, unsigned n_fds);
bool port_poll_ready(struct port *port, struct pollfd *fds, unsigned n_fds);

#endif
