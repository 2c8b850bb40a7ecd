/* SPDX-License-Identifier: MIT
 *
 * test_media_stream.c - the protocol of a stream, its time limits, its outgoing queue and the
 * latency probe, in simulated time; pacing and address limits beside.
 */
#include "bridge/media_stream.h"
#include "tests/unit/unit.h"

#include <errno.h>

#include "bridge/pace.h"
#include "bridge/rate_limit.h"
#include "common/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)

static struct media_stream *stream;
static char trace[8192];
static int start_answer;
static int64_t now, media_at;
static size_t media_bytes;
static uint8_t first_byte;

static void note(const char *text)
{
	if (strlen(trace) + strlen(text) + 2 < sizeof(trace))
		strcat(strcat(trace, *trace ? " " : ""), text);
}

static int on_start(void *user, struct media_stream *s, const struct media_message *start)
{
	CHECK(user == &now);
	note(start->u.start.call_sid);
	return start_answer;
}

static void on_audio(void *user, int64_t media, const uint8_t *ulaw, size_t n, int64_t now_ns)
{
	media_at = media;
	media_bytes += n;
	first_byte = ulaw[0];
}

static void on_dtmf(void *user, char digit)
{
	note((char[]){'#', digit, 0});
}

static void on_done(void *user, bool stopped)
{
	note(stopped ? "stopped" : "broken");
}

static const struct media_stream_hooks hooks = {on_start, on_audio, on_dtmf, on_done};

static void setup(void)
{
	log_level_set(LOG_LEVEL_ERROR);
	media_stream_destroy(stream);
	now = 50 * SECOND;
	trace[0] = '\0';
	start_answer = 0;
	media_bytes = 0;
	media_at = -1;
	CHECK_INT(media_stream_create(&stream, &hooks, &now, "test", now), 0);
}

static int say(const char *text)
{
	return media_stream_receive(stream, text, strlen(text), false, now);
}

#define CONNECTED "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}"
#define START     "{\"event\":\"start\",\"streamSid\":\"MZ1\",\"start\":{\"callSid\":\"CA1\"}}"
#define STOP      "{\"event\":\"stop\",\"streamSid\":\"MZ1\"}"

static void begin(void)
{
	setup();
	CHECK_INT(say(CONNECTED), 0);
	CHECK_INT(say(START), 0);
}

static int say_media(int chunk, int ms, int triples)
{
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "{\"event\":\"media\",\"streamSid\":\"MZ1\",\"media\":{\"track\":\"inbound\","
			 "\"chunk\":\"%d\",\"timestamp\":\"%d\",\"payload\":\"", chunk, ms);

	while (triples--)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "gICA");
	snprintf(text + n, sizeof(text) - (size_t)n, "\"}}");
	return say(text);
}

static void test_normal_course(void)
{
	begin();
	CHECK(media_stream_started(stream));
	CHECK_STR(media_stream_sid(stream), "MZ1");
	CHECK_INT(say_media(1, 0, 1), 0);
	CHECK_INT(media_at, 0);
	CHECK_INT(media_bytes, 3);
	CHECK_INT(first_byte, 0x80);
	CHECK_INT(say("{\"event\":\"dtmf\",\"streamSid\":\"MZ1\",\"dtmf\":{\"digit\":\"7\"}}"), 0);
	CHECK_INT(say("{\"event\":\"mystery\"}"), 0);
	CHECK_INT(say(STOP), STREAM_CLOSE_NORMAL);
	media_stream_closed(stream); /* told once only */
	CHECK_STR(trace, "CA1 #7 stopped");
	CHECK_INT(say_media(2, 20, 1), 0); /* too late */
	CHECK_INT(media_bytes, 3);
}

static void test_socket_breaks(void)
{
	begin();
	media_stream_closed(stream);
	CHECK_STR(trace, "CA1 broken");
}

static void test_refused_start(void)
{
	setup();
	start_answer = -EACCES;
	CHECK_INT(say(START), STREAM_CLOSE_POLICY);
	media_stream_closed(stream);
	CHECK_STR(trace, "CA1"); /* it never was a stream */
}

