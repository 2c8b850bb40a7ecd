/* SPDX-License-Identifier: MIT
 *
 * opener.h - a thread that opens PCMs, since that may block and the loop must not.
 *
 * It sleeps until it is told that something is to be opened, then tries every 100 ms (the ports'
 * own back-off applies) until all are open. Each new reason for failure is one line in the log.
 */
#ifndef BRIDGE_OPENER_H
#define BRIDGE_OPENER_H

#include <stddef.h>

#include "alsa/port.h"

struct opener;

/* The ports stay the caller's and must live until opener_destroy(). Starts at once. -errno. */
int opener_create(struct opener **out, struct port *const *ports, size_t count);
/* Ends the thread, which may take as long as an open that blocks. NULL is fine. */
void opener_destroy(struct opener *opener);

/* Wakes the thread if a port is not open. Cheap; call it now and then. */
void opener_check(struct opener *opener);

#endif
