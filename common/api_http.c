/* SPDX-License-Identifier: MIT
 *
 * api_http.c - requests to the local API: routes, bodies, answers.
 */
#include "common/api_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define STATE_PATH "/v1/state"

struct api_reply {
	int status;
	struct strbuf body;
};

static const char *after_prefix(const char *path, const char *pattern, size_t len)
{
	return strncmp(path, pattern, len) ? NULL : path + len;
}

/* "/v1/calls/{}/hangup" against a path; param gets what stands for {}. */
static bool route_matches(const char *pattern, const char *path, char *param, size_t size)
{
	const char *hole = strstr(pattern, "{}"), *rest;
	size_t len;

	param[0] = '\0';
	if (!hole)
		return !strcmp(pattern, path);
	rest = after_prefix(path, pattern, (size_t)(hole - pattern));
	if (!rest)
		return false;
	len = strcspn(rest, "/");
	if (!len || len >= size || strcmp(rest + len, hole + 2) != 0)
		return false;
	memcpy(param, rest, len);
	param[len] = '\0';
	return true;
}

void api_reply_json(struct api_request *request, int status, const char *json)
{
	request->reply->status = status;
	strbuf_reset(&request->reply->body);
	strbuf_str(&request->reply->body, json);
}

void api_reply_error(struct api_request *request, int status, const char *format, ...)
{
	struct json_writer w;
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	request->reply->status = status;
	strbuf_reset(&request->reply->body);
	json_begin(&w, &request->reply->body);
	json_w_obj(&w, NULL);
	json_w_str(&w, "error", text);
	json_w_end(&w);
}

int api_write_snapshot(struct api_server *s, struct strbuf *out, bool state)
{
	struct json_writer w;

	json_begin(&w, out);
	json_w_obj(&w, NULL);
	json_w_str(&w, "type", "snapshot");
	json_w_str(&w, "boot", s->boot);
	json_w_int(&w, "seq", (int64_t)s->seq);
	s->config.snapshot(s->config.user, &w);
	if (state && s->config.state)
		s->config.state(s->config.user, &w);
	json_w_end(&w);
	return json_finish(&w);
}

static void handle_route(struct connection *c, struct api_request *request)
{
	struct api_server *s = c->server;
	bool known = !strcmp(request->path, STATE_PATH) || !strcmp(request->path, API_EVENTS_PATH);
	char param[API_PATH_BYTES];

	if (!strcmp(request->path, STATE_PATH) && !c->post) {
		if (api_write_snapshot(s, &request->reply->body, true) < 0)
			api_reply_error(request, 500, "the state cannot be written");
		else
			request->reply->status = 200;
		return;
	}
	if (!strcmp(request->path, API_EVENTS_PATH) && !c->post) {
		api_reply_error(request, 426, "%s is a WebSocket", API_EVENTS_PATH);
		return;
	}
	for (size_t i = 0; i < s->config.route_count; i++) {
		const struct api_route *route = &s->config.routes[i];

		if (!route_matches(route->pattern, request->path, param, sizeof(param)))
			continue;
		known = true;
		if (strcmp(route->method, request->method) != 0)
			continue;
		request->param = param;
		if (c->post)
			log_info("local API request path=%s uid=%d", log_quote(request->path),
				 (int)request->uid);
		route->handle(s->config.user, request);
		if (!request->reply->status)
			api_reply_error(request, 500, "no answer");
		return;
	}
	api_reply_error(request, known ? 405 : 404, "%s", known ? "wrong method" : "no such path");
}

/* Writes the answer. Always -1: one request a connection, closed when it is out. */
static int send_reply(struct connection *c, struct api_reply *reply)
{
	unsigned char head[LWS_PRE + 512], *p = head + LWS_PRE, *end = head + sizeof(head) - 1;
	struct lws *wsi = c->wsi;
	unsigned char *body;
	size_t len;

	strbuf_char(&reply->body, '\n'); /* for people with curl */
	len = reply->body.len;
	body = malloc(LWS_PRE + len);
	if (!body || reply->body.error)
		goto out;
	memcpy(body + LWS_PRE, reply->body.data, len);
	if (lws_add_http_header_status(wsi, (unsigned)reply->status, &p, end) ||
	    lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
					 (const unsigned char *)"application/json", 16, &p, end) ||
	    lws_add_http_header_by_token(wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)"close",
					 5, &p, end) ||
	    lws_add_http_header_content_length(wsi, len, &p, end) ||
	    lws_finalize_http_header(wsi, &p, end))
		goto out;
	if (lws_write(wsi, head + LWS_PRE, (size_t)(p - head) - LWS_PRE, LWS_WRITE_HTTP_HEADERS) >=
	    0)
		/* What the socket does not take at once libwebsockets keeps and flushes before it
		 * closes. */
		lws_write(wsi, body + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
out:
	free(body);
	return -1;
}

/* The request is complete (a POST with its body). */
static int handle_request(struct connection *c)
{
	struct api_reply reply = {.body = STRBUF_INIT(API_STATE_BYTES + 1)};
	struct api_request request = {
		.method = c->post ? "POST" : "GET",
		.path = c->path,
		.param = "",
		.uid = c->uid,
		.reply = &reply,
	};
	struct json_limits limits = {.max_bytes = c->in.max, .max_depth = 8};
	struct json_doc doc;
	struct json_at root;
	int result;

	if (c->in.error) {
		api_reply_error(&request, 413, "a body of more than %zu bytes", c->in.max);
	} else if (c->in.len) {
		if (json_parse(&doc, strbuf_text(&c->in), c->in.len, &limits) < 0) {
			api_reply_error(&request, 400, "the body is %s", doc.error);
		} else {
			root = json_root(&doc);
			request.body = &root;
			handle_route(c, &request);
			if (doc.error[0] && reply.status < 400)
				api_reply_error(&request, 400, "%s", doc.error);
		}
		json_free(&doc);
	} else {
		handle_route(c, &request);
	}
	result = send_reply(c, &reply);
	strbuf_free(&reply.body);
	return result;
}

static int refuse(struct connection *c, int status, const char *why)
{
	struct api_reply reply = {.body = STRBUF_INIT(API_EVENT_BYTES)};
	struct api_request request = {.reply = &reply};

	api_reply_error(&request, status, "%s", why);
	send_reply(c, &reply);
	strbuf_free(&reply.body);
	return -1;
}

int api_http_begin(struct connection *c)
{
	struct lws *wsi = c->wsi;
	bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;

	c->post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
	if (!get && !c->post)
		return refuse(c, 405, "only GET and POST");
	if (lws_hdr_copy(wsi, c->path, sizeof(c->path),
			 c->post ? WSI_TOKEN_POST_URI : WSI_TOKEN_GET_URI) < 0)
		return refuse(c, 414, "the path is too long");
	strbuf_reset(&c->in);
	/* libwebsockets 4.1.6 reads no chunked bodies, and waits for a body that has no length. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
		return refuse(c, 411, "a body needs a Content-Length");
	if (c->post && lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0)
		return 0; /* the body follows, also if it is empty */
	return handle_request(c);
}

int api_http_body(struct connection *c, const void *in, size_t len)
{
	strbuf_add(&c->in, in, len);
	return c->in.error ? handle_request(c) : 0;
}

int api_http_complete(struct connection *c)
{
	return handle_request(c);
}
