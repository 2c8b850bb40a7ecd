/* SPDX-License-Identifier: MIT
 *
 * identify_budget.c - see identify_budget.h.
 */
#include "discord/identify_budget.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS (24 * 3600 * 1000LL)

void identify_budget_init(struct identify_budget *b)
{
	*b = (struct identify_budget){.remaining = -1};
}

void identify_budget_learn(struct identify_budget *b, int64_t now_ms, int64_t remaining,
			   int64_t reset_after_ms)
{
	if (reset_after_ms < 0 || reset_after_ms > DAY_MS)
		reset_after_ms = DAY_MS;
	b->remaining = remaining < 0 ? 0 : remaining;
	b->reset_ms = now_ms + reset_after_ms;
}

int64_t identify_budget_wait_ms(const struct identify_budget *b, int64_t now_ms)
{
	int64_t left = b->reset_ms - now_ms;
	if (left > DAY_MS) /* the clock was set back, or the file is not what we wrote */
		left = DAY_MS;
	if (b->remaining == 0 && left > 0)
		return left;
	int64_t spacing = IDENTIFY_SPACING_MS;
	if (b->remaining > 0 && b->remaining < IDENTIFY_SPREAD && left > 0 &&
	    left / b->remaining > spacing)
		spacing = left / b->remaining;
	int64_t since = now_ms - b->last_ms;
	if (b->last_ms == 0 || since < 0)
		return b->last_ms == 0 ? 0 : IDENTIFY_SPACING_MS;
	return since >= spacing ? 0 : spacing - since;
}

void identify_budget_spend(struct identify_budget *b, int64_t now_ms)
{
	b->last_ms = now_ms;
	if (b->reset_ms && now_ms >= b->reset_ms) {
		b->remaining = -1; /* a new window: unknown until asked again */
		b->reset_ms = 0;
	}
	if (b->remaining > 0)
		b->remaining--;
}

int identify_budget_load(struct identify_budget *b, const char *path)
{
	identify_budget_init(b);
	FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	long long last, reset, remaining;
	int got = fscanf(f, "last_ms=%lld reset_ms=%lld remaining=%lld", &last, &reset, &remaining);
	fclose(f);
	if (got != 3 || last < 0 || reset < 0 || remaining < -1)
		return -EBADMSG;
	*b = (struct identify_budget){.last_ms = last, .reset_ms = reset, .remaining = remaining};
	return 0;
}

int identify_budget_save(const struct identify_budget *b, const char *path)
{
	char tmp[PATH_MAX], text[128];
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return -ENAMETOOLONG;
	int n = snprintf(text, sizeof(text), "last_ms=%lld reset_ms=%lld remaining=%lld\n",
			 (long long)b->last_ms, (long long)b->reset_ms, (long long)b->remaining);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, text, (size_t)n);
	int err = written == n ? 0 : written < 0 ? -errno : -ENOSPC;
	if (close(fd) < 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(tmp, path) < 0)
		err = -errno;
	if (err < 0)
		unlink(tmp);
	return err;
}
