/* SPDX-License-Identifier: MIT
 *
 * test_talker.c - frames, silence, RTP time through pauses, what the listener hears.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/rtp.h"
#include "discord/talker.h"

#include <opus/opus.h>

#define FRAME 960

static struct packet {
	uint32_t timestamp;
	size_t bytes;
	bool silence;
	uint8_t data[TALKER_PACKET_BYTES_MAX];
} packets[4000];
static int count;

static void on_emit(void *ctx, uint32_t timestamp, const uint8_t *opus, size_t bytes, bool silence)
{
	struct packet *p = &packets[count++];
	p->timestamp = timestamp;
	p->bytes = bytes;
	p->silence = silence;
	memcpy(p->data, opus, bytes);
}

static int64_t now_ns;
static uint64_t pushed; /* samples, for the phase */

static void push(struct talker *t, size_t frames, float hz, float amplitude)
{
	float block[240];
	while (frames > 0) {
		size_t n = frames < 240 ? frames : 240;
		for (size_t i = 0; i < n; i++)
			block[i] = amplitude * sinf(2 * (float)M_PI * hz * (float)pushed++ / 48000);
		now_ns += (int64_t)n * NS_PER_SEC / 48000;
		talker_push(t, block, NULL, n, now_ns, on_emit, NULL);
		frames -= n;
	}
}

static struct talker *make(bool fec)
{
	struct talker *t;
	CHECK_INT(talker_create(&t, fec), 0);
	count = 0;
	now_ns = NS_PER_SEC;
	pushed = 0;
	return t;
}

static void test_nothing_leaves_in_silence(void)
{
	struct talker *t = make(false);
	push(t, 48000, 440, 0);
	CHECK_INT(count, 0);
	CHECK_INT(talker_wants(t), 0);
	talker_destroy(t);
}

/* A voice server forwards nothing to those who never sent: five silence frames, 20 ms apart. */
static void test_restart_announces_itself(void)
{
	struct talker *t = make(false);
	talker_restart(t, now_ns);
	push(t, 48000, 440, 0);
	CHECK_INT(count, 5);
	for (int i = 0; i < 5; i++) {
		CHECK(packets[i].silence && rtp_is_silence(packets[i].data, packets[i].bytes));
		CHECK_INT(packets[i].timestamp - packets[0].timestamp, i * FRAME);
	}
	talker_destroy(t);
}

static void test_packet_leaves_with_its_last_sample(void)
{
	struct talker *t = make(false);
	push(t, FRAME - 1, 440, 0.25f); /* sample 0 of this sine is zero: the frame begins at 1 */
	CHECK_INT(count, 0);
	CHECK_INT(talker_wants(t), 2);
	push(t, 2, 440, 0.25f);
	CHECK_INT(count, 1);
	CHECK_INT(talker_wants(t), FRAME);
	talker_destroy(t);
}

static void test_spurt_ends_with_five_silence_frames(void)
{
	struct talker *t = make(false);
	push(t, FRAME * 10 + 1, 440, 0.25f);
	CHECK_INT(count, 10);
	push(t, 48000, 440, 0);
	/* one more to flush the encoder's look-ahead, then exactly five */
	int sound = 0, silence = 0;
	for (int i = 0; i < count; i++) {
		sound += !packets[i].silence;
		silence += packets[i].silence;
		if (i > 0)
			CHECK_INT(packets[i].timestamp - packets[i - 1].timestamp, FRAME);
	}
	CHECK_INT(sound, 11);
	CHECK_INT(silence, 5);
	talker_destroy(t);
}

/* A frozen RTP clock makes listeners' delay grow to seconds: it must run through pauses. */
static void test_rtp_time_advances_through_pauses(void)
{
	struct talker *t = make(false);
	push(t, FRAME * 3 + 1, 440, 0.25f);
	uint32_t last = packets[count - 1].timestamp;
	push(t, 48000 * 60, 440, 0);
	int before = count;
	push(t, FRAME * 2, 440, 0.25f);
	CHECK(count > before);
	CHECK_NEAR(packets[before].timestamp - last, 48000 * 60 + FRAME, FRAME + 2);
	talker_destroy(t);
}

