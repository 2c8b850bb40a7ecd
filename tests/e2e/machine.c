/* SPDX-License-Identifier: MIT
 *
 * machine.c - see machine.h.
 */
#include "tests/e2e/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pid of 0 would be ourselves. */
static bool limit_lower(pid_t pid, int resource, rlim_t to, struct rlimit *old)
{
	return pid > 0 && prlimit(pid, resource, NULL, old) == 0 &&
	       prlimit(pid, resource, &(struct rlimit){to, old->rlim_max}, NULL) == 0;
}

static void limit_restore(pid_t pid, int resource, const struct rlimit *old)
{
	if (pid > 0)
		prlimit(pid, resource, old, NULL);
}

/* A limit at the lowest free number. (poll() refuses to look at more descriptors than the limit, so it
 * must not be lower.) */
bool descriptors_exhaust(pid_t pid, struct rlimit *old)
{
	return pid > 0 && limit_lower(pid, RLIMIT_NOFILE, process_free_descriptor(pid), old);
}

void descriptors_restore(pid_t pid, const struct rlimit *old)
{
	limit_restore(pid, RLIMIT_NOFILE, old);
}

static long data_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmData: %ld", &kb) != 1)
		;
	if (f)
		fclose(f);
	return kb;
}

/* Of data, not of address space: malloc() reserves 64 MiB of that for each thread, and what is reserved
 * may be used whatever RLIMIT_AS says; and a stack that cannot grow is a crash that no code can avoid. */
bool memory_exhaust(pid_t pid, long spare_kb, struct rlimit *old)
{
	long kb = pid > 0 ? data_kb(pid) : 0;

	/* a sanitizer ends the program by itself */
	return kb > 0 && harness_patience() == 1 &&
	       limit_lower(pid, RLIMIT_DATA, (rlim_t)(kb + spare_kb) * 1024, old);
}

void memory_restore(pid_t pid, const struct rlimit *old)
{
	limit_restore(pid, RLIMIT_DATA, old);
}

bool disk_fill(struct world *w)
{
	char block[4096] = {0};
	int fd;

	if (!world_own_mounts() ||
	    mount("full", world_file(w, "state"), "tmpfs", 0, "size=16k,mode=0700"))
		return false;
	fd = open(world_file(w, "state/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
		;
	if (fd >= 0)
		close(fd);
	/* the wish of the lines is kept in the runtime directory: a directory is in its place */
	mkdir(world_file(w, "discord-state.json.new"), 0700);
	return true;
}

void disk_free(struct world *w)
{
	rmdir(world_file(w, "discord-state.json.new"));
	umount2(world_file(w, "state"), MNT_DETACH);
}

int log_to_pipe(const struct process *p, const char *old)
{
	int reader;

	/* there is none after another life of this kind */
	if ((rename(p->log, old) && errno != ENOENT) || mkfifo(p->log, 0600))
		harness_failed("cannot make %s a pipe: %s", p->log, strerror(errno));
	reader = open(p->log, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (reader < 0)
		harness_failed("cannot read %s: %s", p->log, strerror(errno));
	fcntl(reader, F_SETPIPE_SZ, 4096); /* poll() calls its one page full after a line */
	return reader;
}

long log_drain(int reader, char *text, size_t len)
{
	char block[4096];
	size_t sum = 0;
	ssize_t n;

	while ((n = read(reader, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++, sum++)
			if (text && sum + 1 < len)
				text[sum] = block[i];
	}
	if (text && len)
		text[sum < len ? sum : len - 1] = 0;
	return (long)sum;
}

int cables_remove(struct world *w)
{
	char path[640];
	const struct dirent *e;
	int removed = 0;
	DIR *d = opendir(world_file(w, "cable"));

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%.250s/cable/%.250s", w->dir, e->d_name);
			removed += unlink(path) == 0;
		}
	if (d)
		closedir(d);
	return removed;
}
