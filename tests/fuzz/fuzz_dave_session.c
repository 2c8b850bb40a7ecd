/* SPDX-License-Identifier: MIT
 *
 * fuzz_dave_session.c - the voice gateway as an enemy: any ops in any order.
 *
 * The input is a list of records: u8 op, u8 argument, u16 length, bytes. The session is a member with
 * known keys (of the recorded group of davey), so that a valid Welcome, proposals and commits are
 * within the fuzzer's reach from its seeds. Keys are random anew in each run, so nothing but the
 * session's own rules may decide what happens.
 */
#include <stdlib.h>
#include <string.h>

#include "discord/dave/session_internal.h"
#include "tests/fuzz/dave_member_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sent;

static void send_json(void *context, enum dave_op op, uint16_t transition_id)
{
	(void)context;
	(void)transition_id;
	if (op != DAVE_OP_READY_FOR_TRANSITION && op != DAVE_OP_INVALID_COMMIT_WELCOME)
		abort();
	sent++;
}

static void send_binary(void *context, const uint8_t *data, size_t bytes)
{
	(void)context;
	if (bytes < 2 || (data[0] != DAVE_OP_KEY_PACKAGE && data[0] != DAVE_OP_COMMIT_WELCOME))
		abort();
	sent++;
}

static void log_line(void *context, enum dave_log_level level, const char *line)
{
	(void)context;
	(void)level;
	if (strlen(line) > 255)
		abort();
}

static void changed(void *context)
{
	(void)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dave_session_ops ops = {send_json, send_binary, log_line, changed};
	static struct dave_identity identity;
	struct dave_media *media;
	struct dave_session *s;
	struct dave_session_config config = {
		.user_id = MEMBER_USER, .channel_id = MEMBER_CHANNEL, .identity = &identity, .ops = &ops};
	int64_t now = 1000000000;

	if (!identity.key && mls_signature_key_import(&identity.key, member_signature))
		abort();
	if (dave_media_create(&media))
		abort();
	config.media = media;
	if (dave_session_create(&s, &config))
		abort();
	while (size >= 4) {
		unsigned op = data[0], arg = data[1];
		size_t len = (size_t)(data[2] << 8 | data[3]);
		uint64_t user = 0;

		data += 4;
		size -= 4;
		if (len > size)
			len = size;
		for (size_t i = 0; i < len && i < 8; i++)
			user = user << 8 | data[i];
		switch (op) {
		case 4:
			dave_session_select(s, arg, now);
			break;
		case 5: { /* the member's own key package is out */
			struct mls_key_package *package;

			if (mls_key_package_import(&package, identity.key,
						   (struct mls_bytes){member_key_package,
								      sizeof(member_key_package)},
						   member_init, member_leaf))
				abort();
			if (dave_session_version(s) && !dave_session_epoch(s))
				dave_session_use_key_package(s, package);
			else
				mls_key_package_destroy(package);
			break;
		}
		case 11:
			dave_session_users_connect(s, &user, 1, now);
			break;
		case 13:
			dave_session_user_disconnect(s, user, now);
			break;
		case 21:
			dave_session_prepare_transition(s, arg & 1, (uint16_t)user, now);
			break;
		case 22:
			dave_session_execute_transition(s, (uint16_t)user, now);
			break;
		case 24:
			dave_session_prepare_epoch(s, arg & 1, arg >> 1, now);
			break;
		case 30:
		case 29:
		case 27:
		case 25:
			dave_session_binary(s, op, data, len, now);
			break;
		case 40:
			dave_session_move(s, user, now);
			break;
		default:
			now += (int64_t)arg * 100000000;
			dave_session_tick(s, now);
			break;
		}
		data += len;
		size -= len;
	}
	if (strlen(dave_session_privacy_code(s)) != 0 && dave_session_epoch(s) == 0)
		abort();
	dave_session_destroy(s);
	dave_media_destroy(media);
	return 0;
}
