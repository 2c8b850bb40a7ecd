/* SPDX-License-Identifier: MIT
 *
 * keys.c - the settings table of loopline-discord; see keys.h and common/settings.h.
 */
#include "discord/keys.h"

#include <ctype.h>
#include <string.h>

static const char *const connect_choices[] = {"command", "call", NULL};
static const char *const number_choices[] = {"last4", "full", "none", NULL};
static const char *const api_schemes[] = {"https", "http", NULL};

/* A token goes into an HTTP header: no blanks. Its shape is Discord's affair. */
static bool token_check(const char *value)
{
	if (!strncmp(value, "Bot ", 4))
		return false;
	for (; *value; value++)
		if (!isgraph((unsigned char)*value))
			return false;
	return true;
}

static const struct setting_key keys[] = {
	{.name = KEY_BOT_TOKEN,
	 .type = SETTING_SECRET,
	 .flags = SETTING_REQUIRED,
	 .check = token_check,
	 .expected = "the bot's token alone, without blanks and without \"Bot \"",
	 .help = "Discord bot token"},
	{.name = KEY_VOICE_CHANNEL_ID,
	 .type = SETTING_SNOWFLAKE,
	 .flags = SETTING_PER_LINE | SETTING_REQUIRED,
	 .help = "voice channel that the line's sound goes to"},
	{.name = KEY_TEXT_CHANNEL_ID,
	 .type = SETTING_SNOWFLAKE,
	 .flags = SETTING_PER_LINE,
	 .help = "text channel where calls are announced"},
	{.name = KEY_PHONE_PCM,
	 .type = SETTING_STRING,
	 .flags = SETTING_PER_LINE,
	 .fallback = "phone:{line}",
	 .help = "ALSA name of what the callers say"},
	{.name = KEY_DISCORD_PCM,
	 .type = SETTING_STRING,
	 .flags = SETTING_PER_LINE,
	 .fallback = "discord:{line}",
	 .help = "ALSA name of what the channel says"},
	{.name = KEY_CONNECT,
	 .type = SETTING_ENUM,
	 .fallback = "command",
	 .choices = connect_choices,
	 .help = "join by command, or when a call comes in"},
	{.name = KEY_SHOW_NUMBERS,
	 .type = SETTING_ENUM,
	 .fallback = "last4",
	 .choices = number_choices,
	 .help = "how callers' numbers are shown in Discord"},
	{.name = KEY_CONNECT_ROLE,
	 .type = SETTING_SNOWFLAKE,
	 .flags = SETTING_PER_LINE,
	 .help = "role that commands are reserved for"},
	{.name = KEY_IGNORE_BOTS,
	 .type = SETTING_BOOL,
	 .fallback = "off",
	 .help = "do not let callers hear other bots"},
	{.name = KEY_OPUS_FEC,
	 .type = SETTING_BOOL,
	 .fallback = "off",
	 .help = "send redundancy to Discord, for lossy links"},
	SPEECH_LEVEL_SETTING,
	{.name = KEY_DISCORD_API_URL,
	 .type = SETTING_URL,
	 .fallback = "https://discord.com/api/v10",
	 .schemes = api_schemes,
	 .help = "Discord's REST API, version included"},
	{.name = KEY_PROXY_SERVER_URL,
	 .type = SETTING_STRING,
	 .help = "accepted and not needed: the processes meet on this machine"},
};

/* The bridge's; they may stand in the same files. */
static const char *const foreign[] = {
	"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_VALIDATE",   "TWILIO_API_URL",
	"PUBLIC_URL",         "LISTEN",            "TLS_CERT",          "TLS_KEY",
	"STATIC_TWIML",       "NUMBER",            "WAITING",           "WAITING_MAX",
	"MAX_CALLS",          "MAX_CALL_MINUTES",  "TWILIO_CUSHION_MS", NULL,
};

static void check(const struct settings *s, struct settings_report *report)
{
	for (int a = 0; a >= 0; a = settings_next_line(s, a))
		for (int b = settings_next_line(s, a); b >= 0; b = settings_next_line(s, b)) {
			uint64_t id = settings_snowflake(s, KEY_VOICE_CHANNEL_ID, b);
			if (id && id == settings_snowflake(s, KEY_VOICE_CHANNEL_ID, a))
				settings_error(report, s, KEY_VOICE_CHANNEL_ID, b,
					       "line %d has this voice channel already", a);
		}
}

const struct settings_program discord_settings = {
	.name = "loopline-discord",
	.summary = "Carries sound between the ALSA loopback and a Discord voice channel.",
	.keys = keys,
	.key_count = sizeof(keys) / sizeof(keys[0]),
	.foreign = foreign,
	.check = check,
};
