/* SPDX-License-Identifier: MIT
 *
 * test_channel.c - each row of the decision table of voice events, both orders of the two updates,
 * time-outs and pauses; and the rule of attendance.
 */
#include "unit.h"

#include "common/clock.h"
#include "discord/attend.h"
#include "discord/channel.h"

#include <errno.h>

#define SEC  NS_PER_SEC
#define HOME 1101
#define AWAY 1102

static char did[4096];
static struct voice_session started;
static uint64_t started_channel;
static bool no_session; /* the main gateway is away */

static void add(const char *what)
{
	strncat(did, what, sizeof(did) - strlen(did) - 1);
	strncat(did, " ", sizeof(did) - strlen(did) - 1);
}
static int op_send(void *ctx, uint64_t id)
{
	char text[40];
	if (no_session)
		return -EAGAIN;
	snprintf(text, sizeof(text), "op4:%llu", (unsigned long long)id);
	add(text);
	return 0;
}
static int op_start(void *ctx, const struct voice_session *s, uint64_t id)
{
	started = *s;
	started_channel = id;
	add("start");
	return 0;
}
static void op_stop(void *ctx) { add("stop"); }
static void op_change(void *ctx) {}
static void op_kicked(void *ctx) { add("kicked"); }
static const struct channel_ops ops = {op_send, op_start, op_stop, op_change, op_kicked};
static const struct channel_flags none;

static struct channel *make(void)
{
	struct channel_config config = {.guild_id = 811, .channel_id = HOME, .ops = &ops};
	struct channel *c;
	channel_create(&c, &config);
	did[0] = 0;
	no_session = false;
	channel_gateway_ready(c, 900, false, 0);
	return c;
}

static struct channel *connected(void)
{
	struct channel *c = make();
	channel_want(c, true, 0);
	channel_own_state(c, HOME, "s1", &none, 0);
	channel_server_update(c, "t1", "e1:443", 0);
	channel_voice_ready(c, 0);
	did[0] = 0;
	return c;
}

static void test_join_in_both_orders(void)
{
	for (int order = 0; order < 2; order++) {
		struct channel *c = make();
		channel_want(c, true, 0);
		CHECK_STR(did, "op4:1101 ");
		if (order == 0)
			channel_own_state(c, HOME, "s1", &none, 0);
		channel_server_update(c, "t1", "e1:443", 0);
		if (order == 1)
			channel_own_state(c, HOME, "s1", &none, 0);
		CHECK_STR(did, "op4:1101 start ");
		CHECK_STR(started.session_id, "s1");
		CHECK_STR(started.token, "t1");
		CHECK_STR(started.endpoint, "e1:443");
		CHECK_INT(started.user_id, 900);
		CHECK_INT(started_channel, HOME);
		CHECK_INT(channel_state(c), CHANNEL_CONNECTING);
		channel_voice_ready(c, 0);
		CHECK_INT(channel_state(c), CHANNEL_CONNECTED);
		channel_destroy(c);
	}
}

static void test_moved_by_a_moderator(void)
{
	struct channel *c = connected();
	channel_own_state(c, AWAY, "s2", &none, 0);
	CHECK_INT(channel_state(c), CHANNEL_WAITING);
	channel_server_update(c, "t2", "e2", 0);
	CHECK_STR(did, "stop start ");
	CHECK_INT(started_channel, AWAY); /* the group's id */
	CHECK_STR(started.session_id, "s2");
	CHECK_INT(channel_id(c), AWAY);
	channel_destroy(c);
}

/* The close with 4014 may come before, between or after the events of a move. */
static void test_moved_with_the_close_first(void)
{
	struct channel *c = connected();
	channel_voice_end(c, VOICE_OUTCOME_WAIT, "4014", 0);
	CHECK_INT(channel_state(c), CHANNEL_WAITING);
	channel_own_state(c, AWAY, "s2", &none, 0);
	channel_server_update(c, "t2", "e2", 0);
	CHECK(strstr(did, "start"));
	CHECK_INT(started_channel, AWAY);
	channel_destroy(c);
}

