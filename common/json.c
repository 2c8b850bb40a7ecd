/* SPDX-License-Identifier: MIT
 *
 * json.c - strict reading of JSON.
 *
 * cJSON 1.7 is lenient where we must not be: it takes raw control characters and bytes that are
 * not UTF-8, turns \u0000 into the end of a C string, recurses 1000 deep, and ignores
 * what follows the value. A scan in front of it refuses all that, and names the byte.
 */
#include "common/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/encode.h"

#define DEFAULT_MAX_BYTES ((size_t)1 << 20)
#define DEFAULT_MAX_DEPTH 32
#define EXACT_INTEGER     9007199254740992.0 /* 2^53 */
#define PATH_STEPS        40

static int refuse(struct json_doc *doc, int err, const char *what, size_t at)
{
	snprintf(doc->error, sizeof(doc->error), "%s at byte %zu", what, at);
	return err;
}

static int scan(struct json_doc *doc, const char *text, size_t len, int max_depth)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];

		if (!in_string) {
			if (c == '"')
				in_string = true;
			else if ((c == '{' || c == '[') && ++depth > max_depth)
				return refuse(doc, -EMSGSIZE, "nested too deep", i);
			else if (c == '}' || c == ']')
				depth--;
			else if (c >= 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
				return refuse(doc, -EINVAL, "not JSON", i);
			i++;
			continue;
		}
		if (c == '"') {
			in_string = false;
			i++;
		} else if (c == '\\') {
			if (len - i >= 6 && !memcmp(text + i + 1, "u0000", 5))
				return refuse(doc, -EINVAL, "\\u0000 in a string", i);
			i += 2;
		} else if (c < 0x20) {
			return refuse(doc, -EINVAL, "control character in a string", i);
		} else if (c < 0x80) {
			i++;
		} else {
			size_t n = utf8_sequence(text + i, len - i);

			if (!n)
				return refuse(doc, -EINVAL, "not UTF-8", i);
			i += n;
		}
	}
	return 0;
}

int json_parse(struct json_doc *doc, const char *text, size_t len, const struct json_limits *limits)
{
	size_t max_bytes = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES;
	int max_depth = limits && limits->max_depth ? limits->max_depth : DEFAULT_MAX_DEPTH;
	const char *end = NULL;
	int err;

	doc->tree = NULL;
	doc->error[0] = '\0';
	if (len > max_bytes) {
		snprintf(doc->error, sizeof(doc->error), "%zu bytes, at most %zu allowed", len,
			 max_bytes);
		return -EMSGSIZE;
	}
	err = scan(doc, text, len, max_depth);
	if (err)
		return err;
	doc->tree = cJSON_ParseWithLengthOpts(text, len, &end, false);
	if (!doc->tree)
		return refuse(doc, -EINVAL, "not JSON", end ? (size_t)(end - text) : 0);
	while (end < text + len && (*end == ' ' || *end == '\t' || *end == '\n' || *end == '\r'))
		end++;
	if (end != text + len) {
		json_free(doc);
		return refuse(doc, -EINVAL, "something behind the JSON value",
			      (size_t)(end - text));
	}
	return 0;
}

void json_free(struct json_doc *doc)
{
	cJSON_Delete(doc->tree);
	doc->tree = NULL;
}

bool json_good(const struct json_doc *doc)
{
	return doc->tree && !doc->error[0];
}

struct json_at json_root(struct json_doc *doc)
{
	return (struct json_at){.doc = doc, .node = doc->tree, .index = -1};
}

/* ---- errors -------------------------------------------------------------------------- */

static size_t put(char *out, size_t size, size_t at, const char *text)
{
	for (; *text && at + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(out + at, size - at, "\\x%02x", c);
		else
			out[at++] = (char)c;
	}
	out[at] = '\0';
	return at;
}

static size_t put_path(char *out, size_t size, const struct json_at *at, const char *name)
{
	const struct json_at *steps[PATH_STEPS] = {0};
	char number[24];
	size_t len = 0;
	int n = 0;

	for (; at && (at->name || at->index >= 0) && n < PATH_STEPS; at = at->parent)
		steps[n++] = at;
	while (n--) {
		if (steps[n]->name) {
			if (len)
				len = put(out, size, len, ".");
			len = put(out, size, len, steps[n]->name);
		} else {
			snprintf(number, sizeof(number), "[%d]", steps[n]->index);
			len = put(out, size, len, number);
		}
	}
	if (name) {
		if (len)
			len = put(out, size, len, ".");
		len = put(out, size, len, name);
	}
	return len ? len : put(out, size, 0, "(top)");
}

void json_fail(const struct json_at *at, const char *name, const char *format, ...)
{
	char message[192];
	size_t len;
	va_list args;

	if (!at->doc || at->doc->error[0])
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	/* Leave the message room even if the path is long. */
	len = put_path(at->doc->error, sizeof(at->doc->error) / 2, at, name);
	len = put(at->doc->error, sizeof(at->doc->error), len, ": ");
	put(at->doc->error, sizeof(at->doc->error), len, message);
}

