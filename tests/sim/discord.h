/* SPDX-License-Identifier: MIT
 *
 * discord.h - the parts of sim_discord among themselves.
 *
 * discord_world.c: guilds, channels, users, voice states. discord_gateway.c: the main gateway.
 * discord_rest.c: REST. discord_voice.c: voice gateway. discord_sfu.c: the media server and its
 * UDP. discord_rtp.c: packets and their encryption. discord_member.c: members who speak.
 * discord_ear.c: recordings. sim_discord_main.c, discord_faults.c: the commands.
 */
#ifndef TESTS_SIM_DISCORD_H
#define TESTS_SIM_DISCORD_H

#include "tests/sim/audio.h"
#include "tests/sim/control.h"
#include "tests/sim/dave_seam.h"
#include "tests/sim/http.h"

#define INTENT_GUILDS	       (1 << 0)
#define INTENT_VOICE_STATES    (1 << 7)
#define INTENT_MESSAGES	       (1 << 9)
#define INTENT_MESSAGE_CONTENT (1 << 15)

struct gateway_session;
struct voice_session;
struct party;

struct guild {
	struct guild *next;
	uint64_t id;
	char name[64];
	struct voice_server *server;
};

struct channel {
	struct channel *next;
	uint64_t id;
	struct guild *guild;
	int type; /* 0 text, 2 voice */
	char name[64];
	bool deleted;
	/* a voice channel's room */
	bool dave, require_dave, listen_needs_voice;
	bool no_gcm, no_xchacha, xchacha_first;
	int user_limit;
	double padding; /* share of packets with RTP padding */
	void *dave_room;
	struct party *parties;
	cJSON *messages; /* a text channel's */
};

#define IDENTIFIES_A_DAY 1000

struct user {
	struct user *next;
	uint64_t id;
	char name[64];
	bool bot;
	char token[128]; /* bots that connect */
	cJSON *roles;
	struct voice_state {
		struct voice_state *next;
		struct guild *guild;
		struct channel *channel;
		char session_id[40];
		bool self_mute, self_deaf, mute, deaf;
		struct gateway_session *by; /* the session that joined; NULL: a member of ours */
	} *states;
	struct member *member; /* played by us */
	cJSON *commands;       /* registered slash commands, by guild id ("0": global) */
	int identifies_left;
	int64_t identifies_reset_ns; /* when there are 1000 again; 0: in hours */
	bool told_empty;             /* it was told that none are left */
};

struct discord {
	struct sim_loop *loop;
	struct ssl_ctx_st *tls;
	int rest_port, resume_port;
	struct guild *guilds;
	struct channel *channels;
	struct user *users;
	struct gateway_session *sessions;
	struct voice_server *servers;
	struct voice_session *voices;
	bool message_content; /* granted in the portal */
	int gateway_heartbeat_ms, voice_heartbeat_ms;
	uint64_t last_id, random;
	/* faults to come */
	struct {
		int code, count;
		char when[16];
	} gateway_next, voice_next;
	struct {
		int status, count;
		double retry_after;
		bool global;
		char match[128];
	} rest_next;
};

extern struct discord D; /* one in a process */

/* ---- discord_world.c ---- */
uint64_t new_id(void);
void id_text(uint64_t id, char out[24]);
cJSON *id_json(uint64_t id);
uint64_t id_of(const cJSON *o, const char *key);
void random_hex(char *out, size_t digits);
struct guild *guild_add(uint64_t id, const char *name);
struct channel *channel_add(struct guild *g, uint64_t id, int type, const char *name);
struct user *user_add(uint64_t id, const char *name, bool bot);
struct guild *guild_find(uint64_t id);
struct channel *channel_find(uint64_t id);
struct user *user_find(uint64_t id);
struct user *user_by_token(const char *token);
/* And how long until there are IDENTIFIES_A_DAY again, where asked for. */
int user_identifies_left(struct user *u, int64_t *reset_ms);
struct voice_state *voice_state_of(struct user *u, struct guild *g, bool create);
cJSON *user_json(const struct user *u);
cJSON *member_json(const struct user *u);
cJSON *channel_json(const struct channel *c);
cJSON *guild_json(const struct guild *g, bool create);
cJSON *voice_state_json(const struct user *u, const struct voice_state *v, bool in_guild);
/* Put a user into a channel (NULL: out) and tell everybody. */
void voice_state_change(struct user *u, struct guild *g, struct channel *c);
void voice_state_tell(struct user *u, struct voice_state *v);

/* ---- discord_gateway.c ---- */
int gateway_start(void);
void gateway_accept(struct sim_http *h, const struct sim_http_message *r);
/* To every session that sees the guild and asked for one of `intents` (0: always). Takes d. */
void dispatch(const struct guild *g, int intents, const char *type, cJSON *d);
void dispatch_to(struct gateway_session *s, const char *type, cJSON *d);
struct gateway_session *session_of(const struct user *u);
void message_dispatch(struct channel *c, const cJSON *message, const struct user *author);
cJSON *gateway_state(void);
const char *gateway_command(void *ctx, const cJSON *command, cJSON *answer);
void voice_server_tell(struct gateway_session *s, struct guild *g, const char *token,
		       const struct voice_server *v);
struct user *session_user(const struct gateway_session *s);

/* ---- discord_rest.c ---- */
void rest_request(struct sim_http *h, const struct sim_http_message *r);
const char *rest_interact(void *ctx, const cJSON *command, cJSON *answer);
cJSON *message_add(struct channel *c, const struct user *author, const char *content);

/* ---- discord_voice.c ---- */
struct voice_server {
	struct voice_server *next;
	int port;
	struct sim_listener *listener;
};

