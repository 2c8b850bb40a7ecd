/* SPDX-License-Identifier: MIT
 *
 * bridge_settings.c - see bridge_settings.h.
 */
#include "bridge/bridge_settings.h"

#include "bridge/waiting.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "alsa/speech_level.h"
#include "bridge/call.h"

static const char *const connect_choices[] = {"command", "call", NULL};
static const char *const public_schemes[] = {"https", "http", NULL};

static bool account_sid_good(const char *value)
{
	return strlen(value) == 34 && strncmp(value, "AC", 2) == 0 &&
	       strspn(value + 2, "0123456789abcdefABCDEF") == 32;
}

/* "+15551234567"; also what SIP trunks and tests call themselves. */
static bool number_good(const char *value)
{
	size_t len = strlen(value);

	if (len == 0 || len >= CALL_NUMBER_BYTES)
		return false;
	for (; *value; value++)
		if (!isgraph((unsigned char)*value))
			return false;
	return true;
}

static bool waiting_good(const char *value)
{
	return strcmp(value, "echo") == 0 || strcmp(value, "ring") == 0 ||
	       strcmp(value, "silence") == 0 || strchr(value, '/') ||
	       (strlen(value) > 4 && strcasecmp(value + strlen(value) - 4, ".wav") == 0);
}

static bool with_validation(const struct settings *settings, int line)
{
	(void)line;
	return bridge_validates(settings);
}

#define UNLESS_OFF "unless TWILIO_VALIDATE=off"

static const struct setting_key keys[] = {
	{.name = "TWILIO_ACCOUNT_SID", .type = SETTING_STRING, .check = account_sid_good,
	 .expected = "AC and 32 hexadecimal digits", .required = with_validation,
	 .required_why = UNLESS_OFF, .help = "Twilio account"},
	{.name = "TWILIO_AUTH_TOKEN", .type = SETTING_SECRET, .required = with_validation,
	 .required_why = UNLESS_OFF, .help = "its auth token: REST, and the key of every signature"},
	{.name = "TWILIO_VALIDATE", .type = SETTING_BOOL, .fallback = "on",
	 .help = "off: accept unsigned requests (tests behind a firewall)"},
	{.name = "PUBLIC_URL", .type = SETTING_URL, .schemes = public_schemes,
	 .required = with_validation, .required_why = UNLESS_OFF,
	 .help = "https://host[:port][/prefix] as Twilio sees us"},
	{.name = "LISTEN", .type = SETTING_HOST_PORT, .fallback = "127.0.0.1:8080",
	 .help = "where webhook and streams are served"},
	{.name = "TLS_CERT", .type = SETTING_PATH, .flags = SETTING_READABLE,
	 .help = "certificate chain (PEM), to serve TLS without a proxy"},
	{.name = "TLS_KEY", .type = SETTING_PATH, .flags = SETTING_READABLE,
	 .help = "its private key (PEM)"},
	{.name = "STATIC_TWIML", .type = SETTING_BOOL, .fallback = "off",
	 .help = "on: accept streams at plain /phone, checked by REST"},
	{.name = "PHONE_PCM", .type = SETTING_STRING, .flags = SETTING_PER_LINE,
	 .fallback = "phone:{line}", .help = "ALSA name: what the callers say"},
	{.name = "DISCORD_PCM", .type = SETTING_STRING, .flags = SETTING_PER_LINE,
	 .fallback = "discord:{line}", .help = "ALSA name: what the channel says"},
	{.name = "NUMBER", .type = SETTING_STRING, .flags = SETTING_PER_LINE | SETTING_LIST,
	 .check = number_good, .expected = "a phone number such as +15551234567",
	 .help = "numbers that the line serves; line 0 takes the rest"},
	{.name = "CONNECT", .type = SETTING_ENUM, .flags = SETTING_PER_LINE | SETTING_INHERIT,
	 .fallback = "command", .choices = connect_choices,
	 .help = "command: wait for $connect; call: join when a call comes in"},
	{.name = "WAITING", .type = SETTING_STRING, .flags = SETTING_PER_LINE | SETTING_INHERIT,
	 .fallback = "ring", .check = waiting_good,
	 .expected = "echo, ring, silence or the path of a WAV file",
	 .help = "what a caller hears until Discord is connected"},
	{.name = "WAITING_MAX", .type = SETTING_INT,
	 .flags = SETTING_PER_LINE | SETTING_INHERIT | SETTING_OR_OFF, .fallback = "120", .min = 5,
	 .max = 86400, .help = "seconds of waiting before the call is ended, or off"},
	{.name = "MAX_CALLS", .type = SETTING_INT, .fallback = "16", .min = 1, .max = CALL_MAX,
	 .help = "calls at once"},
	{.name = "MAX_CALL_MINUTES", .type = SETTING_INT, .flags = SETTING_OR_OFF, .fallback = "off",
	 .min = 1, .max = 1440, .help = "longest call, or off"},
	SPEECH_LEVEL_SETTING,
	{.name = "TWILIO_CUSHION_MS", .type = SETTING_INT, .fallback = "0", .min = 0, .max = 200,
	 .help = "sound sent ahead of real time; it is delay for the whole call"},
	{.name = "TWILIO_API_URL", .type = SETTING_URL,
	 .fallback = "https://api.twilio.com/2010-04-01", .help = "base URL of the REST API"},
};

static const char *const foreign[] = {
	"BOT_TOKEN",    "VOICE_CHANNEL_ID", "TEXT_CHANNEL_ID", "SHOW_NUMBERS",     "CONNECT_ROLE",
	"IGNORE_BOTS",  "OPUS_FEC",         "DISCORD_API_URL", "PROXY_SERVER_URL", NULL,
};

