/* SPDX-License-Identifier: MIT
 *
 * fuzz_webhook.c - what comes through the HTTP door: a request target, then (behind the first NUL)
 * a form body, to the webhook, the check of signatures and the check of upgrades.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/bridge_settings.h"
#include "bridge/form.h"
#include "bridge/signature.h"
#include "bridge/webhook.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_call(void *user, struct call *call)
{
}

static void on_ended(void *user, struct call *call, enum call_end reason)
{
}

static void on_drop(void *user, struct call *call, void *stream)
{
}

static struct settings *load(void)
{
	static const char *const environment[] = {"TWILIO_VALIDATE=off", "MAX_CALLS=4",
						  "PUBLIC_URL=https://h.example/pre", NULL};
	struct settings_sources sources = {.conf_file = "/dev/null", .env_file = "/dev/null",
					   .credentials_dir = "", .environment = environment};
	struct settings *settings;

	if (settings_load(&settings, &bridge_settings_program, &sources))
		abort();
	return settings;
}

static void form_check(const char *body, size_t len)
{
	struct form *form;

	if (form_parse(&form, body, len))
		return;
	for (size_t i = 0; i < form->count; i++)
		if (strlen(form->fields[i].key) + strlen(form->fields[i].value) > len)
			abort();
	form_destroy(form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct call_hooks hooks = {
		.changed = on_call, .ended = on_ended, .drop_stream = on_drop, .notice = on_call};
	static struct settings *settings;
	static struct call_table *calls;
	static struct token_store *tokens;
	static struct webhook *webhook;
	static int64_t now_ns;
	const uint8_t *end = memchr(data, 0, size);
	size_t target_len = end ? (size_t)(end - data) : size;
	size_t body_len = end ? size - target_len - 1 : 0;
	char *target = strndup((const char *)data, target_len);
	char *body = malloc(body_len + 1);

	if (!target || !body)
		abort();
	if (body_len)
		memcpy(body, end + 1, body_len);
	if (!settings) {
		log_level_set(LOG_LEVEL_ERROR);
		settings = load();
		if (call_table_create(&calls, &hooks) || token_store_create(&tokens) ||
		    webhook_create(&webhook, calls, tokens))
			abort();
	}
	struct webhook_answer answer = {.body = STRBUF_INIT(8192)};
	struct webhook_request request = {
		.method = "POST",
		.target = target,
		.content_type = "application/x-www-form-urlencoded",
		.idempotency = target_len % 2 ? "token" : NULL,
		.body = body,
		.body_len = body_len,
		.peer = "fuzz",
	};

	now_ns += 1000000000;
	webhook_handle(webhook, settings, &request, now_ns, 0, &answer);
	if (answer.status < 200 || answer.status > 599 || answer.body.error)
		abort();
	strbuf_free(&answer.body);
	call_table_run(calls, now_ns);

	form_check(body, body_len);
	signature_body_matches(target, body, body_len);
	/* nobody can know the key, so nothing may match */
	if (signature_check("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "key", "https://h.example:8443/pre", target,
			    now_ns % 2 ? SIGNATURE_WEBSOCKET : SIGNATURE_WEBHOOK, NULL) > 0)
		abort();
	free(target);
	free(body);
	return 0;
}
