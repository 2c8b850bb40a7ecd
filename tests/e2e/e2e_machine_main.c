/* SPDX-License-Identifier: MIT
 *
 * e2e_machine - the machine under a call: signals, a service manager, descriptors, disk, log, names,
 * time that stands still, the loopback taken away. Nothing that runs is lost, and what went wrong
 * is said.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/heal.h"
#include "tests/e2e/machine.h"

#define SETTINGS "CONNECT=call\nWAITING=silence\n"

static const struct world_options options = {.settings = SETTINGS, .names = true, .clock = true};
static const struct heal pair = {&W, "m", "ann", 1013, 617};

static void ann_speaks(void)
{
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
}

static void healed(const char *what, int64_t since_ns, int ms)
{
	heal_report(&pair, what, since_ns, ms);
}

static void call_is_up(void)
{
	E2E_NEEDS_WORLD();
	simulator_forget(W.phone);
	simulator_forget(W.discord);
	if (heal_is_whole(&pair))
		return;
	calls_down(&W); /* what a failed test left */
	process_end(&W.bot, SIGTERM, 8000);
	process_end(&W.bridge, SIGTERM, 8000);
	world_start_bridge(&W);
	world_start_bot(&W);
	call_up(&W, 0, "m", "{\"tone\":1013}", true, "");
	ann_speaks();
	healed("after a new start", harness_now_ns(), 15000);
}

/* ---- what the service manager is told ------------------------------------------------------- */

static int notify_fd = -1;

