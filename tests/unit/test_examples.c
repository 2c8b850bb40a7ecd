/* SPDX-License-Identifier: MIT
 *
 * test_examples.c - every worked example of asound.conf.example, run as it is written there: the
 * command lines are taken from the file's comments.
 *
 * On the cable by itself. With LOOPLINE_EXAMPLES=installed it uses ALSA's own configuration and
 * whatever loopback that has (tests/vm runs it so on the real card): then the names must
 * already work, and recordings are judged by their tones alone.
 */
#include "alsa/cable/cable.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define RATE 48000

static char example[64 * 1024];
static bool installed;

static void load_example(void)
{
	FILE *f = fopen("asound.conf.example", "r");
	size_t n = f ? fread(example, 1, sizeof(example) - 1, f) : 0;

	if (f)
		fclose(f);
	if (n == 0) {
		fprintf(stderr, "run me from the top of the source tree\n");
		exit(2);
	}
	example[n] = 0;
}

/* The command line in the comments that begins with `begin`, with its continuations (a pipe at the
 * end of a line); `from` and `to`: a word to be replaced, NULL for none. */
static void command(char *out, size_t size, const char *begin, const char *from, const char *to)
{
	char start[256];
	const char *at;
	size_t n = 0;

	snprintf(start, sizeof(start), "\n#\t%s", begin);
	at = strstr(example, start);
	if (!at)
		UNIT_FAIL("asound.conf.example has no line \"%s\"", begin);
	for (at += 3;; at += 3) {
		size_t len = strcspn(at, "\n");

		CHECK(n + len + 2 < size);
		memcpy(out + n, at, len);
		n += len;
		out[n] = 0;
		if (out[n - 1] != '|' || strncmp(at + len, "\n#\t", 3) != 0)
			break;
		out[n++] = ' ';
		at += len;
	}
	if (from) {
		char *hit = strstr(out, from);
		char rest[1024];

		CHECK(hit != NULL);
		snprintf(rest, sizeof(rest), "%s", hit + strlen(from));
		snprintf(hit, size - (size_t)(hit - out), "%s%s", to, rest);
	}
}

static pid_t shell(const char *log, const char *cmd)
{
	char whole[2048];
	const char *argv[] = {"sh", "-c", whole, NULL};

	snprintf(whole, sizeof(whole), "cd %s && { %s; }", cable_env_dir(), cmd);
	return cable_env_spawn(log, NULL, argv);
}

static void run_ok(const char *cmd, int ms)
{
	int status = cable_env_wait(shell("run.log", cmd), ms);

	if (status != 0)
		UNIT_FAIL("\"%s\" ended with %d: %s", cmd, status,
			  cable_env_text(cable_env_file("run.log")));
}

static void make_tone(const char *name, double hz, int amplitude, double seconds, unsigned rate,
		      unsigned channels)
{
	size_t n = (size_t)(seconds * rate);
	int16_t *x = malloc(n * channels * sizeof(*x));

	CHECK(x != NULL);
	for (size_t i = 0; i < n * channels; i++)
		x[i] = (int16_t)lrint(amplitude * sin(2 * M_PI * hz * (double)(i / channels) / rate));
	CHECK_INT(env_wav_write(cable_env_file(name), x, n * channels, channels, rate), 0);
	free(x);
}

/* Largest amplitude of hz in any window of 0.25 s of one channel of a recording. */
static double level(const int16_t *x, size_t frames, unsigned channels, unsigned channel, double hz)
{
	const size_t window = RATE / 4;
	double best = 0;

	for (size_t at = 0; at + window <= frames; at += window / 2) {
		double re = 0, im = 0, sum = 0;

		for (size_t i = 0; i < window; i++) {
			double w = 0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)window);
			double v = w * x[(at + i) * channels + channel];

			re += v * cos(2 * M_PI * hz * (double)i / RATE);
			im += v * sin(2 * M_PI * hz * (double)i / RATE);
			sum += w;
		}
		if (hypot(re, im) * 2 / sum > best)
			best = hypot(re, im) * 2 / sum;
	}
	return best;
}

