/* SPDX-License-Identifier: MIT
 *
 * e2e_flood - ten thousand strangers of each kind knock while a call is up: does the call hear
 * them? They come from this machine, as they would behind a proxy, so that no limit by address
 * helps; what bounds their cost is the door itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/heal.h"

#define CALLER  1013
#define MEMBER  617
#define STRANGERS 10000
#define AT_ONCE 64
#define BEFORE_S 6.0

static const struct world_options options = {.settings = "CONNECT=call\nWAITING=silence\n"};
static const struct heal pair = {&W, "f", "ann", CALLER, MEMBER};

/* ---- strangers, in a process of their own ---------------------------------------------------- */

struct kind {
	const char *name;
	int count;
	size_t (*write)(char *out, size_t room, int n); /* what is said at once */
	int drip_ms;                                    /* 0, or: a byte each so often */
	bool silent;                                    /* says nothing and stays */
};

struct tally {
	int connected, refused, closed, status[6]; /* status: hundreds, [0] none */
	double seconds;
};

static size_t say_upgrade(char *out, size_t room, int n)
{
	return (size_t)snprintf(out, room,
				"GET /phone/%032x HTTP/1.1\r\nHost: loopline.test\r\nUpgrade: websocket\r\n"
				"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
				"X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
				n);
}

static size_t say_webhook(char *out, size_t room, int n)
{
	char body[128];
	int len = snprintf(body, sizeof(body),
			   "CallSid=CA%032x&AccountSid=AC0&From=%%2B1&To=%%2B2&CallStatus=ringing", n);

	return (size_t)snprintf(out, room,
				"POST /voice HTTP/1.1\r\nHost: loopline.test\r\nConnection: close\r\n"
				"Content-Type: application/x-www-form-urlencoded\r\n"
				"X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
				"Content-Length: %d\r\n\r\n%s",
				len, body);
}

static size_t say_huge(char *out, size_t room, int n)
{
	size_t len = (size_t)snprintf(out, room, "GET / HTTP/1.1\r\nX-Huge-%d: ", n);

	memset(out + len, 'a' + n % 26, room - len);
	return room;
}

static size_t say_noise(char *out, size_t room, int n)
{
	uint64_t s = (uint64_t)n * 0x9e3779b97f4a7c15 + 1;
	size_t len = 1 + (size_t)n % 600;

	for (size_t i = 0; i < len && i < room; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		out[i] = (char)(s >> 56);
	}
	return len;
}

