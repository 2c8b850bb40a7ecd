/* SPDX-License-Identifier: MIT
 *
 * test_ws_client.c - the WebSocket client against a libwebsockets server (TLS and plain), and
 * against a scripted one that speaks frames by hand.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/encode.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/ws_client.h"
#include "tests/unit/http_peer.h"
#include "tests/unit/unit_ca.h"

#define LONG_MS 8000

static struct loop *loop;
static struct http_client *resolver;

struct seen {
	struct ws_client *client;
	int opened, messages, closed;
	bool binary;
	size_t len;
	uint8_t last[4096];
	struct ws_close close;
	bool destroy_in_message, destroy_in_close;
};

static void on_open(void *user)
{
	((struct seen *)user)->opened++;
}

static void on_message(void *user, const uint8_t *data, size_t len, bool binary)
{
	struct seen *s = user;

	s->messages++;
	s->binary = binary;
	s->len = len;
	memcpy(s->last, data, len < sizeof(s->last) ? len : sizeof(s->last));
	if (data[len] != 0)
		abort();
	if (s->destroy_in_message) {
		ws_client_destroy(s->client);
		s->client = NULL;
	}
}

static void on_close(void *user, const struct ws_close *close)
{
	struct seen *s = user;

	s->closed++;
	s->close = *close;
	if (s->destroy_in_close) {
		ws_client_destroy(s->client);
		s->client = NULL;
	}
}

static bool is_open(void *arg)
{
	return ((struct seen *)arg)->opened;
}

static bool is_closed(void *arg)
{
	return ((struct seen *)arg)->closed;
}

static bool has_message(void *arg)
{
	return ((struct seen *)arg)->messages;
}

static bool is_set(void *arg)
{
	return *(int *)arg;
}

static void open_client(struct seen *s, const char *url, const char *ca_file, size_t max_message)
{
	struct ws_client_config config = {
		.loop = loop,
		.resolver = resolver,
		.url = url,
		.ca_file = ca_file,
		.user_agent = "loopline/test",
		.max_message_bytes = max_message,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
		.user = s,
	};

	CHECK_INT(ws_client_open(&s->client, &config), 0);
}

/* ---- a libwebsockets server: echoes, "close" closes with 4009 and a reason ---------- */

struct server_session {
	uint8_t text[LWS_PRE + 70000];
	size_t len;
	bool binary, ready;
};

static char server_saw_host[64], server_saw_agent[64], server_saw_uri[64];
static int server_close_code;
static int server_gone;

