/* SPDX-License-Identifier: MIT
 *
 * bench_drift.c - clock recovery and playout in the simulator, hours of it: rate found, its noise,
 * delay kept, gaps and slips; and Twilio's queue when what we send is steered by the rate found on
 * what we receive.
 *
 * BENCH_HOURS (default 0.5) is the simulated length of each of the 30 streams.
 */
#include "alsa/resampler.h"
#include "report.h"
#include "tests/unit/stream_sim.h"

static const char *const net_names[] = {"ideal", "jitter", "stalls of 150-250 ms"};

static void drift(unsigned rate, enum sim_net net, double hours)
{
	static const double ppms[] = {-500, -300, 0, 300, 500};
	double mean = 0, sd = 0, error = 0, delay = 0, mean_delay = 0;
	uint64_t splices = 0, concealed = 0, resyncs = 0, late = 0;
	double seconds = 0;
	char group[64];

	for (size_t i = 0; i < sizeof ppms / sizeof *ppms; i++) {
		struct sim_result r;
		struct sim_config c = {.rate = rate,
				       .net = net,
				       .ordered = rate == 8000,
				       .ppm = ppms[i],
				       .hours = hours,
				       .hz = 313,
				       .amplitude = 0.3,
				       .seed = 4242 + i};
		if (rate == 48000 && net != SIM_IDEAL) {
			c.loss = 0.01;
			c.duplicates = 0.01;
			c.reorder = 0.01;
		}
		if (!sim_run(&c, &r))
			exit(1);
		mean = fmax(mean, fabs(r.ppm_mean - ppms[i]));
		sd = fmax(sd, r.ppm_sd);
		error = fmax(error, fabs(r.error_mean_ms));
		delay = fmax(delay, r.delay_max_ms);
		mean_delay += r.delay_mean_ms / 5;
		splices += r.settled.splices;
		concealed += r.settled.concealed;
		resyncs += r.stats.resyncs;
		late += r.settled.late;
		seconds += r.seconds - 20;
	}
	snprintf(group, sizeof group, "drift, %s, %s", rate == 8000 ? "Twilio (TCP)" : "RTP", net_names[net]);
	BENCH_ROW(group, mean, "ppm", "< 2", mean < 2, "worst error of the mean rate, -500 to +500 ppm");
	BENCH_ROW(group, sd, "ppm", "<= 15", sd <= 15, "worst standard deviation of the rate");
	BENCH_ROW(group, error, "ms", "<= 1", error <= 1, "worst mean delay error after 20 s");
	BENCH_ROW(group, delay, "ms", "<= 121", delay <= 121, "longest delay");
	BENCH_NOTE(group, mean_delay, "ms", "mean delay (a tone has no pause to shrink in)");
	if (net == SIM_IDEAL) {
		BENCH_ROW(group, splices, "", "0", splices == 0, "slips");
		BENCH_ROW(group, concealed, "frames", "0", concealed == 0, "concealed");
	} else {
		BENCH_NOTE(group, (double)splices / seconds * 3600, "/h", "slips (growth of the delay)");
		BENCH_NOTE(group, 100 * (double)concealed / rate / seconds, "%", "of the sound concealed");
		BENCH_NOTE(group, (double)late / seconds * 3600, "/h", "packets discarded as late");
	}
	BENCH_ROW(group, resyncs, "", "0", resyncs == 0, "re-anchored");
}

/* ---- towards Twilio -------------------------------------------------------------------------- */

/*
 * We capture at our clock and send; the far side plays at its own, which runs fast by ppm. What it
 * sends us runs at the same clock, so the rate found there steers the 48 -> 8 resampler. The queue
 * at the far side is what was sent less what was played.
 */
static void queue(double ppm, double hours)
{
	struct playout *p;
	struct playout_config config = {.rate = 8000};
	struct resampler *r;
	static float in[240], out[64], said[160], block[240];
	uint64_t seed = 7;
	int64_t media = 0, t0 = INT64_C(1000000000000);
	double next = 0, sent = 0, low = 1e9, high = -1e9, previous = 0;
	char group[] = "drift, towards Twilio";

	if (playout_create(&p, &config) != 0 || resampler_create(&r, 48000, 8000, 240) != 0)
		exit(1);
	for (long k = 1; k * 0.005 < hours * 3600; k++) {
		double now = (double)k * 0.005;
		while (next <= now) {
			double arrival = next - 0.004 * log(1 - sim_uniform(&seed));
			arrival = arrival < previous ? previous : arrival;
			if (arrival > now)
				break;
			previous = arrival;
			playout_put(p, media, said, 160, t0 + (int64_t)(arrival * 1e9));
			media += 160;
			next += 0.02 / (1 + ppm * 1e-6);
		}
		playout_pull(p, t0 + (int64_t)(now * 1e9), block, 240);
		resampler_set_ppm(r, -playout_ppm(p));
		sent += resampler_push(r, in, 240, out);
		double queued_ms = (sent / 8000 - now * (1 + ppm * 1e-6)) * 1e3;
		if (now > 120) {
			low = fmin(low, queued_ms);
			high = fmax(high, queued_ms);
		}
	}
	BENCH_ROW(group, high - low, "ms", "<= 3", high - low <= 3,
		  "Twilio's queue wanders at %+.0f ppm over %.2g h (unsteered: %.0f ms)", ppm, hours,
		  fabs(ppm) * hours * 3.6);
	playout_destroy(p);
	resampler_destroy(r);
}

/* ---- speech with pauses ------------------------------------------------------------------------ */

static void pauses(void)
{
	struct sim_result r;
	struct sim_config c = {.rate = 48000, .net = SIM_JITTER, .ppm = 150, .hours = 0.5, .hz = 313,
			       .amplitude = 0.3, .spurt_s = 5, .pause_s = 4};
	if (!sim_run(&c, &r))
		exit(1);
	BENCH_ROW("drift, RTP, pauses", fabs(r.ppm_mean - 150), "ppm", "< 3", fabs(r.ppm_mean - 150) < 3,
		  "error of the mean rate, heard 5 s in 9");
}

int main(void)
{
	const char *e = getenv("BENCH_HOURS");
	double hours = e ? atof(e) : 0.5;

	for (unsigned rate = 8000; rate <= 48000; rate += 40000) {
		for (int net = SIM_IDEAL; net <= SIM_STALL; net++)
			drift(rate, net, hours);
	}
	queue(100, hours * 2);
	queue(-300, hours * 2);
	pauses();
	return 0;
}