static double file_level(const char *name, unsigned channels, unsigned channel, double hz)
{
	size_t n;
	int16_t *x = env_wav_read(cable_env_file(name), &n);
	double v;

	if (!x)
		return -1;
	v = level(x, n / channels, channels, channel, hz);
	free(x);
	return v;
}

/* 8000 within 1 dB; on the card an xrun under emulation may cost a little */
static void check_present(const char *name, unsigned channels, unsigned channel, double hz)
{
	double v = file_level(name, channels, channel, hz);

	if (v < 7100 || v > 9000)
		UNIT_FAIL("%s channel %u: %.0f Hz has amplitude %.1f, not 8000", name, channel, hz, v);
}

static void check_absent(const char *name, unsigned channels, unsigned channel, double hz)
{
	double v = file_level(name, channels, channel, hz);

	if (v < 0 || v > 8000 / 316.0) /* 50 dB below */
		UNIT_FAIL("%s channel %u: %.0f Hz has amplitude %.1f", name, channel, hz, v);
}

static void need(const char *program)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null", program);
	if (system(cmd) != 0)
		SKIP("%s is not installed", program);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP("other programs cannot load a plug-in that was built with a sanitizer");
#endif
}

#define RECORD "arecord -q -f S16_LE -r 48000 -c 1 -d 2 -D "

/* ---- the examples ------------------------------------------------------------------------- */

static void test_record_both_sides_to_one_stereo_file(void)
{
	char cmd[512];
	pid_t r, p, d;

	need("arecord");
	command(cmd, sizeof(cmd), "arecord -D both", "call.wav", "-d 2 -q call.wav");
	r = shell("both.log", cmd);
	test_sleep_ms(400);
	p = shell(NULL, "aplay -q -D phone tone440.wav");
	d = shell(NULL, "aplay -q -D discord tone1234.wav");
	CHECK_INT(cable_env_wait(p, 20000), 0);
	CHECK_INT(cable_env_wait(d, 20000), 0);
	CHECK_INT(cable_env_wait(r, 20000), 0);
	check_present("call.wav", 2, 0, 440);
	check_absent("call.wav", 2, 0, 1234);
	check_present("call.wav", 2, 1, 1234);
	check_absent("call.wav", 2, 1, 440);
}

/* Besides: lines are apart, and a name without a line is line 0. */
static void test_announcement_to_one_side(void)
{
	char to_channel[512], to_callers[512], both[1200];
	pid_t r[3];

	need("aplay");
	command(to_channel, sizeof(to_channel), "aplay -D phone   ", "to-the-channel.wav",
		"-q tone440.wav");
	command(to_callers, sizeof(to_callers), "aplay -D discord to", "to-the-callers.wav",
		"-q tone1234.wav");
	r[0] = shell(NULL, RECORD "phone:0 ann-phone.wav");
	r[1] = shell(NULL, RECORD "discord:0 ann-discord.wav");
	r[2] = shell(NULL, RECORD "phone:1 ann-line1.wav");
	test_sleep_ms(400);
	snprintf(both, sizeof(both), "%s & %s & aplay -q -D phone:1 tone2100.wav; wait", to_channel,
		 to_callers);
	run_ok(both, 20000);
	for (int i = 0; i < 3; i++)
		CHECK_INT(cable_env_wait(r[i], 20000), 0);
	check_present("ann-phone.wav", 1, 0, 440);
	check_absent("ann-phone.wav", 1, 0, 1234);
	check_absent("ann-phone.wav", 1, 0, 2100);
	check_present("ann-discord.wav", 1, 0, 1234);
	check_absent("ann-discord.wav", 1, 0, 440);
	check_absent("ann-discord.wav", 1, 0, 2100);
	check_present("ann-line1.wav", 1, 0, 2100);
	check_absent("ann-line1.wav", 1, 0, 440);
	check_absent("ann-line1.wav", 1, 0, 1234);
}

