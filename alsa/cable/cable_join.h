/* SPDX-License-Identifier: MIT
 *
 * cable_join.h - one cable, or several of one channel each that act as one with as many channels.
 * All cables have one clock, so joined ones cannot drift apart, and each still is the cable of its
 * own name for everybody else. Private to alsa/cable/.
 *
 * The functions do to all what those of cable.h do to one. A handle belongs to one thread.
 */
#ifndef ALSA_CABLE_CABLE_JOIN_H
#define ALSA_CABLE_CABLE_JOIN_H

#include "alsa/cable/cable.h"

#define CABLE_JOIN_MAX    8
#define CABLE_JOIN_FRAMES 512

struct cable_join { /* zeros: none yet */
	struct cable *cables[CABLE_JOIN_MAX];
	unsigned n;
	int16_t mono[CABLE_JOIN_FRAMES];
};

/* Takes over an open cable. -EINVAL (and the cable stays the caller's) when there are too many, or
 * when one of several has two channels. */
int cable_join_add(struct cable_join *j, struct cable *cable);

/* Closes all; may be called with none. */
void cable_join_close(struct cable_join *j);

unsigned cable_join_channels(const struct cable_join *j);

int cable_join_check(const struct cable_join *j);
int cable_join_claim(struct cable_join *j, int64_t now_frame);
int cable_join_start(struct cable_join *j, int64_t frame);
int cable_join_write(struct cable_join *j, int64_t at, const int16_t *frames, size_t n);
void cable_join_stop(struct cable_join *j, int64_t end);
int64_t cable_join_ready(struct cable_join *j, int64_t now_frame);
int cable_join_read(struct cable_join *j, int64_t frame, int16_t *out, size_t n);

#endif
