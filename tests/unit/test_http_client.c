/* SPDX-License-Identifier: MIT
 *
 * test_http_client.c - requests, bounds, retries, cancelling and look-ups, against a scripted
 * server.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/loop.h"
#include "tests/unit/http_peer.h"
#include "tests/unit/unit_ca.h"

#define LONG_MS 8000

static struct loop *loop;
static struct http_client *client;
static struct http_peer *peer;
static char url[64];

struct answer {
	int done;
	int error, status, tries;
	bool sent;
	char body[256];
	size_t body_len;
	int64_t retry_after_ms, reset_ms;
	char bucket[64];
	char error_text[160];
};

static void on_done(void *arg, const struct http_response *r)
{
	struct answer *a = arg;
	const char *bucket = http_response_header(r, "x-ratelimit-bucket");

	a->done++;
	a->error = r->error;
	a->status = r->status;
	a->tries = r->tries;
	a->sent = r->sent;
	a->body_len = r->body_len;
	a->retry_after_ms = r->retry_after_ms;
	a->reset_ms = http_response_seconds_ms(r, "X-RateLimit-Reset-After");
	snprintf(a->body, sizeof(a->body), "%s", r->body ? r->body : "(null)");
	snprintf(a->bucket, sizeof(a->bucket), "%s", bucket ? bucket : "(none)");
	snprintf(a->error_text, sizeof(a->error_text), "%s", r->error_text);
}

static bool is_done(void *arg)
{
	return ((struct answer *)arg)->done;
}

static void set_up(http_peer_answer script, void *arg, const char *ca_file)
{
	struct http_client_config config = {.user_agent = "loopline/test", .ca_file = ca_file};

	CHECK_INT(loop_create(&loop), 0);
	CHECK_INT(http_client_create(&client, loop, &config), 0);
	peer = NULL;
	if (script) {
		peer = http_peer_start(script, arg);
		snprintf(url, sizeof(url), "http://127.0.0.1:%d", http_peer_port(peer));
	}
}

static void tear_down(void)
{
	http_client_destroy(client);
	if (peer)
		http_peer_stop(peer);
	loop_destroy(loop);
}

static void fetch(struct http_request *q, struct answer *a)
{
	memset(a, 0, sizeof(*a));
	q->on_done = on_done;
	q->arg = a;
	CHECK_INT(http_request_start(client, q, NULL), 0);
	CHECK_INT(a->done, 0); /* never inside */
	CHECK(loop_run_until(loop, is_done, a, LONG_MS));
	CHECK_INT(a->done, 1);
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		return; /* a client that left early is what some tests are about */
}

static char seen[65536];

static bool echo(void *arg, int fd, const char *request, int number)
{
	snprintf(seen, sizeof(seen), "%s", request);
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-RateLimit-Reset-After: 0.3001\r\n"
		"X-RateLimit-Bucket:  abcd \r\n\r\nhello");
	return true;
}

static void test_request_as_asked(void)
{
	static const char *const headers[] = {"Authorization: Bot x",
					      "Content-Type: application/json", NULL};
	struct http_request q = {.method = "PATCH",
				 .headers = headers,
				 .body = "{\"a\":1}",
				 .body_len = 7};
	struct answer a;
	char full[128];

	set_up(echo, NULL, NULL);
	snprintf(full, sizeof(full), "%s/api/v10/x?y=1", url);
	q.url = full;
	fetch(&q, &a);
	CHECK_INT(a.error, 0);
	CHECK_INT(a.status, 200);
	CHECK_STR(a.body, "hello");
	CHECK_STR(a.bucket, "abcd");
	CHECK_INT(a.reset_ms, 301);
	CHECK_INT(a.retry_after_ms, -1);
	CHECK_INT(a.tries, 1);
	CHECK(a.sent);
	CHECK(!strncmp(seen, "PATCH /api/v10/x?y=1 HTTP/1.1\r\n", 31));
	CHECK(strstr(seen, "\r\nUser-Agent: loopline/test\r\n"));
	CHECK(strstr(seen, "\r\nAuthorization: Bot x\r\n"));
	CHECK(strstr(seen, "\r\nContent-Type: application/json\r\n"));
	CHECK(strstr(seen, "\r\n\r\n{\"a\":1}"));
	CHECK(!strstr(seen, "Expect:"));
	tear_down();
}

