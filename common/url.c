/* SPDX-License-Identifier: MIT
 *
 * url.c - the URLs and host:port pairs of settings and protocols.
 */
#include "common/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint16_t port;
	bool tls;
} schemes[] = {
	{"http", 80, false},
	{"https", 443, true},
	{"ws", 80, false},
	{"wss", 443, true},
};

static int fail(const char **why, const char *text)
{
	if (why)
		*why = text;
	return -EINVAL;
}

bool host_is_loopback(const char *host)
{
	size_t len = strlen(host);
	struct in_addr v4;
	struct in6_addr v6;

	if (!strcasecmp(host, "localhost"))
		return true;
	if (len > 10 && !strcasecmp(host + len - 10, ".localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return false;
}

/* host, [v6], either with :port, in [text, end). Without a port *port stays. */
static int authority(const char *text, const char *end, char host[256], bool *ipv6, uint16_t *port,
		     bool *port_given, const char **why)
{
	const char *host_end, *p;
	size_t len;

	*ipv6 = text < end && *text == '[';
	if (*ipv6) {
		text++;
		host_end = memchr(text, ']', (size_t)(end - text));
		if (!host_end)
			return fail(why, "a ] behind the IPv6 address");
		p = host_end + 1;
	} else {
		for (host_end = text; host_end < end && *host_end != ':'; host_end++)
			;
		p = host_end;
	}
	len = (size_t)(host_end - text);
	if (len > 255)
		return fail(why, "a host name of at most 255 characters");
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!isalnum((unsigned char)c) && c != '.' && c != '-' && c != '_' &&
		    !(*ipv6 && c == ':'))
			return fail(why, "a host name or address");
		host[i] = (char)tolower((unsigned char)c);
	}
	host[len] = '\0';
	if (*ipv6) {
		struct in6_addr a;

		if (inet_pton(AF_INET6, host, &a) != 1)
			return fail(why, "an IPv6 address between [ and ]");
	}
	*port_given = false;
	if (p < end) {
		unsigned long value = 0;

		if (*p != ':')
			return fail(why, "nothing but :port behind the ]");
		if (++p == end || end - p > 5)
			return fail(why, "a port between 1 and 65535");
		for (; p < end; p++) {
			if (!isdigit((unsigned char)*p))
				return fail(why, "a port between 1 and 65535");
			value = value * 10 + (unsigned long)(*p - '0');
		}
		if (value < 1 || value > 65535)
			return fail(why, "a port between 1 and 65535");
		*port = (uint16_t)value;
		*port_given = true;
	}
	return 0;
}

int url_parse(struct url *out, const char *text, const char **why)
{
	const char *p = strstr(text, "://"), *end, *query;
	size_t len;
	int err;

	memset(out, 0, sizeof(*out));
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return fail(why, "no spaces, control or non-ASCII characters");
	if (!p)
		return fail(why, "a URL such as https://host/path");
	len = (size_t)(p - text);
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strlen(schemes[i].name) == len && !strncasecmp(text, schemes[i].name, len)) {
			snprintf(out->scheme, sizeof(out->scheme), "%s", schemes[i].name);
			out->port = schemes[i].port;
			out->tls = schemes[i].tls;
		}
	}
	if (!out->scheme[0])
		return fail(why, "a URL that starts with http://, https://, ws:// or wss://");
	text = p + 3;
	end = text + strcspn(text, "/?#");
	if (memchr(text, '@', (size_t)(end - text)))
		return fail(why, "no user name or password in the URL");
	err = authority(text, end, out->host, &out->ipv6, &out->port, &out->port_given, why);
	if (err)
		return err;
	if (!out->host[0])
		return fail(why, "a host name in the URL");
	out->loopback = host_is_loopback(out->host);
	if (strchr(end, '#'))
		return fail(why, "no # in the URL");
	query = strchr(end, '?');
	len = query ? (size_t)(query - end) : strlen(end);
	while (len && end[len - 1] == '/')
		len--;
	if (len >= sizeof(out->path) || (query && strlen(query + 1) >= sizeof(out->query)))
		return fail(why, "path and query of at most 1023 characters each");
	memcpy(out->path, end, len);
	out->path[len] = '\0';
	if (query)
		snprintf(out->query, sizeof(out->query), "%s", query + 1);
	return 0;
}

int host_port_parse(struct host_port *out, const char *text, uint16_t default_port,
		    const char **why)
{
	bool given;
	int err;

	memset(out, 0, sizeof(*out));
	out->port = default_port;
	err = authority(text, text + strlen(text), out->host, &out->ipv6, &out->port, &given, why);
	if (err)
		return err;
	if (!out->host[0])
		return fail(why, "a host or address before the port");
	if (!given && !default_port)
		return fail(why, "host:port");
	return 0;
}