static void manager_begin(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/loopline-notify-%d", (int)getpid());
	unlink(sa.sun_path);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(notify_fd >= 0 && bind(notify_fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	setenv("WATCHDOG_USEC", "2000000", 1);
	unsetenv("WATCHDOG_PID");
}

/* How often that was said since last asked; everything else is thrown away. */
static int manager_heard(const char *what)
{
	char text[256];
	ssize_t n;
	int count = 0;

	while ((n = recv(notify_fd, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = 0;
		count += strstr(text, what) != NULL;
	}
	return count;
}

static void test_start(void)
{
	manager_begin();
	world_start(&W, &options);
	CHECK_INT(manager_heard("READY=1"), 2);
	member_in(&W, "ann", LOUNGE);
	ann_speaks();
	call_up(&W, 0, "m", "{\"tone\":1013}", true, "");
	healed("at first", harness_now_ns(), 10000);
}

/* Both say that they live, several times within the time after which they would be killed. */
static void test_watchdog_is_fed(void)
{
	call_is_up();
	manager_heard("");
	harness_sleep_ms(4000);
	CHECK(manager_heard("WATCHDOG=1") >= 2 * 4);
}

/* ---- signals -------------------------------------------------------------------------------- */

/* SIGHUP: what is new holds for new calls; the call that is up notices nothing. */
static void test_settings_are_read_again(void)
{
	call_is_up();
	manager_heard("");
	world_settings(&W, SETTINGS "MAX_CALLS=1\n");
	kill(W.bridge.pid, SIGHUP);
	CHECK(world_logged(&W.bridge, "settings are read again", 3000));
	harness_sleep_ms(100);
	CHECK(manager_heard("READY=1") == 1);
	simulator_ask(W.phone, "call", "\"call\":\"second\",\"voice\":null");
	simulator_wait(W.phone, 5000, "call.ended", "call", "second", "reason", "rejected", NULL);
	kill(W.bot.pid, SIGHUP);
	CHECK(world_logged(&W.bot, "settings were read again", 3000));
	healed("SIGHUP", harness_now_ns(), 3000);
	CHECK(!simulator_seen(W.phone, "stream.closed", "call", "m", NULL));
	CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
	world_check(&W, NULL);
}

/* Wrong settings: the old ones stay, the error names the key. */
static void test_wrong_settings_are_not_taken(void)
{
	call_is_up();
	world_settings(&W, SETTINGS "MAX_CALLS=many\nSHOW_NUMBERS=perhaps\n");
	kill(W.bridge.pid, SIGHUP);
	kill(W.bot.pid, SIGHUP);
	CHECK(world_logged(&W.bridge, "MAX_CALLS", 3000));
	CHECK(world_logged(&W.bot, "SHOW_NUMBERS", 3000));
	world_settings(&W, SETTINGS);
	healed("wrong settings", harness_now_ns(), 3000);
	kill(W.bridge.pid, SIGHUP);
	kill(W.bot.pid, SIGHUP);
	world_check(&W, NULL);
}

/* SIGTERM to the bridge: done in five seconds, and the call comes back to the next start. */
static void test_bridge_stops_and_starts(void)
{
	int64_t begin;

	call_is_up();
	manager_heard("");
	begin = harness_now_ns();
	CHECK(process_end(&W.bridge, SIGTERM, 5000));
	CHECK(WIFEXITED(W.bridge.status) && WEXITSTATUS(W.bridge.status) == 0);
	printf("# stopped in %.1f s\n", (double)(harness_now_ns() - begin) / 1e9);
	CHECK_INT(manager_heard("STOPPING=1"), 1);
	world_start_bridge(&W);
	healed("the bridge restarted", begin, 20000);
	CHECK(!simulator_seen(W.phone, "call.ended", NULL));
	world_check(&W, NULL);
}

/* SIGTERM to the other: it leaves the channel, the call waits, and it goes back where it was. */
static void test_bot_stops_and_starts(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	CHECK(process_end(&W.bot, SIGTERM, 5000));
	CHECK(WIFEXITED(W.bot.status) && WEXITSTATUS(W.bot.status) == 0);
	simulator_wait(W.discord, 1000, "gateway.op4", "channel", "null", NULL);
	world_wait_calls(&W, 0, 1, 1000);
	world_start_bot(&W);
	healed("the bot restarted", begin, 20000);
	CHECK(!simulator_seen(W.phone, "stream.closed", NULL));
	world_check(&W, NULL);
}

/* The socket is the lease of "connected": three seconds after it broke, callers wait again. */
static void test_lease_of_the_channel(void)
{
	int64_t killed;

	call_is_up();
	killed = harness_now_ns();
	kill(W.bot.pid, SIGKILL);
	process_end(&W.bot, 0, 2000);
	harness_sleep_ms(1500);
	world_wait_channel(&W, 0, "connected", 1);
	world_wait_channel(&W, 0, "disconnected", 4000);
	printf("# disconnected after %.1f s\n", (double)(harness_now_ns() - killed) / 1e9);
	CHECK(harness_now_ns() - killed > 2700000000LL);
	world_wait_calls(&W, 0, 1, 1000);
	world_start_bot(&W);
	healed("a dead bot", killed, 30000);
	world_check(&W, NULL);
}

/* ---- a call that only REST can end ---------------------------------------------------------- */

static int hangups_under_way(void)
{
	cJSON *root = world_api(&W, "bridge", "GET", "/v1/state", NULL);
	int n = (int)cJSON_GetNumberValue(
		cJSON_GetObjectItemCaseSensitive(root, "hangups_under_way"));

	cJSON_Delete(root);
	return n;
}

static void test_hangup_is_retried_until_known(void)
{
	const cJSON *o;
	char path[128];
	int status;

	call_is_up();
	o = simulator_ask(W.phone, "call", "\"call\":\"late\",\"hold_upgrade_ms\":60000");
	snprintf(path, sizeof(path), "/v1/calls/%s/hangup",
		 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "call_sid")));
	world_wait_calls(&W, 0, 2, 5000);
	simulator_ask(W.phone, "rest", "\"fail\":503,\"count\":7");
	cJSON_Delete(world_api(&W, "bridge", "POST", path, &status));
	CHECK_INT(status, 202);
	harness_sleep_ms(1000);
	CHECK_INT(hangups_under_way(), 1);
	CHECK(!simulator_seen(W.phone, "call.ended", "call", "late", NULL));
	CHECK(world_logged(&W.bridge, "trying again", 10000));
	simulator_wait(W.phone, 60000, "call.ended", "call", "late", "reason", "rest", NULL);
	harness_sleep_ms(500);
	CHECK_INT(hangups_under_way(), 0);
	world_check(&W, NULL);
}

/* The caller's side dies without a word: five seconds without media, then the redirect. */
static void test_caller_vanishes(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	simulator_ask(W.phone, "hangup", "\"call\":\"m\",\"how\":\"vanish\"");
	simulator_wait(W.phone, 10000, "stream.closed", "call", "m", "by", "peer", NULL);
	CHECK(harness_now_ns() - begin > 4000000000LL);
	healed("a stream that went dead", begin, 20000);
	world_check(&W, NULL);
}

/* Hangs up between the opening of its socket and `start`, or when that was refused: nothing is left of
 * it after ten seconds. */
static void test_caller_goes_before_start(void)
{
	static const char *const how[][2] = {{"\"hold_start_ms\":60000", "stream.open"},
					     {"\"stream_signature\":\"wrong\"", "stream.refused"}};

	for (int i = 0; i < 2; i++) {
		int64_t begin;

		call_is_up();
		simulator_ask(W.phone, "call", "\"call\":\"early%d\",%s", i, how[i][0]);
		simulator_wait(W.phone, 5000, how[i][1], NULL);
		begin = harness_now_ns();
		call_down(&W, i ? "early1" : "early0");
		world_wait_calls(&W, 0, 2, 1000);
		world_wait_calls(&W, 0, 1, 15000);
		printf("# forgotten after %.1f s\n", (double)(harness_now_ns() - begin) / 1e9);
	}
	world_check(&W, NULL);
}

/* ---- resources ------------------------------------------------------------------------------ */

/* No descriptor is left: the call goes on, the watchdog is fed, and what needs one works again as
 * soon as there are some. */
static void test_bridge_out_of_descriptors(void)
{
	struct rlimit before;

	call_is_up();
	CHECK(descriptors_exhaust(W.bridge.pid, &before));
	manager_heard("");
	/* a caller in that moment: the connection waits in the kernel */
	simulator_ask(W.phone, "call", "\"call\":\"more\",\"voice\":null");
	harness_sleep_ms(3000);
	CHECK(manager_heard("WATCHDOG=1") >= 2 * 2);
	healed("without descriptors", harness_now_ns(), 3000);
	CHECK(world_logged(&W.bridge, "not accepting connections", 1000));
	descriptors_restore(W.bridge.pid, &before);
	simulator_wait(W.phone, 10000, "stream.open", "call", "more", NULL);
	call_down(&W, "more");
	CHECK(!simulator_seen(W.phone, "stream.closed", "call", "m", NULL));
	world_check(&W, NULL);
}

static bool gateway_is_connected(void)
{
	const cJSON *b, *state = simulator_ask(W.discord, "state", "\"of\":\"all\"");

	cJSON_ArrayForEach(b, cJSON_GetObjectItemCaseSensitive(state, "gateways"))
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "connected")))
			return true;
	return false;
}

