/* SPDX-License-Identifier: MIT
 *
 * pcm_cable_conf.h - from the definition of a PCM of `type cable` to open cables. Private to
 * alsa/cable/.
 */
#ifndef ALSA_CABLE_PCM_CABLE_CONF_H
#define ALSA_CABLE_PCM_CABLE_CONF_H

#include "alsa/cable/cable_join.h"

#include <alsa/asoundlib.h>

/* Opens what conf defines (cable.conf documents the fields), for writing if stream is playback.
 * Mistakes and refusals are said by alsa-lib's error handler, in one line; returns a negative
 * errno then, and nothing stays open. */
int cable_pcm_open(struct cable_join *out, snd_config_t *conf, snd_pcm_stream_t stream);

#endif