static const char *type_name(const cJSON *node)
{
	if (!node)
		return "nothing";
	if (cJSON_IsString(node))
		return "string";
	if (cJSON_IsNumber(node))
		return "number";
	if (cJSON_IsObject(node))
		return "object";
	if (cJSON_IsArray(node))
		return "array";
	if (cJSON_IsBool(node))
		return "boolean";
	return "null";
}

/* ---- members ------------------------------------------------------------------------- */

/* The member if it is there and not null. A cursor that is no object is an error. */
static const cJSON *member(const struct json_at *at, const char *name)
{
	const cJSON *node;

	if (!at->node)
		return NULL;
	if (!cJSON_IsObject(at->node)) {
		json_fail(at, NULL, "expected object, got %s", type_name(at->node));
		return NULL;
	}
	node = cJSON_GetObjectItemCaseSensitive(at->node, name);
	return cJSON_IsNull(node) ? NULL : node;
}

/* For required members: absence is an error, told once. */
static const cJSON *required(const struct json_at *at, const char *name, const char *want)
{
	const cJSON *node = member(at, name);

	if (!node && at->node && cJSON_IsObject(at->node))
		json_fail(at, name, "expected %s, got %s", want,
			  type_name(cJSON_GetObjectItemCaseSensitive(at->node, name)));
	return node;
}

bool json_has(const struct json_at *at, const char *name)
{
	return cJSON_IsObject(at->node) &&
	       !cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(at->node, name)) &&
	       cJSON_GetObjectItemCaseSensitive(at->node, name);
}

bool json_is_obj(const struct json_at *at)
{
	if (cJSON_IsObject(at->node))
		return true;
	if (at->node)
		json_fail(at, NULL, "expected object, got %s", type_name(at->node));
	return false;
}

/*
 * Every getter is the same: find the node (required or not), convert it or say what was wrong.
 * `name` is for the message; NULL where `at` itself is the value.
 */
static bool wrong(const struct json_at *at, const char *name, const char *want, const cJSON *node)
{
	json_fail(at, name, "expected %s, got %s", want, type_name(node));
	return false;
}

static bool to_container(const struct json_at *at, const char *name, const cJSON *node, bool array,
			 struct json_at *out)
{
	if (!node)
		return false;
	if (array ? !cJSON_IsArray(node) : !cJSON_IsObject(node))
		return wrong(at, name, array ? "array" : "object", node);
	*out = (struct json_at){
		.doc = at->doc, .node = node, .parent = at, .name = name, .index = -1};
	return true;
}

static bool to_str(const struct json_at *at, const char *name, const cJSON *node, const char **out)
{
	if (!node)
		return false;
	if (!cJSON_IsString(node))
		return wrong(at, name, "string", node);
	*out = node->valuestring;
	return true;
}

static bool to_num(const struct json_at *at, const char *name, const cJSON *node, double *out)
{
	if (!node)
		return false;
	if (!cJSON_IsNumber(node))
		return wrong(at, name, "number", node);
	if (!isfinite(node->valuedouble)) {
		json_fail(at, name, "expected a number, got one too large");
		return false;
	}
	*out = node->valuedouble;
	return true;
}

/* Decimal digits with an optional minus sign, nothing else. */
static bool parse_int(const char *text, int64_t *out)
{
	char *end;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	if (*text == '-' && (text[1] < '0' || text[1] > '9'))
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && !*end;
}

static bool to_int(const struct json_at *at, const char *name, const cJSON *node, bool lax,
		   int64_t min, int64_t max, int64_t *out)
{
	int64_t value;
	double number;

	if (!node)
		return false;
	if (lax && cJSON_IsString(node)) {
		if (!parse_int(node->valuestring, &value)) {
			json_fail(at, name, "expected an integer, got \"%.40s\"",
				  node->valuestring);
			return false;
		}
	} else {
		if (!to_num(at, name, node, &number))
			return false;
		if (number != floor(number) || fabs(number) > EXACT_INTEGER) {
			json_fail(at, name, "expected an integer, got %.17g", number);
			return false;
		}
		value = (int64_t)number;
	}
	if (value < min || value > max) {
		json_fail(at, name, "expected %" PRId64 " to %" PRId64 ", got %" PRId64, min, max,
			  value);
		return false;
	}
	*out = value;
	return true;
}

static bool to_bool(const struct json_at *at, const char *name, const cJSON *node, bool *out)
{
	if (!node)
		return false;
	if (!cJSON_IsBool(node))
		return wrong(at, name, "boolean", node);
	*out = cJSON_IsTrue(node);
	return true;
}

