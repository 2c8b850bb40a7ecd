/* SPDX-License-Identifier: MIT
 *
 * Playout: single rules on hand-made packet sequences, then the whole in the simulator.
 */
#include "alsa/playout.h"
#include "alsa/wave_extend.h"
#include "stream_sim.h"
#include "tests/e2e/signal.h"

#include "unit.h"

#define MS INT64_C(1000000)
#define T0 INT64_C(5000000000)

/* A stream under hand control: sound is a tone by media time, so that its continuity can be seen. */
struct hand {
	struct playout *p;
	unsigned rate, packet;
	double hz;
	int64_t now; /* ns, of the last pull */
	float out[240];
	float last, before; /* last two samples heard */
	double bend;        /* greatest second difference heard */
	double energy;
	long silent_blocks, blocks;
	int asked; /* times the decoder was asked for concealment */
	int64_t asked_media;
};

static bool conceal(void *ctx, int64_t media, float *out, unsigned frames)
{
	struct hand *h = ctx;
	h->asked++;
	h->asked_media = media;
	for (unsigned i = 0; i < frames; i++)
		out[i] = (float)(0.3 * sin(2 * M_PI * h->hz * (double)(media + i) / h->rate));
	return true;
}

static void hand_start(struct hand *h, unsigned rate, bool decoder)
{
	memset(h, 0, sizeof *h);
	struct playout_config config = {.rate = rate, .conceal = decoder ? conceal : NULL, .conceal_ctx = h};
	h->rate = rate;
	h->packet = rate / 50;
	h->hz = 313;
	h->now = T0;
	CHECK_INT(playout_create(&h->p, &config), 0);
}

static enum playout_verdict put(struct hand *h, int64_t media, int64_t arrival)
{
	float x[960];
	for (unsigned i = 0; i < h->packet; i++)
		x[i] = (float)(0.3 * sin(2 * M_PI * h->hz * (double)(media + i) / h->rate));
	return playout_put(h->p, media, x, h->packet, arrival);
}

static bool pull(struct hand *h)
{
	h->now += 5 * MS;
	bool sound = playout_pull(h->p, h->now, h->out, 240);
	h->blocks++;
	h->silent_blocks += !sound;
	for (int i = 0; i < 240; i++) {
		double second = fabs(h->out[i] - 2 * h->last + h->before);
		if (second > h->bend)
			h->bend = second;
		h->before = h->last;
		h->last = h->out[i];
		h->energy += h->out[i] * h->out[i];
	}
	return sound;
}

/* The tone's own second difference is A (2 pi f / fs)^2; a click of 0.01 would be far above. */
static double natural_bend(const struct hand *h)
{
	double w = 2 * M_PI * h->hz / 48000;
	return 0.3 * w * w;
}

/* One packet each 20 ms, arriving `delay` late, for seconds; media goes on from *media. */
static void run(struct hand *h, int64_t *media, double seconds, int64_t delay)
{
	for (int i = 0; i < (int)(seconds * 50); i++) {
		put(h, *media, h->now + delay);
		*media += h->packet;
		for (int k = 0; k < 4; k++)
			pull(h);
	}
}

static struct playout_stats stats(struct hand *h)
{
	struct playout_stats s;
	playout_stats(h->p, &s);
	return s;
}

static void test_refuses_bad_settings(void)
{
	struct playout *p;
	struct playout_config c = {.rate = 44100};
	CHECK_INT(playout_create(&p, &c), -22);
	CHECK(p == NULL);
	c = (struct playout_config){.rate = 8000, .ceiling_ms = 200};
	CHECK_INT(playout_create(&p, &c), -22);
	c = (struct playout_config){.rate = 8000, .floor_ms = 130};
	CHECK_INT(playout_create(&p, &c), -22);
	c = (struct playout_config){.rate = 8000, .start_ms = 130};
	CHECK_INT(playout_create(&p, &c), -22);
	playout_destroy(NULL);
}