static void test_start_without_connected(void)
{
	setup();
	CHECK_INT(say(START), 0);
	CHECK(media_stream_started(stream));
}

static void test_put_off_start(void)
{
	setup();
	start_answer = -EINPROGRESS;
	CHECK_INT(say(START), 0);
	CHECK_INT(say_media(1, 0, 1), 0);
	CHECK_INT(media_bytes, 0); /* not heard before it is admitted */
	CHECK_INT(media_stream_admit(stream, true, now), 0);
	CHECK_INT(say_media(2, 20, 1), 0);
	CHECK_INT(media_bytes, 3);
	setup();
	start_answer = -EINPROGRESS;
	say(START);
	CHECK_INT(media_stream_admit(stream, false, now), STREAM_CLOSE_POLICY);
	setup();
	start_answer = -EINPROGRESS;
	say(START);
	media_stream_closed(stream); /* whoever asks must learn that nobody waits any more */
	CHECK_STR(trace, "CA1 broken");
}

static void test_time_limits(void)
{
	setup();
	CHECK_INT(media_stream_check(stream, now + 5 * SECOND), 0);
	CHECK_INT(media_stream_check(stream, now + 5 * SECOND + MS), STREAM_CLOSE_POLICY);
	setup();
	say(CONNECTED);
	CHECK_INT(media_stream_check(stream, now + 10 * SECOND), 0);
	CHECK_INT(media_stream_check(stream, now + 10 * SECOND + MS), STREAM_CLOSE_POLICY);
	begin();
	CHECK_INT(media_stream_check(stream, now + 5 * SECOND), 0);
	now += 4 * SECOND;
	say_media(1, 0, 1);
	CHECK_INT(media_stream_check(stream, now + 4 * SECOND), 0);
	CHECK_STR(trace, "CA1");
	CHECK_INT(media_stream_check(stream, now + 6 * SECOND), STREAM_CLOSE_AWAY);
	CHECK_STR(trace, "CA1 broken");
}

static void test_bad_messages(void)
{
	setup();
	CHECK_INT(say("{"), STREAM_CLOSE_POLICY); /* a stranger */
	begin();
	CHECK_INT(say("{"), 0); /* a call that is up goes on */
	CHECK_INT(media_stream_receive(stream, "\0\1\2", 3, true, now), 0);
	CHECK_INT(say("{\"event\":\"stop\",\"streamSid\":\"MZ2\"}"), 0); /* another's */
	CHECK_INT(say("{\"event\":\"start\",\"streamSid\":\"MZ2\",\"start\":{\"callSid\":\"CA2\"}}"), 0);
	CHECK_STR(trace, "CA1");
	CHECK_INT(say_media(1, 0, 1), 0);
	CHECK_INT(media_bytes, 3);
}

/* Sizes are odd and timestamps whole milliseconds: the running count is what holds. */
static void test_media_time(void)
{
	struct media_stream_stats stats;

	begin();
	say_media(1, 100, 50); /* 150 samples from 800 on */
	CHECK_INT(media_at, 800);
	say_media(2, 118, 50); /* 118.75 ms */
	CHECK_INT(media_at, 950);
	say_media(2, 118, 50); /* a duplicate */
	CHECK_INT(media_bytes, 300);
	say_media(5, 200, 50); /* two chunks are missing: the timestamp says where we are */
	CHECK_INT(media_at, 1600);
	say("{\"event\":\"media\",\"streamSid\":\"MZ1\",\"media\":{\"payload\":\"gICA\"}}");
	CHECK_INT(media_at, 1750); /* no numbers at all */
	say("{\"event\":\"media\",\"streamSid\":\"MZ1\",\"media\":{\"track\":\"outbound\",\"payload\":\"gICA\"}}");
	CHECK_INT(media_at, 1750);
	media_stream_stats(stream, &stats);
	CHECK_INT(stats.gaps, 2);
	CHECK_INT(stats.duplicates, 1);
}

