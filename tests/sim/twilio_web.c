/* SPDX-License-Identifier: MIT
 *
 * twilio_web.c - the requests Twilio makes: signature, form, address (see twilio.h).
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

void twilio_make_sid(char out[35], const char *prefix)
{
	uint8_t r[16];
	int n = snprintf(out, 3, "%s", prefix);

	RAND_bytes(r, sizeof(r));
	for (int i = 0; i < 16; i++)
		snprintf(out + n + 2 * i, 3, "%02x", r[i]);
}

static int by_name(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;
	int d = strcmp((*x)->string, (*y)->string);

	return d ? d : strcmp((*x)->valuestring, (*y)->valuestring);
}

void twilio_sign(const struct twilio *t, const char *url, const cJSON *form, char out[32])
{
	int n = form ? cJSON_GetArraySize(form) : 0, i = 0;
	const cJSON **fields = calloc((size_t)n + 1, sizeof(*fields)), *f;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;
	char *text = strdup(url);

	cJSON_ArrayForEach(f, form) fields[i++] = f;
	qsort(fields, (size_t)n, sizeof(*fields), by_name);
	for (i = 0; i < n; i++) {
		char *longer;

		/* equal values of a name are signed once */
		if (i && !by_name(&fields[i - 1], &fields[i]))
			continue;
		if (asprintf(&longer, "%s%s%s", text, fields[i]->string, fields[i]->valuestring) < 0)
			abort();
		free(text);
		text = longer;
	}
	HMAC(EVP_sha1(), t->auth_token, (int)strlen(t->auth_token), (unsigned char *)text,
	     strlen(text), mac, &mac_len);
	EVP_EncodeBlock((unsigned char *)out, mac, (int)mac_len);
	free(text);
	free(fields);
}

void twilio_signature_header(const struct twilio *t, const char *option, const char *url,
			     const cJSON *form, char *out, size_t len)
{
	char sig[32];

	*out = 0;
	if (!strcmp(option, "missing"))
		return;
	if (!strcmp(option, "ok") || !strcmp(option, "wrong")) {
		twilio_sign(t, url, form, sig);
		if (!strcmp(option, "wrong"))
			sig[3] = sig[3] == 'A' ? 'B' : 'A';
		option = sig;
	}
	snprintf(out, len, "X-Twilio-Signature: %s\r\n", option);
}

bool twilio_target(const struct twilio *t, const char *url, char *target, size_t len)
{
	const char *base = strstr(t->public_url, "://"), *rest = strstr(url, "://"), *path;
	size_t n;

	if (!base || !rest)
		return false;
	base += 3;
	rest += 3;
	n = strlen(base);
	if (strncmp(rest, base, n) || (rest[n] && !strchr("/?", rest[n])))
		return false;
	path = strchr(rest, '/');
	snprintf(target, len, "%s", path ? path : "/");
	return true;
}

void twilio_absolute(const char *base, const char *url, char *out, size_t len)
{
	const char *host = strstr(base, "://"), *path, *last;

	path = host ? strchr(host + 3, '/') : NULL;
	if (strstr(url, "://") || !host) {
		snprintf(out, len, "%s", url);
	} else if (*url == '/') {
		snprintf(out, len, "%.*s%s", path ? (int)(path - base) : (int)strlen(base), base, url);
	} else {
		last = path ? strrchr(path, '/') : NULL;
		snprintf(out, len, "%.*s/%s", last ? (int)(last - base) : (int)strlen(base), base, url);
	}
}

struct sim_http_target twilio_peer(const struct twilio *t)
{
	return (struct sim_http_target){ t->address, t->port, t->client_tls, t->host };
}

static void escaped(char **out, size_t *n, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-_.", c))
			(*out)[(*n)++] = (char)c;
		else if (c == ' ')
			(*out)[(*n)++] = '+';
		else
			*n += (size_t)sprintf(*out + *n, "%%%02X", c);
	}
}

static char *encode_form(const cJSON *form)
{
	const cJSON *f;
	size_t room = 1, n = 0;
	char *out;

	cJSON_ArrayForEach(f, form) room += 3 * (strlen(f->string) + strlen(f->valuestring)) + 2;
	out = malloc(room);
	if (!out)
		abort();
	cJSON_ArrayForEach(f, form)
	{
		if (n)
			out[n++] = '&';
		escaped(&out, &n, f->string);
		out[n++] = '=';
		escaped(&out, &n, f->valuestring);
	}
	out[n] = 0;
	return out;
}

/* Twilio signs voice webhooks over https with user, password and port left out. */
static void signed_url(const char *url, char *out, size_t len)
{
	const char *host = strstr(url, "://"), *path, *colon;

	snprintf(out, len, "%s", url);
	if (!host || strncmp(url, "https", 5))
		return;
	host += 3;
	path = strchr(host, '/');
	colon = memchr(host, ':', path ? (size_t)(path - host) : strlen(host));
	if (colon)
		snprintf(out, len, "%.*s%s", (int)(colon - url), url, path ? path : "");
}

int twilio_post(struct twilio *t, const char *url, const cJSON *form, const char *signature,
		const char *headers,
		void (*done)(void *ctx, const struct sim_http_message *answer, const char *why),
		void *ctx)
{
	char target[1024], sig[256], to_sign[1024], token[35], *head, *body;
	struct sim_http_target peer = twilio_peer(t);
	int err;

	if (!twilio_target(t, url, target, sizeof(target)))
		return -22;
	signed_url(url, to_sign, sizeof(to_sign));
	twilio_signature_header(t, signature, to_sign, form, sig, sizeof(sig));
	twilio_make_sid(token, "");
	if (asprintf(&head,
		     "User-Agent: TwilioProxy/1.1\r\nAccept: */*\r\nConnection: close\r\n"
		     "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
		     "I-Twilio-Idempotency-Token: %s\r\n%s%s",
		     token, sig, headers ? headers : "") < 0)
		abort();
	body = encode_form(form);
	err = sim_http_fetch(t->loop, &peer, "POST", target, head, body, strlen(body), done, ctx);
	free(body);
	free(head);
	return err;
}
