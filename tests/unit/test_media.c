/* SPDX-License-Identifier: MIT
 *
 * test_media.c - a line's sound between real sockets and real ports: decoders follow the channels of the
 * loopback, and a voice that comes back is as loud as it was.
 */
#include "discord/media.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <opus/opus.h>

#include "alsa/port.h"
#include "common/clock.h"
#include "common/loop.h"
#include "discord/dave/media.h"
#include "discord/dave/media_view.h"
#include "tests/unit/cable_env.h"
#include "tests/unit/test_random.h"
#include "tests/unit/unit.h"

#define ANN  7
#define BOB  8
#define DBOV (-26)

#define CONF \
	"pcm.both {\n" \
	"	type cable  name both  channels 2  create yes\n" \
	"	dir { @func concat strings [ { @func getenv vars [ LOOPLINE_RUNTIME_DIR ] " \
	"default \"\" } \"/own\" ] }\n" \
	"}\n"

static struct port *port_make(const char *name, enum port_direction direction)
{
	struct port_params params = {.name = name, .direction = direction};
	struct port *p;

	CHECK_INT(port_create(&p, &params), 0);
	port_allow_create(p, true);
	return p;
}

/* ---- decoders ------------------------------------------------------------------------------ */

static struct speaker *speaker_make(unsigned channels)
{
	struct speaker_config config = {.channels = channels, .speech_level_dbov = DBOV};
	struct speaker *s;

	CHECK_INT(speaker_create(&s, &config), 0);
	return s;
}

static void wait_decoders(const struct media_line_stats *stats, unsigned all, unsigned stereo)
{
	for (int i = 0; i < 2000 && (stats->decoders != all || stats->stereo_decoders != stereo); i++)
		test_sleep_ms(1);
	CHECK_INT(stats->decoders, all);
	CHECK_INT(stats->stereo_decoders, stereo);
}

/* People who were in the channel before the loopback was there are heard in stereo once it is. */
static void test_decoders_follow_the_port(void)
{
	struct media_events events = {0};
	struct port *capture = port_make("nothing", PORT_CAPTURE);
	struct port *playback = port_make("both", PORT_PLAYBACK);
	struct dave_media *dave;
	struct media *m;
	struct loop *loop;

	CHECK_INT(loop_create(&loop), 0);
	CHECK_INT(dave_media_create(&dave), 0);
	CHECK_INT(media_create(&m, loop, &events), 0);
	CHECK_INT(media_line_add(m, 0, capture, playback, dave, false, 0), 0);
	CHECK_INT(media_start(m), 0);
	for (unsigned k = 1; k <= 3; k++)
		media_speaker(m, 0, k, 100 + k, false);
	wait_decoders(media_stats(m, 0), 3, 0);
	media_port_tended(m, 0);
	CHECK_INT(port_open(playback, test_now_ns()), 0);
	CHECK_INT(port_channels(playback), 2);
	media_port_tended(m, 0);
	wait_decoders(media_stats(m, 0), 3, 3);
	media_port_tended(m, 0);
	media_speaker(m, 0, 4, 104, false);
	wait_decoders(media_stats(m, 0), 4, 4);
	media_left(m, 0, 4);
	media_speaker(m, 0, 5, 105, false); /* there are enough for four */
	media_speaker(m, 0, 6, 106, false);
	wait_decoders(media_stats(m, 0), 5, 5);
	/* the thread has woken for all this, and no packet has left */
	CHECK_INT(media_work_ns(m), BUDGET_UNKNOWN);
	media_destroy(m);
	loop_destroy(loop);
	dave_media_destroy(dave);
	port_destroy(capture);
	port_destroy(playback);
}

/* ---- one line by hand ------------------------------------------------------------------------ */

static struct {
	struct media_line *line;
	struct port *capture, *playback;
	struct dave_media *dave;
	int fd; /* the voice server */
	struct transport_cipher *cipher;
	OpusEncoder *encoder;
	struct voice_udp *path;
	uint16_t seq;
	uint32_t timestamp;
} L;

static void on_discovered(void *ctx, unsigned generation, const char *address, uint16_t port)
{
}

static void on_failed(void *ctx, unsigned generation)
{
}

static void on_dead(void *ctx, unsigned generation, enum voice_dead why)
{
}

static struct transport_cipher *cipher_make(void)
{
	static const uint8_t key[TRANSPORT_KEY_BYTES] = {3};
	struct transport_cipher *cipher;

	CHECK_INT(transport_cipher_create(&cipher, TRANSPORT_AES256_GCM, key), 0);
	return cipher;
}

