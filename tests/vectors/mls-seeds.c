/* SPDX-License-Identifier: MIT
 *
 * mls-seeds.c - makes the member and the seed inputs of the fuzz targets of discord/mls by
 * self-play.
 *
 *	mls-seeds tests/fuzz
 *
 * writes mls_member.h (player 1 of a small group: keys, key package, Welcome) and
 * corpus/fuzz_mls_{parse,propose,process,join}. Run it again when a format changes: seeds and
 * member belong together.
 */
#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/mls_play.h"

static struct play play;
static const char *dir;

static void make_dir(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		UNIT_FAIL("%s: %s", path, strerror(errno));
}

/* A seed: an optional first byte, an optional vector, the rest. */
static void seed(const char *target, const char *name, int first, const struct mls_bytes *vector,
		 struct mls_bytes rest)
{
	struct mls_writer w = {0};
	char path[512];
	FILE *f;

	if (first >= 0)
		mls_write_u8(&w, (uint8_t)first);
	if (vector)
		mls_write_vector(&w, *vector);
	mls_write_bytes(&w, rest);
	snprintf(path, sizeof(path), "%s/corpus/%s/%s", dir, target, name);
	f = fopen(path, "wb");
	if (!f || fwrite(w.data, 1, w.len, f) != w.len || fclose(f) != 0)
		UNIT_FAIL("%s: %s", path, strerror(errno));
	mls_writer_clear(&w);
}

static void print_array(FILE *f, const char *name, struct mls_bytes bytes)
{
	fprintf(f, "static const uint8_t %s[%zu] = {", name, bytes.len);
	for (size_t i = 0; i < bytes.len; i++)
		fprintf(f, "%s0x%02x,", i % 16 ? " " : "\n\t", bytes.data[i]);
	fprintf(f, "\n};\n");
}

static void write_member(const uint8_t signature_private[32], struct mls_bytes welcome)
{
	const struct mls_key_package *self = play.players[1].key_package;
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/mls_member.h", dir);
	f = fopen(path, "w");
	if (!f)
		UNIT_FAIL("%s: %s", path, strerror(errno));
	fprintf(f,
		"/* SPDX-License-Identifier: MIT\n *\n * mls_member.h - a member of a small group, "
		"made by tests/vectors/mls-seeds.c; not to be edited.\n */\n"
		"#ifndef TESTS_FUZZ_MLS_MEMBER_H\n#define TESTS_FUZZ_MLS_MEMBER_H\n\n"
		"#include <stdint.h>\n\n");
	print_array(f, "member_signature", mls_bytes(signature_private, 32));
	print_array(f, "member_init", mls_bytes(self->init_private, 32));
	print_array(f, "member_leaf", mls_bytes(self->leaf_private, 32));
	print_array(f, "member_key_package", mls_view(&self->raw));
	print_array(f, "member_welcome", welcome);
	fprintf(f, "\n#endif\n");
	if (fclose(f) != 0)
		UNIT_FAIL("%s: %s", path, strerror(errno));
}

/* The Welcome opened: what fuzz_mls_join seals again. */
static void seed_join(const char *name, struct mls_bytes bytes)
{
	const struct mls_key_package *self = play.players[1].key_package;
	struct mls_reader r = mls_reader(bytes);
	uint8_t zeros[32] = {0}, member[32], key[16], nonce[12];
	struct mls_group_secrets_view secrets;
	struct mls_buffer secrets_raw, info;
	struct mls_welcome_entry entry;
	struct mls_welcome_view welcome;
	struct mls_bytes vector;

	mls_read_welcome(&r, &welcome);
	r = mls_reader(welcome.secrets);
	mls_read_welcome_entry(&r, &entry);
	MLS(mls_hpke_open(self->init_private, self->view.init_key.data, "Welcome",
			  welcome.encrypted_group_info, entry.secrets.kem_output,
			  entry.secrets.ciphertext, &secrets_raw));
	r = mls_reader(mls_view(&secrets_raw));
	mls_read_group_secrets(&r, &secrets);
	MLS(mls_schedule_member(secrets.joiner_secret.data, zeros, member));
	MLS(mls_schedule_welcome(member, key, nonce));
	MLS(mls_aead_open(key, nonce, welcome.encrypted_group_info, &info));
	vector = mls_view(&secrets_raw);
	seed("fuzz_mls_join", name, -1, &vector, mls_view(&info));
	mls_buffer_clear(&secrets_raw);
	mls_buffer_clear(&info);
}

