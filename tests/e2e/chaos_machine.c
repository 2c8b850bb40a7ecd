/* SPDX-License-Identifier: MIT
 *
 * chaos_machine.c - processes, signals, descriptors, log, disk, names, the loopback; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/heal.h"
#include "tests/e2e/machine.h"
#include "tests/sim/malformed.h"

void chaos_keep_alive(struct chaos *c)
{
	c->stops += heal_keep_alive(c->world);
}

static void end_it(struct chaos *c, struct process *p, int sig)
{
	chaos_keep_alive(c);
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
	bool bridge = chaos_chance(c, 2);

	if (!c->ends_bridge && !c->ends_bot)
		return NULL;
	if (bridge ? !c->ends_bridge : !c->ends_bot)
		bridge = !bridge;
	return bridge ? &c->world->bridge : &c->world->bot;
}

void chaos_process(struct chaos *c)
{
	struct process *p = victim(c);
	int sig = chaos_chance(c, 2) ? SIGKILL : SIGTERM, ms = chaos_chance(c, 500);

	if (!p)
		return;
	chaos_step(c, "%s: %s", p->name, sig == SIGKILL ? "SIGKILL" : "SIGTERM");
	end_it(c, p, sig);
	harness_sleep_ms(ms);
	start_it(c, p);
}

void chaos_standstill(struct chaos *c)
{
	int who = 1 + chaos_chance(c, 3), ms = 100 + chaos_chance(c, 3000);

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

/* Both read them, if they run. */
static void settings_now(struct chaos *c, const char *text)
{
	world_settings(c->world, text);
	if (answers(c, "bridge"))
		kill(c->world->bridge.pid, SIGHUP);
	if (answers(c, "discord"))
		kill(c->world->bot.pid, SIGHUP);
}

void chaos_settings_again(struct chaos *c)
{
	settings_now(c, c->settings);
}

void chaos_settings(struct chaos *c)
{
	static const char *const changed[] = {
		"MAX_CALLS=2\n", "WAITING=ring\n", "CONNECT=command\n",  "WAITING_MAX=5\n",
		"LOG=warn\n",    "SHOW_NUMBERS=full\n", "MAX_CALL_MINUTES=1\n",
	};
	static char text[512];
	const char *one = PICK(c, changed);

	switch (chaos_chance(c, 3)) {
	case 0:
		chaos_step(c, "SIGHUP");
		settings_now(c, c->settings);
		break;
	case 1:
		chaos_step(c, "SIGHUP, wrong settings");
		snprintf(text, sizeof(text), "%sMAX_CALLS=many\nSHOW_NUMBERS=perhaps\n", c->settings);
		settings_now(c, text);
		harness_sleep_ms(300);
		world_settings(c->world, c->settings);
		break;
	default:
		chaos_step(c, "SIGHUP, %.*s", (int)strcspn(one, "\n"), one);
		snprintf(text, sizeof(text), "%s%s", c->settings, one);
		settings_now(c, text);
		c->settings_changed = true;
		break;
	}
}

void chaos_descriptors(struct chaos *c)
{
	bool bridge = chaos_chance(c, 2);
	int ms = 500 + chaos_chance(c, 2000);
	struct rlimit old;
	pid_t pid;

	chaos_step(c, "no descriptors for %s, %d ms", bridge ? "the bridge" : "the bot", ms);
	if (!answers(c, bridge ? "bridge" : "discord"))
		return;
	pid = bridge ? c->world->bridge.pid : c->world->bot.pid;
	if (!descriptors_exhaust(pid, &old))
		return;
	harness_sleep_ms(ms);
	descriptors_restore(pid, &old);
}

/* And what needs some: calls, other voices, another voice session, another gateway. */
void chaos_memory(struct chaos *c)
{
	bool bridge = chaos_chance(c, 2);
	int ms = 500 + chaos_chance(c, 4000), spare_kb = chaos_chance(c, 512), what = chaos_chance(c, 3);
	struct rlimit old;
	pid_t pid;

	chaos_step(c, "no memory for %s but %d kB, %d ms", bridge ? "the bridge" : "the bot", spare_kb,
		   ms);
	if (!answers(c, bridge ? "bridge" : "discord"))
		return;
	pid = bridge ? c->world->bridge.pid : c->world->bot.pid;
	if (!memory_exhaust(pid, spare_kb, &old))
		return;
	for (int i = 0; i < 4 && bridge; i++)
		chaos_call(c, "null", "");
	for (int i = 0; i < 3 && !bridge; i++) {
		DISCORD(c, "member", "\"member\":\"m%d\"", i);
		DISCORD(c, "join", "\"member\":\"m%d\",\"channel\":\"" LOUNGE "\"", i);
		DISCORD(c, "speak", "\"member\":\"m%d\",\"voice\":{\"tone\":%d,\"dbfs\":-25}", i,
			313 + 100 * i);
	}
	if (!bridge && what)
		DISCORD(c, "voice", "\"do\":\"close\",\"code\":4006");
	if (!bridge && !what)
		DISCORD(c, "gateway", "\"do\":\"drop\"");
	harness_sleep_ms(ms);
	memory_restore(pid, &old);
	chaos_keep_alive(c);
}

