/* SPDX-License-Identifier: MIT
 *
 * unit_ca.h - for tests: a throw-away certificate authority and a server certificate under it.
 */
#ifndef TESTS_UNIT_UNIT_CA_H
#define TESTS_UNIT_UNIT_CA_H

/*
 * Writes dir/NAME-ca.pem, dir/NAME-cert.pem and dir/NAME-key.pem (P-256, valid for an hour around
 * now). san as OpenSSL's configuration has it: "DNS:localhost,IP:127.0.0.1". Aborts on failure.
 */
void unit_ca_make(const char *dir, const char *name, const char *san);

#endif
