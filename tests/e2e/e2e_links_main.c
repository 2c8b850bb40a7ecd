/* SPDX-License-Identifier: MIT
 *
 * e2e_links - every link between the sandbox and the processes, through sim_relay: what a
 * partition costs both sides, and that bytes changed on the way crash nobody.
 *
 *   e2e_links                             the short form, part of the suite
 *   e2e_links partition SECONDS [LINK]    partitions that long of every link, or of one
 *   e2e_links change SECONDS SEED [LINK]  changed bytes that long on every link in turn, or on one
 */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"
#include "tests/e2e/heal.h"
#include "tests/sim/malformed.h"

#define CALLER 1013
#define MEMBER 617
#define BIN_S  0.05

static const struct world_options options = {
	.settings = "CONNECT=call\nWAITING=silence\n",
	.relay = true,
};

/* Links whose far side is a server of Discord or Twilio are changed only towards the process: what
 * it sends itself (its token, say) cannot be changed under TLS, and would rightly be fatal. */
static const struct link {
	const char *name;
	bool up, down;
	int every;
} links[] = {
	{"phone", true, true, 4000},  {"twilio", false, true, 150}, {"rest", false, true, 400},
	{"gateway", false, true, 2000}, {"voice", false, true, 100},  {"udp", true, true, 50},
	{"local", true, true, 200},  {"cable", false, false, 0},
};
#define LINKS (sizeof(links) / sizeof(links[0]))

static char call_name[16];
static struct heal pair = {&W, call_name, "ann", CALLER, MEMBER};

/* The channel comes when it can: a gateway that was refused for a while is not asked at once. */
static void start_call(void)
{
	static int n;

	snprintf(call_name, sizeof(call_name), "l%d", ++n);
	simulator_ask(W.phone, "call",
		      "\"call\":\"%s\",\"voice\":{\"tone\":1013},\"record\":\"%s\"", call_name,
		      world_file(&W, "rec"));
	simulator_wait(W.phone, 10000, "stream.open", "call", call_name, NULL);
}

static bool call_is_up(void)
{
	return *call_name && !simulator_seen(W.phone, "call.ended", "call", call_name, NULL);
}

static void ann_speaks(void)
{
	simulator_ask(W.discord, "speak", "\"member\":\"ann\",\"voice\":{\"tone\":617}");
}

static void test_start(void)
{
	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	ann_speaks();
	start_call();
	printf("# both hear each other after %.1f s\n",
	       heal_wait(&pair, harness_now_ns(), 15000));
}

/* ---- partitions ----------------------------------------------------------------------------- */

struct heard {
	double silent_ms, wrong_ms; /* from the cut on until right again */
	double back_s;              /* after the end of the partition; 0: nothing was noticed */
};

/* Bins of the time from begin_ns on, whether the tone is there. */
struct bins {
	size_t count;
	char *state; /* 0 nothing, 1 something else, 2 right */
};

static void bins_put(struct bins *b, int64_t begin_ns, double t_ns, const float *x, size_t n,
		     unsigned rate, double hz)
{
	long i = (long)floor((t_ns - (double)begin_ns) / 1e9 / BIN_S);
	double level, rms;

	if (i < 0 || (size_t)i >= b->count)
		return;
	level = signal_tone_dbfs(x, n, rate, hz);
	rms = signal_rms_dbfs(x, n);
	b->state[i] = fabs(level + 15) < 3 ? 2 : rms < -50 ? 0 : 1;
}

static struct heard bins_judge(struct bins *b, double partition_s)
{
	struct heard h = {0};
	size_t end = b->count;

	while (end > 0 && b->state[end - 1] == 2)
		end--;
	/* end: the first bin from which on everything is right */
	for (size_t i = 0; i < end; i++) {
		h.silent_ms += b->state[i] == 0 ? BIN_S * 1000 : 0;
		h.wrong_ms += b->state[i] == 1 ? BIN_S * 1000 : 0;
	}
	h.back_s = (double)end * BIN_S - partition_s;
	if (end == 0 || h.back_s < 0)
		h.back_s = 0;
	free(b->state);
	return h;
}

static struct bins bins_make(double seconds)
{
	struct bins b = {.count = (size_t)(seconds / BIN_S)};

