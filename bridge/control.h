/* SPDX-License-Identifier: MIT
 *
 * control.h - bridge.sock: what the Discord process and the operator see of calls, and what they
 * may do to them. The protocol is common/api.h. Loop's thread.
 */
#ifndef BRIDGE_CONTROL_H
#define BRIDGE_CONTROL_H

#include "bridge/call.h"

#define CONTROL_LEASE_MS 3000 /* what a connection said of channels holds that long after it */

struct bridge;
struct control;

/* Listens on bridge.sock in LOOPLINE_RUNTIME_DIR. -errno with a log line. */
int control_create(struct control **out, struct bridge *bridge);
void control_destroy(struct control *control); /* NULL is fine */

/* Events, see common/api.h. */
void control_call_changed(struct control *control, const struct call *call);
void control_call_ended(struct control *control, const struct call *call, enum call_end reason,
			int64_t now_ns);
void control_call_dtmf(struct control *control, const struct call *call, char digit);

#endif