/* By a resume, or anew if its address could not be reached for long; that takes the voice connection
 * with it. */
static void gateway_again(void)
{
	for (int i = 0; !gateway_is_connected(); i++) {
		CHECK(i < 400);
		harness_sleep_ms(100);
	}
	harness_sleep_ms(1000);
}

static void test_bot_out_of_descriptors(void)
{
	struct rlimit before;
	int64_t begin;

	call_is_up();
	CHECK(descriptors_exhaust(W.bot.pid, &before));
	simulator_ask(W.discord, "gateway", "\"do\":\"drop\"");
	manager_heard("");
	harness_sleep_ms(4000);
	CHECK(manager_heard("WATCHDOG=1") >= 2 * 3);
	healed("without descriptors", harness_now_ns(), 3000);
	simulator_ask(W.discord, "voice", "\"do\":\"drop\"");
	harness_sleep_ms(2000);
	descriptors_restore(W.bot.pid, &before);
	begin = harness_now_ns();
	gateway_again();
	healed("descriptors again", begin, 40000);
	world_check(&W, NULL);
}

/* No memory is left, and things are asked for that need some: what was asked may fail, nobody ends, and
 * all works again as soon as there is some. */
static void test_bridge_out_of_memory(void)
{
	struct rlimit before;
	int64_t begin;

	call_is_up();
	if (!memory_exhaust(W.bridge.pid, 0, &before))
		SKIP("memory cannot be limited here");
	for (int i = 0; i < 12; i++) {
		simulator_try(W.phone, "call", "\"call\":\"poor%d\",\"voice\":null", i);
		harness_sleep_ms(300);
	}
	memory_restore(W.bridge.pid, &before);
	begin = harness_now_ns();
	CHECK(!process_ended(&W.bridge));
	for (int i = 0; i < 12; i++)
		simulator_try(W.phone, "hangup", "\"call\":\"poor%d\"", i);
	healed("no memory for the bridge", begin, 30000);
	world_wait_calls(&W, 0, 1, 75000);
	call_up(&W, 0, "rich", "null", false, "");
	call_down(&W, "rich");
	world_check(&W, NULL);
}

