/* SPDX-License-Identifier: MIT
 *
 * port_stream.c - the media side of a port: never blocks, allocates or logs.
 *
 * The rule behind port_due(): at each tick the queue should hold the lead, and one block goes on
 * top. One block a tick is right as long as the queue is within a block of the lead; only
 * outside of that a tick gets none or several. So the steps in which a card's position moves, and
 * ticks that come a little late, change nothing, and a device with another clock costs one block
 * in a while, of media time and not of sound: the owner mixes one block less or more.
 *
 * Where the position is exact (no card), a tick that comes late shows as a queue that is shorter than it
 * would have been in time. By that it is told from a tick that was missed: as many blocks as ticks, wherever
 * in that range the queue is.
 */
#include "alsa/port_private.h"
#include "alsa/s16.h"

#include <errno.h>
#include <string.h>

#define LEAD_GROWTH_FRAMES 96
#define LEAD_SHRINK_FRAMES 48
#define SECOND             1000000000LL
#define LEAD_SHRINK_NS     (30 * SECOND)
#define LEAD_HOLD_NS       (60 * SECOND) /* an xrun is remembered for so long, then for twice as long */
#define LEAD_HOLD_MAX_NS   (480 * SECOND)
#define LEAD_FORGET_NS     (600 * SECOND)
#define DUE_BLOCKS_MAX     8

static int64_t frames_between(int64_t from_ns, int64_t to_ns)
{
	return (to_ns - from_ns) * 3 / 62500; /* 48000 / 1e9 */
}

static int64_t nanoseconds_of(int64_t frames)
{
	return frames * 62500 / 3;
}

static void set_lead(struct port *p, unsigned frames)
{
	unsigned most = p->params.lead_max_frames;

	if (most > p->buffer_frames / 2)
		most = p->buffer_frames / 2;
	if (frames > most)
		frames = most;
	if (frames < p->lead_floor_frames)
		frames = p->lead_floor_frames;
	p->lead_frames = frames;
	atomic_store_explicit(&p->counters.lead, frames, memory_order_relaxed);
}

/* missing: what more would have been needed. Where no lead could have helped, none is asked to. */
static void lead_grow(struct port *p, int64_t missing, int64_t now_ns)
{
	if (p->lead_frames + missing > p->params.lead_max_frames)
		return;
	if (missing < LEAD_GROWTH_FRAMES)
		missing = LEAD_GROWTH_FRAMES;
	set_lead(p, p->lead_frames + (unsigned)missing);
	p->lead_hold_ns = now_ns - p->lead_grown_ns < LEAD_FORGET_NS ? 2 * p->lead_hold_ns : LEAD_HOLD_NS;
	if (p->lead_hold_ns > LEAD_HOLD_MAX_NS)
		p->lead_hold_ns = LEAD_HOLD_MAX_NS;
	p->lead_grown_ns = now_ns;
	p->lead_shrink_ns = now_ns + p->lead_hold_ns;
}

static void lead_shrink(struct port *p, int64_t now_ns)
{
	while (p->lead_frames > p->lead_floor_frames && now_ns >= p->lead_shrink_ns) {
		set_lead(p, p->lead_frames - LEAD_SHRINK_FRAMES);
		p->lead_shrink_ns += LEAD_SHRINK_NS;
	}
}

static void pace_from(struct port *p, int64_t now_ns)
{
	p->pace_start_ns = now_ns;
	p->pace_frames = 0;
}

/* The device is gone: it is the opener's from here on. */
static void give_up(struct port *p, int64_t now_ns)
{
	p->running = false;
	p->after_xrun = false;
	pace_from(p, now_ns);
	port_count(&p->counters.losses, 1);
	atomic_store_explicit(&p->open, 0, memory_order_release);
}

/* After any error of an I/O call: the device stands still and can be started anew (true), or has
 * been given up. snd_pcm_recover() would not do: it does not start a capture again. */
static bool recover(struct port *p, int err, int64_t now_ns)
{
	bool xrun = false;

	p->running = false;
	switch (err) {
	case -EPIPE:
		port_count(&p->counters.xruns, 1);
		xrun = true;
		break;
	case -ESTRPIPE:
		port_count(&p->counters.suspends, 1);
		/* may say -EAGAIN for a while; prepare() works without it as well */
		snd_pcm_resume(p->pcm);
		break;
	case -EBADFD: /* SETUP, after drop() or a drain by somebody else */
		break;
	default:
		give_up(p, now_ns);
		return false;
	}
	if (snd_pcm_prepare(p->pcm) < 0) {
		give_up(p, now_ns);
		return false;
	}
	if (xrun && p->params.direction == PORT_PLAYBACK) {
		int64_t missing = frames_between(p->dry_at_ns, now_ns);

		lead_grow(p, missing, now_ns);
		p->after_xrun = true;
		/* later than its turn: that the lead is shorter by now, or it would be longer for ever */
		p->restart_late = p->exact && p->on_time_frames + missing > 0
					  ? (unsigned)((p->on_time_frames + missing) % p->block_frames)
					  : 0;
	}
	return true;
}

