/* SPDX-License-Identifier: MIT
 *
 * ip_discovery.h - the 74-byte question "from where do you see me?" asked of the voice server.
 *
 * Only the 74-byte form exists since 2023. All integers are big-endian. Pure, any thread.
 */
#ifndef DISCORD_IP_DISCOVERY_H
#define DISCORD_IP_DISCOVERY_H

#include <stddef.h>
#include <stdint.h>

#define IP_DISCOVERY_BYTES         74
#define IP_DISCOVERY_ADDRESS_BYTES 64

/* Writes the request for our own SSRC. */
void ip_discovery_request(uint8_t out[IP_DISCOVERY_BYTES], uint32_t ssrc);

/* Reads an answer. 0 with a NUL-terminated dotted address and the port in host order; -EBADMSG if
 * it is not an answer to this SSRC or does not carry an IPv4 address and a port. */
int ip_discovery_parse(const uint8_t *datagram, size_t bytes, uint32_t ssrc,
		       char address[IP_DISCOVERY_ADDRESS_BYTES], uint16_t *port);

#endif