static void test_bot_out_of_memory(void)
{
	static const char *const how[] = {"voice", "gateway"};
	struct rlimit before;
	char name[16];

	for (int i = 0; i < 2; i++) {
		int64_t begin;

		call_is_up();
		if (!memory_exhaust(W.bot.pid, 0, &before))
			SKIP("memory cannot be limited here");
		if (i)
			simulator_ask(W.discord, how[i], "\"do\":\"drop\"");
		else
			simulator_ask(W.discord, how[i], "\"do\":\"close\",\"code\":4006");
		for (int m = 0; m < 8; m++) {
			snprintf(name, sizeof(name), "poor%d%d", i, m);
			member_in(&W, name, LOUNGE);
			simulator_ask(W.discord, "speak",
				      "\"member\":\"%s\",\"voice\":{\"tone\":%d,\"dbfs\":-35}", name,
				      300 + 97 * m);
			harness_sleep_ms(400);
		}
		memory_restore(W.bot.pid, &before);
		begin = harness_now_ns();
		CHECK(!process_ended(&W.bot));
		for (int m = 0; m < 8; m++)
			simulator_ask(W.discord, "leave", "\"member\":\"poor%d%d\"", i, m);
		gateway_again();
		healed("no memory for the bot", begin, 60000);
	}
	world_check(&W, NULL);
}

/* The disk is full: what is kept on it is not, that is said, and the bot goes on. */
static void test_disk_full(void)
{
	int64_t begin;
	int status;

	if (!world_own_mounts())
		SKIP("no mount namespace here");
	call_is_up();
	CHECK(disk_fill(&W));
	begin = harness_now_ns();
	simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
	simulator_wait(W.discord, 20000, "gateway.identify", "token_ok", "true", NULL);
	CHECK(world_logged(&W.bot, "cannot keep the identify budget", 2000));
	CHECK(world_logged(&W.bot, "No space left", 0));
	cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", &status));
	healed("a full disk", begin, 30000);
	disk_free(&W);
	CHECK(!process_ended(&W.bot));
	world_check(&W, NULL);
}

static void start_again(int bot)
{
	if (bot)
		world_start_bot(&W);
	else
		world_start_bridge(&W);
}

/* Whoever reads the log goes away, or reads no more, of both: nobody dies of SIGPIPE or waits for a
 * reader. */
static void no_log(bool stuck)
{
	struct process *const p[] = {&W.bridge, &W.bot};
	int reader[2];
	int64_t begin;

	call_is_up();
	for (int i = 0; i < 2; i++) {
		process_end(p[i], SIGTERM, 8000);
		reader[i] = log_to_pipe(p[i], world_file(&W, i ? "discord.log.old" : "bridge.log.old"));
		start_again(i);
		unlink(p[i]->log); /* it is open; the next life has an ordinary one */
		if (!stuck)
			close(reader[i]);
	}
	begin = harness_now_ns();
	simulator_ask(W.discord, "gateway", "\"do\":\"drop\"");
	simulator_ask(W.phone, "post", "\"fill\":true,\"signature\":\"wrong\""); /* lines to write */
	healed(stuck ? "a stuck log" : "no log", begin, 30000);
	CHECK(!process_ended(&W.bridge) && !process_ended(&W.bot));
	for (int i = 0; i < 2; i++) {
		if (stuck) {
			char text[4096];

			CHECK(log_drain(reader[i], NULL, 0) > 0);
			kill(p[i]->pid, SIGHUP); /* something to say, and room for it */
			harness_sleep_ms(500);
			log_drain(reader[i], text, sizeof(text));
			close(reader[i]);
			CHECK(strstr(text, "log lines were lost"));
		}
		process_end(p[i], SIGTERM, 8000);
		start_again(i);
	}
	begin = harness_now_ns();
	healed("a log again", begin, 30000);
	world_check(&W, NULL);
}

