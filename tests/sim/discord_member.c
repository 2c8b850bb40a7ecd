/* SPDX-License-Identifier: MIT
 *
 * discord_member.c - members of ours: they join, type, speak (Opus) and listen.
 */
#include <errno.h>
#include <math.h>
#include <opus/opus.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/discord.h"
#include "tests/sim/discord_dave.h"
#include "tests/sim/malformed.h"

struct encoded_frame {
	uint16_t len;
	uint8_t level;
	uint8_t data[1275];
};

struct member {
	char name[64];
	struct user *user;
	struct party *party;
	struct ear *ear;
	/* the mouth */
	bool speaking;
	struct sim_voice *voice, *right; /* right: NULL unless the sides differ */
	OpusEncoder *encoder;
	int frame, channels, silences_left, silence_frames, announce_after;
	bool announce, extension, freeze;
	double ns_per_sample;
	int64_t start_ns, pos; /* samples since the mouth was opened */
	uint16_t seq;
	uint32_t timestamp, timestamp_base;
	bool placed;
	struct sim_timer timer;
	struct ear_stream *reference;
	struct encoded_frame *ready;
	int ready_count, ready_next;
	int64_t packets;
};

struct member *member_find(const char *name)
{
	for (struct user *u = D.users; u; u = u->next)
		if (u->member && !strcmp(u->member->name, name))
			return u->member;
	return NULL;
}

struct ear *member_ear(const struct user *u)
{
	return u->member ? u->member->ear : NULL;
}

/* ---- speaking ---- */

static void mouth_close(struct member *m)
{
	if (m->reference)
		ear_stream_finish(m->reference);
	m->reference = NULL;
	if (m->encoder)
		opus_encoder_destroy(m->encoder);
	m->encoder = NULL;
	sim_voice_destroy(m->voice);
	sim_voice_destroy(m->right);
	m->voice = m->right = NULL;
	free(m->ready);
	m->ready = NULL;
	m->speaking = false;
	sim_timer_cancel(D.loop, &m->timer);
}

static uint8_t level_of(const int16_t *pcm, int n)
{
	double sum = 0, db;

	for (int i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	db = sum > 0 ? -10 * log10(sum / n / 32768 / 32768) : 127;
	return (uint8_t)(db < 0 ? 0 : db > 127 ? 127 : db);
}

/* One frame from the voice; false when the voice has ended. */
static bool encode(struct member *m, struct encoded_frame *f)
{
	int16_t mono[5760], other[5760], both[5760 * 2];
	bool more = sim_voice_read(m->voice, mono, (size_t)m->frame);
	int n;

	f->level = level_of(mono, m->frame);
	for (int i = 0; i < m->frame; i++)
		both[2 * i] = both[2 * i + 1] = mono[i];
	if (m->right)
		sim_voice_read(m->right, other, (size_t)m->frame);
	for (int i = 0; m->right && i < m->frame; i++)
		both[2 * i + 1] = other[i];
	n = opus_encode(m->encoder, m->channels == 2 ? both : mono, m->frame, f->data,
			sizeof(f->data));
	f->len = (uint16_t)(n > 0 ? n : 0);
	return more;
}

static void emit(struct member *m, const uint8_t *data, size_t len, int level, int64_t now_ns)
{
	struct rtp_packet k = { .seq = m->seq++, .timestamp = m->timestamp, .ssrc = m->party->ssrc,
				.payload = data, .len = len, .level = m->extension ? level : -1,
				.t_ns = now_ns };
	uint8_t sealed[2048];

	m->timestamp += (uint32_t)m->frame;
	m->pos += m->frame;
	if (m->announce && m->packets >= m->announce_after)
		party_announce(m->party, 1);
	m->packets++;
	if (m->reference)
		ear_stream_put(m->reference, &k);
	/* without a key (alone, or joining) nothing is sent; its time passes all the same */
	if (discord_dave_seal(m->party, &k, sealed))
		sfu_packet(m->party, &k);
}

static void speak(void *ctx, int64_t now_ns)
{
	static const uint8_t silence[3] = { 0xf8, 0xff, 0xfe };
	struct member *m = ctx;

	if (!m->party) {
		mouth_close(m);
		return;
	}
	if (m->silences_left > 0) {
		emit(m, silence, 3, 127, now_ns);
		if (!--m->silences_left) {
			sim_event("member.quiet", sim_obj("s", "member", m->name));
			mouth_close(m);
			return;
		}
	} else if (m->ready) {
		const struct encoded_frame *f = &m->ready[m->ready_next];

		m->ready_next = (m->ready_next + 1) % m->ready_count;
		emit(m, f->data, f->len, f->level, now_ns);
	} else {
		struct encoded_frame f;
		bool more = encode(m, &f);

		if (f.len)
			emit(m, f.data, f.len, f.level, now_ns);
		if (!more)
			m->silences_left = m->silence_frames;
		if (!more && !m->silence_frames) {
			mouth_close(m);
			return;
		}
	}
	sim_timer_set(D.loop, &m->timer,
		      m->start_ns + (int64_t)((double)(m->pos + m->frame) * m->ns_per_sample), speak,
		      m);
}

static int chosen(const char *name, const char *const *names, const int *values)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(name, names[i]))
			return values[i];
	return values[0];
}

