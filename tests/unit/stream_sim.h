/* SPDX-License-Identifier: MIT
 *
 * stream_sim.h - a sender with a clock of its own, a network, and a playout that is pulled every
 * 5 ms: hours in seconds, seeded. Used by the unit tests (minutes) and by the bench (hours).
 */
#ifndef TESTS_UNIT_STREAM_SIM_H
#define TESTS_UNIT_STREAM_SIM_H

#include "alsa/playout.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum sim_net {
	SIM_IDEAL,  /* 0-0.5 ms, uniform: wake-ups of a machine with nothing else to do */
	SIM_JITTER, /* exponential, mean 4 ms, and 0.3 % spikes of up to 40 ms */
	SIM_STALL,  /* the same without spikes; nothing for 150-250 ms, every 40 s on average */
	SIM_STILL,  /* uniform, up to 10 ms; a machine that is not run for 5-22 ms, every 10 s */
};

struct sim_config {
	unsigned rate;
	enum sim_net net;
	bool ordered; /* TCP: nothing overtakes, nothing is lost */
	double ppm;   /* sender's clock */
	double hours;
	double loss, duplicates; /* shares of packets */
	double reorder;          /* share delayed by another 30 ms */
	double spurt_s, pause_s; /* mean lengths of speech and pauses; 0: never pauses */
	bool time_stands;        /* media time does not advance in pauses */
	double phase_s;          /* media time is counted in packets: a spurt begins up to this late */
	double hz, amplitude;    /* what is said */
	uint64_t seed;
	/* called with each block pulled; may be NULL */
	void (*heard)(void *ctx, const float *out, unsigned frames, double t_s);
	void *ctx;
	playout_conceal_fn conceal;
	void *conceal_ctx;
};

struct sim_result {
	double ppm_mean, ppm_sd, ppm_min, ppm_max; /* of the loop, after 5 minutes (half of less) */
	double error_mean_ms, error_max_ms;        /* delay against what the loop holds, after 20 s */
	double delay_mean_ms, delay_max_ms;        /* after 20 s, while playing */
	struct playout_stats stats;
	struct playout_stats settled; /* counted after 20 s only */
	uint64_t packets, lost;
	uint64_t stills;
	double seconds;
};

struct sim_packet {
	double arrival_s;
	int64_t media;
};

static uint64_t sim_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static double sim_uniform(uint64_t *s)
{
	return (double)(sim_random(s) >> 11) / 9007199254740992.0;
}

#define SIM_QUEUE 256

