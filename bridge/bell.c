/* SPDX-License-Identifier: MIT */
/* How the threads of libnats wake the main thread, in the mux or in bell_sleep(). */
#include <config.h>

#include <time.h>

#include "bridge.h"

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bell_init(struct bell *bell)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&bell->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bell->rung, &attributes);
    pthread_condattr_destroy(&attributes);
}

void bell_ring(struct bridge *b)
{
    struct bell *bell = &b->bell;

    if (bell->told)
        return;
    pthread_mutex_lock(&bell->mutex);
    bool first = !bell->told, sleeping = bell->sleeping;
    bell->told = true;
    pthread_mutex_unlock(&bell->mutex);
    if (!first)
        return;
    if (sleeping)
        pthread_cond_signal(&bell->rung);
    else
        shmring_mux_wake(b->mux);
}

bool bell_sleep(struct bridge *b, int64_t ms)
{
    struct bell *bell = &b->bell;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&bell->mutex);
    bell->sleeping = true;
    while (!bell->told && pthread_cond_timedwait(&bell->rung, &bell->mutex, &until) == 0)
        continue;
    bell->sleeping = false;
    bool told = bell->told;
    pthread_mutex_unlock(&bell->mutex);
    return told;
}

void bell_heard(struct bridge *b)
{
    b->bell.told = false;
}
