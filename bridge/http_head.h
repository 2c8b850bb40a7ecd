/* SPDX-License-Identifier: MIT
 *
 * http_head.h - what a request's head says, while libwebsockets still has it.
 */
#ifndef BRIDGE_HTTP_HEAD_H
#define BRIDGE_HTTP_HEAD_H

#include <stdbool.h>

#include <libwebsockets.h>

#define HTTP_TARGET_BYTES 2048
#define HTTP_HEADER_BYTES 256

/* False, and "": it is not there, or does not fit. */
bool http_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size);
/* name: in lower case with the colon. */
bool http_custom_header(struct lws *wsi, const char *name, char *out, int size);
/* Path and query as they were sent; uri: the token of the method. False: they do not fit. */
bool http_target(struct lws *wsi, enum lws_token_indexes uri, char out[HTTP_TARGET_BYTES]);

#endif