static void test_refuses_bad_packets(void)
{
	struct hand h;
	static float x[48000];
	hand_start(&h, 8000, false);
	CHECK_INT(playout_put(h.p, 0, x, 0, h.now), PLAYOUT_REFUSED);
	CHECK_INT(playout_put(h.p, 0, x, 961, h.now), PLAYOUT_REFUSED);
	CHECK_INT(playout_put(h.p, INT64_MAX - 100, x, 160, h.now), PLAYOUT_REFUSED);
	CHECK_INT(playout_put(h.p, INT64_MIN, x, 160, h.now), PLAYOUT_REFUSED);
	CHECK_INT(playout_put_made(h.p, 0, x, 160), PLAYOUT_REFUSED); /* no stream yet */
	CHECK_INT(stats(&h).refused, 4);
	CHECK(!pull(&h) || h.energy == 0);
	playout_destroy(h.p);
}

static void test_starts_at_40_ms_and_comes_down_to_the_floor(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		struct hand h;
		int64_t media = 12345, first = -1;
		hand_start(&h, rate, false);
		for (int i = 0; i < 50 && first < 0; i++) {
			put(&h, media, h.now);
			media += h.packet;
			for (int k = 0; k < 4 && first < 0; k++) {
				pull(&h);
				if (h.energy > 1e-4)
					first = h.now - T0;
			}
		}
		/* put at T0, its first sample is heard 40 ms later (blocks of 5, filter of 2) */
		CHECK_NEAR(first / 1e6, 45, 5);
		run(&h, &media, 60, 0);
		CHECK_NEAR(stats(&h).target_ns / 1e6, 3, 0.1);
		CHECK_NEAR(stats(&h).delay_ns / 1e6, 3, 0.5);
		CHECK_INT(stats(&h).concealed, 0);
		CHECK_INT(stats(&h).splices, 0); /* a tone has no quiet frames: by trimming alone */
		CHECK(h.bend < 1.3 * natural_bend(&h));
		playout_destroy(h.p);
	}
}

/* Jitter of 1.5 ms that is over: what is too much is less than the dead band, and goes all the same. */
static void test_a_little_too_much_goes_as_well(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 8000, false);
	run(&h, &media, 40, 0);
	for (int i = 0; i < 15 * 50; i++)
		run(&h, &media, 0.02, i % 2 ? 1500000 : 0);
	CHECK_NEAR(stats(&h).target_ns / 1e6, 5.25, 0.1);
	CHECK_NEAR(stats(&h).hold_ns / 1e6, 5.25, 1);
	run(&h, &media, 35, 0);
	CHECK_NEAR(stats(&h).target_ns / 1e6, 3, 0.1);
	CHECK_NEAR(stats(&h).delay_ns / 1e6, 3, 0.5);
	CHECK_INT(stats(&h).splices, 0);
	CHECK(h.bend < 1.3 * natural_bend(&h));
	playout_destroy(h.p);
}

static void test_quiet_sound_shrinks_the_delay_sooner(void)
{
	struct hand h;
	float zero[160] = {0};
	int64_t media = 0;
	hand_start(&h, 8000, false);
	for (int i = 0; i < 50 * 4; i++, media += 160) {
		playout_put(h.p, media, zero, 160, h.now);
		for (int k = 0; k < 4; k++)
			pull(&h);
	}
	/* two drops of 500 ms apart bring 35 ms after the first second of measuring */
	CHECK_NEAR(stats(&h).delay_ns / 1e6, 3, 5);
	CHECK(stats(&h).dropped >= 240);
	CHECK_INT(stats(&h).concealed, 0);
	playout_destroy(h.p);
}

static void test_order_does_not_matter_and_duplicates_do_nothing(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 48000, true);
	run(&h, &media, 2, 0);
	for (int i = 0; i < 100; i++) {
		CHECK_INT(put(&h, media + 960, h.now), PLAYOUT_TAKEN);
		CHECK_INT(put(&h, media, h.now), PLAYOUT_TAKEN);
		CHECK_INT(put(&h, media, h.now), PLAYOUT_DUPLICATE);
		media += 1920;
		for (int k = 0; k < 8; k++)
			pull(&h);
	}
	CHECK_INT(stats(&h).duplicates, 100);
	CHECK_INT(stats(&h).late, 0);
	CHECK_INT(stats(&h).concealed, 0);
	CHECK_INT(h.asked, 0);
	CHECK(h.bend < 1.3 * natural_bend(&h));
	playout_destroy(h.p);
}

