/* SPDX-License-Identifier: MIT
 *
 * test_voice_gateway.c - the voice session: handshake in any order, every close code, resume,
 * heartbeats with seq_ack, generations, DAVE forwarded, repair of dead media, malformed input.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/voice_codes.h"
#include "discord/voice_gateway.h"

#include <errno.h>
#include <stdarg.h>

#define SEC NS_PER_SEC

static char did[8192], url[300], sent[4200], why[200];
static unsigned generation;
static int outcome, media_error;
static uint8_t key0;
static struct voice_dave last_dave;

static void add(const char *what)
{
	strncat(did, what, sizeof(did) - strlen(did) - 1);
	strncat(did, " ", sizeof(did) - strlen(did) - 1);
}
static void __attribute__((format(printf, 1, 2))) addf(const char *format, ...)
{
	char text[100];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(text);
}
static void op_connect(void *ctx, unsigned g, const char *u)
{
	generation = g;
	snprintf(url, sizeof(url), "%s", u);
	add("connect");
}
static void op_close(void *ctx, int code) { addf("close:%d", code); }
static void op_text(void *ctx, const char *text, size_t bytes)
{
	snprintf(sent, sizeof(sent), "%.*s", (int)bytes, text);
	addf("op%d", atoi(strstr(sent, "\"op\":") + 5));
}
static void op_binary(void *ctx, const uint8_t *data, size_t bytes) { addf("bin%d", data[0]); }
static void op_udp(void *ctx, unsigned g, const char *ip, uint16_t port, uint32_t ssrc)
{
	addf("udp:%d/%u", port, ssrc);
}
static int op_media(void *ctx, enum transport_mode mode, const uint8_t *key, uint32_t ssrc)
{
	key0 = key[31];
	addf("media:%d", (int)mode);
	return media_error;
}
static void op_stop(void *ctx) { add("stop"); }
static void op_speaker(void *ctx, uint64_t user, uint32_t ssrc)
{
	addf("speaker:%lld/%u", (long long)user, ssrc);
}
static void op_left(void *ctx, uint64_t user) { addf("left:%lld", (long long)user); }
static void op_dave(void *ctx, const struct voice_dave *e)
{
	last_dave = *e;
	addf("dave%u", e->op);
}
static void op_ready(void *ctx) { add("ready"); }
static void op_end(void *ctx, enum voice_outcome o, const char *w)
{
	outcome = (int)o;
	snprintf(why, sizeof(why), "%s", w);
	addf("end:%d", (int)o);
}
static void op_note(void *ctx, const char *text) {}

static const struct voice_ops ops = {op_connect, op_close, op_text, op_binary, op_udp,
				     op_media,   op_stop,  op_speaker, op_left, op_dave,
				     op_ready,   op_end,   op_note};

static const struct voice_session session = {.guild_id = 811,
					     .user_id = 900,
					     .session_id = "sess",
					     .token = "tok",
					     .endpoint = "c-ams20.discord.media:2087"};

static void say(struct voice_gateway *v, const char *text, int64_t now)
{
	voice_gateway_text(v, generation, text, strlen(text), now);
}

#define HELLO "{\"op\":8,\"d\":{\"v\":8,\"heartbeat_interval\":13750.5}}"
#define READY_TEXT \
	"{\"op\":2,\"d\":{\"ssrc\":77,\"ip\":\"127.0.0.1\",\"port\":5000,\"modes\":" \
	"[\"aead_xchacha20_poly1305_rtpsize\",\"aead_aes256_gcm_rtpsize\"]}}"
#define SESSION_TEXT(mode, last) \
	"{\"op\":4,\"seq\":3,\"d\":{\"mode\":\"" mode "\",\"secret_key\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13," \
	"14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30," last "],\"dave_protocol_version\":1}}"
#define SESSION SESSION_TEXT("aead_aes256_gcm_rtpsize", "31")

static struct voice_gateway *make(void)
{
	struct voice_gateway *v;
	voice_gateway_create(&v, &ops, NULL, 1);
	did[0] = 0;
	media_error = 0;
	outcome = -1;
	return v;
}

static struct voice_gateway *ready(int64_t now)
{
	struct voice_gateway *v = make();
	voice_gateway_start(v, &session, now);
	voice_gateway_opened(v, generation, now);
	say(v, HELLO, now);
	say(v, READY_TEXT, now);
	voice_gateway_discovered(v, generation, "203.0.113.5", 4444, now);
	say(v, SESSION, now);
	did[0] = 0;
	return v;
}

static void test_handshake(void)
{
	struct voice_gateway *v = make();
	CHECK_INT(voice_gateway_start(v, &session, 0), 0);
	CHECK_STR(url, "wss://c-ams20.discord.media:2087/?v=8"); /* the port is kept */
	voice_gateway_opened(v, generation, 0);
	CHECK_STR(sent, "{\"op\":0,\"d\":{\"server_id\":\"811\",\"user_id\":\"900\",\"session_id\":\"sess\","
			"\"token\":\"tok\",\"max_dave_protocol_version\":1}}");
	say(v, HELLO, 0);
	CHECK_INT(voice_gateway_deadline_ns(v), 5 * SEC);
	say(v, READY_TEXT, 0);
	voice_gateway_discovered(v, generation, "203.0.113.5", 4444, 0);
	CHECK(strstr(sent, "\"address\":\"203.0.113.5\",\"port\":4444,\"mode\":\"aead_aes256_gcm_rtpsize\""));
	say(v, SESSION, 0);
	CHECK_STR(did, "connect op0 udp:5000/77 op1 media:1 dave4 op5 ready ");
	CHECK_INT(key0, 31);
	CHECK_INT(last_dave.version, 1);
	CHECK_STR(sent, "{\"op\":5,\"d\":{\"speaking\":1,\"delay\":0,\"ssrc\":77}}");
	CHECK_INT(voice_gateway_state(v), VOICE_READY);
	voice_gateway_destroy(v);
}

