/* SPDX-License-Identifier: MIT
 *
 * test_settings.c - sources, their order, formats, checks and error lines.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings.h"
#include "common/strbuf.h"

static const char *const connect_choices[] = {"command", "call", NULL};
static const char *const foreign[] = {"TWILIO_AUTH_TOKEN", "PUBLIC_URL", NULL};

static bool phone_number(const char *text)
{
	return text[0] == '+' && text[1];
}

static bool unless_validate_off(const struct settings *s, int line)
{
	return settings_bool(s, "VALIDATE", 0);
}

static const struct setting_key keys[] = {
	{.name = "BOT_TOKEN",
	 .type = SETTING_SECRET,
	 .flags = SETTING_REQUIRED,
	 .help = "the token"},
	{.name = "VOICE_CHANNEL_ID",
	 .type = SETTING_SNOWFLAKE,
	 .flags = SETTING_PER_LINE | SETTING_REQUIRED,
	 .help = "where the sound goes"},
	{.name = "PHONE_PCM",
	 .type = SETTING_STRING,
	 .flags = SETTING_PER_LINE,
	 .fallback = "phone:{line}"},
	{.name = "CONNECT",
	 .type = SETTING_ENUM,
	 .flags = SETTING_PER_LINE | SETTING_INHERIT,
	 .choices = connect_choices,
	 .fallback = "command"},
	{.name = "MAX_MINUTES",
	 .type = SETTING_INT,
	 .flags = SETTING_OR_OFF,
	 .min = 1,
	 .max = 1440,
	 .fallback = "off"},
	{.name = "NUMBER",
	 .type = SETTING_STRING,
	 .flags = SETTING_PER_LINE | SETTING_LIST,
	 .check = phone_number,
	 .expected = "numbers such as +15551234567"},
	{.name = "API_URL", .type = SETTING_URL, .fallback = "https://discord.com/api/v10"},
	{.name = "LISTEN", .type = SETTING_HOST_PORT, .fallback = "127.0.0.1:8080"},
	{.name = "VALIDATE", .type = SETTING_BOOL, .fallback = "off"},
	{.name = "SID",
	 .type = SETTING_STRING,
	 .required = unless_validate_off,
	 .required_why = "unless VALIDATE=off",
	 .help = "the account"},
	{.name = "CERT", .type = SETTING_PATH, .flags = SETTING_READABLE},
};

static void no_two_lines_in_one_channel(const struct settings *s, struct settings_report *report)
{
	for (int a = settings_next_line(s, 0); a >= 0; a = settings_next_line(s, a))
		if (settings_snowflake(s, "VOICE_CHANNEL_ID", a) &&
		    settings_snowflake(s, "VOICE_CHANNEL_ID", a) ==
			    settings_snowflake(s, "VOICE_CHANNEL_ID", 0))
			settings_error(report, s, "VOICE_CHANNEL_ID", a, "the channel of line 0");
}

static const struct settings_program program = {
	.name = "test",
	.summary = "test",
	.keys = keys,
	.key_count = sizeof(keys) / sizeof(keys[0]),
	.foreign = foreign,
	.check = no_two_lines_in_one_channel,
};

static char dir[] = "/tmp/settings-test-XXXXXX";
static char said[8192];

static void on_report(void *arg, enum log_level level, const char *line)
{
	size_t len = strlen(said);

	snprintf(said + len, sizeof(said) - len, "%s %s\n",
		 level == LOG_LEVEL_ERROR ? "error" : "warn", line);
}

static const char *put(const char *name, const char *text, mode_t mode)
{
	static char path[4][128];
	static int next;
	char *p = path[next++ % 4];
	FILE *f;

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	f = fopen(p, "w");
	CHECK(f);
	fputs(text, f);
	fclose(f);
	CHECK_INT(chmod(p, mode), 0);
	return p;
}

static int load(struct settings **s, const char *conf, const char *env_file,
		const char *const *environment, const char *credentials)
{
	static const char *none[] = {NULL};
	struct settings_sources sources = {
		.conf_file = conf ? put("conf", conf, 0600) : put("conf", "", 0600),
		.env_file = env_file ? put("env", env_file, 0600) : "/nonexistent/.env",
		.credentials_dir = credentials ? credentials : "",
		.environment = environment ? environment : none,
		.report = on_report,
	};

	said[0] = '\0';
	return settings_load(s, &program, &sources);
}

/* What was said, with the temporary folder cut out. */
static const char *told(void)
{
	static char out[8192];
	size_t len = strlen(dir) + 1, n = 0;

	for (const char *p = said; *p;) {
		if (!strncmp(p, dir, len - 1))
			p += len;
		else
			out[n++] = *p++;
	}
	out[n] = '\0';
	return out;
}