/* Frames that can be read or written, after recovery 0 and *restarted. Negative: given up. */
static snd_pcm_sframes_t available(struct port *p, int64_t now_ns)
{
	/* with hwsync: without it a card's position is that of its last interrupt */
	snd_pcm_sframes_t avail = snd_pcm_avail(p->pcm);

	if (avail >= 0 && snd_pcm_state(p->pcm) == SND_PCM_STATE_DISCONNECTED)
		avail = -ENODEV;
	if (avail >= 0)
		return avail;
	return recover(p, (int)avail, now_ns) ? 0 : -ENODEV;
}

static bool ensure_prepared(struct port *p, int64_t now_ns)
{
	switch (snd_pcm_state(p->pcm)) {
	case SND_PCM_STATE_PREPARED:
		return true;
	case SND_PCM_STATE_DISCONNECTED:
		give_up(p, now_ns);
		return false;
	default:
		if (snd_pcm_prepare(p->pcm) == 0)
			return true;
		give_up(p, now_ns);
		return false;
	}
}

static void capture_start(struct port *p, int64_t now_ns)
{
	int err;

	if (!ensure_prepared(p, now_ns))
		return;
	err = snd_pcm_start(p->pcm);
	if (err < 0)
		recover(p, err, now_ns);
	else
		p->running = true;
}

void port_start(struct port *p, int64_t now_ns)
{
	if (p->wanted)
		return;
	p->wanted = true;
	p->after_xrun = false;
	pace_from(p, now_ns);
	set_lead(p, p->lead_frames); /* as long as what it grew by is remembered */
	lead_shrink(p, now_ns);
	p->late_frames = 0;
	if (p->params.direction == PORT_CAPTURE && port_is_open(p))
		capture_start(p, now_ns);
}

void port_stop(struct port *p)
{
	p->wanted = false;
	if (p->running && port_is_open(p))
		snd_pcm_drop(p->pcm);
	p->running = false;
}

void port_check(struct port *p, int64_t now_ns)
{
	if (port_is_open(p) && !p->running && snd_pcm_state(p->pcm) == SND_PCM_STATE_DISCONNECTED)
		give_up(p, now_ns);
}

/* ---- playback ----------------------------------------------------------------------------- */

/* What is queued; negative while the pace of an absent device is behind the clock. */
static int64_t queued(struct port *p, int64_t now_ns)
{
	if (port_is_open(p) && p->running) {
		snd_pcm_sframes_t avail = available(p, now_ns);

		if (avail >= 0 && p->running)
			return (int64_t)p->buffer_frames - avail;
	}
	if (port_is_open(p))
		return p->lead_frames; /* not started: the first block comes with its lead */
	return (int64_t)p->lead_frames + p->pace_frames - frames_between(p->pace_start_ns, now_ns);
}

/* The device plays on, and `missed` frames of what it should have had were not there. No reason for a longer
 * lead: who reads waits for them. */
static void note_late(struct port *p, int64_t missed)
{
	if (missed > p->late_frames)
		port_count(&p->counters.late, (uint64_t)(missed - p->late_frames));
	p->late_frames = missed;
}

size_t port_due(struct port *p, size_t block_frames, int64_t now_ns)
{
	int64_t have, block = (int64_t)block_frames, lead, blocks, missed = 0, late = 0;

	if (!p->wanted || p->params.direction != PORT_PLAYBACK || block <= 0)
		return 0;
	p->block_frames = block;
	lead_shrink(p, now_ns);
	have = queued(p, now_ns);
	if (port_is_open(p))
		note_late(p, have < 0 ? -have : 0);
	p->dry_at_ns = now_ns + nanoseconds_of(have);
	lead = p->lead_frames;
	if (have + DUE_BLOCKS_MAX * block < lead && !port_is_open(p)) { /* let go of what is past */
		pace_from(p, now_ns);
		have = lead;
	}
	if (p->exact && p->running && have < p->on_time_frames) {
		missed = (p->on_time_frames - have) / block;
		late = (p->on_time_frames - have) % block;
		have = p->on_time_frames;
	}
	if (have >= lead + block)
		blocks = 0;
	else if (have + block > lead)
		blocks = 1;
	else
		blocks = (lead - have + block - 1) / block;
	/* in case the owner's ticks have moved for good, it comes near what is seen */
	p->on_time_frames = have + (blocks - 1) * block - late / 64;
	blocks += missed;
	return (size_t)(blocks > DUE_BLOCKS_MAX ? DUE_BLOCKS_MAX : blocks) * block_frames;
}

