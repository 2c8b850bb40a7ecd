/* SPDX-License-Identifier: MIT
 *
 * budget.c - see budget.h.
 */
#include "common/budget.h"

#include <math.h>

#include "common/json.h"

double budget_ms(int64_t ns)
{
	return ns < 0 ? NAN : (double)((ns + 5000) / 10000) / 100;
}

int64_t budget_sum_ns(const struct budget_share *shares, size_t count)
{
	int64_t sum_ns = 0;

	for (size_t i = 0; i < count; i++) {
		if (shares[i].ns < 0)
			return BUDGET_UNKNOWN;
		sum_ns += shares[i].ns;
	}
	return sum_ns;
}

void budget_write(struct json_writer *w, const char *name, const struct budget_share *shares,
		  size_t count)
{
	int64_t sum_ns = budget_sum_ns(shares, count);

	json_w_obj(w, name);
	for (size_t i = 0; i < count; i++)
		json_w_num(w, shares[i].name, budget_ms(shares[i].ns));
	json_w_num(w, "sum_ms", budget_ms(sum_ns));
	json_w_end(w);
}
