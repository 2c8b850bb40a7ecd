/* SPDX-License-Identifier: MIT
 *
 * budget.h - the delay budget: each stage that sound passes stamps how long it keeps it, and the
 * local API shows the stages one by one with their sum (the shape is in api.h).
 *
 * A stamp is one load and one store; no lock, no clock, nothing allocated.
 */
#ifndef COMMON_BUDGET_H
#define COMMON_BUDGET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct json_writer;

#define BUDGET_MEMORY 16 /* a mean over about so many stamps */

/* Zeroed: never stamped. */
struct budget_stage {
	_Atomic int64_t held; /* mean in ns, plus one. Writer: the stage's thread; readers: any */
};

/* The stage kept the sound for so long (a negative time counts as none). Its one writer. */
static inline void budget_stamp(struct budget_stage *stage, int64_t ns)
{
	int64_t mean = atomic_load_explicit(&stage->held, memory_order_relaxed);

	ns = ns < 0 ? 1 : ns + 1;
	mean = mean == 0 ? ns : mean + (ns - mean) / BUDGET_MEMORY;
	atomic_store_explicit(&stage->held, mean, memory_order_relaxed);
}

#define BUDGET_UNKNOWN (-1)

/* The mean, or BUDGET_UNKNOWN before the first stamp. Any thread. */
static inline int64_t budget_ns(const struct budget_stage *stage)
{
	return atomic_load_explicit(&stage->held, memory_order_relaxed) - 1;
}

/* As it is shown, to 10 us: more digits than a mean of so few stamps has would pretend. NAN, which becomes
 * null, if it is not known. */
double budget_ms(int64_t ns);

/* A line of a budget as it is shown. */
struct budget_share {
	const char *name; /* "playout_ms" */
	int64_t ns;       /* or BUDGET_UNKNOWN */
};

/* All of them together, BUDGET_UNKNOWN if one is. */
int64_t budget_sum_ns(const struct budget_share *shares, size_t count);

/* "name":{"first_ms":20,…,"sum_ms":34.81}. What is not known is null, and so is a sum over it. */
void budget_write(struct json_writer *w, const char *name, const struct budget_share *shares,
		  size_t count);

#endif
