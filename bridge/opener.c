/* SPDX-License-Identifier: MIT
 *
 * opener.c - see opener.h.
 */
#include "bridge/opener.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mutex.h"

#define RETRY_MS   100
#define WHY_BYTES  256

struct entry {
	struct port *port;
	char why[WHY_BYTES]; /* the last failure that was logged; "" while open. Thread only */
	bool was_open;       /* thread only */
};

struct opener {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool work, quit; /* under mutex; set by the loop, read by the thread */
	size_t count;
	struct entry entry[];
};

static void try_open(struct entry *entry)
{
	int err;

	if (port_is_open(entry->port))
		return;
	if (entry->was_open) {
		entry->was_open = false;
		log_warn("PCM is gone, reopening pcm=%s", port_name(entry->port));
	}
	err = port_open(entry->port, clock_mono_ns());
	if (err == 0) {
		log_info("PCM is open pcm=%s channels=%u period=%u", port_name(entry->port),
			 port_channels(entry->port), port_period_frames(entry->port));
		entry->was_open = true;
		entry->why[0] = '\0';
	} else if (err != -EAGAIN && strncmp(entry->why, port_error(entry->port), WHY_BYTES - 1) != 0) {
		strncpy(entry->why, port_error(entry->port), WHY_BYTES - 1);
		log_warn("PCM cannot be opened, trying again pcm=%s why=%s", port_name(entry->port),
			 log_quote(entry->why));
	}
}

static bool all_open(const struct opener *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (!port_is_open(o->entry[i].port))
			return false;
	return true;
}

static void *opener_run(void *arg)
{
	struct opener *o = arg;

	pthread_mutex_lock(&o->mutex);
	while (!o->quit) {
		if (!o->work) {
			pthread_cond_wait(&o->wake, &o->mutex);
			continue;
		}
		pthread_mutex_unlock(&o->mutex);
		for (size_t i = 0; i < o->count; i++)
			try_open(&o->entry[i]);
		bool done = all_open(o);

		pthread_mutex_lock(&o->mutex);
		if (done) {
			o->work = false;
		} else if (!o->quit) {
			struct timespec until;

			clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += RETRY_MS * NS_PER_MS;
			until.tv_sec += until.tv_nsec / NS_PER_SEC;
			until.tv_nsec %= NS_PER_SEC;
			pthread_cond_timedwait(&o->wake, &o->mutex, &until);
		}
	}
	pthread_mutex_unlock(&o->mutex);
	return NULL;
}

int opener_create(struct opener **out, struct port *const *ports, size_t count)
{
	struct opener *o = calloc(1, sizeof(*o) + count * sizeof(o->entry[0]));
	pthread_condattr_t attr;
	int err;

	*out = NULL;
	if (!o)
		return -ENOMEM;
	o->count = count;
	o->work = true;
	for (size_t i = 0; i < count; i++)
		o->entry[i].port = ports[i];
	mutex_init(&o->mutex);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&o->thread, NULL, opener_run, o);
	if (err) {
		pthread_cond_destroy(&o->wake);
		pthread_mutex_destroy(&o->mutex);
		free(o);
		return -err;
	}
	*out = o;
	return 0;
}

void opener_destroy(struct opener *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&o->mutex);
	o->quit = true;
	pthread_cond_signal(&o->wake);
	pthread_mutex_unlock(&o->mutex);
	pthread_join(o->thread, NULL);
	pthread_cond_destroy(&o->wake);
	pthread_mutex_destroy(&o->mutex);
	free(o);
}

void opener_check(struct opener *o)
{
	if (all_open(o))
		return;
	pthread_mutex_lock(&o->mutex);
	o->work = true;
	pthread_cond_signal(&o->wake);
	pthread_mutex_unlock(&o->mutex);
}
