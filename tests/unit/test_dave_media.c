/* SPDX-License-Identifier: MIT
 *
 * test_dave_media.c - which key meets which frame, and the exchange of views between threads.
 */
#include "discord/dave/media.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "discord/dave/media_view.h"
#include "tests/unit/unit.h"

#define SECOND ((int64_t)1000000000)
#define ALICE  1001
#define BOB    1002

static const uint8_t opus[20] = {0x78, 1, 2, 3, 4, 5, 6, 7};
static const uint8_t silence[3] = {0xf8, 0xff, 0xfe};

static struct dave_media *media(void)
{
	struct dave_media *m;

	CHECK_INT(dave_media_create(&m), 0);
	return m;
}

static struct dave_media_key *key(uint8_t seed, int64_t now_ns)
{
	uint8_t base[16] = {seed};
	struct dave_media_key *k;

	CHECK_INT(dave_media_key_create(&k, base, now_ns), 0);
	return k;
}

static struct dave_media_view *view(size_t room)
{
	struct dave_media_view *v;

	CHECK_INT(dave_media_view_create(&v, room), 0);
	return v;
}

/* Adds a user's key of that seed and gives our reference away. */
static void add(struct dave_media_view *v, uint64_t user, uint8_t seed, int64_t now_ns)
{
	struct dave_media_key *k = key(seed, now_ns);

	CHECK_INT(dave_media_view_add(v, user, k), 0);
	dave_media_key_unref(k);
}

static void send_with(struct dave_media_view *v, uint8_t seed)
{
	struct dave_media_key *k = key(seed, 0);

	dave_media_view_send(v, k);
	dave_media_key_unref(k);
}

static struct dave_media *sender(uint8_t seed)
{
	struct dave_media *m = media();
	struct dave_media_view *v = view(0);

	send_with(v, seed);
	dave_media_publish(m, v);
	return m;
}

static size_t sealed(struct dave_media *m, uint8_t out[64])
{
	size_t n;

	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, 64, &n), 0);
	return n;
}

static int heard(struct dave_media *m, int64_t now_ns, uint64_t user, const uint8_t *frame,
		 size_t n)
{
	uint8_t out[64];
	size_t bytes = 0;
	int rc = dave_media_decrypt(m, now_ns, user, frame, n, out, sizeof(out), &bytes);

	if (rc == 0 && n > 3) {
		CHECK_INT(bytes, sizeof(opus));
		CHECK_MEM(out, opus, sizeof(opus));
	}
	return rc;
}

static void test_frames_arrive(void)
{
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(1);
	struct dave_media_stats stats;
	uint8_t frame[64];

	add(v, ALICE, 1, 0);
	dave_media_publish(b, v);
	for (int i = 0; i < 300; i++) {
		size_t n = sealed(a, frame);

		CHECK_INT(n, sizeof(opus) + (i < 127 ? 12 : 13));
		CHECK_INT(heard(b, 0, ALICE, frame, n), 0);
		CHECK_INT(heard(b, 0, ALICE, frame, n), -EALREADY);
	}
	dave_media_stats(a, &stats);
	CHECK_INT(stats.encrypted, 300);
	dave_media_stats(b, &stats);
	CHECK_INT(stats.decrypted, 300);
	CHECK_INT(stats.nonce_refused, 300);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

/* Section 6, row 13: the sender is gated on a key; five trailing silence packets are no error. */
static void test_row_13_no_key_no_frame_but_silence(void)
{
	struct dave_media *m = media();
	struct dave_media_stats stats;
	uint8_t out[64];
	size_t n;

	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, sizeof(out), &n), -ENOKEY);
	CHECK_INT(dave_media_encrypt(m, 0, silence, 3, out, sizeof(out), &n), 0);
	CHECK_INT(n, 3);
	CHECK_MEM(out, silence, 3);
	dave_media_publish(m, view(0));
	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, sizeof(out), &n), -ENOKEY);
	dave_media_stats(m, &stats);
	CHECK_INT(stats.sent_without_key, 2);
	CHECK_INT(stats.sent_plain, 1);
	dave_media_destroy(m);
}

