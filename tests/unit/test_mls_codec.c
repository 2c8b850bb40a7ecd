/* SPDX-License-Identifier: MIT
 *
 * The cursor and the writer: bounds, headers in their shortest form only, errors that stick.
 */
#include "mls_play.h"

static int read_all(const char *bytes, size_t n, uint32_t *len)
{
	struct mls_reader r = mls_reader(mls_bytes(bytes, n));

	*len = mls_read_length(&r);
	return mls_reader_finish(&r);
}

/* The examples of RFC 9000 16, which RFC 9420 2.1.2 borrows. */
static void test_length_headers(void)
{
	uint32_t len;

	CHECK_INT(read_all("\x25", 1, &len), MLS_OK);
	CHECK_INT(len, 37);
	CHECK_INT(read_all("\x7b\xbd", 2, &len), MLS_OK);
	CHECK_INT(len, 15293);
	CHECK_INT(read_all("\x9d\x7f\x3e\x7d", 4, &len), MLS_OK);
	CHECK_INT(len, 494878333);
	/* not the shortest, reserved prefix, cut short, nothing at all */
	CHECK_INT(read_all("\x40\x25", 2, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("\x40\x3f", 2, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("\x80\x00\x3f\xff", 4, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("\xc0\x00\x00\x00\x00\x00\x00\x01", 8, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("\x40", 1, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("\x80\x01\x00", 3, &len), MLS_ERROR_PARSE);
	CHECK_INT(read_all("", 0, &len), MLS_ERROR_PARSE);
	/* the borders themselves */
	CHECK_INT(read_all("\x40\x40", 2, &len), MLS_OK);
	CHECK_INT(len, 64);
	CHECK_INT(read_all("\x80\x00\x40\x00", 4, &len), MLS_OK);
	CHECK_INT(len, 16384);
}

static void test_headers_written_are_read_back(void)
{
	static const size_t lengths[] = {0, 1, 63, 64, 16383, 16384, 0x3fffffff};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint8_t header[4];
		uint32_t len;
		size_t n = mls_vector_header(header, lengths[i]);

		CHECK_INT(read_all((const char *)header, n, &len), MLS_OK);
		CHECK_INT(len, lengths[i]);
	}
}

static void test_reader_keeps_its_first_error(void)
{
	struct mls_reader r = mls_reader(mls_bytes("\x01\x02\x03", 3)), sub;

	CHECK_INT(mls_read_u16(&r), 0x0102);
	CHECK_INT(mls_read_u32(&r), 0);
	CHECK_INT(r.error, MLS_ERROR_PARSE);
	CHECK_INT(mls_read_u8(&r), 0); /* although there is one */
	mls_reader_fail(&r, MLS_ERROR_LIMIT);
	CHECK_INT(mls_reader_finish(&r), MLS_ERROR_PARSE);
	CHECK(!mls_reader_more(&r));
	sub = mls_read_elements(&r);
	CHECK_INT(sub.error, MLS_ERROR_PARSE);
	CHECK_INT(mls_reader_since(&r, r.at).len, 0);
}

static void test_optional_is_zero_or_one(void)
{
	struct mls_reader r = mls_reader(mls_bytes("\x00\x01\x02", 3));

	CHECK(!mls_read_optional(&r));
	CHECK(mls_read_optional(&r));
	CHECK(!mls_read_optional(&r));
	CHECK_INT(r.error, MLS_ERROR_PARSE);
}

static void test_vector_longer_than_its_container(void)
{
	struct mls_bytes in = mls_bytes("\x05"
					"abcd",
					5),
			 content = {NULL, 0};

	CHECK_INT(mls_vector_take(&in, &content), MLS_ERROR_PARSE);
	CHECK_INT(in.len, 5);
	in = mls_bytes("\x03"
		       "abcd",
		       5);
	CHECK_INT(mls_vector_take(&in, &content), MLS_OK);
	CHECK_INT(in.len, 1);
	CHECK(mls_bytes_equal(content, mls_text("abc")));
}

static void test_writer_grows_and_nests(void)
{
	struct mls_buffer out;
	struct mls_writer w = {0};
	struct mls_reader r, sub;
	size_t outer, inner;

	outer = mls_write_begin(&w);
	for (uint32_t i = 0; i < 100; i++) {
		inner = mls_write_begin(&w);
		for (uint32_t j = 0; j < i; j++)
			mls_write_u32(&w, i);
		mls_write_end(&w, inner);
	}
	mls_write_end(&w, outer);
	mls_write_u64(&w, 0x0102030405060708);
	CHECK_INT(mls_writer_take(&w, &out), MLS_OK);
	r = mls_reader(mls_view(&out));
	sub = mls_read_elements(&r);
	for (uint32_t i = 0; i < 100; i++) {
		struct mls_bytes each = mls_read_vector(&sub);

		CHECK_INT(each.len, 4 * i);
		if (i)
			CHECK_INT(each.data[each.len - 1], i);
	}
	CHECK_INT(mls_reader_finish(&sub), MLS_OK);
	CHECK(mls_read_u64(&r) == 0x0102030405060708);
	CHECK_INT(mls_reader_finish(&r), MLS_OK);
	mls_buffer_clear(&out);
	CHECK_INT(mls_alloc_live(), 0);
}

static void test_writer_keeps_its_first_error(void)
{
	struct mls_writer w = {0};
	struct mls_buffer out = {NULL, 0};

	mls_write_vector(&w, mls_bytes("x", (size_t)MLS_VECTOR_MAX + 1));
	CHECK_INT(w.error, MLS_ERROR_LIMIT);
	mls_write_u8(&w, 1);
	mls_write_end(&w, 0);
	CHECK_INT(mls_written(&w).len, 0);
	CHECK_INT(mls_writer_take(&w, &out), MLS_ERROR_LIMIT);
	CHECK(!out.data);
	mls_write_u8(&w, 1);
	mls_write_bytes(&w, mls_bytes("x", MLS_VECTOR_MAX));
	CHECK_INT(w.error, MLS_ERROR_LIMIT);
	mls_writer_clear(&w);
	CHECK_INT(mls_alloc_live(), 0);
}

static int parse_message(const char *bytes, size_t n)
{
	struct mls_message_info info;

	return mls_message_peek(mls_bytes(bytes, n), &info);
}

static void test_messages_of_other_kinds(void)
{
	CHECK_INT(parse_message("\x00\x02\x00\x01", 4), MLS_ERROR_UNSUPPORTED); /* version */
	CHECK_INT(parse_message("\x00\x01\x00\x02", 4), MLS_ERROR_UNSUPPORTED); /* private */
	CHECK_INT(parse_message("\x00\x01\x00", 3), MLS_ERROR_PARSE);
	/* sender type 5; content type 4 */
	CHECK_INT(parse_message("\x00\x01\x00\x01\x00\0\0\0\0\0\0\0\0\x05", 14), MLS_ERROR_PARSE);
	CHECK_INT(parse_message("\x00\x01\x00\x01\x00\0\0\0\0\0\0\0\0\x03\x00\x04", 16),
		  MLS_ERROR_PARSE);
	/* application data from a newcomer: read, and refused by whoever gets it */
	CHECK_INT(parse_message("\x00\x01\x00\x01\x00\0\0\0\0\0\0\0\0\x03\x00\x01\x00\x00", 18),
		  MLS_OK);
}

static void test_lists_of_uint16(void)
{
	struct mls_bytes list = mls_bytes("\x00\x01\x00\x02", 4), data;

	CHECK(mls_list_has(list, 2));
	CHECK(!mls_list_has(list, 0x0100)); /* not across the border of two */
	CHECK(!mls_extension_find(mls_bytes("\x00\x05\x01x", 4), 4, &data));
	CHECK(mls_extension_find(mls_bytes("\x00\x05\x01x", 4), 5, &data));
	CHECK_INT(data.len, 1);
}

int main(void)
{
	UNIT(test_length_headers);
	UNIT(test_headers_written_are_read_back);
	UNIT(test_reader_keeps_its_first_error);
	UNIT(test_optional_is_zero_or_one);
	UNIT(test_vector_longer_than_its_container);
	UNIT(test_writer_grows_and_nests);
	UNIT(test_writer_keeps_its_first_error);
	UNIT(test_messages_of_other_kinds);
	UNIT(test_lists_of_uint16);
	return unit_done();
}
