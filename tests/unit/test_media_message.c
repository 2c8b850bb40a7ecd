/* SPDX-License-Identifier: MIT
 *
 * test_media_message.c - the messages as the service's documentation shows them, as others send
 * them, and broken ones.
 */
#include "bridge/media_message.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "common/encode.h"

#define SID "MZ00000000000000000000000000000000"

static struct media_message m;
static uint8_t payload[MEDIA_PAYLOAD_MAX];
static char error[MEDIA_ERROR_BYTES];

static int parse(const char *text)
{
	return media_message_parse(&m, payload, text, strlen(text), error);
}

static void test_connected(void)
{
	CHECK_INT(parse("{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}"), 0);
	CHECK_INT(m.event, MEDIA_EVENT_CONNECTED);
}

#define START_HEAD \
	"{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"" SID "\",\"start\":{" \
	"\"accountSid\":\"AC00000000000000000000000000000000\",\"streamSid\":\"" SID "\"," \
	"\"callSid\":\"CA00000000000000000000000000000000\",\"tracks\":[\"inbound\"],"
#define FORMAT "\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1}"
#define PARAMETERS \
	"\"customParameters\":{\"token\":\"0123456789abcdef0123456789abcdef\",\"room\":\"lobby\"}"

static void check_start(void)
{
	CHECK_INT(m.event, MEDIA_EVENT_START);
	CHECK_STR(m.stream_sid, SID);
	CHECK_STR(m.u.start.call_sid, "CA00000000000000000000000000000000");
	CHECK_STR(m.u.start.account_sid, "AC00000000000000000000000000000000");
}

static void test_start(void)
{
	CHECK_INT(parse(START_HEAD FORMAT "," PARAMETERS "}}"), 0);
	check_start();
	CHECK_STR(m.u.start.token, "0123456789abcdef0123456789abcdef");
}

static void test_start_somleng_puts_parameters_beside(void)
{
	CHECK_INT(parse(START_HEAD FORMAT "}," PARAMETERS "}"), 0);
	check_start();
	CHECK_STR(m.u.start.token, "0123456789abcdef0123456789abcdef");
}

static void test_start_numbers_as_strings(void)
{
	CHECK_INT(parse(START_HEAD "\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":"
				   "\"8000\",\"channels\":\"1\"}}}"),
		  0);
	check_start();
	CHECK_STR(m.u.start.token, "");
}

static void test_start_refused(void)
{
	CHECK_INT(parse("{\"event\":\"start\",\"streamSid\":\"" SID "\"}"), -EINVAL);
	CHECK_STR(error, "start: expected object, got nothing");
	CHECK_INT(parse("{\"event\":\"start\",\"streamSid\":\"" SID "\",\"start\":{}}"), -EINVAL);
	CHECK(strstr(error, "start.callSid") != NULL);
	CHECK_INT(parse(START_HEAD "\"mediaFormat\":{\"encoding\":\"audio/l16\"}}}"), -EINVAL);
	CHECK(strstr(error, "start.mediaFormat.encoding") != NULL);
	CHECK_INT(parse(START_HEAD "\"mediaFormat\":{\"sampleRate\":16000}}}"), -EINVAL);
	/* an id that would have to be escaped in our own messages */
	CHECK_INT(parse("{\"event\":\"start\",\"streamSid\":\"a\\\"b\",\"start\":{\"callSid\":\"CA1\"}}"),
		  -EINVAL);
	CHECK(strstr(error, "streamSid") != NULL);
	CHECK_INT(parse("{\"event\":\"start\",\"start\":{\"callSid\":\"CA1\"}}"), -EINVAL);
}

static void test_media(void)
{
	CHECK_INT(parse("{\"event\":\"media\",\"sequenceNumber\":\"4\",\"streamSid\":\"" SID "\","
			"\"media\":{\"track\":\"inbound\",\"chunk\":\"2\",\"timestamp\":\"20\","
			"\"payload\":\"no+Jhg==\"}}"),
		  0);
	static const uint8_t want[] = {0x9e, 0x8f, 0x89, 0x86};

	CHECK_INT(m.event, MEDIA_EVENT_MEDIA);
	CHECK_STR(m.stream_sid, SID);
	CHECK_INT(m.u.media.chunk, 2);
	CHECK_INT(m.u.media.timestamp_ms, 20);
	CHECK_INT(m.u.media.payload_bytes, 4);
	CHECK(!m.u.media.outbound);
	CHECK_MEM(payload, want, 4);
}

