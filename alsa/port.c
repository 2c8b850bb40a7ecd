/* SPDX-License-Identifier: MIT
 *
 * port.c - the opener's half of a port: opening, configuring and closing its PCM.
 */
#include "alsa/cable/cable.h"
#include "alsa/port_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS                   1000000LL
#define BACKOFF_MIN_NS       (100 * MS)
#define BACKOFF_MAX_NS       (5000 * MS)
#define GOOD_NS              (10000 * MS) /* open for this long: the next loss is a new story */
#define PLAYBACK_BUFFER      4096
#define LEAD_LIMIT_FRAMES    (PORT_RATE / 10)
#define DEFAULT_PERIOD       240
#define DEFAULT_LEAD         192
#define DEFAULT_LEAD_MAX     960
#define DEFAULT_BACKLOG      2400
#define CREATE_KEY           "defaults.pcm.cable.create"

/* alsa-lib explains a failed open by printing to stderr, from deep inside and mostly best in its
 * first words. This collects them for port_error(). */
static _Thread_local char alsa_says[PORT_ERROR_MAX / 2];

__attribute__((format(printf, 5, 0))) static void
collect_message(const char *file, int line, const char *function, int err, const char *format,
		va_list ap)
{
	(void)file;
	(void)line;
	(void)function;
	(void)err;
	if (!alsa_says[0])
		vsnprintf(alsa_says, sizeof(alsa_says), format, ap);
}

__attribute__((format(printf, 3, 4))) static int open_failed(struct port *p, int err,
							     const char *format, ...)
{
	va_list ap;
	int n = snprintf(p->error, sizeof(p->error), "PCM %s (%s): ", p->name,
			 p->params.direction == PORT_PLAYBACK ? "playback" : "capture");

	if (n < 0 || (size_t)n >= sizeof(p->error))
		return err;
	va_start(ap, format);
	vsnprintf(p->error + n, sizeof(p->error) - (size_t)n, format, ap);
	va_end(ap);
	return err;
}

int port_create(struct port **out, const struct port_params *params)
{
	struct port *p;

	if (!params->name || !*params->name || params->lead_frames > LEAD_LIMIT_FRAMES ||
	    params->lead_max_frames > LEAD_LIMIT_FRAMES ||
	    params->period_frames > PORT_BLOCK_MAX ||
	    (params->direction != PORT_PLAYBACK && params->direction != PORT_CAPTURE))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->name = strdup(params->name);
	if (!p->name) {
		free(p);
		return -ENOMEM;
	}
	p->params = *params;
	p->params.name = p->name;
	if (!p->params.period_frames)
		p->params.period_frames = DEFAULT_PERIOD;
	if (!p->params.lead_frames)
		p->params.lead_frames = DEFAULT_LEAD;
	if (!p->params.lead_max_frames)
		p->params.lead_max_frames = DEFAULT_LEAD_MAX;
	if (p->params.lead_max_frames < p->params.lead_frames)
		p->params.lead_max_frames = p->params.lead_frames;
	if (!p->params.backlog_frames)
		p->params.backlog_frames = DEFAULT_BACKLOG;
	p->lead_frames = p->params.lead_frames;
	p->lead_floor_frames = p->params.lead_frames;
	p->block_frames = p->params.period_frames;
	atomic_store(&p->counters.lead, p->lead_frames);
	p->next_attempt_ns = INT64_MIN;
	p->lead_grown_ns = INT64_MIN / 2;
	p->backoff_ns = BACKOFF_MIN_NS;
	*out = p;
	return 0;
}

void port_destroy(struct port *p)
{
	if (!p)
		return;
	if (p->pcm)
		snd_pcm_close(p->pcm);
	free(p->name);
	free(p);
}

void port_allow_create(struct port *p, bool allow)
{
	p->allow_create = allow;
}

const char *port_error(const struct port *p)
{
	return p->error;
}

const char *port_name(const struct port *p)
{
	return p->name;
}

bool port_is_open(const struct port *p)
{
	return atomic_load_explicit(&p->open, memory_order_acquire);
}

unsigned port_channels(const struct port *p)
{
	return atomic_load_explicit(&p->channels, memory_order_relaxed);
}

unsigned port_period_frames(const struct port *p)
{
	return atomic_load_explicit(&p->period_frames, memory_order_relaxed);
}

void port_stats(const struct port *p, struct port_stats *out)
{
	*out = (struct port_stats){
		.frames = atomic_load_explicit(&p->counters.frames, memory_order_relaxed),
		.xruns = atomic_load_explicit(&p->counters.xruns, memory_order_relaxed),
		.suspends = atomic_load_explicit(&p->counters.suspends, memory_order_relaxed),
		.losses = atomic_load_explicit(&p->counters.losses, memory_order_relaxed),
		.reopens = atomic_load_explicit(&p->counters.reopens, memory_order_relaxed),
		.open_failures =
			atomic_load_explicit(&p->counters.open_failures, memory_order_relaxed),
		.silence_frames = atomic_load_explicit(&p->counters.silence, memory_order_relaxed),
		.dropped_frames = atomic_load_explicit(&p->counters.dropped, memory_order_relaxed),
		.late_frames = atomic_load_explicit(&p->counters.late, memory_order_relaxed),
		.lead_frames = atomic_load_explicit(&p->counters.lead, memory_order_relaxed),
	};
}