static void test_flags_only(void)
{
	struct channel *c = connected();
	channel_own_state(c, HOME, "s1", &(struct channel_flags){.deaf = true}, 0);
	CHECK_STR(did, "");
	CHECK(channel_flags(c)->deaf);
	CHECK_INT(channel_state(c), CHANNEL_CONNECTED);
	channel_destroy(c);
}

static void test_leaving_by_ourselves(void)
{
	struct channel *c = connected();
	channel_want(c, false, 0);
	CHECK_STR(did, "stop op4:0 ");
	CHECK_INT(channel_state(c), CHANNEL_LEAVING);
	channel_own_state(c, 0, "", &none, 0);
	CHECK_INT(channel_state(c), CHANNEL_IDLE);
	CHECK(!strstr(did, "kicked"));
	channel_destroy(c);
}

static void test_kicked_does_not_come_back(void)
{
	struct channel *c = connected();
	channel_own_state(c, 0, "", &none, 0);
	CHECK_STR(did, "stop kicked ");
	CHECK_INT(channel_state(c), CHANNEL_IDLE);
	CHECK_INT(channel_deadline_ns(c), INT64_MAX);
	channel_destroy(c);
	/* and with the close first */
	c = connected();
	channel_voice_end(c, VOICE_OUTCOME_WAIT, "4014", 0);
	channel_own_state(c, 0, "", &none, 0);
	CHECK(strstr(did, "kicked"));
	channel_destroy(c);
}

static void test_endpoint_null_then_another(void)
{
	struct channel *c = connected();
	channel_server_update(c, "t2", NULL, 0);
	CHECK_STR(did, "stop ");
	CHECK_INT(channel_state(c), CHANNEL_WAITING);
	channel_voice_end(c, VOICE_OUTCOME_WAIT, "4022", 0); /* late: not heard */
	channel_server_update(c, "t2", "e2", 0);
	CHECK_STR(did, "stop start ");
	CHECK_STR(started.session_id, "s1");
	channel_destroy(c);
}

static void test_server_update_while_connected(void)
{
	struct channel *c = connected();
	channel_server_update(c, "t2", "e1:443", 0); /* the endpoint unchanged, the token new */
	CHECK_STR(did, "start ");
	CHECK_STR(started.token, "t2");
	channel_destroy(c);
}

static void test_duplicate_server_update(void)
{
	struct channel *c = make();
	channel_want(c, true, 0);
	channel_own_state(c, HOME, "s1", &none, 0);
	channel_server_update(c, "t1", "e1", 0);
	did[0] = 0;
	channel_server_update(c, "t1", "e1", 0);
	CHECK_STR(did, "");
	channel_destroy(c);
}

static void test_updates_when_not_wanted(void)
{
	struct channel *c = make();
	channel_server_update(c, "t1", "e1", 0);
	CHECK_STR(did, "");
	channel_own_state(c, HOME, "s0", &none, 0); /* left over from an earlier life */
	CHECK_STR(did, "op4:0 ");
	channel_destroy(c);
}

/* 4006 and its kind: leave, wait for the confirmation, pause, join, with new data. */
static void test_rejoin_waits_for_the_leave(void)
{
	struct channel *c = connected();
	channel_voice_end(c, VOICE_OUTCOME_REJOIN, "4006", 0);
	CHECK_STR(did, "stop op4:0 ");
	CHECK_INT(channel_state(c), CHANNEL_LEAVING);
	channel_server_update(c, "t1", "e1", 0); /* not for us any more */
	channel_own_state(c, 0, "", &none, SEC);
	CHECK_INT(channel_state(c), CHANNEL_JOINING); /* the first time at once */
	CHECK_STR(did, "stop op4:0 op4:1101 ");
	channel_own_state(c, HOME, "s2", &none, SEC);
	CHECK(!strstr(did, "start")); /* the old token is forgotten */
	channel_server_update(c, "t2", "e1", SEC);
	CHECK(strstr(did, "start"));
	channel_destroy(c);
}

