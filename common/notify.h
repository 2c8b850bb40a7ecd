/* SPDX-License-Identifier: MIT
 *
 * notify.h - what a service tells systemd (sd_notify(3)), without libsystemd. Does nothing where
 * NOTIFY_SOCKET is not set.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "STATUS=...", "WATCHDOG=1", or several lines of them. 0, -errno. */
int notify_send(const char *state);
/* How often WATCHDOG=1 is expected of this process (WATCHDOG_USEC), 0: never. */
int64_t notify_watchdog_ms(void);

#endif
