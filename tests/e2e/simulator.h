/* SPDX-License-Identifier: MIT
 *
 * simulator.h - driving sim_twilio and sim_discord from a test (tests/sim/README.md has the words).
 *
 * Whatever goes wrong (no answer in time, "ok":false, an event that does not come) ends in
 * harness_failed(); see harness.h.
 */
#ifndef TESTS_E2E_SIMULATOR_H
#define TESTS_E2E_SIMULATOR_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct simulator;

/* A complaint of sim_discord that no fault excuses. */
#define SIMULATOR_OVERDRAWN "identify although it was told that none is left"

/* Starts the program (a path) with --dir dir; waits for its `ready`. stderr goes to log. */
struct simulator *simulator_start(const char *program, const char *dir, const char *log);
/* Closes its stdin and reaps it. NULL is fine. */
void simulator_stop(struct simulator *s);
const cJSON *simulator_ready(const struct simulator *s);
pid_t simulator_pid(const struct simulator *s);

/* Sends {"cmd":cmd, …}: `format` is printf for the members after it ("\"call\":\"%s\""), or "".
 * Returns the answer, valid until the sixteenth next call. */
const cJSON *simulator_ask(struct simulator *s, const char *cmd, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a command that may be refused: "ok" in the answer says. */
const cJSON *simulator_try(struct simulator *s, const char *cmd, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The next event of that name not yet taken whose fields have the given values as text, in pairs
 * that end with NULL: simulator_wait(s, 5000, "stream.open", "call", "a", NULL). It may have come
 * already. Valid until simulator_stop(). simulator_seen() does not wait: NULL if there is none. */
const cJSON *simulator_wait(struct simulator *s, int ms, const char *event, ...);
const cJSON *simulator_seen(struct simulator *s, const char *event, ...);
/* Events that came so far are not taken any more. */
void simulator_forget(struct simulator *s);
/* Complaints so far that do not contain `except` (may be NULL); the first is copied to text. */
int simulator_complaints(struct simulator *s, const char *except, char *text, int len);
/* Everything it said, for a log. */
void simulator_dump(const struct simulator *s, const char *path);

#endif
