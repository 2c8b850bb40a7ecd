/* SPDX-License-Identifier: MIT
 *
 * resampler.h - sample rate conversion for the live path: 8 -> 48, 48 -> 8 and 48 -> 48 kHz, mono.
 *
 * A polyphase windowed-sinc filter (Kaiser, 32 taps at the lower of the two rates) whose ratio can
 * be bent by a few thousand ppm while it runs: positions are counted in 32.32 fixed point filter
 * phases, coefficients are interpolated between phases, and a change of ratio is ramped over the
 * next block, so it never clicks. At the exact nominal ratio every output falls onto a phase.
 *
 *	300-3400 Hz within +-0.1 dB; images and aliases <= -80 dB; residual of a tone <= -85 dB while
 *	the ratio moves; delay 2 ms (8 <-> 48) or 0.33 ms (48 -> 48).
 *
 * An object belongs to one thread. Nothing allocates after create, nothing can fail while running.
 */
#ifndef ALSA_RESAMPLER_H
#define ALSA_RESAMPLER_H

struct resampler;

/* Most input frames one call may be handed, and most output frames one call may ask for. */
#define RESAMPLER_MAX_FRAMES 5760

/* Largest bend of the ratio, in ppm; set_ppm clamps to it. */
#define RESAMPLER_MAX_PPM 5000

/*
 * Makes a resampler from in_rate to out_rate (Hz): 8000 -> 48000, 48000 -> 8000, 48000 -> 48000.
 * max_frames bounds what one call is handed or asks for (1 .. RESAMPLER_MAX_FRAMES) and fixes the
 * memory. Coefficient tables are shared by all resamplers of the process and made once.
 * -EINVAL for other rates or bounds, -ENOMEM.
 */
int resampler_create(struct resampler **out, unsigned in_rate, unsigned out_rate,
		     unsigned max_frames);
void resampler_destroy(struct resampler *r);

/* Makes the tables now, which takes twenty million instructions: for who creates resamplers on a
 * thread that must not be kept that long. */
void resampler_prepare(void);

/* Forgets all sound (silence is behind us), keeps the ratio. */
void resampler_reset(struct resampler *r);

/*
 * From the next block on, ppm parts per million more input frames are consumed per output frame
 * (ramped over that block). Positive: the input's clock is fast, or we want to catch up. To feed a
 * listener whose clock is fast by x ppm (he needs more output), set -x. 0 returns to the nominal
 * ratio. Clamped to +-RESAMPLER_MAX_PPM.
 */
void resampler_set_ppm(struct resampler *r, double ppm);

/* Delay of the filter in ns (position of the newest input frame relative to the next output). */
unsigned resampler_delay_ns(const struct resampler *r);

/*
 * Input frames (with fraction) that lie fed but unread before the next output, beyond the filter's
 * own window: what a caller who counts what he fed must subtract to know where reading stands.
 */
double resampler_ahead(const struct resampler *r);

/*
 * Push: takes all in_frames (<= max_frames) and writes as many output frames as they make.
 * Returns how many. out must have room for resampler_output_bound(r, in_frames).
 */
unsigned resampler_push(struct resampler *r, const float *in, unsigned in_frames, float *out);
unsigned resampler_output_bound(const struct resampler *r, unsigned in_frames);

/*
 * Pull: resampler_needs() tells how many input frames (0 or more) the next out_frames output
 * frames take, exactly; resampler_pull() must then be handed exactly that many and writes exactly
 * out_frames (<= max_frames). Push and pull may be mixed.
 */
unsigned resampler_needs(const struct resampler *r, unsigned out_frames);
void resampler_pull(struct resampler *r, const float *in, float *out, unsigned out_frames);

#endif
