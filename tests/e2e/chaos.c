/* SPDX-License-Identifier: MIT
 *
 * chaos.c - see chaos.h.
 */
#include "tests/e2e/chaos.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/heal.h"
#include "tests/sim/malformed.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const links[] = {"phone", "twilio", "rest", "gateway", "voice", "udp", "local"};

static int chance(struct chaos *c, int n)
{
	return (int)(sim_random(&c->rng) % (unsigned)n);
}

#define PICK(c, list) ((list)[chance(c, COUNT(list))])

void chaos_step(const struct chaos *c, const char *format, ...)
{
	va_list ap;

	printf("# %7.1f ", (double)(harness_now_ns() - c->begin_ns) / 1e9);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

/* ---- calls ---------------------------------------------------------------------------------- */

const char *chaos_call(struct chaos *c, const char *voice, const char *more)
{
	static char name[16];

	snprintf(name, sizeof(name), "e%d", ++c->calls);
	chaos_step(c, "call %s %s", name, more);
	/* the bridge may not listen at the moment */
	simulator_try(c->world->phone, "call", "\"call\":\"%s\",\"voice\":%s%s%s", name, voice,
		      *more ? "," : "", more);
	return name;
}

/* A call that is up, any; "" if there is none. Takes one number, however many there are. */
static const char *any_call(struct chaos *c)
{
	static char name[16];
	const cJSON *e, *list = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(c->world->phone, "calls", "\"of\":\"all\""), "calls");
	unsigned up = 0, which = (unsigned)sim_random(&c->rng);

	name[0] = 0;
	for (int pass = 0; pass < 2; pass++) {
		unsigned n = 0;

		cJSON_ArrayForEach(e, list) {
			const char *state = cJSON_GetStringValue(
				cJSON_GetObjectItemCaseSensitive(e, "state"));

			if (state && !strcmp(state, "up") && n++ == which && pass)
				snprintf(name, sizeof(name), "%s",
					 cJSON_GetStringValue(
						 cJSON_GetObjectItemCaseSensitive(e, "call")));
		}
		up = n;
		which = up ? which % up : 0;
	}
	return name;
}

static void call_comes_or_goes(struct chaos *c)
{
	const char *name = any_call(c);

	switch (chance(c, 4)) {
	case 0:
	case 1:
		chaos_call(c, "null", "");
		break;
	case 2:
		if (*name) {
			chaos_step(c, "%s hangs up", name);
			simulator_try(c->world->phone, "hangup", "\"call\":\"%s\"", name);
		}
		break;
	default:
		if (*name) {
			chaos_step(c, "%s presses a key", name);
			simulator_try(c->world->phone, "dtmf", "\"call\":\"%s\",\"digit\":\"5\"",
				      name);
		}
		break;
	}
}

/* Calls that are not as they should be, or not what they say they are. */
static void odd_call(struct chaos *c)
{
	static const char *const odd[] = {
		"\"signature\":\"wrong\"",	  "\"stream_signature\":\"wrong\"",
		"\"url_token\":\"wrong\"",	  "\"param_token\":\"wrong\"",
		"\"param_token\":\"missing\"",	  "\"hold_upgrade_ms\":800",
		"\"hold_start_ms\":3000",	  "\"chunk\":[1,80,159,161,800,0]",
		"\"piece\":50",			  "\"jitter_ms\":150",
		"\"ppm\":300",			  "\"params\":{\"CallStatus\":\"completed\"}",
		"\"params\":{\"AccountSid\":\"AC00000000000000000000000000000000\"}",
	};

	chaos_call(c, "null", PICK(c, odd));
}

