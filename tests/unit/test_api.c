/* SPDX-License-Identifier: MIT
 *
 * test_api.c - the local API: schema against golden files in both directions, server and client
 * together, server against curl (through our HTTP client), and stale sockets.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/api.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/ws_client.h"

#define LONG_MS 8000

static char dir[] = "/tmp/api-test-XXXXXX";
static char socket_path[64];

/* ---- schema -------------------------------------------------------------------------- */

static char golden[8192];

/* The file without its last line break; tests run from the top of the tree. */
static char *read_golden(const char *name)
{
	char path[128];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "tests/unit/golden/%s", name);
	f = fopen(path, "r");
	if (!f)
		UNIT_FAIL("%s: %s", path, strerror(errno));
	len = fread(golden, 1, sizeof(golden) - 1, f);
	fclose(f);
	CHECK(len > 1 && golden[len - 1] == '\n');
	golden[len - 1] = '\0';
	return golden;
}

static void check_written(struct strbuf *b, struct json_writer *w, const char *want)
{
	CHECK_INT(json_finish(w), 0);
	CHECK_STR(strbuf_text(b), want);
	strbuf_free(b);
}

static void snapshot_case(const char *file, bool with_calls, struct api_snapshot *s)
{
	struct strbuf b = STRBUF_INIT(8192);
	struct json_writer w;
	struct json_doc doc;
	struct json_at root;
	char *text = read_golden(file);

	CHECK_INT(json_parse(&doc, text, strlen(text), NULL), 0);
	root = json_root(&doc);
	if (!api_snapshot_decode(&root, s))
		UNIT_FAIL("%s", doc.error);
	json_free(&doc);
	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	json_w_str(&w, "type", "snapshot");
	json_w_str(&w, "boot", s->boot);
	json_w_int(&w, "seq", (int64_t)s->seq);
	json_w_arr(&w, "lines");
	for (size_t i = 0; i < s->line_count; i++)
		api_line_encode(&w, NULL, &s->lines[i], with_calls);
	json_w_end(&w);
	json_w_end(&w);
	check_written(&b, &w, text);
}

static void test_bridge_snapshot_golden(void)
{
	struct api_snapshot s;

	snapshot_case("bridge-snapshot.json", true, &s);
	CHECK_INT(s.seq, 7);
	CHECK_INT(s.line_count, 2);
	CHECK_INT(s.lines[0].call_count, 2);
	CHECK_STR(s.lines[0].calls[1].from, "sip:ann@example.org");
	CHECK_INT(s.lines[0].calls[1].state, API_CALL_REATTACHING);
	CHECK_INT(s.lines[0].calls[0].since_ms, INT64_C(1764000000000));
	CHECK(s.lines[0].channel.channel_id == UINT64_C(81384788765712384));
	CHECK_INT(s.lines[1].channel.state, API_CHANNEL_FAILED);
	CHECK_INT(s.lines[1].channel.channel_id, 0);
	CHECK_INT(s.lines[1].channel.line, 1);
	CHECK_STR(s.lines[1].channel.why, "no permission to speak");
	api_snapshot_free(&s);
}

static void test_discord_snapshot_golden(void)
{
	struct api_snapshot s;

	snapshot_case("discord-snapshot.json", false, &s);
	CHECK_INT(s.lines[0].call_count, 0);
	CHECK_INT(s.lines[0].channel.state, API_CHANNEL_CONNECTING);
	api_snapshot_free(&s);
}

