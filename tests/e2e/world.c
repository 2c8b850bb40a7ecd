/* SPDX-License-Identifier: MIT
 *
 * world.c - the installation of a test (see harness.h).
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/harness.h"

const char *world_file(const struct world *w, const char *name)
{
	static char paths[16][512];
	static int next;
	char *path = paths[next++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", w->dir, name);
	return path;
}

static void write_file(const char *path, mode_t mode, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fchmod(fileno(f), mode) || fputs(text, f) < 0 || fclose(f))
		harness_failed("cannot write %s: %s", path, strerror(errno));
}

/* A port that is free now; the bridge takes it a moment later. */
static int free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    getsockname(fd, (struct sockaddr *)&sa, &len))
		harness_failed("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(sa.sin_port);
}

/* ALSA's configuration with the plug-in of a build directory, as tests/unit/cable_env.c makes it and
 * for its reasons: ours is read by a hook that comes after what the machine has, and the plug-in
 * is named by its file, since ALSA_PLUGIN_DIR would hide those of the machine. */
static void alsa_conf(const char *path, const char *build, bool create, bool stereo)
{
	char top[PATH_MAX], text[3 * PATH_MAX], late[640];

	if (!getcwd(top, sizeof(top)))
		abort();
	snprintf(late, sizeof(late), "%s.late", path);
	snprintf(text, sizeof(text),
		 "</usr/share/alsa/alsa.conf>\n"
		 "@hooks.1 { func load  files [ \"%s\" ]  errors true }\n",
		 late);
	write_file(path, 0644, text);
	snprintf(text, sizeof(text),
		 "<%s/alsa/cable/cable.conf>\n"
		 "pcm_type.cable.lib \"%s/libasound_module_pcm_cable.so\"\n"
		 "defaults.pcm.cable.create %s\n"
		 "defaults.pcm.cable.channels %d\n",
		 top, build, create ? "yes" : "no", stereo ? 2 : 1);
	write_file(late, 0644, text);
}

/* ---- the local API ---- */

struct answer {
	char *text;
	size_t len;
};

static size_t collect(char *data, size_t size, size_t n, void *ctx)
{
	struct answer *a = ctx;

	a->text = realloc(a->text, a->len + size * n + 1);
	if (!a->text)
		abort();
	memcpy(a->text + a->len, data, size * n);
	a->len += size * n;
	a->text[a->len] = 0;
	return size * n;
}

cJSON *world_api(struct world *w, const char *socket_name, const char *method, const char *path,
		 int *status)
{
	CURL *c = curl_easy_init();
	struct answer a = {NULL, 0};
	char sock[512], url[256];
	long code = 0;
	cJSON *o = NULL;

	snprintf(sock, sizeof(sock), "%s/%s.sock", w->dir, socket_name);
	snprintf(url, sizeof(url), "http://localhost%s", path);
	curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, sock);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 5000L * harness_patience());
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &a);
	if (!strcmp(method, "POST"))
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
	if (curl_easy_perform(c) == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_cleanup(c);
	if (a.text)
		o = cJSON_Parse(a.text);
	free(a.text);
	if (status)
		*status = (int)code;
	return o;
}

/* The line's object in the bridge's state; *root is the caller's to delete. */
static const cJSON *bridge_line(struct world *w, int line, cJSON **root)
{
	const cJSON *l;

	*root = world_api(w, "bridge", "GET", "/v1/state", NULL);
	cJSON_ArrayForEach(l, cJSON_GetObjectItemCaseSensitive(*root, "lines"))
	{
		const cJSON *n = cJSON_GetObjectItemCaseSensitive(l, "line");

		if (cJSON_IsNumber(n) && n->valueint == line)
			return l;
	}
	return NULL;
}

void world_wait_channel(struct world *w, int line, const char *state, int ms)
{
	int64_t end = harness_now_ns() + (int64_t)ms * harness_patience() * 1000000;
	char last[64] = "no state";

	do {
		cJSON *root;
		const cJSON *l = bridge_line(w, line, &root);
		const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(l, "channel"), "state"));

		snprintf(last, sizeof(last), "%s", s ? s : "no state");
		cJSON_Delete(root);
		if (!strcmp(last, state))
			return;
		harness_sleep_ms(20);
	} while (harness_now_ns() < end);
	harness_failed("line %d: the channel is \"%s\", not \"%s\", after %d ms", line, last, state,
		       ms);
}

