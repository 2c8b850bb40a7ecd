/* SPDX-License-Identifier: MIT
 *
 * fuzz_url.c - any text as a URL, host:port and base64; what is accepted must be within its bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/encode.h"
#include "common/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *again = malloc(BASE64_LEN(size) + 1);
	uint8_t *bytes = malloc(BASE64_MAX_BYTES(size));
	struct host_port host_port;
	const char *why = NULL;
	struct url url;
	ssize_t n;

	if (!text || !again || !bytes)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (url_parse(&url, text, &why) == 0) {
		if (!url.port || !url.host[0] || (url.path[0] && url.path[0] != '/'))
			abort();
	} else if (!why) {
		abort();
	}
	host_port_parse(&host_port, text, 0, &why);
	n = base64_decode(bytes, BASE64_MAX_BYTES(size), text, size);
	if (n >= 0) {
		/* strict: one spelling for each byte string */
		base64_encode(again, bytes, (size_t)n);
		if (strlen(again) != size || memcmp(again, text, size) != 0)
			abort();
	}
	utf8_valid(text, size);
	free(text);
	free(again);
	free(bytes);
	return 0;
}