static void test_media_other_forms(void)
{
	/* numbers, another order, blanks, unknown members, no numbers at all, an escaped slash */
	CHECK_INT(parse(" { \"media\" : {\"payload\":\"\\/\\/8=\",\"timestamp\":40,\"chunk\":3} ,"
			"\"new\":[1,{\"a\":2}], \"streamSid\":\"" SID "\",\"event\":\"media\"}\n"),
		  0);
	CHECK_INT(m.event, MEDIA_EVENT_MEDIA);
	CHECK_INT(m.u.media.chunk, 3);
	CHECK_INT(m.u.media.timestamp_ms, 40);
	CHECK_INT(m.u.media.payload_bytes, 2);
	CHECK_INT(payload[0], 0xFF);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":\"\"}}"), 0);
	CHECK_INT(m.u.media.payload_bytes, 0);
	CHECK_INT(m.u.media.timestamp_ms, MEDIA_NO_TIMESTAMP);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID
			"\",\"media\":{\"track\":\"outbound\",\"payload\":\"\"}}"),
		  0);
	CHECK(m.u.media.outbound);
}

static void test_media_refused(void)
{
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":\"a\"}}"),
		  -EINVAL);
	CHECK_STR(error, "media.payload: not base64");
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{}}"), -EINVAL);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":5}}"),
		  -EINVAL);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID
			"\",\"media\":{\"payload\":\"\",\"timestamp\":\"-1\"}}"),
		  -EINVAL);
	CHECK(strstr(error, "media.timestamp") != NULL);
	/* the scanner does not look at what is in a payload; it must not be led astray by it */
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":"
			"\"AAAA\\\",\"timestamp\":\"7\"}}"),
		  -EINVAL);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":"
			"\"AAA\\\"\"}}"),
		  -EINVAL);
	CHECK_STR(error, "media.payload: not base64");
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":"
			"\"AAA\n\"}}"),
		  -EINVAL);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":\"AAAA}}"),
		  -EINVAL);
	CHECK_INT(parse("{\"event\":\"media\",\"streamSid\":\"" SID "\",\"media\":{\"payload\":"
			"\"\\u0041AAA\"}}"),
		  0);
	CHECK_INT(m.u.media.payload_bytes, 3);
}

static void test_dtmf_mark_stop_unknown(void)
{
	CHECK_INT(parse("{\"event\":\"dtmf\",\"streamSid\":\"" SID "\",\"sequenceNumber\":\"5\","
			"\"dtmf\":{\"track\":\"inbound_track\",\"digit\":\"#\"}}"),
		  0);
	CHECK_INT(m.event, MEDIA_EVENT_DTMF);
	CHECK_INT(m.u.digit, '#');
	CHECK_INT(parse("{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"12\"}}"), -EINVAL);
	CHECK_INT(parse("{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"\"}}"), -EINVAL);
	CHECK_INT(parse("{\"event\":\"mark\",\"streamSid\":\"" SID "\",\"mark\":{\"name\":\"p42\"}}"), 0);
	CHECK_INT(m.event, MEDIA_EVENT_MARK);
	CHECK_STR(m.u.mark, "p42");
	CHECK_INT(parse("{\"event\":\"mark\",\"streamSid\":\"" SID "\"}"), -EINVAL);
	CHECK_INT(parse("{\"event\":\"stop\",\"sequenceNumber\":999,\"streamSid\":\"" SID "\","
			"\"stop\":{\"accountSid\":\"AC0\",\"callSid\":\"CA0\"}}"),
		  0);
	CHECK_INT(m.event, MEDIA_EVENT_STOP);
	CHECK_INT(parse("{\"event\":\"weather\",\"sun\":[]}"), 0);
	CHECK_INT(m.event, MEDIA_EVENT_UNKNOWN);
	CHECK_STR(m.u.unknown, "weather");
}

static void test_not_json(void)
{
	static const char *const bad[] = {"", "{", "[]", "1", "null", "{}", "{\"event\":1}",
					  "{\"event\":\"media\"}x", "{\"event\":\"st\\u0000op\"}",
					  "\xFF\xFE", "{\"event\":\"connected\"}{}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i]) >= 0)
			UNIT_FAIL("accepted: %s", bad[i]);
		CHECK(error[0] != '\0');
	}
}

static void test_too_long(void)
{
	static char text[MEDIA_MESSAGE_MAX + 2];

	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"event\":\"stop\"}", 16);
	CHECK_INT(media_message_parse(&m, payload, text, MEDIA_MESSAGE_MAX, error), 0);
	CHECK(media_message_parse(&m, payload, text, MEDIA_MESSAGE_MAX + 1, error) < 0);
}

/* Builders, read back by another library. */
static void test_build(void)
{
	char out[MEDIA_BUILD_BYTES];
	uint8_t frame[160], back[160];

	for (int i = 0; i < 160; i++)
		frame[i] = (uint8_t)(i * 7);
	CHECK_INT(media_build_media(out, SID, frame, 160), strlen(out));
	cJSON *json = cJSON_Parse(out);

	CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(json, "event")), "media");
	CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(json, "streamSid")), SID);
	const char *text = cJSON_GetStringValue(
		cJSON_GetObjectItem(cJSON_GetObjectItem(json, "media"), "payload"));

	CHECK_INT(strlen(text), 216);
	CHECK_INT(base64_decode(back, sizeof(back), text, strlen(text)), 160);
	CHECK_MEM(back, frame, 160);
	cJSON_Delete(json);

	CHECK_INT(media_build_mark(out, SID, "p7"), strlen(out));
	CHECK_STR(out, "{\"event\":\"mark\",\"streamSid\":\"" SID "\",\"mark\":{\"name\":\"p7\"}}");
	CHECK_INT(media_build_clear(out, SID), strlen(out));
	CHECK_STR(out, "{\"event\":\"clear\",\"streamSid\":\"" SID "\"}");
}

