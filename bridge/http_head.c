/* SPDX-License-Identifier: MIT
 *
 * http_head.c - see http_head.h.
 */
#include "bridge/http_head.h"

#include <stdio.h>
#include <string.h>

bool http_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
	int len = lws_hdr_total_length(wsi, token);

	out[0] = '\0';
	return len > 0 && len < size && lws_hdr_copy(wsi, out, size, token) > 0;
}

/* Quirk: custom headers are found by their lower-case name with the colon, and only so. */
bool http_custom_header(struct lws *wsi, const char *name, char *out, int size)
{
	int len = lws_hdr_custom_length(wsi, name, (int)strlen(name));

	out[0] = '\0';
	if (len <= 0 || len >= size)
		return false;
	return lws_hdr_custom_copy(wsi, out, size, name, (int)strlen(name)) > 0;
}

bool http_target(struct lws *wsi, enum lws_token_indexes uri, char out[HTTP_TARGET_BYTES])
{
	char args[HTTP_TARGET_BYTES];
	size_t len;

	if (!http_header(wsi, uri, out, HTTP_TARGET_BYTES))
		return false;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) == 0)
		return true;
	if (!http_header(wsi, WSI_TOKEN_HTTP_URI_ARGS, args, sizeof(args)))
		return false;
	len = strlen(out);
	return snprintf(out + len, HTTP_TARGET_BYTES - len, "?%s", args) < (int)(HTTP_TARGET_BYTES - len);
}
