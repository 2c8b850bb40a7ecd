/* SPDX-License-Identifier: MIT
 *
 * call.h - the usual steps of end-to-end tests: a call with the bot in the channel, its end, and
 * the levels of tones. Failures end in harness_failed().
 */
#ifndef TESTS_E2E_CALL_H
#define TESTS_E2E_CALL_H

#include "tests/e2e/harness.h"
#include "tests/e2e/measure.h"

/* Dials; returns when the stream is open and the line's channel connected. voice: JSON (see
 * tests/sim/README.md). more: further members of the command ("\"to\":\"+1…\"") or "".
 * Recordings, if wanted, are DIR/rec/NAME.K.*. */
void call_up(struct world *w, int line, const char *name, const char *voice, bool record,
	     const char *more);
/* Lets both playout buffers find their size: short sounds with pauses each way for four seconds.
 * (In unbroken sound they shrink by 1 ms a second only, by resampling, which moves a tone of
 * 1 kHz by 1 Hz.) Then the caller and the member say these (JSON; more: as above, for `speak`). */
void call_settle(struct world *w, const char *name, const char *caller, const char *member_name,
		 const char *member, const char *more);
void call_down(struct world *w, const char *name);
/* From now on both hear each other well for five seconds, and nobody himself. stream: which of the
 * call's (it must be recorded); stem: of the member's recording. */
void call_both_hear(struct world *w, const char *call, int stream, const char *member_name,
		    const char *stem, double caller_hz, double member_hz);
/* Both say chirps for so long, then the recorded call ends; the delays each way. */
void call_delays(struct world *w, const char *name, const char *member_name, int ms,
		 struct delays *to_discord, struct delays *to_phone);
/* Its two halves, for who has something to look at meanwhile. */
void call_chirps(struct world *w, const char *name, const char *member_name);
void call_chirps_end(struct world *w, const char *name, const char *member_name,
		     struct delays *to_discord, struct delays *to_phone);

/* A figure of the bridge's first call on line 0; NAN if there is none. */
double call_figure(struct world *w, const char *name);
/* What both processes say of the delay of line 0's first call now, each way: the sums of their
 * stages, in ms. With `show` each stage is printed, and the totals that the bridge shows must be near them:
 * where the delay has not just changed, which only half of them know. */
void call_budget(struct world *w, bool show, double *to_discord, double *to_phone);
/* Hangs up whatever is still up. */
void calls_down(struct world *w);

/* A member who is there from now on, in the lounge, and what it hears of the bot: DIR/rec/NAME. */
void member_in(struct world *w, const char *name, const char *channel);
void member_record(struct world *w, const char *name, const char *stem);
/* Stops and loads what was heard of the bot. */
void member_recorded(struct world *w, const char *name, const char *stem, struct track *out);

/* Fails unless, in the 5 s that begin at second `from`, each tone of `present` (a list that ends
 * with 0) has its level within 0.5 dB of -15 dBFS, and each of `absent` is 50 dB below that. In
 * windows of 200 ms, so that a tone which is moved a little by clock control is found. */
void expect_tones(const char *where, const float *x, size_t n, unsigned rate, double from,
		  const double *present, const double *absent);
void expect_tones_at(const char *where, const struct track *t, double t_ns, const double *present,
		     const double *absent);
/* The same for a recording of arecord. */
void expect_tones_in_file(const char *path, double from, const double *present, const double *absent);

#define TONES(...) ((const double[]){__VA_ARGS__, 0})
#define NO_TONES   ((const double[]){0})

#endif
