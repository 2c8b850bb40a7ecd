/* SPDX-License-Identifier: MIT
 *
 * api_client.c - follows /v1/events of the other process, for as long as we live.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/api.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/ws_client.h"

#define FIRST_RETRY_MS    100
#define LAST_RETRY_MS     2000
#define MAX_MESSAGE_BYTES ((size_t)4 << 20) /* the snapshot of full lines */
#define SEND_BYTES        1024
#define SEND_BUDGET_BYTES 8192 /* two dozen speakers */

struct api_client {
	struct loop *loop;
	struct api_client_config config;
	char *path;
	struct ws_client *ws;
	struct loop_timer retry;
	unsigned failures;
	bool synced; /* the snapshot came */
	uint64_t seq;
	bool complained; /* about the server being away; once per absence */
};

static void connect_now(void *arg);

/* The connection is over: tell once, try again later. The client may be gone afterwards. */
static void lost(struct api_client *c, const char *why)
{
	bool was_synced = c->synced;
	int delay_ms;

	c->synced = false;
	ws_client_destroy(c->ws);
	c->ws = NULL;
	/* Half of it fixed: a server that drops us at once must not be hammered. */
	delay_ms = FIRST_RETRY_MS / 2 +
		   backoff_full_jitter_ms(FIRST_RETRY_MS, LAST_RETRY_MS, c->failures);
	c->failures++;
	if (!was_synced && !c->complained) {
		log_info("waiting for the other process socket=%s why=%s", log_quote(c->path),
			 log_quote(why));
		c->complained = true;
	}
	loop_timer_set(c->loop, &c->retry, delay_ms, connect_now, c);
	if (was_synced)
		c->config.on_lost(c->config.user, why);
}

static void on_open(void *user)
{
}

static void on_close(void *user, const struct ws_close *close)
{
	char why[300];

	snprintf(why, sizeof(why), "%s%s%s", close->error, close->reason[0] ? ": " : "",
		 close->reason);
	lost(user, why[0] ? why : "closed");
}

static void on_snapshot(struct api_client *c, const struct json_at *root)
{
	struct api_snapshot snapshot;

	if (!api_snapshot_decode(root, &snapshot)) {
		log_warn("the other process sent a bad snapshot error=%s",
			 log_quote(root->doc->error));
		lost(c, "bad snapshot");
		return;
	}
	c->synced = true;
	c->seq = snapshot.seq;
	c->failures = 0;
	c->complained = false;
	c->config.on_snapshot(c->config.user, &snapshot);
	api_snapshot_free(&snapshot);
}

static void on_event(struct api_client *c, const struct json_at *root)
{
	struct api_event event;

	if (!api_event_decode(root, &event)) {
		log_warn("the other process sent a bad event error=%s",
			 log_quote(root->doc->error));
		lost(c, "bad event");
		return;
	}
	if (event.seq != c->seq + 1) {
		lost(c, "events are missing");
		return;
	}
	c->seq = event.seq;
	if (event.type != API_EVENT_UNKNOWN)
		c->config.on_event(c->config.user, &event);
}

static void on_message(void *user, const uint8_t *data, size_t len, bool binary)
{
	static const struct json_limits limits = {.max_bytes = MAX_MESSAGE_BYTES, .max_depth = 8};
	struct api_client *c = user;
	struct json_doc doc;
	struct json_at root;

	if (json_parse(&doc, (const char *)data, len, &limits) < 0) {
		log_warn("the other process sent no JSON error=%s", log_quote(doc.error));
		json_free(&doc);
		lost(c, "no JSON");
		return;
	}
	root = json_root(&doc);
	if (c->synced)
		on_event(c, &root);
	else
		on_snapshot(c, &root);
	json_free(&doc);
}

static void connect_now(void *arg)
{
	struct api_client *c = arg;
	struct ws_client_config config = {
		.loop = c->loop,
		.url = "ws://localhost/v1/events",
		.unix_path = c->path,
		.max_message_bytes = MAX_MESSAGE_BYTES,
		.connect_timeout_ms = 3000,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
		.user = c,
	};

	if (ws_client_open(&c->ws, &config) < 0)
		lost(c, "out of memory");
}

int api_client_create(struct api_client **out, struct loop *loop,
		      const struct api_client_config *config)
{
	struct api_client *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->config = *config;
	c->path = strdup(config->path);
	if (!c->path) {
		free(c);
		return -ENOMEM;
	}
	loop_timer_set(loop, &c->retry, 0, connect_now, c);
	*out = c;
	return 0;
}

void api_client_destroy(struct api_client *c)
{
	if (!c)
		return;
	loop_timer_cancel(&c->retry);
	ws_client_destroy(c->ws);
	free(c->path);
	free(c);
}

bool api_client_connected(const struct api_client *c)
{
	return c->synced;
}

static int send_text(struct api_client *c, struct json_writer *w, struct strbuf *text)
{
	int err = json_finish(w);

	if (!err)
		err = ws_client_send_text(c->ws, strbuf_text(text), text->len);
	strbuf_free(text);
	return err;
}

int api_client_send_channel(struct api_client *c, const struct api_channel *channel)
{
	struct strbuf text = STRBUF_INIT(SEND_BYTES);
	struct json_writer w;

	if (!c->synced)
		return -ENOTCONN;
	json_begin(&w, &text);
	api_channel_encode(&w, channel);
	return send_text(c, &w, &text);
}

int api_client_send_budget(struct api_client *c, int line,
			   void (*write)(const void *ctx, struct json_writer *w), const void *ctx)
{
	struct strbuf text = STRBUF_INIT(SEND_BUDGET_BYTES);
	struct json_writer w;

	if (!c->synced)
		return -ENOTCONN;
	json_begin(&w, &text);
	json_w_obj(&w, NULL);
	json_w_str(&w, "type", "line.budget");
	json_w_int(&w, "line", line);
	write(ctx, &w);
	json_w_end(&w);
	return send_text(c, &w, &text);
}
