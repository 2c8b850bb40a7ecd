/* SPDX-License-Identifier: MIT
 *
 * test_speaker.c - one person's packets in good order and bad: what is heard.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/rtp.h"
#include "discord/speaker.h"

#include <opus/opus.h>

#define FRAME   960
#define PACKETS 400

static uint8_t opus[PACKETS][400];
static int opus_bytes[PACKETS];
static float heard[48000 * 10];
static int heard_frames;
static int64_t now_ns;

/* A tone, encoded once as a desktop client would. */
static void encode(bool fec)
{
	int err;
	OpusEncoder *e = opus_encoder_create(48000, 1, OPUS_APPLICATION_VOIP, &err);
	opus_encoder_ctl(e, OPUS_SET_BITRATE(fec ? 24000 : 64000));
	opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(fec));
	opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(fec ? 20 : 0));
	for (int k = 0; k < PACKETS; k++) {
		float block[FRAME];
		for (int i = 0; i < FRAME; i++) {
			double at = (double)(k * FRAME + i) / 48000, v = 0;
			/* redundancy is sent for what the encoder takes for speech */
			for (int h = 1; fec && h <= 20; h++)
				v += 0.8 * sin(2 * M_PI * 140 * h * at) / h *
				     (0.6 + 0.4 * sin(2 * M_PI * 4 * at));
			block[i] = 0.25f * (float)(fec ? v : sin(2 * M_PI * 313 * at));
		}
		opus_bytes[k] = opus_encode_float(e, block, FRAME, opus[k], sizeof(opus[k]));
	}
	opus_encoder_destroy(e);
}

static struct speaker *make(void)
{
	struct speaker *s;
	CHECK_INT(speaker_create(&s, &(struct speaker_config){.channels = 1}), 0);
	speaker_assign(s, 7);
	heard_frames = 0;
	now_ns = NS_PER_SEC;
	return s;
}

static void pull_blocks(struct speaker *s, int blocks)
{
	for (int i = 0; i < blocks; i++) {
		speaker_pull(s, now_ns, heard + heard_frames, 240);
		heard_frames += 240;
		now_ns += 5 * NS_PER_MS;
	}
}

/* Pulls 20 ms in 5 ms blocks. */
static void pull(struct speaker *s)
{
	pull_blocks(s, 4);
}

static void put(struct speaker *s, int k, uint16_t seq0, uint32_t ts0)
{
	speaker_packet(s, (uint16_t)(seq0 + k), ts0 + (uint32_t)k * FRAME, opus[k],
		       (size_t)opus_bytes[k], now_ns);
}

static double rms(int from, int n)
{
	double sum = 0;
	for (int i = from; i < from + n; i++)
		sum += (double)heard[i] * heard[i];
	return sqrt(sum / n);
}

/* Quietest and loudest 20 ms from 0.3 s on, relative to the tone. */
static void extremes(double *low, double *high)
{
	*low = 9, *high = 0;
	for (int at = 14400; at + FRAME <= heard_frames; at += 240) {
		double r = rms(at, FRAME) / (0.25 / sqrt(2));
		if (r < *low)
			*low = r;
		if (r > *high)
			*high = r;
	}
}

static void test_clean_stream(void)
{
	struct speaker *s = make();
	struct speaker_stats stats;
	double low, high;
	for (int k = 0; k < 200; k++) {
		put(s, k, 65500, 0xFFFFF000); /* both counters wrap on the way */
		pull(s);
	}
	extremes(&low, &high);
	CHECK(low > 0.95 && high < 1.05);
	speaker_stats(s, &stats);
	CHECK_INT(stats.packets, 200);
	CHECK_INT(stats.lost, 0);
	CHECK_INT(stats.bad, 0);
	CHECK_INT(stats.plc, 0);
	speaker_destroy(s);
}

