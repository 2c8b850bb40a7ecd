/* SPDX-License-Identifier: MIT
 *
 * exchange.c - see exchange.h. Quirks of libwebsockets 4.1.6 are named where they are dealt with.
 */
#include "bridge/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "bridge/form.h"
#include "bridge/http_head.h"
#include "bridge/rate_limit.h"
#include "common/loop.h"

#define ANSWER_MAX 8192

struct exchange {
	const struct exchange_desk *desk;
	char peer[ADDRESS_TEXT_BYTES];
	char method[8];
	char target[HTTP_TARGET_BYTES];
	char content_type[HTTP_HEADER_BYTES];
	char signature[HTTP_HEADER_BYTES];
	char idempotency[HTTP_HEADER_BYTES];
	char *body;
	size_t body_len, body_size;
	struct webhook_answer answer;
};

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	strbuf_free(&x->answer.body);
	free(x->body);
	free(x);
}

static int write_head(struct lws *wsi, const struct webhook_answer *answer)
{
	unsigned char buf[LWS_PRE + 512], *start = buf + LWS_PRE, *p = start,
					  *end = buf + sizeof(buf) - 1;

	if (lws_add_http_common_headers(wsi, (unsigned int)answer->status, answer->content_type,
					answer->body.len, &p, end) ||
	    lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;
	return 0;
}

static int answer_text(struct lws *wsi, struct exchange *x, int status, const char *text)
{
	x->answer.status = status;
	x->answer.content_type = "text/plain";
	strbuf_reset(&x->answer.body);
	strbuf_str(&x->answer.body, text);
	if (write_head(wsi, &x->answer))
		return -1;
	loop_want_writable(wsi);
	return 0;
}

static int finish(struct lws *wsi, struct exchange *x)
{
	struct webhook_request request = {
		.method = x->method,
		.target = x->target,
		.content_type = x->content_type[0] ? x->content_type : NULL,
		.signature = x->signature[0] ? x->signature : NULL,
		.idempotency = x->idempotency[0] ? x->idempotency : NULL,
		.body = x->body ? x->body : "",
		.body_len = x->body_len,
		.peer = x->peer,
	};

	x->answer.status = 500;
	x->answer.content_type = "text/plain";
	x->desk->request(x->desk->user, &request, &x->answer);
	if (write_head(wsi, &x->answer))
		return -1;
	loop_want_writable(wsi);
	return 0;
}

int exchange_begin(struct exchange **out, struct lws *wsi, const struct exchange_desk *desk,
		   const struct sockaddr *peer)
{
	static const struct {
		enum lws_token_indexes token;
		const char *name;
	} method[] = {
		{WSI_TOKEN_POST_URI, "POST"},     {WSI_TOKEN_GET_URI, "GET"},
		{WSI_TOKEN_HEAD_URI, "HEAD"},     {WSI_TOKEN_PUT_URI, "PUT"},
		{WSI_TOKEN_DELETE_URI, "DELETE"}, {WSI_TOKEN_PATCH_URI, "PATCH"},
		{WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
	};
	struct exchange *x = calloc(1, sizeof(*x));
	char number[24];
	size_t i;

	if (!x)
		return -1;
	strbuf_init(&x->answer.body, ANSWER_MAX);
	x->desk = desk;
	address_text(peer, x->peer);
	exchange_free(*out);
	*out = x;

	for (i = 0; i < sizeof(method) / sizeof(method[0]); i++)
		if (lws_hdr_total_length(wsi, method[i].token))
			break;
	if (i == sizeof(method) / sizeof(method[0]))
		return answer_text(wsi, x, 405, "method not allowed\n");
	strcpy(x->method, method[i].name);
	if (!http_target(wsi, method[i].token, x->target))
		return answer_text(wsi, x, 414, "the address is too long\n");
	http_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, x->content_type, sizeof(x->content_type));
	http_custom_header(wsi, "x-twilio-signature:", x->signature, sizeof(x->signature));
	http_custom_header(wsi, "i-twilio-idempotency-token:", x->idempotency, sizeof(x->idempotency));

	if (strcmp(x->method, "POST") != 0 && strcmp(x->method, "PUT") != 0 &&
	    strcmp(x->method, "PATCH") != 0)
		return finish(wsi, x);
	/* Quirk: a body without a length, or one that waits for "100 Continue", would get no answer
	 * from libwebsockets until its time-out. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_EXPECT))
		return answer_text(wsi, x, 417, "Expect is not supported\n");
	if (!http_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, number, sizeof(number)) ||
	    number[strspn(number, "0123456789")] != '\0')
		return answer_text(wsi, x, 411, "Content-Length is needed\n");
	if (strlen(number) > 8 || strtoul(number, NULL, 10) > FORM_MAX_BYTES)
		return answer_text(wsi, x, 413, "the body is too big\n");
	x->body_size = strtoul(number, NULL, 10);
	if (x->body_size == 0)
		return 0; /* HTTP_BODY_COMPLETION comes all the same */
	x->body = malloc(x->body_size);
	return x->body ? 0 : answer_text(wsi, x, 500, "out of memory\n");
}

int exchange_body(struct exchange *x, const void *in, size_t len)
{
	if (x->answer.status) /* refused already; what still comes is not looked at */
		return 0;
	if (!x->body || len > x->body_size - x->body_len)
		return -1;
	memcpy(x->body + x->body_len, in, len);
	x->body_len += len;
	return 0;
}

int exchange_complete(struct exchange *x, struct lws *wsi)
{
	return x->answer.status ? 0 : finish(wsi, x);
}

int exchange_write(struct exchange *x, struct lws *wsi)
{
	size_t len = x->answer.body.len;
	unsigned char *buf;
	int written;

	if (x->answer.status == 0)
		return 0;
	buf = malloc(LWS_PRE + len + 1);
	if (!buf)
		return -1;
	memcpy(buf + LWS_PRE, strbuf_text(&x->answer.body), len + 1);
	written = lws_write(wsi, buf + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
	free(buf);
	/* An error leaves the rest of a body unread: the connection is of no further use. */
	if (written < 0 || x->body_len < x->body_size)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}
