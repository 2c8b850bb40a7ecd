/* SPDX-License-Identifier: MIT
 *
 * bridge.h - the whole of loopline-bridge behind its main(): door, calls, lines, local API.
 */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include "common/loop.h"
#include "common/settings.h"

#define BRIDGE_STOP_MS 4000 /* longest that bridge_stop() lets things finish */

struct bridge;

/* Opens everything; one reference of settings is taken. -errno with a log line. */
int bridge_create(struct bridge **out, struct loop *loop, struct settings *settings);

/* SIGHUP: settings for calls that come from now on, TLS files read again. */
void bridge_reload(struct bridge *bridge, struct settings *settings);

/*
 * SIGTERM: accepts no more, closes the streams (the calls stay in the network and come back to the
 * next process), lets hang-ups under way finish, then stops the loop. At most BRIDGE_STOP_MS.
 */
void bridge_stop(struct bridge *bridge);

/* Before loop_destroy(): nothing of ours runs any more. */
void bridge_close(struct bridge *bridge);
/* After loop_destroy(). NULL is fine. */
void bridge_destroy(struct bridge *bridge);

#endif
