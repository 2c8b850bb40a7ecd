/* SPDX-License-Identifier: MIT
 *
 * fuzz_json.c - any bytes as JSON, read by every getter, decoded as every message of the local API,
 * and what decodes must survive encoding and decoding again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct json_at *at)
{
	static const char *const names[] = {"a", "type", "seq", "line"};
	struct json_at child, element;
	const char *text;
	int64_t integer;
	double number;
	uint64_t id;
	bool flag;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		at->doc->error[0] = '\0'; /* errors stick; here every getter shall run */
		json_opt_str(at, names[i], &text);
		at->doc->error[0] = '\0';
		json_int_lax(at, names[i], -5, INT64_MAX, &integer);
		at->doc->error[0] = '\0';
		json_num(at, names[i], &number);
		at->doc->error[0] = '\0';
		json_id_lax(at, names[i], &id);
		at->doc->error[0] = '\0';
		json_bool(at, names[i], &flag);
		at->doc->error[0] = '\0';
		if (json_opt_obj(at, names[i], &child))
			json_str(&child, "a", &text);
		at->doc->error[0] = '\0';
		if (json_opt_arr(at, names[i], &child))
			for (bool more = json_first(&child, &element); more;
			     more = json_next(&element))
				json_value_id(&element, &id);
	}
	at->doc->error[0] = '\0';
}

static void round_trip(const struct api_event *event)
{
	struct strbuf first = STRBUF_INIT(1 << 20), second = STRBUF_INIT(1 << 20);
	struct json_writer w;
	struct json_doc doc;
	struct json_at root;
	struct api_event again;

	if (event->type == API_EVENT_UNKNOWN)
		return;
	json_begin(&w, &first);
	api_event_encode(&w, event);
	if (json_finish(&w) < 0 || json_parse(&doc, strbuf_text(&first), first.len, NULL) < 0)
		abort();
	root = json_root(&doc);
	if (!api_event_decode(&root, &again))
		abort();
	json_begin(&w, &second);
	api_event_encode(&w, &again);
	if (json_finish(&w) < 0 || strcmp(strbuf_text(&first), strbuf_text(&second)) != 0)
		abort();
	json_free(&doc);
	strbuf_free(&first);
	strbuf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_snapshot snapshot;
	struct api_channel channel;
	struct api_event event;
	struct json_doc doc;
	struct json_at root, budget;
	int line;

	if (json_parse(&doc, (const char *)data, size, NULL) < 0) {
		if (!doc.error[0])
			abort();
		json_free(&doc);
		return 0;
	}
	root = json_root(&doc);
	read_all(&root);
	if (api_snapshot_decode(&root, &snapshot))
		api_snapshot_free(&snapshot);
	doc.error[0] = '\0';
	api_channel_decode(&root, &channel);
	doc.error[0] = '\0';
	if (api_budget_decode(&root, &line, &budget)) {
		struct strbuf text = STRBUF_INIT(1 << 20);

		json_text(&budget, &text);
		strbuf_free(&text);
	}
	doc.error[0] = '\0';
	if (api_event_decode(&root, &event))
		round_trip(&event);
	json_free(&doc);
	return 0;
}