/* A thousand mutations of each message: no crash, and a refusal always says why. */
static void test_mutations(void)
{
	static const char *const base[] = {
		START_HEAD FORMAT "," PARAMETERS "}}",
		"{\"event\":\"media\",\"sequenceNumber\":\"4\",\"streamSid\":\"" SID "\",\"media\":{"
		"\"track\":\"inbound\",\"chunk\":\"2\",\"timestamp\":\"20\",\"payload\":\"no+Jhg==\"}}",
		"{\"event\":\"dtmf\",\"streamSid\":\"" SID "\",\"dtmf\":{\"digit\":\"1\"}}",
		"{\"event\":\"mark\",\"streamSid\":\"" SID "\",\"mark\":{\"name\":\"p42\"}}",
		"{\"event\":\"stop\",\"streamSid\":\"" SID "\",\"stop\":{\"callSid\":\"CA1\"}}",
		"{\"event\":\"connected\",\"protocol\":\"Call\"}",
	};
	uint32_t seed = 7;

	for (size_t b = 0; b < sizeof(base) / sizeof(base[0]); b++) {
		for (int round = 0; round < 1000; round++) {
			size_t len = strlen(base[b]);
			char *text = malloc(len); /* exact, so that the sanitizer sees an overrun */

			memcpy(text, base[b], len);
			for (int i = 0; i < 1 + round % 4; i++) {
				size_t at = test_random_below(&seed, (uint32_t)len);

				switch (test_random_below(&seed, 4)) {
				case 0:
					text[at] = (char)test_random(&seed);
					break;
				case 1:
					text[at] = "{}[]\",:\\ 0"[test_random_below(&seed, 10)];
					break;
				case 2:
					memmove(text + at, text + at + 1, len - at - 1);
					len--;
					break;
				default:
					len = at + 1;
					break;
				}
			}
			if (media_message_parse(&m, payload, text, len, error) < 0)
				CHECK(error[0] != '\0');
			free(text);
		}
	}
}

/*
 * The scanner and the general reader agree: whatever the scanner takes, the general reader, forced
 * by an unknown member in front, takes in the same sense.
 */
static void test_scanner_agrees(void)
{
	static const char base[] =
		"\"event\":\"media\",\"sequenceNumber\":\"4\",\"streamSid\":\"" SID "\",\"media\":{"
		"\"track\":\"inbound\",\"chunk\":\"12\",\"timestamp\":\"240\",\"payload\":\"no+Jhg==\"}}";
	uint32_t seed = 3;
	int accepted = 0;

	for (int round = 0; round < 20000; round++) {
		char inner[sizeof(base)], plain[sizeof(base) + 2], forced[sizeof(base) + 16];
		struct media_message other;
		uint8_t other_payload[64];
		char other_error[MEDIA_ERROR_BYTES];

		memcpy(inner, base, sizeof(base));
		if (round)
			inner[test_random_below(&seed, sizeof(base) - 1)] =
				"a0=\"{}:, -.\\/A"[test_random_below(&seed, 15)];
		snprintf(plain, sizeof(plain), "{%s", inner);
		snprintf(forced, sizeof(forced), "{\"q\":null,%s", inner);
		int err = parse(plain);

		memcpy(other_payload, payload, sizeof(other_payload));
		other = m;
		CHECK_INT(media_message_parse(&m, payload, forced, strlen(forced), other_error), err);
		if (err)
			continue;
		accepted++;
		CHECK_INT(m.event, other.event);
		CHECK_STR(m.stream_sid, other.stream_sid);
		if (m.event != MEDIA_EVENT_MEDIA)
			continue;
		CHECK_INT(m.u.media.chunk, other.u.media.chunk);
		CHECK_INT(m.u.media.timestamp_ms, other.u.media.timestamp_ms);
		CHECK_INT(m.u.media.payload_bytes, other.u.media.payload_bytes);
		CHECK_MEM(payload, other_payload, m.u.media.payload_bytes);
	}
	CHECK(accepted > 1000);
}

int main(void)
{
	UNIT(test_connected);
	UNIT(test_start);
	UNIT(test_start_somleng_puts_parameters_beside);
	UNIT(test_start_numbers_as_strings);
	UNIT(test_start_refused);
	UNIT(test_media);
	UNIT(test_media_other_forms);
	UNIT(test_media_refused);
	UNIT(test_dtmf_mark_stop_unknown);
	UNIT(test_not_json);
	UNIT(test_too_long);
	UNIT(test_build);
	UNIT(test_mutations);
	UNIT(test_scanner_agrees);
	return unit_done();
}