static void test_methods_without_body(void)
{
	struct http_request q = {.url = url};
	struct answer a;

	set_up(echo, NULL, NULL);
	q.method = "GET";
	fetch(&q, &a);
	CHECK(!strncmp(seen, "GET / HTTP/1.1\r\n", 16) && !strstr(seen, "Content-Length"));
	q.method = "DELETE";
	fetch(&q, &a);
	CHECK(!strncmp(seen, "DELETE / HTTP/1.1\r\n", 19) && !strstr(seen, "Content-Length"));
	q.method = "PUT";
	fetch(&q, &a);
	CHECK(!strncmp(seen, "PUT / HTTP/1.1\r\n", 16) && strstr(seen, "Content-Length: 0\r\n"));
	CHECK(!strstr(seen, "Content-Type"));
	tear_down();
}

static void test_basic_auth(void)
{
	struct http_request q = {.method = "GET", .url = url, .user = "AC1", .password = "s:x"};
	struct answer a;

	set_up(echo, NULL, NULL);
	fetch(&q, &a);
	CHECK(strstr(seen, "\r\nAuthorization: Basic QUMxOnM6eA==\r\n"));
	tear_down();
}

static void test_refused_before_it_is_sent(void)
{
	static const char *const split[] = {"X: a\r\nY: b", NULL};
	static const char *const no_colon[] = {"X", NULL};
	struct http_request q = {.method = "GET", .on_done = on_done};
	int level = LOG_LEVEL_ERROR;

	set_up(echo, NULL, NULL);
	log_level_set((enum log_level) - 1);
	q.url = "http://example.org/";
	CHECK_INT(http_request_start(client, &q, NULL), -EINVAL);
	q.url = "ftp://127.0.0.1/";
	CHECK_INT(http_request_start(client, &q, NULL), -EINVAL);
	q.url = url;
	q.method = "GET x";
	CHECK_INT(http_request_start(client, &q, NULL), -EINVAL);
	q.method = "GET";
	q.headers = split;
	CHECK_INT(http_request_start(client, &q, NULL), -EINVAL);
	q.headers = no_colon;
	CHECK_INT(http_request_start(client, &q, NULL), -EINVAL);
	log_level_set((enum log_level)level);
	tear_down();
}

static bool redirect(void *arg, int fd, const char *request, int number)
{
	say(fd, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void test_redirects_are_not_followed(void)
{
	struct http_request q = {.method = "GET", .url = url};
	struct answer a;

	set_up(redirect, NULL, NULL);
	fetch(&q, &a);
	CHECK_INT(a.status, 302);
	CHECK_INT(http_peer_requests(peer), 1);
	tear_down();
}

static bool flood(void *arg, int fd, const char *request, int number)
{
	char chunk[4096];

	memset(chunk, 'x', sizeof(chunk));
	if (strstr(request, "/headers")) {
		say(fd, "HTTP/1.1 200 OK\r\n");
		for (int i = 0; i < 4; i++) {
			say(fd, "X-Big: ");
			if (write(fd, chunk, sizeof(chunk)) < 0)
				return false;
			say(fd, "\r\n");
		}
		say(fd, "Content-Length: 0\r\n\r\n");
		return true;
	}
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
	for (int i = 0; i < 100; i++)
		if (send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL) < 0)
			return false;
	return false;
}

static void test_answers_are_bounded(void)
{
	struct http_request q = {.method = "GET", .url = url, .max_body_bytes = 20000};
	struct answer a;
	char full[100];

	set_up(flood, NULL, NULL);
	fetch(&q, &a);
	CHECK_INT(a.error, -EMSGSIZE);
	CHECK_INT(a.body_len, 0);
	CHECK_INT(a.status, 0);
	snprintf(full, sizeof(full), "%s/headers", url);
	q.url = full;
	fetch(&q, &a);
	CHECK_INT(a.error, -EMSGSIZE);
	tear_down();
}

/* arg: how many requests fail, and how. */
struct failing {
	int times;
	const char *answer; /* NULL: the connection is closed without one */
};

static bool fail_first(void *arg, int fd, const char *request, int number)
{
	struct failing *f = arg;

	if (number >= f->times) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
		return true;
	}
	if (!f->answer)
		return false;
	say(fd, f->answer);
	return true;
}

