/* SPDX-License-Identifier: MIT
 *
 * form.h - an application/x-www-form-urlencoded body, every field of it.
 *
 * Twilio signs all fields, also those nobody here knows, empty ones and untrimmed ones; so nothing
 * is dropped, and the order of the body is kept. (Libraries that decode a list of wanted names
 * cannot check such a signature.) Pure, any thread.
 */
#ifndef BRIDGE_FORM_H
#define BRIDGE_FORM_H

#include <stddef.h>

#define FORM_MAX_BYTES  16384 /* CallToken alone is more than 1 KiB; a whole request is about 3 */
#define FORM_MAX_FIELDS 256

struct form_field {
	const char *key;   /* decoded, NUL-terminated */
	const char *value; /* likewise; "" when the body had "key=" or just "key" */
};

struct form {
	size_t count;
	struct form_field *fields;
};

/*
 * Parses `len` bytes (`+` is a space, %XX a byte, a broken escape stands for itself as the WHATWG
 * URL standard says). Returns 0 and a form that the caller destroys, -E2BIG beyond the limits
 * above, -EINVAL for a NUL byte (plain or encoded: it would cut a C string in the middle),
 * -ENOMEM.
 */
int form_parse(struct form **out, const char *body, size_t len);
void form_destroy(struct form *form);

/* The first value of `key`, or NULL if the body has none. Lives as long as the form. */
const char *form_get(const struct form *form, const char *key);

#endif
