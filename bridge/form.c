/* SPDX-License-Identifier: MIT
 *
 * form.c - decodes a form body in place, into one allocation.
 */
#include "bridge/form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/encode.h"

/* Decodes [from, end) to `to` (never longer), terminates it, and returns the end, or NULL on NUL. */
static char *decode(char *to, const char *from, const char *end)
{
	while (from < end) {
		char c = *from++;

		if (c == '+') {
			c = ' ';
		} else if (c == '%' && end - from >= 2) {
			uint8_t byte;

			if (hex_decode(&byte, from, 1)) {
				c = (char)byte;
				from += 2;
			}
		}
		if (c == '\0')
			return NULL;
		*to++ = c;
	}
	*to = '\0';
	return to;
}

int form_parse(struct form **out, const char *body, size_t len)
{
	struct form *form = NULL;
	size_t fields = 1;
	int err = 0;

	*out = NULL;
	if (len > FORM_MAX_BYTES)
		return -E2BIG;
	for (size_t i = 0; i < len; i++)
		fields += body[i] == '&';
	if (fields > FORM_MAX_FIELDS)
		return -E2BIG;

	/* every field needs at most its own bytes and two terminators */
	form = calloc(1, sizeof(*form) + fields * sizeof(form->fields[0]) + len + 2 * fields);
	if (!form)
		return -ENOMEM;
	form->fields = (struct form_field *)(form + 1);

	char *text = (char *)(form->fields + fields);
	const char *at = body, *end = body + len;

	while (at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));

		if (!stop)
			stop = end;
		if (stop > at) { /* "&&" holds no field */
			const char *equals = memchr(at, '=', (size_t)(stop - at));
			const char *key_end = equals ? equals : stop;
			char *key = text;
			char *value = decode(key, at, key_end);

			if (!value) {
				err = -EINVAL;
				goto out;
			}
			value++;
			text = decode(value, equals ? equals + 1 : stop, stop);
			if (!text) {
				err = -EINVAL;
				goto out;
			}
			text++;
			form->fields[form->count++] = (struct form_field){key, value};
		}
		at = stop + 1;
	}
	*out = form;
	form = NULL;
out:
	free(form);
	return err;
}

void form_destroy(struct form *form)
{
	free(form);
}

const char *form_get(const struct form *form, const char *key)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(form->fields[i].key, key) == 0)
			return form->fields[i].value;
	return NULL;
}
