/* SPDX-License-Identifier: MIT
 *
 * fuzz_settings.c - any text as loopline.conf and as .env: an error line or a value, never a crash.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_report(void *arg, enum log_level level, const char *line)
{
	if (strchr(line, '\n'))
		abort(); /* one line each */
}

static void on_found(void *arg, const struct settings_found *item)
{
	if (!*item->key || item->line < 0 || item->line >= SETTINGS_MAX_LINES ||
	    item->file_line < 1)
		abort();
	*(size_t *)arg += strlen(item->value);
}

static void on_section(void *arg, int line)
{
	if (line < 0 || line >= SETTINGS_MAX_LINES)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings_report report = {.fn = on_report};
	size_t total = 0;
	char *text = malloc(size + 1);

	if (!text || memchr(data, '\0', size)) {
		free(text);
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	settings_parse_conf(&report, "conf", text, on_found, on_section, &total);
	memcpy(text, data, size);
	text[size] = '\0';
	settings_parse_env(&report, "env", text, on_found, &total);
	free(text);
	return 0;
}