/* With a key silence is encrypted like everything else: nothing can mistake it then. */
static void test_silence_is_encrypted_when_there_is_a_key(void)
{
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(1);
	uint8_t frame[64], out[64];
	size_t n, bytes;

	add(v, ALICE, 1, 0);
	dave_media_publish(b, v);
	CHECK_INT(dave_media_encrypt(a, 0, silence, 3, frame, sizeof(frame), &n), 0);
	CHECK_INT(n, 15);
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(out), &bytes), 0);
	CHECK_INT(bytes, 3);
	CHECK_MEM(out, silence, 3);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

/* davey and discord.js send it in the clear, before, during and after. */
static void test_plain_silence_is_always_heard(void)
{
	struct dave_media *m = media();
	struct dave_media_stats stats;

	CHECK_INT(heard(m, 0, ALICE, silence, 3), 0);
	dave_media_publish(m, view(0));
	CHECK_INT(heard(m, 0, BOB, silence, 3), 0);
	dave_media_stats(m, &stats);
	CHECK_INT(stats.received_silence, 2);
	dave_media_destroy(m);
}

/* Section 6, rows 6 and 8: what does not decrypt is never handed on as Opus. */
static void test_row_6_8_plain_and_broken_frames_are_dropped(void)
{
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(1);
	struct dave_media_stats stats;
	uint8_t frame[64], out[64];
	size_t n, bytes = 77;

	add(v, ALICE, 1, 0);
	dave_media_publish(b, v);
	memset(out, 0xee, sizeof(out));
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, opus, sizeof(opus), out, sizeof(out), &bytes),
		  -EACCES);
	n = sealed(a, frame);
	frame[0] ^= 1;
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(out), &bytes), -EBADMSG);
	CHECK_INT(bytes, 77);
	for (size_t i = sizeof(opus); i < sizeof(out); i++)
		CHECK_INT(out[i], 0xee);
	CHECK(memcmp(out, opus, sizeof(opus)) != 0);
	frame[0] ^= 1;
	frame[n] = 1; /* padding left behind */
	CHECK_INT(heard(b, 0, ALICE, frame, n + 1), -EACCES);
	CHECK_INT(heard(b, 0, ALICE, frame, n), 0);
	dave_media_stats(b, &stats);
	CHECK_INT(stats.plain_refused, 2);
	CHECK_INT(stats.tag_mismatch, 1);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

/* Section 6, rows 9, 10 and 12: keys belong to users; an unknown user costs a look-up and no state;
 * frames before the keys are dropped without ado. */
