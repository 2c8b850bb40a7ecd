/* SPDX-License-Identifier: MIT
 *
 * log.h - one line on stderr for one thing that happened.
 *
 *	log_info("call is live call=%s line=%d", sid, line);
 *	  -> info loopline-bridge: call is live call=CA12 line=0
 *
 * Convention: a sentence for people first, then key=value pairs for machines.
 * Where stderr is the journal (JOURNAL_STREAM names it) each line starts with
 * the priority prefix of sd-daemon(3) instead of the level word.
 *
 * Safe by construction: every control character, DEL, C1 control and byte that
 * is not UTF-8 is written as \xNN, so no peer can forge a line or drive a
 * terminal. A line is one write(2) of at most LOG_LINE_MAX bytes, is never
 * waited for, and is counted as lost where stderr cannot take it (a full pipe, a
 * closed pipe, a full disk). The next line that succeeds tells how many were lost.
 * The first line written ignores SIGPIPE for the process.
 *
 * Any thread may log, except audio threads (formatting and write(2) take time).
 * Never log a secret at any level.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* A longer line is cut and ends in "...". Below PIPE_BUF: a pipe takes it whole or not at all. */
#define LOG_LINE_MAX 2048

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Names the program (pointer kept) and sets the level. Before it: "loopline" at info. */
void log_init(const char *program, enum log_level level);
void log_level_set(enum log_level level);
/* "error", "warn", "info", "debug"; false for anything else. */
bool log_level_parse(const char *name, enum log_level *out);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* Arguments of a debug line are not evaluated unless it is wanted. */
#define log_debug(...)                                           \
	do {                                                     \
		if (log_enabled(LOG_LEVEL_DEBUG))                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * Rate limit for lines that a peer can cause. One static struct a place:
 *
 *	static struct log_rate rate;
 *	log_rated(&rate, 10000, LOG_LEVEL_WARN, "bad packet from=%s", peer);
 *
 * At most one line each interval_ms; what was held back is told in the next
 * ("... (41 more like this)"). Any thread.
 */
struct log_rate {
	_Atomic int64_t next_ns; /* written and read by whoever logs */
	_Atomic uint32_t held;   /* lines held back since the last written */
};

void log_rated(struct log_rate *rate, int interval_ms, enum log_level level, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

/*
 * Quotes text from a peer for use as a value: `why=%s`, log_quote(text) gives
 * why="..." with quotes and backslashes escaped, cut to about 200 bytes; NULL
 * gives (none). The result lives in one of 8 rotating buffers of this thread.
 */
const char *log_quote(const char *text);

/* Lines lost since the start of the process. */
uint64_t log_lost_lines(void);

#endif
