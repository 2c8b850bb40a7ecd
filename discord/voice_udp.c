/* SPDX-License-Identifier: MIT
 *
 * voice_udp.c - see voice_udp.h.
 */
#include "discord/voice_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arrival.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/random.h"

#define NEVER               INT64_MAX
#define DISCOVERY_TRIES     5
#define DISCOVERY_EVERY_NS  NS_PER_SEC
#define KEEPALIVE_EVERY_NS  (5 * NS_PER_SEC)
#define KEEPALIVE_SOON_NS   NS_PER_SEC /* between the first ones, and when answers stay away: what they
					* tell is known sooner */
#define KEEPALIVE_MAGIC     0x1337CAFEu
#define KEEPALIVE_TRUSTED   3 /* answers after which silence means something */
#define KEEPALIVE_DOUBT_NS  (10 * NS_PER_SEC)
#define KEEPALIVE_LOST_NS   (15 * NS_PER_SEC)
#define KEEPALIVE_AGAIN_NS  (4 * NS_PER_SEC) /* a repair, and then some keepalives to prove it */
#define STUCK_NS            (5 * NS_PER_SEC)
#define DEAD_EVERY_NS       (8 * NS_PER_SEC) /* a repair, and packets to prove it */
#define REFUSED_EVERY_NS    (2 * NS_PER_SEC) /* a repair; the next packets prove it */
#define STUCK_PACKETS       50 /* fewer undecipherable packets prove nothing */
#define RECEIVE_BUFFER      (512 * 1024)
#define RECEIVE_BURST       256 /* packets a call, so that a flood cannot hold the thread */
#define RECEIVE_BATCH       4   /* of them by one system call */
#define REFUSED_MAX         3   /* ICMP errors in a row before the path is called dead */

struct voice_udp {
	const struct voice_udp_ops *ops;
	void *ctx;
	int fd;
	unsigned generation;
	uint32_t ssrc;
	uint16_t seq;
	struct transport_cipher *cipher;

	bool discovered;
	unsigned discovery_tries;
	int64_t discovery_at_ns;

	uint32_t keepalive_seq;
	int64_t keepalive_at_ns, keepalive_sent_ns, answered_ns;
	int64_t first_bad_ns;
	unsigned bad_in_row;
	int64_t unsent_since_ns; /* first frame that could not be sent; 0 = all is well */
	unsigned refused_in_row;
	int64_t dead_said_ns; /* 0: not said */

	struct voice_udp_stats stats;
	struct mmsghdr messages[RECEIVE_BATCH];
	struct iovec spans[RECEIVE_BATCH];
	union {
		char bytes[ARRIVAL_CONTROL_BYTES];
		struct cmsghdr align;
	} stamps[RECEIVE_BATCH];
	uint8_t datagrams[RECEIVE_BATCH][RTP_DATAGRAM_BYTES];
	uint8_t plain[RTP_DATAGRAM_BYTES];
};

const char *voice_dead_text(enum voice_dead why)
{
	static const char *const texts[] = {
		[VOICE_DEAD_REFUSED] = "the voice server's UDP port refuses packets",
		[VOICE_DEAD_KEEPALIVE] = "the voice server stopped answering keepalives",
		[VOICE_DEAD_CRYPT] = "no incoming packet decrypts any more",
		[VOICE_DEAD_SENDING] = "no packet can be sent",
	};
	return texts[why];
}

