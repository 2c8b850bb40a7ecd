/* SPDX-License-Identifier: MIT
 *
 * port_state.c - a port as the local APIs of both processes show it.
 */
#include "alsa/port.h"

#include "common/json.h"

void port_write_state(struct json_writer *w, const char *name, const struct port *port)
{
	struct port_stats stats;

	port_stats(port, &stats);
	json_w_obj(w, name);
	json_w_str(w, "pcm", port_name(port));
	json_w_bool(w, "open", port_is_open(port));
	json_w_int(w, "channels", port_channels(port));
	json_w_int(w, "frames", (int64_t)stats.frames);
	json_w_int(w, "xruns", (int64_t)stats.xruns);
	json_w_int(w, "late_frames", (int64_t)stats.late_frames);
	json_w_int(w, "losses", (int64_t)stats.losses);
	json_w_int(w, "silence_frames", (int64_t)stats.silence_frames);
	json_w_int(w, "dropped_frames", (int64_t)stats.dropped_frames);
	json_w_int(w, "lead_frames", stats.lead_frames);
	json_w_end(w);
}
