/* SPDX-License-Identifier: MIT
 *
 * vm_call - both services as systemd units over the real card, with the simulators around them. Runs
 * inside the virtual machine of tests/vm, as root, with loopline installed; skips elsewhere.
 *
 * The machine's time is its own (tests/vm/boot.sh), so that sound is judged as strictly here as in the
 * other end-to-end tests, and delays are those of a kernel of HZ=250.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/unit/unit.h"

#define CALLER  1013
#define MEMBER  617
#define CALLER2 1307
#define MEMBER2 887
#define EIGHT   1511 /* a file of 8 kHz, mono */
#define MUSIC   331  /* of 44.1 kHz, stereo; low, since ALSA's conversion plays it 0.2 % fast */
#define SECOND  "+14155550191"

#define FILTER_CONF "/etc/systemd/system/loopline-discord.service.d/filter.conf"

static struct world W; /* not by world_start(): systemd starts the services */
static const char *secret_token, *secret_auth;

/* What the services say of themselves, for the log, when something went wrong. */
static void failed(const char *text)
{
	static const char *const sockets[] = {"bridge", "discord"};

	for (int i = 0; i < 2; i++) {
		cJSON *o = world_api(&W, sockets[i], "GET", "/v1/state", NULL);
		char *state = o ? cJSON_Print(o) : NULL;

		fprintf(stderr, "--- %s: %s\n%s\n", unit_name, sockets[i], state ? state : "no answer");
		free(state);
		cJSON_Delete(o);
	}
	UNIT_FAIL("%s", text);
}

/* ---- systemd ------------------------------------------------------------------------------- */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char cmd[1024];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(cmd, sizeof(cmd), format, ap);
	va_end(ap);
	status = system(cmd);
	if (status != 0)
		harness_failed("\"%s\" ended with %d", cmd, status);
}

/* A property of a unit; valid until the fourth next call. */
static const char *unit_show(const char *unit, const char *property)
{
	static char ring[4][256];
	static int next;
	char *out = ring[next++ % 4], cmd[256];
	FILE *f;

	out[0] = 0;
	snprintf(cmd, sizeof(cmd), "systemctl show --value -p %s %s", property, unit);
	f = popen(cmd, "r");
	if (f) {
		if (!fgets(out, sizeof(ring[0]), f))
			out[0] = 0;
		pclose(f);
	}
	out[strcspn(out, "\n")] = 0;
	return out;
}

static void wait_unit(const char *unit, const char *property, const char *want, int ms)
{
	int64_t end = harness_now_ns() + ms * 1000000LL;

	while (strcmp(unit_show(unit, property), want) != 0) {
		if (harness_now_ns() > end)
			harness_failed("%s of %s is \"%s\", not \"%s\", after %d ms", property, unit,
				       unit_show(unit, property), want, ms);
		harness_sleep_ms(200);
	}
}

static pid_t main_pid(const char *unit)
{
	pid_t pid = (pid_t)atoi(unit_show(unit, "MainPID"));

	if (pid <= 0)
		harness_failed("%s has no process", unit);
	return pid;
}

static pid_t thread_named(pid_t pid, const char *name)
{
	char path[300], comm[32];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)pid, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		comm[0] = 0;
		if (f) {
			if (!fgets(comm, sizeof(comm), f))
				comm[0] = 0;
			fclose(f);
		}
		comm[strcspn(comm, "\n")] = 0;
		if (!strcmp(comm, name)) {
			pid_t tid = (pid_t)atoi(e->d_name);

			closedir(d);
			return tid;
		}
	}
	if (d)
		closedir(d);
	return 0;
}

/* ---- the world, made of units -------------------------------------------------------------- */

static const char *text_of(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	if (!s)
		harness_failed("a simulator's ready event has no %s", key);
	return s;
}

static void write_file(const char *path, mode_t mode, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fchmod(fileno(f), mode) || fputs(text, f) < 0 || fclose(f))
		harness_failed("cannot write %s: %s", path, strerror(errno));
}