static int server_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			   size_t len)
{
	struct server_session *s = user;

	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		lws_hdr_copy(wsi, server_saw_host, sizeof(server_saw_host), WSI_TOKEN_HOST);
		lws_hdr_copy(wsi, server_saw_agent, sizeof(server_saw_agent),
			     WSI_TOKEN_HTTP_USER_AGENT);
		lws_hdr_copy(wsi, server_saw_uri, sizeof(server_saw_uri), WSI_TOKEN_GET_URI);
		return !strcmp(server_saw_uri, "/refused");
	case LWS_CALLBACK_RECEIVE:
		if (s->len + len > sizeof(s->text) - LWS_PRE)
			return -1;
		if (lws_is_first_fragment(wsi))
			s->len = 0;
		memcpy(s->text + LWS_PRE + s->len, in, len);
		s->len += len;
		s->binary = lws_frame_is_binary(wsi);
		if (lws_is_final_fragment(wsi)) {
			s->ready = true;
			lws_callback_on_writable(wsi);
		}
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		if (!s->ready) /* called after a partial write too */
			return 0;
		s->ready = false;
		if (s->len == 5 && !memcmp(s->text + LWS_PRE, "close", 5)) {
			lws_close_reason(wsi, (enum lws_close_status)4009,
					 (unsigned char *)"Session timed out", 17);
			return -1;
		}
		if (s->len == 4 && !memcmp(s->text + LWS_PRE, "drop", 4)) {
			shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
			return -1;
		}
		return lws_write(wsi, s->text + LWS_PRE, s->len,
				 s->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0
			       ? -1
			       : 0;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		server_close_code = len >= 2 ? get_be16(in) : 1005;
		return 0;
	case LWS_CALLBACK_CLOSED:
		server_gone++;
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols server_protocols[] = {
	{.name = "server",
	 .callback = server_callback,
	 .per_session_data_size = sizeof(struct server_session)},
	{0},
};

static int serve(const char *cert, const char *key)
{
	struct lws_context_creation_info info;
	struct lws_vhost *vhost;

	loop_vhost_info(&info);
	info.port = 0;
	info.iface = "127.0.0.1";
	info.protocols = server_protocols;
	info.vhost_name = cert ? "tls" : "plain";
	if (cert) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
				LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
		info.ssl_cert_filepath = cert;
		info.ssl_private_key_filepath = key;
	}
	vhost = lws_create_vhost(loop_lws(loop), &info);
	CHECK(vhost);
	return lws_get_vhost_listen_port(vhost);
}

static void set_up(void)
{
	CHECK_INT(loop_create(&loop), 0);
	CHECK_INT(http_client_create(&resolver, loop,
				     &(struct http_client_config){.user_agent = "t"}),
		  0);
	server_close_code = server_gone = 0;
}

static void tear_down(struct seen *s)
{
	ws_client_destroy(s->client);
	http_client_destroy(resolver);
	loop_destroy(loop);
}

static void echo_round(struct seen *s)
{
	static uint8_t big[60000];

	CHECK(loop_run_until(loop, is_open, s, LONG_MS));
	CHECK_INT(ws_client_send_text(s->client, "hello", 5), 0);
	CHECK(loop_run_until(loop, has_message, s, LONG_MS));
	CHECK(!s->binary && s->len == 5);
	CHECK_MEM(s->last, "hello", 5);
	s->messages = 0;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	CHECK_INT(ws_client_send_binary(s->client, big, sizeof(big)), 0);
	CHECK(loop_run_until(loop, has_message, s, LONG_MS));
	CHECK(s->binary);
	CHECK_INT(s->len, sizeof(big)); /* it came in many pieces */
	CHECK_MEM(s->last, big, sizeof(s->last));
	CHECK_INT(ws_client_queued_bytes(s->client), 0);
	s->messages = 0;
}

static void test_plain_echo_and_our_close(void)
{
	struct seen s = {0};
	char url[64], host[32];
	int port;

	set_up();
	port = serve(NULL, NULL);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/gateway/?v=8", port);
	open_client(&s, url, NULL, 0);
	CHECK_INT(ws_client_send_text(s.client, "x", 1), -ENOTCONN);
	echo_round(&s);
	snprintf(host, sizeof(host), "127.0.0.1:%d", port);
	CHECK_STR(server_saw_host, host);
	CHECK_STR(server_saw_agent, "loopline/test");
	CHECK_STR(server_saw_uri, "/gateway");
	/* a message queued before the close is still sent */
	CHECK_INT(ws_client_send_text(s.client, "last", 4), 0);
	ws_client_close(s.client, 4000, "done");
	CHECK_INT(ws_client_send_text(s.client, "x", 1), -ENOTCONN);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK_INT(s.closed, 1);
	CHECK(s.close.opened);
	CHECK_INT(s.close.code, 4000);
	CHECK_STR(s.close.error, "closed by us");
	CHECK(loop_run_until(loop, is_set, &server_close_code, LONG_MS));
	CHECK_INT(server_close_code, 4000);
	tear_down(&s);
	CHECK_INT(s.closed, 1);
}

static void test_peer_closes_with_code_and_reason(void)
{
	struct seen s = {.destroy_in_close = true};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d", serve(NULL, NULL));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	CHECK_INT(ws_client_send_text(s.client, "close", 5), 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK(s.close.opened);
	CHECK_INT(s.close.code, 4009);
	CHECK_STR(s.close.reason, "Session timed out");
	tear_down(&s);
	CHECK_INT(s.closed, 1);
}

static void test_connection_lost_is_1006(void)
{
	struct seen s = {0};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d", serve(NULL, NULL));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	CHECK_INT(ws_client_send_text(s.client, "drop", 4), 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK_INT(s.close.code, 1006);
	CHECK_STR(s.close.error, "connection lost");
	tear_down(&s);
}

static void test_message_over_the_cap(void)
{
	struct seen s = {0};
	char url[64], text[3000];

	set_up();
	memset(text, 'x', sizeof(text));
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d", serve(NULL, NULL));
	open_client(&s, url, NULL, 2000);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	CHECK_INT(ws_client_send_text(s.client, text, 2000), 0);
	CHECK(loop_run_until(loop, has_message, &s, LONG_MS));
	CHECK_INT(s.len, 2000);
	CHECK_INT(ws_client_send_text(s.client, text, 2001), 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK_INT(s.messages, 1);
	CHECK_INT(s.close.code, 1009);
	CHECK_STR(s.close.error, "message: over 2000 bytes");
	tear_down(&s);
}

static void test_send_queue_is_bounded(void)
{
	struct seen s = {0};
	char url[64];
	static char text[100000];
	int err = 0, sent = 0;

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d", serve(NULL, NULL));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	while (!err && sent < 100) {
		err = ws_client_send_text(s.client, text, sizeof(text));
		sent++;
	}
	CHECK_INT(err, -ENOBUFS);
	CHECK(ws_client_queued_bytes(s.client) <= 262144);
	tear_down(&s);
}

static void test_destroy_inside_message_and_while_open(void)
{
	struct seen s = {.destroy_in_message = true}, t = {0};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d", serve(NULL, NULL));
	open_client(&s, url, NULL, 0);
	open_client(&t, url, NULL, 0);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	CHECK(loop_run_until(loop, is_open, &t, LONG_MS));
	CHECK_INT(ws_client_send_text(s.client, "x", 1), 0);
	CHECK(loop_run_until(loop, has_message, &s, LONG_MS));
	ws_client_destroy(t.client);
	t.client = NULL;
	loop_run_until(loop, is_closed, &s, 100);
	CHECK_INT(s.closed, 0);
	CHECK_INT(t.closed, 0);
	CHECK_INT(server_gone, 2);
	tear_down(&s);
}

static int closed_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a)));
	CHECK(!getsockname(fd, (struct sockaddr *)&a, &len));
	close(fd);
	return ntohs(a.sin_port);
}

