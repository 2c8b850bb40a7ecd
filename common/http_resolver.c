/* SPDX-License-Identifier: MIT
 *
 * http_resolver.c - getaddrinfo() away from the loop.
 *
 * getaddrinfo() cannot be interrupted: with dead name servers it sits for half a minute. So it
 * runs on detached threads (a few at most, none when there is nothing to look up), and
 * what they touch outlives the resolver: the shared part and the job itself.
 */
#include "common/http_resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/mutex.h"

#define MAX_THREADS 4
#define MAX_JOBS    64
#define TIMEOUT_MS  10000
#define STACK_BYTES ((size_t)512 << 10)
#define HOST_MAX    255

struct job {
	/* Loop thread. */
	struct job *prev, *next; /* in resolver->jobs while somebody wants the answer */
	struct resolver *resolver;
	uint64_t id;
	struct loop_timer timer;
	void (*on_done)(void *arg, const struct http_addresses *addresses);
	void *arg;
	/* Shared, under the mutex. */
	struct job *next_queued;
	bool queued;
	/* The look-up thread's until it posts. */
	struct shared *shared;
	char host[HOST_MAX + 1];
	uint16_t port;
	struct http_addresses result;
};

struct shared {
	pthread_mutex_t mutex;
	struct loop *loop; /* NULL when the resolver is gone */
	struct job *first, **last;
	int threads;
	int refs; /* the resolver and each thread */
};

struct resolver {
	struct shared *shared;
	struct job *jobs;
	int job_count;
};

static void shared_unref_locked(struct shared *s)
{
	bool last = --s->refs == 0;

	pthread_mutex_unlock(&s->mutex);
	if (last) {
		pthread_mutex_destroy(&s->mutex);
		free(s);
	}
}

int resolver_create(struct resolver **out, struct loop *loop)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct shared *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!r || !s) {
		free(r);
		free(s);
		return -ENOMEM;
	}
	mutex_init(&s->mutex);
	s->loop = loop;
	s->last = &s->first;
	s->refs = 1;
	r->shared = s;
	*out = r;
	return 0;
}

static void unlink_job(struct job *job)
{
	struct resolver *r = job->resolver;

	if (!r)
		return;
	if (job->prev)
		job->prev->next = job->next;
	else
		r->jobs = job->next;
	if (job->next)
		job->next->prev = job->prev;
	job->resolver = NULL;
	r->job_count--;
	loop_timer_cancel(&job->timer);
}

/* Nobody wants the answer: out of the list, and out of the queue if no thread has it yet. */
static void abandon(struct job *job)
{
	struct shared *s = job->shared;
	bool mine = false;

	unlink_job(job);
	pthread_mutex_lock(&s->mutex);
	if (job->queued) {
		struct job **at = &s->first;

		while (*at != job)
			at = &(*at)->next_queued;
		*at = job->next_queued;
		if (s->last == &job->next_queued)
			s->last = at;
		mine = true;
	}
	pthread_mutex_unlock(&s->mutex);
	if (mine)
		free(job);
}

void resolver_destroy(struct resolver *r)
{
	if (!r)
		return;
	while (r->jobs)
		abandon(r->jobs);
	pthread_mutex_lock(&r->shared->mutex);
	r->shared->loop = NULL;
	shared_unref_locked(r->shared);
	free(r);
}

void resolver_cancel(struct resolver *r, uint64_t id)
{
	for (struct job *job = r->jobs; job; job = job->next) {
		if (job->id == id) {
			abandon(job);
			return;
		}
	}
}

static void on_resolved(void *arg)
{
	struct job *job = arg;

	if (job->resolver) {
		unlink_job(job);
		job->on_done(job->arg, &job->result);
	}
	free(job);
}

static void on_timeout(void *arg)
{
	struct job *job = arg;
	struct http_addresses late = {.error = -ETIMEDOUT};
	void (*on_done)(void *, const struct http_addresses *) = job->on_done;
	void *user = job->arg;

	snprintf(late.error_text, sizeof(late.error_text),
		 "the name server did not answer in time");
	abandon(job);
	on_done(user, &late);
}

