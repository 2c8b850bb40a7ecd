/* SPDX-License-Identifier: MIT
 *
 * spsc.c - single-producer single-consumer ring.
 *
 * Each side keeps its own copy of the other's index and reads the shared one only when the
 * copy says full or empty, so the cache line moves once a batch and not once an element.
 */
#include "common/spsc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

struct spsc {
	size_t mask;
	size_t element_bytes;
	size_t stride_bytes;
	uint8_t *slots;
	_Alignas(
		CACHE_LINE) _Atomic size_t head; /* written by the producer, read by the consumer */
	size_t tail_seen;                        /* producer's */
	_Alignas(
		CACHE_LINE) _Atomic size_t tail; /* written by the consumer, read by the producer */
	size_t head_seen;                        /* consumer's */
};

int spsc_create(struct spsc **out, size_t count, size_t element_bytes)
{
	struct spsc *ring;
	size_t size = 1, stride;

	*out = NULL;
	if (!count || !element_bytes || count > SIZE_MAX / 4 || element_bytes > SIZE_MAX / 4)
		return -EINVAL;
	while (size < count)
		size *= 2;
	stride = (element_bytes + 15) & ~(size_t)15;
	if (size > SIZE_MAX / stride)
		return -EINVAL;
	ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	memset(ring, 0, sizeof(*ring));
	/* Touched here, so that the first use in an audio thread faults no page in. */
	ring->slots = calloc(size, stride);
	if (!ring->slots) {
		free(ring);
		return -ENOMEM;
	}
	memset(ring->slots, 0, size * stride);
	ring->mask = size - 1;
	ring->element_bytes = element_bytes;
	ring->stride_bytes = stride;
	*out = ring;
	return 0;
}

void spsc_destroy(struct spsc *ring)
{
	if (!ring)
		return;
	free(ring->slots);
	free(ring);
}

void *spsc_push_begin(struct spsc *ring)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (head - ring->tail_seen > ring->mask) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head - ring->tail_seen > ring->mask)
			return NULL;
	}
	return ring->slots + (head & ring->mask) * ring->stride_bytes;
}

void spsc_push_end(struct spsc *ring)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

void *spsc_pop_begin(struct spsc *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == ring->head_seen) {
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail == ring->head_seen)
			return NULL;
	}
	return ring->slots + (tail & ring->mask) * ring->stride_bytes;
}

void spsc_pop_end(struct spsc *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

bool spsc_push(struct spsc *ring, const void *element)
{
	void *slot = spsc_push_begin(ring);

	if (!slot)
		return false;
	memcpy(slot, element, ring->element_bytes);
	spsc_push_end(ring);
	return true;
}

bool spsc_pop(struct spsc *ring, void *element)
{
	const void *slot = spsc_pop_begin(ring);

	if (!slot)
		return false;
	memcpy(element, slot, ring->element_bytes);
	spsc_pop_end(ring);
	return true;
}

size_t spsc_count(const struct spsc *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	size_t count = head - tail;

	/* Both moved between the two loads: still never more than the ring holds. */
	return count > ring->mask + 1 ? ring->mask + 1 : count;
}