static void test_reordering_and_duplicates_are_unheard(void)
{
	struct speaker *s = make();
	struct speaker_stats stats;
	double low, high;
	for (int k = 0; k < 200; k += 2) {
		put(s, k + 1, 10, 0); /* one before its predecessor, both twice */
		put(s, k + 1, 10, 0);
		put(s, k, 10, 0);
		put(s, k, 10, 0);
		pull(s);
		pull(s);
	}
	extremes(&low, &high);
	CHECK(low > 0.95 && high < 1.05);
	speaker_stats(s, &stats);
	CHECK_INT(stats.lost, 0);
	speaker_destroy(s);
}

/* One is lost and the next one late by 70 ms: giving up the lost one, when its place is about to be
 * played, must not give up the late one as well, whose place is not. */
static void test_late_behind_lost_is_waited_for(void)
{
	struct speaker *s = make();
	struct speaker_stats stats;
	for (int k = 0; k < 300; k++) {
		if (k % 10 != 5 && k % 10 != 6)
			put(s, k, 100, 5000);
		pull_blocks(s, 2);
		if (k % 10 == 9)
			put(s, k - 3, 100, 5000);
		pull_blocks(s, 2);
	}
	speaker_stats(s, &stats);
	CHECK_NEAR(stats.lost, 30, 2);
	CHECK(stats.late <= 2); /* before the delay has adapted */
	CHECK(stats.plc <= 32 + 2);
	speaker_destroy(s);
}

static void loss(bool fec, double low_bound, double high_bound)
{
	encode(fec);
	struct speaker *s = make();
	struct speaker_stats stats;
	double low, high;
	int lost = 0;
	for (int k = 0; k < 200; k++) {
		if (k > 20 && k % 10 == 0)
			lost++;
		else
			put(s, k, 10, 0);
		pull(s);
	}
	extremes(&low, &high);
	CHECK(low > low_bound && high < high_bound);
	speaker_stats(s, &stats);
	CHECK_INT(stats.lost, lost);
	CHECK(stats.fec + stats.plc >= (uint64_t)lost);
	if (fec) /* each is single and can be rebuilt from its successor, as long as the delay is such
		  * that the successor comes before the place is played */
		CHECK(stats.fec > (uint64_t)lost / 2);
	speaker_destroy(s);
	encode(false);
}

static void test_loss_is_concealed(void)
{
	loss(false, 0.5, 1.5);
}

static void test_loss_is_repaired_by_fec(void)
{
	loss(true, 0.1, 3); /* its loudness is modulated */
}

/* After the five silence frames nothing is made up, however long the pause. */
static void test_pause_is_silent(void)
{
	struct speaker *s = make();
	int k;
	for (k = 0; k < 50; k++) {
		put(s, k, 10, 0);
		pull(s);
	}
	for (; k < 55; k++) {
		speaker_packet(s, (uint16_t)(10 + k), (uint32_t)k * FRAME, rtp_silence_frame, 3, now_ns);
		pull(s);
	}
	for (int i = 0; i < 25; i++)
		pull(s);
	CHECK(rms(heard_frames - 19200, 19200) == 0);
	/* and speaking again is heard; the timestamps jumped, nothing was lost */
	for (k = 100; k < 150; k++) {
		speaker_packet(s, (uint16_t)(10 + k - 45), (uint32_t)k * FRAME, opus[k],
			       (size_t)opus_bytes[k], now_ns);
		pull(s);
	}
	CHECK_NEAR(rms(heard_frames - 9600, 9600), 0.25 / sqrt(2), 0.02);
	struct speaker_stats stats;
	speaker_stats(s, &stats);
	CHECK_INT(stats.lost, 0);
	CHECK_INT(stats.silence, 5);
	speaker_destroy(s);
}

/* People with video on send silence frames for ever. */
static void test_endless_silence_frames(void)
{
	struct speaker *s = make();
	for (int k = 0; k < 200; k++) {
		speaker_packet(s, (uint16_t)k, (uint32_t)k * FRAME, rtp_silence_frame, 3, now_ns);
		pull(s);
	}
	CHECK(rms(0, heard_frames) == 0);
	CHECK_INT(speaker_heard_ns(s), INT64_MIN);
	speaker_destroy(s);
}