static void look_up(struct job *job)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	struct http_addresses *out = &job->result;
	char port[8];
	int err;

	snprintf(port, sizeof(port), "%u", job->port);
	hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
	err = getaddrinfo(job->host, port, &hints, &list);
	if (err == EAI_ADDRFAMILY || err == EAI_NODATA || err == EAI_NONAME) {
		/* Only loopback is up: AI_ADDRCONFIG hides all there is. */
		hints.ai_flags = AI_NUMERICSERV;
		err = getaddrinfo(job->host, port, &hints, &list);
	}
	if (err) {
		out->error = err == EAI_AGAIN ? -EAGAIN
			     : err == EAI_NONAME || err == EAI_NODATA || err == EAI_ADDRFAMILY
				     ? -ENOENT
			     : err == EAI_MEMORY ? -ENOMEM
						 : -EIO;
		snprintf(out->error_text, sizeof(out->error_text), "%s", gai_strerror(err));
		return;
	}
	for (struct addrinfo *a = list; a && out->count < HTTP_MAX_ADDRESSES; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(out->address[0].addr) ||
		    (a->ai_family != AF_INET && a->ai_family != AF_INET6))
			continue;
		memcpy(&out->address[out->count].addr, a->ai_addr, a->ai_addrlen);
		out->address[out->count].addr_len = a->ai_addrlen;
		if (getnameinfo(a->ai_addr, a->ai_addrlen, out->address[out->count].text,
				sizeof(out->address[0].text), NULL, 0, NI_NUMERICHOST))
			continue;
		out->count++;
	}
	freeaddrinfo(list);
	if (!out->count) {
		out->error = -ENOENT;
		snprintf(out->error_text, sizeof(out->error_text), "no address");
	}
}

static void *thread_main(void *arg)
{
	struct shared *s = arg;

	pthread_mutex_lock(&s->mutex);
	while (s->loop && s->first) {
		struct job *job = s->first;

		s->first = job->next_queued;
		if (!s->first)
			s->last = &s->first;
		job->queued = false;
		pthread_mutex_unlock(&s->mutex);
		look_up(job);
		pthread_mutex_lock(&s->mutex);
		if (!s->loop || loop_post(s->loop, on_resolved, job) < 0)
			free(job);
	}
	s->threads--;
	shared_unref_locked(s);
	return NULL;
}

/* With the mutex held. */
static int start_thread_locked(struct shared *s)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	s->threads++;
	s->refs++;
	err = -pthread_create(&thread, &attr, thread_main, s);
	if (err) {
		s->threads--;
		s->refs--;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

int resolver_start(struct resolver *r, uint64_t id, const char *host, uint16_t port,
		   void (*on_done)(void *arg, const struct http_addresses *addresses), void *arg)
{
	struct shared *s = r->shared;
	struct job *job;
	int err = 0;

	if (strlen(host) > HOST_MAX)
		return -EINVAL;
	if (r->job_count >= MAX_JOBS)
		return -ENOBUFS;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->resolver = r;
	job->id = id;
	job->on_done = on_done;
	job->arg = arg;
	job->shared = s;
	job->port = port;
	snprintf(job->host, sizeof(job->host), "%s", host);
	job->next = r->jobs;
	if (job->next)
		job->next->prev = job;
	r->jobs = job;
	r->job_count++;
	loop_timer_set(s->loop, &job->timer, TIMEOUT_MS, on_timeout, job);

	pthread_mutex_lock(&s->mutex);
	job->queued = true;
	*s->last = job;
	s->last = &job->next_queued;
	if (s->threads < MAX_THREADS) {
		err = start_thread_locked(s);
		if (err && s->threads)
			err = 0; /* those that run will come to it */
	}
	pthread_mutex_unlock(&s->mutex);
	if (err) {
		abandon(job);
		log_warn("no thread for a name look-up error=%s", log_quote(strerror(-err)));
	}
	return err;
}