static const struct kind kinds[] = {
	{"handshakes without a token", STRANGERS, say_upgrade, 0, false},
	{"webhooks with a wrong signature", STRANGERS, say_webhook, 0, false},
	{"headers without end", 2000, say_huge, 0, false},
	{"noise", STRANGERS, say_noise, 0, false},
	{"slow handshakes", 200, say_upgrade, 100, false},
	{"half-open sockets", 450, NULL, 0, true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int dial(int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Many at once: each batch is dialled, then spoken, then heard. */
static void knock(const struct kind *k, int port, struct tally *t)
{
	static char text[65536];
	int at_once = k->silent || k->drip_ms ? k->count : AT_ONCE, fds[512];
	int64_t begin = harness_now_ns();

	memset(t, 0, sizeof(*t));
	for (int n = 0; n < k->count; n += at_once) {
		int count = 0;

		for (int i = 0; i < at_once && n + i < k->count; i++) {
			int fd = dial(port);

			if (fd < 0)
				t->refused++;
			else
				fds[count++] = fd;
		}
		t->connected += count;
		for (size_t at = 0; k->drip_ms && at < 60; at++) { /* never to the end */
			say_upgrade(text, sizeof(text), n);
			for (int i = 0; i < count; i++)
				(void)!send(fds[i], text + at, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
			harness_sleep_ms(k->drip_ms);
		}
		if (k->silent)
			harness_sleep_ms(5000);
		for (int i = 0; i < count; i++) {
			if (k->write && !k->drip_ms) {
				size_t len = k->write(text, sizeof(text), n + i);

				(void)!send(fds[i], text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
			}
		}
		for (int i = 0; i < count; i++) {
			char answer[64] = "";
			int status = 0;

			if (!k->silent && !k->drip_ms) {
				if (k->write != say_noise &&
				    recv(fds[i], answer, sizeof(answer) - 1, 0) > 0)
					sscanf(answer, "HTTP/1.1 %d", &status);
			} else if (recv(fds[i], answer, 1, MSG_DONTWAIT) == 0) {
				t->closed++;
			}
			t->status[status >= 100 && status < 600 ? status / 100 : 0]++;
			close(fds[i]);
		}
	}
	t->seconds = (double)(harness_now_ns() - begin) / 1e9;
}

/* All kinds, one after the other; returns the pid. The tallies come through the pipe. */
static pid_t flood_begin(int fd)
{
	int port = W.listen_port;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct sched_param ordinary = {0};

		sched_setscheduler(0, SCHED_OTHER, &ordinary);
		setpriority(PRIO_PROCESS, 0, 10);
		for (size_t i = 0; i < KINDS; i++) {
			struct tally t;

			knock(&kinds[i], port, &t);
			if (write(fd, &t, sizeof(t)) != sizeof(t))
				break;
		}
		_exit(0);
	}
	return pid;
}

static void flood_end(pid_t pid, int fd)
{
	int status;

	for (size_t i = 0; i < KINDS; i++) {
		struct tally t;

		if (read(fd, &t, sizeof(t)) != sizeof(t))
			UNIT_FAIL("the strangers are gone");
		printf("# %d %s: %d connected, %d refused, %d closed early; answers 2xx %d, 4xx %d, "
		       "5xx %d; %.1f s\n",
		       kinds[i].count, kinds[i].name, t.connected, t.refused, t.closed, t.status[2],
		       t.status[4], t.status[5], t.seconds);
		CHECK(t.connected > kinds[i].count * 9 / 10);
		CHECK_INT(t.status[1] + t.status[2], 0); /* nobody is let in */
	}
	waitpid(pid, &status, 0);
	close(fd);
}

/* Some seconds of peace, then the flood until its end. */
struct phases {
	int64_t begin, flood, end;
};

static struct phases flood_run(void)
{
	struct phases p;
	int fd[2];
	pid_t pid;

	CHECK(pipe2(fd, O_CLOEXEC) == 0);
	p.begin = harness_now_ns();
	harness_sleep_ms((int)(BEFORE_S * 1000));
	p.flood = harness_now_ns();
	pid = flood_begin(fd[1]);
	close(fd[1]);
	flood_end(pid, fd[0]);
	p.end = harness_now_ns();
	return p;
}

/* ---- the call ------------------------------------------------------------------------------- */

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	call_up(&W, 0, "f", "null", true, "");
	call_settle(&W, "f", "{\"chirp\":{\"every_ms\":500}}", "ann", "{\"chirp\":{\"every_ms\":500}}",
		    "");
}

struct figures {
	double p50, p99, max;
	int found;
};

static struct figures part(const struct delays *d, int64_t from_ns, int64_t to_ns)
{
	struct figures f = {0};
	double ms[1024];
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++)
		if (d->at_s[i] * 1e9 >= (double)from_ns && d->at_s[i] * 1e9 < (double)to_ns)
			ms[n++] = d->ms[i];
	f.found = (int)n;
	f.p50 = n ? signal_percentile(ms, n, 50) : -1;
	f.p99 = n ? signal_percentile(ms, n, 99) : -1;
	f.max = n ? signal_percentile(ms, n, 100) : -1;
	return f;
}

static void compare(const char *way, const struct delays *d, int64_t begin, int64_t flood,
		    int64_t end)
{
	struct figures a = part(d, begin, flood), b = part(d, flood, end);

	printf("# %s: delay p50/p99/max before %.1f/%.1f/%.1f ms (%d chirps), during %.1f/%.1f/%.1f ms "
	       "(%d of %d)\n",
	       way, a.p50, a.p99, a.max, a.found, b.p50, b.p99, b.max, b.found,
	       (int)((double)(end - flood) / 5e8));
	CHECK(a.found > (int)(2 * BEFORE_S) - 3);
	CHECK(b.found > (int)((double)(end - flood) / 5e8) - 4);
	/* the delay wanders by some milliseconds by itself, as the buffers find their size */
	CHECK(b.p50 < a.max + 5);
	CHECK(b.p99 < a.max + 20);
}

static void test_delay_during_a_flood(void)
{
	struct phases p;
	struct track said, heard;
	struct delays d;

	E2E_NEEDS_WORLD();
	simulator_ask(W.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"chirp\":{\"every_ms\":500}},\"reference\":"
		      "\"%s/rec/said\"",
		      W.dir);
	member_record(&W, "ann", "flood");
	harness_sleep_ms(4000);
	p = flood_run();
	harness_sleep_ms(1000);
	member_recorded(&W, "ann", "flood", &heard);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	simulator_ask(W.phone, "flush", "\"call\":\"f\"");
	track_load(&said, world_file(&W, "rec/f.0"), "said");
	measure_delays(&d, &said, &heard, 500);
	compare("phone to Discord", &d, p.begin, p.flood, p.end - 1000000000);
	track_free(&said);
	track_free(&heard);
	track_load(&said, world_file(&W, "rec/said"), "packets");
	track_load(&heard, world_file(&W, "rec/f.0"), "heard");
	measure_delays(&d, &said, &heard, 500);
	compare("Discord to phone", &d, p.begin, p.flood, p.end - 1000000000);
	track_free(&said);
	track_free(&heard);
	world_check(&W, NULL);
}

static double gaps(const struct track *t, int64_t from, int64_t to, double hz)
{
	struct signal_gaps g;
	size_t at = (size_t)track_sample(t, (double)from);
	size_t n = (size_t)((double)(to - from) / 1e9 * t->wav.rate);

	if (at + n > t->wav.frames)
		n = t->wav.frames - at;
	signal_find_gaps(&g, t->wav.samples + at, n, t->wav.rate, hz);
	printf("#   %zu gaps, %.1f ms in %.1f s\n", g.count, g.total_s * 1000, (double)n / t->wav.rate);
	return g.share;
}

static void test_gaps_during_a_flood(void)
{
	struct phases p;
	struct track t;
	double before, during;

	E2E_NEEDS_WORLD();
	simulator_ask(W.phone, "voice", "\"call\":\"f\",\"voice\":{\"tone\":1013}");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	harness_sleep_ms(2000);
	member_record(&W, "ann", "gaps");
	harness_sleep_ms(300);
	p = flood_run();
	harness_sleep_ms(500);
	member_recorded(&W, "ann", "gaps", &t);
	printf("# phone to Discord, before and during:\n");
	before = gaps(&t, p.begin, p.flood, CALLER);
	during = gaps(&t, p.flood, p.end, CALLER);
	CHECK(during < before + 0.005);
	track_free(&t);
	simulator_ask(W.phone, "flush", "\"call\":\"f\"");
	track_load(&t, world_file(&W, "rec/f.0"), "heard");
	printf("# Discord to phone, before and during:\n");
	before = gaps(&t, p.begin, p.flood, MEMBER);
	during = gaps(&t, p.flood, p.end, MEMBER);
	CHECK(during < before + 0.005);
	track_free(&t);
	world_check(&W, NULL);
}

/* And the door is as open as before for those who may come in. */
static void test_next_call(void)
{
	int64_t begin;

	E2E_NEEDS_WORLD();
	heal_wait(&pair, harness_now_ns(), 5000);
	begin = harness_now_ns();
	simulator_ask(W.phone, "call", "\"call\":\"g\",\"voice\":null");
	simulator_wait(W.phone, 15000, "stream.open", "call", "g", NULL);
	printf("# the next call's stream is open after %.0f ms\n",
	       (double)(harness_now_ns() - begin) / 1e6);
	call_down(&W, "g");
	world_check(&W, NULL);
}

int main(void)
{
	e2e_begin();
	UNIT(test_start);
	UNIT(test_delay_during_a_flood);
	UNIT(test_gaps_during_a_flood);
	UNIT(test_next_call);
	return e2e_done();
}
