/* SPDX-License-Identifier: MIT
 *
 * test_call_sound.c - how a call sounds, as the local API shows it: numbers only where there are any.
 */
#include "bridge/call_sound.h"
#include "common/json.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

static struct line_budget line;
static struct leg_stats leg;
static struct media_stream_stats stream;
static char text[4096];

static void setup(void)
{
	memset(&line, 0, sizeof(line));
	budget_stamp(&line.mixing, 5 * MS);
	budget_stamp(&line.to_loopback, 4 * MS);
	budget_stamp(&line.from_loopback, 3 * MS);
	leg = (struct leg_stats){.framing_in_ns = 20 * MS, .framing_out_ns = MS, .resampling_out_ns = 2 * MS};
	leg.playout.delay_ns = 12 * MS;
	leg.playout.jitter_ns = 5 * MS;
	leg.playout.resampler_ns = MS;
	stream = (struct media_stream_stats){.min_rtt_ns = 30 * MS, .queue_ns = 7 * MS, .unsent_ns = 20 * MS};
}

/* Parsed again, for what stands where; valid until the next. */
static struct json_at written(const struct media_stream_stats *of, bool discord)
{
	static struct json_doc doc;
	struct strbuf b = STRBUF_INIT(sizeof(text));
	struct call_sound sound = {.line = &line, .leg = &leg, .stream = of};
	struct json_writer w;

	if (discord) {
		sound.discord = "{\"x\":1}";
		sound.to_discord_ms = 40;
		sound.to_phone_ms = 10;
	}
	json_begin(&w, &b);
	json_w_obj(&w, NULL);
	call_sound_write(&w, &sound);
	json_w_end(&w);
	CHECK_INT(json_finish(&w), 0);
	snprintf(text, sizeof(text), "%s", strbuf_text(&b));
	json_free(&doc);
	CHECK_INT(json_parse(&doc, text, strlen(text), NULL), 0);
	strbuf_free(&b);
	return json_root(&doc);
}

/* NAN for null. */
static double number(const struct json_at *at, const char *name)
{
	struct json_at value = *at;
	double d = NAN;

	CHECK(strstr(text, name));
	json_opt_num(&value, name, &d);
	return d;
}

static double budget_number(struct json_at root, const char *way, const char *name)
{
	struct json_at budget, in;

	CHECK(json_obj(&root, "budget", &budget));
	if (!way)
		return number(&budget, name);
	CHECK(json_obj(&budget, way, &in));
	return number(&in, name);
}

static void test_all_known(void)
{
	setup();
	struct json_at root = written(&stream, true);

	CHECK_NEAR(budget_number(root, "to_discord", "sum_ms"), 20 + 12 + 1 + 5 + 4, 1e-6);
	CHECK_NEAR(budget_number(root, "to_phone", "socket_ms"), 20, 1e-6);
	CHECK_NEAR(budget_number(root, "to_phone", "sum_ms"), 3 + 2 + 1 + 20, 1e-6);
	CHECK_NEAR(budget_number(root, "total", "to_discord_ms"), 82, 1e-6);
	CHECK_NEAR(budget_number(root, "total", "to_phone_ms"), 36, 1e-6);
	CHECK_NEAR(budget_number(root, NULL, "twilio_queue_ms"), 7, 1e-6);
	CHECK_NEAR(number(&root, "mark_rtt_min_ms"), 30, 1e-6);
}

/* A call that is re-attaching: nothing is known of a socket that is not there, nor of its far end, and so
 * nothing of the sums. */
static void test_without_a_stream(void)
{
	setup();
	struct json_at root = written(NULL, true);

	CHECK(isnan(budget_number(root, "to_phone", "socket_ms")));
	CHECK(isnan(budget_number(root, "to_phone", "sum_ms")));
	CHECK(isnan(budget_number(root, "total", "to_phone_ms")));
	CHECK(isnan(budget_number(root, NULL, "twilio_queue_ms")));
	CHECK_NEAR(budget_number(root, "to_discord", "sum_ms"), 42, 1e-6);
}

static void test_before_the_first_mark(void)
{
	setup();
	stream.min_rtt_ns = stream.queue_ns = 0;
	struct json_at root = written(&stream, false);

	CHECK(isnan(budget_number(root, NULL, "twilio_queue_ms")));
	CHECK(isnan(number(&root, "mark_rtt_min_ms")));
	CHECK_NEAR(budget_number(root, "to_phone", "sum_ms"), 26, 1e-6);
	CHECK(isnan(budget_number(root, "total", "to_phone_ms")));
}

/* Each figure stands in one place. */
static void test_once(void)
{
	static const char *const names[] = {"twilio_queue_ms", "network_jitter_ms", "\"jitter_ms"};

	setup();
	written(&stream, true);
	for (int i = 0; i < 3; i++) {
		const char *first = strstr(text, names[i]);

		CHECK_INT(first != NULL, i < 2);
		CHECK(!first || !strstr(first + 1, names[i]));
	}
}

int main(void)
{
	UNIT(test_all_known);
	UNIT(test_without_a_stream);
	UNIT(test_before_the_first_mark);
	UNIT(test_once);
	return unit_done();
}
