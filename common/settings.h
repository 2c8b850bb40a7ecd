/* SPDX-License-Identifier: MIT
 *
 * settings.h - where a process learns how it shall run.
 *
 * A process gives a table of the keys it knows; settings_load() makes an immutable,
 * reference-counted snapshot or tells every error, one line each. SIGHUP makes a
 * new snapshot; calls in progress keep theirs.
 *
 * Sources, the first that names a key wins:
 *  1. a systemd credential: file $CREDENTIALS_DIRECTORY/KEY or /key in lower case; for a
 *     SETTING_PATH the value is that file's own path
 *  2. the environment
 *  3. `.env` in the working directory, as users of python-dotenv write it
 *  4. /etc/loopline/loopline.conf (or --config FILE): KEY = value, `[line N]` sections
 *
 * Flat keys are line 0; other lines exist where the conf has a `[line N]` section. A per-line
 * key does not pass from line 0 to other lines unless its row says SETTING_INHERIT.
 * An empty value is the same as none: the key counts as not given in that source.
 *
 * Unknown keys: error in the conf, warning in `.env`, ignored in the environment. A key
 * that belongs to the other process (`foreign`) is known, and is not looked at.
 * A secret is refused from a file that others can read (o+r on the file and o+x on every folder
 * above it); chmod 600 or ALLOW_READABLE_SECRETS=on help.
 *
 * Known to every process without a row in its table: LOG, CA_FILE, LOOPLINE_RUNTIME_DIR,
 * ALLOW_READABLE_SECRETS.
 */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/url.h"

struct settings;

enum setting_type {
	SETTING_STRING,    /* any text without control characters */
	SETTING_SECRET,    /* the same, never shown, and see above */
	SETTING_BOOL,      /* on/off, yes/no, true/false, 1/0 */
	SETTING_ENUM,      /* one of choices */
	SETTING_INT,       /* decimal, within [min, max] */
	SETTING_URL,       /* schemes as url.h; http and ws only to loopback hosts */
	SETTING_HOST_PORT, /* "127.0.0.1:8080", "[::1]:8080" */
	SETTING_PATH,      /* an absolute path, or one relative to the working directory */
	SETTING_SNOWFLAKE, /* a Discord-like id: 1..2^64-1 in digits */
};

#define SETTING_PER_LINE 0x01u /* may stand in [line N] */
#define SETTING_INHERIT  0x02u /* with PER_LINE: what line 0 has is the default of other lines */
#define SETTING_REQUIRED 0x04u /* on every line, if PER_LINE */
#define SETTING_OR_OFF   0x08u /* an int that may be "off": settings_int() gives 0 */
#define SETTING_LIST     0x10u /* a string of comma-separated items, each checked by `check` */
#define SETTING_READABLE 0x20u /* a path: must be readable now */

struct setting_key {
	const char *name;
	enum setting_type type;
	unsigned flags;
	const char
		*fallback; /* default, as text; "{line}" in it is the line's number; NULL: none */
	const char *const *choices; /* SETTING_ENUM: NULL-terminated */
	int64_t min, max;           /* SETTING_INT */
	const char *const *schemes; /* SETTING_URL: NULL-terminated; NULL: {"https", "http"} */
	/* Further check of one value or list item; `expected` completes "expected ...". */
	bool (*check)(const char *value);
	const char *expected;
	/* Required under a condition; runs when all values are known. NULL: by SETTING_REQUIRED. */
	bool (*required)(const struct settings *settings, int line);
	const char *required_why; /* completes "KEY is required ...", e.g. "unless
				     TWILIO_VALIDATE=off" */
	const char *help;         /* for --help; one line */
};

/* Collects errors during a load; see settings_program.check. */
struct settings_report;

