/* SPDX-License-Identifier: MIT
 *
 * talk.h - a measured conversation: both sides send chirps (delay; and the playout buffers find
 * their size), then speak at once, while arecord taps `phone`; and what came of it in figures.
 */
#ifndef TESTS_E2E_TALK_H
#define TESTS_E2E_TALK_H

#include "tests/e2e/harness.h"
#include "tests/e2e/measure.h"
#include "tests/e2e/speech.h"

#define TALK_CHIRP_MS 500

/* What the sides say: WAV files that begin with the same number of chirps. */
struct talk {
	char caller_wav[512], member_wav[512], tap_wav[512];
	int chirps;
	double seconds; /* of the longer one */
};

struct talk_side {
	bool there;
	struct signal_likeness like;
	struct delays delay;
	double said_dbfs, heard_dbfs; /* of the speech */
	double gaps, longest_gap_ms;
};

struct talk_result {
	struct talk_side out; /* phone to Discord: member's decoded packets against what was said */
	struct talk_side in; /* Discord to phone: heard against the decoded packets of the member */
	bool tap_there;
	struct signal_likeness tap; /* arecord -D phone against what the caller said */
	double tap_dbfs;
};

/* Speech by espeak-ng, sentences in a row that end with NULL, or a WAV file (given, may be NULL or
 * empty). False if espeak-ng is not there. */
bool talk_make(struct talk *t, struct world *w, int chirps, const char *caller_given,
	       const char *const *caller_says, const char *member_given,
	       const char *const *member_says);

/* In the call `call`, which is up and recorded, with a member who is in the channel. */
void talk_run(struct world *w, const struct talk *t, const char *call, const char *member,
	      struct talk_result *r);

#endif