/* Gives the device n frames; returns 0 or the error. What does not fit is dropped. */
static int device_write(struct port *p, const int16_t *frames, size_t n)
{
	while (n > 0) {
		snd_pcm_sframes_t done = snd_pcm_writei(p->pcm, frames, n);

		if (done == -EAGAIN || done == 0) {
			port_count(&p->counters.dropped, n);
			return 0;
		}
		if (done < 0)
			return (int)done;
		frames += (size_t)done * port_channels(p);
		n -= (size_t)done;
		port_count(&p->counters.frames, (uint64_t)done);
	}
	return 0;
}

/* Lead, then the frames, then go. */
static int playback_start(struct port *p, const int16_t *frames, size_t n, int64_t now_ns)
{
	static const int16_t silence[PORT_BLOCK_MAX * PORT_CHANNELS_MAX];
	unsigned left;
	int err = 0;

	if (!ensure_prepared(p, now_ns))
		return -ENODEV;
	set_lead(p, p->lead_frames); /* a reopened device may have other limits */
	left = p->lead_frames;
	if (p->after_xrun) {
		left -= p->restart_late < left ? p->restart_late : left;
		port_count(&p->counters.silence, left);
	}
	while (left > 0 && err == 0) {
		unsigned k = left < PORT_BLOCK_MAX ? left : PORT_BLOCK_MAX;

		err = device_write(p, silence, k);
		left -= k;
	}
	if (err == 0)
		err = device_write(p, frames, n);
	if (err == 0)
		err = snd_pcm_start(p->pcm);
	if (err < 0)
		return err;
	p->running = true;
	p->after_xrun = false;
	p->dry_at_ns = now_ns + nanoseconds_of(p->lead_frames);
	return 0;
}

int port_write(struct port *p, const int16_t *frames, size_t n, int64_t now_ns)
{
	int err;

	if (p->params.direction != PORT_PLAYBACK || n > PORT_BLOCK_MAX)
		return -EINVAL;
	if (!p->wanted)
		return 0;
	for (int attempts = 0; attempts < 2 && port_is_open(p); attempts++) {
		err = p->running ? device_write(p, frames, n)
				 : playback_start(p, frames, n, now_ns);
		if (err == 0) {
			p->dry_at_ns += nanoseconds_of((int64_t)n);
			return 0;
		}
		if (port_is_open(p))
			recover(p, err, now_ns);
	}
	if (port_is_open(p)) { /* two xruns in one call: silence until the next one */
		port_count(&p->counters.dropped, n);
		return 0;
	}
	p->pace_frames += (int64_t)n;
	return -ENODEV;
}

int port_write_mono(struct port *p, const float *frames, size_t n, int64_t now_ns)
{
	int16_t mono[PORT_BLOCK_MAX];

	if (n > PORT_BLOCK_MAX)
		return -EINVAL;
	if (port_channels(p) == 1) {
		s16_from_float(p->scratch, frames, n);
	} else {
		s16_from_float(mono, frames, n);
		for (size_t i = 0; i < n; i++)
			p->scratch[2 * i] = p->scratch[2 * i + 1] = mono[i];
	}
	return port_write(p, p->scratch, n, now_ns);
}

int port_write_stereo(struct port *p, const float *left, const float *right, size_t n, int64_t now_ns)
{
	if (n > PORT_BLOCK_MAX)
		return -EINVAL;
	if (port_channels(p) == 1) {
		float mean[PORT_BLOCK_MAX];

		for (size_t i = 0; i < n; i++)
			mean[i] = (left[i] + right[i]) / 2;
		s16_from_float(p->scratch, mean, n);
	} else {
		int16_t two[2][PORT_BLOCK_MAX];

		s16_from_float(two[0], left, n);
		s16_from_float(two[1], right, n);
		for (size_t i = 0; i < n; i++) {
			p->scratch[2 * i] = two[0][i];
			p->scratch[2 * i + 1] = two[1][i];
		}
	}
	return port_write(p, p->scratch, n, now_ns);
}

/* ---- capture ------------------------------------------------------------------------------ */

static void capture_failed(struct port *p, int err, int64_t now_ns)
{
	if (recover(p, err, now_ns))
		capture_start(p, now_ns);
}

