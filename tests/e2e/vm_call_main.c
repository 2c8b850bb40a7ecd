/* SPDX-License-Identifier: MIT
 *
 * vm_call - both services as systemd units over the real card, with the simulators around them. Runs
 * inside the virtual machine of tests/vm, as root, with loopline installed; skips elsewhere.
 *
 * Emulation makes everything slow, and sound arrives with holes: what is asked is who hears whom
 * (a tone's best quarter second), who is alive, and who came back. Quality and delay are judged
 * where time is real (e2e_call).
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
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

#define CALLER 1013
#define MEMBER 617

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
		 "CONNECT = call\nWAITING = silence\n",
		 text_of(phone, "account_sid"), text_of(discord, "api_url"),
		 text_of(phone, "rest_url"));
	write_file("/etc/loopline/loopline.conf", 0644, text);
	snprintf(key, sizeof(key), "%s\n", secret_token);
	write_file("/etc/credstore/loopline.BOT_TOKEN", 0600, key);
	snprintf(key, sizeof(key), "%s\n", secret_auth);
	write_file("/etc/credstore/loopline.TWILIO_AUTH_TOKEN", 0600, key);
	simulator_ask(W.phone, "config",
		      "\"public_url\":\"https://loopline.test\",\"connect\":\"127.0.0.1:8080\"");
	simulator_ask(W.discord, "room",
		      "\"channel\":\"" LOUNGE "\",\"dave\":true,\"listen_needs_voice\":true");
	/* no reload: systemd would run every generator of this machine again, a minute in emulation */
	run("systemctl enable --no-reload loopline-bridge.socket loopline-bridge.service "
	    "loopline-discord.service 2>%s",
	    world_file(&W, "enable.log"));
	/* Type=notify: start returns when the program has said that it is ready */
	run("systemctl start loopline-bridge.socket loopline-bridge.service "
	    "loopline-discord.service");
	CHECK_STR(unit_show("loopline-bridge", "ActiveState"), "active");
	CHECK_STR(unit_show("loopline-discord", "ActiveState"), "active");
	CHECK_STR(unit_show("loopline-bridge", "NRestarts"), "0");
	CHECK_STR(unit_show("loopline-discord", "NRestarts"), "0");
	simulator_wait(W.discord, 60000, "gateway.identify", "token_ok", "true", NULL);
	member_in(&W, "ann", LOUNGE);
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

/* The level that a tone has in its best quarter second from a time on. */
static double best_level(const struct track *t, double from_ns, double hz)
{
	double at = track_sample(t, from_ns), best = -200;
	size_t len = t->wav.rate / 4;

	for (size_t i = at > 0 ? (size_t)at : 0; i + len <= t->wav.frames; i += len / 2) {
		double level = signal_tone_dbfs(t->wav.samples + i, len, t->wav.rate, hz);

		if (level > best)
			best = level;
	}
	return best;
}

static void expect(const char *where, struct track *t, double from_ns, double present, double absent)
{
	double yes = best_level(t, from_ns, present), no = best_level(t, from_ns, absent);

	printf("# %s: %g Hz at %.1f dBFS, %g Hz at %.1f\n", where, present, yes, absent, no);
	track_free(t);
	if (yes < -18 || yes > -12)
		harness_failed("%s: %g Hz is %.1f dBFS, not -15", where, present, yes);
	if (no > -50)
		harness_failed("%s: %g Hz is %.1f dBFS, expected none", where, absent, no);
}

/* arecord of a user who is in the group and is not the service's. */
static void tap_start(struct process *p, const char *pcm, const char *file)
{
	const char *argv[] = {"setpriv", "--reuid=alice", "--regid=alice", "--init-groups", "arecord",
			      "-q",	 "-D",		  pcm,		   "-f",	    "S16_LE",
			      "-r",	 "48000",	  "-c",		   "1",		    file,
			      NULL};

	run("install -o alice -m 644 /dev/null %s", file);
	process_start(p, "tap", argv, NULL, NULL, world_file(&W, "tap.log"), -1, -1, 0);
}

static double now_double(void)
{
	return (double)harness_now_ns();
}

/* No calls left over from a test that failed. */
static void hang_up_all(void)
{
	static const char *const names[] = {"a", "kb", "kd", "rs"};

	need_world();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		simulator_try(W.phone, "hangup", "\"call\":\"%s\"", names[i]);
	simulator_try(W.discord, "hush", "\"member\":\"ann\"");
}

static void dial(const char *call, bool record)
{
	hang_up_all();
	simulator_ask(W.phone, "call", "\"call\":\"%s\",\"voice\":{\"tone\":1013}%s%s%s", call,
		      record ? ",\"record\":\"" : "", record ? world_file(&W, "rec") : "",
		      record ? "\"" : "");
	simulator_wait(W.phone, 60000, "stream.open", "call", call, NULL);
	world_wait_channel(&W, 0, "connected", 90000);
}

/* First the caller speaks alone, then the member: emulation is too slow for both at once. Who speaks
 * is heard by the other and not by himself. */