static void test_a_lost_packet_is_concealed_without_a_click(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		struct hand h;
		int64_t media = 0;
		hand_start(&h, rate, false);
		run(&h, &media, 5, 0);
		h.energy = 0;
		run(&h, &media, 0.5, 0);
		double before = h.energy;
		h.energy = 0;
		for (int i = 0; i < 5; i++) {
			media += h.packet; /* lost */
			for (int k = 0; k < 4; k++)
				pull(&h);
			run(&h, &media, 0.08, 0);
		}
		/* one in five lost: the level holds within 3 dB, nothing clicks */
		CHECK_NEAR(10 * log10(h.energy / before), 0, 1.5);
		CHECK_INT(stats(&h).concealed, 5 * h.packet);
		CHECK(h.bend < 6 * natural_bend(&h));
		CHECK_INT(stats(&h).resyncs, 0);
		playout_destroy(h.p);
	}
}

static void test_the_decoder_is_asked_for_what_is_missing(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 48000, true);
	run(&h, &media, 5, 0);
	int64_t missing = media;
	media += 960;
	for (int k = 0; k < 4 + 8; k++) /* the next one comes too late to be of help at once */
		pull(&h);
	CHECK(h.asked > 0);
	CHECK(h.asked_media >= missing);
	CHECK(stats(&h).concealed >= 960);
	int64_t concealed = (int64_t)stats(&h).concealed;
	/* what the decoder made is what was said: not a trace is heard of it */
	CHECK(h.bend < 1.3 * natural_bend(&h));
	/* a late packet whose place has been concealed is discarded and counted */
	CHECK_INT(put(&h, missing, h.now), PLAYOUT_LATE);
	CHECK_INT(stats(&h).late, 1);
	CHECK_INT(stats(&h).concealed, concealed);
	playout_destroy(h.p);
}

/* A packet that is only late is waited for: the wave goes on for up to 10 ms, the decoder is left alone, and
 * it is taken when it comes. Another one as late a second later likewise; one that stays away is asked for. */
static void test_the_decoder_is_not_asked_for_what_is_late(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 48000, true);
	run(&h, &media, 45, 0); /* the delay has come down to 3 to 5 ms */
	for (int n = 0; n < 3; n++) {
		uint64_t made = stats(&h).concealed;
		for (int k = 0; k < 2; k++)
			pull(&h);
		CHECK_INT(put(&h, media, h.now), PLAYOUT_TAKEN); /* 10 ms after its time */
		media += 960;
		CHECK(stats(&h).concealed - made > 0);
		CHECK(stats(&h).concealed - made <= 480);
		for (int k = 0; k < 2; k++)
			pull(&h);
		run(&h, &media, 1, 0);
		CHECK_INT(h.asked, 0);
	}
	media += 960;
	for (int k = 0; k < 4; k++)
		pull(&h);
	run(&h, &media, 1, 0);
	CHECK_INT(h.asked, 1);
	CHECK_INT(h.asked_media, media - 50 * 960 - 960);
	playout_destroy(h.p);
}

/*
 * Around 1013 Hz at 8 kHz: of all periods up to 15 ms that of ten waves, 79 frames, fits to a few degrees. The
 * shorter ones are off by up to 20, which is a tenth of the tone left over, and as much again each time round.
 */
static void test_a_tone_is_continued_in_tune(void)
{
	for (double hz = 1011; hz <= 1015; hz += 0.25) {
		struct wave_extend *w;
		float x[800], made[80];
		double off = 0, all = 0;

		CHECK_INT(wave_extend_create(&w, 8000), 0);
		for (int i = 0; i < 800; i++)
			x[i] = (float)(0.2 * sin(2 * M_PI * hz / 8000 * i));
		wave_extend_record(w, x, 720);
		wave_extend_begin(w);
		wave_extend_next(w, made, 80);
		for (int i = 0; i < 80; i++) {
			off += (made[i] - x[720 + i]) * (made[i] - x[720 + i]);
			all += x[720 + i] * x[720 + i];
		}
		CHECK(10 * log10(off / all) < -24);
		wave_extend_destroy(w);
	}
}

