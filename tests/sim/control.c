/* SPDX-License-Identifier: MIT
 *
 * control.c - JSON lines in and out (see control.h).
 */
#include "tests/sim/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

const char SIM_LATER[] = "later";

static struct {
	struct sim_loop *loop;
	const struct sim_command *commands;
	void *ctx;
	char *buf;
	size_t len, room;
} control;

static void print_line(cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);

	if (text) {
		fputs(text, stdout);
		fputc('\n', stdout);
		fflush(stdout);
		cJSON_free(text);
	}
	cJSON_Delete(o);
}

void sim_event(const char *name, cJSON *fields)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "event", name);
	cJSON_AddNumberToObject(o, "t_ns", (double)sim_now_ns());
	while (fields && fields->child) {
		cJSON *item = cJSON_DetachItemViaPointer(fields, fields->child);

		cJSON_AddItemToObject(o, item->string, item);
	}
	cJSON_Delete(fields);
	print_line(o);
}

void complain(const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	sim_event("complaint", sim_obj("s", "what", text));
}

void sim_answer_later(cJSON *answer, const char *error)
{
	cJSON_AddBoolToObject(answer, "ok", !error);
	if (error)
		cJSON_AddStringToObject(answer, "error", error);
	print_line(answer);
}

static void run_line(const char *line)
{
	cJSON *command = cJSON_Parse(line), *answer = cJSON_CreateObject();
	const char *name = sim_str(command, "cmd", ""), *error = "no such command";
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(command, "id");

	cJSON_AddStringToObject(answer, "reply", name);
	if (id)
		cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(id, 1));
	if (!command)
		error = "not JSON";
	for (const struct sim_command *c = control.commands; c->name; c++)
		if (!strcmp(c->name, name)) {
			error = c->run(control.ctx, command, answer);
			break;
		}
	if (error != SIM_LATER)
		sim_answer_later(answer, error);
	cJSON_Delete(command);
}

static void readable(void *ctx, uint32_t events)
{
	for (;;) {
		ssize_t n;
		char *start, *nl;

		if (control.room - control.len < 65536) {
			control.room = 2 * control.room + 131072;
			control.buf = realloc(control.buf, control.room);
			if (!control.buf)
				abort();
		}
		n = read(STDIN_FILENO, control.buf + control.len, control.room - control.len - 1);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			sim_loop_stop(control.loop);
			return;
		}
		control.len += (size_t)n;
		control.buf[control.len] = 0;
		start = control.buf;
		while ((nl = strchr(start, '\n'))) {
			*nl = 0;
			if (nl > start)
				run_line(start);
			start = nl + 1;
		}
		control.len = strlen(start);
		memmove(control.buf, start, control.len + 1);
	}
}

int sim_control_start(struct sim_loop *loop, const struct sim_command *commands, void *ctx)
{
	control.loop = loop;
	control.commands = commands;
	control.ctx = ctx;
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	return sim_loop_watch(loop, STDIN_FILENO, EPOLLIN, readable, NULL);
}

const char *sim_str(const cJSON *o, const char *key, const char *otherwise)
{
	const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsString(i) ? i->valuestring : otherwise;
}

double sim_num(const cJSON *o, const char *key, double otherwise)
{
	const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(i) ? i->valuedouble : otherwise;
}

bool sim_flag(const cJSON *o, const char *key, bool otherwise)
{
	const cJSON *i = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsBool(i) ? cJSON_IsTrue(i) : otherwise;
}

cJSON *sim_obj(const char *format, ...)
{
	cJSON *o = cJSON_CreateObject();
	va_list ap;

	va_start(ap, format);
	for (const char *f = format; *f; f++) {
		const char *key = va_arg(ap, const char *), *s;
		cJSON *item;

		switch (*f) {
		case 's':
			s = va_arg(ap, const char *);
			item = s ? cJSON_CreateString(s) : cJSON_CreateNull();
			break;
		case 'i':
			item = cJSON_CreateNumber((double)va_arg(ap, int64_t));
			break;
		case 'd':
			item = cJSON_CreateNumber(va_arg(ap, double));
			break;
		case 'b':
			item = cJSON_CreateBool(va_arg(ap, int));
			break;
		default:
			item = va_arg(ap, cJSON *);
			break;
		}
		cJSON_AddItemToObject(o, key, item);
	}
	va_end(ap);
	return o;
}
