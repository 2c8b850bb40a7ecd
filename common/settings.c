/* SPDX-License-Identifier: MIT
 *
 * settings.c - sources in their order, values checked against the table, the snapshot.
 */
#include "common/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings_internal.h"

extern char **environ;

static const char *const log_choices[] = {"error", "warn", "info", "debug", NULL};

const struct setting_key settings_common_keys[] = {
	{.name = "LOG",
	 .type = SETTING_ENUM,
	 .choices = log_choices,
	 .fallback = "info",
	 .help = "how much is logged: error, warn, info, debug"},
	{.name = "CA_FILE",
	 .type = SETTING_PATH,
	 .flags = SETTING_READABLE,
	 .help = "certificates (PEM) to trust instead of the system's"},
	{.name = "LOOPLINE_RUNTIME_DIR",
	 .type = SETTING_PATH,
	 .fallback = "/run/loopline",
	 .help = "where sockets and cables are"},
	{.name = "ALLOW_READABLE_SECRETS",
	 .type = SETTING_BOOL,
	 .fallback = "off",
	 .help = "take secrets from files that others can read"},
};
const size_t settings_common_key_count =
	sizeof(settings_common_keys) / sizeof(settings_common_keys[0]);

const struct setting_key *settings_key_at(const struct settings_program *program, size_t index)
{
	if (index < program->key_count)
		return &program->keys[index];
	index -= program->key_count;
	return index < settings_common_key_count ? &settings_common_keys[index] : NULL;
}

/* ---- reports ------------------------------------------------------------------------- */

void settings_report(struct settings_report *report, enum log_level level, const char *format, ...)
{
	char line[600];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (level == LOG_LEVEL_ERROR)
		report->errors++;
	if (report->fn)
		report->fn(report->arg, level, line);
	else
		log_write(level, "%s", line);
}

int settings_find_key(const struct settings_program *program, const char *name)
{
	const struct setting_key *key;

	for (size_t i = 0; (key = settings_key_at(program, i)); i++)
		if (!strcmp(key->name, name))
			return (int)i;
	return -1;
}

static bool is_foreign(const struct settings_program *program, const char *name)
{
	for (const char *const *f = program->foreign; f && *f; f++)
		if (!strcmp(*f, name))
			return true;
	return false;
}

