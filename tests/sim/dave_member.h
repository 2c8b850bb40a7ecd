/* SPDX-License-Identifier: MIT
 *
 * dave_member.h - how sim_discord talks to the program that keeps the encryption of its members.
 *
 * The simulator may share no code with what it tests, yet its members must be in the MLS group of
 * an encrypted channel. So the group state and media keys of all its members live in a program of
 * their own (tests/e2e/dave_member_main.c, over discord/dave), spoken to over a SOCK_SEQPACKET
 * pair that is its standard input. That this program and the programs under test do not merely
 * agree with each other in their errors is for the real clients of tests/interop to show.
 *
 * A request is one packet: kind, member number (u32), time (i64 ns), body; integers are in host
 * order. The answer is any number of NOTE packets and one END packet.
 */
#ifndef TESTS_SIM_DAVE_MEMBER_H
#define TESTS_SIM_DAVE_MEMBER_H

#include <stdint.h>

#define DAVE_MEMBER_PACKET_MAX 70000
#define DAVE_MEMBER_CODE       31

enum dave_member_request {
	DAVE_MEMBER_NEW = 'N',        /* u64 user, u64 channel */
	DAVE_MEMBER_GONE = 'X',       /* - */
	DAVE_MEMBER_SELECT = 'S',     /* i64 version: op 4 */
	DAVE_MEMBER_CONNECT = 'U',    /* u64 user: op 11 */
	DAVE_MEMBER_DISCONNECT = 'D', /* u64 user: op 13 */
	DAVE_MEMBER_JSON = 'J',       /* i64 op, version, transition, epoch: ops 21, 22, 24 */
	DAVE_MEMBER_BINARY = 'B',     /* u8 op, payload: ops 25, 27, 29, 30 */
	DAVE_MEMBER_TICK = 'T',       /* - */
	DAVE_MEMBER_SEAL = 'E',       /* Opus; END has the frame */
	DAVE_MEMBER_VERIFY = 'V',     /* u64 user; END has the verification code */
	DAVE_MEMBER_OPEN = 'R',       /* u64 user, frame; END has the Opus packet */
};

struct dave_member_head {
	uint8_t kind;
	uint8_t pad[3];
	uint32_t member;
	int64_t now_ns;
};

enum dave_member_note {
	DAVE_NOTE_JSON = 'j',   /* i64 op, i64 transition: 23, 31 */
	DAVE_NOTE_BINARY = 'b', /* u8 op, payload: 26, 28 */
	DAVE_NOTE_LOG = 'l',    /* a line */
	DAVE_NOTE_END = 'e',    /* struct dave_member_end, then what was asked for */
};

struct dave_member_end {
	int32_t status; /* 0 or a negative errno */
	int32_t state;  /* enum dave_state */
	uint64_t epoch;
	char code[DAVE_MEMBER_CODE]; /* privacy code, or empty */
	char pad;
};

#endif