static void test_units_become_active(void)
{
	const cJSON *phone, *discord;
	char program[4200], text[2048], key[200];

	/* the harness looks for the sockets and recordings in the world's directory */
	snprintf(W.dir, sizeof(W.dir), "/tmp/loopline-vm-call");
	run("rm -rf %s; mkdir -p %s/rec /etc/loopline /etc/credstore", W.dir, W.dir);
	run("ln -s /run/loopline/bridge.sock /run/loopline/discord.sock %s/", W.dir);
	snprintf(program, sizeof(program), "%s/tests/sim_twilio", harness_build());
	W.phone = simulator_start(program, W.dir, world_file(&W, "sim_twilio.log"));
	snprintf(program, sizeof(program), "%s/tests/sim_discord", harness_build());
	W.discord = simulator_start(program, W.dir, world_file(&W, "sim_discord.log"));
	phone = simulator_ready(W.phone);
	discord = simulator_ready(W.discord);
	run("cat %s %s >/etc/loopline/ca.pem; chmod 644 /etc/loopline/ca.pem", text_of(phone, "ca"),
	    text_of(discord, "ca"));
	secret_token = text_of(discord, "token");
	secret_auth = text_of(phone, "auth_token");
	snprintf(text, sizeof(text),
		 "VOICE_CHANNEL_ID = " LOUNGE "\nTEXT_CHANNEL_ID = " TEXT "\n"
		 "TWILIO_ACCOUNT_SID = %s\nPUBLIC_URL = https://loopline.test\n"
		 "DISCORD_API_URL = %s\nTWILIO_API_URL = %s\nCA_FILE = /etc/loopline/ca.pem\n"
		 "CONNECT = call\nWAITING = silence\n"
		 "[line 1]\nVOICE_CHANNEL_ID = " LOUNGE2 "\nTEXT_CHANNEL_ID = " TEXT2
		 "\nNUMBER = " SECOND "\n",
		 text_of(phone, "account_sid"), text_of(discord, "api_url"),
		 text_of(phone, "rest_url"));
	write_file("/etc/loopline/loopline.conf", 0644, text);
	snprintf(key, sizeof(key), "%s\n", secret_token);
	write_file("/etc/credstore/loopline.BOT_TOKEN", 0600, key);
	snprintf(key, sizeof(key), "%s\n", secret_auth);
	write_file("/etc/credstore/loopline.TWILIO_AUTH_TOKEN", 0600, key);
	simulator_ask(W.phone, "config",
		      "\"public_url\":\"https://loopline.test\",\"connect\":\"127.0.0.1:8080\"");
	for (int i = 0; i < 2; i++)
		simulator_ask(W.discord, "room",
			      "\"channel\":\"%s\",\"dave\":true,\"require_dave\":true,"
			      "\"listen_needs_voice\":true",
			      i ? LOUNGE2 : LOUNGE);
	run("systemctl enable loopline-bridge.socket loopline-bridge.service "
	    "loopline-discord.service 2>%s",
	    world_file(&W, "enable.log"));
	/* Type=notify: start returns when the program has said that it is ready */
	run("systemctl start loopline-bridge.socket loopline-bridge.service "
	    "loopline-discord.service");
	for (int i = 0; i < 2; i++) {
		const char *unit = i ? "loopline-discord" : "loopline-bridge";

		CHECK_STR(unit_show(unit, "Type"), "notify");
		CHECK_STR(unit_show(unit, "ActiveState"), "active");
		CHECK_STR(unit_show(unit, "NRestarts"), "0");
	}
	/* what carries sound is real-time, all else is not */
	CHECK_INT(sched_getscheduler(main_pid("loopline-bridge")) & ~SCHED_RESET_ON_FORK, SCHED_FIFO);
	CHECK_INT(sched_getscheduler(main_pid("loopline-discord")), SCHED_OTHER);
	CHECK_INT(sched_getscheduler(thread_named(main_pid("loopline-discord"), "audio")), SCHED_FIFO);
	simulator_wait(W.discord, 60000, "gateway.identify", "token_ok", "true", NULL);
	member_in(&W, "ann", LOUNGE);
	member_in(&W, "ben", LOUNGE2);
}

static void need_world(void)
{
	if (!W.phone || !W.discord)
		UNIT_FAIL("the units did not come up");
}

/* ---- secrets ------------------------------------------------------------------------------- */

static bool file_has(const char *path, const char *what)
{
	static char buf[1 << 20];
	FILE *f = fopen(path, "r");
	size_t n = 0, len = strlen(what);

	if (!f)
		harness_failed("cannot read %s", path);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	return memmem(buf, n, what, len) != NULL;
}

static void test_secrets_are_in_no_environment(void)
{
	static const char *const units[] = {"loopline-bridge", "loopline-discord"};
	char path[64];

	need_world();
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/environ", (int)main_pid(units[i]));
		CHECK(file_has(path, "CREDENTIALS_DIRECTORY"));
		CHECK(!file_has(path, secret_token) && !file_has(path, secret_auth));
		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)main_pid(units[i]));
		CHECK(!file_has(path, secret_token) && !file_has(path, secret_auth));
	}
}

/* ---- calls --------------------------------------------------------------------------------- */

#define TOOLS_MAX 64
static pid_t tools[TOOLS_MAX];
static int tools_started;

/* An ALSA tool, run by somebody who may be in the group but is not the services' user. */
static void user_start(struct process *p, const char *user, const char *const argv[])
{
	const char *all[24] = {"setpriv", NULL, NULL, "--init-groups"};
	char uid[64], gid[64];
	size_t n = 4;

	snprintf(uid, sizeof(uid), "--reuid=%s", user);
	snprintf(gid, sizeof(gid), "--regid=%s", user);
	all[1] = uid;
	all[2] = gid;
	while (*argv && n < sizeof(all) / sizeof(all[0]) - 1)
		all[n++] = *argv++;
	process_start(p, argv[-1], all, NULL, NULL, world_file(&W, "tools.log"), -1, -1, 0);
	tools[tools_started++ % TOOLS_MAX] = p->pid;
}

/* Those that a failed test has left running. */
static void users_end(void)
{
	for (int i = 0; i < TOOLS_MAX; i++) {
		if (tools[i] > 0 && waitpid(tools[i], NULL, WNOHANG) == 0) {
			kill(tools[i], SIGTERM);
			waitpid(tools[i], NULL, 0);
		}
		tools[i] = 0;
	}
}

struct tap {
	struct process process;
	char file[512];
};