int voice_udp_create(struct voice_udp **out, const char *ip, uint16_t port, uint32_t ssrc,
		     unsigned generation)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	*out = NULL;
	if (inet_pton(AF_INET, ip, &to.sin_addr) != 1)
		return -EINVAL;
	struct voice_udp *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->fd < 0)
		goto fail;
	int size = RECEIVE_BUFFER, tos = 0xB8; /* expedited forwarding; all of these are wishes */
	setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(u->fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	arrival_enable(u->fd);
	if (connect(u->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		goto fail;
	u->generation = generation;
	u->ssrc = ssrc;
	u->seq = (uint16_t)random_below(65536);
	u->keepalive_at_ns = NEVER;
	u->stats.rtt_ns = -1;
	*out = u;
	return 0;
fail:;
	int err = -errno;
	if (u->fd >= 0)
		close(u->fd);
	free(u);
	return err;
}

void voice_udp_destroy(struct voice_udp *u)
{
	if (!u)
		return;
	close(u->fd);
	transport_cipher_destroy(u->cipher);
	free(u);
}

unsigned voice_udp_generation(const struct voice_udp *u)
{
	return u->generation;
}

void voice_udp_ops_set(struct voice_udp *u, const struct voice_udp_ops *ops, void *ctx)
{
	u->ops = ops;
	u->ctx = ctx;
}

int voice_udp_fd(const struct voice_udp *u)
{
	return u->fd;
}

struct transport_cipher *voice_udp_key(struct voice_udp *u, struct transport_cipher *cipher)
{
	struct transport_cipher *old = u->cipher;
	u->cipher = cipher;
	u->bad_in_row = 0;
	u->dead_said_ns = 0;
	return old;
}

bool voice_udp_has_key(const struct voice_udp *u)
{
	return u->cipher;
}

/* Said again only when the repair that it asked for has had its time. */
static void dead(struct voice_udp *u, enum voice_dead why, int64_t now_ns)
{
	int64_t every_ns = why == VOICE_DEAD_REFUSED   ? REFUSED_EVERY_NS :
			   why == VOICE_DEAD_KEEPALIVE ? KEEPALIVE_AGAIN_NS :
							 DEAD_EVERY_NS;
	if (u->dead_said_ns && now_ns - u->dead_said_ns < every_ns)
		return;
	u->dead_said_ns = now_ns;
	u->ops->on_dead(u->ctx, u->generation, why);
}

/* ---- receiving --------------------------------------------------------------------------- */

static void media_receive(struct voice_udp *u, const uint8_t *datagram, size_t bytes,
			  int64_t arrival_ns)
{
	struct rtp_header header;
	const uint8_t *payload;
	size_t payload_bytes;
	if (!u->cipher)
		return;
	if (rtp_header_parse(&header, datagram, bytes) < 0) {
		u->stats.refused++;
		return;
	}
	int n = transport_open(u->cipher, datagram, bytes, header.clear_bytes, u->plain,
			       sizeof(u->plain));
	if (n < 0) {
		u->stats.tampered++;
		if (u->bad_in_row++ == 0)
			u->first_bad_ns = arrival_ns;
		return;
	}
	u->bad_in_row = 0;
	u->stats.opened++;
	if (rtp_payload_strip(&header, u->plain, (size_t)n, &payload, &payload_bytes, NULL) < 0) {
		u->stats.refused++;
		return;
	}
	if (payload_bytes == 0)
		u->stats.probes++;
	u->ops->on_packet(u->ctx, &header, payload, payload_bytes, arrival_ns);
}

static void keepalive_answer(struct voice_udp *u, const uint8_t *datagram, size_t bytes,
			     int64_t arrival_ns)
{
	uint32_t behind = bytes < 8 ? UINT32_MAX : u->keepalive_seq - get_be32(datagram + 4);
	if (behind >= KEEPALIVE_TRUSTED)
		return; /* an old one: says nothing new */
	u->answered_ns = arrival_ns;
	if (behind > 0)
		return; /* its own time is not known any more */
	u->stats.keepalive_answers++;
	u->stats.rtt_ns = arrival_ns - u->keepalive_sent_ns;
}

static void discovery_answer(struct voice_udp *u, const uint8_t *datagram, size_t bytes,
			     int64_t arrival_ns)
{
	char address[IP_DISCOVERY_ADDRESS_BYTES];
	uint16_t port;
	if (u->discovered || ip_discovery_parse(datagram, bytes, u->ssrc, address, &port) < 0)
		return; /* late duplicates come while media runs */
	u->discovered = true;
	u->keepalive_at_ns = arrival_ns;
	u->ops->on_discovered(u->ctx, u->generation, address, port);
}

static void datagram_receive(struct voice_udp *u, const uint8_t *datagram, size_t bytes,
			     int64_t arrival_ns)
{
	u->refused_in_row = 0;
	if (bytes > RTP_DATAGRAM_BYTES) { /* MSG_TRUNC tells the whole length */
		u->stats.refused++;
		return;
	}
	u->stats.received++;
	switch (rtp_classify(datagram, bytes)) {
	case RTP_KIND_KEEPALIVE:
		keepalive_answer(u, datagram, bytes, arrival_ns);
		break;
	case RTP_KIND_DISCOVERY:
		discovery_answer(u, datagram, bytes, arrival_ns);
		break;
	case RTP_KIND_OPUS:
		media_receive(u, datagram, bytes, arrival_ns);
		break;
	case RTP_KIND_ALIEN:
		u->stats.alien++;
		break;
	case RTP_KIND_SHORT: /* echoes of keepalives in older forms */
	case RTP_KIND_RTCP:  /* reports about our own stream */
	case RTP_KIND_OTHER: /* others' video */
		break;
	}
}

/* Several by one call; fewer than asked for also says that there are no more. */
static int batch_receive(struct voice_udp *u)
{
	for (int i = 0; i < RECEIVE_BATCH; i++) {
		u->spans[i] = (struct iovec){u->datagrams[i], RTP_DATAGRAM_BYTES};
		u->messages[i].msg_hdr = (struct msghdr){.msg_iov = &u->spans[i], .msg_iovlen = 1,
							 .msg_control = u->stamps[i].bytes,
							 .msg_controllen = sizeof(u->stamps[i].bytes)};
	}
	return recvmmsg(u->fd, u->messages, RECEIVE_BATCH, MSG_TRUNC, NULL);
}

void voice_udp_receive(struct voice_udp *u, int64_t now_ns, int64_t wall_ns)
{
	for (int taken = 0; taken < RECEIVE_BURST;) {
		int n = batch_receive(u);
		if (n < 0) {
			taken++;
			if (errno == ECONNREFUSED && ++u->refused_in_row >= REFUSED_MAX &&
			    u->discovered)
				dead(u, VOICE_DEAD_REFUSED, now_ns);
			if (errno == EINTR || errno == ECONNREFUSED)
				continue;
			return;
		}
		for (int i = 0; i < n; i++)
			datagram_receive(u, u->datagrams[i], u->messages[i].msg_len,
					 arrival_ns(&u->messages[i].msg_hdr, now_ns, wall_ns));
		if (n < RECEIVE_BATCH)
			return;
		taken += n;
	}
}

/* ---- sending ----------------------------------------------------------------------------- */

static int datagram_send(struct voice_udp *u, const uint8_t *data, size_t bytes, int64_t now_ns)
{
	ssize_t n = send(u->fd, data, bytes, MSG_NOSIGNAL);
	/* The error of an earlier packet is reported here once: the next try sends. */
	if (n < 0 && errno == ECONNREFUSED) {
		if (++u->refused_in_row >= REFUSED_MAX && u->discovered)
			dead(u, VOICE_DEAD_REFUSED, now_ns);
		n = send(u->fd, data, bytes, MSG_NOSIGNAL);
	}
	return n < 0 ? -errno : 0;
}

static int packet_send(struct voice_udp *u, uint32_t timestamp, const uint8_t *payload,
		       size_t bytes, int64_t now_ns)
{
	uint8_t packet[RTP_HEADER_BYTES + VOICE_PAYLOAD_BYTES_MAX + TRANSPORT_OVERHEAD_BYTES];
	if (!u->cipher)
		return -ENOKEY;
	if (bytes > VOICE_PAYLOAD_BYTES_MAX)
		return -EMSGSIZE;
	rtp_header_write(packet, u->seq, timestamp, u->ssrc);
	memcpy(packet + RTP_HEADER_BYTES, payload, bytes);
	int n = transport_seal(u->cipher, packet, RTP_HEADER_BYTES, bytes, sizeof(packet));
	if (n < 0)
		return n;
	u->seq++; /* also when sending fails: to the listener it is a lost packet */
	return datagram_send(u, packet, (size_t)n, now_ns);
}

int voice_udp_send(struct voice_udp *u, uint32_t timestamp, const uint8_t *payload, size_t bytes,
		   int64_t now_ns)
{
	int err = packet_send(u, timestamp, payload, bytes, now_ns);
	if (err == 0) {
		u->stats.sent++;
		u->unsent_since_ns = 0;
		return 0;
	}
	u->stats.send_errors++;
	if (err == -ENOKEY)
		return err;
	if (u->unsent_since_ns == 0)
		u->unsent_since_ns = now_ns;
	else if (now_ns - u->unsent_since_ns >= STUCK_NS)
		dead(u, VOICE_DEAD_SENDING, now_ns);
	return err;
}

/* ---- time -------------------------------------------------------------------------------- */

int64_t voice_udp_deadline_ns(const struct voice_udp *u)
{
	return u->discovered ? u->keepalive_at_ns : u->discovery_at_ns;
}

static void discovery_due(struct voice_udp *u, int64_t now_ns)
{
	if (u->discovery_tries++ >= DISCOVERY_TRIES) {
		u->discovery_at_ns = NEVER;
		u->ops->on_discovery_failed(u->ctx, u->generation);
		return;
	}
	uint8_t request[IP_DISCOVERY_BYTES];
	ip_discovery_request(request, u->ssrc);
	datagram_send(u, request, sizeof(request), now_ns);
	u->discovery_at_ns = now_ns + DISCOVERY_EVERY_NS;
}

/* Sent whatever else is going on: a bot that only listens loses its sound after minutes without.
 * The server need not answer, so silence alone proves nothing before it has answered a few. */
static void keepalive_due(struct voice_udp *u, int64_t now_ns)
{
	uint8_t ping[8];
	put_be32(ping, KEEPALIVE_MAGIC);
	put_be32(ping + 4, ++u->keepalive_seq);
	datagram_send(u, ping, sizeof(ping), now_ns);
	u->stats.keepalives++;
	u->keepalive_sent_ns = now_ns;
	bool trusted = u->stats.keepalive_answers >= KEEPALIVE_TRUSTED;
	bool soon = u->stats.keepalives < KEEPALIVE_TRUSTED ||
		    (trusted && now_ns - u->answered_ns > KEEPALIVE_DOUBT_NS - KEEPALIVE_SOON_NS);
	u->keepalive_at_ns = now_ns + (soon ? KEEPALIVE_SOON_NS : KEEPALIVE_EVERY_NS);
	if (trusted && now_ns - u->answered_ns > KEEPALIVE_LOST_NS)
		dead(u, VOICE_DEAD_KEEPALIVE, now_ns);
	if (u->bad_in_row >= STUCK_PACKETS && now_ns - u->first_bad_ns >= STUCK_NS)
		dead(u, VOICE_DEAD_CRYPT, now_ns);
}

void voice_udp_tick(struct voice_udp *u, int64_t now_ns)
{
	if (!u->discovered) {
		if (now_ns >= u->discovery_at_ns)
			discovery_due(u, now_ns);
	} else if (now_ns >= u->keepalive_at_ns) {
		keepalive_due(u, now_ns);
	}
}

void voice_udp_stats(const struct voice_udp *u, struct voice_udp_stats *out)
{
	*out = u->stats;
}