/* The file of the proof of concept, unchanged. */
static void test_env_file_of_the_proof_of_concept(void)
{
	struct settings *s;

	CHECK_INT(load(&s, NULL, "BOT_TOKEN=abc.def.ghi\nVOICE_CHANNEL_ID=81384788765712384\n",
		       NULL, NULL),
		  0);
	CHECK_STR(said, "");
	CHECK_STR(settings_str(s, "BOT_TOKEN", 0), "abc.def.ghi");
	CHECK(settings_snowflake(s, "VOICE_CHANNEL_ID", 0) == UINT64_C(81384788765712384));
	CHECK_STR(settings_str(s, "PHONE_PCM", 0), "phone:0");
	CHECK_INT(settings_enum(s, "CONNECT", 0), 0);
	CHECK_INT(settings_int(s, "MAX_MINUTES", 0), 0);
	CHECK_STR(settings_url(s, "API_URL", 0)->path, "/api/v10");
	CHECK_INT(settings_host_port(s, "LISTEN", 0)->port, 8080);
	CHECK(!settings_is_set(s, "SID", 0) && !settings_str(s, "SID", 0));
	CHECK_STR(settings_origin(s, "LISTEN", 0), "default");
	CHECK(strstr(settings_origin(s, "BOT_TOKEN", 0), "/env:1"));
	settings_unref(s);
}

static void test_order_of_sources(void)
{
	const char *environment[] = {"CONNECT=call", "LISTEN=127.0.0.1:1", "VALIDATE=", NULL};
	char credentials[128], path[160];
	struct settings *s;

	snprintf(credentials, sizeof(credentials), "%s/credentials", dir);
	mkdir(credentials, 0700);
	put("credentials/bot_token", "from-credential\n", 0600);
	put("credentials/LISTEN", "127.0.0.1:2", 0600);
	put("credentials/cert", "-----BEGIN\nlines\n", 0600);
	CHECK_INT(load(&s,
		       "BOT_TOKEN = conf\nVOICE_CHANNEL_ID = 5\nCONNECT = command\nMAX_MINUTES=7\n",
		       "BOT_TOKEN=env-file\nVOICE_CHANNEL_ID=6\nCONNECT=command\nVALIDATE=on\nSID="
		       "x\n",
		       environment, credentials),
		  0);
	CHECK_STR(settings_str(s, "BOT_TOKEN", 0), "from-credential");
	CHECK_INT(settings_host_port(s, "LISTEN", 0)->port, 2);
	/* a path: the credential is the file */
	snprintf(path, sizeof(path), "%s/cert", credentials);
	CHECK_STR(settings_str(s, "CERT", 0), path);
	CHECK_INT(settings_enum(s, "CONNECT", 0), 1);
	CHECK_STR(settings_origin(s, "CONNECT", 0), "environment");
	CHECK(settings_snowflake(s, "VOICE_CHANNEL_ID", 0) == 6);
	CHECK_INT(settings_int(s, "MAX_MINUTES", 0), 7);
	/* an empty value in the environment is none */
	CHECK(settings_bool(s, "VALIDATE", 0));
	settings_unref(s);
}

static void test_lines(void)
{
	struct settings *s;
	int n = 0;

	CHECK_INT(
		load(&s,
		     "# comment\n; comment\nBOT_TOKEN = t\nVOICE_CHANNEL_ID=1\nCONNECT=call\n\n"
		     "[line 1]\nVOICE_CHANNEL_ID = 2\nNUMBER = +1555, +1666 ,\n"
		     "[ line 7 ]\nVOICE_CHANNEL_ID = 3\nCONNECT = command\nPHONE_PCM = \" x y \"\n",
		     NULL, NULL, NULL),
		0);
	CHECK_INT(settings_line_count(s), 3);
	n = settings_next_line(s, n);
	CHECK_INT(n, 1);
	n = settings_next_line(s, n);
	CHECK_INT(n, 7);
	CHECK_INT(settings_next_line(s, n), -1);
	CHECK(!settings_has_line(s, 2) && !settings_has_line(s, 64) && !settings_has_line(s, -1));
	CHECK_STR(settings_str(s, "PHONE_PCM", 1), "phone:1");
	CHECK_STR(settings_str(s, "PHONE_PCM", 7), " x y ");
	CHECK_INT(settings_enum(s, "CONNECT", 1), 1); /* inherited */
	CHECK_INT(settings_enum(s, "CONNECT", 7), 0);
	CHECK_INT(settings_list_count(s, "NUMBER", 1), 2);
	CHECK_STR(settings_list_item(s, "NUMBER", 1, 1), "+1666");
	CHECK_INT(settings_list_count(s, "NUMBER", 0), 0);
	settings_unref(s);
}