static void test_garbage_costs_itself(void)
{
	struct speaker *s = make();
	unsigned seed = 5;
	double low, high;
	for (int k = 0; k < 200; k++) {
		uint8_t junk[200];
		for (size_t i = 0; i < sizeof(junk); i++)
			junk[i] = (uint8_t)rand_r(&seed);
		if (k > 20 && k % 20 == 0)
			speaker_packet(s, (uint16_t)(10 + k), (uint32_t)k * FRAME,
				       (const uint8_t *)"\xFF\xFF", 2, now_ns);
		else
			put(s, k, 10, 0);
		speaker_packet(s, (uint16_t)(10 + k - 300), 0, junk, sizeof(junk), now_ns);
		speaker_packet(s, (uint16_t)(10 + k), (uint32_t)k * FRAME, junk, 0, now_ns);
		pull(s);
	}
	extremes(&low, &high);
	CHECK(high < 4); /* the junk two hundred numbers back is another stream each time */
	speaker_destroy(s);
}

static void test_random_packets_never_crash(void)
{
	struct speaker *s = make();
	unsigned seed = 9;
	for (int k = 0; k < 5000; k++) {
		uint8_t junk[SPEAKER_PACKET_BYTES_MAX];
		size_t n = 1 + (size_t)rand_r(&seed) % 60;
		for (size_t i = 0; i < n; i++)
			junk[i] = (uint8_t)rand_r(&seed);
		speaker_packet(s, (uint16_t)(k + rand_r(&seed) % 5), (uint32_t)rand_r(&seed) % 96000,
			       junk, n, now_ns);
		if (heard_frames + FRAME > (int)(sizeof(heard) / sizeof(heard[0])))
			heard_frames = 0;
		pull(s);
		for (int i = heard_frames - FRAME; i < heard_frames; i++)
			CHECK(isfinite(heard[i]));
	}
	speaker_destroy(s);
}

static void test_another_stream_is_followed(void)
{
	struct speaker *s = make();
	for (int k = 0; k < 50; k++) {
		put(s, k, 10, 0);
		pull(s);
	}
	for (int k = 0; k < 50; k++) { /* the client began anew */
		put(s, k, 30000, 0x80000000);
		pull(s);
	}
	CHECK_NEAR(rms(heard_frames - 9600, 9600), 0.25 / sqrt(2), 0.02);
	speaker_destroy(s);
}

/* 10, 40 and 60 ms packets exist. */
static void test_other_frame_lengths(void)
{
	static const int lengths[] = {480, 1920, 2880};
	for (int l = 0; l < 3; l++) {
		struct speaker *s = make();
		int err, n = lengths[l];
		OpusEncoder *e = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &err);
		int64_t due = now_ns;
		for (int k = 0; k * n < 96000; k++) {
			float block[2880 * 2];
			uint8_t packet[1275];
			for (int i = 0; i < n; i++)
				block[2 * i] = block[2 * i + 1] =
					0.25f * sinf(2 * (float)M_PI * 313 * (float)(k * n + i) / 48000);
			int bytes = opus_encode_float(e, block, n, packet, sizeof(packet));
			due += (int64_t)n * NS_PER_SEC / 48000;
			while (now_ns < due)
				pull(s);
			speaker_packet(s, (uint16_t)k, (uint32_t)(k * n), packet, (size_t)bytes, now_ns);
		}
		opus_encoder_destroy(e);
		CHECK_NEAR(rms(heard_frames - 9600, 9600), 0.25 / sqrt(2), 0.02);
		speaker_destroy(s);
	}
}

static void test_leaving(void)
{
	struct speaker *s = make();
	for (int k = 0; k < 50; k++) {
		put(s, k, 10, 0);
		pull(s);
	}
	speaker_end(s);
	for (int i = 0; i < 20; i++)
		pull(s);
	CHECK(rms(heard_frames - 9600, 9600) == 0);
	speaker_destroy(s);
}

/* ---- two channels ------------------------------------------------------------------------- */

static float apart[2][48000 * 6]; /* what a stereo speaker was heard to say */

