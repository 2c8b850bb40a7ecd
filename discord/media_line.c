/* SPDX-License-Identifier: MIT
 *
 * media_line.c - see media_line.h.
 */
#include "discord/media_line.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alsa/mixer.h"
#include "alsa/port.h"
#include "alsa/stage.h"
#include "common/clock.h"
#include "discord/dave/media.h"
#include "discord/rtp.h"

#define NEVER            INT64_MAX
#define BLOCK            MEDIA_BLOCK_FRAMES
#define BLOCK_NS         (BLOCK * NS_PER_SEC / RTP_CLOCK_HZ)
#define FRAME_NS         (20 * NS_PER_MS)
#define POLL_MIN_NS      NS_PER_MS /* capture that is not there yet is asked for again after */
/* So late nobody wakes on a machine that has not stood still. Then packets that came meanwhile are only about
 * to be handed to us: they are waited for, once. */
#define LATE_NS          (3 * NS_PER_MS)
#define PLAY_HOLD_NS     NS_PER_MS
#define FOLLOW_STEPS     64         /* wake-ups that took blocks, for the earliest of them to show */
#define FOLLOW_NS        NS_PER_MS
#define HANGOVER_NS      (2 * NS_PER_SEC)
#define FIGURES_EVERY_NS NS_PER_SEC
#define SHOWN_NS         (10 * NS_PER_SEC) /* after that the state does not show a speaker's delay any more */

struct media_line {
	struct media_line_config config;
	struct voice_udp_ops ops; /* the owner's, with our on_packet */
	struct voice_udp *path;
	struct talker *talker;
	struct voices *voices;
	struct mixer *mixer[2]; /* all, or left and right */
	struct limiter limiter;
	unsigned calls;

	bool capturing, playing;
	int64_t capture_at_ns;
	bool play_held; /* once, after a standstill */
	int64_t play_at_ns;  /* when the next block is due */
	int64_t sound_ns;    /* its nominal time */
	int64_t least_late_ns; /* of wake-ups after it, lately */
	unsigned followed;
	int64_t figures_at_ns;
	int64_t next_ns; /* what the last step asked for */

	struct stage_turn stamp_capture, stamp_playback;
	struct media_line_stats stats;
};

/* ---- incoming ---------------------------------------------------------------------------- */

static void on_packet(void *ctx, const struct rtp_header *header, const uint8_t *payload,
		      size_t bytes, int64_t arrival_ns)
{
	struct media_line *l = ctx;
	voices_packet(l->voices, header, payload, bytes, arrival_ns);
}

static void on_discovered(void *ctx, unsigned generation, const char *address, uint16_t port)
{
	struct media_line *l = ctx;
	l->config.ops->on_discovered(l->config.ctx, generation, address, port);
}

static void on_discovery_failed(void *ctx, unsigned generation)
{
	struct media_line *l = ctx;
	l->config.ops->on_discovery_failed(l->config.ctx, generation);
}

static void on_dead(void *ctx, unsigned generation, enum voice_dead why)
{
	struct media_line *l = ctx;
	l->config.ops->on_dead(l->config.ctx, generation, why);
}

void media_line_speaker(struct media_line *l, uint64_t user_id, uint32_t ssrc, bool ignored,
			int64_t now_ns)
{
	voices_name(l->voices, user_id, ssrc, ignored, now_ns);
}

void media_line_left(struct media_line *l, uint64_t user_id, int64_t now_ns)
{
	voices_left(l->voices, user_id, now_ns);
}

struct speaker *media_line_decoder(struct media_line *l, struct speaker *decoder)
{
	struct speaker *old = voices_decoder(l->voices, decoder);
	unsigned stereo;
	l->stats.decoders = voices_decoders(l->voices, &stereo);
	l->stats.stereo_decoders = stereo;
	return old;
}

/* ---- life -------------------------------------------------------------------------------- */

int media_line_create(struct media_line **out, const struct media_line_config *config)
{
	struct media_line *l = calloc(1, sizeof(*l));
	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->config = *config;
	l->ops = (struct voice_udp_ops){.on_packet = on_packet,
					.on_discovered = on_discovered,
					.on_discovery_failed = on_discovery_failed,
					.on_dead = on_dead};
	int err = talker_create(&l->talker, config->fec);
	if (err == 0)
		err = voices_create(&l->voices, config->dave);
	if (err == 0)
		err = mixer_create(&l->mixer[0], BLOCK);
	if (err == 0)
		err = mixer_create(&l->mixer[1], BLOCK);
	if (err < 0) {
		media_line_destroy(l);
		return err;
	}
	limiter_init(&l->limiter, RTP_CLOCK_HZ);
	l->stats.udp_rtt_ns = -1;
	*out = l;
	return 0;
}