/* Throws away all but the newest `keep` of `avail` frames. */
static bool backlog_drop(struct port *p, size_t avail, size_t keep, int64_t now_ns)
{
	while (avail > keep) {
		size_t k = avail - keep < PORT_BLOCK_MAX ? avail - keep : PORT_BLOCK_MAX;
		snd_pcm_sframes_t done = snd_pcm_readi(p->pcm, p->scratch, k);

		if (done == -EAGAIN || done == 0)
			return true;
		if (done < 0) {
			capture_failed(p, (int)done, now_ns);
			return false;
		}
		port_count(&p->counters.dropped, (uint64_t)done);
		avail -= (size_t)done;
	}
	return true;
}

size_t port_read(struct port *p, int16_t *frames, size_t max_frames, int64_t now_ns)
{
	snd_pcm_sframes_t avail, done;

	if (p->params.direction != PORT_CAPTURE || !p->wanted || !port_is_open(p))
		return 0;
	if (!p->running) {
		capture_start(p, now_ns);
		return 0;
	}
	avail = available(p, now_ns);
	if (avail < 0)
		return 0;
	if (!p->running) { /* recovered */
		capture_start(p, now_ns);
		return 0;
	}
	if (avail > (snd_pcm_sframes_t)p->params.backlog_frames) {
		if (!backlog_drop(p, (size_t)avail, port_period_frames(p), now_ns))
			return 0;
		avail = (snd_pcm_sframes_t)port_period_frames(p);
	}
	if (max_frames > PORT_BLOCK_MAX)
		max_frames = PORT_BLOCK_MAX;
	if ((size_t)avail > max_frames)
		avail = (snd_pcm_sframes_t)max_frames;
	if (avail == 0)
		return 0;
	done = snd_pcm_readi(p->pcm, frames, (snd_pcm_uframes_t)avail);
	if (done == -EAGAIN)
		return 0;
	if (done < 0) {
		capture_failed(p, (int)done, now_ns);
		return 0;
	}
	port_count(&p->counters.frames, (uint64_t)done);
	return (size_t)done;
}

size_t port_read_mono(struct port *p, float *frames, size_t max_frames, int64_t now_ns)
{
	size_t n = port_read(p, p->scratch, max_frames, now_ns);

	if (port_channels(p) == 2)
		for (size_t i = 0; i < n; i++)
			frames[i] = (float)(p->scratch[2 * i] + p->scratch[2 * i + 1]) / 65536.0f;
	else
		for (size_t i = 0; i < n; i++)
			frames[i] = (float)p->scratch[i] / 32768.0f;
	return n;
}

size_t port_read_stereo(struct port *p, float *left, float *right, size_t max_frames, bool *stereo,
			int64_t now_ns)
{
	size_t n = port_read(p, p->scratch, max_frames, now_ns);
	unsigned channels = port_channels(p);

	*stereo = channels == 2;
	for (size_t i = 0; i < n; i++)
		left[i] = (float)p->scratch[channels * i] / 32768.0f;
	for (size_t i = 0; *stereo && i < n; i++)
		right[i] = (float)p->scratch[channels * i + 1] / 32768.0f;
	return n;
}

/* ---- both --------------------------------------------------------------------------------- */

/* Finer than what can be read, which comes in steps of a period or a millisecond. */
static snd_pcm_sframes_t age(struct port *p)
{
	snd_pcm_sframes_t frames;

	return snd_pcm_delay(p->pcm, &frames) == 0 ? frames : 0;
}

size_t port_delay_frames(struct port *p, int64_t now_ns)
{
	int64_t frames;

	if (!p->wanted)
		return 0;
	if (p->params.direction == PORT_PLAYBACK)
		frames = queued(p, now_ns);
	else
		frames = port_is_open(p) && p->running ? age(p) : 0;
	return frames < 0 ? 0 : (size_t)frames;
}

unsigned port_poll_fill(struct port *p, struct pollfd *fds, unsigned n_fds)
{
	int n;

	if (!port_is_open(p) || !p->running)
		return 0;
	n = snd_pcm_poll_descriptors_count(p->pcm);
	if (n <= 0 || (unsigned)n > n_fds)
		return 0;
	n = snd_pcm_poll_descriptors(p->pcm, fds, (unsigned)n);
	return n < 0 ? 0 : (unsigned)n;
}

bool port_poll_ready(struct port *p, struct pollfd *fds, unsigned n_fds)
{
	unsigned short revents = 0;

	if (!n_fds || !port_is_open(p) || !p->running)
		return false;
	if (snd_pcm_poll_descriptors_revents(p->pcm, fds, n_fds, &revents) < 0)
		return true; /* let the next read or write find out */
	return revents & (POLLIN | POLLOUT | POLLERR | POLLNVAL | POLLHUP);
}
