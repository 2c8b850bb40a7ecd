/* SPDX-License-Identifier: MIT
 *
 * discord_sfu.c - the media server: one UDP socket for each bot's connection, IP discovery,
 * keepalives, and forwarding between everybody in a room as the real one does it: header
 * extension (0x90), padding in bursts (0xB0), receiver reports; with loss, jitter, reordering
 * and duplicates on request.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/discord.h"
#include "tests/sim/discord_dave.h"
#include "tests/sim/malformed.h"
#include <opus/opus.h>

/* A datagram under way. Delayed ones look their session up again: it may be gone by then. */
struct flight {
	struct sim_timer timer;
	uint64_t user;
	char token[40];
	bool inwards;
	size_t len;
	uint8_t data[];
};

static double chance(uint64_t *seed)
{
	return (double)(sim_random(seed) >> 11) / 9007199254740992.0;
}

/* ---- parties ---- */

struct party *party_add(struct channel *c, struct user *u, struct voice_session *v)
{
	struct party *p = calloc(1, sizeof(*p)), **tail = &c->parties;

	if (!p)
		abort();
	p->channel = c;
	p->user = u;
	p->voice = v;
	RAND_bytes((unsigned char *)&p->ssrc, 4);
	p->ssrc = p->ssrc % 1000000 + 1000; /* the real ones are often small */
	while (*tail)
		tail = &(*tail)->next;
	*tail = p;
	return p;
}

void party_remove(struct party *p)
{
	struct party **q = &p->channel->parties;

	while (*q != p)
		q = &(*q)->next;
	*q = p->next;
	sim_timer_cancel(D.loop, &p->spurt_timer);
	if (p->voice)
		p->voice->party = NULL;
	sim_loop_defer(D.loop, free, p);
}

void party_announce(struct party *p, int flags)
{
	if (p->announced)
		return; /* once per session, not a sign of activity */
	p->announced = true;
	voice_room_send(p->channel, p, 5,
			sim_obj("oii", "user_id", id_json(p->user->id), "ssrc", (int64_t)p->ssrc,
				"speaking", (int64_t)flags));
}

/* ---- what a bot's packets look like over time ---- */

static void spurt_over(void *ctx, int64_t now_ns)
{
	struct party *p = ctx;

	if (!p->in_spurt)
		return;
	p->in_spurt = false;
	sim_event("voice.spurt_end", sim_obj("ois", "user", id_json(p->user->id), "silences",
					     (int64_t)p->silences, "how", "pause"));
}

static void watch_spurts(struct party *p, const struct rtp_packet *k, bool silent)
{
	if (!silent && !p->in_spurt) {
		p->in_spurt = true;
		sim_event("voice.spurt", sim_obj("oi", "user", id_json(p->user->id), "timestamp",
						 (int64_t)k->timestamp));
	}
	p->silences = silent ? p->silences + 1 : 0;
	if (p->in_spurt && p->silences == 5) {
		p->in_spurt = false;
		sim_event("voice.spurt_end", sim_obj("ois", "user", id_json(p->user->id), "silences",
						     (int64_t)5, "how", "silence"));
	}
	sim_timer_set(D.loop, &p->spurt_timer, k->t_ns + 200 * SIM_MS, spurt_over, p);
}

static void watch_order(struct voice_session *v, struct party *p, const struct rtp_packet *k)
{
	int samples = opus_packet_get_nb_samples(k->payload, (opus_int32)k->len, 48000);

	/* an end-to-end encrypted frame is not Opus any more; its clients send 20 ms */
	if (k->len > 2 && k->payload[k->len - 1] == 0xfa && k->payload[k->len - 2] == 0xfa)
		samples = 960;
	if (samples <= 0) {
		complain("a packet that is not Opus");
		samples = 960;
	}
	if (p->any) {
		int16_t ds = (int16_t)(k->seq - p->seq);
		int32_t dt = (int32_t)(k->timestamp - p->timestamp);

		if (ds != 1)
			v->seq_gaps++;
		else if (dt < p->last_samples || dt % 960)
			v->ts_odd++;
	}
	p->any = true;
	p->seq = k->seq;
	p->timestamp = k->timestamp;
	p->last_samples = samples;
	p->last_ns = k->t_ns;
}

/* ---- sending to a bot ---- */

