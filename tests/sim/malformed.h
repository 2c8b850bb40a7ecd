/* SPDX-License-Identifier: MIT
 *
 * malformed.h - messages that no peer should send, for the tests that send them.
 */
#ifndef TESTS_SIM_MALFORMED_H
#define TESTS_SIM_MALFORMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A small generator that gives the same numbers everywhere. */
uint64_t sim_random(uint64_t *state);

/* The n-th malformed message made from a few good ones (`samples`, ending with NULL): cut, bytes
 * changed, types swapped, fields renamed, numbers that do not fit, deep nesting, long strings, bad
 * UTF-8, binary. *binary says how to send it. Free the result. */
uint8_t *sim_malformed(const char *const *samples, uint64_t seed, int n, size_t *len, bool *binary);

/* Hex text to bytes; returns the count or -1. */
long sim_unhex(const char *hex, uint8_t *out, size_t room);

#endif