static void test_what_is_made_ahead_gives_way_to_what_was_said(void)
{
	struct hand h;
	float made[960] = {0};
	int64_t media = 0;
	hand_start(&h, 48000, true);
	run(&h, &media, 1, 0); /* still some 40 ms ahead */
	CHECK_INT(playout_put_made(h.p, media, made, 960), PLAYOUT_TAKEN);
	CHECK_INT(playout_put_made(h.p, media, made, 960), PLAYOUT_DUPLICATE);
	CHECK_INT(put(&h, media, h.now), PLAYOUT_TAKEN);
	CHECK_INT(playout_put_made(h.p, media, made, 960), PLAYOUT_DUPLICATE);
	media += 960;
	for (int k = 0; k < 4; k++)
		pull(&h);
	run(&h, &media, 1, 0);
	CHECK(h.bend < 1.3 * natural_bend(&h)); /* the zeros were never heard */
	playout_destroy(h.p);
}

static void test_a_stream_that_stops_fades_and_costs_nothing(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		for (int said = 0; said < 2; said++) {
			struct hand h;
			int64_t media = 0;
			hand_start(&h, rate, rate == 48000);
			run(&h, &media, 3, 0);
			if (said)
				playout_pause(h.p);
			int blocks = 0;
			while (pull(&h))
				CHECK(++blocks < 60);
			CHECK(h.bend < 3 * natural_bend(&h));
			CHECK(!stats(&h).playing);
			if (said)
				CHECK_INT(h.asked, 0);
			for (int i = 0; i < 240; i++)
				CHECK(h.out[i] == 0);
			/* speech comes back after a pause in which time went on, or stood still */
			for (int k = 0; k < 1000; k++)
				CHECK(!pull(&h));
			h.energy = 0;
			if (said)
				media += 5000 * rate / 1000 + h.packet;
			run(&h, &media, 1, 0);
			/* nearly all of it is heard: start-up delay and fade-in apart */
			CHECK(h.energy > 0.85 * 48000 * 0.045);
			CHECK_INT(stats(&h).late, 0);
			playout_destroy(h.p);
		}
	}
}

static void test_a_media_time_jump_is_followed(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 8000, false);
	run(&h, &media, 3, 0);
	/* one mad packet changes nothing */
	CHECK_INT(put(&h, media + 800000000, h.now), PLAYOUT_JUMP);
	run(&h, &media, 1, 0);
	CHECK_INT(stats(&h).resyncs, 0);
	/* both directions, amid sound: three packets agree */
	for (int sign = -1; sign <= 1; sign += 2) {
		media += sign * 80000;
		run(&h, &media, 1, 0);
		h.energy = 0;
		run(&h, &media, 1, 0);
		CHECK_NEAR(h.energy, 48000 * 0.045, 500);
	}
	CHECK_INT(stats(&h).resyncs, 2);
	CHECK(h.bend < 6 * natural_bend(&h));
	/* announced: nothing is lost */
	playout_restart(h.p);
	media = -77777;
	CHECK_INT(put(&h, media, h.now), PLAYOUT_TAKEN);
	CHECK_INT(stats(&h).resyncs, 3);
	playout_destroy(h.p);
}

