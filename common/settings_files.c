/* SPDX-License-Identifier: MIT
 *
 * settings_files.c - loopline.conf and .env: from bytes to KEY = value.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/encode.h"
#include "common/settings_internal.h"

/* ---- reading ------------------------------------------------------------------------- */

/* Can somebody who is neither owner nor of the group open this file? Every folder above must let
 * him. */
static bool strangers_reach(const char *path)
{
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(path, real))
		return true;
	for (;;) {
		char *slash = strrchr(real, '/');

		if (!slash)
			return true;
		if (slash == real)
			return stat("/", &st) < 0 || (st.st_mode & S_IXOTH);
		*slash = '\0';
		if (stat(real, &st) == 0 && !(st.st_mode & S_IXOTH))
			return false;
	}
}

int settings_read_file(struct settings_report *report, const char *path, char **text,
		       unsigned *mode)
{
	struct strbuf buf = STRBUF_INIT(SETTINGS_FILE_MAX);
	char chunk[4096];
	struct stat st;
	ssize_t n;
	int fd, err = 0;

	*text = NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		if (err != -ENOENT)
			settings_report(report, LOG_LEVEL_ERROR, "%s: cannot be read: %s", path,
					strerror(-err));
		return err;
	}
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		settings_report(report, LOG_LEVEL_ERROR, "%s: is no file", path);
		close(fd);
		return -EINVAL;
	}
	*mode = st.st_mode & 07777;
	if ((*mode & S_IROTH) && !strangers_reach(path))
		*mode &= ~(unsigned)S_IROTH;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add(&buf, chunk, (size_t)n);
	if (n < 0)
		err = -errno;
	close(fd);
	if (!err)
		err = buf.error;
	if (!err && memchr(strbuf_text(&buf), '\0', buf.len))
		err = -EILSEQ;
	if (!err && !utf8_valid(strbuf_text(&buf), buf.len))
		err = -EILSEQ;
	if (err) {
		settings_report(report, LOG_LEVEL_ERROR, "%s: cannot be read: %s", path,
				err == -ENOSPC   ? "larger than 256 KiB"
				: err == -EILSEQ ? "not a text file in UTF-8"
						 : strerror(-err));
		strbuf_free(&buf);
		return err;
	}
	*text = strbuf_take(&buf);
	return *text ? 0 : -ENOMEM;
}

/* ---- text ---------------------------------------------------------------------------- */