void media_line_destroy(struct media_line *l)
{
	if (!l)
		return;
	talker_destroy(l->talker);
	mixer_destroy(l->mixer[0]);
	mixer_destroy(l->mixer[1]);
	voices_destroy(l->voices);
	voice_udp_destroy(l->path);
	free(l);
}

/* ---- what runs --------------------------------------------------------------------------- */

static void capture_want(struct media_line *l, bool on, int64_t now_ns)
{
	if (on == l->capturing)
		return;
	l->capturing = on;
	l->stats.capturing = on;
	l->capture_at_ns = on ? now_ns : NEVER;
	if (on)
		port_start(l->config.capture, now_ns);
	else
		port_stop(l->config.capture);
}

static void playback_want(struct media_line *l, bool on, int64_t now_ns)
{
	if (on == l->playing)
		return;
	l->playing = on;
	l->stats.playing = on;
	/* on a grid that all lines share: one wake serves them all */
	l->sound_ns = (now_ns / BLOCK_NS + 1) * BLOCK_NS;
	l->play_at_ns = on ? l->sound_ns : NEVER;
	l->least_late_ns = INT64_MAX;
	l->followed = 0;
	if (on)
		port_start(l->config.playback, now_ns);
	else
		port_stop(l->config.playback);
}

static void wants_update(struct media_line *l, int64_t now_ns)
{
	bool media = l->path && voice_udp_has_key(l->path);
	capture_want(l, media, now_ns);
	playback_want(l, media && (l->calls > 0 || now_ns - voices_heard_ns(l->voices) < HANGOVER_NS), now_ns);
}

struct voice_udp *media_line_path(struct media_line *l, struct voice_udp *path, int64_t now_ns)
{
	struct voice_udp *old = l->path;
	voices_forget(l->voices);
	l->path = path;
	l->stats.in_channel = path;
	l->stats.udp_rtt_ns = -1;
	if (path)
		voice_udp_ops_set(path, &l->ops, l);
	wants_update(l, now_ns);
	return old;
}

struct transport_cipher *media_line_key(struct media_line *l, unsigned generation,
					struct transport_cipher *cipher, int64_t now_ns)
{
	if (!l->path || voice_udp_generation(l->path) != generation)
		return cipher;
	struct transport_cipher *old = voice_udp_key(l->path, cipher);
	if (!old)
		talker_restart(l->talker, now_ns);
	wants_update(l, now_ns);
	return old;
}

void media_line_calls(struct media_line *l, unsigned calls, int64_t now_ns)
{
	l->calls = calls;
	wants_update(l, now_ns);
}

/* ---- outgoing ---------------------------------------------------------------------------- */

struct sending {
	struct media_line *line;
	int64_t now_ns;
	bool sound; /* a packet of it went out */
};

static void on_emit(void *ctx, uint32_t timestamp, const uint8_t *opus, size_t bytes, bool silence)
{
	struct sending *sending = ctx;
	struct media_line *l = sending->line;
	uint8_t sealed[TALKER_PACKET_BYTES_MAX + DAVE_FRAME_OVERHEAD];
	size_t sealed_bytes;
	sending->sound |= !silence;
	if (dave_media_encrypt(l->config.dave, sending->now_ns, opus, bytes, sealed, sizeof(sealed),
			       &sealed_bytes) != 0) {
		l->stats.packets_not_sent++; /* alone in the channel: no key, nobody to hear it */
		return;
	}
	if (voice_udp_send(l->path, timestamp, sealed, sealed_bytes, sending->now_ns) < 0) {
		l->stats.packets_not_sent++;
		return;
	}
	l->stats.packets_sent++;
	if (l->config.on_sent)
		l->config.on_sent(l->config.ctx);
}

/* How old the end of the packet is that has just gone out. */
static void capture_stamp(struct media_line *l, int64_t now_ns)
{
	budget_stamp(&l->stats.framing, stage_frames_ns(talker_holds(l->talker)));
	stage_stamp_port(&l->stats.from_loopback, &l->stamp_capture, STAGE_EVERY_FRAME, l->config.capture,
			 now_ns);
}