static void test_delay_grows_at_once_when_the_network_turns_bad(void)
{
	struct hand h;
	int64_t media = 0;
	uint64_t seed = 99;
	hand_start(&h, 8000, false);
	run(&h, &media, 60, 0);
	CHECK_NEAR(stats(&h).delay_ns / 1e6, 3, 1);
	/* from now on up to 60 ms of jitter, in order */
	double due[3000], prev = 0;
	for (int i = 0; i < 1500; i++) {
		due[i] = i * 20 + 60 * sim_uniform(&seed);
		if (due[i] < prev)
			due[i] = prev;
		prev = due[i];
	}
	int64_t start = h.now;
	int next = 0;
	uint64_t late_early = 0, concealed_early = 0;
	for (int k = 0; k < 6000 && next < 1500; k++) {
		while (next < 1500 && start + (int64_t)(due[next] * 1e6) <= h.now + 5 * MS) {
			put(&h, media, start + (int64_t)(due[next] * 1e6));
			media += 160;
			next++;
		}
		pull(&h);
		if (k == 200) {
			late_early = stats(&h).late;
			concealed_early = stats(&h).concealed;
		}
	}
	/* after one second hardly anything is missed any more */
	CHECK(stats(&h).late - late_early <= 3);
	CHECK(stats(&h).concealed - concealed_early < 1600);
	CHECK_NEAR(stats(&h).delay_ns / 1e6, 65, 8);
	CHECK_INT(stats(&h).resyncs, 0);
	playout_destroy(h.p);
}

static void test_delay_is_bounded_after_an_outage_of_the_reader(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 8000, false);
	run(&h, &media, 3, 0);
	/* nobody pulls for two seconds (the loopback is gone); packets go on */
	for (int i = 0; i < 100; i++, media += 160) {
		h.now += 20 * MS;
		put(&h, media, h.now);
	}
	run(&h, &media, 2, 0);
	CHECK(stats(&h).delay_ns < 60 * MS);
	h.energy = 0;
	run(&h, &media, 1, 0);
	CHECK_NEAR(h.energy, 48000 * 0.045, 500);
	playout_destroy(h.p);
}

static void test_due_time_tells_a_decoder_how_long_to_wait(void)
{
	struct hand h;
	int64_t media = 0;
	hand_start(&h, 48000, true);
	CHECK(playout_due_ns(h.p, 0) == INT64_MAX);
	run(&h, &media, 2, 0);
	int64_t due = playout_due_ns(h.p, media);
	CHECK(due > h.now);
	CHECK(due <= h.now + 45 * MS);
	CHECK(playout_due_ns(h.p, media + 960) - due == 20 * MS);
	CHECK(playout_due_ns(h.p, media - 48000) == INT64_MIN);
	/* put right at its due time it is still heard */
	while (h.now + 5 * MS <= due)
		pull(&h);
	CHECK_INT(put(&h, media, h.now), PLAYOUT_TAKEN);
	CHECK_INT(h.asked, 0);
	CHECK_INT(stats(&h).concealed, 0);
	playout_destroy(h.p);
}

static void test_rtp_timestamps_are_unwrapped(void)
{
	CHECK_INT(playout_unwrap(0, 960), 960);
	CHECK_INT(playout_unwrap(0xFFFFFF00, 0x100), 0x100000100);
	CHECK_INT(playout_unwrap(0x100000100, 0xFFFFFF00), 0xFFFFFF00);
	CHECK_INT(playout_unwrap(-5, 0xFFFFFFF0u), -16);
}

/* Anything at all may come from a network: nothing breaks, nothing grows, output stays bounded. */
static void test_garbage_does_no_harm(void)
{
	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		struct hand h;
		static float x[6000];
		uint64_t s = 4711;
		int64_t media = 0;
		hand_start(&h, rate, rate == 48000);
		for (int i = 0; i < 6000; i++)
			x[i] = (float)sin(i * 0.05);
		for (int i = 0; i < 200000; i++) {
			uint64_t r = sim_random(&s);
			switch (r % 16) {
			case 0:
				media = (int64_t)sim_random(&s);
				break;
			case 1:
				media += (int64_t)(sim_random(&s) % 2000000) - 1000000;
				break;
			case 2:
				playout_restart(h.p);
				break;
			case 3:
				playout_pause(h.p);
				break;
			case 4:
				playout_put_made(h.p, media, x, (unsigned)(sim_random(&s) % 6000));
				break;
			case 5:
				h.now += (int64_t)(sim_random(&s) % 300) * MS;
				break;
			case 6:
				playout_due_ns(h.p, media);
				break;
			case 7:
			case 8:
			case 9:
				pull(&h);
				for (int k = 0; k < 240; k++)
					CHECK(fabsf(h.out[k]) < 4);
				break;
			default:
				playout_put(h.p, media, x, (unsigned)(sim_random(&s) % (rate == 8000 ? 400 : 3000)),
					    h.now + (int64_t)(sim_random(&s) % 400) * MS - 200 * MS);
				media += h.packet;
			}
		}
		CHECK(stats(&h).delay_ns < INT64_C(1000000000000));
		playout_reset(h.p);
		media = 0;
		run(&h, &media, 2, 0);
		CHECK(stats(&h).playing);
		playout_destroy(h.p);
	}
}

