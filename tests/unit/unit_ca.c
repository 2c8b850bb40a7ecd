/* SPDX-License-Identifier: MIT
 *
 * unit_ca.c - certificates for tests, made by OpenSSL at run time.
 */
#include "tests/unit/unit_ca.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void need(int good)
{
	if (!good)
		abort();
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	need(extension && X509_add_ext(cert, extension, -1));
	X509_EXTENSION_free(extension);
}

static X509 *certificate(const char *name, long serial, EVP_PKEY *key)
{
	X509 *cert = X509_new();

	need(cert && X509_set_version(cert, 2));
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	need(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
					(const unsigned char *)name, -1, -1, 0));
	need(X509_set_pubkey(cert, key));
	return cert;
}

static FILE *create(const char *dir, const char *name, const char *what)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%s.pem", dir, name, what);
	f = fopen(path, "w");
	need(f != NULL);
	return f;
}

void unit_ca_make(const char *dir, const char *name, const char *san)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca, *cert;
	FILE *f;

	need(ca_key && key);
	ca = certificate("throw-away CA", 1, ca_key);
	X509_set_issuer_name(ca, X509_get_subject_name(ca));
	extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
	extend(ca, ca, NID_subject_key_identifier, "hash");
	need(X509_sign(ca, ca_key, EVP_sha256()));
	cert = certificate("throw-away server", 2, key);
	X509_set_issuer_name(cert, X509_get_subject_name(ca));
	extend(cert, ca, NID_subject_alt_name, san);
	extend(cert, ca, NID_authority_key_identifier, "keyid");
	need(X509_sign(cert, ca_key, EVP_sha256()));

	f = create(dir, name, "ca");
	need(PEM_write_X509(f, ca));
	fclose(f);
	f = create(dir, name, "cert");
	need(PEM_write_X509(f, cert));
	fclose(f);
	f = create(dir, name, "key");
	need(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	X509_free(ca);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}
