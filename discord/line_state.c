/* SPDX-License-Identifier: MIT
 *
 * line_state.c - what can be seen of a line, and what of it outlives the process.
 */
#include "discord/line_private.h"

#include "alsa/port.h"
#include "alsa/stage.h"
#include "common/clock.h"
#include "common/json.h"
#include "discord/dave/media.h"
#include "discord/rtp.h"

/* What this process keeps the line's sound for, either way. */
void line_write_budget(const struct line *l, struct json_writer *w)
{
	const struct media_line_stats *m = media_stats(l->host.media, l->number);
	uint32_t lookahead = m->lookahead_frames;
	const struct budget_share to_discord[] = {
		{"loopback_ms", budget_ns(&m->from_loopback)},
		{"framing_ms", budget_ns(&m->framing)},
		{"encode_ms", lookahead ? lookahead * NS_PER_SEC / RTP_CLOCK_HZ : BUDGET_UNKNOWN},
		{"sending_ms", media_work_ns(l->host.media)},
	};
	const struct budget_share to_phone[] = {
		{"mixing_ms", budget_ns(&m->mixing)},
		{"loopback_ms", budget_ns(&m->to_loopback)},
	};
	json_w_obj(w, "budget");
	budget_write(w, "to_discord", to_discord, sizeof(to_discord) / sizeof(*to_discord));
	budget_write(w, "to_phone", to_phone, sizeof(to_phone) / sizeof(*to_phone));
	json_w_arr(w, "speakers");
	for (unsigned i = 0; i < MEDIA_SPEAKERS; i++) {
		const struct media_voice *v = &m->voices[i];
		const struct budget_share shares[] = {
			{"framing_ms", v->framing_ns},
			stage_share_jitter(v->delay_ns, v->jitter_ns),
			stage_share_playout(v->delay_ns, v->jitter_ns),
			{"resampling_ms", v->resampling_ns},
		};
		if (v->user_id == 0)
			continue;
		json_w_obj(w, NULL);
		json_w_id(w, "user_id", v->user_id);
		json_w_num(w, "gain_db", (double)v->gain_db_tenths / 10);
		budget_write(w, "to_phone", shares, sizeof(shares) / sizeof(*shares));
		json_w_end(w);
	}
	json_w_end(w);
	json_w_end(w);
}

void line_write_state(const struct line *l, struct json_writer *w)
{
	const struct media_line_stats *m = media_stats(l->host.media, l->number);
	struct dave_media_stats dave;
	dave_media_stats(l->dave_media, &dave);
	json_w_int(w, "line", l->number);
	json_w_int(w, "calls", calls_active(l->calls));
	json_w_bool(w, "wanted", l->attend.wanted);
	json_w_id(w, "guild_id", l->guild_id);
	json_w_str(w, "state", l->channel ? channel_state_name(channel_state(l->channel)) : "unknown");
	voice_link_write_json(l->voice, w);
	json_w_int(w, "packets_sent", (int64_t)m->packets_sent);
	json_w_int(w, "packets_not_sent", (int64_t)m->packets_not_sent);
	json_w_int(w, "packets_received", (int64_t)m->packets_received);
	json_w_int(w, "packets_opened", (int64_t)m->packets_opened);
	json_w_int(w, "packets_tampered", (int64_t)m->packets_tampered);
	/* apart from each other, because they mean different troubles: somebody speaks in the clear,
	 * is no member yet, is replayed, or has a key that we lack */
	json_w_int(w, "dave_failed", (int64_t)m->dave_failed);
	json_w_int(w, "dave_plain_refused", (int64_t)dave.plain_refused);
	json_w_int(w, "dave_no_key", (int64_t)dave.no_key);
	json_w_int(w, "dave_nonce_refused", (int64_t)dave.nonce_refused);
	json_w_int(w, "dave_tag_mismatch", (int64_t)dave.tag_mismatch);
	json_w_int(w, "unknown_dropped", (int64_t)m->unknown_dropped);
	json_w_int(w, "speakers", m->speakers);
	json_w_int(w, "lost", (int64_t)m->lost);
	json_w_int(w, "late", (int64_t)m->late);
	json_w_int(w, "concealed_frames", (int64_t)m->concealed);
	if (m->udp_rtt_ns >= 0)
		json_w_num(w, "udp_rtt_ms", (double)m->udp_rtt_ns / (double)NS_PER_MS);
	metrics_write_json(&m->lateness, w, "lateness");
	metrics_write_json(&m->playout, w, "playout");
	line_write_budget(l, w);
	port_write_state(w, "capture", l->capture);
	port_write_state(w, "playback", l->playback);
}

void line_write_persistent(const struct line *l, struct json_writer *w)
{
	json_w_int(w, "line", l->number);
	json_w_bool(w, "wanted", l->attend.wanted || l->was_wanted);
	calls_write_json(l->calls, w, "notices");
}

void line_read_persistent(struct line *l, const struct json_at *object)
{
	struct json_at notices = {.doc = object->doc};
	json_opt_bool(object, "wanted", &l->was_wanted);
	if (json_opt_arr(object, "notices", &notices) && notices.node)
		calls_read_json(l->calls, &notices);
}
