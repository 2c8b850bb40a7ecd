/* SPDX-License-Identifier: MIT
 *
 * verifier.c - one thread for each code, started when it is wanted: there is one in a while.
 */
#include "discord/verifier.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"
#include "discord/dave/session.h"

struct verifier {
	pthread_t thread;
	bool running;
	/* Written by the control thread before the thread begins, by the thread until done. */
	struct dave_code_job job;
	int error;
	atomic_bool done; /* set by the thread as its last deed, read by the control thread */
};

static void *work(void *arg)
{
	struct verifier *v = arg;
	v->error = dave_code_job_run(&v->job);
	atomic_store(&v->done, true);
	return NULL;
}

int verifier_create(struct verifier **out)
{
	struct verifier *v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*out = v;
	return 0;
}

void verifier_destroy(struct verifier *v)
{
	if (!v)
		return;
	if (v->running)
		pthread_join(v->thread, NULL);
	free(v);
}

void verifier_tick(struct verifier *v, struct dave_session *session)
{
	sigset_t all, before;
	if (v->running) {
		if (!atomic_load(&v->done))
			return;
		pthread_join(v->thread, NULL);
		v->running = false;
		if (v->error == 0)
			v->error = dave_session_code_put(session, &v->job);
		if (v->error)
			log_debug("a verification code could not be worked out");
	}
	if (!dave_session_code_wanted(session, &v->job))
		return;
	atomic_store(&v->done, false);
	sigfillset(&all); /* signals are the control thread's affair */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	v->running = pthread_create(&v->thread, NULL, work, v) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