/* A stereo file of 44.1 kHz, as music is. */
static void test_music_into_the_whole_call(void)
{
	char cmd[512];
	pid_t p, d;

	need("aplay");
	command(cmd, sizeof(cmd), "aplay -D call", "music.wav", "-q music.wav");
	make_tone("music.wav", 700, 8000, 1, 44100, 2);
	p = shell(NULL, RECORD "phone music-phone.wav");
	d = shell(NULL, RECORD "discord music-discord.wav");
	test_sleep_ms(400);
	run_ok(cmd, 20000);
	CHECK_INT(cable_env_wait(p, 20000), 0);
	CHECK_INT(cable_env_wait(d, 20000), 0);
	check_present("music-phone.wav", 1, 0, 700);
	check_present("music-discord.wav", 1, 0, 700);
}

/* The speakers are a file here (pcm.speakers below, on which the default is pointed). */
static void test_monitor_a_call(void)
{
	char cmd[512];
	pid_t m, p, d;
	char timed[640];

	need("arecord");
	command(cmd, sizeof(cmd), "arecord -q -D call", "| aplay -q",
		"-c 1 -d 2 | aplay -q -D speakers");
	snprintf(timed, sizeof(timed), "rm -f speakers.wav; %s", cmd);
	m = shell("monitor.log", timed);
	test_sleep_ms(400);
	p = shell(NULL, "aplay -q -D phone tone440.wav");
	d = shell(NULL, "aplay -q -D discord tone1234.wav");
	CHECK_INT(cable_env_wait(p, 20000), 0);
	CHECK_INT(cable_env_wait(d, 20000), 0);
	CHECK_INT(cable_env_wait(m, 20000), 0);
	check_present("speakers.wav", 1, 0, 440);
	check_present("speakers.wav", 1, 0, 1234);
}

/* 50 Hz hum goes, 440 Hz stays (the compressor lifts it a little): the filter is in the way. */
static void test_filter_in_between(void)
{
	char cmd[1024], whole[1200];
	pid_t f, before, after;
	double raw, clean;
	int status;

	need("sox");
	command(cmd, sizeof(cmd), "arecord -q -D phone:0 -t raw", NULL, NULL);
	CHECK(strstr(cmd, "phone:7"));
	make_tone("hum.wav", 50, 8000, 1, RATE, 1);
	snprintf(whole, sizeof(whole), "exec timeout 3 sh -c '%s'", cmd);
	f = shell("filter.log", whole);
	before = shell(NULL, RECORD "phone before.wav");
	after = shell(NULL, RECORD "phone:7 after.wav");
	test_sleep_ms(400);
	run_ok("aplay -q -D phone:0 tone440.wav & aplay -q -D phone:0 hum.wav; wait", 20000);
	CHECK_INT(cable_env_wait(before, 20000), 0);
	CHECK_INT(cable_env_wait(after, 20000), 0);
	status = cable_env_wait(f, 20000);
	if (status != 124)
		UNIT_FAIL("the filter ended by itself with %d: %s", status,
			  cable_env_text(cable_env_file("filter.log")));
	/* on the card time is the machine's own: what is late there is the example's fault */
	if (installed && strstr(cable_env_text(cable_env_file("filter.log")), "underrun"))
		UNIT_FAIL("the filter ran dry: %s", cable_env_text(cable_env_file("filter.log")));
	raw = file_level("before.wav", 1, 0, 50);
	clean = file_level("after.wav", 1, 0, 50);
	CHECK(raw > 7000);
	CHECK(file_level("after.wav", 1, 0, 440) > 3000);
	CHECK(clean < file_level("after.wav", 1, 0, 440) / 4);
}

