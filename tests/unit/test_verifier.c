/* SPDX-License-Identifier: MIT
 *
 * test_verifier.c - verification codes worked out beside a session that goes on.
 */
#include "discord/verifier.h"

#include <time.h>

#include "tests/unit/dave_world.h"

static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static size_t codes(const struct dave_session *s)
{
	uint64_t user;
	size_t n = 0;

	while (dave_session_code(s, n, &user))
		n++;
	return n;
}

/* Until there are so many; other threads may take their time. */
static void until(struct verifier *v, struct dave_session *s, size_t n)
{
	for (int i = 0; i < 10000 && codes(s) != n; i++) {
		verifier_tick(v, s);
		rest();
	}
	CHECK_INT(codes(s), n);
}

static void test_all_members_one_after_the_other(void)
{
	struct world w;
	struct world_peer *a;
	struct verifier *v;
	char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
	uint64_t user;

	CHECK_INT(verifier_create(&v), 0);
	world_create(&w, 1);
	a = world_join(&w, 101);
	world_run(&w);
	verifier_tick(v, a->session); /* nobody to be verified */
	for (uint64_t i = 102; i <= 104; i++)
		world_join(&w, i);
	world_run(&w);
	world_agree(&w);
	/* the tick itself never waits for a code */
	verifier_tick(v, a->session);
	verifier_tick(v, a->session);
	CHECK(codes(a->session) <= 1);
	until(v, a->session, 3);
	for (size_t i = 0; i < 3; i++) {
		const char *got = dave_session_code(a->session, i, &user);

		CHECK_INT(dave_session_verification_code(a->session, user, code), 0);
		CHECK_STR(got, code);
	}
	verifier_destroy(v);
	world_free(&w);
}

/* The member leaves, the session ends, or the verifier does, while a code is being worked out. */
static void test_ends_in_the_middle(void)
{
	for (int what = 0; what < 3; what++) {
		struct world w;
		struct world_peer *a;
		struct verifier *v;
		char code[DAVE_VERIFICATION_CODE_DIGITS + 1];
		uint64_t user;

		CHECK_INT(verifier_create(&v), 0);
		world_create(&w, 2);
		a = world_join(&w, 101);
		world_join(&w, 102);
		world_run(&w);
		world_agree(&w);
		verifier_tick(v, a->session);
		if (what == 0) {
			world_leave(&w.peers[1]);
			world_run(&w);
			for (int i = 0; i < 100; i++) {
				verifier_tick(v, a->session);
				rest();
			}
			CHECK_INT(codes(a->session), 0);
		} else if (what == 1) {
			/* another session takes the place of the first: codes of its own */
			world_leave(&w.peers[0]);
			world_run(&w);
			a = world_join(&w, 101);
			world_run(&w);
			world_agree(&w);
			until(v, a->session, 1);
			CHECK_INT(dave_session_verification_code(a->session, 102, code), 0);
			CHECK_STR(dave_session_code(a->session, 0, &user), code);
		}
		verifier_destroy(v);
		world_free(&w);
	}
}

int main(void)
{
	UNIT(test_all_members_one_after_the_other);
	UNIT(test_ends_in_the_middle);
	return unit_done();
}
