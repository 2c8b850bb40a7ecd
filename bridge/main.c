/* SPDX-License-Identifier: MIT
 *
 * main.c - loopline-bridge: phone calls on one side, ALSA loopback PCMs on the other.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/bridge.h"
#include "bridge/bridge_settings.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/settings.h"

#define REALTIME_RANK 20

struct process {
	struct loop *loop;
	struct bridge *bridge;
	bool stopping;
	struct loop_timer watchdog;
	int64_t watchdog_ms;
};

static void on_watchdog(void *arg)
{
	struct process *p = arg;

	notify_send("WATCHDOG=1");
	loop_timer_set(p->loop, &p->watchdog, p->watchdog_ms, on_watchdog, p);
}

static void reload(struct process *p)
{
	struct settings *settings;

	notify_send("RELOADING=1");
	if (settings_reload(&settings, &bridge_settings_program) == 0) {
		bridge_reload(p->bridge, settings);
		settings_unref(settings);
	}
	notify_send("READY=1");
}

static void on_signal(void *arg, int signo)
{
	struct process *p = arg;

	if (signo == SIGHUP) {
		if (!p->stopping)
			reload(p);
		return;
	}
	if (p->stopping) { /* asked twice */
		loop_stop(p->loop);
		return;
	}
	p->stopping = true;
	log_info("stopping; calls that are up come back to the next start");
	notify_send("STOPPING=1");
	bridge_stop(p->bridge);
}

/* The loop carries the sound, so it is never kept waiting; but not before it runs. Starting takes a
 * while (libraries, certificates, ALSA's configuration), and where there is one processor, what starts
 * with the same rank as the other service's audio makes a hole in it. Our other threads, which
 * wait for names, servers and devices, stay ordinary. */
static bool rise(void)
{
	struct sched_param rank = {.sched_priority = REALTIME_RANK};

	return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &rank) == 0;
}

int main(int argc, char **argv)
{
	struct process p = {0};
	struct settings *settings;
	int status, err;

	if (!settings_main(&settings, &bridge_settings_program, argc, argv, &status))
		return status;
	err = loop_create(&p.loop);
	if (!err)
		err = loop_signals(p.loop, on_signal, &p);
	if (err)
		log_error("cannot make the event loop: %s", strerror(-err));
	else
		err = bridge_create(&p.bridge, p.loop, settings);
	if (!err) {
		p.watchdog_ms = notify_watchdog_ms() / 2;
		if (p.watchdog_ms)
			on_watchdog(&p);
		notify_send("READY=1");
		log_info("ready version=%s realtime=%s", LOOPLINE_VERSION, rise() ? "yes" : "no");
		loop_run(p.loop);
	}
	loop_timer_cancel(&p.watchdog);
	bridge_close(p.bridge);
	if (p.loop)
		loop_destroy(p.loop);
	bridge_destroy(p.bridge);
	settings_unref(settings);
	if (!err)
		log_info("stopped");
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