static void test_log_pipe_closed(void)
{
	no_log(false);
}

static void test_log_pipe_stuck(void)
{
	no_log(true);
}

/* ---- the loopback, and time ------------------------------------------------------------------ */

/* The cables are removed under everybody, as after rmmod: opened anew, the call stays up. */
static void test_loopback_vanishes(void)
{
	int64_t begin;

	call_is_up();
	begin = harness_now_ns();
	CHECK(cables_remove(&W) > 0);
	harness_sleep_ms(300);
	healed("no cable", begin, 15000);
	CHECK(!simulator_seen(W.phone, "stream.closed", NULL));
	CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
	world_check(&W, NULL);
}

/* The machine stands still for a while (suspended, or a hypervisor took its time): one process
 * after the other, then both. Nothing piles up. */
static void test_time_stands_still(void)
{
	static const struct {
		const char *what;
		bool bridge, bot;
	} rounds[] = {{"the bridge stood still", true, false},
		      {"the bot stood still", false, true},
		      {"both stood still", true, true}};

	for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		int64_t begin;
		double queue;

		call_is_up();
		if (rounds[i].bridge)
			kill(W.bridge.pid, SIGSTOP);
		if (rounds[i].bot)
			kill(W.bot.pid, SIGSTOP);
		harness_sleep_ms(3000);
		begin = harness_now_ns();
		kill(W.bridge.pid, SIGCONT);
		kill(W.bot.pid, SIGCONT);
		healed(rounds[i].what, begin, 20000);
		queue = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
			simulator_ask(W.phone, "stats", "\"call\":\"m\""), "fifo_ms"));
		printf("# %.0f ms wait at the caller\n", queue);
		CHECK(queue < 250);
	}
	world_check(&W, NULL);
}

/* ---- the wall clock -------------------------------------------------------------------------- */

#define CLOCK_S 8

/* Longest of the gaps, and all of them. */
static void gaps_of(const char *who, const struct track *t, double from_ns, double hz)
{
	struct signal_gaps gaps;
	double longest_ms = 0;
	float *x;
	size_t n = track_cut(&x, t, from_ns, CLOCK_S - 1, t->wav.rate);

	CHECK(n > (CLOCK_S - 2) * (size_t)t->wav.rate);
	signal_find_gaps(&gaps, x, n, t->wav.rate, hz);
	for (size_t i = 0; i < gaps.count && i < 64; i++)
		if (gaps.first[i].length_s * 1000 > longest_ms)
			longest_ms = gaps.first[i].length_s * 1000;
	printf("# %s: %zu gaps, the longest %.0f ms, %.0f ms in all\n", who, gaps.count, longest_ms,
	       gaps.total_s * 1000);
	free(x);
	CHECK(longest_ms < 200);
	CHECK(gaps.total_s < 0.4);
}

/* Since when a call of line 0 is there, as the bridge says. */
static double call_since_ms(int which)
{
	cJSON *root = world_api(&W, "bridge", "GET", "/v1/state", NULL);
	const cJSON *line = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "lines"), 0);
	double ms = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(line, "calls"), which),
		"since_ms"));

	cJSON_Delete(root);
	return ms;
}

/* The clock is set by an hour either way in a call, and back: nobody hears of it. While it is wrong a
 * call comes in (tokens, time stamps), and the bot identifies anew (its budget is kept by that clock)
 * without being kept waiting or hurrying. */
