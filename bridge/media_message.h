/* SPDX-License-Identifier: MIT
 *
 * media_message.h - the JSON messages of a bidirectional Twilio media stream.
 *
 * Reading is strict about types and lenient about what clones of the service do differently:
 * numbers may be strings or numbers, `customParameters` may stand beside `start` instead of in it,
 * unknown members and unknown events are no error. Pure, any thread. A media message in the usual
 * form is read without any allocation.
 */
#ifndef BRIDGE_MEDIA_MESSAGE_H
#define BRIDGE_MEDIA_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/token.h"

#define MEDIA_MESSAGE_MAX  65536 /* longest message that is read */
#define MEDIA_PAYLOAD_MAX  49152 /* what base64 of that length can hold */
#define MEDIA_SID_BYTES    64    /* streamSid, callSid, accountSid with their terminator */
#define MEDIA_NAME_BYTES   32    /* names of marks and of unknown events, cut */
#define MEDIA_ERROR_BYTES  256
#define MEDIA_NO_TIMESTAMP (-1)

enum media_event {
	MEDIA_EVENT_CONNECTED,
	MEDIA_EVENT_START,
	MEDIA_EVENT_MEDIA,
	MEDIA_EVENT_DTMF,
	MEDIA_EVENT_MARK,
	MEDIA_EVENT_STOP,
	MEDIA_EVENT_UNKNOWN,
};

struct media_message {
	enum media_event event;
	char stream_sid[MEDIA_SID_BYTES]; /* "" if the message has none */
	union {
		struct {
			char account_sid[MEDIA_SID_BYTES];
			char call_sid[MEDIA_SID_BYTES];
			char token[TOKEN_CHARS + 1]; /* "" if none, or none that could be ours */
		} start;
		struct {
			bool outbound;        /* our own audio; never wanted */
			int64_t chunk;        /* from 1; 0 if not given */
			int64_t timestamp_ms; /* since the start of the stream */
			size_t payload_bytes; /* mu-law, in the caller's buffer */
		} media;
		char digit; /* 0-9 * # A-D */
		char mark[MEDIA_NAME_BYTES];
		char unknown[MEDIA_NAME_BYTES]; /* its name */
	} u;
};

/*
 * Reads `len` bytes of `text`. The audio of a media message goes to `payload` (MEDIA_PAYLOAD_MAX
 * bytes). Returns 0; or -EINVAL, -EMSGSIZE, -ENOMEM and a sentence in `error` that names the
 * place ("media.payload: not base64").
 */
int media_message_parse(struct media_message *out, uint8_t *payload, const char *text, size_t len,
			char error[MEDIA_ERROR_BYTES]);

/*
 * Builders: the length of the text in `out` (MEDIA_BUILD_BYTES or more; terminated too).
 * `stream_sid` comes from a message that was read above, so it needs no escaping; `payload_bytes`
 * is at most G711_FRAME_BYTES.
 */
#define MEDIA_BUILD_BYTES 512

size_t media_build_media(char *out, const char *stream_sid, const uint8_t *payload,
			 size_t payload_bytes);
size_t media_build_mark(char *out, const char *stream_sid, const char *name);
size_t media_build_clear(char *out, const char *stream_sid);

#endif
