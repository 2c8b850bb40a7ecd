/* SPDX-License-Identifier: MIT
 *
 * control.h - a simulator's handle: JSON commands by line on stdin, answers and events on stdout.
 *
 * A command is {"cmd":NAME,"id":ANY,…}; its answer {"reply":NAME,"id":…,"ok":true,…} or
 * {"reply":NAME,"id":…,"ok":false,"error":TEXT}. Events are {"event":NAME,"t_ns":N,…} and come at
 * any time. The program ends at the end of stdin.
 */
#ifndef TESTS_SIM_CONTROL_H
#define TESTS_SIM_CONTROL_H

#include <cjson/cJSON.h>

#include "tests/sim/loop.h"

struct sim_control;

/* Handles one command: adds fields to `answer` and returns NULL, or returns what is wrong with it
 * (static text). A handler that answers later returns SIM_LATER and owns `answer` from then on:
 * sim_answer_later(). */
typedef const char *sim_command_fn(void *ctx, const cJSON *command, cJSON *answer);
extern const char SIM_LATER[];

struct sim_command {
	const char *name;
	sim_command_fn *run;
};

/* Commands end with an entry without name. Reads stdin (made non-blocking), stops the loop at its
 * end. There is one control in a process. */
int sim_control_start(struct sim_loop *loop, const struct sim_command *commands, void *ctx);

void sim_answer_later(cJSON *answer, const char *error);

/* Send an event; takes `fields` (may be NULL). */
void sim_event(const char *name, cJSON *fields);

/* The event "complaint": the peer did something it should not. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Typed access with a default. */
const char *sim_str(const cJSON *o, const char *key, const char *otherwise);
double sim_num(const cJSON *o, const char *key, double otherwise);
bool sim_flag(const cJSON *o, const char *key, bool otherwise);

/* A JSON object from pairs: sim_obj("si", "name", "ann", "n", 3). Format: s string, i int64,
 * d double, b bool, o cJSON (taken). */
cJSON *sim_obj(const char *format, ...);

#endif