	b.state = calloc(b.count + 1, 1);
	if (!b.state)
		abort();
	return b;
}

/* What came out of the caller's ear, over all streams of the call. */
static struct heard caller_heard(int64_t begin_ns, double seconds, double partition_s)
{
	struct bins b = bins_make(seconds);
	int streams = heal_streams(&W, call_name);

	simulator_ask(W.phone, "flush", "\"call\":\"%s\"", call_name);
	for (int k = 0; k < streams; k++) {
		char path[600], text[256] = "";
		long long origin = 0;
		struct wav w;
		FILE *f;

		snprintf(path, sizeof(path), "%s/rec/%s.%d.json", W.dir, call_name, k);
		f = fopen(path, "r");
		if (!f)
			continue; /* it was refused */
		if (fread(text, 1, sizeof(text) - 1, f) > 0 && strstr(text, "origin_ns\":"))
			sscanf(strstr(text, "origin_ns\":"), "origin_ns\":%lld", &origin);
		fclose(f);
		CHECK(origin);
		snprintf(path, sizeof(path), "%s/rec/%s.%d.played.wav", W.dir, call_name, k);
		if (wav_read(&w, path))
			continue;
		for (size_t at = 0; at + 400 <= w.frames; at += 400)
			bins_put(&b, begin_ns, (double)origin + ((double)at + 200) / 8000 * 1e9,
				 w.samples + at, 400, 8000, MEMBER);
		wav_free(&w);
	}
	return bins_judge(&b, partition_s);
}

static void member_bins(struct bins *b, int64_t begin_ns, const char *stem)
{
	struct track t;

	track_load(&t, stem, "packets");
	for (size_t at = 0; at + 2400 <= t.wav.frames; at += 2400) {
		double t_ns = track_time_ns(&t, (double)at + 1200);

		/* where nothing was sent the track's time is made up: a piece must be near */
		for (size_t i = 0; i < t.count; i++)
			if (fabs((double)t.pieces[i].t_ns - t_ns) < 60e6 && !t.pieces[i].silent) {
				bins_put(b, begin_ns, t_ns, t.wav.samples + at, 2400, 48000, CALLER);
				break;
			}
	}
	track_free(&t);
}

/* What the member heard of the bot; each of its voice sessions has a recording of its own. */
static struct heard member_heard(int64_t begin_ns, double seconds, double partition_s)
{
	struct bins b = bins_make(seconds);
	const cJSON *f, *files = cJSON_GetObjectItemCaseSensitive(
		simulator_ask(W.discord, "stop_record", "\"member\":\"ann\""), "files");

	cJSON_ArrayForEach(f, files) {
		if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f, "user")), BOT))
			member_bins(&b, begin_ns,
				    cJSON_GetStringValue(
					    cJSON_GetObjectItemCaseSensitive(f, "stem")));
	}
	return bins_judge(&b, partition_s);
}

static double queue_ms(void)
{
	return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
		simulator_ask(W.phone, "stats", "\"call\":\"%s\"", call_name), "fifo_ms"));
}

/* Links of signs only: while they are away sound goes on, at least so long (the bridge believes a silent
 * bot for longer, the server a silent one for 20 s). A busy machine's own gaps are let pass. */
#define NO_SOUND_LOST_S 5
#define STRAY_MS        400

static bool carries_sound(const char *link)
{
	return !strcmp(link, "phone") || !strcmp(link, "udp");
}

/* Nothing passes the link for some seconds, in the middle of a call. A network that is gone for 30 s
 * may cost the call, properly ended; then a new one must work. */
