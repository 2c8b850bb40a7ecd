/* SPDX-License-Identifier: MIT
 *
 * strbuf.c - growing string with a ceiling.
 */
#include "common/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_init(struct strbuf *buf, size_t max_bytes)
{
	memset(buf, 0, sizeof(*buf));
	buf->max = max_bytes;
}

void strbuf_free(struct strbuf *buf)
{
	free(buf->data);
	strbuf_init(buf, buf->max);
}

void strbuf_reset(struct strbuf *buf)
{
	buf->len = 0;
	buf->error = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

/* Room for len more bytes and a NUL. */
static bool reserve(struct strbuf *buf, size_t len)
{
	size_t cap = buf->cap ? buf->cap : 64;
	char *data;

	if (buf->error)
		return false;
	if (len > buf->max || buf->len > buf->max - len) {
		buf->error = -ENOSPC;
		return false;
	}
	if (buf->data && buf->len + len < buf->cap)
		return true;
	while (cap <= buf->len + len)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data) {
		buf->error = -ENOMEM;
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

void strbuf_add(struct strbuf *buf, const void *data, size_t len)
{
	if (!reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void strbuf_str(struct strbuf *buf, const char *text)
{
	strbuf_add(buf, text, strlen(text));
}

void strbuf_char(struct strbuf *buf, char c)
{
	strbuf_add(buf, &c, 1);
}

void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
{
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0) {
		if (!buf->error)
			buf->error = -EINVAL;
		return;
	}
	if (!reserve(buf, (size_t)n))
		return;
	vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
	buf->len += (size_t)n;
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vprintf(buf, format, args);
	va_end(args);
}

const char *strbuf_text(const struct strbuf *buf)
{
	return buf->data ? buf->data : "";
}

char *strbuf_take(struct strbuf *buf)
{
	char *data;

	if (!buf->error && !buf->data)
		strbuf_add(buf, "", 0);
	if (buf->error) {
		strbuf_free(buf);
		return NULL;
	}
	data = buf->data;
	strbuf_init(buf, buf->max);
	return data;
}
