/* SPDX-License-Identifier: MIT
 *
 * unix_probe.h - is there an HTTP server behind a Unix socket that answers?
 *
 * A connection to a Unix socket is made at once, also to a process that is just dying or starting, and
 * may be dropped in the same moment. libwebsockets 4.3 (Debian 13) frees a client connection twice when
 * that happens while it connects. So the question is asked by a connection of our own first.
 */
#ifndef COMMON_UNIX_PROBE_H
#define COMMON_UNIX_PROBE_H

struct loop;
struct unix_probe;

/*
 * Asks the server at path; calls done(arg, err) once, on the loop's thread and never from in here: 0 if
 * anything was answered, else -errno (-ECONNRESET: dropped). The probe is gone then. There is no
 * time limit but the owner's. -ENOMEM, -ENAMETOOLONG, or what connect() says: done() will not be called.
 */
int unix_probe_start(struct unix_probe **out, struct loop *loop, const char *path,
		     void (*done)(void *arg, int err), void *arg);
void unix_probe_cancel(struct unix_probe *probe); /* NULL is fine */

#endif
