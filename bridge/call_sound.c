/* SPDX-License-Identifier: MIT
 *
 * call_sound.c - see call_sound.h.
 */
#include "bridge/call_sound.h"

#include <math.h>

#include "alsa/stage.h"
#include "common/json.h"

/* null unless both are known */
static void write_total(struct json_writer *w, const char *name, int64_t own_ns, double others_ms)
{
	json_w_num(w, name, own_ns < 0 ? NAN : round((double)own_ns / 1e4 + others_ms * 100) / 100);
}

/* Before a mark has come back nothing is known of what is queued behind it. */
static int64_t by_marks(const struct media_stream_stats *stream, int64_t ns)
{
	return stream && stream->min_rtt_ns > 0 ? ns : BUDGET_UNKNOWN;
}

static void write_budget(struct json_writer *w, const struct call_sound *s)
{
	const struct leg_stats *leg = s->leg;
	int64_t delay_ns = leg->playout.delay_ns, jitter_ns = leg->playout.jitter_ns;
	const struct budget_share to_discord[] = {
		{"framing_ms", leg->framing_in_ns},
		stage_share_jitter(delay_ns, jitter_ns),
		stage_share_playout(delay_ns, jitter_ns),
		{"resampling_ms", leg->playout.resampler_ns},
		{"mixing_ms", budget_ns(&s->line->mixing)},
		{"loopback_ms", budget_ns(&s->line->to_loopback)},
	};
	const struct budget_share to_phone[] = {
		{"loopback_ms", budget_ns(&s->line->from_loopback)},
		{"resampling_ms", leg->resampling_out_ns},
		{"framing_ms", leg->framing_out_ns},
		{"socket_ms", s->stream ? s->stream->unsent_ns : BUDGET_UNKNOWN},
	};

	enum { OUT = sizeof(to_discord) / sizeof(*to_discord), IN = sizeof(to_phone) / sizeof(*to_phone) };

	json_w_obj(w, "budget");
	budget_write(w, "to_discord", to_discord, OUT);
	budget_write(w, "to_phone", to_phone, IN);
	json_w_num(w, "twilio_queue_ms", budget_ms(by_marks(s->stream, s->stream ? s->stream->queue_ns : 0)));
	if (s->discord)
		json_w_raw(w, "discord", s->discord);
	else
		json_w_null(w, "discord");
	json_w_obj(w, "total");
	write_total(w, "to_discord_ms", budget_sum_ns(to_discord, OUT), s->discord ? s->to_discord_ms : NAN);
	write_total(w, "to_phone_ms", budget_sum_ns(to_phone, IN), s->discord ? s->to_phone_ms : NAN);
	json_w_end(w);
	json_w_end(w);
}

/* playout_ms is what playout holds and playout_target_ms what it wants to; the budget has the former in
 * two shares, and the resampler's beside it. */
static void write_leg(struct json_writer *w, const struct leg_stats *leg)
{
	json_w_num(w, "playout_ms", budget_ms(leg->playout.delay_ns));
	json_w_num(w, "playout_target_ms", budget_ms(leg->playout.target_ns));
	json_w_num(w, "ppm", leg->playout.ppm);
	json_w_num(w, "out_ppm", leg->out_ppm);
	json_w_num(w, "gain_db", round(leg->gain_db * 10) / 10);
	json_w_int(w, "packets", (int64_t)leg->playout.packets);
	json_w_int(w, "late", (int64_t)leg->playout.late);
	json_w_int(w, "concealed_frames", (int64_t)leg->playout.concealed);
	json_w_int(w, "dropped_frames", (int64_t)leg->playout.dropped);
	json_w_int(w, "splices", (int64_t)leg->playout.splices);
	json_w_int(w, "frames_out", (int64_t)leg->frames_out);
	json_w_int(w, "silent_out", (int64_t)leg->silent_out);
}

static void write_stream(struct json_writer *w, const struct media_stream_stats *stream)
{
	json_w_int(w, "media", (int64_t)stream->media);
	json_w_int(w, "gaps", (int64_t)stream->gaps);
	json_w_int(w, "duplicates", (int64_t)stream->duplicates);
	json_w_int(w, "sent", (int64_t)stream->frames_sent);
	json_w_int(w, "not_sent", (int64_t)stream->frames_dropped);
	json_w_int(w, "clears", (int64_t)stream->clears);
	json_w_num(w, "mark_rtt_min_ms", budget_ms(by_marks(stream, stream->min_rtt_ns)));
}

void call_sound_write(struct json_writer *w, const struct call_sound *s)
{
	if (s->leg) {
		write_budget(w, s);
		write_leg(w, s->leg);
	}
	if (s->stream)
		write_stream(w, s->stream);
}
