/* SPDX-License-Identifier: MIT
 *
 * app.h - the program: lines, main gateway, REST, local API, joined on one event loop.
 */
#ifndef DISCORD_APP_H
#define DISCORD_APP_H

struct loop;
struct settings;
struct app;

/* Takes a reference to settings. -errno after a log line. */
int app_create(struct app **out, struct loop *loop, struct settings *settings);
void app_destroy(struct app *app);
/* Begins to talk to the world. */
void app_start(struct app *app);
/* Leaves voice, ends the gateway session; the loop is stopped when that is done (5 s at most). */
void app_stop(struct app *app);
/* New settings: what can change in a running process does (CONNECT_ROLE, SHOW_NUMBERS, LOG ...). */
void app_reload(struct app *app, struct settings *settings);
/* What the process exits with: 0, or 78 when trying again cannot help. */
int app_exit_status(const struct app *app);

#endif
