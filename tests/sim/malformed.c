/* SPDX-License-Identifier: MIT
 *
 * malformed.c - see malformed.h.
 */
#include "tests/sim/malformed.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t sim_random(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

long sim_unhex(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;

	for (; hex[0]; hex += 2) {
		unsigned v;

		if (*hex == ' ') {
			hex--;
			continue;
		}
		if (n == room || !hex[1] || sscanf(hex, "%2x", &v) != 1)
			return -1;
		out[n++] = (uint8_t)v;
	}
	return (long)n;
}

/* Some node of the tree, chosen by r. */
static cJSON *pick(cJSON *o, uint64_t *r)
{
	for (int depth = 0; depth < 6; depth++) {
		int n = cJSON_GetArraySize(o);
		cJSON *c;

		if (!n)
			break;
		c = cJSON_GetArrayItem(o, (int)(sim_random(r) % (unsigned)n));
		if (!cJSON_GetArraySize(c) || sim_random(r) % 2)
			return c;
		o = c;
	}
	return o->child;
}

static cJSON *odd_value(uint64_t *r)
{
	static const double numbers[] = { -1, 0, 1e300, -1e300, 0.5, 4294967296.0, 9e15, -9e15 };

	switch (sim_random(r) % 8) {
	case 0:
		return cJSON_CreateNull();
	case 1:
		return cJSON_CreateTrue();
	case 2:
		return cJSON_CreateArray();
	case 3:
		return cJSON_CreateObject();
	case 4:
		return cJSON_CreateString("");
	case 5:
		return cJSON_CreateString("=?\x01\xc3\x28%s%n../..\n");
	case 6:
		return cJSON_CreateString("99999999999999999999999999999999");
	default:
		return cJSON_CreateNumber(numbers[sim_random(r) % 8]);
	}
}

static bool cut_out(cJSON *tree, cJSON *node)
{
	for (cJSON *c = tree->child; c; c = c->next) {
		if (c == node) {
			cJSON_Delete(cJSON_DetachItemViaPointer(tree, c));
			return true;
		}
		if (cut_out(c, node))
			return true;
	}
	return false;
}

/* One node gets another type, another name, or goes away. */
static char *damaged(const char *sample, uint64_t *r)
{
	cJSON *o = cJSON_Parse(sample), *node = o ? pick(o, r) : NULL;
	char *text;

	if (!node) {
		cJSON_Delete(o);
		return strdup("{}");
	}
	switch (sim_random(r) % 3) {
	case 0: {
		cJSON *v = odd_value(r);

		/* swap the node's insides, its name stays */
		cJSON_Delete(node->child);
		cJSON_free(node->valuestring);
		node->child = v->child;
		node->type = v->type;
		node->valuestring = v->valuestring;
		node->valuedouble = v->valuedouble;
		node->valueint = v->valueint;
		v->child = NULL;
		v->valuestring = NULL;
		cJSON_Delete(v);
		break;
	}
	case 1:
		if (node->string && node->string[0])
			node->string[sim_random(r) % strlen(node->string)] ^= 1;
		break;
	default:
		cut_out(o, node);
		break;
	}
	text = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	return text ? text : strdup("{}");
}

uint8_t *sim_malformed(const char *const *samples, uint64_t seed, int n, size_t *len, bool *binary)
{
	uint64_t r = seed * 1000003 + (uint64_t)n;
	size_t count = 0, room = 61440;
	const char *sample;
	uint8_t *out;

	while (samples[count])
		count++;
	sample = samples[sim_random(&r) % count];
	*binary = false;
	switch (n % 12) {
	case 0: /* cut off */
		*len = sim_random(&r) % (strlen(sample) + 1);
		out = (uint8_t *)strdup(sample);
		return out;
	case 1: /* noise, perhaps not even UTF-8 */
		*len = 1 + sim_random(&r) % 300;
		out = malloc(*len);
		for (size_t i = 0; out && i < *len; i++)
			out[i] = (uint8_t)sim_random(&r);
		return out;
	case 2: /* some bytes changed */
	case 3:
		out = (uint8_t *)strdup(sample);
		*len = strlen(sample);
		for (uint64_t i = 0, k = 1 + sim_random(&r) % 4; *len && i < k; i++)
			out[sim_random(&r) % *len] = (uint8_t)(32 + sim_random(&r) % 95);
		return out;
	case 4: /* binary */
		*binary = true;
		*len = sim_random(&r) % 200;
		out = malloc(*len + 1);
		for (size_t i = 0; out && i < *len; i++)
			out[i] = (uint8_t)sim_random(&r);
		return out;
	case 5: /* nested deeply */
		*len = 2000;
		out = malloc(*len);
		if (out)
			memset(out, sim_random(&r) % 2 ? '[' : '{', *len);
		return out;
	case 6: /* long */
		out = malloc(room);
		if (!out)
			return NULL;
		memset(out, 'A', room);
		memcpy(out, "{\"event\":\"", 10);
		memcpy(out + room - 2, "\"}", 2);
		*len = room;
		return out;
	case 7: { /* right JSON, wrong thing */
		static const char *const odd[] = { "null", "[]", "17", "\"media\"", "{}", "true",
						   "{\"op\":null}", "{\"event\":\"\\u0000\"}", "" };

		out = (uint8_t *)strdup(odd[sim_random(&r) % 9]);
		*len = strlen((char *)out);
		return out;
	}
	default:
		out = (uint8_t *)damaged(sample, &r);
		*len = strlen((char *)out);
		return out;
	}
}