static bool sim_run(const struct sim_config *c, struct sim_result *r)
{
	const double packet_s = 0.02, tick_s = 0.005, base_s = 0.03;
	unsigned packet = c->rate / 50;
	uint64_t seed = c->seed ? c->seed : 88172645463325252u;
	struct sim_packet queue[SIM_QUEUE];
	unsigned queued = 0;
	float *said = malloc(packet * sizeof *said), out[240];
	struct playout *p;
	struct playout_config config = {
		.rate = c->rate, .conceal = c->conceal, .conceal_ctx = c->conceal_ctx};
	double sender_s = 0, previous_s = 0, stall_end_s = 0; /* sender_s: media clock in true time */
	double phase_now_s = 0, pause_left_s = 0, spurt_left_s = c->spurt_s ? -c->spurt_s * log(1 - sim_uniform(&seed)) : 1e18;
	int64_t media = 7000, start_ns = INT64_C(1000000000000);
	double total_s = c->hours * 3600, warm_s = total_s > 700 ? 300 : total_s / 2;
	double sum = 0, sum2 = 0, delay_sum = 0, error_sum = 0;
	uint64_t n = 0, nd = 0;
	struct playout_stats at20 = {0};

	memset(r, 0, sizeof *r);
	r->ppm_min = 1e9;
	r->ppm_max = -1e9;
	if (!said || playout_create(&p, &config) != 0) {
		free(said);
		return false;
	}

	for (uint64_t k = 1; (double)k * tick_s < total_s; k++) {
		double now = (double)k * tick_s;
		/* what is sent up to now */
		while (sender_s <= now) {
			double t = sender_s + packet_s / (1 + c->ppm * 1e-6); /* the packet is full then */
			if (pause_left_s > 0) {
				pause_left_s -= packet_s;
				if (pause_left_s <= 0)
					spurt_left_s = -c->spurt_s * log(1 - sim_uniform(&seed)) + 0.1;
				sender_s = t;
				if (!c->time_stands)
					media += packet;
				if (pause_left_s <= 0 && c->phase_s > 0) {
					double phase_s = c->phase_s * sim_uniform(&seed);
					sender_s += phase_s - phase_now_s;
					phase_now_s = phase_s;
				}
				continue;
			}
			double jitter = c->net == SIM_IDEAL   ? 0.0005 * sim_uniform(&seed)
					: c->net == SIM_STILL ? 0.01 * sim_uniform(&seed)
							      : -0.004 * log(1 - sim_uniform(&seed));
			if (c->net == SIM_JITTER && sim_uniform(&seed) < 0.003)
				jitter += 0.04 * sim_uniform(&seed);
			if (c->net == SIM_STALL && sim_uniform(&seed) < 0.0005)
				stall_end_s = t + 0.15 + 0.1 * sim_uniform(&seed);
			if (c->net == SIM_STILL && t + jitter > stall_end_s + 10) {
				r->stills++;
				stall_end_s = t + jitter + 0.005 + 0.017 * sim_uniform(&seed);
			}
			if (t + jitter < stall_end_s)
				jitter = stall_end_s - t;
			if (sim_uniform(&seed) < c->reorder)
				jitter += 0.03;
			double arrival = t + base_s + jitter;
			if (c->ordered && arrival < previous_s)
				arrival = previous_s;
			previous_s = arrival;
			r->packets++;
			if (sim_uniform(&seed) < c->loss) {
				r->lost++;
			} else if (queued + 2 <= SIM_QUEUE) {
				queue[queued++] = (struct sim_packet){arrival, media};
				if (sim_uniform(&seed) < c->duplicates)
					queue[queued++] = (struct sim_packet){arrival + 0.004, media};
			}
			media += packet;
			sender_s = t;
			spurt_left_s -= packet_s;
			if (spurt_left_s <= 0)
				pause_left_s = -c->pause_s * log(1 - sim_uniform(&seed)) + 0.1;
		}
		/* what has arrived, in order of arrival */
		for (;;) {
			unsigned first = SIM_QUEUE;
			for (unsigned i = 0; i < queued; i++) {
				if (queue[i].arrival_s <= now &&
				    (first == SIM_QUEUE || queue[i].arrival_s < queue[first].arrival_s))
					first = i;
			}
			if (first == SIM_QUEUE)
				break;
			struct sim_packet one = queue[first];
			memmove(queue + first, queue + first + 1, (--queued - first) * sizeof *queue);
			for (unsigned i = 0; i < packet; i++)
				said[i] = (float)(c->amplitude *
						  sin(2 * M_PI * c->hz *
						      fmod((double)(one.media + i) / c->rate, 1000)));
			playout_put(p, one.media, said, packet, start_ns + (int64_t)(one.arrival_s * 1e9));
		}
		playout_pull(p, start_ns + (int64_t)(now * 1e9), out, 240);
		if (c->heard)
			c->heard(c->ctx, out, 240, now);
		if (k % 4)
			continue;
		struct playout_stats s;
		playout_stats(p, &s);
		if (now < 20) {
			at20 = s;
			continue;
		}
		if (s.playing) {
			double delay = (double)s.delay_ns * 1e-6;
			double error = (double)(s.delay_ns - s.hold_ns) * 1e-6;
			delay_sum += delay;
			error_sum += error;
			nd++;
			if (delay > r->delay_max_ms)
				r->delay_max_ms = delay;
			if (fabs(error) > r->error_max_ms)
				r->error_max_ms = fabs(error);
		}
		if (now >= warm_s) {
			sum += s.rate_ppm;
			sum2 += s.rate_ppm * s.rate_ppm;
			n++;
			if (s.rate_ppm < r->ppm_min)
				r->ppm_min = s.rate_ppm;
			if (s.rate_ppm > r->ppm_max)
				r->ppm_max = s.rate_ppm;
		}
	}
	playout_stats(p, &r->stats);
	r->settled = r->stats;
	r->settled.late -= at20.late;
	r->settled.concealed -= at20.concealed;
	r->settled.dropped -= at20.dropped;
	r->settled.stretched -= at20.stretched;
	r->settled.splices -= at20.splices;
	r->settled.resyncs -= at20.resyncs;
	r->ppm_mean = sum / (double)n;
	r->ppm_sd = sqrt(fmax(0, sum2 / (double)n - r->ppm_mean * r->ppm_mean));
	r->delay_mean_ms = delay_sum / (double)(nd ? nd : 1);
	r->error_mean_ms = error_sum / (double)(nd ? nd : 1);
	r->seconds = total_s;
	playout_destroy(p);
	free(said);
	return true;
}

#endif
