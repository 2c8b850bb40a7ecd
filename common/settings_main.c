/* SPDX-License-Identifier: MIT
 *
 * settings_main.c - the command line that both programs share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings_internal.h"

#define EXIT_USAGE  64 /* EX_USAGE and EX_CONFIG of sysexits.h */
#define EXIT_CONFIG 78

/* --config, kept for settings_reload(). Main thread only. */
static const char *conf_file;

static void print_help(const struct settings_program *program)
{
	const struct setting_key *key;

	printf("usage: %s [--config FILE] [--check] [--version] [--help]\n\n%s\n\n"
	       "  --config FILE  read FILE instead of " SETTINGS_DEFAULT_CONF "\n"
	       "  --check        check the settings, show them and where they come from, and exit\n"
	       "  --version      show the version and exit\n"
	       "  --help         show this and exit\n\n"
	       "Settings: systemd credential > environment > .env > the file above.\n\n",
	       program->name, program->summary);
	for (size_t i = 0; (key = settings_key_at(program, i)); i++) {
		printf("  %s%s\n", key->name, key->flags & SETTING_PER_LINE ? "  (per line)" : "");
		printf("        %s", key->help ? key->help : "");
		if (key->fallback)
			printf(" [%s]", key->fallback);
		else if (key->flags & SETTING_REQUIRED)
			printf(" [required]");
		else if (key->required)
			printf(" [required %s]", key->required_why ? key->required_why : "");
		printf("\n");
	}
}

static void print_settings(const struct settings *s, const struct settings_program *program)
{
	const struct setting_key *key;

	for (size_t i = 0; (key = settings_key_at(program, i)); i++) {
		for (int line = 0; line >= 0; line = settings_next_line(s, line)) {
			if (line && !(key->flags & SETTING_PER_LINE))
				break;
			if (!settings_is_set(s, key->name, line))
				continue;
			printf("%s", key->name);
			if (key->flags & SETTING_PER_LINE)
				printf(" [line %d]", line);
			printf(" = %s  # %s\n", settings_shown(s, key->name, line),
			       settings_origin(s, key->name, line));
		}
	}
	printf("%s: settings are good\n", program->name);
}

static int load(struct settings **out, const struct settings_program *program)
{
	struct settings_sources sources = {.conf_file = conf_file};
	enum log_level level;
	int err = settings_load(out, program, &sources);

	if (err == -ENOMEM)
		log_error("out of memory while reading the settings");
	if (!err && log_level_parse(settings_str(*out, "LOG", 0), &level))
		log_level_set(level);
	return err;
}

bool settings_main(struct settings **out, const struct settings_program *program, int argc,
		   char **argv, int *exit_status)
{
	bool check = false;

	*out = NULL;
	log_init(program->name, LOG_LEVEL_INFO);
	conf_file = NULL;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help(program);
			*exit_status = 0;
			return false;
		}
		if (!strcmp(argv[i], "--version")) {
			printf("%s %s\n", program->name, LOOPLINE_VERSION);
			*exit_status = 0;
			return false;
		}
		if (!strcmp(argv[i], "--check")) {
			check = true;
		} else if (!strcmp(argv[i], "--config") && i + 1 < argc) {
			conf_file = argv[++i];
		} else if (!strncmp(argv[i], "--config=", 9) && argv[i][9]) {
			conf_file = argv[i] + 9;
		} else {
			fprintf(stderr, "%s: %s %s; see %s --help\n", program->name,
				strcmp(argv[i], "--config") ? "unknown argument"
							    : "a file must follow",
				argv[i], program->name);
			*exit_status = EXIT_USAGE;
			return false;
		}
	}
	if (load(out, program) < 0) {
		*exit_status = EXIT_CONFIG;
		return false;
	}
	/* The ALSA plugin finds the cables by it, also where only `.env` says it. */
	if (setenv("LOOPLINE_RUNTIME_DIR", settings_str(*out, "LOOPLINE_RUNTIME_DIR", 0), 1) < 0) {
		log_error("out of memory");
		settings_unref(*out);
		*out = NULL;
		*exit_status = 1;
		return false;
	}
	if (check) {
		print_settings(*out, program);
		settings_unref(*out);
		*out = NULL;
		*exit_status = 0;
		return false;
	}
	return true;
}

int settings_reload(struct settings **out, const struct settings_program *program)
{
	int err = load(out, program);

	if (err)
		log_warn("the settings in force stay as they were");
	return err;
}
