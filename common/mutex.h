/* SPDX-License-Identifier: MIT
 *
 * mutex.h - a mutex between a thread that carries sound and ordinary ones: who holds it while the other
 * waits runs at the other's rank, so that a busy machine cannot keep the sound waiting.
 */
#ifndef COMMON_MUTEX_H
#define COMMON_MUTEX_H

#include <pthread.h>

static inline void mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

#endif
