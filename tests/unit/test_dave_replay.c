/* SPDX-License-Identifier: MIT
 *
 * test_dave_replay.c - the replay window against libdave's script and a slow model.
 */
#include "discord/dave/replay.h"

#include "tests/unit/dave_vectors.h"
#include "tests/unit/test_random.h"

static void test_libdave_script(void)
{
	cJSON *v = vectors_load("dave-replay-window.json");
	const cJSON *step;
	struct dave_replay w;
	int n = 0;

	dave_replay_init(&w);
	cJSON_ArrayForEach(step, member(v, "replay_sequence_generation_0"))
	{
		const char *what = cJSON_GetArrayItem(step, 0)->valuestring;
		uint64_t nonce = (uint64_t)cJSON_GetArrayItem(step, 1)->valuedouble;

		if (strcmp(what, "report") == 0) {
			dave_replay_report(&w, nonce);
		} else {
			bool want = cJSON_IsTrue(cJSON_GetArrayItem(step, 2));

			if (dave_replay_acceptable(&w, nonce) != want)
				UNIT_FAIL("step %d: nonce %llu", n, (unsigned long long)nonce);
		}
		n++;
	}
	CHECK_INT(n, cJSON_GetArraySize(member(v, "replay_sequence_generation_0")));
	CHECK(n > 30);
	CHECK_INT(DAVE_REPLAY_NONCES, number(member(v, "constants"), "max_missing_nonces"));
	cJSON_Delete(v);
}

/* The first frame to arrive need not be the first one sent. */
static void test_overtaken_first_frames(void)
{
	struct dave_replay w;

	dave_replay_init(&w);
	dave_replay_report(&w, 3);
	CHECK(dave_replay_acceptable(&w, 1));
	CHECK(dave_replay_acceptable(&w, 2));
	CHECK(!dave_replay_acceptable(&w, 3));
	dave_replay_report(&w, 1);
	CHECK(!dave_replay_acceptable(&w, 1));
}

static void test_far_jump_forgets_all(void)
{
	struct dave_replay w;

	dave_replay_init(&w);
	for (uint64_t n = 0; n < 2000; n++)
		dave_replay_report(&w, n);
	dave_replay_report(&w, 1000000);
	CHECK(!dave_replay_acceptable(&w, 1999));
	CHECK(!dave_replay_acceptable(&w, 1000000 - 1001));
	for (uint64_t n = 1000000 - 1000; n < 1000000; n++)
		CHECK(dave_replay_acceptable(&w, n));
}

static void test_reports_of_refused_nonces_change_nothing(void)
{
	struct dave_replay w, before;

	dave_replay_init(&w);
	dave_replay_report(&w, 5000);
	before = w;
	dave_replay_report(&w, 3999);
	CHECK_MEM(&w, &before, sizeof(w));
}

/* Every answer as of a plain list of what was used, over windows moving in every stride. */
static void test_against_a_model(void)
{
	static uint8_t used[1 << 20];
	struct dave_replay w;
	uint64_t newest = 0;
	uint32_t seed = 12345;
	bool any = false;

	dave_replay_init(&w);
	memset(used, 0, sizeof(used));
	for (int i = 0; i < 200000; i++) {
		uint64_t n, back;
		bool want;

		back = test_random(&seed);
		switch (test_random_below(&seed, 8)) {
		case 0:
			n = newest + back % 1100;
			break;
		case 1:
		case 2:
			n = newest + 1 + back % 3;
			break;
		default:
			n = newest > back % 1100 ? newest - back % 1100 : 0;
			break;
		}
		if (n >= sizeof(used))
			break;
		want = !any || n > newest || (newest - n <= 1000 && !used[n]);
		CHECK(dave_replay_acceptable(&w, n) == want);
		if (want) {
			dave_replay_report(&w, n);
			used[n] = 1;
			newest = !any || n > newest ? n : newest;
			any = true;
		}
	}
	CHECK(newest > 100000);
}

int main(void)
{
	UNIT(test_libdave_script);
	UNIT(test_overtaken_first_frames);
	UNIT(test_far_jump_forgets_all);
	UNIT(test_reports_of_refused_nonces_change_nothing);
	UNIT(test_against_a_model);
	return unit_done();
}