/* One connection of a bot: promised by VOICE_SERVER_UPDATE, begun by identify, kept through
 * resumes, ended by leaving. */
struct voice_session {
	struct voice_session *next;
	struct user *user;
	struct guild *guild;
	struct channel *channel;
	struct voice_server *server;
	char session_id[40], token[40];
	struct sim_ws *ws;
	struct voice_link *link; /* the socket's own state; NULL without one */
	bool identified, described, spoke_op5, mute_acks;
	int max_dave;
	int64_t seq; /* of the last numbered message; -1 none */
	struct numbered {
		int64_t seq;
		bool binary;
		uint8_t *data;
		size_t len;
		struct numbered *next;
	} *buffer, **buffer_tail;
	struct sim_timer linger, heartbeat;
	int64_t hold_until_ns;
	struct party *party;
	/* media (discord_sfu.c) */
	int udp_fd, udp_port;
	struct {
		uint32_t ip; /* network order */
		uint16_t port;
		bool known;
	} peer;
	char mode[40];
	uint8_t key[32];
	uint32_t nonce;
	bool udp_mute, keepalive_mute, heard_from;
	int discovery_lose;
	struct impair {
		double loss, burst, reorder, duplicate;
		int64_t jitter_ns, delay_ns;
		uint64_t seed;
		bool on, losing;
	} in, out;
	struct sim_timer report;
	int pad_burst;
	uint32_t recent_nonces[64];
	int nonce_count;
	int64_t packets, sound_packets, bytes, undecryptable, bad_header, seq_gaps, ts_odd, keepalives,
		before_speaking, nonce_reuse, sent;
};

int voice_start(void);
struct voice_server *voice_server_add(void);
/* A bot joined a channel: what it will need to identify. Replaces an older session. */
struct voice_session *voice_promise(struct user *u, struct guild *g, struct channel *c,
				    const char *session_id);
struct voice_session *voice_find(const struct user *u, const struct guild *g);
/* End it: the socket is closed with code (0: none), the room is told. */
void voice_session_end(struct voice_session *v, int code);
void voice_send(struct voice_session *v, int op, cJSON *d, bool numbered);
/* To every bot in the channel but `except`. Takes d. */
void voice_room_send(struct channel *c, const struct party *except, int op, cJSON *d);
const char *voice_command(void *ctx, const cJSON *command, cJSON *answer);
cJSON *voice_session_json(const struct voice_session *v);

/* ---- discord_sfu.c ---- */

/* Somebody in a voice channel: a bot's connection or a member of ours. */
struct party {
	struct party *next;
	struct channel *channel;
	struct user *user;
	struct voice_session *voice; /* NULL: ours */
	uint32_t ssrc;
	bool announced; /* its SSRC was told by op 5 */
	/* what was heard last */
	bool any, in_spurt;
	uint16_t seq;
	uint32_t timestamp;
	int last_samples;
	int64_t last_ns;
	int silences;
	struct sim_timer spurt_timer;
};

struct rtp_packet {
	uint16_t seq;
	uint32_t timestamp, ssrc;
	const uint8_t *payload;
	size_t len;
	int level; /* -dBov for the extension; -1: send without extension */
	int64_t t_ns;
};

struct party *party_add(struct channel *c, struct user *u, struct voice_session *v);
void party_remove(struct party *p);
void party_announce(struct party *p, int speaking);
/* A packet of a party goes to everybody else in the room. */
void sfu_packet(struct party *from, const struct rtp_packet *p);
int sfu_open(struct voice_session *v);
void sfu_close(struct voice_session *v);
void sfu_key(struct voice_session *v, const char *mode);
void sfu_garbage(struct voice_session *v, int count, uint64_t seed);

/* ---- discord_rtp.c ---- */

struct rtp_build {
	uint8_t first, second;
	uint16_t seq;
	uint32_t timestamp, ssrc;
	const uint8_t *extension; /* body, a multiple of 4 bytes; NULL: none */
	size_t extension_len;
	const uint8_t *payload;
	size_t len;
	int padding; /* bytes, the count byte included */
};

bool rtp_mode_known(const char *mode);
/* Returns the datagram's length. out must hold len + 512. */
size_t rtp_seal(const char *mode, const uint8_t key[32], uint32_t nonce, const struct rtp_build *b,
		uint8_t *out);
/* Returns 0, -EPROTO (header) or -EBADMSG (does not open). *plain points into buf. */
int rtp_open(const char *mode, const uint8_t key[32], const uint8_t *packet, size_t len,
	     struct rtp_packet *out, uint32_t *nonce, uint8_t *buf);
/* An encrypted receiver report about ssrc. */
size_t rtcp_report(const char *mode, const uint8_t key[32], uint32_t nonce, uint32_t ssrc,
		   uint16_t seq, uint8_t *out);

/* ---- discord_member.c ---- */
struct member *member_find(const char *name);
const char *member_command(void *ctx, const cJSON *command, cJSON *answer);
void member_stop(struct member *m);
void members_free(void);

/* ---- discord_ear.c ---- */
struct ear;
struct ear *ear_create(const char *stem, int channels);
void ear_hear(struct ear *e, const struct party *from, const struct rtp_packet *p);
/* Writes the files and destroys the ear; answer gets "files". */
int ear_finish(struct ear *e, cJSON *answer);
struct ear *member_ear(const struct user *u);
/* One stream of packets into STEM.wav and STEM.json. */
struct ear_stream;
struct ear_stream *ear_stream_create(const char *stem, int channels);
void ear_stream_put(struct ear_stream *s, const struct rtp_packet *p);
int ear_stream_finish(struct ear_stream *s);

/* ---- discord_faults.c ---- */
const char *fault_command(void *ctx, const cJSON *command, cJSON *answer);

#endif
