/* SPDX-License-Identifier: MIT
 *
 * pcm_cable.c - `type cable`: the embedded loopback as a PCM of alsa-lib (an ioplug).
 *
 * What a cable is says cable.h; how to define one in an ALSA configuration says cable.conf. This
 * file turns ALSA's pointers into cable frames and back, and wakes people up.
 *
 * A stream is put on the clock when it is triggered: stream frame 0 is the cable frame of that
 * moment, the hardware pointer is what has gone by since; a reader's waits for writers who are late.
 * One timerfd per handle is armed for the frame at which the application would be woken; it is level
 * triggered and never read, since setting it anew clears it. Who has never asked for descriptors has a
 * clock of his own, as our services have: for him it is left alone (a system call for each block moved).
 *
 * Errors inside the audio path are -ENODEV (the file is gone or cut) and become state
 * DISCONNECTED, which is how a pulled-out card looks to applications.
 */
#include "alsa/cable/cable.h"
#include "alsa/cable/pcm_cable_conf.h"

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PERIOD_MIN_FRAMES 32
#define CHECK_FRAMES      CABLE_RATE /* look once a second whether the file is still the one */
#define BOUNDARY_NONE     ((snd_pcm_uframes_t)1 << 62)

struct pcm_cable {
	snd_pcm_ioplug_t io;
	struct cable_join cables; /* one, or several as one */
	unsigned channels;

	int64_t start;   /* cable frame of stream frame 0; -1: not running */
	int64_t elapsed; /* while not running: frames that had gone by when it stopped */
	int64_t applied; /* io.appl_ptr unwrapped, valid for seen_appl */
	snd_pcm_uframes_t seen_appl;
	int64_t next_check; /* cable frame */
	bool gone;
	bool polled; /* the application has asked for descriptors */

	snd_pcm_uframes_t boundary, avail_min;
	bool free_running; /* stop_threshold >= boundary: never an xrun */
	int64_t behind;    /* frames beyond an empty (a full) buffer that are no xrun yet */
	int64_t step;      /* capture: the pointer moves by this many frames */
	int64_t told;      /* capture: where the application has seen it, it does not go back */
};

static bool is_playback(const struct pcm_cable *p)
{
	return p->io.stream == SND_PCM_STREAM_PLAYBACK;
}

/* The application's position. rewind() and forward() move appl_ptr without telling us, so the
 * 64-bit position is kept by the difference to where it was seen last. */
static int64_t position_applied(struct pcm_cable *p)
{
	int64_t boundary = (int64_t)p->boundary;
	int64_t moved = (int64_t)p->io.appl_ptr - (int64_t)p->seen_appl;

	if (moved > boundary / 2)
		moved -= boundary;
	else if (moved < -boundary / 2)
		moved += boundary;
	p->seen_appl = p->io.appl_ptr;
	return p->applied += moved;
}

/* Frames that have gone by since the trigger. */
static int64_t position_elapsed(const struct pcm_cable *p)
{
	return p->start < 0 ? p->elapsed : cable_frame_now() - p->start;
}

/* Gives up: from here on the application gets -ENODEV from everything. */
static int lost(struct pcm_cable *p)
{
	p->gone = true;
	snd_pcm_ioplug_set_state(&p->io, SND_PCM_STATE_DISCONNECTED);
	return -ENODEV;
}

/* The same as the application is told. Writers get the exact position. A reader is told what is there for
 * him, see cable_ready(); and in steps of about 1 ms: one that takes what there is and asks again would
 * find one more frame each time round, for ever. Writers can make no such loop. */
static int64_t position_told(struct pcm_cable *p)
{
	int64_t elapsed = position_elapsed(p), ready;

	if (is_playback(p))
		return elapsed;
	if (p->start < 0 || p->gone)
		return p->told;
	ready = cable_join_ready(&p->cables, p->start + elapsed);
	if (ready < 0)
		lost(p);
	else if ((ready - p->start) / p->step * p->step > p->told)
		p->told = (ready - p->start) / p->step * p->step;
	return p->told;
}

/* Capture: when to wake a reader whose position is `applied`. Not at applied + avail_min: alsa-lib
 * takes what is there first and then waits for a whole avail_min again, so each lateness would
 * be added to the delay of all that follows, up to one period. Real cards wake at multiples of
 * the period, and so do we. */
static int64_t capture_ready_at(const struct pcm_cable *p, int64_t applied)
{
	int64_t period = (int64_t)p->io.period_size;
	int64_t ready = applied + (int64_t)p->avail_min;

	if (period > 0 && (int64_t)p->avail_min <= period) {
		int64_t edge = (applied / period + 1) * period;

		if (edge < ready)
			ready = edge;
	}
	return (ready + p->step - 1) / p->step * p->step;
}

