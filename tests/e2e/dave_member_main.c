/* SPDX-License-Identifier: MIT
 *
 * dave_member - end-to-end encryption for the members that sim_discord plays
 * (tests/sim/dave_member.h).
 *
 * One session and one set of media keys for each member; ends when its standard input does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discord/dave/session.h"
#include "tests/sim/dave_member.h"

#define MEMBERS_MAX 1024

struct member {
	struct dave_media *media;
	struct dave_session *session;
};

static struct dave_identity *identities[MEMBERS_MAX];
static struct member members[MEMBERS_MAX];
static uint8_t packet[DAVE_MEMBER_PACKET_MAX], reply[DAVE_MEMBER_PACKET_MAX];

static void note(char kind, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
	reply[0] = (uint8_t)kind;
	if (1 + a_bytes + b_bytes > sizeof(reply))
		return;
	memcpy(reply + 1, a, a_bytes);
	if (b_bytes)
		memcpy(reply + 1 + a_bytes, b, b_bytes);
	if (send(0, reply, 1 + a_bytes + b_bytes, MSG_NOSIGNAL) < 0)
		exit(0);
}

static void send_json(void *context, enum dave_op op, uint16_t transition_id)
{
	int64_t fields[2] = {op, transition_id};

	(void)context;
	note(DAVE_NOTE_JSON, fields, sizeof(fields), NULL, 0);
}

static void send_binary(void *context, const uint8_t *data, size_t bytes)
{
	(void)context;
	note(DAVE_NOTE_BINARY, data, bytes, NULL, 0);
}

static void log_line(void *context, enum dave_log_level level, const char *line)
{
	(void)context;
	if (level != DAVE_LOG_DEBUG)
		note(DAVE_NOTE_LOG, line, strlen(line), NULL, 0);
}

static void changed(void *context)
{
	(void)context;
}

static const struct dave_session_ops ops = {send_json, send_binary, log_line, changed};

static void member_gone(uint32_t i)
{
	dave_session_destroy(members[i].session);
	dave_media_destroy(members[i].media);
	dave_identity_destroy(identities[i]);
	memset(&members[i], 0, sizeof(members[i]));
	identities[i] = NULL;
}

static int member_new(uint32_t i, const uint64_t body[2])
{
	struct dave_session_config config = {.user_id = body[0],
					     .channel_id = body[1],
					     .ops = &ops,
					     .context = &members[i]};
	int rc;

	member_gone(i);
	rc = dave_identity_create(&identities[i]);
	if (rc == 0)
		rc = dave_media_create(&members[i].media);
	config.identity = identities[i];
	config.media = members[i].media;
	if (rc == 0)
		rc = dave_session_create(&members[i].session, &config);
	return rc;
}

static int handle(const struct dave_member_head *head, const uint8_t *body, size_t bytes,
		  uint8_t *out, size_t out_size, size_t *out_bytes)
{
	struct member *m = &members[head->member];
	int64_t fields[4] = {0};
	uint64_t ids[2] = {0};

	memcpy(fields, body, bytes < sizeof(fields) ? bytes : sizeof(fields));
	memcpy(ids, body, bytes < sizeof(ids) ? bytes : sizeof(ids));
	if (head->kind == DAVE_MEMBER_NEW)
		return member_new(head->member, ids);
	if (!m->session)
		return -ENOENT;
	switch (head->kind) {
	case DAVE_MEMBER_GONE:
		member_gone(head->member);
		return 0;
	case DAVE_MEMBER_SELECT:
		return dave_session_select(m->session, (unsigned)fields[0], head->now_ns);
	case DAVE_MEMBER_CONNECT:
		return dave_session_users_connect(m->session, ids, 1, head->now_ns);
	case DAVE_MEMBER_DISCONNECT:
		return dave_session_user_disconnect(m->session, ids[0], head->now_ns);
	case DAVE_MEMBER_JSON:
		if (fields[0] == DAVE_OP_PREPARE_TRANSITION)
			return dave_session_prepare_transition(m->session, (unsigned)fields[1],
							       (uint16_t)fields[2], head->now_ns);
		if (fields[0] == DAVE_OP_EXECUTE_TRANSITION)
			return dave_session_execute_transition(m->session, (uint16_t)fields[2],
							       head->now_ns);
		return dave_session_prepare_epoch(m->session, (unsigned)fields[1],
						  (uint64_t)fields[3], head->now_ns);
	case DAVE_MEMBER_BINARY:
		if (bytes == 0)
			return -EPROTO;
		return dave_session_binary(m->session, body[0], body + 1, bytes - 1, head->now_ns);
	case DAVE_MEMBER_TICK:
		return dave_session_tick(m->session, head->now_ns);
	case DAVE_MEMBER_SEAL:
		return dave_media_encrypt(m->media, head->now_ns, body, bytes, out, out_size,
					  out_bytes);
	case DAVE_MEMBER_VERIFY:
		*out_bytes = DAVE_VERIFICATION_CODE_DIGITS;
		return dave_session_verification_code(m->session, ids[0], (char *)out);
	case DAVE_MEMBER_OPEN:
		if (bytes < 8)
			return -EPROTO;
		return dave_media_decrypt(m->media, head->now_ns, ids[0], body + 8, bytes - 8, out,
					  out_size, out_bytes);
	default:
		return -EINVAL;
	}
}

int main(void)
{
	for (;;) {
		ssize_t n = recv(0, packet, sizeof(packet), 0);
		struct dave_member_end end = {0};
		struct dave_member_head head;
		uint8_t out[4096];
		size_t out_bytes = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(head))
			break;
		memcpy(&head, packet, sizeof(head));
		if (head.member >= MEMBERS_MAX)
			break;
		end.status = handle(&head, packet + sizeof(head), (size_t)n - sizeof(head), out,
				    sizeof(out), &out_bytes);
		if (members[head.member].session) {
			const struct dave_session *s = members[head.member].session;

			end.state = dave_session_state(s);
			end.epoch = dave_session_epoch(s);
			snprintf(end.code, sizeof(end.code), "%s", dave_session_privacy_code(s));
		}
		note(DAVE_NOTE_END, &end, sizeof(end), out, out_bytes);
	}
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		member_gone(i);
	return 0;
}