static void partition(const char *link, int seconds)
{
	struct heard caller, member;
	int64_t begin, end;
	double after_s, before_ms;

	E2E_NEEDS_WORLD();
	if (!call_is_up())
		start_call();
	heal_wait(&pair, harness_now_ns(), 20000);
	simulator_forget(W.relay);
	before_ms = queue_ms();
	member_record(&W, "ann", "part");
	harness_sleep_ms(300);
	begin = harness_now_ns();
	simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"hold\",\"ms\":%d", link,
		      seconds * 1000);
	simulator_wait(W.relay, seconds * 1000 + 2000, "link.back", "link", link, NULL);
	end = harness_now_ns();
	/* ann records for the figures: only look from far */
	for (;;) {
		harness_sleep_ms(500);
		if (!call_is_up())
			break;
		if (harness_now_ns() > end + 25000000000LL)
			break;
		if (harness_now_ns() > end + 2000000000LL) {
			cJSON *root = world_api(&W, "bridge", "GET", "/v1/state", NULL);
			char *text = cJSON_PrintUnformatted(root);
			bool good = text && strstr(text, "\"state\":\"connected\"") &&
				    strstr(text, "\"state\":\"live\"");

			cJSON_free(text);
			cJSON_Delete(root);
			if (good)
				break;
		}
	}
	harness_sleep_ms(1500);
	after_s = (double)(harness_now_ns() - begin) / 1e9 - 0.3;
	if (!call_is_up()) {
		printf("# %s, %d s: the call was ended\n", link, seconds);
		CHECK(seconds > 5);
		simulator_ask(W.discord, "stop_record", "\"member\":\"ann\"");
		start_call();
		heal_wait(&pair, harness_now_ns(), 30000);
		return;
	}
	member = member_heard(begin, after_s, seconds);
	caller = caller_heard(begin, after_s, seconds);
	printf("# %s, %d s: caller silence %.0f ms, wrong %.0f ms, right again %.2f s after; channel "
	       "silence %.0f ms, wrong %.0f ms, right again %.2f s after; queue %.0f -> %.0f ms\n",
	       link, seconds, caller.silent_ms, caller.wrong_ms, caller.back_s, member.silent_ms,
	       member.wrong_ms, member.back_s, before_ms, queue_ms());
	if (!carries_sound(link) && seconds <= NO_SOUND_LOST_S)
		CHECK(caller.silent_ms + caller.wrong_ms + member.silent_ms + member.wrong_ms <
		      STRAY_MS);
	heal_wait(&pair, harness_now_ns(), 60000);
	CHECK(queue_ms() < before_ms + 150);
	world_check(&W, "heartbeat"); /* none passes while nothing does */
}

static void partitions(int seconds, const char *only)
{
	for (size_t i = 0; i < LINKS; i++)
		if (strcmp(links[i].name, "cable") != 0 && (!only || !strcmp(only, links[i].name)))
			partition(links[i].name, seconds);
}

static void test_partitions_1_s(void)
{
	partitions(1, NULL);
}

static void test_partitions_5_s(void)
{
	partition("phone", 5);
	partition("udp", 5);
	partition("voice", 5);
}

/* ---- changed bytes -------------------------------------------------------------------------- */

static int stops; /* a process that ended itself and said why */

