/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking by lib/wait/waitword.h: producers that publish and notify, consumers that
 * announce, poll and sleep. The queue is a count of messages. What the kernel does with the futex
 * is written out here: it compares and puts to sleep, and wakes, one step at a time.
 *
 * At the end no consumer may be asleep while a message waits. Sleepers do not recheck here. With
 * one of these defined, GenMC must find the bug:
 *
 *     NO_POLL     go to sleep without another poll of the queue
 *     NO_FENCE    publish without a fence, and no sleeper makes one for it
 *     NO_PASS_ON  a consumer that was woken takes its message and leaves the others asleep
 *     NO_COUNT    notify without changing more than the flag
 */
#include "model.h"

#if defined NO_COUNT /* the count in the word does not change */
#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(object, value, order) ((void)(object))
#endif

/* A fence for the compiler only, but GenMC would take it for one of the processor. */
#undef atomic_signal_fence
#define atomic_signal_fence(order) ((void)0)

#include "../../lib/wait/waitword.h"

#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(object, value, order) __c11_atomic_fetch_add(object, value, order)

#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#ifndef SLEEPERS
#define SLEEPERS 1
#endif

#ifdef NO_FENCE
#define NOTIFY_IF SHMR_NOTIFY_UNFENCED
#else
#define NOTIFY_IF SHMR_NOTIFY_FENCED
#endif

/* Polls of a sleeper that is notified each time before it sleeps. */
#define POLLS (MESSAGES * PRODUCERS + 2)

static struct shmr_waitword waitword = {
    .word = SHMR_WAITWORD_WATCHED}; /* a participant has slept here before */
static _Atomic uint32_t waiting;    /* messages */

static pthread_mutex_t kernel;
static bool asleep[SLEEPERS], woken[SLEEPERS];

static void futex_wake(void)
{
    pthread_mutex_lock(&kernel);
    for (int i = 0; i < SLEEPERS; i++)
        if (asleep[i]) {
            asleep[i] = false;
            woken[i] = true;
            break;
        }
    pthread_mutex_unlock(&kernel);
}

static bool futex_wait(int me, uint32_t value)
{
    bool sleeps;

    pthread_mutex_lock(&kernel);
    sleeps = atomic_load_explicit(&waitword.word, memory_order_relaxed) == value;
    if (sleeps)
        asleep[me] = true;
    pthread_mutex_unlock(&kernel);
    return sleeps;
}

static void ring(void)
{
    if (shmr_waitword_notify(&waitword) & SHMR_WAITWORD_ASLEEP)
        futex_wake();
}

static void *produce(void *unused)
{
    (void)unused;
    for (int i = 0; i < MESSAGES; i++) {
        atomic_fetch_add_explicit(&waiting, 1, memory_order_release);
        if (shmr_waitword_is_set(&waitword, NOTIFY_IF))
            ring();
    }
    return NULL;
}

static bool take(void)
{
    uint32_t n = atomic_load_explicit(&waiting, memory_order_relaxed);

    while (n > 0)
        if (__c11_atomic_compare_exchange_strong(&waiting, &n, n - 1, memory_order_acquire,
                                                 memory_order_relaxed))
            return true;
    return false;
}

/* As wait_for() in lib/wait/sleep.c: returns when it has a message, or is asleep. */
static void wait_for_one(int me, bool slept)
{
    for (int i = 0; i < POLLS; i++) {
        uint32_t value =
            shmr_waitword_announce(&waitword, SHMR_WAITWORD_ASLEEP) | SHMR_WAITWORD_ASLEEP;
#ifdef NO_POLL
        if (slept && take())
#else
        if (take())
#endif
        {
#ifndef NO_PASS_ON
            if (slept && atomic_load_explicit(&waiting, memory_order_relaxed) > 0)
                ring();
#endif
            return;
        }
        if (futex_wait(me, value))
            return;
        slept = true; /* it was notified, so the next steps are those after a sleep */
    }
}

static void *sleeper(void *number)
{
    wait_for_one((int)(intptr_t)number, false);
    return NULL;
}

/* Let one woken consumer go on until it has a message or sleeps. False: no consumer was woken. */
static bool wake_up_one(void)
{
    for (int i = 0; i < SLEEPERS; i++)
        if (woken[i]) {
            woken[i] = false;
            wait_for_one(i, true);
            return true;
        }
    return false;
}

int main(void)
{
    pthread_t producers[PRODUCERS], sleepers[SLEEPERS];

    pthread_mutex_init(&kernel, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_create(&sleepers[i], NULL, sleeper, (void *)(intptr_t)i);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(sleepers[i], NULL);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    while (wake_up_one())
        continue;
    for (int i = 0; i < SLEEPERS; i++)
        assert(!asleep[i] || atomic_load_explicit(&waiting, memory_order_relaxed) == 0);
    return 0;
}