static void expect_failure(const char *url, bool destroy, const char *why, int status)
{
	struct seen s = {.destroy_in_close = destroy};

	open_client(&s, url, NULL, 0);
	CHECK_INT(s.closed, 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS * 2));
	CHECK_INT(s.closed, 1);
	CHECK(!s.close.opened && !s.opened);
	CHECK_INT(s.close.code, 1006);
	CHECK_INT(s.close.http_status, status);
	if (!strstr(s.close.error, why))
		UNIT_FAIL("error is \"%s\", expected %s", s.close.error, why);
	ws_client_destroy(s.client);
}

static void test_failures_to_connect_are_told_once(void)
{
	struct seen none = {0};
	char url[64];

	set_up();
	for (int destroy = 0; destroy < 2; destroy++) {
		snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", closed_port());
		expect_failure(url, destroy, "connect: ", 0);
		snprintf(url, sizeof(url), "ws://localhost:%d/", closed_port());
		expect_failure(url, destroy, "connect: ", 0);
		snprintf(url, sizeof(url), "ws://nowhere.localhost.:%d/", 1);
		/* a plain server asked for TLS, and an upgrade that is refused */
		snprintf(url, sizeof(url), "wss://127.0.0.1:%d/", serve(NULL, NULL));
		expect_failure(url, destroy, "connect: ", 0);
	}
	tear_down(&none);
}

static void *hang_up_at_once(void *arg)
{
	int listener = *(int *)arg, fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0)
		close(fd);
	return NULL;
}

/* A process that is being killed: its socket takes connections and drops them. When that is noticed
 * is a matter of luck: inside the connect, while the request is written, or later. */
