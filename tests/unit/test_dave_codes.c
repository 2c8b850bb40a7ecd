/* SPDX-License-Identifier: MIT
 *
 * test_dave_codes.c - displayable codes and fingerprints against libdave's known answers.
 */
#include "discord/dave/codes.h"

#include <errno.h>

#include "tests/unit/dave_vectors.h"

static void test_displayable_codes(void)
{
	cJSON *v = vectors_load("dave-displayable-codes.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "displayable_code"))
	{
		struct hex data = hex_member(c, "data");
		char out[64];

		CHECK_INT(dave_code_display(data.data, data.len, (size_t)number(c, "length"),
					    (size_t)number(c, "group"), out, sizeof(out)),
			  0);
		CHECK_STR(out, member(c, "code")->valuestring);
		free(data.data);
		n++;
	}
	CHECK_INT(n, 2);
	cJSON_Delete(v);
}

static void test_displayable_codes_refused(void)
{
	cJSON *v = vectors_load("dave-displayable-codes.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "displayable_code_must_fail"))
	{
		static char out[2048];
		struct hex data = {NULL, 0};

		if (cJSON_HasObjectItem(c, "data_length")) {
			data.len = (size_t)number(c, "data_length");
			data.data = calloc(1, data.len);
		} else {
			data = hex_member(c, "data");
		}
		strcpy(out, "as before");
		CHECK_INT(dave_code_display(data.data, data.len, (size_t)number(c, "length"),
					    (size_t)number(c, "group"), out, sizeof(out)),
			  -EINVAL);
		CHECK_STR(out, "as before");
		free(data.data);
		n++;
	}
	CHECK_INT(n, 3);
	cJSON_Delete(v);
}

static void test_code_needs_room(void)
{
	uint8_t data[5] = {0xaa, 0xbb, 0xcc, 0xdd, 0xee};
	char out[6];

	CHECK_INT(dave_code_display(data, 5, 5, 5, out, 5), -ENOSPC);
	CHECK_INT(dave_code_display(data, 5, 5, 5, out, 6), 0);
	CHECK_STR(out, "05870");
	CHECK_INT(dave_code_display(data, 5, 5, 0, out, 6), -EINVAL);
}

/* Groups of eight bytes fill 64 bits: no overflow on the way. */
static void test_code_of_the_largest_group(void)
{
	uint8_t data[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	char out[9];

	CHECK_INT(dave_code_display(data, 8, 8, 8, out, sizeof(out)), 0);
	CHECK_STR(out, "09551615"); /* 18446744073709551615 mod 10^8 */
	CHECK_INT(dave_code_display(data, 8, 9, 9, out, sizeof(out)), -EINVAL);
}

static void test_code_spaced(void)
{
	char out[48];

	CHECK_INT(dave_code_spaced("058708105556138052119572494877", 5, out, sizeof(out)), 0);
	CHECK_STR(out, "05870 81055 56138 05211 95724 94877");
	CHECK_INT(dave_code_spaced("0587081055", 5, out, 11), -ENOSPC);
	CHECK_INT(dave_code_spaced("0587081055", 5, out, 12), 0);
	CHECK_INT(dave_code_spaced("", 5, out, 1), 0);
	CHECK_STR(out, "");
}

static void test_key_fingerprints(void)
{
	cJSON *v = vectors_load("dave-displayable-codes.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "key_fingerprint"))
	{
		struct hex key = hex_member(c, "key"), want = hex_member(c, "out");
		uint8_t out[128];
		size_t bytes;

		CHECK_INT(dave_fingerprint_entry((uint16_t)number(c, "version"), key.data, key.len,
						 (uint64_t)number(c, "user_id"), out, sizeof(out),
						 &bytes),
			  0);
		CHECK_INT(bytes, want.len);
		CHECK_MEM(out, want.data, bytes);
		CHECK_INT(dave_fingerprint_entry(0, key.data, key.len, 1, out, key.len + 9, &bytes),
			  -ENOSPC);
		free(key.data);
		free(want.data);
		n++;
	}
	CHECK_INT(n, 2);
	cJSON_Delete(v);
}

static void pair_check(const cJSON *c, const char *result)
{
	struct hex a = hex_member(c, "key_a"), b = hex_member(c, "key_b"),
		   want = hex_member(c, result);
	uint64_t user_a = (uint64_t)number(c, "user_a"), user_b = (uint64_t)number(c, "user_b");
	uint16_t version = (uint16_t)number(c, "version");
	uint8_t out[DAVE_FINGERPRINT_BYTES];

	CHECK_INT(want.len, sizeof(out));
	CHECK_INT(dave_fingerprint_pair(version, a.data, a.len, user_a, b.data, b.len, user_b, out),
		  0);
	CHECK_MEM(out, want.data, sizeof(out));
	/* both sides see the same */
	CHECK_INT(dave_fingerprint_pair(version, b.data, b.len, user_b, a.data, a.len, user_a, out),
		  0);
	CHECK_MEM(out, want.data, sizeof(out));
	free(a.data);
	free(b.data);
	free(want.data);
}

static void test_pairwise_fingerprints(void)
{
	cJSON *v = vectors_load("dave-displayable-codes.json");
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, member(v, "pairwise_fingerprint"))
	{
		pair_check(c, "out");
		n++;
	}
	CHECK_INT(n, 2);
	cJSON_Delete(v);
}

static void test_verification_code_of_p256_keys(void)
{
	cJSON *v = vectors_load("dave-displayable-codes.json");
	const cJSON *c = member(v, "self_generated_p256");
	struct hex print = hex_member(c, "fingerprint");
	char out[DAVE_VERIFICATION_CODE_DIGITS + 1];

	pair_check(c, "fingerprint");
	CHECK_INT(dave_code_display(print.data, print.len, DAVE_VERIFICATION_CODE_DIGITS,
				    DAVE_CODE_GROUP, out, sizeof(out)),
		  0);
	CHECK_STR(out, member(c, "code_45_5")->valuestring);
	free(print.data);
	cJSON_Delete(v);
}

int main(void)
{
	UNIT(test_displayable_codes);
	UNIT(test_displayable_codes_refused);
	UNIT(test_code_needs_room);
	UNIT(test_code_of_the_largest_group);
	UNIT(test_code_spaced);
	UNIT(test_key_fingerprints);
	UNIT(test_pairwise_fingerprints);
	UNIT(test_verification_code_of_p256_keys);
	return unit_done();
}