static void put_on_wire(struct voice_session *v, const uint8_t *data, size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = v->peer.ip,
				  .sin_port = htons(v->peer.port) };

	if (v->udp_fd >= 0 && v->peer.known && !v->udp_mute)
		sendto(v->udp_fd, data, len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
}

static void rtp_in(struct voice_session *v, const uint8_t *data, size_t len);

static void landed(void *ctx, int64_t now_ns)
{
	struct flight *f = ctx;
	struct voice_session *v;

	for (v = D.voices; v; v = v->next)
		if (v->user->id == f->user && !strcmp(v->token, f->token))
			break;
	if (v && f->inwards)
		rtp_in(v, f->data, f->len);
	else if (v)
		put_on_wire(v, f->data, f->len);
	free(f);
}

static void fly(struct voice_session *v, bool inwards, const uint8_t *data, size_t len,
		int64_t delay_ns)
{
	struct flight *f = calloc(1, sizeof(*f) + len);

	if (!f)
		abort();
	f->user = v->user->id;
	memcpy(f->token, v->token, sizeof(f->token));
	f->inwards = inwards;
	f->len = len;
	memcpy(f->data, data, len);
	sim_timer_set(D.loop, &f->timer, sim_now_ns() + delay_ns, landed, f);
}

/* Through a bad network, if one was asked for. */
static void impaired(struct voice_session *v, bool inwards, const uint8_t *data, size_t len)
{
	struct impair *i = inwards ? &v->in : &v->out;
	int64_t delay;

	if (!i->on) {
		if (inwards)
			rtp_in(v, data, len);
		else
			put_on_wire(v, data, len);
		return;
	}
	/* two-state loss with the given mean and mean burst length (Gilbert) */
	if (i->losing)
		i->losing = chance(&i->seed) >= 1 / i->burst;
	else if (i->loss < 1)
		i->losing = chance(&i->seed) < i->loss / ((1 - i->loss) * i->burst);
	if (i->losing || i->loss >= 1)
		return;
	delay = i->delay_ns + (int64_t)(chance(&i->seed) * (double)i->jitter_ns);
	if (chance(&i->seed) < i->reorder)
		delay += 30 * SIM_MS;
	fly(v, inwards, data, len, delay);
	if (chance(&i->seed) < i->duplicate)
		fly(v, inwards, data, len, delay + SIM_MS);
}

static void forward(struct voice_session *v, const struct rtp_packet *k)
{
	uint8_t ext[8] = { 0x10, (uint8_t)(k->level < 127 ? 0x80 | k->level : 0x7f), 0x90, 0x02 };
	struct rtp_build b = { .first = 0x80,
			       .second = 0x78,
			       .seq = k->seq,
			       .timestamp = k->timestamp,
			       .ssrc = k->ssrc,
			       .payload = k->payload,
			       .len = k->len };
	uint8_t out[2200];

	if (k->len > 1400)
		return;
	if (k->level >= 0) {
		b.extension = ext;
		b.extension_len = sizeof(ext);
	}
	if (!v->pad_burst && chance(&D.random) < v->channel->padding / 4)
		v->pad_burst = 1 + (int)(sim_random(&D.random) % 7);
	if (v->pad_burst) {
		v->pad_burst--;
		b.padding = 1 + (int)(sim_random(&D.random) % 255);
	}
	v->sent++;
	impaired(v, false, out, rtp_seal(v->mode, v->key, ++v->nonce, &b, out));
}

void sfu_packet(struct party *from, const struct rtp_packet *k)
{
	struct voice_state *state = voice_state_of(from->user, from->channel->guild, false);

	if (state && state->mute)
		return;
	for (struct party *p = from->channel->parties; p; p = p->next) {
		struct voice_state *s = voice_state_of(p->user, p->channel->guild, false);

		if (p == from || (s && s->deaf))
			continue;
		if (!p->voice) {
			struct ear *e = member_ear(p->user);
			struct rtp_packet clear = *k;
			uint8_t buf[4096];

			/* heard even by who records nothing: that it was understood is counted */
			if (discord_dave_open(p, from, &clear, buf) && e)
				ear_hear(e, from, &clear);
		} else if (p->voice->described &&
			   (p->voice->heard_from || !p->channel->listen_needs_voice)) {
			forward(p->voice, k);
		}
	}
}

/* ---- receiving from a bot ---- */

