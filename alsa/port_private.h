/* SPDX-License-Identifier: MIT
 *
 * port_private.h - what the two halves of a port share: port.c (opener) and port_stream.c (media).
 */
#ifndef ALSA_PORT_PRIVATE_H
#define ALSA_PORT_PRIVATE_H

#include "alsa/port.h"

#include <alsa/asoundlib.h>
#include <stdatomic.h>

#define PORT_ERROR_MAX 512

struct port {
	char *name;
	struct port_params params; /* completed: no zeros; name points to the above */

	/* 1: pcm and the "device" group belong to the media side, 0: to the opener. The opener
	 * turns it on, the media side off. */
	_Atomic int open;
	snd_pcm_t *pcm;

	/* device: written by the opener while it opens; the first two may be read by any thread, the
	 * others by the media side, also while the port is not open (hence atomic) */
	_Atomic unsigned channels, period_frames;
	_Atomic unsigned buffer_frames, lead_floor_frames;
	_Atomic bool exact; /* no card: the position is that of the clock */

	/* opener */
	char error[PORT_ERROR_MAX];
	int64_t opened_ns, next_attempt_ns, backoff_ns;
	bool allow_create;
	bool opened_once;

	/* media side */
	bool wanted;            /* between port_start() and port_stop() */
	bool running;           /* the device is started */
	bool after_xrun;        /* the lead to be written is a repair, not a start */
	unsigned restart_late;  /* frames that the tick that repairs is later than its turn */
	int64_t block_frames;   /* what is written each tick */
	unsigned lead_frames;   /* in force; also read by any thread through counters.lead */
	int64_t lead_grown_ns, lead_hold_ns; /* when last, and for how long at least */
	int64_t lead_shrink_ns; /* when it shrinks next, if nothing happens before */
	int64_t on_time_frames; /* what will be queued at the next tick, if that is not late */
	int64_t dry_at_ns;      /* when what is queued will have been played */
	int64_t late_frames;    /* due and not written yet, as counted */
	/* While the device is away playback is paced against the clock: */
	int64_t pace_start_ns;
	int64_t pace_frames;
	int16_t scratch[PORT_BLOCK_MAX * PORT_CHANNELS_MAX];

	/* written by the media side (reopens and open_failures: opener), read by any thread */
	struct {
		_Atomic uint64_t frames, xruns, suspends, losses, reopens, open_failures, silence,
			dropped, late;
		_Atomic unsigned lead;
	} counters;
};

/* Relaxed: statistics order nothing. */
static inline void port_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