void world_wait_calls(struct world *w, int line, int calls, int ms)
{
	int64_t end = harness_now_ns() + (int64_t)ms * harness_patience() * 1000000;
	int n = -1;

	do {
		cJSON *root;
		const cJSON *l = bridge_line(w, line, &root);

		n = l ? cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(l, "calls")) : -1;
		cJSON_Delete(root);
		if (n == calls)
			return;
		harness_sleep_ms(20);
	} while (harness_now_ns() < end);
	harness_failed("line %d has %d calls, not %d, after %d ms", line, n, calls, ms);
}

static void wait_api(struct world *w, struct process *p, const char *socket_name)
{
	int64_t end = harness_now_ns() + 20000LL * harness_patience() * 1000000;
	int status = 0;

	while (harness_now_ns() < end) {
		cJSON_Delete(world_api(w, socket_name, "GET", "/v1/state", &status));
		if (status == 200)
			return;
		if (process_ended(p))
			harness_failed("%s has ended", p->name);
		harness_sleep_ms(20);
	}
	harness_failed("%s does not answer on %s.sock", p->name, socket_name);
}

/* ---- the wall clock ---- */

/* A sanitizer wants to be what is loaded first. */
static bool has_clock(const struct world *w)
{
	return w->options.clock && harness_patience() == 1;
}

