/* SPDX-License-Identifier: MIT
 *
 * voice_udp.h - the datagrams of one voice session: our own connected UDP socket.
 *
 * Discovery, media both ways, keepalive, and the question whether the path is alive all use the
 * same socket. A connected socket lets the kernel drop strangers and report ICMP errors, which
 * are soft: ECONNREFUSED is counted, never fatal by itself. (libwebsockets cannot hold such a
 * socket: its 4.1.6 closes a descriptor that raises POLLERR.)
 *
 * Create, key and destroy: control thread while the audio thread does not have the object. All
 * else: audio thread; nothing there blocks, allocates or logs.
 */
#ifndef DISCORD_VOICE_UDP_H
#define DISCORD_VOICE_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discord/ip_discovery.h"
#include "discord/rtp.h"
#include "discord/transport_cipher.h"

#define VOICE_PAYLOAD_BYTES_MAX 1400 /* what we put into or take out of one packet */

enum voice_dead {
	VOICE_DEAD_REFUSED,   /* the server's port answers "unreachable" */
	VOICE_DEAD_KEEPALIVE, /* keepalives had been answered, then none for 15 s */
	VOICE_DEAD_CRYPT,     /* packets come and none has decrypted for 5 s */
	VOICE_DEAD_SENDING,   /* frames were due and none could be sent for 5 s */
};
const char *voice_dead_text(enum voice_dead why);

struct voice_udp;

struct voice_udp_ops {
	/* One opened packet, padding and extension removed; bytes may be 0 (padding only). arrival_ns:
	 * when the kernel took it from the wire. */
	void (*on_packet)(void *ctx, const struct rtp_header *header, const uint8_t *payload,
			  size_t bytes, int64_t arrival_ns);
	void (*on_discovered)(void *ctx, unsigned generation, const char *address, uint16_t port);
	void (*on_discovery_failed)(void *ctx, unsigned generation);
	void (*on_dead)(void *ctx, unsigned generation, enum voice_dead why);
};

/* Opens and connects the socket. -EINVAL (no IPv4 address), -errno. */
int voice_udp_create(struct voice_udp **out, const char *ip, uint16_t port, uint32_t ssrc,
		     unsigned generation);
void voice_udp_destroy(struct voice_udp *u); /* the key with it */
unsigned voice_udp_generation(const struct voice_udp *u);

/* ---- audio thread ------------------------------------------------------------------------ */

void voice_udp_ops_set(struct voice_udp *u, const struct voice_udp_ops *ops, void *ctx);
int voice_udp_fd(const struct voice_udp *u);
/* A new key; returns the old one (or NULL), to be freed on the control thread. */
struct transport_cipher *voice_udp_key(struct voice_udp *u, struct transport_cipher *cipher);
bool voice_udp_has_key(const struct voice_udp *u);

/* Reads everything there is (bounded). Packets may have lain for a while: the kernel's time stamps say
 * when each came, so it need not be called at once. wall_ns: the wall clock at now_ns; 0: not to be
 * trusted (it has just been set), then all came just now. */
void voice_udp_receive(struct voice_udp *u, int64_t now_ns, int64_t wall_ns);
/* Sends one Opus (or DAVE) payload as the next RTP packet. 0, -ENOKEY, -errno: not sent. */
int voice_udp_send(struct voice_udp *u, uint32_t timestamp, const uint8_t *payload, size_t bytes,
		   int64_t now_ns);
int64_t voice_udp_deadline_ns(const struct voice_udp *u);
void voice_udp_tick(struct voice_udp *u, int64_t now_ns);

struct voice_udp_stats {
	uint64_t sent, send_errors, received, opened, tampered, refused, alien, probes;
	uint64_t keepalives, keepalive_answers;
	int64_t rtt_ns; /* of the last answered keepalive; -1 */
};
void voice_udp_stats(const struct voice_udp *u, struct voice_udp_stats *out);

#endif
