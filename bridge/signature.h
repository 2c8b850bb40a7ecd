/* SPDX-License-Identifier: MIT
 *
 * signature.h - X-Twilio-Signature: HMAC-SHA1 over the URL and the sorted form fields, in base64.
 *
 * The URL that Twilio signed is rebuilt from the configured PUBLIC_URL and the raw request target,
 * never from the Host or X-Forwarded-* headers: those are the stranger's to choose. Twilio's own
 * back ends do not agree about ports, the trailing slash of WebSocket addresses and the encoding of
 * the query, so a few variants are tried. Pure, any thread.
 */
#ifndef BRIDGE_SIGNATURE_H
#define BRIDGE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/form.h"

#define SIGNATURE_CHARS 28 /* base64 of 20 bytes */

enum signature_kind {
	SIGNATURE_WEBHOOK,   /* signed as the http(s) URL */
	SIGNATURE_WEBSOCKET, /* signed as the ws(s) URL */
};

/*
 * Computes the signature of `url` exactly as given plus the fields of `form` (NULL: none) into
 * `out` (terminated). Keys are sorted by bytes; so are the values of one key, of which equal ones
 * count once. Returns 0, -ENOMEM or -EIO (libcrypto refused).
 */
int signature_compute(char out[SIGNATURE_CHARS + 1], const char *auth_token, const char *url,
		      const struct form *form);

/*
 * Checks `header` (NULL: it was missing) for a request that came for `target` (raw, undecoded, with
 * its query) below `public_url` ("https://host[:port][/prefix]", no slash at the end).
 *
 * Returns the number of the variant that matched (1: the URL as it is; higher numbers mean that
 * PUBLIC_URL, or the peer, is a little off and are worth a notice; signature_variant_text() names
 * them), 0 if none did, or a negative errno. Each comparison takes constant time.
 */
int signature_check(const char *header, const char *auth_token, const char *public_url,
		    const char *target, enum signature_kind kind, const struct form *form);

/* What variant `number` was, for the log. */
const char *signature_variant_text(int number);

/*
 * For a body that is no form, Twilio adds ?bodySHA256=<hex> to the URL it signs. True if `target`
 * has that parameter and it is the digest of the raw body. (An unsigned body would be a gift.)
 */
bool signature_body_matches(const char *target, const void *body, size_t len);

#endif
