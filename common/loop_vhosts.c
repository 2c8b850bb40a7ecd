/* SPDX-License-Identifier: MIT
 *
 * loop_vhosts.c - vhosts that are made once and live as long as the loop.
 *
 * Clients: in libwebsockets the trusted certificates belong to the vhost, and every vhost with TLS
 * loads its own copy of them, so there is one for each set.
 *
 * Servers that accept by themselves: libwebsockets 4.1.6 assigns each request anew to the first
 * vhost of the same listening port, and all that do not listen have the same (-2). So they share
 * one, and it is not destroyed before the context: destruction is deferred, and the vhost that is
 * dying would be found first.
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
	lws_retry_bo_t *policy;             /* no vhost at all, see loop_idle_policy() */
	const struct lws_protocols *served; /* by a vhost without TLS; NULL: one for TLS clients */
	char name[24];                      /* libwebsockets keeps the pointer */
	char *ca_file;                      /* NULL: system store */
	struct lws_vhost *vhost;
	/* libwebsockets 4.1 keeps the pointer, and protocols of different vhosts must not share
	 * state */
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
	int count = 0;

	for (item = *list; item; item = item->next, count++) {
		if (item->policy || item->served || !ca_file != !item->ca_file)
			continue;
		if (!ca_file || !strcmp(ca_file, item->ca_file))
			return item->vhost;
	}
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
	snprintf(item->name, sizeof(item->name), "client-%d", count);
	info.vhost_name = item->name;
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

static int socket_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			   size_t len)
{
	struct loop_socket *socket = wsi ? lws_get_opaque_user_data(wsi) : NULL;

	/* none: before the owner has set it, after it has let go, and for the vhost's own events */
	return socket ? socket->callback(wsi, reason, socket, in, len) : 0;
}

const struct lws_protocols loop_server_protocols[] = {
	{.name = "loopline", .callback = socket_callback},
	{0},
};

static struct lws_vhost *vhost_of(struct loop *loop, const struct lws_protocols *protocols,
				  int port, const char *name)
{
	/* Ends a follower that is gone without a word. */
	static const lws_retry_bo_t policy = {.secs_since_valid_ping = 20,
					      .secs_since_valid_hangup = 30};
	struct loop_vhosts **list = loop_client_vhosts(loop), *item;
	struct lws_context_creation_info info;

	for (item = *list; item; item = item->next)
		if (item->served == protocols)
			return item->vhost;
	item = calloc(1, sizeof(*item));
	if (!item)
		return NULL;
	item->served = protocols;
	snprintf(item->name, sizeof(item->name), "%s", name);
	loop_vhost_info(&info);
	info.port = port;
	info.protocols = protocols;
	info.vhost_name = item->name;
	info.retry_and_idle_policy = &policy;
	info.timeout_secs = 10;
	info.keepalive_timeout = 10;
	item->vhost = lws_create_vhost(loop_lws(loop), &info);
	if (!item->vhost) {
		free(item);
		return NULL;
	}
	item->next = *list;
	*list = item;
	return item->vhost;
}

struct lws_vhost *loop_server_vhost(struct loop *loop)
{
	return vhost_of(loop, loop_server_protocols, CONTEXT_PORT_NO_LISTEN_SERVER, "server");
}

struct lws_vhost *loop_clear_vhost(struct loop *loop)
{
	static const struct lws_protocols protocols[] = {
		{.name = WS_CLIENT_LWS_PROTOCOL, .callback = ws_client_lws_callback},
		{0},
	};

	return vhost_of(loop, protocols, CONTEXT_PORT_NO_LISTEN, "clear");
}

const lws_retry_bo_t *loop_idle_policy(struct loop *loop, int ping_s, int hangup_s)
{
	struct loop_vhosts **list = loop_client_vhosts(loop), *item;

	for (item = *list; item; item = item->next)
		if (item->policy && item->policy->secs_since_valid_ping == ping_s &&
		    item->policy->secs_since_valid_hangup == hangup_s)
			return item->policy;
	item = calloc(1, sizeof(*item));
	if (!item)
		return NULL;
	item->policy = calloc(1, sizeof(*item->policy));
	if (!item->policy) {
		free(item);
		return NULL;
	}
	item->policy->secs_since_valid_ping = (uint16_t)ping_s;
	item->policy->secs_since_valid_hangup = (uint16_t)hangup_s;
	item->next = *list;
	*list = item;
	return item->policy;
}

void loop_vhosts_free(struct loop_vhosts *list)
{
	while (list) {
		struct loop_vhosts *next = list->next;

		free(list->policy);
		free(list->ca_file);
		free(list);
		list = next;
	}
}
