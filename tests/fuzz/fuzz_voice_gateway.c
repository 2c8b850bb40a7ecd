/* SPDX-License-Identifier: MIT
 *
 * fuzz_voice_gateway.c - any messages in a voice session, text and binary: records of a length byte
 * pair, whose top bit says binary, and that many bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discord/voice_gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned generation;

static void connect_to(void *ctx, unsigned g, const char *url)
{
	generation = g;
}
static void close_with(void *ctx, int code) {}
static void send_text(void *ctx, const char *text, size_t bytes) {}
static void send_binary(void *ctx, const uint8_t *bytes, size_t n) {}
static void udp_start(void *ctx, unsigned g, const char *ip, uint16_t port, uint32_t ssrc)
{
	if (!port)
		abort();
}
static int media_start(void *ctx, enum transport_mode mode, const uint8_t *key, uint32_t ssrc)
{
	if (mode == TRANSPORT_NONE)
		abort();
	return 0;
}
static void media_stop(void *ctx) {}
static void on_speaker(void *ctx, uint64_t user_id, uint32_t ssrc)
{
	if (!user_id || !ssrc)
		abort();
}
static void on_left(void *ctx, uint64_t user_id) {}
static void on_dave(void *ctx, const struct voice_dave *event)
{
	if (event->user_count > VOICE_USERS_MAX)
		abort();
}
static void on_ready(void *ctx) {}
static void on_end(void *ctx, enum voice_outcome outcome, const char *why) {}
static void on_note(void *ctx, const char *text) {}

static const struct voice_ops ops = {connect_to, close_with, send_text, send_binary, udp_start,
				     media_start, media_stop, on_speaker, on_left, on_dave,
				     on_ready, on_end, on_note};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct voice_session session = {.guild_id = 1,
						     .user_id = 2,
						     .session_id = "session",
						     .token = "token",
						     .endpoint = "voice.example:443"};
	struct voice_gateway *v;
	int64_t now_ns = 0;

	if (voice_gateway_create(&v, &ops, NULL, 1) < 0)
		abort();
	while (size >= 2) {
		size_t n = (size_t)(data[0] & 0x7F) << 8 | data[1];
		bool binary = data[0] & 0x80;
		data += 2, size -= 2;
		if (n > size)
			n = size;
		if (voice_gateway_state(v) == VOICE_IDLE)
			voice_gateway_start(v, &session, now_ns);
		voice_gateway_opened(v, generation, now_ns);
		if (binary)
			voice_gateway_binary(v, generation, data, n, now_ns);
		else
			voice_gateway_text(v, generation, (const char *)data, n, now_ns);
		voice_gateway_discovered(v, generation, "192.0.2.1", 9, now_ns);
		now_ns += 1000000000;
		voice_gateway_tick(v, now_ns);
		data += n, size -= n;
	}
	voice_gateway_destroy(v);
	return 0;
}
