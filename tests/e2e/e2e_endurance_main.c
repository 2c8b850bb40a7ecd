/* SPDX-License-Identifier: MIT
 *
 * e2e_endurance - faults at random, from the whole table of README.md, with calls coming and going.
 *
 *   e2e_endurance [SECONDS [SEED]]        default 20 1
 *
 * Every round makes a few faults, then stops making them and asks: does everybody hear everybody
 * again, is every call either up or properly over, are memory and descriptors what they were? Each
 * step is printed with its time and arguments; the same seed makes the same steps.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/heal.h"
#include "tests/sim/malformed.h"

#define HEAL_MS     90000
#define ANON_SLACK  2048 /* kB: buffers that were never that full before */
#define FD_SLACK    6
#define WARM_ROUNDS 2

static const struct world_options options = {
	.settings = "CONNECT=call\nWAITING=silence\nMAX_CALLS=8\n",
	.relay = true,
};

static uint64_t seed = 1;
static int seconds = 20;
static int64_t begin_ns;
static char witness[16]; /* the call whose sound is looked at; the others are silent */
static struct heal pair = {&W, witness, "ann", 1013, 617};
static int calls_made, faults_made, stops;

static int chance(int n)
{
	return (int)(sim_random(&seed) % (unsigned)n);
}

__attribute__((format(printf, 1, 2))) static void step(const char *format, ...)
{
	va_list ap;

	printf("# %7.1f ", (double)(harness_now_ns() - begin_ns) / 1e9);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

/* ---- processes ------------------------------------------------------------------------------ */

struct size {
	long pss_kb;  /* shared pages by share: other programs that come and go change it */
	long anon_kb; /* its own: what a leak makes grow */
	int fds;
};

static struct watched {
	const char *name;
	struct process *process;
	pid_t pid;
	int rounds;
	struct size first, last, most;
} watched[] = {{.name = "bridge", .process = &W.bridge}, {.name = "discord", .process = &W.bot}};

static struct size size_of(pid_t pid)
{
	struct size s = {0};
	char path[64], line[256];
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "Pss: %ld", &s.pss_kb);
		sscanf(line, "Anonymous: %ld", &s.anon_kb);
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && readdir(d))
		s.fds++;
	if (d)
		closedir(d);
	return s;
}

/* Where the memory is, for whoever looks at a failed run's directory (KEEP=1). */
static void keep_smaps(const struct watched *w)
{
	char path[64], *text = NULL;
	size_t room = 0;
	FILE *in, *out;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)w->pid);
	in = fopen(path, "r");
	out = fopen(world_file(&W, "smaps"), "w");
	if (in && out && getdelim(&text, &room, 0, in) > 0)
		fputs(text, out);
	free(text);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

static void restart(bool bridge, int sig)
{
	struct process *p = bridge ? &W.bridge : &W.bot;

	stops += heal_keep_alive(&W);
	step("%s of %s", sig == SIGKILL ? "SIGKILL" : "SIGTERM", bridge ? "the bridge" : "the bot");
	if (!process_end(p, sig, 8000))
		UNIT_FAIL("%s does not stop", p->name);
	harness_sleep_ms(chance(500));
	if (bridge)
		world_start_bridge(&W);
	else
		world_run_bot(&W);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static const cJSON *all_calls(void)
{
	return simulator_ask(W.phone, "calls", "\"of\":\"all\"");
}

static bool is_up(const char *name)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(all_calls(), "calls"))
		if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "call")), name))
			return !strcmp(cJSON_GetStringValue(
					       cJSON_GetObjectItemCaseSensitive(c, "state")),
				       "up");
	return false;
}

static void new_call(bool speaks)
{
	char name[16];

	snprintf(name, sizeof(name), "e%d", ++calls_made);
	step("call %s", name);
	simulator_ask(W.phone, "call", "\"call\":\"%s\",\"voice\":%s%s%s%s", name,
		      speaks ? "{\"tone\":1013}" : "null", speaks ? ",\"record\":\"" : "",
		      speaks ? world_file(&W, "rec") : "", speaks ? "\"" : "");
	if (speaks)
		strcpy(witness, name);
}