static void test_row_9_10_12_only_the_sender_s_own_key_is_tried(void)
{
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(2);
	struct dave_media_stats stats;
	uint8_t frame[64];
	size_t n = sealed(a, frame);

	CHECK_INT(heard(b, 0, ALICE, frame, n), -ENOKEY);
	add(v, BOB, 2, 0);
	add(v, ALICE, 1, 0);
	dave_media_publish(b, v);
	CHECK_INT(heard(b, 0, BOB, frame, n), -EBADMSG);
	CHECK_INT(heard(b, 0, 4711, frame, n), -ENOKEY);
	CHECK_INT(heard(b, 0, ALICE, frame, n), 0);
	dave_media_stats(b, &stats);
	CHECK_INT(stats.no_key, 2);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

static void test_old_epoch_is_heard_ten_seconds_more(void)
{
	struct dave_media *before = sender(1), *after = sender(2), *b = media();
	struct dave_media_view *v = view(1), *w;
	uint8_t frame[64];

	add(v, ALICE, 1, 0);
	CHECK_INT(dave_media_view_clone(&w, v, 0), 0);
	dave_media_publish(b, v);
	CHECK_INT(heard(b, 0, ALICE, frame, sealed(before, frame)), 0);
	dave_media_view_expire(w, 100 * SECOND + DAVE_KEY_LINGER_NS);
	add(w, ALICE, 2, 100 * SECOND);
	dave_media_publish(b, w);
	CHECK_INT(heard(b, 100 * SECOND, ALICE, frame, sealed(after, frame)), 0);
	CHECK_INT(heard(b, 100 * SECOND, ALICE, frame, sealed(before, frame)), 0);
	CHECK_INT(heard(b, 110 * SECOND - 1, ALICE, frame, sealed(before, frame)), 0);
	CHECK_INT(heard(b, 110 * SECOND, ALICE, frame, sealed(before, frame)), -EBADMSG);
	CHECK_INT(heard(b, 110 * SECOND, ALICE, frame, sealed(after, frame)), 0);
	dave_media_destroy(before);
	dave_media_destroy(after);
	dave_media_destroy(b);
}

/* A quick series of epochs must not prolong the oldest one's life. */
static void test_expiry_is_the_earliest_given(void)
{
	struct dave_media_view *v = view(1);

	add(v, ALICE, 1, 0);
	dave_media_view_expire(v, 10 * SECOND);
	add(v, ALICE, 2, 0);
	dave_media_view_expire(v, 15 * SECOND);
	add(v, ALICE, 3, 0);
	CHECK_INT(v->users[0].keys[2].expires_ns, 10 * SECOND);
	CHECK_INT(v->users[0].keys[1].expires_ns, 15 * SECOND);
	CHECK(v->users[0].keys[0].expires_ns == DAVE_NEVER);
	CHECK_INT(dave_media_view_prune(v, 10 * SECOND), 1);
	CHECK_INT(dave_media_view_prune(v, 10 * SECOND), 0);
	CHECK_INT(v->users[0].key_count, 2);
	/* a user without any key is gone */
	dave_media_view_expire(v, 20 * SECOND);
	CHECK_INT(dave_media_view_prune(v, 20 * SECOND), 2);
	CHECK_INT(v->user_count, 0);
	dave_media_view_destroy(v);
}

static void test_keys_of_a_user_are_bounded(void)
{
	struct dave_media_view *v = view(1);

	for (uint8_t i = 0; i < 3 * DAVE_USER_KEYS_MAX; i++)
		add(v, ALICE, i, 0);
	CHECK_INT(v->users[0].key_count, DAVE_USER_KEYS_MAX);
	dave_media_view_destroy(v);
}

static void test_users_are_found_in_any_order(void)
{
	struct dave_media_view *v = view(100);
	struct dave_media_key *k = key(1, 0);

	for (uint64_t i = 0; i < 100; i++)
		add(v, i * 37 % 101 + 1, (uint8_t)i, 0);
	CHECK_INT(v->user_count, 100);
	for (size_t i = 1; i < 100; i++)
		CHECK(v->users[i - 1].user_id < v->users[i].user_id);
	CHECK(dave_media_view_find(v, 37) != NULL);
	CHECK(dave_media_view_find(v, 5000) == NULL);
	CHECK_INT(dave_media_view_add(v, 5000, k), -ENOSPC);
	dave_media_key_unref(k);
	dave_media_view_destroy(v);
}

/* Version 0 and the windows around it. */
static void test_passthrough_windows(void)
{
	struct dave_media *m = media();
	struct dave_media_view *v = view(0), *w;
	uint8_t out[64];
	size_t n;

	v->send_plain = true;
	v->plain_until_ns = DAVE_NEVER;
	CHECK_INT(dave_media_view_clone(&w, v, 0), 0);
	dave_media_publish(m, v);
	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, sizeof(opus), &n), 0);
	CHECK_INT(n, sizeof(opus));
	CHECK_MEM(out, opus, n);
	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, sizeof(opus) - 1, &n), -ENOSPC);
	CHECK_INT(heard(m, INT64_MAX - 1, ALICE, opus, sizeof(opus)), 0);
	w->send_plain = false;
	w->plain_until_ns = 50 * SECOND;
	dave_media_publish(m, w);
	CHECK_INT(heard(m, 50 * SECOND - 1, ALICE, opus, sizeof(opus)), 0);
	CHECK_INT(heard(m, 50 * SECOND, ALICE, opus, sizeof(opus)), -EACCES);
	CHECK_INT(dave_media_encrypt(m, 0, opus, sizeof(opus), out, sizeof(out), &n), -ENOKEY);
	dave_media_destroy(m);
}

