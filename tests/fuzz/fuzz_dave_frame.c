/* SPDX-License-Identifier: MIT
 *
 * fuzz_dave_frame.c - frames from strangers: parser, decryption with a real key, passthrough.
 *
 * First byte: 0 decrypts as a member, 1 as an unknown user, 2 in a room that takes plain frames; 3
 * takes the rest as a packet to send. What is parsed must lie within the frame, in order.
 */
#include <stdlib.h>
#include <string.h>

#include "discord/dave/media.h"
#include "discord/dave/media_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dave_media *media_make(int64_t plain_until_ns)
{
	static const uint8_t base[16] = "fuzzing the base";
	struct dave_media_view *view;
	struct dave_media_key *key;
	struct dave_media *m;

	if (dave_media_create(&m) || dave_media_view_create(&view, 1) ||
	    dave_media_key_create(&key, base, 0))
		abort();
	if (dave_media_view_add(view, 1, key))
		abort();
	dave_media_view_send(view, key);
	dave_media_key_unref(key);
	view->plain_until_ns = plain_until_ns;
	dave_media_publish(m, view);
	return m;
}

static void parse_check(const uint8_t *frame, size_t size)
{
	struct dave_frame f;
	size_t at = 0, clear = 0;

	if (!dave_frame_parse(&f, frame, size))
		return;
	if (f.media != frame || f.media_bytes + DAVE_SUPPLEMENT_MIN > size ||
	    f.tag != frame + f.media_bytes || f.range_count > DAVE_RANGES_MAX)
		abort();
	for (size_t i = 0; i < f.range_count; i++) {
		if (f.ranges[i].offset < at)
			abort();
		at = (size_t)f.ranges[i].offset + f.ranges[i].size;
		clear += f.ranges[i].size;
	}
	if (at > f.media_bytes || clear != f.clear_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dave_media *strict, *open;
	static uint8_t out[70000];
	size_t n = 0;
	int rc;

	if (!strict) {
		strict = media_make(0);
		open = media_make(DAVE_NEVER);
	}
	if (size == 0 || size > 65000)
		return 0;
	parse_check(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		rc = dave_media_decrypt(strict, 1, 1, data + 1, size - 1, out, sizeof(out), &n);
		/* nobody guesses eight bytes of tag: only silence passes */
		if (rc == 0 && n != 3)
			abort();
		break;
	case 1:
		rc = dave_media_decrypt(strict, 1, 2, data + 1, size - 1, out, sizeof(out), &n);
		if (rc == 0 && n != 3)
			abort();
		break;
	case 2:
		rc = dave_media_decrypt(open, 1, 1, data + 1, size - 1, out, sizeof(out), &n);
		if (rc == 0 && (n != size - 1 || memcmp(out, data + 1, n) != 0))
			abort();
		break;
	default:
		rc = dave_media_encrypt(open, 1, data + 1, size - 1, out, sizeof(out), &n);
		if (rc || n < size - 1 + 12 || n > size - 1 + DAVE_FRAME_OVERHEAD)
			abort();
		break;
	}
	return 0;
}
