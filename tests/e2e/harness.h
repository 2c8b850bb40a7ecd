/* SPDX-License-Identifier: MIT
 *
 * harness.h - a whole installation for one test: both simulators, both processes, the cable, a
 * private ALSA configuration, all in a temporary directory and on free ports.
 *
 * Programs are found in $BUILD (default build), relative to the working directory, which is the
 * top of the source tree. Nothing but what was started here is ever ended here; what is started
 * dies with the test program. Everything waits for causes (a socket that answers, an event),
 * bounded in time; sanitizers multiply the patience.
 */
#ifndef TESTS_E2E_HARNESS_H
#define TESTS_E2E_HARNESS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/e2e/simulator.h"

/* What to do when something fails: gets the text, must not return. Default: print and exit(1). */
extern void (*harness_on_failure)(const char *text);
void harness_failed(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

int64_t harness_now_ns(void);
void harness_sleep_ms(int ms);
/* A factor for deadlines: 1, more under sanitizers or valgrind. */
int harness_patience(void);
/* Build directory, absolute. */
const char *harness_build(void);

/* ---- processes ---- */

/* The far side does not stutter because this machine compiles; nor does a handshake of its own keep the
 * sound of the services (20) waiting where there is one processor. */
#define PRIORITY_SIMULATOR 18
#define PRIORITY_SERVICE   0 /* they raise themselves what carries sound */
#define PRIORITY_TOOL      10

struct process {
	char name[32];
	pid_t pid; /* 0: none */
	char log[512];
	int status; /* of waitpid, once it has ended */
};

/* priority: real-time (SCHED_FIFO) if it is allowed, so that a busy machine is not taken for a fault
 * of what is tested; 0: ordinary. env: "NAME=value" list
 * ending with NULL, added to ours (may be NULL). in, out: descriptors or -1 (/dev/null, log).
 * stderr goes to log, appended. */
void process_start(struct process *p, const char *name, const char *const argv[],
		   const char *const env[], const char *dir, const char *log, int in, int out,
		   int priority);
/* Sends a signal (0: none) and reaps within ms, else kills. Returns true if it ended by itself. */
bool process_end(struct process *p, int signal, int ms);
/* The lowest descriptor that a process does not have. */
unsigned process_free_descriptor(pid_t pid);
/* Reaps it if it has ended; true then. */
bool process_ended(struct process *p);

/* ---- a world ---- */

struct world_options {
	const char *settings; /* further lines of .env, e.g. "CONNECT=call\n" */
	const char *conf;     /* loopline.conf, e.g. a [line 1] section; NULL: none */
	bool no_discord;      /* do not start loopline-discord */
	bool xchacha;         /* the rooms offer only XChaCha20 */
	bool stereo;          /* cables of two channels */
	bool plain;           /* rooms without end-to-end encryption, as stage channels */
	bool relay;           /* sim_relay stands on every link: phone, twilio, rest, gateway, voice,
			       * udp, local */
	bool names;           /* both REST services are reached by name, where world_own_mounts() */
	bool clock;           /* the services' wall clock can be set: world_clock() */
};

struct world {
	char dir[256];
	char conf[320], service_conf[320]; /* ALSA's, for tools and for the services */
	int listen_port;
	struct simulator *phone, *discord, *relay;
	struct process bridge, bot;
	struct world_options options;
	char twilio_ca[320], discord_ca[320];
	char api_url[256], rest_url[256];
	bool named;
	int tools;
};

/* Channels of sim_discord's world. */
#define GUILD   "811111111111111111"
#define TEXT    "811111111111111001"
#define LOUNGE  "811111111111111101"
#define ATTIC   "811111111111111102"
#define GUILD2  "822222222222222222"
#define TEXT2   "822222222222222001"
#define LOUNGE2 "822222222222222101"
#define BOT     "900000000000000001"

void world_start(struct world *w, const struct world_options *options);
/* Ends everything. keep: leave the directory and tell where it is. Safe on a world half made. */
void world_stop(struct world *w, bool keep);
/* Prints the tails of all logs to stderr. */
void world_show_logs(struct world *w);

void world_start_bridge(struct world *w);
void world_start_bot(struct world *w);
/* Starts loopline-discord and waits for nothing: it may not get far. */
void world_run_bot(struct world *w);
/* Writes `.env` anew with these further lines (kept by pointer), for the next start or SIGHUP. */
void world_settings(struct world *w, const char *settings);
/* A mount namespace for this process and what it starts, made at the first call; false: not here. */
bool world_own_mounts(void);
/* Can the services' names be looked up? False: this world has none. */
bool world_names(struct world *w, bool there);
/* The wall clock of both services is so much ahead of ours from now on, as if it had been set. False: it
 * cannot be set here. */
bool world_clock(struct world *w, int64_t ahead_ns);
/* Fails unless both processes run and nobody complained (except complaints with that text). */
void world_check(struct world *w, const char *except);

/* GET/POST on a local API socket ("bridge", "discord"); the answer's JSON (caller deletes) or NULL.
 * *status gets the HTTP status, 0 if nobody answers. */
cJSON *world_api(struct world *w, const char *socket, const char *method, const char *path,
		 int *status);
/* Wait until the bridge says that the line's channel has this state. */
void world_wait_channel(struct world *w, int line, const char *state, int ms);
/* Wait until the bridge has this many calls on the line. */
void world_wait_calls(struct world *w, int line, int calls, int ms);

/* Whether a process's log has this text, within ms. */
bool world_logged(const struct process *p, const char *text, int ms);

/* Start an ALSA tool (arecord, aplay) with the private configuration; its log is in the
 * directory. argv ends with NULL. */
void tool_start(struct world *w, struct process *p, const char *const argv[]);
/* Wait until a growing file (a recording) has at least so many bytes. */
void wait_file_size(const char *path, long bytes, int ms);
/* DIR/name, valid until the sixteenth next call. */
const char *world_file(const struct world *w, const char *name);

#endif