static void retry_case(struct failing failing, struct http_retry retry, int tries, int status,
		       int error)
{
	struct http_request q = {.method = "POST", .url = url, .retry = retry};
	struct answer a;

	set_up(fail_first, &failing, NULL);
	fetch(&q, &a);
	CHECK_INT(a.tries, tries);
	CHECK_INT(a.status, status);
	CHECK_INT(a.error, error);
	tear_down();
}

#define ANSWER_503      "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
#define ANSWER_429      "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 0.2\r\n\r\n"
#define ANSWER_429_LONG "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 3600\r\n\r\n"
#define ANSWER_404      "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"

static void test_retry_5xx_only_if_idempotent(void)
{
	retry_case((struct failing){2, ANSWER_503},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .idempotent = true}, 3, 200,
		   0);
	retry_case((struct failing){9, ANSWER_503},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .idempotent = true}, 3, 503,
		   0);
	retry_case((struct failing){2, ANSWER_503},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .retry_429 = true}, 1, 503, 0);
	retry_case((struct failing){2, ANSWER_404},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .idempotent = true}, 1, 404,
		   0);
}

/* The request arrived and the answer is lost: a call might be dialled twice. */
static void test_lost_answer_is_retried_only_if_idempotent(void)
{
	retry_case((struct failing){1, NULL},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .retry_429 = true}, 1, 0,
		   -EIO);
	retry_case((struct failing){1, NULL},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .idempotent = true}, 2, 200,
		   0);
}

static void test_retry_429_waits_as_told(void)
{
	int64_t start = clock_mono_ns();

	retry_case((struct failing){2, ANSWER_429},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .retry_429 = true}, 3, 200, 0);
	CHECK(clock_mono_ns() - start >= 400 * NS_PER_MS);
	retry_case((struct failing){2, ANSWER_429},
		   (struct http_retry){.max_tries = 3, .base_ms = 1}, 1, 429, 0);
	/* longer than we want to wait: the caller gets it now */
	retry_case((struct failing){2, ANSWER_429_LONG},
		   (struct http_retry){.max_tries = 3, .base_ms = 1, .retry_429 = true}, 1, 429, 0);
}

static int hook_calls;

static int hook(void *arg, const struct http_response *r)
{
	hook_calls++;
	CHECK_INT(r->status, 503);
	CHECK_INT(r->tries, hook_calls);
	return hook_calls < 3 ? 1 : 0;
}

static void test_hook_decides(void)
{
	struct failing failing = {99, ANSWER_503};
	struct http_request q = {.method = "GET", .url = url, .on_try = hook};
	struct answer a;

	q.retry = (struct http_retry){.max_tries = 99, .base_ms = 1, .idempotent = true};
	hook_calls = 0;
	set_up(fail_first, &failing, NULL);
	fetch(&q, &a);
	CHECK_INT(a.tries, 3);
	CHECK_INT(hook_calls, 3);
	tear_down();
}

/* A port on which nobody listens: closed after it was bound. */
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

