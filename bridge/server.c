/* SPDX-License-Identifier: MIT
 *
 * server.c - see server.h. Quirks of libwebsockets 4.1.6 are named where they are dealt with.
 */
#include "bridge/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "bridge/listener.h"
#include "common/log.h"

/* One TCP connection: requests, one after the other, or one upgrade to a session. */
struct connection {
	struct loop_socket socket; /* first: what the vhost's protocol goes by */
	struct server *server;
	struct sockaddr_storage peer;
	struct exchange *exchange;
	struct session *session;
};

struct server {
	struct loop *loop;
	struct lws_vhost *vhost;
	struct listener *listener;
	struct exchange_desk desk;
	struct sessions *sessions;
	char *tls_cert, *tls_key;
	bool stopped; /* no hooks any more */
};

/* ---- libwebsockets -------------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	session_closed(c->session);
	exchange_free(c->exchange);
	listener_released(c->server->listener);
	free(c);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct connection *c = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		if (c->session || c->server->stopped)
			return -1;
		return exchange_begin(&c->exchange, wsi, &c->server->desk,
				      (struct sockaddr *)&c->peer);
	case LWS_CALLBACK_HTTP_BODY:
		return c->exchange ? exchange_body(c->exchange, in, len) : -1;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return c->exchange ? exchange_complete(c->exchange, wsi) : -1;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return c->exchange ? exchange_write(c->exchange, wsi) : 0;
	/* Quirk: HTTP_CONFIRM_UPGRADE is not used, its code path uses freed headers. */
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return session_upgrade(&c->session, c->server->sessions, wsi,
				       (struct sockaddr *)&c->peer);
	case LWS_CALLBACK_ESTABLISHED:
		if (!c->session)
			return -1;
		session_established(c->session);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return c->session ? session_receive(c->session, in, len) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return c->session ? session_write(c->session) : 0;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (c->session)
			session_peer_closes(c->session);
		return 0;
	case LWS_CALLBACK_CLOSED:
		session_closed(c->session);
		c->session = NULL;
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		lws_set_opaque_user_data(wsi, NULL);
		connection_free(c);
		return 0;
	default:
		return 0;
	}
}

/* A connection was accepted; true if it is ours now. */
static bool on_accepted(void *user, int fd, const struct sockaddr_storage *peer)
{
	struct server *server = user;
	struct connection *c = calloc(1, sizeof(*c));
	struct lws *wsi;

	if (!c) {
		close(fd);
		return false;
	}
	wsi = lws_adopt_socket_vhost(server->vhost, fd); /* closes fd when it fails */
	if (!wsi) {
		free(c);
		return false;
	}
	c->socket.callback = on_lws;
	c->server = server;
	c->peer = *peer;
	lws_set_opaque_user_data(wsi, c);
	return true;
}

/* libwebsockets only logs that a certificate is bad, and then fails every handshake. */
static bool tls_usable(const char *cert_path, const char *key_path)
{
	BIO *cert_file = BIO_new_file(cert_path, "r"), *key_file = BIO_new_file(key_path, "r");
	X509 *cert = cert_file ? PEM_read_bio_X509(cert_file, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = key_file ? PEM_read_bio_PrivateKey(key_file, NULL, NULL, NULL) : NULL;
	bool good = cert && key && X509_check_private_key(cert, key) == 1;

	if (!good)
		log_error("cannot use TLS_CERT and TLS_KEY cert=%s key=%s why=\"%s\"",
			  log_quote(cert_path), log_quote(key_path),
			  !cert  ? "the certificate cannot be read as PEM"
			  : !key ? "the key cannot be read as PEM"
				 : "the key does not belong to the certificate");
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(cert);
	BIO_free(key_file);
	BIO_free(cert_file);
	return good;
}

static int create_vhost(struct server *server, const struct server_config *config)
{
	struct lws_context_creation_info info;

	if (!config->tls_cert) {
		server->vhost = loop_server_vhost(server->loop);
		return server->vhost ? 0 : -ENOMEM;
	}
	if (!tls_usable(config->tls_cert, config->tls_key))
		return -EINVAL;
	server->tls_cert = strdup(config->tls_cert);
	server->tls_key = strdup(config->tls_key);
	if (!server->tls_cert || !server->tls_key)
		return -ENOMEM;
	loop_vhost_info(&info);
	info.vhost_name = "door";
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.protocols = loop_server_protocols;
	info.timeout_secs = 5;
	info.keepalive_timeout = 5;
	info.ssl_cert_filepath = server->tls_cert;
	info.ssl_private_key_filepath = server->tls_key;
	info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	server->vhost = lws_create_vhost(loop_lws(server->loop), &info);
	if (!server->vhost)
		log_error("cannot make a TLS server of TLS_CERT and TLS_KEY");
	return server->vhost ? 0 : -EIO;
}

int server_create(struct server **out, struct loop *loop, const struct server_config *config)
{
	struct server *server = calloc(1, sizeof(*server));
	int err = -ENOMEM;

	*out = NULL;
	if (!server)
		return err;
	server->loop = loop;
	server->desk = config->desk;
	server->sessions = config->sessions;
	err = create_vhost(server, config);
	if (err)
		goto out;
	err = listener_create(&server->listener, loop, config->listen, on_accepted, server);
	if (err)
		goto out;
	*out = server;
	return 0;
out:
	server_destroy(server);
	return err;
}

void server_stop_accepting(struct server *server)
{
	listener_destroy(server->listener);
	server->listener = NULL;
}

bool server_reload_tls(struct server *server)
{
	if (!server->tls_cert)
		return true;
	if (!tls_usable(server->tls_cert, server->tls_key))
		return false;
	return lws_tls_cert_updated(loop_lws(server->loop), server->tls_cert, server->tls_key, NULL, 0,
				    NULL, 0) == 0;
}

void server_stop(struct server *server)
{
	server_stop_accepting(server);
	server->stopped = true;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	free(server->tls_cert);
	free(server->tls_key);
	free(server);
}