bool world_clock(struct world *w, int64_t ahead_ns)
{
	int fd = has_clock(w) ? open(world_file(w, "clock"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
	bool written = fd >= 0 && pwrite(fd, &ahead_ns, sizeof(ahead_ns), 0) == sizeof(ahead_ns);

	if (fd >= 0)
		close(fd);
	return written;
}

/* ---- the two processes ---- */

static void start_service(struct world *w, struct process *p, const char *name, const char *ca)
{
	char program[PATH_MAX + 64], ca_env[640], conf_env[640], log[512];
	char config[512];
	char dir_env[512], state_env[512], preload_env[PATH_MAX + 64], clock_env[640];
	const char *argv[] = {program, NULL, NULL, NULL};
	const char *env[] = {ca_env, conf_env, dir_env, state_env, NULL, NULL, NULL};

	snprintf(program, sizeof(program), "%s/loopline-%s", harness_build(), name);
	snprintf(log, sizeof(log), "%s/%s.log", w->dir, name);
	snprintf(ca_env, sizeof(ca_env), "CA_FILE=%s", ca);
	snprintf(conf_env, sizeof(conf_env), "ALSA_CONFIG_PATH=%s", w->service_conf);
	/* with a relay the Discord process meets the bridge through it, in a directory of its own */
	snprintf(dir_env, sizeof(dir_env), "LOOPLINE_RUNTIME_DIR=%s%s", w->dir,
		 w->relay && !strcmp(name, "discord") ? "/bot" : "");
	snprintf(state_env, sizeof(state_env), "STATE_DIRECTORY=%s/state", w->dir);
	if (has_clock(w)) {
		snprintf(preload_env, sizeof(preload_env), "LD_PRELOAD=%s/tests/clock_step.so",
			 harness_build());
		snprintf(clock_env, sizeof(clock_env), "CLOCK_STEP_FILE=%s/clock", w->dir);
		env[4] = preload_env;
		env[5] = clock_env;
	}
	if (w->options.conf) {
		snprintf(config, sizeof(config), "%s/loopline.conf", w->dir);
		argv[1] = "--config";
		argv[2] = config;
	}
	process_start(p, strrchr(program, '/') + 1, argv, env, w->dir, log, -1, -1,
		      PRIORITY_SERVICE);
}

void world_start_bridge(struct world *w)
{
	start_service(w, &w->bridge, "bridge", w->twilio_ca);
	wait_api(w, &w->bridge, "bridge");
}

void world_run_bot(struct world *w)
{
	start_service(w, &w->bot, "discord", w->discord_ca);
}

void world_start_bot(struct world *w)
{
	world_run_bot(w);
	wait_api(w, &w->bot, "discord");
	simulator_wait(w->discord, 15000, "gateway.identify", "token_ok", "true", NULL);
}

static const char *text_of(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	if (!s)
		harness_failed("a simulator's ready event has no %s", key);
	return s;
}

/* A front of the relay for a port; its own port. */
static int front(struct world *w, const char *link, const char *kind, int to, const char *ca)
{
	return (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
		simulator_ask(w->relay, "front",
			      "\"link\":\"%s\",\"kind\":\"%s\",\"to\":%d,\"ca\":\"%s\","
			      "\"follow\":true",
			      link, kind, to, ca),
		"port"));
}

/* https://127.0.0.1:PORT/path with the port of a front for it. */
static void relayed(struct world *w, const char *link, char *url, size_t len, const char *ca)
{
	char host[32], path[128] = "", made[256];
	int port;

	if (!w->relay)
		return;
	if (sscanf(url, "https://%31[0-9.]:%d%127s", host, &port, path) < 2)
		harness_failed("%s is no address for a relay", url);
	snprintf(made, sizeof(made), "https://%s:%d%s", host, front(w, link, "tls", port, ca), path);
	snprintf(url, len, "%s", made);
}

/* sim_relay between everybody. */
static void start_relay(struct world *w)
{
	char program[PATH_MAX + 64], path[512];

	snprintf(program, sizeof(program), "%s/tests/sim_relay", harness_build());
	w->relay = simulator_start(program, w->dir, world_file(w, "sim_relay.log"));
	snprintf(w->twilio_ca, sizeof(w->twilio_ca), "%s", text_of(simulator_ready(w->relay), "ca"));
	snprintf(w->discord_ca, sizeof(w->discord_ca), "%s", w->twilio_ca);
	snprintf(path, sizeof(path), "%s/bot", w->dir);
	if (mkdir(path, 0755) || symlink("../cable", world_file(w, "bot/cable")) ||
	    symlink("bot/discord.sock", world_file(w, "discord.sock")))
		harness_failed("no directory for a relay: %s", strerror(errno));
	simulator_ask(w->relay, "front",
		      "\"link\":\"local\",\"kind\":\"unix\",\"path\":\"%s/bot/bridge.sock\","
		      "\"to_path\":\"%s/bridge.sock\"",
		      w->dir, w->dir);
}

/* ---- names ---- */

bool world_own_mounts(void)
{
	static int own = -1;

	if (own < 0)
		own = unshare(CLONE_NEWNS) == 0 &&
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return own;
}

/* In the simulators' certificates. */
#define NAME "discord.test"

bool world_names(struct world *w, bool there)
{
	FILE *f = w->named ? fopen(world_file(w, "hosts"), "w") : NULL;

	if (!f)
		return false;
	fprintf(f, "127.0.0.1 localhost%s\n", there ? " " NAME : "");
	return fclose(f) == 0;
}

/* Files of ours in place of the machine's, without a resolver behind them. */
static void start_names(struct world *w)
{
	const char *hosts = world_file(w, "hosts"), *resolv = world_file(w, "resolv");

	w->named = world_own_mounts();
	if (!world_names(w, true))
		return;
	write_file(resolv, 0644, "");
	if (mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL) ||
	    mount(resolv, "/etc/resolv.conf", NULL, MS_BIND, NULL))
		harness_failed("cannot put names in place: %s", strerror(errno));
}

static void stop_names(struct world *w)
{
	if (!w->named)
		return;
	umount2("/etc/resolv.conf", MNT_DETACH);
	umount2("/etc/hosts", MNT_DETACH);
	w->named = false;
}

/* https://127.0.0.1:PORT/path -> https://NAME:PORT/path */
static void by_name(char *url, size_t len)
{
	char made[256];

	snprintf(made, sizeof(made), "https://" NAME "%s", strrchr(url, ':'));
	snprintf(url, len, "%s", made);
}

