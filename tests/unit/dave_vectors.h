/* SPDX-License-Identifier: MIT
 *
 * dave_vectors.h - reading test vectors: JSON files with lower-case hex in them.
 *
 * vectors_load() takes a file from $VECTORS/dave (skips the test when VECTORS is not set),
 * data_load() one that is committed under tests/vectors/data.
 */
#ifndef TESTS_UNIT_DAVE_VECTORS_H
#define TESTS_UNIT_DAVE_VECTORS_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "tests/unit/unit.h"

static cJSON *json_load(const char *path)
{
	FILE *f = fopen(path, "rb");
	cJSON *j;
	char *text;
	long size;

	if (!f)
		UNIT_FAIL("cannot open %s", path);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	text = calloc(1, (size_t)size + 1);
	if (!text || fread(text, 1, (size_t)size, f) != (size_t)size)
		UNIT_FAIL("cannot read %s", path);
	fclose(f);
	j = cJSON_Parse(text);
	free(text);
	if (!j)
		UNIT_FAIL("%s is not JSON", path);
	return j;
}

__attribute__((unused)) static cJSON *vectors_load(const char *name)
{
	const char *dir = getenv("VECTORS");
	char path[512];

	if (!dir)
		SKIP("VECTORS is not set");
	snprintf(path, sizeof(path), "%s/dave/%s", dir, name);
	return json_load(path);
}

__attribute__((unused)) static cJSON *data_load(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "tests/vectors/data/%s", name);
	return json_load(path);
}

static const cJSON *member(const cJSON *object, const char *name)
{
	const cJSON *j = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!j)
		UNIT_FAIL("no member %s", name);
	return j;
}

__attribute__((unused)) static int64_t number(const cJSON *object, const char *name)
{
	const cJSON *j = member(object, name);

	return cJSON_IsString(j) ? (int64_t)strtoull(j->valuestring, NULL, 10)
				 : (int64_t)j->valuedouble;
}

struct hex {
	uint8_t *data;
	size_t len;
};

static struct hex hex_text(const char *text)
{
	struct hex h = {malloc(strlen(text) / 2 + 1), strlen(text) / 2};

	for (size_t i = 0; i < h.len; i++) {
		unsigned v;

		if (sscanf(text + 2 * i, "%2x", &v) != 1)
			UNIT_FAIL("not hex: %s", text);
		h.data[i] = (uint8_t)v;
	}
	return h;
}

/* The caller frees .data. */
__attribute__((unused)) static struct hex hex_member(const cJSON *object, const char *name)
{
	return hex_text(member(object, name)->valuestring);
}

#endif