/* Same key in view after view: the counter goes on. A nonce used twice would break GCM. */
static void test_counter_survives_new_views(void)
{
	struct dave_media *a = media(), *b = media();
	struct dave_media_view *v = view(0), *w = view(1);
	uint8_t frame[64];

	send_with(v, 9);
	add(w, ALICE, 9, 0);
	for (int i = 0; i < 20; i++) {
		struct dave_media_view *clone;
		struct dave_frame f;
		size_t n;

		CHECK_INT(dave_media_view_clone(&clone, v, 0), 0);
		dave_media_publish(a, clone);
		n = sealed(a, frame);
		CHECK(dave_frame_parse(&f, frame, n));
		CHECK_INT(f.nonce, i + 1);
		/* and so does the window of what was received */
		CHECK_INT(dave_media_view_clone(&clone, w, 0), 0);
		dave_media_publish(b, clone);
		CHECK_INT(heard(b, 0, ALICE, frame, n), 0);
		CHECK_INT(dave_media_view_clone(&clone, w, 0), 0);
		dave_media_publish(b, clone);
		CHECK_INT(heard(b, 0, ALICE, frame, n), -EALREADY);
	}
	dave_media_view_destroy(v);
	dave_media_view_destroy(w);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

static void test_failures_in_a_row_are_counted_per_sender(void)
{
	struct dave_media *a = sender(1), *x = sender(9), *b = media();
	struct dave_media_view *v = view(2), *clone;
	uint8_t frame[64];
	size_t n;

	add(v, ALICE, 1, 0);
	add(v, BOB, 2, 0);
	CHECK_INT(dave_media_view_clone(&clone, v, 0), 0);
	dave_media_publish(b, clone);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(heard(b, 0, ALICE, frame, sealed(x, frame)), -EBADMSG);
		CHECK_INT(heard(b, 0, ALICE, opus, sizeof(opus)), -EACCES); /* no protocol frame */
	}
	CHECK_INT(atomic_load(&dave_media_view_find(v, ALICE)->state->failures), 5);
	CHECK_INT(atomic_load(&dave_media_view_find(v, BOB)->state->failures), 0);
	n = sealed(a, frame);
	CHECK_INT(heard(b, 0, ALICE, frame, n), 0);
	CHECK_INT(heard(b, 0, ALICE, frame, n), -EALREADY); /* a duplicate is no failure */
	CHECK_INT(atomic_load(&dave_media_view_find(v, ALICE)->state->failures), 0);
	dave_media_view_destroy(v);
	dave_media_destroy(a);
	dave_media_destroy(x);
	dave_media_destroy(b);
}

static void test_output_must_have_room(void)
{
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(1);
	uint8_t frame[64], out[64];
	size_t n, bytes;

	add(v, ALICE, 1, 0);
	dave_media_publish(b, v);
	CHECK_INT(dave_media_encrypt(a, 0, opus, sizeof(opus), out, sizeof(opus) + 15, &n),
		  -ENOSPC);
	CHECK_INT(dave_media_encrypt(a, 0, opus, sizeof(opus), frame, sizeof(opus) + 16, &n), 0);
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(opus) - 1, &bytes),
		  -ENOSPC);
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, silence, 3, out, 2, &bytes), -ENOSPC);
	CHECK_INT(dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(opus), &bytes), 0);
	dave_media_destroy(a);
	dave_media_destroy(b);
}

/* ---- the audio thread allocates nothing --------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNT_ALLOCATIONS 0
#else
#define COUNT_ALLOCATIONS 1
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
static _Atomic long allocations;
void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}
void *calloc(size_t n, size_t m)
{
	allocations++;
	return __libc_calloc(n, m);
}
void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

static void test_no_allocation_in_the_audio_path(void)
{
#if COUNT_ALLOCATIONS
	struct dave_media *a = sender(1), *b = media();
	struct dave_media_view *v = view(2), *w;
	uint8_t frame[64], bad[64], out[64];
	size_t n, bytes;
	long before;
	volatile int sum = 0;

	add(v, ALICE, 1, 0);
	add(v, BOB, 2, 0);
	CHECK_INT(dave_media_view_clone(&w, v, 0), 0);
	dave_media_publish(b, v);
	before = allocations;
	for (int i = 0; i < 100; i++) {
		sum += dave_media_encrypt(a, 0, opus, sizeof(opus), frame, sizeof(frame), &n);
		memcpy(bad, frame, n);
		bad[0] ^= 1;
		sum += dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(out), &bytes);
		(void)dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(out), &bytes);
		(void)dave_media_decrypt(b, 0, BOB, bad, n, out, sizeof(out), &bytes);
		(void)dave_media_decrypt(b, 0, 4711, frame, n, out, sizeof(out), &bytes);
		(void)dave_media_decrypt(b, 0, ALICE, opus, sizeof(opus), out, sizeof(out), &bytes);
	}
	CHECK_INT(allocations - before, 0);
	CHECK_INT(sum, 0);
	/* a new generation is derived, a forged one does not even get that far */
	{
		static struct dave_ratchet r;
		uint8_t base[16] = {1};

		dave_ratchet_init(&r, base);
		before = allocations;
		bad[n - 4] = 0xff;
		(void)dave_media_decrypt(b, 0, ALICE, bad, n, out, sizeof(out), &bytes);
		dave_ratchet_erase_below(&r, 3);
		CHECK_INT(allocations - before, 0);
	}
	/* picking up a view */
	dave_media_publish(b, w);
	before = allocations;
	(void)dave_media_decrypt(b, 0, ALICE, frame, n, out, sizeof(out), &bytes);
	CHECK_INT(allocations - before, 0);
	dave_media_destroy(a);
	dave_media_destroy(b);
