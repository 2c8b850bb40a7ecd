/* SPDX-License-Identifier: MIT
 *
 * cable_env.c - see cable_env.h
 */
#include "tests/unit/cable_env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64];
static char create_conf[128];
static pid_t owner;

static void cleanup(void)
{
	char cmd[128];

	if (getpid() != owner)
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd) != 0)
		fprintf(stderr, "could not remove %s\n", dir);
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* The stock configuration loads what the machine has (conf.d, /etc/asound.conf, ~/.asoundrc) by a hook
 * that runs after all files are read, so that a loopline that is installed here would win over ours. A
 * hook of our own, after that one, has the last word.
 * The plug-in is named by its file and not found by ALSA_PLUGIN_DIR, which would hide the plug-ins
 * of the machine: rate converters, and the hook by which PulseAudio's package extends the stock
 * configuration (without which no PCM at all can be opened). */
static void write_conf(const char *path, enum cable_env_kind kind, const char *top,
		       const char *more, const char *create)
{
	const char *build = getenv("BUILD");
	char late[PATH_MAX + 128];
	FILE *f = fopen(path, "w");

	if (!build || !*build)
		build = "build";
	if (!f)
		die(path);
	snprintf(late, sizeof(late), "%s.late", path);
	fprintf(f,
		"</usr/share/alsa/alsa.conf>\n"
		"@hooks.1 { func load  files [ \"%s\" ]  errors true }\n",
		late);
	if (fclose(f) != 0)
		die(path);
	f = fopen(late, "w");
	if (!f)
		die(late);
	if (kind == CABLE_ENV_CABLE)
		fprintf(f, "<%s/alsa/cable/cable.conf>\n", top);
	else if (kind == CABLE_ENV_EXAMPLE)
		fprintf(f, "<%s/asound.conf.example>\ndefaults.pcm.loopline cable\n", top);
	if (kind != CABLE_ENV_INSTALLED)
		fprintf(f, "pcm_type.cable.lib \"%s%s%s/libasound_module_pcm_cable.so\"\n",
			build[0] == '/' ? "" : top, build[0] == '/' ? "" : "/", build);
	fprintf(f, "%s\n%s\n", more ? more : "", kind == CABLE_ENV_INSTALLED ? "" : create);
	if (fclose(f) != 0)
		die(late);
}

void cable_env_setup_as(enum cable_env_kind kind, const char *more)
{
	char top[PATH_MAX], path[PATH_MAX + 128];

	if (!getcwd(top, sizeof(top)))
		die("getcwd");
	owner = getpid();
	snprintf(dir, sizeof(dir), "/tmp/loopline-test-XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		die("mkdtemp");
	atexit(cleanup);
	snprintf(create_conf, sizeof(create_conf), "%s/create.conf", dir);
	write_conf(create_conf, kind, top, more, "defaults.pcm.cable.create yes");
	snprintf(path, sizeof(path), "%s/asound.conf", dir);
	write_conf(path, kind, top, more, "");
	setenv("ALSA_CONFIG_PATH", path, 1);
	if (kind != CABLE_ENV_INSTALLED)
		setenv("LOOPLINE_RUNTIME_DIR", dir, 1);
}

void cable_env_setup(const char *more)
{
	cable_env_setup_as(CABLE_ENV_CABLE, more);
}

const char *cable_env_dir(void)
{
	return dir;
}

const char *cable_env_create_conf(void)
{
	return create_conf;
}

const char *cable_env_file(const char *name)
{
	static char ring[8][256];
	static unsigned next;
	char *out = ring[next++ % 8];

	snprintf(out, sizeof(ring[0]), "%s/%s", dir, name);
	return out;
}

pid_t cable_env_spawn(const char *log, const char *extra_env, const char *const argv[])
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		int err = log ? open(cable_env_file(log), O_WRONLY | O_CREAT | O_TRUNC, 0644)
			      : null;

		dup2(null, 0);
		dup2(null, 1);
		dup2(err, 2);
		if (extra_env)
			putenv(strdup(extra_env));
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

int cable_env_wait(pid_t pid, int ms)
{
	int64_t until = test_now_ns() + ms * 1000000LL;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (got < 0 && errno != EINTR)
			return -1;
		if (test_now_ns() > until)
			break;
		test_sleep_ms(5);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void put(uint8_t *p, unsigned bytes, uint32_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

int env_wav_write(const char *path, const int16_t *samples, size_t n, unsigned channels, unsigned rate)
{
	uint32_t bytes = (uint32_t)(n * 2);
	uint8_t h[44] = "RIFF....WAVEfmt ";
	FILE *f = fopen(path, "w");
	size_t done;

	if (!f)
		return -errno;
	put(h + 4, 4, 36 + bytes);
	put(h + 16, 4, 16);
	put(h + 20, 2, 1);
	put(h + 22, 2, channels);
	put(h + 24, 4, rate);
	put(h + 28, 4, rate * channels * 2);
	put(h + 32, 2, channels * 2);
	put(h + 34, 2, 16);
	memcpy(h + 36, "data", 4);
	put(h + 40, 4, bytes);
	done = fwrite(h, sizeof(h), 1, f) + fwrite(samples, 2, n, f);
	return fclose(f) == 0 && done == n + 1 ? 0 : -EIO;
}

int16_t *env_wav_read(const char *path, size_t *n)
{
	FILE *f = fopen(path, "r");
	int16_t *samples = NULL;
	uint8_t h[44];
	long size;

	*n = 0;
	if (!f)
		return NULL;
	/* arecord writes the plain 44-byte header; a killed one leaves its sizes wrong, so the
	 * file's own size counts */
	if (fread(h, sizeof(h), 1, f) == 1 && !memcmp(h, "RIFF", 4) && !memcmp(h + 36, "data", 4) &&
	    fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 44) {
		size_t want = (size_t)(size - 44) / 2;

		samples = malloc(want * 2);
		if (samples && fseek(f, 44, SEEK_SET) == 0)
			*n = fread(samples, 2, want, f);
	}
	fclose(f);
	return samples;
}

const char *cable_env_text(const char *path)
{
	static char text[4096];
	FILE *f = fopen(path, "r");
	size_t n = 0;

	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = 0;
	return text;
}

int64_t test_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void test_sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}