static void test_events_golden(void)
{
	static const enum api_event_type types[] = {
		API_EVENT_CALL_NEW,         API_EVENT_CALL_LIVE,  API_EVENT_CALL_DTMF,
		API_EVENT_CALL_REATTACHING, API_EVENT_CALL_ENDED, API_EVENT_LINE_CHANNEL};
	char *line = strtok(read_golden("events.jsonl"), "\n");

	for (size_t i = 0; i < 6; i++) {
		struct strbuf b = STRBUF_INIT(8192);
		struct json_writer w;
		struct json_doc doc;
		struct json_at root;
		struct api_event e;

		CHECK(line);
		CHECK_INT(json_parse(&doc, line, strlen(line), NULL), 0);
		root = json_root(&doc);
		if (!api_event_decode(&root, &e))
			UNIT_FAIL("%s", doc.error);
		json_free(&doc);
		CHECK_INT(e.type, types[i]);
		CHECK_INT(e.seq, 8 + (long long)i);
		if (e.type == API_EVENT_CALL_DTMF)
			CHECK_INT(e.digit, '#');
		if (e.type == API_EVENT_CALL_ENDED)
			CHECK_INT(e.duration_ms, 61000);
		json_begin(&w, &b);
		api_event_encode(&w, &e);
		check_written(&b, &w, line);
		line = strtok(NULL, "\n");
	}
	CHECK(!line);
}

static void test_line_channel_golden(void)
{
	struct strbuf b = STRBUF_INIT(8192);
	struct json_writer w;
	struct json_doc doc;
	struct json_at root;
	struct api_channel c;
	char *text = read_golden("line-channel.json");

	CHECK_INT(json_parse(&doc, text, strlen(text), NULL), 0);
	root = json_root(&doc);
	CHECK(api_channel_decode(&root, &c));
	json_free(&doc);
	CHECK_INT(c.state, API_CHANNEL_CONNECTED);
	CHECK(c.channel_id == UINT64_MAX);
	json_begin(&w, &b);
	api_channel_encode(&w, &c);
	check_written(&b, &w, text);
}

/* The reader keeps what the writer's budget has, word for word, and takes the sums out of it. */
static void test_line_budget_golden(void)
{
	struct strbuf b = STRBUF_INIT(8192);
	struct json_doc doc;
	struct json_at root, budget, way;
	double sum = 0;
	int line = -1;
	char *text = read_golden("line-budget.json");

	CHECK_INT(json_parse(&doc, text, strlen(text), NULL), 0);
	root = json_root(&doc);
	CHECK(api_budget_decode(&root, &line, &budget));
	CHECK_INT(line, 1);
	CHECK(json_obj(&budget, "to_discord", &way) && json_num(&way, "sum_ms", &sum));
	CHECK_NEAR(sum, 3.64, 0);
	CHECK_INT(json_text(&budget, &b), 0);
	CHECK(strstr(text, strbuf_text(&b)) && b.len > 300);
	json_free(&doc);
	strbuf_free(&b);
	static const char bad[] = "{\"type\":\"line.budget\",\"line\":1,\"budget\":[1]}";

	CHECK_INT(json_parse(&doc, bad, strlen(bad), NULL), 0);
	root = json_root(&doc);
	CHECK(!api_budget_decode(&root, &line, &budget));
	CHECK_STR(doc.error, "budget: expected object, got array");
	json_free(&doc);
}