static void test_peer_that_hangs_up_at_once(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct seen none = {0};
	pthread_t thread;

	set_up();
	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/loopline-ws-%d.sock", (int)getpid());
	unlink(at.sun_path);
	CHECK_INT(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_INT(listen(listener, 16), 0);
	CHECK_INT(pthread_create(&thread, NULL, hang_up_at_once, &listener), 0);
	for (int i = 0; i < 300; i++) {
		struct seen s = {.destroy_in_close = true};
		struct ws_client_config config = {.loop = loop,
						  .url = "ws://localhost/",
						  .unix_path = at.sun_path,
						  .on_open = on_open,
						  .on_message = on_message,
						  .on_close = on_close,
						  .user = &s};

		CHECK_INT(ws_client_open(&s.client, &config), 0);
		CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
		CHECK_INT(s.closed, 1);
		CHECK(!s.opened);
		CHECK(!strncmp(s.close.error, "connect: ", 9));
	}
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	unlink(at.sun_path);
	tear_down(&none);
}

static bool answer_403(void *arg, int fd, const char *request, int number)
{
	const char *text = arg;

	return write(fd, text, strlen(text)) > 0;
}

static void test_refused_upgrade_and_redirect(void)
{
	static char forbidden[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
	static char found[] = "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n"
			      "Content-Length: 0\r\n\r\n";
	struct http_peer *peer;
	struct seen none = {0};
	char url[64];

	set_up();
	peer = http_peer_start(answer_403, forbidden);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	expect_failure(url, false, "connect: ", 403);
	http_peer_stop(peer);
	peer = http_peer_start(answer_403, found);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	expect_failure(url, true, "connect: ", 302);
	CHECK_INT(http_peer_requests(peer), 1);
	http_peer_stop(peer);
	tear_down(&none);
}

static bool never(void *arg, int fd, const char *request, int number)
{
	return true;
}

static void test_connect_timeout_and_giving_up(void)
{
	struct seen s = {0}, t = {0};
	struct http_peer *peer = http_peer_start(never, NULL);
	char url[64];
	struct ws_client_config config = {
		.url = url,
		.connect_timeout_ms = 200,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
		.user = &s,
	};

	set_up();
	config.loop = loop;
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	CHECK_INT(ws_client_open(&s.client, &config), 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK_STR(s.close.error, "no connection in time");
	/* closed by the owner before it opened */
	open_client(&t, url, NULL, 0);
	loop_run_until(loop, is_closed, &t, 100);
	ws_client_close(t.client, 1000, NULL);
	CHECK_INT(t.closed, 0);
	CHECK(loop_run_until(loop, is_closed, &t, LONG_MS));
	CHECK_STR(t.close.error, "given up by us");
	ws_client_destroy(t.client);
	tear_down(&s);
	http_peer_stop(peer);
}

static void test_addresses_that_are_not_allowed(void)
{
	static const char *const bad[] = {"ws://example.org/", "http://127.0.0.1/", "nonsense",
					  "wss://u:p@example.org/"};
	struct seen none = {0};

	set_up();
	log_level_set((enum log_level) - 1);
	for (size_t i = 0; i < 4; i++) {
		struct ws_client_config config = {.loop = loop, .url = bad[i]};
		struct ws_client *client;

		CHECK_INT(ws_client_open(&client, &config), -EINVAL);
		CHECK(!client);
	}
	log_level_set(LOG_LEVEL_ERROR);
	tear_down(&none);
}

static void tls_case(const char *url, const char *ca, bool good)
{
	struct seen s = {0};

	open_client(&s, url, ca, 0);
	if (good) {
		echo_round(&s);
	} else {
		CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
		CHECK(!s.opened && !s.close.opened);
	}
	ws_client_destroy(s.client);
}

static void test_tls_verifies_chain_and_name(void)
{
	char dir[] = "/tmp/ws-tls-XXXXXX", ca[64], cert[64], key[64], other[64], url[64],
	     command[64];
	struct seen none = {0};
	int port;

	CHECK(mkdtemp(dir));
	unit_ca_make(dir, "a", "DNS:localhost,IP:127.0.0.1");
	unit_ca_make(dir, "b", "DNS:localhost");
	snprintf(ca, sizeof(ca), "%s/a-ca.pem", dir);
	snprintf(cert, sizeof(cert), "%s/a-cert.pem", dir);
	snprintf(key, sizeof(key), "%s/a-key.pem", dir);
	snprintf(other, sizeof(other), "%s/b-ca.pem", dir);
	set_up();
	port = serve(cert, key);
	snprintf(url, sizeof(url), "wss://127.0.0.1:%d/", port);
	tls_case(url, ca, true);
	log_level_set((enum log_level) - 1); /* libwebsockets tells of each bad certificate */
	tls_case(url, other, false);
	tls_case(url, NULL, false);
	tls_case(url, "/nonexistent.pem", false);
	tls_case(url, key, false); /* a file, but without certificates */
	snprintf(url, sizeof(url), "wss://sub.localhost:%d/", port);
	tls_case(url, ca, false);
	snprintf(url, sizeof(url), "wss://localhost:%d/", port);
	tls_case(url, ca, true);
	log_level_set(LOG_LEVEL_ERROR);
	tear_down(&none);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK_INT(system(command), 0);
}

/* ---- frames by hand ------------------------------------------------------------------ */

static bool upgrade(int fd, const char *request)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strcasestr(request, "\r\nSec-WebSocket-Key: ");
	char text[128], accept[32], answer[256];
	uint8_t hash[SHA_DIGEST_LENGTH];
	size_t len;

	if (!key)
		return false;
	key += 21;
	len = strcspn(key, "\r");
	snprintf(text, sizeof(text), "%.*s%s", (int)len, key, magic);
	SHA1((const unsigned char *)text, strlen(text), hash);
	base64_encode(accept, hash, sizeof(hash));
	len = (size_t)snprintf(answer, sizeof(answer),
			       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			       accept);
	return write(fd, answer, len) == (ssize_t)len;
}

/* "Hello" in three fragments with a ping between them, and each frame byte by byte. */
static bool fragments(void *arg, int fd, const char *request, int number)
{
	static const uint8_t frames[] = {0x01, 2, 'H', 'e', 0x89, 1, 'p',
					 0x00, 2, 'l', 'l', 0x80, 1, 'o'};

	if (!upgrade(fd, request))
		return false;
	for (size_t i = 0; i < sizeof(frames); i++) {
		if (write(fd, frames + i, 1) != 1)
			return false;
		usleep(2000);
	}
	return true;
}

static void test_fragments_and_pieces_are_one_message(void)
{
	struct http_peer *peer = http_peer_start(fragments, NULL);
	struct seen s = {0};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, has_message, &s, LONG_MS));
	CHECK_INT(s.len, 5);
	CHECK(!s.binary);
	CHECK_MEM(s.last, "Hello", 5);
	CHECK_INT(s.messages, 1);
	tear_down(&s);
	http_peer_stop(peer);
}