static void tap_start(struct tap *t, const char *user, const char *pcm, const char *name)
{
	snprintf(t->file, sizeof(t->file), "%s", world_file(&W, name));
	run("install -o %s -m 644 /dev/null %s", user, t->file);
	user_start(&t->process, user,
		   (const char *[]){"arecord", "-q", "-D", pcm, "-f", "S16_LE", "-r", "48000", "-c",
				    "1", t->file, NULL});
}

/* It has gone on all the time; its last five seconds have these tones. */
static void tap_end(struct tap *t, const double *present, const double *absent)
{
	struct wav w;

	CHECK(!process_ended(&t->process));
	CHECK(process_end(&t->process, SIGINT, 5000));
	CHECK(wav_read(&w, t->file) == 0);
	expect_tones(t->file, w.samples, w.frames, w.rate,
		     (double)w.frames / w.rate - 5.2, present, absent);
	wav_free(&w);
}

/* No gap in the recording of somebody whose speaker was not touched. */
static void expect_no_gap(const struct tap *t, double hz)
{
	struct signal_gaps g;
	struct wav w;

	CHECK(wav_read(&w, t->file) == 0);
	CHECK(w.frames > 3 * w.rate);
	signal_find_gaps(&g, w.samples + w.rate, w.frames - w.rate - w.rate / 2, w.rate, hz);
	printf("# %s: %zu gaps in %.1f s, %.1f ms\n", strrchr(t->file, '/') + 1, g.count,
	       (double)w.frames / w.rate - 1.5, g.total_s * 1000);
	wav_free(&w);
	CHECK_INT((int)g.count, 0);
}

/* No calls, voices or tools left over from a test that failed. */
static void begin_test(void)
{
	if (!W.phone || !W.discord)
		UNIT_FAIL("the units did not come up");
	users_end();
	if (access(FILTER_CONF, F_OK) == 0)
		run("rm " FILTER_CONF " && systemctl daemon-reload");
	calls_down(&W);
	simulator_try(W.discord, "hush", "\"member\":\"ann\"");
	simulator_try(W.discord, "hush", "\"member\":\"ben\"");
	world_wait_calls(&W, 0, 0, 10000);
	simulator_forget(W.phone);
	simulator_forget(W.discord);
}

static void no_complaints(void)
{
	char text[512];

	if (simulator_complaints(W.phone, NULL, text, sizeof(text)) ||
	    simulator_complaints(W.discord, NULL, text, sizeof(text)))
		UNIT_FAIL("a simulator complains: %s", text);
}

/* The frequency oracle: a caller and a member speak, two users record the callers at once, one
 * the channel, and two play files of other formats to the callers. Everybody hears exactly
 * those who are meant for him. */
static void test_who_hears_whom_through_the_card(void)
{
	struct tap phone, phone2, discord;
	struct process eight, music;
	struct track t;
	double begin;

	begin_test();
	run("sox -n -r 8000 -b 16 %s synth 14 sine %d vol 0.1778", world_file(&W, "eight.wav"), EIGHT);
	run("sox -n -r 44100 -c 2 -b 16 %s synth 14 sine %d vol 0.1778", world_file(&W, "music.wav"),
	    MUSIC);
	call_up(&W, 0, "a", "null", true, "");
	member_record(&W, "ann", "oracle");
	call_settle(&W, "a", "{\"tone\":1013}", "ann", "{\"tone\":617}", "");
	tap_start(&phone, "alice", "phone", "alice-phone.wav");
	tap_start(&phone2, "dave", "phone:0", "dave-phone.wav");
	tap_start(&discord, "dave", "discord", "dave-discord.wav");
	user_start(&eight, "alice",
		   (const char *[]){"aplay", "-q", "-D", "discord", world_file(&W, "eight.wav"), NULL});
	user_start(&music, "dave",
		   (const char *[]){"aplay", "-q", "-D", "discord", world_file(&W, "music.wav"), NULL});
	wait_file_size(phone.file, 192000, 20000);
	wait_file_size(discord.file, 192000, 20000);
	begin = (double)harness_now_ns();
	harness_sleep_ms(6500);
	tap_end(&phone, TONES(CALLER), TONES(MEMBER, EIGHT, MUSIC));
	tap_end(&phone2, TONES(CALLER), TONES(MEMBER, EIGHT, MUSIC));
	tap_end(&discord, TONES(MEMBER, EIGHT, MUSIC), TONES(CALLER));
	CHECK(!process_ended(&eight) && !process_ended(&music));
	call_down(&W, "a");
	process_end(&eight, SIGTERM, 5000);
	process_end(&music, SIGTERM, 5000);
	member_recorded(&W, "ann", "oracle", &t);
	expect_tones_at("the member", &t, begin + 1e9, TONES(CALLER), TONES(MEMBER, EIGHT, MUSIC));
	track_free(&t);
	track_load(&t, world_file(&W, "rec/a.0"), "heard");
	expect_tones_at("the caller", &t, begin + 1e9, TONES(MEMBER, EIGHT, MUSIC), TONES(CALLER));
	track_free(&t);
	no_complaints();
}

