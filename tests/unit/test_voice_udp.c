/* SPDX-License-Identifier: MIT
 *
 * test_voice_udp - when is a media path dead? Real sockets, time by hand. What counts is from
 * discord-voice's list of what broke others: silence alone never, refused ports, keepalives that
 * had been answered, packets of which none decrypts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "discord/voice_udp.h"
#include "tests/unit/unit.h"

#define SSRC 4242

static struct {
	int fd; /* the voice server */
	struct voice_udp *u;
	struct sockaddr_in client;
	bool answers;
	int keepalives, discovered, failed, dead, packets;
	enum voice_dead why;
	int64_t now_ns;
	int64_t arrival_ns[16]; /* of the first packets */
	unsigned work_us;       /* that each packet takes */
	uint32_t keepalive_seq; /* of the last that came */
} T;

static void on_packet(void *ctx, const struct rtp_header *header, const uint8_t *payload,
		      size_t bytes, int64_t arrival_ns)
{
	if (T.packets < 16)
		T.arrival_ns[T.packets] = arrival_ns;
	T.packets++;
	if (T.work_us)
		usleep(T.work_us);
}

static void on_discovered(void *ctx, unsigned generation, const char *address, uint16_t port)
{
	CHECK_STR(address, "192.0.2.7");
	CHECK_INT(port, 4567);
	T.discovered++;
}

static void on_failed(void *ctx, unsigned generation)
{
	T.failed++;
}

static void on_dead(void *ctx, unsigned generation, enum voice_dead why)
{
	T.dead++;
	T.why = why;
}

/* The server answers what has come. */
static void serve(void)
{
	uint8_t buf[2048];
	socklen_t len = sizeof(T.client);
	ssize_t n;

	while ((n = recvfrom(T.fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&T.client,
			     &len)) >= 0) {
		if (n == 74 && get_be16(buf) == 1) {
			put_be16(buf, 2);
			strcpy((char *)buf + 8, "192.0.2.7");
			put_be16(buf + 72, 4567);
		} else if (n == 8 && get_be32(buf) == 0x1337CAFE) {
			T.keepalives++;
			T.keepalive_seq = get_be32(buf + 4);
			if (!T.answers)
				continue;
			put_be32(buf, 0x1337F00D);
		} else {
			continue;
		}
		CHECK(sendto(T.fd, buf, (size_t)n, 0, (struct sockaddr *)&T.client, len) == n);
	}
}

/* Loopback delivers at once, an ICMP error too. */
static void run(int64_t seconds)
{
	for (int64_t end = T.now_ns + seconds * NS_PER_SEC; T.now_ns < end; T.now_ns += NS_PER_SEC) {
		voice_udp_tick(T.u, T.now_ns);
		if (T.fd >= 0)
			serve();
		voice_udp_receive(T.u, T.now_ns, 0);
	}
}