/* A call that is up, any; "" if there is none. */
static const char *any_call(void)
{
	static char name[16];
	const cJSON *c;
	int n = 0;

	name[0] = 0;
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(all_calls(), "calls"))
		if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "state")),
			    "up") &&
		    chance(++n) == 0)
			snprintf(name, sizeof(name), "%s",
				 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "call")));
	return name;
}

/* ---- faults --------------------------------------------------------------------------------- */

static void fault_process(void)
{
	switch (chance(6)) {
	case 0:
		restart(true, SIGKILL);
		break;
	case 1:
		restart(false, SIGKILL);
		break;
	case 2:
		restart(true, SIGTERM);
		break;
	case 3:
		restart(false, SIGTERM);
		break;
	case 4:
		step("SIGHUP");
		kill(W.bridge.pid, SIGHUP);
		kill(W.bot.pid, SIGHUP);
		break;
	default: {
		bool bridge = chance(2);
		pid_t pid = bridge ? W.bridge.pid : W.bot.pid;
		int ms = 100 + chance(3000);

		step("%s stands still for %d ms", bridge ? "the bridge" : "the bot", ms);
		kill(pid, SIGSTOP);
		harness_sleep_ms(ms);
		kill(pid, SIGCONT);
		break;
	}
	}
}

static void fault_descriptors(void)
{
	pid_t pid = chance(2) ? W.bridge.pid : W.bot.pid;
	struct rlimit old;

	step("no descriptors for %s", pid == W.bridge.pid ? "the bridge" : "the bot");
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &old) ||
	    prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){4, old.rlim_max}, NULL))
		return;
	harness_sleep_ms(500 + chance(2000));
	prlimit(pid, RLIMIT_NOFILE, &old, NULL);
}

static void fault_stream(void)
{
	static const char *const how[] = {"drop", "eof", "vanish"};
	const char *name = any_call();

	if (!*name)
		return;
	switch (chance(4)) {
	case 0: {
		const char *h = how[chance(3)];

		step("stream of %s: %s", name, h);
		simulator_try(W.phone, "hangup", "\"call\":\"%s\",\"how\":\"%s\"", name, h);
		break;
	}
	case 1: {
		int ms = 100 + chance(4000), lose = chance(2);

		step("stream of %s stalls for %d ms%s", name, ms, lose ? ", lost" : "");
		simulator_try(W.phone, "stall", "\"call\":\"%s\",\"ms\":%d,\"lose\":%s", name, ms,
			      lose ? "true" : "false");
		break;
	}
	case 2: {
		int s = chance(1000000);

		step("malformed messages on the stream of %s, seed %d", name, s);
		simulator_try(W.phone, "malformed", "\"call\":\"%s\",\"count\":20,\"seed\":%d", name,
			      s);
		break;
	}
	default:
		step("%s is not read for a second", name);
		simulator_try(W.phone, "pause_reading", "\"call\":\"%s\",\"paused\":true", name);
		harness_sleep_ms(1000);
		simulator_try(W.phone, "pause_reading", "\"call\":\"%s\",\"paused\":false", name);
		break;
	}
}

static void fault_call(void)
{
	const char *name = any_call();

	switch (chance(4)) {
	case 0:
	case 1:
		new_call(false);
		break;
	case 2:
		if (*name) {
			step("%s hangs up", name);
			simulator_try(W.phone, "hangup", "\"call\":\"%s\"", name);
		}
		break;
	default:
		step("$hangup");
		simulator_try(W.discord, "say",
			      "\"member\":\"ann\",\"channel\":\"" TEXT "\",\"content\":\"$hangup\"");
		break;
	}
}