/* Two lines of the card, two numbers, two channels: nothing of one on the other. */
static void test_two_lines_without_crosstalk(void)
{
	struct tap phone1, discord1;
	struct track t;
	double begin;

	begin_test();
	call_up(&W, 0, "one", "{\"tone\":1013}", true, "");
	call_up(&W, 1, "two", "{\"tone\":1307}", true, "\"to\":\"" SECOND "\"");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	simulator_ask(W.discord, "speak", "\"member\":\"ben\",\"voice\":{\"tone\":887}");
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "one", NULL);
	simulator_wait(W.phone, 5000, "stream.first_sound", "call", "two", NULL);
	member_record(&W, "ann", "ann");
	member_record(&W, "ben", "ben");
	tap_start(&phone1, "alice", "phone:1", "alice-phone1.wav");
	tap_start(&discord1, "alice", "discord:1", "alice-discord1.wav");
	begin = (double)harness_now_ns() + 5e8;
	harness_sleep_ms(7000);
	tap_end(&phone1, TONES(CALLER2), TONES(CALLER, MEMBER, MEMBER2));
	tap_end(&discord1, TONES(MEMBER2), TONES(MEMBER, CALLER, CALLER2));
	member_recorded(&W, "ann", "ann", &t);
	expect_tones_at("ann", &t, begin, TONES(CALLER), TONES(CALLER2, MEMBER, MEMBER2));
	track_free(&t);
	member_recorded(&W, "ben", "ben", &t);
	expect_tones_at("ben", &t, begin, TONES(CALLER2), TONES(CALLER, MEMBER, MEMBER2));
	track_free(&t);
	call_down(&W, "one");
	call_down(&W, "two");
	track_load(&t, world_file(&W, "rec/one.0"), "heard");
	expect_tones_at("the first caller", &t, begin, TONES(MEMBER), TONES(MEMBER2, CALLER, CALLER2));
	track_free(&t);
	track_load(&t, world_file(&W, "rec/two.0"), "heard");
	expect_tones_at("the second caller", &t, begin, TONES(MEMBER2), TONES(MEMBER, CALLER, CALLER2));
	track_free(&t);
	no_complaints();
}

/* ---- faults -------------------------------------------------------------------------------- */

static void talk_begin(const char *call)
{
	begin_test();
	call_up(&W, 0, call, "{\"tone\":1013}", true, "");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	simulator_wait(W.phone, 10000, "stream.first_sound", "call", call, NULL);
	simulator_forget(W.discord);
	simulator_forget(W.phone);
}

/* Either service - the first who had opened dmix or dsnoop of its name - is killed in a call; systemd
 * brings it back and both hear each other again; who records does not notice, and what the
 * other service says is recorded without a gap. */
static void kill_in_a_call(const char *unit, const char *call)
{
	bool bridge = !strcmp(unit, "loopline-bridge");
	struct tap phone, discord;
	char restarts[16];
	int64_t killed;

	talk_begin(call);
	tap_start(&phone, "alice", "phone", bridge ? "kb-phone.wav" : "kd-phone.wav");
	tap_start(&discord, "dave", "discord", bridge ? "kb-discord.wav" : "kd-discord.wav");
	wait_file_size(phone.file, 192000, 20000);
	wait_file_size(discord.file, 192000, 20000);
	snprintf(restarts, sizeof(restarts), "%d", atoi(unit_show(unit, "NRestarts")) + 1);
	killed = harness_now_ns();
	run("kill -9 %d", (int)main_pid(unit));
	wait_unit(unit, "NRestarts", restarts, 20000);
	wait_unit(unit, "ActiveState", "active", 20000);
	if (bridge) { /* by the redirect: same call, new stream */
		simulator_wait(W.phone, 20000, "stream.first_sound", "call", call, NULL);
	} else {
		simulator_wait(W.discord, 20000, "voice.ready", NULL);
		simulator_wait(W.discord, 20000, "voice.spurt", NULL);
	}
	world_wait_channel(&W, 0, "connected", 20000);
	printf("# killed: sound again after %.1f s\n", (double)(harness_now_ns() - killed) / 1e9);
	call_both_hear(&W, call, bridge ? 1 : 0, "ann", call, CALLER, MEMBER);
	tap_end(&phone, TONES(CALLER), TONES(MEMBER));
	tap_end(&discord, TONES(MEMBER), TONES(CALLER));
	expect_no_gap(bridge ? &discord : &phone, bridge ? MEMBER : CALLER);
	CHECK(!simulator_seen(W.phone, "call.ended", "call", call, NULL));
	call_down(&W, call);
	no_complaints();
}

static void test_kill_bridge_in_a_call(void)
{
	kill_in_a_call("loopline-bridge", "kb");
}

static void test_kill_discord_in_a_call(void)
{
	kill_in_a_call("loopline-discord", "kd");
}

/* An orderly restart keeps the call. */
static void test_restart_of_the_bridge_loses_no_call(void)
{
	talk_begin("rs");
	run("systemctl restart loopline-bridge");
	simulator_wait(W.phone, 20000, "stream.first_sound", "call", "rs", NULL);
	world_wait_channel(&W, 0, "connected", 20000);
	call_both_hear(&W, "rs", 1, "ann", "rs", CALLER, MEMBER);
	CHECK(!simulator_seen(W.phone, "call.ended", "call", "rs", NULL));
	world_wait_calls(&W, 0, 1, 5000);
	call_down(&W, "rs");
	no_complaints();
}

