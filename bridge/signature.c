/* SPDX-License-Identifier: MIT
 *
 * signature.c - see signature.h.
 */
#include "bridge/signature.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#define URL_MAX 4096

enum variant {
	VARIANT_PLAIN = 1, /* no port */
	VARIANT_STANDARD_PORT,
	VARIANT_OWN_PORT,
	VARIANT_SLASH,
	VARIANT_SLASH_STANDARD_PORT,
	VARIANT_SLASH_OWN_PORT,
	VARIANT_HTTP_VIEW,
	VARIANT_LEGACY_QUERY,
	VARIANT_LEGACY_QUERY_PORT,
	VARIANT_QUOTED_QUERY,
	VARIANT_QUOTED_QUERY_PORT,
};

const char *signature_variant_text(int number)
{
	static const char *const text[] = {
		[VARIANT_PLAIN] = "the URL as configured",
		[VARIANT_STANDARD_PORT] = "the URL with its standard port",
		[VARIANT_OWN_PORT] = "the URL with the configured port",
		[VARIANT_SLASH] = "the URL with a slash at the end",
		[VARIANT_SLASH_STANDARD_PORT] = "the URL with its standard port and a slash at the end",
		[VARIANT_SLASH_OWN_PORT] = "the URL with the configured port and a slash at the end",
		[VARIANT_HTTP_VIEW] = "the https URL in place of the wss one",
		[VARIANT_LEGACY_QUERY] = "the URL with its query encoded the legacy way",
		[VARIANT_LEGACY_QUERY_PORT] =
			"the URL with its query encoded the legacy way and its standard port",
		[VARIANT_QUOTED_QUERY] = "the URL with quotes in its query encoded",
		[VARIANT_QUOTED_QUERY_PORT] =
			"the URL with quotes in its query encoded and its standard port",
	};

	if (number < 1 || number > VARIANT_QUOTED_QUERY_PORT)
		return "none";
	return text[number];
}

static int field_compare(const void *a, const void *b)
{
	const struct form_field *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : strcmp(x->value, y->value);
}

int signature_compute(char out[SIGNATURE_CHARS + 1], const char *auth_token, const char *url,
		      const struct form *form)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	unsigned int digest_len = 0;
	size_t count = form ? form->count : 0, len = strlen(url);
	struct form_field *sorted = NULL;
	char *data = NULL, *at;
	int err = -ENOMEM;

	sorted = calloc(count + 1, sizeof(*sorted));
	if (!sorted)
		goto out;
	if (count)
		memcpy(sorted, form->fields, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), field_compare);
	for (size_t i = 0; i < count; i++)
		len += strlen(sorted[i].key) + strlen(sorted[i].value);
	data = malloc(len + 1);
	if (!data)
		goto out;

	at = stpcpy(data, url);
	for (size_t i = 0; i < count; i++) {
		/* Quirk: a field that is there twice with the same value is signed once. */
		if (i > 0 && field_compare(&sorted[i - 1], &sorted[i]) == 0)
			continue;
		/* Likewise the key is repeated before each of its values. */
		at = stpcpy(stpcpy(at, sorted[i].key), sorted[i].value);
	}

	err = -EIO;
	if (!HMAC(EVP_sha1(), auth_token, (int)strlen(auth_token), (unsigned char *)data,
		  (size_t)(at - data), digest, &digest_len))
		goto out;
	EVP_EncodeBlock((unsigned char *)out, digest, (int)digest_len);
	err = 0;
out:
	free(sorted);
	free(data);
	return err;
}

/* PUBLIC_URL in pieces; pointers into it. */
struct origin {
	bool secure;
	const char *host;
	int host_len; /* without user:password@ and port; an IPv6 address with its brackets */
	const char *port;
	int port_len;
	const char *prefix; /* from the first slash after the host, or "" */
};

static int origin_split(struct origin *out, const char *url)
{
	memset(out, 0, sizeof(*out));
	if (strncasecmp(url, "https://", 8) == 0) {
		out->secure = true;
		url += 8;
	} else if (strncasecmp(url, "http://", 7) == 0) {
		url += 7;
	} else {
		return -EINVAL;
	}

	size_t authority = strcspn(url, "/?#");
	const char *credentials = memchr(url, '@', authority);

	out->prefix = url + authority;
	if (credentials) { /* Twilio drops them before signing */
		authority -= (size_t)(credentials + 1 - url);
		url = credentials + 1;
	}
	out->host = url;

	const char *colon = NULL;
	for (size_t i = authority; i-- > 0 && url[i] != ']';)
		if (url[i] == ':') {
			colon = url + i;
			break;
		}
	out->host_len = (int)(colon ? colon - url : (ptrdiff_t)authority);
	if (colon) {
		out->port = colon + 1;
		out->port_len = (int)(url + authority - out->port);
	}
	return out->host_len > 0 ? 0 : -EINVAL;
}

static bool unreserved_legacy(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr("-_.!~*'()", c));
}

/* Every key and value of the query decoded, then encoded again with the legacy set. */
static int query_legacy(char *out, size_t size, const char *target)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *mark = strchr(target, '?');
	struct form *form = NULL;
	size_t used = (size_t)(mark - target) + 1;
	int err = form_parse(&form, mark + 1, strlen(mark + 1));

	if (err)
		return err;
	if (used >= size) {
		form_destroy(form);
		return -E2BIG;
	}
	memcpy(out, target, used);
	for (size_t i = 0; i < form->count; i++) {
		const char *part[2] = {form->fields[i].key, form->fields[i].value};

		for (int p = 0; p < 2; p++) {
			if (used + 3 * strlen(part[p]) + 2 > size) {
				form_destroy(form);
				return -E2BIG;
			}
			if (p == 1)
				out[used++] = '=';
			else if (i > 0)
				out[used++] = '&';
			for (const unsigned char *c = (const unsigned char *)part[p]; *c; c++) {
				if (unreserved_legacy(*c)) {
					out[used++] = (char)*c;
				} else {
					out[used++] = '%';
					out[used++] = hex[*c >> 4];
					out[used++] = hex[*c & 15];
				}
			}
		}
	}
	out[used] = '\0';
	form_destroy(form);
	return 0;
}

