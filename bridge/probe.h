/* SPDX-License-Identifier: MIT
 *
 * probe.h - how much audio is queued at the far end of a media stream, measured with marks.
 *
 * Twilio plays what it gets strictly in order and never faster than real time, so whatever is
 * queued there is delay for the rest of the call. A mark comes back when all audio before it was
 * played: round trip = network + queue. Against the smallest round trip of the stream that gives
 * the queue. Pure, takes time as an argument.
 */
#ifndef BRIDGE_PROBE_H
#define BRIDGE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define PROBE_PERIOD_NS   INT64_C(1000000000)
#define PROBE_OUTSTANDING 16
#define PROBE_NAME_BYTES  16
/* More than this for that long, and the queue has to be thrown away. */
#define PROBE_CEILING_NS  INT64_C(200000000)
#define PROBE_PATIENCE_NS INT64_C(2000000000)

/* A mark that is this late (beyond the usual) says that the far end takes nothing any more. After
 * that long without any the marks are given up, not the stream. */
#define PROBE_STALL_NS    INT64_C(1000000000)
#define PROBE_GIVE_UP_NS  INT64_C(10000000000)

struct probe {
	uint32_t next;  /* number of the next mark */
	uint32_t first; /* numbers below were sent before the last clear: their echoes mean nothing */
	uint32_t oldest; /* oldest mark that may still come back */
	int64_t sent_ns[PROBE_OUTSTANDING];
	int64_t due_ns;
	int64_t min_rtt_ns; /* 0: none yet */
	int64_t queue_ns;   /* last estimate, slightly smoothed */
	int64_t over_since_ns; /* 0: not over the ceiling */
	int64_t stall_since_ns; /* 0: it does not stall */
	uint32_t lost;      /* marks that gave up their place before they came back */
};

void probe_start(struct probe *probe, int64_t now_ns);

/* True if a mark is to be sent now; its name is then in `name`. */
bool probe_due(struct probe *probe, int64_t now_ns, char name[PROBE_NAME_BYTES]);

/* A mark came back. False if it is none of ours, or from before a clear. */
bool probe_echo(struct probe *probe, const char *name, int64_t now_ns);

/* True if the queue has been over the ceiling for too long: send a clear and call
 * probe_cleared(). */
bool probe_overrun(const struct probe *probe, int64_t now_ns);
void probe_cleared(struct probe *probe);

/*
 * True while the far end, or the way to it, stands still. The socket may go on taking bytes for many
 * seconds, and all of them would be heard late: send nothing meanwhile, and clear after it.
 */
bool probe_stalled(struct probe *probe, int64_t now_ns);

/*
 * By how much the stream should be made slower (parts per million, >= 0) so that a queue above
 * 15 ms drains within a minute or so. A listener hears nothing of it (500 ppm is 0.9 cent).
 */
double probe_trim_ppm(const struct probe *probe);

#endif