/* So must it when the capture device was away: no samples, but time. */
static void test_rtp_time_after_a_stall(void)
{
	struct talker *t = make(false);
	push(t, FRAME * 3 + 1, 440, 0.25f);
	uint32_t last = packets[count - 1].timestamp;
	now_ns += 2 * NS_PER_SEC;
	push(t, FRAME * 2, 440, 0.25f);
	CHECK_NEAR(packets[count - 1].timestamp - last, 96000, 2.5 * FRAME);
	talker_destroy(t);
}

/* After a pause the listener's decoder has heard silence frames, of which the encoder knows nothing:
 * the first frames of the next spurt must come out as they are all the same, and also where the
 * silence frames were lost. */
static void test_second_spurt_begins_as_it_should(void)
{
	for (int lost = 0; lost <= 5; lost += 5) {
		struct talker *t = make(false);
		static float out[48000 * 4];
		int err, n = 0, second = 0;
		OpusDecoder *d = opus_decoder_create(48000, 1, &err);
		push(t, FRAME * 25, 1013, 0.25f);
		push(t, FRAME * 25, 1013, 0);
		push(t, FRAME * 25, 353, 0.25f);
		for (int i = 0, silences = 0; i < count; i++) {
			if (packets[i].silence && silences++ < lost)
				continue;
			if (silences == 5 && !packets[i].silence && !second)
				second = n;
			CHECK(n + FRAME <= 48000 * 4);
			n += opus_decode_float(d, packets[i].data, (int)packets[i].bytes, out + n,
					       FRAME, 0);
		}
		CHECK(second > 0);
		/* each 10 ms past the look-ahead and a little more */
		for (int at = second + 480; at + 480 < second + FRAME * 20; at += 480) {
			double s = 0;
			for (int i = at; i < at + 480; i++)
				s += (double)out[i] * out[i];
			CHECK_NEAR(10 * log10(s / 480), 20 * log10(0.25) - 3.01, 2.5);
		}
		opus_decoder_destroy(d);
		talker_destroy(t);
	}
}

/* Left and right each a tone (0 Hz: silence). */
static void push_pair(struct talker *t, size_t frames, double left_hz, double right_hz)
{
	float left[240], right[240];
	for (size_t done = 0; done < frames; done += 240) {
		for (int i = 0; i < 240; i++, pushed++) {
			left[i] = 0.25f * (float)sin(2 * M_PI * left_hz * (double)pushed / 48000);
			right[i] = 0.25f * (float)sin(2 * M_PI * right_hz * (double)pushed / 48000);
		}
		now_ns += 5 * NS_PER_MS;
		talker_push(t, left, right, 240, now_ns, on_emit, NULL);
	}
}

static int sent_channels(int packet)
{
	return opus_packet_get_nb_channels(packets[packet].data);
}

/* Amplitude of a tone in one channel of what libopus makes of packets [from, count). */
static double in_channel(int channel, double hz, int from)
{
	static float out[48000 * 4 * 2];
	int err, n = 0;
	OpusDecoder *d = opus_decoder_create(48000, 2, &err);
	for (int i = from; i < count && n + FRAME <= 48000 * 4; i++)
		n += opus_decode_float(d, packets[i].data, (int)packets[i].bytes, out + 2 * n, FRAME, 0);
	opus_decoder_destroy(d);
	double s = 0, c = 0;
	for (int i = 9600; i < n; i++) {
		double w = 1 - cos(2 * M_PI * (i - 9600) / (n - 9600));
		s += w * out[2 * i + channel] * sin(2 * M_PI * hz * i / 48000);
		c += w * out[2 * i + channel] * cos(2 * M_PI * hz * i / 48000);
	}
	return 2 * hypot(s, c) / (n - 9600);
}

