/* SPDX-License-Identifier: MIT
 *
 * dave_wire.c - reading and writing the MLS structures a delivery service handles.
 */
#include "tests/sim/dave_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

/* ---- writing ----------------------------------------------------------------------------- */

static void must(bool fine)
{
	if (!fine) {
		fprintf(stderr, "dave_wire: out of memory, or libcrypto failed\n");
		abort();
	}
}

void wire_put(struct wire_buffer *b, const void *data, size_t len)
{
	if (b->room - b->len < len) {
		b->room = (b->len + len) * 2;
		b->data = realloc(b->data, b->room);
		must(b->data != NULL);
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

void wire_put_u8(struct wire_buffer *b, unsigned v)
{
	uint8_t c = (uint8_t)v;

	wire_put(b, &c, 1);
}

void wire_put_u16(struct wire_buffer *b, unsigned v)
{
	wire_put_u8(b, v >> 8);
	wire_put_u8(b, v & 0xff);
}

void wire_put_u32(struct wire_buffer *b, uint32_t v)
{
	wire_put_u16(b, v >> 16);
	wire_put_u16(b, v & 0xffff);
}

void wire_put_u64(struct wire_buffer *b, uint64_t v)
{
	wire_put_u32(b, (uint32_t)(v >> 32));
	wire_put_u32(b, (uint32_t)v);
}

void wire_put_vec(struct wire_buffer *b, const void *data, size_t len)
{
	if (len < 64)
		wire_put_u8(b, (unsigned)len);
	else if (len < 16384)
		wire_put_u16(b, 0x4000 | (unsigned)len);
	else
		wire_put_u32(b, 0x80000000 | (uint32_t)len);
	wire_put(b, data, len);
}

void wire_clear(struct wire_buffer *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/* ---- reading ----------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static struct cursor cursor_of(struct wire_bytes b)
{
	return (struct cursor){b.data, b.data + b.len, false};
}

static struct wire_bytes get(struct cursor *c, size_t n)
{
	struct wire_bytes b = {c->p, 0};

	if (c->bad || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return b;
	}
	b.len = n;
	c->p += n;
	return b;
}

static uint64_t get_uint(struct cursor *c, size_t bytes)
{
	struct wire_bytes b = get(c, bytes);
	uint64_t v = 0;

	for (size_t i = 0; i < b.len; i++)
		v = v << 8 | b.data[i];
	return v;
}

static struct wire_bytes get_vec(struct cursor *c)
{
	size_t head, len;

	if (c->bad || c->p == c->end) {
		c->bad = true;
		return (struct wire_bytes){c->p, 0};
	}
	head = c->p[0] >> 6;
	if (head == 3) {
		c->bad = true;
		return (struct wire_bytes){c->p, 0};
	}
	len = (size_t)get_uint(c, (size_t)1 << head) & (((size_t)1 << ((8u << head) - 2)) - 1);
	/* the shortest form only */
	if ((head == 1 && len < 64) || (head == 2 && len < 16384))
		c->bad = true;
	return get(c, len);
}

/* ---- keys -------------------------------------------------------------------------------- */

void wire_key_create(struct wire_key *k)
{
	size_t len = 0;

	k->pkey = EVP_EC_gen("P-256");
	must(k->pkey != NULL);
	must(EVP_PKEY_set_utf8_string_param(k->pkey, "point-format", "uncompressed") == 1);
	must(EVP_PKEY_get_octet_string_param(k->pkey, "encoded-pub-key", k->point, sizeof(k->point),
					     &len) == 1);
	must(len == sizeof(k->point) && k->point[0] == 4);
}

void wire_key_clear(struct wire_key *k)
{
	EVP_PKEY_free(k->pkey);
	memset(k, 0, sizeof(*k));
}

static void signed_content(const char *label, const struct wire_buffer *content,
			   struct wire_buffer *out)
{
	char full[64];

	snprintf(full, sizeof(full), "MLS 1.0 %s", label);
	wire_put_vec(out, full, strlen(full));
	wire_put_vec(out, content->data, content->len);
}

/* Appends vec(signature) to out. */
static void sign(const struct wire_key *k, const char *label, const struct wire_buffer *content,
		 struct wire_buffer *out)
{
	struct wire_buffer tbs = {0};
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[80];
	size_t len = sizeof(signature);

	signed_content(label, content, &tbs);
	must(md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
	     EVP_DigestSign(md, signature, &len, tbs.data, tbs.len) == 1);
	wire_put_vec(out, signature, len);
	EVP_MD_CTX_free(md);
	wire_clear(&tbs);
}

static bool verify(struct wire_bytes point, const char *label, const uint8_t *content, size_t len,
		   struct wire_bytes signature)
{
	struct wire_buffer tbs = {0}, c = {0};
	EVP_PKEY *key = EVP_PKEY_new();
	EVP_PKEY *params = EVP_EC_gen("P-256");
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool fine;

	must(key && params && md);
	wire_put(&c, content, len);
	signed_content(label, &c, &tbs);
	fine = EVP_PKEY_copy_parameters(key, params) == 1 &&
	       EVP_PKEY_set1_encoded_public_key(key, point.data, point.len) == 1 &&
	       EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(md, signature.data, signature.len, tbs.data, tbs.len) == 1;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(params);
	EVP_PKEY_free(key);
	wire_clear(&c);
	wire_clear(&tbs);
	return fine;
}

static void ref_hash(const char *label, const uint8_t *value, size_t len,
		     uint8_t out[WIRE_HASH_BYTES])
{
	struct wire_buffer b = {0};

	wire_put_vec(&b, label, strlen(label));
	wire_put_vec(&b, value, len);
	must(EVP_Digest(b.data, b.len, out, NULL, EVP_sha256(), NULL) == 1);
	wire_clear(&b);
}

void wire_external_sender(const struct wire_key *k, const void *identity, size_t len,
			  struct wire_buffer *out)
{
	wire_put_vec(out, k->point, sizeof(k->point));
	wire_put_u16(out, 1);
	wire_put_vec(out, identity, len);
}

/* ---- key packages ------------------------------------------------------------------------ */

/* versions [1], suites [2], nothing, nothing, credentials [1]: what the real gateway demands */
static const uint8_t capabilities[11] = {2, 0, 1, 2, 0, 2, 0, 0, 2, 0, 1};

const char *wire_key_package_check(struct wire_bytes kp, uint64_t user_id)
{
	struct cursor c = cursor_of(kp);
	struct wire_bytes init, encryption, signature_key, identity, signature;
	const uint8_t *leaf, *leaf_end, *end;

	if (get_uint(&c, 2) != 1 || get_uint(&c, 2) != 2)
		return "key package is not MLS 1.0, suite 2 (an MLSMessage head?)";
	init = get_vec(&c);
	leaf = c.p;
	encryption = get_vec(&c);
	signature_key = get_vec(&c);
	if (c.bad || init.len != WIRE_POINT_BYTES || encryption.len != WIRE_POINT_BYTES ||
	    signature_key.len != WIRE_POINT_BYTES)
		return "key package with a key that is no uncompressed point";
	if (get_uint(&c, 2) != 1)
		return "credential is not basic";
	identity = get_vec(&c);
	if (identity.len != 8)
		return "identity is not eight bytes";
	{
		struct cursor id = cursor_of(identity);

		if (get_uint(&id, 8) != user_id)
			return "identity is another user";
	}
	if ((size_t)(c.end - c.p) < sizeof(capabilities) ||
	    memcmp(get(&c, sizeof(capabilities)).data, capabilities, sizeof(capabilities)) != 0)
		return "capabilities differ from the demanded ones";
	if (get_uint(&c, 1) != 1)
		return "leaf source is not key_package";
	if (get_uint(&c, 8) != 0 || get_uint(&c, 8) != UINT64_MAX)
		return "lifetime is not 0 to 2^64-1";
	if (get_vec(&c).len)
		return "leaf has extensions";
	leaf_end = c.p;
	signature = get_vec(&c);
	if (c.bad ||
	    !verify(signature_key, "LeafNodeTBS", leaf, (size_t)(leaf_end - leaf), signature))
		return "leaf signature does not verify";
	if (get_vec(&c).len)
		return "key package has extensions";
	end = c.p;
	signature = get_vec(&c);
	if (c.bad || c.p != c.end ||
	    !verify(signature_key, "KeyPackageTBS", kp.data, (size_t)(end - kp.data), signature))
		return "key package signature does not verify";
	return NULL;
}

void wire_key_package_ref(struct wire_bytes kp, uint8_t ref[WIRE_HASH_BYTES])
{
	ref_hash("MLS 1.0 KeyPackage Reference", kp.data, kp.len, ref);
}

void wire_key_package_make(uint64_t user_id, struct wire_buffer *out)
{
	struct wire_key init, encryption, signature;
	struct wire_buffer leaf = {0}, id = {0};

	wire_key_create(&init);
	wire_key_create(&encryption);
	wire_key_create(&signature);
	wire_put_u64(&id, user_id);
	wire_put_vec(&leaf, encryption.point, WIRE_POINT_BYTES);
	wire_put_vec(&leaf, signature.point, WIRE_POINT_BYTES);
	wire_put_u16(&leaf, 1);
	wire_put_vec(&leaf, id.data, id.len);
	wire_put(&leaf, capabilities, sizeof(capabilities));
	wire_put_u8(&leaf, 1);
	wire_put_u64(&leaf, 0);
	wire_put_u64(&leaf, UINT64_MAX);
	wire_put_u8(&leaf, 0);
	sign(&signature, "LeafNodeTBS", &leaf, &leaf);
	wire_put_u16(out, 1);
	wire_put_u16(out, 2);
	wire_put_vec(out, init.point, WIRE_POINT_BYTES);
	wire_put(out, leaf.data, leaf.len);
	wire_put_u8(out, 0);
	sign(&signature, "KeyPackageTBS", out, out);
	wire_clear(&leaf);
	wire_clear(&id);
	wire_key_clear(&init);
	wire_key_clear(&encryption);
	wire_key_clear(&signature);
}

/* ---- proposals --------------------------------------------------------------------------- */

void wire_proposal(const struct wire_key *sender, uint64_t group_id, uint64_t epoch,
		   const struct wire_bytes *kp, uint32_t leaf, struct wire_buffer *out,
		   uint8_t ref[WIRE_HASH_BYTES])
{
	struct wire_buffer message = {0}, id = {0};

	wire_put_u64(&id, group_id);
	wire_put_u16(&message, 1); /* MLS 1.0 */
	wire_put_u16(&message, 1); /* public message */
	wire_put_vec(&message, id.data, id.len);
	wire_put_u64(&message, epoch);
	wire_put_u8(&message, 2); /* external sender */
	wire_put_u32(&message, 0);
	wire_put_u8(&message, 0); /* no authenticated data */
	wire_put_u8(&message, 2); /* proposal */
	wire_put_u16(&message, kp ? 1 : 3);
	if (kp)
		wire_put(&message, kp->data, kp->len);
	else
		wire_put_u32(&message, leaf);
	/* An external sender's signature covers no group context. */
	sign(sender, "FramedContentTBS", &message, &message);
	/* the reference is over the message without its version */
	ref_hash("MLS 1.0 Proposal Reference", message.data + 2, message.len - 2, ref);
	wire_put(out, message.data, message.len);
	wire_clear(&message);
	wire_clear(&id);
}

/* ---- commits ----------------------------------------------------------------------------- */

static void skip_leaf_node(struct cursor *c)
{
	unsigned source;

	get_vec(c);
	get_vec(c);
	if (get_uint(c, 2) != 1)
		c->bad = true;
	get_vec(c);
	for (int i = 0; i < 5; i++)
		get_vec(c);
	source = (unsigned)get_uint(c, 1);
	if (source == 1)
		get(c, 16);
	else if (source == 3)
		get_vec(c);
	else if (source != 2)
		c->bad = true;
	get_vec(c);
	get_vec(c);
}

static const char *welcome_parse(struct wire_commit *w)
{
	struct cursor c = cursor_of(w->welcome), list;

	if (get_uint(&c, 2) != 2)
		return "what follows the commit is no bare Welcome of suite 2";
	list = cursor_of(get_vec(&c));
	while (!c.bad && !list.bad && list.p < list.end) {
		const uint8_t *start = list.p;
		struct wire_bytes ref = get_vec(&list);

		get_vec(&list);
		get_vec(&list);
		if (list.bad || ref.len != WIRE_HASH_BYTES || w->entry_count == WIRE_REFS_MAX)
			return "Welcome with a malformed entry";
		w->entries[w->entry_count].ref = ref.data;
		w->entries[w->entry_count].whole.data = start;
		w->entries[w->entry_count].whole.len = (size_t)(list.p - start);
		w->entry_count++;
	}
	w->group_info = get_vec(&c);
	return c.bad || c.p != c.end ? "Welcome malformed, or bytes left over" : NULL;
}

const char *wire_commit_parse(struct wire_bytes message, struct wire_commit *out)
{
	struct cursor c = cursor_of(message), list;
	struct wire_bytes id;

	memset(out, 0, sizeof(*out));
	if (get_uint(&c, 2) != 1 || get_uint(&c, 2) != 1)
		return "not an MLSMessage with a public message";
	id = get_vec(&c);
	if (id.len != 8)
		return "group id is not eight bytes";
	for (size_t i = 0; i < 8; i++)
		out->group_id = out->group_id << 8 | id.data[i];
	out->epoch = get_uint(&c, 8);
	if (get_uint(&c, 1) != 1)
		return "sender is no member";
	out->sender = (uint32_t)get_uint(&c, 4);
	get_vec(&c);
	if (get_uint(&c, 1) != 3)
		return "content is no commit";
	list = cursor_of(get_vec(&c));
	while (!c.bad && !list.bad && list.p < list.end) {
		struct wire_bytes ref;

		if (get_uint(&list, 1) != 2)
			return "a proposal not by reference";
		ref = get_vec(&list);
		if (list.bad || ref.len != WIRE_HASH_BYTES || out->ref_count == WIRE_REFS_MAX)
			return "malformed proposal reference";
		out->refs[out->ref_count++] = ref.data;
	}
	out->has_path = get_uint(&c, 1) == 1;
	if (out->has_path) {
		struct cursor nodes;

		skip_leaf_node(&c);
		nodes = cursor_of(get_vec(&c));
		while (!c.bad && !nodes.bad && nodes.p < nodes.end) {
			get_vec(&nodes);
			get_vec(&nodes);
		}
		c.bad |= nodes.bad;
	}
	get_vec(&c); /* signature */
	get_vec(&c); /* confirmation tag */
	if (get_vec(&c).len != WIRE_HASH_BYTES || c.bad)
		return "commit cut short";
	out->commit = (struct wire_bytes){message.data, (size_t)(c.p - message.data)};
	out->welcome = (struct wire_bytes){c.p, (size_t)(c.end - c.p)};
	return out->welcome.len ? welcome_parse(out) : NULL;
}

void wire_welcome_cut(const struct wire_commit *c, size_t entry, struct wire_buffer *out)
{
	wire_put_u16(out, 2);
	wire_put_vec(out, c->entries[entry].whole.data, c->entries[entry].whole.len);
	wire_put_vec(out, c->group_info.data, c->group_info.len);
}
