/* SPDX-License-Identifier: MIT
 *
 * chaos_machine.c - processes, signals, descriptors, log, disk, names, the loopback; see chaos.h.
 */
#include "tests/e2e/chaos_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/heal.h"
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

void chaos_settings(struct chaos *c)
{
	bool wrong = chaos_chance(c, 2);
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
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &old) ||
	    prlimit(pid, RLIMIT_NOFILE,
		    &(struct rlimit){process_free_descriptor(pid), old.rlim_max}, NULL))
		return;
	harness_sleep_ms(ms);
	prlimit(pid, RLIMIT_NOFILE, &old, NULL);
}

/* Started with a log that nobody reads any more; its next life has one again. */
void chaos_log_pipe(struct chaos *c)
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

void chaos_full_disk(struct chaos *c)
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
