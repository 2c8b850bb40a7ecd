/* SPDX-License-Identifier: MIT
 *
 * test_call.c - what becomes of calls, in simulated time.
 */
#include "bridge/call.h"
#include "tests/unit/unit.h"

#include <errno.h>

#define SECOND INT64_C(1000000000)

static struct call_table *table;
static char trace[4096];
static int64_t now;

static void note(const char *what, const char *sid, const char *more)
{
	snprintf(trace + strlen(trace), sizeof(trace) - strlen(trace), "%s%s:%s%s%s", *trace ? " " : "",
		 sid, what, *more ? "=" : "", more);
}

static void on_changed(void *user, struct call *call)
{
	static const char *const name[] = {"new", "live", "reattaching"};

	note(name[call->state], call->sid, "");
}

static void on_ended(void *user, struct call *call, enum call_end reason)
{
	CHECK_INT(call->state, CALL_ENDED);
	CHECK(call->stream == NULL);
	CHECK(call_find(table, call->sid) == NULL);
	note("ended", call->sid, call_end_text(reason));
}

static void on_drop(void *user, struct call *call, void *stream)
{
	note("drop", call->sid, stream);
}

static void on_notice(void *user, struct call *call)
{
	note("notice", call->sid, "");
}

static void setup(void)
{
	static const struct call_hooks hooks = {on_changed, on_ended, on_drop, on_notice, NULL};

	call_table_destroy(table);
	CHECK_INT(call_table_create(&table, &hooks), 0);
	trace[0] = '\0';
	now = 1000 * SECOND;
}

static int admit_with(struct call **out, const char *sid, int64_t waiting_s, int64_t max_s)
{
	struct call_params params = {
		.sid = sid, .from = "+1", .to = "+2", .max_calls = 2, .now_ns = now,
		.waiting_max_ns = waiting_s * SECOND, .max_ns = max_s * SECOND,
	};

	return call_admit(table, out, &params);
}

static struct call *admit(const char *sid)
{
	struct call *call;

	CHECK_INT(admit_with(&call, sid, 120, 0), 0);
	return call;
}

/* Jumps from deadline to deadline, the way the owner's timer does. */
static void run_for(int64_t seconds)
{
	int64_t end = now + seconds * SECOND;

	for (int64_t next; (next = call_table_deadline(table)) <= end;) {
		CHECK(next > now - SECOND);
		now = next > now ? next : now;
		call_table_run(table, now);
	}
	now = end;
	call_table_run(table, now);
}

static void test_normal_call(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s1", now);
	run_for(3600);
	CHECK_STR(trace, "A:new A:live");
	call_detach(table, a, a->stream, true, now);
	CHECK_STR(trace, "A:new A:live A:ended=caller hung up");
	CHECK_INT(call_count(table), 0);
	CHECK_INT(call_table_deadline(table), INT64_MAX);
	CHECK_INT(call_remember(table, "A"), CALL_OVER);
	CHECK_INT(call_remember(table, "B"), CALL_UNKNOWN);
}

static void test_no_stream_comes(void)
{
	setup();
	admit("A");
	run_for(69);
	CHECK_STR(trace, "A:new");
	run_for(2);
	CHECK_STR(trace, "A:new A:ended=no stream came");
}

/* The socket came, and went before it was a stream: the caller hung up, or the network asks again. */
static void test_stream_that_came_to_nothing(void)
{
	setup();
	struct call *a = admit("A"), *b = admit("B");

	run_for(1);
	call_stream_failed(a, now);
	call_stream_failed(b, now);
	run_for(9);
	CHECK_STR(trace, "A:new B:new");
	CHECK(call_reconnect(b, now));
	run_for(2);
	CHECK_STR(trace, "A:new B:new A:ended=no stream came");
	run_for(60);
	call_attach(table, b, (void *)"s", now);
	call_stream_failed(b, now); /* an older socket of a call that is live */
	run_for(3600);
	CHECK_STR(trace, "A:new B:new A:ended=no stream came B:live");
}

static void test_reattach(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s1", now);
	call_detach(table, a, a->stream, false, now);
	run_for(9);
	CHECK(call_reconnect(a, now));
	run_for(9); /* the new address was asked for, so the ten seconds begin again */
	call_attach(table, a, (void *)"s2", now);
	run_for(60);
	CHECK_STR(trace, "A:new A:live A:reattaching A:live");
	call_detach(table, a, a->stream, false, now);
	run_for(11);
	CHECK_STR(trace, "A:new A:live A:reattaching A:live A:reattaching A:ended=stream lost");
	CHECK_INT(call_remember(table, "A"), CALL_OVER);
}

static void test_reconnects_are_limited(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s", now);
	for (int i = 0; i < 3; i++) {
		CHECK(call_reconnect(a, now));
		now += 10 * SECOND;
	}
	CHECK(!call_reconnect(a, now));
	now += 29 * SECOND;
	CHECK(!call_reconnect(a, now));
	now += SECOND; /* 60 s after the first */
	CHECK(call_reconnect(a, now));
	CHECK(!call_reconnect(a, now));
}

