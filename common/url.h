/* SPDX-License-Identifier: MIT
 *
 * url.h - the URLs that loopline uses: http, https, ws, wss with host, port, path
 * and query. No user info, no fragment, no white space, no control characters.
 */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include <stdbool.h>
#include <stdint.h>

struct url {
	char scheme[6];   /* "http", "https", "ws", "wss" */
	char host[256];   /* lower case, an IPv6 address without its brackets */
	uint16_t port;    /* given, or 80 / 443 */
	bool port_given;  /* as opposed to the scheme's own */
	bool tls;         /* https, wss */
	bool ipv6;        /* host is an IPv6 literal: give it brackets in a URL */
	bool loopback;    /* see host_is_loopback() */
	char path[1024];  /* "" or "/...", without trailing slashes: append "/x" to it */
	char query[1024]; /* behind '?', without it; "" if none */
};

/*
 * Parses text. On failure -EINVAL and *why (may be NULL) is a constant sentence part
 * such as "a port between 1 and 65535".
 */
int url_parse(struct url *out, const char *text, const char **why);

/*
 * Clear text may carry credentials to this host: "localhost", "*.localhost",
 * 127.0.0.0/8 or ::1, by its letters and without a look-up.
 */
bool host_is_loopback(const char *host);

struct host_port {
	char host[256]; /* as in struct url */
	uint16_t port;
	bool ipv6;
};

/* "host:port", "[v6]:port"; with default_port > 0 the port may be missing. -EINVAL as above. */
int host_port_parse(struct host_port *out, const char *text, uint16_t default_port,
		    const char **why);

#endif
