/* SPDX-License-Identifier: MIT
 *
 * loop_vhosts.c - one client vhost for each set of trusted certificates.
 *
 * In libwebsockets the trusted certificates belong to the vhost, and every vhost with TLS loads
 * its own copy of them, so they are shared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "common/log.h"
#include "common/loop_internal.h"

struct loop_vhosts {
	struct loop_vhosts *next;
	char *ca_file; /* NULL: system store */
	struct lws_vhost *vhost;
	/* libwebsockets 4.1 keeps the pointer, and protocols of different vhosts must not share state */
	struct lws_protocols protocols[2];
};

/* With a bad file libwebsockets would only log, and then fail every connection. */
static bool has_certificate(const char *ca_file)
{
	FILE *file = fopen(ca_file, "re");
	X509 *first;

	if (!file) {
		log_error("cannot read CA_FILE file=%s error=%s", log_quote(ca_file),
			  log_quote(strerror(errno)));
		return false;
	}
	first = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!first) {
		ERR_clear_error();
		log_error("CA_FILE has no certificate in PEM form file=%s", log_quote(ca_file));
		return false;
	}
	X509_free(first);
	return true;
}

struct lws_vhost *loop_client_vhost(struct loop *loop, const char *ca_file)
{
	struct loop_vhosts **list = loop_client_vhosts(loop), *item;
	struct lws_context_creation_info info;
	char name[64];
	int count = 0;

	for (item = *list; item; item = item->next, count++)
		if (ca_file && item->ca_file ? !strcmp(ca_file, item->ca_file)
					     : !ca_file && !item->ca_file)
			return item->vhost;
	if (ca_file && !has_certificate(ca_file))
		return NULL;
	item = calloc(1, sizeof(*item));
	if (!item)
		return NULL;
	if (ca_file && !(item->ca_file = strdup(ca_file))) {
		free(item);
		return NULL;
	}
	item->protocols[0] = (struct lws_protocols){.name = WS_CLIENT_LWS_PROTOCOL,
						    .callback = ws_client_lws_callback};
	loop_vhost_info(&info);
	snprintf(name, sizeof(name), "client-%d", count);
	info.vhost_name = name;
	info.protocols = item->protocols;
	info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	if (ca_file) {
		info.client_ssl_ca_filepath = ca_file;
		info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
	}
	item->vhost = lws_create_vhost(loop_lws(loop), &info);
	if (!item->vhost) {
		log_error("no TLS client can be made from these certificates file=%s",
			  log_quote(ca_file ? ca_file : "(system)"));
		free(item->ca_file);
		free(item);
		return NULL;
	}
	item->next = *list;
	*list = item;
	return item->vhost;
}

void loop_vhosts_free(struct loop_vhosts *list)
{
	while (list) {
		struct loop_vhosts *next = list->next;

		free(list->ca_file);
		free(list);
		list = next;
	}
}
