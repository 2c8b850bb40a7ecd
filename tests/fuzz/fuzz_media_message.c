/* SPDX-License-Identifier: MIT
 *
 * fuzz_media_message.c - any bytes as messages of one media stream: a stream that has not begun,
 * one that is live, and both readers of a message against each other.
 *
 * The input is split at NUL bytes; each piece is a message, 20 ms after the one before.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/media_stream.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_start(void *user, struct media_stream *stream, const struct media_message *start)
{
	/* what a call is found by must be an id and nothing else */
	if (strlen(start->u.start.call_sid) >= MEDIA_SID_BYTES || start->stream_sid[0] == '\0')
		abort();
	return 0;
}

static void on_audio(void *user, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns)
{
	volatile uint8_t sum = 0;

	if (n == 0 || n > MEDIA_PAYLOAD_MAX || media < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + ulaw[i]);
}

static void on_dtmf(void *user, char digit)
{
	if (!strchr("0123456789*#ABCD", digit))
		abort();
}

static void on_done(void *user, bool stopped)
{
	if ((*(int *)user)++)
		abort(); /* once */
}

static void stream_run(const uint8_t *data, size_t size, const char *first)
{
	static const struct media_stream_hooks hooks = {on_start, on_audio, on_dtmf, on_done};
	struct media_stream *stream;
	char out[MEDIA_BUILD_BYTES];
	uint8_t frame[G711_FRAME_BYTES] = {0};
	int64_t now_ns = 0;
	int done = 0;

	if (media_stream_create(&stream, &hooks, &done, "fuzz", 0))
		abort();
	if (first)
		media_stream_receive(stream, first, strlen(first), false, 0);
	while (size) {
		const uint8_t *end = memchr(data, 0, size);
		size_t len = end ? (size_t)(end - data) : size;

		now_ns += 20000000;
		media_stream_receive(stream, (const char *)data, len, false, now_ns);
		media_stream_send(stream, frame, now_ns);
		while (media_stream_next(stream, out))
			if (strlen(out) >= MEDIA_BUILD_BYTES)
				abort();
		media_stream_check(stream, now_ns);
		data += end ? len + 1 : len;
		size -= end ? len + 1 : len;
	}
	media_stream_closed(stream);
	media_stream_destroy(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_level_set(LOG_LEVEL_ERROR);
	stream_run(data, size, NULL);
	stream_run(data, size,
		   "{\"event\":\"start\",\"streamSid\":\"MZ1\",\"start\":{\"callSid\":\"CA1\"}}");
	return 0;
}
