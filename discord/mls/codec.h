/* SPDX-License-Identifier: MIT
 *
 * codec.h - the TLS presentation language as MLS uses it (RFC 9420 2.1): a cursor that reads
 * and a buffer that writes. Both remember their first error, so that code may read or write a
 * whole structure and ask once. Internal to discord/mls.
 */
#ifndef DISCORD_MLS_CODEC_H
#define DISCORD_MLS_CODEC_H

#include <string.h>

#include "discord/mls/mls.h"

#define MLS_VECTOR_MAX 0x3fffffffu /* what a variable-length header can say */

static inline struct mls_bytes mls_bytes(const void *data, size_t len)
{
	return (struct mls_bytes){data, len};
}

static inline struct mls_bytes mls_text(const char *text)
{
	return mls_bytes(text, strlen(text));
}

static inline struct mls_bytes mls_view(const struct mls_buffer *buffer)
{
	return mls_bytes(buffer->data, buffer->len);
}

static inline bool mls_bytes_equal(struct mls_bytes a, struct mls_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Copies into owned memory; to->data is never NULL on success. NOMEM. */
int mls_buffer_copy(struct mls_buffer *to, struct mls_bytes from);

/* ---- reading ---------------------------------------------------------------------------- */

/* After an error every read gives zeros and empty bytes, and moves no further. */
struct mls_reader {
	const uint8_t *at, *end;
	int error; /* first error, enum mls_error */
};

static inline struct mls_reader mls_reader(struct mls_bytes bytes)
{
	return (struct mls_reader){bytes.data, bytes.data ? bytes.data + bytes.len : NULL, MLS_OK};
}

static inline size_t mls_reader_left(const struct mls_reader *r)
{
	return (size_t)(r->end - r->at);
}

/* More to read and no error: the condition of a loop over elements. */
static inline bool mls_reader_more(const struct mls_reader *r)
{
	return r->error == MLS_OK && r->at != r->end;
}

/* Everything from a position noted before up to here: the raw range of a structure. */
static inline struct mls_bytes mls_reader_since(const struct mls_reader *r, const uint8_t *from)
{
	return r->error == MLS_OK ? mls_bytes(from, (size_t)(r->at - from)) : mls_bytes(NULL, 0);
}

/* Sets the error unless there is one already. */
void mls_reader_fail(struct mls_reader *r, int error);

/* The first error, or PARSE if anything is left over. */
int mls_reader_finish(const struct mls_reader *r);

uint8_t mls_read_u8(struct mls_reader *r);
uint16_t mls_read_u16(struct mls_reader *r);
uint32_t mls_read_u32(struct mls_reader *r);
uint64_t mls_read_u64(struct mls_reader *r);
struct mls_bytes mls_read_bytes(struct mls_reader *r, size_t len);

/* Header of a variable-length vector, alone. */
uint32_t mls_read_length(struct mls_reader *r);

/* `opaque x<V>`, and the same as a reader over the elements of `T x<V>`. */
struct mls_bytes mls_read_vector(struct mls_reader *r);
struct mls_reader mls_read_elements(struct mls_reader *r);

/* `optional<T>`: true if T follows. */
bool mls_read_optional(struct mls_reader *r);

/* ---- writing ---------------------------------------------------------------------------- */

/* Zero-initialise. Grows; old memory is wiped. */
struct mls_writer {
	uint8_t *data;
	size_t len, capacity;
	int error; /* first error: NOMEM or LIMIT */
};

void mls_write_u8(struct mls_writer *w, uint8_t v);
void mls_write_u16(struct mls_writer *w, uint16_t v);
void mls_write_u32(struct mls_writer *w, uint32_t v);
void mls_write_u64(struct mls_writer *w, uint64_t v);
void mls_write_bytes(struct mls_writer *w, struct mls_bytes bytes);
void mls_write_vector(struct mls_writer *w, struct mls_bytes content);

/* Brackets round the content of a vector whose length is not known before. */
size_t mls_write_begin(struct mls_writer *w);
void mls_write_end(struct mls_writer *w, size_t begin);

/* What was written so far; empty after an error. */
struct mls_bytes mls_written(const struct mls_writer *w);

void mls_writer_clear(struct mls_writer *w);

/* Hands the bytes over and clears the writer; on its error returns that and *out is untouched. */
int mls_writer_take(struct mls_writer *w, struct mls_buffer *out);

/* Length of the header before len bytes of content, written to out. */
size_t mls_vector_header(uint8_t out[4], size_t len);

#endif
