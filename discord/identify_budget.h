/* SPDX-License-Identifier: MIT
 *
 * identify_budget.h - how soon the next Identify may be sent.
 *
 * Discord allows about 1000 Identifies a day; using them up resets the bot's token and writes to
 * its owner. A program that crashes in a loop forgets how many it has sent, so the budget is kept
 * in a small file. Times are wall-clock milliseconds since 1970, because they must outlive the
 * process; a clock that was set back only ever makes us wait at most one spacing.
 * Control thread.
 */
#ifndef DISCORD_IDENTIFY_BUDGET_H
#define DISCORD_IDENTIFY_BUDGET_H

#include <stdint.h>

#define IDENTIFY_SPACING_MS 5000 /* max_concurrency is 1 per 5 s for ordinary bots */
#define IDENTIFY_SPREAD     200  /* below this many left, they are spread over the rest of the day */

struct identify_budget {
	int64_t last_ms;  /* when the last Identify was sent; 0 never */
	int64_t reset_ms; /* when the window ends; 0 unknown */
	int64_t remaining; /* as far as known; -1 unknown */
};

void identify_budget_init(struct identify_budget *b);
/* What GET /gateway/bot said (session_start_limit). */
void identify_budget_learn(struct identify_budget *b, int64_t now_ms, int64_t remaining,
			   int64_t reset_after_ms);
/* How long to wait before the next Identify; 0 = now. */
int64_t identify_budget_wait_ms(const struct identify_budget *b, int64_t now_ms);
void identify_budget_spend(struct identify_budget *b, int64_t now_ms);

/* Reads and writes the file (replaced atomically). Load leaves the initial state and returns
 * -ENOENT or -EBADMSG when there is nothing usable; save returns negative errno. */
int identify_budget_load(struct identify_budget *b, const char *path);
int identify_budget_save(const struct identify_budget *b, const char *path);

#endif