/* songbird's connect failure: ops of others between ours must neither be lost nor be waited for. */
static void test_any_order(void)
{
	struct voice_gateway *v = make();
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, "{\"op\":5,\"seq\":0,\"d\":{\"user_id\":\"5\",\"ssrc\":50,\"speaking\":1}}", 0);
	say(v, READY_TEXT, 0);
	say(v, "{\"op\":11,\"seq\":1,\"d\":{\"user_ids\":[\"5\",\"6\"]}}", 0);
	CHECK_INT(last_dave.user_count, 2);
	static const uint8_t sender[] = {0, 2, 25, 1, 2, 3};
	voice_gateway_binary(v, generation, sender, sizeof(sender), 0);
	CHECK_INT(last_dave.bytes, 3);
	voice_gateway_discovered(v, generation, "1.2.3.4", 1, 0);
	say(v, SESSION, 0);
	say(v, HELLO, 0); /* after everything else */
	CHECK(strstr(did, "speaker:5/50"));
	CHECK(strstr(did, "dave11") && strstr(did, "dave25") && strstr(did, "ready"));
	voice_gateway_destroy(v);
}

static void test_only_xchacha_offered(void)
{
	struct voice_gateway *v = make();
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, "{\"op\":2,\"d\":{\"ssrc\":1,\"ip\":\"1.1.1.1\",\"port\":5,\"modes\":[\"xsalsa20_poly1305\","
	       "\"aead_xchacha20_poly1305_rtpsize\"]}}",
	    0);
	voice_gateway_discovered(v, generation, "1.2.3.4", 1, 0);
	CHECK(strstr(sent, "aead_xchacha20_poly1305_rtpsize"));
	voice_gateway_destroy(v);
	v = make();
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, "{\"op\":2,\"d\":{\"ssrc\":1,\"ip\":\"1.1.1.1\",\"port\":5,\"modes\":[\"new\"]}}", 0);
	CHECK_INT(outcome, VOICE_OUTCOME_FATAL);
	voice_gateway_destroy(v);
}

