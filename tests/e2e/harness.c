/* SPDX-License-Identifier: MIT
 *
 * harness.c - processes and time (see harness.h).
 */
#include "tests/e2e/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void print_and_exit(const char *text)
{
	fprintf(stderr, "%s\n", text);
	exit(1);
}

void (*harness_on_failure)(const char *text) = print_and_exit;

void harness_failed(const char *format, ...)
{
	static char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	harness_on_failure(text);
	abort();
}

int64_t harness_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void harness_sleep_ms(int ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

int harness_patience(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 4;
#else
	return 1;
#endif
}

const char *harness_build(void)
{
	static char path[PATH_MAX];
	const char *build = getenv("BUILD");

	if (!*path && !realpath(build && *build ? build : "build", path))
		harness_failed("no build directory: run from the top of the source tree");
	return path;
}

void process_start(struct process *p, const char *name, const char *const argv[],
		   const char *const env[], const char *dir, const char *log, int in, int out,
		   int priority)
{
	pid_t parent = getpid();

	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->log, sizeof(p->log), "%s", log);
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		harness_failed("cannot start %s: %s", name, strerror(errno));
	if (p->pid == 0) {
		int err_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		int null_fd = open("/dev/null", O_RDONLY);

		/* dies with us, even if we are killed */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		if (priority &&
		    sched_setscheduler(0, SCHED_FIFO,
				       &(struct sched_param){.sched_priority = priority}))
			dprintf(err_fd, "# ordinary priority: %s\n", strerror(errno));
		signal(SIGPIPE, SIG_DFL);
		signal(SIGINT, SIG_IGN); /* Ctrl-C is for the one who started us */
		for (int i = 0; env && env[i]; i++)
			putenv((char *)env[i]);
		dup2(in >= 0 ? in : null_fd, 0);
		dup2(out >= 0 ? out : err_fd, 1);
		dup2(err_fd, 2);
		if (dir && chdir(dir))
			_exit(127);
		execvp(argv[0], (char *const *)argv);
		dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
}

unsigned process_free_descriptor(pid_t pid)
{
	char path[64], to[8];

	for (unsigned fd = 0;; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, fd);
		if (readlink(path, to, sizeof(to)) < 0)
			return fd;
	}
}

bool process_ended(struct process *p)
{
	if (p->pid && waitpid(p->pid, &p->status, WNOHANG) == p->pid)
		p->pid = 0;
	return !p->pid;
}

bool process_end(struct process *p, int sig, int ms)
{
	int64_t end = harness_now_ns() + (int64_t)ms * harness_patience() * 1000000;

	if (process_ended(p))
		return true;
	if (sig)
		kill(p->pid, sig);
	while (!process_ended(p) && harness_now_ns() < end)
		harness_sleep_ms(5);
	if (!p->pid)
		return true;
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &p->status, 0);
	p->pid = 0;
	return false;
}

void wait_file_size(const char *path, long bytes, int ms)
{
	int64_t end = harness_now_ns() + (int64_t)ms * harness_patience() * 1000000;
	struct stat st = {0};

	while (stat(path, &st) || st.st_size < bytes) {
		if (harness_now_ns() > end)
			harness_failed("%s has %ld bytes, not %ld, after %d ms", path,
				       (long)st.st_size, bytes, ms);
		harness_sleep_ms(10);
	}
}
