/* SPDX-License-Identifier: MIT
 *
 * tls.c - the throw-away certificate authority of a simulator (see net.h).
 */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tests/sim/net.h"

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext)
		return 0;
	ok = X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *c = X509_new();
	X509_NAME *n;
	uint64_t serial = 0;
	bool ca = !issuer;

	if (!c || RAND_bytes((unsigned char *)&serial, 7) != 1)
		goto fail;
	X509_set_version(c, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(c), serial | 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -24 * 3600);
	X509_gmtime_adj(X509_getm_notAfter(c), 7 * 24 * 3600);
	X509_set_pubkey(c, key);
	n = X509_get_subject_name(c);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : n);
	if (ca) {
		if (!add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
		    !add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		    !add_extension(c, c, NID_subject_key_identifier, "hash"))
			goto fail;
	} else {
		if (!add_extension(c, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
		    !add_extension(c, issuer, NID_key_usage, "critical,digitalSignature") ||
		    !add_extension(c, issuer, NID_ext_key_usage, "serverAuth") ||
		    !add_extension(c, issuer, NID_authority_key_identifier, "keyid:always") ||
		    !add_extension(c, issuer, NID_subject_alt_name,
				   "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:discord.test"))
			goto fail;
	}
	if (!X509_sign(c, issuer_key, EVP_sha256()))
		goto fail;
	return c;
fail:
	X509_free(c);
	return NULL;
}

int sim_tls_server_create(SSL_CTX **out, const char *ca_path)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = NULL, *cert = NULL;
	SSL_CTX *tls = NULL;
	FILE *f = NULL;
	int err = -EPROTO;

	if (!ca_key || !key)
		goto out;
	ca = make_cert("loopline sandbox CA", ca_key, NULL, ca_key);
	if (!ca)
		goto out;
	cert = make_cert("localhost", key, ca, ca_key);
	if (!cert)
		goto out;
	f = fopen(ca_path, "w");
	if (!f) {
		err = -errno;
		goto out;
	}
	if (!PEM_write_X509(f, ca))
		goto out;
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls || SSL_CTX_use_certificate(tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(tls, key) != 1)
		goto out;
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	*out = tls;
	tls = NULL;
	err = 0;
out:
	if (f && fclose(f) && !err)
		err = -errno;
	SSL_CTX_free(tls);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return err;
}

int sim_tls_client_create(SSL_CTX **out, const char *ca_path)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	if ((ca_path ? SSL_CTX_load_verify_locations(tls, ca_path, NULL) :
		       SSL_CTX_set_default_verify_paths(tls)) != 1) {
		ERR_clear_error();
		SSL_CTX_free(tls);
		return -ENOENT;
	}
	*out = tls;
	return 0;
}

void sim_tls_destroy(SSL_CTX *tls)
{
	SSL_CTX_free(tls);
}
