/* SPDX-License-Identifier: MIT
 *
 * api_listen.h - the listening Unix socket of the local API: permissions, stale sockets, peers.
 */
#ifndef COMMON_API_LISTEN_H
#define COMMON_API_LISTEN_H

#include <sys/types.h>

#define API_GROUP "loopline"

struct api_socket {
	int fd;
	char path[108];
	dev_t device; /* of the file, so that only our own is removed */
	ino_t inode;
};

/* As api_server_create() says. Non-blocking, close-on-exec. */
int api_listen(struct api_socket *out, const char *path);
/* Closes and removes the file if it is still ours. */
void api_unlisten(struct api_socket *socket);
/* SO_PEERCRED; (uid_t)-1 if unknown. */
uid_t api_peer_uid(int fd);

#endif