/* A file that cannot be used is told with the settings, not when the first caller waits. */
static void check_waiting(const struct settings *settings, struct settings_report *report)
{
	for (int n = 0; n >= 0; n = settings_next_line(settings, n)) {
		const char *text = settings_str(settings, "WAITING", n);
		char why[WAITING_WHY_BYTES] = "";
		struct waiting *waiting = NULL;
		bool seen = false;
		int err;

		for (int k = 0; k >= 0 && k < n; k = settings_next_line(settings, k))
			seen |= strcmp(settings_str(settings, "WAITING", k), text) == 0;
		err = seen ? 0 : waiting_create(&waiting, text, why);
		if (err)
			settings_error(report, settings, "WAITING", n,
				       "expected echo, ring, silence or a WAV file that can be used: %s",
				       why[0] ? why : strerror(-err));
		waiting_unref(waiting);
	}
}

static void check(const struct settings *settings, struct settings_report *report)
{
	bool cert = settings_is_set(settings, "TLS_CERT", 0);

	if (cert != settings_is_set(settings, "TLS_KEY", 0))
		settings_error(report, settings, cert ? "TLS_CERT" : "TLS_KEY", 0,
			       "expected %s beside it", cert ? "TLS_KEY" : "TLS_CERT");

	check_waiting(settings, report);

	const struct url *url = settings_url(settings, "PUBLIC_URL", 0);

	if (url && url->query[0])
		settings_error(report, settings, "PUBLIC_URL", 0,
			       "expected no query: Twilio does not pass it on to streams");

	for (int a = 0; a >= 0; a = settings_next_line(settings, a)) {
		for (int b = settings_next_line(settings, a); b >= 0;
		     b = settings_next_line(settings, b)) {
			static const char *const pcm[] = {"PHONE_PCM", "DISCORD_PCM"};

			for (int i = 0; i < 2; i++)
				if (strcmp(settings_str(settings, pcm[i], a),
					   settings_str(settings, pcm[i], b)) == 0)
					settings_error(report, settings, pcm[i], b,
						       "line %d has the same PCM", a);
			for (size_t i = 0; i < settings_list_count(settings, "NUMBER", b); i++)
				for (size_t k = 0; k < settings_list_count(settings, "NUMBER", a); k++)
					if (strcmp(settings_list_item(settings, "NUMBER", a, k),
						   settings_list_item(settings, "NUMBER", b, i)) == 0)
						settings_error(report, settings, "NUMBER", b,
							       "line %d has the same number", a);
		}
	}
}

const struct settings_program bridge_settings_program = {
	.name = "loopline-bridge",
	.summary = "Twilio phone calls on one side, ALSA loopback PCMs on the other.",
	.keys = keys,
	.key_count = sizeof(keys) / sizeof(keys[0]),
	.foreign = foreign,
	.check = check,
};

static void url_text(char out[BRIDGE_URL_BYTES], const char *scheme, const char *host, bool ipv6,
		     uint16_t port, const char *path)
{
	int n = snprintf(out, BRIDGE_URL_BYTES, "%s://%s%s%s", scheme, ipv6 ? "[" : "", host,
			 ipv6 ? "]" : "");

	if (port)
		n += snprintf(out + n, BRIDGE_URL_BYTES - (size_t)n, ":%u", port);
	snprintf(out + n, BRIDGE_URL_BYTES - (size_t)n, "%s", path);
}

static void public_url(const struct settings *settings, const char *plain, const char *secure,
		       char out[BRIDGE_URL_BYTES])
{
	const struct url *url = settings_url(settings, "PUBLIC_URL", 0);

	if (url) {
		url_text(out, url->tls ? secure : plain, url->host, url->ipv6,
			 url->port_given ? url->port : 0, url->path);
		return;
	}

	const struct host_port *listen = settings_host_port(settings, "LISTEN", 0);
	bool any = strcmp(listen->host, "0.0.0.0") == 0 || strcmp(listen->host, "::") == 0 ||
		   listen->host[0] == '\0';

	url_text(out, settings_is_set(settings, "TLS_CERT", 0) ? secure : plain,
		 any ? "127.0.0.1" : listen->host, !any && listen->ipv6, listen->port, "");
}

void bridge_public_url(const struct settings *settings, char out[BRIDGE_URL_BYTES])
{
	public_url(settings, "http", "https", out);
}

void bridge_stream_url(const struct settings *settings, char out[BRIDGE_URL_BYTES])
{
	public_url(settings, "ws", "wss", out);
}

const char *bridge_public_prefix(const struct settings *settings)
{
	const struct url *url = settings_url(settings, "PUBLIC_URL", 0);

	return url ? url->path : "";
}

int bridge_line_for(const struct settings *settings, const char *to)
{
	for (int n = 0; n >= 0; n = settings_next_line(settings, n))
		for (size_t i = 0; i < settings_list_count(settings, "NUMBER", n); i++)
			if (strcmp(settings_list_item(settings, "NUMBER", n, i), to) == 0)
				return n;
	return 0;
}

bool bridge_validates(const struct settings *settings)
{
	return settings_bool(settings, "TWILIO_VALIDATE", 0);
}

bool bridge_has_account(const struct settings *settings)
{
	return settings_is_set(settings, "TWILIO_ACCOUNT_SID", 0) &&
	       settings_is_set(settings, "TWILIO_AUTH_TOKEN", 0);
}