static void test_clock_is_set(void)
{
	static const int hours[] = {1, -1};

	for (int i = 0; i < 2; i++) {
		struct track member, caller;
		int64_t begin, identify;
		char stem[600], name[16];
		double since_ms, ahead_s;

		call_is_up();
		simulator_forget(W.discord);
		member_record(&W, "ann", "clock");
		harness_sleep_ms(500);
		begin = harness_now_ns();
		harness_sleep_ms(1000);
		if (!world_clock(&W, hours[i] * 3600 * 1000000000LL))
			SKIP("the clock cannot be set here");
		harness_sleep_ms((CLOCK_S - 1) * 500);
		world_clock(&W, 0);
		harness_sleep_ms((CLOCK_S - 1) * 500 + 500);
		member_recorded(&W, "ann", "clock", &member);
		simulator_ask(W.phone, "flush", "\"call\":\"m\"");
		snprintf(stem, sizeof(stem), "%s/rec/m.%d", W.dir, heal_streams(&W, "m") - 1);
		track_load(&caller, stem, "heard");
		printf("# %+d h, and back\n", hours[i]);
		gaps_of("the member", &member, (double)begin, 1013);
		gaps_of("the caller", &caller, (double)begin, 617);
		track_free(&member);
		track_free(&caller);
		CHECK(!simulator_seen(W.phone, "stream.closed", NULL));
		CHECK(!simulator_seen(W.discord, "voice.closed", NULL));
		CHECK(!simulator_seen(W.discord, "gateway.closed", NULL));

		world_clock(&W, hours[i] * 3600 * 1000000000LL);
		since_ms = call_since_ms(0);
		snprintf(name, sizeof(name), "clock%d", i);
		call_up(&W, 0, name, "null", false, "");
		CHECK(call_since_ms(0) == since_ms); /* a time for people: it stays what it was */
		ahead_s = call_since_ms(1) / 1000 - (double)time(NULL);
		CHECK(ahead_s > hours[i] * 3600 - 10 && ahead_s < hours[i] * 3600 + 10);
		call_down(&W, name);
		world_wait_calls(&W, 0, 1, 5000);
		identify = harness_now_ns();
		simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
		simulator_wait(W.discord, 20000, "gateway.identify", "token_ok", "true", NULL);
		printf("# identified after %.1f s\n", (double)(harness_now_ns() - identify) / 1e9);
		healed("an identify while the clock is wrong", identify, 30000);
		identify = harness_now_ns();
		world_clock(&W, 0);
		simulator_ask(W.discord, "gateway", "\"do\":\"op9\",\"resumable\":false");
		simulator_wait(W.discord, 20000, "gateway.identify", "token_ok", "true", NULL);
		healed("and when it is right again", identify, 30000);
		world_check(&W, NULL);
	}
}

/* ---- names ---------------------------------------------------------------------------------- */

/* No name can be looked up when it starts: that is said, tried again, and the rest works. */
static void test_dns_down_at_start(void)
{
	int64_t begin;

	if (!world_own_mounts())
		SKIP("no mount namespace here");
	call_is_up();
	process_end(&W.bot, SIGTERM, 8000);
	unlink(world_file(&W, "discord.log"));
	CHECK(world_names(&W, false));
	world_run_bot(&W);
	CHECK(world_logged(&W.bot, "cannot ask Discord for its gateway", 15000));
	CHECK(!process_ended(&W.bot));
	world_wait_calls(&W, 0, 1, 1000);
	begin = harness_now_ns();
	CHECK(world_names(&W, true));
	healed("names again", begin, 60000);
	world_check(&W, NULL);
}

int main(void)
{
	int status;
	const char *path;

	e2e_begin();
	UNIT(test_start);
	UNIT(test_watchdog_is_fed);
	UNIT(test_settings_are_read_again);
	UNIT(test_wrong_settings_are_not_taken);
	UNIT(test_hangup_is_retried_until_known);
	UNIT(test_caller_vanishes);
	UNIT(test_caller_goes_before_start);
	UNIT(test_bridge_out_of_descriptors);
	UNIT(test_bot_out_of_descriptors);
	UNIT(test_bridge_out_of_memory);
	UNIT(test_bot_out_of_memory);
	UNIT(test_loopback_vanishes);
	UNIT(test_clock_is_set);
	UNIT(test_time_stands_still);
	UNIT(test_lease_of_the_channel);
	UNIT(test_bot_stops_and_starts);
	UNIT(test_bridge_stops_and_starts);
	UNIT(test_disk_full);
	UNIT(test_log_pipe_closed);
	UNIT(test_log_pipe_stuck);
	UNIT(test_dns_down_at_start);
	path = getenv("NOTIFY_SOCKET");
	status = e2e_done();
	if (path)
		unlink(path);
	return status;
}
