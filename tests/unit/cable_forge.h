/* SPDX-License-Identifier: MIT
 *
 * cable_forge.h - what somebody hostile who may write a cable's file can make of it.
 */
#ifndef TESTS_UNIT_CABLE_FORGE_H
#define TESTS_UNIT_CABLE_FORGE_H

#include "alsa/cable/cable_file.h"

#include <stdint.h>

/* As record_check() in cable.c, so that hostile records get past it: who may write the file can
 * compute it too. */
static inline uint64_t forged_check(const struct cable_record *r)
{
	uint64_t w[4] = {r->generation, (uint64_t)r->start, (uint64_t)r->written, (uint64_t)r->end};
	uint64_t h = 0x6c6f6f706c696e65;

	for (int i = 0; i < 4; i++) {
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return h | 1;
}

#endif