static void write_settings(struct world *w)
{
	const cJSON *phone = simulator_ready(w->phone), *discord = simulator_ready(w->discord);
	char text[4096];

	if (!*w->api_url) {
		snprintf(w->api_url, sizeof(w->api_url), "%s", text_of(discord, "api_url"));
		snprintf(w->rest_url, sizeof(w->rest_url), "%s", text_of(phone, "rest_url"));
		relayed(w, "rest", w->api_url, sizeof(w->api_url), text_of(discord, "ca"));
		relayed(w, "twilio", w->rest_url, sizeof(w->rest_url), text_of(phone, "ca"));
		if (w->named) {
			by_name(w->api_url, sizeof(w->api_url));
			by_name(w->rest_url, sizeof(w->rest_url));
		}
	}
	snprintf(text, sizeof(text),
		 "BOT_TOKEN=%s\nVOICE_CHANNEL_ID=" LOUNGE "\nTEXT_CHANNEL_ID=" TEXT "\n"
		 "TWILIO_ACCOUNT_SID=%s\nTWILIO_AUTH_TOKEN=%s\nPUBLIC_URL=https://loopline.test\n"
		 "LISTEN=127.0.0.1:%d\nDISCORD_API_URL=%s\nTWILIO_API_URL=%s\nLOG=debug\n%s",
		 text_of(discord, "token"), text_of(phone, "account_sid"),
		 text_of(phone, "auth_token"), w->listen_port, w->api_url, w->rest_url,
		 w->options.settings ? w->options.settings : "");
	write_file(world_file(w, ".env"), 0600, text);
	if (w->options.conf)
		write_file(world_file(w, "loopline.conf"), 0600, w->options.conf);
}

void world_settings(struct world *w, const char *settings)
{
	w->options.settings = settings;
	write_settings(w);
}

bool world_logged(const struct process *p, const char *text, int ms)
{
	int64_t end = harness_now_ns() + (int64_t)ms * harness_patience() * 1000000;
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	for (;;) {
		FILE *f = fopen(p->log, "r");

		while (f && !found && getline(&line, &room, f) >= 0)
			found = strstr(line, text) != NULL;
		if (f)
			fclose(f);
		if (found || harness_now_ns() > end)
			break;
		harness_sleep_ms(50);
	}
	free(line);
	return found;
}

void world_start(struct world *w, const struct world_options *options)
{
	char program[PATH_MAX + 64], plain[PATH_MAX];
	struct stat st;

	memset(w, 0, sizeof(*w));
	if (options)
		w->options = *options;
	signal(SIGPIPE, SIG_IGN);
	const char *tmp = getenv("TMPDIR");

	snprintf(w->dir, sizeof(w->dir), "%.60s/loopline-e2e-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(w->dir) || chmod(w->dir, 0755) || mkdir(world_file(w, "state"), 0700) ||
	    mkdir(world_file(w, "rec"), 0700))
		harness_failed("no temporary directory: %s", strerror(errno));
	snprintf(w->conf, sizeof(w->conf), "%s/asound.conf", w->dir);
	snprintf(w->service_conf, sizeof(w->service_conf), "%s/service-asound.conf", w->dir);
	/* aplay cannot load a plug-in that was built with a sanitizer: it gets the plain one */
	snprintf(plain, sizeof(plain), "%s", harness_build());
	if (harness_patience() > 1 && !stat("build/libasound_module_pcm_cable.so", &st) &&
	    !realpath("build", plain))
		harness_failed("no build directory: %s", strerror(errno));
	alsa_conf(w->conf, plain, false, options->stereo);
	alsa_conf(w->service_conf, harness_build(), true, options->stereo);
	w->listen_port = free_port();
	snprintf(program, sizeof(program), "%s/tests/sim_twilio", harness_build());
	w->phone = simulator_start(program, w->dir, world_file(w, "sim_twilio.log"));
	snprintf(program, sizeof(program), "%s/tests/sim_discord", harness_build());
	w->discord = simulator_start(program, w->dir, world_file(w, "sim_discord.log"));
	snprintf(w->twilio_ca, sizeof(w->twilio_ca), "%s",
		 text_of(simulator_ready(w->phone), "ca"));
	snprintf(w->discord_ca, sizeof(w->discord_ca), "%s",
		 text_of(simulator_ready(w->discord), "ca"));
	if (w->options.relay)
		start_relay(w);
	if (w->options.names)
		start_names(w);
	world_clock(w, 0);
	write_settings(w);
	simulator_ask(w->phone, "config",
		      "\"public_url\":\"https://loopline.test\",\"connect\":\"127.0.0.1:%d\"",
		      w->relay ? front(w, "phone", "tcp", w->listen_port, "") : w->listen_port);
	for (int i = 0; i < 2; i++)
		simulator_ask(w->discord, "room",
			      "\"channel\":\"%s\",\"dave\":%s,\"require_dave\":%s,"
			      "\"listen_needs_voice\":true%s",
			      i ? LOUNGE2 : LOUNGE, w->options.plain ? "false" : "true",
			      w->options.plain ? "false" : "true",
			      w->options.xchacha ?
				      ",\"modes\":[\"aead_xchacha20_poly1305_rtpsize\"]" :
				      "");
	world_start_bridge(w);
	if (!w->options.no_discord)
		world_start_bot(w);
}

