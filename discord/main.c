/* SPDX-License-Identifier: MIT
 *
 * main.c - loopline-discord: ALSA loopback <-> Discord voice channel.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "discord/app.h"
#include "discord/keys.h"

static void on_signal(void *arg, int signo)
{
	struct app **app = arg;
	struct settings *settings;
	if (signo != SIGHUP) {
		app_stop(*app);
		return;
	}
	if (settings_reload(&settings, &discord_settings) == 0) {
		app_reload(*app, settings);
		settings_unref(settings);
	}
}

int main(int argc, char **argv)
{
	struct settings *settings = NULL;
	struct loop *loop = NULL;
	static struct app *app;
	int status = 0;
	/*
	 * A verification code takes 16 MiB for a moment (scrypt). glibc would take the first such
	 * block for a sign to get the next ones from the heap, and the heap keeps them.
	 */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	if (!settings_main(&settings, &discord_settings, argc, argv, &status))
		return status;
	int err = loop_create(&loop);
	if (err == 0)
		err = loop_signals(loop, on_signal, &app);
	if (err < 0) {
		log_error("cannot make the event loop error=%s", strerror(-err));
		status = 1;
		goto out;
	}
	if (app_create(&app, loop, settings) < 0) {
		status = 1;
		goto out;
	}
	app_start(app);
	loop_run(loop);
	status = app_exit_status(app);
	app_destroy(app);
out:
	if (loop)
		loop_destroy(loop);
	settings_unref(settings);
	return status;
}