/* Player 1 joins, by a commit with path, with the key package that is in mls_member.h. */
static void member_joins(const uint8_t signature_private[32])
{
	struct mls_writer w = {0};
	struct mls_buffer welcome;
	struct mls_commit commit;
	uint64_t epoch = mls_group_epoch(play.players[0].group);

	play_new_key_package(&play, 1);
	play_remove(&play, epoch, 3, &w);
	play_add(&play, epoch, 1, &w);
	for (int i = 0; i < PLAYERS; i++)
		if (play.players[i].group)
			MLS(mls_group_propose(play.players[i].group, mls_written(&w), NULL, NULL));
	MLS(mls_group_commit(play.players[2].group, &commit));
	play_cut_welcome(mls_view(&commit.welcome), 0, &welcome);
	write_member(signature_private, mls_view(&welcome));
	seed_join("path_secret", mls_view(&welcome));
	seed("fuzz_mls_parse", "welcome", 3, NULL, mls_view(&welcome));
	play_deliver(&play, 2, &commit, &(int){4}, 1, &(int){1}, 1); /* leaf 3 was player 4 */
	mls_buffer_clear(&welcome);
	mls_writer_clear(&w);
}

/* A proposals message and the commit of player 0 to it. */
static void seed_epoch(const char *name, const int *remove, size_t n_remove, const int *add,
		       size_t n_add)
{
	uint64_t epoch = mls_group_epoch(play.players[0].group);
	struct mls_writer w = {0};
	struct mls_commit commit;
	struct mls_bytes vector;

	for (size_t i = 0; i < n_remove; i++)
		play_remove(&play, epoch, (uint32_t)remove[i], &w);
	for (size_t i = 0; i < n_add; i++) {
		play_new_key_package(&play, add[i]);
		play_add(&play, epoch, add[i], &w);
	}
	vector = mls_written(&w);
	MLS(mls_group_propose(play.players[0].group, vector, NULL, NULL));
	MLS(mls_group_commit(play.players[0].group, &commit));
	seed("fuzz_mls_propose", name, -1, NULL, vector);
	seed("fuzz_mls_process", name, -1, &vector, mls_view(&commit.commit));
	seed("fuzz_mls_parse", name, 0, NULL, mls_view(&commit.commit));
	mls_group_forget_proposals(play.players[0].group);
	mls_commit_clear(&commit);
	mls_writer_clear(&w);
}

static void make(void)
{
	uint8_t signature_private[32], public_key[65];
	struct mls_writer tree = {0};

	make_dir("corpus/fuzz_mls_parse");
	make_dir("corpus/fuzz_mls_propose");
	make_dir("corpus/fuzz_mls_process");
	make_dir("corpus/fuzz_mls_join");
	play_begin(&play, 0);
	mls_signature_key_destroy(play.players[1].key);
	MLS(mls_p256_generate(signature_private, public_key));
	MLS(mls_signature_key_import(&play.players[1].key, signature_private));
	play_create(&play, 0);
	play_epoch(&play, 0, NULL, 0, (int[]){2, 3, 4, 5, 6}, 5);
	play_epoch(&play, 4, &(int){3}, 1, NULL, 0);
	play_epoch(&play, 6, NULL, 0, &(int){3}, 1);
	member_joins(signature_private);
	seed_epoch("add", NULL, 0, &(int){8}, 1);
	seed_epoch("remove", &(int){2}, 1, NULL, 0);
	seed_epoch("both", &(int){4}, 1, (int[]){8, 9, 10}, 3);
	seed_epoch("ourselves", &(int){(int)mls_group_own_leaf(play.players[1].group)}, 1, NULL, 0);
	seed("fuzz_mls_parse", "key_package", 1, NULL,
	     mls_key_package_bytes(play.players[8].key_package));
	seed("fuzz_mls_parse", "external_sender", 2, NULL, mls_view(&play.external_sender));
	mls_tree_write(play.players[0].group->tree, &tree);
	seed("fuzz_mls_parse", "tree", 4, NULL, mls_written(&tree));
	mls_writer_clear(&tree);
	play_end(&play);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: mls-seeds tests/fuzz\n");
		return 2;
	}
	dir = argv[1];
	UNIT(make);
	return unit_done();
}
