/* SPDX-License-Identifier: MIT
 *
 * sim_relay - stands between the sandbox and the processes on every link, and can hold, cut and
 * change what passes (README.md).
 *
 * It ends TLS on both sides, so that what it changes is what the processes parse, and follows the
 * addresses that Discord tells: gateway, voice servers, UDP ports.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/control.h"
#include "tests/sim/relay_link.h"

static const char *do_front(void *ctx, const cJSON *o, cJSON *answer)
{
	struct relay *r = ctx;
	const char *link = sim_str(o, "link", NULL), *kind = sim_str(o, "kind", "tcp");
	int to = (int)sim_num(o, "to", 0), port = 0, err;

	if (!link)
		return "no link";
	if (!strcmp(kind, "tcp"))
		err = relay_front_tcp(r, link, to, &port);
	else if (!strcmp(kind, "tls"))
		err = relay_front_tls(r, link, to, sim_str(o, "ca", ""), sim_flag(o, "follow", false),
				      &port);
	else if (!strcmp(kind, "unix"))
		err = relay_front_unix(r, link, sim_str(o, "path", ""), sim_str(o, "to_path", ""));
	else
		return "no such kind";
	if (err)
		return strerror(-err);
	cJSON_AddNumberToObject(answer, "port", port);
	return NULL;
}

static const char *do_link(void *ctx, const cJSON *o, cJSON *answer)
{
	struct relay *r = ctx;
	const char *name = sim_str(o, "link", NULL), *what = sim_str(o, "do", "");
	struct relay_link *l = name ? relay_link(r, name) : NULL;

	if (!l)
		return "no link";
	if (!strcmp(what, "hold")) {
		relay_hold(r, l, (int64_t)sim_num(o, "ms", -1));
	} else if (!strcmp(what, "pass")) {
		relay_hold(r, l, 0);
		l->change.every = 0;
	} else if (!strcmp(what, "cut")) {
		relay_cut(r, l);
	} else if (!strcmp(what, "change")) {
		l->change = (struct relay_change){
			.up = sim_flag(o, "up", false),
			.down = sim_flag(o, "down", false),
			.every = (int)sim_num(o, "every", 4000),
			.seed = (uint64_t)sim_num(o, "seed", 1),
		};
	} else if (strcmp(what, "look") != 0) {
		return "no such thing to do";
	}
	cJSON_AddNumberToObject(answer, "connections", (double)l->connections);
	cJSON_AddNumberToObject(answer, "bytes", (double)l->bytes);
	cJSON_AddNumberToObject(answer, "changes", (double)l->changes);
	cJSON_AddNumberToObject(answer, "dropped", (double)l->dropped);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct sim_command commands[] = {
		{"front", do_front}, {"link", do_link}, {NULL, NULL}};
	static const struct option options[] = {{"dir", 1, NULL, 'd'}, {NULL, 0, NULL, 0}};
	struct relay relay = {0};
	const char *dir = ".";
	char ca[4096];
	int opt, err;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'd')
			return 2;
		dir = optarg;
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(ca, sizeof(ca), "%s/relay-ca.pem", dir);
	err = sim_loop_create(&relay.loop);
	if (!err)
		err = sim_tls_server_create(&relay.server_tls, ca);
	if (!err)
		err = sim_control_start(relay.loop, commands, &relay);
	if (err) {
		fprintf(stderr, "sim_relay: cannot start: %s\n", strerror(-err));
		return 1;
	}
	sim_event("ready", sim_obj("s", "ca", ca));
	sim_loop_run(relay.loop);
	relay_free(&relay);
	sim_loop_destroy(relay.loop);
	sim_tls_destroy(relay.server_tls);
	return 0;
}