/* The same, but later while a writer is waited for: he is asked for again and again. */
static int64_t capture_wake_at(struct pcm_cable *p, int64_t applied)
{
	int64_t ready = capture_ready_at(p, applied), elapsed = position_elapsed(p);

	return elapsed < ready || position_told(p) >= ready ? ready : elapsed + p->step;
}

static int64_t playback_avail(const struct pcm_cable *p, int64_t applied, int64_t elapsed)
{
	return (int64_t)p->io.buffer_size - (applied - elapsed);
}

/* Sets the timer for an application at position `applied`. */
static void timer_arm(struct pcm_cable *p, int64_t applied)
{
	struct itimerspec when = {0};

	if (!p->polled)
		return;
	if (p->start >= 0) {
		int64_t target, ns;

		if (!is_playback(p))
			target = capture_wake_at(p, applied);
		else if (p->io.state == SND_PCM_STATE_DRAINING)
			target = applied;
		else
			target = applied + (int64_t)p->avail_min - (int64_t)p->io.buffer_size;
		ns = cable_time_ns(p->start + target);
		if (ns < 1)
			ns = 1; /* 0 would disarm */
		when.it_value.tv_sec = ns / 1000000000;
		when.it_value.tv_nsec = ns % 1000000000;
	} else if (is_playback(p) &&
		   playback_avail(p, applied, p->elapsed) >= (int64_t)p->avail_min) {
		when.it_value.tv_nsec = 1; /* not started yet: writable now */
	}
	timerfd_settime(p->io.poll_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- callbacks ---------------------------------------------------------------------------- */

static int cable_cb_start(snd_pcm_ioplug_t *io)
{
	struct pcm_cable *p = io->private_data;
	int64_t now = cable_frame_now();

	if (is_playback(p) && cable_join_start(&p->cables, now) < 0)
		return lost(p);
	p->start = now;
	p->next_check = now + CHECK_FRAMES;
	timer_arm(p, position_applied(p));
	return 0;
}

/* Drop, close, the end of a drain; may come twice. What was queued beyond now is not played. */
static int cable_cb_stop(snd_pcm_ioplug_t *io)
{
	struct pcm_cable *p = io->private_data;

	p->elapsed = position_elapsed(p);
	if (is_playback(p) && p->start >= 0)
		cable_join_stop(&p->cables, p->elapsed);
	p->start = -1;
	timer_arm(p, position_applied(p));
	return 0;
}

/* In any state from PREPARED on, very often. A negative value would become XRUN; a lost cable
 * has to be a state, set from in here. */
static snd_pcm_sframes_t cable_cb_pointer(snd_pcm_ioplug_t *io)
{
	struct pcm_cable *p = io->private_data;
	int64_t elapsed = position_told(p), applied = position_applied(p);

	if (p->start >= 0 && p->start + elapsed >= p->next_check) {
		p->next_check = p->start + elapsed + CHECK_FRAMES;
		if (cable_join_check(&p->cables) < 0)
			lost(p);
	}
	if (p->gone) {
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
		return (snd_pcm_sframes_t)io->hw_ptr;
	}
	if (is_playback(p)) {
		if (io->state == SND_PCM_STATE_DRAINING) {
			if (elapsed > applied)
				elapsed = applied;
		} else if (elapsed > applied + p->behind && !p->free_running) {
			return -EPIPE;
		}
	} else if (position_elapsed(p) - applied > (int64_t)io->buffer_size + p->behind &&
		   !p->free_running) {
		return -EPIPE; /* by the clock, also while a writer is waited for: the ring is not longer */
	}
	return (snd_pcm_sframes_t)((uint64_t)elapsed % p->boundary);
}

/* Without the PCM's lock, from any state; ALSA's pointers are zero already. A fresh slot, so that
 * readers that lag can still hear the end of the stream before. */
static int cable_cb_prepare(snd_pcm_ioplug_t *io)
{
	struct pcm_cable *p = io->private_data;
	int err = 0;

	if (p->gone || cable_join_check(&p->cables) < 0)
		return lost(p);
	p->start = -1;
	p->elapsed = p->applied = p->told = 0;
	p->seen_appl = io->appl_ptr;
	if (is_playback(p))
		err = cable_join_claim(&p->cables, cable_frame_now());
	if (err == -ENODEV)
		return lost(p);
	if (err < 0)
		return err; /* -EBUSY: 16 others play into it */
	timer_arm(p, 0);
	return 0;
}

/* Moves frames at the application's position, which is still the old one while we are called.
 * Capture through mmap comes here on each mmap_begin, perhaps twice for the same frames: nothing
 * but appl_ptr says where we are. */
static snd_pcm_sframes_t cable_cb_transfer(snd_pcm_ioplug_t *io,
					   const snd_pcm_channel_area_t *areas,
					   snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct pcm_cable *p = io->private_data;
	/* interleaved is all we offer: the first channel's area starts every frame */
	int16_t *frames = (int16_t *)areas->addr + areas->first / 16 + offset * p->channels;
	int64_t at = position_applied(p);
	int err;

	if (p->gone)
		return -ENODEV;
	if (is_playback(p))
		err = cable_join_write(&p->cables, at, frames, size);
	else if (p->start >= 0)
		err = cable_join_read(&p->cables, p->start + at, frames, size);
	else
		err = -EBADFD;
	if (err == -ENODEV)
		return lost(p);
	if (err < 0)
		return err;
	timer_arm(p, at + (int64_t)size);
	return (snd_pcm_sframes_t)size;
}

static int cable_cb_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	struct pcm_cable *p = io->private_data;
	/* steps of about 1 ms that divide the period, so that period edges are hit exactly */
	snd_pcm_uframes_t steps = io->period_size * 1000 / io->rate;

	(void)params;
	while (steps > 1 && io->period_size % steps)
		steps--;
	p->step = (int64_t)(io->period_size / (steps ? steps : 1));
	return 0;
}

/* Called by every hw_params too. The only place that tells boundary and thresholds; ioplug itself
 * does not look at stop_threshold. One above the buffer's size lets a writer be late: what he writes for
 * frames that are due already is heard by all who read later than he writes. */
static int cable_cb_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
	struct pcm_cable *p = io->private_data;
	snd_pcm_uframes_t stop;

	snd_pcm_sw_params_get_boundary(params, &p->boundary);
	snd_pcm_sw_params_get_avail_min(params, &p->avail_min);
	snd_pcm_sw_params_get_stop_threshold(params, &stop);
	p->free_running = stop >= p->boundary;
	p->behind = stop > io->buffer_size ? (int64_t)(stop - io->buffer_size) : 0;
	return 0;
}