static void test_bad_messages_name_the_field(void)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"{\"type\":\"line.channel\",\"line\":64,\"state\":\"connected\"}",
		 "line: expected 0 to 63, got 64"},
		{"{\"type\":\"line.channel\",\"line\":0,\"state\":\"asleep\"}",
		 "state: expected a known state, got \"asleep\""},
		{"{\"type\":\"line.channel\",\"line\":0,\"state\":\"connected\",\"channel_id\":5}",
		 "channel_id: expected an id in a string, got number"},
		{"{\"type\":\"call.new\"}", "type: expected line.channel, got \"call.new\""},
		{"[]", "(top): expected object, got array"},
	};
	struct json_doc doc;
	struct json_at root;
	struct api_channel c;
	struct api_event e;
	struct api_snapshot s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_INT(json_parse(&doc, bad[i].text, strlen(bad[i].text), NULL), 0);
		root = json_root(&doc);
		CHECK(!api_channel_decode(&root, &c));
		CHECK_STR(doc.error, bad[i].error);
		json_free(&doc);
	}
	/* unknown fields and unknown events are for a later version */
	static const char later[] = "{\"type\":\"call.fax\",\"seq\":3,\"more\":[1]}";

	CHECK_INT(json_parse(&doc, later, strlen(later), NULL), 0);
	root = json_root(&doc);
	CHECK(api_event_decode(&root, &e));
	CHECK_INT(e.type, API_EVENT_UNKNOWN);
	CHECK_INT(e.seq, 3);
	json_free(&doc);
	/* a snapshot that fails late leaks nothing (the sanitizers look) */
	static const char late[] =
		"{\"type\":\"snapshot\",\"boot\":\"b\",\"seq\":1,\"lines\":[{\"line\":0,"
		"\"channel\":"
		"{\"state\":\"connected\"},\"calls\":[{\"id\":\"a\",\"from\":\"b\",\"to\":\"c\","
		"\"state\":\"live\",\"since_ms\":1},{\"id\":7}]}]}";

	CHECK_INT(json_parse(&doc, late, sizeof(late) - 1, NULL), 0);
	root = json_root(&doc);
	CHECK(!api_snapshot_decode(&root, &s));
	CHECK_STR(doc.error, "lines[0].calls[1].id: expected string, got number");
	json_free(&doc);
}

/* ---- server and client --------------------------------------------------------------- */

static struct loop *loop;
static struct api_server *server;

static struct {
	int messages, gone, hangups;
	uint64_t client;
	struct api_channel channel;
	char hung_up[64];
} at_server;

static struct {
	int snapshots, events, lost;
	uint64_t seq;
	char boot[37];
	struct api_event last;
	int out_of_order;
	char why[200];
} at_client;

static struct api_call call = {.id = "CA1", .from = "+1", .to = "+2", .since_ms = 5};

static void write_lines(void *user, struct json_writer *w)
{
	struct api_line line = {.calls = &call, .call_count = 1};

	json_w_arr(w, "lines");
	api_line_encode(w, NULL, &line, true);
	json_w_end(w);
}

static void write_state(void *user, struct json_writer *w)
{
	json_w_int(w, "more", 1);
}

static void on_server_message(void *user, uint64_t client, uid_t uid, const struct json_at *root)
{
	if (uid != getuid())
		abort();
	if (!api_channel_decode(root, &at_server.channel))
		return;
	at_server.messages++;
	at_server.client = client;
}

static void on_gone(void *user, uint64_t client)
{
	if (at_server.client && client != at_server.client)
		return;
	at_server.gone++;
}

static void hang_up(void *user, struct api_request *request)
{
	at_server.hangups++;
	snprintf(at_server.hung_up, sizeof(at_server.hung_up), "%s", request->param);
	if (!strcmp(request->param, "CA404")) {
		api_reply_error(request, 404, "no such call");
		return;
	}
	if (request->body) {
		int64_t n;

		json_int(request->body, "n", 0, 9, &n);
	}
	api_reply_json(request, 202, "{}");
}

static const struct api_route routes[] = {{"POST", "/v1/calls/{}/hangup", hang_up}};

static void start_server(size_t queue_bytes)
{
	struct api_server_config config = {
		.path = socket_path,
		.routes = routes,
		.route_count = 1,
		.snapshot = write_lines,
		.state = write_state,
		.on_message = on_server_message,
		.on_gone = on_gone,
		.max_queue_bytes = queue_bytes,
	};

	memset(&at_server, 0, sizeof(at_server));
	CHECK_INT(api_server_create(&server, loop, &config), 0);
}

static void on_snapshot(void *user, const struct api_snapshot *snapshot)
{
	at_client.snapshots++;
	at_client.seq = snapshot->seq;
	snprintf(at_client.boot, sizeof(at_client.boot), "%s", snapshot->boot);
	if (snapshot->line_count != 1 || snapshot->lines[0].call_count != 1)
		abort();
}