static bool to_id(const struct json_at *at, const char *name, const cJSON *node, bool lax,
		  uint64_t *out)
{
	const char *text;
	char *end;

	if (!node)
		return false;
	if (lax && cJSON_IsNumber(node)) {
		int64_t value;

		if (!to_int(at, name, node, false, 0, (int64_t)EXACT_INTEGER, &value))
			return false;
		*out = (uint64_t)value;
		return true;
	}
	if (!cJSON_IsString(node))
		return wrong(at, name, "an id in a string", node);
	text = node->valuestring;
	errno = 0;
	if (*text >= '0' && *text <= '9') {
		uint64_t value = strtoull(text, &end, 10);

		if (!errno && !*end) {
			*out = value;
			return true;
		}
	}
	json_fail(at, name, "expected an id of decimal digits, got \"%.40s\"", text);
	return false;
}

bool json_obj(const struct json_at *at, const char *name, struct json_at *out)
{
	*out = (struct json_at){.doc = at->doc, .parent = at, .name = name, .index = -1};
	return to_container(at, name, required(at, name, "object"), false, out);
}

bool json_arr(const struct json_at *at, const char *name, struct json_at *out)
{
	*out = (struct json_at){.doc = at->doc, .parent = at, .name = name, .index = -1};
	return to_container(at, name, required(at, name, "array"), true, out);
}

bool json_str(const struct json_at *at, const char *name, const char **out)
{
	return to_str(at, name, required(at, name, "string"), out);
}

bool json_int(const struct json_at *at, const char *name, int64_t min, int64_t max, int64_t *out)
{
	return to_int(at, name, required(at, name, "number"), false, min, max, out);
}

bool json_num(const struct json_at *at, const char *name, double *out)
{
	return to_num(at, name, required(at, name, "number"), out);
}

bool json_bool(const struct json_at *at, const char *name, bool *out)
{
	return to_bool(at, name, required(at, name, "boolean"), out);
}

bool json_id(const struct json_at *at, const char *name, uint64_t *out)
{
	return to_id(at, name, required(at, name, "an id in a string"), false, out);
}

bool json_opt_obj(const struct json_at *at, const char *name, struct json_at *out)
{
	*out = (struct json_at){.doc = at->doc, .parent = at, .name = name, .index = -1};
	return to_container(at, name, member(at, name), false, out);
}

bool json_opt_arr(const struct json_at *at, const char *name, struct json_at *out)
{
	*out = (struct json_at){.doc = at->doc, .parent = at, .name = name, .index = -1};
	return to_container(at, name, member(at, name), true, out);
}

bool json_opt_str(const struct json_at *at, const char *name, const char **out)
{
	return to_str(at, name, member(at, name), out);
}

bool json_opt_int(const struct json_at *at, const char *name, int64_t min, int64_t max,
		  int64_t *out)
{
	return to_int(at, name, member(at, name), false, min, max, out);
}

bool json_opt_num(const struct json_at *at, const char *name, double *out)
{
	return to_num(at, name, member(at, name), out);
}

bool json_opt_bool(const struct json_at *at, const char *name, bool *out)
{
	return to_bool(at, name, member(at, name), out);
}

bool json_opt_id(const struct json_at *at, const char *name, uint64_t *out)
{
	return to_id(at, name, member(at, name), false, out);
}

bool json_int_lax(const struct json_at *at, const char *name, int64_t min, int64_t max,
		  int64_t *out)
{
	return to_int(at, name, required(at, name, "number"), true, min, max, out);
}

bool json_opt_int_lax(const struct json_at *at, const char *name, int64_t min, int64_t max,
		      int64_t *out)
{
	return to_int(at, name, member(at, name), true, min, max, out);
}

bool json_id_lax(const struct json_at *at, const char *name, uint64_t *out)
{
	return to_id(at, name, required(at, name, "an id"), true, out);
}

/* ---- elements ------------------------------------------------------------------------ */

int json_count(const struct json_at *arr)
{
	return cJSON_IsArray(arr->node) ? cJSON_GetArraySize(arr->node) : 0;
}

bool json_first(const struct json_at *arr, struct json_at *out)
{
	*out = (struct json_at){.doc = arr->doc, .parent = arr, .index = 0};
	if (!cJSON_IsArray(arr->node)) {
		if (arr->node)
			wrong(arr, NULL, "array", arr->node);
		return false;
	}
	out->node = arr->node->child;
	return out->node;
}

bool json_next(struct json_at *element)
{
	if (element->node)
		element->node = element->node->next;
	element->index++;
	return element->node;
}

bool json_value_str(const struct json_at *at, const char **out)
{
	return to_str(at, NULL, at->node, out);
}

bool json_value_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out)
{
	return to_int(at, NULL, at->node, false, min, max, out);
}

bool json_value_id(const struct json_at *at, uint64_t *out)
{
	return to_id(at, NULL, at->node, false, out);
}

int json_text(const struct json_at *at, struct strbuf *out)
{
	char *text = at->node ? cJSON_PrintUnformatted(at->node) : NULL;

	if (!text)
		return -ENOMEM;
	strbuf_str(out, text);
	cJSON_free(text);
	return out->error;
}