static void send_frame(void)
{
	uint8_t frame[G711_FRAME_BYTES];

	memset(frame, 0xFF, sizeof(frame));
	media_stream_send(stream, frame, now);
	now += 20 * MS;
}

static void test_queue_is_bounded(void)
{
	struct media_stream_stats stats;
	char text[MEDIA_BUILD_BYTES];
	int frames = 0;

	begin();
	for (int i = 0; i < 500; i++)
		send_frame();
	while (media_stream_next(stream, text))
		frames += strstr(text, "\"media\"") != NULL;
	CHECK_INT(frames, STREAM_QUEUE_FRAMES);
	media_stream_stats(stream, &stats);
	CHECK_INT(stats.frames_sent, frames);
	CHECK_INT(stats.frames_dropped, 500 - frames);
	setup();
	send_frame(); /* nothing goes out before start */
	CHECK(!media_stream_pending(stream));
}

/* One mark a second; a far end that holds more than 200 ms for 2 s is cleared, and old echoes of
 * marks from before mean nothing. */
static void test_probe(void)
{
	char text[MEDIA_BUILD_BYTES], echo[128], name[32];
	struct media_stream_stats stats;
	struct {
		char name[32];
		int64_t due_ns;
	} mark[64];
	int marks = 0, echoed = 0, clears = 0;

	begin();
	for (int i = 0; i < 50 * 20; i++) {
		/* what is queued there grows from 40 to 400 ms in the middle */
		int64_t queue_ns = i < 50 * 5 ? 40 * MS : 400 * MS;

		say_media(i + 1, i * 20, 1);
		send_frame();
		while (media_stream_next(stream, text)) {
			const char *at = strstr(text, "\"name\":\"");

			clears += strstr(text, "\"clear\"") != NULL;
			if (!at || marks == 64)
				continue;
			sscanf(at, "\"name\":\"%31[^\"]", name);
			strcpy(mark[marks].name, name);
			mark[marks++].due_ns = now + queue_ns;
		}
		while (echoed < marks && mark[echoed].due_ns <= now) {
			snprintf(echo, sizeof(echo),
				 "{\"event\":\"mark\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"%s\"}}",
				 mark[echoed++].name);
			say(echo);
		}
		if (i == 50 * 5 - 1) {
			CHECK_INT(marks, 5); /* one a second */
			media_stream_stats(stream, &stats);
			CHECK(stats.queue_ns < 20 * MS);
			CHECK(media_stream_trim_ppm(stream) == 0);
		}
		if (i == 50 * 7)
			CHECK(media_stream_trim_ppm(stream) > 0);
	}
	CHECK(clears >= 1 && clears <= 5);
	CHECK_INT(marks, 20);
}

/* The far end stands still for 6 s while the socket takes everything: what is sent meanwhile stays
 * below what it would have to clear, and one clear follows. */
static void test_stall(void)
{
	char text[MEDIA_BUILD_BYTES], echo[128];
	int frames = 0, clears = 0, first = 0, next = 0;
	bool still;

	begin();
	for (int i = 0; i < 50 * 20; i++) {
		still = i >= 50 * 5 && i < 50 * 11;
		say_media(i + 1, i * 20, 1);
		send_frame();
		while (media_stream_next(stream, text)) {
			const char *at = strstr(text, "\"name\":\"p");

			clears += strstr(text, "\"clear\"") != NULL;
			frames += still && strstr(text, "\"media\"");
			if (at)
				next = atoi(at + 9) + 1;
		}
		for (; !still && first < next; first++) {
			snprintf(echo, sizeof(echo),
				 "{\"event\":\"mark\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"p%d\"}}",
				 first);
			say(echo);
		}
	}
	CHECK(frames <= 50 * 2 + 5);
	CHECK_INT(clears, 1);
}

