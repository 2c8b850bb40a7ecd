/* SPDX-License-Identifier: MIT
 *
 * test_resampler_plain.c - test_resampler.c once more, with the filter of a machine that lacks AVX2.
 */
#define __builtin_cpu_supports(feature) 0
#define kinds resampler_kinds
#include "alsa/resampler.c"
#undef kinds
#include "test_resampler.c"