/* The socket unit keeps the door while nobody is behind it: who calls then waits, and brings the
 * bridge back. */
static void test_call_while_the_bridge_is_stopped(void)
{
	begin_test();
	run("systemctl stop loopline-bridge.service 2>>%s", world_file(&W, "enable.log"));
	CHECK_STR(unit_show("loopline-bridge", "ActiveState"), "inactive");
	call_up(&W, 0, "st", "{\"tone\":1013}", true, "");
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	simulator_wait(W.phone, 10000, "stream.first_sound", "call", "st", NULL);
	CHECK_STR(unit_show("loopline-bridge", "ActiveState"), "active");
	call_both_hear(&W, "st", 0, "ann", "st", CALLER, MEMBER);
	call_down(&W, "st");
	no_complaints();
}

/* The journal says that the watchdog did it. */
static void watchdog_barked(const char *unit, pid_t pid)
{
	run("journalctl -b --no-pager -u %s | grep -q 'Watchdog timeout'", unit);
	wait_unit(unit, "ActiveState", "active", 20000);
	CHECK(main_pid(unit) != pid);
}

/* One thread of the process hangs, the others run on: only a watchdog that asks it can tell. */
static void test_watchdog_catches_a_hung_audio_thread(void)
{
	pid_t pid, tid;
	int restarts;

	need_world();
	restarts = atoi(unit_show("loopline-discord", "NRestarts"));
	pid = main_pid("loopline-discord");
	tid = thread_named(pid, "audio");
	CHECK(tid > 0);
	/* a debugger can stop one thread alone, which no signal can */
	CHECK(ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0);
	CHECK(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0);
	for (int i = 0; i < 250 && atoi(unit_show("loopline-discord", "NRestarts")) == restarts; i++) {
		int status;
		pid_t got = waitpid(tid, &status, WNOHANG | __WALL);

		/* the watchdog's SIGABRT is for the process: let it through */
		if (got == tid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGABRT)
			ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)SIGABRT);
		harness_sleep_ms(200);
	}
	CHECK_INT(atoi(unit_show("loopline-discord", "NRestarts")), restarts + 1);
	watchdog_barked("loopline-discord", pid);
}

static void test_hung_bridge_is_restarted(void)
{
	pid_t pid;
	int restarts;

	need_world();
	restarts = atoi(unit_show("loopline-bridge", "NRestarts"));
	pid = main_pid("loopline-bridge");
	run("kill -STOP %d", (int)pid);
	for (int i = 0; i < 250 && atoi(unit_show("loopline-bridge", "NRestarts")) == restarts; i++)
		harness_sleep_ms(200);
	CHECK_INT(atoi(unit_show("loopline-bridge", "NRestarts")), restarts + 1);
	watchdog_barked("loopline-bridge", pid);
}

/* Nothing to do for longer than the watchdog waits: an idle loop is a healthy one. */
static void test_idle_is_healthy(void)
{
	pid_t bridge, bot;

	begin_test();
	bridge = main_pid("loopline-bridge");
	bot = main_pid("loopline-discord");
	harness_sleep_ms(15000);
	CHECK_INT(main_pid("loopline-bridge"), bridge);
	CHECK_INT(main_pid("loopline-discord"), bot);
}

/* ---- other definitions behind the names -------------------------------------------------------- */

/* Both services have all PCMs open again. */
static void wait_ports(int ms)
{
	static const char *const sockets[] = {"bridge", "discord"};
	int64_t end = harness_now_ns() + ms * 1000000LL;

	for (int i = 0; i < 2; i++) {
		bool open = false;

		while (!open) {
			cJSON *o = world_api(&W, sockets[i], "GET", "/v1/state", NULL);
			char *text = o ? cJSON_PrintUnformatted(o) : NULL;

			open = text && strstr(text, "\"open\":true") && !strstr(text, "\"open\":false");
			free(text);
			cJSON_Delete(o);
			if (!open && harness_now_ns() > end)
				harness_failed("%s has not opened its PCMs within %d ms", sockets[i], ms);
			if (!open)
				harness_sleep_ms(50);
		}
	}
}

/* asound.conf.example changed (sed's words), and both services started with it. */
static void start_with_alsa(const char *sed)
{
	run("sed -e '%s' asound.conf.example >/etc/asound.conf", sed);
	/* first nobody, then both: whoever is left would hold a line as it was */
	run("systemctl stop loopline-bridge.service loopline-discord.service 2>>%s",
	    world_file(&W, "enable.log"));
	run("systemctl start loopline-bridge.service loopline-discord.service");
	simulator_wait(W.discord, 20000, "gateway.identify", "token_ok", "true", NULL);
	wait_ports(10000);
}

static void use_alsa(const char *sed)
{
	begin_test();
	start_with_alsa(sed);
}

/* A call on the line with this number: both hear each other. */
static void talk_works(int line, const char *call, const char *more, const char *member)
{
	call_up(&W, line, call, "{\"tone\":1013}", true, more);
	simulator_ask(W.discord, "speak", "\"member\":\"%s\",\"voice\":{\"tone\":617}", member);
	simulator_wait(W.phone, 10000, "stream.first_sound", "call", call, NULL);
	call_both_hear(&W, call, 0, member, call, CALLER, MEMBER);
	call_down(&W, call);
	no_complaints();
}

