/* SPDX-License-Identifier: MIT
 *
 * tree_math.h - the array form of the ratchet tree (RFC 9420 appendix C): leaf i is node 2i, a
 * tree of L leaves (a power of two) has nodes 0 to 2L-2 and its root is node L-1. Pure
 * arithmetic; callers keep to nodes of the tree. Internal to discord/mls.
 */
#ifndef DISCORD_MLS_TREE_MATH_H
#define DISCORD_MLS_TREE_MATH_H

#include <stdbool.h>
#include <stdint.h>

/* Height above the leaves: the number of trailing one bits. */
static inline unsigned mls_node_level(uint32_t node)
{
	unsigned level = 0;

	while (node & 1) {
		node >>= 1;
		level++;
	}
	return level;
}

static inline bool mls_node_is_leaf(uint32_t node)
{
	return (node & 1) == 0;
}

static inline uint32_t mls_node_root(uint32_t n_leaves)
{
	return n_leaves - 1;
}

/* Of a parent node. */
static inline uint32_t mls_node_left(uint32_t node)
{
	return node ^ (1u << (mls_node_level(node) - 1));
}

static inline uint32_t mls_node_right(uint32_t node)
{
	return node ^ (3u << (mls_node_level(node) - 1));
}

/* Of any node but the root. */
static inline uint32_t mls_node_parent(uint32_t node)
{
	unsigned k = mls_node_level(node);
	uint32_t b = (node >> (k + 1)) & 1;

	return (node | 1u << k) ^ (b << (k + 1));
}

static inline uint32_t mls_node_sibling(uint32_t node)
{
	uint32_t parent = mls_node_parent(node);

	return node < parent ? mls_node_right(parent) : mls_node_left(parent);
}

/* First and last node of the subtree; the first and last leaf are these halved. */
static inline uint32_t mls_node_first(uint32_t node)
{
	return node - ((1u << mls_node_level(node)) - 1);
}

static inline uint32_t mls_node_last(uint32_t node)
{
	return node + ((1u << mls_node_level(node)) - 1);
}

static inline bool mls_node_covers(uint32_t node, uint32_t below)
{
	return below >= mls_node_first(node) && below <= mls_node_last(node);
}

#endif
