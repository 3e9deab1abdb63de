/* SPDX-License-Identifier: MIT */
/* Muxes that have consumers of the same broadcast queues: each message wakes all of them. */
#include <config.h>

#include <errno.h>
#include <unistd.h>

#include <sys/syscall.h>

#include "muxed.h"

enum { FEEDS = 3, MUXES = 3, ROUNDS = 100 };

static shmring_t *feeds[FEEDS], *consumers[MUXES][FEEDS];

/* A thread with a mux of its own, which receives ROUNDS messages. */
static struct reader {
    pthread_t thread;
    shmring_mux_t *mux;
    _Atomic pid_t tid;
    _Atomic uint64_t received;
} readers[MUXES];

static void make_feed(int i)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = 65536,
                                          .max_participants = 2,
                                          .flags = SHMRING_PRODUCER};
    const struct shmring_waiting rarely = {.spin_ns = 0, .recheck_ms = 3600000};

    cr_assert_eq(shmring_create(&feeds[i], "memfd:feed", &config), 0);
    for (int m = 0; m < MUXES; m++) { /* the last one finds no row */
        cr_assert_eq(shmring_dup(&consumers[m][i], feeds[i],
                                 SHMRING_CONSUMER | (m == 0 ? (unsigned)SHMRING_RELIABLE : 0)),
                     0, "%s", shmring_strerror_detail());
        cr_assert_eq(shmring_set_waiting(consumers[m][i], &rarely), 0);
        cr_assert_eq(shmring_mux_add(readers[m].mux, consumers[m][i], SHMRING_READABLE, NULL), 0);
    }
}

static void *read_all(void *argument)
{
    struct reader *r = argument;
    struct shmring_mux_event found[FEEDS];
    uint64_t number;

    r->tid = (pid_t)syscall(SYS_gettid);
    while (r->received < ROUNDS) {
        const int n = shmring_mux_wait(r->mux, found, FEEDS, for_ever);
        child_assert(n > 0);
        for (int i = 0; i < n; i++)
            while (shmring_recv(found[i].q, &number, sizeof number) == sizeof number) {
                child_assert(number == r->received);
                r->received++;
            }
    }
    return NULL;
}

Test(mux_broadcast, each_message_wakes_each_mux, .timeout = 120)
{
    const struct shmring_mux_config at_once_asleep = {.spin_ns = 1};

    for (int m = 0; m < MUXES; m++)
        cr_assert_eq(shmring_mux_create(&readers[m].mux, &at_once_asleep), 0);
    for (int i = 0; i < FEEDS; i++)
        make_feed(i);
    for (int m = 0; m < MUXES; m++)
        cr_assert_eq(pthread_create(&readers[m].thread, NULL, read_all, &readers[m]), 0);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        for (int m = 0; m < MUXES; m++) {
            while (readers[m].received < n || readers[m].tid == 0)
                usleep(100);
            test_await_sleep_of(getpid(), readers[m].tid);
        }
        cr_assert_eq(shmring_send(feeds[n % FEEDS], &n, sizeof n), 0);
    }
    for (int m = 0; m < MUXES; m++) {
        pthread_join(readers[m].thread, NULL);
        shmring_mux_destroy(&readers[m].mux);
        for (int i = 0; i < FEEDS; i++)
            shmring_close(&consumers[m][i]);
    }
    for (int i = 0; i < FEEDS; i++)
        shmring_close(&feeds[i]);
}
