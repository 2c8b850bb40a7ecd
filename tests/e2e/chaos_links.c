/* SPDX-License-Identifier: MIT
 *
 * chaos_links.c - links, REST, strangers, the local API; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void chaos_link(struct chaos *c)
{
	const char *l = PICK(c, chaos_links);
	int what = chaos_chance(c, 3), ms = 200 + chaos_chance(c, 6000), s = chaos_chance(c, 1000000);
	bool both = !strcmp(l, "phone") || !strcmp(l, "udp") || !strcmp(l, "local");

	/* a status 401 or a close code 4004 can come of it, and would rightly end the bot */
	if (what == 2 && !c->ends_bot && (!strcmp(l, "rest") || !strcmp(l, "gateway")))
		what = 0;
	switch (what) {
	case 0:
		chaos_step(c, "nothing passes %s for %d ms", l, ms);
		simulator_ask(c->world->relay, "link", "\"link\":\"%s\",\"do\":\"hold\",\"ms\":%d", l,
			      ms);
		break;
	case 1:
		chaos_step(c, "%s is cut", l);
		simulator_ask(c->world->relay, "link", "\"link\":\"%s\",\"do\":\"cut\"", l);
		break;
	default:
		chaos_step(c, "bytes are changed on %s, seed %d", l, s);
		simulator_ask(c->world->relay, "link",
			      "\"link\":\"%s\",\"do\":\"change\",\"up\":%s,\"down\":true,"
			      "\"every\":%d,\"seed\":%d",
			      l, both ? "true" : "false", !strcmp(l, "udp") ? 50 : 2000, s);
		break;
	}
}

/* The network of one side is away as a whole. */
void chaos_network(struct chaos *c)
{
	int ms = 500 + chaos_chance(c, 8000);
	bool phone = chaos_chance(c, 2);

	chaos_step(c, "nothing passes to %s for %d ms", phone ? "Twilio" : "Discord", ms);
	for (size_t i = phone ? 0 : 2; i < (phone ? 2 : 6); i++)
		simulator_ask(c->world->relay, "link", "\"link\":\"%s\",\"do\":\"hold\",\"ms\":%d",
			      chaos_links[i], ms);
}

void chaos_rest(struct chaos *c)
{
	static const int statuses[] = {429, 502, 500, 404};
	int count = 1 + chaos_chance(c, 4), what = chaos_chance(c, 4), status = PICK(c, statuses);

	switch (what) {
	case 0:
		chaos_step(c, "Twilio answers 503 %d times", count);
		simulator_try(c->world->phone, "rest", "\"fail\":503,\"count\":%d", count);
		break;
	case 1:
		chaos_step(c, "Twilio answers late %d times", count);
		simulator_try(c->world->phone, "rest", "\"delay_ms\":3000,\"count\":%d", count);
		break;
	default:
		chaos_step(c, "Discord's REST answers %d %d times%s", status, count,
			   what == 2 ? ", global" : "");
		DISCORD(c, "rest_next", "\"status\":%d,\"count\":%d,\"retry_after\":0.5,\"global\":%s",
			status, count, what == 2 ? "true" : "false");
		break;
	}
}

void chaos_nonsense(struct chaos *c)
{
	int what = chaos_chance(c, 3), s = chaos_chance(c, 1000000);

	switch (what) {
	case 0:
		chaos_step(c, "malformed requests, seed %d", s);
		simulator_try(c->world->phone, "flood", "\"count\":50,\"seed\":%d", s);
		break;
	case 1:
		chaos_step(c, "malformed gateway messages, seed %d", s);
		DISCORD(c, "malformed", "\"to\":\"gateway\",\"count\":25,\"seed\":%d", s);
		break;
	default:
		chaos_step(c, "malformed voice messages, seed %d", s);
		DISCORD(c, "malformed", "\"to\":\"voice\",\"count\":25,\"seed\":%d", s);
		break;
	}
}

void chaos_strangers_go(struct chaos *c)
{
	while (c->stranger_count > 0)
		close(c->strangers[--c->stranger_count]);
}

/* Connections that say nothing, or not all of it, to every socket that is listened on. */
void chaos_strangers(struct chaos *c)
{
	static const char *const says[] = {"", "GET /phone/00000000000000000000000000000000 HTTP/1.1\r\n",
					   "POST /voice HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
					   "GET /v1/events HTTP/1.1\r\nUpgrade: websocket\r\n"};
	static const char *const sockets[] = {"bridge.sock", "bot/discord.sock"};
	int s = chaos_chance(c, 1000);

	chaos_step(c, "strangers, kind %d", s % 4);
	chaos_strangers_go(c);
	for (int i = 0; i < CHAOS_STRANGERS; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)c->world->listen_port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		struct sockaddr_un un = {.sun_family = AF_UNIX};
		bool local = i % 3 == 2;
		int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		snprintf(un.sun_path, sizeof(un.sun_path), "%.80s/%s", c->world->dir, sockets[i % 2]);
		if (fd < 0 || connect(fd, local ? (struct sockaddr *)&un : (struct sockaddr *)&in,
				      local ? sizeof(un) : sizeof(in)))
			harness_sleep_ms(1);
		if (fd < 0)
			continue;
		(void)!send(fd, says[s % 4], strlen(says[s % 4]), MSG_NOSIGNAL);
		c->strangers[c->stranger_count++] = fd;
	}
}

void chaos_local_api(struct chaos *c)
{
	static const char *const asked[][3] = {
		{"discord", "POST", "/v1/lines/0/disconnect"},
		{"discord", "POST", "/v1/lines/7/connect"},
		{"discord", "GET", "/v1/nothing"},
		{"bridge", "POST", "/v1/calls/CA00000000000000000000000000000000/hangup"},
		{"bridge", "POST", "/v1/calls/x/hangup"},
		{"bridge", "GET", "/v1/state"},
	};
	const char *const *a = PICK(c, asked);

	chaos_step(c, "%s.sock: %s %s", a[0], a[1], a[2]);
	cJSON_Delete(world_api(c->world, a[0], a[1], a[2], NULL));
}