static void test_stereo_where_the_channels_differ(void)
{
	struct talker *t = make(false);
	struct talker_stats s;
	push_pair(t, 48000 * 2, 1013, 617);
	/* sure of it within the first frames; each tone comes out on its side alone */
	CHECK_INT(sent_channels(5), 2);
	CHECK_INT(sent_channels(count - 1), 2);
	CHECK_NEAR(in_channel(0, 1013, 5), 0.25, 0.01);
	CHECK_NEAR(in_channel(1, 617, 5), 0.25, 0.01);
	CHECK(in_channel(0, 617, 5) < 0.25 / 100);
	CHECK(in_channel(1, 1013, 5) < 0.25 / 100);
	talker_stats(t, &s);
	CHECK(s.stereo && !s.wide);
	/* alike: still two for 3 s, then one, which is heard on both sides as loud as before */
	push_pair(t, 48000 * 5 / 2, 1013, 1013);
	CHECK_INT(sent_channels(count - 1), 2);
	push_pair(t, 48000, 1013, 1013);
	CHECK_INT(sent_channels(count - 1), 1);
	int from = count;
	push_pair(t, 48000, 1013, 1013);
	CHECK_NEAR(in_channel(0, 1013, from), 0.25, 0.01);
	CHECK_NEAR(in_channel(1, 1013, from), 0.25, 0.01);
	talker_destroy(t);
}

/* The same with redundancy, for speech on one side alone: it comes out there and not on the other. */
static void test_stereo_with_fec(void)
{
	struct talker *t = make(true);
	static float out[48000 * 3 * 2];
	double power[2] = {0, 0};
	float left[240], right[240] = {0};
	int err, n = 0;
	for (int k = 0; k < 400; k++) {
		for (int i = 0; i < 240; i++, pushed++) {
			double at = (double)pushed / 48000, v = 0;
			for (int h = 1; h <= 20; h++)
				v += sin(2 * M_PI * 140 * h * at) / h;
			left[i] = (float)(0.15 * v * (0.6 + 0.4 * sin(2 * M_PI * 4 * at)));
		}
		now_ns += 5 * NS_PER_MS;
		talker_push(t, left, right, 240, now_ns, on_emit, NULL);
	}
	OpusDecoder *d = opus_decoder_create(48000, 2, &err);
	for (int i = 25; i < count; i++) {
		CHECK_INT(sent_channels(i), 2);
		n += opus_decode_float(d, packets[i].data, (int)packets[i].bytes, out + 2 * n, FRAME, 0);
	}
	opus_decoder_destroy(d);
	for (int i = 0; i < n; i++)
		for (int c = 0; c < 2; c++)
			power[c] += (double)out[2 * i + c] * out[2 * i + c];
	CHECK(10 * log10(power[0] / n) > -25);
	CHECK(10 * log10(power[0] / power[1]) > 15);
	talker_destroy(t);
}

/* A caller's voice on a stereo line is on both channels: it costs no more than on a mono line. */
static void test_a_caller_on_a_stereo_line_is_mono(void)
{
	struct talker *t = make(false);
	size_t bytes = 0;
	push_pair(t, 48000, 1013, 1013);
	for (int i = 0; i < count; i++) {
		CHECK_INT(sent_channels(i), 1);
		CHECK_INT(opus_packet_get_bandwidth(packets[i].data), OPUS_BANDWIDTH_NARROWBAND);
		bytes += packets[i].bytes;
	}
	CHECK_NEAR((double)bytes / count, 64000 / 8 / 50, 4);
	CHECK_NEAR(in_channel(0, 1013, 0), 0.25, 0.01);
	talker_destroy(t);
}

/* What is wide only in the difference of the channels (1 kHz apart by sign, 9 kHz likewise). */
static void test_wide_in_the_difference(void)
{
	struct talker *t = make(false);
	float left[240], right[240];
	for (int k = 0; k < 200; k++) {
		for (int i = 0; i < 240; i++, pushed++) {
			left[i] = 0.2f * (float)sin(2 * M_PI * 9001 * (double)pushed / 48000);
			right[i] = -left[i];
		}
		now_ns += 5 * NS_PER_MS;
		talker_push(t, left, right, 240, now_ns, on_emit, NULL);
	}
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_FULLBAND);
	CHECK_NEAR(in_channel(0, 9001, 5), 0.2, 0.02);
	talker_destroy(t);
}

