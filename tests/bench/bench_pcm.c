/* SPDX-License-Identifier: MIT
 *
 * bench_pcm.c - what a PCM costs: delay, wake-ups, CPU time. Measures, judges nothing.
 *
 * usage: bench_pcm [PCM [SECONDS [PERIOD]]]
 *
 * Without PCM: the cable of this build, raw and through plug, in a runtime directory of its own.
 * With PCM (e.g. "phone:7" in a machine with snd-aloop): that one, in ALSA's own configuration.
 * Run it from the top of the source tree.
 *
 * "beyond buffers": a blocking writer and a blocking reader in two processes; from the moment a
 * sample is due by the writer's own snd_pcm_delay() to the moment readi() returns it: what the
 * loopback itself adds. "ports, 5 ms tick": our PCM ports used as the two services use them; from
 * the call that writes a block to the return of the read that has its first frame. The same in
 * frames, in the order in which the hardware pointers pass it: queued in front of the playback
 * pointer when it was written, then until the capture pointer has passed it (what the loopback's
 * own steps cost; small or negative where it copies ahead), then until it was read.
 */
#include "alsa/port.h"

#include <alsa/asoundlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS_MAX 32000 /* block numbers are sample values */

static double seconds = 4;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_delays(double *d, int n)
{
	if (n == 0) {
		printf("nothing arrived\n");
		return;
	}
	qsort(d, (size_t)n, sizeof(*d), by_value);
	printf("min %6.2f  p50 %6.2f  p99 %6.2f  max %6.2f ms", 1e3 * d[0], 1e3 * d[n / 2],
	       1e3 * d[n * 99 / 100], 1e3 * d[n - 1]);
}

/* ---- blocking programs -------------------------------------------------------------------- */

static snd_pcm_t *open_blocking(const char *name, snd_pcm_stream_t stream, unsigned period,
				unsigned periods, unsigned *got_period)
{
	snd_pcm_uframes_t p = period, b = (snd_pcm_uframes_t)period * periods;
	snd_pcm_hw_params_t *hw;
	snd_pcm_sw_params_t *sw;
	snd_pcm_t *pcm;
	int err;

	snd_pcm_hw_params_alloca(&hw);
	snd_pcm_sw_params_alloca(&sw);
	if ((err = snd_pcm_open(&pcm, name, stream, 0)) < 0 ||
	    (err = snd_pcm_hw_params_any(pcm, hw)) < 0 ||
	    (err = snd_pcm_hw_params_set_access(pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED)) < 0 ||
	    (err = snd_pcm_hw_params_set_format(pcm, hw, SND_PCM_FORMAT_S16_LE)) < 0 ||
	    (err = snd_pcm_hw_params_set_channels(pcm, hw, 1)) < 0 ||
	    (err = snd_pcm_hw_params_set_rate(pcm, hw, 48000, 0)) < 0 ||
	    (err = snd_pcm_hw_params_set_period_size_near(pcm, hw, &p, NULL)) < 0 ||
	    (err = snd_pcm_hw_params_set_buffer_size_near(pcm, hw, &b)) < 0 ||
	    (err = snd_pcm_hw_params(pcm, hw)) < 0 ||
	    (err = snd_pcm_sw_params_current(pcm, sw)) < 0 ||
	    (err = snd_pcm_sw_params_set_start_threshold(
		     pcm, sw, stream == SND_PCM_STREAM_PLAYBACK ? b : 1)) < 0 ||
	    (err = snd_pcm_sw_params_set_avail_min(pcm, sw, p)) < 0 ||
	    (err = snd_pcm_sw_params(pcm, sw)) < 0) {
		fprintf(stderr, "%s: %s\n", name, snd_strerror(err));
		exit(1);
	}
	*got_period = (unsigned)p;
	return pcm;
}

static void blocking_writer(const char *name, unsigned period, double *due)
{
	snd_pcm_t *pcm = open_blocking(name, SND_PCM_STREAM_PLAYBACK, period, 3, &period);
	int16_t *buf = calloc(period, 2);
	int n = (int)(seconds * 48000 / period);

	usleep(300000);
	for (int i = 1; i <= n && i < BLOCKS_MAX; i++) {
		snd_pcm_sframes_t delay = 0, done;

		for (unsigned k = 0; k < period; k++)
			buf[k] = (int16_t)i;
		done = snd_pcm_writei(pcm, buf, period);
		if (done < 0) {
			snd_pcm_recover(pcm, (int)done, 1);
			continue;
		}
		if (snd_pcm_state(pcm) == SND_PCM_STATE_RUNNING && snd_pcm_delay(pcm, &delay) == 0)
			due[i] = now_s() + (double)(delay - (snd_pcm_sframes_t)period) / 48000;
	}
	snd_pcm_drain(pcm);
	snd_pcm_close(pcm);
	free(buf);
}

