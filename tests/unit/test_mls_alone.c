/* SPDX-License-Identifier: MIT
 *
 * The MLS library as another project would take it: this program includes its one public header
 * and the Makefile links it with libmls.a and libcrypto alone. Two members make a group, a
 * delivery service (whose few message bytes are put together by hand) adds the second.
 */
#include "discord/mls/mls.h"

#include "unit.h"

struct bytes {
	uint8_t at[2048];
	size_t n;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	CHECK(b->n + n <= sizeof(b->at));
	memcpy(b->at + b->n, data, n);
	b->n += n;
}

/* opaque x<V>, shorter than 16384 */
static void put_vector(struct bytes *b, const void *data, size_t n)
{
	uint8_t header[2] = {(uint8_t)(0x40 | n >> 8), (uint8_t)n};

	put(b, n < 64 ? header + 1 : header, n < 64 ? 1 : 2);
	put(b, data, n);
}

static struct mls_bytes view(const struct bytes *b)
{
	return (struct mls_bytes){b->at, b->n};
}

static void test_two_members_and_a_service(void)
{
	static const uint8_t context[] = {1, 2, 3};
	struct mls_bytes group_id = {(const uint8_t *)"group", 5}, package;
	struct mls_signature_key *service, *key_a, *key_b;
	struct mls_key_package *package_a, *package_b;
	struct bytes sender = {{0}, 0}, framed = {{0}, 0}, message = {{0}, 0}, tbs = {{0}, 0};
	struct mls_group *group_a, *group_b;
	struct mls_buffer signature;
	struct mls_commit commit;
	uint8_t public_key[MLS_PUBLIC_KEY_BYTES], a[32], b[32];

	CHECK_INT(mls_signature_key_create(&service), MLS_OK);
	CHECK_INT(mls_signature_key_create(&key_a), MLS_OK);
	CHECK_INT(mls_signature_key_create(&key_b), MLS_OK);
	CHECK_INT(mls_key_package_create(&package_a, key_a, (struct mls_bytes){(void *)"alice", 5}),
		  MLS_OK);
	CHECK_INT(mls_key_package_create(&package_b, key_b, (struct mls_bytes){(void *)"bob", 3}),
		  MLS_OK);
	mls_signature_key_public(service, public_key);
	put_vector(&sender, public_key, sizeof(public_key));
	put(&sender, "\x00\x01", 2);
	put_vector(&sender, "service", 7);
	CHECK_INT(mls_group_create(&group_a, package_a, group_id, view(&sender), 0), MLS_OK);

	/* FramedContent: group, epoch 0, external sender 0, no data, proposal, Add */
	put_vector(&framed, group_id.data, group_id.len);
	put(&framed, "\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\x02\0\x01", 17);
	package = mls_key_package_bytes(package_b);
	put(&framed, package.data, package.len);
	put(&tbs, "\0\1\0\1", 4);
	put(&tbs, framed.at, framed.n);
	CHECK_INT(mls_sign(service, "FramedContentTBS", view(&tbs), &signature), MLS_OK);
	put(&message, tbs.at, tbs.n);
	put_vector(&message, signature.data, signature.len);
	CHECK_INT(mls_group_propose(group_a, view(&message), NULL, NULL), MLS_OK);

	CHECK_INT(mls_group_commit(group_a, &commit), MLS_OK);
	CHECK_INT(mls_group_join(&group_b, package_b,
				 (struct mls_bytes){commit.welcome.data, commit.welcome.len}, NULL),
		  MLS_OK);
	mls_group_epoch_authenticator(commit.next, a);
	mls_group_epoch_authenticator(group_b, b);
	CHECK_MEM(a, b, 32);
	CHECK_INT(mls_group_export(commit.next, "key", (struct mls_bytes){context, 3}, a, 16), 0);
	CHECK_INT(mls_group_export(group_b, "key", (struct mls_bytes){context, 3}, b, 16), 0);
	CHECK_MEM(a, b, 16);
	CHECK_INT(mls_group_member_count(group_b), 2);
	CHECK_INT(mls_group_epoch(group_a), 0);
	CHECK_INT(mls_group_epoch(group_b), 1);

	mls_commit_clear(&commit);
	mls_buffer_clear(&signature);
	mls_group_destroy(group_a);
	mls_group_destroy(group_b);
	mls_key_package_destroy(package_a);
	mls_key_package_destroy(package_b);
	mls_signature_key_destroy(service);
	mls_signature_key_destroy(key_a);
	mls_signature_key_destroy(key_b);
}

int main(void)
{
	UNIT(test_two_members_and_a_service);
	return unit_done();
}