static void fault_gateway(void)
{
	static const char *const how[] = {
		"\"do\":\"drop\"",
		"\"do\":\"op7\"",
		"\"do\":\"op9\",\"resumable\":true",
		"\"do\":\"op9\",\"resumable\":false",
		"\"do\":\"op1\"",
		"\"do\":\"close\",\"code\":4000",
		"\"do\":\"close\",\"code\":4007",
		"\"do\":\"close\",\"code\":4009",
		"\"do\":\"hold\",\"ms\":2500",
	};
	const char *h = how[chance(sizeof(how) / sizeof(how[0]))];

	step("gateway: %s", h);
	simulator_try(W.discord, "gateway", "%s", h);
}

static void fault_voice(void)
{
	static const char *const how[] = {
		"\"do\":\"drop\"",
		"\"do\":\"close\",\"code\":1001",
		"\"do\":\"close\",\"code\":4006",
		"\"do\":\"close\",\"code\":4009",
		"\"do\":\"close\",\"code\":4014",
		"\"do\":\"close\",\"code\":4015",
		"\"do\":\"close\",\"code\":4022",
		"\"do\":\"hold\",\"ms\":2500",
	};
	const char *h = how[chance(sizeof(how) / sizeof(how[0]))];

	if (chance(4) == 0) {
		step("the next resume is refused");
		simulator_try(W.discord, "voice_next",
			      "\"close\":4006,\"count\":1,\"when\":\"resume\"");
	}
	step("voice: %s", h);
	simulator_try(W.discord, "voice", "%s", h);
}

static void fault_moderator(void)
{
	int ms = chance(1500);

	switch (chance(3)) {
	case 0:
		step("the voice server moves, null for %d ms", ms);
		simulator_try(W.discord, "server_move",
			      "\"guild\":\"" GUILD "\",\"null_first_ms\":%d", ms);
		break;
	case 1:
		step("moved away, and back after %d ms", ms);
		simulator_try(W.discord, "move", "\"user\":\"" BOT "\",\"channel\":\"" ATTIC "\"");
		harness_sleep_ms(ms);
		simulator_try(W.discord, "move", "\"user\":\"" BOT "\",\"channel\":\"" LOUNGE "\"");
		break;
	default:
		step("kicked");
		simulator_try(W.discord, "kick", "\"user\":\"" BOT "\",\"code\":%d",
			      chance(2) ? 4014 : 4022);
		break;
	}
}

static void fault_udp(void)
{
	int s = chance(1000000);

	switch (chance(4)) {
	case 0:
		step("UDP port refuses");
		simulator_try(W.discord, "udp", "\"refuse\":true");
		break;
	case 1:
		step("%d malformed datagrams, seed %d", 200, s);
		simulator_try(W.discord, "udp_garbage", "\"count\":200,\"seed\":%d", s);
		break;
	default:
		step("loss, jitter, reordering, duplicates, seed %d", s);
		simulator_try(W.discord, "impair",
			      "\"direction\":\"%s\",\"loss\":0.2,\"jitter_ms\":60,\"reorder\":0.05,"
			      "\"duplicate\":0.02,\"seed\":%d",
			      chance(2) ? "in" : "out", s);
		break;
	}
}

static void fault_dave(void)
{
	static const char *const how[] = {
		"\"do\":\"downgrade\"",
		"\"do\":\"upgrade\"",
		"\"do\":\"rekey\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_commit\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"forge_welcome\"",
		"\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"lose_welcome\"",
	};
	int n = chance(9);

	if (n < 6) {
		step("dave: %s", how[n]);
		simulator_try(W.discord, "dave", "\"channel\":\"" LOUNGE "\",%s", how[n]);
	} else {
		int m = chance(3);
		bool comes = chance(2);

		step("member m%d %s", m, comes ? "comes" : "goes");
		if (comes) {
			simulator_try(W.discord, "member", "\"member\":\"m%d\"", m);
			simulator_try(W.discord, "join",
				      "\"member\":\"m%d\",\"channel\":\"" LOUNGE "\"", m);
		} else {
			simulator_try(W.discord, "leave", "\"member\":\"m%d\"", m);
		}
	}
}