/* The definition behind the PCM was changed and the line came back: stereo, and mono again. */
static void test_the_line_changes_its_channels(void)
{
	struct talker *t = make(false);
	push(t, 48000, 1013, 0.25f);
	push_pair(t, 48000, 1013, 617);
	int from = count;
	push_pair(t, 48000, 1013, 617);
	CHECK_NEAR(in_channel(1, 617, from), 0.25, 0.01);
	push(t, 48000, 1013, 0.25f);
	from = count;
	push(t, 48000, 1013, 0.25f);
	CHECK_INT(sent_channels(count - 1), 1);
	CHECK_NEAR(in_channel(0, 1013, from), 0.25, 0.01);
	for (int i = 1; i < count; i++) /* RTP time has gone on all the while */
		CHECK_NEAR(packets[i].timestamp - packets[i - 1].timestamp, FRAME, FRAME);
	talker_destroy(t);
}

static double snr(struct talker *t, float hz, int frames)
{
	int err, n = 0;
	static float out[48000 * 4];
	OpusDecoder *d = opus_decoder_create(48000, 1, &err);
	push(t, (size_t)frames * FRAME + 1, hz, 0.18f);
	for (int i = 0; i < count && n + FRAME <= 48000 * 4; i++)
		n += opus_decode_float(d, packets[i].data, (int)packets[i].bytes, out + n, FRAME, 0);
	opus_decoder_destroy(d);
	/* least squares against sine and cosine, past the encoder's start */
	double ss = 0, cc = 0, sc = 0, xs = 0, xc = 0, xx = 0;
	for (int i = 9600; i < n; i++) {
		double s = sin(2 * M_PI * hz * i / 48000), c = cos(2 * M_PI * hz * i / 48000);
		ss += s * s, cc += c * c, sc += s * c;
		xs += out[i] * s, xc += out[i] * c, xx += (double)out[i] * out[i];
	}
	double det = ss * cc - sc * sc, a = (xs * cc - xc * sc) / det, b = (xc * ss - xs * sc) / det;
	double rest = xx - a * xs - b * xc;
	CHECK_NEAR(sqrt(a * a + b * b), 0.18, 0.004); /* gain 1.00 */
	return 10 * log10((xx - rest) / rest);
}

static void test_phone_band_is_coded_narrow_and_well(void)
{
	struct talker *t = make(false);
	CHECK(snr(t, 1013, 60) > 30);
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_NARROWBAND);
	CHECK_INT(opus_packet_get_nb_channels(packets[count - 1].data), 1);
	CHECK_INT(opus_packet_get_nb_samples(packets[count - 1].data, (int)packets[count - 1].bytes,
					     48000), FRAME);
	talker_destroy(t);
}

static void test_wider_sound_widens_the_coding(void)
{
	struct talker *t = make(false);
	struct talker_stats s;
	CHECK(snr(t, 9001, 60) > 20);
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_FULLBAND);
	talker_stats(t, &s);
	CHECK(s.wide);
	talker_destroy(t);
}

/* As wide as the sound is: what 16 kHz carry goes out wideband, and better than full band would do. */
static void test_bandwidth_follows_in_steps(void)
{
	static const struct {
		float hz;
		int bandwidth;
	} steps[] = {{3400, OPUS_BANDWIDTH_NARROWBAND}, {6100, OPUS_BANDWIDTH_WIDEBAND},
		     {7500, OPUS_BANDWIDTH_WIDEBAND},   {9400, OPUS_BANDWIDTH_FULLBAND},
		     {15000, OPUS_BANDWIDTH_FULLBAND}};
	for (int i = 0; i < 5; i++) {
		struct talker *t = make(false);
		push(t, FRAME * 50, steps[i].hz, 0.2f);
		CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), steps[i].bandwidth);
		/* found within the first frames */
		CHECK_INT(opus_packet_get_bandwidth(packets[4].data), steps[i].bandwidth);
		talker_destroy(t);
	}
	struct talker *t = make(false);
	push(t, FRAME * 50, 12000, 0.2f);
	push(t, FRAME * 50, 7000, 0.2f); /* a second of it: the top may come back */
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_FULLBAND);
	push(t, FRAME * 120, 7000, 0.2f);
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_WIDEBAND);
	push(t, FRAME * 170, 1013, 0.2f);
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_NARROWBAND);
	push(t, FRAME * 10, 12000, 0.2f);
	CHECK_INT(opus_packet_get_bandwidth(packets[count - 1].data), OPUS_BANDWIDTH_FULLBAND);
	talker_destroy(t);
}