static void test_every_error_is_one_line_with_place_and_expectation(void)
{
	const char *environment[] = {"LOG=loud", NULL};
	struct settings *s;

	CHECK_INT(load(&s,
		       "VOICE_CHANNEL_ID = general\nMAX_MINUTES = 1441\nconnect = "
		       "call\nVALIDATE=maybe\n"
		       "API_URL = http://discord.com/api\nLISTEN = 8080\nnonsense\nCERT=/no/such\n"
		       "COLOUR = red\nNUMBER = 555\n[line x]\nWHATEVER=1\n[line 1]\nLISTEN = a:1\n"
		       "VOICE_CHANNEL_ID=1\nVOICE_CHANNEL_ID=2\nCONNECT=never\n",
		       NULL, environment, NULL),
		  -EINVAL);
	CHECK(!s);
	CHECK_STR(
		told(),
		"error conf:3: there is no setting connect (did you mean CONNECT?)\n"
		"error conf:7: expected KEY = value\n"
		"error conf:9: there is no setting COLOUR\n"
		"error conf:11: expected [line N] with N from 0 to 63, got [line x]\n"
		"error conf:14: LISTEN is for the whole program: put it above the first [line N]\n"
		"error conf:16: VOICE_CHANNEL_ID is there already, at conf:15\n"
		"error conf:1: VOICE_CHANNEL_ID of line 0: expected an id: a number of 17 to 20 "
		"digits, got \"general\"\n"
		"error conf:17: CONNECT of line 1: expected command or call, got \"never\"\n"
		"error conf:2: MAX_MINUTES: expected a number from 1 to 1440, or off, got "
		"\"1441\"\n"
		"error conf:10: NUMBER of line 0: expected numbers such as +15551234567, got "
		"\"555\"\n"
		"error conf:5: API_URL: expected https://, because http:// in clear text is for "
		"loopback hosts only, got \"http://discord.com/api\"\n"
		"error conf:6: LISTEN: expected host:port, got \"8080\"\n"
		"error conf:4: VALIDATE: expected on or off, got \"maybe\"\n"
		"error conf:8: CERT: expected a file that can be read (No such file or "
		"directory), got \"/no/such\"\n"
		"error environment: LOG: expected error, warn, info or debug, got \"loud\"\n"
		"error BOT_TOKEN is required: the token\n");
}

static void test_required_under_a_condition(void)
{
	struct settings *s;

	CHECK_INT(load(&s, NULL, "BOT_TOKEN=t\nVOICE_CHANNEL_ID=1\nVALIDATE=yes\n", NULL, NULL),
		  -EINVAL);
	CHECK_STR(told(), "error SID is required unless VALIDATE=off: the account\n");
	CHECK_INT(load(&s, "BOT_TOKEN=t\nVOICE_CHANNEL_ID=1\n[line 2]\n", NULL, NULL, NULL),
		  -EINVAL);
	CHECK_STR(told(), "error VOICE_CHANNEL_ID of line 2 is required: where the sound goes\n");
}

static void test_checks_over_several_keys(void)
{
	struct settings *s;

	CHECK_INT(load(&s, "BOT_TOKEN=t\nVOICE_CHANNEL_ID=9\n[line 1]\nVOICE_CHANNEL_ID=9\n", NULL,
		       NULL, NULL),
		  -EINVAL);
	CHECK_STR(told(), "error conf:4: VOICE_CHANNEL_ID of line 1: the channel of line 0\n");
}

static void test_unknown_keys_by_source(void)
{
	const char *environment[] = {"BOT_TOKN=x", "TWILIO_AUTH_TOKEN=y", NULL};
	struct settings *s;

	CHECK_INT(load(&s, "TWILIO_AUTH_TOKEN=a\n",
		       "BOT_TOKEN=t\nBOT_TOKN=u\nVOICE_CHANNEL_ID=1\nPUBLIC_URL=zzz\n", environment,
		       NULL),
		  0);
	CHECK_STR(told(), "warn env:2: there is no setting BOT_TOKN (did you mean BOT_TOKEN?)\n");
	settings_unref(s);
}

