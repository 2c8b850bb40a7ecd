/* SPDX-License-Identifier: MIT
 *
 * settings.c - sources in their order, values checked against the table, the snapshot.
 */
#include "common/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings_internal.h"

extern char **environ;

enum source {
	FROM_NOWHERE,
	FROM_DEFAULT,
	FROM_CONF,
	FROM_ENV_FILE,
	FROM_ENVIRONMENT,
	FROM_CREDENTIAL,
};

struct value {
	char *text;
	enum source source;
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
	uint64_t lines;        /* bit per line */
	struct value **values; /* key_count * SETTINGS_MAX_LINES; NULL: not given */
};

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

static int find_key(const struct settings_program *program, const char *name)
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

static void value_free(struct value *v)
{
	if (!v)
		return;
	if (v->text) {
		explicit_bzero(v->text, strlen(v->text));
		free(v->text);
	}
	for (size_t i = 0; i < v->item_count; i++)
		free(v->items[i]);
	free(v->items);
	free(v->origin);
	free(v->url);
	free(v->host_port);
	free(v);
}

static struct value **slot(const struct settings *s, size_t key, int line)
{
	return &s->values[key * SETTINGS_MAX_LINES + (size_t)line];
}

/* Puts a raw value in unless a better source is there. */
static int offer(struct settings *s, size_t key, int line, enum source source, const char *text,
		 const char *origin, bool readable_by_others)
{
	struct value **at = slot(s, key, line), *v;

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
		value_free(v);
		return -ENOMEM;
	}
	value_free(*at);
	*at = v;
	return 0;
}

/* "…: KEY of line 1" */
static void name_value(char *out, size_t size, const struct settings *s,
		       const struct setting_key *key, int line, const struct value *v)
{
	char of_line[24] = "";

	if ((key->flags & SETTING_PER_LINE) && (line || (s->lines & (s->lines - 1))))
		snprintf(of_line, sizeof(of_line), " of line %d", line);
	snprintf(out, size, "%s%s%s%s", v ? v->origin : "", v ? ": " : "", key->name, of_line);
}

static void wrong(struct settings_report *report, const struct settings *s,
		  const struct setting_key *key, int line, const struct value *v,
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
	int index = find_key(s->program, key_name);
	char name[400] = "", text[300];
	va_list args;

	if (index >= 0)
		name_value(name, sizeof(name), s, settings_key_at(s->program, (size_t)index), line,
			   *slot(s, (size_t)index, line));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	settings_report(report, LOG_LEVEL_ERROR, "%s: %s", name, text);
}

static bool parse_bool(const char *text, int64_t *out)
{
	static const char *const yes[] = {"on", "yes", "true", "1"};
	static const char *const no[] = {"off", "no", "false", "0"};

	for (size_t i = 0; i < 4; i++) {
		if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
			*out = !strcasecmp(text, yes[i]);
			return true;
		}
	}
	return false;
}

static bool parse_int(const char *text, int64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[*text == '-']))
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && !*end;
}

static bool parse_list(struct value *v)
{
	const char *p = v->text;
	size_t count = 1;

	for (const char *c = p; *c; c++)
		count += *c == ',';
	v->items = calloc(count, sizeof(*v->items));
	if (!v->items)
		return false;
	while (*p) {
		size_t len = strcspn(p, ","), skip = strspn(p, " \t"), use;

		use = len > skip ? len - skip : 0;
		while (use && (p[skip + use - 1] == ' ' || p[skip + use - 1] == '\t'))
			use--;
		if (use) {
			v->items[v->item_count] = strndup(p + skip, use);
			if (!v->items[v->item_count])
				return false;
			v->item_count++;
		}
		p += len + (p[len] == ',');
	}
	return true;
}

static void list_choices(char *out, size_t size, const char *const *choices, const char *first)
{
	size_t len = (size_t)snprintf(out, size, "%s", first);

	for (size_t i = 0; choices[i] && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
					!i               ? ""
					: choices[i + 1] ? ", "
							 : " or ",
					choices[i]);
}