/* A peer without marks is sent to all the same, and one that loses one is given another chance. */
static void test_lost_marks(void)
{
	char text[MEDIA_BUILD_BYTES];
	int frames = 0;

	begin();
	for (int i = 0; i < 50 * 20; i++) {
		say_media(i + 1, i * 20, 1);
		send_frame();
		while (media_stream_next(stream, text))
			frames += strstr(text, "\"media\"") != NULL;
		if (i == 50 * 2)
			say("{\"event\":\"mark\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"p1\"}}");
		if (i == 50 * 2)
			CHECK_INT(frames, i + 1);
	}
	CHECK(frames >= 50 * 8);
}

static void test_pace(void)
{
	struct pace pace;
	struct pace_plan plan;
	int64_t t = 0, out = 0;

	/* steady capture, in steps of 20 ms as a sound card may have them: untouched */
	pace_start(&pace, t);
	for (int i = 1; i <= 1000; i++) {
		t += 5 * MS;
		plan = pace_run(&pace, i % 4 ? 0 : 4 * 240, false, t);
		CHECK(plan.silence == 0 && plan.skip == 0);
	}
	/* it stops for 100 ms and then gives all of it: nothing may come to more than real time */
	pace_start(&pace, t);
	for (int i = 1; i <= 100; i++) {
		unsigned got = i < 40 ? 240 : i < 60 ? 0 : i == 60 ? PACE_CATCH_UP : 240;

		t += 5 * MS;
		plan = pace_run(&pace, got, false, t);
		out += plan.silence + got - plan.skip;
		CHECK(out <= i * 240 + PACE_AHEAD && out >= i * 240 - PACE_PATIENCE - 240);
	}

	/* a device that is away: silence at the pace of real time */
	pace_start(&pace, t);
	out = 0;
	for (int i = 0; i < 1000; i++) {
		t += 5 * MS;
		plan = pace_run(&pace, 0, true, t);
		out += plan.silence;
		CHECK(out <= (i + 1) * 240 && out >= (i + 1) * 240 - 2);
	}
	/* a capture with a clock of its own, 200 ppm fast, for an hour */
	pace_start(&pace, t);
	for (int i = 0; i < 720000; i++) {
		t += 5 * MS;
		plan = pace_run(&pace, i % 20 ? 240 : 241, false, t);
		CHECK(plan.silence == 0 && plan.skip == 0);
	}
	/* a standstill is made up for by two frames at most */
	t += SECOND;
	plan = pace_run(&pace, 0, true, t);
	CHECK(plan.silence <= PACE_CATCH_UP);
}

/* A capture, our ticks and callers who came at different times, in frames at 48 kHz. */
struct pacing {
	struct pace pace;
	int64_t t_ns, stands_ns; /* how long the capture stood still so far */
	int64_t read, out, silence, skipped;
	int64_t worst_ns; /* a frame was complete and not sent */
};

static void pacing_tick(struct pacing *p, int64_t t_ns, bool stands)
{
	static const int64_t phase[] = {0, 300, 310, 720};
	int64_t least = 960, made, before;
	unsigned got = 0;

	if (stands)
		p->stands_ns += t_ns - p->t_ns;
	p->t_ns = t_ns;
	int64_t waits = (t_ns - p->stands_ns) * 48 / 1000000 - p->read;

	for (size_t i = 0; i < 4; i++) {
		int64_t needs = 960 - (p->out + phase[i]) % 960;

		least = needs < least ? needs : least;
	}
	before = p->out;
	if (pace_reads(&p->pace, (size_t)waits, (size_t)least, t_ns))
		got = (unsigned)waits;
	else if (waits >= least) /* a caller's frame is complete and stays here */
		p->worst_ns = INT64_MAX;
	struct pace_plan plan = pace_run(&p->pace, got, false, t_ns);

	p->read += got;
	p->silence += plan.silence;
	p->skipped += plan.skip;
	made = plan.silence + got - plan.skip;
	p->out += made;
	if (p->out - before > 0 || waits == 0)
		return;
	/* what stays is less than a frame of anybody */
	CHECK(waits < least);
}