static const char *member_speak(struct member *m, const cJSON *o)
{
	static const char *const applications[] = { "audio", "voip", "lowdelay", NULL };
	static const int application_values[] = { OPUS_APPLICATION_AUDIO, OPUS_APPLICATION_VOIP,
						  OPUS_APPLICATION_RESTRICTED_LOWDELAY };
	static const char *const bands[] = { "fb", "nb", "mb", "wb", "swb", NULL };
	static const int band_values[] = { OPUS_BANDWIDTH_FULLBAND, OPUS_BANDWIDTH_NARROWBAND,
					   OPUS_BANDWIDTH_MEDIUMBAND, OPUS_BANDWIDTH_WIDEBAND,
					   OPUS_BANDWIDTH_SUPERWIDEBAND };
	const char *error = NULL, *reference = sim_str(o, "reference", NULL);
	int err, seconds = (int)sim_num(o, "preencode", 0);
	uint32_t gap;

	if (!m->party)
		return "the member is in no voice channel";
	mouth_close(m);
	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, "voice")))
		return NULL;
	if (sim_voice_create(&m->voice, cJSON_GetObjectItemCaseSensitive(o, "voice"), 48000, &error))
		return error;
	if (cJSON_HasObjectItem(o, "right") &&
	    sim_voice_create(&m->right, cJSON_GetObjectItemCaseSensitive(o, "right"), 48000, &error))
		return error;
	m->channels = (int)sim_num(o, "channels", 1) == 2 || m->right ? 2 : 1;
	m->frame = (int)(48 * sim_num(o, "frame_ms", 20));
	m->encoder = opus_encoder_create(48000, m->channels,
					 chosen(sim_str(o, "application", "audio"), applications,
						application_values),
					 &err);
	if (!m->encoder)
		return "cannot make such an encoder";
	opus_encoder_ctl(m->encoder, OPUS_SET_BITRATE((int)sim_num(o, "bitrate", 64000)));
	opus_encoder_ctl(m->encoder, OPUS_SET_MAX_BANDWIDTH(chosen(sim_str(o, "bandwidth", "fb"),
								    bands, band_values)));
	opus_encoder_ctl(m->encoder, OPUS_SET_INBAND_FEC(sim_flag(o, "fec", false)));
	opus_encoder_ctl(m->encoder, OPUS_SET_PACKET_LOSS_PERC(sim_flag(o, "fec", false) ? 20 : 0));
	opus_encoder_ctl(m->encoder, OPUS_SET_DTX(sim_flag(o, "dtx", false)));
	m->silence_frames = (int)sim_num(o, "silence_frames", 5);
	m->announce = sim_flag(o, "announce", true);
	m->announce_after = (int)sim_num(o, "announce_after", 0);
	m->extension = sim_flag(o, "extension", true);
	m->freeze = sim_flag(o, "freeze_timestamps", false);
	m->ns_per_sample = 1e9 / 48000 / (1 + sim_num(o, "ppm", 0) * 1e-6);
	if (seconds > 0) {
		m->ready_count = seconds * 48000 / m->frame;
		m->ready = calloc((size_t)m->ready_count, sizeof(*m->ready));
		if (!m->ready)
			abort();
		for (int i = 0; i < m->ready_count; i++)
			encode(m, &m->ready[i]);
		m->ready_next = 0;
	}
	if (reference)
		m->reference = ear_stream_create(reference, 1);
	/* RTP time goes on through pauses by what has really passed, in whole frames */
	gap = m->placed ? (uint32_t)((double)(sim_now_ns() - m->start_ns) / m->ns_per_sample) : 0;
	if (!m->placed) {
		RAND_bytes((unsigned char *)&m->timestamp, 4);
		RAND_bytes((unsigned char *)&m->seq, 2);
		m->timestamp_base = m->timestamp;
		m->placed = true;
	} else if (!m->freeze) {
		m->timestamp += (gap > m->pos ? gap - (uint32_t)m->pos : 0) / 960 * 960;
	}
	m->start_ns = sim_now_ns();
	m->pos = 0;
	m->packets = 0;
	m->silences_left = 0;
	m->speaking = true;
	sim_timer_set(D.loop, &m->timer,
		      m->start_ns + (int64_t)((double)m->frame * m->ns_per_sample), speak, m);
	return NULL;
}