void chaos_clock(struct chaos *c)
{
	int s = chaos_chance(c, 2) ? 1 + chaos_chance(c, 10) : 1 + chaos_chance(c, 7200);
	bool back = chaos_chance(c, 2);

	chaos_step(c, "the clock is set %d s %s", s, back ? "back" : "ahead");
	c->clock_set = world_clock(c->world, (back ? -s : s) * 1000000000LL) || c->clock_set;
}

void chaos_log_moves(struct chaos *c)
{
	const char *const argv[] = {"cat", NULL};

	if (c->log_reader < 0)
		return;
	if (c->log_keeper.pid)
		process_end(&c->log_keeper, 0, 2000); /* what it read from has been ended */
	fcntl(c->log_reader, F_SETFL, 0);
	process_start(&c->log_keeper, "cat", argv, NULL, NULL, c->log_path, c->log_reader, -1, 0);
	close(c->log_reader);
	c->log_reader = -1;
}

/* Started with a log that nobody reads any more, or not before chaos_end(); its next life has one again. */
void chaos_log_pipe(struct chaos *c)
{
	struct process *p = victim(c);
	bool stuck = chaos_chance(c, 2);
	char path[sizeof(p->log)], old[sizeof(p->log) + 32];
	static int kept;
	int reader;

	if (!p)
		return;
	chaos_log_moves(c);
	snprintf(path, sizeof(path), "%s", p->log);
	snprintf(old, sizeof(old), "%s.%d", path, ++kept);
	chaos_step(c, "%s: SIGTERM, then a log that %s (the old one is %s)", p->name,
		   stuck ? "is stuck" : "nobody reads", strrchr(old, '/') + 1);
	end_it(c, p, SIGTERM);
	reader = log_to_pipe(p, old);
	start_it(c, p);
	harness_sleep_ms(200); /* it has opened it by now */
	unlink(path);
	if (stuck) {
		c->log_reader = reader;
		snprintf(c->log_path, sizeof(c->log_path), "%s", path);
	} else {
		log_drain(reader, NULL, 0);
		close(reader);
	}
}

void chaos_full_disk(struct chaos *c)
{
	chaos_step(c, "the disk with the state is full");
	if (c->disk_full || !disk_fill(c->world))
		return;
	c->disk_full = true;
	simulator_try(c->world->discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
}

/* No name can be looked up for a while, and one has to be. */
void chaos_names(struct chaos *c)
{
	struct process *p = &c->world->bot;
	bool at_start = chaos_chance(c, 2) && c->ends_bot;

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

void chaos_cable(struct chaos *c)
{
	char path[512];
	const struct dirent *e;
	bool removed = chaos_chance(c, 2);
	uint64_t rng = sim_random(&c->rng);
	DIR *d;

	chaos_step(c, "the cables are %s", removed ? "removed" : "written over");
	if (removed) {
		cables_remove(c->world);
		return;
	}
	d = opendir(world_file(c->world, "cable"));
	while (d && (e = readdir(d))) {
		struct stat st;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.200s/cable/%.250s", c->world->dir, e->d_name);
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
void chaos_tools(struct chaos *c)
{
	static const char *const recorder[] = {"arecord", "-q", "-D", NULL, "-f", "S16_LE", "-r", "48000",
					       "-c", "1", "-d", "1", "/dev/null", NULL};
	static const char *const player[] = {"aplay", "-q", "-D", NULL, "-f", "S16_LE", "-r", "48000",
					     "-c", "1", "-d", "1", "/dev/zero", NULL};
	const char *argv[16] = {NULL}, *pcm = chaos_chance(c, 2) ? "phone" : "discord";
	bool plays = chaos_chance(c, 2);
	int ms = chaos_chance(c, 800);
	struct process p;

	for (size_t i = 0; i < COUNT(recorder) - 1; i++)
		argv[i] = i == 3 ? pcm : (plays ? player : recorder)[i];
	chaos_step(c, "%s -D %s, killed after %d ms", argv[0], pcm, ms);
	tool_start(c->world, &p, argv);
	harness_sleep_ms(ms);
	process_end(&p, SIGKILL, 2000);
}
