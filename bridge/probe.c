/* SPDX-License-Identifier: MIT
 *
 * probe.c - see probe.h.
 */
#include "bridge/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_FREE_NS 15000000 /* what jitter of the network looks like */
#define TRIM_MAX_PPM 500.0

void probe_start(struct probe *probe, int64_t now_ns)
{
	memset(probe, 0, sizeof(*probe));
	probe->due_ns = now_ns; /* at once: without a first echo nothing can be judged */
}

bool probe_due(struct probe *probe, int64_t now_ns, char name[PROBE_NAME_BYTES])
{
	if (now_ns < probe->due_ns)
		return false;
	probe->due_ns += PROBE_PERIOD_NS;
	if (probe->due_ns <= now_ns) /* the loop stood still; do not make up for it */
		probe->due_ns = now_ns + PROBE_PERIOD_NS;

	/* A mark that never comes back must not stop the probe: the oldest gives way. */
	if (probe->next - probe->oldest >= PROBE_OUTSTANDING) {
		probe->oldest++;
		probe->lost++;
	}
	probe->sent_ns[probe->next % PROBE_OUTSTANDING] = now_ns;
	snprintf(name, PROBE_NAME_BYTES, "p%u", probe->next);
	probe->next++;
	return true;
}

bool probe_echo(struct probe *probe, const char *name, int64_t now_ns)
{
	char *end;

	if (name[0] != 'p' || name[1] < '0' || name[1] > '9')
		return false;
	unsigned long number = strtoul(name + 1, &end, 10);

	if (*end != '\0' || number > UINT32_MAX)
		return false;
	uint32_t n = (uint32_t)number;

	/* unsigned distance, so that it holds after a wrap too */
	if (n - probe->oldest >= probe->next - probe->oldest)
		return false;
	probe->oldest = n + 1; /* they come back in order */
	if (n - probe->first >= probe->next - probe->first)
		return false;

	int64_t rtt_ns = now_ns - probe->sent_ns[n % PROBE_OUTSTANDING];

	if (probe->min_rtt_ns == 0 || rtt_ns < probe->min_rtt_ns)
		probe->min_rtt_ns = rtt_ns > 0 ? rtt_ns : 1;
	int64_t queue_ns = rtt_ns - probe->min_rtt_ns;

	/* A single late echo is the network; the smaller of old and new says what is queued. */
	probe->queue_ns = queue_ns < probe->queue_ns ? queue_ns
						     : probe->queue_ns + (queue_ns - probe->queue_ns) / 2;
	if (queue_ns <= PROBE_CEILING_NS)
		probe->over_since_ns = 0;
	else if (probe->over_since_ns == 0)
		probe->over_since_ns = now_ns;
	return true;
}

bool probe_overrun(const struct probe *probe, int64_t now_ns)
{
	return probe->over_since_ns != 0 && now_ns - probe->over_since_ns >= PROBE_PATIENCE_NS;
}

bool probe_stalled(struct probe *probe, int64_t now_ns)
{
	/* peers that never return a mark are not judged by them */
	if (probe->min_rtt_ns == 0 || probe->oldest == probe->next)
		goto no;
	if (now_ns - probe->sent_ns[probe->oldest % PROBE_OUTSTANDING] - probe->min_rtt_ns <
	    PROBE_STALL_NS)
		goto no;
	if (probe->stall_since_ns == 0)
		probe->stall_since_ns = now_ns;
	if (now_ns - probe->stall_since_ns < PROBE_GIVE_UP_NS)
		return true;
	probe->lost += probe->next - probe->oldest;
	probe->oldest = probe->next;
	probe->min_rtt_ns = 0; /* not judged again before one comes back */
no:
	probe->stall_since_ns = 0;
	return false;
}

void probe_cleared(struct probe *probe)
{
	probe->first = probe->next;
	probe->queue_ns = 0;
	probe->over_since_ns = 0;
}

double probe_trim_ppm(const struct probe *probe)
{
	if (probe->queue_ns <= TRIM_FREE_NS)
		return 0;
	/* 20 ms too much: 400 ppm, gone in 50 s */
	double ppm = (double)(probe->queue_ns - TRIM_FREE_NS) / 1e6 * 20.0;

	return ppm > TRIM_MAX_PPM ? TRIM_MAX_PPM : ppm;
}