static bool nonce_seen(struct voice_session *v, uint32_t nonce)
{
	for (int i = 0; i < v->nonce_count && i < 64; i++)
		if (v->recent_nonces[i] == nonce)
			return true;
	v->recent_nonces[v->nonce_count++ % 64] = nonce;
	if (v->nonce_count > 1 << 20)
		v->nonce_count = 64 + v->nonce_count % 64;
	return false;
}

/* The silence packet, or an encrypted frame around three bytes: nobody can see what they are, but no
 * speech is that short. */
static bool is_silence(const struct rtp_packet *k)
{
	size_t n = k->len;

	if (n == 3)
		return !memcmp(k->payload, "\xf8\xff\xfe", 3);
	return n > 14 && k->payload[n - 1] == 0xfa && k->payload[n - 2] == 0xfa &&
	       n - 3 == k->payload[n - 3];
}

static void rtp_in(struct voice_session *v, const uint8_t *data, size_t len)
{
	struct rtp_packet k = { .level = -1, .t_ns = sim_now_ns() };
	uint8_t plain[2048];
	uint32_t nonce;
	bool silent;
	int err;

	if (!v->described || !v->party)
		return;
	if (data[0] != 0x80 && data[0] != 0x90)
		complain("RTP whose first byte is %02x", data[0]);
	err = rtp_open(v->mode, v->key, data, len, &k, &nonce, plain);
	if (err == -EPROTO)
		v->bad_header++;
	else if (err)
		v->undecryptable++;
	if (err)
		return;
	if (k.ssrc != v->party->ssrc) {
		complain("RTP with another SSRC than one's own");
		return;
	}
	if (nonce_seen(v, nonce) && !v->in.on) {
		v->nonce_reuse++;
		complain("a nonce was used twice");
	}
	if (!v->spoke_op5) {
		/* a datagram may overtake op 5, which comes by TCP; not for 200 ms */
		if (++v->before_speaking == 10)
			complain("RTP before any op 5");
		return;
	}
	v->heard_from = true;
	silent = is_silence(&k);
	if (!v->packets++)
		sim_event("voice.first_packet",
			  sim_obj("oi", "user", id_json(v->user->id), "ssrc", (int64_t)k.ssrc));
	v->sound_packets += !silent;
	v->bytes += (int64_t)len;
	watch_spurts(v->party, &k, silent);
	watch_order(v, v->party, &k);
	sfu_packet(v->party, &k);
}

static void discovery(struct voice_session *v, const uint8_t *in, const struct sockaddr_in *from)
{
	uint8_t out[74] = { 0, 2, 0, 70 };

	if (memcmp(in, "\0\1\0\x46", 4) || ntohl(*(const uint32_t *)(const void *)(in + 4)) !=
						 (v->party ? v->party->ssrc : 0)) {
		complain("IP discovery that is not 0001 0046 and the own SSRC");
		return;
	}
	if (v->discovery_lose > 0) {
		v->discovery_lose--;
		return;
	}
	memcpy(out + 4, in + 4, 4);
	inet_ntop(AF_INET, &from->sin_addr, (char *)out + 8, 64);
	memcpy(out + 72, &from->sin_port, 2);
	v->peer.ip = from->sin_addr.s_addr;
	v->peer.port = ntohs(from->sin_port);
	v->peer.known = true;
	put_on_wire(v, out, sizeof(out));
}

static void keepalive(struct voice_session *v, const uint8_t *in, size_t len)
{
	uint8_t out[16];

	v->keepalives++;
	if (v->keepalive_mute || len > sizeof(out))
		return;
	memcpy(out, in, len);
	if (len >= 8 && !memcmp(in, "\x13\x37\xca\xfe", 4))
		memcpy(out, "\x13\x37\xf0\x0d", 4);
	put_on_wire(v, out, len);
}

static void udp_ready(void *ctx, uint32_t events)
{
	struct voice_session *v = ctx;

	for (int i = 0; i < 256 && v->udp_fd >= 0; i++) {
		_Alignas(4) uint8_t in[2048];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(v->udp_fd, in, sizeof(in), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_len);

		if (n < 0)
			return;
		if (v->udp_mute)
			continue;
		if (n == 74 && in[0] == 0) {
			discovery(v, in, &from);
			continue;
		}
		if (!v->peer.known || from.sin_addr.s_addr != v->peer.ip ||
		    ntohs(from.sin_port) != v->peer.port)
			complain("a datagram from an address that was not discovered");
		else if (n < 12)
			keepalive(v, in, (size_t)n);
		else if (in[0] >> 6 == 2 && in[1] >= 200 && in[1] <= 206)
			; /* RTCP: allowed, not looked at */
		else if ((in[1] & 0x7f) != 0x78 || in[0] >> 6 != 2)
			v->bad_header++;
		else
			impaired(v, true, in, (size_t)n);
	}
}