static void on_event(void *user, const struct api_event *event)
{
	at_client.out_of_order += event->seq != at_client.seq + 1;
	at_client.seq = event->seq;
	at_client.events++;
	at_client.last = *event;
}

static void on_lost(void *user, const char *why)
{
	at_client.lost++;
	snprintf(at_client.why, sizeof(at_client.why), "%s", why);
}

static void start_client(struct api_client **client)
{
	struct api_client_config config = {.path = socket_path,
					   .on_snapshot = on_snapshot,
					   .on_event = on_event,
					   .on_lost = on_lost};

	memset(&at_client, 0, sizeof(at_client));
	CHECK_INT(api_client_create(client, loop, &config), 0);
}

static bool is_set(void *arg)
{
	return *(int *)arg;
}

static void publish(void)
{
	struct api_event event = {.type = API_EVENT_CALL_LIVE, .call = call};

	api_server_publish(server, &event);
}

static void test_snapshot_then_events_then_messages(void)
{
	struct api_channel channel = {.line = 0, .state = API_CHANNEL_CONNECTED, .channel_id = 9};
	struct api_client *client;

	CHECK_INT(loop_create(&loop), 0);
	start_server(0);
	publish();
	publish();
	start_client(&client);
	CHECK_INT(api_client_send_channel(client, &channel), -ENOTCONN);
	CHECK(loop_run_until(loop, is_set, &at_client.snapshots, LONG_MS));
	CHECK(api_client_connected(client));
	CHECK_INT(at_client.seq, 2);
	CHECK_STR(at_client.boot, api_server_boot(server));
	for (int i = 0; i < 100; i++)
		publish();
	while (at_client.events < 100)
		CHECK(!loop_run_until(loop, is_set, &at_client.lost, 20));
	CHECK_INT(at_client.out_of_order, 0);
	CHECK_INT(at_client.seq, 102);
	CHECK_STR(at_client.last.call.id, "CA1");
	CHECK_INT(api_client_send_channel(client, &channel), 0);
	CHECK(loop_run_until(loop, is_set, &at_server.messages, LONG_MS));
	CHECK_INT(at_server.channel.state, API_CHANNEL_CONNECTED);
	CHECK_INT(at_server.channel.channel_id, 9);
	api_client_destroy(client);
	CHECK(loop_run_until(loop, is_set, &at_server.gone, LONG_MS));
	api_server_destroy(server);
	loop_destroy(loop);
	CHECK(access(socket_path, F_OK) < 0);
}

static void test_client_waits_for_the_server_and_resynchronises(void)
{
	struct api_client *client;
	char boot[37];

	CHECK_INT(loop_create(&loop), 0);
	start_client(&client);
	CHECK(!loop_run_until(loop, is_set, &at_client.snapshots, 150));
	CHECK_INT(at_client.lost, 0);
	start_server(0);
	CHECK(loop_run_until(loop, is_set, &at_client.snapshots, LONG_MS));
	snprintf(boot, sizeof(boot), "%s", at_client.boot);
	api_server_destroy(server);
	CHECK(loop_run_until(loop, is_set, &at_client.lost, LONG_MS));
	CHECK(!api_client_connected(client));
	at_client.snapshots = 0;
	start_server(0);
	CHECK(loop_run_until(loop, is_set, &at_client.snapshots, LONG_MS));
	CHECK_INT(at_client.lost, 1);
	CHECK(strcmp(boot, at_client.boot) != 0);
	api_client_destroy(client);
	api_server_destroy(server);
	loop_destroy(loop);
}

static bool has_all(void *arg)
{
	return at_client.events >= *(int *)arg;
}