static void capture_step(struct media_line *l, int64_t now_ns)
{
	float left[RTP_FRAME_SAMPLES], right[RTP_FRAME_SAMPLES];
	struct sending sending = {l, now_ns, false};
	bool stereo;
	size_t n;
	for (int i = 0; i < 8; i++) { /* bounded: the port drops a backlog by itself */
		n = port_read_stereo(l->config.capture, left, right, RTP_FRAME_SAMPLES, &stereo,
				     now_ns);
		if (n == 0)
			break;
		talker_push(l->talker, left, stereo ? right : NULL, n, now_ns, on_emit, &sending);
	}
	if (sending.sound)
		capture_stamp(l, now_ns);
	size_t wants = talker_wants(l->talker);
	int64_t wait_ns = stage_frames_ns(wants);
	if (wants == 0)
		wait_ns = FRAME_NS; /* silent: a frame begins no sooner than its first sample */
	else if (wait_ns > BLOCK_NS && port_period_frames(l->config.capture) > BLOCK)
		wait_ns = BLOCK_NS; /* the position moves in steps longer than ours */
	if (wait_ns < POLL_MIN_NS)
		wait_ns = POLL_MIN_NS;
	l->capture_at_ns = now_ns + wait_ns;
}

/* A speaker has the channels that the line had when he turned up. */
static void speaker_mix(struct media_line *l, struct speaker *speaker, int64_t at_ns, bool stereo)
{
	float sound[2 * BLOCK];
	bool apart = speaker_channels(speaker) == 2;
	if (!speaker_pull(speaker, at_ns, sound, BLOCK))
		return;
	for (int i = 0; apart && !stereo && i < BLOCK; i++)
		sound[i] = (sound[i] + sound[BLOCK + i]) / 2;
	mixer_add(l->mixer[0], sound);
	if (stereo)
		mixer_add(l->mixer[1], apart ? sound + BLOCK : sound);
}

static void block_play(struct media_line *l, int64_t at_ns, int64_t now_ns)
{
	float left[BLOCK], right[BLOCK];
	bool stereo = port_channels(l->config.playback) == 2;
	mixer_begin(l->mixer[0]);
	if (stereo)
		mixer_begin(l->mixer[1]);
	uint64_t user_id;
	struct speaker *speaker;
	for (unsigned i = 0; (speaker = voices_next(l->voices, &i, &user_id));)
		speaker_mix(l, speaker, at_ns, stereo);
	mixer_sum(l->mixer[0], left);
	if (!stereo) {
		limiter_run(&l->limiter, left, BLOCK);
		port_write_mono(l->config.playback, left, BLOCK, now_ns);
		return;
	}
	mixer_sum(l->mixer[1], right);
	limiter_run_linked(&l->limiter, left, right, BLOCK);
	port_write_stereo(l->config.playback, left, right, BLOCK, now_ns);
}

/* Less than that is left to the clock loops, as what it may be: a device's own clock. */
#define SHIFT_NS (NS_PER_MS / 2)

static void sound_shift(struct media_line *l, int64_t by_ns)
{
	struct speaker *speaker;
	uint64_t user_id;
	l->sound_ns += by_ns;
	if (by_ns < SHIFT_NS && by_ns > -SHIFT_NS)
		return;
	for (unsigned i = 0; (speaker = voices_next(l->voices, &i, &user_id));)
		speaker_shift(speaker, by_ns);
}

/*
 * Blocks have nominal times, one after the other, so that late wake-ups do not look like jitter to the
 * playout buffers. But none may be later than the wake-up that takes it: a card, whose position moves
 * in steps longer than a block, takes two at once, and what arrives only within the second one's time
 * would never be in time for it: the end of every packet would be made up. So they follow the
 * earliest wake-ups.
 */
static void follow_the_clock(struct media_line *l, size_t blocks, int64_t now_ns)
{
	int64_t late_ns = now_ns - (l->sound_ns + (int64_t)(blocks - 1) * BLOCK_NS);

	if (late_ns < 0 || late_ns >= 4 * BLOCK_NS) {
		sound_shift(l, late_ns);
		late_ns = 0;
	}
	if (late_ns < l->least_late_ns)
		l->least_late_ns = late_ns;
	if (++l->followed < FOLLOW_STEPS)
		return;
	if (l->least_late_ns >= FOLLOW_NS) /* a slow device */
		sound_shift(l, l->least_late_ns);
	l->followed = 0;
	l->least_late_ns = INT64_MAX;
}

static void playback_step(struct media_line *l, int64_t now_ns)
{
	size_t blocks = port_due(l->config.playback, BLOCK, now_ns) / BLOCK;
	if (blocks > 0)
		follow_the_clock(l, blocks, now_ns);
	if (blocks > 0)
		stage_stamp_port(&l->stats.to_loopback, &l->stamp_playback, STAGE_EVERY_BLOCK,
				 l->config.playback, now_ns);
	for (; blocks > 0; blocks--) {
		/* the block's first sample was due a block before its last */
		budget_stamp(&l->stats.mixing, now_ns - l->sound_ns + BLOCK_NS);
		block_play(l, l->sound_ns, now_ns);
		l->sound_ns += BLOCK_NS;
	}
	l->play_at_ns = l->sound_ns > now_ns ? l->sound_ns : now_ns + POLL_MIN_NS;
}

