/* SPDX-License-Identifier: MIT
 *
 * test_dave_memory.c - every allocation fails once, in every message that a session handles.
 *
 * malloc and its like are this program's own here, so that libcrypto's allocations fail as well. A
 * failure may cost the message it came with, never the process, and nothing that was heard before.
 */
#include "discord/mls/alloc.h"
#include "tests/unit/dave_vectors.h"
#include "tests/unit/dave_world.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#else
#define OWN_MALLOC 1
#endif

#if OWN_MALLOC
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
static long fail_at; /* 0: never; counts down, and fails once when it gets to 0 */
static bool struck;

static bool strikes(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	struck = true;
	return true;
}

void *malloc(size_t n)
{
	return strikes() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t m)
{
	return strikes() ? NULL : __libc_calloc(n, m);
}

void *realloc(void *p, size_t n)
{
	return strikes() ? NULL : __libc_realloc(p, n);
}

/* ---- davey's C, before and after step 3 --------------------------------------------------- */

static struct {
	cJSON *v;
	struct hex signature, init, leaf, kp, op25, welcome, op27, commit, frame, frame_after;
	uint64_t user, alice;
} d;

static void load(void)
{
	const cJSON *c, *steps;

	d.v = data_load("davey-passive.json");
	c = member(d.v, "C");
	steps = member(d.v, "steps");
	d.signature = hex_member(c, "signature_private");
	d.init = hex_member(c, "init_private");
	d.leaf = hex_member(c, "leaf_hpke_private");
	d.kp = hex_member(c, "key_package");
	d.op25 = hex_member(member(d.v, "external_sender"), "op25_body");
	d.welcome = hex_member(cJSON_GetArrayItem(steps, 1), "welcome");
	d.op27 = hex_member(cJSON_GetArrayItem(steps, 2), "op27_body_after_optype");
	d.commit = hex_member(cJSON_GetArrayItem(steps, 2), "commit");
	d.frame = hex_member(cJSON_GetArrayItem(member(cJSON_GetArrayItem(steps, 1), "frames"), 0),
			     "frame");
	d.frame_after =
		hex_member(cJSON_GetArrayItem(member(cJSON_GetArrayItem(steps, 2), "frames"), 0),
			   "frame");
	d.user = strtoull(member(c, "user_id")->valuestring, NULL, 10);
	d.alice = strtoull(member(member(d.v, "user_ids"), "A")->valuestring, NULL, 10);
}

static int hear(struct world_peer *p, unsigned op, const void *head, size_t head_bytes,
		struct hex body)
{
	static uint8_t payload[PAYLOAD_BYTES_MAX];

	memcpy(payload, head, head_bytes);
	memcpy(payload + head_bytes, body.data, body.len);
	return dave_session_binary(p->session, op, payload, head_bytes + body.len,
				   p->world->now_ns);
}

static int heard(struct world_peer *p, struct hex frame)
{
	uint8_t out[128];
	size_t n;

	return dave_media_decrypt(p->media, p->world->now_ns, d.alice, frame.data, frame.len, out,
				  sizeof(out), &n);
}

static void package(struct world_peer *p)
{
	struct mls_key_package *k;

	CHECK_INT(mls_key_package_import(&k, p->identity->key,
					 (struct mls_bytes){d.kp.data, d.kp.len}, d.init.data,
					 d.leaf.data),
		  0);
	dave_session_use_key_package(p->session, k);
}

static void begin(struct world *w, struct world_peer *p)
{
	struct mls_signature_key *key;
	const cJSON *u;

	w->now_ns = 1000 * SECOND;
	CHECK_INT(mls_signature_key_import(&key, d.signature.data), 0);
	world_peer_make(w, p, d.user, key);
	CHECK_INT(dave_session_select(p->session, 1, w->now_ns), 0);
	CHECK_INT(hear(p, 25, "", 0, d.op25), 0);
	package(p);
	cJSON_ArrayForEach(u, member(d.v, "user_ids"))
	{
		uint64_t id = strtoull(u->valuestring, NULL, 10);

		CHECK_INT(dave_session_users_connect(p->session, &id, 1, w->now_ns), 0);
	}
}