static void report(void *ctx, int64_t now_ns)
{
	struct voice_session *v = ctx;
	uint8_t out[64];

	if (v->described && v->party && v->party->any)
		put_on_wire(v, out, rtcp_report(v->mode, v->key, ++v->nonce, v->party->ssrc,
						v->party->seq, out));
	sim_timer_set(D.loop, &v->report, now_ns + 5 * SIM_S, report, v);
}

int sfu_open(struct voice_session *v)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)v->udp_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int size = 1 << 20;

	v->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->udp_fd < 0)
		return -errno;
	setsockopt(v->udp_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(v->udp_fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    getsockname(v->udp_fd, (struct sockaddr *)&sa, &len)) {
		int err = -errno;

		close(v->udp_fd);
		v->udp_fd = -1;
		return err;
	}
	v->udp_port = ntohs(sa.sin_port);
	sim_timer_set(D.loop, &v->report, sim_now_ns() + 5 * SIM_S, report, v);
	return sim_loop_watch(D.loop, v->udp_fd, EPOLLIN, udp_ready, v);
}

void sfu_close(struct voice_session *v)
{
	sim_timer_cancel(D.loop, &v->report);
	if (v->udp_fd < 0)
		return;
	sim_loop_unwatch(D.loop, v->udp_fd);
	close(v->udp_fd);
	v->udp_fd = -1;
}

void sfu_key(struct voice_session *v, const char *mode)
{
	snprintf(v->mode, sizeof(v->mode), "%s", mode);
	RAND_bytes(v->key, sizeof(v->key));
	v->nonce = 0;
	v->nonce_count = 0;
}

/* Datagrams that nobody should send, from the address that the bot trusts. */
void sfu_garbage(struct voice_session *v, int count, uint64_t seed)
{
	for (int i = 0; i < count; i++) {
		uint8_t out[1600], payload[300];
		size_t n = sim_random(&seed) % 1500;
		struct rtp_build b = { .first = 0x80, .second = 0x78, .seq = (uint16_t)i,
				       .timestamp = (uint32_t)(960 * i), .ssrc = 0xdead0000u + (uint32_t)i,
				       .payload = payload, .len = sim_random(&seed) % sizeof(payload) };

		for (size_t k = 0; k < sizeof(payload); k++)
			payload[k] = (uint8_t)sim_random(&seed);
		switch (i % 8) {
		case 0: /* noise */
			for (size_t k = 0; k < n; k++)
				out[k] = (uint8_t)sim_random(&seed);
			break;
		case 1: /* an RTP head and noise */
			for (size_t k = 0; k < n; k++)
				out[k] = (uint8_t)sim_random(&seed);
			out[0] = 0xb0;
			out[1] = 0x78;
			break;
		case 2: /* sealed well, an SSRC that nobody announced, payload that is not Opus */
			n = rtp_seal(v->mode, v->key, ++v->nonce, &b, out);
			break;
		case 3: /* cut off inside */
			n = rtp_seal(v->mode, v->key, ++v->nonce, &b, out) / 2;
			break;
		case 4: /* padding longer than the payload, extension longer than the packet */
			b.len = 1;
			payload[0] = 200;
			b.first = 0xa0;
			n = rtp_seal(v->mode, v->key, ++v->nonce, &b, out);
			break;
		case 5:
			b.extension = payload;
			b.extension_len = 252;
			n = rtp_seal(v->mode, v->key, ++v->nonce, &b, out);
			out[15] = 255;
			break;
		case 6: /* nothing at all, or almost */
			n = sim_random(&seed) % 12;
			memset(out, 0x80, 12);
			break;
		default: /* an announced speaker's SSRC with a payload that is not Opus */
			for (struct party *p = v->channel->parties; p; p = p->next)
				if (p != v->party)
					b.ssrc = p->ssrc;
			n = rtp_seal(v->mode, v->key, ++v->nonce, &b, out);
			break;
		}
		put_on_wire(v, out, n);
	}
}