static void show_tail(const char *path)
{
	char cmd[1024];
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode)) /* a pipe has no tail */
		return;
	snprintf(cmd, sizeof(cmd), "echo '--- %s' >&2; tail -n 60 '%s' >&2", path, path);
	if (system(cmd))
		return;
}

void world_show_logs(struct world *w)
{
	if (!*w->dir)
		return;
	if (w->phone)
		simulator_dump(w->phone, world_file(w, "sim_twilio.events"));
	if (w->discord)
		simulator_dump(w->discord, world_file(w, "sim_discord.events"));
	show_tail(world_file(w, "sim_twilio.events"));
	show_tail(world_file(w, "sim_discord.events"));
	show_tail(world_file(w, "bridge.log"));
	show_tail(world_file(w, "discord.log"));
}

void world_stop(struct world *w, bool keep)
{
	char cmd[512];

	if (!*w->dir)
		return;
	process_end(&w->bot, SIGTERM, 8000);
	process_end(&w->bridge, SIGTERM, 8000);
	if (keep && w->phone)
		simulator_dump(w->phone, world_file(w, "sim_twilio.events"));
	if (keep && w->discord)
		simulator_dump(w->discord, world_file(w, "sim_discord.events"));
	simulator_stop(w->phone);
	simulator_stop(w->discord);
	simulator_stop(w->relay);
	w->phone = w->discord = w->relay = NULL;
	stop_names(w);
	if (keep) {
		fprintf(stderr, "kept: %s\n", w->dir);
	} else {
		snprintf(cmd, sizeof(cmd), "rm -rf '%s'", w->dir);
		if (system(cmd))
			fprintf(stderr, "cannot remove %s\n", w->dir);
	}
	w->dir[0] = 0;
}

void world_check(struct world *w, const char *except)
{
	char text[512];

	if (process_ended(&w->bridge))
		harness_failed("loopline-bridge has ended (status %d)", w->bridge.status);
	if (!w->options.no_discord && process_ended(&w->bot))
		harness_failed("loopline-discord has ended (status %d)", w->bot.status);
	if (simulator_complaints(w->phone, except, text, sizeof(text)))
		harness_failed("sim_twilio complains: %s", text);
	if (simulator_complaints(w->discord, except, text, sizeof(text)))
		harness_failed("sim_discord complains: %s", text);
}

void tool_start(struct world *w, struct process *p, const char *const argv[])
{
	char conf_env[640], dir_env[512], log[512];
	const char *env[] = {conf_env, dir_env, NULL};

	snprintf(conf_env, sizeof(conf_env), "ALSA_CONFIG_PATH=%s", w->conf);
	snprintf(dir_env, sizeof(dir_env), "LOOPLINE_RUNTIME_DIR=%s", w->dir);
	snprintf(log, sizeof(log), "%s/tool%d.log", w->dir, w->tools++);
	process_start(p, argv[0], argv, env, NULL, log, -1, -1, PRIORITY_TOOL);
}
