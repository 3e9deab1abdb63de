/* SPDX-License-Identifier: MIT */
/*
 * A storm on a mux: threads that wait, and threads that all the time make queues, add them, send to
 * them, remove them and close them. Each message arrives once and in order: some through the mux,
 * and those that were left when the queue was removed after that. Once a removal has returned, no
 * thread is inside the queue's entry.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <shmring/mux.h>

#include "messages.h"
#include "support.h"

enum { WAITERS = 3, STORMS = 3, ROUNDS = 150, MESSAGES = 20, EVENTS = 4 };

/* For threads, where Criterion's assertions do not work: a failure ends the whole test. */
#define thread_assert(Condition) child_assert(Condition)

static const struct timespec *const for_ever;
static shmring_mux_t *mux;
static _Atomic bool over;
static uint64_t seed;

/* One queue from its creation to its end. Only the thread that uses the queue may write the numbers
 * that are not atomic, so ThreadSanitizer finds a second user. */
struct life {
    shmring_t *consumer, *producer;
    uint32_t received;
    uint32_t inside;
    _Atomic uint32_t seen;
};

static void receive_some(struct life *life, uint32_t most)
{
    uint32_t number;

    thread_assert(life->inside++ == 0);
    while (most-- && shmring_recv(life->consumer, &number, sizeof number) >= 0)
        thread_assert(number == life->received++);
    atomic_store(&life->seen, life->received);
    thread_assert(--life->inside == 0);
}

static void *wait_all_the_time(void *argument)
{
    uint64_t state = seed + (uintptr_t)argument;
    struct shmring_mux_event events[EVENTS];

    while (!atomic_load(&over)) {
        int n = shmring_mux_wait(mux, events, 1 + (int)test_random_below(&state, EVENTS), for_ever);
        thread_assert(n >= 0);
        for (int i = 0; i < n; i++) {
            thread_assert(events[i].error == 0);
            receive_some(events[i].data, 1 + test_random_below(&state, 5));
            if (test_random_below(&state, 3) == 0)
                thread_assert(shmring_mux_done(mux, events[i].q) == 0);
        }
    }
    return NULL;
}

static void begin(struct life *life, bool mpmc)
{
    const struct shmring_config spsc_config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_CONSUMER};
    const struct shmring_config mpmc_config = {
        .kind = SHMRING_MPMC, .capacity = 32, .max_message = 8, .flags = SHMRING_CONSUMER};

    *life = (struct life){0};
    thread_assert(
        shmring_create(&life->consumer, "memfd:storm", mpmc ? &mpmc_config : &spsc_config) == 0);
    thread_assert(shmring_dup(&life->producer, life->consumer, SHMRING_PRODUCER) == 0);
}

static void *storm(void *argument)
{
    uint64_t state = seed + 1000 + (uintptr_t)argument;
    struct life life;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint32_t added_after = test_random_below(&state, MESSAGES);
        const bool patient = test_random_below(&state, 2);

        begin(&life, round % 2);
        for (uint32_t number = 0; number < MESSAGES; number++) {
            if (number == added_after)
                thread_assert(shmring_mux_add(mux, life.consumer, SHMRING_READABLE, &life) == 0);
            thread_assert(shmring_send(life.producer, &number, sizeof number) == 0);
        }
        while (patient && atomic_load(&life.seen) < MESSAGES)
            sched_yield();
        thread_assert(shmring_mux_remove(mux, life.consumer) == 0);
        receive_some(&life, MESSAGES);
        thread_assert(life.received == MESSAGES);
        shmring_close(&life.producer);
        shmring_close(&life.consumer);
    }
    return NULL;
}

/* `others`: queues that are in the mux all the time; some of them get a message at times. */
static void check_storm(uint32_t others)
{
    static struct life idle[300];
    pthread_t waiter[WAITERS], stormer[STORMS];
    uint32_t number = 0;

    seed = test_seed();
    cr_assert_eq(shmring_mux_create(&mux, NULL), 0);
    for (uint32_t i = 0; i < others; i++) {
        begin(&idle[i], false);
        cr_assert_eq(shmring_mux_add(mux, idle[i].consumer, SHMRING_READABLE, &idle[i]), 0);
    }
    for (uintptr_t i = 0; i < WAITERS; i++)
        cr_assert_eq(pthread_create(&waiter[i], NULL, wait_all_the_time, (void *)i), 0);
    for (uintptr_t i = 0; i < STORMS; i++)
        cr_assert_eq(pthread_create(&stormer[i], NULL, storm, (void *)i), 0);
    for (uint32_t i = 0; i < others; i++)
        cr_assert_eq(shmring_send(idle[i].producer, &number, sizeof number), 0);
    for (int i = 0; i < STORMS; i++)
        pthread_join(stormer[i], NULL);
    for (uint32_t i = 0; i < others; i++)
        while (atomic_load(&idle[i].seen) < 1)
            sched_yield();
    atomic_store(&over, true);
    for (int i = 0; i < WAITERS; i++) {
        /* A wake-up ends one wait, and two wake-ups may count as one: repeat until this thread has
         * ended. */
        while (pthread_tryjoin_np(waiter[i], NULL) != 0) {
            shmring_mux_wake(mux);
            sched_yield();
        }
    }
    shmring_mux_destroy(&mux);
    for (uint32_t i = 0; i < others; i++) {
        shmring_close(&idle[i].producer);
        shmring_close(&idle[i].consumer);
    }
}

Test(mux_threads, storm, .timeout = 120)
{
    check_storm(2);
}

Test(mux_threads, storm_with_helpers, .timeout = 120)
{
    check_storm(200);
}
