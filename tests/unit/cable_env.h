/* SPDX-License-Identifier: MIT
 *
 * cable_env.h - a private ALSA world for tests: a temporary runtime directory, a configuration that
 * includes the stock one and alsa/cable/cable.conf, the plug-in from the build directory.
 */
#ifndef TESTS_UNIT_CABLE_ENV_H
#define TESTS_UNIT_CABLE_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Call first in main(), before anything of alsa-lib: sets ALSA_CONFIG_PATH and
 * LOOPLINE_RUNTIME_DIR for this process and its children. `more` is added to the configuration
 * (may be NULL). Everything is removed at exit of this process (not of its children). Exits 2
 * if it cannot be made. */
void cable_env_setup(const char *more);

enum cable_env_kind {
	CABLE_ENV_CABLE,     /* the stock configuration and alsa/cable/cable.conf */
	CABLE_ENV_EXAMPLE,   /* the stock one and asound.conf.example, its loopback set to cable */
	CABLE_ENV_INSTALLED, /* what this machine has, plug-in included */
};
void cable_env_setup_as(enum cable_env_kind kind, const char *more);

const char *cable_env_dir(void);

/* DIR/name; valid until the eighth next call. */
const char *cable_env_file(const char *name);

/* The same configuration, but in which cables may be created; for children that shall create. */
const char *cable_env_create_conf(void);

/* Starts argv (found by PATH); stderr to the file `log` in the directory unless NULL, stdout to
 * /dev/null. extra_env "NAME=value" or NULL. Returns the pid. */
pid_t cable_env_spawn(const char *log, const char *extra_env, const char *const argv[]);

/* Waits at most ms for the child: its exit status, 128 + signal, or -1 if it still runs
 * (it is then killed and reaped). */
int cable_env_wait(pid_t pid, int ms);

/* 16-bit WAV files; read: malloc'ed samples, *n their number (all channels), NULL if unreadable. */
int env_wav_write(const char *path, const int16_t *samples, size_t n, unsigned channels, unsigned rate);
int16_t *env_wav_read(const char *path, size_t *n);

/* Reads a whole small file as a string ("" if there is none); valid until the next call. */
const char *cable_env_text(const char *path);

int64_t test_now_ns(void);
void test_sleep_ms(int ms);

#endif