static void test_pace_reads_when_a_frame_completes(void)
{
	struct pacing p = {0};
	int reads = 0;

	/* steady, our wake-ups up to 4 ms late */
	pace_start(&p.pace, 0);
	for (int64_t i = 1; i <= 20000; i++) {
		int64_t before = p.read;

		pacing_tick(&p, i * 5 * MS + (i * 7919 % 13) * 4 * MS / 13, false);
		reads += p.read > before;
	}
	CHECK_INT(p.silence, 0);
	CHECK_INT(p.skipped, 0);
	CHECK_INT(p.worst_ns, 0);
	CHECK(reads < 20000);

	/* we stand still for 40 ms, at any place within a frame: nothing is lost */
	for (int64_t k = 0; k < 40; k++) {
		int64_t t = p.t_ns;

		for (int64_t i = 1; i <= 40 + k % 5; i++)
			pacing_tick(&p, t + i * 5 * MS, false);
		pacing_tick(&p, p.t_ns + 40 * MS, false);
	}
	CHECK_INT(p.silence, 0);
	CHECK_INT(p.skipped, 0);

	/* the capture stands still, at any place: silence in its stead within 40 ms, at the pace of
	 * real time, and not more than that when it goes on */
	for (int64_t k = 0; k < 40; k++) {
		int64_t t = p.t_ns, out = p.out;

		for (int64_t i = 1; i <= 80 + k % 7; i++) {
			pacing_tick(&p, t + i * 5 * MS, i > 20 + k % 5 && i <= 60);
			/* what was owed before is made up for as well */
			CHECK(p.out - out <= i * 240 + PACE_PATIENCE + 240);
			CHECK(p.out - out >= i * 240 - 960 - PACE_PATIENCE - 240);
		}
	}
	CHECK(p.silence > 40 * 150 * 48);
}

static void test_rate_limit(void)
{
	struct rate_limit *limit;
	struct sockaddr_in a = {.sin_family = AF_INET}, b = a;
	int allowed = 0;
	char text[ADDRESS_TEXT_BYTES];

	inet_pton(AF_INET, "203.0.113.5", &a.sin_addr);
	inet_pton(AF_INET, "203.0.113.6", &b.sin_addr);
	a.sin_port = htons(4711);
	address_text((struct sockaddr *)&a, text);
	CHECK_STR(text, "203.0.113.5:4711");
	CHECK(!address_is_local((struct sockaddr *)&a));
	CHECK_INT(rate_limit_create(&limit, 10, 2), 0);
	for (int i = 0; i < 100; i++)
		allowed += rate_limit_allow(limit, (struct sockaddr *)&a, 0);
	CHECK_INT(allowed, 10);
	CHECK(rate_limit_allow(limit, (struct sockaddr *)&b, 0)); /* another is not concerned */
	for (int i = 0; i < 100; i++)
		allowed += rate_limit_allow(limit, (struct sockaddr *)&a, 5 * SECOND + i);
	CHECK_INT(allowed, 20);
	/* a million addresses change nothing but who is remembered */
	for (uint32_t i = 0; i < 100000; i++) {
		b.sin_addr.s_addr = i * 2654435761u;
		rate_limit_allow(limit, (struct sockaddr *)&b, 6 * SECOND);
	}
	rate_limit_destroy(limit);

	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
	CHECK(address_is_local((struct sockaddr *)&six));
	inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
	CHECK(!address_is_local((struct sockaddr *)&six));
}

int main(void)
{
	UNIT(test_normal_course);
	UNIT(test_socket_breaks);
	UNIT(test_refused_start);
	UNIT(test_start_without_connected);
	UNIT(test_put_off_start);
	UNIT(test_time_limits);
	UNIT(test_bad_messages);
	UNIT(test_media_time);
	UNIT(test_queue_is_bounded);
	UNIT(test_probe);
	UNIT(test_stall);
	UNIT(test_lost_marks);
	UNIT(test_pace);
	UNIT(test_pace_reads_when_a_frame_completes);
	UNIT(test_rate_limit);
	media_stream_destroy(stream);
	return unit_done();
}