static int cable_cb_poll_count(snd_pcm_ioplug_t *io)
{
	(void)io;
	return 1;
}

/* Called before each wait of alsa-lib's own: so the timer is always right for it. */
static int cable_cb_poll_descriptors(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned space)
{
	struct pcm_cable *p = io->private_data;

	if (space < 1)
		return 0;
	p->polled = true;
	timer_arm(p, position_applied(p));
	*fds = (struct pollfd){.fd = io->poll_fd, .events = POLLIN | POLLERR | POLLNVAL};
	return 1;
}

/* The timer says POLLIN for both directions; a playback stream that passed that on would hang
 * aplay. 0 means: go on waiting. */
static int cable_cb_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned n,
				 unsigned short *revents)
{
	struct pcm_cable *p = io->private_data;
	int64_t elapsed = position_told(p), applied = position_applied(p);

	*revents = 0;
	if (n < 1 || !(fds->revents & (POLLIN | POLLERR | POLLNVAL)))
		return 0;
	if (io->state == SND_PCM_STATE_RUNNING || io->state == SND_PCM_STATE_DRAINING)
		cable_cb_pointer(io); /* notices that the cable has gone, for those who only poll */
	if (p->gone || io->state == SND_PCM_STATE_XRUN) {
		*revents = POLLERR;
		return 0;
	}
	if (is_playback(p)) {
		/* draining: there is room from the start, but the end is what is waited for */
		if (io->state == SND_PCM_STATE_DRAINING
			    ? elapsed >= applied
			    : playback_avail(p, applied, elapsed) >= (int64_t)p->avail_min)
			*revents = POLLOUT;
	} else if (p->start >= 0 && elapsed >= capture_ready_at(p, applied)) {
		*revents = POLLIN;
	}
	if (!*revents)
		timer_arm(p, applied);
	return 0;
}

static int cable_cb_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *delay)
{
	struct pcm_cable *p = io->private_data;
	int64_t elapsed = position_elapsed(p), applied = position_applied(p);

	if (p->gone)
		return -ENODEV;
	*delay = (snd_pcm_sframes_t)(is_playback(p) ? applied - elapsed : elapsed - applied);
	return 0;
}

static int cable_cb_close(snd_pcm_ioplug_t *io)
{
	struct pcm_cable *p = io->private_data;

	cable_join_close(&p->cables);
	close(io->poll_fd);
	free(p);
	return 0;
}

static void cable_cb_dump(snd_pcm_ioplug_t *io, snd_output_t *out)
{
	snd_output_printf(out, "Cable PCM, %s\n", io->name);
	if (io->pcm && snd_pcm_state(io->pcm) != SND_PCM_STATE_OPEN) {
		snd_output_printf(out, "Its setup is:\n");
		snd_pcm_dump_setup(io->pcm, out);
	}
}