static void test_pauses_grow(void)
{
	struct channel *c = connected();
	int64_t now = 0, before = -1;
	for (int i = 0; i < 9; i++) {
		channel_voice_end(c, VOICE_OUTCOME_REJOIN, "4006", now);
		channel_own_state(c, 0, "", &none, now);
		int64_t pause = 0;
		if (channel_state(c) == CHANNEL_PAUSING) {
			pause = channel_deadline_ns(c) - now;
			now = channel_deadline_ns(c);
			channel_tick(c, now);
		}
		CHECK(pause > before || pause == 60 * SEC);
		before = pause;
		channel_own_state(c, HOME, "s", &none, now);
		channel_server_update(c, "t", "e", now);
	}
	CHECK_INT(before, 60 * SEC);
	channel_destroy(c);
}

static void test_no_answer_to_the_join(void)
{
	struct channel *c = make();
	channel_want(c, true, 0);
	channel_tick(c, channel_deadline_ns(c));
	CHECK(strstr(channel_why(c), "full"));
	CHECK_STR(did, "op4:1101 stop op4:0 ");
	channel_tick(c, channel_deadline_ns(c)); /* the leave is not confirmed either */
	CHECK_INT(channel_state(c), CHANNEL_JOINING);
	channel_destroy(c);
}

static void test_overall_time_out(void)
{
	struct channel *c = make();
	channel_want(c, true, 0);
	channel_own_state(c, HOME, "s1", &none, 0);
	channel_server_update(c, "t1", "e1", 0);
	CHECK_INT(channel_deadline_ns(c), 30 * SEC);
	channel_tick(c, 30 * SEC);
	CHECK_INT(channel_state(c), CHANNEL_LEAVING);
	channel_destroy(c);
}

static void test_waiting_in_vain(void)
{
	struct channel *c = connected();
	channel_voice_end(c, VOICE_OUTCOME_WAIT, "4014", 0);
	channel_tick(c, channel_deadline_ns(c));
	CHECK_INT(channel_state(c), CHANNEL_LEAVING);
	channel_destroy(c);
}

static void test_fatal_stays_away_until_asked(void)
{
	struct channel *c = connected();
	channel_voice_end(c, VOICE_OUTCOME_FATAL, "4017", 0);
	CHECK_INT(channel_state(c), CHANNEL_FAILED);
	CHECK_STR(channel_why(c), "4017");
	CHECK_INT(channel_deadline_ns(c), INT64_MAX);
	channel_own_state(c, 0, "", &none, 0);
	CHECK_INT(channel_state(c), CHANNEL_FAILED);
	did[0] = 0;
	channel_retry(c, SEC);
	CHECK_STR(did, "op4:1101 ");
	channel_destroy(c);
}

static void test_rate_limited_pauses_minutes(void)
{
	struct channel *c = connected();
	channel_voice_end(c, VOICE_OUTCOME_PAUSE, "4021", 0);
	channel_own_state(c, 0, "", &none, 0);
	CHECK_INT(channel_state(c), CHANNEL_PAUSING);
	CHECK(channel_deadline_ns(c) >= 120 * SEC);
	channel_destroy(c);
}

static void test_channel_deleted(void)
{
	struct channel *c = connected();
	channel_deleted(c, AWAY, 0);
	CHECK_INT(channel_state(c), CHANNEL_CONNECTED);
	channel_deleted(c, HOME, 0);
	CHECK_INT(channel_state(c), CHANNEL_FAILED);
	CHECK(strstr(channel_why(c), "deleted"));
	CHECK_STR(did, "stop ");
	channel_destroy(c);
}

static void test_main_gateway_resumed_leaves_voice_alone(void)
{
	struct channel *c = connected();
	channel_gateway_ready(c, 900, true, 0);
	CHECK_STR(did, "");
	CHECK_INT(channel_state(c), CHANNEL_CONNECTED);
	channel_destroy(c);
}