static bool check_url(const struct setting_key *key, struct value *v, char *expected, size_t size)
{
	static const char *const web[] = {"https", "http", NULL};
	const char *const *schemes = key->schemes ? key->schemes : web;
	const char *why = "";
	bool known = false;

	v->url = calloc(1, sizeof(*v->url));
	if (!v->url)
		return false;
	if (url_parse(v->url, v->text, &why) < 0) {
		snprintf(expected, size, "%s", why);
		return false;
	}
	for (size_t i = 0; schemes[i]; i++)
		known |= !strcmp(schemes[i], v->url->scheme);
	if (!known) {
		list_choices(expected, size, schemes, "a URL of scheme ");
		return false;
	}
	if (!v->url->tls && !v->url->loopback) {
		snprintf(expected, size,
			 "%ss://, because %s:// in clear text is for loopback hosts "
			 "only",
			 v->url->scheme, v->url->scheme);
		return false;
	}
	return true;
}

/* Converts v->text. On failure `expected` completes "expected ...". */
static bool convert(const struct setting_key *key, struct value *v, char *expected, size_t size)
{
	const char *why = "";
	char *end;

	for (const char *p = v->text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			snprintf(expected, size, "no control characters (line breaks, tabs)");
			return false;
		}
	}
	switch (key->type) {
	case SETTING_STRING:
	case SETTING_SECRET:
		if ((key->flags & SETTING_LIST) && !parse_list(v))
			return false;
		break;
	case SETTING_BOOL:
		if (!parse_bool(v->text, &v->number)) {
			snprintf(expected, size, "on or off");
			return false;
		}
		break;
	case SETTING_ENUM:
		for (v->number = 0; key->choices[v->number]; v->number++)
			if (!strcmp(key->choices[v->number], v->text))
				return true;
		list_choices(expected, size, key->choices, "");
		return false;
	case SETTING_INT:
		if ((key->flags & SETTING_OR_OFF) && !strcasecmp(v->text, "off"))
			break; /* 0 */
		if (!parse_int(v->text, &v->number) || v->number < key->min ||
		    v->number > key->max) {
			snprintf(expected, size, "a number from %" PRId64 " to %" PRId64 "%s",
				 key->min, key->max, key->flags & SETTING_OR_OFF ? ", or off" : "");
			return false;
		}
		break;
	case SETTING_URL:
		if (!check_url(key, v, expected, size))
			return false;
		break;
	case SETTING_HOST_PORT:
		v->host_port = calloc(1, sizeof(*v->host_port));
		if (!v->host_port)
			return false;
		if (host_port_parse(v->host_port, v->text, 0, &why) < 0) {
			snprintf(expected, size, "%s", why);
			return false;
		}
		break;
	case SETTING_PATH:
		if ((key->flags & SETTING_READABLE) && access(v->text, R_OK) < 0) {
			snprintf(expected, size, "a file that can be read (%s)", strerror(errno));
			return false;
		}
		break;
	case SETTING_SNOWFLAKE:
		errno = 0;
		v->id = isdigit((unsigned char)*v->text) ? strtoull(v->text, &end, 10) : 0;
		if (!v->id || errno || *end) {
			snprintf(expected, size, "an id: a number of 17 to 20 digits");
			return false;
		}
		break;
	}
	return true;
}

