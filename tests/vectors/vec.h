/* SPDX-License-Identifier: MIT
 *
 * vec.h - what every kind of vector needs: hex fields of JSON objects, and one line of complaint.
 * Included once by mls-vectors.c.
 */
#ifndef TESTS_VECTORS_VEC_H
#define TESTS_VECTORS_VEC_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "discord/mls/codec.h"

/* What came of one entry. */
enum vec_result { VEC_PASSED, VEC_FAILED, VEC_SKIPPED };

/* Why the entry failed or was skipped; set by the checks. */
static char vec_why[256];

__attribute__((format(printf, 1, 2)))
static enum vec_result vec_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(vec_why, sizeof(vec_why), format, args);
	va_end(args);
	return VEC_FAILED;
}

static enum vec_result vec_skip(const char *why)
{
	snprintf(vec_why, sizeof(vec_why), "%s", why);
	return VEC_SKIPPED;
}

#define VEC_CHECK(cond)                                                  \
	do {                                                             \
		if (!(cond))                                             \
			return vec_fail("line %d: %s", __LINE__, #cond); \
	} while (0)

#define VEC_OK(call)                                                        \
	do {                                                                \
		int vec_e = (call);                                         \
		if (vec_e != MLS_OK)                                        \
			return vec_fail("line %d: %s: %s", __LINE__, #call, \
					mls_error_text(vec_e));             \
	} while (0)

/* Everything decoded during one entry, freed at its end. */
static uint8_t *vec_memory[65536];
static size_t vec_n_memory;

static void vec_free_all(void)
{
	while (vec_n_memory)
		free(vec_memory[--vec_n_memory]);
}

static uint8_t *vec_alloc(size_t n)
{
	uint8_t *p = calloc(1, n ? n : 1);

	if (!p || vec_n_memory == sizeof(vec_memory) / sizeof(vec_memory[0])) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	vec_memory[vec_n_memory++] = p;
	return p;
}

static struct mls_bytes vec_unhex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	uint8_t *out = vec_alloc(n);

	for (size_t i = 0; i < n; i++) {
		unsigned byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
	return mls_bytes(out, n);
}

/* A hex field. A vector without it is no vector: stop. */
static struct mls_bytes vec_hex(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsString(item)) {
		fprintf(stderr, "no hex field \"%s\"\n", name);
		exit(2);
	}
	return vec_unhex(item->valuestring);
}

static const char *vec_string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static uint64_t vec_number(const cJSON *object, const char *name)
{
	return (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static const cJSON *vec_item(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool vec_is(const cJSON *object, const char *name, const void *data, size_t len)
{
	return mls_bytes_equal(vec_hex(object, name), mls_bytes(data, len));
}

#endif
