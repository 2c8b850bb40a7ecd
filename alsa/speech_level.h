/* SPDX-License-Identifier: MIT
 *
 * speech_level.h - the setting of alsa/leveller.h, which both programs have.
 */
#ifndef ALSA_SPEECH_LEVEL_H
#define ALSA_SPEECH_LEVEL_H

#include "alsa/leveller.h"
#include "common/settings.h"

#define KEY_SPEECH_LEVEL "SPEECH_LEVEL"

/* An entry of a settings schema. settings_int() gives dBov, or 0 for off. */
#define SPEECH_LEVEL_SETTING                                              \
	{                                                                 \
		.name = KEY_SPEECH_LEVEL, .type = SETTING_INT,            \
		.flags = SETTING_PER_LINE | SETTING_INHERIT | SETTING_OR_OFF, \
		.fallback = "off", .min = LEVELLER_TARGET_MIN,            \
		.max = LEVELLER_TARGET_MAX,                               \
		.help = "active speech level in dBov that voices are brought to, or off", \
	}

#endif