static void bench_blocking(const char *name, unsigned period)
{
	double *due = mmap(NULL, sizeof(double) * BLOCKS_MAX, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double *delays = calloc(BLOCKS_MAX, sizeof(double)), start, cpu;
	int n = 0, last = 0, xruns = 0;
	unsigned got;
	struct rusage u0, u1;
	int16_t *buf;
	snd_pcm_t *pcm;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		blocking_writer(name, period, due);
		_exit(0);
	}
	pcm = open_blocking(name, SND_PCM_STREAM_CAPTURE, period, 8, &got);
	buf = calloc(got, 2);
	getrusage(RUSAGE_SELF, &u0);
	start = now_s();
	while (now_s() - start < seconds + 0.8) {
		snd_pcm_sframes_t k = snd_pcm_readi(pcm, buf, got);
		double at = now_s();

		if (k < 0) {
			xruns++;
			snd_pcm_prepare(pcm);
			snd_pcm_start(pcm);
			continue;
		}
		for (snd_pcm_sframes_t i = 0; i < k; i++)
			if (buf[i] > last) {
				last = buf[i];
				/* frame i was readable (k - i) frames before the end of the block */
				if (due[last] > 0 && n < BLOCKS_MAX)
					delays[n++] = at - due[last] - (double)(k - i) / 48000;
			}
	}
	getrusage(RUSAGE_SELF, &u1);
	cpu = (double)(u1.ru_utime.tv_sec - u0.ru_utime.tv_sec + u1.ru_stime.tv_sec -
		       u0.ru_stime.tv_sec) +
	      1e-6 * (double)(u1.ru_utime.tv_usec - u0.ru_utime.tv_usec + u1.ru_stime.tv_usec -
			      u0.ru_stime.tv_usec);
	waitpid(pid, NULL, 0);
	printf("%-22s beyond buffers, period %4u: ", name, got);
	print_delays(delays, n);
	printf("; reader: %d xruns, %.1f wakes/s, cpu %.2f %%\n", xruns,
	       (double)(u1.ru_nvcsw - u0.ru_nvcsw) / (seconds + 0.8), 100 * cpu / (seconds + 0.8));
	snd_pcm_close(pcm);
	free(buf);
	free(delays);
	munmap(due, sizeof(double) * BLOCKS_MAX);
}

/* ---- our ports ---------------------------------------------------------------------------- */

