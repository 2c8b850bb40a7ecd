/* SPDX-License-Identifier: MIT
 *
 * settings_access.c - what the programs ask a snapshot of settings.
 */
#include <stdlib.h>

#include "common/settings_internal.h"

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
static const struct settings_value *get(const struct settings *s, const char *name, int line,
					int type)
{
	int index = settings_find_key(s->program, name);
	const struct setting_key *key =
		index < 0 ? NULL : settings_key_at(s->program, (size_t)index);
	const struct settings_value *v;

	if (!key)
		misuse("no such key", name, line);
	if (type >= 0 && (int)key->type != type)
		misuse("another type", name, line);
	if (!settings_has_line(s, line) || (line && !(key->flags & SETTING_PER_LINE)))
		misuse("no such line", name, line);
	v = *settings_slot(s, (size_t)index, line);
	/* A bad value is seen only by checks that run before the load is refused. */
	return v && (v->good || type < 0) ? v : NULL;
}

bool settings_is_set(const struct settings *s, const char *key, int line)
{
	return get(s, key, line, -1) != NULL;
}

const char *settings_str(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, -1);

	return v ? v->text : NULL;
}

bool settings_bool(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_BOOL);

	return v && v->number;
}

int64_t settings_int(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_INT);

	return v ? v->number : 0;
}

int settings_enum(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_ENUM);

	return v ? (int)v->number : -1;
}

uint64_t settings_snowflake(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_SNOWFLAKE);

	return v ? v->id : 0;
}

const struct url *settings_url(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_URL);

	return v ? v->url : NULL;
}

const struct host_port *settings_host_port(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, SETTING_HOST_PORT);

	return v ? v->host_port : NULL;
}

size_t settings_list_count(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, -1);

	return v ? v->item_count : 0;
}

const char *settings_list_item(const struct settings *s, const char *key, int line, size_t index)
{
	const struct settings_value *v = get(s, key, line, -1);

	if (!v || index >= v->item_count)
		misuse("no such item", key, line);
	return v->items[index];
}

const char *settings_origin(const struct settings *s, const char *key, int line)
{
	const struct settings_value *v = get(s, key, line, -1);

	return v ? v->origin : "nowhere";
}

const char *settings_shown(const struct settings *s, const char *key, int line)
{
	int index = settings_find_key(s->program, key);
	const struct settings_value *v = get(s, key, line, -1);

	if (!v)
		return "(not set)";
	return settings_key_at(s->program, (size_t)index)->type == SETTING_SECRET ? "(set)"
										  : v->text;
}
