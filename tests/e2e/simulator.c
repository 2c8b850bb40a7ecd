/* SPDX-License-Identifier: MIT
 *
 * simulator.c - see simulator.h.
 */
#include "tests/e2e/simulator.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/harness.h"

#define ANSWERS 16

struct event {
	cJSON *json;
	bool taken;
};

struct simulator {
	char name[64];
	struct process process;
	int in, out;
	char *buf;
	size_t len, room;
	struct event *events;
	size_t count, event_room;
	cJSON *answers[ANSWERS];
	unsigned asked;
	cJSON *ready;
	bool gone;
};

static void take_line(struct simulator *s, const char *line)
{
	cJSON *o = cJSON_Parse(line);

	if (!o)
		return;
	if (cJSON_GetObjectItemCaseSensitive(o, "reply")) {
		unsigned id =
			(unsigned)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "id"));

		cJSON_Delete(s->answers[id % ANSWERS]);
		s->answers[id % ANSWERS] = o;
		return;
	}
	if (s->count == s->event_room) {
		s->event_room = s->event_room ? 2 * s->event_room : 256;
		s->events = realloc(s->events, s->event_room * sizeof(*s->events));
		if (!s->events)
			abort();
	}
	s->events[s->count++] = (struct event){o, false};
}

/* Read what there is, waiting at most ms for something. */
static void receive(struct simulator *s, int ms)
{
	struct pollfd p = {.fd = s->out, .events = POLLIN};
	char *start, *nl;
	ssize_t n;

	if (s->gone || poll(&p, 1, ms) <= 0)
		return;
	if (s->room - s->len < 65536) {
		s->room = 2 * s->room + 131072;
		s->buf = realloc(s->buf, s->room);
		if (!s->buf)
			abort();
	}
	n = read(s->out, s->buf + s->len, s->room - s->len - 1);
	if (n <= 0) {
		s->gone = n == 0;
		return;
	}
	s->len += (size_t)n;
	s->buf[s->len] = 0;
	start = s->buf;
	while ((nl = strchr(start, '\n'))) {
		*nl = 0;
		take_line(s, start);
		start = nl + 1;
	}
	s->len = strlen(start);
	memmove(s->buf, start, s->len + 1);
}

static bool matches(const cJSON *o, const char *name, va_list pairs)
{
	const char *key, *value;

	if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "event")), name))
		return false;
	while ((key = va_arg(pairs, const char *))) {
		const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);
		char text[64];

		value = va_arg(pairs, const char *);
		if (cJSON_IsNumber(i))
			snprintf(text, sizeof(text), "%.0f", i->valuedouble);
		else if (cJSON_IsBool(i))
			snprintf(text, sizeof(text), "%s", cJSON_IsTrue(i) ? "true" : "false");
		else
			snprintf(text, sizeof(text), "%.63s",
				 cJSON_IsString(i) ? i->valuestring : "null");
		if (strcmp(text, value))
			return false;
	}
	return true;
}

static const cJSON *find(struct simulator *s, const char *event, va_list pairs)
{
	for (size_t i = 0; i < s->count; i++) {
		va_list copy;
		bool yes;

		if (s->events[i].taken)
			continue;
		va_copy(copy, pairs);
		yes = matches(s->events[i].json, event, copy);
		va_end(copy);
		if (yes) {
			s->events[i].taken = true;
			return s->events[i].json;
		}
	}
	return NULL;
}

const cJSON *simulator_wait(struct simulator *s, int ms, const char *event, ...)
{
	int64_t end = harness_now_ns() + ms * harness_patience() * 1000000LL;
	const cJSON *o = NULL;
	va_list pairs;

	va_start(pairs, event);
	while (!(o = find(s, event, pairs)) && harness_now_ns() < end && !s->gone)
		receive(s, 20);
	va_end(pairs);
	if (!o)
		harness_failed("%s: no event %s within %d ms", s->name, event, ms);
	return o;
}

const cJSON *simulator_seen(struct simulator *s, const char *event, ...)
{
	const cJSON *o;
	va_list pairs;

	for (size_t before = SIZE_MAX; before != s->count;) {
		before = s->count;
		receive(s, 0);
	}
	va_start(pairs, event);
	o = find(s, event, pairs);
	va_end(pairs);
	return o;
}