/* What python-dotenv 1.0 reads from the same text. */
static void test_env_syntax(void)
{
	struct settings *s;

	CHECK_INT(load(&s, NULL,
		       "\xef\xbb\xbf# comment\r\n"
		       "export BOT_TOKEN = \"a\\\"b\\\\c # no comment\" # comment\r\n"
		       "\r\n"
		       "VOICE_CHANNEL_ID='42'\r\n"
		       "PHONE_PCM=a b#c # comment\r\n"
		       "SID='it\\'s \\n'\n"
		       "VALIDATE=on# \n"
		       "  CONNECT=call   \n"
		       "no assignment\n"
		       "MAX_MINUTES=5\n"
		       "MAX_MINUTES=6\n"
		       "CERT=#nothing",
		       NULL, NULL),
		  -EINVAL);
	CHECK_STR(told(), "warn env:9: expected KEY=value\n"
			  "error env:7: VALIDATE: expected on or off, got \"on#\"\n");
	CHECK_INT(load(&s, NULL,
		       "export BOT_TOKEN = \"a\\\"b\\\\c # no comment\" # comment\r\n"
		       "VOICE_CHANNEL_ID='42'\r\n"
		       "PHONE_PCM=a b#c # comment\r\n"
		       "SID='it\\'s \\n'\n"
		       "  CONNECT=call   \n"
		       "MAX_MINUTES=5\n"
		       "MAX_MINUTES=6\n",
		       NULL, NULL),
		  0);
	CHECK_STR(settings_str(s, "BOT_TOKEN", 0), "a\"b\\c # no comment");
	CHECK(settings_snowflake(s, "VOICE_CHANNEL_ID", 0) == 42);
	CHECK_STR(settings_str(s, "PHONE_PCM", 0), "a b#c");
	CHECK_STR(settings_str(s, "SID", 0), "it's \\n");
	CHECK_INT(settings_enum(s, "CONNECT", 0), 1);
	CHECK_INT(settings_int(s, "MAX_MINUTES", 0), 6);
	settings_unref(s);
	CHECK_INT(load(&s, NULL, "A=1\nBOT_TOKEN=\"open\nVOICE_CHANNEL_ID=1\n", NULL, NULL),
		  -EINVAL);
	CHECK(strstr(told(), "error env:2: the quote of BOT_TOKEN is not closed\n"));
	/* lines are counted across a value of several lines */
	CHECK_INT(load(&s, NULL, "SID=\"a\nb\"\nVOICE_CHANNEL_ID=x\nBOT_TOKEN=t\n", NULL, NULL),
		  -EINVAL);
	CHECK(strstr(told(), "error env:1: SID: expected no control characters"));
	CHECK(strstr(told(), "error env:3: VOICE_CHANNEL_ID: expected an id"));
}

static void test_secret_readable_by_others(void)
{
	struct settings_sources sources = {.credentials_dir = "", .report = on_report};
	static const char *none[] = {NULL};
	struct settings *s;

	sources.environment = none;
	sources.conf_file = put("conf", "", 0600);
	sources.env_file = put("env", "BOT_TOKEN=s3cr3t\nVOICE_CHANNEL_ID=1\n", 0644);
	/* The folder is closed to others, so nobody reads it. */
	said[0] = '\0';
	CHECK_INT(chmod(dir, 0700), 0);
	CHECK_INT(settings_load(&s, &program, &sources), 0);
	settings_unref(s);
	CHECK_INT(chmod(dir, 0755), 0);
	CHECK_INT(settings_load(&s, &program, &sources), -EINVAL);
	CHECK_STR(told(),
		  "error env:1: BOT_TOKEN: a secret in a file that others can read: chmod o-r "
		  "env, or set ALLOW_READABLE_SECRETS=on\n");
	CHECK(!strstr(said, "s3cr3t"));
	sources.conf_file = put("conf", "ALLOW_READABLE_SECRETS = on\n", 0600);
	CHECK_INT(settings_load(&s, &program, &sources), 0);
	settings_unref(s);
	/* Group may read: 0640 root:loopline is the installed mode. */
	sources.conf_file = put("conf", "", 0600);
	sources.env_file = put("env", "BOT_TOKEN=s3cr3t\nVOICE_CHANNEL_ID=1\n", 0640);
	CHECK_INT(settings_load(&s, &program, &sources), 0);
	settings_unref(s);
	CHECK_INT(chmod(dir, 0700), 0);
}