static void test_pulseaudio_as_a_client(void)
{
	char source[512], sink[512], cmd[1600];
	pid_t daemon, r, p;
	int status = -1;

	need("pulseaudio");
	need("pactl");
	command(source, sizeof(source), "pactl load-module module-alsa-source", NULL, NULL);
	command(sink, sizeof(sink), "pactl load-module module-alsa-sink", NULL, NULL);
	setenv("XDG_RUNTIME_DIR", cable_env_file("xdg"), 1);
	setenv("PULSE_SERVER", cable_env_file("pulse.sock"), 1);
	setenv("HOME", cable_env_file("home"), 1);
	snprintf(cmd, sizeof(cmd),
		 "mkdir -p -m 700 xdg home && exec pulseaudio -n --daemonize=no --use-pid-file=no "
		 "--exit-idle-time=-1 --disable-shm=yes -L 'module-native-protocol-unix "
		 "auth-anonymous=1 socket=%s'",
		 cable_env_file("pulse.sock"));
	daemon = shell("pulse.log", cmd);
	for (int i = 0; i < 100 && status != 0; i++) {
		test_sleep_ms(100);
		status = cable_env_wait(shell(NULL, "pactl info >/dev/null 2>&1"), 10000);
	}
	if (status != 0) {
		kill(daemon, SIGTERM);
		cable_env_wait(daemon, 5000);
		SKIP("pulseaudio does not run here: %.200s",
		     cable_env_text(cable_env_file("pulse.log")));
	}
	run_ok(source, 20000);
	run_ok(sink, 20000);
	/* parecord hears what aplay plays; arecord hears what paplay plays */
	r = shell(NULL, "timeout -s INT 3 parecord --device=callers --rate=48000 --channels=1 "
			"--format=s16le --raw pulse-heard.raw");
	test_sleep_ms(800);
	run_ok("aplay -q -D phone tone440.wav", 20000);
	cable_env_wait(r, 20000);
	r = shell(NULL, RECORD "phone pulse-said.wav");
	test_sleep_ms(500);
	p = shell("paplay.log", "paplay --device=to_channel tone1234.wav");
	status = cable_env_wait(p, 20000);
	CHECK_INT(cable_env_wait(r, 20000), 0);
	kill(daemon, SIGTERM);
	cable_env_wait(daemon, 5000);
	CHECK_INT(status, 0);
	run_ok("sox -q -t raw -e signed -b 16 -r 48000 -c 1 pulse-heard.raw pulse-heard.wav", 20000);
	check_present("pulse-heard.wav", 1, 0, 440);
	check_present("pulse-said.wav", 1, 0, 1234);
}

/* The block of PipeWire's configuration, as it stands in the comments. */
static void write_pipewire_conf(const char *name)
{
	const char *at = strstr(example, "\n#\tcontext.objects = ["), *end;
	FILE *f;

	CHECK(at != NULL);
	end = strstr(at, "\n#\t]\n");
	CHECK(end != NULL);
	f = fopen(cable_env_file(name), "w");
	CHECK(f != NULL);
	for (at++; at < end + 2; at = strchr(at, '\n') + 1)
		fprintf(f, "%.*s\n", (int)strcspn(at + 1, "\n"), at + 1);
	CHECK(fclose(f) == 0);
}

static bool pipewire_has(const char *node)
{
	char cmd[256];
	int status = -1;

	snprintf(cmd, sizeof(cmd), "pw-cli ls Node 2>&1 | grep -q 'node.name = \"%s\"'", node);
	for (int i = 0; i < 100 && status != 0; i++) {
		test_sleep_ms(100);
		status = cable_env_wait(shell(NULL, cmd), 10000);
	}
	return status == 0;
}