/* sed's words for other periods */
static const char *with_period(unsigned period)
{
	static char sed[256];

	snprintf(sed, sizeof(sed),
		 "s/period_size 384/period_size %u/; s/buffer_size 3072/buffer_size %u/; "
		 "s/buffer_size 6144/buffer_size %u/",
		 period, 8 * period, 16 * period);
	return sed;
}

/* A user who plays into a name until he is ended by a signal. */
static void player_start(struct process *p, const char *user, const char *pcm, const char *file)
{
	user_start(p, user,
		   (const char *[]){"aplay", "-q", "-D", pcm, world_file(&W, file), NULL});
}

static void wait_shell(const char *command)
{
	for (int i = 0; i < 100 && system(command) != 0; i++)
		harness_sleep_ms(100);
	run("%s", command);
}

/* Only the maker of dmix's shared memory may remove it. Here alice makes that of two names; dave is the
 * last to leave one, the other she leaves by being killed. It is too small for larger buffers, and would
 * keep everybody out; the units remove it, as root. */
static void test_leftovers_of_other_users(void)
{
	/* how many segments of alice's are as large as sums and have nobody attached */
	static const char left[] = "awk -v u=$(id -u alice) '$4 > 4096 && $7 == 0 && $8 == u { n++ } "
				   "END { print n + 0; exit n + 0 != %d }' /proc/sysvipc/shm >&2";
	static const char attached[] = "awk -v u=$(id -u alice) '$4 > 4096 && $8 == u { n += $7 } "
				       "END { exit n + 0 != 3 }' /proc/sysvipc/shm";
	struct process first, second, killed;

	begin_test();
	run("systemctl stop loopline-bridge.service loopline-discord.service 2>>%s",
	    world_file(&W, "enable.log"));
	run("/usr/lib/loopline/ipc-leftovers"); /* those of other tests */
	run("sox -n -r 48000 -c 1 -b 16 %s synth 30 sine 440", world_file(&W, "left.wav"));
	player_start(&first, "alice", "phone", "left.wav");
	player_start(&killed, "alice", "discord", "left.wav");
	wait_shell("[ $(grep -c RUNNING /proc/asound/card20/pcm[01]p/sub0/status | grep -c :1) = 2 ]");
	player_start(&second, "dave", "phone", "left.wav");
	wait_shell(attached);
	CHECK(process_end(&first, SIGTERM, 5000));
	CHECK(process_end(&second, SIGTERM, 5000));
	CHECK(process_end(&killed, SIGKILL, 5000));
	run(left, 2);
	start_with_alsa(with_period(576));
	run(left, 0);
	talk_works(0, "lo", "", "ann");
}

/* The module's card goes and comes back in a call, which stays up. */
static void test_card_vanishes_in_a_call(void)
{
	static const char driver[] = "/sys/bus/platform/drivers/snd_aloop";

	use_alsa("");
	talk_begin("cv");
	/* in the background: it returns when the last handle is closed */
	run("echo snd_aloop.0 >%s/unbind &", driver);
	for (int i = 0; i < 100 && access("/sys/class/sound/card20", F_OK) == 0; i++)
		harness_sleep_ms(100);
	CHECK(access("/sys/class/sound/card20", F_OK) != 0);
	harness_sleep_ms(1500);
	CHECK(!simulator_seen(W.phone, "call.ended", "call", "cv", NULL));
	run("echo snd_aloop.0 >%s/bind", driver);
	run("udevadm settle");
	wait_ports(15000);
	call_both_hear(&W, "cv", 0, "ann", "cv", CALLER, MEMBER);
	CHECK(!simulator_seen(W.phone, "stream.closed", "call", "cv", NULL));
	CHECK(!simulator_seen(W.phone, "call.ended", "call", "cv", NULL));
	call_down(&W, "cv");
	no_complaints();
}

/* "For a stereo line": the services take the channel count that they find. */
static void test_stereo_line(void)
{
	struct process tap;

	use_alsa("s/^\t\tchannels 1$/\t\tchannels 2/; s/bindings { 0 0 }/bindings { 0 0  1 1 }/");
	run("install -o alice -m 644 /dev/null %s", world_file(&W, "stereo.wav"));
	talk_begin("ste");
	user_start(&tap, "alice",
		   (const char *[]){"arecord", "-q", "-D", "phone", "-f", "S16_LE", "-r", "48000", "-c",
				    "2", world_file(&W, "stereo.wav"), NULL});
	call_both_hear(&W, "ste", 0, "ann", "ste", CALLER, MEMBER);
	CHECK(process_end(&tap, SIGINT, 5000));
	for (int i = 1; i <= 2; i++) { /* both sides have it, at its level */
		char name[32];

		snprintf(name, sizeof(name), "stereo.%d.wav", i);
		run("sox %s %s remix %d", world_file(&W, "stereo.wav"), world_file(&W, name), i);
		expect_tones_in_file(world_file(&W, name), 0.5, TONES(CALLER), TONES(MEMBER));
	}
	run("grep -q '^channels: 2$' /proc/asound/card20/pcm0p/sub0/hw_params");
	call_down(&W, "ste");
	no_complaints();
}