/* ---- opening ------------------------------------------------------------------------------ */

/* Our own copy of the configuration, in which cables may be created. A key of the configuration
 * and not an environment variable: setenv() beside other threads' getenv() is undefined. */
static int config_with_create(snd_config_t **out, snd_config_t *top)
{
	snd_config_t *node;
	int err = snd_config_copy(out, top);

	if (err < 0)
		return err;
	if (snd_config_search(*out, CREATE_KEY, &node) < 0)
		return 0; /* a configuration without cables */
	err = snd_config_get_type(node) == SND_CONFIG_TYPE_INTEGER
		      ? snd_config_set_integer(node, 1)
		      : snd_config_set_ascii(node, "yes");
	if (err < 0)
		snd_config_delete(*out);
	return err;
}

static int pcm_open(struct port *p)
{
	snd_pcm_stream_t stream = p->params.direction == PORT_PLAYBACK ? SND_PCM_STREAM_PLAYBACK
								       : SND_PCM_STREAM_CAPTURE;
	int mode = SND_PCM_NONBLOCK | SND_PCM_NO_AUTO_RESAMPLE | SND_PCM_NO_AUTO_CHANNELS |
		   SND_PCM_NO_AUTO_FORMAT;
	snd_config_t *top, *own = NULL;
	int err = snd_config_update_ref(&top); /* reads changed files again */

	if (err < 0)
		return err;
	if (p->allow_create)
		err = config_with_create(&own, top);
	if (err >= 0)
		err = snd_pcm_open_lconf(&p->pcm, p->name, stream, mode, own ? own : top);
	if (err < 0)
		p->pcm = NULL;
	if (own)
		snd_config_delete(own);
	snd_config_unref(top);
	return err;
}

/* The channel count is a question to the definition, not a wish: it has 1 or 2, and where it would
 * take both (a bare card) the line is mono. */
static int choose_channels(struct port *p, snd_pcm_hw_params_t *hw, unsigned *channels)
{
	unsigned min = 0, max = 0;

	for (*channels = 1; *channels <= PORT_CHANNELS_MAX; ++*channels)
		if (snd_pcm_hw_params_test_channels(p->pcm, hw, *channels) == 0)
			return snd_pcm_hw_params_set_channels(p->pcm, hw, *channels);
	snd_pcm_hw_params_get_channels_min(hw, &min);
	snd_pcm_hw_params_get_channels_max(hw, &max);
	return open_failed(p, -EINVAL, "has %u to %u channels, a line has 1 or 2", min, max);
}

static int set_hw_params(struct port *p)
{
	bool playback = p->params.direction == PORT_PLAYBACK;
	snd_pcm_uframes_t period = p->params.period_frames, buffer;
	unsigned rate_min = 0, rate_max = 0, channels, lead;
	snd_pcm_hw_params_t *hw;
	int err;

	snd_pcm_hw_params_alloca(&hw);
	err = snd_pcm_hw_params_any(p->pcm, hw);
	if (err < 0)
		return open_failed(p, err, "has no configuration: %s", snd_strerror(err));
	err = snd_pcm_hw_params_set_access(p->pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED);
	if (err < 0)
		return open_failed(p, err, "has no interleaved access");
	err = snd_pcm_hw_params_set_format(p->pcm, hw, SND_PCM_FORMAT_S16_LE);
	if (err < 0)
		return open_failed(p, err, "does not have format S16_LE");
	if (snd_pcm_hw_params_set_rate(p->pcm, hw, PORT_RATE, 0) < 0) {
		snd_pcm_hw_params_get_rate_min(hw, &rate_min, NULL);
		snd_pcm_hw_params_get_rate_max(hw, &rate_max, NULL);
		if (rate_max <= rate_min + 1) /* plug says 44100 to 44101 for 44100 */
			return open_failed(p, -EINVAL, "has rate %u, not %d", rate_min, PORT_RATE);
		return open_failed(p, -EINVAL, "has rates %u to %u, not %d", rate_min, rate_max,
				   PORT_RATE);
	}
	err = choose_channels(p, hw, &channels);
	if (err < 0)
		return err;
	err = snd_pcm_hw_params_set_period_size_near(p->pcm, hw, &period, NULL);
	if (err < 0)
		return open_failed(p, err, "takes no period near %u frames",
				   p->params.period_frames);
	buffer = playback ? PLAYBACK_BUFFER : 2 * p->params.backlog_frames;
	if (buffer < 4 * period)
		buffer = 4 * period;
	err = snd_pcm_hw_params_set_buffer_size_near(p->pcm, hw, &buffer);
	if (err >= 0)
		err = snd_pcm_hw_params(p->pcm, hw);
	if (err < 0)
		return open_failed(p, err, "does not take 48000 Hz, S16_LE, %u channels: %s",
				   channels, snd_strerror(err));
	snd_pcm_hw_params_get_period_size(hw, &period, NULL);
	snd_pcm_hw_params_get_buffer_size(hw, &buffer);
	p->buffer_frames = (unsigned)buffer;
	atomic_store_explicit(&p->channels, channels, memory_order_relaxed);
	atomic_store_explicit(&p->period_frames, (unsigned)period, memory_order_relaxed);
	/* A longer period than wanted is a slave's (dmix): its position moves in steps up to that
	 * size, and a lead below one step would be an xrun at each of them. */
	lead = p->params.lead_frames;
	if (period > p->params.period_frames && period > lead)
		lead = (unsigned)period;
	p->lead_floor_frames = lead > buffer / 2 ? (unsigned)buffer / 2 : lead;
	return 0;
}