static void test_call_both_ways_through_the_card(void)
{
	struct process tap;
	char file[512];
	struct track t;
	struct wav w;
	double begin, second, yes = -200;

	snprintf(file, sizeof(file), "%s", world_file(&W, "tap-phone.wav"));
	dial("a", true);
	member_record(&W, "ann", "vm");
	tap_start(&tap, "phone", file);
	begin = now_double();
	harness_sleep_ms(12000);
	process_end(&tap, SIGINT, 10000);
	member_recorded(&W, "ann", "vm", &t);
	expect("the member", &t, begin, CALLER, MEMBER);

	simulator_ask(W.phone, "voice", "\"call\":\"a\",\"voice\":null");
	simulator_ask(W.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"tone\":617},\"bandwidth\":\"nb\","
		      "\"preencode\":1");
	simulator_wait(W.phone, 60000, "stream.first_sound", "call", "a", NULL);
	second = now_double() + 3e9; /* what is under way is over */
	harness_sleep_ms(12000);
	simulator_ask(W.discord, "hush", "\"member\":\"ann\"");
	call_down(&W, "a");
	track_load(&t, world_file(&W, "rec/a.0"), "heard");
	printf("# the caller hears himself at %.1f dBFS\n", best_level(&t, begin, CALLER));
	CHECK(best_level(&t, begin, CALLER) < -50);
	expect("the caller", &t, second, MEMBER, CALLER);

	CHECK(wav_read(&w, file) == 0);
	for (size_t i = 0; i + 12000 <= w.frames; i += 6000) {
		double level = signal_tone_dbfs(w.samples + i, 12000, 48000, CALLER);

		yes = level > yes ? level : yes;
	}
	wav_free(&w);
	printf("# alice's arecord -D phone: %d Hz at %.1f dBFS\n", CALLER, yes);
	CHECK(yes > -18 && yes < -12);
}

/* ---- faults -------------------------------------------------------------------------------- */

/* Either service is killed in a call; systemd brings it back and sound goes on; the tap of another
 * user does not notice. */
static void kill_in_a_call(const char *unit, const char *call)
{
	struct process tap;
	char file[512], stem[32];
	struct track t;
	double begin;
	int restarts;

	snprintf(stem, sizeof(stem), "kill-%s", call);
	snprintf(file, sizeof(file), "%s", world_file(&W, "tap-kill.wav"));
	dial(call, false);
	tap_start(&tap, "phone", file);
	harness_sleep_ms(3000);
	restarts = atoi(unit_show(unit, "NRestarts"));
	simulator_forget(W.phone);
	run("kill -9 %d", (int)main_pid(unit));
	harness_sleep_ms(1500);
	wait_unit(unit, "ActiveState", "active", 60000);
	CHECK_INT(atoi(unit_show(unit, "NRestarts")), restarts + 1);
	if (!strcmp(unit, "loopline-bridge")) /* by the redirect: same call, new stream */
		simulator_wait(W.phone, 60000, "stream.open", "call", call, NULL);
	world_wait_channel(&W, 0, "connected", 120000);
	member_record(&W, "ann", stem);
	begin = now_double() + 1e9;
	harness_sleep_ms(8000);
	call_down(&W, call);
	member_recorded(&W, "ann", stem, &t);
	expect("the member, afterwards", &t, begin, CALLER, MEMBER);
	CHECK(!process_ended(&tap)); /* arecord went on */
	process_end(&tap, SIGINT, 10000);
}

static void test_kill_bridge_in_a_call(void)
{
	kill_in_a_call("loopline-bridge", "kb");
}

static void test_kill_discord_in_a_call(void)
{
	kill_in_a_call("loopline-discord", "kd");
}

/* An orderly restart keeps the call, and the socket unit keeps the door: nobody is refused. */
static void test_restart_of_the_bridge_loses_no_call(void)
{
	dial("rs", false);
	simulator_forget(W.phone);
	run("systemctl restart loopline-bridge");
	simulator_wait(W.phone, 60000, "stream.open", "call", "rs", NULL);
	CHECK(!simulator_seen(W.phone, "call.ended", "call", "rs", NULL));
	world_wait_calls(&W, 0, 1, 30000);
	call_down(&W, "rs");
}

/* One thread of the process hangs, the others run on: only a watchdog that asks it can tell. */
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
	wait_unit("loopline-discord", "ActiveState", "active", 60000);
	CHECK(atoi(unit_show("loopline-discord", "NRestarts")) > restarts);
	CHECK(main_pid("loopline-discord") != pid);
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
	wait_unit("loopline-bridge", "ActiveState", "active", 60000);
	CHECK(main_pid("loopline-bridge") != pid);
}

static void test_exposure(void)
{
	static const char *const units[] = {"loopline-bridge", "loopline-discord"};
	char cmd[256], line[256];

	for (int i = 0; i < 2; i++) {
		double level = 99;
		FILE *f;

		snprintf(cmd, sizeof(cmd), "systemd-analyze security --no-pager %s.service", units[i]);
		f = popen(cmd, "r");
		CHECK(f != NULL);
		while (fgets(line, sizeof(line), f)) {
			const char *at = strstr(line, "exposure level for");

			if (at && (at = strstr(at, ": ")))
				level = atof(at + 2);
		}
		pclose(f);
		printf("# %s: exposure %.1f\n", units[i], level);
		CHECK(level <= 1.7);
	}
}

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
	UNIT(test_secrets_are_in_no_environment);
	UNIT(test_exposure);
	UNIT(test_call_both_ways_through_the_card);
	UNIT(test_kill_bridge_in_a_call);
	UNIT(test_kill_discord_in_a_call);
	UNIT(test_restart_of_the_bridge_loses_no_call);
	UNIT(test_watchdog_catches_a_hung_audio_thread);
	UNIT(test_hung_bridge_is_restarted);
	simulator_stop(W.phone);
	simulator_stop(W.discord);
	if (system("systemctl stop loopline-bridge.socket loopline-bridge loopline-discord"))
		return 1;
	return unit_done();
}