static void scribble_once(uint64_t *seed)
{
	char path[512];
	DIR *d;
	const struct dirent *e;

	snprintf(path, sizeof(path), "%s/cable", W.dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		struct stat st;
		int fd;

		snprintf(path, sizeof(path), "%.250s/cable/%.200s", W.dir, e->d_name);
		fd = e->d_name[0] == '.' ? -1 : open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
			/* half of it in the first page, where positions and generations are */
			off_t room = sim_random(seed) % 2 ? 4096 : st.st_size;
			uint64_t noise = sim_random(seed);

			if (room > st.st_size)
				room = st.st_size;
			if (pwrite(fd, &noise, 1 + sim_random(seed) % 8,
				   (off_t)(sim_random(seed) % (uint64_t)room)) < 0)
				perror("pwrite");
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
}

static void changes(const struct link *l, int seconds, uint64_t seed)
{
	int64_t end;
	int calls = 0, refused = 0;
	double changed = 0;
	bool cable = !strcmp(l->name, "cable");

	E2E_NEEDS_WORLD();
	if (!call_is_up())
		start_call();
	heal_wait(&pair, harness_now_ns(), 30000);
	if (!cable)
		simulator_ask(W.relay, "link",
			      "\"link\":\"%s\",\"do\":\"change\",\"up\":%s,\"down\":%s,"
			      "\"every\":%d,\"seed\":%llu",
			      l->name, l->up ? "true" : "false", l->down ? "true" : "false", l->every,
			      (unsigned long long)seed);
	end = harness_now_ns() + seconds * 1000000000LL;
	for (int turn = 0; harness_now_ns() < end; turn++) {
		harness_sleep_ms(cable ? 5 : 100);
		stops += heal_keep_alive(&W);
		if (cable) {
			scribble_once(&seed);
			changed++;
			continue;
		}
		/* things to say on links that are quiet by themselves */
		if (turn % 10 == 3 && !strcmp(l->name, "gateway"))
			simulator_try(W.discord, "gateway", "\"do\":\"%s\"",
				      turn % 20 == 3 ? "op1" : "op7");
		/* what can be hit while the session lives, which it does not for long at its beginning */
		if (turn % 2 && !strcmp(l->name, "gateway"))
			simulator_try(W.discord, "say",
				      "\"member\":\"ann\",\"channel\":\"" TEXT
				      "\",\"content\":\"how is it going?\"");
		if (turn % 10 == 3 && !strcmp(l->name, "voice"))
			simulator_try(W.discord, "say",
				      "\"member\":\"ann\",\"channel\":\"" TEXT
				      "\",\"content\":\"%s\"",
				      turn % 20 == 3 ? "$disconnect" : "$connect");
		if (turn % 10 == 3 && !strcmp(l->name, "local"))
			cJSON_Delete(world_api(&W, "bridge", "GET", "/v1/state", NULL));
		if (turn % 20 == 3 && (!strcmp(l->name, "twilio") || !strcmp(l->name, "rest") ||
				       !strcmp(l->name, "local")))
			simulator_try(W.discord, "say",
				      "\"member\":\"ann\",\"channel\":\"" TEXT
				      "\",\"content\":\"$hangup\"");
		if (turn % 5 == 0 && !call_is_up()) {
			snprintf(call_name, sizeof(call_name), "x%d", (int)(harness_now_ns() / 1000000 % 100000000));
			if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
				    simulator_try(W.phone, "call",
						  "\"call\":\"%s\",\"voice\":{\"tone\":1013}",
						  call_name),
				    "ok")))
				calls++;
			else
				refused++;
		}
	}
	if (!cable)
		changed = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
			simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"pass\"", l->name),
			"changes"));
	printf("# %s: %.0f changes in %d s, %d further calls, stopped with a reason %d times\n",
	       l->name, changed, seconds, calls, stops);
	CHECK(changed > 0);
	(void)refused;
	/* streams broken in mid-frame are closed by their owners, not by luck */
	if (!cable)
		simulator_ask(W.relay, "link", "\"link\":\"%s\",\"do\":\"cut\"", l->name);
	calls_down(&W);
	world_wait_calls(&W, 0, 0, 30000);
	stops += heal_keep_alive(&W);
	ann_speaks();
	start_call();
	cJSON_Delete(world_api(&W, "discord", "POST", "/v1/lines/0/connect", NULL));
	printf("# %s: a new call is right after %.1f s\n", l->name,
	       heal_wait(&pair, harness_now_ns(), 90000));
	stops += heal_keep_alive(&W);
}

static int change_seconds = 3;
static uint64_t change_seed = 1;
static const char *change_only;

static void test_changed_bytes(void)
{
	for (size_t i = 0; i < LINKS; i++)
		if (!change_only || !strcmp(change_only, links[i].name))
			changes(&links[i], change_seconds, change_seed * 100 + i);
}

static int only_seconds;

static void test_partitions(void)
{
	partitions(only_seconds, change_only);
}

int main(int argc, char **argv)
{
	e2e_begin();
	UNIT(test_start);
	if (argc > 2 && !strcmp(argv[1], "partition")) {
		only_seconds = atoi(argv[2]);
		change_only = argc > 3 ? argv[3] : NULL;
		UNIT(test_partitions);
	} else if (argc > 3 && !strcmp(argv[1], "change")) {
		change_seconds = atoi(argv[2]);
		change_seed = strtoull(argv[3], NULL, 10);
		change_only = argc > 4 ? argv[4] : NULL;
		UNIT(test_changed_bytes);
	} else {
		UNIT(test_partitions_1_s);
		UNIT(test_partitions_5_s);
		UNIT(test_changed_bytes);
	}
	return e2e_done();
}
