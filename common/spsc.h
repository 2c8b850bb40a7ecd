/* SPDX-License-Identifier: MIT
 *
 * spsc.h - a ring of fixed-size elements between exactly one producer thread and
 * one consumer thread. Wait-free on both sides; create and destroy allocate, nothing else does.
 */
#ifndef COMMON_SPSC_H
#define COMMON_SPSC_H

#include <stdbool.h>
#include <stddef.h>

struct spsc;

/* Room for at least `count` elements (rounded up to a power of two) of element_bytes each. -ENOMEM,
 * -EINVAL. */
int spsc_create(struct spsc **out, size_t count, size_t element_bytes);
void spsc_destroy(struct spsc *ring);

/* Producer. Copies one element in; false when full (nothing is overwritten). */
bool spsc_push(struct spsc *ring, const void *element);
/* Consumer. Copies the oldest out; false when empty. */
bool spsc_pop(struct spsc *ring, void *element);

/*
 * Without copying: a pointer to the slot to fill (NULL when full), made visible by
 * spsc_push_end(); a pointer to the oldest (NULL when empty), given back by spsc_pop_end().
 * Slots are aligned to 16 bytes.
 */
void *spsc_push_begin(struct spsc *ring);
void spsc_push_end(struct spsc *ring);
void *spsc_pop_begin(struct spsc *ring);
void spsc_pop_end(struct spsc *ring);

/* Elements in the ring; a lower bound for the consumer, an upper bound for the producer. */
size_t spsc_count(const struct spsc *ring);

#endif
