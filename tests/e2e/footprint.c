/* SPDX-License-Identifier: MIT
 *
 * footprint.c - see footprint.h.
 */
#include "tests/e2e/footprint.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct footprint footprint_of(pid_t pid)
{
	struct footprint s = {0};
	char path[64], line[256];
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "Pss: %ld", &s.pss_kb);
		sscanf(line, "Anonymous: %ld", &s.anon_kb);
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && readdir(d))
		s.fds++;
	if (d)
		closedir(d);
	return s;
}

void footprint_look(struct footprint_life *life, pid_t pid)
{
	if (life->pid != pid) {
		life->pid = pid;
		life->count = 0;
	}
	if (life->count == life->room) {
		life->room = life->room ? 2 * life->room : 64;
		life->looks = realloc(life->looks, life->room * sizeof(*life->looks));
		if (!life->looks)
			abort();
	}
	life->looks[life->count++] = footprint_of(pid);
}

/* Each figure at its least, from one look on to before another. */
static struct footprint least(const struct footprint_life *life, size_t from, size_t to)
{
	struct footprint m = {LONG_MAX, LONG_MAX, INT_MAX};

	for (size_t i = from; i < to; i++) {
		const struct footprint *l = &life->looks[i];

		m.pss_kb = l->pss_kb < m.pss_kb ? l->pss_kb : m.pss_kb;
		m.anon_kb = l->anon_kb < m.anon_kb ? l->anon_kb : m.anon_kb;
		m.fds = l->fds < m.fds ? l->fds : m.fds;
	}
	return m;
}

bool footprint_peak_ok(const struct footprint_life *life)
{
	const struct footprint *now = &life->looks[life->count - 1];
	struct footprint m;

	if (life->count <= FOOTPRINT_WARM)
		return true;
	m = least(life, FOOTPRINT_WARM - 1, life->count);
	return now->anon_kb <= m.anon_kb + FOOTPRINT_PEAK_ANON_KB &&
	       now->fds <= m.fds + FOOTPRINT_PEAK_FDS;
}

/* At how many looks of [from, to) is own memory more than ever before? */
static size_t new_maxima(const struct footprint_life *life, size_t from, size_t to)
{
	size_t count = 0;
	long most = 0;

	for (size_t i = 0; i < to; i++)
		if (life->looks[i].anon_kb > most) {
			most = life->looks[i].anon_kb;
			count += i >= from;
		}
	return count;
}

bool footprint_flat(const struct footprint_life *life, char *text, size_t len)
{
	const struct footprint *l = life->looks;
	size_t n = life->count, middle, rises;
	struct footprint first, second;

	if (!n) {
		snprintf(text, len, "never looked at");
		return true;
	}
	if (n < FOOTPRINT_LONG) {
		snprintf(text, len, "%zu looks: start PSS %ld kB (own %ld), %d descriptors; end %ld (%ld), %d",
			 n, l[0].pss_kb, l[0].anon_kb, l[0].fds, l[n - 1].pss_kb, l[n - 1].anon_kb,
			 l[n - 1].fds);
		return true;
	}
	middle = FOOTPRINT_WARM + (n - FOOTPRINT_WARM) / 2;
	first = least(life, FOOTPRINT_WARM, middle);
	second = least(life, middle, n);
	rises = new_maxima(life, middle, n);
	snprintf(text, len,
		 "%zu looks: start PSS %ld kB (own %ld), %d descriptors; after warm-up %ld (%ld), %d; end "
		 "%ld (%ld), %d; least of both halves %ld -> %ld (%ld -> %ld), %d -> %d; new maxima %zu of %zu",
		 n, l[0].pss_kb, l[0].anon_kb, l[0].fds, l[FOOTPRINT_WARM].pss_kb,
		 l[FOOTPRINT_WARM].anon_kb, l[FOOTPRINT_WARM].fds, l[n - 1].pss_kb, l[n - 1].anon_kb,
		 l[n - 1].fds, first.pss_kb, second.pss_kb, first.anon_kb, second.anon_kb, first.fds,
		 second.fds, rises, n - middle);
	return 2 * rises < n - middle && second.anon_kb <= first.anon_kb + FOOTPRINT_GROWTH_ANON_KB &&
	       second.pss_kb <= first.pss_kb + FOOTPRINT_GROWTH_PSS_KB &&
	       second.fds <= first.fds + FOOTPRINT_GROWTH_FDS;
}

void footprint_free(struct footprint_life *life)
{
	free(life->looks);
	*life = (struct footprint_life){0};
}
