/* SPDX-License-Identifier: MIT
 *
 * main.c - loopline-bridge: phone calls on one side, ALSA loopback PCMs on the other.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/bridge.h"
#include "bridge/bridge_settings.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/settings.h"

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
		log_info("ready version=%s", LOOPLINE_VERSION);
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