static const struct {
	int code, action;
} table[] = {
	{1000, VOICE_CLOSE_RESUME}, {1001, VOICE_CLOSE_RESUME}, {1006, VOICE_CLOSE_RESUME},
	{4001, VOICE_CLOSE_REJOIN}, {4002, VOICE_CLOSE_REJOIN}, {4003, VOICE_CLOSE_REJOIN},
	{4004, VOICE_CLOSE_REJOIN}, {4005, VOICE_CLOSE_REJOIN}, {4006, VOICE_CLOSE_REJOIN},
	{4009, VOICE_CLOSE_REJOIN}, {4011, VOICE_CLOSE_REJOIN}, {4012, VOICE_CLOSE_REJOIN},
	{4013, VOICE_CLOSE_RESUME}, {4014, VOICE_CLOSE_WAIT},   {4015, VOICE_CLOSE_RESUME},
	{4016, VOICE_CLOSE_REJOIN}, {4017, VOICE_CLOSE_FATAL},  {4020, VOICE_CLOSE_FATAL},
	{4021, VOICE_CLOSE_PAUSE},  {4022, VOICE_CLOSE_WAIT},   {4999, VOICE_CLOSE_REJOIN},
};

static void test_every_close_code(void)
{
	static const int outcomes[] = {
		[VOICE_CLOSE_REJOIN] = VOICE_OUTCOME_REJOIN,
		[VOICE_CLOSE_WAIT] = VOICE_OUTCOME_WAIT,
		[VOICE_CLOSE_PAUSE] = VOICE_OUTCOME_PAUSE,
		[VOICE_CLOSE_FATAL] = VOICE_OUTCOME_FATAL,
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct voice_gateway *v = ready(0);
		voice_gateway_closed(v, generation, true, table[i].code, SEC);
		if (table[i].action == VOICE_CLOSE_RESUME) {
			CHECK_STR(did, "connect "); /* media goes on: no stop */
			CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
		} else {
			CHECK(strstr(did, "stop end:"));
			CHECK_INT(outcome, outcomes[table[i].action]);
			CHECK_INT(voice_gateway_state(v), VOICE_IDLE);
			CHECK(strlen(why) > 4);
		}
		voice_gateway_destroy(v);
	}
}

static void test_resume(void)
{
	struct voice_gateway *v = ready(0);
	voice_gateway_closed(v, generation, true, 4015, SEC);
	voice_gateway_opened(v, generation, SEC);
	CHECK_STR(sent, "{\"op\":7,\"d\":{\"server_id\":\"811\",\"session_id\":\"sess\",\"token\":\"tok\","
			"\"seq_ack\":3}}");
	say(v, HELLO, SEC);
	say(v, "{\"op\":9,\"d\":null}", SEC);
	CHECK_STR(did, "connect op7 op5 "); /* op 5 again before the next RTP; no discovery */
	CHECK_INT(voice_gateway_state(v), VOICE_READY);
	voice_gateway_destroy(v);
}

/* One resume that the server refuses is enough: the refusal will only come again. */
static void test_resume_that_fails(void)
{
	static const int codes[] = {1000, 1002, 4006, 4015};
	struct voice_gateway *v;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		v = ready(0);
		voice_gateway_closed(v, generation, true, 1006, SEC);
		voice_gateway_opened(v, generation, SEC);
		voice_gateway_closed(v, generation, true, codes[i], SEC);
		CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
		voice_gateway_destroy(v);
	}
	v = ready(0);
	voice_gateway_closed(v, generation, true, 1006, SEC);
	voice_gateway_opened(v, generation, SEC);
	voice_gateway_tick(v, voice_gateway_deadline_ns(v));
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_destroy(v);
}

/* A resume whose socket breaks before it is answered used up nothing; three times, not for ever. */
static void test_resume_broken_off_is_made_again(void)
{
	struct voice_gateway *v = ready(0);
	for (int i = 0; i < 3; i++) {
		voice_gateway_closed(v, generation, true, 1006, SEC);
		CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
		voice_gateway_opened(v, generation, SEC);
		CHECK(strstr(sent, "\"op\":7"));
	}
	CHECK_STR(did, "connect op7 connect op7 connect op7 "); /* media was never stopped */
	voice_gateway_closed(v, generation, true, 1006, SEC);
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_destroy(v);
}

