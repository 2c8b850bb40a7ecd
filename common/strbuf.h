/* SPDX-License-Identifier: MIT
 *
 * strbuf.h - a growing string with a ceiling and a sticky error, so that a
 * message is built without a check per piece and checked once at the end.
 */
#ifndef COMMON_STRBUF_H
#define COMMON_STRBUF_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

struct strbuf {
	char *data; /* NUL behind the last byte; NULL until something is added */
	size_t len;
	size_t cap;
	size_t max; /* most bytes of text, without the NUL */
	int error;  /* 0, -ENOMEM or -ENOSPC (ceiling); once set nothing is added */
};

#define STRBUF_INIT(max_bytes)     \
	{                          \
		.max = (max_bytes) \
	}

void strbuf_init(struct strbuf *buf, size_t max_bytes);
void strbuf_free(struct strbuf *buf);
/* Empties, clears the error and keeps the memory. */
void strbuf_reset(struct strbuf *buf);
void strbuf_add(struct strbuf *buf, const void *data, size_t len);
void strbuf_str(struct strbuf *buf, const char *text);
void strbuf_char(struct strbuf *buf, char c);
void strbuf_printf(struct strbuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/* The text, never NULL ("" when empty). Valid until the next change. */
const char *strbuf_text(const struct strbuf *buf);
/* Hands the malloc'ed text to the caller and leaves the buffer empty; NULL after an error. */
char *strbuf_take(struct strbuf *buf);

#endif