/* ---- simulated --------------------------------------------------------------------------------- */

static void simulate(unsigned rate, enum sim_net net, double ppm, struct sim_result *r)
{
	struct sim_config c = {.rate = rate,
			       .net = net,
			       .ordered = rate == 8000,
			       .ppm = ppm,
			       .hours = 0.06,
			       .hz = 313,
			       .amplitude = 0.3,
			       .seed = 1000 + (uint64_t)(ppm + 500)};
	if (rate == 48000 && net != SIM_IDEAL) {
		c.loss = 0.01;
		c.duplicates = 0.01;
		c.reorder = 0.01;
	}
	CHECK(sim_run(&c, r));
	CHECK_NEAR(r->ppm_mean, ppm, 2);
	CHECK(r->ppm_sd <= 15);
	CHECK_NEAR(r->error_mean_ms, 0, 0.2);
	CHECK(r->error_max_ms < 2);
	CHECK_INT(r->stats.resyncs, 0);
	CHECK(r->delay_max_ms < 125);
	if (net == SIM_IDEAL) {
		CHECK_INT(r->stats.late, 0);
		CHECK_INT(r->stats.concealed, 0);
		CHECK_INT(r->stats.splices, 0);
	}
}

static void test_drift_8k_ideal(void)
{
	struct sim_result r;
	for (double ppm = -500; ppm <= 500; ppm += 250)
		simulate(8000, SIM_IDEAL, ppm, &r);
}

static void test_drift_8k_jitter(void)
{
	struct sim_result r;
	for (double ppm = -300; ppm <= 300; ppm += 300)
		simulate(8000, SIM_JITTER, ppm, &r);
}

/*
 * A machine that stands still six times a minute, for 22 ms at most, is no jitter: what is waited for stays
 * that of the network, of which the 99th percentile is 9.9 ms, and the 5 ms on top. What of a packet comes
 * later than that is made up, and nothing else is: no splice, no creeping delay.
 */
static void test_standstills(void)
{
	struct sim_result r;
	struct sim_config c = {.net = SIM_STILL, .ordered = true, .ppm = 80, .hours = 0.5, .hz = 313,
			       .amplitude = 0.3};
	for (c.rate = 8000; c.rate <= 48000; c.rate += 40000) {
		CHECK(sim_run(&c, &r));
		CHECK(r.stills > 170);
		CHECK_NEAR((double)r.stats.target_ns, 15e6, 0.3e6);
		CHECK_NEAR(r.delay_mean_ms, 15, 0.3); /* it begins with 40, and shrinks by 1 ms a second */
		CHECK_INT(r.settled.splices, 0);
		CHECK_NEAR(r.ppm_mean, 80, 1);
		/* the packet that is due then: jitter (0 to 10) and standstill (5 to 22) less 14.7, where that
		 * is positive, is 4.7 ms on average; of 179 of them */
		CHECK((double)r.settled.concealed * 1e3 / c.rate <= 4.7 * 1.15 * (double)r.stills);
	}
}

static void test_drift_8k_stalls(void)
{
	struct sim_result r;
	for (double ppm = -300; ppm <= 300; ppm += 300)
		simulate(8000, SIM_STALL, ppm, &r);
}

static void test_drift_48k_ideal(void)
{
	struct sim_result r;
	for (double ppm = -500; ppm <= 500; ppm += 500)
		simulate(48000, SIM_IDEAL, ppm, &r);
}

