/* SPDX-License-Identifier: MIT
 *
 * chaos_internal.h - what the files of chaos.h share.
 */
#ifndef TESTS_E2E_CHAOS_INTERNAL_H
#define TESTS_E2E_CHAOS_INTERNAL_H

#include "tests/e2e/chaos.h"

#define COUNT(a)      (sizeof(a) / sizeof((a)[0]))
#define PICK(c, list) ((list)[chaos_chance(c, COUNT(list))])
#define DISCORD(c, cmd, ...) simulator_try((c)->world->discord, cmd, __VA_ARGS__)

/* Phone's links first, then Discord's; the one between the processes is the last. */
#define CHAOS_LINKS 7
extern const char *const chaos_links[CHAOS_LINKS];

int chaos_chance(struct chaos *c, int n);
/* A bot that ended itself with a reason is started again. */
void chaos_keep_alive(struct chaos *c);

/* The kinds; each makes one fault. */
void chaos_calls(struct chaos *c);
void chaos_odd_call(struct chaos *c);
void chaos_stream(struct chaos *c);
void chaos_process(struct chaos *c);
void chaos_standstill(struct chaos *c);
void chaos_settings(struct chaos *c);
void chaos_descriptors(struct chaos *c);
void chaos_memory(struct chaos *c);
void chaos_clock(struct chaos *c);
void chaos_log_pipe(struct chaos *c);
void chaos_full_disk(struct chaos *c);
void chaos_names(struct chaos *c);
void chaos_cable(struct chaos *c);
void chaos_tools(struct chaos *c);
void chaos_gateway(struct chaos *c);
void chaos_gateway_to_come(struct chaos *c);
void chaos_budget(struct chaos *c);
void chaos_voice(struct chaos *c);
void chaos_moderator(struct chaos *c);
void chaos_udp(struct chaos *c);
void chaos_dave(struct chaos *c);
void chaos_members(struct chaos *c);
void chaos_commands(struct chaos *c);
void chaos_link(struct chaos *c);
void chaos_network(struct chaos *c);
void chaos_rest(struct chaos *c);
void chaos_nonsense(struct chaos *c);
void chaos_strangers(struct chaos *c);
void chaos_local_api(struct chaos *c);

/* What chaos_end() takes back. */
void chaos_channel_again(struct chaos *c);
void chaos_strangers_go(struct chaos *c);
void chaos_settings_again(struct chaos *c);
void chaos_log_moves(struct chaos *c);

#endif