static void stream(struct chaos *c)
{
	static const char *const how[] = {"drop", "eof", "vanish"};
	const char *name = any_call(c), *h = PICK(c, how);
	int what = chance(c, 5), ms = 100 + chance(c, 4000), s = chance(c, 1000000);

	if (!*name)
		return;
	switch (what) {
	case 0:
		chaos_step(c, "stream of %s: %s", name, h);
		simulator_try(c->world->phone, "hangup", "\"call\":\"%s\",\"how\":\"%s\"", name, h);
		break;
	case 1:
		chaos_step(c, "stream of %s stalls for %d ms%s", name, ms, s % 2 ? ", lost" : "");
		simulator_try(c->world->phone, "stall", "\"call\":\"%s\",\"ms\":%d,\"lose\":%s", name,
			      ms, s % 2 ? "true" : "false");
		break;
	case 2:
		chaos_step(c, "malformed messages on the stream of %s, seed %d", name, s);
		simulator_try(c->world->phone, "malformed", "\"call\":\"%s\",\"count\":20,\"seed\":%d",
			      name, s);
		break;
	case 3:
		chaos_step(c, "%s is not read for a second", name);
		simulator_try(c->world->phone, "pause_reading", "\"call\":\"%s\",\"paused\":true", name);
		harness_sleep_ms(1000);
		simulator_try(c->world->phone, "pause_reading", "\"call\":\"%s\",\"paused\":false",
			      name);
		break;
	default:
		chaos_step(c, "%d frames of %s are left out", 1 + s % 50, name);
		simulator_try(c->world->phone, "skip", "\"call\":\"%s\",\"frames\":%d", name, 1 + s % 50);
		break;
	}
}

/* ---- processes ------------------------------------------------------------------------------ */

static void keep_alive(struct chaos *c)
{
	c->stops += heal_keep_alive(c->world);
}

static void end_it(struct chaos *c, struct process *p, int sig)
{
	keep_alive(c);
	if (!process_end(p, sig, 8000))
		harness_failed("%s does not stop", p->name);
}

static void start_it(struct chaos *c, struct process *p)
{
	if (p == &c->world->bridge)
		world_start_bridge(c->world);
	else
		world_run_bot(c->world);
}

/* Has it got through its start? Before that a service manager sends it no signal but to end. */
static bool answers(struct chaos *c, const char *socket)
{
	int status = 0;

	for (int i = 0; i < 50 && status != 200; i++) {
		cJSON_Delete(world_api(c->world, socket, "GET", "/v1/state", &status));
		if (status != 200)
			harness_sleep_ms(100);
	}
	return status == 200;
}

/* The one or the other, whichever may be ended; NULL: neither. */
static struct process *victim(struct chaos *c)
{
	bool bridge = chance(c, 2);

	if (!c->ends_bridge && !c->ends_bot)
		return NULL;
	if (bridge ? !c->ends_bridge : !c->ends_bot)
		bridge = !bridge;
	return bridge ? &c->world->bridge : &c->world->bot;
}

static void process(struct chaos *c)
{
	struct process *p = victim(c);
	int sig = chance(c, 2) ? SIGKILL : SIGTERM, ms = chance(c, 500);

	if (!p)
		return;
	chaos_step(c, "%s: %s", p->name, sig == SIGKILL ? "SIGKILL" : "SIGTERM");
	end_it(c, p, sig);
	harness_sleep_ms(ms);
	start_it(c, p);
}

static void standstill(struct chaos *c)
{
	int who = 1 + chance(c, 3), ms = 100 + chance(c, 3000);

	chaos_step(c, "%s for %d ms", who == 1 ? "the bridge stands still" :
				      who == 2 ? "the bot stands still" :
						 "suspended", ms);
	if (who & 1)
		kill(c->world->bridge.pid, SIGSTOP);
	if (who & 2)
		kill(c->world->bot.pid, SIGSTOP);
	harness_sleep_ms(ms);
	kill(c->world->bridge.pid, SIGCONT);
	kill(c->world->bot.pid, SIGCONT);
}

static void settings(struct chaos *c)
{
	bool wrong = chance(c, 2);
	static char text[512];

	chaos_step(c, "SIGHUP%s", wrong ? ", wrong settings" : "");
	if (wrong) {
		snprintf(text, sizeof(text), "%sMAX_CALLS=many\nSHOW_NUMBERS=perhaps\n", c->settings);
		world_settings(c->world, text);
	}
	if (answers(c, "bridge"))
		kill(c->world->bridge.pid, SIGHUP);
	if (answers(c, "discord"))
		kill(c->world->bot.pid, SIGHUP);
	if (wrong) {
		harness_sleep_ms(300);
		world_settings(c->world, c->settings);
	}
}

