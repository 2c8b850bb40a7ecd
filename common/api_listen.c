/* SPDX-License-Identifier: MIT
 *
 * api_listen.c - the listening Unix socket. libwebsockets 4.1.6 would do it itself, but it unlinks
 * whatever is at the path, used or not, and sets the owner only when told uid and gid.
 */
#include "common/api_listen.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define BACKLOG 32

/* -1: no such group, which is so where nothing is installed. */
static gid_t group(void)
{
	struct group entry, *found = NULL;
	char buf[4096];

	if (getgrnam_r(API_GROUP, &entry, buf, sizeof(buf), &found) || !found)
		return (gid_t)-1;
	return found->gr_gid;
}

/* Best effort: who runs this as an ordinary user outside the group keeps it for himself. */
static void give_to_group(const char *path)
{
	gid_t gid = group();

	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0)
		log_debug("cannot give to the group path=%s group=%s error=%s", log_quote(path),
			  API_GROUP, strerror(errno));
}

static int make_folder(const char *path)
{
	char folder[108];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, 0750) < 0)
		return errno == EEXIST ? 0 : -errno;
	give_to_group(folder);
	return chmod(folder, 02750) < 0 ? -errno : 0;
}

static int bind_once(int fd, const struct sockaddr_un *address)
{
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

/* Removes a socket on which nobody listens. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, err = 0;

	/* connect() to an ordinary file is refused as well. */
	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		err = -EADDRINUSE;
	close(fd);
	if (!err && unlink(address->sun_path) < 0)
		err = -errno;
	if (!err)
		log_info("removed a socket that nobody listens on path=%s",
			 log_quote(address->sun_path));
	return err;
}

int api_listen(struct api_socket *out, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, err;

	out->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	snprintf(out->path, sizeof(out->path), "%s", path);
	err = make_folder(path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Before bind(): on Linux the file is made with the mode of the socket, so it is never
	 * wider. */
	if (fchmod(fd, 0660) < 0) {
		err = -errno;
		goto out_close;
	}
	err = bind_once(fd, &address);
	if (err == -EADDRINUSE) {
		err = remove_stale(&address);
		if (!err)
			err = bind_once(fd, &address);
	}
	if (err)
		goto out_close;
	/* The umask took its part of the mode. */
	if (chmod(path, 0660) < 0 || stat(path, &st) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		unlink(path);
		goto out_close;
	}
	give_to_group(path);
	out->fd = fd;
	out->device = st.st_dev;
	out->inode = st.st_ino;
	return 0;

out_close:
	close(fd);
	return err;
}

void api_unlisten(struct api_socket *s)
{
	struct stat st;

	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	if (lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
		unlink(s->path);
}

uid_t api_peer_uid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return (uid_t)-1;
	return peer.uid;
}