static void test_new_main_session_joins_again(void)
{
	struct channel *c = connected();
	channel_gateway_ready(c, 900, false, 0);
	CHECK_STR(did, "stop op4:1101 ");
	CHECK_INT(channel_state(c), CHANNEL_JOINING);
	channel_destroy(c);
}

static void test_join_waits_for_the_main_gateway(void)
{
	struct channel *c = make();
	no_session = true;
	channel_want(c, true, 0);
	channel_tick(c, channel_deadline_ns(c));
	CHECK_STR(did, "");
	CHECK_INT(channel_state(c), CHANNEL_JOINING);
	no_session = false;
	channel_gateway_ready(c, 900, true, 20 * SEC);
	CHECK_STR(did, "op4:1101 ");
	channel_destroy(c);
}

static void test_leave_and_want_again(void)
{
	struct channel *c = connected();
	channel_want(c, false, 0);
	channel_want(c, true, 0);
	CHECK_STR(did, "stop op4:0 ");
	channel_own_state(c, 0, "", &none, 0);
	CHECK_STR(did, "stop op4:0 op4:1101 ");
	CHECK(!strstr(did, "kicked"));
	channel_destroy(c);
}

static void test_attendance_command(void)
{
	struct attend a;
	attend_init(&a, false);
	attend_calls(&a, 1, true, 0);
	CHECK(!a.wanted);
	attend_connect(&a, 0);
	CHECK(a.wanted);
	CHECK_INT(attend_deadline_ns(&a), INT64_MAX);
	attend_calls(&a, 0, false, SEC);
	CHECK_INT(attend_deadline_ns(&a), 11 * SEC);
	attend_tick(&a, 11 * SEC - 1);
	CHECK(a.wanted);
	attend_tick(&a, 11 * SEC);
	CHECK(!a.wanted);
}

static void test_attendance_call(void)
{
	struct attend a;
	attend_init(&a, true);
	attend_calls(&a, 1, true, 0);
	CHECK(a.wanted);
	attend_disconnect(&a); /* or a kick */
	attend_calls(&a, 1, false, 0);
	CHECK(!a.wanted);
	attend_calls(&a, 2, true, 0); /* a new call asks again */
	CHECK(a.wanted);
	attend_calls(&a, 0, false, 0);
	attend_calls(&a, 1, true, 5 * SEC); /* within the ten seconds */
	CHECK_INT(attend_deadline_ns(&a), INT64_MAX);
}

static void test_attendance_without_calls(void)
{
	struct attend a;
	attend_init(&a, false);
	attend_connect(&a, 0);
	CHECK_INT(attend_deadline_ns(&a), 600 * SEC);
	attend_tick(&a, 600 * SEC);
	CHECK(!a.wanted);
}

int main(void)
{
	UNIT(test_join_in_both_orders);
	UNIT(test_moved_by_a_moderator);
	UNIT(test_moved_with_the_close_first);
	UNIT(test_flags_only);
	UNIT(test_leaving_by_ourselves);
	UNIT(test_kicked_does_not_come_back);
	UNIT(test_endpoint_null_then_another);
	UNIT(test_server_update_while_connected);
	UNIT(test_duplicate_server_update);
	UNIT(test_updates_when_not_wanted);
	UNIT(test_rejoin_waits_for_the_leave);
	UNIT(test_pauses_grow);
	UNIT(test_no_answer_to_the_join);
	UNIT(test_overall_time_out);
	UNIT(test_waiting_in_vain);
	UNIT(test_fatal_stays_away_until_asked);
	UNIT(test_rate_limited_pauses_minutes);
	UNIT(test_channel_deleted);
	UNIT(test_main_gateway_resumed_leaves_voice_alone);
	UNIT(test_new_main_session_joins_again);
	UNIT(test_join_waits_for_the_main_gateway);
	UNIT(test_leave_and_want_again);
	UNIT(test_attendance_command);
	UNIT(test_attendance_call);
	UNIT(test_attendance_without_calls);
	return unit_done();
}