static void fault_link(void)
{
	static const char *const links[] = {"phone", "twilio", "rest", "gateway",
					    "voice", "udp",    "local"};
	const char *l = links[chance(7)];
	int ms = 200 + chance(6000), s = chance(1000000);
	bool both = !strcmp(l, "phone") || !strcmp(l, "udp") || !strcmp(l, "local");

	switch (chance(3)) {
	case 0:
		step("nothing passes %s for %d ms", l, ms);
		simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"hold\",\"ms\":%d", l, ms);
		break;
	case 1:
		step("%s is cut", l);
		simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"cut\"", l);
		break;
	default:
		step("bytes are changed on %s, seed %d", l, s);
		simulator_ask(W.relay, "link",
			      "\"link\":\"%s\",\"do\":\"change\",\"up\":%s,\"down\":true,"
			      "\"every\":%d,\"seed\":%d",
			      l, both ? "true" : "false", !strcmp(l, "udp") ? 50 : 2000, s);
		break;
	}
}

static void fault_cable(void)
{
	char path[512];
	const struct dirent *e;
	bool removed = chance(2);
	DIR *d;

	step("the cables are %s", removed ? "removed" : "written over");
	snprintf(path, sizeof(path), "%s/cable", W.dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		struct stat st;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.200s/cable/%.250s", W.dir, e->d_name);
		if (removed) {
			unlink(path);
			continue;
		}
		fd = open(path, O_RDWR | O_CLOEXEC);
		for (int i = 0; fd >= 0 && !fstat(fd, &st) && st.st_size > 0 && i < 200; i++) {
			uint64_t noise = sim_random(&seed);

			if (pwrite(fd, &noise, sizeof(noise),
				   (off_t)(noise % (uint64_t)(i % 2 ? 4096 : st.st_size))) < 0)
				break;
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
}

static void fault_rest(void)
{
	int count = 1 + chance(4);

	if (chance(2)) {
		step("Twilio answers 503 %d times", count);
		simulator_try(W.phone, "rest", "\"fail\":503,\"count\":%d", count);
	} else {
		int status = chance(2) ? 429 : 502;

		step("Discord's REST answers %d %d times", status, count);
		simulator_try(W.discord, "rest_next", "\"status\":%d,\"count\":%d,\"retry_after\":0.5",
			      status, count);
	}
}

static void fault_nonsense(void)
{
	int s = chance(1000000);

	switch (chance(3)) {
	case 0:
		step("malformed requests, seed %d", s);
		simulator_try(W.phone, "flood", "\"count\":50,\"seed\":%d", s);
		break;
	case 1:
		step("malformed gateway messages, seed %d", s);
		simulator_try(W.discord, "malformed", "\"to\":\"gateway\",\"count\":25,\"seed\":%d", s);
		break;
	default:
		step("malformed voice messages, seed %d", s);
		simulator_try(W.discord, "malformed", "\"to\":\"voice\",\"count\":25,\"seed\":%d", s);
		break;
	}
}

static void one_fault(void)
{
	static void (*const faults[])(void) = {
		fault_process, fault_descriptors, fault_stream, fault_call,  fault_call,
		fault_gateway, fault_voice,	  fault_voice,	fault_udp,   fault_dave,
		fault_dave,    fault_link,	  fault_link,	fault_cable, fault_rest,
		fault_nonsense, fault_moderator,
	};

	faults_made++;
	faults[chance(sizeof(faults) / sizeof(faults[0]))]();
	stops += heal_keep_alive(&W);
}

/* ---- and then everything must be right again -------------------------------------------------- */

static void all_well(void)
{
	static const char *const links[] = {"phone", "twilio", "rest", "gateway",
					    "voice", "udp",    "local"};
	int64_t since;
	int n = 0;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"pass\"", links[i]);
	simulator_try(W.discord, "impair", "\"direction\":\"in\"");
	simulator_try(W.discord, "impair", "\"direction\":\"out\"");
	simulator_try(W.discord, "dave",
		      "\"channel\":\"" LOUNGE
		      "\",\"do\":\"fault\",\"user\":\"" BOT "\",\"fault\":\"none\"");
	simulator_try(W.phone, "rest", "\"count\":0");
	simulator_try(W.discord, "rest_next", "\"count\":0");
	simulator_try(W.discord, "voice_next", "\"count\":0");
	stops += heal_keep_alive(&W);
	since = harness_now_ns();
	/* the others end; the witness may have been ended, properly, by what was done to it */
	for (const char *name; *(name = any_call()) && n < 50; n++)
		if (!strcmp(name, witness))
			harness_sleep_ms(10);
		else
			simulator_try(W.phone, "hangup", "\"call\":\"%s\"", name);
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
	for (;;) {
		struct heal_ears ears = {0};
		int status;

		stops += heal_keep_alive(&W);
		if (!*witness || !is_up(witness))
			new_call(true);
		/* a kick is for good until somebody asks */
		cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", &status));
		for (int i = 0; i < 6 && !(ears.caller && ears.member); i++)
			ears = heal_look(&pair);
		if (ears.caller && ears.member)
			break;
		if (harness_now_ns() - since > HEAL_MS * 1000000LL)
			UNIT_FAIL("seed %llu: %d ms after the last fault the caller hears %s, the "
				  "member hears %s",
				  (unsigned long long)seed, HEAL_MS,
				  ears.caller ? "the channel" : "nothing right",
				  ears.member ? "the caller" : "nothing right");
	}
	world_wait_calls(&W, 0, 1, 30000); /* no call is stuck */
	step("all well after %.1f s", (double)(harness_now_ns() - since) / 1e9);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
		struct watched *w = &watched[i];
		struct size now = size_of(w->process->pid);

		if (w->pid != w->process->pid) {
			w->pid = w->process->pid;
			w->rounds = 0;
		}
		if (++w->rounds == 1 || (w->rounds <= WARM_ROUNDS && now.anon_kb < w->first.anon_kb))
			w->first = now;
		/* a verification code takes 16 MiB for a moment: what stays counts */
		for (int k = 0; k < 20 && now.anon_kb > w->first.anon_kb + ANON_SLACK; k++) {
			harness_sleep_ms(250);
			now = size_of(w->process->pid);
		}
		w->last = now;
		step("%s: %ld kB of its own, %d descriptors (%ld, %d at first), PSS %ld kB", w->name,
		     now.anon_kb, now.fds, w->first.anon_kb, w->first.fds, now.pss_kb);
		if (now.anon_kb > w->first.anon_kb + ANON_SLACK || now.fds > w->first.fds + FD_SLACK) {
			keep_smaps(w);
			UNIT_FAIL("%s grows: %ld kB, %d descriptors, at first %ld kB, %d", w->name,
				  now.anon_kb, now.fds, w->first.anon_kb, w->first.fds);
		}
	}
	simulator_forget(W.phone);
	simulator_forget(W.discord);
	simulator_forget(W.relay);
}

static void test_random_faults(void)
{
	begin_ns = harness_now_ns();
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	all_well();
	while (harness_now_ns() < begin_ns + seconds * 1000000000LL) {
		int n = 2 + chance(5);

		for (int i = 0; i < n; i++) {
			one_fault();
			harness_sleep_ms(chance(1500));
		}
		all_well();
	}
	calls_down(&W);
	world_wait_calls(&W, 0, 0, 30000);
	CHECK_STR(any_call(), "");
	printf("# %d faults, %d calls, %d stops with a reason in %d s\n", faults_made, calls_made,
	       stops, seconds);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	e2e_begin();
	printf("# e2e_endurance %d %llu\n", seconds, (unsigned long long)seed);
	UNIT(test_random_faults);
	return e2e_done();
}