static void test_pipewire_as_a_client(void)
{
	pid_t daemon, session, r;
	int status;

	need("pipewire");
	need("wireplumber");
	need("pw-cat");
	need("pw-cli");
	need("dbus-run-session");
	run_ok("mkdir -p -m 700 xdg config/pipewire/pipewire.conf.d home", 5000);
	write_pipewire_conf("config/pipewire/pipewire.conf.d/loopline.conf");
	setenv("XDG_RUNTIME_DIR", cable_env_file("xdg"), 1);
	setenv("XDG_CONFIG_HOME", cable_env_file("config"), 1);
	setenv("HOME", cable_env_file("home"), 1);
	unsetenv("PULSE_SERVER");
	daemon = shell("pipewire.log", "exec pipewire");
	status = -1;
	for (int i = 0; i < 100 && status != 0; i++) {
		test_sleep_ms(100);
		status = cable_env_wait(shell(NULL, "pw-cli info 0 2>&1 | grep -q id:"), 10000);
	}
	session = shell("wireplumber.log", "exec dbus-run-session -- wireplumber");
	if (!pipewire_has("callers") || !pipewire_has("to-channel")) {
		kill(session, SIGTERM);
		kill(daemon, SIGTERM);
		cable_env_wait(session, 5000);
		cable_env_wait(daemon, 5000);
		UNIT_FAIL("PipeWire does not have the example's nodes: %s",
			  cable_env_text(cable_env_file("pipewire.log")));
	}
	/* pw-cat hears what aplay plays; arecord hears what pw-cat plays */
	r = shell("pw-record.log", "timeout -s INT 4 pw-cat --record --target callers --rate 48000 "
				   "--channels 1 --format s16 pw-heard.wav");
	test_sleep_ms(1500);
	run_ok("aplay -q -D phone tone440.wav", 20000);
	cable_env_wait(r, 20000);
	r = shell(NULL, RECORD "phone pw-said.wav");
	test_sleep_ms(300);
	status = cable_env_wait(shell("pw-play.log", "pw-cat --playback --target to-channel "
						     "tone1234.wav"),
				20000);
	CHECK_INT(cable_env_wait(r, 20000), 0);
	kill(session, SIGTERM);
	cable_env_wait(session, 5000);
	kill(daemon, SIGTERM);
	cable_env_wait(daemon, 5000);
	CHECK_INT(status, 0);
	run_ok("sox -q pw-heard.wav -b 16 pw-heard-plain.wav", 20000);
	check_present("pw-heard-plain.wav", 1, 0, 440);
	check_present("pw-said.wav", 1, 0, 1234);
}

/* The services' part: the cables of lines 0, 1 and 7. */
static void make_cables(void)
{
	static const int lines[] = {0, 1, 7};
	static const char *const names[] = {"phone", "discord"};
	char path[CABLE_PATH_MAX], dir[256], why[640];
	struct cable_spec spec = {
		.path = path, .channels = 1, .create = true, .perm = 0660, .group = (gid_t)-1};
	struct cable *c;

	snprintf(dir, sizeof(dir), "%s/cable", cable_env_dir());
	for (int i = 0; i < 6; i++) {
		if (cable_path(path, sizeof(path), dir, names[i % 2], lines[i / 2]) ||
		    cable_open(&c, &spec, CABLE_READ, why, sizeof(why)))
			exit(2);
		cable_close(c);
	}
}

#define SPEAKERS \
	"pcm.speakers { type file  slave.pcm null  format wav  " \
	"file { @func concat strings [ { @func getenv vars [ LOOPLINE_SPEAKERS ] default \"/dev/null\" } ] } }\n"

int main(void)
{
	const char *how = getenv("LOOPLINE_EXAMPLES");

	installed = how && !strcmp(how, "installed");
	load_example();
	cable_env_setup_as(installed ? CABLE_ENV_INSTALLED : CABLE_ENV_EXAMPLE, SPEAKERS);
	setenv("LOOPLINE_SPEAKERS", cable_env_file("speakers.wav"), 1);
	if (!installed)
		make_cables();
	make_tone("tone440.wav", 440, 8000, 1, RATE, 1);
	make_tone("tone2100.wav", 2100, 8000, 1, RATE, 1);
	make_tone("tone1234.wav", 1234, 8000, 1, RATE, 1);
	UNIT(test_record_both_sides_to_one_stereo_file);
	UNIT(test_announcement_to_one_side);
	UNIT(test_music_into_the_whole_call);
	UNIT(test_monitor_a_call);
	UNIT(test_filter_in_between);
	UNIT(test_pulseaudio_as_a_client);
	UNIT(test_pipewire_as_a_client);
	return unit_done();
}