struct tick_writer {
	struct port *port;
	_Atomic double written[BLOCKS_MAX];
	_Atomic int queued[BLOCKS_MAX]; /* frames between the playback pointer and its first */
	_Atomic int stop;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *tick_writer_run(void *arg)
{
	struct tick_writer *w = arg;
	int64_t tick = now_ns();
	int block = 0;

	port_start(w->port, tick);
	while (!atomic_load(&w->stop)) {
		struct timespec t = {tick / 1000000000, tick % 1000000000};
		size_t due;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		for (due = port_due(w->port, 240, now_ns()); due > 0; due -= 240) {
			int16_t buf[480];

			block = block + 1 < BLOCKS_MAX ? block + 1 : 1;
			for (int i = 0; i < 480; i++)
				buf[i] = (int16_t)block;
			atomic_store(&w->written[block], now_s());
			port_write(w->port, buf, 240, now_ns());
			atomic_store(&w->queued[block],
				     (int)port_delay_frames(w->port, now_ns()) - 240);
		}
		tick += 5000000;
	}
	return NULL;
}

static void print_frames(const char *what, double *frames, int n)
{
	if (n == 0)
		return;
	qsort(frames, (size_t)n, sizeof(*frames), by_value);
	printf("%s p50 %.0f p99 %.0f", what, frames[n / 2], frames[n * 99 / 100]);
}

static void bench_ports(const char *name)
{
	struct port_params out = {.name = name, .direction = PORT_PLAYBACK};
	struct port_params in = {.name = name, .direction = PORT_CAPTURE};
	struct tick_writer *w = calloc(1, sizeof(*w));
	double *delays = calloc(BLOCKS_MAX, sizeof(double)), start;
	double *queue = calloc(BLOCKS_MAX, sizeof(double)), *inside = calloc(BLOCKS_MAX, sizeof(double)),
	       *age = calloc(BLOCKS_MAX, sizeof(double));
	struct port_stats so, si;
	struct port *reader;
	pthread_t thread;
	int n = 0, last = 0;

	if (port_create(&w->port, &out) || port_create(&reader, &in))
		exit(1);
	port_allow_create(w->port, true);
	port_allow_create(reader, true);
	if (port_open(w->port, now_ns()) || port_open(reader, now_ns())) {
		fprintf(stderr, "%s%s\n", port_error(w->port), port_error(reader));
		exit(1);
	}
	port_start(reader, now_ns());
	pthread_create(&thread, NULL, tick_writer_run, w);
	start = now_s();
	while (now_s() - start < seconds) {
		int16_t buf[PORT_BLOCK_MAX * 2];
		struct pollfd fds[4];
		unsigned k = port_poll_fill(reader, fds, 4);
		size_t got, unread;
		double at;

		poll(fds, k, 100);
		if (k && !port_poll_ready(reader, fds, k))
			continue;
		got = port_read(reader, buf, PORT_BLOCK_MAX, now_ns());
		at = now_s();
		unread = port_delay_frames(reader, now_ns());
		for (size_t i = 0; i < got * port_channels(reader); i++)
			if (buf[i] != 0 && buf[i] != last) {
				last = buf[i];
				if (now_s() - start > 1 && n < BLOCKS_MAX) {
					delays[n] = at - atomic_load(&w->written[last]);
					queue[n] = atomic_load(&w->queued[last]);
					age[n] = (double)(got - i / port_channels(reader) + unread);
					inside[n] = delays[n] * 48000 - queue[n] - age[n];
					n++;
				}
			}
	}
	atomic_store(&w->stop, 1);
	pthread_join(thread, NULL);
	port_stats(w->port, &so);
	port_stats(reader, &si);
	printf("%-22s ports, 5 ms tick (%4u): ", name, port_period_frames(reader));
	print_delays(delays, n);
	printf("; xruns %llu + %llu, lead %.1f ms\n", (unsigned long long)so.xruns,
	       (unsigned long long)si.xruns, so.lead_frames / 48.0);
	printf("%-22s ... frames by hw_ptr: ", name);
	print_frames("queued", queue, n);
	print_frames(", inside", inside, n);
	print_frames(", unread", age, n);
	printf("\n");
	port_destroy(w->port);
	port_destroy(reader);
	free(w);
	free(delays);
	free(queue);
	free(inside);
	free(age);
}

/* ---- the cable of this build -------------------------------------------------------------- */

static char dir[64];

static void remove_dir(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd) != 0)
		fprintf(stderr, "could not remove %s\n", dir);
}

static void private_cable(void)
{
	const char *build = getenv("BUILD");
	char top[512], path[1024];
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/loopline-bench-XXXXXX");
	if (!getcwd(top, sizeof(top)) || !mkdtemp(dir))
		exit(1);
	atexit(remove_dir);
	/* by a hook: what the machine has comes before it (tests/unit/cable_env.c says why) */
	snprintf(path, sizeof(path), "%s/late.conf", dir);
	f = fopen(path, "w");
	if (!f)
		exit(1);
	fprintf(f,
		"<%s/alsa/cable/cable.conf>\n"
		"defaults.pcm.cable.create yes\n"
		"pcm_type.cable.lib \"%s/%s/libasound_module_pcm_cable.so\"\n",
		top, top, build && *build ? build : "build");
	fclose(f);
	snprintf(path, sizeof(path), "%s/asound.conf", dir);
	f = fopen(path, "w");
	if (!f)
		exit(1);
	fprintf(f,
		"</usr/share/alsa/alsa.conf>\n"
		"@hooks.1 { func load  files [ \"%s/late.conf\" ]  errors true }\n",
		dir);
	fclose(f);
	setenv("ALSA_CONFIG_PATH", path, 1);
	setenv("LOOPLINE_RUNTIME_DIR", dir, 1);
}

int main(int argc, char **argv)
{
	static const unsigned periods[] = {240, 384, 480, 960};
	static const char *const own[] = {"loopline_cable:phone", "phone"};
	const char *const *names = own;
	int n_names = 2;
	unsigned only = argc > 3 ? (unsigned)atoi(argv[3]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2)
		seconds = atof(argv[2]);
	if (argc > 1) {
		names = (const char *const *)&argv[1];
		n_names = 1;
	} else {
		private_cable();
	}
	for (int i = 0; i < n_names; i++) {
		for (size_t k = 0; k < sizeof(periods) / sizeof(periods[0]) && !only; k++)
			bench_blocking(names[i], periods[k]);
		if (only)
			bench_blocking(names[i], only);
		bench_ports(names[i]);
	}
	return 0;
}
