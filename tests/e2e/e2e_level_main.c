/* SPDX-License-Identifier: MIT
 *
 * e2e_level - SPEECH_LEVEL: a caller who is much too quiet and a speaker who is much too loud are
 * heard alike; without it each as loud as he is.
 */
#include "tests/e2e/call.h"
#include "tests/e2e/e2e.h"

#define QUIET_DB (-18.0) /* of a voice whose peak is -6 dBFS */
#define SECONDS  22
#define LEARNT_S 12 /* what comes after is judged */

static struct world_options options;

static void make_voice(const char *name, double db, unsigned seed)
{
	static float x[SECONDS * 8000];

	signal_voice(x, SECONDS * 8000, 8000, seed);
	for (int i = 0; i < SECONDS * 8000; i++)
		x[i] *= (float)pow(10, db / 20);
	CHECK(wav_write(world_file(&W, name), 8000, x, SECONDS * 8000) == 0);
}

/* What is heard against what was said, over the time that is judged, in dB. */
static double heard_louder_by(const struct track *said, const struct track *heard, double from_ns)
{
	float *a, *b;
	double seconds = SECONDS - LEARNT_S - 1, db;
	/* the little that it is heard later does not matter over so long */
	size_t an = track_cut(&a, said, from_ns, seconds, 8000);
	size_t bn = track_cut(&b, heard, from_ns + 50e6, seconds, 8000);

	db = signal_rms_dbfs(b, bn) - signal_rms_dbfs(a, an);
	free(a);
	free(b);
	return db;
}

static void both_speak(double *caller_db, double *member_db)
{
	struct track said, heard;
	char path[600];

	world_start(&W, &options);
	member_in(&W, "ann", LOUNGE);
	make_voice("quiet.wav", QUIET_DB, 3);
	make_voice("loud.wav", 0, 4);
	call_up(&W, 0, "a", "null", true, "");
	member_record(&W, "ann", "ann");
	double from_ns = (double)harness_now_ns() + LEARNT_S * 1e9;
	simulator_ask(W.phone, "voice", "\"call\":\"a\",\"voice\":{\"wav\":\"%s\"}", world_file(&W, "quiet.wav"));
	simulator_ask(W.discord, "speak",
		      "\"member\":\"ann\",\"voice\":{\"wav\":\"%s\"},\"reference\":\"%s/rec/said\"",
		      world_file(&W, "loud.wav"), W.dir);
	harness_sleep_ms(SECONDS * 1000);
	simulator_wait(W.discord, 5000, "member.quiet", "member", "ann", NULL);
	call_down(&W, "a");
	snprintf(path, sizeof(path), "%s/rec/a.0", W.dir);
	track_load(&said, path, "said");
	member_recorded(&W, "ann", "ann", &heard);
	*caller_db = heard_louder_by(&said, &heard, from_ns);
	track_free(&said);
	track_free(&heard);
	track_load(&heard, path, "heard");
	snprintf(path, sizeof(path), "%s/rec/said", W.dir);
	track_load(&said, path, "packets");
	*member_db = heard_louder_by(&said, &heard, from_ns);
	track_free(&said);
	track_free(&heard);
	printf("# the caller is heard %+.1f dB, the member %+.1f dB\n", *caller_db, *member_db);
	world_check(&W, NULL);
	world_stop(&W, false);
}

static void test_off(void)
{
	double caller_db, member_db;

	options = (struct world_options){.settings = "CONNECT=call\nWAITING=silence\n"};
	both_speak(&caller_db, &member_db);
	CHECK_NEAR(caller_db, 0, 0.5);
	CHECK_NEAR(member_db, 0, 0.5);
}

static void test_on(void)
{
	double caller_db, member_db;

	options = (struct world_options){.settings = "CONNECT=call\nWAITING=silence\nSPEECH_LEVEL=-26\n"};
	both_speak(&caller_db, &member_db);
	CHECK(caller_db > 5 && caller_db <= 12.5);
	CHECK(member_db < -3 && member_db >= -12.5);
	/* they were 18 dB apart */
	CHECK_NEAR(QUIET_DB + caller_db, member_db, 3);
}

int main(void)
{
	e2e_begin();
	UNIT(test_off);
	UNIT(test_on);
	return e2e_done();
}
