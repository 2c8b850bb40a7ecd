/* SPDX-License-Identifier: MIT
 *
 * e2e_settings - each wrong setting gives one clear line and no start. (That the `.env` of the
 * proof of concept starts both is in e2e_commands.)
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/e2e.h"

#define GOOD_BRIDGE                                                                 \
	"TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef\nTWILIO_AUTH_TOKEN=" \
	"secretsecretsecret\n"                                                      \
	"PUBLIC_URL=https://loopline.test\nLISTEN=127.0.0.1:1\n"
#define GOOD_BOT                                                                      \
	"BOT_TOKEN=MTIzNDU2Nzg5MDEyMzQ1Njc4.sand.box-token\nVOICE_CHANNEL_ID=" LOUNGE \
	"\nTEXT_CHANNEL_ID=" TEXT "\n"

static char dir[] = "/tmp/loopline-e2e-XXXXXX";

/* Starts the program with that `.env`; what it says goes to out. Returns its exit status. */
static int run(const char *name, const char *env_text, mode_t mode, char *out, size_t len)
{
	char program[4200], env_path[64], log[64], runtime[96];
	const char *env[] = {runtime, NULL};
	struct process p;
	FILE *f;
	size_t n;

	snprintf(program, sizeof(program), "%s/loopline-%s", harness_build(), name);
	snprintf(env_path, sizeof(env_path), "%s/.env", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	snprintf(runtime, sizeof(runtime), "LOOPLINE_RUNTIME_DIR=%s", dir);
	unlink(log);
	f = fopen(env_path, "w");
	CHECK(f);
	fputs(env_text, f);
	fclose(f);
	chmod(env_path, mode);
	process_start(&p, name, (const char *[]){program, "--check", NULL}, env, dir, log, -1,
		      -1, 0);
	CHECK(process_end(&p, 0, 10000));
	f = fopen(log, "r");
	CHECK(f);
	n = fread(out, 1, len - 1, f);
	out[n] = 0;
	fclose(f);
	return WIFEXITED(p.status) ? WEXITSTATUS(p.status) : -1;
}

static void expect_error(const char *name, const char *good, const char *bad, const char *key)
{
	char text[4096], out[8192], *nl;
	int lines = 0, status;

	snprintf(text, sizeof(text), "%s%s", good, bad);
	status = run(name, text, 0600, out, sizeof(out));
	if (status == 0)
		UNIT_FAIL("%s: accepted", bad);
	for (nl = out; (nl = strchr(nl, '\n')); nl++)
		lines++;
	if (!strstr(out, key))
		UNIT_FAIL("%s: the error does not name %s: %s", bad, key, out);
	if (strstr(out, "secretsecret"))
		UNIT_FAIL("%s: a secret was printed", bad);
	if (lines != 1)
		UNIT_FAIL("%s: %d lines: %s", bad, lines, out);
}

static void test_good_settings(void)
{
	char out[8192];

	CHECK(mkdtemp(dir));
	chmod(dir, 0755);
	if (run("bridge", GOOD_BRIDGE, 0600, out, sizeof(out)))
		UNIT_FAIL("%s", out);
	if (run("discord", GOOD_BOT "PROXY_SERVER_URL=wss://example.com\n", 0600, out, sizeof(out)))
		UNIT_FAIL("%s", out);
	CHECK(strstr(out, "PROXY_SERVER_URL"));
}

static void test_bridge_settings(void)
{
	static const char *const wrong[][2] = {
		{"LISTEN=nonsense\n", "LISTEN"},
		{"PUBLIC_URL=ftp://x\n", "PUBLIC_URL"},
		{"PUBLIC_URL=http://example.com\n", "PUBLIC_URL"},
		{"WAITING=/does/not/exist.wav\n", "WAITING"},
		{"WAITING_MAX=soon\n", "WAITING_MAX"},
		{"MAX_CALLS=-3\n", "MAX_CALLS"},
		{"CONNECT=perhaps\n", "CONNECT"},
		{"STATIC_TWIML=maybe\n", "STATIC_TWIML"},
		{"TWILIO_API_URL=http://example.com\n", "TWILIO_API_URL"},
		{"CA_FILE=/does/not/exist.pem\n", "CA_FILE"},
		{"LOG=loud\n", "LOG"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		expect_error("bridge", GOOD_BRIDGE, wrong[i][0], wrong[i][1]);
	expect_error(
		"bridge",
		"TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef\nPUBLIC_URL=https://x\n", "",
		"TWILIO_AUTH_TOKEN");
	expect_error("bridge",
		     "TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef\n"
		     "TWILIO_AUTH_TOKEN=secretsecretsecret\n",
		     "", "PUBLIC_URL");
}

static void test_bot_settings(void)
{
	expect_error("discord", "VOICE_CHANNEL_ID=" LOUNGE "\n", "", "BOT_TOKEN");
	expect_error("discord", "BOT_TOKEN=secretsecret\n", "", "VOICE_CHANNEL_ID");
	expect_error("discord", GOOD_BOT, "VOICE_CHANNEL_ID=lounge\n", "VOICE_CHANNEL_ID");
	expect_error("discord", GOOD_BOT, "TEXT_CHANNEL_ID=-1\n", "TEXT_CHANNEL_ID");
	expect_error("discord", GOOD_BOT, "SHOW_NUMBERS=some\n", "SHOW_NUMBERS");
	expect_error("discord", GOOD_BOT, "SPEECH_LEVEL=-3\n", "SPEECH_LEVEL");
	expect_error("discord", GOOD_BOT, "IGNORE_BOTS=2\n", "IGNORE_BOTS");
	expect_error("discord", GOOD_BOT, "DISCORD_API_URL=http://discord.com/api\n",
		     "DISCORD_API_URL");
}

/* A secret in a file that others can read is refused, and the line says what to do. */
static void test_readable_secret(void)
{
	char out[8192];

	CHECK(run("bridge", GOOD_BRIDGE, 0644, out, sizeof(out)) != 0);
	CHECK(strstr(out, "TWILIO_AUTH_TOKEN"));
	CHECK(!strstr(out, "secretsecret"));
}

static void test_clean_up(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	CHECK(system(cmd) == 0);
}

int main(void)
{
	e2e_begin();
	UNIT(test_good_settings);
	UNIT(test_bridge_settings);
	UNIT(test_bot_settings);
	UNIT(test_readable_secret);
	UNIT(test_clean_up);
	return e2e_done();
}