/* No drain: alsa-lib then polls us until the pointer has reached the application's, which also is
 * right for non-blocking handles. No pause and no resume: their mere presence would advertise
 * them. */
static const snd_pcm_ioplug_callback_t callbacks = {
	.start = cable_cb_start,
	.stop = cable_cb_stop,
	.pointer = cable_cb_pointer,
	.transfer = cable_cb_transfer,
	.close = cable_cb_close,
	.hw_params = cable_cb_hw_params,
	.sw_params = cable_cb_sw_params,
	.prepare = cable_cb_prepare,
	.poll_descriptors_count = cable_cb_poll_count,
	.poll_descriptors = cable_cb_poll_descriptors,
	.poll_revents = cable_cb_poll_revents,
	.dump = cable_cb_dump,
	.delay = cable_cb_delay,
};

/* ---- opening ------------------------------------------------------------------------------ */

static int set_constraints(struct pcm_cable *p)
{
	static const unsigned access[] = {
		SND_PCM_ACCESS_RW_INTERLEAVED,
		SND_PCM_ACCESS_MMAP_INTERLEAVED, /* what plug and route use on their slave */
	};
	static const unsigned format[] = {SND_PCM_FORMAT_S16_LE};
	unsigned frame_bytes = p->channels * 2;
	const struct {
		int type;
		unsigned min, max;
	} ranges[] = {
		{SND_PCM_IOPLUG_HW_CHANNELS, p->channels, p->channels},
		{SND_PCM_IOPLUG_HW_RATE, CABLE_RATE, CABLE_RATE},
		{SND_PCM_IOPLUG_HW_PERIOD_BYTES, PERIOD_MIN_FRAMES * frame_bytes,
		 CABLE_BUFFER_MAX / 2 * frame_bytes},
		{SND_PCM_IOPLUG_HW_BUFFER_BYTES, 2 * PERIOD_MIN_FRAMES * frame_bytes,
		 CABLE_BUFFER_MAX * frame_bytes},
		{SND_PCM_IOPLUG_HW_PERIODS, 2, CABLE_BUFFER_MAX / PERIOD_MIN_FRAMES},
	};
	int err = snd_pcm_ioplug_set_param_list(&p->io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);

	if (err >= 0)
		err = snd_pcm_ioplug_set_param_list(&p->io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
	for (size_t i = 0; err >= 0 && i < sizeof(ranges) / sizeof(ranges[0]); i++)
		err = snd_pcm_ioplug_set_param_minmax(&p->io, ranges[i].type, ranges[i].min,
						      ranges[i].max);
	return err;
}

/* The two symbols that alsa-lib looks up; all others stay inside (-fvisibility=hidden). */
#pragma GCC visibility push(default)
SND_PCM_PLUGIN_DEFINE_FUNC(cable); /* what the macro defines has no prototype elsewhere */
SND_PCM_PLUGIN_DEFINE_FUNC(cable)
{
	struct pcm_cable *p = calloc(1, sizeof(*p));
	int err;

	(void)root;
	if (!p)
		return -ENOMEM;
	err = cable_pcm_open(&p->cables, conf, stream);
	if (err < 0) {
		free(p);
		return err;
	}
	p->channels = cable_join_channels(&p->cables);
	p->start = -1;
	p->step = 1;
	p->avail_min = 1;
	p->boundary = BOUNDARY_NONE;
	/* MONOTONIC: our time stamps are of that clock. BOUNDARY_WA: the pointer wraps at boundary,
	 * without which being late by more than a buffer would look like being early, and an xrun
	 * would pass as garbled sound. */
	p->io.version = SND_PCM_IOPLUG_VERSION;
	p->io.name = "loopback of programs";
	p->io.flags = SND_PCM_IOPLUG_FLAG_LISTED | SND_PCM_IOPLUG_FLAG_MONOTONIC |
		      SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
	p->io.callback = &callbacks;
	p->io.private_data = p;
	p->io.poll_events = POLLIN;
	p->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->io.poll_fd < 0) {
		err = -errno;
		goto out;
	}
	err = snd_pcm_ioplug_create(&p->io, name, stream, mode);
	if (err < 0)
		goto out;
	err = set_constraints(p);
	if (err < 0) {
		snd_pcm_ioplug_delete(&p->io); /* calls our close */
		return err;
	}
	*pcmp = p->io.pcm;
	return 0;

out:
	if (p->io.poll_fd >= 0)
		close(p->io.poll_fd);
	cable_join_close(&p->cables);
	free(p);
	return err;
}

SND_PCM_PLUGIN_SYMBOL(cable);
#pragma GCC visibility pop