/* Amplitude of a tone in a channel over the last two seconds, by 100 ms: as long as the delay shrinks
 * its pitch is off by 0.1 %. */
static double tone_in(int channel, double hz)
{
	enum { N = 4800 };
	double power = 0;
	for (int at = heard_frames - 96000; at < heard_frames; at += N) {
		double s = 0, c = 0;
		for (int i = 0; i < N; i++) {
			double w = 1 - cos(2 * M_PI * i / N), x = apart[channel][at + i];
			s += w * x * sin(2 * M_PI * hz * i / 48000);
			c += w * x * cos(2 * M_PI * hz * i / 48000);
		}
		power += (s * s + c * c) * 4 / N / N / 20;
	}
	return sqrt(power);
}

/* Largest step from sample to sample of the last two seconds, against that of a tone. */
static double roughest(int channel, double hz)
{
	double most = 0;
	for (int i = heard_frames - 96000; i < heard_frames; i++)
		most = fmax(most, fabs(apart[channel][i] - apart[channel][i - 1]));
	return most / (0.25 * 2 * M_PI * hz / 48000);
}

/* Five seconds of a client's packets; channels are those that it sends, 2: left and right differ. */
static void hear_apart(struct speaker *s, int channels, double loss)
{
	int err;
	unsigned seed = 11;
	OpusEncoder *e = opus_encoder_create(48000, channels, OPUS_APPLICATION_AUDIO, &err);
	opus_encoder_ctl(e, OPUS_SET_BITRATE(96000));
	for (int k = 0; k < 250; k++) {
		float block[FRAME * 2], two[480];
		uint8_t packet[1275];
		for (int i = 0; i < FRAME; i++) {
			double at = (double)(k * FRAME + i) / 48000;
			block[channels * i] = 0.25f * (float)sin(2 * M_PI * 1013 * at);
			if (channels == 2)
				block[2 * i + 1] = 0.25f * (float)sin(2 * M_PI * 617 * at);
		}
		int bytes = opus_encode_float(e, block, FRAME, packet, sizeof(packet));
		if (k < 20 || rand_r(&seed) >= loss * RAND_MAX)
			speaker_packet(s, (uint16_t)k, (uint32_t)(k * FRAME), packet, (size_t)bytes,
				       now_ns);
		for (int b = 0; b < 4; b++) {
			speaker_pull(s, now_ns, two, 240);
			memcpy(apart[0] + heard_frames, two, 240 * sizeof(float));
			memcpy(apart[1] + heard_frames, two + 240, 240 * sizeof(float));
			heard_frames += 240;
			now_ns += 5 * NS_PER_MS;
		}
	}
	opus_encoder_destroy(e);
}

static struct speaker *make_stereo(void)
{
	struct speaker *s;
	CHECK_INT(speaker_create(&s, &(struct speaker_config){.channels = 2}), 0);
	speaker_assign(s, 7);
	heard_frames = 0;
	now_ns = NS_PER_SEC;
	return s;
}

static void test_stereo_is_heard_apart(void)
{
	struct speaker *s = make_stereo();
	hear_apart(s, 2, 0);
	CHECK_NEAR(tone_in(0, 1013), 0.25, 0.01);
	CHECK_NEAR(tone_in(1, 617), 0.25, 0.01);
	CHECK(tone_in(0, 617) < 0.25 / 100);
	CHECK(tone_in(1, 1013) < 0.25 / 100);
	CHECK(roughest(0, 1013) < 1.3 && roughest(1, 617) < 1.3);
	speaker_destroy(s);
}

static void test_mono_is_heard_on_both_sides(void)
{
	struct speaker *s = make_stereo();
	hear_apart(s, 1, 0);
	CHECK_NEAR(tone_in(0, 1013), 0.25, 0.01);
	for (int i = 0; i < heard_frames; i++)
		CHECK(apart[0][i] == apart[1][i]);
	speaker_destroy(s);
}