static void voice_show(struct media_voice *voice, uint64_t user_id, const struct speaker_stats *s)
{
	voice->framing_ns = stage_frames_ns(s->frame);
	voice->jitter_ns = s->playout.jitter_ns;
	voice->delay_ns = s->playout.delay_ns;
	voice->resampling_ns = s->playout.resampler_ns;
	voice->gain_db_tenths = (int)lrint(s->gain_db * 10);
	voice->user_id = user_id;
}

static void figures_update(struct media_line *l, int64_t now_ns)
{
	struct voice_udp_stats u;
	struct talker_stats t;
	struct speaker_stats s;
	uint64_t lost = 0, concealed = 0, late = 0, user_id;
	struct speaker *speaker;
	unsigned voices = 0;
	l->stats.speakers = voices_expire(l->voices, now_ns);
	if (l->path) {
		voice_udp_stats(l->path, &u);
		l->stats.packets_received = u.received;
		l->stats.packets_opened = u.opened;
		l->stats.packets_tampered = u.tampered;
		l->stats.udp_rtt_ns = u.rtt_ns;
	}
	for (unsigned i = 0; (speaker = voices_next(l->voices, &i, &user_id));) {
		speaker_stats(speaker, &s);
		lost += s.lost;
		concealed += s.playout.concealed;
		late += s.late + s.playout.late;
		if (s.playout.playing)
			metrics_record(&l->stats.playout, s.playout.delay_ns + s.playout.resampler_ns);
		/* a pause between two words ends nothing: what is held is what it will be again */
		if (speaker_heard_ns(speaker) >= now_ns - SHOWN_NS && voices < MEDIA_SPEAKERS)
			voice_show(&l->stats.voices[voices++], user_id, &s);
	}
	for (; voices < MEDIA_SPEAKERS; voices++)
		l->stats.voices[voices].user_id = 0;
	talker_stats(l->talker, &t);
	l->stats.lookahead_frames = t.lookahead_frames;
	l->stats.lost = lost;
	l->stats.concealed = concealed;
	l->stats.late = late;
	l->figures_at_ns = now_ns + FIGURES_EVERY_NS;
}

void media_line_receive(struct media_line *l, int64_t now_ns, int64_t wall_ns)
{
	struct voices_stats v;
	if (!l->path)
		return;
	voice_udp_receive(l->path, now_ns, wall_ns);
	voices_stats(l->voices, &v);
	l->stats.dave_failed = v.undecrypted;
	l->stats.unknown_dropped = v.never_named;
	wants_update(l, now_ns); /* somebody began to speak */
}

void media_line_check(struct media_line *l, int64_t now_ns)
{
	port_check(l->config.capture, now_ns);
	port_check(l->config.playback, now_ns);
}

/* Is what is to be played put off? */
static bool play_held(struct media_line *l, int64_t now_ns)
{
	l->play_held = !l->play_held && now_ns - l->play_at_ns >= LATE_NS;
	if (l->play_held)
		l->play_at_ns = now_ns + PLAY_HOLD_NS;
	return l->play_held;
}

int64_t media_line_step(struct media_line *l, int64_t now_ns)
{
	if (!l->path)
		return NEVER;
	if (now_ns >= l->next_ns && l->next_ns > 0 && l->capturing)
		metrics_record(&l->stats.lateness, now_ns - l->next_ns);
	voice_udp_tick(l->path, now_ns);
	if (now_ns >= l->figures_at_ns) {
		figures_update(l, now_ns);
		wants_update(l, now_ns);
	}
	if (l->capturing && now_ns >= l->capture_at_ns)
		capture_step(l, now_ns);
	if (l->playing && now_ns >= l->play_at_ns && !play_held(l, now_ns))
		playback_step(l, now_ns);
	int64_t next = voice_udp_deadline_ns(l->path);
	if (l->figures_at_ns < next)
		next = l->figures_at_ns;
	if (l->capturing && l->capture_at_ns < next)
		next = l->capture_at_ns;
	if (l->playing && l->play_at_ns < next)
		next = l->play_at_ns;
	l->next_ns = next;
	return next;
}

const struct media_line_stats *media_line_stats(const struct media_line *l)
{
	return &l->stats;
}