static void joined(struct world *w, struct world_peer *p)
{
	begin(w, p);
	CHECK_INT(hear(p, 30, "\0\0", 2, d.welcome), 0);
}

/* Until a run goes through without meeting the failure. */
#define EACH_ALLOCATION(n) for (long n = 1, more = 1; more; more = struck, n++)
#define FAILING(n, call)        \
	do {                    \
		struck = false; \
		fail_at = (n);  \
		rc = (call);    \
		fail_at = 0;    \
	} while (0)

/* valgrind puts its own malloc in place of ours */
static void need_own_malloc(void)
{
	void *(*volatile get)(size_t) = malloc; /* or the compiler knows better */
	void *p;

	fail_at = 1;
	p = get(1);
	fail_at = 0;
	free(p);
	if (p)
		SKIP("something else owns malloc");
}

static void test_memory_proposals(void)
{
	int rc;
	long failures = 0, alive = mls_alloc_live();

	need_own_malloc();
	EACH_ALLOCATION(n)
	{
		struct world w = {0};
		struct world_peer p;

		joined(&w, &p);
		FAILING(n, hear(&p, 27, "", 1, d.op27));
		CHECK(rc == 0 || rc == -ENOMEM || rc == -EIO || struck);
		failures += struck;
		/* nothing half done: the commit can be followed as soon as the proposals are said
		 * again */
		CHECK_INT(dave_session_epoch(p.session), 2);
		CHECK_INT(hear(&p, 27, "", 1, d.op27), 0);
		CHECK_INT(hear(&p, 29, "\0\1", 2, d.commit), 0);
		CHECK_INT(dave_session_epoch(p.session), 3);
		CHECK_INT(heard(&p, d.frame), 0);
		CHECK_INT(heard(&p, d.frame_after), 0);
		world_peer_free(&p);
	}
	CHECK(failures > 20);
	CHECK_INT(mls_alloc_live(), alive);
}

static void test_memory_commit(void)
{
	int rc;
	long failures = 0, alive = mls_alloc_live();

	need_own_malloc();
	EACH_ALLOCATION(n)
	{
		struct world w = {0};
		struct world_peer p;

		joined(&w, &p);
		CHECK_INT(hear(&p, 27, "", 1, d.op27), 0);
		FAILING(n, hear(&p, 29, "\0\1", 2, d.commit));
		failures += struck;
		if (rc == 0) {
			CHECK_INT(dave_session_epoch(p.session), 3);
			CHECK_INT(heard(&p, d.frame_after), 0);
		} else {
			/* not followed, so it asks to be added again, now or when there is memory
			 */
			CHECK_INT(dave_session_epoch(p.session), 0);
			dave_session_tick(p.session, w.now_ns + SECOND);
			CHECK_INT(p.sent[31], 1);
			CHECK(p.sent[26] >= 2);
			CHECK(p.session->key_package != NULL);
		}
		CHECK_INT(heard(&p, d.frame), 0);
		world_peer_free(&p);
	}
	CHECK(failures > 20);
	CHECK_INT(mls_alloc_live(), alive);
}

static void test_memory_welcome(void)
{
	int rc;
	long failures = 0, alive = mls_alloc_live();

	need_own_malloc();
	EACH_ALLOCATION(n)
	{
		struct world w = {0};
		struct world_peer p;

		begin(&w, &p);
		FAILING(n, hear(&p, 30, "\0\1", 2, d.welcome));
		failures += struck;
		if (rc) {
			CHECK_INT(dave_session_epoch(p.session), 0);
			dave_session_tick(p.session, w.now_ns + SECOND);
			CHECK_INT(p.sent[31], 1);
			package(&p);
			CHECK_INT(hear(&p, 30, "\0\1", 2, d.welcome), 0);
		}
		CHECK_INT(dave_session_epoch(p.session), 2);
		CHECK_INT(heard(&p, d.frame), 0);
		world_peer_free(&p);
	}
	CHECK(failures > 20);
	CHECK_INT(mls_alloc_live(), alive);
}