static void descriptors(struct chaos *c)
{
	bool bridge = chance(c, 2);
	int ms = 500 + chance(c, 2000);
	struct rlimit old;
	pid_t pid;

	chaos_step(c, "no descriptors for %s, %d ms", bridge ? "the bridge" : "the bot", ms);
	if (!answers(c, bridge ? "bridge" : "discord"))
		return;
	pid = bridge ? c->world->bridge.pid : c->world->bot.pid;
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &old) ||
	    prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){4, old.rlim_max}, NULL))
		return;
	harness_sleep_ms(ms);
	prlimit(pid, RLIMIT_NOFILE, &old, NULL);
}

/* Started with a log that nobody reads any more; its next life has one again. */
static void log_pipe(struct chaos *c)
{
	struct process *p = victim(c);
	char path[sizeof(p->log)], old[sizeof(p->log) + 32];
	static int kept;
	int reader;

	if (!p)
		return;
	snprintf(path, sizeof(path), "%s", p->log);
	snprintf(old, sizeof(old), "%s.%d", path, ++kept);
	chaos_step(c, "%s: SIGTERM, then a log that nobody reads (the old one is %s)", p->name,
		   strrchr(old, '/') + 1);
	end_it(c, p, SIGTERM);
	/* there is none after another life of this kind */
	if ((rename(path, old) && errno != ENOENT) || mkfifo(path, 0600))
		harness_failed("cannot make %s a pipe", path);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	start_it(c, p);
	harness_sleep_ms(200); /* it has opened it by now */
	if (reader >= 0)
		close(reader);
	unlink(path);
}