/* Something that the encoder takes for speech: it sends redundancy for speech only. */
static void push_vowels(struct talker *t, size_t frames)
{
	float block[240];
	for (size_t done = 0; done < frames; done += 240) {
		for (int i = 0; i < 240; i++, pushed++) {
			double at = (double)pushed / 48000, v = 0;
			for (int h = 1; h <= 20; h++)
				v += sin(2 * M_PI * 140 * h * at) / h;
			block[i] = (float)(0.15 * v * (0.6 + 0.4 * sin(2 * M_PI * 4 * at)));
		}
		now_ns += 5 * NS_PER_MS;
		talker_push(t, block, NULL, 240, now_ns, on_emit, NULL);
	}
}

/* With OPUS_FEC=on a lost packet can be rebuilt from its successor; without the redundancy the
 * decoder can only guess on. */
static void test_fec_rebuilds_a_lost_packet(void)
{
	struct talker *t = make(true);
	static float truth[2 * FRAME], rebuilt[FRAME], guessed[FRAME];
	double error_fec = 0, error_plc = 0;
	int err;
	push_vowels(t, FRAME * 100);
	for (int lost = 30; lost < 90; lost += 6) {
		OpusDecoder *d = opus_decoder_create(48000, 1, &err), *e = opus_decoder_create(48000, 1, &err);
		OpusDecoder *f = opus_decoder_create(48000, 1, &err);
		for (int i = lost - 20; i <= lost; i++) {
			CHECK_INT(opus_decode_float(d, packets[i].data, (int)packets[i].bytes, truth, FRAME, 0), FRAME);
			if (i == lost)
				break;
			CHECK_INT(opus_decode_float(e, packets[i].data, (int)packets[i].bytes, rebuilt, FRAME, 0), FRAME);
			CHECK_INT(opus_decode_float(f, packets[i].data, (int)packets[i].bytes, guessed, FRAME, 0), FRAME);
		}
		CHECK_INT(opus_decode_float(e, packets[lost + 1].data, (int)packets[lost + 1].bytes, rebuilt,
					    FRAME, 1), FRAME);
		CHECK_INT(opus_decode_float(f, NULL, 0, guessed, FRAME, 0), FRAME);
		for (int i = 0; i < FRAME; i++) {
			error_fec += (truth[i] - rebuilt[i]) * (truth[i] - rebuilt[i]);
			error_plc += (truth[i] - guessed[i]) * (truth[i] - guessed[i]);
		}
		opus_decoder_destroy(d);
		opus_decoder_destroy(e);
		opus_decoder_destroy(f);
	}
	CHECK(error_fec < error_plc / 2);
	talker_destroy(t);
}

int main(void)
{
	UNIT(test_nothing_leaves_in_silence);
	UNIT(test_restart_announces_itself);
	UNIT(test_packet_leaves_with_its_last_sample);
	UNIT(test_spurt_ends_with_five_silence_frames);
	UNIT(test_rtp_time_advances_through_pauses);
	UNIT(test_rtp_time_after_a_stall);
	UNIT(test_second_spurt_begins_as_it_should);
	UNIT(test_phone_band_is_coded_narrow_and_well);
	UNIT(test_wider_sound_widens_the_coding);
	UNIT(test_bandwidth_follows_in_steps);
	UNIT(test_fec_rebuilds_a_lost_packet);
	UNIT(test_stereo_where_the_channels_differ);
	UNIT(test_stereo_with_fec);
	UNIT(test_a_caller_on_a_stereo_line_is_mono);
	UNIT(test_wide_in_the_difference);
	UNIT(test_the_line_changes_its_channels);
	return unit_done();
}