/* A code that could not be worked out or put is wanted still. */
static void test_memory_codes(void)
{
	long failures = 0, alive = mls_alloc_live();
	int rc;

	need_own_malloc();
	EACH_ALLOCATION(n)
	{
		struct world w = {0};
		struct world_peer p;
		struct dave_code_job job;
		uint64_t user = 0;
		bool first;

		joined(&w, &p);
		CHECK(dave_session_code_wanted(p.session, &job));
		FAILING(n, dave_code_job_run(&job) ?: dave_session_code_put(p.session, &job));
		first = struck;
		CHECK(rc == 0 || (struck && rc == -ENOMEM));
		failures += rc != 0;
		CHECK((dave_session_code(p.session, 0, &user) == NULL) == (rc != 0));
		for (int i = 0; dave_session_code_wanted(p.session, &job); i++) {
			CHECK(i < 2);
			CHECK_INT(dave_code_job_run(&job), 0);
			CHECK_INT(dave_session_code_put(p.session, &job), 0);
		}
		CHECK(dave_session_code(p.session, 1, &user) != NULL);
		CHECK(dave_session_code(p.session, 2, &user) == NULL);
		struck = first;
		world_peer_free(&p);
	}
	CHECK(failures > 2);
	CHECK_INT(mls_alloc_live(), alive);
}

/* Transitions, versions, moves, ticks: what fails is done by the next tick, or can be said again.
 */
static void test_memory_of_everything_else(void)
{
	long alive = mls_alloc_live();
	int rc;

	need_own_malloc();
	for (int k = 0; k < 7; k++) {
		EACH_ALLOCATION(n)
		{
			struct world w = {0};
			struct world_peer p;
			uint64_t many[40];

			joined(&w, &p);
			for (uint64_t i = 0; i < 40; i++)
				many[i] = 5000 + i;
			if (k == 0) {
				FAILING(n,
					dave_session_prepare_transition(p.session, 0, 9, w.now_ns));
			} else if (k == 1) {
				CHECK_INT(dave_session_prepare_transition(p.session, 0, 9,
									  w.now_ns),
					  0);
				FAILING(n, dave_session_execute_transition(p.session, 9, w.now_ns));
				dave_session_tick(p.session, w.now_ns + SECOND);
				CHECK_INT(dave_session_state(p.session), DAVE_PLAIN);
			} else if (k == 2) {
				FAILING(n, dave_session_prepare_epoch(p.session, 1, 1, w.now_ns));
				if (rc && dave_session_epoch(p.session))
					CHECK_INT(dave_session_prepare_epoch(p.session, 1, 1,
									     w.now_ns),
						  0);
				dave_session_tick(p.session, w.now_ns + SECOND);
				CHECK_INT(dave_session_state(p.session), DAVE_WAITING);
				CHECK(p.session->key_package != NULL && p.session->pending != NULL);
			} else if (k == 3) {
				FAILING(n, dave_session_select(p.session, 0, w.now_ns));
				if (rc)
					CHECK_INT(dave_session_select(p.session, 0, w.now_ns), 0);
				CHECK_INT(dave_session_state(p.session), DAVE_PLAIN);
			} else if (k == 4) {
				FAILING(n, dave_session_move(p.session, 77, w.now_ns));
				if (rc)
					CHECK_INT(dave_session_move(p.session, 77, w.now_ns), 0);
				CHECK_INT(dave_session_state(p.session), DAVE_IDLE);
			} else if (k == 5) {
				FAILING(n,
					dave_session_users_connect(p.session, many, 40, w.now_ns));
				CHECK_INT(dave_session_users_connect(p.session, many, 40, w.now_ns),
					  0);
			} else {
				CHECK_INT(dave_session_prepare_epoch(p.session, 1, 1, w.now_ns), 0);
				FAILING(n, hear(&p, 25, "", 0, d.op25));
				CHECK_INT(hear(&p, 25, "", 0, d.op25), 0);
				CHECK(p.session->pending != NULL);
			}
			world_peer_free(&p);
		}
	}
	CHECK_INT(mls_alloc_live(), alive);
}

int main(void)
{
	load();
	UNIT(test_memory_proposals);
	UNIT(test_memory_commit);
	UNIT(test_memory_welcome);
	UNIT(test_memory_codes);
	UNIT(test_memory_of_everything_else);
	return unit_done();
}
#else
static void test_memory(void)
{
	SKIP("the sanitizer owns malloc");
}

int main(void)
{
	UNIT(test_memory);
	return unit_done();
}
#endif
