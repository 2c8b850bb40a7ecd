/* SPDX-License-Identifier: MIT
 *
 * codec.c - reading and writing of the TLS presentation language (RFC 9420 2.1).
 */
#include "discord/mls/codec.h"

#include <openssl/crypto.h>

#include "discord/mls/alloc.h"

/* ---- buffers ---------------------------------------------------------------------------- */

void mls_buffer_clear(struct mls_buffer *buffer)
{
	mls_free(buffer->data, buffer->len);
	*buffer = (struct mls_buffer){NULL, 0};
}

int mls_buffer_copy(struct mls_buffer *to, struct mls_bytes from)
{
	uint8_t *data = mls_alloc(from.len);

	if (!data)
		return MLS_ERROR_NOMEM;
	if (from.len)
		memcpy(data, from.data, from.len);
	*to = (struct mls_buffer){data, from.len};
	return MLS_OK;
}

/* ---- reading ---------------------------------------------------------------------------- */

void mls_reader_fail(struct mls_reader *r, int error)
{
	if (r->error == MLS_OK)
		r->error = error;
}

int mls_reader_finish(const struct mls_reader *r)
{
	if (r->error != MLS_OK)
		return r->error;
	return r->at == r->end ? MLS_OK : MLS_ERROR_PARSE;
}

struct mls_bytes mls_read_bytes(struct mls_reader *r, size_t len)
{
	struct mls_bytes bytes;

	if (r->error != MLS_OK || mls_reader_left(r) < len) {
		mls_reader_fail(r, MLS_ERROR_PARSE);
		return mls_bytes(NULL, 0);
	}
	bytes = mls_bytes(r->at, len);
	if (len)
		r->at += len;
	return bytes;
}

static uint64_t read_integer(struct mls_reader *r, size_t len)
{
	struct mls_bytes bytes = mls_read_bytes(r, len);
	uint64_t v = 0;

	for (size_t i = 0; i < bytes.len; i++)
		v = v << 8 | bytes.data[i];
	return v;
}

uint8_t mls_read_u8(struct mls_reader *r)
{
	return (uint8_t)read_integer(r, 1);
}

uint16_t mls_read_u16(struct mls_reader *r)
{
	return (uint16_t)read_integer(r, 2);
}

uint32_t mls_read_u32(struct mls_reader *r)
{
	return (uint32_t)read_integer(r, 4);
}

uint64_t mls_read_u64(struct mls_reader *r)
{
	return read_integer(r, 8);
}

uint32_t mls_read_length(struct mls_reader *r)
{
	/* the least length for which a header of 1, 2 or 4 bytes is the shortest */
	static const uint32_t least[3] = {0, 1u << 6, 1u << 14};
	uint32_t v = mls_read_u8(r);
	unsigned prefix = v >> 6;

	if (prefix == 3) {
		mls_reader_fail(r, MLS_ERROR_PARSE);
		return 0;
	}
	v &= 0x3f;
	for (unsigned i = 1; i < 1u << prefix; i++)
		v = v << 8 | mls_read_u8(r);
	if (r->error == MLS_OK && v < least[prefix])
		mls_reader_fail(r, MLS_ERROR_PARSE);
	return r->error == MLS_OK ? v : 0;
}

struct mls_bytes mls_read_vector(struct mls_reader *r)
{
	uint32_t len = mls_read_length(r);

	return mls_read_bytes(r, len);
}

struct mls_reader mls_read_elements(struct mls_reader *r)
{
	struct mls_reader elements = mls_reader(mls_read_vector(r));

	elements.error = r->error;
	return elements;
}

bool mls_read_optional(struct mls_reader *r)
{
	uint8_t present = mls_read_u8(r);

	if (present > 1)
		mls_reader_fail(r, MLS_ERROR_PARSE);
	return r->error == MLS_OK && present == 1;
}

int mls_vector_take(struct mls_bytes *in, struct mls_bytes *content)
{
	struct mls_reader r = mls_reader(*in);
	struct mls_bytes bytes = mls_read_vector(&r);

	if (r.error != MLS_OK)
		return r.error;
	*in = mls_bytes(r.at, mls_reader_left(&r));
	*content = bytes;
	return MLS_OK;
}