static void check_value(struct settings_report *report, const struct settings *s,
			const struct setting_key *key, int line, struct value *v)
{
	char expected[300] = "";

	const struct value *first =
		line ? *slot(s, (size_t)find_key(s->program, key->name), 0) : NULL;

	/* Inherited: told once, for line 0. */
	if (first && !first->good && !strcmp(first->origin, v->origin))
		return;
	if (!convert(key, v, expected, sizeof(expected))) {
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
	enum source source;
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
	int index = find_key(program, item->key);
	const struct setting_key *key;
	struct value *before;
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
	before = *slot(l->settings, (size_t)index, item->line);
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

static int load_file(struct loading *l, const char *path, enum source source, bool required)
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
	const struct value *first = *slot(s, index, 0);
	const char *place;
	char text[300];

	if (*slot(s, index, line))
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

	if (*slot(s, index, line))
		return;
	if (key->required ? !key->required(s, line) : !(key->flags & SETTING_REQUIRED))
		return;
	name_value(name, sizeof(name), s, key, line, NULL);
	settings_report(report, LOG_LEVEL_ERROR, "%s is required%s%s%s%s", name,
			key->required_why ? " " : "", key->required_why ? key->required_why : "",
			key->help ? ": " : "", key->help ? key->help : "");
}

static void check_secret(struct settings_report *report, const struct settings *s,
			 const struct setting_key *key, int line, const struct value *v)
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
			if (*slot(s, i, line))
				check_value(report, s, key, line, *slot(s, i, line));
		}
	}
	for (size_t i = 0; (key = settings_key_at(s->program, i)); i++) {
		for (int line = 0; line >= 0; line = settings_next_line(s, line)) {
			if (line && !(key->flags & SETTING_PER_LINE))
				break;
			check_secret(report, s, key, line, *slot(s, i, line));
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
	s->values = calloc(s->key_count * SETTINGS_MAX_LINES, sizeof(struct value *));
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
		value_free(s->values[i]);
	free(s->values);
	free(s);
}

/* ---- access -------------------------------------------------------------------------- */

int settings_next_line(const struct settings *s, int line)
{
	for (line++; line < SETTINGS_MAX_LINES; line++)
		if (settings_has_line(s, line))
			return line;
	return -1;
}

bool settings_has_line(const struct settings *s, int line)
{
	return line >= 0 && line < SETTINGS_MAX_LINES && (s->lines & UINT64_C(1) << line);
}

int settings_line_count(const struct settings *s)
{
	return __builtin_popcountll(s->lines);
}

static void misuse(const char *what, const char *key, int line)
{
	log_error("settings used wrongly: %s key=%s line=%d", what, key, line);
	abort();
}

/* type < 0: any */
static const struct value *get(const struct settings *s, const char *name, int line, int type)
{
	int index = find_key(s->program, name);
	const struct setting_key *key =
		index < 0 ? NULL : settings_key_at(s->program, (size_t)index);
	const struct value *v;

	if (!key)
		misuse("no such key", name, line);
	if (type >= 0 && (int)key->type != type)
		misuse("another type", name, line);
	if (!settings_has_line(s, line) || (line && !(key->flags & SETTING_PER_LINE)))
		misuse("no such line", name, line);
	v = *slot(s, (size_t)index, line);
	/* A bad value is seen only by checks that run before the load is refused. */
	return v && (v->good || type < 0) ? v : NULL;
}

bool settings_is_set(const struct settings *s, const char *key, int line)
{
	return get(s, key, line, -1) != NULL;
}

const char *settings_str(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, -1);

	return v ? v->text : NULL;
}

bool settings_bool(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_BOOL);

	return v && v->number;
}

int64_t settings_int(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_INT);

	return v ? v->number : 0;
}

int settings_enum(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_ENUM);

	return v ? (int)v->number : -1;
}

uint64_t settings_snowflake(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_SNOWFLAKE);

	return v ? v->id : 0;
}

const struct url *settings_url(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_URL);

	return v ? v->url : NULL;
}

const struct host_port *settings_host_port(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, SETTING_HOST_PORT);

	return v ? v->host_port : NULL;
}

size_t settings_list_count(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, -1);

	return v ? v->item_count : 0;
}

const char *settings_list_item(const struct settings *s, const char *key, int line, size_t index)
{
	const struct value *v = get(s, key, line, -1);

	if (!v || index >= v->item_count)
		misuse("no such item", key, line);
	return v->items[index];
}

const char *settings_origin(const struct settings *s, const char *key, int line)
{
	const struct value *v = get(s, key, line, -1);

	return v ? v->origin : "nowhere";
}

const char *settings_shown(const struct settings *s, const char *key, int line)
{
	int index = find_key(s->program, key);
	const struct value *v = get(s, key, line, -1);

	if (!v)
		return "(not set)";
	return settings_key_at(s->program, (size_t)index)->type == SETTING_SECRET ? "(set)"
										  : v->text;
}