/* Losses are concealed on both sides alike, and neither leaks into the other. */
static void test_stereo_under_loss(void)
{
	struct speaker *s = make_stereo();
	struct speaker_stats stats;
	hear_apart(s, 2, 0.08);
	speaker_stats(s, &stats);
	CHECK(stats.lost > 5);
	CHECK(stats.plc + stats.fec > 5);
	CHECK_NEAR(tone_in(0, 1013), 0.25, 0.02);
	CHECK_NEAR(tone_in(1, 617), 0.25, 0.02);
	CHECK(tone_in(0, 617) < 0.25 / 50);
	CHECK(tone_in(1, 1013) < 0.25 / 50);
	CHECK(roughest(0, 1013) < 2.5 && roughest(1, 617) < 2.5);
	speaker_destroy(s);
}

/* SPEECH_LEVEL: one who is 20 dB louder than another comes out as loud. */
static void test_speech_level(void)
{
	double level[2];
	for (int k = 0; k < 2; k++) {
		struct speaker *s;
		struct speaker_stats stats;
		int err;
		OpusEncoder *e = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, &err);
		CHECK_INT(speaker_create(&s, &(struct speaker_config){.channels = 1,
								      .speech_level_dbov = -26}), 0);
		speaker_assign(s, 7);
		heard_frames = 0;
		now_ns = NS_PER_SEC;
		for (int p = 0; p < 400; p++) {
			float block[FRAME];
			uint8_t packet[1275];
			for (int i = 0; i < FRAME; i++)
				block[i] = p % 15 >= 10 ? 0
							: (k ? 0.02f : 0.2f) *
								  sinf(2 * (float)M_PI * 313 * (float)i / 48000);
			int bytes = opus_encode_float(e, block, FRAME, packet, sizeof(packet));
			speaker_packet(s, (uint16_t)p, (uint32_t)(p * FRAME), packet, (size_t)bytes, now_ns);
			pull(s);
		}
		level[k] = 20 * log10(rms(heard_frames - 3 * 48000, 3 * 48000 / 10 * 9));
		speaker_stats(s, &stats);
		CHECK(k ? stats.gain_db > 5 : stats.gain_db < -5);
		opus_encoder_destroy(e);
		speaker_destroy(s);
	}
	CHECK_NEAR(level[0], level[1], 2);
}

/* On a mono line a client's stereo is heard as the mean of its sides. */
static void test_stereo_on_a_mono_line(void)
{
	struct speaker *s = make();
	int err;
	OpusEncoder *e = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &err);
	for (int k = 0; k < 150; k++) {
		float block[FRAME * 2];
		uint8_t packet[1275];
		for (int i = 0; i < FRAME; i++) {
			block[2 * i] = 0.25f * (float)sin(2 * M_PI * 313 * (k * FRAME + i) / 48000.0);
			block[2 * i + 1] = 0;
		}
		int bytes = opus_encode_float(e, block, FRAME, packet, sizeof(packet));
		speaker_packet(s, (uint16_t)k, (uint32_t)(k * FRAME), packet, (size_t)bytes, now_ns);
		pull(s);
	}
	opus_encoder_destroy(e);
	CHECK_NEAR(rms(heard_frames - 48000, 48000), 0.125 / sqrt(2), 0.005);
	speaker_destroy(s);
}

int main(void)
{
	encode(false);
	UNIT(test_clean_stream);
	UNIT(test_reordering_and_duplicates_are_unheard);
	UNIT(test_late_behind_lost_is_waited_for);
	UNIT(test_loss_is_concealed);
	UNIT(test_loss_is_repaired_by_fec);
	UNIT(test_pause_is_silent);
	UNIT(test_endless_silence_frames);
	UNIT(test_garbage_costs_itself);
	UNIT(test_random_packets_never_crash);
	UNIT(test_another_stream_is_followed);
	UNIT(test_other_frame_lengths);
	UNIT(test_leaving);
	UNIT(test_stereo_is_heard_apart);
	UNIT(test_mono_is_heard_on_both_sides);
	UNIT(test_stereo_under_loss);
	UNIT(test_stereo_on_a_mono_line);
	UNIT(test_speech_level);
	return unit_done();
}
