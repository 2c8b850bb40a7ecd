/* SPDX-License-Identifier: MIT
 *
 * log.c - one line on stderr, at most LOG_LINE_MAX bytes, never waited for.
 */
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/encode.h"

#define QUOTE_BUFFERS 8
#define QUOTE_MAX     200

static _Atomic(const char *) program_name = "loopline"; /* written by log_init, read by all */
static _Atomic int level_wanted = LOG_LEVEL_INFO; /* written by control threads, read by all */
static _Atomic uint64_t lost_lines;               /* written and read by whoever logs */
static _Atomic uint64_t lost_told;                /* how many of them a line has told */
static bool to_journal;                           /* written once */

static const char *const level_names[] = {"error", "warn", "info", "debug"};
/* Priorities of syslog(3), as sd-daemon(3) wants them in front of a line. */
static const char *const level_prefixes[] = {"<3>", "<4>", "<6>", "<7>"};

/* JOURNAL_STREAM is "device:inode" of the journal's socket; it survives redirections, so compare.
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void start_once(void)
{
	to_journal = stderr_is_journal();
	signal(SIGPIPE, SIG_IGN);
}

static void start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_once);
}

void log_init(const char *program, enum log_level level)
{
	start();
	atomic_store(&program_name, program);
	log_level_set(level);
}

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&level_wanted, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (!strcmp(name, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&level_wanted, memory_order_relaxed);
}

/*
 * Appends text with everything escaped that could end the line or drive a terminal. `quoted`
 * escapes " and \ too. Returns the new length, at most limit; *cut is set if something is missing.
 */
static size_t append_escaped(char *out, size_t at, size_t limit, const char *text, bool quoted,
			     bool *cut)
{
	size_t left = strlen(text);

	while (left) {
		size_t n = utf8_sequence(text, left);
		unsigned char c = (unsigned char)*text;
		/* C1 controls are U+0080..U+009F: 0xc2 0x80..0x9f. */
		bool bad = !n || c < 0x20 || c == 0x7f ||
			   (n == 2 && c == 0xc2 && (unsigned char)text[1] < 0xa0);
		char piece[12];
		size_t len = 0;

		if (!n)
			n = 1;
		if (bad) {
			for (size_t i = 0; i < n; i++)
				len += (size_t)snprintf(piece + len, sizeof(piece) - len, "\\x%02x",
							(unsigned char)text[i]);
		} else if (quoted && (c == '"' || c == '\\')) {
			piece[len++] = '\\';
			piece[len++] = (char)c;
		} else {
			memcpy(piece, text, n);
			len = n;
		}
		if (at + len > limit) {
			*cut = true;
			return at;
		}
		memcpy(out + at, piece, len);
		at += len;
		text += n;
		left -= n;
	}
	return at;
}

/* False if the line was lost. Never waits: a pipe that has no room for a whole line gets none. */
static bool write_line(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	/*
	 * O_NONBLOCK would change the open file that we share with whoever started us; asking
	 * first does not, and lines are shorter than PIPE_BUF, for which POLLOUT means room.
	 */
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return false;
	do {
		n = write(STDERR_FILENO, line, len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

static void emit(enum log_level level, const char *message)
{
	char line[LOG_LINE_MAX + 1];
	const size_t limit = LOG_LINE_MAX - 4; /* "..." and the line break */
	const char *program = atomic_load(&program_name);
	uint64_t lost = atomic_load(&lost_lines), told = atomic_load(&lost_told);
	int saved = errno;
	bool cut = false;
	size_t len;

	start();
	/* What was lost is told first, by whoever gets there first. */
	if (lost != told && atomic_compare_exchange_strong(&lost_told, &told, lost)) {
		len = (size_t)snprintf(line, sizeof(line), "%s%s: log lines were lost count=%llu\n",
				       to_journal ? level_prefixes[LOG_LEVEL_WARN] : "warn ",
				       program, (unsigned long long)(lost - told));
		if (len >= sizeof(line) || !write_line(line, len))
			atomic_store(&lost_told, told);
	}
	len = (size_t)snprintf(line, 128,
			       "%s%s%s: ", to_journal ? level_prefixes[level] : level_names[level],
			       to_journal ? "" : " ", program);
	if (len > 127)
		len = 127;
	len = append_escaped(line, len, limit, message, false, &cut);
	if (cut) {
		memcpy(line + len, "...", 3);
		len += 3;
	}
	line[len++] = '\n';
	if (!write_line(line, len))
		atomic_fetch_add(&lost_lines, 1);
	errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
	char message[LOG_LINE_MAX];
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	emit(level, message);
}

void log_rated(struct log_rate *rate, int interval_ms, enum log_level level, const char *format,
	       ...)
{
	char message[LOG_LINE_MAX];
	int64_t now_ns, next_ns;
	uint32_t held;
	size_t len;
	va_list args;

	if (!log_enabled(level))
		return;
	now_ns = clock_mono_ns();
	next_ns = atomic_load(&rate->next_ns);
	if (now_ns < next_ns || !atomic_compare_exchange_strong(&rate->next_ns, &next_ns,
								now_ns + interval_ms * NS_PER_MS)) {
		atomic_fetch_add(&rate->held, 1);
		return;
	}
	held = atomic_exchange(&rate->held, 0);
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	len = strlen(message);
	if (held)
		snprintf(message + len, sizeof(message) - len, " (%u more like this)", held);
	emit(level, message);
}

const char *log_quote(const char *text)
{
	static _Thread_local char buffers[QUOTE_BUFFERS][QUOTE_MAX + 8];
	static _Thread_local unsigned next;
	char *out = buffers[next++ % QUOTE_BUFFERS];
	bool cut = false;
	size_t len;

	if (!text)
		return "(none)";
	out[0] = '"';
	len = append_escaped(out, 1, QUOTE_MAX, text, true, &cut);
	if (cut) {
		memcpy(out + len, "...", 3);
		len += 3;
	}
	out[len++] = '"';
	out[len] = '\0';
	return out;
}

uint64_t log_lost_lines(void)
{
	return atomic_load(&lost_lines);
}
