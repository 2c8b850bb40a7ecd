/* SPDX-License-Identifier: MIT
 *
 * test_media_ring.c - the ring against a model that remembers every frame of the axis by itself.
 */
#include "alsa/media_ring.h"

#include "test_random.h"
#include "unit.h"

#define SIZE     64 /* of the ring: small, so that it wraps all the time */
#define CHANNELS 2
#define AXIS     60000
#define MOST     (SIZE + 40) /* of frames at once: more than the ring holds */

static uint8_t kinds[AXIS];
static float samples[CHANNELS][AXIS];
static int64_t begins; /* where the model's window begins */

static uint32_t seed = 1;

static unsigned below(unsigned n)
{
	return test_random_below(&seed, n);
}

static uint8_t model_kind(int64_t media)
{
	return media >= begins && media < begins + SIZE ? kinds[media] : MEDIA_MISSING;
}

static unsigned model_put(int64_t media, const float *x, unsigned frames, int64_t from, uint8_t kind)
{
	unsigned stored = 0;

	for (unsigned i = 0; i < frames; i++) {
		int64_t at = media + i;
		if (at < from || at < begins || at >= begins + SIZE)
			continue;
		if (kinds[at] != MEDIA_MISSING && !(kind == MEDIA_REAL && kinds[at] == MEDIA_MADE))
			continue;
		kinds[at] = kind;
		for (int c = 0; c < CHANNELS; c++)
			samples[c][at] = x[c * frames + i];
		stored++;
	}
	return stored;
}

static unsigned model_run(int64_t media, unsigned most, uint8_t *kind)
{
	unsigned n = 1;

	*kind = model_kind(media);
	/* a run within the window ends with it; one from before it ends where it begins */
	while (n < most && model_kind(media + n) == *kind && media + n != begins &&
	       !(media >= begins && media < begins + SIZE && media + n == begins + SIZE))
		n++;
	return n;
}

static bool model_all(int64_t media, unsigned frames, bool real)
{
	for (unsigned i = 0; i < frames; i++) {
		uint8_t kind = model_kind(media + i);
		if (kind == MEDIA_MISSING || (real && kind != MEDIA_REAL))
			return false;
	}
	return true;
}

static void compare(const struct media_ring *m)
{
	int64_t media = begins - 20 + below(SIZE + 40);
	unsigned frames = 1 + below(MOST);
	uint8_t kind, want_kind;
	float x[SIZE];

	unsigned run = media_ring_run(m, media, frames, &kind);
	CHECK_INT(run, model_run(media, frames, &want_kind));
	CHECK_INT(kind, want_kind);
	CHECK_INT(media_ring_has(m, media, frames), model_all(media, frames, false));
	CHECK_INT(media_ring_has_real(m, media, frames), model_all(media, frames, true));
	if (kind == MEDIA_MISSING)
		return;
	for (unsigned c = 0; c < CHANNELS; c++) {
		media_ring_get(m, c, media, x, run);
		CHECK_MEM(x, &samples[c][media], run * sizeof *x);
	}
}

/* Pieces as they come: most of them whole and in order, some early, late, twice, made up or long. */
static void test_random_operations_against_a_model(void)
{
	struct media_ring *m;
	float x[CHANNELS * MOST];
	float value = 0;
	unsigned slides = 0, partly = 0, replaced = 0;

	CHECK_INT(media_ring_create(&m, SIZE, CHANNELS), 0);
	begins = MOST;
	media_ring_reset(m, begins);
	while (begins < AXIS - 4 * MOST) {
		unsigned frames = below(8) ? 1 + below(24) : 1 + below(MOST);
		int64_t media = begins - 20 + below(SIZE + 20), from = begins - 10 + below(30);
		uint8_t kind = below(3) ? MEDIA_REAL : MEDIA_MADE;

		if (!below(4)) {
			int64_t to = begins - 5 + below(below(10) ? 20 : 2 * SIZE);
			media_ring_slide(m, to);
			begins = to > begins ? to : begins;
			slides++;
		}
		for (unsigned i = 0; i < CHANNELS * frames; i++)
			x[i] = value += 1;
		for (unsigned i = 0; i < frames; i++)
			replaced += kind == MEDIA_REAL && media + i >= from && model_kind(media + i) == MEDIA_MADE;
		unsigned stored = media_ring_put(m, media, x, frames, from, kind);
		CHECK_INT(stored, model_put(media, x, frames, from, kind));
		partly += stored > 0 && stored < frames;
		CHECK_INT(media_ring_begin(m), begins);
		CHECK_INT(media_ring_end(m), begins + SIZE);
		for (int i = 0; i < 3; i++)
			compare(m);
	}
	media_ring_destroy(m);
	/* or it has compared nothing that matters */
	CHECK(slides > 1000 && partly > 1000 && replaced > 1000);
}

static void test_run_of_every_length_at_every_place(void)
{
	static const uint8_t inner[] = {MEDIA_REAL, MEDIA_MADE};
	float x[SIZE] = {0};
	struct media_ring *m;
	uint8_t kind;

	CHECK_INT(media_ring_create(&m, SIZE, 1), 0);
	for (int64_t at = 1000; at < 1000 + SIZE; at++) {
		for (unsigned n = 1; n < SIZE; n++) {
			for (int k = 0; k < 2; k++) {
				media_ring_reset(m, at);
				CHECK_INT(media_ring_put(m, at, x, n, at, inner[k]), n);
				CHECK_INT(media_ring_run(m, at, SIZE, &kind), n);
				CHECK_INT(kind, inner[k]);
				CHECK_INT(media_ring_run(m, at, n, &kind), n);
				CHECK_INT(media_ring_run(m, at + n, SIZE, &kind), SIZE - n);
				CHECK_INT(kind, MEDIA_MISSING);
			}
		}
	}
	media_ring_destroy(m);
}

int main(void)
{
	UNIT(test_random_operations_against_a_model);
	UNIT(test_run_of_every_length_at_every_place);
	return unit_done();
}
