/* SPDX-License-Identifier: MIT
 *
 * settings_internal.h - between settings.c (values, snapshot), settings_files.c (the two file
 * formats) and settings_main.c (the command line).
 */
#ifndef COMMON_SETTINGS_INTERNAL_H
#define COMMON_SETTINGS_INTERNAL_H

#include "common/settings.h"
#include "common/strbuf.h"

#define SETTINGS_DEFAULT_CONF "/etc/loopline/loopline.conf"
#define SETTINGS_DEFAULT_ENV  ".env"
#define SETTINGS_FILE_MAX     ((size_t)256 << 10)

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
/* A value as --check may show it. */
const char *settings_shown(const struct settings *settings, const char *key, int line);

#endif