/* Level of a tone over four seconds, in windows: clock control may move it a little. */
static double level_at(const struct track *t, double t_ns, double hz)
{
	size_t at = (size_t)track_sample(t, t_ns), n = t->wav.rate / 5;
	double sum = 0;

	CHECK(t->wav.frames > at + 20 * n);
	for (size_t i = 0; i < 20; i++)
		sum += pow(10, signal_tone_dbfs(t->wav.samples + at + i * n, n, t->wav.rate, hz) / 10);
	return 10 * log10(sum / 20);
}

/* "An equaliser in between": the Discord side listens to line 7, and the example's own command line
 * carries line 0 to it. A hum of 50 Hz is in what the callers say, and not in what the channel hears. */
static void test_filter_in_between_of_a_call(void)
{
	struct process filter, hum;
	struct tap tap;
	struct track t;
	double begin, level, hum_level;

	begin_test();
	run("sed -n '/^#\tarecord -q -D phone:0 -t raw/,/^#\taplay -q -D phone:7/s/^#\t//p' "
	    "asound.conf.example >%s && grep -q compand %s",
	    world_file(&W, "filter.sh"), world_file(&W, "filter.sh"));
	run("mkdir -p $(dirname " FILTER_CONF ") && "
	    "printf '[Service]\nEnvironment=PHONE_PCM=phone:7\n' >" FILTER_CONF " && systemctl daemon-reload");
	run("sox -n -r 48000 -c 1 -b 16 %s synth 20 sine 50 vol 0.1778", world_file(&W, "hum.wav"));
	simulator_forget(W.discord);
	start_with_alsa("");
	talk_begin("fi");
	user_start(&filter, "alice", (const char *[]){"timeout", "60", "sh", world_file(&W, "filter.sh"), NULL});
	user_start(&hum, "dave",
		   (const char *[]){"aplay", "-q", "-D", "phone:0", world_file(&W, "hum.wav"), NULL});
	tap_start(&tap, "dave", "phone:0", "fi-phone.wav");
	member_record(&W, "ann", "fi");
	begin = (double)harness_now_ns() + 1e9;
	harness_sleep_ms(6500);
	CHECK(!process_ended(&filter) && !process_ended(&hum));
	tap_end(&tap, TONES(CALLER, 50), TONES(MEMBER));
	member_recorded(&W, "ann", "fi", &t);
	/* sox makes -13.3 and -37.3 dBFS of the two by itself */
	level = level_at(&t, begin, CALLER);
	hum_level = level_at(&t, begin, 50);
	printf("# through the filter: %d Hz at %.1f dBFS, 50 Hz at %.1f\n", CALLER, level, hum_level);
	CHECK(fabs(level + 13.3) < 1.5);
	CHECK(fabs(hum_level + 37.3) < 3);
	track_free(&t);
	call_down(&W, "fi");
	process_end(&hum, SIGTERM, 5000);
	process_end(&filter, SIGTERM, 5000);
	no_complaints();
}

/* "For more than 8 lines": a second card, in the module's options and udev's rule, and its names in
 * loopline.conf. Line 0 stays where it was. */
static void test_second_card(void)
{
	begin_test();
	run("systemctl stop loopline-bridge.service loopline-discord.service 2>>%s",
	    world_file(&W, "enable.log"));
	run("echo 'options snd-aloop enable=1,1 index=20,21 id=loopline,loopline2 pcm_substreams=8,8' "
	    ">/etc/modprobe.d/loopline.conf");
	run("mkdir -p /etc/udev/rules.d && sed 's/ATTRS{id}==\"loopline\"/ATTRS{id}==\"loopline*\"/' "
	    "/usr/lib/udev/rules.d/70-loopline.rules >/etc/udev/rules.d/70-loopline.rules && "
	    "udevadm control --reload");
	run("modprobe -r snd-aloop && modprobe snd-aloop && udevadm settle");
	run("cp /etc/loopline/loopline.conf /etc/loopline/one-card.conf");
	run("sed -i 's/^\\[line 1\\]/[line 8]\\nPHONE_PCM = loopline_card_phone:0,21\\n"
	    "DISCORD_PCM = loopline_card_discord:0,21/' /etc/loopline/loopline.conf");
	start_with_alsa("");
	talk_works(8, "sc", "\"to\":\"" SECOND "\"", "ben");
	run("grep -q '^channels: 1$' /proc/asound/card21/pcm0p/sub0/hw_params");
	begin_test();
	talk_works(0, "sc0", "", "ann");
	run("mv /etc/loopline/one-card.conf /etc/loopline/loopline.conf");
}

/* ---- exposure ------------------------------------------------------------------------------ */

static void expect_exposure(double most)
{
	static const char *const units[] = {"loopline-bridge", "loopline-discord"};
	char cmd[600], line[256];

	for (int i = 0; i < 2; i++) {
		double level = 99;
		FILE *f;

		snprintf(cmd, sizeof(cmd), "systemd-analyze security --no-pager %s.service | tee %s/%s-%.1f.txt",
			 units[i], W.dir, units[i], most);
		f = popen(cmd, "r");
		CHECK(f != NULL);
		while (fgets(line, sizeof(line), f)) {
			const char *at = strstr(line, "exposure level for");

			if (at && (at = strstr(at, ": ")))
				level = atof(at + 2);
		}
		pclose(f);
		printf("# %s: exposure %.1f (at most %.1f)\n", units[i], level, most);
		CHECK(level <= most);
	}
}