struct settings_program {
	const char *name;    /* "loopline-bridge" */
	const char *summary; /* one sentence for --help */
	const struct setting_key *keys;
	size_t key_count;
	const char *const *foreign; /* keys of the other process, NULL-terminated; may be NULL */
	/* Checks over several keys; call settings_error() for each fault found. May be NULL. */
	void (*check)(const struct settings *settings, struct settings_report *report);
};

/* A fault of a key that is known to exist: file and line are added. Pass line 0 for keys that are
 * not per line. */
void settings_error(struct settings_report *report, const struct settings *settings,
		    const char *key, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Where to look; zeroed means the usual places. For tests and --config. */
struct settings_sources {
	const char *conf_file;          /* NULL: /etc/loopline/loopline.conf, which may be absent */
	const char *env_file;           /* NULL: ".env", which may be absent */
	const char *credentials_dir;    /* NULL: $CREDENTIALS_DIRECTORY; "": none */
	const char *const *environment; /* NULL: environ */
	/* Gets each error and warning as one line. NULL: log_write(). */
	void (*report)(void *arg, enum log_level level, const char *line);
	void *report_arg;
};

/*
 * 0 with *out holding one reference; -EINVAL when at least one error was reported; -ENOMEM.
 * Main thread (reads environ).
 */
int settings_load(struct settings **out, const struct settings_program *program,
		  const struct settings_sources *sources);
/* Any thread. */
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings); /* NULL is fine; wipes secrets with the last */

/*
 * Lines of the installation: numbers are 0 (always there) to SETTINGS_MAX_LINES - 1, gaps
 * are allowed. for (int n = 0; n >= 0; n = settings_next_line(s, n)) ...
 */
#define SETTINGS_MAX_LINES 64
int settings_next_line(const struct settings *settings, int line); /* -1 after the last */
bool settings_has_line(const struct settings *settings, int line);
int settings_line_count(const struct settings *settings);

/*
 * Values. An unknown key, a wrong type or a missing line is a fault of the program and aborts.
 * `line` is 0 for keys that are not per line. Pointers live as long as the snapshot. Any thread.
 */
bool settings_is_set(const struct settings *settings, const char *key,
		     int line); /* or has a default */
const char *settings_str(const struct settings *settings, const char *key,
			 int line); /* any type's text; NULL if not set */
bool settings_bool(const struct settings *settings, const char *key, int line); /* not set: false */
int64_t settings_int(const struct settings *settings, const char *key, int line); /* not set: 0 */
int settings_enum(const struct settings *settings, const char *key,
		  int line); /* index in choices; not set: -1 */
uint64_t settings_snowflake(const struct settings *settings, const char *key,
			    int line); /* not set: 0 */
const struct url *settings_url(const struct settings *settings, const char *key,
			       int line); /* or NULL */
const struct host_port *settings_host_port(const struct settings *settings, const char *key,
					   int line); /* or NULL */
/* Items of a SETTING_LIST: 0..count-1. */
size_t settings_list_count(const struct settings *settings, const char *key, int line);
const char *settings_list_item(const struct settings *settings, const char *key, int line,
			       size_t index);
/* Where the value came from, for messages: "/etc/loopline/loopline.conf:12", "environment",
 * ".env:3", "credential", "default". */
const char *settings_origin(const struct settings *settings, const char *key, int line);

/*
 * main()'s first call: handles --config FILE, --check, --version, --help and wrong
 * usage, sets the log up (LOG), loads the settings, and puts LOOPLINE_RUNTIME_DIR into the
 * environment (the ALSA plugin looks there). Call it before any thread is made.
 *
 * Returns true: run with *out. False: exit with *exit_status (0; 64 wrong usage; 78 wrong
 * settings, EX_CONFIG, for RestartPreventExitStatus=).
 */
bool settings_main(struct settings **out, const struct settings_program *program, int argc,
		   char **argv, int *exit_status);
/* SIGHUP: loads again from the same places; on failure the errors are logged, -EINVAL, and the old
 * snapshot stays good. Sets the log level. */
int settings_reload(struct settings **out, const struct settings_program *program);

#endif