/* Levenshtein's distance, letter case ignored; large for long names. */
static int distance(const char *a, const char *b)
{
	int row[64];
	int la = (int)strlen(a), lb = (int)strlen(b);

	if (la > 60 || lb > 60)
		return 99;
	for (int j = 0; j <= lb; j++)
		row[j] = j;
	for (int i = 1; i <= la; i++) {
		int diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int above = row[j];
			int cost = toupper((unsigned char)a[i - 1]) !=
				   toupper((unsigned char)b[j - 1]);
			int best = diagonal + cost;

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[lb];
}

static void report_unknown(struct settings_report *report, enum log_level level, const char *path,
			   int file_line, const char *name)
{
	const struct setting_key *key;
	const char *near = NULL;
	int best = 3;

	for (size_t i = 0; (key = settings_key_at(report->program, i)); i++) {
		int d = distance(name, key->name);

		if (d < best) {
			best = d;
			near = key->name;
		}
	}
	settings_report(report, level, "%s:%d: there is no setting %.60s%s%s%s", path, file_line,
			name, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* ---- values -------------------------------------------------------------------------- */

/* Puts a raw value in unless a better source is there. */
static int offer(struct settings *s, size_t key, int line, enum settings_source source,
		 const char *text, const char *origin, bool readable_by_others)
{
	struct settings_value **at = settings_slot(s, key, line), *v;

	if (!*text || (*at && (*at)->source > source))
		return 0;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->text = strdup(text);
	v->origin = strdup(origin);
	v->source = source;
	v->readable_by_others = readable_by_others;
	if (!v->text || !v->origin) {
		settings_value_free(v);
		return -ENOMEM;
	}
	settings_value_free(*at);
	*at = v;
	return 0;
}

/* "…: KEY of line 1" */
static void name_value(char *out, size_t size, const struct settings *s,
		       const struct setting_key *key, int line, const struct settings_value *v)
{
	char of_line[24] = "";

	if ((key->flags & SETTING_PER_LINE) && (line || (s->lines & (s->lines - 1))))
		snprintf(of_line, sizeof(of_line), " of line %d", line);
	snprintf(out, size, "%s%s%s%s", v ? v->origin : "", v ? ": " : "", key->name, of_line);
}

static void wrong(struct settings_report *report, const struct settings *s,
		  const struct setting_key *key, int line, const struct settings_value *v,
		  const char *expected)
{
	char name[400];

	name_value(name, sizeof(name), s, key, line, v);
	if (key->type == SETTING_SECRET)
		settings_report(report, LOG_LEVEL_ERROR, "%s: expected %s", name, expected);
	else
		settings_report(report, LOG_LEVEL_ERROR, "%s: expected %s, got %s", name, expected,
				log_quote(v->text));
}

void settings_error(struct settings_report *report, const struct settings *s, const char *key_name,
		    int line, const char *format, ...)
{
	int index = settings_find_key(s->program, key_name);
	char name[400] = "", text[300];
	va_list args;

	if (index >= 0)
		name_value(name, sizeof(name), s, settings_key_at(s->program, (size_t)index), line,
			   *settings_slot(s, (size_t)index, line));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	settings_report(report, LOG_LEVEL_ERROR, "%s: %s", name, text);
}

static void check_value(struct settings_report *report, const struct settings *s,
			const struct setting_key *key, int line, struct settings_value *v)
{
	char expected[300] = "";

	const struct settings_value *first =
		line ? *settings_slot(s, (size_t)settings_find_key(s->program, key->name), 0)
		     : NULL;

	/* Inherited: told once, for line 0. */
	if (first && !first->good && !strcmp(first->origin, v->origin))
		return;
	if (!settings_value_convert(key, v, expected, sizeof(expected))) {
		wrong(report, s, key, line, v, *expected ? expected : "more memory");
		return;
	}
	if (key->check && v->items) {
		for (size_t i = 0; i < v->item_count; i++) {
			if (!key->check(v->items[i])) {
				wrong(report, s, key, line, v, key->expected);
				return;
			}
		}
	} else if (key->check && !key->check(v->text)) {
		wrong(report, s, key, line, v, key->expected);
		return;
	}
	v->good = true;
}

/* ---- sources ------------------------------------------------------------------------- */

struct loading {
	struct settings *settings;
	struct settings_report *report;
	const char *path;
	unsigned mode;
	enum settings_source source;
	int err;
};

static void on_section(void *arg, int line)
{
	struct loading *l = arg;

	l->settings->lines |= UINT64_C(1) << line;
}

static void on_found(void *arg, const struct settings_found *item)
{
	struct loading *l = arg;
	const struct settings_program *program = l->settings->program;
	int index = settings_find_key(program, item->key);
	const struct setting_key *key;
	struct settings_value *before;
	char origin[300];

	if (index < 0) {
		if (!is_foreign(program, item->key))
			report_unknown(l->report,
				       l->source == FROM_CONF ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
				       l->path, item->file_line, item->key);
		return;
	}
	key = settings_key_at(program, (size_t)index);
	if (item->in_section && !(key->flags & SETTING_PER_LINE)) {
		settings_report(l->report, LOG_LEVEL_ERROR,
				"%s:%d: %s is for the whole program: put it above the first "
				"[line N]",
				l->path, item->file_line, key->name);
		return;
	}
	before = *settings_slot(l->settings, (size_t)index, item->line);
	if (before && l->source == FROM_CONF) {
		settings_report(l->report, LOG_LEVEL_ERROR, "%s:%d: %s is there already, at %s",
				l->path, item->file_line, key->name, before->origin);
		return;
	}
	snprintf(origin, sizeof(origin), "%s:%d", l->path, item->file_line);
	if (offer(l->settings, (size_t)index, item->line, l->source, item->value, origin,
		  l->mode & S_IROTH))
		l->err = -ENOMEM;
}

static int load_file(struct loading *l, const char *path, enum settings_source source,
		     bool required)
{
	char *text;
	int err = settings_read_file(l->report, path, &text, &l->mode);

	if (err == -ENOENT && required)
		settings_report(l->report, LOG_LEVEL_ERROR, "%s: there is no such file", path);
	if (err)
		return err == -ENOMEM ? err : 0;
	l->path = path;
	l->source = source;
	if (source == FROM_CONF)
		settings_parse_conf(l->report, path, text, on_found, on_section, l);
	else
		settings_parse_env(l->report, path, text, on_found, l);
	explicit_bzero(text, strlen(text));
	free(text);
	return l->err;
}

static const char *look_up_environment(const char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; *environment; environment++)
		if (!strncmp(*environment, name, len) && (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}

/*
 * The content of the credential is the value; of a path (TLS_KEY) it is the file, so the value is
 * the place of the credential.
 */
static int load_credential(struct loading *l, const char *dir, size_t index)
{
	const struct setting_key *key = settings_key_at(l->settings->program, index);
	const char *name = key->name;
	char path[600], lower[64], *text;
	size_t len;
	int err;

	for (len = 0; len < sizeof(lower) - 1 && name[len]; len++)
		lower[len] = (char)tolower((unsigned char)name[len]);
	lower[len] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = settings_read_file(l->report, path, &text, &l->mode);
	if (err == -ENOENT) {
		snprintf(path, sizeof(path), "%s/%s", dir, lower);
		err = settings_read_file(l->report, path, &text, &l->mode);
	}
	if (err)
		return err == -ENOMEM ? err : 0;
	len = strlen(text);
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	err = offer(l->settings, index, 0, FROM_CREDENTIAL, key->type == SETTING_PATH ? path : text,
		    "credential", false);
	explicit_bzero(text, len);
	free(text);
	return err;
}

static int load_sources(struct loading *l, const struct settings_sources *sources)
{
	const char *const *environment =
		sources->environment ? sources->environment : (const char *const *)environ;
	const char *credentials = sources->credentials_dir;
	const struct setting_key *key;
	int err;

	/* Weakest first: a stronger source takes the place. */
	err = load_file(l, sources->conf_file ? sources->conf_file : SETTINGS_DEFAULT_CONF,
			FROM_CONF, sources->conf_file != NULL);
	if (err)
		return err;
	err = load_file(l, sources->env_file ? sources->env_file : SETTINGS_DEFAULT_ENV,
			FROM_ENV_FILE, false);
	if (err)
		return err;
	if (!credentials)
		credentials = look_up_environment(environment, "CREDENTIALS_DIRECTORY");
	for (size_t i = 0; (key = settings_key_at(l->settings->program, i)); i++) {
		const char *text = look_up_environment(environment, key->name);

		if (text)
			err = offer(l->settings, i, 0, FROM_ENVIRONMENT, text, "environment",
				    false);
		if (!err && credentials && *credentials)
			err = load_credential(l, credentials, i);
		if (err)
			return err;
	}
	return 0;
}

/* ---- defaults and checks ------------------------------------------------------------- */

static int fill_default(struct settings *s, size_t index, const struct setting_key *key, int line)
{
	const struct settings_value *first = *settings_slot(s, index, 0);
	const char *place;
	char text[300];

	if (*settings_slot(s, index, line))
		return 0;
	if (line && (key->flags & SETTING_INHERIT) && first)
		return offer(s, index, line, first->source, first->text, first->origin,
			     first->readable_by_others);
	if (!key->fallback)
		return 0;
	place = strstr(key->fallback, "{line}");
	if (place)
		snprintf(text, sizeof(text), "%.*s%d%s", (int)(place - key->fallback),
			 key->fallback, line, place + 6);
	else
		snprintf(text, sizeof(text), "%s", key->fallback);
	return offer(s, index, line, FROM_DEFAULT, text, "default", false);
}

static void check_required(struct settings_report *report, const struct settings *s,
			   const struct setting_key *key, size_t index, int line)
{
	char name[400];

	if (*settings_slot(s, index, line))
		return;
	if (key->required ? !key->required(s, line) : !(key->flags & SETTING_REQUIRED))
		return;
	name_value(name, sizeof(name), s, key, line, NULL);
	settings_report(report, LOG_LEVEL_ERROR, "%s is required%s%s%s%s", name,
			key->required_why ? " " : "", key->required_why ? key->required_why : "",
			key->help ? ": " : "", key->help ? key->help : "");
}

static void check_secret(struct settings_report *report, const struct settings *s,
			 const struct setting_key *key, int line, const struct settings_value *v)
{
	char name[400], path[300];

	if (!v || key->type != SETTING_SECRET || !v->readable_by_others ||
	    settings_bool(s, "ALLOW_READABLE_SECRETS", 0))
		return;
	if (line && v->source == FROM_CONF && (key->flags & SETTING_INHERIT))
		return; /* told for line 0 */
	name_value(name, sizeof(name), s, key, line, v);
	snprintf(path, sizeof(path), "%.*s", (int)(strrchr(v->origin, ':') - v->origin), v->origin);
	settings_report(report, LOG_LEVEL_ERROR,
			"%s: a secret in a file that others can read: chmod o-r %s, or set "
			"ALLOW_READABLE_SECRETS=on",
			name, path);
}

static int check_all(struct settings_report *report, struct settings *s)
{
	const struct setting_key *key;

	for (size_t i = 0; (key = settings_key_at(s->program, i)); i++) {
		for (int line = 0; line >= 0; line = settings_next_line(s, line)) {
			if (line && !(key->flags & SETTING_PER_LINE))
				break;
			if (fill_default(s, i, key, line))
				return -ENOMEM;
			if (*settings_slot(s, i, line))
				check_value(report, s, key, line, *settings_slot(s, i, line));
		}
	}
	for (size_t i = 0; (key = settings_key_at(s->program, i)); i++) {
		for (int line = 0; line >= 0; line = settings_next_line(s, line)) {
			if (line && !(key->flags & SETTING_PER_LINE))
				break;
			check_secret(report, s, key, line, *settings_slot(s, i, line));
			check_required(report, s, key, i, line);
		}
	}
	if (s->program->check)
		s->program->check(s, report);
	return 0;
}

int settings_load(struct settings **out, const struct settings_program *program,
		  const struct settings_sources *sources)
{
	struct settings_report report = {.program = program,
					 .fn = sources->report,
					 .arg = sources->report_arg};
	struct settings *s = calloc(1, sizeof(*s));
	struct loading loading = {.settings = s, .report = &report};
	int err = -ENOMEM;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	atomic_store(&s->refs, 1);
	s->program = program;
	s->lines = 1;
	s->key_count = program->key_count + settings_common_key_count;
	s->values = calloc(s->key_count * SETTINGS_MAX_LINES, sizeof(struct settings_value *));
	if (!s->values)
		goto out;
	err = load_sources(&loading, sources);
	if (!err)
		err = check_all(&report, s);
	if (!err && report.errors)
		err = -EINVAL;
out:
	if (err) {
		settings_unref(s);
		return err;
	}
	*out = s;
	return 0;
}

struct settings *settings_ref(struct settings *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void settings_unref(struct settings *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; s->values && i < s->key_count * SETTINGS_MAX_LINES; i++)
		settings_value_free(s->values[i]);
	free(s->values);
	free(s);
}
