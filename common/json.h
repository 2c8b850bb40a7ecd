/* SPDX-License-Identifier: MIT
 *
 * json.h - strict reading (over cJSON) and direct writing of JSON.
 *
 * Reading: a wrong type, a missing field or a value out of range is an error that
 * names the path and both types. The first error sticks to the document, so a
 * message is read straight through and checked once:
 *
 *	struct json_doc doc;
 *	if (json_parse(&doc, text, len, NULL) < 0)
 *		... doc.error says why ("not JSON at byte 17")
 *	struct json_at root = json_root(&doc), d;
 *	int64_t interval_ms = 0;
 *	json_obj(&root, "d", &d);
 *	json_int(&d, "heartbeat_interval", 1, 600000, &interval_ms);
 *	if (doc.error[0])
 *		... "d.heartbeat_interval: expected number, got string"
 *	json_free(&doc);
 *
 * Getters return true when they stored a value. After a failed json_obj() the cursor is
 * empty and getters on it do nothing, so no crash follows the first error.
 * A cursor (struct json_at) points to its parent cursor, which must stay in
 * scope; all die with the document. One document, one thread.
 *
 * "null" counts as absent everywhere.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/strbuf.h"

struct cJSON;

struct json_limits {
	size_t max_bytes; /* 0: 1 MiB */
	int max_depth;    /* nesting of [ and {; 0: 32 */
};

struct json_doc {
	struct cJSON *tree;
	char error[256]; /* "" while all is well; control characters escaped */
};

struct json_at {
	struct json_doc *doc;
	const struct cJSON *node; /* NULL: empty cursor */
	const struct json_at *parent;
	const char *name; /* member name, NULL for an array element or the root */
	int index;        /* array element */
};

/*
 * RFC 8259 with these bounds: at most max_bytes and max_depth, UTF-8 only, no raw
 * control characters and no \u0000 in strings (C strings end there), nothing behind the value.
 * -EINVAL (doc->error is set), -EMSGSIZE (too long or too deep), -ENOMEM.
 * doc needs no initialisation; json_free() is right after failure too.
 */
int json_parse(struct json_doc *doc, const char *text, size_t len,
	       const struct json_limits *limits);
void json_free(struct json_doc *doc);
/* True if no getter has failed so far. */
bool json_good(const struct json_doc *doc);
struct json_at json_root(struct json_doc *doc);

/* A failure of the caller's own ("expected a CallSid"), with the path of `at`.name. Sticks like the
 * others. */
void json_fail(const struct json_at *at, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Is the member there and not null? */
bool json_has(const struct json_at *at, const char *name);
/* The value itself is an object (use on the root and on array elements). An error otherwise. */
bool json_is_obj(const struct json_at *at);

/* Required members. */
bool json_obj(const struct json_at *at, const char *name, struct json_at *out);
bool json_arr(const struct json_at *at, const char *name, struct json_at *out);
/* *out lives as long as the document. */
bool json_str(const struct json_at *at, const char *name, const char **out);
/* An integral number within [min, max]. Beyond 2^53 a JSON number is not exact and is refused. */
bool json_int(const struct json_at *at, const char *name, int64_t min, int64_t max, int64_t *out);
bool json_num(const struct json_at *at, const char *name, double *out);
bool json_bool(const struct json_at *at, const char *name, bool *out);
/* A 64-bit id as a string of decimal digits ("81384788765712384"), the way Discord sends ids. */
bool json_id(const struct json_at *at, const char *name, uint64_t *out);

/* Optional members: absent or null leaves *out alone and is no error; a wrong type is. */
bool json_opt_obj(const struct json_at *at, const char *name, struct json_at *out);
bool json_opt_arr(const struct json_at *at, const char *name, struct json_at *out);
bool json_opt_str(const struct json_at *at, const char *name, const char **out);
bool json_opt_int(const struct json_at *at, const char *name, int64_t min, int64_t max,
		  int64_t *out);
bool json_opt_num(const struct json_at *at, const char *name, double *out);
bool json_opt_bool(const struct json_at *at, const char *name, bool *out);
bool json_opt_id(const struct json_at *at, const char *name, uint64_t *out);

/* Tolerance asked for by name: a number, or a string of one ("20"). For ids, a number up to 2^53
 * too. */
bool json_int_lax(const struct json_at *at, const char *name, int64_t min, int64_t max,
		  int64_t *out);
bool json_opt_int_lax(const struct json_at *at, const char *name, int64_t min, int64_t max,
		      int64_t *out);
bool json_id_lax(const struct json_at *at, const char *name, uint64_t *out);

/*
 * Elements of an array cursor:
 *	struct json_at e;
 *	for (bool more = json_first(&arr, &e); more; more = json_next(&e)) ...
 */
int json_count(const struct json_at *arr);
bool json_first(const struct json_at *arr, struct json_at *out);
bool json_next(struct json_at *element);
/* The value of a cursor itself (elements that are no objects). */
bool json_value_str(const struct json_at *at, const char **out);
bool json_value_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out);
bool json_value_id(const struct json_at *at, uint64_t *out);
/* Appends the value as JSON text. -ENOMEM, or the buffer's error. */
int json_text(const struct json_at *at, struct strbuf *out);

/*
 * Writing straight into a strbuf, commas and escapes included:
 *
 *	struct json_writer w;
 *	json_begin(&w, &buf);
 *	json_w_obj(&w, NULL);
 *	json_w_int(&w, "op", 1);
 *	json_w_end(&w);
 *	if (json_finish(&w) < 0) ...
 *
 * `name` is NULL inside arrays and for the outermost value. Text that is not
 * UTF-8 has its bad bytes replaced by U+FFFD. Errors stick (the buffer's
 * -ENOMEM/-ENOSPC, -EINVAL for deeper than 32 or unbalanced use).
 */
struct json_writer {
	struct strbuf *out;
	size_t start;      /* of our text in out */
	uint32_t is_array; /* bit per level */
	uint32_t has_item;
	int depth;
	int error;
};

void json_begin(struct json_writer *w, struct strbuf *out);
void json_w_obj(struct json_writer *w, const char *name);
void json_w_arr(struct json_writer *w, const char *name);
void json_w_end(struct json_writer *w); /* closes the innermost object or array */
void json_w_str(struct json_writer *w, const char *name, const char *value); /* NULL writes null */
void json_w_strn(struct json_writer *w, const char *name, const char *value, size_t len);
void json_w_int(struct json_writer *w, const char *name, int64_t value);
/* %.17g shortened to what reads back the same; not finite writes null. */
void json_w_num(struct json_writer *w, const char *name, double value);
void json_w_bool(struct json_writer *w, const char *name, bool value);
void json_w_null(struct json_writer *w, const char *name);
void json_w_id(struct json_writer *w, const char *name, uint64_t value); /* decimal string */
/* A piece that is JSON already (trusted, complete value). */
void json_w_raw(struct json_writer *w, const char *name, const char *json);
/* 0 if all levels are closed and nothing failed. */
int json_finish(struct json_writer *w);

#endif