static void full_disk(struct chaos *c)
{
	char path[512], block[4096] = {0};
	int fd;

	chaos_step(c, "the disk with the state is full");
	if (!c->mounts || c->disk_full)
		return;
	snprintf(path, sizeof(path), "%s/state", c->world->dir);
	if (mount("full", path, "tmpfs", 0, "size=16k,mode=0700"))
		return;
	c->disk_full = true;
	fd = open(world_file(c->world, "state/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
		;
	if (fd >= 0)
		close(fd);
	mkdir(world_file(c->world, "discord-state.json.new"), 0700);
	simulator_try(c->world->discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
}

/* No name can be looked up for a while, and one has to be. */
static void names(struct chaos *c)
{
	struct process *p = &c->world->bot;
	bool at_start = chance(c, 2) && c->ends_bot;

	chaos_step(c, "no name can be looked up%s", at_start ? " when the bot starts" : "");
	if (!world_names(c->world, false))
		return;
	c->no_names = true;
	if (at_start) {
		end_it(c, p, SIGTERM);
		start_it(c, p);
	} else {
		simulator_try(c->world->discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
	}
}

static void cable(struct chaos *c)
{
	char path[512];
	const struct dirent *e;
	bool removed = chance(c, 2);
	uint64_t rng = sim_random(&c->rng);
	DIR *d;

	chaos_step(c, "the cables are %s", removed ? "removed" : "written over");
	snprintf(path, sizeof(path), "%s/cable", c->world->dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		struct stat st;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.200s/cable/%.250s", c->world->dir, e->d_name);
		if (removed) {
			unlink(path);
			continue;
		}
		fd = open(path, O_RDWR | O_CLOEXEC);
		for (int i = 0; fd >= 0 && !fstat(fd, &st) && st.st_size > 0 && i < 200; i++) {
			uint64_t noise = sim_random(&rng);

			if (pwrite(fd, &noise, sizeof(noise),
				   (off_t)(noise % (uint64_t)(i % 2 ? 4096 : st.st_size))) < 0)
				break;
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
}

/* Other people's programs at the cable, which end as they like. */
static void tools(struct chaos *c)
{
	static const char *const recorder[] = {"arecord", "-q", "-D", NULL, "-f", "S16_LE", "-r", "48000",
					       "-c", "1", "-d", "1", "/dev/null", NULL};
	static const char *const player[] = {"aplay", "-q", "-D", NULL, "-f", "S16_LE", "-r", "48000",
					     "-c", "1", "-d", "1", "/dev/zero", NULL};
	const char *argv[16] = {NULL}, *pcm = chance(c, 2) ? "phone" : "discord";
	bool plays = chance(c, 2);
	int ms = chance(c, 800);
	struct process p;

	for (size_t i = 0; i < COUNT(recorder) - 1; i++)
		argv[i] = i == 3 ? pcm : (plays ? player : recorder)[i];
	chaos_step(c, "%s -D %s, killed after %d ms", argv[0], pcm, ms);
	tool_start(c->world, &p, argv);
	harness_sleep_ms(ms);
	process_end(&p, SIGKILL, 2000);
}

/* ---- Discord -------------------------------------------------------------------------------- */

#define DISCORD(c, cmd, ...) simulator_try((c)->world->discord, cmd, __VA_ARGS__)

static void gateway(struct chaos *c)
{
	static const char *const how[] = {
		"\"do\":\"drop\"",
		"\"do\":\"op7\"",
		"\"do\":\"op9\",\"resumable\":true",
		"\"do\":\"op9\",\"resumable\":false",
		"\"do\":\"op1\"",
		"\"do\":\"close\",\"code\":1001",
		"\"do\":\"close\",\"code\":4000",
		"\"do\":\"close\",\"code\":4001",
		"\"do\":\"close\",\"code\":4002",
		"\"do\":\"close\",\"code\":4003",
		"\"do\":\"close\",\"code\":4005",
		"\"do\":\"close\",\"code\":4007",
		"\"do\":\"close\",\"code\":4009",
		"\"do\":\"hold\",\"ms\":2500",
		"\"do\":\"mute_acks\",\"on\":true",
	};
	const char *h = PICK(c, how);

	chaos_step(c, "gateway: %s", h);
	DISCORD(c, "gateway", "%s", h);
}

/* What a connection to come is told; some of it ends the bot, with a sentence. */
static void gateway_to_come(struct chaos *c)
{
	static const char *const next[] = {
		"\"close\":4000,\"when\":\"resume\"",	"\"close\":4007,\"when\":\"resume\"",
		"\"close\":4000,\"when\":\"connect\"",	"\"close\":4000,\"when\":\"identify\"",
		"\"close\":4009,\"when\":\"identify\"", "\"close\":4004,\"when\":\"identify\"",
		"\"close\":4013,\"when\":\"identify\"", "refused intent",
	};
	const char *n = PICK(c, next);

	if ((strstr(n, "4004") || strstr(n, "4013")) && !c->ends_bot)
		n = next[0];
	chaos_step(c, "gateway, the next: %s", n);
	if (*n == 'r') {
		DISCORD(c, "grant", "\"message_content\":false");
		c->intent_refused = true;
	} else {
		DISCORD(c, "gateway_next", "%s,\"count\":1", n);
	}
	if (strstr(n, "resume") || strstr(n, "connect"))
		DISCORD(c, "gateway", "\"do\":\"drop\"");
	else
		DISCORD(c, "gateway", "\"do\":\"op9\",\"resumable\":false");
}

static void voice(struct chaos *c)
{
	static const int codes[] = {1000, 1001, 4001, 4002, 4003, 4004, 4005, 4006, 4009, 4011,
				    4012, 4013, 4014, 4015, 4016, 4020, 4021, 4022};
	static const char *const how[] = {
		"\"do\":\"drop\"", "\"do\":\"op3\"", "\"do\":\"hold\",\"ms\":2500",
		"\"do\":\"mute_acks\",\"on\":true",
	};
	static const char *const next[] = {
		"\"close\":4006,\"when\":\"resume\"",	"\"close\":4015,\"when\":\"resume\"",
		"\"close\":4006,\"when\":\"identify\"", "\"close\":4017,\"when\":\"identify\"",
		"\"close\":4021,\"when\":\"identify\"",
	};
	int what = chance(c, 8), code = PICK(c, codes);
	const char *h = PICK(c, how), *n = PICK(c, next);

	if (what < 2) {
		chaos_step(c, "voice, the next: %s", n);
		DISCORD(c, "voice_next", "%s,\"count\":1", n);
		code = strstr(n, "resume") ? 4015 : 4006;
	}
	if (what < 5) {
		chaos_step(c, "voice: close %d", code);
		DISCORD(c, "voice", "\"do\":\"close\",\"code\":%d", code);
	} else {
		chaos_step(c, "voice: %s", h);
		DISCORD(c, "voice", "%s", h);
	}
}

/* A channel that was deleted is made again under its id: the settings name it. */
static void channel_again(struct chaos *c)
{
	DISCORD(c, "channel", "\"guild\":\"" GUILD "\",\"channel\":\"" LOUNGE "\",\"type\":2");
	DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"dave\":true,\"require_dave\":true,"
			   "\"listen_needs_voice\":true");
	DISCORD(c, "join", "\"member\":\"ann\",\"channel\":\"" LOUNGE "\"");
	DISCORD(c, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
}

static void moderator(struct chaos *c)
{
	int ms = chance(c, 1500), code = chance(c, 2) ? 4014 : 4022;

	switch (chance(c, 7)) {
	case 0:
		chaos_step(c, "the voice server moves, null for %d ms", ms);
		DISCORD(c, "server_move", "\"guild\":\"" GUILD "\",\"null_first_ms\":%d", ms);
		break;
	case 1:
		chaos_step(c, "moved away, and back after %d ms", ms);
		DISCORD(c, "move", "\"user\":\"" BOT "\",\"channel\":\"" ATTIC "\"");
		harness_sleep_ms(ms);
		DISCORD(c, "move", "\"user\":\"" BOT "\",\"channel\":\"" LOUNGE "\"");
		break;
	case 2:
		chaos_step(c, "kicked, %d", code);
		DISCORD(c, "kick", "\"user\":\"" BOT "\",\"code\":%d", code);
		break;
	case 3:
		chaos_step(c, "kicked, and the channel is full");
		DISCORD(c, "kick", "\"user\":\"" BOT "\",\"code\":%d", code);
		DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":1");
		cJSON_Delete(world_api(c->world, "discord", "POST", "/v1/lines/0/connect", NULL));
		break;
	case 4:
		chaos_step(c, "the channel is deleted");
		DISCORD(c, "delete_channel", "\"channel\":\"" LOUNGE "\"");
		c->deleted = true;
		break;
	case 5:
		chaos_step(c, "deafened");
		DISCORD(c, "deafen", "\"user\":\"" BOT "\",\"on\":true");
		break;
	default:
		chaos_step(c, "muted");
		DISCORD(c, "mute_user", "\"user\":\"" BOT "\",\"on\":true");
		break;
	}
}

static void udp(struct chaos *c)
{
	int what = chance(c, 8), s = chance(c, 1000000);
	const char *direction = chance(c, 2) ? "in" : "out";

	switch (what) {
	case 0:
		chaos_step(c, "UDP port refuses");
		DISCORD(c, "udp", "\"refuse\":true");
		break;
	case 1:
		chaos_step(c, "200 malformed datagrams, seed %d", s);
		DISCORD(c, "udp_garbage", "\"count\":200,\"seed\":%d", s);
		break;
	case 2:
		chaos_step(c, "UDP is mute");
		DISCORD(c, "udp", "\"mute\":true");
		break;
	case 3:
		chaos_step(c, "keepalives are not answered");
		DISCORD(c, "udp", "\"keepalive\":\"mute\"");
		break;
	case 4:
		chaos_step(c, "a new session, of which three discoveries are lost");
		DISCORD(c, "voice", "\"do\":\"close\",\"code\":4006");
		for (int i = 0; i < 100; i++) {
			harness_sleep_ms(20);
			if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
				    DISCORD(c, "udp", "\"discovery_lose\":3"), "ok")))
				break;
		}
		break;
	default:
		chaos_step(c, "loss, jitter, reordering, duplicates, %s, seed %d", direction, s);
		DISCORD(c, "impair",
			"\"direction\":\"%s\",\"loss\":%g,\"burst\":%d,\"jitter_ms\":%d,"
			"\"reorder\":0.05,\"duplicate\":0.02,\"seed\":%d",
			direction, 0.05 * (1 + s % 6), 1 + s % 4, 20 * (1 + s % 5), s);
		break;
	}
}

static void dave(struct chaos *c)
{
	static const char *const how[] = {
		"\"do\":\"downgrade\"",
		"\"do\":\"upgrade\"",
		"\"do\":\"rekey\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_commit\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_welcome\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"lose_welcome\"",
		"\"do\":\"stranger\",\"user\":\"" BOT "\",\"stranger\":\"933333333333333333\"",
		"\"do\":\"config\",\"overlap\":true",
		"\"do\":\"config\",\"prefer\":\"" BOT "\"",
	};
	const char *h = PICK(c, how);

	chaos_step(c, "dave: %s", h);
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE "\",%s", h);
}

static void members(struct chaos *c)
{
	int m = chance(c, 3);

	switch (chance(c, 4)) {
	case 0:
	case 1:
		chaos_step(c, "member m%d comes", m);
		DISCORD(c, "member", "\"member\":\"m%d\"", m);
		DISCORD(c, "join", "\"member\":\"m%d\",\"channel\":\"" LOUNGE "\"", m);
		break;
	case 2:
		chaos_step(c, "member m%d goes", m);
		DISCORD(c, "leave", "\"member\":\"m%d\"", m);
		break;
	default:
		chaos_step(c, "member m%d speaks", m);
		DISCORD(c, "speak", "\"member\":\"m%d\",\"voice\":{\"tone\":%d,\"dbfs\":-25}", m,
			313 + 100 * m);
		break;
	}
}

static void commands(struct chaos *c)
{
	static const char *const said[] = {"$hangup", "$connect", "$disconnect", "$nonsense"};
	static const char *const used[] = {"connect", "disconnect", "hangup"};
	const char *s = PICK(c, said), *u = PICK(c, used);

	if (chance(c, 2)) {
		chaos_step(c, "ann says %s", s);
		DISCORD(c, "say", "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"%s\"", s);
	} else {
		chaos_step(c, "ann uses /%s", u);
		DISCORD(c, "interact", "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"command\":\"%s\"",
			u);
	}
}

/* ---- links, REST, strangers ------------------------------------------------------------------ */

static void link_fault(struct chaos *c)
{
	const char *l = PICK(c, links);
	int what = chance(c, 3), ms = 200 + chance(c, 6000), s = chance(c, 1000000);
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
static void network(struct chaos *c)
{
	int ms = 500 + chance(c, 8000);
	bool phone = chance(c, 2);

	chaos_step(c, "nothing passes to %s for %d ms", phone ? "Twilio" : "Discord", ms);
	for (size_t i = phone ? 0 : 2; i < (phone ? 2 : 6); i++)
		simulator_ask(c->world->relay, "link", "\"link\":\"%s\",\"do\":\"hold\",\"ms\":%d",
			      links[i], ms);
}

static void rest(struct chaos *c)
{
	static const int statuses[] = {429, 502, 500, 404};
	int count = 1 + chance(c, 4), what = chance(c, 4), status = PICK(c, statuses);

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

static void nonsense(struct chaos *c)
{
	int what = chance(c, 3), s = chance(c, 1000000);

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

static void strangers_go(struct chaos *c)
{
	while (c->stranger_count > 0)
		close(c->strangers[--c->stranger_count]);
}

/* Connections that say nothing, or not all of it, to every socket that is listened on. */
static void strangers(struct chaos *c)
{
	static const char *const says[] = {"", "GET /phone/00000000000000000000000000000000 HTTP/1.1\r\n",
					   "POST /voice HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
					   "GET /v1/events HTTP/1.1\r\nUpgrade: websocket\r\n"};
	static const char *const sockets[] = {"bridge.sock", "bot/discord.sock"};
	int s = chance(c, 1000);

	chaos_step(c, "strangers, kind %d", s % 4);
	strangers_go(c);
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

static void local_api(struct chaos *c)
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

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	void (*make)(struct chaos *c);
	int weight;
} kinds[] = {
	{"process", process, 3},
	{"standstill", standstill, 2},
	{"settings", settings, 1},
	{"descriptors", descriptors, 2},
	{"log", log_pipe, 1},
	{"disk", full_disk, 1},
	{"names", names, 1},
	{"cable", cable, 2},
	{"tools", tools, 1},
	{"stream", stream, 4},
	{"calls", call_comes_or_goes, 6},
	{"odd calls", odd_call, 3},
	{"gateway", gateway, 4},
	{"gateway to come", gateway_to_come, 2},
	{"voice", voice, 6},
	{"moderator", moderator, 3},
	{"udp", udp, 4},
	{"dave", dave, 4},
	{"members", members, 4},
	{"links", link_fault, 6},
	{"network", network, 2},
	{"rest", rest, 3},
	{"nonsense", nonsense, 3},
	{"people", NULL, 0}, /* commands, strangers, the local API: below */
};
_Static_assert(COUNT(kinds) == CHAOS_KINDS, "one count each");

static void people(struct chaos *c)
{
	switch (chance(c, 3)) {
	case 0:
		commands(c);
		break;
	case 1:
		strangers(c);
		break;
	default:
		local_api(c);
		break;
	}
}

void chaos_fault(struct chaos *c, uint64_t seed)
{
	int total = 4, at;

	c->rng = seed;
	for (size_t i = 0; i < COUNT(kinds); i++)
		total += kinds[i].weight;
	at = chance(c, total);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (at < kinds[i].weight || i == COUNT(kinds) - 1) {
			c->counts[i]++;
			(kinds[i].make ? kinds[i].make : people)(c);
			break;
		}
		at -= kinds[i].weight;
	}
	keep_alive(c);
}

void chaos_begin(struct chaos *c, struct world *w, const char *text)
{
	*c = (struct chaos){.world = w,
			    .settings = text,
			    .begin_ns = harness_now_ns(),
			    .ends_bridge = true,
			    .ends_bot = true,
			    .mounts = world_own_mounts()};
}

void chaos_end(struct chaos *c)
{
	struct world *w = c->world;

	for (size_t i = 0; i < COUNT(links); i++)
		simulator_ask(w->relay, "link", "\"link\":\"%s\",\"do\":\"pass\"", links[i]);
	strangers_go(c);
	if (c->no_names)
		world_names(w, true);
	if (c->disk_full) {
		rmdir(world_file(w, "discord-state.json.new"));
		umount2(world_file(w, "state"), MNT_DETACH);
	}
	if (c->intent_refused)
		DISCORD(c, "grant", "\"message_content\":true");
	if (c->deleted)
		channel_again(c);
	c->no_names = c->disk_full = c->intent_refused = c->deleted = false;
	DISCORD(c, "room", "\"channel\":\"" LOUNGE "\",\"user_limit\":0");
	for (int i = 0; i < 2; i++)
		DISCORD(c, "impair", "\"direction\":\"%s\"", i ? "in" : "out");
	DISCORD(c, "udp", "\"mute\":false,\"keepalive\":\"answer\",\"discovery_lose\":0");
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE
			   "\",\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"none\"");
	DISCORD(c, "dave", "\"channel\":\"" LOUNGE "\",\"do\":\"config\"");
	DISCORD(c, "gateway", "\"do\":\"mute_acks\",\"on\":false");
	DISCORD(c, "voice", "\"do\":\"mute_acks\",\"on\":false");
	/* a server's mute outlives a stay, as it does on the real one */
	DISCORD(c, "deafen", "\"user\":\"" BOT "\",\"on\":false");
	DISCORD(c, "mute_user", "\"user\":\"" BOT "\",\"on\":false");
	DISCORD(c, "gateway_next", "\"count\":0");
	DISCORD(c, "voice_next", "\"count\":0");
	DISCORD(c, "rest_next", "\"count\":0");
	for (int i = 0; i < 3; i++)
		DISCORD(c, "hush", "\"member\":\"m%d\"", i);
	simulator_try(w->phone, "rest", "\"count\":0");
	keep_alive(c);
}

void chaos_report(const struct chaos *c)
{
	printf("# faults:");
	for (size_t i = 0; i < COUNT(kinds); i++)
		printf(" %s %d%s", kinds[i].name, c->counts[i], i + 1 < COUNT(kinds) ? "," : "\n");
}
