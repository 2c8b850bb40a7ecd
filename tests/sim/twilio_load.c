/* SPDX-License-Identifier: MIT
 *
 * twilio_load.c - many calls at once, their voice encoded beforehand, only counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/twilio.h"

struct load {
	struct twilio *t;
	struct sim_timer timer;
	struct encoded_voice *voice;
	cJSON *options, *sums, *reasons;
	int calls, started, ended;
	int64_t stagger_ns, end_ns;
};

static void load_over(struct load *l)
{
	sim_event("load.done", sim_obj("iooi", "calls", (int64_t)l->calls, "sums", l->sums, "ended",
				       l->reasons, "answered", (int64_t)l->ended));
	encoded_voice_release(l->voice);
	cJSON_Delete(l->options);
	l->t->load = NULL;
	sim_loop_defer(l->t->loop, free, l);
}

static void finish_all(void *ctx, int64_t now_ns)
{
	struct load *l = ctx;

	for (struct call *c = l->t->calls, *next; c; c = next) {
		next = c->next;
		if (c->encoded == l->voice && !c->ended)
			call_end(c, "caller", "completed");
	}
}

static void start_one(void *ctx, int64_t now_ns)
{
	struct load *l = ctx;
	char name[32];
	const cJSON *numbers = cJSON_GetObjectItemCaseSensitive(l->options, "numbers"), *number;
	cJSON *o;
	struct call *c;

	if (l->started == l->calls) {
		sim_timer_set(l->t->loop, &l->timer, l->end_ns, finish_all, l);
		return;
	}
	o = cJSON_Duplicate(l->options, 1);
	snprintf(name, sizeof(name), "load%d", l->started++);
	cJSON_DeleteItemFromObject(o, "call");
	cJSON_AddStringToObject(o, "call", name);
	number = cJSON_GetArrayItem(numbers, cJSON_GetArraySize(numbers)
						     ? (l->started - 1) % cJSON_GetArraySize(numbers)
						     : 0);
	if (cJSON_IsString(number)) {
		cJSON_DeleteItemFromObject(o, "to");
		cJSON_AddStringToObject(o, "to", number->valuestring);
	}
	sim_timer_set(l->t->loop, &l->timer, now_ns + l->stagger_ns, start_one, l);
	if (!call_create(&c, l->t, o) && !c->ended) {
		c->encoded = l->voice;
		l->voice->refs++;
	}
	cJSON_Delete(o);
}

void load_call_ended(struct twilio *t, struct call *c, const char *reason)
{
	struct load *l = t->load;
	cJSON *have;

	if (!l || c->encoded != l->voice)
		return;
	stats_add(l->sums, c->sums);
	have = cJSON_GetObjectItemCaseSensitive(l->reasons, reason);
	if (have)
		cJSON_SetNumberValue(have, have->valuedouble + 1);
	else
		cJSON_AddNumberToObject(l->reasons, reason, 1);
	l->ended++;
	if (l->ended == l->calls)
		load_over(l);
}

const char *load_start(void *ctx, const cJSON *o, cJSON *answer)
{
	struct twilio *t = ctx;
	struct load *l;
	struct sim_voice *v;
	const char *error;

	if (t->load)
		return "a load is running";
	if (sim_voice_create(&v, cJSON_GetObjectItemCaseSensitive(o, "voice"), 8000, &error))
		return error;
	l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->t = t;
	l->voice = encoded_voice_create(v, 50 * (int)sim_num(o, "encode_seconds", 20));
	sim_voice_destroy(v);
	l->options = cJSON_Duplicate(o, 1);
	cJSON_DeleteItemFromObject(l->options, "record");
	l->sums = cJSON_CreateObject();
	l->reasons = cJSON_CreateObject();
	l->calls = (int)sim_num(o, "calls", 10);
	l->stagger_ns = (int64_t)(sim_num(o, "stagger_ms", 20) * 1e6);
	l->end_ns = sim_now_ns() + l->calls * l->stagger_ns +
		    (int64_t)(sim_num(o, "seconds", 10) * 1e9);
	t->load = l;
	start_one(l, sim_now_ns());
	return NULL;
}