static void test_drift_48k_loss_reorder_duplicates(void)
{
	struct sim_result r;
	simulate(48000, SIM_JITTER, -300, &r);
	simulate(48000, SIM_JITTER, 300, &r);
}

static void test_drift_through_pauses(void)
{
	struct sim_result r;
	struct sim_config c = {.rate = 48000, .net = SIM_JITTER, .ppm = 150, .hours = 0.15, .hz = 313,
			       .amplitude = 0.3, .spurt_s = 5, .pause_s = 4};
	for (int stands = 0; stands < 2; stands++) {
		c.time_stands = stands;
		CHECK(sim_run(&c, &r));
		/* Senders whose time stands still in pauses start anew with every spurt: nothing can be
		 * averaged beyond one, and 100 ppm off is half a ms by its end. */
		CHECK_NEAR(r.ppm_mean, 150, stands ? 100 : 3);
		CHECK(r.delay_max_ms < 125);
	}
}

/* Senders that count media time by packets place each spurt anew, up to a packet off: no drift. */
static void test_a_spurt_placed_anew_is_no_drift(void)
{
	struct sim_result r;
	struct sim_config c = {.rate = 48000, .hours = 0.15, .hz = 313, .amplitude = 0.3, .spurt_s = 5,
			       .pause_s = 4, .phase_s = 0.02};
	for (int jitter = 0; jitter < 2; jitter++) {
		c.net = jitter ? SIM_JITTER : SIM_IDEAL;
		for (c.ppm = -150; c.ppm <= 150; c.ppm += 150) {
			CHECK(sim_run(&c, &r));
			/* on its way to the truth, or there; never driven off by the steps */
			CHECK(r.ppm_min >= fmin(c.ppm, 0) - (jitter ? 100 : 30));
			CHECK(r.ppm_max <= fmax(c.ppm, 0) + (jitter ? 100 : 30));
		}
	}
}

/* The reader sets its time by up to 24 ms, either way: no rate is bent for it, nothing is late after it, and
 * set back the delay is what it was, and the sound is stretched in time with itself: no level falls. */
static void test_a_reader_that_sets_its_time(void)
{
	static const int by_ms[] = {-5, -1, 1, 8, 24};

	for (int k = 0; k < 5; k++) {
		struct playout_stats before, after;
		struct hand h;
		int64_t media = 0, arrival = T0, shift = by_ms[k] * MS;
		double worst = 0, least = 1, block = 0;

		hand_start(&h, 8000, false);
		h.now = T0 - 5 * MS;
		for (int i = 0; i < 4 * 50 * 80; i++) {
			if (i % 4 == 0) {
				put(&h, media, arrival);
				media += h.packet;
				arrival += 20 * MS;
			}
			if (i == 4 * 50 * 60) {
				playout_stats(h.p, &before);
				CHECK_NEAR(before.ppm, 0, 3);
				playout_shift(h.p, shift);
				h.now += shift;
			}
			double before_block = block, energy = h.energy;
			pull(&h);
			block = h.energy - energy;
			playout_stats(h.p, &after);
			if (i <= 4 * 50 * 60)
				continue;
			worst = fmax(worst, fabs(after.ppm));
			/* 10 ms, that is three periods; a tone's mean square is half of its amplitude's */
			least = fmin(least, (before_block + block) / (480 * 0.3 * 0.3 / 2));
		}
		CHECK(worst < 5);
		CHECK(h.bend < 2 * natural_bend(&h)); /* no click */
		CHECK_INT(after.late, before.late);
		if (shift < 0)
			CHECK(least > 0.8);
		if (shift < 0)
			CHECK_NEAR(after.delay_ns, before.delay_ns, 2 * MS);
		playout_destroy(h.p);
	}
}

/*
 * Two channels that carry the same are what one channel is, sample for sample, through everything that
 * can happen: growth, shrinking, losses, a hole, a jump of media time, drift.
 */