/* How long it tries to connect again, each try failing after try_ns; the longest pause in *pause_ns. */
static int64_t unreachable_for(struct voice_gateway *v, int64_t try_ns, int64_t *pause_ns)
{
	int64_t now = 0;
	*pause_ns = 0;
	for (int i = 0; i < 1000 && voice_gateway_state(v) != VOICE_IDLE; i++) {
		now += try_ns;
		voice_gateway_closed(v, generation, false, 1006, now);
		if (voice_gateway_state(v) == VOICE_IDLE)
			break;
		int64_t at = voice_gateway_deadline_ns(v);
		if (at - now > *pause_ns)
			*pause_ns = at - now;
		now = at;
		voice_gateway_tick(v, now);
	}
	return now;
}

/* During a partition the resume cannot even connect. Media goes on beside it, so that it is tried for a
 * minute, with pauses short enough that the way back is found soon; an identify only five times. */
static void test_resume_retries_the_connection(void)
{
	static const int64_t tries_ns[] = {NS_PER_MS, 10 * SEC};
	int64_t pause;
	for (size_t i = 0; i < 2; i++) {
		struct voice_gateway *v = ready(0);
		voice_gateway_closed(v, generation, true, 1006, 0);
		int64_t t = unreachable_for(v, tries_ns[i], &pause);
		CHECK(t >= 60 * SEC && t < 75 * SEC);
		/* a try that took its time-out is followed at once by the next */
		CHECK(pause > 0 && pause <= (i ? SEC / 5 : 2 * SEC));
		CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
		CHECK(!strstr(strstr(did, "stop") + 4, "connect"));
		voice_gateway_destroy(v);
		v = make();
		voice_gateway_start(v, &session, 0);
		t = unreachable_for(v, tries_ns[i], &pause);
		CHECK(t < 60 * SEC && pause <= 2 * SEC);
		CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
		voice_gateway_destroy(v);
	}
	/* found again: resumed, and a later loss has its minute anew */
	struct voice_gateway *v = ready(0);
	voice_gateway_closed(v, generation, true, 1006, 0);
	for (int64_t now = 0; now < 50 * SEC; now = voice_gateway_deadline_ns(v), voice_gateway_tick(v, now))
		voice_gateway_closed(v, generation, false, 1006, now);
	voice_gateway_opened(v, generation, 51 * SEC);
	say(v, "{\"op\":9,\"d\":null}", 51 * SEC);
	CHECK_INT(voice_gateway_state(v), VOICE_READY);
	CHECK(!strstr(did, "stop"));
	voice_gateway_closed(v, generation, true, 1006, 100 * SEC);
	voice_gateway_closed(v, generation, false, 1006, 150 * SEC);
	CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
	voice_gateway_destroy(v);
}

/* The socket is away, and now the media port refuses: the session is over, nothing is left to wait for.
 * A port that only says nothing may be the same dead network. */
static void test_refused_media_ends_a_resume(void)
{
	struct voice_gateway *v = ready(0);
	voice_gateway_closed(v, generation, true, 1006, 100 * SEC);
	voice_gateway_closed(v, generation, false, 1006, 101 * SEC);
	voice_gateway_media_dead(v, "mute", false, 110 * SEC);
	CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
	voice_gateway_media_dead(v, "refused", true, 110 * SEC);
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	CHECK_STR(why, "refused");
	voice_gateway_destroy(v);
	/* but a resume that was made because of it gets its chance */
	v = ready(0);
	voice_gateway_media_dead(v, "refused", true, 100 * SEC);
	voice_gateway_media_dead(v, "refused", true, 100 * SEC + 1);
	CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
	voice_gateway_destroy(v);
}

