/* SPDX-License-Identifier: MIT
 *
 * settings_value.c - what a value may be: text into what its key's type says.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/settings_internal.h"

void settings_value_free(struct settings_value *v)
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

static bool parse_list(struct settings_value *v)
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

static bool check_url(const struct setting_key *key, struct settings_value *v, char *expected,
		      size_t size)
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

bool settings_value_convert(const struct setting_key *key, struct settings_value *v, char *expected,
			    size_t size)
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