/* Programs at both ends, as on the cable: each takes what is there when it comes. */
static bool has_no_card(struct port *p)
{
	snd_pcm_info_t *info;

	snd_pcm_info_alloca(&info);
	return snd_pcm_info(p->pcm, info) >= 0 && snd_pcm_info_get_card(info) < 0;
}

static int set_sw_params(struct port *p)
{
	snd_pcm_sw_params_t *sw;
	snd_pcm_uframes_t boundary;
	int err;

	snd_pcm_sw_params_alloca(&sw);
	err = snd_pcm_sw_params_current(p->pcm, sw);
	if (err >= 0)
		err = snd_pcm_sw_params_get_boundary(sw, &boundary);
	/* never by itself: we start, when the lead is in */
	if (err >= 0)
		err = snd_pcm_sw_params_set_start_threshold(p->pcm, sw, boundary);
	if (err >= 0)
		err = snd_pcm_sw_params_set_avail_min(p->pcm, sw, port_period_frames(p));
	/* When a whole machine stands still for a while, nobody has missed what is written late: so long
	 * a cable's readers wait. */
	p->exact = has_no_card(p);
	if (err >= 0 && p->params.direction == PORT_PLAYBACK && p->exact)
		err = snd_pcm_sw_params_set_stop_threshold(p->pcm, sw, p->buffer_frames + CABLE_LATE_FRAMES);
	if (err < 0)
		return err;
	/* A bare snd-aloop repeats 4 ms of old ring content at an underrun unless the ring is
	 * silenced behind the position. Others may not know this. */
	if (p->params.direction == PORT_PLAYBACK &&
	    (snd_pcm_sw_params_set_silence_threshold(p->pcm, sw, 0) < 0 ||
	     snd_pcm_sw_params_set_silence_size(p->pcm, sw, boundary) < 0 ||
	     snd_pcm_sw_params(p->pcm, sw) < 0)) {
		snd_pcm_sw_params_set_silence_size(p->pcm, sw, 0);
	}
	return snd_pcm_sw_params(p->pcm, sw);
}

static int attempt(struct port *p)
{
	snd_local_error_handler_t before;
	int err;

	alsa_says[0] = 0;
	before = snd_lib_error_set_local(collect_message);
	err = pcm_open(p);
	if (err < 0)
		open_failed(p, err, "%s%s%s", snd_strerror(err), alsa_says[0] ? ": " : "",
			    alsa_says);
	if (err >= 0)
		err = set_hw_params(p);
	if (err >= 0) {
		err = set_sw_params(p);
		if (err < 0)
			open_failed(p, err, "does not take our thresholds: %s", snd_strerror(err));
	}
	if (err < 0 && p->pcm) {
		snd_pcm_close(p->pcm);
		p->pcm = NULL;
	}
	snd_lib_error_set_local(before);
	return err;
}

int port_open(struct port *p, int64_t now_ns)
{
	int err;

	if (port_is_open(p)) {
		if (now_ns - p->opened_ns >= GOOD_NS)
			p->backoff_ns = BACKOFF_MIN_NS;
		return 0;
	}
	if (p->pcm) { /* given up by the media side since we last looked */
		snd_local_error_handler_t before = snd_lib_error_set_local(collect_message);

		snd_pcm_close(p->pcm);
		snd_lib_error_set_local(before);
		p->pcm = NULL;
		/* at once if it had been good; a device that comes and goes is left alone longer */
		p->next_attempt_ns =
			now_ns - p->opened_ns >= GOOD_NS ? now_ns : p->opened_ns + p->backoff_ns;
	}
	if (now_ns < p->next_attempt_ns)
		return -EAGAIN;
	p->next_attempt_ns = now_ns + p->backoff_ns;
	p->backoff_ns = 2 * p->backoff_ns > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : 2 * p->backoff_ns;
	err = attempt(p);
	if (err < 0) {
		port_count(&p->counters.open_failures, 1);
		return err;
	}
	p->error[0] = 0;
	p->opened_ns = now_ns;
	if (p->opened_once)
		port_count(&p->counters.reopens, 1);
	p->opened_once = true;
	atomic_store_explicit(&p->open, 1, memory_order_release);
	return 0;
}