static void test_heartbeats(void)
{
	struct voice_gateway *v = ready(0);
	CHECK_INT(voice_gateway_deadline_ns(v), 5 * SEC); /* the first comes early */
	voice_gateway_tick(v, 5 * SEC);
	CHECK_STR(sent, "{\"op\":3,\"d\":{\"t\":5000,\"seq_ack\":3}}");
	CHECK_INT(voice_gateway_deadline_ns(v), 10 * SEC); /* sooner than asked for, never later */
	say(v, "{\"op\":6,\"d\":{\"t\":5000}}", 5 * SEC + 20 * NS_PER_MS);
	CHECK_INT(voice_gateway_rtt_ns(v), 20 * NS_PER_MS);
	say(v, "{\"op\":3}", 6 * SEC); /* the server may ask */
	CHECK_STR(did, "op3 op3 ");
	say(v, "{\"op\":8,\"d\":{\"v\":8,\"heartbeat_interval\":1500}}", 20 * SEC);
	CHECK_INT(voice_gateway_deadline_ns(v), 20 * SEC + 1500 * NS_PER_MS);
	voice_gateway_destroy(v);
}

/* 0 is a sequence number; binary messages count too, wanted or not; the last wins, not the highest. */
static void test_seq_ack_is_the_last_seen(void)
{
	struct voice_gateway *v = ready(0);
	static const uint8_t binary[] = {0xFF, 0xFE, 99};
	voice_gateway_binary(v, generation, binary, 3, 0);
	voice_gateway_tick(v, 5 * SEC);
	CHECK(strstr(sent, "\"seq_ack\":65534"));
	say(v, "{\"op\":12345,\"seq\":1}", 0); /* refused as an opcode */
	say(v, "{\"op\":18,\"seq\":0,\"d\":{}}", 0);
	say(v, "{\"op\":3}", 0);
	CHECK(strstr(sent, "\"seq_ack\":0"));
	voice_gateway_destroy(v);
}

static void test_unanswered_heartbeats_resume(void)
{
	struct voice_gateway *v = ready(0);
	int64_t now = 0;
	for (int i = 0; i < 3; i++) {
		now = voice_gateway_deadline_ns(v);
		voice_gateway_tick(v, now);
	}
	CHECK_STR(did, "op3 op3 close:4000 connect ");
	CHECK_INT(voice_gateway_state(v), VOICE_RESUMING);
	/* before a server that allows one and a half intervals (13.75 s) gives the session up */
	CHECK(now < 13750 * 3 / 2 * NS_PER_MS);
	voice_gateway_destroy(v);
}

static void test_old_generation_is_not_heard(void)
{
	struct voice_gateway *v = ready(0);
	unsigned old = generation;
	voice_gateway_start(v, &session, SEC);
	CHECK_STR(did, "close:1000 stop connect ");
	CHECK(generation != old);
	voice_gateway_closed(v, old, true, 4014, SEC);
	voice_gateway_opened(v, old, SEC);
	voice_gateway_discovered(v, old, "1.2.3.4", 5, SEC);
	voice_gateway_text(v, old, "{\"op\":3}", 8, SEC);
	CHECK_STR(did, "close:1000 stop connect ");
	CHECK_INT(voice_gateway_state(v), VOICE_CONNECTING);
	/* a fresh identify begins at -1 again */
	voice_gateway_opened(v, generation, SEC);
	say(v, "{\"op\":3}", SEC);
	CHECK(strstr(sent, "\"seq_ack\":-1"));
	voice_gateway_destroy(v);
}

static void test_time_outs(void)
{
	struct voice_gateway *v = make();
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	voice_gateway_tick(v, 5 * SEC); /* no op 2 */
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, READY_TEXT, 0);
	outcome = -1;
	voice_gateway_discovered(v, generation, NULL, 0, 5 * SEC); /* UDP blocked */
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	CHECK(strstr(why, "UDP"));
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, READY_TEXT, 0);
	voice_gateway_discovered(v, generation, "1.2.3.4", 5, 0);
	outcome = -1;
	voice_gateway_tick(v, 5 * SEC); /* no op 4 */
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_destroy(v);
}