void simulator_forget(struct simulator *s)
{
	receive(s, 0);
	for (size_t i = 0; i < s->count; i++)
		s->events[i].taken = true;
}

__attribute__((format(printf, 3, 0)))
static const cJSON *ask(struct simulator *s, const char *cmd, const char *format, va_list ap)
{
	unsigned id = ++s->asked;
	int64_t end = harness_now_ns() + 30 * harness_patience() * 1000000000LL;
	char *members = NULL, *line = NULL;
	int n;

	if (vasprintf(&members, format, ap) < 0 ||
	    (n = asprintf(&line, "{\"cmd\":\"%s\",\"id\":%u%s%s}\n", cmd, id, *members ? "," : "",
			  members)) < 0)
		abort();
	cJSON_Delete(s->answers[id % ANSWERS]);
	s->answers[id % ANSWERS] = NULL;
	if (write(s->in, line, (size_t)n) != n)
		s->gone = true;
	free(members);
	free(line);
	while (!s->answers[id % ANSWERS] && harness_now_ns() < end && !s->gone)
		receive(s, 20);
	if (!s->answers[id % ANSWERS])
		harness_failed("%s: no answer to \"%s\"", s->name, cmd);
	return s->answers[id % ANSWERS];
}

const cJSON *simulator_try(struct simulator *s, const char *cmd, const char *format, ...)
{
	const cJSON *o;
	va_list ap;

	va_start(ap, format);
	o = ask(s, cmd, format, ap);
	va_end(ap);
	return o;
}

const cJSON *simulator_ask(struct simulator *s, const char *cmd, const char *format, ...)
{
	const cJSON *o;
	va_list ap;

	va_start(ap, format);
	o = ask(s, cmd, format, ap);
	va_end(ap);
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "ok")))
		harness_failed("%s: \"%s\" refused: %s", s->name, cmd,
			       cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "error")));
	return o;
}

int simulator_complaints(struct simulator *s, const char *except, char *text, int len)
{
	int n = 0;

	receive(s, 0);
	*text = 0;
	for (size_t i = 0; i < s->count; i++) {
		const cJSON *o = s->events[i].json;
		const char *what;

		if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "event")),
			   "complaint"))
			continue;
		what = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "what"));
		if (except && strstr(what, except))
			continue;
		if (!n++)
			snprintf(text, (size_t)len, "%s", what);
	}
	return n;
}

void simulator_dump(const struct simulator *s, const char *path)
{
	FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < s->count; i++) {
		char *text = cJSON_PrintUnformatted(s->events[i].json);

		fprintf(f, "%.1000s\n", text);
		cJSON_free(text);
	}
	if (f)
		fclose(f);
}

pid_t simulator_pid(const struct simulator *s)
{
	return s->process.pid;
}

const cJSON *simulator_ready(const struct simulator *s)
{
	return s->ready;
}

struct simulator *simulator_start(const char *program, const char *dir, const char *log)
{
	struct simulator *s = calloc(1, sizeof(*s));
	const char *argv[] = {program, "--dir", dir, NULL};
	int in[2], out[2];

	if (!s || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	snprintf(s->name, sizeof(s->name), "%s",
		 strrchr(program, '/') ? strrchr(program, '/') + 1 : program);
	fcntl(out[0], F_SETPIPE_SZ, 1 << 20); /* a test that computes must not stop it */
	process_start(&s->process, s->name, argv, NULL, dir, log, in[0], out[1],
		      PRIORITY_SIMULATOR);
	close(in[0]);
	close(out[1]);
	s->in = in[1];
	s->out = out[0];
	s->ready = cJSON_Duplicate(simulator_wait(s, 10000, "ready", NULL), 1);
	return s;
}

void simulator_stop(struct simulator *s)
{
	if (!s)
		return;
	close(s->in);
	process_end(&s->process, 0, 5000);
	close(s->out);
	for (size_t i = 0; i < s->count; i++)
		cJSON_Delete(s->events[i].json);
	for (int i = 0; i < ANSWERS; i++)
		cJSON_Delete(s->answers[i]);
	cJSON_Delete(s->ready);
	free(s->events);
	free(s->buf);
	free(s);
}