static void begin(bool answers)
{
	static const struct voice_udp_ops ops = {on_packet, on_discovered, on_failed, on_dead};
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	memset(&T, 0, sizeof(T));
	T.now_ns = 1000 * NS_PER_SEC;
	T.answers = answers;
	T.fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(T.fd >= 0);
	CHECK_INT(bind(T.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(getsockname(T.fd, (struct sockaddr *)&sa, &len), 0);
	CHECK_INT(voice_udp_create(&T.u, "127.0.0.1", ntohs(sa.sin_port), SSRC, 1), 0);
	voice_udp_ops_set(T.u, &ops, NULL);
}

static void finish(void)
{
	struct transport_cipher *old = voice_udp_key(T.u, NULL);

	transport_cipher_destroy(old);
	voice_udp_destroy(T.u);
	if (T.fd >= 0)
		close(T.fd);
}

static void give_key(uint8_t first)
{
	uint8_t key[TRANSPORT_KEY_BYTES] = {first};
	struct transport_cipher *cipher;

	CHECK_INT(transport_cipher_create(&cipher, TRANSPORT_AES256_GCM, key), 0);
	transport_cipher_destroy(voice_udp_key(T.u, cipher));
}

static void say(void)
{
	static uint32_t timestamp;

	voice_udp_send(T.u, timestamp += 960, (const uint8_t *)"\xf8\xff\xfe", 3, T.now_ns);
}

/* The server sends an RTP packet sealed with that key. */
static void server_says(uint8_t first, int count)
{
	uint8_t key[TRANSPORT_KEY_BYTES] = {first}, packet[64];
	struct transport_cipher *cipher;

	CHECK_INT(transport_cipher_create(&cipher, TRANSPORT_AES256_GCM, key), 0);
	for (int i = 0; i < count; i++) {
		int n;

		rtp_header_write(packet, (uint16_t)i, (uint32_t)i * 960, 7);
		memcpy(packet + RTP_HEADER_BYTES, "\xf8\xff\xfe", 3);
		n = transport_seal(cipher, packet, RTP_HEADER_BYTES, 3, sizeof(packet));
		CHECK(n > 0);
		CHECK(sendto(T.fd, packet, (size_t)n, 0, (struct sockaddr *)&T.client,
			     sizeof(T.client)) == n);
	}
	transport_cipher_destroy(cipher);
}

static void test_discovery_is_tried_five_times(void)
{
	begin(true);
	run(2);
	CHECK_INT(T.discovered, 1);
	finish();
	begin(true);
	close(T.fd);
	T.fd = -1;
	run(10);
	CHECK_INT(T.discovered, 0);
	CHECK_INT(T.failed, 1);
	CHECK_INT(T.dead, 0); /* there is nothing that could have died yet */
	finish();
}

/* Some servers never answer keepalives: calls must not end after a minute for it. */
static void test_silence_alone_means_nothing(void)
{
	begin(false);
	run(600);
	CHECK_INT(T.discovered, 1);
	CHECK(T.keepalives >= 119);
	CHECK_INT(T.dead, 0);
	finish();
}

static void test_answers_that_stop(void)
{
	begin(true);
	run(31);
	CHECK_INT(T.dead, 0);
	T.answers = false; /* the last answer is three seconds old */
	run(12);
	CHECK_INT(T.dead, 0);
	run(2);
	CHECK_INT(T.dead, 1);
	CHECK_INT(T.why, VOICE_DEAD_KEEPALIVE);
	/* said again, when the repair that it asked for has had its time */
	run(3);
	CHECK_INT(T.dead, 1);
	run(2);
	CHECK_INT(T.dead, 2);
	run(8);
	CHECK_INT(T.dead, 4);
	/* and no more once the path lives: keepalives are then as far apart as before */
	T.answers = true;
	run(10);
	T.keepalives = 0;
	run(50);
	CHECK_INT(T.dead, 4);
	CHECK_INT(T.keepalives, 10);
	finish();
}

/* Two keepalives that get lost are no more than that. */
static void test_a_few_lost_answers_mean_nothing(void)
{
	begin(true);
	run(31);
	for (int i = 0; i < 10; i++) {
		T.answers = false;
		run(9);
		T.answers = true;
		run(6);
	}
	CHECK_INT(T.dead, 0);
	finish();
}

/* An answer that comes after the next keepalive was sent is a sign of life all the same. */
static void test_late_answers(void)
{
	uint8_t answer[8];

	begin(true);
	run(31);
	T.answers = false;
	for (uint32_t s = 0; s < 60; s++) {
		run(1);
		put_be32(answer, 0x1337F00D);
		put_be32(answer + 4, T.keepalive_seq - 1);
		CHECK(sendto(T.fd, answer, 8, 0, (struct sockaddr *)&T.client, sizeof(T.client)) == 8);
	}
	CHECK_INT(T.dead, 0);
	finish();
}

/* A path that dies a few seconds after the call began is noticed as well: whether the server answers
 * is asked at once. */
static void test_path_that_dies_early(void)
{
	begin(true);
	run(6);
	T.answers = false;
	run(15);
	CHECK_INT(T.dead, 1);
	CHECK_INT(T.why, VOICE_DEAD_KEEPALIVE);
	finish();
}

/* A port that refuses is dead after a few packets, and is said to be again while it stays so: the
 * first repair may have changed nothing. */
static void test_refused_port(void)
{
	begin(true);
	run(2);
	give_key(1);
	close(T.fd);
	T.fd = -1;
	for (int i = 0; i < 10; i++)
		say();
	CHECK_INT(T.dead, 1);
	CHECK_INT(T.why, VOICE_DEAD_REFUSED);
	T.now_ns += NS_PER_SEC; /* a resume has its time */
	for (int i = 0; i < 10; i++)
		say();
	CHECK_INT(T.dead, 1);
	T.now_ns += NS_PER_SEC; /* and did not help */
	for (int i = 0; i < 10; i++)
		say();
	CHECK_INT(T.dead, 2);
	finish();
}

/* One that only listens finds it out as well, by its keepalives. */
static void test_refused_port_of_a_listener(void)
{
	begin(true);
	run(2);
	give_key(1);
	close(T.fd);
	T.fd = -1;
	run(30);
	CHECK(T.dead >= 1);
	CHECK_INT(T.why, VOICE_DEAD_REFUSED);
	finish();
}

static void test_nothing_decrypts(void)
{
	begin(true);
	run(2);
	give_key(1);
	server_says(1, 20);
	run(2);
	CHECK_INT(T.packets, 20);
	/* a few that do not open prove nothing */
	server_says(2, 10);
	run(30);
	CHECK_INT(T.dead, 0);
	server_says(1, 1);
	run(1);
	for (int i = 0; i < 12; i++) {
		server_says(2, 10);
		run(1);
	}
	CHECK(T.dead >= 1);
	CHECK_INT(T.why, VOICE_DEAD_CRYPT);
	finish();
}

/* What lies in the socket. sendto() may return before the packet is there, on a busy machine. */
static uint32_t lying_in_socket(void)
{
	uint32_t mem[9] = {0};
	socklen_t len = sizeof(mem);

	CHECK_INT(getsockopt(voice_udp_fd(T.u), SOL_SOCKET, SO_MEMINFO, mem, &len), 0);
	return mem[SK_MEMINFO_RMEM_ALLOC];
}

/* Packets that lay in the socket for a while came when they came, not when they were read, however long
 * the reading of those before them takes. */
static void test_arrival_is_when_it_came(void)
{
	enum { PACKETS = 9 };
	int64_t before_ns[PACKETS], after_ns[PACKETS], begin_ns, read_ns, wall_ns;

	begin(true);
	run(2);
	give_key(1);
	T.work_us = 2000;
	for (int i = 0; i < PACKETS; i++) {
		if (i == 2 || i == 6)
			usleep(30000);
		uint32_t lying = lying_in_socket();

		before_ns[i] = clock_mono_ns();
		server_says(1, 1);
		while (lying_in_socket() == lying)
			CHECK(clock_mono_ns() - before_ns[i] < NS_PER_SEC);
		after_ns[i] = clock_mono_ns();
	}
	usleep(1000);
	do { /* both clocks at the same moment */
		begin_ns = clock_mono_ns();
		wall_ns = clock_wall_ns();
		read_ns = clock_mono_ns();
	} while (read_ns - begin_ns > NS_PER_MS / 20);
	voice_udp_receive(T.u, T.now_ns, wall_ns);
	CHECK_INT(T.packets, PACKETS);
	for (int i = 0; i < PACKETS; i++) {
		int64_t came_ns = T.arrival_ns[i] - T.now_ns + read_ns;

		CHECK(came_ns > before_ns[i] - NS_PER_MS / 10);
		CHECK(came_ns < after_ns[i] + NS_PER_MS / 10);
	}
	/* a clock that was set, or may have been: just now */
	server_says(1, 2);
	voice_udp_receive(T.u, T.now_ns, 0);
	CHECK(T.arrival_ns[PACKETS] == T.now_ns && T.arrival_ns[PACKETS + 1] == T.now_ns);
	server_says(1, 1);
	voice_udp_receive(T.u, T.now_ns, clock_wall_ns() + 3600 * NS_PER_SEC);
	CHECK(T.arrival_ns[PACKETS + 2] == T.now_ns);
	finish();
}

static void test_no_key_no_packet(void)
{
	begin(true);
	run(2);
	CHECK_INT(voice_udp_send(T.u, 0, (const uint8_t *)"\xf8\xff\xfe", 3, T.now_ns), -ENOKEY);
	run(60);
	CHECK_INT(T.dead, 0);
	finish();
}

int main(void)
{
	UNIT(test_discovery_is_tried_five_times);
	UNIT(test_silence_alone_means_nothing);
	UNIT(test_answers_that_stop);
	UNIT(test_a_few_lost_answers_mean_nothing);
	UNIT(test_late_answers);
	UNIT(test_path_that_dies_early);
	UNIT(test_refused_port);
	UNIT(test_refused_port_of_a_listener);
	UNIT(test_nothing_decrypts);
	UNIT(test_arrival_is_when_it_came);
	UNIT(test_no_key_no_packet);
	return unit_done();
}