/* A session on a new server. */
static void session_begin(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in client = sa;
	socklen_t len = sizeof(sa);

	if (L.fd)
		close(L.fd);
	L.fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_INT(bind(L.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(getsockname(L.fd, (struct sockaddr *)&sa, &len), 0);
	CHECK_INT(voice_udp_create(&L.path, "127.0.0.1", ntohs(sa.sin_port), 4242, 1), 0);
	CHECK_INT(getsockname(voice_udp_fd(L.path), (struct sockaddr *)&client, &len), 0);
	CHECK_INT(connect(L.fd, (struct sockaddr *)&client, sizeof(client)), 0);
	voice_udp_destroy(media_line_path(L.line, L.path, clock_mono_ns()));
	CHECK(media_line_key(L.line, 1, cipher_make(), clock_mono_ns()) == NULL);
}

static void line_begin(void)
{
	static const struct voice_udp_ops ops = {.on_discovered = on_discovered,
						 .on_discovery_failed = on_failed,
						 .on_dead = on_dead};
	struct media_line_config config = {.ops = &ops};
	struct dave_media_view *view;
	int err;

	memset(&L, 0, sizeof(L));
	config.capture = L.capture = port_make("nothing", PORT_CAPTURE);
	config.playback = L.playback = port_make("nothing", PORT_PLAYBACK);
	CHECK_INT(dave_media_create(&L.dave), 0);
	CHECK_INT(dave_media_view_create(&view, 0), 0);
	view->plain_until_ns = DAVE_NEVER;
	dave_media_publish(L.dave, view);
	config.dave = L.dave;
	CHECK_INT(media_line_create(&L.line, &config), 0);
	L.cipher = cipher_make();
	L.encoder = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, &err);
	session_begin();
}

static void line_end(void)
{
	media_line_destroy(L.line);
	dave_media_destroy(L.dave);
	port_destroy(L.capture);
	port_destroy(L.playback);
	transport_cipher_destroy(L.cipher);
	opus_encoder_destroy(L.encoder);
	close(L.fd);
}

/* Somebody speaks for so long, 17 dB below full scale, in words of 0.3 s; in real time, which the
 * kernel's time stamps are in. */
static void speak(uint32_t ssrc, int packets)
{
	for (int k = 0; k < packets; k++) {
		uint8_t packet[1400];
		float sound[960];

		for (int i = 0; i < 960; i++)
			sound[i] = k % 20 < 15 ? 0.2f * sinf(2 * (float)M_PI * 313 * (float)i / 48000) : 0;
		rtp_header_write(packet, L.seq++, L.timestamp += 960, ssrc);
		int n = opus_encode_float(L.encoder, sound, 960, packet + RTP_HEADER_BYTES, 1000);
		CHECK(n > 0);
		n = transport_seal(L.cipher, packet, RTP_HEADER_BYTES, (size_t)n, sizeof(packet));
		CHECK(n > 0);
		CHECK_INT(send(L.fd, packet, (size_t)n, 0), n);
		for (int block = 0; block < 4; block++) {
			test_sleep_ms(5);
			media_line_receive(L.line, clock_mono_ns(), clock_wall_ns());
			media_line_step(L.line, clock_mono_ns());
		}
	}
}

/* As the state shows it, after up to a second of nobody speaking; NAN: he is not shown. */
static double gain_db(uint64_t user_id)
{
	const struct media_line_stats *stats = media_line_stats(L.line);

	for (int i = 0; i < 220; i++) {
		test_sleep_ms(5);
		media_line_step(L.line, clock_mono_ns());
	}
	for (int i = 0; i < MEDIA_SPEAKERS; i++)
		if (stats->voices[i].user_id == user_id)
			return stats->voices[i].gain_db_tenths / 10.0;
	return NAN;
}

static void give_decoder(unsigned channels, unsigned replaces)
{
	struct speaker *old = media_line_decoder(L.line, speaker_make(channels));

	CHECK_INT(old ? speaker_channels(old) : 0, replaces);
	speaker_destroy(old);
}

/* Another session, another SSRC, a decoder that somebody else had meanwhile, or one of other channels:
 * the gain is that of the person. */
static void test_a_voice_that_comes_back(void)
{
	line_begin();
	give_decoder(1, 0);
	media_line_speaker(L.line, ANN, 100, false, clock_mono_ns());
	double found = 0, before = 9;
	for (int i = 0; i < 12 && !(found < -5 && fabs(found - before) < 1); i++) {
		before = found; /* where a machine is slow, sound is left out: until it is found */
		speak(100, 120);
		found = gain_db(ANN);
	}
	CHECK(found < -5); /* it may go on to be found better; who is new has 0, and moves a few dB a second */

	session_begin(); /* moved to another server */
	media_line_speaker(L.line, ANN, 200, false, clock_mono_ns());
	speak(200, 2);
	CHECK(gain_db(ANN) < -4);

	media_line_speaker(L.line, BOB, 300, false, clock_mono_ns()); /* a second after her */
	speak(300, 2);
	CHECK_NEAR(gain_db(BOB), 0, 0.5);
	media_line_speaker(L.line, ANN, 201, false, clock_mono_ns()); /* takes it back */
	speak(201, 2);
	CHECK(gain_db(ANN) < -4);

	give_decoder(2, 1);
	CHECK(isnan(gain_db(ANN))); /* nothing was heard through it yet */
	speak(201, 2);
	CHECK(gain_db(ANN) < -4);
	line_end();
}

/* No more than there is room for; one of other channels takes the place of one. */
static void test_decoders_are_bounded(void)
{
	line_begin();
	for (int i = 0; i < MEDIA_SPEAKERS; i++)
		give_decoder(1, 0);
	give_decoder(1, 1);
	for (int i = 0; i < MEDIA_SPEAKERS; i++)
		give_decoder(2, 1);
	give_decoder(2, 2);
	CHECK_INT(media_line_stats(L.line)->decoders, MEDIA_SPEAKERS);
	CHECK_INT(media_line_stats(L.line)->stereo_decoders, MEDIA_SPEAKERS);
	line_end();
}

/* All that are announced are known, wherever in the table those sat who left, and as many as it holds. */
static void test_people_come_and_go(void)
{
	enum { PEOPLE = 100 };
	bool here[PEOPLE] = {false};
	uint32_t seed = 1;
	unsigned present = 0, most = 0, emptied = 0;
	int64_t now_ns = clock_mono_ns();

	line_begin();
	for (int i = 0; i < 4000; i++) {
		/* a crowd, then few, then a crowd again */
		unsigned k = test_random_below(&seed, i / 500 % 2 ? 2 : PEOPLE);

		if (i % 500 == 0) {
			for (k = 0; k < PEOPLE; k++)
				if (here[k])
					media_line_left(L.line, k + 1, now_ns);
			memset(here, 0, sizeof(here));
			present = 0;
		} else if (here[k]) {
			media_line_left(L.line, k + 1, now_ns);
			here[k] = false;
			present--;
		} else {
			media_line_speaker(L.line, k + 1, 1000 + k, false, now_ns);
			here[k] = true;
			present++;
		}
		now_ns += 2 * NS_PER_SEC; /* who has left is known for one more */
		media_line_step(L.line, now_ns);
		CHECK_INT(media_line_stats(L.line)->speakers, present);
		most = present > most ? present : most;
		emptied += present == 0;
	}
	CHECK(most > PEOPLE / 2 && emptied > 100);
	for (unsigned k = 0; k < VOICES_SSRCS + 20; k++) {
		media_line_speaker(L.line, 10000 + k, 10000 + k, false, now_ns += 2 * NS_PER_SEC);
		media_line_step(L.line, now_ns);
		present += present < VOICES_SSRCS;
		CHECK_INT(media_line_stats(L.line)->speakers, present);
	}
	CHECK_INT(media_line_stats(L.line)->speakers, VOICES_SSRCS);
	line_end();
}

/* Woken much too late for what was to be played: it is played a millisecond later, when packets that came
 * meanwhile have been handed over. A block is due each 5 ms; what is read, and what is sent, is due in between. */
static void test_late_is_played_later(void)
{
	int64_t now_ns, next_ns;

	line_begin();
	now_ns = clock_mono_ns();
	media_line_calls(L.line, 1, now_ns);
	next_ns = media_line_step(L.line, now_ns);
	for (int i = 0; i < 40; i++) {
		for (int k = 0; k < 5 + i % 3; k++)
			next_ns = media_line_step(L.line, next_ns);
		now_ns = next_ns + 8200 * NS_PER_US;
		next_ns = media_line_step(L.line, now_ns);
		for (int k = 0; k < 4 && next_ns < now_ns + NS_PER_MS; k++)
			next_ns = media_line_step(L.line, next_ns);
		CHECK_INT(next_ns, now_ns + NS_PER_MS);
	}
	line_end();
}

int main(void)
{
	cable_env_setup(CONF);
	UNIT(test_decoders_follow_the_port);
	UNIT(test_decoders_are_bounded);
	UNIT(test_people_come_and_go);
	UNIT(test_late_is_played_later);
	UNIT(test_a_voice_that_comes_back);
	return unit_done();
}