static void test_exposure(void)
{
	need_world();
	expect_exposure(1.7);
}

/* ---- delay --------------------------------------------------------------------------------- */

/* Chirps each way at once, after the playout buffers have found their size. */
static void delay_of_a_call(const char *what, const char *call, double p50_most, double p99_most)
{
	struct delays out, in;

	call_up(&W, 0, call, "null", true, "");
	call_settle(&W, call, "{\"chirp\":{\"every_ms\":500}}", "ann", "{\"chirp\":{\"every_ms\":500}}", "");
	call_delays(&W, call, "ann", 9000, &out, &in);
	printf("# %s: phone to Discord p50 %.1f p99 %.1f ms, Discord to phone p50 %.1f p99 %.1f ms "
	       "(emulated, HZ=250)\n",
	       what, out.p50, out.p99, in.p50, in.p99);
	CHECK(out.count >= 12 && in.count >= 12);
	CHECK(out.p50 > 0 && out.p50 <= p50_most && out.p99 <= p99_most);
	CHECK(in.p50 > 0 && in.p50 <= p50_most && in.p99 <= p99_most);
	no_complaints();
}

static void delay_with_period(unsigned period, double p50_most, double p99_most)
{
	char what[64], call[16];

	snprintf(what, sizeof(what), "call over the card, period %u", period);
	snprintf(call, sizeof(call), "p%u", period);
	use_alsa(with_period(period));
	delay_of_a_call(what, call, p50_most, p99_most);
	run("grep -q '^period_size: %u$' /proc/asound/card20/pcm0p/sub0/hw_params", period);
}

/* The goal over the card is 60/90 ms; longer periods are there to show what they cost. */
static void test_delay_with_the_periods_of_the_example(void)
{
	delay_with_period(384, 60, 90);
}

static void test_delay_with_periods_of_12_ms(void)
{
	delay_with_period(576, 90, 120);
}

static void test_delay_with_periods_of_20_ms(void)
{
	delay_with_period(960, 120, 150);
}

/* ---- the other loopback -------------------------------------------------------------------- */

/* Doors closed that only the card needs: exposure falls, and a call still works, over the cable. */
static void test_cable_only(void)
{
	struct tap phone, discord;

	run("for unit in bridge discord; do install -D -m 644 common/cable-only.conf "
	    "/etc/systemd/system/loopline-$unit.service.d/cable-only.conf; done; "
	    "systemctl daemon-reload");
	use_alsa("s/^defaults.pcm.loopline card/defaults.pcm.loopline cable/");
	expect_exposure(1.5);
	talk_begin("co");
	tap_start(&phone, "alice", "phone", "co-phone.wav");
	tap_start(&discord, "dave", "discord", "co-discord.wav");
	call_both_hear(&W, "co", 0, "ann", "co", CALLER, MEMBER);
	tap_end(&phone, TONES(CALLER), TONES(MEMBER));
	tap_end(&discord, TONES(MEMBER), TONES(CALLER));
	call_down(&W, "co");
	begin_test();
	delay_of_a_call("call over the cable", "cd", 60, 90);
}

/* VM_PART="part of a name, another" chooses tests. */
static bool chosen(const char *name)
{
	const char *parts = getenv("VM_PART");
	bool yes = !parts || !*parts;

	while (parts && *parts) {
		size_t n = strcspn(parts, ", ");

		yes |= n && memmem(name, strlen(name), parts, n);
		parts += n + (parts[n] != 0);
	}
	return yes;
}

#define PART(test) \
	do { \
		if (chosen(#test)) \
			UNIT(test); \
	} while (0)

int main(void)
{
	harness_on_failure = failed;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!getenv("LOOPLINE_VM") || access("/usr/bin/loopline-bridge", X_OK) != 0) {
		printf("skip vm_call: runs inside tests/vm\n");
		return 0;
	}
	UNIT(test_units_become_active);
	PART(test_secrets_are_in_no_environment);
	PART(test_exposure);
	PART(test_who_hears_whom_through_the_card);
	PART(test_two_lines_without_crosstalk);
	PART(test_kill_bridge_in_a_call);
	PART(test_kill_discord_in_a_call);
	PART(test_restart_of_the_bridge_loses_no_call);
	PART(test_call_while_the_bridge_is_stopped);
	PART(test_watchdog_catches_a_hung_audio_thread);
	PART(test_hung_bridge_is_restarted);
	PART(test_idle_is_healthy);
	PART(test_leftovers_of_other_users);
	PART(test_card_vanishes_in_a_call);
	PART(test_stereo_line);
	PART(test_filter_in_between_of_a_call);
	PART(test_delay_with_the_periods_of_the_example);
	PART(test_delay_with_periods_of_12_ms);
	PART(test_delay_with_periods_of_20_ms);
	PART(test_second_card);
	PART(test_cable_only);
	simulator_stop(W.phone);
	simulator_stop(W.discord);
	if (system("systemctl stop loopline-bridge.socket loopline-bridge loopline-discord"))
		return 1;
	return unit_done();
}
