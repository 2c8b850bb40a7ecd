/* SPDX-License-Identifier: MIT
 *
 * keys.h - the settings of loopline-discord by name, and their table.
 */
#ifndef DISCORD_KEYS_H
#define DISCORD_KEYS_H

#include "alsa/speech_level.h"
#include "common/settings.h"

#define KEY_BOT_TOKEN        "BOT_TOKEN"
#define KEY_VOICE_CHANNEL_ID "VOICE_CHANNEL_ID"
#define KEY_TEXT_CHANNEL_ID  "TEXT_CHANNEL_ID"
#define KEY_PHONE_PCM        "PHONE_PCM"
#define KEY_DISCORD_PCM      "DISCORD_PCM"
#define KEY_CONNECT          "CONNECT"
#define KEY_SHOW_NUMBERS     "SHOW_NUMBERS"
#define KEY_CONNECT_ROLE     "CONNECT_ROLE"
#define KEY_IGNORE_BOTS      "IGNORE_BOTS"
#define KEY_OPUS_FEC         "OPUS_FEC"
#define KEY_DISCORD_API_URL  "DISCORD_API_URL"
#define KEY_PROXY_SERVER_URL "PROXY_SERVER_URL"

enum connect_mode { CONNECT_ON_COMMAND, CONNECT_ON_CALL }; /* order of CONNECT's choices */

extern const struct settings_program discord_settings;

#endif