/* A new op 4 in the middle brings a new key. */
static void test_second_session_description(void)
{
	struct voice_gateway *v = ready(0);
	say(v, SESSION_TEXT("aead_aes256_gcm_rtpsize", "99"), SEC);
	CHECK_STR(did, "media:1 dave4 op5 ");
	CHECK_INT(key0, 99);
	say(v, SESSION_TEXT("aead_xchacha20_poly1305_rtpsize", "31"), SEC); /* not what we chose */
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_destroy(v);
}

/* After 4016 the other mode is chosen. */
static void test_refused_mode(void)
{
	struct voice_gateway *v = ready(0);
	voice_gateway_closed(v, generation, true, 4016, 0);
	voice_gateway_start(v, &session, 0);
	voice_gateway_opened(v, generation, 0);
	say(v, READY_TEXT, 0);
	voice_gateway_discovered(v, generation, "1.2.3.4", 5, 0);
	CHECK(strstr(sent, "aead_xchacha20_poly1305_rtpsize"));
	voice_gateway_destroy(v);
}

static void test_dave_is_forwarded(void)
{
	struct voice_gateway *v = ready(0);
	say(v, "{\"op\":21,\"d\":{\"protocol_version\":1,\"transition_id\":\"12\"}}", 0);
	CHECK_INT(last_dave.transition_id, 12); /* numeric string */
	say(v, "{\"op\":22,\"d\":{\"transition_id\":65535}}", 0);
	CHECK_INT(last_dave.transition_id, 65535);
	say(v, "{\"op\":24,\"d\":{\"protocol_version\":1,\"epoch\":1}}", 0); /* no transition_id */
	CHECK_INT(last_dave.epoch, 1);
	static const uint8_t ops_in[] = {25, 27, 29, 30};
	for (int i = 0; i < 4; i++) {
		uint8_t m[] = {0, 9, ops_in[i], 7};
		voice_gateway_binary(v, generation, m, 4, 0);
		CHECK_INT(last_dave.op, ops_in[i]);
		CHECK_INT(last_dave.bytes, 1);
	}
	CHECK_STR(did, "dave21 dave22 dave24 dave25 dave27 dave29 dave30 ");
	did[0] = 0;
	voice_gateway_dave_json(v, 23, 12);
	CHECK_STR(sent, "{\"op\":23,\"d\":{\"transition_id\":12}}");
	voice_gateway_dave_binary(v, (const uint8_t *)"\x1a", 1);
	CHECK_STR(did, "op23 bin26 ");
	voice_gateway_destroy(v);
}

static void test_users(void)
{
	struct voice_gateway *v = ready(0);
	say(v, "{\"op\":12,\"d\":{\"user_id\":\"7\",\"audio_ssrc\":70,\"video_ssrc\":0}}", 0);
	say(v, "{\"op\":12,\"d\":{\"user_id\":\"7\",\"video_ssrc\":0}}", 0);
	say(v, "{\"op\":13,\"d\":{\"user_id\":\"7\"}}", 0);
	CHECK_STR(did, "speaker:7/70 left:7 dave13 ");
	voice_gateway_destroy(v);
}

/* The ladder: resume first; media still dead soon after: a new session. */
static void test_dead_media_is_repaired_by_steps(void)
{
	struct voice_gateway *v = ready(100 * SEC);
	voice_gateway_media_dead(v, "x", false, 100 * SEC);
	CHECK_STR(did, "close:4000 connect ");
	voice_gateway_opened(v, generation, 100 * SEC);
	say(v, "{\"op\":9,\"d\":null}", 100 * SEC);
	voice_gateway_media_dead(v, "x", false, 120 * SEC);
	CHECK_INT(outcome, VOICE_OUTCOME_REJOIN);
	voice_gateway_destroy(v);
}

static void test_bad_endpoints(void)
{
	static const char *const bad[] = {"", "a b", "x/../y", "user@host", "wss://x", "h\r\nX: y"};
	struct voice_gateway *v = make();
	struct voice_session s = session;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		strcpy(s.endpoint, bad[i]);
		CHECK_INT(voice_gateway_start(v, &s, 0), -EINVAL);
	}
	voice_gateway_destroy(v);
}

