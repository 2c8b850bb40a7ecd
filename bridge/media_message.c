/* SPDX-License-Identifier: MIT
 *
 * media_message.c - see media_message.h.
 *
 * Two readers: a scanner for media messages as they come 50 times a second and call, which gives
 * up on anything it does not expect, and the general one, which decides what is an error.
 */
#include "bridge/media_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bridge/g711.h"
#include "common/encode.h"
#include "common/json.h"

/* Ids are echoed into our own messages and logs: nothing but what ids are made of. */
static bool sid_good(const char *text, size_t len)
{
	if (len == 0 || len >= MEDIA_SID_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      c == '_' || c == '-'))
			return false;
	}
	return true;
}

/* ---- the scanner -------------------------------------------------------------------------- */

struct scan {
	const char *at, *end;
};

struct piece {
	const char *text;
	size_t len;
};

static void scan_blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
}

static bool scan_char(struct scan *s, char c)
{
	scan_blanks(s);
	if (s->at >= s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* Plain ASCII only: an escape or UTF-8 is the general reader's business. */
static bool scan_string(struct scan *s, struct piece *out)
{
	if (!scan_char(s, '"'))
		return false;
	out->text = s->at;
	while (s->at < s->end && *s->at != '"') {
		unsigned char c = (unsigned char)*s->at;

		if (c == '\\' || c < 0x20 || c > 0x7E)
			return false;
		s->at++;
	}
	if (s->at >= s->end)
		return false;
	out->len = (size_t)(s->at++ - out->text);
	return true;
}

/* Whatever comes before the next quote: base64_decode() says later whether it is all plain. */
static bool scan_payload(struct scan *s, struct piece *out)
{
	if (!scan_char(s, '"'))
		return false;
	const char *quote = memchr(s->at, '"', (size_t)(s->end - s->at));

	if (!quote)
		return false;
	*out = (struct piece){s->at, (size_t)(quote - s->at)};
	s->at = quote + 1;
	return true;
}

/* Digits, quoted or not; leading zeros and more than 15 digits are not for us. */
static bool scan_number(struct scan *s, int64_t *out)
{
	struct piece p;

	scan_blanks(s);
	if (s->at < s->end && *s->at == '"') {
		if (!scan_string(s, &p))
			return false;
	} else {
		p.text = s->at;
		while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
			s->at++;
		p.len = (size_t)(s->at - p.text);
	}
	if (p.len == 0 || p.len > 15 || (p.len > 1 && p.text[0] == '0'))
		return false;
	*out = 0;
	for (size_t i = 0; i < p.len; i++) {
		if (p.text[i] < '0' || p.text[i] > '9')
			return false;
		*out = *out * 10 + (p.text[i] - '0');
	}
	return true;
}

static bool piece_is(const struct piece *p, const char *text)
{
	return p->len == strlen(text) && memcmp(p->text, text, p->len) == 0;
}

/* Members seen, so that a repeated one goes to the general reader. */
enum {
	SEEN_EVENT = 1,
	SEEN_SEQUENCE = 2,
	SEEN_SID = 4,
	SEEN_MEDIA = 8,
	SEEN_TRACK = 16,
	SEEN_CHUNK = 32,
	SEEN_TIMESTAMP = 64,
	SEEN_PAYLOAD = 128,
};

static bool scan_media_object(struct scan *s, struct media_message *out, unsigned *seen,
			      struct piece *payload)
{
	struct piece key, track;

	if (!scan_char(s, '{'))
		return false;
	do {
		unsigned bit;
		bool good;

		if (!scan_string(s, &key) || !scan_char(s, ':'))
			return false;
		if (piece_is(&key, "track")) {
			bit = SEEN_TRACK;
			good = scan_string(s, &track);
			if (good && !piece_is(&track, "inbound"))
				return false;
		} else if (piece_is(&key, "chunk")) {
			bit = SEEN_CHUNK;
			good = scan_number(s, &out->u.media.chunk);
		} else if (piece_is(&key, "timestamp")) {
			bit = SEEN_TIMESTAMP;
			good = scan_number(s, &out->u.media.timestamp_ms);
		} else if (piece_is(&key, "payload")) {
			bit = SEEN_PAYLOAD;
			good = scan_payload(s, payload);
		} else {
			return false;
		}
		if (!good || (*seen & bit))
			return false;
		*seen |= bit;
	} while (scan_char(s, ','));
	return scan_char(s, '}');
}

/* True if the whole text is a well-formed media message of the usual shape; *out is then filled. */
static bool media_scan(struct media_message *out, uint8_t *payload, const char *text, size_t len)
{
	struct scan s = {text, text + len};
	struct piece key, value, base64 = {"", 0};
	unsigned seen = 0;
	int64_t sequence;

	out->event = MEDIA_EVENT_MEDIA;
	out->u.media.outbound = false;
	out->u.media.chunk = 0;
	out->u.media.timestamp_ms = MEDIA_NO_TIMESTAMP;
	if (!scan_char(&s, '{'))
		return false;
	do {
		unsigned bit;
		bool good;

		if (!scan_string(&s, &key) || !scan_char(&s, ':'))
			return false;
		if (piece_is(&key, "event")) {
			bit = SEEN_EVENT;
			good = scan_string(&s, &value) && piece_is(&value, "media");
		} else if (piece_is(&key, "sequenceNumber")) {
			bit = SEEN_SEQUENCE;
			good = scan_number(&s, &sequence);
		} else if (piece_is(&key, "streamSid")) {
			bit = SEEN_SID;
			good = scan_string(&s, &value) && sid_good(value.text, value.len);
			if (good) {
				memcpy(out->stream_sid, value.text, value.len);
				out->stream_sid[value.len] = '\0';
			}
		} else if (piece_is(&key, "media")) {
			bit = SEEN_MEDIA;
			good = scan_media_object(&s, out, &seen, &base64);
		} else {
			return false;
		}
		if (!good || (seen & bit))
			return false;
		seen |= bit;
	} while (scan_char(&s, ','));
	if (!scan_char(&s, '}'))
		return false;
	scan_blanks(&s);
	const unsigned needed = SEEN_EVENT | SEEN_SID | SEEN_MEDIA | SEEN_PAYLOAD;

	if (s.at != s.end || (seen & needed) != needed)
		return false;

	ssize_t bytes = base64_decode(payload, MEDIA_PAYLOAD_MAX, base64.text, base64.len);

	if (bytes < 0)
		return false;
	out->u.media.payload_bytes = (size_t)bytes;
	return true;
}

/* ---- the general reader ------------------------------------------------------------------- */

static void read_sid(const struct json_at *at, const char *name, bool required,
		     char out[MEDIA_SID_BYTES])
{
	const char *text = NULL;

	out[0] = '\0';
	if (required ? !json_str(at, name, &text) : !json_opt_str(at, name, &text) || !text)
		return;
	if (sid_good(text, strlen(text)))
		memcpy(out, text, strlen(text) + 1);
	else
		json_fail(at, name, "expected an id of letters and digits");
}

static void read_token(const struct json_at *at, char out[TOKEN_CHARS + 1])
{
	struct json_at parameters;
	const char *text = NULL;

	if (!json_has(at, "customParameters") || !json_obj(at, "customParameters", &parameters))
		return;
	if (!json_opt_str(&parameters, "token", &text) || !text)
		return;
	if (strlen(text) == TOKEN_CHARS) /* else it is not ours; the check of tokens will say so */
		memcpy(out, text, TOKEN_CHARS + 1);
}

static void read_start(const struct json_at *root, struct media_message *out)
{
	struct json_at start, format;
	const char *encoding = NULL;
	int64_t number;

	if (!json_obj(root, "start", &start))
		return;
	read_sid(&start, "callSid", true, out->u.start.call_sid);
	read_sid(&start, "accountSid", false, out->u.start.account_sid);
	if (out->stream_sid[0] == '\0')
		read_sid(&start, "streamSid", true, out->stream_sid);

	if (json_has(&start, "mediaFormat") && json_obj(&start, "mediaFormat", &format)) {
		if (json_opt_str(&format, "encoding", &encoding) && encoding &&
		    strcmp(encoding, "audio/x-mulaw") != 0)
			json_fail(&format, "encoding", "expected audio/x-mulaw, got %s", encoding);
		json_opt_int_lax(&format, "sampleRate", G711_RATE_HZ, G711_RATE_HZ, &number);
		json_opt_int_lax(&format, "channels", 1, 1, &number);
	}

	out->u.start.token[0] = '\0';
	read_token(&start, out->u.start.token);
	/* Quirk of a re-implementation (Somleng): customParameters beside start, not in it. */
	if (out->u.start.token[0] == '\0')
		read_token(root, out->u.start.token);
}

static void read_media(const struct json_at *root, struct media_message *out, uint8_t *payload)
{
	struct json_at media;
	const char *track = NULL, *base64 = NULL;

	out->u.media.outbound = false;
	out->u.media.chunk = 0;
	out->u.media.timestamp_ms = MEDIA_NO_TIMESTAMP;
	out->u.media.payload_bytes = 0;
	if (!json_obj(root, "media", &media))
		return;
	if (json_opt_str(&media, "track", &track) && track)
		out->u.media.outbound = strncmp(track, "outbound", 8) == 0;
	json_opt_int_lax(&media, "chunk", 0, INT64_C(1) << 53, &out->u.media.chunk);
	json_opt_int_lax(&media, "timestamp", 0, INT64_C(1) << 53, &out->u.media.timestamp_ms);
	if (!json_str(&media, "payload", &base64))
		return;
	ssize_t bytes = base64_decode(payload, MEDIA_PAYLOAD_MAX, base64, strlen(base64));

	if (bytes < 0)
		json_fail(&media, "payload", "not base64");
	else
		out->u.media.payload_bytes = (size_t)bytes;
}

static void read_dtmf(const struct json_at *root, struct media_message *out)
{
	struct json_at dtmf;
	const char *digit = NULL;

	if (!json_obj(root, "dtmf", &dtmf) || !json_str(&dtmf, "digit", &digit))
		return;
	if (strlen(digit) != 1 || !strchr("0123456789*#ABCD", digit[0]))
		json_fail(&dtmf, "digit", "expected one of 0-9 * # A-D");
	else
		out->u.digit = digit[0];
}

static void read_mark(const struct json_at *root, struct media_message *out)
{
	struct json_at mark;
	const char *name = NULL;

	if (json_obj(root, "mark", &mark) && json_str(&mark, "name", &name))
		snprintf(out->u.mark, sizeof(out->u.mark), "%s", name);
}

static void read_event(const struct json_at *root, struct media_message *out, uint8_t *payload)
{
	static const char *const name[] = {"connected", "start", "media", "dtmf", "mark", "stop"};
	const char *event = NULL;

	if (!json_is_obj(root) || !json_str(root, "event", &event))
		return;
	out->event = MEDIA_EVENT_UNKNOWN;
	for (int i = 0; i < MEDIA_EVENT_UNKNOWN; i++)
		if (strcmp(event, name[i]) == 0)
			out->event = (enum media_event)i;
	if (out->event == MEDIA_EVENT_UNKNOWN) {
		snprintf(out->u.unknown, sizeof(out->u.unknown), "%s", event);
		return;
	}
	read_sid(root, "streamSid", false, out->stream_sid);
	switch (out->event) {
	case MEDIA_EVENT_START:
		read_start(root, out);
		break;
	case MEDIA_EVENT_MEDIA:
		read_media(root, out, payload);
		break;
	case MEDIA_EVENT_DTMF:
		read_dtmf(root, out);
		break;
	case MEDIA_EVENT_MARK:
		read_mark(root, out);
		break;
	case MEDIA_EVENT_CONNECTED: /* no ids yet, and its version says nothing that matters */
	case MEDIA_EVENT_STOP:      /* repeats ids that the stream has had since its start */
	case MEDIA_EVENT_UNKNOWN:
		break;
	}
}

int media_message_parse(struct media_message *out, uint8_t *payload, const char *text, size_t len,
			char error[MEDIA_ERROR_BYTES])
{
	static const struct json_limits limits = {.max_bytes = MEDIA_MESSAGE_MAX, .max_depth = 8};
	struct json_doc doc;

	error[0] = '\0';
	memset(out, 0, sizeof(*out));
	if (len <= MEDIA_MESSAGE_MAX && media_scan(out, payload, text, len))
		return 0;

	memset(out, 0, sizeof(*out));
	int err = json_parse(&doc, text, len, &limits);

	if (err == 0) {
		struct json_at root = json_root(&doc);

		read_event(&root, out, payload);
		if (!json_good(&doc))
			err = -EINVAL;
	}
	if (err)
		snprintf(error, MEDIA_ERROR_BYTES, "%s",
			 doc.error[0] ? doc.error : "out of memory");
	json_free(&doc);
	return err;
}

/* ---- building ----------------------------------------------------------------------------- */

static char *append(char *to, const char *text)
{
	return stpcpy(to, text);
}

size_t media_build_media(char *out, const char *stream_sid, const uint8_t *payload,
			 size_t payload_bytes)
{
	char *at = append(out, "{\"event\":\"media\",\"streamSid\":\"");

	at = append(at, stream_sid);
	at = append(at, "\",\"media\":{\"payload\":\"");
	at += base64_encode(at, payload, payload_bytes);
	at = append(at, "\"}}");
	return (size_t)(at - out);
}

size_t media_build_mark(char *out, const char *stream_sid, const char *name)
{
	return (size_t)snprintf(out, MEDIA_BUILD_BYTES,
				"{\"event\":\"mark\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%s\"}}",
				stream_sid, name);
}

size_t media_build_clear(char *out, const char *stream_sid)
{
	return (size_t)snprintf(out, MEDIA_BUILD_BYTES, "{\"event\":\"clear\",\"streamSid\":\"%s\"}",
				stream_sid);
}
