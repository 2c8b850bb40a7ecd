/* SPDX-License-Identifier: MIT
 *
 * media.c - which key encrypts or decrypts a frame, and the exchange of key views.
 */
#include "discord/dave/media.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "discord/dave/media_view.h"

/* Views left by the audio thread and not yet collected. Each needs a publish before it, and publish
 * collects first, so two are the most; a power of two above that. */
#define RETIRED_SLOTS 4

struct dave_media {
	/* The newest view, not yet seen by the audio thread; taken by exchange from both sides. */
	_Atomic(struct dave_media_view *) incoming;
	struct dave_media_view *current; /* audio thread's, no one else looks */
	struct dave_media_view *retired[RETIRED_SLOTS];
	_Atomic unsigned retired_head; /* writer: audio thread; reader: control thread */
	_Atomic unsigned retired_tail; /* writer: control thread; reader: audio thread */
	/* Counters: writer audio thread, reader anyone. */
	_Atomic uint64_t encrypted, sent_plain, sent_without_key;
	_Atomic uint64_t decrypted, received_plain, received_silence;
	_Atomic uint64_t plain_refused, no_key, nonce_refused, tag_mismatch;
};

static void count(_Atomic uint64_t *c)
{
	/* One writer: no locked instruction needed. */
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

int dave_media_create(struct dave_media **out)
{
	struct dave_media *m;

	/* Picks libsodium's SHA-256 for this machine; harmless when done already. */
	if (sodium_init() < 0)
		return -EIO;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	*out = m;
	return 0;
}

void dave_media_destroy(struct dave_media *m)
{
	if (!m)
		return;
	dave_media_collect(m);
	dave_media_view_destroy(atomic_exchange(&m->incoming, NULL));
	dave_media_view_destroy(m->current);
	free(m);
}

void dave_media_publish(struct dave_media *m, struct dave_media_view *v)
{
	dave_media_collect(m);
	/* A view still lying here was never seen by the audio thread. */
	dave_media_view_destroy(atomic_exchange_explicit(&m->incoming, v, memory_order_acq_rel));
}

void dave_media_collect(struct dave_media *m)
{
	unsigned tail = atomic_load_explicit(&m->retired_tail, memory_order_relaxed);

	while (tail != atomic_load_explicit(&m->retired_head, memory_order_acquire)) {
		dave_media_view_destroy(m->retired[tail % RETIRED_SLOTS]);
		tail++;
		atomic_store_explicit(&m->retired_tail, tail, memory_order_release);
	}
}

/* Audio thread: the newest view, or NULL before the first. */
static const struct dave_media_view *media_view(struct dave_media *m)
{
	if (atomic_load_explicit(&m->incoming, memory_order_relaxed)) {
		unsigned head = atomic_load_explicit(&m->retired_head, memory_order_relaxed);
		unsigned tail = atomic_load_explicit(&m->retired_tail, memory_order_acquire);
		struct dave_media_view *v;

		if (head - tail == RETIRED_SLOTS)
			return m->current;
		v = atomic_exchange_explicit(&m->incoming, NULL, memory_order_acq_rel);
		if (v) {
			if (m->current) {
				m->retired[head % RETIRED_SLOTS] = m->current;
				atomic_store_explicit(&m->retired_head, head + 1,
						      memory_order_release);
			}
			m->current = v;
		}
	}
	return m->current;
}

/* ---- audio thread: out ------------------------------------------------------------------- */

int dave_media_encrypt(struct dave_media *m, int64_t now_ns, const uint8_t *opus, size_t bytes,
		       uint8_t *out, size_t out_size, size_t *out_bytes)
{
	const struct dave_media_view *v = media_view(m);
	int rc;

	(void)now_ns; /* when a key changes is decided by the control thread; kept for symmetry */
	if (v && v->send && !v->send_plain) {
		rc = dave_media_key_seal(v->send, opus, bytes, out, out_size, out_bytes);
		if (rc == 0)
			count(&m->encrypted);
		return rc;
	}
	if (!(v && v->send_plain) && !dave_frame_is_silence(opus, bytes)) {
		count(&m->sent_without_key);
		return -ENOKEY;
	}
	if (out_size < bytes)
		return -ENOSPC;
	memmove(out, opus, bytes);
	*out_bytes = bytes;
	count(&m->sent_plain);
	return 0;
}

/* ---- audio thread: in -------------------------------------------------------------------- */

int dave_media_decrypt(struct dave_media *m, int64_t now_ns, uint64_t user_id, const uint8_t *frame,
		       size_t bytes, uint8_t *out, size_t out_size, size_t *out_bytes)
{
	const struct dave_media_view *v = media_view(m);
	const struct dave_view_user *u;
	struct dave_frame f;
	int rc = -ENOKEY;

	/* In the clear at all times, from everybody: the end of a talk spurt. */
	if (dave_frame_is_silence(frame, bytes) || !dave_frame_parse(&f, frame, bytes)) {
		if (dave_frame_is_silence(frame, bytes)) {
			count(&m->received_silence);
		} else if (v && now_ns < v->plain_until_ns) {
			count(&m->received_plain);
		} else {
			count(&m->plain_refused);
			return -EACCES;
		}
		if (out_size < bytes)
			return -ENOSPC;
		memcpy(out, frame, bytes);
		*out_bytes = bytes;
		return 0;
	}
	u = v ? dave_media_view_find(v, user_id) : NULL;
	for (size_t i = 0; u && i < u->key_count; i++) {
		int tried;

		if (now_ns >= u->keys[i].expires_ns)
			continue;
		tried = dave_media_key_open(u->keys[i].key, now_ns, &f, out, out_size, out_bytes);
		if (tried == 0) {
			count(&m->decrypted);
			if (atomic_load_explicit(&u->state->failures, memory_order_relaxed))
				atomic_store_explicit(&u->state->failures, 0, memory_order_relaxed);
			return 0;
		}
		if (tried == -ENOSPC || tried == -EIO)
			return tried;
		/* A tag mismatch says more than a refused nonce: some key was applied. */
		if (rc != -EBADMSG)
			rc = tried;
	}
	/* A duplicate on the way is no sign of a wrong key. */
	if (u && rc != -EALREADY)
		atomic_fetch_add_explicit(&u->state->failures, 1, memory_order_relaxed);
	count(rc == -ENOKEY ? &m->no_key : rc == -EBADMSG ? &m->tag_mismatch : &m->nonce_refused);
	return rc;
}

void dave_media_stats(const struct dave_media *m, struct dave_media_stats *out)
{
#define COPY(field) out->field = atomic_load_explicit(&m->field, memory_order_relaxed)
	COPY(encrypted);
	COPY(sent_plain);
	COPY(sent_without_key);
	COPY(decrypted);
	COPY(received_plain);
	COPY(received_silence);
	COPY(plain_refused);
	COPY(no_key);
	COPY(nonce_refused);
	COPY(tag_mismatch);
#undef COPY
}