/* ---- coming and going ---- */

void member_stop(struct member *m)
{
	struct party *p = m->party;
	struct channel *c;

	if (!p)
		return;
	c = p->channel;
	mouth_close(m);
	m->party = NULL;
	m->placed = false; /* the next session has a new SSRC and new numbers */
	voice_room_send(c, p, 13, sim_obj("o", "user_id", id_json(m->user->id)));
	discord_dave_member_leave(p);
	party_remove(p);
	voice_state_change(m->user, c->guild, NULL);
}

static const char *member_join(struct member *m, struct channel *c)
{
	cJSON *ids;

	if (!c || c->type != 2)
		return "no such voice channel";
	if (m->party && m->party->channel == c)
		return NULL;
	if (m->party) {
		struct party *p = m->party;
		struct channel *old = p->channel;

		mouth_close(m);
		m->placed = false;
		voice_room_send(old, p, 13, sim_obj("o", "user_id", id_json(m->user->id)));
		discord_dave_member_leave(p);
		party_remove(p);
		if (old->guild != c->guild)
			voice_state_change(m->user, old->guild, NULL);
	}
	m->party = party_add(c, m->user, NULL);
	voice_state_change(m->user, c->guild, c);
	ids = cJSON_CreateArray();
	cJSON_AddItemToArray(ids, id_json(m->user->id));
	voice_room_send(c, m->party, 11, sim_obj("o", "user_ids", ids));
	discord_dave_member_join(m->party);
	return NULL;
}

static const char *member_make(const cJSON *o, cJSON *answer)
{
	struct member *m;
	uint64_t id = id_of(o, "user");
	const cJSON *roles = cJSON_GetObjectItemCaseSensitive(o, "roles");

	if (member_find(sim_str(o, "member", "")))
		return "there is a member of that name";
	m = calloc(1, sizeof(*m));
	if (!m)
		abort();
	snprintf(m->name, sizeof(m->name), "%s", sim_str(o, "member", "member"));
	m->user = user_add(id ? id : new_id(), m->name, sim_flag(o, "bot", false));
	m->user->member = m;
	if (roles) {
		cJSON_Delete(m->user->roles);
		m->user->roles = cJSON_Duplicate(roles, 1);
	}
	cJSON_AddItemToObject(answer, "user", id_json(m->user->id));
	return NULL;
}

const char *member_command(void *ctx, const cJSON *o, cJSON *answer)
{
	const char *cmd = sim_str(o, "cmd", "");
	struct member *m = member_find(sim_str(o, "member", ""));

	if (!strcmp(cmd, "member"))
		return member_make(o, answer);
	if (!m)
		return "no such member";
	if (!strcmp(cmd, "join"))
		return member_join(m, channel_find(id_of(o, "channel")));
	if (!strcmp(cmd, "leave")) {
		member_stop(m);
	} else if (!strcmp(cmd, "say")) {
		struct channel *c = channel_find(id_of(o, "channel"));
		cJSON *message;

		if (!c)
			return "no such channel";
		message = message_add(c, m->user, sim_str(o, "content", ""));
		message_dispatch(c, message, m->user);
	} else if (!strcmp(cmd, "speak")) {
		return member_speak(m, o);
	} else if (!strcmp(cmd, "hush")) {
		if (m->speaking && !m->silences_left)
			m->silences_left = m->silence_frames > 0 ? m->silence_frames : 1;
	} else if (!strcmp(cmd, "record")) {
		if (m->ear)
			ear_finish(m->ear, NULL);
		m->ear = ear_create(sim_str(o, "path", m->name),
				    (int)sim_num(o, "channels", 1) == 2 ? 2 : 1);
	} else if (!strcmp(cmd, "stop_record")) {
		struct ear *e = m->ear;

		m->ear = NULL;
		if (!e || ear_finish(e, answer))
			return "nothing recorded, or it cannot be written";
	}
	return NULL;
}

void members_free(void)
{
	for (struct user *u = D.users; u; u = u->next) {
		if (!u->member)
			continue;
		mouth_close(u->member);
		if (u->member->ear)
			ear_finish(u->member->ear, NULL);
		free(u->member);
		u->member = NULL;
	}
}