/* ---- writing ---------------------------------------------------------------------------- */

/* Makes room for n more bytes and returns where they go, NULL after an error. */
static uint8_t *writer_room(struct mls_writer *w, size_t n)
{
	uint8_t *at;

	if (w->error != MLS_OK)
		return NULL;
	if (n > MLS_VECTOR_MAX || w->len > MLS_VECTOR_MAX - n) {
		w->error = MLS_ERROR_LIMIT;
		return NULL;
	}
	if (w->capacity - w->len < n) {
		size_t capacity = w->capacity ? w->capacity * 2 : 256;
		uint8_t *data;

		while (capacity - w->len < n)
			capacity *= 2;
		data = mls_alloc(capacity);
		if (!data) {
			w->error = MLS_ERROR_NOMEM;
			return NULL;
		}
		if (w->len)
			memcpy(data, w->data, w->len);
		mls_free(w->data, w->capacity);
		w->data = data;
		w->capacity = capacity;
	}
	at = w->data + w->len;
	w->len += n;
	return at;
}

static void write_integer(struct mls_writer *w, uint64_t v, size_t len)
{
	uint8_t *at = writer_room(w, len);

	for (size_t i = 0; at && i < len; i++)
		at[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
}

void mls_write_u8(struct mls_writer *w, uint8_t v)
{
	write_integer(w, v, 1);
}

void mls_write_u16(struct mls_writer *w, uint16_t v)
{
	write_integer(w, v, 2);
}

void mls_write_u32(struct mls_writer *w, uint32_t v)
{
	write_integer(w, v, 4);
}

void mls_write_u64(struct mls_writer *w, uint64_t v)
{
	write_integer(w, v, 8);
}

void mls_write_bytes(struct mls_writer *w, struct mls_bytes bytes)
{
	uint8_t *at = writer_room(w, bytes.len);

	if (at && bytes.len)
		memcpy(at, bytes.data, bytes.len);
}

size_t mls_vector_header(uint8_t out[4], size_t len)
{
	if (len < 1u << 6) {
		out[0] = (uint8_t)len;
		return 1;
	}
	if (len < 1u << 14) {
		out[0] = (uint8_t)(0x40 | len >> 8);
		out[1] = (uint8_t)len;
		return 2;
	}
	out[0] = (uint8_t)(0x80 | len >> 24);
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	return 4;
}

void mls_write_vector(struct mls_writer *w, struct mls_bytes content)
{
	uint8_t header[4];

	if (content.len > MLS_VECTOR_MAX) {
		w->error = w->error ? w->error : MLS_ERROR_LIMIT;
		return;
	}
	mls_write_bytes(w, mls_bytes(header, mls_vector_header(header, content.len)));
	mls_write_bytes(w, content);
}

size_t mls_write_begin(struct mls_writer *w)
{
	return w->len;
}

void mls_write_end(struct mls_writer *w, size_t begin)
{
	uint8_t header[4];
	size_t content, n;

	if (w->error != MLS_OK)
		return;
	content = w->len - begin;
	n = mls_vector_header(header, content);
	if (!writer_room(w, n))
		return;
	memmove(w->data + begin + n, w->data + begin, content);
	memcpy(w->data + begin, header, n);
}

struct mls_bytes mls_written(const struct mls_writer *w)
{
	return w->error == MLS_OK ? mls_bytes(w->data, w->len) : mls_bytes(NULL, 0);
}

void mls_writer_clear(struct mls_writer *w)
{
	mls_free(w->data, w->capacity);
	*w = (struct mls_writer){NULL, 0, 0, MLS_OK};
}

int mls_writer_take(struct mls_writer *w, struct mls_buffer *out)
{
	struct mls_buffer exact;
	int error = w->error;

	if (error == MLS_OK)
		error = mls_buffer_copy(&exact, mls_written(w));
	mls_writer_clear(w);
	if (error == MLS_OK)
		*out = exact;
	return error;
}