/* A follower that never reads: its queue is bounded, it is dropped, others are not harmed. */
static void test_slow_client_is_dropped(void)
{
	static const char upgrade[] =
		"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct api_client *client;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), published = 0;

	CHECK_INT(loop_create(&loop), 0);
	start_server(20000);
	start_client(&client);
	CHECK(loop_run_until(loop, is_set, &at_client.snapshots, LONG_MS));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	CHECK_INT(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	CHECK_INT(write(fd, upgrade, strlen(upgrade)), strlen(upgrade));
	loop_run_until(loop, is_set, &at_server.gone, 100);
	CHECK_INT(at_server.gone, 0);
	log_level_set(LOG_LEVEL_ERROR);
	while (!at_server.gone && published < 100000) {
		for (int i = 0; i < 20; i++, published++)
			publish();
		CHECK(loop_run_until(loop, has_all, &published, LONG_MS));
	}
	CHECK_INT(at_server.gone, 1);
	CHECK_INT(at_client.lost, 0);
	close(fd);
	api_client_destroy(client);
	api_server_destroy(server);
	loop_destroy(loop);
}

/* ---- HTTP ---------------------------------------------------------------------------- */

struct answer {
	int done, status, error;
	char body[4096];
};

static void on_answer(void *arg, const struct http_response *r)
{
	struct answer *a = arg;

	a->done = 1;
	a->status = r->status;
	a->error = r->error;
	snprintf(a->body, sizeof(a->body), "%s", r->body);
}

static struct http_client *http;

static void ask(const char *method, const char *url, const char *body, struct answer *a)
{
	struct http_request q = {.method = method,
				 .url = url,
				 .unix_path = socket_path,
				 .body = body,
				 .body_len = body ? strlen(body) : 0,
				 .on_done = on_answer,
				 .arg = a};

	memset(a, 0, sizeof(*a));
	CHECK_INT(http_request_start(http, &q, NULL), 0);
	CHECK(loop_run_until(loop, is_set, &a->done, LONG_MS));
}

static void test_http_requests(void)
{
	static char long_body[40000], want[300];
	struct answer a;

	CHECK_INT(loop_create(&loop), 0);
	start_server(0);
	CHECK_INT(http_client_create(&http, loop, &(struct http_client_config){.user_agent = "t"}),
		  0);
	ask("GET", "http://localhost/v1/state", NULL, &a);
	CHECK_INT(a.status, 200);
	snprintf(want, sizeof(want),
		 "{\"type\":\"snapshot\",\"boot\":\"%s\",\"seq\":0,\"lines\":[{\"line\":0,"
		 "\"channel\":"
		 "{\"state\":\"disconnected\",\"channel_id\":null,\"why\":\"\"},\"calls\":[{\"id\":"
		 "\"CA1\",\"from\":\"+1\",\"to\":\"+2\",\"state\":\"new\",\"since_ms\":5}]}],"
		 "\"more\":1}"
		 "\n",
		 api_server_boot(server));
	CHECK_STR(a.body, want);
	ask("POST", "http://localhost/v1/calls/CA77/hangup", NULL, &a);
	CHECK_INT(a.status, 202);
	CHECK_STR(a.body, "{}\n");
	CHECK_STR(at_server.hung_up, "CA77");
	ask("POST", "http://localhost/v1/calls/CA404/hangup", "{\"n\":1}", &a);
	CHECK_INT(a.status, 404);
	CHECK_STR(a.body, "{\"error\":\"no such call\"}\n");
	ask("POST", "http://localhost/v1/calls/CA1/hangup", "{\"n\":\"x\"}", &a);
	CHECK_INT(a.status, 400);
	CHECK_STR(a.body, "{\"error\":\"n: expected number, got string\"}\n");
	ask("POST", "http://localhost/v1/calls/CA1/hangup", "{nonsense", &a);
	CHECK_INT(a.status, 400);
	CHECK(strstr(a.body, "the body is not JSON at byte"));
	CHECK_INT(at_server.hangups, 3);
	ask("GET", "http://localhost/v1/calls/CA1/hangup", NULL, &a);
	CHECK_INT(a.status, 405);
	ask("POST", "http://localhost/v1/state", NULL, &a);
	CHECK_INT(a.status, 405);
	ask("GET", "http://localhost/", NULL, &a);
	CHECK_INT(a.status, 404);
	ask("GET", "http://localhost/v1/events", NULL, &a);
	CHECK_INT(a.status, 426);
	ask("DELETE", "http://localhost/v1/state", NULL, &a);
	CHECK(a.status == 405 || a.error);
	memset(long_body, ' ', sizeof(long_body) - 1);
	ask("POST", "http://localhost/v1/calls/CA1/hangup", long_body, &a);
	CHECK(a.status == 413 || a.error); /* it may be cut off while it still sends */
	CHECK_INT(at_server.hangups, 3);
	http_client_destroy(http);
	api_server_destroy(server);
	loop_destroy(loop);
}

static bool exited(void *arg)
{
	int status;
	pid_t *pid = arg;

	if (*pid && waitpid(*pid, &status, WNOHANG) == *pid) {
		*pid = 0;
		return true;
	}
	return !*pid;
}

/* The line of the documentation, by the tool that people have. */
static void run_curl(const char *arguments, const char *want)
{
	char command[400], out[4096] = "", file[100];
	pid_t pid;
	FILE *f;

	snprintf(file, sizeof(file), "%s/curl.out", dir);
	snprintf(command, sizeof(command),
		 "exec curl -s -m 5 -o %s -w '%%{http_code}' --unix-socket %s %s > %s.code", file,
		 socket_path, arguments, file);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	CHECK(loop_run_until(loop, exited, &pid, LONG_MS));
	snprintf(command, sizeof(command), "%s.code", file);
	f = fopen(command, "r");
	CHECK(f && fgets(out, sizeof(out), f));
	fclose(f);
	CHECK_STR(out, want);
}

static void test_curl(void)
{
	if (system("command -v curl >/dev/null 2>&1"))
		SKIP("no curl");
	CHECK_INT(loop_create(&loop), 0);
	start_server(0);
	run_curl("http://localhost/v1/state", "200");
	/* no Content-Length at all */
	run_curl("-X POST http://localhost/v1/calls/CA1/hangup", "202");
	run_curl("-d '{\"n\":1}' http://localhost/v1/calls/CA1/hangup", "202");
	run_curl("-H 'Transfer-Encoding: chunked' -d '{}' http://localhost/v1/calls/CA1/hangup",
		 "411");
	api_server_destroy(server);
	loop_destroy(loop);
}

/* ---- WebSocket misuse ---------------------------------------------------------------- */

static struct {
	int opened, closed;
	struct ws_close close;
} raw;

static void raw_open(void *user)
{
	raw.opened = 1;
}

static void raw_message(void *user, const uint8_t *data, size_t len, bool binary)
{
}

static void raw_close(void *user, const struct ws_close *close)
{
	raw.closed = 1;
	raw.close = *close;
}

static void misuse(const char *url, const char *text, bool binary, int code)
{
	struct ws_client_config config = {.loop = loop,
					  .url = url,
					  .unix_path = socket_path,
					  .on_open = raw_open,
					  .on_message = raw_message,
					  .on_close = raw_close};
	struct ws_client *c;

	memset(&raw, 0, sizeof(raw));
	CHECK_INT(ws_client_open(&c, &config), 0);
	if (text) {
		CHECK(loop_run_until(loop, is_set, &raw.opened, LONG_MS));
		if (binary)
			ws_client_send_binary(c, (const uint8_t *)text, strlen(text));
		else
			ws_client_send_text(c, text, strlen(text));
	}
	CHECK(loop_run_until(loop, is_set, &raw.closed, LONG_MS));
	CHECK_INT(raw.close.code, code);
	ws_client_destroy(c);
}

static void test_bad_messages_close_their_sender_only(void)
{
	static char big[20000];
	struct api_client *client;

	CHECK_INT(loop_create(&loop), 0);
	start_server(0);
	start_client(&client);
	CHECK(loop_run_until(loop, is_set, &at_client.snapshots, LONG_MS));
	log_level_set(LOG_LEVEL_ERROR);
	memset(big, 'x', sizeof(big) - 1);
	misuse("ws://localhost/v1/events", "{nonsense", false, 1007);
	misuse("ws://localhost/v1/events", "{\"type\":\"line.channel\"}", false, 1008);
	CHECK_STR(raw.close.reason, "line: expected number, got nothing");
	misuse("ws://localhost/v1/events", "{}", true, 1003);
	misuse("ws://localhost/v1/events", big, false, 1009);
	misuse("ws://localhost/v1/other", NULL, false, 1006);
	CHECK(!raw.opened);
	CHECK_INT(at_client.lost, 0);
	CHECK_INT(at_server.messages, 0);
	publish();
	CHECK(loop_run_until(loop, is_set, &at_client.events, LONG_MS));
	api_client_destroy(client);
	api_server_destroy(server);
	loop_destroy(loop);
}

/* ---- the socket file ----------------------------------------------------------------- */

static void test_socket_file(void)
{
	struct api_server_config config = {.path = socket_path, .snapshot = write_lines};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char folder_path[128], long_path[200];
	struct api_server *second;
	struct group *group = getgrnam("loopline");
	struct stat st;
	FILE *f;
	int fd;

	CHECK_INT(loop_create(&loop), 0);
	start_server(0);
	CHECK_INT(stat(socket_path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0660);
	if (group && geteuid() == 0)
		CHECK_INT(st.st_gid, group->gr_gid);
	/* in use: refused, and the first goes on */
	CHECK_INT(api_server_create(&second, loop, &config), -EADDRINUSE);
	CHECK(!second);
	CHECK_INT(stat(socket_path, &st), 0);
	api_server_destroy(server);
	/* stale: bound once, nobody listens any more */
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	CHECK_INT(api_server_create(&second, loop, &config), 0);
	/* replaced by somebody else meanwhile: not ours to remove */
	CHECK_INT(unlink(socket_path), 0);
	f = fopen(socket_path, "w");
	fputs("x", f);
	fclose(f);
	api_server_destroy(second);
	CHECK_INT(access(socket_path, F_OK), 0);
	/* an ordinary file is never removed */
	CHECK_INT(api_server_create(&second, loop, &config), -EADDRINUSE);
	CHECK_INT(access(socket_path, F_OK), 0);
	unlink(socket_path);
	/* the folder is made, closed to strangers */
	snprintf(folder_path, sizeof(folder_path), "%s/run/bridge.sock", dir);
	config.path = folder_path;
	CHECK_INT(api_server_create(&second, loop, &config), 0);
	*strrchr(folder_path, '/') = '\0';
	CHECK_INT(stat(folder_path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 02750);
	api_server_destroy(second);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	config.path = long_path;
	CHECK_INT(api_server_create(&second, loop, &config), -ENAMETOOLONG);
	loop_destroy(loop);
}

int main(void)
{
	char command[64];

	log_init("test", LOG_LEVEL_ERROR);
	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/bridge.sock", dir);
	alarm(120);
	UNIT(test_bridge_snapshot_golden);
	UNIT(test_discord_snapshot_golden);
	UNIT(test_events_golden);
	UNIT(test_line_channel_golden);
	UNIT(test_line_budget_golden);
	UNIT(test_bad_messages_name_the_field);
	UNIT(test_snapshot_then_events_then_messages);
	UNIT(test_client_waits_for_the_server_and_resynchronises);
	UNIT(test_slow_client_is_dropped);
	UNIT(test_http_requests);
	UNIT(test_curl);
	UNIT(test_bad_messages_close_their_sender_only);
	UNIT(test_socket_file);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		return 1;
	return unit_done();
}