static void test_newer_stream_wins(void)
{
	static char older[] = "s1", newer[] = "s2";

	setup();
	struct call *a = admit("A");

	call_attach(table, a, older, now);
	call_attach(table, a, newer, now);
	CHECK_STR(trace, "A:new A:live A:drop=s1 A:live");
	call_detach(table, a, older, false, now); /* its close comes late: no harm */
	CHECK_INT(a->state, CALL_LIVE);
	CHECK(a->stream == newer);
}

static void test_hangup(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s1", now);
	call_finish(table, a, CALL_END_HANGUP, now);
	CHECK_STR(trace, "A:new A:live A:drop=s1 A:ended=hung up");
	CHECK_INT(call_remember(table, "A"), CALL_ENDED_BY_US);

	struct call *again;

	CHECK_INT(admit_with(&again, "A", 0, 0), -ESTALE);
	CHECK(again == NULL);
	call_forget_ended(table, "A");
	CHECK_INT(admit_with(&again, "A", 0, 0), 0);
}

static void test_waiting_max(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s1", now);
	call_set_waiting(a, true, now);
	run_for(100);
	call_set_waiting(a, true, now); /* said again: the clock does not start anew */
	run_for(19);
	CHECK_STR(trace, "A:new A:live");
	run_for(2);
	CHECK_STR(trace, "A:new A:live A:notice");
	run_for(2);
	CHECK_STR(trace, "A:new A:live A:notice A:drop=s1 A:ended=waited too long");
	CHECK_INT(call_remember(table, "A"), CALL_ENDED_BY_US);
}

static void test_connected_in_time(void)
{
	setup();
	struct call *a = admit("A");

	call_attach(table, a, (void *)"s1", now);
	call_set_waiting(a, true, now);
	run_for(119);
	call_set_waiting(a, false, now);
	run_for(1000);
	call_set_waiting(a, true, now); /* the channel was lost: a new allowance */
	run_for(121);
	CHECK_STR(trace, "A:new A:live A:notice");
	call_set_waiting(a, false, now); /* while the notice sounds: saved */
	run_for(1000);
	CHECK_STR(trace, "A:new A:live A:notice");
}

static void test_longest_call(void)
{
	struct call *a;

	setup();
	CHECK_INT(admit_with(&a, "A", 0, 60), 0);
	call_attach(table, a, (void *)"s1", now);
	call_set_waiting(a, true, now); /* without limit */
	run_for(57);
	CHECK_STR(trace, "A:new A:live");
	run_for(1);
	CHECK_STR(trace, "A:new A:live A:notice");
	call_set_waiting(a, false, now); /* does not save it */
	run_for(2);
	CHECK_STR(trace, "A:new A:live A:notice A:drop=s1 A:ended=call too long");
}

static void test_limits(void)
{
	struct call *call;
	char sid[CALL_SID_BYTES + 1];

	setup();
	admit("A");
	admit("B");
	CHECK_INT(admit_with(&call, "C", 0, 0), -EBUSY);
	CHECK_INT(admit_with(&call, "A", 0, 0), -EEXIST);
	CHECK_STR(call->sid, "A");
	CHECK_INT(admit_with(&call, "", 0, 0), -EINVAL);
	memset(sid, 'A', sizeof(sid) - 1);
	sid[CALL_SID_BYTES] = '\0';
	CHECK_INT(admit_with(&call, sid, 0, 0), -EINVAL);
}

static void test_many_calls_leave_nothing(void)
{
	setup();
	for (int i = 0; i < 5000; i++) {
		char sid[16];

		snprintf(sid, sizeof(sid), "C%d", i);
		struct call *call = admit(sid);

		trace[0] = '\0';
		call_finish(table, call, i % 2 ? CALL_END_HANGUP : CALL_END_CALLER, now);
		trace[0] = '\0';
	}
	CHECK_INT(call_count(table), 0);
	CHECK_INT(call_remember(table, "C4999"), CALL_ENDED_BY_US);
	CHECK_INT(call_remember(table, "C4998"), CALL_OVER);
	CHECK_INT(call_remember(table, "C1"), CALL_UNKNOWN);
}

static void test_end_during_iteration(void)
{
	setup();
	admit("A");
	admit("B");
	run_for(100); /* both end in one run */
	CHECK_INT(call_count(table), 0);
	CHECK(strstr(trace, "A:ended") && strstr(trace, "B:ended"));
}

int main(void)
{
	UNIT(test_normal_call);
	UNIT(test_no_stream_comes);
	UNIT(test_stream_that_came_to_nothing);
	UNIT(test_reattach);
	UNIT(test_reconnects_are_limited);
	UNIT(test_newer_stream_wins);
	UNIT(test_hangup);
	UNIT(test_waiting_max);
	UNIT(test_connected_in_time);
	UNIT(test_longest_call);
	UNIT(test_limits);
	UNIT(test_many_calls_leave_nothing);
	UNIT(test_end_during_iteration);
	call_table_destroy(table);
	return unit_done();
}
