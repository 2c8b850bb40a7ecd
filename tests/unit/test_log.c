/* SPDX-License-Identifier: MIT
 *
 * test_log.c - the log line, and that no state of stderr harms the process.
 *
 * Each case runs in a child whose stderr is what the case is about.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

static char got[65536];

/* Runs body in a child with stderr into a pipe that is read to the end. Returns the wait status. */
static int run_child(void (*body)(void))
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		body();
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	close(fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void body_lines(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("prog", LOG_LEVEL_INFO);
	log_info("call is live call=%s line=%d", "CA12", 0);
	log_debug("not shown");
	log_error("bad");
	log_warn("why=%s", log_quote("a \"b\" \\c"));
	log_warn("none=%s", log_quote(NULL));
}

static void test_line_format(void)
{
	CHECK_INT(run_child(body_lines), 0);
	CHECK_STR(got, "info prog: call is live call=CA12 line=0\n"
		       "error prog: bad\n"
		       "warn prog: why=\"a \\\"b\\\" \\\\c\"\n"
		       "warn prog: none=(none)\n");
}

static void body_injection(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("prog", LOG_LEVEL_INFO);
	log_info("from=%s", "x\nerror prog: forged\r\x1b[2J\x7f\xc2\x9b\xff ok \xc3\xa9");
	log_info("%s", log_quote("\n\""));
}

static void test_injection_is_escaped(void)
{
	CHECK_INT(run_child(body_injection), 0);
	CHECK_STR(got,
		  "info prog: from=x\\x0aerror prog: forged\\x0d\\x1b[2J\\x7f\\xc2\\x9b\\xff ok "
		  "\xc3\xa9\ninfo prog: \"\\x0a\\\"\"\n");
}

static void body_long(void)
{
	char text[5000];

	unsetenv("JOURNAL_STREAM");
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	log_info("%s", log_quote(text));
}

static void test_long_line_is_cut(void)
{
	char *end;

	CHECK_INT(run_child(body_long), 0);
	end = strchr(got, '\n');
	CHECK(end && end - got < LOG_LINE_MAX);
	CHECK_MEM(end - 3, "...", 3);
	CHECK(strstr(end + 1, "...\"\n"));
}

static void body_journal(void)
{
	char stream[64];
	struct stat st;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("prog", LOG_LEVEL_DEBUG);
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
}

static void test_journal_prefixes(void)
{
	CHECK_INT(run_child(body_journal), 0);
	CHECK_STR(got, "<3>prog: e\n<4>prog: w\n<6>prog: i\n<7>prog: d\n");
}

static void body_other_journal(void)
{
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_info("i");
}

/* A shell's redirection inside a unit: the variable is there, stderr is a file. */
static void test_journal_of_another_stream(void)
{
	CHECK_INT(run_child(body_other_journal), 0);
	CHECK_STR(got, "info loopline: i\n");
}

static void body_closed_pipe(void)
{
	int fds[2];

	if (pipe(fds))
		_exit(9);
	signal(SIGPIPE, SIG_DFL);
	dup2(fds[1], STDERR_FILENO);
	close(fds[0]);
	close(fds[1]);
	for (int i = 0; i < 10; i++)
		log_info("into nowhere");
	_exit(log_lost_lines() == 10 ? 0 : 1);
}

static void test_closed_pipe(void)
{
	CHECK_INT(run_child(body_closed_pipe), 0);
}

static void body_full_pipe(void)
{
	int fds[2];
	uint64_t lost;
	char text[65536];

	if (pipe(fds))
		_exit(9);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	alarm(20); /* a write that waits would hang for ever */
	for (int i = 0; i < 3000; i++)
		log_info("line %d", i);
	lost = log_lost_lines();
	if (lost < 100 || lost > 2999)
		_exit(1);
	if (read(fds[0], text, sizeof(text)) <= 0)
		_exit(2);
	log_info("room again");
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	memset(text, 0, sizeof(text));
	if (read(fds[0], text, sizeof(text) - 1) <= 0 || log_lost_lines() != lost)
		_exit(3);
	_exit(strstr(text, "log lines were lost count=") && strstr(text, "room again") ? 0 : 4);
}

static void test_full_pipe_does_not_block(void)
{
	CHECK_INT(run_child(body_full_pipe), 0);
}

static void body_full_disk(void)
{
	int fd = open("/dev/full", O_WRONLY);

	if (fd < 0)
		_exit(77);
	dup2(fd, STDERR_FILENO);
	log_info("x");
	_exit(log_lost_lines() == 1 ? 0 : 1);
}

static void test_full_disk(void)
{
	int status = run_child(body_full_disk);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no /dev/full");
	CHECK_INT(status, 0);
}

static void body_closed_stderr(void)
{
	close(STDERR_FILENO);
	log_info("x");
	_exit(log_lost_lines() == 1 ? 0 : 1);
}

static void test_closed_stderr(void)
{
	CHECK_INT(run_child(body_closed_stderr), 0);
}

static void body_rated(void)
{
	static struct log_rate rate;

	for (int i = 0; i < 5; i++)
		log_rated(&rate, 3600000, LOG_LEVEL_WARN, "bad packet");
	rate.next_ns = 0; /* the hour is over */
	log_rated(&rate, 3600000, LOG_LEVEL_WARN, "bad packet");
}

static void test_rate_limit_tells_what_it_held(void)
{
	CHECK_INT(run_child(body_rated), 0);
	CHECK_STR(got, "warn loopline: bad packet\nwarn loopline: bad packet (4 more like this)\n");
}

static void test_levels(void)
{
	enum log_level level;

	CHECK(log_level_parse("debug", &level) && level == LOG_LEVEL_DEBUG);
	CHECK(log_level_parse("error", &level) && level == LOG_LEVEL_ERROR);
	CHECK(!log_level_parse("Info", &level) && !log_level_parse("", &level));
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	UNIT(test_line_format);
	UNIT(test_injection_is_escaped);
	UNIT(test_long_line_is_cut);
	UNIT(test_journal_prefixes);
	UNIT(test_journal_of_another_stream);
	UNIT(test_closed_pipe);
	UNIT(test_full_pipe_does_not_block);
	UNIT(test_full_disk);
	UNIT(test_closed_stderr);
	UNIT(test_rate_limit_tells_what_it_held);
	UNIT(test_levels);
	return unit_done();
}