static void test_a_wrong_secret_is_not_shown(void)
{
	struct settings *s;

	CHECK_INT(load(&s, NULL, "BOT_TOKEN=\"s3cr3t\\n\"\nVOICE_CHANNEL_ID=1\n", NULL, NULL),
		  -EINVAL);
	CHECK(!strstr(said, "s3cr3t"));
	CHECK(strstr(said, "BOT_TOKEN: expected no control characters"));
}

static void test_hostile_files(void)
{
	struct settings_sources sources = {.credentials_dir = "", .report = on_report};
	static const char *none[] = {NULL};
	char path[128], long_key[3000];
	struct settings *s;

	sources.environment = none;
	sources.env_file = "/nonexistent/.env";
	snprintf(path, sizeof(path), "%s/none", dir);
	sources.conf_file = path;
	said[0] = '\0';
	CHECK_INT(settings_load(&s, &program, &sources), -EINVAL);
	CHECK(strstr(told(), "error none: there is no such file\n"));
	sources.conf_file = dir;
	said[0] = '\0';
	CHECK_INT(settings_load(&s, &program, &sources), -EINVAL);
	CHECK(strstr(said, "is no file"));
	memset(long_key, 'K', sizeof(long_key));
	memcpy(long_key + sizeof(long_key) - 4, "=1\n", 4);
	CHECK_INT(load(&s, long_key, long_key, NULL, NULL), -EINVAL);
	CHECK_INT(load(&s, "\x80\xff\n", NULL, NULL, NULL), -EINVAL);
	CHECK(strstr(said, "not a text file in UTF-8"));
	CHECK_INT(load(&s, "[line 64]\n[line -1]\n[line\n[]\n[line 1] x\n=\n a b = 1\n", NULL, NULL,
		       NULL),
		  -EINVAL);
}

static void test_snapshot_is_counted(void)
{
	struct settings *s, *again;

	CHECK_INT(load(&s, NULL, "BOT_TOKEN=t\nVOICE_CHANNEL_ID=1\n", NULL, NULL), 0);
	again = settings_ref(s);
	settings_unref(s);
	CHECK_STR(settings_str(again, "BOT_TOKEN", 0), "t");
	settings_unref(again);
	settings_unref(NULL);
}

static void test_command_line(void)
{
	const char *wrong[] = {"test", "--frobnicate", NULL};
	const char *no_file[] = {"test", "--config", NULL};
	const char *missing[] = {"test", "--config=/nonexistent/conf", NULL};
	const char *good[] = {"test", "--config", NULL, NULL};
	struct settings *s;
	int status = -1, saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);

	dup2(null, STDERR_FILENO);
	CHECK(!settings_main(&s, &program, 2, (char **)wrong, &status));
	CHECK_INT(status, 64);
	CHECK(!settings_main(&s, &program, 2, (char **)no_file, &status));
	CHECK_INT(status, 64);
	CHECK(!settings_main(&s, &program, 2, (char **)missing, &status));
	CHECK_INT(status, 78);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
	CHECK_INT(chdir(dir), 0);
	good[2] =
		put("conf", "BOT_TOKEN=t\nVOICE_CHANNEL_ID=1\nLOOPLINE_RUNTIME_DIR=/tmp/x\n", 0600);
	CHECK(settings_main(&s, &program, 3, (char **)good, &status));
	CHECK_STR(getenv("LOOPLINE_RUNTIME_DIR"), "/tmp/x");
	settings_unref(s);
	put("conf", "BOT_TOKEN=u\nVOICE_CHANNEL_ID=1\n", 0600);
	CHECK_INT(settings_reload(&s, &program), 0);
	CHECK_STR(settings_str(s, "BOT_TOKEN", 0), "u");
	settings_unref(s);
	unsetenv("LOOPLINE_RUNTIME_DIR");
}

int main(void)
{
	char command[128];

	unsetenv("LOG");
	if (!mkdtemp(dir))
		return 1;
	UNIT(test_env_file_of_the_proof_of_concept);
	UNIT(test_order_of_sources);
	UNIT(test_lines);
	UNIT(test_every_error_is_one_line_with_place_and_expectation);
	UNIT(test_required_under_a_condition);
	UNIT(test_checks_over_several_keys);
	UNIT(test_unknown_keys_by_source);
	UNIT(test_env_syntax);
	UNIT(test_secret_readable_by_others);
	UNIT(test_a_wrong_secret_is_not_shown);
	UNIT(test_hostile_files);
	UNIT(test_snapshot_is_counted);
	UNIT(test_command_line);
	if (chdir("/") == 0) {
		snprintf(command, sizeof(command), "rm -rf %s", dir);
		if (system(command))
			return 1;
	}
	return unit_done();
}
