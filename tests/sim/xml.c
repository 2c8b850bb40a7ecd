/* SPDX-License-Identifier: MIT
 *
 * xml.c - elements, attributes, text, comments, the declaration, the five entities and character
 * references; nothing else, and nothing that is not well-formed (see xml.h).
 */
#include "tests/sim/xml.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

struct parser {
	const char *p, *end;
	const char *error;
};

static void *fail(struct parser *s, const char *why)
{
	if (!s->error)
		s->error = why;
	return NULL;
}

static bool at(const struct parser *s, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(s->end - s->p) >= n && !memcmp(s->p, what, n);
}

static void blanks(struct parser *s)
{
	while (s->p < s->end && isspace((unsigned char)*s->p))
		s->p++;
}

static char *name(struct parser *s)
{
	const char *from = s->p;

	while (s->p < s->end && (isalnum((unsigned char)*s->p) || strchr("_:-.", *s->p)))
		s->p++;
	if (s->p == from)
		return fail(s, "a name is missing");
	return strndup(from, (size_t)(s->p - from));
}

/* Resolves one entity at s->p into out (UTF-8, up to 4 bytes); returns the length or 0. */
static int entity(struct parser *s, char *out)
{
	static const struct {
		const char *text;
		char c;
	} known[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' },
		      { "&apos;", '\'' } };
	unsigned long c;
	char *stop;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (at(s, known[i].text)) {
			s->p += strlen(known[i].text);
			*out = known[i].c;
			return 1;
		}
	if (!at(s, "&#")) {
		fail(s, "an ampersand that begins no entity");
		return 0;
	}
	c = s->p[2] == 'x' ? strtoul(s->p + 3, &stop, 16) : strtoul(s->p + 2, &stop, 10);
	if (*stop != ';' || !c || c > 0x10ffff) {
		fail(s, "bad character reference");
		return 0;
	}
	s->p = stop + 1;
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Character data up to (not including) `stop`. */
static char *chars(struct parser *s, char stop)
{
	char *out = malloc((size_t)(s->end - s->p) + 5);
	size_t n = 0;

	if (!out)
		abort();
	while (s->p < s->end && *s->p != stop && !s->error) {
		if (*s->p == '&') {
			n += (size_t)entity(s, out + n);
		} else if (*s->p == '<') {
			fail(s, "'<' inside an attribute");
		} else {
			out[n++] = *s->p++;
		}
	}
	out[n] = 0;
	if (s->p >= s->end)
		fail(s, "the document ends too early");
	return out;
}

static bool misc(struct parser *s)
{
	for (;;) {
		blanks(s);
		if (!at(s, "<!--"))
			return true;
		for (s->p += 4; s->p < s->end && !at(s, "-->"); s->p++)
			;
		if (s->p >= s->end)
			return fail(s, "comment without end");
		s->p += 3;
	}
}

static bool attributes(struct parser *s, struct sim_xml *x)
{
	struct sim_xml_attr **tail = &x->attrs;

	for (;;) {
		const char *before = s->p;
		struct sim_xml_attr *a;
		char quote;

		blanks(s);
		if (s->p >= s->end)
			return fail(s, "tag without end");
		if (*s->p == '>' || *s->p == '/')
			return true;
		if (s->p == before)
			return fail(s, "no blank before an attribute");
		a = calloc(1, sizeof(*a));
		if (!a)
			abort();
		*tail = a;
		tail = &a->next;
		a->name = name(s);
		blanks(s);
		if (!a->name || s->p >= s->end || *s->p++ != '=')
			return fail(s, "attribute without value");
		blanks(s);
		quote = s->p < s->end ? *s->p++ : 0;
		if (quote != '"' && quote != '\'')
			return fail(s, "attribute value without quotes");
		a->value = chars(s, quote);
		if (s->error)
			return false;
		s->p++;
		for (struct sim_xml_attr *b = x->attrs; b != a; b = b->next)
			if (!strcmp(a->name, b->name))
				return fail(s, "the same attribute twice");
	}
}

static char *trimmed(char *text)
{
	size_t n = strlen(text), from = 0;

	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	while (from < n && isspace((unsigned char)text[from]))
		from++;
	memmove(text, text + from, n - from);
	text[n - from] = 0;
	return text;
}

static struct sim_xml *element(struct parser *s, int depth)
{
	struct sim_xml *x, **tail;

	if (depth > DEPTH_MAX || s->p >= s->end || *s->p != '<')
		return fail(s, depth > DEPTH_MAX ? "nested too deeply" : "an element is missing");
	s->p++;
	x = calloc(1, sizeof(*x));
	if (!x)
		abort();
	tail = &x->children;
	x->text = strdup("");
	x->name = name(s);
	if (!x->name || !attributes(s, x))
		return x;
	if (*s->p == '/') {
		s->p++;
		if (s->p >= s->end || *s->p++ != '>')
			fail(s, "'/' inside a tag");
		return x;
	}
	s->p++;
	while (!s->error) {
		char *text = chars(s, '<'), *joined;

		if (s->error) {
			free(text);
			break;
		}
		joined = realloc(x->text, strlen(x->text) + strlen(text) + 1);
		if (!joined)
			abort();
		x->text = strcat(joined, text);
		free(text);
		if (at(s, "<!--")) {
			misc(s);
		} else if (at(s, "</")) {
			size_t n = strlen(x->name);

			s->p += 2;
			if ((size_t)(s->end - s->p) < n || memcmp(s->p, x->name, n)) {
				fail(s, "end tag does not match");
				break;
			}
			s->p += n;
			blanks(s);
			if (s->p >= s->end || *s->p++ != '>')
				fail(s, "end tag does not match");
			trimmed(x->text);
			return x;
		} else {
			*tail = element(s, depth + 1);
			if (*tail)
				tail = &(*tail)->next;
		}
	}
	return x;
}

struct sim_xml *sim_xml_parse(const char *text, size_t len, const char **error)
{
	struct parser s = { text, text + len, NULL };
	struct sim_xml *x = NULL;

	if (at(&s, "<?xml")) {
		const char *stop = memmem(s.p, len, "?>", 2);

		if (stop)
			s.p = stop + 2;
		else
			fail(&s, "XML declaration without end");
	}
	if (!s.error && misc(&s))
		x = element(&s, 0);
	if (!s.error && misc(&s) && s.p != s.end)
		fail(&s, "something follows the root element");
	if (s.error) {
		sim_xml_destroy(x);
		x = NULL;
	}
	*error = s.error;
	return x;
}

void sim_xml_destroy(struct sim_xml *x)
{
	while (x) {
		struct sim_xml *next = x->next;

		while (x->attrs) {
			struct sim_xml_attr *a = x->attrs;

			x->attrs = a->next;
			free(a->name);
			free(a->value);
			free(a);
		}
		sim_xml_destroy(x->children);
		free(x->name);
		free(x->text);
		free(x);
		x = next;
	}
}

const char *sim_xml_attr(const struct sim_xml *x, const char *name, const char *otherwise)
{
	for (const struct sim_xml_attr *a = x->attrs; a; a = a->next)
		if (!strcmp(a->name, name))
			return a->value;
	return otherwise;
}
