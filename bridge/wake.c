/* SPDX-License-Identifier: MIT */
/* How the threads of libnats wake the main thread, whether it sleeps in the mux or in wake_wait().
 */
#include <config.h>

#include <time.h>

#include "bridge.h"

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void wake_init(struct wake *wake)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&wake->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake->cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void wake_main(struct bridge *b)
{
    struct wake *wake = &b->wake;

    if (wake->woken)
        return;
    pthread_mutex_lock(&wake->mutex);
    bool first = !wake->woken, sleeping = wake->sleeping;
    wake->woken = true;
    pthread_mutex_unlock(&wake->mutex);
    if (!first)
        return;
    if (sleeping)
        pthread_cond_signal(&wake->cond);
    else
        shmring_mux_wake(b->mux);
}

bool wake_wait(struct bridge *b, int64_t ms)
{
    struct wake *wake = &b->wake;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&wake->mutex);
    wake->sleeping = true;
    while (!wake->woken && pthread_cond_timedwait(&wake->cond, &wake->mutex, &until) == 0)
        continue;
    wake->sleeping = false;
    const bool woken = wake->woken;
    pthread_mutex_unlock(&wake->mutex);
    return woken;
}

void wake_forget(struct bridge *b)
{
    b->wake.woken = false;
}