/* Apostrophes of the query as %27, the way a modern URL parser writes them. */
static int query_quoted(char *out, size_t size, const char *target)
{
	const char *mark = strchr(target, '?');
	size_t used = 0;

	for (const char *c = target; *c; c++) {
		if (used + 4 > size)
			return -E2BIG;
		if (*c == '\'' && c > mark) {
			memcpy(out + used, "%27", 3);
			used += 3;
		} else {
			out[used++] = *c;
		}
	}
	out[used] = '\0';
	return 0;
}

struct attempt {
	const char *header;
	const char *auth_token;
	const char *scheme;
	const struct origin *origin;
	const struct form *form;
};

/* 1: matches, 0: does not, negative: errno. port: NULL none, else its text. */
static int attempt_match(const struct attempt *a, const char *port, int port_len,
			 const char *target, bool slash)
{
	char url[URL_MAX], want[SIGNATURE_CHARS + 1];
	size_t path_len = strcspn(target, "?");
	int n = snprintf(url, sizeof(url), "%s://%.*s%s%.*s%s%.*s%s%s", a->scheme,
			 a->origin->host_len, a->origin->host, port ? ":" : "", port ? port_len : 0,
			 port ? port : "", a->origin->prefix, (int)path_len, target, slash ? "/" : "",
			 target + path_len);

	if (n < 0 || (size_t)n >= sizeof(url))
		return 0; /* longer than anything that we handed out */
	int err = signature_compute(want, a->auth_token, url, a->form);
	if (err)
		return err;
	return CRYPTO_memcmp(want, a->header, SIGNATURE_CHARS) == 0;
}

int signature_check(const char *header, const char *auth_token, const char *public_url,
		    const char *target, enum signature_kind kind, const struct form *form)
{
	struct origin origin;
	bool websocket = kind == SIGNATURE_WEBSOCKET;
	char query[URL_MAX];
	int err;

	if (!header || strlen(header) != SIGNATURE_CHARS)
		return 0;
	if (strlen(target) >= URL_MAX)
		return 0;
	err = origin_split(&origin, public_url);
	if (err)
		return err;

	struct attempt a = {
		.header = header,
		.auth_token = auth_token,
		.scheme = websocket ? (origin.secure ? "wss" : "ws")
				    : (origin.secure ? "https" : "http"),
		.origin = &origin,
		.form = form,
	};
	const char *standard = origin.secure ? "443" : "80";
	int standard_len = (int)strlen(standard);
	bool own_port = origin.port && !(origin.port_len == standard_len &&
					 memcmp(origin.port, standard, (size_t)standard_len) == 0);
	int hit;

	for (int slash = 0; slash <= (websocket ? 1 : 0); slash++) {
		int base = slash ? VARIANT_SLASH : VARIANT_PLAIN;

		hit = attempt_match(&a, NULL, 0, target, slash);
		if (hit)
			return hit < 0 ? hit : base;
		hit = attempt_match(&a, standard, standard_len, target, slash);
		if (hit)
			return hit < 0 ? hit : base + 1;
		if (!own_port)
			continue;
		hit = attempt_match(&a, origin.port, origin.port_len, target, slash);
		if (hit)
			return hit < 0 ? hit : base + 2;
	}
	if (websocket) {
		/* Quirk of clones: the upgrade signed as the HTTP request that it also is. */
		a.scheme = origin.secure ? "https" : "http";
		hit = attempt_match(&a, origin.secure ? NULL : origin.port, origin.port_len, target,
				    false);
		return hit <= 0 ? hit : VARIANT_HTTP_VIEW;
	}
	if (!strchr(target, '?'))
		return 0;
	if (query_legacy(query, sizeof(query), target) == 0) {
		hit = attempt_match(&a, NULL, 0, query, false);
		if (hit)
			return hit < 0 ? hit : VARIANT_LEGACY_QUERY;
		hit = attempt_match(&a, standard, standard_len, query, false);
		if (hit)
			return hit < 0 ? hit : VARIANT_LEGACY_QUERY_PORT;
	}
	if (query_quoted(query, sizeof(query), target) == 0) {
		hit = attempt_match(&a, NULL, 0, query, false);
		if (hit)
			return hit < 0 ? hit : VARIANT_QUOTED_QUERY;
		hit = attempt_match(&a, standard, standard_len, query, false);
		if (hit)
			return hit < 0 ? hit : VARIANT_QUOTED_QUERY_PORT;
	}
	return 0;
}

bool signature_body_matches(const char *target, const void *body, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char want[2 * SHA256_DIGEST_LENGTH + 1];
	const char *mark = strchr(target, '?');
	struct form *query = NULL;
	bool matches = false;

	if (!mark || form_parse(&query, mark + 1, strlen(mark + 1)) != 0)
		return false;
	const char *got = form_get(query, "bodySHA256");

	if (got && SHA256(body, len, digest)) {
		for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
			want[2 * i] = hex[digest[i] >> 4];
			want[2 * i + 1] = hex[digest[i] & 15];
		}
		want[sizeof(want) - 1] = '\0';
		matches = strcasecmp(got, want) == 0;
	}
	form_destroy(query);
	return matches;
}