static char *skip_blanks(char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static void trim_end(char *start)
{
	size_t len = strlen(start);

	while (len && isspace((unsigned char)start[len - 1]))
		start[--len] = '\0';
}

/* Cuts the next line out of *at; CR before the line break goes too. NULL at the end. */
static char *next_line(char **at)
{
	char *line = *at, *end;

	if (!*line)
		return NULL;
	end = strchr(line, '\n');
	if (end) {
		*at = end + 1;
		*end = '\0';
		if (end > line && end[-1] == '\r')
			end[-1] = '\0';
	} else {
		*at = line + strlen(line);
	}
	return line;
}

static bool key_good(const char *key)
{
	if (!isalpha((unsigned char)*key) && *key != '_')
		return false;
	for (; *key; key++)
		if (!isalnum((unsigned char)*key) && *key != '_')
			return false;
	return true;
}

static char *skip_bom(char *text)
{
	return !strncmp(text, "\xef\xbb\xbf", 3) ? text + 3 : text;
}

/* ---- loopline.conf ------------------------------------------------------------------- */

/* "[line 3]" -> 3; -1 if it is none. */
static int section_line(char *text)
{
	char *end, *p = skip_blanks(text + 1);
	long n;

	if (strncmp(p, "line", 4) != 0 || (p[4] != ' ' && p[4] != '\t'))
		return -1;
	p = skip_blanks(p + 4);
	if (!isdigit((unsigned char)*p))
		return -1;
	n = strtol(p, &end, 10);
	end = skip_blanks(end);
	if (*end != ']' || *skip_blanks(end + 1) || n < 0 || n >= SETTINGS_MAX_LINES)
		return -1;
	return (int)n;
}

void settings_parse_conf(struct settings_report *report, const char *path, char *text,
			 void (*found)(void *arg, const struct settings_found *item),
			 void (*section)(void *arg, int line), void *arg)
{
	struct settings_found item = {0};
	bool skip = false;
	char *line;

	text = skip_bom(text);
	while ((line = next_line(&text))) {
		char *key = skip_blanks(line), *equals, *value;
		size_t len;

		item.file_line++;
		trim_end(key);
		if (!*key || *key == '#' || *key == ';')
			continue;
		if (*key == '[') {
			int n = section_line(key);

			skip = n < 0;
			if (skip) {
				settings_report(report, LOG_LEVEL_ERROR,
						"%s:%d: expected [line N] with N from 0 to %d, "
						"got %s",
						path, item.file_line, SETTINGS_MAX_LINES - 1, key);
				continue;
			}
			item.line = n;
			item.in_section = true;
			section(arg, n);
			continue;
		}
		if (skip) /* one error for the section is enough */
			continue;
		equals = strchr(key, '=');
		if (!equals) {
			settings_report(report, LOG_LEVEL_ERROR, "%s:%d: expected KEY = value",
					path, item.file_line);
			continue;
		}
		*equals = '\0';
		trim_end(key);
		value = skip_blanks(equals + 1);
		len = strlen(value);
		/* Quotes keep blanks at the ends. No comments behind a value: it may hold # and ;.
		 */
		if (len >= 2 && (*value == '"' || *value == '\'') && value[len - 1] == *value) {
			value[len - 1] = '\0';
			value++;
		}
		if (!key_good(key)) {
			settings_report(report, LOG_LEVEL_ERROR,
					"%s:%d: %s is no name of a setting", path, item.file_line,
					log_quote(key));
			continue;
		}
		item.key = key;
		item.value = value;
		found(arg, &item);
	}
}

/* ---- .env ---------------------------------------------------------------------------- */

/*
 * A quoted value; the closing quote may be some lines on. Escapes as python-dotenv has them: in
 * single quotes \\ and \', in double quotes also \" \a \b \f \n \r \t \v. Returns behind the
 * closing quote, NULL if there is none.
 */
static char *unquote(char *p, int *lines)
{
	static const char names[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
	char quote = *p, *out = p;

	for (p++; *p && *p != quote; p++) {
		const char *name;

		if (*p == '\n')
			++*lines;
		if (*p != '\\' || !p[1]) {
			*out++ = *p;
			continue;
		}
		name = p[1] ? strchr(names, p[1]) : NULL;
		if (p[1] == '\\' || p[1] == quote)
			*out++ = *++p;
		else if (quote == '"' && name) {
			*out++ = codes[name - names];
			p++;
		} else {
			*out++ = *p;
		}
	}
	if (!*p)
		return NULL;
	*out = '\0';
	return p + 1;
}

void settings_parse_env(struct settings_report *report, const char *path, char *text,
			void (*found)(void *arg, const struct settings_found *item), void *arg)
{
	struct settings_found item = {.file_line = 1};
	char *p = skip_bom(text);
	int lines = 0;

	for (; *p; item.file_line += lines + 1) {
		char *key = skip_blanks(p), *value, *end;
		size_t len;

		lines = 0;
		end = key + strcspn(key, "\n");
		p = *end ? end + 1 : end;
		if (*key == '\n' || *key == '\r' || !*key || *key == '#')
			continue;
		if (!strncmp(key, "export", 6) && (key[6] == ' ' || key[6] == '\t'))
			key = skip_blanks(key + 6);
		len = strcspn(key, "= \t\r\n");
		value = skip_blanks(key + len);
		if (*value != '=') {
			settings_report(report, LOG_LEVEL_WARN, "%s:%d: expected KEY=value", path,
					item.file_line);
			continue;
		}
		key[len] = '\0';
		/* python-dotenv allows a key in single quotes. */
		if (len >= 2 && *key == '\'' && key[len - 1] == '\'') {
			key[len - 1] = '\0';
			key++;
		}
		value = skip_blanks(value + 1);
		if (*value == '"' || *value == '\'') {
			char *rest = unquote(value, &lines);

			if (!rest) {
				settings_report(report, LOG_LEVEL_ERROR,
						"%s:%d: the quote of %s is not closed", path,
						item.file_line, key);
				return;
			}
			end = rest + strcspn(rest, "\n");
			p = *end ? end + 1 : end;
			rest = skip_blanks(rest);
			if (*rest && *rest != '\r' && *rest != '\n' && *rest != '#') {
				settings_report(report, LOG_LEVEL_WARN,
						"%s:%d: expected nothing behind the closing quote "
						"of %s",
						path, item.file_line, key);
				continue;
			}
		} else {
			if (*end)
				*end = '\0';
			/* A comment starts at a # with white space in front of it. */
			for (char *c = value; *c; c++) {
				if (*c == '#' && (c == value || c[-1] == ' ' || c[-1] == '\t')) {
					*c = '\0';
					break;
				}
			}
			trim_end(value);
		}
		if (!key_good(key)) {
			settings_report(report, LOG_LEVEL_WARN, "%s:%d: %s is no name of a setting",
					path, item.file_line, log_quote(key));
			continue;
		}
		item.key = key;
		item.value = value;
		found(arg, &item);
	}
}
