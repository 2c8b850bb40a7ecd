/* SPDX-License-Identifier: MIT
 *
 * ip_discovery.c - see ip_discovery.h.
 */
#include "discord/ip_discovery.h"

#include "common/bytes.h"
#include "discord/rtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { TYPE_REQUEST = 1, TYPE_ANSWER = 2, LENGTH = 70 };
enum { AT_TYPE = 0, AT_LENGTH = 2, AT_SSRC = 4, AT_ADDRESS = 8, AT_PORT = 72 };

void ip_discovery_request(uint8_t out[IP_DISCOVERY_BYTES], uint32_t ssrc)
{
	memset(out, 0, IP_DISCOVERY_BYTES);
	put_be16(out + AT_TYPE, TYPE_REQUEST);
	put_be16(out + AT_LENGTH, LENGTH);
	put_be32(out + AT_SSRC, ssrc);
}

int ip_discovery_parse(const uint8_t *d, size_t bytes, uint32_t ssrc,
		       char address[IP_DISCOVERY_ADDRESS_BYTES], uint16_t *port)
{
	if (bytes != IP_DISCOVERY_BYTES || get_be16(d + AT_TYPE) != TYPE_ANSWER ||
	    get_be16(d + AT_LENGTH) != LENGTH || get_be32(d + AT_SSRC) != ssrc)
		return -EBADMSG;
	if (!memchr(d + AT_ADDRESS, 0, IP_DISCOVERY_ADDRESS_BYTES))
		return -EBADMSG;
	struct in_addr ip;
	const char *text = (const char *)d + AT_ADDRESS;
	uint16_t p = get_be16(d + AT_PORT);
	if (inet_pton(AF_INET, text, &ip) != 1 || p == 0)
		return -EBADMSG;
	strcpy(address, text);
	*port = p;
	return 0;
}