/* A peer that takes our close and never answers it. */
static bool deaf(void *arg, int fd, const char *request, int number)
{
	return upgrade(fd, request);
}

static void test_close_ends_without_the_peer(void)
{
	struct http_peer *peer = http_peer_start(deaf, NULL);
	struct seen s = {0};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, is_open, &s, LONG_MS));
	ws_client_close(s.client, 1000, NULL);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK_INT(s.close.code, 1000);
	tear_down(&s);
	http_peer_stop(peer);
}

/* One peer answers pings (libwebsockets does by itself), one is dead. */
static void test_idle_peer_is_pinged_and_a_dead_one_given_up(void)
{
	struct http_peer *peer = http_peer_start(deaf, NULL);
	struct seen dead = {0}, alive = {0};
	struct ws_client_config config = {
		.ping_s = 1,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
	};
	char url[64];

	set_up();
	config.loop = loop;
	config.url = url;
	config.user = &dead;
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	CHECK_INT(ws_client_open(&dead.client, &config), 0);
	config.user = &alive;
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", serve(NULL, NULL));
	CHECK_INT(ws_client_open(&alive.client, &config), 0);
	CHECK(loop_run_until(loop, is_closed, &dead, LONG_MS));
	CHECK(dead.close.opened);
	CHECK_INT(dead.close.code, 1006);
	loop_run_until(loop, is_closed, &alive, 1500);
	CHECK_INT(alive.closed, 0);
	ws_client_destroy(alive.client);
	tear_down(&dead);
	http_peer_stop(peer);
}

static bool bare_close(void *arg, int fd, const char *request, int number)
{
	static const uint8_t frame[] = {0x88, 0};

	return upgrade(fd, request) && write(fd, frame, sizeof(frame)) == 2;
}

static void test_close_without_code_is_1005(void)
{
	struct http_peer *peer = http_peer_start(bare_close, NULL);
	struct seen s = {0};
	char url[64];

	set_up();
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/", http_peer_port(peer));
	open_client(&s, url, NULL, 0);
	CHECK(loop_run_until(loop, is_closed, &s, LONG_MS));
	CHECK(s.close.opened);
	CHECK_INT(s.close.code, 1005);
	tear_down(&s);
	http_peer_stop(peer);
}

int main(void)
{
	log_init("test", LOG_LEVEL_ERROR);
	/* libwebsockets would take every client through it; ours must not. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	alarm(120);
	UNIT(test_plain_echo_and_our_close);
	UNIT(test_peer_closes_with_code_and_reason);
	UNIT(test_connection_lost_is_1006);
	UNIT(test_message_over_the_cap);
	UNIT(test_send_queue_is_bounded);
	UNIT(test_destroy_inside_message_and_while_open);
	UNIT(test_failures_to_connect_are_told_once);
	UNIT(test_peer_that_hangs_up_at_once);
	UNIT(test_refused_upgrade_and_redirect);
	UNIT(test_connect_timeout_and_giving_up);
	UNIT(test_addresses_that_are_not_allowed);
	UNIT(test_tls_verifies_chain_and_name);
	UNIT(test_fragments_and_pieces_are_one_message);
	UNIT(test_close_ends_without_the_peer);
	UNIT(test_idle_peer_is_pinged_and_a_dead_one_given_up);
	UNIT(test_close_without_code_is_1005);
	return unit_done();
}
