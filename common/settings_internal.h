/* SPDX-License-Identifier: MIT
 *
 * settings_internal.h - between settings.c (sources, checks), settings_value.c (conversion),
 * settings_access.c, settings_files.c (the two file formats) and settings_main.c (the command
 * line).
 */
#ifndef COMMON_SETTINGS_INTERNAL_H
#define COMMON_SETTINGS_INTERNAL_H

#include <stdatomic.h>

#include "common/settings.h"
#include "common/strbuf.h"

#define SETTINGS_DEFAULT_CONF "/etc/loopline/loopline.conf"
#define SETTINGS_DEFAULT_ENV  ".env"
#define SETTINGS_FILE_MAX     ((size_t)256 << 10)

enum settings_source {
	FROM_NOWHERE,
	FROM_DEFAULT,
	FROM_CONF,
	FROM_ENV_FILE,
	FROM_ENVIRONMENT,
	FROM_CREDENTIAL,
};

struct settings_value {
	char *text;
	enum settings_source source;
	char *origin;
	bool readable_by_others;
	bool good;
	int64_t number; /* BOOL, INT, ENUM (index) */
	uint64_t id;
	struct url *url;
	struct host_port *host_port;
	char **items; /* LIST */
	size_t item_count;
};

struct settings {
	_Atomic int refs; /* any thread */
	const struct settings_program *program;
	size_t key_count;
	uint64_t lines;                 /* bit per line */
	struct settings_value **values; /* key_count * SETTINGS_MAX_LINES; NULL: not given */
};

void settings_value_free(struct settings_value *v); /* NULL is fine */
/* Converts v->text. On failure `expected` completes "expected ..."; empty: no memory. */
bool settings_value_convert(const struct setting_key *key, struct settings_value *v, char *expected,
			    size_t size);

static inline struct settings_value **settings_slot(const struct settings *s, size_t key, int line)
{
	return &s->values[key * SETTINGS_MAX_LINES + (size_t)line];
}

struct settings_report {
	const struct settings_program *program;
	void (*fn)(void *arg, enum log_level level, const char *line);
	void *arg;
	int errors;
};

void settings_report(struct settings_report *report, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One KEY=value found in a file. */
struct settings_found {
	const char *key;
	char *value;
	int line; /* of the installation: 0, or N of [line N] */
	int file_line;
	bool in_section;
};

/*
 * Reads a whole file into *text (malloc'ed). 0, -ENOENT silently; other failures are reported.
 * *mode gets its permissions, with S_IROTH cleared if no stranger can get to it.
 */
int settings_read_file(struct settings_report *report, const char *path, char **text,
		       unsigned *mode);

/* Calls found() for each assignment in text, which is modified. Syntax errors are reported. */
void settings_parse_conf(struct settings_report *report, const char *path, char *text,
			 void (*found)(void *arg, const struct settings_found *item),
			 void (*section)(void *arg, int line), void *arg);
void settings_parse_env(struct settings_report *report, const char *path, char *text,
			void (*found)(void *arg, const struct settings_found *item), void *arg);

/* The keys every process has. */
extern const struct setting_key settings_common_keys[];
extern const size_t settings_common_key_count;

/* All keys of a program: its own, then the common ones. NULL after the last. */
const struct setting_key *settings_key_at(const struct settings_program *program, size_t index);
/* Index of a key by its name; -1. */
int settings_find_key(const struct settings_program *program, const char *name);
/* A value as --check may show it. */
const char *settings_shown(const struct settings *settings, const char *key, int line);

#endif
