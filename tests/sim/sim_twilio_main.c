/* SPDX-License-Identifier: MIT
 *
 * sim_twilio - a telephone network that speaks Twilio's protocols (README.md).
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

static const char *do_config(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	const char *url = sim_str(o, "public_url", NULL), *connect = sim_str(o, "connect", NULL);
	const char *voice = sim_str(o, "voice_path", NULL), *ca = sim_str(o, "ca", NULL);
	const cJSON *tls = cJSON_GetObjectItemCaseSensitive(o, "tls");

	if (url) {
		const char *host = strstr(url, "://");

		if (!host)
			return "public_url without scheme";
		snprintf(t->public_url, sizeof(t->public_url), "%s", url);
		if (t->public_url[strlen(url) - 1] == '/')
			t->public_url[strlen(url) - 1] = 0;
		snprintf(t->host, sizeof(t->host), "%.*s", (int)strcspn(host + 3, "/"), host + 3);
	}
	if (connect && sscanf(connect, "%63[0-9.]:%d", t->address, &t->port) != 2)
		return "connect is not ADDRESS:PORT";
	if (voice)
		snprintf(t->voice_path, sizeof(t->voice_path), "%s", voice);
	if (cJSON_IsBool(tls)) {
		sim_tls_destroy(t->client_tls);
		t->client_tls = NULL;
		if (cJSON_IsTrue(tls) && sim_tls_client_create(&t->client_tls, ca))
			return "cannot read the CA file";
	}
	return NULL;
}

static const char *do_rest(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;

	t->rest_fail_status = (int)sim_num(o, "fail", 500);
	t->rest_fail_count = (int)sim_num(o, "count", 0);
	t->rest_delay_ms = (int)sim_num(o, "delay_ms", 0);
	return NULL;
}

static const char *do_call(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	struct call *old = call_find(t, sim_str(o, "call", "call")), *c;

	if (!*t->public_url || !t->port)
		return "config first";
	if (old && !old->ended)
		return "there is a call of that name";
	if (old)
		call_destroy(old);
	if (call_create(&c, t, o))
		return "cannot make a call";
	cJSON_AddStringToObject(answer, "call_sid", c->sid);
	return NULL;
}

static const char *do_calls(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	cJSON *list = cJSON_AddArrayToObject(answer, "calls");

	for (struct call *c = t->calls; c; c = c->next)
		cJSON_AddItemToArray(list,
				     sim_obj("ssssbi", "call", c->name, "call_sid", c->sid, "status",
					     c->status, "state", c->ended ? "ended" : "up", "stream",
					     c->stream != NULL, "streams", (int64_t)c->streams));
	return NULL;
}

static const char *do_hangup(void *ctx, const cJSON *o, cJSON *answer)
{
	struct call *c = call_find(ctx, sim_str(o, "call", "call"));
	const char *how = sim_str(o, "how", "stop");

	if (!c || c->ended)
		return "no such call";
	if (!strcmp(how, "stop"))
		call_end(c, "caller", "completed");
	else if (c->stream)
		stream_end(c->stream, how);
	else
		return "the call has no stream";
	return NULL;
}

static const char *do_stats(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	const char *name = sim_str(o, "call", NULL);
	cJSON *sums = cJSON_CreateObject(), *i;
	int n = 0;

	for (struct call *c = t->calls; c; c = c->next) {
		if (name && strcmp(c->name, name))
			continue;
		n++;
		stats_add(sums, c->sums);
		if (c->stream)
			stream_stats(c->stream, sums);
	}
	while ((i = sums->child)) {
		cJSON_DetachItemViaPointer(sums, i);
		cJSON_AddItemToObject(answer, i->string, i);
	}
	cJSON_Delete(sums);
	cJSON_AddNumberToObject(answer, "calls", n);
	return n || !name ? NULL : "no such call";
}

/* Commands that go to a call's stream, or to a socket opened by hand. */
static const char *do_stream(void *ctx, const cJSON *o, cJSON *answer)
{
	const char *cmd = sim_str(o, "cmd", "");
	struct call *c;

	if (sim_str(o, "socket", NULL))
		return hand_socket(ctx, cmd, o, answer);
	c = call_find(ctx, sim_str(o, "call", "call"));
	if (!c || !c->stream)
		return "no such call, or it has no stream now";
	return stream_command(c->stream, cmd, o, answer);
}

static const struct sim_command commands[] = {
	{ "config", do_config },    { "rest", do_rest },	 { "call", do_call },
	{ "calls", do_calls },	    { "hangup", do_hangup },	 { "stats", do_stats },
	{ "voice", do_stream },	    { "dtmf", do_stream },	 { "stall", do_stream },
	{ "skip", do_stream },	    { "send", do_stream },	 { "malformed", do_stream },
	{ "flush", do_stream },	    { "pause_reading", do_stream }, { "close", do_stream },
	{ "post", hand_post },	    { "open", hand_open },	 { "raw", hand_raw },
	{ "flood", hand_flood },    { "load", load_start },	 { NULL, NULL },
};

int main(int argc, char **argv)
{
	static const struct option options[] = { { "dir", 1, NULL, 'd' },
						 { "account", 1, NULL, 'a' },
						 { "token", 1, NULL, 't' },
						 { NULL, 0, NULL, 0 } };
	static struct twilio t = {
		.account_sid = "AC0123456789abcdef0123456789abcdef",
		.auth_token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		.voice_path = "/voice",
	};
	const char *dir = ".";
	char ca[4096], rest_url[128];
	struct ssl_ctx_st *tls;
	int opt, err;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'd':
			dir = optarg;
			break;
		case 'a':
			snprintf(t.account_sid, sizeof(t.account_sid), "%s", optarg);
			break;
		case 't':
			snprintf(t.auth_token, sizeof(t.auth_token), "%s", optarg);
			break;
		default:
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(ca, sizeof(ca), "%s/twilio-ca.pem", dir);
	err = sim_loop_create(&t.loop);
	if (!err)
		err = sim_tls_server_create(&tls, ca);
	if (!err)
		err = rest_start(&t, tls);
	if (!err)
		err = sim_control_start(t.loop, commands, &t);
	if (err) {
		fprintf(stderr, "sim_twilio: cannot start: %s\n", strerror(-err));
		return 1;
	}
	snprintf(rest_url, sizeof(rest_url), "https://127.0.0.1:%d/2010-04-01", t.rest_port);
	sim_event("ready", sim_obj("ossss", "ports", sim_obj("i", "rest", (int64_t)t.rest_port),
				   "rest_url", rest_url, "ca", ca, "account_sid", t.account_sid,
				   "auth_token", t.auth_token));
	sim_loop_run(t.loop);
	while (t.calls)
		call_destroy(t.calls);
	sim_loop_destroy(t.loop);
	sim_tls_destroy(tls);
	return 0;
}