static void test_two_channels_are_one_twice(void)
{
	enum { PACKET = 960, PACKETS = 1500, BLOCK = 240 };
	struct playout_config one = {.rate = 48000}, two = {.rate = 48000, .channels = 2};
	static float voice[8000 * 30], x[2 * PACKET];
	struct playout *mono, *pair;
	struct playout_stats a, b;
	float *wide, left[BLOCK], both[2 * BLOCK];
	uint64_t seed = 99;
	int64_t now = T0;
	double worst = 0;
	int next = 0;

	signal_voice(voice, 8000 * 30, 8000, 4);
	CHECK_INT(signal_resample(&wide, voice, 8000 * 30, 8000, 48000), PACKET * PACKETS);
	CHECK_INT(playout_create(&mono, &one), 0);
	CHECK_INT(playout_create(&pair, &two), 0);
	for (int k = 0; k < PACKETS * 4; k++) {
		double bad = k > 1200 && k < 2400 ? 0.03 : 0.002; /* the network is bad for six seconds */

		for (; next < PACKETS && (double)next * 0.01999 <= k * 0.005; next++) {
			int64_t media = (int64_t)next * PACKET + (next > 900 ? 48000 * 7 : 0);
			int64_t arrival = now - (int64_t)(sim_uniform(&seed) * bad * 1e9);

			if (sim_uniform(&seed) < 0.03 || (next > 500 && next < 540))
				continue;
			memcpy(x, wide + next * PACKET, PACKET * sizeof *x);
			memcpy(x + PACKET, wide + next * PACKET, PACKET * sizeof *x);
			CHECK_INT(playout_put(mono, media, x, PACKET, arrival),
				  playout_put(pair, media, x, PACKET, arrival));
		}
		CHECK_INT(playout_pull(mono, now, left, BLOCK), playout_pull(pair, now, both, BLOCK));
		for (int i = 0; i < BLOCK; i++) {
			worst = fmax(worst, fabs(left[i] - both[i]));
			CHECK(both[i] == both[BLOCK + i]);
		}
		now += 5 * MS;
	}
	playout_stats(mono, &a);
	playout_stats(pair, &b);
	CHECK(a.splices > 3 && a.concealed > 48000 / 10 && a.resyncs > 0);
	CHECK_INT(b.splices, a.splices);
	CHECK_INT(b.concealed, a.concealed);
	CHECK(worst < 1e-5);
	free(wide);
	playout_destroy(mono);
	playout_destroy(pair);
}

int main(void)
{
	UNIT(test_refuses_bad_settings);
	UNIT(test_refuses_bad_packets);
	UNIT(test_starts_at_40_ms_and_comes_down_to_the_floor);
	UNIT(test_a_little_too_much_goes_as_well);
	UNIT(test_quiet_sound_shrinks_the_delay_sooner);
	UNIT(test_order_does_not_matter_and_duplicates_do_nothing);
	UNIT(test_a_lost_packet_is_concealed_without_a_click);
	UNIT(test_the_decoder_is_asked_for_what_is_missing);
	UNIT(test_the_decoder_is_not_asked_for_what_is_late);
	UNIT(test_a_tone_is_continued_in_tune);
	UNIT(test_what_is_made_ahead_gives_way_to_what_was_said);
	UNIT(test_a_stream_that_stops_fades_and_costs_nothing);
	UNIT(test_a_media_time_jump_is_followed);
	UNIT(test_delay_grows_at_once_when_the_network_turns_bad);
	UNIT(test_delay_is_bounded_after_an_outage_of_the_reader);
	UNIT(test_due_time_tells_a_decoder_how_long_to_wait);
	UNIT(test_rtp_timestamps_are_unwrapped);
	UNIT(test_garbage_does_no_harm);
	UNIT(test_drift_8k_ideal);
	UNIT(test_drift_8k_jitter);
	UNIT(test_drift_8k_stalls);
	UNIT(test_standstills);
	UNIT(test_drift_48k_ideal);
	UNIT(test_drift_48k_loss_reorder_duplicates);
	UNIT(test_drift_through_pauses);
	UNIT(test_a_spurt_placed_anew_is_no_drift);
	UNIT(test_two_channels_are_one_twice);
	UNIT(test_a_reader_that_sets_its_time);
	return unit_done();
}