static void test_malformed_costs_only_itself(void)
{
	static const char *const bad[] = {
		"", "[]", "{\"op\":4,\"d\":{}}",
		"{\"op\":4,\"d\":{\"mode\":\"aead_aes256_gcm_rtpsize\",\"secret_key\":[1,2]}}", "{\"op\":4,\"d\":null}", "{\"op\":8,\"d\":{\"heartbeat_interval\":-3}}",
		"{\"op\":11,\"d\":{\"user_ids\":[5]}}", "{\"op\":13,\"d\":{}}", "{\"op\":21,\"d\":{}}",
		"{\"op\":22,\"d\":{\"transition_id\":70000}}", "{\"op\":5,\"d\":{\"user_id\":\"-1\",\"ssrc\":1}}",
		"{\"op\":5,\"d\":{\"user_id\":\"5\",\"ssrc\":4294967296}}", "{\"seq\":99999,\"op\":18,\"d\":{}}",
	};
	struct voice_gateway *v = ready(0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		say(v, bad[i], 0);
	voice_gateway_binary(v, generation, (const uint8_t *)"ab", 2, 0);
	CHECK_STR(did, "");
	CHECK_INT(voice_gateway_state(v), VOICE_READY);
	struct voice_stats stats;
	voice_gateway_stats(v, &stats);
	CHECK_INT(stats.refused_messages, sizeof(bad) / sizeof(bad[0]) + 1);
	voice_gateway_destroy(v);
}

static void test_mutations_never_crash(void)
{
	static const char *const seeds[] = {HELLO, READY_TEXT, SESSION, "{\"op\":9,\"d\":null}",
		"{\"op\":5,\"seq\":0,\"d\":{\"user_id\":\"5\",\"ssrc\":50,\"speaking\":1}}",
		"{\"op\":11,\"seq\":1,\"d\":{\"user_ids\":[\"5\",\"6\"]}}",
		"{\"op\":24,\"d\":{\"protocol_version\":1,\"epoch\":1}}"};
	unsigned seed = 11;
	struct voice_gateway *v = ready(0);
	for (int i = 0; i < 30000; i++) {
		char text[600];
		const char *from = seeds[rand_r(&seed) % 7];
		size_t n = strlen(from);
		memcpy(text, from, n);
		for (int k = rand_r(&seed) % 4; k >= 0; k--)
			text[(size_t)rand_r(&seed) % n] = (char)rand_r(&seed);
		if (voice_gateway_state(v) == VOICE_IDLE) {
			voice_gateway_start(v, &session, i);
			voice_gateway_opened(v, generation, i);
		}
		if (rand_r(&seed) % 8 == 0)
			voice_gateway_binary(v, generation, (const uint8_t *)text,
					     (size_t)rand_r(&seed) % n, i);
		else
			voice_gateway_text(v, generation, text, n, i);
	}
	voice_gateway_destroy(v);
}

int main(void)
{
	UNIT(test_handshake);
	UNIT(test_any_order);
	UNIT(test_only_xchacha_offered);
	UNIT(test_every_close_code);
	UNIT(test_resume);
	UNIT(test_resume_that_fails);
	UNIT(test_resume_broken_off_is_made_again);
	UNIT(test_resume_retries_the_connection);
	UNIT(test_refused_media_ends_a_resume);
	UNIT(test_heartbeats);
	UNIT(test_seq_ack_is_the_last_seen);
	UNIT(test_unanswered_heartbeats_resume);
	UNIT(test_old_generation_is_not_heard);
	UNIT(test_time_outs);
	UNIT(test_second_session_description);
	UNIT(test_refused_mode);
	UNIT(test_dave_is_forwarded);
	UNIT(test_users);
	UNIT(test_dead_media_is_repaired_by_steps);
	UNIT(test_bad_endpoints);
	UNIT(test_malformed_costs_only_itself);
	UNIT(test_mutations_never_crash);
	return unit_done();
}