static void test_connect_failure_is_always_safe_to_retry(void)
{
	struct http_request q = {.method = "POST", .url = url};
	struct answer a;

	set_up(NULL, NULL, NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", closed_port());
	q.retry = (struct http_retry){.max_tries = 3, .base_ms = 1};
	fetch(&q, &a);
	CHECK_INT(a.error, -ECONNREFUSED);
	CHECK_INT(a.tries, 3);
	CHECK(!a.sent);
	tear_down();
}

static bool never(void *arg, int fd, const char *request, int number)
{
	return true; /* and no answer */
}

static void test_total_timeout(void)
{
	struct http_request q = {.method = "POST", .url = url, .total_timeout_ms = 150};
	struct answer a;

	set_up(never, NULL, NULL);
	q.retry = (struct http_retry){.max_tries = 3, .base_ms = 1};
	fetch(&q, &a);
	CHECK_INT(a.error, -ETIMEDOUT);
	CHECK_INT(a.tries, 1);
	CHECK(a.sent);
	tear_down();
}

static void test_cancel_and_destroy_in_flight(void)
{
	struct http_request q = {.method = "GET", .url = url, .on_done = on_done};
	struct answer a = {0};
	uint64_t id[20];
	int64_t start;

	set_up(never, NULL, NULL);
	q.arg = &a;
	for (int i = 0; i < 20; i++)
		CHECK_INT(http_request_start(client, &q, &id[i]), 0);
	loop_run_until(loop, is_done, &a, 100);
	for (int i = 0; i < 10; i++)
		http_cancel(client, id[i]);
	http_cancel(client, id[0]);
	http_cancel(client, 12345);
	loop_run_until(loop, is_done, &a, 100);
	start = clock_mono_ns();
	http_client_destroy(client);
	CHECK(clock_mono_ns() - start < 5 * NS_PER_SEC); /* the time-out is 15 s */
	http_peer_stop(peer);
	CHECK_INT(a.done, 0);
	loop_destroy(loop);
}

static void destroy_client(void *arg, const struct http_response *r)
{
	http_client_destroy(client);
	client = NULL;
	*(int *)arg = 1;
}

static bool flag(void *arg)
{
	return *(int *)arg;
}

static void test_destroy_inside_the_callback(void)
{
	struct http_request q = {.method = "GET", .url = url, .on_done = destroy_client};
	struct answer a = {0};
	int gone = 0;

	set_up(echo, NULL, NULL);
	q.arg = &gone;
	CHECK_INT(http_request_start(client, &q, NULL), 0);
	CHECK(loop_run_until(loop, flag, &gone, LONG_MS));
	CHECK_INT(a.done, 0);
	tear_down();
}

static void test_waiting_is_bounded_and_in_order(void)
{
	struct http_client_config config = {.user_agent = "t", .max_parallel = 1, .max_waiting = 2};
	struct http_request q = {.method = "GET", .url = url, .on_done = on_done};
	struct answer a[3] = {{0}};

	CHECK_INT(loop_create(&loop), 0);
	CHECK_INT(http_client_create(&client, loop, &config), 0);
	peer = http_peer_start(echo, NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", http_peer_port(peer));
	for (int i = 0; i < 3; i++) {
		q.arg = &a[i];
		CHECK_INT(http_request_start(client, &q, NULL), 0);
	}
	CHECK_INT(http_request_start(client, &q, NULL), -ENOBUFS);
	CHECK(loop_run_until(loop, is_done, &a[2], LONG_MS));
	CHECK(a[0].done && a[1].done);
	tear_down();
}

static void test_unix_socket(void)
{
	struct http_request q = {.method = "POST", .url = "http://localhost/v1/x"};
	char path[64];
	struct answer a;

	set_up(NULL, NULL, NULL);
	snprintf(path, sizeof(path), "/tmp/http-peer-%d.sock", (int)getpid());
	peer = http_peer_start_unix(path, echo, NULL);
	q.unix_path = path;
	fetch(&q, &a);
	CHECK_INT(a.status, 200);
	CHECK(!strncmp(seen, "POST /v1/x HTTP/1.1\r\n", 21));
	tear_down();
	unlink(path);
}

static int tls_protocol(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			size_t len)
{
	static const char text[] =
		"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\ntls";
	unsigned char buf[LWS_PRE + sizeof(text)];

	if (reason == LWS_CALLBACK_HTTP) {
		lws_callback_on_writable(wsi);
		return 0;
	}
	if (reason == LWS_CALLBACK_HTTP_WRITEABLE) {
		memcpy(buf + LWS_PRE, text, sizeof(text));
		lws_write(wsi, buf + LWS_PRE, sizeof(text) - 1, LWS_WRITE_HTTP);
		return -1;
	}
	return 0;
}

static void test_tls_against_private_ca(void)
{
	static const struct lws_protocols protocols[] = {{.name = "t", .callback = tls_protocol},
							 {0}};
	struct http_request q = {.method = "GET", .url = url};
	struct lws_context_creation_info info;
	char dir[] = "/tmp/http-tls-XXXXXX", ca[64], cert[64], key[64], other[64], command[64];
	struct lws_vhost *vhost;
	struct answer a;
	int port;

	CHECK(mkdtemp(dir));
	unit_ca_make(dir, "a", "DNS:localhost,IP:127.0.0.1");
	unit_ca_make(dir, "b", "DNS:localhost");
	snprintf(ca, sizeof(ca), "%s/a-ca.pem", dir);
	snprintf(cert, sizeof(cert), "%s/a-cert.pem", dir);
	snprintf(key, sizeof(key), "%s/a-key.pem", dir);
	snprintf(other, sizeof(other), "%s/b-ca.pem", dir);

	set_up(NULL, NULL, ca);
	loop_vhost_info(&info);
	info.options |=
		LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
	info.port = 0;
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	info.ssl_cert_filepath = cert;
	info.ssl_private_key_filepath = key;
	vhost = lws_create_vhost(loop_lws(loop), &info);
	CHECK(vhost);
	port = lws_get_vhost_listen_port(vhost);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
	fetch(&q, &a);
	CHECK_STR(a.error_text, "");
	CHECK_STR(a.body, "tls");
	/* another CA: not trusted, not retried, nothing was sent */
	http_client_destroy(client);
	CHECK_INT(http_client_create(&client, loop,
				     &(struct http_client_config){.user_agent = "t",
								  .ca_file = other}),
		  0);
	q.retry = (struct http_retry){.max_tries = 3, .base_ms = 1, .idempotent = true};
	fetch(&q, &a);
	CHECK_INT(a.error, -EPROTO);
	CHECK_INT(a.tries, 1);
	CHECK(!a.sent);
	/* the system store does not know it either */
	http_client_destroy(client);
	CHECK_INT(http_client_create(&client, loop,
				     &(struct http_client_config){.user_agent = "t"}),
		  0);
	fetch(&q, &a);
	CHECK_INT(a.error, -EPROTO);
	/* right CA, a name that the certificate does not bear */
	http_client_destroy(client);
	CHECK_INT(http_client_create(&client, loop,
				     &(struct http_client_config){.user_agent = "t",
								  .ca_file = ca}),
		  0);
	snprintf(url, sizeof(url), "https://sub.localhost:%d/", port);
	fetch(&q, &a);
	CHECK_INT(a.error, -EPROTO);
	tear_down();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK_INT(system(command), 0);
	struct http_client *none;

	CHECK_INT(http_client_create(&none, NULL,
				     &(struct http_client_config){.user_agent = "t",
								  .ca_file = "/nonexistent"}),
		  -ENOENT);
}

struct looked_up {
	int done;
	struct http_addresses result;
};

static void on_addresses(void *arg, const struct http_addresses *addresses)
{
	struct looked_up *l = arg;

	l->done++;
	l->result = *addresses;
}

static bool is_looked_up(void *arg)
{
	return ((struct looked_up *)arg)->done;
}

static void test_look_ups(void)
{
	struct looked_up l = {0}, m = {0}, c = {0};
	uint64_t id;

	set_up(NULL, NULL, NULL);
	CHECK_INT(http_resolve(client, "127.0.0.1", 443, on_addresses, &l, NULL), 0);
	CHECK_INT(http_resolve(client, "localhost", 80, on_addresses, &m, NULL), 0);
	CHECK_INT(http_resolve(client, "localhost", 80, on_addresses, &c, &id), 0);
	http_cancel(client, id);
	CHECK_INT(l.done, 0);
	CHECK(loop_run_until(loop, is_looked_up, &l, LONG_MS));
	CHECK(loop_run_until(loop, is_looked_up, &m, LONG_MS));
	CHECK_INT(l.result.error, 0);
	CHECK_INT(l.result.count, 1);
	CHECK_STR(l.result.address[0].text, "127.0.0.1");
	CHECK_INT(ntohs(((struct sockaddr_in *)&l.result.address[0].addr)->sin_port), 443);
	CHECK_INT(m.result.error, 0);
	CHECK(m.result.count >= 1);
	/* not a name: an error, not a wait for a server */
	memset(&l, 0, sizeof(l));
	CHECK_INT(http_resolve(client, "not a name", 1, on_addresses, &l, NULL), 0);
	CHECK(loop_run_until(loop, is_looked_up, &l, LONG_MS * 2));
	CHECK(l.result.error < 0);
	CHECK_INT(l.result.count, 0);
	CHECK_INT(c.done, 0);
	tear_down();
}

static void test_destroy_with_look_ups_in_flight(void)
{
	struct looked_up l = {0};

	for (int round = 0; round < 20; round++) {
		set_up(NULL, NULL, NULL);
		for (int i = 0; i < 10; i++)
			CHECK_INT(http_resolve(client, i % 2 ? "localhost" : "name.invalid", 80,
					       on_addresses, &l, NULL),
				  0);
		if (round % 2)
			loop_run_until(loop, is_looked_up, &l, 1);
		l.done = 0;
		http_client_destroy(client);
		loop_destroy(loop);
		CHECK_INT(l.done, 0);
	}
	usleep(200000); /* let the detached threads end, for the leak checker */
}

static void test_header_seconds(void)
{
	struct failing failing = {1, "HTTP/1.1 429 x\r\nContent-Length: 0\r\nRetry-After: Wed, 21 "
				     "Oct 2015 07:28:00 GMT\r\n"
				     "X-RateLimit-Reset-After: 1.5e3\r\n\r\n"};
	struct http_request q = {.method = "GET", .url = url};
	struct answer a;

	set_up(fail_first, &failing, NULL);
	fetch(&q, &a);
	CHECK_INT(a.retry_after_ms, 0); /* a date that has passed */
	CHECK_INT(a.reset_ms, -1);
	tear_down();
}

int main(void)
{
	log_init("test", LOG_LEVEL_ERROR);
	alarm(120);
	UNIT(test_request_as_asked);
	UNIT(test_methods_without_body);
	UNIT(test_basic_auth);
	UNIT(test_refused_before_it_is_sent);
	UNIT(test_redirects_are_not_followed);
	UNIT(test_answers_are_bounded);
	UNIT(test_retry_5xx_only_if_idempotent);
	UNIT(test_lost_answer_is_retried_only_if_idempotent);
	UNIT(test_retry_429_waits_as_told);
	UNIT(test_hook_decides);
	UNIT(test_connect_failure_is_always_safe_to_retry);
	UNIT(test_total_timeout);
	UNIT(test_cancel_and_destroy_in_flight);
	UNIT(test_destroy_inside_the_callback);
	UNIT(test_waiting_is_bounded_and_in_order);
	UNIT(test_unix_socket);
	UNIT(test_tls_against_private_ca);
	UNIT(test_look_ups);
	UNIT(test_destroy_with_look_ups_in_flight);
	UNIT(test_header_seconds);
	return unit_done();
}