#else
	SKIP("the sanitizer owns malloc");
#endif
}

/* ---- two threads ------------------------------------------------------------------------- */

struct race {
	struct dave_media *a, *b;
	_Atomic int stop;
	_Atomic uint64_t heard; /* writer: audio thread */
	uint64_t failed;
};

static void *race_audio(void *arg)
{
	struct race *r = arg;
	uint8_t frame[64], out[64];
	size_t n, bytes;

	while (!atomic_load(&r->stop)) {
		if (dave_media_encrypt(r->a, 0, opus, sizeof(opus), frame, sizeof(frame), &n) != 0)
			continue;
		if (dave_media_decrypt(r->b, 0, ALICE, frame, n, out, sizeof(out), &bytes) == 0)
			r->heard++;
		else
			r->failed++;
	}
	return NULL;
}

/* Keys change under a running audio thread: receivers first, then the sender, as the gateway's
 * transitions do. No frame may be lost. Run under TSan as well. */
static void test_key_changes_lose_no_frame(void)
{
	struct race r = {.a = media(), .b = media()};
	struct dave_media_view *va = view(0), *vb = view(1), *clone;
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, race_audio, &r), 0);
	for (int epoch = 0; epoch < 200; epoch++) {
		struct timespec pause = {0, 100000};
		uint64_t before;

		dave_media_view_expire(vb, SECOND);
		add(vb, ALICE, (uint8_t)epoch, 0);
		CHECK_INT(dave_media_view_clone(&clone, vb, 0), 0);
		dave_media_publish(r.b, clone);
		send_with(va, (uint8_t)epoch);
		CHECK_INT(dave_media_view_clone(&clone, va, 0), 0);
		dave_media_publish(r.a, clone);
		/* Only so many epochs are kept: not more than one while the other thread waits. */
		before = atomic_load(&r.heard);
		while (atomic_load(&r.heard) < before + 2)
			nanosleep(&pause, NULL);
		dave_media_collect(r.a);
	}
	atomic_store(&r.stop, 1);
	pthread_join(thread, NULL);
	CHECK(r.heard > 0);
	CHECK_INT(r.failed, 0);
	dave_media_view_destroy(va);
	dave_media_view_destroy(vb);
	dave_media_destroy(r.a);
	dave_media_destroy(r.b);
}

/* Views that nobody picked up are freed by the next publish. */
static void test_unseen_views_are_freed(void)
{
	struct dave_media *m = media();

	for (int i = 0; i < 1000; i++) {
		struct dave_media_view *v = view(1);

		add(v, ALICE, 1, 0);
		dave_media_publish(m, v);
	}
	dave_media_destroy(m); /* leaks are valgrind's and ASan's to find */
}

int main(void)
{
	UNIT(test_frames_arrive);
	UNIT(test_row_13_no_key_no_frame_but_silence);
	UNIT(test_silence_is_encrypted_when_there_is_a_key);
	UNIT(test_plain_silence_is_always_heard);
	UNIT(test_row_6_8_plain_and_broken_frames_are_dropped);
	UNIT(test_row_9_10_12_only_the_sender_s_own_key_is_tried);
	UNIT(test_old_epoch_is_heard_ten_seconds_more);
	UNIT(test_expiry_is_the_earliest_given);
	UNIT(test_keys_of_a_user_are_bounded);
	UNIT(test_users_are_found_in_any_order);
	UNIT(test_passthrough_windows);
	UNIT(test_counter_survives_new_views);
	UNIT(test_failures_in_a_row_are_counted_per_sender);
	UNIT(test_output_must_have_room);
	UNIT(test_no_allocation_in_the_audio_path);
	UNIT(test_key_changes_lose_no_frame);
	UNIT(test_unseen_views_are_freed);
	return unit_done();
}
